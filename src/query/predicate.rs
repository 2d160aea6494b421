//! Predicates: conditions on columns that a query can look into, and closures that it cannot.
//!
//! A predicate is built from handles without a look at the table: operands are kept as [`Value`]s, and what they mean
//! for the column's type is settled when the query runs (`condition`), where errors can name table and column.

use super::bounds::IntoBounds;
use super::closure::RowTest;
use crate::table::row::{Field, Row};
use crate::value::Value;
use std::ops::{BitAnd, BitOr, Bound, Not};

/// How deep predicates may nest. Beyond it a query is refused, for evaluating goes down the same depth on the stack.
pub(super) const DEPTH_MAX: u32 = 200;

/// A condition on rows, for [`Select::filter`](crate::Select::filter).
///
/// Made by the methods of [`Field`], such as `gpa.gt(3.5)`, and combined by `&`, `|` and `!`. A query looks into it: it
/// uses an index where one fits, and evaluates the rest on whole columns of a page at a time. A closure joins in by
/// [`Predicate::from_fn`].
///
/// Null: there are two truth values and no third. A comparison is false where the column is null, whatever it compares
/// with, and `!` turns false into true. So `age.ne(7)` holds for the rows that have an age other than 7, while
/// `!age.eq(7)` holds for all rows but those whose age is 7, nulls included; `p` and `!p` together are always all rows.
///
/// Floats compare as Rust's operators do, alone and in arrays: NaN is equal to, below and above nothing. Text compares
/// bytewise. Documents are equal if the `serde_json::Value`s are that they are read as; they have no order.
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let people = db.create_table(Schema::builder("people")
/// #     .column(Column::string("name")).column(Column::u32("age")).build()?)?;
/// # people.insert_many([("Ann", 31), ("Bob", 17), ("Cleo", 64)])?;
/// let (name, age) = (people.column::<str>("name")?, people.column::<u32>("age")?);
/// let adults = age.ge(18) & !name.starts_with("C");
/// assert_eq!(people.select().filter(adults).count()?, 1);
/// # Ok(())
/// # }
/// ```
#[must_use = "a predicate chooses nothing before a query has it"]
pub struct Predicate<'a> {
    pub(super) node: Node<'a>,
    depth: u32,
}

/// The column that a handle names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(super) table: u64,
    pub(super) index: u32,
}

impl<T: ?Sized> From<Field<T>> for Handle {
    fn from(field: Field<T>) -> Self {
        Self { table: field.table, index: field.index }
    }
}

/// What a predicate says.
pub(super) enum Node<'a> {
    /// The value lies within the bounds.
    Range {
        column: Handle,
        lower: Bound<Value>,
        upper: Bound<Value>,
    },
    /// There is a value, and it is another one.
    NotEqual {
        column: Handle,
        value: Value,
    },
    OneOf {
        column: Handle,
        values: Vec<Value>,
    },
    /// Whether the column is null.
    Null {
        column: Handle,
        is_null: bool,
    },
    StartsWith {
        column: Handle,
        value: Value,
    },
    Contains {
        column: Handle,
        value: Value,
    },
    And(Vec<Node<'a>>),
    Or(Vec<Node<'a>>),
    Not(Box<Node<'a>>),
    Closure(Box<dyn RowTest + 'a>),
    /// Nested beyond [`DEPTH_MAX`]: what was there is gone.
    TooDeep,
}

impl<'a> Predicate<'a> {
    fn of(node: Node<'a>) -> Self {
        Self { node, depth: 1 }
    }

    /// A predicate from a closure, to combine with others by `&`, `|` and `!`.
    ///
    /// `test` is called as [`Select::filter`](crate::Select::filter) says of closures.
    pub fn from_fn(test: impl Fn(&Row<'_>) -> bool + 'a) -> Self {
        Self::of(Node::Closure(Box::new(test)))
    }

    /// The predicate `join` makes of two, whose sides are taken in where they are of the same kind.
    fn joined(
        self,
        other: Self,
        parts: fn(Node<'a>) -> Result<Vec<Node<'a>>, Node<'a>>,
        join: fn(Vec<Node<'a>>) -> Node<'a>,
    ) -> Self {
        let is_flat =
            |node: &Node<'a>, joined: &Node<'a>| std::mem::discriminant(node) == std::mem::discriminant(joined);
        let empty = join(Vec::new());
        // Chains of one operator stay one level, however long they are.
        let deepest = |side: &Self| if is_flat(&side.node, &empty) { side.depth } else { side.depth + 1 };
        let depth = deepest(&self).max(deepest(&other));
        if depth > DEPTH_MAX {
            return Self { node: Node::TooDeep, depth: DEPTH_MAX };
        }
        let mut all = parts(self.node).unwrap_or_else(|node| vec![node]);
        match parts(other.node) {
            Ok(more) => all.extend(more),
            Err(node) => all.push(node),
        }
        Self { node: join(all), depth }
    }
}

impl<'a> BitAnd for Predicate<'a> {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        let parts = |node| if let Node::And(parts) = node { Ok(parts) } else { Err(node) };
        self.joined(other, parts, Node::And)
    }
}

impl<'a> BitOr for Predicate<'a> {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        let parts = |node| if let Node::Or(parts) = node { Ok(parts) } else { Err(node) };
        self.joined(other, parts, Node::Or)
    }
}

impl Not for Predicate<'_> {
    type Output = Self;

    fn not(self) -> Self {
        match self.node {
            Node::Not(inner) => Self { node: *inner, depth: self.depth - 1 },
            _ if self.depth >= DEPTH_MAX => Self { node: Node::TooDeep, depth: DEPTH_MAX },
            node => Self { node: Node::Not(Box::new(node)), depth: self.depth + 1 },
        }
    }
}

impl std::fmt::Debug for Predicate<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Predicate").finish_non_exhaustive()
    }
}

/// What filters rows: a [`Predicate`], or a closure `|row: &Row| ..` that answers whether the row stays.
///
/// The closure's argument needs its type written, as `Row` is generic in how long it lives.
pub trait Filter<'a> {
    /// The predicate that it is.
    fn into_predicate(self) -> Predicate<'a>;
}

impl<'a> Filter<'a> for Predicate<'a> {
    fn into_predicate(self) -> Predicate<'a> {
        self
    }
}

impl<'a, F: Fn(&Row<'_>) -> bool + 'a> Filter<'a> for F {
    fn into_predicate(self) -> Predicate<'a> {
        Predicate::from_fn(self)
    }
}

/// Predicates on the column.
///
/// Operands are converted to the column's type when the query runs: integers of any width where the comparison makes
/// sense (`small.lt(300)` on a `u8` column holds for every row that has a value), integers for floats, text for UUIDs
/// and timestamps. Anything else is an error of the query, as is a null operand: ask
/// [`is_null`](Field::is_null) instead. See [`Predicate`] on nulls and NaN.
///
/// An operand is compared as the column would store it, which in a column of floats is the nearest that it can have: in
/// an `f32` column `x.eq(0.1)` finds the `f32` 0.1, and `x.eq(16_777_217)` finds 16,777,216. There `x.lt(1e300)` is
/// [`Error::OutOfRange`](crate::Error::OutOfRange), for 1e300 is no `f32`, whereas an integer beyond what an integer
/// column can hold is compared as the number that it is. A `json` column has no order: [`lt`](Field::lt),
/// [`gt`](Field::gt) and the like are [`Error::InvalidQuery`](crate::Error::InvalidQuery).
impl<T: ?Sized> Field<T> {
    fn range(self, lower: Bound<Value>, upper: Bound<Value>) -> Predicate<'static> {
        Predicate::of(Node::Range { column: self.into(), lower, upper })
    }

    /// The column has this value.
    pub fn eq(self, value: impl Into<Value>) -> Predicate<'static> {
        let value = value.into();
        self.range(Bound::Included(value.clone()), Bound::Included(value))
    }

    /// The column has a value, and another one.
    pub fn ne(self, value: impl Into<Value>) -> Predicate<'static> {
        Predicate::of(Node::NotEqual { column: self.into(), value: value.into() })
    }

    /// The column's value is below this one.
    pub fn lt(self, value: impl Into<Value>) -> Predicate<'static> {
        self.range(Bound::Unbounded, Bound::Excluded(value.into()))
    }

    /// The column's value is at most this one.
    pub fn le(self, value: impl Into<Value>) -> Predicate<'static> {
        self.range(Bound::Unbounded, Bound::Included(value.into()))
    }

    /// The column's value is above this one.
    pub fn gt(self, value: impl Into<Value>) -> Predicate<'static> {
        self.range(Bound::Excluded(value.into()), Bound::Unbounded)
    }

    /// The column's value is at least this one.
    pub fn ge(self, value: impl Into<Value>) -> Predicate<'static> {
        self.range(Bound::Included(value.into()), Bound::Unbounded)
    }

    /// The column's value lies in the range: `age.between(18..=65)`, `age.between(18..65)`, `age.between(18..)`, or,
    /// with both ends included, `age.between((18, 65))`.
    pub fn between(self, range: impl IntoBounds) -> Predicate<'static> {
        let (lower, upper) = range.into_bounds();
        self.range(lower, upper)
    }

    /// The column's value is one of these. With an index this is one look-up for each.
    pub fn is_in(self, values: impl IntoIterator<Item = impl Into<Value>>) -> Predicate<'static> {
        let values = values.into_iter().map(Into::into).collect();
        Predicate::of(Node::OneOf { column: self.into(), values })
    }

    /// The column is null. Never so in a column that is not nullable.
    pub fn is_null(self) -> Predicate<'static> {
        Predicate::of(Node::Null { column: self.into(), is_null: true })
    }

    /// The column has a value.
    pub fn is_not_null(self) -> Predicate<'static> {
        Predicate::of(Node::Null { column: self.into(), is_null: false })
    }

    /// The column, a `string` or `bytes`, begins with this. An ordered index serves it.
    pub fn starts_with(self, prefix: impl Into<Value>) -> Predicate<'static> {
        Predicate::of(Node::StartsWith { column: self.into(), value: prefix.into() })
    }

    /// The column, a `string` or `bytes`, has this somewhere in it. No index serves it.
    pub fn contains(self, part: impl Into<Value>) -> Predicate<'static> {
        Predicate::of(Node::Contains { column: self.into(), value: part.into() })
    }
}
