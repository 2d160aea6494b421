//! redb on its own memory backend or in a file: one table of rows, one per index.

use super::codec::{self, Averages, Top, sortable};
use crate::peer::{self, Answer, Held, Kind, Peer, Refusal, Store};
use crate::workload::{AgeUpdate, GROUP, MANY, Operation, RANGE_ROWS, Row, ScoreUpdate, Shape};
use redb::backends::InMemoryBackend;
use redb::{
    Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");
const BY_EMAIL: TableDefinition<'_, &[u8], u64> = TableDefinition::new("by_email");
const BY_COUNTRY: TableDefinition<'_, (u16, u64), ()> = TableDefinition::new("by_country");
const BY_SCORE: TableDefinition<'_, (u64, u64), ()> = TableDefinition::new("by_score");

/// Without an immediate commit redb takes new pages for every change.
const COMMITS_PER_IMMEDIATE: usize = 1_024;

pub(super) struct RedbPeer;

impl Peer for RedbPeer {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn setup(&self) -> &'static str {
        "redb on `InMemoryBackend` with its default cache, a transaction per operation, `Durability::None` per commit \
         with an immediate one every 1,024 and after each batch, without which redb does not reuse pages; rows in a \
         fixed byte layout"
    }

    fn kind(&self) -> Kind {
        Kind::Database
    }

    fn create(&self, shape: Shape, _rows_max: usize) -> Answer<Box<dyn Store>> {
        let database = Database::builder().create_with_backend(InMemoryBackend::new())?;
        RedbStore::on(database, shape, COMMITS_PER_IMMEDIATE, Durability::Immediate)
    }

    fn setup_on_disk(&self) -> &'static str {
        "a file with the default cache; synced: `Durability::Immediate`, else `Durability::None` with an immediate commit \
         every 1,024 and after each batch of them, between which a crash of the process loses what returned"
    }

    fn open(&self, shape: Shape, directory: &Path, durability: peer::Durability) -> Answer<Box<dyn Store>> {
        let database = Database::create(directory.join("people.redb"))?;
        match durability {
            peer::Durability::Synced => RedbStore::on(database, shape, 1, Durability::Immediate),
            peer::Durability::Unsynced => RedbStore::on(database, shape, COMMITS_PER_IMMEDIATE, Durability::None),
        }
    }
}

struct RedbStore {
    shape: Shape,
    /// Of so many commits of an element each, one is immediate.
    commits_per_immediate: usize,
    /// Of a bulk load.
    bulk_durability: Durability,
    last_id: AtomicU64,
    database: Database,
}

/// The tables of one write transaction; those that the shape lacks stay closed.
struct Tables<'t> {
    shape: Shape,
    rows: Table<'t, u64, &'static [u8]>,
    by_email: Option<Table<'t, &'static [u8], u64>>,
    by_country: Option<Table<'t, (u16, u64), ()>>,
    by_score: Option<Table<'t, (u64, u64), ()>>,
    buffer: Vec<u8>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction, shape: Shape) -> Answer<Self> {
        let (mut by_email, mut by_country, mut by_score) = (None, None, None);
        if shape.has_email() {
            by_email = Some(transaction.open_table(BY_EMAIL)?);
        }
        if shape.has_country_and_score() {
            by_country = Some(transaction.open_table(BY_COUNTRY)?);
            by_score = Some(transaction.open_table(BY_SCORE)?);
        }
        let rows = transaction.open_table(ROWS)?;
        Ok(Tables { shape, rows, by_email, by_country, by_score, buffer: Vec::new() })
    }

    fn insert(&mut self, last_id: &AtomicU64, row: &Row) -> Answer<()> {
        let id = match self.shape {
            Shape::HashKey => row.id,
            _ => last_id.fetch_add(1, Ordering::Relaxed) + 1,
        };
        if let Some(by_email) = &mut self.by_email
            && by_email.insert(row.email.as_bytes(), id)?.is_some()
        {
            return Err(Refusal::Failed("the email exists".into()));
        }
        if let Some(by_country) = &mut self.by_country {
            by_country.insert((row.country, id), ())?;
        }
        if let Some(by_score) = &mut self.by_score {
            by_score.insert((sortable(row.score), id), ())?;
        }
        codec::encode(row, &mut self.buffer);
        self.rows.insert(id, self.buffer.as_slice())?;
        Ok(())
    }

    /// Copies the row into the buffer; false when there is none.
    fn load(&mut self, id: u64) -> Answer<bool> {
        let Some(row) = self.rows.get(id)? else { return Ok(false) };
        self.buffer.clear();
        self.buffer.extend_from_slice(row.value());
        Ok(true)
    }

    fn update_age(&mut self, update: &AgeUpdate) -> Answer<()> {
        if self.load(update.id)? {
            codec::set_age(&mut self.buffer, update.age);
            self.rows.insert(update.id, self.buffer.as_slice())?;
        }
        Ok(())
    }

    fn update_score(&mut self, update: &ScoreUpdate) -> Answer<()> {
        if self.load(update.id)? {
            if let Some(by_score) = &mut self.by_score {
                by_score.remove((sortable(codec::score(&self.buffer)), update.id))?;
                by_score.insert((sortable(update.score), update.id), ())?;
            }
            codec::set_score(&mut self.buffer, update.score);
            self.rows.insert(update.id, self.buffer.as_slice())?;
        }
        Ok(())
    }

    fn delete(&mut self, id: u64) -> Answer<()> {
        if self.load(id)? {
            if let Some(by_email) = &mut self.by_email {
                by_email.remove(codec::email(&self.buffer))?;
            }
            if let Some(by_country) = &mut self.by_country {
                by_country.remove((codec::country(&self.buffer), id))?;
            }
            if let Some(by_score) = &mut self.by_score {
                by_score.remove((sortable(codec::score(&self.buffer)), id))?;
            }
            self.rows.remove(id)?;
        }
        Ok(())
    }
}

type Rows = ReadOnlyTable<u64, &'static [u8]>;

fn checksum_of(rows: &Rows, id: u64) -> Answer {
    Ok(rows.get(id)?.map_or(0.0, |row| codec::checksum(row.value())))
}

impl RedbStore {
    fn on(
        database: Database,
        shape: Shape,
        commits_per_immediate: usize,
        bulk_durability: Durability,
    ) -> Answer<Box<dyn Store>> {
        let transaction = database.begin_write()?;
        drop(Tables::open(&transaction, shape)?);
        transaction.commit()?;
        let last_id = AtomicU64::new(0);
        Ok(Box::new(RedbStore { shape, commits_per_immediate, bulk_durability, last_id, database }))
    }

    fn rows(&self) -> Answer<Rows> {
        Ok(self.database.begin_read()?.open_table(ROWS)?)
    }

    fn commit(&self, durability: Durability, change: impl FnOnce(&mut Tables<'_>) -> Answer<()>) -> Answer<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(durability)?;
        let mut tables = Tables::open(&transaction, self.shape)?;
        change(&mut tables)?;
        drop(tables);
        Ok(transaction.commit()?)
    }

    /// Runs one commit per element. Every so often and at the end one is immediate, so that the pages freed by the
    /// others can be used again.
    fn commit_each<T>(&self, elements: &[T], change: impl Fn(&mut Tables<'_>, &T) -> Answer<()>) -> Answer<()> {
        for (position, element) in elements.iter().enumerate() {
            let immediate = position % self.commits_per_immediate == self.commits_per_immediate - 1;
            let last = position + 1 == elements.len();
            let durability = if immediate || last { Durability::Immediate } else { Durability::None };
            self.commit(durability, |tables| change(tables, element))?;
        }
        Ok(())
    }

    fn for_each_row(&self, mut visit: impl FnMut(&[u8])) -> Answer<()> {
        for entry in self.rows()?.iter()? {
            visit(entry?.1.value());
        }
        Ok(())
    }

    fn sum_rows(&self, value: impl Fn(&[u8]) -> f64) -> Answer {
        let mut sum = 0.0;
        self.for_each_row(|row| sum += value(row))?;
        Ok(sum)
    }
}

impl Store for RedbStore {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for id in ids {
            sum += checksum_of(&self.rows()?, *id)?;
        }
        Ok(sum)
    }

    fn get_by_email(&self, emails: &[&str]) -> Answer {
        let mut sum = 0.0;
        for email in emails {
            let transaction = self.database.begin_read()?;
            let by_email = transaction.open_table(BY_EMAIL)?;
            let rows = transaction.open_table(ROWS)?;
            let Some(id) = by_email.get(email.as_bytes())? else { continue };
            if let Some(row) = rows.get(id.value())? {
                sum += codec::checksum(row.value());
                black_box(codec::name(row.value()));
            }
        }
        Ok(sum)
    }

    fn get_many(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for group in ids.chunks(MANY) {
            let rows = self.rows()?;
            for id in group {
                sum += checksum_of(&rows, *id)?;
            }
        }
        Ok(sum)
    }

    fn fetch_country(&self, countries: &[u16]) -> Answer {
        let mut sum = 0.0;
        for country in countries {
            let transaction = self.database.begin_read()?;
            let by_country = transaction.open_table(BY_COUNTRY)?;
            let rows = transaction.open_table(ROWS)?;
            for entry in by_country.range((*country, 0)..=(*country, u64::MAX))? {
                sum += checksum_of(&rows, entry?.0.value().1)?;
            }
        }
        Ok(sum)
    }

    fn fetch_score_range(&self, starts: &[f64]) -> Answer {
        let mut sum = 0.0;
        for start in starts {
            let transaction = self.database.begin_read()?;
            let by_score = transaction.open_table(BY_SCORE)?;
            let rows = transaction.open_table(ROWS)?;
            for entry in by_score.range((sortable(*start), 0)..)?.take(RANGE_ROWS) {
                sum += checksum_of(&rows, entry?.0.value().1)?;
            }
        }
        Ok(sum)
    }

    fn scan(&self) -> Answer {
        self.sum_rows(codec::checksum)
    }

    fn filter_by_closure(&self) -> Answer {
        self.sum_rows(codec::filtered_score)
    }

    fn average_by_country(&self) -> Answer {
        let mut averages = Averages::new();
        self.for_each_row(|row| averages.add(codec::country(row), codec::score(row)))?;
        Ok(averages.checksum())
    }

    fn top_by_score(&self) -> Answer {
        let mut top = Top::new();
        self.for_each_row(|row| top.add(codec::score(row)))?;
        Ok(top.checksum())
    }

    fn insert_each(&self, rows: &[Row]) -> Answer<()> {
        self.commit_each(rows, |tables, row| tables.insert(&self.last_id, row))
    }

    fn insert_bulk(&self, rows: &[Row]) -> Answer<()> {
        self.commit(self.bulk_durability, |tables| rows.iter().try_for_each(|row| tables.insert(&self.last_id, row)))
    }

    fn update_each(&self, updates: &[AgeUpdate]) -> Answer<()> {
        self.commit_each(updates, |tables, update| tables.update_age(update))
    }

    fn update_grouped(&self, updates: &[AgeUpdate]) -> Answer<()> {
        let groups: Vec<&[AgeUpdate]> = updates.chunks(GROUP).collect();
        self.commit_each(&groups, |tables, group| group.iter().try_for_each(|update| tables.update_age(update)))
    }

    fn update_score_each(&self, updates: &[ScoreUpdate]) -> Answer<()> {
        self.commit_each(updates, |tables, update| tables.update_score(update))
    }

    fn delete_each(&self, ids: &[u64]) -> Answer<()> {
        self.commit_each(ids, |tables, id| tables.delete(*id))
    }

    fn run_mixed(&self, operations: &[Operation]) -> Answer {
        let mut sum = 0.0;
        for operation in operations {
            match operation {
                Operation::Read(id) => sum += checksum_of(&self.rows()?, *id)?,
                Operation::Update(update) => {
                    self.commit(Durability::None, |tables| tables.update_age(update))?;
                }
            }
        }
        self.commit(Durability::Immediate, |_| Ok(()))?;
        Ok(sum)
    }

    fn snapshot_and_drop(&self, count: usize) -> Answer<()> {
        for _ in 0..count {
            drop(black_box(self.database.begin_read()?));
        }
        Ok(())
    }

    fn hold(&self) -> Answer<Box<dyn Held + '_>> {
        Ok(Box::new(HeldTransaction(self.database.begin_read()?)))
    }
}

struct HeldTransaction(ReadTransaction);

impl Held for HeldTransaction {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for id in ids {
            sum += checksum_of(&self.0.open_table(ROWS)?, *id)?;
        }
        Ok(sum)
    }
}
