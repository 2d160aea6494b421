//! What is damaged, removed or released while an engine has it open.

use super::device::{Call, Device};
use super::workload::open;
use folio::Error;
use folio::storage::{Appended, Batch, Checkpoint, Damage, FileEngine, FileOptions, Files, StorageEngine};
use folio::testing::SimFiles;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const LIVE: &str = "wal/transaction.log";
const FIRST: &str = "wal/transaction.00000000000000000001.log";
const SECOND: &str = "wal/transaction.00000000000000000003.log";

fn options(keep_archived: bool) -> FileOptions {
    FileOptions { keep_archived, preallocate_bytes: 0, ..FileOptions::default() }
}

/// Six batches, two to a segment, of which a checkpoint covers the first four.
fn write(engine: &FileEngine) {
    engine.claim().unwrap();
    for first in 1..=6 {
        assert_eq!(engine.append(Batch { first, count: 1, payload: b"batch" }).unwrap(), Appended::At(first));
        if first == 2 || first == 4 {
            engine.seal().unwrap();
        }
    }
    let checkpoint = Checkpoint { version: 4, ..Checkpoint::default() };
    engine.replace_manifest(engine.manifest().unwrap().generation, checkpoint).unwrap();
}

fn begun(keep_archived: bool) -> (SimFiles, FileEngine) {
    let files = SimFiles::new();
    let engine = open(&files, options(keep_archived)).unwrap();
    write(&engine);
    (files, engine)
}

fn damages(engine: &FileEngine) -> Vec<Damage> {
    let mut damages = Vec::new();
    engine.verify(&mut |damage| damages.push(damage)).unwrap();
    damages
}

fn read_from(engine: &FileEngine, version: u64) -> folio::Result<Vec<u64>> {
    let mut versions = Vec::new();
    engine.read_from(version, &mut |batch| {
        versions.push(batch.first);
        Ok(())
    })?;
    Ok(versions)
}

/// Overwrites a file's bytes, with the last `end` of them left out.
fn overwrite(files: &SimFiles, path: &str, end: usize, bytes: &[u8]) {
    let file = files.open(path).unwrap();
    let at = file.length().unwrap() - (end + bytes.len()) as u64;
    assert_eq!(file.write_at(bytes, at).unwrap(), bytes.len());
}

/// To a file, what is said about it, and how it is made.
type Change<'c> = (&'c str, &'c str, &'c dyn Fn(&SimFiles));

#[test]
fn verify_sees_what_has_changed_since_the_opening() {
    let (_, engine) = begun(true);
    assert_eq!(damages(&engine), []);
    // A frame is a header of 52 bytes and the payload.
    let changes: [Change<'_>; 5] = [
        (FIRST, "a segment of the log, found no file", &|files| files.remove(FIRST).unwrap()),
        (SECOND, "a batch that matches its checksum, found other bytes", &|files| {
            overwrite(files, SECOND, 0, b"other")
        }),
        (LIVE, "a batch that matches its checksum, found other bytes", &|files| overwrite(files, LIVE, 0, b"other")),
        (LIVE, "all batches that were appended, found fewer", &|files| overwrite(files, LIVE, 0, &[0; 57])),
        ("manifest", "the manifest that is in use, found another one", &|files| {
            let image = begun(true).0.image();
            let other = image.get("manifest").unwrap();
            files.open("manifest").unwrap().set_length(other.len() as u64).unwrap();
            overwrite(files, "manifest", 0, other);
        }),
    ];
    for (path, text, change) in changes {
        let (files, engine) = begun(true);
        change(&files);
        let damages = damages(&engine);
        assert_eq!(damages.len(), 1, "{damages:?}");
        assert!(&*damages[0].file == path && damages[0].to_string().ends_with(text), "{damages:?}");
        match path {
            "manifest" => assert_eq!(read_from(&engine, 1).unwrap(), [1, 2, 3, 4, 5, 6]),
            FIRST => assert!(matches!(read_from(&engine, 1), Err(Error::NotInLog { version: 1, .. }))),
            _ => assert!(matches!(read_from(&engine, 1), Err(Error::Corrupt { file, .. }) if *file == *path)),
        }
    }
}

/// The log that a checkpoint covers is not read by an opening.
#[test]
fn an_archived_batch_of_another_version_is_told_when_it_is_read() {
    let (files, engine) = begun(true);
    drop(engine);
    let mut bytes = files.image().get(FIRST).unwrap().to_vec();
    let at = bytes.len() - 57;
    bytes[at + 4] = 2;
    let checksum = crc32fast::hash(&bytes[at..at + 48]);
    bytes[at + 48..at + 52].copy_from_slice(&checksum.to_le_bytes());
    let engine = open(&SimFiles::mount(&files.image().with(FIRST, Some(bytes))), options(true)).unwrap();
    let refused = read_from(&engine, 1);
    assert!(matches!(refused, Err(Error::UnsupportedFormat { found: 2, supported: 1, .. })), "{refused:?}");
    assert_eq!(read_from(&engine, 3).unwrap(), [3, 4, 5, 6]);
    let damages = damages(&engine);
    assert_eq!(damages.len(), 1);
    let Damage { file, expected, found, .. } = &damages[0];
    assert_eq!((&**file, &**expected, &**found), (FIRST, "format version 1", "2"));
}

#[test]
fn what_is_released_while_it_is_read_is_not_in_the_log() {
    let (files, engine) = begun(false);
    let mut versions = Vec::new();
    let read = engine.read_from(1, &mut |batch| {
        versions.push(batch.first);
        engine.release_log(u64::MAX)
    });
    assert!(matches!(read, Err(Error::NotInLog { version: 3, first: 5 })), "{read:?}");
    assert_eq!(versions, [1, 2]);
    assert!(files.image().get(SECOND).is_none());
    assert!(matches!(read_from(&engine, 4), Err(Error::NotInLog { version: 4, first: 5 })));
    assert_eq!(read_from(&engine, 5).unwrap(), [5, 6]);
}

/// Segments are released one by one, the oldest first: those behind it are still there.
#[test]
fn where_the_first_segment_goes_the_next_is_named() {
    let files = Device::answering(&SimFiles::new(), |call, path| {
        (call == Call::Open && path == FIRST).then(|| Err(io::ErrorKind::NotFound.into()))
    });
    let engine = FileEngine::open_on(files, options(false)).unwrap();
    write(&engine);
    let refused = read_from(&engine, 1);
    assert!(matches!(refused, Err(Error::NotInLog { version: 1, first: 3 })), "{refused:?}");
    assert_eq!(read_from(&engine, 3).unwrap(), [3, 4, 5, 6]);
}

/// A segment that is there and cannot be read is not one that was released; and memory that runs out is no damage.
#[test]
fn what_cannot_be_read_is_told_from_what_is_gone() {
    let (is_unreadable, is_endless) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let device = Device::answering(&SimFiles::new(), {
        let (is_unreadable, is_endless) = (Arc::clone(&is_unreadable), Arc::clone(&is_endless));
        move |call, path| match call {
            Call::Open if path == FIRST && is_unreadable.load(Ordering::Relaxed) => {
                Some(Err(io::Error::other("a bad block")))
            }
            Call::Length if path == SECOND && is_endless.load(Ordering::Relaxed) => Some(Ok(u64::MAX)),
            _ => None,
        }
    });
    let engine = FileEngine::open_on(device, options(true)).unwrap();
    write(&engine);
    is_unreadable.store(true, Ordering::Relaxed);
    assert!(matches!(read_from(&engine, 1), Err(Error::Io { operation: "open", file, .. }) if *file == *FIRST));
    let found = damages(&engine);
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].file, &*found[0].found), (FIRST, "a bad block"));
    is_endless.store(true, Ordering::Relaxed);
    assert!(matches!(engine.verify(&mut drop), Err(Error::OutOfMemory { .. })));
    assert!(matches!(read_from(&engine, 3), Err(Error::OutOfMemory { .. })));
    assert_eq!(read_from(&engine, 5).unwrap(), [5, 6]);
}
