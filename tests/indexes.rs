//! Indexes that come and go: filled from rows that were there, full from end to end, right as the rows go and come again; and
//! handles that stay good meanwhile.

#[path = "common/random.rs"]
mod random;

use folio::{Column, Database, Error, Index, Schema, Table, Value};
use random::Random;

/// Which rows of a table go first.
#[derive(Debug, Clone, Copy)]
enum Way {
    FromTheEnd,
    FromTheFront,
    AtRandom,
}

const WAYS: [Way; 3] = [Way::FromTheEnd, Way::FromTheFront, Way::AtRandom];

/// A table of these keys, which rise, and an index that is made when they are all there. Rows go until none is left, then
/// some come again; `in_order` asks for all by the index.
fn shrinks(column: Column<Value>, keys: &[Value], index: Index, way: Way, in_order: impl Fn(&Table) -> Vec<u64>) {
    let db = Database::in_memory();
    let table = db.create_table(Schema::builder("t").column(column).build().unwrap()).unwrap();
    table.insert_many(keys.iter().map(|key| (key,))).unwrap();
    db.create_index("t", index).unwrap();
    let mut left: Vec<u64> = (0..keys.len() as u64).collect();
    let mut random = Random(keys.len() as u64);
    loop {
        assert_eq!(in_order(&table), left, "{} left of {}, {way:?}", left.len(), keys.len());
        assert_eq!(db.verify().unwrap(), [], "{} left of {}, {way:?}", left.len(), keys.len());
        if left.is_empty() {
            break;
        }
        // A few one by one, of the others one half after the other.
        let count = if keys.len() - left.len() < 4 || left.len() < 4 { 1 } else { left.len().div_ceil(2) };
        db.transaction(|tx| {
            let table = tx.table("t")?;
            for _ in 0..count {
                let place = match way {
                    Way::FromTheEnd => left.len() - 1,
                    Way::FromTheFront => 0,
                    Way::AtRandom => random.below(left.len() as u64) as usize,
                };
                assert!(table.delete(left.remove(place))?);
            }
            Ok(())
        })
        .unwrap();
    }
    table.insert_many(keys.iter().take(20).map(|key| (key,))).unwrap();
    assert_eq!((in_order(&table).len(), db.verify().unwrap()), (keys.len().min(20), vec![]));
}

fn column(ty: &str) -> Column<Value> {
    Column::new("k", ty.parse().unwrap())
}

#[test]
fn an_index_of_numbers_shrinks_wherever_rows_go() {
    let by_key = |table: &Table| {
        let k = table.column::<u64>("k").unwrap();
        table.select().order_by(k.asc()).ids().unwrap()
    };
    // About as many rows as one node with full ones below it holds, so that the next has few, and these few rows.
    for count in [1, 79, 3_900, 3_901, 3_902, 3_940] {
        let keys: Vec<Value> = (0..count).map(|n| Value::from(n * 7)).collect();
        for way in WAYS {
            shrinks(column("u64"), &keys, Index::ordered(["k"]), way, by_key);
        }
    }
}

/// Keys so long that a leaf has one of them, and so alike that all but the last bytes tell nothing apart.
#[test]
fn an_index_of_long_keys_shrinks_wherever_rows_go() {
    let by_key = |table: &Table| {
        let k = table.column::<Option<String>>("k").unwrap();
        table.select().order_by(k.asc()).ids().unwrap()
    };
    for count in [1u64, 2, 8, 9, 10, 64, 65, 66, 73] {
        let keys: Vec<Value> = (0..count).map(|n| Value::from(format!("{}{n:03}", "k".repeat(4_000)))).collect();
        let (nulls, text) = (vec![Value::Null; 3], vec![Value::from(""), Value::from("a"), Value::from("k")]);
        for keys in [keys.clone(), [text, keys, nulls].concat()] {
            for way in WAYS {
                shrinks(column("string").nullable(), &keys, Index::ordered(["k"]), way, by_key);
            }
        }
    }
}

/// Many rows to a key, and rows without one.
#[test]
fn an_index_that_hashes_shrinks_wherever_rows_go() {
    for (index, rows_of_key) in [(Index::hash(["k"]).unique(), 1), (Index::hash(["k"]), 1), (Index::hash(["k"]), 40)] {
        for count in [1, 24, 25, 49, 700] {
            let keys: Vec<Value> =
                (0..count).map(|n| if n % 9 == 8 { Value::Null } else { Value::from(n / rows_of_key) }).collect();
            let by_key = |table: &Table| {
                let k = table.column::<Option<i64>>("k").unwrap();
                let mut ids: Vec<u64> = (0..=(count - 1) / rows_of_key)
                    .flat_map(|key| table.select().filter(k.eq(key)).ids().unwrap())
                    .chain(table.select().filter(k.is_null()).ids().unwrap())
                    .collect();
                ids.sort_unstable();
                ids
            };
            for way in WAYS {
                shrinks(column("i64").nullable(), &keys, index.clone(), way, by_key);
            }
        }
    }
}

#[test]
fn a_handle_stays_good_however_often_indexes_come_and_go() {
    // What it has kept must not be dropped one within the other.
    std::thread::Builder::new().stack_size(256 << 10).spawn(keep_handles).unwrap().join().unwrap();
}

fn keep_handles() {
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::u64("id").primary_key()).column(Column::u32("n"));
    let table = db.create_table(schema.build().unwrap()).unwrap();
    table.insert_many((0..2_000_u64).map(|id| (id, id % 100))).unwrap();
    let mut handles = vec![table];
    for turn in 0..5_000 {
        db.create_index("t", Index::ordered(["n"]).named("more")).unwrap();
        if turn % 101 == 0 {
            for table in &handles {
                let n = table.column::<u32>("n").unwrap();
                assert_eq!(table.select().filter(n.eq(3)).count().unwrap(), 20);
                let plan = table.select().filter(n.eq(3)).explain().unwrap().to_string();
                assert!(!plan.contains("all pages"), "{plan}");
            }
            handles.push(db.table("t").unwrap());
            // Those in the middle go at times, and with them what they alone have seen.
            if handles.len() > 20 {
                handles.drain(3..handles.len() - 3);
            }
        }
        db.drop_index("t", "more").unwrap();
        if turn % 257 == 0 {
            handles.iter().for_each(|table| {
                assert_eq!(table.get(7_u64).unwrap().unwrap().decode::<(u64, u32)>().unwrap(), (7, 7))
            });
            handles[turn % handles.len()].update(3_u64, &serde_json::json!({ "n": 3 })).unwrap();
        }
    }
    db.drop_table("t").unwrap();
    assert!(handles.iter().all(|table| matches!(table.len(), Err(Error::NoSuchTable { .. }))));
}
