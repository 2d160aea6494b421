//! Records as bytes.
//!
//! Numbers are in LEB128: seven bits a byte, the lowest first, the high bit set in all but the last. A text is its
//! length and its UTF-8. A record is a byte that says what it is, and:
//!
//! | byte | record | |
//! |---|---|---|
//! | 1 | drop | the table's name, a text |
//! | 2 | create | slot; the schema as JSON, a text |
//! | 3 | alter | the schema as JSON, a text |
//! | 4 | rows | slot; what follows up to another of these four is of this table |
//! | 5 | clear | |
//! | 6 | delete | id |
//! | 7 | put | id; bytes of the row; the row |
//! | 8 | next id | the lowest id never given |
//! | 9 | update | id; bytes of the changes; the changes |
//!
//! Ids of deletes, puts and updates are told as how far they are above the lowest that may come: 0 behind `rows`, else
//! one above the last. A row is a bit for each nullable column, set if it is null, filled up to whole bytes with zeros;
//! then the values of the other columns in order, packed, those of variable width behind their length. A key that is
//! the row id is left out. Changes are a bit for each column, set if it changed, filled up in the same way; then, of
//! the columns that changed, null bits and values as of a row.

use super::replay::{Change, Record, Records, StoredRow, TableKey};
use super::{RedoError, Sink};
use crate::error::{Error, Result};
use crate::schema::Schema;
use crate::table::definition::TableDef;
use crate::table::diff::is_same_value;
use crate::table::image::{check_value, mismatch};
use crate::table::layout::{ColumnPlace, Place};
use crate::table::row_page::RowRef;
use crate::value::{RowBuf, RowErrorKind};

const DROP: u8 = 1;
const CREATE: u8 = 2;
const ALTER: u8 = 3;
const ROWS: u8 = 4;
const CLEAR: u8 = 5;
const DELETE: u8 = 6;
const PUT: u8 = 7;
const NEXT_ID: u8 = 8;
const UPDATE: u8 = 9;

#[inline]
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends records.
pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Where the record of the table's rows begins, and where it ends.
    begin: usize,
    body: usize,
    /// The lowest id that may come.
    next: u64,
}

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, begin: 0, body: 0, next: 0 }
    }

    #[inline]
    fn put_id(&mut self, kind: u8, id: u64) {
        self.out.push(kind);
        put_number(self.out, id.wrapping_sub(self.next));
        self.next = id.wrapping_add(1);
    }

    fn put_schema(&mut self, schema: &Schema) -> Result<()> {
        put_text(self.out, &super::lines::schema_text(schema)?);
        Ok(())
    }
}

impl Sink for Writer<'_> {
    fn drop_table(&mut self, name: &str) {
        self.out.push(DROP);
        put_text(self.out, name);
    }

    fn create_table(&mut self, slot: usize, schema: &Schema) -> Result<()> {
        self.out.push(CREATE);
        put_number(self.out, slot as u64);
        self.put_schema(schema)
    }

    fn alter_table(&mut self, schema: &Schema) -> Result<()> {
        self.out.push(ALTER);
        self.put_schema(schema)
    }

    fn begin_rows(&mut self, slot: usize, _: &TableDef) {
        self.begin = self.out.len();
        self.out.push(ROWS);
        put_number(self.out, slot as u64);
        self.body = self.out.len();
        self.next = 0;
    }

    fn clear(&mut self) {
        self.out.push(CLEAR);
    }

    fn delete(&mut self, id: u64) {
        self.put_id(DELETE, id);
    }

    fn put(&mut self, def: &TableDef, row: &RowRef<'_>) -> Result<()> {
        self.put_row(PUT, row.id(), |out| write_row(def, row, out))
    }

    fn update(&mut self, def: &TableDef, old: &RowRef<'_>, new: &RowRef<'_>) -> Result<()> {
        self.put_row(UPDATE, new.id(), |out| write_changes(def, old, new, out))
    }

    fn next_id(&mut self, next_id: u64) {
        self.out.push(NEXT_ID);
        put_number(self.out, next_id);
    }

    fn end_rows(&mut self) {
        if self.out.len() == self.body {
            self.out.truncate(self.begin);
        }
    }
}

impl Writer<'_> {
    /// The same for a row that is not in its page yet, whose every column is set or null.
    #[inline]
    pub(super) fn put_new(&mut self, def: &TableDef, id: u64, row: &RowBuf) -> Result<()> {
        self.put_row(PUT, id, |out| write_new_row(def, row, out))
    }

    #[inline]
    fn put_row(&mut self, kind: u8, id: u64, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        self.put_id(kind, id);
        // Most rows are shorter than 128 bytes: one byte is left for their length, and longer ones make room.
        let at = self.out.len();
        self.out.push(0);
        write(self.out)?;
        let len = self.out.len() - at - 1;
        if let Some(place) = self.out.get_mut(at).filter(|_| len < 0x80) {
            *place = len as u8;
            return Ok(());
        }
        let width = (usize::BITS - len.leading_zeros()).div_ceil(7) as usize;
        let end = self.out.len();
        self.out.resize(end + width - 1, 0);
        self.out.copy_within(at + 1..end, at + width);
        for (index, place) in self.out.iter_mut().skip(at).take(width).enumerate() {
            *place = (len >> (7 * index)) as u8 & 0x7F | if index + 1 < width { 0x80 } else { 0 };
        }
        Ok(())
    }
}

/// Bytes of the bits of columns that changed.
fn changed_bytes(def: &TableDef) -> usize {
    def.layout.columns().len().div_ceil(8)
}

/// Bytes of a row's null bits.
#[inline]
fn null_bytes(def: &TableDef) -> usize {
    def.layout.nullable().div_ceil(8)
}

fn write_row(def: &TableDef, row: &RowRef<'_>, out: &mut Vec<u8>) -> Result<()> {
    let nulls_at = out.len();
    for _ in 0..null_bytes(def) {
        out.push(0);
    }
    let mut nullable = 0;
    for column in def.layout.columns() {
        let value = match column.place {
            Place::RowId { .. } => continue,
            _ => row.value_of(column),
        };
        if column.nulls.is_some() {
            if value.is_none() {
                put_bit(out, nulls_at, nullable);
            }
            nullable += 1;
        }
        if let Some(value) = value {
            put_value(column, value, out)?;
        }
    }
    Ok(())
}

/// What of a row changed, none of which is the key that is its id.
fn write_changes(def: &TableDef, old: &RowRef<'_>, new: &RowRef<'_>, out: &mut Vec<u8>) -> Result<()> {
    let changed_at = out.len();
    let nulls_at = changed_at + changed_bytes(def);
    out.resize(nulls_at + null_bytes(def), 0);
    let mut nullable = 0;
    for (index, column) in def.layout.columns().iter().enumerate() {
        let null_bit = nullable;
        nullable += usize::from(column.nulls.is_some());
        let value = new.value_of(column);
        if is_same_value(old.value_of(column), value) {
            continue;
        }
        put_bit(out, changed_at, index);
        match value {
            Some(value) => put_value(column, value, out)?,
            None => put_bit(out, nulls_at, null_bit),
        }
    }
    Ok(())
}

fn put_bit(out: &mut [u8], at: usize, bit: usize) {
    if let Some(byte) = out.get_mut(at + bit / 8) {
        *byte |= 1 << (bit % 8);
    }
}

#[inline(always)]
fn put_value(column: &ColumnPlace, value: &[u8], out: &mut Vec<u8>) -> Result<()> {
    match column.place {
        Place::Fixed { width: 8, .. } => put_fixed::<8>(out, value),
        Place::Fixed { width: 4, .. } => put_fixed::<4>(out, value),
        Place::Fixed { width: 2, .. } => put_fixed::<2>(out, value),
        Place::Fixed { width: 1, .. } | Place::Bool { .. } => put_fixed::<1>(out, value),
        Place::Variable { .. } => {
            if column.ty.fixed_width().is_none() {
                put_number(out, value.len() as u64);
            }
            out.try_reserve(value.len()).map_err(|_| Error::OutOfMemory { bytes: value.len() })?;
            out.extend_from_slice(value);
        }
        _ => out.extend_from_slice(value),
    }
    Ok(())
}

/// The same bytes as by [`write_row`], from where they lie together still.
fn write_new_row(def: &TableDef, row: &RowBuf, out: &mut Vec<u8>) -> Result<()> {
    let nulls_at = out.len();
    if def.layout.nullable() > 0 {
        out.resize(nulls_at + null_bytes(def), 0);
        let columns = def.layout.columns().iter().enumerate();
        let nullable = columns.filter(|(_, column)| column.nulls.is_some());
        for (number, (index, _)) in nullable.enumerate() {
            if !row.has_value(index) {
                put_bit(out, nulls_at, number);
            }
        }
    }
    row.append_values(def.row_id, out, |out, len| put_number(out, len as u64))
        .map_err(|bytes| Error::OutOfMemory { bytes })
}

/// Appends a value of a width that is known, by one store.
#[inline(always)]
fn put_fixed<const WIDTH: usize>(out: &mut Vec<u8>, value: &[u8]) {
    if let Ok(value) = <&[u8; WIDTH]>::try_from(value) {
        out.extend_from_slice(value);
    }
}

/// Bytes that are taken from the front.
#[derive(Clone, Copy)]
struct Input<'a> {
    rest: &'a [u8],
    /// Where `rest` begins in the payload.
    at: u64,
}

impl<'a> Input<'a> {
    fn take(&mut self, len: u64, what: &str) -> Result<&'a [u8], RedoError> {
        let taken = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let Some((taken, rest)) = taken else {
            return Err(mismatch(
                self.at,
                format!("{len} bytes of {what}"),
                format!("the end after {}", self.rest.len()),
            ));
        };
        self.rest = rest;
        self.at += len;
        Ok(taken)
    }

    fn number(&mut self, what: &str) -> Result<u64, RedoError> {
        let (mut number, mut shift, start) = (0u64, 0, self.at);
        loop {
            let byte = self.take(1, what)?.first().copied().unwrap_or(0);
            let bits = u64::from(byte & 0x7F);
            // The tenth byte has room for one bit.
            if shift > 63 || bits << shift >> shift != bits {
                return Err(mismatch(start, what, "a number of more than 64 bits"));
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    fn bytes(&mut self, what: &str) -> Result<&'a [u8], RedoError> {
        let len = self.number(what)?;
        self.take(len, what)
    }

    fn text(&mut self, what: &str) -> Result<&'a str, RedoError> {
        let at = self.at;
        std::str::from_utf8(self.bytes(what)?).map_err(|_| mismatch(at, what, "bytes that are not UTF-8"))
    }
}

/// Reads records.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    input: Input<'a>,
    /// The slot of the table whose rows these are.
    table: Option<usize>,
    /// The lowest id that may come; none behind the highest there is.
    next: Option<u64>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self { input: Input { rest: payload, at: 0 }, table: None, next: None }
    }

    fn slot(&mut self) -> Result<usize, RedoError> {
        let at = self.input.at;
        let slot = self.input.number("a slot")?;
        usize::try_from(slot).map_err(|_| mismatch(at, "a slot", slot.to_string()))
    }

    fn id(&mut self, at: u64) -> Result<u64, RedoError> {
        let above = self.input.number("a row id")?;
        let id = self.next.and_then(|next| next.checked_add(above));
        let id = id.ok_or_else(|| mismatch(at, "a row id of 64 bits", format!("one {above} above the last")))?;
        self.next = id.checked_add(1);
        Ok(id)
    }
}

impl<'a> Records<'a> for Reader<'a> {
    fn next(&mut self) -> Result<Option<(u64, Record<'a>)>, RedoError> {
        loop {
            let at = self.input.at;
            if self.input.rest.is_empty() {
                return Ok(None);
            }
            let kind = self.input.take(1, "a record")?.first().copied().unwrap_or(0);
            let record = match kind {
                DROP => Record::Drop { name: self.input.text("a name")?.into() },
                CREATE => Record::Create { slot: self.slot()?, schema: self.input.text("a schema")? },
                ALTER => Record::Alter { schema: self.input.text("a schema")? },
                ROWS => {
                    self.table = Some(self.slot()?);
                    self.next = Some(0);
                    continue;
                }
                CLEAR | DELETE | PUT | UPDATE | NEXT_ID => {
                    let Some(slot) = self.table else {
                        return Err(mismatch(at, "a table before its rows", format!("kind {kind}")));
                    };
                    let change = match kind {
                        CLEAR => Change::Clear,
                        DELETE => Change::Delete(self.id(at)?),
                        PUT => Change::Put(self.id(at)?, StoredRow::Packed(self.input.bytes("a row")?)),
                        UPDATE => Change::Update(self.id(at)?, StoredRow::Packed(self.input.bytes("changes")?)),
                        _ => Change::NextId(self.input.number("a row id")?),
                    };
                    return Ok(Some((at, Record::Change { table: TableKey::Slot(slot), change })));
                }
                _ => return Err(mismatch(at, "a record of kind 1 to 9", format!("kind {kind}"))),
            };
            self.table = None;
            return Ok(Some((at, record)));
        }
    }
}

/// Reads the row `id` of the record at byte `at`.
pub(super) fn read_row(def: &TableDef, at: u64, id: u64, bytes: &[u8], row: &mut RowBuf) -> Result<(), RedoError> {
    row.reset(def.schema.shape());
    if let Some(column) = def.row_id {
        row.set_id(column, id);
    }
    read_columns(def, Input { rest: bytes, at }, |_| true, row)
}

/// Reads what of a row changed, by the record at byte `at`.
pub(super) fn read_changes(def: &TableDef, at: u64, bytes: &[u8], row: &mut RowBuf) -> Result<(), RedoError> {
    row.reset(def.schema.shape());
    let mut input = Input { rest: bytes, at };
    let changed = input.take(changed_bytes(def) as u64, "bits of columns")?;
    let columns = def.layout.columns().len();
    if has_bits_from(changed, columns) || def.row_id.is_some_and(|column| bit(changed, column)) {
        return Err(mismatch(at, format!("bits of {columns} columns, of which none is the row's id"), "others"));
    }
    read_columns(def, input, |index| bit(changed, index), row)
}

fn bit(bytes: &[u8], bit: usize) -> bool {
    bytes.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
}

/// Whether there is a bit behind the first `len` in the byte that has the last of these.
fn has_bits_from(bytes: &[u8], len: usize) -> bool {
    bytes.last().is_some_and(|byte| !len.is_multiple_of(8) && byte >> (len % 8) != 0)
}

/// Reads the columns that are there, but for a key that is the row id.
fn read_columns(
    def: &TableDef,
    mut input: Input<'_>,
    is_there: impl Fn(usize) -> bool,
    row: &mut RowBuf,
) -> Result<(), RedoError> {
    let (shape, at) = (def.schema.shape(), input.at);
    let nulls = input.take(null_bytes(def) as u64, "null bits")?;
    let mut nullable = 0;
    for (index, column) in def.layout.columns().iter().enumerate() {
        if matches!(column.place, Place::RowId { .. }) {
            continue;
        }
        let is_null = column.nulls.is_some() && bit(nulls, nullable);
        nullable += usize::from(column.nulls.is_some());
        match (is_there(index), is_null) {
            (true, true) => {
                row.set_null(shape, index);
                continue;
            }
            (true, false) => {}
            (false, false) => continue,
            (false, true) => return Err(mismatch(at, "null bits of columns that changed", "one of another")),
        }
        let value = match column.ty.fixed_width() {
            Some(width) => input.take(width as u64, "a value")?,
            None => input.bytes("a value")?,
        };
        check_value(column.ty, value).map_err(|(expected, found)| mismatch(at, expected, found))?;
        row.set(shape, index, value).map_err(|error| match error.into_parts().1 {
            RowErrorKind::OutOfMemory { bytes } => Error::OutOfMemory { bytes }.into(),
            kind => mismatch(at, format!("a value of column `{}`", def.column_name(index)), kind.to_string()),
        })?;
    }
    if has_bits_from(nulls, nullable) {
        return Err(mismatch(at, format!("{nullable} null bits"), "more"));
    }
    match input.rest.len() {
        0 => Ok(()),
        more => Err(mismatch(input.at, "the end of the row", format!("{more} bytes more"))),
    }
}
