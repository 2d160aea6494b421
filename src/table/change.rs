//! Changing one table of the running write: rows, their indexes and their counts, always together.
//!
//! A change is checked whole before the first block is touched; from then on only memory can run out, which fails the
//! transaction as a whole.
//!
//! - C1: after each call rows, every index, the row count, the counts in the tree and the bytes kept agree.
//! - C2: the table's `next_id` is above the id of every row that it has or had; what writes rolled back came to is the
//!   [`Sequence`]'s.

use super::build::check_no_nan;
use super::definition::{IndexKind, IndexPlan, TableDef};
use super::index::META_BYTES;
use super::index::hash::{HashIndex, HashMeta};
use super::index::ordered::{KeyKind, OrderedIndex, OrderedMeta, Put};
use super::key::{IndexKey, KEY_BYTES_MAX, RowKeys, describe_key, index_key, row_hash};
use super::layout::{INLINE_MAX, PAGE_ROWS, PAGE_SHIFT, Place};
use super::page_edit::{Splice, overwrite, splice};
use super::patch::Patched;
use super::row_page::PageRef;
use super::sequence::Sequence;
use super::version::{Entry, INDEX_RECORD};
use super::view::TableView;
use crate::error::{Error, Result};
use crate::page::{BLOCK_BYTES_MAX, Link, OutOfMemory, Pages, Tree};
use crate::value::{Columns, RowBuf};
use std::convert::Infallible;

/// The most rows one table can hold.
pub(crate) const ROWS_MAX: u64 = u32::MAX as u64;

impl From<OutOfMemory> for Error {
    fn from(error: OutOfMemory) -> Self {
        Error::OutOfMemory { bytes: error.bytes }
    }
}

/// A table of the running write.
pub(crate) struct TableMut<'l, 'p> {
    pub(crate) def: &'l TableDef,
    pub(crate) sequence: &'l Sequence,
    pub(crate) pages: &'p mut Pages,
    pub(crate) rows: &'l mut Option<Link>,
    pub(crate) indexes: &'l mut Option<Link>,
    pub(crate) entry: &'l mut Entry,
}

/// A row's move in one index.
struct Move {
    index: usize,
    from: IndexKey,
    to: IndexKey,
}

impl TableMut<'_, '_> {
    /// The table as this write has left it.
    pub(crate) fn view(&self) -> TableView<'_> {
        TableView::from_parts(self.def, *self.entry, self.rows.as_ref(), self.indexes.as_ref())
    }

    /// Stores a complete, checked row and answers its id. An auto-increment key that is not set is given here.
    pub(crate) fn insert(&mut self, row: &mut RowBuf) -> Result<u64> {
        self.check_room(1)?;
        self.pages.check_reserve()?;
        check_values(self.def, row)?;
        let id = self.id_for(row)?;
        self.insert_at(id, row)?;
        Ok(id)
    }

    /// Stores a whole row of checked values at this id, if no row has it.
    pub(super) fn insert_unless_taken(&mut self, id: u64, row: &mut RowBuf) -> Result<()> {
        if self.view().row(id).is_some() {
            return Err(self.key_taken(id));
        }
        self.insert_at(id, row)
    }

    /// Stores a checked row at an id that no row has.
    #[inline]
    fn insert_at(&mut self, id: u64, row: &mut RowBuf) -> Result<()> {
        self.number(id, row);
        let keys = self.keys_of(row)?;
        self.check_unique(row, &keys, None)?;
        self.take_id(id);
        self.store(id, row, &keys)?;
        Ok(())
    }

    /// Stores a whole row of checked values at this id, whether or not a row is there. Refuses what no index can hold. That
    /// they do not become too many is for the caller to [`check`](TableMut::check_room), when all is put and removed.
    pub(crate) fn put(&mut self, id: u64, row: &mut RowBuf) -> Result<()> {
        let found = self.view().row(id).is_some();
        if id > self.last_id_stored() {
            return Err(self.def.exhausted());
        }
        self.number(id, row);
        for plan in &self.def.indexes {
            check_no_nan(self.def, plan, row)?;
        }
        if found {
            return self.replace(id, row).map(drop);
        }
        check_values(self.def, row)?;
        self.insert_at(id, row)
    }

    /// Gives the row `id` the checked values that `row` sets, none of which is a key that is the row id, by the rules of
    /// [`TableMut::put`]. Answers whether there is such a row.
    pub(crate) fn patch(&mut self, id: u64, row: &mut RowBuf) -> Result<bool> {
        if self.view().row(id).is_none() {
            return Ok(false);
        }
        for plan in &self.def.indexes {
            check_no_nan(self.def, plan, row)?;
        }
        self.replace(id, row).map(|_| true)
    }

    /// Sees to it that no id below this one is given, if this write is committed.
    pub(crate) fn raise_next_id(&mut self, next_id: u64) {
        self.entry.next_id = self.entry.next_id.max(next_id);
    }

    /// Stores complete, checked rows without keys of their own at the next ids: at most what is left of one page. All
    /// or none. Answers the first id.
    pub(crate) fn append(&mut self, rows: &mut [RowBuf]) -> Result<u64, (usize, Error)> {
        let first = self.next_id().map_err(|error| (0, error))?;
        let left = self.def.last_id - first;
        if rows.len() as u64 > left.saturating_add(1) {
            return Err((left as usize + 1, self.def.exhausted()));
        }
        self.check_room(rows.len() as u64).map_err(|error| (0, error))?;
        self.pages.check_reserve().map_err(|error| (0, error.into()))?;
        // Pages do not store the key that is the row id: only an index that has it asks for it.
        if let Some(column) = self.def.row_id
            && self.def.indexes.iter().any(|plan| plan.columns.contains(&column))
        {
            for (row, id) in rows.iter_mut().zip(first..) {
                self.number(id, row);
            }
        }
        let keys = self.check_batch(first, rows)?;
        let next = first + rows.len() as u64;
        self.sequence.give(next);
        self.raise_next_id(next);
        self.append_checked(first, rows, &keys).map_err(|error| (0, error.into()))?;
        Ok(first)
    }

    /// How many rows [`TableMut::append`] takes now.
    pub(crate) fn append_room(&self) -> usize {
        PAGE_ROWS - self.lowest_free() as usize % PAGE_ROWS
    }

    /// The id that comes next: the lowest never given, be there a key for it or not.
    pub(crate) fn lowest_free(&self) -> u64 {
        self.sequence.next(self.entry.next_id, self.def.last_id)
    }

    /// Checks the rows against the table and one another. Answers their keys, all of the first index, then all of the
    /// second, and so on.
    fn check_batch(&self, first: u64, rows: &[RowBuf]) -> Result<Vec<IndexKey>, (usize, Error)> {
        let view = self.view();
        let mut keys = Vec::with_capacity(rows.len() * self.def.indexes.len());
        for (place, row) in rows.iter().enumerate() {
            check_values(self.def, row).map_err(|error| (place, error))?;
        }
        for (index, plan) in self.def.indexes.iter().enumerate() {
            let start = keys.len();
            for (place, row) in rows.iter().enumerate() {
                keys.push(checked_key(self.def, plan, row).map_err(|error| (place, error))?);
            }
            if !plan.unique {
                continue;
            }
            let keys = &keys[start..];
            for (key, id) in keys.iter().zip(first..) {
                view.prefetch_entry(index, plan, key, id);
            }
            let mut seen = Seen::default();
            for (place, row) in rows.iter().enumerate() {
                let is_same = |(key, other): (&IndexKey, &RowBuf)| {
                    *key == keys[place] && same_columns(self.def, plan, row, other)
                };
                let within = seen.may_hold(&keys[place])
                    && plan.columns.iter().all(|&column| row.column_bytes(column).is_some())
                    && keys[..place].iter().zip(rows).any(is_same);
                if within || view.conflict(index, &keys[place], row, None).is_some() {
                    return Err((place, self.unique_error(plan, row)));
                }
            }
        }
        Ok(keys)
    }

    fn append_checked(&mut self, first: u64, rows: &[RowBuf], keys: &[IndexKey]) -> Result<(), OutOfMemory> {
        let number = first >> PAGE_SHIFT;
        let start = first as usize % PAGE_ROWS;
        let layout = &self.def.layout;
        let added = (((1u64 << rows.len()) - 1) << start) as u32;
        self.change_page(number, |pages, slot| {
            let old = slot.take();
            let (live, old_rows) = old.as_ref().map_or((0, 0), |old| {
                let page = PageRef::new(old.block());
                (page.live(), page.rows())
            });
            let change = Splice { at: old_rows, removed: 0, rows };
            *slot = Some(splice(pages, layout, old, live | added, change)?);
            Ok((rows.len() as i64, ()))
        })?;
        self.entry.rows += rows.len() as u64;
        let def = self.def;
        let Some(mut indexes) = self.indexes_mut()? else { return Ok(()) };
        for ((index, plan), keys) in def.indexes.iter().enumerate().zip(keys.chunks(rows.len().max(1))) {
            indexes.insert(index, plan, keys.iter().zip(first..))?;
        }
        Ok(())
    }

    /// Gives the row `id`, which is there, the values that `row` sets, which have been checked. Answers its id, which
    /// changes with a key that is the row id. `row` may come back with more or fewer columns set than it had.
    pub(crate) fn replace(&mut self, id: u64, row: &mut RowBuf) -> Result<u64> {
        let wanted = self.id_of(id, row)?;
        if wanted != id {
            return self.renumber(id, wanted, row);
        }
        let view = self.view();
        let Some(old) = view.row(id) else { return Err(self.no_row(id)) };
        old.page().block().prefetch_all();
        check_values(self.def, row)?;
        // What stays as it is need not be written, nor its indexes looked at: only what changes is left set.
        let (mut changes, mut in_place) = (false, true);
        let mut next = row.set_at_or_after(0);
        while let Some(column) = next {
            let (was, is) = (old.column_bytes(column), row.column_bytes(column));
            if self.def.row_id == Some(column) || was == is {
                row.unset(self.def.schema.shape(), column);
            } else {
                changes = true;
                in_place &= self.is_same_room(column, was, is);
            }
            next = row.set_at_or_after(column + 1);
        }
        if !changes {
            return Ok(id);
        }
        let new = Patched { patch: row, old: &old };
        let mut moves = Vec::new();
        for (index, plan) in self.def.indexes.iter().enumerate() {
            if !plan.columns.iter().any(|&column| row.is_set(column)) {
                continue;
            }
            let to = checked_key(self.def, plan, &new)?;
            let from = index_key(self.def, plan, &old);
            view.prefetch_entry(index, plan, &to, id);
            view.prefetch_entry(index, plan, &from, id);
            if plan.unique && view.conflict(index, &to, &new, Some(id)).is_some() {
                return Err(self.unique_error(plan, &new));
            }
            moves.push(Move { index, from, to });
        }
        if !in_place {
            // A large value that stays as it is stays where it is.
            let is_large = |value: Option<&[u8]>| value.is_some_and(|value| value.len() > INLINE_MAX);
            fill_where(self.def, row, &old, |value| !is_large(value))?;
        }
        self.write_row(id, row, in_place)?;
        let def = self.def;
        moves.retain(|Move { from, to, .. }| from != to);
        if !moves.is_empty()
            && let Some(mut indexes) = self.indexes_mut()?
        {
            for Move { index, from, to } in &moves {
                let plan = &def.indexes[*index];
                indexes.remove(*index, plan, from, id)?;
                indexes.insert(*index, plan, std::iter::once((to, id)))?;
            }
        }
        Ok(id)
    }

    /// Whether a column's new value takes exactly the old one's place in the page.
    fn is_same_room(&self, column: usize, was: Option<&[u8]>, is: Option<&[u8]>) -> bool {
        match self.def.layout.column(column).map(|column| column.place) {
            Some(Place::Variable { .. }) => {
                let (was, is) = (was.map_or(0, <[u8]>::len), is.map_or(0, <[u8]>::len));
                was == is && is <= INLINE_MAX
            }
            _ => true,
        }
    }

    fn write_row(&mut self, id: u64, row: &RowBuf, in_place: bool) -> Result<(), OutOfMemory> {
        let layout = &self.def.layout;
        if in_place {
            let tree = Tree::new(self.rows, &mut self.entry.height);
            let Some(link) = tree.page_mut(self.pages, id >> PAGE_SHIFT)? else { return Ok(()) };
            let Some(position) = PageRef::new(link.block()).position(id) else { return Ok(()) };
            return overwrite(self.pages, layout, link, position, row);
        }
        self.change_page(id >> PAGE_SHIFT, |pages, slot| {
            let Some(link) = slot.take() else { return Ok((0, ())) };
            let page = PageRef::new(link.block());
            let Some(position) = page.position(id) else {
                *slot = Some(link);
                return Ok((0, ()));
            };
            let live = page.live();
            let change = Splice { at: position, removed: 1, rows: std::slice::from_ref(row) };
            *slot = Some(splice(pages, layout, Some(link), live, change)?);
            Ok((0, ()))
        })
    }

    /// Moves a row to another id, since its key is the id.
    fn renumber(&mut self, id: u64, wanted: u64, row: &mut RowBuf) -> Result<u64> {
        check_values(self.def, row)?;
        if self.view().row(wanted).is_some() {
            return Err(self.key_taken(wanted));
        }
        let view = self.view();
        let Some(old) = view.row(id) else { return Err(self.no_row(id)) };
        fill(self.def, row, &old)?;
        let keys = self.keys_of(row)?;
        self.check_unique(row, &keys, Some(id))?;
        self.take_id(wanted);
        self.remove(id)?;
        self.store(wanted, row, &keys)?;
        Ok(wanted)
    }

    /// Removes the row `id`. Answers whether it was there.
    pub(crate) fn remove(&mut self, id: u64) -> Result<bool> {
        self.pages.freeing(true);
        let removed = self.remove_with_keys(id);
        self.pages.freeing(false);
        removed
    }

    fn remove_with_keys(&mut self, id: u64) -> Result<bool> {
        let view = self.view();
        let Some(old) = view.row(id) else { return Ok(false) };
        old.page().block().prefetch_all();
        let keys = RowKeys::new(&self.def.indexes, |plan| Ok::<_, Infallible>(index_key(self.def, plan, &old)));
        let Ok(keys) = keys;
        for ((index, plan), key) in self.def.indexes.iter().enumerate().zip(&*keys) {
            view.prefetch_entry(index, plan, key, id);
        }
        let layout = &self.def.layout;
        self.change_page(id >> PAGE_SHIFT, |pages, slot| {
            let Some(link) = slot.take() else { return Ok((0, ())) };
            let page = PageRef::new(link.block());
            let live = page.live() & !(1 << (id as usize % PAGE_ROWS));
            let position = page.rank(id);
            if live == 0 {
                pages.discard_flat(link);
            } else {
                let change = Splice { at: position, removed: 1, rows: &[] };
                *slot = Some(splice(pages, layout, Some(link), live, change)?);
            }
            Ok((-1, ()))
        })?;
        self.entry.rows -= 1;
        self.remove_keys(&keys, id)?;
        Ok(true)
    }

    /// Removes all rows; ids go on from where they were. Cost: O(1) now, the memory is given back in slices.
    pub(crate) fn clear(&mut self) -> Result<()> {
        if let Some(rows) = self.rows.take() {
            self.pages.discard(rows);
        }
        self.entry.height = 0;
        self.entry.rows = 0;
        self.entry.row_bytes = 0;
        if let Some(indexes) = self.indexes.take() {
            self.pages.discard(indexes);
            self.pages.freeing(true);
            let made = new_index_block(self.pages, self.def);
            self.pages.freeing(false);
            *self.indexes = made?;
        }
        Ok(())
    }

    fn store(&mut self, id: u64, row: &RowBuf, keys: &[IndexKey]) -> Result<(), OutOfMemory> {
        let layout = &self.def.layout;
        self.change_page(id >> PAGE_SHIFT, |pages, slot| {
            let old = slot.take();
            let (live, position) = old.as_ref().map_or((0, 0), |old| {
                let page = PageRef::new(old.block());
                (page.live(), page.rank(id))
            });
            let live = live | 1 << (id as usize % PAGE_ROWS);
            let change = Splice { at: position, removed: 0, rows: std::slice::from_ref(row) };
            *slot = Some(splice(pages, layout, old, live, change)?);
            Ok((1, ()))
        })?;
        self.entry.rows += 1;
        self.insert_keys(keys, id)
    }

    /// Changes a row page by [`Tree::change`], and keeps the bytes of the rows.
    #[inline]
    fn change_page(
        &mut self,
        number: u64,
        change: impl FnOnce(&mut Pages, &mut Option<Link>) -> Result<(i64, ()), OutOfMemory>,
    ) -> Result<(), OutOfMemory> {
        let before = self.pages.net_bytes();
        Tree::new(self.rows, &mut self.entry.height).change(self.pages, number, change)?;
        let grown = self.pages.net_bytes().wrapping_sub(before);
        self.entry.row_bytes = self.entry.row_bytes.wrapping_add(grown);
        Ok(())
    }

    /// Refuses so many more rows than there are if they would be too many.
    pub(crate) fn check_room(&self, more: u64) -> Result<()> {
        let found = self.entry.rows + more;
        if found > ROWS_MAX {
            return Err(Error::Limit { what: "rows of a table".into(), limit: ROWS_MAX, found });
        }
        Ok(())
    }

    #[inline]
    fn keys_of(&self, row: &RowBuf) -> Result<RowKeys> {
        RowKeys::new(&self.def.indexes, |plan| checked_key(self.def, plan, row))
    }

    fn check_unique(&self, row: &RowBuf, keys: &[IndexKey], except: Option<u64>) -> Result<()> {
        let view = self.view();
        for ((index, plan), key) in self.def.indexes.iter().enumerate().zip(keys) {
            if plan.unique && view.conflict(index, key, row, except).is_some() {
                return Err(self.unique_error(plan, row));
            }
        }
        Ok(())
    }

    #[cold]
    pub(super) fn unique_error(&self, plan: &IndexPlan, row: &impl Columns) -> Error {
        let names: Vec<&str> = plan.columns.iter().map(|&column| self.def.column_name(column)).collect();
        Error::Unique {
            table: self.def.name().into(),
            columns: names.join(", ").into(),
            value: describe_key(self.def, &plan.columns, row).into(),
        }
    }

    #[cold]
    pub(super) fn key_taken(&self, id: u64) -> Error {
        let column = self.def.row_id.map_or("row id", |column| self.def.column_name(column));
        Error::Unique { table: self.def.name().into(), columns: column.into(), value: id.to_string().into() }
    }

    #[cold]
    pub(super) fn no_row(&self, id: u64) -> Error {
        Error::NoSuchRow { table: self.def.name().into(), key: id.to_string().into() }
    }

    /// The same, if there is a key for it.
    fn next_id(&self) -> Result<u64> {
        let id = self.sequence.number(self.entry.next_id, 0, self.def.last_id);
        id.ok_or_else(|| self.def.exhausted())
    }

    /// The highest id that a row can have: as a key that is given, up to what its type holds.
    pub(crate) fn last_id_stored(&self) -> u64 {
        let column = self.def.row_id.and_then(|column| self.def.layout.column(column));
        match column.map(|column| column.ty) {
            Some(crate::value::Type::U64) => u64::MAX,
            _ => self.def.last_id,
        }
    }

    /// The id under which the row is to be stored: given by its key, or the next one.
    fn id_for(&self, row: &RowBuf) -> Result<u64> {
        match self.def.row_id {
            Some(column) if row.column_bytes(column).is_some() => {
                let id = self.id_given(row, column)?;
                if self.view().row(id).is_some() {
                    return Err(self.key_taken(id));
                }
                Ok(id)
            }
            _ => self.next_id(),
        }
    }

    /// The id that the row `id` will have with these values, which changes with a key that is the row id.
    pub(super) fn id_of(&self, id: u64, row: &RowBuf) -> Result<u64> {
        match self.def.row_id {
            Some(column) if row.column_bytes(column).is_some() => self.id_given(row, column),
            _ => Ok(id),
        }
    }

    fn id_given(&self, row: &RowBuf, column: usize) -> Result<u64> {
        let bytes = row.column_bytes(column).unwrap_or_default();
        let ty = super::key::type_of(self.def, column);
        let value = ty.unpack(bytes);
        crate::value::ToKey::as_u64(&value).ok_or_else(|| Error::OutOfRange {
            table: self.def.name().into(),
            column: self.def.column_name(column).into(),
            value: value.to_string().into(),
            expected: "a key of 0 or more".into(),
        })
    }

    /// Notes that `id` is taken, and with it all below it. One that a row came with counts as given if it is the one that
    /// comes next.
    fn take_id(&mut self, id: u64) {
        let next = id.saturating_add(1);
        if id == self.lowest_free() {
            self.sequence.give(next)
        } else {
            self.sequence.claim(next)
        }
        self.raise_next_id(next);
    }

    /// Writes `id` into the row's key where it is the key and not set. Before the row's index keys are made: an index
    /// may have the key among its columns.
    #[inline]
    fn number(&self, id: u64, row: &mut RowBuf) {
        if let Some(column) = self.def.row_id
            && !row.has_value(column)
        {
            row.set_id(column, id);
        }
    }

    /// Adds the row `id` to all indexes.
    fn insert_keys(&mut self, keys: &[IndexKey], id: u64) -> Result<(), OutOfMemory> {
        let def = self.def;
        let Some(mut indexes) = self.indexes_mut()? else { return Ok(()) };
        for ((index, plan), key) in def.indexes.iter().enumerate().zip(keys) {
            indexes.insert(index, plan, std::iter::once((key, id)))?;
        }
        Ok(())
    }

    /// Takes the row `id` out of all indexes.
    fn remove_keys(&mut self, keys: &[IndexKey], id: u64) -> Result<(), OutOfMemory> {
        let def = self.def;
        let Some(mut indexes) = self.indexes_mut()? else { return Ok(()) };
        for ((index, plan), key) in def.indexes.iter().enumerate().zip(keys) {
            indexes.remove(index, plan, key, id)?;
        }
        Ok(())
    }

    /// The table's indexes, in the one block that holds them all, for changing; none if there are none.
    #[inline]
    pub(super) fn indexes_mut(&mut self) -> Result<Option<IndexesMut<'_>>, OutOfMemory> {
        let Self { def, pages, rows, indexes, entry, .. } = self;
        let Some(block) = indexes.as_mut() else { return Ok(None) };
        let (links, bytes) = pages.make_mut(block)?.into_parts();
        let rows = TableView::from_parts(def, **entry, rows.as_ref(), None);
        Ok(Some(IndexesMut { pages, rows, links, records: bytes.as_chunks_mut().0 }))
    }
}

/// The indexes of a table of the running write.
pub(super) struct IndexesMut<'l> {
    pages: &'l mut Pages,
    /// For hashes that are needed again.
    rows: TableView<'l>,
    links: &'l mut [Option<Link>],
    records: &'l mut [[u8; INDEX_RECORD]],
}

impl IndexesMut<'_> {
    /// Adds entries to one index.
    #[inline]
    pub(super) fn insert<'k>(
        &mut self,
        index: usize,
        plan: &IndexPlan,
        entries: impl IntoIterator<Item = (&'k IndexKey, u64)>,
    ) -> Result<(), OutOfMemory> {
        self.change(index, |pages, rows, root, bytes| {
            if plan.kind == IndexKind::Hash {
                let mut meta = HashMeta::from_bytes(bytes);
                let mut rehash = |id| rows.row(id).map_or(0, |row| row_hash(rows.def, plan, &row));
                for (key, id) in entries {
                    if let IndexKey::Hash(hash) = key {
                        HashIndex::new(root, &mut meta).insert(pages, *hash, id, &mut rehash)?;
                    }
                }
                *bytes = meta.to_bytes();
            } else {
                let mut meta = OrderedMeta::from_bytes(bytes);
                for (key, id) in entries {
                    OrderedIndex::new(root, &mut meta).insert(pages, key.as_ref(), id)?;
                }
                *bytes = meta.to_bytes();
            }
            Ok(())
        })
    }

    /// Takes an entry out of one index.
    #[inline]
    fn remove(&mut self, index: usize, plan: &IndexPlan, key: &IndexKey, id: u64) -> Result<(), OutOfMemory> {
        self.change(index, |pages, _, root, bytes| {
            let found = match key {
                IndexKey::Absent => return Ok(()),
                IndexKey::Hash(hash) if plan.kind == IndexKind::Hash => {
                    let mut meta = HashMeta::from_bytes(bytes);
                    let found = HashIndex::new(root, &mut meta).remove(pages, *hash, id)?;
                    *bytes = meta.to_bytes();
                    found
                }
                key => {
                    let mut meta = OrderedMeta::from_bytes(bytes);
                    let found = OrderedIndex::new(root, &mut meta).remove(pages, key.as_ref(), id)?;
                    *bytes = meta.to_bytes();
                    found
                }
            };
            debug_assert!(found, "an index holds every row of its table");
            Ok(())
        })
    }

    /// Fills one ordered index, which is empty, with the entries that `feed` finds in the table's rows, in order.
    pub(super) fn build(
        &mut self,
        index: usize,
        feed: impl FnOnce(TableView<'_>, &mut Put<'_>) -> Result<(), OutOfMemory>,
    ) -> Result<(), OutOfMemory> {
        self.change(index, |pages, rows, root, bytes| {
            let mut meta = OrderedMeta::from_bytes(bytes);
            OrderedIndex::new(root, &mut meta).build_sorted(pages, |put| feed(rows, put))?;
            *bytes = meta.to_bytes();
            Ok(())
        })
    }

    /// Fills one unique hash index, which is empty, with entries in the order of [`HashMeta::rank`] in `meta`.
    pub(super) fn build_hash(
        &mut self,
        index: usize,
        mut meta: HashMeta,
        entries: &[(u64, u64)],
    ) -> Result<(), OutOfMemory> {
        self.change(index, |pages, _, root, bytes| {
            HashIndex::new(root, &mut meta).build_sorted(pages, entries)?;
            *bytes = meta.to_bytes();
            Ok(())
        })
    }

    /// Runs a change of one index on its root and its own bytes, and keeps the bytes of its blocks.
    #[inline]
    fn change(
        &mut self,
        index: usize,
        change: impl FnOnce(&mut Pages, TableView<'_>, &mut Option<Link>, &mut [u8; META_BYTES]) -> Result<(), OutOfMemory>,
    ) -> Result<(), OutOfMemory> {
        let Self { pages, rows, links, records } = self;
        let Some((root, record)) = links.get_mut(index).zip(records.get_mut(index)) else { return Ok(()) };
        let Some((meta, kept)) = record.split_first_chunk_mut() else { return Ok(()) };
        let Some(kept) = kept.first_chunk_mut() else { return Ok(()) };
        let before = pages.net_bytes();
        change(pages, *rows, root, meta)?;
        let grown = pages.net_bytes().wrapping_sub(before);
        // An index that is emptied may drop what is left of its tree whole.
        let bytes = if root.is_some() { u64::from_le_bytes(*kept).wrapping_add(grown) } else { 0 };
        *kept = bytes.to_le_bytes();
        Ok(())
    }
}

/// The keys of a batch that came before, roughly: most keys are new, and not compared with each.
#[derive(Default)]
struct Seen([u64; 16]);

impl Seen {
    /// Whether the key may have been asked for before; never a wrong no.
    #[inline]
    fn may_hold(&mut self, key: &IndexKey) -> bool {
        let bits = match key {
            IndexKey::Absent => return false,
            IndexKey::Bytes(_) => return true,
            IndexKey::Hash(hash) => *hash,
            IndexKey::Word(word) => word.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        } >> 54;
        let word = &mut self.0[bits as usize / 64];
        let held = *word >> (bits % 64) & 1 != 0;
        *word |= 1 << (bits % 64);
        held
    }
}

/// The key under which `plan` will hold the row, if it is not too long for that.
#[inline]
pub(super) fn checked_key(def: &TableDef, plan: &IndexPlan, row: &impl Columns) -> Result<IndexKey> {
    let key = index_key(def, plan, row);
    match &key {
        IndexKey::Bytes(bytes) if bytes.len() > KEY_BYTES_MAX => Err(Error::Limit {
            what: format!("bytes of a key of index `{}` of table `{}`", plan.name, def.name()).into(),
            limit: KEY_BYTES_MAX as u64,
            found: bytes.len() as u64,
        }),
        _ => Ok(key),
    }
}

/// Refuses values that no block can hold.
pub(super) fn check_values(def: &TableDef, row: &RowBuf) -> Result<()> {
    if row.variable_bytes() <= BLOCK_BYTES_MAX {
        return Ok(());
    }
    for column in row.set_columns() {
        let found = row.column_bytes(column).map_or(0, <[u8]>::len);
        if found > BLOCK_BYTES_MAX {
            return Err(Error::Limit {
                what: format!("bytes of a value of `{}.{}`", def.name(), def.column_name(column)).into(),
                limit: BLOCK_BYTES_MAX as u64,
                found: found as u64,
            });
        }
    }
    Ok(())
}

/// Sets the columns that are not set to the stored row's values.
pub(crate) fn fill(def: &TableDef, row: &mut RowBuf, old: &impl Columns) -> Result<()> {
    fill_where(def, row, old, |_| true)
}

/// The same for those columns whose value, if they have one, passes the filter.
#[inline(always)]
fn fill_where(
    def: &TableDef,
    row: &mut RowBuf,
    old: &impl Columns,
    takes: impl Fn(Option<&[u8]>) -> bool,
) -> Result<()> {
    let shape = def.schema.shape();
    let mut from = 0;
    while let Some(index) = row.first_unset(from, shape.len()) {
        from = index + 1;
        let value = old.column_bytes(index);
        if !takes(value) {
            continue;
        }
        match value {
            Some(bytes) => row.set(shape, index, bytes).map_err(|error| error.in_table(def.name()))?,
            None => row.set_null(shape, index),
        }
    }
    Ok(())
}

pub(super) fn same_columns(def: &TableDef, plan: &IndexPlan, a: &impl Columns, b: &impl Columns) -> bool {
    plan.columns.iter().all(|&column| {
        super::key::same_value(super::key::type_of(def, column), a.column_bytes(column), b.column_bytes(column))
    })
}

/// The index block of an empty table; none if there are no indexes.
pub(crate) fn new_index_block(pages: &mut Pages, def: &TableDef) -> Result<Option<Link>, OutOfMemory> {
    if def.indexes.is_empty() {
        return Ok(None);
    }
    let mut link = pages.alloc(def.indexes.len(), def.indexes.len() * INDEX_RECORD)?;
    if let Some(mut block) = pages.fresh(&mut link) {
        let bytes = block.bytes();
        for (record, plan) in bytes.chunks_exact_mut(INDEX_RECORD).zip(&def.indexes) {
            record.copy_from_slice(&empty_record(plan.kind));
        }
    }
    Ok(Some(link))
}

/// The record of an index without entries.
pub(crate) fn empty_record(kind: IndexKind) -> [u8; INDEX_RECORD] {
    let meta = match kind {
        IndexKind::Hash => HashMeta::default().to_bytes(),
        IndexKind::HashMany | IndexKind::OrderedWord => OrderedMeta::new(KeyKind::U64).to_bytes(),
        IndexKind::OrderedBytes => OrderedMeta::new(KeyKind::Bytes).to_bytes(),
    };
    let mut record = [0; INDEX_RECORD];
    record[..META_BYTES].copy_from_slice(&meta);
    record
}
