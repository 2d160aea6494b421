//! Iterating over the rows of a version, in the order of their ids or of their key, from both ends.

use super::definition::{IndexKind, IndexPlan, TableDef};
use super::index::ordered::KeyRef;
use super::key::KeyBuf;
use super::layout::{PAGE_ROWS, PAGE_SHIFT};
use super::reader::{Opened, pack_bound, row_id_of, view_of};
use super::row::Row;
use super::row_page::PageRef;
use super::spot::Spot;
use crate::error::Result;
use crate::page::{BlockRef, Guard, Held, TreeRef};
use crate::value::{Beyond, Columns, ToKey, encode_key, successor};
use std::ops::{Bound, ControlFlow};

/// The primary keys between two bounds.
pub(crate) enum KeySpan {
    /// There can be none.
    Empty,
    /// Row ids, both ends included.
    Ids(u64, u64),
    /// In the encoding of ordered indexes.
    Encoded(Bound<Vec<u8>>, Bound<Vec<u8>>),
}

/// Rows of one version, in order; see [`Reader::iter`](crate::Reader::iter).
///
/// Holds the version until it is dropped, as each of its rows does.
pub struct Rows<'a> {
    guard: Guard<'a>,
    slot: usize,
    def: &'a TableDef,
    order: Order<'a>,
}

impl std::fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("table", &self.def.name()).finish_non_exhaustive()
    }
}

enum Order<'a> {
    /// Ids from `next` to `last`, both included; `None` when all are given.
    ById { span: Option<(u64, u64)>, front: Option<Page<'a>>, back: Option<Page<'a>> },
    /// These ids.
    Listed(std::vec::IntoIter<u64>),
}

/// A page that the iterator is in.
struct Page<'a> {
    number: u64,
    held: Held<'a>,
}

impl<'a> Rows<'a> {
    /// Rows in the order of the primary key, or of row ids if there is none.
    pub(crate) fn in_key_order(opened: Opened<'a>, span: KeySpan) -> Self {
        let order = match span {
            KeySpan::Empty => Order::Listed(Vec::new().into_iter()),
            KeySpan::Ids(first, last) => Order::ById { span: Some((first, last)), front: None, back: None },
            KeySpan::Encoded(lower, upper) => {
                let bounds = (lower.as_ref().map(Vec::as_slice), upper.as_ref().map(Vec::as_slice));
                Order::Listed(ids_by_key(&opened, bounds).into_iter())
            }
        };
        let Opened { guard, slot, def } = opened;
        Self { guard, slot, def, order }
    }

    /// The rows with these ids; those that are gone are passed over.
    pub(crate) fn listed(opened: Opened<'a>, ids: Vec<u64>) -> Self {
        let Opened { guard, slot, def } = opened;
        Self { guard, slot, def, order: Order::Listed(ids.into_iter()) }
    }

    fn row(&self, id: u64) -> Option<Row<'a>> {
        let (slot, def) = (self.slot, self.def);
        let (held, spot) = self.guard.clone().hold(|root, _| view_of(root, slot, def).locate(id))?;
        Some(Row::new(held, def, spot, id))
    }

    fn page(&self, find: impl for<'g> FnOnce(TreeRef<'g>) -> Option<(u64, BlockRef<'g>)>) -> Option<Page<'a>> {
        let (slot, def) = (self.slot, self.def);
        let (held, number) = self.guard.clone().hold(|root, _| {
            let (number, block) = find(view_of(root, slot, def).rows())?;
            Some((block, number))
        })?;
        Some(Page { number, held })
    }

    fn next_by_id(&mut self) -> Option<Row<'a>> {
        loop {
            let Order::ById { span, front, .. } = &mut self.order else { return None };
            let (next, last) = (*span)?;
            if let Some(page) = front.take_if(|page| page.number == next >> PAGE_SHIFT) {
                let live = PageRef::new(page.held.block()).live() & (u32::MAX << (next as usize % PAGE_ROWS));
                if live != 0 {
                    let id = page.number << PAGE_SHIFT | u64::from(live.trailing_zeros());
                    *span = (id < last).then(|| (id + 1, last));
                    let row = (id <= last).then(|| self.row_of(&page, id)).flatten();
                    self.keep(page, true);
                    return row;
                }
                // On to the next page, if there is one.
                let after = (page.number + 1) << PAGE_SHIFT;
                *span = (after <= last && after != 0).then_some((after, last));
                continue;
            }
            let page = self.page(|tree| tree.at_or_after(next >> PAGE_SHIFT))?;
            let first = (page.number << PAGE_SHIFT).max(next);
            if let Order::ById { span, .. } = &mut self.order {
                *span = (first <= last).then_some((first, last));
            }
            self.keep(page, true);
        }
    }

    fn next_back_by_id(&mut self) -> Option<Row<'a>> {
        loop {
            let Order::ById { span, back, .. } = &mut self.order else { return None };
            let (next, last) = (*span)?;
            if let Some(page) = back.take_if(|page| page.number == last >> PAGE_SHIFT) {
                let upto = u32::MAX >> (PAGE_ROWS - 1 - last as usize % PAGE_ROWS);
                let live = PageRef::new(page.held.block()).live() & upto;
                if live != 0 {
                    let id = page.number << PAGE_SHIFT | u64::from(live.ilog2());
                    *span = (id > next).then(|| (next, id - 1));
                    let row = (id >= next).then(|| self.row_of(&page, id)).flatten();
                    self.keep(page, false);
                    return row;
                }
                let before = (page.number << PAGE_SHIFT).checked_sub(1);
                *span = before.filter(|&before| before >= next).map(|before| (next, before));
                continue;
            }
            let page = self.page(|tree| tree.at_or_before(last >> PAGE_SHIFT))?;
            let upto = (page.number << PAGE_SHIFT | (PAGE_ROWS as u64 - 1)).min(last);
            if let Order::ById { span, .. } = &mut self.order {
                *span = (upto >= next).then_some((next, upto));
            }
            self.keep(page, false);
        }
    }

    fn row_of(&self, page: &Page<'a>, id: u64) -> Option<Row<'a>> {
        let spot = Spot::find(page.held.block(), id)?;
        Some(Row::new(page.held.clone(), self.def, spot, id))
    }

    fn keep(&mut self, page: Page<'a>, at_front: bool) {
        if let Order::ById { front, back, .. } = &mut self.order {
            *(if at_front { front } else { back }) = Some(page);
        }
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        loop {
            let id = match &mut self.order {
                Order::ById { .. } => return self.next_by_id(),
                Order::Listed(ids) => ids.next()?,
            };
            if let found @ Some(_) = self.row(id) {
                return found;
            }
        }
    }
}

impl DoubleEndedIterator for Rows<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            let id = match &mut self.order {
                Order::ById { .. } => return self.next_back_by_id(),
                Order::Listed(ids) => ids.next_back()?,
            };
            if let found @ Some(_) = self.row(id) {
                return found;
            }
        }
    }
}

impl KeySpan {
    /// What a user's bounds mean for this table's key.
    pub(crate) fn new(def: &TableDef, lower: Bound<&dyn ToKey>, upper: Bound<&dyn ToKey>) -> Result<Self> {
        // Both are looked at before either decides, so that an error does not hide behind an empty span.
        if def.has_key_index {
            let pack = |key: &dyn ToKey| pack_bound(def, key);
            Ok(Self::encoded(def, try_map(lower, pack)?, try_map(upper, pack)?))
        } else {
            let id = |key: &dyn ToKey| row_id_of(def, key);
            Ok(Self::ids(try_map(lower, id)?, try_map(upper, id)?))
        }
    }

    /// Of row ids; `None` is one below zero.
    fn ids(lower: Bound<Option<u64>>, upper: Bound<Option<u64>>) -> Self {
        let first = match lower {
            Bound::Included(Some(id)) => Some(id),
            Bound::Excluded(Some(id)) => id.checked_add(1),
            _ => Some(0),
        };
        let last = match upper {
            Bound::Included(id) => id,
            Bound::Excluded(id) => id.and_then(|id| id.checked_sub(1)),
            Bound::Unbounded => Some(u64::MAX),
        };
        match (first, last) {
            (Some(first), Some(last)) if first <= last => Self::Ids(first, last),
            _ => Self::Empty,
        }
    }

    fn encoded(def: &TableDef, lower: Bound<KeyBuf>, upper: Bound<KeyBuf>) -> Self {
        let Some(lower) = encoded(def, &lower, End::Lower) else { return Self::Empty };
        Self::Encoded(lower, encoded(def, &upper, End::Upper).unwrap_or(Bound::Unbounded))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Lower,
    Upper,
}

/// A bound among encoded keys. One that no row can have, and one that has the first columns' values alone, lies between two:
/// before all keys that begin as it does, up to the value that does not fit, or behind them. `None` is behind all keys.
fn encoded(def: &TableDef, bound: &Bound<KeyBuf>, end: End) -> Option<Bound<Vec<u8>>> {
    let (Bound::Included(key) | Bound::Excluded(key)) = bound else { return Some(Bound::Unbounded) };
    let bytes = key.encode(def, def.schema.primary_key());
    let is_behind = match key.beyond() {
        Some(side) => side == Beyond::Above,
        None if key.len() < def.schema.primary_key().len() => {
            matches!((bound, end), (Bound::Excluded(_), End::Lower) | (Bound::Included(_), End::Upper))
        }
        None => return Some(bound.as_ref().map(|_| bytes)),
    };
    let place = if is_behind { successor(&bytes)? } else { bytes };
    Some(if end == End::Lower { Bound::Included(place) } else { Bound::Excluded(place) })
}

fn try_map<T>(bound: Bound<&dyn ToKey>, map: impl Fn(&dyn ToKey) -> Result<T>) -> Result<Bound<T>> {
    Ok(match bound {
        Bound::Included(key) => Bound::Included(map(key)?),
        Bound::Excluded(key) => Bound::Excluded(map(key)?),
        Bound::Unbounded => Bound::Unbounded,
    })
}

/// The index that has the rows in the order of the key, and its kind.
fn key_order(def: &TableDef) -> Option<(usize, IndexKind)> {
    let is_it = |plan: &IndexPlan| {
        matches!(plan.kind, IndexKind::OrderedWord | IndexKind::OrderedBytes)
            && *plan.columns == *def.schema.primary_key()
    };
    def.indexes.iter().enumerate().find(|(_, plan)| is_it(plan)).map(|(index, plan)| (index, plan.kind))
}

/// The word that an index has for a key of one number, which has no nulls: its encoding is that word, big endian.
fn word(encoded: &[u8]) -> u64 {
    encoded.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Row ids in the order of a key that is no row id.
fn ids_by_key(opened: &Opened<'_>, (lower, upper): (Bound<&[u8]>, Bound<&[u8]>)) -> Vec<u64> {
    let def = opened.def;
    let view = opened.view();
    let mut ids = Vec::new();
    if let Some((index, kind)) = key_order(def)
        && let Some(tree) = view.ordered_index(index)
    {
        let key = |bytes| if kind == IndexKind::OrderedWord { KeyRef::U64(word(bytes)) } else { KeyRef::Bytes(bytes) };
        let _ = tree.scan(lower.map(key), upper.map(key), false, |_, id| {
            ids.push(id);
            ControlFlow::<()>::Continue(())
        });
        return ids;
    }
    let key = def.schema.primary_key();
    let mut keys: Vec<(Vec<u8>, u64)> = Vec::new();
    let mut encoded = Vec::new();
    let _ = view.rows().scan(0, u64::MAX, |number, block| {
        let page = PageRef::new(block);
        for position in 0..page.rows() {
            let row = page.row(&def.layout, number, position);
            encoded.clear();
            for &column in key {
                encode_key(super::key::type_of(def, column), false, row.column_bytes(column), &mut encoded);
            }
            if std::ops::RangeBounds::<[u8]>::contains(&(lower, upper), encoded.as_slice()) {
                keys.push((encoded.clone(), row.id()));
            }
        }
        ControlFlow::<()>::Continue(())
    });
    keys.sort_unstable();
    keys.into_iter().map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, Index, Schema};
    use crate::value::HashSeed;

    #[test]
    fn an_ordered_index_over_the_key_has_its_order_whatever_the_types() {
        let builder = || Schema::builder("t").column(Column::u8("n")).index(Index::ordered(["n"]));
        let schemas = [
            (builder().column(Column::i32("k").primary_key()).index(Index::ordered(["k"])), IndexKind::OrderedWord),
            (builder().column(Column::f64("k").primary_key()).index(Index::ordered(["k"])), IndexKind::OrderedWord),
            (
                builder().column(Column::timestamp("k").primary_key()).index(Index::ordered(["k"])),
                IndexKind::OrderedWord,
            ),
            (builder().column(Column::string("k").primary_key()).index(Index::ordered(["k"])), IndexKind::OrderedBytes),
        ];
        for (schema, kind) in schemas {
            let def = TableDef::new(schema.build().unwrap(), HashSeed::fixed(1));
            assert_eq!(key_order(&def), Some((2, kind)), "behind the key's own and that of `n`");
        }
        let both = builder().column(Column::u8("m")).primary_key(["n", "m"]).index(Index::ordered(["m", "n"]));
        assert_eq!(key_order(&TableDef::new(both.build().unwrap(), HashSeed::fixed(1))), None);
    }
}
