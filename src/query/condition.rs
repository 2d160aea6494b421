//! What a predicate means for a table: its columns found, its operands packed as the columns' types.
//!
//! The first step of every query. All that can be wrong with a predicate is found here.

use super::closure::RowTest;
use super::predicate::{Handle, Node};
use super::test::Span;
use crate::error::{Error, Result};
use crate::schema::holds_nan;
use crate::table::definition::TableDef;
use crate::table::row::foreign_handle;
use crate::value::{Array, Beyond, RowError, Type, Value, ValueRef, canonical, compare_packed};
use std::cmp::Ordering;
use std::ops::Bound;

/// A predicate that fits its table.
pub(super) enum Expr<'q> {
    /// All rows, or none.
    Const(bool),
    Condition(Condition),
    And(Vec<Expr<'q>>),
    Or(Vec<Expr<'q>>),
    Not(Box<Expr<'q>>),
    Closure(&'q dyn RowTest),
}

/// A condition on one column. All but `Null` are false where the column is null.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub(super) column: usize,
    pub(super) is: Is,
}

/// Packed bytes of one value, canonical if it is a document.
pub(super) type Packed = Box<[u8]>;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Is {
    Null,
    NotNull,
    /// Not empty as far as the bounds tell; at least one end is bounded.
    Within(Bound<Packed>, Bound<Packed>),
    NotEqual(Packed),
    /// In rising order, each once.
    OneOf(Vec<Packed>),
    StartsWith(Packed),
    Contains(Packed),
}

/// The column behind a handle, which must be the table's.
pub(super) fn column_of(def: &TableDef, handle: Handle) -> Result<(usize, Type)> {
    let index = handle.index as usize;
    match def.layout.column(index) {
        Some(column) if handle.table == def.table => Ok((index, column.ty)),
        _ => Err(foreign_handle(def, index)),
    }
}

/// Refuses a column whose values have no order.
///
/// # Errors
/// [`Error::InvalidQuery`].
pub(super) fn check_ordered(def: &TableDef, (column, ty): (usize, Type)) -> Result<()> {
    if ty != Type::Json {
        return Ok(());
    }
    let message = format!("`{}.{}` is json, which has no order to compare by", def.name(), def.column_name(column));
    Err(Error::InvalidQuery { message: message.into() })
}

/// Resolves a predicate.
///
/// # Errors
/// [`Error::ForeignHandle`], [`Error::WrongType`], [`Error::OutOfRange`], [`Error::InvalidValue`],
/// [`Error::WrongArity`], [`Error::InvalidQuery`].
pub(super) fn resolve<'q>(def: &TableDef, node: &'q Node<'_>) -> Result<Expr<'q>> {
    let all = |parts: &'q [Node<'_>]| parts.iter().map(|part| resolve(def, part)).collect::<Result<Vec<_>>>();
    Ok(match node {
        Node::And(parts) => and(all(parts)?),
        Node::Or(parts) => or(all(parts)?),
        Node::Not(inner) => not(resolve(def, inner)?),
        Node::Closure(test) => Expr::Closure(&**test),
        Node::TooDeep => {
            let message = format!("the predicate nests deeper than {} levels", super::predicate::DEPTH_MAX);
            return Err(Error::InvalidQuery { message: message.into() });
        }
        Node::Null { column, is_null } => {
            let (column, _) = column_of(def, *column)?;
            let nullable = def.layout.column(column).is_some_and(|column| column.nulls.is_some());
            match (nullable, is_null) {
                (false, is_null) => Expr::Const(!is_null),
                (true, true) => condition(column, Is::Null),
                (true, false) => condition(column, Is::NotNull),
            }
        }
        Node::Range { column, lower, upper } => range(def, column_of(def, *column)?, lower, upper)?,
        Node::NotEqual { column, value } => {
            let (column, ty) = column_of(def, *column)?;
            match operand(def, column, ty, value)? {
                Operand::Value(packed) => condition(column, Is::NotEqual(packed)),
                _ => not_null(def, column),
            }
        }
        Node::OneOf { column, values } => one_of(def, column_of(def, *column)?, values)?,
        Node::StartsWith { column, value } => text(def, *column, value, Is::StartsWith)?,
        Node::Contains { column, value } => text(def, *column, value, Is::Contains)?,
    })
}

fn condition<'q>(column: usize, is: Is) -> Expr<'q> {
    Expr::Condition(Condition { column, is })
}

pub(super) fn not_null<'q>(def: &TableDef, column: usize) -> Expr<'q> {
    match def.layout.column(column).and_then(|column| column.nulls) {
        Some(_) => condition(column, Is::NotNull),
        None => Expr::Const(true),
    }
}

/// All of these; constants are folded.
pub(super) fn and(parts: Vec<Expr<'_>>) -> Expr<'_> {
    let mut left = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Expr::Const(true) => {}
            Expr::Const(false) => return Expr::Const(false),
            Expr::And(inner) => left.extend(inner),
            part => left.push(part),
        }
    }
    match left.len() {
        0 => Expr::Const(true),
        1 => left.swap_remove(0),
        _ => Expr::And(left),
    }
}

/// Takes the ranges on one column together, so that an index sees both ends. `None` if nothing can match.
pub(super) fn merge_ranges<'q>(def: &TableDef, parts: Vec<Expr<'q>>) -> Option<Vec<Expr<'q>>> {
    let mut merged: Vec<Expr<'q>> = Vec::with_capacity(parts.len());
    for part in parts {
        let Expr::Condition(Condition { column, is: Is::Within(lower, upper) }) = &part else {
            merged.push(part);
            continue;
        };
        let ty = crate::table::key::type_of(def, *column);
        let earlier = merged.iter_mut().find_map(|earlier| match earlier {
            Expr::Condition(Condition { column: other, is: Is::Within(low, high) }) if other == column => {
                Some((low, high))
            }
            _ => None,
        });
        let Some((low, high)) = earlier else {
            merged.push(part);
            continue;
        };
        if is_tighter(ty, lower, low, Ordering::Greater) {
            *low = lower.clone();
        }
        if is_tighter(ty, upper, high, Ordering::Less) {
            *high = upper.clone();
        }
        if is_empty(ty, low, high) {
            return None;
        }
    }
    Some(merged)
}

/// Whether the bound leaves less than the other of the same side; `towards` is where that side narrows.
fn is_tighter(ty: Type, bound: &Bound<Packed>, other: &Bound<Packed>, towards: Ordering) -> bool {
    match (bound, other) {
        (Bound::Unbounded, _) => false,
        (_, Bound::Unbounded) => true,
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => {
            let order = compare_packed(ty, a, b);
            order == towards || order.is_eq() && matches!(bound, Bound::Excluded(_))
        }
    }
}

/// Whether the bounds alone say that nothing is between them: of numbers also `3 < n < 4`, or `n < 0` without a sign.
fn is_empty(ty: Type, lower: &Bound<Packed>, upper: &Bound<Packed>) -> bool {
    let is_crossed = match (lower, upper) {
        (Bound::Included(low), Bound::Included(high)) => compare_packed(ty, low, high).is_gt(),
        (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => {
            compare_packed(ty, low, high).is_ge()
        }
        _ => false,
    };
    is_crossed || Span::new(ty, lower, upper).is_err()
}

fn or(parts: Vec<Expr<'_>>) -> Expr<'_> {
    let mut left = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Expr::Const(false) => {}
            Expr::Const(true) => return Expr::Const(true),
            Expr::Or(inner) => left.extend(inner),
            part => left.push(part),
        }
    }
    match left.len() {
        0 => Expr::Const(false),
        1 => left.swap_remove(0),
        _ => Expr::Or(left),
    }
}

fn not(inner: Expr<'_>) -> Expr<'_> {
    match inner {
        Expr::Const(is_all) => Expr::Const(!is_all),
        Expr::Not(inner) => *inner,
        Expr::Condition(Condition { column, is: Is::Null }) => condition(column, Is::NotNull),
        Expr::Condition(Condition { column, is: Is::NotNull }) => condition(column, Is::Null),
        inner => Expr::Not(Box::new(inner)),
    }
}

/// An operand as the column sees it.
enum Operand {
    Value(Packed),
    /// An integer below, or above, all that the column can hold.
    Below,
    Above,
    /// It compares with nothing.
    NaN,
    /// An array with NaN, which is equal to nothing, and compares with what differs from it in an element before that.
    WithNaN(Array, Packed),
}

/// JSON scalars, for a column that is not JSON, are what they say.
fn plain(value: &Value) -> ValueRef<'_> {
    use serde_json::Value as Json;
    match value {
        Value::Json(Json::Bool(value)) => ValueRef::Bool(*value),
        Value::Json(Json::String(text)) => ValueRef::Str(text),
        Value::Json(Json::Number(number)) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), ..) => ValueRef::Int(value),
            (_, Some(value), _) => ValueRef::UInt(value),
            (.., value) => value.map_or(ValueRef::Null, ValueRef::Float),
        },
        value => value.as_ref(),
    }
}

fn operand(def: &TableDef, column: usize, ty: Type, value: &Value) -> Result<Operand> {
    let value = if ty == Type::Json { value.as_ref() } else { plain(value) };
    if ty.is_null(value) {
        let message = format!(
            "`{}.{}` is compared with null, which nothing is equal to: use `is_null` or `is_not_null`",
            def.name(),
            def.column_name(column)
        );
        return Err(Error::InvalidQuery { message: message.into() });
    }
    match ty.beyond(value) {
        Some(Beyond::Below) => return Ok(Operand::Below),
        Some(Beyond::Above) => return Ok(Operand::Above),
        None => {}
    }
    let mut packed = Vec::new();
    ty.pack(value, &mut packed).map_err(|kind| RowError::at(def.column_name(column), kind).in_table(def.name()))?;
    Ok(match ty {
        Type::Array(array) if holds_nan(ty, &packed) => Operand::WithNaN(array, packed.into()),
        _ if holds_nan(ty, &packed) => Operand::NaN,
        _ => Operand::Value(canonical(ty, &packed).into()),
    })
}

/// The array with all from its first NaN on as low as can be: what is below the one is what is below the other, in the
/// order of indexes too, which has NaN above all.
fn below_nan(array: Array, mut packed: Packed) -> Packed {
    let element = Type::from(array.element());
    let lowest: &[u8] = match element {
        Type::F32 => &f32::NEG_INFINITY.to_le_bytes(),
        _ => &f64::NEG_INFINITY.to_le_bytes(),
    };
    let mut is_behind = false;
    for bytes in packed.chunks_exact_mut(lowest.len()) {
        is_behind |= holds_nan(element, bytes);
        if is_behind {
            bytes.copy_from_slice(lowest);
        }
    }
    packed
}

fn range<'q>(
    def: &TableDef,
    (column, ty): (usize, Type),
    lower: &Bound<Value>,
    upper: &Bound<Value>,
) -> Result<Expr<'q>> {
    let pack = |bound: &Bound<Value>| -> Result<Bound<Operand>> {
        Ok(match bound {
            Bound::Included(value) => Bound::Included(operand(def, column, ty, value)?),
            Bound::Excluded(value) => Bound::Excluded(operand(def, column, ty, value)?),
            Bound::Unbounded => Bound::Unbounded,
        })
    };
    // Both are looked at before either decides, so that an error does not hide behind an empty range.
    let (lower, upper) = (pack(lower)?, pack(upper)?);
    // Told from the operands: NaN, which is not equal to itself, is null in a document.
    let is_equality = matches!(
        (&lower, &upper),
        (Bound::Included(Operand::Value(low)), Bound::Included(Operand::Value(high))) if low == high
    );
    if !is_equality {
        check_ordered(def, (column, ty))?;
    }
    let lower = match lower {
        Bound::Included(Operand::Value(packed)) => Bound::Included(packed),
        Bound::Excluded(Operand::Value(packed)) => Bound::Excluded(packed),
        // What is above it is so before its NaN, where indexes have the same order; nothing is equal to it.
        Bound::Included(Operand::WithNaN(_, packed)) | Bound::Excluded(Operand::WithNaN(_, packed)) => {
            Bound::Excluded(packed)
        }
        Bound::Included(Operand::Below) | Bound::Excluded(Operand::Below) | Bound::Unbounded => Bound::Unbounded,
        _ => return Ok(Expr::Const(false)),
    };
    let upper = match upper {
        Bound::Included(Operand::Value(packed)) => Bound::Included(packed),
        Bound::Excluded(Operand::Value(packed)) => Bound::Excluded(packed),
        Bound::Included(Operand::WithNaN(array, packed)) | Bound::Excluded(Operand::WithNaN(array, packed)) => {
            Bound::Excluded(below_nan(array, packed))
        }
        Bound::Included(Operand::Above) | Bound::Excluded(Operand::Above) | Bound::Unbounded => Bound::Unbounded,
        _ => return Ok(Expr::Const(false)),
    };
    if matches!((&lower, &upper), (Bound::Unbounded, Bound::Unbounded)) && !ty.is_float() {
        return Ok(not_null(def, column));
    }
    // A range of floats without bounds is one still: NaN is not in it.
    if is_empty(ty, &lower, &upper) {
        return Ok(Expr::Const(false));
    }
    Ok(condition(column, Is::Within(lower, upper)))
}

fn one_of<'q>(def: &TableDef, (column, ty): (usize, Type), values: &[Value]) -> Result<Expr<'q>> {
    let mut packed = Vec::with_capacity(values.len());
    for value in values {
        if let Operand::Value(value) = operand(def, column, ty, value)? {
            packed.push(value);
        }
    }
    packed.sort_unstable_by(|a, b| compare_packed(ty, a, b));
    packed.dedup_by(|a, b| compare_packed(ty, a, b).is_eq());
    Ok(match packed.len() {
        0 => Expr::Const(false),
        1 => {
            let value = packed.swap_remove(0);
            condition(column, Is::Within(Bound::Included(value.clone()), Bound::Included(value)))
        }
        _ => condition(column, Is::OneOf(packed)),
    })
}

fn text<'q>(def: &TableDef, handle: Handle, value: &Value, is: fn(Packed) -> Is) -> Result<Expr<'q>> {
    let (column, ty) = column_of(def, handle)?;
    if !matches!(ty, Type::String | Type::Bytes) {
        let kind = crate::value::RowErrorKind::wrong_type("a `string` or `bytes` column", format_args!("`{ty}`"));
        return Err(RowError::at(def.column_name(column), kind).in_table(def.name()));
    }
    Ok(match operand(def, column, ty, value)? {
        Operand::Value(packed) if packed.is_empty() => not_null(def, column),
        Operand::Value(packed) => condition(column, is(packed)),
        _ => Expr::Const(false),
    })
}
