//! A process that has few descriptors: each test starts itself as one that the shell limits.

use super::directory::Directory;
use folio::{Column, Database, Schema};
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
