//! Backups, compaction, archives, forks.

use super::directory::Directory;
use super::{names, tree};
use folio::storage::{Batch, FileEngine, FileOptions, Format, OpenReport, StorageEngine};
use folio::testing::{SimFiles, each_crash_image};
use folio::{Column, Database, Durability, Error, Schema};
use serde_json::json;
use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[test]
fn a_backup_is_one_version_whatever_is_written_meanwhile() {
    let directory = Directory::new("copies-backup");
    let db = Database::builder().durability(Durability::Buffered).checkpoint_bytes(5_000).open(&directory).unwrap();
    let counter = |name: &str| Schema::builder(name).column(Column::u64("n")).build().unwrap();
    db.transaction(|tx| {
        tx.create_table(counter("left"))?;
        tx.create_table(counter("right")).map(drop)
    })
    .unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0_u64.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                db.transaction(|tx| {
                    tx.table("left")?.insert(&(n,))?;
                    tx.table("right")?.insert(&(n,)).map(drop)
                })
                .unwrap();
            }
        });
        for turn in 0..10 {
            let copy = directory.0.join(format!("copy-{turn}"));
            let format = [Format::Binary, Format::JsonLines][turn % 2];
            let snapshot = db.snapshot();
            if turn < 5 {
                snapshot.backup_in(&copy, format).unwrap()
            } else {
                db.backup_to(&copy).unwrap()
            }
            assert_eq!(Database::verify_at(&copy).unwrap(), []);
            let copy = Database::open(&copy).unwrap();
            let opening = copy.opening().unwrap();
            assert_eq!((opening.log, opening.replayed), (OpenReport::Clean, 0));
            let (version, rows) = (opening.version, copy.table("left").unwrap().len().unwrap());
            assert!(version >= snapshot.version() && (turn >= 5 || version == snapshot.version()));
            assert_eq!((rows, copy.table("right").unwrap().len().unwrap()), (version - 1, version - 1));
            // It is a database like any other.
            copy.table("left").unwrap().insert(&(0,)).unwrap();
            assert_eq!(copy.snapshot().version(), version + 1);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_backup_goes_to_an_empty_place_only() {
    let directory = Directory::new("copies-refused");
    let db = Database::in_memory();
    db.create_table(names()).unwrap().insert(&json!({ "name": "new" })).unwrap();
    let other = Database::open(&directory).unwrap();
    other.ensure_table(names()).unwrap().insert(&json!({ "name": "old" })).unwrap();
    drop(other);
    let before = tree(&directory.0);
    assert!(matches!(db.backup_to(&directory), Err(Error::NotADatabase { .. })));
    assert_eq!(tree(&directory.0), before);
    // An empty folder is one.
    let empty = Directory::new("copies-empty");
    fs::create_dir_all(&empty).unwrap();
    db.backup_to(&empty).unwrap();
    assert_eq!(Database::open(&empty).unwrap().table("names").unwrap().len().unwrap(), 1);
}

#[test]
fn an_empty_database_has_a_backup_too() {
    let directory = Directory::new("copies-nothing");
    Database::in_memory().backup_to(&directory).unwrap();
    let db = Database::open(&directory).unwrap();
    assert_eq!((db.table_names().len(), db.snapshot().version()), (0, 0));
}

#[test]
fn numbers_go_on_in_a_backup() {
    let directory = Directory::new("copies-numbers");
    let db = Database::in_memory();
    let table = db.create_table(names()).unwrap();
    for n in 0..10 {
        table.insert(&json!({ "name": n.to_string() })).unwrap();
    }
    table.clear().unwrap();
    db.snapshot().backup_in(&directory, Format::JsonLines).unwrap();
    let copy = Database::builder().format(Format::Binary).open(&directory).unwrap();
    assert_eq!(copy.table("names").unwrap().insert(&json!({ "name": "a" })).unwrap(), 11);
}

#[test]
fn compaction_gives_space_back() {
    let directory = Directory::new("copies-compact");
    let builder = Database::builder().durability(Durability::Buffered).checkpoint_bytes(None);
    let db = builder.open(&directory).unwrap();
    let table = db.ensure_table(names()).unwrap();
    table.insert_many((0..5_000).map(|n| (None::<u64>, format!("{n} {}", "x".repeat(100))))).unwrap();
    db.checkpoint().unwrap();
    let bytes = || tree(&directory.0).iter().map(|(_, content)| content.len()).sum::<usize>();
    let full = bytes();
    table.delete_where(|row: &folio::Row| row.id() % 50 != 0).unwrap();
    db.checkpoint().unwrap();
    db.compact().unwrap();
    let stats = db.stats().storage.unwrap().engine;
    assert_eq!(stats.object_bytes, stats.live_object_bytes);
    assert!(bytes() * 10 < full, "{full} bytes became {}", bytes());
    assert_eq!(db.verify().unwrap(), []);
    drop((table, db));
    assert_eq!(Database::open(&directory).unwrap().table("names").unwrap().len().unwrap(), 100);
}

/// At a million commits a second, a database in memory comes to such a version within two months.
#[test]
fn a_version_of_a_long_life_is_copied() {
    let directory = Directory::new("copies-late");
    let engine = FileEngine::open(directory.0.join("origin"), FileOptions::default()).unwrap();
    engine.claim().unwrap();
    for step in 0..1_100 {
        let first = 1 + step * u64::from(u32::MAX);
        let _ = engine.append(Batch { first, count: u32::MAX, payload: b"" }).unwrap();
    }
    engine.close().unwrap();
    drop(engine);
    let db = Database::open(directory.0.join("origin")).unwrap();
    db.create_table(names()).unwrap();
    let version = db.snapshot().version();
    assert!(version > 1 << 42);
    db.backup_to(directory.0.join("copy")).unwrap();
    let copy = Database::open(directory.0.join("copy")).unwrap();
    assert_eq!((copy.snapshot().version(), copy.table_names()), (version, vec!["names".to_owned()]));
}

#[test]
fn archived_segments_stay_where_they_are_wanted() {
    for keep in [false, true] {
        let directory = Directory::new("copies-archive");
        let builder = Database::builder().keep_archived(keep).segment_bytes(2_000).checkpoint_bytes(None);
        let db = builder.durability(Durability::Buffered).open(&directory).unwrap();
        let table = db.ensure_table(names()).unwrap();
        for n in 0..200 {
            table.insert(&json!({ "name": n.to_string() })).unwrap();
        }
        let segments = || fs::read_dir(directory.0.join("wal")).unwrap().count();
        let before = segments();
        assert!(before > 5);
        db.checkpoint().unwrap();
        if keep {
            assert!(segments() >= before)
        } else {
            assert_eq!(segments(), 1)
        }
        assert_eq!(db.verify().unwrap(), []);
        drop((table, db));
        // The figure is of all that there is, also of what was there before.
        let archived = || {
            let files = fs::read_dir(directory.0.join("wal")).unwrap().map(Result::unwrap);
            let archived = files.filter(|file| file.file_name() != "transaction.log");
            archived.map(|file| file.metadata().unwrap().len()).sum::<u64>()
        };
        let before = archived();
        let db = Database::builder().keep_archived(keep).checkpoint_bytes(None).open(&directory).unwrap();
        assert_eq!(archived(), if keep { before } else { 0 });
        let figure = db.stats().storage.unwrap().engine.log_bytes;
        assert!((archived()..archived() + 1_000).contains(&figure), "{figure} beside {}", archived());
        drop(db);
        let db = Database::open(&directory).unwrap();
        assert_eq!((segments(), archived()), (1, 0));
        assert_eq!((db.opening().unwrap().replayed, db.table("names").unwrap().len().unwrap()), (0, 200));
    }
}

#[test]
fn a_fork_is_in_memory() {
    let directory = Directory::new("copies-fork");
    let db = Database::open(&directory).unwrap();
    let table = db.ensure_table(names()).unwrap();
    table.insert(&json!({ "name": "both" })).unwrap();
    let fork = db.fork();
    let before = db.stats().storage.unwrap().engine;
    for n in 0..100 {
        fork.table("names").unwrap().insert(&json!({ "name": n.to_string() })).unwrap();
    }
    fork.create_table(Schema::builder("own").column(Column::u64("n")).build().unwrap()).unwrap();
    assert!(fork.opening().is_none() && fork.stats().storage.is_none());
    assert!(matches!(fork.checkpoint(), Err(Error::InvalidStorageCall { .. })));
    fork.sync().unwrap();
    fork.close().unwrap();
    fork.table("names").unwrap().insert(&json!({ "name": "after its close" })).unwrap();
    assert_eq!(db.stats().storage.unwrap().engine.batches, before.batches);
    assert_eq!(table.len().unwrap(), 1);
    drop((table, db));
    // The fork goes on without its origin, and can be kept.
    assert_eq!(fork.table("names").unwrap().len().unwrap(), 102);
    fork.backup_to(directory.0.join("fork")).unwrap();
    assert_eq!(Database::open(directory.0.join("fork")).unwrap().table_names(), ["names", "own"]);
    assert_eq!(Database::open(&directory).unwrap().table("names").unwrap().len().unwrap(), 1);
}

#[test]
fn a_copy_that_loses_power_is_whole_or_empty_or_refused() {
    let db = Database::in_memory();
    for name in ["a", "b"] {
        let table = db.create_table(Schema::builder(name).column(Column::u64("n")).build().unwrap()).unwrap();
        table.insert_many((0..100_u64).map(|n| [n])).unwrap();
    }
    for format in [Format::Binary, Format::JsonLines] {
        let files = SimFiles::new();
        let open =
            |files: SimFiles| FileEngine::open_on(Arc::new(files), FileOptions { format, ..FileOptions::default() });
        db.snapshot().backup_on(&open(files.clone()).unwrap()).unwrap();
        let again = db.snapshot().backup_on(&open(files.next_process()).unwrap());
        assert!(matches!(again, Err(Error::NotADatabase { .. })), "{again:?}");
        let (mut empty, mut refused, mut whole) = (0, 0, 0);
        each_crash_image(&files.trace(), 0, 64, &mut |_, image| {
            let engine = open(SimFiles::mount(&image));
            match engine.and_then(|engine| Database::builder().open_on(Arc::new(engine))) {
                Err(Error::Corrupt { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
                Ok(copy) if copy.snapshot().version() == 0 => {
                    assert!(!image.files().iter().any(|file| file.starts_with("data/")), "{:?}", image.files());
                    empty += 1;
                }
                Ok(copy) => {
                    let rows = ["a", "b"].map(|name| copy.table(name).unwrap().len().unwrap());
                    assert_eq!((copy.snapshot().version(), rows), (db.snapshot().version(), [100, 100]));
                    whole += 1;
                }
            }
            ControlFlow::Continue(())
        });
        assert!(empty > 0 && refused > 0 && whole > 0, "{empty} {refused} {whole}");
    }
}
