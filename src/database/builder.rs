//! Making databases: in memory, in a directory, on an engine.

use super::db::Database;
use crate::error::Result;
use crate::storage::{Format, StorageEngine};
use crate::transaction::clock::Clock;
use crate::transaction::core::Core;
use crate::transaction::durable::Durability;
use crate::transaction::durable::open::{Options, open};
use crate::value::Timestamp;
use std::sync::Arc;
#[cfg(any(unix, windows))]
use {
    crate::error::Error,
    crate::schema::NAME_BYTES_MAX,
    crate::storage::{FileEngine, FileOptions, directory_name},
    std::path::{Path, PathBuf},
};

/// The default of [`DatabaseBuilder::checkpoint_bytes`].
const CHECKPOINT_BYTES: u64 = 64 << 20;

/// What a database that is not in memory alone is to be like; from [`Database::builder`].
#[derive(Debug, Clone)]
#[must_use = "`open` makes the database"]
pub struct DatabaseBuilder {
    name: Option<String>,
    durability: Durability,
    format: Format,
    checkpoint_bytes: Option<u64>,
    segment_bytes: u64,
    keep_archived: bool,
    memory_bytes: Option<usize>,
    clock: Clock,
    has_threads: bool,
}

impl DatabaseBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: None,
            durability: Durability::default(),
            format: Format::default(),
            checkpoint_bytes: Some(CHECKPOINT_BYTES),
            segment_bytes: 16 << 20,
            keep_archived: false,
            memory_bytes: None,
            clock: Clock::SYSTEM,
            has_threads: true,
        }
    }

    /// Puts the database into a folder of this name within the path that is opened, so that one path has many. Any text:
    /// as the folder's name it is encoded so that no name leads out of the path, and no two meet. At most 128 bytes, as
    /// all names. Default: none, the path itself is the database's.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// When a commit counts as done. Default: [`Durability::Sync`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How rows and log are written, for a database that is made new; one that is there keeps its own. Default:
    /// [`Format::Binary`].
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Makes a checkpoint in the background whenever the log has so many bytes more than the last one covers, those counted
    /// that opening has replayed, as [`DurableStats::unsaved_bytes`](crate::DurableStats::unsaved_bytes) counts them;
    /// `None`: never, only when asked and on closing. What is behind the checkpoint is replayed when opening. Default: 64 MiB.
    pub fn checkpoint_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.checkpoint_bytes = bytes.into();
        self
    }

    /// A segment of the log is sealed before it grows beyond this, but for what is appended while a checkpoint seals it.
    /// Default: 16 MiB.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Whether sealed segments of the log stay when a checkpoint covers them. Nobody removes them then but an opening
    /// without this. Default: no.
    pub fn keep_archived(mut self, keep: bool) -> Self {
        self.keep_archived = keep;
        self
    }

    /// The most memory that the pages of the database may take from the process's allocator, in bytes; what needs more is
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) and does not happen. Forks have memory of their own, without a
    /// limit. Default: none; at the least 256 KiB are taken whatever the limit.
    ///
    /// It bounds [`MemoryStats::reserved_bytes`](crate::MemoryStats::reserved_bytes), not the bytes of rows: 256 KiB
    /// are reserved at a time up to 2 MiB, then 2 MiB at a time, but pages above 4 KiB one by one. Of that, pages of
    /// each size, of which there are about a hundred, take 64 KiB at a time: a few dozen rows of a table with some
    /// indexes can use up 2 MiB, and 8 MiB is the least that makes sense. What is no page, such as the answers of
    /// queries, is not counted.
    ///
    /// A write copies the pages that it changes before it gives the old ones back, and so needs room, one that deletes
    /// rows too. For those a sixteenth of the limit is kept, at least 512 KiB or an eighth of it and at most 4 MiB: inserts
    /// and updates are refused when only that is left, and single rows can be deleted then, but for a rare one that is
    /// refused until others are gone. Rows so wide that 32 of them take more than 4 KiB may go beyond the limit by as much
    /// while they are deleted. When deletes have used some of what is kept, inserts are refused until so many rows are gone
    /// that it is whole again: a few thousand where neighbours go, as the oldest do, but a third of a table and more where
    /// rows go here and there, since memory is free for others in pieces of 64 KiB. To make room, better delete many at
    /// once than until an insert is taken. A [`delete_where`](crate::Table::delete_where) of many rows may be refused as any
    /// write is.
    /// [`clear`](crate::Table::clear) and [`drop_table`](Database::drop_table) need next to nothing. None of it gives
    /// back what a snapshot holds.
    ///
    /// What was stored under a limit can be opened under it. Loaded, pages lie otherwise than when they were made one after
    /// the other: opening may take a sixteenth and 2 MiB more, and where they do not fit otherwise, the limit is higher by
    /// as much until the database is closed.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_bytes = Some(bytes);
        self
    }

    /// What tells the time, for [`Transaction::now`](crate::Transaction::now). Default: the system's clock.
    pub fn clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock = Clock::of(clock);
        self
    }

    #[cfg(feature = "testing")]
    pub(crate) fn without_threads(mut self) -> Self {
        self.has_threads = false;
        self
    }

    /// Makes an empty database in memory and nowhere else, with the limit and the clock that were set.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn in_memory(self) -> Result<Database> {
        let mut core = Core::new()?;
        self.options().apply(&mut core);
        Ok(Database::of(core))
    }

    fn options(&self) -> Options {
        Options {
            clock: self.clock.clone(),
            memory_bytes: self.memory_bytes,
            durability: self.durability,
            checkpoint_bytes: self.checkpoint_bytes,
            has_threads: self.has_threads,
        }
    }

    /// Opens the database in the directory `path`, or makes it there with the folders above it.
    ///
    /// Loads its tables and replays the log behind the last checkpoint; [`Database::opening`] says what was found.
    /// Nothing on disk is changed before all of it has been read and found whole. The directory is locked until the last
    /// handle is dropped or [`Database::close`] is called. Cost: O(rows · log rows) for the indexes, and the log behind
    /// the checkpoint.
    ///
    /// # Errors
    /// [`Error::Locked`](crate::Error::Locked), [`Error::NotADatabase`](crate::Error::NotADatabase),
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::UnsupportedFormat`](crate::Error::UnsupportedFormat),
    /// [`Error::Io`](crate::Error::Io), [`Error::StorageFull`](crate::Error::StorageFull),
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), [`Error::Limit`](crate::Error::Limit) for the name.
    #[cfg(any(unix, windows))]
    pub fn open(self, path: impl AsRef<Path>) -> Result<Database> {
        let mut directory = PathBuf::from(path.as_ref());
        if let Some(name) = &self.name {
            if name.len() > NAME_BYTES_MAX {
                let (limit, found) = (NAME_BYTES_MAX as u64, name.len() as u64);
                return Err(Error::Limit { what: "bytes of a database's name".into(), limit, found });
            }
            directory.push(directory_name(name));
        }
        let options = FileOptions {
            format: self.format,
            segment_bytes: self.segment_bytes,
            keep_archived: self.keep_archived,
            ..FileOptions::default()
        };
        let engine = FileEngine::open(directory, options)?;
        self.open_on(Arc::new(engine))
    }

    /// Opens the database that `engine` has stored, or makes it there. Name, format, segments and archive are then the
    /// engine's affair.
    ///
    /// # Errors
    /// As [`open`](DatabaseBuilder::open), and those of the engine.
    pub fn open_on(self, engine: Arc<dyn StorageEngine>) -> Result<Database> {
        let (core, opening) = open(engine, &self.options())?;
        Ok(Database::opened(core, opening))
    }
}
