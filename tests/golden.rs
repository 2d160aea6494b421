//! Directories that the first version of the format wrote, which every later version reads: `tests/golden/<format>-1`.
//!
//! Each has a checkpoint of two parts, and behind it a log of several segments; in `<format>-1-updates` the log has what
//! changed of rows with large values. They are never written anew. Those of a
//! format to come are made by
//!
//! ```sh
//! cargo test --test golden -- --ignored
//! ```
//!
//! which leaves alone what is there.
#![cfg(any(unix, windows))]

#[path = "common/directory.rs"]
mod directory;

use directory::{Directory, copy_folder};
use folio::storage::{FileEngine, FileOptions, Format, OpenReport};
use folio::{Column, Database, Index, Result, Schema, Table, Timestamp, Transaction, Uuid, Value};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FORMATS: [Format; 2] = [Format::Binary, Format::JsonLines];

/// What writes a directory, behind the part of its name that says what it has.
type Written = (&'static str, fn(&Database) -> Result<()>);

const WRITTEN: [Written; 2] = [("", write), ("-updates", write_updates)];

fn golden(format: Format, what: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{}-1{what}", format.name()))
}

fn types() -> Result<Schema> {
    Schema::builder("types")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::i8("i8").nullable())
        .column(Column::i16("i16").nullable())
        .column(Column::i32("i32").nullable())
        .column(Column::i64("i64").nullable())
        .column(Column::u8("u8").nullable())
        .column(Column::u16("u16").nullable())
        .column(Column::u32("u32").nullable())
        .column(Column::u64("u64").nullable())
        .column(Column::f32("f32").nullable())
        .column(Column::f64("f64").nullable())
        .column(Column::bool("bool").nullable())
        .column(Column::string("string").unique())
        .column(Column::bytes("bytes").nullable())
        .column(Column::uuid("uuid").nullable())
        .column(Column::timestamp("timestamp").nullable())
        .column(Column::json("json").nullable())
        .column(Column::array("array", "3xf32".parse().unwrap()).nullable())
        .column(Column::array("bools", "2xbool".parse().unwrap()))
        .index(Index::ordered(["timestamp"]))
        .index(Index::hash(["u16"]))
        .build()
}

fn people() -> Result<Schema> {
    Schema::builder("people")
        .column(Column::string("name").primary_key())
        .column(Column::u32("age").default(18_u32).check("below 200", |age| *age < 200))
        .column(Column::string("email").unique().nullable())
        .index(Index::ordered(["age", "name"]).named("by age"))
        .build()
}

/// A name that is no file's name, and a key of two columns.
fn pairs() -> Result<Schema> {
    Schema::builder("Pairs/β")
        .column(Column::i32("a"))
        .column(Column::string("b"))
        .column(Column::f64("weight"))
        .primary_key(["a", "b"])
        .build()
}

fn counter(name: &str) -> Result<Schema> {
    Schema::builder(name).column(Column::u64("n").primary_key().auto_increment()).build()
}

/// The rows of `types`: ordinary values, the least, the greatest, nulls, and odd ones.
fn samples() -> [Vec<Value>; 5] {
    let text = |text: &str| Value::String(text.into());
    let bools = |a, b| Value::Array(vec![Value::Bool(a), Value::Bool(b)]);
    let floats = |values: [f64; 3]| Value::Array(values.map(Value::Float).to_vec());
    let uuid = |text: &str| Value::Uuid(text.parse::<Uuid>().unwrap());
    let time = |micros| Value::Timestamp(Timestamp::from_micros(micros));
    let (int, uint, float) = (Value::Int, Value::UInt, Value::Float);
    let mut nulls = vec![Value::Null; 19];
    (nulls[12], nulls[18]) = (text(""), bools(false, false));
    [
        vec![
            Value::Null,
            int(-8),
            int(-16),
            int(-32),
            int(-64),
            uint(8),
            uint(16),
            uint(32),
            uint(64),
            float(0.5),
            float(0.1),
            Value::Bool(true),
            text("ordinary"),
            Value::Bytes(vec![1, 2, 255]),
            uuid("67e55044-10b1-426f-9247-bb680e5fe0c8"),
            time(1_000_001),
            Value::Json(json!({ "a": [1, null, "x"] })),
            floats([1.0, -2.5, 0.0]),
            bools(true, false),
        ],
        vec![
            Value::Null,
            int(i8::MIN.into()),
            int(i16::MIN.into()),
            int(i32::MIN.into()),
            int(i64::MIN),
            uint(0),
            uint(0),
            uint(0),
            uint(0),
            float(f32::MIN.into()),
            float(f64::MIN),
            Value::Bool(false),
            text("\u{1}\n\"\\\u{7f}"),
            Value::Bytes(Vec::new()),
            uuid("00000000-0000-0000-0000-000000000000"),
            time(-1),
            Value::Json(json!([])),
            floats([f32::MIN.into(), 0.0, 0.0]),
            bools(false, true),
        ],
        vec![
            Value::Null,
            int(i8::MAX.into()),
            int(i16::MAX.into()),
            int(i32::MAX.into()),
            int(i64::MAX),
            uint(u8::MAX.into()),
            uint(u16::MAX.into()),
            uint(u32::MAX.into()),
            uint(u64::MAX),
            float(f32::MAX.into()),
            float(f64::MAX),
            Value::Bool(true),
            text("größte 日本 🦀"),
            Value::Bytes(vec![7; 1_200]),
            uuid("ffffffff-ffff-ffff-ffff-ffffffffffff"),
            time(253_402_300_799_999_999),
            Value::Json(json!(u64::MAX)),
            floats([f32::MAX.into(), 0.0, 0.0]),
            bools(true, true),
        ],
        nulls,
        vec![
            Value::Null,
            int(0),
            int(0),
            int(0),
            int(0),
            uint(0),
            uint(16),
            uint(0),
            uint(0),
            float(f64::NAN),
            float(-0.0),
            Value::Null,
            text(&"long ".repeat(300)),
            Value::Null,
            Value::Null,
            time(0),
            Value::Json(json!("\u{2028}")),
            floats([f64::INFINITY, f64::NEG_INFINITY, f64::NAN]),
            bools(false, false),
        ],
    ]
}

fn rows(table: &Table) -> Vec<String> {
    let mut rows: Vec<String> = table.iter().unwrap().map(|row| format!("{row:?}")).collect();
    rows.sort();
    rows
}

/// All that is written, from an empty database on.
fn write(db: &Database) -> Result<()> {
    db.transaction(|tx| {
        for schema in [types()?, people()?, pairs()?, counter("dropped")?, counter("emptied")?] {
            tx.create_table(schema)?;
        }
        Ok(())
    })?;
    db.table("types")?.insert_many(samples())?;
    for n in 0..40 {
        db.table("people")?.insert(&json!({ "name": format!("p{n}"), "age": n, "email": format!("e{n}") }))?;
        db.table("emptied")?.insert(&(None::<u64>,))?;
    }
    db.table("Pairs/β")?.insert_many([(1, "x", 0.5), (1, "y", 1.5), (-1, "x", 2.5)])?;
    db.table("dropped")?.insert(&(None::<u64>,))?;
    db.checkpoint()?;
    // The second part.
    db.table("people")?.update("p3", &json!({ "age": 103 }))?;
    db.table("people")?.delete("p4")?;
    db.table("people")?.insert(&json!({ "name": "second part" }))?;
    db.table("types")?.update(1, &json!({ "string": "changed" }))?;
    db.checkpoint()?;
    // The log behind it.
    for n in 40..60 {
        db.table("people")?.insert(&json!({ "name": format!("p{n}"), "age": n, "email": format!("e{n}") }))?;
    }
    db.transaction(in_the_log)?;
    db.table("emptied")?.clear()?;
    // A number that was given, whose row is gone.
    let last = db.table("late")?.insert(&(None::<u64>,))?;
    db.table("late")?.delete(last).map(drop)
}

fn in_the_log(tx: &Transaction<'_>) -> Result<()> {
    let people = tx.table("people")?;
    people.delete("p5")?;
    people.update("p6", &json!({ "email": null }))?;
    people.update("p7", &json!({ "email": "e6" }))?;
    tx.table("Pairs/β")?.delete((1, "x"))?;
    tx.table("Pairs/β")?.upsert(&(1, "y", -0.0))?;
    tx.table("types")?.delete(2)?;
    tx.table("types")?.update(4, &json!({ "bytes": vec![9; 1_100] }))?;
    tx.create_index("people", Index::hash(["age"]).named("same age"))?;
    tx.drop_index("types", "types_by_u16")?;
    tx.drop_table("dropped")?;
    tx.create_table(counter("late")?)?.insert(&(None::<u64>,)).map(drop)
}

/// Rows whose text stays, so that the log has what changed beside it.
fn write_updates(db: &Database) -> Result<()> {
    let schema = Schema::builder("documents")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("name").unique())
        .column(Column::u32("reads").nullable())
        .column(Column::string("text"))
        .column(Column::bool("done").nullable())
        .column(Column::bytes("blob").nullable())
        .index(Index::ordered(["reads"]))
        .build()?;
    let documents = db.create_table(schema)?;
    for n in 1..5_u32 {
        let row = json!({ "name": format!("d{n}"), "reads": n, "text": "é".repeat(600), "done": false });
        documents.insert(&row)?;
    }
    db.checkpoint()?;
    documents.update(1, &json!({ "reads": 100 }))?;
    documents.update(2, &json!({ "reads": null, "blob": [1, 2, 255], "done": true }))?;
    db.transaction(|tx| {
        let documents = tx.table("documents")?;
        documents.update(3, &json!({ "name": "d4 before" }))?;
        documents.update(1, &json!({ "done": null }))?;
        documents.update(4, &json!({ "name": "d3", "text": "short" }))?;
        documents.update(3, &json!({ "name": "d4" }))
    })
}

#[test]
fn what_the_first_version_wrote_of_updates_is_read() {
    for format in FORMATS {
        let directory = Directory::new(&format!("golden-updates-{}", format.name()));
        copy_folder(&golden(format, "-updates"), &directory.0);
        let db = Database::open(&directory).unwrap();
        assert_eq!((db.opening().unwrap().log, db.opening().unwrap().replayed), (OpenReport::Clean, 3));
        assert_eq!(db.verify().unwrap(), []);
        type Document = (u64, String, Option<u32>, String, Option<bool>, Option<Vec<u8>>);
        let found: Vec<Document> = db.table("documents").unwrap().select().fetch().unwrap();
        let (long, done) = ("é".repeat(600), Some(false));
        let expected = [
            (1, "d1".into(), Some(100), long.clone(), None, None),
            (2, "d2".into(), None, long.clone(), Some(true), Some(vec![1, 2, 255])),
            (3, "d4".into(), Some(3), long, done, None),
            (4, "d3".into(), Some(4), "short".into(), done, None),
        ];
        assert_eq!(found, expected);
    }
}

#[test]
#[ignore = "writes the files of a new format"]
fn writes_the_files_of_a_format_that_has_none() {
    let all = FORMATS.into_iter().flat_map(|format| WRITTEN.map(|(what, write)| (format, what, write)));
    for (format, what, write) in all.filter(|(format, what, _)| !golden(*format, what).exists()) {
        let directory = Directory::new(&format!("golden-new-{}{what}", format.name()));
        let options = FileOptions { format, segment_bytes: 3_000, preallocate_bytes: 0, keep_archived: false };
        let engine = FileEngine::open(&directory, options).unwrap();
        let db = Database::builder().checkpoint_bytes(None).open_on(Arc::new(engine)).unwrap();
        write(&db).unwrap();
        // As the end of a process leaves it, with the log that closing would have saved.
        copy_folder(&directory.0, &golden(format, what));
    }
}

fn check_types(table: &Table) {
    let mut expected = samples();
    for (id, row) in (1..).zip(&mut expected) {
        row[0] = Value::UInt(id);
    }
    expected[0][12] = Value::String("changed".into());
    expected[3][13] = Value::Bytes(vec![9; 1_100]);
    let schema = table.schema().unwrap();
    assert!(schema.indexes().iter().map(|index| index.name()).eq(["types_by_string", "types_by_timestamp"]));
    for (id, expected) in (1_u64..).zip(&expected) {
        let Some(row) = table.get(id).unwrap() else {
            assert_eq!(id, 2);
            continue;
        };
        for (column, expected) in schema.columns().iter().zip(expected) {
            // NaN is as it prints.
            let found = row.value(column.name()).unwrap();
            assert_eq!(format!("{found:?}"), format!("{expected:?}"), "column {} of row {id}", column.name());
        }
    }
    assert_eq!(table.len().unwrap(), 4);
    assert_eq!(table.find("string", "größte 日本 🦀").unwrap().unwrap().id(), 3);
    let time = table.column::<Option<Timestamp>>("timestamp").unwrap();
    let at = |micros| table.select().filter(time.eq(Timestamp::from_micros(micros))).count().unwrap();
    assert_eq!((at(0), at(-1), at(1_000_001)), (1, 0, 1));
    let mut new = samples()[3].clone();
    new[12] = Value::String("new".into());
    assert_eq!(table.insert(&new).unwrap(), 6);
}

fn check_people(db: &Database) {
    let table = db.table("people").unwrap();
    let mut expected: Vec<String> = (0..60)
        .filter(|n| ![4, 5].contains(n))
        .map(|n| {
            let age = if n == 3 { 103 } else { n };
            let email = match n {
                6 => "null".into(),
                7 => "\"e6\"".into(),
                _ => format!("\"e{n}\""),
            };
            format!("people {{ name: \"p{n}\", age: {age}, email: {email} }}")
        })
        .collect();
    expected.push("people { name: \"second part\", age: 18, email: null }".into());
    expected.sort();
    assert_eq!(rows(&table), expected);
    assert_eq!(table.find("email", "e6").unwrap().unwrap().value("name").unwrap(), Value::String("p7".into()));
    let indexes = ["people_by_email", "by age", "same age"];
    assert!(table.schema().unwrap().indexes().iter().map(|index| index.name()).eq(indexes));
    assert_eq!(db.opening().unwrap().missing_closures, [("people".into(), table.schema().unwrap().missing_closures())]);
    let mut schema = people().unwrap();
    assert!(db.ensure_table(schema.clone()).is_err());
    schema = Schema::builder("people")
        .column(Column::string("name").primary_key())
        .column(Column::u32("age").default(18_u32).check("below 200", |age| *age < 200))
        .column(Column::string("email").unique().nullable())
        .index(Index::ordered(["age", "name"]).named("by age"))
        .index(Index::hash(["age"]).named("same age"))
        .build()
        .unwrap();
    let table = db.ensure_table(schema).unwrap();
    assert!(table.insert(&json!({ "name": "old", "age": 200 })).is_err());
}

fn check(db: &Database, format: Format) {
    let opening = db.opening().unwrap();
    assert_eq!((opening.log, opening.checkpoint, opening.version, opening.replayed), (OpenReport::Clean, 88, 112, 24));
    assert_eq!(db.table_names(), ["Pairs/β", "emptied", "late", "people", "types"], "{format:?}");
    assert_eq!(db.verify().unwrap(), []);
    check_types(&db.table("types").unwrap());
    check_people(db);
    let pairs = db.table("Pairs/β").unwrap();
    let expected = ["Pairs/β { a: -1, b: \"x\", weight: 2.5 }", "Pairs/β { a: 1, b: \"y\", weight: -0.0 }"];
    assert_eq!(rows(&pairs), expected);
    assert!(pairs.contains((1, "y")).unwrap() && !pairs.contains((1, "x")).unwrap());
    let (emptied, late) = (db.table("emptied").unwrap(), db.table("late").unwrap());
    assert_eq!((emptied.len().unwrap(), emptied.insert(&(None::<u64>,)).unwrap()), (0, 41));
    assert_eq!((late.len().unwrap(), late.insert(&(None::<u64>,)).unwrap()), (1, 3));
}

#[test]
fn what_the_first_version_wrote_is_read() {
    for format in FORMATS {
        let directory = Directory::new(&format!("golden-{}", format.name()));
        copy_folder(&golden(format, ""), &directory.0);
        // It has what it is to have: a table of two parts, a sealed segment behind the checkpoint.
        let manifest = std::fs::read_to_string(directory.0.join("manifest")).unwrap();
        assert!(manifest.contains(r#""parts": 2"#) && manifest.contains(format.name()), "{manifest}");
        assert!(std::fs::read_dir(directory.0.join("wal")).unwrap().count() > 1);
        assert_eq!(Database::verify_at(&directory).unwrap(), []);
        let db = Database::open(&directory).unwrap();
        check(&db, format);
        let people = rows(&db.table("people").unwrap());
        drop(db);
        // And it goes on as any other.
        let db = Database::open(&directory).unwrap();
        assert_eq!((db.opening().unwrap().log, db.opening().unwrap().replayed), (OpenReport::Clean, 0));
        assert_eq!(rows(&db.table("people").unwrap()), people);
        assert_eq!(db.verify().unwrap(), []);
    }
}
