//! Filling a new index from the rows that are there.

use super::change::{TableMut, checked_key, same_columns};
use super::definition::{IndexKind, IndexPlan, TableDef};
use super::entries::{self, Entry};
use super::index::hash::HashMeta;
use super::index::ordered::KeyRef;
use super::key::{IndexKey, encode_row_key, type_of};
use super::row_page::RowRef;
use super::view::TableView;
use crate::error::{Error, Result};
use crate::schema::holds_nan;
use crate::value::Columns;

/// So many rows with keys that begin alike are sorted with their keys at hand.
const ALIKE_MAX: usize = 1024;

impl TableMut<'_, '_> {
    /// Adds every row to index `index`, which is empty. Cost: O(rows · log rows), most of it shared by as many cores as
    /// there are.
    pub(crate) fn build_index(&mut self, index: usize) -> Result<()> {
        self.build_index_on(index, entries::threads_for(self.entry.rows))
    }

    /// The same in so many threads, with the same result.
    pub(super) fn build_index_on(&mut self, index: usize, threads: usize) -> Result<()> {
        match self.def.indexes[index].kind {
            IndexKind::Hash => self.build_hash(index, threads),
            IndexKind::OrderedBytes => self.build_ordered_bytes(index, threads),
            IndexKind::HashMany | IndexKind::OrderedWord => self.build_ordered_words(index, threads),
        }
    }

    fn build_hash(&mut self, index: usize, threads: usize) -> Result<()> {
        let plan = &self.def.indexes[index];
        let mut entries = self.entries(plan, threads, word_of)?;
        let meta = HashMeta::of_entries(entries.len());
        entries.iter_mut().for_each(|(hash, _)| *hash = meta.rank(*hash));
        entries::sort(&mut entries, threads);
        // Rows with equal keys have equal ranks; others that do are few.
        for alike in entries.chunk_by(|(a, _), (b, _)| a == b).filter(|alike| alike.len() > 1) {
            self.check_different(plan, alike)?;
        }
        if let Some(mut indexes) = self.indexes_mut()? {
            indexes.build_hash(index, meta, &entries)?;
        }
        Ok(())
    }

    fn build_ordered_words(&mut self, index: usize, threads: usize) -> Result<()> {
        let plan = &self.def.indexes[index];
        let mut entries = self.entries(plan, threads, word_of)?;
        entries::sort(&mut entries, threads);
        self.check_neighbours(plan, &entries)?;
        if let Some(mut indexes) = self.indexes_mut()? {
            indexes.build(index, |_, put| entries.iter().try_for_each(|&(word, id)| put(KeyRef::U64(word), id)))?;
        }
        Ok(())
    }

    /// Keys of bytes are not kept, as all of them could take as much as the index: rows are sorted by a part of their
    /// keys, and those that have the same part by a later one.
    fn build_ordered_bytes(&mut self, index: usize, threads: usize) -> Result<()> {
        let def = self.def;
        let plan = &def.indexes[index];
        let mut entries = self.entries(plan, threads, |key| match key {
            IndexKey::Bytes(key) => Some(part_of(&key, 0)),
            _ => None,
        })?;
        self.sort_by_part(plan, &mut entries, threads)?;
        if let Some(mut indexes) = self.indexes_mut()? {
            let mut key = Vec::new();
            indexes.build(index, |rows, put| {
                entries.iter().filter_map(|&(_, id)| rows.row(id)).try_for_each(|row| {
                    key.clear();
                    encode_row_key(def, plan, &row, &mut key);
                    put(KeyRef::Bytes(&key), row.id())
                })
            })?;
        }
        Ok(())
    }

    /// Sorts rows, which have a part of their keys beside them, by the whole keys.
    fn sort_by_part(&self, plan: &IndexPlan, rows: &mut [Entry], threads: usize) -> Result<()> {
        entries::sort(rows, threads);
        let alike = rows.chunk_by_mut(|(a, _), (b, _)| a == b).filter(|alike| alike.len() > 1);
        for alike in alike {
            if alike.len() <= ALIKE_MAX { self.sort_few(plan, alike)? } else { self.sort_alike(plan, alike, threads)? }
        }
        Ok(())
    }

    /// Sorts rows whose keys begin alike by what follows what they all have in common. This nests no deeper than a key
    /// has parts: what the parts found equal share grows.
    fn sort_alike(&self, plan: &IndexPlan, rows: &mut [Entry], threads: usize) -> Result<()> {
        let view = self.view();
        let (mut first, mut key) = (Vec::new(), Vec::new());
        let encode = |id: u64, key: &mut Vec<u8>| {
            key.clear();
            if let Some(row) = view.row(id) {
                encode_row_key(self.def, plan, &row, key);
            }
        };
        if let Some((_, id)) = rows.first() {
            encode(*id, &mut first);
        }
        let (mut common, mut is_one_key) = (first.len(), true);
        for (_, id) in &*rows {
            encode(*id, &mut key);
            common = first.iter().zip(&key).take(common).take_while(|(a, b)| a == b).count();
            is_one_key &= key == first;
        }
        if is_one_key {
            rows.iter_mut().for_each(|(part, _)| *part = 0);
            entries::sort(rows, threads);
            return self.check_neighbours(plan, rows);
        }
        for (part, id) in &mut *rows {
            encode(*id, &mut key);
            *part = part_of(&key, common);
        }
        let threads = threads.min(entries::threads_for(rows.len() as u64));
        self.sort_by_part(plan, rows, threads)
    }

    /// Sorts a few rows by their keys.
    fn sort_few(&self, plan: &IndexPlan, rows: &mut [Entry]) -> Result<()> {
        let view = self.view();
        let key_of = |&(_, id): &Entry| {
            let mut key = Vec::new();
            if let Some(row) = view.row(id) {
                encode_row_key(self.def, plan, &row, &mut key);
            }
            (key, id)
        };
        let mut keys: Vec<(Vec<u8>, u64)> = rows.iter().map(key_of).collect();
        keys.sort_unstable();
        rows.iter_mut().zip(&keys).for_each(|((_, id), (_, sorted))| *id = *sorted);
        self.check_neighbours(plan, &keys)
    }

    /// The entries of all rows that the index holds, by what `word_of` finds in their keys.
    fn entries(
        &self,
        plan: &IndexPlan,
        threads: usize,
        word_of: impl Fn(IndexKey) -> Option<u64> + Sync,
    ) -> Result<Vec<Entry>> {
        let (def, entry, rows) = (self.def, *self.entry, self.rows.as_ref());
        let view = || TableView::from_parts(def, entry, rows, None);
        entries::gather(view, threads, |row| new_key(def, plan, row).map(&word_of))
    }

    /// Refuses two rows with one key among these, which have no nulls in it.
    fn check_different(&self, plan: &IndexPlan, alike: &[Entry]) -> Result<()> {
        let view = self.view();
        let rows: Vec<RowRef<'_>> = alike.iter().filter_map(|&(_, id)| view.row(id)).collect();
        for (place, row) in rows.iter().enumerate() {
            if rows.iter().take(place).any(|other| same_columns(self.def, plan, row, other)) {
                return Err(self.unique_error(plan, row));
            }
        }
        Ok(())
    }

    /// Refuses two rows with one key without nulls, in sorted keys of an index that is unique.
    fn check_neighbours<K: PartialEq>(&self, plan: &IndexPlan, keys: &[(K, u64)]) -> Result<()> {
        if !plan.unique {
            return Ok(());
        }
        let view = self.view();
        for pair in keys.windows(2) {
            let [(key, id), (other, _)] = pair else { continue };
            if key == other
                && let Some(row) = view.row(*id)
                && plan.columns.iter().all(|&column| row.column_bytes(column).is_some())
            {
                return Err(self.unique_error(plan, &row));
            }
        }
        Ok(())
    }
}

/// Seven bytes of a key from `from` on, and how many it has there, up to seven: ordered as these bytes of the keys are.
fn part_of(key: &[u8], from: usize) -> u64 {
    let rest = key.get(from..).unwrap_or_default();
    let mut part = [0; 8];
    part.iter_mut().zip(rest).take(7).for_each(|(place, byte)| *place = *byte);
    part[7] = rest.len().min(7) as u8;
    u64::from_be_bytes(part)
}

/// The word or hash that a key is.
fn word_of(key: IndexKey) -> Option<u64> {
    match key {
        IndexKey::Hash(word) | IndexKey::Word(word) => Some(word),
        IndexKey::Bytes(_) | IndexKey::Absent => None,
    }
}

/// The key of a row that was stored when its columns were in no index: NaN was allowed then.
fn new_key(def: &TableDef, plan: &IndexPlan, row: &impl Columns) -> Result<IndexKey> {
    check_no_nan(def, plan, row)?;
    checked_key(def, plan, row)
}

/// Refuses rows that no index over these columns can hold: NaN has no place in an order.
pub(super) fn check_no_nan(def: &TableDef, plan: &IndexPlan, row: &impl Columns) -> Result<()> {
    for &column in &plan.columns {
        let ty = type_of(def, column);
        if let Some(bytes) = row.column_bytes(column)
            && holds_nan(ty, bytes)
        {
            return Err(Error::NanInKey { table: def.name().into(), column: def.column_name(column).into() });
        }
    }
    Ok(())
}
