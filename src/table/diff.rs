//! In which rows two versions of a table differ.

use super::layout::{Layout, PAGE_SHIFT, Place};
use super::row_page::{PageRef, RowRef};
use super::view::TableView;
use crate::value::Columns;

/// Calls `visit` with each row in which `a` (the older) and `b`, tables of the same columns, differ: as it was, as it
/// is. In the order of row ids. Cost: O(log n) per page that differs, and a comparison of its columns.
pub(crate) fn diff_rows<'a>(
    a: TableView<'a>,
    b: TableView<'a>,
    visit: &mut impl FnMut(Option<RowRef<'a>>, Option<RowRef<'a>>),
) {
    let layout = &a.def.layout;
    a.rows().diff(b.rows(), &mut |number, old, new| {
        let (old, new) = (old.map(PageRef::new), new.map(PageRef::new));
        let mut differing = match (old, new) {
            (Some(old), Some(new)) => differing_rows(old, new, layout),
            (page, None) | (None, page) => page.map_or(0, PageRef::live),
        };
        while differing != 0 {
            let id = number << PAGE_SHIFT | u64::from(differing.trailing_zeros());
            differing &= differing - 1;
            let old = old.and_then(|page| RowRef::find(page.block(), layout, id));
            let new = new.and_then(|page| RowRef::find(page.block(), &b.def.layout, id));
            if !old.as_ref().zip(new.as_ref()).is_some_and(|(old, new)| is_same_row(layout, old, new)) {
                visit(old, new);
            }
        }
    });
}

/// Whether two rows of these columns have the same values.
fn is_same_row(layout: &Layout, a: &RowRef<'_>, b: &RowRef<'_>) -> bool {
    (0..layout.columns().len()).all(|column| is_same_value(a.column_bytes(column), b.column_bytes(column)))
}

/// Whether two values of a column are the same, `None` being null.
pub(crate) fn is_same_value(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    match (a, b) {
        // Large values are mostly shared.
        (Some(a), Some(b)) => std::ptr::eq(a, b) || a == b,
        (a, b) => a == b,
    }
}

/// Which of the page's ids (bit 0 to 31) have rows that may differ. Those that do are among them; where rows came or went
/// before others, all that both pages have may be.
fn differing_rows<'g>(old: PageRef<'g>, new: PageRef<'g>, layout: &Layout) -> u32 {
    let only_one = old.live() ^ new.live();
    let both = old.live() & new.live();
    // Rows were added or removed behind those of both: these have the same positions in both pages.
    let is_prefix = both == low_bits(old.live(), both) && both == low_bits(new.live(), both);
    if !is_prefix {
        return only_one | both;
    }
    let rows = both.count_ones() as usize;
    let all = if rows == 32 { u32::MAX } else { (1 << rows) - 1 };
    let has_large = old.has_large() || new.has_large();
    let mut positions = if has_large { differing_large(old, new, layout, all) } else { 0 };
    for column in layout.columns() {
        positions |= (old.nulls(layout, column) ^ new.nulls(layout, column)) & all;
        match column.place {
            Place::RowId { .. } => {}
            Place::Bool { mask } => positions |= (old.mask(layout, mask) ^ new.mask(layout, mask)) & all,
            Place::Fixed { before, width } => {
                let old = old.fixed_column(layout, before, width).get(..width * rows).unwrap_or_default();
                let new = new.fixed_column(layout, before, width).get(..width * rows).unwrap_or_default();
                if old != new {
                    positions |= differing_values(old, new, width);
                }
            }
            Place::Variable { index } => {
                let span = |page: PageRef<'_>| page.span(layout, index * page.rows(), index * page.rows() + rows);
                let (old_span, new_span) = (span(old), span(new));
                let ends = |page: PageRef<'g>| page.ends(layout, index * page.rows(), index * page.rows() + rows);
                let shift = new_span.0.wrapping_sub(old_span.0);
                let is_same = old.values(layout, old_span) == new.values(layout, new_span)
                    && are_shifted(ends(old), ends(new), shift, layout.offset_bytes());
                if !is_same {
                    positions |= (0..rows)
                        .filter(|&at| old.variable(layout, index, at) != new.variable(layout, index, at))
                        .map(|at| 1 << at)
                        .sum::<u32>();
                }
            }
        }
    }
    let mut ids = only_one;
    while positions != 0 {
        ids |= 1 << old.index_of(positions.trailing_zeros() as usize);
        positions &= positions - 1;
    }
    ids
}

/// At which of the positions `all` the pages' large values differ. A value's link is found by counting those before it: here
/// once for all, which makes it linear in the columns.
#[cold]
fn differing_large<'g>(old: PageRef<'g>, new: PageRef<'g>, layout: &Layout, all: u32) -> u32 {
    let (mut positions, mut old_links, mut new_links) = (0, 0, 0);
    for index in 0..layout.variable_columns().len() {
        let (a, b) = (old.large(layout, index), new.large(layout, index));
        positions |= (a ^ b) & all;
        let mut both = a & b & all;
        while both != 0 {
            let bit = both & both.wrapping_neg();
            both ^= bit;
            let value = |page: PageRef<'g>, links: usize, large: u32| {
                page.block().child(links + (large & (bit - 1)).count_ones() as usize)
            };
            let is_same = value(old, old_links, a).zip(value(new, new_links, b)).is_some_and(|(a, b)| {
                // Most are shared.
                a.same(b) || a.bytes() == b.bytes()
            });
            positions |= if is_same { 0 } else { bit };
        }
        old_links += a.count_ones() as usize;
        new_links += b.count_ones() as usize;
    }
    positions
}

/// Which values of two columns differ, one bit each. A loop per width, so that each compares without a call.
fn differing_values(old: &[u8], new: &[u8], width: usize) -> u32 {
    fn of_width<const N: usize>(old: &[u8], new: &[u8]) -> u32 {
        let pairs = old.as_chunks::<N>().0.iter().zip(new.as_chunks::<N>().0).enumerate();
        pairs.fold(0, |bits, (at, (old, new))| bits | u32::from(old != new) << at)
    }
    match width {
        1 => of_width::<1>(old, new),
        2 => of_width::<2>(old, new),
        4 => of_width::<4>(old, new),
        8 => of_width::<8>(old, new),
        _ => {
            let pairs = old.chunks_exact(width).zip(new.chunks_exact(width)).enumerate();
            pairs.fold(0, |bits, (at, (old, new))| bits | u32::from(old != new) << at)
        }
    }
}

/// Whether each of the new end offsets is the old one and `shift`: then the values have the same lengths.
fn are_shifted(old: &[u8], new: &[u8], shift: usize, width: usize) -> bool {
    // Offsets wrap as `shift` does, in their own width.
    match width {
        _ if shift == 0 => old == new,
        2 => {
            let mut pairs = old.as_chunks().0.iter().zip(new.as_chunks().0);
            pairs.all(|(old, new)| u16::from_le_bytes(*new).wrapping_sub(u16::from_le_bytes(*old)) == shift as u16)
        }
        _ => {
            let mut pairs = old.as_chunks().0.iter().zip(new.as_chunks().0);
            pairs.all(|(old, new)| u32::from_le_bytes(*new).wrapping_sub(u32::from_le_bytes(*old)) == shift as u32)
        }
    }
}

/// The bits of `mask` up to the highest one of `upto`.
fn low_bits(mask: u32, upto: u32) -> u32 {
    mask & u32::MAX.checked_shr(upto.leading_zeros()).unwrap_or(0)
}
