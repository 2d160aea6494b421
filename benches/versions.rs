//! Snapshots, forks and diffs, and what a large value beside a small one costs.

mod common;

use common::{Indexes, NewAge, People, SIZES, distinct_ids, quick};
use criterion::Criterion;
use folio::{Column, Database, Result, Schema, Table};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Rows that differ in a diff.
const DIFFERENT: usize = 1_000;
/// Commits that an old snapshot is held over.
const HELD_OVER: usize = 10_000;
/// Rows of the tables with and without large values.
const LARGE_ROWS: u64 = 64;
const LARGE_BYTES: usize = 1 << 20;

fn snapshots(criterion: &mut Criterion) -> Result<()> {
    for (size, rows) in SIZES {
        let People { db, table, .. } = People::new(Indexes::All, rows)?;
        let mut group = criterion.benchmark_group(format!("versions/{size}"));
        group.bench_function("snapshot taken and dropped", |bencher| bencher.iter(|| drop(db.snapshot())));
        group.bench_function("fork made and dropped", |bencher| bencher.iter(|| drop(db.fork())));

        let before = db.snapshot();
        // No person is as old: each of the rows does change.
        distinct_ids(rows, DIFFERENT).iter().try_for_each(|id| table.update(*id, &NewAge { age: 1_000 }))?;
        let after = db.snapshot();
        group.bench_function("diff of 1,000 rows", |bencher| {
            bencher.iter(|| before.diff(&after).map(|diff| diff.len()));
        });
        drop((before, after));

        let ids = distinct_ids(rows, HELD_OVER);
        let mut ages = 0..;
        group.bench_function("drop of a snapshot after 10,000 commits", |bencher| {
            bencher.iter_custom(|count| {
                let mut elapsed = Duration::ZERO;
                for age in ages.by_ref().take(count as usize) {
                    let old = db.snapshot();
                    ids.iter().try_for_each(|id| table.update(*id, &NewAge { age })).expect("the rows are there");
                    let start = Instant::now();
                    drop(old);
                    elapsed += start.elapsed();
                }
                elapsed
            });
        });
        group.finish();
    }
    Ok(())
}

fn large_values(criterion: &mut Criterion) -> Result<()> {
    #[derive(Serialize)]
    struct NewCount {
        count: u64,
    }
    let mut group = criterion.benchmark_group("versions/update of a u64");
    for (name, bytes) in [("beside a short string", 16), ("beside 1 MiB", LARGE_BYTES)] {
        let documents = documents(bytes)?;
        let mut next = (1..=LARGE_ROWS).cycle().zip(0..);
        group.bench_function(name, |bencher| {
            bencher.iter(|| next.next().map(|(id, count)| documents.update(id, &NewCount { count })));
        });
    }
    group.finish();
    Ok(())
}

fn documents(bytes: usize) -> Result<Table> {
    let schema = Schema::builder("documents")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::u64("count"))
        .column(Column::string("text"));
    let table = Database::in_memory().create_table(schema.build()?)?;
    let text = "x".repeat(bytes);
    table.insert_many((1..=LARGE_ROWS).map(|id| (id, 0u64, &text)))?;
    Ok(table)
}

fn main() -> Result<()> {
    let mut criterion = quick().configure_from_args();
    snapshots(&mut criterion)?;
    large_values(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
