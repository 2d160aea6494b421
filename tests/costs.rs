//! Costs that the documentation states, counted in allocations, which no machine's mood changes.

use folio::{Column, Database, Index, Schema};
use serde_json::{Value, json};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts the allocations of each thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is the system allocator's own, with the arguments given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: every block came from the system allocator.
        unsafe { System.dealloc(block, layout) }
    }
}

fn allocations(body: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    body();
    ALLOCATIONS.get() - before
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
            counted = allocations(insert);
            Ok(())
        })
        .unwrap();
        counted
    });
    assert!(many <= few + 2, "{few} allocations with 2 tables, {many} with 200");
}
