//! Predicates ready to run: a test answers, for a page and a mask of its rows, those that pass.

use super::closure::RowTest;
use super::condition::{Condition, Expr, Is, Packed};
use super::mask::{each_bit, mask_of};
use super::page::PageRows;
use super::search::contains;
use super::text;
use super::words::{each_word, word_bytes};
use crate::table::definition::TableDef;
use crate::table::layout::{ColumnPlace, Place};
use crate::value::{Type, canonical, compare_packed, partial_compare_packed};
use std::cmp::Ordering;
use std::ops::Bound;

/// See the module.
pub(super) enum Test<'q> {
    Const(bool),
    /// The column is null.
    Null(usize),
    NotNull(usize),
    /// A number in its own bytes of the page. `not` turns the span around, among the rows that have a value.
    Number {
        column: ColumnPlace,
        span: Span,
        not: bool,
    },
    /// Which truth values pass: bit 0 for false, bit 1 for true.
    Bool {
        column: ColumnPlace,
        mask: usize,
        pass: u8,
    },
    /// The row id lies in the span.
    Id {
        low: u64,
        high: u64,
        not: bool,
    },
    /// The bits of the value, widened, are among these; of 8 or 16 bits, by a bit map.
    OneOf {
        column: ColumnPlace,
        words: Vec<u64>,
    },
    BitMap {
        column: ColumnPlace,
        map: Box<[u64]>,
    },
    /// Any column, by its packed bytes.
    Bytes {
        column: ColumnPlace,
        is: Is,
    },
    All(Vec<Test<'q>>),
    Any(Vec<Test<'q>>),
    Not(Box<Test<'q>>),
    Closure(&'q dyn RowTest),
}

/// A range of numbers, both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Span {
    I8(i8, i8),
    I16(i16, i16),
    I32(i32, i32),
    I64(i64, i64),
    U8(u8, u8),
    U16(u16, u16),
    U32(u32, u32),
    U64(u64, u64),
    F32(f32, f32),
    F64(f64, f64),
}

impl Span {
    /// The numbers within the bounds; `Err` if there can be none, `Ok(None)` if the type is no number.
    pub(super) fn new(ty: Type, lower: &Bound<Packed>, upper: &Bound<Packed>) -> Result<Option<Self>, Empty> {
        macro_rules! integer {
            ($variant:ident, $ty:ty) => {{
                let read = |bytes: &Packed| bytes.as_ref().try_into().map_or(0, <$ty>::from_le_bytes);
                let low = match lower {
                    Bound::Included(bytes) => read(bytes),
                    Bound::Excluded(bytes) => read(bytes).checked_add(1).ok_or(Empty)?,
                    Bound::Unbounded => <$ty>::MIN,
                };
                let high = match upper {
                    Bound::Included(bytes) => read(bytes),
                    Bound::Excluded(bytes) => read(bytes).checked_sub(1).ok_or(Empty)?,
                    Bound::Unbounded => <$ty>::MAX,
                };
                (Span::$variant(low, high), low > high)
            }};
        }
        macro_rules! float {
            ($variant:ident, $ty:ty) => {{
                let read = |bytes: &Packed| bytes.as_ref().try_into().map_or(<$ty>::NAN, <$ty>::from_le_bytes);
                let low = match lower {
                    Bound::Included(bytes) => read(bytes),
                    // What is above infinity is nothing.
                    Bound::Excluded(bytes) if read(bytes) == <$ty>::INFINITY => return Err(Empty),
                    Bound::Excluded(bytes) => read(bytes).next_up(),
                    Bound::Unbounded => <$ty>::NEG_INFINITY,
                };
                let high = match upper {
                    Bound::Included(bytes) => read(bytes),
                    Bound::Excluded(bytes) if read(bytes) == <$ty>::NEG_INFINITY => return Err(Empty),
                    Bound::Excluded(bytes) => read(bytes).next_down(),
                    Bound::Unbounded => <$ty>::INFINITY,
                };
                (Span::$variant(low, high), low > high)
            }};
        }
        let (span, is_empty) = match ty {
            Type::I8 => integer!(I8, i8),
            Type::I16 => integer!(I16, i16),
            Type::I32 => integer!(I32, i32),
            Type::I64 | Type::Timestamp => integer!(I64, i64),
            Type::U8 => integer!(U8, u8),
            Type::U16 => integer!(U16, u16),
            Type::U32 => integer!(U32, u32),
            Type::U64 => integer!(U64, u64),
            Type::F32 => float!(F32, f32),
            Type::F64 => float!(F64, f64),
            _ => return Ok(None),
        };
        if is_empty { Err(Empty) } else { Ok(Some(span)) }
    }

    /// The rows of `within` whose number is in the span.
    #[inline]
    pub(super) fn mask(self, column: &[u8], within: u32) -> u32 {
        macro_rules! integer {
            ($ty:ty, $low:ident, $high:ident) => {{
                // One comparison for both ends.
                let width = $high.wrapping_sub($low).cast_unsigned();
                mask_of(column, within, |bytes| <$ty>::from_le_bytes(bytes).wrapping_sub($low).cast_unsigned() <= width)
            }};
        }
        macro_rules! unsigned {
            ($ty:ty, $low:ident, $high:ident) => {{
                let width = $high.wrapping_sub($low);
                mask_of(column, within, |bytes| <$ty>::from_le_bytes(bytes).wrapping_sub($low) <= width)
            }};
        }
        macro_rules! float {
            ($ty:ty, $low:ident, $high:ident) => {
                // One comparison where it is enough: NaN fails any.
                if $high == <$ty>::INFINITY {
                    mask_of(column, within, |bytes| <$ty>::from_le_bytes(bytes) >= $low)
                } else if $low == <$ty>::NEG_INFINITY {
                    mask_of(column, within, |bytes| <$ty>::from_le_bytes(bytes) <= $high)
                } else {
                    mask_of(column, within, |bytes| {
                        let value = <$ty>::from_le_bytes(bytes);
                        (value >= $low) & (value <= $high)
                    })
                }
            };
        }
        match self {
            Span::I8(low, high) => integer!(i8, low, high),
            Span::I16(low, high) => integer!(i16, low, high),
            Span::I32(low, high) => integer!(i32, low, high),
            Span::I64(low, high) => integer!(i64, low, high),
            Span::U8(low, high) => unsigned!(u8, low, high),
            Span::U16(low, high) => unsigned!(u16, low, high),
            Span::U32(low, high) => unsigned!(u32, low, high),
            Span::U64(low, high) => unsigned!(u64, low, high),
            Span::F32(low, high) => float!(f32, low, high),
            Span::F64(low, high) => float!(f64, low, high),
        }
    }
}

/// No value is in the range.
#[derive(Debug, PartialEq)]
pub(super) struct Empty;

impl<'q> Test<'q> {
    /// What the expression tests.
    fn new(def: &TableDef, expr: &Expr<'q>) -> Self {
        match expr {
            Expr::Const(is_all) => Test::Const(*is_all),
            Expr::Condition(condition) => Test::condition(def, condition),
            Expr::And(parts) => Test::all(def, parts),
            Expr::Or(parts) => Test::Any(Test::sorted(def, parts)),
            Expr::Not(inner) => Test::Not(Box::new(Test::new(def, inner))),
            Expr::Closure(test) => Test::Closure(*test),
        }
    }

    /// All of these.
    pub(super) fn all(def: &TableDef, parts: &[Expr<'q>]) -> Self {
        match parts {
            [] => Test::Const(true),
            [part] => Test::new(def, part),
            parts => Test::All(Test::sorted(def, parts)),
        }
    }

    /// Closures come behind all that is cheaper, in their order among themselves.
    fn sorted(def: &TableDef, parts: &[Expr<'q>]) -> Vec<Self> {
        let mut tests: Vec<Test<'_>> = Vec::with_capacity(parts.len());
        for test in parts.iter().map(|part| Test::new(def, part)) {
            let place = tests.partition_point(|other| other.cost() <= test.cost());
            tests.insert(place, test);
        }
        tests
    }

    fn condition(def: &TableDef, Condition { column: index, is }: &Condition) -> Self {
        let Some(&column) = def.layout.column(*index) else { return Test::Const(false) };
        match (is, column.nulls) {
            (Is::Null, Some(mask)) => return Test::Null(mask),
            (Is::Null, None) => return Test::Const(false),
            (Is::NotNull, Some(mask)) => return Test::NotNull(mask),
            (Is::NotNull, None) => return Test::Const(true),
            _ => {}
        }
        if let Place::Bool { mask } = column.place {
            let pass = |value: u8| u8::from(holds(Type::Bool, is, &[value])) << value;
            return Test::Bool { column, mask, pass: pass(0) | pass(1) };
        }
        if let (Is::OneOf(values), Some(bytes)) = (is, word_bytes(&column)) {
            return one_of(column, values, bytes);
        }
        let (span, not) = match is {
            Is::Within(lower, upper) => (Span::new(column.ty, lower, upper), false),
            Is::NotEqual(value) => {
                let bound = Bound::Included(value.clone());
                (Span::new(column.ty, &bound, &bound), true)
            }
            _ => (Ok(None), false),
        };
        match (span, column.place) {
            (Err(Empty), _) => Test::Const(false),
            (Ok(Some(span)), Place::RowId { .. }) => id_span(span, not),
            (Ok(Some(span)), _) => Test::Number { column, span, not },
            (Ok(None), _) => Test::Bytes { column, is: is.clone() },
        }
    }

    /// What comes first in a conjunction: masks that are there, then numbers, then bytes, then closures.
    fn cost(&self) -> u8 {
        match self {
            Test::Const(_) | Test::Null(_) | Test::NotNull(_) | Test::Bool { .. } | Test::Id { .. } => 0,
            Test::Number { .. } | Test::BitMap { .. } | Test::OneOf { .. } => 1,
            Test::Bytes { .. } => 2,
            Test::All(parts) | Test::Any(parts) => parts.iter().map(Test::cost).max().unwrap_or(0).max(1),
            Test::Not(inner) => inner.cost().max(1),
            Test::Closure(_) => u8::MAX,
        }
    }

    /// The rows of `within` that pass. What an index has answered whole is not tested again, row by row, by a call.
    #[inline]
    pub(super) fn mask(&self, rows: &PageRows<'_>, within: u32) -> u32 {
        if matches!(self, Test::Const(true)) { within } else { self.passing(rows, within) }
    }

    fn passing(&self, rows: &PageRows<'_>, within: u32) -> u32 {
        let (page, layout) = (rows.page, &rows.def.layout);
        match self {
            Test::Const(true) => within,
            Test::Const(false) => 0,
            Test::Null(mask) => within & page.mask(layout, *mask),
            Test::NotNull(mask) => within & !page.mask(layout, *mask),
            Test::Number { column, span, not } => {
                let within = within & !page.nulls(layout, column);
                let Place::Fixed { before, width } = column.place else { return 0 };
                let mask = span.mask(page.fixed_column(layout, before, width), within);
                if *not { within & !mask } else { mask }
            }
            Test::Bool { column, mask, pass } => {
                let within = within & !page.nulls(layout, column);
                let values = page.mask(layout, *mask);
                let (if_false, if_true) =
                    (0u32.wrapping_sub((pass & 1).into()), 0u32.wrapping_sub((pass >> 1 & 1).into()));
                within & ((values & if_true) | (!values & if_false))
            }
            Test::Id { low, high, not } => each_bit(within, |at| (*low..=*high).contains(&rows.id(at)) != *not),
            Test::OneOf { column, words } => {
                let mut found = 0;
                each_word(rows, column, within & !page.nulls(layout, column), |at, word| {
                    found |= u32::from(words.binary_search(&word).is_ok()) << at;
                });
                found
            }
            Test::BitMap { column, map } => {
                let mut found = 0;
                each_word(rows, column, within & !page.nulls(layout, column), |at, word| {
                    let bits = map.get(word as usize / 64).copied().unwrap_or(0);
                    found |= ((bits >> (word % 64)) as u32 & 1) << at;
                });
                found
            }
            Test::Bytes { column, is } => {
                let within = within & !page.nulls(layout, column);
                if let Place::Variable { index } = column.place {
                    return text::mask(rows, column, index, is, within);
                }
                each_bit(within, |position| {
                    let id = rows.id(position).to_le_bytes();
                    rows.value(column, position, &id).is_some_and(|bytes| holds(column.ty, is, bytes))
                })
            }
            Test::All(parts) => {
                let mut left = within;
                for part in parts {
                    if left == 0 {
                        break;
                    }
                    left = part.mask(rows, left);
                }
                left
            }
            Test::Any(parts) => {
                let mut found = 0;
                for part in parts {
                    let left = within & !found;
                    if left == 0 {
                        break;
                    }
                    found |= part.mask(rows, left);
                }
                found
            }
            Test::Not(inner) => within & !inner.mask(rows, within),
            Test::Closure(test) => test.retain(rows, within),
        }
    }
}

/// A list of numbers.
fn one_of<'q>(column: ColumnPlace, values: &[Packed], bytes: usize) -> Test<'q> {
    let words = values.iter().map(|value| {
        let mut word = [0; 8];
        word.iter_mut().zip(value.iter()).for_each(|(to, from)| *to = *from);
        let word = u64::from_le_bytes(word);
        // Zero has one form among words.
        let is_zero = column.ty == Type::F64 && word == 1 << 63 || column.ty == Type::F32 && word == 1 << 31;
        if is_zero { 0 } else { word }
    });
    if bytes > 2 {
        let mut words: Vec<u64> = words.collect();
        words.sort_unstable();
        return Test::OneOf { column, words };
    }
    let mut map = vec![0u64; (1usize << (8 * bytes)) / 64];
    for word in words {
        if let Some(bits) = map.get_mut(word as usize / 64) {
            *bits |= 1 << (word % 64);
        }
    }
    Test::BitMap { column, map: map.into() }
}

/// A span of a column that is the row id, which is never negative.
fn id_span<'q>(span: Span, not: bool) -> Test<'q> {
    let signed = |low: i64, high: i64| (u64::try_from(low).unwrap_or(0), u64::try_from(high).ok());
    let (low, high) = match span {
        Span::I8(low, high) => signed(low.into(), high.into()),
        Span::I16(low, high) => signed(low.into(), high.into()),
        Span::I32(low, high) => signed(low.into(), high.into()),
        Span::I64(low, high) => signed(low, high),
        Span::U8(low, high) => (low.into(), Some(high.into())),
        Span::U16(low, high) => (low.into(), Some(high.into())),
        Span::U32(low, high) => (low.into(), Some(high.into())),
        Span::U64(low, high) => (low, Some(high)),
        Span::F32(..) | Span::F64(..) => (0, None),
    };
    match high {
        Some(high) => Test::Id { low, high, not },
        None => Test::Const(not),
    }
}

/// Whether a value that is not null meets the condition.
pub(super) fn holds(ty: Type, is: &Is, bytes: &[u8]) -> bool {
    let bytes = &*canonical(ty, bytes);
    let order = |operand: &Packed| partial_compare_packed(ty, bytes, operand);
    match is {
        Is::Null => false,
        Is::NotNull => true,
        Is::Within(lower, upper) => {
            (match lower {
                Bound::Included(low) => order(low).is_some_and(Ordering::is_ge),
                Bound::Excluded(low) => order(low).is_some_and(Ordering::is_gt),
                Bound::Unbounded => true,
            }) && match upper {
                Bound::Included(high) => order(high).is_some_and(Ordering::is_le),
                Bound::Excluded(high) => order(high).is_some_and(Ordering::is_lt),
                Bound::Unbounded => true,
            }
        }
        Is::NotEqual(value) => order(value) != Some(Ordering::Equal),
        // No operand has NaN, so that none is equal to a value that has.
        Is::OneOf(values) => values.binary_search_by(|value| compare_packed(ty, value, bytes)).is_ok(),
        Is::StartsWith(prefix) => bytes.starts_with(prefix),
        Is::Contains(part) => contains(bytes, part),
    }
}
