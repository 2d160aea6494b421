//! A schema that was valid is valid again, and the same, when it is read back: from its JSON form, from a log, from a
//! checkpoint, from an export.
#![cfg(any(unix, windows))]

#[path = "common/directory.rs"]
mod directory;

use directory::Directory;
use folio::storage::Format;
use folio::{Column, Database, Error, ImportOptions, Index, NAME_BYTES_MAX, Schema, SchemaBuilder};
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
