//! The end of a database, while others still use it.

use super::directory::Directory;
use super::names;
use folio::{Database, Durability, Error};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

#[test]
fn a_snapshot_outlives_the_database() {
    let directory = Directory::new("closing-snapshot");
    let db = Database::open(&directory).unwrap();
    let table = db.ensure_table(names()).unwrap();
    table.insert(&json!({ "name": "a" })).unwrap();
    let snapshot = db.snapshot();
    table.delete(1).unwrap();
    drop((table, db));
    let again = Database::open(&directory).unwrap();
    assert_eq!(snapshot.table("names").unwrap().get(1).unwrap().unwrap().decode::<(u64, String)>().unwrap().1, "a");
    assert_eq!(again.table("names").unwrap().len().unwrap(), 0);
    assert!(matches!(snapshot.diff(&again.snapshot()), Err(Error::UnrelatedSnapshots)));
    snapshot.backup_to(directory.0.join("copy")).unwrap();
    let copy = Database::open(directory.0.join("copy")).unwrap();
    assert_eq!((copy.table("names").unwrap().len().unwrap(), copy.snapshot().version()), (1, snapshot.version()));
}

#[test]
fn a_closed_database_is_read_and_not_written() {
    let directory = Directory::new("closing-closed");
    for durability in [Durability::Sync, Durability::EVERY_SECOND, Durability::Buffered] {
        let db = Database::builder().durability(durability).open(&directory).unwrap();
        let table = db.ensure_table(names()).unwrap();
        table.insert(&json!({ "name": format!("{durability:?}") })).unwrap();
        let rows = table.len().unwrap();
        db.close().unwrap();
        db.close().unwrap();
        assert_eq!(table.len().unwrap(), rows);
        assert_eq!(db.snapshot().table("names").unwrap().len().unwrap(), rows);
        assert_eq!(db.durable_version(), db.snapshot().version());
        assert!(matches!(table.insert(&json!({ "name": "late" })), Err(Error::Closed)));
        assert!(matches!(db.transaction(|_| Ok(())), Err(Error::Closed)));
        assert!(matches!(db.create_table(names()), Err(Error::Closed)));
        assert!(matches!(db.checkpoint(), Err(Error::Closed)));
        assert!(matches!(db.compact(), Err(Error::Closed)));
        assert!(matches!(db.sync(), Err(Error::Closed)));
        db.fork().table("names").unwrap().insert(&json!({ "name": "in memory" })).unwrap();
        // Another may be at work there by now.
        let again = Database::open(&directory).unwrap();
        db.stats();
        drop((table, db));
        assert_eq!(again.table("names").unwrap().len().unwrap(), rows);
        assert_eq!(again.verify().unwrap(), []);
    }
}

/// Each of the writers that are at work is done or refused, and what was done is what is there.
#[test]
fn closing_beside_writers_loses_nothing_that_returned() {
    for turn in 0..24 {
        let directory = Directory::new("closing-writers");
        let durability = [Durability::Sync, Durability::EVERY_SECOND, Durability::Buffered][turn % 3];
        let db = Database::builder().durability(durability).checkpoint_bytes(2_000).open(&directory).unwrap();
        let table = db.ensure_table(names()).unwrap();
        let start = Barrier::new(4);
        let done: BTreeSet<String> = thread::scope(|scope| {
            let write = |writer: usize| {
                let mut done = Vec::new();
                start.wait();
                for n in 0.. {
                    let name = format!("{writer}: {n}");
                    let result = if n % 5 == 4 {
                        db.transaction(|tx| {
                            tx.require_sync()?;
                            tx.table("names")?.insert(&json!({ "name": name }))
                        })
                    } else {
                        table.insert(&json!({ "name": name }))
                    };
                    match result {
                        Ok(_) => done.push(name),
                        Err(Error::Closed) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                done
            };
            let writers: Vec<_> = (0..3).map(|writer| scope.spawn(move || write(writer))).collect();
            // Whoever saves meanwhile is done or refused too.
            scope.spawn(|| {
                let error = loop {
                    if let Err(error) = db.checkpoint().and_then(|_| db.sync()) {
                        break error;
                    }
                };
                assert!(matches!(error, Error::Closed), "{error}");
            });
            start.wait();
            thread::sleep(std::time::Duration::from_micros(700 * turn as u64));
            db.close().unwrap();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        assert_eq!(table.len().unwrap(), done.len() as u64);
        let again = Database::open(&directory).unwrap();
        let found = again.table("names").unwrap().select().fetch::<(u64, String)>().unwrap();
        assert_eq!(found.into_iter().map(|row| row.1).collect::<BTreeSet<_>>(), done, "{durability:?}");
        assert_eq!(again.opening().unwrap().replayed, 0);
    }
}
