//! What the benchmarks share: one table of people, as in `crates/peers`, and the settings of criterion.
//!
//! Everything comes from a fixed seed, so that two runs do the same work.

#![allow(dead_code)] // each benchmark is a program of its own, and uses a part of this

use criterion::Criterion;
use folio::{Column, Database, Field, Index, Result, Schema, Table};
use serde::Serialize;
use std::time::Duration;

/// Numbers of rows that benchmarks run at, with their names in reports: in the processor's caches, and far beyond.
pub(crate) const SIZES: [(&str, u64); 2] = [("10k", 10_000), ("1M", 1_000_000)];
/// Countries over which rows are spread.
pub(crate) const COUNTRY_COUNT: u64 = 200;

/// Short times: the whole suite is to end within minutes. Give `--measurement-time` for figures that matter.
pub(crate) fn quick() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(700))
}

/// A row; the table gives it a key if it has none.
#[derive(Serialize)]
pub(crate) struct Person {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) age: u32,
    pub(crate) score: f64,
    pub(crate) active: bool,
    pub(crate) country: u16,
}

impl Person {
    /// Number `ordinal` of the people, without a key. The email is unique, the score nearly so.
    pub(crate) fn new(ordinal: u64) -> Self {
        let mut random = Random(ordinal);
        Person {
            id: None,
            name: format!("{:0width$}", ordinal, width = 8 + random.below(13) as usize),
            email: format!("{:016x}@post.em", scatter(ordinal)),
            age: 18 + random.below(63) as u32,
            score: random.below(1 << 27) as f64 / (1 << 20) as f64,
            active: random.below(2) == 1,
            country: random.below(COUNTRY_COUNT) as u16,
        }
    }

    pub(crate) fn with_id(self, id: u64) -> Self {
        Person { id: Some(id), ..self }
    }
}

/// Which indexes a table has besides its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Indexes {
    None,
    /// `email` unique.
    Email,
    /// `email` unique, `score` ordered.
    EmailAndScore,
    /// `email` unique, `country` by hash, `score` ordered.
    All,
}

/// A table of people with its handles.
pub(crate) struct People {
    pub(crate) db: Database,
    pub(crate) table: Table,
    pub(crate) email: Field<str>,
    pub(crate) age: Field<u32>,
    pub(crate) score: Field<f64>,
    pub(crate) country: Field<u16>,
}

impl People {
    /// People 1 to `count` under keys that the table gives: 1, 2, 3, ….
    pub(crate) fn new(indexes: Indexes, count: u64) -> Result<Self> {
        Self::within(Database::in_memory(), indexes, count)
    }

    /// The same in a database that has no such table yet.
    pub(crate) fn within(db: Database, indexes: Indexes, count: u64) -> Result<Self> {
        let people = Self::empty(db, Column::u64("id").primary_key().auto_increment(), indexes)?;
        people.table.insert_many((1..=count).map(Person::new))?;
        Ok(people)
    }

    /// People 1 to `count` under the keys [`scatter`] gives them, which need a hash index.
    pub(crate) fn hash_keyed(count: u64) -> Result<Self> {
        let people = Self::empty(Database::in_memory(), Column::u64("id").primary_key(), Indexes::None)?;
        people.table.insert_many((1..=count).map(|ordinal| Person::new(ordinal).with_id(scatter(ordinal))))?;
        Ok(people)
    }

    fn empty(db: Database, id: Column<u64>, indexes: Indexes) -> Result<Self> {
        let email = Column::string("email");
        let mut schema = Schema::builder("people")
            .column(id)
            .column(Column::string("name"))
            .column(if indexes == Indexes::None { email } else { email.unique() })
            .column(Column::u32("age"))
            .column(Column::f64("score"))
            .column(Column::bool("active"))
            .column(Column::u16("country"));
        if indexes == Indexes::All {
            schema = schema.index(Index::hash(["country"]));
        }
        if matches!(indexes, Indexes::All | Indexes::EmailAndScore) {
            schema = schema.index(Index::ordered(["score"]));
        }
        let table = db.create_table(schema.build()?)?;
        Ok(People {
            email: table.column("email")?,
            age: table.column("age")?,
            score: table.column("score")?,
            country: table.column("country")?,
            table,
            db,
        })
    }
}

/// A patch of the column that no index covers.
#[derive(Serialize)]
pub(crate) struct NewAge {
    pub(crate) age: u32,
}

/// A patch of the column under the ordered index.
#[derive(Serialize)]
pub(crate) struct NewScore {
    pub(crate) score: f64,
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scatter(self.0)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// A bijection without order.
pub(crate) fn scatter(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `count` keys out of `1..=rows`, drawn at random.
pub(crate) fn random_ids(rows: u64, count: usize) -> Vec<u64> {
    let mut random = Random(7);
    (0..count).map(|_| 1 + random.below(rows)).collect()
}

/// `count` different keys out of `1..=rows` in random order; all of them if there are not as many.
pub(crate) fn distinct_ids(rows: u64, count: usize) -> Vec<u64> {
    let mut random = Random(11);
    let mut ids: Vec<u64> = (1..=rows).collect();
    let count = count.min(ids.len());
    for position in 0..count {
        let other = position + random.below((ids.len() - position) as u64) as usize;
        ids.swap(position, other);
    }
    ids.truncate(count);
    ids
}
