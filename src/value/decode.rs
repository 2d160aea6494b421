//! Serde out, one row: packed columns straight into the user's type.
//!
//! What the type asks for decides: a struct or map gets names and values, a tuple or sequence the values in order. Of
//! exactly one column, a type that is neither a struct nor a map gets the value itself.

use serde_core::de::value::BorrowedStrDeserializer;
use serde_core::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_core::{Deserialize, forward_to_deserialize_any};

use super::columns::Columns;
use super::decode_column::{ColumnDeserializer, Plain};
use super::row_error::{RowError, RowErrorKind};
use super::shape::{Shape, ShapeColumn};
use super::timestamp;
use super::types::Type;
use super::uuid;

/// Reads a whole row.
///
/// # Errors
/// `Decode`, with the column where it concerns one: the type does not fit, a field has no column, a number does not fit.
pub(crate) fn decode<'de, T, C>(shape: &'de Shape, row: &'de C) -> Result<T, RowError>
where
    T: Deserialize<'de>,
    C: Columns + ?Sized,
{
    T::deserialize(RowDeserializer { shape, row, projection: Projection::All })
}

/// Reads these columns of a row, in this order. Errors as [`decode`].
pub(crate) fn decode_columns<'de, T, C>(shape: &'de Shape, columns: &'de [usize], row: &'de C) -> Result<T, RowError>
where
    T: Deserialize<'de>,
    C: Columns + ?Sized,
{
    T::deserialize(RowDeserializer { shape, row, projection: Projection::Only(columns) })
}

/// The name by which serde_json's raw values are asked for.
pub(super) const RAW_VALUE: &str = "$serde_json::private::RawValue";

#[derive(Clone, Copy)]
enum Projection<'de> {
    All,
    Only(&'de [usize]),
}

struct RowDeserializer<'de, C: ?Sized> {
    shape: &'de Shape,
    row: &'de C,
    projection: Projection<'de>,
}

impl<C: ?Sized> Clone for RowDeserializer<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: ?Sized> Copy for RowDeserializer<'_, C> {}

impl<'de, C: Columns + ?Sized> RowDeserializer<'de, C> {
    fn len(&self) -> usize {
        match self.projection {
            Projection::All => self.shape.len(),
            Projection::Only(columns) => columns.len(),
        }
    }

    /// The column at this place of the projection.
    #[inline]
    fn column(&self, at: usize) -> Option<(&'de ShapeColumn, ColumnDeserializer<'de>)> {
        let index = match self.projection {
            Projection::All => at,
            Projection::Only(columns) => *columns.get(at)?,
        };
        let column = self.shape.column(index)?;
        Some((column, ColumnDeserializer::new(column.ty, self.row.column_bytes(index))))
    }

    /// The one column, if there is just one.
    fn single(&self) -> Option<(&'de ShapeColumn, ColumnDeserializer<'de>)> {
        self.column(0).filter(|_| self.len() == 1)
    }

    fn walk(self) -> Walk<'de, C> {
        Walk { row: self, at: 0, value: None }
    }
}

/// What a type is that is neither struct, map, tuple nor sequence: the value of the one column, or a mistake.
macro_rules! single {
    ($($method:ident($($arg:ident: $ty:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($arg: $ty,)* visitor: V) -> Result<V::Value, RowError> {
            match self.single() {
                Some((column, value)) => {
                    value.$method($($arg,)* visitor).map_err(|error| error.in_column(&column.name))
                }
                None => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de, C: Columns + ?Sized> Deserializer<'de> for RowDeserializer<'de, C> {
    type Error = RowError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        visitor.visit_map(self.walk())
    }

    single!(
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
    );

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.single() {
            Some((_, value)) if value.is_null() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, RowError> {
        let is_value = |ty: Type| {
            name == timestamp::SERDE_NAME || name == uuid::SERDE_NAME || name == RAW_VALUE && ty == Type::Json
        };
        match self.single() {
            // Our own types are single values, as is a document; a user's may well wrap a row.
            Some((column, value)) if is_value(column.ty) => {
                value.deserialize_newtype_struct(name, visitor).map_err(|error| error.in_column(&column.name))
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.single() {
            Some((column, value)) if holds_many(column.ty) => {
                value.deserialize_seq(visitor).map_err(|error| error.in_column(&column.name))
            }
            _ => visit_row(self, visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, RowError> {
        match self.single() {
            Some((column, value)) if len != 1 && holds_many(column.ty) => {
                value.deserialize_tuple(len, visitor).map_err(|error| error.in_column(&column.name))
            }
            _ if len != self.len() => Err(wrong_length(self.len(), len)),
            _ => visit_row(self, visitor),
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

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        match self.single() {
            // A struct kept in the one JSON column, unless it has a field for the column.
            Some((column, value)) if column.ty == Type::Json && !fields.contains(&&*column.name) => {
                value.deserialize_struct(name, fields, visitor).map_err(|error| error.in_column(&column.name))
            }
            _ => visitor.visit_map(self.walk()),
        }
    }

    forward_to_deserialize_any! { map identifier ignored_any }
}

/// Whether one value of this type can be read as a sequence.
fn holds_many(ty: Type) -> bool {
    matches!(ty, Type::Array(_) | Type::Json | Type::Bytes | Type::Uuid)
}

fn visit_row<'de, V: Visitor<'de>, C: Columns + ?Sized>(
    row: RowDeserializer<'de, C>,
    visitor: V,
) -> Result<V::Value, RowError> {
    let mut walk = row.walk();
    let value = visitor.visit_seq(&mut walk)?;
    match walk.at == row.len() {
        true => Ok(value),
        false => Err(wrong_length(row.len(), walk.at)),
    }
}

#[cold]
fn wrong_length(columns: usize, places: usize) -> RowError {
    let message = format!("there are {columns} columns to read, and the type takes {places}; `columns` chooses some");
    RowErrorKind::Decode { message: message.into() }.into()
}

/// The columns of a row in order, with their names or without.
struct Walk<'de, C: ?Sized> {
    row: RowDeserializer<'de, C>,
    at: usize,
    /// The value of the name given last.
    value: Option<(&'de ShapeColumn, ColumnDeserializer<'de>)>,
}

impl<'de, C: Columns + ?Sized> SeqAccess<'de> for &mut Walk<'de, C> {
    type Error = RowError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, RowError> {
        let Some((column, value)) = self.row.column(self.at) else { return Ok(None) };
        self.at += 1;
        seed.deserialize(value).map(Some).map_err(|error| error.in_column(&column.name))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.row.len().saturating_sub(self.at))
    }
}

impl<'de, C: Columns + ?Sized> MapAccess<'de> for Walk<'de, C> {
    type Error = RowError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, RowError> {
        self.value = self.row.column(self.at);
        self.at += 1;
        match self.value {
            Some((column, _)) => seed.deserialize(Plain(BorrowedStrDeserializer::new(&column.name))).map(Some),
            None => Ok(None),
        }
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, RowError> {
        match self.value.take() {
            Some((column, value)) => seed.deserialize(value).map_err(|error| error.in_column(&column.name)),
            None => Err(serde_core::de::Error::custom("a value was asked for before its name")),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.row.len().saturating_sub(self.at))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::super::row_buf::RowBuf;
    use super::super::timestamp::Timestamp;
    use super::super::uuid::Uuid;
    use super::*;

    fn shape(columns: &[(&str, &str)]) -> Shape {
        let column = |(name, ty): &(&str, &str)| ShapeColumn {
            name: (*name).into(),
            ty: ty.trim_end_matches('?').parse().unwrap(),
            nullable: ty.ends_with('?'),
        };
        Shape::new(columns.iter().map(column).collect())
    }

    fn row<T: Serialize + ?Sized>(shape: &Shape, row: &T) -> RowBuf {
        let mut buf = RowBuf::new();
        buf.encode(shape, row).unwrap();
        buf
    }

    #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Level {
        Low,
        High,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Inner {
        tags: Vec<String>,
        depth: Option<i32>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Whole {
        id: i64,
        small: u8,
        ratio: f32,
        exact: f64,
        flag: bool,
        name: String,
        letter: char,
        level: Level,
        bytes: Vec<u8>,
        uuid: Uuid,
        time: Timestamp,
        place: [f32; 3],
        inner: Inner,
        doc: serde_json::Value,
        none: Option<String>,
    }

    #[test]
    fn small_elements_and_names_fit_types_around_them() {
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        struct Grade(u8);

        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        struct Name(String);

        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Grades {
            array: [Grade; 4],
            bytes: Vec<Grade>,
            some: Vec<Option<u8>>,
            uuid: [Grade; 16],
        }

        let shape = shape(&[("array", "4xu8"), ("bytes", "bytes"), ("some", "2xu8"), ("uuid", "uuid")]);
        let grades = Grades {
            array: [1, 2, 3, 255].map(Grade),
            bytes: vec![Grade(0), Grade(7)],
            some: vec![Some(1), Some(2)],
            uuid: [Grade(9); 16],
        };
        let row = row(&shape, &grades);
        assert_eq!(decode::<Grades, _>(&shape, &row).unwrap(), grades);
        let named: BTreeMap<Name, serde_json::Value> = decode(&shape, &row).unwrap();
        assert_eq!(named[&Name("some".into())], json!([1, 2]));
        let named: BTreeMap<Option<String>, serde_json::Value> = decode(&shape, &row).unwrap();
        assert_eq!(named.len(), 4);
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Column {
            Array,
            Bytes,
            Some,
            Uuid,
        }
        let named: BTreeMap<Column, serde_json::Value> = decode(&shape, &row).unwrap();
        assert_eq!(named[&Column::Bytes], json!([0, 7]));
    }

    fn whole_shape() -> Shape {
        shape(&[
            ("id", "i64"),
            ("small", "u8"),
            ("ratio", "f32"),
            ("exact", "f64"),
            ("flag", "bool"),
            ("name", "string"),
            ("letter", "string"),
            ("level", "string"),
            ("bytes", "bytes"),
            ("uuid", "uuid"),
            ("time", "timestamp"),
            ("place", "3xf32"),
            ("inner", "json"),
            ("doc", "json"),
            ("none", "string?"),
        ])
    }

    proptest! {
        #[test]
        fn a_struct_comes_back_as_it_went_in(
            numbers: (i64, u8, f32, f64, bool, i64), texts: (String, char, Option<String>, Vec<String>),
            bytes: Vec<u8>, uuid: [u8; 16], place: [f32; 3], depth: Option<i32>, high: bool,
        ) {
            let whole = Whole {
                id: numbers.0, small: numbers.1, ratio: numbers.2, exact: numbers.3, flag: numbers.4,
                name: texts.0.clone(), letter: texts.1, level: if high { Level::High } else { Level::Low },
                bytes, uuid: Uuid::from_bytes(uuid), time: Timestamp::from_micros(numbers.5), place,
                inner: Inner { tags: texts.3, depth }, doc: json!({ "name": texts.0 }), none: texts.2,
            };
            let shape = whole_shape();
            let buf = row(&shape, &whole);
            prop_assert_eq!(&decode::<Whole, _>(&shape, &buf).unwrap(), &whole);
            // And by way of JSON, both in and out.
            let json: serde_json::Value = decode(&shape, &buf).unwrap();
            prop_assert_eq!(&decode::<Whole, _>(&shape, &row(&shape, &json)).unwrap(), &whole);
        }
    }

    #[test]
    fn strings_and_bytes_are_borrowed() {
        #[derive(Deserialize)]
        struct Borrowed<'a> {
            name: &'a str,
            bytes: &'a [u8],
            doc: &'a str,
        }
        let shape = shape(&[("name", "string"), ("bytes", "bytes"), ("doc", "json")]);
        let buf = row(&shape, &("Ada", [1, 2], "text"));
        let borrowed: Borrowed<'_> = decode(&shape, &buf).unwrap();
        assert_eq!((borrowed.name, borrowed.bytes, borrowed.doc), ("Ada", &[1, 2][..], "text"));
    }

    #[test]
    fn projections_come_in_the_order_asked_for() {
        let shape = shape(&[
            ("id", "u64"),
            ("name", "string"),
            ("time", "timestamp"),
            ("v", "2xi16"),
            ("doc", "json"),
            ("none", "f64?"),
        ]);
        let buf = row(&shape, &(1, "Ada", 5, [3, 4], json!({ "a": 1 }), None::<f64>));
        fn read<'de, T: Deserialize<'de>>(shape: &'de Shape, columns: &'de [usize], buf: &'de RowBuf) -> T {
            decode_columns(shape, columns, buf).unwrap()
        }
        assert_eq!(read::<(&str, u32)>(&shape, &[1, 0], &buf), ("Ada", 1));
        assert_eq!(read::<u8>(&shape, &[0], &buf), 1);
        assert_eq!(read::<(u8,)>(&shape, &[0], &buf), (1,));
        assert_eq!(read::<&str>(&shape, &[1], &buf), "Ada");
        assert_eq!(read::<Timestamp>(&shape, &[2], &buf), Timestamp::from_micros(5));
        assert_eq!(read::<i64>(&shape, &[2], &buf), 5);
        assert_eq!(read::<[i16; 2]>(&shape, &[3], &buf), [3, 4]);
        assert_eq!(read::<Vec<i64>>(&shape, &[3], &buf), [3, 4]);
        assert_eq!(read::<Option<f64>>(&shape, &[5], &buf), None);
        assert_eq!(read::<Option<u64>>(&shape, &[0], &buf), Some(1));
        assert_eq!(read::<serde_json::Value>(&shape, &[1, 5], &buf), json!({ "name": "Ada", "none": null }));
        assert_eq!(read::<BTreeMap<String, u64>>(&shape, &[0], &buf), BTreeMap::from([("id".to_owned(), 1)]));
    }

    #[test]
    fn errors_name_the_column() {
        #[derive(Debug, Deserialize)]
        #[allow(dead_code)]
        struct Row {
            id: u8,
            name: String,
        }
        let shape = shape(&[("id", "i64"), ("name", "string?")]);
        let error =
            |values: (i64, Option<&str>)| decode::<Row, _>(&shape, &row(&shape, &values)).unwrap_err().to_string();
        assert!(error((300, Some("a"))).starts_with("column `id`: invalid value: integer `300`"));
        assert!(error((1, None)).starts_with("column `name`: expected a string, found null"));
        let tuple = decode::<(i64,), _>(&shape, &row(&shape, &(1, "a"))).unwrap_err().to_string();
        assert_eq!(tuple, "there are 2 columns to read, and the type takes 1; `columns` chooses some");
        assert!(decode::<u64, _>(&shape, &row(&shape, &(1, "a"))).is_err());
    }
}
