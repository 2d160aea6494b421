//! One workload, a given number of times, for `scripts/count-instructions.sh` to run under callgrind.
//!
//! Every run loads the same table first, so that two runs of different length differ by the operations alone.

mod common;

use common::{Indexes, NewAge, NewScore, People, Person, distinct_ids, scatter};
use folio::{Database, Durability, Result};
use std::hint::black_box;
use std::process::ExitCode;

/// Rows that a table begins with; more than any run deletes.
const ROWS: u64 = 20_000;
/// Keys in one `get_many`.
const MANY: usize = 16;

/// Runs a workload a number of times.
type Run = fn(usize) -> Result<()>;

const WORKLOADS: [(&str, Run); 17] = [
    ("get", |count| {
        let People { table, age, .. } = People::new(Indexes::None, ROWS)?;
        keys(count).try_for_each(|id| touch(table.get(id)?.map(|row| row.get(age))))
    }),
    ("get_hash_key", |count| {
        let People { table, age, .. } = People::hash_keyed(ROWS)?;
        keys(count).try_for_each(|id| touch(table.get(scatter(id))?.map(|row| row.get(age))))
    }),
    ("find_unique_string", |count| {
        let People { table, age, email, .. } = People::new(Indexes::Email, ROWS)?;
        // Emails are made before, as many in every run.
        let emails: Vec<String> = keys(1_000).map(|id| Person::new(id).email).collect();
        let mut found = emails.iter().cycle().take(count);
        found.try_for_each(|text| touch(table.find(email, text.as_str())?.map(|row| row.get(age))))
    }),
    ("get_many_key", |count| {
        let People { table, age, .. } = People::new(Indexes::None, ROWS)?;
        let ids: Vec<u64> = keys(ROWS as usize / MANY * MANY).collect();
        ids.chunks(MANY).cycle().take(count / MANY).try_for_each(|ids| {
            let rows = table.get_many(ids)?;
            touch(rows.iter().flatten().map(|row| row.get(age)).fold(0, u32::wrapping_add))
        })
    }),
    ("insert_key_only", |count| insert(Indexes::None, count)),
    ("insert_three_indexes", |count| insert(Indexes::All, count)),
    ("insert_many_key_only", |count| insert_many(Indexes::None, count)),
    ("insert_many_three_indexes", |count| insert_many(Indexes::All, count)),
    ("update_key_only", |count| update(Indexes::None, count)),
    ("update_three_indexes", |count| update(Indexes::All, count)),
    ("update_grouped", |count| {
        let People { db, .. } = People::new(Indexes::None, ROWS)?;
        let ids: Vec<u64> = keys(ROWS as usize).collect();
        ids.chunks(64).cycle().take(count / 64).zip(1_000..).try_for_each(|(ids, age)| {
            db.transaction(|tx| {
                let table = tx.table("people")?;
                ids.iter().try_for_each(|id| table.update(*id, &NewAge { age }))
            })
        })
    }),
    ("update_moving_index_entry", |count| {
        let People { table, .. } = People::new(Indexes::All, ROWS)?;
        // Scores lie below 128; the entry moves somewhere among them.
        let mut moves = keys(count).zip(0u32..);
        moves.try_for_each(|(id, n)| {
            table.update(id, &NewScore { score: f64::from(n.wrapping_mul(77) % 12_800) / 100.0 })
        })
    }),
    ("delete_key_only", |count| delete(Indexes::None, count)),
    ("delete_three_indexes", |count| delete(Indexes::All, count)),
    // With a log: what the system does of it is not counted.
    ("insert_key_only_logged", |count| logged(Indexes::None, |people| insert_into(people, count))),
    ("insert_three_indexes_logged", |count| logged(Indexes::All, |people| insert_into(people, count))),
    ("update_key_only_logged", |count| logged(Indexes::None, |people| update_in(people, count))),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = arguments.as_slice() else {
        // So that `cargo bench` passes by, and the script knows what there is.
        WORKLOADS.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let workload = WORKLOADS.iter().find(|(known, _)| known == name);
    let (Some((_, run)), Ok(count)) = (workload, count.parse()) else {
        eprintln!("usage: instructions WORKLOAD COUNT");
        return ExitCode::from(2);
    };
    match run(count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn touch<T>(value: T) -> Result<()> {
    black_box(value);
    Ok(())
}

/// Keys in no order, cheaply drawn: the multiplier is coprime to [`ROWS`].
fn keys(count: usize) -> impl Iterator<Item = u64> {
    (1..=count as u64).map(|n| 1 + n.wrapping_mul(7_919) % ROWS)
}

fn insert(indexes: Indexes, count: usize) -> Result<()> {
    insert_into(&People::new(indexes, ROWS)?, count)
}

fn insert_into(people: &People, count: usize) -> Result<()> {
    // Made before, as many in every run.
    let persons: Vec<Person> = (ROWS + 1..).take(RUN_MAX).map(Person::new).collect();
    persons.iter().take(count).try_for_each(|person| touch(people.table.insert(person)?))
}

/// Runs `work` on a database that hands each commit to the system, in a directory that is then gone.
fn logged(indexes: Indexes, work: impl FnOnce(&People) -> Result<()>) -> Result<()> {
    let directory = std::env::temp_dir().join(format!("folio-instructions-{}", std::process::id()));
    let db = Database::builder().durability(Durability::Buffered).checkpoint_bytes(None).open(&directory)?;
    let answer = People::within(db, indexes, ROWS).and_then(|people| {
        work(&people)?;
        // The checkpoint of closing would be counted.
        std::mem::forget(people);
        Ok(())
    });
    // What stays takes space and harms nobody.
    let _ = std::fs::remove_dir_all(directory);
    answer
}

/// The longest run that inserts.
const RUN_MAX: usize = 15_000;

fn insert_many(indexes: Indexes, count: usize) -> Result<()> {
    let table = People::new(indexes, ROWS)?.table;
    let people: Vec<Person> = (ROWS + 1..).take(RUN_MAX).map(Person::new).collect();
    touch(table.insert_many(people.iter().take(count))?)
}

fn update(indexes: Indexes, count: usize) -> Result<()> {
    update_in(&People::new(indexes, ROWS)?, count)
}

fn update_in(People { table, .. }: &People, count: usize) -> Result<()> {
    keys(count).zip(1_000..).try_for_each(|(id, age)| table.update(id, &NewAge { age }))
}

fn delete(indexes: Indexes, count: usize) -> Result<()> {
    let table = People::new(indexes, ROWS)?.table;
    let ids = distinct_ids(ROWS, ROWS as usize);
    ids.into_iter().take(count).try_for_each(|id| touch(table.delete(id)?))
}
