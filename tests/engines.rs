//! The conformance suite on every engine there is.
#![cfg(any(unix, windows))]

#[path = "engines/outside.rs"]
mod outside;

use folio::storage::{
    Appended, Batch, Checkpoint, FileEngine, FileOptions, Format, MemoryEngine, MemoryStorage, Object, ObjectKind,
    Placement, StorageEngine,
};
use folio::testing::{SimFiles, Storage, conformance};
use folio::{Column, Database, Error, Result, Schema};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

struct InMemory(MemoryStorage, Format);

impl Storage for InMemory {
    fn open(&self) -> Result<Arc<dyn StorageEngine>> {
        Ok(Arc::new(MemoryEngine::open(&self.0, self.1)?))
    }
}

struct OnDisk(PathBuf, FileOptions);

impl OnDisk {
    fn new(options: FileOptions) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("folio-engines-{}-{number}", std::process::id())), options)
    }
}

impl Storage for OnDisk {
    fn open(&self) -> Result<Arc<dyn StorageEngine>> {
        Ok(Arc::new(FileEngine::open(&self.0, self.1)?))
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Simulated(SimFiles, FileOptions);

impl Storage for Simulated {
    fn open(&self) -> Result<Arc<dyn StorageEngine>> {
        Ok(Arc::new(FileEngine::open_on(Arc::new(self.0.clone()), self.1)?))
    }
}

fn options(format: Format, segment_bytes: u64) -> FileOptions {
    FileOptions { format, segment_bytes, ..FileOptions::default() }
}

#[test]
fn memory_conforms() {
    for format in [Format::Binary, Format::JsonLines] {
        conformance(&|| Box::new(InMemory(MemoryStorage::default(), format)));
    }
}

/// Nothing but what is public goes into an engine.
#[test]
fn an_engine_from_outside_conforms_and_keeps_a_database() {
    conformance(&|| Box::new(outside::Shared::default()));
    let shared = outside::Shared::default();
    let open = || Database::builder().open_on(shared.open().unwrap()).unwrap();
    let schema = || Schema::builder("cities").column(Column::string("name").unique()).column(Column::u32("people"));
    let db = open();
    let cities = db.create_table(schema().build().unwrap()).unwrap();
    let people = cities.column::<u32>("people").unwrap();
    for round in 0..3 {
        cities.insert_many((0..500).map(|city| (format!("city {city} of {round}"), city))).unwrap();
        db.checkpoint().unwrap();
        cities.update_where(people.eq(7), &json!({ "people": 1_000 + round })).unwrap();
    }
    let expected = db.snapshot();
    // Once closed, once dropped behind the last checkpoint.
    db.close().unwrap();
    let db = open();
    assert!(db.snapshot().version() == expected.version() && db.table("cities").unwrap().len().unwrap() == 1_500);
    let cities = db.table("cities").unwrap();
    cities.delete_where(cities.column::<u32>("people").unwrap().eq(3)).unwrap();
    drop((db, cities));
    assert_eq!(open().table("cities").unwrap().len().unwrap(), 1_497);
}

#[test]
fn files_conform() {
    for format in [Format::Binary, Format::JsonLines] {
        conformance(&|| Box::new(OnDisk::new(options(format, 16 << 20))));
        conformance(&|| Box::new(OnDisk::new(options(format, 1_000))));
    }
}

#[test]
fn simulated_files_conform() {
    for format in [Format::Binary, Format::JsonLines] {
        for segment_bytes in [0, 300, 4_096, 1 << 20] {
            for (preallocate_bytes, keep_archived) in [(0, false), (256, false), (4_096, true)] {
                // Archived segments stay, which one test of the suite says they need not.
                let options = FileOptions { preallocate_bytes, keep_archived, ..options(format, segment_bytes) };
                conformance(&|| Box::new(Simulated(SimFiles::new(), options)));
            }
        }
    }
}

/// A manifest is refused before it takes the place of one that can be read.
#[test]
fn what_could_not_be_read_again_is_refused() {
    let files = Simulated(SimFiles::new(), FileOptions::default());
    let engine = files.open().unwrap();
    engine.claim().unwrap();
    let mut writer = engine.create_object(ObjectKind::Records, "t", Placement::Append).unwrap();
    writer.write(b"rows").unwrap();
    let object = writer.finish().unwrap();
    let nested = |levels: usize| (0..levels).fold(Value::Null, |inner, _| Value::from(vec![inner]));
    let replace = |objects: &[&Object], content: Value| {
        let objects = objects.iter().map(|object| (*object).clone()).collect();
        engine.replace_manifest(engine.manifest().unwrap().generation, Checkpoint { version: 0, objects, content })
    };
    for refused in [replace(&[&object], nested(200)), replace(&[&object, &object], Value::Null)] {
        assert!(matches!(refused, Err(Error::InvalidStorageCall { .. })), "{refused:?}");
    }
    replace(&[&object], nested(100)).unwrap();
    drop(engine);
    let manifest = files.open().unwrap().recovery().manifest.clone().unwrap();
    assert_eq!((manifest.checkpoint.objects, manifest.checkpoint.content), (vec![object], nested(100)));
}

fn append(engine: &dyn StorageEngine, first: u64) {
    assert_eq!(engine.append(Batch { first, count: 1, payload: b"batch" }).unwrap(), Appended::At(first));
}

/// A new engine of each kind, claimed.
fn engines() -> [Arc<dyn StorageEngine>; 2] {
    let memory = InMemory(MemoryStorage::default(), Format::Binary).open().unwrap();
    let files = Simulated(SimFiles::new(), FileOptions::default()).open().unwrap();
    [memory, files].map(|engine| {
        engine.claim().unwrap();
        engine
    })
}

#[test]
fn commits_per_sync_is_an_average() {
    for engine in engines() {
        append(&*engine, 1);
        assert_eq!(engine.stats().commits_per_sync(), 0.0);
        (2..=3).for_each(|first| append(&*engine, first));
        engine.sync(2).unwrap();
        assert_eq!(engine.stats().commits_per_sync(), 3.0);
        append(&*engine, 4);
        engine.sync(4).unwrap();
        assert_eq!(engine.stats().commits_per_sync(), 2.0);
    }
}

/// What a process left behind that was killed is durable once it is claimed, and nobody is told so before.
#[test]
fn nothing_is_made_durable_before_it_is_claimed() {
    let storages: [Box<dyn Storage>; 2] = [
        Box::new(InMemory(MemoryStorage::default(), Format::Binary)),
        Box::new(Simulated(SimFiles::new(), FileOptions::default())),
    ];
    for storage in storages {
        let engine = storage.open().unwrap();
        engine.claim().unwrap();
        append(&*engine, 1);
        drop(engine);
        let engine = storage.open().unwrap();
        assert_eq!((engine.recovery().last, engine.durable()), (1, 0));
        assert!(matches!(engine.sync(1), Err(Error::InvalidStorageCall { .. })));
        assert_eq!(engine.durable(), 0);
        engine.claim().unwrap();
        assert_eq!(engine.durable(), 1);
        engine.sync(1).unwrap();
    }
}

#[test]
fn a_released_version_is_refused_with_the_first_there_is() {
    for engine in engines() {
        for first in 1..=4 {
            append(&*engine, first);
            if first == 2 {
                engine.seal().unwrap();
            }
        }
        let checkpoint = Checkpoint { version: 3, ..Checkpoint::default() };
        engine.replace_manifest(engine.manifest().unwrap().generation, checkpoint).unwrap();
        engine.release_log(3).unwrap();
        for version in [0, 1, 2] {
            let refused = engine.read_from(version, &mut |batch| panic!("{batch:?}"));
            assert!(matches!(refused, Err(Error::NotInLog { version: found, first: 3 }) if found == version));
        }
        let mut found = Vec::new();
        let read = engine.read_from(3, &mut |batch| {
            found.push(batch.first);
            Ok(())
        });
        read.unwrap();
        assert_eq!(found, [3, 4]);
    }
}

/// So the caller knows which objects it has to write anew to have their space back.
#[test]
fn objects_of_one_generation_share_their_space() {
    let [_, engine] = engines();
    let write = |placement| {
        let mut writer = engine.create_object(ObjectKind::Records, "t", placement).unwrap();
        writer.write(b"rows").unwrap();
        writer.finish().unwrap()
    };
    let placements = [Placement::Append, Placement::Append, Placement::Replace, Placement::Append];
    let objects = placements.map(write);
    let generations = objects.each_ref().map(Object::generation);
    assert_eq!(generations, [0, 0, 1, 1]);
    let replace = |objects: &[Object]| {
        let checkpoint = Checkpoint { objects: objects.to_vec(), ..Checkpoint::default() };
        engine.replace_manifest(engine.manifest().unwrap().generation, checkpoint).unwrap();
        (engine.stats().object_bytes, engine.stats().live_object_bytes)
    };
    assert_eq!(replace(&objects), (16, 16));
    assert_eq!(replace(&objects[1..]), (16, 12));
    assert_eq!(replace(&objects[2..]), (8, 8));
}

/// They can stand in a struct that is printed, and print nothing of what is stored.
#[test]
fn engines_print_what_they_are() {
    let storage = MemoryStorage::default();
    let memory = MemoryEngine::open(&storage, Format::Binary).unwrap();
    let files = FileEngine::open_on(Arc::new(SimFiles::new()), FileOptions::default()).unwrap();
    memory.claim().unwrap();
    append(&memory, 1);
    assert_eq!(format!("{storage:?} {memory:?}"), "MemoryStorage { .. } MemoryEngine { .. }");
    assert_eq!(format!("{files:?}"), r#"FileEngine { directory: "simulated", .. }"#);
}
