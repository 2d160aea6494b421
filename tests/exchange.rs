//! Export and import: what goes out comes back equal, what is wrong is told by its place, and an import that stops leaves
//! nothing.

#[path = "common/directory.rs"]
mod directory;
#[path = "common/random.rs"]
mod random;

use directory::Directory;
use folio::{Column, ColumnDef, Database, Error, ImportOptions, Imported, Index, OnError, Result, Schema, Snapshot};
use folio::{Table, Timestamp, Type, Uuid, Value};
use proptest::prelude::*;
use random::Random;
use serde_json::json;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn stop() -> ImportOptions {
    ImportOptions::new().source("file")
}

fn skip() -> ImportOptions {
    stop().on_error(OnError::Skip)
}

type Import = fn(&Table, &[u8], &ImportOptions) -> Result<Imported>;
type ImportAll = fn(&Database, &[u8], &ImportOptions) -> Result<Imported>;

const JSON: Import = |table, text, options| table.import_json(text, options);
const LINES: Import = |table, text, options| table.import_json_lines(text, options);
const CSV: Import = |table, text, options| table.import_csv(text, options);
const ALL_JSON: ImportAll = |db, text, options| db.import_json(text, options);
const ALL_LINES: ImportAll = |db, text, options| db.import_json_lines(text, options);

fn written(export: impl FnOnce(&mut Vec<u8>) -> Result<folio::Exported>) -> String {
    let mut out = Vec::new();
    export(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn all_lines(snapshot: &Snapshot) -> String {
    written(|out| snapshot.export_json_lines(out))
}

fn people(db: &Database) -> Table {
    let schema = Schema::builder("people")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("name").unique())
        .column(Column::u8("age").default(18).check("adult", |age| *age >= 18))
        .column(Column::json("notes").nullable())
        .build()
        .unwrap();
    db.create_table(schema).unwrap()
}

// Round trips.

const TYPES: [&str; 20] = [
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
    "string",
    "bytes",
    "uuid",
    "timestamp",
    "json",
    "3xf32",
    "2xuuid",
    "4xbool",
];

fn random_text(random: &mut Random) -> String {
    const PARTS: [&str; 14] =
        ["", "a", ",", "\"", "\n", "\r\n", "\r", "é", "\0", "\\", " ", "\u{FEFF}", "{\"$text\":", "\u{1F980}"];
    (0..random.below(6)).map(|_| PARTS[random.below(PARTS.len() as u64) as usize]).collect()
}

fn random_value(random: &mut Random, ty: Type) -> Value {
    let word = random.below(u64::MAX);
    match ty {
        Type::I8 => Value::Int((word as i8).into()),
        Type::I16 => Value::Int((word as i16).into()),
        Type::I32 => Value::Int((word as i32).into()),
        Type::I64 => Value::Int(word as i64),
        Type::U8 => Value::UInt((word as u8).into()),
        Type::U16 => Value::UInt((word as u16).into()),
        Type::U32 => Value::UInt((word as u32).into()),
        Type::U64 => Value::UInt(word),
        Type::F32 | Type::F64 if word.is_multiple_of(5) => {
            Value::Float([f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0][(word / 5 % 5) as usize])
        }
        Type::F32 => Value::Float(f32::from_bits((word as u32) & 0xBFFF_FFFF).into()),
        Type::F64 => Value::Float(f64::from_bits(word)),
        Type::Bool => Value::Bool(word.is_multiple_of(2)),
        Type::String => Value::String(random_text(random)),
        Type::Bytes => Value::Bytes(random_text(random).into_bytes()),
        Type::Uuid => Value::Uuid(Uuid::from_bytes([word as u8; 16])),
        Type::Timestamp => Value::Timestamp(Timestamp::from_micros(word as i64)),
        Type::Json => Value::Json(match word % 4 {
            0 => json!({ "$text": random_text(random) }),
            1 => json!([word, null, random_text(random), { "a b": [] }]),
            2 => json!(random_text(random)),
            _ => json!(word as f64 / 3.0),
        }),
        Type::Array(array) => {
            Value::Array((0..array.len()).map(|_| random_value(random, array.element().into())).collect())
        }
    }
}

fn random_table(random: &mut Random, db: &Database, name: &str) -> Table {
    let mut builder = Schema::builder(name);
    let is_numbered = random.below(2) == 0;
    if is_numbered {
        builder = builder.column(Column::u32("id").primary_key().auto_increment());
    }
    let types: Vec<Type> =
        (0..=random.below(6)).map(|_| TYPES[random.below(TYPES.len() as u64) as usize].parse().unwrap()).collect();
    for (place, ty) in types.iter().enumerate() {
        // A name that has to be escaped.
        let column = Column::new(format!("c\"{place}, é"), *ty);
        builder = builder.column(ColumnDef::from(if random.below(2) == 0 { column.nullable() } else { column }));
    }
    let schema = builder.build().unwrap();
    let table = db.create_table(schema.clone()).unwrap();
    for _ in 0..random.below(100) {
        let row: Vec<Value> = schema
            .columns()
            .iter()
            .map(|column| match column.is_nullable() && random.below(3) == 0 || column.is_auto_increment() {
                true => Value::Null,
                false => random_value(random, column.ty()),
            })
            .collect();
        let key = table.insert(&row).unwrap();
        if is_numbered && random.below(4) == 0 {
            table.delete(key).unwrap();
        }
    }
    table
}

fn rows_of(table: &Table) -> Vec<String> {
    table.iter().unwrap().map(|row| format!("{row:?}")).collect()
}

#[test]
fn what_goes_out_comes_back_equal() {
    for seed in 0..300 {
        let random = &mut Random(seed);
        let db = Database::in_memory();
        let tables: Vec<Table> = (0..random.below(4)).map(|n| random_table(random, &db, &format!("t{n}"))).collect();
        let snapshot = db.snapshot();
        let lines = all_lines(&snapshot);
        let document = written(|out| snapshot.export_json(out));
        for (import, text) in [(ALL_JSON, &document), (ALL_LINES, &lines)] {
            let again = Database::in_memory();
            let imported = import(&again, text.as_bytes(), &stop()).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(imported.rows, tables.iter().map(|table| table.len().unwrap()).sum::<u64>());
            assert_eq!(all_lines(&again.snapshot()), lines, "seed {seed}");
            for table in &tables {
                let other = again.table(table.name()).unwrap();
                assert_eq!(rows_of(&other), rows_of(table));
            }
        }
        for table in &tables {
            let forms: [(Import, String); 3] = [
                (JSON, written(|out| table.export_json(out))),
                (LINES, written(|out| table.export_json_lines(out))),
                (CSV, written(|out| table.export_csv(out))),
            ];
            for (import, text) in forms {
                let other = Database::in_memory().create_table(table.schema().unwrap().clone()).unwrap();
                let imported = import(&other, text.as_bytes(), &stop());
                let imported = imported.unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
                assert_eq!(imported.rows, table.len().unwrap(), "seed {seed}\n{text}");
                assert_eq!(rows_of(&other), rows_of(table), "seed {seed}\n{text}");
                assert_eq!(
                    written(|out| other.export_json_lines(out)),
                    written(|out| table.export_json_lines(out)),
                    "seed {seed}"
                );
            }
        }
    }
}

#[test]
fn every_character_of_a_text_comes_back() {
    let schema = || Schema::builder("t").column(Column::string("s")).column(Column::json("doc")).build().unwrap();
    let table = Database::in_memory().create_table(schema()).unwrap();
    let all = (0..0x180).chain([0x2028, 0x2029, 0xFEFF, 0xFFFF, 0x10_FFFF]).filter_map(char::from_u32);
    let all: Vec<String> = all.flat_map(|c| [c.to_string(), format!("{c}{c}"), format!("a{c}\"{c}b")]).collect();
    table.insert_many(all.iter().map(|text| (text, json!({ text: [text] })))).unwrap();
    let texts = [
        (JSON, written(|out| table.export_json(out))),
        (LINES, written(|out| table.export_json_lines(out))),
        (CSV, written(|out| table.export_csv(out))),
    ];
    for (import, text) in texts {
        let again = Database::in_memory().create_table(schema()).unwrap();
        assert_eq!(import(&again, text.as_bytes(), &stop()).unwrap().rows, all.len() as u64);
        assert_eq!(rows_of(&again), rows_of(&table));
    }
}

#[test]
fn numbers_are_not_given_again_after_an_import() {
    let db = Database::in_memory();
    let table = people(&db);
    for name in ["Ann", "Ben", "Carl"] {
        table.insert(&json!({ "name": name })).unwrap();
    }
    table.delete(3).unwrap();
    let snapshot = db.snapshot();
    for (import, text) in [(ALL_JSON, written(|out| snapshot.export_json(out))), (ALL_LINES, all_lines(&snapshot))] {
        let again = Database::in_memory();
        import(&again, text.as_bytes(), &stop()).unwrap();
        // Its check is code, and was not in the file.
        let error = again.table("people").unwrap().insert(&json!({ "name": "Dora" })).unwrap_err();
        assert_eq!(error.code(), "missing-closures");
        let table = again.ensure_table(table.schema().unwrap().clone()).unwrap();
        assert_eq!(table.insert(&json!({ "name": "Dora" })).unwrap(), 4);
        // An import that fails behind it does not use up numbers.
        table.clear().unwrap();
        let spoilt = text.replace("\"next_id\":4", "\"next_id\":18446744073709551615") + "x";
        import(&again, spoilt.as_bytes(), &stop()).unwrap_err();
        assert_eq!(table.insert(&json!({ "name": "Emil" })).unwrap(), 5);
    }
}

#[test]
fn checks_see_the_numbers_that_an_import_gives() {
    let db = Database::in_memory();
    let schema = Schema::builder("t")
        .column(Column::u32("id").primary_key().auto_increment().check("not 40", |id| *id != 40))
        .column(Column::u32("n"))
        .check("n is the number", |row| row.get::<u32>("id") == row.get::<u32>("n"))
        .build()
        .unwrap();
    let table = db.create_table(schema).unwrap();
    let numbered = |range: std::ops::Range<u32>| range.map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>();
    assert_eq!(table.import_json_lines(numbered(1..40).as_bytes(), &stop()).unwrap().rows, 39);
    let error = table.import_json_lines(numbered(40..41).as_bytes(), &stop()).unwrap_err();
    assert!(error.to_string().starts_with("file:1:1: `t.id`: 40 fails the check \"not 40\""), "{error}");
    // One that is refused is given no number, and the one with a number of its own stands between.
    let mixed = "{\"n\":7}\n{\"id\":41,\"n\":41}\n".to_string() + &numbered(42..100);
    let imported = table.import_json_lines(mixed.as_bytes(), &skip()).unwrap();
    assert_eq!((imported.rows, imported.skipped), (59, 1), "{:?}", imported.first_errors);
    assert_eq!(table.import_csv(&b"n\n100\n\n101\n"[..], &stop()).unwrap().rows, 2);
    // What was stored comes back.
    let text = written(|out| table.export_json_lines(out));
    table.clear().unwrap();
    assert_eq!(table.import_json_lines(text.as_bytes(), &stop()).unwrap().rows, 100);
}

#[test]
fn an_export_reads_as_it_is_documented() {
    let db = Database::in_memory();
    let table = db
        .create_table(
            Schema::builder("t")
                .column(Column::u64("id").primary_key().auto_increment())
                .column(Column::f64("x").nullable())
                .column(Column::bytes("b"))
                .build()
                .unwrap(),
        )
        .unwrap();
    table.insert(&json!({ "b": [0, 255] })).unwrap();
    table.insert(&json!({ "x": 1, "b": [] })).unwrap();
    let schema = "{\"name\":\"t\",\"columns\":[{\"name\":\"id\",\"type\":\"u64\",\"auto_increment\":true},\
                  {\"name\":\"x\",\"type\":\"f64\",\"nullable\":true},{\"name\":\"b\",\"type\":\"bytes\"}],\
                  \"primary_key\":[\"id\"]}";
    let rows = ["{\"id\":1,\"x\":null,\"b\":\"00ff\"}", "{\"id\":2,\"x\":1.0,\"b\":\"\"}"];
    assert_eq!(
        written(|out| db.export_json(out)),
        format!(
            "{{\"folio\":\"export\",\"format\":1,\"tables\":[\n{{\"schema\":{schema},\"next_id\":3,\"rows\":[\n{},\n{}\n]}}\n]}}\n",
            rows[0], rows[1]
        )
    );
    assert_eq!(
        written(|out| db.export_json_lines(out)),
        format!(
            "{{\"folio\":\"export\",\"format\":1}}\n{{\"table\":{{\"schema\":{schema},\"next_id\":3}}}}\n{{\"row\":{}}}\n{{\"row\":{}}}\n\
             {{\"end\":{{\"tables\":1,\"rows\":2}}}}\n",
            rows[0], rows[1]
        )
    );
    assert_eq!(written(|out| table.export_json(out)), format!("[\n{},\n{}\n]\n", rows[0], rows[1]));
    assert_eq!(written(|out| table.export_json_lines(out)), format!("{}\n{}\n", rows[0], rows[1]));
    assert_eq!(written(|out| table.export_csv(out)), "id,x,b\n1,,00ff\n2,1.0,\"\"\n");
}

/// Numbers are raised with the rest of the import, or not at all.
#[test]
fn an_import_that_is_refused_uses_up_no_numbers() {
    let source = Database::in_memory();
    let a = Schema::builder("a").column(Column::u64("id").primary_key().auto_increment()).build().unwrap();
    let b = Schema::builder("b").column(Column::u8("id").primary_key().auto_increment()).build().unwrap();
    source.create_table(a.clone()).unwrap();
    source.create_table(b).unwrap();
    let snapshot = source.snapshot();
    let db = Database::in_memory();
    let a = db.create_table(a).unwrap();
    for (import, text, place) in [
        (ALL_JSON, written(|out| snapshot.export_json(out)), "file:4:115: "),
        (ALL_LINES, all_lines(&snapshot), "file:3:1: "),
    ] {
        let (head, tail) = text.rsplit_once("\"next_id\":1").unwrap();
        let highest = format!("\"next_id\":{}", u64::MAX);
        let spoilt = format!("{}\"next_id\":300{tail}", head.replace("\"next_id\":1", &highest));
        for options in [stop(), skip()] {
            let error = import(&db, spoilt.as_bytes(), &options).unwrap_err();
            assert_eq!(error.code(), "out-of-range");
            assert!(error.to_string().starts_with(place), "{error}");
            assert_eq!(db.table_names(), ["a"]);
        }
    }
    assert_eq!(a.insert(&json!({})).unwrap(), 1);
}

/// Rows are added whatever the file's schema says, and numbers go on behind the file's where the table's can.
#[test]
fn the_numbers_of_a_file_are_those_of_a_table_that_is_there_as_far_as_they_fit() {
    let source = Database::in_memory();
    let schema = |id: ColumnDef| Schema::builder("t").column(id).column(Column::u8("n"));
    let numbered = schema(Column::u64("id").primary_key().auto_increment().into()).build().unwrap();
    let table = source.create_table(numbered).unwrap();
    table.insert_many((1..6).map(|n| json!({ "n": n }))).unwrap();
    table.insert(&(301, 0)).unwrap();
    table.delete(301).unwrap();
    let snapshot = source.snapshot();
    let keyless = Schema::builder("t").column(Column::u8("n")).column(Column::u64("id"));
    for (there, next) in [
        (schema(Column::u64("id").primary_key().into()), None),
        (keyless, None),
        (schema(Column::u8("id").primary_key().auto_increment().into()), Some(6)),
        (schema(Column::u16("id").primary_key().auto_increment().into()), Some(302)),
    ] {
        let there = there.build().unwrap();
        for (import, text) in [(ALL_JSON, written(|out| snapshot.export_json(out))), (ALL_LINES, all_lines(&snapshot))]
        {
            for options in [stop(), skip()] {
                let db = Database::in_memory();
                let table = db.create_table(there.clone()).unwrap();
                let imported = import(&db, text.as_bytes(), &options).unwrap();
                assert_eq!((imported.rows, imported.skipped), (5, 0));
                let ids: Vec<u64> = table.select().columns(["id"]).fetch().unwrap();
                assert_eq!(ids, [1, 2, 3, 4, 5]);
                if let Some(next) = next {
                    assert_eq!(table.insert(&json!({ "n": 0 })).unwrap(), next);
                }
            }
        }
    }
}

#[test]
fn other_programs_files_are_read() {
    let db = Database::in_memory();
    let schema = Schema::builder("t")
        .column(Column::bytes("bytes").nullable())
        .column(Column::timestamp("time").nullable())
        .column(Column::json("doc").nullable())
        .column(Column::f32("x").nullable())
        .build()
        .unwrap();
    let table = db.create_table(schema).unwrap();
    let text =
        "\u{FEFF}[ {\"bytes\": [1, 2], \"time\": 5,\r\n \"doc\": { \"a\" : [ \"b c\" ,\n1 ] }, \"x\": 1e2},\n{} ] \n";
    table.import_json(text.as_bytes(), &stop()).unwrap();
    let out = written(|out| table.export_json_lines(out));
    assert_eq!(
        out,
        "{\"bytes\":\"0102\",\"time\":\"1970-01-01T00:00:00.000005Z\",\"doc\":{\"a\":[\"b c\",1]},\"x\":100.0}\n\
         {\"bytes\":null,\"time\":null,\"doc\":null,\"x\":null}\n"
    );
    table.clear().unwrap();
    table.import_json_lines(&b"\r\n {\"doc\": 12345678901234567890123.5e99}\r\n\n"[..], &stop()).unwrap();
    assert!(written(|out| table.export_csv(out)).ends_with("\n,,12345678901234567890123.5e99,\n"));
}

/// Sound JSON that no program could make a value of.
#[test]
fn zero_may_have_a_sign_in_every_column_of_numbers() {
    for ty in ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64"] {
        let schema = Schema::builder("t").column(Column::new("n", ty.parse().unwrap())).build().unwrap();
        let table = Database::in_memory().create_table(schema).unwrap();
        table.import_json(&b"[{\"n\":-0}]"[..], &stop()).unwrap();
        table.import_json_lines(&b"{\"n\":-0}"[..], &stop()).unwrap();
        table.import_csv(&b"n\n-0\n-00\n"[..], &stop()).unwrap();
        let numbers: Vec<f64> = table.select().fetch().unwrap();
        assert_eq!(numbers, [0.0; 4], "{ty}");
    }
}

#[test]
fn documents_that_cannot_be_read_back_are_refused() {
    let escaped = "[{\"name\":\"A\",\"notes\":{\"$text\":\"1e999\"}}]";
    for (import, text, place, others) in [
        (JSON, "[{\"name\":\"A\",\n\"notes\":{\"a\":[1e999]}}]", "2:9", 0),
        (JSON, escaped, "1:22", 0),
        (LINES, "{\"name\":\"A\"}\n{\"name\":\"B\",\"notes\":\"\\ud800\"}\n", "2:21", 1),
        (CSV, "name,notes\nA,1\nB,-1e999\n", "3:3", 1),
    ] {
        assert_refused(import, text, place, "invalid-value");
        let table = people(&Database::in_memory());
        let imported = import(&table, text.as_bytes(), &skip()).unwrap();
        assert_eq!((imported.rows, imported.skipped), (others, 1), "{text}");
    }
}

#[test]
fn csv_tells_null_from_empty() {
    let db = Database::in_memory();
    let schema = Schema::builder("t")
        .column(Column::string("s"))
        .column(Column::string("n").nullable())
        .column(Column::bytes("b").nullable())
        .column(Column::i32("i").nullable())
        .column(Column::u8("d").default(7))
        .build()
        .unwrap();
    let table = db.create_table(schema).unwrap();
    let text = "d,i,b,n,s\n,,,,\n\"\",\"\",\"\",\"\",\"\"\r\n1,2,00,\"a\r\nb\"\"\",  x \r3,+4,,,end";
    assert_eq!(table.import_csv(text.as_bytes(), &stop()).unwrap().rows, 4);
    assert_eq!(
        written(|out| table.export_csv(out)),
        "s,n,b,i,d\n\"\",,,,7\n\"\",\"\",\"\",,7\n  x ,\"a\r\nb\"\"\",00,2,1\nend,,,4,3\n"
    );
    // Blanks are no value but in text.
    table.clear().unwrap();
    let blank = "s,n,b,i,d\n , , ,\t, \n\" \",\" \",\" \",\" \",\" \"\n";
    assert_eq!(table.import_csv(blank.as_bytes(), &stop()).unwrap().rows, 2);
    assert_eq!(written(|out| table.export_csv(out)), "s,n,b,i,d\n , ,,,7\n , ,\"\",,7\n");
    let one = db.create_table(Schema::builder("one").column(Column::string("s").nullable()).build().unwrap()).unwrap();
    assert_eq!(one.import_csv(&b"s\n\n\"\"\n\n"[..], &stop()).unwrap().rows, 3);
    assert_eq!(written(|out| one.export_csv(out)), "s\n\n\"\"\n\n");
    // A null is one though the column has a default, alone in its line too.
    let schema = |name: &str| Schema::builder(name).column(Column::string("s").nullable().default("?"));
    let one = db.create_table(schema("with default").build().unwrap()).unwrap();
    let two = db.create_table(schema("two").column(Column::i8("i").nullable().default(1)).build().unwrap()).unwrap();
    for (table, text) in [(one, "s\n\n\"\"\nx\n"), (two, "s,i\n,\n\"\",\n,3\n")] {
        assert_eq!(table.import_csv(text.as_bytes(), &stop()).unwrap().rows, 3);
        assert_eq!(written(|out| table.export_csv(out)), text);
        // The end of the file ends the last line, and with it an empty field.
        let without_end = text.strip_suffix("3\n").unwrap_or(text);
        assert_eq!(table.import_csv(without_end.as_bytes(), &stop()).unwrap().rows, 3);
    }
}

/// In an array as by itself a time may be a number of microseconds, and bytes an array of numbers.
#[test]
fn numbers_stand_for_times_and_bytes() {
    let schema = Schema::builder("t").column(Column::array("at", "2xtimestamp".parse().unwrap()));
    let schema = schema.column(Column::timestamp("by")).column(Column::bytes("b")).build().unwrap();
    let table = Database::in_memory().create_table(schema).unwrap();
    let lines = "{\"at\":[1,-2],\"by\":3,\"b\":[0,255]}\n{\"at\":[\"1970-01-01T00:00:00Z\",5],\"by\":\"1970-01-01\",\"b\":[]}\n";
    assert_eq!(table.import_json_lines(lines.as_bytes(), &stop()).unwrap_err().code(), "invalid-value");
    let lines = lines.replace("\"1970-01-01\"", "\"1970-01-01T00:00:00Z\"");
    assert_eq!(table.import_json_lines(lines.as_bytes(), &stop()).unwrap().rows, 2);
    let told = |json: &str| {
        let field = json.split(':').next().unwrap();
        let others =
            [r#""at":[1,2]"#, r#""by":3"#, r#""b":"00""#].into_iter().filter(|other| !other.starts_with(field));
        let line = format!("{{{}}}\n", others.chain([json]).collect::<Vec<_>>().join(","));
        match table.import_json_lines(line.as_bytes(), &stop()).unwrap_err() {
            Error::Import { source, .. } => (source.code(), source.to_string()),
            error => panic!("{error}"),
        }
    };
    for (json, code, text) in [
        (r#""by":9223372036854775808"#, "out-of-range", "9223372036854775808"),
        (r#""at":[1,9223372036854775808]"#, "out-of-range", "as element 1"),
        (r#""at":[1,"x"]"#, "invalid-value", "as element 1"),
        (r#""at":[null,1]"#, "wrong-type", "as element 0"),
        (r#""at":[1,2,3]"#, "wrong-arity", "3"),
        (r#""b":[1,256]"#, "out-of-range", "as element 1"),
        (r#""b":[1,"x"]"#, "wrong-type", "as element 1"),
        (r#""b":"\ud800""#, "invalid-value", "text"),
    ] {
        let (found, message) = told(json);
        assert!(found == code && message.contains(text), "{json}: {found}, {message}");
    }
}

// What is wrong.

/// Imports into a table with one row, which stays alone in it; answers what was said.
fn refused(import: Import, text: &[u8]) -> Error {
    let db = Database::in_memory();
    let table = people(&db);
    table.insert(&json!({ "name": "Ann" })).unwrap();
    let before = db.snapshot();
    let error = import(&table, text, &stop()).expect_err(&String::from_utf8_lossy(text));
    assert!(before.diff(&db.snapshot()).unwrap().is_empty());
    assert_eq!(db.snapshot().version(), before.version());
    error
}

fn assert_refused(import: Import, text: impl AsRef<[u8]>, place: &str, code: &str) {
    let text = text.as_ref();
    let error = refused(import, text);
    let message = error.to_string();
    let shown = String::from_utf8_lossy(text);
    assert!(matches!(error, Error::Import { .. }));
    assert!(message.starts_with(&format!("file:{place}: ")), "{message}\n{shown:.300}");
    assert_eq!(error.code(), code, "{message}\n{shown:.300}");
}

#[test]
fn json_that_is_wrong_is_told_by_its_place() {
    for (text, place, code) in [
        ("", "1:1", "syntax"),
        ("{}", "1:1", "syntax"),
        ("[", "1:2", "syntax"),
        ("[{\"name\":\"B\"}", "1:14", "syntax"),
        ("[\n{\"name\":\"B\"}\n,", "3:2", "syntax"),
        ("[{\"name\":\"B\"},]", "1:15", "syntax"),
        ("[{\"name\":\"B\"}]x", "1:15", "syntax"),
        ("[{\"name\":\"B\"} {\"name\":\"C\"}]", "1:15", "syntax"),
        ("[\n  {\"name\":\"é\", \"age\": 300}]", "2:23", "out-of-range"),
        ("[{\"name\":\n 7}]", "2:2", "wrong-type"),
        ("[{\"name\":\"B\",\"agee\":7}]", "1:21", "unknown-field"),
        ("[{\"name\":\"B\",\"\\u0061gee\":7}]", "1:26", "unknown-field"),
        ("[{\"name\":\"B\",\"name\":\"C\"}]", "1:21", "duplicate-field"),
        ("[{\"age\":20}]", "1:2", "missing-field"),
        ("[{\"name\":null}]", "1:10", "null-not-allowed"),
        ("[{\"name\":\"B\",\"age\": 17}]", "1:21", "check-violation"),
        ("[{\"name\":\"B\"},\n {\"name\":\"Ann\"}]", "2:2", "unique-violation"),
        ("[{\"name\":\"B\"},\n {\"name\":\"C\"}, {\"name\":\"B\"}]", "2:16", "unique-violation"),
        ("[{\"id\":1,\"name\":\"B\"}]", "1:2", "unique-violation"),
        ("[7]", "1:2", "not-a-row"),
        ("[\"a\"]", "1:2", "not-a-row"),
        ("[[1]]", "1:2", "not-a-row"),
        ("[nul]", "1:4", "syntax"),
        ("[{\"name\" \"B\"}]", "1:10", "syntax"),
        ("[{\"name\":\"B\"\n\"age\":1}]", "2:1", "syntax"),
        ("[{\"name\":\"\\x\"}]", "1:12", "syntax"),
        ("[{\"name\":\"B]", "1:13", "syntax"),
    ] {
        assert_refused(JSON, text, place, code);
    }
    let deep = format!("[{{\"name\":\"B\",\"notes\":{}{}}}]", "[".repeat(200), "]".repeat(200));
    assert_refused(JSON, deep, "1:22", "invalid-value");
    assert_refused(JSON, "[".repeat(1 << 20), "1:1048577", "syntax");
    assert_refused(JSON, format!("[{}{}]", "[".repeat(1 << 20), "]".repeat(1 << 20)), "1:2", "not-a-row");
    assert_refused(JSON, b"[{\"name\":\"\xC3\xA9\xFF\"}]", "1:12", "syntax");
}

#[test]
fn lines_that_are_wrong_are_told_by_their_place() {
    for (text, place, code) in [
        ("{\"name\":\"B\"}\n\n{\"name\":\"C\"", "3:11", "syntax"),
        ("{\"name\":\"B\"}\n  {\"name\":7}", "2:11", "wrong-type"),
        ("{\"name\":\"B\"} {\"name\":\"C\"}\n", "1:14", "syntax"),
        ("{\"name\":\"B\"}\n{\"name\":\"Ann\"}", "2:1", "unique-violation"),
        ("{\"name\":\"B\"}\n \t{\"name\":\"Ann\"}", "2:3", "unique-violation"),
        ("{\"name\":\"B\"}\r\n7\r\n", "2:1", "not-a-row"),
        ("x", "1:1", "syntax"),
    ] {
        assert_refused(LINES, text, place, code);
    }
    assert_refused(LINES, b"{\"name\":\"B\"}\n\xFF", "2:1", "syntax");
}

#[test]
fn csv_that_is_wrong_is_told_by_its_place() {
    for (text, place, code) in [
        ("", "1:1", "syntax"),
        ("name,agee\nB,1\n", "1:6", "unknown-field"),
        ("name,age,name\nB,1,C\n", "1:10", "duplicate-field"),
        ("age\n20\n", "1:1", "missing-field"),
        ("\n\nB\n", "3:1", "unknown-field"),
        ("name,age\nB,300\n", "2:3", "out-of-range"),
        ("name,age\n\"B\nB\",x\n", "3:4", "wrong-type"),
        ("name,age\nB,20,7\n", "2:6", "wrong-arity"),
        ("name,age\r\nB,20\r\n\r\nC\r\n", "4:2", "wrong-arity"),
        ("name,age\nB,20\n\"C,20\n", "3:1", "syntax"),
        ("name,age\rB,20\rC,300\r", "3:3", "out-of-range"),
        ("name,age\r\nB,20\r\nC,300\r\n", "3:3", "out-of-range"),
        ("name,age\r\rB,20\n\r\"C\r\nC\",300", "6:4", "out-of-range"),
        ("name,age\n\r\nB,20\n\rC,300\r", "5:3", "out-of-range"),
        ("name,age\nB,17\n", "2:3", "check-violation"),
        ("name,age\nB,20\nB,20\n", "3:1", "unique-violation"),
        ("name,notes\nB,{\n", "2:3", "invalid-value"),
        ("name,id\nB,x\n", "2:3", "wrong-type"),
        ("name,id\nB,1\n", "2:1", "unique-violation"),
    ] {
        assert_refused(CSV, text, place, code);
    }
    assert_refused(CSV, b"name\nB\n\xC3\xA9\xFF\n", "3:2", "syntax");
    assert_refused(CSV, format!("name\n{}", ",".repeat(100_000)), "2:2", "wrong-arity");
    let message = refused(CSV, b"nmae\nB\n").to_string();
    assert!(message.contains("did you mean `name`?"), "{message}");
}

#[test]
fn databases_that_are_wrong_are_told_by_their_place() {
    let schema = "{\"name\":\"t\",\"columns\":[{\"name\":\"a\",\"type\":\"u8\"}]}";
    let head = "{\"folio\":\"export\",\"format\":1";
    for (import, text, place, code) in [
        (ALL_JSON, "[]".to_string(), "1:1", "syntax"),
        (ALL_JSON, "{}".to_string(), "1:3", "syntax"),
        (ALL_JSON, "{\"tables\":[]}".to_string(), "1:2", "syntax"),
        (ALL_JSON, "{\"folio\":\"log\",\"format\":1,\"tables\":[]}".to_string(), "1:25", "syntax"),
        (ALL_JSON, format!("{head},\"tables\":[{{\"rows\":[]}}]}}"), "1:41", "syntax"),
        (ALL_JSON, format!("{head},\"tables\":[{{}}]}}"), "1:42", "syntax"),
        (ALL_JSON, format!("{head},\"tables\":[{{\"schema\":{{\"name\":\"t\"}}}}]}}"), "1:61", "syntax"),
        (
            ALL_JSON,
            format!("{head},\"tables\":[{{\"schema\":{schema},\"rows\":[\n{{\"a\":1}},\n{{\"a\":\"x\"}}]}}]}}"),
            "3:6",
            "wrong-type",
        ),
        (ALL_JSON, format!("{head},\"tables\":[{{\"schema\":{schema},\"rows\":[{{\"a\":1}}"), "1:115", "syntax"),
        (ALL_JSON, format!("{head},\"tables\":[],\"tables\":[]}}"), "1:42", "syntax"),
        (ALL_JSON, format!("{head},\"folio\":\"export\"}}"), "1:30", "syntax"),
        (ALL_JSON, format!("{head},\"format\":1}}"), "1:30", "syntax"),
        (
            ALL_JSON,
            format!("{head},\"tables\":[{{\"schema\":{schema},\"next_id\":5,\"rows\":[],\"next_id\":3}}]}}"),
            "1:122",
            "syntax",
        ),
        (ALL_JSON, format!("{head},\"tables\":[{{\"schema\":{schema},\"rows\":[],\"rows\":[]}}]}}"), "1:110", "syntax"),
        (
            ALL_JSON,
            format!("{head},\"tables\":[{{\"schema\":{schema},\"rows\":[],\"schema\":{schema}}}]}}"),
            "1:110",
            "syntax",
        ),
        (ALL_JSON, format!("{head},\"tables\":[{{\"schema\":{schema},}}]}}"), "1:100", "syntax"),
        (ALL_JSON, format!("{head},\"tables\":[]}},"), "1:42", "syntax"),
        (ALL_LINES, String::new(), "1:1", "syntax"),
        (ALL_LINES, format!("{head}}}\n{{}}\n"), "2:2", "syntax"),
        (ALL_LINES, format!("{head}}}\n{{\"row\":{{}},\"row\":{{}}}}\n"), "2:15", "syntax"),
        (ALL_LINES, format!("{head}}}\n[]\n"), "2:1", "syntax"),
        (ALL_LINES, "{\"a\":1}\n".to_string(), "1:4", "syntax"),
        (ALL_LINES, format!("{head}}}\n{{\"row\":{{\"a\":1}}}}\n"), "2:1", "syntax"),
        (
            ALL_LINES,
            format!("{head}}}\n{{\"table\":{{\"schema\":{schema}}}}}\n{{\"row\":{{\"a\":1}}}}\n"),
            "4:1",
            "syntax",
        ),
        (
            ALL_LINES,
            format!("{head}}}\n{{\"table\":{{\"schema\":{schema}}}}}\n{{\"row\":{{\"a\":1.5}}}}\n"),
            "3:13",
            "wrong-type",
        ),
        (
            ALL_LINES,
            format!("{head}}}\n{{\"table\":{{\"schema\":{schema}}}}}\n{{\"end\":{{\"tables\":1,\"rows\":1}}}}\n"),
            "3:1",
            "syntax",
        ),
        (ALL_LINES, format!("{head}}}\n{{\"end\":{{\"tables\":0,\"rows\":0}}}}\n{{}}\n"), "3:1", "syntax"),
    ] {
        let db = Database::in_memory();
        let error = import(&db, text.as_bytes(), &stop()).expect_err(&text);
        let message = error.to_string();
        assert!(message.starts_with(&format!("file:{place}: ")), "{message}\n{text}");
        assert_eq!(error.code(), code, "{message}\n{text}");
        assert!(db.table_names().is_empty());
    }
    for (import, text) in [
        (ALL_JSON, "{\"folio\":\"export\",\"format\":2,\"tables\":[]}"),
        (ALL_LINES, "{\"folio\":\"export\",\"format\":2}"),
    ] {
        let error = import(&Database::in_memory(), text.as_bytes(), &stop()).unwrap_err();
        assert!(matches!(error, Error::UnsupportedFormat { found: 2, supported: 1, .. }), "{error}");
    }
}

#[test]
fn a_database_cut_anywhere_is_an_error_and_leaves_nothing() {
    let random = &mut Random(7);
    let db = Database::in_memory();
    for name in ["a", "b"] {
        random_table(random, &db, name);
    }
    people(&db).insert(&json!({ "name": "é\n" })).unwrap();
    let snapshot = db.snapshot();
    let (document, lines) = (written(|out| snapshot.export_json(out)), all_lines(&snapshot));
    for (import, text) in [(ALL_JSON, &document), (ALL_LINES, &lines)] {
        let text = text.trim_end().as_bytes();
        // Every length near both ends, and some between.
        for len in (0..text.len()).filter(|len| *len < 300 || text.len() - len < 300 || random.below(20) == 0) {
            for options in [stop(), skip()] {
                let again = Database::in_memory();
                import(&again, &text[..len], &options).expect_err("a whole file is longer");
                assert!(again.table_names().is_empty());
            }
        }
    }
}

#[test]
fn what_is_wrong_is_skipped_and_counted() {
    let lines = "{\"name\":\"B\"}\nnonsense\n{\"name\":\"C\",\"age\":17}\n{\"name\":\"B\"}\n{\"nam\":1}\n{\"name\":\"D\"}\n\
                 {\"id\":50,\"name\":\"E\"}\n{\"id\":50,\"name\":\"F\"}\n{\"name\":\"G\"}\n";
    let document = format!("[{}]", lines.trim_end().replace('\n', ",\n"));
    let csv = "id,name,age\n,B,\n,nonsense\n,C,17\n,B,\nx,X,\n,D,\n50,E,\n50,F,\n,G,\n";
    for (import, text, first) in [(LINES, lines, 1), (JSON, &document, 1), (CSV, csv, 2)] {
        let table = people(&Database::in_memory());
        let imported = import(&table, text.as_bytes(), &skip()).unwrap();
        assert_eq!((imported.rows, imported.skipped), (4, 5), "{text}");
        let places: Vec<(u64, &str)> = imported
            .first_errors
            .iter()
            .map(|error| match error {
                Error::Import { line, .. } => (line + 1 - first, error.code()),
                error => panic!("{error}"),
            })
            .collect();
        let (second, fifth) = if first == 2 { ("wrong-arity", "wrong-type") } else { ("syntax", "unknown-field") };
        let expected =
            [(2, second), (3, "check-violation"), (4, "unique-violation"), (5, fifth), (8, "unique-violation")];
        assert_eq!(places, expected, "{text}");
        let name = table.column::<str>("name").unwrap();
        let names: Vec<String> = table.iter().unwrap().map(|row| row.get(name).to_string()).collect();
        assert_eq!(names, ["B", "D", "E", "G"]);
        assert!(table.contains(50).unwrap() && table.contains(51).unwrap());
        // The errors kept are bounded, the count is not.
        let imported = import(&table, [text; 30].concat().replace("]\u{5B}", ",").as_bytes(), &skip());
        if let Ok(imported) = imported {
            assert_eq!((imported.rows, imported.first_errors.len()), (0, 100));
            assert!(imported.skipped >= 270);
        }
    }
}

/// Of several rows that are wrong the first of the file is told, whenever it is found.
#[test]
fn the_first_error_of_the_file_stops() {
    for (at, row) in [(2, "{\"name\":\"A\"}"), (5, "7"), (20, "{\"name\":\"A\"}")] {
        for later in ["{\"name\":7}", "{", "{\"name\":\"A\"}", "{\"id\":-1}"] {
            let mut lines: Vec<String> = (0..100).map(|n| format!("{{\"name\":\"{n}\"}}")).collect();
            lines[0] = "{\"name\":\"A\"}".into();
            lines[at] = row.into();
            lines.insert(at + 3, later.into());
            let error = refused(LINES, lines.join("\n").as_bytes());
            assert!(matches!(error, Error::Import { line, .. } if line == at as u64 + 1), "{error}");
        }
    }
}

#[test]
fn a_database_with_rows_that_are_wrong_is_imported_without_them() {
    let schema = "{\"name\":\"t\",\"columns\":[{\"name\":\"a\",\"type\":\"u8\"}]}";
    let rows = ["{\"a\":1}", "{\"a\":300}", "{\"a\":}", "{\"a\":3}"];
    let row = |row: &str| format!("{{\"row\":{row}}}\n");
    let lines = format!(
        "{{\"folio\":\"export\",\"format\":1}}\n{{\"table\":{{\"schema\":{schema}}}}}\n{}{{\"end\":{{\"tables\":1,\"rows\":4}}}}\n",
        rows.map(row).concat()
    );
    let document = format!(
        "{{\"folio\":\"export\",\"format\":1,\"tables\":[{{\"schema\":{schema},\"rows\":[{}]}}]}}",
        rows.join(",")
    );
    for (import, text) in [(ALL_LINES, lines), (ALL_JSON, document)] {
        let db = Database::in_memory();
        let imported = import(&db, text.as_bytes(), &skip()).unwrap();
        assert_eq!((imported.rows, imported.skipped), (2, 2));
        assert_eq!(db.table("t").unwrap().len().unwrap(), 2);
        // What is no row is not skipped: rows behind it would go astray.
        let broken = text.replacen("\"schema\"", "\"shema\"", 1);
        assert!(import(&Database::in_memory(), broken.as_bytes(), &skip()).is_err());
    }
}

#[test]
fn tables_that_are_there_keep_their_closures() {
    let db = Database::in_memory();
    people(&db).insert(&json!({ "name": "Ann" })).unwrap();
    let text = all_lines(&db.snapshot()).replace("\"age\":18", "\"age\":17");
    let (with, without) = (Database::in_memory(), Database::in_memory());
    people(&with);
    assert_eq!(with.import_json_lines(text.as_bytes(), &stop()).unwrap_err().code(), "check-violation");
    assert_eq!(without.import_json_lines(text.as_bytes(), &stop()).unwrap().rows, 1);
    assert_eq!(without.table("people").unwrap().schema().unwrap().missing_closures().len(), 1);
}

#[test]
fn records_have_a_longest() {
    let long = "x".repeat(1000);
    let lines = format!("{{\"name\":\"B\"}}\n{{\"name\":\"{long}\"}}\n{{\"name\":\"C\"}}\n");
    let document = format!("[{}]", lines.trim_end().replace('\n', ","));
    let csv = format!("name\nB\n{long}\nC\n");
    for (import, text) in [(LINES, lines), (JSON, document), (CSV, csv)] {
        let table = people(&Database::in_memory());
        let error = import(&table, text.as_bytes(), &stop().record_bytes_max(500)).unwrap_err();
        assert_eq!(error.code(), "limit", "{error}");
        let imported = import(&table, text.as_bytes(), &skip().record_bytes_max(500)).unwrap();
        assert_eq!((imported.rows, imported.skipped), (2, 1));
    }
}

#[test]
fn quotes_that_are_not_closed_are_told_by_where_they_are_opened() {
    let (long, lines) = ("x".repeat(99), "x\n".repeat(70_000));
    for (text, place) in [
        (format!("name,notes\n{long},\"{lines}"), "2:101"),
        (format!("name,notes\n\"a\nb\r\nc\",é,\"{lines}"), "4:6"),
        (format!("name,notes\n\"{lines}\",\"{lines}"), "70002:3"),
        (format!("name,notes\n{},\"{lines}", "x".repeat(100_000)), "2:100002"),
        (format!("name,notes\n{}\"", ",".repeat(3_000)), "2:3001"),
    ] {
        for limit in [200, 1 << 26] {
            let table = people(&Database::in_memory());
            let error = CSV(&table, text.as_bytes(), &stop().record_bytes_max(limit)).unwrap_err();
            assert!(error.to_string().starts_with(&format!("file:{place}: ")), "{error}");
            assert_eq!(error.code(), "syntax", "{error}");
        }
    }
}

#[test]
fn a_line_of_blanks_above_the_longest_is_a_record_that_is_too_long() {
    let text = format!("{{\"name\":\"B\"}}\n{}\n \t \n{{\"name\":\"C\"}}\n", " ".repeat(1000));
    let table = people(&Database::in_memory());
    let error = LINES(&table, text.as_bytes(), &stop().record_bytes_max(500)).unwrap_err();
    assert!(error.to_string().starts_with("file:2:1: ") && error.code() == "limit", "{error}");
    let imported = LINES(&table, text.as_bytes(), &skip().record_bytes_max(500)).unwrap();
    assert_eq!((imported.rows, imported.skipped), (2, 1));
    assert_eq!(LINES(&people(&Database::in_memory()), text.as_bytes(), &stop()).unwrap().rows, 2);
}

/// What a check of the whole row refuses has no place of its own within it.
#[test]
fn a_row_that_fails_a_check_of_the_table_is_told_by_where_it_begins() {
    let db = Database::in_memory();
    let schema = Schema::builder("spans").column(Column::i32("first")).column(Column::i32("last"));
    let schema = schema.check("in order", |row| row.get::<i32>("first") <= row.get::<i32>("last")).build().unwrap();
    let spans = db.create_table(schema).unwrap();
    let text = "[{\"first\":1,\"last\":2},\n  {\"last\":3,\"first\":4}]";
    let error = JSON(&spans, text.as_bytes(), &stop()).unwrap_err();
    assert!(error.to_string().starts_with("file:2:3: "), "{error}");
    let Error::Import { source, .. } = error else { panic!("an import's error has a place") };
    assert!(matches!(&*source, Error::Check { column: None, check, .. } if **check == *"in order"), "{source}");
    assert!(spans.is_empty().unwrap());
    let imported = CSV(&spans, b"first,last\n4,3\n5,5\n", &skip()).unwrap();
    assert_eq!((imported.rows, imported.skipped), (1, 1));
    assert!(imported.first_errors[0].to_string().starts_with("file:2:1: "));
}

/// Also where the lines say what they are, which is then known by how they begin.
#[test]
fn rows_of_a_database_above_the_longest_are_skipped() {
    let source = Database::in_memory();
    let schema = || Schema::builder("t").column(Column::string("name")).build().unwrap();
    let table = source.create_table(schema()).unwrap();
    table.insert(&("x".repeat(600),)).unwrap();
    table.insert(&("short",)).unwrap();
    let snapshot = source.snapshot();
    for (import, text) in [(ALL_JSON, written(|out| snapshot.export_json(out))), (ALL_LINES, all_lines(&snapshot))] {
        let db = Database::in_memory();
        let imported = import(&db, text.as_bytes(), &skip().record_bytes_max(500)).unwrap();
        assert_eq!((imported.rows, imported.skipped), (1, 1));
        assert_eq!(imported.first_errors[0].code(), "limit");
        assert_eq!(db.table("t").unwrap().len().unwrap(), 1);
    }
    // A line that is no row is not to be skipped, however long it is.
    let spoilt = all_lines(&snapshot).replacen("{\"row\"", "{\"wor\"", 1);
    let error = ALL_LINES(&Database::in_memory(), spoilt.as_bytes(), &skip().record_bytes_max(500)).unwrap_err();
    assert_eq!(error.code(), "limit");
}

// Streams.

/// Gives a text, then fails.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self.0.read(room)? {
            0 => Err(io::Error::other("cable cut")),
            count => Ok(count),
        }
    }
}

impl io::Write for Failing<'_> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("cable cut"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives a few bytes at a time, and is interrupted before each.
struct Interrupted<'a>(&'a [u8], bool);

impl Read for Interrupted<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        let count = room.len().min(5);
        if self.1 { Err(io::ErrorKind::Interrupted.into()) } else { self.0.read(&mut room[..count]) }
    }
}

/// Takes so many bytes, then fails.
struct Full(usize);

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.checked_sub(bytes.len()) {
            Some(left) => self.0 = left,
            None => return Err(io::Error::other("no room")),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Panicking;

impl Read for Panicking {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        std::panic::resume_unwind(Box::new("planned"))
    }
}

#[test]
fn the_streams_errors_are_the_callers() {
    let db = Database::in_memory();
    let table = people(&db);
    let rows = *b"{\"name\":\"A\"}\n";
    let error = table.import_json_lines(Failing(&rows), &stop()).unwrap_err();
    assert!(matches!(&error, Error::Io { operation: "read", file, .. } if **file == *"file"), "{error}");
    let error = table.import_json_lines(Failing(&rows), &skip()).unwrap_err();
    assert_eq!(error.code(), "io");
    let panicked = catch_unwind(AssertUnwindSafe(|| table.import_json_lines(rows.chain(Panicking), &stop())));
    assert!(panicked.is_err());
    assert!(table.is_empty().unwrap());
    table.insert(&json!({ "name": "A" })).unwrap();
    for error in [db.export_json(Failing(b"")), table.export_csv(Failing(b"")), table.export_json(Failing(b""))] {
        assert!(matches!(error, Err(Error::Io { operation: "write", .. })));
    }
    let error = table.import_csv_file("no/such/file", &stop()).unwrap_err();
    assert!(matches!(&error, Error::Io { operation: "open", file, .. } if **file == *"no/such/file"), "{error}");
}

#[test]
fn a_stream_may_be_interrupted_and_go_on() {
    let texts = ["[{\"name\":\"A\"},{\"name\":\"B\"}]", "{\"name\":\"A\"}\n{\"name\":\"B\"}\n", "name\nA\nB\n"];
    let interrupted = |text: &'static str| Interrupted(text.as_bytes(), false);
    let imports: [fn(&Table, Interrupted<'_>) -> Result<Imported>; 3] = [
        |table, text| table.import_json(text, &stop()),
        |table, text| table.import_json_lines(text, &stop()),
        |table, text| table.import_csv(text, &stop()),
    ];
    for (text, import) in texts.into_iter().zip(imports) {
        let table = people(&Database::in_memory());
        assert_eq!(import(&table, interrupted(text)).unwrap().rows, 2);
        assert_eq!(rows_of(&table).len(), 2);
    }
}

/// Wherever that is: between tokens, within a name, behind the last row.
#[test]
fn a_stream_that_fails_leaves_nothing_and_is_told_as_such() {
    let source = Database::in_memory();
    people(&source).insert_many([json!({ "name": "A" }), json!({ "name": "B", "notes": [1] })]).unwrap();
    let snapshot = source.snapshot();
    let (document, lines) = (written(|out| snapshot.export_json(out)), all_lines(&snapshot));
    for cut in 0..document.len() {
        let db = Database::in_memory();
        let error = db.import_json(Failing(&document.as_bytes()[..cut]), &skip()).unwrap_err();
        assert!(matches!(&error, Error::Io { operation: "read", .. }), "{cut}: {error}");
        assert!(db.table_names().is_empty());
    }
    for cut in 0..lines.len() {
        let db = Database::in_memory();
        let error = db.import_json_lines(Failing(&lines.as_bytes()[..cut]), &skip()).unwrap_err();
        assert!(matches!(&error, Error::Io { operation: "read", .. }), "{cut}: {error}");
        assert!(db.table_names().is_empty());
    }
}

/// Also behind what fits the exports' own buffer.
#[test]
fn an_export_stops_where_the_writer_does() {
    let db = Database::in_memory();
    let table = db.create_table(Schema::builder("t").column(Column::string("s")).build().unwrap()).unwrap();
    table.insert_many((0..5000).map(|n| (format!("{n} {}", "x".repeat(200)),))).unwrap();
    let snapshot = db.snapshot();
    type Export<'a> = &'a dyn Fn(&mut dyn io::Write) -> Result<folio::Exported>;
    let exports: [Export<'_>; 5] = [
        &|out| snapshot.export_json(out),
        &|out| snapshot.export_json_lines(out),
        &|out| table.export_json(out),
        &|out| table.export_json_lines(out),
        &|out| table.export_csv(out),
    ];
    for export in exports {
        for room in [0, 1 << 10, 300_000, 900_000] {
            let error = export(&mut Full(room)).unwrap_err();
            assert!(matches!(&error, Error::Io { operation: "write", file, .. } if **file == *"export"), "{error}");
        }
        assert_eq!(export(&mut Full(2 << 20)).unwrap().rows, 5000);
    }
}

#[test]
fn every_form_is_read_from_a_file() {
    let directory = Directory::new("exchange-forms");
    std::fs::create_dir(&directory.0).unwrap();
    let source = Database::in_memory();
    let table = people(&source);
    table.insert_many([json!({ "name": "A" }), json!({ "name": "B", "notes": "\n" })]).unwrap();
    let file = |name: &str, text: String| {
        let path = directory.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let json = file("rows.json", written(|out| table.export_json(out)));
    let lines = file("rows.jsonl", written(|out| table.export_json_lines(out)));
    let csv = file("rows.csv", written(|out| table.export_csv(out)));
    let all = file("all.json", written(|out| source.export_json(out)));
    let all_lines = file("all.jsonl", written(|out| source.export_json_lines(out)));
    let absent = directory.0.join("absent");
    type Read = fn(&Table, &Path) -> Result<Imported>;
    let reads: [(Read, &Path); 3] = [
        (|table, path| table.import_json_file(path, &ImportOptions::new()), &json),
        (|table, path| table.import_json_lines_file(path, &ImportOptions::new()), &lines),
        (|table, path| table.import_csv_file(path, &ImportOptions::new()), &csv),
    ];
    for (read, path) in reads {
        let again = people(&Database::in_memory());
        assert_eq!(read(&again, path).unwrap().rows, 2);
        assert_eq!(rows_of(&again), rows_of(&table));
        // The rows are there now.
        let error = read(&again, path).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{}:", path.display())), "{error}");
        let error = read(&again, &absent).unwrap_err();
        assert!(matches!(&error, Error::Io { operation: "open", .. }), "{error}");
    }
    type ReadAll = fn(&Database, &Path) -> Result<Imported>;
    let reads: [(ReadAll, &Path); 2] = [
        (|db, path| db.import_json_file(path, &ImportOptions::new()), &all),
        (|db, path| db.import_json_lines_file(path, &ImportOptions::new()), &all_lines),
    ];
    for (read, path) in reads {
        let again = Database::in_memory();
        people(&again);
        assert_eq!(read(&again, path).unwrap().rows, 2);
        assert_eq!(rows_of(&again.table("people").unwrap()), rows_of(&table));
        let error = read(&again, &absent).unwrap_err();
        assert!(matches!(&error, Error::Io { operation: "open", .. }), "{error}");
    }
}

#[test]
fn a_file_is_named_by_its_path() {
    let path = std::env::temp_dir().join(format!("folio-exchange-{}.jsonl", std::process::id()));
    std::fs::write(&path, "{\"name\":\"A\"}\n{\"name\":1}\n").unwrap();
    let table = people(&Database::in_memory());
    let error = table.import_json_lines_file(&path, &ImportOptions::new()).unwrap_err().to_string();
    let imported = table.import_json_lines_file(&path, &skip()).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(error.starts_with(&format!("{}:2:9: ", path.display())), "{error}");
    assert_eq!((imported.rows, imported.skipped), (1, 1));
}

/// A write inside the import's reader is refused, and reads see nothing of it.
#[test]
fn an_import_is_one_transaction() {
    struct Meddling(Table, bool);
    impl Read for Meddling {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            assert_eq!(self.0.insert(&json!({ "name": "Z" })).unwrap_err().code(), "reentrant-write");
            assert!(self.0.is_empty().unwrap());
            if std::mem::replace(&mut self.1, true) { Ok(0) } else { (&b"{\"name\":\"A\"}"[..]).read(room) }
        }
    }
    let db = Database::in_memory();
    let table = people(&db);
    let version = db.snapshot().version();
    table.import_json_lines(Meddling(table.clone(), false), &stop()).unwrap();
    assert_eq!((table.len().unwrap(), db.snapshot().version()), (1, version + 1));
}

#[test]
fn an_export_beside_a_writer_is_of_one_version() {
    let db = Database::in_memory();
    let schema =
        |name: &str| Schema::builder(name).column(Column::u64("n").primary_key()).column(Column::u64("v")).build();
    for name in ["a", "b"] {
        let table = db.create_table(schema(name).unwrap()).unwrap();
        table.insert_many((0..2000u64).map(|n| (n, 0u64))).unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0u64;
            while !done.load(Ordering::Relaxed) {
                round += 1;
                db.transaction(|tx| {
                    for name in ["a", "b"] {
                        let table = tx.table(name)?;
                        table.update(round % 2000, &json!({ "v": round }))?;
                        table.upsert(&(10_000 + round % 500, round))?;
                    }
                    Ok(())
                })
                .unwrap();
            }
        });
        for _ in 0..30 {
            let text = written(|out| db.export_json_lines(out));
            let again = Database::in_memory();
            again.import_json_lines(text.as_bytes(), &stop()).unwrap();
            let [a, b] = ["a", "b"].map(|name| written(|out| again.table(name).unwrap().export_json_lines(out)));
            assert_eq!(a, b);
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// Gives many rows without holding them.
struct Many {
    next: u64,
    rows: u64,
    line: Vec<u8>,
    at: usize,
}

impl Read for Many {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.at == self.line.len() && self.next < self.rows {
            self.line = format!("{{\"id\":{},\"name\":\"name {}\"}}\n", self.next + 1, self.next).into_bytes();
            (self.at, self.next) = (0, self.next + 1);
        }
        let count = (&self.line[self.at..]).read(room)?;
        self.at += count;
        Ok(count)
    }
}

#[test]
fn a_million_rows_go_into_one_transaction() {
    let db = Database::in_memory();
    let schema = Schema::builder("t")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("name").unique())
        .index(Index::ordered(["name"]))
        .build();
    let table = db.create_table(schema.unwrap()).unwrap();
    let many = Many { next: 0, rows: 1_000_000, line: Vec::new(), at: 0 };
    assert_eq!(table.import_json_lines(many, &stop()).unwrap().rows, 1_000_000);
    assert_eq!(table.len().unwrap(), 1_000_000);
}

// Anything at all.

fn assert_harmless(text: &[u8]) {
    for options in [stop(), skip(), skip().record_bytes_max(20)] {
        for import in [JSON, LINES, CSV] {
            let db = Database::in_memory();
            let table = people(&db);
            table.insert(&json!({ "name": "Ann" })).unwrap();
            let before = db.snapshot();
            match import(&table, text, &options) {
                Ok(imported) => assert_eq!(table.len().unwrap(), 1 + imported.rows),
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    assert!(before.diff(&db.snapshot()).unwrap().is_empty());
                }
            }
        }
        for import in [ALL_JSON, ALL_LINES] {
            let db = Database::in_memory();
            match import(&db, text, &options) {
                Ok(imported) => {
                    let rows: u64 = db.table_names().iter().map(|name| db.table(name).unwrap().len().unwrap()).sum();
                    assert_eq!(rows, imported.rows);
                }
                Err(_) => assert!(db.table_names().is_empty()),
            }
        }
    }
}

/// A sound file of some form, to be spoilt.
fn sound_file(form: u8) -> String {
    let db = Database::in_memory();
    let table = people(&db);
    table.insert(&json!({ "name": "a\"b", "notes": { "a": [1, "x,y"] } })).unwrap();
    table.insert(&json!({ "name": "", "age": 99 })).unwrap();
    match form % 5 {
        0 => written(|out| table.export_json(out)),
        1 => written(|out| table.export_json_lines(out)),
        2 => written(|out| table.export_csv(out)),
        3 => written(|out| db.export_json(out)),
        _ => written(|out| db.export_json_lines(out)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn bytes_of_any_kind_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        assert_harmless(&bytes);
    }

    #[test]
    fn texts_near_the_format_are_read_or_refused(text in "[\\[\\]{}\",:\\\\ \\n\\r0-9a-z\u{FEFF}é-]{0,60}") {
        assert_harmless(text.as_bytes());
        assert_harmless(format!("name,age\n{text}").as_bytes());
        assert_harmless(format!("[{text}]").as_bytes());
    }

    #[test]
    fn files_that_were_spoilt_are_read_or_refused(form: u8, edits in prop::collection::vec((any::<u16>(), any::<u8>(), 0..4u8), 1..6)) {
        let mut text = sound_file(form).into_bytes();
        for (at, byte, how) in edits {
            let at = at as usize % (text.len() + 1);
            match how {
                0 if at < text.len() => text[at] = byte,
                1 => text.insert(at, byte),
                2 if at < text.len() => { text.remove(at); }
                _ => { let tail = text[at..].to_vec(); text.extend(tail); }
            }
            text.truncate(20_000);
        }
        assert_harmless(&text);
    }
}
