//! Who syncs, how far the log is durable, and what happens when a sync fails.
//!
//! - S1: one sync of the log runs at a time. The system reports a failed write-back once per open file: of two syncs at
//!   once, one could answer success for what the other was told is lost.
//! - S2: `durable` only ever names what a completed sync covered.
//! - S3: after a failed sync no other is tried and nothing is written: the page cache may show bytes as clean that the
//!   device does not hold, and a second sync would bless them.
//!
//! Group commit: the first to wait takes the turn and syncs what all have appended by then; the others wait for that
//! and mostly find themselves covered. Lock order: the log's lock, then the turn. Who has the turn never asks for the
//! log's lock, since an append may hold it while it waits for the turn to change segments.

use super::files::{Files, RandomAccessFile};
use super::layout::LIVE;
use super::log::not_claimed;
use crate::error::{Error, Result};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Yields at most this often for others to append, when the last sync covered several.
const YIELDS_MAX: u32 = 32;
/// Gives up when so many in a row have brought nothing.
const IDLE_YIELDS_MAX: u32 = 3;

/// See the module.
pub(super) struct Syncs {
    appended: AtomicU64,
    /// Batches appended, which is what a sync is shared by.
    batches: AtomicU64,
    durable: AtomicU64,
    is_poisoned: AtomicBool,
    state: Mutex<State>,
    /// The turn is free, or `durable` has moved.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_taken: bool,
    /// The segment being written. Changed only by who has the turn.
    live: Option<Arc<dyn RandomAccessFile>>,
    poison: Option<Poison>,
    figures: SyncFigures,
    /// Batches as of the last sync.
    batches: u64,
    /// How many the last sync covered.
    group: u64,
}

/// Why nothing is written any more.
struct Poison {
    operation: &'static str,
    file: Box<str>,
    code: Option<i32>,
    kind: io::ErrorKind,
    message: String,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SyncFigures {
    pub(super) syncs: u64,
    pub(super) synced_versions: u64,
    pub(super) longest_sync: Duration,
}

impl Syncs {
    pub(super) fn new(last: u64, durable: u64) -> Self {
        Self {
            appended: AtomicU64::new(last),
            batches: AtomicU64::new(0),
            durable: AtomicU64::new(durable),
            is_poisoned: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(super) fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    pub(super) fn figures(&self) -> SyncFigures {
        self.state.lock().figures
    }

    /// A batch ends at `last` in the live segment. Called under the log's lock.
    #[inline]
    pub(super) fn note_append(&self, last: u64) {
        self.batches.store(self.batches.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.appended.store(last, Ordering::Release);
    }

    /// Refuses writes after a failure whose outcome is unknown. To be asked under the lock that the write needs.
    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        if self.is_poisoned.load(Ordering::Acquire) { Err(self.refusal()) } else { Ok(()) }
    }

    #[cold]
    fn refusal(&self) -> Error {
        let state = self.state.lock();
        let reason = state.poison.as_ref().map_or_else(String::new, |poison| {
            format!("cannot {} `{}`: {}", poison.operation, poison.file, poison.message)
        });
        Error::Poisoned { reason: reason.into() }
    }

    /// From here on nothing is written. The first reason stays.
    #[cold]
    pub(super) fn poison(&self, operation: &'static str, file: &str, source: io::Error) -> Error {
        let mut state = self.state.lock();
        let (code, kind, message) = (source.raw_os_error(), source.kind(), source.to_string());
        state.poison.get_or_insert(Poison { operation, file: file.into(), code, kind, message });
        self.is_poisoned.store(true, Ordering::Release);
        self.changed.notify_all();
        Error::SyncFailed { operation, file: file.into(), source }
    }

    /// Syncs a file that is not the log's live segment.
    pub(super) fn sync_file(&self, file: &dyn RandomAccessFile, path: &str) -> Result<()> {
        file.sync().map_err(|error| self.poison("sync", path, error))
    }

    pub(super) fn sync_folder(&self, files: &dyn Files, folder: &str) -> Result<()> {
        files
            .sync_folder(folder)
            .map_err(|error| self.poison("sync", if folder.is_empty() { "." } else { folder }, error))
    }

    /// Waits until the log is durable up to `through`.
    pub(super) fn sync(&self, through: u64) -> Result<()> {
        if self.durable() >= through {
            return Ok(());
        }
        let appended = self.appended();
        if through > appended {
            return Err(Error::Conflict { what: "the log's end", expected: through, found: appended });
        }
        let mut state = self.state.lock();
        loop {
            if self.durable() >= through {
                return Ok(());
            }
            // A sync that runs may still cover this one, whatever has failed beside it: then readers will see what it
            // was for, and an error would be a lie.
            if !state.is_taken {
                match &state.poison {
                    Some(poison) => return Err(poison.repeat()),
                    None => break,
                }
            }
            self.changed.wait(&mut state);
        }
        state.is_taken = true;
        let group = state.group;
        drop(state);
        let turn = Turn { syncs: self, began: Instant::now() };
        if group > 1 {
            self.let_others_append();
        }
        turn.sync()
    }

    /// The others that the last sync released are about to append again; to wait for them a moment halves the syncs.
    fn let_others_append(&self) {
        let (mut idle, mut seen) = (0, self.batches());
        for _ in 0..YIELDS_MAX {
            std::thread::yield_now();
            let now = self.batches();
            idle = if now == seen { idle + 1 } else { 0 };
            if idle == IDLE_YIELDS_MAX {
                return;
            }
            seen = now;
        }
    }

    /// Waits for the turn: until it is dropped, nobody syncs the log.
    pub(super) fn turn(&self) -> Turn<'_> {
        let mut state = self.state.lock();
        while state.is_taken {
            self.changed.wait(&mut state);
        }
        state.is_taken = true;
        Turn { syncs: self, began: Instant::now() }
    }
}

impl Poison {
    /// For those whose batches the failed sync would have covered.
    fn repeat(&self) -> Error {
        let source = match self.code {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(self.kind, self.message.clone()),
        };
        Error::SyncFailed { operation: self.operation, file: self.file.clone(), source }
    }
}

/// The right to sync the log, and to change which file that means.
pub(super) struct Turn<'a> {
    syncs: &'a Syncs,
    began: Instant,
}

impl Turn<'_> {
    /// Syncs the live segment, and with it everything appended by now.
    pub(super) fn sync(&self) -> Result<()> {
        let syncs = self.syncs;
        let (live, last, batches) = {
            let state = syncs.state.lock();
            // Since the turn was asked for, a sync may have failed.
            if let Some(poison) = &state.poison {
                return Err(poison.repeat());
            }
            (state.live.clone(), syncs.appended(), syncs.batches())
        };
        let live = live.ok_or_else(not_claimed)?;
        let start = Instant::now();
        live.sync().map_err(|error| syncs.poison("sync", LIVE, error))?;
        let took = start.elapsed();
        let mut state = syncs.state.lock();
        let covered = last.saturating_sub(syncs.durable());
        state.figures.syncs += 1;
        state.figures.synced_versions += covered;
        state.figures.longest_sync = state.figures.longest_sync.max(took);
        state.group = batches.saturating_sub(state.batches);
        state.batches = batches;
        syncs.durable.fetch_max(last, Ordering::AcqRel);
        Ok(())
    }

    /// Appends go to this file from now on.
    pub(super) fn switch(&self, live: Arc<dyn RandomAccessFile>) {
        self.syncs.state.lock().live = Some(live);
    }

    /// Gives the turn to others, who have waited for all of it as for one sync.
    pub(super) fn end(self) {
        let longest = &mut self.syncs.state.lock().figures.longest_sync;
        *longest = (*longest).max(self.began.elapsed());
    }

    /// What has been made durable in another way, before the engine answers.
    pub(super) fn note_durable(&self, last: u64) {
        self.syncs.durable.fetch_max(last, Ordering::AcqRel);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.syncs.state.lock().is_taken = false;
        self.syncs.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Says when a sync begins, which ends when it is told to.
    struct Slow {
        begun: Sender<()>,
        end: Mutex<Receiver<()>>,
    }

    impl RandomAccessFile for Slow {
        fn length(&self) -> io::Result<u64> {
            Ok(0)
        }

        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(0)
        }

        fn write_at(&self, bytes: &[u8], _: u64) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn set_length(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            self.begun.send(()).unwrap();
            self.end.lock().recv().map_err(|_| io::Error::other("nobody ends it"))
        }
    }

    /// Of two commits that one sync covers, not one returns and the other fails because a checkpoint's file did.
    #[test]
    fn a_failure_elsewhere_waits_for_the_sync_that_runs() {
        let (begun, begins) = channel();
        let (ends, end) = channel();
        let syncs = Syncs::new(0, 0);
        syncs.turn().switch(Arc::new(Slow { begun, end: Mutex::new(end) }));
        syncs.note_append(2);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| syncs.sync(1));
            begins.recv().unwrap();
            let _ = syncs.poison("sync", "data/people.records", io::Error::other("a bad block"));
            let second = scope.spawn(|| syncs.sync(2));
            // Until it waits.
            while !second.is_finished() && !syncs.changed.notify_one() {
                std::thread::yield_now();
            }
            ends.send(()).unwrap();
            assert!(first.join().unwrap().is_ok());
            assert!(second.join().unwrap().is_ok());
        });
        assert_eq!(syncs.durable(), 2);
        syncs.note_append(3);
        assert!(matches!(syncs.sync(3), Err(Error::SyncFailed { .. })));
    }
}
