//! Commits of one row in each durability, and batches.

use crate::common::{Indexes, People, Person};
use crate::{Directory, Outcome, Scale, disk, line, median, micros};
use folio::{Column, Database, Durability, Schema, Table};
use std::time::{Duration, Instant};

const THREADS: usize = 8;
/// Rows in a batch.
const BATCH: usize = 1_000;
/// Bytes of a text beside a number that is updated.
const LARGE_BYTES: usize = 1 << 20;
/// What a commit of one row puts into the log, roughly: for the plain write beside it.
const COMMIT_BYTES: usize = 128;

fn open(directory: &Directory, name: &str, durability: Durability) -> Outcome<People> {
    let db = Database::builder().durability(durability).open(directory.path(name))?;
    Ok(People::within(db, Indexes::None, 0)?)
}

/// Rows to insert, made before the clock starts.
fn persons(count: usize) -> Vec<Person> {
    (1..=count as u64).map(Person::new).collect()
}

/// Seconds for one insert, each a commit.
fn insert_each(people: &People, persons: &[Person]) -> Outcome<f64> {
    let start = Instant::now();
    for person in persons {
        people.table.insert(person)?;
    }
    Ok(start.elapsed().as_secs_f64() / persons.len() as f64)
}

pub(crate) fn synced(directory: &Directory, scale: Scale) -> Outcome {
    let (one, many) = (open(directory, "sync-1", Durability::Sync)?, open(directory, "sync-many", Durability::Sync)?);
    let persons = persons(scale.syncs);
    let [mut appended, mut preallocated, mut single, mut shared, mut group] = [const { Vec::new() }; 5];
    for _ in 0..scale.rounds {
        appended.push(disk::appended(&directory.0, scale.syncs)?);
        preallocated.push(disk::preallocated(&directory.0, scale.syncs)?);
        single.push(insert_each(&one, &persons)?);
        let (took, commits_per_sync) = insert_together(&many, &persons)?;
        shared.push(took);
        group.push(commits_per_sync);
    }
    let ratio = median(single.iter().zip(&preallocated).map(|(own, disk)| own / disk).collect());
    println!("On stable storage when it returns (`Sync`)");
    line("the disk: fdatasync of 4 KiB appended", &micros(median(appended)));
    line("the disk: fdatasync of 4 KiB into preallocated space", &micros(median(preallocated)));
    line("commit of one row, one thread", &micros(median(single)));
    line("  over the preallocated fdatasync, to be 1.1x", &format!("{ratio:.2}x"));
    line(&format!("commit of one row, {THREADS} threads, to be 15 µs"), &micros(median(shared)));
    line(&format!("  commits per sync, to be near {THREADS}"), &format!("{:.1}", median(group)));
    Ok(())
}

/// Seconds for one commit over all threads, and how many shared a sync.
fn insert_together(people: &People, persons: &[Person]) -> Outcome<(f64, f64)> {
    let figures = || people.db.stats().storage.map(|storage| storage.engine).unwrap_or_default();
    let before = figures();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads = (0..THREADS)
            .map(|_| scope.spawn(|| persons.iter().try_for_each(|person| people.table.insert(person).map(drop))));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Err(folio::Error::Closed)))
    })?;
    let took = start.elapsed().as_secs_f64() / (THREADS * persons.len()) as f64;
    let after = figures();
    let versions = after.synced_versions - before.synced_versions;
    Ok((took, versions as f64 / (after.syncs - before.syncs).max(1) as f64))
}

pub(crate) fn unsynced(directory: &Directory, scale: Scale) -> Outcome {
    let memory = People::new(Indexes::None, 0)?;
    let buffered = open(directory, "buffered", Durability::Buffered)?;
    let interval = open(directory, "interval", Durability::Interval(Duration::from_millis(100)))?;
    let batches = open(directory, "batches", Durability::Buffered)?;
    let persons = persons(scale.commits);
    let [mut plain, mut in_memory, mut both, mut each, mut at_intervals, mut batched] = [const { Vec::new() }; 6];
    for _ in 0..scale.rounds {
        plain.push(disk::written(&directory.0, COMMIT_BYTES, scale.commits, |_| Ok(()))?);
        in_memory.push(insert_each(&memory, &persons)?);
        both.push(disk::written(&directory.0, COMMIT_BYTES, scale.commits, |turn| {
            memory.table.insert(&persons[turn])?;
            Ok(())
        })?);
        each.push(insert_each(&buffered, &persons)?);
        at_intervals.push(insert_each(&interval, &persons)?);
        let start = Instant::now();
        for batch in persons.chunks(BATCH) {
            batches.table.insert_many(batch)?;
        }
        batched.push(persons.len() as f64 / start.elapsed().as_secs_f64());
    }
    let over_memory = at_intervals.iter().zip(&in_memory).map(|(own, memory)| own / memory);
    let over_memory = median(over_memory.collect());
    println!("\nHanded to the operating system when it returns, one thread");
    line(&format!("a plain write of {COMMIT_BYTES} bytes"), &micros(median(plain)));
    line("commit of one row in memory", &micros(median(in_memory)));
    line("the two in turns: what `Buffered` cannot be below", &micros(median(both)));
    line("commit of one row, `Buffered`, to be 1 µs", &micros(median(each)));
    line("commit of one row, `Interval` of 100 ms", &micros(median(at_intervals)));
    line("  over the commit in memory, to be 1.3x", &format!("{over_memory:.2}x"));
    let rate = format!("{:.2} M/s", median(batched) / 1e6);
    line(&format!("rows in batches of {BATCH}, `Buffered`, to be 1 M/s"), &rate);
    Ok(())
}

/// A table of one row with a number and a text of so many bytes.
fn with_text(directory: &Directory, name: &str, bytes: usize) -> Outcome<Table> {
    let db = Database::builder().durability(Durability::Buffered).open(directory.path(name))?;
    let schema = Schema::builder("documents").column(Column::u64("id").primary_key().auto_increment());
    let table = db.create_table(schema.column(Column::u64("reads")).column(Column::string("text")).build()?)?;
    table.insert(&(1, 0, "x".repeat(bytes)))?;
    db.save()?;
    Ok(table)
}

/// The log takes what changed, not the text beside it.
pub(crate) fn beside_text(directory: &Directory, scale: Scale) -> Outcome {
    let tables = [with_text(directory, "short", 16)?, with_text(directory, "long", LARGE_BYTES)?];
    let [mut short, mut long] = [const { Vec::new() }; 2];
    for _ in 0..scale.rounds {
        for (table, took) in tables.iter().zip([&mut short, &mut long]) {
            let reads = table.column::<u64>("reads")?;
            let start = Instant::now();
            for _ in 0..scale.commits {
                table.modify(1, |row| row.set(reads, row.get(reads) + 1))?;
            }
            took.push(start.elapsed().as_secs_f64() / scale.commits as f64);
        }
    }
    let ratio = median(long.iter().zip(&short).map(|(long, short)| long / short).collect());
    line("update of a number beside a short text, `Buffered`", &micros(median(short)));
    line("the same beside a text of 1 MiB", &micros(median(long)));
    line("  over that beside a short one, to be 2x", &format!("{ratio:.2}x"));
    Ok(())
}
