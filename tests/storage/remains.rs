//! What is saved of a log and of files that opening refuses.

use super::device::{Call, Device};
use super::forged::{frame, log};
use folio::storage::{Damage, FileEngine, FileOptions, Files};
use folio::testing::{Image, SimFiles};
use folio::{Column, Database, Schema};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const LIVE: &str = "wal/transaction.log";
const NEXT: &str = "wal/transaction.next.log";
const ROWS: &str = "data/a.records";
/// Of a segment and of a frame.
const HEADER_BYTES: usize = 64;
const FRAME_HEADER_BYTES: usize = 52;

/// Table `a`, made by version 1, and the rows 0, 1 and 2, of which each takes one more. The checkpoint has the first of them,
/// the log the others. The process was killed.
fn database(keep_archived: bool) -> Image {
    let files = SimFiles::new();
    let options = FileOptions { keep_archived, preallocate_bytes: 0, ..FileOptions::default() };
    let engine = FileEngine::open_on(Arc::new(files.clone()), options).unwrap();
    let db = Database::builder().checkpoint_bytes(None).open_on(Arc::new(engine)).unwrap();
    let table = db.create_table(Schema::builder("a").column(Column::u32("n").primary_key()).build().unwrap()).unwrap();
    table.insert(&(0,)).unwrap();
    db.checkpoint().unwrap();
    table.insert(&(1,)).unwrap();
    table.insert(&(2,)).unwrap();
    files.image()
}

/// The rows of `a`, and what was lost.
fn salvage_on(files: Arc<dyn Files>) -> (Vec<u32>, Vec<Damage>) {
    let salvaged = Database::salvage_on(files).unwrap();
    let rows: Vec<(u32,)> = salvaged.database.table("a").unwrap().select().fetch().unwrap();
    (rows.into_iter().map(|(n,)| n).collect(), salvaged.lost)
}

fn salvage(image: &Image) -> (Vec<u32>, Vec<Damage>) {
    salvage_on(Arc::new(SimFiles::mount(image)))
}

fn says(lost: &[Damage], file: &str, text: &str) -> bool {
    lost.iter().any(|damage| &*damage.file == file && damage.to_string().contains(text))
}

/// The same with other bytes of the live segment.
fn changed(image: &Image, change: impl FnOnce(&mut Vec<u8>)) -> Image {
    let mut live = image.get(LIVE).unwrap().to_vec();
    change(&mut live);
    image.with(LIVE, Some(live))
}

/// Where the second of the live segment's two frames begins.
fn second_frame(live: &[u8]) -> usize {
    let magic = live.windows(4).rposition(|bytes| bytes == b"\xf0BAT").unwrap();
    assert!(magic > HEADER_BYTES);
    magic
}

#[test]
fn a_batch_of_another_version_ends_the_log() {
    let image = changed(&database(false), |live| {
        let at = second_frame(live);
        live[at + 4] = 2;
        let checksum = crc32fast::hash(&live[at..at + FRAME_HEADER_BYTES - 4]);
        live[at + FRAME_HEADER_BYTES - 4..at + FRAME_HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    });
    let (rows, lost) = salvage(&image);
    assert_eq!(rows, [0, 1]);
    assert!(says(&lost, LIVE, "expected format version 1, found 2"), "{lost:?}");
}

#[test]
fn a_segment_of_another_version_is_read_by_its_batches() {
    let image = changed(&database(false), |live| {
        live[8] = 2;
        let checksum = crc32fast::hash(&live[..HEADER_BYTES - 4]);
        live[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    });
    let (rows, lost) = salvage(&image);
    assert_eq!((rows, lost.len()), (vec![0, 1, 2], 1));
    assert!(says(&lost, LIVE, "expected format version 1, found 2"), "{lost:?}");
}

#[test]
fn a_segment_without_its_header_begins_with_the_first_batch_that_can_be_read() {
    let image = changed(&database(false), |live| {
        live[20] ^= 1;
        live[HEADER_BYTES + 20] ^= 1;
    });
    let (rows, lost) = salvage(&image);
    assert_eq!(rows, [0]);
    assert!(says(&lost, LIVE, "the header of a log segment"), "{lost:?}");
    assert!(lost.iter().any(|damage| damage.to_string().contains("versions 3 to 4")), "{lost:?}");
}

/// With its header or without: each of its batches says of which log it is.
#[test]
fn a_segment_of_another_log_is_not_taken_for_one_of_this() {
    let (image, other) = (database(false), database(false));
    let foreign = image.with(LIVE, other.get(LIVE).map(<[u8]>::to_vec));
    let (rows, lost) = salvage(&foreign);
    assert_eq!(rows, [0]);
    assert!(says(&lost, LIVE, "a segment of this log, found one of another log"), "{lost:?}");
    let (rows, lost) = salvage(&changed(&foreign, |live| live[20] ^= 1));
    assert_eq!(rows, [0]);
    assert!(says(&lost, LIVE, "the header of a log segment"), "{lost:?}");
}

#[test]
fn of_two_logs_without_a_manifest_the_newest_counts() {
    let (image, other) = (database(true), database(true));
    let archived = "wal/transaction.00000000000000000001.log";
    let image = image.with(archived, other.get(archived).map(<[u8]>::to_vec)).with("manifest", None);
    let (rows, lost) = salvage(&image);
    // Its begin is gone with that segment, and the tables are what their files hold.
    assert_eq!(rows, [0]);
    assert!(says(&lost, archived, "a segment of the newest log, found one of another log"), "{lost:?}");
    assert!(says(&lost, "manifest", "the tables of version 4"), "{lost:?}");
}

/// How far a log goes is said by its own batches alone.
#[test]
fn a_foreign_batch_behind_the_damage_does_not_say_what_is_lost() {
    let image = database(false);
    let foreign = frame(!log(&image), 900, 1_000, b"of another log");
    let image = changed(&image, |live| {
        *live.last_mut().unwrap() ^= 1;
        live.extend(foreign);
    });
    let (rows, lost) = salvage(&image);
    assert_eq!(rows, [0, 1]);
    assert!(lost.iter().any(|damage| damage.to_string().contains("versions 4 to 4")), "{lost:?}");
}

/// What a crash leaves between the old segment's new name and the new segment's.
#[test]
fn a_log_that_was_about_to_get_its_name_is_read() {
    let image = database(false);
    let live = image.get(LIVE).unwrap().to_vec();
    assert_eq!(salvage(&image.with(LIVE, None).with(NEXT, Some(live))), (vec![0, 1, 2], vec![]));
}

#[test]
fn what_the_disk_cannot_read_is_damage() {
    let image = database(false);
    let bad = |call, path: &'static str, from: u64| {
        let met = AtomicU64::new(0);
        Device::answering(&SimFiles::mount(&image), move |asked, at| {
            let is_met = (asked, at) == (call, path) && met.fetch_add(1, Ordering::Relaxed) >= from;
            is_met.then(|| Err(io::Error::other("a bad block")))
        })
    };
    // What the manifest names is found without the folder's list.
    let (rows, lost) = salvage_on(bad(Call::List, "data", 0));
    assert_eq!((rows, lost.len()), (vec![0, 1, 2], 1));
    assert!(says(&lost, "data", "found a bad block"), "{lost:?}");
    // At once, or after its header could be read.
    for from in [0, 1] {
        let (rows, lost) = salvage_on(bad(Call::Open, LIVE, from));
        assert_eq!(rows, [0]);
        assert!(says(&lost, LIVE, "found a bad block"), "{lost:?}");
    }
}

#[test]
fn a_file_that_is_shorter_than_the_system_says_is_read_to_its_end() {
    let image = database(false).with("manifest", None);
    let length = image.get(ROWS).unwrap().len() as u64;
    let device = Device::answering(&SimFiles::mount(&image), move |call, path| {
        (call == Call::Length && path == ROWS).then_some(Ok(length + 10))
    });
    assert_eq!(salvage_on(device).0, [0]);
}
