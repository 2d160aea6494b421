//! Commits, syncs, checkpoints and reads at once.

use super::directory::Directory;
use super::{killed, names};
use folio::storage::{Format, MemoryEngine, MemoryStorage};
use folio::{Column, Database, Durability, Index, Result, Schema, Snapshot};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ACCOUNTS: u64 = 300;

fn accounts() -> Schema {
    Schema::builder("accounts")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::i64("cents"))
        .index(Index::ordered(["cents"]))
        .build()
        .unwrap()
}

/// Moves money, and notes that in another table.
fn transfer(db: &Database, from: u64, to: u64) -> Result<()> {
    db.transaction(|tx| {
        let accounts = tx.table("accounts")?;
        let cents = accounts.column::<i64>("cents")?;
        accounts.modify(from, |row| row.set(cents, row.get(cents) - 7))?;
        accounts.modify(to, |row| row.set(cents, row.get(cents) + 7))?;
        tx.table("transfers")?.insert(&(from, to)).map(drop)
    })
}

/// What holds in each version: no money is made or lost, and each version has its transfer.
fn check(snapshot: &Snapshot) {
    let accounts = snapshot.table("accounts").unwrap();
    let cents = accounts.column::<i64>("cents").unwrap();
    assert_eq!(accounts.len().unwrap(), ACCOUNTS);
    let sum: i64 = accounts.iter().unwrap().map(|row| row.get(cents)).sum();
    assert_eq!(sum, ACCOUNTS as i64 * 1_000);
    assert_eq!(accounts.select().filter(cents.ge(i64::MIN)).count().unwrap(), ACCOUNTS);
    assert_eq!(snapshot.table("transfers").unwrap().len().unwrap(), snapshot.version() - 2);
}

#[test]
fn checkpoints_stop_nobody_and_are_of_one_version() {
    let directory = Directory::new("beside-checkpoints");
    let builder = Database::builder().durability(Durability::Buffered).checkpoint_bytes(20_000).segment_bytes(8_000);
    let db = builder.open(&directory).unwrap();
    db.transaction(|tx| {
        tx.create_table(accounts())?;
        tx.create_table(Schema::builder("transfers").column(Column::u64("from")).column(Column::u64("to")).build()?)
            .map(drop)
    })
    .unwrap();
    db.table("accounts").unwrap().insert_many((0..ACCOUNTS).map(|_| (None::<u64>, 1_000))).unwrap();
    let (is_over, saved) = (AtomicBool::new(false), AtomicU64::new(0));
    let is_on = || !is_over.load(Ordering::Relaxed);
    thread::scope(|scope| {
        for writer in 0..2_u64 {
            let (db, saved) = (&db, &saved);
            scope.spawn(move || {
                for n in 0..1_500 {
                    // Nobody stops the writers: they would be done before the fourth.
                    while saved.load(Ordering::Relaxed) * 400 < n {
                        thread::yield_now();
                    }
                    let from = (n * 7 + writer * 31) % ACCOUNTS;
                    transfer(db, 1 + from, 1 + (from + 1 + n) % ACCOUNTS).unwrap();
                }
            });
        }
        scope.spawn(|| {
            while is_on() {
                check(&db.snapshot());
            }
        });
        scope.spawn(|| {
            while is_on() {
                let version =
                    if saved.fetch_add(1, Ordering::Relaxed) % 4 == 3 { db.compact() } else { db.checkpoint() };
                assert!(version.unwrap() <= db.snapshot().version());
                assert_eq!(db.verify().unwrap(), []);
            }
        });
        let versions = 2 + 2 * 1_500;
        while db.snapshot().version() < versions {
            thread::yield_now();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(saved.into_inner() > 3);
    let killed = killed(&directory);
    drop(db);
    for directory in [killed, directory] {
        let db = Database::open(&directory).unwrap();
        assert_eq!(db.opening().unwrap().version, 3_002);
        check(&db.snapshot());
        assert_eq!(db.verify().unwrap(), []);
    }
}

#[test]
fn threads_that_commit_at_once_share_syncs() {
    let directory = Directory::new("beside-group");
    let db = Database::open(&directory).unwrap();
    let table = db.ensure_table(names()).unwrap();
    thread::scope(|scope| {
        for writer in 0..8 {
            let (db, table) = (&db, &table);
            scope.spawn(move || {
                for n in 0..60 {
                    let key = table.insert(&json!({ "name": format!("{writer}, {n}") })).unwrap();
                    // It is durable, and seen, when it returns.
                    assert!(db.durable_version() > key && table.get(key).unwrap().is_some());
                }
            });
        }
    });
    let stats = db.stats().storage.unwrap();
    let engine = stats.engine;
    assert_eq!((engine.appended, engine.durable, stats.waiting_commits), (481, 481, 0));
    println!("{} commits shared {} syncs", engine.synced_versions, engine.syncs);
    assert!(engine.synced_versions > engine.syncs, "{engine:?}");
}

/// Readers of a database that syncs see nothing that could still be lost.
#[test]
fn readers_see_what_is_durable() {
    let directory = Directory::new("beside-seen");
    let db = Database::open(&directory).unwrap();
    let table = db.ensure_table(names()).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let table = &table;
                scope.spawn(move || {
                    for n in 0..100 {
                        table.insert(&json!({ "name": format!("{writer}, {n}") })).unwrap();
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let seen = db.snapshot().version();
                assert!(seen <= db.durable_version());
            }
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn an_interval_catches_up_by_itself() {
    let directory = Directory::new("beside-interval");
    let builder = Database::builder().durability(Durability::Interval(Duration::from_millis(2)));
    let db = builder.checkpoint_bytes(None).open(&directory).unwrap();
    let table = db.ensure_table(names()).unwrap();
    for n in 0..20 {
        table.insert(&json!({ "name": n.to_string() })).unwrap();
    }
    let patience = Instant::now() + Duration::from_secs(20);
    while db.durable_version() < 21 {
        assert!(Instant::now() < patience, "durable up to {}", db.durable_version());
        thread::yield_now();
    }
    assert_eq!(db.stats().storage.unwrap().background_failure, None);
}

#[test]
fn a_sync_is_asked_for() {
    let directory = Directory::new("beside-sync");
    let builder = Database::builder().durability(Durability::Buffered).checkpoint_bytes(None);
    let db = builder.open(&directory).unwrap();
    let table = db.ensure_table(names()).unwrap();
    for n in 0..50 {
        table.insert(&json!({ "name": n.to_string() })).unwrap();
    }
    assert_eq!(db.durable_version(), 0);
    db.sync().unwrap();
    assert_eq!(db.durable_version(), 51);
    table.insert(&json!({ "name": "later" })).unwrap();
    assert_eq!(db.durable_version(), 51);
    // One transaction asks, and all before it are durable with it.
    db.transaction(|tx| {
        tx.require_sync()?;
        tx.table("names")?.insert(&json!({ "name": "at once" }))
    })
    .unwrap();
    assert_eq!(db.durable_version(), 53);
    // Also one that changes nothing.
    table.delete(1).unwrap();
    db.transaction(|tx| tx.require_sync()).unwrap();
    assert_eq!((db.durable_version(), db.snapshot().version()), (54, 54));
    assert!(Database::in_memory().transaction(|tx| tx.require_sync()).is_err());
}

/// Commits are seen when they return, in their order, whoever else commits, waits and saves meanwhile.
#[test]
fn a_commit_that_returned_is_seen() {
    for durability in [Durability::Sync, Durability::Buffered] {
        // In memory, where a sync takes no time: the threads meet more often.
        let engine = MemoryEngine::open(&MemoryStorage::default(), Format::Binary).unwrap();
        let db = Database::builder().durability(durability).checkpoint_bytes(50_000).open_on(Arc::new(engine)).unwrap();
        let table = db.ensure_table(names()).unwrap();
        thread::scope(|scope| {
            for writer in 0..4_u64 {
                let (db, table) = (&db, &table);
                scope.spawn(move || {
                    for n in 0..5_000 {
                        let version = db
                            .transaction(|tx| {
                                if (n + writer) % 2 == 0 {
                                    tx.require_sync()?;
                                }
                                let names = tx.table("names")?;
                                names.insert(&json!({ "name": format!("{writer}, {n}") }))?;
                                Ok(tx.base_version()? + 1)
                            })
                            .unwrap();
                        assert!(db.snapshot().version() >= version, "{durability:?}");
                        assert!(table.len().unwrap() >= version - 1, "{durability:?}");
                    }
                });
            }
        });
        assert_eq!((db.snapshot().version(), table.len().unwrap()), (20_001, 20_000));
        assert_eq!(db.stats().storage.unwrap().waiting_commits, 0);
    }
}
