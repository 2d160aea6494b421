//! What every storage engine must do, whatever it stands on.

use crate::error::{Error, Result};
use crate::storage::{Appended, Batch, Checkpoint, Format, Object, ObjectKind, OpenReport, Placement, StorageEngine};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

/// Something that engines can be opened on, one after the other.
pub trait Storage: Send + Sync {
    /// Opens it, as a new process would.
    ///
    /// # Errors
    /// As the engine's constructor.
    fn open(&self) -> Result<Arc<dyn StorageEngine>>;
}

/// Runs the suite, each test on a new storage from `fresh`.
///
/// # Panics
/// At the first test that fails, with its name on the error output.
pub fn conformance(fresh: &dyn Fn() -> Box<dyn Storage>) {
    for (name, test) in TESTS {
        let outcome = catch_unwind(AssertUnwindSafe(|| test(&*fresh())));
        if let Err(panic) = outcome {
            eprintln!("conformance: `{name}` failed");
            resume_unwind(panic);
        }
    }
}

type Test = fn(&dyn Storage);

const TESTS: [(&str, Test); 14] = [
    ("a new storage is empty", a_new_storage_is_empty),
    ("nothing is written before claim or after close", nothing_is_written_before_claim_or_after_close),
    ("batches are appended in order", batches_are_appended_in_order),
    ("a sync makes durable what was appended", a_sync_makes_durable_what_was_appended),
    ("batches are read from any version", batches_are_read_from_any_version),
    ("what was appended survives a close", what_was_appended_survives_a_close),
    ("what was appended survives a drop", what_was_appended_survives_a_drop),
    ("a second opening is refused", a_second_opening_is_refused),
    ("objects return as they were written", objects_return_as_they_were_written),
    ("a manifest is replaced by compare and swap", a_manifest_is_replaced_by_compare_and_swap),
    ("objects that no manifest names are gone", objects_that_no_manifest_names_are_gone),
    ("the log is released behind a checkpoint", the_log_is_released_behind_a_checkpoint),
    ("any table has objects", any_table_has_objects),
    ("threads share syncs", threads_share_syncs),
];

/// Content that differs from number to number, in the engine's format.
fn payload(engine: &dyn StorageEngine, number: u64) -> Vec<u8> {
    let text = format!("{{\"number\":{number},\"text\":\"{}\"}}\n", "x".repeat(number as usize % 50));
    match engine.format() {
        Format::JsonLines => text.into_bytes(),
        Format::Binary => text.bytes().map(|byte| byte ^ 0x80).collect(),
    }
}

fn append(engine: &dyn StorageEngine, first: u64, count: u32) {
    let payload = payload(engine, first);
    let batch = Batch { first, count, payload: &payload };
    assert_eq!(engine.append(batch).unwrap(), Appended::At(first + u64::from(count) - 1));
}

/// The batches from `version` on, as (first, count), their payloads checked.
fn batches(engine: &dyn StorageEngine, version: u64) -> Vec<(u64, u32)> {
    let mut found = Vec::new();
    engine
        .read_from(version, &mut |batch| {
            assert_eq!(batch.payload, payload(engine, batch.first));
            found.push((batch.first, batch.count));
            Ok(())
        })
        .unwrap();
    found
}

fn object(engine: &dyn StorageEngine, table: &str, placement: Placement, content: &[u8]) -> Object {
    let mut writer = engine.create_object(ObjectKind::Records, table, placement).unwrap();
    for piece in content.chunks(70_001) {
        writer.write(piece).unwrap();
    }
    let object = writer.finish().unwrap();
    assert_eq!((object.kind(), object.table()), (ObjectKind::Records, table));
    assert_eq!(object.length(), content.len() as u64);
    object
}

fn content(engine: &dyn StorageEngine, object: &Object) -> Vec<u8> {
    engine.open_object(object).unwrap().read_to_end().unwrap()
}

fn checkpoint(version: u64, objects: &[Object]) -> Checkpoint {
    Checkpoint { version, objects: objects.to_vec(), content: serde_json::json!({ "version": version }) }
}

fn claimed(storage: &dyn Storage) -> Arc<dyn StorageEngine> {
    let engine = storage.open().unwrap();
    engine.claim().unwrap();
    engine
}

fn assert_undamaged(engine: &dyn StorageEngine) {
    engine.verify(&mut |damage| panic!("{damage}")).unwrap();
}

fn a_new_storage_is_empty(storage: &dyn Storage) {
    let engine = storage.open().unwrap();
    let recovery = engine.recovery().clone();
    assert_eq!((recovery.manifest, recovery.last, recovery.report), (None, 0, OpenReport::Empty));
    engine.claim().unwrap();
    assert_eq!((engine.appended(), engine.durable()), (0, 0));
    assert_eq!(batches(&*engine, 1), []);
    let manifest = engine.manifest().unwrap();
    assert_eq!((manifest.checkpoint.version, manifest.checkpoint.objects.len()), (0, 0));
    assert_undamaged(&*engine);
    engine.close().unwrap();
    let engine = storage.open().unwrap();
    assert_eq!(engine.recovery().report, OpenReport::Clean);
}

fn nothing_is_written_before_claim_or_after_close(storage: &dyn Storage) {
    let engine = storage.open().unwrap();
    let refused = |engine: &dyn StorageEngine| {
        let batch = Batch { first: engine.appended() + 1, count: 1, payload: b"\n" };
        assert!(matches!(engine.append(batch), Err(Error::InvalidStorageCall { .. })));
        assert!(matches!(engine.seal(), Err(Error::InvalidStorageCall { .. })));
        assert!(matches!(engine.replace_manifest(0, Checkpoint::default()), Err(Error::InvalidStorageCall { .. })));
        let created = engine.create_object(ObjectKind::Schema, "t", Placement::Replace);
        assert!(matches!(created.err(), Some(Error::InvalidStorageCall { .. })));
    };
    refused(&*engine);
    engine.claim().unwrap();
    assert!(matches!(engine.claim(), Err(Error::InvalidStorageCall { .. })));
    append(&*engine, 1, 1);
    engine.close().unwrap();
    engine.close().unwrap();
    refused(&*engine);
    assert!(matches!(engine.claim(), Err(Error::InvalidStorageCall { .. })));
}

fn batches_are_appended_in_order(storage: &dyn Storage) {
    let engine = claimed(storage);
    append(&*engine, 1, 1);
    append(&*engine, 2, 3);
    for first in [0, 1, 2, 4, 6, u64::MAX] {
        let batch = Batch { first, count: 1, payload: b"\n" };
        assert_eq!(engine.append(batch).unwrap(), Appended::Conflict(4));
    }
    let none = Batch { first: 5, count: 0, payload: b"\n" };
    assert!(matches!(engine.append(none), Err(Error::InvalidStorageCall { .. })));
    if engine.format() == Format::JsonLines {
        let open = Batch { first: 5, count: 1, payload: b"{}" };
        assert!(matches!(engine.append(open), Err(Error::InvalidStorageCall { .. })));
    }
    append(&*engine, 5, u32::MAX);
    assert_eq!(engine.appended(), 4 + u64::from(u32::MAX));
    assert_eq!(batches(&*engine, 1), [(1, 1), (2, 3), (5, u32::MAX)]);
    let stats = engine.stats();
    assert_eq!((stats.appended, stats.batches), (engine.appended(), 3));
}

fn a_sync_makes_durable_what_was_appended(storage: &dyn Storage) {
    let engine = claimed(storage);
    for first in 1..=5 {
        append(&*engine, first, 1);
    }
    assert!(engine.durable() <= 5);
    assert!(matches!(engine.sync(6), Err(Error::Conflict { .. })));
    engine.sync(3).unwrap();
    assert!(engine.durable() >= 3);
    engine.sync(0).unwrap();
    engine.sync(5).unwrap();
    assert_eq!(engine.durable(), 5);
    append(&*engine, 6, 1);
    engine.seal().unwrap();
    assert_eq!(engine.durable(), 6);
}

fn batches_are_read_from_any_version(storage: &dyn Storage) {
    let engine = claimed(storage);
    for first in (1..100).step_by(3) {
        append(&*engine, first, 3);
        if first % 10 == 1 {
            engine.seal().unwrap();
        }
    }
    let all: Vec<(u64, u32)> = (1..100).step_by(3).map(|first| (first, 3)).collect();
    for version in 1..=99 {
        assert_eq!(batches(&*engine, version), all[(version as usize - 1) / 3..]);
    }
    assert_eq!(batches(&*engine, 100), []);
    assert_eq!(batches(&*engine, u64::MAX), []);
    let mut seen = 0;
    let stopped = engine.read_from(1, &mut |_| {
        seen += 1;
        if seen == 5 { Err(Error::abort("enough")) } else { Ok(()) }
    });
    assert!(matches!(stopped, Err(Error::Aborted { .. })) && seen == 5);
}

fn survives(storage: &dyn Storage, close: bool) {
    let mut versions = 0;
    for round in 1..5_u64 {
        let engine = storage.open().unwrap();
        let report = if round == 1 { OpenReport::Empty } else { OpenReport::Clean };
        assert_eq!((engine.recovery().last, engine.recovery().report), (versions, report));
        // What is there can be read before it is claimed.
        assert_eq!(batches(&*engine, 1).len() as u64, versions);
        engine.claim().unwrap();
        assert_eq!((engine.appended(), engine.durable()), (versions, versions));
        for _ in 0..round * 3 {
            versions += 1;
            append(&*engine, versions, 1);
        }
        assert_eq!(batches(&*engine, 1).len() as u64, versions);
        assert_undamaged(&*engine);
        if close {
            engine.close().unwrap();
        }
    }
}

fn what_was_appended_survives_a_close(storage: &dyn Storage) {
    survives(storage, true);
}

fn what_was_appended_survives_a_drop(storage: &dyn Storage) {
    survives(storage, false);
}

fn a_second_opening_is_refused(storage: &dyn Storage) {
    let engine = claimed(storage);
    assert!(matches!(storage.open().err(), Some(Error::Locked { .. })));
    append(&*engine, 1, 1);
    engine.close().unwrap();
    let next = storage.open().unwrap();
    assert_eq!(next.recovery().last, 1);
    drop(engine);
    assert!(matches!(storage.open().err(), Some(Error::Locked { .. })));
    drop(next);
    storage.open().unwrap();
}

fn objects_return_as_they_were_written(storage: &dyn Storage) {
    let engine = claimed(storage);
    let contents: Vec<Vec<u8>> = [0, 1, 65_535, 65_536, 65_537, 300_000, 0, 17]
        .iter()
        .map(|length| (0..*length).map(|index| (index * 31 + length) as u8).collect())
        .collect();
    let placement = |index| if index == 4 { Placement::Replace } else { Placement::Append };
    let written: Vec<Object> =
        contents.iter().enumerate().map(|(index, content)| object(&*engine, "t", placement(index), content)).collect();
    for (object, expected) in written.iter().zip(&contents) {
        assert_eq!(content(&*engine, object), *expected);
    }
    // Two at once, and one that is given up.
    let mut first = engine.create_object(ObjectKind::Records, "t", Placement::Append).unwrap();
    let mut second = engine.create_object(ObjectKind::Records, "t", Placement::Append).unwrap();
    let mut third = engine.create_object(ObjectKind::Records, "u", Placement::Append).unwrap();
    first.write(b"first").unwrap();
    third.write(&[7; 200_000]).unwrap();
    second.write(b"second").unwrap();
    drop(third);
    let (first, second) = (first.finish().unwrap(), second.finish().unwrap());
    let third = object(&*engine, "u", Placement::Append, b"third");
    let mut all = written;
    all.extend([first.clone(), second.clone(), third.clone()]);
    let generation = engine.manifest().unwrap().generation;
    let generation = engine.replace_manifest(generation, checkpoint(0, &all)).unwrap();
    assert_eq!(engine.manifest().unwrap().checkpoint, checkpoint(0, &all));
    assert_undamaged(&*engine);
    drop(engine);

    let engine = claimed(storage);
    let manifest = engine.recovery().manifest.clone().unwrap();
    assert_eq!((manifest.generation, &manifest.checkpoint), (generation, &checkpoint(0, &all)));
    for (object, expected) in all.iter().zip(&contents) {
        assert_eq!(content(&*engine, object), *expected);
    }
    assert_eq!(content(&*engine, &first), b"first");
    assert_eq!(content(&*engine, &second), b"second");
    assert_eq!(content(&*engine, &third), b"third");
    // Behind what is there, which stays.
    let more = object(&*engine, "t", Placement::Append, b"more");
    all.push(more);
    engine.replace_manifest(generation, checkpoint(0, &all)).unwrap();
    for (object, expected) in all.iter().zip(&contents) {
        assert_eq!(content(&*engine, object), *expected);
    }
}

fn a_manifest_is_replaced_by_compare_and_swap(storage: &dyn Storage) {
    let engine = claimed(storage);
    append(&*engine, 1, 5);
    let first = engine.manifest().unwrap().generation;
    assert!(matches!(engine.replace_manifest(first + 1, checkpoint(3, &[])), Err(Error::Conflict { .. })));
    let second = engine.replace_manifest(first, checkpoint(3, &[])).unwrap();
    assert!(second > first && engine.durable() >= 3);
    assert!(matches!(engine.replace_manifest(first, checkpoint(4, &[])), Err(Error::Conflict { .. })));
    assert!(matches!(engine.replace_manifest(second, checkpoint(2, &[])), Err(Error::InvalidStorageCall { .. })));
    assert!(matches!(engine.replace_manifest(second, checkpoint(6, &[])), Err(Error::Conflict { .. })));
    assert_eq!(engine.manifest().unwrap().checkpoint, checkpoint(3, &[]));
}

fn objects_that_no_manifest_names_are_gone(storage: &dyn Storage) {
    let engine = claimed(storage);
    let (old, kept) =
        (object(&*engine, "t", Placement::Append, b"old"), object(&*engine, "u", Placement::Append, b"u"));
    let generation = engine.manifest().unwrap().generation;
    let generation = engine.replace_manifest(generation, checkpoint(0, &[old.clone(), kept.clone()])).unwrap();
    let new = object(&*engine, "t", Placement::Replace, b"new");
    let mut open = engine.open_object(&old).unwrap();
    let generation = engine.replace_manifest(generation, checkpoint(0, &[new.clone(), kept.clone()])).unwrap();
    assert_eq!(open.read_to_end().unwrap(), b"old");
    assert!(engine.open_object(&old).is_err());
    let stale = engine.replace_manifest(generation, checkpoint(0, std::slice::from_ref(&old)));
    assert!(matches!(stale, Err(Error::InvalidStorageCall { .. })));
    // Finished, but never named.
    let lost = object(&*engine, "v", Placement::Append, b"lost");
    drop(engine);
    let engine = claimed(storage);
    assert!(engine.open_object(&old).is_err());
    assert_eq!((content(&*engine, &new), content(&*engine, &kept)), (b"new".to_vec(), b"u".to_vec()));
    let stale = engine.replace_manifest(generation, checkpoint(0, &[lost]));
    // An engine that keeps nothing beyond the process may keep what was finished.
    assert!(stale.is_ok() || matches!(stale, Err(Error::InvalidStorageCall { .. })));
}

fn the_log_is_released_behind_a_checkpoint(storage: &dyn Storage) {
    let engine = claimed(storage);
    for first in 1..=30 {
        append(&*engine, first, 1);
        if first % 10 == 0 {
            engine.seal().unwrap();
            engine.seal().unwrap();
        }
    }
    engine.release_log(30).unwrap();
    assert_eq!(batches(&*engine, 1).len(), 30, "no checkpoint covers it");
    let generation = engine.manifest().unwrap().generation;
    let generation = engine.replace_manifest(generation, checkpoint(15, &[])).unwrap();
    engine.release_log(u64::MAX).unwrap();
    engine.release_log(u64::MAX).unwrap();
    assert_eq!(batches(&*engine, 16).len(), 15);
    append(&*engine, 31, 1);
    engine.replace_manifest(generation, checkpoint(31, &[])).unwrap();
    engine.release_log(12).unwrap();
    assert_eq!(batches(&*engine, 25).len(), 7);
    engine.seal().unwrap();
    engine.release_log(31).unwrap();
    append(&*engine, 32, 1);
    assert_eq!(batches(&*engine, 32), [(32, 1)]);
    drop(engine);
    let engine = claimed(storage);
    assert_eq!(engine.appended(), 32);
    assert_eq!(batches(&*engine, 32), [(32, 1)]);
    assert_undamaged(&*engine);
}

fn any_table_has_objects(storage: &dyn Storage) {
    let engine = claimed(storage);
    let long = "Ä".repeat(64);
    let tables = [
        "t",
        "T",
        "con",
        "CON",
        "a/b",
        "..",
        "../x",
        "a\\b",
        "a b",
        "t.1",
        "t.records",
        "é",
        "%41",
        "=",
        &long,
        "\0",
        "",
    ];
    let written: Vec<Object> =
        tables.iter().map(|table| object(&*engine, table, Placement::Append, table.as_bytes())).collect();
    let generation = engine.manifest().unwrap().generation;
    engine.replace_manifest(generation, checkpoint(0, &written)).unwrap();
    engine.close().unwrap();
    drop(engine);
    let engine = claimed(storage);
    assert_eq!(engine.recovery().manifest.as_ref().unwrap().checkpoint.objects, written);
    for (object, table) in written.iter().zip(tables) {
        assert_eq!((object.table(), content(&*engine, object)), (table, table.as_bytes().to_vec()));
    }
}

fn threads_share_syncs(storage: &dyn Storage) {
    let engine = claimed(storage);
    let (threads, commits) = (8, 50);
    let writer = Mutex::new(());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..commits {
                    let version = {
                        let _guard = writer.lock().unwrap();
                        let version = engine.appended() + 1;
                        append(&*engine, version, 1);
                        version
                    };
                    engine.sync(version).unwrap();
                    assert!(engine.durable() >= version);
                }
            });
        }
    });
    let all = threads * commits;
    assert_eq!((engine.appended(), engine.durable()), (all, all));
    let stats = engine.stats();
    assert!(stats.syncs > 0 && stats.synced_versions <= all);
    assert_eq!(batches(&*engine, 1).len() as u64, all);
}
