//! The root block of a version: one entry per table.
//!
//! Each table has two links, to its page tree and to its index block, and an entry in the root's bytes. The index block
//! has one link and one record of 32 bytes per index: 24 that are the index's own, then the bytes of its blocks (`u64`).
//! Small on purpose: every commit copies the root, and every reader loads it anew.
//!
//! Bytes of the root: the version number (`u64`), then per table 32 bytes: definition id, number of rows, next row id
//! (all `u64`), height of the page tree (`u8`), bytes of the page tree and all below it (56 bits).
//!
//! Bytes are kept here and not counted when they are asked for, which would be a walk over all blocks; being part of the
//! version, they are right in snapshots and forks, and after what is rolled back.

use super::index::META_BYTES;
use crate::page::{BlockRef, Link};

/// The most tables a database can have.
pub(crate) const TABLES_MAX: usize = 4096;

pub(crate) const ROOT_HEAD: usize = 8;
pub(crate) const ENTRY_BYTES: usize = 32;
/// Bytes of an index's record in the index block.
pub(crate) const INDEX_RECORD: usize = META_BYTES + 8;

/// One table of one version. The default is a table that is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) def: u64,
    pub(crate) rows: u64,
    pub(crate) next_id: u64,
    pub(crate) height: u8,
    /// Of all blocks that the rows take: row pages, the nodes above them, values outside of pages.
    pub(crate) row_bytes: u64,
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
}

impl Entry {
    #[inline(always)]
    pub(crate) fn read(root: &[u8], slot: usize) -> Self {
        let at = ROOT_HEAD + slot * ENTRY_BYTES;
        // One look at the bounds for all of it: every read begins here.
        let Some(entry) = root.get(at..).and_then(|entry| entry.first_chunk::<ENTRY_BYTES>()) else {
            return Self::default();
        };
        let [def, rows, next_id, rest] = bytemuck::must_cast::<[u8; ENTRY_BYTES], [[u8; 8]; 4]>(*entry);
        Self {
            def: u64::from_le_bytes(def),
            rows: u64::from_le_bytes(rows),
            next_id: u64::from_le_bytes(next_id),
            height: rest[0],
            row_bytes: u64::from_le_bytes(rest) >> u8::BITS,
        }
    }

    #[inline(always)]
    pub(crate) fn write(&self, root: &mut [u8], slot: usize) {
        let at = ROOT_HEAD + slot * ENTRY_BYTES;
        let Some(place) = root.get_mut(at..at + ENTRY_BYTES) else { return };
        place[..8].copy_from_slice(&self.def.to_le_bytes());
        place[8..16].copy_from_slice(&self.rows.to_le_bytes());
        place[16..24].copy_from_slice(&self.next_id.to_le_bytes());
        place[24..].copy_from_slice(&(self.row_bytes << u8::BITS | u64::from(self.height)).to_le_bytes());
    }
}

/// The number of a version: how many commits came before it in its line.
pub(crate) fn version_number(root: BlockRef<'_>) -> u64 {
    word(root.bytes(), 0)
}

/// The number of the version behind the one with these root bytes. It stays at the highest there is: a log refuses that.
pub(crate) fn next_version(root: &[u8]) -> u64 {
    word(root, 0).saturating_add(1)
}

pub(crate) fn set_version_number(root: &mut [u8], version: u64) {
    if let Some(number) = root.first_chunk_mut::<8>() {
        *number = version.to_le_bytes();
    }
}

/// How many table slots a root has.
pub(crate) fn table_slots(root: BlockRef<'_>) -> usize {
    root.bytes().len().saturating_sub(ROOT_HEAD) / ENTRY_BYTES
}

/// Bytes of the index block and of all indexes below it, as kept in it.
pub(crate) fn index_bytes(indexes: BlockRef<'_>) -> u64 {
    let records = indexes.bytes().as_chunks::<INDEX_RECORD>().0;
    indexes.size() as u64 + records.iter().map(|record| word(record, META_BYTES)).sum::<u64>()
}

/// The links of a table: its page tree, its index block.
#[inline(always)]
pub(crate) fn table_links(links: &[Option<Link>], slot: usize) -> (Option<&Link>, Option<&Link>) {
    match links.get(2 * slot..2 * slot + 2) {
        Some([rows, indexes]) => (rows.as_ref(), indexes.as_ref()),
        _ => (None, None),
    }
}

/// Bytes of a root with so many table slots.
pub(crate) const fn root_bytes(slots: usize) -> usize {
    ROOT_HEAD + slots * ENTRY_BYTES
}
