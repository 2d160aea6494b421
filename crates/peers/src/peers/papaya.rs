//! papaya: a lock-free hash map. One map of rows, and one from email to key where that is unique.
//!
//! It has no order and no operation over two maps, so the shape with three indexes is left out.

use super::codec::{Averages, Top};
use crate::peer::{Answer, Kind, Peer, Refusal, Store};
use crate::workload::{AgeUpdate, GROUP, MANY, Operation, Row, Shape};
use foldhash::fast::RandomState;
use papaya::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) struct PapayaPeer;

impl Peer for PapayaPeer {
    fn name(&self) -> &'static str {
        "papaya"
    }

    fn setup(&self) -> &'static str {
        "`papaya::HashMap` with foldhash, pinned once per operation (once per group where the workload groups); a \
         second map for the unique index, not atomic with the first; no ordered index, no snapshot"
    }

    fn kind(&self) -> Kind {
        Kind::Map
    }

    fn create(&self, shape: Shape, _rows_max: usize) -> Answer<Box<dyn Store>> {
        if shape == Shape::Full {
            return Err(Refusal::Unsupported);
        }
        Ok(Box::new(PapayaStore {
            shape,
            last_id: AtomicU64::new(0),
            rows: HashMap::builder().hasher(RandomState::default()).build(),
            by_email: HashMap::builder().hasher(RandomState::default()).build(),
        }))
    }
}

struct PapayaStore {
    shape: Shape,
    last_id: AtomicU64,
    rows: HashMap<u64, Row, RandomState>,
    by_email: HashMap<String, u64, RandomState>,
}

impl PapayaStore {
    fn new_row(&self, row: &Row) -> Row {
        let mut row = row.clone();
        if self.shape != Shape::HashKey {
            row.id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        }
        row
    }

    fn insert_email(&self, row: &Row) -> Answer<()> {
        let inserted = self.by_email.pin().try_insert(row.email.clone(), row.id).is_ok();
        if inserted { Ok(()) } else { Err(Refusal::Failed("the email exists".into())) }
    }
}

impl Store for PapayaStore {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        Ok(ids.iter().map(|id| self.rows.pin().get(id).map_or(0.0, Row::checksum)).sum())
    }

    fn get_by_email(&self, emails: &[&str]) -> Answer {
        let mut sum = 0.0;
        for email in emails {
            let (by_email, rows) = (self.by_email.pin(), self.rows.pin());
            if let Some(row) = by_email.get(*email).and_then(|id| rows.get(id)) {
                sum += row.checksum();
                black_box(row.name.as_bytes());
            }
        }
        Ok(sum)
    }

    fn get_many(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for group in ids.chunks(MANY) {
            let rows = self.rows.pin();
            sum += group.iter().map(|id| rows.get(id).map_or(0.0, Row::checksum)).sum::<f64>();
        }
        Ok(sum)
    }

    fn scan(&self) -> Answer {
        Ok(self.rows.pin().values().map(Row::checksum).sum())
    }

    fn filter_by_closure(&self) -> Answer {
        let rows = self.rows.pin();
        Ok(rows.values().filter(|row| row.passes_filter()).map(|row| row.score).sum())
    }

    fn average_by_country(&self) -> Answer {
        let mut averages = Averages::new();
        self.rows.pin().values().for_each(|row| averages.add(row.country, row.score));
        Ok(averages.checksum())
    }

    fn top_by_score(&self) -> Answer {
        let mut top = Top::new();
        self.rows.pin().values().for_each(|row| top.add(row.score));
        Ok(top.checksum())
    }

    fn insert_each(&self, rows: &[Row]) -> Answer<()> {
        for row in rows {
            let row = self.new_row(row);
            if self.shape.has_email() {
                self.insert_email(&row)?;
            }
            self.rows.pin().insert(row.id, row);
        }
        Ok(())
    }

    fn insert_bulk(&self, rows: &[Row]) -> Answer<()> {
        let pinned = self.rows.pin();
        for row in rows {
            let row = self.new_row(row);
            if self.shape.has_email() {
                self.insert_email(&row)?;
            }
            pinned.insert(row.id, row);
        }
        Ok(())
    }

    fn update_each(&self, updates: &[AgeUpdate]) -> Answer<()> {
        for update in updates {
            self.rows.pin().update(update.id, |row| Row { age: update.age, ..row.clone() });
        }
        Ok(())
    }

    fn update_grouped(&self, updates: &[AgeUpdate]) -> Answer<()> {
        for group in updates.chunks(GROUP) {
            let rows = self.rows.pin();
            for update in group {
                rows.update(update.id, |row| Row { age: update.age, ..row.clone() });
            }
        }
        Ok(())
    }

    fn run_mixed(&self, operations: &[Operation]) -> Answer {
        let mut sum = 0.0;
        for operation in operations {
            match operation {
                Operation::Read(id) => sum += self.rows.pin().get(id).map_or(0.0, Row::checksum),
                Operation::Update(update) => self.update_each(std::slice::from_ref(update))?,
            }
        }
        Ok(sum)
    }
}
