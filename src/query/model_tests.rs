//! Random queries against a plain `Vec`: the same answers with every index and with none, on tables, on snapshots, and
//! inside transactions. What an index must save to be used varies, so that small tables use theirs too.

use crate::*;
use proptest::prelude::*;
use std::cmp::Ordering;

/// A row of the model, in the order of the columns.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Item {
    id: u64,
    small: u8,
    size: Option<i32>,
    score: Option<f64>,
    name: Option<String>,
    label: String,
    on: Option<bool>,
}

fn schema(is_indexed: bool) -> Schema {
    let mut schema = Schema::builder("items")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::u8("small"))
        .column(Column::i32("size").nullable())
        .column(Column::f64("score").nullable())
        .column(Column::string("name").nullable())
        .column(Column::string("label"))
        .column(Column::bool("on").nullable());
    if is_indexed {
        schema = schema
            .index(Index::hash(["small"]))
            .index(Index::ordered(["size"]))
            .index(Index::ordered(["score"]))
            .index(Index::ordered(["name"]))
            .index(Index::hash(["label", "on"]))
            .index(Index::ordered(["small", "size"]))
            .index(Index::ordered(["on", "label"]));
    }
    schema.build().unwrap()
}

fn text() -> impl Strategy<Value = String> {
    "[ab\0é]{0,3}"
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(-0.0),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        (-4..4i8).prop_map(|n| f64::from(n) / 2.0)
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let columns = (0..6u8, prop::option::of(-3..4i32), prop::option::of(score()), prop::option::of(text()), text());
    (columns, any::<Option<bool>>()).prop_map(|((small, size, score, name, label), on)| Item {
        id: 0,
        small,
        size,
        score,
        name,
        label,
        on,
    })
}

/// A predicate that both sides understand.
#[derive(Debug, Clone)]
enum Test {
    Small(Compare<u8>),
    Size(Compare<i32>),
    Score(Compare<f64>),
    Name(Compare<String>),
    Label(Compare<String>),
    On(Compare<bool>),
    Id(Compare<u64>),
    NamePrefix(String),
    LabelContains(String),
    Closure(u8),
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
    Not(Box<Test>),
}

#[derive(Debug, Clone)]
enum Compare<T> {
    Eq(T),
    Ne(T),
    Lt(T),
    Le(T),
    Gt(T),
    Ge(T),
    Between(T, T),
    Below(T, T),
    In(Vec<T>),
    Null,
    NotNull,
}

fn compare<T: Clone + std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + Clone + 'static,
) -> BoxedStrategy<Compare<T>> {
    let v = || value.clone();
    prop_oneof![
        v().prop_map(Compare::Eq),
        v().prop_map(Compare::Ne),
        v().prop_map(Compare::Lt),
        v().prop_map(Compare::Le),
        v().prop_map(Compare::Gt),
        v().prop_map(Compare::Ge),
        (v(), v()).prop_map(|(a, b)| Compare::Between(a, b)),
        (v(), v()).prop_map(|(a, b)| Compare::Below(a, b)),
        prop::collection::vec(v(), 0..4).prop_map(Compare::In),
        Just(Compare::Null),
        Just(Compare::NotNull),
    ]
    .boxed()
}

fn test() -> impl Strategy<Value = Test> {
    let leaf = prop_oneof![
        compare(0..6u8).prop_map(Test::Small),
        compare(-3..4i32).prop_map(Test::Size),
        compare(prop_oneof![4 => score(), 1 => Just(f64::NAN)].boxed()).prop_map(Test::Score),
        compare(text().boxed()).prop_map(Test::Name),
        compare(text().boxed()).prop_map(Test::Label),
        compare(any::<bool>()).prop_map(Test::On),
        compare(0..120u64).prop_map(Test::Id),
        text().prop_map(Test::NamePrefix),
        text().prop_map(Test::LabelContains),
        (0..6u8).prop_map(Test::Closure),
    ];
    leaf.prop_recursive(3, 10, 2, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            2 => two.clone().prop_map(|(a, b)| Test::And(a.into(), b.into())),
            1 => two.prop_map(|(a, b)| Test::Or(a.into(), b.into())),
            1 => inner.prop_map(|a| Test::Not(a.into())),
        ]
    })
}

fn predicate_of<T: Into<Value> + Clone, F: ?Sized>(field: Field<F>, compare: &Compare<T>) -> Predicate<'static> {
    match compare.clone() {
        Compare::Eq(value) => field.eq(value),
        Compare::Ne(value) => field.ne(value),
        Compare::Lt(value) => field.lt(value),
        Compare::Le(value) => field.le(value),
        Compare::Gt(value) => field.gt(value),
        Compare::Ge(value) => field.ge(value),
        Compare::Between(low, high) => field.between(low..=high),
        Compare::Below(low, high) => field.between(low..high),
        Compare::In(values) => field.is_in(values),
        Compare::Null => field.is_null(),
        Compare::NotNull => field.is_not_null(),
    }
}

fn model_of<T: PartialOrd>(value: Option<&T>, compare: &Compare<T>) -> bool {
    let Some(value) = value else { return matches!(compare, Compare::Null) };
    match compare {
        Compare::Eq(other) => value == other,
        Compare::Ne(other) => value != other,
        Compare::Lt(other) => value < other,
        Compare::Le(other) => value <= other,
        Compare::Gt(other) => value > other,
        Compare::Ge(other) => value >= other,
        Compare::Between(low, high) => value >= low && value <= high,
        Compare::Below(low, high) => value >= low && value < high,
        Compare::In(others) => others.contains(value),
        Compare::Null => false,
        Compare::NotNull => true,
    }
}

#[derive(Clone, Copy)]
struct Fields {
    id: Field<u64>,
    small: Field<u8>,
    size: Field<Option<i32>>,
    score: Field<Option<f64>>,
    name: Field<Option<&'static str>>,
    label: Field<str>,
    on: Field<Option<bool>>,
}

impl Fields {
    fn of(table: &Table) -> Self {
        Self {
            id: table.column("id").unwrap(),
            small: table.column("small").unwrap(),
            size: table.column("size").unwrap(),
            score: table.column("score").unwrap(),
            name: table.column("name").unwrap(),
            label: table.column("label").unwrap(),
            on: table.column("on").unwrap(),
        }
    }
}

impl Test {
    fn predicate(&self, fields: Fields) -> Predicate<'static> {
        match self {
            Test::Small(compare) => predicate_of(fields.small, compare),
            Test::Size(compare) => predicate_of(fields.size, compare),
            Test::Score(compare) => predicate_of(fields.score, compare),
            Test::Name(compare) => predicate_of(fields.name, compare),
            Test::Label(compare) => predicate_of(fields.label, compare),
            Test::On(compare) => predicate_of(fields.on, compare),
            Test::Id(compare) => predicate_of(fields.id, compare),
            Test::NamePrefix(text) => fields.name.starts_with(text.as_str()),
            Test::LabelContains(text) => fields.label.contains(text.as_str()),
            Test::Closure(bound) => {
                let bound = *bound;
                Predicate::from_fn(move |row| row.get(fields.small) >= bound)
            }
            Test::And(a, b) => a.predicate(fields) & b.predicate(fields),
            Test::Or(a, b) => a.predicate(fields) | b.predicate(fields),
            Test::Not(a) => !a.predicate(fields),
        }
    }

    fn holds(&self, item: &Item) -> bool {
        match self {
            Test::Small(compare) => model_of(Some(&item.small), compare),
            Test::Size(compare) => model_of(item.size.as_ref(), compare),
            Test::Score(compare) => model_of(item.score.as_ref(), compare),
            Test::Name(compare) => model_of(item.name.as_ref(), compare),
            Test::Label(compare) => model_of(Some(&item.label), compare),
            Test::On(compare) => model_of(item.on.as_ref(), compare),
            Test::Id(compare) => model_of(Some(&item.id), compare),
            Test::NamePrefix(text) => item.name.as_ref().is_some_and(|name| name.starts_with(text)),
            Test::LabelContains(text) => item.label.contains(text),
            Test::Closure(bound) => item.small >= *bound,
            Test::And(a, b) => a.holds(item) && b.holds(item),
            Test::Or(a, b) => a.holds(item) || b.holds(item),
            Test::Not(a) => !a.holds(item),
        }
    }
}

/// Column, descending, nulls first.
type Term = (u8, bool, bool);

fn order_terms(fields: Fields, terms: &[Term]) -> Vec<OrderTerm> {
    let term = |&(column, descending, nulls_first): &Term| {
        macro_rules! of {
            ($field:expr) => {
                if descending { $field.desc() } else { $field.asc() }
            };
        }
        let term = match column {
            0 => of!(fields.id),
            1 => of!(fields.small),
            2 => of!(fields.size),
            3 => of!(fields.score),
            4 => of!(fields.name),
            5 => of!(fields.label),
            _ => of!(fields.on),
        };
        if nulls_first { term.nulls_first() } else { term }
    };
    terms.iter().map(term).collect()
}

fn model_order(a: &Item, b: &Item, terms: &[Term]) -> Ordering {
    fn by<T>(
        a: Option<&T>,
        b: Option<&T>,
        (_, descending, nulls_first): Term,
        order: impl Fn(&T, &T) -> Ordering,
    ) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) if descending => order(b, a),
            (Some(a), Some(b)) => order(a, b),
            (a, b) if nulls_first => a.is_some().cmp(&b.is_some()),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
    }
    for &term in terms {
        let order = match term.0 {
            0 => by(Some(&a.id), Some(&b.id), term, Ord::cmp),
            1 => by(Some(&a.small), Some(&b.small), term, Ord::cmp),
            2 => by(a.size.as_ref(), b.size.as_ref(), term, Ord::cmp),
            3 => by(a.score.as_ref(), b.score.as_ref(), term, |a, b| a.partial_cmp(b).unwrap()),
            4 => by(a.name.as_ref(), b.name.as_ref(), term, Ord::cmp),
            5 => by(Some(&a.label), Some(&b.label), term, Ord::cmp),
            _ => by(a.on.as_ref(), b.on.as_ref(), term, Ord::cmp),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.id.cmp(&b.id)
}

#[derive(Debug, Clone)]
struct Query {
    filters: Vec<Test>,
    order: Vec<Term>,
    offset: u64,
    limit: Option<u64>,
}

fn query() -> impl Strategy<Value = Query> {
    let limit = prop_oneof![Just(None), (0..8u64).prop_map(Some), (0..60u64).prop_map(Some)];
    let order = prop::collection::vec((0..7u8, any::<bool>(), any::<bool>()), 0..3);
    (prop::collection::vec(test(), 0..3), order, prop_oneof![2 => Just(0u64), 1 => 0..40u64], limit)
        .prop_map(|(filters, order, offset, limit)| Query { filters, order, offset, limit })
}

impl Query {
    fn on<'a, S: crate::table::reader::Source>(&self, table: &'a Reader<S>, fields: Fields) -> Select<'a> {
        let mut select = table.select().offset(self.offset);
        for filter in &self.filters {
            select = select.filter(filter.predicate(fields));
        }
        if let Some(limit) = self.limit {
            select = select.limit(limit);
        }
        select.order_by(order_terms(fields, &self.order))
    }

    fn model(&self, items: &[Item]) -> Vec<Item> {
        let mut found: Vec<Item> =
            items.iter().filter(|item| self.filters.iter().all(|test| test.holds(item))).cloned().collect();
        found.sort_by(|a, b| model_order(a, b, &self.order));
        let limit = self.limit.map_or(usize::MAX, |limit| limit as usize);
        found.into_iter().skip(self.offset as usize).take(limit).collect()
    }
}

fn check<S: crate::table::reader::Source>(table: &Reader<S>, fields: Fields, items: &[Item], query: &Query) {
    let expected = query.model(items);
    let select = query.on(table, fields);
    let plan = select.explain().unwrap();
    let ids: Vec<u64> = expected.iter().map(|item| item.id).collect();
    assert_eq!(select.ids().unwrap(), ids, "{plan}");
    assert_eq!(select.fetch::<Item>().unwrap(), expected, "{plan}");
    assert_eq!(select.rows().unwrap().map(|row| row.id()).collect::<Vec<_>>(), ids, "{plan}");
    assert_eq!(select.count().unwrap(), ids.len() as u64, "{plan}");
    assert_eq!(select.exists().unwrap(), !ids.is_empty(), "{plan}");
    assert_eq!(select.first::<Item>().unwrap().as_ref(), expected.first(), "{plan}");
    let sizes = || expected.iter().filter_map(|item| item.size);
    assert_eq!(select.sum(fields.size).unwrap(), sizes().map(i64::from).sum::<i64>(), "{plan}");
    assert_eq!(
        (select.min(fields.size).unwrap(), select.max(fields.size).unwrap()),
        (sizes().min(), sizes().max()),
        "{plan}"
    );
    assert_eq!(select.max(fields.name).unwrap(), expected.iter().filter_map(|item| item.name.clone()).max(), "{plan}");
    let mean = select.avg(fields.size).unwrap();
    let count = sizes().count();
    assert_eq!(mean, (count > 0).then(|| sizes().map(f64::from).sum::<f64>() / count as f64), "{plan}");
    check_groups(query, table, fields, &expected);
    let mut labels: Vec<String> = Vec::new();
    for item in &query.clone_unlimited().model(items) {
        if !labels.contains(&item.label) {
            labels.push(item.label.clone());
        }
    }
    let distinct = query.on(table, fields).distinct().pick(fields.label).unwrap();
    let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
    assert_eq!(distinct, labels.into_iter().skip(query.offset as usize).take(limit).collect::<Vec<_>>(), "{plan}");
    check_distinct_aggregates(query, table, fields, items);
}

/// What is aggregated are the first rows of each label, whatever column is aggregated.
fn check_distinct_aggregates<S: crate::table::reader::Source>(
    query: &Query,
    table: &Reader<S>,
    fields: Fields,
    items: &[Item],
) {
    let mut kept: Vec<Item> = Vec::new();
    for item in query.clone_unlimited().model(items) {
        if kept.iter().all(|other| other.label != item.label) {
            kept.push(item);
        }
    }
    let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
    let kept: Vec<Item> = kept.into_iter().skip(query.offset as usize).take(limit).collect();
    let select = || query.on(table, fields).columns([fields.label]).distinct();
    assert_eq!(select().count().unwrap(), kept.len() as u64);
    assert_eq!(select().sum(fields.small).unwrap(), kept.iter().map(|item| u64::from(item.small)).sum::<u64>());
    let sizes = || kept.iter().filter_map(|item| item.size);
    assert_eq!(
        (select().min(fields.size).unwrap(), select().max(fields.size).unwrap()),
        (sizes().min(), sizes().max())
    );
    let counts = select().group_by(fields.small).count().unwrap();
    let mut expected = std::collections::BTreeMap::new();
    kept.iter().for_each(|item| *expected.entry(item.small).or_insert(0u64) += 1);
    assert_eq!(counts, expected.into_iter().collect::<Vec<_>>());
}

impl Query {
    fn clone_unlimited(&self) -> Query {
        Query { offset: 0, limit: None, ..self.clone() }
    }
}

/// Rows, sum and greatest of `size`.
type Sums = (u64, i64, Option<i32>);

fn check_groups<S: crate::table::reader::Source>(query: &Query, table: &Reader<S>, fields: Fields, expected: &[Item]) {
    fn groups<K: PartialEq>(
        items: &[Item],
        key: impl Fn(&Item) -> K,
        order: impl Fn(&K, &K) -> Ordering,
    ) -> Vec<(K, Sums)> {
        let mut found: Vec<(K, Sums)> = Vec::new();
        for item in items {
            let at = found.iter().position(|(other, _)| *other == key(item)).unwrap_or_else(|| {
                found.push((key(item), (0, 0, None)));
                found.len() - 1
            });
            let (count, sum, max) = &mut found[at].1;
            *count += 1;
            *sum += i64::from(item.size.unwrap_or(0));
            *max = (*max).max(item.size);
        }
        found.sort_by(|a, b| order(&a.0, &b.0));
        found
    }
    fn nulls_last<T: Ord>(a: &Option<T>, b: &Option<T>) -> Ordering {
        (a.is_none(), a).cmp(&(b.is_none(), b))
    }
    let aggregates = || (count(), fields.size.sum(), fields.size.max());
    let by_small = query.on(table, fields).group_by(fields.small).aggregate(aggregates()).unwrap();
    assert_eq!(by_small, groups(expected, |item| item.small, Ord::cmp));
    let by_on = query.on(table, fields).group_by(fields.on).aggregate(aggregates()).unwrap();
    assert_eq!(by_on, groups(expected, |item| item.on, nulls_last));
    let by_size = query.on(table, fields).group_by(fields.size).aggregate(aggregates()).unwrap();
    assert_eq!(by_size, groups(expected, |item| item.size, nulls_last));
    let by_two = query.on(table, fields).group_by((fields.name, fields.small)).aggregate(aggregates()).unwrap();
    let order = |a: &(Option<String>, u8), b: &(Option<String>, u8)| nulls_last(&a.0, &b.0).then(a.1.cmp(&b.1));
    assert_eq!(by_two, groups(expected, |item| (item.name.clone(), item.small), order));
    let by_score = query.on(table, fields).group_by(fields.score).count().unwrap();
    assert_eq!(by_score.iter().map(|(_, count)| *count).sum::<u64>(), expected.len() as u64);
    assert!(by_score.windows(2).all(|pair| pair[0].0.is_some() && (pair[1].0.is_none() || pair[0].0 < pair[1].0)));
}

/// Two tables with the same rows, one with indexes; ids as `items` has them, with gaps where rows were deleted.
fn tables(mut items: Vec<Item>, deleted: &[u8]) -> ([(Database, Table); 2], Vec<Item>) {
    items.iter_mut().zip(1..).for_each(|(item, id)| item.id = id);
    let table = |is_indexed| {
        let db = Database::in_memory();
        let table = db.create_table(schema(is_indexed)).unwrap();
        table.insert_many(&items).unwrap();
        for &id in deleted {
            table.delete(u64::from(id)).unwrap();
        }
        (db, table)
    };
    let both = [table(true), table(false)];
    items.retain(|item| !deleted.contains(&(item.id as u8)));
    (both, items)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn queries_answer_as_the_model_does(
        items in prop::collection::vec(item(), 0..110),
        deleted in prop::collection::vec(1..110u8, 0..30),
        queries in prop::collection::vec(query(), 1..12),
        reach in 0..3u64,
    ) {
        let (tables, items) = tables(items, &deleted);
        crate::query::plan::REACH_IN_TESTS.set(reach);
        for (db, table) in &tables {
            let fields = Fields::of(table);
            let snapshot = db.snapshot().table("items").unwrap();
            for query in &queries {
                check(table, fields, &items, query);
            }
            table.clear().unwrap();
            check(&snapshot, fields, &items, &queries[0]);
        }
    }

    #[test]
    fn changes_where_change_what_the_model_does(
        items in prop::collection::vec(item(), 0..110),
        deletes in test(), updates in test(), modifies in test(), last in query(),
        reach in 0..3u64,
    ) {
        crate::query::plan::REACH_IN_TESTS.set(reach);
        let (tables, items) = tables(items, &[]);
        for (db, table) in &tables {
            let fields = Fields::of(table);
            let mut items = items.clone();
            db.transaction(|tx| {
                let inside = tx.table("items")?;
                let found = items.iter().filter(|item| deletes.holds(item)).count() as u64;
                assert_eq!(inside.delete_where(deletes.predicate(fields))?, found);
                items.retain(|item| !deletes.holds(item));
                let found = items.iter().filter(|item| updates.holds(item)).count() as u64;
                assert_eq!(inside.update_where(updates.predicate(fields), &serde_json::json!({"size": 1, "name": null}))?, found);
                for item in items.iter_mut().filter(|item| updates.holds(item)) {
                    (item.size, item.name) = (Some(1), None);
                }
                check(&inside, fields, &items, &last);
                let change = |row: &mut RowMut<'_>| {
                    let small = row.get(fields.small);
                    row.set(fields.small, small + 1)
                };
                let found = items.iter().filter(|item| modifies.holds(item)).count() as u64;
                assert_eq!(inside.modify_where(modifies.predicate(fields), change)?, found);
                for item in items.iter_mut() {
                    item.small += u8::from(modifies.holds(item));
                }
                Ok(())
            }).unwrap();
            check(table, fields, &items, &last);
        }
    }
}
