//! The atomics that the reader protocol is written with. The models in `tests/` put those of loom and of shuttle under
//! this name beside the same `epoch.rs`, so that the checked code is the shipped code.

pub(super) use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering, fence},
};
