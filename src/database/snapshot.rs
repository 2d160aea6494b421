//! Snapshots: named versions.

use super::db::Database;
use super::diff::Diff;
use crate::error::{Error, Result};
use crate::page::{Guard, Pinned};
use crate::table::definition::TableDef;
use crate::table::reader::{Reader, Source, no_table, sealed};
use crate::table::version::version_number;
use crate::transaction::catalog::{Catalog, Listed};
use crate::transaction::clock::Clock;
use crate::transaction::core::{Core, Lineage};
use std::sync::Arc;

/// One version of a database, kept for as long as this lives: it never changes, whatever is written meanwhile.
///
/// Taking, cloning and dropping one costs O(1) and stalls nobody. What it holds of memory is what later commits replaced
/// of its pages; [`Database::stats`] says how much that is.
///
/// A difference does not outlive its snapshots:
///
/// ```compile_fail,E0505
/// # use folio::*;
/// let db = Database::in_memory();
/// let (before, after) = (db.snapshot(), db.snapshot());
/// let diff = before.diff(&after).unwrap();
/// drop(before);
/// assert!(diff.is_empty());
/// ```
#[derive(Clone)]
pub struct Snapshot {
    pub(super) pinned: Pinned,
    pub(super) catalog: Arc<Catalog>,
    lineage: Arc<Lineage>,
    clock: Clock,
}

/// A table of a [`Snapshot`]: the reads of a [`Reader`] on that version.
pub type SnapshotTable = Reader<InSnapshot>;

/// See [`Source`].
#[derive(Clone)]
pub struct InSnapshot {
    pinned: Pinned,
    slot: usize,
    def: Arc<TableDef>,
}

impl std::fmt::Debug for InSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InSnapshot").field("table", &self.def().name()).finish_non_exhaustive()
    }
}

impl sealed::Sealed for InSnapshot {}

#[allow(private_interfaces)]
impl Source for InSnapshot {
    #[inline]
    fn guard(&self) -> Result<Guard<'_>> {
        Ok(self.pinned.guard())
    }

    #[inline]
    fn slot(&self) -> usize {
        self.slot
    }

    #[inline]
    fn def(&self) -> &TableDef {
        &self.def
    }

    #[inline]
    fn def_in_version(&self, id: u64) -> Option<&TableDef> {
        Some(&*self.def).filter(|def| def.id == id)
    }
}

impl Snapshot {
    pub(super) fn of(core: &Core) -> Self {
        let (pinned, catalog) = core.snapshot();
        Self { pinned, catalog, lineage: Arc::clone(&core.lineage), clock: core.clock.clone() }
    }

    /// The table `name` in this version.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`].
    pub fn table(&self, name: impl AsRef<str>) -> Result<SnapshotTable> {
        Ok(self.listed(self.catalog.find(name.as_ref())?))
    }

    /// The table that a handle with this definition is of.
    pub(super) fn table_of(&self, def: &TableDef) -> Result<SnapshotTable> {
        self.catalog.same_table(def).map(|listed| self.listed(listed)).ok_or_else(|| no_table(def))
    }

    fn listed(&self, listed: &Listed) -> SnapshotTable {
        let source = InSnapshot { pinned: self.pinned.clone(), slot: listed.slot, def: Arc::clone(&listed.def) };
        Reader { source }
    }

    /// The names of all tables of this version, sorted.
    pub fn table_names(&self) -> Vec<String> {
        self.catalog.names()
    }

    /// The number of this version: how many commits came before it.
    pub fn version(&self) -> u64 {
        version_number(self.pinned.root())
    }

    /// A writable database that begins at this version; see [`Database::fork`].
    pub fn fork(&self) -> Database {
        let lineage = Arc::clone(&self.lineage);
        Database::of(Core::fork(self.pinned.clone(), Arc::clone(&self.catalog), lineage, self.clock.clone()))
    }

    /// What changed from this version to `later`: rows inserted, updated, deleted. Either may be the older, and either
    /// may be of a fork. Cost: O(pages that differ).
    ///
    /// # Errors
    /// [`Error::UnrelatedSnapshots`] if they are neither of one database nor of forks of one.
    pub fn diff<'a>(&'a self, later: &'a Snapshot) -> Result<Diff<'a>> {
        if !Arc::ptr_eq(&self.lineage, &later.lineage) {
            return Err(Error::UnrelatedSnapshots);
        }
        Ok(Diff::between(self, later))
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("version", &self.version()).finish_non_exhaustive()
    }
}
