//! Access paths: the ways in which the rows of a query can be found without looking at all of them.
//!
//! A path comes from the conditions that all have to hold: equality, lists, ranges and prefixes on the first columns of
//! an index, or on a key that is the row id. What it finds are candidates; the conditions that it answers exactly are
//! left out of what is tested afterwards. Hash indexes answer none exactly, for other keys may have the same hash.

use super::condition::{Condition, Expr, Is, Packed};
use crate::table::definition::{IndexKind, IndexPlan, TableDef};
use crate::table::index::ordered::KeyRef;
use crate::table::key::word_of;
use crate::table::layout::PAGE_SHIFT;
use crate::table::view::TableView;
use crate::value::{Type, encode_key, hash_packed, prefix_range, successor};
use std::ops::Bound;

/// Look-ups that one path may consist of: more are slower than what they save.
const LOOKUPS_MAX: usize = 4096;

/// Where rows are looked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Access {
    /// Nowhere: no row can match.
    Nothing,
    /// All pages with rows of these ids, both included.
    Pages { first: u64, last: u64 },
    /// The rows with these ids, rising.
    Ids(Vec<u64>),
    /// The candidates for these hashes in a unique hash index.
    Hashes { index: usize, hashes: Vec<u64> },
    /// The entries within these ranges of an ordered tree, disjoint and in the order of a scan.
    Tree { index: usize, ranges: Vec<KeyRange> },
}

impl Access {
    pub(super) const ALL: Access = Access::Pages { first: 0, last: u64::MAX };
}

/// A key of an ordered tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    Word(u64),
    Bytes(Box<[u8]>),
}

impl Key {
    pub(super) fn as_ref(&self) -> KeyRef<'_> {
        match self {
            Key::Word(word) => KeyRef::U64(*word),
            Key::Bytes(bytes) => KeyRef::Bytes(bytes),
        }
    }
}

/// A range of keys.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KeyRange {
    pub(super) lower: Bound<Key>,
    pub(super) upper: Bound<Key>,
}

impl KeyRange {
    pub(super) const ALL: KeyRange = KeyRange { lower: Bound::Unbounded, upper: Bound::Unbounded };

    pub(super) fn bounds(&self) -> (Bound<KeyRef<'_>>, Bound<KeyRef<'_>>) {
        (self.lower.as_ref().map(Key::as_ref), self.upper.as_ref().map(Key::as_ref))
    }

    /// All keys that begin with these bytes.
    fn under(bytes: Vec<u8>) -> Self {
        let upper = successor(&bytes).map_or(Bound::Unbounded, |bytes| Bound::Excluded(Key::Bytes(bytes.into())));
        Self { lower: Bound::Included(Key::Bytes(bytes.into())), upper }
    }
}

/// An access path with what it is worth.
pub(super) struct Path {
    pub(super) access: Access,
    /// Which conditions (by their place in the conjunction) it answers, so that they need not be tested.
    pub(super) answers: Vec<usize>,
    /// How many rows it finds at most.
    pub(super) rows: u64,
    /// Of an ordered index: how many of its first columns are held to one value each.
    pub(super) fixed: usize,
    /// Of an ordered index: whether the column behind those has a range that leaves null out.
    pub(super) ranged: bool,
}

/// What a condition holds a column to.
enum Held<'c> {
    /// One of these values, rising; `None` is null.
    Points(Vec<Option<&'c [u8]>>),
    Within(Bound<&'c [u8]>, Bound<&'c [u8]>),
    Prefix(&'c [u8]),
}

fn held(is: &Is) -> Option<Held<'_>> {
    Some(match is {
        Is::Null => Held::Points(vec![None]),
        Is::NotNull => Held::Within(Bound::Unbounded, Bound::Unbounded),
        Is::Within(Bound::Included(low), Bound::Included(high)) if low == high => Held::Points(vec![Some(low)]),
        Is::Within(lower, upper) => Held::Within(as_bytes(lower), as_bytes(upper)),
        Is::OneOf(values) => Held::Points(values.iter().map(|value| Some(&**value)).collect()),
        Is::StartsWith(prefix) => Held::Prefix(prefix),
        Is::NotEqual(_) | Is::Contains(_) => return None,
    })
}

fn as_bytes(bound: &Bound<Packed>) -> Bound<&[u8]> {
    bound.as_ref().map(|bytes| &**bytes)
}

/// The conditions of a conjunction, by column.
pub(super) struct Conditions<'c>(Vec<(usize, &'c Condition)>);

impl<'c> Conditions<'c> {
    pub(super) fn of(parts: &'c [Expr<'_>]) -> Self {
        let condition = |(place, part): (usize, &'c Expr<'_>)| match part {
            Expr::Condition(condition) => Some((place, condition)),
            _ => None,
        };
        Self(parts.iter().enumerate().filter_map(condition).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The condition on a column that narrows it most, as far as its form tells.
    fn on(&self, column: usize) -> Option<(usize, Held<'c>)> {
        let of_column = self.0.iter().filter(|(_, condition)| condition.column == column);
        let all = of_column.filter_map(|(place, condition)| Some((*place, held(&condition.is)?)));
        all.min_by_key(|(_, held)| match held {
            Held::Points(values) => (0, values.len()),
            Held::Prefix(_) => (1, 0),
            Held::Within(Bound::Unbounded, Bound::Unbounded) => (3, 0),
            Held::Within(..) => (2, 0),
        })
    }

    /// Whether the column is held to one value.
    pub(super) fn fixes(&self, column: usize) -> bool {
        matches!(self.on(column), Some((_, Held::Points(values))) if values.len() == 1)
    }
}

/// Every path that the conditions open.
pub(super) fn paths(view: &TableView<'_>, conditions: &Conditions<'_>) -> Vec<Path> {
    let def = view.def;
    let mut all = Vec::new();
    all.extend(by_row_id(view, conditions));
    for (index, plan) in def.indexes.iter().enumerate() {
        all.extend(match plan.kind {
            IndexKind::Hash | IndexKind::HashMany => by_hash(view, index, plan, conditions),
            IndexKind::OrderedWord | IndexKind::OrderedBytes => {
                Some(by_order(view, index, plan, conditions)).filter(|path| !path.answers.is_empty())
            }
        });
    }
    all
}

fn integer(ty: Type, bytes: &[u8]) -> i128 {
    match ty.unpack(bytes) {
        crate::value::ValueRef::Int(value) => value.into(),
        crate::value::ValueRef::UInt(value) => value.into(),
        _ => -1,
    }
}

fn by_row_id(view: &TableView<'_>, conditions: &Conditions<'_>) -> Option<Path> {
    let column = view.def.row_id?;
    let ty = view.def.layout.column(column)?.ty;
    let (place, held) = conditions.on(column)?;
    let (access, rows) = match held {
        Held::Points(values) => {
            let ids = values.into_iter().flatten().filter_map(|bytes| u64::try_from(integer(ty, bytes)).ok());
            let ids: Vec<u64> = ids.collect();
            let rows = ids.len() as u64;
            (if ids.is_empty() { Access::Nothing } else { Access::Ids(ids) }, rows)
        }
        Held::Within(lower, upper) => {
            let first = match lower {
                Bound::Included(bytes) => integer(ty, bytes),
                Bound::Excluded(bytes) => integer(ty, bytes) + 1,
                Bound::Unbounded => 0,
            };
            let last = match upper {
                Bound::Included(bytes) => integer(ty, bytes),
                Bound::Excluded(bytes) => integer(ty, bytes) - 1,
                Bound::Unbounded => i128::from(u64::MAX),
            };
            match (u64::try_from(first.max(0)), u64::try_from(last.min(u64::MAX.into()))) {
                (Ok(first), Ok(last)) if first <= last => {
                    let rank = |number: u64| view.rows().rank(number);
                    let rows = rank((last >> PAGE_SHIFT).saturating_add(1)).saturating_sub(rank(first >> PAGE_SHIFT));
                    (Access::Pages { first, last }, rows)
                }
                _ => (Access::Nothing, 0),
            }
        }
        Held::Prefix(_) => return None,
    };
    Some(Path { access, answers: vec![place], rows, fixed: 0, ranged: false })
}

/// Every column of a hash index must be held to points.
fn by_hash(view: &TableView<'_>, index: usize, plan: &IndexPlan, conditions: &Conditions<'_>) -> Option<Path> {
    let def = view.def;
    let mut keys: Vec<Vec<Option<&[u8]>>> = vec![Vec::new()];
    for &column in &plan.columns {
        let (_, Held::Points(values)) = conditions.on(column)? else { return None };
        if keys.len().saturating_mul(values.len()) > LOOKUPS_MAX {
            return None;
        }
        keys = extended(&keys, &values, |key, value| {
            let mut key = key.clone();
            key.push(*value);
            key
        });
    }
    let is_unique = plan.kind == IndexKind::Hash;
    // A unique index does not hold rows with a null in the key.
    if is_unique && keys.iter().flatten().any(Option::is_none) {
        return None;
    }
    let hash = |key: &Vec<Option<&[u8]>>| {
        let types = plan.columns.iter().map(|&column| crate::table::key::type_of(def, column));
        hash_packed(&def.seed, types.zip(key.iter().copied()))
    };
    let mut hashes: Vec<u64> = keys.iter().map(hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let (rows, access) = if is_unique {
        (hashes.len() as u64, Access::Hashes { index, hashes })
    } else {
        let point =
            |hash: u64| KeyRange { lower: Bound::Included(Key::Word(hash)), upper: Bound::Included(Key::Word(hash)) };
        let ranges: Vec<KeyRange> = hashes.into_iter().map(point).collect();
        (tree_count(view, index, &ranges), Access::Tree { index, ranges })
    };
    Some(Path { access, answers: Vec::new(), rows, fixed: 0, ranged: false })
}

fn extended<A, B, C>(all: &[A], with: &[B], join: impl Fn(&A, &B) -> C) -> Vec<C> {
    all.iter().flat_map(|a| with.iter().map(|b| join(a, b)).collect::<Vec<_>>()).collect()
}

/// The path through an ordered index; the whole of it, answering nothing, if no condition fits its first column.
pub(super) fn by_order(view: &TableView<'_>, index: usize, plan: &IndexPlan, conditions: &Conditions<'_>) -> Path {
    let (ranges, answers, fixed, ranged) = match plan.kind {
        IndexKind::OrderedWord => word_ranges(view.def, plan, conditions),
        _ => byte_ranges(view.def, plan, conditions),
    };
    let rows = tree_count(view, index, &ranges);
    Path { access: Access::Tree { index, ranges }, answers, rows, fixed, ranged }
}

/// How many entries of a tree lie within the ranges. Cost: O(log n) each.
pub(super) fn tree_count(view: &TableView<'_>, index: usize, ranges: &[KeyRange]) -> u64 {
    let Some(tree) = view.ordered_index(index) else { return 0 };
    ranges.iter().map(|range| range.bounds()).map(|(lower, upper)| tree.count(lower, upper)).sum()
}

type Ranges = (Vec<KeyRange>, Vec<usize>, usize, bool);

fn word_ranges(def: &TableDef, plan: &IndexPlan, conditions: &Conditions<'_>) -> Ranges {
    let whole = || (vec![KeyRange::ALL], Vec::new(), 0, false);
    let Some((index, column)) = plan.columns.first().and_then(|&index| Some((index, def.layout.column(index)?))) else {
        return whole();
    };
    let nullable = column.nulls.is_some();
    let word = |bytes: Option<&[u8]>| Key::Word(word_of(column.ty, nullable, bytes));
    match conditions.on(index) {
        Some((place, Held::Points(values))) if values.len() <= LOOKUPS_MAX => {
            let fixed = usize::from(values.len() == 1);
            let point = |value| KeyRange { lower: Bound::Included(word(value)), upper: Bound::Included(word(value)) };
            (values.into_iter().map(point).collect(), vec![place], fixed, fixed == 0)
        }
        Some((place, Held::Within(lower, upper))) => {
            let lower = match lower.map(|bytes| word(Some(bytes))) {
                // Null is below all values, and in no range of them.
                Bound::Unbounded if nullable => Bound::Excluded(word(None)),
                lower => lower,
            };
            (vec![KeyRange { lower, upper: upper.map(|bytes| word(Some(bytes))) }], vec![place], 0, true)
        }
        _ => whole(),
    }
}

fn byte_ranges(def: &TableDef, plan: &IndexPlan, conditions: &Conditions<'_>) -> Ranges {
    let mut leads: Vec<Vec<u8>> = vec![Vec::new()];
    let (mut answers, mut fixed) = (Vec::new(), 0);
    for &index in &plan.columns {
        let Some(column) = def.layout.column(index) else { break };
        let nullable = column.nulls.is_some();
        match conditions.on(index) {
            Some((place, Held::Points(values))) if leads.len().saturating_mul(values.len()) <= LOOKUPS_MAX => {
                answers.push(place);
                if leads.len() == 1 && values.len() == 1 {
                    fixed += 1;
                }
                leads = extended(&leads, &values, |lead, value| {
                    let mut lead = lead.clone();
                    encode_key(column.ty, nullable, *value, &mut lead);
                    lead
                });
            }
            Some((place, Held::Within(lower, upper))) => {
                answers.push(place);
                let ranges = leads.iter().map(|lead| within(lead, column.ty, nullable, lower, upper)).collect();
                return (ranges, answers, fixed, true);
            }
            Some((place, Held::Prefix(prefix))) => {
                answers.push(place);
                let range = |lead: &Vec<u8>| {
                    let (low, high) = prefix_range(lead, nullable, prefix);
                    let upper = high.map_or(Bound::Unbounded, |high| Bound::Excluded(Key::Bytes(high.into())));
                    KeyRange { lower: Bound::Included(Key::Bytes(low.into())), upper }
                };
                return (leads.iter().map(range).collect(), answers, fixed, true);
            }
            _ => break,
        }
    }
    let ranges = leads.into_iter().map(|lead| if lead.is_empty() { KeyRange::ALL } else { KeyRange::under(lead) });
    (ranges.collect(), answers, fixed, false)
}

/// The keys behind `lead` whose next column lies within the bounds.
fn within(lead: &[u8], ty: Type, nullable: bool, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> KeyRange {
    let key = |value: &[u8]| {
        let mut key = lead.to_vec();
        encode_key(ty, nullable, Some(value), &mut key);
        key
    };
    let bytes = |key: Vec<u8>| Key::Bytes(key.into());
    // Keys go on behind this column: all that share its bytes are below their successor.
    let behind = |key: Vec<u8>| successor(&key).map(bytes);
    let lower = match lower {
        Bound::Included(value) => Bound::Included(bytes(key(value))),
        Bound::Excluded(value) => match behind(key(value)) {
            Some(key) => Bound::Included(key),
            // There is nothing behind: a range that holds no key.
            None => {
                return KeyRange {
                    lower: Bound::Excluded(bytes(Vec::new())),
                    upper: Bound::Excluded(bytes(Vec::new())),
                };
            }
        },
        Bound::Unbounded => {
            let mut key = lead.to_vec();
            if nullable {
                key.push(1);
            }
            Bound::Included(bytes(key))
        }
    };
    let upper = match upper {
        Bound::Included(value) => behind(key(value)).map_or(Bound::Unbounded, Bound::Excluded),
        Bound::Excluded(value) => Bound::Excluded(bytes(key(value))),
        Bound::Unbounded => behind(lead.to_vec()).map_or(Bound::Unbounded, Bound::Excluded),
    };
    KeyRange { lower, upper }
}

/// The entries of an ordered index under `lead` columns (their key bytes) whose next column is null, and those where it
/// is not.
pub(super) fn split_nulls(plan: &IndexPlan, range: &KeyRange) -> Option<(KeyRange, KeyRange)> {
    if plan.kind == IndexKind::OrderedWord {
        let null = Key::Word(0);
        let nulls = KeyRange { lower: Bound::Included(null.clone()), upper: Bound::Included(null.clone()) };
        return Some((nulls, KeyRange { lower: Bound::Excluded(null), upper: range.upper.clone() }));
    }
    let lead = match &range.lower {
        Bound::Included(Key::Bytes(lead)) => lead.to_vec(),
        Bound::Unbounded => Vec::new(),
        _ => return None,
    };
    let nulls = KeyRange::under([lead.as_slice(), &[0]].concat());
    let values = KeyRange {
        lower: Bound::Included(Key::Bytes([lead.as_slice(), &[1]].concat().into())),
        upper: range.upper.clone(),
    };
    Some((nulls, values))
}
