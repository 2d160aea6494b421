//! A value, owned: what defaults are kept as and what a user builds when types are known only at run time.

use std::fmt;

use serde_core::{Serialize, Serializer};

use super::timestamp::Timestamp;
use super::uuid::Uuid;
use super::value_ref::{ArrayRef, ValueRef};

/// An owned value of any type; see [`ValueRef`] for its meaning and for when two are equal.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Value {
    /// No value.
    #[default]
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
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A UUID.
    Uuid(Uuid),
    /// A point in time.
    Timestamp(Timestamp),
    /// A JSON value. JSON's null is the same as [`Value::Null`]: there is one null.
    Json(serde_json::Value),
    /// A fixed array.
    Array(Vec<Value>),
}

impl Value {
    /// The same value, borrowed.
    #[allow(clippy::should_implement_trait)] // `AsRef` cannot return a type with a lifetime
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Null | Value::Json(serde_json::Value::Null) => ValueRef::Null,
            Value::Bool(value) => ValueRef::Bool(*value),
            Value::Int(value) => ValueRef::Int(*value),
            Value::UInt(value) => ValueRef::UInt(*value),
            Value::Float(value) => ValueRef::Float(*value),
            Value::String(value) => ValueRef::Str(value),
            Value::Bytes(value) => ValueRef::Bytes(value),
            Value::Uuid(value) => ValueRef::Uuid(*value),
            Value::Timestamp(value) => ValueRef::Timestamp(*value),
            Value::Json(value) => ValueRef::JsonTree(value),
            Value::Array(values) => ValueRef::Array(ArrayRef::values(values)),
        }
    }

    /// Whether this is no value; JSON's null counts as one.
    pub fn is_null(&self) -> bool {
        self.as_ref().is_null()
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().serialize(serializer)
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Value {
                Value::$variant(value.into())
            }
        }
    )*};
}

from!(
    bool => Bool,
    i8 => Int, i16 => Int, i32 => Int, i64 => Int,
    u8 => UInt, u16 => UInt, u32 => UInt, u64 => UInt,
    f32 => Float, f64 => Float,
    &str => String, String => String, &String => String, char => String,
    &[u8] => Bytes, Vec<u8> => Bytes,
    Uuid => Uuid, Timestamp => Timestamp,
    serde_json::Value => Json,
    Vec<Value> => Array,
);

impl From<usize> for Value {
    fn from(value: usize) -> Value {
        Value::UInt(value as u64)
    }
}

/// As iterators over names written out give them.
impl From<&&str> for Value {
    fn from(value: &&str) -> Value {
        Value::from(*value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

impl<T: Into<Value>, const N: usize> From<[T; N]> for Value {
    fn from(values: [T; N]) -> Value {
        Value::Array(values.into_iter().map(Into::into).collect())
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Value {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_and_compare_by_what_they_say() {
        assert_eq!(Value::from(1i8), Value::from(1u64));
        assert_ne!(Value::from(1), Value::from(1.0));
        assert_ne!(Value::from(-1), Value::from(u64::MAX));
        assert_eq!(Value::Json(serde_json::Value::Null), Value::Null);
        assert_eq!(Value::from([1.5, 2.0]).to_string(), "[1.5, 2.0]");
        assert_eq!(Value::from(Some("a\"b")).to_string(), r#""a\"b""#);
        assert_eq!(serde_json::to_string(&Value::from([1, 2])).unwrap(), "[1,2]");
    }
}
