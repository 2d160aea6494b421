//! Typed reads: which Rust type reads which column, checked once, and the read itself.

use super::document::tree;
use super::order::Num;
use super::timestamp::Timestamp;
use super::types::{Array, Scalar, Type};
use super::uuid::Uuid;

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that a column can be read as through a typed handle, such as the `f64` of `table.column::<f64>("gpa")`.
///
/// | column | read as | seen as |
/// |---|---|---|
/// | integer, float, `bool`, `uuid`, `timestamp` | the type of that name | the same |
/// | `string` | `str`, `&str` or `String` | `&str`, borrowed from the row |
/// | `bytes` | `[u8]`, `&[u8]` or `Vec<u8>` | `&[u8]`, borrowed from the row |
/// | `json` | `serde_json::Value` | the same, parsed anew at each read |
/// | `NxT` of numbers | `[T; N]` | the same |
/// | any of these, nullable | `Option` of it, for instance `Option<&str>` | `Option` of what it is seen as |
///
/// This trait is sealed.
pub trait Readable: sealed::Sealed {
    /// What a read gives.
    type Ref<'a>;

    /// Whether a column of this type can be read so.
    fn accepts(ty: Type, nullable: bool) -> bool;

    /// The columns that can be read so, for errors: "a `f64` column".
    fn expected() -> String;

    /// Reads a column that [`Readable::accepts`] allows, from its packed bytes, `None` if it is null.
    ///
    /// Total: bytes that do not fit read as zero or as empty.
    fn read(ty: Type, bytes: Option<&[u8]>) -> Self::Ref<'_>;
}

/// How a column of this type is to be asked for: the type parameter of a handle.
pub(crate) fn spelling(ty: Type, nullable: bool) -> String {
    let plain = match ty {
        Type::String => "&str".to_owned(),
        Type::Bytes => "&[u8]".to_owned(),
        Type::Uuid => "Uuid".to_owned(),
        Type::Timestamp => "Timestamp".to_owned(),
        Type::Json => "serde_json::Value".to_owned(),
        Type::Array(array) => format!("[{}; {}]", spelling(array.element().into(), false), array.len()),
        ty => ty.to_string(),
    };
    match (nullable, ty) {
        (true, _) => format!("Option<{plain}>"),
        (false, Type::String | Type::Bytes) => plain.trim_start_matches('&').to_owned(),
        (false, _) => plain,
    }
}

/// A fixed-width element.
trait Element: Copy + Default + 'static {
    const SCALAR: Scalar;

    fn element(bytes: &[u8]) -> Self;
}

macro_rules! element {
    ($($ty:ty, $scalar:ident: $bytes:ident => $read:expr;)*) => {$(
        impl Element for $ty {
            const SCALAR: Scalar = Scalar::$scalar;

            #[inline(always)]
            fn element($bytes: &[u8]) -> $ty {
                $read.unwrap_or_default()
            }
        }

        impl sealed::Sealed for $ty {}
        impl Readable for $ty {
            type Ref<'a> = $ty;

            fn accepts(ty: Type, nullable: bool) -> bool {
                ty == Type::from(Self::SCALAR) && !nullable
            }

            fn expected() -> String {
                format!("a `{}` column", Self::SCALAR)
            }

            #[inline(always)]
            fn read(_: Type, bytes: Option<&[u8]>) -> $ty {
                Self::element(bytes.unwrap_or_default())
            }
        }
    )*};
}

element!(
    i8, I8: bytes => Num::from_packed(bytes);
    i16, I16: bytes => Num::from_packed(bytes);
    i32, I32: bytes => Num::from_packed(bytes);
    i64, I64: bytes => Num::from_packed(bytes);
    u8, U8: bytes => Num::from_packed(bytes);
    u16, U16: bytes => Num::from_packed(bytes);
    u32, U32: bytes => Num::from_packed(bytes);
    u64, U64: bytes => Num::from_packed(bytes);
    f32, F32: bytes => Num::from_packed(bytes);
    f64, F64: bytes => Num::from_packed(bytes);
    bool, Bool: bytes => u8::from_packed(bytes).map(|byte| byte != 0);
    Uuid, Uuid: bytes => bytes.try_into().map(Uuid::from_bytes);
    Timestamp, Timestamp: bytes => i64::from_packed(bytes).map(Timestamp::from_micros);
);

#[allow(private_bounds)] // what an element is concerns nobody outside: the trait is sealed anyway
impl<T: Element, const N: usize> sealed::Sealed for [T; N] {}

#[allow(private_bounds)]
impl<T: Element, const N: usize> Readable for [T; N] {
    type Ref<'a> = [T; N];

    fn accepts(ty: Type, nullable: bool) -> bool {
        !nullable && matches!(ty, Type::Array(array) if array_is::<T, N>(array))
    }

    fn expected() -> String {
        format!("a `{N}x{}` column", T::SCALAR)
    }

    #[inline(always)]
    fn read(_: Type, bytes: Option<&[u8]>) -> [T; N] {
        let mut values = [T::default(); N];
        let elements = bytes.unwrap_or_default().chunks_exact(T::SCALAR.width());
        values.iter_mut().zip(elements).for_each(|(value, bytes)| *value = T::element(bytes));
        values
    }
}

fn array_is<T: Element, const N: usize>(array: Array) -> bool {
    array.element() == T::SCALAR && array.len() == N
}

macro_rules! borrowed {
    ($($ty:ty: $column:ident, $target:ty, $bytes:ident => $read:expr;)*) => {$(
        impl sealed::Sealed for $ty {}
        impl Readable for $ty {
            type Ref<'a> = &'a $target;

            fn accepts(ty: Type, nullable: bool) -> bool {
                ty == Type::$column && !nullable
            }

            fn expected() -> String {
                format!("a `{}` column", Type::$column)
            }

            #[inline(always)]
            fn read(_: Type, bytes: Option<&[u8]>) -> &$target {
                let $bytes = bytes.unwrap_or_default();
                $read
            }
        }
    )*};
}

borrowed!(
    str: String, str, bytes => std::str::from_utf8(bytes).unwrap_or_default();
    &'static str: String, str, bytes => std::str::from_utf8(bytes).unwrap_or_default();
    String: String, str, bytes => std::str::from_utf8(bytes).unwrap_or_default();
    [u8]: Bytes, [u8], bytes => bytes;
    &'static [u8]: Bytes, [u8], bytes => bytes;
    Vec<u8>: Bytes, [u8], bytes => bytes;
);

impl sealed::Sealed for serde_json::Value {}
impl Readable for serde_json::Value {
    type Ref<'a> = serde_json::Value;

    fn accepts(ty: Type, nullable: bool) -> bool {
        ty == Type::Json && !nullable
    }

    fn expected() -> String {
        "a `json` column".to_owned()
    }

    fn read(_: Type, bytes: Option<&[u8]>) -> serde_json::Value {
        let text = std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
        tree(text).unwrap_or_default()
    }
}

impl<T: Readable> sealed::Sealed for Option<T> {}

/// Reads columns that are nullable, and those that are not, which are then always `Some`.
impl<T: Readable> Readable for Option<T> {
    type Ref<'a> = Option<T::Ref<'a>>;

    fn accepts(ty: Type, _nullable: bool) -> bool {
        T::accepts(ty, false)
    }

    fn expected() -> String {
        format!("{}, nullable or not", T::expected())
    }

    #[inline(always)]
    fn read(ty: Type, bytes: Option<&[u8]>) -> Option<T::Ref<'_>> {
        bytes.map(|bytes| T::read(ty, Some(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_reads_its_own_columns_and_no_others() {
        assert!(f64::accepts(Type::F64, false) && !f64::accepts(Type::F64, true) && !f64::accepts(Type::F32, false));
        assert!(<Option<&str>>::accepts(Type::String, true) && !str::accepts(Type::String, true));
        assert!(<[f32; 3]>::accepts("3xf32".parse().unwrap(), false));
        assert!(!<[f32; 3]>::accepts("4xf32".parse().unwrap(), false));
    }

    #[test]
    fn reads_give_what_was_packed_and_never_panic() {
        assert_eq!(u32::read(Type::U32, Some(&[1, 1, 0, 0])), 257);
        assert_eq!(u32::read(Type::U32, Some(&[1])), 0);
        assert_eq!(<Option<String>>::read(Type::String, Some(b"ab")), Some("ab"));
        assert_eq!(<Option<&str>>::read(Type::String, None), None);
        assert_eq!(<[i16; 2]>::read("2xi16".parse().unwrap(), Some(&[1, 0, 2, 0])), [1, 2]);
        assert_eq!(serde_json::Value::read(Type::Json, Some(b"[1]")), serde_json::json!([1]));
    }

    #[test]
    fn spellings_are_what_a_user_writes() {
        assert_eq!(spelling(Type::String, true), "Option<&str>");
        assert_eq!(spelling(Type::String, false), "str");
        assert_eq!(spelling("3xf32".parse().unwrap(), true), "Option<[f32; 3]>");
    }
}
