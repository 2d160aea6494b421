//! A value, borrowed: what the layers hand each other when the type is known only at run time.

use std::fmt;

use serde_core::{Serialize, Serializer};

use super::document::{canonical_document, serialize_text, tree};
use super::owned::Value;
use super::pack::unpack_scalar;
use super::timestamp::Timestamp;
use super::types::Scalar;
use super::uuid::Uuid;

/// A borrowed value of any type. Cheap to copy.
///
/// Integers of all widths are [`Int`](ValueRef::Int) or [`UInt`](ValueRef::UInt), floats of both are
/// [`Float`](ValueRef::Float). Two values are equal if they say the same: `Int(1)` and `UInt(1)` are equal, `Int(1)` and
/// `Float(1.0)` are not.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed integer of any width.
    Int(i64),
    /// An unsigned integer of any width.
    UInt(u64),
    /// A float of either width.
    Float(f64),
    /// Text.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A UUID.
    Uuid(Uuid),
    /// A point in time.
    Timestamp(Timestamp),
    /// JSON as text. Read from a table it is compact; handed in, it is parsed and written anew.
    Json(&'a str),
    /// JSON as a tree.
    JsonTree(&'a serde_json::Value),
    /// A fixed array.
    Array(ArrayRef<'a>),
}

/// The values of a fixed array, borrowed from a row or from a [`Value`].
#[derive(Debug, Clone, Copy)]
pub struct ArrayRef<'a>(Elements<'a>);

#[derive(Debug, Clone, Copy)]
enum Elements<'a> {
    Packed(Scalar, &'a [u8]),
    Values(&'a [Value]),
}

impl<'a> ArrayRef<'a> {
    /// The array in these packed bytes.
    pub(crate) fn packed(element: Scalar, bytes: &'a [u8]) -> ArrayRef<'a> {
        ArrayRef(Elements::Packed(element, bytes))
    }

    /// The array of these values.
    pub fn values(values: &'a [Value]) -> ArrayRef<'a> {
        ArrayRef(Elements::Values(values))
    }

    /// The packed bytes, if this array is made of such elements.
    pub(crate) fn as_packed(&self, element: Scalar) -> Option<&'a [u8]> {
        match self.0 {
            Elements::Packed(own, bytes) if own == element => Some(bytes),
            _ => None,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match self.0 {
            Elements::Packed(element, bytes) => bytes.len() / element.width(),
            Elements::Values(values) => values.len(),
        }
    }

    /// Whether there are none, which an array of a table never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<ValueRef<'a>> {
        match self.0 {
            Elements::Packed(element, bytes) => {
                let start = index.checked_mul(element.width())?;
                let value = bytes.get(start..start.checked_add(element.width())?)?;
                Some(unpack_scalar(element, value))
            }
            Elements::Values(values) => values.get(index).map(Value::as_ref),
        }
    }

    /// The elements in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ValueRef<'a>> + use<'a> {
        let array = *self;
        (0..array.len()).map(move |index| array.get(index).unwrap_or(ValueRef::Null))
    }
}

impl<'a> ValueRef<'a> {
    /// The same value, owned. JSON text that does not parse, which no table holds, becomes a JSON string.
    pub fn to_owned(&self) -> Value {
        match *self {
            ValueRef::Null => Value::Null,
            ValueRef::Bool(value) => Value::Bool(value),
            ValueRef::Int(value) => Value::Int(value),
            ValueRef::UInt(value) => Value::UInt(value),
            ValueRef::Float(value) => Value::Float(value),
            ValueRef::Str(value) => Value::String(value.to_owned()),
            ValueRef::Bytes(value) => Value::Bytes(value.to_vec()),
            ValueRef::Uuid(value) => Value::Uuid(value),
            ValueRef::Timestamp(value) => Value::Timestamp(value),
            ValueRef::Json(text) => Value::Json(tree(text).unwrap_or_else(|_| text.into())),
            ValueRef::JsonTree(value) => Value::Json(value.clone()),
            ValueRef::Array(array) => Value::Array(array.iter().map(|value| value.to_owned()).collect()),
        }
    }

    /// Whether this is no value; JSON's null counts as one.
    pub fn is_null(&self) -> bool {
        matches!(self, ValueRef::Null | ValueRef::JsonTree(serde_json::Value::Null))
    }

    /// What kind of value this is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            ValueRef::Null => "null",
            ValueRef::Bool(_) => "a bool",
            ValueRef::Int(_) | ValueRef::UInt(_) => "an integer",
            ValueRef::Float(_) => "a float",
            ValueRef::Str(_) => "a string",
            ValueRef::Bytes(_) => "bytes",
            ValueRef::Uuid(_) => "a uuid",
            ValueRef::Timestamp(_) => "a timestamp",
            ValueRef::Json(_) | ValueRef::JsonTree(_) => "json",
            ValueRef::Array(_) => "an array",
        }
    }
}

impl PartialEq for ValueRef<'_> {
    fn eq(&self, other: &ValueRef<'_>) -> bool {
        use ValueRef::*;
        match (self, other) {
            (a, b) if a.is_null() || b.is_null() => a.is_null() && b.is_null(),
            (Bool(a), Bool(b)) => a == b,
            (Int(a), Int(b)) => a == b,
            (UInt(a), UInt(b)) => a == b,
            (Int(a), UInt(b)) | (UInt(b), Int(a)) => u64::try_from(*a) == Ok(*b),
            (Float(a), Float(b)) => a == b,
            (Str(a), Str(b)) => a == b,
            (Bytes(a), Bytes(b)) => a == b,
            (Uuid(a), Uuid(b)) => a == b,
            (Timestamp(a), Timestamp(b)) => a == b,
            (Json(a), Json(b)) => a == b || canonical_document(a.as_bytes()) == canonical_document(b.as_bytes()),
            (JsonTree(a), JsonTree(b)) => a == b,
            (Json(text), JsonTree(other)) | (JsonTree(other), Json(text)) => {
                tree(text).is_ok_and(|tree| tree == **other)
            }
            (Array(a), Array(b)) => a.len() == b.len() && a.iter().eq(b.iter()),
            _ => false,
        }
    }
}

impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueRef::Null => f.write_str("null"),
            ValueRef::Bool(value) => write!(f, "{value}"),
            ValueRef::Int(value) => write!(f, "{value}"),
            ValueRef::UInt(value) => write!(f, "{value}"),
            ValueRef::Float(value) => write!(f, "{value:?}"),
            ValueRef::Str(value) => write!(f, "{value:?}"),
            ValueRef::Bytes(value) => {
                f.write_str("0x")?;
                value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            ValueRef::Uuid(value) => write!(f, "{value}"),
            ValueRef::Timestamp(value) => write!(f, "{value}"),
            ValueRef::Json(text) => f.write_str(text),
            ValueRef::JsonTree(value) => write!(f, "{value}"),
            ValueRef::Array(array) => {
                f.write_str("[")?;
                for (index, value) in array.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}

impl Serialize for ValueRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ValueRef::Null => serializer.serialize_none(),
            ValueRef::Bool(value) => serializer.serialize_bool(*value),
            ValueRef::Int(value) => serializer.serialize_i64(*value),
            ValueRef::UInt(value) => serializer.serialize_u64(*value),
            ValueRef::Float(value) => serializer.serialize_f64(*value),
            ValueRef::Str(value) => serializer.serialize_str(value),
            ValueRef::Bytes(value) => serializer.serialize_bytes(value),
            ValueRef::Uuid(value) => value.serialize(serializer),
            ValueRef::Timestamp(value) => value.serialize(serializer),
            ValueRef::Json(text) => serialize_text(text, serializer),
            ValueRef::JsonTree(value) => value.serialize(serializer),
            ValueRef::Array(array) => serializer.collect_seq(array.iter()),
        }
    }
}

macro_rules! from_copy {
    ($($from:ty => $variant:ident as $to:ty),* $(,)?) => {$(
        impl From<$from> for ValueRef<'_> {
            #[inline]
            fn from(value: $from) -> Self {
                ValueRef::$variant(value as $to)
            }
        }
    )*};
}

from_copy!(
    bool => Bool as bool,
    i8 => Int as i64, i16 => Int as i64, i32 => Int as i64, i64 => Int as i64,
    u8 => UInt as u64, u16 => UInt as u64, u32 => UInt as u64, u64 => UInt as u64,
    f32 => Float as f64, f64 => Float as f64,
    Uuid => Uuid as Uuid, Timestamp => Timestamp as Timestamp,
);

impl<'a> From<&'a str> for ValueRef<'a> {
    #[inline]
    fn from(value: &'a str) -> Self {
        ValueRef::Str(value)
    }
}

impl<'a> From<&'a [u8]> for ValueRef<'a> {
    #[inline]
    fn from(value: &'a [u8]) -> Self {
        ValueRef::Bytes(value)
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        value.as_ref()
    }
}
