//! Values about and far beyond the size from which they leave the row's page, and JSON that nests deep.

use folio::{Column, Database, Schema};
use serde::Serialize;
use serde_json::json;

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
