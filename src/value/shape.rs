//! The shape of a row: its columns in order, and where each one's packed bytes lie.
//!
//! Fixed-width columns stand one after the other in a region of their own, in column order and without padding; the
//! others are numbered. The layout is shared, so that a row buffer can keep it without copying.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::columns::Slot;
use super::similar::similar;
use super::types::{Array, Scalar, Type};

/// One column, as the encoding sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShapeColumn {
    pub(crate) name: Box<str>,
    pub(crate) ty: Type,
    pub(crate) nullable: bool,
}

/// How and where a column's values are packed: all that writing one has to know, in one look. With a tag of its own, as
/// one hidden in the scalar's would have to be worked out for every value.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Packing {
    /// `width` bytes at `offset` of the fixed region.
    Scalar {
        scalar: Scalar,
        offset: u32,
        width: u32,
    },
    Array {
        array: Array,
        offset: u32,
        width: u32,
    },
    /// The value with this number among those of variable length.
    Text {
        index: u32,
    },
    Bytes {
        index: u32,
    },
    Json {
        index: u32,
    },
}

impl Packing {
    fn new(ty: Type, slot: Slot) -> Packing {
        match (ty, slot) {
            (Type::Array(array), Slot::Fixed { offset, width }) => Packing::Array { array, offset, width },
            (ty, Slot::Fixed { offset, width }) => {
                Packing::Scalar { scalar: ty.scalar().unwrap_or(Scalar::U8), offset, width }
            }
            (Type::String, Slot::Var { index }) => Packing::Text { index },
            (Type::Bytes, Slot::Var { index }) => Packing::Bytes { index },
            (_, Slot::Var { index }) => Packing::Json { index },
        }
    }
}

/// The columns of a table and the layout of its packed rows.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    columns: Box<[ShapeColumn]>,
    slots: Arc<[Slot]>,
    packings: Box<[Packing]>,
    fixed_bytes: usize,
    var_count: usize,
    /// Names come from the schema, so a fixed seed gives nobody a way to make them collide at our cost but their own.
    by_name: HashMap<Box<str>, u32, FixedState>,
    generated: Option<usize>,
}

impl Shape {
    /// The layout of these columns. Names are unique and the fixed region is below 4 GiB: the schema sees to both.
    pub(crate) fn new(columns: Vec<ShapeColumn>) -> Shape {
        let mut slots = Vec::with_capacity(columns.len());
        let (mut fixed_bytes, mut var_count) = (0u32, 0u32);
        for column in &columns {
            slots.push(match column.ty.fixed_width() {
                Some(width) => {
                    let slot = Slot::Fixed { offset: fixed_bytes, width: width as u32 };
                    fixed_bytes = fixed_bytes.saturating_add(width as u32);
                    slot
                }
                None => {
                    var_count += 1;
                    Slot::Var { index: var_count - 1 }
                }
            });
        }
        let packings = columns.iter().zip(&slots).map(|(column, slot)| Packing::new(column.ty, *slot)).collect();
        let by_name = (0..).zip(&columns).map(|(index, column)| (column.name.clone(), index)).collect();
        Shape {
            columns: columns.into(),
            slots: slots.into(),
            packings,
            fixed_bytes: fixed_bytes as usize,
            var_count: var_count as usize,
            by_name,
            generated: None,
        }
    }

    /// The same, with a column that the table fills where a row has none: null is taken there for "not set".
    pub(crate) fn generating(self, generated: Option<usize>) -> Shape {
        Shape { generated, ..self }
    }

    /// Whether the table fills this column where a row has none.
    #[inline]
    pub(crate) fn is_generated(&self, index: usize) -> bool {
        self.generated == Some(index)
    }

    /// The columns in order.
    #[inline]
    pub(crate) fn columns(&self) -> &[ShapeColumn] {
        &self.columns
    }

    /// The column at `index`.
    #[inline]
    pub(crate) fn column(&self, index: usize) -> Option<&ShapeColumn> {
        self.columns.get(index)
    }

    /// The number of columns.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    /// The place of the column with this name.
    #[inline]
    pub(crate) fn column_index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|index| *index as usize)
    }

    /// The known name nearest to an unknown one.
    pub(crate) fn similar_column(&self, name: &str) -> Option<&str> {
        similar(name, self.columns.iter().map(|column| &*column.name))
    }

    /// Where each column's bytes lie in a packed row, by column.
    #[inline]
    pub(crate) fn slots(&self) -> &Arc<[Slot]> {
        &self.slots
    }

    /// How the values of the column at `index` are packed.
    #[inline]
    pub(super) fn packing(&self, index: usize) -> Option<&Packing> {
        self.packings.get(index)
    }

    /// Bytes of the fixed region.
    #[inline]
    pub(crate) fn fixed_bytes(&self) -> usize {
        self.fixed_bytes
    }

    /// The offset of a fixed-width column in the fixed region.
    #[cfg(test)]
    #[inline]
    pub(crate) fn fixed_offset(&self, index: usize) -> Option<usize> {
        self.slots.get(index)?.fixed_range().map(|range| range.start)
    }

    /// The number of a column among those of variable width.
    #[cfg(test)]
    #[inline]
    pub(crate) fn var_index(&self, index: usize) -> Option<usize> {
        match self.slots.get(index)? {
            Slot::Var { index } => Some(*index as usize),
            Slot::Fixed { .. } => None,
        }
    }

    /// How many columns are of variable width.
    #[inline]
    pub(crate) fn var_count(&self) -> usize {
        self.var_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_laid_out_in_order() {
        let column =
            |(name, ty): (&str, &str)| ShapeColumn { name: name.into(), ty: ty.parse().unwrap(), nullable: false };
        let shape =
            Shape::new([("a", "u8"), ("b", "string"), ("c", "3xf32"), ("d", "json"), ("e", "i64")].map(column).into());
        assert_eq!([0, 1, 2, 3, 4, 5].map(|at| shape.fixed_offset(at)), [Some(0), None, Some(1), None, Some(13), None]);
        assert_eq!([0, 1, 2, 3, 4].map(|at| shape.var_index(at)), [None, Some(0), None, Some(1), None]);
        assert_eq!((shape.fixed_bytes(), shape.var_count(), shape.len()), (21, 2, 5));
        assert_eq!((shape.column_index("d"), shape.column_index("x")), (Some(3), None));
    }
}
