//! Objects in more files than are kept open to be synced.

use super::workload::{open, options};
use folio::Error;
use folio::storage::{Checkpoint, FileEngine, Format, Object, ObjectKind, Placement, StorageEngine};
use folio::testing::{Fault, FaultKind, SimFiles, each_crash_image};
use std::ops::ControlFlow;

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
