//! The threads of a database with a log: one writes it behind the commits, one syncs it at intervals, one makes checkpoints
//! when asked. Apart, since a checkpoint may take long, a sync as well, and what each does in time is a promise.

use super::Durability;
use super::checkpoint::Extent;
use super::log::Log;
use crate::error::{Error, Result};
use crate::transaction::core::Newest;
use parking_lot::{Condvar, Mutex};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A thread that never waited would take a processor for itself.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// See the module. Where no thread was started, asking does nothing.
#[derive(Default)]
pub(crate) struct Background {
    writes: Worker,
    syncs: Worker,
    checkpoints: Worker,
}

/// A thread and what it is told.
#[derive(Default)]
struct Worker {
    orders: Arc<Orders>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How a piece of work ended, and how long after its start the next one begins; none: when asked.
pub(super) type Round = (Result<()>, Option<Duration>);

#[derive(Default)]
struct Orders {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stop: bool,
    is_asked: bool,
    /// Why the last work failed.
    failure: Option<Box<str>>,
}

impl Background {
    /// Starts the threads that the database has work for.
    pub(crate) fn start(log: &Arc<Log>, newest: impl Fn() -> Newest) -> std::io::Result<()> {
        if let Durability::Interval(interval) = log.durability {
            let interval = interval.max(INTERVAL_MIN);
            log.background.writes.start("folio log", log, newest(), None, Log::follow)?;
            log.background.syncs.start("folio sync", log, newest(), Some(interval), move |log, newest| {
                (log.sync(&newest.store, || newest.snapshot()), Some(interval))
            })?;
        }
        if log.checkpoint_bytes.is_some() {
            log.background.checkpoints.start("folio checkpoint", log, newest(), None, |log, newest| {
                (log.checkpoint(newest, Extent::Changes).map(drop), None)
            })?;
        }
        Ok(())
    }

    pub(super) fn ask_for_checkpoint(&self) {
        self.checkpoints.orders.ask();
    }

    #[cold]
    pub(super) fn ask_to_catch_up(&self) {
        self.writes.orders.ask();
    }

    /// Ends the threads and waits for them.
    pub(super) fn stop(&self) {
        self.writes.stop();
        self.syncs.stop();
        self.checkpoints.stop();
    }

    /// Why the last write of the log, the last sync or the last checkpoint failed, if it did.
    pub(crate) fn failure(&self) -> Option<Box<str>> {
        [&self.writes, &self.syncs, &self.checkpoints]
            .into_iter()
            .find_map(|worker| worker.orders.state.lock().failure.clone())
    }
}

impl Worker {
    fn start(
        &self,
        name: &str,
        log: &Arc<Log>,
        newest: Newest,
        first: Option<Duration>,
        work: impl Fn(&Log, &Newest) -> Round + Send + 'static,
    ) -> std::io::Result<()> {
        let (orders, log) = (Arc::clone(&self.orders), Arc::clone(log));
        let follow = move || orders.follow(&log, first, &|| work(&log, &newest));
        let thread = std::thread::Builder::new().name(name.into()).spawn(follow)?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    fn stop(&self) {
        self.orders.state.lock().stop = true;
        self.orders.changed.notify_one();
        let thread = self.thread.lock().take();
        // It may be this one, where the last handle was kept by a closure that went with what it was done with.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // It catches its own panics.
            let _ = thread.join();
        }
    }
}

impl Orders {
    fn ask(&self) {
        self.state.lock().is_asked = true;
        self.changed.notify_one();
    }

    /// Works after the time `first` and then as the rounds of work say, and when asked.
    fn follow(&self, log: &Log, first: Option<Duration>, work: &impl Fn() -> Round) {
        let (mut start, mut pause) = (Instant::now(), first);
        loop {
            // From the start of the work before, so that no commit waits longer than the interval for a sync to begin.
            // A time that the clock cannot say never comes.
            let next = pause.and_then(|pause| start.checked_add(pause));
            if self.wait(next) {
                return;
            }
            start = Instant::now();
            let failure = match catch_unwind(AssertUnwindSafe(work)) {
                Ok((outcome, next)) => {
                    pause = next;
                    // Closed meanwhile: the order to stop is on its way.
                    outcome.err().filter(|error| !matches!(error, Error::Closed)).map(|error| error.to_string())
                }
                Err(_) => {
                    pause = None;
                    log.poison();
                    Some("it panicked".into())
                }
            };
            self.state.lock().failure = failure.map(Into::into);
        }
    }

    /// Waits until `next` or until asked. Answers whether to stop.
    fn wait(&self, next: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.stop {
                return true;
            }
            if std::mem::take(&mut state.is_asked) {
                return false;
            }
            match next {
                None => self.changed.wait(&mut state),
                Some(next) => {
                    if self.changed.wait_until(&mut state, next).timed_out() {
                        return state.stop;
                    }
                }
            }
        }
    }
}
