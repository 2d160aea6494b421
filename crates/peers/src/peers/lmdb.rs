//! LMDB through heed: on a memory file system with every durability step switched off, or on disk with those asked for.

use super::codec::{self, Averages, Top};
use crate::peer::{Answer, Durability, Held, Kind, Peer, Store};
use crate::workload::{AgeUpdate, GROUP, MANY, Operation, RANGE_ROWS, Row, ScoreUpdate, Shape};
use heed::byteorder::NativeEndian;
use heed::types::{Bytes, U64, Unit};
use heed::{Database, Env, EnvFlags, EnvOpenOptions, IntegerComparator, PutFlags, RoTxn, RwTxn, WithTls};
use std::hint::black_box;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Address space and memory that a store may take; a snapshot held over many commits runs into it.
const MAP_BYTES: usize = 4 << 30;
/// More for large tables.
const MAP_BYTES_PER_ROW: usize = 1 << 10;
const MEMORY_FILE_SYSTEM: &str = "/dev/shm";

pub(super) struct LmdbPeer;

impl Peer for LmdbPeer {
    fn name(&self) -> &'static str {
        "lmdb"
    }

    fn setup(&self) -> &'static str {
        "heed on a memory file system, `NO_SYNC | NO_META_SYNC | WRITE_MAP | MAP_ASYNC | NO_MEM_INIT`, integer row \
         keys, `APPEND` for auto-increment, one database per index, a transaction per operation; rows in a fixed byte \
         layout; the map ends at 4 GiB (more above 4 million rows)"
    }

    fn kind(&self) -> Kind {
        Kind::Database
    }

    fn create(&self, shape: Shape, rows_max: usize) -> Answer<Box<dyn Store>> {
        let directory = Directory::create()?;
        let flags = EnvFlags::NO_SYNC
            | EnvFlags::NO_META_SYNC
            | EnvFlags::WRITE_MAP
            | EnvFlags::MAP_ASYNC
            | EnvFlags::NO_MEM_INIT;
        // SAFETY: The directory is new and named for this process and store, so nobody else opens or changes the file,
        // and nothing in it outlives the process: lost syncs cannot corrupt what is read later.
        let env = unsafe { options(rows_max).flags(flags).open(&directory.0)? };
        LmdbStore::on(env, shape, Some(directory))
    }

    fn setup_on_disk(&self) -> &'static str {
        "no flags; unsynced: `NO_SYNC`, with which a crash of the system may damage the whole file where the file system \
         reorders writes"
    }

    fn open(&self, shape: Shape, directory: &Path, durability: Durability) -> Answer<Box<dyn Store>> {
        let flags = match durability {
            Durability::Synced => EnvFlags::empty(),
            Durability::Unsynced => EnvFlags::NO_SYNC,
        };
        // SAFETY: The directory is this run's own, so nobody else opens or changes the file, and the system does not
        // crash between a lost sync and the end of the run.
        let env = unsafe { options(0).flags(flags).open(directory)? };
        LmdbStore::on(env, shape, None)
    }
}

fn options(rows_max: usize) -> EnvOpenOptions<WithTls> {
    let page = 64 << 10;
    let map_bytes = MAP_BYTES.max(rows_max * MAP_BYTES_PER_ROW).next_multiple_of(page);
    let mut options = EnvOpenOptions::new();
    options.map_size(map_bytes).max_dbs(4);
    options
}

/// A directory that goes away with its owner.
struct Directory(PathBuf);

impl Directory {
    fn create() -> std::io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let shared = Path::new(MEMORY_FILE_SYSTEM);
        let parent = if shared.is_dir() { shared.to_path_buf() } else { std::env::temp_dir() };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("folio-peers-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A leftover directory costs memory but no correctness; there is nobody to report it to.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct LmdbStore {
    last_id: AtomicU64,
    tables: Tables,
    env: Env,
    /// Last, so that the environment is closed before its directory goes. None if that is the caller's.
    _directory: Option<Directory>,
}

impl LmdbStore {
    fn on(env: Env, shape: Shape, directory: Option<Directory>) -> Answer<Box<dyn Store>> {
        let mut transaction = env.write_txn()?;
        let rows = env
            .database_options()
            .types::<U64<NativeEndian>, Bytes>()
            .key_comparator::<IntegerComparator>()
            .name("rows")
            .create(&mut transaction)?;
        let by_email = env.create_database(&mut transaction, Some("by_email"))?;
        let by_country = env.create_database(&mut transaction, Some("by_country"))?;
        let by_score = env.create_database(&mut transaction, Some("by_score"))?;
        transaction.commit()?;
        let tables = Tables { shape, rows, by_email, by_country, by_score };
        Ok(Box::new(LmdbStore { last_id: AtomicU64::new(0), tables, env, _directory: directory }))
    }
}

type Rows = Database<U64<NativeEndian>, Bytes, IntegerComparator>;

struct Tables {
    shape: Shape,
    rows: Rows,
    by_email: Database<Bytes, U64<NativeEndian>>,
    by_country: Database<Bytes, Unit>,
    by_score: Database<Bytes, Unit>,
}

impl Tables {
    fn insert(&self, transaction: &mut RwTxn<'_>, row: &Row, last_id: &AtomicU64, buffer: &mut Vec<u8>) -> Answer<()> {
        let (id, flags) = match self.shape {
            Shape::HashKey => (row.id, PutFlags::NO_OVERWRITE),
            _ => (last_id.fetch_add(1, Ordering::Relaxed) + 1, PutFlags::APPEND),
        };
        if self.shape.has_email() {
            self.by_email.put_with_flags(transaction, PutFlags::NO_OVERWRITE, row.email.as_bytes(), &id)?;
        }
        if self.shape.has_country_and_score() {
            self.by_country.put(transaction, &codec::country_key(row.country, id), &())?;
            self.by_score.put(transaction, &codec::score_key(row.score, id), &())?;
        }
        codec::encode(row, buffer);
        Ok(self.rows.put_with_flags(transaction, flags, &id, buffer)?)
    }

    /// Copies the row into the buffer; false when there is none.
    fn load(&self, transaction: &RoTxn<'_>, id: u64, buffer: &mut Vec<u8>) -> Answer<bool> {
        let Some(row) = self.rows.get(transaction, &id)? else { return Ok(false) };
        buffer.clear();
        buffer.extend_from_slice(row);
        Ok(true)
    }

    fn update_age(&self, transaction: &mut RwTxn<'_>, update: &AgeUpdate, buffer: &mut Vec<u8>) -> Answer<()> {
        if self.load(transaction, update.id, buffer)? {
            codec::set_age(buffer, update.age);
            self.rows.put(transaction, &update.id, buffer)?;
        }
        Ok(())
    }

    fn update_score(&self, transaction: &mut RwTxn<'_>, update: &ScoreUpdate, buffer: &mut Vec<u8>) -> Answer<()> {
        if self.load(transaction, update.id, buffer)? {
            self.by_score.delete(transaction, &codec::score_key(codec::score(buffer), update.id))?;
            self.by_score.put(transaction, &codec::score_key(update.score, update.id), &())?;
            codec::set_score(buffer, update.score);
            self.rows.put(transaction, &update.id, buffer)?;
        }
        Ok(())
    }

    fn delete(&self, transaction: &mut RwTxn<'_>, id: u64, buffer: &mut Vec<u8>) -> Answer<()> {
        if self.load(transaction, id, buffer)? {
            if self.shape.has_email() {
                self.by_email.delete(transaction, codec::email(buffer))?;
            }
            if self.shape.has_country_and_score() {
                self.by_country.delete(transaction, &codec::country_key(codec::country(buffer), id))?;
                self.by_score.delete(transaction, &codec::score_key(codec::score(buffer), id))?;
            }
            self.rows.delete(transaction, &id)?;
        }
        Ok(())
    }

    #[inline]
    fn checksum_of(&self, transaction: &RoTxn<'_>, id: u64) -> Answer {
        Ok(self.rows.get(transaction, &id)?.map_or(0.0, codec::checksum))
    }
}

impl LmdbStore {
    fn commit(&self, change: impl FnOnce(&mut RwTxn<'_>) -> Answer<()>) -> Answer<()> {
        let mut transaction = self.env.write_txn()?;
        change(&mut transaction)?;
        Ok(transaction.commit()?)
    }

    fn for_each_row(&self, mut visit: impl FnMut(&[u8])) -> Answer<()> {
        let transaction = self.env.read_txn()?;
        for entry in self.tables.rows.iter(&transaction)? {
            visit(entry?.1);
        }
        Ok(())
    }

    fn sum_rows(&self, value: impl Fn(&[u8]) -> f64) -> Answer {
        let mut sum = 0.0;
        self.for_each_row(|row| sum += value(row))?;
        Ok(sum)
    }
}

impl Store for LmdbStore {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for id in ids {
            let transaction = self.env.read_txn()?;
            sum += self.tables.checksum_of(&transaction, *id)?;
        }
        Ok(sum)
    }

    fn get_by_email(&self, emails: &[&str]) -> Answer {
        let mut sum = 0.0;
        for email in emails {
            let transaction = self.env.read_txn()?;
            let Some(id) = self.tables.by_email.get(&transaction, email.as_bytes())? else { continue };
            if let Some(row) = self.tables.rows.get(&transaction, &id)? {
                sum += codec::checksum(row);
                black_box(codec::name(row));
            }
        }
        Ok(sum)
    }

    fn get_many(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for group in ids.chunks(MANY) {
            let transaction = self.env.read_txn()?;
            for id in group {
                sum += self.tables.checksum_of(&transaction, *id)?;
            }
        }
        Ok(sum)
    }

    fn fetch_country(&self, countries: &[u16]) -> Answer {
        let mut sum = 0.0;
        for country in countries {
            let transaction = self.env.read_txn()?;
            for entry in self.tables.by_country.prefix_iter(&transaction, &country.to_be_bytes())? {
                sum += self.tables.checksum_of(&transaction, codec::id_at_end(entry?.0))?;
            }
        }
        Ok(sum)
    }

    fn fetch_score_range(&self, starts: &[f64]) -> Answer {
        let mut sum = 0.0;
        for start in starts {
            let transaction = self.env.read_txn()?;
            let first = codec::score_key(*start, 0);
            let range = (Bound::Included(first.as_slice()), Bound::Unbounded);
            for entry in self.tables.by_score.range(&transaction, &range)?.take(RANGE_ROWS) {
                sum += self.tables.checksum_of(&transaction, codec::id_at_end(entry?.0))?;
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
        let mut buffer = Vec::new();
        rows.iter().try_for_each(|row| {
            self.commit(|transaction| self.tables.insert(transaction, row, &self.last_id, &mut buffer))
        })
    }

    fn insert_bulk(&self, rows: &[Row]) -> Answer<()> {
        let mut buffer = Vec::new();
        self.commit(|transaction| {
            rows.iter().try_for_each(|row| self.tables.insert(transaction, row, &self.last_id, &mut buffer))
        })
    }

    fn update_each(&self, updates: &[AgeUpdate]) -> Answer<()> {
        let mut buffer = Vec::new();
        updates
            .iter()
            .try_for_each(|update| self.commit(|transaction| self.tables.update_age(transaction, update, &mut buffer)))
    }

    fn update_grouped(&self, updates: &[AgeUpdate]) -> Answer<()> {
        let mut buffer = Vec::new();
        updates.chunks(GROUP).try_for_each(|group| {
            self.commit(|transaction| {
                group.iter().try_for_each(|update| self.tables.update_age(transaction, update, &mut buffer))
            })
        })
    }

    fn update_score_each(&self, updates: &[ScoreUpdate]) -> Answer<()> {
        let mut buffer = Vec::new();
        updates.iter().try_for_each(|update| {
            self.commit(|transaction| self.tables.update_score(transaction, update, &mut buffer))
        })
    }

    fn delete_each(&self, ids: &[u64]) -> Answer<()> {
        let mut buffer = Vec::new();
        ids.iter().try_for_each(|id| self.commit(|transaction| self.tables.delete(transaction, *id, &mut buffer)))
    }

    fn run_mixed(&self, operations: &[Operation]) -> Answer {
        let mut buffer = Vec::new();
        let mut sum = 0.0;
        for operation in operations {
            match operation {
                Operation::Read(id) => {
                    let transaction = self.env.read_txn()?;
                    sum += self.tables.checksum_of(&transaction, *id)?;
                }
                Operation::Update(update) => {
                    self.commit(|transaction| self.tables.update_age(transaction, update, &mut buffer))?;
                }
            }
        }
        Ok(sum)
    }

    fn snapshot_and_drop(&self, count: usize) -> Answer<()> {
        for _ in 0..count {
            drop(black_box(self.env.read_txn()?));
        }
        Ok(())
    }

    fn hold(&self) -> Answer<Box<dyn Held + '_>> {
        Ok(Box::new(HeldTransaction { tables: &self.tables, transaction: self.env.read_txn()? }))
    }

    fn foreign_bytes(&self) -> u64 {
        let pages = self.env.info().last_page_number as u64 + 1;
        pages * u64::from(self.env.stat().page_size)
    }
}

struct HeldTransaction<'s> {
    tables: &'s Tables,
    transaction: RoTxn<'s, WithTls>,
}

impl Held for HeldTransaction<'_> {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for id in ids {
            sum += self.tables.checksum_of(&self.transaction, *id)?;
        }
        Ok(sum)
    }
}
