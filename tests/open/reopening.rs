//! What is there again.

use super::directory::{Directory, copy_folder};
use super::{killed, names, tree};
use folio::storage::{Format, OpenReport};
use folio::{Column, Database, Durability, Error, Index, Schema, Timestamp};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn with_closures() -> Schema {
    Schema::builder("students")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("name").check("not blank", |name| !name.trim().is_empty()))
        .column(Column::u32("credits").default_with(|| 30_u32))
        .build()
        .unwrap()
}

#[test]
fn closures_are_given_back() {
    let directory = Directory::new("reopening-closures");
    let db = Database::open(&directory).unwrap();
    db.ensure_table(with_closures()).unwrap().insert(&json!({ "name": "Alice" })).unwrap();
    db.ensure_table(names()).unwrap();
    drop(db);

    let db = Database::open(&directory).unwrap();
    let missing = &db.opening().unwrap().missing_closures;
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].0, "students");
    assert_eq!(missing[0].1, db.table("students").unwrap().schema().unwrap().missing_closures());
    // A table without its checks is read, and takes no row.
    let students = db.table("students").unwrap();
    assert_eq!(students.len().unwrap(), 1);
    let blank = json!({ "name": " ", "credits": 1 });
    assert!(matches!(students.insert(&blank), Err(Error::MissingClosures { .. })));
    assert!(matches!(students.update(1, &json!({ "name": " " })), Err(Error::MissingClosures { .. })));
    let inside = db.transaction(|tx| tx.table("students")?.insert(&blank));
    assert!(matches!(inside, Err(Error::MissingClosures { .. })));
    let version = db.snapshot().version();
    // With them it goes on, by handles from before too.
    db.ensure_table(with_closures()).unwrap();
    assert!(matches!(students.insert(&blank), Err(Error::Check { .. })));
    assert_eq!(students.insert(&json!({ "name": "Bob" })).unwrap(), 2);
    assert_eq!(students.get(2).unwrap().unwrap().decode::<(u64, String, u32)>().unwrap().2, 30);
    assert!(db.snapshot().version() > version);
    // That they were given is no part of the log.
    let killed = killed(&directory);
    let again = Database::open(&killed).unwrap();
    assert_eq!(again.opening().unwrap().missing_closures.len(), 1);
    assert_eq!(again.table("students").unwrap().len().unwrap(), 2);
    assert!(again.verify().unwrap().is_empty());
}

#[test]
fn another_schema_is_told_by_what_differs() {
    let directory = Directory::new("reopening-differs");
    drop(Database::open(&directory).unwrap().ensure_table(names()).unwrap());
    let db = Database::open(&directory).unwrap();
    let other = |column: Column<_>| {
        let id = Column::u64("id").primary_key().auto_increment();
        Schema::builder("names").column(id).column(column).build().unwrap()
    };
    for schema in [other(Column::string("name")), other(Column::string("title").unique())] {
        let Err(Error::SchemaDiffers { table, difference }) = db.ensure_table(schema) else { panic!("it was taken") };
        assert_eq!(&*table, "names");
        assert!(difference.contains("columns[1]"), "{difference}");
    }
    // What is one more is told, not what stands before it.
    let wide = |name: &str, count: usize| {
        let columns = (0..count).map(|n| Column::u64(format!("column_{n}")));
        columns.fold(Schema::builder(name), folio::SchemaBuilder::column).build().unwrap()
    };
    db.ensure_table(wide("wide", 30)).unwrap();
    let Err(Error::SchemaDiffers { difference, .. }) = db.ensure_table(wide("wide", 31)) else {
        panic!("it was taken")
    };
    assert!(difference.starts_with("schema.columns[30] is absent, asked for {\"name\":\"column_30\""), "{difference}");
    let indexed = Schema::builder("names")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("name").unique())
        .index(Index::ordered(["name"]))
        .build()
        .unwrap();
    assert!(matches!(db.ensure_table(indexed), Err(Error::SchemaDiffers { .. })));
    db.ensure_table(names()).unwrap();
}

/// The highest row ids lie on the last page that there can be, behind which nothing is absent.
#[test]
fn rows_with_the_highest_keys_are_there_again() {
    for format in [Format::Binary, Format::JsonLines] {
        let directory = Directory::new("reopening-highest");
        let open = || Database::builder().format(format).open(&directory).unwrap();
        // Of the first, later checkpoints find its part of the tree unchanged.
        let keys = [15 << 60, 1, u64::MAX - 32, u64::MAX - 31, u64::MAX - 1, u64::MAX];
        let db = open();
        let numbered = Schema::builder("numbered").column(Column::u64("id").primary_key().auto_increment());
        let numbered = db.create_table(numbered.build().unwrap()).unwrap();
        for key in keys {
            numbered.insert(&json!({ "id": key })).unwrap();
            db.checkpoint().unwrap();
        }
        db.close().unwrap();
        assert_eq!(Database::verify_at(&directory).unwrap(), []);
        let db = open();
        let table = db.table("numbered").unwrap();
        let mut sorted = keys;
        sorted.sort_unstable();
        assert!(table.iter().unwrap().map(|row| row.id()).eq(sorted));
        // Of what was saved before, the last page goes.
        assert!(table.delete(u64::MAX).unwrap() && table.delete(u64::MAX - 1).unwrap());
        assert!(table.delete(u64::MAX - 31).unwrap());
        db.close().unwrap();
        assert!(open().table("numbered").unwrap().iter().unwrap().map(|row| row.id()).eq([1, 15 << 60, u64::MAX - 32]));
    }
}

/// Ids, numbers, keys and indexes go on where they were: from the log, from a checkpoint, from both.
#[test]
fn everything_goes_on_where_it_was() {
    for format in [Format::Binary, Format::JsonLines] {
        let directory = Directory::new(&format!("reopening-{}", format.name()));
        let open = |directory: &Directory| Database::builder().format(format).checkpoint_bytes(None).open(directory);
        let db = open(&directory).unwrap();
        let table = db.ensure_table(names()).unwrap();
        for n in 1..=50 {
            assert_eq!(table.insert(&json!({ "name": format!("n{n}") })).unwrap(), n);
        }
        // The last numbers are given, though their rows are gone, or never came to be.
        table.delete(50).unwrap();
        table.delete(49).unwrap();
        db.create_table(Schema::builder("dropped").column(Column::u64("n")).build().unwrap()).unwrap();
        db.checkpoint().unwrap();
        db.transaction(|tx| {
            tx.drop_table("dropped")?;
            let made = tx.create_table(Schema::builder("dropped").column(Column::string("s")).build()?)?;
            made.insert(&("in the same transaction",))?;
            tx.create_index("names", Index::ordered(["name"]).named("sorted"))?;
            tx.table("names")?.update(7, &json!({ "name": "seven" })).map(drop)
        })
        .unwrap();
        db.create_table(Schema::builder("empty").column(Column::u64("n")).build().unwrap()).unwrap();
        let version = db.snapshot().version();
        let killed = killed(&directory);
        drop((table, db));
        for directory in [killed, directory] {
            let db = open(&directory).unwrap();
            let opening = db.opening().unwrap();
            assert_eq!((opening.version, opening.log), (version, OpenReport::Clean));
            assert_eq!(db.table_names(), ["dropped", "empty", "names"]);
            let table = db.table("names").unwrap();
            assert_eq!((table.len().unwrap(), table.find("name", "seven").unwrap().unwrap().id()), (48, 7));
            assert!(table.schema().unwrap().indexes().iter().any(|index| index.name() == "sorted"));
            let row: (String,) = db.table("dropped").unwrap().select().first().unwrap().unwrap();
            assert_eq!(row.0, "in the same transaction");
            assert_eq!(table.insert(&json!({ "name": "next" })).unwrap(), 51);
            assert!(matches!(table.insert(&json!({ "name": "next" })), Err(Error::Unique { .. })));
            assert_eq!(db.verify().unwrap(), []);
        }
    }
}

#[test]
fn a_clean_close_leaves_nothing_to_do() {
    let directory = Directory::new("reopening-clean");
    let db = Database::open(&directory).unwrap();
    assert_eq!(db.opening().unwrap().log, OpenReport::Empty);
    assert_eq!(db.durable_version(), 0);
    db.ensure_table(names()).unwrap().insert(&json!({ "name": "a" })).unwrap();
    db.close().unwrap();
    let again = Database::open(&directory).unwrap();
    let opening = again.opening().unwrap().clone();
    assert_eq!((opening.log, opening.checkpoint, opening.version, opening.replayed), (OpenReport::Clean, 2, 2, 0));
    assert_eq!(again.durable_version(), 2);
    drop(again);
    assert_eq!(Database::verify_at(&directory).unwrap(), []);
    // Looking changes nothing.
    let before = tree(&directory.0);
    Database::verify_at(&directory).unwrap();
    assert_eq!(tree(&directory.0), before);
}

#[test]
fn a_write_within_a_write_is_refused_and_nothing_of_it_is_stored() {
    let directory = Directory::new("reopening-reentrant");
    let db = Database::open(&directory).unwrap();
    let table = db.ensure_table(names()).unwrap();
    db.transaction(|tx| {
        assert!(matches!(table.insert(&json!({ "name": "inside" })), Err(Error::Reentrant)));
        assert!(matches!(db.close(), Err(Error::Reentrant)));
        // What does not write goes on within.
        db.durable_version();
        tx.table("names")?.insert(&json!({ "name": "by the transaction" }))
    })
    .unwrap();
    let rolled_back = db.transaction(|tx| -> folio::Result<()> {
        tx.create_table(Schema::builder("never").column(Column::u64("n")).build()?)?;
        tx.table("names")?.insert(&json!({ "name": "never" }))?;
        Err(Error::abort("changed my mind"))
    });
    assert!(matches!(rolled_back, Err(Error::Aborted { .. })));
    table.insert(&json!({ "name": "later" })).unwrap();
    let expected: Vec<(u64, String)> = table.select().fetch().unwrap();
    let killed = killed(&directory);
    let again = Database::open(&killed).unwrap();
    assert_eq!(again.table_names(), ["names"]);
    assert_eq!(again.table("names").unwrap().select().fetch::<(u64, String)>().unwrap(), expected);
    assert_eq!(again.snapshot().version(), 3);
}

#[test]
fn memory_has_a_limit_that_stops_writes_and_openings_only() {
    let directory = Directory::new("reopening-memory");
    let limited = |bytes| Database::builder().durability(Durability::Buffered).memory_limit(bytes).open(&directory);
    let db = limited(4 << 20).unwrap();
    let table = db.ensure_table(names()).unwrap();
    let big = |n| json!({ "name": format!("{n} {}", "x".repeat(60_000)) });
    let mut stored = 0;
    let error = loop {
        match table.insert(&big(stored)) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::OutOfMemory { .. }) && stored > 10, "{stored} rows, then {error}");
    assert_eq!(table.len().unwrap(), stored);
    table.delete(1).unwrap();
    drop((table, db));
    let before = tree(&directory.0);
    assert!(matches!(limited(1 << 20), Err(Error::OutOfMemory { .. })));
    assert_eq!(tree(&directory.0), before);
    let db = Database::open(&directory).unwrap();
    assert_eq!(db.table("names").unwrap().len().unwrap(), stored - 1);
    assert_eq!(db.verify().unwrap(), []);
}

/// A log of few bytes may replace all there is: what it replaces comes back while it is replayed.
#[test]
fn replaying_takes_no_second_copy_of_the_rows() {
    let directory = Directory::new("reopening-replaced");
    let builder = || Database::builder().durability(Durability::Buffered).checkpoint_bytes(None);
    let db = builder().open(&directory).unwrap();
    let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("text"));
    let table = db.create_table(schema.build().unwrap()).unwrap();
    let text = "x".repeat(1_000);
    table.insert_many((0..16_000).map(|n| (n, &text))).unwrap();
    db.checkpoint().unwrap();
    for n in 0..16_000_u64 {
        table.update(n * 7 % 16_000, &json!({ "n": n * 3 })).unwrap();
    }
    let live = db.stats().memory.reserved_bytes;
    let again = builder().memory_limit(live / 4 * 5).open(killed(&directory)).unwrap();
    assert_eq!(again.opening().unwrap().replayed, 16_000);
    assert_eq!(again.table("t").unwrap().size().unwrap().row_bytes, table.size().unwrap().row_bytes);
}

/// What was stored under a limit can be opened under it, and room be made.
#[test]
fn a_database_at_its_limit_opens_again() {
    for (case, bytes) in [5_000, 1_100, 1_000, 20, 5_000].into_iter().enumerate() {
        for limit in [6 << 20, 12 << 20] {
            let directory = Directory::new("reopening-full");
            let open = |path: &Path| {
                Database::builder().durability(Durability::Buffered).memory_limit(limit).open(path).map(|db| {
                    let table = db.table("t");
                    (db, table)
                })
            };
            let (db, _) = open(&directory.0).unwrap();
            let schema = Schema::builder("t")
                .column(Column::u64("id").primary_key().auto_increment())
                .column(Column::i64("n"))
                .column(Column::string("s"))
                .column(Column::bytes("b").nullable())
                .index(Index::ordered(["n"]));
            let table = db.create_table(schema.build().unwrap()).unwrap();
            let row = |n: i64| {
                let wide = (case % 2 == 0 || n % 4 == 0).then(|| "b".repeat(bytes));
                json!({ "n": n * 7 % 1_000, "s": "", "b": wide.map(|wide| wide.into_bytes()) })
            };
            let error = (0..).map(|n| table.insert(&row(n))).find_map(Result::err);
            assert!(matches!(error, Some(Error::OutOfMemory { .. })), "{error:?}");
            let lengthened = (1..).map(|id| table.update(id, &json!({ "s": "longer" }))).find_map(Result::err);
            assert!(lengthened.is_some());
            let rows = table.len().unwrap();
            let killed = killed(&directory);
            drop((table, db));
            for path in [&directory.0, &killed.0] {
                let (db, table) = open(path).unwrap_or_else(|error| panic!("{case}, {limit}: {error}"));
                let table = table.unwrap();
                assert_eq!(table.len().unwrap(), rows);
                assert!((1..=rows).rev().all(|id| table.delete(id).unwrap()));
                table.insert(&row(0)).unwrap();
                assert_eq!(db.verify().unwrap(), []);
            }
        }
    }
}

#[test]
fn the_time_is_that_of_the_given_clock() {
    let directory = Directory::new("reopening-clock");
    let micros = Arc::new(AtomicI64::new(1_000));
    let clock = Arc::clone(&micros);
    let tick = move || Timestamp::from_micros(clock.fetch_add(1, Ordering::Relaxed));
    let db = Database::builder().clock(tick).open(&directory).unwrap();
    db.transaction(|tx| {
        assert_eq!(tx.now(), Timestamp::from_micros(1_000));
        micros.store(5_000, Ordering::Relaxed);
        // Once read, it stands still for the transaction.
        assert_eq!(tx.now(), Timestamp::from_micros(1_000));
        tx.create_table(names()).map(drop)
    })
    .unwrap();
    assert_eq!(db.transaction(|tx| Ok(tx.now())).unwrap(), Timestamp::from_micros(5_000));
    assert_eq!(db.fork().transaction(|tx| Ok(tx.now())).unwrap(), Timestamp::from_micros(5_001));
    assert_eq!(db.stats().storage.unwrap().checkpoint_time, None);
    db.checkpoint().unwrap();
    assert_eq!(db.stats().storage.unwrap().checkpoint_time, Some(Timestamp::from_micros(5_002)));
}

/// A process that is killed each time before it has written much: what the openings replay counts too.
#[test]
fn many_short_lives_come_to_a_checkpoint() {
    let mut directory = Directory::new("reopening-lives");
    let (mut replayed_most, mut checkpoints) = (0, 0);
    for life in 0..12 {
        let builder = Database::builder().durability(Durability::Buffered).checkpoint_bytes(50_000);
        let db = builder.open(&directory).unwrap();
        let table = db.ensure_table(names()).unwrap();
        assert_eq!(table.len().unwrap(), 100 * life);
        replayed_most = replayed_most.max(db.opening().unwrap().replayed);
        for n in 0..100 {
            table.insert(&json!({ "name": format!("{life} {n} {}", "x".repeat(100)) })).unwrap();
        }
        let unsaved = || db.stats().storage.unwrap().unsaved_bytes;
        let patience = Instant::now() + Duration::from_secs(30);
        while unsaved() > 50_000 {
            assert!(Instant::now() < patience, "no checkpoint");
            thread::yield_now();
        }
        checkpoints += u64::from(db.stats().storage.unwrap().checkpoint > db.opening().unwrap().checkpoint);
        let next = Directory::new(&format!("reopening-lives-{life}"));
        copy_folder(&directory.0, &next.0);
        drop((table, db));
        directory = next;
    }
    assert!((200..500).contains(&replayed_most) && checkpoints > 0, "{replayed_most} {checkpoints}");
}

/// What was left by a process that made no checkpoints is saved although nothing more is written.
#[test]
fn a_long_log_is_saved_by_opening_it() {
    let directory = Directory::new("reopening-long");
    let killed = Directory::new("reopening-long-killed");
    {
        let builder = Database::builder().durability(Durability::Buffered).checkpoint_bytes(None);
        let db = builder.open(&directory).unwrap();
        let table = db.create_table(names()).unwrap();
        for n in 0..200 {
            table.insert(&json!({ "name": format!("{n} {}", "x".repeat(100)) })).unwrap();
        }
        copy_folder(&directory.0, &killed.0);
    }
    let db = Database::builder().checkpoint_bytes(10_000).open(&killed).unwrap();
    assert_eq!(db.opening().unwrap().replayed, 201);
    let patience = Instant::now() + Duration::from_secs(30);
    while db.stats().storage.unwrap().checkpoint < 201 {
        assert!(Instant::now() < patience, "no checkpoint");
        thread::yield_now();
    }
}
