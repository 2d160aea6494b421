//! The conformance suite on every engine there is.
#![cfg(any(unix, windows))]

use folio::storage::{
    Checkpoint, FileEngine, FileOptions, Format, MemoryEngine, MemoryStorage, Object, ObjectKind, Placement,
    StorageEngine,
};
use folio::testing::{SimFiles, Storage, conformance};
use folio::{Error, Result};
use serde_json::Value;
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
