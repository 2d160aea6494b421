//! `RwLock<HashMap>` as a programmer writes it by hand: rows in a map, each index a map beside it, one lock around all.
//!
//! There are no transactions: a panic between two maps would leave them apart, and a snapshot is a copy.

use super::codec::{Averages, Top, sortable};
use crate::peer::{Answer, Held, Kind, Peer, Refusal, Store};
use crate::workload::{AgeUpdate, GROUP, MANY, Operation, RANGE_ROWS, Row, ScoreUpdate, Shape};
use foldhash::fast::RandomState;
use parking_lot::RwLock;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hint::black_box;

pub(super) struct HashMapPeer;

impl Peer for HashMapPeer {
    fn name(&self) -> &'static str {
        "hashmap"
    }

    fn setup(&self) -> &'static str {
        "parking_lot `RwLock` around std `HashMap`s with foldhash; unique index `HashMap<String, u64>`, equality index \
         `HashMap<u16, HashSet<u64>>`, ordered index `BTreeSet<(u64, u64)>`; no transactions, a snapshot is a copy"
    }

    fn kind(&self) -> Kind {
        Kind::Map
    }

    fn create(&self, shape: Shape, _rows_max: usize) -> Answer<Box<dyn Store>> {
        Ok(Box::new(HashMapStore { shape, tables: RwLock::new(Tables::default()) }))
    }
}

struct HashMapStore {
    shape: Shape,
    tables: RwLock<Tables>,
}

#[derive(Clone, Default)]
struct Tables {
    /// The key that auto-increment gave last.
    last_id: u64,
    rows: HashMap<u64, Row, RandomState>,
    by_email: HashMap<String, u64, RandomState>,
    by_country: HashMap<u16, HashSet<u64, RandomState>, RandomState>,
    by_score: BTreeSet<(u64, u64)>,
}

impl Tables {
    fn insert(&mut self, shape: Shape, row: &Row) -> Answer<()> {
        let mut row = row.clone();
        if shape != Shape::HashKey {
            self.last_id += 1;
            row.id = self.last_id;
        }
        if shape.has_email() {
            if self.by_email.contains_key(&row.email) {
                return Err(Refusal::Failed("the email exists".into()));
            }
            self.by_email.insert(row.email.clone(), row.id);
        }
        if shape.has_country_and_score() {
            self.by_country.entry(row.country).or_default().insert(row.id);
            self.by_score.insert((sortable(row.score), row.id));
        }
        self.rows.insert(row.id, row);
        Ok(())
    }

    fn delete(&mut self, shape: Shape, id: u64) {
        let Some(row) = self.rows.remove(&id) else { return };
        if shape.has_email() {
            self.by_email.remove(&row.email);
        }
        if shape.has_country_and_score() {
            if let Some(ids) = self.by_country.get_mut(&row.country) {
                ids.remove(&id);
            }
            self.by_score.remove(&(sortable(row.score), id));
        }
    }

    #[inline]
    fn update_age(&mut self, update: &AgeUpdate) {
        if let Some(row) = self.rows.get_mut(&update.id) {
            row.age = update.age;
        }
    }

    fn update_score(&mut self, update: &ScoreUpdate) {
        if let Some(row) = self.rows.get_mut(&update.id) {
            self.by_score.remove(&(sortable(row.score), row.id));
            row.score = update.score;
            self.by_score.insert((sortable(row.score), row.id));
        }
    }

    #[inline]
    fn checksum_of(&self, id: u64) -> f64 {
        self.rows.get(&id).map_or(0.0, Row::checksum)
    }
}

impl Store for HashMapStore {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        Ok(ids.iter().map(|id| self.tables.read().checksum_of(*id)).sum())
    }

    fn get_by_email(&self, emails: &[&str]) -> Answer {
        let mut sum = 0.0;
        for email in emails {
            let tables = self.tables.read();
            if let Some(row) = tables.by_email.get(*email).and_then(|id| tables.rows.get(id)) {
                sum += row.checksum();
                black_box(row.name.as_bytes());
            }
        }
        Ok(sum)
    }

    fn get_many(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for group in ids.chunks(MANY) {
            let tables = self.tables.read();
            sum += group.iter().map(|id| tables.checksum_of(*id)).sum::<f64>();
        }
        Ok(sum)
    }

    fn fetch_country(&self, countries: &[u16]) -> Answer {
        let mut sum = 0.0;
        for country in countries {
            let tables = self.tables.read();
            if let Some(ids) = tables.by_country.get(country) {
                sum += ids.iter().map(|id| tables.checksum_of(*id)).sum::<f64>();
            }
        }
        Ok(sum)
    }

    fn fetch_score_range(&self, starts: &[f64]) -> Answer {
        let mut sum = 0.0;
        for start in starts {
            let tables = self.tables.read();
            let range = tables.by_score.range((sortable(*start), 0)..).take(RANGE_ROWS);
            sum += range.map(|(_, id)| tables.checksum_of(*id)).sum::<f64>();
        }
        Ok(sum)
    }

    fn scan(&self) -> Answer {
        Ok(self.tables.read().rows.values().map(Row::checksum).sum())
    }

    fn filter_by_closure(&self) -> Answer {
        let tables = self.tables.read();
        Ok(tables.rows.values().filter(|row| row.passes_filter()).map(|row| row.score).sum())
    }

    fn average_by_country(&self) -> Answer {
        let tables = self.tables.read();
        let mut averages = Averages::new();
        tables.rows.values().for_each(|row| averages.add(row.country, row.score));
        Ok(averages.checksum())
    }

    fn top_by_score(&self) -> Answer {
        let tables = self.tables.read();
        let mut top = Top::new();
        tables.rows.values().for_each(|row| top.add(row.score));
        Ok(top.checksum())
    }

    fn insert_each(&self, rows: &[Row]) -> Answer<()> {
        rows.iter().try_for_each(|row| self.tables.write().insert(self.shape, row))
    }

    fn insert_bulk(&self, rows: &[Row]) -> Answer<()> {
        let mut tables = self.tables.write();
        rows.iter().try_for_each(|row| tables.insert(self.shape, row))
    }

    fn update_each(&self, updates: &[AgeUpdate]) -> Answer<()> {
        updates.iter().for_each(|update| self.tables.write().update_age(update));
        Ok(())
    }

    fn update_grouped(&self, updates: &[AgeUpdate]) -> Answer<()> {
        for group in updates.chunks(GROUP) {
            let mut tables = self.tables.write();
            group.iter().for_each(|update| tables.update_age(update));
        }
        Ok(())
    }

    fn update_score_each(&self, updates: &[ScoreUpdate]) -> Answer<()> {
        updates.iter().for_each(|update| self.tables.write().update_score(update));
        Ok(())
    }

    fn delete_each(&self, ids: &[u64]) -> Answer<()> {
        ids.iter().for_each(|id| self.tables.write().delete(self.shape, *id));
        Ok(())
    }

    fn run_mixed(&self, operations: &[Operation]) -> Answer {
        let mut sum = 0.0;
        for operation in operations {
            match operation {
                Operation::Read(id) => sum += self.tables.read().checksum_of(*id),
                Operation::Update(update) => self.tables.write().update_age(update),
            }
        }
        Ok(sum)
    }

    fn snapshot_and_drop(&self, count: usize) -> Answer<()> {
        (0..count).for_each(|_| drop(black_box(self.tables.read().clone())));
        Ok(())
    }

    fn fork_and_drop(&self, count: usize) -> Answer<()> {
        (0..count).for_each(|_| drop(black_box(RwLock::new(self.tables.read().clone()))));
        Ok(())
    }

    fn hold(&self) -> Answer<Box<dyn Held + '_>> {
        Ok(Box::new(Copied(self.tables.read().clone())))
    }
}

struct Copied(Tables);

impl Held for Copied {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        Ok(ids.iter().map(|id| self.0.checksum_of(*id)).sum())
    }
}
