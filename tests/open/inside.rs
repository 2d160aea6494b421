//! What is called from inside a transaction, or by one who should not.

use super::directory::Directory;
use super::{killed, names};
use folio::storage::{FileEngine, FileOptions, StorageEngine};
use folio::{Database, Durability, Error};
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

/// All that does not write is done on what was committed before.
#[test]
fn what_does_not_write_goes_on_inside_a_write() {
    for durability in [Durability::Sync, Durability::EVERY_SECOND, Durability::Buffered] {
        let directory = Directory::new("inside-reads");
        let db = Database::builder().durability(durability).open(&directory).unwrap();
        let table = db.ensure_table(names()).unwrap();
        table.insert(&json!({ "name": "before" })).unwrap();
        db.transaction(|tx| {
            tx.table("names")?.insert(&json!({ "name": "inside" }))?;
            assert_eq!(db.checkpoint()?, 2);
            assert_eq!(db.compact()?, 2);
            db.sync()?;
            assert_eq!((db.durable_version(), db.stats().version), (2, 2));
            assert_eq!(db.verify()?, []);
            db.backup_to(directory.0.join("copy"))?;
            assert_eq!(Database::open(directory.0.join("copy"))?.table("names")?.len()?, 1);
            db.fork().table("names")?.insert(&json!({ "name": "inside" }))?;
            db.reclaim();
            tx.table("names")?.insert(&json!({ "name": "still inside" }))
        })
        .unwrap();
        assert_eq!((table.len().unwrap(), db.snapshot().version()), (3, 3));
        if durability == Durability::EVERY_SECOND {
            // Its log is written a moment later.
            db.sync().unwrap();
        }
        let copy = killed(&directory);
        let again = Database::open(&copy).unwrap();
        assert_eq!(again.table("names").unwrap().len().unwrap(), 3);
    }
}

#[test]
fn a_panic_in_a_transaction_leaves_nothing_in_the_log() {
    let directory = Directory::new("inside-panic");
    let db = Database::open(&directory).unwrap();
    let table = db.ensure_table(names()).unwrap();
    for turn in 0..3 {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            db.transaction(|tx| -> folio::Result<()> {
                tx.drop_table("names")?;
                tx.create_table(names())?.insert(&json!({ "name": "never" }))?;
                resume_unwind(Box::new("planned"))
            })
        }));
        assert!(panic.is_err());
        assert_eq!(table.insert(&json!({ "name": format!("turn {turn}") })).unwrap(), turn + 1);
    }
    let copy = killed(&directory);
    let again = Database::open(&copy).unwrap();
    assert_eq!((again.snapshot().version(), again.table("names").unwrap().len().unwrap()), (4, 3));
    drop(again);
    // Of the handle too, nothing is left locked.
    db.close().unwrap();
    Database::open(&directory).unwrap();
}

#[test]
fn an_engine_serves_one_database() {
    let directory = Directory::new("inside-engine");
    let engine: Arc<dyn StorageEngine> = Arc::new(FileEngine::open(&directory, FileOptions::default()).unwrap());
    let db = Database::builder().open_on(Arc::clone(&engine)).unwrap();
    db.ensure_table(names()).unwrap().insert(&json!({ "name": "a" })).unwrap();
    assert!(Database::builder().open_on(Arc::clone(&engine)).is_err());
    // The one that was there goes on.
    db.table("names").unwrap().insert(&json!({ "name": "b" })).unwrap();
    db.close().unwrap();
    assert!(Database::builder().open_on(engine).is_err());
    assert_eq!(Database::open(&directory).unwrap().table("names").unwrap().len().unwrap(), 2);
}

/// A batch appended behind the database's back: its own next one is refused, and nothing of it is seen.
#[test]
fn a_log_that_somebody_else_has_written_to_is_noticed() {
    let directory = Directory::new("inside-conflict");
    let engine: Arc<dyn StorageEngine> = Arc::new(FileEngine::open(&directory, FileOptions::default()).unwrap());
    let db = Database::builder().open_on(Arc::clone(&engine)).unwrap();
    let table = db.ensure_table(names()).unwrap();
    let _ = engine.append(folio::storage::Batch { first: 2, count: 1, payload: b"" }).unwrap();
    assert!(matches!(table.insert(&json!({ "name": "a" })), Err(Error::Conflict { .. })));
    assert!(matches!(table.insert(&json!({ "name": "a" })), Err(Error::Poisoned { .. })));
    assert_eq!((table.len().unwrap(), db.snapshot().version()), (0, 1));
    drop((table, db, engine));
    let db = Database::open(&directory).unwrap();
    assert_eq!((db.snapshot().version(), db.table("names").unwrap().len().unwrap()), (2, 0));
}

#[test]
fn any_interval_will_do() {
    for interval in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let directory = Directory::new("inside-interval");
        let db = Database::builder().durability(Durability::Interval(interval)).open(&directory).unwrap();
        db.ensure_table(names()).unwrap().insert(&json!({ "name": "a" })).unwrap();
        db.close().unwrap();
        assert_eq!(db.durable_version(), 2);
    }
}
