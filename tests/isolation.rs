//! What one version promises: nobody sees half a transaction. `tests/anomalies.rs` has what weaker systems allow, by
//! name; `tests/version_oracle.rs` and `tests/list_append.rs` judge whole histories.

#[path = "common/random.rs"]
mod random;

use folio::{Column, Database, Error, Index, Row, Schema, Table};
use random::Random;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const ACCOUNTS: u64 = 64;
const CENTS: i64 = 100;

fn bank(db: &Database, name: &str) -> Table {
    let schema = Schema::builder(name)
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::i64("cents"))
        .index(Index::ordered(["cents"]))
        .build()
        .unwrap();
    let table = db.create_table(schema).unwrap();
    table.insert_many((0..ACCOUNTS).map(|_| (None::<u64>, CENTS))).unwrap();
    table
}

#[test]
fn readers_see_transfers_between_tables_whole_or_not_at_all() {
    let db = Database::in_memory();
    let (a, b) = (bank(&db, "a"), bank(&db, "b"));
    let (stop, checks) = (AtomicBool::new(false), AtomicU64::new(0));
    let total = 2 * ACCOUNTS as i64 * CENTS;
    let mut commits = 0;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let snapshot = db.snapshot();
                    let (a, b) = (snapshot.table("a").unwrap(), snapshot.table("b").unwrap());
                    let cents = (a.column::<i64>("cents").unwrap(), b.column::<i64>("cents").unwrap());
                    let scanned = a.select().sum(cents.0).unwrap() + b.select().sum(cents.1).unwrap();
                    assert_eq!(scanned, total, "by scans of version {}", snapshot.version());
                    let points: i64 = (1..=ACCOUNTS)
                        .map(|id| {
                            let of_a = a.get_with(id, |row| row.get(cents.0)).unwrap().unwrap();
                            of_a + b.get(id).unwrap().unwrap().get(cents.1)
                        })
                        .sum();
                    assert_eq!(points, total, "by point reads");
                    let ordered: i64 = a.select().order_by(cents.0.desc()).pick(cents.0).unwrap().iter().sum();
                    assert_eq!(ordered + b.select().sum(cents.1).unwrap(), total, "by the ordered index");
                    assert_eq!((a.len().unwrap(), b.select().count().unwrap()), (ACCOUNTS, ACCOUNTS));
                    checks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let (cents_a, cents_b) = (a.column::<i64>("cents").unwrap(), b.column::<i64>("cents").unwrap());
        let mut random = Random(1);
        while commits < 20_000 || checks.load(Ordering::Relaxed) < 200 {
            let (from, to) = (random.below(ACCOUNTS) + 1, random.below(ACCOUNTS) + 1);
            let sum = random.below(20) as i64;
            let moved = db.transaction(|tx| {
                tx.table("a")?.modify(from, |row| row.set(cents_a, row.get(cents_a) - sum))?;
                if sum == 13 {
                    return Err(Error::abort("unlucky"));
                }
                tx.table("b")?.modify(to, |row| row.set(cents_b, row.get(cents_b) + sum))
            });
            assert_eq!(moved.is_err(), sum == 13);
            commits += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!("transactions: {commits}, whole checks: {}", checks.load(Ordering::Relaxed));
}

/// Read, think, write on two threads: serial writers leave no room for a lost update.
#[test]
fn no_update_is_lost() {
    let db = Database::in_memory();
    let table = bank(&db, "a");
    let cents = table.column::<i64>("cents").unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    db.transaction(|tx| {
                        let table = tx.table("a")?;
                        let old = table.get(1)?.map_or(0, |row| row.get(cents));
                        table.update(1, &serde_json::json!({ "cents": old + 1 }))
                    })
                    .unwrap();
                }
            });
        }
    });
    assert_eq!(table.get(1).unwrap().unwrap().get(cents), CENTS + 8_000);
}

#[test]
fn a_transaction_reads_its_own_writes_and_nobody_else_does_before_it_commits() {
    let db = Database::in_memory();
    let table = bank(&db, "a");
    let cents = table.column::<i64>("cents").unwrap();
    db.transaction(|tx| {
        let inside = tx.table("a")?;
        inside.modify(1, |row| row.set(cents, -5))?;
        assert_eq!(inside.get(1)?.unwrap().get(cents), -5);
        assert_eq!(inside.select().filter(cents.lt(0)).count()?, 1, "by the index");
        assert_eq!(table.get(1)?.unwrap().get(cents), CENTS, "outside");
        assert_eq!(table.select().filter(cents.lt(0)).count()?, 0);
        Ok(())
    })
    .unwrap();
    assert_eq!(table.get(1).unwrap().unwrap().get(cents), -5);
}

/// Kept in a thread-local, it is dropped behind what the database keeps of the thread.
#[test]
fn a_row_may_outlive_the_code_of_its_thread() {
    thread_local!(static KEPT: RefCell<Option<Row<'static>>> = const { RefCell::new(None) });
    let table: &'static Table = Box::leak(Box::new(bank(&Database::in_memory(), "a")));
    let cents = table.column::<i64>("cents").unwrap();
    for round in 1..=50 {
        let reader = thread::spawn(move || {
            KEPT.with(|kept| {
                let row = table.get(1).unwrap().unwrap();
                assert_eq!(row.get(cents), CENTS + round - 1);
                *kept.borrow_mut() = Some(row);
            });
        });
        reader.join().unwrap();
        for id in 1..=ACCOUNTS {
            table.modify(id, |row| row.set(cents, CENTS + round)).unwrap();
        }
    }
    assert_eq!(table.select().pick(cents).unwrap().iter().sum::<i64>(), ACCOUNTS as i64 * (CENTS + 50));
}

/// The slots of threads that are over serve those that come, also where a thread's last reads are its destructors'.
#[test]
fn threads_that_read_as_they_end_leave_no_slots_behind() {
    struct ReadsAtEnd([Table; 2]);
    impl Drop for ReadsAtEnd {
        fn drop(&mut self) {
            for _ in 0..3 {
                for table in &self.0 {
                    // Two reads are open at once.
                    let mut rows = table.iter().unwrap();
                    assert_eq!((table.len().unwrap(), rows.next().is_some()), (1, true));
                }
            }
        }
    }
    thread_local! {
        static AT_END: RefCell<Option<ReadsAtEnd>> = const { RefCell::new(None) };
        static ROW: RefCell<Option<Row<'static>>> = const { RefCell::new(None) };
    }
    let new = || {
        let db = Database::in_memory();
        let table = db.create_table(Schema::builder("t").column(Column::u64("n")).build().unwrap()).unwrap();
        table.insert(&(1,)).unwrap();
        (db, table)
    };
    let [(db, first), (other, second)] = [new(), new()];
    let kept: &'static Table = Box::leak(Box::new(first.clone()));
    for kind in 0..300 {
        let tables = [first.clone(), second.clone()];
        let ends = move || {
            // Some keep a row until they are over; some have read before, of both or of one.
            match kind % 3 {
                0 => ROW.set(kept.iter().unwrap().next()),
                1 => drop(tables.each_ref().map(|table| table.len().unwrap())),
                _ => {}
            }
            AT_END.set(Some(ReadsAtEnd(tables)));
            if kind % 2 == 0 {
                kept.len().unwrap();
            }
        };
        std::thread::spawn(ends).join().unwrap();
        first.update_where(|_: &Row<'_>| true, &serde_json::json!({ "n": kind })).unwrap();
    }
    for db in [db, other] {
        assert!(db.stats().reader_slots <= 5, "{}", db.stats().reader_slots);
    }
}
