//! The log of a database: what a commit passes through before readers see it.
//!
//! - D1: a version is published when the log has its batch, and with [`Durability::Sync`] when that is durable. With
//!   [`Durability::Interval`] the log follows what is published: see [`behind`](super::behind).
//! - D2: the version in a root is the position of its batch.
//! - D3: versions are published in their order. A commit that need not be durable itself waits where an older one does.
//! - D4: after a failure whose outcome is unknown no write begins.

use super::Durability;
use super::background::Background;
use super::behind::{Appending, Lag, Version};
use super::checkpoint::{Extent, Saved};
use crate::error::{Error, Result};
use crate::page::{Committed, Store};
#[cfg(feature = "testing")]
use crate::storage::plant::{Plant, is_planted};
use crate::storage::{Appended, Batch, Format, StorageEngine};
use crate::transaction::core::Newest;
use crate::transaction::tables::BUFFER_BYTES_KEPT;
use crate::transaction::tx::Transaction;
use crate::value::Timestamp;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// What a batch counts for beside its payload: about what its header takes, and replaying it, whatever it says.
const BATCH_BYTES: u64 = 64;

/// What a batch counts for among those that opening would replay.
pub(super) fn bytes_of(batch: &Batch<'_>) -> u64 {
    BATCH_BYTES + batch.payload.len() as u64
}

const OPEN: u8 = 0;
/// The log has refused what is published, and has to take it before a write begins (D6).
const OWED: u8 = 1;
const POISONED: u8 = 2;
const CLOSED: u8 = 3;

/// Versions that are done with. With one may go the last of its catalogue, and what the user's closures keep, whose
/// destructors may do anything: so they are handed to who holds no lock. If one panics, nothing is wrong with the log.
#[derive(Default)]
pub(crate) struct DoneWith(Vec<Version>);

impl DoneWith {
    pub(super) fn take(&mut self, versions: impl IntoIterator<Item = Version>) {
        self.0.extend(versions);
    }
}

impl Drop for DoneWith {
    fn drop(&mut self) {
        for version in self.0.drain(..) {
            // The hook has told of it, where there is one.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(version)));
        }
    }
}

/// See the module.
pub(crate) struct Log {
    pub(crate) engine: Arc<dyn StorageEngine>,
    pub(super) format: Format,
    pub(crate) durability: Durability,
    /// What the log has and readers do not see yet, oldest first.
    waiting: Mutex<VecDeque<(u64, Committed)>>,
    /// Whether there is any. Set under the writer's lock, and taken back behind the publication of the last.
    has_waiting: AtomicBool,
    pub(super) appending: Mutex<Appending>,
    pub(super) lag: Lag,
    state: AtomicU8,
    /// Bytes of batches behind the checkpoint that was opened, and since. Written by who appends alone; the two below are
    /// of this count.
    batch_bytes: AtomicU64,
    /// What the last checkpoint covers.
    saved_bytes: AtomicU64,
    /// When a checkpoint was last begun or asked for.
    reported_bytes: AtomicU64,
    /// At so many of them a checkpoint is made in the background.
    pub(super) checkpoint_bytes: Option<u64>,
    pub(super) saved: Mutex<Saved>,
    pub(crate) background: Background,
    checkpoint_time: Mutex<Option<Timestamp>>,
}

impl Log {
    pub(super) fn new(
        engine: Arc<dyn StorageEngine>,
        durability: Durability,
        checkpoint_bytes: Option<u64>,
        saved: Saved,
        unsaved_bytes: u64,
    ) -> Self {
        Self {
            format: engine.format(),
            engine,
            durability,
            waiting: Mutex::default(),
            has_waiting: AtomicBool::new(false),
            appending: Mutex::default(),
            lag: Lag::default(),
            state: AtomicU8::new(OPEN),
            batch_bytes: AtomicU64::new(unsaved_bytes),
            saved_bytes: AtomicU64::new(0),
            reported_bytes: AtomicU64::new(0),
            checkpoint_bytes,
            saved: Mutex::new(saved),
            background: Background::default(),
            checkpoint_time: Mutex::default(),
        }
    }

    /// Whether the log can be used (D4).
    pub(crate) fn check(&self) -> Result<()> {
        match self.state.load(Ordering::Acquire) {
            OPEN | OWED => Ok(()),
            state => Err(refused(state)),
        }
    }

    /// Whether a write may begin: if not, the log has to catch up first (D6). Called under the writer's lock.
    ///
    /// # Errors
    /// No write begins any more (D4).
    #[inline]
    pub(crate) fn may_begin(&self) -> Result<bool> {
        match self.state.load(Ordering::Acquire) {
            OPEN => Ok(true),
            OWED => Ok(false),
            state => Err(refused(state)),
        }
    }

    /// Whether nothing has gone wrong.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OPEN
    }

    /// See D6.
    pub(super) fn refuse_until_caught_up(&self) {
        self.state.fetch_max(OWED, Ordering::AcqRel);
    }

    pub(super) fn note_caught_up(&self) {
        let _ = self.state.compare_exchange(OWED, OPEN, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Whether commits are published before the log has them.
    #[inline]
    pub(crate) fn is_asynchronous(&self) -> bool {
        matches!(self.durability, Durability::Interval(_))
    }

    /// Appends what a write did as the batch of `version`. After an error the write must be rolled back. `base` answers
    /// the version that it began with.
    pub(crate) fn append(
        &self,
        write: &Transaction<'_>,
        version: u64,
        base: impl FnOnce() -> Version,
        done_with: &mut DoneWith,
    ) -> Result<()> {
        let mut appending = self.appending.lock();
        if self.is_asynchronous() {
            self.end_lag(&mut appending, base, done_with)?;
        }
        let buffer = &mut appending.buffer;
        write.encode_redo(self.format, buffer)?;
        let appended = self.append_batch(Batch { first: version, count: 1, payload: buffer });
        shrink(buffer);
        appended
    }

    /// Puts what a write has done into the buffer before it is appended, if that is how it will be. Answers whether it is
    /// there. Called under the writer's lock, by a write that makes one change.
    #[inline]
    pub(crate) fn tell(&self, encode: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> bool {
        // What follows in the background uses the buffer as well.
        if self.is_asynchronous() || self.format != Format::Binary {
            return false;
        }
        let buffer = &mut self.appending.lock().buffer;
        buffer.clear();
        encode(buffer).is_ok()
    }

    /// Called by who appends.
    pub(super) fn append_batch(&self, batch: Batch<'_>) -> Result<()> {
        match self.engine.append(batch).map_err(|error| self.note(error))? {
            Appended::At(_) => {
                self.count(bytes_of(&batch));
                Ok(())
            }
            Appended::Conflict(found) => {
                // Someone else writes this log: what is here is no longer the newest.
                self.state.fetch_max(POISONED, Ordering::AcqRel);
                Err(Error::Conflict { what: "the log", expected: batch.first.saturating_sub(1), found })
            }
        }
    }

    fn count(&self, bytes: u64) {
        let all = self.batch_bytes.load(Ordering::Relaxed).wrapping_add(bytes);
        self.batch_bytes.store(all, Ordering::Relaxed);
        self.ask_for_checkpoint(all);
    }

    /// Has a checkpoint made if so many bytes ask for one.
    fn ask_for_checkpoint(&self, all: u64) {
        let Some(most) = self.checkpoint_bytes else { return };
        if all.saturating_sub(self.reported_bytes.load(Ordering::Relaxed)) > most {
            // Asked once for each such stretch, also where the checkpoint then fails.
            self.reported_bytes.store(all, Ordering::Relaxed);
            self.background.ask_for_checkpoint();
        }
    }

    /// What the opening has replayed counts like what is written: a database whose process is always killed before it has
    /// written much would else never come to a checkpoint.
    pub(super) fn start_background(self: &Arc<Self>, newest: impl Fn() -> Newest) -> std::io::Result<()> {
        Background::start(self, newest)?;
        self.ask_for_checkpoint(self.batch_bytes.load(Ordering::Relaxed));
        Ok(())
    }

    /// A checkpoint begins, which covers what was appended so far: this count of bytes.
    pub(super) fn start_counting(&self) -> u64 {
        let all = self.batch_bytes.load(Ordering::Relaxed);
        self.reported_bytes.store(all, Ordering::Relaxed);
        all
    }

    /// The checkpoint is made.
    pub(super) fn note_checkpoint(&self, time: Option<Timestamp>, covered: u64) {
        *self.checkpoint_time.lock() = time;
        self.saved_bytes.store(covered, Ordering::Relaxed);
    }

    pub(crate) fn checkpoint_time(&self) -> Option<Timestamp> {
        *self.checkpoint_time.lock()
    }

    /// Bytes of batches behind the last checkpoint.
    pub(crate) fn unsaved_bytes(&self) -> u64 {
        self.batch_bytes.load(Ordering::Relaxed).saturating_sub(self.saved_bytes.load(Ordering::Relaxed))
    }

    pub(super) fn has_waiting(&self) -> bool {
        self.has_waiting.load(Ordering::Acquire)
    }

    pub(crate) fn waiting_commits(&self) -> usize {
        self.waiting.lock().len()
    }

    /// Whether a commit has to be durable before it is seen (D1, D3). Called under the writer's lock.
    #[inline]
    pub(crate) fn must_wait(&self, wants_sync: bool) -> bool {
        #[cfg(feature = "testing")]
        if is_planted(Plant::PublishUnsynced) || is_planted(Plant::PublishOutOfTurn) && !wants_sync {
            return false;
        }
        wants_sync || self.durability == Durability::Sync || self.has_waiting()
    }

    /// Notes a commit that readers are to see once it is durable. Called under the writer's lock, in order of versions.
    pub(crate) fn enqueue(&self, version: u64, committed: Committed) {
        let mut waiting = self.waiting.lock();
        waiting.push_back((version, committed));
        self.has_waiting.store(true, Ordering::Release);
    }

    /// Waits until the log is durable up to `version`, and publishes what is.
    pub(crate) fn settle(&self, store: &Store, version: u64) -> Result<()> {
        self.engine.sync(version).map_err(|error| self.note(error))?;
        self.publish_durable(store);
        Ok(())
    }

    /// Makes all that was committed durable. `newest` answers the version that readers see.
    pub(crate) fn sync(&self, store: &Store, newest: impl FnOnce() -> Version) -> Result<()> {
        self.check()?;
        let caught_up = self.catch_up_to(newest);
        // What the log has is made durable also where it could not take the rest.
        self.settle(store, self.engine.appended())?;
        caught_up.map(drop)
    }

    /// Publishes what is durable.
    pub(crate) fn publish_durable(&self, store: &Store) {
        let durable = self.engine.durable();
        let mut waiting = self.waiting.lock();
        let mut newest = None;
        while waiting.front().is_some_and(|(version, _)| *version <= durable) {
            newest = waiting.pop_front();
        }
        // Under the lock, so that nothing waiting means that all is published.
        if let Some((_, committed)) = newest {
            store.publish(&committed);
        }
        self.has_waiting.store(!waiting.is_empty(), Ordering::Release);
    }

    /// Whether readers see all up to `version`.
    pub(crate) fn is_settled(&self, version: u64) -> bool {
        self.waiting.lock().front().is_none_or(|(first, _)| *first > version)
    }

    /// After an error that leaves open what is stored, no write begins (D4).
    pub(super) fn note(&self, error: Error) -> Error {
        if matches!(error, Error::SyncFailed { .. } | Error::Poisoned { .. }) {
            self.poison();
        }
        error
    }

    pub(super) fn poison(&self) {
        self.state.fetch_max(POISONED, Ordering::AcqRel);
    }

    /// See [`Core::close`](crate::transaction::core::Core::close).
    pub(crate) fn close(&self, newest: &Newest, is_last: bool) -> Result<()> {
        // Before anything is locked: it asks the user's code.
        let now = newest.time();
        // Dropped behind all locks.
        let mut done_with = DoneWith::default();
        // The running write, unless it is this thread's own, ends first; the next one finds it closed.
        let write = newest.store.begin()?;
        let caught_up = match self.check() {
            Ok(()) => self.catch_up_in(&mut self.appending.lock(), || newest.snapshot(), &mut done_with).map(drop),
            Err(_) => Ok(()),
        };
        if caught_up.is_err() && !is_last {
            drop(write);
            return caught_up;
        }
        let before = self.state.swap(CLOSED, Ordering::AcqRel);
        drop(write);
        if before == CLOSED {
            return Ok(());
        }
        self.background.stop();
        // Until the engine is closed: no checkpoint is under way then.
        let mut last = self.saved.lock();
        let saved = match before {
            OPEN | OWED => self.save(newest, now, &mut last, Extent::Changes, &mut done_with).map(drop),
            // Commits that have returned may be lost with the process.
            state => Err(refused(state)),
        };
        self.forget_lag(&mut done_with);
        let closed = self.engine.close();
        self.publish_durable(&newest.store);
        caught_up.and(saved).and(closed)
    }
}

#[cold]
fn refused(state: u8) -> Error {
    match state {
        CLOSED => Error::Closed,
        _ => Error::Poisoned { reason: "an earlier write's outcome is unknown".into() },
    }
}

/// Gives back what a large batch took.
pub(super) fn shrink(buffer: &mut Vec<u8>) {
    if buffer.capacity() > BUFFER_BYTES_KEPT {
        *buffer = Vec::new();
    }
}
