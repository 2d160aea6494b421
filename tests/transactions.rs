//! Transactions and what may happen inside their closures.

use folio::{Column, Database, Error, Index, Result, Row, Schema, TransactionTable};
use serde_json::json;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

fn numbers() -> Database {
    let db = Database::in_memory();
    let schema = Schema::builder("numbers")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::u64("n"))
        .index(Index::ordered(["n"]))
        .build()
        .unwrap();
    db.create_table(schema).unwrap();
    db
}

/// The rows that a batch draws may themselves be written by the same transaction while the batch is under way.
#[test]
fn a_batch_whose_iterator_writes_to_the_same_table_stores_all_of_both() {
    for (before, of_batch) in [(0, 20u64), (5, 31), (31, 33), (7, 100)] {
        let db = numbers();
        db.transaction(|tx| {
            let table = tx.table("numbers")?;
            table.insert_many((0..before).map(|n| json!({ "n": 5_000 + n })))?;
            let with_writes = (0..of_batch).map(|n| {
                table.insert(&json!({ "n": 1_000 + n })).unwrap();
                json!({ "n": n })
            });
            table.insert_many(with_writes).map(drop)
        })
        .unwrap();
        let table = db.table("numbers").unwrap();
        let n = table.column::<u64>("n").unwrap();
        assert_eq!(table.len().unwrap(), before + 2 * of_batch);
        assert_eq!(table.iter().unwrap().count() as u64, before + 2 * of_batch);
        let stored = table.select().filter(n.lt(1_000)).order_by(n.asc()).pick(n).unwrap();
        assert!(stored.into_iter().eq(0..of_batch));
        assert_eq!(table.select().filter(n.ge(1_000)).count().unwrap(), before + of_batch);
    }
}

/// Draws rows and writes on its own: where it begins, and where it is dropped.
struct Writes<'t> {
    table: &'t TransactionTable<'t>,
    left: u64,
    /// Instead of a last row.
    panics: bool,
}

impl Writes<'_> {
    fn write(&self) {
        self.table.insert(&json!({ "n": 1_000 })).unwrap();
    }
}

impl Drop for Writes<'_> {
    fn drop(&mut self) {
        self.write();
    }
}

/// Makes an iterator, and writes.
struct Begins<'t>(Writes<'t>);

impl<'t> IntoIterator for Begins<'t> {
    type Item = serde_json::Value;
    type IntoIter = Writes<'t>;

    fn into_iter(self) -> Writes<'t> {
        self.0.write();
        self.0
    }
}

impl Iterator for Writes<'_> {
    type Item = serde_json::Value;

    fn next(&mut self) -> Option<serde_json::Value> {
        self.left = self.left.checked_sub(1)?;
        assert!(self.left > 0 || !self.panics, "as was wanted");
        // The last is refused.
        Some(if self.left > 0 { json!({ "n": self.left }) } else { json!({ "n": -1 }) })
    }
}

/// What the iterator of a batch writes is part of the batch, from its making to its end.
#[test]
fn a_batch_that_fails_leaves_nothing_of_what_its_iterator_wrote() {
    let db = numbers();
    db.transaction(|tx| {
        let table = tx.table("numbers")?;
        table.insert(&json!({ "n": 1 }))?;
        for left in [1, 5, 80] {
            let rows = |panics| Begins(Writes { table: &table, left, panics });
            assert!(catch_unwind(AssertUnwindSafe(|| table.insert_many(rows(true)))).is_err());
            assert_eq!(table.len()?, 1);
            assert_eq!(table.insert_many(rows(false)).unwrap_err().code(), "out-of-range");
            assert_eq!(table.len()?, 1);
        }
        let left = 0;
        table.insert_many(Begins(Writes { table: &table, left, panics: false })).map(drop)
    })
    .unwrap();
    assert_eq!(db.table("numbers").unwrap().len().unwrap(), 3);
}

/// As it is outside a transaction: a row is checked as it was when its closure began.
#[test]
fn a_write_from_the_closure_of_a_write_is_refused() {
    let db = Database::in_memory();
    let schema = Schema::builder("t")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::u64("a"))
        .column(Column::u64("b"))
        .check("a <= b", |row| row.get::<u64>("a") <= row.get::<u64>("b"))
        .build()
        .unwrap();
    db.create_table(schema).unwrap().insert_many([(1, 1, 9), (2, 2, 9)]).unwrap();
    db.transaction(|tx| {
        let table = tx.table("t")?;
        let a = table.column::<u64>("a")?;
        let writes = || {
            let refused: [(&str, Result<()>); 5] = [
                ("update", table.update(1, &json!({ "b": 7 }))),
                ("insert", table.insert(&(3, 0, 0)).map(drop)),
                ("delete", table.delete(2).map(drop)),
                ("savepoint", tx.savepoint(|_| Ok(()))),
                ("drop_table", tx.drop_table("t")),
            ];
            for (name, answer) in refused {
                assert_eq!(answer.unwrap_err().code(), "reentrant-write", "{name}");
            }
            assert_eq!(table.len().unwrap(), 2, "reads go on");
            true
        };
        table.modify(1, |row| {
            writes();
            row.set(a, 5)
        })?;
        table.modify_where(a.eq(2), |row| {
            writes();
            row.set(a, 6)
        })?;
        assert_eq!(table.update_where(|_: &Row| writes(), &json!({ "b": 8 }))?, 2);
        assert_eq!(table.delete_where(|_: &Row| !writes())?, 0);
        // An error or a panic in a closure does not leave it so.
        let failed = table.modify(1, |_| Err::<(), _>(Error::abort("no")));
        assert_eq!(failed.unwrap_err().code(), "aborted");
        let panicked =
            catch_unwind(AssertUnwindSafe(|| table.modify(1, |_| -> Result<()> { resume_unwind(Box::new(1)) })));
        assert!(panicked.is_err());
        table.insert(&(3, 7, 8)).map(drop)
    })
    .unwrap();
    let rows: Vec<(u64, u64, u64)> = db.table("t").unwrap().select().fetch().unwrap();
    assert_eq!(rows, [(1, 5, 8), (2, 6, 8), (3, 7, 8)]);
}

#[test]
fn a_row_held_through_a_rollback_stays_as_it_was_read() {
    let db = numbers();
    db.transaction(|tx| {
        let table = tx.table("numbers")?;
        let n = table.column::<u64>("n")?;
        let id = table.insert(&json!({ "n": 7 }))?;
        let before = table.get(id)?.unwrap();
        let mut within = None;
        let undone = tx.savepoint(|_| -> Result<()> {
            table.update(id, &json!({ "n": 8 }))?;
            within = table.get(id)?;
            table.insert_many((0..100u64).map(|n| json!({ "n": n })))?;
            Err(Error::abort("undo"))
        });
        assert_eq!(undone.unwrap_err().code(), "aborted");
        table.insert_many((0..200u64).map(|n| json!({ "n": n })))?;
        assert_eq!((before.get(n), within.map(|row| row.get(n))), (7, Some(8)));
        assert_eq!(table.get(id)?.map(|row| row.get(n)), Some(7));
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_error_that_is_swallowed_leaves_the_rest_of_the_transaction() {
    let db = Database::in_memory();
    db.create_table(Schema::builder("t").column(Column::u64("a").unique()).build().unwrap()).unwrap();
    db.transaction(|tx| {
        let table = tx.table("t")?;
        table.insert(&(1,))?;
        assert_eq!(table.insert(&(1,)).unwrap_err().code(), "unique-violation");
        assert_eq!(table.insert_many([(5,), (1,)]).unwrap_err().code(), "unique-violation");
        table.insert(&(2,)).map(drop)
    })
    .unwrap();
    let rows: Vec<u64> = db.table("t").unwrap().select().fetch().unwrap();
    assert_eq!(rows, [1, 2]);
}

/// Found when the row is stored already, and undone all the same.
#[test]
fn a_row_that_cannot_be_returned_is_not_inserted() {
    let db = numbers();
    db.transaction(|tx| {
        let table = tx.table("numbers")?;
        let error = table.insert_returning::<_, (String, String)>(&json!({ "n": 1 })).unwrap_err();
        assert_eq!(error.kind(), folio::ErrorKind::Row);
        assert_eq!(table.len()?, 0);
        table.insert(&json!({ "n": 2 })).map(drop)
    })
    .unwrap();
    assert_eq!(db.table("numbers").unwrap().len().unwrap(), 1);
}

#[test]
fn a_fork_can_be_written_inside_a_transaction_of_its_origin() {
    let db = numbers();
    let fork = db.fork();
    let answer = db.transaction(|tx| {
        fork.table("numbers")?.insert(&json!({ "n": 1 }))?;
        tx.table("numbers")?.insert(&json!({ "n": 2 }))
    });
    assert_eq!(answer.unwrap(), 1);
    assert_eq!(db.snapshot().diff(&fork.snapshot()).unwrap().len(), 1);
}

#[test]
fn a_table_created_in_a_transaction_that_fails_never_was() {
    let db = numbers();
    let schema = || Schema::builder("more").column(Column::u64("a")).build().unwrap();
    let failed: Result<()> = db.transaction(|tx| {
        tx.create_table(schema())?.insert(&(1,))?;
        tx.drop_table("numbers")?;
        Err(Error::abort("no"))
    });
    assert_eq!(failed.unwrap_err().code(), "aborted");
    assert_eq!(db.table_names(), ["numbers"]);
    assert_eq!(db.create_table(schema()).unwrap().len().unwrap(), 0);
}

#[test]
fn a_handle_from_before_a_schema_change_goes_on_within_the_transaction() {
    let db = Database::in_memory();
    db.create_table(Schema::builder("numbers").column(Column::i64("n")).build().unwrap()).unwrap();
    db.transaction(|tx| {
        let table = tx.table("numbers")?;
        let n = table.column::<i64>("n")?;
        let plan = || table.select().filter(n.eq(1)).explain().map(|plan| plan.to_string());
        table.insert_many((0..1_000).map(|n| [n]))?;
        assert!(!plan()?.contains("index"), "{}", plan()?);
        tx.create_index("numbers", Index::hash(["n"]).named("by_n"))?;
        assert!(plan()?.contains("by_n"), "{}", plan()?);
        assert_eq!(table.schema()?.indexes().len(), 1);
        table.insert(&json!({ "n": 1 }))?;
        assert_eq!(table.select().filter(n.eq(1)).count()?, 2);

        // What a savepoint takes back is taken back here too, from handles made outside and inside.
        let within = Cell::new(None);
        let undone: Result<()> = tx.savepoint(|point| {
            point.drop_index("numbers", "by_n")?;
            point.create_index("numbers", Index::ordered(["n"]).named("ordered_n"))?;
            assert!(plan()?.contains("ordered_n"), "{}", plan()?);
            table.insert(&json!({ "n": 1 }))?;
            within.set(Some(tx.table("numbers")?));
            Err(Error::abort("no"))
        });
        assert_eq!(undone.unwrap_err().code(), "aborted");
        let within = within.take().unwrap();
        for table in [&table, &within] {
            assert!(table.select().filter(n.eq(1)).explain()?.to_string().contains("by_n"));
            table.insert(&json!({ "n": 1 }))?;
        }

        // A batch may change the schema of its own table between two rows.
        let rows = (0..100).map(|n| {
            if n == 50 {
                tx.create_index("numbers", Index::ordered(["n"]).named("between")).unwrap();
            }
            json!({ "n": 1 })
        });
        table.insert_many(rows)?;
        Ok(())
    })
    .unwrap();
    let table = db.table("numbers").unwrap();
    let n = table.column::<i64>("n").unwrap();
    assert_eq!((table.len().unwrap(), table.select().filter(n.eq(1)).count().unwrap()), (1_103, 104));
    assert_eq!(table.select().filter(n.between(0..=5)).count().unwrap(), 109);
    assert_eq!(db.verify().unwrap(), []);
}

#[test]
fn a_handle_may_meet_any_number_of_schema_changes() {
    let changes = || {
        let db = numbers();
        db.transaction(|tx| {
            let table = tx.table("numbers")?;
            for _ in 0..4_000 {
                tx.create_index("numbers", Index::hash(["n"]).named("more"))?;
                assert!(table.is_empty()?);
                tx.drop_index("numbers", "more")?;
                assert!(table.is_empty()?);
            }
            Ok(())
        })
        .unwrap();
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(changes).unwrap().join().unwrap();
}

#[test]
fn a_handle_of_a_dropped_table_is_of_no_table_within_the_transaction() {
    let db = numbers();
    db.transaction(|tx| {
        let table = tx.table("numbers")?;
        let schema = table.schema()?.clone();
        tx.drop_table("numbers")?;
        tx.create_table(schema)?;
        assert_eq!(table.len().unwrap_err().code(), "no-such-table");
        assert_eq!(table.insert(&json!({ "n": 1 })).unwrap_err().code(), "no-such-table");
        tx.table("numbers")?.insert(&json!({ "n": 1 })).map(drop)
    })
    .unwrap();
    assert_eq!(db.table("numbers").unwrap().len().unwrap(), 1);
}

/// A row whose `Serialize` panics, or writes to a database.
struct Calls<F>(F);

impl<F: Fn()> serde::Serialize for Calls<F> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        (self.0)();
        serde::Serialize::serialize(&json!({ "n": 1 }), serializer)
    }
}

#[test]
fn a_panic_in_serialize_leaves_the_database_usable() {
    let db = numbers();
    let table = db.table("numbers").unwrap();
    let panics = || Calls(|| resume_unwind(Box::new("planned")));
    let writes: [&dyn Fn(); 5] = [
        &|| drop(table.insert(&panics())),
        &|| drop(table.insert_many([panics()])),
        &|| drop(table.upsert(&panics())),
        &|| drop(table.update(1u64, &panics())),
        &|| drop(db.transaction(|tx| tx.table("numbers")?.insert(&panics()))),
    ];
    table.insert(&json!({ "n": 0 })).unwrap();
    for write in writes {
        assert!(catch_unwind(AssertUnwindSafe(write)).is_err());
        assert_eq!(table.len().unwrap(), 1);
    }
    table.insert(&json!({ "n": 2 })).unwrap();
}

#[test]
fn a_write_from_serialize_is_refused() {
    let db = numbers();
    let table = db.table("numbers").unwrap();
    let inner = table.clone();
    let row = Calls(move || assert_eq!(inner.insert(&json!({ "n": 5 })).unwrap_err().code(), "reentrant-write"));
    table.insert(&row).unwrap();
    assert_eq!(table.len().unwrap(), 1);
}
