//! Paths and names that are not what one hopes for.

use super::directory::Directory;
use super::{killed, names, tree};
use folio::{Column, Database, Error, Schema};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;

fn fails_as_a_place(result: folio::Result<Database>) -> bool {
    matches!(result, Err(Error::Io { .. } | Error::NotADatabase { .. }))
}

#[test]
fn paths_that_can_be_no_directory_are_refused() {
    let directory = Directory::new("places-paths");
    assert!(fails_as_a_place(Database::open("")));
    assert!(fails_as_a_place(Database::open(directory.0.join("with\0nul"))));
    fs::create_dir_all(&directory).unwrap();
    let file = directory.0.join("file");
    fs::write(&file, "a file").unwrap();
    assert!(matches!(Database::open(&file), Err(Error::NotADatabase { .. })));
    assert!(fails_as_a_place(Database::open(file.join("below"))));
    assert!(fails_as_a_place(Database::builder().name("below").open(&file)));
    assert!(Database::in_memory().backup_to(&file).is_err());
    assert_eq!(tree(&directory.0), [(file, b"a file".to_vec())]);
    assert!(fails_as_a_place(Database::open(directory.0.join("x".repeat(300)))));
    // Folders above it are made.
    drop(Database::open(directory.0.join("a/b/c")).unwrap());
    assert!(directory.0.join("a/b/c/manifest").is_file());
}

#[cfg(unix)]
#[test]
fn a_directory_that_may_not_be_written_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let directory = Directory::new("places-readonly");
    fs::create_dir_all(&directory).unwrap();
    let set = |mode| fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
    set(0o500);
    if fs::create_dir(directory.0.join("probe")).is_ok() {
        println!("skipped: this user may write everywhere");
    } else {
        assert!(matches!(Database::open(&directory), Err(Error::Io { .. })));
        assert!(matches!(Database::open(directory.0.join("below")), Err(Error::Io { .. })));
    }
    set(0o700);
}

#[test]
fn what_is_not_a_database_is_left_alone() {
    let directory = Directory::new("places-foreign");
    fs::create_dir_all(directory.0.join("data")).unwrap();
    fs::write(directory.0.join("data/results.csv"), "1,2,3").unwrap();
    fs::write(directory.0.join("thesis.txt"), "years of work").unwrap();
    let before = tree(&directory.0);
    assert!(matches!(Database::open(&directory), Err(Error::NotADatabase { .. })));
    assert!(matches!(Database::verify_at(&directory), Err(Error::NotADatabase { .. })));
    assert!(matches!(Database::in_memory().backup_to(&directory), Err(Error::NotADatabase { .. })));
    assert_eq!(tree(&directory.0), before);
}

#[test]
fn folders_of_others_are_no_damaged_database() {
    for foreign in ["data/results.csv", "schema/001.sql", "wal/notes.txt"] {
        let directory = Directory::new("places-folders");
        let file = directory.0.join(foreign);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "1,2,3").unwrap();
        let refused = |answer: folio::Result<()>| match answer {
            Err(Error::NotADatabase { found, .. }) => assert!(found.contains(foreign), "{found}"),
            other => panic!("{other:?}"),
        };
        refused(Database::open(&directory).map(drop));
        refused(Database::in_memory().backup_to(&directory));
        refused(Database::verify_at(&directory).map(drop));
        refused(Database::salvage(&directory).map(drop));
        assert_eq!(tree(&directory.0), [(file, b"1,2,3".to_vec())]);
    }
}

#[cfg(unix)]
#[test]
fn a_database_can_be_made_in_a_folder_that_may_be_written_and_not_read() {
    use std::os::unix::fs::PermissionsExt;

    let directory = Directory::new("places-drop-box");
    fs::create_dir_all(&directory).unwrap();
    let set = |mode| fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
    set(0o333);
    if fs::read_dir(&directory).is_ok() {
        println!("skipped: this user may read everything");
    } else {
        drop(Database::open(directory.0.join("below")).unwrap());
        Database::in_memory().backup_to(directory.0.join("copy")).unwrap();
    }
    set(0o700);
}

#[test]
fn foreign_files_in_a_database_stay() {
    let directory = Directory::new("places-guests");
    let db = Database::open(&directory).unwrap();
    db.ensure_table(names()).unwrap().insert(&json!({ "name": "a" })).unwrap();
    drop(db);
    let guests = ["notes.txt", "wal/notes.txt", "data/notes.csv", "schema/notes.json", "data/NAMES.records"];
    for guest in guests {
        fs::write(directory.0.join(guest), guest).unwrap();
    }
    let db = Database::open(&directory).unwrap();
    db.table("names").unwrap().insert(&json!({ "name": "b" })).unwrap();
    db.compact().unwrap();
    db.close().unwrap();
    for guest in guests {
        assert_eq!(fs::read_to_string(directory.0.join(guest)).unwrap(), guest);
    }
    assert_eq!(Database::verify_at(&directory).unwrap(), []);
}

const NAMES: [&str; 19] = [
    "",
    ".",
    "..",
    "a/b",
    "a\\b",
    "/",
    "../out",
    "CON",
    "con",
    "Nul",
    "c:",
    "ünïcödé",
    "日本語",
    " ",
    "a b",
    "a%2fb",
    "=",
    "a.1",
    "nul\0",
];

#[test]
fn any_text_is_the_name_of_a_database() {
    let directory = Directory::new("places-names");
    let base = directory.0.join("base");
    for name in NAMES {
        let db = Database::builder().name(name).open(&base).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        db.ensure_table(names()).unwrap().insert(&json!({ "name": name })).unwrap();
    }
    for name in NAMES {
        let db = Database::builder().name(name).open(&base).unwrap();
        let found: Vec<(u64, String)> = db.table("names").unwrap().select().fetch().unwrap();
        assert_eq!(found, [(1, name.into())]);
    }
    // Each has one folder in the base, different also where case is folded, and nothing is elsewhere.
    let folders = |path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = folders(&base).map(|name| name.to_lowercase()).collect();
    assert_eq!(found.len(), NAMES.len());
    assert_eq!(folders(&directory.0).collect::<Vec<_>>(), ["base"]);
    let too_long = Database::builder().name("n".repeat(300)).open(&base);
    assert!(matches!(too_long, Err(Error::Limit { limit: 128, found: 300, .. })), "{too_long:?}");
    drop(Database::builder().name("ü".repeat(64)).open(&base).unwrap());
}

#[test]
fn any_name_that_a_table_may_have_is_stored() {
    let directory = Directory::new("places-tables");
    let db = Database::open(&directory).unwrap();
    let long = "ß".repeat(64);
    let mut made = Vec::new();
    for name in NAMES.into_iter().chain([&*long, &*"x".repeat(300)]) {
        match Schema::builder(name).column(Column::string("name")).build() {
            Ok(schema) => {
                db.create_table(schema).unwrap().insert(&(name,)).unwrap();
                made.push(name.to_owned());
            }
            Err(error) => {
                assert!(name.is_empty() || name.len() > 128 || name.contains('\0'), "{name:?}: {error}");
                assert!(matches!(error, Error::InvalidSchema { .. }));
            }
        }
    }
    made.sort();
    assert_eq!(made.len(), NAMES.len() - 1);
    // In the log, then in a checkpoint.
    for _ in 0..2 {
        let killed = killed(&directory);
        let db = Database::open(&killed).unwrap();
        assert_eq!(db.table_names(), made);
        for name in &made {
            let found: Vec<(String,)> = db.table(name).unwrap().select().fetch().unwrap();
            assert_eq!(found, [(name.clone(),)]);
        }
        drop(db);
    }
    db.checkpoint().unwrap();
    drop(db);
    let db = Database::open(&directory).unwrap();
    assert_eq!(db.table_names(), made);
    let folders: BTreeSet<String> = ["data", "lock", "manifest", "schema", "wal"].map(String::from).into();
    let found = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(found.collect::<BTreeSet<_>>(), folders);
}

/// A directory that is removed or moved while it is open, and another database in its place: what the old handle does from
/// then on is an error, and none of the other's commits are lost.
#[cfg(unix)]
#[test]
fn a_handle_of_a_directory_that_is_gone_leaves_the_next_one_alone() {
    let name = |name: String| json!({ "name": name });
    for is_moved in [false, true] {
        let (directory, away) = (Directory::new("places-gone"), Directory::new("places-away"));
        let open = || Database::builder().segment_bytes(500).open(&directory).unwrap();
        let old = open();
        let old_names = old.ensure_table(names()).unwrap();
        old_names.insert(&name("old".into())).unwrap();
        if is_moved {
            fs::rename(&directory, &away).unwrap();
        } else {
            fs::remove_dir_all(&directory).unwrap();
        }
        let new = open();
        let table = new.ensure_table(names()).unwrap();
        for n in 0..5 {
            table.insert(&name(format!("new {n}"))).unwrap();
        }
        // Until the log wants its next segment.
        let refused = (0..100).find_map(|n| old_names.insert(&name(format!("old {n}"))).err());
        assert!(
            matches!(&refused, Some(Error::Io { source, .. }) if source.to_string().contains("moved")),
            "{refused:?}"
        );
        assert!(old.checkpoint().is_err() && old.close().is_err());
        assert_eq!(new.verify().unwrap(), []);
        let killed = killed(&directory);
        let again = Database::open(&killed).unwrap();
        assert_eq!(again.table("names").unwrap().len().unwrap(), 5);
        assert!(again.table("names").unwrap().find("name", "new 4").unwrap().is_some());
        if is_moved {
            // What the old one has acknowledged is where its directory is now.
            drop((old, old_names));
            let old = Database::open(&away).unwrap();
            assert!(old.table("names").unwrap().len().unwrap() > 1);
        }
    }
}

/// Its files may be another's by then.
#[test]
fn a_closed_handle_verifies_its_memory_alone() {
    let directory = Directory::new("places-closed");
    let db = Database::open(&directory).unwrap();
    db.ensure_table(names()).unwrap().insert(&json!({ "name": "a" })).unwrap();
    db.close().unwrap();
    let again = Database::open(&directory).unwrap();
    again.table("names").unwrap().insert(&json!({ "name": "b" })).unwrap();
    again.compact().unwrap();
    assert_eq!(db.verify().unwrap(), []);
    assert_eq!(again.verify().unwrap(), []);
}
