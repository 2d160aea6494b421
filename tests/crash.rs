//! The whole database on a simulated device: crashes at every operation, in every variant, and again in every operation of
//! the recovery; every call of the device failing; and bugs planted to see that all this finds them.
//!
//! `FOLIO_SEEDS=200 cargo test --release --test crash -- --nocapture` is the soak: so many traces of each kind instead of
//! one, a million images or more.
#![cfg(any(unix, windows))]

#[path = "crash/check.rs"]
mod check;
#[path = "common/device.rs"]
mod device;
#[path = "crash/faults.rs"]
mod faults;
#[path = "crash/images.rs"]
mod images;
#[path = "crash/misreads.rs"]
mod misreads;
#[path = "crash/model.rs"]
mod model;
#[path = "crash/order.rs"]
mod order;
#[path = "common/planted.rs"]
mod planted;
#[path = "crash/plants.rs"]
mod plants;
#[path = "common/random.rs"]
mod random;
#[path = "crash/workload.rs"]
mod workload;
