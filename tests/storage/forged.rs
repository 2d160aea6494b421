//! Bytes that are whole by all their checksums, and that no engine has written so.

use super::workload::{open, options};
use folio::Error;
use folio::storage::{Appended, Batch, Checkpoint, Format, ObjectKind, OpenReport, Placement, StorageEngine};
use folio::testing::{Image, SimFiles};
use serde_json::{Value, json};

const LIVE: &str = "wal/transaction.log";

/// A manifest with this body.
fn manifest(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let line = format!("folio manifest 00001 {:020} ", body.len());
    let checksum = crc32fast::hash([line.as_bytes(), body.as_bytes()].concat().as_slice());
    format!("{line}{checksum:08x}\n{body}").into_bytes()
}

/// The body of the manifest that is there.
fn body(image: &Image) -> Value {
    serde_json::from_slice(&image.get("manifest").unwrap()[51..]).unwrap()
}

/// The number of the log.
pub(crate) fn log(image: &Image) -> u64 {
    u64::from_str_radix(body(image)["log"].as_str().unwrap(), 16).unwrap()
}

/// The header of a binary segment.
fn segment(log: u64, first: u64, synced: u64) -> Vec<u8> {
    let mut bytes = [&b"FOLIOLOG\x01\0\0\0\0\0\0\0"[..], &log.to_le_bytes(), &first.to_le_bytes()].concat();
    bytes.extend([synced, 7].into_iter().flat_map(u64::to_le_bytes));
    bytes.extend([0; 12]);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// A binary frame that makes one version.
pub(crate) fn frame(log: u64, first: u64, synced: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [&b"\xf0BAT\x01\0\0\0"[..], &log.to_le_bytes(), &first.to_le_bytes()].concat();
    bytes.extend([1, crc32fast::hash(payload)].into_iter().flat_map(u32::to_le_bytes));
    bytes.extend([payload.len() as u64, synced].into_iter().flat_map(u64::to_le_bytes));
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes.extend(payload);
    bytes
}

/// Three batches, the first two under a checkpoint with an object. Closed.
fn directory(format: Format) -> Image {
    let files = SimFiles::new();
    let engine = open(&files, options(format)).unwrap();
    engine.claim().unwrap();
    for first in 1..=3 {
        assert_eq!(engine.append(Batch { first, count: 1, payload: b"{}\n" }).unwrap(), Appended::At(first));
    }
    let mut writer = engine.create_object(ObjectKind::Records, "t", Placement::Append).unwrap();
    writer.write(b"rows").unwrap();
    let checkpoint = Checkpoint { version: 2, objects: vec![writer.finish().unwrap()], content: Value::Null };
    engine.replace_manifest(engine.manifest().unwrap().generation, checkpoint).unwrap();
    engine.close().unwrap();
    files.image()
}

/// What an opening says is damaged: the file, at which byte, what should be there and what is. It changes nothing.
fn damage(image: &Image) -> (String, u64, String, String) {
    let files = SimFiles::mount(image);
    let opened = open(&files, options(Format::Binary));
    assert_eq!(files.operations(), 0);
    match opened {
        Err(Error::Corrupt { file, offset, expected, found }) => (file.into(), offset, expected.into(), found.into()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_manifest_that_cannot_be_is_corrupt() {
    let image = directory(Format::Binary);
    let whole = body(&image);
    assert!(open(&SimFiles::mount(&image.with("manifest", Some(manifest(&whole)))), options(Format::Binary)).is_ok());
    for (field, value, expected) in [
        ("/objects/0/checksum", json!("123456789"), "an object with a checksum, within a file"),
        ("/objects/0/checksum", json!("none"), "an object with a checksum, within a file"),
        ("/objects/0/offset", json!(u64::MAX), "an object with a checksum, within a file"),
        ("/objects/0/file", json!("data/../manifest"), "the file of an object"),
        ("/objects/0/file", json!(format!("data/{}.records", "t".repeat(129))), "the file of an object"),
        ("/records", json!("text"), "a record format"),
        ("/log", json!("none"), "the number of a log"),
        ("/segment", json!(""), "the number of a segment"),
        ("/durable", json!(1), "a log that is durable up to the checkpoint"),
        ("/durable", json!(-1), "the fields of a manifest"),
    ] {
        let mut body = whole.clone();
        *body.pointer_mut(field).unwrap() = value;
        let (file, offset, found, _) = damage(&image.with("manifest", Some(manifest(&body))));
        assert_eq!((&*file, offset, &*found), ("manifest", 51, expected), "{field}");
    }
}

#[test]
fn a_header_that_cannot_be_is_corrupt() {
    let image = directory(Format::Binary);
    let zeroth = image.with(LIVE, Some(segment(log(&image), 0, 0)));
    assert_eq!(damage(&zeroth), (LIVE.into(), 0, "a first version".into(), "zero".into()));
    let image = directory(Format::JsonLines);
    let text = String::from_utf8(image.get(LIVE).unwrap().to_vec()).unwrap();
    let (line, rest) = text.split_once(r#","head""#).unwrap();
    let batches = rest.split_once('\n').unwrap().1;
    // The line as it is, and with a field more.
    for more in ["", r#","more":1"#] {
        let line = format!("{line}{more}");
        let line = format!("{line},\"head\":\"{:08x}\"}}\n{batches}", crc32fast::hash(line.as_bytes()));
        let image = image.with(LIVE, Some(line.into_bytes()));
        if more.is_empty() {
            assert_eq!(open(&SimFiles::mount(&image), options(Format::JsonLines)).unwrap().appended(), 3);
        } else {
            let expected = "the header of a log segment".into();
            assert_eq!(damage(&image), (LIVE.into(), 0, expected, "a line of another form".into()));
        }
    }
}

/// Nothing of it is believed: not its version, and not how far it says that the log is durable.
#[test]
fn a_batch_of_another_log_is_no_part_of_this_one() {
    let image = directory(Format::Binary);
    let live = image.get(LIVE).unwrap();
    let foreign = frame(!log(&image), 4, 1_000, b"of another log");
    let files = SimFiles::mount(&image.with(LIVE, Some([live, &foreign].concat())));
    let engine = open(&files, options(Format::Binary)).unwrap();
    let report = OpenReport::TornTail { versions: 0, bytes: foreign.len() as u64 };
    assert_eq!((engine.recovery().last, engine.recovery().report), (3, report));
    engine.claim().unwrap();
    assert_eq!(engine.append(Batch { first: 4, count: 1, payload: b"own" }).unwrap(), Appended::At(4));
    engine.verify(&mut |damage| panic!("{damage}")).unwrap();
    assert_eq!(files.image().get(LIVE).unwrap().windows(14).position(|bytes| bytes == b"of another log"), None);
}

#[test]
fn the_highest_version_is_the_last() {
    let image = directory(Format::Binary);
    let mut body = body(&image);
    (body["version"], body["durable"]) = (json!(u64::MAX - 1), json!(u64::MAX - 1));
    let image = image.with("manifest", Some(manifest(&body)));
    let files = SimFiles::mount(&image.with(LIVE, Some(segment(log(&image), u64::MAX, u64::MAX - 1))));
    let engine = open(&files, options(Format::Binary)).unwrap();
    assert_eq!((engine.recovery().last, engine.recovery().report), (u64::MAX - 1, OpenReport::Clean));
    engine.claim().unwrap();
    let append = |count| engine.append(Batch { first: u64::MAX, count, payload: b"last" });
    assert!(matches!(append(2), Err(Error::InvalidStorageCall { .. })));
    assert_eq!(append(1).unwrap(), Appended::At(u64::MAX));
    let is_end = |error: Option<Error>| matches!(error, Some(Error::Limit { limit: u64::MAX, found: u64::MAX, .. }));
    assert!(is_end(append(1).err()));
    // There is nothing that the next segment could begin with.
    assert!(is_end(engine.seal().err()));
    engine.sync(u64::MAX).unwrap();
    let last = |engine: &folio::storage::FileEngine| {
        let mut found = Vec::new();
        let read = engine.read_from(u64::MAX, &mut |batch| {
            found.push((batch.first, batch.payload.to_vec()));
            Ok(())
        });
        read.map(|()| found).unwrap()
    };
    assert_eq!(last(&engine), [(u64::MAX, b"last".to_vec())]);
    let manifest = engine.manifest().unwrap();
    let checkpoint = Checkpoint { version: u64::MAX, ..manifest.checkpoint };
    engine.replace_manifest(manifest.generation, checkpoint).unwrap();
    engine.release_log(u64::MAX).unwrap();
    drop(engine);
    let engine = open(&files, options(Format::Binary)).unwrap();
    assert_eq!((engine.recovery().last, engine.recovery().report), (u64::MAX, OpenReport::Clean));
    engine.claim().unwrap();
    engine.verify(&mut |damage| panic!("{damage}")).unwrap();
    assert_eq!(last(&engine), [(u64::MAX, b"last".to_vec())]);
}

#[test]
fn behind_the_highest_generation_there_is_no_space_of_its_own() {
    let image = directory(Format::Binary);
    let mut body = body(&image);
    let file = format!("data/t.{}.records", u64::MAX);
    body["objects"][0]["file"] = json!(file);
    let content = image.get("data/t.records").unwrap().to_vec();
    let image = image.with("data/t.records", None).with(&file, Some(content));
    let files = SimFiles::mount(&image.with("manifest", Some(manifest(&body))));
    let engine = open(&files, options(Format::Binary)).unwrap();
    engine.claim().unwrap();
    let refused = engine.create_object(ObjectKind::Records, "t", Placement::Replace);
    assert!(matches!(refused.err(), Some(Error::Limit { .. })));
    let mut writer = engine.create_object(ObjectKind::Records, "t", Placement::Append).unwrap();
    writer.write(b"more").unwrap();
    let object = writer.finish().unwrap();
    assert_eq!(object.generation(), u64::MAX);
    assert_eq!(engine.open_object(&object).unwrap().read_to_end().unwrap(), b"more");
}

/// Of what has lost its manifest nothing says how far it goes: it is not begun anew.
#[test]
fn a_log_without_its_manifest_is_no_new_storage() {
    let files = SimFiles::new();
    let engine = open(&files, options(Format::Binary)).unwrap();
    engine.claim().unwrap();
    let empty = files.image().with("manifest", None);
    assert_eq!(engine.append(Batch { first: 1, count: 1, payload: b"one" }).unwrap(), Appended::At(1));
    let begun = files.image().with("manifest", None);
    engine.seal().unwrap();
    let sealed = files.image().with("manifest", None);
    drop(engine);
    let expected = "the manifest of what is here";
    for (image, found) in [
        (&begun, "none, beside a log that is not empty"),
        (&sealed, "none, beside `wal/transaction.00000000000000000001.log`"),
        (&begun.with(LIVE, Some(b"no header".to_vec())), "none, beside a log that is not empty"),
    ] {
        assert_eq!(damage(image), ("manifest".into(), 0, expected.into(), found.into()));
    }
    // What a crash at the very begin leaves is one that has not begun.
    for image in [&empty, &empty.with(LIVE, Some(Vec::new()))] {
        let engine = open(&SimFiles::mount(image), options(Format::Binary)).unwrap();
        assert_eq!(engine.recovery().report, OpenReport::Empty);
        engine.claim().unwrap();
    }
}
