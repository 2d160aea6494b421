//! The database and its handles: tables, snapshots, forks, differences, figures.

mod backup;
mod builder;
mod db;
mod diff;
mod live;
#[cfg(any(unix, windows))]
mod salvage;
mod snapshot;
mod stats;

pub use builder::DatabaseBuilder;
pub use db::Database;
pub use diff::{Change, Diff};
pub use live::Table;
#[cfg(any(unix, windows))]
pub use salvage::Salvaged;
pub use snapshot::{Snapshot, SnapshotTable};
pub use stats::{DurableStats, MemoryStats, Stats, TableStats};
