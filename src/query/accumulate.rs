//! Gathering aggregates from pages, for all groups of a query at once.

use super::aggregate::Gathered;
use super::page::PageRows;
use crate::table::layout::ColumnPlace;
use crate::value::{Type, ValueRef, compare_packed};
use std::cmp::Ordering;

/// What is gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Count,
    Sum,
    Min,
    Max,
}

/// One aggregate, for each group.
pub(super) enum Accumulator {
    Count(Vec<u64>),
    Integer { column: ColumnPlace, groups: Vec<(i128, u64)> },
    Float { column: ColumnPlace, groups: Vec<(f64, u64)> },
    Extreme { column: ColumnPlace, better: Ordering, groups: Vec<Option<Vec<u8>>> },
}

impl Accumulator {
    pub(super) fn new(what: What, column: Option<ColumnPlace>) -> Self {
        match (what, column) {
            (What::Count, _) | (_, None) => Accumulator::Count(Vec::new()),
            (What::Sum, Some(column)) if matches!(column.ty, Type::F32 | Type::F64) => {
                Accumulator::Float { column, groups: Vec::new() }
            }
            (What::Sum, Some(column)) => Accumulator::Integer { column, groups: Vec::new() },
            (What::Min, Some(column)) => Accumulator::Extreme { column, better: Ordering::Less, groups: Vec::new() },
            (What::Max, Some(column)) => Accumulator::Extreme { column, better: Ordering::Greater, groups: Vec::new() },
        }
    }

    /// Makes room for so many groups.
    pub(super) fn grow(&mut self, groups: usize) {
        match self {
            Accumulator::Count(counts) => counts.resize(groups, 0),
            Accumulator::Integer { groups: sums, .. } => sums.resize(groups, (0, 0)),
            Accumulator::Float { groups: sums, .. } => sums.resize(groups, (0.0, 0)),
            Accumulator::Extreme { groups: found, .. } => found.resize(groups, None),
        }
    }

    /// Adds the rows of `mask` to the first group.
    pub(super) fn add_all(&mut self, rows: &PageRows<'_>, mask: u32) {
        self.add(rows, mask, &[0; 32]);
    }

    /// Adds each row of `mask` to the group that `slots` has at its position.
    pub(super) fn add(&mut self, rows: &PageRows<'_>, mask: u32, slots: &[u32; 32]) {
        let mut left = mask;
        while left != 0 {
            let position = left.trailing_zeros() as usize;
            left &= left - 1;
            let slot = slots[position] as usize;
            let id = rows.id(position).to_le_bytes();
            match self {
                Accumulator::Count(counts) => {
                    if let Some(count) = counts.get_mut(slot) {
                        *count += 1;
                    }
                }
                Accumulator::Integer { column, groups } => {
                    let Some(bytes) = rows.value(column, position, &id) else { continue };
                    let value = match column.ty.unpack(bytes) {
                        ValueRef::Int(value) => value.into(),
                        ValueRef::UInt(value) => i128::from(value),
                        _ => 0,
                    };
                    if let Some((sum, count)) = groups.get_mut(slot) {
                        *sum += value;
                        *count += 1;
                    }
                }
                Accumulator::Float { column, groups } => {
                    let Some(bytes) = rows.value(column, position, &id) else { continue };
                    let ValueRef::Float(value) = column.ty.unpack(bytes) else { continue };
                    if let Some((sum, count)) = groups.get_mut(slot) {
                        *sum += value;
                        *count += 1;
                    }
                }
                Accumulator::Extreme { column, better, groups } => {
                    let Some(bytes) = rows.value(column, position, &id) else { continue };
                    let Some(best) = groups.get_mut(slot) else { continue };
                    if best.as_ref().is_none_or(|best| compare_packed(column.ty, bytes, best) == *better) {
                        *best = Some(bytes.to_vec());
                    }
                }
            }
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
                let (sum, count) = groups.get(group).copied().unwrap_or_default();
                Gathered::Float { sum, count }
            }
            Accumulator::Extreme { groups, .. } => Gathered::Extreme(groups.get_mut(group).and_then(Option::take)),
        }
    }
}
