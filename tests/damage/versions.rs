//! Formats of other versions: every number that a version field can hold, under checksums that match, is a named error.

use folio::storage::{FileEngine, FileOptions, Format};
use folio::testing::{Image, SimFiles};
use folio::{Column, Database, Error, Schema};
use std::sync::Arc;

fn options(format: Format) -> FileOptions {
    FileOptions { format, preallocate_bytes: 0, ..FileOptions::default() }
}

/// A table with a row in the checkpoint and one in the log.
fn database(format: Format) -> Image {
    let files = SimFiles::new();
    let engine = FileEngine::open_on(Arc::new(files.clone()), options(format)).unwrap();
    let db = Database::builder().checkpoint_bytes(None).open_on(Arc::new(engine)).unwrap();
    let table = db.create_table(Schema::builder("t").column(Column::u32("n")).build().unwrap()).unwrap();
    table.insert(&(1,)).unwrap();
    db.checkpoint().unwrap();
    table.insert(&(2,)).unwrap();
    files.image()
}

fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// With a checksum that matches in the place of the one that is there.
fn with_checksum(bytes: &mut [u8], covered: std::ops::Range<usize>) {
    let sum = crc(&bytes[covered.clone()]);
    bytes[covered.end..covered.end + 4].copy_from_slice(&sum.to_le_bytes());
}

/// A header line with this format number.
fn line_with_format(line: &str, value: u32) -> String {
    let line = line.replace(r#""format":1,"#, &format!(r#""format":{value},"#));
    let split = line.find(r#","head""#).unwrap();
    format!("{},\"head\":\"{:08x}\"}}", &line[..split], crc(&line.as_bytes()[..split]))
}

/// The manifest with this version and body.
fn manifest(version: u32, body: &str) -> Vec<u8> {
    let line = format!("folio manifest {version:05} {:020} ", body.len());
    let sum = crc(&[line.as_bytes(), body.as_bytes()].concat());
    format!("{line}{sum:08x}\n{body}").into()
}

const RECORDS: &str = "data/t.records";
const LIVE: &str = "wal/transaction.log";

/// With a part of this version, which the manifest names as it is.
fn with_part(image: &Image, part: Vec<u8>) -> Image {
    let (_, body) = std::str::from_utf8(image.get("manifest").unwrap()).unwrap().split_once('\n').unwrap();
    let mut body: serde_json::Value = serde_json::from_str(body).unwrap();
    let objects = body["objects"].as_array_mut().unwrap();
    let object = objects.iter_mut().find(|object| object["file"] == RECORDS).unwrap();
    object["length"] = part.len().into();
    object["checksum"] = format!("{:08x}", crc(&part)).into();
    let manifest = manifest(1, &body.to_string());
    image.with(RECORDS, Some(part)).with("manifest", Some(manifest))
}

/// The image with this value in each of the four version fields.
fn with_version(image: &Image, format: Format, value: u16) -> [(&'static str, Image); 4] {
    let get = |name: &str| image.get(name).unwrap().to_vec();
    let number = u32::from(value);
    let (mut segment, mut batch, mut part) = (get(LIVE), get(LIVE), get(RECORDS));
    match format {
        Format::Binary => {
            segment[8..10].copy_from_slice(&value.to_le_bytes());
            with_checksum(&mut segment, 0..60);
            batch[68..70].copy_from_slice(&value.to_le_bytes());
            with_checksum(&mut batch[64..], 0..48);
            part[8..12].copy_from_slice(&number.to_le_bytes());
        }
        Format::JsonLines => {
            let log = String::from_utf8(segment).unwrap();
            let lines: Vec<&str> = log.lines().collect();
            let with_line = |place: usize| -> Vec<u8> {
                let other = line_with_format(lines[place], number);
                let lines = lines.iter().enumerate().map(|(index, line)| if index == place { &other } else { *line });
                lines.flat_map(|line| [line, "\n"]).collect::<String>().into()
            };
            (segment, batch) = (with_line(0), with_line(1));
            let text = String::from_utf8(part).unwrap();
            part = text.replacen(r#"{"version":1,"#, &format!(r#"{{"version":{number},"#), 1).into();
        }
    }
    let body = get("manifest").split_off(51);
    let manifest = manifest(number, std::str::from_utf8(&body).unwrap());
    [
        (LIVE, image.with(LIVE, Some(segment))),
        (LIVE, image.with(LIVE, Some(batch))),
        (RECORDS, with_part(image, part)),
        ("manifest", image.with("manifest", Some(manifest))),
    ]
}

fn every_other_version_is_named(format: Format) {
    let image = database(format);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let image = &image;
            scope.spawn(move || {
                for value in (thread..1 << 16).step_by(threads) {
                    check_versions(image, format, value as u16);
                }
            });
        }
    });
}

fn check_versions(image: &Image, format: Format, value: u16) {
    for (file, image) in with_version(image, format, value) {
        let files = SimFiles::mount(&image);
        let engine = FileEngine::open_on(Arc::new(files.clone()), options(format));
        let opened = engine.and_then(|engine| {
            let builder = Database::builder().checkpoint_bytes(None);
            builder.open_on(Arc::new(engine))
        });
        match opened {
            Ok(db) => {
                assert_eq!((value, db.table("t").unwrap().len().unwrap()), (1, 2), "{file}");
            }
            Err(Error::UnsupportedFormat { file: named, found, supported, .. }) => {
                assert_eq!((&*named, found, supported), (file, u64::from(value), 1));
                assert_eq!(files.operations(), 0, "nothing was changed");
            }
            Err(error) => panic!("{file}, version {value}: {error}"),
        }
    }
}

#[test]
fn every_other_version_of_the_binary_format_is_named() {
    every_other_version_is_named(Format::Binary);
}

#[test]
fn every_other_version_of_the_json_lines_format_is_named() {
    every_other_version_is_named(Format::JsonLines);
}
