//! A database on disk: what was committed is there when it is opened again.

use folio::storage::{Batch, Format, MemoryEngine, MemoryStorage, OpenReport, StorageEngine};
#[cfg(any(unix, windows))]
use folio::storage::{FileEngine, FileOptions};
#[cfg(any(unix, windows))]
use folio::testing::{Fault, FaultKind, Image, SimFiles};
use folio::{Column, Database, Durability, Error, Index, RowMut, Schema, Table};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(any(unix, windows))]
use std::time::Duration;

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
    if matches!(durability, Durability::Interval(_)) {
        // Its log is written a moment later.
        db.sync().unwrap();
    }
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

/// Rows and schemas, of the tables that changed and of no others, in the life that saved before and in the next one.
#[cfg(any(unix, windows))]
#[test]
fn a_checkpoint_saves_what_came_since_the_last_one() {
    for format in [Format::Binary, Format::JsonLines] {
        let files = SimFiles::new();
        let mut db = on_files(&files, format);
        let large = texts(&db);
        large.insert_many((0..3_000_u64).map(|n| (n, "text"))).unwrap();
        db.create_table(people()).unwrap();
        fill(&db);
        let stored = |db: &Database| {
            db.checkpoint().unwrap();
            let tables = db.stats().tables;
            let of = |name: &str| tables.iter().find(|table| table.name == name).unwrap().stored_bytes;
            (of("texts"), of("people"))
        };
        let first = stored(&db);
        let check_grown = |(large, small): (u64, u64), before: (u64, u64), what: &str| {
            assert!(large > before.0 && large < before.0 + first.0 / 10, "{what}: {large} for {before:?}");
            assert_eq!(small, before.1, "{what}");
        };
        large.update(7, &json!({ "text": "other" })).unwrap();
        let mut last = stored(&db);
        check_grown(last, first, "in the same life");
        drop(large);
        let has_index = |db: &Database| {
            let people = db.table("people").unwrap();
            people.schema().unwrap().indexes().iter().any(|index| index.name() == "by_photo")
        };
        for wanted in [true, false] {
            match wanted {
                true => db.create_index("people", Index::hash(["photo"]).named("by_photo")).unwrap(),
                false => db.drop_index("people", "by_photo").unwrap(),
            }
            let (large, small) = stored(&db);
            assert!(large == last.0 && small != last.1, "the schema alone is another");
            last = (large, small);
            drop(db);
            db = on_files(&files, format);
            assert_eq!(db.opening().unwrap().replayed, 0);
            assert!(has_index(&db) == wanted && db.verify().unwrap().is_empty());
            db.table("texts").unwrap().update(8, &json!({ "text": format!("{wanted}") })).unwrap();
            let now = stored(&db);
            check_grown(now, last, "in the next life");
            last = now;
        }
        assert_eq!(db.table("texts").unwrap().len().unwrap(), 3_000);
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
    assert_eq!((before.tables[0].row_bytes, before.tables[0].index_bytes), (size.row_bytes, size.index_bytes));
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
    drop((people, db));
    let again = Database::open(&directory.0).unwrap();
    let (size, loaded) = (again.table("people").unwrap().size().unwrap(), &again.stats().tables[0]);
    assert_eq!((loaded.row_bytes, loaded.index_bytes), (size.row_bytes, size.index_bytes), "pages made anew");
    assert!(Database::in_memory().stats().storage.is_none());
}

/// Rows of two tables, saved, and then changed.
#[cfg(any(unix, windows))]
fn saved_and_changed(files: &SimFiles, format: Format) -> Database {
    let options = FileOptions { format, ..FileOptions::default() };
    let engine = FileEngine::open_on(Arc::new(files.clone()), options).unwrap();
    let db = Database::builder().checkpoint_bytes(None).open_on(Arc::new(engine)).unwrap();
    for name in ["a", "b", "c"] {
        let table = db.create_table(Schema::builder(name).column(Column::u64("n")).build().unwrap()).unwrap();
        table.insert_many((0..500_u64).map(|n| (n,))).unwrap();
    }
    db.checkpoint().unwrap();
    for name in ["a", "b"] {
        db.table(name).unwrap().insert(&(500_u64,)).unwrap();
    }
    db.create_index("b", Index::ordered(["n"])).unwrap();
    db.drop_table("c").unwrap();
    db
}

/// What the files of objects hold is what the manifest names, to the byte, and the figures say the same.
#[cfg(any(unix, windows))]
fn assert_nothing_unnamed(files: &SimFiles, db: &Database, place: &str) {
    let (found, named) = found_and_named(&files.image());
    assert_eq!(found, named, "{place}");
    let stats = db.stats().storage.unwrap().engine;
    assert_eq!(stats.object_bytes, found.values().sum::<u64>(), "{place}");
}

#[cfg(any(unix, windows))]
fn assert_no_unnamed_end(files: &SimFiles, place: &str) {
    let (mut found, named) = found_and_named(&files.image());
    found.retain(|path, _| named.contains_key(path));
    assert_eq!(found, named, "{place}");
}

/// The files of objects with their lengths, as they are and as the manifest has them.
#[cfg(any(unix, windows))]
fn found_and_named(image: &Image) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
    let body: serde_json::Value = serde_json::from_slice(&image.get("manifest").unwrap()[51..]).unwrap();
    let mut named = BTreeMap::new();
    for object in body["objects"].as_array().unwrap() {
        let number = |field: &str| object[field].as_u64().unwrap();
        let end = named.entry(object["file"].as_str().unwrap().to_owned()).or_insert(0);
        *end = u64::max(*end, number("offset") + number("length"));
    }
    let found = image.files().into_iter().filter(|path| path.starts_with("data/") || path.starts_with("schema/"));
    let found = found.map(|path| (path.clone(), image.get(&path).unwrap().len() as u64)).collect();
    (found, named)
}

#[cfg(any(unix, windows))]
#[test]
fn a_checkpoint_that_finds_no_space_leaves_nothing_behind() {
    for format in [Format::Binary, Format::JsonLines] {
        let dry = SimFiles::new();
        let db = saved_and_changed(&dry, format);
        let before = dry.calls();
        db.checkpoint().unwrap();
        let (calls, mut refused) = (dry.calls() - before, 0);
        for call in 0..calls {
            let files = SimFiles::new();
            let db = saved_and_changed(&files, format);
            let place = format!("{format:?}, call {call}");
            // However often it is tried, and whether or not there is space again for a manifest without it.
            for (attempt, count) in [1, u64::MAX, 1, u64::MAX].into_iter().enumerate() {
                files.set_fault(Some(Fault { call: files.calls() + call, count, kind: FaultKind::Full }));
                let saved = db.checkpoint();
                files.set_fault(None);
                refused += u64::from(saved.is_err());
                // What was written goes at once; but a disk that stays full lets nothing be removed either, only cut.
                if matches!(saved, Err(Error::StorageFull { .. })) {
                    let place = format!("{place}, attempt {attempt}");
                    match count {
                        1 => assert_nothing_unnamed(&files, &db, &place),
                        _ => assert_no_unnamed_end(&files, &place),
                    }
                }
            }
            // What could not be removed is by the next one that is made.
            match db.table("a").unwrap().insert(&(501_u64,)).and_then(|_| db.checkpoint()) {
                Ok(_) => {}
                // Of the name of the new segment nobody knows.
                Err(Error::Poisoned { .. }) => continue,
                Err(error) => panic!("{place}: {error}"),
            }
            assert_nothing_unnamed(&files, &db, &place);
        }
        assert!(refused > 10, "{refused}");
    }
}

/// The cells of the table below a heading of PERSISTENCE.md.
fn documented(heading: &str) -> Vec<Vec<&'static str>> {
    let section = include_str!("../PERSISTENCE.md").split_once(heading).expect("the heading is there").1;
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn the_document_says_what_is_stored() {
    let engine = Arc::new(MemoryEngine::open(&MemoryStorage::default(), Format::Binary).unwrap());
    let db = Database::builder().checkpoint_bytes(None).open_on(Arc::clone(&engine) as Arc<dyn StorageEngine>).unwrap();
    let table = db.create_table(people()).unwrap();
    for n in 0..3 {
        table.insert(&json!({ "name": "n", "email": format!("e{n}") })).unwrap();
    }
    table.delete(2).unwrap();
    db.create_index("people", Index::ordered(["name"])).unwrap();
    table.clear().unwrap();
    db.drop_table("people").unwrap();
    let mut records = Vec::new();
    let mut read = |batch: Batch<'_>| {
        // What is of a table stands behind its slot, 0.
        let record = if batch.payload[..2] == [4, 0] { batch.payload[2] } else { batch.payload[0] };
        records.push(record.to_string());
        Ok(())
    };
    engine.read_from(1, &mut read).unwrap();
    let numbers = documented("### Payload of a batch, binary");
    let number = |name: &str| numbers.iter().find(|row| row[1] == name).unwrap()[0];
    let expected = ["create", "put", "put", "put", "delete", "alter", "clear", "drop"].map(number);
    assert_eq!(records, expected);
    assert_eq!((number("rows"), number("next id"), number("update"), numbers.len()), ("4", "8", "9", 9));

    let table = db.create_table(people()).unwrap();
    table.insert(&json!({ "id": 69, "name": "n", "email": "e" })).unwrap();
    db.save().unwrap();
    let manifest = engine.manifest().unwrap().checkpoint;
    let content = json!({ "form": 1, "tables": [{ "name": "people", "slot": 0, "parts": 1 }] });
    assert_eq!((manifest.content, manifest.objects.len()), (content, 2));
    let part = engine.open_object(&manifest.objects[1]).unwrap().read_to_end().unwrap();
    let types = "u64 key,string,string,f64?,bytes?";
    let fields: [&[u8]; 5] = [
        b"folio.pg",
        &1_u32.to_le_bytes(),
        &(types.len() as u32).to_le_bytes(),
        &70_u64.to_le_bytes(),
        types.as_bytes(),
    ];
    let head = documented("### Head of a part of a table, binary");
    assert_eq!(head.len(), fields.len());
    for (row, field) in head.iter().zip(fields) {
        let from: usize = row[0].parse().unwrap();
        let to = row[1].parse().unwrap_or(from + field.len());
        assert_eq!(part[from..to], *field, "{row:?}");
    }
}

/// A database on an engine in memory that makes no checkpoint by itself.
fn on_memory(format: Format) -> (Arc<MemoryEngine>, Database) {
    let engine = Arc::new(MemoryEngine::open(&MemoryStorage::default(), format).unwrap());
    let db = Database::builder().checkpoint_bytes(None).open_on(Arc::clone(&engine) as Arc<dyn StorageEngine>).unwrap();
    (engine, db)
}

/// Replays the database's log, as after a crash, and compares. Answers what it has come to.
fn assert_replays(db: &Database, log: &MemoryEngine) -> Database {
    let storage = MemoryStorage::default();
    let copy = MemoryEngine::open(&storage, log.format()).unwrap();
    copy.claim().unwrap();
    log.read_from(1, &mut |batch| copy.append(batch).map(|_| ())).unwrap();
    copy.close().unwrap();
    drop(copy);
    let again = Database::builder().open_on(Arc::new(MemoryEngine::open(&storage, log.format()).unwrap())).unwrap();
    assert!(again.opening().unwrap().replayed > 10);
    let (table, expected) = (again.table("people").unwrap(), db.table("people").unwrap());
    assert_eq!(rows(&table), rows(&expected));
    let schema = |table: &Table| serde_json::to_value(table.schema().unwrap()).unwrap();
    assert_eq!(schema(&table), schema(&expected));
    assert_eq!(again.verify().unwrap(), []);
    again
}

#[test]
fn every_single_operation_is_replayed() {
    let score = 2.0;
    let operations: [&dyn Fn(&Table); 18] = [
        &|table| assert_eq!(table.insert(&json!({ "name": "a", "email": "a" })).unwrap(), 41),
        &|table| assert_eq!(table.insert(&json!({ "id": 500, "name": "a", "email": "a" })).unwrap(), 500),
        // The key is the row's id: two rows differ then.
        &|table| table.update(2, &json!({ "id": 1000 })).unwrap(),
        &|table| table.update(9, &json!({ "id": 4 })).unwrap(),
        &|table| {
            let id = table.column::<u64>("id").unwrap();
            table.modify(3, |row| row.set(id, 77)).unwrap();
        },
        &|table| assert_eq!(table.upsert(&json!({ "id": 5, "name": "b", "email": "b" })).unwrap(), 5),
        &|table| assert_eq!(table.upsert(&json!({ "id": 600, "name": "b", "email": "b" })).unwrap(), 600),
        &|table| table.replace(&json!({ "id": 5, "name": "c", "email": "c" })).unwrap(),
        // Nothing changes.
        &|table| table.update(5, &json!({ "name": "n" })).unwrap(),
        &|table| table.replace(&json!({ "id": 5, "name": "n", "email": "e4", "score": 4.0 })).unwrap(),
        &|table| assert!(table.delete(6).unwrap()),
        &|table| assert!(!table.delete(999).unwrap()),
        &|table| {
            let column = table.column::<Option<f64>>("score").unwrap();
            assert_eq!(table.update_where(column.eq(score), &json!({ "id": 321 })).unwrap(), 1);
        },
        // Each row gets the key of another, or its unique value.
        &|table| {
            let id = table.column::<u64>("id").unwrap();
            assert_eq!(table.modify_where(id.ge(1), |row| row.set(id, row.get(id) + 1)).unwrap(), 11);
        },
        &|table| {
            let email = table.column::<str>("email").unwrap();
            let turn = |row: &mut RowMut<'_>| row.set(email, format!("e{}", (row.id() + 3) % 12));
            assert_eq!(table.modify_where(email.ge(""), turn).unwrap(), 11);
        },
        &|table| {
            let column = table.column::<Option<f64>>("score").unwrap();
            assert_eq!(table.delete_where(column.eq(score)).unwrap(), 1);
        },
        &|table| drop(table.insert_returning::<_, serde_json::Value>(&json!({ "name": "a", "email": "a" })).unwrap()),
        &|table| table.clear().unwrap(),
    ];
    for format in [Format::Binary, Format::JsonLines] {
        for (number, operation) in operations.iter().enumerate() {
            let (engine, db) = on_memory(format);
            let table = db.create_table(people()).unwrap();
            for n in 0..12_u64 {
                // Numbers are left out before the last.
                let id = if n == 11 { 40 } else { n + 1 };
                let row = json!({ "id": id, "name": "n", "email": format!("e{n}"), "score": n as f64 });
                table.insert(&row).unwrap();
            }
            table.delete(4).unwrap();
            operation(&table);
            println!("{format:?}, operation {number}");
            assert_replays(&db, &engine);
        }
    }
}

/// Numbers and lengths take more bytes as they grow; ids are told from where the last one was, in each table anew.
#[test]
fn numbers_at_the_edges_of_their_bytes_are_replayed() {
    let near = |power: u32| (1u64 << power) - 2..=(1u64 << power) + 1;
    let ids: Vec<u64> = [7, 14, 21, 28, 35, 42, 49, 56, 63].into_iter().flat_map(near).chain([u64::MAX - 1]).collect();
    for format in [Format::Binary, Format::JsonLines] {
        let (engine, db) = on_memory(format);
        let table = db.create_table(people()).unwrap();
        for (id, n) in ids.iter().zip(0..) {
            // The row's length comes by every edge, and so does that of the text in it.
            let name = "n".repeat([60, 70, 126, 127, 128, 129, 200][n % 7] + n / 7);
            table
                .insert(&json!({ "id": id, "name": name, "email": n.to_string(), "photo": vec![1; n * 900] }))
                .unwrap();
        }
        for length in (0..160).chain(16_300..16_400) {
            table.update(ids[0], &json!({ "name": "m".repeat(length) })).unwrap();
        }
        let schema = Schema::builder("beside").column(Column::u64("id").primary_key().auto_increment());
        db.create_table(schema.column(Column::u8("n")).build().unwrap()).unwrap();
        db.transaction(|tx| {
            let (people, beside) = (tx.table("people")?, tx.table("beside")?);
            for &id in ids.iter().rev() {
                beside.insert(&(id, 1))?;
                people.update(id, &json!({ "score": 0.5 }))?;
            }
            Ok(())
        })
        .unwrap();
        db.table("beside").unwrap().delete_where(|row: &folio::Row| row.id() % 2 == 1).unwrap();
        let again = assert_replays(&db, &engine);
        let beside = |db: &Database| rows(&db.table("beside").unwrap());
        assert_eq!(beside(&again), beside(&db));
        assert_eq!(beside(&again).len(), ids.iter().filter(|id| *id % 2 == 0).count());
    }
}

#[test]
fn indexes_keep_what_they_index_whatever_they_are_called() {
    for format in [Format::Binary, Format::JsonLines] {
        let (engine, db) = on_memory(format);
        let schema = Schema::builder("people")
            .column(Column::string("key").primary_key())
            .column(Column::u32("x").unique())
            .column(Column::u32("y"))
            .index(Index::ordered(["y"]).named("people_by_x"))
            .build()
            .unwrap();
        let table = db.create_table(schema).unwrap();
        for n in 0..50_u32 {
            table.insert(&(format!("k{n}"), n, n % 5)).unwrap();
        }
        // The name of the key's own index, which is not among the table's.
        db.create_index("people", Index::ordered(["y", "x"]).named("primary key")).unwrap();
        assert_eq!(db.verify().unwrap(), []);
        // The unique column's own index gets the name that is free now.
        db.drop_index("people", "people_by_x").unwrap();
        assert_eq!(db.verify().unwrap(), []);
        assert!(matches!(table.insert(&("new", 7, 1)), Err(Error::Unique { .. })));
        assert_eq!(table.find("x", 7).unwrap().unwrap().get(table.column::<str>("key").unwrap()), "k7");
        assert_replays(&db, &engine);
    }
}

#[cfg(any(unix, windows))]
fn on_files(files: &SimFiles, format: Format) -> Database {
    let options = FileOptions { format, preallocate_bytes: 0, ..FileOptions::default() };
    let engine = FileEngine::open_on(Arc::new(files.clone()), options).unwrap();
    Database::builder().checkpoint_bytes(None).open_on(Arc::new(engine)).unwrap()
}

#[cfg(any(unix, windows))]
fn texts(db: &Database) -> Table {
    let schema = Schema::builder("texts").column(Column::u64("n").primary_key()).column(Column::string("text"));
    db.ensure_table(schema.build().unwrap()).unwrap()
}

/// Rows of one page that are each larger than what is put into it at once, and behind the checkpoint a batch larger than
/// what is replayed at once, with another behind it or not.
#[cfg(any(unix, windows))]
#[test]
fn huge_values_come_back_from_the_log_and_from_a_checkpoint() {
    for (format, behind) in [(Format::Binary, 1), (Format::JsonLines, 0)] {
        let files = SimFiles::new();
        let db = on_files(&files, format);
        let table = texts(&db);
        for n in 0..2_u64 {
            table.insert(&(n, n.to_string().repeat(1_100_000))).unwrap();
        }
        db.checkpoint().unwrap();
        table.insert(&(2, "a".repeat(4_200_000))).unwrap();
        table.insert_many((0..behind).map(|n| (3 + n, "b"))).unwrap();
        let (expected, version) = (rows(&table), db.snapshot().version());
        let next = files.next_process();
        std::mem::forget((table, db));

        // Once with the log behind the checkpoint, and once without.
        for replayed in [1 + behind, 0] {
            let db = on_files(&next, format);
            assert_eq!((db.opening().unwrap().replayed, db.snapshot().version()), (replayed, version));
            assert!(rows(&db.table("texts").unwrap()) == expected);
            assert_eq!(db.verify().unwrap(), []);
        }
    }
}

/// What the log takes of an update is what changed, not the large values beside it: at once, and in the background, where
/// many updates of a row are one.
#[cfg(any(unix, windows))]
#[test]
fn updates_beside_a_huge_value_take_little_log_and_come_back() {
    for format in [Format::Binary, Format::JsonLines] {
        for durability in [Durability::Sync, Durability::Interval(Duration::from_millis(1))] {
            let files = SimFiles::new();
            let open = |files: &SimFiles| {
                let options = FileOptions { format, preallocate_bytes: 0, ..FileOptions::default() };
                let engine = FileEngine::open_on(Arc::new(files.clone()), options).unwrap();
                let builder = Database::builder().durability(durability).checkpoint_bytes(None);
                builder.open_on(Arc::new(engine)).unwrap()
            };
            let db = open(&files);
            let schema = Schema::builder("documents").column(Column::u64("id").primary_key().auto_increment());
            let schema = schema.column(Column::u64("reads")).column(Column::string("text"));
            let table = db.create_table(schema.build().unwrap()).unwrap();
            let text = "text ".repeat(200_000);
            table.insert_many((0..3).map(|_| (None::<u64>, 0, &text))).unwrap();
            db.sync().unwrap();
            let before = db.stats().storage.unwrap().unsaved_bytes;
            for reads in 1..=100_u64 {
                table.update(1 + reads % 3, &json!({ "reads": reads })).unwrap();
            }
            db.sync().unwrap();
            let taken = db.stats().storage.unwrap().unsaved_bytes - before;
            assert!(taken < 100 * 200, "{taken} bytes");
            let expected = rows(&table);
            let next = files.next_process();
            std::mem::forget((table, db));
            let db = open(&next);
            assert!(rows(&db.table("documents").unwrap()) == expected);
            assert_eq!(db.verify().unwrap(), []);
        }
    }
}

#[cfg(any(unix, windows))]
fn space_taken(files: &SimFiles) -> u64 {
    let image = files.image();
    image.files().iter().map(|path| image.get(path).unwrap().len().next_multiple_of(4096) as u64).sum()
}

#[cfg(any(unix, windows))]
#[test]
fn a_table_that_the_disk_has_no_room_for_is_saved_when_it_has() {
    for format in [Format::Binary, Format::JsonLines] {
        let files = SimFiles::new();
        let db = on_files(&files, format);
        let table = texts(&db);
        table.insert_many((0..200_u64).map(|n| (n, n.to_string().repeat(1_500)))).unwrap();
        // Room for a part of its rows.
        files.set_space(Some(space_taken(&files) + 300_000));
        for _ in 0..3 {
            let refused = db.checkpoint();
            assert!(matches!(refused, Err(Error::StorageFull { .. })), "{refused:?}");
            assert_eq!((db.stats().storage.unwrap().checkpoint, table.len().unwrap()), (0, 200));
        }
        assert_nothing_unnamed(&files, &db, "refused");
        files.set_space(None);
        assert_eq!(db.checkpoint().unwrap(), 2);
        let expected = rows(&table);
        let next = files.next_process();
        std::mem::forget((table, db));
        let db = on_files(&next, format);
        assert_eq!((db.opening().unwrap().checkpoint, db.opening().unwrap().replayed), (2, 0));
        assert_eq!(rows(&db.table("texts").unwrap()), expected);
    }
}

/// Commits of few bytes take of the log what their headers do, and ask for a checkpoint as they come to be many: in the
/// life that made them and in the next.
#[cfg(any(unix, windows))]
#[test]
fn a_commit_counts_for_its_header_too() {
    let files = SimFiles::new();
    let db = on_files(&files, Format::Binary);
    let table = texts(&db);
    table.insert(&(1_u64, "a")).unwrap();
    let figures = |db: &Database| {
        let storage = db.stats().storage.unwrap();
        (storage.unsaved_bytes, storage.engine.batch_bytes)
    };
    let before = figures(&db);
    for n in 0..100 {
        table.update(1_u64, &json!({ "text": (n % 2).to_string() })).unwrap();
    }
    let after = figures(&db);
    let (counted, taken) = (after.0 - before.0, after.1 - before.1);
    assert!((taken..taken + 100 * 16).contains(&counted), "{counted} for {taken} bytes");
    let next = files.next_process();
    std::mem::forget((table, db));
    assert_eq!(figures(&on_files(&next, Format::Binary)).0, after.0);
}

/// Where more has changed than is worth a part, the table is written once, and not the part before it.
#[cfg(any(unix, windows))]
#[test]
fn a_table_of_which_all_changed_is_written_once() {
    for format in [Format::Binary, Format::JsonLines] {
        let files = SimFiles::new();
        let db = on_files(&files, format);
        let table = texts(&db);
        let row = |n: u64| (n, format!("{n} of {}", "some text ".repeat(30)));
        table.insert_many((0..300).map(row)).unwrap();
        db.checkpoint().unwrap();
        let stored = db.stats().tables[0].stored_bytes;
        table.insert_many((300..3_000).map(row)).unwrap();
        // What is there stays until the new table is.
        files.set_space(Some(space_taken(&files) + 14 * stored));
        db.checkpoint().unwrap();
        let now = db.stats().tables[0].stored_bytes;
        assert!((9 * stored..12 * stored).contains(&now), "{now} of {stored} bytes");
        assert_nothing_unnamed(&files, &db, "written");
    }
}

/// A storage of a database with indexes, saved or as a log alone. What the fillers take comes first: so memory that is
/// limited ends at another place with each.
fn indexed(format: Format, fillers: usize, is_saved: bool) -> MemoryStorage {
    let storage = MemoryStorage::default();
    let engine = Arc::new(MemoryEngine::open(&storage, format).unwrap());
    let db = Database::builder().checkpoint_bytes(None).open_on(Arc::clone(&engine) as Arc<dyn StorageEngine>).unwrap();
    for filler in 0..fillers {
        let schema = Schema::builder(format!("filler {filler}")).column(Column::bytes("bytes")).build().unwrap();
        db.create_table(schema).unwrap().insert(&(vec![0_u8; 100 + 200 * filler],)).unwrap();
    }
    // Pages above 4 KiB, which memory is taken for one by one.
    let wide = db.create_table(Schema::builder("wide").column(Column::bytes("bytes")).build().unwrap()).unwrap();
    wide.insert_many((0..40).map(|_| (vec![7_u8; 500],))).unwrap();
    let people = db.create_table(people()).unwrap();
    for first in (0..300).step_by(100) {
        let row = |n| json!({ "name": format!("n{}", n % 7), "email": format!("e{n}"), "score": f64::from(n) });
        people.insert_many((first..first + 100).map(row)).unwrap();
    }
    people.delete_where(people.column::<str>("name").unwrap().eq("n3")).unwrap();
    if is_saved {
        return storage;
    }
    let log = MemoryStorage::default();
    let copy = MemoryEngine::open(&log, format).unwrap();
    copy.claim().unwrap();
    engine.read_from(1, &mut |batch| copy.append(batch).map(|_| ())).unwrap();
    copy.close().unwrap();
    log
}

#[test]
fn a_database_that_its_limit_of_memory_is_too_small_for_is_refused_and_stays() {
    for (format, is_saved) in
        [(Format::Binary, true), (Format::Binary, false), (Format::JsonLines, true), (Format::JsonLines, false)]
    {
        for fillers in 0..4 {
            let storage = indexed(format, fillers, is_saved);
            let open = |limit| {
                let engine = MemoryEngine::open(&storage, format).unwrap();
                Database::builder().checkpoint_bytes(None).memory_limit(limit).open_on(Arc::new(engine))
            };
            let mut refused = 0;
            let db = loop {
                match open(refused << 16) {
                    Ok(db) => break db,
                    Err(Error::OutOfMemory { .. }) => refused += 1,
                    Err(error) => panic!("{format:?}, {fillers}, {refused}: {error}"),
                }
                assert!(refused < 128);
            };
            assert!(refused > 1);
            assert_eq!(db.opening().unwrap().replayed == 0, is_saved);
            let people = db.table("people").unwrap();
            assert_eq!((people.len().unwrap(), people.find("email", "e4").unwrap().unwrap().id()), (257, 5));
            assert_eq!(db.table("wide").unwrap().len().unwrap(), 40);
            assert_eq!(db.verify().unwrap(), []);
        }
    }
}
