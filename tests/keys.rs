//! Keys: what a write answers, which values are one key, and what an index over the key holds.

use folio::{Column, Database, Error, Index, Row, Schema, SchemaBuilder, Table, Timestamp, ToKey, Value};
use serde_json::json;
use std::ops::{Bound, RangeBounds};

#[test]
fn an_insert_answers_an_integer_key_and_a_negative_one_in_twos_complement() {
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::i64("k").primary_key()).build().unwrap();
    let table = db.create_table(schema).unwrap();
    for key in [7, -1, i64::MIN, 0] {
        assert_eq!(table.insert(&(key,)).unwrap(), key.cast_unsigned());
        assert_eq!(table.upsert(&(key,)).unwrap(), key.cast_unsigned());
        assert!(table.contains(key).unwrap());
    }
}

#[test]
fn zeros_of_both_signs_are_one_key_also_within_arrays() {
    let db = Database::in_memory();
    for index in [Index::hash(["v"]).unique(), Index::ordered(["v"]).unique()] {
        let schema = Schema::builder("t").column(Column::array("v", "2xf32".parse().map(array).unwrap()));
        let table = db.create_table(schema.index(index).build().unwrap()).unwrap();
        table.insert(&([0.0, 1.0],)).unwrap();
        assert_eq!(table.insert(&([-0.0, 1.0],)).unwrap_err().code(), "unique-violation");
        db.drop_table("t").unwrap();
    }
}

fn array(ty: folio::Type) -> folio::Array {
    match ty {
        folio::Type::Array(array) => array,
        other => panic!("{other} is no array"),
    }
}

/// The number is given while the row is stored, and belongs into the index all the same.
#[test]
fn an_index_may_have_the_auto_increment_key_among_its_columns() {
    let db = Database::in_memory();
    for index in [Index::hash(["n", "id"]), Index::ordered(["n", "id"]), Index::ordered(["id"])] {
        let schema = Schema::builder("t")
            .column(Column::u32("id").primary_key().auto_increment())
            .column(Column::u64("n"))
            .index(index);
        let table = db.create_table(schema.build().unwrap()).unwrap();
        let (id, n) = (table.column::<u32>("id").unwrap(), table.column::<u64>("n").unwrap());
        table.insert(&json!({ "n": 5 })).unwrap();
        table.insert_many((0..100).map(|n| json!({ "n": n % 7 }))).unwrap();
        for row in table.iter().unwrap() {
            let found = table.select().filter(id.eq(row.get(id)) & n.eq(row.get(n))).ids().unwrap();
            assert_eq!(found, [row.id()]);
        }
        assert_eq!(table.select().filter(id.le(10)).count().unwrap(), 10);
        table.update(1u64, &json!({ "id": 1_000 })).unwrap();
        assert!(table.delete(2u64).unwrap());
        assert_eq!(table.select().filter(id.ge(1) & n.between(0..100)).count().unwrap(), 100);
        db.drop_table("t").unwrap();
    }
}

#[test]
fn an_index_is_not_made_over_nan_in_arrays() {
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::array("v", "2xf32".parse().map(array).unwrap()));
    let table = db.create_table(schema.build().unwrap()).unwrap();
    table.insert(&([f32::NAN, 1.0],)).unwrap();
    for index in [Index::hash(["v"]), Index::ordered(["v"]), Index::hash(["v"]).unique()] {
        assert_eq!(db.create_index("t", index).unwrap_err().code(), "nan-in-key");
    }
    assert_eq!(table.schema().unwrap().indexes().len(), 0);
}

#[test]
fn keys_of_the_wrong_type_or_arity_are_named_errors() {
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::u8("a")).column(Column::string("b")).primary_key(["a", "b"]);
    let table = db.create_table(schema.build().unwrap()).unwrap();
    table.insert(&(1, "x")).unwrap();
    for key in [
        vec![],
        vec![Value::from(1)],
        vec![Value::from(1), Value::from("x"), Value::Null],
        vec![Value::from("x"), Value::from(1)],
        vec![Value::from(1), Value::Null],
        vec![Value::Null, Value::from("x")],
        vec![Value::from(300), Value::Null],
        vec![Value::from(300), Value::from(1)],
        vec![Value::from(300), Value::from("x"), Value::from(1)],
    ] {
        for error in [table.get(&key).err(), table.delete(&key).err(), table.update(&key, &json!({})).err()] {
            assert_eq!(error.unwrap().code(), "invalid-key", "{key:?}");
        }
        // The first columns alone are a bound.
        let range = table.range(key.clone()..).map(Iterator::count);
        match key.len() {
            1 => assert_eq!(range.unwrap(), 1),
            _ => assert_eq!(range.unwrap_err().code(), "invalid-key", "{key:?}"),
        }
    }
    assert!(table.contains((1, "x")).unwrap());
}

/// What was wanted is told by the columns' types and names, what was given as it was given.
#[test]
fn a_key_that_does_not_fit_is_told_beside_what_would() {
    let db = Database::in_memory();
    let told = |schema: SchemaBuilder, keys: &[(Vec<Value>, &str, &str)]| {
        let table = db.create_table(schema.build().unwrap()).unwrap();
        for (key, wanted, given) in keys {
            let answers = [
                table.get(key).err(),
                table.get_many([key]).err(),
                table.get_with(key, |_| ()).err(),
                table.delete(key).err(),
                table.modify(key, |_| Ok(())).err(),
            ];
            for error in answers {
                match error.unwrap() {
                    Error::InvalidKey { table, expected, found } => {
                        assert_eq!((&*table, &*expected, &*found), ("t", *wanted, *given), "{key:?}");
                    }
                    error => panic!("{key:?}: {error}"),
                }
            }
        }
        db.drop_table("t").unwrap();
    };
    let t = || Schema::builder("t").column(Column::u8("n"));
    let row_id = "one integer (the row id)";
    let values = |values: &[i64]| values.iter().copied().map(Value::from).collect::<Vec<_>>();
    told(
        t(),
        &[
            (vec!["x".into()], row_id, "\"x\""),
            (vec![1.0.into()], row_id, "1.0"),
            (vec![Value::Null], row_id, "null"),
            (values(&[]), row_id, "0 values"),
            (values(&[1, 2]), row_id, "2 values"),
        ],
    );
    told(
        t().column(Column::u8("id").primary_key().auto_increment()),
        &[(values(&[1, 2]), "one integer (`id`)", "2 values")],
    );
    let one = |ty: &str| t().column(Column::new("k", ty.parse().unwrap()).primary_key());
    told(one("f32"), &[(vec![1e300.into()], "f32 (`k`)", "1e300"), (values(&[]), "f32 (`k`)", "0 values")]);
    told(one("uuid"), &[(vec!["no uuid".into()], "uuid (`k`)", "no uuid")]);
    told(one("timestamp"), &[(vec!["yesterday".into()], "timestamp (`k`)", "yesterday")]);
    told(
        one("bool"),
        &[(values(&[1]), "bool (`k`)", "an integer"), (vec![true.into(), true.into()], "bool (`k`)", "2 values")],
    );
    let two = t().column(Column::u8("a")).column(Column::string("b")).primary_key(["a", "b"]);
    let wanted = "u8 (`a`), string (`b`)";
    told(two, &[(values(&[1]), wanted, "1 value"), (vec![1.into(), Value::Null], wanted, "null")]);
}

/// Instants, which integers are taken for, among them.
#[test]
fn no_row_has_an_integer_that_the_key_cannot_hold() {
    for at in [Column::timestamp("at").primary_key(), Column::timestamp("at").unique()] {
        let schema = Schema::builder("t").column(at).column(Column::u8("n")).index(Index::ordered(["at"])).build();
        let table = Database::in_memory().create_table(schema.unwrap()).unwrap();
        table.insert_many([(i64::MIN, 0), (5, 1), (i64::MAX, 2)]).unwrap();
        let at = table.column::<Timestamp>("at").unwrap();
        assert!(table.find("at", 5).unwrap().is_some() && table.find("at", u64::MAX).unwrap().is_none());
        let count = |predicate| table.select().filter(predicate).count().unwrap();
        assert_eq!((count(at.lt(Value::UInt(u64::MAX))), count(at.ge(Value::UInt(u64::MAX)))), (3, 0));
        assert_eq!((count(at.eq(Value::UInt(u64::MAX))), count(at.ge(Value::Int(5)))), (0, 2));
    }
    let schema =
        Schema::builder("t").column(Column::timestamp("at").primary_key()).index(Index::ordered(["at"])).build();
    let table = Database::in_memory().create_table(schema.unwrap()).unwrap();
    table.insert_many([(i64::MIN,), (5,), (i64::MAX,)]).unwrap();
    assert!(table.contains(5).unwrap() && !table.contains(u64::MAX).unwrap());
    assert!(table.get(u64::MAX).unwrap().is_none() && !table.delete(u64::MAX).unwrap());
    assert_eq!((table.range(..u64::MAX).unwrap().count(), table.range(u64::MAX..).unwrap().count()), (3, 0));
}

/// More columns than are kept at hand.
#[test]
fn a_key_of_many_columns_is_a_key_like_others() {
    type Key = (u8, bool, i16, i64, u32, i8);
    let db = Database::in_memory();
    let names = ["a", "b", "c", "d", "e", "f"];
    let columns = || {
        let schema = Schema::builder("t").column(Column::u8("a")).column(Column::bool("b")).column(Column::i16("c"));
        let schema = schema.column(Column::i64("d")).column(Column::u32("e")).column(Column::i8("f"));
        schema.primary_key(names).column(Column::u8("n").default(0))
    };
    for schema in [columns(), columns().index(Index::ordered(names))] {
        let table = db.create_table(schema.build().unwrap()).unwrap();
        let stored: Vec<Key> = (0..32u32)
            .map(|n| {
                let (d, e) = (if n & 4 == 0 { -1 } else { i64::MAX }, if n & 2 == 0 { 0 } else { u32::MAX });
                ((n >> 4) as u8, n & 8 != 0, -3, d, e, if n & 1 == 0 { -128 } else { 127 })
            })
            .collect();
        table.insert_many(stored.iter().rev().map(|&(a, b, c, d, e, f)| (a, b, c, d, e, f, 0))).unwrap();
        for (place, &key) in stored.iter().enumerate() {
            assert_eq!(table.get(key).unwrap().unwrap().id(), 31 - place as u64);
            let (a, b, c, d, e, f) = key;
            assert!(table.contains(((a, b), (c, d), (e, f))).unwrap());
            assert!(!table.contains((a, b, c, d, e, 0i8)).unwrap());
        }
        assert_eq!(table.insert(&(1, true, -3, -1, 0, 127, 9)).unwrap_err().code(), "unique-violation");
        let found = table.get_many(stored.iter().copied().chain([(9, true, -3, -1, 0, 127)])).unwrap();
        assert!(found.iter().take(32).all(Option::is_some) && found[32].is_none());
        // One column after the other a null, one beyond its column, or the last one given.
        let (a, b, c, d, e, f) = stored[7];
        let whole = [Value::from(a), Value::from(b), Value::from(c), Value::from(d), Value::from(e), Value::from(f)];
        for place in 0..6 {
            let with = |value: Value| {
                let mut key = whole.clone();
                key[place] = value;
                key
            };
            assert_eq!(table.get(with(Value::Null)).unwrap_err().code(), "invalid-key");
            assert_eq!(table.range(with(Value::Null)..).unwrap_err().code(), "invalid-key");
            assert_eq!(table.get(with("x".into())).unwrap_err().code(), "invalid-key");
            if place != 1 && place != 3 {
                let (below, above) = (with(i64::MIN.into()), with(i64::MAX.into()));
                assert!(table.get(&below).unwrap().is_none() && table.get(&above).unwrap().is_none());
                let begin_so = |key: &&Key| (key.0, key.1, key.2, key.3, key.4) == (a, b, c, d, e);
                if place == 5 {
                    assert_eq!(table.range(below..above).unwrap().count(), stored.iter().filter(begin_so).count());
                }
            }
            let begins = &whole[..place];
            let expected = 32 >> [0, 1, 2, 2, 3, 4][place];
            if begins.is_empty() {
                assert_eq!(table.range(begins.to_vec()..).unwrap_err().code(), "invalid-key");
            } else {
                assert_eq!(table.get(begins).unwrap_err().code(), "invalid-key");
                assert_eq!(table.range(begins.to_vec()..=begins.to_vec()).unwrap().count(), expected);
                assert_eq!(table.range(begins.to_vec()..begins.to_vec()).unwrap().count(), 0);
            }
        }
        let too_many: Vec<Value> = whole.iter().cloned().chain([0.into()]).collect();
        assert_eq!(table.get(&too_many).unwrap_err().code(), "invalid-key");
        assert_eq!(table.range(too_many..).unwrap_err().code(), "invalid-key");
        let others = [(0, false, -3, 0, 7, 0), (1, true, i16::MIN, 0, 0, 0), (1, true, i16::MAX, -1, 0, 1)];
        let bounds: Vec<Key> = stored.iter().step_by(5).copied().chain(others).collect();
        check_ranges(&table, &bounds, |row| {
            let (a, b, c, d, e, f, _): (u8, bool, i16, i64, u32, i8, u8) = row.decode().unwrap();
            (a, b, c, d, e, f)
        });
        table.update(stored[7], &json!({ "n": 1 })).unwrap();
        table.update(stored[8], &json!({ "f": 0 })).unwrap();
        assert!(table.delete(stored[9]).unwrap() && !table.delete(stored[8]).unwrap());
        assert_eq!((table.len().unwrap(), db.verify().unwrap()), (31, vec![]));
        db.drop_table("t").unwrap();
    }
}

#[test]
fn a_tuple_may_have_its_one_value_anywhere() {
    let db = Database::in_memory();
    let none = Vec::<Value>::new;
    let plain = Schema::builder("t").column(Column::u64("id").primary_key()).column(Column::u8("n"));
    let numbered =
        Schema::builder("t").column(Column::u64("id").primary_key().auto_increment()).column(Column::u8("n"));
    for schema in [plain, numbered] {
        let table = db.create_table(schema.build().unwrap()).unwrap();
        table.insert(&(1, 7)).unwrap();
        assert!(table.contains((none(), 1u64)).unwrap());
        assert!(table.contains((none(), (none(), 1u64), none())).unwrap());
        assert!(table.contains((vec![Value::from(1)], none())).unwrap());
        assert!(!table.contains((none(), 2u64)).unwrap());
        assert_eq!(table.contains((none(), none())).unwrap_err().code(), "invalid-key");
        assert_eq!(table.contains((none(), 1u64, 1u64)).unwrap_err().code(), "invalid-key");
        db.drop_table("t").unwrap();
    }
}

#[test]
#[ignore = "takes 4 GiB of memory"]
fn a_key_of_any_length_is_itself() {
    let db = Database::in_memory();
    for key in [["a", "b"], ["b", "a"]] {
        let schema = Schema::builder("t").column(Column::bytes("a")).column(Column::u8("b")).primary_key(key);
        let table = db.create_table(schema.build().unwrap()).unwrap();
        table.insert(&(Vec::<u8>::new(), 1)).unwrap();
        let (long, one) = (vec![0u8; 1 << 32], 1u8);
        assert!(!if key[0] == "a" { table.contains((&long, one)) } else { table.contains((one, &long)) }.unwrap());
        db.drop_table("t").unwrap();
    }
}

#[test]
fn the_last_row_ids_are_usable_and_no_batch_goes_beyond_them() {
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::u64("id").primary_key().auto_increment()).column(Column::u8("n"));
    let table = db.create_table(schema.build().unwrap()).unwrap();
    let before = db.snapshot();
    let first = u64::MAX - 3;
    table.insert(&(first, 0)).unwrap();
    let after = db.snapshot();
    // Two numbers are left, for the last of all is given by name only.
    let error = table.insert_many((0..20).map(|n| json!({ "n": n }))).unwrap_err();
    assert_eq!(error.code(), "auto-increment-exhausted");
    assert!(error.to_string().starts_with("row 2 "), "{error}");
    table.insert_many((0..2).map(|n| json!({ "n": n }))).unwrap();
    assert_eq!(table.insert(&json!({ "n": 1 })).unwrap_err().code(), "auto-increment-exhausted");
    table.insert(&(u64::MAX, 9)).unwrap();
    let ids: Vec<u64> = table.iter().unwrap().map(|row| row.id()).collect();
    assert_eq!(ids, [first, first + 1, first + 2, u64::MAX]);
    assert!(table.iter().unwrap().rev().map(|row| row.id()).eq(ids.iter().rev().copied()));
    db.create_index("t", Index::hash(["n"])).unwrap();
    assert_eq!((before.diff(&after).unwrap().len(), after.diff(&db.snapshot()).unwrap().len()), (1, 3));
}

#[test]
fn a_bound_of_a_range_is_no_null() {
    let db = Database::in_memory();
    let schema = Schema::builder("two").column(Column::u32("a")).column(Column::u32("b")).primary_key(["a", "b"]);
    let two = db.create_table(schema.build().unwrap()).unwrap();
    two.insert_many([(1, 9), (7, 1)]).unwrap();
    let one = db.create_table(Schema::builder("one").column(Column::u32("a").primary_key()).build().unwrap()).unwrap();
    one.insert(&(1,)).unwrap();
    let auto = Column::u32("a").primary_key().auto_increment();
    let auto = db.create_table(Schema::builder("auto").column(auto).build().unwrap()).unwrap();
    let failed = [
        two.range([Value::Null, Value::from(5u32)]..).err(),
        two.range(..=[Value::from(5u32), Value::Null]).err(),
        one.range(Value::Null..).err(),
        one.range(..Value::Null).err(),
        auto.range(Value::Null..).err(),
    ];
    for error in failed.map(Option::unwrap) {
        assert_eq!(error.code(), "invalid-key", "{error}");
        assert!(error.to_string().contains("null"), "{error}");
    }
}

/// A bound of a key's first columns stands for all keys that begin so.
#[test]
fn a_bound_may_be_the_first_columns_alone() {
    type Key = (String, i64, i64);
    let db = Database::in_memory();
    let columns = || {
        let columns = Schema::builder("t").column(Column::string("a")).column(Column::i8("b")).column(Column::u16("c"));
        columns.primary_key(["a", "b", "c"])
    };
    for schema in [columns(), columns().index(Index::ordered(["a", "b", "c"]))] {
        let table = db.create_table(schema.build().unwrap()).unwrap();
        for a in ["", "a", "a\0", "ab", "b"] {
            for b in [-128, 0, 127] {
                table.insert_many([0, u16::MAX].map(|c| (a, b, c))).unwrap();
            }
        }
        let mut stored: Vec<Key> = table.select().fetch().unwrap();
        stored.sort();
        let texts = ["", "a", "a\0", "aa", "ab", "b", "c"];
        let bounds: Vec<Vec<Value>> = texts
            .iter()
            .flat_map(|a| [-129, -128, 0, 1, 127, 128].map(|b| vec![Value::from(*a), Value::from(b)]))
            .chain(texts.map(|a| vec![Value::from(a)]))
            .collect();
        // How a key stands to all those that begin as the bound does.
        let compare = |(a, b, _): &Key, bound: &[Value]| match bound {
            [Value::String(text)] => a.cmp(text),
            [Value::String(text), Value::Int(n)] => a.cmp(text).then(b.cmp(n)),
            other => panic!("{other:?}"),
        };
        for lower in &bounds {
            for upper in &bounds {
                for (lower, upper) in [
                    (Bound::Included(lower), Bound::Included(upper)),
                    (Bound::Excluded(lower), Bound::Excluded(upper)),
                    (Bound::Included(lower), Bound::Unbounded),
                    (Bound::Unbounded, Bound::Included(upper)),
                ] {
                    let is_in = |key: &&Key| {
                        let above = match lower {
                            Bound::Included(bound) => compare(key, bound).is_ge(),
                            Bound::Excluded(bound) => compare(key, bound).is_gt(),
                            Bound::Unbounded => true,
                        };
                        above
                            && match upper {
                                Bound::Included(bound) => compare(key, bound).is_le(),
                                Bound::Excluded(bound) => compare(key, bound).is_lt(),
                                Bound::Unbounded => true,
                            }
                    };
                    let expected: Vec<&Key> = stored.iter().filter(is_in).collect();
                    let found = table.range((lower.cloned(), upper.cloned())).unwrap();
                    let found: Vec<Key> = found.map(|row| row.decode().unwrap()).collect();
                    assert!(found.iter().eq(expected), "{lower:?} {upper:?}: {found:?}");
                }
            }
        }
        db.drop_table("t").unwrap();
    }
}

/// One kind of table answers by row id, the others by an index: an integer that the column cannot hold is to all of them
/// a key that no row has.
#[test]
fn an_integer_beyond_the_keys_column_is_a_key_that_no_row_has() {
    let db = Database::in_memory();
    let key = || Column::u8("k").primary_key();
    for (key, index) in [(key().auto_increment(), None), (key(), None), (key(), Some(Index::ordered(["k"])))] {
        let schema = Schema::builder("t").column(key).column(Column::u8("n").nullable());
        let schema = if let Some(index) = index { schema.index(index) } else { schema };
        let table = db.create_table(schema.build().unwrap()).unwrap();
        table.insert_many([(1, 0), (9, 0), (255, 0)]).unwrap();
        for absent in [-1, i64::MIN, 256, 257, 300, i64::MAX] {
            assert!(table.get(absent).unwrap().is_none() && table.find("k", absent).unwrap().is_none());
            assert!(!table.contains(absent).unwrap() && !table.delete(absent).unwrap());
            assert_eq!(table.get_with(absent, |row| row.id()).unwrap(), None);
            assert_eq!(table.update(absent, &json!({ "n": 1 })).unwrap_err().code(), "no-such-row");
            assert_eq!(table.modify(absent, |_| Ok(())).unwrap_err().code(), "no-such-row");
            let many = table.get_many([1, absent, 255]).unwrap();
            assert_eq!(many.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
        }
        assert!(table.get(u64::MAX).unwrap().is_none());
        let keys = [-300, -1, 0, 1, 5, 9, 255, 256, i64::MAX];
        check_ranges(&table, &keys, |row| integer(row, "k"));
        assert_eq!(table.len().unwrap(), 3);
        db.drop_table("t").unwrap();
    }
}

#[test]
fn so_is_one_among_the_columns_of_a_key() {
    let db = Database::in_memory();
    for index in [None, Some(Index::ordered(["a", "b"]))] {
        let schema = Schema::builder("t").column(Column::i8("a")).column(Column::u16("b")).primary_key(["a", "b"]);
        let schema = if let Some(index) = index { schema.index(index) } else { schema };
        let table = db.create_table(schema.build().unwrap()).unwrap();
        for a in [-128, -1, 0, 127] {
            table.insert_many([0, 5, u16::MAX].map(|b| (a, b))).unwrap();
        }
        let numbers = [-200, -128, -1, 0, 3, 127, 128, 65_535, 65_536];
        let keys: Vec<(i64, i64)> = numbers.iter().flat_map(|&a| numbers.map(|b| (a, b))).collect();
        let stored: Vec<(i64, i64)> = table.select().fetch().unwrap();
        for &key in &keys {
            assert_eq!(table.contains(key).unwrap(), stored.contains(&key), "{key:?}");
        }
        check_ranges(&table, &keys, |row| (integer(row, "a"), integer(row, "b")));
        db.drop_table("t").unwrap();
    }
}

fn integer(row: &Row<'_>, column: &str) -> i64 {
    match row.value(column).unwrap() {
        Value::Int(value) => value,
        Value::UInt(value) => i64::try_from(value).unwrap(),
        other => panic!("{other} is no integer"),
    }
}

/// Every range of two keys has the rows that it has by comparison, in order, from both ends.
fn check_ranges<K>(table: &Table, keys: &[K], of_row: impl Fn(&Row<'_>) -> K)
where
    K: ToKey + PartialOrd + Copy + std::fmt::Debug,
{
    let mut stored: Vec<K> = table.select().map(&of_row).unwrap();
    stored.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let bounds = || keys.iter().flat_map(|&key| [Bound::Included(key), Bound::Excluded(key)]).chain([Bound::Unbounded]);
    for lower in bounds() {
        for upper in bounds() {
            let range = (lower, upper);
            let expected: Vec<K> = stored.iter().copied().filter(|key| range.contains(key)).collect();
            let found: Vec<K> = table.range(range).unwrap().map(|row| of_row(&row)).collect();
            assert_eq!(found, expected, "{range:?}");
            let mut back: Vec<K> = table.range(range).unwrap().rev().map(|row| of_row(&row)).collect();
            back.reverse();
            assert_eq!(back, expected, "{range:?} from behind");
        }
    }
}

/// An ordered index is as unique as a hash index.
#[test]
fn a_row_is_found_by_any_unique_column() {
    let db = Database::in_memory();
    let columns = || {
        let schema = Schema::builder("t").column(Column::string("email")).column(Column::i64("n"));
        schema.column(Column::f64("x").nullable()).column(Column::u16("small").nullable())
    };
    let hash = |name: &str| Index::hash([name]).unique();
    let ordered = |name: &str| Index::ordered([name]).unique();
    for index in [hash, ordered] {
        let schema = ["email", "n", "x", "small"].into_iter().fold(columns(), |schema, name| schema.index(index(name)));
        let table = db.create_table(schema.build().unwrap()).unwrap();
        for n in 0..100i64 {
            let (x, small) = ((n % 2 == 0).then_some(n as f64 - 50.0), (n % 3 == 0).then_some(n));
            table.insert(&(format!("user{n}@x"), n - 50, x, small)).unwrap();
        }
        let found = |column: &str, value: Value| table.find(column, value).unwrap().map(|row| row.id());
        assert_eq!((found("email", "user7@x".into()), found("email", "user".into())), (Some(7), None));
        assert_eq!(
            (found("n", (-50).into()), found("n", 49u8.into()), found("n", 50.into())),
            (Some(0), Some(99), None)
        );
        assert_eq!(
            (found("x", (-0.0).into()), found("x", 48.0.into()), found("x", 1.0.into())),
            (Some(50), Some(98), None)
        );
        assert_eq!(
            (found("small", 0.into()), found("small", 99.into()), found("small", 98.into())),
            (Some(0), Some(99), None)
        );
        // Null is no value, however many rows have it, nor is what the column cannot hold.
        assert_eq!((found("x", Value::Null), found("small", Value::Null)), (None, None));
        assert_eq!(
            (found("small", (-1).into()), found("small", 65_536.into()), found("n", u64::MAX.into())),
            (None, None, None)
        );
        assert_eq!(table.find("n", "x").unwrap_err().code(), "invalid-key");
        assert_eq!(table.find("n", (1, 2)).unwrap_err().code(), "invalid-key");
        db.drop_table("t").unwrap();
    }
}

#[test]
fn a_unique_column_is_given_by_its_name_or_its_handle() {
    let db = Database::in_memory();
    let columns = |name: &str| {
        let schema = Schema::builder(name).column(Column::u64("id").primary_key().auto_increment());
        schema.column(Column::string("email").unique()).column(Column::u8("n"))
    };
    let table = db.create_table(columns("t").build().unwrap()).unwrap();
    let other = db.create_table(columns("other").build().unwrap()).unwrap();
    table.insert_many([json!({ "email": "a", "n": 1 }), json!({ "email": "b", "n": 1 })]).unwrap();
    let id = |found: folio::Result<Option<Row<'_>>>| found.unwrap().map(|row| row.id());
    let (name, email) = (String::from("email"), table.column::<str>("email").unwrap());
    assert_eq!([id(table.find("email", "b")), id(table.find(&name, "b"))], [Some(2), Some(2)]);
    assert_eq!([id(table.find(name, "b")), id(table.find(email, "b"))], [Some(2), Some(2)]);
    let number = table.column::<u64>("id").unwrap();
    assert_eq!([id(table.find(number, 1)), id(table.find("id", 3)), id(table.find("id", -1))], [Some(1), None, None]);
    // One handle serves the table's snapshots, forks and transactions, and no other table.
    assert_eq!(db.snapshot().table("t").unwrap().find(email, "b").unwrap().unwrap().id(), 2);
    assert_eq!(db.fork().table("t").unwrap().find(email, "b").unwrap().unwrap().id(), 2);
    assert!(db.transaction(|tx| Ok(tx.table("t")?.find(email, "b")?.is_some())).unwrap());
    assert_eq!(other.find(email, "b").unwrap_err().code(), "foreign-handle");
    assert_eq!(other.find(number, 1).unwrap_err().code(), "foreign-handle");
    let code = |answer: folio::Result<Option<Row<'_>>>| answer.unwrap_err().code();
    assert_eq!([code(table.find("mail", "a")), code(table.find("n", 1))], ["no-such-column", "invalid-query"]);
    for key in [vec![], vec![Value::from("a"), Value::from("b")], vec![Value::from(1)]] {
        assert_eq!(code(table.find("email", &key)), "invalid-key", "{key:?}");
    }
    assert_eq!([code(table.find("id", "a")), code(table.find("id", (1, 2)))], ["invalid-key", "invalid-key"]);
    assert_eq!(id(table.find("email", (Vec::<Value>::new(), "b"))), Some(2));
}

/// With an index that serves the order, and by sorting, for every type that a key can have in one word.
#[test]
fn ranges_of_a_key_of_one_number_are_in_its_order() {
    type Keyed = fn() -> SchemaBuilder;
    let db = Database::in_memory();
    let columns: [(Keyed, [i64; 5]); 4] = [
        (|| Schema::builder("t").column(Column::i8("k").primary_key()), [-128, -1, 0, 5, 127]),
        (|| Schema::builder("t").column(Column::i64("k").primary_key()), [i64::MIN, -1, 0, 5, i64::MAX]),
        (|| Schema::builder("t").column(Column::u32("k").primary_key()), [0, 1, 2, 5, u32::MAX.into()]),
        (|| Schema::builder("t").column(Column::u64("k").primary_key()), [0, 1, 2, 5, i64::MAX]),
    ];
    for (schema, keys) in columns {
        for index in [None, Some(Index::ordered(["k"]))] {
            let schema = if let Some(index) = index { schema().index(index) } else { schema() };
            let table = db.create_table(schema.build().unwrap()).unwrap();
            table.insert_many(keys.iter().rev().map(|&key| (key,))).unwrap();
            check_ranges(&table, &keys, |row| integer(row, "k"));
            db.drop_table("t").unwrap();
        }
    }
    for index in [None, Some(Index::ordered(["k"]))] {
        let schema = Schema::builder("t").column(Column::f64("k").primary_key());
        let schema = if let Some(index) = index { schema.index(index) } else { schema };
        let table = db.create_table(schema.build().unwrap()).unwrap();
        let keys = [f64::NEG_INFINITY, -1.5, -0.0, 2.0, f64::INFINITY];
        table.insert_many(keys.iter().rev().map(|&key| (key,))).unwrap();
        let k = table.column::<f64>("k").unwrap();
        check_ranges(&table, &[f64::NEG_INFINITY, -1.5, -1.0, 0.0, -0.0, 2.0, 3.0, f64::INFINITY], |row| row.get(k));
        db.drop_table("t").unwrap();
    }
}

/// A key's values are packed into a short place first, and into a long one where that is too short: at each length.
#[test]
fn the_texts_of_a_key_may_be_of_any_lengths() {
    for order in [["a", "b", "c", "d"], ["d", "c", "b", "a"]] {
        let db = Database::in_memory();
        let schema = Schema::builder("t")
            .column(Column::string("a"))
            .column(Column::u64("b"))
            .column(Column::bytes("c"))
            .column(Column::string("d"))
            .primary_key(order)
            .index(Index::ordered(order));
        let table = db.create_table(schema.build().unwrap()).unwrap();
        let lengths = || [0, 1, 15, 23, 24, 25, 31, 32, 33, 70].into_iter();
        let rows: Vec<(String, u64, Vec<u8>, String)> = lengths()
            .flat_map(|a| lengths().map(move |c| (a, c)))
            .flat_map(|(a, c)| lengths().map(move |d| ("a".repeat(a), 7, vec![1; c], "d".repeat(d))))
            .collect();
        table.insert_many(rows.iter().map(|(a, b, c, d)| (a, b, Value::from(c.clone()), d))).unwrap();
        for (a, b, c, d) in &rows {
            let bytes = Value::from(c.clone());
            let found = match order[0] {
                "a" => table.get((a.as_str(), *b, bytes, d.as_str())),
                _ => table.get((d.as_str(), bytes, *b, a.as_str())),
            };
            let row = found.unwrap().unwrap();
            let length = |column: &str| match row.value(column).unwrap().to_owned() {
                Value::Bytes(bytes) => bytes.len(),
                Value::String(text) => text.len(),
                other => panic!("{other}"),
            };
            assert_eq!([length("a"), length("c"), length("d")], [a.len(), c.len(), d.len()]);
        }
        assert_eq!(db.verify().unwrap(), []);
    }
}

/// Of a hash an index keeps but a part: among so many keys and so many strangers, many of those are equal.
#[test]
fn a_key_that_no_row_has_is_found_by_no_part_of_its_hash() {
    const ROWS: u64 = 30_000;
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::u64("k").primary_key()).column(Column::string("s").unique());
    let schema = schema.column(Column::u32("a").nullable()).column(Column::u16("b"));
    let table = db.create_table(schema.index(Index::hash(["a", "b"]).unique()).build().unwrap()).unwrap();
    table.insert_many((0..ROWS).map(|n| (7 * n, format!("s{n}"), n as u32, (n % 9) as u16))).unwrap();
    assert!(!table.is_empty().unwrap());
    let k = table.column::<u64>("k").unwrap();
    let (a, b) = (table.column::<Option<u32>>("a").unwrap(), table.column::<u16>("b").unwrap());
    for n in 0..10 * ROWS {
        let is_there = n < 7 * ROWS && n % 7 == 0;
        assert_eq!(table.get(n).unwrap().map(|row| row.get(k)), is_there.then_some(n));
        let found = table.find("s", format!("s{n}")).unwrap().map(|row| row.get(k));
        assert_eq!(found, (n < ROWS).then_some(7 * n));
    }
    for n in (0..10 * ROWS).step_by(7) {
        let found = table.select().filter(a.eq(n as u32) & b.eq((n % 9) as u16)).pick(k).unwrap();
        assert!(found.into_iter().eq((n < ROWS).then_some(7 * n)));
    }
    let keys: Vec<u64> = (0..10 * ROWS).collect();
    let many = table.get_many(&keys).unwrap();
    assert!(many.iter().zip(&keys).all(|(row, key)| match row {
        Some(row) => row.get(k) == *key,
        None => *key >= 7 * ROWS || key % 7 != 0,
    }));
}
