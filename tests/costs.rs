//! Costs that the documentation states, counted in allocations and their bytes, which no machine's mood changes.

use folio::{Column, Database, ImportOptions, Index, Schema};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATED: Cell<Cost> = const { Cell::new(Cost { allocations: 0, bytes: 0 }) };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    allocations: u64,
    bytes: usize,
}

/// The system's allocator, which counts the allocations of each thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is the system allocator's own, with the arguments given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|all| {
            let Cost { allocations, bytes } = all.get();
            all.set(Cost { allocations: allocations + 1, bytes: bytes + layout.size() });
        });
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: every block came from the system allocator.
        unsafe { System.dealloc(block, layout) }
    }
}

fn cost(body: impl FnOnce()) -> Cost {
    let before = ALLOCATED.get();
    body();
    let after = ALLOCATED.get();
    Cost { allocations: after.allocations - before.allocations, bytes: after.bytes - before.bytes }
}

fn database(tables: usize) -> Database {
    let db = Database::in_memory();
    for number in 0..tables {
        let schema = Schema::builder(format!("t{number}"))
            .column(Column::u64("id").primary_key().auto_increment())
            .column(Column::u64("n"));
        db.create_table(schema.build().unwrap()).unwrap();
    }
    db
}

#[test]
fn a_savepoint_behind_a_schema_change_does_not_cost_a_copy_of_the_catalogue() {
    let [few, many] = [2, 200].map(|tables| {
        let db = database(tables);
        let mut counted = 0;
        db.transaction(|tx| {
            tx.create_index("t0", Index::ordered(["n"]))?;
            let table = tx.table("t0")?;
            let insert = || drop(table.insert_returning::<_, Value>(&json!({ "n": 7 })).unwrap());
            insert();
            counted = cost(insert).allocations;
            Ok(())
        })
        .unwrap();
        counted
    });
    assert!(many <= few + 2, "{few} allocations with 2 tables, {many} with 200");
}

#[test]
fn a_fork_costs_the_same_however_many_tables_there_are() {
    let [few, many] = [1, 1_000].map(|tables| {
        let db = database(tables);
        let snapshot = db.snapshot();
        let mut forks = Vec::with_capacity(3);
        let first = cost(|| forks.push(db.fork()));
        let of_snapshot = cost(|| forks.push(snapshot.fork()));
        let fork = forks[0].clone();
        // The first read of a thread registers it, in a map of the thread's that grows at times.
        drop(fork.snapshot());
        let of_fork = cost(|| forks.push(fork.fork()));
        let table = cost(|| drop(fork.table("t0").unwrap()));
        let again = cost(|| drop(fork.table("t0").unwrap()));
        [first, of_snapshot, of_fork, table, again]
    });
    assert_eq!(few, many, "allocations and bytes with 1 table and with 1,000");
}

/// Of each small value in a document a tree would take a hundred times its text.
#[test]
fn a_document_is_judged_without_a_tree() {
    let db = Database::in_memory();
    let table = db.create_table(Schema::builder("t").column(Column::json("doc")).build().unwrap()).unwrap();
    let numbers = vec!["0"; 1 << 18].join(",");
    let line = format!("{{\"doc\":{{\"all\":[{numbers}],\"none\":[null,true,-1,0.5,\"\\u00e4\"]}}}}\n");
    let imported = cost(|| drop(table.import_json_lines(line.as_bytes(), &ImportOptions::new()).unwrap()));
    let raw: Box<RawValue> = serde_json::from_str(&format!("[{numbers}]")).unwrap();
    let inserted = cost(|| assert_eq!(table.insert(&(raw,)).unwrap(), 1));
    assert_eq!(table.len().unwrap(), 2);
    for Cost { bytes, .. } in [imported, inserted] {
        assert!(bytes < 20 * line.len(), "{bytes} bytes allocated for {}", line.len());
    }
}
