//! Shuttle over the reader protocol: random schedules of more threads and more versions than loom can exhaust. Its memory
//! is sequentially consistent, so that a missing fence is loom's to find. Run by `scripts/check-models.sh`.
#![cfg(shuttle)]

mod sync {
    pub(super) use shuttle::sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering, fence},
    };

    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
#[allow(dead_code)]
#[path = "../../../src/page/epoch.rs"]
mod epoch;
mod page_model;

mod checker {
    use shuttle::sync::atomic::{AtomicU64, Ordering};
    pub(crate) use shuttle::thread::spawn;

    /// An atomic, so that other threads run between any two looks at it.
    pub(crate) struct Cell(AtomicU64);

    impl Cell {
        pub(crate) fn new(content: u64) -> Self {
            Self(AtomicU64::new(content))
        }

        pub(crate) fn get(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }

        pub(crate) fn set(&self, content: u64) {
            self.0.store(content, Ordering::SeqCst);
        }
    }
}

use page_model::{read_nested, read_snapshot, read_twice, run, run_handover};

/// Of each model: two millions in all.
const SCHEDULES: usize = 700_000;

#[test]
fn readers_of_all_kinds_and_the_writer() {
    shuttle::check_random(|| run(4, &[read_twice, read_nested, read_snapshot]), SCHEDULES);
}

#[test]
fn readers_of_all_kinds_and_the_writer_with_few_preemptions() {
    shuttle::check_pct(|| run(4, &[read_twice, read_nested, read_snapshot]), SCHEDULES, 3);
}

#[test]
fn a_slot_changes_hands() {
    shuttle::check_random(|| run_handover(3), SCHEDULES);
}
