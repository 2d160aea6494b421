//! CSV, after RFC 4180: the names of the columns in a first line, then a row to a record.
//!
//! - An empty field is null where the column may be null. Elsewhere it is the empty text or the empty bytes, and in columns
//!   of other types as if the row did not mention it. With quotes, `""`, it is the empty text or the empty bytes wherever
//!   the column has such.
//! - Text, JSON documents and arrays (as JSON) are quoted where they must be. Bytes are hexadecimal, floats as in JSON,
//!   with `NaN`, `Infinity` and `-Infinity`, bools `true` and `false`.
//! - Lines end with a line feed, or a carriage return, or both. Empty ones are passed over, unless the file has one column
//!   and that may be null: then each is a null.
//!
//! The `csv` crate says what the fields of a record are. It says neither whether a field was quoted nor where it stood, so
//! records are cut and their fields located here, by the same rules, and handed to it one by one.

use super::export::{each_row, write_to};
use super::import::open;
use super::input::{BUFFER_BYTES, Input, Record, Step};
use super::options::{Exported, ImportOptions, Imported};
use super::row::{Fault, RowReader, text_of, unknown};
use super::session::{Rows, Session};
use crate::database::{SnapshotTable, Table};
use crate::error::{Error, Result};
use crate::schema::{COLUMN_COUNT_MAX, DefaultValue};
use crate::table::definition::TableDef;
use crate::table::image::stream::Output;
use crate::value::{Columns, RowBuf, RowError, RowErrorKind, Type, read_text, write_json};
use csv::ByteRecord;
use std::io::Read;
use std::path::Path;

impl SnapshotTable {
    /// Writes all rows as CSV, under a line with the columns' names; [`Table::import_csv`] reads it, and says what fields
    /// look like. The schema is not written.
    ///
    /// # Errors
    /// [`Error::Io`] of the writer, which then has part of the rows; [`Error::OutOfMemory`].
    pub fn export_csv(&self, out: impl std::io::Write) -> Result<Exported> {
        let columns = self.open()?.def.schema.shape().columns();
        write_to(out, |out| {
            for (index, column) in columns.iter().enumerate() {
                out.put(if index == 0 { b"" } else { b"," })?;
                put_field(out, column.name.as_bytes())?;
            }
            out.put(b"\n")?;
            let mut scratch = Vec::new();
            let rows = each_row(self, |row| {
                for (index, column) in columns.iter().enumerate() {
                    out.put(if index == 0 { b"" } else { b"," })?;
                    match row.column_bytes(index) {
                        None => {}
                        Some(bytes) if matches!(column.ty, Type::String | Type::Json) => put_field(out, bytes)?,
                        Some(bytes) => {
                            scratch.clear();
                            write_json(column.ty, bytes, &mut |part| -> Result<()> {
                                scratch.extend_from_slice(part);
                                Ok(())
                            })?;
                            // What JSON has as text, without escapes.
                            let bare = scratch.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
                            put_field(out, bare.unwrap_or(&scratch))?;
                        }
                    }
                }
                out.put(b"\n")
            })?;
            Ok(Exported { tables: 1, rows })
        })
    }
}

fn put_field(out: &mut Output<'_>, text: &[u8]) -> Result<()> {
    let is_special = |byte: &u8| matches!(byte, b'"' | b',' | b'\n' | b'\r');
    // A mark of the byte order would be lost at the beginning of a file.
    if !text.is_empty() && !text.iter().any(is_special) && !text.starts_with("\u{FEFF}".as_bytes()) {
        return out.put(text);
    }
    out.put(b"\"")?;
    for part in text.split_inclusive(|byte| *byte == b'"') {
        out.put(part)?;
        if part.ends_with(b"\"") {
            out.put(b"\"")?;
        }
    }
    out.put(b"\"")
}

impl Table {
    /// [`export_csv`](crate::Reader::export_csv) of a snapshot of now.
    ///
    /// # Errors
    /// As [`export_csv`](crate::Reader::export_csv), and [`Error::NoSuchTable`] if the table was dropped.
    pub fn export_csv(&self, out: impl std::io::Write) -> Result<Exported> {
        self.snapshot()?.export_csv(out)
    }

    /// Stores the records of a CSV file (RFC 4180 and somewhat more, in UTF-8), in one transaction; as
    /// [`import_json`](Table::import_json) does.
    ///
    /// The first record has the columns' names, in any order; columns that it does not name get their defaults. An
    /// empty field is null where the column may be null; elsewhere it is the empty text or the empty bytes, and in
    /// columns of other types as if the row did not mention it. With quotes, `""`, it is the empty text or the empty
    /// bytes wherever the column has such. Integers and floats may have either sign and leading zeros (`+1`, `01`),
    /// floats also no digit on one side of the point (`.5`, `1.`), and may be `NaN`, `Infinity` and `-Infinity`; bools
    /// are `true` and `false`, bytes hexadecimal, UUIDs and times text, arrays and documents JSON. White space around a
    /// value is passed over, but for text.
    ///
    /// What stands behind a closing quote belongs to the field (`"bad"x` is `badx`), and quotes in a field that does
    /// not begin with one are text.
    ///
    /// ```
    /// use folio::{Column, Database, ImportOptions, Schema};
    ///
    /// let db = Database::in_memory();
    /// let people = db.create_table(
    ///     Schema::builder("people")
    ///         .column(Column::string("name"))
    ///         .column(Column::string("city").nullable())
    ///         .column(Column::u8("age").default(18))
    ///         .build()?,
    /// )?;
    /// people.import_csv(&b"city,name\n,Ann\n\"\",Ben\n\"Paris, Texas\",Carl\n"[..], &ImportOptions::new())?;
    /// let mut file = Vec::new();
    /// people.export_csv(&mut file)?;
    /// assert_eq!(file, b"name,city,age\nAnn,,18\nBen,\"\",18\nCarl,\"Paris, Texas\",18\n");
    /// # Ok::<(), folio::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`import_json`](Table::import_json); for a record with more or fewer fields than the first,
    /// [`Error::WrongArity`] as [`Error::Import`]. Names that are wrong, missing or more than a table can have columns
    /// ([`Error::Limit`]), and quotes that are not closed, stop the import whatever the options say.
    pub fn import_csv(&self, reader: impl Read, options: &ImportOptions) -> Result<Imported> {
        self.import(reader, options, import_rows)
    }

    /// [`import_csv`](Table::import_csv) of a file, which errors name by its path.
    ///
    /// # Errors
    /// As [`import_csv`](Table::import_csv).
    pub fn import_csv_file(&self, path: impl AsRef<Path>, options: &ImportOptions) -> Result<Imported> {
        let (file, options) = open(path.as_ref(), options)?;
        self.import_csv(file, &options)
    }
}

fn import_rows<R: Read>(mut session: Session<R>, mut rows: Rows<'_, '_>) -> Result<Session<R>> {
    let def = rows.def();
    let mut records = Records::new();
    loop {
        if !records.next(&mut session)? {
            return Err(session.unexpected("the names of the columns"));
        }
        if !session.record.is_empty() {
            break;
        }
    }
    let head = session.input.check_length(&session.record).map_err(|error| Fault::new(0, error));
    let head = head.and_then(|()| records.check_names()).and_then(|()| records.parse(&session.record));
    let head = head.and_then(|()| columns(def, &records));
    let columns = head.map_err(|Fault { offset, error }| session.tally.at(session.record.at(offset), error))?;
    // Only then is an empty line a record.
    let mut shape_columns = columns.iter().filter_map(|index| def.schema.shape().column(*index));
    let takes_empty = columns.len() == 1 && shape_columns.all(|column| column.nullable);
    while records.next(&mut session)? {
        if session.record.is_empty() && !takes_empty {
            continue;
        }
        let Session { input, record, tally, reader } = &mut session;
        reader.number = rows.number()?;
        let read = read_row(&mut records, input, record, def, &columns, reader, rows.row());
        let read = read.map_err(|Fault { offset, error }| (record.at(offset), error));
        tally.take(&mut rows, record.place, read)?;
    }
    session.tally.store(&mut rows)?;
    Ok(session)
}

/// The records of a file, and the fields of the one at hand.
struct Records {
    csv: csv::Reader<Feed>,
    fields: ByteRecord,
    /// Where each field begins, of no more fields than a row can have, and one.
    starts: Vec<usize>,
    /// How many fields there are.
    count: usize,
}

/// Hands over one record.
struct Feed {
    text: Vec<u8>,
    at: usize,
}

impl Read for Feed {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let count = self.text.get(self.at..).unwrap_or_default().read(room)?;
        self.at += count;
        Ok(count)
    }
}

/// Where in a field a byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Bare,
    Quoted,
    /// Behind a quote within quotes, which ends the field or is the first of two.
    Quote,
}

impl Records {
    fn new() -> Self {
        let feed = Feed { text: Vec::new(), at: 0 };
        let csv = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(feed);
        Self { csv, fields: ByteRecord::new(), starts: Vec::new(), count: 0 }
    }

    /// Takes the next record of the file; no if there is none.
    fn next<R: Read>(&mut self, session: &mut Session<R>) -> Result<bool> {
        let Session { input, record, tally, .. } = session;
        if input.peek()?.is_none() {
            return Ok(false);
        }
        self.starts.clear();
        self.count = 0;
        let (mut at, mut offset) = (At::Start, 0);
        let has_end = input.gather(record, |byte| {
            let step = if at == At::Start {
                self.begin_field(offset);
                Step::Mark
            } else {
                Step::On
            };
            at = match (at, byte) {
                (At::Quoted, b'"') => At::Quote,
                (At::Quoted, _) | (At::Start | At::Quote, b'"') => At::Quoted,
                (_, b'\n' | b'\r') => return Step::Before,
                (_, b',') => At::Start,
                _ => At::Bare,
            };
            offset += 1;
            step
        })?;
        if at == At::Quoted {
            let message = "quotes that are not closed before the end of the file".into();
            return Err(tally.at(record.mark, Error::Syntax { message }));
        }
        if at == At::Start && !has_end {
            // The last field is empty, and the file ends behind it.
            self.begin_field(offset);
        }
        if input.peek()? == Some(b'\r') {
            input.skip();
        }
        // A carriage return alone ends a record as well; nothing else stopped the record.
        if input.peek()? == Some(b'\n') {
            input.skip();
        }
        Ok(true)
    }

    fn begin_field(&mut self, offset: usize) {
        self.count += 1;
        if self.count <= COLUMN_COUNT_MAX + 1 {
            self.starts.push(offset);
        }
    }

    /// Refuses a first record of more names than a table can have columns. Before the fields are found, which takes many
    /// times the bytes of short ones.
    fn check_names(&self) -> Result<(), Fault> {
        match self.starts.get(COLUMN_COUNT_MAX) {
            Some(start) => {
                let (what, limit) = ("names of columns".into(), COLUMN_COUNT_MAX as u64);
                Err(Fault::new(*start, Error::Limit { what, limit, found: self.count as u64 }))
            }
            None => Ok(()),
        }
    }

    /// Finds the fields of the record.
    fn parse(&mut self, record: &Record) -> Result<(), Fault> {
        text_of(&record.text)?;
        let feed = self.csv.get_mut();
        feed.text.clear();
        // What a huge record took is not kept.
        feed.text.shrink_to(BUFFER_BYTES);
        if self.fields.as_slice().len() > BUFFER_BYTES {
            self.fields = ByteRecord::new();
        }
        let bytes = record.text.len() + 1;
        feed.text.try_reserve(bytes).map_err(|_| Fault::new(0, Error::OutOfMemory { bytes }))?;
        feed.text.extend_from_slice(&record.text);
        feed.text.push(b'\n');
        feed.at = 0;
        let read = self.csv.read_byte_record(&mut self.fields);
        match read {
            Ok(true) if self.fields.len() == self.count => Ok(()),
            Ok(_) => Err(Fault::new(0, Error::Syntax { message: "a record that is not CSV".into() })),
            Err(error) => Err(Fault::new(0, Error::Syntax { message: error.to_string().into() })),
        }
    }

    /// The fields, with where each begins.
    fn fields(&self) -> impl Iterator<Item = (usize, &str)> {
        let texts = self.fields.iter().map(|field| std::str::from_utf8(field).unwrap_or_default());
        self.starts.iter().copied().zip(texts)
    }
}

/// The columns that the first record names.
fn columns(def: &TableDef, records: &Records) -> Result<Vec<usize>, Fault> {
    let mut columns = Vec::new();
    for (start, name) in records.fields() {
        let index = def.schema.shape().column_index(name).ok_or_else(|| Fault::new(start, unknown(def, name, true)))?;
        if columns.contains(&index) {
            let error = RowError::at(name, RowErrorKind::DuplicateField);
            return Err(Fault::new(start, error.in_table(def.name())));
        }
        columns.push(index);
    }
    // Known here, and not only at the first row.
    for (index, column) in def.schema.columns().iter().enumerate() {
        let is_given = matches!(column.default_value(), DefaultValue::Value(_) | DefaultValue::Closure(_));
        if !columns.contains(&index) && !is_given && !column.is_nullable() && !column.is_auto_increment() {
            let error = RowError::at(column.name(), RowErrorKind::MissingField);
            return Err(Fault::new(0, error.in_table(def.name())));
        }
    }
    Ok(columns)
}

fn read_row<R: Read>(
    records: &mut Records,
    input: &Input<R>,
    record: &Record,
    def: &TableDef,
    columns: &[usize],
    reader: &mut RowReader,
    row: &mut RowBuf,
) -> Result<(), Fault> {
    input.check_length(record).map_err(|error| Fault::new(0, error))?;
    reader.begin(def, row);
    if record.is_empty() {
        columns.iter().for_each(|index| row.set_null(def.schema.shape(), *index));
        return reader.finish(def, row);
    }
    let (expected, found) = (columns.len(), records.count);
    if found != expected {
        let offset = records.starts.get(expected).copied().unwrap_or(record.text.len());
        let error = RowError::new(RowErrorKind::WrongArity { expected, found });
        return Err(Fault::new(offset, error.in_table(def.name())));
    }
    records.parse(record)?;
    for (index, (start, text)) in columns.iter().zip(records.fields()) {
        let Some(column) = def.schema.shape().column(*index) else { continue };
        reader.claim(def, *index, start)?;
        let at = (*index, start);
        let text = if column.ty == Type::String { text } else { text.trim_ascii() };
        let has_empty = matches!(column.ty, Type::String | Type::Bytes);
        let is_quoted = record.text.get(start) == Some(&b'"');
        if text.is_empty() && !(has_empty && is_quoted) && column.nullable {
            row.set_null(def.schema.shape(), *index);
        } else if !text.is_empty() || has_empty {
            reader.set(def, at, row, |ty, packed| read_text(ty, text, packed))?;
        }
    }
    reader.finish(def, row)
}
