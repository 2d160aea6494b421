//! Where the packed bytes of a row's columns are found.

use std::ops::Range;

/// A row, wherever it lives: in a row page or in a [`RowBuf`](super::RowBuf).
pub(crate) trait Columns {
    /// The packed bytes of the column at `index`; `None` if it is null, not set, or not there.
    ///
    /// A fixed-width column's bytes have its width exactly.
    fn column_bytes(&self, index: usize) -> Option<&[u8]>;
}

impl<C: Columns + ?Sized> Columns for &C {
    fn column_bytes(&self, index: usize) -> Option<&[u8]> {
        (**self).column_bytes(index)
    }
}

/// A column's place in a packed row: in the fixed region, or among the values of variable length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// `width` bytes at `offset` of the fixed region.
    Fixed { offset: u32, width: u32 },
    /// The value with this number among those of variable length.
    Var { index: u32 },
}

impl Slot {
    /// The bytes of the fixed region that a fixed column takes.
    #[inline]
    pub(crate) fn fixed_range(self) -> Option<Range<usize>> {
        match self {
            Slot::Fixed { offset, width } => Some(offset as usize..offset as usize + width as usize),
            Slot::Var { .. } => None,
        }
    }
}
