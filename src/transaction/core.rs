//! What a database is underneath its handles: the store, the catalogue, the hash seed.
//!
//! Lock order: the store's writer lock, then the catalogue's, then that of the tables' states or the store's snapshot
//! registry.

use super::catalog::Catalog;
use super::clock::Clock;
use super::durable::checkpoint::Extent;
use super::durable::log::Log;
use super::states::States;
use super::tx::Transaction;
use crate::error::{Error, Result};
use crate::page::{BeginError, Busy, Pinned, Store};
use crate::table::state::TableState;
use crate::table::version::root_bytes;
use crate::value::{HashSeed, Timestamp};
use parking_lot::RwLock;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, catch_unwind};
use std::sync::Arc;

impl From<BeginError> for Error {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Reentrant => Error::Reentrant,
        }
    }
}

impl From<Busy> for Error {
    fn from(_: Busy) -> Self {
        Error::Reentrant
    }
}

const EMPTY_ROOT: [u8; root_bytes(0)] = [0; root_bytes(0)];

/// See the module.
pub(crate) struct Core {
    pub(crate) store: Arc<Store>,
    /// Replaced under the write lock in one step with the root, so that holding the read lock gives a root and the
    /// catalogue that belongs to it.
    pub(crate) catalog: Arc<RwLock<Arc<Catalog>>>,
    pub(super) states: States,
    pub(crate) lineage: Arc<Lineage>,
    pub(crate) clock: Clock,
    /// What commits go through before readers see them; none in a database that is in memory alone.
    pub(crate) log: Option<Arc<Log>>,
}

// A panic in a user's closure rolls back what it interrupted, and no lock is poisoned by it.
impl RefUnwindSafe for Core {}

/// The newest version of a database, wherever it is by then, and the time. Background threads hold this and not the
/// database: so the drop of the last handle finds nobody else, ends them, and has unlocked the storage when it returns.
pub(crate) struct Newest {
    pub(crate) store: Arc<Store>,
    catalog: Arc<RwLock<Arc<Catalog>>>,
    clock: Clock,
}

impl Newest {
    /// The time by the user's clock. One that panics tells none: nothing that is asked for here depends on it.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        catch_unwind(AssertUnwindSafe(|| self.clock.now())).ok()
    }

    /// That version with its catalogue.
    pub(crate) fn snapshot(&self) -> (Pinned, Arc<Catalog>) {
        snapshot(&self.store, &self.catalog)
    }
}

fn snapshot(store: &Arc<Store>, catalog: &RwLock<Arc<Catalog>>) -> (Pinned, Arc<Catalog>) {
    let catalog = catalog.read();
    (store.snapshot(), Arc::clone(&catalog))
}

/// What a database and all its forks have in common.
pub(crate) struct Lineage {
    /// Hashes must agree with the pages that are shared.
    pub(crate) seed: HashSeed,
}

/// The last handle is gone: a log is left as a clean end, and what snapshots do not hold is not held.
impl Drop for Core {
    fn drop(&mut self) {
        // There is nobody left to tell of an error; `Database::close` is how to learn of it.
        let _ = self.close(true);
        self.store.close();
    }
}

impl Core {
    /// An empty database in memory.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self::of(Store::new(0, &EMPTY_ROOT)?))
    }

    /// An empty database whose versions may be published later than they are committed, since a log comes first.
    pub(crate) fn deferring() -> Result<Self> {
        Ok(Self::of(Store::deferring(0, &EMPTY_ROOT)?))
    }

    fn of(store: Arc<Store>) -> Self {
        Self {
            store,
            catalog: Arc::default(),
            states: States::default(),
            lineage: Arc::new(Lineage { seed: HashSeed::random() }),
            clock: Clock::SYSTEM,
            log: None,
        }
    }

    /// The newest version with its catalogue.
    pub(crate) fn snapshot(&self) -> (Pinned, Arc<Catalog>) {
        snapshot(&self.store, &self.catalog)
    }

    pub(crate) fn newest(&self) -> Newest {
        let (store, catalog) = (Arc::clone(&self.store), Arc::clone(&self.catalog));
        Newest { store, catalog, clock: self.clock.clone() }
    }

    /// A database that begins at this version. Cost: O(1).
    pub(crate) fn fork(pinned: Pinned, catalog: Arc<Catalog>, lineage: Arc<Lineage>, clock: Clock) -> Self {
        let catalog = Arc::new(RwLock::new(catalog));
        Self { store: Store::fork(pinned), catalog, states: States::default(), lineage, clock, log: None }
    }

    /// The slot and the state of the table `name` in the newest version.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`].
    pub(crate) fn table(&self, name: &str) -> Result<(usize, Arc<TableState>)> {
        // Kept while the state is looked for: no table is dropped in between.
        let catalog = self.catalog.read();
        let listed = catalog.find(name)?;
        Ok((listed.slot, self.states.of(&listed.def)))
    }

    /// Begins a write, waiting for the one that runs.
    #[inline]
    pub(crate) fn begin(&self) -> Result<Transaction<'_>> {
        self.begin_of(None)
    }

    /// The same for one operation on its own, on the table in this slot whose state this is now or was before.
    #[inline]
    pub(crate) fn begin_in<'d>(&'d self, slot: usize, state: &'d TableState) -> Result<Transaction<'d>> {
        self.begin_of(Some((slot, state)))
    }

    #[inline]
    fn begin_of<'d>(&'d self, single: Option<(usize, &'d TableState)>) -> Result<Transaction<'d>> {
        loop {
            let write = self.store.begin()?;
            // Asked when it is this write's turn: the one before may have failed.
            match &self.log {
                Some(log) if !log.may_begin()? => {
                    drop(write);
                    log.catch_up_to(|| self.snapshot())?;
                }
                _ => return Ok(Transaction::new(self, write, single)),
            }
        }
    }

    /// Makes all that was committed durable. Nothing to do in memory.
    pub(crate) fn sync(&self) -> Result<()> {
        match &self.log {
            Some(log) => log.sync(&self.store, || self.snapshot()),
            None => Ok(()),
        }
    }

    /// Hands all that was committed to the operating system.
    #[cfg(feature = "testing")]
    pub(crate) fn write_log(&self) -> Result<()> {
        match &self.log {
            Some(log) => log.check().and_then(|()| log.catch_up_to(|| self.snapshot()).map(drop)),
            None => Ok(()),
        }
    }

    /// Saves what changed since the last checkpoint, and answers the version that it is. In memory there is nothing to
    /// save to.
    pub(crate) fn checkpoint(&self) -> Result<u64> {
        self.checkpoint_of(Extent::Changes)
    }

    pub(crate) fn checkpoint_of(&self, extent: Extent) -> Result<u64> {
        match &self.log {
            Some(log) => log.checkpoint(&self.newest(), extent),
            None => Err(Error::InvalidStorageCall { message: "a database in memory has nowhere to be saved to" }),
        }
    }

    /// Ends the life of the log: a checkpoint, and a clean end. Writes are refused from here on. The second time it does
    /// nothing.
    pub(crate) fn close(&self, is_last: bool) -> Result<()> {
        match &self.log {
            Some(log) => log.close(&self.newest(), is_last),
            None => Ok(()),
        }
    }
}
