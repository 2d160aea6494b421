//! An engine as somebody else would write it, against the public contract alone: one file's worth of state behind a lock.

use folio::storage::{
    Appended, Batch, Checkpoint, Damage, Format, Manifest, Object, ObjectKind, ObjectReader, ObjectWriter, OpenReport,
    Placement, Recovery, StorageEngine, StorageStats,
};
use folio::testing::Storage;
use folio::{Error, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Stands for the disk.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    is_open: bool,
    is_claimed: bool,
    manifest: Option<Manifest>,
    log: BTreeMap<u64, (u32, Vec<u8>)>,
    sealed: u64,
    last: u64,
    durable: u64,
    objects: BTreeMap<u64, Vec<u8>>,
    objects_made: u64,
    stats: StorageStats,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Storage for Shared {
    fn open(&self) -> Result<Arc<dyn StorageEngine>> {
        let mut state = self.lock();
        if state.is_open {
            return Err(Error::Locked { path: "shared".into() });
        }
        (state.is_open, state.is_claimed) = (true, false);
        let report = if state.manifest.is_none() { OpenReport::Empty } else { OpenReport::Clean };
        let recovery = Recovery { manifest: state.manifest.clone(), last: state.last, report };
        Ok(Arc::new(Outside { shared: self.clone(), recovery, is_closed: Mutex::new(false) }))
    }
}

struct Outside {
    shared: Shared,
    recovery: Recovery,
    is_closed: Mutex<bool>,
}

impl Outside {
    fn claimed(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.shared.lock();
        match state.is_claimed && !*self.is_closed.lock().unwrap() {
            true => Ok(state),
            false => Err(Error::InvalidStorageCall { message: "not claimed" }),
        }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        if !*self.is_closed.lock().unwrap() {
            self.shared.lock().is_open = false;
        }
    }
}

impl StorageEngine for Outside {
    fn format(&self) -> Format {
        Format::Binary
    }

    fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    fn claim(&self) -> Result<()> {
        let mut state = self.shared.lock();
        if state.is_claimed {
            return Err(Error::InvalidStorageCall { message: "claimed already" });
        }
        (state.is_claimed, state.durable) = (true, state.last);
        let empty = || Manifest { generation: 0, durable: 0, checkpoint: Checkpoint::default() };
        state.manifest.get_or_insert_with(empty);
        Ok(())
    }

    fn append(&self, batch: Batch<'_>) -> Result<Appended> {
        let mut state = self.claimed()?;
        if batch.first != state.last + 1 {
            return Ok(Appended::Conflict(state.last));
        }
        let last = batch.last().ok_or(Error::InvalidStorageCall { message: "a batch without a version" })?;
        state.log.insert(batch.first, (batch.count, batch.payload.to_vec()));
        (state.last, state.stats.batches) = (last, state.stats.batches + 1);
        Ok(Appended::At(last))
    }

    fn sync(&self, through: u64) -> Result<()> {
        let mut state = self.claimed()?;
        if through > state.last {
            return Err(Error::Conflict { what: "the end", expected: through, found: state.last });
        }
        if through > state.durable {
            state.stats.syncs += 1;
            state.stats.synced_versions += state.last - state.durable;
            state.durable = state.last;
        }
        Ok(())
    }

    fn appended(&self) -> u64 {
        self.shared.lock().last
    }

    fn durable(&self) -> u64 {
        self.shared.lock().durable
    }

    fn read_from(&self, version: u64, visit: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        let (log, last) = {
            let state = self.shared.lock();
            (state.log.clone(), state.last)
        };
        let first = log.keys().next().copied().unwrap_or(last + 1);
        if version < first && version <= last {
            return Err(Error::NotInLog { version, first });
        }
        let batches = log.iter().map(|(first, (count, payload))| Batch { first: *first, count: *count, payload });
        batches.filter(|batch| batch.last() >= Some(version)).try_for_each(visit)
    }

    fn seal(&self) -> Result<()> {
        let mut state = self.claimed()?;
        (state.sealed, state.durable) = (state.last, state.last);
        Ok(())
    }

    fn release_log(&self, through: u64) -> Result<()> {
        let mut state = self.claimed()?;
        let covered = state.manifest.as_ref().map_or(0, |manifest| manifest.checkpoint.version);
        let through = through.min(covered).min(state.sealed);
        state.log.retain(|first, (count, _)| first + u64::from(*count) - 1 > through);
        Ok(())
    }

    fn create_object(&self, kind: ObjectKind, table: &str, _: Placement) -> Result<Box<dyn ObjectWriter>> {
        let mut state = self.claimed()?;
        state.objects_made += 1;
        let (shared, generation) = (self.shared.clone(), state.objects_made);
        Ok(Box::new(Writer { shared, kind, table: table.into(), generation, content: Vec::new() }))
    }

    fn open_object(&self, object: &Object) -> Result<Box<dyn ObjectReader>> {
        let found = self.shared.lock().objects.get(&object.generation()).cloned();
        let corrupt = || Error::Corrupt {
            file: object.table().into(),
            offset: object.offset(),
            expected: format!("{} bytes with the checksum {:08x}", object.length(), object.checksum()).into(),
            found: "none".into(),
        };
        Ok(Box::new(Reader { content: found.ok_or_else(corrupt)?, read: 0 }))
    }

    fn manifest(&self) -> Option<Manifest> {
        self.shared.lock().manifest.clone()
    }

    fn replace_manifest(&self, expected: u64, checkpoint: Checkpoint) -> Result<u64> {
        let mut state = self.claimed()?;
        let (found, version) = state.manifest.as_ref().map_or((0, 0), |old| (old.generation, old.checkpoint.version));
        if found != expected {
            return Err(Error::Conflict { what: "the manifest", expected, found });
        }
        if checkpoint.version > state.last {
            return Err(Error::Conflict { what: "the end", expected: checkpoint.version, found: state.last });
        }
        let is_known = |object: &Object| state.objects.contains_key(&object.generation());
        if checkpoint.version < version || !checkpoint.objects.iter().all(is_known) {
            return Err(Error::InvalidStorageCall { message: "an older checkpoint, or unknown objects" });
        }
        let named: Vec<u64> = checkpoint.objects.iter().map(Object::generation).collect();
        state.objects.retain(|generation, _| named.contains(generation));
        state.durable = state.durable.max(checkpoint.version);
        state.manifest = Some(Manifest { generation: found + 1, durable: state.durable, checkpoint });
        Ok(found + 1)
    }

    fn stats(&self) -> StorageStats {
        let state = self.shared.lock();
        StorageStats { appended: state.last, durable: state.durable, ..state.stats }
    }

    fn verify(&self, _: &mut dyn FnMut(Damage)) -> Result<()> {
        Ok(())
    }

    fn close(&self) -> Result<()> {
        let mut is_closed = self.is_closed.lock().unwrap();
        if !std::mem::replace(&mut *is_closed, true) {
            let mut state = self.shared.lock();
            (state.durable, state.is_open) = (state.last, false);
        }
        Ok(())
    }
}

struct Writer {
    shared: Shared,
    kind: ObjectKind,
    table: String,
    generation: u64,
    content: Vec<u8>,
}

impl ObjectWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.content.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Object> {
        let length = self.content.len() as u64;
        let object = Object::new(self.kind, self.table, self.generation, 0, length, 0);
        self.shared.lock().objects.insert(self.generation, self.content);
        Ok(object)
    }
}

struct Reader {
    content: Vec<u8>,
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
