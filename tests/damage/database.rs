//! The database that is damaged, and what it was at every version.

use folio::storage::{FileEngine, FileOptions, Format, StorageEngine};
use folio::testing::{Image, SimFiles};
use folio::{Column, Database, Index, Result, Row, Schema, Snapshot, Table};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// How the process left the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// With a clean end of the log, though not all of it is in a checkpoint: what a close leaves whose checkpoint found no
    /// space.
    Closed,
    /// In the middle of its work.
    Killed,
}

/// A table's name, and a row of it as text; or its schema.
pub(crate) type RowText = (String, String);

/// All that a version has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State(BTreeSet<RowText>);

impl State {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let mut texts = BTreeSet::new();
        for name in snapshot.table_names() {
            let table = snapshot.table(&name).unwrap();
            texts.insert((name.clone(), serde_json::to_string(table.schema().unwrap()).unwrap()));
            let before = texts.len();
            for row in table.iter().unwrap() {
                texts.insert((name.clone(), row.decode::<serde_json::Value>().unwrap().to_string()));
            }
            assert_eq!((texts.len() - before) as u64, table.len().unwrap(), "rows differ, and are counted");
        }
        Self(texts)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &RowText> {
        self.0.iter()
    }
}

/// See the module.
pub(crate) struct Case {
    pub(crate) format: Format,
    pub(crate) left: Left,
    pub(crate) options: FileOptions,
    pub(crate) image: Image,
    /// The files that are damaged.
    pub(crate) names: Vec<String>,
    /// The same directory at an earlier time.
    pub(crate) earlier: Image,
    /// By version.
    pub(crate) states: BTreeMap<u64, State>,
    /// Of all versions.
    pub(crate) rows: HashSet<RowText>,
    pub(crate) last: u64,
}

impl Case {
    pub(crate) fn new(format: Format, left: Left) -> Self {
        // Either way a little more than 16 KiB.
        let (segment_bytes, count) = if format == Format::Binary { (1_200, 15) } else { (1_500, 2) };
        let options = FileOptions { format, segment_bytes, preallocate_bytes: 256, keep_archived: false };
        let files = SimFiles::new();
        let engine = Arc::new(FileEngine::open_on(Arc::new(files.clone()), options).unwrap());
        let db = Database::builder().checkpoint_bytes(None).open_on(Arc::clone(&engine) as Arc<_>).unwrap();
        let mut states = BTreeMap::new();
        let earlier = live(&db, &files, count, &mut |db| {
            let snapshot = db.snapshot();
            states.insert(snapshot.version(), State::of(&snapshot));
        });
        let earlier = earlier.unwrap();
        let last = db.snapshot().version();
        let mut image = files.image();
        let durable = engine.manifest().unwrap().durable;
        let parts = engine.manifest().unwrap().checkpoint.objects;
        assert!(parts.iter().filter(|object| object.table() == "users").count() >= 4, "a table has several parts");
        assert!(durable < last && image.files().iter().filter(|path| path.starts_with("wal/")).count() >= 3);
        drop(engine);
        if left == Left::Closed {
            let files = SimFiles::mount(&image);
            let engine = FileEngine::open_on(Arc::new(files.clone()), options).unwrap();
            engine.claim().unwrap();
            engine.close().unwrap();
            image = files.image();
        }
        let names = image.files().into_iter().filter(|name| name != "lock").collect();
        let rows = states.values().flat_map(State::rows).cloned().collect();
        Self { format, left, options, image, names, earlier, states, rows, last }
    }
}

fn users() -> Result<Schema> {
    Schema::builder("users")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("name").unique())
        .column(Column::string("email").nullable())
        .column(Column::f64("score"))
        .index(Index::ordered(["score"]))
        .build()
}

fn entries() -> Result<Schema> {
    let text = Column::string("text");
    Schema::builder("Log Entries").column(Column::timestamp("at")).column(text).column(Column::bytes("blob")).build()
}

fn tags() -> Result<Schema> {
    Schema::builder("tags").column(Column::string("tag").primary_key()).column(Column::u32("count")).build()
}

/// A life of the database: tables made, filled, changed and dropped, with three checkpoints; `count` makes it larger. Answers
/// how it was on disk in between. `see` is called after each commit.
fn live(db: &Database, files: &SimFiles, count: u64, see: &mut dyn FnMut(&Database)) -> Result<Image> {
    see(db);
    for schema in [users()?, entries()?, tags()?] {
        db.create_table(schema)?;
        see(db);
    }
    let (users, entries, tags) = (db.table("users")?, db.table("Log Entries")?, db.table("tags")?);
    let user = |number: u64, round: u64| {
        let email = (!number.is_multiple_of(5)).then(|| format!("user.{number}@{round}.example.org"));
        json!({ "name": format!("user {number} of round {round}"), "email": email, "score": number as f64 / 7.0 })
    };
    let entry = |number: u64, length: u64| {
        let blob: Vec<u8> = (0..length % 31).map(|byte| (byte * 37 + number) as u8).collect();
        let text = format!("entry {number} {}", "of the log ".repeat(length as usize));
        (1_700_000_000_000_000_i64 + number as i64, text, blob)
    };
    let text = entries.column::<str>("text")?;
    let is_large = |row: &Row<'_>| row.get(text).len() > 1_023;
    let put = |table: &Table, numbers: std::ops::Range<u64>, round| -> Result<()> {
        table.insert_many(numbers.map(|number| user(number, round))).map(drop)
    };
    put(&users, 0..count + 6, 0)?;
    see(db);
    entries.insert_many((0..count).map(|number| entry(number, number % 7)))?;
    see(db);
    entries.insert(&entry(30, 95))?;
    see(db);
    tags.insert_many((0..count + 4).map(|number| (format!("tag {number}"), number)))?;
    see(db);
    db.checkpoint()?;
    let mut earlier = None;
    for round in 1..=2_u64 {
        put(&users, 0..6, round)?;
        see(db);
        users.update(round * 3, &json!({ "email": "moved@example.org" }))?;
        see(db);
        entries.insert(&entry(100 + round, round))?;
        see(db);
        assert_eq!(entries.update_where(is_large, &json!({ "blob": [round] }))?, 1);
        see(db);
        if round == 1 {
            earlier = Some(files.image());
        }
        db.checkpoint()?;
    }
    // The log behind the checkpoint.
    put(&users, 0..9, 3)?;
    see(db);
    // Told without its text: on an older row it makes one that was never committed.
    assert_eq!(entries.update_where(is_large, &json!({ "at": 7 }))?, 1);
    see(db);
    db.transaction(|tx| {
        tx.table("users")?.delete(5)?;
        tx.table("tags")?.update("tag 3", &json!({ "count": 333 }))?;
        tx.table("Log Entries")?.insert(&entry(200, 3)).map(drop)
    })?;
    see(db);
    db.create_index("tags", Index::ordered(["count"]))?;
    see(db);
    let passing = Schema::builder("passing").column(Column::string("text")).build()?;
    db.create_table(passing)?.insert(&("soon gone",))?;
    see(db);
    for number in 0..6 {
        users.insert(&user(number, 10))?;
        see(db);
        tags.upsert(&(format!("tag {}", number), number + 1_000))?;
        see(db);
    }
    db.drop_table("passing")?;
    see(db);
    entries.insert(&entry(300, 95))?;
    see(db);
    users.insert(&user(77, 11))?;
    see(db);
    tags.delete("tag 1")?;
    see(db);
    Ok(earlier.unwrap_or_default())
}
