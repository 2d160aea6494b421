//! The files of objects: more than are kept open to be synced, shared ones, ones that are cut, foreign and in the way.

use super::device::{Call, Device};
use super::workload::{open, options};
use folio::Error;
use folio::storage::{Checkpoint, FileEngine, Files, Format, Object, ObjectKind, Placement, StorageEngine};
use folio::testing::{Fault, FaultKind, SimFiles, each_crash_image};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn write(engine: &FileEngine, table: u8) -> folio::Result<Object> {
    let mut writer = engine.create_object(ObjectKind::Records, &format!("t{table}"), Placement::Append)?;
    writer.write(&[table; 20])?;
    writer.finish()
}

fn claimed(files: &SimFiles) -> FileEngine {
    let engine = open(files, options(Format::Binary)).unwrap();
    engine.claim().unwrap();
    engine
}

#[test]
fn a_manifest_names_what_is_durable_however_much_it_is() {
    let files = SimFiles::new();
    let engine = claimed(&files);
    let begun = files.operations();
    let objects: Vec<Object> = (0..100).map(|table| write(&engine, table).unwrap()).collect();
    let generation = engine.manifest().unwrap().generation;
    let checkpoint = Checkpoint { version: 0, objects: objects.clone(), content: serde_json::Value::Null };
    engine.replace_manifest(generation, checkpoint).unwrap();
    drop(engine);
    let (trace, mut named) = (files.trace(), 0);
    let images = each_crash_image(&trace, begun, 10, &mut |point, image| {
        let engine = open(&SimFiles::mount(&image), options(Format::Binary)).unwrap();
        let found = engine.manifest().unwrap().checkpoint.objects;
        assert!(found == objects || found.is_empty() && point.operations < trace.len(), "{point:?}");
        for (object, table) in found.iter().zip(0..) {
            assert_eq!(engine.open_object(object).unwrap().read_to_end().unwrap(), [table; 20], "{point:?}");
        }
        named += u64::from(!found.is_empty());
        ControlFlow::Continue(())
    });
    println!("{images} images, {named} with the new manifest");
    assert!(named > 0 && named < images);
}

#[test]
fn a_sync_that_fails_while_others_are_written_is_a_failed_sync() {
    let files = SimFiles::new();
    let engine = claimed(&files);
    (0..64).for_each(|table| drop(write(&engine, table).unwrap()));
    // Made, written, and then the first of the others is synced.
    files.set_fault(Some(Fault { call: files.calls() + 2, count: 1, kind: FaultKind::Error }));
    assert!(matches!(write(&engine, 64), Err(Error::SyncFailed { .. })));
    let operations = files.operations();
    assert!(matches!(write(&engine, 65), Err(Error::Poisoned { .. })));
    assert!(matches!(engine.replace_manifest(1, Checkpoint::default()), Err(Error::Poisoned { .. })));
    assert_eq!(files.operations(), operations);
}

fn object(engine: &FileEngine, placement: Placement, content: &[u8]) -> Object {
    let mut writer = engine.create_object(ObjectKind::Records, "t", placement).unwrap();
    writer.write(content).unwrap();
    writer.finish().unwrap()
}

fn content(engine: &FileEngine, object: &Object) -> Vec<u8> {
    engine.open_object(object).unwrap().read_to_end().unwrap()
}

fn name(engine: &FileEngine, objects: &[&Object]) -> folio::Result<u64> {
    let objects = objects.iter().map(|object| (*object).clone()).collect();
    let checkpoint = Checkpoint { version: 0, objects, content: serde_json::Value::Null };
    engine.replace_manifest(engine.manifest().unwrap().generation, checkpoint)
}

#[test]
fn a_checkpoint_leaves_alone_what_is_being_written() {
    let files = SimFiles::new();
    let engine = claimed(&files);
    let first = object(&engine, Placement::Append, b"first");
    let mut second = engine.create_object(ObjectKind::Records, "t", Placement::Append).unwrap();
    let mut other = engine.create_object(ObjectKind::Records, "other", Placement::Append).unwrap();
    second.write(b"sec").unwrap();
    other.write(b"oth").unwrap();
    name(&engine, &[&first]).unwrap();
    second.write(b"ond").unwrap();
    other.write(b"er").unwrap();
    let (second, other) = (second.finish().unwrap(), other.finish().unwrap());
    // Behind the first, in the file that it has.
    assert_eq!(second.generation(), first.generation());
    name(&engine, &[&first, &second, &other]).unwrap();
    drop(engine);
    let engine = claimed(&files);
    engine.verify(&mut |damage| panic!("{damage}")).unwrap();
    for (object, expected) in [(&first, &b"first"[..]), (&second, b"second"), (&other, b"other")] {
        assert_eq!(content(&engine, object), expected);
    }
}

/// Of the objects behind each other in a file, those behind the last that is named go, and the one before them stays.
#[test]
fn what_a_manifest_does_not_name_is_cut_behind_what_it_names() {
    let files = SimFiles::new();
    let engine = claimed(&files);
    let first = object(&engine, Placement::Append, b"first");
    name(&engine, &[&first]).unwrap();
    let second = object(&engine, Placement::Append, b"second");
    let third = object(&engine, Placement::Append, b"third");
    let generation = name(&engine, &[&first, &second]).unwrap();
    assert_eq!(files.image().get("data/t.records").unwrap(), b"firstsecond");
    assert!(matches!(name(&engine, &[&third]), Err(Error::InvalidStorageCall { .. })));
    assert_eq!(engine.manifest().unwrap().generation, generation);
    drop(engine);
    // All of it is durable.
    let trace = files.trace();
    let images = each_crash_image(&trace, trace.len(), 1, &mut |point, image| {
        let engine = open(&SimFiles::mount(&image), options(Format::Binary)).unwrap();
        assert_eq!(engine.manifest().unwrap().checkpoint.objects, [first.clone(), second.clone()], "{point:?}");
        assert_eq!(content(&engine, &first), b"first", "{point:?}");
        assert_eq!(content(&engine, &second), b"second", "{point:?}");
        ControlFlow::Continue(())
    });
    assert!(images > 0);
}

#[test]
fn what_was_to_go_and_could_not_is_not_named_again() {
    let files = SimFiles::new();
    let is_armed = Arc::new(AtomicBool::new(false));
    let hooked = Device::watched(&files, {
        let is_armed = Arc::clone(&is_armed);
        move |call, path| match (call, path) {
            (Call::Remove, "data/t.records") if is_armed.load(Ordering::Relaxed) => Err(io::Error::other("is in use")),
            _ => Ok(()),
        }
    });
    let engine = FileEngine::open_on(hooked, options(Format::Binary)).unwrap();
    engine.claim().unwrap();
    let old = object(&engine, Placement::Append, b"old");
    name(&engine, &[&old]).unwrap();
    let new = object(&engine, Placement::Replace, b"new");
    is_armed.store(true, Ordering::Relaxed);
    let generation = name(&engine, &[&new]).unwrap();
    assert_eq!(files.image().get("data/t.records").unwrap(), b"old");
    assert!(matches!(name(&engine, &[&old]), Err(Error::InvalidStorageCall { .. })));
    assert_eq!(engine.manifest().unwrap().generation, generation);
    is_armed.store(false, Ordering::Relaxed);
    name(&engine, &[&new]).unwrap();
    assert_eq!(files.image().get("data/t.records"), None);
    assert_eq!(content(&engine, &new), b"new");
}

#[test]
fn an_object_whose_write_failed_can_only_be_dropped() {
    let files = SimFiles::new();
    let engine = claimed(&files);
    let mut writer = engine.create_object(ObjectKind::Records, "t", Placement::Append).unwrap();
    files.set_fault(Some(Fault { call: files.calls(), count: 1, kind: FaultKind::FullHalfway }));
    assert!(matches!(writer.write(&[7; 100_000]), Err(Error::StorageFull { .. })));
    files.set_fault(None);
    assert!(matches!(writer.write(&[7; 100_000]), Err(Error::InvalidStorageCall { .. })));
    assert!(matches!(writer.finish(), Err(Error::InvalidStorageCall { .. })));
    assert_eq!(files.image().get("data/t.records"), None);
    let object = object(&engine, Placement::Append, b"rows");
    assert_eq!(content(&engine, &object), b"rows");
}

#[test]
fn an_object_that_is_cut_while_it_is_read_is_corrupt() {
    let files = SimFiles::new();
    let engine = claimed(&files);
    let object = object(&engine, Placement::Append, &[7; 100_000]);
    let mut reader = engine.open_object(&object).unwrap();
    assert_eq!(reader.read(&mut [0; 1_000]).unwrap(), 1_000);
    files.open("data/t.records").unwrap().set_length(50_000).unwrap();
    let is_cut = |error: Option<Error>| matches!(error, Some(Error::Corrupt { file, offset: 50_000, .. }) if &*file == "data/t.records");
    assert!(is_cut(reader.read_to_end().err()));
    for _ in 0..2 {
        assert!(matches!(reader.read(&mut [0; 10]), Err(Error::Corrupt { .. })));
    }
    assert!(is_cut(engine.open_object(&object).err()));
}

/// Behind the end of a file that has lost its last object there is no place for another.
#[test]
fn nothing_is_added_to_a_file_that_was_cut() {
    let files = SimFiles::new();
    let engine = claimed(&files);
    name(&engine, &[&object(&engine, Placement::Append, b"rows")]).unwrap();
    drop(engine);
    let files = SimFiles::mount(&files.image().with("data/t.records", Some(b"row".to_vec())));
    let engine = claimed(&files);
    let refused = engine.create_object(ObjectKind::Records, "t", Placement::Append).err();
    assert!(matches!(refused, Some(Error::Corrupt { file, offset: 3, .. }) if &*file == "data/t.records"));
    assert_eq!(files.image().get("data/t.records").unwrap(), b"row");
    let new = object(&engine, Placement::Replace, b"new");
    name(&engine, &[&new]).unwrap();
    engine.verify(&mut |damage| panic!("{damage}")).unwrap();
    assert_eq!(content(&engine, &new), b"new");
}

#[test]
fn files_in_the_way_are_passed_over_up_to_a_thousand() {
    let files = SimFiles::new();
    let engine = claimed(&files);
    let path = |generation: u64| match generation {
        0 => "data/t.records".to_string(),
        _ => format!("data/t.{generation}.records"),
    };
    // Somebody makes them after the opening has looked.
    (0..1_000).for_each(|generation| drop(files.create(&path(generation)).unwrap()));
    let refused = engine.create_object(ObjectKind::Records, "t", Placement::Append).err();
    assert!(matches!(refused, Some(Error::Limit { limit: 1_000, found: 1_001, .. })));
    files.remove(&path(999)).unwrap();
    let object = object(&engine, Placement::Append, b"rows");
    assert_eq!((object.generation(), content(&engine, &object)), (999, b"rows".to_vec()));
    name(&engine, &[&object]).unwrap();
    let image = files.image();
    assert!((0..999).all(|generation| image.get(&path(generation)).is_some_and(<[u8]>::is_empty)));
}

#[test]
fn a_table_has_a_name_of_at_most_128_bytes() {
    let files = SimFiles::new();
    // No table's file has this name, so it is somebody else's.
    let guest = format!("data/{}.records", "t".repeat(129));
    let engine = claimed(&files);
    files.create(&guest).unwrap();
    let create = |length| engine.create_object(ObjectKind::Records, &"t".repeat(length), Placement::Append);
    assert!(matches!(create(129).err(), Some(Error::Limit { limit: 128, found: 129, .. })));
    create(128).unwrap().finish().unwrap();
    drop(engine);
    drop(claimed(&files));
    assert!(files.image().get(&guest).is_some());
    assert!(files.image().get(&format!("data/{}.records", "t".repeat(128))).is_none());
}

/// On systems that keep some names for devices a database of such tables works as elsewhere.
#[test]
fn names_of_devices_are_no_file_names() {
    let files = SimFiles::new();
    let engine = claimed(&files);
    let expected = ["%61ux", "%63om1", "%63on", "%6cpt9", "%6eul", "%70rn", "com", "com10", "comx", "lpt"];
    for table in ["con", "prn", "aux", "nul", "com1", "lpt9", "com", "com10", "comx", "lpt"] {
        engine.create_object(ObjectKind::Records, table, Placement::Append).unwrap().finish().unwrap();
    }
    let files = files.image().files();
    let found: Vec<&str> =
        files.iter().filter_map(|path| path.strip_prefix("data/")?.strip_suffix(".records")).collect();
    assert_eq!(found, expected);
}
