//! Images of tables: their pages as bytes, for checkpoints.
//!
//! A *part* is the pages of a table of one version that changed since another. The first part of a table has all its
//! pages; those behind it, one per checkpoint, what became of them since. [`write_part`] makes one; [`Restore`](restore::Restore) begins
//! with an empty table, applies parts oldest first, builds the indexes, and refuses what does not fit.
//!
//! Nothing here does I/O: bytes go out through a function, in chunks, and come in through another.
//!
//! What is in a part does not depend on anything but the table and the version: padding of pages is zero. Parts are told
//! apart from other tables' by their columns alone: which file is whose is for the caller to know, who also keeps
//! checksums. Whatever the bytes are, the answer is a table that holds all that this layer says of tables, or an error;
//! the time it takes is linear in them, and so is the memory.

mod binary;
mod check;
mod lines;
pub(crate) mod restore;
pub(crate) mod stream;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use check::check_page;
pub(crate) use check::check_value;
pub(crate) use lines::{read_changes, read_row};

use super::view::TableView;
use crate::error::{Error, Result};
use crate::page::{OutOfMemory, Since};
use std::fmt;
use std::ops::ControlFlow;
use stream::{Input, Output};

/// How a part is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Pages nearly as they are in memory: see `binary`.
    Binary,
    /// A row to a line: see `lines`.
    JsonLines,
}

/// What is wrong with a part.
#[derive(Debug)]
pub(crate) enum PartError {
    /// The bytes are not what a part of this table has.
    Mismatch(Box<Mismatch>),
    /// Not the part's fault: memory, or what the function that reads answered.
    Other(Error),
}

/// See [`PartError`]. Both texts finish a sentence: "expected ...", "found ...".
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// The byte of the part at which it begins; none where it is the parts together that do not fit.
    pub(crate) at: Option<u64>,
    pub(crate) expected: Box<str>,
    pub(crate) found: Box<str>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at {
            write!(f, "at byte {at}: ")?;
        }
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

impl From<Error> for PartError {
    fn from(error: Error) -> Self {
        PartError::Other(error)
    }
}

impl From<OutOfMemory> for PartError {
    fn from(error: OutOfMemory) -> Self {
        PartError::Other(error.into())
    }
}

/// A part of a version of its format that is not known. Which file it is in is for the caller to add.
#[cold]
fn unsupported(found: u64, supported: u64) -> PartError {
    PartError::Other(Error::UnsupportedFormat { file: "a part".into(), what: "format version", found, supported })
}

#[cold]
pub(crate) fn mismatch(at: u64, expected: impl Into<Box<str>>, found: impl Into<Box<str>>) -> PartError {
    PartError::Mismatch(Box::new(Mismatch { at: Some(at), expected: expected.into(), found: found.into() }))
}

/// Writes what changed in the table since the version with the stamp `since`, which is one of the same store or of one
/// that it was forked from; 0 is before all. Cost: O(log n) per page changed, and its bytes.
///
/// # Errors
/// Those of `out`, [`Error::OutOfMemory`].
pub(crate) fn write_part(
    view: TableView<'_>,
    since: u64,
    format: Format,
    out: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut out = Output::new(out)?;
    match format {
        Format::Binary => binary::write(view, since, &mut out)?,
        Format::JsonLines => lines::write(view, since, &mut out)?,
    }
    out.finish()
}

/// So many bytes tell how a part is written.
pub(crate) const BEGIN_BYTES: usize = 11;

/// How the part is written that begins so; none where nothing that begins so is one.
pub(crate) fn format_of(begin: &[u8]) -> Option<Format> {
    let begins = [(Format::Binary, &binary::MAGIC[..]), (Format::JsonLines, lines::BEGIN)];
    begins.into_iter().find(|(_, known)| begin.starts_with(known)).map(|(format, _)| format)
}

/// The lengths of the parts that `read` gives one behind the other, as far as they can be told apart. It goes by lengths
/// and ends alone: what is in the parts is for [`Restore`](restore::Restore) to check.
///
/// # Errors
/// Those of `read`; [`Error::OutOfMemory`].
pub(crate) fn part_lengths(format: Format, read: &mut dyn FnMut(&mut [u8]) -> Result<usize>) -> Result<Vec<u64>> {
    let mut input = Input::new(read);
    let (mut lengths, mut start) = (Vec::new(), 0);
    loop {
        let passed = match format {
            Format::Binary => binary::pass(&mut input),
            Format::JsonLines => lines::pass(&mut input),
        };
        match passed {
            Ok(()) => {
                lengths.push(input.at() - start);
                start = input.at();
            }
            Err(PartError::Mismatch(_)) => return Ok(lengths),
            Err(PartError::Other(error)) => return Err(error),
        }
    }
}

/// Runs `visit` on what changed since the stamp, until it fails.
fn each_change<'g>(view: TableView<'g>, since: u64, mut visit: impl FnMut(Since<'g>) -> Result<()>) -> Result<()> {
    let walked = view.rows().since(since, &mut |change| match visit(change) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    });
    match walked {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// What the pages of a part come to, and that their numbers rise.
#[derive(Default)]
struct Tally {
    pages: u64,
    rows: u64,
    /// The lowest page number that may come; none behind the last.
    next: Option<u64>,
}

impl Tally {
    fn new() -> Self {
        Self { pages: 0, rows: 0, next: Some(0) }
    }

    /// Notes that the part names the pages from `first` to `last`, whose entry begins at byte `at`.
    fn pass(&mut self, at: u64, first: u64, last: u64) -> Result<(), PartError> {
        match self.next {
            Some(next) if next <= first && first <= last => self.next = last.checked_add(1),
            Some(next) => {
                return Err(mismatch(at, format!("page {next} or later"), format!("pages {first} to {last}")));
            }
            None => return Err(mismatch(at, "no more pages", format!("page {first}"))),
        }
        Ok(())
    }
}
