//! Columns taken out of rows as owned values: a handle, or a tuple of handles.

use super::predicate::Handle;
use crate::table::row::{Field, Row};
use crate::value::{Readable, Timestamp, Type, Uuid};

mod sealed {
    pub trait Sealed {}
}

/// A type that a column is read as, and what a read leaves when the row is gone: `str` leaves a `String`, numbers and
/// the like leave themselves.
///
/// Every [`Readable`] has it. This trait is sealed.
pub trait ReadOwned: Readable {
    /// What a read leaves: `String` of `str`, `Option<String>` of `Option<&str>`, `f64` of `f64`.
    type Owned;
    /// The same of a value that is not null: `String` of `Option<&str>`.
    type Bare;

    /// Reads packed bytes, `None` if null. Total, as [`Readable::read`] is.
    fn read_owned(ty: Type, bytes: Option<&[u8]>) -> Self::Owned;

    /// Reads packed bytes that are not null.
    fn read_bare(ty: Type, bytes: &[u8]) -> Self::Bare;
}

macro_rules! owned {
    ($([$($generics:tt)*] $ty:ty => $owned:ty, $value:ident: $own:expr;)*) => {$(
        impl<$($generics)*> ReadOwned for $ty
        where
            $ty: for<'x> Readable,
        {
            type Owned = $owned;
            type Bare = $owned;

            #[inline]
            fn read_owned(ty: Type, bytes: Option<&[u8]>) -> $owned {
                let $value = <$ty as Readable>::read(ty, bytes);
                $own
            }

            #[inline]
            fn read_bare(ty: Type, bytes: &[u8]) -> $owned {
                Self::read_owned(ty, Some(bytes))
            }
        }
    )*};
}

owned!(
    [] i8 => i8, value: value;
    [] i16 => i16, value: value;
    [] i32 => i32, value: value;
    [] i64 => i64, value: value;
    [] u8 => u8, value: value;
    [] u16 => u16, value: value;
    [] u32 => u32, value: value;
    [] u64 => u64, value: value;
    [] f32 => f32, value: value;
    [] f64 => f64, value: value;
    [] bool => bool, value: value;
    [] Uuid => Uuid, value: value;
    [] Timestamp => Timestamp, value: value;
    [] serde_json::Value => serde_json::Value, value: value;
    [] str => String, value: value.to_owned();
    [] &'static str => String, value: value.to_owned();
    [] String => String, value: value.to_owned();
    [] [u8] => Vec<u8>, value: value.to_owned();
    [] &'static [u8] => Vec<u8>, value: value.to_owned();
    [] Vec<u8> => Vec<u8>, value: value.to_owned();
);

impl<T, const N: usize> ReadOwned for [T; N]
where
    [T; N]: for<'x> Readable<Ref<'x> = [T; N]>,
{
    type Owned = [T; N];
    type Bare = [T; N];

    #[inline]
    fn read_owned(ty: Type, bytes: Option<&[u8]>) -> [T; N] {
        Self::read(ty, bytes)
    }

    #[inline]
    fn read_bare(ty: Type, bytes: &[u8]) -> [T; N] {
        Self::read(ty, Some(bytes))
    }
}

impl<T: ReadOwned> ReadOwned for Option<T> {
    type Owned = Option<T::Owned>;
    type Bare = T::Bare;

    #[inline]
    fn read_owned(ty: Type, bytes: Option<&[u8]>) -> Option<T::Owned> {
        bytes.map(|bytes| T::read_owned(ty, Some(bytes)))
    }

    #[inline]
    fn read_bare(ty: Type, bytes: &[u8]) -> T::Bare {
        T::read_bare(ty, bytes)
    }
}

/// Columns to take out of rows: a [`Field`], or a tuple of up to eight.
///
/// This trait is sealed.
pub trait Pick: sealed::Sealed {
    /// The value, or the tuple of values.
    type Output;

    /// The columns in order.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn handles(&self) -> Vec<Handle>;

    /// The values in a row.
    #[doc(hidden)]
    fn of_row(&self, row: &Row<'_>) -> Self::Output;

    /// The values from packed bytes, by the column's place among [`Pick::handles`].
    #[doc(hidden)]
    fn of_parts(&self, parts: &mut dyn FnMut() -> Option<Vec<u8>>) -> Self::Output;
}

impl<T: ?Sized> sealed::Sealed for Field<T> {}

impl<T: ReadOwned + ?Sized> Pick for Field<T> {
    type Output = T::Owned;

    #[allow(private_interfaces)]
    fn handles(&self) -> Vec<Handle> {
        vec![(*self).into()]
    }

    #[inline]
    fn of_row(&self, row: &Row<'_>) -> T::Owned {
        T::read_owned(self.ty, row.packed(*self))
    }

    fn of_parts(&self, parts: &mut dyn FnMut() -> Option<Vec<u8>>) -> T::Owned {
        T::read_owned(self.ty, parts().as_deref())
    }
}

macro_rules! tuple {
    ($($name:ident)*) => {
        impl<$($name: Pick),*> sealed::Sealed for ($($name,)*) {}
        impl<$($name: Pick),*> Pick for ($($name,)*) {
            type Output = ($($name::Output,)*);

            #[allow(private_interfaces, non_snake_case)] // the type's name is the variable's
            fn handles(&self) -> Vec<Handle> {
                let ($($name,)*) = self;
                let mut all = Vec::new();
                $(all.extend($name.handles());)*
                all
            }

            #[inline]
            #[allow(non_snake_case)]
            fn of_row(&self, row: &Row<'_>) -> Self::Output {
                let ($($name,)*) = self;
                ($($name.of_row(row),)*)
            }

            #[allow(non_snake_case)]
            fn of_parts(&self, parts: &mut dyn FnMut() -> Option<Vec<u8>>) -> Self::Output {
                let ($($name,)*) = self;
                ($($name.of_parts(parts),)*)
            }
        }
    };
}

tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
tuple!(A B C D E);
tuple!(A B C D E F);
tuple!(A B C D E F G);
tuple!(A B C D E F G H);
