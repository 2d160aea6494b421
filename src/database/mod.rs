//! The database and its handles: tables, snapshots, forks, differences, figures.

mod db;
mod diff;
mod live;
mod snapshot;
mod stats;

pub use db::Database;
pub use diff::{Change, Diff};
pub use live::Table;
pub use snapshot::{Snapshot, SnapshotTable};
pub use stats::{MemoryStats, Stats, TableStats};
