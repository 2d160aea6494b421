//! Numbering groups: from the values of a row's key columns to the number of its group.
//!
//! A lone column of 8 or 16 bits, or a bool, is looked up in an array. Other keys go through a hash table: packed into a
//! word of 128 bits where they fit one, else as bytes.

use super::accumulate::Slots;
use super::condition::column_of;
use super::page::PageRows;
use super::pick::Pick;
use super::predicate::Handle;
use super::sort::distinct_key;
use super::words::{each_position, each_word, word_bytes};
use crate::error::Result;
use crate::table::definition::TableDef;
use crate::table::layout::ColumnPlace;
use crate::value::{canonical, compare_packed};
use foldhash::fast::FixedState;
use std::collections::HashMap;

/// No group yet.
const NONE: u32 = u32::MAX;

/// See the module.
pub(super) struct Grouper {
    columns: Vec<ColumnPlace>,
    places: Vec<usize>,
    numbers: Numbers,
    /// The packed key of each group.
    keys: Vec<Vec<Option<Vec<u8>>>>,
}

enum Numbers {
    /// By value; the last place is null's.
    Array(Vec<u32>),
    /// By the columns' words, each shifted; one bit more says that it is null.
    Words {
        shifts: Vec<u32>,
        numbers: HashMap<u128, u32, FixedState>,
    },
    Bytes {
        numbers: HashMap<Box<[u8]>, u32, FixedState>,
        key: Vec<u8>,
    },
}

impl Grouper {
    pub(super) fn new(def: &TableDef, key: &[Handle]) -> Result<Self> {
        let places = key.iter().map(|&handle| Ok(column_of(def, handle)?.0)).collect::<Result<Vec<_>>>()?;
        let columns: Vec<ColumnPlace> = places.iter().filter_map(|&place| def.layout.column(place).copied()).collect();
        let hasher = FixedState::with_seed(super::seed());
        let (mut bits, mut shifts) = (0, Vec::new());
        for column in &columns {
            shifts.push(bits);
            bits += word_bytes(column).map_or(1000, |bytes| 8 * bytes as u32) + u32::from(column.nulls.is_some());
        }
        let numbers = match columns.as_slice() {
            [column] if word_bytes(column).is_some_and(|bytes| bytes <= 2) => {
                let values = if word_bytes(column) == Some(1) { 1 << 8 } else { 1 << 16 };
                Numbers::Array(vec![NONE; values + 1])
            }
            _ if bits <= u128::BITS => Numbers::Words { shifts, numbers: HashMap::with_hasher(hasher) },
            _ => Numbers::Bytes { numbers: HashMap::with_hasher(hasher), key: Vec::new() },
        };
        Ok(Self { columns, places, numbers, keys: Vec::new() })
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The groups of the rows of `mask`.
    pub(super) fn slots(&mut self, rows: &PageRows<'_>, mask: u32, slots: &mut Slots) {
        let (columns, keys) = (&self.columns, &mut self.keys);
        let mut new_group = |position: usize| {
            let id = rows.id(position).to_le_bytes();
            let value =
                |column: &ColumnPlace| Some(canonical(column.ty, rows.value(column, position, &id)?).into_owned());
            keys.push(columns.iter().map(value).collect());
            (keys.len() - 1) as u32
        };
        match (&mut self.numbers, columns.as_slice()) {
            (Numbers::Array(numbers), [column]) => {
                let mut take = |at: usize, value: usize| {
                    let Some(number) = numbers.get_mut(value) else { return };
                    if *number == NONE {
                        *number = new_group(at);
                    }
                    slots[at % 32] = *number;
                };
                let nulls = mask & rows.page.nulls(&rows.def.layout, column);
                each_word(rows, column, mask & !nulls, |at, word| take(at, word as usize));
                let null = if word_bytes(column) == Some(1) { 1 << 8 } else { 1 << 16 };
                each_position(nulls, |at| take(at, null));
            }
            (Numbers::Words { shifts, numbers }, columns) => {
                let mut words = [0u128; 32];
                for (column, &shift) in columns.iter().zip(&*shifts) {
                    let nulls = mask & rows.page.nulls(&rows.def.layout, column);
                    each_word(rows, column, mask & !nulls, |at, word| words[at % 32] |= u128::from(word) << shift);
                    let width = word_bytes(column).map_or(0, |bytes| 8 * bytes as u32);
                    each_position(nulls, |at| words[at % 32] |= 1 << (shift + width));
                }
                each_position(mask, |at| {
                    slots[at % 32] = *numbers.entry(words[at % 32]).or_insert_with(|| new_group(at));
                });
            }
            (Numbers::Bytes { numbers, key }, _) => each_position(mask, |at| {
                key.clear();
                distinct_key(rows, &self.places, at, key);
                slots[at % 32] = match numbers.get(key.as_slice()) {
                    Some(&number) => number,
                    None => {
                        let number = new_group(at);
                        numbers.insert(key.as_slice().into(), number);
                        number
                    }
                };
            }),
            (Numbers::Array(_), _) => {}
        }
    }

    /// The groups in the order of their keys.
    pub(super) fn sorted(&self) -> Vec<usize> {
        let mut order: Vec<(usize, &Vec<Option<Vec<u8>>>)> = self.keys.iter().enumerate().collect();
        order.sort_unstable_by(|(first, a), (second, b)| {
            let parts = self.columns.iter().zip(a.iter().zip(b.iter()));
            let mut orders = parts.map(|(column, parts)| match parts {
                (Some(a), Some(b)) => compare_packed(column.ty, a, b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            });
            orders.find(|order| order.is_ne()).unwrap_or_else(|| first.cmp(second))
        });
        order.into_iter().map(|(group, _)| group).collect()
    }

    /// The key of a group.
    pub(super) fn key_of<K: Pick>(&mut self, key: &K, group: usize) -> K::Output {
        let mut parts = self.take_key(group);
        key.of_parts(&mut || parts.next().flatten())
    }

    fn take_key(&mut self, group: usize) -> std::vec::IntoIter<Option<Vec<u8>>> {
        self.keys.get_mut(group).map(std::mem::take).unwrap_or_default().into_iter()
    }
}
