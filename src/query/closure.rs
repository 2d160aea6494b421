//! Closures over rows, run for the rows of a page that a mask leaves.
//!
//! What the executor holds is a `dyn RowTest`: one indirect call for a page, in which the closure is known and inlined.

use super::page::PageRows;
use crate::table::row::Row;

/// A closure that tests rows.
pub(super) trait RowTest {
    /// Those rows of `mask` for which the closure holds.
    fn retain(&self, rows: &PageRows<'_>, mask: u32) -> u32;
}

impl<F: Fn(&Row<'_>) -> bool> RowTest for F {
    #[inline]
    fn retain(&self, rows: &PageRows<'_>, mask: u32) -> u32 {
        let mut kept = 0;
        rows.for_each(mask, |position, row| kept |= u32::from(self(row)) << position);
        kept
    }
}
