//! Storage: what keeps a database beyond its process.
//!
//! [`StorageEngine`] is the contract: a log of batches with checkpoints. [`FileEngine`] keeps it in a directory,
//! [`MemoryEngine`] in memory. To both, a batch's payload and an object's content are bytes; what they mean is decided in
//! the layers above. PERSISTENCE.md has the bytes on disk and the order of file operations.

mod engine;
#[cfg(any(unix, windows))]
pub(crate) mod file;
mod memory;
#[cfg(feature = "testing")]
pub(crate) mod plant;

pub use engine::{
    Appended, Batch, Checkpoint, Damage, Format, Manifest, Object, ObjectKind, ObjectReader, ObjectWriter, OpenReport,
    Placement, Recovery, StorageEngine, StorageStats,
};
#[cfg(any(unix, windows))]
pub use file::{DirEntry, EntryKind, FileEngine, FileLock, FileOptions, Files, OsFiles, RandomAccessFile};
#[cfg(any(unix, windows))]
pub(crate) use file::{Remains, as_damage, refuse_nothing};
pub use memory::{MemoryEngine, MemoryStorage};

/// The folder of a database of this name: any name, encoded as one that no file system takes for a path.
#[cfg(any(unix, windows))]
pub(crate) fn directory_name(name: &str) -> String {
    file::encode_name(name)
}
