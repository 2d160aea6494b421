//! Imports: the methods, each one transaction.

use super::document;
use super::lines;
use super::options::{ImportOptions, Imported};
use super::session::{Rows, Session};
use crate::database::{Database, Table};
use crate::error::{Error, Result};
use crate::transaction::tx::Transaction;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Opens a file, and names it in the options.
pub(super) fn open(path: &Path, options: &ImportOptions) -> Result<(File, ImportOptions)> {
    let name = path.display().to_string();
    let file =
        File::open(path).map_err(|source| Error::Io { operation: "open", file: name.as_str().into(), source })?;
    Ok((file, options.clone().source(name)))
}

/// How rows of one table are read from a session.
pub(super) type ReadRows<R> = fn(Session<R>, Rows<'_, '_>) -> Result<Session<R>>;
type ReadAll<R> = fn(Session<R>, &Transaction<'_>) -> Result<Session<R>>;

impl Table {
    pub(super) fn import<R: Read>(&self, reader: R, options: &ImportOptions, read: ReadRows<R>) -> Result<Imported> {
        self.write(|table| {
            table.check_closures()?;
            let session = read(Session::new(reader, options)?, Rows::new(table))?;
            Ok(session.tally.finish())
        })
    }

    /// Stores the rows of a JSON array of objects, in one transaction.
    ///
    /// Objects are rows as [`insert`](Table::insert) takes them: fields by the columns' names; those left out get their
    /// defaults; keys that are not given are numbered. Values are as [`export_json`](Table::export_json) writes them;
    /// bytes may also be an array of numbers, times a number of microseconds.
    ///
    /// Streams: memory beside what is stored is O(a page of rows) and bounded by
    /// [`record_bytes_max`](ImportOptions::record_bytes_max). While it runs, other writers wait, readers do not, and see
    /// the import whole when it has ended. `reader` need not be buffered. If it panics, nothing was stored.
    ///
    /// ```
    /// use folio::{Column, Database, ImportOptions, OnError, Schema};
    ///
    /// let db = Database::in_memory();
    /// let people = db.create_table(
    ///     Schema::builder("people").column(Column::string("name").unique()).column(Column::u8("age")).build()?,
    /// )?;
    /// let file = br#"[{"name":"Ann","age":30},
    /// {"name":"Ben","age":300}]"#;
    ///
    /// let error = people.import_json(&file[..], &ImportOptions::new().source("people.json")).unwrap_err();
    /// assert!(error.to_string().starts_with("people.json:2:21: 300 is out of range for `people.age`"));
    /// assert_eq!(people.len()?, 0);
    ///
    /// let imported = people.import_json(&file[..], &ImportOptions::new().on_error(OnError::Skip))?;
    /// assert_eq!((imported.rows, imported.skipped), (1, 1));
    /// # Ok::<(), folio::Error>(())
    /// ```
    ///
    /// # Errors
    /// - [`Error::Import`] with file, line and column: a row does not fit the table or is refused by it, as by `insert`;
    ///   the text is not JSON ([`Error::Syntax`]); a row is longer than allowed ([`Error::Limit`]).
    /// - [`Error::Io`] of the reader; [`Error::OutOfMemory`], [`Error::Reentrant`], [`Error::NoSuchTable`].
    ///
    /// In every case nothing was changed, but that numbers given to keys are not given again.
    pub fn import_json(&self, reader: impl Read, options: &ImportOptions) -> Result<Imported> {
        self.import(reader, options, document::import_rows)
    }

    /// [`import_json`](Table::import_json) of a file, which errors name by its path.
    ///
    /// # Errors
    /// As [`import_json`](Table::import_json).
    pub fn import_json_file(&self, path: impl AsRef<Path>, options: &ImportOptions) -> Result<Imported> {
        let (file, options) = open(path.as_ref(), options)?;
        self.import_json(file, &options)
    }

    /// Stores rows that are JSON objects, one to a line, in one transaction; as [`import_json`](Table::import_json) does.
    /// Empty lines are passed over. A line is a record whatever it holds: each that is wrong can be skipped.
    ///
    /// # Errors
    /// As [`import_json`](Table::import_json).
    pub fn import_json_lines(&self, reader: impl Read, options: &ImportOptions) -> Result<Imported> {
        self.import(reader, options, lines::import_rows)
    }

    /// [`import_json_lines`](Table::import_json_lines) of a file, which errors name by its path.
    ///
    /// # Errors
    /// As [`import_json`](Table::import_json).
    pub fn import_json_lines_file(&self, path: impl AsRef<Path>, options: &ImportOptions) -> Result<Imported> {
        let (file, options) = open(path.as_ref(), options)?;
        self.import_json_lines(file, &options)
    }
}

impl Database {
    fn import<R: Read>(&self, reader: R, options: &ImportOptions, read: ReadAll<R>) -> Result<Imported> {
        self.transaction(|transaction| {
            let session = read(Session::new(reader, options)?, transaction)?;
            Ok(session.tally.finish())
        })
    }

    /// Stores what [`Snapshot::export_json`](crate::Snapshot::export_json) wrote, in one transaction.
    ///
    /// Tables that are not there are created from the schemas in the file, without the closures of checks and defaults.
    /// Rows of tables that are there are added to them by the columns' names, whatever the file's schema says: so create
    /// tables with closures first. What is said of rows at [`Table::import_json`] holds here.
    ///
    /// Keys that are numbered go on where those of the exported table would have, so that numbers of rows that were deleted
    /// before the export are not given again; in a table that was there, only if its key is numbered and comes as far.
    ///
    /// # Errors
    /// As [`Table::import_json`]; [`Error::UnsupportedFormat`] if a later version wrote the file; what
    /// [`Transaction::create_table`] answers, as [`Error::Import`]. In every case nothing was changed.
    pub fn import_json(&self, reader: impl Read, options: &ImportOptions) -> Result<Imported> {
        self.import(reader, options, document::import_all)
    }

    /// [`import_json`](Database::import_json) of a file, which errors name by its path.
    ///
    /// # Errors
    /// As [`import_json`](Database::import_json).
    pub fn import_json_file(&self, path: impl AsRef<Path>, options: &ImportOptions) -> Result<Imported> {
        let (file, options) = open(path.as_ref(), options)?;
        self.import_json(file, &options)
    }

    /// Stores what [`Snapshot::export_json_lines`](crate::Snapshot::export_json_lines) wrote, in one transaction; as
    /// [`import_json`](Database::import_json) does. A file that is cut off, at the end of a line too, is an error.
    ///
    /// # Errors
    /// As [`import_json`](Database::import_json).
    pub fn import_json_lines(&self, reader: impl Read, options: &ImportOptions) -> Result<Imported> {
        self.import(reader, options, lines::import_all)
    }

    /// [`import_json_lines`](Database::import_json_lines) of a file, which errors name by its path.
    ///
    /// # Errors
    /// As [`import_json`](Database::import_json).
    pub fn import_json_lines_file(&self, path: impl AsRef<Path>, options: &ImportOptions) -> Result<Imported> {
        let (file, options) = open(path.as_ref(), options)?;
        self.import_json_lines(file, &options)
    }
}
