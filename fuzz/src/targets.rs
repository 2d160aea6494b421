//! What a fuzzer feeds: each function takes any bytes and puts them in the place of something that is stored.
//!
//! What is asked each time: no panic; an answer that is an error, or a database whose rows, counts and indexes agree, which
//! can be saved, and is the same when it is opened again. An error has changed no file.
//!
//! Behind a checksum random bytes do not come far. So batches, checkpoints and the manifest's body are also put where none
//! guards them: into a [`MemoryEngine`], and under a checksum made for them.

use folio::storage::{
    Batch, Checkpoint, FileEngine, FileOptions, Files, Format, MemoryEngine, MemoryStorage, ObjectKind, Placement,
    StorageEngine,
};
use folio::testing::{Image, SimFiles};
use folio::{Column, Database, DatabaseBuilder, Durability, ErrorKind, ImportOptions, Index, OnError, Schema};
use serde_json::Value;
use std::sync::{Arc, OnceLock};

/// Takes any bytes, and answers whether what they stand for was taken.
pub type Target = fn(&[u8]) -> bool;

/// Every target with its name, which is that of its folder in `corpus`.
pub const TARGETS: [(&str, Target); 8] = [
    ("log", log),
    ("batch", batch),
    ("checkpoint", checkpoint),
    ("json_lines", json_lines),
    ("manifest", manifest),
    ("schema", schema),
    ("import", import),
    ("directory", directory),
];

/// The segment of the log that is being written, of a database on files; the first byte's lowest bit chooses the format.
pub fn log(data: &[u8]) -> bool {
    let (format, data) = chosen(data);
    judge_files(&golden(format).with("wal/transaction.log", Some(data.to_vec())))
}

/// The payload of a batch in binary, replayed behind a checkpoint.
pub fn batch(data: &[u8]) -> bool {
    judge_stored(Format::Binary, None, Some(data))
}

/// A part of a table in binary; the first byte's lowest bit chooses the table.
pub fn checkpoint(data: &[u8]) -> bool {
    let (table, data) = choice(data);
    judge_stored(Format::Binary, Some((table & 1, data)), None)
}

/// The same two as JSON Lines: the first byte chooses between the table's parts (0, 1) and a batch (2, 3).
pub fn json_lines(data: &[u8]) -> bool {
    match choice(data) {
        (place, data) if place & 2 == 0 => judge_stored(Format::JsonLines, Some((place & 1, data)), None),
        // An engine takes whole lines only.
        (_, data) if data.last() == Some(&b'\n') => judge_stored(Format::JsonLines, None, Some(data)),
        (_, data) => judge_stored(Format::JsonLines, None, Some(&[data, b"\n"].concat())),
    }
}

/// The manifest: the file as it is, or (bit 1 of the first byte) its body under a head made for it.
pub fn manifest(data: &[u8]) -> bool {
    let (format, body) = chosen(data);
    let is_body = data.first().is_some_and(|first| first & 2 != 0);
    let file = if is_body { with_head(body) } else { body.to_vec() };
    judge_files(&golden(format).with("manifest", Some(file)))
}

/// A schema's JSON form: what is read prints, and reads, the same again, and makes a table.
pub fn schema(data: &[u8]) -> bool {
    let Ok(schema) = serde_json::from_slice::<Schema>(data) else { return false };
    let text = serde_json::to_vec(&schema).expect("a schema has a JSON form");
    let again: Schema = serde_json::from_slice(&text).expect("what was written is read");
    assert_eq!(serde_json::to_vec(&again).expect("as before"), text);
    let db = Database::in_memory();
    let table = db.create_table(schema).expect("what is valid can be made");
    assert_eq!(table.len().expect("it is there"), 0);
    assert_eq!(db.verify().expect("memory is read"), []);
    true
}

/// An import into a database that has rows: the first byte chooses what is read, and (bit 3) whether bad records are passed
/// over. What is refused has changed nothing.
pub fn import(data: &[u8]) -> bool {
    let (how, data) = choice(data);
    let db = Database::in_memory();
    fill(&db).expect("the rows fit");
    let before = db.snapshot();
    let people = db.table("people").expect("it was made");
    let options = ImportOptions::new().on_error(if how & 8 == 0 { OnError::Stop } else { OnError::Skip });
    let imported = match how & 7 {
        0 => db.import_json(data, &options),
        1 => db.import_json_lines(data, &options),
        2 => people.import_json(data, &options),
        3 => people.import_json_lines(data, &options),
        _ => people.import_csv(data, &options),
    };
    assert_eq!(db.verify().expect("memory is read"), []);
    let after = db.snapshot();
    if imported.is_err() {
        assert!(before.diff(&after).expect("of one database").is_empty());
        assert_eq!(before.table_names(), after.table_names());
    }
    imported.is_ok()
}

/// A whole directory: edits of a good one. Each is a byte that names a file, a byte that says how, and two bytes of a
/// length; then so many bytes. The first byte of all chooses the format.
pub fn directory(data: &[u8]) -> bool {
    let (format, mut data) = chosen(data);
    let mut image = golden(format);
    let paths = image.files();
    while let [path, how, low, high, rest @ ..] = data {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (bytes, rest) = rest.split_at(length);
        data = rest;
        let path = &paths[usize::from(*path) % paths.len()];
        let old = image.get(path).unwrap_or_default().to_vec();
        let new = match how % 4 {
            0 => Some(bytes.to_vec()),
            1 => Some([&old[..], bytes].concat()),
            // In its middle, wherever the first bytes say.
            2 => Some(overwrite(old, bytes)),
            _ => None,
        };
        image = image.with(path, new);
    }
    judge_files(&image)
}

fn overwrite(mut old: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    let [low, high, new @ ..] = bytes else { return old };
    let at = usize::from(u16::from_le_bytes([*low, *high])) % (old.len() + 1);
    for (old, new) in old[at..].iter_mut().zip(new) {
        *old = *new;
    }
    old
}

fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

fn chosen(data: &[u8]) -> (Format, &[u8]) {
    let (first, rest) = choice(data);
    (if first & 1 == 0 { Format::Binary } else { Format::JsonLines }, rest)
}

fn builder() -> DatabaseBuilder {
    Database::builder().durability(Durability::Buffered).checkpoint_bytes(None)
}

/// All rows of all tables, readable.
fn content(db: &Database) -> Vec<String> {
    let snapshot = db.snapshot();
    let mut content = Vec::new();
    for name in snapshot.table_names() {
        let table = snapshot.table(&name).expect("it was listed");
        content.push(table.schema().expect("it is there").to_string());
        content.extend(table.iter().expect("it is there").map(|row| format!("{} {row:?}", row.id())));
    }
    content
}

/// Opens twice what `open` opens.
fn judge(open: impl Fn() -> folio::Result<Database>) -> Result<(), ErrorKind> {
    let db = open().map_err(|error| {
        assert!(!error.to_string().is_empty());
        let kind = error.kind();
        let is_named = matches!(kind, ErrorKind::Corrupt | ErrorKind::Limit | ErrorKind::Usage);
        assert!(is_named, "an error of the kind {kind:?}: {error}");
        kind
    })?;
    let expected = content(&db);
    let of_memory = |damage: &folio::storage::Damage| damage.file.ends_with("in memory");
    let damages = db.verify().expect("everything can be read");
    assert!(!damages.iter().any(of_memory), "{damages:?}");
    // Whole once more: what is damaged and was not needed so far is left behind.
    db.compact().expect("what was opened can be saved");
    db.close().expect("and closed");
    let again = open().expect("what was saved can be opened");
    assert_eq!(content(&again), expected);
    assert_eq!(again.verify().expect("everything can be read"), []);
    Ok(())
}

fn judge_files(image: &Image) -> bool {
    let files = Arc::new(SimFiles::mount(image));
    let engine = || FileEngine::open_on(Arc::clone(&files) as Arc<dyn Files>, FileOptions::default());
    let damages = engine().and_then(|engine| Database::verify_on(Arc::new(engine)));
    let result = judge(|| builder().open_on(Arc::new(engine()?)));
    if result.is_err() {
        assert!(files.image() == *image, "an opening that failed has changed files");
        assert!(damages.is_err() || damages.is_ok_and(|damages| !damages.is_empty()), "verify has seen nothing");
    }
    result.is_ok()
}

/// A database on files that the first version wrote.
fn golden(format: Format) -> Image {
    static IMAGES: OnceLock<[Image; 2]> = OnceLock::new();
    let images = IMAGES.get_or_init(|| [image(&BINARY), image(&JSON_LINES)]);
    images[usize::from(format == Format::JsonLines)].clone()
}

fn image(contents: &[(&str, &[u8])]) -> Image {
    let files = SimFiles::new();
    for folder in ["data", "schema", "wal"] {
        files.create_folder(folder).expect("nothing is there");
    }
    contents.iter().fold(files.image(), |image, (path, content)| image.with(path, Some(content.to_vec())))
}

macro_rules! files {
    ($format:literal: $($path:literal)*) => {
        [$(($path, include_bytes!(concat!("../../tests/golden/", $format, "-1/", $path)))),*]
    };
}

const BINARY: [(&str, &[u8]); 14] = files!("binary":
    "lock" "manifest" "wal/transaction.00000000000000000089.log" "wal/transaction.log"
    "data/%50airs%2f%ce%b2.records" "data/dropped.records" "data/emptied.records" "data/people.records"
    "data/types.records" "schema/%50airs%2f%ce%b2.schema.json" "schema/dropped.schema.json" "schema/emptied.schema.json"
    "schema/people.schema.json" "schema/types.schema.json");

const JSON_LINES: [(&str, &[u8]); 16] = files!("json-lines":
    "lock" "manifest" "wal/transaction.00000000000000000089.log" "wal/transaction.00000000000000000103.log"
    "wal/transaction.00000000000000000109.log" "wal/transaction.log" "data/%50airs%2f%ce%b2.records"
    "data/dropped.records" "data/emptied.records" "data/people.records" "data/types.records"
    "schema/%50airs%2f%ce%b2.schema.json" "schema/dropped.schema.json" "schema/emptied.schema.json"
    "schema/people.schema.json" "schema/types.schema.json");

/// A manifest's head, for this body.
fn with_head(body: &[u8]) -> Vec<u8> {
    let start = format!("folio manifest 00001 {:020} ", body.len());
    let checksum = crc32(&[start.as_bytes(), body].concat());
    [start.as_bytes(), format!("{checksum:08x}\n").as_bytes(), body].concat()
}

/// CRC-32 (IEEE), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

/// What a small database of two tables has stored.
struct Stored {
    version: u64,
    /// Each table's schema and part.
    tables: Vec<(String, [Vec<u8>; 2])>,
    content: Value,
}

fn stored(format: Format) -> &'static Stored {
    static STORED: [OnceLock<Stored>; 2] = [const { OnceLock::new() }; 2];
    STORED[usize::from(format == Format::JsonLines)].get_or_init(|| {
        let storage = MemoryStorage::default();
        let open = || Arc::new(MemoryEngine::open(&storage, format).expect("it is closed"));
        let db = builder().open_on(open()).expect("an empty storage is opened");
        fill(&db).expect("the rows are valid");
        db.close().expect("memory does not fail");
        let engine = open();
        let checkpoint = engine.manifest().expect("it was closed").checkpoint;
        let read =
            |object| engine.open_object(object).and_then(|mut reader| reader.read_to_end()).expect("it is there");
        let tables =
            checkpoint.objects.chunks(2).map(|pair| (pair[0].table().into(), [read(&pair[0]), read(&pair[1])]));
        Stored { version: checkpoint.version, tables: tables.collect(), content: checkpoint.content }
    })
}

/// Makes the tables that batches and parts are fed to.
pub fn fill(db: &Database) -> folio::Result<()> {
    let people = Schema::builder("people")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("name"))
        .column(Column::string("email").unique().nullable())
        .column(Column::f64("score").nullable())
        .column(Column::bytes("photo").nullable())
        .column(Column::uuid("uuid").nullable())
        .column(Column::timestamp("since").nullable())
        .column(Column::json("notes").nullable())
        .column(Column::array("place", "2xf32".parse().expect("a type")).nullable())
        .column(Column::bool("active").nullable())
        .index(Index::ordered(["score", "name"]))
        .index(Index::hash(["name"]))
        .build()?;
    let pairs = Schema::builder("pairs")
        .column(Column::i32("a"))
        .column(Column::string("b"))
        .column(Column::u16("n").nullable())
        .primary_key(["a", "b"])
        .index(Index::ordered(["n"]))
        .build()?;
    let (people, pairs) = (db.create_table(people)?, db.create_table(pairs)?);
    for n in 0..40_u32 {
        people.insert(&serde_json::json!({
            "name": format!("n{}", n % 5), "email": format!("e{n}"), "score": f64::from(n) / 2.0,
            "photo": vec![n as u8; if n == 7 { 1_100 } else { 3 }], "uuid": "67e55044-10b1-426f-9247-bb680e5fe0c8",
            "since": "2024-02-29T12:00:00Z", "notes": { "n": [n, null] }, "place": [n, 0.5], "active": n % 2 == 0,
        }))?;
        pairs.insert(&(n as i32 - 20, format!("b{}", n % 3), (n % 4 > 0).then_some(n)))?;
    }
    people.delete(9)?;
    people.insert(&serde_json::json!({ "name": "only a name" })).map(drop)
}

/// Opens what is stored with this part in place of a table's own, or with this batch behind it.
fn judge_stored(format: Format, part: Option<(u8, &[u8])>, batch: Option<&[u8]>) -> bool {
    let storage = MemoryStorage::default();
    store(&storage, format, part, batch).expect("memory takes everything");
    judge(|| builder().open_on(Arc::new(MemoryEngine::open(&storage, format)?))).is_ok()
}

fn store(
    storage: &MemoryStorage,
    format: Format,
    part: Option<(u8, &[u8])>,
    batch: Option<&[u8]>,
) -> folio::Result<()> {
    let Stored { version, tables, content } = stored(format);
    let engine = MemoryEngine::open(storage, format)?;
    engine.claim()?;
    let _ = engine.append(Batch { first: 1, count: *version as u32, payload: b"" })?;
    let mut objects = Vec::new();
    for (place, (table, [schema, rows])) in (0..).zip(tables) {
        let rows = part.filter(|(changed, _)| *changed == place).map_or(&rows[..], |(_, bytes)| bytes);
        for (kind, bytes) in [(ObjectKind::Schema, &schema[..]), (ObjectKind::Records, rows)] {
            let mut object = engine.create_object(kind, table, Placement::Replace)?;
            object.write(bytes)?;
            objects.push(object.finish()?);
        }
    }
    let generation = engine.manifest().map_or(0, |manifest| manifest.generation);
    engine.replace_manifest(generation, Checkpoint { version: *version, objects, content: content.clone() })?;
    if let Some(payload) = batch {
        let _ = engine.append(Batch { first: version + 1, count: 1, payload })?;
    }
    engine.close()
}
