//! Rows of types whose `Serialize` does not keep to serde's rules: that go on after a refusal, give keys without values, or
//! say that they have nothing and give something. What they leave is a named error and a table as it was.

use folio::{Column, Database, Error, Schema, Table, Value};
use serde::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple, Serializer};
use serde_json::json;

type Answer<S> = std::result::Result<<S as Serializer>::Ok, <S as Serializer>::Error>;

const TYPES: [&str; 11] = ["i64", "u8", "f64", "bool", "string", "bytes", "uuid", "timestamp", "json", "3xf32", "2xu8"];

/// A column `a` of the type, and one row with a good value.
fn table(db: &Database, ty: &str, nullable: bool) -> Table {
    let column = Column::new("a", ty.parse().unwrap());
    let column = if nullable { column.nullable() } else { column };
    let id = Column::u64("id").primary_key().auto_increment();
    let table = db.create_table(Schema::builder("t").column(id).column(column).build().unwrap()).unwrap();
    let good = match ty {
        "bool" => json!(true),
        "string" => json!("good"),
        "bytes" | "2xu8" => json!([1, 2]),
        "uuid" => json!("936da01f-9abd-4d9d-80c7-02af85c822a8"),
        "json" => json!({ "good": 1 }),
        "3xf32" => json!([1.0, 2.0, 3.0]),
        _ => json!(7),
    };
    table.insert(&json!({ "a": good })).unwrap();
    table
}

/// What no column takes.
struct Fails;

impl Serialize for Fails {
    fn serialize<S: Serializer>(&self, _: S) -> Answer<S> {
        Err(S::Error::custom("no"))
    }
}

/// How a row goes on after what it was told.
#[derive(Clone, Copy)]
enum GoesOn {
    InMap,
    InStruct,
    InTuple,
    AfterUnknown,
}

impl Serialize for GoesOn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Answer<S> {
        match self {
            GoesOn::InMap => {
                let mut map = serializer.serialize_map(None)?;
                let _ = map.serialize_entry("a", &Fails);
                map.end()
            }
            GoesOn::InStruct => {
                let mut form = serializer.serialize_struct("Row", 1)?;
                let _ = form.serialize_field("a", &Fails);
                form.end()
            }
            GoesOn::InTuple => {
                let mut tuple = serializer.serialize_tuple(2)?;
                tuple.serialize_element(&9)?;
                let _ = tuple.serialize_element(&Fails);
                tuple.end()
            }
            GoesOn::AfterUnknown => {
                let mut map = serializer.serialize_map(None)?;
                let _ = map.serialize_entry("b", &1);
                map.end()
            }
        }
    }
}

/// A sequence whose second element is refused, which it passes over.
struct Elements;

impl Serialize for Elements {
    fn serialize<S: Serializer>(&self, serializer: S) -> Answer<S> {
        let mut seq = serializer.serialize_seq(None)?;
        seq.serialize_element(&1)?;
        let _ = seq.serialize_element(&Fails);
        seq.serialize_element(&3)?;
        seq.end()
    }
}

#[test]
fn a_value_that_is_refused_refuses_its_row_whatever_comes_behind_it() {
    for (ty, nullable) in TYPES.iter().flat_map(|ty| [(ty, false), (ty, true)]) {
        let db = Database::in_memory();
        let table = table(&db, ty, nullable);
        let before = db.snapshot();
        for row in [GoesOn::InMap, GoesOn::InStruct, GoesOn::InTuple, GoesOn::AfterUnknown] {
            let is_unknown = matches!(row, GoesOn::AfterUnknown);
            let check = |error: Error| match error {
                Error::Encode { column, message, .. } => {
                    assert_eq!((column.as_deref(), &*message), (Some("a"), "no"), "{ty}");
                }
                Error::UnknownField { .. } if is_unknown => {}
                Error::NotARow { .. } if matches!(row, GoesOn::InTuple) => {}
                Error::InBatch { .. } => {}
                other => panic!("{ty}: {other:?}"),
            };
            check(table.insert(&row).unwrap_err());
            check(table.insert_many([row]).unwrap_err());
            check(table.upsert(&row).unwrap_err());
            check(table.update(1, &row).unwrap_err());
        }
        if !["string", "i64", "u8", "f64", "bool", "timestamp"].contains(ty) {
            assert_eq!(table.insert(&lone(Elements)).unwrap_err().code(), "encode", "{ty}");
        }
        assert!(before.diff(&db.snapshot()).unwrap().is_empty(), "{ty}");
        // The buffer that held it is used again.
        table.insert(&(None::<u64>, table.get(1).unwrap().unwrap().value("a").unwrap().to_owned())).unwrap();
    }
}

/// A row with this as the value of `a`.
fn lone<T: Serialize>(value: T) -> impl Serialize {
    #[derive(serde::Serialize)]
    struct Row<T> {
        a: T,
    }
    Row { a: value }
}

/// Keys and values of a map, in any order.
struct Steps(&'static [Step]);

enum Step {
    Key(&'static str),
    Value(i64),
}

impl Serialize for Steps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Answer<S> {
        let mut map = serializer.serialize_map(None)?;
        for step in self.0 {
            match step {
                Step::Key(key) => map.serialize_key(key)?,
                Step::Value(value) => map.serialize_value(value)?,
            }
        }
        map.end()
    }
}

#[test]
fn keys_and_values_that_are_out_of_step_are_refused() {
    use Step::{Key, Value};
    let db = Database::in_memory();
    let columns = ["a", "b"].map(Column::i64);
    let schema = columns.into_iter().fold(Schema::builder("t"), |schema, column| schema.column(column));
    let table = db.create_table(schema.build().unwrap()).unwrap();
    for steps in [
        &[Key("b"), Value(5), Key("a"), Value(1), Value(2)][..],
        &[Value(1), Value(2)],
        &[Key("a"), Key("b"), Value(1)],
        &[Key("a"), Value(1), Key("b")],
    ] {
        match table.insert(&Steps(steps)).unwrap_err() {
            Error::Encode { message, .. } => assert!(message.contains("without a"), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    table.insert(&Steps(&[Key("b"), Value(5), Key("a"), Value(1)])).unwrap();
    assert_eq!(table.select().fetch::<(i64, i64)>().unwrap(), [(1, 5)]);
}

/// A document that serde_json writes as no JSON.
#[derive(Clone, Copy, Debug)]
enum Unsound {
    NoFields,
    NoEntries,
    NoElements,
    TwoValues,
    TwoKeys,
    PassedOver,
    PassedOverWithin,
}

const UNSOUND: [Unsound; 7] = [
    Unsound::NoFields,
    Unsound::NoEntries,
    Unsound::NoElements,
    Unsound::TwoValues,
    Unsound::TwoKeys,
    Unsound::PassedOver,
    Unsound::PassedOverWithin,
];

impl Serialize for Unsound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Answer<S> {
        match self {
            Unsound::NoFields => {
                let mut form = serializer.serialize_struct("Tags", 0)?;
                form.serialize_field("a", &1)?;
                form.end()
            }
            Unsound::NoEntries => {
                let mut map = serializer.serialize_map(Some(0))?;
                map.serialize_entry("a", &1)?;
                map.end()
            }
            Unsound::NoElements => {
                let mut seq = serializer.serialize_seq(Some(0))?;
                seq.serialize_element(&1)?;
                seq.end()
            }
            Unsound::TwoValues => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_key("a")?;
                map.serialize_value(&1)?;
                map.serialize_value(&2)?;
                map.end()
            }
            Unsound::TwoKeys => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_key("a")?;
                map.serialize_key("b")?;
                map.serialize_value(&2)?;
                map.end()
            }
            Unsound::PassedOver => {
                let mut seq = serializer.serialize_seq(None)?;
                seq.serialize_element(&1)?;
                let _ = seq.serialize_element(&Fails);
                seq.end()
            }
            Unsound::PassedOverWithin => [[Unsound::NoFields, Unsound::NoFields]].serialize(serializer),
        }
    }
}

#[test]
fn a_document_that_is_no_json_is_refused() {
    let db = Database::in_memory();
    let table = table(&db, "json", true);
    let before = db.snapshot();
    for unsound in UNSOUND {
        for error in [
            table.insert(&lone(unsound)).unwrap_err(),
            table.update(1, &lone(unsound)).unwrap_err(),
            table.insert(&(None::<u64>, unsound)).unwrap_err(),
        ] {
            match error {
                Error::Encode { column, .. } => assert_eq!(column.as_deref(), Some("a"), "{unsound:?}"),
                other => panic!("{unsound:?}: {other:?}"),
            }
        }
    }
    assert!(before.diff(&db.snapshot()).unwrap().is_empty());
}

#[test]
fn a_document_that_nests_without_end_is_refused_on_the_way_down() {
    struct Endless;
    impl Serialize for Endless {
        fn serialize<S: Serializer>(&self, serializer: S) -> Answer<S> {
            let mut seq = serializer.serialize_seq(None)?;
            seq.serialize_element(self)?;
            seq.end()
        }
    }
    let db = Database::in_memory();
    let table = table(&db, "json", false);
    let nested = |depth| (1..depth).fold(Value::Array(Vec::new()), |inner, _| Value::Array(vec![inner]));
    for error in [
        table.insert(&lone(Endless)).unwrap_err(),
        table.insert(&lone(nested(2_000))).unwrap_err(),
        table.insert(&lone(nested(128))).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::InvalidValue { column, .. } if &**column == "a"), "{error:?}");
        assert!(error.to_string().contains("127 deep"), "{error}");
    }
    table.insert(&lone(nested(127))).unwrap();
}
