//! Every error that there is, provoked through the public API: its code, its kind, and what it names; and after each the
//! database is as it was.

use folio::{
    Array, Column, Database, Error, ErrorKind, ImportOptions, Index, Result, Row, RowMut, Scalar, Schema, Snapshot,
    Table, Timestamp,
};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use std::collections::BTreeSet;

struct World {
    db: Database,
    people: Table,
    cities: Table,
    numbers: Table,
}

fn world() -> World {
    let db = Database::in_memory();
    let people = Schema::builder("people")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("name"))
        .column(Column::string("email").unique())
        .column(Column::u8("age").default(18).check("adult", |age| *age >= 18))
        .column(Column::f64("score").nullable())
        .column(Column::timestamp("seen").nullable())
        .column(Column::array("lucky", Array::new(Scalar::U8, 3).unwrap()).nullable())
        .column(Column::json("notes").nullable())
        .index(Index::ordered(["score", "name"]))
        .check("not both", |row| row.get::<str>("name") != row.get::<str>("email"))
        .build()
        .unwrap();
    let cities = Schema::builder("cities")
        .column(Column::string("name"))
        .column(Column::u32("zip"))
        .primary_key(["name", "zip"])
        .build()
        .unwrap();
    let numbers = Schema::builder("numbers").column(Column::u8("n").primary_key().auto_increment()).build().unwrap();
    let people = db.create_table(people).unwrap();
    let cities = db.create_table(cities).unwrap();
    let numbers = db.create_table(numbers).unwrap();
    people.insert(&json!({ "name": "Ann", "email": "ann@home", "notes": { "likes": "tea" } })).unwrap();
    people.insert(&json!({ "name": "Ben", "email": "ben@home", "score": 1.5 })).unwrap();
    cities.insert(&("Rome", 100)).unwrap();
    numbers.insert(&(255,)).unwrap();
    World { db, people, cities, numbers }
}

/// All that a version says of itself.
fn face(snapshot: &Snapshot) -> Vec<(String, Value, Vec<Value>)> {
    let of = |name: String| {
        let table = snapshot.table(&name).unwrap();
        let schema = serde_json::to_value(table.schema().unwrap()).unwrap();
        let rows = table.select().fetch().unwrap();
        (name, schema, rows)
    };
    snapshot.table_names().into_iter().map(of).collect()
}

/// A row with one field twice.
struct Twice;

impl Serialize for Twice {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", "Carl")?;
        map.serialize_entry("name", "Cleo")?;
        map.end()
    }
}

/// A row that does not want to be stored.
struct Unwilling;

impl Serialize for Unwilling {
    fn serialize<S: Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
        Err(S::Error::custom("not today"))
    }
}

#[derive(serde::Serialize)]
struct Scored {
    name: &'static str,
    email: &'static str,
    score: f64,
}

#[derive(serde::Deserialize, Debug)]
struct Other {
    #[serde(rename = "height")]
    _height: f64,
}

fn row(more: Value) -> Value {
    let mut row = json!({ "name": "Carl", "email": "carl@home" });
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

type Provoke = fn(&World) -> Result<()>;

/// Code, kind, what the message names, and how to come by it.
const CASES: &[(&str, ErrorKind, &[&str], Provoke)] = &[
    ("invalid-schema", ErrorKind::Schema, &["`bad`", "two columns `a`"], |_| {
        Schema::builder("bad").column(Column::u64("a")).column(Column::u64("a")).build().map(drop)
    }),
    ("invalid-schema", ErrorKind::Schema, &["`people`", "`scorre`", "did you mean `score`?"], |world| {
        world.db.create_index("people", Index::hash(["scorre"]))
    }),
    ("no-such-table", ErrorKind::NotFound, &["`peopel`", "did you mean `people`?"], |world| {
        world.db.table("peopel").map(drop)
    }),
    ("no-such-table", ErrorKind::NotFound, &["`xyz`"], |world| world.db.drop_table("xyz")),
    ("no-such-table", ErrorKind::NotFound, &["`xyz`"], |world| {
        world.db.transaction(|tx| {
            tx.table("people")?.clear()?;
            tx.table("xyz").map(drop)
        })
    }),
    ("table-exists", ErrorKind::Schema, &["`people`"], |world| {
        world.db.create_table(Schema::builder("people").column(Column::u64("a")).build()?).map(drop)
    }),
    ("no-such-column", ErrorKind::NotFound, &["`people`", "`nmae`", "did you mean `name`?"], |world| {
        world.people.column::<str>("nmae").map(drop)
    }),
    ("no-such-column", ErrorKind::NotFound, &["`people`", "`nmae`"], |world| {
        world.people.select().columns(["nmae"]).fetch::<Value>().map(drop)
    }),
    ("no-such-index", ErrorKind::NotFound, &["`people`", "`people_by_scores`", "did you mean"], |world| {
        world
            .db
            .drop_index("people", "people_by_scores_name")
            .or_else(|_| world.db.drop_index("people", "people_by_scores"))
    }),
    ("index-exists", ErrorKind::Schema, &["`people`", "`people_by_email`"], |world| {
        world.db.create_index("people", Index::ordered(["age"]).named("people_by_email"))
    }),
    ("index-in-use", ErrorKind::Schema, &["`people`", "`people_by_email`"], |world| {
        world.db.drop_index("people", "people_by_email")
    }),
    ("wrong-handle", ErrorKind::Usage, &["`people.name`", "u64", "`str`"], |world| {
        world.people.column::<u64>("name").map(drop)
    }),
    ("wrong-handle", ErrorKind::Usage, &["`people.score`", "f64", "`Option<f64>`"], |world| {
        world.people.column::<f64>("score").map(drop)
    }),
    ("foreign-handle", ErrorKind::Usage, &["`people`"], |world| {
        let zip = world.cities.column::<u32>("zip")?;
        world.people.select().filter(zip.eq(1)).count().map(drop)
    }),
    ("foreign-handle", ErrorKind::Usage, &["`people`"], |world| {
        let zip = world.cities.column::<u32>("zip")?;
        world.people.modify(1, |row| row.set(zip, 7))
    }),
    ("foreign-handle", ErrorKind::Usage, &["`people`"], |world| {
        let zip = world.cities.column::<u32>("zip")?;
        world.people.delete_where(move |row: &folio::Row| row.get(zip) == 0).map(drop)
    }),
    ("foreign-handle", ErrorKind::Usage, &["`people`"], |world| {
        let zip = world.cities.column::<u32>("zip")?;
        let age = world.people.column::<u8>("age")?;
        world.people.modify(1, |row| row.set(age, u64::from(row.get(zip))))
    }),
    ("foreign-handle", ErrorKind::Usage, &["`people`"], |world| {
        let zip = world.cities.column::<u32>("zip")?;
        let age = world.people.column::<u8>("age")?;
        world.people.modify_where(age.ge(0), |row| row.set(age, u64::from(row.get(zip)))).map(drop)
    }),
    ("not-a-row", ErrorKind::Row, &["`people`", "an integer"], |world| world.people.insert(&7).map(drop)),
    ("not-a-row", ErrorKind::Row, &["`people`", "struct or map"], |world| world.people.update(1, &("Ann",))),
    ("unknown-field", ErrorKind::Row, &["`people`", "`nmae`", "did you mean `name`?"], |world| {
        world.people.insert(&json!({ "nmae": "Carl" })).map(drop)
    }),
    ("duplicate-field", ErrorKind::Row, &["`people.name`"], |world| world.people.insert(&Twice).map(drop)),
    ("missing-field", ErrorKind::Row, &["`people.email`"], |world| {
        world.people.insert(&json!({ "name": "Carl" })).map(drop)
    }),
    ("null-not-allowed", ErrorKind::Row, &["`people.name`"], |world| world.people.update(1, &json!({ "name": null }))),
    ("wrong-type", ErrorKind::Row, &["`people.name`", "string", "the integer 7"], |world| {
        world.people.insert(&row(json!({ "name": 7 }))).map(drop)
    }),
    ("out-of-range", ErrorKind::Row, &["`people.age`", "300", "255"], |world| {
        world.people.insert(&row(json!({ "age": 300 }))).map(drop)
    }),
    ("wrong-arity", ErrorKind::Row, &["`cities`", "2", "3"], |world| world.cities.insert(&("Oslo", 1, 2)).map(drop)),
    ("wrong-arity", ErrorKind::Row, &["`people.lucky`", "3", "2"], |world| {
        world.people.insert(&row(json!({ "lucky": [7, 8] }))).map(drop)
    }),
    ("nan-in-key", ErrorKind::Row, &["`people.score`"], |world| {
        world.people.insert(&Scored { name: "Carl", email: "carl@home", score: f64::NAN }).map(drop)
    }),
    ("invalid-value", ErrorKind::Row, &["`people.seen`", "yesterday"], |world| {
        world.people.insert(&row(json!({ "seen": "yesterday" }))).map(drop)
    }),
    ("encode", ErrorKind::Row, &["`people`", "not today"], |world| world.people.insert(&Unwilling).map(drop)),
    ("encode", ErrorKind::Row, &["`people.name`", "not today"], |world| {
        world.people.update(1, &std::collections::BTreeMap::from([("name", Unwilling)]))
    }),
    ("decode", ErrorKind::Row, &["`people`", "`height`"], |world| world.people.select().first::<Other>().map(drop)),
    ("decode", ErrorKind::Row, &["`people`", "`height`"], |world| {
        world.people.insert_returning::<_, Other>(&row(json!({}))).map(drop)
    }),
    ("unique-violation", ErrorKind::Constraint, &["`people`", "ann@home", "email"], |world| {
        world.people.insert(&row(json!({ "email": "ann@home" }))).map(drop)
    }),
    ("unique-violation", ErrorKind::Constraint, &["`cities`", "Rome", "100", "name, zip"], |world| {
        world.cities.insert(&("Rome", 100)).map(drop)
    }),
    ("unique-violation", ErrorKind::Constraint, &["`people`", "18", "age"], |world| {
        world.db.create_index("people", Index::hash(["age"]).unique())
    }),
    ("check-violation", ErrorKind::Constraint, &["`people.age`", "17", "\"adult\""], |world| {
        world.people.update(1, &json!({ "age": 17 }))
    }),
    ("check-violation", ErrorKind::Constraint, &["`people`", "Carl", "\"not both\""], |world| {
        world.people.insert(&row(json!({ "email": "Carl" }))).map(drop)
    }),
    ("no-such-row", ErrorKind::NotFound, &["`people`", "99"], |world| world.people.update(99, &json!({ "age": 20 }))),
    ("no-such-row", ErrorKind::NotFound, &["`cities`", "Oslo", "1"], |world| {
        world.cities.modify(("Oslo", 1), |_| Ok(()))
    }),
    ("no-such-row", ErrorKind::NotFound, &["`cities`", "Oslo", "1"], |world| world.cities.replace(&("Oslo", 1))),
    ("invalid-key", ErrorKind::Usage, &["`people`", "`id`", "one"], |world| world.people.delete("one").map(drop)),
    ("invalid-key", ErrorKind::Usage, &["`cities`", "`zip`", "1 value"], |world| world.cities.get("Rome").map(drop)),
    ("invalid-query", ErrorKind::Usage, &["`people.age`", "not unique"], |world| {
        world.people.find("age", 18).map(drop)
    }),
    ("invalid-query", ErrorKind::Usage, &["`people.score`", "is_null"], |world| {
        let score = world.people.column::<Option<f64>>("score")?;
        world.people.update_where(score.eq(folio::Value::Null), &json!({ "age": 20 })).map(drop)
    }),
    ("unrelated-snapshots", ErrorKind::Usage, &["unrelated"], |world| {
        world.db.snapshot().diff(&Database::in_memory().snapshot()).map(drop)
    }),
    ("auto-increment-exhausted", ErrorKind::Limit, &["`numbers.n`"], |world| {
        world.numbers.insert(&json!({})).map(drop)
    }),
    ("limit", ErrorKind::Limit, &["`people_by_score_name`", "`people`", "4096"], |world| {
        world.people.insert(&row(json!({ "name": "x".repeat(5_000) }))).map(drop)
    }),
    ("reentrant-write", ErrorKind::Usage, &["transaction that is given"], |world| {
        world.db.transaction(|_| world.people.clear())
    }),
    // What is wrong with a row of a batch is the batch's code, with the row's place.
    ("unique-violation", ErrorKind::Constraint, &["row 1 of the batch", "`people`", "ben@home"], |world| {
        world.people.insert_many([row(json!({})), row(json!({ "email": "ben@home" }))]).map(drop)
    }),
    ("schema-differs", ErrorKind::Schema, &["`cities`", "columns[1] (`zip`).type", "\"u32\"", "\"u64\""], |world| {
        let other = Schema::builder("cities").column(Column::string("name")).column(Column::u64("zip"));
        world.db.ensure_table(other.primary_key(["name", "zip"]).build().unwrap()).map(drop)
    }),
    ("missing-closures", ErrorKind::Schema, &["`copy`", "\"even\"", "ensure_table"], |world| {
        let schema = Schema::builder("copy").column(Column::u8("n").check("even", |n| n % 2 == 0)).build().unwrap();
        let stored = serde_json::from_value(serde_json::to_value(schema).unwrap()).unwrap();
        world.db.transaction(|tx| tx.create_table(stored)?.insert(&(2,)).map(drop))
    }),
    // What is wrong with a row that is imported is the import's code, with the file's place.
    ("wrong-type", ErrorKind::Row, &["input:2:9: ", "`people.name`"], |world| {
        let lines = "{\"name\":\"Carl\",\"email\":\"carl@home\"}\n{\"name\":7}";
        world.people.import_json_lines(lines.as_bytes(), &ImportOptions::new()).map(drop)
    }),
    ("syntax", ErrorKind::Row, &["input:1:2: ", "the end of the file"], |world| {
        world.people.import_json(&b"["[..], &ImportOptions::new()).map(drop)
    }),
    ("aborted", ErrorKind::Aborted, &["changed my mind"], |world| {
        world.db.transaction(|tx| {
            tx.drop_table("cities")?;
            tx.table("people")?.clear()?;
            Err(Error::abort("changed my mind"))
        })
    }),
];

/// Provoked in a process of its own, which the system gives little memory.
const WITHOUT_MEMORY: [&str; 2] = ["out-of-memory", "transaction-failed"];

#[test]
fn every_error_names_its_cause_and_has_changed_nothing() {
    let world = world();
    let before = world.db.snapshot();
    let face_before = face(&before);
    for (code, kind, named, provoke) in CASES {
        let error = provoke(&world).expect_err(code);
        assert_eq!((error.code(), error.kind()), (*code, *kind), "{error}");
        let message = error.to_string();
        for part in *named {
            assert!(message.contains(part), "{code} does not say {part}: {message}");
        }
        let after = world.db.snapshot();
        assert!(before.diff(&after).unwrap().is_empty(), "{message}");
        assert_eq!(face(&after), face_before, "{message}");
    }
}

/// What only storage answers, provoked by its own tests.
const OF_STORAGE: [&str; 12] = [
    "closed",
    "io",
    "storage-full",
    "sync-failed",
    "poisoned",
    "locked",
    "corrupt",
    "unsupported-format",
    "not-a-database",
    "conflict",
    "not-in-log",
    "invalid-storage-call",
];

/// The codes in the source are those that are provoked here, so that a new one comes with its test.
#[test]
fn no_error_is_left_out() {
    let source = include_str!("../src/error.rs");
    let (_, codes) = source.split_once("pub fn code(").unwrap();
    let (codes, _) = codes.split_once("\n        }\n").unwrap();
    let listed: BTreeSet<&str> =
        codes.lines().filter_map(|line| line.trim().split_once(" => \"")?.1.strip_suffix("\",")).collect();
    let provoked = CASES.iter().map(|(code, ..)| *code).chain(WITHOUT_MEMORY).chain(OF_STORAGE);
    let provoked: BTreeSet<&str> = provoked.collect();
    assert_eq!(listed, provoked);
    assert!(listed.len() > 30, "{listed:?}");
}

#[test]
fn the_cause_of_an_error_can_be_had() {
    use std::error::Error as _;
    let error = Error::abort(std::io::Error::other("disk on fire"));
    assert!(matches!(&error, Error::Aborted { source } if source.is::<std::io::Error>()));
    let world = world();
    let error = world.people.insert_many([json!({})]).unwrap_err();
    assert!(matches!(&error, Error::InBatch { row: 0, source } if source.code() == "missing-field"));
    // Its text is in the error's own: a report of the chain says it once.
    assert!(error.to_string().contains("has no `people.") && error.source().is_none());
}

/// What is printed of a handle says what it stands for, and none of the rows.
#[test]
fn handles_print_what_they_stand_for() {
    let World { db, people, .. } = world();
    assert!(format!("{db:?}").starts_with("Database { tables: [\"cities\", "), "{db:?}");
    assert_eq!(format!("{people:?}"), "Table { table: \"people\", .. }");
    let snapshot = db.snapshot();
    assert_eq!(format!("{snapshot:?}"), format!("Snapshot {{ version: {}, .. }}", snapshot.version()));
    db.transaction(|tx| {
        assert_eq!(format!("{tx:?}"), "Transaction { .. }");
        assert_eq!(format!("{:?}", tx.table("people")?), "TransactionTable { table: \"people\", .. }");
        let print = |row: &mut RowMut<'_>| {
            assert_eq!(format!("{row:?}"), "RowMut { table: \"people\", .. }");
            Ok(())
        };
        tx.table("people")?.modify_where(|_: &Row<'_>| true, print)
    })
    .unwrap();
    assert!(format!("{:?}", Database::builder()).contains("clock: Clock(system)"));
    assert!(format!("{:?}", Database::builder().clock(|| Timestamp::from_micros(0))).contains("clock: Clock(given)"));
}

/// What a transaction answers when memory runs out: that it did; from then on that it has failed, whatever is asked of
/// it; and nothing happened.
#[test]
#[cfg(target_os = "linux")]
fn out_of_memory_fails_the_transaction_and_nothing_else() {
    use std::process::Command;
    const INNER: &str = "FOLIO_LITTLE_MEMORY";
    if std::env::var_os(INNER).is_none() {
        let name = "out_of_memory_fails_the_transaction_and_nothing_else";
        let program = std::env::current_exe().unwrap();
        let limited = "ulimit -v 700000 && exec \"$0\" --exact \"$1\" --nocapture";
        let output = Command::new("sh").args(["-c", limited]).arg(program).arg(name).env(INNER, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let db = Database::in_memory();
    let table = db.create_table(Schema::builder("t").column(Column::string("s")).build().unwrap()).unwrap();
    table.insert(&("small",)).unwrap();
    let before = db.snapshot();
    let large = "x".repeat(40 << 20);
    let committed = db.transaction(|tx| {
        let table = tx.table("t")?;
        let error = loop {
            match table.insert(&(&large,)) {
                Ok(_) => continue,
                Err(error) => break error,
            }
        };
        assert_eq!((error.code(), error.kind()), ("out-of-memory", ErrorKind::Limit), "{error}");
        assert!(matches!(error, Error::OutOfMemory { bytes } if bytes >= large.len()), "{error}");
        let refused = [
            table.insert(&("tiny",)).unwrap_err(),
            table.len().unwrap_err(),
            table.delete(0u64).unwrap_err(),
            tx.savepoint(|_| Ok(())).unwrap_err(),
            tx.drop_table("t").unwrap_err(),
        ];
        for error in refused {
            assert_eq!((error.code(), error.kind()), ("transaction-failed", ErrorKind::Aborted), "{error}");
        }
        Ok(())
    });
    assert_eq!(committed.unwrap_err().code(), "transaction-failed", "also where the closure says that all is well");
    assert!(before.diff(&db.snapshot()).unwrap().is_empty());
    // Within a savepoint it is undone with it, and the transaction goes on.
    db.transaction(|tx| {
        let undone = tx.savepoint(|tx| (0..).try_for_each(|_| tx.table("t")?.insert(&(&large,)).map(drop)));
        assert_eq!(undone.unwrap_err().code(), "out-of-memory");
        tx.table("t")?.insert(&("after",)).map(drop)
    })
    .unwrap();
    // What was rolled back is given back in slices, or at once on demand.
    db.reclaim();
    table.insert(&(&large,)).unwrap();
    assert_eq!(before.diff(&db.snapshot()).unwrap().len(), 2);
}
