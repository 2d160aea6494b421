//! Filling a new index from the rows that are there.

use super::change::{TableMut, checked_key};
use super::definition::{IndexKind, IndexPlan, TableDef};
use super::key::{IndexKey, type_of};
use super::layout::page_ids;
use super::row_page::PageRef;
use crate::error::{Error, Result};
use crate::schema::holds_nan;
use crate::value::Columns;
use std::ops::ControlFlow;

impl TableMut<'_, '_> {
    /// Adds every row to index `index`, which is empty. Cost: O(rows) for a unique hash index, else O(rows · log rows).
    pub(crate) fn build_index(&mut self, index: usize) -> Result<()> {
        match self.def.indexes[index].kind {
            IndexKind::Hash => self.build_hash(index),
            _ => self.build_ordered(index),
        }
    }

    fn build_hash(&mut self, index: usize) -> Result<()> {
        let def = self.def;
        let plan = &def.indexes[index];
        let mut next = 0;
        while let Some(number) = self.view().rows().at_or_after(next).map(|(number, _)| number) {
            for id in page_ids(number) {
                // The view ends before the index is changed.
                let view = self.view();
                let Some(row) = view.row(id) else { continue };
                let key = new_key(def, plan, &row)?;
                if view.conflict(index, &key, &row, Some(id)).is_some() {
                    return Err(self.unique_error(plan, &row));
                }
                if let Some(mut indexes) = self.indexes_mut()? {
                    indexes.insert(index, plan, std::iter::once((&key, id)))?;
                }
            }
            next = number + 1;
        }
        Ok(())
    }

    fn build_ordered(&mut self, index: usize) -> Result<()> {
        let def = self.def;
        let plan = &def.indexes[index];
        let mut keys: Vec<(IndexKey, u64)> = Vec::new();
        let view = self.view();
        let mut failure = None;
        let _ = view.rows().scan(0, u64::MAX, |number, block| {
            let page = PageRef::new(block);
            for position in 0..page.rows() {
                let row = page.row(&def.layout, number, position);
                match new_key(def, plan, &row) {
                    Ok(key) => keys.push((key, row.id())),
                    Err(error) => {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                }
            }
            ControlFlow::Continue(())
        });
        if let Some(error) = failure {
            return Err(error);
        }
        keys.sort_unstable();
        if plan.unique {
            self.check_neighbours(plan, &keys)?;
        }
        if let Some(mut indexes) = self.indexes_mut()? {
            indexes.build(index, keys.iter().map(|(key, id)| (key, *id)))?;
        }
        Ok(())
    }

    /// Refuses two rows with one key without nulls, in keys that are sorted.
    fn check_neighbours(&self, plan: &IndexPlan, keys: &[(IndexKey, u64)]) -> Result<()> {
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
