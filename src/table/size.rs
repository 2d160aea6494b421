//! What a table takes of memory.

use super::view::TableView;
use crate::page::{BLOCK_HEAD_BYTES, BlockRef, Link};

/// What a table takes of memory in one version, in bytes; from [`Reader::size`](crate::Reader::size). Pages that versions
/// share count in each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableSize {
    /// Rows and the tree of their pages, with all their values.
    pub row_bytes: usize,
    /// All indexes, the primary key's included.
    pub index_bytes: usize,
}

/// See [`TableSize`]. Cost: O(pages).
pub(crate) fn size_of(view: TableView<'_>) -> TableSize {
    let [row_bytes, index_bytes] = view.roots().map(bytes_below);
    TableSize { row_bytes, index_bytes }
}

fn bytes_below(root: Option<BlockRef<'_>>) -> usize {
    let mut sum = 0;
    let mut stack: Vec<BlockRef<'_>> = root.into_iter().collect();
    while let Some(block) = stack.pop() {
        sum += BLOCK_HEAD_BYTES + size_of_val(block.links()) + block.bytes().len();
        stack.extend(block.links().iter().flatten().map(Link::block));
    }
    sum
}
