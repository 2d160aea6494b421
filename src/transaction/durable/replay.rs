//! Replaying the log, in writes of many batches.
//!
//! Within a write pages are changed in place; what it replaces comes back when it ends. So a write ends when the batches in
//! it are many, and when what they have made is much of the memory there is: a few bytes of a batch may replace a page, or
//! a million rows.

use crate::error::{Error, Result};
use crate::storage::{Batch, Format};
use crate::table::image::PartError;
use crate::transaction::core::Core;
use crate::transaction::redo::{self, Bases};
use crate::transaction::tx::Transaction;

/// A write has at most about so many bytes of batches.
const BATCHES_BYTES: usize = 4 << 20;
/// It may make so many bytes, whatever the memory, and as many more at most.
const GROWTH_BYTES: std::ops::Range<usize> = 256 << 10..16 << 20;

/// A log that is being replayed.
pub(super) struct Replay<'c> {
    core: &'c Core,
    format: Format,
    running: Option<Running<'c>>,
    /// The version that the last batch ended at.
    version: u64,
}

struct Running<'c> {
    tx: Transaction<'c>,
    batches_bytes: usize,
    /// The memory in use at which the write ends.
    most_bytes: usize,
}

impl<'c> Replay<'c> {
    /// Goes on from `version`.
    pub(super) fn new(core: &'c Core, format: Format, version: u64) -> Self {
        Self { core, format, running: None, version }
    }

    /// Applies the next batch.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for one that does not apply, [`Error::OutOfMemory`]. What was replayed since a write last ended is
    /// rolled back unless [`Replay::finish`] is called, which a batch in a savepoint of its own leaves possible.
    pub(super) fn apply(&mut self, batch: &Batch<'_>, bases: &mut Bases, in_savepoint: bool) -> Result<()> {
        let running = match &mut self.running {
            Some(running) => running,
            none => none.insert(Running::begin(self.core)?),
        };
        let (tx, format) = (&mut running.tx, self.format);
        self.version = match in_savepoint {
            true => tx.savepoint(|tx| apply_batch(tx, format, batch, bases))?,
            false => apply_batch(tx, format, batch, bases)?,
        };
        running.batches_bytes += batch.payload.len();
        if running.batches_bytes >= BATCHES_BYTES || running.tx.memory().0 > running.most_bytes {
            self.end_write()?;
        }
        Ok(())
    }

    /// Ends the last write, and answers the version.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.end_write().map(|()| self.version)
    }

    fn end_write(&mut self) -> Result<()> {
        self.running.take().map_or(Ok(()), |running| running.tx.commit_replayed(self.version))
    }
}

impl<'c> Running<'c> {
    fn begin(core: &'c Core) -> Result<Self> {
        let tx = core.begin()?;
        let (used, room) = tx.memory();
        let growth = (used / 16).min(room / 4).clamp(GROWTH_BYTES.start, GROWTH_BYTES.end);
        Ok(Self { tx, batches_bytes: 0, most_bytes: used.saturating_add(growth) })
    }
}

/// Applies a batch, and answers the version that it ends at.
fn apply_batch(tx: &Transaction<'_>, format: Format, batch: &Batch<'_>, bases: &mut Bases) -> Result<u64> {
    let corrupt = |offset: u64, expected: Box<str>, found: Box<str>| Error::Corrupt {
        file: format!("the log's batch of version {}", batch.first).into(),
        offset,
        expected,
        found,
    };
    // A batch without content makes versions that change nothing.
    if !batch.payload.is_empty() {
        redo::apply(tx, format, batch.payload, bases).map_err(|error| match error {
            PartError::Other(error) => error,
            PartError::Mismatch(mismatch) => corrupt(mismatch.at.unwrap_or(0), mismatch.expected, mismatch.found),
        })?;
    }
    batch.last().ok_or_else(|| corrupt(0, "a version below 2^64".into(), "more".into()))
}
