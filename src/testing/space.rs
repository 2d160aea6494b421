//! The room on a device: blocks that files take as they are written, and that holes do not.

use std::collections::BTreeSet;
use std::sync::Arc;

const BLOCK_BYTES: u64 = 1 << 12;

/// Which blocks each file has, by its number, of those that there are.
#[derive(Clone)]
pub(super) struct Space {
    blocks_max: u64,
    files: Vec<BTreeSet<u64>>,
}

impl Space {
    /// So many bytes, of which these files have what their lengths say.
    pub(super) fn new(bytes: u64, contents: &[Arc<Vec<u8>>]) -> Self {
        let blocks = |content: &Arc<Vec<u8>>| (0..(content.len() as u64).div_ceil(BLOCK_BYTES)).collect();
        Self { blocks_max: bytes / BLOCK_BYTES, files: contents.iter().map(blocks).collect() }
    }

    /// Takes the blocks for `length` bytes of a file from `offset` on, as far as there are any, and answers for how many
    /// bytes there were.
    pub(super) fn take(&mut self, file: usize, offset: u64, length: usize) -> usize {
        let mut free = self.blocks_max.saturating_sub(self.files.iter().map(|blocks| blocks.len() as u64).sum());
        self.files.resize_with((file + 1).max(self.files.len()), BTreeSet::new);
        let (mut at, end) = (offset, offset.saturating_add(length as u64));
        while at < end && (self.files[file].contains(&(at / BLOCK_BYTES)) || free > 0) {
            free -= u64::from(self.files[file].insert(at / BLOCK_BYTES));
            at = (at / BLOCK_BYTES + 1) * BLOCK_BYTES;
        }
        (at.min(end) - offset) as usize
    }

    /// Gives back the blocks behind the first `length` bytes of a file.
    pub(super) fn cut(&mut self, file: usize, length: u64) {
        if let Some(blocks) = self.files.get_mut(file) {
            blocks.split_off(&length.div_ceil(BLOCK_BYTES));
        }
    }
}
