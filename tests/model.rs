//! Random operations against a plain model: random schemas, every operation, transactions with savepoints that succeed,
//! fail and panic, snapshots kept and looked at later, forks of forks, and the differences between any two of them.
//!
//! After each step the rows concerned are compared, and at intervals the whole database by every way to its rows.
//!
//! A failure prints its seed. One case again: `FOLIO_SEED=<seed> cargo test --test model -- --nocapture`. The soak:
//! `FOLIO_OPERATIONS=300000000 cargo test --release --test model -- --nocapture`.

#[path = "common/ending.rs"]
mod ending;
#[path = "model/model.rs"]
mod model;
#[path = "model/properties.rs"]
mod properties;
#[path = "model/workload.rs"]
mod workload;

use ending::{Ending, Planned, end};
use folio::{Database, Error, Result, Snapshot, Table, Transaction, TransactionTable, Value};
use model::{Codes, Condition, ModelDb, ModelTable, ending_code, same_row};
use properties::{Handles, Queries, Reads};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use workload::{IndexSpec, Op, Rng, RowInput, TableSpec, accepts};

/// Operations that the normal run does at least.
const OPERATIONS_MIN: u64 = 1_000_000;
/// Operations of the normal run.
const OPERATIONS: u64 = 2_000_000;
const CASE_OPERATIONS: u64 = 4_000;

/// The writes that are tried, on a table and on one of a transaction.
trait Writes: Reads + Handles + Queries {
    fn insert(&self, row: &RowInput) -> Result<u64>;
    fn insert_many(&self, rows: &[RowInput]) -> Result<u64>;
    fn upsert(&self, row: &RowInput) -> Result<u64>;
    fn replace(&self, row: &RowInput) -> Result<()>;
    fn update(&self, key: &[Value], patch: &RowInput) -> Result<()>;
    fn modify(&self, model: &ModelTable, key: &[Value], sets: &[(usize, Value)], ending: Ending) -> Result<()>;
    fn delete(&self, key: &[Value]) -> Result<bool>;
    fn clear(&self) -> Result<()>;
    fn delete_where(&self, model: &ModelTable, condition: &Condition) -> Result<u64>;
    fn update_where(&self, model: &ModelTable, condition: &Condition, patch: &RowInput) -> Result<u64>;
    /// The closure ends as the last argument says when it is called for the row at that place, counted from 1.
    fn modify_where(
        &self,
        model: &ModelTable,
        condition: &Condition,
        sets: &[(usize, Value)],
        end: (Ending, usize),
    ) -> Result<u64>;
}

macro_rules! writes {
    ($($ty:ty),*) => {$(
        impl Writes for $ty {
            fn insert(&self, row: &RowInput) -> Result<u64> {
                self.insert(row)
            }

            fn insert_many(&self, rows: &[RowInput]) -> Result<u64> {
                self.insert_many(rows)
            }

            fn upsert(&self, row: &RowInput) -> Result<u64> {
                self.upsert(row)
            }

            fn replace(&self, row: &RowInput) -> Result<()> {
                self.replace(row)
            }

            fn update(&self, key: &[Value], patch: &RowInput) -> Result<()> {
                self.update(key, patch)
            }

            fn modify(&self, model: &ModelTable, key: &[Value], sets: &[(usize, Value)], ending: Ending) -> Result<()> {
                let answer = self.modify(key, |row| {
                    sets.iter().try_for_each(|(place, value)| self.set(row, model, *place, value.clone()))?;
                    match ending {
                        Ending::Success => Ok(17),
                        Ending::Error => Err(Error::abort("planned")),
                        Ending::Panic => resume_unwind(Box::new(Planned)),
                    }
                });
                answer.map(|seventeen| assert_eq!(seventeen, 17))
            }

            fn delete(&self, key: &[Value]) -> Result<bool> {
                self.delete(key)
            }

            fn clear(&self) -> Result<()> {
                self.clear()
            }

            fn delete_where(&self, model: &ModelTable, condition: &Condition) -> Result<u64> {
                self.delete_where(self.predicate(model, condition)?)
            }

            fn update_where(&self, model: &ModelTable, condition: &Condition, patch: &RowInput) -> Result<u64> {
                self.update_where(self.predicate(model, condition)?, patch)
            }

            fn modify_where(
                &self,
                model: &ModelTable,
                condition: &Condition,
                sets: &[(usize, Value)],
                (ending, at): (Ending, usize),
            ) -> Result<u64> {
                let mut calls = 0;
                self.modify_where(self.predicate(model, condition)?, |row| {
                    calls += 1;
                    sets.iter().try_for_each(|(place, value)| self.set(row, model, *place, value.clone()))?;
                    if calls == at { end(ending) } else { Ok(()) }
                })
            }
        }
    )*};
}

writes!(Table, TransactionTable<'_>);

/// Runs `body`, in which a closure of ours may panic as planned: then the answer is `None`.
fn planned<T>(body: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(answer) => Some(answer),
        Err(panic) if panic.is::<Planned>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// Holds an answer against what must be: success if `codes` is empty, else an error with one of them.
fn judge<T: std::fmt::Debug>(answer: Result<T>, codes: &Codes) -> Option<T> {
    judge_perhaps(answer, codes, &Codes::new())
}

/// The same, where it may be an error of `perhaps`.
fn judge_perhaps<T: std::fmt::Debug>(answer: Result<T>, codes: &Codes, perhaps: &Codes) -> Option<T> {
    match answer {
        Ok(answer) => {
            assert!(codes.is_empty(), "answered {answer:?}, expected an error: {codes:?}");
            Some(answer)
        }
        Err(error) => {
            let code = error.code();
            let is_expected = codes.contains(code) || perhaps.contains(code);
            assert!(is_expected, "answered `{code}` ({error}), expected {codes:?}, perhaps {perhaps:?}");
            None
        }
    }
}

/// Prints the operations of one case where `FOLIO_TRACE` asks for them.
fn trace(place: &str, what: &dyn std::fmt::Debug) {
    thread_local!(static WANTED: bool = std::env::var_os("FOLIO_TRACE").is_some());
    if WANTED.with(|wanted| *wanted) {
        println!("{place}: {}", format!("{what:?}").chars().take(2000).collect::<String>());
    }
}

/// Does one operation on a table and on its model, and compares the rows that it concerned.
fn apply(table: &impl Writes, model: &mut ModelTable, op: &Op) {
    trace(&model.spec.name, op);
    let mut keys: Vec<Vec<Value>> = Vec::new();
    match op {
        Op::Insert(input) => insert(table, model, input, table.insert(input), &mut keys),
        Op::InsertMany(inputs) => insert_many(table, model, inputs, &mut keys),
        Op::Upsert(input) => upsert(table, model, input, &mut keys),
        Op::Replace(input) => replace(table, model, input, &mut keys),
        Op::Update(key, patch) => {
            let answer = table.update(key, patch);
            let id = model.id_of(key);
            let old = id.and_then(|id| Some((id, Rc::clone(model.rows.get(&id)?))));
            // Without a row to complete it, only the patch's own values are judged; so any code of it may come.
            let judged = match &old {
                Some((id, row)) => model.validate(patch, Some((*id, row))),
                None => match model.validate(patch, Some((0, &vec![Value::Null; model.spec.columns.len()]))) {
                    Ok(_) => Err(Codes::from(["no-such-row"])),
                    Err(mut codes) => {
                        codes.insert("no-such-row");
                        Err(codes)
                    }
                },
            };
            change(table, model, id, judged, answer, &mut keys);
            keys.push(key.clone());
        }
        Op::Modify(key, sets, ending) => modify(table, model, key, sets, *ending, &mut keys),
        Op::Delete(key) => {
            let id = model.id_of(key);
            let deleted = table.delete(key).unwrap();
            assert_eq!(deleted, id.is_some(), "delete({key:?})");
            id.map(|id| model.take(id));
            keys.push(key.clone());
        }
        Op::Clear => {
            Writes::clear(table).unwrap();
            model.clear();
        }
        Op::Get(key) => keys.push(key.clone()),
        Op::GetMany(many) => properties::check_many(table, model, many),
        Op::Find(place, value) => properties::check_find(table, model, *place, value),
        Op::Nth(rank) => properties::check_rank(table, model, *rank),
        Op::Range(from, to) => properties::check_range(table, model, from, to),
        Op::Query(condition) => properties::check_query(table, model, condition),
        Op::Order(query) => properties::check_order(table, model, query),
        Op::Distinct(query, places) => properties::check_distinct(table, model, query, places),
        Op::Aggregate(query, place) => properties::check_aggregates(table, model, query, *place),
        Op::DeleteWhere(condition) => {
            let ids = matching(model, condition);
            assert_eq!(table.delete_where(model, condition).unwrap(), ids.len() as u64, "{condition:?}");
            ids.iter().for_each(|id| drop(model.take(*id)));
        }
        Op::UpdateWhere(condition, patch) => update_where(table, model, condition, patch, &mut keys),
        Op::ModifyWhere(condition, sets, ending) => modify_where(table, model, condition, sets, *ending, &mut keys),
        Op::CreateIndex(_) | Op::DropIndex(_) => unreachable!("schema changes are not the table's own"),
    }
    properties::check_keys(table, model, &keys);
}

/// Takes over into the model that a row was inserted with this answer.
fn insert(
    table: &impl Writes,
    model: &mut ModelTable,
    input: &RowInput,
    answer: Result<u64>,
    keys: &mut Vec<Vec<Value>>,
) {
    let row = match model.validate(input, None) {
        Ok(row) => row,
        Err(codes) => {
            let _ = judge(answer, &codes);
            return;
        }
    };
    let (codes, perhaps) = model.insert_codes(&row, model.is_exact());
    let Some(key) = judge_perhaps(answer, &codes, &perhaps) else { return };
    let id = match model.own_id(&row) {
        Ok(Some(id)) => id,
        _ if model.spec.auto || model.spec.key.is_empty() => key,
        _ => {
            // The id is not the key: read which one the row was given.
            let key = model.key_of(0, &row);
            table.by_key(model, &key).unwrap().map(|(id, _)| id).unwrap()
        }
    };
    if model.own_id(&row) == Ok(None) {
        assert!(id >= model.lowest_free(), "number {id} was given again: {} is the lowest", model.lowest_free());
        assert!(id <= model.last_number(), "number {id} is above the last");
        assert!(!model.checks_number() || accepts(&Value::UInt(id)), "number {id} fails its check");
        model.given = id + 1;
    }
    assert_eq!(key, model.answer_of(id, &row), "the answer of an insert");
    model.put(id, row);
    keys.push(model.key_of(id, &model.rows[&id]));
}

fn insert_many(table: &impl Writes, model: &mut ModelTable, inputs: &[RowInput], keys: &mut Vec<Vec<Value>>) {
    let answer = table.insert_many(inputs);
    // Tried row by row on a copy: the first that cannot be is the one to be named.
    let mut trial = model.clone();
    let mut ids: Vec<Option<u64>> = Vec::new();
    // Numbers that the model cannot know may collide with explicit ones of the same batch.
    let inexact = model.spec.auto
        && !model.is_exact()
        && inputs.iter().any(|input| model.validate(input, None).is_ok_and(|row| model.own_id(&row) != Ok(None)));
    for (place, input) in inputs.iter().enumerate() {
        let mut perhaps = Codes::new();
        if inexact && answer.is_ok() {
            let own = model.validate(input, None).map(|row| model.own_id(&row).unwrap_or_default());
            ids.push(own.unwrap_or_else(|codes| panic!("a batch was stored with {input:?}: {codes:?}")));
            continue;
        }
        let (codes, row) = match trial.validate(input, None) {
            Err(codes) => (codes, None),
            Ok(row) => {
                let (codes, found) = trial.insert_codes(&row, model.is_exact());
                perhaps = found;
                (codes, Some(row))
            }
        };
        let is_of_number = answer.as_ref().is_err_and(|error| perhaps.contains(error.code()));
        if !codes.is_empty() || is_of_number {
            let error = match answer {
                Err(error) => error,
                Ok(_) => panic!("a batch was stored with row {place} {input:?}, expected {codes:?}"),
            };
            let Error::InBatch { row, source } = &error else { panic!("{error} names no row") };
            let code = source.code();
            // Rows are stored a page at a time: of several bad ones a later one may be found first.
            let of_named = inputs.get(*row as usize).map(|input| model.validate(input, None));
            let is_bad = match of_named {
                _ if *row == place as u64 => codes.contains(code) || perhaps.contains(code),
                Some(Ok(_)) if *row > place as u64 && code == "check-violation" => model.checks_number(),
                Some(Ok(_)) => *row > place as u64 && code == "unique-violation",
                Some(Err(codes)) => *row > place as u64 && codes.contains(code),
                None => false,
            };
            assert!(is_bad || inexact || is_of_number, "{error}: expected {codes:?} of row {place}, {input:?}");
            model.ceiling = model.ceiling.max(trial.ceiling).max(trial.floor.saturating_add(inputs.len() as u64));
            return;
        }
        let Some(row) = row else { continue };
        let own = trial.own_id(&row).unwrap_or_default();
        // In the trial, numbers stand for those that are not known yet: above all that were given.
        let id = own.unwrap_or(trial.lowest_free());
        ids.push(own);
        trial.put(id, row);
    }
    let count = match answer {
        Err(error) if inexact && error.code() == "unique-violation" => return model.ceiling = u64::MAX,
        answer => answer.unwrap_or_else(|error| panic!("{error}")),
    };
    assert_eq!(count, inputs.len() as u64);
    let floor = model.lowest_free();
    let given: Vec<u64> = ids.iter().flatten().copied().collect();
    let numbered = model.spec.auto || model.spec.key.is_empty();
    let mut new_ids = Vec::new();
    if numbered && ids.iter().any(Option::is_none) {
        let rows = table.between(model, &[Value::UInt(floor)], &[Value::UInt(u64::MAX)]).unwrap();
        new_ids = rows.into_iter().map(|(id, _)| id).filter(|id| !given.contains(id)).collect();
        assert_eq!(new_ids.len(), ids.iter().filter(|id| id.is_none()).count(), "numbers given to a batch");
    }
    let mut new_ids = new_ids.into_iter();
    for (input, own) in inputs.iter().zip(ids) {
        let row = model.validate(input, None).unwrap();
        let id = match own {
            Some(id) => id,
            None if numbered => new_ids.next().unwrap(),
            None => table.by_key(model, &model.key_of(0, &row)).unwrap().unwrap().0,
        };
        if own.is_none() {
            assert!(id >= floor, "number {id} was given again");
            assert!(!model.checks_number() || accepts(&Value::UInt(id)), "number {id} fails its check");
            model.given = model.given.max(id + 1);
        }
        model.put(id, row);
        keys.push(model.key_of(id, &model.rows[&id]));
    }
}

fn matching(model: &ModelTable, condition: &Condition) -> Vec<u64> {
    model.rows.iter().filter(|(_, row)| condition.holds(row)).map(|(id, _)| *id).collect()
}

/// The patch has no column of a unique key, so that the rows' order is no matter.
fn update_where(
    table: &impl Writes,
    model: &mut ModelTable,
    condition: &Condition,
    patch: &RowInput,
    keys: &mut Vec<Vec<Value>>,
) {
    let answer = table.update_where(model, condition, patch);
    let ids = matching(model, condition);
    let judge_row = |id: &u64| model.validate(patch, Some((*id, &model.rows[id])));
    let rows: Vec<_> = ids.iter().map(judge_row).collect();
    let mut codes: Codes = rows.iter().filter_map(|row| row.as_ref().err()).flatten().copied().collect();
    if ids.is_empty() {
        // The patch itself may be refused, though there is no row for it.
        let nulls = vec![Value::Null; model.spec.columns.len()];
        codes = model.validate(patch, Some((0, &nulls))).err().unwrap_or_default();
        if answer.is_ok() {
            codes.clear();
        }
    }
    if let Some(count) = judge(answer, &codes) {
        assert_eq!(count, ids.len() as u64, "{condition:?}");
        for (id, row) in ids.into_iter().zip(rows) {
            model.put(id, row.unwrap());
        }
    }
    keys.extend(model.rows.iter().take(3).map(|(id, row)| model.key_of(*id, row)));
}

/// The columns set are free of unique keys, as in `update_where`. The closure ends as planned in the middle.
fn modify_where(
    table: &impl Writes,
    model: &mut ModelTable,
    condition: &Condition,
    sets: &[(usize, Value)],
    ending: Ending,
    keys: &mut Vec<Vec<Value>>,
) {
    let ids = matching(model, condition);
    let at = ids.len().div_ceil(2);
    let answer = planned(|| table.modify_where(model, condition, sets, (ending, at)));
    keys.extend(ids.iter().take(3).map(|id| model.key_of(*id, &model.rows[id])));
    // The first row that is refused decides.
    let mut rows = Vec::new();
    for (place, id) in ids.iter().enumerate() {
        let mut row = model.rows[id].to_vec();
        let mut codes = Codes::new();
        for (column, value) in sets {
            match model.fit(*column, value) {
                Ok(value) => row[*column] = value,
                Err(code) => drop(codes.insert(code)),
            }
        }
        if codes.is_empty() && place + 1 == at && ending == Ending::Panic {
            return assert!(answer.is_none(), "{condition:?}: the closure did not panic");
        }
        codes.extend(ending_code(ending).filter(|_| codes.is_empty() && place + 1 == at));
        if codes.is_empty() {
            model.check(&row, &mut codes);
        }
        if !codes.is_empty() {
            judge(answer.expect("the closure has not panicked"), &codes);
            return;
        }
        rows.push((*id, row));
    }
    assert_eq!(answer.expect("the closure has not panicked").unwrap(), ids.len() as u64, "{condition:?}");
    rows.into_iter().for_each(|(id, row)| model.put(id, row));
}

/// Takes over into the model that row `id` was changed to `row` with this answer.
fn change<T: std::fmt::Debug>(
    _: &impl Writes,
    model: &mut ModelTable,
    id: Option<u64>,
    row: Result<Vec<Value>, Codes>,
    answer: Result<T>,
    keys: &mut Vec<Vec<Value>>,
) {
    let row = match (row, id) {
        (Ok(row), Some(id)) => {
            let (codes, wanted) = model.change_codes(id, &row);
            if judge(answer, &codes).is_some() {
                model.take(id);
                model.put(wanted, row);
                keys.push(model.key_of(wanted, &model.rows[&wanted]));
            }
            return;
        }
        (Ok(_), None) => Codes::from(["no-such-row"]),
        (Err(codes), _) => codes,
    };
    judge(answer, &row);
}

/// The row that has the key of this one.
fn twin(model: &ModelTable, row: &[Value]) -> Option<u64> {
    match model.own_id(row) {
        Ok(Some(id)) => model.rows.contains_key(&id).then_some(id),
        _ if model.spec.auto => None,
        _ => model.id_of(&model.key_of(0, row)),
    }
}

fn upsert(table: &impl Writes, model: &mut ModelTable, input: &RowInput, keys: &mut Vec<Vec<Value>>) {
    let answer = table.upsert(input);
    let row = match model.validate(input, None) {
        Ok(_) if model.spec.key.is_empty() => {
            let _ = judge(answer, &Codes::from(["invalid-query"]));
            return;
        }
        Ok(row) => row,
        Err(codes) => {
            let _ = judge(answer, &codes);
            return;
        }
    };
    match twin(model, &row) {
        Some(id) => {
            let expected = model.answer_of(id, &row);
            if let Ok(key) = &answer {
                assert_eq!(*key, expected, "the answer of an upsert");
            }
            change(table, model, Some(id), Ok(row), answer, keys);
        }
        None => insert(table, model, input, answer, keys),
    }
}

fn replace(table: &impl Writes, model: &mut ModelTable, input: &RowInput, keys: &mut Vec<Vec<Value>>) {
    let answer = table.replace(input);
    let row = match model.validate(input, None) {
        Ok(_) if model.spec.key.is_empty() => Err(Codes::from(["invalid-query"])),
        // A row without a key is given none.
        Ok(row) if model.spec.auto && model.own_id(&row) == Ok(None) => {
            Err(Codes::from(["no-such-row", "check-violation"]))
        }
        row => row,
    };
    let id = row.as_ref().ok().and_then(|row| twin(model, row));
    change(table, model, id, row, answer, keys);
}

fn modify(
    table: &impl Writes,
    model: &mut ModelTable,
    key: &[Value],
    sets: &[(usize, Value)],
    ending: Ending,
    keys: &mut Vec<Vec<Value>>,
) {
    let answer = planned(|| table.modify(model, key, sets, ending));
    keys.push(key.to_vec());
    let Some(id) = model.id_of(key) else {
        let _ = judge(answer.expect("the closure is not called"), &Codes::from(["no-such-row"]));
        return;
    };
    let old = Rc::clone(&model.rows[&id]);
    // Each set is judged alone, in order; the row as a whole when the closure has ended.
    let mut row = Ok(old.to_vec());
    for (place, value) in sets {
        row = row.and_then(|mut row: Vec<Value>| {
            row[*place] = model.fit(*place, value).map_err(|code| Codes::from([code]))?;
            Ok(row)
        });
    }
    let Some(answer) = answer else {
        assert!(row.is_ok() && ending == Ending::Panic, "a panic that was not planned");
        return;
    };
    let row = row.and_then(|row| {
        let mut codes: Codes = ending_code(ending).into_iter().collect();
        if codes.is_empty() {
            model.check(&row, &mut codes);
        }
        if codes.is_empty() { Ok(row) } else { Err(codes) }
    });
    change(table, model, Some(id), row, answer, keys);
}

/// A database with its model and a handle of each table, kept through schema changes.
struct Branch {
    db: Database,
    model: ModelDb,
    handles: BTreeMap<String, (u64, Table)>,
}

impl Branch {
    /// The handle of the table: one that was made earlier if there is one.
    fn handle(&mut self, name: &str) -> Table {
        let identity = self.model.tables[name].identity;
        match self.handles.get(name) {
            Some((known, table)) if *known == identity => table.clone(),
            old => {
                if let Some((_, dropped)) = old {
                    properties::check_dropped(dropped);
                }
                let table = self.db.table(name).unwrap();
                self.handles.insert(name.to_string(), (identity, table.clone()));
                table
            }
        }
    }
}

/// One run: databases of one family, and snapshots of any of them.
struct World {
    rng: Rng,
    branches: Vec<Branch>,
    snapshots: Vec<(Snapshot, Rc<ModelDb>)>,
    rows_max: u64,
    pool: u64,
    next_identity: u64,
    operations: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng(seed);
        // Mostly small tables, in which much collides; some of several levels of pages.
        let (rows_max, pool) = match rng.below(24) {
            0 => (3_000, 6_000),
            1..5 => (400, 600),
            5..12 => (80, 120),
            _ => (20, 24),
        };
        let branch = Branch { db: Database::in_memory(), model: ModelDb::default(), handles: BTreeMap::new() };
        let mut world = World {
            rng,
            branches: vec![branch],
            snapshots: Vec::new(),
            rows_max,
            pool,
            next_identity: 0,
            operations: 0,
        };
        for _ in 0..1 + world.rng.below(3) {
            world.create_table(0);
        }
        world
    }

    fn new_table(&mut self, db: &ModelDb) -> Option<Rc<TableSpec>> {
        let name = format!("t{}", self.rng.below(4));
        let spec = TableSpec::random(&mut self.rng, name, self.pool);
        (!db.tables.contains_key(&spec.name)).then(|| Rc::new(spec))
    }

    fn identity(&mut self) -> u64 {
        self.next_identity += 1;
        self.next_identity
    }

    fn create_table(&mut self, at: usize) {
        self.operations += 1;
        let model = std::mem::take(&mut self.branches[at].model);
        let spec = self.new_table(&model);
        self.branches[at].model = model;
        let Some(spec) = spec else { return };
        let identity = self.identity();
        let branch = &mut self.branches[at];
        trace("create", &spec);
        branch.db.create_table(spec.schema()).unwrap();
        assert_eq!(branch.db.create_table(spec.schema()).err().map(|error| error.code()), Some("table-exists"));
        branch.model.tables.insert(spec.name.clone(), ModelTable::new(spec, identity));
    }

    fn drop_table(&mut self, at: usize) {
        self.operations += 1;
        let branch = &mut self.branches[at];
        let Some(name) = workload::random_table(&mut self.rng, &branch.model) else { return };
        let handle = branch.handle(&name);
        branch.db.drop_table(&name).unwrap();
        properties::check_dropped(&handle);
        branch.model.tables.remove(&name);
    }

    fn step(&mut self) {
        let at = self.rng.below(self.branches.len() as u64) as usize;
        let large = self.rows_max > 1_000;
        match self.rng.below(if large { 4_000 } else { 1_000 }) {
            0..20 => self.transaction(at),
            20..26 => {
                self.operations += 1;
                if self.snapshots.len() < 6 {
                    let branch = &self.branches[at];
                    self.snapshots.push((branch.db.snapshot(), Rc::new(branch.model.clone())));
                }
            }
            26..31 => {
                self.operations += 1;
                if !self.snapshots.is_empty() {
                    let place = self.rng.below(self.snapshots.len() as u64) as usize;
                    drop(self.snapshots.swap_remove(place));
                }
            }
            31..34 => {
                self.operations += 1;
                if let Some((snapshot, model)) = self.rng.pick(&self.snapshots) {
                    properties::check_snapshot(snapshot, model);
                }
            }
            34..38 => self.diff(),
            38..41 => self.fork(at),
            41..43 => {
                self.operations += 1;
                if self.branches.len() > 1 {
                    drop(self.branches.swap_remove(at));
                }
            }
            43..45 => self.create_table(at),
            45 => self.drop_table(at),
            46..50 => {
                self.operations += 1;
                properties::check_database(&self.branches[at].db, &self.branches[at].model);
            }
            50 => {
                self.operations += 1;
                self.branches[at].db.reclaim();
            }
            _ => self.operation(at),
        }
    }

    fn operation(&mut self, at: usize) {
        let branch = &mut self.branches[at];
        let Some(name) = workload::random_table(&mut self.rng, &branch.model) else {
            return self.create_table(at);
        };
        self.operations += 1;
        let op = workload::random_op(&mut self.rng, &branch.model.tables[&name], self.rows_max);
        let handle = branch.handle(&name);
        let Some(model) = branch.model.tables.get_mut(&name) else { return };
        match &op {
            Op::CreateIndex(index) => {
                let declared = model.spec.index(index);
                create_index(&branch.db.clone(), model, index, |db| db.create_index(&name, declared));
            }
            Op::DropIndex(index) => drop_index(&branch.db.clone(), model, index, |db| db.drop_index(&name, index)),
            op => apply(&handle, model, op),
        }
    }

    fn diff(&mut self) {
        self.operations += 1;
        let Some((snapshot, model)) = self.rng.pick(&self.snapshots) else { return };
        let other = self.rng.pick(&self.snapshots).filter(|_| !self.rng.clone().one_in(3));
        match other {
            Some((other, other_model)) => properties::check_diff((snapshot, model), (other, other_model)),
            None => {
                let at = self.rng.below(self.branches.len() as u64) as usize;
                let branch = &self.branches[at];
                properties::check_diff((snapshot, model), (&branch.db.snapshot(), &branch.model));
            }
        }
    }

    fn fork(&mut self, at: usize) {
        self.operations += 1;
        if self.branches.len() >= 4 {
            return;
        }
        let from_snapshot = self.rng.one_in(3);
        let (db, model) = match self.rng.pick(&self.snapshots).filter(|_| from_snapshot) {
            Some((snapshot, model)) => (snapshot.fork(), (**model).clone()),
            None => (self.branches[at].db.fork(), self.branches[at].model.clone()),
        };
        let mut model = model;
        model.tables.values_mut().for_each(ModelTable::number_from_here);
        self.branches.push(Branch { db, model, handles: BTreeMap::new() });
    }

    fn transaction(&mut self, at: usize) {
        let db = self.branches[at].db.clone();
        let mut model = std::mem::take(&mut self.branches[at].model);
        let before = model.clone();
        let ending = random_ending(&mut self.rng);
        trace("transaction", &ending);
        let this = Cell::new(Some((&mut *self, &mut model)));
        let answer = planned(|| {
            db.transaction(|tx| {
                let (world, model) = this.take().unwrap();
                world.in_transaction(tx, model, 0);
                end(ending)
            })
        });
        assert_eq!(matches!(answer, Some(Ok(()))), ending == Ending::Success);
        if ending != Ending::Success {
            model.roll_back(before);
        }
        for (name, table) in &model.tables {
            assert_eq!(db.table(name).unwrap().len().unwrap(), table.rows.len() as u64, "after a transaction");
        }
        self.branches[at].model = model;
    }

    /// Some operations inside a transaction, with savepoints in savepoints.
    fn in_transaction(&mut self, tx: &Transaction<'_>, model: &mut ModelDb, depth: u64) {
        for _ in 0..1 + self.rng.below(8) {
            self.operations += 1;
            match self.rng.below(40) {
                0..5 if depth < 4 => {
                    let before = model.clone();
                    let ending = random_ending(&mut self.rng);
                    trace("savepoint", &(depth, ending));
                    let answer = planned(|| {
                        tx.savepoint(|tx| {
                            self.in_transaction(tx, model, depth + 1);
                            end(ending)
                        })
                    });
                    assert_eq!(matches!(answer, Some(Ok(()))), ending == Ending::Success);
                    if ending != Ending::Success {
                        model.roll_back(before);
                    }
                    assert!(tx.table_names().iter().eq(model.tables.keys()), "tables after a savepoint");
                    for (name, table) in &model.tables {
                        properties::check_keys(&tx.table(name).unwrap(), table, &[]);
                    }
                }
                5 => {
                    if let Some(spec) = self.new_table(model) {
                        tx.create_table(spec.schema()).unwrap();
                        model.tables.insert(spec.name.clone(), ModelTable::new(spec, self.identity()));
                    }
                }
                6 if model.tables.len() > 1 => {
                    if let Some(name) = workload::random_table(&mut self.rng, model) {
                        tx.drop_table(&name).unwrap();
                        model.tables.remove(&name);
                    }
                }
                7 => {
                    if let Some(name) = workload::random_table(&mut self.rng, model)
                        && self.rows_max < 1_000
                    {
                        properties::check_table(&tx.table(&name).unwrap(), &model.tables[&name]);
                    }
                }
                _ => {
                    let Some(name) = workload::random_table(&mut self.rng, model) else { continue };
                    let op = workload::random_op(&mut self.rng, &model.tables[&name], self.rows_max);
                    let Some(model) = model.tables.get_mut(&name) else { continue };
                    match &op {
                        Op::CreateIndex(index) => {
                            let declared = model.spec.index(index);
                            create_index(tx, model, index, |tx| tx.create_index(&name, declared));
                        }
                        Op::DropIndex(index) => drop_index(tx, model, index, |tx| tx.drop_index(&name, index)),
                        op => apply(&tx.table(&name).unwrap(), model, op),
                    }
                }
            }
        }
    }

    /// Whatever is left of databases and snapshots goes, in any order, and with it all memory but that of one.
    fn finish(mut self) {
        for branch in &self.branches {
            properties::check_database(&branch.db, &branch.model);
        }
        for (snapshot, model) in &self.snapshots {
            properties::check_snapshot(snapshot, model);
        }
        while self.branches.len() + self.snapshots.len() > 1 {
            let place = self.rng.below((self.branches.len() + self.snapshots.len()) as u64) as usize;
            match place.checked_sub(self.branches.len()) {
                Some(place) => drop(self.snapshots.swap_remove(place)),
                None if self.branches.len() == 1 => {}
                None => drop(self.branches.swap_remove(place)),
            }
        }
        let Some(mut branch) = self.branches.pop() else { return };
        branch.handles.clear();
        check_memory(&branch.db, &branch.model);
    }
}

fn random_ending(rng: &mut Rng) -> Ending {
    match rng.below(6) {
        0 => Ending::Error,
        1 => Ending::Panic,
        _ => Ending::Success,
    }
}

fn create_index<D>(on: &D, model: &mut ModelTable, index: &IndexSpec, create: impl FnOnce(&D) -> Result<()>) {
    trace(&model.spec.name, index);
    let answer = create(on);
    let mut codes = Codes::new();
    if model.indexes.iter().any(|other| other.name == index.name) {
        codes.insert("index-exists");
    }
    let mut trial = model.clone();
    trial.indexes = Rc::new(model.indexes.iter().chain([index]).cloned().collect());
    let nan = model.rows.values().any(|row| index.columns.iter().any(|&place| workload::holds_nan(&row[place])));
    if nan {
        codes.insert("nan-in-key");
    }
    if model.rows.values().any(|row| model.key_too_long(index, row)) {
        codes.insert("limit");
    }
    let default_nan = |&place: &usize| model.spec.columns[place].default.as_ref().is_some_and(workload::holds_nan);
    if index.columns.iter().any(default_nan) {
        codes.insert("invalid-schema");
    }
    if !trial.build_uniques() {
        codes.insert("unique-violation");
    }
    if judge(answer, &codes).is_some() {
        *model = trial;
    }
}

fn drop_index<D>(on: &D, model: &mut ModelTable, index: &str, drop_it: impl FnOnce(&D) -> Result<()>) {
    trace(&model.spec.name, &("drop index", index));
    let answer = drop_it(on);
    let mut codes = Codes::new();
    if model.indexes.iter().all(|known| known.name != index) {
        let own = |place: usize| format!("{}_by_{}", model.spec.name, model.spec.columns[place].name) == index;
        let keeps_unique = (0..model.spec.columns.len()).any(|place| model.spec.columns[place].unique && own(place));
        codes.insert(if keeps_unique { "index-in-use" } else { "no-such-index" });
    }
    if judge(answer, &codes).is_some() {
        model.indexes = Rc::new(model.indexes.iter().filter(|known| known.name != index).cloned().collect());
        model.build_uniques();
    }
}

/// Nothing waits, nothing is held, and what is used is what a database built anew would use, within a factor for pages
/// that deletions have left part full.
fn check_memory(db: &Database, model: &ModelDb) {
    db.reclaim();
    let memory = db.stats().memory;
    assert_eq!((memory.waiting_bytes, memory.held_bytes), (0, 0), "{memory:?}");
    let fresh = Database::in_memory();
    for table in model.tables.values() {
        let built = fresh.create_table(table.spec.schema()).unwrap();
        for index in table.spec.indexes.iter().filter(|own| table.indexes.iter().all(|index| index.name != own.name)) {
            fresh.drop_index(&table.spec.name, &index.name).unwrap();
        }
        for index in table.indexes.iter().filter(|index| table.spec.indexes.iter().all(|own| own.name != index.name)) {
            let _ = fresh.create_index(&table.spec.name, table.spec.index(index));
        }
        for (_, row) in table.in_key_order() {
            // Rows that differ in nothing but an index that has been dropped since cannot be built so.
            let _ = built.insert(&RowInput::Seq(row.to_vec()));
        }
    }
    fresh.reclaim();
    let fresh_bytes = fresh.stats().memory.used_bytes;
    let sparse: usize = model.tables.values().map(|table| table.rows.len() * (table.spec.columns.len() + 2) * 40).sum();
    let limit = 4 * fresh_bytes + sparse + (64 << 10);
    assert!(memory.used_bytes <= limit, "{} bytes used for what takes {fresh_bytes} anew", memory.used_bytes);
    for name in model.tables.keys() {
        db.drop_table(name).unwrap();
    }
    db.reclaim();
    let empty = db.stats().memory;
    assert_eq!((empty.waiting_bytes, empty.held_bytes), (0, 0), "{empty:?}");
    assert!(empty.used_bytes <= 8 << 10, "{} bytes used by a database without tables", empty.used_bytes);
}

/// Says which case failed, when it does.
struct Report {
    seed: u64,
    done: Cell<u64>,
}

impl Drop for Report {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Report { seed, done } = self;
            eprintln!(
                "failed after {} operations: FOLIO_SEED={seed} cargo test --test model -- --nocapture",
                done.get()
            );
        }
    }
}

fn run_case(seed: u64) -> u64 {
    let report = Report { seed, done: Cell::new(0) };
    let mut world = World::new(seed);
    while world.operations < CASE_OPERATIONS {
        world.step();
        report.done.set(world.operations);
    }
    let done = world.operations;
    world.finish();
    done
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

#[test]
fn the_database_agrees_with_the_model() {
    if let Some(seed) = setting("FOLIO_SEED") {
        println!("operations: {}", run_case(seed));
        return;
    }
    let wanted = setting("FOLIO_OPERATIONS").unwrap_or(OPERATIONS);
    let (next, done) = (AtomicU64::new(1), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let work = || {
            while done.load(Ordering::Relaxed) < wanted {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                done.fetch_add(run_case(seed), Ordering::Relaxed);
            }
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for handle in handles {
            if let Err(panic) = handle.join() {
                // The others end with their case.
                done.store(u64::MAX / 2, Ordering::Relaxed);
                resume_unwind(panic);
            }
        }
    });
    let (done, cases) = (done.into_inner(), next.into_inner() - 1);
    println!("operations: {} in {cases} cases", with_commas(done));
    assert!(done >= wanted.min(OPERATIONS_MIN));
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn a_model_that_is_wrong_is_noticed() {
    let db = Database::in_memory();
    let spec = Rc::new(TableSpec::random(&mut Rng(3), "t".into(), 8));
    let mut model = ModelTable::new(Rc::clone(&spec), 1);
    let table = db.create_table(spec.schema()).unwrap();
    let mut rng = Rng(5);
    while model.rows.is_empty() {
        apply(&table, &mut model, &Op::Insert(workload::random_row(&mut rng, &spec, true)));
    }
    let (id, row) = model.rows.first_key_value().map(|(id, row)| (*id, Rc::clone(row))).unwrap();
    model.take(id);
    assert!(same_row(&row, &row));
    assert!(catch_unwind(AssertUnwindSafe(|| properties::check_table(&table, &model))).is_err());
}
