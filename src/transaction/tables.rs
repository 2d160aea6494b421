//! The tables of a transaction: reads of the unfinished write, and every way to change rows.

use super::row_mut::RowMut;
use super::tx::Transaction;
use crate::error::{Error, Result};
use crate::page::Guard;
use crate::query::{Filter, Predicate};
use crate::schema::Schema;
use crate::table::change::TableMut;
use crate::table::definition::TableDef;
use crate::table::key::{IndexKey, index_key, type_of};
use crate::table::layout::PAGE_ROWS;
use crate::table::patch::Patched;
use crate::table::reader::{Reader, Source, no_table, sealed};
use crate::table::row::{ForeignReads, Row};
use crate::table::state::TableState;
use crate::table::update_many::UpdateMany;
use crate::table::version::Entry;
use crate::value::{Columns, RowBuf, RowError, Shape, ToKey, ValueRef, excerpt_of};
use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use std::cell::{Cell, OnceCell};
use std::ops::Deref;
use std::sync::Arc;

/// A table inside a transaction: all the reads of a [`Reader`], on what the transaction has done so far, and writes.
///
/// It does not leave the closure of its transaction:
///
/// ```compile_fail
/// # use folio::*;
/// # let db = Database::in_memory();
/// # let table = db.create_table(Schema::builder("t").column(Column::u64("n")).build().unwrap()).unwrap();
/// # table.insert(&(1,)).unwrap();
/// let table = db.transaction(|tx| tx.table("t")).unwrap();
/// ```
pub struct TransactionTable<'t> {
    reader: Reader<InTransaction<'t>>,
}

impl std::fmt::Debug for TransactionTable<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionTable").field("table", &self.name()).finish_non_exhaustive()
    }
}

/// See [`Source`].
pub struct InTransaction<'t> {
    transaction: &'t Transaction<'t>,
    slot: usize,
    state: State<'t>,
}

impl std::fmt::Debug for InTransaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InTransaction").field("table", &self.def().name()).finish_non_exhaustive()
    }
}

/// A state that was asked for by name, or is of the handle that a single operation was called on, within which no schema
/// changes.
enum State<'t> {
    Shared(Shared),
    Borrowed(&'t TableState),
}

/// The state that a handle was made with, and those that it has met since, one for each schema change of its table. They
/// stay while the handle does, for it lends what it finds in them.
struct Shared {
    own: Arc<TableState>,
    later: Later,
    /// The definition that is the present one, as of so many schema changes of the transaction.
    present: Cell<(u64, u32)>,
}

#[derive(Default)]
struct Later(OnceCell<Box<(Arc<TableState>, Later)>>);

/// Link by link: a transaction of many schema changes must not use up the stack.
impl Drop for Later {
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(mut link) = next {
            next = link.1.0.take();
        }
    }
}

impl Shared {
    /// The present state, of which it was seen that it may be another than the own one.
    #[cold]
    fn later(&self, transaction: &Transaction<'_>) -> &TableState {
        let (id, seen) = self.present.get();
        if seen == transaction.schema_changes()
            && let Some(state) = self.met(id)
        {
            return state;
        }
        // Behind a change of the schema, or behind a savepoint that was undone. A table that was dropped has none.
        let present = transaction.present(&self.own.def);
        let present = present.as_ref().unwrap_or(&self.own);
        self.present.set((present.def.id, transaction.schema_changes()));
        self.met(present.def.id).unwrap_or_else(|| self.meet(present))
    }

    /// The state with this definition.
    fn met(&self, id: u64) -> Option<&TableState> {
        let (mut state, mut later) = (&self.own, &self.later);
        while state.def.id != id {
            let (next, behind) = &**later.0.get()?;
            (state, later) = (next, behind);
        }
        Some(state)
    }

    fn meet(&self, state: &Arc<TableState>) -> &TableState {
        let mut later = &self.later;
        while let Some(next) = later.0.get() {
            later = &next.1;
        }
        &later.0.get_or_init(|| Box::new((Arc::clone(state), Later::default()))).0
    }
}

impl InTransaction<'_> {
    /// The table as the transaction has left it.
    #[inline(always)]
    fn state(&self) -> &TableState {
        match &self.state {
            State::Shared(shared) if shared.present.get() == (shared.own.def.id, self.transaction.schema_changes()) => {
                &shared.own
            }
            State::Shared(shared) => shared.later(self.transaction),
            State::Borrowed(state) => state,
        }
    }
}

impl sealed::Sealed for InTransaction<'_> {}

#[allow(private_interfaces)]
impl Source for InTransaction<'_> {
    #[inline(always)]
    fn guard(&self) -> Result<Guard<'_>> {
        self.transaction.view()
    }

    #[inline(always)]
    fn slot(&self) -> usize {
        self.slot
    }

    #[inline(always)]
    fn def(&self) -> &TableDef {
        &self.state().def
    }

    #[inline(always)]
    fn def_in_version(&self, id: u64) -> Option<&TableDef> {
        // None where the table was dropped: it is the one that the transaction's catalogue has.
        Some(self.def()).filter(|def| def.id == id)
    }
}

impl<'t> Deref for TransactionTable<'t> {
    type Target = Reader<InTransaction<'t>>;

    fn deref(&self) -> &Self::Target {
        &self.reader
    }
}

thread_local! {
    /// A row buffer for reuse. Taken out while in use, so that a closure that writes finds none and makes its own.
    static BUFFER: Cell<Option<Box<RowBuf>>> = const { Cell::new(None) };
    /// The buffers of a batch, likewise: at most one page of rows.
    static BATCH: Cell<Vec<RowBuf>> = const { Cell::new(Vec::new()) };
}

/// Writes a user's row, or what is to change of one, into a buffer.
///
/// What is generic in the rows' type ends with it: all else here is compiled once, with this crate, and not again for each
/// type of rows that a program has.
type Encode<'e> = &'e dyn Fn(&Shape, &mut RowBuf) -> std::result::Result<(), RowError>;

/// The same for the rows of a batch, one after the other; `None` when there are no more.
type EncodeNext<'e> = &'e mut dyn FnMut(&Shape, &mut RowBuf) -> Option<std::result::Result<(), RowError>>;

/// A buffer that a large row, or a large batch of the log, has made larger than this is given back.
pub(super) const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// Lends a row buffer for the length of a call.
#[inline]
fn with_buffer<R>(body: impl FnOnce(&mut RowBuf) -> R) -> R {
    // A thread that is ending has none to lend, and no use for one.
    let mut buffer = BUFFER.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let answer = body(&mut buffer);
    if buffer.held_bytes() <= BUFFER_BYTES_KEPT {
        let _ = BUFFER.try_with(|place| place.set(Some(buffer)));
    }
    answer
}

impl<'t> TransactionTable<'t> {
    pub(crate) fn shared(transaction: &'t Transaction<'_>, slot: usize, state: Arc<TableState>) -> Self {
        let present = Cell::new((state.def.id, transaction.schema_changes()));
        let state = State::Shared(Shared { own: state, later: Later::default(), present });
        Self { reader: Reader { source: InTransaction { transaction, slot, state } } }
    }

    /// The table as a handle from outside the transaction knows it.
    pub(crate) fn borrowed(transaction: &'t Transaction<'_>, slot: usize, state: &'t TableState) -> Result<Self> {
        let entry = Entry::read(transaction.view()?.root().bytes(), slot);
        let state = state.find(entry.def).ok_or_else(|| no_table(&state.def))?;
        let state = State::Borrowed(state);
        Ok(Self { reader: Reader { source: InTransaction { transaction, slot, state } } })
    }

    pub(super) fn def(&self) -> &TableDef {
        self.reader.source.def()
    }

    fn transaction(&self) -> &'t Transaction<'t> {
        self.reader.source.transaction
    }

    /// Runs one change of the table on the private root.
    #[inline(always)]
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut TableMut<'_, '_>) -> Result<R>) -> Result<R> {
        let source = &self.reader.source;
        self.transaction().change_table(source.slot, source.state(), change)
    }

    /// Refuses rows where a check has lost its closure.
    #[inline]
    pub(crate) fn check_closures(&self) -> Result<()> {
        let schema = &self.def().schema;
        if schema.lacks_checks() { Err(missing_closures(schema)) } else { Ok(()) }
    }

    /// Runs a change, of which `row` finds in its answer the one row that it was of, if it was of one alone.
    #[inline(always)]
    fn change_row<R>(
        &self,
        change: impl FnOnce(&mut TableMut<'_, '_>) -> Result<R>,
        row: impl FnOnce(&R) -> Option<u64>,
    ) -> Result<R> {
        let answer = self.change(change)?;
        if let Some(id) = row(&answer) {
            self.transaction().note_row(id);
        }
        Ok(answer)
    }

    /// Stores a new row.
    #[inline]
    fn insert_row(&self, row: &mut RowBuf) -> Result<u64> {
        let (next_id, id) = self.change(|table| Ok((table.lowest_free(), table.insert(row)?)))?;
        self.transaction().note_insert((self.reader.source.slot, self.def()), id, id >= next_id, row);
        Ok(id)
    }

    /// Replaces a stored row. Where its key changes, and with it its id, two rows do.
    #[inline(always)]
    fn replace_row(&self, id: u64, row: &mut RowBuf) -> Result<u64> {
        self.change_row(|table| table.replace(id, row), |new| (*new == id).then_some(id))
    }

    #[inline]
    fn encode(&self, encode: Encode<'_>, buffer: &mut RowBuf) -> Result<()> {
        let def = self.def();
        encode(def.schema.shape(), buffer).map_err(|error| error.in_table(def.name()))
    }

    /// Fills in defaults and runs the checks.
    #[inline]
    fn finish(&self, row: &mut RowBuf) -> Result<()> {
        self.check_closures()?;
        let schema = &self.def().schema;
        schema.complete(row).and_then(|()| schema.check(row)).map_err(|error| error.in_table(schema.name()))
    }

    /// The same for a row that is new, before which `ahead` others will be stored.
    #[inline]
    fn finish_new(&self, row: &mut RowBuf, ahead: u64) -> Result<()> {
        if self.def().schema.checks_number() { self.finish_numbered(row, ahead) } else { self.finish(row) }
    }

    /// The same, where checks look at the number that it will be stored with, unless it has a key of its own.
    fn finish_numbered(&self, row: &mut RowBuf, ahead: u64) -> Result<()> {
        self.check_closures()?;
        let schema = &self.def().schema;
        schema.complete(row).map_err(|error| error.in_table(schema.name()))?;
        if let Some(column) = self.def().row_id
            && !row.has_value(column)
        {
            row.set_id(column, self.id_to_give(ahead)?);
        }
        schema.check(row).map_err(|error| error.in_table(schema.name()))
    }

    fn id_to_give(&self, ahead: u64) -> Result<u64> {
        let opened = self.reader.open()?;
        let sequence = &self.reader.source.state().sequence;
        let id = sequence.number(opened.view().next_id(), ahead, opened.def.last_id);
        id.ok_or_else(|| opened.def.exhausted())
    }

    /// The key of a stored row as an integer, where it is one; else the row id.
    fn key_of(&self, row: &RowBuf, id: u64) -> u64 {
        let def = self.def();
        match def.schema.primary_key() {
            [column] if def.row_id.is_none() => {
                let ty = type_of(def, *column);
                let value = row.column_bytes(*column).map(|bytes| ty.unpack(bytes));
                match value {
                    Some(ValueRef::Int(key)) => key.cast_unsigned(),
                    Some(ValueRef::UInt(key)) => key,
                    _ => id,
                }
            }
            _ => id,
        }
    }

    /// See [`Table::insert`](crate::Table::insert).
    pub fn insert<R: Serialize + ?Sized>(&self, row: &R) -> Result<u64> {
        self.insert_encoded(&|shape, buffer| buffer.encode(shape, row))
    }

    fn insert_encoded(&self, encode: Encode<'_>) -> Result<u64> {
        with_buffer(|buffer| {
            self.encode(encode, buffer)?;
            self.finish_new(buffer, 0)?;
            let id = self.insert_row(buffer)?;
            Ok(self.key_of(buffer, id))
        })
    }

    /// See [`Table::insert_returning`](crate::Table::insert_returning).
    pub fn insert_returning<R: Serialize + ?Sized, T: DeserializeOwned>(&self, row: &R) -> Result<T> {
        let mut answer = None;
        self.insert_then(&|shape, buffer| buffer.encode(shape, row), &mut |shape, stored| {
            answer = Some(crate::value::decode(shape, stored)?);
            Ok(())
        })?;
        answer.ok_or(Error::TransactionFailed)
    }

    /// Stores a new row, then reads it: where that fails, it goes again.
    fn insert_then(
        &self,
        encode: Encode<'_>,
        read: &mut dyn FnMut(&Shape, &RowBuf) -> std::result::Result<(), RowError>,
    ) -> Result<()> {
        self.transaction().atomic(|| {
            with_buffer(|buffer| {
                self.encode(encode, buffer)?;
                self.finish_new(buffer, 0)?;
                self.insert_row(buffer)?;
                let def = self.def();
                read(def.schema.shape(), buffer).map_err(|error| error.in_table(def.name()))
            })
        })
    }

    /// See [`Table::insert_many`](crate::Table::insert_many).
    pub fn insert_many<R: Serialize>(&self, rows: impl IntoIterator<Item = R>) -> Result<u64> {
        // The iterator's own code, where it begins and where it is dropped, may write too: that is undone with the batch.
        self.transaction().atomic(|| {
            let mut rows = Some(rows.into_iter());
            self.insert_each(&mut |shape, buffer| {
                let Some(row) = rows.as_mut()?.next() else {
                    // What it borrows is given back before the last rows are stored.
                    rows = None;
                    return None;
                };
                Some(buffer.encode(shape, &row))
            })
        })
    }

    /// Undone by the caller where it fails.
    fn insert_each(&self, encode_next: EncodeNext<'_>) -> Result<u64> {
        let rows_kept = BATCH.try_with(Cell::take).unwrap_or_default();
        let mut batch = Batch { rows: rows_kept, used: 0, room: self.append_room()?, stored: 0 };
        let def = self.def();
        while let Some(encoded) = encode_next(def.schema.shape(), batch.next()) {
            let ahead = batch.used as u64;
            let encoded = encoded.map_err(|error| error.in_table(def.name()));
            let buffer = batch.next();
            let has_own_id = self.def().row_id.is_some_and(|column| buffer.has_value(column));
            let finished = encoded.and_then(|()| self.finish_new(buffer, ahead));
            finished.map_err(|error| in_batch(batch.stored + ahead, error))?;
            if has_own_id {
                self.flush(&mut batch)?;
                let (stored, last) = (batch.stored, batch.used);
                let own = &mut batch.rows[last];
                self.change(|table| table.insert(own)).map_err(|error| in_batch(stored, error))?;
                batch.stored += 1;
                batch.room = self.append_room()?;
                continue;
            }
            batch.used += 1;
            if batch.used == batch.room {
                self.flush(&mut batch)?;
                batch.room = self.append_room()?;
            }
        }
        self.flush(&mut batch)?;
        batch.rows.retain(|row| row.held_bytes() <= BUFFER_BYTES_KEPT);
        let _ = BATCH.try_with(|place| place.set(std::mem::take(&mut batch.rows)));
        Ok(batch.stored)
    }

    /// Makes `next` the lowest number to be given, unless it is higher already.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for what no table of these columns can have come to.
    pub(crate) fn raise_next(&self, next: u64) -> Result<()> {
        let def = self.def();
        self.change(|table| {
            let most = def.row_id.map_or(0, |_| table.last_id_stored().saturating_add(1));
            if next > most {
                return Err(Error::OutOfRange {
                    table: def.name().into(),
                    column: def.row_id.map_or("next_id", |column| def.column_name(column)).into(),
                    value: next.to_string().into(),
                    expected: format!("a next number up to {most}").into(),
                });
            }
            table.raise_next_id(next);
            Ok(())
        })
    }

    /// How many rows come next until a page is full. Asked of the version and not of the write: a batch without a row changes
    /// nothing.
    fn append_room(&self) -> Result<usize> {
        let opened = self.reader.open()?;
        let next = self.reader.source.state().sequence.next(opened.view().next_id(), opened.def.last_id);
        Ok(PAGE_ROWS - next as usize % PAGE_ROWS)
    }

    /// Stores the rows gathered; a row of its own id that was encoded behind them moves to their front.
    fn flush(&self, batch: &mut Batch) -> Result<()> {
        let (used, stored) = (batch.used, batch.stored);
        if used > 0 {
            let rows = &mut batch.rows[..used];
            if self.def().schema.checks_number() {
                self.number_again(rows).map_err(|(index, error)| in_batch(stored + index, error))?;
            }
            let appended = self.change(|table| {
                let mut done = 0;
                while done < used {
                    // The rows' own code may have written to this table since they were gathered, so that they no longer
                    // go into one page.
                    let until = used.min(done + table.append_room());
                    if let Err((index, error)) = table.append(&mut rows[done..until]) {
                        return Ok(Err((done + index, error)));
                    }
                    done = until;
                }
                Ok(Ok(()))
            })?;
            appended.map_err(|(index, error)| in_batch(stored + index as u64, error))?;
            batch.stored += used as u64;
            batch.rows.rotate_left(used);
            batch.used = 0;
        }
        Ok(())
    }

    /// Numbers and checks those rows anew that come to be stored with other numbers than they were checked with, since
    /// their own code has written to this table.
    #[cold]
    fn number_again(&self, rows: &mut [RowBuf]) -> Result<(), (u64, Error)> {
        let def = self.def();
        let Some(column) = def.row_id else { return Ok(()) };
        for (ahead, row) in (0..).zip(rows) {
            let id = self.id_to_give(ahead).map_err(|error| (ahead, error))?;
            let checked = row.column_bytes(column).and_then(|bytes| type_of(def, column).unpack(bytes).as_u64());
            if checked != Some(id) {
                row.set_id(column, id);
                self.finish(row).map_err(|error| (ahead, error))?;
            }
        }
        Ok(())
    }

    /// See [`Table::upsert`](crate::Table::upsert).
    pub fn upsert<R: Serialize + ?Sized>(&self, row: &R) -> Result<u64> {
        self.upsert_encoded(&|shape, buffer| buffer.encode(shape, row))
    }

    fn upsert_encoded(&self, encode: Encode<'_>) -> Result<u64> {
        with_buffer(|buffer| {
            self.encode(encode, buffer)?;
            self.finish_new(buffer, 0)?;
            match self.id_of_key_in(buffer)? {
                Some(id) => {
                    let key = self.key_of(buffer, id);
                    self.replace_row(id, buffer).map(|_| key)
                }
                None => {
                    let id = self.insert_row(buffer)?;
                    Ok(self.key_of(buffer, id))
                }
            }
        })
    }

    /// See [`Table::replace`](crate::Table::replace).
    pub fn replace<R: Serialize + ?Sized>(&self, row: &R) -> Result<()> {
        self.replace_encoded(&|shape, buffer| buffer.encode(shape, row))
    }

    fn replace_encoded(&self, encode: Encode<'_>) -> Result<()> {
        with_buffer(|buffer| {
            self.encode(encode, buffer)?;
            self.finish(buffer)?;
            let Some(id) = self.id_of_key_in(buffer)? else {
                let def = self.def();
                let key = crate::table::key::describe_key(def, def.schema.primary_key(), &*buffer);
                return Err(Error::NoSuchRow { table: def.name().into(), key: key.into() });
            };
            self.replace_row(id, buffer).map(drop)
        })
    }

    /// The id of the stored row whose primary key is that of `row`.
    fn id_of_key_in(&self, row: &RowBuf) -> Result<Option<u64>> {
        let opened = self.reader.open()?;
        let def = opened.def;
        if let Some(column) = def.row_id {
            let ty = type_of(def, column);
            let id = row.column_bytes(column).and_then(|bytes| ty.unpack(bytes).as_u64());
            return Ok(id.filter(|&id| opened.view().row(id).is_some()));
        }
        if !def.has_key_index {
            return Err(Error::InvalidQuery {
                message: format!("table `{}` has no primary key to find the row by", def.name()).into(),
            });
        }
        let key = def.indexes.first().map_or(IndexKey::Absent, |plan| index_key(def, plan, row));
        Ok(opened.view().conflict(0, &key, row, None).map(|row| row.id()))
    }

    /// See [`Table::update`](crate::Table::update).
    pub fn update<P: Serialize + ?Sized>(&self, key: impl ToKey, patch: &P) -> Result<()> {
        self.update_encoded(&key, &|shape, buffer| buffer.encode_partial(shape, patch))
    }

    fn update_encoded(&self, key: &dyn ToKey, encode: Encode<'_>) -> Result<()> {
        with_buffer(|buffer| {
            self.encode(encode, buffer)?;
            self.store_patch(self.row_of(key)?, buffer)
        })
    }

    /// The row with this key, which is to change.
    #[inline(always)]
    fn row_of(&self, key: &dyn ToKey) -> Result<Row<'_>> {
        self.reader.get(key)?.ok_or_else(|| self.no_row(key))
    }

    /// See [`Table::modify`](crate::Table::modify).
    pub fn modify<T>(&self, key: impl ToKey, change: impl FnOnce(&mut RowMut<'_>) -> Result<T>) -> Result<T> {
        let (mut change, mut answer) = (Some(change), None);
        self.modify_once(&key, &mut |row| {
            answer = change.take().map(|change| change(row)).transpose()?;
            Ok(())
        })?;
        answer.ok_or(Error::TransactionFailed)
    }

    fn modify_once(&self, key: &dyn ToKey, change: &mut dyn FnMut(&mut RowMut<'_>) -> Result<()>) -> Result<()> {
        let row = self.row_of(key)?;
        with_buffer(|buffer| {
            self.run_change(&row, buffer, change)?;
            self.store_patch(row, buffer)
        })
    }

    /// Lets the user's closure set what is to change. What it has read with another table's handle is no value.
    fn run_change(
        &self,
        old: &Row<'_>,
        row: &mut RowBuf,
        change: &mut dyn FnMut(&mut RowMut<'_>) -> Result<()>,
    ) -> Result<()> {
        row.reset(self.def().schema.shape());
        let foreign_reads = ForeignReads::watch();
        self.transaction().read_only(|| change(&mut RowMut { def: self.def(), row, old }))?;
        foreign_reads.check(self.def())
    }

    /// Runs the checks on a stored row with the values that `patch` sets.
    fn check_patch(&self, row: &Row<'_>, patch: &RowBuf) -> Result<()> {
        self.check_closures()?;
        let schema = &self.def().schema;
        schema.check(&Patched { patch, old: row }).map_err(|error| error.in_table(schema.name()))
    }

    /// Gives a stored row the values that `buffer` sets.
    #[inline]
    fn store_patch(&self, row: Row<'_>, buffer: &mut RowBuf) -> Result<()> {
        self.check_patch(&row, buffer)?;
        let id = row.id();
        // Its view ends here: while one is open, what rows change is copied again and again.
        drop(row);
        self.replace_row(id, buffer).map(drop)
    }

    /// See [`Table::delete`](crate::Table::delete).
    pub fn delete(&self, key: impl ToKey) -> Result<bool> {
        self.delete_row(&key)
    }

    fn delete_row(&self, key: &dyn ToKey) -> Result<bool> {
        let Some(id) = self.reader.get(key)?.map(|row| row.id()) else { return Ok(false) };
        self.change_row(|table| table.remove(id), |_| Some(id))
    }

    /// See [`Table::clear`](crate::Table::clear).
    pub fn clear(&self) -> Result<()> {
        self.change(|table| table.clear())
    }

    /// The ids of the rows that a filter finds. Its view has ended when rows change: while one is open, pages are copied.
    fn ids_where(&self, predicate: Predicate<'_>) -> Result<Vec<u64>> {
        self.transaction().read_only(|| self.reader.select().filter(predicate).ids())
    }

    /// See [`Table::update_where`](crate::Table::update_where).
    pub fn update_where<'f, P>(&self, filter: impl Filter<'f>, patch: &P) -> Result<u64>
    where
        P: Serialize + ?Sized,
    {
        self.update_where_encoded(filter.into_predicate(), &|shape, buffer| buffer.encode_partial(shape, patch))
    }

    fn update_where_encoded(&self, predicate: Predicate<'_>, encode: Encode<'_>) -> Result<u64> {
        let mut encoded = RowBuf::new();
        // Encoded once and ahead: a patch that does not fit is an error whether or not a row is found.
        self.encode(encode, &mut encoded)?;
        self.change_where(predicate, &mut |_, buffer| {
            buffer.clone_from(&encoded);
            Ok(())
        })
    }

    /// See [`Table::modify_where`](crate::Table::modify_where).
    pub fn modify_where<'f>(
        &self,
        filter: impl Filter<'f>,
        mut change: impl FnMut(&mut RowMut<'_>) -> Result<()>,
    ) -> Result<u64> {
        self.change_where(filter.into_predicate(), &mut |row, buffer| self.run_change(row, buffer, &mut change))
    }

    /// Gives rows the values that `change` sets in the buffer.
    fn change_where(
        &self,
        predicate: Predicate<'_>,
        change: &mut dyn FnMut(&Row<'_>, &mut RowBuf) -> Result<()>,
    ) -> Result<u64> {
        let ids = self.ids_where(predicate)?;
        self.transaction().atomic(|| {
            with_buffer(|buffer| {
                let (mut changed, mut update) = (0, UpdateMany::new(&ids));
                for &id in &ids {
                    let Some(row) = self.reader.row_by_id(id)? else { continue };
                    change(&row, buffer)?;
                    self.check_patch(&row, buffer)?;
                    drop(row);
                    self.change_row(|table| update.replace(table, id, buffer), |new| new.filter(|new| *new == id))?;
                    changed += 1;
                }
                if update.has_waiting() {
                    self.change(|table| update.finish(table))?;
                }
                Ok(changed)
            })
        })
    }

    /// See [`Table::delete_where`](crate::Table::delete_where).
    pub fn delete_where<'f>(&self, filter: impl Filter<'f>) -> Result<u64> {
        self.delete_all(self.ids_where(filter.into_predicate())?)
    }

    fn delete_all(&self, ids: Vec<u64>) -> Result<u64> {
        self.transaction().atomic(|| {
            let mut deleted = 0;
            for id in ids {
                deleted += u64::from(self.change(|table| table.remove(id))?);
            }
            Ok(deleted)
        })
    }

    #[cold]
    fn no_row(&self, key: &dyn ToKey) -> Error {
        let mut parts = Vec::new();
        key.visit_parts(&mut |part| parts.push(excerpt_of(part)));
        let key = if parts.len() == 1 { parts.remove(0) } else { format!("({})", parts.join(", ")) };
        Error::NoSuchRow { table: self.def().name().into(), key: key.into() }
    }
}

/// Rows gathered for one page.
struct Batch {
    rows: Vec<RowBuf>,
    used: usize,
    room: usize,
    stored: u64,
}

impl Batch {
    /// The buffer for the next row.
    fn next(&mut self) -> &mut RowBuf {
        if self.rows.len() == self.used {
            self.rows.push(RowBuf::new());
        }
        &mut self.rows[self.used]
    }
}

#[cold]
fn missing_closures(schema: &Schema) -> Error {
    let closures = schema.missing_closures().join(", ").into();
    Error::MissingClosures { table: schema.name().into(), closures }
}

#[cold]
fn in_batch(row: u64, error: Error) -> Error {
    Error::InBatch { row, source: Box::new(error) }
}
