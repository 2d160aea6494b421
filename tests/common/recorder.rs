//! A serializer that writes down what it is asked to write: what a format without types would have to go by.

use serde::ser::{Error, Impossible, Serialize, SerializeMap, SerializeSeq, Serializer};
use std::fmt::Display;

/// The calls, one after the other.
#[derive(Debug, Default)]
pub struct Recorder(pub Vec<String>);

/// Nothing is refused but what no row has.
#[derive(Debug)]
pub struct Refused(String);

impl Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl Error for Refused {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl Recorder {
    fn note(&mut self, call: impl Into<String>) -> Result<(), Refused> {
        self.0.push(call.into());
        Ok(())
    }

    fn refuse<T>(&self, what: &str) -> Result<T, Refused> {
        Err(Refused(format!("{what} behind {:?}", self.0)))
    }
}

macro_rules! notes {
    ($($method:ident $ty:ident),*) => {$(
        fn $method(self, value: $ty) -> Result<(), Refused> {
            self.note(format!(concat!(stringify!($ty), " {:?}"), value))
        }
    )*};
}

impl Serializer for &mut Recorder {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Self;
    type SerializeTuple = Impossible<(), Refused>;
    type SerializeTupleStruct = Impossible<(), Refused>;
    type SerializeTupleVariant = Impossible<(), Refused>;
    type SerializeMap = Self;
    type SerializeStruct = Impossible<(), Refused>;
    type SerializeStructVariant = Impossible<(), Refused>;

    notes!(serialize_bool bool, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64);
    notes!(serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64);
    notes!(serialize_f32 f32, serialize_f64 f64, serialize_char char);

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_str(self, value: &str) -> Result<(), Refused> {
        self.note(format!("str {value:?}"))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Refused> {
        self.note(format!("bytes {value:?}"))
    }

    fn serialize_none(self) -> Result<(), Refused> {
        self.note("none")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Refused> {
        self.note("some")?;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Refused> {
        self.note("unit")
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), Refused> {
        self.refuse(name)
    }

    fn serialize_unit_variant(self, name: &'static str, _: u32, _: &'static str) -> Result<(), Refused> {
        self.refuse(name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Refused> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Refused> {
        self.refuse(name)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Refused> {
        self.note(format!("seq {len:?}"))?;
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Refused> {
        self.refuse("a tuple")
    }

    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Refused> {
        self.refuse(name)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Refused> {
        self.refuse(name)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self, Refused> {
        self.note(format!("map {len:?}"))?;
        Ok(self)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Self::SerializeStruct, Refused> {
        self.refuse(name)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Refused> {
        self.refuse(name)
    }
}

impl SerializeSeq for &mut Recorder {
    type Ok = ();
    type Error = Refused;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Refused> {
        Ok(())
    }
}

impl SerializeMap for &mut Recorder {
    type Ok = ();
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Refused> {
        Ok(())
    }
}
