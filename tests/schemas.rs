//! A schema that was valid is valid again, and the same, when it is read back: from its JSON form, from a log, from a
//! checkpoint, from an export.
#![cfg(any(unix, windows))]

#[path = "common/directory.rs"]
mod directory;

use directory::Directory;
use folio::storage::Format;
use folio::{
    Column, ColumnDef, Database, Error, ImportOptions, Index, NAME_BYTES_MAX, Schema, SchemaBuilder, Timestamp, Type,
    Uuid,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

const FORMATS: [Format; 2] = [Format::Binary, Format::JsonLines];

fn again(schema: &Schema) -> Schema {
    let text = serde_json::to_string(schema).unwrap();
    let again: Schema = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
    again
}

fn open(directory: &Path, format: Format) -> Database {
    Database::builder().format(format).open(directory).unwrap()
}

/// Stores a table of this schema in either format, reads it from the log and then from a checkpoint, and exports it.
fn assert_kept(name: &str, schema: impl Fn() -> Schema) {
    for format in FORMATS {
        let directory = Directory::new(&format!("schemas-{name}-{}", format.name()));
        open(directory.as_ref(), format).ensure_table(schema()).unwrap();
        let db = open(directory.as_ref(), format);
        db.ensure_table(schema()).unwrap();
        db.checkpoint().unwrap();
        drop(db);
        let db = open(directory.as_ref(), format);
        db.ensure_table(schema()).unwrap();
        assert!(db.verify().unwrap().is_empty());
        let (mut document, mut lines) = (Vec::new(), Vec::new());
        db.export_json(&mut document).unwrap();
        db.export_json_lines(&mut lines).unwrap();
        Database::in_memory().import_json(&*document, &ImportOptions::new()).unwrap();
        let imported = Database::in_memory();
        imported.import_json_lines(&*lines, &ImportOptions::new()).unwrap();
        imported.ensure_table(schema()).unwrap();
    }
}

fn index_names(schema: &Schema) -> Vec<&str> {
    schema.indexes().iter().map(|index| index.name()).collect()
}

/// Three columns whose names together are longer than a name may be.
fn long_names() -> SchemaBuilder {
    let names = ["a", "b", "ü"].map(|start| start.repeat(60 / start.len()));
    let builder = names.iter().fold(Schema::builder("t"), |builder, name| builder.column(Column::u8(name)));
    builder
        .column(Column::u8("u".repeat(NAME_BYTES_MAX)).unique())
        .column(Column::u8("u".repeat(NAME_BYTES_MAX - 1)).unique())
        .index(Index::ordered(names.clone()))
        .index(Index::hash(names.clone()))
        .index(Index::hash([&names[1], &names[0], &names[2]]))
        .index(Index::ordered(["u".repeat(NAME_BYTES_MAX)]))
}

#[test]
fn derived_index_names_are_as_long_as_names_may_be() {
    let schema = long_names().build().unwrap();
    let names = index_names(&schema);
    assert!(names.iter().all(|name| name.len() <= NAME_BYTES_MAX && name.starts_with("t_by_")), "{names:?}");
    assert_eq!(index_names(&again(&schema)), names);
    let mut different = names.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 6, "{names:?}");
    // A name that was chosen is not cut, here as anywhere.
    let chosen = Index::ordered(["a".repeat(60)]).named("x".repeat(NAME_BYTES_MAX + 1));
    assert!(long_names().index(chosen.clone()).build().is_err());
    assert!(matches!(schema.with_index(chosen), Err(Error::InvalidSchema { .. })));
}

#[test]
fn indexes_with_derived_names_come_and_go() {
    assert_kept("names", || long_names().build().unwrap());
    for format in FORMATS {
        let directory = Directory::new(&format!("schemas-indexes-{}", format.name()));
        let db = open(directory.as_ref(), format);
        let table = db.create_table(long_names().build().unwrap()).unwrap();
        table.insert(&(1, 2, 3, 4, 5)).unwrap();
        db.create_index("t", Index::ordered(["b".repeat(60)])).unwrap();
        let schema = table.schema().unwrap().clone();
        db.drop_index("t", index_names(&schema)[2]).unwrap();
        let left = table.schema().unwrap().clone();
        drop(table);
        drop(db);
        let db = open(directory.as_ref(), format);
        assert_eq!(index_names(db.table("t").unwrap().schema().unwrap()), index_names(&left));
        assert_eq!(db.table("t").unwrap().len().unwrap(), 1);
    }
}

/// What was stored when derived names had no limit.
#[test]
fn longer_names_that_were_derived_are_read() {
    let schema = long_names().build().unwrap();
    let mut json: Value = serde_json::to_value(&schema).unwrap();
    for (at, index) in json["indexes"].as_array_mut().unwrap().iter_mut().enumerate() {
        let columns: Vec<String> = serde_json::from_value(index["columns"].clone()).unwrap();
        let suffix = ["", "_hash", "", "_ordered"][at];
        index["name"] = format!("t_by_{}{suffix}", columns.join("_")).into();
    }
    let read: Schema = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(index_names(&read), index_names(&schema));
    assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&schema).unwrap());
    json["indexes"][0]["name"] = "x".repeat(NAME_BYTES_MAX + 1).into();
    assert!(serde_json::from_value::<Schema>(json).unwrap_err().to_string().contains("at most 128"));
}

fn nested(depth: usize) -> Value {
    (1..depth).fold(json!([]), |inner, at| if at % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) })
}

#[test]
fn defaults_nest_as_deep_as_can_be_read_back() {
    let schema = |depth| {
        let column = Column::json("d").default(nested(depth));
        Schema::builder("t").column(Column::u8("a")).column(column).build()
    };
    let deepest = (1..130).take_while(|depth| schema(*depth).is_ok()).last().unwrap();
    assert!((120..127).contains(&deepest), "{deepest}");
    let Err(Error::InvalidSchema { problems, .. }) = schema(deepest + 1) else { panic!("it was taken") };
    assert_eq!(problems[0].code(), "invalid-default");
    assert_kept("deep", || schema(deepest).unwrap());
    // A key by which serde_json means something else, and reads no document back.
    let column = Column::json("d").default(json!({ "$serde_json::private::RawValue": 1 }));
    assert!(Schema::builder("t").column(column).build().is_err());
}

#[test]
fn defaults_are_the_same_however_they_were_given() {
    let time = "2026-11-21T13:00:00.250Z";
    let (id, micros) = ("0123abcd-4567-89ab-cdef-0123456789ab", time.parse::<Timestamp>().unwrap().as_micros());
    let uuid: Uuid = id.parse().unwrap();
    let floats: Type = "2xf64".parse().unwrap();
    let columns = || {
        let columns: Vec<ColumnDef> = vec![
            Column::f64("f64").default(0).into(),
            Column::f64("uneven").default(108.460_000_000_000_01).into(),
            Column::f64("zero").default(-0.0).into(),
            Column::f32("f32").default(0.1).into(),
            Column::f32("f32_whole").default(16_777_217).into(),
            Column::u8("u8").default(7i64).into(),
            Column::timestamp("micros").default(0).into(),
            Column::timestamp("offset").default("2026-11-21T14:00:00.25+01:00").into(),
            Column::timestamp("fraction").default(time).into(),
            Column::uuid("upper").default(id.to_uppercase()).into(),
            Column::uuid("plain").default(id.replace('-', "")).into(),
            Column::uuid("bytes").default(&uuid.as_bytes()[..]).into(),
            Column::new("array", floats).default([1, 2]).into(),
            Column::array("times", "2xtimestamp".parse().unwrap()).default([time, "2026-11-21T00:00:00+02:00"]).into(),
            Column::json("text").default("a").into(),
            Column::json("number").default(1.5).into(),
            Column::json("order").default(json!({ "b": 1, "a": 108.460_000_000_000_01 })).into(),
            Column::bytes("raw").default(&[0u8, 255][..]).into(),
            Column::string("null").nullable().default(None::<&str>).into(),
        ];
        columns
    };
    for column in columns() {
        let schema = Schema::builder("t").column(column).build().unwrap();
        let difference = again(&schema).difference_in_json(&schema);
        assert!(difference.is_none(), "{}", difference.unwrap());
    }
    let all = || columns().into_iter().fold(Schema::builder("t"), SchemaBuilder::column).build().unwrap();
    assert_kept("defaults", all);
    let db = Database::in_memory();
    let table = db.create_table(all()).unwrap();
    table.insert(&json!({})).unwrap();
    let row = table.nth(0).unwrap().unwrap();
    for name in ["offset", "fraction"] {
        assert_eq!(row.value(name).unwrap().to_owned(), Timestamp::from_micros(micros).into(), "{name}");
    }
    // What a program asks for in other words is the same, too.
    let one = |default: folio::Value| {
        Schema::builder("u").column(Column::new("t", Type::Timestamp).default(default)).build().unwrap()
    };
    db.ensure_table(one(micros.into())).unwrap();
    db.ensure_table(one(time.into())).unwrap();
    assert!(db.ensure_table(one((micros + 1).into())).is_err());
}

/// What [`Database::ensure_table`] compares.
trait Difference {
    fn difference_in_json(&self, other: &Schema) -> Option<String>;
}

impl Difference for Schema {
    fn difference_in_json(&self, other: &Schema) -> Option<String> {
        let db = Database::in_memory();
        db.ensure_table(self.clone()).unwrap();
        db.ensure_table(other.clone()).err().map(|error| error.to_string())
    }
}

proptest! {
    #[test]
    fn float_defaults_come_back(float in any::<f64>().prop_filter("finite", |float| float.is_finite()), narrow: f32) {
        let narrow = Column::f32("y").default(if narrow.is_finite() { narrow } else { 0.1 });
        let builder = Schema::builder("t").column(Column::f64("x").default(float)).column(narrow);
        let schema = builder.column(Column::json("d").default(float)).build().unwrap();
        prop_assert!(again(&schema).difference_in_json(&schema).is_none());
    }
}

/// Each took seconds, and one ten: the time went with the square of the size.
#[test]
fn huge_schemas_are_judged_in_time_that_goes_with_their_size() {
    fn list(count: usize, item: impl Fn(usize) -> Value) -> Value {
        (0..count).map(item).collect()
    }
    let column = |n: usize| json!({ "name": format!("c{n}"), "type": "u8" });
    let names = |start: &'static str| move |n: usize| json!(format!("{start}{n}"));
    let index = |n: usize| json!({ "name": format!("i{n}"), "kind": "hash", "columns": ["c0"] });
    let wide = json!([{ "name": "i", "kind": "hash", "columns": list(100_000, names("x")) }]);
    let mut checks = list(100_000, names("k"));
    checks[99_999] = json!("k7");
    for (schema, message) in [
        (json!({ "columns": list(1_000, column), "indexes": wide }), "which is not there; did you mean"),
        (json!({ "columns": [column(0)], "indexes": list(100_000, index) }), "has 100000 indexes"),
        (
            json!({ "columns": list(100_000, |n| json!({ "name": format!("c{n}"), "type": "u8", "unique": true })) }),
            "has 100000 indexes",
        ),
        (json!({ "columns": [column(0)], "checks": checks }), "two checks `k7`"),
    ] {
        let mut schema = schema;
        schema["name"] = json!("t");
        let error = serde_json::from_value::<Schema>(schema).unwrap_err().to_string();
        assert!(error.contains(message), "{error:.300}");
    }
}

/// A file of 100 KiB was answered with an error of some megabytes.
#[test]
fn an_error_of_a_huge_schema_is_not_huge() {
    let long = "x".repeat(10_000);
    let columns: Vec<Value> =
        (0..50).map(|_| json!({ "name": long, "type": "u8", "checks": ["", "", &long, &long] })).collect();
    let checks = vec![""; 20_000];
    let schema = json!({ "name": "n".repeat(100_000), "columns": columns, "checks": checks });
    let error = serde_json::from_value::<Schema>(schema).unwrap_err().to_string();
    assert!(error.len() < 400_000 && error.contains("two columns `xxx"), "{} bytes", error.len());
    let checks = (0..20_000)
        .map(|_| "")
        .fold(Schema::builder("t").column(Column::u8("a")), |schema, name| schema.check(name, |_| true));
    match checks.build() {
        Err(Error::InvalidSchema { problems, .. }) => {
            // An empty name each, and all but the first are there twice.
            let last = problems.last().unwrap();
            assert_eq!((problems.len(), last.code()), (1_001, "more-problems"));
            assert!(last.to_string().contains("38999 more"), "{last}");
        }
        other => panic!("{:?}", other.is_ok()),
    }
}
