//! surrealmx: one ordered space of keys, shared by rows and indexes through a first byte.

use super::codec::{self, Averages, Top};
use crate::peer::{Answer, Durability, Held, Kind, Peer, Refusal, Store};
use crate::workload::{AgeUpdate, GROUP, MANY, Operation, RANGE_ROWS, Row, ScoreUpdate, Shape};
use std::hint::black_box;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use surrealmx::{AolMode, Database, DatabaseOptions, FsyncMode, PersistenceOptions, Transaction};

const ROW: u8 = b'r';
const EMAIL: u8 = b'e';
const COUNTRY: u8 = b'c';
const SCORE: u8 = b's';

pub(super) struct SurrealPeer;

impl Peer for SurrealPeer {
    fn name(&self) -> &'static str {
        "surrealmx"
    }

    fn setup(&self) -> &'static str {
        "surrealmx with default options and no persistence; `with_value` for single reads, `scan_with` for ranges, one \
         transaction per write (direct `put` where one key changes); indexes as key prefixes; rows in a fixed byte \
         layout"
    }

    fn kind(&self) -> Kind {
        Kind::Database
    }

    fn create(&self, shape: Shape, _rows_max: usize) -> Answer<Box<dyn Store>> {
        let database = Database::new_with_options(DatabaseOptions::default());
        Ok(Box::new(SurrealStore { shape, last_id: AtomicU64::new(0), database }))
    }

    fn setup_on_disk(&self) -> &'static str {
        "`AolMode::SynchronousOnCommit`; synced: `FsyncMode::EveryAppend`, else `FsyncMode::Never`; a snapshot before it \
         is closed"
    }

    fn open(&self, shape: Shape, directory: &Path, durability: Durability) -> Answer<Box<dyn Store>> {
        let fsync = match durability {
            Durability::Synced => FsyncMode::EveryAppend,
            Durability::Unsynced => FsyncMode::Never,
        };
        let options = PersistenceOptions::new(directory).with_aol_mode(AolMode::SynchronousOnCommit);
        let options = options.with_fsync_mode(fsync);
        let database = Database::new_with_persistence(DatabaseOptions::default(), options)?;
        Ok(Box::new(SurrealStore { shape, last_id: AtomicU64::new(0), database }))
    }
}

struct SurrealStore {
    shape: Shape,
    last_id: AtomicU64,
    database: Database,
}

/// `prefix`, then `rest`.
fn key<const N: usize, const M: usize>(prefix: u8, rest: [u8; M]) -> [u8; N] {
    const { assert!(N == M + 1) };
    let mut key = [prefix; N];
    key[1..].copy_from_slice(&rest);
    key
}

fn row_key(id: u64) -> [u8; 9] {
    key(ROW, id.to_be_bytes())
}

fn email_key(email: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(email.len() + 1);
    key.push(EMAIL);
    key.extend_from_slice(email);
    key
}

fn country_key(country: u16, id: u64) -> [u8; 11] {
    key(COUNTRY, codec::country_key(country, id))
}

fn score_key(score: f64, id: u64) -> [u8; 17] {
    key(SCORE, codec::score_key(score, id))
}

/// All keys with the prefix.
fn all(prefix: u8) -> Range<[u8; 1]> {
    [prefix]..[prefix + 1]
}

fn id_of(bytes: &[u8]) -> u64 {
    codec::id_at_end(bytes)
}

impl SurrealStore {
    fn checksum_of(&self, id: u64) -> Answer {
        Ok(self.database.with_value(row_key(id), codec::checksum)?.unwrap_or_default())
    }

    fn new_id(&self, row: &Row) -> u64 {
        match self.shape {
            Shape::HashKey => row.id,
            _ => self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    fn insert(&self, transaction: &mut Transaction, row: &Row, buffer: &mut Vec<u8>) -> Answer<()> {
        let id = self.new_id(row);
        if self.shape.has_email() {
            transaction.put(email_key(row.email.as_bytes()), id.to_be_bytes())?;
        }
        if self.shape.has_country_and_score() {
            transaction.set(country_key(row.country, id), [])?;
            transaction.set(score_key(row.score, id), [])?;
        }
        codec::encode(row, buffer);
        Ok(transaction.put(row_key(id), buffer.as_slice())?)
    }

    fn update_age(transaction: &mut Transaction, update: &AgeUpdate, buffer: &mut Vec<u8>) -> Answer<()> {
        if load(transaction, update.id, buffer)? {
            codec::set_age(buffer, update.age);
            transaction.set(row_key(update.id), buffer.as_slice())?;
        }
        Ok(())
    }

    fn update_score(transaction: &mut Transaction, update: &ScoreUpdate, buffer: &mut Vec<u8>) -> Answer<()> {
        if load(transaction, update.id, buffer)? {
            transaction.del(score_key(codec::score(buffer), update.id))?;
            transaction.set(score_key(update.score, update.id), [])?;
            codec::set_score(buffer, update.score);
            transaction.set(row_key(update.id), buffer.as_slice())?;
        }
        Ok(())
    }

    fn delete(&self, transaction: &mut Transaction, id: u64, buffer: &mut Vec<u8>) -> Answer<()> {
        if load(transaction, id, buffer)? {
            if self.shape.has_email() {
                transaction.del(email_key(codec::email(buffer)))?;
            }
            if self.shape.has_country_and_score() {
                transaction.del(country_key(codec::country(buffer), id))?;
                transaction.del(score_key(codec::score(buffer), id))?;
            }
            transaction.del(row_key(id))?;
        }
        Ok(())
    }

    fn commit(&self, change: impl FnOnce(&mut Transaction) -> Answer<()>) -> Answer<()> {
        let mut transaction = self.database.transaction(true);
        match change(&mut transaction) {
            Ok(()) => Ok(transaction.commit()?),
            Err(refusal) => {
                transaction.cancel()?;
                Err(refusal)
            }
        }
    }

    fn for_each_row(&self, mut visit: impl FnMut(&[u8])) -> Answer<()> {
        self.database.scan_with(all(ROW), None, None, |_, row| {
            visit(row);
            true
        })?;
        Ok(())
    }

    fn sum_rows(&self, value: impl Fn(&[u8]) -> f64) -> Answer {
        let mut sum = 0.0;
        self.for_each_row(|row| sum += value(row))?;
        Ok(sum)
    }

    /// Sums the rows that an index range points to, in one read transaction.
    fn sum_range<K: surrealmx::IntoBytes>(&self, range: Range<K>, limit: Option<usize>) -> Answer {
        let mut transaction = self.database.transaction(false);
        let mut sum = 0.0;
        let mut failure = None;
        transaction.keys_for_each(range, None, limit, |key| {
            match transaction.with_value(row_key(id_of(key)), codec::checksum) {
                Ok(checksum) => sum += checksum.unwrap_or_default(),
                Err(error) => failure = Some(error),
            }
            failure.is_none()
        })?;
        transaction.cancel()?;
        failure.map_or(Ok(sum), |error| Err(Refusal::from(error)))
    }
}

/// Copies the row into the buffer; false when there is none.
fn load(transaction: &Transaction, id: u64, buffer: &mut Vec<u8>) -> Answer<bool> {
    buffer.clear();
    let found = transaction.with_value(row_key(id), |row| buffer.extend_from_slice(row))?;
    Ok(found.is_some())
}

impl Store for SurrealStore {
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
            let mut transaction = self.database.transaction(false);
            if let Some(id) = transaction.with_value(email_key(email.as_bytes()), id_of)? {
                let checksum = transaction.with_value(row_key(id), |row| {
                    black_box(codec::name(row));
                    codec::checksum(row)
                })?;
                sum += checksum.unwrap_or_default();
            }
            transaction.cancel()?;
        }
        Ok(sum)
    }

    fn get_many(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for group in ids.chunks(MANY) {
            let mut transaction = self.database.transaction(false);
            for id in group {
                sum += transaction.with_value(row_key(*id), codec::checksum)?.unwrap_or_default();
            }
            transaction.cancel()?;
        }
        Ok(sum)
    }

    fn fetch_country(&self, countries: &[u16]) -> Answer {
        let mut sum = 0.0;
        for country in countries {
            sum += self.sum_range(country_key(*country, 0)..country_key(*country, u64::MAX), None)?;
        }
        Ok(sum)
    }

    fn fetch_score_range(&self, starts: &[f64]) -> Answer {
        let mut sum = 0.0;
        for start in starts {
            let range = score_key(*start, 0)..score_key(f64::INFINITY, u64::MAX);
            sum += self.sum_range(range, Some(RANGE_ROWS))?;
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
        let mut buffer = Vec::new();
        for row in rows {
            if self.shape.has_email() {
                self.commit(|transaction| self.insert(transaction, row, &mut buffer))?;
            } else {
                codec::encode(row, &mut buffer);
                self.database.put(row_key(self.new_id(row)), buffer.as_slice())?;
            }
        }
        Ok(())
    }

    fn insert_bulk(&self, rows: &[Row]) -> Answer<()> {
        let mut buffer = Vec::new();
        self.commit(|transaction| rows.iter().try_for_each(|row| self.insert(transaction, row, &mut buffer)))
    }

    fn update_each(&self, updates: &[AgeUpdate]) -> Answer<()> {
        let mut buffer = Vec::new();
        updates
            .iter()
            .try_for_each(|update| self.commit(|transaction| Self::update_age(transaction, update, &mut buffer)))
    }

    fn update_grouped(&self, updates: &[AgeUpdate]) -> Answer<()> {
        let mut buffer = Vec::new();
        updates.chunks(GROUP).try_for_each(|group| {
            self.commit(|transaction| {
                group.iter().try_for_each(|update| Self::update_age(transaction, update, &mut buffer))
            })
        })
    }

    fn update_score_each(&self, updates: &[ScoreUpdate]) -> Answer<()> {
        let mut buffer = Vec::new();
        updates
            .iter()
            .try_for_each(|update| self.commit(|transaction| Self::update_score(transaction, update, &mut buffer)))
    }

    fn delete_each(&self, ids: &[u64]) -> Answer<()> {
        let mut buffer = Vec::new();
        ids.iter().try_for_each(|id| self.commit(|transaction| self.delete(transaction, *id, &mut buffer)))
    }

    fn run_mixed(&self, operations: &[Operation]) -> Answer {
        let mut buffer = Vec::new();
        let mut sum = 0.0;
        for operation in operations {
            match operation {
                Operation::Read(id) => sum += self.checksum_of(*id)?,
                Operation::Update(update) => {
                    self.commit(|transaction| Self::update_age(transaction, update, &mut buffer))?;
                }
            }
        }
        Ok(sum)
    }

    fn save(&self) -> Answer<()> {
        match self.database.persistence() {
            Some(persistence) => Ok(persistence.snapshot()?),
            None => Ok(()),
        }
    }

    fn snapshot_and_drop(&self, count: usize) -> Answer<()> {
        for _ in 0..count {
            black_box(self.database.transaction(false)).cancel()?;
        }
        Ok(())
    }

    fn hold(&self) -> Answer<Box<dyn Held + '_>> {
        Ok(Box::new(HeldTransaction(self.database.transaction(false))))
    }
}

struct HeldTransaction(Transaction);

impl Held for HeldTransaction {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for id in ids {
            sum += self.0.with_value(row_key(*id), codec::checksum)?.unwrap_or_default();
        }
        Ok(sum)
    }
}
