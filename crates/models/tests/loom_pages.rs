//! Loom over the reader protocol: every order of the atomics that the memory model allows, of three threads within a
//! bound on preemptions. Run by `scripts/check-models.sh`, which also plants bugs that these tests must find.
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

use loom::model::Builder;
use page_model::{read_nested, read_snapshot, read_twice, run, run_handover};

/// Of three threads. With three the orders are walked in seconds, and all planted bugs show; `LOOM_MAX_PREEMPTIONS` asks
/// for more.
const PREEMPTIONS: usize = 3;

fn check_all_orders(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = None;
    builder.check(body);
}

fn check_most_orders(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(PREEMPTIONS);
    builder.check(body);
}

#[test]
fn a_reader_and_the_writer() {
    check_all_orders(|| run(2, &[read_twice]));
}

#[test]
fn a_nested_reader_and_the_writer() {
    check_all_orders(|| run(2, &[read_nested]));
}

#[test]
fn a_snapshot_is_registered_under_a_pin() {
    check_all_orders(|| run(2, &[read_snapshot]));
}

#[test]
fn two_readers_and_the_writer() {
    check_most_orders(|| run(1, &[read_twice, read_nested]));
}

#[test]
fn a_slot_changes_hands() {
    check_most_orders(|| run_handover(1));
}
