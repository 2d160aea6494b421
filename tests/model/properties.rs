//! What is compared: reads of the database with the model, at three levels of cost.

use crate::model::{Condition, Key, ModelDb, ModelTable, Ordered, Test, compare, diff, same_row};
use folio::{
    Change, Database, Error, Predicate, Result, Row, RowMut, Select, Snapshot, SnapshotTable, Table, TransactionTable,
    Type, Value,
};
use std::collections::{BTreeMap, BTreeSet};

/// A row as read: its id and its values.
pub(crate) type Found = (u64, Vec<Value>);

fn found(row: &Row<'_>, table: &ModelTable) -> Found {
    (row.id(), table.spec.columns.iter().map(|column| row.value(&column.name).unwrap()).collect())
}

/// The reads that are compared, whatever they read from.
pub(crate) trait Reads {
    fn count(&self) -> Result<u64>;
    fn by_key(&self, model: &ModelTable, key: &[Value]) -> Result<Option<Found>>;
    fn by_keys(&self, model: &ModelTable, keys: &[Vec<Value>]) -> Result<Vec<Option<Found>>>;
    fn by_unique(&self, model: &ModelTable, place: usize, value: &Value) -> Result<Option<Found>>;
    fn by_rank(&self, model: &ModelTable, rank: u64) -> Result<Option<Found>>;
    fn all(&self, model: &ModelTable) -> Result<Vec<Found>>;
    fn all_backwards(&self, model: &ModelTable) -> Result<Vec<Found>>;
    fn both_ends(&self, model: &ModelTable) -> Result<Vec<Found>>;
    fn between(&self, model: &ModelTable, from: &[Value], to: &[Value]) -> Result<Vec<Found>>;
    fn below(&self, model: &ModelTable, to: &[Value]) -> Result<Vec<Found>>;
}

macro_rules! reads {
    ($($ty:ty),*) => {$(
        impl Reads for $ty {
            fn count(&self) -> Result<u64> {
                self.len()
            }

            fn by_key(&self, model: &ModelTable, key: &[Value]) -> Result<Option<Found>> {
                Ok(self.get(key)?.map(|row| found(&row, model)))
            }

            fn by_keys(&self, model: &ModelTable, keys: &[Vec<Value>]) -> Result<Vec<Option<Found>>> {
                Ok(self.get_many(keys)?.iter().map(|row| row.as_ref().map(|row| found(row, model))).collect())
            }

            fn by_unique(&self, model: &ModelTable, place: usize, value: &Value) -> Result<Option<Found>> {
                Ok(self.find(&model.spec.columns[place].name, value)?.map(|row| found(&row, model)))
            }

            fn by_rank(&self, model: &ModelTable, rank: u64) -> Result<Option<Found>> {
                Ok(self.nth(rank)?.map(|row| found(&row, model)))
            }

            fn all(&self, model: &ModelTable) -> Result<Vec<Found>> {
                Ok(self.iter()?.map(|row| found(&row, model)).collect())
            }

            fn all_backwards(&self, model: &ModelTable) -> Result<Vec<Found>> {
                Ok(self.iter()?.rev().map(|row| found(&row, model)).collect())
            }

            fn both_ends(&self, model: &ModelTable) -> Result<Vec<Found>> {
                let (mut rows, mut front, mut back) = (self.iter()?, Vec::new(), Vec::new());
                while let Some(row) = rows.next() {
                    front.push(found(&row, model));
                    back.extend(rows.next_back().map(|row| found(&row, model)));
                }
                assert!(rows.next_back().is_none(), "an iterator that has ended goes on from the other end");
                front.extend(back.into_iter().rev());
                Ok(front)
            }

            fn between(&self, model: &ModelTable, from: &[Value], to: &[Value]) -> Result<Vec<Found>> {
                Ok(self.range(from.to_vec()..=to.to_vec())?.map(|row| found(&row, model)).collect())
            }

            fn below(&self, model: &ModelTable, to: &[Value]) -> Result<Vec<Found>> {
                Ok(self.range(..to.to_vec())?.map(|row| found(&row, model)).collect())
            }
        }
    )*};
}

reads!(Table, SnapshotTable, TransactionTable<'_>);

/// Runs `$body` with a handle of a column whose type is known at run time.
macro_rules! typed {
    ($table:expr, $column:expr, $field:ident => $body:expr) => {
        typed!(
            $table, $column, $field => $body,
            I8: i8, I16: i16, I32: i32, I64: i64, U8: u8, U16: u16, U32: u32, U64: u64, F32: f32, F64: f64, Bool: bool,
            String: &str, Bytes: &[u8], Uuid: folio::Uuid, Timestamp: folio::Timestamp, Json: serde_json::Value;
            "3xf32": [f32; 3], "2xu8": [u8; 2], "4xi64": [i64; 4], "2xuuid": [folio::Uuid; 2]
        )
    };
    ($table:expr, $column:expr, $field:ident => $body:expr, $($ty:ident: $rust:ty),*; $($name:literal: $array:ty),*) => {
        match ($column.ty, $column.nullable) {
            $(
                (Type::$ty, false) => {
                    let $field = $table.column::<$rust>(&$column.name)?;
                    $body
                }
                (Type::$ty, true) => {
                    let $field = $table.column::<Option<$rust>>(&$column.name)?;
                    $body
                }
            )*
            (Type::Array(_), nullable) => match ($column.ty.to_string().as_str(), nullable) {
                $(
                    ($name, false) => {
                        let $field = $table.column::<$array>(&$column.name)?;
                        $body
                    }
                    ($name, true) => {
                        let $field = $table.column::<Option<$array>>(&$column.name)?;
                        $body
                    }
                )*
                (name, _) => panic!("the workload has no columns of type {name}"),
            },
        }
    };
}

/// Sets a column whose type is known at run time.
pub(crate) trait Handles {
    fn set(&self, row: &mut RowMut<'_>, model: &ModelTable, place: usize, value: Value) -> Result<()>;
}

macro_rules! handles {
    ($($ty:ty),*) => {$(
        impl Handles for $ty {
            fn set(&self, row: &mut RowMut<'_>, model: &ModelTable, place: usize, value: Value) -> Result<()> {
                let column = &model.spec.columns[place];
                typed!(self, column, field => {
                    let _ = row.get(field);
                    row.set(field, value)
                })
            }
        }
    )*};
}

handles!(Table, TransactionTable<'_>);

/// The queries that are compared.
pub(crate) trait Queries {
    fn predicate(&self, model: &ModelTable, condition: &Condition) -> Result<Predicate<'static>>;
    fn matching(&self, model: &ModelTable, condition: &Condition) -> Result<Vec<u64>>;
    fn matching_count(&self, model: &ModelTable, condition: &Condition) -> Result<u64>;
    fn chosen(&self, model: &ModelTable, query: &Ordered) -> Result<Select<'_>>;
    /// The least and the greatest value.
    fn extremes(&self, model: &ModelTable, query: &Ordered, place: usize) -> Result<[Value; 2]>;
    /// The sum, and the mean if there is one; `None` for a column that is no number.
    fn sum(&self, model: &ModelTable, query: &Ordered, place: usize) -> Result<Option<(Value, Option<f64>)>>;
    /// The ids of each group, by its key.
    fn groups(&self, model: &ModelTable, query: &Ordered, place: usize) -> Result<Vec<(Value, Vec<u64>)>>;
}

macro_rules! queries {
    ($($ty:ty),*) => {$(
        impl Queries for $ty {
            fn predicate(&self, model: &ModelTable, condition: &Condition) -> Result<Predicate<'static>> {
                let column = |place: &usize| &model.spec.columns[*place];
                Ok(match condition {
                    Condition::Compare(place, test, value) => typed!(self, column(place), field => match test {
                        Test::Equal => field.eq(value.clone()),
                        Test::NotEqual => field.ne(value.clone()),
                        Test::Below => field.lt(value.clone()),
                        Test::AtLeast => field.ge(value.clone()),
                    }),
                    Condition::OneOf(place, values) => typed!(self, column(place), field => field.is_in(values.clone())),
                    Condition::Null(place) => typed!(self, column(place), field => field.is_null()),
                    Condition::Closure(place, test, value) => {
                        let (name, test, value) = (column(place).name.clone(), *test, value.clone());
                        Predicate::from_fn(move |row: &Row<'_>| test.holds(&row.value(&name).unwrap(), &value))
                    }
                    Condition::And(a, b) => self.predicate(model, a)? & self.predicate(model, b)?,
                    Condition::Or(a, b) => self.predicate(model, a)? | self.predicate(model, b)?,
                    Condition::Not(a) => !self.predicate(model, a)?,
                })
            }

            fn matching(&self, model: &ModelTable, condition: &Condition) -> Result<Vec<u64>> {
                self.select().filter(self.predicate(model, condition)?).ids()
            }

            fn matching_count(&self, model: &ModelTable, condition: &Condition) -> Result<u64> {
                self.select().filter(self.predicate(model, condition)?).count()
            }

            fn chosen(&self, model: &ModelTable, query: &Ordered) -> Result<Select<'_>> {
                let mut select = self.select().limit(query.limit).offset(query.offset);
                if let Some(condition) = &query.condition {
                    select = select.filter(self.predicate(model, condition)?);
                }
                for (place, descending) in &query.terms {
                    let column = &model.spec.columns[*place];
                    let term = typed!(self, column, field => if *descending { field.desc() } else { field.asc() });
                    select = select.order_by(term);
                }
                Ok(select)
            }

            fn extremes(&self, model: &ModelTable, query: &Ordered, place: usize) -> Result<[Value; 2]> {
                let select = self.chosen(model, query)?;
                typed!(self, &model.spec.columns[place], field => {
                    Ok([select.min(field)?.into(), select.max(field)?.into()])
                })
            }

            fn sum(&self, model: &ModelTable, query: &Ordered, place: usize) -> Result<Option<(Value, Option<f64>)>> {
                let select = self.chosen(model, query)?;
                let column = &model.spec.columns[place];
                macro_rules! sums {
                    ($number:ty) => {
                        if column.nullable {
                            let field = self.column::<Option<$number>>(&column.name)?;
                            (select.sum(field)?.into(), select.avg(field)?)
                        } else {
                            let field = self.column::<$number>(&column.name)?;
                            (select.sum(field)?.into(), select.avg(field)?)
                        }
                    };
                }
                Ok(Some(match column.ty {
                    Type::I8 => sums!(i8),
                    Type::I16 => sums!(i16),
                    Type::I32 => sums!(i32),
                    Type::I64 => sums!(i64),
                    Type::U8 => sums!(u8),
                    Type::U16 => sums!(u16),
                    Type::U32 => sums!(u32),
                    Type::U64 => sums!(u64),
                    Type::F32 => sums!(f32),
                    Type::F64 => sums!(f64),
                    _ => return Ok(None),
                }))
            }

            fn groups(&self, model: &ModelTable, query: &Ordered, place: usize) -> Result<Vec<(Value, Vec<u64>)>> {
                let grouped = self.chosen(model, query)?;
                typed!(self, &model.spec.columns[place], field => {
                    let grouped = grouped.group_by(field);
                    let folded = grouped.fold(Vec::new(), |ids, row| ids.push(row.id()))?;
                    let counted = grouped.count()?;
                    assert!(counted.iter().map(|(_, count)| *count).eq(folded.iter().map(|(_, ids)| ids.len() as u64)));
                    Ok(folded.into_iter().map(|(key, ids)| (Value::from(key), ids)).collect())
                })
            }
        }
    )*};
}

queries!(Table, SnapshotTable, TransactionTable<'_>);

/// A condition's rows, as ids and as a count.
pub(crate) fn check_query(table: &impl Queries, model: &ModelTable, condition: &Condition) {
    let expected: Vec<u64> = model.rows.iter().filter(|(_, row)| condition.holds(row)).map(|(id, _)| *id).collect();
    let mut found = table.matching(model, condition).unwrap_or_else(|error| panic!("{condition:?}: {error}"));
    found.sort_unstable();
    assert_eq!(found, expected, "rows of `{}` with {condition:?}", model.spec.name);
    assert_eq!(table.matching_count(model, condition).unwrap(), expected.len() as u64, "count of {condition:?}");
}

/// The ids of the rows that the query finds, in its order, without offset and limit.
fn in_order(model: &ModelTable, query: &Ordered) -> Vec<u64> {
    let kept = |row: &[Value]| query.condition.as_ref().is_none_or(|condition| condition.holds(row));
    let mut expected: Vec<_> = model.rows.iter().filter(|(_, row)| kept(row)).collect();
    // Stable, so that rows which are equal stay in the order of ids. Null is behind all values in both directions.
    expected.sort_by(|(_, a), (_, b)| {
        let by_term = query.terms.iter().map(|(place, descending)| {
            let (a, b) = (&a[*place], &b[*place]);
            match (a.is_null(), b.is_null()) {
                (false, false) if *descending => compare(b, a),
                (false, false) => compare(a, b),
                (a, b) => a.cmp(&b),
            }
        });
        by_term.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
    expected.into_iter().map(|(id, _)| *id).collect()
}

fn limited(ids: Vec<u64>, query: &Ordered) -> Vec<u64> {
    ids.into_iter().skip(query.offset as usize).take(query.limit as usize).collect()
}

/// Rows in an order, some of them.
pub(crate) fn check_order(table: &impl Queries, model: &ModelTable, query: &Ordered) {
    let expected = limited(in_order(model, query), query);
    let found = table.chosen(model, query).and_then(|select| select.ids());
    let found = found.unwrap_or_else(|error| panic!("{query:?}: {error}"));
    assert_eq!(found, expected, "`{}` by {query:?}, indexes {:?}", model.spec.name, model.indexes);
}

/// Of rows that are equal in these columns the first, in an order.
pub(crate) fn check_distinct(table: &impl Queries, model: &ModelTable, query: &Ordered, places: &[usize]) {
    let mut seen = BTreeSet::new();
    let mut expected = in_order(model, query);
    expected.retain(|id| seen.insert(Key(places.iter().map(|&place| model.rows[id][place].clone()).collect())));
    let columns = places.iter().map(|&place| &model.spec.columns[place].name);
    let select = table.chosen(model, query).unwrap().columns(columns).distinct();
    let what = format!("`{}` distinct in {places:?} by {query:?}", model.spec.name);
    let expected = limited(expected, query);
    assert_eq!(select.ids().unwrap(), expected, "{what}");
    assert_eq!(select.count().unwrap(), expected.len() as u64, "{what}");
    assert_eq!(select.exists().unwrap(), !expected.is_empty(), "{what}");
}

/// What is computed of a column over some rows, whole and in groups.
pub(crate) fn check_aggregates(table: &impl Queries, model: &ModelTable, query: &Ordered, place: usize) {
    let what = format!("column {place} of `{}`, {query:?}", model.spec.name);
    let ids = limited(in_order(model, query), query);
    let value = |id: &u64| &model.rows[id][place];
    let values: Vec<&Value> = ids.iter().map(value).filter(|value| !value.is_null()).collect();
    let expected = [values.iter().min_by(|a, b| compare(a, b)), values.iter().max_by(|a, b| compare(a, b))];
    for (found, expected) in table.extremes(model, query, place).unwrap().iter().zip(expected) {
        let agree = expected.map_or(found.is_null(), |expected| !found.is_null() && compare(found, expected).is_eq());
        assert!(agree, "{what}: found {found:?}, expected {expected:?}");
    }
    check_sum(table.sum(model, query, place), &values, model.spec.columns[place].ty, &what);
    // Ascending, nulls last; within a group the order of the query.
    let mut expected: BTreeMap<(bool, Key), Vec<u64>> = BTreeMap::new();
    for id in &ids {
        expected.entry((value(id).is_null(), Key(vec![value(id).clone()]))).or_default().push(*id);
    }
    let found = table.groups(model, query, place).unwrap();
    assert_eq!(found.len(), expected.len(), "{what}: number of groups");
    for ((key, ids), ((_, expected_key), expected_ids)) in found.into_iter().zip(expected) {
        assert_eq!((Key(vec![key]), ids), (expected_key, expected_ids), "{what}: a group");
    }
}

fn check_sum(found: Result<Option<(Value, Option<f64>)>>, values: &[&Value], ty: Type, what: &str) {
    let is_signed = matches!(ty, Type::I8 | Type::I16 | Type::I32 | Type::I64);
    let integers = values.iter().map(|value| match value {
        Value::Int(value) => i128::from(*value),
        Value::UInt(value) => i128::from(*value),
        _ => 0,
    });
    let floats = || {
        values.iter().map(|value| match value {
            Value::Float(value) => *value,
            _ => 0.0,
        })
    };
    let (mean, sum) = match found {
        Ok(None) => return assert!(!ty.is_integer() && !ty.is_float(), "{what}: has a sum"),
        Ok(Some((sum, mean))) => (mean, sum),
        Err(error) => {
            let sum: i128 = integers.sum();
            let fits = if is_signed { i64::try_from(sum).is_ok() } else { u64::try_from(sum).is_ok() };
            return assert!(error.code() == "invalid-query" && ty.is_integer() && !fits, "{what}: {error}");
        }
    };
    assert_eq!(mean.is_some(), !values.is_empty(), "{what}: mean");
    let near = |found: f64, expected: f64, scale: f64| (found - expected).abs() <= scale * 1e-9;
    let count = values.len() as f64;
    if let Value::Float(sum) = sum {
        let (expected, scale): (f64, f64) = (floats().sum(), floats().map(f64::abs).sum());
        // The order of additions is not promised, so that what overflows on the way is not either.
        if scale < 1e300 {
            assert!(near(sum, expected, scale), "{what}: sum {sum}, expected {expected}");
            assert!(mean.is_none_or(|mean| near(mean, expected / count, scale)), "{what}: mean {mean:?}");
        } else if floats().any(f64::is_nan) {
            assert!(sum.is_nan() && mean.is_some_and(f64::is_nan), "{what}: sum {sum} with NaN");
        }
        return;
    }
    let expected: i128 = integers.sum();
    let sum = match sum {
        Value::Int(sum) => i128::from(sum),
        Value::UInt(sum) => i128::from(sum),
        other => panic!("{what}: the sum {other:?}"),
    };
    assert_eq!(sum, expected, "{what}: sum");
    let scale = (expected as f64).abs();
    assert!(mean.is_none_or(|mean| near(mean, expected as f64 / count, scale)), "{what}: mean {mean:?}");
}

/// Each index, asked for every key that a row has: by equality on all its columns, and in order if it is ordered.
fn check_indexes(table: &impl Queries, model: &ModelTable) {
    for index in model.indexes.iter() {
        let mut seen = BTreeSet::new();
        for row in model.rows.values() {
            let key = Key(index.columns.iter().map(|&place| row[place].clone()).collect());
            if !seen.insert(key.clone()) || seen.len() > 100 {
                continue;
            }
            let leaf = |(place, value): (&usize, Value)| match value.is_null() {
                true => Condition::Null(*place),
                false => Condition::Compare(*place, Test::Equal, value),
            };
            let all = index.columns.iter().zip(key.0).map(leaf);
            if let Some(condition) = all.reduce(|a, b| Condition::And(Box::new(a), Box::new(b))) {
                check_query(table, model, &condition);
            }
        }
        let terms = index.columns.iter().map(|&place| (place, false)).collect();
        check_order(table, model, &Ordered { condition: None, terms, limit: u64::MAX, offset: 0 });
    }
}

fn assert_same(what: &str, model: &ModelTable, found: Option<&Found>, expected: Option<u64>) {
    let expected = expected.map(|id| (id, &model.rows[&id]));
    let agree = match (found, &expected) {
        (Some((id, row)), Some((expected_id, expected))) => id == expected_id && same_row(row, expected),
        (None, None) => true,
        _ => false,
    };
    assert!(agree, "{what} of `{}`: found {found:?}, expected {expected:?}", model.spec.name);
}

fn assert_rows(what: &str, model: &ModelTable, found: &[Found], expected: &[(u64, std::rc::Rc<Vec<Value>>)]) {
    assert_eq!(found.len(), expected.len(), "{what} of `{}`: number of rows", model.spec.name);
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let agree = found.0 == expected.0 && same_row(&found.1, &expected.1);
        assert!(agree, "{what} of `{}` at {place}: found {found:?}, expected {expected:?}", model.spec.name);
    }
}

/// After a step: the rows of these keys, and the count.
pub(crate) fn check_keys(table: &impl Reads, model: &ModelTable, keys: &[Vec<Value>]) {
    assert_eq!(table.count().unwrap(), model.rows.len() as u64, "len of `{}`", model.spec.name);
    for key in keys {
        match table.by_key(model, key) {
            Ok(found) => assert_same("get", model, found.as_ref(), model.id_of(key)),
            Err(error) => assert_eq!(error.code(), "invalid-key", "get({key:?}): {error}"),
        }
    }
}

pub(crate) fn check_many(table: &impl Reads, model: &ModelTable, keys: &[Vec<Value>]) {
    let rows = table.by_keys(model, keys).unwrap();
    assert_eq!(rows.len(), keys.len());
    for (row, key) in rows.iter().zip(keys) {
        assert_same("get_many", model, row.as_ref(), model.id_of(key));
    }
}

pub(crate) fn check_find(table: &impl Reads, model: &ModelTable, place: usize, value: &Value) {
    assert_same("find", model, table.by_unique(model, place, value).unwrap().as_ref(), model.find(place, value));
}

pub(crate) fn check_rank(table: &impl Reads, model: &ModelTable, rank: u64) {
    let expected = model.rows.keys().nth(rank as usize).copied();
    assert_same("nth", model, table.by_rank(model, rank).unwrap().as_ref(), expected);
}

pub(crate) fn check_range(table: &impl Reads, model: &ModelTable, from: &[Value], to: &[Value]) {
    let key = |(id, row): &(u64, std::rc::Rc<Vec<Value>>)| Key(model.key_of(*id, row));
    let (low, high) = (Key(from.to_vec()), Key(to.to_vec()));
    let mut expected = model.in_key_order();
    expected.retain(|row| key(row) < high);
    assert_rows("range to", model, &table.below(model, to).unwrap(), &expected);
    let mut expected = model.in_key_order();
    expected.retain(|row| (&low..=&high).contains(&&key(row)));
    assert_rows("range", model, &table.between(model, from, to).unwrap(), &expected);
}

/// A whole table, by every way to its rows.
pub(crate) fn check_table(table: &(impl Reads + Queries), model: &ModelTable) {
    let mut expected = model.in_key_order();
    assert_eq!(table.count().unwrap(), expected.len() as u64, "len of `{}`", model.spec.name);
    assert_rows("iter", model, &table.all(model).unwrap(), &expected);
    assert_rows("iter from both ends", model, &table.both_ends(model).unwrap(), &expected);
    for (id, row) in &expected {
        let key = model.key_of(*id, row);
        assert_same("get", model, table.by_key(model, &key).unwrap().as_ref(), Some(*id));
    }
    let keys: Vec<Vec<Value>> = expected.iter().map(|(id, row)| model.key_of(*id, row)).collect();
    check_many(table, model, &keys);
    expected.reverse();
    assert_rows("iter backwards", model, &table.all_backwards(model).unwrap(), &expected);
    for place in model.unique_columns() {
        for (id, row) in model.rows.iter().filter(|(_, row)| !row[place].is_null()) {
            let found = table.by_unique(model, place, &row[place]).unwrap();
            assert_same("find", model, found.as_ref(), Some(*id));
        }
    }
    for (rank, id) in model.rows.keys().enumerate() {
        assert_same("nth", model, table.by_rank(model, rank as u64).unwrap().as_ref(), Some(*id));
    }
    assert!(table.by_rank(model, model.rows.len() as u64).unwrap().is_none());
    check_indexes(table, model);
}

pub(crate) fn check_database(db: &Database, model: &ModelDb) {
    assert!(db.table_names().iter().eq(model.tables.keys()), "tables of the database");
    for (name, table) in &model.tables {
        check_table(&db.table(name).unwrap(), table);
    }
    let stats = db.stats();
    for figures in &stats.tables {
        assert_eq!(figures.rows, model.tables[&figures.name].rows.len() as u64, "rows of `{}` in stats", figures.name);
        // Kept through all that was done to the table, and counted.
        let size = db.table(&figures.name).unwrap().size().unwrap();
        let kept = (figures.row_bytes, figures.index_bytes);
        assert_eq!(kept, (size.row_bytes, size.index_bytes), "bytes of `{}` in stats", figures.name);
        assert!(stats.snapshots > 0 || figures.held_bytes == 0, "`{}` is held by nobody", figures.name);
    }
}

pub(crate) fn check_snapshot(snapshot: &Snapshot, model: &ModelDb) {
    assert!(snapshot.table_names().iter().eq(model.tables.keys()), "tables of the snapshot");
    for (name, table) in &model.tables {
        check_table(&snapshot.table(name).unwrap(), table);
    }
}

/// What differs between two snapshots, by the database and by the model.
pub(crate) fn check_diff(a: (&Snapshot, &ModelDb), b: (&Snapshot, &ModelDb)) {
    let expected = diff(a.1, b.1);
    let answer = a.0.diff(b.0).unwrap();
    assert_eq!(answer.len(), expected.len(), "number of changes in a diff");
    assert_eq!(answer.is_empty(), expected.is_empty());
    let mut seen = BTreeMap::new();
    for (name, change) in answer.iter() {
        let values = |row: &Row<'_>, db: &ModelDb| found(row, &db.tables[name]);
        let is_same = a.1.tables.get(name).zip(b.1.tables.get(name)).is_some_and(|(a, b)| a.identity == b.identity);
        let (key, old, new) = match change {
            Change::Inserted { new } => ((name.to_string(), new.id(), true), None, Some(values(new, b.1))),
            Change::Deleted { old } => ((name.to_string(), old.id(), is_same), Some(values(old, a.1)), None),
            Change::Updated { old, new } => {
                assert_eq!(old.id(), new.id());
                ((name.to_string(), new.id(), true), Some(values(old, a.1)), Some(values(new, b.1)))
            }
        };
        assert!(seen.insert(key, (old, new)).is_none(), "a diff has a row twice");
    }
    for ((key, (old, new)), (expected_key, (expected_old, expected_new))) in seen.iter().zip(&expected) {
        assert_eq!(key, expected_key, "the row of a change");
        for (found, expected) in [(old, expected_old), (new, expected_new)] {
            let agree = match (found, expected) {
                (Some((_, found)), Some(expected)) => same_row(found, expected),
                (None, None) => true,
                _ => false,
            };
            assert!(agree, "change of {key:?}: found {found:?}, expected {expected:?}");
        }
    }
}

/// A handle of a table that was dropped says so.
pub(crate) fn check_dropped(table: &Table) {
    let codes = [table.count().err(), table.get(1u64).err(), table.delete(1u64).err(), table.clear().err()];
    for error in codes {
        assert!(matches!(error, Some(Error::NoSuchTable { .. } | Error::InvalidKey { .. })), "{error:?}");
    }
}
