//! What a database is underneath its handles: the store, the catalogue, the hash seed.
//!
//! Lock order: the store's writer lock, then the catalogue's, then the store's snapshot registry.

use super::catalog::Catalog;
use super::tx::Transaction;
use crate::error::{Error, Result};
use crate::page::{BeginError, Busy, Pinned, Store};
use crate::table::version::{ROOT_HEAD, root_bytes};
use crate::value::HashSeed;
use parking_lot::RwLock;
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

/// See the module.
pub(crate) struct Core {
    pub(crate) store: Arc<Store>,
    /// Replaced under the write lock in one step with the root, so that holding the read lock gives a root and the
    /// catalogue that belongs to it.
    pub(crate) catalog: RwLock<Arc<Catalog>>,
    pub(crate) lineage: Arc<Lineage>,
}

/// What a database and all its forks have in common.
pub(crate) struct Lineage {
    /// Hashes must agree with the pages that are shared.
    pub(crate) seed: HashSeed,
}

/// The last handle is gone: what snapshots do not hold is not held.
impl Drop for Core {
    fn drop(&mut self) {
        self.store.close();
    }
}

impl Core {
    /// An empty database.
    pub(crate) fn new() -> Result<Self> {
        let bytes = [0; root_bytes(0)];
        debug_assert_eq!(bytes.len(), ROOT_HEAD);
        let store = Store::new(0, &bytes)?;
        Ok(Self { store, catalog: RwLock::default(), lineage: Arc::new(Lineage { seed: HashSeed::random() }) })
    }

    /// The newest version with its catalogue.
    pub(crate) fn snapshot(&self) -> (Pinned, Arc<Catalog>) {
        let catalog = self.catalog.read();
        (self.store.snapshot(), Arc::clone(&catalog))
    }

    /// A database that begins at this version.
    pub(crate) fn fork(pinned: Pinned, catalog: &Catalog, lineage: Arc<Lineage>) -> Self {
        Self { store: Store::fork(pinned), catalog: RwLock::new(Arc::new(catalog.for_fork())), lineage }
    }

    /// Begins a write, waiting for the one that runs.
    #[inline]
    pub(crate) fn begin(&self, is_single: bool) -> Result<Transaction<'_>> {
        Ok(Transaction::new(self, self.store.begin()?, is_single))
    }
}
