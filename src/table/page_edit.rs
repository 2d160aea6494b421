//! Writing row pages: a page is made anew from runs of an old one's rows and from new rows.
//!
//! Every change but the overwriting of values in place comes down to [`assemble`]: an insert is old rows, the new row,
//! old rows; a delete is old rows without some; a bulk load is new rows alone.
//!
//! - P1: within the page, rows stand in the order of their ids.
//! - P2: links to large values move from the old page to the new one in the same order; those of rows that are gone are
//!   discarded with the old page.

use super::layout::{INLINE_MAX, Layout, PAGE_ROWS, Place};
use super::row_page::{PageRef, flags};
use crate::page::{Donor, Link, OutOfMemory, Pages};
use crate::value::{Columns, RowBuf};
use std::ops::Range;

/// Rows of a new page, in order.
#[derive(Clone)]
pub(crate) enum Run<'a> {
    /// Rows at these positions of the old page.
    Old(Range<usize>),
    /// New rows.
    New(&'a [RowBuf]),
}

impl Run<'_> {
    fn rows(&self) -> usize {
        match self {
            Run::Old(range) => range.len(),
            Run::New(rows) => rows.len(),
        }
    }
}

/// Makes a page with the rows of `runs` at the ids that `live` names, taking the old page's place.
/// Cost: O(bytes of the page).
pub(crate) fn assemble(
    pages: &mut Pages,
    layout: &Layout,
    old: Option<Link>,
    live: u32,
    runs: &[Run<'_>],
) -> Result<Link, OutOfMemory> {
    debug_assert_eq!(runs.iter().map(Run::rows).sum::<usize>(), live.count_ones() as usize);
    let mut donor = old.map(|old| pages.donate(old));
    let plan = Plan::new(layout, donor.as_ref(), live, runs);
    let built = plan.build(pages, donor.as_mut());
    // Where memory ran out, too: the page's old blocks are this write's to give back, and nobody else knows them now.
    if let Some(donor) = donor {
        pages.finish(donor);
    }
    built
}

/// A page that is about to be made.
struct Plan<'a> {
    layout: &'a Layout,
    runs: &'a [Run<'a>],
    live: u32,
    rows: usize,
    has_large: bool,
    link_count: usize,
    bytes: usize,
}

fn old_page(donor: Option<&Donor>) -> Option<PageRef<'_>> {
    donor.map(|donor| PageRef::new(donor.block()))
}

fn is_large(value: &[u8]) -> bool {
    value.len() > INLINE_MAX
}

/// The value of a new row in a column of variable width; a null one takes no bytes.
fn variable_value(row: &RowBuf, column: usize) -> &[u8] {
    row.column_bytes(column).unwrap_or_default()
}

impl<'a> Plan<'a> {
    fn new(layout: &'a Layout, donor: Option<&Donor>, live: u32, runs: &'a [Run<'a>]) -> Self {
        let rows = live.count_ones() as usize;
        let old = old_page(donor);
        let (mut value_bytes, mut link_count) = (0, 0);
        for (column, index) in variable_columns(layout) {
            for run in runs {
                match (run, old) {
                    (Run::Old(range), Some(old)) => {
                        let ordinal = index * old.rows();
                        let (start, end) = old.span(layout, ordinal + range.start, ordinal + range.end);
                        value_bytes += end - start;
                        if old.has_large() {
                            link_count += (old.large(layout, index) & bits(range)).count_ones() as usize;
                        }
                    }
                    (Run::Old(_), None) => {}
                    (Run::New(rows), _) => {
                        for row in *rows {
                            let value = variable_value(row, column);
                            match is_large(value) {
                                true => link_count += 1,
                                false => value_bytes += value.len(),
                            }
                        }
                    }
                }
            }
        }
        let has_large = link_count > 0;
        let bytes = layout.values_at(has_large, rows) + value_bytes;
        Self { layout, runs, live, rows, has_large, link_count, bytes }
    }

    fn build(&self, pages: &mut Pages, donor: Option<&mut Donor>) -> Result<Link, OutOfMemory> {
        let mut link = pages.alloc(self.link_count, self.bytes)?;
        if let Some(mut block) = pages.fresh(&mut link) {
            self.write(block.bytes(), donor.as_deref());
        }
        if self.link_count > 0
            && let Err(error) = self.move_links(pages, &mut link, donor)
        {
            pages.discard(link);
            return Err(error);
        }
        Ok(link)
    }

    fn write(&self, bytes: &mut [u8], donor: Option<&Donor>) {
        let old = old_page(donor);
        let head = self.layout.columns_at(self.has_large);
        bytes[..head].fill(0);
        put_word(bytes, 0, self.live);
        put_word(bytes, 4, flags(self.rows, self.has_large));
        let (fixed, rest) = bytes.split_at_mut(self.layout.ends_at(self.has_large, self.rows));
        let (ends, values) = rest.split_at_mut(self.layout.variable() * self.rows * self.layout.offset_bytes());
        let mut ends = Ends { bytes: ends, wide: self.layout.offset_bytes() == 4, next: 0 };
        let mut written = 0;
        for (index, column) in self.layout.columns().iter().enumerate() {
            if let Some(mask) = column.nulls {
                let nulls =
                    self.gather(|row| row.column_bytes(index).is_none(), |old| old.mask(self.layout, mask), old);
                put_word(fixed, self.layout.mask_at(mask), nulls);
            }
            match column.place {
                Place::RowId { .. } => {}
                Place::Bool { mask } => {
                    let is_true = |row: &RowBuf| row.column_bytes(index).is_some_and(|bytes| bytes != [0]);
                    let values = self.gather(is_true, |old| old.mask(self.layout, mask), old);
                    put_word(fixed, self.layout.mask_at(mask), values);
                }
                Place::Fixed { before, width } => {
                    let at = head + before * self.rows;
                    self.write_fixed(&mut fixed[at..at + width * self.rows], index, (before, width), old);
                }
                Place::Variable { index: variable } => {
                    if self.has_large {
                        let is_large = |row: &RowBuf| is_large(variable_value(row, index));
                        let large = self.gather(is_large, |old| old.large(self.layout, variable), old);
                        put_word(fixed, self.layout.large_mask_at(variable), large);
                    }
                    self.write_variable(&mut ends, values, &mut written, (index, variable), old);
                }
            }
        }
    }

    /// One bit per row of the new page.
    fn gather(
        &self,
        of_new: impl Fn(&RowBuf) -> bool,
        of_old: impl Fn(PageRef<'_>) -> u32,
        old: Option<PageRef<'_>>,
    ) -> u32 {
        let (mut mask, mut at) = (0u64, 0);
        for run in self.runs {
            match run {
                Run::Old(range) => {
                    let old = old.map_or(0, &of_old);
                    mask |= u64::from((old & bits(range)) >> (range.start % PAGE_ROWS)) << at;
                }
                Run::New(rows) => {
                    for (index, row) in rows.iter().enumerate() {
                        mask |= u64::from(of_new(row)) << (at + index);
                    }
                }
            }
            at += run.rows();
        }
        mask as u32
    }

    fn write_fixed(&self, values: &mut [u8], column: usize, (before, width): (usize, usize), old: Option<PageRef<'_>>) {
        let mut at = 0;
        for run in self.runs {
            let end = at + run.rows() * width;
            match run {
                Run::Old(range) => {
                    let old = old.map(|old| old.fixed_column(self.layout, before, width)).unwrap_or_default();
                    values[at..end].copy_from_slice(&old[range.start * width..range.end * width]);
                }
                Run::New(rows) => {
                    for (index, row) in rows.iter().enumerate() {
                        let place = &mut values[at + index * width..at + (index + 1) * width];
                        match row.column_bytes(column) {
                            Some(value) => copy_short(place, value),
                            // A null has a value too, so that scans of the column need not look for it.
                            None => place.fill(0),
                        }
                    }
                }
            }
            at = end;
        }
    }

    fn write_variable(
        &self,
        ends: &mut Ends<'_>,
        values: &mut [u8],
        written: &mut usize,
        (column, variable): (usize, usize),
        old: Option<PageRef<'_>>,
    ) {
        for run in self.runs {
            match (run, old) {
                (Run::Old(range), Some(old)) => {
                    let ordinal = variable * old.rows();
                    let (from, to) = (ordinal + range.start, ordinal + range.end);
                    let (start, end) = old.span(self.layout, from, to);
                    values[*written..*written + (end - start)].copy_from_slice(old.values(self.layout, (start, end)));
                    ends.extend_moved(old.ends(self.layout, from, to), *written, start);
                    *written += end - start;
                }
                (Run::Old(_), None) => {}
                (Run::New(rows), _) => {
                    for row in *rows {
                        let value = variable_value(row, column);
                        if !is_large(value) {
                            values[*written..*written + value.len()].copy_from_slice(value);
                            *written += value.len();
                        }
                        ends.push(*written);
                    }
                }
            }
        }
    }

    /// Moves the old page's links and makes blocks for the new rows' large values.
    fn move_links(&self, pages: &mut Pages, link: &mut Link, mut donor: Option<&mut Donor>) -> Result<(), OutOfMemory> {
        let mut next = 0;
        for (column, variable) in variable_columns(self.layout) {
            for run in self.runs {
                match run {
                    Run::Old(range) => {
                        let Some(donor) = donor.as_deref_mut() else { continue };
                        let old = PageRef::new(donor.block());
                        let large = old.large(self.layout, variable) & bits(range);
                        let first = old.large_link(self.layout, variable, range.start);
                        for index in first..first + large.count_ones() as usize {
                            let moved = pages.take(donor, index);
                            if let Some(mut block) = pages.fresh(link) {
                                block.links()[next] = moved;
                            }
                            next += 1;
                        }
                    }
                    Run::New(rows) => {
                        for row in *rows {
                            let value = variable_value(row, column);
                            if is_large(value) {
                                let large = value_block(pages, value)?;
                                if let Some(mut block) = pages.fresh(link) {
                                    block.links()[next] = Some(large);
                                }
                                next += 1;
                            }
                        }
                    }
                }
            }
        }
        Ok(())
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

/// Columns of variable width: their index in the schema, and among themselves.
fn variable_columns(layout: &Layout) -> impl Iterator<Item = (usize, usize)> + '_ {
    layout.columns().iter().enumerate().filter_map(|(column, place)| match place.place {
        Place::Variable { index } => Some((column, index)),
        _ => None,
    })
}

/// The bits of these positions.
fn bits(range: &Range<usize>) -> u32 {
    (((1u64 << range.end) - 1) & !((1u64 << range.start) - 1)) as u32
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

/// End offsets, written one behind the other.
struct Ends<'a> {
    bytes: &'a mut [u8],
    wide: bool,
    next: usize,
}

impl Ends<'_> {
    /// Appends offsets of another page, moved by `to - from`.
    fn extend_moved(&mut self, offsets: &[u8], to: usize, from: usize) {
        let place = &mut self.bytes[self.next..self.next + offsets.len()];
        self.next += offsets.len();
        // Both are aligned (`Layout::ends_at`), which lets the processor move eight and more at once.
        if self.wide {
            let delta = (to as u32).wrapping_sub(from as u32);
            let words = bytemuck::try_cast_slice_mut::<u8, u32>(place).into_iter();
            for (place, offsets) in words.zip(bytemuck::try_cast_slice::<u8, u32>(offsets)) {
                for (place, offset) in place.iter_mut().zip(offsets) {
                    *place = u32::from_le(*offset).wrapping_add(delta).to_le();
                }
            }
        } else {
            let delta = (to as u16).wrapping_sub(from as u16);
            let words = bytemuck::try_cast_slice_mut::<u8, u16>(place).into_iter();
            for (place, offsets) in words.zip(bytemuck::try_cast_slice::<u8, u16>(offsets)) {
                for (place, offset) in place.iter_mut().zip(offsets) {
                    *place = u16::from_le(*offset).wrapping_add(delta).to_le();
                }
            }
        }
    }

    #[inline(always)]
    fn push(&mut self, end: usize) {
        let at = self.next;
        if self.wide {
            self.bytes[at..at + 4].copy_from_slice(&(end as u32).to_le_bytes());
            self.next += 4;
        } else {
            self.bytes[at..at + 2].copy_from_slice(&(end as u16).to_le_bytes());
            self.next += 2;
        }
    }
}

/// Overwrites values of one row that take no more and no less room than the old ones: fixed-width columns, bools,
/// nulls of these. `columns` are the ones to write, from `row`.
pub(crate) fn overwrite(
    pages: &mut Pages,
    layout: &Layout,
    link: &mut Link,
    position: usize,
    columns: impl Iterator<Item = usize>,
    row: &RowBuf,
) -> Result<(), OutOfMemory> {
    let mut block = pages.make_mut(link)?;
    let bytes = block.bytes();
    let (rows, has_large) = (usize::from(bytes[5]), bytes[4] & 1 == 1);
    for index in columns {
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
