//! Rows as they are read: what a row lends, which handles read it, and in which order rows come from both ends.

#[path = "common/random.rs"]
mod random;
#[path = "common/recorder.rs"]
mod recorder;

use folio::{Column, Database, Row, Schema, Table, Timestamp, Uuid, Value};
use random::Random;
use recorder::Recorder;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;

#[derive(Debug, Deserialize, PartialEq)]
struct Lent<'a> {
    name: &'a str,
    body: &'a [u8],
    #[serde(borrow)]
    nick: Option<&'a str>,
    n: i32,
}

/// Rows of columns of each kind; how many leave gaps in their page or have large values is the caller's.
fn documents(db: &Database, name: &str) -> Table {
    let schema = Schema::builder(name)
        .column(Column::string("name"))
        .column(Column::bytes("body"))
        .column(Column::string("nick").nullable())
        .column(Column::i32("n"))
        .column(Column::json("doc").nullable())
        .column(Column::uuid("uuid").nullable())
        .column(Column::timestamp("at").nullable());
    db.create_table(schema.build().unwrap()).unwrap()
}

/// What has a form for people and one for machines is text, in whatever it is wrapped.
#[test]
fn a_wrapped_address_is_text() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Host(std::net::IpAddr);
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Seen {
        host: Host,
        also: Option<Host>,
        all: Vec<Host>,
        at: Timestamp,
        id: Uuid,
    }
    let schema = Schema::builder("seen")
        .column(Column::string("host"))
        .column(Column::string("also").nullable())
        .column(Column::json("all"))
        .column(Column::timestamp("at"))
        .column(Column::uuid("id"));
    let table = Database::in_memory().create_table(schema.build().unwrap()).unwrap();
    let host = Host([127, 0, 0, 1].into());
    let seen = Seen {
        also: Some(Host(std::net::Ipv6Addr::LOCALHOST.into())),
        all: vec![host.clone(); 2],
        host,
        at: Timestamp::from_micros(7),
        id: Uuid::from_bytes([9; 16]),
    };
    let id = table.insert(&seen).unwrap();
    let text = |name: &str| table.get(id).unwrap().unwrap().value(name).unwrap();
    assert_eq!((text("host"), text("also")), (Value::String("127.0.0.1".into()), Value::String("::1".into())));
    assert_eq!(text("all"), Value::Json(json!(["127.0.0.1", "127.0.0.1"])));
    assert_eq!(table.get(id).unwrap().unwrap().decode::<Seen>().unwrap(), seen);
}

/// Short values lie in the row's page and long ones in blocks of their own: both are lent as they lie.
#[test]
fn a_row_lends_its_text_and_bytes() {
    let db = Database::in_memory();
    let table = documents(&db, "t");
    for len in [0, 1, 1_023, 1_024, 70_000] {
        let (name, body) = ("é".repeat(len / 2), vec![7u8; len]);
        let id = table.insert(&json!({ "name": name, "body": body, "n": -1 })).unwrap();
        let row = table.get(id).unwrap().unwrap();
        let lent: Lent<'_> = row.view().unwrap();
        assert_eq!(lent, Lent { name: &name, body: &body, nick: None, n: -1 });
        // It is the row's own memory, as often as it is asked for.
        let again: Lent<'_> = row.view().unwrap();
        assert_eq!((lent.name.as_ptr(), lent.body.as_ptr()), (again.name.as_ptr(), again.body.as_ptr()));
        table.update(id, &json!({ "name": "other", "nick": "x" })).unwrap();
        assert_eq!((lent.name, lent.nick), (&*name, None), "the row is of the version that it was read from");
    }
    let snapshot = db.snapshot();
    let then = snapshot.table("t").unwrap();
    let row = then.get(0).unwrap().unwrap();
    assert_eq!(row.view::<Lent<'_>>().unwrap(), Lent { name: "other", body: &[], nick: Some("x"), n: -1 });
    // In the order of the columns, and with what needs no memory of its own.
    let text = "0198c5f0-0000-7000-8000-000000000000";
    let row = json!({ "name": "a", "body": [], "nick": "b", "n": 1, "doc": "text", "uuid": text, "at": 5 });
    let id = table.insert(&row).unwrap();
    let row = table.get(id).unwrap().unwrap();
    type Columns<'a> = (&'a str, &'a [u8], Option<&'a str>, i32, Option<&'a str>, Option<Uuid>, Option<Timestamp>);
    let found: Columns<'_> = row.view().unwrap();
    let (uuid, at) = (text.parse().unwrap(), Timestamp::from_micros(5));
    assert_eq!(found, ("a", &[][..], Some("b"), 1, Some("text"), Some(uuid), Some(at)));
}

#[test]
fn a_row_does_not_lend_what_it_does_not_have_as_such() {
    let db = Database::in_memory();
    let table = documents(&db, "t");
    table.insert(&json!({ "name": "a", "body": [1], "n": 1, "doc": "two\nlines" })).unwrap();
    let row = table.get(0).unwrap().unwrap();
    #[derive(Debug, Deserialize)]
    struct Missing<'a> {
        #[serde(rename = "title")]
        _title: &'a str,
    }
    #[derive(Debug, Deserialize)]
    struct Number<'a> {
        #[serde(rename = "n")]
        _n: &'a str,
    }
    #[derive(Debug, Deserialize)]
    struct Null<'a> {
        #[serde(rename = "nick")]
        _nick: &'a str,
    }
    #[derive(Debug, Deserialize)]
    struct Document<'a> {
        #[serde(rename = "doc")]
        _doc: &'a str,
    }
    let errors = [
        (row.view::<Missing<'_>>().unwrap_err(), "title"),
        (row.view::<Number<'_>>().unwrap_err(), "`t.n`"),
        (row.view::<Null<'_>>().unwrap_err(), "`t.nick`"),
        // Its line end is not there as such: the text of a document is lent if it has no escapes.
        (row.view::<Document<'_>>().unwrap_err(), "`t.doc`"),
    ];
    for (error, named) in errors {
        assert_eq!(error.kind(), folio::ErrorKind::Row, "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
    #[derive(Debug, Deserialize)]
    struct Owned {
        doc: String,
    }
    assert_eq!(row.view::<Owned>().unwrap().doc, "two\nlines");
}

/// In a page that is full, in one with gaps, and beside large values.
#[test]
fn the_handle_of_another_table_reads_nothing() {
    let db = Database::in_memory();
    let (table, other) = (documents(&db, "t"), documents(&db, "other"));
    for n in 1..=80 {
        let name = if n > 64 { "x".repeat(2_000) } else { "x".into() };
        table.insert(&json!({ "name": name, "body": [n], "nick": "y", "n": n, "doc": [n] })).unwrap();
    }
    table.delete(40).unwrap();
    let of = |table: &Table| {
        let (name, body) = (table.column::<str>("name").unwrap(), table.column::<[u8]>("body").unwrap());
        (name, body, table.column::<Option<String>>("nick").unwrap(), table.column::<i32>("n").unwrap())
    };
    let (own, foreign) = (of(&table), of(&other));
    let read = |row: &Row<'_>, (name, body, nick, n): (folio::Field<str>, folio::Field<[u8]>, _, _)| {
        (row.get(name).len(), row.get(body).len(), row.get::<Option<String>>(nick).is_some(), row.get::<i32>(n))
    };
    for row in table.iter().unwrap() {
        let n = row.id() as i32 + 1;
        let len = if n > 64 { 2_000 } else { 1 };
        assert_eq!((read(&row, own), read(&row, foreign)), ((len, 1, true, n), (0, 0, false, 0)));
        assert_eq!((row.try_get(own.3).unwrap(), row.try_get(own.0).unwrap().len()), (n, len));
        let refused = [row.try_get(foreign.0).err(), row.try_get(foreign.2).err(), row.try_get(foreign.3).err()];
        assert!(refused.into_iter().all(|error| error.unwrap().code() == "foreign-handle"));
        assert_eq!((row.value("n").unwrap(), row.value("nick").unwrap()), (n.into(), Value::from("y")));
        assert_eq!(row.value("m").unwrap_err().code(), "no-such-column");
    }
    for n in [1, 41, 70] {
        let query = table.select().filter(|row: &Row<'_>| row.id() == n && row.get(foreign.3) == 0);
        assert_eq!(query.count().unwrap_err().code(), "foreign-handle");
        assert_eq!(table.modify(n, |row| row.set(own.3, row.get(foreign.3))).unwrap_err().code(), "foreign-handle");
    }
}

/// From both ends in any turn, between any bounds, over pages that are full, have gaps, or are not there.
#[test]
fn rows_come_from_both_ends_in_any_turn() {
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::u64("id").primary_key().auto_increment()).column(Column::u8("n"));
    let table = db.create_table(schema.build().unwrap()).unwrap();
    let ends = [0, 1, u64::MAX - 40, u64::MAX - 1, u64::MAX];
    let mut ids: BTreeSet<u64> = (30..140).chain([1_000, 1_023, 1_024, 1 << 20, 1 << 40]).chain(ends).collect();
    for &id in &ids {
        table.insert(&(id, 0)).unwrap();
    }
    for id in (40..90).filter(|id| id % 3 != 0).chain([96, 127]) {
        assert!(table.delete(id).unwrap() && ids.remove(&id));
    }
    let mut random = Random(7);
    let all: Vec<u64> = ids.iter().copied().collect();
    for rank in 0..all.len() as u64 + 1 {
        assert_eq!(table.nth(rank).unwrap().map(|row| row.id()), all.get(rank as usize).copied());
    }
    assert!(table.nth(u64::MAX).unwrap().is_none());
    for _ in 0..400 {
        let mut bound = || {
            let id = all[random.below(all.len() as u64) as usize];
            let id = [id, id.saturating_add(1), id.saturating_sub(1)][random.below(3) as usize];
            [Bound::Included(id), Bound::Excluded(id), Bound::Unbounded][random.below(3) as usize]
        };
        let range = (bound(), bound());
        let is_in = |id: &u64| std::ops::RangeBounds::contains(&range, id);
        let mut expected: VecDeque<u64> = all.iter().copied().filter(is_in).collect();
        let mut rows = table.range(range).unwrap();
        let turns = random.below(4);
        loop {
            let at_front = if turns < 3 { random.below(4) > turns } else { random.below(16) == 0 };
            let (row, id) =
                if at_front { (rows.next(), expected.pop_front()) } else { (rows.next_back(), expected.pop_back()) };
            assert_eq!(row.map(|row| row.id()), id, "{range:?}");
            if id.is_none() {
                break;
            }
        }
        assert!(rows.next().is_none() && rows.next_back().is_none(), "{range:?}");
    }
}

/// A row is itself something that serde can serialize: into JSON, and into a table of the same columns.
#[test]
fn a_row_is_written_as_it_is_read() {
    let db = Database::in_memory();
    let schema = |name| {
        let types = [
            "i8",
            "i16",
            "i32",
            "i64",
            "u8",
            "u16",
            "u32",
            "u64",
            "f32",
            "f64",
            "bool",
            "string",
            "bytes",
            "uuid",
            "timestamp",
            "json",
            "3xf32",
            "2xu8",
            "2xbool",
        ];
        let mut schema = Schema::builder(name).column(Column::u64("id").primary_key().auto_increment());
        for (number, ty) in types.iter().enumerate() {
            let column = format!("c{number}");
            schema = schema.column(Column::new(&column, ty.parse().unwrap()).nullable());
        }
        schema.build().unwrap()
    };
    let (from, to) = (db.create_table(schema("from")).unwrap(), db.create_table(schema("to")).unwrap());
    let names: Vec<String> = (0..19).map(|number| format!("c{number}")).chain(["id".into()]).collect();
    let values = |row: &Row<'_>| -> Vec<Value> { names.iter().map(|name| row.value(name).unwrap()).collect() };
    let uuid = "0198c5f0-0000-7000-8000-000000000000";
    let full = json!([
        7, -8, -300, -70_000, i64::MIN, 255, 65_535, u32::MAX, u64::MAX, 0.1f32, 0.1, true, "é\"", [0, 255], uuid,
        "2024-02-29T12:00:00.000001Z", { "b": [1, null], "a": 1e300 }, [0.1, -0.0, 1e-45], [1, 2], [true, false]
    ]);
    from.insert(&full).unwrap();
    from.insert(&json!({ "id": 9 })).unwrap();
    to.insert_many(from.iter().unwrap()).unwrap();
    for (row, copy) in from.iter().unwrap().zip(to.iter().unwrap()) {
        assert_eq!(values(&row), values(&copy));
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(text, serde_json::to_string(&copy).unwrap());
        // And so it comes back from there.
        to.replace(&serde_json::from_str::<serde_json::Value>(&text).unwrap()).unwrap();
        let again = to.get(row.id()).unwrap().unwrap();
        assert_eq!(values(&row), values(&again), "{text}");
    }
    let text = serde_json::to_string(&from.get(7).unwrap().unwrap()).unwrap();
    assert!(text.starts_with(r#"{"id":7,"c0":-8,"c1":-300,"#) && text.contains(r#""c8":0.1,"c9":0.1,"#), "{text}");
    assert!(text.contains(r#""c16":[0.1,-0.0,1e-45],"#), "{text}");
    let nulls = serde_json::to_value(from.get(9).unwrap().unwrap()).unwrap();
    assert_eq!(nulls.as_object().map(|row| row.values().filter(|value| value.is_null()).count()), Some(19));
}

/// A format that writes no types is read by whoever knows them: widths and optional values are as the column has them.
#[test]
fn a_row_is_written_with_the_types_of_its_columns() {
    let db = Database::in_memory();
    let schema = Schema::builder("t")
        .column(Column::u8("small"))
        .column(Column::new("narrow", "i16".parse().unwrap()).nullable())
        .column(Column::string("text").nullable())
        .column(Column::f32("ratio").nullable())
        .column(Column::new("pair", "2xi32".parse().unwrap()).nullable())
        .column(Column::json("doc").nullable());
    let table = db.create_table(schema.build().unwrap()).unwrap();
    table.insert(&json!([7, -300, "a", 0.1, [1, -2], [true]])).unwrap();
    table.insert(&json!([8, null, null, null, null, null])).unwrap();
    let calls = |id: u64| {
        let mut recorder = Recorder::default();
        table.get(id).unwrap().unwrap().serialize(&mut recorder).unwrap();
        recorder.0.join(", ")
    };
    let full = "map Some(6), str \"small\", u8 7, str \"narrow\", some, i16 -300, str \"text\", some, str \"a\", \
        str \"ratio\", some, f32 0.1, str \"pair\", some, seq Some(2), i32 1, i32 -2, \
        str \"doc\", some, seq Some(1), bool true";
    assert_eq!(calls(0), full);
    let nulls = "map Some(6), str \"small\", u8 8, str \"narrow\", none, str \"text\", none, str \"ratio\", none, \
        str \"pair\", none, str \"doc\", none";
    assert_eq!(calls(1), nulls);
}

/// The text of a document says more than a tree of it: digits, the order of keys, keys that stand twice.
#[test]
fn a_copied_row_keeps_its_documents() {
    let db = Database::in_memory();
    let (from, to) = (documents(&db, "from"), documents(&db, "to"));
    let texts = [
        r#"{"n":12345678901234567890123}"#,
        "18446744073709551616",
        "1.10",
        "-0",
        r#"{"b":1,"a":2}"#,
        r#"{"a":1,"a":[1.0]}"#,
        r#""é\u00e9""#,
    ];
    for text in texts {
        let doc = RawValue::from_string(text.to_owned()).unwrap();
        from.insert(&Document { name: "x", body: &[], n: 1, doc: &doc }).unwrap();
    }
    let text_of = |row: &Row<'_>| row.view::<Kept<'_>>().unwrap().doc.get().to_owned();
    to.insert_many(from.iter().unwrap()).unwrap();
    for ((row, copy), text) in from.iter().unwrap().zip(to.iter().unwrap()).zip(texts) {
        assert_eq!((text_of(&row), text_of(&copy)), (text.to_owned(), text.to_owned()));
    }
    // And so does a row within a document, and one that is given the values that it has.
    to.insert(&json!({ "name": "y", "body": [], "n": 2, "doc": null })).unwrap();
    let before = db.snapshot();
    for row in from.iter().unwrap() {
        from.update(row.id(), &row).unwrap();
    }
    assert!(before.diff(&db.snapshot()).unwrap().is_empty());
    let row = from.get(0).unwrap().unwrap();
    to.insert(&Within { name: "z", body: &[], n: 3, doc: [&row] }).unwrap();
    let last = to.iter().unwrap().next_back().unwrap();
    assert!(text_of(&last).contains(r#""doc":{"n":12345678901234567890123}"#), "{}", text_of(&last));
    // Elsewhere it is what a tree holds of it.
    let text = serde_json::to_string(&row).unwrap();
    assert!(text.contains(r#""doc":{"n":1.2345678901234568e+22}"#), "{text}");
}

#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    body: &'a [u8],
    n: i32,
    doc: &'a RawValue,
}

#[derive(Serialize)]
struct Within<'a, 'r> {
    name: &'a str,
    body: &'a [u8],
    n: i32,
    doc: [&'a Row<'r>; 1],
}

#[derive(Deserialize)]
struct Kept<'a> {
    #[serde(borrow)]
    doc: &'a RawValue,
}
