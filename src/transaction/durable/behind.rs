//! A log that is written in the background: readers see a commit when it returns, and the log gets it a moment later,
//! together with those around it, as the difference of two versions. So a commit costs what it does in memory.
//!
//! - D5: while versions may be published that the log does not have, `Appending::behind` is the version that it ends at,
//!   and none waits to be published. A write sets it before it publishes, and what the log gets next begins there.
//! - D6: once the log has refused what is published already, no write begins before it has taken it.

use super::background::Round;
use super::log::{DoneWith, Log, shrink};
use crate::error::Result;
use crate::page::Pinned;
use crate::storage::Batch;
use crate::table::version::version_number;
use crate::transaction::catalog::Catalog;
use crate::transaction::core::Newest;
use crate::transaction::redo;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::time::Duration;

/// While there are commits, they are handed to the operating system so often.
const WRITE_EVERY: Duration = Duration::from_millis(1);
/// After a failure it is tried again so much later, unless a write begins sooner.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// When the memory in use has grown by so many bytes since the log was written, a commit writes it itself: the version
/// that it ends at holds pages that have been replaced, and all that it lacks goes into one batch. Less where memory is
/// limited: then it is that share of what is left.
const BEHIND_BYTES_MAX: usize = 64 << 20;
const BEHIND_SHARE: usize = 8;

/// A version with its catalogue.
pub(crate) type Version = (Pinned, Arc<Catalog>);

/// Who appends to the log, one at a time: under the writer's lock, or to catch up.
#[derive(Default)]
pub(super) struct Appending {
    /// Where batches are put together.
    pub(super) buffer: Vec<u8>,
    /// See D5. None: the log has all that was committed.
    behind: Option<Version>,
}

/// What commits look at.
pub(super) struct Lag {
    /// Whether `Appending::behind` is set. Changed under the writer's lock.
    is_behind: AtomicBool,
    /// A commit that makes a later version, or that has more memory in use, does not leave the log to the background.
    version_max: AtomicU64,
    /// [`UNKNOWN`] when the log was just written: the next commit knows what is in use.
    used_bytes_max: AtomicUsize,
    /// Whether the thread in the background sleeps until it is asked.
    is_asleep: AtomicBool,
}

const UNKNOWN: usize = usize::MAX;

impl Default for Lag {
    fn default() -> Self {
        Self {
            is_behind: AtomicBool::new(false),
            version_max: AtomicU64::new(0),
            used_bytes_max: AtomicUsize::new(UNKNOWN),
            is_asleep: AtomicBool::new(true),
        }
    }
}

impl Lag {
    /// From here on the log ends at this version.
    fn restart(&self, (logged, _): &Version) {
        // A batch makes no more versions than that.
        self.version_max.store(version_number(logged.root()).saturating_add(u64::from(u32::MAX)), Ordering::Relaxed);
        self.used_bytes_max.store(UNKNOWN, Ordering::Relaxed);
    }

    #[inline]
    fn allows(&self, version: u64, (used_bytes, room): (usize, usize)) -> bool {
        let most = self.used_bytes_max.load(Ordering::Relaxed);
        if most == UNKNOWN {
            let growth = BEHIND_BYTES_MAX.min(room / BEHIND_SHARE);
            self.used_bytes_max.store(used_bytes.saturating_add(growth), Ordering::Relaxed);
        }
        used_bytes <= most && version <= self.version_max.load(Ordering::Relaxed)
    }
}

impl Log {
    /// Whether the commit that makes `version` may be published before the log has it. Called under the writer's lock,
    /// for a write that need not be durable on return, with the bytes of memory in use and how many more there may be;
    /// `base` answers the version that it began with.
    #[inline]
    pub(crate) fn may_fall_behind(&self, version: u64, memory: (usize, usize), base: impl FnOnce() -> Version) -> bool {
        self.is_asynchronous()
            && self.is_open()
            && (self.is_behind() || self.fall_behind(base))
            && self.lag.allows(version, memory)
    }

    /// Whether it holds the version that the log ends at (D5).
    #[inline]
    pub(crate) fn is_behind(&self) -> bool {
        self.lag.is_behind.load(Ordering::Relaxed)
    }

    #[cold]
    fn fall_behind(&self, base: impl FnOnce() -> Version) -> bool {
        if self.has_waiting() {
            return false;
        }
        // Since none waits, this is the newest committed version, and the log ends at it.
        let base = base();
        let mut appending = self.appending.lock();
        self.lag.restart(&base);
        appending.behind = Some(base);
        self.lag.is_behind.store(true, Ordering::Relaxed);
        true
    }

    /// The version that the log has come to, of those that were published. Called by who appends.
    pub(super) fn logged(&self, appending: &Appending, newest: &Newest) -> Version {
        // With nothing behind, nothing is published without the log.
        appending.behind.clone().unwrap_or_else(|| newest.snapshot())
    }

    /// Says that something was published that the log does not have.
    #[inline]
    fn ask_to_catch_up(&self) {
        // Either this sees that the thread sleeps, or the thread, which looks once more before it does, sees the version.
        fence(Ordering::SeqCst);
        if self.lag.is_asleep.load(Ordering::Relaxed) {
            self.lag.is_asleep.store(false, Ordering::Relaxed);
            self.background.ask_to_catch_up();
        }
    }

    /// Says so at the end of a publication, with which may go what panics.
    pub(crate) fn asking_to_catch_up(&self) -> impl Drop {
        struct Asks<'l>(&'l Log);

        impl Drop for Asks<'_> {
            fn drop(&mut self) {
                self.0.ask_to_catch_up();
            }
        }

        Asks(self)
    }

    /// What the thread in the background does.
    pub(super) fn follow(&self, newest: &Newest) -> Round {
        let mut caught_up = self.catch_up(newest);
        if let Ok(false) = caught_up {
            self.lag.is_asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            caught_up = self.catch_up(newest);
            if !matches!(caught_up, Ok(false)) {
                self.lag.is_asleep.store(false, Ordering::Relaxed);
            }
        }
        match caught_up {
            Ok(false) => {
                // What the last difference was of is held no longer, and no commit may come to give its memory back. But
                // the next commit must not wait here behind a writer's long transaction.
                let all = newest.store.reclaim_beside(|| self.lag.is_asleep.load(Ordering::Relaxed));
                (Ok(()), (!all).then_some(RETRY_AFTER))
            }
            Ok(true) => (Ok(()), Some(WRITE_EVERY)),
            // What cannot be mended but by reopening is not tried again.
            Err(error) => (Err(error), self.check().is_ok().then_some(RETRY_AFTER)),
        }
    }

    /// Hands what is published, and what the log does not have, to the operating system. Answers whether there was any.
    pub(super) fn catch_up(&self, newest: &Newest) -> Result<bool> {
        self.catch_up_to(|| newest.snapshot())
    }

    pub(crate) fn catch_up_to(&self, newest: impl FnOnce() -> Version) -> Result<bool> {
        if !self.is_asynchronous() {
            return Ok(false);
        }
        let mut done_with = DoneWith::default();
        self.catch_up_in(&mut self.appending.lock(), newest, &mut done_with)
    }

    /// The same by one who appends.
    pub(super) fn catch_up_in(
        &self,
        appending: &mut Appending,
        newest: impl FnOnce() -> Version,
        done_with: &mut DoneWith,
    ) -> Result<bool> {
        let Appending { buffer, behind } = appending;
        let Some((old, old_catalog)) = behind else { return Ok(false) };
        let (new, new_catalog) = newest();
        let (logged, last) = (version_number(old.root()), version_number(new.root()));
        // `Lag::version_max` sees to that.
        let Some(count) =
            last.checked_sub(logged).and_then(|count| u32::try_from(count).ok()).filter(|&count| count > 0)
        else {
            done_with.take([(new, new_catalog)]);
            return Ok(false);
        };
        buffer.clear();
        let (from, to) = (
            redo::Version { root: old.root(), catalog: old_catalog },
            redo::Version { root: new.root(), catalog: &new_catalog },
        );
        let appended = redo::encode(from, to, self.format, buffer)
            .and_then(|()| self.append_batch(Batch { first: logged.saturating_add(1), count, payload: buffer }));
        shrink(buffer);
        let new = (new, new_catalog);
        if let Err(error) = appended {
            self.refuse_until_caught_up();
            done_with.take([new]);
            return Err(error);
        }
        self.lag.restart(&new);
        self.note_caught_up();
        done_with.take(behind.replace(new));
        Ok(true)
    }

    /// The same before one's own batch is appended, which the log then ends at. Called under the writer's lock.
    pub(super) fn end_lag(
        &self,
        appending: &mut Appending,
        base: impl FnOnce() -> Version,
        done_with: &mut DoneWith,
    ) -> Result<()> {
        self.catch_up_in(appending, base, done_with)?;
        self.lag.is_behind.store(false, Ordering::Relaxed);
        done_with.take(appending.behind.take());
        Ok(())
    }

    /// The version that the log ends at is held no longer. Called when no write begins any more.
    pub(super) fn forget_lag(&self, done_with: &mut DoneWith) {
        self.lag.is_behind.store(false, Ordering::Relaxed);
        done_with.take(self.appending.lock().behind.take());
    }
}
