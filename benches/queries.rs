//! Queries over whole tables and through indexes.

mod common;

use common::{COUNTRY_COUNT, Indexes, People, SIZES, quick};
use criterion::Criterion;
use folio::{Result, Row};

fn whole_table(criterion: &mut Criterion) -> Result<()> {
    for (size, rows) in SIZES {
        let People { table, age, score, country, .. } = People::new(Indexes::None, rows)?;
        let mut group = criterion.benchmark_group(format!("queries/{size}"));
        group.bench_function("filter by predicate", |bencher| {
            bencher.iter(|| table.select().filter(age.between(30..35) & score.ge(112.0)).sum(score));
        });
        group.bench_function("filter by closure", |bencher| {
            let passes = |row: &Row<'_>| (30..35).contains(&row.get(age)) && row.get(score) >= 112.0;
            bencher.iter(|| table.select().filter(passes).sum(score));
        });
        group.bench_function("average by group", |bencher| {
            bencher.iter(|| table.select().group_by(country).avg(score));
        });
        group.bench_function("top 10", |bencher| {
            bencher.iter(|| table.select().order_by(score.desc()).limit(10).pick(score));
        });
        group.finish();
    }
    Ok(())
}

fn through_indexes(criterion: &mut Criterion) -> Result<()> {
    for (size, rows) in SIZES {
        let People { table, age, score, country, .. } = People::new(Indexes::All, rows)?;
        let mut group = criterion.benchmark_group(format!("queries/{size}"));
        let mut countries = (0..COUNTRY_COUNT as u16).cycle();
        group.bench_function("fetch by hash index", |bencher| {
            bencher.iter(|| {
                let mut sum = 0;
                let found = table.select().filter(country.eq(countries.next()?));
                found.for_each(|row| sum += u64::from(row.get(age))).ok()?;
                Some(sum)
            });
        });
        let mut starts = (0..120u32).cycle();
        group.bench_function("100 rows by an ordered range", |bencher| {
            bencher.iter(|| {
                let mut sum = 0;
                let from = f64::from(starts.next()?);
                let found = table.select().filter(score.ge(from)).order_by(score.asc()).limit(100);
                found.for_each(|row| sum += u64::from(row.get(age))).ok()?;
                Some(sum)
            });
        });
        group.finish();
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut criterion = quick().configure_from_args();
    whole_table(&mut criterion)?;
    through_indexes(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
