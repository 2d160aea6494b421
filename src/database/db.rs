//! The database handle.

use super::live::Table;
use super::snapshot::Snapshot;
use super::stats::{Stats, stats_of};
use crate::error::Result;
use crate::schema::{Index, Schema};
use crate::transaction::core::Core;
use crate::transaction::tx::Transaction;
use std::sync::Arc;

/// A database in memory: tables under one root, of which every commit makes a new version.
///
/// A handle: cloning is cheap, and all clones are the same database. Any thread may use it. See the crate's
/// documentation for a tour.
///
/// ```
/// use folio::{Column, Database, Schema};
///
/// let db = Database::in_memory();
/// let cities = db.create_table(
///     Schema::builder("cities")
///         .column(Column::string("name").primary_key())
///         .column(Column::u32("people"))
///         .build()?,
/// )?;
/// cities.insert(&("Reykjavík", 140_000))?;
/// let people = cities.column::<u32>("people")?;
/// assert_eq!(cities.get("Reykjavík")?.map(|city| city.get(people)), Some(140_000));
/// # Ok::<(), folio::Error>(())
/// ```
#[derive(Clone)]
pub struct Database {
    core: Arc<Core>,
}

impl Database {
    /// An empty database that lives in memory and nowhere else.
    ///
    /// # Panics
    /// If the process has no memory left for 256 KiB, as any allocation then does.
    pub fn in_memory() -> Self {
        match Core::new() {
            Ok(core) => Self { core: Arc::new(core) },
            Err(_) => std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u64; 1 << 15]>()),
        }
    }

    pub(crate) fn of(core: Core) -> Self {
        Self { core: Arc::new(core) }
    }

    /// Creates a table. Cost: O(tables).
    ///
    /// # Errors
    /// [`Error::TableExists`](crate::Error::TableExists), [`Error::Limit`](crate::Error::Limit) beyond 4,096 tables,
    /// [`Error::Reentrant`](crate::Error::Reentrant) inside a write.
    pub fn create_table(&self, schema: Schema) -> Result<Table> {
        let name = schema.name().to_string();
        self.transaction(|tx| tx.create_table(schema).map(drop))?;
        self.table(&name)
    }

    /// A handle of the table `name`. Cost: O(log tables) and two reference counts; keep it rather than ask again.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`](crate::Error::NoSuchTable), which names the table most like it.
    pub fn table(&self, name: impl AsRef<str>) -> Result<Table> {
        let listed = self.core.catalog.read().find(name.as_ref())?.clone();
        Ok(Table::new(Arc::clone(&self.core), listed))
    }

    /// The names of all tables, sorted.
    pub fn table_names(&self) -> Vec<String> {
        self.core.catalog.read().names()
    }

    /// Drops a table with all its rows. Handles of it answer [`Error::NoSuchTable`](crate::Error::NoSuchTable) from then
    /// on; snapshots and forks keep theirs. Cost: O(1) now, the memory is given back in slices.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`](crate::Error::NoSuchTable), [`Error::Reentrant`](crate::Error::Reentrant).
    pub fn drop_table(&self, name: &str) -> Result<()> {
        self.transaction(|tx| tx.drop_table(name))
    }

    /// Adds an index to a table and fills it. Handles made before use it as well. Cost: O(rows · log rows), during which
    /// readers go on and other writers wait.
    ///
    /// # Errors
    /// As [`Transaction::create_index`].
    pub fn create_index(&self, table: &str, index: Index) -> Result<()> {
        self.transaction(|tx| tx.create_index(table, index))
    }

    /// Drops an index of a table.
    ///
    /// # Errors
    /// As [`Transaction::drop_index`].
    pub fn drop_index(&self, table: &str, index: &str) -> Result<()> {
        self.transaction(|tx| tx.drop_index(table, index))
    }

    /// Runs `body` as one transaction: its changes become visible together when it answers `Ok`, and not at all when it
    /// answers an error or panics.
    ///
    /// `body` is called once, on the calling thread, when all earlier writers have ended, and nobody else writes
    /// meanwhile. It may read from the database by any handle (and sees there what was committed before), but must
    /// write through the transaction: another write to the same database from inside is
    /// [`Error::Reentrant`](crate::Error::Reentrant).
    ///
    /// ```
    /// # use folio::{Column, Database, Error, Schema};
    /// # let db = Database::in_memory();
    /// # let accounts = db.create_table(Schema::builder("accounts")
    /// #     .column(Column::string("owner").primary_key()).column(Column::i64("cents")).build()?)?;
    /// # accounts.insert(&("ann", 100))?; accounts.insert(&("ben", 0))?;
    /// let cents = accounts.column::<i64>("cents")?;
    /// let moved = db.transaction(|tx| {
    ///     let accounts = tx.table("accounts")?;
    ///     accounts.modify("ann", |row| row.set(cents, row.get(cents) - 500))?;
    ///     accounts.modify("ben", |row| row.set(cents, row.get(cents) + 500))?;
    ///     match accounts.get("ann")? {
    ///         Some(ann) if ann.get(cents) < 0 => Err(Error::abort("ann has not enough")),
    ///         _ => Ok(()),
    ///     }
    /// });
    /// assert!(moved.is_err());
    /// assert_eq!(accounts.get("ben")?.map(|ben| ben.get(cents)), Some(0));
    /// # Ok::<(), folio::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error of `body`; [`Error::abort`](crate::Error::abort) makes one of any reason.
    pub fn transaction<T>(&self, body: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let transaction = self.core.begin(false)?;
        let answer = body(&transaction)?;
        transaction.commit()?;
        Ok(answer)
    }

    /// The newest version, kept for as long as the snapshot lives; it never changes. Cost: O(1).
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.core)
    }

    /// A database of its own that begins as this one is now. Both share all memory that neither changes, and neither sees
    /// what the other does from here on. Cost: O(tables), whatever their size.
    pub fn fork(&self) -> Database {
        self.snapshot().fork()
    }

    /// Figures: versions, rows, memory. Waits for the running write. Cost: O(tables).
    pub fn stats(&self) -> Stats {
        stats_of(&self.core)
    }

    /// Gives back now what is otherwise given back a slice at each commit: the memory of dropped tables, snapshots and
    /// replaced rows, as far as no reader and no snapshot holds it. Lets writers in between slices.
    pub fn reclaim(&self) {
        self.core.store.reclaim_all();
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("tables", &self.table_names()).finish_non_exhaustive()
    }
}
