//! Threads that read, scan, take snapshots and fork beside writers at full speed, on accounts whose sum never changes.
//!
//! A program of its own (`harness = false`), for ThreadSanitizer, AddressSanitizer and memcheck; see
//! `scripts/check-memory.sh`. `FOLIO_STRESS_MILLIS` sets how long it runs. It joins every thread that it starts.

#[path = "common/random.rs"]
mod random;

use folio::{Column, Database, Index, Schema, Table};
use random::Random;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const ACCOUNTS: u64 = 200;
const CENTS: i64 = 1_000;

fn accounts(db: &Database) -> Table {
    let schema = Schema::builder("accounts")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("owner").unique())
        .column(Column::i64("cents"))
        .column(Column::string("note").nullable())
        .index(Index::ordered(["cents"]))
        .index(Index::hash(["note"]))
        .build()
        .unwrap();
    let table = db.create_table(schema).unwrap();
    table.insert_many((0..ACCOUNTS).map(|n| (None::<u64>, format!("owner {n}"), CENTS, None::<String>))).unwrap();
    table
}

/// Moves money between two accounts, rewrites a note, and now and then deletes an account and makes it anew.
fn transfer(db: &Database, random: &mut Random) {
    let (from, to, sum) = (random.below(ACCOUNTS), random.below(ACCOUNTS), random.below(50) as i64);
    let note = "x".repeat(random.below(1_500) as usize);
    db.transaction(|tx| {
        let accounts = tx.table("accounts")?;
        let cents = accounts.column::<i64>("cents")?;
        let id =
            |n: u64| Ok::<_, folio::Error>(accounts.find("owner", format!("owner {n}"))?.map_or(0, |row| row.id()));
        let (from, to) = (id(from)?, id(to)?);
        accounts.modify(from, |row| row.set(cents, row.get(cents) - sum))?;
        accounts.modify(to, |row| row.set(cents, row.get(cents) + sum))?;
        accounts.update(from, &serde_json::json!({ "note": note }))?;
        if sum == 7 {
            let row: serde_json::Value = accounts.get(to)?.map(|row| row.decode()).transpose()?.unwrap_or_default();
            accounts.delete(to)?;
            accounts.insert(&(None::<u64>, row["owner"].as_str(), row["cents"].as_i64(), None::<String>))?;
        }
        if sum == 8 { Err(folio::Error::abort("changed my mind")) } else { Ok(()) }
    })
    .ok();
}

/// Every way to the money agrees within one version.
fn check(db: &Database) {
    let snapshot = db.snapshot();
    let accounts = snapshot.table("accounts").unwrap();
    let cents = accounts.column::<i64>("cents").unwrap();
    let expected = ACCOUNTS as i64 * CENTS;
    assert_eq!(accounts.len().unwrap(), ACCOUNTS);
    assert_eq!(accounts.iter().unwrap().map(|row| row.get(cents)).sum::<i64>(), expected, "by iterating");
    assert_eq!(accounts.select().sum(cents).unwrap(), expected, "by scanning");
    let mut by_index = 0;
    accounts
        .select()
        .filter(cents.ge(i64::MIN))
        .order_by(cents.asc())
        .for_each(|row| by_index += row.get(cents))
        .unwrap();
    assert_eq!(by_index, expected, "by the index");
    let by_points: i64 = (0..ACCOUNTS)
        .map(|n| accounts.find("owner", format!("owner {n}")).unwrap().map_or(0, |row| row.get(cents)))
        .sum();
    assert_eq!(by_points, expected, "by unique names");
}

fn main() {
    let millis = std::env::var("FOLIO_STRESS_MILLIS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_500);
    let end = Instant::now() + Duration::from_millis(millis);
    let db = Database::in_memory();
    let table = accounts(&db);
    let (stop, commits, checks) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for seed in 0..2 {
        let (db, stop, commits) = (db.clone(), Arc::clone(&stop), Arc::clone(&commits));
        threads.push(thread::spawn(move || {
            let mut random = Random(seed);
            while !stop.load(Ordering::Acquire) {
                transfer(&db, &mut random);
                commits.fetch_add(1, Ordering::AcqRel);
            }
        }));
    }
    for seed in 2..4 {
        let (db, table, stop, checks) = (db.clone(), table.clone(), Arc::clone(&stop), Arc::clone(&checks));
        threads.push(thread::spawn(move || {
            let mut random = Random(seed);
            let owner = table.column::<str>("owner").unwrap();
            let mut held = Vec::new();
            while !stop.load(Ordering::Acquire) {
                check(&db);
                checks.fetch_add(1, Ordering::AcqRel);
                // Rows that stay open over commits, snapshots kept for a while, forks that part and are dropped.
                if let Some(row) = table.get(random.below(ACCOUNTS) + 1).unwrap() {
                    assert!(row.get(owner).starts_with("owner "));
                }
                held.push(db.snapshot());
                if held.len() > 8 {
                    held.swap_remove(random.below(8) as usize);
                }
                if random.below(8) == 0 {
                    let fork = db.fork();
                    transfer(&fork, &mut random);
                    check(&fork);
                }
            }
        }));
    }
    while Instant::now() < end {
        thread::yield_now();
    }
    stop.store(true, Ordering::Release);
    for thread in threads {
        thread.join().unwrap();
    }
    check(&db);
    drop(table);
    db.reclaim();
    let memory = db.stats().memory;
    assert_eq!((memory.waiting_bytes, memory.held_bytes), (0, 0), "all readers and snapshots are gone");
    let (commits, checks) = (commits.load(Ordering::Acquire), checks.load(Ordering::Acquire));
    println!("transactions: {commits}, whole checks: {checks}");
    assert!(commits > 0 && checks > 0);
    println!("\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}
