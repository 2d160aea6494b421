//! A database on disk: what was committed is there when it is opened again.

use folio::storage::{Format, MemoryEngine, MemoryStorage, OpenReport};
use folio::{Column, Database, Durability, Error, Index, Schema, Table};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory of a test's own, gone at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("folio-durable-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn people() -> Schema {
    Schema::builder("people")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("name"))
        .column(Column::string("email").unique())
        .column(Column::f64("score").nullable())
        .column(Column::bytes("photo").nullable())
        .index(Index::ordered(["score"]))
        .index(Index::hash(["name"]))
        .build()
        .unwrap()
}

fn rows(table: &Table) -> Vec<serde_json::Value> {
    table.select().fetch().unwrap()
}

fn fill(db: &Database) {
    let people = db.ensure_table(people()).unwrap();
    for n in 0..100 {
        people.insert(&json!({ "name": format!("n{}", n % 7), "email": format!("e{n}"), "score": n as f64 })).unwrap();
    }
    people.update(5, &json!({ "name": "changed", "photo": vec![7; 3000] })).unwrap();
    people.delete(9).unwrap();
    db.transaction(|tx| {
        let people = tx.table("people")?;
        // Two unique values change places.
        people.update(1, &json!({ "email": "aside" }))?;
        people.update(2, &json!({ "email": "e0" }))?;
        people.update(1, &json!({ "email": "e1" }))
    })
    .unwrap();
}

fn check(db: &Database, expected: &[serde_json::Value]) {
    let people = db.table("people").unwrap();
    assert_eq!(rows(&people), expected);
    assert_eq!(people.find("email", "e0").unwrap().unwrap().id(), 2);
    let score = people.column::<Option<f64>>("score").unwrap();
    assert_eq!(people.select().filter(score.gt(89.5)).count().unwrap(), 10);
    assert_eq!(db.verify().unwrap(), []);
}

fn survives(format: Format, durability: Durability) {
    let directory = Directory::new(&format!("survives-{}-{durability:?}", format.name()).replace(['(', ')'], "-"));
    let open = || Database::builder().format(format).durability(durability).open(&directory.0).unwrap();
    let db = open();
    assert_eq!(db.opening().unwrap().log, OpenReport::Empty);
    fill(&db);
    let expected = rows(&db.table("people").unwrap());
    let version = db.snapshot().version();
    drop(db);

    let db = open();
    assert_eq!((db.opening().unwrap().log, db.opening().unwrap().replayed), (OpenReport::Clean, 0));
    assert_eq!(db.snapshot().version(), version);
    check(&db, &expected);
    // Numbers go on.
    let people = db.table("people").unwrap();
    assert_eq!(people.insert(&json!({ "name": "new", "email": "new" })).unwrap(), 101);
    assert!(matches!(people.insert(&json!({ "name": "new", "email": "new" })), Err(Error::Unique { .. })));
    let expected = rows(&people);
    // What is on disk now is what a crash of the process would leave.
    let crashed = Directory::new(&format!("crashed-{}-{durability:?}", format.name()).replace(['(', ')'], "-"));
    copy(&directory.0, &crashed.0);
    let db = Database::open(&crashed.0).unwrap();
    assert_eq!(db.opening().unwrap().replayed, 1);
    check(&db, &expected);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[test]
fn what_was_committed_is_there_again() {
    for format in [Format::Binary, Format::JsonLines] {
        for durability in [Durability::Sync, Durability::EVERY_SECOND, Durability::Buffered] {
            survives(format, durability);
        }
    }
}

#[test]
fn the_log_is_replayed_behind_a_checkpoint() {
    for format in [Format::Binary, Format::JsonLines] {
        let storage = MemoryStorage::default();
        let open = || {
            let engine = MemoryEngine::open(&storage, format).unwrap();
            Database::builder().checkpoint_bytes(None).open_on(Arc::new(engine)).unwrap()
        };
        let db = open();
        fill(&db);
        let saved = db.checkpoint().unwrap();
        let people = db.table("people").unwrap();
        people.insert(&json!({ "name": "late", "email": "late", "score": 1.0 })).unwrap();
        db.create_index("people", Index::ordered(["name"])).unwrap();
        people.delete_where(people.column::<str>("name").unwrap().eq("n3")).unwrap();
        assert_eq!(db.save().unwrap(), saved + 3);
        people.update(1, &json!({ "score": null })).unwrap();
        let expected = rows(&people);
        let fork = db.fork();
        fork.table("people").unwrap().clear().unwrap();
        drop((people, db));
        let db = open();
        assert_eq!(rows(&db.table("people").unwrap()), expected);
        assert_eq!(db.verify().unwrap(), []);
    }
}

#[test]
fn a_backup_is_a_database() {
    let directory = Directory::new("backup");
    let db = Database::in_memory();
    fill(&db);
    let expected = rows(&db.table("people").unwrap());
    db.backup_to(directory.0.join("copy")).unwrap();
    assert!(matches!(db.backup_to(directory.0.join("copy")), Err(Error::NotADatabase { .. })));
    let copy = Database::builder().name("copy").open(&directory.0).unwrap();
    assert_eq!(copy.snapshot().version(), db.snapshot().version());
    check(&copy, &expected);
    copy.table("people").unwrap().delete(3).unwrap();
    copy.close().unwrap();
    assert!(matches!(copy.table("people").unwrap().delete(4), Err(Error::Closed)));
    assert_eq!(Database::verify_at(directory.0.join("copy")).unwrap(), []);
}

#[test]
fn figures_say_where_bytes_are() {
    let directory = Directory::new("figures");
    let db = Database::builder().durability(Durability::Buffered).open(&directory.0).unwrap();
    fill(&db);
    let (people, before) = (db.table("people").unwrap(), db.stats());
    let size = people.size().unwrap();
    assert!(size.row_bytes > 3_000 && size.index_bytes > 1_000);
    assert!(size.row_bytes + size.index_bytes <= before.memory.used_bytes);
    let storage = before.storage.unwrap();
    assert_eq!((storage.checkpoint, storage.checkpoint_time, storage.waiting_commits), (0, None, 0));
    assert_eq!(storage.engine.appended, db.snapshot().version());
    assert!(storage.unsaved_bytes > 3_000 && storage.engine.batches == storage.engine.appended);
    db.save().unwrap();
    let after = db.stats();
    let storage = after.storage.unwrap();
    assert!(storage.checkpoint_time.is_some() && storage.unsaved_bytes == 0);
    assert_eq!((storage.checkpoint, storage.engine.durable), (after.version, after.version));
    assert_eq!(after.tables[0].stored_bytes, storage.engine.live_object_bytes);
    assert!(Database::in_memory().stats().storage.is_none());
}
