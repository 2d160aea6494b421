//! The types a column can have, and their names.
//!
//! A name is the type's one spelling: it prints, parses, and stands in the JSON form of a schema. Widths are those of
//! the packed bytes, which is what `record_size` counts.

use std::fmt;
use std::str::FromStr;

use serde_core::{Deserialize, Deserializer, Serialize, Serializer};

use super::similar::similar;
use super::value_ref::ValueRef;

/// The type of a column.
///
/// Spelled `i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 bool string bytes uuid timestamp json`, and `NxT` for an array of `N`
/// values of a fixed-width type `T`.
///
/// ```
/// let position: folio::Type = "3xf32".parse()?;
/// assert_eq!(position.fixed_width(), Some(12));
/// # Ok::<(), folio::ParseTypeError>(())
/// ```
///
/// # Values
///
/// What a row for [`Table::insert`](crate::Table::insert) and the other writes may hand to serde, and how exports as
/// JSON have it; CSV is written the same, texts without JSON's quotes. A value of another kind is
/// [`Error::WrongType`](crate::Error::WrongType), text that does not parse
/// [`Error::InvalidValue`](crate::Error::InvalidValue).
///
/// | type | goes in | is exported |
/// |---|---|---|
/// | `i8` to `u64` | an integer of any width in the type's range; no float, whole or not | number |
/// | `f32`, `f64` | a float or an integer | number; `"NaN"`, `"Infinity"`, `"-Infinity"` |
/// | `bool` | a bool | `true`, `false` |
/// | `string` | text, a `char`, an enum's variant without values by its name | text |
/// | `bytes` | `serialize_bytes`, or a sequence of integers from 0 to 255; no text | hexadecimal text |
/// | `uuid` | a [`Uuid`](crate::Uuid), its text, or its 16 bytes as for `bytes` | text with hyphens |
/// | `timestamp` | a [`Timestamp`](crate::Timestamp), RFC 3339 text, or an integer | RFC 3339 text in UTC |
/// | `json` | all that `serde_json` can write, at most 127 deep | the document |
/// | `NxT` | a sequence of `N` values, each as for `T` and none null | array |
///
/// - A column of floats takes the nearest of its own to a number that it cannot have: of an integer with more digits,
///   and, in an `f32` column, of an `f64`. An `f64` beyond the range of `f32` is
///   [`Error::OutOfRange`](crate::Error::OutOfRange), as an integer beyond its column's is.
/// - NaN and the infinities go in as floats and not as their text, NaN into no key and no index. In a `json` column a
///   float that is not finite is null.
/// - An integer for a `timestamp` counts microseconds since 1970, never seconds. Second 60 of a text is the first of
///   the next minute.
/// - `None`, `()` and JSON's null are null in every type. Null in a column that is not nullable is
///   [`Error::NullNotAllowed`](crate::Error::NullNotAllowed), whether or not there is a default; in an auto-increment
///   key it asks for the next number.
/// - `Some` and newtypes are what is in them.
/// - Imports read all that exports write. `insert` does not read the text of bytes, nor that of NaN and the infinities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
pub enum Type {
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F32,
    F64,
    Bool,
    /// UTF-8 text of any length.
    String,
    /// Bytes of any length.
    Bytes,
    /// 16 bytes.
    Uuid,
    /// Microseconds since 1970-01-01 UTC, in 8 bytes.
    Timestamp,
    /// Any JSON value, kept as compact text.
    Json,
    /// A fixed number of fixed-width values.
    Array(Array),
}

/// A type whose values all have the same width: what an array can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
pub enum Scalar {
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F32,
    F64,
    Bool,
    Uuid,
    Timestamp,
}

/// The type of a fixed array: its element and its length, 1 to [`Array::LEN_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Array {
    element: Scalar,
    len: u32,
}

impl Array {
    /// The longest array, in elements.
    pub const LEN_MAX: u32 = 65_536;

    /// An array of `len` elements; `None` unless `len` is 1 to [`Array::LEN_MAX`].
    pub fn new(element: Scalar, len: u32) -> Option<Array> {
        (1..=Array::LEN_MAX).contains(&len).then_some(Array { element, len })
    }

    /// The type of each element.
    pub fn element(self) -> Scalar {
        self.element
    }

    /// The number of elements, at least 1.
    #[allow(clippy::len_without_is_empty)] // an array is never empty
    pub fn len(self) -> usize {
        self.len as usize
    }
}

impl Scalar {
    /// Bytes of one packed value.
    #[inline]
    pub fn width(self) -> usize {
        match self {
            Scalar::I8 | Scalar::U8 | Scalar::Bool => 1,
            Scalar::I16 | Scalar::U16 => 2,
            Scalar::I32 | Scalar::U32 | Scalar::F32 => 4,
            Scalar::I64 | Scalar::U64 | Scalar::F64 | Scalar::Timestamp => 8,
            Scalar::Uuid => 16,
        }
    }
}

impl Type {
    /// Every type but the arrays, in the order in which messages list them.
    const PLAIN: [Type; 16] = [
        Type::I8,
        Type::I16,
        Type::I32,
        Type::I64,
        Type::U8,
        Type::U16,
        Type::U32,
        Type::U64,
        Type::F32,
        Type::F64,
        Type::Bool,
        Type::String,
        Type::Bytes,
        Type::Uuid,
        Type::Timestamp,
        Type::Json,
    ];

    /// Bytes of one packed value; `None` for `string`, `bytes` and `json`, whose values differ in length.
    #[inline]
    pub fn fixed_width(self) -> Option<usize> {
        match self {
            Type::Array(array) => Some(array.element.width() * array.len as usize),
            ty => ty.scalar().map(Scalar::width),
        }
    }

    /// The alignment that the packed values want when they stand in a row of their own: that of the machine type, 1 for
    /// what is read byte by byte.
    #[inline]
    pub fn align(self) -> usize {
        match self {
            Type::Array(Array { element: Scalar::Uuid, .. }) | Type::Uuid => 1,
            Type::Array(array) => array.element.width(),
            ty => ty.fixed_width().unwrap_or(1),
        }
    }

    /// The scalar of the same name; `None` for `string`, `bytes`, `json` and arrays.
    #[inline]
    pub fn scalar(self) -> Option<Scalar> {
        Some(match self {
            Type::I8 => Scalar::I8,
            Type::I16 => Scalar::I16,
            Type::I32 => Scalar::I32,
            Type::I64 => Scalar::I64,
            Type::U8 => Scalar::U8,
            Type::U16 => Scalar::U16,
            Type::U32 => Scalar::U32,
            Type::U64 => Scalar::U64,
            Type::F32 => Scalar::F32,
            Type::F64 => Scalar::F64,
            Type::Bool => Scalar::Bool,
            Type::Uuid => Scalar::Uuid,
            Type::Timestamp => Scalar::Timestamp,
            Type::String | Type::Bytes | Type::Json | Type::Array(_) => return None,
        })
    }

    /// Whether this is one of the eight integer types.
    #[inline]
    pub fn is_integer(self) -> bool {
        self.integer_range().is_some()
    }

    /// Whether this is `f32` or `f64`.
    #[inline]
    pub fn is_float(self) -> bool {
        matches!(self, Type::F32 | Type::F64)
    }

    /// On which side of all that a type which takes integers as they are holds `value` lies; `None` if it is none of the
    /// integers beyond it.
    pub(crate) fn beyond(self, value: ValueRef<'_>) -> Option<Beyond> {
        let integer = match value {
            ValueRef::Int(value) => i128::from(value),
            ValueRef::UInt(value) => i128::from(value),
            _ => return None,
        };
        // An instant is given by its microseconds, too.
        let ty = if self == Type::Timestamp { Type::I64 } else { self };
        match ty.integer_range()? {
            (min, _) if integer < min => Some(Beyond::Below),
            (_, max) if integer > max => Some(Beyond::Above),
            _ => None,
        }
    }

    /// The smallest and largest value of an integer type.
    pub(crate) fn integer_range(self) -> Option<(i128, i128)> {
        Some(match self {
            Type::I8 => (i8::MIN.into(), i8::MAX.into()),
            Type::I16 => (i16::MIN.into(), i16::MAX.into()),
            Type::I32 => (i32::MIN.into(), i32::MAX.into()),
            Type::I64 => (i64::MIN.into(), i64::MAX.into()),
            Type::U8 => (0, u8::MAX.into()),
            Type::U16 => (0, u16::MAX.into()),
            Type::U32 => (0, u32::MAX.into()),
            Type::U64 => (0, u64::MAX.into()),
            _ => return None,
        })
    }
}

/// Where an integer lies that a type cannot hold. It compares with what the type holds all the same, and equals none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beyond {
    Below,
    Above,
}

impl From<Scalar> for Type {
    #[inline]
    fn from(scalar: Scalar) -> Type {
        match scalar {
            Scalar::I8 => Type::I8,
            Scalar::I16 => Type::I16,
            Scalar::I32 => Type::I32,
            Scalar::I64 => Type::I64,
            Scalar::U8 => Type::U8,
            Scalar::U16 => Type::U16,
            Scalar::U32 => Type::U32,
            Scalar::U64 => Type::U64,
            Scalar::F32 => Type::F32,
            Scalar::F64 => Type::F64,
            Scalar::Bool => Type::Bool,
            Scalar::Uuid => Type::Uuid,
            Scalar::Timestamp => Type::Timestamp,
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Type::from(*self).fmt(f)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Type::I8 => "i8",
            Type::I16 => "i16",
            Type::I32 => "i32",
            Type::I64 => "i64",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Bool => "bool",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Uuid => "uuid",
            Type::Timestamp => "timestamp",
            Type::Json => "json",
            Type::Array(array) => return f.pad(&format!("{}x{}", array.len, array.element)),
        })
    }
}

/// A text that names no type. Its message says what would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseTypeError {
    text: Box<str>,
    expected: Box<str>,
}

impl fmt::Display for ParseTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a type: {}", self.text, self.expected)
    }
}

impl std::error::Error for ParseTypeError {}

impl FromStr for Type {
    type Err = ParseTypeError;

    fn from_str(text: &str) -> Result<Type, ParseTypeError> {
        let error = |expected: String| ParseTypeError {
            text: super::row_error::excerpt(text).into(),
            expected: expected.into(),
        };
        if let Some(ty) = plain(text) {
            return Ok(ty);
        }
        let Some((len, element)) =
            text.split_once('x').filter(|(len, _)| !len.is_empty() && len.bytes().all(|byte| byte.is_ascii_digit()))
        else {
            let names = Type::PLAIN.map(|ty| ty.to_string());
            return Err(error(match similar(text, names.iter().map(String::as_str)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("expected one of {}, or an array such as 3xf32", names.join(", ")),
            }));
        };
        let scalar = plain(element).and_then(Type::scalar).ok_or_else(|| {
            error("an array's elements are integers, floats, bool, uuid or timestamp, as in 3xf32".into())
        })?;
        let len = len.parse().ok().and_then(|len| Array::new(scalar, len));
        len.map(Type::Array).ok_or_else(|| error(format!("an array has 1 to {} elements", Array::LEN_MAX)))
    }
}

impl FromStr for Array {
    type Err = ParseTypeError;

    fn from_str(text: &str) -> Result<Array, ParseTypeError> {
        match text.parse()? {
            Type::Array(array) => Ok(array),
            _ => Err(ParseTypeError { text: text.into(), expected: "an array is spelled as in 3xf32".into() }),
        }
    }
}

/// The type without arrays that has this name.
fn plain(name: &str) -> Option<Type> {
    Some(match name {
        "i8" => Type::I8,
        "i16" => Type::I16,
        "i32" => Type::I32,
        "i64" => Type::I64,
        "u8" => Type::U8,
        "u16" => Type::U16,
        "u32" => Type::U32,
        "u64" => Type::U64,
        "f32" => Type::F32,
        "f64" => Type::F64,
        "bool" => Type::Bool,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "uuid" => Type::Uuid,
        "timestamp" => Type::Timestamp,
        "json" => Type::Json,
        _ => return None,
    })
}

impl Serialize for Type {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Type, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        name.parse().map_err(serde_core::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_print_and_parse() {
        let arrays = ["3xf32", "1xbool", "65536xuuid", "12xi16"].map(|name| name.parse().unwrap());
        for ty in Type::PLAIN.into_iter().chain(arrays) {
            assert_eq!(ty.to_string().parse(), Ok(ty));
            assert_eq!(serde_json::from_str::<Type>(&serde_json::to_string(&ty).unwrap()).unwrap(), ty);
        }
        assert_eq!("3xf32".parse::<Type>().unwrap().fixed_width(), Some(12));
    }

    #[test]
    fn what_is_no_type_is_told_what_is_one() {
        let message = |text: &str| text.parse::<Type>().unwrap_err().to_string();
        assert!(message("strin").contains("did you mean `string`?"));
        assert!(message("0xf32").contains("1 to 65536"));
        assert!(message("99999999999xf32").contains("1 to 65536"));
        assert!(message("3xstring").contains("elements are"));
        assert!(message("").contains("expected one of i8"));
        assert!(message("+3xi8").contains("is not a type"));
    }
}
