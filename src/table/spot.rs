//! Where a row is in its page: what a [`Row`](super::row::Row) keeps of the way to it.

use super::layout::PAGE_ROWS;
use super::row_page::{PageRef, RowRef};
use crate::page::BlockRef;

/// A row's position, and its page's shape. One word, written and read whole: a field of a few bytes that is read together
/// with its neighbours would wait for them to reach the cache.
#[derive(Clone, Copy)]
pub(crate) struct Spot(u64);

impl Spot {
    /// Of a page without gaps and large values.
    const FULL: u64 = (PAGE_ROWS as u64) << 8;

    /// The row `id` of the page that holds it, if it lives.
    #[inline(always)]
    pub(crate) fn find(block: BlockRef<'_>, id: u64) -> Option<Self> {
        if PageRef::is_plain(block) {
            Some(Self((id % PAGE_ROWS as u64) | Self::FULL))
        } else {
            Self::find_in_part(block, id)
        }
    }

    /// Out of line, so that the choice above stays a branch: what follows then does not wait for the page's head.
    #[cold]
    #[inline(never)]
    fn find_in_part(block: BlockRef<'_>, id: u64) -> Option<Self> {
        let page = PageRef::new(block);
        Some(Self::in_part(page, page.position(id)?))
    }

    #[inline(always)]
    pub(crate) fn of(row: &RowRef<'_>) -> Self {
        Self::at(row.page(), row.position())
    }

    #[inline(always)]
    pub(crate) fn at(page: PageRef<'_>, position: usize) -> Self {
        let (rows, has_large) = page.shape();
        if rows == PAGE_ROWS as u8 && !has_large {
            Self(position as u64 | Self::FULL)
        } else {
            Self::in_part(page, position)
        }
    }

    #[cold]
    #[inline(never)]
    fn in_part(page: PageRef<'_>, position: usize) -> Self {
        let (rows, has_large) = page.shape();
        Self(position as u64 | u64::from(rows) << 8 | u64::from(has_large) << 16)
    }

    #[inline(always)]
    pub(crate) fn position(self) -> usize {
        self.0 as usize & 0xFF
    }

    #[inline(always)]
    pub(crate) fn is_full(self) -> bool {
        self.0 & !0xFF == Self::FULL
    }

    /// What [`PageRef::of_shape`] wants to know.
    #[inline(always)]
    pub(crate) fn shape(self) -> (u8, bool) {
        ((self.0 >> 8) as u8, self.0 >> 16 != 0)
    }

    #[inline(always)]
    pub(crate) fn moved_to(self, position: usize) -> Self {
        Self(self.0 & !0xFF | position as u64)
    }
}
