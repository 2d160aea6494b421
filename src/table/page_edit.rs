//! Writing row pages: a page is made anew from an old one's rows and new rows.
//!
//! Every change but the overwriting of values in place comes down to [`splice`], which does with a page's rows what
//! `Vec::splice` does with a vector's: an insert adds a row between others, a delete takes one out, a bulk load adds
//! rows behind the last. It works column by column, since a page does: what stays of a column is one copy of bytes
//! before the splice and one behind it.
//!
//! - P1: within the page, rows stand in the order of their ids.
//! - P2: links to large values move from the old page to the new one in the same order; those that no row has any more are
//!   discarded with the old page.
//! - P3: a page has no byte to spare: its values of variable width end where it ends.

use super::layout::{FixedColumn, INLINE_MAX, Layout, Mask, Place, VariableColumn};
use super::row_page::{PageRef, flags, word};
use crate::page::{Donor, Link, OutOfMemory, Pages};
use crate::value::{Columns, RowBuf};

/// What happens to a page's rows: of the old ones, `removed` from position `at` on go, and `rows` take their place. Where
/// one row takes another's, a large value of a column that it does not set stays: its block goes into the new page.
#[derive(Clone, Copy)]
pub(crate) struct Splice<'a> {
    pub(crate) at: usize,
    pub(crate) removed: usize,
    pub(crate) rows: &'a [RowBuf],
}

impl Splice<'_> {
    /// Where the old rows that stay go on.
    fn resume(&self) -> usize {
        self.at + self.removed
    }

    /// Whether the new row keeps the large value that the old one, whose place it takes, has in the `index`-th column of
    /// variable width.
    fn keeps(&self, layout: &Layout, old: &OldPage<'_>, index: usize, column: VariableColumn) -> bool {
        self.removed == 1
            && matches!(self.rows, [row] if !row.is_set(column.column))
            && old.large(layout, index) >> self.at & 1 == 1
    }

    /// The rows of the new page whose value in that column is in a block of its own.
    fn large(&self, layout: &Layout, old: &OldPage<'_>, index: usize, column: VariableColumn) -> u32 {
        let bits = self.bits(old.large(layout, index), |row| is_large(variable_value(row, column)));
        bits | u32::from(self.keeps(layout, old, index, column)) << self.at
    }

    /// One bit per row of the new page, from those of the old page's rows and those of the new rows.
    #[inline]
    fn bits(&self, old: u32, of_new: impl Fn(&RowBuf) -> bool) -> u32 {
        let old = u64::from(old);
        let mut bits = old & ((1 << self.at) - 1) | old >> self.resume() << (self.at + self.rows.len());
        for (row, position) in self.rows.iter().zip(self.at..) {
            bits |= u64::from(of_new(row)) << position;
        }
        bits as u32
    }
}

/// Makes a page of at least one row, with the ids that `live` names, taking the old page's place; without an old page the
/// splice is one into no rows. Cost: O(bytes of the page).
pub(crate) fn splice(
    pages: &mut Pages,
    layout: &Layout,
    old: Option<Link>,
    live: u32,
    splice: Splice<'_>,
) -> Result<Link, OutOfMemory> {
    let mut donor = old.map(|old| pages.donate(old));
    let old = old_page(donor.as_ref(), layout);
    let plan = Plan::new(layout, &old, live, splice);
    debug_assert_eq!(plan.rows, live.count_ones() as usize);
    let mut built = pages.alloc(plan.link_count, plan.bytes);
    if let Ok(link) = &mut built
        && let Some(mut block) = pages.fresh(link)
    {
        plan.write(block.bytes(), &old);
    }
    if plan.link_count > 0 {
        built = built.and_then(|mut link| match plan.move_links(pages, &mut link, donor.as_mut()) {
            Ok(()) => Ok(link),
            Err(error) => {
                pages.discard(link);
                Err(error)
            }
        });
    }
    // Where memory ran out, too: the page's old blocks are this write's to give back, and nobody else knows them now.
    if let Some(donor) = donor {
        pages.finish(donor);
    }
    built
}

/// The bytes of an old page by part. The default is a page without rows.
#[derive(Default)]
struct OldPage<'a> {
    rows: usize,
    has_large: bool,
    /// Up to the first column.
    head: &'a [u8],
    fixed: &'a [u8],
    ends: &'a [u8],
    values: &'a [u8],
}

#[inline(always)]
fn old_page<'a>(donor: Option<&'a Donor>, layout: &Layout) -> OldPage<'a> {
    let Some(donor) = donor else { return OldPage::default() };
    let page = PageRef::new(donor.block());
    let (rows, has_large) = (page.rows(), page.has_large());
    let (head, rest) = donor.block().bytes().split_at(layout.columns_at(has_large));
    let (fixed, rest) = rest.split_at(layout.ends_at(has_large, rows) - head.len());
    let (ends, values) = rest.split_at(layout.variable_columns().len() * rows * layout.offset_bytes());
    OldPage { rows, has_large, head, fixed, ends, values }
}

impl OldPage<'_> {
    /// The rows whose value in the `index`-th column of variable width is in a block of its own.
    fn large(&self, layout: &Layout, index: usize) -> u32 {
        if self.has_large { word(self.head, layout.large_mask_at(index)) } else { 0 }
    }
}

fn is_large(value: &[u8]) -> bool {
    value.len() > INLINE_MAX
}

/// The value of a new row in a column of variable width; a null one takes no bytes.
#[inline(always)]
fn variable_value(row: &RowBuf, column: VariableColumn) -> &[u8] {
    match column.packed {
        Some(packed) => row.var_bytes(packed),
        None => row.column_bytes(column.column).unwrap_or_default(),
    }
}

/// A page that is about to be made.
struct Plan<'a> {
    layout: &'a Layout,
    splice: Splice<'a>,
    live: u32,
    rows: usize,
    link_count: usize,
    bytes: usize,
}

impl<'a> Plan<'a> {
    #[inline]
    fn new(layout: &'a Layout, old: &OldPage<'_>, live: u32, splice: Splice<'a>) -> Self {
        let rows = old.rows - splice.removed + splice.rows.len();
        let mut value_bytes = old.values.len();
        if splice.removed > 0 {
            for first in (0..layout.variable_columns().len()).map(|index| index * old.rows) {
                let (from, to) = (first + splice.at, first + splice.resume());
                value_bytes -= end_of(layout, old, to) - end_of(layout, old, from);
            }
        }
        let mut has_large = old.has_large;
        for row in splice.rows {
            for length in row.var_lengths() {
                match length > INLINE_MAX {
                    true => has_large = true,
                    false => value_bytes += length,
                }
            }
            has_large |= layout.has_wide_arrays();
        }
        let link_count = if has_large { count_links(layout, old, splice) } else { 0 };
        let bytes = layout.values_at(link_count > 0, rows) + value_bytes;
        Self { layout, splice, live, rows, link_count, bytes }
    }

    fn has_large(&self) -> bool {
        self.link_count > 0
    }

    #[inline]
    fn write(&self, bytes: &mut [u8], old: &OldPage<'_>) {
        let layout = self.layout;
        let (head, rest) = bytes.split_at_mut(layout.columns_at(self.has_large()));
        let (fixed, rest) = rest.split_at_mut(layout.ends_at(self.has_large(), self.rows) - head.len());
        let (ends, values) = rest.split_at_mut(layout.variable_columns().len() * self.rows * layout.offset_bytes());
        self.write_masks(head, old);
        self.write_fixed(fixed, old);
        match layout.offset_bytes() {
            2 => self.write_variable::<u16>(ends, values, old),
            _ => self.write_variable::<u32>(ends, values, old),
        }
    }

    #[inline]
    fn write_masks(&self, head: &mut [u8], old: &OldPage<'_>) {
        let layout = self.layout;
        head.fill(0);
        put_word(head, 0, self.live);
        put_word(head, 4, flags(self.rows, self.has_large()));
        for (index, mask) in layout.masks().iter().enumerate() {
            let at = layout.mask_at(index);
            let old = word(old.head, at);
            let bits = match *mask {
                Mask::Null { column } => self.splice.bits(old, |row| !row.has_value(column)),
                Mask::True { packed_at } => {
                    self.splice.bits(old, |row| row.fixed_bytes().get(packed_at).is_some_and(|byte| *byte != 0))
                }
            };
            put_word(head, at, bits);
        }
        if self.has_large() {
            for (index, column) in layout.variable_columns().iter().enumerate() {
                put_word(head, layout.large_mask_at(index), self.splice.large(layout, old, index, *column));
                if self.splice.keeps(layout, old, index, *column)
                    && let Some(nulls) = layout.column(column.column).and_then(|column| column.nulls)
                {
                    put_bit(head, layout.mask_at(nulls), self.splice.at, false);
                }
            }
        }
    }

    #[inline(never)]
    fn write_fixed(&self, mut fixed: &mut [u8], old: &OldPage<'_>) {
        let Splice { at, rows, .. } = self.splice;
        for &FixedColumn { before, width, packed_at } in self.layout.fixed_columns() {
            let (to, rest) = fixed.split_at_mut(width * self.rows);
            fixed = rest;
            let (to_before, to) = to.split_at_mut(width * at);
            let (to_new, to_behind) = to.split_at_mut(width * rows.len());
            let from = &old.fixed[before * old.rows..];
            if at > 0 {
                to_before.copy_from_slice(&from[..width * at]);
            }
            if !to_behind.is_empty() {
                to_behind.copy_from_slice(&from[width * self.splice.resume()..width * old.rows]);
            }
            match width {
                8 => put_values::<8>(to_new, rows, packed_at),
                4 => put_values::<4>(to_new, rows, packed_at),
                2 => put_values::<2>(to_new, rows, packed_at),
                1 => put_values::<1>(to_new, rows, packed_at),
                _ => {
                    for (place, row) in to_new.chunks_exact_mut(width).zip(rows) {
                        if let Some(value) = row.fixed_bytes().get(packed_at..packed_at + width) {
                            place.copy_from_slice(value);
                        }
                    }
                }
            }
        }
    }

    /// Values of variable width and their ends, column by column.
    #[inline(never)]
    fn write_variable<O: Offset>(&self, ends: &mut [u8], values: &mut [u8], old: &OldPage<'_>) {
        // Both are aligned (`Layout::ends_at`), which lets the processor move eight and more at once.
        let mut ends = bytemuck::try_cast_slice_mut::<u8, O>(ends).unwrap_or_default();
        let mut old_ends = bytemuck::try_cast_slice::<u8, O>(old.ends).unwrap_or_default();
        let Splice { at, rows, .. } = self.splice;
        let resume = self.splice.resume();
        let mut values = Values { rest: values, written: 0 };
        let mut start = 0;
        for column in self.layout.variable_columns() {
            let (from, from_rest) = old_ends.split_at(old.rows);
            let (to, to_rest) = ends.split_at_mut(self.rows);
            (old_ends, ends) = (from_rest, to_rest);
            let (from_before, from_behind) = (&from[..at], &from[resume..]);
            let (to_before, to) = to.split_at_mut(at);
            let (to_new, to_behind) = to.split_at_mut(rows.len());
            // Where the old values before the splice end, and where those behind it begin and end.
            let until = from_before.last().map_or(start, |end| end.get());
            let again = if resume == at { until } else { from[resume - 1].get() };
            let end = from_behind.last().map_or(again, |end| end.get());
            if at > 0 {
                move_ends(to_before, from_before, values.written.wrapping_sub(start));
                values.put(&old.values[start..until]);
            }
            for (place, row) in to_new.iter_mut().zip(rows) {
                let value = variable_value(row, *column);
                if !is_large(value) {
                    values.put(value);
                }
                *place = O::of(values.written);
            }
            if !from_behind.is_empty() {
                move_ends(to_behind, from_behind, values.written.wrapping_sub(again));
                values.put(&old.values[again..end]);
            }
            start = end;
        }
    }

    /// Moves the old page's links and makes blocks for the new rows' large values.
    #[cold]
    fn move_links(&self, pages: &mut Pages, link: &mut Link, mut donor: Option<&mut Donor>) -> Result<(), OutOfMemory> {
        let Splice { at, rows, .. } = self.splice;
        let old_rows = self.rows + self.splice.removed - rows.len();
        let (mut from, mut to) = (0, 0);
        let mut put = |pages: &mut Pages, moved| {
            if let Some(mut block) = pages.fresh(link) {
                block.links()[to] = moved;
            }
            to += 1;
        };
        for (index, column) in self.layout.variable_columns().iter().enumerate() {
            let (large, keeps) = donor.as_deref().map_or((0, false), |donor| {
                let old = old_page(Some(donor), self.layout);
                (old.large(self.layout, index), self.splice.keeps(self.layout, &old, index, *column))
            });
            for position in 0..=old_rows {
                if position == at {
                    for value in rows.iter().map(|row| variable_value(row, *column)).filter(|value| is_large(value)) {
                        let made = value_block(pages, value)?;
                        put(pages, Some(made));
                    }
                }
                if u64::from(large) >> position & 1 == 1 {
                    if let Some(donor) = donor.as_deref_mut()
                        && (keeps || !(at..self.splice.resume()).contains(&position))
                    {
                        let moved = pages.take(donor, from);
                        put(pages, moved);
                    }
                    from += 1;
                }
            }
        }
        Ok(())
    }
}

/// How many large values the new page has.
#[cold]
fn count_links(layout: &Layout, old: &OldPage<'_>, splice: Splice<'_>) -> usize {
    let columns = layout.variable_columns().iter().enumerate();
    columns.map(|(index, column)| splice.large(layout, old, index, *column).count_ones() as usize).sum()
}

/// Where the values of variable width before number `ordinal` end.
fn end_of(layout: &Layout, old: &OldPage<'_>, ordinal: usize) -> usize {
    let Some(last) = ordinal.checked_sub(1) else { return 0 };
    match layout.offset_bytes() {
        2 => old.ends[2 * last..].first_chunk().map_or(0, |end| u16::from_le_bytes(*end).into()),
        _ => word(old.ends, 4 * last) as usize,
    }
}

/// A value in a block of its own.
fn value_block(pages: &mut Pages, value: &[u8]) -> Result<Link, OutOfMemory> {
    let mut link = pages.alloc(0, value.len())?;
    if let Some(mut block) = pages.fresh(&mut link) {
        block.bytes().copy_from_slice(value);
    }
    Ok(link)
}

/// Writes the new rows' values of a column. A null has a value too, so that scans of the column need not look for it: a
/// row buffer keeps zero there. Out of line: within the loop over columns the compiler prepares for more than there is to
/// do, for each width.
#[inline(never)]
fn put_values<const WIDTH: usize>(places: &mut [u8], rows: &[RowBuf], packed_at: usize) {
    for (place, row) in places.as_chunks_mut::<WIDTH>().0.iter_mut().zip(rows) {
        if let Some(value) = row.fixed_bytes().get(packed_at..).and_then(<[u8]>::first_chunk) {
            *place = *value;
        }
    }
}

/// Values of variable width, written one behind the other.
struct Values<'a> {
    rest: &'a mut [u8],
    written: usize,
}

impl Values<'_> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let (place, rest) = std::mem::take(&mut self.rest).split_at_mut(bytes.len());
            place.copy_from_slice(bytes);
            self.rest = rest;
            self.written += bytes.len();
        }
    }
}

/// An end offset as it stands in a page.
trait Offset: bytemuck::Pod {
    fn of(end: usize) -> Self;
    fn get(self) -> usize;
    /// The offset of a value that is this much further on.
    fn moved(self, by: usize) -> Self;
}

macro_rules! offset {
    ($($ty:ty),*) => {$(
        impl Offset for $ty {
            #[inline(always)]
            fn of(end: usize) -> Self {
                (end as $ty).to_le()
            }

            #[inline(always)]
            fn get(self) -> usize {
                <$ty>::from_le(self) as usize
            }

            #[inline(always)]
            fn moved(self, by: usize) -> Self {
                <$ty>::from_le(self).wrapping_add(by as $ty).to_le()
            }
        }
    )*};
}

offset!(u16, u32);

/// Copies the ends of values that are `by` further on now, modulo the width of a word. Out of line as [`put_values`] is.
#[inline(never)]
fn move_ends<O: Offset>(to: &mut [O], from: &[O], by: usize) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from.moved(by);
    }
}

fn put_word(bytes: &mut [u8], at: usize, word: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

/// Copies the few bytes of a fixed-width value; a width known to the compiler saves the call.
#[inline(always)]
fn copy_short(place: &mut [u8], value: &[u8]) {
    fn of_width<const N: usize>(place: &mut [u8], value: &[u8]) {
        if let (Some(place), Some(value)) = (place.first_chunk_mut::<N>(), value.first_chunk::<N>()) {
            *place = *value;
        }
    }
    match (place.len(), value.len()) {
        (8, 8) => of_width::<8>(place, value),
        (4, 4) => of_width::<4>(place, value),
        (2, 2) => of_width::<2>(place, value),
        (1, 1) => of_width::<1>(place, value),
        (to, from) if to == from => place.copy_from_slice(value),
        _ => {}
    }
}

/// Overwrites values of one row that take no more and no less room than the old ones: fixed-width columns, bools,
/// nulls of these. Written are the columns that `row` sets.
#[inline]
pub(crate) fn overwrite(
    pages: &mut Pages,
    layout: &Layout,
    link: &mut Link,
    position: usize,
    row: &RowBuf,
) -> Result<(), OutOfMemory> {
    let mut block = pages.make_mut(link)?;
    let bytes = block.bytes();
    let (rows, has_large) = (usize::from(bytes[5]), bytes[4] & 1 == 1);
    for index in row.set_columns() {
        let Some(column) = layout.column(index) else { continue };
        let value = row.column_bytes(index);
        if let Some(mask) = column.nulls {
            put_bit(bytes, layout.mask_at(mask), position, value.is_none());
        }
        match column.place {
            Place::Bool { mask } => {
                put_bit(bytes, layout.mask_at(mask), position, value.is_some_and(|value| value != [0]));
            }
            Place::Fixed { before, width } => {
                let at = layout.columns_at(has_large) + before * rows + width * position;
                match value {
                    Some(value) => copy_short(&mut bytes[at..at + width], value),
                    None => bytes[at..at + width].fill(0),
                }
            }
            Place::Variable { index: variable } => {
                // The caller saw that both lengths are equal and the value is inline.
                let ordinal = variable * rows + position;
                let at = layout.ends_at(has_large, rows) + layout.offset_bytes() * ordinal;
                let end = match layout.offset_bytes() {
                    2 => usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap_or_default())),
                    _ => u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default()) as usize,
                };
                let value = value.unwrap_or_default();
                let end = layout.values_at(has_large, rows) + end;
                bytes[end - value.len()..end].copy_from_slice(value);
            }
            Place::RowId { .. } => {}
        }
    }
    Ok(())
}

fn put_bit(bytes: &mut [u8], at: usize, position: usize, bit: bool) {
    let Some(Ok(word)) = bytes.get(at..at + 4).map(<[u8; 4]>::try_from) else { return };
    let word = u32::from_le_bytes(word) & !(1 << position) | u32::from(bit) << position;
    put_word(bytes, at, word);
}
