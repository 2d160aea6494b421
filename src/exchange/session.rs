//! An import under way: its input, and the tally of what was stored and what was refused.

use super::input::{Input, Place, Record};
use super::options::{ImportOptions, Imported, OnError};
use super::row::{Fault, RowReader, text_of};
use super::{EXPORT, FORMAT};
use crate::error::{Error, Result};
use crate::schema::Schema;
use crate::transaction::load::{Load, is_of_row};
use crate::transaction::tables::TransactionTable;
use crate::transaction::tx::Transaction;
use serde_core::de::DeserializeOwned;
use std::io::Read;

/// How many of the errors skipped are kept.
const ERRORS_KEPT_MAX: usize = 100;

/// Rows on their way into one table, with the place of each.
pub(super) type Rows<'l, 't> = Load<'l, 't, Place>;

/// What was stored and what was refused.
pub(super) struct Tally {
    file: Box<str>,
    on_error: OnError,
    /// Records that were rows, stored or refused.
    pub(super) records: u64,
    answer: Imported,
}

impl Tally {
    /// The error at its place; but that memory has run out is no fault of a place in the file.
    pub(super) fn at(&self, place: Place, error: Error) -> Error {
        let Place { line, column, .. } = place;
        match error {
            Error::OutOfMemory { .. } => error,
            error => Error::Import { file: self.file.clone(), line, column, source: Box::new(error) },
        }
    }

    /// Whether anybody sees what was wrong with the next record.
    fn keeps_errors(&self) -> bool {
        self.answer.first_errors.len() < ERRORS_KEPT_MAX
    }

    /// Refuses a record: an error, unless such are to be skipped.
    pub(super) fn refuse(&mut self, place: Place, error: Error) -> Result<()> {
        // Where memory runs out, or a check asks for no column of its table, no record is to blame, and all would go.
        let is_of_record = is_of_row(&error);
        let error = self.at(place, error);
        match self.on_error {
            OnError::Skip if is_of_record => {
                self.answer.skipped += 1;
                if self.keeps_errors() {
                    self.answer.first_errors.push(error);
                }
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Takes the row that was read into the buffer of `rows`, or what is wrong with it.
    pub(super) fn take(
        &mut self,
        rows: &mut Rows<'_, '_>,
        place: Place,
        read: Result<(), (Place, Error)>,
    ) -> Result<()> {
        self.records += 1;
        match read {
            Ok(()) => rows.push(place, &mut |place, error| self.refuse(place, error)),
            Err((place, error)) => {
                // Rows that came before are refused before.
                self.store(rows)?;
                self.refuse(place, error)
            }
        }
    }

    /// Stores what was gathered.
    pub(super) fn store(&mut self, rows: &mut Rows<'_, '_>) -> Result<()> {
        rows.store(&mut |place, error| self.refuse(place, error))
    }

    pub(super) fn finish(self) -> Imported {
        Imported { rows: self.records - self.answer.skipped, ..self.answer }
    }
}

/// A table that rows of a whole database go into.
pub(super) struct Target<'t> {
    pub(super) table: TransactionTable<'t>,
    /// It was made for them, from the schema in the file.
    is_new: bool,
}

/// See the module.
pub(super) struct Session<R> {
    pub(super) input: Input<R>,
    /// The record at hand.
    pub(super) record: Record,
    pub(super) tally: Tally,
    pub(super) reader: RowReader,
}

impl<R: Read> Session<R> {
    pub(super) fn new(reader: R, options: &ImportOptions) -> Result<Self> {
        let tally =
            Tally { file: options.source.clone(), on_error: options.on_error, records: 0, answer: Imported::default() };
        let input = Input::new(reader, options)?;
        Ok(Self { input, record: Record::new(), tally, reader: RowReader::new() })
    }

    /// Stores the JSON object at `offset` of the record at hand, up to `end`.
    pub(super) fn take_object(&mut self, rows: &mut Rows<'_, '_>, part: std::ops::Range<usize>) -> Result<()> {
        let Self { input, record, tally, reader } = self;
        reader.number = rows.number()?;
        reader.has_hints = tally.keeps_errors();
        let read = input.check_length(record).map_err(|error| Fault::new(0, error)).and_then(|()| {
            let bytes = record.text.get(part.clone()).unwrap_or_default();
            let text = text_of(bytes)?;
            reader.read(rows.def(), text, rows.row())
        });
        let read = read.map_err(|Fault { offset, error }| (record.at(part.start + offset), error));
        tally.take(rows, record.at(part.start), read)
    }

    /// What is wrong where the input is now.
    pub(super) fn unexpected(&mut self, expected: &str) -> Error {
        let found = match self.input.peek() {
            Err(error) => return error,
            Ok(None) => "the end of the file".to_owned(),
            Ok(Some(byte)) => format!("`{}`", char::from(byte).escape_debug()),
        };
        let message = format!("expected {expected}, found {found}").into();
        self.tally.at(self.input.place(), Error::Syntax { message })
    }

    /// The record at hand as a value of this type.
    pub(super) fn parsed<T: DeserializeOwned>(&self) -> Result<T> {
        let parse = || {
            self.input.check_length(&self.record).map_err(|error| Fault::new(0, error))?;
            let text = text_of(&self.record.text)?;
            serde_json::from_str(text).map_err(|error| Fault::syntax(text, &error))
        };
        parse().map_err(|Fault { offset, error }| self.tally.at(self.record.at(offset), error))
    }

    /// Refuses what was not written by an export of this version or an earlier one.
    pub(super) fn check_head(&self, folio: &str, format: u64) -> Result<()> {
        if folio != EXPORT {
            let message = format!("expected \"folio\":\"{EXPORT}\", found \"{}\"", folio.escape_debug()).into();
            return Err(self.tally.at(self.record.place, Error::Syntax { message }));
        }
        if format != FORMAT {
            let file = self.tally.file.clone();
            return Err(Error::UnsupportedFormat { file, what: "export format", found: format, supported: FORMAT });
        }
        Ok(())
    }

    /// The table that rows of this schema go into: the one of its name, made if it is not there. The rows of one that is
    /// made passed its checks before they were exported.
    pub(super) fn target<'t>(&self, transaction: &'t Transaction<'_>, schema: Schema) -> Result<Target<'t>> {
        let is_new = !transaction.has_table(schema.name());
        if is_new {
            let made = transaction.create_table(schema).map_err(|error| self.tally.at(self.record.place, error));
            return Ok(Target { table: made?, is_new });
        }
        let table = transaction.table(schema.name())?;
        table.check_closures().map_err(|error| self.tally.at(self.record.place, error))?;
        Ok(Target { table, is_new })
    }

    /// Lets the numbers of a table go on where those of the file's went on, by the `next_id` found at `place`. A table that
    /// was there need not number its rows, or not as far: then the file's numbers mean nothing to it.
    pub(super) fn raise_next(&self, target: &Target<'_>, place: Place, next_id: u64) -> Result<()> {
        match target.table.raise_next(next_id) {
            Err(Error::OutOfRange { .. }) if !target.is_new => Ok(()),
            raised => raised.map_err(|error| self.tally.at(place, error)),
        }
    }
}
