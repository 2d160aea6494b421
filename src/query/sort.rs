//! Sorting the rows of a query that no index has in order.
//!
//! Rows are added by rising id, and what is kept is a sort key and the id. With a bound on how many are wanted, a heap
//! keeps the best: a row that is no better than the worst of them is let go, and as equal rows go by id, a later one has
//! to be truly better.

use super::mask::each_bit;
use super::order::Term;
use super::page::PageRows;
use super::test::Span;
use super::words::packed;
use crate::schema::holds_nan;
use crate::table::definition::TableDef;
use crate::table::layout::{ColumnPlace, Place};
use crate::value::{canonical, encode_key, key_u64};
use std::collections::BinaryHeap;
use std::ops::Bound;

/// Gathers rows and answers their ids in order.
pub(super) enum Sorter<'t> {
    Words(Words),
    Bytes(Keys<'t>),
}

impl<'t> Sorter<'t> {
    /// A sorter by these terms that keeps the first `keep` rows, or all.
    pub(super) fn new(def: &TableDef, terms: &'t [Term], keep: Option<u64>) -> Self {
        let keep = keep.and_then(|keep| usize::try_from(keep).ok());
        if let [term] = terms
            && let Some(column) = def.layout.column(term.column)
            && let Place::Fixed { before, width } = column.place
            && width <= 8
            && term.ty.scalar().is_some()
        {
            let threshold = Threshold::None;
            return Sorter::Words(Words {
                term: *term,
                column: *column,
                at: (before, width),
                kept: Kept::new(keep),
                nulls: Vec::new(),
                threshold,
            });
        }
        Sorter::Bytes(Keys { terms, kept: Kept::new(keep), key: Vec::new() })
    }

    /// Adds rows, whose ids are above those added before.
    pub(super) fn add(&mut self, rows: &PageRows<'_>, mask: u32) {
        match self {
            Sorter::Words(words) => words.add(rows, mask),
            Sorter::Bytes(keys) => keys.add(rows, mask),
        }
    }

    pub(super) fn into_ids(self) -> Vec<u64> {
        match self {
            Sorter::Words(words) => words.into_ids(),
            Sorter::Bytes(keys) => keys.kept.into_ids().collect(),
        }
    }
}

/// What is kept: all rows, or the least so many.
struct Kept<K> {
    keep: Option<usize>,
    all: Vec<(K, u64)>,
    /// The greatest of the kept on top.
    least: BinaryHeap<(K, u64)>,
}

impl<K: Ord> Kept<K> {
    fn new(keep: Option<usize>) -> Self {
        Self { keep, all: Vec::new(), least: BinaryHeap::new() }
    }

    /// The key that a row has to be below, once as many are kept as are wanted.
    #[inline]
    fn bound(&self) -> Option<&K> {
        match self.keep {
            Some(keep) if self.least.len() >= keep => self.least.peek().map(|(key, _)| key),
            _ => None,
        }
    }

    fn push(&mut self, key: K, id: u64) {
        let Some(keep) = self.keep else { return self.all.push((key, id)) };
        if self.least.len() < keep {
            self.least.push((key, id));
        } else if let Some(mut top) = self.least.peek_mut() {
            *top = (key, id);
        }
    }

    fn into_ids(mut self) -> impl Iterator<Item = u64> {
        self.all.extend(self.least);
        self.all.sort_unstable();
        self.all.into_iter().map(|(_, id)| id)
    }
}

/// Sorting by one number: keys are words.
pub(super) struct Words {
    term: Term,
    column: ColumnPlace,
    at: (usize, usize),
    kept: Kept<u64>,
    nulls: Vec<u64>,
    threshold: Threshold,
}

/// Which numbers are still good enough.
enum Threshold {
    /// All: not enough rows yet, or a number that has no span.
    None,
    Within(Span),
    /// Not these, nor what is in no span.
    Outside(Span),
    /// There can be no better ones.
    Nothing,
}

impl Words {
    fn add(&mut self, rows: &PageRows<'_>, mask: u32) {
        let layout = &rows.def.layout;
        let nulls = rows.page.nulls(layout, &self.column) & mask;
        if nulls != 0 && self.kept.keep.is_none_or(|keep| self.nulls.len() < keep) {
            each_bit(nulls, |position| {
                self.nulls.push(rows.id(position));
                true
            });
        }
        let (before, width) = self.at;
        let column = rows.page.fixed_column(layout, before, width);
        let mask = mask & !nulls;
        let good = match &self.threshold {
            Threshold::None => mask,
            Threshold::Within(span) => span.mask(column, mask),
            Threshold::Outside(span) => mask & !span.mask(column, mask),
            Threshold::Nothing => 0,
        };
        if good != 0 {
            self.take(rows, column, good);
        }
    }

    fn take(&mut self, rows: &PageRows<'_>, column: &[u8], good: u32) {
        let width = self.at.1;
        let before = self.kept.bound().copied();
        each_bit(good, |position| {
            let bytes = column.get(position * width..(position + 1) * width).unwrap_or_default();
            let word = key_u64(self.term.ty, bytes).unwrap_or(0);
            let word = if self.term.descending { !word } else { word };
            if self.kept.bound().is_none_or(|bound| word < *bound) {
                self.kept.push(word, rows.id(position));
            }
            true
        });
        let bound = self.kept.bound().copied();
        if bound != before
            && let Some(bound) = bound
        {
            self.threshold = threshold(&self.term, bound);
        }
    }

    fn into_ids(self) -> Vec<u64> {
        let mut ids = Vec::new();
        let nulls_first = self.term.nulls_first;
        if nulls_first {
            ids.extend(&self.nulls);
        }
        ids.extend(self.kept.into_ids());
        if !nulls_first {
            ids.extend(&self.nulls);
        }
        ids
    }
}

/// The numbers whose sort word is below this one.
fn threshold(term: &Term, word: u64) -> Threshold {
    let word = if term.descending { !word } else { word };
    let Some(bytes) = packed(term.ty, word) else { return Threshold::None };
    if holds_nan(term.ty, &bytes) {
        // Descending, nothing is before NaN; ascending, everything else is.
        return if term.descending { Threshold::Nothing } else { Threshold::None };
    }
    if term.descending {
        match Span::new(term.ty, &Bound::Unbounded, &Bound::Included(bytes)) {
            Ok(Some(span)) => Threshold::Outside(span),
            _ => Threshold::None,
        }
    } else {
        match Span::new(term.ty, &Bound::Unbounded, &Bound::Excluded(bytes)) {
            Ok(Some(span)) => Threshold::Within(span),
            Ok(None) => Threshold::None,
            Err(_) => Threshold::Nothing,
        }
    }
}

/// Sorting by anything else: keys are bytes in the order of the terms.
pub(super) struct Keys<'t> {
    terms: &'t [Term],
    kept: Kept<Box<[u8]>>,
    key: Vec<u8>,
}

impl Keys<'_> {
    fn add(&mut self, rows: &PageRows<'_>, mask: u32) {
        each_bit(mask, |position| {
            self.key.clear();
            for term in self.terms {
                encode_term(rows, term, position, &mut self.key);
            }
            if self.kept.bound().is_none_or(|bound| self.key.as_slice() < &**bound) {
                self.kept.push(self.key.as_slice().into(), rows.id(position));
            }
            true
        });
    }
}

/// Appends bytes whose order is that of the term.
fn encode_term(rows: &PageRows<'_>, term: &Term, position: usize, key: &mut Vec<u8>) {
    let Some(column) = rows.def.layout.column(term.column) else { return };
    let id = rows.id(position).to_le_bytes();
    let value = rows.value(column, position, &id);
    if term.nullable {
        key.push(u8::from(value.is_some() == term.nulls_first));
    }
    let start = key.len();
    encode_key(term.ty, false, value, key);
    if term.descending {
        key.iter_mut().skip(start).for_each(|byte| *byte = !*byte);
    }
}

/// Appends bytes that are equal just for rows that are equal in these columns.
pub(super) fn distinct_key(rows: &PageRows<'_>, columns: &[usize], position: usize, key: &mut Vec<u8>) {
    let id = rows.id(position).to_le_bytes();
    for column in columns.iter().filter_map(|&column| rows.def.layout.column(column)) {
        let value = rows.value(column, position, &id).map(|bytes| canonical(column.ty, bytes));
        encode_key(column.ty, true, value.as_deref(), key);
    }
}
