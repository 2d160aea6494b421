//! The file engine: a log, objects and a manifest in a directory, above a small file-system trait.

mod archive;
mod engine;
mod files;
mod frame;
mod layout;
mod log;
mod manifest;
mod objects;
mod os;
mod recover;
mod salvage;
mod scan;
mod syncs;
#[cfg(test)]
mod tests;
mod verify;

pub use engine::{FileEngine, FileOptions};
pub use files::{DirEntry, EntryKind, FileLock, Files, RandomAccessFile};
pub(super) use layout::{encode_name, object_path};
pub use os::OsFiles;
pub(crate) use salvage::{Remains, as_damage, refuse_nothing};
