//! What is saved of a database that cannot be opened, by what is damaged in it.
#![cfg(any(unix, windows))]

use folio::storage::{Damage, FileEngine, FileOptions, Format};
use folio::testing::{Fault, FaultKind, Image, SimFiles};
use folio::{Column, Database, Error, Schema};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

const FORMATS: [Format; 2] = [Format::Binary, Format::JsonLines];

fn options(format: Format, keep_archived: bool) -> FileOptions {
    FileOptions { format, keep_archived, preallocate_bytes: 0, ..FileOptions::default() }
}

/// Tables `a` and `b`, with row 0 in the first part, 1 in the second and 2 in the log: versions 1 and 2 make the tables, then
/// each row takes one for `a` and one for `b`. The directory is that of a process that was killed.
fn database(format: Format, keep_archived: bool) -> Image {
    let files = SimFiles::new();
    let engine = FileEngine::open_on(Arc::new(files.clone()), options(format, keep_archived)).unwrap();
    let db = Database::builder().checkpoint_bytes(None).open_on(Arc::new(engine)).unwrap();
    for name in ["a", "b"] {
        db.create_table(Schema::builder(name).column(Column::u32("n").primary_key()).build().unwrap()).unwrap();
    }
    for n in 0..3 {
        for name in ["a", "b"] {
            db.table(name).unwrap().insert(&(n,)).unwrap();
        }
        if n < 2 {
            db.checkpoint().unwrap();
        }
    }
    files.image()
}

fn flipped(image: &Image, file: &str, at: usize) -> Image {
    let mut content = image.get(file).unwrap().to_vec();
    content[at] ^= 1;
    image.with(file, Some(content))
}

/// A manifest of a version, with this body.
fn manifest(version: u64, body: &[u8]) -> Vec<u8> {
    let line = format!("folio manifest {version:05} {:020} ", body.len());
    let sum = crc32fast::hash(&[line.as_bytes(), body].concat());
    [line.as_bytes(), format!("{sum:08x}\n").as_bytes(), body].concat()
}

/// The same with another body of the manifest, under a checksum that matches.
fn with_body(image: &Image, change: impl FnOnce(&mut Value)) -> Image {
    let mut body = serde_json::from_slice(&image.get("manifest").unwrap()[51..]).unwrap();
    change(&mut body);
    image.with("manifest", Some(manifest(1, &serde_json::to_vec(&body).unwrap())))
}

fn opened(image: &Image) -> folio::Result<Database> {
    let engine = FileEngine::open_on(Arc::new(SimFiles::mount(image)), FileOptions::default())?;
    Database::builder().open_on(Arc::new(engine))
}

/// A table's rows, if it is there.
type Rows = Option<Vec<u32>>;

/// The rows of `a` and of `b` if they are there, the version, and what was lost. Nothing is written.
fn salvage(image: &Image) -> (Rows, Rows, u64, Vec<Damage>) {
    let files = SimFiles::mount(image);
    let salvaged = Database::salvage_on(Arc::new(files.clone())).unwrap();
    assert_eq!(files.operations(), 0);
    let db = salvaged.database;
    let rows = |name: &str| {
        let rows: Vec<(u32,)> = db.table(name).ok()?.select().fetch().unwrap();
        Some(rows.into_iter().map(|(n,)| n).collect())
    };
    assert_eq!(db.verify().unwrap(), []);
    (rows("a"), rows("b"), db.snapshot().version(), salvaged.lost)
}

/// Checks that what is told is just this, one after the other: files, and texts about them.
fn check_told(lost: &[Damage], expected: &[(&str, &str)]) {
    let fits = |(damage, (file, text)): (&Damage, &(&str, &str))| {
        // Either of what stands on both sides of a bar: the formats differ.
        let either = |texts: &str, fits: &dyn Fn(&str) -> bool| texts.split('|').any(fits);
        either(file, &|file| damage.file.starts_with(file)) && either(text, &|text| damage.to_string().contains(text))
    };
    assert!(lost.len() == expected.len() && lost.iter().zip(expected).all(fits), "{expected:#?} for {lost:#?}");
}

fn says(lost: &[Damage], file: &str, text: &str) -> bool {
    lost.iter().any(|damage| damage.file.starts_with(file) && damage.to_string().contains(text))
}

#[test]
fn nothing_is_lost_of_what_is_whole() {
    for format in FORMATS {
        let (a, b, version, lost) = salvage(&database(format, false));
        assert_eq!((a, b, version, lost), (Some(vec![0, 1, 2]), Some(vec![0, 1, 2]), 8, vec![]));
    }
}

#[test]
fn a_table_without_its_last_part_is_older_and_says_so() {
    for format in FORMATS {
        let image = database(format, false);
        let end = image.get("data/a.records").unwrap().len();
        let (a, b, version, lost) = salvage(&flipped(&image, "data/a.records", end - 2));
        assert_eq!((a, b, version), (Some(vec![0, 2]), Some(vec![0, 1, 2]), 8));
        check_told(&lost, &[("data/a.records", "matches its checksum"), ("data/a.records", "1 of 2 parts")]);
    }
}

#[test]
fn a_table_without_its_first_part_is_empty_but_for_the_log() {
    for format in FORMATS {
        let (a, b, _, lost) = salvage(&flipped(&database(format, false), "data/a.records", 14));
        assert_eq!((a, b), (Some(vec![2]), Some(vec![0, 1, 2])));
        check_told(&lost, &[("data/a.records", "matches its checksum"), ("data/a.records", "none of its parts")]);
    }
}

/// The log tells of a row with a large value what changed of it alone. On an older row that makes one which was never
/// committed.
#[test]
fn a_row_that_is_older_gets_no_part_of_a_newer_one() {
    for format in FORMATS {
        let files = SimFiles::new();
        let engine = FileEngine::open_on(Arc::new(files.clone()), options(format, false)).unwrap();
        let db = Database::builder().checkpoint_bytes(None).open_on(Arc::new(engine)).unwrap();
        let schema = |name: &str| {
            let schema = Schema::builder(name).column(Column::u64("id").primary_key().auto_increment());
            schema.column(Column::u32("n")).column(Column::u32("m")).column(Column::string("text")).build().unwrap()
        };
        let text = "x".repeat(2_000);
        for name in ["a", "b"] {
            let table = db.create_table(schema(name)).unwrap();
            table.insert_many((0..3).map(|_| (None::<u64>, 0, 0, &text))).unwrap();
        }
        db.checkpoint().unwrap();
        let both = |change: &dyn Fn(&folio::Table)| ["a", "b"].map(|name| change(&db.table(name).unwrap()));
        both(&|table| table.update(1, &json!({ "n": 1 })).unwrap());
        db.checkpoint().unwrap();
        both(&|table| table.update(1, &json!({ "m": 1 })).unwrap());
        both(&|table| table.update(2, &json!({ "n": 2, "text": "new" })).unwrap());
        both(&|table| assert_eq!(table.insert(&(9, 9, 9, &text)).unwrap(), 9));
        // What the log has told whole is as new as the log.
        both(&|table| table.update(9, &json!({ "m": 8 })).unwrap());
        // What is made in the log is not older.
        db.drop_table("b").unwrap();
        let made = db.create_table(schema("b")).unwrap();
        made.insert(&(None::<u64>, 0, 0, &text)).unwrap();
        made.update(1, &json!({ "m": 7 })).unwrap();

        let image = files.image();
        let rows = |image: &Image, name: &str| {
            let db = Database::salvage_on(Arc::new(SimFiles::mount(image))).unwrap().database;
            assert_eq!(db.verify().unwrap(), []);
            let rows: Vec<(u64, u32, u32, String)> = db.table(name).unwrap().select().fetch().unwrap();
            rows.into_iter().map(|(id, n, m, text)| (id, n, m, text.len())).collect::<Vec<_>>()
        };
        let whole = [(1, 1, 1, 2_000), (2, 2, 0, 3), (3, 0, 0, 2_000), (9, 9, 8, 2_000)];
        assert_eq!(rows(&image, "a"), whole);
        for name in ["a", "b"] {
            let file = format!("data/{name}.records");
            let older = flipped(&image, &file, image.get(&file).unwrap().len() - 2);
            let expected = if name == "a" { [&[(1, 0, 0, 2_000)], &whole[1..]].concat() } else { whole.to_vec() };
            assert_eq!(rows(&older, "a"), expected);
            assert_eq!(rows(&older, "b"), [(1, 0, 7, 2_000)]);
            // Without the first part as well, of which the row that the log has not told whole is.
            let none = flipped(&older, &file, 14);
            let expected = if name == "a" { vec![whole[1], whole[3]] } else { whole.to_vec() };
            assert_eq!(rows(&none, "a"), expected);
            assert_eq!(rows(&none, "b"), [(1, 0, 7, 2_000)]);
        }
    }
}

#[test]
fn a_table_without_its_schema_is_lost_and_ends_the_log() {
    for format in FORMATS {
        let (a, b, version, lost) = salvage(&flipped(&database(format, false), "schema/a.schema.json", 9));
        assert_eq!((a, b, version), (None, Some(vec![0, 1]), 6));
        let schema = "schema/a.schema.json";
        let of_log =
            [("the log's batch of version 7", "the name of a table|a slot with a table"), ("wal", "versions 7 to 8")];
        check_told(
            &lost,
            &[(schema, "matches its checksum"), (schema, "all of the table is lost"), of_log[0], of_log[1]],
        );
    }
}

#[test]
fn a_damaged_batch_ends_the_log() {
    for format in FORMATS {
        let image = database(format, false);
        let end = image.get("wal/transaction.log").unwrap().len();
        let (a, b, version, lost) = salvage(&flipped(&image, "wal/transaction.log", end - 2));
        assert_eq!((a, b, version), (Some(vec![0, 1, 2]), Some(vec![0, 1]), 7));
        check_told(&lost, &[("wal/transaction.log", "matches its checksum"), ("wal", "versions 8 to 8")]);
    }
}

#[test]
fn a_log_without_its_header_is_read_all_the_same() {
    for format in FORMATS {
        let (a, b, version, lost) = salvage(&flipped(&database(format, false), "wal/transaction.log", 20));
        assert_eq!((a, b, version), (Some(vec![0, 1, 2]), Some(vec![0, 1, 2]), 8));
        check_told(&lost, &[("wal/transaction.log", "header of a log segment")]);
    }
}

#[test]
fn without_a_manifest_a_whole_log_is_replayed() {
    for format in FORMATS {
        let image = database(format, true);
        for image in [flipped(&image, "manifest", 60), image.with("manifest", None)] {
            let (a, b, version, lost) = salvage(&image);
            assert_eq!((a, b, version), (Some(vec![0, 1, 2]), Some(vec![0, 1, 2]), 8));
            check_told(&lost, &[("manifest", "expected")]);
        }
    }
}

#[test]
fn a_segment_that_has_not_begun_is_no_loss() {
    for format in FORMATS {
        let image = database(format, false);
        let filler = if format == Format::Binary { 0 } else { b'\n' };
        for content in [vec![], vec![filler; 4096]] {
            let (a, b, version, lost) = salvage(&image.with("wal/transaction.next.log", Some(content)));
            assert_eq!((a, b, version, lost), (Some(vec![0, 1, 2]), Some(vec![0, 1, 2]), 8, vec![]));
        }
    }
}

#[test]
fn without_manifest_and_log_the_files_are_what_there_is() {
    for format in FORMATS {
        let image = database(format, false).with("manifest", None);
        let (a, b, version, lost) = salvage(&image);
        assert_eq!((a, b, version), (Some(vec![0, 1]), Some(vec![0, 1]), 8));
        let of_manifest = [("manifest", "entity not found"), ("manifest", "the tables are as their files have them")];
        check_told(&lost, &of_manifest);
        let mut cut = image.get("data/a.records").unwrap().to_vec();
        cut.pop();
        let (a, b, _, lost) = salvage(&image.with("data/a.records", Some(cut)));
        assert_eq!((a, b), (Some(vec![0]), Some(vec![0, 1])));
        check_told(&lost, &[of_manifest[0], ("data/a.records", "bytes that are no whole one"), of_manifest[1]]);
    }
}

#[test]
fn without_all_that_says_how_rows_are_written_they_say_it_themselves() {
    for format in FORMATS {
        let image = database(format, false).with("manifest", None).with("wal/transaction.log", None);
        let (a, b, version, lost) = salvage(&image);
        assert_eq!((a, b, version), (Some(vec![0, 1]), Some(vec![0, 1]), 1));
        let of_manifest = [("manifest", "entity not found"), ("manifest", "the tables are as their files have them")];
        check_told(&lost, &of_manifest);
        // Of one whose first bytes are other ones nothing can be read; the others still say it.
        let (a, b, _, lost) = salvage(&flipped(&image, "data/a.records", 1));
        assert_eq!((a, b), (Some(vec![]), Some(vec![0, 1])));
        let of_rows = ("schema/a.schema.json|data/a.records", "rows of table `a`, found none that can be read");
        let of_file = ("data/a.records", "no whole one|a line with a version");
        check_told(&lost, &[of_manifest[0], of_file, of_rows, of_manifest[1]]);
    }
}

#[test]
fn without_manifest_and_log_the_newest_file_that_can_be_read_counts() {
    for format in FORMATS {
        let image = database(format, false).with("manifest", None).with("wal/transaction.log", None);
        let file = |name: &str| Some(image.get(name).unwrap().to_vec());
        // What a part is named by, its file's number, is not in it.
        let mut older = file("data/a.records").unwrap();
        older.truncate(older.len() / 2);
        let newer = image.with("data/a.2.records", file("data/a.records")).with("data/a.records", Some(older));
        let (a, b, _, lost) = salvage(&newer);
        assert_eq!((a, b, lost.len()), (Some(vec![0, 1]), Some(vec![0, 1]), 2), "{lost:#?}");
        let (a, _, _, lost) = salvage(&newer.with("data/a.2.records", Some(b"?".to_vec())));
        assert_eq!(a, Some(vec![0]));
        assert!(says(&lost, "data/a.2.records", ""), "{lost:#?}");
        assert!(says(&lost, "data/a.records", "bytes that are no whole one"), "{lost:#?}");
        let (a, _, _, lost) = salvage(&newer.with("schema/a.3.schema.json", Some(b"{".to_vec())));
        assert_eq!(a, Some(vec![0, 1]));
        assert!(says(&lost, "schema/a.3.schema.json", ""), "{lost:#?}");
        let (a, b, _, lost) = salvage(&flipped(&newer, "schema/a.schema.json", 0));
        assert_eq!((a, b), (None, Some(vec![0, 1])));
        assert!(says(&lost, "schema/a.schema.json", ""), "{lost:#?}");
        assert!(says(&lost, "schema", "expected table `a`, found no schema: all of the table is lost"), "{lost:#?}");
    }
}

#[test]
fn a_manifest_of_another_version_is_for_another_version() {
    let image = database(Format::Binary, false);
    let body = image.get("manifest").unwrap()[51..].to_vec();
    let files = SimFiles::mount(&image.with("manifest", Some(manifest(2, &body))));
    assert!(matches!(Database::salvage_on(Arc::new(files)), Err(Error::UnsupportedFormat { found: 2, .. })));
}

#[test]
fn where_nothing_is_nothing_is_made() {
    let path = std::env::temp_dir().join(format!("folio-salvage-{}", std::process::id()));
    assert!(matches!(Database::salvage(&path), Err(Error::NotADatabase { .. })));
    assert!(!path.exists());
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(Database::salvage(&path), Err(Error::NotADatabase { .. })));
    assert!(matches!(Database::verify_at(&path), Err(Error::NotADatabase { .. })));
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    let db = Database::open(&path).unwrap();
    assert!(matches!(Database::salvage(&path), Err(Error::Locked { .. })));
    drop(db);
    assert_eq!(Database::salvage(&path).unwrap().lost, []);
    // Of what was one, the lock alone.
    std::fs::remove_file(path.join("manifest")).unwrap();
    for folder in ["wal", "data", "schema"] {
        std::fs::remove_dir_all(path.join(folder)).unwrap();
    }
    assert!(matches!(Database::salvage(&path), Err(Error::NotADatabase { .. })));
    assert!(matches!(Database::verify_at(&path), Err(Error::NotADatabase { .. })));
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn a_manifest_that_does_not_tell_its_tables_is_as_good_as_none() {
    type Forge = fn(&mut Value);
    let forged: [(Forge, &str); 2] = [
        (|body| body["content"]["tables"] = json!(5), "expected tables"),
        (|body| body["content"]["tables"][0]["slot"] = json!(4096), "expected slots below 4096, found 4096"),
    ];
    for format in FORMATS {
        for (keep_archived, rows) in [(true, vec![0, 1, 2]), (false, vec![0, 1])] {
            for (forge, said) in forged {
                let image = with_body(&database(format, keep_archived), forge);
                let (a, b, version, lost) = salvage(&image);
                assert_eq!((a, b, version), (Some(rows.clone()), Some(rows.clone()), 8));
                assert!(says(&lost, "manifest", said), "{lost:?}");
                assert_eq!(says(&lost, "manifest", "the tables are as their files have them"), !keep_archived);
            }
        }
    }
}

#[test]
fn a_manifest_of_another_form_is_for_another_version() {
    for format in FORMATS {
        let image = with_body(&database(format, false), |body| body["content"]["form"] = json!(2));
        let salvaged = Database::salvage_on(Arc::new(SimFiles::mount(&image)));
        assert!(matches!(salvaged, Err(Error::UnsupportedFormat { what: "form", found: 2, .. })), "{salvaged:?}");
    }
}

#[test]
fn of_two_tables_of_a_name_the_first_is_kept() {
    for format in FORMATS {
        let image = database(format, false);
        let schema = image.get("schema/a.schema.json").unwrap().to_vec();
        let file = "schema/a.1.schema.json";
        let image = with_body(&image, |body| {
            let checksum = format!("{:08x}", crc32fast::hash(&schema));
            let object = json!({ "file": file, "offset": 0, "length": schema.len(), "checksum": checksum });
            body["objects"].as_array_mut().unwrap().push(object);
            let table = json!({ "name": "a", "slot": 2, "parts": 0 });
            body["content"]["tables"].as_array_mut().unwrap().push(table);
        });
        let image = image.with(file, Some(schema));
        let refused = opened(&image);
        assert!(matches!(&refused, Err(Error::Corrupt { found, .. }) if &**found == "`a` twice"), "{refused:?}");
        let (a, b, version, lost) = salvage(&image);
        assert_eq!((a, b, version), (Some(vec![0, 1, 2]), Some(vec![0, 1, 2]), 8));
        assert!(says(&lost, file, "expected a name for each table, found `a` twice") && lost.len() == 1, "{lost:?}");
    }
}

/// Parts that are whole, and whose rows together no table can have: of two, the first is as much as is kept.
#[test]
fn parts_that_do_not_fit_together_are_tried_by_half() {
    let image = database(Format::JsonLines, false);
    let file = "data/a.records";
    let mut parts = image.get(file).unwrap().to_vec();
    let second = parts.windows(11).rposition(|bytes| bytes == b"{\"version\":").unwrap();
    let row = second + parts[second..].windows(6).position(|bytes| bytes == b"\"n\":1}").unwrap();
    parts[row + 4] = b'0';
    let image = with_body(&image, |body| {
        let mut objects = body["objects"].as_array_mut().unwrap().iter_mut();
        let part = objects.find(|object| object["file"] == file && object["offset"] == second).unwrap();
        part["checksum"] = json!(format!("{:08x}", crc32fast::hash(&parts[second..])));
    });
    let image = image.with(file, Some(parts));
    let refused = opened(&image);
    assert!(matches!(&refused, Err(Error::Corrupt { file: found, .. }) if &**found == file), "{refused:?}");
    let (a, b, version, lost) = salvage(&image);
    assert_eq!((a, b, version), (Some(vec![0, 2]), Some(vec![0, 1, 2]), 8));
    assert!(says(&lost, file, "expected rows for the index"), "{lost:?}");
    assert!(says(&lost, file, "1 of 2 parts"), "{lost:?}");
}

#[test]
fn a_log_of_large_batches_is_applied_up_to_the_damage() {
    let text = "x".repeat(2_100_000);
    let files = SimFiles::new();
    let engine = FileEngine::open_on(Arc::new(files.clone()), options(Format::Binary, false)).unwrap();
    let db = Database::builder().checkpoint_bytes(None).open_on(Arc::new(engine)).unwrap();
    let schema = Schema::builder("texts").column(Column::u32("n").primary_key()).column(Column::string("text"));
    let table = db.create_table(schema.build().unwrap()).unwrap();
    for n in 0..3 {
        table.insert(&(n, &text)).unwrap();
    }
    let whole = files.image();
    let end = whole.get("wal/transaction.log").unwrap().len();
    let damaged = flipped(&whole, "wal/transaction.log", end - 2);
    for (image, rows) in [(whole, 3), (damaged, 2)] {
        let salvaged = Database::salvage_on(Arc::new(SimFiles::mount(&image))).unwrap();
        let found: Vec<(u32, String)> = salvaged.database.table("texts").unwrap().select().fetch().unwrap();
        assert_eq!(salvaged.database.snapshot().version(), 1 + rows);
        assert_eq!(found.len() as u64, rows);
        assert!((0..).zip(&found).all(|(n, row)| row.0 == n && row.1 == text));
        assert_eq!(salvaged.database.verify().unwrap(), []);
        assert_eq!(says(&salvaged.lost, "wal", "versions 4 to 4"), rows == 2, "{:?}", salvaged.lost);
        assert_eq!(salvaged.lost.is_empty(), rows == 3);
    }
}

/// Whatever call fails, once: what is missing for it is told, and what is there was committed.
#[test]
fn a_call_that_fails_costs_what_it_was_for_and_says_so() {
    let rows = |db: &Database, name: &str| -> Vec<u32> {
        let Ok(table) = db.table(name) else { return Vec::new() };
        table.select().fetch::<(u32,)>().unwrap().into_iter().map(|(n,)| n).collect()
    };
    for format in FORMATS {
        let image = database(format, true);
        let bare = image.with("manifest", None).with("wal/transaction.log", None);
        let no_manifest = database(format, false).with("manifest", None);
        for image in [image, bare, no_manifest] {
            let dry = SimFiles::mount(&image);
            let whole = Database::salvage_on(Arc::new(dry.clone())).unwrap();
            let expected = ["a", "b"].map(|name| rows(&whole.database, name));
            for call in 0..dry.calls() {
                let files = SimFiles::mount(&image);
                files.set_fault(Some(Fault { call, count: 1, kind: FaultKind::Error }));
                let salvaged = match Database::salvage_on(Arc::new(files.clone())) {
                    Ok(salvaged) => salvaged,
                    Err(Error::Io { .. }) => continue,
                    Err(error) => panic!("{format:?}, call {call}: {error}"),
                };
                assert_eq!((files.faults_met(), files.operations()), (1, 0));
                let found = ["a", "b"].map(|name| rows(&salvaged.database, name));
                for found in &found {
                    assert!(found.is_sorted_by(|a, b| a < b) && found.iter().all(|n| *n < 3), "{found:?}");
                }
                assert!(found == expected || salvaged.lost != whole.lost, "{format:?}, call {call}: {found:?}");
                assert_eq!(salvaged.database.verify().unwrap(), []);
            }
        }
    }
}

fn write(image: &Image, directory: &Path) {
    for file in image.files() {
        let path = directory.join(&file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, image.get(&file).unwrap()).unwrap();
    }
}

/// Where nothing can be salvaged, to look at it says what it is for which it cannot be opened.
#[test]
fn what_another_version_wrote_is_looked_at_as_far_as_it_goes() {
    let directory = std::env::temp_dir().join(format!("folio-salvage-looked-at-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    let image = with_body(&database(Format::Binary, false), |body| body["content"]["form"] = json!(2));
    write(&image, &directory);
    let looked_at = Database::verify_at(&directory);
    assert!(matches!(looked_at, Err(Error::UnsupportedFormat { what: "form", found: 2, .. })), "{looked_at:?}");
    // Its log is damaged.
    write(&flipped(&image, "wal/transaction.log", 20), &directory);
    let damages = Database::verify_at(&directory).unwrap();
    assert!(says(&damages, "wal/transaction.log", "header of a log segment") && damages.len() == 1, "{damages:?}");
    // Its log cannot be read.
    std::fs::remove_file(directory.join("wal/transaction.log")).unwrap();
    std::fs::create_dir(directory.join("wal/transaction.log")).unwrap();
    let looked_at = Database::verify_at(&directory);
    assert!(matches!(&looked_at, Err(Error::Io { file, .. }) if &**file == "wal/transaction.log"), "{looked_at:?}");
    std::fs::remove_dir_all(&directory).unwrap();
}
