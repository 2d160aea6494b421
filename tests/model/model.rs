//! What must be: tables as plain maps, and what each operation answers.

use crate::ending::Ending;
use crate::workload::{IndexSpec, Rng, RowInput, TableSpec, accepts, accepts_row, holds_nan};
use folio::{IndexKind, Type, Value};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Codes of errors, of which an operation has to answer one.
pub(crate) type Codes = BTreeSet<&'static str>;

/// The values of a key, with the order that the documentation promises.
#[derive(Debug, Clone)]
pub(crate) struct Key(pub(crate) Vec<Value>);

pub(crate) fn compare(a: &Value, b: &Value) -> Ordering {
    fn integer(value: &Value) -> Option<i128> {
        match value {
            Value::Int(value) => Some((*value).into()),
            Value::UInt(value) => Some((*value).into()),
            _ => None,
        }
    }
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
        (Value::String(a), Value::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Uuid(a), Value::Uuid(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        }
        (a, b) => match (integer(a), integer(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => panic!("no order between {a:?} and {b:?}"),
        },
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        let pairs = self.0.iter().zip(&other.0);
        pairs.map(|(a, b)| compare(a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

/// Whether two values are the same to the bit, which is more than equal: zeros have a sign, and NaN is itself.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (a, b) => a == b,
    }
}

pub(crate) fn same_row(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

/// The value as a column of this type holds it.
fn fit(ty: Type, value: &Value) -> Result<Value, &'static str> {
    let range: Option<(i128, i128)> = match ty {
        Type::I8 => Some((i8::MIN.into(), i8::MAX.into())),
        Type::I16 => Some((i16::MIN.into(), i16::MAX.into())),
        Type::I32 => Some((i32::MIN.into(), i32::MAX.into())),
        Type::I64 => Some((i64::MIN.into(), i64::MAX.into())),
        Type::U8 => Some((0, u8::MAX.into())),
        Type::U16 => Some((0, u16::MAX.into())),
        Type::U32 => Some((0, u32::MAX.into())),
        Type::U64 => Some((0, u64::MAX.into())),
        _ => None,
    };
    match (ty, value) {
        (Type::Json, Value::Json(_)) => Ok(value.clone()),
        (Type::Json, Value::Bool(flag)) => Ok(Value::Json((*flag).into())),
        (Type::Json, Value::Array(_)) => Ok(Value::Json(serde_json::json!([null]))),
        (_, Value::Int(_) | Value::UInt(_)) if range.is_some() => {
            let number = match value {
                Value::Int(number) => i128::from(*number),
                Value::UInt(number) => i128::from(*number),
                _ => 0,
            };
            let inside = range.is_some_and(|(min, max)| (min..=max).contains(&number));
            if inside { Ok(value.clone()) } else { Err("out-of-range") }
        }
        (Type::F32 | Type::F64, Value::Float(_))
        | (Type::Bool, Value::Bool(_))
        | (Type::String, Value::String(_))
        | (Type::Bytes, Value::Bytes(_))
        | (Type::Uuid, Value::Uuid(_))
        | (Type::Timestamp, Value::Timestamp(_)) => Ok(value.clone()),
        (Type::Array(array), Value::Array(values)) => {
            let fitted: Result<Vec<Value>, _> = values.iter().map(|value| fit(array.element().into(), value)).collect();
            match fitted {
                Ok(values) if values.len() == array.len() => Ok(Value::Array(values)),
                Ok(_) => Err("wrong-arity"),
                Err(code) => Err(code),
            }
        }
        // One null in a sequence, which `spoil` makes.
        (Type::Uuid, Value::Array(_)) => Err("wrong-type"),
        _ => Err("wrong-type"),
    }
}

/// The order in which NaN has no place, within an array neither.
fn partial(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let mut orders = a.iter().zip(b).map(|(a, b)| partial(a, b));
            orders.find(|order| *order != Some(Ordering::Equal)).unwrap_or(Some(Ordering::Equal))
        }
        // Asked only whether they are equal.
        (Value::Json(a), Value::Json(b)) => (a == b).then_some(Ordering::Equal),
        (a, b) => Some(compare(a, b)),
    }
}

/// A comparison with a value, false for null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    Equal,
    NotEqual,
    Below,
    AtLeast,
}

impl Test {
    pub(crate) fn holds(self, value: &Value, operand: &Value) -> bool {
        if value.is_null() {
            return false;
        }
        // As Rust's operators: not equal holds for NaN, too.
        let Some(order) = partial(value, operand) else { return self == Test::NotEqual };
        match self {
            Test::Equal => order.is_eq(),
            Test::NotEqual => order.is_ne(),
            Test::Below => order.is_lt(),
            Test::AtLeast => order.is_ge(),
        }
    }
}

/// A condition on rows.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Compare(usize, Test, Value),
    OneOf(usize, Vec<Value>),
    Null(usize),
    /// The same as `Compare`, by a closure.
    Closure(usize, Test, Value),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

impl Condition {
    pub(crate) fn holds(&self, row: &[Value]) -> bool {
        match self {
            Condition::Compare(place, test, value) | Condition::Closure(place, test, value) => {
                test.holds(&row[*place], value)
            }
            Condition::OneOf(place, values) => values.iter().any(|value| Test::Equal.holds(&row[*place], value)),
            Condition::Null(place) => row[*place].is_null(),
            Condition::And(a, b) => a.holds(row) && b.holds(row),
            Condition::Or(a, b) => a.holds(row) || b.holds(row),
            Condition::Not(a) => !a.holds(row),
        }
    }
}

/// Rows that are asked for in an order: columns, and whether each is descending.
#[derive(Debug, Clone)]
pub(crate) struct Ordered {
    pub(crate) condition: Option<Condition>,
    pub(crate) terms: Vec<(usize, bool)>,
    pub(crate) limit: u64,
    pub(crate) offset: u64,
}

/// The columns of a unique index, and whose each value is.
type Unique = (Vec<usize>, BTreeMap<Rc<Key>, u64>);

/// A table as a map from row id to row.
#[derive(Debug, Clone)]
pub(crate) struct ModelTable {
    pub(crate) spec: Rc<TableSpec>,
    /// Tells a table from another of its name.
    pub(crate) identity: u64,
    pub(crate) indexes: Rc<Vec<IndexSpec>>,
    pub(crate) rows: BTreeMap<u64, Rc<Vec<Value>>>,
    /// For each set of columns that is unique, where each key is. The primary key first, if it is not the row id.
    uniques: Vec<Unique>,
    /// The next number is at least this, unless that is none, and at most `ceiling`: batches that failed in the middle may
    /// have taken some.
    pub(crate) floor: u64,
    pub(crate) ceiling: u64,
    /// Above every number that was given, and every key that is or was stored and not rolled back: where numbers go on
    /// when a key that was rolled back left none.
    pub(crate) given: u64,
    pub(crate) next_id: u64,
}

impl ModelTable {
    pub(crate) fn new(spec: Rc<TableSpec>, identity: u64) -> ModelTable {
        let first = u64::from(spec.auto);
        let indexes = Rc::new(spec.indexes.clone());
        let mut table = ModelTable {
            spec,
            identity,
            indexes,
            rows: BTreeMap::new(),
            uniques: Vec::new(),
            floor: first,
            ceiling: first,
            given: first,
            next_id: first,
        };
        table.build_uniques();
        table
    }

    /// Makes the maps of unique keys anew; false if two rows have the same key.
    pub(crate) fn build_uniques(&mut self) -> bool {
        let spec = &self.spec;
        let mut sets: Vec<Vec<usize>> = Vec::new();
        if !spec.auto && !spec.key.is_empty() {
            sets.push(spec.key.clone());
        }
        sets.extend((0..spec.columns.len()).filter(|&place| spec.columns[place].unique).map(|place| vec![place]));
        sets.extend(self.indexes.iter().filter(|index| index.unique).map(|index| index.columns.clone()));
        self.uniques = sets.into_iter().map(|columns| (columns, BTreeMap::new())).collect();
        let mut sound = true;
        for (columns, map) in &mut self.uniques {
            for (id, row) in &self.rows {
                if let Some(key) = key_in(columns, row) {
                    sound &= map.insert(Rc::new(key), *id).is_none();
                }
            }
        }
        sound
    }

    /// Columns that no key and no unique index has.
    pub(crate) fn free_columns(&self) -> Vec<usize> {
        let taken = |place: &usize| {
            self.spec.key.contains(place) || self.uniques.iter().any(|(columns, _)| columns.contains(place))
        };
        (0..self.spec.columns.len()).filter(|place| !taken(place)).collect()
    }

    /// Columns that `find` takes.
    pub(crate) fn unique_columns(&self) -> Vec<usize> {
        let spec = &self.spec;
        let mut columns: Vec<usize> =
            (0..spec.columns.len()).filter(|&place| spec.columns[place].unique || *spec.key == [place]).collect();
        let unique = |index: &&IndexSpec| index.unique && index.columns.len() == 1;
        columns.extend(self.indexes.iter().filter(unique).map(|index| index.columns[0]));
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    pub(crate) fn random_row(&self, rng: &mut Rng) -> Option<(u64, &Rc<Vec<Value>>)> {
        let (first, last) = (*self.rows.first_key_value()?.0, *self.rows.last_key_value()?.0);
        let from = first + rng.below((last - first).saturating_add(1));
        self.rows.range(from..).next().map(|(id, row)| (*id, row))
    }

    /// The key by which `get` finds the row.
    pub(crate) fn key_of(&self, id: u64, row: &[Value]) -> Vec<Value> {
        if self.spec.auto || self.spec.key.is_empty() {
            return vec![Value::UInt(id)];
        }
        self.spec.key.iter().map(|&place| row[place].clone()).collect()
    }

    /// What a write of the row answers: its key if that is one integer, else its id.
    pub(crate) fn answer_of(&self, id: u64, row: &[Value]) -> u64 {
        match *self.spec.key {
            [place] if !self.spec.auto => match row[place] {
                Value::Int(key) => key as u64,
                Value::UInt(key) => key,
                _ => id,
            },
            _ => id,
        }
    }

    /// The id of the row that this key names.
    pub(crate) fn id_of(&self, key: &[Value]) -> Option<u64> {
        if self.spec.auto || self.spec.key.is_empty() {
            let id = match key {
                [Value::UInt(id)] => *id,
                [Value::Int(id)] => u64::try_from(*id).ok()?,
                _ => return None,
            };
            return self.rows.contains_key(&id).then_some(id);
        }
        self.uniques[0].1.get(&Key(key.to_vec())).copied()
    }

    /// The id of the row whose unique column has this value.
    pub(crate) fn find(&self, place: usize, value: &Value) -> Option<u64> {
        if self.spec.auto && self.spec.key == [place] {
            return self.id_of(std::slice::from_ref(value));
        }
        let (_, map) = self.uniques.iter().find(|(columns, _)| *columns == [place])?;
        map.get(&Key(vec![value.clone()])).copied()
    }

    /// The rows in the order in which `iter` has them.
    pub(crate) fn in_key_order(&self) -> Vec<(u64, Rc<Vec<Value>>)> {
        if self.spec.auto || self.spec.key.is_empty() {
            return self.rows.iter().map(|(id, row)| (*id, Rc::clone(row))).collect();
        }
        self.uniques[0].1.values().map(|id| (*id, Rc::clone(&self.rows[id]))).collect()
    }

    /// The complete row that `input` makes, on top of `old` if it is a patch. The auto-increment key of a row that gives
    /// none is null.
    pub(crate) fn validate(&self, input: &RowInput, old: Option<(u64, &[Value])>) -> Result<Vec<Value>, Codes> {
        let spec = &self.spec;
        let mut codes = Codes::new();
        let mut given: Vec<Option<Value>> = vec![None; spec.columns.len()];
        match input {
            RowInput::Seq(values) => {
                if values.len() != spec.columns.len() {
                    codes.insert("wrong-arity");
                }
                for (place, value) in values.iter().enumerate().take(given.len()) {
                    given[place] = Some(value.clone());
                }
            }
            RowInput::Map(fields) => {
                for (name, value) in fields {
                    match spec.columns.iter().position(|column| column.name == *name) {
                        Some(place) => given[place] = Some(value.clone()),
                        None => {
                            codes.insert("unknown-field");
                        }
                    }
                }
            }
        }
        let mut row = Vec::with_capacity(given.len());
        for (place, value) in given.into_iter().enumerate() {
            let column = &spec.columns[place];
            let numbered = spec.auto && spec.key == [place];
            row.push(match value {
                Some(Value::Null) if numbered => old.map_or(Value::Null, |(id, _)| Value::UInt(id)),
                Some(Value::Null) if column.nullable => Value::Null,
                Some(Value::Null) => {
                    codes.insert("null-not-allowed");
                    Value::Null
                }
                Some(value) => fit(column.ty, &value).unwrap_or_else(|code| {
                    codes.insert(code);
                    Value::Null
                }),
                None => match (old, &column.default) {
                    (Some((_, old)), _) => old[place].clone(),
                    (None, _) if numbered => Value::Null,
                    (None, Some(default)) => default.clone(),
                    (None, None) if column.nullable => Value::Null,
                    (None, None) => {
                        codes.insert("missing-field");
                        Value::Null
                    }
                },
            });
        }
        if codes.is_empty() {
            self.check(&row, &mut codes);
            // Numbered before it is checked, where checks look at the number, which is judged elsewhere.
            if old.is_none() && !codes.is_empty() {
                codes.extend(self.checks_number().then_some("check-violation"));
                let is_numbered = self.checks_number() || spec.row_check && spec.auto;
                let is_last = is_numbered && self.ceiling > self.last_number();
                codes.extend(is_last.then_some("auto-increment-exhausted"));
            }
        }
        if codes.is_empty() { Ok(row) } else { Err(codes) }
    }

    /// The value as the column holds it, set by itself.
    pub(crate) fn fit(&self, place: usize, value: &Value) -> Result<Value, &'static str> {
        let column = &self.spec.columns[place];
        match value {
            Value::Null if column.nullable => Ok(Value::Null),
            Value::Null => Err("null-not-allowed"),
            value => fit(column.ty, value),
        }
    }

    /// What a complete row can be refused for, but for uniqueness.
    pub(crate) fn check(&self, row: &[Value], codes: &mut Codes) {
        let spec = &self.spec;
        let in_key = |place: usize| {
            spec.key.contains(&place)
                || spec.columns[place].unique
                || self.indexes.iter().any(|index| index.columns.contains(&place))
        };
        for (place, value) in row.iter().enumerate() {
            if holds_nan(value) && in_key(place) {
                codes.insert("nan-in-key");
            }
            if spec.columns[place].checked && !value.is_null() && !accepts(value) {
                codes.insert("check-violation");
            }
        }
        // A key that is to be numbered is so before.
        let numbered = spec.auto && spec.key[0] + 2 >= row.len();
        if spec.row_check && !numbered && !accepts_row(row) {
            codes.insert("check-violation");
        }
        if self.indexes.iter().any(|index| self.key_too_long(index, row)) {
            // Found late: with the keys, when the row's place is known.
            codes.extend(["limit", "no-such-row", "unique-violation", "invalid-query", "out-of-range"]);
            codes.insert("auto-increment-exhausted");
        }
    }

    /// The id that the row gives itself.
    pub(crate) fn own_id(&self, row: &[Value]) -> Result<Option<u64>, &'static str> {
        if !self.spec.auto {
            return Ok(None);
        }
        match row[self.spec.key[0]] {
            Value::UInt(id) => Ok(Some(id)),
            Value::Int(id) => u64::try_from(id).map(Some).map_err(|_| "out-of-range"),
            _ => Ok(None),
        }
    }

    /// Whether the row's key in an ordered index is above the limit of 4 KiB.
    pub(crate) fn key_too_long(&self, index: &IndexSpec, row: &[Value]) -> bool {
        let length = |place: &usize| {
            let bytes = match &row[*place] {
                Value::String(text) => text.as_bytes(),
                Value::Bytes(bytes) => bytes,
                value => return value_bytes(value),
            };
            bytes.len() + bytes.iter().filter(|byte| **byte == 0).count() + 2
        };
        let nullable = index.columns.iter().filter(|&&place| self.spec.columns[place].nullable).count();
        index.kind == IndexKind::Ordered && nullable + index.columns.iter().map(length).sum::<usize>() > 4096
    }

    /// Whether another row than `except` has one of the row's unique keys.
    pub(crate) fn has_conflict(&self, row: &[Value], except: Option<u64>) -> bool {
        self.uniques.iter().any(|(columns, map)| {
            let found = key_in(columns, row).and_then(|key| map.get(&key).copied());
            found.is_some() && found != except
        })
    }

    /// The last number that the key can be given.
    pub(crate) fn last_number(&self) -> u64 {
        if !self.spec.auto {
            return u64::MAX - 1;
        }
        match self.spec.columns[self.spec.key[0]].ty {
            Type::I8 => i8::MAX as u64,
            Type::U8 => u8::MAX.into(),
            Type::I16 => i16::MAX as u64,
            Type::U16 => u16::MAX.into(),
            Type::I32 => i32::MAX as u64,
            Type::U32 => u32::MAX.into(),
            Type::I64 => i64::MAX as u64,
            _ => u64::MAX - 1,
        }
    }

    /// The least number that may come next.
    pub(crate) fn lowest_free(&self) -> u64 {
        if self.floor <= self.last_number() { self.floor } else { self.given.max(self.next_id) }
    }

    /// A fork's, which has given no numbers yet: they go on from where its version stood.
    pub(crate) fn number_from_here(&mut self) {
        (self.floor, self.ceiling, self.given) = (self.next_id, self.next_id, self.next_id);
    }

    /// Whether the next number is known: it then is the lowest.
    pub(crate) fn is_exact(&self) -> bool {
        self.floor == self.ceiling && self.floor <= self.last_number()
    }

    /// Whether a row's number is checked.
    pub(crate) fn checks_number(&self) -> bool {
        self.spec.auto && self.spec.columns[self.spec.key[0]].checked
    }

    /// Why the row cannot be inserted, and why it may perhaps not be: where the next number is not known.
    pub(crate) fn insert_codes(&self, row: &[Value], is_exact: bool) -> (Codes, Codes) {
        let (mut codes, mut perhaps) = (Codes::new(), Codes::new());
        match self.own_id(row) {
            Err(code) => {
                codes.insert(code);
            }
            Ok(Some(id)) if self.rows.contains_key(&id) => {
                codes.insert("unique-violation");
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                let number = self.lowest_free();
                if number > self.last_number() {
                    codes.insert("auto-increment-exhausted");
                } else if is_exact && self.checks_number() && !accepts(&Value::UInt(number)) {
                    codes.insert("check-violation");
                }
                perhaps.extend((self.ceiling > self.last_number()).then_some("auto-increment-exhausted"));
                perhaps.extend((self.checks_number() && !is_exact).then_some("check-violation"));
            }
        }
        if self.has_conflict(row, None) {
            codes.insert("unique-violation");
        }
        (codes, perhaps)
    }

    /// Stores the row under the id.
    pub(crate) fn put(&mut self, id: u64, mut row: Vec<Value>) {
        self.take(id);
        if self.spec.auto {
            row[self.spec.key[0]] = Value::UInt(id);
        }
        for (columns, map) in &mut self.uniques {
            if let Some(key) = key_in(columns, &row) {
                map.insert(Rc::new(key), id);
            }
        }
        self.rows.insert(id, Rc::new(row));
        self.raise(id);
    }

    /// Notes that the id was taken.
    pub(crate) fn raise(&mut self, id: u64) {
        self.next_id = self.next_id.max(id.saturating_add(1));
        self.floor = self.floor.max(self.next_id);
        self.ceiling = self.ceiling.max(self.floor);
    }

    pub(crate) fn take(&mut self, id: u64) -> Option<Rc<Vec<Value>>> {
        let old = self.rows.remove(&id)?;
        for (columns, map) in &mut self.uniques {
            if let Some(key) = key_in(columns, &old) {
                map.remove(&key);
            }
        }
        Some(old)
    }

    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.uniques.iter_mut().for_each(|(_, map)| map.clear());
    }

    /// What changing row `id` to `row` answers, and the id that it has then.
    pub(crate) fn change_codes(&self, id: u64, row: &[Value]) -> (Codes, u64) {
        let mut codes = Codes::new();
        let wanted = match self.own_id(row) {
            Err(code) => {
                codes.insert(code);
                id
            }
            Ok(wanted) => wanted.unwrap_or(id),
        };
        if wanted != id && self.rows.contains_key(&wanted) || self.has_conflict(row, Some(id)) {
            codes.insert("unique-violation");
        }
        (codes, wanted)
    }
}

/// Bytes of a value of fixed width in a key, or rather more: only long strings come near the limit.
fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(value_bytes).sum(),
        _ => 8,
    }
}

fn key_in(columns: &[usize], row: &[Value]) -> Option<Key> {
    let values: Vec<Value> = columns.iter().map(|&place| row[place].clone()).collect();
    (!values.iter().any(Value::is_null)).then_some(Key(values))
}

/// A database as a map of tables.
#[derive(Debug, Clone, Default)]
pub(crate) struct ModelDb {
    pub(crate) tables: BTreeMap<String, ModelTable>,
}

impl ModelDb {
    /// Goes back to `before`, keeping the numbers that were given.
    pub(crate) fn roll_back(&mut self, before: ModelDb) {
        let after = std::mem::replace(self, before);
        for (name, table) in &mut self.tables {
            match after.tables.get(name).filter(|after| after.identity == table.identity) {
                Some(after) => {
                    table.floor = table.floor.max(after.floor);
                    table.ceiling = table.ceiling.max(after.ceiling);
                    table.given = table.given.max(after.given);
                }
                // It was dropped after numbers had been given, which is forgotten here.
                None => table.ceiling = u64::MAX,
            }
        }
    }
}

/// How one row differs: before and after.
pub(crate) type ModelChange = (Option<Rc<Vec<Value>>>, Option<Rc<Vec<Value>>>);

/// The rows that differ, by table and row id. A table that was dropped and made again is two tables, told apart by
/// `false` for what was deleted of the old one.
pub(crate) fn diff(a: &ModelDb, b: &ModelDb) -> BTreeMap<(String, u64, bool), ModelChange> {
    let mut changes = BTreeMap::new();
    let names: BTreeSet<&String> = a.tables.keys().chain(b.tables.keys()).collect();
    for name in names {
        let (old, new) = (a.tables.get(name), b.tables.get(name));
        let is_same = old.zip(new).is_some_and(|(old, new)| old.identity == new.identity);
        for (id, row) in old.iter().flat_map(|table| &table.rows) {
            let after = new.filter(|_| is_same).and_then(|new| new.rows.get(id));
            if after.is_none_or(|after| !same_row(row, after)) {
                changes.insert((name.clone(), *id, is_same), (Some(Rc::clone(row)), after.cloned()));
            }
        }
        for (id, row) in new.iter().flat_map(|table| &table.rows) {
            if !is_same || !old.is_some_and(|old| old.rows.contains_key(id)) {
                changes.insert((name.clone(), *id, true), (None, Some(Rc::clone(row))));
            }
        }
    }
    changes
}

/// The code that a closure with this ending is answered by.
pub(crate) fn ending_code(ending: Ending) -> Option<&'static str> {
    (ending == Ending::Error).then_some("aborted")
}
