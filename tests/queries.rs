//! Queries: which rows `distinct` keeps, whose error a foreign handle is, what a sum of floats does not depend on, and
//! that a predicate means what the same comparison means in a closure.

use folio::{Column, Database, Field, Index, Predicate, Result, Row, Schema, Table, Type, count};
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

fn table(db: &Database, schema: folio::SchemaBuilder) -> Table {
    db.create_table(schema.build().unwrap()).unwrap()
}

/// Rows are equal in all columns, which they never are with a key, or in those of `columns`: not in what is aggregated.
#[test]
fn distinct_goes_before_aggregates_and_groups() -> Result<()> {
    let db = Database::in_memory();
    let schema = Schema::builder("people").column(Column::u64("id").primary_key()).column(Column::string("country"));
    let people = table(&db, schema.column(Column::i64("score")));
    people.insert_many([(1, "A", 5), (2, "A", 5), (3, "B", 5)])?;
    let (id, score) = (people.column::<u64>("id")?, people.column::<i64>("score")?);
    let distinct = || people.select().distinct();
    let by_country = || people.select().columns(["country"]).distinct();
    assert_eq!((distinct().sum(score)?, by_country().sum(score)?), (15, 10));
    assert_eq!((distinct().avg(score)?, by_country().order_by(id.desc()).min(id)?), (Some(5.0), Some(2)));
    assert_eq!((distinct().max(id)?, by_country().max(id)?), (Some(3), Some(3)));
    assert_eq!((distinct().count()?, by_country().count()?), (3, 2));
    assert_eq!(distinct().group_by(score).count()?, [(5, 3)]);
    assert_eq!(by_country().group_by(score).count()?, [(5, 2)]);
    assert_eq!(by_country().group_by(score).aggregate((count(), score.sum(), id.max()))?, [(5, (2, 10, 3))]);
    assert_eq!(by_country().group_by(score).fold(0, |sum, row| *sum += row.get(id))?, [(5, 1 + 3)]);
    // What is picked or read comes before what an aggregate looks at.
    assert_eq!((distinct().pick(score)?, by_country().fetch::<String>()?), (vec![5], vec!["A".into(), "B".into()]));

    let schema = Schema::builder("scores").column(Column::u64("id").primary_key());
    let scores = table(&db, schema.column(Column::i64("score")));
    scores.insert_many([(1, 1), (2, 1), (3, 2)])?;
    let score = scores.column::<i64>("score")?;
    assert_eq!(scores.select().distinct().limit(2).max(score)?, Some(1));
    assert_eq!(scores.select().columns([score]).distinct().limit(2).max(score)?, Some(2));
    assert_eq!(scores.select().columns([score]).distinct().offset(1).sum(score)?, 2);
    Ok(())
}

/// Queries nest: what one notes of its closures is not lost to another that they run, nor charged to it.
#[test]
fn a_foreign_handle_in_a_closure_is_an_error_of_the_query_around_it() -> Result<()> {
    let db = Database::in_memory();
    let customers = table(&db, Schema::builder("customers").column(Column::u32("age")));
    let orders = table(&db, Schema::builder("orders").column(Column::u32("amount")));
    customers.insert_many([(30,), (40,)])?;
    orders.insert_many([(1,), (2,), (3,)])?;
    let (age, amount) = (customers.column::<u32>("age")?, orders.column::<u32>("amount")?);
    let exists = || customers.select().filter(|_: &Row| true).exists().unwrap();
    let deleted = orders.delete_where(|row: &Row| row.get(age) == 0 && exists());
    assert_eq!(deleted.unwrap_err().code(), "foreign-handle");
    let updated = orders.modify_where(|row: &Row| exists() && row.get(age) == 0 && exists(), |row| row.set(amount, 9));
    assert_eq!(updated.unwrap_err().code(), "foreign-handle");
    assert_eq!((orders.len()?, orders.select().sum(amount)?), (3, 6));
    // The inner query's error is its own, also where the outer closure goes on or panics.
    let inner = || customers.select().filter(|row: &Row| row.get(amount) == 0).exists();
    assert_eq!(orders.select().filter(|_: &Row| inner().is_err()).count()?, 3);
    let outer = orders.select().filter(|row: &Row| {
        let is_zero = row.get(age) == 0;
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            customers.select().filter(|_: &Row| panic!("in the inner query")).exists()
        }));
        is_zero && panicked.is_err()
    });
    assert_eq!(outer.count().unwrap_err().code(), "foreign-handle");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        orders.select().filter(|row: &Row| row.get(age) == 0 && panic!("after the foreign read")).count()
    }));
    assert!(panicked.is_err());
    // Nor is a read outside any query, or in one that has ended, an error of the next.
    assert_eq!(orders.get(0u64)?.map(|row| row.get(age)), Some(0));
    assert_eq!(orders.select().filter(|row: &Row| row.get(amount) > 1).count()?, 2);
    Ok(())
}

/// The numbers are such that another order of additions would be seen.
#[test]
fn a_sum_of_floats_is_the_same_with_an_index_and_without() -> Result<()> {
    let db = Database::in_memory();
    let sums = |name: &str, index: Option<Index>| -> Result<Vec<u64>> {
        let schema = Schema::builder(name).column(Column::u32("k")).column(Column::f64("x")).column(Column::u32("n"));
        let schema = if let Some(index) = index { schema.index(index) } else { schema };
        let table = table(&db, schema);
        let large = |n: u32| [1e16, 1.0, 0.1, -1e16, 1e-3, 3.0][n as usize % 6] * f64::from(n / 7 + 1);
        let few = |n: u32| {
            if n == 0 {
                1e16
            } else if n == 1 {
                1.0
            } else if n == 16 {
                -1e16
            } else {
                0.0
            }
        };
        table.insert_many((0..20).map(|n| (1, few(n), n)))?;
        table.insert_many((0..1000).map(|n| (if n % 20 < 3 { 2 } else { 0 }, large(n), n)))?;
        table.insert_many((0..90).map(|n| (3, large(n), n)))?;
        table.delete_where(table.column::<u32>("n")?.eq(47))?;
        let (k, x) = (table.column::<u32>("k")?, table.column::<f64>("x")?);
        let mut sums = Vec::new();
        for value in 1..4 {
            let query = || table.select().filter(k.eq(value));
            let by = [query(), query().order_by(x.desc()), query().order_by(x.asc()), query().order_by(k.desc())];
            let plain: Vec<f64> = by.iter().map(|query| query.sum(x)).collect::<Result<_>>()?;
            assert!(plain.iter().all(|sum| sum.to_bits() == plain[0].to_bits()), "without a limit no order counts");
            sums.extend(plain);
            for limit in [3, 17, 18, 40] {
                let limited = [query(), query().order_by(x.desc()), query().order_by((k.asc(), x.asc()))];
                for query in limited.map(|query| query.limit(limit)) {
                    sums.extend([query.sum(x)?, query.avg(x)?.unwrap_or_default()]);
                }
            }
            sums.extend(query().group_by(k).sum(x)?.into_iter().map(|(_, sum)| sum));
            sums.extend(query().order_by(x.desc()).group_by(k).sum(x)?.into_iter().map(|(_, sum)| sum));
        }
        Ok(sums.into_iter().map(f64::to_bits).collect())
    };
    let expected = sums("plain", None)?;
    assert_eq!(f64::from_bits(expected[0]), 1.0, "the rows from 0 to 19 are of one page");
    assert_eq!(sums("hash", Some(Index::hash(["k"])))?, expected);
    assert_eq!(sums("ordered", Some(Index::ordered(["k"])))?, expected);
    assert_eq!(sums("with x", Some(Index::ordered(["k", "x"])))?, expected);
    Ok(())
}

/// Also where further columns of the index, nullable or not, decide among rows that are equal in the first.
#[test]
fn the_ends_of_a_column_are_those_of_an_index_that_begins_with_it() -> Result<()> {
    let db = Database::in_memory();
    for index in [None, Some(Index::ordered(["a", "b"])), Some(Index::ordered(["a", "b", "s"]))] {
        let schema = Schema::builder("t").column(Column::i32("a").nullable()).column(Column::u8("b").nullable());
        let schema = schema.column(Column::string("s"));
        let table = table(&db, if let Some(index) = index { schema.index(index) } else { schema });
        let (a, b) = (table.column::<Option<i32>>("a")?, table.column::<Option<u8>>("b")?);
        assert_eq!((table.select().min(a)?, table.select().max(a)?), (None, None));
        table.insert_many((0..50).map(|n| (None::<i32>, Some(n), "null")))?;
        assert_eq!((table.select().min(a)?, table.select().max(a)?), (None, None));
        table.insert_many((0..100).map(|n| (Some(n / 2 - 30), (n % 2 == 1).then_some(n as u8), "value")))?;
        assert_eq!((table.select().min(a)?, table.select().max(a)?), (Some(-30), Some(19)));
        assert_eq!((table.select().min(b)?, table.select().max(b)?), (Some(0), Some(99)));
        db.drop_table("t")?;
    }
    Ok(())
}

/// Each place of the text where the part may begin differs from it at its end alone.
#[test]
fn a_text_is_searched_in_time_that_grows_with_its_length() -> Result<()> {
    let db = Database::in_memory();
    let table = table(&db, Schema::builder("t").column(Column::string("s")).column(Column::bytes("b")));
    let (s, b) = (table.column::<str>("s")?, table.column::<[u8]>("b")?);
    let text = "a".repeat(1 << 20);
    table.insert(&(text.as_str(), text.as_bytes()))?;
    let half = "a".repeat(1 << 19);
    let start = Instant::now();
    for (part, expected) in [(half.clone() + "b", 0), ("b".to_owned() + &half, 0), (half, 1)] {
        assert_eq!(table.select().filter(s.contains(part.as_str())).count()?, expected);
        assert_eq!(table.select().filter(b.contains(part.into_bytes())).count()?, expected);
    }
    // It takes milliseconds; each place compared with the whole part takes half a minute.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    Ok(())
}

/// Of a query that is wrong, also where it can be answered without a look at what is wrong.
#[test]
fn the_ends_of_a_column_are_told_of_sound_queries_alone() -> Result<()> {
    let db = Database::in_memory();
    for index in [None, Some(Index::ordered(["x"]))] {
        let schema = Schema::builder("t").column(Column::i32("x")).column(Column::json("doc").nullable());
        let table = table(&db, if let Some(index) = index { schema.index(index) } else { schema });
        table.insert(&json!({ "x": 7 }))?;
        let (x, doc) = (table.column::<i32>("x")?, table.column::<Option<serde_json::Value>>("doc")?);
        let other = db.create_table(Schema::builder("other").column(Column::i32("x")).build()?)?;
        let foreign = other.column::<i32>("x")?;
        for (select, code) in [
            (table.select().order_by(doc.asc()), "invalid-query"),
            (table.select().order_by(foreign.asc()), "foreign-handle"),
            (table.select().columns(["nope"]), "no-such-column"),
        ] {
            assert_eq!(select.min(x).unwrap_err().code(), code);
            assert_eq!(select.max(x).unwrap_err().code(), code);
        }
        let sound = table.select().order_by(x.desc()).columns(["doc"]);
        assert_eq!((sound.min(x)?, sound.max(x)?), (Some(7), Some(7)));
        db.drop_table("t")?;
        db.drop_table("other")?;
    }
    Ok(())
}

/// Which of them the rows have makes no difference, nor does an index.
#[test]
fn the_end_of_a_column_that_is_zero_has_no_sign() -> Result<()> {
    let db = Database::in_memory();
    for index in [None, Some(Index::ordered(["x"])), Some(Index::ordered(["x", "y"]))] {
        for zeros in [[-0.0, 0.0], [0.0, -0.0], [-0.0, -0.0]] {
            let schema = Schema::builder("t").column(Column::f64("x")).column(Column::f32("y").nullable());
            let schema = schema.index(Index::ordered(["y"]));
            let table = table(&db, if let Some(index) = index.clone() { schema.index(index) } else { schema });
            let (x, y) = (table.column::<f64>("x")?, table.column::<Option<f32>>("y")?);
            table.insert_many(zeros.map(|zero| (zero, zero as f32)))?;
            let ends = [table.select().min(x)?, table.select().max(x)?].map(|end| end.map(f64::to_bits));
            assert_eq!(ends, [Some(0); 2], "{zeros:?}");
            let ends = [table.select().min(y)?, table.select().max(y)?].map(|end| end.map(f32::to_bits));
            assert_eq!(ends, [Some(0); 2], "{zeros:?}");
            let groups = table.select().group_by(x).aggregate((x.min(), y.max()))?;
            assert_eq!(groups.len(), 1);
            assert_eq!((groups[0].1.0.to_bits(), groups[0].1.1.map(f32::to_bits)), (0, Some(0)));
            db.drop_table("t")?;
        }
    }
    // Of arrays as well.
    for index in [None, Some(Index::ordered(["v"]))] {
        let schema = Schema::builder("t").column(Column::new("v", "2xf32".parse().unwrap()));
        let table = table(&db, if let Some(index) = index { schema.index(index) } else { schema });
        let v = table.column::<[f32; 2]>("v")?;
        table.insert_many([([-0.0, 1.0],), ([0.0, 1.0],), ([-0.0, 1.0],)])?;
        let ends = [table.select().min(v)?, table.select().max(v)?];
        let first = Some([(-0.0f32).to_bits(), 1f32.to_bits()]);
        assert_eq!(ends.map(|end| end.map(|end| end.map(f32::to_bits))), [first; 2]);
        db.drop_table("t")?;
    }
    Ok(())
}

type Pair = [f32; 2];
type Compared = (&'static str, fn(Field<Pair>, Pair) -> Predicate<'static>, fn(Pair, Pair) -> bool);

/// NaN within an array is as it is alone: equal to, below and above nothing.
#[test]
fn predicates_on_arrays_of_floats_mean_what_rusts_operators_do() -> Result<()> {
    const COMPARED: [Compared; 7] = [
        ("eq", |v, with| v.eq(with), |v, with| v == with),
        ("ne", |v, with| v.ne(with), |v, with| v != with),
        ("lt", |v, with| v.lt(with), |v, with| v < with),
        ("le", |v, with| v.le(with), |v, with| v <= with),
        ("gt", |v, with| v.gt(with), |v, with| v > with),
        ("ge", |v, with| v.ge(with), |v, with| v >= with),
        ("in", |v, with| v.is_in([with, [9.0, 9.0]]), |v, with| v == with || v == [9.0, 9.0]),
    ];
    let numbers = [f32::NAN, f32::NEG_INFINITY, -1.0, -0.0, 0.0, 1.0, f32::INFINITY];
    let all: Vec<Pair> = numbers.iter().flat_map(|a| numbers.map(|b| [*a, b])).collect();
    let Ok(Type::Array(pair)) = "2xf32".parse() else { panic!("two floats are an array") };
    let db = Database::in_memory();
    for index in [None, Some(Index::ordered(["v"])), Some(Index::hash(["v"]))] {
        let schema = Schema::builder("t").column(Column::array("v", pair)).column(Column::array("w", pair).nullable());
        let is_indexed = index.is_some();
        let table = table(&db, if let Some(index) = index { schema.index(index) } else { schema });
        // An index holds no NaN.
        table.insert_many(all.iter().filter(|v| !is_indexed || !v[0].is_nan() && !v[1].is_nan()).map(|v| (v, v)))?;
        // So few that match are found by the index.
        table.insert_many((0..if is_indexed { 2000 } else { 0 }).map(|_| ([7.0, 7.0], None::<Pair>)))?;
        let (v, w) = (table.column::<Pair>("v")?, table.column::<Option<Pair>>("w")?);
        for &with in &all {
            for (name, predicate, closure) in COMPARED {
                let expected = table.select().filter(|row: &Row| closure(row.get(v), with)).ids()?;
                assert_eq!(table.select().filter(predicate(v, with)).ids()?, expected, "{name} {with:?}");
                assert_eq!(table.select().filter(!!predicate(v, with)).ids()?, expected, "{name} {with:?}");
                let others = table.select().filter(|row: &Row| !closure(row.get(v), with)).ids()?;
                assert_eq!(table.select().filter(!predicate(v, with)).ids()?, others, "not {name} {with:?}");
            }
            let expected = table.select().filter(|row: &Row| row.get(w) == Some(with)).ids()?;
            assert_eq!(table.select().filter(w.eq(with)).ids()?, expected, "nullable {with:?}");
            for &upper in &all {
                let within = |row: &Row| row.get(v) >= with && row.get(v) < upper;
                let expected = table.select().filter(within).ids()?;
                assert_eq!(table.select().filter(v.between(with..upper)).ids()?, expected, "{with:?}..{upper:?}");
                assert_eq!(table.select().filter(v.ge(with) & v.lt(upper)).ids()?, expected, "{with:?}..{upper:?}");
            }
        }
        db.drop_table("t")?;
    }
    Ok(())
}
