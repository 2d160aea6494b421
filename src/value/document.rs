//! Documents, which a `json` column keeps as text: which are taken, how they are kept, and when two are equal.
//!
//! A document is taken if it can be read back as a [`Value`]. Sound JSON need not: `1e999` is a number that no float is,
//! and `"\ud800"` half of a character. serde_json writes no such text by itself, but a raw value may bring it, and a file.
//! Files of ours that have it, from when it was taken, are read all the same. And an object with one of the keys that
//! serde_json keeps for itself is read as something else: as the JSON that a text in it spells, however deep that nests.
//! No document has such a key, whether it comes from a program or from a file.
//!
//! What serde_json has written is read over once all the same: it writes what it is told, and of elements where none were
//! announced, or of a value without a key, it makes no JSON. A file with that could not be read again.
//!
//! The text is kept as it came, so that numbers keep their digits, but without the white space that means nothing: where it
//! begins as the escape of exports does, its first bytes are just those.
//!
//! Two are equal if the values that they are read as are. So neither the order of keys nor how numbers and text are written
//! counts. What compares documents compares their canonical text, which is the same just for equal ones.

use std::borrow::Cow;
use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, Write};

use serde_core::de::{Error, MapAccess, SeqAccess, Visitor};
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::ser::Formatter;
use serde_json::value::RawValue;

use super::json_text::write_text;
use super::pack::{JSON_DEPTH_MAX, append};
use super::row_error::RowErrorKind;
use super::types::Type;

/// Appends a document from outside, compact.
///
/// # Errors
/// `InvalidValue`, `OutOfMemory`.
pub(super) fn append_document(text: &str, out: &mut Vec<u8>) -> Result<(), RowErrorKind> {
    match read_back(text)? {
        // The column's own.
        Skimmed::Null => Err(RowErrorKind::invalid(text, "JSON other than null")),
        Skimmed::Other => append(out, compact(text).as_bytes()),
    }
}

/// A document without the white space that means nothing: as a table keeps it.
pub(super) fn compact(json: &str) -> Cow<'_, str> {
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    if !json.contains(is_space) {
        return Cow::Borrowed(json);
    }
    let (mut in_string, mut is_escaped) = (false, false);
    let keep = |c: &char| {
        match *c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = in_string,
            '"' => in_string = !in_string,
            c => return in_string || !is_space(c),
        }
        true
    };
    Cow::Owned(json.chars().filter(keep).collect())
}

/// Judges whether [`tree`] would read the text.
fn read_back(text: &str) -> Result<Skimmed, RowErrorKind> {
    check_keys(text)?;
    let refuse = |error| RowErrorKind::invalid(text, format_args!("JSON that can be read back: {error}"));
    serde_json::from_str(text).map_err(refuse)
}

/// What is read as a [`Value`] is, number by number and key by key, and kept nowhere: a tree of many small values takes a
/// hundred times the memory of its text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Skimmed {
    Null,
    Other,
}

impl<'de> Deserialize<'de> for Skimmed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Skim)
    }
}

struct Skim;

impl<'de> Visitor<'de> for Skim {
    type Value = Skimmed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E>(self) -> Result<Skimmed, E> {
        Ok(Skimmed::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Skimmed, E> {
        Ok(Skimmed::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Skimmed, E> {
        Ok(Skimmed::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Skimmed, E> {
        Ok(Skimmed::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Skimmed, E> {
        Ok(Skimmed::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Skimmed, E> {
        Ok(Skimmed::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Skimmed, A::Error> {
        while values.next_element::<Skimmed>()?.is_some() {}
        Ok(Skimmed::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Skimmed, A::Error> {
        while entries.next_entry::<Skimmed, Skimmed>()?.is_some() {}
        Ok(Skimmed::Other)
    }
}

/// The tree that a document's text is read as. Text that is no document of a table, as whoever makes a `ValueRef` may give,
/// is an error.
pub(crate) fn tree(text: &str) -> serde_json::Result<Value> {
    check_keys(text).map_err(serde_json::Error::custom)?;
    serde_json::from_str(text)
}

thread_local! {
    /// Whether what is serialized on this thread goes into a document of a table.
    static INTO_DOCUMENT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `write`, which serializes into a document: those within it keep their text. Serde has no way for a value to ask what
/// it is serialized into.
pub(super) fn into_document<R>(write: impl FnOnce() -> R) -> R {
    struct Restore(bool);

    impl Drop for Restore {
        fn drop(&mut self) {
            INTO_DOCUMENT.set(self.0);
        }
    }

    let _before = Restore(INTO_DOCUMENT.replace(true));
    write()
}

/// A document's text into any format: as the tree that it is read as, but for those who take it as it is.
pub(super) fn serialize_text<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    if INTO_DOCUMENT.get()
        && let Ok(raw) = serde_json::from_str::<&RawValue>(text)
    {
        return raw.serialize(serializer);
    }
    tree(text).map_err(serde_core::ser::Error::custom)?.serialize(serializer)
}

/// A tree within a form of ours, read as [`tree`] reads it.
pub(crate) struct Tree(pub(crate) Value);

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        tree(text.get()).map(Tree).map_err(D::Error::custom)
    }
}

/// How the keys begin that serde_json keeps for itself.
const RESERVED_KEYS: &str = "$serde_json::private::";

/// Refuses text with a key that serde_json keeps for itself. Sound or not: what a reader meets before it finds the text
/// unsound is judged too.
pub(super) fn check_keys(text: &str) -> Result<(), RowErrorKind> {
    // Such a key stands in it as it is, or spelt by escapes: nearly all texts are done with here.
    if !text.contains(RESERVED_KEYS) && !text.contains("\\u") {
        return Ok(());
    }
    let mut rest = text;
    while let Some((string, behind)) = next_string(rest) {
        if behind.trim_ascii_start().starts_with(':')
            && let Ok(key) = serde_json::from_str::<String>(string)
            && key.starts_with(RESERVED_KEYS)
        {
            return Err(RowErrorKind::invalid(&key, format_args!("a key that does not begin with `{RESERVED_KEYS}`")));
        }
        rest = behind;
    }
    Ok(())
}

/// The first string of JSON text, with its quotes, and what is behind it.
fn next_string(text: &str) -> Option<(&str, &str)> {
    let string = text.get(text.find('"')?..)?;
    let mut is_escaped = false;
    let end = string.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })?;
    string.split_at_checked(end + 2)
}

/// Why a document is not written on.
pub(super) enum Refused {
    /// What is wrong with a raw value in it.
    Raw(RowErrorKind),
    /// It nests too deep. Found on the way down: a value that nests deep enough uses up the stack.
    Depth,
}

/// Writes compact text, raw values too, which it judges. What is wrong goes to `refused`.
pub(super) struct DocumentFormatter<'a> {
    refused: &'a mut Option<Refused>,
    depth: usize,
}

impl<'a> DocumentFormatter<'a> {
    pub(super) fn new(refused: &'a mut Option<Refused>) -> Self {
        Self { refused, depth: 0 }
    }

    fn refuse(&mut self, refused: Refused) -> io::Result<()> {
        self.refused.get_or_insert(refused);
        Err(io::ErrorKind::InvalidData.into())
    }

    fn begin<W: io::Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        if self.depth > JSON_DEPTH_MAX {
            return self.refuse(Refused::Depth);
        }
        writer.write_all(bracket)
    }

    fn end<W: io::Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        writer.write_all(bracket)
    }
}

impl Formatter for DocumentFormatter<'_> {
    fn begin_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"[")
    }

    fn end_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"]")
    }

    fn begin_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"{")
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"}")
    }

    fn write_raw_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        match read_back(fragment) {
            Ok(_) => writer.write_all(compact(fragment).as_bytes()),
            Err(kind) => self.refuse(Refused::Raw(kind)),
        }
    }
}

/// The packed bytes that stand for all values equal to this one: of a document its canonical text, of what is no document
/// itself.
#[inline]
pub(crate) fn canonical(ty: Type, packed: &[u8]) -> Cow<'_, [u8]> {
    if ty == Type::Json { canonical_document(packed) } else { Cow::Borrowed(packed) }
}

/// See [`canonical`].
pub(super) fn canonical_document(text: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(text).map(tree) {
        Ok(Ok(value)) => {
            let mut out = Vec::with_capacity(text.len());
            write_canonical(&value, &mut out);
            Cow::Owned(out)
        }
        // Read as no value, it is equal to itself alone.
        _ => Cow::Borrowed(text),
    }
}

/// Writes compact text with the keys sorted: a map may have them in any order, as serde_json's features are set.
fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    let separator = |at: usize, out: &mut Vec<u8>| {
        if at > 0 {
            out.push(b',');
        }
    };
    match value {
        Value::Array(values) => {
            out.push(b'[');
            for (at, value) in values.iter().enumerate() {
                separator(at, out);
                write_canonical(value, out);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'{');
            for (at, (key, value)) in fields.into_iter().enumerate() {
                separator(at, out);
                write_string(key, out);
                out.push(b':');
                write_canonical(value, out);
            }
            out.push(b'}');
        }
        Value::String(text) => write_string(text, out),
        // Floats are equal as numbers are, zeros of both signs too.
        Value::Number(number) if number.is_f64() && number.as_f64() == Some(0.0) => out.extend_from_slice(b"0.0"),
        other => {
            let written = write!(out, "{other}");
            debug_assert!(written.is_ok(), "a vector takes what it is given");
        }
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    let Ok(()) = write_text(text.as_bytes(), &mut |part| {
        out.extend_from_slice(part);
        Ok::<(), Infallible>(())
    });
}
