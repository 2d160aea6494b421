//! Isolation from inside, complete: every transaction says which version it read or made, and the log of them all,
//! replayed in the order of versions on a plain map, must give every answer that they got.
//!
//! It trusts our version numbers, which `tests/list_append.rs` does not; in return it misses nothing.
//! The soak: `FOLIO_TRANSACTIONS=100000000 cargo test --release --test version_oracle -- --nocapture`.

#[path = "common/random.rs"]
mod random;

use folio::{
    Column, Database, Error, Index, Result, Schema, Snapshot, SnapshotTable, Table, Transaction, TransactionTable,
};
use random::Random;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// What the normal run does at least.
const TRANSACTIONS_MIN: u64 = 1_000_000;
const TRANSACTIONS_PER_ROUND: u64 = 100_000;
const THREADS: u64 = 8;
const KEYS: u64 = 48;
const TABLES: [&str; 2] = ["a", "b"];

/// A table and a key.
type Place = (usize, u64);

/// One step of a transaction, with what it answered.
#[derive(Debug)]
enum Step {
    Get(Place, Option<u64>),
    Put(Place, u64),
    Delete(Place),
    /// Rows whose value is at least this: how many, and the sum of their values.
    Range(usize, u64, (u64, u64)),
}

#[derive(Debug)]
struct Recorded {
    /// That it read, or made if it `wrote`.
    version: u64,
    wrote: bool,
    start: u64,
    stop: u64,
    steps: Vec<Step>,
}

fn database() -> Database {
    let db = Database::in_memory();
    for name in TABLES {
        let schema = Schema::builder(name)
            .column(Column::u64("key").primary_key())
            .column(Column::u64("value"))
            .index(Index::ordered(["value"]))
            .build()
            .unwrap();
        db.create_table(schema).unwrap();
    }
    db
}

trait Reads {
    fn value(&self, key: u64) -> Result<Option<u64>>;
    fn range(&self, least: u64) -> Result<(u64, u64)>;
}

macro_rules! reads {
    ($($table:ty),*) => {$(
        impl Reads for $table {
            fn value(&self, key: u64) -> Result<Option<u64>> {
                let value = self.column::<u64>("value")?;
                self.get_with(key, |row| row.get(value))
            }

            fn range(&self, least: u64) -> Result<(u64, u64)> {
                let value = self.column::<u64>("value")?;
                let query = self.select().filter(value.ge(least));
                Ok((query.count()?, query.sum(value)?))
            }
        }
    )*};
}

reads!(SnapshotTable, TransactionTable<'_>);

struct World {
    db: Database,
    clock: AtomicU64,
    values: AtomicU64,
}

impl World {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn read(&self, table: &impl Reads, of: usize, random: &mut Random, steps: &mut Vec<Step>) -> Result<()> {
        match random.below(8) {
            0 => {
                let least = self.values.load(Ordering::Relaxed).saturating_sub(random.below(100));
                steps.push(Step::Range(of, least, table.range(least)?));
            }
            _ => {
                let key = random.below(KEYS);
                steps.push(Step::Get((of, key), table.value(key)?));
            }
        }
        Ok(())
    }

    fn write(&self, tx: &Transaction<'_>, random: &mut Random, steps: &mut Vec<Step>) -> Result<bool> {
        let of = random.below(TABLES.len() as u64) as usize;
        let (table, key) = (tx.table(TABLES[of])?, random.below(KEYS));
        if random.below(4) == 0 {
            let deleted = table.delete(key)?;
            steps.push(Step::Delete((of, key)));
            return Ok(deleted);
        }
        let value = self.values.fetch_add(1, Ordering::Relaxed);
        match random.below(3) {
            0 if table.contains(key)? => table.update(key, &serde_json::json!({ "value": value }))?,
            _ => table.upsert(&(key, value)).map(drop)?,
        }
        steps.push(Step::Put((of, key), value));
        Ok(true)
    }

    /// Reads and writes, and one in eight times changes its mind.
    fn transaction(&self, random: &mut Random) -> Option<Recorded> {
        let (mut steps, start) = (Vec::new(), self.now());
        let answer = self.db.transaction(|tx| {
            let (base, mut wrote) = (tx.base_version()?, false);
            for _ in 0..1 + random.below(5) {
                match random.below(2) {
                    0 => {
                        let of = random.below(TABLES.len() as u64) as usize;
                        self.read(&tx.table(TABLES[of])?, of, random, &mut steps)?;
                    }
                    _ => wrote |= self.write(tx, random, &mut steps)?,
                }
            }
            match random.below(8) {
                0 => Err(Error::abort("changed my mind")),
                _ => Ok((base + u64::from(wrote), wrote)),
            }
        });
        let stop = self.now();
        let (version, wrote) = answer.ok()?;
        Some(Recorded { version, wrote, start, stop, steps })
    }

    fn snapshot(&self, random: &mut Random) -> Recorded {
        let start = self.now();
        let snapshot: Snapshot = self.db.snapshot();
        let stop = self.now();
        let mut steps = Vec::new();
        for _ in 0..1 + random.below(5) {
            let of = random.below(TABLES.len() as u64) as usize;
            self.read(&snapshot.table(TABLES[of]).unwrap(), of, random, &mut steps).unwrap();
        }
        Recorded { version: snapshot.version(), wrote: false, start, stop, steps }
    }
}

/// Replays the log; what it says about a transaction that was answered otherwise.
fn judge(first_version: u64, log: &mut [Recorded]) -> Result<(), String> {
    // A version's writer first, then its readers.
    log.sort_by_key(|recorded| (recorded.version, !recorded.wrote));
    let mut model = [BTreeMap::new(), BTreeMap::new()];
    let mut version = first_version;
    for recorded in log.iter() {
        match recorded.wrote {
            true if recorded.version != version + 1 => {
                return Err(format!("version {} was made, the one before was {version}", recorded.version));
            }
            true => version = recorded.version,
            false if recorded.version != version => return Err(format!("nobody made version {}", recorded.version)),
            false => {}
        }
        for step in &recorded.steps {
            let agrees = match step {
                Step::Get((of, key), found) => model[*of].get(key) == found.as_ref(),
                Step::Range(of, least, found) => {
                    let rows = model[*of].values().filter(|value| *value >= least);
                    rows.fold((0, 0), |(count, sum), value| (count + 1, sum + value)) == *found
                }
                Step::Put((of, key), value) => {
                    model[*of].insert(*key, *value);
                    true
                }
                Step::Delete((of, key)) => {
                    model[*of].remove(key);
                    true
                }
            };
            if !agrees {
                return Err(format!("{step:?} in {recorded:?}, expected of {model:?}"));
            }
        }
    }
    in_real_time(log)
}

/// What began after another had ended has a version no lower, and a higher one if it wrote.
fn in_real_time(log: &[Recorded]) -> Result<(), String> {
    let mut by_start: Vec<_> = log.iter().collect();
    let mut by_stop = by_start.clone();
    by_start.sort_by_key(|recorded| recorded.start);
    by_stop.sort_by_key(|recorded| recorded.stop);
    let (mut ended, mut newest) = (by_stop.into_iter().peekable(), 0);
    for recorded in by_start {
        while let Some(before) = ended.next_if(|before| before.stop < recorded.start) {
            newest = newest.max(before.version);
        }
        if recorded.version < newest + u64::from(recorded.wrote) {
            return Err(format!("{recorded:?} began when version {newest} was there"));
        }
    }
    Ok(())
}

/// One database, all threads on it; the number of the version before, and the log.
fn run(seed: u64, transactions: u64) -> (u64, Vec<Recorded>) {
    let world = World { db: database(), clock: AtomicU64::new(0), values: AtomicU64::new(1) };
    let first = world.db.snapshot().version();
    let work = |seed: u64| {
        let mut random = Random(seed);
        let mut log = Vec::new();
        for _ in 0..transactions / THREADS {
            match random.below(3) {
                0 => log.push(world.snapshot(&mut random)),
                _ => log.extend(world.transaction(&mut random)),
            }
        }
        log
    };
    let work = &work;
    let log = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || work(seed * THREADS + n))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    (first, log)
}

#[test]
fn every_answer_is_that_of_the_replay() {
    let wanted = std::env::var("FOLIO_TRANSACTIONS").ok().map_or(TRANSACTIONS_MIN, |text| text.parse().unwrap());
    let (mut done, mut committed, mut writes, mut seed) = (0, 0, 0, 0);
    while done < wanted {
        seed += 1;
        let (first, mut log) = run(seed, TRANSACTIONS_PER_ROUND);
        judge(first, &mut log).unwrap_or_else(|message| panic!("round {seed}: {message}"));
        done += TRANSACTIONS_PER_ROUND;
        committed += log.len();
        writes += log.iter().filter(|recorded| recorded.wrote).count();
    }
    println!("transactions: {done} on {THREADS} threads, {committed} replayed, {writes} of them writes");
    assert!(done >= TRANSACTIONS_MIN.min(wanted));
}

/// The oracle is worth something: it sees one answer that is another version's, one write that is lost, and a version
/// that comes late.
#[test]
fn a_log_changed_in_one_place_is_noticed() {
    let (first, mut log) = run(99, 4_000);
    judge(first, &mut log).unwrap();
    let random = &mut Random(5);
    let mut pick = |log: &[Recorded], fits: fn(&Recorded) -> bool| loop {
        let place = random.below(log.len() as u64) as usize;
        if fits(&log[place]) {
            return place;
        }
    };
    for _ in 0..50 {
        let place = pick(&log, |recorded| matches!(recorded.steps[0], Step::Get(_, Some(_))));
        let Step::Get(_, found) = &mut log[place].steps[0] else { continue };
        let kept = found.take();
        judge(first, &mut log).unwrap_err();
        let Step::Get(_, found) = &mut log[place].steps[0] else { continue };
        *found = kept;
        judge(first, &mut log).unwrap();
    }
    let place = pick(&log, |recorded| recorded.wrote);
    let lost = log.remove(place);
    judge(first, &mut log).unwrap_err();
    log.push(lost);
    let place = pick(&log, |recorded| !recorded.wrote && recorded.version > 100);
    log[place].start = u64::MAX - 1;
    log[place].stop = u64::MAX;
    judge(first, &mut log).unwrap_err();
}

/// Numbers without gaps, also where transactions that change nothing or fail come between.
#[test]
fn only_changes_make_versions() {
    let db = database();
    let table: Table = db.table("a").unwrap();
    let first = db.snapshot().version();
    table.insert(&(1, 1)).unwrap();
    assert_eq!(db.snapshot().version(), first + 1);
    db.transaction(|tx| tx.table("a")?.len()).unwrap();
    assert!(!table.delete(7u64).unwrap());
    assert!(table.insert(&(1, 2)).is_err());
    let failed = db.transaction(|tx| {
        tx.table("a")?.clear()?;
        Err::<(), _>(Error::abort("no"))
    });
    assert!(failed.is_err());
    assert_eq!(db.snapshot().version(), first + 1);
    db.transaction(|tx| {
        assert_eq!(tx.base_version()?, first + 1);
        tx.table("a")?.insert(&(2, 2))?;
        assert_eq!(tx.base_version()?, first + 1, "until it is committed");
        tx.table("b")?.insert(&(2, 2))
    })
    .unwrap();
    assert_eq!(db.snapshot().version(), first + 2);
}
