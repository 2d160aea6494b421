//! The operating system's files.
//!
//! The folders of a directory that is locked are kept open, to be synced. To open one for a sync may fail where the process
//! has no descriptor left, and would be taken for a sync that failed, after which nothing may be written any more.
//!
//! Files are named by path, and a path may come to mean another directory: one that was removed or moved while it was open,
//! with a new database in its place. So before a name is given, changed or removed there it is looked at whether the file
//! that is locked is still the one under its name.

use super::files::{DirEntry, EntryKind, FileLock, Files, RandomAccessFile};
use super::layout::{FOLDERS, MANIFEST};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of a directory of the operating system.
#[derive(Debug)]
pub struct OsFiles {
    root: PathBuf,
    reads_only: bool,
    /// The folders by path. From when the directory is locked: before that, another process may put others in their place.
    folders: Mutex<BTreeMap<Box<str>, Arc<File>>>,
    locked: Mutex<Option<Locked>>,
}

/// The file that locks the directory: its path within, and which file it is.
#[derive(Debug)]
struct Locked {
    path: Box<str>,
    identity: Identity,
}

/// Device and number of a file. Where systems let nobody remove or move what is open, there is nothing to tell apart.
type Identity = (u64, u64);

fn identity(found: &fs::Metadata) -> Identity {
    #[cfg(unix)]
    return (std::os::unix::fs::MetadataExt::dev(found), std::os::unix::fs::MetadataExt::ino(found));
    #[cfg(not(unix))]
    {
        let _ = found;
        (0, 0)
    }
}

impl OsFiles {
    /// The directory `root`, made with those above it if it is not there.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(root: impl AsRef<Path>) -> io::Result<Self> {
        let root = std::path::absolute(root)?;
        create_folders(&root)?;
        if let Some(parent) = root.parent()
            && !root.join(MANIFEST).try_exists()?
        {
            // Whoever made the directory may have been stopped before its name was durable.
            sync_above(parent)?;
        }
        Ok(Self { root, reads_only: false, folders: Mutex::default(), locked: Mutex::default() })
    }

    /// The directory `root`, which is there, to be read: its files are not opened for writing. So what this user may not
    /// write, or lies on a medium that nobody can write, can be looked at. Its lock is held as ever, for which the file
    /// that is locked must be there or be made.
    ///
    /// # Errors
    /// What the system says.
    pub fn open_to_read(root: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self {
            root: std::path::absolute(root)?,
            reads_only: true,
            folders: Mutex::default(),
            locked: Mutex::default(),
        })
    }

    fn path(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }

    /// See the module.
    fn check_directory(&self) -> io::Result<()> {
        let locked = self.locked.lock();
        let Some(Locked { path, identity: held }) = &*locked else { return Ok(()) };
        match fs::symlink_metadata(self.path(path)) {
            Ok(found) if identity(&found) == *held => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Err(io::Error::other("the directory, or the file that locks it, was removed or moved meanwhile")),
        }
    }

    /// Opens with `options`, and no link, pipe or device: opening a pipe would wait for its other end.
    fn open_file(&self, path: &str, options: &mut OpenOptions) -> io::Result<Arc<dyn RandomAccessFile>> {
        #[cfg(target_os = "linux")]
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NOFOLLOW | libc::O_CLOEXEC);
        Ok(Arc::new(options.open(self.path(path))?))
    }

    /// Keeps a folder open, to be synced. What is no folder of ours is passed over.
    fn hold(&self, folder: &str) -> io::Result<()> {
        if cfg!(windows) || self.reads_only {
            return Ok(());
        }
        let path = self.path(folder);
        match fs::symlink_metadata(&path) {
            Ok(found) if folder.is_empty() || found.is_dir() => {
                self.folders.lock().insert(folder.into(), Arc::new(File::open(path)?));
                Ok(())
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// As `create_dir_all`, with each new name synced into its parent.
fn create_folders(folder: &Path) -> io::Result<()> {
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let parent = folder.parent().ok_or(io::ErrorKind::NotFound)?;
    create_folders(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_above(parent),
    }
}

/// Syncs a folder above the database. It may be one that this user may not read, or of a file system that syncs no folders:
/// then it is passed over.
fn sync_above(folder: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    match sync_folder(folder) {
        Err(error) if matches!(error.kind(), PermissionDenied | InvalidInput | ReadOnlyFilesystem | Unsupported) => {
            Ok(())
        }
        synced => synced,
    }
}

/// Windows has no such call; its file systems keep names in their own journal.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { File::open(folder)?.sync_all() }
}

impl Files for OsFiles {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        self.check_directory()?;
        fs::create_dir(self.path(path))?;
        self.hold(path)
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        self.check_directory()?;
        fs::remove_dir(self.path(path))?;
        self.folders.lock().remove(path);
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<DirEntry>> {
        let path = self.path(folder);
        // A link in place of a folder would lead out of the directory.
        if !folder.is_empty() && !fs::symlink_metadata(&path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let found = entry.file_type()?;
            let kind = match (found.is_file(), found.is_dir()) {
                (true, _) => EntryKind::File,
                (_, true) => EntryKind::Folder,
                _ => EntryKind::Other,
            };
            entries.push(DirEntry { name: entry.file_name().to_string_lossy().into_owned(), kind });
        }
        Ok(entries)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn RandomAccessFile>> {
        if !fs::symlink_metadata(self.path(path))?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
        }
        self.open_file(path, OpenOptions::new().read(true).write(!self.reads_only))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn RandomAccessFile>> {
        self.check_directory()?;
        self.open_file(path, OpenOptions::new().read(true).write(true).create_new(true))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_directory()?;
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.check_directory()?;
        fs::remove_file(self.path(path))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let held = self.folders.lock().get(folder).map(Arc::clone);
        match held {
            Some(held) => held.sync_all(),
            None => sync_folder(&self.path(folder)),
        }
    }

    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn FileLock>>> {
        let full = self.path(path);
        match fs::symlink_metadata(&full) {
            Ok(found) if !found.is_file() => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(target_os = "linux")]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_CLOEXEC);
        let file = match options.open(&full) {
            // A file that is there can be locked by who reads it.
            Err(error) if self.reads_only => options.write(false).create(false).open(full).map_err(|_| error)?,
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => {
                // By its path here as well: not every file system says the same of an open file.
                let identity = identity(&fs::symlink_metadata(self.path(path))?);
                *self.locked.lock() = Some(Locked { path: path.into(), identity });
                self.folders.lock().clear();
                std::iter::once("").chain(FOLDERS).try_for_each(|folder| self.hold(folder))?;
                Ok(Some(Box::new(OsLock(file))))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The system releases the lock when the file is closed, also by the end of the process.
struct OsLock(#[allow(dead_code)] File);

impl FileLock for OsLock {}

impl RandomAccessFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_at(self, into, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_read(self, into, offset);
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::write_at(self, bytes, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_write(self, bytes, offset);
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
