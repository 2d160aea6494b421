//! Checks: named conditions on a column's values or on whole rows.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use crate::value::{
    Columns, Readable, RowError, RowErrorKind, Shape, Timestamp, Type, Uuid, Value, ValueRef, spelling,
};

mod sealed {
    pub trait Sealed {}
}

/// The Rust type as which the checks of a column see its values: see the constructors of [`Column`](super::Column).
///
/// This trait is sealed.
pub trait CheckType: sealed::Sealed {
    /// Calls `test` with the value in these packed bytes of a column of type `ty`, and answers what it does.
    fn test(ty: Type, bytes: &[u8], test: &dyn Fn(&Self) -> bool) -> bool;
}

macro_rules! by_value {
    ($($ty:ty),*) => {$(
        impl sealed::Sealed for $ty {}
        impl CheckType for $ty {
            #[inline]
            fn test(ty: Type, bytes: &[u8], test: &dyn Fn(&Self) -> bool) -> bool {
                test(&<$ty as Readable>::read(ty, Some(bytes)))
            }
        }
    )*};
}

macro_rules! by_reference {
    ($($ty:ty),*) => {$(
        impl sealed::Sealed for $ty {}
        impl CheckType for $ty {
            #[inline]
            fn test(ty: Type, bytes: &[u8], test: &dyn Fn(&Self) -> bool) -> bool {
                test(<$ty as Readable>::read(ty, Some(bytes)))
            }
        }
    )*};
}

by_value!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, bool, Uuid, Timestamp, serde_json::Value);
by_reference!(str, [u8]);

impl sealed::Sealed for Value {}
impl CheckType for Value {
    fn test(ty: Type, bytes: &[u8], test: &dyn Fn(&Value) -> bool) -> bool {
        test(&ty.unpack(bytes).to_owned())
    }
}

/// A row as a row's check sees it, before it is stored: with its defaults, and with the number that it will be given.
pub struct CheckRow<'a> {
    shape: &'a Shape,
    row: &'a dyn Columns,
    /// The first column that was asked for and is not there, or not of that type.
    wrong: RefCell<Option<RowError>>,
}

impl<'a> CheckRow<'a> {
    pub(crate) fn new(shape: &'a Shape, row: &'a dyn Columns) -> CheckRow<'a> {
        CheckRow { shape, row, wrong: RefCell::default() }
    }

    /// What the check has asked for in vain. Its answer then means nothing.
    pub(crate) fn take_wrong(&self) -> Option<RowError> {
        self.wrong.take()
    }

    /// The value of a column, as in `row.get::<f64>("gpa")`; [`Readable`] says which types read which columns. `None` if it
    /// is null.
    ///
    /// If the table has no such column, or not one of that type, the answer is `None` as well, and the write that is being
    /// checked fails, whatever the check says: with [`Error::NoSuchColumn`](crate::Error::NoSuchColumn) or
    /// [`Error::WrongHandle`](crate::Error::WrongHandle).
    pub fn get<T: Readable + ?Sized>(&self, column: &str) -> Option<T::Ref<'_>> {
        let (index, ty) = self.column(column)?;
        if !T::accepts(ty, false) {
            let (requested, expected) = (T::expected().into(), spelling(ty, false).into());
            self.note(RowError::at(column, RowErrorKind::WrongHandle { requested, expected }));
            return None;
        }
        Some(T::read(ty, Some(self.row.column_bytes(index)?)))
    }

    /// The value of a column whatever its type. If the table has no such column it is null, and the write fails as with
    /// [`get`](CheckRow::get).
    pub fn value(&self, column: &str) -> ValueRef<'_> {
        let Some((index, ty)) = self.column(column) else { return ValueRef::Null };
        self.row.column_bytes(index).map_or(ValueRef::Null, |bytes| ty.unpack(bytes))
    }

    fn column(&self, name: &str) -> Option<(usize, Type)> {
        let found = self.shape.column_index(name).and_then(|index| Some((index, self.shape.column(index)?.ty)));
        if found.is_none() {
            let similar = self.shape.similar_column(name).map(Into::into);
            self.note(RowError::at(name, RowErrorKind::NoSuchColumn { similar }));
        }
        found
    }

    fn note(&self, error: RowError) {
        self.wrong.borrow_mut().get_or_insert(error);
    }
}

impl fmt::Display for CheckRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, column) in self.shape.columns().iter().enumerate() {
            write!(f, "{}{}: {}", if index == 0 { " " } else { ", " }, column.name, self.value(&column.name))?;
        }
        f.write_str(" }")
    }
}

impl fmt::Debug for CheckRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A named condition. Without its closure, as in a schema read from JSON, no row can be stored in its table.
pub(crate) struct Check<F: ?Sized> {
    pub(crate) name: Box<str>,
    pub(crate) test: Option<Arc<F>>,
}

/// A condition on one column's packed value.
pub(crate) type ColumnCheck = Check<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// A condition on a row.
pub(crate) type RowCheck = Check<dyn Fn(&CheckRow<'_>) -> bool + Send + Sync>;

impl<F: ?Sized> Clone for Check<F> {
    fn clone(&self) -> Self {
        Check { name: self.name.clone(), test: self.test.clone() }
    }
}

impl<F: ?Sized> fmt::Debug for Check<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({:?})", self.name)
    }
}
