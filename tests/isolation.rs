//! What one version promises: nobody sees half a transaction, versions come in order, and the anomalies that weaker
//! systems allow do not happen.

use folio::{Column, Database, Error, Index, Schema, Table};
use std::collections::BTreeMap;
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

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
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
        let mut random = 88_172_645_463_325_252;
        while commits < 20_000 || checks.load(Ordering::Relaxed) < 200 {
            let (from, to) = (next(&mut random) % ACCOUNTS + 1, next(&mut random) % ACCOUNTS + 1);
            let sum = (next(&mut random) % 20) as i64;
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

/// The version oracle: what a snapshot of version `v` holds is what replaying the first `v` commits gives.
#[test]
fn every_snapshot_equals_the_replay_of_its_version() {
    let db = Database::in_memory();
    let table = db
        .create_table(
            Schema::builder("t").column(Column::u64("key").primary_key()).column(Column::u64("value")).build().unwrap(),
        )
        .unwrap();
    let first = db.snapshot().version();
    const COMMITS: u64 = 30_000;
    let write = |n: u64| (n * 7919 % 50, n);
    let seen = thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut seen, mut last) = (Vec::new(), 0);
                    while last < first + COMMITS {
                        let snapshot = db.snapshot();
                        assert!(snapshot.version() >= last, "versions rise for every reader");
                        last = snapshot.version();
                        let rows: Vec<(u64, u64)> = snapshot.table("t").unwrap().select().fetch().unwrap();
                        seen.push((last, rows));
                    }
                    seen
                })
            })
            .collect();
        for n in 0..COMMITS {
            table.upsert(&write(n)).unwrap();
        }
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    let mut by_version: BTreeMap<u64, Vec<Vec<(u64, u64)>>> = BTreeMap::new();
    let snapshots = seen.len();
    for (version, rows) in seen {
        by_version.entry(version).or_default().push(rows);
    }
    let (mut model, mut replayed) = (BTreeMap::new(), 0);
    for (version, observations) in by_version {
        while first + replayed < version {
            let (key, value) = write(replayed);
            model.insert(key, value);
            replayed += 1;
        }
        for rows in observations {
            assert_eq!(rows.into_iter().collect::<BTreeMap<_, _>>(), model, "version {version}");
        }
    }
    println!("commits: {COMMITS}, snapshots compared: {snapshots}");
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

/// Two doctors on call, each leaves if the other stays: write skew needs two writers that overlap.
#[test]
fn write_skew_does_not_happen() {
    for _ in 0..200 {
        let db = Database::in_memory();
        let table = bank(&db, "a");
        let cents = table.column::<i64>("cents").unwrap();
        table.update(1, &serde_json::json!({ "cents": 1 })).unwrap();
        table.update(2, &serde_json::json!({ "cents": 1 })).unwrap();
        let leave = |id: u64| {
            db.transaction(|tx| {
                let table = tx.table("a")?;
                let on_call: i64 = [1u64, 2].iter().map(|id| table.get(*id).unwrap().unwrap().get(cents)).sum();
                if on_call == 2 { table.update(id, &serde_json::json!({ "cents": 0 })) } else { Ok(()) }
            })
            .unwrap()
        };
        thread::scope(|scope| {
            scope.spawn(|| leave(1));
            scope.spawn(|| leave(2));
        });
        let left: i64 = [1u64, 2].iter().map(|id| table.get(*id).unwrap().unwrap().get(cents)).sum();
        assert_eq!(left, 1);
    }
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
