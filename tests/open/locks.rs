//! One opener at a time.

use super::directory::Directory;
use super::names;
use folio::{Database, Durability, Error};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

const HOLDER: &str = "FOLIO_LOCK_HOLDER";

fn is_locked(directory: &Directory) -> bool {
    match Database::open(directory) {
        Ok(_) => false,
        Err(Error::Locked { path }) => {
            assert_eq!(*path, *directory.0.display().to_string());
            true
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_second_handle_of_this_process_is_refused_until_the_first_ends() {
    let directory = Directory::new("locks-two");
    let db = Database::open(&directory).unwrap();
    assert!(is_locked(&directory));
    assert!(matches!(Database::verify_at(&directory), Err(Error::Locked { .. })));
    assert!(matches!(db.backup_to(&directory), Err(Error::Locked { .. })));
    // What was refused has not unlocked it.
    assert!(is_locked(&directory));
    drop(db);
    assert!(!is_locked(&directory));
    let db = Database::open(&directory).unwrap();
    db.close().unwrap();
    assert!(!is_locked(&directory));
    // The closed handle is of another life now.
    let again = Database::open(&directory).unwrap();
    drop(db);
    assert!(is_locked(&directory));
    drop(again);
}

#[test]
fn the_last_of_all_handles_unlocks_from_any_thread() {
    let directory = Directory::new("locks-last");
    for turn in 0..6 {
        let db = Database::open(&directory).unwrap();
        let table = db.ensure_table(names()).unwrap();
        table.insert(&json!({ "name": format!("turn {turn}") })).unwrap();
        let (clone, other, snapshot, fork) = (db.clone(), table.clone(), db.snapshot(), db.fork());
        let handles: [Box<dyn FnOnce() + Send>; 4] = [
            Box::new(move || drop(db)),
            Box::new(move || drop(table)),
            Box::new(move || drop(clone)),
            Box::new(move || drop(other)),
        ];
        let mut handles: Vec<_> = handles.into_iter().collect();
        handles.rotate_left(turn % 4);
        for handle in handles {
            assert!(is_locked(&directory));
            if turn % 2 == 0 { std::thread::spawn(handle).join().unwrap() } else { handle() }
        }
        // Neither a snapshot nor a fork holds the directory; both go on without it.
        assert!(!is_locked(&directory));
        assert_eq!(snapshot.table("names").unwrap().len().unwrap(), turn as u64 + 1);
        fork.table("names").unwrap().insert(&json!({ "name": "in memory" })).unwrap();
    }
}

/// The threads in the background may be in the middle of a checkpoint or a sync, and the lock is free all the same.
#[test]
fn nobody_else_holds_the_lock() {
    let directory = Directory::new("locks-background");
    for turn in 0..100 {
        let builder =
            Database::builder().checkpoint_bytes(1).durability(Durability::Interval(Duration::from_micros(50)));
        let db = builder.open(&directory).unwrap_or_else(|error| panic!("turn {turn}: {error}"));
        let table = db.ensure_table(names()).unwrap();
        for n in 0..3 {
            table.insert(&json!({ "name": format!("{turn}, {n}") })).unwrap();
        }
    }
}

#[test]
fn another_process_is_refused_until_it_is_killed() {
    let directory = Directory::new("locks-process");
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "locks::holds_a_directory", "--nocapture"])
        .env(HOLDER, &directory.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("it is held")), "the holder has failed");
    assert!(is_locked(&directory));
    holder.kill().unwrap();
    holder.wait().unwrap();
    let db = Database::open(&directory).unwrap();
    assert_eq!(db.table("names").unwrap().len().unwrap(), 1);
}

/// The other process, which holds the directory until it is killed or its input ends; a test without content otherwise.
#[test]
fn holds_a_directory() {
    let Some(path) = std::env::var_os(HOLDER) else { return };
    let db = Database::open(path).unwrap();
    db.ensure_table(names()).unwrap().insert(&json!({ "name": "from the holder" })).unwrap();
    println!("it is held");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}
