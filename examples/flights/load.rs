//! From CSV files into tables.
//!
//! Records become structs by serde, which the table stores by serde: text is copied once, from the reader's record into
//! the table. The structs' fields are the files' columns and the tables' alike.

use crate::Flights;
use crate::report::Progress;
use csv::StringRecord;
use folio::{Database, Error, Result, Table, Timestamp, TransactionTable};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt::Display;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::str::FromStr;

#[derive(Deserialize, Serialize)]
struct Airline<'r> {
    carrier: &'r str,
    name: &'r str,
}

#[derive(Deserialize, Serialize)]
struct Airport<'r> {
    faa: &'r str,
    name: &'r str,
    lat: f64,
    lon: f64,
    alt: i32,
    tz: i8,
    dst: &'r str,
    #[serde(borrow, deserialize_with = "text_or_na")]
    tzone: Option<&'r str>,
}

#[derive(Deserialize, Serialize)]
struct Plane<'r> {
    tailnum: &'r str,
    #[serde(deserialize_with = "or_na")]
    year: Option<u16>,
    r#type: &'r str,
    manufacturer: &'r str,
    model: &'r str,
    engines: u8,
    seats: u16,
    #[serde(deserialize_with = "or_na")]
    speed: Option<u16>,
    engine: &'r str,
}

/// Without `id`: the table gives each flight its number.
#[derive(Deserialize, Serialize)]
struct Flight<'r> {
    year: u16,
    month: u8,
    day: u8,
    #[serde(deserialize_with = "or_na")]
    dep_time: Option<u16>,
    sched_dep_time: u16,
    #[serde(deserialize_with = "or_na")]
    dep_delay: Option<i16>,
    #[serde(deserialize_with = "or_na")]
    arr_time: Option<u16>,
    sched_arr_time: u16,
    #[serde(deserialize_with = "or_na")]
    arr_delay: Option<i16>,
    carrier: &'r str,
    flight: u16,
    #[serde(borrow, deserialize_with = "text_or_na")]
    tailnum: Option<&'r str>,
    origin: &'r str,
    dest: &'r str,
    #[serde(deserialize_with = "or_na")]
    air_time: Option<u16>,
    distance: u16,
    hour: u8,
    minute: u8,
    time_hour: Timestamp,
}

/// `NA` is what the files write for a value that is missing; here it is `None`, and null in the table.
fn text_or_na<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de str>, D::Error> {
    let text = <&str>::deserialize(deserializer)?;
    Ok((text != "NA").then_some(text))
}

/// The same for what is parsed from text.
fn or_na<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<Option<T>, D::Error> {
    text_or_na(deserializer)?
        .map(|text| text.parse().map_err(|error| D::Error::custom(format!("`{text}`: {error}"))))
        .transpose()
}

/// How many records are parsed at a time: enough for batches to be worth it, few enough to stay in the cache.
const BATCH: usize = 1_024;

pub(crate) fn airlines(base: &Flights, folder: &Path) -> Result<u64> {
    load(&base.db, &base.airlines, &folder.join("airlines.csv"), |batch, table| batch.store::<Airline<'_>>(table))
}

pub(crate) fn airports(base: &Flights, folder: &Path) -> Result<u64> {
    load(&base.db, &base.airports, &folder.join("airports.csv"), |batch, table| batch.store::<Airport<'_>>(table))
}

pub(crate) fn planes(base: &Flights, folder: &Path) -> Result<u64> {
    load(&base.db, &base.planes, &folder.join("planes.csv"), |batch, table| batch.store::<Plane<'_>>(table))
}

pub(crate) fn flights(base: &Flights, file: &Path) -> Result<u64> {
    load(&base.db, &base.flights, file, |batch, table| batch.store::<Flight<'_>>(table))
}

/// Some records of a file, on their way into a table.
struct Batch<'b> {
    headers: &'b StringRecord,
    records: &'b [StringRecord],
}

impl<'b> Batch<'b> {
    /// Stores the records as rows of type `R`, whose text lies in the records.
    fn store<R: Deserialize<'b> + Serialize>(&self, table: &TransactionTable<'_>) -> Result<u64> {
        let rows: csv::Result<Vec<R>> =
            self.records.iter().map(|record| record.deserialize(Some(self.headers))).collect();
        table.insert_many(rows.map_err(Error::abort)?)
    }
}

/// Loads a file in one transaction, so that one with a mistake in it leaves nothing behind. Answers the number of rows.
fn load(
    db: &Database,
    table: &Table,
    path: &Path,
    store: impl Fn(&Batch<'_>, &TransactionTable<'_>) -> Result<u64>,
) -> Result<u64> {
    let in_file = |problem: &dyn Display| Error::abort(format!("{}: {problem}", path.display()));
    let file = File::open(path).map_err(|error| in_file(&error))?;
    let mut progress = Progress::of(file.metadata().map_or(0, |file| file.len()));
    let mut reader = csv::Reader::from_reader(BufReader::with_capacity(1 << 16, file));
    let headers = reader.headers().map_err(|error| in_file(&error))?.clone();

    db.transaction(|tx| {
        let table = tx.table(table.name())?;
        let mut records = vec![StringRecord::new(); BATCH];
        let mut stored = 0;
        loop {
            let mut filled = 0;
            while filled < BATCH && reader.read_record(&mut records[filled]).map_err(|error| in_file(&error))? {
                filled += 1;
            }
            let batch = Batch { headers: &headers, records: &records[..filled] };
            stored += store(&batch, &table).map_err(|error| match error {
                Error::InBatch { row, source } => in_file(&format!("record {}: {source}", stored + row + 1)),
                Error::Aborted { source } => in_file(&source),
                error => error,
            })?;
            progress.reached(reader.position().byte());
            if filled < BATCH {
                return Ok(stored);
            }
        }
    })
}
