//! Reading a row page: its rows, their columns, whole columns at once.
//!
//! The bytes are as `layout` says. All of it is safe code over checked slices: bytes that do not fit read as null or as
//! an empty column, never beyond the page.

use super::layout::{ColumnPlace, Layout, PAGE_ROWS, PAGE_SHIFT, Place};
use crate::page::BlockRef;
use crate::value::Columns;

const HAS_LARGE: u32 = 1;
/// Where the number of rows stands in the flags: counting the bits of the live mask costs more than keeping it.
const ROWS_SHIFT: u32 = 8;

/// The flags of a page.
pub(crate) fn flags(rows: usize, has_large: bool) -> u32 {
    (rows as u32) << ROWS_SHIFT | u32::from(has_large)
}

/// A row page of a version.
#[derive(Clone, Copy)]
pub(crate) struct PageRef<'g> {
    bytes: &'g [u8],
    block: BlockRef<'g>,
    live: u32,
    rows: usize,
    has_large: bool,
}

/// The bytes at a place that the layout puts inside the page. The check of the bounds is a branch, which the processor
/// predicts: as a select it would make the address of a value wait for the page's header, a second trip to memory.
#[inline(always)]
pub(super) fn inside(bytes: &[u8], at: usize, len: usize) -> &[u8] {
    match bytes.get(at..at + len) {
        Some(inside) => inside,
        None => outside(),
    }
}

#[cold]
#[inline(never)]
fn outside<'a>() -> &'a [u8] {
    &[]
}

#[inline(always)]
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes)
}

impl<'g> PageRef<'g> {
    #[inline(always)]
    pub(crate) fn new(block: BlockRef<'g>) -> Self {
        let bytes = block.leaf_bytes();
        let (live, flags) = (word(bytes, 0), word(bytes, 4));
        // A full page is what the processor guesses: the columns' addresses then do not wait for mask and flags.
        if live == u32::MAX && flags & HAS_LARGE == 0 {
            return Self { bytes, block, live: u32::MAX, rows: PAGE_ROWS, has_large: false };
        }
        Self::partial(block, bytes, live, flags)
    }

    /// Whether all rows live and none has a large value: the columns then lie where the table alone says (L1).
    #[inline(always)]
    pub(crate) fn is_plain(block: BlockRef<'_>) -> bool {
        const PLAIN: u64 = u32::MAX as u64 | (PAGE_ROWS as u64) << (32 + ROWS_SHIFT);
        block.leaf_bytes().first_chunk().is_some_and(|head| u64::from_le_bytes(*head) == PLAIN)
    }

    /// Out of line, so that the choice above stays a branch.
    #[cold]
    #[inline(never)]
    fn partial(block: BlockRef<'g>, bytes: &'g [u8], live: u32, flags: u32) -> Self {
        let rows = ((flags >> ROWS_SHIFT) as usize).min(PAGE_ROWS);
        Self { bytes, block, live, rows, has_large: flags & HAS_LARGE != 0 }
    }

    /// The page as a reader of values sees it who knows its shape already; not for asking which rows live.
    #[inline(always)]
    pub(crate) fn of_shape(block: BlockRef<'g>, (rows, has_large): (u8, bool)) -> Self {
        Self { bytes: block.leaf_bytes(), block, live: 0, rows: rows.into(), has_large }
    }

    /// What [`PageRef::of_shape`] wants to know.
    #[inline(always)]
    pub(crate) fn shape(self) -> (u8, bool) {
        (self.rows as u8, self.has_large)
    }

    /// How many rows there are.
    #[inline(always)]
    pub(crate) fn rows(self) -> usize {
        self.rows
    }

    /// Which ids of the page have a row.
    #[inline(always)]
    pub(crate) fn live(self) -> u32 {
        self.live
    }

    #[inline(always)]
    pub(crate) fn block(self) -> BlockRef<'g> {
        self.block
    }

    pub(crate) fn has_large(self) -> bool {
        self.has_large
    }

    /// One bit per row.
    #[inline(always)]
    pub(crate) fn all_rows(self) -> u32 {
        if self.rows == PAGE_ROWS { u32::MAX } else { (1 << self.rows) - 1 }
    }

    /// The position of row `id`, if it lives.
    #[inline(always)]
    pub(crate) fn position(self, id: u64) -> Option<usize> {
        let index = id as usize % PAGE_ROWS;
        if self.live == u32::MAX { Some(index) } else { self.position_in_part(index) }
    }

    #[cold]
    #[inline(never)]
    fn position_in_part(self, index: usize) -> Option<usize> {
        (self.live >> index & 1 == 1).then(|| (self.live & ((1 << index) - 1)).count_ones() as usize)
    }

    /// How many rows have a smaller id.
    pub(crate) fn rank(self, id: u64) -> usize {
        let index = id as usize % PAGE_ROWS;
        let smaller = (1 << index) - 1;
        if self.live & smaller == smaller { index } else { (self.live & smaller).count_ones() as usize }
    }

    /// Whether an id has no row while a higher one has.
    #[inline(always)]
    pub(crate) fn has_gaps(self) -> bool {
        self.live & self.live.wrapping_add(1) != 0
    }

    /// Which id of the page (0 to 31) the row at `position` has.
    #[inline(always)]
    pub(crate) fn index_of(self, position: usize) -> usize {
        if !self.has_gaps() {
            return position;
        }
        let mut mask = self.live;
        for _ in 0..position {
            mask &= mask.wrapping_sub(1);
        }
        mask.trailing_zeros() as usize % PAGE_ROWS
    }

    /// Mask number `mask` of the layout, one bit per row.
    #[inline(always)]
    pub(crate) fn mask(self, layout: &Layout, mask: usize) -> u32 {
        word(self.bytes, layout.mask_at(mask))
    }

    /// The rows in which the column is null.
    #[inline(always)]
    pub(crate) fn nulls(self, layout: &Layout, column: &ColumnPlace) -> u32 {
        column.nulls.map_or(0, |mask| self.mask(layout, mask))
    }

    /// All values of a fixed-width column, one behind the other, aligned to their width up to 8.
    #[inline(always)]
    pub(crate) fn fixed_column(self, layout: &Layout, before: usize, width: usize) -> &'g [u8] {
        let at = layout.columns_at(self.has_large) + before * self.rows;
        inside(self.bytes, at, width * self.rows)
    }

    /// Where the value of variable width number `ordinal` (column by column) ends.
    #[inline(always)]
    fn end(self, layout: &Layout, ordinal: usize) -> usize {
        let at = layout.ends_at(self.has_large, self.rows);
        if layout.offset_bytes() == 2 {
            let at = at + 2 * ordinal;
            inside(self.bytes, at, 2).try_into().map_or(0, u16::from_le_bytes).into()
        } else {
            word(self.bytes, at + 4 * ordinal) as usize
        }
    }

    /// Where the inline values from `from` up to, not including, `to` (ordinals) stand in the page.
    #[inline(always)]
    pub(crate) fn span(self, layout: &Layout, from: usize, to: usize) -> (usize, usize) {
        let start = from.checked_sub(1).map_or(0, |previous| self.end(layout, previous));
        let end = to.checked_sub(1).map_or(0, |last| self.end(layout, last));
        (start, end)
    }

    /// The end offsets of these ordinals, as they stand in the page.
    pub(crate) fn ends(self, layout: &Layout, from: usize, to: usize) -> &'g [u8] {
        let (at, width) = (layout.ends_at(self.has_large, self.rows), layout.offset_bytes());
        self.bytes.get(at + from * width..at + to * width).unwrap_or_default()
    }

    /// The bytes at an inline span.
    #[inline(always)]
    pub(crate) fn values(self, layout: &Layout, (start, end): (usize, usize)) -> &'g [u8] {
        let at = layout.values_at(self.has_large, self.rows);
        inside(self.bytes, at + start, end.saturating_sub(start))
    }

    /// The rows whose value in the `index`-th column of variable width is in a block of its own.
    #[inline(always)]
    pub(crate) fn large(self, layout: &Layout, index: usize) -> u32 {
        if self.has_large { word(self.bytes, layout.large_mask_at(index)) } else { 0 }
    }

    /// The number of the link that holds the large value at `position` of that column.
    pub(crate) fn large_link(self, layout: &Layout, index: usize, position: usize) -> usize {
        let before: u32 = (0..index).map(|column| self.large(layout, column).count_ones()).sum();
        let below = (1u64 << position) - 1;
        (before + (u64::from(self.large(layout, index)) & below).count_ones()) as usize
    }

    /// A value of variable width.
    #[inline(always)]
    pub(crate) fn variable(self, layout: &Layout, index: usize, position: usize) -> &'g [u8] {
        if self.has_large && self.large(layout, index) >> position & 1 == 1 {
            let link = self.large_link(layout, index, position);
            return self.block.child(link).map(BlockRef::bytes).unwrap_or_default();
        }
        let ordinal = index * self.rows + position;
        self.values(layout, self.span(layout, ordinal, ordinal + 1))
    }

    /// Out of line, so that a full page's column is addressed by a branch and not by a select that waits for the page.
    #[cold]
    #[inline(never)]
    fn column_at(self, layout: &Layout, before: usize) -> usize {
        layout.columns_at(self.has_large) + before * self.rows
    }

    /// The packed value of a column in the row at `position`, whose id is `id`; `None` if it is null.
    #[inline(always)]
    pub(crate) fn value<'x>(
        self,
        layout: &Layout,
        column: &ColumnPlace,
        position: usize,
        id: &'x [u8; 8],
    ) -> Option<&'x [u8]>
    where
        'g: 'x,
    {
        if let Some(mask) = column.nulls
            && self.mask(layout, mask) >> position & 1 == 1
        {
            return None;
        }
        match column.place {
            Place::Fixed { before, width } => {
                let is_plain = self.rows == PAGE_ROWS && !self.has_large;
                let column_at = if is_plain { column.full_at } else { self.column_at(layout, before) };
                Some(inside(self.bytes, column_at + width * position, width))
            }
            Place::RowId { width } => id.get(..width),
            Place::Bool { mask } => Some(if self.mask(layout, mask) >> position & 1 == 1 { &[1] } else { &[0] }),
            Place::Variable { index } => Some(self.variable(layout, index, position)),
        }
    }

    #[inline(always)]
    pub(crate) fn row(self, layout: &'g Layout, number: u64, position: usize) -> RowRef<'g> {
        let id = number << PAGE_SHIFT | self.index_of(position) as u64;
        RowRef { page: self, layout, position, id: id.to_le_bytes() }
    }
}

/// One row of a version.
#[derive(Clone, Copy)]
pub(crate) struct RowRef<'g> {
    page: PageRef<'g>,
    layout: &'g Layout,
    position: usize,
    /// Little endian, so that a key that is the row id has its bytes here.
    id: [u8; 8],
}

impl<'g> RowRef<'g> {
    /// The row `id` of the page that holds it.
    #[inline(always)]
    pub(crate) fn find(block: BlockRef<'g>, layout: &'g Layout, id: u64) -> Option<Self> {
        let page = PageRef::new(block);
        Some(Self { position: page.position(id)?, page, layout, id: id.to_le_bytes() })
    }

    #[inline(always)]
    pub(crate) fn id(&self) -> u64 {
        u64::from_le_bytes(self.id)
    }

    #[inline(always)]
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn page(&self) -> PageRef<'g> {
        self.page
    }

    /// The packed value of a column of the row's table; `None` if it is null.
    #[inline(always)]
    pub(crate) fn value_of(&self, column: &ColumnPlace) -> Option<&[u8]> {
        self.page.value(self.layout, column, self.position, &self.id)
    }
}

impl Columns for RowRef<'_> {
    #[inline(always)]
    fn column_bytes(&self, index: usize) -> Option<&[u8]> {
        self.value_of(self.layout.column(index)?)
    }
}
