//! The order of packed values, and key bytes that have the same order under `memcmp`.
//!
//! Floats are in numeric order, -0 equal to 0, NaN behind all and equal to itself; strings, bytes and UUIDs are
//! bytewise; arrays go element by element; null comes before everything.
//!
//! Key bytes (what ordered indexes hold) are self-delimiting, so that those of several columns, one after the other,
//! compare as the tuple does:
//!
//! | what | bytes |
//! |---|---|
//! | nullable column | `00` for null; `01` and the value |
//! | unsigned integer | big endian |
//! | signed integer, timestamp | big endian, sign bit flipped |
//! | float | bits big endian; all flipped if negative, else the sign bit; NaN all ones |
//! | string, bytes, json | each `00` as `00 FF`, then `00 01` |
//! | uuid, bool | as packed |
//! | array | its elements |

use std::cmp::Ordering;

use super::types::{Scalar, Type};

/// A machine number with a packed form and a place in the order.
pub(crate) trait Num: Copy {
    /// Reads packed bytes; `None` if the width is wrong.
    fn from_packed(bytes: &[u8]) -> Option<Self>;

    /// An integer of the same width with the same order, widened.
    fn ordered(self) -> u64;
}

macro_rules! unsigned {
    ($($ty:ty),*) => {$(
        impl Num for $ty {
            #[inline(always)]
            fn from_packed(bytes: &[u8]) -> Option<$ty> {
                Some(<$ty>::from_le_bytes(bytes.try_into().ok()?))
            }

            #[inline(always)]
            fn ordered(self) -> u64 {
                u64::from(self)
            }
        }
    )*};
}

macro_rules! signed {
    ($($ty:ty as $unsigned:ty),*) => {$(
        impl Num for $ty {
            #[inline(always)]
            fn from_packed(bytes: &[u8]) -> Option<$ty> {
                Some(<$ty>::from_le_bytes(bytes.try_into().ok()?))
            }

            #[inline(always)]
            fn ordered(self) -> u64 {
                u64::from(self.cast_unsigned() ^ <$ty>::MIN.cast_unsigned())
            }
        }
    )*};
}

macro_rules! float {
    ($($ty:ty as $bits:ty),*) => {$(
        impl Num for $ty {
            #[inline(always)]
            fn from_packed(bytes: &[u8]) -> Option<$ty> {
                Some(<$ty>::from_le_bytes(bytes.try_into().ok()?))
            }

            #[inline(always)]
            fn ordered(self) -> u64 {
                const SIGN: $bits = 1 << (<$bits>::BITS - 1);
                if self.is_nan() {
                    return u64::from(<$bits>::MAX);
                }
                // Adding zero turns -0 into 0.
                let bits = (self + 0.0).to_bits();
                u64::from(if bits & SIGN == 0 { bits | SIGN } else { !bits })
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64);
signed!(i8 as u8, i16 as u16, i32 as u32, i64 as u64);
float!(f32 as u32, f64 as u64);

/// An integer that is in the order of the values, for types of one number of at most 8 bytes.
///
/// `None` for the other types, and for bytes of the wrong width.
#[inline]
pub(crate) fn key_u64(ty: Type, bytes: &[u8]) -> Option<u64> {
    ty.scalar().and_then(|scalar| scalar_u64(scalar, bytes))
}

#[inline]
fn scalar_u64(scalar: Scalar, bytes: &[u8]) -> Option<u64> {
    match scalar {
        Scalar::I8 => i8::from_packed(bytes).map(Num::ordered),
        Scalar::I16 => i16::from_packed(bytes).map(Num::ordered),
        Scalar::I32 => i32::from_packed(bytes).map(Num::ordered),
        Scalar::I64 | Scalar::Timestamp => i64::from_packed(bytes).map(Num::ordered),
        Scalar::U8 | Scalar::Bool => u8::from_packed(bytes).map(Num::ordered),
        Scalar::U16 => u16::from_packed(bytes).map(Num::ordered),
        Scalar::U32 => u32::from_packed(bytes).map(Num::ordered),
        Scalar::U64 => u64::from_packed(bytes),
        Scalar::F32 => f32::from_packed(bytes).map(Num::ordered),
        Scalar::F64 => f64::from_packed(bytes).map(Num::ordered),
        Scalar::Uuid => None,
    }
}

/// Compares two packed values of one type. Bytes of a wrong width, which no row holds, come first.
#[inline]
pub(crate) fn compare_packed(ty: Type, a: &[u8], b: &[u8]) -> Ordering {
    match ty {
        Type::Array(array) => {
            let width = array.element().width();
            let elements = |bytes: &[u8]| bytes.len() / width;
            let by_element = a
                .chunks_exact(width)
                .zip(b.chunks_exact(width))
                .find_map(|(a, b)| Some(compare_scalar(array.element(), a, b)).filter(|order| order.is_ne()));
            by_element.unwrap_or_else(|| elements(a).cmp(&elements(b)))
        }
        ty => match ty.scalar() {
            Some(scalar) => compare_scalar(scalar, a, b),
            None => a.cmp(b),
        },
    }
}

/// The same as Rust's operators have it, for arrays of floats: where the element that decides is NaN there is no order.
pub(crate) fn partial_compare_packed(ty: Type, a: &[u8], b: &[u8]) -> Option<Ordering> {
    let Type::Array(array) = ty else { return Some(compare_packed(ty, a, b)) };
    let (element, width) = (array.element(), array.element().width());
    for (a, b) in a.chunks_exact(width).zip(b.chunks_exact(width)) {
        if is_nan(element, a) || is_nan(element, b) {
            return None;
        }
        let order = compare_scalar(element, a, b);
        if order.is_ne() {
            return Some(order);
        }
    }
    Some(Ordering::Equal)
}

fn is_nan(scalar: Scalar, bytes: &[u8]) -> bool {
    match scalar {
        Scalar::F32 => f32::from_packed(bytes).is_some_and(f32::is_nan),
        Scalar::F64 => f64::from_packed(bytes).is_some_and(f64::is_nan),
        _ => false,
    }
}

#[inline]
fn compare_scalar(scalar: Scalar, a: &[u8], b: &[u8]) -> Ordering {
    match scalar {
        Scalar::Uuid => a.cmp(b),
        scalar => scalar_u64(scalar, a).cmp(&scalar_u64(scalar, b)),
    }
}

const NULL: u8 = 0;
const NOT_NULL: u8 = 1;
const ESCAPED_ZERO: [u8; 2] = [0, 0xFF];
const END: [u8; 2] = [0, 1];

/// Appends the key bytes of one column's value; `None` is null and has bytes only in a nullable column.
pub(crate) fn encode_key(ty: Type, nullable: bool, bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    if nullable {
        out.push(if bytes.is_some() { NOT_NULL } else { NULL });
    }
    let Some(bytes) = bytes else { return };
    match ty {
        Type::String | Type::Bytes | Type::Json => {
            escape(bytes, out);
            out.extend_from_slice(&END);
        }
        Type::Array(array) => {
            bytes.chunks_exact(array.element().width()).for_each(|value| encode_scalar(array.element(), value, out));
        }
        ty => {
            if let Some(scalar) = ty.scalar() {
                encode_scalar(scalar, bytes, out);
            }
        }
    }
}

fn encode_scalar(scalar: Scalar, bytes: &[u8], out: &mut Vec<u8>) {
    match scalar_u64(scalar, bytes) {
        Some(key) => out.extend(key.to_be_bytes().iter().skip(8 - scalar.width())),
        None => out.extend_from_slice(bytes),
    }
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let mut parts = bytes.split(|byte| *byte == 0);
    out.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        out.extend_from_slice(&ESCAPED_ZERO);
        out.extend_from_slice(part);
    }
}

/// The key bytes `[low, high)` of every string (or bytes) value that starts with `prefix`, behind the key bytes `lead`
/// of the columns before it. No `high` means: to the end.
pub(crate) fn prefix_range(lead: &[u8], nullable: bool, prefix: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut low = lead.to_vec();
    if nullable {
        low.push(NOT_NULL);
    }
    escape(prefix, &mut low);
    let high = successor(&low);
    (low, high)
}

/// The least byte string above all those that start with `key`; `None` if there is no such bound.
///
/// With the key bytes of the first columns of an index, `[key, successor)` is the range of all entries that agree in
/// them.
pub(crate) fn successor(key: &[u8]) -> Option<Vec<u8>> {
    let last = key.iter().rposition(|byte| *byte != 0xFF)?;
    let mut next = key.get(..=last)?.to_vec();
    *next.last_mut()? += 1;
    Some(next)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::value_ref::ValueRef;
    use super::*;

    fn key(parts: &[(Type, Option<&[u8]>)]) -> Vec<u8> {
        let mut out = Vec::new();
        parts.iter().for_each(|(ty, bytes)| encode_key(*ty, true, *bytes, &mut out));
        out
    }

    fn packed(ty: Type, value: ValueRef<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        ty.pack(value, &mut out).unwrap();
        out
    }

    #[test]
    fn floats_are_in_numeric_order_with_one_zero_and_nan_last() {
        let sorted = [f64::NEG_INFINITY, -1.5, -f64::MIN_POSITIVE, 0.0, 1e-300, 2.0, f64::INFINITY, f64::NAN];
        for pair in sorted.windows(2) {
            assert!(pair[0].ordered() < pair[1].ordered(), "{pair:?}");
        }
        assert_eq!((-0.0f64).ordered(), 0.0f64.ordered());
        assert_eq!((-f32::NAN).ordered(), f32::NAN.ordered());
        let (zero, minus) = (packed(Type::F64, 0.0.into()), packed(Type::F64, (-0.0).into()));
        assert_eq!(compare_packed(Type::F64, &zero, &minus), Ordering::Equal);
    }

    #[test]
    fn prefix_ranges_end_behind_the_last_string() {
        let (low, high) = prefix_range(&[], false, b"ab");
        assert_eq!((low, high), (b"ab".to_vec(), Some(b"ac".to_vec())));
        assert_eq!(successor(&[1, 0xFF, 0xFF]), Some(vec![2]));
        assert_eq!(successor(&[0xFF]), None);
    }

    proptest! {
        #[test]
        fn key_bytes_order_as_the_tuples_do(
            a in (any::<Option<i32>>(), proptest::option::of("[\0\u{1}a\u{7f}é]{0,4}"), any::<f32>()),
            b in (any::<Option<i32>>(), proptest::option::of("[\0\u{1}a\u{7f}é]{0,4}"), any::<f32>()),
        ) {
            let keyed = |row: &(Option<i32>, Option<String>, f32)| key(&[
                (Type::String, row.1.as_deref().map(str::as_bytes)),
                (Type::I32, row.0.map(i32::to_le_bytes).as_ref().map(<[u8; 4]>::as_slice)),
                (Type::F32, Some(&row.2.to_le_bytes())),
            ]);
            let expected = (&a.1, a.0, a.2.ordered()).cmp(&(&b.1, b.0, b.2.ordered()));
            prop_assert_eq!(keyed(&a).cmp(&keyed(&b)), expected);
        }

        #[test]
        fn integers_order_as_packed_as_u64_and_as_key_bytes(a: i64, b: i64) {
            let (x, y) = (a.to_le_bytes(), b.to_le_bytes());
            prop_assert_eq!(compare_packed(Type::I64, &x, &y), a.cmp(&b));
            prop_assert_eq!(key_u64(Type::I64, &x).cmp(&key_u64(Type::I64, &y)), a.cmp(&b));
            prop_assert_eq!(key(&[(Type::I64, Some(&x))]).cmp(&key(&[(Type::I64, Some(&y))])), a.cmp(&b));
        }

        #[test]
        fn a_prefix_range_holds_just_the_strings_that_start_with_it(
            text in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0x61), Just(0xFF)], 0..5),
            prefix in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0x61), Just(0xFF)], 0..3),
        ) {
            let (low, high) = prefix_range(&[], true, &prefix);
            let key = key(&[(Type::Bytes, Some(&text))]);
            let inside = key >= low && high.is_none_or(|high| key < high);
            prop_assert_eq!(inside, text.starts_with(&prefix));
        }

        #[test]
        fn arrays_compare_by_element(a: [i16; 3], b: [i16; 3]) {
            let ty = "3xi16".parse().unwrap();
            let pack = |values: [i16; 3]| values.map(i16::to_le_bytes).concat();
            prop_assert_eq!(compare_packed(ty, &pack(a), &pack(b)), a.cmp(&b));
            prop_assert_eq!(key(&[(ty, Some(&pack(a)))]).cmp(&key(&[(ty, Some(&pack(b)))])), a.cmp(&b));
        }
    }
}
