//! For those who test storage: the conformance suite that any engine can run on itself, a simulated file system with
//! faults, the images that a crash may leave of it, and databases without threads of their own. With the feature
//! `testing`.
//!
//! An engine that fails as wanted is the file engine on that file system: `FileEngine::open_on` with [`SimFiles`], whose
//! [`set_fault`](SimFiles::set_fault) lets any call fail.

mod conformance;
mod crash;
mod misread;
mod sim;
mod space;
mod threads;

pub use crate::storage::plant::{Plant, plant};
pub use conformance::{Storage, conformance};
pub use crash::{CrashPoint, Cut, each_crash_image};
pub use misread::{Misread, Misreads};
pub use sim::{DevicePlant, Fault, FaultKind, Image, SimFiles, Trace};
pub use threads::{without_threads, write_log};
