//! Records as JSON Lines.
//!
//! ```json
//! {"drop":"pupils"}
//! {"create":{"name":"users","columns":[{"name":"name","type":"string"}]},"slot":3}
//! {"alter":{"name":"users","columns":[{"name":"name","type":"string","unique":true}]}}
//! {"table":"users","clear":true}
//! {"table":"users","delete":16}
//! {"table":"users","put":17,"row":{"name":"Ada","text":"long"}}
//! {"table":"users","update":18,"row":{"name":"Bob"}}
//! {"table":"users","next_id":20}
//! ```
//!
//! Rows are as in images of tables, and so is the precision of their values.

use super::replay::{Change, Record, Records, StoredRow, TableKey};
use super::{RedoError, Sink};
use crate::error::{Error, Result};
use crate::schema::Schema;
use crate::table::definition::TableDef;
use crate::table::diff::is_same_value;
use crate::table::image::mismatch;
use crate::table::row_page::RowRef;
use crate::value::{Columns, JsonRows, excerpt, read_form, write_text};
use serde_json::value::RawValue;
use std::convert::Infallible;
use std::io::Write;

fn put_text(out: &mut Vec<u8>, text: &str) {
    let Ok(()) = write_text::<Infallible>(text.as_bytes(), &mut |part| {
        out.extend_from_slice(part);
        Ok(())
    });
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    let written = write!(out, "{number}");
    debug_assert!(written.is_ok(), "a vector takes what it is given");
}

/// A schema as JSON.
pub(super) fn schema_text(schema: &Schema) -> Result<String> {
    serde_json::to_string(schema).map_err(|error| Error::of_schema(schema.name(), &error))
}

/// Appends records.
pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// The name of the present table as JSON.
    table: Vec<u8>,
    rows: Option<JsonRows>,
}

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, table: Vec::new(), rows: None }
    }

    fn put_change(&mut self, what: &str) {
        self.out.extend_from_slice(b"{\"table\":");
        self.out.extend_from_slice(&self.table);
        self.out.extend_from_slice(what.as_bytes());
    }

    fn end(&mut self) {
        self.out.extend_from_slice(b"}\n");
    }
}

impl Sink for Writer<'_> {
    fn drop_table(&mut self, name: &str) {
        self.out.extend_from_slice(b"{\"drop\":");
        put_text(self.out, name);
        self.end();
    }

    fn create_table(&mut self, slot: usize, schema: &Schema) -> Result<()> {
        self.out.extend_from_slice(b"{\"create\":");
        self.out.extend_from_slice(schema_text(schema)?.as_bytes());
        self.out.extend_from_slice(b",\"slot\":");
        put_number(self.out, slot as u64);
        self.end();
        Ok(())
    }

    fn alter_table(&mut self, schema: &Schema) -> Result<()> {
        self.out.extend_from_slice(b"{\"alter\":");
        self.out.extend_from_slice(schema_text(schema)?.as_bytes());
        self.end();
        Ok(())
    }

    fn begin_rows(&mut self, _: usize, def: &TableDef) {
        self.table.clear();
        put_text(&mut self.table, def.name());
        self.rows = None;
    }

    fn clear(&mut self) {
        self.put_change(",\"clear\":true");
        self.end();
    }

    fn delete(&mut self, id: u64) {
        self.put_change(",\"delete\":");
        put_number(self.out, id);
        self.end();
    }

    fn put(&mut self, def: &TableDef, row: &RowRef<'_>) -> Result<()> {
        self.put_row(",\"put\":", def, row, |_| true)
    }

    fn update(&mut self, def: &TableDef, old: &RowRef<'_>, new: &RowRef<'_>) -> Result<()> {
        let is_changed = |column: usize| !is_same_value(old.column_bytes(column), new.column_bytes(column));
        self.put_row(",\"update\":", def, new, is_changed)
    }

    fn next_id(&mut self, next_id: u64) {
        self.put_change(",\"next_id\":");
        put_number(self.out, next_id);
        self.end();
    }

    fn end_rows(&mut self) {}
}

impl Writer<'_> {
    fn put_row(&mut self, what: &str, def: &TableDef, row: &RowRef<'_>, wanted: impl Fn(usize) -> bool) -> Result<()> {
        self.put_change(what);
        put_number(self.out, row.id());
        self.out.extend_from_slice(b",\"row\":");
        let rows = self.rows.get_or_insert_with(|| JsonRows::new(def.schema.shape()));
        rows.write_some(row, wanted, &mut |part| {
            self.out.try_reserve(part.len()).map_err(|_| Error::OutOfMemory { bytes: part.len() })?;
            self.out.extend_from_slice(part);
            Ok::<(), Error>(())
        })?;
        self.end();
        Ok(())
    }
}

/// A line of any kind.
struct Line<'a> {
    drop: Option<Box<str>>,
    create: Option<&'a RawValue>,
    slot: Option<usize>,
    alter: Option<&'a RawValue>,
    table: Option<Box<str>>,
    clear: Option<bool>,
    delete: Option<u64>,
    put: Option<u64>,
    update: Option<u64>,
    row: Option<&'a RawValue>,
    next_id: Option<u64>,
}

read_form!(impl<'de> for Line<'de>, {}, {
    drop: "drop",
    create: "create",
    slot: "slot",
    alter: "alter",
    table: "table",
    clear: "clear",
    delete: "delete",
    put: "put",
    update: "update",
    row: "row",
    next_id: "next_id",
});

impl<'a> Line<'a> {
    /// What it says, if its fields are those of one kind.
    fn record(self) -> Option<Record<'a>> {
        let Line { drop, create, slot, alter, table, clear, delete, put, update, row, next_id } = self;
        if let Some(name) = table {
            let change = match (clear, delete, put, update, row, next_id) {
                (Some(true), None, None, None, None, None) => Change::Clear,
                (None, Some(id), None, None, None, None) => Change::Delete(id),
                (None, None, Some(id), None, Some(row), None) => Change::Put(id, StoredRow::Json(row)),
                (None, None, None, Some(id), Some(row), None) => Change::Update(id, StoredRow::Json(row)),
                (None, None, None, None, None, Some(next_id)) => Change::NextId(next_id),
                _ => return None,
            };
            let is_rest_absent = drop.is_none() && create.is_none() && slot.is_none() && alter.is_none();
            return is_rest_absent.then_some(Record::Change { table: TableKey::Name(name), change });
        }
        let is_change = clear.is_some() || delete.is_some() || put.is_some() || update.is_some();
        if is_change || row.is_some() || next_id.is_some() {
            return None;
        }
        match (drop, create, slot, alter) {
            (Some(name), None, None, None) => Some(Record::Drop { name }),
            (None, Some(schema), Some(slot), None) => Some(Record::Create { slot, schema: schema.get() }),
            (None, None, None, Some(schema)) => Some(Record::Alter { schema: schema.get() }),
            _ => None,
        }
    }
}

/// Reads records.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    at: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload, at: 0 }
    }
}

impl<'a> Records<'a> for Reader<'a> {
    fn next(&mut self) -> Result<Option<(u64, Record<'a>)>, RedoError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let at = self.at;
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| mismatch(at, "a line", "one without its end"))?;
        let line = self.rest.get(..end).unwrap_or_default();
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        self.at += end as u64 + 1;
        let refuse = |found: String| mismatch(at, "a line of a log", found);
        let text = std::str::from_utf8(line).map_err(|_| refuse("bytes that are not UTF-8".into()))?;
        let line: Line<'a> =
            serde_json::from_str(text).map_err(|error| refuse(format!("`{}`: {error}", excerpt(text))))?;
        match line.record() {
            Some(record) => Ok(Some((at, record))),
            None => Err(refuse(format!("`{}`", excerpt(text)))),
        }
    }
}
