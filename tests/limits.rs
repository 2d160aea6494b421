//! Each limit of the crate's documentation: what is just within it works, and what is just beyond is refused by name.
//!
//! Not here: rows of a table, of which 4,294,967,295 are too many for a test; and row ids, whose end
//! `tests/constraints.rs` has.

use folio::{
    Array, COLUMN_COUNT_MAX, Column, Database, Error, FIXED_BYTES_MAX, INDEX_COUNT_MAX, ImportOptions, Index,
    NAME_BYTES_MAX, Result, Scalar, Schema, SchemaBuilder, Value,
};
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// The problems of a schema that is refused.
fn problems<T>(answer: Result<T>) -> Vec<&'static str> {
    match answer {
        Err(Error::InvalidSchema { problems, .. }) => problems.iter().map(|problem| problem.code()).collect(),
        Err(error) => panic!("{error}"),
        Ok(_) => Vec::new(),
    }
}

/// A number as serde_json hands it over when it keeps the digits of all.
struct Digits(&'static str);

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut number = serializer.serialize_struct("$serde_json::private::Number", 1)?;
        number.serialize_field("$serde_json::private::Number", self.0)?;
        number.end()
    }
}

/// Floats take the nearest of their own to a number of any size; integers take none beyond their range.
#[test]
fn numbers_beyond_64_bits() {
    const LONG: &str = "123456789012345678901234567890123456789012345678901234567890";
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::f32("narrow").nullable()).column(Column::f64("wide").nullable());
    let floats = db.create_table(schema.build().unwrap()).unwrap();
    // Halfway between two of `f32` and a little more, which an `f64` does not show.
    let above = (1_i128 << 100) + (1 << 76) + 1;
    floats.insert(&(above, above)).unwrap();
    floats.insert(&(-above, u128::MAX)).unwrap();
    floats.insert(&(Digits("1267650675786093127411026624513"), Digits(LONG))).unwrap();
    floats.insert(&(Digits("0.1"), Digits("1.7976931348623157e308"))).unwrap();
    floats.insert(&(Digits("1e-999"), Digits("-0.0"))).unwrap();
    let rows: Vec<(f32, f64)> = floats.select().fetch().unwrap();
    let narrow = 1.267_650_8e30;
    assert_eq!(
        rows,
        [
            (narrow, above as f64),
            (-narrow, u128::MAX as f64),
            (narrow, 1.234_567_890_123_456_8e59),
            (0.1, f64::MAX),
            (0.0, 0.0)
        ]
    );
    assert!(rows[4].1.is_sign_negative());
    let refused = |row: &dyn Fn() -> Result<u64>| row().unwrap_err().code();
    assert_eq!(refused(&|| floats.insert(&(u128::MAX, 0))), "out-of-range");
    assert_eq!(refused(&|| floats.insert(&(Digits("1e39"), 0))), "out-of-range");
    assert_eq!(refused(&|| floats.insert(&(0, Digits("-1e999")))), "out-of-range");
    for word in ["inf", "NaN", "-infinity", "", "1x", "."] {
        assert_eq!(refused(&|| floats.insert(&(0, Digits(word)))), "wrong-type", "{word}");
    }
    for ty in ["i8", "i64", "u8", "u64", "timestamp"] {
        let schema = Schema::builder("integers").column(Column::new("n", ty.parse().unwrap()).nullable());
        let integers = db.create_table(schema.build().unwrap()).unwrap();
        for number in [i128::MIN, -(1 << 100), 1 << 100, i128::MAX] {
            assert_eq!(refused(&|| integers.insert(&(number,))), "out-of-range", "{ty}");
        }
        assert_eq!(refused(&|| integers.insert(&(u128::MAX,))), "out-of-range", "{ty}");
        assert_eq!(refused(&|| integers.insert(&(Digits(LONG),))), "out-of-range", "{ty}");
        assert_eq!(refused(&|| integers.insert(&(Digits("1e3"),))), "wrong-type", "{ty}");
        assert_eq!(refused(&|| integers.insert(&(Digits("1.0"),))), "wrong-type", "{ty}");
        integers.insert(&(Digits("7"),)).unwrap();
        let text = format!("[{{\"n\":{LONG}}}]");
        if ty != "timestamp" {
            let error = integers.import_json(text.as_bytes(), &ImportOptions::new()).unwrap_err();
            assert_eq!(error.code(), "out-of-range", "{ty}");
        }
        db.drop_table("integers").unwrap();
    }
    for (column, number) in [("narrow", "1e39"), ("narrow", LONG), ("wide", "1e999")] {
        let text = format!("[{{\"{column}\":{number}}}]");
        let error = floats.import_json(text.as_bytes(), &ImportOptions::new()).unwrap_err();
        assert_eq!(error.code(), "out-of-range", "{column} {number}");
    }
}

#[track_caller]
fn is_limit<T>(answer: Result<T>, named: &str, limit: u64, found: u64) {
    let error = answer.map(drop).unwrap_err();
    assert_eq!(error.code(), "limit", "{error}");
    let Error::Limit { what, limit: stated, found: was } = error else { panic!("{error}") };
    assert!(what.contains(named), "{what} does not name {named}");
    assert_eq!((stated, was), (limit, found), "{what}");
}

#[test]
fn the_limits_are_those_of_the_documentation() {
    assert_eq!((COLUMN_COUNT_MAX, INDEX_COUNT_MAX, NAME_BYTES_MAX, FIXED_BYTES_MAX), (1_024, 64, 128, 1 << 20));
    let documentation = include_str!("../src/lib.rs");
    let rows =
        ["| tables of a database | 4,096 |", "| 1,024, 64 |", "| 1 GiB |", "| 1 MiB |", "| 4 KiB |", "| 128 bytes |"];
    for row in rows {
        assert!(documentation.contains(row), "{row}");
    }
}

#[test]
fn columns() {
    // Every third is nullable, and every third of variable width.
    let with = |count: usize| {
        let columns = (0..count).map(|n| match n % 3 {
            0 => Column::u16(format!("c{n}")).into(),
            1 => Column::u16(format!("c{n}")).nullable().into(),
            _ => folio::ColumnDef::from(Column::string(format!("c{n}"))),
        });
        columns.fold(Schema::builder("wide"), SchemaBuilder::column).build()
    };
    assert_eq!(problems(with(COLUMN_COUNT_MAX + 1)), ["too-many-columns"]);
    let db = Database::in_memory();
    let table = db.create_table(with(COLUMN_COUNT_MAX).unwrap()).unwrap();
    let row = |of: u64| -> Vec<Value> {
        (0..COLUMN_COUNT_MAX as u64)
            .map(|n| match n % 3 {
                0 => Value::from(n + of),
                1 if n % 2 == 0 => Value::Null,
                1 => Value::from(n),
                _ => Value::from(format!("{of} {n}")),
            })
            .collect()
    };
    let id = table.insert(&row(0)).unwrap();
    assert_eq!(table.insert_many((1..40).map(row)).unwrap(), 39);
    for of in 0..40 {
        let found = table.get(id + of).unwrap().unwrap();
        for (n, value) in row(of).into_iter().enumerate() {
            assert_eq!(found.value(&format!("c{n}")).unwrap(), value, "c{n} of row {of}");
        }
    }
    table.update(id, &serde_json::json!({ "c1023": 5, "c1022": null })).unwrap_err();
    table.update(id, &serde_json::json!({ "c1023": 5, "c1": null })).unwrap();
    let last = table.column::<u16>("c1023").unwrap();
    assert_eq!(table.select().filter(last.eq(5)).ids().unwrap(), [id]);
}

#[test]
fn indexes() {
    let with = |count: usize| {
        let columns = (0..=INDEX_COUNT_MAX).map(|n| {
            let column = Column::u64(format!("c{n}"));
            if n == 0 { column.unique() } else { column }
        });
        let schema = columns.fold(Schema::builder("t"), SchemaBuilder::column);
        let kinds = [Index::hash, Index::ordered];
        (1..count).fold(schema, |schema, n| schema.index(kinds[n % 2]([format!("c{n}")]))).build()
    };
    assert_eq!(problems(with(INDEX_COUNT_MAX + 1)), ["too-many-indexes"], "the unique column's counts");
    let db = Database::in_memory();
    let table = db.create_table(with(INDEX_COUNT_MAX).unwrap()).unwrap();
    let more = || db.create_index("t", Index::ordered(["c64"]).named("more"));
    assert_eq!(problems(more()), ["too-many-indexes"]);
    table.insert_many((0..100u64).map(|of| (0..65).map(|n| of * 100 + n).collect::<Vec<_>>())).unwrap();
    db.drop_index("t", "t_by_c63").unwrap();
    more().unwrap();
    assert_eq!(table.schema().unwrap().indexes().len(), INDEX_COUNT_MAX);
    for n in 0..65 {
        let column = table.column::<u64>(&format!("c{n}")).unwrap();
        assert_eq!(table.select().filter(column.eq(4_200 + n)).count().unwrap(), 1, "c{n}");
    }
}

#[test]
fn tables() {
    const TABLES_MAX: u64 = 4_096;
    let db = Database::in_memory();
    let schema = |n: u64| Schema::builder(format!("t{n}")).column(Column::u64("n")).build().unwrap();
    db.transaction(|tx| (0..TABLES_MAX).try_for_each(|n| tx.create_table(schema(n))?.insert(&(n,)).map(drop))).unwrap();
    assert_eq!(db.table_names().len() as u64, TABLES_MAX);
    is_limit(db.create_table(schema(TABLES_MAX)), "tables", TABLES_MAX, TABLES_MAX + 1);
    assert_eq!(db.table_names().len() as u64, TABLES_MAX);
    db.drop_table("t7").unwrap();
    db.create_table(schema(TABLES_MAX)).unwrap().insert(&(TABLES_MAX,)).unwrap();
    is_limit(db.create_table(schema(7)), "tables", TABLES_MAX, TABLES_MAX + 1);
    let fork = db.fork();
    for n in [0, 1, 2_047, 4_095, 4_096] {
        for db in [&db, &fork] {
            let table = db.table(format!("t{n}")).unwrap();
            let column = table.column::<u64>("n").unwrap();
            assert_eq!(table.get(0u64).unwrap().unwrap().get(column), n);
        }
    }
}

/// Bytes are counted, not characters, and for every kind of name.
#[test]
fn names() {
    let build = |name: &str, of: &str| {
        let of = |kind: &str, other: &str| if of == kind { name.to_owned() } else { other.to_owned() };
        let column = Column::u64(of("column", "c")).check(of("check", "any"), |_| true);
        Schema::builder(of("table", "t"))
            .column(column)
            .index(Index::ordered([of("column", "c")]).named(of("index", "i")))
            .check(of("row check", "any"), |_| true)
            .build()
    };
    for kind in ["table", "column", "index", "check", "row check"] {
        for within in ["x".repeat(NAME_BYTES_MAX), "ü".repeat(NAME_BYTES_MAX / 2), "x".into()] {
            let schema = build(&within, kind).unwrap();
            let name = schema.name().to_owned();
            let db = Database::in_memory();
            let table = db.create_table(schema).unwrap();
            table.insert(&(7u64,)).unwrap();
            let column = if kind == "column" { within.as_str() } else { "c" };
            assert_eq!(db.table(&name).unwrap().get(0u64).unwrap().unwrap().value(column).unwrap(), Value::from(7u64));
        }
        let beyond = ["x".repeat(NAME_BYTES_MAX + 1), "ü".repeat(NAME_BYTES_MAX / 2) + "x"];
        for beyond in beyond {
            assert_eq!(problems(build(&beyond, kind)), ["name-too-long"], "{kind}");
        }
        assert_eq!(problems(build("", kind)), ["empty-name"], "{kind}");
    }
    let db = Database::in_memory();
    db.create_table(Schema::builder("t").column(Column::u64("c")).build().unwrap()).unwrap();
    assert_eq!(problems(db.create_index("t", Index::hash(["c"]).named("x".repeat(129)))), ["name-too-long"]);
    db.create_index("t", Index::hash(["c"]).named("x".repeat(128))).unwrap();
}

#[test]
fn fixed_width_columns_of_a_row() {
    assert!(Array::new(Scalar::Uuid, Array::LEN_MAX).is_some());
    assert!(Array::new(Scalar::U8, Array::LEN_MAX + 1).is_none() && Array::new(Scalar::U8, 0).is_none());
    // 65,536 uuids are just 1 MiB.
    let full = Schema::builder("t").column(Column::array("a", Array::new(Scalar::U64, 65_536).unwrap()));
    let full = full.column(Column::array("b", Array::new(Scalar::U64, 65_535).unwrap())).column(Column::u64("c"));
    assert_eq!(problems(full.clone().column(Column::bool("d")).build()), ["row-too-wide"]);
    let table = Database::in_memory().create_table(full.column(Column::string("s")).build().unwrap()).unwrap();
    let row = |of: u64| {
        let numbers = |count: u64| (0..count).map(|n| of ^ n).collect::<Vec<_>>();
        (numbers(65_536), numbers(65_535), of, "beside it")
    };
    for of in 0..3 {
        table.insert(&row(of)).unwrap();
    }
    type Wide = (Vec<u64>, Vec<u64>, u64, String);
    let rows: Vec<Wide> = table.select().fetch().unwrap();
    for (of, found) in rows.into_iter().enumerate() {
        let (a, b, c, s) = row(of as u64);
        assert!(found == (a, b, c, s.to_owned()), "row {of}");
    }
}

/// Two bytes end a string in a key, a byte of zero takes two, and null or not takes one.
#[test]
fn keys_of_ordered_indexes() {
    const KEY_BYTES_MAX: u64 = 4_096;
    let db = Database::in_memory();
    for (nullable, unique, own) in [(false, false, 2), (true, false, 3), (false, true, 2)] {
        let column = if nullable { Column::string("s").nullable() } else { Column::string("s") };
        let index = if unique { Index::ordered(["s"]).unique() } else { Index::ordered(["s"]) };
        let table = db.create_table(Schema::builder("t").column(column).index(index).build().unwrap()).unwrap();
        let longest = (KEY_BYTES_MAX - own) as usize;
        let found = KEY_BYTES_MAX + 1;
        table.insert(&("x".repeat(longest),)).unwrap();
        table.insert(&("\0".repeat(longest / 2),)).unwrap();
        is_limit(table.insert(&("x".repeat(longest + 1),)), "`t_by_s`", KEY_BYTES_MAX, found);
        is_limit(table.update(0, &serde_json::json!({ "s": "y".repeat(longest + 1) })), "`t`", KEY_BYTES_MAX, found);
        let s = table.column::<Option<String>>("s").unwrap();
        let back = table.select().filter(s.eq("x".repeat(longest)));
        assert_eq!(back.ids().unwrap(), [0]);
        assert_eq!(table.len().unwrap(), 2);
        // An index that comes later meets rows that are there.
        db.drop_index("t", "t_by_s").unwrap();
        table.insert(&("x".repeat(longest + 1),)).unwrap();
        is_limit(db.create_index("t", Index::ordered(["s"])), "`t_by_s`", KEY_BYTES_MAX, found);
        db.drop_table("t").unwrap();
    }
}

/// Who is at the limit of memory gets below it by deleting rows, in any order, and can go on writing.
#[test]
fn memory_that_is_used_up_is_given_back_by_deletes() {
    // Where memory ends depends on how rows lie, and with it on the seeds of the hashes.
    for limit in std::iter::repeat_n(4 << 20, 6).chain([16 << 20]) {
        let db = Database::builder().memory_limit(limit).in_memory().unwrap();
        let id = Column::u64("id").primary_key().auto_increment();
        let schema = Schema::builder("people")
            .column(id)
            .column(Column::string("email").unique())
            .column(Column::f64("score"))
            .column(Column::u16("country"))
            .index(Index::ordered(["score"]))
            .index(Index::hash(["country"]));
        let people = db.create_table(schema.build().unwrap()).unwrap();
        let person = |n: u64| {
            let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            serde_json::json!({ "email": format!("{mixed:x}@home"), "score": mixed as f64, "country": mixed % 200 })
        };
        let fill = |from: u64| (from..).find(|&n| people.insert(&person(n)).is_err()).unwrap() - from;
        let count = fill(0);
        assert_eq!(people.len().unwrap(), count);
        // A step that shares no factor with their number visits all.
        let step = (count / 2..count).find(|step| gcd(*step, count) == 1).unwrap();
        let mut refused = Vec::new();
        for id in (0..count).map(|n| 1 + n * step % count) {
            if people.delete(id).is_err() {
                refused.push(id);
            }
            assert!(db.stats().memory.reserved_bytes <= limit);
        }
        // The first ones may find no room yet.
        assert!(refused.len() as u64 <= count / 100, "{} of {count} rows", refused.len());
        assert!(refused.iter().all(|id| people.delete(*id).unwrap()));
        assert!(people.is_empty().unwrap());
        // There is room for the first ones whatever the others have left, and for most of as many.
        (count..count + 1_000).for_each(|n| assert!(people.insert(&person(n)).is_ok(), "{n}"));
        let again = 1_000 + (count + 1_000..2 * count).filter(|&n| people.insert(&person(n)).is_ok()).count() as u64;
        println!("{limit} bytes: {count} rows, {} deletes refused at first, then {again} rows", refused.len());
        assert!(again >= count / 2, "{again} of {count} rows");
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The most bytes of one value: `cargo test --release --test limits -- --ignored` where there are 6 GiB to spare.
#[test]
#[ignore = "takes 6 GiB of memory"]
fn values_of_variable_width() {
    const VALUE_BYTES_MAX: usize = 1 << 30;
    let db = Database::in_memory();
    #[derive(serde::Serialize)]
    struct Patch<'a> {
        id: u64,
        s: &'a str,
    }
    let id = Column::u64("id").primary_key().auto_increment();
    let schema = Schema::builder("t").column(Column::string("s")).column(id).build().unwrap();
    let table = db.create_table(schema).unwrap();
    let mut text = "x".repeat(VALUE_BYTES_MAX);
    let id = table.insert(&(&text, None::<u64>)).unwrap();
    let s = table.column::<str>("s").unwrap();
    assert!(table.get(id).unwrap().unwrap().get(s) == text);
    text.push('x');
    let found = VALUE_BYTES_MAX as u64 + 1;
    is_limit(table.insert(&(&text, None::<u64>)), "`t.s`", VALUE_BYTES_MAX as u64, found);
    is_limit(table.update(id, &Patch { id, s: &text }), "`t.s`", VALUE_BYTES_MAX as u64, found);
    // Also where the row moves with its key.
    is_limit(table.update(id, &Patch { id: id + 1, s: &text }), "`t.s`", VALUE_BYTES_MAX as u64, found);
    assert_eq!(table.len().unwrap(), 1);
}
