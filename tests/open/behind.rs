//! A log that is written in the background: what is seen at once, what is on disk a moment later, and what becomes of it
//! when the disk refuses.

use super::directory::Directory;
use super::{killed, names};
use folio::storage::{FileEngine, FileOptions, Format, MemoryEngine, MemoryStorage};
use folio::testing::{Fault, FaultKind, SimFiles, without_threads, write_log};
use folio::{Column, Database, DatabaseBuilder, Durability, Error, Index, Schema};
use serde_json::json;
use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// No sync comes between.
const HOUR: Durability = Durability::Interval(Duration::from_secs(3600));

fn builder() -> DatabaseBuilder {
    Database::builder().durability(HOUR).checkpoint_bytes(None)
}

fn on(files: &SimFiles) -> folio::Result<Database> {
    let engine = FileEngine::open_on(Arc::new(files.clone()), FileOptions::default())?;
    without_threads(builder()).open_on(Arc::new(engine))
}

fn unwritten(db: &Database) -> u64 {
    db.stats().storage.unwrap().unwritten_commits
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < patience, "not {what}");
        thread::yield_now();
    }
}

#[test]
fn a_commit_is_seen_at_once_and_written_by_itself() {
    let directory = Directory::new("behind-itself");
    let db = builder().open(&directory).unwrap();
    let table = db.ensure_table(names()).unwrap();
    for turn in 0..5 {
        for n in 0..200 {
            let id = table.insert(&json!({ "name": format!("{turn} {n}") })).unwrap();
            assert!(table.contains(id).unwrap());
        }
        until("written", || unwritten(&db) == 0);
        let version = db.snapshot().version();
        let copy = killed(&directory);
        let again = Database::open(&copy).unwrap();
        assert_eq!(
            (again.snapshot().version(), again.table("names").unwrap().len().unwrap()),
            (version, table.len().unwrap())
        );
        // Now it sleeps, and is woken by the next commit.
        thread::sleep(Duration::from_millis(5));
    }
    until("let go", || db.stats().snapshots == 0);
    assert_eq!(db.stats().storage.unwrap().background_failure, None);
    assert_eq!(db.durable_version(), 0);
}

#[test]
fn in_memory_nothing_is_left_to_write() {
    let db = Database::in_memory();
    db.create_table(names()).unwrap().insert(&json!({ "name": "a" })).unwrap();
    write_log(&db).unwrap();
    db.sync().unwrap();
    assert!(db.stats().storage.is_none() && db.opening().is_none());
}

#[test]
fn commits_between_two_writes_go_into_one_batch() {
    for format in [Format::Binary, Format::JsonLines] {
        let files = SimFiles::new();
        let open = |files: &SimFiles| {
            let options = FileOptions { format, ..FileOptions::default() };
            let engine = FileEngine::open_on(Arc::new(files.clone()), options).unwrap();
            without_threads(builder()).open_on(Arc::new(engine)).unwrap()
        };
        let db = open(&files);
        let table = db.ensure_table(names()).unwrap();
        for n in 0..300 {
            table.insert(&json!({ "name": n.to_string() })).unwrap();
            table.update(1, &json!({ "name": format!("first {n}") })).unwrap();
        }
        assert_eq!((unwritten(&db), db.snapshot().version()), (601, 601));
        write_log(&db).unwrap();
        write_log(&db).unwrap();
        assert_eq!(unwritten(&db), 0);
        let stats = db.stats().storage.unwrap();
        assert!(stats.unsaved_bytes < 20_000, "{stats:?}");
        let next = files.next_process();
        std::mem::forget(db);

        let db = open(&next);
        assert_eq!((db.opening().unwrap().replayed, db.snapshot().version()), (1, 601));
        let table = db.table("names").unwrap();
        assert_eq!(table.find("name", "first 299").unwrap().unwrap().id(), 1);
        assert_eq!((table.len().unwrap(), db.verify().unwrap()), (300, vec![]));
    }
}

#[test]
fn schema_changes_are_written_like_rows() {
    let files = SimFiles::new();
    let db = on(&files).unwrap();
    let fill = |name: &str| {
        let table = db.table("names").unwrap();
        table.insert_many((0..100).map(|n| json!({ "name": format!("{name} {n}") }))).unwrap();
    };
    db.create_table(names()).unwrap();
    fill("old");
    write_log(&db).unwrap();
    // Within one batch: a table goes and another of its name comes, with an index that comes, goes and comes again.
    db.drop_table("names").unwrap();
    let wider =
        Schema::builder("names").column(Column::string("name").primary_key()).column(Column::u64("n").default(7));
    db.create_table(wider.build().unwrap()).unwrap();
    db.create_index("names", Index::ordered(["n"]).named("by n")).unwrap();
    fill("new");
    db.drop_index("names", "by n").unwrap();
    db.create_index("names", Index::hash(["n"]).named("by n")).unwrap();
    db.create_table(Schema::builder("gone").column(Column::u64("n")).build().unwrap()).unwrap();
    db.drop_table("gone").unwrap();
    let version = db.snapshot().version();
    write_log(&db).unwrap();
    let next = files.next_process();
    std::mem::forget(db);

    let db = on(&next).unwrap();
    assert_eq!((db.snapshot().version(), db.table_names()), (version, vec!["names".to_string()]));
    let table = db.table("names").unwrap();
    assert_eq!(table.schema().unwrap().indexes().len(), 1);
    let n = table.column::<u64>("n").unwrap();
    assert_eq!(table.select().filter(n.eq(7)).count().unwrap(), 100);
    assert!(table.get("new 99").unwrap().is_some());
    assert_eq!(db.verify().unwrap(), []);
}

#[test]
fn a_commit_that_requires_a_sync_brings_all_before_it() {
    let files = SimFiles::new();
    let db = on(&files).unwrap();
    let table = db.create_table(names()).unwrap();
    for turn in 1..=4 {
        table.insert(&json!({ "name": format!("{turn} left to itself") })).unwrap();
        db.transaction(|tx| {
            tx.require_sync()?;
            tx.table("names")?.insert(&json!({ "name": format!("{turn} at once") }))
        })
        .unwrap();
        assert_eq!((db.durable_version(), unwritten(&db)), (1 + 2 * turn, 0));
    }
    // Also one that changes nothing, and a checkpoint.
    table.insert(&json!({ "name": "a" })).unwrap();
    assert_eq!((db.durable_version(), unwritten(&db)), (9, 1));
    db.transaction(|tx| tx.require_sync()).unwrap();
    assert_eq!((db.durable_version(), unwritten(&db)), (10, 0));
    table.insert(&json!({ "name": "b" })).unwrap();
    assert_eq!(db.checkpoint().unwrap(), 11);
    assert_eq!((db.durable_version(), unwritten(&db)), (11, 0));
    // What comes after a checkpoint is behind it in the log.
    table.insert(&json!({ "name": "c" })).unwrap();
    write_log(&db).unwrap();
    let next = files.next_process();
    std::mem::forget(db);
    let db = on(&next).unwrap();
    assert_eq!((db.snapshot().version(), db.opening().unwrap().checkpoint), (12, 11));
    assert_eq!(db.table("names").unwrap().len().unwrap(), 11);
}

#[test]
fn a_full_disk_is_told_to_the_next_write_and_takes_nothing() {
    let files = SimFiles::new();
    let db = on(&files).unwrap();
    let table = db.create_table(names()).unwrap();
    write_log(&db).unwrap();
    table.insert(&json!({ "name": "returned" })).unwrap();
    files.set_fault(Some(Fault { call: 0, count: u64::MAX, kind: FaultKind::Full }));
    assert!(matches!(write_log(&db), Err(Error::StorageFull { .. })));
    for _ in 0..3 {
        let refused = table.insert(&json!({ "name": "refused" }));
        assert!(matches!(refused, Err(Error::StorageFull { .. })), "{refused:?}");
        let refused = db.create_table(Schema::builder("other").column(Column::u64("n")).build().unwrap());
        assert!(matches!(refused, Err(Error::StorageFull { .. })));
    }
    assert_eq!((table.len().unwrap(), db.snapshot().version(), unwritten(&db)), (1, 2, 1));
    assert!(matches!(db.sync(), Err(Error::StorageFull { .. })));
    // When space returns, what had returned is written first.
    files.set_fault(None);
    assert_eq!(table.insert(&json!({ "name": "accepted" })).unwrap(), 2);
    assert_eq!(unwritten(&db), 1);
    write_log(&db).unwrap();
    let next = files.next_process();
    std::mem::forget(db);
    let db = on(&next).unwrap();
    let table = db.table("names").unwrap();
    assert_eq!((db.snapshot().version(), table.len().unwrap()), (3, 2));
    assert!(table.find("name", "returned").unwrap().is_some() && table.find("name", "accepted").unwrap().is_some());
}

#[test]
fn a_full_disk_is_noticed_and_survived_in_the_background() {
    let files = SimFiles::new();
    let engine = FileEngine::open_on(Arc::new(files.clone()), FileOptions::default()).unwrap();
    let db = builder().open_on(Arc::new(engine)).unwrap();
    let table = db.create_table(names()).unwrap();
    until("written", || unwritten(&db) == 0);
    let failure = || db.stats().storage.unwrap().background_failure;
    files.set_fault(Some(Fault { call: 0, count: u64::MAX, kind: FaultKind::Full }));
    table.insert(&json!({ "name": "returned" })).unwrap();
    until("noticed", || failure().is_some());
    assert!(table.insert(&json!({ "name": "refused" })).is_err());
    files.set_fault(None);
    until("written", || unwritten(&db) == 0 && failure().is_none());
    table.insert(&json!({ "name": "accepted" })).unwrap();
    db.close().unwrap();
    assert_eq!((db.durable_version(), table.len().unwrap()), (3, 2));
}

#[test]
fn a_commit_writes_the_log_itself_when_it_is_far_behind() {
    let engine = Arc::new(MemoryEngine::open(&MemoryStorage::default(), Format::Binary).unwrap());
    let db = without_threads(builder()).open_on(engine).unwrap();
    let schema = Schema::builder("blobs").column(Column::u64("id").primary_key()).column(Column::bytes("bytes"));
    let table = db.create_table(schema.build().unwrap()).unwrap();
    // The same rows again and again are no more to write than once.
    let blob = vec![7_u8; 1 << 20];
    for id in 0..100_u64 {
        table.upsert(&(id % 10, &blob)).unwrap();
    }
    assert_eq!(unwritten(&db), 101);
    let mut most = 0;
    for id in 10..200_u64 {
        table.insert(&(id, &blob)).unwrap();
        most = most.max(unwritten(&db));
    }
    assert!((100..200).contains(&most) && unwritten(&db) < 80, "{most} and {}", unwritten(&db));
}

#[test]
fn a_database_that_cannot_be_written_stays_open() {
    let files = SimFiles::new();
    let db = on(&files).unwrap();
    let table = db.create_table(names()).unwrap();
    write_log(&db).unwrap();
    table.insert(&json!({ "name": "returned" })).unwrap();
    files.set_fault(Some(Fault { call: 0, count: u64::MAX, kind: FaultKind::Full }));
    assert!(matches!(db.close(), Err(Error::StorageFull { .. })));
    assert!(matches!(table.insert(&json!({ "name": "refused" })), Err(Error::StorageFull { .. })));
    files.set_fault(None);
    db.close().unwrap();
    assert!(matches!(table.insert(&json!({ "name": "late" })), Err(Error::Closed)));
    drop((table, db));
    assert_eq!(on(&files).unwrap().table("names").unwrap().len().unwrap(), 1);
}

#[test]
fn what_the_log_has_is_synced_where_it_cannot_take_more() {
    let files = SimFiles::new();
    let options = FileOptions { segment_bytes: 4096, ..FileOptions::default() };
    let engine = FileEngine::open_on(Arc::new(files.clone()), options).unwrap();
    let db = without_threads(builder()).open_on(Arc::new(engine)).unwrap();
    let table = db.create_table(names()).unwrap();
    table.insert(&json!({ "name": "small" })).unwrap();
    write_log(&db).unwrap();
    assert_eq!(db.durable_version(), 0);
    files.set_fault(Some(Fault { call: 0, count: u64::MAX, kind: FaultKind::Full }));
    table.insert(&json!({ "name": "large ".repeat(1_000) })).unwrap();
    assert!(matches!(db.sync(), Err(Error::StorageFull { .. })));
    assert_eq!((db.durable_version(), unwritten(&db)), (2, 1));
}

#[test]
fn a_write_that_finds_the_log_poisoned_at_its_end_is_refused() {
    let files = SimFiles::new();
    let db = on(&files).unwrap();
    let table = db.create_table(names()).unwrap();
    write_log(&db).unwrap();
    let answer = db.transaction(|tx| {
        tx.table("names")?.insert(&json!({ "name": "never" }))?;
        files.set_fault(Some(Fault { call: 0, count: u64::MAX, kind: FaultKind::Error }));
        assert!(matches!(db.sync(), Err(Error::SyncFailed { .. })));
        Ok(())
    });
    assert!(matches!(answer, Err(Error::Poisoned { .. })), "{answer:?}");
    assert_eq!((table.len().unwrap(), db.snapshot().version()), (0, 1));
}

/// Does something when it goes, with the database that it keeps.
struct Last<F: Fn(&Database)>(Database, F);

impl<F: Fn(&Database)> Drop for Last<F> {
    fn drop(&mut self) {
        (self.1)(&self.0);
    }
}

/// A table of which a closure keeps this.
fn closing(last: impl Send + Sync + 'static) -> Schema {
    let column = Column::u64("n").default_with(move || {
        let _kept = &last;
        1_u64
    });
    Schema::builder("closing").column(column).build().unwrap()
}

#[test]
fn a_closure_that_goes_with_the_log_may_write() {
    for is_synced in [false, true] {
        let (sender, receiver) = channel();
        let files = SimFiles::new();
        let db = on(&files).unwrap();
        db.create_table(names()).unwrap();
        let last = Last(db.clone(), move |db: &Database| {
            let inserted = db.table("names").unwrap().insert(&json!({ "name": "a last word" }));
            sender.send(inserted.unwrap()).unwrap();
        });
        db.create_table(closing(last)).unwrap();
        write_log(&db).unwrap();
        db.drop_table("closing").unwrap();
        // The version that the log ends at is the last one with the closure.
        assert!(receiver.try_recv().is_err());
        if is_synced {
            db.transaction(|tx| {
                tx.require_sync()?;
                tx.table("names")?.insert(&json!({ "name": "synced" }))
            })
            .unwrap();
        } else {
            write_log(&db).unwrap();
        }
        assert_eq!(receiver.recv_timeout(Duration::from_secs(10)).unwrap(), 1 + u64::from(is_synced));
        assert_eq!(db.table("names").unwrap().len().unwrap(), 1 + u64::from(is_synced));
    }
}

/// Destructors of what closures keep may do anything. One that panics on the thread that writes the log does not end it.
#[test]
fn a_closure_that_panics_as_it_goes_with_the_log_loses_nothing() {
    struct Panics;

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("as it goes");
        }
    }

    let directory = Directory::new("behind-panics");
    let db = builder().open(&directory).unwrap();
    let table = db.create_table(names()).unwrap();
    db.create_table(closing(Panics)).unwrap();
    db.sync().unwrap();
    // This thread may be the one that is done with it.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| db.drop_table("closing")));
    until("written", || unwritten(&db) == 0);
    for n in 0..100 {
        table.insert(&json!({ "name": n.to_string() })).unwrap();
    }
    until("written again", || unwritten(&db) == 0);
    assert_eq!(db.stats().storage.unwrap().background_failure, None);
    db.close().unwrap();
    drop((table, db));
    let again = Database::open(&directory).unwrap();
    assert_eq!((again.table("names").unwrap().len().unwrap(), again.table_names().len()), (100, 1));
}

/// A commit that has returned is written although the next writer holds the database for long.
#[test]
fn a_long_transaction_does_not_keep_others_from_being_written() {
    let directory = Directory::new("behind-long");
    let db = builder().open(&directory).unwrap();
    let table = db.create_table(names()).unwrap();
    let write = &|name: String, started: Sender<()>, end: Receiver<()>| {
        let written = db.transaction(|tx| {
            started.send(()).unwrap();
            end.recv().unwrap();
            tx.table("names")?.insert(&json!({ "name": name }))
        });
        written.unwrap();
    };
    let log = directory.0.join("wal/transaction.log");
    for turn in 0..20 {
        until("written", || unwritten(&db) == 0);
        let name = &format!("first {turn}");
        thread::scope(|scope| {
            let [(started, start), (second_started, second_start)] = [channel(), channel()];
            let [(end, ended), (second_end, second_ended)] = [channel(), channel()];
            scope.spawn(move || write(name.clone(), started, ended));
            start.recv().unwrap();
            // Begins as the first returns, when the thread of the log has nothing to do but to wait.
            scope.spawn(move || write(format!("second {turn}"), second_started, second_ended));
            thread::sleep(Duration::from_millis(5));
            end.send(()).unwrap();
            second_start.recv().unwrap();
            let written = || fs::read(&log).unwrap().windows(name.len()).any(|window| window == name.as_bytes());
            until("written beside a writer", written);
            second_end.send(()).unwrap();
        });
    }
    assert_eq!(table.len().unwrap(), 40);
}

/// The log is written on a thread of its own, where the user's closures have no business.
#[test]
fn checks_are_not_run_by_the_log() {
    let here = thread::current().id();
    let column =
        Column::u64("n").default(5_u64).check("asked where it is set", move |_| thread::current().id() == here);
    let schema = Schema::builder("checked").column(column).index(Index::ordered(["n"]).named("by n")).build().unwrap();
    let directory = Directory::new("behind-checks");
    let db = builder().open(&directory).unwrap();
    db.create_table(schema).unwrap();
    let other = db.create_table(names()).unwrap();
    until("written", || unwritten(&db) == 0);
    db.drop_index("checked", "by n").unwrap();
    until("written", || unwritten(&db) == 0);
    thread::scope(|scope| scope.spawn(|| other.insert(&json!({ "name": "elsewhere" })).map(drop)).join().unwrap())
        .unwrap();
    until("written", || unwritten(&db) == 0);
    assert_eq!(db.stats().storage.unwrap().background_failure, None);
    let copy = killed(&directory);
    let again = Database::open(&copy).unwrap();
    assert_eq!(again.table("checked").unwrap().schema().unwrap().indexes().len(), 0);
    assert_eq!(again.table("names").unwrap().len().unwrap(), 1);
}

#[test]
fn the_last_handle_may_go_with_the_log() {
    let directory = Directory::new("behind-last");
    let db = builder().open(&directory).unwrap();
    db.create_table(names()).unwrap();
    db.create_table(closing(Last(db.clone(), |_| {}))).unwrap();
    db.drop_table("closing").unwrap();
    drop(db);
    // Soon the thread that writes the log is done with the closure.
    let again = std::cell::RefCell::new(None);
    until("closed", || {
        *again.borrow_mut() = Database::open(&directory).ok();
        again.borrow().is_some()
    });
    let again = again.into_inner().unwrap();
    assert_eq!((again.snapshot().version(), again.table_names()), (3, vec!["names".to_string()]));
}

#[test]
fn nothing_is_lost_between_writers_checkpoints_and_syncs() {
    let directory = Directory::new("behind-beside");
    let db = Database::builder()
        .durability(Durability::Interval(Duration::from_millis(1)))
        .segment_bytes(20_000)
        .checkpoint_bytes(10_000)
        .open(&directory)
        .unwrap();
    let table = db.ensure_table(names()).unwrap();
    thread::scope(|scope| {
        for writer in 0..3 {
            let (db, table) = (&db, &table);
            scope.spawn(move || {
                for n in 0..1_500 {
                    let id = table.insert(&json!({ "name": format!("{writer} {n}") })).unwrap();
                    assert!(table.contains(id).unwrap());
                    match n % 500 {
                        100 => drop(db.checkpoint().unwrap()),
                        200 => db.sync().unwrap(),
                        300 => {
                            let made = db.transaction(|tx| {
                                tx.require_sync()?;
                                tx.table("names")?.delete(id)?;
                                tx.base_version()
                            });
                            assert!(db.durable_version() > made.unwrap());
                        }
                        _ => {}
                    }
                }
            });
        }
    });
    let (version, rows) = (db.snapshot().version(), table.len().unwrap());
    assert_eq!(rows, 3 * 1_500 - 9);
    until("written", || unwritten(&db) == 0);
    let copy = killed(&directory);
    let again = Database::open(&copy).unwrap();
    assert_eq!((again.snapshot().version(), again.table("names").unwrap().len().unwrap()), (version, rows));
    assert_eq!(again.verify().unwrap(), []);
    drop((table, db));
    assert_eq!(Database::open(&directory).unwrap().snapshot().version(), version);
}
