//! What imports and refusals take of memory, that an import which is refused memory stores nothing, and what goes back.

use folio::{Column, Database, Error, ImportOptions, Imported, OnError, Result, Schema, Table};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static MEMORY: Cell<Memory> = const { Cell::new(Memory { held: 0, peak: 0, refused: 0 }) };
}

/// Of one thread, in bytes.
#[derive(Clone, Copy)]
struct Memory {
    held: usize,
    peak: usize,
    /// Allocations of just this size are refused.
    refused: usize,
}

/// The system's allocator, which counts what each thread holds.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: what is answered is the system allocator's answer or null, which the trait allows; it keeps the rest of the
// contract, with the arguments that it was given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let is_refused = MEMORY.try_with(|memory| {
            let Memory { held, peak, refused } = memory.get();
            let held = held.saturating_add(layout.size());
            memory.set(Memory { held, peak: peak.max(held), refused });
            layout.size() == refused
        });
        if is_refused == Ok(true) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let _ = MEMORY.try_with(|memory| {
            let Memory { held, .. } = memory.get();
            memory.set(Memory { held: held.saturating_sub(layout.size()), ..memory.get() });
        });
        // SAFETY: every block came from the system allocator.
        unsafe { System.dealloc(block, layout) }
    }
}

/// The most bytes that this thread holds at once for `body`.
fn peak<T>(body: impl FnOnce() -> T) -> (usize, T) {
    let held = MEMORY.get().held;
    MEMORY.set(Memory { peak: held, ..MEMORY.get() });
    let answer = body();
    (MEMORY.get().peak - held, answer)
}

fn refusing<T>(bytes: usize, body: impl FnOnce() -> T) -> T {
    MEMORY.set(Memory { refused: bytes, ..MEMORY.get() });
    let answer = body();
    MEMORY.set(Memory { refused: 0, ..MEMORY.get() });
    answer
}

/// What it has kept lists of, block by block, no later one needs.
#[test]
fn a_huge_transaction_leaves_no_lists_behind() {
    const ROWS: usize = 70_000;
    let db = Database::in_memory();
    let table = texts(&db);
    // Too long for a page, so that each is a block.
    let long = "x".repeat(1_100);
    let listed = || {
        db.reclaim();
        let memory = db.stats().memory;
        MEMORY.get().held - memory.reserved_bytes - memory.vacant_bytes
    };
    let before = listed();
    table.insert_many((0..ROWS).map(|_| (&long,))).unwrap();
    assert_eq!(table.delete_where(|_: &folio::Row<'_>| true).unwrap(), ROWS as u64);
    db.transaction(|tx| {
        tx.table("t")?.insert_many((0..ROWS).map(|_| (&long,)))?;
        Err::<(), _>(Error::abort("no"))
    })
    .unwrap_err();
    // A row that is held meanwhile keeps what the transaction itself has made and replaced.
    db.transaction(|tx| {
        let table = tx.table("t")?;
        table.insert_many((0..ROWS).map(|_| (&long,)))?;
        let first = table.iter()?.next();
        assert_eq!(table.delete_where(|_: &folio::Row<'_>| true)?, ROWS as u64);
        assert!(first.is_some());
        Ok(())
    })
    .unwrap();
    let after = listed();
    assert!(after < before + (1 << 20), "{before} bytes, then {after}");
}

/// A read that is held for long leaves the rows scattered over all that was written meanwhile.
#[test]
fn what_a_long_read_held_goes_back_to_the_system() {
    const ROWS: u64 = 20_000;
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::u64("id").primary_key().auto_increment());
    let table = db.create_table(schema.column(Column::u64("n")).column(Column::string("s")).build().unwrap()).unwrap();
    table.insert_many((0..ROWS).map(|n| (None::<u64>, n, "a text of some length"))).unwrap();
    let memory = || db.stats().memory;
    let update = |count: u64, stride: u64| {
        (0..count).for_each(|n| table.update(1 + n * stride % ROWS, &serde_json::json!({ "n": n })).unwrap());
    };

    let row = table.get(1_u64).unwrap();
    update(120_000, 7_919);
    let peak = memory();
    assert!(peak.reserved_bytes > 128 << 20, "{peak:?}");
    drop(row);
    // No commit gives back more than two pieces of 2 MiB.
    let mut last = peak.reserved_bytes;
    for n in 0..4_000_u64 {
        table.update(1 + n, &serde_json::json!({ "n": n })).unwrap();
        let now = memory().reserved_bytes;
        assert!(last.saturating_sub(now) <= 2 * (2 << 20), "{last}, then {now}");
        last = now;
    }
    assert!(last < peak.reserved_bytes - (16 << 20) || !cfg!(target_os = "linux"), "{last}");
    db.reclaim();
    let after = memory();
    assert!(after.used_bytes < 4 << 20 && after.waiting_bytes == 0, "{after:?}");
    assert!(after.reserved_bytes + after.vacant_bytes <= peak.reserved_bytes, "{after:?}");
    if cfg!(target_os = "linux") {
        // A span is held by each page at most.
        assert!(after.reserved_bytes < peak.reserved_bytes / 2, "{after:?}");
    }
    // As the rows change they gather, and the rest goes by itself.
    update(ROWS, 1);
    update(ROWS, 1);
    let gathered = memory();
    assert!(gathered.reserved_bytes < 24 << 20, "{gathered:?}");
    assert_eq!(db.verify().unwrap(), []);
}

type Import = fn(&Table, &[u8], &ImportOptions) -> Result<Imported>;

const JSON: Import = |table, text, options| table.import_json(text, options);
const LINES: Import = |table, text, options| table.import_json_lines(text, options);
const CSV: Import = |table, text, options| table.import_csv(text, options);

fn skip() -> ImportOptions {
    ImportOptions::new().on_error(OnError::Skip)
}

fn texts(db: &Database) -> Table {
    db.create_table(Schema::builder("t").column(Column::string("s")).build().unwrap()).unwrap()
}

/// Neither as a record that is wrong, nor as an error of one.
#[test]
fn an_import_without_memory_for_a_row_stores_none() {
    // As long as nothing is that grows by doubling.
    const TEXT_BYTES: usize = 3_000_001;
    let long = "x".repeat(TEXT_BYTES);
    let lines = format!("{{\"s\":\"a\"}}\n{{\"s\":\"{long}\"}}\n{{\"s\":\"b\"}}\n");
    let document = format!("[{}]", lines.trim_end().replace('\n', ","));
    let csv = format!("s\na\n{long}\nb\n");
    // A record of CSV is also copied, with the end of its line.
    let cases: [(Import, &str, usize); 4] = [
        (JSON, &document, TEXT_BYTES),
        (LINES, &lines, TEXT_BYTES),
        (CSV, &csv, TEXT_BYTES),
        (CSV, &csv, TEXT_BYTES + 1),
    ];
    for (import, text, refused) in cases {
        for options in [ImportOptions::new(), skip()] {
            let table = texts(&Database::in_memory());
            let error = refusing(refused, || import(&table, text.as_bytes(), &options)).unwrap_err();
            assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
            assert_eq!(table.len().unwrap(), 0);
            assert_eq!(import(&table, text.as_bytes(), &options).unwrap().rows, 3);
        }
    }
}

/// A text is gathered by doubling, and copied as it grows: that is three times its size.
#[test]
fn a_csv_header_takes_no_more_memory_than_its_text() {
    let table = texts(&Database::in_memory());
    for head in [",".repeat(4 << 20), "s,".repeat(2 << 20)] {
        let (bytes, answer) = peak(|| CSV(&table, head.as_bytes(), &skip()));
        let error = answer.unwrap_err();
        assert_eq!(error.code(), "limit", "{error}");
        assert!(bytes < 4 * head.len(), "{bytes} bytes for {}", head.len());
    }
}

#[test]
fn an_array_of_too_many_elements_takes_no_more_memory_than_its_text() {
    let schema = Schema::builder("t").column(Column::new("a", "2xu8".parse().unwrap())).build().unwrap();
    let table = Database::in_memory().create_table(schema).unwrap();
    let array = format!("[1,2{}]", ",1".repeat(2 << 20));
    let (lines, csv) = (format!("{{\"a\":{array}}}"), format!("a\n\"{array}\"\n"));
    for (import, text, times) in [(LINES, &lines, 4), (CSV, &csv, 7)] {
        let (bytes, answer) = peak(|| import(&table, text.as_bytes(), &ImportOptions::new()));
        let error = answer.unwrap_err();
        assert!(error.to_string().ends_with("expected 2 values, found 2097154"), "{error}");
        assert!(bytes < times * text.len(), "{bytes} bytes for {}", text.len());
    }
}

/// As `record_bytes_max` says.
#[test]
fn a_document_takes_a_tree_while_it_is_judged() {
    let schema = Schema::builder("t").column(Column::json("d")).build().unwrap();
    let table = Database::in_memory().create_table(schema).unwrap();
    let line = format!("{{\"d\":[1{}]}}", ",1".repeat(2 << 20));
    let (bytes, answer) = peak(|| LINES(&table, line.as_bytes(), &ImportOptions::new()));
    assert_eq!(answer.unwrap().rows, 1);
    assert!(bytes < 60 * line.len(), "{bytes} bytes for {}", line.len());
}

/// Its text may be many times as long, and is shown in part.
#[test]
fn a_value_that_is_refused_takes_no_memory_for_its_text() {
    // Six characters each where it is shown.
    let long = "\u{1}".repeat(4 << 20);
    let schema = Schema::builder("t")
        .column(Column::u8("n").unique())
        .column(Column::string("s").unique().check("no x", |s| !s.starts_with('x')))
        .check("no y", |row| !row.get::<str>("s").is_some_and(|s| s.starts_with('y')));
    let table = Database::in_memory().create_table(schema.build().unwrap()).unwrap();
    table.insert(&(1, &long)).unwrap();
    for (text, code) in [
        (long.clone(), "unique-violation"),
        (format!("x{long}"), "check-violation"),
        (format!("y{long}"), "check-violation"),
    ] {
        let (bytes, answer) = peak(|| table.insert(&(2, &text)));
        let error = answer.unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.to_string().len() < 1_000, "{}", error.to_string().len());
        assert!(bytes < 3 * text.len(), "{bytes} bytes for {}", text.len());
    }
}
