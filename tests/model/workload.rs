//! What is done: random schemas, values that collide often, and operations drawn with the model's state in view.

use crate::ending::Ending;
use crate::model::{Condition, ModelDb, ModelTable, Ordered, Test};
use folio::{Column, ColumnDef, Index, IndexKind, Schema, Timestamp, Type, Uuid, Value};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use std::rc::Rc;

/// SplitMix64: small, seeded, and the same everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }
}

/// A column, as declared and as the model judges it.
#[derive(Debug)]
pub(crate) struct ColumnSpec {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) nullable: bool,
    pub(crate) unique: bool,
    pub(crate) default: Option<Value>,
    pub(crate) default_by_closure: bool,
    pub(crate) checked: bool,
}

/// An index, as declared.
#[derive(Debug, Clone)]
pub(crate) struct IndexSpec {
    pub(crate) name: String,
    pub(crate) kind: IndexKind,
    pub(crate) columns: Vec<usize>,
    pub(crate) unique: bool,
}

/// A table, as declared.
#[derive(Debug)]
pub(crate) struct TableSpec {
    pub(crate) name: String,
    pub(crate) columns: Vec<ColumnSpec>,
    pub(crate) key: Vec<usize>,
    pub(crate) auto: bool,
    pub(crate) indexes: Vec<IndexSpec>,
    pub(crate) row_check: bool,
    /// How many different values there are of each type: the fewer, the more collisions.
    pub(crate) pool: u64,
}

const TYPES: [&str; 21] = [
    "i8",
    "i16",
    "i32",
    "i64",
    "u8",
    "u16",
    "u32",
    "u64",
    "f32",
    "f64",
    "bool",
    "string",
    "string",
    "bytes",
    "uuid",
    "timestamp",
    "json",
    "3xf32",
    "2xu8",
    "4xi64",
    "2xuuid",
];

const INTEGERS: [&str; 8] = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];

/// The condition that every checked column has.
pub(crate) fn accepts(value: &Value) -> bool {
    match value {
        Value::Int(value) => value.rem_euclid(11) != 3,
        Value::UInt(value) => value % 11 != 3,
        Value::Float(value) => *value != 3.0,
        Value::String(text) => text != "s3",
        _ => true,
    }
}

/// The condition on whole rows: the last two columns are not null together.
pub(crate) fn accepts_row(row: &[Value]) -> bool {
    !row.iter().rev().take(2).all(Value::is_null)
}

impl TableSpec {
    pub(crate) fn random(rng: &mut Rng, name: String, pool: u64) -> TableSpec {
        let mut columns = Vec::new();
        let key_form = rng.below(8);
        let auto = key_form < 3;
        // Half of the keys that are numbered are wide, else most tables would be exhausted at once.
        let width = if pool > 100 { 3 + 4 * rng.below(2) } else { rng.below(8) };
        let key_type = |rng: &mut Rng| loop {
            let ty: Type = TYPES[rng.below(21) as usize].parse().unwrap();
            if ty != Type::Json && (ty != Type::Bool) {
                return ty;
            }
        };
        let key_count = match key_form {
            0..3 => 1,
            3..6 => 1,
            6 => 2 + rng.below(2) as usize,
            _ => 0,
        };
        for place in 0..key_count {
            let ty = if auto { INTEGERS[width as usize].parse().unwrap() } else { key_type(rng) };
            columns.push(ColumnSpec {
                name: format!("k{place}"),
                ty,
                nullable: false,
                unique: false,
                default: None,
                default_by_closure: false,
                checked: rng.one_in(8),
            });
        }
        for place in 0..1 + rng.below(6) {
            let ty: Type = TYPES[rng.below(21) as usize].parse().unwrap();
            let nullable = rng.one_in(3);
            let mut column = ColumnSpec {
                name: format!("c{place}"),
                ty,
                nullable,
                unique: ty != Type::Json && ty != Type::Bool && rng.one_in(6),
                default: None,
                default_by_closure: rng.one_in(2),
                checked: rng.one_in(4),
            };
            if rng.one_in(3) {
                let value = random_value(rng, ty, pool);
                if accepts(&value) && !holds_nan(&value) {
                    // What has no JSON form can only come from a closure.
                    column.default_by_closure |= !is_finite(&value);
                    column.default = Some(value);
                }
            }
            columns.push(column);
        }
        let mut key: Vec<usize> = (0..key_count).collect();
        if rng.one_in(2) {
            key.reverse();
        }
        // The key does not always come first.
        if !key.is_empty() && rng.one_in(3) {
            let moved = columns.remove(0);
            columns.push(moved);
            let last = columns.len() - 1;
            key = key.iter().map(|&place| if place == 0 { last } else { place - 1 }).collect();
        }
        let mut spec = TableSpec { name, columns, key, auto, indexes: Vec::new(), row_check: rng.one_in(4), pool };
        for place in 0..rng.below(4) {
            if let Some(index) = spec.random_index(rng, format!("x{place}"), &spec.indexes) {
                spec.indexes.push(index);
            }
        }
        spec
    }

    /// An index that the schema allows beside `others`.
    pub(crate) fn random_index(&self, rng: &mut Rng, name: String, others: &[IndexSpec]) -> Option<IndexSpec> {
        let kind = if rng.one_in(2) { IndexKind::Hash } else { IndexKind::Ordered };
        let mut places: Vec<usize> =
            (0..self.columns.len()).filter(|&place| self.columns[place].ty != Type::Json).collect();
        let mut columns = Vec::new();
        for _ in 0..1 + rng.below(3) {
            if !places.is_empty() {
                columns.push(places.swap_remove(rng.below(places.len() as u64) as usize));
            }
        }
        let same = |index: &IndexSpec| index.kind == kind && index.columns == columns;
        let own = kind == IndexKind::Hash
            && (columns == self.key || matches!(*columns, [column] if self.columns[column].unique));
        if columns.is_empty() || own || others.iter().any(same) {
            return None;
        }
        Some(IndexSpec { name, kind, columns, unique: rng.one_in(4) })
    }

    pub(crate) fn schema(&self) -> Schema {
        let mut builder = Schema::builder(&self.name);
        for (place, spec) in self.columns.iter().enumerate() {
            let mut column = Column::new(&spec.name, spec.ty);
            if spec.nullable {
                column = column.nullable();
            }
            if spec.unique {
                column = column.unique();
            }
            if self.auto && self.key == [place] {
                column = column.auto_increment();
            }
            if let Some(default) = spec.default.clone() {
                column = if spec.default_by_closure {
                    column.default_with(move || default.clone())
                } else {
                    column.default(default)
                };
            }
            if spec.checked {
                column = column.check("accepted", accepts);
            }
            builder = builder.column(ColumnDef::from(column));
        }
        if !self.key.is_empty() {
            builder = builder.primary_key(self.key.iter().map(|&place| &self.columns[place].name));
        }
        for index in &self.indexes {
            builder = builder.index(self.index(index));
        }
        if self.row_check {
            let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
            builder = builder.check("not both null", move |row| {
                let last: Vec<Value> = names.iter().rev().take(2).map(|name| row.value(name).to_owned()).collect();
                accepts_row(&last)
            });
        }
        builder.build().unwrap()
    }

    pub(crate) fn index(&self, spec: &IndexSpec) -> Index {
        let names = spec.columns.iter().map(|&place| &self.columns[place].name);
        let index = if spec.kind == IndexKind::Hash { Index::hash(names) } else { Index::ordered(names) };
        let index = index.named(&spec.name);
        if spec.unique { index.unique() } else { index }
    }
}

/// Whether NaN is in the value.
pub(crate) fn holds_nan(value: &Value) -> bool {
    match value {
        Value::Float(value) => value.is_nan(),
        Value::Array(values) => values.iter().any(holds_nan),
        _ => false,
    }
}

fn is_finite(value: &Value) -> bool {
    match value {
        Value::Float(value) => value.is_finite(),
        Value::Array(values) => values.iter().all(is_finite),
        _ => true,
    }
}

/// A value of the type, most often one of few.
pub(crate) fn random_value(rng: &mut Rng, ty: Type, pool: u64) -> Value {
    let n = rng.below(pool);
    let edge = rng.one_in(24);
    let signed = |n: u64| if n % 4 == 1 { -(n as i64) } else { n as i64 };
    match ty {
        Type::I8 => Value::Int(if edge { i8::MIN.into() } else { i64::from(signed(n) as i8) }),
        Type::I16 => Value::Int(if edge { i16::MIN.into() } else { i64::from(signed(n) as i16) }),
        Type::I32 => Value::Int(if edge { i32::MIN.into() } else { signed(n) }),
        Type::I64 => Value::Int(if edge { i64::MIN + (n % 3) as i64 } else { signed(n) }),
        Type::U8 => Value::UInt(if edge { 255 } else { n % 256 }),
        Type::U16 => Value::UInt(if edge { u16::MAX.into() } else { n % 65_536 }),
        Type::U32 => Value::UInt(if edge { u32::MAX.into() } else { n }),
        Type::U64 => Value::UInt(if edge { u64::MAX - n % 3 } else { n }),
        Type::F32 | Type::F64 => Value::Float(match (edge, n % 5) {
            (true, 0) => -0.0,
            (true, 1) => f64::INFINITY,
            (true, 2) => f64::NEG_INFINITY,
            (true, 3) => 0.0,
            (true, _) if rng.one_in(4) => f64::NAN,
            _ => signed(n) as f64 / 2.0,
        }),
        Type::Bool => Value::Bool(n.is_multiple_of(2)),
        Type::String => Value::String(text(rng, n, edge)),
        Type::Bytes => Value::Bytes(text(rng, n, edge).into_bytes()),
        Type::Uuid => Value::Uuid(uuid(n)),
        Type::Timestamp => Value::Timestamp(Timestamp::from_micros(if edge { i64::MIN } else { signed(n) })),
        Type::Json => Value::Json(match n % 5 {
            0 => serde_json::json!({"n": n, "text": text(rng, n, edge)}),
            1 => serde_json::json!([n, null, {"a": []}]),
            2 => serde_json::json!(n as f64 / 4.0),
            3 => serde_json::json!(text(rng, n, edge)),
            _ => serde_json::json!(n.is_multiple_of(2)),
        }),
        Type::Array(array) => {
            let mut one = || random_value(rng, array.element().into(), pool.min(4));
            Value::Array((0..array.len()).map(|_| one()).collect())
        }
    }
}

fn uuid(n: u64) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    Uuid::from_bytes(bytes)
}

/// Text of the number: short, at times around the length from which values leave the page, seldom far beyond it.
fn text(rng: &mut Rng, n: u64, edge: bool) -> String {
    if edge && rng.one_in(40) {
        return format!("{n}{}", "z".repeat(100_000));
    }
    match (edge, n % 6) {
        (true, 0) => String::new(),
        (true, 1) => "\0".to_string(),
        (true, _) => {
            let len = [1022, 1023, 1024, 1025, 3000][rng.below(5) as usize];
            let mut text = format!("{n}-");
            text.extend(std::iter::repeat_n('y', len - text.len()));
            text
        }
        (false, 5) => format!("ß{n}\0…"),
        _ => format!("s{n}"),
    }
}

/// A row as it is handed in.
#[derive(Debug, Clone)]
pub(crate) enum RowInput {
    /// In column order.
    Seq(Vec<Value>),
    /// By name.
    Map(Vec<(String, Value)>),
}

impl Serialize for RowInput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            RowInput::Seq(values) => {
                let mut seq = serializer.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| seq.serialize_element(value))?;
                seq.end()
            }
            RowInput::Map(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

/// One operation on one table.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Insert(RowInput),
    InsertMany(Vec<RowInput>),
    Upsert(RowInput),
    Replace(RowInput),
    Update(Vec<Value>, RowInput),
    Modify(Vec<Value>, Vec<(usize, Value)>, Ending),
    Delete(Vec<Value>),
    Clear,
    Get(Vec<Value>),
    GetMany(Vec<Vec<Value>>),
    Find(usize, Value),
    Nth(u64),
    Range(Vec<Value>, Vec<Value>),
    Query(Condition),
    Order(Ordered),
    Distinct(Ordered, Vec<usize>),
    Aggregate(Ordered, usize),
    DeleteWhere(Condition),
    UpdateWhere(Condition, RowInput),
    ModifyWhere(Condition, Vec<(usize, Value)>, Ending),
    CreateIndex(IndexSpec),
    DropIndex(String),
}

/// The key of a random row of the table, or of none.
pub(crate) fn random_key(rng: &mut Rng, table: &ModelTable) -> Vec<Value> {
    if !rng.one_in(4)
        && let Some((id, row)) = table.random_row(rng)
    {
        return table.key_of(id, row);
    }
    let spec = &table.spec;
    if spec.key.is_empty() || spec.auto {
        return vec![if rng.one_in(8) { beyond(rng) } else { Value::UInt(rng.below(2 * spec.pool)) }];
    }
    spec.key
        .iter()
        .map(|&place| {
            if spec.columns[place].ty.is_integer() && rng.one_in(8) {
                return beyond(rng);
            }
            loop {
                let value = random_value(rng, spec.columns[place].ty, spec.pool);
                if !holds_nan(&value) {
                    return value;
                }
            }
        })
        .collect()
}

/// An integer that most columns cannot hold.
fn beyond(rng: &mut Rng) -> Value {
    let numbers = [i64::MIN, -70_000, -200, -1, 256, 70_000, i64::MAX];
    match rng.below(8) {
        7 => Value::UInt(u64::MAX),
        place => Value::Int(numbers[place as usize]),
    }
}

/// A key's value for a row: numbers are small, so that they collide, and seldom huge.
fn key_value(rng: &mut Rng, spec: &TableSpec, place: usize) -> Value {
    let ty = spec.columns[place].ty;
    if !spec.auto {
        return random_value(rng, ty, spec.pool);
    }
    match ty {
        Type::U64 | Type::I64 if rng.one_in(40) => {
            let bits = [12, 20, 33, 62][rng.below(4) as usize];
            Value::UInt(rng.below(1 << bits))
        }
        Type::U8 | Type::I8 if rng.one_in(400) => Value::UInt(127),
        Type::U64 if rng.one_in(4000) => Value::UInt(u64::MAX),
        Type::I64 | Type::I32 | Type::I16 if rng.one_in(200) => Value::Int(-1 - rng.below(3) as i64),
        _ => {
            Value::UInt(rng.below(spec.pool) % 100_000 % if matches!(ty, Type::U8 | Type::I8) { 100 } else { 1 << 15 })
        }
    }
}

/// A row for the table, one in sixteen of which has something wrong with it.
pub(crate) fn random_row(rng: &mut Rng, spec: &TableSpec, with_key: bool) -> RowInput {
    let mut fields: Vec<(usize, Value)> = Vec::new();
    for (place, column) in spec.columns.iter().enumerate() {
        let value = if spec.key.contains(&place) {
            match (spec.auto, with_key) {
                (true, false) if rng.one_in(2) => Value::Null,
                (true, false) => continue,
                _ => key_value(rng, spec, place),
            }
        } else if column.nullable && rng.one_in(4) {
            Value::Null
        } else if (column.default.is_some() || column.nullable) && rng.one_in(4) {
            continue;
        } else {
            random_value(rng, column.ty, spec.pool)
        };
        fields.push((place, value));
    }
    let mut extra = None;
    if rng.one_in(16) {
        spoil(rng, spec, &mut fields, &mut extra);
    }
    if fields.len() == spec.columns.len() && extra.is_none() && rng.one_in(2) {
        return RowInput::Seq(fields.into_iter().map(|(_, value)| value).collect());
    }
    let named = |(place, value): (usize, Value)| (spec.columns[place].name.clone(), value);
    let mut fields: Vec<_> = fields.into_iter().map(named).collect();
    fields.extend(extra);
    if rng.one_in(4) {
        fields.reverse();
    }
    RowInput::Map(fields)
}

fn spoil(rng: &mut Rng, spec: &TableSpec, fields: &mut Vec<(usize, Value)>, extra: &mut Option<(String, Value)>) {
    let at = rng.below(fields.len() as u64) as usize;
    let Some((place, value)) = fields.get_mut(at) else { return };
    match rng.below(5) {
        0 => *value = Value::Null,
        1 => {
            // Wrong in every type but the one: no type takes both.
            *value = if spec.columns[*place].ty == Type::Bool { Value::Float(0.5) } else { Value::Bool(true) };
        }
        2 => {
            fields.remove(at);
        }
        3 if spec.columns[*place].ty.is_integer() => *value = Value::Float(1.5),
        3 => *value = Value::Array(vec![Value::Null]),
        _ => *extra = Some(("unknown".to_string(), Value::Null)),
    }
}

/// A patch: some columns of a row.
pub(crate) fn random_patch(rng: &mut Rng, spec: &TableSpec) -> RowInput {
    let with_key = rng.one_in(6);
    let RowInput::Map(fields) = (loop {
        let row = random_row(rng, spec, with_key);
        if matches!(row, RowInput::Map(_)) {
            break row;
        }
        let RowInput::Seq(values) = row else { continue };
        let named = values.into_iter().zip(&spec.columns).map(|(value, column)| (column.name.clone(), value));
        break RowInput::Map(named.collect());
    }) else {
        return RowInput::Map(Vec::new());
    };
    let is_key = |name: &str| spec.key.iter().any(|&place| spec.columns[place].name == name);
    let kept = fields.into_iter().filter(|(name, _)| if is_key(name) { with_key } else { rng.one_in(2) });
    RowInput::Map(kept.collect())
}

/// A condition, with the value of a row of the table as often as not.
fn random_condition(rng: &mut Rng, table: &ModelTable, depth: u64) -> Condition {
    let side = |rng: &mut Rng| Box::new(random_condition(rng, table, depth + 1));
    match rng.below(if depth < 3 { 10 } else { 5 }) {
        5 => return Condition::Not(side(rng)),
        6..9 => return Condition::And(side(rng), side(rng)),
        9 => return Condition::Or(side(rng), side(rng)),
        _ => {}
    }
    let spec = &table.spec;
    let place = rng.below(spec.columns.len() as u64) as usize;
    let operand = |rng: &mut Rng| {
        let of_row = table.random_row(rng).map(|(_, row)| row[place].clone()).filter(|value| !value.is_null());
        match of_row {
            Some(value) if rng.one_in(2) => value,
            _ => random_value(rng, spec.columns[place].ty, spec.pool),
        }
    };
    if rng.one_in(8) {
        return Condition::Null(place);
    }
    let tests = [Test::Equal, Test::Equal, Test::NotEqual, Test::Below, Test::AtLeast];
    let has_order = spec.columns[place].ty != Type::Json;
    let test = tests[rng.below(if has_order { 5 } else { 3 }) as usize];
    match rng.below(8) {
        0 => Condition::OneOf(place, (0..rng.below(6)).map(|_| operand(rng)).collect()),
        1 => Condition::Closure(place, test, operand(rng)),
        _ => Condition::Compare(place, test, operand(rng)),
    }
}

fn random_order(rng: &mut Rng, table: &ModelTable) -> Ordered {
    let condition = rng.one_in(2).then(|| random_condition(rng, table, 1));
    let mut terms = Vec::new();
    match rng.pick(&table.indexes).filter(|_| rng.0.is_multiple_of(2)) {
        Some(index) => terms.extend(index.columns.iter().map(|&place| (place, rng.0 % 4 < 2))),
        None => {
            for _ in 0..1 + rng.below(2) {
                let place = rng.below(table.spec.columns.len() as u64) as usize;
                if table.spec.columns[place].ty != Type::Json {
                    terms.push((place, rng.one_in(2)));
                }
            }
        }
    }
    let (limit, offset) = match rng.below(4) {
        0 => (u64::MAX, 0),
        1 => (rng.below(5), rng.below(5)),
        _ => (rng.below(20), 0),
    };
    Ordered { condition, terms, limit, offset }
}

/// An operation on the table.
pub(crate) fn random_op(rng: &mut Rng, table: &ModelTable, rows_max: u64) -> Op {
    let spec = Rc::clone(&table.spec);
    // Tables that are full shrink again.
    let full = table.rows.len() as u64 > rows_max;
    match rng.below(1000) {
        0..170 if !full => Op::Insert(random_row(rng, &spec, false)),
        170..270 if !full => Op::Insert(random_row(rng, &spec, true)),
        270..300 if !full => {
            let count = match rng.below(8) {
                0 => rng.below(rows_max.min(300)),
                1 => 33,
                _ => rng.below(12),
            };
            let own_keys = rng.below(3);
            let mut rows: Vec<RowInput> = (0..count)
                .map(|_| {
                    let with_key = own_keys == 1 || own_keys == 2 && rng.one_in(4);
                    // A batch of rows that may each be bad would never go through.
                    loop {
                        let row = random_row(rng, &spec, with_key);
                        if table.validate(&row, None).is_ok() {
                            return row;
                        }
                    }
                })
                .collect();
            if rng.one_in(3) {
                rows.push(random_row(rng, &spec, true));
                let at = rng.below(rows.len() as u64) as usize;
                let last = rows.len() - 1;
                rows.swap(at, last);
            }
            Op::InsertMany(rows)
        }
        300..390 => {
            let with_key = !rng.one_in(8);
            Op::Upsert(random_row(rng, &spec, with_key))
        }
        390..440 => {
            let with_key = !rng.one_in(8);
            Op::Replace(random_row(rng, &spec, with_key))
        }
        440..560 => Op::Update(random_key(rng, table), random_patch(rng, &spec)),
        560..640 => {
            let mut sets = Vec::new();
            for _ in 0..1 + rng.below(3) {
                let place = rng.below(spec.columns.len() as u64) as usize;
                let column = &spec.columns[place];
                let value = if column.nullable && rng.one_in(3) {
                    Value::Null
                } else if spec.key.contains(&place) {
                    key_value(rng, &spec, place)
                } else {
                    random_value(rng, column.ty, spec.pool)
                };
                sets.push((place, value));
            }
            let ending = match rng.below(12) {
                0 => Ending::Error,
                1 => Ending::Panic,
                _ => Ending::Success,
            };
            Op::Modify(random_key(rng, table), sets, ending)
        }
        640..642 => Op::Clear,
        642..800 => Op::Get(random_key(rng, table)),
        800..810 => Op::GetMany((0..rng.below(40)).map(|_| random_key(rng, table)).collect()),
        810..850 => match rng.pick(&table.unique_columns()) {
            Some(&place) => match table.random_row(rng).filter(|_| rng.one_in(2)) {
                Some((_, row)) if !row[place].is_null() => Op::Find(place, row[place].clone()),
                _ if spec.columns[place].ty.is_integer() && rng.one_in(4) => Op::Find(place, beyond(rng)),
                _ => Op::Find(place, random_value(rng, spec.columns[place].ty, spec.pool)),
            },
            None => Op::Get(random_key(rng, table)),
        },
        850..870 => Op::Nth(rng.below(table.rows.len() as u64 + 2)),
        888..903 => Op::Query(random_condition(rng, table, 0)),
        903..909 => Op::Order(random_order(rng, table)),
        909..913 => {
            let with_order: Vec<usize> =
                (0..spec.columns.len()).filter(|&place| spec.columns[place].ty != Type::Json).collect();
            let place = |rng: &mut Rng| rng.pick(&with_order).copied();
            let query = random_order(rng, table);
            match (place(rng), place(rng)) {
                (Some(a), Some(b)) if rng.one_in(2) => Op::Distinct(query, if a == b { vec![a] } else { vec![a, b] }),
                (Some(place), _) => Op::Aggregate(query, place),
                _ => Op::Order(query),
            }
        }
        // Narrow ones, else tables would be empty at once.
        913..916 => {
            let narrow = |rng: &mut Rng| Box::new(random_condition(rng, table, 2));
            Op::DeleteWhere(Condition::And(narrow(rng), Box::new(Condition::And(narrow(rng), narrow(rng)))))
        }
        916..919 => {
            let free = table.free_columns();
            let Some(&place) = rng.pick(&free) else { return Op::Clear };
            let value = match spec.columns[place].nullable && rng.one_in(3) {
                true => Value::Null,
                false => random_value(rng, spec.columns[place].ty, spec.pool),
            };
            let ending = match rng.below(4) {
                0 => Ending::Error,
                1 => Ending::Panic,
                _ => Ending::Success,
            };
            Op::ModifyWhere(random_condition(rng, table, 1), vec![(place, value)], ending)
        }
        919..922 => {
            let free: Vec<String> =
                table.free_columns().iter().map(|&place| spec.columns[place].name.clone()).collect();
            let RowInput::Map(mut fields) = random_patch(rng, &spec) else { return Op::Clear };
            fields.retain(|(name, _)| free.contains(name));
            Op::UpdateWhere(random_condition(rng, table, 1), RowInput::Map(fields))
        }
        870..880 => Op::Range(random_key(rng, table), random_key(rng, table)),
        880..884 if rows_max < 1000 || rng.one_in(8) => {
            let name = format!("y{}", rng.below(3));
            match spec.random_index(rng, name, &table.indexes) {
                Some(index) => Op::CreateIndex(index),
                None => Op::Get(random_key(rng, table)),
            }
        }
        884..888 => match rng.pick(&table.indexes) {
            Some(index) => Op::DropIndex(index.name.clone()),
            // The index of a unique column, if it is one.
            None => {
                let column = rng.pick(&spec.columns).map_or("", |column| column.name.as_str());
                Op::DropIndex(format!("{}_by_{column}", spec.name))
            }
        },
        _ => Op::Delete(random_key(rng, table)),
    }
}

/// A table of the database.
pub(crate) fn random_table(rng: &mut Rng, db: &ModelDb) -> Option<String> {
    let names: Vec<&String> = db.tables.keys().collect();
    rng.pick(&names).map(|name| name.to_string())
}
