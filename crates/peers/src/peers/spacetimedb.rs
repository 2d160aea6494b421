//! SpacetimeDB's table store: the crate under its datastore, without the transactions that the datastore adds.

use super::codec::{Averages, Top};
use crate::peer::{Answer, Kind, Peer, Refusal, Store};
use crate::workload::{AgeUpdate, GROUP, MANY, Operation, RANGE_ROWS, Row, ScoreUpdate, Shape, passes_filter};
use parking_lot::RwLock;
use spacetimedb_lib::db::raw_def::v9::RawModuleDefV9Builder;
use spacetimedb_primitives::{ColId, IndexId, TableId};
use spacetimedb_sats::bsatn::ToBsatn;
use spacetimedb_sats::{AlgebraicType, AlgebraicValue, F64, ProductType};
use spacetimedb_schema::def::{BTreeAlgorithm, DirectAlgorithm, HashAlgorithm, IndexAlgorithm, ModuleDef};
use spacetimedb_schema::schema::{Schema, TableSchema};
use spacetimedb_table::blob_store::HashMapBlobStore;
use spacetimedb_table::indexes::{RowPointer, SquashedOffset};
use spacetimedb_table::page_pool::PagePool;
use spacetimedb_table::table::{RowRef, Table, TableAndIndex};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const ID: ColId = ColId(0);
const AGE: ColId = ColId(1);
const SCORE: ColId = ColId(2);
const COUNTRY: ColId = ColId(4);
const NAME: ColId = ColId(5);
const EMAIL: ColId = ColId(6);

const BY_ID: IndexId = IndexId(0);
const BY_EMAIL: IndexId = IndexId(1);
const BY_COUNTRY: IndexId = IndexId(2);
const BY_SCORE: IndexId = IndexId(3);

/// Where the columns of fixed width lie in an encoded row.
const AGE_BYTES: std::ops::Range<usize> = 8..12;
const SCORE_BYTES: std::ops::Range<usize> = 12..20;

pub(super) struct SpacetimePeer;

impl Peer for SpacetimePeer {
    fn name(&self) -> &'static str {
        "spacetimedb"
    }

    fn setup(&self) -> &'static str {
        "crate `spacetimedb-table`: a `Table` with its blob store and page pool behind a parking_lot `RwLock`; direct \
         index on auto-increment keys, hash indexes on scattered keys, email and country, B-tree index on score; rows \
         go in encoded (BSATN), an update writes a new row as its datastore does; no transactions or snapshots at this \
         level"
    }

    fn kind(&self) -> Kind {
        Kind::Database
    }

    fn create(&self, shape: Shape, _rows_max: usize) -> Answer<Box<dyn Store>> {
        let mut tables = Tables {
            table: Table::new(schema()?, SquashedOffset::COMMITTED_STATE),
            blobs: HashMapBlobStore::default(),
        };
        let key: IndexAlgorithm = match shape {
            Shape::HashKey => HashAlgorithm { columns: ID.into() }.into(),
            _ => DirectAlgorithm { column: ID }.into(),
        };
        tables.add_index(BY_ID, key, true)?;
        if shape.has_email() {
            tables.add_index(BY_EMAIL, HashAlgorithm { columns: EMAIL.into() }.into(), true)?;
        }
        if shape.has_country_and_score() {
            tables.add_index(BY_COUNTRY, HashAlgorithm { columns: COUNTRY.into() }.into(), false)?;
            tables.add_index(BY_SCORE, BTreeAlgorithm { columns: SCORE.into() }.into(), false)?;
        }
        let store = SpacetimeStore {
            shape,
            last_id: AtomicU64::new(0),
            pool: PagePool::new(None),
            tables: RwLock::new(tables),
        };
        Ok(Box::new(store))
    }
}

fn schema() -> Answer<Arc<TableSchema>> {
    let columns = ProductType::from([
        ("id", AlgebraicType::U64),
        ("age", AlgebraicType::U32),
        ("score", AlgebraicType::F64),
        ("active", AlgebraicType::Bool),
        ("country", AlgebraicType::U16),
        ("name", AlgebraicType::String),
        ("email", AlgebraicType::String),
    ]);
    let mut builder = RawModuleDefV9Builder::new();
    builder.build_table_with_new_type("people", columns, true);
    let module: ModuleDef = builder.finish().try_into().map_err(|error| Refusal::Failed(format!("{error:?}")))?;
    let table = module.table("people").ok_or_else(|| Refusal::Failed("the schema lost its table".into()))?;
    Ok(TableSchema::from_module_def(&module, table, (), TableId::SENTINEL).into())
}

struct SpacetimeStore {
    shape: Shape,
    last_id: AtomicU64,
    pool: PagePool,
    tables: RwLock<Tables>,
}

struct Tables {
    table: Table,
    blobs: HashMapBlobStore,
}

fn failed(error: impl std::fmt::Debug) -> Refusal {
    Refusal::Failed(format!("{error:?}"))
}

/// Encodes the row in BSATN: the columns in order, little-endian, strings behind a 4-byte length.
fn encode(id: u64, row: &Row, buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.extend_from_slice(&id.to_le_bytes());
    buffer.extend_from_slice(&row.age.to_le_bytes());
    buffer.extend_from_slice(&row.score.to_le_bytes());
    buffer.push(u8::from(row.active));
    buffer.extend_from_slice(&row.country.to_le_bytes());
    encode_string(&row.name, buffer);
    encode_string(&row.email, buffer);
}

fn encode_string(text: &str, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(&(text.len() as u32).to_le_bytes());
    buffer.extend_from_slice(text.as_bytes());
}

#[inline]
fn column<T: spacetimedb_table::read_column::ReadColumn>(row: RowRef<'_>, column: ColId) -> Answer<T> {
    row.read_col(column).map_err(failed)
}

#[inline]
fn checksum(row: RowRef<'_>) -> Answer {
    Ok(column::<f64>(row, SCORE)? + f64::from(column::<u32>(row, AGE)?))
}

impl Tables {
    fn add_index(&mut self, id: IndexId, algorithm: IndexAlgorithm, unique: bool) -> Answer<()> {
        let index = self.table.new_index(&algorithm, unique).map_err(failed)?;
        // SAFETY: The index was made by this very table, so it has its row type.
        unsafe { self.table.insert_index(&self.blobs, id, index) }.map_err(Refusal::Failed)
    }

    #[inline]
    fn index(&self, id: IndexId) -> Answer<TableAndIndex<'_>> {
        self.table.get_index_by_id_with_table(&self.blobs, id).ok_or(Refusal::Unsupported)
    }

    #[inline]
    fn find(&self, id: u64) -> Answer<Option<RowRef<'_>>> {
        Ok(self.index(BY_ID)?.seek_point_via_algebraic_value(&AlgebraicValue::U64(id)).next())
    }

    #[inline]
    fn checksum_of(&self, id: u64) -> Answer {
        self.find(id)?.map_or(Ok(0.0), checksum)
    }

    fn insert(&mut self, pool: &PagePool, bytes: &[u8]) -> Answer<()> {
        let Tables { table, blobs } = self;
        let (row, blob_bytes) = table.insert_physically_bsatn(pool, blobs, bytes).map_err(failed)?;
        let pointer = row.pointer();
        // SAFETY: The row was inserted physically just above and nothing has removed it.
        unsafe { table.confirm_insertion::<true>(blobs, pointer, blob_bytes) }.map_err(failed)?;
        Ok(())
    }

    /// Encodes the row into `buffer`, lets `change` edit its bytes, and puts the result in the row's place.
    fn replace(
        &mut self,
        pool: &PagePool,
        id: u64,
        buffer: &mut Vec<u8>,
        change: impl FnOnce(&mut [u8]),
    ) -> Answer<()> {
        let Some(row) = self.find(id)? else { return Ok(()) };
        let old: RowPointer = row.pointer();
        buffer.clear();
        row.to_bsatn_extend(buffer).map_err(failed)?;
        change(buffer);
        let Tables { table, blobs } = self;
        let (row, blob_bytes) = table.insert_physically_bsatn(pool, blobs, buffer).map_err(failed)?;
        let new = row.pointer();
        // SAFETY: `old` came from an index, which holds present rows only, `new` was inserted just above, and the
        // exclusive borrow means that nobody has removed either since.
        unsafe { table.confirm_update(blobs, new, old, blob_bytes) }.map_err(failed)?;
        Ok(())
    }

    fn update_age(&mut self, pool: &PagePool, update: &AgeUpdate, buffer: &mut Vec<u8>) -> Answer<()> {
        self.replace(pool, update.id, buffer, |bytes| {
            bytes[AGE_BYTES].copy_from_slice(&update.age.to_le_bytes());
        })
    }

    fn update_score(&mut self, pool: &PagePool, update: &ScoreUpdate, buffer: &mut Vec<u8>) -> Answer<()> {
        self.replace(pool, update.id, buffer, |bytes| {
            bytes[SCORE_BYTES].copy_from_slice(&update.score.to_le_bytes());
        })
    }

    fn delete(&mut self, id: u64) -> Answer<()> {
        let Some(pointer) = self.find(id)?.map(|row| row.pointer()) else { return Ok(()) };
        self.table.delete(&mut self.blobs, pointer, |_| ());
        Ok(())
    }

    fn rows(&self) -> impl Iterator<Item = RowRef<'_>> {
        self.table.scan_rows(&self.blobs)
    }
}

impl SpacetimeStore {
    fn encode_new(&self, row: &Row, buffer: &mut Vec<u8>) {
        let id = match self.shape {
            Shape::HashKey => row.id,
            _ => self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
        };
        encode(id, row, buffer);
    }
}

impl Store for SpacetimeStore {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for id in ids {
            sum += self.tables.read().checksum_of(*id)?;
        }
        Ok(sum)
    }

    fn get_by_email(&self, emails: &[&str]) -> Answer {
        let mut sum = 0.0;
        let mut buffer = Vec::new();
        for email in emails {
            buffer.clear();
            encode_string(email, &mut buffer);
            let tables = self.tables.read();
            let index = tables.index(BY_EMAIL)?;
            let key = index.index().key_from_bsatn(&buffer).map_err(failed)?;
            if let Some(row) = index.seek_point(&key).next() {
                sum += checksum(row)?;
                black_box(column::<Box<str>>(row, NAME)?);
            }
        }
        Ok(sum)
    }

    fn get_many(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for group in ids.chunks(MANY) {
            let tables = self.tables.read();
            for id in group {
                sum += tables.checksum_of(*id)?;
            }
        }
        Ok(sum)
    }

    fn fetch_country(&self, countries: &[u16]) -> Answer {
        let mut sum = 0.0;
        for country in countries {
            let tables = self.tables.read();
            for row in tables.index(BY_COUNTRY)?.seek_point_via_algebraic_value(&AlgebraicValue::U16(*country)) {
                sum += checksum(row)?;
            }
        }
        Ok(sum)
    }

    fn fetch_score_range(&self, starts: &[f64]) -> Answer {
        let mut sum = 0.0;
        for start in starts {
            let tables = self.tables.read();
            let range = AlgebraicValue::F64(F64::from(*start))..;
            let rows = tables.index(BY_SCORE)?.seek_range_via_algebraic_value(&range).map_err(failed)?;
            for row in rows.take(RANGE_ROWS) {
                sum += checksum(row)?;
            }
        }
        Ok(sum)
    }

    fn scan(&self) -> Answer {
        let tables = self.tables.read();
        tables.rows().try_fold(0.0, |sum, row| Ok(sum + checksum(row)?))
    }

    fn filter_by_closure(&self) -> Answer {
        let tables = self.tables.read();
        tables.rows().try_fold(0.0, |sum, row| {
            let score = column(row, SCORE)?;
            Ok(if passes_filter(column(row, AGE)?, score) { sum + score } else { sum })
        })
    }

    fn average_by_country(&self) -> Answer {
        let tables = self.tables.read();
        let mut averages = Averages::new();
        for row in tables.rows() {
            averages.add(column(row, COUNTRY)?, column(row, SCORE)?);
        }
        Ok(averages.checksum())
    }

    fn top_by_score(&self) -> Answer {
        let tables = self.tables.read();
        let mut top = Top::new();
        for row in tables.rows() {
            top.add(column(row, SCORE)?);
        }
        Ok(top.checksum())
    }

    fn insert_each(&self, rows: &[Row]) -> Answer<()> {
        let mut buffer = Vec::new();
        rows.iter().try_for_each(|row| {
            self.encode_new(row, &mut buffer);
            self.tables.write().insert(&self.pool, &buffer)
        })
    }

    fn insert_bulk(&self, rows: &[Row]) -> Answer<()> {
        let mut buffer = Vec::new();
        let mut tables = self.tables.write();
        rows.iter().try_for_each(|row| {
            self.encode_new(row, &mut buffer);
            tables.insert(&self.pool, &buffer)
        })
    }

    fn update_each(&self, updates: &[AgeUpdate]) -> Answer<()> {
        let mut buffer = Vec::new();
        updates.iter().try_for_each(|update| self.tables.write().update_age(&self.pool, update, &mut buffer))
    }

    fn update_grouped(&self, updates: &[AgeUpdate]) -> Answer<()> {
        let mut buffer = Vec::new();
        updates.chunks(GROUP).try_for_each(|group| {
            let mut tables = self.tables.write();
            group.iter().try_for_each(|update| tables.update_age(&self.pool, update, &mut buffer))
        })
    }

    fn update_score_each(&self, updates: &[ScoreUpdate]) -> Answer<()> {
        let mut buffer = Vec::new();
        updates.iter().try_for_each(|update| self.tables.write().update_score(&self.pool, update, &mut buffer))
    }

    fn delete_each(&self, ids: &[u64]) -> Answer<()> {
        ids.iter().try_for_each(|id| self.tables.write().delete(*id))
    }

    fn run_mixed(&self, operations: &[Operation]) -> Answer {
        let mut buffer = Vec::new();
        let mut sum = 0.0;
        for operation in operations {
            match operation {
                Operation::Read(id) => sum += self.tables.read().checksum_of(*id)?,
                Operation::Update(update) => {
                    self.tables.write().update_age(&self.pool, update, &mut buffer)?;
                }
            }
        }
        Ok(sum)
    }
}
