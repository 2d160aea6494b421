//! Documents: what a `json` column takes, keeps and gives back, and when two of them are equal.
#![cfg(any(unix, windows))]

#[path = "common/directory.rs"]
mod directory;

use directory::Directory;
use folio::storage::Format;
use folio::{Column, Database, Field, ImportOptions, Result, Row, Schema, Table};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeSet;
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

/// The document as text.
fn stored(table: &Table, id: u64) -> String {
    let (_, doc): (u64, Box<RawValue>) = table.get(id).unwrap().unwrap().decode().unwrap();
    doc.get().to_owned()
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
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

/// Within a document they are null, as JSON has them: in rows and in what rows are compared with.
#[test]
fn what_is_not_finite_within_a_document_is_null() {
    let (table, doc) = table();
    for float in NOT_FINITE {
        let id = table.insert(&Doc { doc: [1.0, float] }).unwrap();
        assert_eq!(table.get(id).unwrap().unwrap().get(doc).unwrap(), json!([1.0, null]));
        let floats = || folio::Value::from([1.0, float]);
        for found in [doc.eq(floats()), doc.is_in([floats()]), doc.eq(json!([1.0, null])), !doc.ne(floats())] {
            assert_eq!(table.select().filter(found).ids().unwrap(), [id]);
        }
        table.clear().unwrap();
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

// What is equal.

#[derive(Serialize)]
struct Backwards {
    b: u8,
    a: Option<u8>,
}

/// The rows that a predicate finds, which a closure that compares values finds as well.
fn assert_found(table: &Table, doc: Field<Option<Value>>, document: &Value, expected: &[u64]) {
    let found = table.select().filter(doc.eq(document.clone())).ids().unwrap();
    assert_eq!(found, expected, "{document}");
    assert_eq!(table.select().filter(doc.is_in([document.clone()])).ids().unwrap(), expected, "{document}");
    let two = [json!("none"), document.clone()];
    assert_eq!(table.select().filter(doc.is_in(two)).ids().unwrap(), expected, "{document}");
    let by_closure = |row: &Row<'_>| row.get(doc).as_ref() == Some(document);
    assert_eq!(table.select().filter(by_closure).ids().unwrap(), expected, "{document}");
    let others = |row: &Row<'_>| row.get(doc).is_some_and(|doc| doc != *document);
    let others = table.select().filter(others).ids().unwrap();
    assert_eq!(table.select().filter(doc.ne(document.clone())).ids().unwrap(), others, "{document}");
    assert_eq!(table.select().filter(!doc.eq(document.clone()) & doc.is_not_null()).ids().unwrap(), others);
}

#[test]
fn documents_are_equal_by_what_they_say() {
    let (table, doc) = table();
    table.insert(&Doc { doc: Backwards { b: 1, a: Some(2) } }).unwrap();
    table.insert(&Doc { doc: json!({ "a": 2, "b": 1 }) }).unwrap();
    table.insert(&Doc { doc: None::<u8> }).unwrap();
    let text = r#"[{"doc":"\u00e9"},{"doc":"é"},{"doc":1e2},{"doc":100.0},{"doc":100},{"doc":[{"y":1.50,"x":-0}]},
        {"doc":{"a":1,"b":1,"a":2}},{"doc":[{"x":0.0,"y":1.5}]},{"doc":"\/\u0041"}]"#;
    table.import_json(text.as_bytes(), &ImportOptions::new()).unwrap();
    assert_found(&table, doc, &json!({ "a": 2, "b": 1 }), &[1, 2, 10]);
    assert_found(&table, doc, &json!("é"), &[4, 5]);
    assert_found(&table, doc, &json!(100.0), &[6, 7]);
    assert_found(&table, doc, &json!(100), &[8]);
    assert_found(&table, doc, &json!([{ "x": 0.0, "y": 1.5 }]), &[9, 11]);
    assert_found(&table, doc, &json!("/A"), &[12]);
    assert_found(&table, doc, &json!({ "a": 2 }), &[]);
    assert_eq!(table.select().filter(doc.eq("é") & doc.eq(json!("\u{e9}"))).count().unwrap(), 2);
    assert_eq!(table.select().columns(["doc"]).distinct().count().unwrap(), 7);
    let groups = table.select().group_by(doc).count().unwrap();
    let counts: BTreeSet<(String, u64)> = groups.into_iter().map(|(doc, count)| (format!("{doc:?}"), count)).collect();
    assert_eq!(counts.len(), 7);
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 12);
    assert!(counts.iter().any(|(doc, count)| doc.contains("Object") && !doc.contains("Array") && *count == 3));
    // As values, too.
    let [one, other] = [1, 2].map(|id| table.get(id).unwrap().unwrap().value("doc").unwrap());
    assert_eq!(one, other);
}

#[test]
fn long_documents_are_compared_alike() {
    let (table, doc) = table();
    let text = "x".repeat(5000);
    table.insert(&Doc { doc: raw(&format!("{{\"b\":\"{text}\",\"a\":1}}")) }).unwrap();
    table.insert(&Doc { doc: json!({ "a": 1, "b": text }) }).unwrap();
    table.insert(&Doc { doc: json!({ "a": 2, "b": text }) }).unwrap();
    assert_found(&table, doc, &json!({ "a": 1, "b": text }), &[1, 2]);
    assert_eq!(table.select().columns(["doc"]).distinct().count().unwrap(), 2);
}

fn any_document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (0..3u8).prop_map(Value::from),
        prop_oneof![Just(0.0), Just(-0.0), Just(1.0), Just(1e300), Just(0.1)].prop_map(|float: f64| json!(float)),
        "[aé\"\\\\\u{1}]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[ab]", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The document written with its keys the other way round, and its text escaped.
fn in_other_words(document: &Value) -> String {
    let text = |text: &str| {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        format!("\"{units}\"")
    };
    match document {
        Value::String(string) => text(string),
        Value::Array(all) => format!("[ {} ]", all.iter().map(in_other_words).collect::<Vec<_>>().join(" ,")),
        Value::Object(fields) => {
            let fields: Vec<_> =
                fields.iter().rev().map(|(key, value)| format!("{}: {}", text(key), in_other_words(value))).collect();
            format!("{{\n{}}}", fields.join(","))
        }
        Value::Number(number) if number.is_f64() => format!("{:e}", number.as_f64().unwrap()),
        other => other.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn predicates_find_what_closures_do(documents in proptest::collection::vec(any_document(), 1..12)) {
        let (table, doc) = table();
        for (at, document) in documents.iter().enumerate() {
            if at % 2 == 0 {
                table.insert(&Doc { doc: raw(&in_other_words(document)) }).unwrap();
            }
            table.insert(&Doc { doc: document }).unwrap();
        }
        let mut different: Vec<Value> = Vec::new();
        for document in &documents {
            let same = |row: &Row<'_>| row.get(doc).as_ref() == Some(document);
            let expected = table.select().filter(same).ids().unwrap();
            assert_found(&table, doc, document, &expected);
            if !different.contains(document) {
                different.push(document.clone());
            }
        }
        prop_assert_eq!(table.select().columns(["doc"]).distinct().count().unwrap(), different.len() as u64);
        let groups = table.select().group_by(doc).count().unwrap();
        prop_assert_eq!(groups.len(), different.len());
    }
}

// What is taken.

#[test]
fn documents_that_cannot_be_read_back_are_refused() {
    let (table, _) = table();
    let deep = format!("{}1{}", "[".repeat(128), "]".repeat(128));
    for text in [r#""\ud800""#, "1e999", r#"{"a":[-1e400]}"#, r#"{"\udc00":1}"#, &deep] {
        let Ok(document) = RawValue::from_string(text.to_owned()) else { panic!("{text}") };
        assert_eq!(table.insert(&Doc { doc: &document }).unwrap_err().code(), "invalid-value", "{text}");
        assert!(table.insert(&Doc { doc: [Some(&document)] }).is_err(), "{text}");
    }
    assert!(table.is_empty().unwrap());
    table.insert(&Doc { doc: raw(r#"{"\ud83d\ude00":1e308,"long":123456789012345678901234567890}"#) }).unwrap();
    assert_eq!(table.insert(&Doc { doc: raw(" null ") }).unwrap(), 2);
    assert!(table.get(2).unwrap().unwrap().value("doc").unwrap().is_null());
}

const EDGES: [&str; 17] = [
    "null",
    "true",
    "0",
    "-0",
    "-0.0",
    "1e308",
    "1e309",
    "-1e999",
    "1e-999",
    "18446744073709551616",
    "\"\"",
    "\"a\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\u0000\"",
    "\"\\udc00\"",
    "1.7976931348623159e308",
];

/// Documents in which the numbers, texts and keys at the edge of what can be read stand anywhere.
fn edgy_text() -> impl Strategy<Value = String> {
    prop::sample::select(&EDGES[..]).prop_map(str::to_owned).prop_recursive(3, 24, 4, |inner| {
        let keys = prop::sample::select(&["\"a\"", "\"\\udbff\"", "\"\"", "\"a b\""][..]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(", "))),
            prop::collection::vec((keys, inner), 0..4).prop_map(|entries| {
                let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key} : {value}")).collect();
                format!("{{{}}}", entries.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_document_is_taken_just_if_it_is_read_as_a_value(text in edgy_text()) {
        let (table, doc) = table();
        let inserted = table.insert(&Doc { doc: raw(&text) });
        prop_assert_eq!(inserted.is_ok(), serde_json::from_str::<Value>(&text).is_ok());
        if let Ok(id) = inserted
            && text != "null"
        {
            prop_assert_eq!(table.get(id).unwrap().unwrap().get(doc), Some(serde_json::from_str(&text).unwrap()));
        }
    }
}

// How they are kept.

/// Whose objects serde_json reads as the JSON that the text spells.
const RESERVED: &str = "$serde_json::private::RawValue";

/// Sound JSON of small depth, whose objects with the reserved key spell, level by level, arrays within arrays.
fn nested_in_text(levels: usize) -> String {
    let escaped = |text: &str| text.replace('\\', "\\u005c").replace('"', "\\u0022");
    (0..levels).fold("1".to_owned(), |inner, _| {
        format!("{{\"{RESERVED}\":\"{}{}{}\"}}", "[".repeat(120), escaped(&inner), "]".repeat(120))
    })
}

#[test]
fn documents_with_keys_of_the_reader_s_own_are_refused() {
    let (table, doc) = table();
    let deep = nested_in_text(60);
    let escaped = format!("{{\"\\u0024{}\":\"[1]\"}}", &RESERVED[1..]);
    let spaced = format!("[{{ \"{RESERVED}\" : \"[1\" }}]");
    for text in [&deep, &escaped, &spaced] {
        let imported = table.import_json_lines(format!("{{\"doc\":{text}}}\n").as_bytes(), &ImportOptions::default());
        assert!(imported.unwrap_err().to_string().contains("serde_json::private"), "{}", &text[..40]);
        let error = table.insert(&Doc { doc: raw(text) }).unwrap_err();
        assert!(error.to_string().contains("does not begin with `$serde_json::private::`"), "{error}");
    }
    for inner in ["[1", "null", "[1,2]"] {
        let document = json!({ "a": [{ RESERVED: inner }] });
        assert_eq!(table.insert(&Doc { doc: &document }).unwrap_err().code(), "invalid-value");
        assert_eq!(table.insert(&(1, folio::Value::from(document.clone()))).unwrap_err().code(), "invalid-value");
        assert!(table.select().filter(doc.eq(document)).fetch::<(u64, Value)>().is_err());
    }
    let default = Column::json("doc").default(json!({ RESERVED: "[".repeat(126) + &"]".repeat(126) }));
    assert_eq!(Schema::builder("t").column(default).build().unwrap_err().code(), "invalid-schema");
    let schema = json!({ "name": "t", "columns": [{ "name": "doc", "type": "json", "default": { RESERVED: &deep } }] });
    assert!(serde_json::from_str::<Schema>(&schema.to_string()).is_err());
    assert_eq!(table.len().unwrap(), 0);

    // As text they are like any other, and so are keys that only have it within them.
    let sound = json!({ "text": RESERVED, "a $serde_json::private::Number": [RESERVED, "\u{1}"] });
    let id = table.insert(&Doc { doc: &sound }).unwrap();
    assert_found(&table, doc, &sound, &[id]);
}

#[test]
fn documents_are_kept_compact() {
    let (table, doc) = table();
    for (text, compact) in [
        ("{\"a\": 1}", "{\"a\":1}"),
        (" [ 1 ,\n\t\"a \\\" b\\\\\" , \"\\\\\" ]\r\n", "[1,\"a \\\" b\\\\\",\"\\\\\"]"),
        ("{ \"$text\": \"5\" }", "{\"$text\":\"5\"}"),
        ("\" \"", "\" \""),
    ] {
        let id = table.insert(&Doc { doc: raw(text) }).unwrap();
        assert_eq!(stored(&table, id), compact);
        let within = table.insert(&Doc { doc: ("x", raw(text)) }).unwrap();
        assert_eq!(stored(&table, within), format!("[\"x\",{compact}]"));
    }
    assert_eq!(table.select().filter(doc.eq(json!({ "a": 1 }))).count().unwrap(), 1);
}

#[test]
fn documents_that_begin_as_the_escape_does_come_back() -> Result<()> {
    let (table, doc) = table();
    let documents = ["{ \"$text\": \"5\" }", "{\"$text\":\"{}\"}", "{\t\"$text\" :1}", "[{ \"$text\": \"5\" }]"];
    documents.iter().try_for_each(|text| table.insert(&Doc { doc: raw(text) }).map(drop))?;
    type Import = fn(&Table, &[u8]) -> Result<folio::Imported>;
    let ways: [(Import, Vec<u8>); 3] = [
        (|table, text| table.import_json(text, &ImportOptions::new()), exported(|out| table.export_json(out))),
        (
            |table, text| table.import_json_lines(text, &ImportOptions::new()),
            exported(|out| table.export_json_lines(out)),
        ),
        (|table, text| table.import_csv(text, &ImportOptions::new()), exported(|out| table.export_csv(out))),
    ];
    for (import, text) in ways {
        let again = Database::in_memory().create_table(schema())?;
        import(&again, &text)?;
        for (id, row) in (1u64..).zip(table.iter()?) {
            assert_eq!(again.get(id)?.unwrap().get(again.column::<Option<Value>>("doc")?), row.get(doc));
            assert_eq!(stored(&again, id), stored(&table, id));
        }
    }
    Ok(())
}

fn exported(export: impl FnOnce(&mut Vec<u8>) -> Result<folio::Exported>) -> Vec<u8> {
    let mut out = Vec::new();
    export(&mut out).unwrap();
    out
}

#[test]
fn a_document_alone_is_read_as_it_stands() {
    let schema = Schema::builder("t").column(Column::json("doc").nullable()).column(Column::u8("n")).build().unwrap();
    let table = Database::in_memory().create_table(schema).unwrap();
    table.insert(&(raw("[1.50,{\"b\":1,\"a\":2}]"), 1)).unwrap();
    let documents = table.select().columns(["doc"]);
    let found: Vec<Box<RawValue>> = documents.fetch().unwrap();
    assert_eq!(found[0].get(), "[1.50,{\"b\":1,\"a\":2}]");
    let found: Vec<(Box<RawValue>,)> = documents.fetch().unwrap();
    assert_eq!(found[0].0.get(), "[1.50,{\"b\":1,\"a\":2}]");
    table.insert(&(None::<u8>, 2)).unwrap();
    let found: Vec<Option<Box<RawValue>>> = documents.fetch().unwrap();
    assert_eq!((found[0].is_some(), found[1].is_some()), (true, false));
    assert_eq!(documents.fetch::<Box<RawValue>>().unwrap_err().code(), "decode");
    // What is no document is not read as one.
    assert_eq!(table.select().columns(["n"]).fetch::<Box<RawValue>>().unwrap_err().code(), "decode");
    assert_eq!(table.select().fetch::<Box<RawValue>>().unwrap_err().code(), "decode");
}

/// There is one null, the column's, in whichever way a file spells it.
#[test]
fn a_null_in_a_file_is_the_column_s() {
    let must = Schema::builder("t").column(Column::json("doc")).build().unwrap();
    let must = Database::in_memory().create_table(must).unwrap();
    let (may, _) = table();
    let lines = |table: &Table, text: &str| table.import_json_lines(text.as_bytes(), &ImportOptions::new());
    let csv = |table: &Table, text: &str| table.import_csv(text.as_bytes(), &ImportOptions::new());
    assert_eq!(lines(&may, "{\"doc\":null}\n{}\n").unwrap().rows, 2);
    assert_eq!(csv(&may, "id,doc\n7,\n8,\"\"\n").unwrap().rows, 2);
    assert_eq!(may.select().columns(["doc"]).fetch::<Option<Value>>().unwrap(), [None, None, None, None]);
    for table in [&must, &may] {
        assert_eq!(csv(table, "doc\n null\n").unwrap_err().code(), "invalid-value");
        assert_eq!(lines(table, "{\"doc\":{\"$text\":\" null \"}}\n").unwrap_err().code(), "invalid-value");
    }
    assert_eq!(lines(&must, "{\"doc\":null}\n").unwrap_err().code(), "null-not-allowed");
    assert_eq!(csv(&must, "doc\n\"\"\n").unwrap_err().code(), "missing-field");
    assert_eq!((must.len().unwrap(), may.len().unwrap()), (0, 4));
}

#[test]
fn documents_differ_by_where_their_brackets_and_commas_are() {
    let (table, doc) = table();
    let all =
        ["[1,2]", "[12]", "[[1],2]", "[[1,2]]", "[1,[2]]", "[\"1,2\"]", "{\"1\":2}", "{\"1\":[2]}", "[]", "{}", "[[]]"];
    for text in all {
        for spelled in [text.to_owned(), text.replace(',', " , ").replace(':', " :\t")] {
            table.insert(&Doc { doc: raw(&spelled) }).unwrap();
        }
    }
    // But for blanks within a string there is one document of each.
    let different = all.len() as u64 + 1;
    assert_eq!(table.select().columns(["doc"]).distinct().count().unwrap(), different);
    assert_eq!(table.select().group_by(doc).count().unwrap().len() as u64, different);
}

/// What nests too deep to be read back is refused before it uses up the stack, by whatever it comes.
#[test]
fn deep_documents_are_refused_by_all_that_sets_one() {
    let deep = || (0..20_000).fold(folio::Value::Int(1), |inner, _| folio::Value::Array(vec![inner]));
    let in_thread = move || {
        let (table, doc) = table();
        let id = table.insert(&json!({ "doc": 1 })).unwrap();
        let json = || (0..20_000).fold(json!(1), |inner, _| Value::Array(vec![inner]));
        let refused = |answer: Result<()>| assert_eq!(answer.unwrap_err().code(), "invalid-value");
        refused(table.modify(id, |row| row.set(doc, json())));
        refused(table.modify(id, |row| row.set(doc, deep())));
        refused(table.insert(&[folio::Value::Null, deep()]).map(drop));
        let schema = || Schema::builder("d").column(Column::u8("n"));
        assert_eq!(schema().column(Column::json("doc").default(deep())).build().unwrap_err().code(), "invalid-schema");
        let late = schema().column(Column::json("doc").default_with(deep)).build().unwrap();
        let late = Database::in_memory().create_table(late).unwrap();
        refused(late.insert(&json!({ "n": 1 })).map(drop));
        assert_eq!((stored(&table, id), late.len().unwrap()), ("1".to_owned(), 0));
    };
    std::thread::Builder::new().stack_size(4 << 20).spawn(in_thread).unwrap().join().unwrap();
}

#[test]
fn a_null_is_no_raw_text_and_says_so() {
    let (table, _) = table();
    let id = table.insert(&json!({})).unwrap();
    let read = |error: folio::Error| error.to_string();
    let asked = read(table.select().columns(["doc"]).fetch::<Box<RawValue>>().unwrap_err());
    assert!(asked.contains("found null; an `Option` takes both"), "{asked}");
    assert_eq!(table.select().columns(["doc"]).fetch::<Option<Box<RawValue>>>().unwrap().len(), 1);
    // What has no value is read from null, whatever it is called.
    #[derive(Deserialize)]
    struct Nothing;
    table.select().columns(["doc"]).fetch::<Nothing>().unwrap();
    table.select().columns(["doc"]).fetch::<()>().unwrap();
    assert!(table.get(id).unwrap().unwrap().decode::<Nothing>().is_err());
}

#[test]
fn documents_have_no_order() {
    let (table, doc) = table();
    for value in [json!(9), json!(10), json!(-1)] {
        table.insert(&json!({ "doc": value })).unwrap();
    }
    let refused = |answer: Result<()>| assert_eq!(answer.unwrap_err().code(), "invalid-query");
    refused(table.select().order_by(doc).fetch::<Value>().map(drop));
    refused(table.select().order_by(doc.desc()).limit(1).count().map(drop));
    refused(table.select().min(doc).map(drop));
    refused(table.select().max(doc).map(drop));
    let id = table.column::<u64>("id").unwrap();
    refused(table.select().group_by(id).max(doc).map(drop));
    refused(table.select().group_by(id).aggregate((folio::count(), doc.min())).map(drop));
    refused(table.select().filter(doc.gt(json!(9))).count().map(drop));
    assert_eq!(table.select().group_by(doc).count().unwrap().len(), 3);
}
