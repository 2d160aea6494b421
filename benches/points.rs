//! Reads of single rows.

mod common;

use common::{Indexes, People, Person, SIZES, quick, random_ids, scatter};
use criterion::{Criterion, Throughput};
use folio::Result;

/// Keys in one `get_many`.
const MANY: usize = 16;
/// Keys drawn before the clock starts; a multiple of [`MANY`].
const KEYS: usize = 1 << 16;

fn by_id(criterion: &mut Criterion) -> Result<()> {
    for (size, rows) in SIZES {
        let People { table, age, email, .. } = People::new(Indexes::Email, rows)?;
        let ids = random_ids(rows, KEYS);
        let mut group = criterion.benchmark_group(format!("points/{size}"));
        let mut next = ids.iter().cycle().copied();
        group.bench_function("get by auto-increment key", |bencher| {
            bencher.iter(|| table.get(next.next()?).ok()?.map(|row| row.get(age)));
        });
        group.bench_function("get_with", |bencher| {
            bencher.iter(|| table.get_with(next.next()?, |row| row.get(age)).ok()?);
        });
        let emails: Vec<String> = ids.iter().map(|id| Person::new(*id).email).collect();
        let mut next = emails.iter().cycle();
        group.bench_function("find by unique string", |bencher| {
            bencher.iter(|| table.find(email, next.next()?.as_str()).ok()?.map(|row| row.get(age)));
        });
        let mut next = ids.chunks(MANY).cycle();
        group.throughput(Throughput::Elements(MANY as u64));
        group.bench_function("get_many(16)", |bencher| {
            bencher.iter(|| {
                let rows = table.get_many(next.next()?).ok()?;
                Some(rows.iter().flatten().map(|row| u64::from(row.get(age))).sum::<u64>())
            });
        });
        group.finish();
    }
    Ok(())
}

fn by_hash_key(criterion: &mut Criterion) -> Result<()> {
    for (size, rows) in SIZES {
        let People { table, age, .. } = People::hash_keyed(rows)?;
        let keys: Vec<u64> = random_ids(rows, KEYS).into_iter().map(scatter).collect();
        let mut group = criterion.benchmark_group(format!("points/{size}"));
        let mut next = keys.iter().cycle().copied();
        group.bench_function("get by hash key", |bencher| {
            bencher.iter(|| table.get(next.next()?).ok()?.map(|row| row.get(age)));
        });
        group.finish();
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut criterion = quick().configure_from_args();
    by_id(&mut criterion)?;
    by_hash_key(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
