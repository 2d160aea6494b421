//! Failures at moments of their own: what is answered then, and what is left.

use super::device::{Call, Device};
use super::workload::{open, options};
use folio::Error;
use folio::storage::{
    Appended, Batch, Checkpoint, FileEngine, Files, Format, ObjectKind, ObjectWriter, Placement, StorageEngine,
};
use folio::testing::SimFiles;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

fn append(engine: &FileEngine, first: u64) -> folio::Result<Appended> {
    engine.append(Batch { first, count: 1, payload: b"batch" })
}

/// A number that the system has for an error; of a bad block, on most.
const EIO: i32 = 5;

#[test]
fn a_device_that_takes_no_bytes_fails_the_append() {
    let files = SimFiles::new();
    let is_armed = Arc::new(AtomicBool::new(false));
    let device = Device::answering(&files, {
        let is_armed = Arc::clone(&is_armed);
        move |call, _| (call == Call::Write && is_armed.load(Ordering::Relaxed)).then_some(Ok(0))
    });
    let engine = FileEngine::open_on(device, options(Format::Binary)).unwrap();
    engine.claim().unwrap();
    assert_eq!(append(&engine, 1).unwrap(), Appended::At(1));
    is_armed.store(true, Ordering::Relaxed);
    match append(&engine, 2) {
        Err(Error::Io { operation, file, source }) => {
            assert_eq!((operation, &*file), ("append to", "wal/transaction.log"));
            assert_eq!(source.kind(), io::ErrorKind::WriteZero);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(engine.appended(), 1);
    is_armed.store(false, Ordering::Relaxed);
    assert_eq!(append(&engine, 2).unwrap(), Appended::At(2));
    drop(engine);
    assert_eq!(open(&files, options(Format::Binary)).unwrap().recovery().last, 2);
}

/// Also with the system's own number for it, by which a program may tell one failure from another.
#[test]
fn who_waits_for_a_sync_that_will_not_be_is_told_why() {
    for error in [|| io::Error::from_raw_os_error(EIO), || io::Error::other("a bad block")] {
        let is_armed = Arc::new(AtomicBool::new(false));
        let hooked = Device::watched(&SimFiles::new(), {
            let is_armed = Arc::clone(&is_armed);
            move |call, path| match (call, path) {
                (Call::SyncFolder, "wal") if is_armed.load(Ordering::Relaxed) => Err(error()),
                _ => Ok(()),
            }
        });
        let engine = FileEngine::open_on(hooked, options(Format::Binary)).unwrap();
        engine.claim().unwrap();
        assert_eq!(append(&engine, 1).unwrap(), Appended::At(1));
        is_armed.store(true, Ordering::Relaxed);
        for answer in [engine.seal(), engine.sync(1), engine.sync(1)] {
            match answer {
                Err(Error::SyncFailed { operation, file, source }) => {
                    assert_eq!((operation, &*file), ("sync", "wal"));
                    assert_eq!((source.raw_os_error(), source.kind()), (error().raw_os_error(), error().kind()));
                    assert_eq!(source.to_string(), error().to_string());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(engine.durable(), 0);
        match engine.seal() {
            Err(Error::Poisoned { reason }) => assert!(reason.ends_with(&error().to_string()), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}

/// A batch that was not written is cut off durably, but for which no sync is tried after one that failed.
#[test]
fn after_a_failed_sync_of_an_object_the_log_is_not_synced() {
    let files = SimFiles::new();
    let writer: Arc<Mutex<Option<Box<dyn ObjectWriter>>>> = Arc::default();
    let finished = Arc::new(Mutex::new(None));
    let log_syncs = Arc::new(AtomicU64::new(0));
    let device = Device::answering(&files, {
        let (writer, finished, log_syncs) = (Arc::clone(&writer), Arc::clone(&finished), Arc::clone(&log_syncs));
        move |call, path| match call {
            Call::Sync if path.starts_with("data/") => Some(Err(io::Error::other("a bad block"))),
            Call::Sync if path.starts_with("wal/") => {
                log_syncs.fetch_add(1, Ordering::Relaxed);
                None
            }
            Call::Write if path.starts_with("wal/") => {
                let writer = writer.lock().unwrap().take()?;
                *finished.lock().unwrap() = Some(writer.finish());
                Some(Err(io::ErrorKind::StorageFull.into()))
            }
            _ => None,
        }
    });
    let engine = FileEngine::open_on(device, options(Format::Binary)).unwrap();
    engine.claim().unwrap();
    assert_eq!(append(&engine, 1).unwrap(), Appended::At(1));
    engine.sync(1).unwrap();
    // As many as wait to be synced; one more has the first of them synced.
    let create =
        |table: u32| engine.create_object(ObjectKind::Records, &format!("t{table}"), Placement::Append).unwrap();
    (0..64).for_each(|table| drop(create(table).finish().unwrap()));
    *writer.lock().unwrap() = Some(create(64));
    let syncs = log_syncs.load(Ordering::Relaxed);
    assert!(matches!(append(&engine, 2), Err(Error::SyncFailed { file, .. }) if &*file == "data/t0.records"));
    assert!(matches!(finished.lock().unwrap().take(), Some(Err(Error::SyncFailed { .. }))));
    assert!(matches!(append(&engine, 2), Err(Error::Poisoned { .. })));
    assert!(matches!(engine.close(), Err(Error::Poisoned { .. })));
    assert_eq!(log_syncs.load(Ordering::Relaxed), syncs);
    drop(engine);
    let engine = open(&files, options(Format::Binary)).unwrap();
    assert_eq!((engine.recovery().last, engine.durable()), (1, 0));
}

/// The storage is then as the next opening would find it at any other stop.
#[test]
fn a_claim_whose_release_cannot_be_made_durable_fails() {
    let files = SimFiles::new();
    let engine = open(&files, options(Format::Binary)).unwrap();
    engine.claim().unwrap();
    assert_eq!(append(&engine, 1).unwrap(), Appended::At(1));
    engine.seal().unwrap();
    assert_eq!(append(&engine, 2).unwrap(), Appended::At(2));
    let checkpoint = Checkpoint { version: 1, ..Checkpoint::default() };
    engine.replace_manifest(engine.manifest().unwrap().generation, checkpoint).unwrap();
    drop(engine);
    let is_removed = AtomicBool::new(false);
    let hooked = Device::watched(&files, move |call, path| match (call, path) {
        (Call::Remove, "wal/transaction.00000000000000000001.log") => {
            is_removed.store(true, Ordering::Relaxed);
            Ok(())
        }
        (Call::SyncFolder, "wal") if is_removed.load(Ordering::Relaxed) => Err(io::Error::other("a bad block")),
        _ => Ok(()),
    });
    let engine = FileEngine::open_on(hooked, options(Format::Binary)).unwrap();
    assert!(matches!(engine.claim(), Err(Error::SyncFailed { file, .. }) if &*file == "wal"));
    assert!(matches!(append(&engine, 3), Err(Error::Poisoned { .. })));
    drop(engine);
    let engine = open(&files, options(Format::Binary)).unwrap();
    engine.claim().unwrap();
    assert_eq!(engine.manifest().unwrap().checkpoint.version, 1);
    assert_eq!(append(&engine, 3).unwrap(), Appended::At(3));
}

#[test]
fn a_folder_that_somebody_has_made_meanwhile_is_taken() {
    let files = SimFiles::new();
    let engine = open(&files, options(Format::Binary)).unwrap();
    files.create_folder("data").unwrap();
    files.create("data/notes.txt").unwrap();
    engine.claim().unwrap();
    let mut writer = engine.create_object(ObjectKind::Records, "t", Placement::Append).unwrap();
    writer.write(b"rows").unwrap();
    let checkpoint = Checkpoint { objects: vec![writer.finish().unwrap()], ..Checkpoint::default() };
    engine.replace_manifest(engine.manifest().unwrap().generation, checkpoint).unwrap();
    drop(engine);
    let engine = open(&files, options(Format::Binary)).unwrap();
    engine.claim().unwrap();
    engine.verify(&mut |damage| panic!("{damage}")).unwrap();
    assert!(files.image().get("data/notes.txt").is_some());
}
