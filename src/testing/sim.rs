//! A file system in memory that knows what a crash may leave.
//!
//! A read sees the cache: everything that was done. What is durable is kept apart, as a list of operations from which
//! [`each_crash_image`](super::each_crash_image) builds every state that the device may be in: an operation is durable
//! when its file (for bytes and lengths) or its folder (for names) was synced after it. A **failed sync** makes nothing
//! durable and leaves what it should have written clean: it stays in the cache, it may or may not be on the device, and
//! no later sync writes it.

use super::misread::Misreads;
use super::space::Space;
use crate::storage::{DirEntry, EntryKind, FileLock, Files, RandomAccessFile};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;

/// The content of a file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Image {
    /// By path; folders have no content.
    pub(super) entries: Vec<Entry>,
}

impl Image {
    /// The paths of the files.
    pub fn files(&self) -> Vec<String> {
        let files = self.entries.iter().filter(|(_, content)| content.is_some());
        files.map(|(path, _)| path.to_string()).collect()
    }

    /// A file's content.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        let (_, content) = self.entries.iter().find(|(entry, _)| **entry == *path)?;
        content.as_ref().map(|content| content.as_slice())
    }

    /// The same with this content of a file, which may be new; none removes it.
    pub fn with(&self, path: &str, content: Option<Vec<u8>>) -> Image {
        let mut entries = self.entries.clone();
        entries.retain(|(entry, _)| **entry != *path);
        if let Some(content) = content {
            entries.push((path.into(), Some(Arc::new(content))));
        }
        entries.sort();
        Image { entries }
    }
}

/// A file's path and content, or a folder's path.
pub(super) type Entry = (Arc<str>, Option<Arc<Vec<u8>>>);

/// What was done, from when it was mounted.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    pub(super) base: Image,
    pub(super) operations: Vec<Operation>,
}

impl Trace {
    /// Operations that changed or synced something.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether nothing was done.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

/// Files are numbered in the order of the base image, then in that of their creation.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Write { file: usize, offset: u64, bytes: Arc<[u8]> },
    SetLength { file: usize, length: u64 },
    Sync { file: usize, failed: bool },
    Create { path: Arc<str>, file: usize },
    CreateFolder { path: Arc<str> },
    RemoveFolder { path: Arc<str> },
    Rename { from: Arc<str>, to: Arc<str>, file: usize },
    Remove { path: Arc<str>, file: usize },
    SyncFolder { folder: Arc<str>, failed: bool },
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// An input/output error, and nothing happened.
    Error,
    /// An input/output error, and it did happen.
    ErrorAfterEffect,
    /// No space, and nothing happened. Calls that need no space go through.
    Full,
    /// No space, after half of the bytes.
    FullHalfway,
    /// Half of the bytes are written, and that is the answer. Other calls go through.
    Short,
    /// Interrupted before anything happened.
    Interrupted,
}

/// Calls that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The first one, counted from 0 since mounting.
    pub call: u64,
    /// How many in a row.
    pub count: u64,
    /// How.
    pub kind: FaultKind,
}

/// A bug of a user of the device, planted below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DevicePlant {
    /// The log's files are never synced.
    SkipLogSync,
    /// Folders are never synced.
    SkipFolderSync,
    /// Files are synced after they are renamed, not before.
    RenameBeforeSync,
    /// A sync that fails is tried again.
    RetryFailedSync,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Clone, Default)]
struct State {
    base: Image,
    /// The cache's names, sorted by path.
    names: Vec<(Arc<str>, Node)>,
    /// The cache's bytes by file.
    contents: Vec<Arc<Vec<u8>>>,
    operations: Vec<Operation>,
    calls: u64,
    fault: Option<Fault>,
    faults_met: u64,
    space: Option<Space>,
    plant: Option<DevicePlant>,
    misreads: Option<Misreads>,
    is_locked: bool,
}

/// A file system in memory, whose clones are the same one. Reads see everything that was done; what a crash leaves of it is
/// for [`each_crash_image`](super::each_crash_image).
#[derive(Clone, Default)]
pub struct SimFiles {
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for SimFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimFiles").finish_non_exhaustive()
    }
}

/// What a call asks for, as far as faults see it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Read,
    Write,
    /// Changes names.
    Name,
    Cut,
    Sync,
}

fn error(kind: FaultKind) -> io::Error {
    match kind {
        FaultKind::Full | FaultKind::FullHalfway => io::ErrorKind::StorageFull.into(),
        FaultKind::Interrupted => io::ErrorKind::Interrupted.into(),
        _ => io::Error::other("injected fault"),
    }
}

impl SimFiles {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    /// A file system with this content, all durable.
    pub fn mount(image: &Image) -> Self {
        let mut state = State { base: image.clone(), ..State::default() };
        for (path, content) in &image.entries {
            let node = match content {
                None => Node::Folder,
                Some(content) => {
                    state.contents.push(Arc::clone(content));
                    Node::File(state.contents.len() - 1)
                }
            };
            state.names.push((Arc::clone(path), node));
        }
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// What is in it now, durable or not.
    pub fn image(&self) -> Image {
        let state = self.state.lock();
        let entries = state.names.iter().map(|(path, node)| match node {
            Node::Folder => (Arc::clone(path), None),
            Node::File(file) => (Arc::clone(path), Some(Arc::clone(&state.contents[*file]))),
        });
        Image { entries: entries.collect() }
    }

    /// What the next process finds if this one is killed now: the same files and the same past, unlocked. What is done to
    /// the one from here on the other does not see.
    pub fn next_process(&self) -> Self {
        let state = State { is_locked: false, ..self.state.lock().clone() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// What was done so far.
    pub fn trace(&self) -> Trace {
        let state = self.state.lock();
        Trace { base: state.base.clone(), operations: state.operations.clone() }
    }

    /// How many operations that changed or synced something were done.
    pub fn operations(&self) -> usize {
        self.state.lock().operations.len()
    }

    /// How many calls there were, those that only read included.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Makes calls fail.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.state.lock().fault = fault;
    }

    /// Lets all files together have so many bytes in whole blocks of 4 KiB, or any number. A write that finds room for some
    /// of its bytes writes those. Names need no room, and a file that is removed keeps what it has.
    pub fn set_space(&self, bytes: Option<u64>) {
        let mut state = self.state.lock();
        state.space = bytes.map(|bytes| Space::new(bytes, &state.contents));
    }

    /// How many calls a fault has changed.
    pub fn faults_met(&self) -> u64 {
        self.state.lock().faults_met
    }

    /// Makes reads of files answer other bytes, and gives back what made them do so before.
    pub fn set_misreads(&self, misreads: Option<Misreads>) -> Option<Misreads> {
        std::mem::replace(&mut self.state.lock().misreads, misreads)
    }

    /// Plants a bug.
    pub fn set_plant(&self, plant: Option<DevicePlant>) {
        self.state.lock().plant = plant;
    }
}

impl State {
    /// Counts the call and answers the fault that it meets.
    fn meet(&mut self, call: Call) -> Option<FaultKind> {
        let number = self.calls;
        self.calls += 1;
        let fault =
            self.fault.filter(|fault| (fault.call..fault.call.saturating_add(fault.count)).contains(&number))?;
        let kind = match (fault.kind, call) {
            (FaultKind::Full | FaultKind::FullHalfway, Call::Read | Call::Cut | Call::Sync) => return None,
            (FaultKind::FullHalfway, Call::Name) => FaultKind::Full,
            (FaultKind::Short, Call::Write) => FaultKind::Short,
            (FaultKind::Short, _) => return None,
            (FaultKind::ErrorAfterEffect, Call::Read) => FaultKind::Error,
            (kind, _) => kind,
        };
        self.faults_met += 1;
        Some(kind)
    }

    fn find(&self, path: &str) -> Result<usize, usize> {
        self.names.binary_search_by(|(entry, _)| (**entry).cmp(path))
    }

    fn file(&self, path: &str) -> io::Result<usize> {
        match self.find(path).map(|index| self.names[index].1) {
            Ok(Node::File(file)) => Ok(file),
            Ok(Node::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            Err(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn check_parent(&self, path: &str) -> io::Result<()> {
        match path.split_once('/') {
            Some((folder, _)) if self.find(folder).is_err() => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(()),
        }
    }

    fn name_of(&self, file: usize) -> Option<&str> {
        self.names.iter().find(|(_, node)| *node == Node::File(file)).map(|(path, _)| &**path)
    }

    fn add(&mut self, path: &str, node: Node) -> io::Result<Arc<str>> {
        self.check_parent(path)?;
        match self.find(path) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(index) => {
                let path: Arc<str> = path.into();
                self.names.insert(index, (Arc::clone(&path), node));
                Ok(path)
            }
        }
    }

    /// A call that happens whole or not at all.
    fn change<T>(&mut self, call: Call, effect: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        match self.meet(call) {
            None => effect(self),
            Some(FaultKind::ErrorAfterEffect) => effect(self).and(Err(error(FaultKind::ErrorAfterEffect))),
            Some(kind) => Err(error(kind)),
        }
    }

    /// A call that makes durable.
    fn sync(&mut self, is_skipped: bool, operation: impl Fn(bool) -> Operation) -> io::Result<()> {
        let met = self.meet(Call::Sync);
        if is_skipped {
            return Ok(());
        }
        match met {
            None => self.operations.push(operation(false)),
            Some(FaultKind::ErrorAfterEffect) => {
                self.operations.push(operation(false));
                return Err(error(FaultKind::ErrorAfterEffect));
            }
            Some(kind) => {
                self.operations.push(operation(true));
                if self.plant != Some(DevicePlant::RetryFailedSync) {
                    return Err(error(kind));
                }
                self.operations.push(operation(false));
            }
        }
        Ok(())
    }
}

/// Writes into `content`, which grows by zeros as far as needed.
pub(super) fn overwrite(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = offset as usize;
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl Files for SimFiles {
    fn describe(&self) -> String {
        "simulated".into()
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        self.state.lock().change(Call::Name, |state| {
            let path = state.add(path, Node::Folder)?;
            state.operations.push(Operation::CreateFolder { path });
            Ok(())
        })
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        self.state.lock().change(Call::Name, |state| {
            let index = state.find(path).map_err(|_| io::ErrorKind::NotFound)?;
            let is_parent =
                |(entry, _): &(Arc<str>, Node)| entry.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
            if state.names.iter().any(is_parent) {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            let (path, _) = state.names.remove(index);
            state.operations.push(Operation::RemoveFolder { path });
            Ok(())
        })
    }

    fn list(&self, folder: &str) -> io::Result<Vec<DirEntry>> {
        self.state.lock().change(Call::Read, |state| {
            if !folder.is_empty() && state.find(folder).is_err() {
                return Err(io::ErrorKind::NotFound.into());
            }
            let entries = state.names.iter().filter_map(|(path, node)| {
                let name = match path.split_once('/') {
                    None if folder.is_empty() => path,
                    Some((parent, name)) if parent == folder => name,
                    _ => return None,
                };
                let kind = if *node == Node::Folder { EntryKind::Folder } else { EntryKind::File };
                Some(DirEntry { name: name.into(), kind })
            });
            Ok(entries.collect())
        })
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn RandomAccessFile>> {
        let file = self.state.lock().change(Call::Read, |state| state.file(path))?;
        Ok(Arc::new(SimFile { files: self.clone(), file }))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn RandomAccessFile>> {
        let file = self.state.lock().change(Call::Name, |state| {
            let file = state.contents.len();
            let path = state.add(path, Node::File(file))?;
            state.contents.push(Arc::default());
            state.operations.push(Operation::Create { path, file });
            Ok(file)
        })?;
        Ok(Arc::new(SimFile { files: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.state.lock().change(Call::Name, |state| {
            let file = state.file(from)?;
            if let Ok(index) = state.find(from) {
                state.names.remove(index);
            }
            if let Ok(index) = state.find(to) {
                state.names.remove(index);
            }
            let to = state.add(to, Node::File(file))?;
            state.operations.push(Operation::Rename { from: from.into(), to, file });
            if state.plant == Some(DevicePlant::RenameBeforeSync) {
                state.operations.push(Operation::Sync { file, failed: false });
            }
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.state.lock().change(Call::Name, |state| {
            let file = state.file(path)?;
            if let Ok(index) = state.find(path) {
                let (path, _) = state.names.remove(index);
                state.operations.push(Operation::Remove { path, file });
            }
            Ok(())
        })
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let is_skipped = state.plant == Some(DevicePlant::SkipFolderSync);
        state.sync(is_skipped, |failed| Operation::SyncFolder { folder: folder.into(), failed })
    }

    fn lock(&self, _: &str) -> io::Result<Option<Box<dyn FileLock>>> {
        let taken = self.state.lock().change(Call::Read, |state| Ok(std::mem::replace(&mut state.is_locked, true)))?;
        Ok((!taken).then(|| Box::new(SimLock(self.clone())) as Box<dyn FileLock>))
    }
}

struct SimLock(SimFiles);

impl FileLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.state.lock().is_locked = false;
    }
}

struct SimFile {
    files: SimFiles,
    file: usize,
}

impl RandomAccessFile for SimFile {
    fn length(&self) -> io::Result<u64> {
        self.files.state.lock().change(Call::Read, |state| Ok(state.contents[self.file].len() as u64))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.files.state.lock().change(Call::Read, |state| {
            if state.misreads.is_some() {
                let path = state.name_of(self.file).unwrap_or("").to_owned();
                let State { misreads: Some(misreads), contents, .. } = state else { return Ok(0) };
                if let Some(read) = misreads.read((&path, self.file), contents, into, offset as usize) {
                    return Ok(read);
                }
            }
            let content = &state.contents[self.file];
            let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or(&[]);
            let read = rest.len().min(into.len());
            into[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.files.state.lock();
        let half = bytes.len() / 2;
        let (written, answer) = match state.meet(Call::Write) {
            None => match state.space.as_mut().map(|space| space.take(self.file, offset, bytes.len())) {
                Some(0) if !bytes.is_empty() => (0, Err(error(FaultKind::Full))),
                room => (room.unwrap_or(bytes.len()), Ok(room.unwrap_or(bytes.len()))),
            },
            Some(FaultKind::Short) => (half.max(1), Ok(half.max(1))),
            Some(FaultKind::FullHalfway) => (half, Err(error(FaultKind::FullHalfway))),
            Some(FaultKind::ErrorAfterEffect) => (bytes.len(), Err(error(FaultKind::ErrorAfterEffect))),
            Some(kind) => (0, Err(error(kind))),
        };
        if written > 0 {
            let bytes = &bytes[..written];
            overwrite(Arc::make_mut(&mut state.contents[self.file]), offset, bytes);
            state.operations.push(Operation::Write { file: self.file, offset, bytes: bytes.into() });
        }
        answer
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.files.state.lock().change(Call::Cut, |state| {
            Arc::make_mut(&mut state.contents[self.file]).resize(length as usize, 0);
            state.operations.push(Operation::SetLength { file: self.file, length });
            if let Some(space) = &mut state.space {
                space.cut(self.file, length);
            }
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.files.state.lock();
        let name = state.name_of(self.file).unwrap_or("");
        let is_skipped = match state.plant {
            Some(DevicePlant::SkipLogSync) => name.starts_with("wal/"),
            Some(DevicePlant::RenameBeforeSync) => name == "manifest.new",
            _ => false,
        };
        state.sync(is_skipped, |failed| Operation::Sync { file: self.file, failed })
    }
}
