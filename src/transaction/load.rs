//! Rows on their way into a table, a page of them at a time, of which one that is refused costs no other.
//!
//! Rows are gathered as long as they go one behind the other into one page, and then stored in one change of it. A change
//! is checked whole before it begins: so if one of the gathered rows is refused, they are stored one by one instead, and
//! those at fault are told apart without a savepoint.

use super::tables::TransactionTable;
use crate::error::{Error, ErrorKind, Result};
use crate::table::definition::TableDef;
use crate::table::layout::PAGE_ROWS;
use crate::value::{Columns, RowBuf, ToKey};

/// Rows are stored at the latest when their values take so many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// See the module. `P` says where a row came from.
pub(crate) struct Load<'l, 't, P> {
    table: &'l TransactionTable<'t>,
    /// The rows gathered, and behind them the one that is being made.
    rows: Vec<RowBuf>,
    /// Where each of the rows gathered came from.
    places: Vec<P>,
    bytes: usize,
    /// The id that the first of the rows gathered will have, and how many fit with it into its page.
    next: u64,
    room: usize,
}

/// Whether an error is a row's own fault, so that the next row may well be stored.
pub(crate) fn is_of_row(error: &Error) -> bool {
    let of_row = matches!(error.kind(), ErrorKind::Row | ErrorKind::Constraint | ErrorKind::Limit);
    of_row && !matches!(error, Error::OutOfMemory { .. })
}

impl<'l, 't, P> Load<'l, 't, P> {
    pub(crate) fn new(table: &'l TransactionTable<'t>) -> Self {
        Self { table, rows: Vec::new(), places: Vec::new(), bytes: 0, next: 0, room: 0 }
    }

    pub(crate) fn def(&self) -> &'l TableDef {
        self.table.def()
    }

    /// The buffer for the row to come.
    pub(crate) fn row(&mut self) -> &mut RowBuf {
        let used = self.places.len();
        if self.rows.len() == used {
            self.rows.push(RowBuf::new());
        }
        &mut self.rows[used]
    }

    /// Takes the row in the buffer, complete and checked. Rows that are refused, this one or earlier ones, are handed to
    /// `refuse` in their order.
    ///
    /// # Errors
    /// Those of `refuse`; [`Error::OutOfMemory`], [`Error::NoSuchTable`]: the transaction is then to be rolled back.
    pub(crate) fn push(&mut self, place: P, refuse: &mut impl FnMut(P, Error) -> Result<()>) -> Result<()> {
        self.find_room()?;
        let used = self.places.len();
        if let Some(own) = self.own_id()
            && own != self.next.wrapping_add(used as u64)
        {
            // Not the number that it would be given.
            let mut row = std::mem::take(&mut self.rows[used]);
            self.store(refuse)?;
            self.insert(&mut row, place, refuse)?;
            if row.variable_bytes() <= BATCH_BYTES {
                *self.row() = row;
            }
            return Ok(());
        }
        self.bytes += self.rows[used].variable_bytes();
        self.places.push(place);
        if self.places.len() >= self.room.min(PAGE_ROWS) || self.bytes > BATCH_BYTES {
            self.store(refuse)?;
        }
        Ok(())
    }

    /// Sees where the next rows go.
    fn find_room(&mut self) -> Result<()> {
        if self.places.is_empty() {
            (self.next, self.room) = self.table.change(|table| Ok((table.lowest_free(), table.append_room())))?;
        }
        Ok(())
    }

    /// The number that the row in the buffer will be given, if its checks look at it and there is one.
    ///
    /// # Errors
    /// As [`push`](Load::push).
    pub(crate) fn number(&mut self) -> Result<Option<u64>> {
        let def = self.table.def();
        if !def.schema.checks_number() {
            return Ok(None);
        }
        self.find_room()?;
        Ok(self.next.checked_add(self.places.len() as u64).filter(|id| *id <= def.last_id))
    }

    /// The key that the row in the buffer has, if keys are numbers and it has one.
    fn own_id(&self) -> Option<u64> {
        let def = self.table.def();
        let column = def.row_id?;
        let bytes = self.rows.get(self.places.len())?.column_bytes(column)?;
        // A key below zero is none that would be given either.
        Some(crate::table::key::type_of(def, column).unpack(bytes).as_u64().unwrap_or(u64::MAX))
    }

    /// Stores what is gathered. `refuse` as in [`push`](Load::push).
    ///
    /// # Errors
    /// As [`push`](Load::push).
    pub(crate) fn store(&mut self, refuse: &mut impl FnMut(P, Error) -> Result<()>) -> Result<()> {
        let rows = self.rows.get_mut(..self.places.len()).unwrap_or_default();
        if rows.is_empty() {
            return Ok(());
        }
        let appended = self.table.change(|table| match table.append(rows) {
            Ok(_) => Ok(true),
            Err((_, error)) if is_of_row(&error) => Ok(false),
            Err((_, error)) => Err(error),
        })?;
        if !appended {
            return self.store_singly(refuse);
        }
        self.places.clear();
        self.forget_large();
        Ok(())
    }

    fn store_singly(&mut self, refuse: &mut impl FnMut(P, Error) -> Result<()>) -> Result<()> {
        let (mut rows, places) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.places));
        for (row, place) in rows.iter_mut().zip(places) {
            self.insert(row, place, refuse)?;
        }
        self.rows = rows;
        self.forget_large();
        Ok(())
    }

    fn insert(&self, row: &mut RowBuf, place: P, refuse: &mut impl FnMut(P, Error) -> Result<()>) -> Result<()> {
        match self.table.change(|table| table.insert(row)) {
            Err(error) if is_of_row(&error) => refuse(place, error),
            stored => stored.map(drop),
        }
    }

    /// What huge values took is not kept.
    fn forget_large(&mut self) {
        if std::mem::take(&mut self.bytes) > BATCH_BYTES {
            self.rows.clear();
        }
    }
}
