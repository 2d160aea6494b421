//! The file engine: a [`StorageEngine`] in a directory.
//!
//! Locks, in order: the manifest's, the right to seal, the log's, the turn to sync, the objects'. Reading takes the log's for a moment, to
//! learn which segments there are.

use super::archive;
use super::files::{Files, failed, lock_directory};
use super::log::{self, Log, not_claimed};
use super::manifest::{self, Stored};
use super::objects::Objects;
use super::os::OsFiles;
use super::recover::{self, Survivor};
use super::syncs::Syncs;
use super::verify;
use crate::error::{Error, Result};
use crate::storage::engine::{
    Appended, Batch, Checkpoint, Damage, Format, Manifest, Object, ObjectKind, ObjectReader, ObjectWriter, Placement,
    Recovery, StorageEngine, StorageStats,
};
#[cfg(feature = "testing")]
use crate::storage::plant::{Plant, is_planted};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;

/// How a file engine works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOptions {
    /// The encoding of a storage that is yet to begin; one that is there keeps its own. Default: binary.
    pub format: Format,
    /// A segment of the log is sealed before it grows beyond this, but for what is appended while another is being
    /// sealed; else batches larger than it have one of their own. Sealing waits for a sync of what is not durable yet,
    /// and opening after a crash writes one segment anew: larger segments are fewer but longer waits. Default: 16 MiB.
    pub segment_bytes: u64,
    /// The largest step in which the log's space is written ahead, so that a sync has no metadata to write. 0: never.
    /// Default: 1 MiB.
    pub preallocate_bytes: u64,
    /// Sealed segments stay when a checkpoint covers them. Default: no.
    pub keep_archived: bool,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { format: Format::Binary, segment_bytes: 16 << 20, preallocate_bytes: 1 << 20, keep_archived: false }
    }
}

/// A storage engine in a directory; [PERSISTENCE.md](crate::persistence) has its files.
///
/// ```
/// use folio::storage::{Appended, Batch, FileEngine, FileOptions, StorageEngine};
///
/// # let directory = std::env::temp_dir().join(format!("folio-doc-{}", std::process::id()));
/// let engine = FileEngine::open(&directory, FileOptions::default())?;
/// engine.claim()?;
/// let batch = Batch { first: 1, count: 1, payload: b"what happened" };
/// assert_eq!(engine.append(batch)?, Appended::At(1)); // survives the process
/// engine.sync(1)?; // survives the machine's power
/// engine.close()?;
///
/// let engine = FileEngine::open(&directory, FileOptions::default())?;
/// engine.read_from(1, &mut |batch| {
///     assert_eq!(batch.payload, b"what happened");
///     Ok(())
/// })?;
/// # drop(engine); std::fs::remove_dir_all(&directory).unwrap();
/// # Ok::<(), folio::Error>(())
/// ```
pub struct FileEngine {
    files: Arc<dyn Files>,
    options: FileOptions,
    format: Format,
    recovery: Recovery,
    syncs: Arc<Syncs>,
    objects: Arc<Objects>,
    /// Held while the live segment is sealed. An append, which has the log's lock, only tries it.
    sealing: Mutex<()>,
    log: Mutex<LogState>,
    manifest: Mutex<ManifestState>,
}

struct LogState {
    log: Log,
    is_claimed: bool,
}

struct ManifestState {
    stored: Option<Stored>,
    /// What claiming needs, until then.
    survivor: Option<Survivor>,
}

impl FileEngine {
    /// Opens the directory `path`, made with those above it if it is not there, and locks it. Reads the log behind the
    /// checkpoint and the manifest; changes nothing. Cost: O(that log).
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::NotADatabase`], [`Error::Corrupt`], [`Error::UnsupportedFormat`], [`Error::Io`],
    /// [`Error::StorageFull`], [`Error::OutOfMemory`].
    pub fn open(path: impl AsRef<Path>, options: FileOptions) -> Result<Self> {
        let path = path.as_ref();
        let files = OsFiles::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotADirectory => Error::NotADatabase {
                path: path.display().to_string().into(),
                found: "it, or a folder above it, is no directory".into(),
            },
            _ => failed("create", &path.display().to_string(), error),
        })?;
        Self::open_on(Arc::new(files), options)
    }

    /// Opens what is on a device of another kind.
    ///
    /// # Errors
    /// As [`open`](FileEngine::open).
    pub fn open_on(files: Arc<dyn Files>, options: FileOptions) -> Result<Self> {
        recover::refuse_others(&*files)?;
        let lock = lock_directory(&*files)?;
        let mut found = recover::inspect(&*files)?;
        if options.keep_archived {
            found.archive.measure(&*files);
        }
        let format = found.stored.as_ref().map_or(options.format, |stored| stored.records);
        let durable = found.stored.as_ref().map_or(0, |stored| stored.manifest.durable);
        let syncs = Arc::new(Syncs::new(found.recovery.last, durable));
        let named = found.stored.as_ref().map_or(&[][..], |stored| &stored.manifest.checkpoint.objects);
        let objects = Objects::new(Arc::clone(&files), Arc::clone(&syncs), lock, named, &found.listed);
        let id = recover::log_number(found.stored.as_ref());
        let log = Log::new(Arc::clone(&files), format, options, id, found.archive, found.live);
        Ok(Self {
            files,
            options,
            format,
            recovery: found.recovery,
            syncs,
            objects,
            sealing: Mutex::default(),
            log: Mutex::new(LogState { log, is_claimed: false }),
            manifest: Mutex::new(ManifestState { stored: found.stored, survivor: Some(found.survivor) }),
        })
    }

    /// Removes the sealed segments that hold nothing above `through`, oldest first. Under the manifest's lock, so one at a
    /// time; appends go on meanwhile.
    fn release(&self, stored: &Stored, through: u64) -> Result<()> {
        if self.options.keep_archived {
            return Ok(());
        }
        let covered = stored.manifest.checkpoint.version;
        #[cfg(feature = "testing")]
        let covered = if is_planted(Plant::ReleaseBeforeManifest) { u64::MAX } else { covered };
        let through = through.min(covered);
        loop {
            let oldest = {
                let state = self.log.lock();
                state.log.archive.oldest_within(through, state.log.first)
            };
            let Some(first) = oldest else { return Ok(()) };
            archive::remove(&*self.files, &self.syncs, first)?;
            self.log.lock().log.archive.forget_oldest();
        }
    }

    /// Writes the manifest `next`, which the log must be durable for.
    fn store(&self, state: &mut ManifestState, mut next: Stored) -> Result<u64> {
        let generation = next.manifest.generation;
        {
            // Both of one moment, and not of one at which a segment is getting its name: what the manifest calls by its
            // number is not written anew by the next opening. A failure on the way there is seen here at the latest.
            let _sealing = self.sealing.lock();
            let log = self.log.lock();
            self.syncs.check()?;
            next.segment = log.log.number;
            next.manifest.durable = self.syncs.durable();
        }
        manifest::replace(&*self.files, &self.syncs, &next)?;
        state.stored = Some(next);
        Ok(generation)
    }

    fn check_claimed(&self) -> Result<()> {
        if self.log.lock().is_claimed { Ok(()) } else { Err(not_claimed()) }
    }
}

impl LogState {
    fn claimed(&mut self) -> Result<&mut Log> {
        if self.is_claimed { Ok(&mut self.log) } else { Err(not_claimed()) }
    }
}

impl StorageEngine for FileEngine {
    fn format(&self) -> Format {
        self.format
    }

    fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    fn claim(&self) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let Some(mut survivor) = manifest.survivor.take() else {
            return Err(Error::InvalidStorageCall { message: "the storage was claimed already, or closed" });
        };
        let stored = {
            let mut state = self.log.lock();
            survivor.claim(&*self.files, &mut state.log, &self.syncs, manifest.stored.take())?
        };
        self.objects.remove_unnamed(&stored.manifest.checkpoint.objects, &[]);
        match self.release(&stored, u64::MAX) {
            // What stays is tried again at the next checkpoint.
            Err(Error::Io { .. } | Error::StorageFull { .. }) | Ok(()) => {}
            Err(error) => return Err(error),
        }
        manifest.stored = Some(stored);
        self.log.lock().is_claimed = true;
        Ok(())
    }

    fn append(&self, batch: Batch<'_>) -> Result<Appended> {
        let mut state = self.log.lock();
        // Asked under the lock: a failure between the question and the write would go unseen.
        self.syncs.check()?;
        state.claimed()?.append(batch, &self.syncs, &self.sealing)
    }

    fn sync(&self, through: u64) -> Result<()> {
        self.syncs.sync(through)
    }

    fn appended(&self) -> u64 {
        self.syncs.appended()
    }

    fn durable(&self) -> u64 {
        self.syncs.durable()
    }

    fn read_from(&self, version: u64, visit: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        let view = verify::LogView::of(&self.log.lock().log);
        view.read_from(&*self.files, version, visit)
    }

    fn seal(&self) -> Result<()> {
        let _sealing = self.sealing.lock();
        {
            let mut state = self.log.lock();
            self.syncs.check()?;
            if state.claimed()?.is_empty() {
                drop(state);
                return self.syncs.sync(self.syncs.appended());
            }
        }
        let files = &*self.files;
        let prepared = log::prepare(files, self.format, &self.options, &self.syncs)?;
        prepared.sync(&self.syncs)?;
        if !log::is_unsynced() {
            // Once without the log's lock: little is left then that appends have to wait for.
            self.syncs.sync(self.syncs.appended())?;
        }
        let (turn, sealed) = {
            let mut state = self.log.lock();
            let turn = self.syncs.turn();
            self.syncs.check()?;
            let sealed = state.claimed()?.switch_to(prepared, &turn, &self.syncs)?;
            (turn, sealed)
        };
        sealed.name_next(files, &self.syncs, turn)
    }

    fn release_log(&self, through: u64) -> Result<()> {
        let manifest = self.manifest.lock();
        self.check_claimed()?;
        self.syncs.check()?;
        manifest.stored.as_ref().map_or(Ok(()), |stored| self.release(stored, through))
    }

    fn create_object(&self, kind: ObjectKind, table: &str, placement: Placement) -> Result<Box<dyn ObjectWriter>> {
        self.check_claimed()?;
        self.objects.create(kind, table, placement)
    }

    fn open_object(&self, object: &Object) -> Result<Box<dyn ObjectReader>> {
        self.objects.open(object)
    }

    fn manifest(&self) -> Option<Manifest> {
        self.manifest.lock().stored.as_ref().map(|stored| stored.manifest.clone())
    }

    fn replace_manifest(&self, expected: u64, checkpoint: Checkpoint) -> Result<u64> {
        let mut state = self.manifest.lock();
        self.check_claimed()?;
        self.syncs.check()?;
        let old = state.stored.clone().ok_or_else(not_claimed)?;
        let found = old.manifest.generation;
        if found != expected {
            return Err(Error::Conflict { what: "the manifest", expected, found });
        }
        if checkpoint.version < old.manifest.checkpoint.version {
            return Err(Error::InvalidStorageCall {
                message: "a checkpoint of an older version than the one there is",
            });
        }
        self.objects.check(&checkpoint.objects)?;
        self.syncs.sync(checkpoint.version)?;
        // Before anything is written: on a full disk it may be what there is room for, and what nothing names need not be
        // synced.
        self.objects.remove_unnamed(&old.manifest.checkpoint.objects, &checkpoint.objects);
        self.objects.sync()?;
        let generation =
            found.checked_add(1).ok_or(Error::Limit { what: "manifests".into(), limit: u64::MAX, found: u64::MAX })?;
        let manifest = Manifest { generation, durable: 0, checkpoint };
        let generation = self.store(&mut state, Stored { manifest, ..old })?;
        if let Some(stored) = &state.stored {
            self.objects.remove_unnamed(&stored.manifest.checkpoint.objects, &[]);
        }
        Ok(generation)
    }

    fn stats(&self) -> StorageStats {
        let named = |stored: &Stored| stored.manifest.checkpoint.objects.iter().map(|object| object.length).sum();
        let live_object_bytes = self.manifest.lock().stored.as_ref().map_or(0, named);
        let (log_bytes, log_segments, batch_bytes) = {
            let log = &self.log.lock().log;
            (log.end + log.archive.bytes(), log.archive.len() as u64 + 1, log.batch_bytes)
        };
        let figures = self.syncs.figures();
        StorageStats {
            appended: self.syncs.appended(),
            durable: self.syncs.durable(),
            batches: self.syncs.batches(),
            batch_bytes,
            log_bytes,
            log_segments,
            syncs: figures.syncs,
            synced_versions: figures.synced_versions,
            longest_sync: figures.longest_sync,
            object_bytes: self.objects.bytes(),
            live_object_bytes,
        }
    }

    fn verify(&self, report: &mut dyn FnMut(Damage)) -> Result<()> {
        // Held throughout, so that no file goes while it is looked at.
        let manifest = self.manifest.lock();
        let Some(stored) = &manifest.stored else { return Ok(()) };
        let view = verify::LogView::of(&self.log.lock().log);
        verify::verify(&*self.files, stored, &view, report)
    }

    fn close(&self) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let closed = self.finish(&mut manifest);
        // Last, also after an error: nothing of ours runs any more.
        self.objects.unlock();
        closed
    }
}

impl FileEngine {
    fn finish(&self, manifest: &mut ManifestState) -> Result<()> {
        // Closed before it was claimed, it will not be.
        manifest.survivor = None;
        let is_noted = {
            let _sealing = self.sealing.lock();
            let mut state = self.log.lock();
            if !std::mem::take(&mut state.is_claimed) {
                return Ok(());
            }
            self.syncs.check()?;
            state.log.close(&self.syncs)?;
            let (number, last) = (state.log.number, state.log.last);
            manifest.stored.as_ref().is_some_and(|stored| stored.segment == number && stored.manifest.durable == last)
        };
        match manifest.stored.clone() {
            Some(stored) if !is_noted => {
                let generation = stored.manifest.generation.saturating_add(1);
                let manifest_now = Manifest { generation, ..stored.manifest.clone() };
                self.store(manifest, Stored { manifest: manifest_now, ..stored }).map(drop)
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for FileEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileEngine").field("directory", &self.files.describe()).finish_non_exhaustive()
    }
}
