//! Folio, as its documentation advises: the table and its column handles are kept, rows and patches are plain structs.

use crate::peer::{self, Answer, Held, Kind, Peer, Store};
use crate::workload::{
    AgeUpdate, FILTER_AGES, FILTER_SCORE, GROUP, MANY, Operation, RANGE_ROWS, Row, ScoreUpdate, Shape, TOP_ROWS,
    passes_filter,
};
use folio::{Column, Database, Durability, Field, Index, Schema, Snapshot, SnapshotTable, Table};
use serde::Serialize;
use std::hint::black_box;
use std::path::Path;

const PEOPLE: &str = "people";

pub(super) struct FolioPeer;

impl Peer for FolioPeer {
    fn name(&self) -> &'static str {
        "folio"
    }

    fn setup(&self) -> &'static str {
        "`Database::in_memory()`; rows and patches go in as structs through serde, columns are read by typed handles; \
         auto-increment keys need no index, scattered keys, email and country have hash indexes, score an ordered one; \
         every write is a transaction, bulk goes by `insert_many`"
    }

    fn kind(&self) -> Kind {
        Kind::Subject
    }

    fn create(&self, shape: Shape, _rows_max: usize) -> Answer<Box<dyn Store>> {
        FolioStore::on(Database::in_memory(), shape)
    }

    fn setup_on_disk(&self) -> &'static str {
        "binary format and default sizes; synced: `Durability::Sync`, else `Durability::Buffered`, which hands every commit \
         to the system before it returns; closing makes a checkpoint"
    }

    fn open(&self, shape: Shape, directory: &Path, durability: peer::Durability) -> Answer<Box<dyn Store>> {
        let durability = match durability {
            peer::Durability::Synced => Durability::Sync,
            peer::Durability::Unsynced => Durability::Buffered,
        };
        FolioStore::on(Database::builder().durability(durability).open(directory)?, shape)
    }
}

fn schema(shape: Shape) -> folio::Result<Schema> {
    let id = Column::u64("id").primary_key();
    let email = Column::string("email");
    let schema = Schema::builder(PEOPLE)
        .column(if shape == Shape::HashKey { id } else { id.auto_increment() })
        .column(Column::string("name"))
        .column(if shape.has_email() { email.unique() } else { email })
        .column(Column::u32("age"))
        .column(Column::f64("score"))
        .column(Column::bool("active"))
        .column(Column::u16("country"));
    if shape.has_country_and_score() {
        schema.index(Index::hash(["country"])).index(Index::ordered(["score"])).build()
    } else {
        schema.build()
    }
}

/// A row whose key the table hands out.
#[derive(Serialize)]
struct NewPerson<'a> {
    name: &'a str,
    email: &'a str,
    age: u32,
    score: f64,
    active: bool,
    country: u16,
}

impl<'a> From<&'a Row> for NewPerson<'a> {
    fn from(row: &'a Row) -> Self {
        let Row { id: _, name, email, age, score, active, country } = row;
        NewPerson { name, email, age: *age, score: *score, active: *active, country: *country }
    }
}

/// A row that brings its key.
#[derive(Serialize)]
struct Person<'a> {
    id: u64,
    name: &'a str,
    email: &'a str,
    age: u32,
    score: f64,
    active: bool,
    country: u16,
}

impl<'a> From<&'a Row> for Person<'a> {
    fn from(row: &'a Row) -> Self {
        let Row { id, name, email, age, score, active, country } = row;
        Person { id: *id, name, email, age: *age, score: *score, active: *active, country: *country }
    }
}

#[derive(Serialize)]
struct NewAge {
    age: u32,
}

#[derive(Serialize)]
struct NewScore {
    score: f64,
}

struct FolioStore {
    shape: Shape,
    db: Database,
    people: Table,
    columns: Columns,
    email: Field<str>,
}

#[derive(Clone, Copy)]
struct Columns {
    name: Field<str>,
    age: Field<u32>,
    score: Field<f64>,
    country: Field<u16>,
}

impl Columns {
    #[inline]
    fn checksum(&self, row: &folio::Row<'_>) -> f64 {
        row.get(self.score) + f64::from(row.get(self.age))
    }
}

impl FolioStore {
    /// The table in `db`, made if it is not there.
    fn on(db: Database, shape: Shape) -> Answer<Box<dyn Store>> {
        let people = db.ensure_table(schema(shape)?)?;
        let columns = Columns {
            name: people.column("name")?,
            age: people.column("age")?,
            score: people.column("score")?,
            country: people.column("country")?,
        };
        let email = people.column("email")?;
        Ok(Box::new(FolioStore { shape, db, people, columns, email }))
    }

    #[inline]
    fn checksum_of(&self, id: u64) -> folio::Result<f64> {
        Ok(self.people.get(id)?.map_or(0.0, |row| self.columns.checksum(&row)))
    }
}

impl Store for FolioStore {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for id in ids {
            sum += self.checksum_of(*id)?;
        }
        Ok(sum)
    }

    fn get_by_email(&self, emails: &[&str]) -> Answer {
        let mut sum = 0.0;
        for email in emails {
            if let Some(row) = self.people.find(self.email, *email)? {
                sum += self.columns.checksum(&row);
                black_box(row.get(self.columns.name));
            }
        }
        Ok(sum)
    }

    fn get_many(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for group in ids.chunks(MANY) {
            let rows = self.people.get_many(group)?;
            sum += rows.iter().flatten().map(|row| self.columns.checksum(row)).sum::<f64>();
        }
        Ok(sum)
    }

    fn fetch_country(&self, countries: &[u16]) -> Answer {
        let mut sum = 0.0;
        for country in countries {
            let rows = self.people.select().filter(self.columns.country.eq(*country));
            rows.for_each(|row| sum += self.columns.checksum(row))?;
        }
        Ok(sum)
    }

    fn fetch_score_range(&self, starts: &[f64]) -> Answer {
        let score = self.columns.score;
        let mut sum = 0.0;
        for start in starts {
            let rows = self.people.select().filter(score.ge(*start)).order_by(score.asc()).limit(RANGE_ROWS as u64);
            rows.for_each(|row| sum += self.columns.checksum(row))?;
        }
        Ok(sum)
    }

    fn scan(&self) -> Answer {
        let mut sum = 0.0;
        self.people.select().for_each(|row| sum += self.columns.checksum(row))?;
        Ok(sum)
    }

    fn filter_by_predicate(&self) -> Answer {
        let Columns { age, score, .. } = self.columns;
        Ok(self.people.select().filter(age.between(FILTER_AGES) & score.ge(FILTER_SCORE)).sum(score)?)
    }

    fn filter_by_closure(&self) -> Answer {
        let Columns { age, score, .. } = self.columns;
        let rows = self.people.select().filter(|row: &folio::Row<'_>| passes_filter(row.get(age), row.get(score)));
        Ok(rows.sum(score)?)
    }

    fn average_by_country(&self) -> Answer {
        let averages = self.people.select().group_by(self.columns.country).avg(self.columns.score)?;
        Ok(averages.iter().map(|(country, average)| average * f64::from(*country)).sum())
    }

    fn top_by_score(&self) -> Answer {
        let score = self.columns.score;
        let top = self.people.select().order_by(score.desc()).limit(TOP_ROWS as u64).pick(score)?;
        Ok(top.iter().zip(1u32..).map(|(score, position)| score * f64::from(position)).sum())
    }

    fn insert_each(&self, rows: &[Row]) -> Answer<()> {
        for row in rows {
            match self.shape {
                Shape::HashKey => self.people.insert(&Person::from(row))?,
                _ => self.people.insert(&NewPerson::from(row))?,
            };
        }
        Ok(())
    }

    fn insert_bulk(&self, rows: &[Row]) -> Answer<()> {
        match self.shape {
            Shape::HashKey => self.people.insert_many(rows.iter().map(Person::from))?,
            _ => self.people.insert_many(rows.iter().map(NewPerson::from))?,
        };
        Ok(())
    }

    fn update_each(&self, updates: &[AgeUpdate]) -> Answer<()> {
        for update in updates {
            self.people.update(update.id, &NewAge { age: update.age })?;
        }
        Ok(())
    }

    fn update_grouped(&self, updates: &[AgeUpdate]) -> Answer<()> {
        for group in updates.chunks(GROUP) {
            self.db.transaction(|tx| {
                let people = tx.table(PEOPLE)?;
                group.iter().try_for_each(|update| people.update(update.id, &NewAge { age: update.age }))
            })?;
        }
        Ok(())
    }

    fn update_score_each(&self, updates: &[ScoreUpdate]) -> Answer<()> {
        for update in updates {
            self.people.update(update.id, &NewScore { score: update.score })?;
        }
        Ok(())
    }

    fn delete_each(&self, ids: &[u64]) -> Answer<()> {
        for id in ids {
            self.people.delete(*id)?;
        }
        Ok(())
    }

    fn run_mixed(&self, operations: &[Operation]) -> Answer {
        let mut sum = 0.0;
        for operation in operations {
            match operation {
                Operation::Read(id) => sum += self.checksum_of(*id)?,
                Operation::Update(update) => self.people.update(update.id, &NewAge { age: update.age })?,
            }
        }
        Ok(sum)
    }

    fn snapshot_and_drop(&self, count: usize) -> Answer<()> {
        (0..count).for_each(|_| drop(black_box(self.db.snapshot())));
        Ok(())
    }

    fn fork_and_drop(&self, count: usize) -> Answer<()> {
        (0..count).for_each(|_| drop(black_box(self.db.fork())));
        Ok(())
    }

    fn hold(&self) -> Answer<Box<dyn Held + '_>> {
        let snapshot = self.db.snapshot();
        let people = snapshot.table(PEOPLE)?;
        Ok(Box::new(HeldSnapshot { snapshot, people, store: self }))
    }
}

struct HeldSnapshot<'s> {
    snapshot: Snapshot,
    people: SnapshotTable,
    store: &'s FolioStore,
}

impl Held for HeldSnapshot<'_> {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for id in ids {
            sum += self.people.get(*id)?.map_or(0.0, |row| self.store.columns.checksum(&row));
        }
        Ok(sum)
    }

    fn changed_rows(&self) -> Answer<u64> {
        Ok(self.snapshot.diff(&self.store.db.snapshot())?.len() as u64)
    }
}
