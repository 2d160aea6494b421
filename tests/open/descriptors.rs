//! A process that has few descriptors, or none left for a moment. Each test starts itself as one that the shell limits.

use super::directory::Directory;
use super::names;
use folio::{Column, Database, Error, Schema};
use serde_json::json;
use std::fs::File;
use std::process::Command;

const INNER: &str = "FOLIO_FEW_DESCRIPTORS";

/// Whether this is the process with at most so many descriptors; the other waits for it to pass.
fn is_limited(name: &str, descriptors: u32) -> bool {
    if std::env::var_os(INNER).is_some() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let limited = format!("ulimit -n {descriptors} && exec \"$0\" --exact \"$1\" --nocapture");
    let name = format!("descriptors::{name}");
    let output = Command::new("sh").args(["-c", &limited]).arg(program).arg(name).env(INNER, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

#[test]
fn more_tables_change_than_files_can_be_open() {
    const TABLES: u64 = 120;
    if !is_limited("more_tables_change_than_files_can_be_open", 100) {
        return;
    }
    let directory = Directory::new("descriptors-tables");
    let schema = |n: u64| Schema::builder(format!("t{n}")).column(Column::u64("n")).build().unwrap();
    let fill = |db: &Database, of: u64| {
        db.transaction(|tx| (0..TABLES).try_for_each(|n| tx.ensure_table(schema(n))?.insert(&(of,)).map(drop)))
            .unwrap();
    };
    let is_filled = |db: &Database, rows: u64| {
        assert!((0..TABLES).all(|n| db.table(format!("t{n}")).unwrap().len().unwrap() == rows));
    };
    let origin = Database::in_memory();
    fill(&origin, 0);
    origin.backup_to(&directory).unwrap();
    let db = Database::open(&directory).unwrap();
    is_filled(&db, 1);
    fill(&db, 1);
    db.checkpoint().unwrap();
    fill(&db, 2);
    db.compact().unwrap();
    fill(&db, 3);
    db.close().unwrap();
    let again = Database::open(&directory).unwrap();
    assert_eq!(again.opening().unwrap().replayed, 0);
    is_filled(&again, 4);
    assert_eq!(again.verify().unwrap(), []);
}

/// What finds no descriptor is refused and has not happened, and the next time it is done.
#[test]
fn a_moment_without_descriptors_passes() {
    if !is_limited("a_moment_without_descriptors_passes", 64) {
        return;
    }
    let directory = Directory::new("descriptors-moment");
    let open = || Database::builder().segment_bytes(1_000).checkpoint_bytes(None).open(&directory).unwrap();
    let mut db = open();
    let mut stored = 0;
    let mut refused = 0;
    for free in 0..6 {
        let table = db.ensure_table(names()).unwrap();
        let mut insert = || {
            let name = format!("{stored:0400}");
            let inserted = table.insert(&json!({ "name": name }));
            stored += u64::from(inserted.is_ok());
            inserted.map(drop)
        };
        let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(taken.len() > free);
        taken.truncate(taken.len() - free);
        // Four rows need another segment.
        let mut outcomes: Vec<_> = (0..4).map(|_| insert()).collect();
        outcomes.push(db.checkpoint().map(drop));
        outcomes.extend((0..2).map(|_| insert()));
        for outcome in outcomes {
            match outcome {
                Ok(()) => {}
                Err(Error::Io { .. }) => refused += 1,
                Err(error) => panic!("with {free} descriptors: {error:?}"),
            }
        }
        let closed = if free % 2 == 0 { db.close() } else { Ok(()) };
        drop(taken);
        match closed {
            Ok(()) if free % 2 == 1 => {
                (0..4).for_each(|_| insert().unwrap());
                db.checkpoint().unwrap();
            }
            Ok(()) | Err(Error::Io { .. }) => {}
            Err(error) => panic!("closed with {free} descriptors: {error:?}"),
        }
        drop((table, db));
        db = open();
        assert_eq!(db.table("names").unwrap().len().unwrap(), stored);
        assert_eq!(db.verify().unwrap(), []);
    }
    assert!(refused > 0);
}
