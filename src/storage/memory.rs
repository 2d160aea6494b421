//! The memory engine: the contract of [`StorageEngine`] without a disk.
//!
//! For tests, and as the shortest reading of what the contract asks. A [`MemoryStorage`] stands for the disk: engines
//! opened on it one after the other find what was left. "Durable" means here: synced, and still lost with the process.

use super::engine::{
    Appended, Batch, Checkpoint, Damage, Format, Manifest, Object, ObjectKind, ObjectReader, ObjectWriter, OpenReport,
    Placement, Recovery, StorageEngine, StorageStats,
};
use crate::error::{Error, Result};
use crate::value::SortedMap;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// What a [`MemoryEngine`] is opened on. Clones are the same storage.
#[derive(Clone, Default)]
pub struct MemoryStorage {
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStorage").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    is_open: bool,
    manifest: Option<Manifest>,
    /// Sealed segments, then the one being written.
    segments: VecDeque<Vec<Stored>>,
    last: u64,
    durable: u64,
    /// By kind, table and generation.
    objects: SortedMap<(ObjectKind, Arc<str>, u64), Arc<[u8]>>,
    objects_made: u64,
    stats: StorageStats,
}

struct Stored {
    first: u64,
    count: u32,
    payload: Arc<[u8]>,
}

impl Stored {
    fn batch(&self) -> Batch<'_> {
        Batch { first: self.first, count: self.count, payload: &self.payload }
    }
}

/// A storage engine in memory.
pub struct MemoryEngine {
    storage: MemoryStorage,
    format: Format,
    recovery: Recovery,
    phase: Mutex<Phase>,
}

impl std::fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryEngine").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opened,
    Claimed,
    Closed,
}

impl MemoryEngine {
    /// Opens `storage`, whose payloads are in `format`.
    ///
    /// # Errors
    /// [`Error::Locked`] while another engine has it open.
    pub fn open(storage: &MemoryStorage, format: Format) -> Result<Self> {
        let mut state = storage.state.lock();
        if state.is_open {
            return Err(Error::Locked { path: "memory".into() });
        }
        state.is_open = true;
        let report = if state.manifest.is_some() { OpenReport::Clean } else { OpenReport::Empty };
        let recovery = Recovery { manifest: state.manifest.clone(), last: state.last, report };
        drop(state);
        Ok(Self { storage: storage.clone(), format, recovery, phase: Mutex::new(Phase::Opened) })
    }

    /// Runs `write` on the state of a claimed storage.
    fn write<T>(&self, write: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        if *self.phase.lock() != Phase::Claimed {
            return Err(Error::InvalidStorageCall { message: "the storage is not claimed, or closed" });
        }
        write(&mut self.storage.state.lock())
    }
}

impl Drop for MemoryEngine {
    fn drop(&mut self) {
        if *self.phase.get_mut() != Phase::Closed {
            self.storage.state.lock().is_open = false;
        }
    }
}

impl StorageEngine for MemoryEngine {
    fn format(&self) -> Format {
        self.format
    }

    fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    fn claim(&self) -> Result<()> {
        let mut phase = self.phase.lock();
        if *phase != Phase::Opened {
            return Err(Error::InvalidStorageCall { message: "the storage was claimed already" });
        }
        *phase = Phase::Claimed;
        let mut state = self.storage.state.lock();
        state.durable = state.last;
        if state.manifest.is_none() {
            state.manifest = Some(Manifest { generation: 0, durable: 0, checkpoint: Checkpoint::default() });
            state.segments.push_back(Vec::new());
        }
        Ok(())
    }

    fn append(&self, batch: Batch<'_>) -> Result<Appended> {
        self.write(|state| {
            let Some(next) = state.last.checked_add(1) else {
                return Err(Error::Limit { what: "versions".into(), limit: u64::MAX, found: u64::MAX });
            };
            if batch.first != next {
                return Ok(Appended::Conflict(state.last));
            }
            let Some(last) = batch.last() else {
                let message = "a batch makes at least one version, and none above 2^64";
                return Err(Error::InvalidStorageCall { message });
            };
            if self.format == Format::JsonLines && batch.payload.last().is_some_and(|byte| *byte != b'\n') {
                return Err(Error::InvalidStorageCall { message: "a payload of JSON Lines ends in a line feed" });
            }
            let stored = Stored { first: batch.first, count: batch.count, payload: batch.payload.into() };
            if let Some(live) = state.segments.back_mut() {
                live.push(stored);
            }
            state.last = last;
            state.stats.batches += 1;
            state.stats.batch_bytes += batch.payload.len() as u64;
            Ok(Appended::At(last))
        })
    }

    fn sync(&self, through: u64) -> Result<()> {
        let State { last, durable, .. } = *self.storage.state.lock();
        if durable >= through {
            return Ok(());
        }
        if through > last {
            return Err(Error::Conflict { what: "the log's end", expected: through, found: last });
        }
        self.write(|state| {
            // Another may have synced since.
            if state.durable < through {
                state.stats.syncs += 1;
                state.stats.synced_versions += state.last - state.durable;
                state.durable = state.last;
            }
            Ok(())
        })
    }

    fn appended(&self) -> u64 {
        self.storage.state.lock().last
    }

    fn durable(&self) -> u64 {
        self.storage.state.lock().durable
    }

    fn read_from(&self, version: u64, visit: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        let batches: Vec<(u64, u32, Arc<[u8]>)> = {
            let state = self.storage.state.lock();
            let held = state.segments.iter().flatten();
            let first = held.clone().next().map_or(state.last.saturating_add(1), |stored| stored.first);
            if version > state.last {
                return Ok(());
            }
            if version < first {
                return Err(Error::NotInLog { version, first });
            }
            let wanted = held.filter(|stored| stored.batch().last() >= Some(version));
            wanted.map(|stored| (stored.first, stored.count, Arc::clone(&stored.payload))).collect()
        };
        batches.iter().try_for_each(|(first, count, payload)| visit(Batch { first: *first, count: *count, payload }))
    }

    fn seal(&self) -> Result<()> {
        self.write(|state| {
            state.durable = state.last;
            if state.segments.back().is_some_and(|live| !live.is_empty()) {
                state.segments.push_back(Vec::new());
            }
            Ok(())
        })
    }

    fn release_log(&self, through: u64) -> Result<()> {
        self.write(|state| {
            let covered = state.manifest.as_ref().map_or(0, |manifest| manifest.checkpoint.version);
            let through = through.min(covered);
            while state.segments.len() > 1
                && state.segments[0].last().is_none_or(|stored| stored.batch().last() <= Some(through))
            {
                state.segments.pop_front();
            }
            Ok(())
        })
    }

    fn create_object(&self, kind: ObjectKind, table: &str, _: Placement) -> Result<Box<dyn ObjectWriter>> {
        self.write(|state| {
            state.objects_made += 1;
            let (storage, table, generation) = (self.storage.clone(), Arc::from(table), state.objects_made);
            Ok(Box::new(Writer { storage, kind, table, generation, content: Vec::new() }) as Box<dyn ObjectWriter>)
        })
    }

    fn open_object(&self, object: &Object) -> Result<Box<dyn ObjectReader>> {
        let found = self.storage.state.lock().objects.get(&key(object)).cloned();
        let Some(content) = found else {
            return Err(Error::Corrupt {
                file: object.table().into(),
                offset: 0,
                expected: "an object that the manifest names".into(),
                found: "none".into(),
            });
        };
        Ok(Box::new(Reader { content, read: 0 }))
    }

    fn manifest(&self) -> Option<Manifest> {
        self.storage.state.lock().manifest.clone()
    }

    fn replace_manifest(&self, expected: u64, checkpoint: Checkpoint) -> Result<u64> {
        self.write(|state| {
            let (found, version) =
                state.manifest.as_ref().map_or((0, 0), |old| (old.generation, old.checkpoint.version));
            if found != expected {
                return Err(Error::Conflict { what: "the manifest", expected, found });
            }
            if checkpoint.version < version {
                let message = "a checkpoint of an older version than the one there is";
                return Err(Error::InvalidStorageCall { message });
            }
            if checkpoint.version > state.last {
                let (expected, found) = (checkpoint.version, state.last);
                return Err(Error::Conflict { what: "the log's end", expected, found });
            }
            if !checkpoint.objects.iter().all(|object| state.objects.contains_key(&key(object))) {
                let message = "a manifest can only name finished objects of this engine";
                return Err(Error::InvalidStorageCall { message });
            }
            let named: Vec<_> = checkpoint.objects.iter().map(key).collect();
            state.objects.retain(|key| named.contains(key));
            state.durable = state.durable.max(checkpoint.version);
            state.manifest = Some(Manifest { generation: found + 1, durable: state.durable, checkpoint });
            Ok(found + 1)
        })
    }

    fn stats(&self) -> StorageStats {
        let state = self.storage.state.lock();
        let bytes = state.segments.iter().flatten().map(|stored| stored.payload.len() as u64).sum();
        let object_bytes = state.objects.values().map(|content| content.len() as u64).sum();
        StorageStats {
            appended: state.last,
            durable: state.durable,
            log_bytes: bytes,
            log_segments: state.segments.len() as u64,
            object_bytes,
            live_object_bytes: object_bytes,
            ..state.stats
        }
    }

    fn verify(&self, _: &mut dyn FnMut(Damage)) -> Result<()> {
        Ok(())
    }

    fn close(&self) -> Result<()> {
        let mut phase = self.phase.lock();
        if std::mem::replace(&mut *phase, Phase::Closed) != Phase::Closed {
            let mut state = self.storage.state.lock();
            state.durable = state.last;
            state.is_open = false;
        }
        Ok(())
    }
}

fn key(object: &Object) -> (ObjectKind, Arc<str>, u64) {
    (object.kind, Arc::clone(&object.table), object.generation)
}

struct Writer {
    storage: MemoryStorage,
    kind: ObjectKind,
    table: Arc<str>,
    generation: u64,
    content: Vec<u8>,
}

impl ObjectWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.content.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Object> {
        let (length, checksum) = (self.content.len() as u64, crc32fast::hash(&self.content));
        let (kind, table, generation) = (self.kind, self.table, self.generation);
        let object = Object { kind, table, generation, offset: 0, length, checksum };
        self.storage.state.lock().objects.insert(key(&object), self.content.into());
        Ok(object)
    }
}

struct Reader {
    content: Arc<[u8]>,
    read: usize,
}

impl ObjectReader for Reader {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let rest = &self.content[self.read..];
        let read = rest.len().min(into.len());
        into[..read].copy_from_slice(&rest[..read]);
        self.read += read;
        Ok(read)
    }
}
