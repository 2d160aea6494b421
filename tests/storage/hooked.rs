//! A simulated device with a test's own code at the calls that give names.

use folio::storage::{DirEntry, FileLock, Files, RandomAccessFile};
use folio::testing::SimFiles;
use std::io;
use std::sync::Arc;

/// What is about to be done, with its path.
#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    /// From this name.
    Rename(&'a str),
    Remove(&'a str),
    SyncFolder(&'a str),
    /// A folder has been synced.
    SyncedFolder,
}

/// What answers an error lets the call fail with it.
type Hook = Box<dyn Fn(Step<'_>) -> io::Result<()> + Send + Sync>;

pub(crate) struct Hooked {
    files: SimFiles,
    hook: Hook,
}

impl Hooked {
    pub(crate) fn over(
        files: &SimFiles,
        hook: impl Fn(Step<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Arc<dyn Files> {
        Arc::new(Self { files: files.clone(), hook: Box::new(hook) })
    }
}

impl Files for Hooked {
    fn describe(&self) -> String {
        self.files.describe()
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        self.files.create_folder(path)
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        self.files.remove_folder(path)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<DirEntry>> {
        self.files.list(folder)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn RandomAccessFile>> {
        self.files.open(path)
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn RandomAccessFile>> {
        self.files.create(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (self.hook)(Step::Rename(from))?;
        self.files.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        (self.hook)(Step::Remove(path))?;
        self.files.remove(path)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        (self.hook)(Step::SyncFolder(folder))?;
        self.files.sync_folder(folder)?;
        (self.hook)(Step::SyncedFolder)
    }

    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn FileLock>>> {
        self.files.lock(path)
    }
}
