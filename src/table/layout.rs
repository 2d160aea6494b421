//! Where a row's columns lie in a row page.
//!
//! A row page holds the live rows of 32 consecutive row ids, column by column. With `n` live rows its bytes are:
//!
//! | at | what |
//! |---|---|
//! | 0 | live mask, `u32`: which of the 32 ids have a row; `n` is its popcount |
//! | 4 | flags, `u32`: bit 0 says that large masks are present, the second byte is `n` |
//! | 8 | a null mask (`u32`, one bit per live row) for each nullable column, a value mask for each `bool` column |
//! | 8-aligned | if flagged: a large mask for each column of variable width |
//! | 8-aligned | for each other fixed-width column its `n` values, widest alignment first, so that all are aligned |
//! | aligned | for each column of variable width the `n` end offsets of its values among the bytes below |
//! | next | the values of variable width, column by column |
//!
//! The key of a table with an auto-increment key is the row id and is not stored. Offsets are `u16` while the values of
//! a page cannot exceed 64 KiB, else `u32`. A value longer than [`INLINE_MAX`] lies in a block of its own, held by a link
//! of the page; such links stand in the order of their columns, then rows.
//!
//! - L1: a page without gaps and large values has its columns at addresses that depend on the table alone.

use crate::page::{BLOCK_HEAD_BYTES, BlockRef};
use crate::value::{Shape, Slot, Type};

/// Rows to a page: one bit each of a mask word.
pub(crate) const PAGE_ROWS: usize = 32;
/// How far the row id is shifted to give its page's number.
pub(crate) const PAGE_SHIFT: u32 = PAGE_ROWS.trailing_zeros();
/// The longest value that stands in the page itself; two such columns stay within `u16` offsets.
pub(crate) const INLINE_MAX: usize = 1023;

/// The ids of the rows that page `number` has room for, of which the last page's last is `u64::MAX`.
pub(crate) fn page_ids(number: u64) -> impl Iterator<Item = u64> {
    let first = number << PAGE_SHIFT;
    first..=first | (PAGE_ROWS as u64 - 1)
}

const FIXED_HEAD: usize = 8;

/// Where the values of one column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The row id itself, in its low `width` bytes.
    RowId { width: usize },
    /// Bit mask number `mask`.
    Bool { mask: usize },
    /// Behind `before` bytes per row of other columns; `width` bytes per row.
    Fixed { before: usize, width: usize },
    /// Number `index` of the columns of variable width.
    Variable { index: usize },
}

/// One column in pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnPlace {
    pub(crate) ty: Type,
    pub(crate) place: Place,
    /// The null mask, if the column is nullable.
    pub(crate) nulls: Option<usize>,
    /// Where a fixed-width column begins in a page without gaps and large values (L1).
    pub(crate) full_at: usize,
}

/// One bit mask of a page, and which bit a row that is to be stored has in it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mask {
    /// Whether this column has no value.
    Null { column: usize },
    /// Whether the `bool` at this offset among the row's packed values of fixed width is true.
    True { packed_at: usize },
}

/// A fixed-width column of pages that is no mask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FixedColumn {
    /// As in [`Place::Fixed`].
    pub(crate) before: usize,
    pub(crate) width: usize,
    /// The value's offset among a row's packed values of fixed width.
    pub(crate) packed_at: usize,
}

/// A column of variable width in pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VariableColumn {
    pub(crate) column: usize,
    /// The value's number among a row's packed values of variable width; none for a wide array, which is packed among
    /// the others.
    pub(crate) packed: Option<usize>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    columns: Vec<ColumnPlace>,
    /// The same by kind, in the order in which they stand in a page, for writing one.
    masks: Vec<Mask>,
    fixed_columns: Vec<FixedColumn>,
    variable_columns: Vec<VariableColumn>,
    wide_arrays: bool,
    /// How many columns are nullable.
    nullable: usize,
    /// Bytes before the first column when no large mask is present.
    head: usize,
    /// Bytes per row of the fixed-width columns.
    fixed: usize,
    /// Bytes of an end offset: 2 or 4.
    offset: usize,
    /// For [`Layout::prefetch_row`]: where in a block the first row has something to ask for, and what a row takes there.
    lines: Vec<(u32, u32)>,
}

impl Layout {
    /// The layout of rows of `shape`, whose column `row_id` (if any) is the row id.
    pub(crate) fn new(shape: &Shape, row_id: Option<usize>) -> Self {
        let (mut masks, mut fixed_columns, mut variable_columns) = (Vec::new(), Vec::new(), Vec::new());
        let mut columns: Vec<ColumnPlace> = Vec::with_capacity(shape.len());
        for (index, (column, slot)) in shape.columns().iter().zip(&**shape.slots()).enumerate() {
            let nulls = column.nullable.then(|| push(&mut masks, Mask::Null { column: index }));
            let packed_at = slot.fixed_range().map_or(0, |range| range.start);
            let place = match column.ty.fixed_width() {
                Some(width) if row_id == Some(index) => Place::RowId { width },
                _ if column.ty == Type::Bool => Place::Bool { mask: push(&mut masks, Mask::True { packed_at }) },
                // A wide array is kept like a long string: copying a page must not mean copying 32 of them.
                Some(width) if width <= INLINE_MAX => {
                    // By falling alignment, so that no column needs a gap before it.
                    let align = |index: usize| storage_align(shape.columns()[index].ty);
                    let place = fixed_columns.partition_point(|&(other, _)| align(other) >= align(index));
                    fixed_columns.insert(place, (index, FixedColumn { before: 0, width, packed_at }));
                    Place::Fixed { before: 0, width }
                }
                _ => {
                    let packed = match *slot {
                        Slot::Var { index } => Some(index as usize),
                        Slot::Fixed { .. } => None,
                    };
                    Place::Variable { index: push(&mut variable_columns, VariableColumn { column: index, packed }) }
                }
            };
            columns.push(ColumnPlace { ty: column.ty, place, nulls, full_at: 0 });
        }
        let head = (FIXED_HEAD + 4 * masks.len()).next_multiple_of(8);
        let mut fixed = 0;
        for (index, column) in &mut fixed_columns {
            column.before = fixed;
            columns[*index].place = Place::Fixed { before: fixed, width: column.width };
            columns[*index].full_at = head + fixed * PAGE_ROWS;
            fixed += column.width;
        }
        let fixed_columns = fixed_columns.into_iter().map(|(_, column)| column).collect();
        let offset = if variable_columns.len() * PAGE_ROWS * INLINE_MAX <= usize::from(u16::MAX) { 2 } else { 4 };
        let wide_arrays = variable_columns.iter().any(|column| column.packed.is_none());
        let nullable = columns.iter().filter(|column| column.nulls.is_some()).count();
        let mut layout = Self {
            columns,
            masks,
            fixed_columns,
            variable_columns,
            wide_arrays,
            nullable,
            head,
            fixed,
            offset,
            lines: Vec::new(),
        };
        layout.lines = layout.lines_of_row();
        layout
    }

    /// A few are enough: the processor has so many misses under way at once.
    fn lines_of_row(&self) -> Vec<(u32, u32)> {
        const LINES_MAX: usize = 8;
        let fixed = self.fixed_columns.iter().map(|column| (self.head + PAGE_ROWS * column.before, column.width));
        let ends = |index| (self.ends_at(false, PAGE_ROWS) + self.offset * PAGE_ROWS * index, self.offset);
        let lines = fixed.chain((0..self.variable_columns.len()).map(ends)).take(LINES_MAX);
        lines.map(|(at, width)| ((BLOCK_HEAD_BYTES + at) as u32, width as u32)).collect()
    }

    /// The columns in the schema's order.
    #[inline(always)]
    pub(crate) fn columns(&self) -> &[ColumnPlace] {
        &self.columns
    }

    #[inline(always)]
    pub(crate) fn column(&self, index: usize) -> Option<&ColumnPlace> {
        self.columns.get(index)
    }

    /// The masks, as they are numbered.
    #[inline(always)]
    pub(crate) fn masks(&self) -> &[Mask] {
        &self.masks
    }

    /// The columns of fixed width that are no masks, in the order of a page.
    #[inline(always)]
    pub(crate) fn fixed_columns(&self) -> &[FixedColumn] {
        &self.fixed_columns
    }

    /// The columns of variable width, as they are numbered.
    #[inline(always)]
    pub(crate) fn variable_columns(&self) -> &[VariableColumn] {
        &self.variable_columns
    }

    /// How many columns are nullable.
    #[inline(always)]
    pub(crate) fn nullable(&self) -> usize {
        self.nullable
    }

    pub(crate) fn offset_bytes(&self) -> usize {
        self.offset
    }

    pub(crate) fn fixed_bytes(&self) -> usize {
        self.fixed
    }

    /// Whether arrays are among the columns of variable width. If so, all but the null ones are longer than
    /// [`INLINE_MAX`].
    #[inline(always)]
    pub(crate) fn has_wide_arrays(&self) -> bool {
        self.wide_arrays
    }

    /// Where mask `mask` is.
    #[inline(always)]
    pub(crate) fn mask_at(&self, mask: usize) -> usize {
        FIXED_HEAD + 4 * mask
    }

    /// Where the large mask of the `index`-th column of variable width is, in a page that has them.
    #[inline(always)]
    pub(crate) fn large_mask_at(&self, index: usize) -> usize {
        self.head + 4 * index
    }

    /// Where the columns begin.
    #[inline(always)]
    pub(crate) fn columns_at(&self, has_large: bool) -> usize {
        if has_large { self.head + (4 * self.variable_columns.len()).next_multiple_of(8) } else { self.head }
    }

    /// Where the end offsets begin in a page of `rows` rows; aligned to them.
    #[inline(always)]
    pub(crate) fn ends_at(&self, has_large: bool, rows: usize) -> usize {
        (self.columns_at(has_large) + self.fixed * rows + self.offset - 1) & !(self.offset - 1)
    }

    /// Asks for the lines in which row `id` of `page` has its values of fixed width, and the ends of the others, if the
    /// page is one without gaps and large values (L1).
    #[inline(always)]
    pub(crate) fn prefetch_row(&self, page: BlockRef<'_>, id: u64) {
        let index = id as usize % PAGE_ROWS;
        for &(at, width) in &self.lines {
            page.prefetch(at as usize + width as usize * index);
        }
    }

    /// What is between the columns of fixed width and the end offsets, of unspecified content.
    pub(crate) fn padding(&self, has_large: bool, rows: usize) -> std::ops::Range<usize> {
        self.columns_at(has_large) + self.fixed * rows..self.ends_at(has_large, rows)
    }

    /// Where the values of variable width begin.
    #[inline(always)]
    pub(crate) fn values_at(&self, has_large: bool, rows: usize) -> usize {
        self.ends_at(has_large, rows) + self.variable_columns.len() * rows * self.offset
    }
}

/// Appends, and answers the place.
fn push<T>(list: &mut Vec<T>, item: T) -> usize {
    list.push(item);
    list.len() - 1
}

/// A power of two that divides the width: columns sorted by it, widest first, are all aligned behind one another.
fn storage_align(ty: Type) -> usize {
    ty.fixed_width().map_or(1, |width| 1 << width.trailing_zeros().min(3))
}
