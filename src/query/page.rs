//! A row page together with what is needed to read it: its number and its table.

use crate::page::BlockRef;
use crate::table::definition::TableDef;
use crate::table::layout::{ColumnPlace, PAGE_SHIFT};
use crate::table::row::Row;
use crate::table::row_page::PageRef;
use crate::table::spot::Spot;

/// One page of rows. Positions are 0 to 31 among its live rows; masks have a bit per position.
#[derive(Clone, Copy)]
pub(super) struct PageRows<'g> {
    pub(super) def: &'g TableDef,
    pub(super) number: u64,
    pub(super) page: PageRef<'g>,
}

impl<'g> PageRows<'g> {
    #[inline(always)]
    pub(super) fn new(def: &'g TableDef, number: u64, block: BlockRef<'g>) -> Self {
        Self { def, number, page: PageRef::new(block) }
    }

    /// All rows of the page.
    #[inline(always)]
    pub(super) fn all(&self) -> u32 {
        self.page.all_rows()
    }

    /// The row id at a position.
    #[inline(always)]
    pub(super) fn id(&self, position: usize) -> u64 {
        self.number << PAGE_SHIFT | self.page.index_of(position) as u64
    }

    /// Runs `visit` on the rows of `mask` in rising order.
    #[inline(always)]
    pub(super) fn for_each(&self, mask: u32, mut visit: impl FnMut(usize, &Row<'g>)) {
        let mut row = Row::borrowed(self.page.block(), self.def, Spot::at(self.page, 0), 0);
        let mut left = mask;
        while left != 0 {
            let position = left.trailing_zeros() as usize;
            left &= left - 1;
            row.move_to(position, self.id(position));
            visit(position, &row);
        }
    }

    /// The packed value at a position; `None` if it is null.
    #[inline(always)]
    pub(super) fn value<'x>(&self, column: &ColumnPlace, position: usize, id: &'x [u8; 8]) -> Option<&'x [u8]>
    where
        'g: 'x,
    {
        self.page.value(&self.def.layout, column, position, id)
    }
}
