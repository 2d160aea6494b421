//! Files of objects: written once, at the end, and read as the manifest names them.
//!
//! - O1: no byte that the durable manifest reaches is ever written again. An object goes behind all that the file holds.
//! - O2: an object's bytes and its file's name are durable before a manifest that names it.
//! - O3: a file goes only when the durable manifest names nothing in it.
//!
//! A file is ours if its name is one that this engine gives ([`parse_object_path`]); others are never touched.

use super::files::{FileLock, Files, RandomAccessFile, failed, read_full, set_length, uninterrupted, write_all};
use super::layout::{TABLE_NAME_BYTES_MAX, folder, object_path, parse_object_path};
use super::log::not_claimed;
use super::syncs::Syncs;
use crate::error::{Error, Result};
use crate::storage::engine::{Object, ObjectKind, ObjectReader, ObjectWriter, Placement};
#[cfg(feature = "testing")]
use crate::storage::plant::{Plant, is_planted};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

const BUFFER_BYTES: usize = 1 << 16;
/// So many files are kept open to be synced. A checkpoint may write two for each of thousands of tables, and a process has
/// often no more than 1,024 descriptors for all that it does.
const UNSYNCED_FILES_MAX: usize = 64;
/// So many names that are taken by somebody else are passed over.
const FOREIGN_FILES_MAX: u32 = 1_000;

/// A file: its objects' kind and table, and its generation.
type Key = (ObjectKind, Arc<str>, u64);

/// The files of objects in a directory.
pub(super) struct Objects {
    files: Arc<dyn Files>,
    syncs: Arc<Syncs>,
    state: Mutex<State>,
    /// Held until closed, and by each writer: what it does when dropped must not happen to somebody else's directory.
    lock: Mutex<Option<Arc<dyn FileLock>>>,
}

#[derive(Default)]
struct State {
    /// Every file that is ours, as far as known.
    files: BTreeMap<Key, FileState>,
    /// Files with something in them to sync, open, each once, those that have waited longest first.
    unsynced: VecDeque<(Key, Arc<dyn RandomAccessFile>)>,
    /// Folders with names that are not durable yet.
    unsynced_folders: Vec<&'static str>,
}

#[derive(Default)]
struct FileState {
    /// Behind the last object that a manifest names or may come to name.
    end: u64,
    /// Behind the last that one names or named.
    named_end: u64,
    /// Behind the last that is named by the manifests looked at now; of no meaning between two looks.
    wanted_end: Option<u64>,
    /// Bytes behind `end` are nobody's, and may be there: a crash left them.
    is_end_checked: bool,
    /// A crash left it, or removing it failed: nothing is added.
    is_orphan: bool,
    is_being_written: bool,
}

impl Objects {
    /// Takes up the files that `named` are in, and those listed that nothing names any more.
    pub(super) fn new(
        files: Arc<dyn Files>,
        syncs: Arc<Syncs>,
        lock: Box<dyn FileLock>,
        named: &[Object],
        listed: &[String],
    ) -> Arc<Self> {
        let mut state = State::default();
        for path in listed {
            if let Some((kind, table, generation)) = parse_object_path(path) {
                let orphan = FileState { is_orphan: true, ..FileState::default() };
                state.files.insert((kind, table.into(), generation), orphan);
            }
        }
        for object in named {
            let file = state.files.entry(key(object)).or_default();
            file.is_orphan = false;
            file.end = file.end.max(object.offset + object.length);
            file.named_end = file.end;
        }
        Arc::new(Self { files, syncs, state: Mutex::new(state), lock: Mutex::new(Some(lock.into())) })
    }

    /// Lets others open the directory, as soon as the last writer is dropped.
    pub(super) fn unlock(&self) {
        *self.lock.lock() = None;
    }

    pub(super) fn create(
        self: &Arc<Self>,
        kind: ObjectKind,
        table: &str,
        placement: Placement,
    ) -> Result<Box<dyn ObjectWriter>> {
        if table.len() > TABLE_NAME_BYTES_MAX {
            let (limit, found) = (TABLE_NAME_BYTES_MAX as u64, table.len() as u64);
            return Err(Error::Limit { what: "a table's name in bytes".into(), limit, found });
        }
        self.syncs.check()?;
        let lock = self.lock.lock().clone().ok_or_else(not_claimed)?;
        let table: Arc<str> = table.into();
        let mut state = self.state.lock();
        let newest =
            state.files.range((kind, Arc::clone(&table), 0)..=(kind, Arc::clone(&table), u64::MAX)).next_back();
        if let (Placement::Append, Some((key, file))) = (placement, newest)
            && !file.is_orphan
            && !file.is_being_written
            && file.end > 0
        {
            let key = key.clone();
            return self.add_to(&mut state, key, lock);
        }
        let generation = newest.map_or(Some(0), |((_, _, generation), _)| generation.checked_add(1));
        self.create_file(&mut state, kind, table, generation, lock)
    }

    /// An object behind the others of a file.
    fn add_to(self: &Arc<Self>, state: &mut State, key: Key, lock: Arc<dyn FileLock>) -> Result<Box<dyn ObjectWriter>> {
        let path = path(&key);
        let open = state.unsynced.iter().find(|(other, _)| *other == key).map(|(_, file)| Arc::clone(file));
        let found =
            state.files.get_mut(&key).ok_or(Error::InvalidStorageCall { message: "no such file of objects" })?;
        let file = match open {
            Some(file) => file,
            None => uninterrupted(|| self.files.open(&path)).map_err(|error| failed("open", &path, error))?,
        };
        if !found.is_end_checked {
            let length = uninterrupted(|| file.length()).map_err(|error| failed("read the length of", &path, error))?;
            if length < found.end {
                return Err(truncated(&path, length, found.end));
            }
            set_length(&*file, found.end).map_err(|error| failed("cut", &path, error))?;
            found.is_end_checked = true;
        }
        found.is_being_written = true;
        let start = found.end;
        Ok(self.writer(key, path, file, start, lock))
    }

    /// An object in a file of its own.
    fn create_file(
        self: &Arc<Self>,
        state: &mut State,
        kind: ObjectKind,
        table: Arc<str>,
        mut generation: Option<u64>,
        lock: Arc<dyn FileLock>,
    ) -> Result<Box<dyn ObjectWriter>> {
        for _ in 0..FOREIGN_FILES_MAX {
            let Some(number) = generation else { break };
            let key = (kind, Arc::clone(&table), number);
            let path = path(&key);
            match uninterrupted(|| self.files.create(&path)) {
                // Somebody put it there since we looked.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => generation = number.checked_add(1),
                Err(error) => return Err(failed("create", &path, error)),
                Ok(file) => {
                    let new = FileState { is_being_written: true, is_end_checked: true, ..FileState::default() };
                    state.files.insert(key.clone(), new);
                    if !state.unsynced_folders.contains(&folder(kind)) {
                        state.unsynced_folders.push(folder(kind));
                    }
                    return Ok(self.writer(key, path, file, 0, lock));
                }
            }
        }
        let (limit, found) = (u64::from(FOREIGN_FILES_MAX), u64::from(FOREIGN_FILES_MAX) + 1);
        Err(Error::Limit { what: "files in the way of a new one".into(), limit, found })
    }

    fn writer(
        self: &Arc<Self>,
        key: Key,
        path: String,
        file: Arc<dyn RandomAccessFile>,
        start: u64,
        lock: Arc<dyn FileLock>,
    ) -> Box<dyn ObjectWriter> {
        let objects = Arc::clone(self);
        let hasher = crc32fast::Hasher::new();
        let outcome = Outcome::Dropped;
        Box::new(Writer {
            objects,
            key,
            path,
            file,
            start,
            at: start,
            buffer: Vec::new(),
            hasher,
            outcome,
            _lock: lock,
        })
    }

    /// Refuses objects that are not whole in a file of ours.
    pub(super) fn check(&self, objects: &[Object]) -> Result<()> {
        let state = self.state.lock();
        let is_there = |object: &Object| {
            let end = object.offset.checked_add(object.length);
            let file = state.files.get(&key(object));
            file.is_some_and(|file| !file.is_orphan && end.is_some_and(|end| end <= file.end))
        };
        match objects.iter().all(is_there) {
            true => Ok(()),
            false => {
                Err(Error::InvalidStorageCall { message: "a manifest can only name finished objects of this engine" })
            }
        }
    }

    /// O2, for everything finished so far.
    pub(super) fn sync(&self) -> Result<()> {
        self.syncs.check()?;
        #[cfg(feature = "testing")]
        if is_planted(Plant::ManifestBeforeObjects) {
            return Ok(());
        }
        // Taken, not looked at: what is finished from here on is for the next sync. After one that fails nothing is named.
        let (unsynced, folders) = {
            let mut state = self.state.lock();
            (std::mem::take(&mut state.unsynced), std::mem::take(&mut state.unsynced_folders))
        };
        for (key, file) in &unsynced {
            self.syncs.sync_file(&**file, &path(key))?;
        }
        folders.iter().try_for_each(|folder| self.syncs.sync_folder(&*self.files, folder))
    }

    /// O3: removes the files in which neither the durable manifest names anything, nor the one to come, and cuts from the
    /// others what none has named. What cannot be removed now is at a later time.
    pub(super) fn remove_unnamed(&self, named: &[Object], next: &[Object]) {
        let mut state = self.state.lock();
        for object in named {
            if let Some(file) = state.files.get_mut(&key(object)) {
                file.named_end = file.named_end.max(object.offset + object.length);
            }
        }
        state.files.values_mut().for_each(|file| file.wanted_end = None);
        for object in named.iter().chain(next) {
            if let Some(file) = state.files.get_mut(&key(object)) {
                file.wanted_end = file.wanted_end.max(Some(object.offset.saturating_add(object.length)));
            }
        }
        let State { files, unsynced, .. } = &mut *state;
        for (key, file) in files {
            let end = file.wanted_end.unwrap_or(0).max(file.named_end);
            if !file.is_being_written && !file.is_orphan && end > 0 && file.end > end {
                file.end = end;
                if end == file.named_end {
                    // What a durable manifest names has been synced.
                    unsynced.retain(|(other, _)| other != key);
                }
                // Should this fail, the next object's begin cuts it.
                let opened = uninterrupted(|| self.files.open(&path(key)));
                file.is_end_checked = opened.and_then(|opened| set_length(&*opened, file.end)).is_ok();
            }
        }
        let unnamed = state.files.iter().filter(|(_, file)| !file.is_being_written && file.wanted_end.is_none());
        for key in unnamed.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            state.unsynced.retain(|(other, _)| *other != key);
            match uninterrupted(|| self.files.remove(&path(&key))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    if let Some(file) = state.files.get_mut(&key) {
                        file.is_orphan = true;
                    }
                }
                _ => drop(state.files.remove(&key)),
            }
        }
    }

    /// Syncs and closes the files that have waited longest, as long as there are more than are kept open. Their names wait
    /// for [`sync`](Objects::sync). Under the lock: a manifest that names what is in them must not come before (O2).
    fn close_synced(&self) -> Result<()> {
        let mut state = self.state.lock();
        while state.unsynced.len() > UNSYNCED_FILES_MAX
            && let Some((key, file)) = state.unsynced.pop_front()
        {
            self.syncs.check()?;
            self.syncs.sync_file(&*file, &path(&key))?;
        }
        Ok(())
    }

    pub(super) fn open(&self, object: &Object) -> Result<Box<dyn ObjectReader>> {
        Ok(Box::new(open(&*self.files, object)?))
    }

    /// Bytes of the files.
    pub(super) fn bytes(&self) -> u64 {
        self.state.lock().files.values().map(|file| file.end).sum()
    }
}

fn key(object: &Object) -> Key {
    (object.kind, Arc::clone(&object.table), object.generation)
}

fn path((kind, table, generation): &Key) -> String {
    object_path(*kind, table, *generation)
}

fn truncated(path: &str, length: u64, expected: u64) -> Error {
    let (expected, found) = (format!("a file of at least {expected} bytes"), "its end");
    Error::Corrupt { file: path.into(), offset: length, expected: expected.into(), found: found.into() }
}

pub(super) fn open(files: &dyn Files, object: &Object) -> Result<Reader> {
    let path = path(&key(object));
    let file = uninterrupted(|| files.open(&path)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::NotADirectory => Error::Corrupt {
            file: path.as_str().into(),
            offset: 0,
            expected: "a file that the manifest names".into(),
            found: "none".into(),
        },
        _ => failed("open", &path, error),
    })?;
    let length = uninterrupted(|| file.length()).map_err(|error| failed("read the length of", &path, error))?;
    match object.offset.checked_add(object.length) {
        Some(end) if end <= length => {
            Ok(Reader { file, path, object: object.clone(), read: 0, hasher: Some(crc32fast::Hasher::new()) })
        }
        end => Err(truncated(&path, length, end.unwrap_or(u64::MAX))),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Dropped,
    /// A write failed.
    Failed,
    Finished,
}

struct Writer {
    objects: Arc<Objects>,
    key: Key,
    path: String,
    file: Arc<dyn RandomAccessFile>,
    start: u64,
    at: u64,
    buffer: Vec<u8>,
    hasher: crc32fast::Hasher,
    outcome: Outcome,
    _lock: Arc<dyn FileLock>,
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if self.outcome == Outcome::Failed {
            return Err(Error::InvalidStorageCall { message: "an earlier write of the object failed" });
        }
        self.objects.syncs.check()?;
        if let Err(error) = write_all(&*self.file, bytes, self.at) {
            self.outcome = Outcome::Failed;
            return Err(failed("write", &self.path, error));
        }
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let put = self.put(&buffer);
        buffer.clear();
        self.buffer = buffer;
        put
    }
}

impl ObjectWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() > BUFFER_BYTES {
            return self.put(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Object> {
        self.flush()?;
        self.outcome = Outcome::Finished;
        let (kind, table, generation) = self.key.clone();
        let checksum = std::mem::take(&mut self.hasher).finalize();
        let object = Object { kind, table, generation, offset: self.start, length: self.at - self.start, checksum };
        let objects = Arc::clone(&self.objects);
        // From here on it waits to be synced.
        drop(self);
        objects.close_synced()?;
        Ok(object)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.objects.state.lock();
        let State { files, unsynced, .. } = &mut *state;
        let Some(file) = files.get_mut(&self.key) else { return };
        file.is_being_written = false;
        if self.outcome == Outcome::Finished {
            file.end = self.at;
            if !unsynced.iter().any(|(key, _)| *key == self.key) {
                unsynced.push_back((self.key.clone(), Arc::clone(&self.file)));
            }
        } else if self.start == 0 {
            // No other object is in it.
            file.is_orphan = true;
            if uninterrupted(|| self.objects.files.remove(&self.path)).is_ok() {
                state.files.remove(&self.key);
            }
        } else {
            // Should this fail, the next object's begin cuts it.
            file.is_end_checked = set_length(&*self.file, self.start).is_ok();
        }
    }
}

/// Reads an object and its checksum.
pub(super) struct Reader {
    file: Arc<dyn RandomAccessFile>,
    path: String,
    object: Object,
    read: u64,
    /// None once an error was answered.
    hasher: Option<crc32fast::Hasher>,
}

impl ObjectReader for Reader {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let Object { offset, length, checksum, .. } = self.object;
        let wrong = |expected: &str| Error::Corrupt {
            file: self.path.as_str().into(),
            offset,
            expected: expected.into(),
            found: "other bytes".into(),
        };
        let Some(mut hasher) = self.hasher.take() else { return Err(wrong("an object that can be read")) };
        let left = length - self.read;
        if left == 0 && hasher.clone().finalize() != checksum {
            return Err(wrong("an object that matches its checksum"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let read = read_full(&*self.file, &mut into[..most], offset + self.read)
            .map_err(|error| failed("read", &self.path, error))?;
        if read < most {
            return Err(truncated(&self.path, offset + self.read + read as u64, offset + length));
        }
        hasher.update(&into[..read]);
        self.read += read as u64;
        self.hasher = Some(hasher);
        Ok(read)
    }
}
