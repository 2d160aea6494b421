//! Constraints hold on every path, and a refused write has changed nothing.

use folio::{Column, Database, Error, Index, Result, Schema, Table, TransactionTable};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};

fn people(db: &Database) -> Table {
    let schema = Schema::builder("people")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("email").unique())
        .column(Column::string("nick").unique().nullable())
        .column(Column::i32("age").default(18).check("not negative", |age| *age >= 0))
        .column(Column::f64("score").nullable())
        .index(Index::ordered(["score", "age"]))
        .build()
        .unwrap();
    let table = db.create_table(schema).unwrap();
    table
        .insert_many([json!({ "email": "a", "nick": "x" }), json!({ "email": "b" }), json!({ "email": "c" })])
        .unwrap();
    table
}

fn content(table: &Table) -> Vec<Value> {
    table.select().fetch().unwrap()
}

/// Every refused write names its cause and leaves all rows and every index as they were.
fn refused(table: &Table, code: &str, write: impl FnOnce(&Table) -> Result<()>) -> Error {
    let before = content(table);
    let error = write(table).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert_eq!(content(table), before, "{error}");
    for email in before.iter().filter_map(|row| row["email"].as_str()) {
        assert!(table.find("email", email).unwrap().is_some(), "by the index after {error}");
    }
    error
}

#[test]
fn unique_columns_are_kept_unique_on_every_path() {
    let db = Database::in_memory();
    let table = people(&db);
    refused(&table, "unique-violation", |t| t.insert(&json!({ "email": "a" })).map(drop));
    refused(&table, "unique-violation", |t| t.insert(&json!({ "email": "d", "nick": "x" })).map(drop));
    refused(&table, "unique-violation", |t| t.update(2, &json!({ "email": "a" })));
    refused(&table, "unique-violation", |t| t.replace(&json!({ "id": 2, "email": "c" })));
    refused(&table, "unique-violation", |t| t.upsert(&json!({ "id": 9, "email": "c" })).map(drop));
    refused(&table, "unique-violation", |t| t.insert(&json!({ "id": 1, "email": "d" })).map(drop));
    let email = table.column::<str>("email").unwrap();
    refused(&table, "unique-violation", |t| t.modify(3, |row| row.set(email, "a")));
    refused(&table, "unique-violation", |t| t.update_where(email.ne("a"), &json!({ "email": "z" })).map(drop));
    let batch = [json!({ "email": "d" }), json!({ "email": "e" }), json!({ "email": "d" })];
    let error = refused(&table, "unique-violation", |t| t.insert_many(batch).map(drop));
    assert!(error.to_string().starts_with("row 2 of the batch"), "{error}");
    let batch: Vec<_> =
        (0..100).map(|n| json!({ "email": if n == 77 { "b".into() } else { format!("n{n}") } })).collect();
    let error = refused(&table, "unique-violation", |t| t.insert_many(batch).map(drop));
    assert!(error.to_string().starts_with("row 77 of the batch"), "{error}");
}

#[test]
fn nulls_are_no_values_to_a_unique_column() {
    let db = Database::in_memory();
    let table = people(&db);
    table.insert(&json!({ "email": "d", "nick": null })).unwrap();
    table.update(1, &json!({ "nick": null })).unwrap();
    assert_eq!(table.len().unwrap(), 4);
    assert!(table.find("nick", "x").unwrap().is_none());
}

/// What counts is how the rows stand at the end, and in which order they are looked at does not.
#[test]
fn values_can_move_from_row_to_row_of_one_update() {
    for index in [Index::hash(["rank"]).unique(), Index::ordered(["rank"]).unique()] {
        let db = Database::in_memory();
        let schema = Schema::builder("t")
            .column(Column::u64("id").primary_key().auto_increment())
            .column(Column::i64("rank"))
            .column(Column::string("pad"))
            .index(index);
        let table = db.create_table(schema.build().unwrap()).unwrap();
        table.insert_many((1..=100).map(|n| json!({ "rank": n, "pad": "x".repeat(n) }))).unwrap();
        let (id, rank) = (table.column::<u64>("id").unwrap(), table.column::<i64>("rank").unwrap());
        let ranks = |db: &Database| db.table("t").unwrap().select().order_by(id.asc()).pick(rank).unwrap();
        let up = |row: &mut folio::RowMut<'_>| row.set(rank, row.get(rank) + 1);
        assert_eq!(table.modify_where(rank.ge(1), up).unwrap(), 100);
        assert_eq!(table.modify_where(rank.ge(1), |row| row.set(rank, row.get(rank) - 1)).unwrap(), 100);
        assert_eq!(table.modify_where(rank.ge(51), |row| row.set(rank, 151 - row.get(rank))).unwrap(), 50);
        assert!(ranks(&db).into_iter().eq((1..=50).chain((51..=100).rev())));
        assert_eq!(table.select().filter(rank.eq(100)).ids().unwrap(), [51]);
        // The value of a row that does not change is in the way.
        let fifty = || rank.lt(50);
        let error = refused(&table, "unique-violation", |t| t.modify_where(fifty(), up).map(drop));
        assert!(error.to_string().contains("50"), "{error}");
        // And one that two rows of the update end with.
        refused(&table, "unique-violation", |t| {
            t.modify_where(rank.ge(1), |row| row.set(rank, row.get(rank) / 2)).map(drop)
        });
        refused(&table, "unique-violation", |t| t.update_where(rank.ge(1), &json!({ "rank": 7 })).map(drop));
        // Within a transaction too, where it is undone by itself.
        db.transaction(|tx| {
            let table = tx.table("t")?;
            table.modify_where(rank.le(2), |row| row.set(rank, 3 - row.get(rank)))?;
            assert_eq!(table.modify_where(fifty(), up).unwrap_err().code(), "unique-violation");
            Ok(())
        })
        .unwrap();
        assert!(ranks(&db).into_iter().take(3).eq([2, 1, 3]));
        // Keys that rows are numbered by, likewise.
        assert_eq!(table.modify_where(rank.ge(1), |row| row.set(id, row.get(id) + 1)).unwrap(), 100);
        assert!(table.iter().unwrap().map(|row| (row.id(), row.get(rank))).take(3).eq([(2, 2), (3, 1), (4, 3)]));
        assert_eq!(table.len().unwrap(), 100);
        assert_eq!(table.insert(&json!({ "rank": 0, "pad": "" })).unwrap(), 102);
    }
}

/// A key that is the number of its row is as unique as any, and the error says which number was taken.
#[test]
fn keys_that_number_the_rows_move_within_an_update_to_where_none_stays() {
    type Moves = [(u64, u64, u64)];
    type Ends = std::result::Result<[(u64, u64, usize); 5], (&'static str, &'static str)>;
    let db = Database::in_memory();
    let schema = Schema::builder("t")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::u64("v").unique())
        .column(Column::string("pad"));
    let table = db.create_table(schema.build().unwrap()).unwrap();
    table.insert_many((1..=5).map(|n| json!({ "v": 10 * n, "pad": "x".repeat(n) }))).unwrap();
    let (id, v, pad) =
        (table.column::<u64>("id").unwrap(), table.column::<u64>("v").unwrap(), table.column::<str>("pad").unwrap());
    let rows = |table: &Table| table.iter().unwrap().map(|row| (row.id(), row.get(v), row.get(pad).len())).collect();
    // The rows of an update, each with the number and the value that it is to get, and what is said of it.
    let cases: [(&Moves, Ends); 12] = [
        (&[(1, 9, 10), (2, 9, 20)], Err(("id", "9"))),
        (&[(1, 2, 10), (2, 3, 20), (3, 4, 30)], Err(("id", "4"))),
        (&[(1, 2, 10), (2, 2, 20)], Err(("id", "2"))),
        (&[(1, 3, 10), (2, 3, 20), (3, 3, 30)], Err(("id", "3"))),
        (&[(1, 3, 10), (2, 3, 20), (3, 9, 30)], Err(("id", "3"))),
        (&[(1, 9, 20)], Err(("v", "20"))),
        // What gives way is not in the way.
        (&[(1, 2, 10), (2, 0, 20), (5, 1, 20)], Err(("v", "20"))),
        (&[(1, 9, 20), (2, 2, 50)], Err(("v", "50"))),
        (&[(1, 3, 20), (2, 1, 30), (3, 2, 20)], Err(("v", "20"))),
        (&[(1, 3, 10), (2, 1, 20), (3, 2, 30)], Ok([(1, 20, 2), (2, 30, 3), (3, 10, 1), (4, 40, 4), (5, 50, 5)])),
        (&[(1, 9, 20), (2, 2, 60)], Ok([(2, 60, 2), (3, 30, 3), (4, 40, 4), (5, 50, 5), (9, 20, 1)])),
        (&[(1, 2, 20), (2, 1, 10)], Ok([(1, 10, 2), (2, 20, 1), (3, 30, 3), (4, 40, 4), (5, 50, 5)])),
    ];
    for (moves, expected) in cases {
        let fork = db.fork();
        let table = fork.table("t").unwrap();
        let new_of = |row: u64| moves.iter().find(|(from, ..)| *from == row).copied();
        let answer = table.modify_where(
            |row: &folio::Row<'_>| new_of(row.id()).is_some(),
            |row| {
                let (_, number, value) = new_of(row.id()).unwrap();
                row.set(id, number)?;
                row.set(v, value)
            },
        );
        let found: Vec<(u64, u64, usize)> = rows(&table);
        match expected {
            Ok(expected) => {
                assert_eq!((answer.unwrap(), found.as_slice()), (moves.len() as u64, &expected[..]), "{moves:?}");
                let highest = expected[4].0;
                assert_eq!(table.insert(&json!({ "v": 0, "pad": "" })).unwrap(), highest + 1, "{moves:?}");
            }
            Err((column, taken)) => {
                match answer.unwrap_err() {
                    Error::Unique { columns, value, .. } => {
                        assert_eq!((&*columns, &*value), (column, taken), "{moves:?}")
                    }
                    error => panic!("{moves:?}: {error}"),
                }
                assert_eq!(found, [(1, 10, 1), (2, 20, 2), (3, 30, 3), (4, 40, 4), (5, 50, 5)], "{moves:?}");
            }
        }
        assert_eq!(fork.verify().unwrap(), [], "{moves:?}");
    }
}

/// Every way of giving three rows of five new values of five, next to what the end of it says.
#[test]
fn an_update_of_several_rows_is_refused_only_for_how_they_end() {
    let db = Database::in_memory();
    let schema = Schema::builder("t")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::u8("a").unique())
        .column(Column::u8("b"))
        .index(Index::ordered(["b", "a"]).unique());
    let table = db.create_table(schema.build().unwrap()).unwrap();
    table.insert_many((0..5u8).map(|n| json!({ "a": n, "b": n / 2 }))).unwrap();
    let (id, a) = (table.column::<u64>("id").unwrap(), table.column::<u8>("a").unwrap());
    for case in 0..125u8 {
        let wanted = [case % 5, case / 5 % 5, case / 25];
        let end: Vec<u8> = wanted.into_iter().chain([3, 4]).collect();
        let is_unique = (0..5).all(|value| end.iter().filter(|other| **other == value).count() == 1);
        let fork = db.fork();
        let table = fork.table("t").unwrap();
        let answer = table.modify_where(id.le(3), |row| row.set(a, wanted[row.get(id) as usize - 1]));
        let found = table.select().order_by(id.asc()).pick(a).unwrap();
        match is_unique {
            true => assert!(answer.unwrap() == 3 && found == end, "{end:?}, found {found:?}"),
            false => assert!(answer.unwrap_err().code() == "unique-violation" && found == [0, 1, 2, 3, 4], "{end:?}"),
        }
        for value in 0..5u8 {
            let place = table.find("a", value).unwrap().map(|row| row.get(id));
            assert_eq!(place, found.iter().position(|other| *other == value).map(|place| place as u64 + 1));
        }
    }
}

#[test]
fn a_value_can_move_between_rows_when_it_is_free() {
    let db = Database::in_memory();
    let table = people(&db);
    table.update(1, &json!({ "email": "free" })).unwrap();
    table.update(2, &json!({ "email": "a" })).unwrap();
    assert_eq!(table.find("email", "a").unwrap().unwrap().id(), 2);
    assert!(table.find("email", "b").unwrap().is_none());
}

#[test]
fn checks_run_on_every_path() {
    let db = Database::in_memory();
    let table = people(&db);
    let age = table.column::<i32>("age").unwrap();
    refused(&table, "check-violation", |t| t.insert(&json!({ "email": "d", "age": -1 })).map(drop));
    refused(&table, "check-violation", |t| t.update(1, &json!({ "age": -1 })));
    refused(&table, "check-violation", |t| t.upsert(&json!({ "id": 1, "email": "a", "age": -1 })).map(drop));
    refused(&table, "check-violation", |t| t.modify(1, |row| row.set(age, -1)));
    let error = refused(&table, "check-violation", |t| t.modify_where(age.eq(18), |row| row.set(age, -7)).map(drop));
    assert!(error.to_string().contains("not negative") && error.to_string().contains("-7"), "{error}");
}

/// A check that asks for what is not there would otherwise compare nothing with something, and mostly hold.
#[test]
fn a_check_that_asks_for_no_column_of_its_table_refuses_every_row() {
    let table = |check: fn(&folio::CheckRow<'_>) -> bool| {
        let schema = Schema::builder("spans")
            .column(Column::u64("id").primary_key().auto_increment())
            .column(Column::u8("start"))
            .column(Column::u8("end").nullable())
            .check("ends after it starts", check);
        Database::in_memory().create_table(schema.build().unwrap()).unwrap()
    };
    let none = table(|row| row.get::<u8>("strat") <= row.get::<u8>("end"));
    let error = refused(&none, "no-such-column", |table| table.insert(&(1, 2, 3)).map(drop));
    assert!(error.to_string().contains("`strat`; did you mean `start`?"), "{error}");
    // No record of an import is to blame for it.
    let skip = folio::ImportOptions::default().on_error(folio::OnError::Skip);
    let lines = "{\"id\":1,\"start\":2,\"end\":3}\n";
    let error = none.import_json_lines(lines.as_bytes(), &skip).unwrap_err();
    assert_eq!(error.code(), "no-such-column", "{error}");
    let by_value = table(|row| row.value("ende") == folio::ValueRef::Null);
    refused(&by_value, "no-such-column", |table| table.insert(&(1, 2, 3)).map(drop));
    let other = table(|row| row.get::<u32>("start") <= row.get::<u32>("end") || row.get::<u8>("end") == Some(7));
    let error = refused(&other, "wrong-handle", |table| table.insert(&(1, 2, 7)).map(drop));
    assert!(error.to_string().contains("`spans.start` cannot be read as a `u32` column"), "{error}");
    // Nulls are answered by what they are.
    let right =
        table(|row| row.get::<u8>("end").is_none_or(|end| row.get::<u8>("start").is_some_and(|start| start <= end)));
    right.insert(&(1, 2, ())).unwrap();
    right.insert(&(2, 2, 3)).unwrap();
    refused(&right, "check-violation", |table| table.update(2, &json!({ "start": 4 })));
}

/// On every way in: what is stored can be changed, exported and imported again.
#[test]
fn checks_see_the_numbers_that_rows_are_given() {
    let db = Database::in_memory();
    let few = Schema::builder("few")
        .column(Column::u64("id").primary_key().auto_increment().check("up to 2", |id| *id <= 2))
        .build()
        .unwrap();
    let few = db.create_table(few).unwrap();
    refused(&few, "check-violation", |t| t.insert_many([json!({}), json!({}), json!({})]).map(drop));
    assert_eq!(few.insert(&json!({})).unwrap(), 1);
    assert_eq!(few.upsert(&json!({ "id": null })).unwrap(), 2);
    refused(&few, "check-violation", |t| t.insert(&json!({})).map(drop));
    refused(&few, "check-violation", |t| t.upsert(&json!({})).map(drop));
    refused(&few, "check-violation", |t| t.insert_returning::<_, Value>(&json!({})).map(drop));
    let error = refused(&few, "check-violation", |t| t.insert_many([json!({})]).map(drop));
    assert!(error.to_string().contains("3 fails the check \"up to 2\""), "{error}");

    let twice = Schema::builder("twice")
        .column(Column::u32("id").primary_key().auto_increment())
        .column(Column::u32("n"))
        .check("n is twice the number", |row| row.get::<u32>("id").map(|id| 2 * id) == row.get::<u32>("n"))
        .build()
        .unwrap();
    let twice = db.create_table(twice).unwrap();
    twice.insert(&json!({ "n": 2 })).unwrap();
    // More than a page, and rows of their own numbers between.
    let rows = (2..100).map(|id| if id % 7 == 0 { json!({ "id": id, "n": 2 * id }) } else { json!({ "n": 2 * id }) });
    assert_eq!(twice.insert_many(rows).unwrap(), 98);
    refused(&twice, "check-violation", |t| t.insert(&json!({ "n": 2 })).map(drop));
    assert_eq!(twice.insert(&json!({ "n": 200 })).unwrap(), 100, "a row that is refused is given no number");
    // Others that are stored while a batch is gathered take numbers that its rows were to have.
    let error = db
        .transaction(|tx| {
            let table = tx.table("twice")?;
            let mut rows = [json!({ "n": 202 }), json!({ "n": 204 })].into_iter();
            table.insert_many(std::iter::from_fn(|| {
                let row = rows.next();
                if row.is_none() {
                    table.insert(&json!({ "n": 202 })).unwrap();
                }
                row
            }))
        })
        .unwrap_err();
    assert!(matches!(&error, Error::InBatch { row: 0, source } if source.code() == "check-violation"), "{error}");
    assert_eq!(twice.len().unwrap(), 100);
}

#[test]
fn nan_is_refused_in_an_index_also_when_the_index_comes_later() {
    let db = Database::in_memory();
    let table = people(&db);
    #[derive(serde::Serialize)]
    struct Patch {
        score: f64,
    }
    refused(&table, "nan-in-key", |t| t.update(1, &Patch { score: f64::NAN }));
    let free = Schema::builder("free").column(Column::f64("x")).build().unwrap();
    let free = db.create_table(free).unwrap();
    free.insert(&(f64::NAN,)).unwrap();
    assert_eq!(db.create_index("free", Index::ordered(["x"])).unwrap_err().code(), "nan-in-key");
    free.insert(&(1.0,)).unwrap();
}

#[test]
fn numbers_are_never_given_twice() {
    let db = Database::in_memory();
    let table = people(&db);
    assert_eq!(table.insert(&json!({ "id": 100, "email": "d" })).unwrap(), 100);
    assert_eq!(table.insert(&json!({ "email": "e" })).unwrap(), 101);
    let _ = db.transaction(|tx| {
        tx.table("people")?.insert(&json!({ "id": 500, "email": "f" }))?;
        Err::<(), _>(Error::abort("not this time"))
    });
    assert_eq!(table.insert(&json!({ "email": "f" })).unwrap(), 501, "after the rollback of an explicit number");
    table.clear().unwrap();
    assert_eq!(table.insert(&json!({ "email": "g" })).unwrap(), 502, "after all rows went");
    table.delete(502).unwrap();
    assert_eq!(table.insert(&json!({ "email": "g" })).unwrap(), 503);
}

/// A key that a refused write came with takes no other number away, be it the last one of its type.
#[test]
fn a_highest_key_that_is_rolled_back_leaves_the_numbers_before_it() {
    let db = Database::in_memory();
    let schema = Schema::builder("t")
        .column(Column::u8("id").primary_key().auto_increment())
        .column(Column::u8("n").default(0).check("below 9", |n| *n < 9));
    let table = db.create_table(schema.build().unwrap()).unwrap();
    assert_eq!(table.insert(&json!({})).unwrap(), 1);
    refused(&table, "check-violation", |t| t.insert_many([json!({ "id": 255 }), json!({ "n": 9 })]).map(drop));
    assert_eq!(table.insert(&json!({})).unwrap(), 2);
    let fork = db.fork();
    let rest = (3..=255).map(|_| json!({}));
    assert_eq!(fork.table("t").unwrap().insert_many(rest.clone()).unwrap(), 253);
    // What was given is not given again, whatever became of it.
    db.transaction(|tx| {
        let undone = tx.savepoint(|tx| {
            tx.table("t")?.insert_many(rest)?;
            Err::<(), _>(Error::abort("undo"))
        });
        assert_eq!(undone.unwrap_err().code(), "aborted");
        Ok(())
    })
    .unwrap();
    refused(&table, "auto-increment-exhausted", |t| t.insert(&json!({})).map(drop));
    assert_eq!(table.insert(&json!({ "id": 255 })).unwrap(), 255);
    assert_eq!(table.len().unwrap(), 3);
}

#[test]
fn numbers_that_run_out_are_an_error_for_every_width() {
    fn table<T>(db: &Database, name: &str, column: Column<T>) -> Table {
        db.create_table(Schema::builder(name).column(column.primary_key().auto_increment()).build().unwrap()).unwrap()
    }
    let db = Database::in_memory();
    let tables = [
        (table(&db, "u8", Column::u8("id")), u64::from(u8::MAX)),
        (table(&db, "i8", Column::i8("id")), i8::MAX as u64),
        (table(&db, "u16", Column::u16("id")), u64::from(u16::MAX)),
        (table(&db, "i32", Column::i32("id")), i32::MAX as u64),
        (table(&db, "i64", Column::i64("id")), i64::MAX as u64),
        (table(&db, "u64", Column::u64("id")), u64::MAX - 1),
    ];
    for (table, last) in tables {
        assert_eq!(table.insert(&json!({ "id": last })).unwrap(), last);
        let error = table.insert(&json!({})).unwrap_err();
        assert_eq!(error.code(), "auto-increment-exhausted", "{error}");
        assert_eq!(table.len().unwrap(), 1);
        assert_eq!(table.iter().unwrap().map(|row| row.id()).collect::<Vec<_>>(), [last]);
    }
}

#[test]
fn a_unique_index_is_refused_over_rows_that_are_not() {
    let db = Database::in_memory();
    let table = people(&db);
    for index in [Index::hash(["age"]).unique(), Index::ordered(["age"]).unique()] {
        assert_eq!(db.create_index("people", index).unwrap_err().code(), "unique-violation");
    }
    assert_eq!(table.schema().unwrap().indexes().len(), 3);
    db.create_index("people", Index::ordered(["email"]).unique().named("by_email")).unwrap();
    refused(&table, "unique-violation", |t| t.insert(&json!({ "email": "a" })).map(drop));
    db.drop_index("people", "by_email").unwrap();
    assert_eq!(db.drop_index("people", "people_by_email").unwrap_err().code(), "index-in-use");
}

#[test]
fn a_key_too_long_for_an_ordered_index_is_an_error() {
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::string("s")).index(Index::ordered(["s"])).build().unwrap();
    let table = db.create_table(schema).unwrap();
    table.insert(&("x".repeat(4_000),)).unwrap();
    assert_eq!(table.insert(&("x".repeat(5_000),)).unwrap_err().code(), "limit");
    assert_eq!(table.len().unwrap(), 1);
}

/// What a write from inside a write answers, wherever user code runs.
#[test]
fn a_write_inside_a_write_is_refused_and_not_a_deadlock() {
    let db = Database::in_memory();
    let table = people(&db);
    let inner = table.clone();
    db.transaction(|tx| {
        assert_eq!(inner.insert(&json!({ "email": "z" })).unwrap_err().code(), "reentrant-write");
        assert_eq!(db.transaction(|_| Ok(())).unwrap_err().code(), "reentrant-write");
        tx.table("people")?.insert(&json!({ "email": "z" })).map(drop)
    })
    .unwrap();
    let age = table.column::<i32>("age").unwrap();
    table
        .modify(1, |row| {
            assert_eq!(inner.delete(2).unwrap_err().code(), "reentrant-write");
            row.set(age, 20)
        })
        .unwrap();
    let checked = {
        let inner = inner.clone();
        let check = move |n: &u8| inner.insert(&json!({ "email": n.to_string() })).is_err();
        Schema::builder("checked").column(Column::u8("n").check("writes", check)).build().unwrap()
    };
    db.create_table(checked).unwrap().insert(&(1,)).unwrap();
    assert_eq!(table.len().unwrap(), 4);
}

/// A panic in any closure rolls back, goes on to the caller, and leaves the database usable.
#[test]
fn panics_in_closures_roll_back() {
    let db = Database::in_memory();
    let table = people(&db);
    let fragile = db
        .create_table(
            Schema::builder("fragile")
                .column(Column::u8("n").check("even or panic", |n| if *n == 7 { panic!("seven") } else { true }))
                .column(Column::u8("m").default_with(|| -> u8 { panic!("no default") }))
                .build()
                .unwrap(),
        )
        .unwrap();
    let age = table.column::<i32>("age").unwrap();
    let before = content(&table);
    let panics = |body: &dyn Fn()| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let ended = catch_unwind(AssertUnwindSafe(body));
        std::panic::set_hook(hook);
        assert!(ended.is_err());
        assert_eq!(content(&table), before);
    };
    panics(&|| drop(fragile.insert(&json!({ "n": 7, "m": 1 }))));
    panics(&|| drop(fragile.insert(&json!({ "n": 1 }))));
    panics(&|| drop(table.modify(1, |_| -> Result<()> { panic!("in modify") })));
    panics(&|| drop(table.select().filter(|_: &folio::Row| panic!("in a filter")).count()));
    panics(&|| drop(table.delete_where(folio::Predicate::from_fn(|_| panic!("in delete_where")))));
    panics(&|| {
        drop(table.insert_many(
            (0..50).map(|n| if n == 40 { panic!("in an iterator") } else { json!({ "email": n.to_string() }) }),
        ));
    });
    panics(&|| {
        drop(db.transaction(|tx| -> Result<()> {
            let table = tx.table("people")?;
            table.clear()?;
            tx.savepoint(|tx| tx.table("people")?.insert(&json!({ "email": "q" })).map(drop))?;
            panic!("in a transaction")
        }));
    });
    fragile.insert(&json!({ "n": 2, "m": 1 })).unwrap();
    table.modify(1, |row| row.set(age, 99)).unwrap();
    assert_eq!(table.get(1).unwrap().unwrap().get(age), 99);
}

#[test]
fn savepoints_nest_and_undo_only_their_own() {
    let db = Database::in_memory();
    let table = people(&db);
    let insert = |table: &TransactionTable<'_>, email: &str| table.insert(&json!({ "email": email })).map(drop);
    db.transaction(|tx| {
        insert(&tx.table("people")?, "one")?;
        let undone = tx.savepoint(|tx| {
            insert(&tx.table("people")?, "two")?;
            tx.savepoint(|tx| insert(&tx.table("people")?, "three"))?;
            assert_eq!(tx.table("people")?.len()?, 6);
            tx.create_table(Schema::builder("more").column(Column::u8("n")).build()?)?;
            Err::<(), _>(Error::abort("undo"))
        });
        assert!(undone.is_err());
        assert!(tx.table("more").is_err());
        insert(&tx.table("people")?, "two")
    })
    .unwrap();
    assert_eq!(table.len().unwrap(), 5);
    assert!(table.find("email", "three").unwrap().is_none() && table.find("email", "two").unwrap().is_some());
}

#[test]
fn handles_follow_schema_changes_and_end_with_their_table() {
    let db = Database::in_memory();
    let table = people(&db);
    let age = table.column::<i32>("age").unwrap();
    let old = db.snapshot();
    db.create_index("people", Index::ordered(["age"])).unwrap();
    db.create_index("people", Index::hash(["age", "email"]).named("both")).unwrap();
    assert_eq!(table.select().filter(age.eq(18)).count().unwrap(), 3);
    table.insert(&json!({ "email": "d", "age": 3 })).unwrap();
    assert_eq!(table.select().order_by(age.asc()).ids().unwrap().len(), 4);
    assert_eq!(
        old.table("people").unwrap().schema().unwrap().indexes().len() + 2,
        table.schema().unwrap().indexes().len()
    );
    db.drop_table("people").unwrap();
    assert_eq!(table.len().unwrap_err().code(), "no-such-table");
    assert_eq!(table.insert(&json!({ "email": "e" })).unwrap_err().code(), "no-such-table");
    assert_eq!(old.table("people").unwrap().len().unwrap(), 3);
    let again = people(&db);
    assert_eq!(table.len().unwrap_err().code(), "no-such-table", "another table of the same name");
    let row = again.get(1).unwrap().unwrap();
    assert_eq!(row.try_get(age).unwrap_err().code(), "foreign-handle");
    assert_eq!(again.select().filter(age.eq(18)).count().unwrap_err().code(), "foreign-handle");
}

#[test]
fn handles_cross_threads() {
    // And may be used again when a panic was caught: what it interrupted was rolled back.
    fn is_shared<T: Clone + Send + Sync + UnwindSafe + RefUnwindSafe + 'static>() {}
    is_shared::<Database>();
    is_shared::<Table>();
    is_shared::<folio::Snapshot>();
    is_shared::<folio::SnapshotTable>();
    is_shared::<Schema>();
}
