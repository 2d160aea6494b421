//! The conformance suite on every engine there is.
#![cfg(any(unix, windows))]

use folio::Result;
use folio::storage::{FileEngine, FileOptions, Format, MemoryEngine, MemoryStorage, StorageEngine};
use folio::testing::{SimFiles, Storage, conformance};
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
