//! The device under the file engine: a few operations on the files of one directory, real ([`OsFiles`](super::OsFiles))
//! or simulated (`folio::testing`).
//!
//! Paths are relative to the directory, in ASCII, with `/` between a folder and a file; the empty path is the directory
//! itself. An implementation passes on what the system says: short writes and interruptions are seen to here, in the
//! free functions, so that a simulated device can have them. An interrupted *sync* is a failed one: whether it wrote
//! anything cannot be known, and syncs are never tried again.

use super::layout::LOCK;
use crate::error::{Error, Result};
use std::io;
use std::sync::Arc;

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file with content.
    File,
    /// A folder.
    Folder,
    /// A link, a pipe, a device: nothing that the engine opens.
    Other,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Without the folder. Names that are not UTF-8 are given in some form that no name of ours has.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// The files of one directory.
pub trait Files: Send + Sync {
    /// What the directory is called in messages.
    fn describe(&self) -> String;
    /// Makes a folder, which must not be there.
    fn create_folder(&self, path: &str) -> io::Result<()>;
    /// Removes a folder, which must be empty.
    fn remove_folder(&self, path: &str) -> io::Result<()>;
    /// The entries of a folder, in any order.
    fn list(&self, folder: &str) -> io::Result<Vec<DirEntry>>;
    /// Opens a file that is there, for reading and, where allowed, writing. Follows no link, opens nothing but files.
    fn open(&self, path: &str) -> io::Result<Arc<dyn RandomAccessFile>>;
    /// Makes an empty file, which must not be there, for reading and writing.
    fn create(&self, path: &str) -> io::Result<Arc<dyn RandomAccessFile>>;
    /// Gives a file another name in its folder, replacing one that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes names durable: what was created, renamed and removed in this folder.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;
    /// Locks the directory by a file in it until the lock is dropped; none if somebody else has.
    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn FileLock>>>;
}

/// Held for as long as the directory is ours.
pub trait FileLock: Send + Sync {}

/// An open file. It goes on meaning the same file when that is renamed or removed.
pub trait RandomAccessFile: Send + Sync {
    /// Its bytes now.
    fn length(&self) -> io::Result<u64>;
    /// Reads some bytes; 0 at the end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some of the bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Cuts the file, or extends it by zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Makes its bytes and its length durable, as `fdatasync` does.
    fn sync(&self) -> io::Result<()>;
}

/// Locks the directory.
///
/// # Errors
/// [`Error::Locked`] if somebody else has it.
pub(super) fn lock_directory(files: &dyn Files) -> Result<Box<dyn FileLock>> {
    let path = || files.describe();
    let lock =
        uninterrupted(|| files.lock(LOCK)).map_err(|error| failed("lock", &format!("{}/{LOCK}", path()), error))?;
    lock.ok_or_else(|| Error::Locked { path: path().into() })
}

/// Runs `operation` until it is not interrupted.
pub(super) fn uninterrupted<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

pub(super) fn set_length(file: &dyn RandomAccessFile, length: u64) -> io::Result<()> {
    uninterrupted(|| file.set_length(length))
}

/// Writes all of `bytes`.
#[inline]
pub(super) fn write_all(file: &dyn RandomAccessFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match uninterrupted(|| file.write_at(bytes, offset))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                bytes = &bytes[written.min(bytes.len())..];
                offset = offset.checked_add(written as u64).ok_or(io::ErrorKind::FileTooLarge)?;
            }
        }
    }
    Ok(())
}

/// Fills `into` as far as the file goes, and answers how far.
pub(super) fn read_full(file: &dyn RandomAccessFile, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match uninterrupted(|| file.read_at(&mut into[filled..], offset + filled as u64))? {
            0 => break,
            read => filled = (filled + read).min(into.len()),
        }
    }
    Ok(filled)
}

/// A whole file. Allocates what its length says, which is what there is to read.
pub(super) fn read_file(files: &dyn Files, path: &str) -> Result<Vec<u8>> {
    let file = uninterrupted(|| files.open(path)).map_err(|error| failed("open", path, error))?;
    let length = uninterrupted(|| file.length()).map_err(|error| failed("read the length of", path, error))?;
    read_range(&*file, path, 0, length)
}

/// The bytes of a file from `offset` to `end`, or to where it ends.
pub(super) fn read_range(file: &dyn RandomAccessFile, path: &str, offset: u64, end: u64) -> Result<Vec<u8>> {
    let length = usize::try_from(end.saturating_sub(offset)).map_err(|_| Error::OutOfMemory { bytes: usize::MAX })?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Error::OutOfMemory { bytes: length })?;
    bytes.resize(length, 0);
    let read = read_full(file, &mut bytes, offset).map_err(|error| failed("read", path, error))?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The public error of a file operation that is not a sync.
#[cold]
pub(super) fn failed(operation: &'static str, path: &str, source: io::Error) -> Error {
    let file = Box::from(path);
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::StorageFull { operation, file, source },
        _ => Error::Io { operation, file, source },
    }
}
