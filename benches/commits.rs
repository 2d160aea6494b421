//! Writes: single rows in commits of their own, groups, and bulk loads.

mod common;

use common::{Indexes, NewAge, NewScore, People, Person, distinct_ids, quick, random_ids};
use criterion::{BatchSize, Criterion, Throughput};
use folio::Result;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rows that a table begins with.
const ROWS: u64 = 1_000_000;
/// Rows in a bulk load.
const BULK: u64 = 10_000;
/// Updates in one grouped commit.
const GROUP: usize = 64;
const KEYS: usize = 1 << 16;

fn insert(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("commits/insert");
    for indexes in [Indexes::None, Indexes::All] {
        let people = People::new(indexes, ROWS)?;
        let mut ordinals = ROWS + 1..;
        group.bench_function(name(indexes), |bencher| {
            bencher.iter_batched_ref(
                || ordinals.next().map(Person::new),
                |person| person.as_ref().map(|person| people.table.insert(person)),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
    Ok(())
}

fn update(criterion: &mut Criterion) -> Result<()> {
    let People { db, table, .. } = People::new(Indexes::All, ROWS)?;
    let ids = random_ids(ROWS, KEYS);
    let mut group = criterion.benchmark_group("commits/update");
    let mut next = ids.iter().copied().cycle().zip(0..);
    group.bench_function("unindexed column", |bencher| {
        bencher.iter(|| next.next().map(|(id, age)| table.update(id, &NewAge { age })));
    });
    let mut next = ids.iter().copied().cycle().zip(0u32..);
    group.bench_function("column under an ordered index", |bencher| {
        bencher.iter(|| next.next().map(|(id, score)| table.update(id, &NewScore { score: f64::from(score) })));
    });
    group.throughput(Throughput::Elements(GROUP as u64));
    let mut next = ids.chunks(GROUP).cycle().zip(0..);
    group.bench_function("64 in a transaction", |bencher| {
        bencher.iter(|| {
            next.next().map(|(ids, age)| {
                db.transaction(|tx| {
                    let table = tx.table("people")?;
                    ids.iter().try_for_each(|id| table.update(*id, &NewAge { age }))
                })
            })
        });
    });
    group.finish();
    Ok(())
}

fn delete(criterion: &mut Criterion) -> Result<()> {
    let ids = distinct_ids(ROWS, KEYS);
    let mut group = criterion.benchmark_group("commits/delete");
    for indexes in [Indexes::None, Indexes::All] {
        let table = People::new(indexes, ROWS)?.table;
        let mut next = ids.chunks(1_000).cycle();
        group.bench_function(name(indexes), |bencher| {
            bencher.iter_custom(|count| {
                let mut elapsed = Duration::ZERO;
                let mut left = count as usize;
                while let (1.., Some(ids)) = (left, next.next()) {
                    let ids = &ids[..left.min(ids.len())];
                    let start = Instant::now();
                    ids.iter().for_each(|id| drop(black_box(table.delete(*id))));
                    elapsed += start.elapsed();
                    let again = ids.iter().map(|id| Person::new(*id).with_id(*id));
                    table.insert_many(again).expect("the rows were there before");
                    left -= ids.len();
                }
                elapsed
            });
        });
    }
    group.finish();
    Ok(())
}

fn bulk(criterion: &mut Criterion) -> Result<()> {
    let rows: Vec<Person> = (1..=BULK).map(Person::new).collect();
    let mut group = criterion.benchmark_group("commits/bulk of 10,000");
    group.throughput(Throughput::Elements(BULK));
    for indexes in [Indexes::None, Indexes::All] {
        group.bench_function(name(indexes), |bencher| {
            bencher.iter_batched_ref(
                || People::new(indexes, 0).expect("the schema is well formed"),
                |people| people.table.insert_many(&rows),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    Ok(())
}

fn name(indexes: Indexes) -> &'static str {
    match indexes {
        Indexes::None => "key only",
        Indexes::EmailAndScore => "unique and ordered index",
        Indexes::Email => "unique email",
        Indexes::All => "three indexes",
    }
}

fn main() -> Result<()> {
    let mut criterion = quick().configure_from_args();
    insert(&mut criterion)?;
    update(&mut criterion)?;
    delete(&mut criterion)?;
    bulk(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
