//! What users pass as keys.

use super::owned::Value;
use super::timestamp::Timestamp;
use super::types::Type;
use super::uuid::Uuid;
use super::value_ref::ValueRef;

mod sealed {
    pub trait Sealed {}
}

/// A key: one value, or a tuple or slice of values for a key of several columns.
///
/// Implemented for integers of all widths, `f32`, `f64`, `bool`, strings, bytes, [`Uuid`], [`Timestamp`], [`Value`],
/// [`ValueRef`], references to these, tuples of up to six, and slices, arrays and vectors of [`Value`]. Whether a key
/// suits a table is checked where it is used: integers convert, text parses for UUIDs and timestamps. An integer that the
/// column cannot hold is a key that no row has.
///
/// This trait is sealed.
pub trait ToKey: sealed::Sealed {
    /// The number of values.
    fn key_len(&self) -> usize {
        1
    }

    /// Calls `visit` with each value in order.
    fn visit_parts(&self, visit: &mut dyn FnMut(ValueRef<'_>));

    /// The key, if it is one integer that fits `u64`. The short way to a row by its id.
    #[inline(always)]
    fn as_u64(&self) -> Option<u64> {
        None
    }

    /// The key as a column of type `ty` has it, if that is an integer of eight bytes and the key one integer that fits.
    /// The shortest way to a row by an index.
    #[doc(hidden)]
    #[inline(always)]
    fn word_as(&self, ty: Type) -> Option<u64> {
        let _ = ty;
        None
    }

    /// The key's packed bytes, if it is one value that stands as a column of type `ty` as it is: text, bytes, a shorter
    /// integer that fits, for which `word` is the place. The short way to a row by an index; the long one converts the
    /// rest.
    #[doc(hidden)]
    #[inline(always)]
    fn packed_as<'k>(&'k self, ty: Type, word: &'k mut [u8; 8]) -> Option<&'k [u8]> {
        let _ = (ty, word);
        None
    }
}

/// See [`ToKey::word_as`].
#[inline(always)]
fn integer_word<T: TryInto<u64> + TryInto<i64>>(value: T, ty: Type) -> Option<u64> {
    match ty {
        Type::U64 => TryInto::<u64>::try_into(value).ok(),
        Type::I64 => TryInto::<i64>::try_into(value).ok().map(i64::cast_unsigned),
        _ => None,
    }
}

/// See [`ToKey::packed_as`].
#[inline(always)]
fn integer_as<T>(value: T, ty: Type, word: &mut [u8; 8]) -> Option<&[u8]>
where
    T: TryInto<u32> + TryInto<i32> + TryInto<u16> + TryInto<i16>,
{
    match ty {
        Type::U32 => put(word, TryInto::<u32>::try_into(value).ok()?.to_le_bytes()),
        Type::I32 => put(word, TryInto::<i32>::try_into(value).ok()?.to_le_bytes()),
        Type::U16 => put(word, TryInto::<u16>::try_into(value).ok()?.to_le_bytes()),
        Type::I16 => put(word, TryInto::<i16>::try_into(value).ok()?.to_le_bytes()),
        _ => None,
    }
}

#[inline(always)]
fn put<const BYTES: usize>(word: &mut [u8; 8], bytes: [u8; BYTES]) -> Option<&[u8]> {
    let place = word.get_mut(..BYTES)?;
    place.copy_from_slice(&bytes);
    Some(place)
}

impl<T: ToKey + ?Sized> sealed::Sealed for &T {}
impl<T: ToKey + ?Sized> ToKey for &T {
    #[inline(always)]
    fn key_len(&self) -> usize {
        (**self).key_len()
    }

    #[inline]
    fn visit_parts(&self, visit: &mut dyn FnMut(ValueRef<'_>)) {
        (**self).visit_parts(visit);
    }

    #[inline(always)]
    fn as_u64(&self) -> Option<u64> {
        (**self).as_u64()
    }

    #[inline(always)]
    fn word_as(&self, ty: Type) -> Option<u64> {
        (**self).word_as(ty)
    }

    #[inline(always)]
    fn packed_as<'k>(&'k self, ty: Type, word: &'k mut [u8; 8]) -> Option<&'k [u8]> {
        (**self).packed_as(ty, word)
    }
}

macro_rules! integer_key {
    ($($ty:ty),*) => {$(
        impl sealed::Sealed for $ty {}
        impl ToKey for $ty {
            #[inline]
            fn visit_parts(&self, visit: &mut dyn FnMut(ValueRef<'_>)) {
                visit(ValueRef::from(*self));
            }

            #[inline(always)]
            fn as_u64(&self) -> Option<u64> {
                u64::try_from(*self).ok()
            }

            #[inline(always)]
            fn word_as(&self, ty: Type) -> Option<u64> {
                integer_word(*self, ty)
            }

            #[inline(always)]
            fn packed_as<'k>(&'k self, ty: Type, word: &'k mut [u8; 8]) -> Option<&'k [u8]> {
                integer_as(*self, ty, word)
            }
        }
    )*};
}

integer_key!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! wide_integer_key {
    ($($ty:ty as $as:ty),*) => {$(
        impl sealed::Sealed for $ty {}
        impl ToKey for $ty {
            #[inline]
            fn visit_parts(&self, visit: &mut dyn FnMut(ValueRef<'_>)) {
                visit(ValueRef::from(*self as $as));
            }

            #[inline(always)]
            fn as_u64(&self) -> Option<u64> {
                u64::try_from(*self).ok()
            }

            #[inline(always)]
            fn word_as(&self, ty: Type) -> Option<u64> {
                integer_word(*self, ty)
            }

            #[inline(always)]
            fn packed_as<'k>(&'k self, ty: Type, word: &'k mut [u8; 8]) -> Option<&'k [u8]> {
                integer_as(*self, ty, word)
            }
        }
    )*};
}

wide_integer_key!(usize as u64, isize as i64);

macro_rules! plain_key {
    ($($ty:ty: $self:ident => $value:expr),* $(,)?) => {$(
        impl sealed::Sealed for $ty {}
        impl ToKey for $ty {
            #[inline]
            fn visit_parts(&$self, visit: &mut dyn FnMut(ValueRef<'_>)) {
                visit($value);
            }
        }
    )*};
}

plain_key!(
    bool: self => ValueRef::Bool(*self),
    f32: self => ValueRef::Float((*self).into()),
    f64: self => ValueRef::Float(*self),
    Uuid: self => ValueRef::Uuid(*self),
    Timestamp: self => ValueRef::Timestamp(*self),
);

macro_rules! raw_key {
    ($($ty:ty: $self:ident => $value:ident($bytes:expr) as $column:ident),* $(,)?) => {$(
        impl sealed::Sealed for $ty {}
        impl ToKey for $ty {
            #[inline]
            fn visit_parts(&$self, visit: &mut dyn FnMut(ValueRef<'_>)) {
                visit(ValueRef::$value($self));
            }

            #[inline(always)]
            fn packed_as<'k>(&'k $self, ty: Type, _: &'k mut [u8; 8]) -> Option<&'k [u8]> {
                (ty == Type::$column).then_some($bytes)
            }
        }
    )*};
}

raw_key!(
    str: self => Str(self.as_bytes()) as String,
    String: self => Str(self.as_bytes()) as String,
    [u8]: self => Bytes(self) as Bytes,
    Vec<u8>: self => Bytes(self) as Bytes,
);

impl sealed::Sealed for ValueRef<'_> {}
impl ToKey for ValueRef<'_> {
    #[inline]
    fn visit_parts(&self, visit: &mut dyn FnMut(ValueRef<'_>)) {
        visit(*self);
    }

    #[inline]
    fn as_u64(&self) -> Option<u64> {
        match self {
            ValueRef::UInt(value) => Some(*value),
            ValueRef::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    #[inline]
    fn word_as(&self, ty: Type) -> Option<u64> {
        match self {
            ValueRef::UInt(value) => integer_word(*value, ty),
            ValueRef::Int(value) => integer_word(*value, ty),
            _ => None,
        }
    }

    #[inline]
    fn packed_as<'k>(&'k self, ty: Type, word: &'k mut [u8; 8]) -> Option<&'k [u8]> {
        match (ty, self) {
            (Type::String, ValueRef::Str(text)) => Some(text.as_bytes()),
            (Type::Bytes, ValueRef::Bytes(bytes)) => Some(bytes),
            (ty, ValueRef::UInt(value)) => integer_as(*value, ty, word),
            (ty, ValueRef::Int(value)) => integer_as(*value, ty, word),
            _ => None,
        }
    }
}

impl sealed::Sealed for Value {}
impl ToKey for Value {
    #[inline]
    fn visit_parts(&self, visit: &mut dyn FnMut(ValueRef<'_>)) {
        visit(self.as_ref());
    }

    #[inline]
    fn as_u64(&self) -> Option<u64> {
        self.as_ref().as_u64()
    }
}

impl sealed::Sealed for [Value] {}
impl ToKey for [Value] {
    #[inline]
    fn key_len(&self) -> usize {
        self.len()
    }

    #[inline]
    fn visit_parts(&self, visit: &mut dyn FnMut(ValueRef<'_>)) {
        self.iter().for_each(|value| visit(value.as_ref()));
    }

    #[inline]
    fn as_u64(&self) -> Option<u64> {
        match self {
            [value] => value.as_u64(),
            _ => None,
        }
    }
}

macro_rules! list_key {
    ($([$($generics:tt)*] $ty:ty),*) => {$(
        impl<$($generics)*> sealed::Sealed for $ty {}
        impl<$($generics)*> ToKey for $ty {
            #[inline]
            fn key_len(&self) -> usize {
                self.len()
            }

            #[inline]
            fn visit_parts(&self, visit: &mut dyn FnMut(ValueRef<'_>)) {
                self.as_slice().visit_parts(visit);
            }

            #[inline]
            fn as_u64(&self) -> Option<u64> {
                self.as_slice().as_u64()
            }
        }
    )*};
}

list_key!([] Vec<Value>, [const N: usize] [Value; N]);

macro_rules! tuple_key {
    ($first:ident $(, $name:ident)*) => {
        impl<$first: ToKey $(, $name: ToKey)*> sealed::Sealed for ($first, $($name,)*) {}
        impl<$first: ToKey $(, $name: ToKey)*> ToKey for ($first, $($name,)*) {
            #[inline]
            #[allow(non_snake_case)] // the type's name is the variable's
            fn key_len(&self) -> usize {
                let ($first, $($name,)*) = self;
                $first.key_len() $(+ $name.key_len())*
            }

            #[inline]
            #[allow(non_snake_case)]
            fn visit_parts(&self, visit: &mut dyn FnMut(ValueRef<'_>)) {
                let ($first, $($name,)*) = self;
                $first.visit_parts(visit);
                $($name.visit_parts(visit);)*
            }

            #[inline(always)]
            #[allow(non_snake_case)]
            fn as_u64(&self) -> Option<u64> {
                if self.key_len() != 1 {
                    return None;
                }
                let ($first, $($name,)*) = self;
                // Beside the one value there are empty lists, which are no number.
                $first.as_u64() $(.or_else(|| $name.as_u64()))*
            }
        }
    };
}

tuple_key!(A);
tuple_key!(A, B);
tuple_key!(A, B, C);
tuple_key!(A, B, C, D);
tuple_key!(A, B, C, D, E);
tuple_key!(A, B, C, D, E, F);

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(key: impl ToKey) -> Vec<Value> {
        let mut parts = Vec::new();
        key.visit_parts(&mut |part| parts.push(part.to_owned()));
        assert_eq!(parts.len(), key.key_len());
        parts
    }

    #[test]
    fn keys_give_their_parts() {
        assert_eq!(parts(42u64), [Value::UInt(42)]);
        assert_eq!(parts("a"), parts(String::from("a")));
        assert_eq!(parts((1i32, "b")), [Value::Int(1), Value::from("b")]);
        assert_eq!(parts([Value::from(1), Value::from(true)].as_slice()).len(), 2);
        assert_eq!((7i8.as_u64(), (-7i8).as_u64(), "7".as_u64()), (Some(7), None, None));
        assert_eq!(((5u8,).as_u64(), (5u8, 6u8).as_u64(), Value::from(5).as_u64()), (Some(5), None, Some(5)));
    }
}
