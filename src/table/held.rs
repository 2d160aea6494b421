//! What named versions hold of memory that the newest one no longer has, by table.
//!
//! A block lives without a gap from its birth until the version that no longer has it, and never moves to another table.
//! So a version shares with a newer one those blocks of the newer that were born no later than itself; all others of its
//! own died in between. Their bytes follow from what both versions keep of theirs, and from the blocks that were born in
//! between, which alone are looked at. A block that several versions hold counts for the newest of them.
//!
//! This looks at versions, and not at the lists of dead blocks that reclamation keeps: those belong to the writer, know
//! subtrees that died whole by their root alone, and learn of a death when a later commit comes to it.

use super::size::{bytes_since, size_kept};
use super::version::{Entry, table_links, table_slots};
use crate::page::{BlockRef, Link};
use std::collections::BTreeMap;

/// See the module.
#[derive(Default)]
pub(crate) struct Held {
    /// Of all tables, dropped ones included, and of the versions' roots.
    pub(crate) bytes: usize,
    /// By slot and definition.
    tables: BTreeMap<(usize, u64), usize>,
}

impl Held {
    /// What the older ones of these versions hold, the newest of which stands last. Blocks born at or before `base`
    /// belong to another store and are not counted. Cost: O(versions · tables + blocks born since the oldest version);
    /// in a fork O(versions · (tables + blocks born since it was made)), as its own blocks are walked for each pair.
    pub(crate) fn by(versions: &[BlockRef<'_>], base: u64) -> Self {
        let mut held = Self::default();
        for pair in versions.windows(2) {
            let &[older, newer] = pair else { continue };
            if older.birth() > base {
                held.bytes += older.size();
            }
            for slot in 0..table_slots(older) {
                let bytes = only_in(older, newer, slot, base);
                if bytes > 0 {
                    held.bytes += bytes;
                    *held.tables.entry((slot, Entry::read(older.bytes(), slot).def)).or_default() += bytes;
                }
            }
        }
        held
    }

    /// Of the table in this slot of the newest version. Ids of definitions rise: those of this table are above its own,
    /// and those of tables that had the slot before it are below.
    pub(crate) fn of_table(&self, slot: usize, table: u64) -> usize {
        self.tables.range((slot, table)..=(slot, u64::MAX)).map(|(_, bytes)| bytes).sum()
    }
}

/// Bytes of the blocks in slot `slot` that `older` has and `newer` has not.
fn only_in(older: BlockRef<'_>, newer: BlockRef<'_>, slot: usize, base: u64) -> usize {
    if roots(older, slot).iter().zip(roots(newer, slot)).all(|(a, b)| is_same(*a, b)) {
        return 0;
    }
    let younger: usize = roots(newer, slot).map(|root| bytes_since(root, older.birth())).iter().sum();
    let shared = own_bytes(newer, slot, base).saturating_sub(younger);
    own_bytes(older, slot, base).saturating_sub(shared)
}

/// Bytes of the blocks in slot `slot` that were born after `base`.
fn own_bytes(version: BlockRef<'_>, slot: usize, base: u64) -> usize {
    if base == 0 {
        let size = size_kept(version, slot);
        return size.row_bytes + size.index_bytes;
    }
    roots(version, slot).map(|root| bytes_since(root, base)).iter().sum()
}

/// The blocks that all others of a table are below.
fn roots(version: BlockRef<'_>, slot: usize) -> [Option<BlockRef<'_>>; 2] {
    let (rows, indexes) = table_links(version.links(), slot);
    [rows.map(Link::block), indexes.map(Link::block)]
}

fn is_same(a: Option<BlockRef<'_>>, b: Option<BlockRef<'_>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.same(b),
        (a, b) => a.is_none() && b.is_none(),
    }
}
