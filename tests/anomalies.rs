//! The anomalies of weaker isolation levels by name, after Kleppmann's Hermitage: none of them happens.
//!
//! Writers take turns, so that of two transactions that overlap the one that came second waits, and sees all of the
//! first; both orders are tried. Readers do not wait: they have a snapshot, or read through a table's handle.

use folio::{Column, Database, Error, Field, Index, Result, Row, Schema, Snapshot, Table, Transaction};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

struct Test {
    db: Database,
    table: Table,
    id: Field<u64>,
    value: Field<i64>,
}

/// Two rows, as all of Hermitage has them: 1 with 10, and 2 with 20.
fn test() -> Test {
    let db = Database::in_memory();
    let schema = Schema::builder("test")
        .column(Column::u64("id").primary_key())
        .column(Column::i64("value"))
        .index(Index::ordered(["value"]))
        .build()
        .unwrap();
    let table = db.create_table(schema).unwrap();
    table.insert_many([(1, 10), (2, 20)]).unwrap();
    let (id, value) = (table.column("id").unwrap(), table.column("value").unwrap());
    Test { db, table, id, value }
}

impl Test {
    fn get(&self, tx: &Transaction<'_>, id: u64) -> Result<i64> {
        Ok(tx.table("test")?.get_with(id, |row| row.get(self.value))?.unwrap_or_default())
    }

    fn set(&self, tx: &Transaction<'_>, id: u64, value: i64) -> Result<()> {
        tx.table("test")?.modify(id, |row| row.set(self.value, value))
    }

    fn rows_of(&self, snapshot: &Snapshot) -> Vec<(u64, i64)> {
        let table = snapshot.table("test").unwrap();
        let scanned = table.select().order_by(self.id.asc()).pick((self.id, self.value)).unwrap();
        let mut indexed = table.select().filter(self.value.ge(i64::MIN)).pick((self.id, self.value)).unwrap();
        indexed.sort_unstable();
        assert_eq!(scanned, indexed, "by the index");
        scanned
    }

    /// What a reader that begins now sees.
    fn rows(&self) -> Vec<(u64, i64)> {
        let rows = self.rows_of(&self.db.snapshot());
        let live: Vec<(u64, i64)> =
            self.table.iter().unwrap().map(|row| (row.get(self.id), row.get(self.value))).collect();
        assert_eq!(rows, live, "by the table's handle");
        rows
    }

    /// Runs both, the second of which begins while the first is under way, and waits.
    fn overlapping<A, B: Send>(
        &self,
        first: impl FnOnce(&Transaction<'_>) -> Result<A>,
        second: impl FnOnce(&Transaction<'_>) -> Result<B> + Send,
    ) -> (Result<A>, Result<B>) {
        let (asked, was_asked) = mpsc::channel();
        let has_begun = AtomicBool::new(false);
        thread::scope(|scope| {
            let mut other = None;
            let answer = self.db.transaction(|tx| {
                other = Some(scope.spawn(|| {
                    asked.send(()).unwrap();
                    self.db.transaction(|tx| {
                        has_begun.store(true, Ordering::SeqCst);
                        second(tx)
                    })
                }));
                was_asked.recv().unwrap();
                let answer = first(tx);
                assert!(!has_begun.load(Ordering::SeqCst), "two writers at once");
                answer
            });
            (answer, other.unwrap().join().unwrap())
        })
    }
}

#[test]
fn g0_write_cycles() {
    let both = |first: i64, second: i64| {
        let test = test();
        let write = |tx: &Transaction<'_>, n: i64| {
            test.set(tx, 1, 10 + n)?;
            test.set(tx, 2, 20 + n)
        };
        let (a, b) = test.overlapping(|tx| write(tx, first), |tx| write(tx, second));
        a.and(b).unwrap();
        assert_eq!(test.rows(), [(1, 10 + second), (2, 20 + second)]);
    };
    both(1, 2);
    both(2, 1);
}

#[test]
fn g1a_aborted_reads() {
    for by_panic in [false, true] {
        let test = test();
        let before = test.db.snapshot();
        let body = |tx: &Transaction<'_>| -> Result<()> {
            test.set(tx, 1, 101)?;
            assert_eq!(test.rows(), [(1, 10), (2, 20)], "a reader beside it");
            match by_panic {
                true => resume_unwind(Box::new("planned")),
                false => Err(Error::abort("planned")),
            }
        };
        match by_panic {
            true => assert!(catch_unwind(AssertUnwindSafe(|| test.db.transaction(body))).is_err()),
            false => {
                let (a, b) = test.overlapping(body, |tx| test.get(tx, 1));
                assert_eq!((a.unwrap_err().code(), b.unwrap()), ("aborted", 10), "a writer that waited for it");
            }
        }
        assert_eq!(test.rows(), [(1, 10), (2, 20)]);
        assert_eq!(test.rows_of(&before), [(1, 10), (2, 20)]);
        assert!(before.diff(&test.db.snapshot()).unwrap().is_empty());
    }
}

#[test]
fn g1b_intermediate_reads() {
    let test = test();
    let (a, b) = test.overlapping(
        |tx| {
            test.set(tx, 1, 101)?;
            assert_eq!(test.rows(), [(1, 10), (2, 20)], "a reader between the writes");
            test.set(tx, 1, 11)?;
            assert_eq!(test.rows(), [(1, 10), (2, 20)], "and behind them");
            Ok(())
        },
        |tx| test.get(tx, 1),
    );
    a.unwrap();
    assert_eq!(b.unwrap(), 11, "a writer that waited");
    assert_eq!(test.rows(), [(1, 11), (2, 20)]);
}

#[test]
fn g1c_circular_information_flow() {
    let both = |(mine, their): (u64, u64)| {
        let test = test();
        let write_and_read = |tx: &Transaction<'_>, mine: u64, their: u64| {
            test.set(tx, mine, mine as i64)?;
            test.get(tx, their)
        };
        let (a, b) = test.overlapping(|tx| write_and_read(tx, mine, their), |tx| write_and_read(tx, their, mine));
        assert_eq!((a.unwrap(), b.unwrap()), (10 * their as i64, mine as i64), "the second sees the first alone");
    };
    both((1, 2));
    both((2, 1));
}

#[test]
fn otv_observed_transaction_vanishes() {
    let both = |first: i64, second: i64| {
        let test = test();
        let before = test.db.snapshot();
        let write = |tx: &Transaction<'_>, n: i64| {
            test.set(tx, 1, 10 + n)?;
            test.set(tx, 2, 20 - n)
        };
        let (a, b) = test.overlapping(
            |tx| write(tx, first),
            |tx| {
                let between = test.db.snapshot();
                write(tx, second)?;
                assert_eq!(test.rows(), [(1, 10 + first), (2, 20 - first)], "all of the first, nothing of the second");
                Ok(between)
            },
        );
        a.unwrap();
        assert_eq!(test.rows(), [(1, 10 + second), (2, 20 - second)]);
        assert_eq!(test.rows_of(&b.unwrap()), [(1, 10 + first), (2, 20 - first)], "and it does not vanish");
        assert_eq!(test.rows_of(&before), [(1, 10), (2, 20)]);
    };
    both(1, 2);
    both(2, 1);
}

#[test]
fn pmp_predicate_many_preceders() {
    let test = test();
    let snapshot = test.db.snapshot();
    let reader = snapshot.table("test").unwrap();
    assert_eq!(reader.select().filter(test.value.eq(30)).count().unwrap(), 0);
    test.db.transaction(|tx| tx.table("test")?.insert(&(3, 30))).unwrap();
    let value = test.value;
    assert_eq!(reader.select().filter(move |row: &Row<'_>| row.get(value) % 3 == 0).count().unwrap(), 0, "a scan");
    assert_eq!(reader.select().filter(value.eq(30)).count().unwrap(), 0, "the index");
    assert_eq!(reader.range(3u64..).unwrap().count(), 0, "the key");
}

/// The predicate of a write is judged on what the writers before it have left.
#[test]
fn pmp_write_predicates() {
    let raise = |test: &Test, tx: &Transaction<'_>| {
        let table = tx.table("test")?;
        table.modify_where(test.value.ge(i64::MIN), |row| {
            let raised = row.get(test.value) + 10;
            row.set(test.value, raised)
        })
    };
    let delete = |test: &Test, tx: &Transaction<'_>| tx.table("test")?.delete_where(test.value.eq(20));
    let raised_first = test();
    let (a, b) = raised_first.overlapping(|tx| raise(&raised_first, tx), |tx| delete(&raised_first, tx));
    assert_eq!((a.unwrap(), b.unwrap()), (2, 1));
    assert_eq!(raised_first.rows(), [(2, 30)]);
    let deleted_first = test();
    let (a, b) = deleted_first.overlapping(|tx| delete(&deleted_first, tx), |tx| raise(&deleted_first, tx));
    assert_eq!((a.unwrap(), b.unwrap()), (1, 1));
    assert_eq!(deleted_first.rows(), [(1, 20)]);
}

#[test]
fn p4_lost_update() {
    let both = |first: i64, second: i64| {
        let test = test();
        let add = |tx: &Transaction<'_>, n: i64| {
            let old = test.get(tx, 1)?;
            test.set(tx, 1, old + n)?;
            Ok(old)
        };
        let (a, b) = test.overlapping(|tx| add(tx, first), |tx| add(tx, second));
        assert_eq!((a.unwrap(), b.unwrap()), (10, 10 + first));
        assert_eq!(test.rows(), [(1, 10 + first + second), (2, 20)]);
    };
    both(1, 5);
    both(5, 1);
}

#[test]
fn g_single_read_skew() {
    let test = test();
    let snapshot = test.db.snapshot();
    let reader = snapshot.table("test").unwrap();
    assert_eq!(reader.get(1u64).unwrap().unwrap().get(test.value), 10);
    test.db
        .transaction(|tx| {
            test.set(tx, 1, 12)?;
            test.set(tx, 2, 18)
        })
        .unwrap();
    assert_eq!(reader.get(2u64).unwrap().unwrap().get(test.value), 20);
    // By a predicate, of which the other transaction changed what it finds.
    assert_eq!(reader.select().filter(test.value.is_in([18, 12])).count().unwrap(), 0);
    // Within one read by the table's handle, too: an iterator keeps the version that it began in.
    let mut rows = test.table.iter().unwrap();
    assert_eq!(rows.next().unwrap().get(test.value), 12);
    test.db.transaction(|tx| test.set(tx, 2, 99)).unwrap();
    assert_eq!(rows.next().unwrap().get(test.value), 18);
}

/// A writer that has read is not overtaken: what it read still holds when it writes.
#[test]
fn g_single_with_a_write_predicate() {
    let test = test();
    let (a, b) = test.overlapping(
        |tx| {
            assert_eq!(test.get(tx, 1)?, 10);
            tx.table("test")?.delete_where(test.value.eq(20))
        },
        |tx| {
            let table = tx.table("test")?;
            table.modify_where(test.value.ge(i64::MIN), |row| row.set(test.value, row.get(test.value) + 8))
        },
    );
    assert_eq!((a.unwrap(), b.unwrap()), (1, 1));
    assert_eq!(test.rows(), [(1, 18)]);
}

#[test]
fn g2_item_write_skew() {
    let both = |first: u64, second: u64| {
        let test = test();
        let leave_if_whole = |tx: &Transaction<'_>, id: u64| {
            if test.get(tx, 1)? + test.get(tx, 2)? == 30 {
                test.set(tx, id, 0)?;
            }
            Ok(())
        };
        let (a, b) = test.overlapping(|tx| leave_if_whole(tx, first), |tx| leave_if_whole(tx, second));
        a.and(b).unwrap();
        let left: Vec<_> =
            [(1, 10), (2, 20)].into_iter().map(|(id, n)| (id, if id == first { 0 } else { n })).collect();
        assert_eq!(test.rows(), left);
    };
    both(1, 2);
    both(2, 1);
}

#[test]
fn g2_anti_dependency_cycles_by_predicate() {
    let both = |first: (u64, i64), second: (u64, i64)| {
        let test = test();
        let value = test.value;
        let insert_if_none = |tx: &Transaction<'_>, row: (u64, i64), by_index: bool| {
            let table = tx.table("test")?;
            let found = match by_index {
                true => table.select().filter(value.ge(30)).count()?,
                false => table.select().filter(move |row: &Row<'_>| row.get(value) % 3 == 0).count()?,
            };
            if found == 0 {
                table.insert(&row)?;
            }
            Ok(())
        };
        let (a, b) = test.overlapping(|tx| insert_if_none(tx, first, true), |tx| insert_if_none(tx, second, false));
        a.and(b).unwrap();
        assert_eq!(test.rows(), [(1, 10), (2, 20), first]);
    };
    both((3, 30), (4, 42));
    both((4, 42), (3, 30));
}

/// The anomaly of a read-only transaction (Fekete, O'Neil, O'Neil 2004) takes a reader that sees the second of two
/// writers without the first. A snapshot in between sees what there is.
#[test]
fn g2_read_only_anomaly() {
    let test = test();
    let (a, b) = test.overlapping(
        |tx| {
            let sum = test.get(tx, 1)? + test.get(tx, 2)?;
            assert_eq!(test.rows(), [(1, 10), (2, 20)], "a reader before either");
            test.set(tx, 2, sum)
        },
        |tx| {
            let seen = test.rows();
            test.set(tx, 1, test.get(tx, 2)? + 1)?;
            Ok(seen)
        },
    );
    a.unwrap();
    assert_eq!(b.unwrap(), [(1, 10), (2, 30)], "a reader between both");
    assert_eq!(test.rows(), [(1, 31), (2, 30)]);
}

/// On the thread of the first, where waiting would be for ever, the second is refused.
#[test]
fn a_second_writer_on_the_same_thread_is_an_error() {
    let test = test();
    test.db
        .transaction(|tx| {
            test.set(tx, 1, 11)?;
            assert_eq!(test.db.transaction(|tx| test.set(tx, 1, 12)).unwrap_err().code(), "reentrant-write");
            assert_eq!(test.table.delete(1u64).unwrap_err().code(), "reentrant-write");
            Ok(())
        })
        .unwrap();
    assert_eq!(test.rows(), [(1, 11), (2, 20)]);
}
