//! A transaction: any number of changes to any tables, seen by others whole or not at all.

use super::catalog::{Catalog, Listed};
use super::core::Core;
use super::ddl;
use super::durable::log::{DoneWith, Log};
use super::redo;
use super::states::StateMap;
use super::tables::TransactionTable;
use crate::error::{Error, Result};
use crate::page::{self, BlockRef, Guard, Writer};
use crate::schema::{Index, Schema};
use crate::storage::Format;
#[cfg(feature = "testing")]
use crate::storage::plant::{Plant, is_planted};
use crate::table::change::TableMut;
use crate::table::definition::TableDef;
use crate::table::reader::no_table;
use crate::table::state::TableState;
use crate::table::version::{Entry, next_version, set_version_number, version_number};
use crate::value::{RowBuf, Timestamp};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// A write to the database in progress, handed to the closure of [`Database::transaction`](crate::Database::transaction).
///
/// It reads its own writes. Nobody else sees any of them before the closure answers `Ok`; when it answers an error or
/// panics, nothing has happened. Writers take turns: keep transactions short. Readers are never in the way.
pub struct Transaction<'d> {
    core: &'d Core,
    page: page::Transaction<'d>,
    /// The schema changes made here.
    pending: RefCell<Option<Arc<Pending>>>,
    /// How often that has changed; savepoints that are undone change it too.
    schema_changes: Cell<u32>,
    /// Set when memory ran out in the middle of a change: what is left is not to be published.
    failed: Cell<bool>,
    /// Set while a closure that an operation calls may read and not write.
    is_read_only: Cell<bool>,
    /// The table's slot and state, or an older one, if this is one operation on its own: of one table, and undone by
    /// dropping the transaction.
    single: Option<(usize, &'d TableState)>,
    /// How many changes were made, and the row of the last, if that was of one row alone. What a log is told of a single
    /// operation is found without a look at other tables, and that of one on a row without a comparison of versions.
    changes: Cell<u32>,
    row: Cell<Option<u64>>,
    /// Whether the log's buffer has what the last change did.
    is_told: Cell<bool>,
    /// Whether it is to be durable on return, whatever the others are.
    wants_sync: Cell<bool>,
    /// The time of this transaction, once asked for.
    now: Cell<Option<Timestamp>>,
}

impl std::fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

/// What a transaction with schema changes will replace.
#[derive(Clone)]
struct Pending {
    catalog: Catalog,
    /// The states of the tables that have a new definition there.
    states: StateMap,
}

impl<'d> Transaction<'d> {
    #[inline]
    pub(crate) fn new(core: &'d Core, page: page::Transaction<'d>, single: Option<(usize, &'d TableState)>) -> Self {
        Self {
            core,
            page,
            pending: RefCell::new(None),
            schema_changes: Cell::new(0),
            failed: Cell::new(false),
            is_read_only: Cell::new(false),
            single,
            changes: Cell::new(0),
            row: Cell::new(None),
            is_told: Cell::new(false),
            wants_sync: Cell::new(false),
            now: Cell::new(None),
        }
    }

    /// The table `name`, as this transaction has left it.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`].
    pub fn table(&self, name: impl AsRef<str>) -> Result<TransactionTable<'_>> {
        let (slot, state) = self.find(name.as_ref())?;
        Ok(TransactionTable::shared(self, slot, state))
    }

    /// The slot and the state of the table `name`.
    pub(super) fn find(&self, name: &str) -> Result<(usize, Arc<TableState>)> {
        let Listed { slot, def } = self.with_catalog(|catalog| catalog.find(name).cloned())?;
        Ok((slot, self.state_of(&def)))
    }

    /// The state of the table with this definition, which this transaction's catalogue has.
    pub(super) fn state_of(&self, def: &Arc<TableDef>) -> Arc<TableState> {
        let pending = self.pending.borrow();
        let new = pending.as_ref().and_then(|pending| pending.states.get(&def.table));
        new.map_or_else(|| self.core.states.of(def), Arc::clone)
    }

    /// What has been found of a table's definition holds for as long as this is the same.
    #[inline(always)]
    pub(super) fn schema_changes(&self) -> u32 {
        self.schema_changes.get()
    }

    /// The state that the table of `def` has by now; none if it was dropped.
    pub(super) fn present(&self, def: &TableDef) -> Option<Arc<TableState>> {
        let listed = self.with_catalog(|catalog| catalog.same_table(def).cloned())?;
        Some(self.state_of(&listed.def))
    }

    /// The names of all tables, sorted.
    pub fn table_names(&self) -> Vec<String> {
        self.with_catalog(Catalog::names)
    }

    /// Creates a table.
    ///
    /// # Errors
    /// [`Error::TableExists`], [`Error::Limit`] beyond 4,096 tables, [`Error::OutOfMemory`].
    pub fn create_table(&self, schema: Schema) -> Result<TransactionTable<'_>> {
        self.create(schema).map(|(slot, state)| TransactionTable::shared(self, slot, state))
    }

    /// The same for a handle that outlives the transaction.
    pub(crate) fn create(&self, schema: Schema) -> Result<(usize, Arc<TableState>)> {
        self.create_in(schema, ddl::create_table)
    }

    /// Creates a table where `place` puts it.
    fn create_in(
        &self,
        schema: Schema,
        place: impl FnOnce(&mut Writer, &TableDef) -> Result<usize>,
    ) -> Result<(usize, Arc<TableState>)> {
        let name: Box<str> = schema.name().into();
        if self.with_catalog(|catalog| catalog.tables.contains_key(&name)) {
            return Err(Error::TableExists { table: name });
        }
        let def = TableDef::new(schema, self.core.lineage.seed.clone());
        let slot = self.write(|writer| place(writer, &def))?;
        Ok((slot, self.list(slot, TableState::new(Arc::new(def)))))
    }

    /// See [`Database::ensure_table`](crate::Database::ensure_table).
    ///
    /// # Errors
    /// [`Error::SchemaDiffers`], and as [`create_table`](Transaction::create_table).
    pub fn ensure_table(&self, schema: Schema) -> Result<TransactionTable<'_>> {
        self.ensure(schema).map(|(slot, state)| TransactionTable::shared(self, slot, state))
    }

    /// The same for a handle that outlives the transaction.
    pub(crate) fn ensure(&self, schema: Schema) -> Result<(usize, Arc<TableState>)> {
        let found = self.with_catalog(|catalog| catalog.tables.get(schema.name()).cloned());
        let Some(Listed { slot, def }) = found else { return self.create(schema) };
        if let Some(difference) = def.schema.difference(&schema) {
            return Err(Error::SchemaDiffers { table: schema.name().into(), difference });
        }
        let state = self.state_of(&def);
        if def.schema.missing_closures().is_empty() {
            return Ok((slot, state));
        }
        // A definition as after a schema change, which is none to the log: the schema is stored the same.
        let new = state.with_schema(schema);
        self.write(|writer| ddl::redefine(writer, slot, &new.def))?;
        Ok((slot, self.list(slot, new)))
    }

    /// Creates a table in this slot of the root, which must be free.
    pub(super) fn create_table_at(&self, schema: Schema, slot: usize) -> Result<()> {
        self.create_in(schema, |writer, def| ddl::create_table_at(writer, def, slot).map(|()| slot)).map(drop)
    }

    /// Makes `out`, which the log's buffer is, what this transaction has done, for [`redo::apply`].
    pub(super) fn encode_redo(&self, format: Format, out: &mut Vec<u8>) -> Result<()> {
        if self.is_told.get() && self.changes.get() == 1 {
            debug_assert!({
                let (view, mut compared) = (self.view()?, Vec::new());
                self.encode_all(self.page.base(), view.root(), format, &mut compared).is_ok() && *out == compared
            });
            return Ok(());
        }
        out.clear();
        let view = self.view()?;
        let (old, new) = (self.page.base(), view.root());
        let Some((slot, state)) = self.single else { return self.encode_all(old, new, format, out) };
        // Elsewhere than in a single operation the change may have been undone since, with a savepoint.
        let row = self.row.get().filter(|_| self.changes.get() == 1);
        let state = state.find(Entry::read(new.bytes(), slot).def).ok_or_else(|| no_table(&state.def))?;
        redo::encode_table((old, new), (slot, &*state.def), row, format, out)?;
        debug_assert!({
            let mut compared = Vec::new();
            self.encode_all(old, new, format, &mut compared).is_ok() && *out == compared
        });
        Ok(())
    }

    fn encode_all(&self, old: BlockRef<'_>, new: BlockRef<'_>, format: Format, out: &mut Vec<u8>) -> Result<()> {
        let committed = self.core.catalog.read();
        let pending = self.pending.borrow();
        let old = redo::Version { root: old, catalog: &committed };
        let catalog = pending.as_ref().map_or(&**committed, |pending| &pending.catalog);
        let new = redo::Version { root: new, catalog };
        redo::encode(old, new, format, out)
    }

    /// Drops a table with all its rows. Cost: O(tables) now, whatever their rows; the memory is given
    /// back in slices.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`].
    pub fn drop_table(&self, name: &str) -> Result<()> {
        let slot = self.with_catalog(|catalog| catalog.find(name).map(|listed| listed.slot))?;
        self.write(|writer| ddl::drop_table(writer, slot))?;
        self.change_schema(|Pending { catalog, states }| {
            if let Some(listed) = catalog.tables.remove(name) {
                states.remove(&listed.def.table);
            }
        });
        Ok(())
    }

    /// Adds an index to a table and fills it. Handles of the table made before use it as well. Cost: O(rows · log rows).
    ///
    /// # Errors
    /// [`Error::NoSuchTable`], [`Error::IndexExists`], [`Error::InvalidSchema`] if the index does not fit the table,
    /// [`Error::Unique`] if it is unique and the rows are not, [`Error::NanInKey`], [`Error::Limit`].
    pub fn create_index(&self, table: &str, index: Index) -> Result<()> {
        let (slot, state) = self.find(table)?;
        let schema = state.def.schema.with_index(index)?;
        self.reindex(slot, &state, schema)
    }

    /// Drops an index of a table.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`], [`Error::NoSuchIndex`], [`Error::IndexInUse`] if it keeps a column unique.
    pub fn drop_index(&self, table: &str, index: &str) -> Result<()> {
        let (slot, state) = self.find(table)?;
        let schema = state.def.schema.without_index(index)?;
        self.reindex(slot, &state, schema)
    }

    fn reindex(&self, slot: usize, old: &TableState, schema: Schema) -> Result<()> {
        let new = old.with_schema(schema);
        self.atomic(|| self.write(|writer| ddl::reindex(writer, slot, &old.def, &new)))?;
        self.list(slot, new);
        Ok(())
    }

    /// Lets the table in this slot be the one of this state, whose definition is new.
    fn list(&self, slot: usize, state: TableState) -> Arc<TableState> {
        let state = Arc::new(state);
        let TableState { def, .. } = &*state;
        self.change_schema(|Pending { catalog, states }| {
            catalog.tables.insert(def.name().into(), Listed { slot, def: Arc::clone(def) });
            states.insert(def.table, Arc::clone(&state));
        });
        state
    }

    /// Runs `body`; if it answers an error or panics, what it did is undone and the transaction goes on from here.
    /// Savepoints nest. Cost: O(1), undoing O(pages changed).
    ///
    /// # Errors
    /// The error of `body`; [`Error::Reentrant`] from inside another operation's closure.
    pub fn savepoint<T>(&self, body: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let undo = self.undo()?;
        let answer = body(self)?;
        undo.is_kept.set(true);
        Ok(answer)
    }

    /// Undoes on drop what is done from here on.
    fn undo(&self) -> Result<Undo<'_, 'd>> {
        self.check_writable()?;
        Ok(Undo {
            transaction: self,
            point: self.page.savepoint()?,
            pending: self.pending.borrow().clone(),
            is_kept: Cell::new(false),
        })
    }

    /// Runs `body` so that an error leaves nothing of it. A single operation is dropped as a whole anyway.
    pub(crate) fn atomic<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.single.is_some() { body() } else { self.savepoint(|_| body()) }
    }

    /// Runs a closure of the user's that an operation calls in its middle: it may read and not write, since the operation
    /// goes on with what it has read before.
    #[inline]
    pub(super) fn read_only<R>(&self, closure: impl FnOnce() -> R) -> R {
        let _before = Restore { place: &self.is_read_only, value: self.is_read_only.replace(true) };
        closure()
    }

    /// Runs one change on the private root.
    #[inline]
    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut Writer) -> Result<R>) -> Result<R> {
        self.check_writable()?;
        self.changes.set(self.changes.get().saturating_add(1));
        let answer = self.page.write(|writer| change(writer))?;
        if let Err(Error::OutOfMemory { .. }) = answer {
            self.failed.set(true);
        }
        answer
    }

    /// Runs one change of the table in this slot, whose state this is, on the private root.
    #[inline]
    pub(super) fn change_table<R>(
        &self,
        slot: usize,
        state: &TableState,
        change: impl FnOnce(&mut TableMut<'_, '_>) -> Result<R>,
    ) -> Result<R> {
        let TableState { def, sequence, .. } = state;
        self.write(|writer| {
            let mut root = writer.pages.make_root_mut(&mut writer.root)?;
            let (links, bytes) = root.parts();
            let mut entry = Entry::read(bytes, slot);
            let Some([rows, indexes]) = links.get_mut(2 * slot..2 * slot + 2).filter(|_| entry.def == def.id) else {
                return Err(no_table(def));
            };
            let pages = &mut writer.pages;
            let answer = change(&mut TableMut { def, sequence, pages, rows, indexes, entry: &mut entry });
            entry.write(bytes, slot);
            answer
        })
    }

    /// Says that the last change was of this row alone.
    #[inline]
    pub(crate) fn note_row(&self, id: u64) {
        self.row.set(Some(id));
    }

    /// Says that the last change was the insertion of this row alone, as the row `id`, which is the highest that was ever
    /// given where it `is_last`. What a log will be told of a single one is written here, where the row still is as it came.
    #[inline]
    pub(super) fn note_insert(&self, table: (usize, &TableDef), id: u64, is_last: bool, row: &RowBuf) {
        self.note_row(id);
        if let Some(log) = &self.core.log
            && self.single.is_some()
            && is_last
        {
            self.is_told.set(log.tell(|buffer| redo::encode_insert(table, id, row, buffer)));
        }
    }

    /// The private version as it is now.
    #[inline]
    pub(crate) fn view(&self) -> Result<Guard<'_>> {
        self.check_alive()?;
        Ok(self.page.view()?)
    }

    #[inline]
    fn check_alive(&self) -> Result<()> {
        if self.failed.get() { Err(Error::TransactionFailed) } else { Ok(()) }
    }

    #[inline]
    fn check_writable(&self) -> Result<()> {
        self.check_alive()?;
        if self.is_read_only.get() { Err(Error::Reentrant) } else { Ok(()) }
    }

    /// Whether there is a table of this name; unlike an error that says so, without a look for one that is like it.
    pub(crate) fn has_table(&self, name: &str) -> bool {
        self.with_catalog(|catalog| catalog.tables.contains_key(name))
    }

    pub(super) fn with_catalog<R>(&self, read: impl FnOnce(&Catalog) -> R) -> R {
        match &*self.pending.borrow() {
            Some(pending) => read(&pending.catalog),
            None => read(&Arc::clone(&self.core.catalog.read())),
        }
    }

    fn change_schema(&self, change: impl FnOnce(&mut Pending)) {
        self.schema_changes.update(|count| count.wrapping_add(1));
        let mut pending = self.pending.borrow_mut();
        let pending = pending.get_or_insert_with(|| {
            let catalog = Arc::clone(&self.core.catalog.read());
            Arc::new(Pending { catalog: Catalog::clone(&catalog), states: StateMap::new() })
        });
        // Copied if a savepoint goes back to it.
        change(Arc::make_mut(pending));
    }

    /// Makes everything visible in one step, when the log of the database, if it has one, has it.
    #[inline]
    pub(crate) fn commit(self) -> Result<()> {
        self.check_alive()?;
        let version = self.page.write(|writer| -> Result<Option<u64>> {
            if !writer.is_changed() {
                return Ok(None);
            }
            let mut root = writer.pages.make_mut(&mut writer.root)?;
            let version = next_version(root.bytes());
            set_version_number(root.bytes(), version);
            Ok(Some(version))
        })??;
        match &self.core.log {
            None => {
                self.publish();
                Ok(())
            }
            Some(log) => self.commit_to(log, version),
        }
    }

    /// Ends without a commit. `error` may tell of what nobody sees yet, such as a key that is taken by a row which waits
    /// for its sync: it is answered when others may see that too, or the log's own error if nobody ever will.
    #[cold]
    #[inline(never)]
    pub(crate) fn refused(self, error: Error) -> Error {
        let (core, base) = (self.core, version_number(self.page.base()));
        drop(self);
        match core.log.as_deref() {
            Some(log) if !log.is_settled(base) => settle(core, log, base).err().unwrap_or(error),
            _ => error,
        }
    }

    /// The bytes of pages in use, and how many more may be.
    pub(super) fn memory(&self) -> (usize, usize) {
        self.page.memory()
    }

    /// Commits what was replayed from a log, as the version that it ends at.
    pub(crate) fn commit_replayed(self, version: u64) -> Result<()> {
        self.check_alive()?;
        self.page.write(|writer| -> Result<()> {
            let mut root = writer.pages.make_mut(&mut writer.root)?;
            set_version_number(root.bytes(), version);
            Ok(())
        })??;
        self.publish();
        Ok(())
    }

    /// In line where it is called, for a transaction is large to move.
    #[inline(always)]
    fn publish(self) {
        if self.pending.borrow().is_none() {
            self.page.commit();
        } else {
            self.publish_catalog();
        }
    }

    #[cold]
    fn publish_catalog(self) {
        let Some(pending) = self.pending.into_inner() else { return };
        let Pending { catalog: new, states } = Arc::unwrap_or_clone(pending);
        let mut catalog = self.core.catalog.write();
        let gone = self.core.states.replace(&catalog, &new, states);
        self.page.commit();
        let old = std::mem::replace(&mut *catalog, Arc::new(new));
        drop(catalog);
        // With them may go closures, and what the user's code keeps in them.
        drop((old, gone));
    }

    /// See [`Log`] for the order and its reasons.
    fn commit_to(self, log: &Log, version: Option<u64>) -> Result<()> {
        let wants_sync = self.wants_sync.get();
        let Some(version) = version else {
            // What it has read may be seen by nobody yet: it is answered when others may see it too.
            let (core, base) = (self.core, version_number(self.view()?.root()));
            drop(self);
            let is_settled = log.is_settled(base) && !(wants_sync && log.engine.durable() < base);
            return if is_settled { Ok(()) } else { settle(core, log, base) };
        };
        if !wants_sync && log.may_fall_behind(version, self.page.memory(), || self.core.snapshot()) {
            let _asks = log.asking_to_catch_up();
            self.publish();
            return Ok(());
        }
        // Dropped when this write has ended, whichever way.
        let mut done_with = DoneWith::default();
        self.commit_appended(log, version, &mut done_with)
    }

    fn commit_appended(self, log: &Log, version: u64, done_with: &mut DoneWith) -> Result<()> {
        let (store, wants_sync) = (&*self.core.store, self.wants_sync.get());
        let appended = log.append(&self, version, || self.core.snapshot(), done_with);
        #[cfg(feature = "testing")]
        if appended.is_err() && is_planted(Plant::PublishRefused) {
            self.publish();
            return appended;
        }
        appended?;
        if !log.must_wait(wants_sync) {
            self.publish();
            return Ok(());
        }
        if self.pending.borrow().is_some() {
            // The catalogue is replaced together with the root. So the next write begins when readers see this one.
            log.settle(store, version)?;
            self.publish();
            return Ok(());
        }
        self.page.commit_unpublished(|committed| log.enqueue(version, committed));
        log.settle(store, version)
    }

    /// Lets this transaction return when it is on stable storage, and with it all before it, whatever the durability of
    /// the database.
    ///
    /// # Errors
    /// [`Error::InvalidStorageCall`] in a database that is in memory alone.
    pub fn require_sync(&self) -> Result<()> {
        if self.core.log.is_none() {
            return Err(Error::InvalidStorageCall { message: "a database in memory has nothing to sync" });
        }
        self.wants_sync.set(true);
        Ok(())
    }

    /// The time of this transaction by the database's clock, which is read once.
    pub fn now(&self) -> Timestamp {
        let now = self.now.get().unwrap_or_else(|| self.core.clock.now());
        self.now.set(Some(now));
        now
    }

    /// The number of the version that this transaction started from.
    pub fn base_version(&self) -> Result<u64> {
        Ok(version_number(self.view()?.root()))
    }
}

/// Waits until others may see version `base`, with which a write began that has changed nothing.
#[cold]
fn settle(core: &Core, log: &Log, base: u64) -> Result<()> {
    // What was read may not be in the log yet.
    if log.is_asynchronous() { core.sync() } else { log.settle(&core.store, base) }
}

/// Puts back what was there, also where a closure panics.
struct Restore<'c> {
    place: &'c Cell<bool>,
    value: bool,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.place.set(self.value);
    }
}

/// Goes back to a savepoint unless its body succeeded.
struct Undo<'t, 'd> {
    transaction: &'t Transaction<'d>,
    point: page::Savepoint,
    pending: Option<Arc<Pending>>,
    is_kept: Cell<bool>,
}

impl Drop for Undo<'_, '_> {
    fn drop(&mut self) {
        // No operation is under way: the body has ended, and an operation's own closures cannot open a savepoint.
        let page = &self.transaction.page;
        if self.is_kept.get() {
            let released = page.release(self.point);
            debug_assert!(released.is_ok());
            return;
        }
        let undone = page.rollback_to(&self.point).and_then(|()| page.release(self.point));
        debug_assert!(undone.is_ok());
        // Memory that ran out within the savepoint left nothing behind.
        self.transaction.failed.set(undone.is_err());
        *self.transaction.pending.borrow_mut() = self.pending.take();
        self.transaction.schema_changes.update(|count| count.wrapping_add(1));
    }
}
