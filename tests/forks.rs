//! Forks: databases that share all memory with their origin and nothing else, neither numbers nor schemas.

#[path = "common/random.rs"]
mod random;

use folio::{Change, Column, Database, Error, Index, Schema, SchemaBuilder, Snapshot, Table};
use random::Random;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::thread;

fn numbered(name: &str) -> SchemaBuilder {
    Schema::builder(name).column(Column::u64("id").primary_key().auto_increment()).column(Column::u64("n"))
}

fn numbers() -> Database {
    let db = Database::in_memory();
    db.create_table(numbered("t").build().unwrap()).unwrap();
    db
}

fn insert(table: &Table) -> u64 {
    table.insert(&json!({ "n": 7 })).unwrap()
}

/// The number that a write which is rolled back was given.
fn insert_and_undo(db: &Database) -> u64 {
    let mut given = 0;
    let undone = db.transaction(|tx| {
        given = tx.table("t")?.insert(&json!({ "n": 7 }))?;
        Err::<(), _>(Error::abort("undo"))
    });
    assert_eq!(undone.unwrap_err().code(), "aborted");
    given
}

fn index_names(table: &Table) -> Vec<String> {
    table.schema().unwrap().indexes().iter().map(|index| index.name().to_string()).collect()
}

#[test]
fn each_numbers_its_rows_from_where_its_version_stood() {
    let db = numbers();
    let table = db.table("t").unwrap();
    assert_eq!([insert(&table), insert(&table)], [1, 2]);
    let old = db.snapshot();
    assert_eq!([insert(&table), insert(&table)], [3, 4]);
    assert_eq!(insert_and_undo(&db), 5);

    // What the origin has given since, or taken back, was never given here.
    let (of_old, of_new) = (old.fork(), db.fork());
    let (t_old, t_new) = (of_old.table("t").unwrap(), of_new.table("t").unwrap());
    assert_eq!([insert(&t_old), insert(&t_old)], [3, 4]);
    assert_eq!([insert(&t_new), insert(&t_new)], [5, 6]);
    assert_eq!(insert(&table), 6);

    // Nor does it matter when a table is first asked for.
    let late = of_old.fork();
    assert_eq!([insert(&t_old), insert_and_undo(&of_old), insert(&t_old)], [5, 6, 7]);
    assert_eq!(insert(&late.table("t").unwrap()), 5);
    assert_eq!([db.table("t").unwrap().len().unwrap(), t_old.len().unwrap(), t_new.len().unwrap()], [5, 6, 6]);
}

#[test]
fn no_number_is_given_twice_in_one_fork_whatever_is_undone() {
    let db = numbers();
    insert(&db.table("t").unwrap());
    let fork = db.fork();
    assert_eq!(insert_and_undo(&fork), 2, "no handle of the table is left");
    assert_eq!(insert_and_undo(&fork), 3);
    fork.create_index("t", Index::ordered(["n"])).unwrap();
    assert_eq!(insert_and_undo(&fork), 4, "behind a schema change");
    let undone = fork.transaction(|tx| {
        tx.create_index("t", Index::hash(["n"]))?;
        assert_eq!(tx.table("t")?.insert(&json!({ "n": 7 }))?, 5);
        Err::<(), _>(Error::abort("undo"))
    });
    assert_eq!(undone.unwrap_err().code(), "aborted");
    assert_eq!(insert_and_undo(&fork), 6, "behind one that was undone");
    assert_eq!(insert(&fork.table("t").unwrap()), 7);
    assert_eq!(insert(&db.table("t").unwrap()), 2);
}

/// The numbers of a table that is new are those of the transaction that makes it.
#[test]
fn a_savepoint_in_the_transaction_that_creates_a_table_gives_no_number_back() {
    let db = numbers();
    for db in [&db, &db.fork()] {
        db.transaction(|tx| {
            let table = tx.create_table(numbered("new").build()?)?;
            assert_eq!(table.insert(&json!({ "n": 7 }))?, 1);
            let undone = tx.savepoint(|tx| {
                tx.create_index("new", Index::ordered(["n"]))?;
                assert_eq!(tx.table("new")?.insert(&json!({ "n": 7 }))?, 2);
                Err::<(), _>(Error::abort("undo"))
            });
            assert_eq!(undone.unwrap_err().code(), "aborted");
            assert_eq!(tx.table("new")?.insert(&json!({ "n": 7 }))?, 3);
            tx.create_index("new", Index::hash(["n"]))?;
            tx.savepoint(|tx| {
                assert_eq!(tx.table("new")?.insert(&json!({ "n": 7 }))?, 4);
                Err::<(), _>(Error::abort("undo"))
            })
            .unwrap_err();
            Ok(())
        })
        .unwrap();
        assert_eq!(insert(&db.table("new").unwrap()), 5);
    }
}

#[test]
fn a_schema_change_is_found_by_the_handles_of_its_database_and_by_no_others() {
    let db = numbers();
    let of_origin = db.table("t").unwrap();
    insert(&of_origin);
    let fork = db.fork();
    let before = fork.table("t").unwrap();
    let untouched = fork.fork();

    fork.create_index("t", Index::ordered(["n"]).named("of the fork")).unwrap();
    db.create_index("t", Index::hash(["n"]).named("of the origin")).unwrap();
    db.create_index("t", Index::ordered(["n"]).named("second").unique()).unwrap();
    for table in [before, fork.table("t").unwrap()] {
        assert_eq!(index_names(&table), ["of the fork"]);
        insert(&table);
    }
    for table in [of_origin.clone(), db.table("t").unwrap()] {
        assert_eq!(index_names(&table), ["of the origin", "second"]);
        assert_eq!(table.insert(&json!({ "n": 7 })).unwrap_err().code(), "unique-violation");
    }
    assert!(index_names(&untouched.table("t").unwrap()).is_empty());

    // A fork made behind the change has it, and takes it back alone.
    let later = db.fork();
    later.drop_index("t", "second").unwrap();
    insert(&later.table("t").unwrap());
    assert_eq!(index_names(&later.table("t").unwrap()), ["of the origin"]);
    assert_eq!(index_names(&of_origin), ["of the origin", "second"]);
    for db in [&db, &fork, &untouched, &later] {
        assert_eq!(db.verify().unwrap(), []);
    }
}

#[test]
fn tables_come_and_go_in_each_alone() {
    let db = numbers();
    let of_origin = db.table("t").unwrap();
    let fork = db.fork();
    let of_fork = fork.table("t").unwrap();
    fork.drop_table("t").unwrap();
    assert_eq!(of_fork.len().unwrap_err().code(), "no-such-table");
    assert_eq!(insert(&of_origin), 1);

    // Another table, of the same name and in the same place.
    fork.create_table(numbered("t").build().unwrap()).unwrap();
    assert_eq!(insert(&fork.table("t").unwrap()), 1);
    assert_eq!(of_fork.len().unwrap_err().code(), "no-such-table");
    assert_eq!(insert(&of_origin), 2);
    db.create_table(numbered("u").build().unwrap()).unwrap();
    assert_eq!(fork.table("u").err().map(|error| error.code()), Some("no-such-table"));
    assert_eq!((db.table_names(), fork.table_names()), (vec!["t".into(), "u".into()], vec!["t".into()]));
}

#[test]
fn a_fork_of_forks_outlives_them_all() {
    let mut db = numbers();
    for depth in 0..50 {
        let table = db.table("t").unwrap();
        assert_eq!(insert(&table), depth + 1);
        match depth % 10 {
            3 => db.create_index("t", Index::ordered(["n"])).unwrap(),
            7 => db.drop_index("t", "t_by_n").unwrap(),
            _ => {}
        }
        assert_eq!(index_names(&table).len(), usize::from((3..7).contains(&(depth % 10))));
        db = db.fork();
    }
    assert_eq!((db.table("t").unwrap().len().unwrap(), db.verify().unwrap()), (50, vec![]));
}

#[test]
fn threads_that_fork_and_ask_for_a_table_at_once_share_the_numbers_of_one_fork_alone() {
    const THREADS: usize = 4;
    for round in 0..50 {
        let db = numbers();
        insert(&db.table("t").unwrap());
        let (shared, start) = (db.fork(), Barrier::new(THREADS));
        let given = thread::scope(|scope| {
            let workers = [(); THREADS].map(|()| {
                scope.spawn(|| {
                    start.wait();
                    let given = [insert(&shared.table("t").unwrap()), insert(&shared.table("t").unwrap())];
                    let (own, origins) = (db.fork(), shared.snapshot());
                    assert_eq!(insert(&own.table("t").unwrap()), 2);
                    let len = origins.table("t").unwrap().len().unwrap();
                    assert_eq!(insert(&origins.fork().table("t").unwrap()), len + 1);
                    given
                })
            });
            workers.map(|worker| worker.join().unwrap())
        });
        let given: BTreeSet<u64> = given.into_iter().flatten().collect();
        assert!(given.into_iter().eq(2..2 + 2 * THREADS as u64), "round {round}");
    }
}

/// A definition owns the closures of its schema: how many databases, handles and snapshots still have one is seen by them.
#[test]
fn definitions_go_with_the_last_database_that_has_them() {
    let token = Arc::new(());
    let with_token = || {
        let token = Arc::clone(&token);
        let n = Column::u64("n").default_with(move || Arc::strong_count(&token) as u64);
        Schema::builder("t").column(Column::u64("id").primary_key().auto_increment()).column(n).build().unwrap()
    };
    let db = Database::in_memory();
    db.create_table(with_token()).unwrap();
    assert_eq!(Arc::strong_count(&token), 2);
    let fork = db.fork();
    insert(&fork.table("t").unwrap());
    let of_fork = fork.fork();
    fork.create_index("t", Index::ordered(["n"])).unwrap();
    drop(db);
    assert_eq!(Arc::strong_count(&token), 2, "forks have it");
    fork.drop_table("t").unwrap();
    assert_eq!(Arc::strong_count(&token), 2, "one fork has it");
    of_fork.table("t").unwrap().insert(&json!({})).unwrap();
    drop((fork, of_fork));
    assert_eq!(Arc::strong_count(&token), 1);

    // A table that is made and dropped again and again leaves nothing behind, whether or not it was asked for.
    let db = Database::in_memory();
    for _ in 0..3 {
        let table = db.create_table(with_token()).unwrap();
        db.create_index("t", Index::ordered(["n"])).unwrap();
        db.transaction(|tx| tx.drop_index("t", "t_by_n").and_then(|()| tx.create_index("t", Index::hash(["n"]))))
            .unwrap();
        insert(&table);
        drop(table);
        assert_eq!(Arc::strong_count(&token), 2);
        db.drop_table("t").unwrap();
        assert_eq!(Arc::strong_count(&token), 1);
    }
}

/// A table that was made again under its name is another: all of the one is gone and all of the other new.
#[test]
fn a_difference_is_told_table_by_table() {
    let db = numbers();
    let names = ["again", "gone", "same"];
    for name in names {
        let table = db.create_table(numbered(name).build().unwrap()).unwrap();
        table.insert_many((0..40).map(|n| json!({ "n": n }))).unwrap();
    }
    let before = db.snapshot();
    let fork = db.fork();
    let changed = fork.table("t").unwrap();
    assert_eq!([insert(&changed), insert(&changed)], [1, 2]);
    let again = fork.table("again").unwrap();
    again.delete(7).unwrap();
    again.update(40, &json!({ "n": 7 })).unwrap();
    insert(&again);
    again.update(1, &json!({ "n": 0 })).unwrap();
    fork.drop_table("gone").unwrap();
    fork.create_table(numbered("new").build().unwrap()).unwrap().insert(&json!({ "n": 7 })).unwrap();
    fork.create_table(numbered("none").build().unwrap()).unwrap();
    let between = fork.snapshot();
    fork.drop_table("again").unwrap();
    insert(&fork.create_table(numbered("again").build().unwrap()).unwrap());
    let after = fork.snapshot();

    let told = |from: &Snapshot, to: &Snapshot, name: &str| -> Vec<(char, u64)> {
        let diff = from.diff(to).unwrap();
        let told: Vec<_> = diff.table(name).unwrap().map(kind_and_id).collect();
        assert!(
            diff.iter().filter(|(table, _)| *table == name).map(|(_, change)| kind_and_id(change)).eq(told.clone())
        );
        assert_eq!((diff.len(), diff.is_empty()), (diff.iter().count(), diff.iter().next().is_none()));
        told
    };
    let all = |kind: char| (1..=40).map(move |id| (kind, id));
    assert_eq!(told(&before, &between, "t"), [('+', 1), ('+', 2)]);
    assert_eq!(told(&between, &before, "t"), [('-', 1), ('-', 2)]);
    assert_eq!(told(&before, &between, "again"), [('-', 7), ('=', 40), ('+', 41)]);
    assert_eq!(told(&between, &before, "again"), [('+', 7), ('=', 40), ('-', 41)]);
    assert!(told(&before, &after, "again").into_iter().eq(all('-').chain([('+', 1)])));
    assert!(told(&after, &before, "again").into_iter().eq([('-', 1)].into_iter().chain(all('+'))));
    assert!(told(&before, &between, "gone").into_iter().eq(all('-')));
    assert!(told(&after, &before, "gone").into_iter().eq(all('+')));
    assert_eq!(told(&before, &after, "new"), [('+', 1)]);
    for name in ["same", "none"] {
        assert_eq!(told(&before, &after, name), []);
    }
    for name in ["never", "", "T"] {
        assert!(before.diff(&after).unwrap().table(name).is_err());
    }
    assert!(before.diff(&before).unwrap().is_empty() && before.diff(&db.snapshot()).unwrap().is_empty());
}

/// Each column's values stand side by side in a page, those of variable width without a gap.
#[test]
fn a_diff_tells_the_one_row_that_differs_wherever_its_value_stands() {
    const ROWS: u64 = 40;
    let values = |ty: &str, n: u64| match ty {
        "bool" => json!(n & 1 == 0),
        "string" => json!(format!("text {n}")),
        "bytes" => json!([n, 1, n]),
        "uuid" => json!(format!("936da01f-9abd-4d9d-80c7-0000000000{n:02x}")),
        "json" => json!([n]),
        "3xf32" | "3xi8" => json!([1, n, 3]),
        _ => json!(n),
    };
    for ty in ["i8", "u16", "f32", "u64", "timestamp", "bool", "string", "bytes", "uuid", "json", "3xf32", "3xi8"] {
        for nullable in [false, true] {
            let db = Database::in_memory();
            let column = Column::new("a", ty.parse().unwrap());
            let column = if nullable { column.nullable() } else { column };
            let schema = numbered("t").column(column).column(Column::string("behind")).build().unwrap();
            let table = db.create_table(schema).unwrap();
            let row = |n: u64| json!({ "n": n, "a": values(ty, n), "behind": format!("{n} is behind") });
            table.insert_many((1..=ROWS).map(row)).unwrap();
            for id in 1..=ROWS {
                let before = db.snapshot();
                let value = if nullable && id % 3 == 0 { json!(null) } else { values(ty, id + 51) };
                table.update(id, &json!({ "a": value })).unwrap();
                let (after, diff) = (db.snapshot(), |from: &Snapshot, to: &Snapshot| {
                    from.diff(to).unwrap().iter().map(|(_, change)| kind_and_id(change)).collect::<Vec<_>>()
                });
                assert_eq!(diff(&before, &after), [('=', id)], "{ty}");
                assert_eq!(diff(&after, &before), [('=', id)], "{ty}");
            }
        }
    }
}

/// The bytes of both texts together are the same before and behind; with several columns the ends are told in more bytes.
#[test]
fn a_diff_tells_bytes_that_pass_from_one_text_to_the_next() {
    for columns in [1, 2, 8] {
        let db = Database::in_memory();
        let names: Vec<_> = (0..columns).map(|n| format!("c{n}")).collect();
        let schema = names.iter().fold(numbered("t"), |schema, name| schema.column(Column::string(name)));
        let table = db.create_table(schema.build().unwrap()).unwrap();
        let row = |n: u64| -> serde_json::Value {
            let texts = names.iter().map(|name| (name.clone(), json!("abcdef")));
            texts.chain([("n".to_owned(), json!(n))]).collect::<serde_json::Map<_, _>>().into()
        };
        table.insert_many((1..=20).map(row)).unwrap();
        for name in &names {
            for id in 1..20 {
                let before = db.snapshot();
                db.transaction(|tx| {
                    let table = tx.table("t")?;
                    // Of the columns ahead of it the texts are longer by then, or not.
                    table.update(1, &json!({ "c0": "a".repeat(6 + id as usize % 3) }))?;
                    table.update(id, &json!({ name: "abc" }))?;
                    table.update(id + 1, &json!({ name: "defabcdef" }))
                })
                .unwrap();
                let after = db.snapshot();
                let told: BTreeSet<_> =
                    before.diff(&after).unwrap().iter().map(|(_, change)| kind_and_id(change).1).collect();
                let differs = |row: &u64| {
                    let texts = |of: &Snapshot| -> Vec<String> {
                        let table = of.table("t").unwrap();
                        let row = table.get(*row).unwrap().unwrap();
                        names.iter().map(|name| row.value(name).unwrap().to_string()).collect()
                    };
                    texts(&before) != texts(&after)
                };
                assert!((1..=20).filter(differs).collect::<BTreeSet<_>>() == told, "{columns} {name} {id}");
                table.update(id, &json!({ name: "abcdef" })).unwrap();
                table.update(id + 1, &json!({ name: "abcdef" })).unwrap();
            }
        }
    }
}

/// A misspelt name is no table without changes.
#[test]
fn a_diff_knows_which_tables_there_are() {
    let db = Database::in_memory();
    let schema = |name| Schema::builder(name).column(Column::u64("n")).build().unwrap();
    db.create_table(schema("goes")).unwrap().insert(&(1,)).unwrap();
    db.create_table(schema("stays")).unwrap();
    let before = db.snapshot();
    db.drop_table("goes").unwrap();
    db.create_table(schema("comes")).unwrap().insert(&(2,)).unwrap();
    let after = db.snapshot();
    let diff = before.diff(&after).unwrap();
    let count = |name: &str| diff.table(name).map(Iterator::count);
    assert_eq!((count("goes").unwrap(), count("stays").unwrap(), count("comes").unwrap()), (1, 0, 1));
    for (wanted, meant) in [("stay", "stays"), ("coms", "comes"), ("ges", "goes")] {
        let error = count(wanted).unwrap_err();
        assert_eq!(error.to_string(), format!("no table `{wanted}`; did you mean `{meant}`?"));
    }
}

/// Whatever tables come, go and come again under their names on either side; of each row the table's name is told.
#[test]
fn a_diff_tells_tables_apart_by_more_than_their_names() {
    let mut random = Random(5);
    for _ in 0..300 {
        let db = Database::in_memory();
        let make = |db: &Database, name: &str| {
            let made = db.create_table(Schema::builder(name).column(Column::u64("n")).build().unwrap());
            made.unwrap().insert(&(1,)).unwrap();
        };
        let names = ["a", "b", "c", "d", "e"];
        names.iter().filter(|_| random.below(2) == 0).for_each(|name| make(&db, name));
        let (before, fork) = (db.snapshot(), db.fork());
        let mut expected = BTreeSet::new();
        for (side, db) in [('-', &db), ('+', &fork)] {
            for name in names {
                let was = before.table(name).is_ok();
                if random.below(2) == 0 {
                    continue;
                }
                if was {
                    db.drop_table(name).unwrap();
                    // It is there on the other side, unless that drops it too.
                    if !expected.remove(&(name, side)) {
                        expected.insert((name, if side == '-' { '+' } else { '-' }));
                    }
                }
                if random.below(2) == 0 {
                    make(db, name);
                    expected.insert((name, side));
                }
            }
        }
        let (here, there) = (db.snapshot(), fork.snapshot());
        let diff = here.diff(&there).unwrap();
        let told: Vec<_> = diff.iter().map(|(name, change)| (name, kind_and_id(change).0)).collect();
        assert_eq!(told.iter().copied().collect::<BTreeSet<_>>(), expected);
        assert_eq!(told.len(), expected.len());
    }
}

fn kind_and_id(change: &Change<'_>) -> (char, u64) {
    match change {
        Change::Inserted { new } => ('+', new.id()),
        Change::Deleted { old } => ('-', old.id()),
        Change::Updated { old, new } => {
            assert_eq!(old.id(), new.id());
            ('=', new.id())
        }
    }
}
