//! What users pass as keys.

use super::owned::Value;
use super::timestamp::Timestamp;
use super::uuid::Uuid;
use super::value_ref::ValueRef;

mod sealed {
    pub trait Sealed {}
}

/// A key: one value, or a tuple or slice of values for a key of several columns.
///
/// Implemented for integers of all widths, `f32`, `f64`, `bool`, strings, bytes, [`Uuid`], [`Timestamp`], [`Value`],
/// [`ValueRef`], references to these, tuples of up to six, and slices, arrays and vectors of [`Value`]. Whether a key
/// suits a table is checked where it is used: integers convert if they fit, text parses for UUIDs and timestamps.
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
    str: self => ValueRef::Str(self),
    String: self => ValueRef::Str(self),
    [u8]: self => ValueRef::Bytes(self),
    Vec<u8>: self => ValueRef::Bytes(self),
    Uuid: self => ValueRef::Uuid(*self),
    Timestamp: self => ValueRef::Timestamp(*self),
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
            fn as_u64(&self) -> Option<u64> {
                if self.key_len() == 1 { self.0.as_u64() } else { None }
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
