//! Figures about a database.

use crate::table::reader::view_of;
use crate::table::version::version_number;
use crate::transaction::core::Core;

/// Figures about a database at one moment; see [`Database::stats`](crate::Database::stats).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The number of the newest version.
    pub version: u64,
    /// The tables, by name.
    pub tables: Vec<TableStats>,
    /// Where the memory is. All zero when asked from inside a write.
    pub memory: MemoryStats,
    /// Named snapshots that live, forks included: each fork holds one of its origin.
    pub snapshots: usize,
    /// Threads that have read the database; each keeps 128 bytes, which threads to come take over.
    pub reader_slots: usize,
}

/// Figures about one table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStats {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Its indexes, the primary key's included.
    pub indexes: usize,
}

/// Where the memory of a database is, in bytes. Pages shared with the database that this one was forked from count
/// there, not here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Taken from the process's allocator.
    pub reserved_bytes: usize,
    /// In use by pages: of the newest version, waiting, or held.
    pub used_bytes: usize,
    /// Replaced pages that wait for readers to move on, or for the next commit to look at them.
    pub waiting_bytes: usize,
    /// Replaced pages that snapshots and forks hold.
    pub held_bytes: usize,
}

pub(super) fn stats_of(core: &Core) -> Stats {
    let (pinned, catalog) = core.snapshot();
    let tables = catalog.tables.iter().map(|(name, listed)| TableStats {
        name: name.to_string(),
        rows: view_of(pinned.root(), listed.slot, &listed.def).len(),
        indexes: listed.def.indexes.len(),
    });
    let (tables, version) = (tables.collect(), version_number(pinned.root()));
    drop(pinned);
    let memory = core.store.memory_use().unwrap_or_default();
    Stats {
        version,
        tables,
        memory: MemoryStats {
            reserved_bytes: memory.reserved_bytes,
            used_bytes: memory.used_bytes,
            waiting_bytes: memory.waiting_bytes,
            held_bytes: memory.held_bytes,
        },
        snapshots: memory.snapshots,
        reader_slots: memory.reader_slots,
    }
}
