//! Gathering aggregates from pages, for all groups of a query at once.
//!
//! Columns of numbers are taken a page at a time, in loops that know the type. Without groups integers of a page come to
//! one sum first. Sums of floats are formed in four lanes, which lets the processor add four at a time: a row's is by its id,
//! and each adds its rows in the order in which the query comes to them. So the same rows in the same order have the same
//! sum however they were found, and whatever other rows there are.

use super::aggregate::Gathered;
use super::mask::each_value;
use super::page::PageRows;
use super::words::{each_position, each_word, packed, zeros_alike};
use crate::table::layout::{ColumnPlace, Place};
use crate::value::{Type, compare_packed, key_u64};
use std::cmp::Ordering;

/// What is gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Count,
    Sum,
    Min,
    Max,
}

/// Which group a row belongs to, by its position in the page.
pub(super) type Slots = [u32; 32];

/// One aggregate, for each group.
pub(super) enum Accumulator {
    Count(Vec<u64>),
    Integer {
        column: ColumnPlace,
        groups: Vec<(i128, u64)>,
    },
    Float {
        column: ColumnPlace,
        groups: Vec<FloatSum>,
    },
    /// Of numbers: the sort word of the best, turned around for a maximum, so that less is better.
    Word {
        column: ColumnPlace,
        turn: u64,
        groups: Vec<Option<u64>>,
    },
    /// Of anything else: its packed bytes.
    Bytes {
        column: ColumnPlace,
        better: Ordering,
        groups: Vec<Option<Vec<u8>>>,
    },
}

/// Floats that were added, and how many.
#[derive(Clone, Copy, Default)]
pub(super) struct FloatSum {
    lanes: [f64; LANES],
    count: u64,
}

const LANES: usize = 4;

impl FloatSum {
    fn sum(&self) -> f64 {
        let [a, b, c, d] = self.lanes;
        (a + c) + (b + d)
    }
}

impl Accumulator {
    pub(super) fn new(what: What, column: Option<ColumnPlace>) -> Self {
        let Some(column) = column else { return Accumulator::Count(Vec::new()) };
        let is_number =
            matches!(column.place, Place::Fixed { width, .. } if width <= 8) && column.ty.scalar().is_some();
        match what {
            What::Count => Accumulator::Count(Vec::new()),
            What::Sum if column.ty.is_float() => Accumulator::Float { column, groups: Vec::new() },
            What::Sum => Accumulator::Integer { column, groups: Vec::new() },
            What::Min if is_number => Accumulator::Word { column, turn: 0, groups: Vec::new() },
            What::Max if is_number => Accumulator::Word { column, turn: u64::MAX, groups: Vec::new() },
            What::Min => Accumulator::Bytes { column, better: Ordering::Less, groups: Vec::new() },
            What::Max => Accumulator::Bytes { column, better: Ordering::Greater, groups: Vec::new() },
        }
    }

    /// Makes room for so many groups.
    pub(super) fn grow(&mut self, count: usize) {
        match self {
            Accumulator::Count(counts) => counts.resize(count, 0),
            Accumulator::Integer { groups, .. } => groups.resize(count, (0, 0)),
            Accumulator::Float { groups, .. } => groups.resize(count, FloatSum::default()),
            Accumulator::Word { groups, .. } => groups.resize(count, None),
            Accumulator::Bytes { groups, .. } => groups.resize(count, None),
        }
    }

    fn column(&self) -> Option<&ColumnPlace> {
        match self {
            Accumulator::Count(_) => None,
            Accumulator::Integer { column, .. }
            | Accumulator::Float { column, .. }
            | Accumulator::Word { column, .. }
            | Accumulator::Bytes { column, .. } => Some(column),
        }
    }

    /// The rows of `mask` in which the column has a value.
    fn present(&self, rows: &PageRows<'_>, mask: u32) -> u32 {
        self.column().map_or(mask, |column| mask & !rows.page.nulls(&rows.def.layout, column))
    }

    /// Adds the rows of `mask` to the first group.
    pub(super) fn add_all(&mut self, rows: &PageRows<'_>, mask: u32) {
        let mask = self.present(rows, mask);
        let found = u64::from(mask.count_ones());
        match self {
            Accumulator::Integer { column, groups } if matches!(column.place, Place::Fixed { .. }) => {
                if let Some((sum, count)) = groups.first_mut() {
                    *sum += integer_sum(rows, column, mask);
                    *count += found;
                }
            }
            Accumulator::Float { column, groups } => {
                if let Some(FloatSum { lanes, count }) = groups.first_mut() {
                    add_floats(rows, column, mask, lanes);
                    *count += found;
                }
            }
            _ => self.add_present(rows, mask, &[0; 32]),
        }
    }

    /// Adds each row of `mask` to the group that `slots` has at its position.
    pub(super) fn add(&mut self, rows: &PageRows<'_>, mask: u32, slots: &Slots) {
        let mask = self.present(rows, mask);
        self.add_present(rows, mask, slots);
    }

    fn add_present(&mut self, rows: &PageRows<'_>, mask: u32, slots: &Slots) {
        let slot = |at: usize| slots[at % 32] as usize;
        match self {
            Accumulator::Count(counts) => each_position(mask, |at| {
                if let Some(count) = counts.get_mut(slot(at)) {
                    *count += 1;
                }
            }),
            Accumulator::Integer { column, groups } => each_integer(rows, column, mask, |at, value| {
                if let Some((sum, count)) = groups.get_mut(slot(at)) {
                    *sum += value;
                    *count += 1;
                }
            }),
            Accumulator::Float { column, groups } => {
                let lane_of = lanes_of(rows, mask);
                each_float(rows, column, mask, |at, value| {
                    if let Some(FloatSum { lanes, count }) = groups.get_mut(slot(at)) {
                        lanes[lane_of[at % 32] as usize % LANES] += value;
                        *count += 1;
                    }
                });
            }
            Accumulator::Word { column, turn, groups } => each_order_word(rows, column, mask, |at, word| {
                let word = word ^ *turn;
                if let Some(best) = groups.get_mut(slot(at))
                    && best.is_none_or(|best| word < best)
                {
                    *best = Some(word);
                }
            }),
            Accumulator::Bytes { column, better, groups } => each_position(mask, |at| {
                let id = rows.id(at).to_le_bytes();
                let Some(bytes) = rows.value(column, at, &id) else { return };
                if let Some(best) = groups.get_mut(slot(at))
                    && best.as_ref().is_none_or(|best| compare_packed(column.ty, bytes, best) == *better)
                {
                    *best = Some(zeros_alike(column.ty, bytes));
                }
            }),
        }
    }

    /// What a group came to.
    pub(super) fn gathered(&mut self, group: usize) -> Gathered {
        match self {
            Accumulator::Count(counts) => Gathered::Count(counts.get(group).copied().unwrap_or(0)),
            Accumulator::Integer { groups, .. } => {
                let (sum, count) = groups.get(group).copied().unwrap_or_default();
                Gathered::Integer { sum, count }
            }
            Accumulator::Float { groups, .. } => {
                let total = groups.get(group).copied().unwrap_or_default();
                Gathered::Float { sum: total.sum(), count: total.count }
            }
            Accumulator::Word { column, turn, groups } => {
                let word = groups.get(group).copied().flatten().map(|word| word ^ *turn);
                Gathered::Extreme(word.and_then(|word| packed(column.ty, word)).map(Vec::from))
            }
            Accumulator::Bytes { groups, .. } => Gathered::Extreme(groups.get_mut(group).and_then(Option::take)),
        }
    }
}

fn fixed<'g>(rows: &PageRows<'g>, column: &ColumnPlace) -> &'g [u8] {
    match column.place {
        Place::Fixed { before, width } => rows.page.fixed_column(&rows.def.layout, before, width),
        _ => &[],
    }
}

/// The sum of a page's integers.
fn integer_sum(rows: &PageRows<'_>, column: &ColumnPlace, mask: u32) -> i128 {
    let values = fixed(rows, column);
    // Of up to 32 bits, 32 of them fit 64.
    macro_rules! sum {
        ($ty:ty as $wide:ty) => {{
            let mut sum: $wide = 0;
            each_value(values, mask, |_, bytes| sum += <$wide>::from(<$ty>::from_le_bytes(bytes)));
            i128::from(sum)
        }};
    }
    match column.ty {
        Type::I8 => sum!(i8 as i64),
        Type::I16 => sum!(i16 as i64),
        Type::I32 => sum!(i32 as i64),
        Type::I64 => sum!(i64 as i128),
        Type::U8 => sum!(u8 as i64),
        Type::U16 => sum!(u16 as i64),
        Type::U32 => sum!(u32 as i64),
        Type::U64 => sum!(u64 as i128),
        _ => 0,
    }
}

/// Adds the rows of `mask`.
fn add_floats(rows: &PageRows<'_>, column: &ColumnPlace, mask: u32, lanes: &mut [f64; LANES]) {
    // A copy, which stays in registers.
    let mut sums = *lanes;
    if rows.page.has_gaps() {
        let lane_of = lanes_of(rows, mask);
        each_float(rows, column, mask, |at, value| sums[lane_of[at % 32] as usize % LANES] += value);
    } else {
        each_float(rows, column, mask, |at, value| sums[at % LANES] += value);
    }
    *lanes = sums;
}

/// The lane of each position in `mask`.
#[inline]
fn lanes_of(rows: &PageRows<'_>, mask: u32) -> [u8; 32] {
    const WITHOUT_GAPS: [u8; 32] = {
        let mut lanes = [0; 32];
        let mut at = 0;
        while at < lanes.len() {
            lanes[at] = (at % LANES) as u8;
            at += 1;
        }
        lanes
    };
    let mut lanes = WITHOUT_GAPS;
    if !rows.page.has_gaps() {
        return lanes;
    }
    if mask.is_power_of_two() {
        let at = mask.trailing_zeros() as usize;
        lanes[at % 32] = (rows.page.index_of(at) % LANES) as u8;
        return lanes;
    }
    let mut live = rows.page.live();
    for lane in &mut lanes {
        // Behind the last row there is nothing to tell.
        *lane = (live.trailing_zeros() as usize % LANES) as u8;
        live &= live.wrapping_sub(1);
    }
    lanes
}

#[inline(always)]
fn each_float(rows: &PageRows<'_>, column: &ColumnPlace, mask: u32, mut visit: impl FnMut(usize, f64)) {
    let values = fixed(rows, column);
    match column.ty {
        Type::F32 => each_value(values, mask, |at, bytes| visit(at, f32::from_le_bytes(bytes).into())),
        _ => each_value(values, mask, |at, bytes| visit(at, f64::from_le_bytes(bytes))),
    }
}

#[inline(always)]
fn each_integer(rows: &PageRows<'_>, column: &ColumnPlace, mask: u32, mut visit: impl FnMut(usize, i128)) {
    if let Place::RowId { .. } = column.place {
        return each_word(rows, column, mask, |at, id| visit(at, id.into()));
    }
    let values = fixed(rows, column);
    macro_rules! each {
        ($ty:ty) => {
            each_value(values, mask, |at, bytes| visit(at, <$ty>::from_le_bytes(bytes).into()))
        };
    }
    match column.ty {
        Type::I8 => each!(i8),
        Type::I16 => each!(i16),
        Type::I32 => each!(i32),
        Type::I64 => each!(i64),
        Type::U8 => each!(u8),
        Type::U16 => each!(u16),
        Type::U32 => each!(u32),
        Type::U64 => each!(u64),
        _ => {}
    }
}

/// The values' places in their order; see [`key_u64`].
#[inline(always)]
fn each_order_word(rows: &PageRows<'_>, column: &ColumnPlace, mask: u32, mut visit: impl FnMut(usize, u64)) {
    let (values, ty) = (fixed(rows, column), column.ty);
    macro_rules! each {
        ($width:literal) => {
            each_value::<$width>(values, mask, |at, bytes| visit(at, key_u64(ty, &bytes).unwrap_or(0)))
        };
    }
    match column.ty.fixed_width() {
        Some(1) => each!(1),
        Some(2) => each!(2),
        Some(4) => each!(4),
        Some(8) => each!(8),
        _ => {}
    }
}
