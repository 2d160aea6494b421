//! Serde out, one value: a deserializer over the packed bytes of one column.
//!
//! Strings and bytes are lent from the row. UUIDs and timestamps are their text, unless bytes or an integer are asked
//! for. JSON is parsed as it is read, into what the type asks for.

use serde_core::de::value::BorrowedStrDeserializer;
use serde_core::de::{DeserializeSeed, Deserializer, IntoDeserializer, SeqAccess, Visitor};
use serde_core::forward_to_deserialize_any;

use super::decode::RAW_VALUE;
use super::pack::unpack_scalar;
use super::row_error::{RowError, RowErrorKind};
use super::timestamp;
use super::types::{Scalar, Type};
use super::uuid;
use super::value_ref::ValueRef;

/// One column of one row.
#[derive(Clone, Copy)]
pub(super) struct ColumnDeserializer<'de> {
    ty: Type,
    bytes: Option<&'de [u8]>,
}

impl<'de> ColumnDeserializer<'de> {
    pub(super) fn new(ty: Type, bytes: Option<&'de [u8]>) -> ColumnDeserializer<'de> {
        ColumnDeserializer { ty, bytes }
    }

    pub(super) fn is_null(&self) -> bool {
        self.bytes.is_none()
    }

    /// The text, if this is a JSON column's value.
    #[inline]
    fn json(&self) -> Option<&'de [u8]> {
        self.bytes.filter(|_| self.ty == Type::Json)
    }
}

#[cold]
fn json_error(error: serde_json::Error) -> RowError {
    RowErrorKind::Decode { message: error.to_string().into() }.into()
}

/// Runs serde_json over the whole of a JSON column's text.
macro_rules! through_json {
    ($json:expr, $method:ident($($arg:expr),*)) => {{
        let mut json = serde_json::Deserializer::from_slice($json);
        let value = json.$method($($arg),*).map_err(json_error)?;
        json.end().map_err(json_error)?;
        Ok(value)
    }};
}

macro_rules! by_type {
    ($($method:ident($($arg:ident: $ty:ty),*);)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, $($arg: $ty,)* visitor: V) -> Result<V::Value, RowError> {
            match self.json() {
                Some(json) => through_json!(json, $method($($arg,)* visitor)),
                None => self.deserialize_any(visitor),
            }
        }
    )*};
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
            match (self.ty, self.bytes) {
                (Type::Timestamp, Some(bytes)) => visit_micros(bytes, visitor),
                (Type::Json, Some(json)) => through_json!(json, $method(visitor)),
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

macro_rules! bytes {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
            match (self.ty, self.bytes) {
                (Type::Bytes | Type::Uuid, Some(bytes)) => visitor.visit_borrowed_bytes(bytes),
                (Type::Json, Some(json)) => through_json!(json, $method(visitor)),
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for ColumnDeserializer<'de> {
    type Error = RowError;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        let Some(bytes) = self.bytes else { return visitor.visit_unit() };
        match self.ty {
            Type::Json => through_json!(bytes, deserialize_any(visitor)),
            // A sequence, so that formats without bytes, such as JSON, can hold it.
            Type::Bytes => visit_elements(Elements { scalar: Scalar::U8, bytes, width: 1 }, visitor),
            Type::Array(array) => {
                visit_elements(Elements { scalar: array.element(), bytes, width: array.element().width() }, visitor)
            }
            ty => visit_value(ty, ty.unpack(bytes), visitor),
        }
    }

    integers!(deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128);
    integers!(deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128);
    bytes!(deserialize_bytes deserialize_byte_buf);
    by_type!(
        deserialize_bool();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
    );

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.bytes {
            None => visitor.visit_none(),
            Some(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, RowError> {
        match (self.ty, self.bytes) {
            // serde_json's own raw values are asked for by a name, as are ours.
            (Type::Json, Some(json)) => through_json!(json, deserialize_newtype_struct(name, visitor)),
            (Type::Json, None) if name == RAW_VALUE => visitor.visit_unit(),
            (Type::Timestamp, Some(bytes)) if name == timestamp::SERDE_NAME => visit_micros(bytes, visitor),
            (Type::Uuid, Some(bytes)) if name == uuid::SERDE_NAME => visitor.visit_borrowed_bytes(bytes),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match (self.ty, self.bytes) {
            (Type::Uuid, Some(bytes)) => visit_elements(Elements { scalar: Scalar::U8, bytes, width: 1 }, visitor),
            (Type::Json, Some(json)) => through_json!(json, deserialize_seq(visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, RowError> {
        let found = match (self.ty, self.bytes) {
            (Type::Json, Some(json)) => return through_json!(json, deserialize_tuple(len, visitor)),
            (Type::Array(array), Some(_)) => array.len(),
            (Type::Bytes | Type::Uuid, Some(bytes)) => bytes.len(),
            _ => return self.deserialize_any(visitor),
        };
        match found == len {
            true => self.deserialize_seq(visitor),
            false => Err(RowErrorKind::WrongArity { expected: found, found: len }.into()),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, RowError> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        match (self.ty, self.bytes.map(|bytes| self.ty.unpack(bytes))) {
            (Type::Json, Some(ValueRef::Json(text))) => {
                through_json!(text.as_bytes(), deserialize_enum(name, variants, visitor))
            }
            (_, Some(ValueRef::Str(text))) => {
                BorrowedStrDeserializer::<RowError>::new(text).deserialize_enum(name, variants, visitor)
            }
            (_, found) => {
                let found = found.unwrap_or(ValueRef::Null).kind();
                Err(RowErrorKind::Decode { message: format!("expected the enum {name}, found {found}").into() }.into())
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { identifier }
}

fn visit_micros<'de, V: Visitor<'de>>(bytes: &[u8], visitor: V) -> Result<V::Value, RowError> {
    match Type::Timestamp.unpack(bytes) {
        ValueRef::Timestamp(time) => visitor.visit_i64(time.as_micros()),
        _ => visitor.visit_unit(),
    }
}

#[inline]
fn visit_value<'de, V: Visitor<'de>>(ty: Type, value: ValueRef<'de>, visitor: V) -> Result<V::Value, RowError> {
    match value {
        ValueRef::Bool(value) => visitor.visit_bool(value),
        ValueRef::Int(value) => visitor.visit_i64(value),
        ValueRef::UInt(value) => visitor.visit_u64(value),
        // As it was, so that a format which prints the shortest text prints 0.1 and not 0.10000000149.
        ValueRef::Float(value) if ty == Type::F32 => visitor.visit_f32(value as f32),
        ValueRef::Float(value) => visitor.visit_f64(value),
        ValueRef::Str(text) => visitor.visit_borrowed_str(text),
        ValueRef::Uuid(uuid) => visitor.visit_string(uuid.to_string()),
        ValueRef::Timestamp(time) => visitor.visit_string(time.to_string()),
        // Of wrong width, which no row holds; or one of the types that the caller takes apart.
        _ => visitor.visit_unit(),
    }
}

/// The elements of an array, or bytes as numbers.
struct Elements<'de> {
    scalar: Scalar,
    bytes: &'de [u8],
    width: usize,
}

/// Lets a type take the elements, and see that it takes all: what it leaves would be lost without a word.
fn visit_elements<'de, V: Visitor<'de>>(mut elements: Elements<'de>, visitor: V) -> Result<V::Value, RowError> {
    let count = |elements: &Elements<'_>| elements.bytes.len() / elements.width;
    let expected = count(&elements);
    let value = visitor.visit_seq(&mut elements)?;
    match count(&elements) {
        0 => Ok(value),
        left => Err(RowErrorKind::WrongArity { expected, found: expected - left }.into()),
    }
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = RowError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, RowError> {
        let Some((element, rest)) = self.bytes.split_at_checked(self.width).filter(|_| !self.bytes.is_empty()) else {
            return Ok(None);
        };
        self.bytes = rest;
        match unpack_scalar(self.scalar, element) {
            ValueRef::UInt(value) if self.scalar == Scalar::U8 => {
                seed.deserialize(Plain((value as u8).into_deserializer()))
            }
            _ => seed.deserialize(ColumnDeserializer::new(self.scalar.into(), Some(element))),
        }
        .map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes.len() / self.width)
    }
}

/// Serde's deserializer of a byte or a text, which many are read by, made to fit what is around such in a type: a newtype or
/// an `Option`.
pub(super) struct Plain<D>(pub(super) D);

impl<'de, D: Deserializer<'de, Error = RowError>> Deserializer<'de> for Plain<D> {
    type Error = RowError;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, RowError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}
