//! What lets a database outlive its process: the log that its commits go to, its checkpoints, its opening.
//!
//! The order of a commit, always: validate, build the private root, append its batch to the log, wait as durability
//! asks, publish. The number of a version is the position of its batch.

mod ahead;
pub(crate) mod background;
pub(crate) mod checkpoint;
pub(crate) mod log;
pub(crate) mod open;
mod parts;
#[cfg(any(unix, windows))]
pub(crate) mod salvage;

use std::time::Duration;

/// When a commit counts as done, in a database with a [`StorageEngine`](crate::storage::StorageEngine).
///
/// In all of them a crash loses a suffix of the commits in their order and never half of one, across all tables; and
/// what was returned survives the end of the process, however it ends. They differ in what a power cut or a crash of the
/// operating system can take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// A commit returns, and is seen by readers, when it is on stable storage: nothing returned is lost. Threads that
    /// commit at the same time share one sync.
    #[default]
    Sync,
    /// A commit returns when the operating system has it; a background thread syncs at this interval, which is a
    /// millisecond at least. A power cut loses at most the commits that returned less than the interval, and the length of
    /// the sync or change of segments then running and of the sync behind it, before it;
    /// [`Database::durable_version`](crate::Database::durable_version) is the exact boundary.
    Interval(Duration),
    /// A commit returns when the operating system has it, which writes it out when it likes. A power cut loses any number
    /// of the last commits, back to the last sync, change of segments or checkpoint.
    Buffered,
}

impl Durability {
    /// [`Durability::Interval`] of one second.
    pub const EVERY_SECOND: Durability = Durability::Interval(Duration::from_secs(1));
}
