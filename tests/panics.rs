//! Every closure of the user's, at its first call, its last one and one between: its panic goes on to the caller, the
//! write around it never was, and the database goes on.

#[path = "common/random.rs"]
mod random;

use folio::storage::{FileEngine, FileOptions};
use folio::testing::SimFiles;
use folio::{
    Column, Database, Error, Field, Index, Predicate, Result, Row, Schema, Table, Timestamp, Transaction,
    TransactionTable,
};
use random::Random;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// Kinds of code of the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Check,
    RowCheck,
    Default,
    Filter,
    Change,
    Read,
    Serialize,
    Deserialize,
    Iterator,
    Fold,
    Body,
    Clock,
}

thread_local! {
    /// Which kind is counted, and the call at which it panics: never, if 0.
    static FUSE: Cell<(Option<Code>, u64)> = const { Cell::new((None, 0)) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// What the closures panic with: it passes by the panic hook, so that nothing is printed.
struct Planned;

/// Stands in every closure of the user's.
fn called(code: Code) {
    let (counted, fatal) = FUSE.get();
    if counted == Some(code) {
        CALLS.set(CALLS.get() + 1);
        if CALLS.get() == fatal {
            resume_unwind(Box::new(Planned));
        }
    }
}

fn arm(code: Option<Code>, fatal: u64) {
    FUSE.set((code, fatal));
    CALLS.set(0);
}

/// How often `body` comes to code of this kind, when nothing panics; what it did is undone.
fn count_calls(db: &Database, code: Code, body: impl FnOnce(&Database)) -> u64 {
    let fork = db.fork();
    arm(Some(code), 0);
    body(&fork);
    let calls = CALLS.get();
    arm(None, 0);
    calls
}

/// Whether `body` panicked as planned at this call.
fn panics(code: Code, fatal: u64, body: impl FnOnce()) -> bool {
    arm(Some(code), fatal);
    let ended = catch_unwind(AssertUnwindSafe(body));
    arm(None, 0);
    match ended {
        Ok(()) => false,
        Err(panic) if panic.is::<Planned>() => true,
        Err(panic) => resume_unwind(panic),
    }
}

const ROWS: u64 = 100;

fn database() -> Database {
    let db = Database::in_memory();
    let checked = |_: &u64| {
        called(Code::Check);
        true
    };
    let schema = Schema::builder("t")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::u64("n").check("called", checked))
        .column(Column::string("s").unique())
        .column(Column::u64("d").default_with(|| {
            called(Code::Default);
            7u64
        }))
        .index(Index::ordered(["n"]))
        .index(Index::hash(["d"]))
        .check("called", |_| {
            called(Code::RowCheck);
            true
        })
        .build()
        .unwrap();
    db.create_table(schema).unwrap().insert_many((0..ROWS).map(new_row)).unwrap();
    db
}

fn new_row(n: u64) -> Value {
    json!({ "n": n, "s": format!("s{n}") })
}

/// A row or patch whose `Serialize` is called.
struct Given(Value);

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        called(Code::Serialize);
        self.0.serialize(serializer)
    }
}

/// A row whose `Deserialize` is called.
struct Taken;

impl<'de> Deserialize<'de> for Taken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Value::deserialize(deserializer)?;
        called(Code::Deserialize);
        Ok(Taken)
    }
}

/// A state of a fold whose `Clone` is called.
struct State;

impl Clone for State {
    fn clone(&self) -> Self {
        called(Code::Fold);
        State
    }
}

fn given(from: u64, count: u64) -> impl Iterator<Item = Given> {
    (from..from + count).map(|n| {
        called(Code::Iterator);
        Given(new_row(n))
    })
}

/// The filter of all rows but the first.
fn filter(n: Field<u64>) -> impl Fn(&Row<'_>) -> bool {
    move |row: &Row<'_>| {
        called(Code::Filter);
        row.get(n) > 0
    }
}

/// One operation on a table and the kinds of code that it calls.
type Single = (&'static str, &'static [Code], fn(&Table, Field<u64>) -> Result<()>);
type Within = (&'static str, &'static [Code], fn(&TransactionTable<'_>, Field<u64>) -> Result<()>);

/// The same operations on any kind of table.
macro_rules! writes {
    ($site:ty) => {{
        use Code::*;
        let sites: Vec<$site> = vec![
            ("insert", &[Serialize, Check, RowCheck, Default], |t, _| t.insert(&Given(new_row(1_000))).map(drop)),
            ("insert_returning", &[Serialize, Deserialize], |t, _| {
                t.insert_returning::<_, Taken>(&Given(new_row(1_000))).map(drop)
            }),
            ("insert_many", &[Iterator, Serialize, Check, RowCheck, Default], |t, _| {
                t.insert_many(given(1_000, 77)).map(drop)
            }),
            ("insert_many with keys", &[Iterator, Serialize, Check], |t, _| {
                let keyed = |n: u64| Given(json!({ "id": 5_000 + 100 * n, "n": n, "s": format!("k{n}") }));
                t.insert_many((0..40).map(|n| {
                    called(Iterator);
                    if n % 3 == 0 { keyed(n) } else { Given(new_row(1_000 + n)) }
                }))
                .map(drop)
            }),
            ("upsert over", &[Serialize, Check, RowCheck, Default], |t, _| {
                t.upsert(&Given(json!({ "id": 5, "n": 1, "s": "five" }))).map(drop)
            }),
            ("upsert beside", &[Serialize, Check, RowCheck, Default], |t, _| {
                t.upsert(&Given(json!({ "id": 500, "n": 1, "s": "new" }))).map(drop)
            }),
            ("replace", &[Serialize, Check, RowCheck, Default], |t, _| {
                t.replace(&Given(json!({ "id": 5, "n": 1, "s": "five" })))
            }),
            ("update", &[Serialize, Check, RowCheck], |t, _| t.update(5, &Given(json!({ "n": 1 })))),
            ("modify", &[Change, Check, RowCheck], |t, n| {
                t.modify(5, |row| {
                    row.set(n, 1)?;
                    called(Change);
                    Ok(())
                })
            }),
            ("update_where", &[Filter, Serialize, Check, RowCheck], |t, n| {
                t.update_where(filter(n), &Given(json!({ "n": 1 }))).map(drop)
            }),
            ("modify_where", &[Filter, Change, Check, RowCheck], |t, n| {
                let change = |row: &mut folio::RowMut<'_>| {
                    row.set(n, row.get(n) + 1)?;
                    called(Change);
                    Ok(())
                };
                t.modify_where(filter(n), change).map(drop)
            }),
            ("delete_where", &[Filter], |t, n| t.delete_where(filter(n)).map(drop)),
        ];
        sites
    }};
}

macro_rules! reads {
    ($site:ty) => {{
        use Code::*;
        let sites: Vec<$site> = vec![
            ("get_with", &[Read], |t, _| t.get_with(5, |_| called(Read)).map(drop)),
            ("get_many", &[Iterator], |t, _| t.get_many((1..50u64).inspect(|_| called(Iterator))).map(drop)),
            ("count", &[Filter], |t, n| t.select().filter(filter(n)).count().map(drop)),
            ("exists", &[Filter], |t, n| t.select().filter(filter(n)).exists().map(drop)),
            ("fetch", &[Filter, Deserialize], |t, n| t.select().filter(filter(n)).fetch::<Taken>().map(drop)),
            ("first", &[Deserialize], |t, _| t.select().first::<Taken>().map(drop)),
            ("decode", &[Deserialize], |t, _| t.get(5)?.map(|row| row.decode::<Taken>()).transpose().map(drop)),
            ("for_each", &[Filter, Read], |t, n| t.select().filter(filter(n)).for_each(|_| called(Read))),
            ("map", &[Read], |t, n| t.select().order_by(n.desc()).limit(50).map(|_| called(Read)).map(drop)),
            ("sum", &[Filter], |t, n| t.select().filter(filter(n)).sum(n).map(drop)),
            ("min", &[Filter], |t, n| t.select().filter(filter(n)).min(n).map(drop)),
            ("order and limit", &[Filter], |t, n| {
                t.select().filter(filter(n)).order_by(n.desc()).limit(3).pick(n).map(drop)
            }),
            ("behind an index", &[Filter], |t, n| {
                t.select().filter(n.ge(10) & Predicate::from_fn(filter(n))).ids().map(drop)
            }),
            ("distinct", &[Filter], |t, n| t.select().filter(filter(n)).columns(["d"]).distinct().count().map(drop)),
            ("group_by", &[Filter], |t, n| t.select().filter(filter(n)).group_by(n).count().map(drop)),
            ("fold", &[Fold, Read], |t, n| t.select().group_by(n).fold(State, |_, _| called(Read)).map(drop)),
            ("is_in", &[Iterator], |t, n| {
                t.select().filter(n.is_in((0..9u64).inspect(|_| called(Iterator)))).count().map(drop)
            }),
            ("columns", &[Iterator], |t, _| {
                let columns = ["n", "s"].into_iter().inspect(|_| called(Iterator));
                t.select().columns(columns).fetch::<Value>().map(drop)
            }),
        ];
        sites
    }};
}

/// Calls at which to panic: the first, the last, and one between.
fn fatal_calls(calls: u64, random: &mut Random) -> Vec<u64> {
    let mut fatal = vec![1, calls, 1 + random.below(calls)];
    fatal.sort_unstable();
    fatal.dedup();
    fatal
}

/// Rows and indexes agree, and are as they were; and writes go on.
fn is_sound(db: &Database, before: &folio::Snapshot, what: &str) {
    let after = db.snapshot();
    assert!(before.diff(&after).unwrap().is_empty(), "{what}: something changed");
    let table: Table = db.table("t").unwrap();
    let (n, d) = (table.column::<u64>("n").unwrap(), table.column::<u64>("d").unwrap());
    assert_eq!(table.len().unwrap(), ROWS, "{what}");
    assert_eq!(table.iter().unwrap().count() as u64, ROWS, "{what}");
    let by_index = table.select().filter(n.ge(0)).order_by(n.asc()).pick(n).unwrap();
    assert!(by_index.into_iter().eq(0..ROWS), "{what}: ordered index");
    assert_eq!(table.select().filter(d.eq(7)).count().unwrap(), ROWS, "{what}: hash index");
    for n in 0..ROWS {
        assert!(table.find("s", format!("s{n}")).unwrap().is_some(), "{what}: unique index");
    }
    let id = table.insert(&new_row(9_999)).unwrap();
    assert!(table.delete(id).unwrap(), "{what}");
}

#[test]
fn single_operations_never_were() {
    let db = database();
    let table = db.table("t").unwrap();
    let n = table.column::<u64>("n").unwrap();
    let (mut random, mut tried) = (Random(1), 0);
    for (name, codes, run) in writes!(Single).into_iter().chain(reads!(Single)) {
        for &code in codes {
            let calls = count_calls(&db, code, |fork| run(&fork.table("t").unwrap(), n).unwrap());
            assert!(calls > 0, "{name} calls no {code:?}");
            for fatal in fatal_calls(calls, &mut random) {
                let (before, what) = (db.snapshot(), format!("{name}, call {fatal} of {calls} of {code:?}"));
                assert!(panics(code, fatal, || run(&table, n).unwrap()), "{what}");
                assert_eq!(before.version(), db.snapshot().version(), "{what}");
                is_sound(&db, &before, &what);
                tried += 1;
            }
        }
    }
    println!("panics: {tried}");
    assert!(tried >= 90, "{tried}");
}

/// The panic goes through the transaction, which has done other things before.
#[test]
fn transactions_never_were() {
    let db = database();
    let n = db.table("t").unwrap().column::<u64>("n").unwrap();
    let mut random = Random(2);
    for (name, codes, run) in writes!(Within).into_iter().chain(reads!(Within)) {
        for &code in codes {
            let body = |db: &Database| {
                db.transaction(|tx| {
                    let table = tx.table("t")?;
                    table.delete(99)?;
                    tx.create_table(Schema::builder("more").column(Column::u64("a")).build()?)?;
                    run(&table, n)
                })
                .unwrap();
            };
            let calls = count_calls(&db, code, body);
            for fatal in fatal_calls(calls, &mut random) {
                let (before, what) = (db.snapshot(), format!("{name}, call {fatal} of {calls} of {code:?}"));
                assert!(panics(code, fatal, || body(&db)), "{what}");
                assert_eq!(db.table_names(), ["t"], "{what}");
                is_sound(&db, &before, &what);
            }
        }
    }
}

/// Caught inside the transaction, a panic undoes the operation or the savepoint that it went through, and no more.
#[test]
fn a_panic_that_is_caught_inside_undoes_its_operation_alone() {
    let db = database();
    let n = db.table("t").unwrap().column::<u64>("n").unwrap();
    let mut random = Random(3);
    for (name, codes, run) in writes!(Within).into_iter().chain(reads!(Within)) {
        for &code in codes {
            let calls = count_calls(&db, code, |fork| {
                fork.transaction(|tx| run(&tx.table("t")?, n)).unwrap();
            });
            for (fatal, in_savepoint) in
                fatal_calls(calls, &mut random).into_iter().flat_map(|n| [(n, false), (n, true)])
            {
                let before = db.snapshot();
                let what = format!("{name}, call {fatal} of {calls} of {code:?}, savepoint: {in_savepoint}");
                let within = |tx: &Transaction<'_>| {
                    tx.drop_table("gone")?;
                    tx.table("t")?.update(3, &json!({ "s": "changed" }))?;
                    run(&tx.table("t")?, n)
                };
                db.transaction(|tx| {
                    let kept = tx.create_table(Schema::builder("gone").column(Column::u64("a")).build()?)?;
                    kept.insert(&(1,))?;
                    let panicked = match in_savepoint {
                        true => panics(code, fatal, || tx.savepoint(within).unwrap()),
                        false => panics(code, fatal, || run(&tx.table("t").unwrap(), n).unwrap()),
                    };
                    assert!(panicked, "{what}");
                    let id = kept.insert(&(2,))?;
                    assert_eq!((id, tx.table("gone")?.len()?, tx.table("t")?.len()?), (1, 2, ROWS), "{what}");
                    Ok(())
                })
                .unwrap();
                assert_eq!(db.table("gone").unwrap().len().unwrap(), 2, "{what}");
                db.drop_table("gone").unwrap();
                is_sound(&db, &before, &what);
            }
        }
    }
}

#[test]
fn bodies_that_panic_never_were() {
    let db = database();
    let before = db.snapshot();
    for depth in 0..5u64 {
        fn nest(tx: &Transaction<'_>, depth: u64) -> Result<()> {
            tx.table("t")?.insert(&new_row(1_000 + depth))?;
            match depth {
                0 => called(Code::Body),
                _ => tx.savepoint(|tx| nest(tx, depth - 1))?,
            }
            Ok(())
        }
        assert!(panics(Code::Body, 1, || db.transaction(|tx| nest(tx, depth)).unwrap()));
        is_sound(&db, &before, &format!("savepoints: {depth}"));
    }
    // While another database's transaction is open on the thread, and while a row and a snapshot are held.
    let other = database();
    let table = db.table("t").unwrap();
    let row = table.get(5).unwrap().unwrap();
    let held = other.snapshot();
    assert!(panics(Code::Body, 1, || {
        db.transaction(|tx| {
            tx.table("t")?.clear()?;
            other.transaction(|tx| {
                tx.table("t")?.clear()?;
                called(Code::Body);
                Ok(())
            })
        })
        .unwrap();
    }));
    drop(row);
    is_sound(&db, &before, "the outer database");
    is_sound(&other, &held, "the inner database");
}

/// A default that fails, or panics in, the check of its column is found when the schema is built.
#[test]
fn a_schema_whose_check_panics_is_not_built() {
    let build = || {
        let column = Column::u64("n").default(1u64).check("called", |_| {
            called(Code::Check);
            true
        });
        Schema::builder("t").column(column).build().map(drop).unwrap();
    };
    assert!(panics(Code::Check, 1, build));
    assert!(!panics(Code::Check, 2, build));
}

/// Other threads go on where one has panicked inside a write.
#[test]
fn writers_of_other_threads_go_on() {
    let db = database();
    let before = db.snapshot();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let db = &db;
            scope.spawn(move || {
                for n in 0..50 {
                    assert!(panics(Code::Body, 1, || {
                        let _ = db.transaction(|tx| {
                            tx.table("t")?.insert(&new_row(10_000 + 100 * thread + n))?;
                            called(Code::Body);
                            Err::<(), _>(Error::abort("never comes here"))
                        });
                    }));
                    let id = db.table("t").unwrap().insert(&new_row(20_000 + 100 * thread + n)).unwrap();
                    assert!(db.table("t").unwrap().delete(id).unwrap());
                }
            });
        }
    });
    is_sound(&db, &before, "four threads");
}

#[test]
fn a_clock_that_panics_leaves_a_database_that_works() {
    let files = SimFiles::new();
    let clock = || {
        called(Code::Clock);
        Timestamp::from_micros(7)
    };
    let open = |files: &SimFiles| {
        let engine = FileEngine::open_on(Arc::new(files.clone()), FileOptions::default()).unwrap();
        Database::builder().clock(clock).checkpoint_bytes(None).open_on(Arc::new(engine)).unwrap()
    };
    let db = open(&files);
    let table = db.create_table(Schema::builder("t").column(Column::u64("n")).build().unwrap()).unwrap();
    table.insert(&(1,)).unwrap();
    let before = db.snapshot().version();
    assert!(panics(Code::Clock, 1, || {
        db.transaction(|tx| {
            tx.table("t")?.insert(&(2,))?;
            tx.now();
            Ok(())
        })
        .unwrap();
    }));
    assert_eq!((db.snapshot().version(), table.len().unwrap()), (before, 1));
    // A checkpoint is not refused for want of its time.
    for is_timed in [true, false] {
        table.insert(&(3,)).unwrap();
        assert!(!panics(Code::Clock, u64::from(!is_timed), || assert!(db.checkpoint().is_ok())));
        assert_eq!(db.stats().storage.unwrap().checkpoint_time.is_some(), is_timed);
    }
    assert!(!panics(Code::Clock, 1, || db.close().unwrap()));
    drop((table, db));
    assert_eq!(open(&files).table("t").unwrap().len().unwrap(), 3);
}
