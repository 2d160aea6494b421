//! What a table takes of memory: as its version keeps it, and counted.

use super::version::{Entry, index_bytes, table_links};
use super::view::TableView;
use crate::page::{BlockRef, Link};

/// What a table takes of memory in one version, in bytes; from [`Reader::size`](crate::Reader::size). Pages that versions
/// share count in each.
///
/// Of the newest version, [`Database::stats`](crate::Database::stats) has the same without a walk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableSize {
    /// Rows and the tree of their pages, with all their values.
    pub row_bytes: usize,
    /// All indexes, the primary key's included.
    pub index_bytes: usize,
}

/// See [`TableSize`]: counted block by block, and so whatever the version has kept. Cost: O(pages).
pub(crate) fn size_of(view: TableView<'_>) -> TableSize {
    let [row_bytes, index_bytes] = view.roots().map(|root| bytes_since(root, 0));
    TableSize { row_bytes, index_bytes }
}

/// The same as the version keeps it, of the table in slot `slot`. Cost: O(indexes).
pub(crate) fn size_kept(root: BlockRef<'_>, slot: usize) -> TableSize {
    let (_, indexes) = table_links(root.links(), slot);
    TableSize {
        row_bytes: Entry::read(root.bytes(), slot).row_bytes as usize,
        index_bytes: indexes.map_or(0, |indexes| index_bytes(indexes.block())) as usize,
    }
}

/// What of the rows was born after `stamp`. Cost: O(pages born since).
pub(crate) fn row_bytes_since(view: TableView<'_>, stamp: u64) -> usize {
    let [rows, _] = view.roots();
    bytes_since(rows, stamp)
}

/// Bytes of the blocks from `root` down that were born after `stamp`. A child was born no later than its parent, so that
/// what hangs below an older block is not looked at. Cost: O(those blocks and their links).
pub(super) fn bytes_since(root: Option<BlockRef<'_>>, stamp: u64) -> usize {
    let mut sum = 0;
    let mut stack: Vec<BlockRef<'_>> = root.into_iter().collect();
    while let Some(block) = stack.pop() {
        if block.birth() > stamp {
            sum += block.size();
            stack.extend(block.links().iter().flatten().map(Link::block));
        }
    }
    sum
}
