//! A row as it will be: the columns that a patch sets, and the stored row's others.

use crate::value::{Columns, RowBuf};

/// See the module.
pub(crate) struct Patched<'a, C> {
    pub(crate) patch: &'a RowBuf,
    pub(crate) old: &'a C,
}

impl<C: Columns> Columns for Patched<'_, C> {
    #[inline]
    fn column_bytes(&self, index: usize) -> Option<&[u8]> {
        if self.patch.is_set(index) { self.patch.column_bytes(index) } else { self.old.column_bytes(index) }
    }
}
