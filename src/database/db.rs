//! The database handle.

use super::builder::DatabaseBuilder;
use super::live::Table;
use super::snapshot::Snapshot;
use super::stats::{Stats, stats_of};
use crate::error::{Error, Result};
use crate::schema::{Index, Schema};
use crate::transaction::core::Core;
use crate::transaction::durable::checkpoint::Extent;
use crate::transaction::durable::open::Opening;
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
    pub(super) core: Arc<Core>,
    opening: Option<Arc<Opening>>,
}

impl Database {
    /// An empty database that lives in memory and nowhere else.
    ///
    /// # Panics
    /// If the process has no memory left for 256 KiB, as any allocation then does.
    pub fn in_memory() -> Self {
        match Core::new() {
            Ok(core) => Self::of(core),
            Err(_) => std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u64; 1 << 15]>()),
        }
    }

    pub(crate) fn of(core: Core) -> Self {
        Self { core: Arc::new(core), opening: None }
    }

    pub(super) fn opened(core: Arc<Core>, opening: Opening) -> Self {
        Self { core, opening: Some(Arc::new(opening)) }
    }

    /// Opens the database in the directory `path`, or makes it there, with all settings at their defaults: every commit
    /// is on stable storage when it returns. See [`Database::builder`] for others, and
    /// [PERSISTENCE.md](crate::persistence) for what is in the directory and what survives what.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("folio-doc-open-{}", std::process::id()));
    /// use folio::{Column, Database, Schema};
    ///
    /// let cities = Schema::builder("cities").column(Column::string("name").primary_key()).column(Column::u32("people"));
    /// let cities = cities.build()?;
    /// let db = Database::open(&directory)?;
    /// db.ensure_table(cities.clone())?.insert(&("Reykjavík", 140_000))?;
    /// drop(db); // or a crash
    ///
    /// let db = Database::open(&directory)?;
    /// assert_eq!(db.ensure_table(cities)?.len()?, 1);
    /// # drop(db); std::fs::remove_dir_all(&directory).unwrap();
    /// # Ok::<(), folio::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`DatabaseBuilder::open`].
    #[cfg(any(unix, windows))]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        Self::builder().open(path)
    }

    /// The settings of a database that is not in memory alone, to be opened by them.
    pub fn builder() -> DatabaseBuilder {
        DatabaseBuilder::new()
    }

    /// What opening found; none for a database that was made in memory or forked.
    pub fn opening(&self) -> Option<&Opening> {
        self.opening.as_deref()
    }

    /// Saves what changed since the last checkpoint, as a checkpoint of the newest version, which is answered; then the
    /// log up to there goes, or stays where [`keep_archived`](DatabaseBuilder::keep_archived) says so. Readers and writers
    /// go on meanwhile. Cost: the pages that changed.
    ///
    /// Commits are safe without it: it makes opening quicker and gives the log's space back. It is made by itself when
    /// the log has grown, and on closing.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), [`Error::StorageFull`](crate::Error::StorageFull): the checkpoint before stays in
    /// use. [`Error::SyncFailed`](crate::Error::SyncFailed), [`Error::Poisoned`](crate::Error::Poisoned),
    /// [`Error::Closed`](crate::Error::Closed); [`Error::InvalidStorageCall`](crate::Error::InvalidStorageCall) in memory.
    pub fn checkpoint(&self) -> Result<u64> {
        self.core.checkpoint()
    }

    /// The same as [`checkpoint`](Database::checkpoint), by its familiar name.
    ///
    /// # Errors
    /// As [`checkpoint`](Database::checkpoint).
    pub fn save(&self) -> Result<u64> {
        self.checkpoint()
    }

    /// Gives disk space back: writes every table anew, without what is dead in its files, and removes the old ones.
    /// Needs space for both meanwhile. Cost: O(rows).
    ///
    /// # Errors
    /// As [`checkpoint`](Database::checkpoint).
    pub fn compact(&self) -> Result<u64> {
        self.core.checkpoint_of(Extent::Whole)
    }

    /// Waits until everything committed so far is on stable storage. In memory there is nothing to wait for, and that
    /// is `Ok`, while [`checkpoint`](Database::checkpoint) and [`Transaction::require_sync`] are errors there.
    ///
    /// # Errors
    /// With [`Durability::Interval`](crate::Durability::Interval), [`Error::Io`](crate::Error::Io) and
    /// [`Error::StorageFull`](crate::Error::StorageFull) where the log could not take all of it: what it has is durable.
    /// [`Error::SyncFailed`](crate::Error::SyncFailed), [`Error::Poisoned`](crate::Error::Poisoned),
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn sync(&self) -> Result<()> {
        self.core.sync()
    }

    #[cfg(feature = "testing")]
    pub(crate) fn write_log(&self) -> Result<()> {
        self.core.write_log()
    }

    /// The last version that is on stable storage: no crash loses it or what came before it. 0 in memory.
    pub fn durable_version(&self) -> u64 {
        self.core.log.as_ref().map_or(0, |log| log.engine.durable())
    }

    /// Makes a checkpoint, ends the log cleanly and unlocks the directory. Writes by any handle are
    /// [`Error::Closed`](crate::Error::Closed) from here on; reads go on. Dropping the last handle does the same, but has
    /// nobody to tell of an error. Nothing happens the second time, which does not wait for a first that is under way, or
    /// in memory.
    ///
    /// # Errors
    /// As [`checkpoint`](Database::checkpoint): it is closed all the same, and what was committed is in the log. Only where
    /// the log could not take what was committed, with [`Durability::Interval`](crate::Durability::Interval), it stays
    /// open, and may be closed again. [`Error::Poisoned`](crate::Error::Poisoned) if an earlier write's outcome was unknown:
    /// what has returned since the last sync may not be there again. [`Error::Reentrant`](crate::Error::Reentrant) from
    /// inside a write of this database, which is then still open.
    pub fn close(&self) -> Result<()> {
        self.core.close(false)
    }

    /// The table of this schema: made if it is not there; else checked to be of the same columns, keys and indexes, and
    /// given the closures of `schema` (defaults and checks), which are code and not stored.
    ///
    /// # Errors
    /// [`Error::SchemaDiffers`](crate::Error::SchemaDiffers) names what differs. As [`create_table`](Database::create_table).
    pub fn ensure_table(&self, schema: Schema) -> Result<Table> {
        let (slot, state) = self.transaction(|tx| tx.ensure(schema))?;
        Ok(Table::new(Arc::clone(&self.core), slot, state))
    }

    /// Creates a table. Cost: O(tables).
    ///
    /// # Errors
    /// [`Error::TableExists`](crate::Error::TableExists), [`Error::Limit`](crate::Error::Limit) beyond 4,096 tables,
    /// [`Error::Reentrant`](crate::Error::Reentrant) inside a write.
    pub fn create_table(&self, schema: Schema) -> Result<Table> {
        let (slot, state) = self.transaction(|tx| tx.create(schema))?;
        Ok(Table::new(Arc::clone(&self.core), slot, state))
    }

    /// A handle of the table `name`. Cost: O(log tables), two short locks and two reference counts; keep it rather than ask
    /// again.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`](crate::Error::NoSuchTable), which names the table most like it.
    pub fn table(&self, name: impl AsRef<str>) -> Result<Table> {
        let (slot, state) = self.core.table(name.as_ref())?;
        Ok(Table::new(Arc::clone(&self.core), slot, state))
    }

    /// The names of all tables, sorted.
    pub fn table_names(&self) -> Vec<String> {
        self.core.catalog.read().names()
    }

    /// Drops a table with all its rows. Handles of it answer [`Error::NoSuchTable`](crate::Error::NoSuchTable) from then
    /// on; snapshots and forks keep theirs. Cost: O(tables) now, whatever their rows; the memory is
    /// given back in slices.
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
    /// meanwhile. It may read from the database by any handle, but sees there what readers see: what the transaction
    /// itself has done is seen by the tables of `tx` alone, and so are earlier commits that are on their way to the disk
    /// still (with [`Durability::Sync`](crate::Durability::Sync), or [`require_sync`](Transaction::require_sync)). What a
    /// change depends on is read from `tx`. It must write through the transaction: another
    /// write to the same database from inside, on the same thread, is [`Error::Reentrant`](crate::Error::Reentrant). A
    /// write of another thread waits until `body` has ended: a `body` that waits for that thread in turn, as by joining
    /// it, never ends.
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
    /// [`Error::TransactionFailed`](crate::Error::TransactionFailed) if memory ran out in the middle of a change and
    /// `body` answered `Ok` all the same. Those of every write, see [`Table::insert`].
    pub fn transaction<T>(&self, body: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let (mut body, mut answer) = (Some(body), None);
        self.transaction_once(&mut |transaction| {
            answer = body.take().map(|body| body(transaction)).transpose()?;
            Ok(())
        })?;
        answer.ok_or(Error::TransactionFailed)
    }

    /// The same of an object: compiled once, and not again for each closure.
    fn transaction_once(&self, body: &mut dyn FnMut(&Transaction<'_>) -> Result<()>) -> Result<()> {
        let transaction = self.core.begin()?;
        match body(&transaction) {
            Ok(()) => transaction.commit(),
            Err(error) => Err(transaction.refused(error)),
        }
    }

    /// The newest version, kept for as long as the snapshot lives; it never changes. Cost: O(1).
    #[must_use = "a snapshot that is dropped holds nothing"]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.core)
    }

    /// A database of its own that begins as this one is now. Both share all memory that neither changes, and neither sees
    /// what the other does from here on. Auto-increment goes on in each from where the version stood: what the other has
    /// given since, or took back, was never given here. Cost: O(1), whatever the number of tables and their size.
    ///
    /// A fork keeps of its origin the pages that it still sees, also when the origin is dropped, and with them
    /// some memory between, which no figure of the fork shows: who goes on with a fork of a fork for ever
    /// (`db = db.fork()`) has ever more of that. What was exported and imported stands alone.
    #[must_use = "a fork that is dropped is gone"]
    pub fn fork(&self) -> Database {
        self.snapshot().fork()
    }

    /// Figures: versions; rows, indexes and bytes of each table; memory. Waits for no transaction, and makes nobody wait;
    /// on disk it waits for a running [`verify`](Database::verify), and for the syncs of a checkpoint that comes to its end
    /// or of a segment of the log. Cost: O(tables, their indexes and their parts on disk);
    /// with snapshots or forks also O(tables) for each of them, and O(pages written since the oldest) for all; in a fork
    /// O(pages written in it) for each.
    pub fn stats(&self) -> Stats {
        stats_of(&self.core)
    }

    /// Gives back now what is otherwise given back a slice at each commit: the memory of dropped tables, snapshots and
    /// replaced rows, as far as no reader and no snapshot holds it. Given back to the database, for rows to come; what it then
    /// has free beyond a margin (4 MiB, or an eighth) goes back to the system where it is 2 MiB more than that: on Linux also
    /// from between pages in use, in pieces of 64 KiB. It takes turns with writers: it waits for a running transaction, and
    /// lets others in between slices.
    pub fn reclaim(&self) {
        self.core.store.reclaim_all();
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("tables", &self.table_names()).finish_non_exhaustive()
    }
}
