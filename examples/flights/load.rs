//! From CSV files into tables.
//!
//! Records become structs by serde, which the table stores by serde: text is copied once, from the reader's record into
//! the table. The structs' fields are the files' columns and the tables' alike.

use crate::report::Progress;
use csv::StringRecord;
use folio::{Database, Error, Result, Table, Timestamp, TransactionTable};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Deserialize as DeriveDeserialize, Serialize};
use std::fmt::Display;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::str::FromStr;

#[derive(DeriveDeserialize, Serialize)]
struct Airline<'r> {
    carrier: &'r str,
    name: &'r str,
}

#[derive(DeriveDeserialize, Serialize)]
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

#[derive(DeriveDeserialize, Serialize)]
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
#[derive(DeriveDeserialize, Serialize)]
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
    text_or_na(deserializer)?.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// How many records are parsed at a time: enough to make a batch worth its while, few enough to stay in the cache.
const BATCH: usize = 1_024;

/// Loads a whole file into its table in one transaction, so that a file with a mistake leaves nothing behind. Answers
/// the number of rows.
pub(crate) fn load(db: &Database, table: &Table, path: &Path) -> Result<u64> {
    let in_file = |error: Error| Error::abort(format!("{}: {error}", path.display()));
    let rows = db.transaction(|tx| {
        let rows = tx.table(table.name())?;
        match table.name() {
            "airlines" => load_batches(path, |batch| batch.store::<Airline<'_>>(&rows)),
            "airports" => load_batches(path, |batch| batch.store::<Airport<'_>>(&rows)),
            "planes" => load_batches(path, |batch| batch.store::<Plane<'_>>(&rows)),
            _ => load_batches(path, |batch| batch.store::<Flight<'_>>(&rows)),
        }
    });
    rows.map_err(in_file)
}
