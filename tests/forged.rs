//! Engines that hand over what no database has stored: each of it is refused, with what is wrong and where, and stays as it
//! is. And some that do what no engine should.
#![cfg(any(unix, windows))]

#[path = "common/directory.rs"]
mod directory;

use directory::Directory;
use folio::storage::{
    Appended, Batch, Checkpoint, Damage, Format, Manifest, MemoryEngine, MemoryStorage, Object, ObjectKind,
    ObjectReader, ObjectWriter, OpenReport, Placement, Recovery, StorageEngine, StorageStats,
};
use folio::{Column, Database, Durability, Error, Result, Schema};
use serde_json::{Value, json};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What an object is, of which table, and its bytes.
type Content = (ObjectKind, &'static str, Vec<u8>);

/// A table of numbers from 0 to 255, which are its keys.
fn schema(name: &str) -> Schema {
    Schema::builder(name).column(Column::u8("n").primary_key().auto_increment()).build().unwrap()
}

fn schema_of(name: &'static str) -> Content {
    (ObjectKind::Schema, name, serde_json::to_vec(&schema(name)).unwrap())
}

fn part_of(name: &'static str, part: impl Into<Vec<u8>>) -> Content {
    (ObjectKind::Records, name, part.into())
}

const HEAD: &str = "{\"version\":1,\"next_id\":0}\n";
const END: &str = "{\"end\":{\"pages\":0,\"rows\":0}}\n";

/// The objects of an empty table as JSON Lines.
fn empty(name: &'static str) -> [Content; 2] {
    [schema_of(name), part_of(name, [HEAD, END].concat())]
}

fn content(tables: Value) -> Value {
    json!({ "form": 1, "tables": tables })
}

/// How a manifest tells of a table of one part.
fn table(name: &str, slot: u64) -> Value {
    json!({ "name": name, "slot": slot, "parts": 1 })
}

/// A storage that has these objects under a manifest of this content, and a log of these payloads.
fn storage(format: Format, objects: &[Content], content: Value, payloads: &[Vec<u8>]) -> MemoryStorage {
    let storage = MemoryStorage::default();
    let engine = MemoryEngine::open(&storage, format).unwrap();
    engine.claim().unwrap();
    let write = |(kind, table, bytes): &Content| {
        let mut object = engine.create_object(*kind, table, Placement::Append).unwrap();
        object.write(bytes).unwrap();
        object.finish().unwrap()
    };
    let objects = objects.iter().map(write).collect();
    engine.replace_manifest(0, Checkpoint { version: 0, objects, content }).unwrap();
    for (version, payload) in (1..).zip(payloads) {
        assert_eq!(engine.append(Batch { first: version, count: 1, payload }).unwrap(), Appended::At(version));
    }
    engine.close().unwrap();
    storage
}

/// What opening such an engine refuses, which to look at it says as well.
fn damage_of(engine: &dyn Fn() -> Arc<dyn StorageEngine>) -> Damage {
    let state = || {
        let engine = engine();
        (engine.recovery().clone(), engine.stats())
    };
    let before = state();
    let damage = match Database::builder().open_on(engine()) {
        Err(Error::Corrupt { file, offset, expected, found }) => Damage { file, offset, expected, found },
        other => panic!("{other:?}"),
    };
    assert_eq!(Database::verify_on(engine()).unwrap(), std::slice::from_ref(&damage));
    assert_eq!(state(), before);
    damage
}

fn assert_refused(storage: &MemoryStorage, format: Format, reason: &str) {
    let damage = damage_of(&|| Arc::new(MemoryEngine::open(storage, format).unwrap()));
    assert!(damage.to_string().contains(reason), "{damage}, not {reason}");
}

#[test]
fn a_manifest_of_other_tables_than_its_objects_is_refused() {
    let a = || empty("a").to_vec();
    let both = || empty("a").into_iter().chain(empty("b")).collect::<Vec<_>>();
    let twice = || empty("a").into_iter().chain(empty("a")).collect::<Vec<_>>();
    let turned = || empty("a").into_iter().rev().collect::<Vec<_>>();
    let renamed = || vec![(ObjectKind::Schema, "a", schema_of("b").2), empty("a")[1].clone()];
    let cases = [
        (a(), Value::Null, "manifest at byte 0: expected a form, found null"),
        (a(), json!({ "tables": [table("a", 0)] }), "manifest at byte 0: expected a form"),
        (a(), json!({ "form": 1 }), "manifest at byte 0: expected tables"),
        (a(), content(json!(5)), "manifest at byte 0: expected tables"),
        (a(), content(json!([{ "name": "a", "slot": -1, "parts": 1 }])), "manifest at byte 0: expected tables"),
        (a(), content(json!([table("b", 0)])), "expected the objects of `b`, found others"),
        (turned(), content(json!([table("a", 0)])), "expected the objects of `a`, found others"),
        (a(), content(json!([{ "name": "a", "slot": 0, "parts": 2 }])), "found too few for `a`"),
        (a(), content(json!([table("a", 0), table("b", 1)])), "found too few for `b`"),
        (both(), content(json!([table("a", 0)])), "expected objects of tables, found 2 more"),
        (both(), content(json!([table("a", 3), table("b", 3)])), "expected a slot for each table, found one for two"),
        (a(), content(json!([table("a", 4096)])), "expected slots below 4096, found 4096"),
        (twice(), content(json!([table("a", 0), table("a", 1)])), "expected a name for each table, found `a` twice"),
        (renamed(), content(json!([table("a", 0)])), "expected the schema of `a`, found that of `b`"),
    ];
    for (objects, content, reason) in cases {
        assert_refused(&storage(Format::JsonLines, &objects, content, &[]), Format::JsonLines, reason);
    }
}

#[test]
fn tables_in_any_order_and_slots_are_taken() {
    let objects: Vec<Content> = empty("b").into_iter().chain(empty("a")).collect();
    let storage = storage(Format::JsonLines, &objects, content(json!([table("b", 4095), table("a", 0)])), &[]);
    let db = Database::builder().open_on(Arc::new(MemoryEngine::open(&storage, Format::JsonLines).unwrap())).unwrap();
    assert_eq!(db.table_names(), ["a", "b"]);
    assert_eq!(db.table("b").unwrap().insert(&json!({ "n": 7 })).unwrap(), 7);
    assert_eq!(db.verify().unwrap(), []);
}

/// Whatever its part says comes next: no id is given twice.
#[test]
fn the_next_id_is_above_every_row_of_a_part() {
    for (page, id) in [(0, 3), (0, 31), (1, 36), (1, 32), (6, 200)] {
        let rows = format!("{{\"page\":{page}}}\n{{\"id\":{id},\"row\":{{\"n\":{id}}}}}\n");
        let part = format!("{HEAD}{rows}{{\"end\":{{\"pages\":1,\"rows\":1}}}}\n");
        let objects = [schema_of("a"), part_of("a", part)];
        let storage = storage(Format::JsonLines, &objects, content(json!([table("a", 0)])), &[]);
        let engine = MemoryEngine::open(&storage, Format::JsonLines).unwrap();
        let db = Database::builder().open_on(Arc::new(engine)).unwrap();
        assert_eq!(db.table("a").unwrap().insert(&json!({})).unwrap(), id + 1);
    }
}

#[test]
fn a_manifest_of_another_form_is_for_another_version() {
    for form in [0, 2, u64::MAX] {
        let content = json!({ "form": form, "tables": [table("a", 0)] });
        let storage = storage(Format::JsonLines, &empty("a"), content, &[]);
        let engine = || Arc::new(MemoryEngine::open(&storage, Format::JsonLines).unwrap());
        for refused in [Database::builder().open_on(engine()).map(drop), Database::verify_on(engine()).map(drop)] {
            let Err(Error::UnsupportedFormat { file, what, found, supported }) = refused else { panic!("{refused:?}") };
            assert_eq!((&*file, what, found, supported), ("manifest", "form", form, 1));
        }
    }
}

#[test]
fn a_part_whose_lines_do_not_follow_is_refused() {
    let cases = [
        ("{\"page\":0}\n", "expected a version, found another line"),
        (&*format!("{HEAD}{HEAD}{END}"), "expected no second version, found another line"),
        (&*format!("{HEAD}{{\"id\":0,\"row\":{{\"n\":0}}}}\n"), "expected a page before its rows, found row 0"),
        (
            &*format!("{HEAD}{{\"page\":0}}\n{{\"absent\":[1,2]}}\n{{\"id\":0,\"row\":{{\"n\":0}}}}\n"),
            "expected a page before its rows, found row 0",
        ),
        (
            &*format!("{HEAD}{{\"page\":0}}\n{{\"id\":3,\"row\":{{\"n\":3}}}}\n{{\"id\":1,\"row\":{{\"n\":1}}}}\n"),
            "expected rows of page 0 in order, found row 1",
        ),
        (
            &*format!("{HEAD}{{\"page\":0}}\n{{\"id\":3,\"row\":{{\"n\":3}}}}\n{{\"id\":36,\"row\":{{\"n\":36}}}}\n"),
            "expected rows of page 0 in order, found row 36",
        ),
        (&*format!("{HEAD}{{\"page\":0}}\n{{\"id\":0,\"row\":5}}\n"), "expected a map of columns"),
        (
            &*format!("{HEAD}{{\"page\":8}}\n{{\"id\":256,\"row\":{{\"n\":256}}}}\n"),
            "expected row ids up to 255, found page 8, row 256",
        ),
        (&*format!("{HEAD}{{\"absent\":[0,{}]}}\n{{\"page\":3}}\n", u64::MAX), "expected no more pages, found page 3"),
    ];
    for (part, reason) in cases {
        let objects = [schema_of("a"), part_of("a", part)];
        let storage = storage(Format::JsonLines, &objects, content(json!([table("a", 0)])), &[]);
        assert_refused(&storage, Format::JsonLines, reason);
    }
}

#[test]
fn a_part_of_pages_that_no_table_has_is_refused() {
    let entry = |kind: u32, first: u64, second: u64| {
        [&kind.to_le_bytes()[..], &[0; 4], &first.to_le_bytes(), &second.to_le_bytes()].concat()
    };
    let head = [b"folio.pg", &1_u32.to_le_bytes()[..], &6_u32.to_le_bytes(), &0_u64.to_le_bytes(), b"u8 key"].concat();
    let behind_the_last = [head, entry(2, 0, u64::MAX), entry(2, 0, 0), entry(3, 0, 0)].concat();
    // Row 200 of a table whose keys go on to 255, where they end at 127.
    let engine = Arc::new(MemoryEngine::open(&MemoryStorage::default(), Format::Binary).unwrap());
    let db = Database::builder().open_on(Arc::clone(&engine) as Arc<dyn StorageEngine>).unwrap();
    db.create_table(schema("a")).unwrap().insert(&(200,)).unwrap();
    db.save().unwrap();
    let manifest = engine.manifest().unwrap();
    let mut part = engine.open_object(&manifest.checkpoint.objects[1]).unwrap().read_to_end().unwrap();
    assert_eq!(&part[24..30], b"u8 key");
    // Pages come in the order of their numbers.
    let [begin, pages] = [&part[..30], &part[30..]];
    // The first entry says that those before page 6 are absent.
    let behind_later = [begin, &entry(2, 0, 9), &pages[24..]].concat();
    let behind_earlier = [begin, &entry(2, 3, 4), &entry(2, 1, 2), pages].concat();
    let backwards = [begin, &entry(2, 4, 3), pages].concat();
    part[24] = b'i';
    let signed = Schema::builder("a").column(Column::i8("n").primary_key().auto_increment()).build().unwrap();
    let signed = (ObjectKind::Schema, "a", serde_json::to_vec(&signed).unwrap());

    let cases = [
        ([schema_of("a"), part_of("a", behind_the_last)], "expected no more pages, found page 0"),
        ([schema_of("a"), part_of("a", behind_later)], "expected page 10 or later, found pages 6 to 6"),
        ([schema_of("a"), part_of("a", behind_earlier)], "expected page 5 or later, found pages 1 to 2"),
        ([schema_of("a"), part_of("a", backwards)], "expected page 0 or later, found pages 4 to 3"),
        ([signed, part_of("a", part)], "expected row ids up to 127, found page 6, row 200"),
    ];
    for (objects, reason) in cases {
        let storage = storage(Format::Binary, &objects, content(json!([table("a", 0)])), &[]);
        assert_refused(&storage, Format::Binary, reason);
    }
}

#[test]
fn a_batch_of_lines_that_say_two_things_or_none_is_refused() {
    let create = format!("{{\"create\":{},\"slot\":0}}\n", serde_json::to_string(&schema("a")).unwrap());
    let lines = [
        r#"{"table":"a"}"#,
        r#"{"table":"a","clear":false}"#,
        r#"{"table":"a","delete":1,"put":1,"row":{"n":1}}"#,
        r#"{"table":"a","delete":1,"row":{"n":1}}"#,
        r#"{"table":"a","put":1}"#,
        r#"{"table":"a","update":1}"#,
        r#"{"table":"a","update":1,"put":1,"row":{"n":1}}"#,
        r#"{"table":"a","update":1,"clear":true,"row":{"n":1}}"#,
        r#"{"table":"a","clear":true,"drop":"a"}"#,
        r#"{"table":"a","clear":true,"create":{}}"#,
        r#"{"table":"a","clear":true,"slot":0}"#,
        r#"{"table":"a","clear":true,"alter":{}}"#,
        r#"{"clear":true}"#,
        r#"{"delete":1}"#,
        r#"{"put":1}"#,
        r#"{"update":1}"#,
        r#"{"row":{"n":1}}"#,
        r#"{"next_id":9}"#,
        r#"{"drop":"a","slot":0}"#,
        r#"{"drop":"a","clear":true}"#,
        r#"{"drop":"a","delete":1}"#,
        r#"{"drop":"a","put":1}"#,
        r#"{"drop":"a","row":{"n":1}}"#,
        r#"{"drop":"a","next_id":9}"#,
        r#"{"create":{}}"#,
        "{}",
    ];
    for line in lines {
        let payloads = [create.clone().into_bytes(), format!("{line}\n").into_bytes()];
        let storage = storage(Format::JsonLines, &[], Value::Null, &payloads);
        let reason = format!("the log's batch of version 2 at byte 0: expected a line of a log, found `{line}`");
        assert_refused(&storage, Format::JsonLines, &reason);
    }
}

#[test]
fn changes_of_a_table_in_another_order_are_refused() {
    // With unique values old rows go before new ones come.
    let unique = Schema::builder("a").column(Column::u8("n").primary_key().auto_increment());
    let unique = unique.column(Column::u8("m").nullable().unique()).build().unwrap();
    let next_id = |id: u8| format!("{{\"table\":\"a\",\"next_id\":{id}}}");
    let (clear, delete) = (r#"{"table":"a","clear":true}"#.to_owned(), r#"{"table":"a","delete":1}"#.to_owned());
    for (schema, has_more) in [(schema("a"), false), (unique, true)] {
        let put = |id: u8| {
            let row = if has_more { json!({ "n": id, "m": id }) } else { json!({ "n": id }) };
            json!({ "table": "a", "put": id, "row": row }).to_string()
        };
        let create = format!("{{\"create\":{},\"slot\":0}}\n", serde_json::to_string(&schema).unwrap());
        let of = |lines: &[&String]| {
            let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
            storage(Format::JsonLines, &[], Value::Null, &[create.clone().into_bytes(), lines.into_bytes()])
        };
        let refused: [&[&String]; 9] = [
            &[&put(2), &put(1)],
            &[&put(1), &put(1)],
            &[&put(1), &delete],
            &[&put(1), &clear],
            &[&clear, &clear],
            &[&next_id(9), &put(3)],
            &[&next_id(9), &clear],
            &[&next_id(9), &next_id(10)],
            &[&put(1), &put(2), &next_id(9), &put(3)],
        ];
        for lines in refused {
            let reason = "expected a clear, then rows in the order of their ids, then a next id, found another order";
            assert_refused(&of(lines), Format::JsonLines, reason);
        }
        let storage = of(&[&clear, &put(1), &put(3), &next_id(9)]);
        let engine = MemoryEngine::open(&storage, Format::JsonLines).unwrap();
        let db = Database::builder().open_on(Arc::new(engine)).unwrap();
        assert_eq!((db.table("a").unwrap().len().unwrap(), db.verify().unwrap().len()), (2, 0));
        assert_eq!(db.table("a").unwrap().insert(&json!({})).unwrap(), 9);
    }
}

/// `bytes` with what stands where `old` is replaced, which is there once.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    let [at] = *places else { panic!("{} times", places.len()) };
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

/// Their checksums match: it is the values that are none.
#[test]
fn values_that_are_none_of_their_type_are_refused() {
    let schema = Schema::builder("a")
        .column(Column::u8("n").primary_key().auto_increment())
        .column(Column::string("text"))
        .column(Column::new("flags", "5xbool".parse().unwrap()))
        .column(Column::json("doc"))
        .column(Column::string("long"))
        .column(Column::new("wide", "300xf32".parse().unwrap()))
        .build()
        .unwrap();
    let engine = Arc::new(MemoryEngine::open(&MemoryStorage::default(), Format::Binary).unwrap());
    let db = Database::builder().open_on(Arc::clone(&engine) as Arc<dyn StorageEngine>).unwrap();
    let long = "l".repeat(2_000);
    let row = json!({ "text": "short", "flags": [true, true, true, true, true], "doc": { "key": 1 }, "long": long, "wide": vec![0.5; 300] });
    db.create_table(schema).unwrap().insert(&row).unwrap();
    let mut payloads = Vec::new();
    let note = &mut |batch: Batch<'_>| {
        payloads.push(batch.payload.to_vec());
        Ok(())
    };
    engine.read_from(1, note).unwrap();
    let middle = [b"l".repeat(1_000), b"\xFF".to_vec(), b"l".repeat(999)].concat();
    let forged: [(&[u8], &[u8], &str); 4] = [
        (b"short", b"sho\xFFt", "UTF-8"),
        (b"{\"key\":1}", b"{\"key\":}}", "a JSON document"),
        (&[1; 5], &[1, 1, 1, 1, 2], "bools of 0 or 1"),
        (long.as_bytes(), &middle, "UTF-8"),
    ];
    let [create, insert] = &*payloads else { panic!("two commits") };
    for (old, new, reason) in &forged {
        let payloads = [create.clone(), replaced(insert, old, new)];
        assert_refused(&storage(Format::Binary, &[], Value::Null, &payloads), Format::Binary, reason);
    }

    db.save().unwrap();
    let objects = engine.manifest().unwrap().checkpoint.objects;
    let read = |object: &Object| engine.open_object(object).unwrap().read_to_end().unwrap();
    let (schema, part) = ((ObjectKind::Schema, "a", read(&objects[0])), read(&objects[1]));
    let lengths: [(&[u8], &[u8], &str); 5] = [
        (&2_000_u32.to_le_bytes(), &1_023_u32.to_le_bytes(), "a large value of 1024 to"),
        (&2_000_u32.to_le_bytes(), &0_u32.to_le_bytes(), "a large value of 1024 to"),
        (&2_000_u32.to_le_bytes(), &u32::MAX.to_le_bytes(), "a large value of 1024 to"),
        (&1_200_u32.to_le_bytes(), &1_201_u32.to_le_bytes(), "a value of 1200 bytes"),
        (&1_200_u32.to_le_bytes(), &1_100_u32.to_le_bytes(), "a value of 1200 bytes"),
    ];
    for (old, new, reason) in forged.iter().chain(&lengths) {
        let objects = [schema.clone(), part_of("a", replaced(&part, old, new))];
        assert_refused(
            &storage(Format::Binary, &objects, content(json!([table("a", 0)])), &[]),
            Format::Binary,
            reason,
        );
    }
}

#[test]
fn a_number_in_a_batch_has_64_bits() {
    // The rows of a slot: seven bits a byte, of which the tenth has room for one.
    for end in [&[0x81, 0][..], &[0x02], &[0x82, 0]] {
        let payload = [&[4][..], &[0x80; 9], end].concat();
        let storage = storage(Format::Binary, &[], Value::Null, &[payload]);
        assert_refused(&storage, Format::Binary, "at byte 1: expected a slot, found a number of more than 64 bits");
    }
}

/// An engine over one in memory that does something else than it should.
struct Odd {
    engine: MemoryEngine,
    recovery: Recovery,
    before_append: Box<dyn Fn() + Send + Sync>,
    /// Whether objects go on behind their end.
    goes_on: bool,
}

impl Odd {
    fn on(storage: &MemoryStorage, format: Format) -> Self {
        let engine = MemoryEngine::open(storage, format).unwrap();
        Self { recovery: engine.recovery().clone(), engine, before_append: Box::new(|| {}), goes_on: false }
    }
}

impl StorageEngine for Odd {
    fn format(&self) -> Format {
        self.engine.format()
    }

    fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    fn claim(&self) -> Result<()> {
        self.engine.claim()
    }

    fn append(&self, batch: Batch<'_>) -> Result<Appended> {
        (self.before_append)();
        self.engine.append(batch)
    }

    fn sync(&self, through: u64) -> Result<()> {
        self.engine.sync(through)
    }

    fn appended(&self) -> u64 {
        self.engine.appended()
    }

    fn durable(&self) -> u64 {
        self.engine.durable()
    }

    fn read_from(&self, version: u64, visit: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        self.engine.read_from(version, visit)
    }

    fn seal(&self) -> Result<()> {
        self.engine.seal()
    }

    fn release_log(&self, through: u64) -> Result<()> {
        self.engine.release_log(through)
    }

    fn create_object(&self, kind: ObjectKind, table: &str, placement: Placement) -> Result<Box<dyn ObjectWriter>> {
        self.engine.create_object(kind, table, placement)
    }

    fn open_object(&self, object: &Object) -> Result<Box<dyn ObjectReader>> {
        let reader = self.engine.open_object(object)?;
        let goes_on = self.goes_on && object.kind() == ObjectKind::Records;
        Ok(if goes_on { Box::new(GoesOn(reader, false)) } else { reader })
    }

    fn manifest(&self) -> Option<Manifest> {
        self.engine.manifest()
    }

    fn replace_manifest(&self, expected: u64, checkpoint: Checkpoint) -> Result<u64> {
        self.engine.replace_manifest(expected, checkpoint)
    }

    fn stats(&self) -> StorageStats {
        self.engine.stats()
    }

    fn verify(&self, report: &mut dyn FnMut(Damage)) -> Result<()> {
        self.engine.verify(report)
    }

    fn close(&self) -> Result<()> {
        self.engine.close()
    }
}

/// Says that an object is at its end, and then gives more of it.
struct GoesOn(Box<dyn ObjectReader>, bool);

impl ObjectReader for GoesOn {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if self.1 {
            into.fill(b'\n');
            return Ok(into.len());
        }
        let read = self.0.read(into)?;
        self.1 = read == 0;
        Ok(read)
    }
}

#[test]
fn an_object_that_goes_on_behind_its_end_is_refused() {
    let storage = storage(Format::JsonLines, &empty("a"), content(json!([table("a", 0)])), &[]);
    let damage = damage_of(&|| Arc::new(Odd { goes_on: true, ..Odd::on(&storage, Format::JsonLines) }));
    assert_eq!((&*damage.expected, &*damage.found), ("the end of the part", "more"));
}

#[test]
fn a_log_that_ends_before_its_last_version_is_refused() {
    let storage = storage(Format::Binary, &[], Value::Null, &[vec![]]);
    let damage = damage_of(&|| {
        let engine = Odd::on(&storage, Format::Binary);
        let recovery = Recovery { last: 2, ..engine.recovery.clone() };
        Arc::new(Odd { recovery, ..engine })
    });
    assert_eq!(damage.to_string(), "the log at byte 0: expected versions up to 2, found an end at 1");
}

#[test]
fn a_version_that_a_copy_would_never_come_to_is_not_copied() {
    const VERSION: u64 = (1 << 52) + 1;
    let checkpoint = Checkpoint { version: VERSION, ..Checkpoint::default() };
    let manifest = Some(Manifest { generation: 0, durable: VERSION, checkpoint });
    let recovery = Recovery { manifest, last: VERSION, report: OpenReport::Clean };
    let engine = Odd { recovery, ..Odd::on(&MemoryStorage::default(), Format::Binary) };
    let db = Database::builder().open_on(Arc::new(engine)).unwrap();
    assert_eq!(db.snapshot().version(), VERSION);
    let directory = Directory::new("forged-version");
    let refused = db.backup_to(&directory);
    assert!(matches!(refused, Err(Error::Limit { limit, found: VERSION, .. }) if limit == VERSION - 1), "{refused:?}");
    assert!(matches!(Database::verify_at(&directory), Err(Error::NotADatabase { .. })));
}

#[test]
fn an_engine_that_panics_in_the_background_is_written_to_no_more() {
    let panics = Arc::new(AtomicBool::new(false));
    let planned = Arc::clone(&panics);
    let before_append = Box::new(move || {
        if planned.load(Ordering::Relaxed) {
            resume_unwind(Box::new("planned"));
        }
    });
    let engine = Odd { before_append, ..Odd::on(&MemoryStorage::default(), Format::Binary) };
    let builder = Database::builder().durability(Durability::Interval(Duration::from_secs(3600)));
    let db = builder.checkpoint_bytes(None).open_on(Arc::new(engine)).unwrap();
    let stats = || db.stats().storage.unwrap();
    let until = |is_so: &dyn Fn() -> bool| {
        let patience = Instant::now() + Duration::from_secs(30);
        while !is_so() {
            assert!(Instant::now() < patience, "{:?}", stats());
            thread::yield_now();
        }
    };
    let table = db.create_table(schema("a")).unwrap();
    until(&|| stats().unwritten_commits == 0);
    panics.store(true, Ordering::Relaxed);
    table.insert(&(1,)).unwrap();
    until(&|| stats().background_failure.is_some());
    assert_eq!(stats().background_failure.as_deref(), Some("it panicked"));
    panics.store(false, Ordering::Relaxed);
    // What the log has is not known any more. What was seen is read on.
    assert!(matches!(table.insert(&(2,)), Err(Error::Poisoned { .. })));
    assert!(matches!(db.checkpoint(), Err(Error::Poisoned { .. })));
    assert_eq!((table.len().unwrap(), stats().engine.appended), (1, 1));
    assert!(matches!(db.close(), Err(Error::Poisoned { .. })));
}
