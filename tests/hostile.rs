//! Input of any kind: never a panic, and what is refused has changed nothing.

use folio::{
    Array, Column, Database, Error, ImportOptions, Index, OnError, Scalar, Schema, Table, Type, Value as Cell,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("2024-02-30T25:61:00Z")),
        Just(json!("x".repeat(2_000))),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(name(), inner, 0..6).prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["a", "b", "c", "d", "id", ""]).prop_map(String::from),
        "\\PC{0,8}",
        any::<String>(),
        Just("n".repeat(200)),
    ]
}

fn any_type() -> impl Strategy<Value = Type> {
    prop::sample::select(
        "i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 bool string bytes uuid timestamp json 3xf32 2xbool 600xu64"
            .split(' ')
            .map(|name| name.parse().unwrap())
            .collect::<Vec<Type>>(),
    )
}

fn any_cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell::Null),
        any::<bool>().prop_map(Cell::from),
        any::<i64>().prop_map(Cell::from),
        any::<u64>().prop_map(Cell::from),
        any::<f64>().prop_map(Cell::from),
        any::<String>().prop_map(Cell::from),
    ]
}

fn mixed(db: &Database) -> Table {
    let schema = Schema::builder("t")
        .column(Column::i16("id").primary_key().auto_increment())
        .column(Column::string("a").unique().nullable())
        .column(Column::f32("b").nullable())
        .column(Column::json("c").nullable())
        .column(Column::array("d", Array::new(Scalar::U8, 3).unwrap()).default_with(|| vec![Cell::from(1); 3]))
        .index(Index::ordered(["b", "a"]))
        .build()
        .unwrap();
    db.create_table(schema).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_of_any_json_are_stored_or_refused(rows in prop::collection::vec(any_json(), 1..8), patch in any_json()) {
        let db = Database::in_memory();
        let table = mixed(&db);
        for row in &rows {
            let before: Vec<Value> = table.select().fetch().unwrap();
            match table.insert(row) {
                Ok(id) => prop_assert!(table.get(id).unwrap().is_some()),
                Err(_) => prop_assert_eq!(&before, &table.select().fetch::<Value>().unwrap()),
            }
            let _ = table.update(1, &patch);
            let _ = table.upsert(row);
            let _ = table.replace(&patch);
        }
        let _ = table.insert_many(&rows);
        let rows: Vec<Value> = table.select().fetch().unwrap();
        prop_assert_eq!(rows.len() as u64, table.len().unwrap());
        prop_assert_eq!(rows.len(), table.iter().unwrap().rev().count());
    }

    #[test]
    fn schemas_of_any_names_and_types_are_built_or_refused(
        table in name(),
        columns in prop::collection::vec((name(), any_type(), any::<[bool; 4]>()), 0..6),
        key in prop::collection::vec(name(), 0..3),
        index in prop::collection::vec(name(), 0..3),
        row in any_json(),
    ) {
        let mut builder = Schema::builder(table);
        for (name, ty, [nullable, unique, primary, auto]) in columns {
            let mut column = Column::new(name, ty);
            if nullable { column = column.nullable() }
            if unique { column = column.unique() }
            if primary { column = column.primary_key() }
            if auto { column = column.auto_increment() }
            builder = builder.column(column);
        }
        if !key.is_empty() { builder = builder.primary_key(key) }
        if !index.is_empty() { builder = builder.index(Index::ordered(index)) }
        match builder.build() {
            Ok(schema) => {
                let text = serde_json::to_string(&schema).unwrap();
                let again: Schema = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(serde_json::to_string(&again).unwrap(), text);
                let table = Database::in_memory().create_table(schema).unwrap();
                let _ = table.insert(&row);
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn keys_and_operands_of_any_type_find_or_refuse(key in prop::collection::vec(any_cell(), 0..4), cell in any_cell(), name in name()) {
        let db = Database::in_memory();
        let table = mixed(&db);
        table.insert(&json!({ "a": "x", "b": 1.5 })).unwrap();
        let _ = (table.get(key.as_slice()).map(drop), table.get(&cell).map(drop), table.delete(key.as_slice()));
        let _ = (table.find(&name, &cell).map(drop), table.find("a", &cell).map(drop), table.contains((&cell, 1)));
        let _ = table.range(cell.clone()..).map(Iterator::count);
        let (a, b) = (table.column::<Option<String>>("a").unwrap(), table.column::<Option<f32>>("b").unwrap());
        for predicate in [a.eq(cell.clone()), b.lt(cell.clone()), a.ge(cell.clone()), b.between(cell.clone()..), !b.is_in([cell.clone()])] {
            let _ = table.select().filter(predicate).order_by(b.desc()).limit(3).fetch::<Value>();
        }
        // The one table there is stays, whatever the name.
        let _ = (name != "t").then(|| db.drop_table(&name));
        let _ = (db.table(&name).map(drop), db.create_index("t", Index::hash([name])));
        prop_assert!(table.len().unwrap() <= 1);
    }

    #[test]
    fn schema_json_of_any_kind_is_read_or_refused(value in any_json(), text in any::<String>()) {
        let _ = serde_json::from_value::<Schema>(value.clone());
        let _ = serde_json::from_str::<Schema>(&text);
        let _ = serde_json::from_value::<Schema>(json!({ "name": "t", "columns": value.clone(), "indexes": value }));
    }
}

fn texts(db: &Database) -> Table {
    let schema = Schema::builder("texts")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("text"))
        .build()
        .unwrap();
    db.create_table(schema).unwrap()
}

#[test]
fn rows_of_huge_values_are_imported_beside_those_that_are_refused() {
    let huge = |end: &str| "x".repeat(1 << 20) + end;
    // Numbered, with keys of their own above and below, and with one that is taken.
    let rows = [
        json!({ "text": "first" }),
        json!({ "id": 100, "text": huge("above") }),
        json!({ "id": 50, "text": "below" }),
        json!({ "id": 100, "text": huge("taken") }),
        json!({ "text": huge("next") }),
        json!({ "text": "last" }),
    ];
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let db = Database::in_memory();
    let table = texts(&db);
    let imported = table.import_json_lines(lines.as_bytes(), &ImportOptions::new().on_error(OnError::Skip)).unwrap();
    assert_eq!((imported.rows, imported.skipped), (5, 1));
    let stored: Vec<(u64, String)> = table.select().fetch().unwrap();
    let ends: Vec<_> = stored.iter().map(|(id, text)| (*id, text.trim_start_matches('x'))).collect();
    assert_eq!(ends, [(1, "first"), (50, "below"), (100, "above"), (101, "next"), (102, "last")]);
    assert!(stored.iter().all(|(id, text)| (text.len() > 1 << 20) == [100, 101].contains(id)));
    assert_eq!(db.verify().unwrap(), []);

    let table = texts(&Database::in_memory());
    let refused = table.import_json_lines(lines.as_bytes(), &ImportOptions::new());
    assert!(matches!(refused, Err(Error::Import { line: 4, .. })), "{refused:?}");
    assert_eq!(table.len().unwrap(), 0);
}

#[test]
fn an_import_that_memory_is_not_enough_for_leaves_nothing() {
    let text = "x".repeat(3_000);
    // Numbered page by page, and each with a key of its own, from the highest down.
    let numbered = |_: u64| json!({ "text": text });
    let keyed = |n: u64| json!({ "id": 10_000 - n, "text": text });
    for row in [&numbered as &dyn Fn(u64) -> Value, &keyed] {
        let db = Database::builder().memory_limit(4 << 20).in_memory().unwrap();
        let table = texts(&db);
        let lines: String = (0..1_600).map(|n| format!("{}\n", row(n))).collect();
        for on_error in [OnError::Stop, OnError::Skip] {
            let imported = table.import_json_lines(lines.as_bytes(), &ImportOptions::new().on_error(on_error));
            assert!(matches!(imported, Err(Error::OutOfMemory { .. })), "{imported:?}");
            assert_eq!((table.len().unwrap(), db.verify().unwrap()), (0, vec![]));
        }
        table.insert(&json!({ "text": text })).unwrap();
    }
}
