//! SQLite through rusqlite: one connection behind a mutex, statements from the connection's cache.

use crate::peer::{Answer, Durability, Kind, Peer, Store};
use crate::workload::{
    AgeUpdate, FILTER_AGES, FILTER_SCORE, GROUP, MANY, Operation, RANGE_ROWS, Row, ScoreUpdate, Shape, TOP_ROWS,
    passes_filter,
};
use parking_lot::Mutex;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, OptionalExtension, ffi, params};
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

const GET: &str = "SELECT age, score FROM people WHERE id = ?1";
const GET_BY_EMAIL: &str = "SELECT age, score, name FROM people WHERE email = ?1";
const BY_COUNTRY: &str = "SELECT age, score FROM people WHERE country = ?1";
const BY_SCORE: &str = "SELECT age, score FROM people WHERE score >= ?1 ORDER BY score LIMIT ?2";
const SCAN: &str = "SELECT age, score FROM people";
const FILTER: &str = "SELECT score FROM people WHERE age >= ?1 AND age < ?2 AND score >= ?3";
const AVERAGE: &str = "SELECT country, avg(score) FROM people GROUP BY country ORDER BY country";
const TOP: &str = "SELECT score FROM people ORDER BY score DESC LIMIT ?1";
const INSERT: &str = "INSERT INTO people (name, email, age, score, active, country) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const INSERT_KEYED: &str =
    "INSERT INTO people (id, name, email, age, score, active, country) VALUES (?7, ?1, ?2, ?3, ?4, ?5, ?6)";
const UPDATE_AGE: &str = "UPDATE people SET age = ?2 WHERE id = ?1";
const UPDATE_SCORE: &str = "UPDATE people SET score = ?2 WHERE id = ?1";
const DELETE: &str = "DELETE FROM people WHERE id = ?1";

pub(super) struct SqlitePeer;

impl Peer for SqlitePeer {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn setup(&self) -> &'static str {
        "rusqlite with bundled SQLite, one `:memory:` connection without SQLite's own mutex behind a parking_lot \
         `Mutex`, `prepare_cached` per operation, rows typed as SQLite types; no second reader and no snapshot, a fork \
         is the backup API"
    }

    fn kind(&self) -> Kind {
        Kind::Database
    }

    fn create(&self, shape: Shape, _rows_max: usize) -> Answer<Box<dyn Store>> {
        SqliteStore::on(open()?, shape)
    }

    fn setup_on_disk(&self) -> &'static str {
        "one connection as in memory, `journal_mode=WAL`; synced: `synchronous=FULL`, else `synchronous=NORMAL`, which \
         syncs at checkpoints only; a key without index costs a B-tree page or two per commit in the log"
    }

    fn open(&self, shape: Shape, directory: &Path, durability: Durability) -> Answer<Box<dyn Store>> {
        let connection = Connection::open_with_flags(directory.join("people.sqlite"), flags())?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = match durability {
            Durability::Synced => "FULL",
            Durability::Unsynced => "NORMAL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        SqliteStore::on(connection, shape)
    }
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn open() -> rusqlite::Result<Connection> {
    Connection::open_in_memory_with_flags(flags())
}

struct SqliteStore {
    shape: Shape,
    connection: Mutex<Connection>,
}

fn checksum(row: &rusqlite::Row<'_>) -> rusqlite::Result<f64> {
    Ok(f64::from(row.get::<_, u32>(0)?) + row.get::<_, f64>(1)?)
}

fn get(connection: &Connection, id: u64) -> rusqlite::Result<f64> {
    let mut statement = connection.prepare_cached(GET)?;
    Ok(statement.query_row([id as i64], checksum).optional()?.unwrap_or_default())
}

fn update_age(connection: &Connection, update: &AgeUpdate) -> rusqlite::Result<()> {
    connection.prepare_cached(UPDATE_AGE)?.execute(params![update.id as i64, update.age])?;
    Ok(())
}

/// Sums `value` over the rows of a statement.
fn sum_rows(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    mut value: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<f64>,
) -> rusqlite::Result<f64> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut sum = 0.0;
    while let Some(row) = rows.next()? {
        sum += value(row)?;
    }
    Ok(sum)
}

impl SqliteStore {
    /// The table in `connection`, made if it is not there.
    fn on(connection: Connection, shape: Shape) -> Answer<Box<dyn Store>> {
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, \
             age INTEGER NOT NULL, score REAL NOT NULL, active INTEGER NOT NULL, country INTEGER NOT NULL)",
        )?;
        if shape.has_email() {
            connection.execute_batch("CREATE UNIQUE INDEX IF NOT EXISTS people_email ON people (email)")?;
        }
        if shape.has_country_and_score() {
            connection.execute_batch(
                "CREATE INDEX IF NOT EXISTS people_country ON people (country); \
                 CREATE INDEX IF NOT EXISTS people_score ON people (score)",
            )?;
        }
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Box::new(SqliteStore { shape, connection: Mutex::new(connection) }))
    }

    fn insert(&self, connection: &Connection, row: &Row) -> rusqlite::Result<()> {
        if self.shape == Shape::HashKey {
            connection.prepare_cached(INSERT_KEYED)?.execute(params![
                row.name,
                row.email,
                row.age,
                row.score,
                row.active,
                row.country,
                row.id as i64
            ])?;
        } else {
            connection.prepare_cached(INSERT)?.execute(params![
                row.name,
                row.email,
                row.age,
                row.score,
                row.active,
                row.country
            ])?;
        }
        Ok(())
    }
}

impl Store for SqliteStore {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for id in ids {
            sum += get(&self.connection.lock(), *id)?;
        }
        Ok(sum)
    }

    fn get_by_email(&self, emails: &[&str]) -> Answer {
        let mut sum = 0.0;
        for email in emails {
            let connection = self.connection.lock();
            sum += sum_rows(&connection, GET_BY_EMAIL, [email], |row| {
                black_box(row.get_ref(2)?.as_str()?);
                checksum(row)
            })?;
        }
        Ok(sum)
    }

    fn get_many(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for group in ids.chunks(MANY) {
            let connection = self.connection.lock();
            let mut statement = connection.prepare_cached(GET)?;
            for id in group {
                sum += statement.query_row([*id as i64], checksum).optional()?.unwrap_or_default();
            }
        }
        Ok(sum)
    }

    fn fetch_country(&self, countries: &[u16]) -> Answer {
        let mut sum = 0.0;
        for country in countries {
            sum += sum_rows(&self.connection.lock(), BY_COUNTRY, [country], checksum)?;
        }
        Ok(sum)
    }

    fn fetch_score_range(&self, starts: &[f64]) -> Answer {
        let mut sum = 0.0;
        for start in starts {
            sum += sum_rows(&self.connection.lock(), BY_SCORE, params![start, RANGE_ROWS as i64], checksum)?;
        }
        Ok(sum)
    }

    fn scan(&self) -> Answer {
        Ok(sum_rows(&self.connection.lock(), SCAN, [], checksum)?)
    }

    fn filter_by_predicate(&self) -> Answer {
        let params = params![FILTER_AGES.start, FILTER_AGES.end, FILTER_SCORE];
        Ok(sum_rows(&self.connection.lock(), FILTER, params, |row| row.get(0))?)
    }

    fn filter_by_closure(&self) -> Answer {
        let sum = sum_rows(&self.connection.lock(), SCAN, [], |row| {
            let score = row.get(1)?;
            Ok(if passes_filter(row.get(0)?, score) { score } else { 0.0 })
        })?;
        Ok(sum)
    }

    fn average_by_country(&self) -> Answer {
        let sum = sum_rows(&self.connection.lock(), AVERAGE, [], |row| {
            Ok(row.get::<_, f64>(1)? * f64::from(row.get::<_, u16>(0)?))
        })?;
        Ok(sum)
    }

    fn top_by_score(&self) -> Answer {
        let mut position = 0.0;
        let sum = sum_rows(&self.connection.lock(), TOP, [TOP_ROWS as i64], |row| {
            position += 1.0;
            Ok(row.get::<_, f64>(0)? * position)
        })?;
        Ok(sum)
    }

    fn insert_each(&self, rows: &[Row]) -> Answer<()> {
        for row in rows {
            self.insert(&self.connection.lock(), row)?;
        }
        Ok(())
    }

    fn insert_bulk(&self, rows: &[Row]) -> Answer<()> {
        let mut connection = self.connection.lock();
        let transaction = connection.transaction()?;
        for row in rows {
            self.insert(&transaction, row)?;
        }
        Ok(transaction.commit()?)
    }

    fn update_each(&self, updates: &[AgeUpdate]) -> Answer<()> {
        for update in updates {
            update_age(&self.connection.lock(), update)?;
        }
        Ok(())
    }

    fn update_grouped(&self, updates: &[AgeUpdate]) -> Answer<()> {
        for group in updates.chunks(GROUP) {
            let mut connection = self.connection.lock();
            let transaction = connection.transaction()?;
            for update in group {
                update_age(&transaction, update)?;
            }
            transaction.commit()?;
        }
        Ok(())
    }

    fn update_score_each(&self, updates: &[ScoreUpdate]) -> Answer<()> {
        for update in updates {
            let connection = self.connection.lock();
            connection.prepare_cached(UPDATE_SCORE)?.execute(params![update.id as i64, update.score])?;
        }
        Ok(())
    }

    fn delete_each(&self, ids: &[u64]) -> Answer<()> {
        for id in ids {
            self.connection.lock().prepare_cached(DELETE)?.execute([*id as i64])?;
        }
        Ok(())
    }

    fn run_mixed(&self, operations: &[Operation]) -> Answer {
        let mut sum = 0.0;
        for operation in operations {
            let connection = self.connection.lock();
            match operation {
                Operation::Read(id) => sum += get(&connection, *id)?,
                Operation::Update(update) => update_age(&connection, update)?,
            }
        }
        Ok(sum)
    }

    fn fork_and_drop(&self, count: usize) -> Answer<()> {
        for _ in 0..count {
            let source = self.connection.lock();
            let mut copy = open()?;
            Backup::new(&source, &mut copy)?.run_to_completion(i32::MAX, Duration::ZERO, None)?;
        }
        Ok(())
    }

    fn foreign_bytes(&self) -> u64 {
        // SAFETY: The function takes nothing and reads a counter that SQLite keeps under its own lock.
        let bytes = unsafe { ffi::sqlite3_memory_used() };
        u64::try_from(bytes).unwrap_or_default()
    }
}
