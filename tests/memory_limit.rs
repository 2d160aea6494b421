//! What writes leave behind is memory for the writes after them, and a limit of memory is one that can be lived with.

use folio::{Column, Database, Error, Index, Result, Row, Schema, Table};
use serde_json::{Value, json};
use std::collections::VecDeque;

fn schema() -> Schema {
    Schema::builder("t")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::u64("n"))
        .column(Column::string("s"))
        .build()
        .unwrap()
}

fn row(n: u64) -> Value {
    json!({ "n": n, "s": format!("value {n}") })
}

fn refused<T>(answer: Result<T>) -> bool {
    match answer {
        Ok(_) => false,
        Err(Error::OutOfMemory { .. }) => true,
        Err(Error::InBatch { source, .. }) => refused::<T>(Err(*source)),
        Err(error) => panic!("{error}"),
    }
}

/// One round of a workload that leaves the table as large as it was.
type Round = fn(&Database, &Table) -> Result<()>;

const ROUNDS: [(&str, Round); 6] = [
    ("savepoints", |db, _| {
        db.transaction(|tx| {
            let table = tx.table("t")?;
            (0..200).try_for_each(|n| tx.savepoint(|_| table.update(1 + n % 50, &json!({ "n": n }))))
        })
    }),
    ("updates beside an open row", |db, _| {
        db.transaction(|tx| {
            let table = tx.table("t")?;
            let _row = table.get(1)?;
            (0..200).try_for_each(|n| table.update(1 + n % 50, &json!({ "n": n })))
        })
    }),
    ("cleared and filled", |db, _| {
        db.transaction(|tx| {
            let table = tx.table("t")?;
            table.clear()?;
            table.insert_many((0..5_000).map(row))?;
            (1..=50).try_for_each(|n| table.insert(&json!({ "id": 1_u64 << 40 | n, "n": n, "s": "" })).map(drop))
        })?;
        db.transaction(|tx| tx.table("t")?.delete_where(|row: &folio::Row| row.id() < 1 << 40).map(drop))?;
        db.transaction(|tx| {
            let table = tx.table("t")?;
            table.clear()?;
            table.insert_many((0..50).map(row)).map(drop)
        })
    }),
    ("rolled back", |db, _| {
        let rolled_back = db.transaction(|tx| {
            tx.table("t")?.insert_many((0..5_000).map(row))?;
            Err::<(), _>(Error::abort("no"))
        });
        assert!(rolled_back.is_err());
        Ok(())
    }),
    ("a batch refused by its last row", |_, table| {
        let rows = (0..5_000).map(row).chain([json!({ "n": "none" })]);
        assert!(table.insert_many(rows).is_err());
        Ok(())
    }),
    ("an index made and dropped", |db, table| {
        table.insert_many((0..5_000).map(row))?;
        db.create_index("t", Index::ordered(["s"]).named("by s"))?;
        db.drop_index("t", "by s")?;
        table.clear()?;
        table.insert_many((0..50).map(row)).map(drop)
    }),
];

#[test]
fn writes_give_back_what_they_leave_behind() {
    for (what, round) in ROUNDS {
        let db = Database::in_memory();
        let table = db.create_table(schema()).unwrap();
        table.insert_many((0..50).map(row)).unwrap();
        let used = || db.stats().memory.used_bytes;
        let rounds = |count: usize| (0..count).map(|_| round(&db, &table).map(|()| used()).unwrap()).max().unwrap();
        let few = rounds(6);
        let many = rounds(40);
        assert!(many <= few + few / 4 + (256 << 10), "{what}: {few} bytes after six rounds, {many} after forty more");
        assert_eq!(table.len().unwrap(), 50, "{what}");
    }
}

/// What a savepoint's part of a transaction has replaced goes with the last savepoint that could bring it back.
/// However many pages they replace: each write frees as much as it leaves.
#[test]
fn large_writes_give_back_what_they_leave_behind() {
    let db = Database::in_memory();
    let table = db.create_table(schema()).unwrap();
    table.insert_many((0..200_000).map(|n| (Value::Null, n, "value"))).unwrap();
    let before = db.stats().memory.used_bytes;
    for n in 0..12 {
        table.update_where(|_: &Row<'_>| true, &json!({ "n": n })).unwrap();
        let used = db.stats().memory.used_bytes;
        assert!(used <= 5 * before / 2, "round {n}: {used} bytes are used, {before} before");
    }
}

#[test]
fn a_transaction_of_many_savepoints_stays_small() {
    let db = Database::in_memory();
    let table = db.create_table(schema()).unwrap();
    let inserted = db.transaction(|tx| {
        let table = tx.table("t")?;
        (0..20_000).try_for_each(|n| {
            tx.savepoint(|tx| {
                let _ = tx.savepoint(|_| table.update(1, &json!({ "n": n })).and(Err::<(), _>(Error::abort("no"))));
                table.insert_returning::<_, (u64, u64, String)>(&row(n)).map(drop)
            })
        })
    });
    inserted.unwrap();
    assert_eq!(table.len().unwrap(), 20_000);
    let memory = db.stats().memory;
    assert!(memory.reserved_bytes < 16 << 20, "{memory:?}");
}

#[test]
fn a_refused_write_is_no_end_under_a_limit() {
    let db = Database::builder().memory_limit(16 << 20).in_memory().unwrap();
    let table = db.create_table(schema()).unwrap();
    for _ in 0..4 {
        assert!(refused(table.insert_many((0..1_000_000).map(row))));
        assert_eq!(table.insert_many((0..20_000).map(row)).unwrap(), 20_000);
        table.clear().unwrap();
    }
    for _ in 0..100 {
        let filled = db.transaction(|tx| {
            let table = tx.table("t")?;
            table.clear()?;
            table.insert_many((0..10_000).map(row))
        });
        assert_eq!(filled.unwrap(), 10_000);
    }
}

/// A cache that makes room by its oldest rows.
#[test]
fn rows_can_be_evicted_under_a_limit() {
    for limit in [8 << 20, 16 << 20] {
        for kind in 0..3 {
            let db = Database::builder().memory_limit(limit).in_memory().unwrap();
            let builder = Schema::builder("cache");
            let builder = match kind {
                0 => builder.column(Column::u64("key").primary_key().auto_increment()),
                _ => builder.column(Column::string("key").primary_key()),
            };
            let builder = builder.column(Column::u64("n")).column(Column::string("value"));
            let builder = if kind == 2 { builder.index(Index::ordered(["n"])) } else { builder };
            let cache = db.create_table(builder.build().unwrap()).unwrap();
            let put = |n: u64| {
                let value = format!("value {n:060}{}", "x".repeat(n as usize % 7));
                match kind {
                    0 => cache.insert(&(None::<u64>, n, value)),
                    _ => cache.insert(&(format!("key {n}"), n, value)).map(|_| n),
                }
            };
            let remove = |key: u64| if kind == 0 { cache.delete(key) } else { cache.delete(format!("key {key}")) };
            let mut keys: VecDeque<u64> = (0..).map_while(|n| put(n).ok()).collect();
            let full = keys.len() as u64;
            for n in full..full + 30_000 {
                let key = loop {
                    match put(n) {
                        Ok(key) => break key,
                        answer => assert!(refused(answer)),
                    }
                    let oldest = keys.pop_front().expect("a row to evict");
                    assert!(remove(oldest).unwrap(), "{limit}, {kind}");
                };
                keys.push_back(key);
                assert!(db.stats().memory.reserved_bytes <= limit);
            }
            let kept = cache.len().unwrap();
            println!("{limit} bytes: {full} rows at first, {kept} after 30,000 more");
            assert!(kept >= full / 3, "{limit}, {kind}: {kept} of {full} rows");
            // A few at once, too.
            let few = cache.select().limit(20).ids().unwrap();
            assert_eq!(cache.delete_where(|row: &folio::Row| few.contains(&row.id())).unwrap(), 20);
        }
    }
}

/// Inserts and updates that are refused leave nothing behind, and rows can be deleted whatever was tried before.
/// Another table, made while one is full, makes the root another size.
#[test]
fn a_full_table_can_be_emptied_beside_a_new_one() {
    for (limit, tables) in [(8, 1), (9, 1), (9, 3), (10, 1), (10, 5), (12, 1), (32, 1)] {
        let db = Database::builder().memory_limit(limit << 20).in_memory().unwrap();
        let schema = Schema::builder("full").column(Column::u64("id").primary_key().auto_increment());
        let table = db.create_table(schema.column(Column::u64("n")).build().unwrap()).unwrap();
        while table.insert(&(None::<u64>, 1)).is_ok() {}
        for n in 0..tables {
            // May be refused; what is there can go all the same.
            let _ = db.create_table(Schema::builder(format!("new{n}")).column(Column::u64("q")).build().unwrap());
        }
        assert!(table.delete(1).unwrap(), "{limit} MiB");
        assert!(table.delete(2).unwrap(), "{limit} MiB");
        for name in db.table_names().iter().filter(|name| *name != "full") {
            db.drop_table(name).unwrap();
        }
        table.clear().unwrap();
        table.insert(&(None::<u64>, 1)).unwrap();
        db.drop_table("full").unwrap();
    }
}

#[test]
fn rows_can_be_deleted_whatever_was_refused() {
    let db = Database::builder().memory_limit(8 << 20).in_memory().unwrap();
    let schema = Schema::builder("t")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("email").unique())
        .column(Column::f64("score"))
        .column(Column::u16("country"))
        .column(Column::string("name"))
        .index(Index::ordered(["score"]))
        .index(Index::hash(["country"]))
        .index(Index::ordered(["name"]));
    let table = db.create_table(schema.build().unwrap()).unwrap();
    let row = |n: u64| {
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        json!({ "email": format!("{mixed:x}@home"), "score": mixed as f64, "country": mixed % 200, "name": format!("{n}") })
    };
    let mut tried = 0;
    let mut refusals = 0;
    while refusals < 10_000 {
        tried += 1;
        refusals += u32::from(refused(table.insert(&row(tried))));
        let name = format!("{tried} {}", "longer ".repeat(tried as usize % 3));
        let ids = table.len().unwrap().max(1);
        refusals += u32::from(match table.update(1 + tried % ids, &json!({ "name": name })) {
            Err(Error::NoSuchRow { .. }) => false,
            answer => refused(answer),
        });
    }
    let mut ids = Vec::new();
    table.select().for_each(|row| ids.push(row.id())).unwrap();
    assert!(ids.len() > 10_000);
    let first = ids.iter().filter(|id| refused(table.delete(**id))).count();
    // Those find room where the others were.
    assert!(first <= ids.len() / 100, "{first} of {} refused", ids.len());
    assert!(!ids.iter().any(|id| refused(table.delete(*id))) && table.is_empty().unwrap());
    table.clear().unwrap();
    db.reclaim();
    assert!(db.stats().memory.used_bytes < 4_096, "{:?}", db.stats().memory);
}

/// What small rows have left is there for a large value.
#[test]
fn a_large_value_takes_the_place_of_small_ones() {
    let db = Database::builder().memory_limit(16 << 20).in_memory().unwrap();
    let table = db.create_table(schema()).unwrap();
    let large = json!({ "n": 1, "s": "x".repeat(10 << 20) });
    table.insert(&large).unwrap();
    table.clear().unwrap();
    for _ in 0..3 {
        assert!((0..).any(|n| refused(table.insert(&row(n)))));
        table.clear().unwrap();
        table.insert(&large).unwrap();
        table.clear().unwrap();
    }
}

/// Pages of wide rows are blocks of their own, for which what is kept is too small in pieces: where wide rows were the next
/// to go, none of them ever went.
#[test]
fn wide_rows_can_be_evicted_when_small_ones_used_what_is_kept() -> Result<()> {
    for small_rows in [110_000, 120_000, 130_000] {
        let limit = 16 << 20;
        let db = Database::builder().memory_limit(limit).in_memory()?;
        let schema = Schema::builder("cache").column(Column::u64("id").primary_key().auto_increment());
        let schema = schema.column(Column::string("key").unique()).column(Column::bytes("value"));
        let schema = schema.column(Column::u64("used")).index(Index::ordered(["used"]));
        let cache = db.create_table(schema.build()?)?;
        let (used, id) = (cache.column::<u64>("used")?, cache.column::<u64>("id")?);
        let mut random = 7_u64;
        let mut evicted = 0;
        for n in 0..small_rows + 8_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let bytes = if n < small_rows { 20 + random % 30 } else { 900 + random % 90 };
            let row = json!({ "key": format!("k{n}"), "value": vec![1_u8; bytes as usize], "used": random >> 34 });
            while refused(cache.insert(&row)) {
                let oldest = cache.select().order_by(used).limit(20).pick(id)?;
                let gone = oldest.into_iter().map(|id| cache.delete(id)).filter(|deleted| deleted.is_ok()).count();
                assert!(gone > 0, "after {evicted}: {:?}", db.stats().memory);
                evicted += gone;
            }
            // Beyond the limit by no more than what is kept, and by that only while something is deleted.
            assert!(db.stats().memory.reserved_bytes <= limit + limit / 16);
        }
        assert!(evicted > 1_000);
    }
    Ok(())
}
