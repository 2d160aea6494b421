//! Filling a new index from the rows that are there.

use super::change::{TableMut, checked_key, key_ref, same_columns};
use super::definition::{IndexKind, IndexPlan, TableDef};
use super::index::hash::HashMeta;
use super::index::ordered::KeyRef;
use super::key::{IndexKey, type_of};
use super::row_page::{PageRef, RowRef};
use crate::error::{Error, Result};
use crate::schema::holds_nan;
use crate::value::Columns;
use std::ops::ControlFlow;

impl TableMut<'_, '_> {
    /// Adds every row to index `index`, which is empty. Cost: O(rows · log rows).
    pub(crate) fn build_index(&mut self, index: usize) -> Result<()> {
        match self.def.indexes[index].kind {
            IndexKind::Hash => self.build_hash(index),
            IndexKind::OrderedBytes => self.build_ordered_bytes(index),
            IndexKind::HashMany | IndexKind::OrderedWord => self.build_ordered_words(index),
        }
    }

    fn build_hash(&mut self, index: usize) -> Result<()> {
        let plan = &self.def.indexes[index];
        let mut entries = self.words(plan)?;
        let meta = HashMeta::of_entries(entries.len());
        entries.iter_mut().for_each(|(hash, _)| *hash = meta.rank(*hash));
        entries.sort_unstable();
        // Rows with equal keys have equal ranks; others that do are few.
        for alike in entries.chunk_by(|(a, _), (b, _)| a == b).filter(|alike| alike.len() > 1) {
            self.check_different(plan, alike)?;
        }
        if let Some(mut indexes) = self.indexes_mut()? {
            indexes.build_hash(index, meta, &entries)?;
        }
        Ok(())
    }

    fn build_ordered_words(&mut self, index: usize) -> Result<()> {
        let plan = &self.def.indexes[index];
        let mut entries = self.words(plan)?;
        entries.sort_unstable();
        if plan.unique {
            self.check_neighbours(plan, &entries)?;
        }
        if let Some(mut indexes) = self.indexes_mut()? {
            indexes.build(index, entries.iter().map(|&(word, id)| (KeyRef::U64(word), id)))?;
        }
        Ok(())
    }

    fn build_ordered_bytes(&mut self, index: usize) -> Result<()> {
        let def = self.def;
        let plan = &def.indexes[index];
        let mut keys: Vec<(IndexKey, u64)> = reserved(self.entry.rows)?;
        self.each_row(|row| {
            keys.push((new_key(def, plan, &row)?, row.id()));
            Ok(())
        })?;
        keys.sort_unstable();
        if plan.unique {
            self.check_neighbours(plan, &keys)?;
        }
        if let Some(mut indexes) = self.indexes_mut()? {
            indexes.build(index, keys.iter().map(|(key, id)| (key_ref(key), *id)))?;
        }
        Ok(())
    }

    /// The keys, which are words or hashes, of all rows that the index holds, with their ids. No more than 16 bytes an
    /// entry: tables are loaded that nearly fill the memory.
    fn words(&self, plan: &IndexPlan) -> Result<Vec<(u64, u64)>> {
        let mut words = reserved(self.entry.rows)?;
        self.each_row(|row| {
            if let IndexKey::Hash(word) | IndexKey::Word(word) = new_key(self.def, plan, &row)? {
                words.push((word, row.id()));
            }
            Ok(())
        })?;
        Ok(words)
    }

    fn each_row(&self, mut visit: impl FnMut(RowRef<'_>) -> Result<()>) -> Result<()> {
        let layout = &self.def.layout;
        let walked = self.view().rows().scan(0, u64::MAX, |number, block| {
            let page = PageRef::new(block);
            match (0..page.rows()).try_for_each(|position| visit(page.row(layout, number, position))) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            }
        });
        match walked {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// Refuses two rows with one key among these, which have no nulls in it.
    fn check_different(&self, plan: &IndexPlan, alike: &[(u64, u64)]) -> Result<()> {
        let view = self.view();
        let rows: Vec<RowRef<'_>> = alike.iter().filter_map(|&(_, id)| view.row(id)).collect();
        for (place, row) in rows.iter().enumerate() {
            if rows.iter().take(place).any(|other| same_columns(self.def, plan, row, other)) {
                return Err(self.unique_error(plan, row));
            }
        }
        Ok(())
    }

    /// Refuses two rows with one key without nulls, in keys that are sorted.
    fn check_neighbours<K: PartialEq>(&self, plan: &IndexPlan, keys: &[(K, u64)]) -> Result<()> {
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

/// A vector with room for one entry per row.
fn reserved<T>(rows: u64) -> Result<Vec<T>> {
    let mut entries = Vec::new();
    let rows = rows as usize;
    entries.try_reserve_exact(rows).map_err(|_| Error::OutOfMemory { bytes: rows.saturating_mul(size_of::<T>()) })?;
    Ok(entries)
}

/// The key of a row that was stored when its columns were in no index: NaN was allowed then.
fn new_key(def: &TableDef, plan: &IndexPlan, row: &impl Columns) -> Result<IndexKey> {
    for &column in &plan.columns {
        let ty = type_of(def, column);
        if let Some(bytes) = row.column_bytes(column)
            && holds_nan(ty, bytes)
        {
            return Err(Error::NanInKey { table: def.name().into(), column: def.column_name(column).into() });
        }
    }
    checked_key(def, plan, row)
}
