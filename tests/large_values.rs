//! Values about and far beyond the size from which they leave the row's page, and JSON that nests deep.

#[path = "common/random.rs"]
mod random;

use folio::{Change, Column, Database, Error, Schema};
use random::Random;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Document<'a> {
    title: &'a str,
    body: Vec<u8>,
}

#[test]
fn values_of_every_size_come_back_and_move_between_page_and_block() {
    let db = Database::in_memory();
    let schema = Schema::builder("documents")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("title"))
        .column(Column::bytes("body"))
        .build()
        .unwrap();
    let table = db.create_table(schema).unwrap();
    let body = table.column::<[u8]>("body").unwrap();
    let sizes = [0, 1, 1_022, 1_023, 1_024, 1_025, 4_095, 4_096, 65_535, 65_536, 1 << 20, 16 << 20];
    let id = table.insert(&Document { title: "one", body: Vec::new() }).unwrap();
    for from in sizes {
        for to in [0, 1_023, 1_024, from, 70_000] {
            let old = Document { title: "x", body: vec![1; from] };
            table.replace(&WithId { id, document: old }).unwrap();
            let before = db.snapshot();
            table.update(id, &Patch { body: vec![2; to] }).unwrap();
            assert!(table.get(id).unwrap().unwrap().get(body) == vec![2; to]);
            let then = before.table("documents").unwrap();
            assert!(then.get(id).unwrap().unwrap().get(body) == vec![1; from]);
        }
    }
    db.drop_table("documents").unwrap();
    db.reclaim();
    assert!(db.stats().memory.used_bytes < 8 << 10);
}

#[derive(Serialize)]
struct Patch {
    body: Vec<u8>,
}

#[derive(Serialize)]
struct WithId<'a> {
    id: u64,
    #[serde(flatten)]
    document: Document<'a>,
}

/// Columns of each kind that a large value may have, with and without nulls, a row beside others of its page.
fn large_columns() -> Schema {
    Schema::builder("documents")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("title").nullable())
        .column(Column::u32("n"))
        .column(Column::bytes("body"))
        .column(Column::new("vector", "150xf64".parse().unwrap()).nullable())
        .column(Column::json("doc").nullable())
        .column(Column::string("end"))
        .build()
        .unwrap()
}

/// Some columns of a row, at least one: nulls, short values, and large ones, each told from the others by `seed`.
fn some_values(random: &mut Random, seed: u64, all: bool) -> Map<String, Value> {
    let mut values = Map::new();
    while values.is_empty() {
        for column in ["title", "n", "body", "vector", "doc", "end"] {
            if !all && random.below(3) > 0 {
                continue;
            }
            let length = [0, 7, 40, 1_023, 1_024, 3_000][random.below(6) as usize];
            let text = format!("{seed}").chars().cycle().take(length).collect::<String>();
            let is_null = random.below(5) == 0;
            let value = match column {
                "n" => json!(seed),
                "body" => json!(text.as_bytes()),
                "title" if is_null => Value::Null,
                "vector" if is_null => Value::Null,
                "vector" => json!(vec![seed as f64; 150]),
                "doc" if is_null => Value::Null,
                "doc" => json!({ "text": text }),
                _ => json!(text),
            };
            values.insert(column.into(), value);
        }
    }
    values
}

fn id_of(change: &Change<'_>) -> u64 {
    match change {
        Change::Inserted { new } | Change::Updated { new, .. } => new.id(),
        Change::Deleted { old } => old.id(),
    }
}

/// An update leaves large values of other columns where they are, whatever becomes of the others: in the row's versions
/// before, in those that are rolled back, and in what is counted.
#[test]
fn updates_beside_large_values_change_what_they_name() {
    let db = Database::in_memory();
    let table = db.create_table(large_columns()).unwrap();
    let mut random = Random(11);
    let mut model: BTreeMap<u64, Map<String, Value>> = BTreeMap::new();
    for seed in 0..70 {
        let row = some_values(&mut random, seed, true);
        let id = table.insert(&row).unwrap();
        model.insert(id, row);
    }
    let rows = |snapshot: &folio::Snapshot| -> BTreeMap<u64, Map<String, Value>> {
        let rows: Vec<Map<String, Value>> = snapshot.table("documents").unwrap().select().fetch().unwrap();
        let split = |mut row: Map<String, Value>| (row.remove("id").and_then(|id| id.as_u64()).unwrap(), row);
        rows.into_iter().map(split).collect()
    };
    let (mut before, mut then) = (db.snapshot(), model.clone());
    for step in 100..1_500 {
        let id = random.below(70) + 1;
        let patch = some_values(&mut random, step, false);
        match random.below(12) {
            0 if model.remove(&id).is_some() => assert!(table.delete(id).unwrap()),
            1 => {
                let undone = db.transaction(|tx| {
                    let table = tx.table("documents")?;
                    table.update_where(table.column::<u32>("n")?.ge(0), &patch)?;
                    Err::<(), _>(Error::abort("undone"))
                });
                assert!(undone.is_err());
            }
            2 => {
                let ids = (id, (id + 40).min(70));
                let n = table.column::<u64>("id").unwrap();
                table.update_where(n.between(ids.0..=ids.1), &patch).unwrap();
                model.range_mut(ids.0..=ids.1).for_each(|(_, row)| row.extend(patch.clone()));
            }
            3 => (before, then) = (db.snapshot(), model.clone()),
            _ if model.contains_key(&id) => {
                table.update(id, &patch).unwrap();
                model.get_mut(&id).unwrap().extend(patch);
            }
            _ => {
                let mut row = some_values(&mut random, step, true);
                row.insert("id".into(), id.into());
                table.insert(&row).unwrap();
                row.remove("id");
                model.insert(id, row);
            }
        }
        if step % 20 == 0 {
            assert_eq!(rows(&db.snapshot()), model, "step {step}");
            assert_eq!(rows(&before), then, "step {step}");
            let (now, differs) = (db.snapshot(), |id: &u64| model.get(id) != then.get(id));
            let told = before.diff(&now).unwrap();
            let told: Vec<u64> = told.iter().map(|(_, change)| id_of(change)).collect();
            assert_eq!(told, (1..=70).filter(differs).collect::<Vec<_>>(), "step {step}");
            let (figures, size) = (&db.stats().tables[0], table.size().unwrap());
            assert_eq!((figures.row_bytes, figures.index_bytes), (size.row_bytes, size.index_bytes));
        }
    }
    assert!(db.verify().unwrap().is_empty());
    drop((before, table));
    db.drop_table("documents").unwrap();
    db.reclaim();
    assert!(db.stats().memory.used_bytes < 8 << 10);
}

/// A text that becomes longer takes its row's page, and not the large values beside it.
#[test]
fn a_short_text_that_grows_does_not_copy_a_large_one() {
    let db = Database::in_memory();
    let table = db.create_table(large_columns()).unwrap();
    let body = vec![1; 1 << 20];
    let id = table.insert(&json!({ "n": 1, "body": body, "end": "" })).unwrap();
    let _before = db.snapshot();
    table.update(id, &json!({ "title": "a title", "end": "at its end" })).unwrap();
    let held = db.stats().memory.used_bytes;
    assert!(held < 3 << 19, "{held} bytes of memory for two versions of 1 MiB");
}

/// What is stored can be read: JSON that nests deeper than serde_json reads is refused.
#[test]
fn json_that_could_not_be_read_back_is_refused() {
    let db = Database::in_memory();
    let table = db.create_table(Schema::builder("t").column(Column::json("doc")).build().unwrap()).unwrap();
    let doc = table.column::<serde_json::Value>("doc").unwrap();
    let nested = |depth: usize| (0..depth).fold(json!("]"), |inner, _| json!([inner]));
    for depth in [0, 1, 126, 127] {
        let id = table.insert(&(nested(depth),)).unwrap();
        assert_eq!(table.get(id).unwrap().unwrap().get(doc), nested(depth));
    }
    let count = table.len().unwrap();
    for depth in [128, 129, 2_000] {
        assert_eq!(table.insert(&(nested(depth),)).unwrap_err().code(), "invalid-value");
        assert_eq!(table.modify(0u64, |row| row.set(doc, nested(depth))).unwrap_err().code(), "invalid-value");
    }
    // Brackets in text do not nest.
    let text = format!("\"{}\\", "[{".repeat(500));
    let id = table.insert(&(json!({ "text": text }),)).unwrap();
    assert_eq!(table.get(id).unwrap().unwrap().get(doc)["text"], text.as_str());
    assert_eq!(table.len().unwrap(), count + 1);
}
