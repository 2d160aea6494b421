//! What is saved of a database that cannot be opened, by what is damaged in it.
#![cfg(any(unix, windows))]

use folio::storage::{Damage, FileEngine, FileOptions, Format};
use folio::testing::{Image, SimFiles};
use folio::{Column, Database, Error, Schema};
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
        assert!(says(&lost, "data/a.records", "1 of 2 parts"), "{lost:?}");
    }
}

#[test]
fn a_table_without_its_first_part_is_empty_but_for_the_log() {
    for format in FORMATS {
        let (a, b, _, lost) = salvage(&flipped(&database(format, false), "data/a.records", 14));
        assert_eq!((a, b), (Some(vec![2]), Some(vec![0, 1, 2])));
        assert!(says(&lost, "data/a.records", "none of its parts"), "{lost:?}");
    }
}

#[test]
fn a_table_without_its_schema_is_lost_and_ends_the_log() {
    for format in FORMATS {
        let (a, b, version, lost) = salvage(&flipped(&database(format, false), "schema/a.schema.json", 9));
        assert_eq!((a, b, version), (None, Some(vec![0, 1]), 6));
        assert!(says(&lost, "schema/a", "all of the table is lost"), "{lost:?}");
        assert!(says(&lost, "wal", "versions 7 to 8"), "{lost:?}");
    }
}

#[test]
fn a_damaged_batch_ends_the_log() {
    for format in FORMATS {
        let image = database(format, false);
        let end = image.get("wal/transaction.log").unwrap().len();
        let (a, b, version, lost) = salvage(&flipped(&image, "wal/transaction.log", end - 2));
        assert_eq!((a, b, version), (Some(vec![0, 1, 2]), Some(vec![0, 1]), 7));
        assert!(says(&lost, "wal/transaction.log", "matches its checksum"), "{lost:?}");
        assert!(says(&lost, "wal", "versions 8 to 8"), "{lost:?}");
    }
}

#[test]
fn a_log_without_its_header_is_read_all_the_same() {
    for format in FORMATS {
        let (a, b, version, lost) = salvage(&flipped(&database(format, false), "wal/transaction.log", 20));
        assert_eq!((a, b, version), (Some(vec![0, 1, 2]), Some(vec![0, 1, 2]), 8));
        assert!(says(&lost, "wal/transaction.log", "header of a log segment"), "{lost:?}");
    }
}

#[test]
fn without_a_manifest_a_whole_log_is_replayed() {
    for format in FORMATS {
        let image = database(format, true);
        for image in [flipped(&image, "manifest", 60), image.with("manifest", None)] {
            let (a, b, version, lost) = salvage(&image);
            assert_eq!((a, b, version), (Some(vec![0, 1, 2]), Some(vec![0, 1, 2]), 8));
            assert!(says(&lost, "manifest", ""), "{lost:?}");
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
        assert!(says(&lost, "manifest", "the tables are as their files have them"), "{lost:?}");
        let mut cut = image.get("data/a.records").unwrap().to_vec();
        cut.pop();
        let (a, b, ..) = salvage(&image.with("data/a.records", Some(cut)));
        assert_eq!((a, b), (Some(vec![0]), Some(vec![0, 1])));
    }
}

#[test]
fn without_all_that_says_how_rows_are_written_they_say_it_themselves() {
    for format in FORMATS {
        let image = database(format, false).with("manifest", None).with("wal/transaction.log", None);
        let (a, b, version, lost) = salvage(&image);
        assert_eq!((a, b, version), (Some(vec![0, 1]), Some(vec![0, 1]), 1));
        assert!(says(&lost, "manifest", "the tables are as their files have them"), "{lost:?}");
        // Of one whose first bytes are other ones nothing can be read; the others still say it.
        let (a, b, ..) = salvage(&flipped(&image, "data/a.records", 1));
        assert_eq!((a, b), (Some(vec![]), Some(vec![0, 1])));
    }
}

#[test]
fn a_manifest_of_another_version_is_for_another_version() {
    let image = database(Format::Binary, false);
    let (line, body) = (b"folio manifest 00002 ", image.get("manifest").unwrap()[51..].to_vec());
    let mut manifest = [&line[..], format!("{:020} ", body.len()).as_bytes()].concat();
    let mut covered = manifest.clone();
    covered.extend_from_slice(&body);
    manifest.extend_from_slice(format!("{:08x}\n", crc32fast::hash(&covered)).as_bytes());
    manifest.extend_from_slice(&body);
    let files = SimFiles::mount(&image.with("manifest", Some(manifest)));
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
