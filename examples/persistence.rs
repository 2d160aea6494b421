//! A database on disk: saved, reopened, crashed, recovered, exported, imported, backed up.
//!
//! ```sh
//! cargo run --release --example persistence
//! ```
//!
//! Works in a directory of its own below the system's temporary one, and removes it. What is printed is asserted too, so
//! that this also is a test.

use folio::storage::OpenReport;
use folio::{Column, Database, Durability, ImportOptions, Index, Result, Schema};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Student {
    id: Option<u64>,
    name: String,
    gpa: f64,
}

fn students() -> Result<Schema> {
    Schema::builder("students")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("name").check("not blank", |name| !name.trim().is_empty()))
        .column(Column::f64("gpa"))
        .index(Index::ordered(["gpa"]))
        .build()
}

fn student(name: &str, gpa: f64) -> Student {
    Student { id: None, name: name.into(), gpa }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    if let Some(base) = env::args().nth(1) {
        return Ok(crash(Path::new(&base))?);
    }
    let base = env::temp_dir().join(format!("folio-persistence-example-{}", std::process::id()));
    let outcome = run(&base);
    fs::remove_dir_all(&base)?;
    outcome
}

fn run(base: &Path) -> std::result::Result<(), Box<dyn std::error::Error>> {
    // Archived segments of the log are kept, to have something to show.
    let open = || Database::builder().name("university").keep_archived(true).open(base);

    println!("— Create, insert, save");
    let db = open()?;
    let table = db.ensure_table(students()?)?;
    table.insert(&student("Alice", 3.8))?; // on disk when this returns
    table.insert_many([student("Bob", 2.9), student("Carol", 3.4)])?;
    println!("version {} is durable up to {}", db.snapshot().version(), db.durable_version());
    println!("saved as of version {}", db.save()?);
    table.update(2, &serde_json::json!({ "gpa": 3.0 }))?; // in the log, behind the checkpoint
    let version = db.snapshot().version();
    drop((table, db));

    println!("\n— Reopen");
    let db = open()?;
    let opening = db.opening().expect("it was opened");
    println!("the log ended {:?}; checkpoint {}, replayed {}", opening.log, opening.checkpoint, opening.replayed);
    assert_eq!((opening.log, opening.version), (OpenReport::Clean, version));
    // The check of `name` is code: it is given back with the schema.
    assert_eq!(opening.missing_closures.len(), 1);
    let table = db.ensure_table(students()?)?;
    assert_eq!(table.get(2)?.expect("Bob").decode::<Student>()?, Student { id: Some(2), ..student("Bob", 3.0) });
    db.close()?;
    print_tree(base, 0)?;
    let archived = fs::read_dir(base.join("university/wal"))?.count() - 1;
    println!("{archived} archived segments of the log");
    assert!(archived >= 1);

    println!("\n— Crash: a process that aborts while it writes");
    let mut child = Command::new(env::current_exe()?).arg(base).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut acknowledged = 0_u64;
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        acknowledged = line?.parse()?;
    }
    println!("it said that version {acknowledged} was committed, and ended with {}", child.wait()?);
    // A power cut can leave half a write behind, which a mere abort does not.
    let mut log = fs::OpenOptions::new().append(true).open(base.join("university/wal/transaction.log"))?;
    log.write_all(b"half of a")?;
    drop(log);

    println!("\n— Recover");
    let db = open()?;
    let opening = db.opening().expect("it was opened");
    println!("the log ended {:?}; checkpoint {}, replayed {}", opening.log, opening.checkpoint, opening.replayed);
    assert!(matches!(opening.log, OpenReport::TornTail { .. }) && opening.version == acknowledged);
    assert_eq!(db.verify()?, []);
    let table = db.ensure_table(students()?)?;
    println!("{} students, the last is {:?}", table.len()?, table.nth(table.len()? - 1)?.map(|row| row.id()));

    println!("\n— Export and import");
    let mut exported = Vec::new(); // or a file
    table.export_json_lines(&mut exported)?;
    println!("{}", String::from_utf8_lossy(&exported).lines().next().unwrap_or_default());
    let other = Database::in_memory();
    let imported = other.create_table(students()?)?.import_json_lines(&*exported, &ImportOptions::new())?;
    assert_eq!((imported.rows, imported.skipped), (table.len()?, 0));
    let bad = "{\"name\":\"Dave\",\"gpa\":\"high\"}\n";
    let error = table.import_json_lines(bad.as_bytes(), &ImportOptions::new().source("more.jsonl"));
    println!("refused: {}", error.expect_err("a grade is a number"));

    println!("\n— Back up, while it is open");
    let copy = base.join("copy");
    db.backup_to(&copy)?;
    assert_eq!(Database::verify_at(&copy)?, []);
    let copy = Database::builder().durability(Durability::Buffered).open(&copy)?;
    assert_eq!(copy.table("students")?.len()?, table.len()?);
    println!("the copy has version {} as well", copy.snapshot().version());
    let figures = db.stats().storage.expect("it is on disk").engine;
    println!("{} bytes of log, {} bytes of tables", figures.log_bytes, figures.live_object_bytes);
    Ok(())
}

/// Commits, tells each version, and dies in the middle.
fn crash(base: &Path) -> Result<()> {
    let db = Database::builder().name("university").keep_archived(true).open(base)?;
    let table = db.ensure_table(students()?)?;
    for n in 0..20 {
        table.insert(&student(&format!("Student {n}"), 2.0))?;
        println!("{}", db.snapshot().version());
    }
    std::process::abort()
}

fn print_tree(folder: &Path, depth: usize) -> std::io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, indent) = (entry.file_name().to_string_lossy().into_owned(), "    ".repeat(depth));
        if entry.file_type()?.is_dir() {
            println!("{indent}{name}/");
            print_tree(&entry.path(), depth + 1)?;
        } else {
            println!("{indent}{name:<40} {:>8} bytes", entry.metadata()?.len());
        }
    }
    Ok(())
}
