//! Ranges as users write them, for [`Field::between`](crate::Field::between).

use crate::value::Value;
use std::ops::{Bound, Range, RangeFrom, RangeInclusive, RangeTo, RangeToInclusive};

mod sealed {
    pub trait Sealed {}
}

/// A range of values: `a..=b`, `a..b`, `a..`, `..b`, `..=b`, or the pair `(a, b)` with both ends included.
///
/// This trait is sealed.
pub trait IntoBounds: sealed::Sealed {
    /// The lower and the upper end.
    fn into_bounds(self) -> (Bound<Value>, Bound<Value>);
}

macro_rules! bounds {
    ($($ty:ident $range:ident => $lower:expr, $upper:expr;)*) => {$(
        impl<V: Into<Value>> sealed::Sealed for $ty<V> {}
        impl<V: Into<Value>> IntoBounds for $ty<V> {
            fn into_bounds(self) -> (Bound<Value>, Bound<Value>) {
                let $range = self;
                ($lower, $upper)
            }
        }
    )*};
}

bounds!(
    Range range => Bound::Included(range.start.into()), Bound::Excluded(range.end.into());
    RangeFrom range => Bound::Included(range.start.into()), Bound::Unbounded;
    RangeTo range => Bound::Unbounded, Bound::Excluded(range.end.into());
    RangeToInclusive range => Bound::Unbounded, Bound::Included(range.end.into());
);

impl<V: Into<Value>> sealed::Sealed for RangeInclusive<V> {}
impl<V: Into<Value>> IntoBounds for RangeInclusive<V> {
    fn into_bounds(self) -> (Bound<Value>, Bound<Value>) {
        let (start, end) = self.into_inner();
        (Bound::Included(start.into()), Bound::Included(end.into()))
    }
}

impl<V: Into<Value>, W: Into<Value>> sealed::Sealed for (V, W) {}
impl<V: Into<Value>, W: Into<Value>> IntoBounds for (V, W) {
    fn into_bounds(self) -> (Bound<Value>, Bound<Value>) {
        (Bound::Included(self.0.into()), Bound::Included(self.1.into()))
    }
}
