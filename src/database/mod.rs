//! The database and its handles: tables, snapshots, forks, differences, figures.

mod backup;
mod builder;
mod db;
mod diff;
mod live;
mod snapshot;
mod stats;

pub use builder::DatabaseBuilder;
pub use db::Database;
pub use diff::{Change, Diff};
pub use live::Table;
pub use snapshot::{Snapshot, SnapshotTable};
pub use stats::{DurableStats, MemoryStats, Stats, TableStats};
