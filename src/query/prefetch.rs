//! Asking for the cache lines of rows before they are read.
//!
//! A row that an index names is far from everything else that is in the cache. Its page's columns are at addresses that
//! the layout alone gives (L1 of `layout`), so that what a query will look at can be asked for many rows at once.

use crate::page::BlockRef;
use crate::table::definition::TableDef;
use crate::table::layout::{Layout, PAGE_ROWS, Place};

/// Lines asked for per row: more than the processor can have under way helps nobody.
const LINES_MAX: usize = 10;
const LINE: usize = 64;
/// Bytes of a block before those of its page.
const BLOCK_HEAD: usize = 16;

/// The columns that a query looks at.
pub(super) struct Prefetch {
    /// For each its bytes per row before it, and its width.
    fixed: Vec<(usize, usize)>,
    /// Where the first of them is.
    base: usize,
    /// Where the end offsets are in a full page, if values of variable width are read.
    ends: Option<usize>,
}

impl Prefetch {
    /// `None` in `columns` means any column of the table.
    pub(super) fn new(def: &TableDef, columns: [Option<&[usize]>; 2]) -> Self {
        let layout: &Layout = &def.layout;
        let is_any = columns.contains(&None);
        let mut found = Self { fixed: Vec::new(), base: BLOCK_HEAD + layout.columns_at(false), ends: None };
        for (index, column) in layout.columns().iter().enumerate() {
            if !is_any && !columns.iter().flatten().any(|columns| columns.contains(&index)) {
                continue;
            }
            match column.place {
                Place::Fixed { before, width } if found.fixed.len() < LINES_MAX => found.fixed.push((before, width)),
                Place::Variable { .. } => found.ends = Some(BLOCK_HEAD + layout.ends_at(false, PAGE_ROWS)),
                _ => {}
            }
        }
        found
    }

    /// Asks for what row `id` has in its page.
    #[inline]
    pub(super) fn row(&self, block: BlockRef<'_>, id: u64) {
        block.prefetch(0);
        let index = id as usize % PAGE_ROWS;
        for &(before, width) in &self.fixed {
            block.prefetch(self.base + before * PAGE_ROWS + width * index);
        }
        if let Some(ends) = self.ends {
            block.prefetch(ends);
            block.prefetch(ends + LINE);
        }
    }

    /// Asks for whole columns of a page. Of many columns the processor sees the pattern itself.
    #[inline]
    pub(super) fn page(&self, block: BlockRef<'_>) {
        block.prefetch(0);
        if self.fixed.len() > 3 {
            return;
        }
        for &(before, width) in &self.fixed {
            let start = self.base + before * PAGE_ROWS;
            let lines = (start % LINE + width * PAGE_ROWS).div_ceil(LINE).min(LINES_MAX);
            for line in 0..lines {
                block.prefetch(start + LINE * line);
            }
        }
    }
}
