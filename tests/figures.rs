//! What `Database::stats` says of each table, held against a walk over its pages.

use folio::{Column, Database, Error, Index, Schema, TableStats};
use serde_json::{Value, json};

/// A table with all kinds of indexes and values of all lengths.
fn notes(db: &Database, name: &str) {
    let schema = Schema::builder(name)
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::u64("number").unique())
        .column(Column::string("group"))
        .column(Column::string("text").nullable())
        .index(Index::ordered(["group"]))
        .index(Index::hash(["group"]));
    db.create_table(schema.build().unwrap()).unwrap();
}

/// Some texts lie within the page, some outside of it.
fn note(number: u64) -> Value {
    let text = (!number.is_multiple_of(5)).then(|| "x".repeat((number % 7 * 400) as usize));
    json!({ "number": number, "group": format!("group {}", number % 11), "text": text })
}

fn fill(db: &Database, name: &str, rows: u64) {
    db.table(name).unwrap().insert_many((0..rows).map(note)).unwrap();
}

/// The figures of one table, which must be what a walk finds.
fn figures(db: &Database, name: &str) -> TableStats {
    let figures = db.stats().tables.into_iter().find(|table| table.name == name).unwrap();
    let size = db.table(name).unwrap().size().unwrap();
    assert_eq!((figures.row_bytes, figures.index_bytes), (size.row_bytes, size.index_bytes), "bytes of `{name}`");
    figures
}

#[test]
fn bytes_follow_every_change() {
    let db = Database::in_memory();
    notes(&db, "notes");
    let empty = figures(&db, "notes");
    assert!(empty.row_bytes == 0 && empty.index_bytes > 0);
    fill(&db, "notes", 500);
    let full = figures(&db, "notes");
    assert!(full.row_bytes > 400 * 1_000 && full.index_bytes > 500 * 20, "{full:?}");
    let table = db.table("notes").unwrap();
    for id in 1..=500_u64 {
        match id % 4 {
            0 => drop(table.delete(id).unwrap()),
            1 => table.update(id, &json!({ "text": "y".repeat(id as usize * 5) })).unwrap(),
            2 => table.update(id, &json!({ "number": id + 10_000 })).unwrap(),
            _ => table.update(id, &json!({ "text": null, "group": "one group" })).unwrap(),
        }
        figures(&db, "notes");
    }
    // A page whose last row goes takes its large values along.
    for id in 1..=100_u64 {
        table.delete(id).unwrap();
        figures(&db, "notes");
    }
    table.clear().unwrap();
    assert_eq!(figures(&db, "notes"), empty);
}

#[test]
fn bytes_follow_schema_changes() {
    let db = Database::in_memory();
    notes(&db, "notes");
    fill(&db, "notes", 300);
    let before = figures(&db, "notes");
    db.create_index("notes", Index::ordered(["text", "number"])).unwrap();
    let more = figures(&db, "notes");
    assert!(more.index_bytes > before.index_bytes && more.row_bytes == before.row_bytes);
    let name = db.table("notes").unwrap().schema().unwrap().indexes().last().unwrap().name().to_string();
    db.drop_index("notes", &name).unwrap();
    assert_eq!(figures(&db, "notes"), before);
    db.drop_table("notes").unwrap();
    notes(&db, "notes");
    assert_eq!(figures(&db, "notes").row_bytes, 0);
}

#[test]
fn what_is_rolled_back_leaves_no_bytes() {
    let db = Database::in_memory();
    notes(&db, "notes");
    fill(&db, "notes", 200);
    let before = figures(&db, "notes");
    let undone: Result<(), Error> = db.transaction(|tx| {
        tx.table("notes")?.clear()?;
        Err(Error::abort("undone"))
    });
    assert!(undone.is_err());
    assert_eq!(figures(&db, "notes"), before);
    db.transaction(|tx| {
        let undone: Result<(), Error> = tx.savepoint(|tx| {
            tx.table("notes")?.insert(&note(1_000))?;
            tx.table("notes")?.clear()?;
            tx.table("notes")?.insert(&note(1_001))?;
            Err(Error::abort("undone"))
        });
        assert!(undone.is_err());
        tx.table("notes")?.insert(&note(1_002)).map(drop)
    })
    .unwrap();
    let after = figures(&db, "notes");
    assert!(after.row_bytes > before.row_bytes && after.rows == 201);
}

#[test]
fn figures_wait_for_no_transaction() {
    let db = Database::in_memory();
    notes(&db, "notes");
    fill(&db, "notes", 100);
    let before = db.stats();
    db.transaction(|tx| {
        tx.table("notes")?.insert_many((100..5_000).map(note))?;
        let within = db.stats();
        let beside = std::thread::scope(|scope| scope.spawn(|| db.stats()).join().unwrap());
        for stats in [within, beside] {
            assert_eq!((stats.version, &stats.tables, stats.memory), (before.version, &before.tables, before.memory));
        }
        Ok(())
    })
    .unwrap();
    let after = db.stats();
    assert!(after.memory.used_bytes > 10 * before.memory.used_bytes && after.tables[0].rows == 5_000, "{after:?}");
    db.table("notes").unwrap().clear().unwrap();
    db.reclaim();
    let (memory, table) = (db.stats().memory, &db.stats().tables[0]);
    assert_eq!(memory.waiting_bytes, 0);
    assert!(memory.used_bytes < before.memory.used_bytes && table.rows == 0, "{memory:?}");
}

#[test]
fn a_fork_has_its_own_figures() {
    let db = Database::in_memory();
    notes(&db, "notes");
    fill(&db, "notes", 200);
    let fork = db.fork();
    assert_eq!(figures(&fork, "notes"), figures(&db, "notes"));
    fork.table("notes").unwrap().delete(7).unwrap();
    db.table("notes").unwrap().insert(&note(1_000)).unwrap();
    assert!(figures(&fork, "notes").row_bytes < figures(&db, "notes").row_bytes);
}

#[test]
fn held_bytes_are_what_snapshots_see_alone() {
    let db = Database::in_memory();
    notes(&db, "notes");
    fill(&db, "notes", 300);
    let snapshot = db.snapshot();
    let size = snapshot.table("notes").unwrap().size().unwrap();
    let all = size.row_bytes + size.index_bytes;
    assert_eq!((figures(&db, "notes").held_bytes, db.stats().memory.held_bytes), (0, 0));
    db.table("notes").unwrap().update(7, &json!({ "text": "changed" })).unwrap();
    let some = figures(&db, "notes").held_bytes;
    assert!(some > 0 && some < all / 4, "{some} of {all}");
    // The younger snapshot shares all but that with the older one.
    let younger = db.snapshot();
    db.table("notes").unwrap().clear().unwrap();
    let size = younger.table("notes").unwrap().size().unwrap();
    assert_eq!(figures(&db, "notes").held_bytes, some + size.row_bytes + size.index_bytes);
    drop(younger);
    assert_eq!(figures(&db, "notes").held_bytes, all);
    db.drop_table("notes").unwrap();
    assert!(db.stats().memory.held_bytes > all, "with the root");
    notes(&db, "notes");
    assert_eq!(figures(&db, "notes").held_bytes, 0, "that was another table");
    drop(snapshot);
    assert_eq!(db.stats().memory.held_bytes, 0);
}

#[test]
fn a_fork_holds_of_its_origin_what_it_began_with() {
    let db = Database::in_memory();
    notes(&db, "notes");
    fill(&db, "notes", 300);
    let size = db.table("notes").unwrap().size().unwrap();
    let fork = db.fork();
    let of_fork = fork.snapshot();
    fork.table("notes").unwrap().clear().unwrap();
    assert_eq!(figures(&db, "notes").held_bytes, 0);
    assert_eq!(figures(&fork, "notes").held_bytes, 0, "the pages are the origin's");
    db.table("notes").unwrap().clear().unwrap();
    assert_eq!(figures(&db, "notes").held_bytes, size.row_bytes + size.index_bytes);
    drop((of_fork, fork));
    assert_eq!(figures(&db, "notes").held_bytes, 0);
}

/// A commit copies the root, which has a slot for each table: one with many tables is no burden for ever.
#[test]
fn a_root_is_as_large_as_the_tables_there_are() {
    let db = Database::in_memory();
    let schema = |n: usize| {
        let schema = Schema::builder(format!("t{n}")).column(Column::u64("id").primary_key().auto_increment());
        schema.column(Column::u64("n")).build().unwrap()
    };
    let first = db.create_table(schema(0)).unwrap();
    first.insert(&json!({ "n": 1 })).unwrap();
    let others: Vec<_> = (1..1_000).map(|n| db.create_table(schema(n)).unwrap()).collect();
    others[998].insert(&json!({ "n": 9 })).unwrap();
    let held_by_an_update = || {
        let snapshot = db.snapshot();
        let before = db.stats().memory.held_bytes;
        first.update(1_u64, &json!({ "n": snapshot.version() })).unwrap();
        db.stats().memory.held_bytes - before
    };
    let with_all = held_by_an_update();
    assert!(with_all > 40_000, "{with_all}");

    let (snapshot, fork) = (db.snapshot(), db.fork());
    // Undone, in all and in part, with a view open meanwhile: nothing has happened.
    db.transaction(|tx| {
        let table = tx.table("t0")?;
        let rows = table.iter()?;
        let savepoint = tx.savepoint(|tx| {
            (1..1_000).try_for_each(|n| tx.drop_table(&format!("t{n}"))).and(Err::<(), _>(Error::abort("no")))
        });
        assert!(savepoint.is_err());
        assert_eq!(tx.table("t999")?.len()?, 1);
        (500..1_000).try_for_each(|n| tx.drop_table(&format!("t{n}")))?;
        assert_eq!(rows.count(), 1);
        Err::<(), _>(Error::abort("no"))
    })
    .unwrap_err();
    assert_eq!((db.table_names().len(), others[998].len().unwrap()), (1_000, 1));

    (1..1_000).for_each(|n| db.drop_table(&format!("t{n}")).unwrap());
    let with_one = held_by_an_update();
    assert!(with_one < 4_000, "{with_one}");
    assert!(others.iter().all(|table| matches!(table.len(), Err(Error::NoSuchTable { .. }))));
    assert_eq!(first.len().unwrap(), 1);
    // Older versions are as they were, and what is between is told.
    assert_eq!((snapshot.table_names().len(), snapshot.table("t999").unwrap().len().unwrap()), (1_000, 1));
    assert_eq!(snapshot.diff(&db.snapshot()).unwrap().table("t0").unwrap().count(), 1);
    assert_eq!(db.snapshot().diff(&snapshot).unwrap().table("t999").unwrap().count(), 1);
    assert_eq!(fork.table("t999").unwrap().len().unwrap(), 1);
    let again: Vec<_> = (1..40).map(|n| db.create_table(schema(n)).unwrap()).collect();
    assert_eq!(again[38].insert(&json!({ "n": 3 })).unwrap(), 1);
    assert!(matches!(others[38].len(), Err(Error::NoSuchTable { .. })));
    assert_eq!((db.verify().unwrap(), fork.verify().unwrap()), (vec![], vec![]));
}
