//! Queries: which rows `distinct` keeps, whose error a foreign handle is, what a sum of floats does not depend on, and
//! that a predicate means what the same comparison means in a closure.

#[path = "common/random.rs"]
mod random;

use folio::{Column, Database, Field, Index, Predicate, Result, Row, Schema, Select, Table, Type, Value, count};
use random::Random;
use serde_json::json;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

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
/// In milliseconds; with each place compared with the whole part it would take half a minute.
#[test]
fn a_text_is_searched_in_time_that_grows_with_its_length() -> Result<()> {
    let db = Database::in_memory();
    let table = table(&db, Schema::builder("t").column(Column::string("s")).column(Column::bytes("b")));
    let (s, b) = (table.column::<str>("s")?, table.column::<[u8]>("b")?);
    let text = "a".repeat(1 << 20);
    table.insert(&(text.as_str(), text.as_bytes()))?;
    let half = "a".repeat(1 << 19);
    for (part, expected) in [(half.clone() + "b", 0), ("b".to_owned() + &half, 0), (half, 1)] {
        assert_eq!(table.select().filter(s.contains(part.as_str())).count()?, expected);
        assert_eq!(table.select().filter(b.contains(part.into_bytes())).count()?, expected);
    }
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
        let end = Some([0, 1f32.to_bits()]);
        assert_eq!(ends.map(|end| end.map(|end| end.map(f32::to_bits))), [end; 2]);
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

/// The first element that differs decides, unless a NaN comes before it.
#[test]
fn arrays_of_wide_floats_compare_up_to_a_nan() -> Result<()> {
    let db = Database::in_memory();
    for index in [None, Some(Index::ordered(["v"]))] {
        let schema = Schema::builder("t").column(Column::new("v", "2xf64".parse().unwrap()));
        let is_indexed = index.is_some();
        let table = table(&db, if let Some(index) = index { schema.index(index) } else { schema });
        let v = table.column::<[f64; 2]>("v")?;
        let mut rows =
            vec![[f64::NEG_INFINITY, 0.0], [0.5, 9.0], [1.0, f64::NEG_INFINITY], [1.0, f64::INFINITY], [2.0, 0.0]];
        if !is_indexed {
            rows.extend([[1.0, f64::NAN], [f64::NAN, 1.0], [0.0, f64::NAN]]);
        }
        table.insert_many(rows.iter().map(|row| (row,)))?;
        let (with, all_nan) = ([1.0, f64::NAN], [f64::NAN; 2]);
        for (predicate, holds) in [
            (v.lt(with), (|v, with| v < with) as fn([f64; 2], [f64; 2]) -> bool),
            (v.le(with), |v, with| v <= with),
            (v.gt(with), |v, with| v > with),
            (v.ge(with), |v, with| v >= with),
            (v.eq(with), |v, with| v == with),
            (v.ne(with), |v, with| v != with),
            (!v.lt(with), |v, with| v.partial_cmp(&with).is_none_or(Ordering::is_ge)),
            (v.lt(with) | v.gt(with), |v, with| v.partial_cmp(&with).is_some_and(Ordering::is_ne)),
            (v.ge(with) & v.le([2.0, 0.0]), |v, with| v >= with && v <= [2.0, 0.0]),
            (v.lt(all_nan) | v.ge(all_nan), |_, _| false),
        ] {
            let expected = table.select().filter(|row: &Row| holds(row.get(v), with)).ids()?;
            assert_eq!(table.select().filter(predicate).ids()?, expected);
        }
        db.drop_table("t")?;
    }
    Ok(())
}

macro_rules! check_aggregates {
    ($($ty:ident => $sum:ident),*) => {$({
        let ty: Type = stringify!($ty).parse().unwrap();
        for index in [None, Some(Index::ordered(["n"])), Some(Index::ordered(["m", "g"])), Some(Index::hash(["g"]))] {
            let schema = Schema::builder("t").column(Column::u8("g").nullable()).column(Column::new("n", ty));
            let schema = schema.column(Column::new("m", ty).nullable());
            let db = Database::in_memory();
            let table = table(&db, if let Some(index) = index { schema.index(index) } else { schema });
            // Who is in no group has no `m`.
            let numbers = [$ty::MAX, 3, $ty::MIN, 0, 1, $ty::MAX - 1];
            let row = |at: usize| {
                let (group, n) = ((at < 180).then_some((at % 3) as u8), numbers[at * at % 7 % 6]);
                (group, n, group.filter(|_| at % 4 > 0).map(|_| n))
            };
            let rows: Vec<(Option<u8>, $ty, Option<$ty>)> = (0..200).map(row).collect();
            table.insert_many(&rows)?;
            let (g, n) = (table.column::<Option<u8>>("g")?, table.column::<$ty>("n")?);
            let m = table.column::<Option<$ty>>("m")?;
            let all = |numbers: Vec<$ty>| {
                let sum: i128 = numbers.iter().map(|n| i128::from(*n)).sum();
                let mean = (!numbers.is_empty()).then(|| sum as f64 / numbers.len() as f64);
                ($sum::try_from(sum).ok(), mean, numbers.iter().min().copied(), numbers.iter().max().copied())
            };
            let sum = |sum: Result<$sum>| match sum {
                Ok(sum) => Some(sum),
                Err(error) => {
                    assert_eq!(error.code(), "invalid-query", "{error}");
                    None
                }
            };
            type Holds = fn(&(Option<u8>, $ty, Option<$ty>)) -> bool;
            let queries: [(_, Holds); 6] = [
                (table.select(), |_| true),
                (table.select().filter(g.eq(1)), |row| row.0 == Some(1)),
                (table.select().filter(n.lt(3)), |row| row.1 < 3),
                (table.select().filter(n.ge(1) & n.ne(3)), |row| row.1 >= 1 && row.1 != 3),
                (table.select().filter(g.is_null()), |row| row.0.is_none()),
                (table.select().filter(g.gt(2)), |_| false),
            ];
            for (select, holds) in queries {
                let rows: Vec<_> = rows.iter().filter(|row| holds(row)).collect();
                let of_n = all(rows.iter().map(|row| row.1).collect());
                let of_m = all(rows.iter().filter_map(|row| row.2).collect());
                assert_eq!((sum(select.sum(n)), select.avg(n)?, select.min(n)?, select.max(n)?), of_n, "{ty}");
                assert_eq!((sum(select.sum(m)), select.avg(m)?, select.min(m)?, select.max(m)?), of_m, "{ty}");
                let keys = [Some(0), Some(1), Some(2), None].into_iter();
                let keys: Vec<_> = keys.filter(|key| rows.iter().any(|row| row.0 == *key)).collect();
                let groups = select.group_by(g);
                let (means, means_of_some) = (groups.avg(n)?, groups.avg(m)?);
                let (least, least_of_some, greatest) = (groups.min(n)?, groups.min(m)?, groups.max(m)?);
                assert_eq!(means.iter().map(|(key, _)| *key).collect::<Vec<_>>(), keys);
                let mut sums = Some(Vec::new());
                for (at, key) in keys.into_iter().enumerate() {
                    let of_n = all(rows.iter().filter(|row| row.0 == key).map(|row| row.1).collect());
                    let of_m = all(rows.iter().filter(|row| row.0 == key).filter_map(|row| row.2).collect());
                    assert_eq!((Some(means[at].1), Some(least[at].1)), (of_n.1, of_n.2), "{ty} {key:?}");
                    let found = (means_of_some[at].1, least_of_some[at].1, greatest[at].1);
                    assert_eq!(found, (of_m.1, of_m.2, of_m.3), "{ty} {key:?}");
                    sums = sums.zip(of_m.0).map(|(mut sums, sum)| {
                        sums.push((key, sum));
                        sums
                    });
                }
                assert_eq!(groups.sum(m).ok(), sums, "{ty}");
            }
        }
    })*};
}

/// Sums that do not fit are errors, whose means are known all the same.
#[test]
fn aggregates_of_integers_of_every_width_are_exact() -> Result<()> {
    check_aggregates!(i8 => i64, i16 => i64, i32 => i64, i64 => i64, u8 => u64, u16 => u64, u32 => u64, u64 => u64);
    Ok(())
}

#[test]
fn groups_of_floats_have_means_and_ends() -> Result<()> {
    let db = Database::in_memory();
    let schema =
        Schema::builder("t").column(Column::bool("g")).column(Column::f32("x")).column(Column::f64("y").nullable());
    let table = table(&db, schema);
    let (g, x) = (table.column::<bool>("g")?, table.column::<f32>("x")?);
    let y = table.column::<Option<f64>>("y")?;
    table.insert_many([
        (true, 1.5, Some(0.5)),
        (true, 2.5, None),
        (false, -1.0, None),
        (true, f32::INFINITY, Some(-0.5)),
    ])?;
    let groups = || table.select().group_by(g);
    assert_eq!(groups().avg(x)?, [(false, -1.0), (true, f64::INFINITY)]);
    assert_eq!(groups().avg(y)?, [(false, None), (true, Some(0.0))]);
    assert_eq!(
        (groups().min(x)?, groups().max(x)?),
        (vec![(false, -1.0), (true, 1.5)], vec![(false, -1.0), (true, f32::INFINITY)])
    );
    assert_eq!(
        (groups().min(y)?, groups().max(y)?),
        (vec![(false, None), (true, Some(-0.5))], vec![(false, None), (true, Some(0.5))])
    );
    table.insert(&(false, f32::NAN, f64::NAN))?;
    assert!(groups().avg(x)?[0].1.is_nan() && groups().avg(y)?[0].1.is_some_and(f64::is_nan));
    assert!(groups().min(x)?[0].1 == -1.0 && groups().max(x)?[0].1.is_nan());
    let several = groups().aggregate((count(), x.avg(), y.avg(), x.sum(), y.min()))?;
    assert_eq!((several[1].1.0, several[1].1.2, several[1].1.4), (3, Some(0.0), Some(-0.5)));
    Ok(())
}

/// Against a sort in Rust: which rows, and in which order, with ties by row id.
#[test]
fn orders_of_several_nullable_columns_are_the_same_with_any_index() -> Result<()> {
    type Row = (u64, Option<i32>, Option<u8>, Option<f64>);
    let db = Database::in_memory();
    let random = &mut Random(27);
    let mut may = |bound: u64| (random.below(4) > 0).then(|| random.below(bound));
    let rows: Vec<Row> = (0..150)
        .map(|_| {
            (
                0,
                may(4).map(|n| n as i32 - 2),
                may(3).map(|n| n as u8),
                may(5).map(|n| [-0.0, 0.0, -1.5, 2.0, f64::INFINITY][n as usize]),
            )
        })
        .collect();
    let indexes = [
        vec![],
        vec![Index::ordered(["a", "b"]), Index::ordered(["b", "a", "x"])],
        vec![Index::ordered(["a"]), Index::ordered(["x", "a"])],
        vec![Index::ordered(["b"]), Index::ordered(["b", "x"]), Index::hash(["a", "b"])],
    ];
    for indexes in indexes {
        let schema = Schema::builder("t").column(Column::u64("id").primary_key().auto_increment());
        let schema = schema.column(Column::i32("a").nullable()).column(Column::u8("b").nullable());
        let schema = schema.column(Column::f64("x").nullable());
        let table = table(&db, indexes.into_iter().fold(schema, |schema, index| schema.index(index)));
        table.insert_many(rows.iter().map(|row| (None::<u64>, row.1, row.2, row.3)))?;
        let rows: Vec<Row> = table.select().fetch()?;
        let (a, b) = (table.column::<Option<i32>>("a")?, table.column::<Option<u8>>("b")?);
        let x = table.column::<Option<f64>>("x")?;
        for _ in 0..400 {
            // Descending, and nulls first, by column; then which columns.
            let (by, nulls) = ([random.below(2) > 0, random.below(2) > 0], [random.below(2) > 0, random.below(2) > 0]);
            let which = [random.below(3), random.below(3)];
            let terms = (0..1 + random.below(2) as usize).map(|at| {
                let terms = [(a.asc(), a.desc()), (b.asc(), b.desc()), (x.asc(), x.desc())];
                let (asc, desc) = terms[which[at] as usize];
                let term = if by[at] { desc } else { asc };
                if nulls[at] { term.nulls_first() } else { term.nulls_first().nulls_last() }
            });
            let terms: Vec<_> = terms.collect();
            let (only_a, only_b) = (random.below(5) as i32 - 2, random.below(3) as u8);
            type Holds = Box<dyn Fn(&Row) -> bool>;
            type Filter = Box<dyn Fn() -> Predicate<'static>>;
            let (filter, holds): (Filter, Holds) = match random.below(8) {
                0 => (Box::new(move || a.eq(only_a)), Box::new(move |row| row.1 == Some(only_a))),
                1 => (Box::new(move || a.ge(only_a)), Box::new(move |row| row.1 >= Some(only_a))),
                2 => (Box::new(move || a.is_null()), Box::new(move |row| row.1.is_none())),
                3 => (
                    Box::new(move || b.is_in([only_b, 2]) & x.lt(2.0)),
                    Box::new(move |row| (row.2 == Some(only_b) || row.2 == Some(2)) && row.3.is_some_and(|x| x < 2.0)),
                ),
                4 => (
                    Box::new(move || a.is_not_null() & b.eq(only_b)),
                    Box::new(move |row| row.1.is_some() && row.2 == Some(only_b)),
                ),
                5 => (Box::new(move || !x.eq(0.0)), Box::new(|row| row.3 != Some(0.0))),
                _ => (Box::new(move || a.is_null() | a.is_not_null()), Box::new(|_| true)),
            };
            let (offset, limit) = (random.below(8), [0, 1, 3, 20, u64::MAX][random.below(5) as usize]);
            let mut expected: Vec<&Row> = rows.iter().filter(|row| holds(row)).collect();
            expected.sort_by(|left, right| {
                let orders = (0..terms.len()).map(|at| {
                    let key = |row: &Row| match which[at] {
                        0 => row.1.map(f64::from),
                        1 => row.2.map(f64::from),
                        _ => row.3,
                    };
                    match (key(left), key(right)) {
                        (Some(left), Some(right)) if by[at] => right.partial_cmp(&left).unwrap(),
                        (Some(left), Some(right)) => left.partial_cmp(&right).unwrap(),
                        (left, right) if nulls[at] => left.is_some().cmp(&right.is_some()),
                        (left, right) => right.is_some().cmp(&left.is_some()),
                    }
                });
                orders.fold(Ordering::Equal, Ordering::then).then(left.0.cmp(&right.0))
            });
            let all: Vec<u64> = expected.iter().map(|row| row.0).collect();
            let page: Vec<u64> = all.iter().copied().skip(offset as usize).take(limit as usize).collect();
            let query = || table.select().filter(filter()).order_by(terms.clone());
            assert_eq!(query().ids()?, all);
            assert_eq!(query().offset(offset).limit(limit).ids()?, page);
            assert_eq!(query().offset(offset).limit(limit).count()?, page.len() as u64);
        }
        db.drop_table("t")?;
    }
    Ok(())
}

/// NaN is above all; so many rows that they are let go a page at a time.
#[test]
fn the_first_of_many_floats_are_found_among_nan_and_infinities() -> Result<()> {
    let db = Database::in_memory();
    let ends = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0];
    for (first, rest) in
        [(&ends[..2], &ends[2..]), (&ends[3..4], &ends[..]), (&ends[..], &ends[..1]), (&ends[4..], &ends[4..])]
    {
        let table = table(&db, Schema::builder("t").column(Column::f64("x")).column(Column::f32("y").nullable()));
        let (x, y) = (table.column::<f64>("x")?, table.column::<Option<f32>>("y")?);
        let values: Vec<f64> =
            (0..100).map(|at| if at < 40 { first[at % first.len()] } else { rest[at % rest.len()] }).collect();
        table.insert_many(values.iter().map(|x| (x, (*x != 0.0).then_some(*x as f32))))?;
        let all = table.select().ids()?;
        let order = |a: f64, b: f64| a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
        for limit in [1, 2, 10, 39, 41, 99, 100, 1000] {
            let sorted = |descending: bool, of: &dyn Fn(usize) -> Option<f64>| -> Vec<u64> {
                let mut ids: Vec<usize> = (0..values.len()).collect();
                ids.sort_by(|a, b| match (of(*a), of(*b)) {
                    (Some(a), Some(b)) if descending => order(b, a),
                    (Some(a), Some(b)) => order(a, b),
                    (a, b) => b.is_some().cmp(&a.is_some()),
                });
                ids.into_iter().take(limit).map(|id| all[id]).collect()
            };
            let ids = |term| table.select().order_by(term).limit(limit as u64).ids();
            let (plain, some) = (|at: usize| Some(values[at]), |at: usize| Some(values[at]).filter(|x| *x != 0.0));
            assert_eq!(ids(x.asc())?, sorted(false, &plain), "{first:?} {limit}");
            assert_eq!(ids(x.desc())?, sorted(true, &plain), "{first:?} {limit}");
            assert_eq!(ids(y.asc())?, sorted(false, &some), "{first:?} {limit}");
            assert_eq!(ids(y.desc())?, sorted(true, &some), "{first:?} {limit}");
        }
        db.drop_table("t")?;
    }
    Ok(())
}

/// More values, or pairs of them, than are looked up one by one.
#[test]
fn long_lists_find_the_same_with_any_index() -> Result<()> {
    let db = Database::in_memory();
    let indexes = [
        None,
        Some(Index::ordered(["a"])),
        Some(Index::hash(["a"])),
        Some(Index::ordered(["a", "b"])),
        Some(Index::hash(["a", "b"])),
        Some(Index::ordered(["b", "s"])),
        Some(Index::ordered(["s", "a"])),
    ];
    for index in indexes {
        let schema = Schema::builder("t").column(Column::u64("id").primary_key().auto_increment());
        let schema = schema.column(Column::u32("a")).column(Column::u32("b").nullable()).column(Column::string("s"));
        let table = table(&db, if let Some(index) = index { schema.index(index) } else { schema });
        let row = |n: u32| (None::<u64>, n, (!n.is_multiple_of(7)).then_some(n % 100), format!("{}", n % 10));
        table.insert_many((0..3000).map(row))?;
        let (id, a) = (table.column::<u64>("id")?, table.column::<u32>("a")?);
        let (b, s) = (table.column::<Option<u32>>("b")?, table.column::<str>("s")?);
        let even = || (0..10_000u32).map(|n| n * 2);
        let texts = || (0..90).map(|n| n.to_string());
        assert_eq!(table.select().filter(a.is_in(even())).count()?, 1500);
        assert_eq!(table.select().filter(id.is_in(even())).order_by(id.desc()).limit(2).ids()?, [3000, 2998]);
        assert_eq!(
            table.select().filter(a.is_in(even().take(80)) & b.is_in(even().take(80))).count()?,
            (0..160).filter(|n| n % 2 == 0 && n % 7 > 0).count() as u64
        );
        assert_eq!(
            table.select().filter(b.is_in(even().take(50)) & s.is_in(texts())).count()?,
            (0..3000).filter(|n| n % 2 == 0 && n % 7 > 0).count() as u64
        );
        assert_eq!(table.select().filter(a.lt(50) & b.is_null() & s.eq("4")).ids()?, [15]);
        assert_eq!(table.select().filter(s.is_in(texts()) & a.is_in(even().take(100))).count()?, 100);
        assert_eq!(
            table.delete_where(a.is_in(even()) & b.is_in(0..5000u32))?,
            (0..3000).filter(|n| n % 2 == 0 && n % 7 > 0).count() as u64
        );
        db.drop_table("t")?;
    }
    Ok(())
}

#[test]
fn numbers_and_texts_of_json_are_what_they_say_in_predicates() -> Result<()> {
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::i64("n")).column(Column::u64("u")).column(Column::f64("x"));
    let schema = schema.column(Column::bool("on")).column(Column::string("s")).column(Column::timestamp("at"));
    let table = table(&db, schema.column(Column::json("doc")));
    table.insert(&(-3, u64::MAX, 2.5, true, "a", 0, "a"))?;
    table.insert(&(4, 0, 2.0, false, "true", 1, true))?;
    let (n, u) = (table.column::<i64>("n")?, table.column::<u64>("u")?);
    let (x, on, s) = (table.column::<f64>("x")?, table.column::<bool>("on")?, table.column::<str>("s")?);
    let (at, doc) = (table.column::<folio::Timestamp>("at")?, table.column::<serde_json::Value>("doc")?);
    let ids = |predicate: Predicate<'_>| table.select().filter(predicate).ids();
    for (predicate, expected) in [
        (n.eq(json!(-3)), vec![0]),
        (n.lt(json!(u64::MAX)), vec![0, 1]),
        (u.eq(json!(u64::MAX)), vec![0]),
        (u.gt(json!(-1)), vec![0, 1]),
        (x.eq(json!(2.5)), vec![0]),
        (x.is_in([json!(2), json!(7)]), vec![1]),
        (on.eq(json!(true)), vec![0]),
        (on.ne(json!(true)), vec![1]),
        (on.is_in([json!(true), json!(false)]), vec![0, 1]),
        (s.starts_with(json!("t")), vec![1]),
        (s.eq(json!("true")), vec![1]),
        (at.le(json!("1970-01-01T00:00:00Z")), vec![0]),
        (at.ge(json!(1)), vec![1]),
        (doc.eq(json!("a")), vec![0]),
        (doc.eq("a"), vec![0]),
        (doc.is_in([json!(true), json!("true")]), vec![1]),
    ] {
        let first = table.select().ids()?[0];
        assert_eq!(ids(predicate)?, expected.iter().map(|id| id + first).collect::<Vec<u64>>());
    }
    for (predicate, code) in [
        (n.eq(json!("-3")), "wrong-type"),
        (n.eq(json!(1.0)), "wrong-type"),
        (n.eq(json!(true)), "wrong-type"),
        (n.eq(json!([1])), "wrong-type"),
        (n.eq(json!(null)), "invalid-query"),
        (n.is_in([json!(1), json!(null)]), "invalid-query"),
        (s.eq(json!({})), "wrong-type"),
        (s.contains(json!(null)), "invalid-query"),
        (x.starts_with("2"), "wrong-type"),
        (at.eq(json!("today")), "invalid-value"),
        (doc.contains("a"), "wrong-type"),
    ] {
        assert_eq!(ids(predicate).unwrap_err().code(), code);
    }
    Ok(())
}

macro_rules! check_beyond {
    ($($ty:ident),*) => {$({
        type Compared = (&'static str, fn(Field<$ty>, Value) -> Predicate<'static>, fn(i128, i128) -> bool);
        const COMPARED: [Compared; 9] = [
            ("eq", |n, with| n.eq(with), |n, with| n == with),
            ("ne", |n, with| n.ne(with), |n, with| n != with),
            ("lt", |n, with| n.lt(with), |n, with| n < with),
            ("le", |n, with| n.le(with), |n, with| n <= with),
            ("gt", |n, with| n.gt(with), |n, with| n > with),
            ("ge", |n, with| n.ge(with), |n, with| n >= with),
            ("in", |n, with| n.is_in([with, 3.into(), (-7).into()]), |n, with| n == with || n == 3),
            ("from 2", |n, with| n.between((Value::from(2), with)), |n, with| (2..=with).contains(&n)),
            ("to 99", |n, with| n.between((with, Value::from(99))), |n, with| (with..=99).contains(&n)),
        ];
        let ty: Type = stringify!($ty).parse().unwrap();
        let schema = Schema::builder("t").column(Column::new("id", ty).primary_key().auto_increment());
        let schema = schema.column(Column::new("sorted", ty)).column(Column::new("plain", ty)).column(Column::bool("no"));
        let db = Database::in_memory();
        let table = table(&db, schema.index(Index::ordered(["sorted"])));
        // The ends too, where they are no row's id.
        let ids = [1, 2, 3, 50, 98, 99];
        table.insert_many(ids.map(|n| (n as $ty, n as $ty, n as $ty, false)))?;
        table.insert_many([$ty::MIN, $ty::MAX, 0].map(|n| (None::<$ty>, n, n, false)))?;
        let no = table.column::<bool>("no")?;
        for name in ["id", "sorted", "plain"] {
            let n = table.column::<$ty>(name)?;
            let operands = [-1, 0, 1, 2, 3, 50, 98, 126, 127, 128, 255, 256, 65_535, i64::MIN, i64::MAX].map(Value::from);
            for with in operands.into_iter().chain([Value::from(u64::MAX), Value::from(-129), Value::from(-32_769)]) {
                let number = match with {
                    Value::Int(number) => i128::from(number),
                    Value::UInt(number) => i128::from(number),
                    _ => unreachable!("operands are integers"),
                };
                for (what, predicate, holds) in COMPARED {
                    let expected = table.select().filter(|row: &Row| holds(row.get(n).into(), number)).ids()?;
                    let others = table.select().filter(|row: &Row| !holds(row.get(n).into(), number)).ids()?;
                    let p = || predicate(n, with.clone());
                    assert_eq!(table.select().filter(p()).ids()?, expected, "{ty} {name} {what} {with}");
                    assert_eq!(table.select().filter(!p()).ids()?, others, "{ty} {name} not {what} {with}");
                    // Where no index helps.
                    assert_eq!(table.select().filter(p() | no.eq(true)).ids()?, expected, "{ty} {name} {what} {with}");
                    let counted = table.select().filter(p()).count()? + table.select().filter(!p()).count()?;
                    assert_eq!(counted, 9, "{ty} {name} {what} {with}");
                }
            }
        }
    })*};
}

/// Of a column that is the row id, of one that an index orders, and of one of neither.
#[test]
fn integers_that_a_column_cannot_hold_compare_as_the_numbers_that_they_are() -> Result<()> {
    check_beyond!(i8, i16, i32, i64, u8, u16, u32, u64);
    Ok(())
}

#[test]
fn predicates_nest_two_hundred_levels_deep_and_no_deeper() -> Result<()> {
    let db = Database::in_memory();
    let table = table(&db, Schema::builder("t").column(Column::u32("n")));
    let n = table.column::<u32>("n")?;
    table.insert_many((0..10).map(|n| (n,)))?;
    let count = |predicate: Predicate<'_>| table.select().filter(predicate).count();
    // Two levels, and two more each turn, which turns around what is found.
    let levels = |levels: usize| (0..levels / 2 - 1).fold(n.ge(0) & n.lt(100), |p, _| !p & n.ge(0));
    assert_eq!((count(levels(198))?, count(levels(200))?), (10, 0));
    assert_eq!((count(!levels(198))?, count(!!levels(198))?), (0, 10));
    assert_eq!((count(!levels(198) & n.lt(3))?, count(!levels(198) | n.lt(3))?), (0, 3));
    // What is joined to the outermost chain, be it as deep as any, makes it no deeper.
    assert_eq!((count(levels(200) & n.lt(3))?, count(n.lt(3) & levels(200))?), (0, 0));
    let too_deep = [
        !levels(200),
        !!levels(200),
        levels(200) | n.lt(3),
        n.lt(3) | levels(200),
        !!levels(200) & n.lt(3),
        !(levels(200) | n.lt(3)) & levels(200),
        levels(300),
    ];
    for predicate in too_deep {
        let error = count(predicate).unwrap_err();
        assert!(matches!(&error, folio::Error::InvalidQuery { .. }), "{error}");
        assert!(error.to_string().contains("nests deeper than 200 levels"), "{error}");
    }
    // A chain of one operator is one level.
    assert_eq!(count((0..1000).fold(n.ge(0), |p, n_th| p & n.ne(n_th + 5)))?, 5);
    assert_eq!(count((0..1000).fold(n.ge(100), |p, n_th| n.eq(n_th + 5) | p))?, 5);
    Ok(())
}

#[test]
fn what_is_planned_is_told_of_lists_and_distinct_rows() -> Result<()> {
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::u32("n")).column(Column::string("s").nullable());
    let table = table(&db, schema);
    table.insert_many((0..10).map(|n| (n, "x")))?;
    let (n, s) = (table.column::<u32>("n")?, table.column::<Option<&str>>("s")?);
    let query = table.select().filter(n.is_in(0..5u32)).filter(!s.is_in(["a", "b", "c", "d", "e", "f"]));
    let plan = query.columns(["s"]).distinct().order_by(s.desc().nulls_first()).offset(1).limit(2).explain()?;
    assert_eq!(
        plan,
        "table t, 10 rows\n\
         access: all pages, 10 rows\n\
         filter: n in (0, 1, 2, 3, 4) and not s in (\"a\", \"b\", \"c\", \"d\", \"e\", … 6 in all)\n\
         order: s desc nulls first, sorted\n\
         distinct: the first of equal rows\n\
         offset: 1\n\
         limit: 2"
    );
    Ok(())
}

/// Which rows there are besides, and how those of a query are found, makes no difference to their sum.
#[test]
fn a_sum_of_floats_is_of_its_rows_alone() {
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::u8("g")).column(Column::f64("x")).build().unwrap();
    let table = db.create_table(schema).unwrap();
    let (g, x) = (table.column::<u8>("g").unwrap(), table.column::<f64>("x").unwrap());
    let large = |n: u64| if n.is_multiple_of(2) { 1e16 } else { -1e16 };
    table.insert_many((0..300).map(|n| ((n % 3) as u8, if n % 5 == 0 { large(n) } else { n as f64 / 7.0 }))).unwrap();
    let answers = || {
        let by = |query: Select<'_>| (query.sum(x).unwrap().to_bits(), query.avg(x).unwrap().map(f64::to_bits));
        let predicate = by(table.select().filter(g.eq(1)));
        assert_eq!(by(table.select().filter(|row: &Row<'_>| row.get(g) == 1)), predicate);
        // The order is held to one value, and dropped for the predicate alone.
        let rows = table.select().filter(g.eq(1)).count().unwrap();
        assert_eq!(by(table.select().filter(g.eq(1)).order_by(g).limit(rows)), predicate);
        assert_eq!(by(table.select().filter(|row: &Row<'_>| row.get(g) == 1).order_by(g).limit(rows)), predicate);
        let groups: Vec<(u8, f64)> = table.select().group_by(g).sum(x).unwrap();
        let grouped = groups.iter().find(|(group, _)| *group == 1).unwrap().1;
        assert_eq!(grouped.to_bits(), predicate.0);
        predicate
    };
    let before = answers();
    for id in (0..300u64).filter(|id| id % 3 != 1 && id % 7 < 3) {
        table.delete(id).unwrap();
    }
    assert_eq!(answers(), before);
    table.delete_where(g.ne(1)).unwrap();
    assert_eq!(answers(), before);
    db.create_index("t", Index::hash(["g"])).unwrap();
    assert_eq!(answers(), before);
}

#[test]
fn the_least_array_has_no_signed_zero_however_it_is_found() {
    let db = Database::in_memory();
    let array = Column::array("v", "2xf64".parse().unwrap());
    let table = db.create_table(Schema::builder("t").column(array).column(Column::i32("n")).build().unwrap()).unwrap();
    table.insert_many([(vec![-0.0, 1.0], 2), (vec![0.0, 1.0], 1), (vec![-0.0, 1.0], 0)]).unwrap();
    let v = table.column::<[f64; 2]>("v").unwrap();
    let bits = |found: Option<[f64; 2]>| found.unwrap().map(f64::to_bits);
    let expected = [0.0f64, 1.0].map(f64::to_bits);
    assert_eq!(bits(table.select().min(v).unwrap()), expected);
    db.create_index("t", Index::ordered(["v", "n"])).unwrap();
    let (least, greatest) = (table.select().min(v).unwrap(), table.select().max(v).unwrap());
    assert_eq!((bits(least), bits(greatest)), (expected, expected));
}

/// By name or handle, owned or lent.
#[test]
fn columns_may_be_lent() {
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::u8("a").unique()).column(Column::u8("b")).build().unwrap();
    let table = db.create_table(schema).unwrap();
    table.insert(&(1, 2)).unwrap();
    let names: &[&str] = &["b", "a"];
    let owned: &[String] = &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let handles: &[Field<u8>] = &names.iter().map(|name| table.column(name).unwrap()).collect::<Vec<_>>();
    let expected = [(2u8, 1u8)];
    assert_eq!(table.select().columns(names).fetch::<(u8, u8)>().unwrap(), expected);
    assert_eq!(table.select().columns(owned).fetch::<(u8, u8)>().unwrap(), expected);
    assert_eq!(table.select().columns(handles).fetch::<(u8, u8)>().unwrap(), expected);
}

/// Groups by columns of each width, alone and with others, where null, zero and the ends of each type are all there.
#[test]
fn groups_by_columns_of_every_width_are_those_of_the_rows() -> Result<()> {
    type Line = (Option<i8>, Option<u16>, Option<i32>, Option<f32>, Option<u64>, Option<bool>, u8, Option<f64>);
    let db = Database::in_memory();
    let types = ["i8", "u16", "i32", "f32", "u64", "bool", "u8", "f64"];
    let schema =
        ["a", "b", "c", "d", "e", "f", "g", "h"].iter().zip(types).fold(Schema::builder("t"), |schema, (name, ty)| {
            let column = Column::new(*name, ty.parse::<Type>().unwrap());
            schema.column(if *name == "g" { column } else { column.nullable() })
        });
    let table = table(&db, schema);
    let random = &mut Random(17);
    let lines: Vec<Line> = (0..3_000)
        .map(|_| {
            let mut draw = |count: u64| random.below(count);
            (
                [None, Some(0), Some(-1), Some(1), Some(i8::MIN), Some(i8::MAX)][draw(6) as usize],
                [None, Some(0), Some(1), Some(256), Some(u16::MAX)][draw(5) as usize],
                [None, Some(0), Some(-1), Some(i32::MIN), Some(1 << 16)][draw(5) as usize],
                [None, Some(0.0), Some(-0.0), Some(f32::NAN), Some(-f32::NAN), Some(f32::INFINITY), Some(1.5)]
                    [draw(7) as usize],
                [None, Some(0), Some(1), Some(u64::MAX), Some(1 << 32)][draw(5) as usize],
                [None, Some(false), Some(true)][draw(3) as usize],
                [0, 1, 255][draw(3) as usize],
                [None, Some(0.0), Some(-0.0), Some(f64::NAN), Some(-1.0)][draw(5) as usize],
            )
        })
        .collect();
    table.insert_many(&lines)?;
    let a = table.column::<Option<i8>>("a")?;
    let b = table.column::<Option<u16>>("b")?;
    let c = table.column::<Option<i32>>("c")?;
    let d = table.column::<Option<f32>>("d")?;
    let e = table.column::<Option<u64>>("e")?;
    let f = table.column::<Option<bool>>("f")?;
    let g = table.column::<u8>("g")?;
    let h = table.column::<Option<f64>>("h")?;

    // Zeros of both signs are one group, and so are all that are not numbers.
    fn shown(key: impl std::fmt::Debug) -> String {
        format!("{key:?}").replace("-0.0", "0.0").replace("-NaN", "NaN")
    }
    macro_rules! assert_groups {
        ($($key:ident: $at:tt),+) => {{
            let mut expected = BTreeMap::new();
            for line in &lines {
                *expected.entry(shown(($(line.$at),+))).or_insert(0) += 1;
            }
            let groups = table.select().group_by(($($key),+)).count()?;
            assert_eq!(groups.len(), expected.len(), stringify!($($key),+));
            let found: BTreeMap<_, _> = groups.into_iter().map(|(key, count)| (shown(key), count)).collect();
            assert_eq!(found, expected, stringify!($($key),+));
        }};
    }
    assert_groups!(a: 0);
    assert_groups!(b: 1);
    assert_groups!(c: 2);
    assert_groups!(d: 3);
    assert_groups!(e: 4);
    assert_groups!(f: 5);
    assert_groups!(g: 6);
    assert_groups!(h: 7);
    assert_groups!(a: 0, b: 1);
    assert_groups!(b: 1, a: 0);
    assert_groups!(d: 3, a: 0);
    assert_groups!(f: 5, g: 6, h: 7);
    assert_groups!(g: 6, e: 4);
    assert_groups!(e: 4, c: 2, b: 1);
    // 131 bits, which are too many for one word.
    assert_groups!(e: 4, h: 7, f: 5);
    Ok(())
}
