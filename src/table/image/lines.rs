//! A part as JSON Lines: a line a row, for `grep` and `jq`.
//!
//! ```json
//! {"version":1,"next_id":70}
//! {"page":0}
//! {"id":5,"row":{"id":5,"name":"Ada"}}
//! {"absent":[1,576460752303423487]}
//! {"end":{"pages":1,"rows":1}}
//! ```
//!
//! The first line names the format and the lowest row id never given. `page` says that all rows of this page, those with
//! ids from 32 times its number on, are replaced by the rows that follow; `absent`, that no rows are on the pages from
//! the first to the last. Pages and rows come in rising order. Values are as [`JsonRows`] writes them: they come back bit for
//! bit, from any JSON text that means the same.

use super::restore::Restore;
use super::stream::{Input, Output};
use super::{PartError, Tally, each_change, mismatch, unsupported};
use crate::error::{Error, Result};
use crate::page::Since;
use crate::table::change::check_values;
use crate::table::definition::TableDef;
use crate::table::layout::{PAGE_ROWS, PAGE_SHIFT};
use crate::table::row_page::PageRef;
use crate::table::view::TableView;
use crate::value::{Columns, JsonRows, RowBuf, RowErrorKind, excerpt, read_form, read_json};
use serde_core::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// How the first line begins, whatever the version.
pub(super) const BEGIN: &[u8; super::BEGIN_BYTES] = b"{\"version\":";
const VERSION: u64 = 1;
/// Rows of a page are put into it at the latest when their values take so many bytes.
const BATCH_BYTES: usize = 1 << 20;

pub(super) fn write(view: TableView<'_>, since: u64, out: &mut Output<'_>) -> Result<()> {
    let rows = JsonRows::new(view.def.schema.shape());
    out.put(format!("{{\"version\":{VERSION},\"next_id\":{}}}\n", view.next_id()).as_bytes())?;
    let mut tally = Tally::new();
    each_change(view, since, |change| match change {
        Since::Page(number, block) => {
            let page = PageRef::new(block);
            tally.pages += 1;
            tally.rows += page.rows() as u64;
            out.put(format!("{{\"page\":{number}}}\n").as_bytes())?;
            (0..page.rows()).try_for_each(|position| {
                let row = page.row(&view.def.layout, number, position);
                out.put(format!("{{\"id\":{},\"row\":", row.id()).as_bytes())?;
                rows.write(&row, &mut |part| out.put(part))?;
                out.put(b"}\n")
            })
        }
        Since::Absent(first, last) => out.put(format!("{{\"absent\":[{first},{last}]}}\n").as_bytes()),
    })?;
    out.put(format!("{{\"end\":{{\"pages\":{},\"rows\":{}}}}}\n", tally.pages, tally.rows).as_bytes())
}

/// A line of any kind.
struct Line<'a> {
    version: Option<u64>,
    next_id: Option<u64>,
    page: Option<u64>,
    absent: Option<(u64, u64)>,
    id: Option<u64>,
    row: Option<&'a RawValue>,
    end: Option<End>,
}

struct End {
    pages: u64,
    rows: u64,
}

read_form!(impl<'de> for Line<'de>, {}, {
    version: "version",
    next_id: "next_id",
    page: "page",
    absent: "absent",
    id: "id",
    row: "row",
    end: "end",
});
read_form!(impl<'de> for End, { pages: "pages", rows: "rows" }, {});

/// What a line says.
enum Says<'a> {
    Head { version: u64, next_id: u64 },
    Page(u64),
    Absent(u64, u64),
    Row(u64, &'a RawValue),
    End(End),
}

impl<'a> Says<'a> {
    fn parse(at: u64, line: &'a [u8]) -> Result<Self, PartError> {
        let refuse =
            |found: String| mismatch(at, "a line with a version, a page, a row, absent pages or an end", found);
        let text = std::str::from_utf8(line).map_err(|_| refuse("bytes that are not UTF-8".into()))?;
        let parsed = serde_json::from_str(text).map_err(|error| refuse(format!("`{}`: {error}", excerpt(text))))?;
        Ok(match parsed {
            Line {
                version: Some(version),
                next_id: Some(next_id),
                page: None,
                absent: None,
                id: None,
                row: None,
                end: None,
            } => Says::Head { version, next_id },
            Line { version: None, next_id: None, page: Some(page), absent: None, id: None, row: None, end: None } => {
                Says::Page(page)
            }
            Line {
                version: None,
                next_id: None,
                page: None,
                absent: Some((first, last)),
                id: None,
                row: None,
                end: None,
            } => Says::Absent(first, last),
            Line {
                version: None,
                next_id: None,
                page: None,
                absent: None,
                id: Some(id),
                row: Some(row),
                end: None,
            } => Says::Row(id, row),
            Line { version: None, next_id: None, page: None, absent: None, id: None, row: None, end: Some(end) } => {
                Says::End(end)
            }
            _ => return Err(refuse(format!("`{}`", excerpt(text)))),
        })
    }
}

pub(super) fn read(input: &mut Input<'_>, restore: &mut Restore<'_, '_>) -> Result<(), PartError> {
    let def = restore.def();
    let mut tally = Tally::new();
    let mut page = Page { number: None, added: 0, bytes: 0, rows: Vec::new(), used: 0 };
    let mut is_first = true;
    let mut packed = Vec::new();
    while let Some((at, line)) = input.line()? {
        let says = Says::parse(at, line)?;
        if is_first != matches!(says, Says::Head { .. }) {
            return Err(mismatch(at, if is_first { "a version" } else { "no second version" }, "another line"));
        }
        is_first = false;
        match says {
            Says::Head { version: VERSION, next_id } => restore.raise_next_id(next_id),
            Says::Head { version, .. } => return Err(unsupported(version, VERSION)),
            Says::Page(number) => {
                page.flush(restore)?;
                tally.pass(at, number, number)?;
                tally.pages += 1;
                restore.remove_pages(number, number)?;
                page = Page { number: Some(number), added: 0, ..page };
            }
            Says::Absent(first, last) => {
                page.flush(restore)?;
                tally.pass(at, first, last)?;
                restore.remove_pages(first, last)?;
                page.number = None;
            }
            Says::Row(id, fields) => {
                let bit = page.place(at, id)?;
                restore.check_ids(at, id >> PAGE_SHIFT, bit)?;
                tally.rows += 1;
                let row = page.row();
                read_row(def, id, fields, row, &mut packed).map_err(|error| error.at(at))?;
                check_values(def, row).map_err(|error| mismatch(at, "values that fit a page", error.to_string()))?;
                page.add(bit);
                if page.bytes > BATCH_BYTES || page.used == PAGE_ROWS {
                    page.flush(restore)?;
                }
            }
            Says::End(End { pages, rows }) => {
                page.flush(restore)?;
                if (pages, rows) != (tally.pages, tally.rows) {
                    let found = format!("the end of {pages} pages and {rows} rows");
                    return Err(mismatch(at, format!("{} pages and {} rows", tally.pages, tally.rows), found));
                }
                let at = input.at();
                return match input.is_at_end()? {
                    true => Ok(()),
                    false => Err(mismatch(at, "the end of the part", "more bytes")),
                };
            }
        }
    }
    Err(mismatch(input.at(), "a line with an end", "the end of the part"))
}

/// Passes over a part, which ends with the line that says so.
pub(super) fn pass(input: &mut Input<'_>) -> Result<(), PartError> {
    while let Some((_, line)) = input.line()? {
        if line.starts_with(br#"{"end":"#) {
            return Ok(());
        }
    }
    Err(mismatch(input.at(), "a line with an end", "the end of the part"))
}

/// The page that the rows to come are on.
struct Page {
    number: Option<u64>,
    /// The ids that came.
    added: u32,
    /// Rows that are not in the page yet, and what of `rows` they are.
    rows: Vec<RowBuf>,
    used: usize,
    bytes: usize,
}

impl Page {
    /// The bit of a row that comes next.
    fn place(&self, at: u64, id: u64) -> Result<u32, PartError> {
        let bit = 1 << (id % PAGE_ROWS as u64);
        match self.number {
            Some(number) if number == id >> PAGE_SHIFT && bit > self.added => Ok(bit),
            Some(number) => Err(mismatch(at, format!("rows of page {number} in order"), format!("row {id}"))),
            None => Err(mismatch(at, "a page before its rows", format!("row {id}"))),
        }
    }

    /// The buffer for the row to come.
    fn row(&mut self) -> &mut RowBuf {
        if self.used == self.rows.len() {
            self.rows.push(RowBuf::new());
        }
        let last = self.used;
        &mut self.rows[last]
    }

    fn add(&mut self, bit: u32) {
        self.added |= bit;
        self.bytes += self.rows.get(self.used).map_or(0, RowBuf::variable_bytes);
        self.used += 1;
    }

    /// Puts the rows into the page.
    fn flush(&mut self, restore: &mut Restore<'_, '_>) -> Result<(), PartError> {
        if let Some(number) = self.number
            && self.used > 0
        {
            restore.append(number, self.added, &self.rows[..self.used])?;
        }
        if self.bytes > BATCH_BYTES {
            // Else what huge values took would be kept.
            self.rows.clear();
        }
        self.used = 0;
        self.bytes = 0;
        Ok(())
    }
}

/// What is wrong with a row.
pub(crate) struct RowFault {
    column: Option<Box<str>>,
    kind: RowErrorKind,
}

impl RowFault {
    /// The same as what is wrong with the line at byte `at`.
    pub(crate) fn at(self, at: u64) -> PartError {
        if let RowErrorKind::OutOfMemory { bytes } = self.kind {
            return Error::OutOfMemory { bytes }.into();
        }
        let expected = match self.column {
            Some(column) => format!("a value of column `{column}`"),
            None => "a row of the table".to_owned(),
        };
        mismatch(at, expected, format!("one of which this is wrong: {}", self.kind))
    }
}

/// Reads the columns of the row `id`, all of which there must be, into `row`; `packed` is room to work in.
pub(crate) fn read_row(
    def: &TableDef,
    id: u64,
    fields: &RawValue,
    row: &mut RowBuf,
    packed: &mut Vec<u8>,
) -> Result<(), RowFault> {
    read_fields(def, fields, row, packed)?;
    if let Some(missing) = row.first_unset(0, def.schema.shape().len()) {
        return Err(RowFault { column: Some(def.column_name(missing).into()), kind: RowErrorKind::MissingField });
    }
    if let Some(column) = def.row_id {
        let width = def.layout.column(column).and_then(|place| place.ty.fixed_width()).unwrap_or(0);
        if row.column_bytes(column) != id.to_le_bytes().get(..width) {
            let kind = RowErrorKind::invalid("another number", format_args!("{id}, the row's id"));
            return Err(RowFault { column: Some(def.column_name(column).into()), kind });
        }
    }
    Ok(())
}

/// Reads some columns of a row, but no key that is the row id, as [`read_row`] reads all.
pub(crate) fn read_changes(
    def: &TableDef,
    fields: &RawValue,
    row: &mut RowBuf,
    packed: &mut Vec<u8>,
) -> Result<(), RowFault> {
    read_fields(def, fields, row, packed)?;
    match def.row_id.filter(|column| row.is_set(*column)) {
        Some(column) => {
            let kind = RowErrorKind::invalid("a change of the key", "none, since the key is the row's id");
            Err(RowFault { column: Some(def.column_name(column).into()), kind })
        }
        None => Ok(()),
    }
}

fn read_fields(def: &TableDef, fields: &RawValue, row: &mut RowBuf, packed: &mut Vec<u8>) -> Result<(), RowFault> {
    let shape = def.schema.shape();
    row.reset(shape);
    let whole = |kind| RowFault { column: None, kind };
    let mut json = serde_json::Deserializer::from_str(fields.get());
    let fields = json
        .deserialize_map(Fields { def })
        .map_err(|error| whole(RowErrorKind::Decode { message: error.to_string().into() }))?;
    for (index, value) in fields {
        let of_column = |kind| RowFault { column: Some(def.column_name(index).into()), kind };
        let Some(column) = shape.column(index) else { continue };
        if row.is_set(index) {
            return Err(of_column(RowErrorKind::DuplicateField));
        }
        if value.get() == "null" {
            if !column.nullable {
                return Err(of_column(RowErrorKind::NullNotAllowed));
            }
            row.set_null(shape, index);
            continue;
        }
        packed.clear();
        read_json(column.ty, value.get(), packed).map_err(of_column)?;
        row.set(shape, index, packed).map_err(|error| of_column(error.into_parts().1))?;
    }
    Ok(())
}

/// Reads a row's fields as columns and texts.
struct Fields<'d> {
    def: &'d TableDef,
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Vec<(usize, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(index) = map.next_key_seed(Name { def: self.def, next: fields.len() })? {
            fields.push((index, map.next_value()?));
        }
        Ok(fields)
    }
}

/// Reads a column's name; most probably it is the `next` one.
struct Name<'d> {
    def: &'d TableDef,
    next: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name")
    }

    fn visit_str<E: serde_core::de::Error>(self, name: &str) -> Result<usize, E> {
        let shape = self.def.schema.shape();
        if shape.column(self.next).is_some_and(|column| *column.name == *name) {
            return Ok(self.next);
        }
        shape.column_index(name).ok_or_else(|| E::custom(format_args!("no column `{}`", excerpt(name))))
    }
}
