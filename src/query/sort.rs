//! Sorting the rows of a query that no index has in order.

use super::order::Term;
use super::page::PageRows;
use crate::value::encode_key;

/// Gathers rows and answers their ids in order.
pub(super) struct Sorter<'t> {
    terms: &'t [Term],
    found: Vec<(Box<[u8]>, u64)>,
    key: Vec<u8>,
}

impl<'t> Sorter<'t> {
    pub(super) fn new(terms: &'t [Term], _at_most: Option<usize>) -> Self {
        Self { terms, found: Vec::new(), key: Vec::new() }
    }

    pub(super) fn add(&mut self, rows: &PageRows<'_>, mask: u32) {
        let mut left = mask;
        while left != 0 {
            let position = left.trailing_zeros() as usize;
            left &= left - 1;
            self.key.clear();
            let id = rows.id(position);
            for term in self.terms {
                encode_term(rows, term, position, &mut self.key);
            }
            self.found.push((self.key.as_slice().into(), id));
        }
    }

    pub(super) fn into_ids(mut self) -> Vec<u64> {
        self.found.sort();
        self.found.into_iter().map(|(_, id)| id).collect()
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
        encode_key(column.ty, true, rows.value(column, position, &id), key);
    }
}
