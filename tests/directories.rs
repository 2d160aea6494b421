//! Real directories that are not what an engine hopes for.
#![cfg(unix)]

use folio::Error;
use folio::storage::{Appended, Batch, FileEngine, FileOptions, Files, OsFiles, StorageEngine};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A path of its own, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("folio-directories-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn open(&self) -> folio::Result<FileEngine> {
        FileEngine::open(&self.0, FileOptions::default())
    }

    /// A closed storage with one batch.
    fn begun(name: &str) -> Self {
        let place = Self::new(name);
        let engine = place.open().unwrap();
        engine.claim().unwrap();
        assert_eq!(engine.append(Batch { first: 1, count: 1, payload: b"one" }).unwrap(), Appended::At(1));
        engine.close().unwrap();
        place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every file below, with its content.
fn tree(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let place = Place::new("foreign");
    fs::create_dir_all(&place.0).unwrap();
    fs::write(place.0.join("thesis.txt"), "years of work").unwrap();
    assert!(matches!(place.open(), Err(Error::NotADatabase { .. })));
    assert_eq!(fs::read_to_string(place.0.join("thesis.txt")).unwrap(), "years of work");
}

#[test]
fn a_file_in_place_of_a_directory_is_named() {
    let place = Place::new("file");
    fs::create_dir_all(&place.0).unwrap();
    let file = place.0.join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(FileEngine::open(&file, FileOptions::default()), Err(Error::NotADatabase { .. })));
    assert!(matches!(
        FileEngine::open(file.join("below"), FileOptions::default()),
        Err(Error::NotADatabase { .. } | Error::Io { .. })
    ));
}

#[test]
fn foreign_files_in_a_database_stay() {
    let place = Place::begun("guests");
    let guests = [
        "notes.txt",
        "wal/notes.txt",
        "wal/transaction.17.log",
        "data/Students.records",
        "data/a.csv",
        "schema/x.json",
    ];
    for guest in guests {
        fs::write(place.0.join(guest), guest).unwrap();
    }
    // What a crash of a checkpoint leaves goes.
    fs::write(place.0.join("data/students.records"), "unfinished").unwrap();
    let engine = place.open().unwrap();
    engine.claim().unwrap();
    engine.seal().unwrap();
    drop(engine);
    for guest in guests {
        assert_eq!(fs::read_to_string(place.0.join(guest)).unwrap(), guest);
    }
    assert!(!place.0.join("data/students.records").exists());
}

#[test]
fn links_and_pipes_are_not_followed() {
    for name in ["manifest", "wal/transaction.log", "lock", "wal"] {
        let place = Place::begun(&format!("link-{}", name.replace('/', "-")));
        let (inside, outside) = (place.0.join(name), place.0.with_extension("outside"));
        fs::rename(&inside, &outside).unwrap();
        symlink(&outside, &inside).unwrap();
        let opened = place.open();
        assert!(matches!(opened, Err(Error::Io { .. } | Error::Corrupt { .. })), "{name}: {opened:?}");
        let _ = fs::remove_dir_all(&outside);
        let _ = fs::remove_file(&outside);
    }
    let place = Place::begun("pipe");
    let log = place.0.join("wal/transaction.log");
    fs::remove_file(&log).unwrap();
    if std::process::Command::new("mkfifo").arg(&log).status().is_ok_and(|status| status.success()) {
        assert!(matches!(place.open(), Err(Error::Io { .. } | Error::Corrupt { .. })));
    }
}

/// Nothing is made where it leads, in the directory that it stands for or below.
#[test]
fn a_link_to_nowhere_is_no_place() {
    let place = Place::new("nowhere");
    fs::create_dir_all(&place.0).unwrap();
    let (link, nowhere) = (place.0.join("link"), place.0.join("nowhere"));
    symlink(&nowhere, &link).unwrap();
    for path in [link.clone(), link.join("below"), link.join("below/it")] {
        let opened = FileEngine::open(&path, FileOptions::default());
        assert!(matches!(&opened, Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound), "{opened:?}");
    }
    assert!(!nowhere.exists());
}

#[test]
fn what_is_opened_to_be_read_is_not_made() {
    let place = Place::new("to-read");
    fs::create_dir_all(&place.0).unwrap();
    let file = place.0.join("file");
    fs::write(&file, "").unwrap();
    for (path, kind) in [(place.0.join("missing"), ErrorKind::NotFound), (file, ErrorKind::NotADirectory)] {
        let files = OsFiles::open_to_read(&path).unwrap();
        assert_eq!(files.lock("lock").err().map(|error| error.kind()), Some(kind));
    }
    assert_eq!(tree(&place.0).len(), 1);
}

/// Before it is locked none of its folders is held open, and each can be synced all the same.
#[test]
fn a_folder_can_be_synced_before_and_after_the_lock() {
    let place = Place::new("synced");
    let files = OsFiles::open(&place.0).unwrap();
    files.create_folder("data").unwrap();
    let files = OsFiles::open(&place.0).unwrap();
    let lock = files.lock("lock").unwrap();
    drop(lock);
    for files in [files, OsFiles::open(&place.0).unwrap()] {
        files.sync_folder("").unwrap();
        files.sync_folder("data").unwrap();
        assert_eq!(files.sync_folder("wal").unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn an_opening_that_fails_changes_nothing() {
    let place = Place::begun("unchanged");
    let log = place.0.join("wal/transaction.log");
    let mut bytes = fs::read(&log).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&log, bytes).unwrap();
    let before = tree(&place.0);
    assert!(matches!(place.open(), Err(Error::Corrupt { .. })));
    assert_eq!(tree(&place.0), before);
}

#[test]
fn one_that_is_not_claimed_changes_nothing() {
    let place = Place::begun("looked-at");
    let engine = place.open().unwrap();
    engine.claim().unwrap();
    assert_eq!(engine.append(Batch { first: 2, count: 1, payload: b"two" }).unwrap(), Appended::At(2));
    drop(engine);
    let before = tree(&place.0);
    let engine = place.open().unwrap();
    assert_eq!(engine.recovery().last, 2);
    engine.close().unwrap();
    assert_eq!(tree(&place.0), before);
}
