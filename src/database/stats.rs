//! Figures about a database.

use crate::storage::StorageStats;
use crate::table::reader::view_of;
use crate::table::size::size_kept;
use crate::table::version::version_number;
use crate::transaction::core::Core;
use crate::value::Timestamp;
use std::collections::BTreeMap;

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
    /// Named snapshots that live, forks included: each fork holds one of its origin. Not that of a log that is written in
    /// the background.
    pub snapshots: usize,
    /// Log and checkpoints; none in a database that is in memory alone.
    pub storage: Option<DurableStats>,
    /// Threads that have read the database; each keeps 128 bytes, which threads to come take over.
    pub reader_slots: usize,
}

/// Figures about one table. Its bytes are those of its pages, each page counted by its own length: what
/// [`Reader::size`](crate::Reader::size) adds up in a walk, kept as the table changes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStats {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Its indexes, the primary key's included.
    pub indexes: usize,
    /// Bytes in memory of its rows and of the tree of their pages, with all their values. In a fork, pages shared with
    /// the origin count in both.
    pub row_bytes: usize,
    /// Bytes in memory of all its indexes.
    pub index_bytes: usize,
    /// Bytes that its last checkpoint takes on disk: rows and schema. 0 in memory.
    pub stored_bytes: u64,
}

/// Figures about the log and the checkpoints of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DurableStats {
    /// The engine's: log bytes, positions, syncs, commits per sync, file sizes.
    pub engine: StorageStats,
    /// The version of the last checkpoint.
    pub checkpoint: u64,
    /// When that was made, by the database's clock; none if it was before this opening.
    pub checkpoint_time: Option<Timestamp>,
    /// Bytes of commits since, which opening would replay.
    pub unsaved_bytes: u64,
    /// Commits that readers see and the log does not have yet, with
    /// [`Durability::Interval`](crate::Durability::Interval): what the end of the process would lose.
    pub unwritten_commits: u64,
    /// Commits that wait to become durable before readers see them: at most as many as threads that commit.
    pub waiting_commits: usize,
    /// Why the last work in the background, a sync or a checkpoint, failed.
    pub background_failure: Option<Box<str>>,
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
    let manifest = core.log.as_ref().and_then(|log| log.engine.manifest());
    let objects = manifest.as_ref().map_or(&[][..], |manifest| &manifest.checkpoint.objects);
    let mut stored_bytes = BTreeMap::new();
    for object in objects {
        *stored_bytes.entry(object.table()).or_default() += object.length();
    }
    let tables = catalog.tables.iter().map(|(name, listed)| {
        let size = size_kept(pinned.root(), listed.slot);
        TableStats {
            name: name.to_string(),
            rows: view_of(pinned.root(), listed.slot, &listed.def).len(),
            indexes: listed.def.indexes.len(),
            row_bytes: size.row_bytes,
            index_bytes: size.index_bytes,
            stored_bytes: stored_bytes.get(&**name).copied().unwrap_or_default(),
        }
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
        snapshots: memory.snapshots.saturating_sub(usize::from(core.log.as_ref().is_some_and(|log| log.is_behind()))),
        storage: core.log.as_ref().map(|log| DurableStats {
            engine: log.engine.stats(),
            checkpoint: manifest.map_or(0, |manifest| manifest.checkpoint.version),
            checkpoint_time: log.checkpoint_time(),
            unsaved_bytes: log.unsaved_bytes(),
            unwritten_commits: version.saturating_sub(log.engine.appended()),
            waiting_commits: log.waiting_commits(),
            background_failure: log.background.failure(),
        }),
        reader_slots: memory.reader_slots,
    }
}
