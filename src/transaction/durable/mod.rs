//! What lets a database outlive its process: the log that its commits go to, its checkpoints, its opening.
//!
//! The order of a commit: validate, build the private root, append its batch to the log, wait as durability asks, publish.
//! Only with [`Durability::Interval`] it is published first, and the log [follows](behind). The number of a version is the
//! position of its batch, or of the last that the batch makes.

mod ahead;
pub(crate) mod background;
mod behind;
pub(crate) mod checkpoint;
pub(crate) mod log;
pub(crate) mod open;
mod parts;
mod replay;
#[cfg(any(unix, windows))]
pub(crate) mod salvage;

use std::time::Duration;

/// When a commit counts as done, in a database with a [`StorageEngine`](crate::storage::StorageEngine).
///
/// In all of them a crash loses a suffix of the commits in their order and never half of one, across all tables. They
/// differ in which commits that may be, when the process ends, by a panic or SIGKILL, and when the power is cut or the
/// operating system crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// A commit returns, and is seen by readers, when it is on stable storage: nothing returned is lost. Threads that
    /// commit at the same time share one sync.
    #[default]
    Sync,
    /// A commit returns when readers see it, at about the cost of one in memory. Threads in the background hand commits to
    /// the operating system every millisecond, all since the last time as one batch, and sync at this interval, which is a
    /// millisecond at least.
    ///
    /// The end of the process loses at most the commits of the last millisecond and of the write then running and the one
    /// behind it: [`DurableStats::unwritten_commits`](crate::DurableStats::unwritten_commits). A power cut loses at most
    /// the commits that returned less than the interval before it, and the length of the write, sync or change of segments
    /// then running and of the one behind it; [`Database::durable_version`](crate::Database::durable_version) is the exact
    /// boundary. When the log cannot be written, writes are refused until it can, and what had returned is kept for then.
    Interval(Duration),
    /// A commit returns when the operating system has it, which writes it out when it likes: the end of the process loses
    /// nothing. A power cut loses any number of the last commits, back to the last sync, change of segments or checkpoint.
    /// Calling [`Database::sync`](crate::Database::sync) at intervals of one's own bounds that.
    Buffered,
}

impl Durability {
    /// [`Durability::Interval`] of one second.
    pub const EVERY_SECOND: Durability = Durability::Interval(Duration::from_secs(1));
}
