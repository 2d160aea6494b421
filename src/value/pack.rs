//! Packed bytes: what a value is in memory and on disk.
//!
//! Integers, floats and timestamps are little endian, a bool is one byte 0 or 1, a UUID its 16 bytes, an array its
//! elements one after the other; strings and bytes are themselves, JSON is its compact text. Nothing carries a length or
//! a tag: the column's type and the row's layout say both.
//!
//! Conversions: integers of any width and sign fit where their number fits; integers fit floats and are rounded to the
//! nearest; `f64` fits `f32`, rounded to the nearest, unless it is finite and out of range. A float never fits an
//! integer column, whole or not.

use super::document::{check_keys, tree};
use super::encode_column::{Written, encode_json};
use super::order::Num;
use super::row_error::{RowError, RowErrorKind, excerpt};
use super::timestamp::{self, Timestamp};
use super::types::{Scalar, Type};
use super::uuid::{self, Uuid};
use super::value_ref::{ArrayRef, ValueRef};

impl Type {
    /// Appends the packed bytes of `value` to `out`, which is left as it was on an error.
    ///
    /// Null is refused with `NullNotAllowed`: what is null is said by the row, not by the value's bytes.
    pub(crate) fn pack(self, value: ValueRef<'_>, out: &mut Vec<u8>) -> Result<(), RowErrorKind> {
        if self.is_null(value) {
            return Err(RowErrorKind::NullNotAllowed);
        }
        match (self, value) {
            (Type::String, ValueRef::Str(text)) => append(out, text.as_bytes()),
            (Type::Bytes, ValueRef::Bytes(bytes)) => append(out, bytes),
            (Type::Json, value) => pack_json(value, out),
            (Type::Array(array), ValueRef::Array(values)) => pack_array(array.element(), array.len(), values, out),
            (ty, value) => match ty.scalar() {
                Some(scalar) => append_with(out, scalar.width(), |place| pack_scalar(scalar, value, place)),
                None => Err(RowErrorKind::wrong_type(ty, value.kind())),
            },
        }
    }

    /// Whether a column of this type takes the value for null: JSON has no number for a float that is not finite, and null
    /// is what serde_json writes in its place.
    #[inline]
    pub(crate) fn is_null(self, value: ValueRef<'_>) -> bool {
        value.is_null() || self == Type::Json && matches!(value, ValueRef::Float(value) if !value.is_finite())
    }

    /// The value in these packed bytes. Bytes that are no packed value of this type read as [`ValueRef::Null`].
    #[inline]
    pub(crate) fn unpack(self, bytes: &[u8]) -> ValueRef<'_> {
        match self {
            Type::String => std::str::from_utf8(bytes).map_or(ValueRef::Null, ValueRef::Str),
            Type::Json => std::str::from_utf8(bytes).map_or(ValueRef::Null, ValueRef::Json),
            Type::Bytes => ValueRef::Bytes(bytes),
            Type::Array(array) if self.fixed_width() == Some(bytes.len()) => {
                ValueRef::Array(ArrayRef::packed(array.element(), bytes))
            }
            Type::Array(_) => ValueRef::Null,
            ty => ty.scalar().map_or(ValueRef::Null, |scalar| unpack_scalar(scalar, bytes)),
        }
    }
}

/// Reads one scalar; null if the width is wrong.
#[inline]
pub(super) fn unpack_scalar<'a>(scalar: Scalar, bytes: &[u8]) -> ValueRef<'a> {
    #[inline]
    fn read<'a, T: Num + Into<ValueRef<'a>>>(bytes: &[u8]) -> ValueRef<'a> {
        T::from_packed(bytes).map_or(ValueRef::Null, Into::into)
    }
    match scalar {
        Scalar::I8 => read::<i8>(bytes),
        Scalar::I16 => read::<i16>(bytes),
        Scalar::I32 => read::<i32>(bytes),
        Scalar::I64 => read::<i64>(bytes),
        Scalar::U8 => read::<u8>(bytes),
        Scalar::U16 => read::<u16>(bytes),
        Scalar::U32 => read::<u32>(bytes),
        Scalar::U64 => read::<u64>(bytes),
        Scalar::F32 => read::<f32>(bytes),
        Scalar::F64 => read::<f64>(bytes),
        Scalar::Bool => u8::from_packed(bytes).map_or(ValueRef::Null, |byte| ValueRef::Bool(byte != 0)),
        Scalar::Uuid => bytes.try_into().map_or(ValueRef::Null, |bytes| ValueRef::Uuid(Uuid::from_bytes(bytes))),
        Scalar::Timestamp => {
            i64::from_packed(bytes).map_or(ValueRef::Null, |micros| ValueRef::Timestamp(Timestamp::from_micros(micros)))
        }
    }
}

/// Packs one value as `scalar` into `place`, which has its width.
///
/// Here and below `place` is written by a store of constant width, and errors are one pointer: this is the path of every
/// inserted value.
pub(super) fn pack_scalar(scalar: Scalar, value: ValueRef<'_>, place: &mut [u8]) -> Result<(), RowError> {
    match value {
        ValueRef::Int(value) => pack_int(scalar, value, place),
        ValueRef::UInt(value) => pack_uint(scalar, value, place),
        ValueRef::Float(value) => pack_float(scalar, value, place),
        ValueRef::Bool(value) => pack_bool(scalar, value, place),
        ValueRef::Str(text) => pack_text(scalar, text, place),
        ValueRef::Bytes(bytes) => pack_bytes(scalar, bytes, place),
        ValueRef::Uuid(uuid) if scalar == Scalar::Uuid => store(place, *uuid.as_bytes()),
        ValueRef::Timestamp(time) if scalar == Scalar::Timestamp => store(place, time.as_micros().to_le_bytes()),
        value => wrong_type(scalar, value.kind()),
    }
}

/// Writes packed bytes into a place of just that width.
#[inline(always)]
fn store<const N: usize>(place: &mut [u8], packed: [u8; N]) -> Result<(), RowError> {
    match <&mut [u8; N]>::try_from(&mut *place) {
        Ok(place) => *place = packed,
        Err(_) => return wrong_type(format_args!("{N} bytes"), format_args!("room for {}", place.len())),
    }
    Ok(())
}

#[cold]
#[inline(never)]
fn wrong_type(expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Result<(), RowError> {
    Err(RowErrorKind::wrong_type(expected, found).into())
}

#[inline(always)]
pub(super) fn pack_int(scalar: Scalar, value: i64, place: &mut [u8]) -> Result<(), RowError> {
    macro_rules! narrow {
        ($ty:ty) => {
            match <$ty>::try_from(value) {
                Ok(value) => store(place, value.to_le_bytes()),
                Err(_) => Err(integer_out_of_range(scalar, value)),
            }
        };
    }
    match scalar {
        Scalar::I8 => narrow!(i8),
        Scalar::I16 => narrow!(i16),
        Scalar::I32 => narrow!(i32),
        Scalar::I64 | Scalar::Timestamp => store(place, value.to_le_bytes()),
        Scalar::U8 => narrow!(u8),
        Scalar::U16 => narrow!(u16),
        Scalar::U32 => narrow!(u32),
        Scalar::U64 => narrow!(u64),
        Scalar::F32 => store(place, (value as f32).to_le_bytes()),
        Scalar::F64 => store(place, (value as f64).to_le_bytes()),
        Scalar::Bool | Scalar::Uuid => wrong_type(scalar, "an integer"),
    }
}

#[inline(always)]
pub(super) fn pack_uint(scalar: Scalar, value: u64, place: &mut [u8]) -> Result<(), RowError> {
    if let Ok(value) = i64::try_from(value) {
        return pack_int(scalar, value, place);
    }
    match scalar {
        Scalar::U64 => store(place, value.to_le_bytes()),
        Scalar::F32 => store(place, (value as f32).to_le_bytes()),
        Scalar::F64 => store(place, (value as f64).to_le_bytes()),
        Scalar::Bool | Scalar::Uuid => wrong_type(scalar, "an integer"),
        _ => Err(integer_out_of_range(scalar, value)),
    }
}

#[inline]
pub(super) fn pack_float(scalar: Scalar, value: f64, place: &mut [u8]) -> Result<(), RowError> {
    match scalar {
        Scalar::F64 => store(place, value.to_le_bytes()),
        Scalar::F32 => match value as f32 {
            narrow if narrow.is_infinite() && value.is_finite() => {
                Err(RowErrorKind::out_of_range(format_args!("{value:?}"), F32_RANGE).into())
            }
            narrow => store(place, narrow.to_le_bytes()),
        },
        _ => wrong_type(scalar, format_args!("the float {value:?}")),
    }
}

/// A number as text in decimal: for what other programs' files have, and beyond what `i64`, `u64` and `f64` say.
///
/// A float is rounded once, to the column's own width.
pub(super) fn pack_decimal(scalar: Scalar, text: &str, place: &mut [u8]) -> Result<(), RowError> {
    macro_rules! integer {
        ($ty:ty) => {
            match text.parse::<$ty>() {
                Ok(value) => store(place, value.to_le_bytes()),
                // Without a sign a type takes no `-`, and yet `-0` is a number of its own.
                Err(_) => match text.parse::<i128>().ok().and_then(|value| <$ty>::try_from(value).ok()) {
                    Some(value) => store(place, value.to_le_bytes()),
                    None => Err(refuse_decimal(scalar, text)),
                },
            }
        };
    }
    macro_rules! float {
        ($ty:ty) => {
            match text.parse::<$ty>() {
                Ok(value) if value.is_finite() => store(place, value.to_le_bytes()),
                _ => Err(refuse_decimal(scalar, text)),
            }
        };
    }
    match scalar {
        Scalar::I8 => integer!(i8),
        Scalar::I16 => integer!(i16),
        Scalar::I32 => integer!(i32),
        Scalar::I64 | Scalar::Timestamp => integer!(i64),
        Scalar::U8 => integer!(u8),
        Scalar::U16 => integer!(u16),
        Scalar::U32 => integer!(u32),
        Scalar::U64 => integer!(u64),
        Scalar::F32 => float!(f32),
        Scalar::F64 => float!(f64),
        Scalar::Bool | Scalar::Uuid => wrong_type(scalar, format_args!("the number {}", excerpt(text))),
    }
}

/// What is wrong with text in decimal that the type does not take.
#[cold]
fn refuse_decimal(scalar: Scalar, text: &str) -> RowError {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Rust's floats parse words as well.
    let is_infinite =
        digits.starts_with(|c: char| !c.is_alphabetic()) && text.parse::<f32>().is_ok_and(f32::is_infinite);
    match scalar {
        Scalar::F32 if is_infinite => RowErrorKind::out_of_range(excerpt(text), F32_RANGE).into(),
        Scalar::F64 if is_infinite => RowErrorKind::out_of_range(excerpt(text), F64_RANGE).into(),
        Scalar::F32 | Scalar::F64 => RowErrorKind::wrong_type(scalar, excerpt(text)).into(),
        _ if is_integer => integer_out_of_range(scalar, excerpt(text)),
        _ => RowErrorKind::wrong_type(scalar, excerpt(text)).into(),
    }
}

const F32_RANGE: &str = "f32, -3.4028235e38 to 3.4028235e38";
const F64_RANGE: &str = "f64, -1.7976931348623157e308 to 1.7976931348623157e308";

#[inline]
pub(super) fn pack_bool(scalar: Scalar, value: bool, place: &mut [u8]) -> Result<(), RowError> {
    match scalar {
        Scalar::Bool => store(place, [u8::from(value)]),
        _ => wrong_type(scalar, "a bool"),
    }
}

/// Text in a column that is not text: parsed, where the type has a text form.
pub(super) fn pack_text(scalar: Scalar, text: &str, place: &mut [u8]) -> Result<(), RowError> {
    match scalar {
        Scalar::Uuid => match text.parse::<Uuid>() {
            Ok(uuid) => store(place, *uuid.as_bytes()),
            Err(_) => Err(RowErrorKind::invalid(text, uuid::EXPECTED).into()),
        },
        Scalar::Timestamp => match text.parse::<Timestamp>() {
            Ok(time) => store(place, time.as_micros().to_le_bytes()),
            Err(_) => Err(RowErrorKind::invalid(text, timestamp::EXPECTED).into()),
        },
        _ => wrong_type(scalar, format_args!("the string `{}`", excerpt(text))),
    }
}

pub(super) fn pack_bytes(scalar: Scalar, bytes: &[u8], place: &mut [u8]) -> Result<(), RowError> {
    match <[u8; 16]>::try_from(bytes) {
        _ if scalar != Scalar::Uuid => wrong_type(scalar, "bytes"),
        Ok(bytes) => store(place, bytes),
        Err(_) => wrong_type("a uuid of 16 bytes", format_args!("{} bytes", bytes.len())),
    }
}

#[cold]
fn integer_out_of_range(scalar: Scalar, value: impl std::fmt::Display) -> RowError {
    match Type::from(scalar).integer_range() {
        Some((min, max)) => RowErrorKind::out_of_range(value, format_args!("{scalar}, {min} to {max}")),
        None => RowErrorKind::out_of_range(value, format_args!("a {scalar}, microseconds that fit 64 bits")),
    }
    .into()
}

/// Appends, with an error where the allocator refuses.
#[inline]
pub(super) fn append(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), RowErrorKind> {
    match out.try_reserve(bytes.len()) {
        Ok(()) => out.extend_from_slice(bytes),
        Err(_) => return Err(RowErrorKind::OutOfMemory { bytes: bytes.len() }),
    }
    Ok(())
}

/// Appends `width` bytes that `pack` fills, or nothing on an error.
pub(super) fn append_with(
    out: &mut Vec<u8>,
    width: usize,
    pack: impl FnOnce(&mut [u8]) -> Result<(), RowError>,
) -> Result<(), RowErrorKind> {
    let start = out.len();
    out.try_reserve(width).map_err(|_| RowErrorKind::OutOfMemory { bytes: width })?;
    out.resize(start + width, 0);
    pack(out.get_mut(start..).unwrap_or_default()).map_err(|error| {
        out.truncate(start);
        error.into_parts().1
    })
}

fn pack_array(element: Scalar, len: usize, values: ArrayRef<'_>, out: &mut Vec<u8>) -> Result<(), RowErrorKind> {
    if values.len() != len {
        return Err(RowErrorKind::WrongArity { expected: len, found: values.len() });
    }
    if let Some(packed) = values.as_packed(element) {
        return append(out, packed);
    }
    let width = element.width();
    append_with(out, len * width, |place| {
        let mut places = place.chunks_exact_mut(width).zip(values.iter()).enumerate();
        places.try_for_each(|(at, (place, value))| {
            pack_scalar(element, value, place).map_err(|error| error.in_element(at))
        })
    })
}

/// How deep JSON may nest: what serde_json reads back.
pub(crate) const JSON_DEPTH_MAX: usize = 127;

/// Refuses JSON text, which is sound, that could not be read back: for how deep it nests, or for a key.
pub(super) fn check_readable(text: &[u8]) -> Result<(), RowErrorKind> {
    // Only many brackets can nest deep: most texts are done with here.
    if text.len() > JSON_DEPTH_MAX && json_depth(text) > JSON_DEPTH_MAX {
        return Err(too_deep(text));
    }
    check_keys(std::str::from_utf8(text).unwrap_or_default())
}

/// The refusal of a text that begins so.
#[cold]
pub(super) fn too_deep(text: &[u8]) -> RowErrorKind {
    let start = String::from_utf8_lossy(text.get(..JSON_DEPTH_MAX).unwrap_or(text));
    RowErrorKind::invalid(&start, "JSON nested at most 127 deep")
}

/// How deep JSON text, which is sound, nests.
pub(crate) fn json_depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut is_escaped) = (0usize, 0, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn pack_json(value: ValueRef<'_>, out: &mut Vec<u8>) -> Result<(), RowErrorKind> {
    if let ValueRef::Json(text) = value {
        // Written anew, so that what tables hold is compact whatever came in.
        return match tree(text) {
            Ok(serde_json::Value::Null) => Err(RowErrorKind::NullNotAllowed),
            Ok(tree) => append(out, tree.to_string().as_bytes()),
            Err(_) => Err(RowErrorKind::invalid(text, "JSON")),
        };
    }
    // What nests too deep is refused on the way down: it would use up the stack.
    match encode_json(out, &value) {
        Ok(Written::Value) => Ok(()),
        Ok(Written::Null) => Err(RowErrorKind::NullNotAllowed),
        Err(error) => Err(error.into_parts().1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(ty: &str, value: ValueRef<'_>) -> Result<Vec<u8>, RowErrorKind> {
        let mut out = Vec::new();
        ty.parse::<Type>().unwrap().pack(value, &mut out).map(|()| out)
    }

    #[test]
    fn numbers_convert_where_they_fit() {
        assert_eq!(packed("u8", ValueRef::Int(255)), Ok(vec![255]));
        assert_eq!(packed("i16", ValueRef::UInt(7)), Ok(vec![7, 0]));
        assert_eq!(packed("f32", ValueRef::Int(1)), Ok(1f32.to_le_bytes().to_vec()));
        assert!(matches!(packed("u8", ValueRef::Int(256)), Err(RowErrorKind::OutOfRange { .. })));
        assert!(matches!(packed("u8", ValueRef::Int(-1)), Err(RowErrorKind::OutOfRange { .. })));
        assert!(matches!(packed("i64", ValueRef::UInt(u64::MAX)), Err(RowErrorKind::OutOfRange { .. })));
        assert!(matches!(packed("f32", ValueRef::Float(1e300)), Err(RowErrorKind::OutOfRange { .. })));
        assert!(matches!(packed("i64", ValueRef::Float(1.0)), Err(RowErrorKind::WrongType { .. })));
        assert!(packed("f32", ValueRef::Float(f64::INFINITY)).is_ok());
    }

    #[test]
    fn json_is_stored_compact_and_null_is_not_stored() {
        assert_eq!(packed("json", ValueRef::Json("{ \"a\" : [1, 2] }")), Ok(br#"{"a":[1,2]}"#.to_vec()));
        assert_eq!(packed("json", ValueRef::Str("a")), Ok(br#""a""#.to_vec()));
        assert_eq!(packed("json", ValueRef::Json(" null")), Err(RowErrorKind::NullNotAllowed));
        assert!(matches!(packed("json", ValueRef::Json("{")), Err(RowErrorKind::InvalidValue { .. })));
    }

    #[test]
    fn arrays_have_their_exact_length() {
        let values = [1, 2].map(super::super::Value::from);
        let array = ValueRef::Array(ArrayRef::values(&values));
        assert_eq!(packed("2xu16", array), Ok(vec![1, 0, 2, 0]));
        assert_eq!(packed("3xu16", array), Err(RowErrorKind::WrongArity { expected: 3, found: 2 }));
        assert!("2xu16".parse::<Type>().unwrap().unpack(&[1, 0, 2, 0]) == array);
    }

    proptest! {
        #[test]
        fn malformed_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            for name in ["i8", "u64", "f32", "bool", "string", "uuid", "timestamp", "json", "3xi32"] {
                let value = name.parse::<Type>().unwrap().unpack(&bytes);
                let _ = (value.to_string(), value.to_owned(), serde_json::to_string(&value));
            }
        }

        #[test]
        fn what_is_packed_is_unpacked(int in any::<i64>(), uint in any::<u64>(), float in any::<f64>(), text: String) {
            for (ty, value) in [
                (Type::I64, ValueRef::Int(int)),
                (Type::U64, ValueRef::UInt(uint)),
                (Type::F64, ValueRef::Float(float)),
                (Type::String, ValueRef::Str(&text)),
                (Type::Timestamp, ValueRef::Timestamp(Timestamp::from_micros(int))),
            ] {
                let mut out = Vec::new();
                ty.pack(value, &mut out).unwrap();
                prop_assert_eq!(ty.unpack(&out), value);
            }
        }
    }
}
