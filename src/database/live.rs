//! The table handle: reads of the newest version, and writes that are transactions of their own.

use super::snapshot::{Snapshot, SnapshotTable};
use crate::error::{Error, Result};
use crate::page::Guard;
use crate::query::Filter;
use crate::table::definition::TableDef;
use crate::table::reader::{Reader, Source, sealed};
use crate::table::state::TableState;
use crate::transaction::core::Core;
use crate::transaction::row_mut::RowMut;
use crate::transaction::tables::TransactionTable;
use crate::value::ToKey;
use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use std::ops::Deref;
use std::sync::Arc;

/// A table of a database: all the reads of a [`Reader`] on the newest version, and writes, each a transaction of its own.
///
/// A handle: cloning is cheap, any thread may use it, and it stays good when indexes come and go. It keeps the
/// definitions that have replaced the one it was made with, some kilobytes each: where indexes come and go by the
/// thousand, ask for it again. A table that is created under the name of a dropped one is another: the handle stays one
/// of the dropped table ([`Error::NoSuchTable`](crate::Error::NoSuchTable)). Each read sees the newest version at the
/// moment of the call; for several reads of one version take a [`snapshot`](crate::Database::snapshot).
#[derive(Clone)]
pub struct Table {
    reader: Reader<Live>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("table", &self.name()).finish_non_exhaustive()
    }
}

/// See [`Source`].
#[derive(Clone)]
pub struct Live {
    core: Arc<Core>,
    slot: usize,
    state: Arc<TableState>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("table", &self.state.def.name()).finish_non_exhaustive()
    }
}

impl sealed::Sealed for Live {}

#[allow(private_interfaces)]
impl Source for Live {
    #[inline(always)]
    fn guard(&self) -> Result<Guard<'_>> {
        Ok(self.core.store.pin())
    }

    #[inline(always)]
    fn slot(&self) -> usize {
        self.slot
    }

    #[inline(always)]
    fn def(&self) -> &TableDef {
        &self.state.def
    }

    #[inline(always)]
    fn def_in_version(&self, id: u64) -> Option<&TableDef> {
        self.state.find(id).map(|state| &*state.def)
    }
}

impl Deref for Table {
    type Target = Reader<Live>;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.reader
    }
}

impl Table {
    pub(super) fn new(core: Arc<Core>, slot: usize, state: Arc<TableState>) -> Self {
        Self { reader: Reader { source: Live { core, slot, state } } }
    }

    /// The table in a snapshot of now.
    pub(crate) fn snapshot(&self) -> Result<SnapshotTable> {
        let Live { core, state, .. } = &self.reader.source;
        Snapshot::of(core).table_of(&state.def)
    }

    /// Runs one operation as a transaction.
    #[inline]
    pub(crate) fn write<T>(&self, operation: impl FnOnce(&TransactionTable<'_>) -> Result<T>) -> Result<T> {
        let (mut operation, mut answer) = (Some(operation), None);
        self.write_once(&mut |table| {
            answer = operation.take().map(|operation| operation(table)).transpose()?;
            Ok(())
        })?;
        answer.ok_or(Error::TransactionFailed)
    }

    /// The same of an object: compiled once, and not again for each type of rows.
    fn write_once(&self, operation: &mut dyn FnMut(&TransactionTable<'_>) -> Result<()>) -> Result<()> {
        let Live { core, slot, state } = &self.reader.source;
        let transaction = core.begin_in(*slot, state)?;
        let done = TransactionTable::borrowed(&transaction, *slot, state).and_then(|table| operation(&table));
        match done {
            Ok(()) => transaction.commit(),
            Err(error) => Err(transaction.refused(error)),
        }
    }

    /// Stores a row and answers its key: the primary key where that is one integer (a negative one in two's
    /// complement), else the row id.
    ///
    /// `row` is anything that serde can serialize: a struct or map with the columns' names, or a tuple or sequence in
    /// the columns' order. [`Type`](crate::Type) says which values go into a column. Columns left out get their
    /// default, else null, else that is an error; an auto-increment key left out or null gets the next number, and a
    /// negative one is [`Error::OutOfRange`](crate::Error::OutOfRange). Visible to others on return. Cost: O(log n)
    /// pages copied, and with them the root, which has 48 bytes for each table of the database; and one update per
    /// index.
    ///
    /// # Errors
    /// - Of kind [`Row`](crate::ErrorKind::Row): the row does not fit the schema; the error says where.
    /// - [`Error::Unique`](crate::Error::Unique), [`Error::Check`](crate::Error::Check); what a check that is written
    ///   wrongly asks for in vain, see [`CheckRow::get`](crate::CheckRow::get).
    /// - [`Error::AutoIncrementExhausted`](crate::Error::AutoIncrementExhausted),
    ///   [`Error::Limit`](crate::Error::Limit), [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    /// - Those of every write, of schemas and imports too: [`Error::Reentrant`](crate::Error::Reentrant) from inside a
    ///   write of this database; [`Error::NoSuchTable`](crate::Error::NoSuchTable) if the table was dropped;
    ///   [`Error::MissingClosures`](crate::Error::MissingClosures) of one that was opened and has checks. On disk also
    ///   [`Error::StorageFull`](crate::Error::StorageFull), [`Error::Io`](crate::Error::Io),
    ///   [`Error::SyncFailed`](crate::Error::SyncFailed), [`Error::Poisoned`](crate::Error::Poisoned),
    ///   [`Error::Closed`](crate::Error::Closed).
    ///
    /// In every case nothing was changed, but that after `SyncFailed` it is known only when the database is opened again
    /// whether the write is kept. This holds for all writes below.
    pub fn insert<R: Serialize + ?Sized>(&self, row: &R) -> Result<u64> {
        self.write(|table| table.insert(row))
    }

    /// Stores a row and answers it as stored, with its key and defaults.
    ///
    /// # Errors
    /// As [`insert`](Table::insert), and [`Error::Decode`](crate::Error::Decode) if `T` does not fit the row.
    pub fn insert_returning<R: Serialize + ?Sized, T: DeserializeOwned>(&self, row: &R) -> Result<T> {
        self.write(|table| table.insert_returning(row))
    }

    /// Stores many rows in one transaction, all or none, and answers how many. Several times faster than single inserts.
    ///
    /// # Errors
    /// [`Error::InBatch`](crate::Error::InBatch), which names the row (from 0) and what is wrong with it.
    pub fn insert_many<R: Serialize>(&self, rows: impl IntoIterator<Item = R>) -> Result<u64> {
        self.write(|table| table.insert_many(rows))
    }

    /// Stores a row: in the place of the one with the same primary key, else as a new one. Answers its key as
    /// [`insert`](Table::insert) does. The whole row is replaced; columns left out get their defaults.
    ///
    /// # Errors
    /// As [`insert`](Table::insert); [`Error::InvalidQuery`](crate::Error::InvalidQuery) if there is no primary key.
    pub fn upsert<R: Serialize + ?Sized>(&self, row: &R) -> Result<u64> {
        self.write(|table| table.upsert(row))
    }

    /// Replaces the whole row that has the same primary key as `row`.
    ///
    /// # Errors
    /// As [`upsert`](Table::upsert), and [`Error::NoSuchRow`](crate::Error::NoSuchRow).
    pub fn replace<R: Serialize + ?Sized>(&self, row: &R) -> Result<()> {
        self.write(|table| table.replace(row))
    }

    /// Changes some columns of the row with this key: those that `patch`, a struct or map, names.
    ///
    /// # Errors
    /// [`Error::NoSuchRow`](crate::Error::NoSuchRow), and as [`insert`](Table::insert).
    pub fn update<P: Serialize + ?Sized>(&self, key: impl ToKey, patch: &P) -> Result<()> {
        self.write(|table| table.update(key, patch))
    }

    /// Changes the row with this key by a closure, and answers what it answers.
    ///
    /// `change` is called once, inside the write: it may read from the database but not write to it, nor to a transaction
    /// that this is part of ([`Error::Reentrant`](crate::Error::Reentrant)). If it answers an error or panics, nothing was
    /// changed.
    ///
    /// # Errors
    /// [`Error::NoSuchRow`](crate::Error::NoSuchRow), the closure's error, and as [`insert`](Table::insert).
    pub fn modify<T>(&self, key: impl ToKey, change: impl FnOnce(&mut RowMut<'_>) -> Result<T>) -> Result<T> {
        self.write(|table| table.modify(key, change))
    }

    /// Deletes the row with this key and answers whether there was one.
    ///
    /// # Errors
    /// [`Error::InvalidKey`](crate::Error::InvalidKey), [`Error::Reentrant`](crate::Error::Reentrant);
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), see [`DatabaseBuilder::memory_limit`](crate::DatabaseBuilder::memory_limit).
    pub fn delete(&self, key: impl ToKey) -> Result<bool> {
        self.write(|table| table.delete(key))
    }

    /// Changes some columns of all rows that `filter` holds for: those that `patch`, a struct or map, names. Answers how
    /// many rows they were.
    ///
    /// Which rows they are is settled before the first one changes. `filter` is a [`Predicate`](crate::Predicate) or a
    /// closure, as in [`Select::filter`](crate::Select::filter); what `change` of [`modify`](Table::modify) may not do, it
    /// may not. Unique values are looked at as they are when all rows have changed, in whatever order: they can move from
    /// row to row.
    ///
    /// # Errors
    /// Of the filter, see [`Select`](crate::Select), and as [`insert`](Table::insert). All rows are changed or none.
    pub fn update_where<'f, P>(&self, filter: impl Filter<'f>, patch: &P) -> Result<u64>
    where
        P: Serialize + ?Sized,
    {
        self.write(|table| table.update_where(filter, patch))
    }

    /// Changes all rows that `filter` holds for by a closure, and answers how many they were.
    ///
    /// Which rows they are is settled before the first one changes. `change` is called once for each, in the order of
    /// row ids, inside the write: like `filter`, it may read but not write, as in [`modify`](Table::modify). Unique
    /// values are looked at as they are when all rows have changed, so that they can be shifted and swapped; rows that
    /// would get what another still has are kept beside the table until then.
    ///
    /// # Errors
    /// Of the filter, see [`Select`](crate::Select), the closure's, and as [`insert`](Table::insert). All rows are
    /// changed or none.
    pub fn modify_where<'f>(
        &self,
        filter: impl Filter<'f>,
        change: impl FnMut(&mut RowMut<'_>) -> Result<()>,
    ) -> Result<u64> {
        self.write(|table| table.modify_where(filter, change))
    }

    /// Deletes all rows that `filter` holds for, and answers how many they were.
    ///
    /// # Errors
    /// Of the filter, see [`Select`](crate::Select); [`Error::Reentrant`](crate::Error::Reentrant);
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), see [`DatabaseBuilder::memory_limit`](crate::DatabaseBuilder::memory_limit).
    pub fn delete_where<'f>(&self, filter: impl Filter<'f>) -> Result<u64> {
        self.write(|table| table.delete_where(filter))
    }

    /// Deletes all rows. Numbers given to keys are not given again. Cost: O(1) now, the memory is given back in slices.
    ///
    /// # Errors
    /// [`Error::Reentrant`](crate::Error::Reentrant).
    pub fn clear(&self) -> Result<()> {
        self.write(|table| table.clear())
    }
}
