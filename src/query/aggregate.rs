//! Aggregates: what a set of rows comes to in a column.

use super::accumulate::{Accumulator, What};
use super::condition::{check_ordered, column_of};
use super::execute::Execution;
use super::number::Number;
use super::order::{self, OrderTerm};
use super::page::PageRows;
use super::pick::ReadOwned;
use super::plan::Limits;
use super::predicate::Handle;
use super::select::Select;
use super::words::zeros_alike;
use crate::error::{Error, Result};
use crate::table::definition::{IndexKind, IndexPlan, TableDef};
use crate::table::row::Field;
use std::marker::PhantomData;
use std::ops::ControlFlow;

mod sealed {
    pub trait Sealed {}
}

/// What to compute for each group: [`count()`], [`Field::sum`], [`Field::avg`], [`Field::min`], [`Field::max`], or a
/// tuple of up to eight of these, all computed in one pass.
///
/// This trait is sealed.
pub trait Aggregate: sealed::Sealed {
    /// What comes of a group.
    type Output;

    /// What to gather, in order.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn wants(&self) -> Vec<(What, Option<Handle>)>;

    /// The answer for one group; `gathered` gives what was gathered, in the order of [`Aggregate::wants`].
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn answer(&self, gathered: &mut dyn FnMut() -> Gathered) -> Result<Self::Output>;
}

/// One aggregate of one group.
pub(crate) enum Gathered {
    Count(u64),
    Integer {
        sum: i128,
        count: u64,
    },
    Float {
        sum: f64,
        count: u64,
    },
    /// Packed bytes of the extreme; `None` if there was no value.
    Extreme(Option<Vec<u8>>),
}

/// See [`count()`].
#[derive(Debug, Clone, Copy)]
pub struct Count(());

/// The number of rows in a group, nulls or not.
pub fn count() -> Count {
    Count(())
}

/// See [`Field::sum`].
#[derive(Debug, Clone, Copy)]
pub struct Sum<T: ?Sized>(Field<T>, PhantomData<fn() -> Box<T>>);

/// See [`Field::avg`].
#[derive(Debug, Clone, Copy)]
pub struct Avg<T: ?Sized>(Field<T>, PhantomData<fn() -> Box<T>>);

/// See [`Field::min`].
#[derive(Debug, Clone, Copy)]
pub struct Min<T: ?Sized>(Field<T>, PhantomData<fn() -> Box<T>>);

/// See [`Field::max`].
#[derive(Debug, Clone, Copy)]
pub struct Max<T: ?Sized>(Field<T>, PhantomData<fn() -> Box<T>>);

/// Aggregates, for [`Groups::aggregate`](crate::Groups::aggregate). Nulls count for none of them.
impl<T: ReadOwned + ?Sized> Field<T> {
    /// The sum: exact as `i64` or `u64` of integers, `f64` of floats, 0 of nothing.
    pub fn sum(self) -> Sum<T>
    where
        T: Number,
    {
        Sum(self, PhantomData)
    }

    /// The mean, as `f64`; for a nullable column `Option<f64>`.
    pub fn avg(self) -> Avg<T>
    where
        T: Number,
    {
        Avg(self, PhantomData)
    }

    /// The least value; NaN is above all, and a zero has no sign. A `json` column has no order:
    /// [`Error::InvalidQuery`](crate::Error::InvalidQuery).
    pub fn min(self) -> Min<T> {
        Min(self, PhantomData)
    }

    /// The greatest value; as [`min`](Field::min).
    pub fn max(self) -> Max<T> {
        Max(self, PhantomData)
    }
}

impl sealed::Sealed for Count {}
#[allow(private_interfaces)]
impl Aggregate for Count {
    type Output = u64;

    fn wants(&self) -> Vec<(What, Option<Handle>)> {
        vec![(What::Count, None)]
    }

    fn answer(&self, gathered: &mut dyn FnMut() -> Gathered) -> Result<u64> {
        match gathered() {
            Gathered::Count(count) => Ok(count),
            _ => Ok(0),
        }
    }
}

fn sum_of<T: Number>(gathered: Gathered) -> Result<T::Sum> {
    let (sum, whole) = match gathered {
        Gathered::Integer { sum, .. } => (T::of_integer(sum), sum),
        Gathered::Float { sum, .. } => (T::of_float(sum), 0),
        _ => (T::of_integer(0), 0),
    };
    sum.ok_or_else(|| Error::InvalidQuery { message: format!("the sum, {whole}, does not fit 64 bits").into() })
}

fn mean_of(gathered: &Gathered) -> Option<f64> {
    match *gathered {
        Gathered::Integer { sum, count } if count > 0 => Some(sum as f64 / count as f64),
        Gathered::Float { sum, count } if count > 0 => Some(sum / count as f64),
        _ => None,
    }
}

macro_rules! aggregate {
    ($($name:ident $bound:ident $self:ident $gathered:ident => $output:ty, $answer:expr;)*) => {$(
        impl<T: $bound + ?Sized> sealed::Sealed for $name<T> {}
        #[allow(private_interfaces)]
        impl<T: $bound + ?Sized> Aggregate for $name<T> {
            type Output = $output;

            fn wants(&self) -> Vec<(What, Option<Handle>)> {
                vec![(What::$name, Some(self.0.into()))]
            }

            fn answer(&$self, gathered: &mut dyn FnMut() -> Gathered) -> Result<$output> {
                let $gathered = gathered();
                $answer
            }
        }
    )*};
}

fn extreme(gathered: Gathered) -> Option<Vec<u8>> {
    match gathered {
        Gathered::Extreme(bytes) => bytes,
        _ => None,
    }
}

aggregate!(
    Min ReadOwned self gathered => T::Owned, Ok(T::read_owned(self.0.ty, extreme(gathered).as_deref()));
    Max ReadOwned self gathered => T::Owned, Ok(T::read_owned(self.0.ty, extreme(gathered).as_deref()));
);

impl<T: Number> sealed::Sealed for Sum<T> {}
#[allow(private_interfaces)]
impl<T: Number> Aggregate for Sum<T> {
    type Output = T::Sum;

    fn wants(&self) -> Vec<(What, Option<Handle>)> {
        vec![(What::Sum, Some(self.0.into()))]
    }

    fn answer(&self, gathered: &mut dyn FnMut() -> Gathered) -> Result<T::Sum> {
        sum_of::<T>(gathered())
    }
}

impl<T: Number> sealed::Sealed for Avg<T> {}
#[allow(private_interfaces)]
impl<T: Number> Aggregate for Avg<T> {
    type Output = T::Mean;

    fn wants(&self) -> Vec<(What, Option<Handle>)> {
        vec![(What::Sum, Some(self.0.into()))]
    }

    fn answer(&self, gathered: &mut dyn FnMut() -> Gathered) -> Result<T::Mean> {
        Ok(T::mean(mean_of(&gathered())))
    }
}

macro_rules! tuple {
    ($($name:ident)*) => {
        impl<$($name: Aggregate),*> sealed::Sealed for ($($name,)*) {}
        #[allow(private_interfaces, non_snake_case)] // the type's name is the variable's
        impl<$($name: Aggregate),*> Aggregate for ($($name,)*) {
            type Output = ($($name::Output,)*);

            fn wants(&self) -> Vec<(What, Option<Handle>)> {
                let ($($name,)*) = self;
                let mut all = Vec::new();
                $(all.extend($name.wants());)*
                all
            }

            fn answer(&self, gathered: &mut dyn FnMut() -> Gathered) -> Result<Self::Output> {
                let ($($name,)*) = self;
                Ok(($($name.answer(gathered)?,)*))
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

impl Select<'_> {
    /// The sum of a column; 0 of nothing. Nulls count for nothing. Integers are summed exactly, as `i64` or `u64`.
    ///
    /// Floats are rounded as they are added, and so the order of additions shows. There are four sums, of the rows whose
    /// ids leave 0, 1, 2 and 3 when divided by four, and then the sum of those. In each the order is that of the row ids,
    /// or, where a limit, an offset or [`distinct`](Select::distinct) makes the order decide which rows there are, that of
    /// the query. An index never makes a difference, nor do other rows.
    ///
    /// # Errors
    /// Of the query, see [`Select`]; [`Error::InvalidQuery`] if the sum does not fit.
    pub fn sum<T: Number>(&self, field: Field<T>) -> Result<T::Sum> {
        sum_of::<T>(self.gather(What::Sum, field.into())?)
    }

    /// The mean of a column; `None` if no row has a value.
    ///
    /// # Errors
    /// Of the query, see [`Select`].
    pub fn avg<T: Number>(&self, field: Field<T>) -> Result<Option<f64>> {
        Ok(mean_of(&self.gather(What::Sum, field.into())?))
    }

    pub(super) fn extreme<T: ReadOwned + ?Sized>(&self, field: Field<T>, greatest: bool) -> Result<Option<T::Bare>> {
        let found = self.packed_extreme(field.retyped(), greatest)?;
        Ok(found.map(|bytes| T::read_bare(field.ty, &bytes)))
    }

    fn packed_extreme(&self, field: Field<()>, greatest: bool) -> Result<Option<Vec<u8>>> {
        if let Some(first) = self.first_in_index(field, greatest)? {
            return Ok(first);
        }
        let what = if greatest { What::Max } else { What::Min };
        self.gather(what, field.into()).map(extreme)
    }

    /// The end of an ordered index or of the rows, in a query of all rows; `None` if that is not where the answer is.
    fn first_in_index(&self, field: Field<()>, greatest: bool) -> Result<Option<Option<Vec<u8>>>> {
        let Some(first) = self.end_of_index(field, greatest)? else { return Ok(None) };
        let found = first.map(|row| row.packed(field).map(|bytes| zeros_alike(field.ty, bytes)))?;
        Ok(Some(found.into_iter().next().flatten()))
    }

    /// A query for the row at the end of an ordered index that begins with the column, or of the rows if it is their id.
    pub(super) fn end_of_index(&self, field: Field<()>, greatest: bool) -> Result<Option<Select<'_>>> {
        let is_all =
            self.filters.is_empty() && self.limits.offset == 0 && self.limits.limit.is_none() && !self.distinct;
        let opened = self.open()?;
        let (column, _) = column_of(opened.def, field.into())?;
        // They make no difference, but are wrong or not whatever the query is answered from.
        self.projection(&opened)?;
        order::resolve(opened.def, &self.order)?;
        let is_ordered = |plan: &&IndexPlan| {
            matches!(plan.kind, IndexKind::OrderedWord | IndexKind::OrderedBytes)
                && plan.columns.first() == Some(&column)
        };
        if !is_all {
            return Ok(None);
        }
        let (columns, filters) = if opened.def.row_id == Some(column) {
            (&[column][..], Vec::new())
        } else {
            let shortest = opened.def.indexes.iter().filter(is_ordered).min_by_key(|plan| plan.columns.len());
            let Some(plan) = shortest else { return Ok(None) };
            (&*plan.columns, vec![field.is_not_null()])
        };
        let order = columns.iter().map(|&column| OrderTerm::in_index(opened.def, column, greatest)).collect();
        Ok(Some(Select {
            source: self.source,
            filters,
            order,
            limits: Limits { offset: 0, limit: Some(1) },
            columns: None,
            distinct: false,
        }))
    }

    fn gather(&self, what: What, handle: Handle) -> Result<Gathered> {
        let opened = self.open()?;
        let mut accumulator = accumulator(opened.def, what, Some(handle))?;
        accumulator.grow(1);
        let (column, _) = column_of(opened.def, handle)?;
        let chosen = self.projection(&opened)?;
        Execution::new(self, &opened, chosen.as_deref())?.reading(Some(&[column])).in_any_order().run(
            &mut |rows: &PageRows<'_>, mask| {
                accumulator.add_all(rows, mask);
                ControlFlow::Continue(())
            },
        )?;
        Ok(accumulator.gathered(0))
    }
}

/// What gathers one aggregate.
pub(super) fn accumulator(def: &TableDef, what: What, handle: Option<Handle>) -> Result<Accumulator> {
    let column = match handle {
        Some(handle) => {
            let (column, ty) = column_of(def, handle)?;
            if matches!(what, What::Min | What::Max) {
                check_ordered(def, (column, ty))?;
            }
            def.layout.column(column).copied()
        }
        None => None,
    };
    Ok(Accumulator::new(what, column))
}
