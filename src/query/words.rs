//! Numbers as words: integers of 64 bits in the order of a column's values, and keys of up to 16 bytes.

use super::condition::Packed;
use super::mask::each_value;
use super::page::PageRows;
use crate::table::layout::{ColumnPlace, Place};
use crate::value::{Scalar, Type, key_u64};

/// The number that has this place in the order, packed: the inverse of [`key_u64`].
pub(super) fn packed(ty: Type, word: u64) -> Option<Packed> {
    let width = ty.scalar()?.width();
    let sign = 1u64.checked_shl(8 * width as u32 - 1)?;
    let bits = match ty {
        Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Timestamp => word ^ sign,
        Type::F32 | Type::F64 if word & sign != 0 => word ^ sign,
        Type::F32 | Type::F64 => !word,
        _ => word,
    };
    bits.to_le_bytes().get(..width).map(Into::into)
}

/// A value, packed, of those that are equal to it the one that is answered: zeros of both signs have one place in the
/// order, and so have all NaN.
pub(super) fn zeros_alike(ty: Type, bytes: &[u8]) -> Vec<u8> {
    if let Some(bytes) = key_u64(ty, bytes).and_then(|word| packed(ty, word)) {
        return bytes.to_vec();
    }
    let mut alike = bytes.to_vec();
    if let Type::Array(array) = ty {
        match array.element() {
            Scalar::F32 => alike.as_chunks_mut().0.iter_mut().for_each(|bytes| {
                let value = f32::from_le_bytes(*bytes);
                *bytes = if value.is_nan() { f32::NAN } else { value + 0.0 }.to_le_bytes();
            }),
            Scalar::F64 => alike.as_chunks_mut().0.iter_mut().for_each(|bytes| {
                let value = f64::from_le_bytes(*bytes);
                *bytes = if value.is_nan() { f64::NAN } else { value + 0.0 }.to_le_bytes();
            }),
            _ => {}
        }
    }
    alike
}

/// Runs `visit` on the positions of `mask` and the bits there of a fixed-width column of up to 8 bytes, or of the row id
/// or a bool, all widened by zeros. Floats are made the same where they are equal. Nulls are the caller's.
#[inline]
pub(super) fn each_word(rows: &PageRows<'_>, column: &ColumnPlace, mask: u32, mut visit: impl FnMut(usize, u64)) {
    match column.place {
        Place::Fixed { before, width } => {
            let values = rows.page.fixed_column(&rows.def.layout, before, width);
            match column.ty {
                Type::F32 => each_value(values, mask, |at, bytes| {
                    let value = f32::from_le_bytes(bytes);
                    // Adding zero turns -0 into 0.
                    let value = if value.is_nan() { f32::NAN } else { value + 0.0 };
                    visit(at, value.to_bits().into());
                }),
                Type::F64 => each_value(values, mask, |at, bytes| {
                    let value = f64::from_le_bytes(bytes);
                    let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
                    visit(at, value.to_bits());
                }),
                _ => match width {
                    1 => each_value(values, mask, |at, [byte]| visit(at, byte.into())),
                    2 => each_value(values, mask, |at, bytes| visit(at, u16::from_le_bytes(bytes).into())),
                    4 => each_value(values, mask, |at, bytes| visit(at, u32::from_le_bytes(bytes).into())),
                    8 => each_value(values, mask, |at, bytes| visit(at, u64::from_le_bytes(bytes))),
                    _ => {}
                },
            }
        }
        Place::RowId { .. } => each_position(mask, |at| visit(at, rows.id(at))),
        Place::Bool { mask: values } => {
            let values = rows.page.mask(&rows.def.layout, values);
            each_position(mask, |at| visit(at, (values >> at & 1).into()));
        }
        Place::Variable { .. } => {}
    }
}

/// Bytes of a column's words; `None` if it has none.
pub(super) fn word_bytes(column: &ColumnPlace) -> Option<usize> {
    match column.place {
        Place::Fixed { width, .. } if width <= 8 && column.ty.scalar().is_some() => Some(width),
        Place::RowId { width } => Some(width),
        Place::Bool { .. } => Some(1),
        _ => None,
    }
}

#[inline]
pub(super) fn each_position(mask: u32, mut visit: impl FnMut(usize)) {
    let mut left = mask;
    while left != 0 {
        visit(left.trailing_zeros() as usize);
        left &= left - 1;
    }
}
