//! A packed value as JSON text from which it comes back bit for bit: what files of JSON Lines hold.
//!
//! Beside what serde gives and takes, which is for other programs and may round, this is exact: floats are the shortest
//! text that is theirs and are read as the nearest of their own width; what JSON has no number for is text (`"NaN"`,
//! `"Infinity"`, `"-Infinity"`, and `"NaN:7ff8000000000001"` for any other bits). Bytes are hexadecimal text. A document
//! is nested as it stands; one that cannot be, since it has a line break or begins as the escape does, is the text in
//! `{"$text":"..."}`.

use std::borrow::Cow;
use std::fmt::{self, Arguments};
use std::io::Write;

use serde_core::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::document::{append_document, compact};
use super::pack::{append, append_with, check_readable, pack_decimal, pack_text, unpack_scalar};
use super::row_error::RowErrorKind;
use super::types::{Scalar, Type};
use super::value_ref::ValueRef;

const TEXT_ESCAPE: &str = "{\"$text\":";

/// Writes a value of type `ty`, which is not null.
pub(crate) fn write_json<E>(ty: Type, bytes: &[u8], put: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    match ty {
        Type::String => write_text(bytes, put),
        Type::Bytes => write_hex(bytes, put),
        Type::Json if bytes.starts_with(TEXT_ESCAPE.as_bytes()) || bytes.contains(&b'\n') => {
            put(TEXT_ESCAPE.as_bytes())?;
            write_text(bytes, put)?;
            put(b"}")
        }
        Type::Json => put(bytes),
        Type::Array(array) => {
            let scalar = array.element();
            for (index, element) in bytes.chunks_exact(scalar.width()).enumerate() {
                put(if index == 0 { b"[" } else { b"," })?;
                write_scalar(scalar, element, put)?;
            }
            put(b"]")
        }
        ty => ty.scalar().map_or(Ok(()), |scalar| write_scalar(scalar, bytes, put)),
    }
}

fn write_scalar<E>(scalar: Scalar, bytes: &[u8], put: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    match unpack_scalar(scalar, bytes) {
        ValueRef::Bool(value) => put(if value { b"true" } else { b"false" }),
        ValueRef::Int(value) => write_short(format_args!("{value}"), put),
        ValueRef::UInt(value) => write_short(format_args!("{value}"), put),
        ValueRef::Float(value) if value.is_nan() => write_nan(scalar, bytes, put),
        ValueRef::Float(value) if value.is_infinite() => {
            put(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" })
        }
        ValueRef::Float(value) if scalar == Scalar::F32 => write_short(format_args!("{:?}", value as f32), put),
        ValueRef::Float(value) => write_short(format_args!("{value:?}"), put),
        ValueRef::Uuid(value) => write_short(format_args!("\"{value}\""), put),
        ValueRef::Timestamp(value) => write_short(format_args!("\"{value}\""), put),
        _ => put(b"null"),
    }
}

/// By its bits, unless it is the usual one. Little endian bytes are read backwards.
fn write_nan<E>(scalar: Scalar, bytes: &[u8], put: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    if bytes == nan(scalar) {
        return put(b"\"NaN\"");
    }
    let bits = bytes.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
    write_short(format_args!("\"NaN:{bits:0width$x}\"", width = 2 * bytes.len()), put)
}

/// The packed bytes of the NaN that is called so and no more.
fn nan(scalar: Scalar) -> Vec<u8> {
    match scalar {
        Scalar::F32 => f32::NAN.to_le_bytes().to_vec(),
        _ => f64::NAN.to_le_bytes().to_vec(),
    }
}

/// Puts a text that is short.
fn write_short<E>(text: Arguments<'_>, put: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut place = [0; 64];
    let mut rest = &mut place[..];
    // No number, time or UUID is longer.
    let written = rest.write_fmt(text);
    debug_assert!(written.is_ok());
    let len = 64 - rest.len();
    put(place.get(..len).unwrap_or_default())
}

/// Writes UTF-8 as a JSON string.
pub(crate) fn write_text<E>(bytes: &[u8], put: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    put(b"\"")?;
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        let (plain, escaped) = rest.split_at(at);
        put(plain)?;
        let Some((byte, behind)) = escaped.split_first() else { break };
        match byte {
            b'"' => put(b"\\\"")?,
            b'\\' => put(b"\\\\")?,
            b'\n' => put(b"\\n")?,
            b'\r' => put(b"\\r")?,
            b'\t' => put(b"\\t")?,
            byte => write_short(format_args!("\\u{byte:04x}"), put)?,
        }
        rest = behind;
    }
    put(rest)?;
    put(b"\"")
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn write_hex<E>(bytes: &[u8], put: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    put(b"\"")?;
    let mut place = [[0; 2]; 256];
    for part in bytes.chunks(place.len()) {
        let places = place.iter_mut().zip(part);
        places.for_each(|(place, byte)| *place = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        put(place.get(..part.len()).unwrap_or_default().as_flattened())?;
    }
    put(b"\"")
}

/// Appends the packed bytes of the value that sound JSON text stands for; `null` is none. A document is taken as it is
/// stored, see [`check_json`].
///
/// # Errors
/// `WrongType`, `OutOfRange`, `InvalidValue`, `WrongArity`, `OutOfMemory`: the text is not as [`write_json`] writes it.
pub(crate) fn read_json(ty: Type, json: &str, out: &mut Vec<u8>) -> Result<(), RowErrorKind> {
    match ty {
        Type::String => with_text(ty, json, |text| append(out, text.as_bytes())),
        Type::Bytes => with_text(ty, json, |text| read_hex(text, out)),
        Type::Json => {
            let document = unescape(json)?;
            check_json(document.as_bytes())?;
            append(out, document.as_bytes())
        }
        Type::Array(array) => read_elements(
            ty,
            json,
            Elements { scalar: array.element(), len: Some(array.len()), read: read_scalar, out },
        ),
        ty => match ty.scalar() {
            Some(scalar) => read_scalar(scalar, json, out),
            None => Err(RowErrorKind::wrong_type(ty, super::excerpt(json))),
        },
    }
}

/// As [`read_json`], of what others have written too: times may be numbers of microseconds, and bytes an array of numbers;
/// documents need not be compact.
///
/// # Errors
/// As [`read_json`].
pub(crate) fn read_from_outside(ty: Type, json: &str, out: &mut Vec<u8>) -> Result<(), RowErrorKind> {
    match ty {
        Type::Json => append_document(&unescape(&compact(json))?, out),
        Type::Bytes if json.starts_with('[') => {
            read_elements(ty, json, Elements { scalar: Scalar::U8, len: None, read: read_scalar, out })
        }
        Type::Array(array) => {
            let (scalar, len) = (array.element(), Some(array.len()));
            read_elements(ty, json, Elements { scalar, len, read: read_scalar_from_outside, out })
        }
        Type::Timestamp => read_scalar_from_outside(Scalar::Timestamp, json, out),
        ty => read_json(ty, json, out),
    }
}

fn read_scalar_from_outside(scalar: Scalar, json: &str, out: &mut Vec<u8>) -> Result<(), RowErrorKind> {
    match scalar {
        Scalar::Timestamp if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
            append_with(out, scalar.width(), |place| pack_decimal(scalar, json, place))
        }
        scalar => read_scalar(scalar, json, out),
    }
}

fn read_elements(ty: Type, json: &str, elements: Elements<'_>) -> Result<(), RowErrorKind> {
    let mut array = serde_json::Deserializer::from_str(json);
    let read = array.deserialize_seq(elements).and_then(|read| array.end().map(|()| read));
    read.unwrap_or_else(|_| Err(RowErrorKind::wrong_type(ty, super::excerpt(json))))
}

/// The text of the document that [`write_json`] wrote so.
fn unescape(json: &str) -> Result<Cow<'_, str>, RowErrorKind> {
    struct Escaped {
        text: String,
    }

    super::form::read_form!(impl<'de> for Escaped, { text: "$text" }, {});

    if !json.starts_with(TEXT_ESCAPE) {
        return Ok(Cow::Borrowed(json));
    }
    match serde_json::from_str(json) {
        Ok(Escaped { text }) => Ok(Cow::Owned(text)),
        Err(_) => Err(RowErrorKind::invalid(json, "{\"$text\": a JSON document}")),
    }
}

/// Refuses what cannot have been stored as a document: null is the column's, and what nests too deep, or has a key of
/// serde_json's own, could not be read. Others that cannot be read were taken once.
pub(crate) fn check_json(text: &[u8]) -> Result<(), RowErrorKind> {
    let invalid = |expected: &str| RowErrorKind::invalid(&String::from_utf8_lossy(text), expected);
    let sound = std::str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    if !sound {
        return Err(invalid("JSON"));
    }
    if text.trim_ascii() == b"null" {
        return Err(invalid("JSON other than null"));
    }
    check_readable(text)
}

/// Appends an array's elements as they come. Those beyond its length, if it has one, are counted and not kept: there may
/// be any number.
struct Elements<'o> {
    scalar: Scalar,
    len: Option<usize>,
    read: fn(Scalar, &str, &mut Vec<u8>) -> Result<(), RowErrorKind>,
    out: &'o mut Vec<u8>,
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = Result<(), RowErrorKind>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut read) = (0, Ok(()));
        while self.len.is_none_or(|len| found < len)
            && let Some(element) = seq.next_element::<&RawValue>()?
        {
            // How many there are is told before what is wrong with one.
            read = read.and_then(|()| {
                (self.read)(self.scalar, element.get(), self.out).map_err(|kind| kind.in_element(found))
            });
            found += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            found += 1;
        }
        Ok(match self.len {
            Some(expected) if expected != found => Err(RowErrorKind::WrongArity { expected, found }),
            _ => read,
        })
    }
}

fn read_scalar(scalar: Scalar, json: &str, out: &mut Vec<u8>) -> Result<(), RowErrorKind> {
    match scalar {
        Scalar::F32 | Scalar::F64 if json.starts_with('"') => {
            with_text(scalar.into(), json, |text| read_special(scalar, text, out))
        }
        Scalar::Bool => match json {
            "true" => append(out, &[1]),
            "false" => append(out, &[0]),
            _ => Err(RowErrorKind::wrong_type(scalar, super::excerpt(json))),
        },
        Scalar::Uuid | Scalar::Timestamp => with_text(scalar.into(), json, |text| read_named(scalar, text, out)),
        number => append_with(out, number.width(), |place| pack_decimal(number, json, place)),
    }
}

/// Appends the packed bytes of the value that bare text stands for, as a field of CSV has it: what is text in JSON,
/// without its quotes; the rest, and arrays and documents, as they are there.
///
/// # Errors
/// As [`read_json`].
#[cfg(feature = "csv")]
pub(crate) fn read_text(ty: Type, text: &str, out: &mut Vec<u8>) -> Result<(), RowErrorKind> {
    match ty {
        Type::String => append(out, text.as_bytes()),
        Type::Bytes => read_hex(text, out),
        Type::Json => append_document(text, out),
        Type::Uuid => read_named(Scalar::Uuid, text, out),
        Type::Timestamp => read_named(Scalar::Timestamp, text, out),
        Type::F32 if text.contains("NaN") || text.ends_with("Infinity") => read_special(Scalar::F32, text, out),
        Type::F64 if text.contains("NaN") || text.ends_with("Infinity") => read_special(Scalar::F64, text, out),
        ty => read_json(ty, text, out),
    }
}

/// What is written as text in a form of its own.
fn read_named(scalar: Scalar, text: &str, out: &mut Vec<u8>) -> Result<(), RowErrorKind> {
    let mut place = [0; 16];
    let place = &mut place[..scalar.width()];
    pack_text(scalar, text, place).map_err(|error| error.into_parts().1)?;
    append(out, place)
}

fn read_special(scalar: Scalar, text: &str, out: &mut Vec<u8>) -> Result<(), RowErrorKind> {
    let bits = |bits: u64| bits.to_le_bytes();
    let special = match (scalar, text) {
        (_, "NaN") => return append(out, &nan(scalar)),
        (Scalar::F32, "Infinity") => bits(f32::INFINITY.to_bits().into()),
        (Scalar::F32, "-Infinity") => bits(f32::NEG_INFINITY.to_bits().into()),
        (_, "Infinity") => bits(f64::INFINITY.to_bits()),
        (_, "-Infinity") => bits(f64::NEG_INFINITY.to_bits()),
        (_, text) => {
            let of_nan = |bits: &u64| match scalar {
                Scalar::F32 => u32::try_from(*bits).is_ok_and(|bits| f32::from_bits(bits).is_nan()),
                _ => f64::from_bits(*bits).is_nan(),
            };
            let named = text.strip_prefix("NaN:").and_then(|hex| u64::from_str_radix(hex, 16).ok());
            match named.filter(of_nan) {
                Some(named) => bits(named),
                None => return Err(RowErrorKind::invalid(text, "a float")),
            }
        }
    };
    append(out, special.get(..scalar.width()).unwrap_or_default())
}

fn read_hex(text: &str, out: &mut Vec<u8>) -> Result<(), RowErrorKind> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let refuse = || RowErrorKind::invalid(text, "bytes in hexadecimal");
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    out.try_reserve(pairs.len()).map_err(|_| RowErrorKind::OutOfMemory { bytes: pairs.len() })?;
    for &[high, low] in pairs {
        let (high, low) = digit(high).zip(digit(low)).ok_or_else(refuse)?;
        out.push(high << 4 | low);
    }
    if rest.is_empty() { Ok(()) } else { Err(refuse()) }
}

/// Hands over what a JSON string says.
fn with_text(ty: Type, json: &str, read: impl FnOnce(&str) -> Result<(), RowErrorKind>) -> Result<(), RowErrorKind> {
    let refuse = || RowErrorKind::wrong_type(ty, super::excerpt(json));
    let inner = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).ok_or_else(refuse)?;
    if !inner.contains('\\') {
        return read(inner);
    }
    let text: String = serde_json::from_str(json).map_err(|_| RowErrorKind::invalid(json, "text"))?;
    read(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(ty: Type, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        let Ok(()) = write_json(ty, bytes, &mut |part| {
            out.extend_from_slice(part);
            Ok::<(), std::convert::Infallible>(())
        });
        String::from_utf8(out).unwrap()
    }

    fn assert_whole(ty: &str, bytes: &[u8]) {
        let ty: Type = ty.parse().unwrap();
        let json = written(ty, bytes);
        // As it is found within a line.
        let raw: &RawValue = serde_json::from_str(&json).unwrap();
        assert!(!json.contains('\n'), "{json}");
        let mut back = Vec::new();
        read_json(ty, raw.get(), &mut back).unwrap_or_else(|error| panic!("{json}: {error}"));
        assert_eq!(back, bytes, "{json}");
    }

    proptest! {
        #[test]
        fn every_value_comes_back_bit_for_bit(word: u64, wide: [u8; 16], text: String, bytes: Vec<u8>, other: u32) {
            for ty in ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64", "timestamp"] {
                let width = ty.parse::<Type>().unwrap().fixed_width().unwrap();
                assert_whole(ty, &word.to_le_bytes()[..width]);
            }
            assert_whole("f32", &other.to_le_bytes());
            assert_whole("bool", &[(word & 1) as u8]);
            assert_whole("uuid", &wide);
            assert_whole("2xf64", &wide);
            assert_whole("4xf32", &wide);
            assert_whole("2xi64", &wide);
            assert_whole("string", text.as_bytes());
            assert_whole("bytes", &bytes);
            assert_whole("json", serde_json::to_string(&(text, word, f64::from_bits(word))).unwrap().as_bytes());
        }

        #[test]
        fn no_text_panics(json in "[-+0-9a-zA-Z\":.{}$\\[\\],\\\\]{0,24}") {
            for ty in ["i8", "u64", "f32", "f64", "bool", "string", "bytes", "uuid", "timestamp", "json", "2xf32"] {
                let _ = read_json(ty.parse().unwrap(), &json, &mut Vec::new());
            }
        }
    }

    #[test]
    fn special_values_come_back() {
        for value in [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, f64::MAX, 1e23, 0.1] {
            assert_whole("f64", &value.to_le_bytes());
            assert_whole("f32", &(value as f32).to_le_bytes());
        }
        assert_whole("f64", &0x7FF0_0000_0000_0001u64.to_le_bytes());
        assert_whole("f32", &0xFFA0_0001u32.to_le_bytes());
        for document in ["1", "[1,\n2]", "{\"$text\":\"a\"}", "\"a\"", " {\"a\" : 1e400}", "{\"$text\" :1}"] {
            assert_whole("json", document.trim_ascii().as_bytes());
        }
        assert_eq!(written(Type::F64, &f64::NAN.to_le_bytes()), "\"NaN\"");
        assert_eq!(written(Type::U64, &u64::MAX.to_le_bytes()), "18446744073709551615");
        assert_eq!(written(Type::Bytes, &[0, 255]), "\"00ff\"");
        assert_eq!(written("2xf32".parse().unwrap(), &[0; 8]), "[0.0,0.0]");
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (ty, json) in [
            ("u8", "256"),
            ("u8", "1.0"),
            ("i8", "\"1\""),
            ("f32", "1e60"),
            ("f64", "\"NaN:0\""),
            ("f64", "\"NaN:zz\""),
            ("f32", "\"NaN:7ff8000000000000\""),
            ("bool", "1"),
            ("string", "1"),
            ("bytes", "\"0\""),
            ("bytes", "\"0g\""),
            ("bytes", "[1]"),
            ("uuid", "\"x\""),
            ("timestamp", "5"),
            ("2xu8", "[1]"),
            ("2xu8", "[1,null]"),
            ("2xu8", "{}"),
            ("json", "null"),
            ("json", "{\"$text\":\"{\"}"),
            ("json", "{\"$text\":\"1\",\"a\":1}"),
        ] {
            assert!(read_json(ty.parse().unwrap(), json, &mut Vec::new()).is_err(), "{ty} {json}");
        }
        assert!(read_json(Type::Json, &"[".repeat(200), &mut Vec::new()).is_err());
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(read_json(Type::Json, &deep, &mut Vec::new()).is_err());
    }
}
