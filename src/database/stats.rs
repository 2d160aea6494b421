//! Figures about a database.

use crate::page::Pinned;
use crate::storage::StorageStats;
use crate::table::held::Held;
use crate::table::reader::view_of;
use crate::table::size::size_kept;
use crate::table::version::version_number;
use crate::transaction::core::Core;
use crate::value::{SortedMap, Timestamp};

/// Figures about a database at one moment; see [`Database::stats`](crate::Database::stats).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The number of the newest version.
    pub version: u64,
    /// The tables, by name.
    pub tables: Vec<TableStats>,
    /// Where the memory is.
    pub memory: MemoryStats,
    /// Named snapshots that live, forks included: each fork holds one of its origin. Not that of a log that is written in
    /// the background. It may for a moment count what the database itself holds: for `stats` on another thread, for a
    /// checkpoint, or while such a log is being written.
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
    /// Bytes of its rows and indexes that snapshots and forks (and the others that [`MemoryStats::held_bytes`] names)
    /// hold and the newest version no longer has. What they hold of a table that was dropped is in that alone.
    pub held_bytes: usize,
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
    /// Bytes of commits since, which opening would replay: what the log says of each batch of them, and 64 for its header.
    pub unsaved_bytes: u64,
    /// Commits that readers see and the log does not have yet, with
    /// [`Durability::Interval`](crate::Durability::Interval): what the end of the process would lose.
    pub unwritten_commits: u64,
    /// Commits that wait to become durable before readers see them: at most as many as threads that commit.
    pub waiting_commits: usize,
    /// Why the last work in the background, a write of the log, a sync or a checkpoint, failed.
    pub background_failure: Option<Box<str>>,
}

/// Where the memory of a database is, in bytes. Pages shared with the database that this one was forked from count
/// there, not here. As the last write to end has left it: what a running one has made since is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Taken from the process's allocator, without what is vacant.
    pub reserved_bytes: usize,
    /// Taken from the process's allocator too, but lying free between pages that are in use, and so given back to the
    /// system (on Linux): addresses without memory, which are used again before more is taken.
    pub vacant_bytes: usize,
    /// In use by pages: of the newest version, waiting, or held.
    pub used_bytes: usize,
    /// Replaced pages that wait for readers to move on, or for the next commit to look at them; some of them may be held
    /// as well.
    pub waiting_bytes: usize,
    /// Pages that the newest version no longer has, and that snapshots, forks, or the version that a log written in the
    /// background ends at, hold: those of its tables, of dropped ones, and the roots above them. For a moment also what
    /// a version holds that `stats` on another thread or a checkpoint reads.
    pub held_bytes: usize,
}

pub(super) fn stats_of(core: &Core) -> Stats {
    let (pinned, catalog) = core.snapshot();
    let manifest = core.log.as_ref().and_then(|log| log.engine.manifest());
    let objects = manifest.as_ref().map_or(&[][..], |manifest| &manifest.checkpoint.objects);
    let mut stored_bytes = SortedMap::<&str, u64>::default();
    for object in objects {
        *stored_bytes.get_or_default(object.table()) += object.length();
    }
    let held = held_before(core, &pinned);
    let tables = catalog.tables.iter().map(|(name, listed)| {
        let size = size_kept(pinned.root(), listed.slot);
        TableStats {
            name: name.to_string(),
            rows: view_of(pinned.root(), listed.slot, &listed.def).len(),
            indexes: listed.def.indexes.len(),
            row_bytes: size.row_bytes,
            index_bytes: size.index_bytes,
            held_bytes: held.of_table(listed.slot, listed.def.table),
            stored_bytes: stored_bytes.get(&**name).copied().unwrap_or_default(),
        }
    });
    let (tables, version) = (tables.collect(), version_number(pinned.root()));
    drop(pinned);
    let memory = core.store.memory_use();
    Stats {
        version,
        tables,
        memory: MemoryStats {
            reserved_bytes: memory.reserved_bytes,
            vacant_bytes: memory.vacant_bytes,
            used_bytes: memory.used_bytes,
            waiting_bytes: memory.waiting_bytes,
            held_bytes: held.bytes,
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

/// What named versions older than `newest` hold.
fn held_before(core: &Core, newest: &Pinned) -> Held {
    let mut versions = core.store.named();
    // Some may have been named since, of versions published since.
    versions.retain(|version| version.stamp() <= newest.stamp());
    let roots: Vec<_> = versions.iter().map(Pinned::root).collect();
    Held::by(&roots, core.store.base())
}

#[cfg(test)]
mod tests {
    use crate::database::{Database, Snapshot};
    use crate::error::Error;
    use crate::page::{BlockRef, Link};
    use crate::schema::{Column, Index, Schema};
    use crate::table::version::table_links;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    /// A database and the snapshots of it that are kept, those that its forks were made from among them.
    struct Line {
        db: Database,
        kept: Vec<Snapshot>,
        forked: Vec<Snapshot>,
    }

    /// The blocks by their addresses, and their bytes.
    type Blocks = BTreeMap<usize, usize>;

    fn add_blocks(root: Option<BlockRef<'_>>, base: u64, blocks: &mut Blocks) {
        let Some(root) = root else { return };
        if root.birth() > base {
            blocks.insert(root.bytes().as_ptr().addr(), root.size());
        }
        root.links().iter().flatten().for_each(|link| add_blocks(Some(link.block()), base, blocks));
    }

    /// Those of the table in a slot.
    fn blocks_of(snapshot: &Snapshot, slot: usize, base: u64, blocks: &mut Blocks) {
        let (rows, indexes) = table_links(snapshot.pinned.root().links(), slot);
        add_blocks(rows.map(Link::block), base, blocks);
        add_blocks(indexes.map(Link::block), base, blocks);
    }

    /// What of `old` is not in `new`.
    fn bytes_beside(old: &Blocks, new: &Blocks) -> usize {
        old.iter().filter(|(address, _)| !new.contains_key(address)).map(|(_, bytes)| bytes).sum()
    }

    impl Line {
        fn check(&self) {
            let (newest, base) = (self.db.snapshot(), self.db.core.store.base());
            let stats = self.db.stats();
            for (name, listed) in &newest.catalog.tables {
                let (mut old, mut new) = (Blocks::new(), Blocks::new());
                blocks_of(&newest, listed.slot, base, &mut new);
                for snapshot in self.kept.iter().chain(&self.forked) {
                    let same = snapshot.catalog.tables.values().find(|older| older.def.table == listed.def.table);
                    if let Some(older) = same {
                        blocks_of(snapshot, older.slot, base, &mut old);
                    }
                }
                let told = stats.tables.iter().find(|told| *told.name == **name).unwrap();
                assert_eq!(told.held_bytes, bytes_beside(&old, &new), "held of `{name}`");
            }
            let (mut old, mut new) = (Blocks::new(), Blocks::new());
            add_blocks(Some(newest.pinned.root()), base, &mut new);
            for snapshot in self.kept.iter().chain(&self.forked) {
                add_blocks(Some(snapshot.pinned.root()), base, &mut old);
            }
            assert_eq!(stats.memory.held_bytes, bytes_beside(&old, &new), "held of all");
        }
    }

    fn create(db: &Database, name: &str) {
        let schema = Schema::builder(name)
            .column(Column::u64("id").primary_key().auto_increment())
            .column(Column::u64("number").unique())
            .column(Column::string("text"))
            .index(Index::ordered(["text"]));
        let created = db.create_table(schema.build().unwrap());
        assert!(matches!(created, Ok(_) | Err(Error::TableExists { .. })));
    }

    fn step(lines: &mut Vec<Line>, next: &mut u64, (what, at, number): (u8, usize, u64)) {
        let (count, at) = (lines.len(), at % lines.len());
        let Line { db, kept, forked } = &mut lines[at];
        let name = ["a", "b"][number as usize % 2];
        let insert = |count: u64, next: &mut u64| {
            let row = |number: u64| json!({ "number": number, "text": "x".repeat(number as usize % 3 * 900) });
            let rows: Vec<_> = (*next..*next + count).map(row).collect();
            *next += count;
            db.table(name).unwrap().insert_many(&rows).unwrap();
        };
        create(db, name);
        let table = db.table(name).unwrap();
        match what {
            0..5 => insert(1 + number % 90, next),
            5..8 => drop(table.update(number % 200, &json!({ "text": "y".repeat(number as usize % 2_000) }))),
            8..10 => drop(table.delete(number % 200).unwrap()),
            10 => table.clear().unwrap(),
            11 => db.drop_table(name).unwrap(),
            12 => drop(db.create_index(name, Index::hash(["text"]))),
            13 => drop(db.drop_index(name, &format!("{name}_by_text"))),
            14 => {
                let undone: Result<(), Error> = db.transaction(|tx| {
                    tx.table(name)?.delete(number % 200)?;
                    let undone: Result<(), Error> = tx.savepoint(|tx| {
                        tx.table(name)?.clear()?;
                        Err(Error::abort("undone"))
                    });
                    if number.is_multiple_of(3) { undone } else { Ok(()) }
                });
                drop(undone);
            }
            15..18 => kept.push(db.snapshot()),
            18..20 if !kept.is_empty() => drop(kept.swap_remove(number as usize % kept.len())),
            20 => db.reclaim(),
            21 if count < 4 => {
                let snapshot = db.snapshot();
                let fork = Line { db: snapshot.fork(), kept: Vec::new(), forked: Vec::new() };
                forked.push(snapshot);
                lines.push(fork);
            }
            _ => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn what_snapshots_hold_is_what_they_see_alone(
            steps in proptest::collection::vec((0..22_u8, 0..4_usize, 0..10_000_u64), 1..80),
        ) {
            let mut lines = vec![Line { db: Database::in_memory(), kept: Vec::new(), forked: Vec::new() }];
            let mut next = 0;
            for what in steps {
                step(&mut lines, &mut next, what);
                lines.iter().for_each(Line::check);
            }
        }
    }
}
