//! Documents: what a `json` column takes, keeps and gives back.
#![cfg(any(unix, windows))]

#[path = "common/directory.rs"]
mod directory;

use directory::Directory;
use folio::storage::Format;
use folio::{Column, Database, Field, Schema, Table};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

const FORMATS: [Format; 2] = [Format::Binary, Format::JsonLines];
const NOT_FINITE: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

fn open(directory: &Path, format: Format) -> Database {
    Database::builder().format(format).open(directory).unwrap()
}

fn schema() -> Schema {
    let id = Column::u64("id").primary_key().auto_increment();
    Schema::builder("t").column(id).column(Column::json("doc").nullable()).build().unwrap()
}

fn table() -> (Table, Field<Option<Value>>) {
    let table = Database::in_memory().create_table(schema()).unwrap();
    let doc = table.column::<Option<Value>>("doc").unwrap();
    (table, doc)
}

#[derive(Serialize)]
struct Doc<T> {
    doc: T,
}

// What is no number.

#[test]
fn floats_that_are_not_finite_are_null_in_documents() {
    for format in FORMATS {
        let directory = Directory::new(&format!("documents-null-{}", format.name()));
        let db = open(directory.as_ref(), format);
        let columns = Schema::builder("t")
            .column(Column::u64("id").primary_key().auto_increment())
            .column(Column::json("may").nullable().default_with(|| f64::NAN))
            .column(Column::json("must"));
        let table = db.create_table(columns.build().unwrap()).unwrap();
        let (may, must) = (table.column::<Option<Value>>("may").unwrap(), table.column::<Value>("must").unwrap());
        for float in NOT_FINITE {
            let id = table.insert(&json!({ "must": 1 })).unwrap();
            assert_eq!(table.get(id).unwrap().unwrap().get(may), None);
            table.update(id, &json!({ "may": 2 })).unwrap();
            let set = table.modify(id, |row| row.set(must, float));
            assert_eq!(set.unwrap_err().code(), "null-not-allowed");
            table.modify(id, |row| row.set(may, float)).unwrap();
            let row = table.get(id).unwrap().unwrap();
            assert_eq!((row.get(may), row.get(must)), (None, json!(1)));
            table.modify_where(may.is_null(), |row| row.set(may, [1.0, float])).unwrap();
            assert_eq!(table.get(id).unwrap().unwrap().get(may), Some(json!([1.0, null])));
        }
        drop((db, table));
        let db = open(directory.as_ref(), format);
        assert_eq!(db.table("t").unwrap().len().unwrap(), 3);
        assert!(db.verify().unwrap().is_empty());
        db.checkpoint().unwrap();
        drop(db);
        assert_eq!(open(directory.as_ref(), format).table("t").unwrap().len().unwrap(), 3);
    }
}

#[test]
fn a_default_that_is_not_finite_is_no_document() {
    for float in NOT_FINITE {
        let doc = Column::json("doc").default_with(move || float);
        let schema = Schema::builder("t").column(Column::u8("a")).column(doc).build().unwrap();
        let table = Database::in_memory().create_table(schema).unwrap();
        assert_eq!(table.insert(&json!({ "a": 1 })).unwrap_err().code(), "null-not-allowed");
        assert!(table.is_empty().unwrap());
    }
}

#[test]
fn no_document_is_compared_with_what_is_not_finite() {
    let (table, doc) = table();
    table.insert_many([Doc { doc: Some(1) }, Doc { doc: None }]).unwrap();
    for float in NOT_FINITE {
        for predicate in [doc.eq(float), doc.ne(float), doc.is_in([float])] {
            let error = table.select().filter(predicate).count().unwrap_err();
            assert!(error.code() == "invalid-query" && error.to_string().contains("is_null"), "{error}");
        }
    }
}

// Numbers.

/// The float as a document, within one, and as a default: each comes back to the bit.
fn assert_exact(table: &Table, doc: Field<Option<Value>>, float: f64) {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        float: f64,
        all: Vec<f64>,
    }

    let bits = |value: &Value| value.as_f64().unwrap().to_bits();
    let id = table.insert(&Doc { doc: float }).unwrap();
    let row = table.get(id).unwrap().unwrap();
    assert_eq!(bits(&row.get(doc).unwrap()), float.to_bits());
    assert_eq!(row.decode::<(u64, f64)>().unwrap().1.to_bits(), float.to_bits());
    let folio::Value::Json(value) = row.value("doc").unwrap() else { panic!("a document") };
    assert_eq!(bits(&value), float.to_bits());
    table.modify(id, |row| row.set(doc, json!({ "float": float, "all": [float] }))).unwrap();
    let inner = table.get(id).unwrap().unwrap().decode::<(u64, Inner)>().unwrap().1;
    assert_eq!((inner.float.to_bits(), inner.all[0].to_bits()), (float.to_bits(), float.to_bits()));
    assert_eq!(table.select().filter(doc.eq(json!({ "all": [float], "float": float }))).ids().unwrap(), [id]);
    table.clear().unwrap();
}

#[test]
fn floats_in_documents_come_back() {
    let (table, doc) = table();
    for float in [31.245270191439438, 121.48791951161945, 98.6 * 1.1, 0.1 + 0.2, f64::MIN_POSITIVE, 5e-324, f64::MAX] {
        assert_exact(&table, doc, float);
    }
}

proptest! {
    #[test]
    fn every_finite_float_comes_back(floats in proptest::collection::vec(any::<f64>(), 8)) {
        let (table, doc) = table();
        floats.into_iter().filter(|float| float.is_finite()).for_each(|float| assert_exact(&table, doc, float));
    }
}
