//! Values: what serde types a column takes and gives back, what a key may be written as, and what a default may be.

use folio::{ArrayRef, Column, Database, Error, Field, IndexKind, Result, Schema, Table, Timestamp, ToKey, Type};
use folio::{Uuid, Value, ValueRef};
use serde::de::IntoDeserializer;
use serde::de::value::{BytesDeserializer, Error as ValueError, SeqDeserializer, U32Deserializer};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// A table of one nullable column `v`, behind a key.
fn column(ty: &str) -> Table {
    let id = Column::u64("id").primary_key().auto_increment();
    let schema = Schema::builder("t").column(id).column(Column::new("v", ty.parse().unwrap()).nullable());
    Database::in_memory().create_table(schema.build().unwrap()).unwrap()
}

#[derive(Serialize)]
struct V<T> {
    v: T,
}

fn stored<T: Serialize>(ty: &str, value: T) -> Value {
    let table = column(ty);
    let id = table.insert(&V { v: value }).unwrap();
    table.get(id).unwrap().unwrap().value("v").unwrap()
}

fn refused<T: Serialize>(ty: &str, value: T) -> Error {
    let table = column(ty);
    let error = table.insert(&V { v: value }).unwrap_err();
    assert!(table.is_empty().unwrap());
    error
}

/// What the column gives to a type that asks for it.
fn read<T: for<'de> Deserialize<'de>>(ty: &str, value: impl Serialize) -> Result<T> {
    let table = column(ty);
    table.insert(&V { v: value })?;
    let alone = table.select().columns(["v"]).first::<T>()?.expect("there is a row");
    // Beside another column it is read alike.
    table.get(1u64)?.unwrap().decode::<(u64, T)>()?;
    Ok(alone)
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Shade {
    Light,
    #[serde(rename = "very dark")]
    Dark,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Segment(i32, i32),
    Rectangle { width: u8, height: u8 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pair(i16, i16);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nothing;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Settings {
    name: String,
    size: Option<u32>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Id(Uuid);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct At(Timestamp);

// Into columns.

#[test]
fn integers_of_128_bits_fit_where_their_number_does() {
    assert_eq!(stored("u8", 255i128), Value::from(255));
    assert_eq!(stored("i8", -128i128), Value::from(-128));
    assert_eq!(stored("u64", i128::from(u64::MAX)), Value::from(u64::MAX));
    assert_eq!(stored("u64", u128::from(u64::MAX)), Value::from(u64::MAX));
    assert_eq!(stored("f64", 1u128 << 100), Value::from((1u128 << 100) as f64));
    assert_eq!(stored("f32", -(1i128 << 100)), Value::from(-((1u128 << 100) as f64)));
    for (ty, code) in [("u64", "out-of-range"), ("timestamp", "out-of-range"), ("bool", "wrong-type")] {
        assert_eq!(refused(ty, u128::MAX).code(), code, "{ty}");
        assert_eq!(refused(ty, i128::MIN).code(), code, "{ty}");
    }
    let Error::OutOfRange { value, expected, .. } = refused("i64", u64::MAX) else { panic!("too large") };
    assert_eq!((&*value, &*expected), ("18446744073709551615", "i64, -9223372036854775808 to 9223372036854775807"));
    assert_eq!(refused("timestamp", u64::MAX).code(), "out-of-range");
    for ty in ["bool", "uuid", "string", "bytes"] {
        assert_eq!(refused(ty, u64::MAX).code(), "wrong-type", "{ty}");
        assert_eq!(refused(ty, u128::MAX).code(), "wrong-type", "{ty}");
        assert_eq!(refused(ty, -1).code(), "wrong-type", "{ty}");
    }
    assert_eq!(read::<u128>("u64", u64::MAX).unwrap(), u128::from(u64::MAX));
    assert_eq!(read::<i128>("i64", i64::MIN).unwrap(), i128::from(i64::MIN));
    assert_eq!(read::<i128>("json", i64::MIN).unwrap(), i128::from(i64::MIN));
    assert_eq!(read::<u128>("i8", -1).unwrap_err().code(), "decode");
}

#[test]
fn enums_and_structs_go_into_columns_that_have_a_form_for_them() {
    assert_eq!(stored("string", Shade::Dark), Value::from("very dark"));
    assert_eq!(stored("2xi16", Pair(-1, 1)), Value::from([-1, 1]));
    assert_eq!(stored("u8", Nothing), Value::Null);
    assert_eq!(stored("json", Nothing), Value::Null);
    for ty in ["string", "u8", "bytes", "2xi16", "uuid"] {
        for (error, expected) in [
            (refused(ty, Shape::Circle(1.0)), "the enum variant Circle with a value"),
            (refused(ty, Shape::Segment(1, 2)), "the enum variant Segment with values"),
            (refused(ty, Shape::Rectangle { width: 1, height: 2 }), "the enum variant Rectangle with fields"),
            (refused(ty, Settings { name: "a".into(), size: None }), "the struct Settings"),
            (refused(ty, BTreeMap::from([("a", 1)])), "a map"),
        ] {
            let Error::WrongType { column, found, .. } = error else { panic!("{error}") };
            assert_eq!((&*column, &*found), ("v", expected));
        }
    }
    assert_eq!(refused("string", Pair(1, 2)).code(), "wrong-type");
    assert_eq!(refused("3xi16", Pair(1, 2)).code(), "wrong-arity");
    assert_eq!(stored("json", Shape::Segment(1, 2)), Value::Json(json!({ "Segment": [1, 2] })));
    // JSON has no keys but text.
    let error = refused("json", BTreeMap::from([((1, 2), 3)]));
    assert!(matches!(&error, Error::Encode { column: Some(column), .. } if **column == *"v"), "{error}");
}

#[test]
fn an_enum_with_a_value_is_no_row() {
    let table = column("u8");
    for error in [
        table.insert(&Shape::Circle(1.0)),
        table.insert(&Shape::Segment(1, 2)),
        table.insert(&Shape::Rectangle { width: 1, height: 2 }),
        table.insert(&Shape::Point),
    ] {
        let error = error.unwrap_err();
        assert!(matches!(&error, Error::NotARow { found, .. } if **found == *"an enum variant"), "{error}");
    }
    assert_eq!(table.insert(&Pair(7, 8)).unwrap(), 7);
    assert_eq!(table.update(7, &Pair(7, 9)).unwrap_err().code(), "not-a-row");
    assert_eq!(table.get(7).unwrap().unwrap().value("v").unwrap(), Value::from(8));
}

/// Fields in an order and number that differ from row to row.
struct Loose(&'static [(&'static str, u8)]);

impl Serialize for Loose {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Loose", self.0.len())?;
        self.0.iter().try_for_each(|(name, value)| fields.serialize_field(name, value))?;
        fields.end()
    }
}

#[test]
fn a_field_given_twice_is_an_error_whatever_the_rows_before_had() {
    const A: &str = "a";
    const B: &str = "b";
    let schema = || Schema::builder("t").column(Column::u8("a").nullable()).column(Column::u8("b").nullable()).build();
    let db = Database::in_memory();
    let table = db.create_table(schema().unwrap()).unwrap();
    for (row, expected) in [
        (&[(A, 1), (B, 2)][..], Some([Some(1), Some(2)])),
        (&[(B, 3), (A, 4)], Some([Some(4), Some(3)])),
        (&[(A, 5), (A, 6)], None),
        (&[(B, 7)], Some([None, Some(7)])),
        (&[(B, 8), (B, 9)], None),
        (&[(B, 3), (A, 4)], Some([Some(4), Some(3)])),
        (&[(A, 3), (A, 4)], None),
        (&[], Some([None, None])),
    ] {
        let before = table.len().unwrap();
        match (table.insert(&Loose(row)), expected) {
            (Ok(_), Some(expected)) => {
                let stored: Vec<[Option<u8>; 2]> = table.select().fetch().unwrap();
                assert_eq!(stored.last(), Some(&expected), "{row:?}");
            }
            (Err(error), None) => {
                assert!(matches!(&error, Error::DuplicateField { column, .. } if **column == *row[1].0), "{error}");
                assert_eq!(table.len().unwrap(), before);
            }
            (answer, expected) => panic!("{row:?}: {answer:?}, {expected:?}"),
        }
    }
    // Keys of maps are names, as text or not at all.
    table.insert(&BTreeMap::from([('b', 9)])).unwrap();
    assert_eq!(table.select().fetch::<[Option<u8>; 2]>().unwrap().last(), Some(&[None, Some(9)]));
    for error in [
        table.insert(&BTreeMap::from([(None::<&str>, 1)])),
        table.insert(&BTreeMap::from([(1, 1)])),
        table.insert(&BTreeMap::from([(true, 1)])),
    ] {
        let error = error.unwrap_err();
        assert_eq!(error.code(), "wrong-type", "{error}");
    }
}

/// Serde's bytes, which a byte string of some crates is, are bytes and not a sequence.
struct Raw(&'static [u8]);

impl Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[test]
fn bytes_and_sequences_make_bytes_and_uuids() {
    let bytes: [u8; 16] = std::array::from_fn(|at| at as u8);
    let uuid = Uuid::from_bytes(bytes);
    assert_eq!(stored("bytes", Raw(b"\0a")), Value::from(&b"\0a"[..]));
    assert_eq!(stored("bytes", [0, 97]), Value::from(&b"\0a"[..]));
    assert_eq!(stored("uuid", bytes), Value::from(uuid));
    assert_eq!(stored("uuid", Raw(&[7; 16])), Value::from(Uuid::from_bytes([7; 16])));
    for len in [0, 15, 17] {
        let error = refused("uuid", vec![1u8; len]);
        assert!(matches!(error, Error::WrongArity { expected: 16, found, .. } if found == len), "{error}");
    }
    assert_eq!(refused("uuid", Raw(&[7; 17])).code(), "wrong-type");
    for ty in ["u8", "string", "16xu8", "timestamp"] {
        assert_eq!(refused(ty, Raw(&[7; 16])).code(), "wrong-type", "{ty}");
    }
    for elements in [[Some(256), None], [Some(-1), None], [Some(1), None]] {
        assert!(["bytes", "uuid", "2xu8"].iter().all(|ty| refused(ty, elements).to_string().contains("`t.v`")));
    }
}

// Out of columns.

#[test]
fn a_lone_document_is_read_as_the_struct_or_the_enum_that_it_keeps() {
    let settings = || Settings { name: "é\"\n".into(), size: Some(7) };
    assert_eq!(read::<Settings>("json", settings()).unwrap(), settings());
    assert_eq!(read::<Option<Settings>>("json", settings()).unwrap(), Some(settings()));
    for shape in ["\"Point\"", "{\"Circle\":0.1}", "{\"Segment\":[1,-2]}", "{\"Rectangle\":{\"width\":1,\"height\":2}}"]
    {
        let expected: Shape = serde_json::from_str(shape).unwrap();
        assert_eq!(read::<Shape>("json", serde_json::from_str::<Shape>(shape).unwrap()).unwrap(), expected);
    }
    assert_eq!(read::<Pair>("json", [1, 2]).unwrap(), Pair(1, 2));
    assert_eq!(read::<Vec<Option<bool>>>("json", [Some(true), None]).unwrap(), [Some(true), None]);
    assert_eq!(read::<[u8; 3]>("json", [1, 2, 3]).unwrap(), [1, 2, 3]);
    assert_eq!(read::<char>("json", 'é').unwrap(), 'é');
    for answer in [
        read::<Settings>("json", json!({ "name": "a", "size": "b" })).map(drop),
        read::<Settings>("json", json!([1])).map(drop),
        read::<Settings>("json", None::<u8>).map(drop),
        read::<Shape>("json", json!({ "Square": 1 })).map(drop),
        read::<[u8; 3]>("json", [1, 2]).map(drop),
        read::<[u8; 3]>("json", [1, 2, 3, 4]).map(drop),
        read::<Vec<u8>>("json", [256]).map(drop),
    ] {
        let error = answer.unwrap_err();
        assert!(matches!(&error, Error::Decode { column: Some(column), .. } if **column == *"v"), "{error}");
    }
    // A struct with a field of the column's name is the row.
    #[derive(Debug, PartialEq, Deserialize)]
    struct Row {
        v: Settings,
    }
    let table = column("json");
    table.insert(&V { v: settings() }).unwrap();
    assert_eq!(table.select().columns(["v"]).fetch::<Row>().unwrap(), [Row { v: settings() }]);
}

#[test]
fn text_is_read_as_an_enum_and_nothing_else_is() {
    assert_eq!(read::<Shade>("string", Shade::Dark).unwrap(), Shade::Dark);
    assert_eq!(read::<Option<Shade>>("string", None::<Shade>).unwrap(), None);
    let message = read::<Shade>("string", "dark").unwrap_err().to_string();
    assert!(message.contains("`t.v`") && message.contains("unknown variant `dark`"), "{message}");
    for (ty, value, found) in [
        ("u8", json!(1), "an integer"),
        ("f64", json!(1.5), "a float"),
        ("bool", json!(true), "a bool"),
        ("bytes", json!([1]), "bytes"),
        ("2xu8", json!([1, 2]), "an array"),
        ("timestamp", json!(0), "a timestamp"),
        ("uuid", json!("936da01f9abd4d9d80c702af85c822a8"), "a uuid"),
        ("string", json!(null), "null"),
    ] {
        let error = read::<Shade>(ty, value).unwrap_err();
        let Error::Decode { column, message, .. } = &error else { panic!("{error}") };
        assert_eq!(column.as_deref(), Some("v"));
        assert_eq!(&**message, format!("expected the enum Shade, found {found}"));
    }
}

#[test]
fn arrays_and_bytes_are_read_by_types_of_their_length() {
    assert_eq!(read::<Pair>("2xi16", [-1, 1]).unwrap(), Pair(-1, 1));
    assert_eq!(read::<(i64, String)>("2xi16", [-1, 1]).unwrap_err().code(), "decode");
    assert_eq!(read::<[u8; 2]>("bytes", [1, 2]).unwrap(), [1, 2]);
    assert_eq!(read::<Pair>("bytes", [1, 2]).unwrap(), Pair(1, 2));
    assert_eq!(read::<Pair>("3xi16", [1, 2, 3]).unwrap_err().code(), "wrong-arity");
    assert_eq!(read::<[u8; 15]>("uuid", [1u8; 16]).unwrap_err().code(), "wrong-arity");
    assert_eq!(read::<[u8; 16]>("uuid", [1u8; 16]).unwrap(), [1; 16]);
    assert_eq!(read::<[u8; 3]>("bytes", [1, 2]).unwrap_err().code(), "wrong-arity");
}

/// As formats have it, JSON among them: what a type leaves of a sequence is not lost without a word.
#[test]
fn a_sequence_that_is_longer_than_what_reads_it_is_an_error() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        x: f32,
        y: f32,
    }
    let point = |ty, floats: &[f32]| {
        let table = column(ty);
        table.insert(&V { v: floats }).unwrap();
        table.get(1).unwrap().unwrap().decode::<(u64, Point)>()
    };
    assert_eq!(point("2xf32", &[1.0, 2.0]).unwrap(), (1, Point { x: 1.0, y: 2.0 }));
    let error = point("3xf32", &[1.0, 2.0, 3.0]).unwrap_err();
    assert!(error.to_string().ends_with("expected 3 values, found 2"), "{error}");
    for len in [15, 16, 17, 32] {
        assert_eq!(read::<Uuid>("bytes", vec![7u8; len]).is_ok(), len == 16, "{len}");
    }
    assert!(read::<Uuid>("17xu8", [7u8; 17]).is_err() && read::<Uuid>("16xu8", [7u8; 16]).is_ok());
    assert!(read::<serde::de::IgnoredAny>("3xf32", [1.0, 2.0, 3.0]).is_ok());
}

/// Whichever way it comes.
#[test]
fn what_is_wrong_with_an_element_names_it() -> Result<()> {
    let table = column("3xu8");
    let v = table.column::<Option<[u8; 3]>>("v")?;
    for (element, found) in [(Value::Null, "null"), (Value::from(256), "256"), (Value::from("a"), "string")] {
        let array = Value::Array(vec![Value::from(1), element, Value::from(2)]);
        let errors =
            [table.insert(&V { v: &array }).unwrap_err(), table.select().filter(v.eq(array)).count().unwrap_err()];
        for error in errors {
            let text = error.to_string();
            assert!(text.contains("expected u8") && text.contains("as element 1"), "{text}");
            assert!(text.contains(found), "{text}");
        }
    }
    let text = column("bytes").insert(&V { v: [1, 2, 256] }).unwrap_err().to_string();
    assert!(text.contains("256") && text.contains("as element 2"), "{text}");
    Ok(())
}

/// A sequence or a tuple may be the row, where the one column holds no sequence.
#[test]
fn a_lone_value_is_a_row_of_one() -> Result<()> {
    let schema = Schema::builder("t").column(Column::u8("n")).column(Column::string("s")).column(Column::bytes("b"));
    let table = Database::in_memory().create_table(schema.column(Column::json("doc")).build()?)?;
    table.insert(&json!([7, "é", [1, 2], "x"]))?;
    let select = |column: &'static str| table.select().columns([column]);
    assert_eq!((select("n").fetch::<u8>()?, select("n").fetch::<(u8,)>()?), (vec![7], vec![(7,)]));
    assert_eq!((select("n").fetch::<Vec<u8>>()?, select("n").fetch::<[u8; 1]>()?), (vec![vec![7]], vec![[7]]));
    assert_eq!((select("s").fetch::<char>()?, select("s").fetch::<(String,)>()?), (vec!['é'], vec![("é".into(),)]));
    assert_eq!(
        (select("b").fetch::<Vec<u8>>()?, select("b").fetch::<(Vec<u8>,)>()?),
        (vec![vec![1, 2]], vec![(vec![1, 2],)])
    );
    assert_eq!(select("doc").fetch::<(String,)>()?, [("x".to_owned(),)]);
    for error in [
        select("n").fetch::<(u8, u8)>().map(drop),
        select("s").fetch::<[u8; 2]>().map(drop),
        select("doc").fetch::<(u8, u8)>().map(drop),
        table.select().fetch::<(u8, String)>().map(drop),
        table.select().fetch::<(u8, String, Vec<u8>, String, u8)>().map(drop),
        table.select().fetch::<(u8, (u8, u8), Vec<u8>, String)>().map(drop),
        table.select().fetch::<((u8,), String, Vec<u8>, String)>().map(drop),
        table.select().fetch::<u8>().map(drop),
    ] {
        assert_eq!(error.unwrap_err().code(), "decode");
    }
    Ok(())
}

// Times and UUIDs.

#[test]
fn times_and_uuids_are_read_from_columns_that_spell_them() {
    let time = Timestamp::from_micros(-1);
    let uuid = Uuid::from_bytes([0xA5; 16]);
    assert_eq!(read::<At>("timestamp", At(time)).unwrap(), At(time));
    assert_eq!(read::<At>("string", time.to_string()).unwrap(), At(time));
    assert_eq!(read::<At>("i64", -1).unwrap(), At(time));
    assert_eq!(read::<At>("u64", 5).unwrap(), At(Timestamp::from_micros(5)));
    assert_eq!(read::<At>("json", time).unwrap(), At(time));
    assert_eq!(read::<At>("json", -1).unwrap(), At(time));
    assert_eq!(read::<[Timestamp; 2]>("2xtimestamp", [time, time]).unwrap(), [time; 2]);
    assert_eq!(read::<String>("timestamp", time).unwrap(), "1969-12-31T23:59:59.999999Z");
    assert_eq!(read::<i64>("timestamp", time).unwrap(), -1);
    assert_eq!(read::<Id>("uuid", Id(uuid)).unwrap(), Id(uuid));
    assert_eq!(read::<Id>("string", uuid.to_string()).unwrap(), Id(uuid));
    assert_eq!(read::<Id>("json", uuid).unwrap(), Id(uuid));
    assert_eq!(read::<Vec<Uuid>>("2xuuid", [uuid, uuid]).unwrap(), [uuid; 2]);
    assert_eq!(read::<String>("uuid", uuid).unwrap(), uuid.to_string());
    for error in [
        read::<At>("u64", u64::MAX).map(drop),
        read::<At>("string", "yesterday").map(drop),
        read::<At>("bool", true).map(drop),
        read::<At>("f64", 1.0).map(drop),
        read::<Id>("string", "a").map(drop),
        read::<Id>("u64", 1).map(drop),
        read::<u64>("timestamp", time).map(drop),
    ] {
        assert_eq!(error.unwrap_err().code(), "decode");
    }
}

#[test]
fn times_and_uuids_pass_through_other_formats() {
    let time = Timestamp::from_micros(1_500_000);
    let text = serde_json::to_string(&At(time)).unwrap();
    assert_eq!(text, "\"1970-01-01T00:00:01.5Z\"");
    assert_eq!(serde_json::from_str::<At>(&text).unwrap(), At(time));
    assert_eq!(serde_json::from_str::<At>("1500000").unwrap(), At(time));
    assert_eq!(serde_json::from_str::<At>("-1").unwrap(), At(Timestamp::from_micros(-1)));
    assert_eq!(serde_json::from_value::<At>(json!(i64::MAX)).unwrap(), At(Timestamp::MAX));
    for text in ["9223372036854775808", "1.5", "\"2026-02-30T00:00:00Z\"", "null", "[1]"] {
        assert!(serde_json::from_str::<At>(text).is_err(), "{text}");
    }
    let message = serde_json::from_str::<Timestamp>("true").unwrap_err().to_string();
    assert!(message.contains("an RFC 3339 timestamp such as 2026-03-01T09:30:00Z, or microseconds"), "{message}");
    let uuid = Uuid::from_bytes(std::array::from_fn(|at| at as u8));
    let numbers = json!(uuid.as_bytes());
    assert_eq!(serde_json::from_value::<Id>(numbers.clone()).unwrap(), Id(uuid));
    assert_eq!(serde_json::from_str::<Id>(&numbers.to_string()).unwrap(), Id(uuid));
    assert_eq!(Uuid::deserialize(BytesDeserializer::<ValueError>::new(uuid.as_bytes())), Ok(uuid));
    let elements = |len: u8| Uuid::deserialize(SeqDeserializer::<_, ValueError>::new(0..len));
    assert_eq!((elements(16), elements(15).is_err(), elements(17).is_err()), (Ok(uuid), true, true));
    assert!(Uuid::deserialize(BytesDeserializer::<ValueError>::new(&[0; 17])).is_err());
    for text in ["[1,2]", "[256]", "\"\"", "7"] {
        assert!(serde_json::from_str::<Id>(text).is_err(), "{text}");
    }
}

#[test]
fn a_time_is_a_day_that_there_is() {
    let micros = |text: &str| text.parse::<Timestamp>().ok().map(Timestamp::as_micros);
    for (text, seconds) in [
        ("1970-01-01T00:00:00-00:00", 0),
        ("1970-01-01T00:00:00-01:30", 5_400),
        ("1970-01-01T00:00:00+23:59", -86_340),
        ("1970-01-01t00:00:60z", 60),
        ("2000-02-29 00:00:00Z", 951_782_400),
        ("-0001-12-31T00:00:00Z", -62_167_305_600),
    ] {
        assert_eq!(micros(text), Some(seconds * 1_000_000), "{text}");
        let time = Timestamp::from_micros(seconds * 1_000_000);
        assert_eq!(time.to_string().parse(), Ok(time), "{text}");
    }
    for text in [
        "1970-00-01T00:00:00Z",
        "1970-13-01T00:00:00Z",
        "1970-01-00T00:00:00Z",
        "1970-01-32T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-01-01T00:00:61Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00",
        "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00+00:60",
        "1970-01-01T00:00:00-0000",
        "1970-01-01T00:00:00+00:00Z",
        "1970-01-01",
        "+999-01-01T00:00:00Z",
        "+294248-01-01T00:00:00Z",
        "٠٠٠٠-01-01T00:00:00Z",
    ] {
        let error = text.parse::<Timestamp>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{text}` is not an RFC 3339 timestamp")), "{error}");
    }
    let long = "x".repeat(1000).parse::<Timestamp>().unwrap_err().to_string();
    assert!(long.len() < 250, "{long}");
    for time in [Timestamp::from_micros(i64::MIN), Timestamp::MAX] {
        assert_eq!(time.to_string().parse(), Ok(time));
    }
}

#[test]
fn a_kind_of_index_is_read_by_name_and_by_number() {
    let by_name = |name: &str| serde_json::from_value::<IndexKind>(json!(name));
    assert_eq!(by_name("hash").unwrap(), IndexKind::Hash);
    assert_eq!(by_name("ordered").unwrap(), IndexKind::Ordered);
    assert!(by_name("Hash").is_err());
    let by_number = |number: u32| {
        let number: U32Deserializer<ValueError> = number.into_deserializer();
        IndexKind::deserialize(number)
    };
    assert_eq!((by_number(0), by_number(1)), (Ok(IndexKind::Hash), Ok(IndexKind::Ordered)));
    assert!(by_number(2).is_err());
}

#[test]
fn types_are_spelled_one_way() {
    for text in ["3xf32", "1xbool", "65536xu8", "2xuuid", "i8", "timestamp", "json"] {
        assert_eq!(text.parse::<Type>().unwrap().to_string(), text);
    }
    for text in
        ["", "x", "xf32", "3x", "-1xu8", "+1xu8", "1.5xu8", "0xu8", "3xstring", "3xjson", "3x3xu8", "3 xu8", "٣xu8"]
    {
        assert!(text.parse::<Type>().is_err(), "{text}");
        assert!(text.parse::<folio::Array>().is_err(), "{text}");
    }
    let error = "u8".parse::<folio::Array>().unwrap_err().to_string();
    assert!(error.contains("an array is spelled as in 3xf32"), "{error}");
    assert!("strng".parse::<Type>().unwrap_err().to_string().contains("did you mean `string`?"));
}

// Values alone.

#[test]
fn values_are_equal_by_what_they_say() {
    let (one, null, number, no_json) =
        (Value::from([1u8]), Value::from(None::<u8>), Value::from(1usize), Value::from(json!(null)));
    let document = json!({ "a": [1, 2.5, -0.0, "é"], "b": null });
    let text = "{ \"b\":null, \"a\":[1,25e-1,0.0,\"\\u00e9\"] }";
    let tree = json!(null);
    let groups: Vec<Vec<ValueRef<'_>>> = vec![
        vec![ValueRef::Null, ValueRef::from(&null), ValueRef::from(&no_json), ValueRef::JsonTree(&tree)],
        vec![ValueRef::from(1u8), ValueRef::from(1i64), ValueRef::from(&number)],
        vec![ValueRef::from(-1i8), ValueRef::from(-1i64)],
        vec![ValueRef::from(u64::MAX)],
        vec![ValueRef::from(1.0f32), ValueRef::from(1.0f64)],
        vec![ValueRef::from(0.0), ValueRef::from(-0.0)],
        vec![ValueRef::from("1"), ValueRef::from("1")],
        vec![ValueRef::from(&b"1"[..])],
        vec![ValueRef::from(true)],
        vec![ValueRef::from(Timestamp::from_micros(1))],
        vec![ValueRef::from(Uuid::from_bytes([1; 16]))],
        vec![
            ValueRef::Json(text),
            ValueRef::JsonTree(&document),
            ValueRef::Json("{\"a\":[1,2.5,0.0,\"é\"],\"b\":null}"),
        ],
        vec![ValueRef::Json("1"), ValueRef::Json(" 1 ")],
        vec![ValueRef::Json("{")],
        vec![ValueRef::from(&one), ValueRef::Array(ArrayRef::values(&[Value::Int(1)]))],
        vec![ValueRef::Array(ArrayRef::values(&[]))],
        vec![ValueRef::Array(ArrayRef::values(&[Value::Int(1), Value::Int(1)]))],
    ];
    for (at, group) in groups.iter().enumerate() {
        for a in group {
            assert!(group.iter().all(|b| a == b), "{a} among {group:?}");
            assert_eq!((a.to_owned().as_ref() == *a, a.is_null()), (at != 13, at == 0), "{a}");
            assert!(groups.iter().enumerate().all(|(other, group)| other == at || group.iter().all(|b| a != b)), "{a}");
        }
    }
    assert!(Value::from(f64::NAN) != Value::from(f64::NAN));
    assert!(ArrayRef::values(&[]).is_empty() && !ArrayRef::values(&[Value::Null]).is_empty());
    assert_eq!(Value::from(ValueRef::Json("{")), Value::Json(json!("{")));
    assert!(serde_json::to_string(&ValueRef::Json("{")).is_err());
    assert_eq!(serde_json::to_value(ValueRef::Json(text)).unwrap(), document);
    assert_eq!(Value::from(&"a"), Value::from("a"));
}

// Keys.

/// By the row id, a hash index of words, one of shorter integers, and the key that the table has.
#[test]
fn a_key_is_the_number_that_it_says_whatever_its_type() -> Result<()> {
    for ty in ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"] {
        for auto in [false, true] {
            let id = Column::new("id", ty.parse().unwrap()).primary_key();
            let schema = Schema::builder("t").column(if auto { id.auto_increment() } else { id });
            let schema = schema.column(Column::new("n", ty.parse().unwrap()).unique());
            let table = Database::in_memory().create_table(schema.build()?)?;
            table.insert_many([(5, 7), (100, 127)])?;
            let is_there = |key: &dyn Fn(&Table) -> Result<bool>| key(&table);
            macro_rules! found {
                ($($number:ty),*) => {$(
                    assert!(is_there(&|table| table.contains(5 as $number))?, "{ty} by {}", stringify!($number));
                    assert!(is_there(&|table| table.contains((5 as $number,)))?);
                    assert!(!is_there(&|table| table.contains(7 as $number))?);
                    assert_eq!(table.find("n", 7 as $number)?.map(|row| row.value("id").unwrap()), Some(Value::from(5)));
                    assert!(table.find("n", 5 as $number)?.is_none());
                    assert_eq!(table.get_many([5 as $number, 6, 100])?.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
                )*};
            }
            found!(i8, i16, i32, i64, u8, u16, u32, u64, usize, isize);
            for (key, expected) in [
                (Value::Int(5), true),
                (Value::UInt(5), true),
                (Value::Json(json!(null)), false),
                (Value::Int(-1), false),
                (Value::Int(i64::MIN), false),
                (Value::UInt(u64::MAX), false),
            ] {
                let answers = |key: &dyn Fn() -> Result<bool>| match key() {
                    Ok(is_there) => is_there,
                    Err(error) => panic!("{ty}: {error}"),
                };
                if key.is_null() {
                    assert_eq!(table.contains(&key).unwrap_err().code(), "invalid-key");
                    continue;
                }
                assert_eq!(answers(&|| table.contains(&key)), expected, "{ty} {key}");
                assert_eq!(answers(&|| table.contains(key.as_ref())), expected, "{ty} {key}");
                assert_eq!(answers(&|| table.contains([key.clone()])), expected, "{ty} {key}");
                let n = match key {
                    Value::Int(5) | Value::UInt(5) => Value::Int(7),
                    ref key => key.clone(),
                };
                assert_eq!(table.find("n", &n)?.is_some(), expected, "{ty} {n}");
                assert_eq!(table.find("n", n.as_ref())?.is_some(), expected, "{ty} {n}");
            }
            for key in [usize::MAX, usize::MAX - 1] {
                assert!(!table.contains(key)? && table.find("n", key)?.is_none());
            }
            for key in [isize::MIN, -1] {
                assert!(!table.contains(key)? && table.find("n", key)?.is_none());
            }
            assert!(table.contains(5.0).is_err() && table.find("n", 7.0).is_err() && table.contains("5").is_err());
        }
    }
    Ok(())
}

#[test]
fn values_of_every_kind_are_keys() -> Result<()> {
    fn check<K: ToKey + Clone>(ty: &str, key: K, value: Value, others: &[Value]) -> Result<()> {
        let schema = Schema::builder("t").column(Column::new("k", ty.parse().unwrap()).primary_key());
        let table = Database::in_memory().create_table(schema.column(Column::u8("n")).build()?)?;
        table.insert(&(value.clone(), 1))?;
        assert!(table.contains(key.clone())? && table.contains(&value)? && table.contains(value.as_ref())?, "{ty}");
        assert!(table.contains((key,))? && table.contains(vec![value.clone()])?);
        for other in others {
            assert!(!table.contains(other)? && !table.contains(other.as_ref())?, "{ty} {other}");
        }
        assert!(table.delete(value.as_ref())? && table.is_empty()?);
        Ok(())
    }
    check("string", "é", Value::from("é"), &[Value::from(""), Value::from("e")])?;
    check("bytes", &b"\0\xFF"[..], Value::from(&b"\0\xFF"[..]), &[Value::from(&b"\0"[..])])?;
    check("bool", true, Value::from(true), &[Value::from(false)])?;
    check("f64", 0.5, Value::from(0.5), &[Value::from(1), Value::from(f64::INFINITY)])?;
    check("f32", 0.1f32, Value::from(0.1), &[Value::from(0.2)])?;
    check("f64", -0.0, Value::from(0.0), &[])?;
    let uuid = Uuid::from_bytes([9; 16]);
    check("uuid", uuid, Value::from(uuid), &[Value::from("09090909-0909-0909-0909-090909090900")])?;
    check("uuid", "09090909-0909-0909-0909-090909090909", Value::from(uuid), &[])?;
    let time = Timestamp::from_micros(-1);
    check("timestamp", time, Value::from(time), &[Value::from(0), Value::from("1970-01-01T00:00:00Z")])?;
    let array = Value::from([1, -1]);
    check("2xi16", array.clone(), array, &[Value::from([1, 1])])?;
    Ok(())
}

// Handles and checks.

#[test]
fn a_handle_of_another_type_is_told_what_the_column_is() {
    fn asked<T: folio::Readable + ?Sized>(ty: &str, nullable: bool) -> Option<(String, String)> {
        let column = Column::new("v", ty.parse().unwrap());
        let schema = Schema::builder("t").column(if nullable { column.nullable() } else { column });
        let table = Database::in_memory().create_table(schema.build().unwrap()).unwrap();
        match table.column::<T>("v") {
            Ok(_) => None,
            Err(Error::WrongHandle { column, requested, expected, .. }) => {
                assert_eq!(&*column, "v");
                Some((requested.into(), expected.into()))
            }
            Err(error) => panic!("{error}"),
        }
    }
    let told = |requested: &str, expected: &str| Some((requested.to_owned(), expected.to_owned()));
    assert_eq!(asked::<[f32; 3]>("3xf32", false), None);
    assert_eq!(asked::<[f32; 3]>("4xf32", false), told("a `3xf32` column", "[f32; 4]"));
    assert_eq!(asked::<[f32; 3]>("3xf64", false), told("a `3xf32` column", "[f64; 3]"));
    assert_eq!(asked::<[f32; 3]>("3xf32", true), told("a `3xf32` column", "Option<[f32; 3]>"));
    assert_eq!(asked::<Option<[Uuid; 1]>>("1xuuid", true), None);
    assert_eq!(asked::<[u8]>("16xu8", false), told("a `bytes` column", "[u8; 16]"));
    assert_eq!(asked::<str>("bytes", false), told("a `string` column", "[u8]"));
    assert_eq!(asked::<Vec<u8>>("bytes", true), told("a `bytes` column", "Option<&[u8]>"));
    assert_eq!(asked::<&'static str>("uuid", false), told("a `string` column", "Uuid"));
    assert_eq!(asked::<i64>("timestamp", false), told("a `i64` column", "Timestamp"));
    assert_eq!(asked::<String>("json", true), told("a `string` column", "Option<serde_json::Value>"));
    assert_eq!(asked::<serde_json::Value>("json", true), told("a `json` column", "Option<serde_json::Value>"));
    assert_eq!(asked::<serde_json::Value>("string", false), told("a `json` column", "str"));
    assert_eq!(asked::<Option<u8>>("u16", false), told("a `u8` column, nullable or not", "u16"));
    assert_eq!((asked::<Option<&str>>("string", false), asked::<Option<Vec<u8>>>("bytes", true)), (None, None));
}

/// Values that a check is given compare with those that a program makes, and are keys of another table.
#[test]
fn a_check_sees_the_values_of_its_row() -> Result<()> {
    let db = Database::in_memory();
    let known = Schema::builder("known").column(Column::new("k", "2xi16".parse().unwrap()).primary_key());
    let known = db.create_table(known.build()?)?;
    known.insert(&([1, -1],))?;
    let schema = Schema::builder("t")
        .column(Column::new("narrow", "2xi16".parse().unwrap()))
        .column(Column::new("wide", "2xi64".parse().unwrap()))
        .column(Column::json("doc").nullable())
        .column(Column::timestamp("at"))
        .check("known", {
            let known = known.clone();
            move |row| {
                known.contains(row.value("narrow")).unwrap() && known.contains(row.value("wide")).is_ok_and(|is| is)
            }
        })
        .check("alike", |row| row.value("narrow") == row.value("wide"))
        .check("a pair", |row| {
            row.value("narrow") == Value::from([1, -1]).as_ref() && row.value("wide") != Value::from([1]).as_ref()
        })
        .check("one", |row| {
            let (one, null) = (json!({ "b": 1, "a": [1.0] }), Value::Null);
            row.value("doc") == ValueRef::JsonTree(&one) || row.value("doc") == null.as_ref()
        })
        .check("since", |row| row.value("at") == ValueRef::Timestamp(Timestamp::from_micros(7)));
    let table = db.create_table(schema.build()?)?;
    table.insert(&([1, -1], [1, -1], json!({ "a": [1.0], "b": 1 }), 7))?;
    table.insert(&([1, -1], [1, -1], json!(null), 7))?;
    for (row, failed, value) in [
        (json!([[1, 1], [1, 1], null, 7]), "known", "[1, 1]"),
        (json!([[1, -1], [1, 65_535], null, 7]), "known", "[1, 65535]"),
        (json!([[1, -1], [1, -1], { "a": [1.0] }, 7]), "one", "{\"a\":[1.0]}"),
        (json!([[1, -1], [1, -1], null, 8]), "since", "1970-01-01T00:00:00.000008Z"),
    ] {
        let error = table.insert(&row).unwrap_err();
        let Error::Check { column: None, check, value: shown, .. } = &error else { panic!("{error}") };
        assert!(**check == *failed && shown.contains(value), "{error}");
    }
    assert_eq!(table.len()?, 2);
    Ok(())
}

// Defaults and checks.

fn problems(schema: folio::SchemaBuilder) -> Vec<(&'static str, String)> {
    let Err(Error::InvalidSchema { problems, .. }) = schema.build() else { panic!("the schema is wrong") };
    problems.iter().map(|problem| (problem.code(), problem.to_string())).collect()
}

#[test]
fn what_can_be_no_default_is_told() {
    let of = |column: folio::ColumnDef| problems(Schema::builder("t").column(column)).remove(0);
    let array = || Column::new("x", "2xf64".parse().unwrap());
    for column in [
        Column::f64("x").default(f64::NAN).into(),
        Column::f32("x").default(f64::INFINITY).into(),
        array().default([0.0, f64::NEG_INFINITY]).into(),
        Column::json("x").nullable().default([f64::NAN]).into(),
    ] {
        let (code, message) = of(column);
        assert_eq!(code, "default-not-finite");
        assert!(message.contains("`x`") && message.contains("default_with"), "{message}");
    }
    for column in [
        Column::u8("x").default(None::<u8>).into(),
        Column::u8("x").default(256).into(),
        Column::f32("x").default(1e300).into(),
        Column::bool("x").default(1).into(),
        Column::string("x").default(&b"a"[..]).into(),
        Column::timestamp("x").default("yesterday").into(),
        Column::timestamp("x").default(u64::MAX).into(),
        array().default([1.0]).into(),
        array().default(Value::Array(vec![Value::from(1.0), Value::Null])).into(),
    ] {
        let (code, message) = of(column);
        assert_eq!(code, "invalid-default", "{message}");
    }
    let twice = Schema::builder("t")
        .column(Column::u8("x").check("even", |x| x % 2 == 0).check("even", |x| *x < 100))
        .check("sum", |_| true)
        .check("sum", |_| true);
    let expected = [
        "column `x` has two checks `even`: errors could not tell which",
        "the table has two checks `sum`: errors could not tell which",
    ];
    let found = problems(twice);
    assert_eq!(found.iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["duplicate-check"; 2]);
    assert!(found.iter().zip(expected).all(|((_, message), expected)| message.contains(expected)), "{found:?}");
}

#[test]
fn what_a_default_s_closure_answers_is_what_a_row_could_say() -> Result<()> {
    let table = |column: folio::ColumnDef| {
        let schema = Schema::builder("t").column(Column::u8("n")).column(column).build().unwrap();
        Database::in_memory().create_table(schema).unwrap()
    };
    for (column, code) in [
        (folio::ColumnDef::from(Column::u8("x").default_with(|| 256)), "out-of-range"),
        (Column::u8("x").default_with(|| Value::Null).into(), "null-not-allowed"),
        (Column::u8("x").default_with(|| "a").into(), "wrong-type"),
        (Column::u8("x").nullable().default_with(|| Value::from("a")).into(), "wrong-type"),
        (Column::u8("x").check("even", |x| x % 2 == 0).default_with(|| 1).into(), "check-violation"),
        (Column::f64("x").unique().default_with(|| f64::NAN).into(), "nan-in-key"),
    ] {
        let table = table(column);
        let error = table.insert(&json!({ "n": 1 })).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(table.is_empty()?);
    }
    let table = table(Column::f64("x").default_with(|| f64::NAN).into());
    table.insert(&json!({ "n": 1 }))?;
    let x: Field<f64> = table.column("x")?;
    assert!(table.select().map(|row| row.get(x).is_nan())?[0]);
    Ok(())
}
