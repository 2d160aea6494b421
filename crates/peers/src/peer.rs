//! What a peer promises: the contract of one store under measurement.
//!
//! A [`Peer`] makes stores; a [`Store`] is one table of [`Row`]s in a given [`Shape`]. Each method takes a whole slice
//! of work, so that the dynamic call costs once per batch and the loop inside is compiled for that store. A method must
//! do each element as a program would that has only this one to do: its own look-up, lock, transaction or statement,
//! unless the method says that it groups.
//!
//! - P1: every method that reads returns a checksum, and equal work gives equal checksums in every store.
//! - P2: a method that cannot be done answers [`Refusal::Unsupported`]; the report then shows a dash. No method may do
//!   less than it says to look faster.
//! - P3: handles, statements and column lookups that a program would make once are made in [`Peer::create`].
//! - P4: methods may be called from several threads at once; a store that cannot be shared holds its own lock.

use crate::workload::{AgeUpdate, Operation, Row, ScoreUpdate, Shape};
use std::fmt;
use std::path::Path;

/// Why a store gave no answer.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The store has no such operation.
    Unsupported,
    /// The operation failed; the text goes into the report.
    Failed(String),
}

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Refusal::Failed(error.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unsupported => formatter.write_str("not supported"),
            Refusal::Failed(why) => formatter.write_str(why),
        }
    }
}

/// A result, or the reason why there is none. Reads answer with their checksum.
pub(crate) type Answer<T = f64> = Result<T, Refusal>;

/// How a peer's figures are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The database that all others are compared with.
    Subject,
    /// A store with transactions or versions: counts for "best database peer".
    Database,
    /// A plain map: fast, without transactions, snapshots or queries.
    Map,
    /// The disk under a store's files: what no store that keeps its word can beat.
    Disk,
}

/// When a commit returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// When it is on stable storage.
    Synced,
    /// As early as the store can without giving up that what is there after a crash is whole.
    Unsynced,
}

/// A maker of stores.
pub(crate) trait Peer {
    /// Short name, as in tables and on the command line.
    fn name(&self) -> &'static str;

    /// How the peer is set up, in one line for the report.
    fn setup(&self) -> &'static str;

    fn kind(&self) -> Kind;

    /// An empty store. `rows_max` is the largest number of rows it will be given, for stores that fix their size at
    /// opening; a store must not allocate for them ahead of time.
    fn create(&self, shape: Shape, rows_max: usize) -> Answer<Box<dyn Store>>;

    /// As [`Peer::setup`], of a store in a directory.
    fn setup_on_disk(&self) -> &'static str {
        ""
    }

    /// The store in `directory`, made if there is none. Opened again it is only read.
    fn open(&self, _shape: Shape, _directory: &Path, _durability: Durability) -> Answer<Box<dyn Store>> {
        Err(Refusal::Unsupported)
    }
}

/// One table under measurement. See the module for what holds for every method.
pub(crate) trait Store: Send + Sync {
    // Reads. Unless said otherwise the checksum is the sum of `score` and `age` over all rows found.

    /// Looks up each key by itself. The shape is any but [`Shape::HashKey`].
    fn get_by_id(&self, _ids: &[u64]) -> Answer {
        Err(Refusal::Unsupported)
    }

    /// Looks up each key by itself, in [`Shape::HashKey`].
    fn get_by_hash_key(&self, keys: &[u64]) -> Answer {
        self.get_by_id(keys)
    }

    /// Looks up each email by itself through the unique index, and passes the row's `name` to `black_box`.
    fn get_by_email(&self, _emails: &[&str]) -> Answer {
        Err(Refusal::Unsupported)
    }

    /// Looks up the keys in groups of [`crate::workload::MANY`], each group in one call, transaction or lock.
    fn get_many(&self, _ids: &[u64]) -> Answer {
        Err(Refusal::Unsupported)
    }

    /// For each country: fetches all of its rows through the index.
    fn fetch_country(&self, _countries: &[u16]) -> Answer {
        Err(Refusal::Unsupported)
    }

    /// For each start: fetches the [`crate::workload::RANGE_ROWS`] rows with the lowest scores from it (inclusive) on,
    /// through the ordered index.
    fn fetch_score_range(&self, _starts: &[f64]) -> Answer {
        Err(Refusal::Unsupported)
    }

    /// Visits every row once, in one consistent view where the store has such a thing.
    fn scan(&self) -> Answer {
        Err(Refusal::Unsupported)
    }

    /// The rows that pass [`crate::workload::passes_filter`], found by the store's own predicate language; a store
    /// without one is measured by its closure. Checksum: the sum of the scores that pass.
    fn filter_by_predicate(&self) -> Answer {
        self.filter_by_closure()
    }

    /// The same rows, the decision made by a Rust closure per row.
    fn filter_by_closure(&self) -> Answer {
        Err(Refusal::Unsupported)
    }

    /// The average score per country. Checksum: the sum, in order of country, of average times country.
    fn average_by_country(&self) -> Answer {
        Err(Refusal::Unsupported)
    }

    /// The [`crate::workload::TOP_ROWS`] highest scores, without an index on them. Checksum: the sum of score times
    /// position, counted from 1 at the highest.
    fn top_by_score(&self) -> Answer {
        Err(Refusal::Unsupported)
    }

    // Writes. Keys exist for updates and deletes, and are new for inserts.

    /// Inserts each row in a commit of its own. In a shape with auto-increment the store hands out the key itself: rows
    /// come in order of `id`, so that the key it picks is the row's.
    fn insert_each(&self, _rows: &[Row]) -> Answer<()> {
        Err(Refusal::Unsupported)
    }

    /// Inserts all rows in one commit, as fast as the store can. Rows come as for [`Store::insert_each`].
    fn insert_bulk(&self, _rows: &[Row]) -> Answer<()> {
        Err(Refusal::Unsupported)
    }

    /// Changes one unindexed column per row, each in a commit of its own.
    fn update_each(&self, _updates: &[AgeUpdate]) -> Answer<()> {
        Err(Refusal::Unsupported)
    }

    /// The same in commits of [`crate::workload::GROUP`].
    fn update_grouped(&self, _updates: &[AgeUpdate]) -> Answer<()> {
        Err(Refusal::Unsupported)
    }

    /// Changes the column under the ordered index, each in a commit of its own, in [`Shape::Full`].
    fn update_score_each(&self, _updates: &[ScoreUpdate]) -> Answer<()> {
        Err(Refusal::Unsupported)
    }

    /// Deletes each row in a commit of its own.
    fn delete_each(&self, _ids: &[u64]) -> Answer<()> {
        Err(Refusal::Unsupported)
    }

    /// Runs the operations in order, each by itself. Checksum: that of the reads.
    fn run_mixed(&self, _operations: &[Operation]) -> Answer {
        Err(Refusal::Unsupported)
    }

    /// Does what the store's documentation advises for a quick opening. Dropping the store closes it.
    fn save(&self) -> Answer<()> {
        Ok(())
    }

    // Versions.

    /// Takes a snapshot of the whole store that can be read, and drops it, `count` times.
    fn snapshot_and_drop(&self, _count: usize) -> Answer<()> {
        Err(Refusal::Unsupported)
    }

    /// Makes an independent, writable store of the same content and drops it, `count` times.
    fn fork_and_drop(&self, _count: usize) -> Answer<()> {
        Err(Refusal::Unsupported)
    }

    /// Takes a snapshot that stays readable, unchanged, while the store goes on.
    fn hold(&self) -> Answer<Box<dyn Held + '_>> {
        Err(Refusal::Unsupported)
    }

    /// Bytes that the store holds outside of Rust's allocator (C heap, mapped files).
    fn foreign_bytes(&self) -> u64 {
        0
    }
}

/// A snapshot that is being held.
pub(crate) trait Held {
    /// As [`Store::get_by_id`], in the state at which the snapshot was taken.
    fn get_by_id(&self, ids: &[u64]) -> Answer;

    /// Finds the rows that differ between the snapshot and the store as it is now, in time proportional to the
    /// difference, and returns how many there are.
    fn changed_rows(&self) -> Answer<u64> {
        Err(Refusal::Unsupported)
    }
}
