//! In which rows two versions of a table differ.

use super::layout::{Layout, PAGE_SHIFT, Place};
use super::row_page::{PageRef, RowRef};
use super::view::TableView;
use crate::value::Columns;
use std::ops::ControlFlow;

/// Calls `visit` with each row in which `a` (the older) and `b`, tables of the same columns, differ: as it was, as it
/// is. In the order of row ids. Cost: O(log n) per page that differs, and a comparison of its columns.
pub(crate) fn diff_rows<'a>(
    a: TableView<'a>,
    b: TableView<'a>,
    visit: &mut impl FnMut(Option<RowRef<'a>>, Option<RowRef<'a>>),
) {
    let layout = &a.def.layout;
    let _ = a.rows().diff(b.rows(), &mut |number, old, new| {
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
            let is_same = |(old, new): (&RowRef<'_>, &RowRef<'_>)| {
                (0..layout.columns().len()).all(|column| old.column_bytes(column) == new.column_bytes(column))
            };
            if !old.as_ref().zip(new.as_ref()).is_some_and(is_same) {
                visit(old, new);
            }
        }
        ControlFlow::<()>::Continue(())
    });
}

/// Which of the page's ids (bit 0 to 31) have rows that may differ. Those that do are among them; beside large values all
/// that both pages have may be.
fn differing_rows(old: PageRef<'_>, new: PageRef<'_>, layout: &Layout) -> u32 {
    let only_one = old.live() ^ new.live();
    let both = old.live() & new.live();
    // Rows were added or removed behind those of both: these have the same positions in both pages.
    let is_prefix = both == low_bits(old.live(), both) && both == low_bits(new.live(), both);
    if !is_prefix || old.has_large() || new.has_large() {
        return only_one | both;
    }
    let rows = both.count_ones() as usize;
    let all = if rows == 32 { u32::MAX } else { (1 << rows) - 1 };
    let mut positions = 0;
    for column in layout.columns() {
        positions |= (old.nulls(layout, column) ^ new.nulls(layout, column)) & all;
        match column.place {
            Place::RowId { .. } => {}
            Place::Bool { mask } => positions |= (old.mask(layout, mask) ^ new.mask(layout, mask)) & all,
            Place::Fixed { before, width } => {
                let old = old.fixed_column(layout, before, width).get(..width * rows).unwrap_or_default();
                let new = new.fixed_column(layout, before, width).get(..width * rows).unwrap_or_default();
                if old != new {
                    let pairs = old.chunks_exact(width).zip(new.chunks_exact(width)).enumerate();
                    positions |= pairs.filter(|(_, (old, new))| old != new).map(|(at, _)| 1 << at).sum::<u32>();
                }
            }
            Place::Variable { index } => {
                let span = |page: PageRef<'_>| page.span(layout, index * page.rows(), index * page.rows() + rows);
                let is_same = old.values(layout, span(old)) == new.values(layout, span(new))
                    && (0..rows).all(|position| {
                        old.variable(layout, index, position).len() == new.variable(layout, index, position).len()
                    });
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

/// The bits of `mask` up to the highest one of `upto`.
fn low_bits(mask: u32, upto: u32) -> u32 {
    mask & u32::MAX.checked_shr(upto.leading_zeros()).unwrap_or(0)
}
