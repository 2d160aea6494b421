//! A simulated device with a test's own code at its calls.

use folio::storage::{DirEntry, FileLock, Files, RandomAccessFile};
use folio::testing::SimFiles;
use std::io;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    List,
    Open,
    /// From this name.
    Rename,
    Remove,
    SyncFolder,
    /// The folder has been synced.
    SyncedFolder,
    Length,
    Write,
    Sync,
}

/// The answer to a call with this path, which is that under which the file was opened; none lets it through. What has no
/// number for an answer goes through unless that is an error.
type Answer = dyn Fn(Call, &str) -> Option<io::Result<u64>> + Send + Sync;

pub(crate) struct Device {
    files: SimFiles,
    answer: Arc<Answer>,
}

struct DeviceFile {
    path: String,
    file: Arc<dyn RandomAccessFile>,
    answer: Arc<Answer>,
}

fn let_through(answer: Option<io::Result<u64>>) -> io::Result<()> {
    answer.map_or(Ok(()), |answer| answer.map(drop))
}

impl Device {
    /// That answers as `answer` does.
    pub(crate) fn answering(
        files: &SimFiles,
        answer: impl Fn(Call, &str) -> Option<io::Result<u64>> + Send + Sync + 'static,
    ) -> Arc<dyn Files> {
        Arc::new(Self { files: files.clone(), answer: Arc::new(answer) })
    }

    /// That runs `step` ahead of each call, which fails with its error.
    pub(crate) fn watched(
        files: &SimFiles,
        step: impl Fn(Call, &str) -> io::Result<()> + Send + Sync + 'static,
    ) -> Arc<dyn Files> {
        Self::answering(files, move |call, path| step(call, path).err().map(Err))
    }

    fn ask(&self, call: Call, path: &str) -> io::Result<()> {
        let_through((self.answer)(call, path))
    }

    fn file(&self, path: &str, file: Arc<dyn RandomAccessFile>) -> Arc<dyn RandomAccessFile> {
        Arc::new(DeviceFile { path: path.into(), file, answer: Arc::clone(&self.answer) })
    }
}

impl Files for Device {
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
        self.ask(Call::List, folder)?;
        self.files.list(folder)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn RandomAccessFile>> {
        self.ask(Call::Open, path)?;
        Ok(self.file(path, self.files.open(path)?))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn RandomAccessFile>> {
        Ok(self.file(path, self.files.create(path)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.ask(Call::Rename, from)?;
        self.files.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.ask(Call::Remove, path)?;
        self.files.remove(path)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.ask(Call::SyncFolder, folder)?;
        self.files.sync_folder(folder)?;
        self.ask(Call::SyncedFolder, folder)
    }

    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn FileLock>>> {
        self.files.lock(path)
    }
}

impl RandomAccessFile for DeviceFile {
    fn length(&self) -> io::Result<u64> {
        (self.answer)(Call::Length, &self.path).unwrap_or_else(|| self.file.length())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match (self.answer)(Call::Write, &self.path) {
            Some(answer) => answer.map(|written| written as usize),
            None => self.file.write_at(bytes, offset),
        }
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }

    fn sync(&self) -> io::Result<()> {
        let_through((self.answer)(Call::Sync, &self.path))?;
        self.file.sync()
    }
}
