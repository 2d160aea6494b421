//! Serde in, one value: a serializer for each kind of column, which knows the type it has to make.
//!
//! Serde's thirty methods fall into eight cases (null, bool, signed, unsigned, float, text, bytes, sequence). A [`Sink`]
//! says what a column does with each; [`ValueSerializer`] maps the methods to the cases.

use std::fmt::Display;
use std::io;

use serde_core::Serialize;
use serde_core::de::IgnoredAny;
use serde_core::ser::{self, Impossible, Serializer};

use super::columns::Slot;
use super::document::{DocumentFormatter, Refused, into_document};
use super::pack::{
    append, check_readable, pack_bool, pack_bytes, pack_decimal, pack_float, pack_int, pack_text, pack_uint, too_deep,
};
use super::row_buf::RowBuf;
use super::row_error::{RowError, RowErrorKind, excerpt};
use super::shape::{Packing, Shape};
use super::timestamp;
use super::types::{Array, Scalar, Type};
use super::uuid;

/// The names of the structs by which serde_json hands over numbers when its `arbitrary_precision` is on.
const JSON_NUMBER: &str = "$serde_json::private::Number";

/// Serializes `value` into the column at `index` and marks it.
#[inline]
pub(super) fn encode_column<T: Serialize + ?Sized>(
    row: &mut RowBuf,
    shape: &Shape,
    index: usize,
    value: &T,
) -> Result<(), RowError> {
    if index < shape.len() {
        row.mark(index, false);
    }
    encode_marked(row, shape, index, value)
}

/// Serializes `value` into the column at `index`, which has been marked as set.
#[inline]
pub(super) fn encode_marked<T: Serialize + ?Sized>(
    row: &mut RowBuf,
    shape: &Shape,
    index: usize,
    value: &T,
) -> Result<(), RowError> {
    let Some(packing) = shape.packing(index) else { return Err(too_many(shape, index)) };
    let written = match *packing {
        Packing::Scalar { scalar, offset, width } => {
            let place = row.fixed_mut(Slot::Fixed { offset, width });
            value.serialize(ValueSerializer::new(ScalarSink { scalar, place }))
        }
        Packing::Text { index } => {
            encode_var(row, index, |out| value.serialize(ValueSerializer::new(TextSink { out })))
        }
        packing => encode_other(row, packing, value),
    };
    match written {
        Ok(Written::Value) => Ok(()),
        Ok(Written::Null) => encode_null(row, shape, index),
        Err(error) => Err(in_column(shape, index, error)),
    }
}

/// Values that cost more than a call: kept apart, so that the usual ones get by with few registers.
#[inline(never)]
fn encode_other<T: Serialize + ?Sized>(row: &mut RowBuf, packing: Packing, value: &T) -> Result<Written, RowError> {
    match packing {
        Packing::Array { array, offset, width } => {
            let place = row.fixed_mut(Slot::Fixed { offset, width });
            value.serialize(ValueSerializer::new(ArraySink { array, place }))
        }
        Packing::Bytes { index } => {
            encode_var(row, index, |out| value.serialize(ValueSerializer::new(BytesSink { out })))
        }
        Packing::Json { index } => encode_var(row, index, |out| encode_json(out, value)),
        Packing::Scalar { .. } | Packing::Text { .. } => {
            Err(RowErrorKind::wrong_type("an array, bytes or json", "another column").into())
        }
    }
}

#[cold]
#[inline(never)]
fn too_many(shape: &Shape, index: usize) -> RowError {
    RowErrorKind::WrongArity { expected: shape.len(), found: index.saturating_add(1) }.into()
}

/// Makes a marked column null, or not set where the table gives the value.
#[inline(never)]
fn encode_null(row: &mut RowBuf, shape: &Shape, index: usize) -> Result<(), RowError> {
    match shape.column(index) {
        Some(column) if column.nullable => row.set_null(shape, index),
        Some(column) if !shape.is_generated(index) => {
            return Err(RowError::at(&column.name, RowErrorKind::NullNotAllowed));
        }
        _ => row.unset(shape, index),
    }
    Ok(())
}

#[cold]
#[inline(never)]
fn in_column(shape: &Shape, index: usize, error: RowError) -> RowError {
    match shape.column(index) {
        Some(column) => error.in_column(&column.name),
        None => error,
    }
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Value,
    Null,
}

/// Appends what `encode` does and makes it the value with number `var_index`, or leaves nothing of it.
#[inline(always)]
fn encode_var(
    row: &mut RowBuf,
    var_index: u32,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<Written, RowError>,
) -> Result<Written, RowError> {
    let out = row.var_mut();
    let start = out.len();
    let written = encode(out);
    match written {
        Ok(Written::Value) => row.end_var(var_index as usize, start),
        _ => row.var_mut().truncate(start),
    }
    written
}

/// Appends a document, by its own `Serialize`.
pub(super) fn encode_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<Written, RowError> {
    /// A vector that answers with an error where the allocator refuses.
    struct Checked<'a>(&'a mut Vec<u8>);

    impl io::Write for Checked<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            append(self.0, bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let (start, mut refused) = (out.len(), None);
    let formatter = DocumentFormatter::new(&mut refused);
    let mut serializer = serde_json::Serializer::with_formatter(Checked(out), formatter);
    let written = into_document(|| value.serialize(&mut serializer));
    match refused {
        Some(Refused::Raw(kind)) => return Err(kind.into()),
        Some(Refused::Depth) => return Err(too_deep(out.get(start..).unwrap_or_default()).into()),
        None => {}
    }
    match written {
        // One null: JSON's is the column's.
        Ok(()) if out.get(start..) == Some(b"null") => Ok(Written::Null),
        Ok(()) => {
            let text = out.get(start..).unwrap_or_default();
            // serde_json writes what it is told: of no elements where there are some, of a key and two values.
            serde_json::from_slice::<IgnoredAny>(text).map_err(|error| not_json(text, &error))?;
            check_readable(text)?;
            Ok(Written::Value)
        }
        Err(error) if error.is_io() => Err(RowErrorKind::OutOfMemory { bytes: out.len() }.into()),
        Err(error) => Err(RowErrorKind::Encode { message: error.to_string().into() }.into()),
    }
}

#[cold]
fn not_json(text: &[u8], error: &serde_json::Error) -> RowErrorKind {
    let text = String::from_utf8_lossy(text);
    RowErrorKind::Encode { message: format!("its `Serialize` makes no JSON: {error}: {}", excerpt(&text)).into() }
}

/// What one kind of column makes of a value.
pub(super) trait Sink: Sized {
    type Ok;
    type Seq: SinkSeq<Ok = Self::Ok>;

    /// What fits, for errors.
    fn expected(&self) -> String;

    fn null(self) -> Result<Self::Ok, RowError>;

    fn bool(self, _: bool) -> Result<Self::Ok, RowError> {
        self.refuse("a bool")
    }

    fn int(self, value: i64) -> Result<Self::Ok, RowError> {
        self.refuse(format_args!("the integer {value}"))
    }

    fn uint(self, value: u64) -> Result<Self::Ok, RowError> {
        self.refuse(format_args!("the integer {value}"))
    }

    /// A number as its text in decimal: an integer beyond `i64` and `u64`, or what is no integer and was not rounded to
    /// `f64` yet.
    fn decimal(self, text: &str) -> Result<Self::Ok, RowError> {
        self.refuse(format_args!("the number {}", excerpt(text)))
    }

    fn float(self, value: f64) -> Result<Self::Ok, RowError> {
        self.refuse(format_args!("the float {value:?}"))
    }

    fn text(self, value: &str) -> Result<Self::Ok, RowError> {
        self.refuse(format_args!("the string `{}`", excerpt(value)))
    }

    fn bytes(self, _: &[u8]) -> Result<Self::Ok, RowError> {
        self.refuse("bytes")
    }

    fn seq(self) -> Result<Self::Seq, RowError> {
        self.refuse("a sequence")
    }

    #[cold]
    fn refuse<T>(&self, found: impl Display) -> Result<T, RowError> {
        Err(RowErrorKind::wrong_type(self.expected(), found).into())
    }
}

/// A sequence on its way into one value.
pub(super) trait SinkSeq {
    type Ok;

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RowError>;

    fn end(self) -> Result<Self::Ok, RowError>;
}

/// For sinks that take no sequence.
pub(super) struct NoSeq<O>(std::convert::Infallible, std::marker::PhantomData<O>);

impl<O> SinkSeq for NoSeq<O> {
    type Ok = O;

    fn element<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), RowError> {
        match self.0 {}
    }

    fn end(self) -> Result<O, RowError> {
        match self.0 {}
    }
}

/// Packs one scalar into its place.
struct ScalarSink<'a> {
    scalar: Scalar,
    place: &'a mut [u8],
}

impl<'a> Sink for ScalarSink<'a> {
    type Ok = Written;
    type Seq = UuidSeq<'a>;

    fn expected(&self) -> String {
        self.scalar.to_string()
    }

    #[inline]
    fn null(self) -> Result<Written, RowError> {
        Ok(Written::Null)
    }

    #[inline]
    fn bool(self, value: bool) -> Result<Written, RowError> {
        pack_bool(self.scalar, value, self.place).map(|()| Written::Value)
    }

    #[inline(always)]
    fn int(self, value: i64) -> Result<Written, RowError> {
        pack_int(self.scalar, value, self.place).map(|()| Written::Value)
    }

    #[inline(always)]
    fn uint(self, value: u64) -> Result<Written, RowError> {
        pack_uint(self.scalar, value, self.place).map(|()| Written::Value)
    }

    fn decimal(self, text: &str) -> Result<Written, RowError> {
        pack_decimal(self.scalar, text, self.place).map(|()| Written::Value)
    }

    #[inline]
    fn float(self, value: f64) -> Result<Written, RowError> {
        pack_float(self.scalar, value, self.place).map(|()| Written::Value)
    }

    fn text(self, text: &str) -> Result<Written, RowError> {
        pack_text(self.scalar, text, self.place).map(|()| Written::Value)
    }

    fn bytes(self, bytes: &[u8]) -> Result<Written, RowError> {
        pack_bytes(self.scalar, bytes, self.place).map(|()| Written::Value)
    }

    fn seq(self) -> Result<UuidSeq<'a>, RowError> {
        match self.scalar {
            Scalar::Uuid => Ok(UuidSeq { place: self.place, len: 0 }),
            _ => self.refuse("a sequence"),
        }
    }
}

/// Sixteen numbers that are the bytes of a UUID.
struct UuidSeq<'a> {
    place: &'a mut [u8],
    len: usize,
}

impl SinkSeq for UuidSeq<'_> {
    type Ok = Written;

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RowError> {
        let byte = encode_byte(value).map_err(|error| error.in_element(self.len))?;
        if let Some(place) = self.place.get_mut(self.len) {
            *place = byte;
        }
        self.len += 1;
        Ok(())
    }

    fn end(self) -> Result<Written, RowError> {
        match self.len {
            16 => Ok(Written::Value),
            found => Err(RowErrorKind::WrongArity { expected: 16, found }.into()),
        }
    }
}

/// One byte, given as a number.
#[inline]
fn encode_byte<T: Serialize + ?Sized>(value: &T) -> Result<u8, RowError> {
    let mut place = [0];
    match value.serialize(ValueSerializer::new(ScalarSink { scalar: Scalar::U8, place: &mut place }))? {
        Written::Value => Ok(u8::from_le_bytes(place)),
        Written::Null => Err(RowErrorKind::wrong_type("bytes", "null").into()),
    }
}

/// Appends a string's bytes.
pub(super) struct TextSink<'a> {
    pub(super) out: &'a mut Vec<u8>,
}

impl Sink for TextSink<'_> {
    type Ok = Written;
    type Seq = NoSeq<Written>;

    fn expected(&self) -> String {
        Type::String.to_string()
    }

    #[inline]
    fn null(self) -> Result<Written, RowError> {
        Ok(Written::Null)
    }

    #[inline]
    fn text(self, text: &str) -> Result<Written, RowError> {
        append(self.out, text.as_bytes())?;
        Ok(Written::Value)
    }
}

/// Appends bytes, given as such or as a sequence of numbers.
struct BytesSink<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Sink for BytesSink<'a> {
    type Ok = Written;
    type Seq = ByteSeq<'a>;

    fn expected(&self) -> String {
        Type::Bytes.to_string()
    }

    fn null(self) -> Result<Written, RowError> {
        Ok(Written::Null)
    }

    fn bytes(self, bytes: &[u8]) -> Result<Written, RowError> {
        append(self.out, bytes)?;
        Ok(Written::Value)
    }

    fn seq(self) -> Result<ByteSeq<'a>, RowError> {
        Ok(ByteSeq { out: self.out, len: 0 })
    }
}

/// Bytes as a sequence of numbers.
struct ByteSeq<'a> {
    out: &'a mut Vec<u8>,
    len: usize,
}

impl SinkSeq for ByteSeq<'_> {
    type Ok = Written;

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RowError> {
        let byte = encode_byte(value).map_err(|error| error.in_element(self.len))?;
        self.len += 1;
        append(self.out, &[byte]).map_err(RowError::from)
    }

    fn end(self) -> Result<Written, RowError> {
        Ok(Written::Value)
    }
}

/// Fills an array's place, element by element.
struct ArraySink<'a> {
    array: Array,
    place: &'a mut [u8],
}

/// The rest of an array's place, and how many elements came.
struct ArraySeq<'a> {
    array: Array,
    rest: std::slice::ChunksExactMut<'a, u8>,
    len: usize,
}

impl<'a> Sink for ArraySink<'a> {
    type Ok = Written;
    type Seq = ArraySeq<'a>;

    fn expected(&self) -> String {
        Type::Array(self.array).to_string()
    }

    fn null(self) -> Result<Written, RowError> {
        Ok(Written::Null)
    }

    fn seq(self) -> Result<ArraySeq<'a>, RowError> {
        let rest = self.place.chunks_exact_mut(self.array.element().width());
        Ok(ArraySeq { array: self.array, rest, len: 0 })
    }
}

impl SinkSeq for ArraySeq<'_> {
    type Ok = Written;

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RowError> {
        self.len += 1;
        let Some(place) = self.rest.next() else { return Ok(()) };
        let scalar = self.array.element();
        let written = match value.serialize(ValueSerializer::new(ScalarSink { scalar, place })) {
            Ok(Written::Value) => return Ok(()),
            Ok(Written::Null) => RowErrorKind::wrong_type(scalar, "null").into(),
            Err(error) => error,
        };
        Err(written.in_element(self.len - 1))
    }

    fn end(self) -> Result<Written, RowError> {
        match self.len == self.array.len() {
            true => Ok(Written::Value),
            false => Err(RowErrorKind::WrongArity { expected: self.array.len(), found: self.len }.into()),
        }
    }
}

/// Serde's face of a [`Sink`].
pub(super) struct ValueSerializer<S> {
    sink: S,
    /// Off for our own types, which then give their bytes and not their text.
    human_readable: bool,
}

impl<S> ValueSerializer<S> {
    #[inline]
    pub(super) fn new(sink: S) -> ValueSerializer<S> {
        ValueSerializer { sink, human_readable: true }
    }
}

macro_rules! forward {
    ($($method:ident($ty:ty) => $case:ident;)*) => {$(
        #[inline]
        fn $method(self, value: $ty) -> Result<S::Ok, RowError> {
            self.sink.$case(value.into())
        }
    )*};
}

impl<S: Sink> Serializer for ValueSerializer<S> {
    type Ok = S::Ok;
    type Error = RowError;
    type SerializeSeq = SeqSerializer<S::Seq>;
    type SerializeTuple = SeqSerializer<S::Seq>;
    type SerializeTupleStruct = SeqSerializer<S::Seq>;
    type SerializeTupleVariant = Impossible<S::Ok, RowError>;
    type SerializeMap = Impossible<S::Ok, RowError>;
    type SerializeStruct = NumberSerializer<S>;
    type SerializeStructVariant = Impossible<S::Ok, RowError>;

    forward!(
        serialize_bool(bool) => bool;
        serialize_i8(i8) => int;
        serialize_i16(i16) => int;
        serialize_i32(i32) => int;
        serialize_i64(i64) => int;
        serialize_u8(u8) => uint;
        serialize_u16(u16) => uint;
        serialize_u32(u32) => uint;
        serialize_u64(u64) => uint;
        serialize_f32(f32) => float;
        serialize_f64(f64) => float;
        serialize_str(&str) => text;
        serialize_bytes(&[u8]) => bytes;
    );

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.human_readable
    }

    fn serialize_i128(self, value: i128) -> Result<S::Ok, RowError> {
        match i64::try_from(value) {
            Ok(value) => self.sink.int(value),
            Err(_) => match u64::try_from(value) {
                Ok(value) => self.sink.uint(value),
                Err(_) => self.sink.decimal(&value.to_string()),
            },
        }
    }

    fn serialize_u128(self, value: u128) -> Result<S::Ok, RowError> {
        match u64::try_from(value) {
            Ok(value) => self.sink.uint(value),
            Err(_) => self.sink.decimal(&value.to_string()),
        }
    }

    fn serialize_char(self, value: char) -> Result<S::Ok, RowError> {
        self.sink.text(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, RowError> {
        self.sink.null()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, RowError> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, RowError> {
        self.sink.null()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<S::Ok, RowError> {
        self.sink.null()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<S::Ok, RowError> {
        self.sink.text(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, RowError> {
        let human_readable = self.human_readable && name != timestamp::SERDE_NAME && name != uuid::SERDE_NAME;
        value.serialize(ValueSerializer { human_readable, ..self })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: &T,
    ) -> Result<S::Ok, RowError> {
        self.sink.refuse(format_args!("the enum variant {variant} with a value"))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<SeqSerializer<S::Seq>, RowError> {
        self.sink.seq().map(SeqSerializer::new)
    }

    fn serialize_tuple(self, _: usize) -> Result<SeqSerializer<S::Seq>, RowError> {
        self.sink.seq().map(SeqSerializer::new)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<SeqSerializer<S::Seq>, RowError> {
        self.sink.seq().map(SeqSerializer::new)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, RowError> {
        self.sink.refuse(format_args!("the enum variant {variant} with values"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, RowError> {
        self.sink.refuse("a map")
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<NumberSerializer<S>, RowError> {
        match name {
            JSON_NUMBER => Ok(NumberSerializer { sink: self.sink, text: Vec::new() }),
            name => self.sink.refuse(format_args!("the struct {name}")),
        }
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, RowError> {
        self.sink.refuse(format_args!("the enum variant {variant} with fields"))
    }
}

/// Serde's face of a [`SinkSeq`].
pub(super) struct SeqSerializer<Q> {
    seq: Q,
    /// The first element that was refused. What gave it may go on as if nothing had been.
    refused: Option<RowError>,
}

impl<Q: SinkSeq> SeqSerializer<Q> {
    #[inline]
    fn new(seq: Q) -> Self {
        Self { seq, refused: None }
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RowError> {
        self.seq.element(value).inspect_err(|error| {
            self.refused.get_or_insert_with(|| error.clone());
        })
    }

    fn end(self) -> Result<Q::Ok, RowError> {
        self.refused.map_or(Ok(()), Err)?;
        self.seq.end()
    }
}

macro_rules! sequence {
    ($($trait:ident::$method:ident),*) => {$(
        impl<Q: SinkSeq> ser::$trait for SeqSerializer<Q> {
            type Ok = Q::Ok;
            type Error = RowError;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RowError> {
                self.element(value)
            }

            fn end(self) -> Result<Q::Ok, RowError> {
                self.end()
            }
        }
    )*};
}

sequence!(SerializeSeq::serialize_element, SerializeTuple::serialize_element, SerializeTupleStruct::serialize_field);

/// A number that serde_json hands over as text.
pub(super) struct NumberSerializer<S> {
    sink: S,
    text: Vec<u8>,
}

impl<S: Sink> ser::SerializeStruct for NumberSerializer<S> {
    type Ok = S::Ok;
    type Error = RowError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), RowError> {
        value.serialize(ValueSerializer::new(TextSink { out: &mut self.text })).map(drop)
    }

    fn end(self) -> Result<S::Ok, RowError> {
        let text = std::str::from_utf8(&self.text).unwrap_or_default();
        if let Ok(value) = text.parse::<i64>() {
            return self.sink.int(value);
        }
        if let Ok(value) = text.parse::<u64>() {
            return self.sink.uint(value);
        }
        self.sink.decimal(text)
    }
}
