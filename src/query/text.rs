//! Tests on text: conditions on a column of variable width, a page at a time.

use super::condition::{Is, Packed};
use super::mask::each_bit;
use super::page::PageRows;
use super::test::holds;
use crate::table::layout::ColumnPlace;
use crate::value::Type;
use std::ops::Bound;

/// The rows of `within`, none null, whose value in the `index`-th column of variable width meets the condition.
pub(super) fn mask(rows: &PageRows<'_>, column: &ColumnPlace, index: usize, is: &Is, within: u32) -> u32 {
    let layout = &rows.def.layout;
    if rows.page.large(layout, index) != 0 || column.ty == Type::Json {
        // Some lie elsewhere, or bytes do not tell what is equal: each is looked up.
        return each_bit(within, |position| holds(column.ty, is, rows.page.variable(layout, index, position)));
    }
    match is {
        Is::Within(Bound::Included(low), Bound::Included(high)) if low == high => {
            values(rows, index, within, equal(low))
        }
        Is::NotEqual(other) => {
            let mut is_equal = equal(other);
            values(rows, index, within, move |value| !is_equal(value))
        }
        Is::StartsWith(prefix) => {
            let first = prefix.first().copied();
            values(rows, index, within, |value| value.first().copied() == first && value.starts_with(prefix))
        }
        is => values(rows, index, within, |value| holds(column.ty, is, value)),
    }
}

fn equal(other: &Packed) -> impl FnMut(&[u8]) -> bool {
    // Lengths tell most apart.
    move |value| value.len() == other.len() && *value == **other
}

/// Runs the test on the inline values of a column.
#[inline(always)]
fn values(rows: &PageRows<'_>, index: usize, within: u32, mut test: impl FnMut(&[u8]) -> bool) -> u32 {
    let (layout, count) = (&rows.def.layout, rows.page.rows());
    let first = index * count;
    let values = rows.page.values(layout, rows.page.span(layout, first, first + count));
    let start = rows.page.span(layout, first, first).0;
    let ends = rows.page.ends(layout, first, first + count);
    macro_rules! each {
        ($width:literal, $ty:ty) => {{
            let (ends, _) = ends.as_chunks::<$width>();
            let end = |position: usize| {
                ends.get(position).map_or(0, |end| (<$ty>::from_le_bytes(*end) as usize).saturating_sub(start))
            };
            each_bit(within, |position| {
                let from = position.checked_sub(1).map_or(0, end);
                test(values.get(from..end(position)).unwrap_or_default())
            })
        }};
    }
    if layout.offset_bytes() == 2 { each!(2, u16) } else { each!(4, u32) }
}
