//! A JSON object as a row of a table: by names, each value straight into packed form.
//!
//! Values are what exports write, and beside that what a row handed to `insert` may have where JSON has no better: bytes
//! as an array of numbers, times in microseconds.

use crate::error::Error;
use crate::table::definition::TableDef;
use crate::value::{RowBuf, RowError, RowErrorKind, Type, ValueRef, excerpt, read_from_outside};
use serde_core::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// What is wrong with a record, and at which of its bytes.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) error: Error,
}

impl Fault {
    pub(super) fn new(offset: usize, error: Error) -> Self {
        Self { offset, error }
    }

    /// A text that is no JSON, or not of the form wanted.
    pub(super) fn syntax(text: &str, error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let lines = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len);
        let offset = lines.sum::<usize>() + column.saturating_sub(1);
        let message = error.to_string();
        // Its own place and its end are the record's, ours the file's.
        let message = message.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&message);
        let message = message.replacen("EOF", "the record ends", usize::from(error.is_eof()));
        let message = if error.is_syntax() { format!("no JSON: {message}") } else { message };
        Self::new(offset, Error::Syntax { message: message.into() })
    }
}

/// The record as text.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes)
        .map_err(|error| Fault::new(error.valid_up_to(), Error::Syntax { message: "bytes that are not UTF-8".into() }))
}

/// Makes rows of records, one after the other.
pub(super) struct RowReader {
    /// Where in the record each column's value is.
    offsets: Vec<Option<usize>>,
    packed: Vec<u8>,
    /// What the row at hand will be numbered if it has no key of its own, where its checks look at that.
    pub(super) number: Option<u64>,
    /// Whether an unknown name is compared with all that there are: where a million records have one, that takes long.
    pub(super) has_hints: bool,
}

impl RowReader {
    pub(super) fn new() -> Self {
        Self { offsets: Vec::new(), packed: Vec::new(), number: None, has_hints: true }
    }

    /// Begins a row.
    pub(super) fn begin(&mut self, def: &TableDef, row: &mut RowBuf) {
        let shape = def.schema.shape();
        row.reset(shape);
        self.offsets.clear();
        self.offsets.resize(shape.len(), None);
    }

    /// Reads an object into `row`, with defaults and checks.
    pub(super) fn read(&mut self, def: &TableDef, text: &str, row: &mut RowBuf) -> Result<(), Fault> {
        self.begin(def, row);
        if !text.starts_with('{') {
            let sound: Result<IgnoredAny, _> = serde_json::from_str(text);
            sound.map_err(|error| Fault::syntax(text, &error))?;
            let (table, found) = (def.name().into(), excerpt(text).into());
            let error = Error::NotARow { table, expected: "a JSON object", found };
            return Err(Fault::new(0, error));
        }
        let mut fault = None;
        let mut json = serde_json::Deserializer::from_str(text);
        let fields = Fields { def, text, reader: self, row, fault: &mut fault };
        let read = json.deserialize_map(fields).and_then(|()| json.end());
        match (read, fault) {
            (_, Some(fault)) => Err(fault),
            (Err(error), None) => Err(Fault::syntax(text, &error)),
            (Ok(()), None) => self.finish(def, row),
        }
    }

    /// Fills in defaults and the number, and runs the checks.
    pub(super) fn finish(&self, def: &TableDef, row: &mut RowBuf) -> Result<(), Fault> {
        let schema = &def.schema;
        let completed = schema.complete(row).and_then(|()| {
            if let (Some(column), Some(number)) = (def.row_id, self.number)
                && !row.has_value(column)
            {
                row.set_id(column, number);
            }
            schema.check(row)
        });
        completed.map_err(|error| {
            let (column, kind) = error.into_parts();
            let index = column.as_ref().and_then(|column| schema.shape().column_index(column));
            let offset = index.and_then(|index| *self.offsets.get(index)?).unwrap_or(0);
            let error = match &column {
                Some(column) => RowError::at(column, kind),
                None => RowError::new(kind),
            };
            Fault::new(offset, error.in_table(def.name()))
        })
    }

    /// Notes where a column's value is, and refuses a second one.
    pub(super) fn claim(&mut self, def: &TableDef, index: usize, offset: usize) -> Result<(), Fault> {
        match self.offsets.get_mut(index) {
            Some(place @ None) => {
                *place = Some(offset);
                Ok(())
            }
            _ => {
                let error = RowError::at(def.column_name(index), RowErrorKind::DuplicateField);
                Err(Fault::new(offset, error.in_table(def.name())))
            }
        }
    }

    /// Packs a value by `read`.
    pub(super) fn set(
        &mut self,
        def: &TableDef,
        (index, offset): (usize, usize),
        row: &mut RowBuf,
        read: impl FnOnce(Type, &mut Vec<u8>) -> Result<(), RowErrorKind>,
    ) -> Result<(), Fault> {
        let shape = def.schema.shape();
        let Some(column) = shape.column(index) else { return Ok(()) };
        self.packed.clear();
        let read = read(column.ty, &mut self.packed).map_err(|kind| RowError::at(&column.name, kind));
        let set = read.and_then(|()| row.set(shape, index, &self.packed));
        set.map_err(|error| Fault::new(offset, error.in_table(def.name())))
    }

    fn set_json(
        &mut self,
        def: &TableDef,
        (index, offset): (usize, usize),
        row: &mut RowBuf,
        json: &str,
    ) -> Result<(), Fault> {
        let shape = def.schema.shape();
        if json == "null" {
            let set = row.set_value(shape, index, ValueRef::Null);
            return set.map_err(|error| Fault::new(offset, error.in_table(def.name())));
        }
        self.set(def, (index, offset), row, |ty, packed| read_from_outside(ty, json, packed))
    }
}

/// Reads a row's fields. What is wrong with one of them goes to `fault`, since serde has no place for it.
struct Fields<'a, 'r> {
    def: &'a TableDef,
    text: &'a str,
    reader: &'r mut RowReader,
    row: &'r mut RowBuf,
    fault: &'r mut Option<Fault>,
}

impl<'de> Visitor<'de> for Fields<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Fields { def, text, reader, row, fault } = self;
        let mut next = 0;
        while let Some(name) = map.next_key_seed(Name { def, next, has_hints: reader.has_hints })? {
            let within = |part: &str| part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
            let read = match name {
                Found::Column(index) => {
                    next = index + 1;
                    let value: &RawValue = map.next_value()?;
                    let at = (index, within(value.get()));
                    reader.claim(def, index, at.1).and_then(|()| reader.set_json(def, at, row, value.get()))
                }
                Found::Unknown(error) => {
                    let value: &RawValue = map.next_value()?;
                    Err(Fault::new(within(value.get()), error))
                }
            };
            if let Err(found) = read {
                *fault = Some(found);
                return Err(serde_core::de::Error::custom("see `fault`"));
            }
        }
        Ok(())
    }
}

/// What a field's name says.
enum Found {
    Column(usize),
    Unknown(Error),
}

/// Reads a column's name; most probably it is the `next` one.
struct Name<'a> {
    def: &'a TableDef,
    next: usize,
    has_hints: bool,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Found, E> {
        let shape = self.def.schema.shape();
        if shape.column(self.next).is_some_and(|column| *column.name == *name) {
            return Ok(Found::Column(self.next));
        }
        Ok(shape
            .column_index(name)
            .map_or_else(|| Found::Unknown(unknown(self.def, name, self.has_hints)), Found::Column))
    }
}

/// A name that no column has.
pub(super) fn unknown(def: &TableDef, name: &str, has_hint: bool) -> Error {
    let similar = if has_hint { def.schema.shape().similar_column(name).map(Into::into) } else { None };
    RowError::new(RowErrorKind::UnknownField { field: excerpt(name).into(), similar }).in_table(def.name())
}
