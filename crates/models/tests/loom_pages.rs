//! Loom over the reader protocol: every order of the atomics that the memory model allows, within a bound on
//! preemptions. Run by `scripts/check-models.sh`, which also plants bugs that these tests must find.
#![cfg(loom)]

mod sync {
    pub(super) use loom::sync::{
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
    pub(crate) use loom::thread::spawn;

    /// Loom reports a read that races with a write.
    pub(crate) struct Cell(loom::cell::UnsafeCell<u64>);

    impl Cell {
        pub(crate) fn new(content: u64) -> Self {
            Self(loom::cell::UnsafeCell::new(content))
        }

        pub(crate) fn get(&self) -> u64 {
            // SAFETY: loom stops the run at a race.
            self.0.with(|content| unsafe { *content })
        }

        pub(crate) fn set(&self, content: u64) {
            // SAFETY: as above.
            self.0.with_mut(|place| unsafe { *place = content });
        }
    }
}

use page_model::{read_nested, read_snapshot, read_twice, run, run_handover};

#[test]
fn a_reader_and_the_writer() {
    loom::model(|| run(2, &[read_twice]));
}

#[test]
fn a_nested_reader_and_the_writer() {
    loom::model(|| run(2, &[read_nested]));
}

#[test]
fn a_snapshot_is_registered_under_a_pin() {
    loom::model(|| run(2, &[read_snapshot]));
}

#[test]
fn two_readers_and_the_writer() {
    loom::model(|| run(1, &[read_twice, read_nested]));
}

#[test]
fn a_slot_changes_hands() {
    loom::model(|| run_handover(1));
}
