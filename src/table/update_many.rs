//! An update of many rows, in which values that are unique may move from row to row.
//!
//! Rows change one after the other. One that would get what a row has that is still to change waits, so that the order
//! makes no difference. In the end the rows that wait are all taken out and stored anew: what is in their way then is in
//! the way for good.

use super::change::{TableMut, checked_key, fill};
use crate::error::{Error, Result};
use crate::value::RowBuf;

/// See the module.
pub(crate) struct UpdateMany<'i> {
    /// The rows to be changed, in their order.
    ids: &'i [u64],
    /// Whole rows, by the ids that they have until the end, in their order.
    waiting: Vec<(u64, RowBuf)>,
}

impl<'i> UpdateMany<'i> {
    pub(crate) fn new(ids: &'i [u64]) -> Self {
        debug_assert!(ids.is_sorted());
        Self { ids, waiting: Vec::new() }
    }

    /// Whether rows wait for [`UpdateMany::finish`].
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Gives the row `id`, whose turn it is, the values that `row` sets, which have been checked. Answers its id, as
    /// [`TableMut::replace`] does, or none if it waits.
    pub(crate) fn replace(&mut self, table: &mut TableMut<'_, '_>, id: u64, row: &mut RowBuf) -> Result<Option<u64>> {
        match table.replace(id, row) {
            Err(Error::Unique { .. }) => {
                self.check_way(table, id, row)?;
                self.waiting.push((id, row.clone()));
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }

    /// Makes the row whole. Refuses it if one of the rows that have what it is to get does not change any more: what such a
    /// one has is in the way, which need not be what was found first.
    fn check_way(&self, table: &TableMut<'_, '_>, id: u64, row: &mut RowBuf) -> Result<()> {
        let (def, view) = (table.def, table.view());
        let Some(old) = view.row(id) else { return Err(table.no_row(id)) };
        fill(def, row, &old)?;
        let makes_way = |rival: u64| {
            rival > id && self.ids.binary_search(&rival).is_ok()
                || self.waiting.binary_search_by_key(&rival, |(id, _)| *id).is_ok()
        };
        let wanted = table.id_of(id, row)?;
        if wanted != id && view.row(wanted).is_some() && !makes_way(wanted) {
            return Err(table.key_taken(wanted));
        }
        for (index, plan) in def.indexes.iter().enumerate().filter(|(_, plan)| plan.unique) {
            let rival = view.conflict(index, &checked_key(def, plan, row)?, row, Some(id));
            if rival.is_some_and(|rival| !makes_way(rival.id())) {
                return Err(table.unique_error(plan, row));
            }
        }
        Ok(())
    }

    /// Changes the rows that wait. After an error the write must be rolled back.
    ///
    /// # Errors
    /// [`Error::Unique`], [`Error::OutOfMemory`].
    pub(crate) fn finish(self, table: &mut TableMut<'_, '_>) -> Result<()> {
        for (id, _) in &self.waiting {
            table.remove(*id)?;
        }
        self.waiting.into_iter().try_for_each(|(id, mut row)| {
            let id = table.id_of(id, &row)?;
            table.insert_unless_taken(id, &mut row)
        })
    }
}
