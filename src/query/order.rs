//! The order of a query's rows: terms as users write them, and what they mean for a table.

use super::condition::{check_ordered, column_of};
use super::predicate::Handle;
use crate::error::Result;
use crate::table::definition::TableDef;
use crate::table::row::Field;
use crate::value::Type;

mod sealed {
    pub trait Sealed {}
}

/// One column to order by, from [`Field::asc`] or [`Field::desc`].
///
/// Nulls come last unless [`nulls_first`](OrderTerm::nulls_first) says otherwise, whichever way the values go. Floats
/// go by number, NaN above all.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct OrderTerm {
    column: Handle,
    descending: bool,
    nulls_first: bool,
}

impl OrderTerm {
    /// Nulls before all values.
    pub fn nulls_first(mut self) -> Self {
        self.nulls_first = true;
        self
    }

    /// Nulls behind all values, which is the default.
    pub fn nulls_last(mut self) -> Self {
        self.nulls_first = false;
        self
    }

    /// The column as an ordered index has it: nulls below all values.
    pub(super) fn in_index(def: &TableDef, column: usize, descending: bool) -> Self {
        let column = Handle { table: def.table, index: column as u32 };
        Self { column, descending, nulls_first: !descending }
    }
}

/// Orders for [`Select::order_by`](crate::Select::order_by).
impl<T: ?Sized> Field<T> {
    /// From the least value to the greatest.
    pub fn asc(self) -> OrderTerm {
        OrderTerm { column: self.into(), descending: false, nulls_first: false }
    }

    /// From the greatest value to the least.
    pub fn desc(self) -> OrderTerm {
        OrderTerm { column: self.into(), descending: true, nulls_first: false }
    }
}

/// What rows can be ordered by: an [`OrderTerm`], a [`Field`] (which means ascending), or a tuple of up to six of
/// these, of which a later one decides among rows that are equal in the earlier ones.
///
/// This trait is sealed.
pub trait IntoOrder: sealed::Sealed {
    /// The terms, the most significant first.
    fn into_order(self) -> Vec<OrderTerm>;
}

impl sealed::Sealed for OrderTerm {}
impl IntoOrder for OrderTerm {
    fn into_order(self) -> Vec<OrderTerm> {
        vec![self]
    }
}

impl<T: ?Sized> sealed::Sealed for Field<T> {}
impl<T: ?Sized> IntoOrder for Field<T> {
    fn into_order(self) -> Vec<OrderTerm> {
        vec![self.asc()]
    }
}

impl sealed::Sealed for Vec<OrderTerm> {}
impl IntoOrder for Vec<OrderTerm> {
    fn into_order(self) -> Vec<OrderTerm> {
        self
    }
}

macro_rules! tuple {
    ($($name:ident)*) => {
        impl<$($name: IntoOrder),*> sealed::Sealed for ($($name,)*) {}
        impl<$($name: IntoOrder),*> IntoOrder for ($($name,)*) {
            #[allow(non_snake_case)] // the type's name is the variable's
            fn into_order(self) -> Vec<OrderTerm> {
                let ($($name,)*) = self;
                let mut all = Vec::new();
                $(all.extend($name.into_order());)*
                all
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

/// A term that fits its table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Term {
    pub(super) column: usize,
    pub(super) ty: Type,
    pub(super) nullable: bool,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

/// Resolves the terms; one that repeats a column decides nothing and is left out.
pub(super) fn resolve(def: &TableDef, terms: &[OrderTerm]) -> Result<Vec<Term>> {
    let mut resolved: Vec<Term> = Vec::with_capacity(terms.len());
    for term in terms {
        let (column, ty) = column_of(def, term.column)?;
        check_ordered(def, (column, ty))?;
        if resolved.iter().any(|earlier| earlier.column == column) {
            continue;
        }
        let nullable = def.layout.column(column).is_some_and(|column| column.nulls.is_some());
        resolved.push(Term { column, ty, nullable, descending: term.descending, nulls_first: term.nulls_first });
    }
    Ok(resolved)
}
