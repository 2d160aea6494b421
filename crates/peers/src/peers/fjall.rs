//! fjall: a keyspace of rows and one per index, in a directory. It has no form in memory, so the suite on disk alone has it,
//! and only what that asks for is here.

use super::codec;
use crate::peer::{Answer, Durability, Kind, Peer, Refusal, Store};
use crate::workload::{Row, Shape};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) struct FjallPeer;

impl Peer for FjallPeer {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn setup(&self) -> &'static str {
        self.setup_on_disk()
    }

    fn kind(&self) -> Kind {
        Kind::Database
    }

    fn create(&self, _shape: Shape, _rows_max: usize) -> Answer<Box<dyn Store>> {
        Err(Refusal::Unsupported)
    }

    fn setup_on_disk(&self) -> &'static str {
        "default options, a write batch per commit, a keyspace per index; synced: `PersistMode::SyncData`, else \
         `PersistMode::Buffer`, which hands every commit to the system before it returns; one key alone and not synced \
         by `insert`"
    }

    fn open(&self, shape: Shape, directory: &Path, durability: Durability) -> Answer<Box<dyn Store>> {
        let database = Database::builder(directory).open()?;
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
        Ok(Box::new(FjallStore {
            shape,
            persist: match durability {
                Durability::Synced => PersistMode::SyncData,
                Durability::Unsynced => PersistMode::Buffer,
            },
            last_id: AtomicU64::new(0),
            rows: keyspace("rows")?,
            by_email: keyspace("by_email")?,
            by_country: keyspace("by_country")?,
            by_score: keyspace("by_score")?,
            database,
        }))
    }
}

struct FjallStore {
    shape: Shape,
    persist: PersistMode,
    last_id: AtomicU64,
    rows: Keyspace,
    by_email: Keyspace,
    by_country: Keyspace,
    by_score: Keyspace,
    /// Last, so that it is closed when nothing uses it.
    database: Database,
}

impl FjallStore {
    fn new_id(&self, row: &Row) -> u64 {
        match self.shape {
            Shape::HashKey => row.id,
            _ => self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    /// A batch does not see what it holds: so the emails that are new in it come along.
    fn insert<'r>(
        &self,
        batch: &mut OwnedWriteBatch,
        row: &'r Row,
        emails: &mut HashSet<&'r str>,
        buffer: &mut Vec<u8>,
    ) -> Answer<()> {
        let id = self.new_id(row);
        if self.shape.has_email() {
            if !emails.insert(&row.email) || self.by_email.contains_key(row.email.as_bytes())? {
                return Err(Refusal::Failed("the email exists".into()));
            }
            batch.insert(&self.by_email, row.email.as_bytes(), id.to_be_bytes());
        }
        if self.shape.has_country_and_score() {
            batch.insert(&self.by_country, codec::country_key(row.country, id), []);
            batch.insert(&self.by_score, codec::score_key(row.score, id), []);
        }
        codec::encode(row, buffer);
        batch.insert(&self.rows, id.to_be_bytes(), buffer.as_slice());
        Ok(())
    }
}

impl Store for FjallStore {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for id in ids {
            sum += self.rows.get(id.to_be_bytes())?.map_or(0.0, |row| codec::checksum(&row));
        }
        Ok(sum)
    }

    fn scan(&self) -> Answer {
        let mut sum = 0.0;
        for entry in self.rows.iter() {
            sum += codec::checksum(&entry.value()?);
        }
        Ok(sum)
    }

    fn insert_each(&self, rows: &[Row]) -> Answer<()> {
        // That an email is new would have to be asked and stored under one lock.
        if self.shape.has_email() {
            return Err(Refusal::Unsupported);
        }
        let mut buffer = Vec::new();
        for row in rows {
            let key = self.new_id(row).to_be_bytes();
            codec::encode(row, &mut buffer);
            if self.persist == PersistMode::Buffer {
                self.rows.insert(key, buffer.as_slice())?;
            } else {
                let mut batch = self.database.batch().durability(Some(self.persist));
                batch.insert(&self.rows, key, buffer.as_slice());
                batch.commit()?;
            }
        }
        Ok(())
    }

    fn insert_bulk(&self, rows: &[Row]) -> Answer<()> {
        let mut batch = self.database.batch().durability(Some(self.persist));
        let (mut emails, mut buffer) = (HashSet::new(), Vec::new());
        rows.iter().try_for_each(|row| self.insert(&mut batch, row, &mut emails, &mut buffer))?;
        Ok(batch.commit()?)
    }
}
