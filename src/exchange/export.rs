//! Exports: what a snapshot holds, written as a stream.

use super::options::Exported;
use super::{EXPORT, FORMAT};
use crate::database::{Database, Snapshot, SnapshotTable, Table};
use crate::error::{Error, Result};
use crate::table::image::stream::Output;
use crate::table::row_page::{PageRef, RowRef};
use crate::value::JsonRows;
use std::io::Write;
use std::ops::ControlFlow;

fn failed(source: std::io::Error) -> Error {
    Error::Io { operation: "write", file: "export".into(), source }
}

/// Hands what `body` puts to the user's writer, in large pieces.
pub(super) fn write_to(
    mut out: impl Write,
    body: impl FnOnce(&mut Output<'_>) -> Result<Exported>,
) -> Result<Exported> {
    let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(failed);
    let mut output = Output::new(&mut write)?;
    let exported = body(&mut output)?;
    output.finish()?;
    out.flush().map_err(failed)?;
    Ok(exported)
}

/// Runs `visit` on each row in the order of their ids, and answers how many they were.
pub(super) fn each_row(table: &SnapshotTable, mut visit: impl FnMut(&RowRef<'_>) -> Result<()>) -> Result<u64> {
    let opened = table.open()?;
    let view = opened.view();
    let mut rows = 0;
    let walked = view.rows().scan(0, u64::MAX, |number, block| {
        let page = PageRef::new(block);
        for position in 0..page.rows() {
            rows += 1;
            if let Err(error) = visit(&page.row(&opened.def.layout, number, position)) {
                return ControlFlow::Break(error);
            }
        }
        ControlFlow::Continue(())
    });
    match walked {
        ControlFlow::Continue(()) => Ok(rows),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Writes all rows as JSON objects, with these texts around each but for the `between` behind the last.
fn put_rows(out: &mut Output<'_>, table: &SnapshotTable, before: &str, between: &str) -> Result<u64> {
    let json = JsonRows::new(table.open()?.def.schema.shape());
    let mut is_first = true;
    each_row(table, |row| {
        if !std::mem::take(&mut is_first) {
            out.put(between.as_bytes())?;
        }
        out.put(before.as_bytes())?;
        json.write(row, &mut |part| out.put(part))
    })
}

/// A table's schema and, if its rows are numbered by their key, the lowest number never given: fields of an object.
fn head_of(table: &SnapshotTable) -> Result<String> {
    let opened = table.open()?;
    let schema = serde_json::to_string(&opened.def.schema)
        .map_err(|error| Error::Syntax { message: error.to_string().into() })?;
    Ok(match opened.def.row_id {
        Some(_) => format!("\"schema\":{schema},\"next_id\":{}", opened.view().next_id()),
        None => format!("\"schema\":{schema}"),
    })
}

impl Snapshot {
    /// Writes all tables, with their schemas, as one JSON document, which [`Database::import_json`] reads.
    ///
    /// A row is an object with a field for each column, on a line of its own, in the order of row ids. Values come back
    /// exactly: integers in full, floats as their shortest text, `"NaN"`, `"Infinity"` and `"-Infinity"` as text, bytes in
    /// hexadecimal (which a struct that serde reads such a row into has to expect), UUIDs and times as text, arrays as
    /// arrays, documents as they are. The next number of an
    /// auto-increment key is kept. Not kept: closures of checks and defaults, of which schemas have the names; row ids of
    /// tables without such a key; versions.
    ///
    /// Streams: memory is O(a row), and nobody waits.
    ///
    /// ```
    /// use folio::{Column, Database, ImportOptions, Schema};
    ///
    /// let db = Database::in_memory();
    /// let cities = db.create_table(Schema::builder("cities").column(Column::string("name").primary_key()).build()?)?;
    /// cities.insert(&("Oslo",))?;
    /// let mut file = Vec::new();
    /// db.snapshot().export_json(&mut file)?;
    ///
    /// let again = Database::in_memory();
    /// assert_eq!(again.import_json(&*file, &ImportOptions::new())?.rows, 1);
    /// assert!(again.table("cities")?.contains("Oslo")?);
    /// # Ok::<(), folio::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] of the writer, which then has part of the document; [`Error::OutOfMemory`].
    pub fn export_json(&self, out: impl Write) -> Result<Exported> {
        write_to(out, |out| {
            let mut exported = Exported::default();
            out.put(format!("{{\"folio\":\"{EXPORT}\",\"format\":{FORMAT},\"tables\":[").as_bytes())?;
            for name in self.table_names() {
                let table = self.table(&name)?;
                out.put(if exported.tables == 0 { b"\n{" } else { b",\n{" })?;
                out.put(head_of(&table)?.as_bytes())?;
                out.put(b",\"rows\":[")?;
                exported.rows += put_rows(out, &table, "\n", ",")?;
                exported.tables += 1;
                out.put(b"\n]}")?;
            }
            out.put(b"\n]}\n")?;
            Ok(exported)
        })
    }

    /// Writes all tables, with their schemas, as JSON Lines, which [`Database::import_json_lines`] reads: a line with the
    /// head, for each table a line `{"table":..}` with its schema and then a line `{"row":..}` for each row, and a line
    /// with the end. Values are as in [`export_json`](Snapshot::export_json), and so is the rest.
    ///
    /// # Errors
    /// As [`export_json`](Snapshot::export_json).
    pub fn export_json_lines(&self, out: impl Write) -> Result<Exported> {
        write_to(out, |out| {
            let mut exported = Exported::default();
            out.put(format!("{{\"folio\":\"{EXPORT}\",\"format\":{FORMAT}}}\n").as_bytes())?;
            for name in self.table_names() {
                let table = self.table(&name)?;
                out.put(format!("{{\"table\":{{{}}}}}\n", head_of(&table)?).as_bytes())?;
                let json = JsonRows::new(table.open()?.def.schema.shape());
                exported.rows += each_row(&table, |row| {
                    out.put(b"{\"row\":")?;
                    json.write(row, &mut |part| out.put(part))?;
                    out.put(b"}\n")
                })?;
                exported.tables += 1;
            }
            let Exported { tables, rows } = exported;
            out.put(format!("{{\"end\":{{\"tables\":{tables},\"rows\":{rows}}}}}\n").as_bytes())?;
            Ok(exported)
        })
    }
}

impl Database {
    /// [`Snapshot::export_json`] of a snapshot of now.
    ///
    /// # Errors
    /// As [`Snapshot::export_json`].
    pub fn export_json(&self, out: impl Write) -> Result<Exported> {
        self.snapshot().export_json(out)
    }

    /// [`Snapshot::export_json_lines`] of a snapshot of now.
    ///
    /// # Errors
    /// As [`Snapshot::export_json`].
    pub fn export_json_lines(&self, out: impl Write) -> Result<Exported> {
        self.snapshot().export_json_lines(out)
    }
}

impl SnapshotTable {
    /// Writes all rows as a JSON array of objects, which [`Table::import_json`] reads. Values are as in
    /// [`Snapshot::export_json`]; the schema is not written.
    ///
    /// # Errors
    /// As [`Snapshot::export_json`].
    pub fn export_json(&self, out: impl Write) -> Result<Exported> {
        write_to(out, |out| {
            out.put(b"[")?;
            let rows = put_rows(out, self, "\n", ",")?;
            out.put(b"\n]\n")?;
            Ok(Exported { tables: 1, rows })
        })
    }

    /// Writes all rows as JSON Lines, an object a line, which [`Table::import_json_lines`] reads. Values are as in
    /// [`Snapshot::export_json`]; the schema is not written.
    ///
    /// # Errors
    /// As [`Snapshot::export_json`].
    pub fn export_json_lines(&self, out: impl Write) -> Result<Exported> {
        write_to(out, |out| {
            let json = JsonRows::new(self.open()?.def.schema.shape());
            let rows = each_row(self, |row| {
                json.write(row, &mut |part| out.put(part))?;
                out.put(b"\n")
            })?;
            Ok(Exported { tables: 1, rows })
        })
    }
}

impl Table {
    /// [`export_json`](crate::Reader::export_json) of a snapshot of now.
    ///
    /// # Errors
    /// As [`Snapshot::export_json`], and [`Error::NoSuchTable`] if the table was dropped.
    pub fn export_json(&self, out: impl Write) -> Result<Exported> {
        self.snapshot()?.export_json(out)
    }

    /// [`export_json_lines`](crate::Reader::export_json_lines) of a snapshot of now.
    ///
    /// # Errors
    /// As [`Snapshot::export_json`], and [`Error::NoSuchTable`] if the table was dropped.
    pub fn export_json_lines(&self, out: impl Write) -> Result<Exported> {
        self.snapshot()?.export_json_lines(out)
    }
}
