//! What a caller says of an import, and what imports and exports answer.

use crate::error::Error;

/// What an import does about a record that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// Ends with its error, and nothing of the import is stored.
    #[default]
    Stop,
    /// Passes over the record and counts it. What cannot be told to be a record, because the file around it is broken,
    /// stops all the same.
    Skip,
}

/// How an import is done.
///
/// ```
/// use folio::{ImportOptions, OnError};
///
/// let options = ImportOptions::new().on_error(OnError::Skip).source("people.csv");
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing before an import has them"]
pub struct ImportOptions {
    pub(super) on_error: OnError,
    pub(super) source: Box<str>,
    pub(super) record_bytes_max: u64,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { on_error: OnError::Stop, source: "input".into(), record_bytes_max: 64 << 20 }
    }
}

impl ImportOptions {
    /// Stops at the first record that is wrong; records have up to 64 MiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to do about a record that is wrong; by default the import stops.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// What errors call the file: by default `input`. The functions that open a file call it by its path.
    pub fn source(mut self, name: impl Into<String>) -> Self {
        self.source = name.into().into();
        self
    }

    /// The most bytes of one record; by default 64 MiB. It bounds what the import takes of memory, beside what it
    /// stores: a few times as much. A record above it is wrong, and is passed over without being kept.
    pub fn record_bytes_max(mut self, bytes: u64) -> Self {
        self.record_bytes_max = bytes;
        self
    }
}

/// What an import did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Imported {
    /// Rows stored.
    pub rows: u64,
    /// Records passed over, with [`OnError::Skip`].
    pub skipped: u64,
    /// What was wrong with the first hundred of them, each an [`Error::Import`].
    pub first_errors: Vec<Error>,
}

/// What an export wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Exported {
    /// Tables written.
    pub tables: u64,
    /// Rows written, of all of them.
    pub rows: u64,
}
