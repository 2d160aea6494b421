//! Columns that can be added up.

use super::pick::ReadOwned;

mod sealed {
    pub trait Sealed {}
}

/// A column type that can be summed and averaged: the integers, the floats, and `Option` of these.
///
/// Sums of integers are exact: signed ones come as `i64`, unsigned ones as `u64`, and a sum that does not fit is an
/// error. Sums of floats are `f64`.
///
/// This trait is sealed.
pub trait Number: ReadOwned + sealed::Sealed {
    /// What a sum is: `i64`, `u64` or `f64`.
    type Sum;
    /// What the average of a group is: `f64`, or `Option<f64>` of a nullable column, whose group may have none.
    type Mean;

    #[doc(hidden)]
    fn of_integer(sum: i128) -> Option<Self::Sum>;
    #[doc(hidden)]
    fn of_float(sum: f64) -> Option<Self::Sum>;
    #[doc(hidden)]
    fn mean(mean: Option<f64>) -> Self::Mean;
}

macro_rules! number {
    ($($ty:ty as $sum:ty, $sum_int:ident => $integer:expr, $sum_float:ident => $float:expr;)*) => {$(
        impl sealed::Sealed for $ty {}
        impl Number for $ty {
            type Sum = $sum;
            type Mean = f64;

            fn of_integer($sum_int: i128) -> Option<$sum> {
                $integer
            }

            fn of_float($sum_float: f64) -> Option<$sum> {
                $float
            }

            fn mean(mean: Option<f64>) -> f64 {
                // A group has a row, and a column without nulls a value in it.
                mean.unwrap_or(f64::NAN)
            }
        }
    )*};
}

number!(
    i8 as i64, sum => sum.try_into().ok(), _sum => None;
    i16 as i64, sum => sum.try_into().ok(), _sum => None;
    i32 as i64, sum => sum.try_into().ok(), _sum => None;
    i64 as i64, sum => sum.try_into().ok(), _sum => None;
    u8 as u64, sum => sum.try_into().ok(), _sum => None;
    u16 as u64, sum => sum.try_into().ok(), _sum => None;
    u32 as u64, sum => sum.try_into().ok(), _sum => None;
    u64 as u64, sum => sum.try_into().ok(), _sum => None;
    f32 as f64, sum => Some(sum as f64), sum => Some(sum);
    f64 as f64, sum => Some(sum as f64), sum => Some(sum);
);

impl<T: Number> sealed::Sealed for Option<T> {}
impl<T: Number> Number for Option<T> {
    type Sum = T::Sum;
    type Mean = Option<f64>;

    fn of_integer(sum: i128) -> Option<T::Sum> {
        T::of_integer(sum)
    }

    fn of_float(sum: f64) -> Option<T::Sum> {
        T::of_float(sum)
    }

    fn mean(mean: Option<f64>) -> Option<f64> {
        mean
    }
}
