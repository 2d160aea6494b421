//! Serde in, one row: structs, maps, tuples and sequences, straight into packed form.
//!
//! Structs and maps name their columns. Serde gives a struct's fields in the order of its declaration, and mostly one
//! struct after another of the same type: so the column that the field was the last time is tried first, then the column
//! behind the last one, and the map of names only then.

use serde_core::Serialize;
use serde_core::ser::{self, Impossible, Serializer};

use super::encode_column::{NoSeq, Sink, ValueSerializer, encode_column, encode_marked};
use super::row_buf::RowBuf;
use super::row_error::{RowError, RowErrorKind, excerpt};
use super::shape::Shape;

impl RowBuf {
    /// Resets the buffer and writes `row` into it: a struct or a map with string keys, by name; or a tuple, tuple struct
    /// or sequence with a value for each column in order.
    ///
    /// Columns that a struct or map does not mention stay not set. Null is set as null; a JSON column's null is null, too.
    /// After an error the buffer holds part of the row.
    ///
    /// # Errors
    /// `NotARow`, `UnknownField`, `DuplicateField`, `WrongArity`, and each column's `NullNotAllowed`, `WrongType`,
    /// `OutOfRange`, `InvalidValue`; `Encode` for messages of the row's own `Serialize`.
    pub(crate) fn encode<T: Serialize + ?Sized>(&mut self, shape: &Shape, row: &T) -> Result<(), RowError> {
        self.reset(shape);
        row.serialize(RowSerializer { row: self, shape, next: 0, fields: 0, key: None, by_position: true })?;
        self.take_refused()
    }

    /// Like [`RowBuf::encode`], but for a patch: a struct or map of the columns to change, not a tuple or sequence.
    pub(crate) fn encode_partial<T: Serialize + ?Sized>(&mut self, shape: &Shape, patch: &T) -> Result<(), RowError> {
        self.reset(shape);
        patch.serialize(RowSerializer { row: self, shape, next: 0, fields: 0, key: None, by_position: false })?;
        self.take_refused()
    }
}

/// Writes one row, as its own serde compound too.
struct RowSerializer<'a> {
    row: &'a mut RowBuf,
    shape: &'a Shape,
    /// The column that probably comes next; behind the columns by position, exactly that.
    next: usize,
    /// How many fields of a struct came.
    fields: usize,
    /// The column of a map's key whose value has not come yet.
    key: Option<usize>,
    /// Whether tuples and sequences are taken.
    by_position: bool,
}

impl RowSerializer<'_> {
    /// As [`locate`](RowSerializer::locate), for the struct's `nth` field, which is known from now on. Marks the column.
    #[cold]
    #[inline(never)]
    fn locate_field(&mut self, nth: usize, field: &'static str) -> Result<usize, RowError> {
        let index = self.locate(field)?;
        self.row.know_field(nth, field, index);
        self.row.mark(index, false);
        Ok(index)
    }

    /// Finds the column of a field that was not yet given.
    fn locate(&mut self, field: &str) -> Result<usize, RowError> {
        let index = match self.shape.column(self.next) {
            Some(column) if *column.name == *field => self.next,
            // A number that the database gives is mostly left out.
            Some(_) if self.shape.column(self.next + 1).is_some_and(|column| *column.name == *field) => self.next + 1,
            _ => self.shape.column_index(field).ok_or_else(|| unknown(self.shape, field))?,
        };
        if self.row.is_set(index) {
            return Err(RowError::at(field, RowErrorKind::DuplicateField));
        }
        self.next = index + 1;
        Ok(index)
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RowError> {
        let index = self.next;
        self.next += 1;
        match index < self.shape.len() {
            true => encode_column(self.row, self.shape, index, value).map_err(|error| self.row.refuse(error)),
            false => Ok(()), // counted, and refused at the end
        }
    }

    fn end_by_position(self) -> Result<(), RowError> {
        match self.next == self.shape.len() {
            true => Ok(()),
            false => Err(RowErrorKind::WrongArity { expected: self.shape.len(), found: self.next }.into()),
        }
    }

    fn positional(self, found: &str) -> Result<Self, RowError> {
        match self.by_position {
            true => Ok(self),
            false => {
                let expected = "a struct or map, which says which columns it means";
                Err(RowErrorKind::NotARow { expected, found: found.into() }.into())
            }
        }
    }
}

#[cold]
fn unknown(shape: &Shape, field: &str) -> RowError {
    let similar = shape.similar_column(field).map(Into::into);
    RowErrorKind::UnknownField { field: excerpt(field).into(), similar }.into()
}

#[cold]
fn not_a_row<T>(found: &str) -> Result<T, RowError> {
    let expected = "a struct, map, tuple or sequence";
    Err(RowErrorKind::NotARow { expected, found: found.into() }.into())
}

macro_rules! not_a_row {
    ($($method:ident($($ty:ty),*) -> $found:literal;)*) => {$(
        fn $method(self, $(_: $ty),*) -> Result<(), RowError> {
            not_a_row($found)
        }
    )*};
}

impl Serializer for RowSerializer<'_> {
    type Ok = ();
    type Error = RowError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Impossible<(), RowError>;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), RowError>;

    not_a_row!(
        serialize_bool(bool) -> "a bool";
        serialize_i8(i8) -> "an integer";
        serialize_i16(i16) -> "an integer";
        serialize_i32(i32) -> "an integer";
        serialize_i64(i64) -> "an integer";
        serialize_i128(i128) -> "an integer";
        serialize_u8(u8) -> "an integer";
        serialize_u16(u16) -> "an integer";
        serialize_u32(u32) -> "an integer";
        serialize_u64(u64) -> "an integer";
        serialize_u128(u128) -> "an integer";
        serialize_f32(f32) -> "a float";
        serialize_f64(f64) -> "a float";
        serialize_char(char) -> "a char";
        serialize_str(&str) -> "a string";
        serialize_bytes(&[u8]) -> "bytes";
        serialize_none() -> "none";
        serialize_unit() -> "null";
        serialize_unit_struct(&'static str) -> "a struct without fields";
        serialize_unit_variant(&'static str, u32, &'static str) -> "an enum variant";
    );

    fn serialize_some<T: Serialize + ?Sized>(self, row: &T) -> Result<(), RowError> {
        row.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, row: &T) -> Result<(), RowError> {
        row.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), RowError> {
        not_a_row("an enum variant")
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, RowError> {
        self.positional("a sequence")
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, RowError> {
        self.positional("a tuple")
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, RowError> {
        self.positional("a tuple")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, RowError> {
        not_a_row("an enum variant")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, RowError> {
        Ok(self)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, RowError> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, RowError> {
        not_a_row("an enum variant")
    }
}

impl ser::SerializeStruct for RowSerializer<'_> {
    type Ok = ();
    type Error = RowError;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, field: &'static str, value: &T) -> Result<(), RowError> {
        let nth = self.fields;
        self.fields += 1;
        let index = match self.row.known_field(nth, field) {
            Some(index) if self.row.claim(index) => index,
            _ => self.locate_field(nth, field).map_err(|error| self.row.refuse(error))?,
        };
        self.next = index + 1;
        encode_marked(self.row, self.shape, index, value).map_err(|error| self.row.refuse(error))
    }

    #[inline]
    fn end(self) -> Result<(), RowError> {
        Ok(())
    }
}

impl ser::SerializeMap for RowSerializer<'_> {
    type Ok = ();
    type Error = RowError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), RowError> {
        let located = match self.key.take() {
            None => key.serialize(ValueSerializer::new(NameSink { row: self })),
            Some(_) => Err(out_of_step("a key without a value")),
        };
        self.key = Some(located.map_err(|error| self.row.refuse(error))?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RowError> {
        let encoded = match self.key.take() {
            Some(index) => encode_column(self.row, self.shape, index, value),
            None => Err(out_of_step("a value without a key")),
        };
        encoded.map_err(|error| self.row.refuse(error))
    }

    fn end(self) -> Result<(), RowError> {
        match self.key {
            None => Ok(()),
            Some(_) => Err(out_of_step("a key without a value")),
        }
    }
}

#[cold]
fn out_of_step(message: &str) -> RowError {
    RowErrorKind::Encode { message: message.into() }.into()
}

/// Takes a map's key: the name of a column, and gives its place.
struct NameSink<'a, 'b> {
    row: &'a mut RowSerializer<'b>,
}

impl Sink for NameSink<'_, '_> {
    type Ok = usize;
    type Seq = NoSeq<usize>;

    fn expected(&self) -> String {
        "a column's name as the key".to_owned()
    }

    fn null(self) -> Result<usize, RowError> {
        self.refuse("null")
    }

    #[inline]
    fn text(self, name: &str) -> Result<usize, RowError> {
        self.row.locate(name)
    }
}

macro_rules! by_position {
    ($($trait:ident::$method:ident),*) => {$(
        impl ser::$trait for RowSerializer<'_> {
            type Ok = ();
            type Error = RowError;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RowError> {
                self.element(value)
            }

            fn end(self) -> Result<(), RowError> {
                self.end_by_position()
            }
        }
    )*};
}

by_position!(SerializeSeq::serialize_element, SerializeTuple::serialize_element, SerializeTupleStruct::serialize_field);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;
    use serde_json::json;

    use super::super::columns::Columns;
    use super::super::shape::ShapeColumn;
    use super::super::timestamp::Timestamp;
    use super::super::uuid::Uuid;
    use super::super::value_ref::ValueRef;
    use super::*;

    fn shape(columns: &[(&str, &str)]) -> Shape {
        let column = |(name, ty): &(&str, &str)| ShapeColumn {
            name: (*name).into(),
            ty: ty.trim_end_matches('?').parse().unwrap(),
            nullable: ty.ends_with('?'),
        };
        Shape::new(columns.iter().map(column).collect())
    }

    fn encoded<T: Serialize + ?Sized>(shape: &Shape, row: &T) -> Result<Vec<String>, RowError> {
        let mut buf = RowBuf::new();
        buf.encode(shape, row)?;
        let shown = |(index, column): (usize, &ShapeColumn)| match buf.column_bytes(index) {
            Some(bytes) => column.ty.unpack(bytes).to_string(),
            None if buf.is_null(index) => "null".to_owned(),
            None => "unset".to_owned(),
        };
        Ok(shape.columns().iter().enumerate().map(shown).collect())
    }

    fn kind<T: Serialize + ?Sized>(shape: &Shape, row: &T) -> RowErrorKind {
        encoded(shape, row).unwrap_err().into_parts().1
    }

    #[test]
    fn structs_maps_tuples_and_sequences_are_rows() {
        #[derive(Serialize)]
        struct Row<'a> {
            name: &'a str,
            id: u8,
        }
        #[derive(Serialize)]
        struct Wrapped<T>(T);
        let shape = shape(&[("id", "i64"), ("name", "string")]);
        let expected = ["7", "\"Ada\""];
        assert_eq!(encoded(&shape, &Row { name: "Ada", id: 7 }).unwrap(), expected);
        assert_eq!(encoded(&shape, &Wrapped(Some(&Row { name: "Ada", id: 7 }))).unwrap(), expected);
        assert_eq!(encoded(&shape, &json!({ "name": "Ada", "id": 7 })).unwrap(), expected);
        assert_eq!(encoded(&shape, &(7u64, "Ada")).unwrap(), expected);
        assert_eq!(encoded(&shape, &json!([7, "Ada"])).unwrap(), expected);
        assert_eq!(encoded(&shape, &BTreeMap::from([("id", 7)])).unwrap(), ["7", "unset"]);
    }

    #[test]
    fn every_type_takes_what_serde_offers_for_it() {
        #[derive(Serialize)]
        enum Level {
            High,
        }
        let uuid: Uuid = "936da01f-9abd-4d9d-80c7-02af85c822a8".parse().unwrap();
        let shape = shape(&[
            ("level", "string"),
            ("letter", "string"),
            ("uuid", "uuid"),
            ("raw", "uuid"),
            ("text", "uuid"),
            ("time", "timestamp"),
            ("micros", "timestamp"),
            ("bytes", "bytes"),
            ("array", "3xf32"),
            ("doc", "json"),
            ("none", "i8?"),
            ("narrow", "f32"),
        ]);
        let row = (
            Level::High,
            'x',
            uuid,
            uuid.as_bytes(),
            uuid.to_string(),
            Timestamp::from_micros(-1),
            5,
            [1u8, 2],
            [1.0, 2.5, 3.0f64],
            json!({ "a": [1, null] }),
            None::<i8>,
            3u64,
        );
        let text = uuid.to_string();
        let expected = [
            "\"High\"",
            "\"x\"",
            &text,
            &text,
            &text,
            "1969-12-31T23:59:59.999999Z",
            "1970-01-01T00:00:00.000005Z",
            "0x0102",
            "[1.0, 2.5, 3.0]",
            r#"{"a":[1,null]}"#,
            "null",
            "3.0",
        ];
        assert_eq!(encoded(&shape, &row).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let shape = shape(&[("id", "u8"), ("name", "string"), ("v", "2xi8?")]);
        let error = |row: serde_json::Value| encoded(&shape, &row).unwrap_err().to_string();
        assert_eq!(error(json!({ "nam": "x" })), "no column `nam`; did you mean `name`?");
        assert_eq!(error(json!({ "id": 300 })), "column `id`: 300 is out of range: expected u8, 0 to 255");
        assert_eq!(error(json!({ "id": 1.0 })), "column `id`: expected u8, found the float 1.0");
        assert_eq!(error(json!({ "id": "1" })), "column `id`: expected u8, found the string `1`");
        assert_eq!(error(json!({ "name": null })), "column `name`: null, and the column is not nullable");
        assert_eq!(error(json!({ "v": [1] })), "column `v`: expected 2 values, found 1");
        assert_eq!(error(json!({ "v": [1, null] })), "column `v`: expected i8 as element 1, found null");
        assert_eq!(error(json!([1, "a"])), "expected 3 values, found 2");
        assert_eq!(error(json!([1, "a", null, 4])), "expected 3 values, found 4");
        assert!(matches!(kind(&shape, &7), RowErrorKind::NotARow { .. }));
        assert!(matches!(kind(&shape, &BTreeMap::from([(1, 2)])), RowErrorKind::WrongType { .. }));
        assert!(matches!(
            kind(&shape, &(u128::MAX, "a", ())),
            RowErrorKind::WrongType { .. } | RowErrorKind::OutOfRange { .. }
        ));
    }

    #[test]
    fn fields_known_from_one_struct_or_shape_do_not_mislead_the_next() {
        #[derive(Serialize)]
        struct There<'a> {
            id: u8,
            name: &'a str,
        }
        #[derive(Serialize)]
        struct Back<'a> {
            name: &'a str,
            id: u8,
        }
        let shapes = [shape(&[("id", "u8"), ("name", "string?")]), shape(&[("name", "string"), ("id", "u16")])];
        let mut buf = RowBuf::new();
        for turn in 0..3 {
            for (shape, id) in shapes.iter().zip([0, 1]) {
                buf.encode(shape, &There { id: turn, name: "a" }).unwrap();
                assert_eq!((buf.column_bytes(id).unwrap()[0], buf.column_bytes(1 - id)), (turn, Some(&b"a"[..])));
                buf.encode(shape, &There { id: turn, name: "ab" }).unwrap();
                assert_eq!((buf.column_bytes(id).unwrap()[0], buf.column_bytes(1 - id)), (turn, Some(&b"ab"[..])));
                buf.encode(shape, &Back { id: turn, name: "b" }).unwrap();
                assert_eq!((buf.column_bytes(id).unwrap()[0], buf.column_bytes(1 - id)), (turn, Some(&b"b"[..])));
                buf.encode_partial(shape, &BTreeMap::from([("id", turn)])).unwrap();
                assert_eq!((buf.column_bytes(id).unwrap()[0], buf.is_set(1 - id)), (turn, false));
            }
        }
    }

    #[test]
    fn a_field_is_given_once_and_a_patch_names_its_columns() {
        struct Twice;
        impl Serialize for Twice {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map([("id", 1), ("id", 2)])
            }
        }
        let shape = shape(&[("id", "u8"), ("name", "string")]);
        assert_eq!(kind(&shape, &Twice), RowErrorKind::DuplicateField);
        let mut buf = RowBuf::new();
        assert!(buf.encode_partial(&shape, &(1, "a")).is_err());
        buf.encode_partial(&shape, &json!({ "name": "b" })).unwrap();
        assert!(!buf.is_set(0) && buf.is_set(1));
    }

    #[test]
    fn json_null_is_null() {
        let shape = shape(&[("a", "json?"), ("b", "json")]);
        assert_eq!(encoded(&shape, &json!({ "a": null, "b": "text" })).unwrap(), ["null", "\"text\""]);
        assert_eq!(kind(&shape, &json!({ "b": null })), RowErrorKind::NullNotAllowed);
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            any::<f64>().prop_map(|value| json!(value)),
            ".{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_panics_and_what_is_taken_fits(row in any_json()) {
            let shape = shape(&[("a", "i16?"), ("b", "string"), ("c", "json"), ("d", "2xf32")]);
            let mut buf = RowBuf::new();
            if buf.encode(&shape, &row).is_ok() {
                for (index, column) in shape.columns().iter().enumerate() {
                    if let Some(bytes) = buf.column_bytes(index) {
                        prop_assert!(column.ty.unpack(bytes) != ValueRef::Null);
                    }
                }
            }
        }
    }
}
