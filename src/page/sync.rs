//! The atomics and the lock that the reader protocol is written with. The models in `crates/models` put those of loom and of
//! shuttle under this name beside the same `epoch.rs`, so that the checked code is the shipped code.

pub(super) use parking_lot::Mutex;
pub(super) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering, fence},
};

/// The checkers' locks answer a `Result`; this hides the difference. Not the standard library's lock, whose slow path
/// ThreadSanitizer cannot see into.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> parking_lot::MutexGuard<'_, T> {
    mutex.lock()
}
