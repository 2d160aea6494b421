//! The flights that left New York City in 2013: real data, loaded, indexed and asked.
//!
//! ```sh
//! cargo run --release --example flights                           # January, carried in the repository
//! cargo run --release --example flights -- path/to/flights.csv    # the whole year
//! ```
//!
//! `examples/data/README.md` says where the data comes from, and how to get the whole year. Every step says how long it
//! took. Every answer for which the right one is known, worked out by another program from the same CSV, is checked: a
//! wrong one ends the program with an error.

mod load;
mod questions;
mod report;

use folio::{Column, Database, Error, Index, Result, Schema, Table};
use questions::Known;
use report::{Report, thousands};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The database, and its four tables. Handles are cheap clones and good for the life of the database.
pub(crate) struct Flights {
    pub(crate) db: Database,
    pub(crate) airlines: Table,
    pub(crate) airports: Table,
    pub(crate) planes: Table,
    pub(crate) flights: Table,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // The file's own trouble, for which the transaction was rolled back; or Folio's.
        Err(Error::Aborted { source }) => {
            eprintln!("flights: {source}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("flights: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let flights_csv = std::env::args_os().nth(1).map_or_else(|| data.join("flights-2013-01.csv"), PathBuf::from);

    let mut report = Report::begin();
    let base = Flights::create()?;
    load_all(&base, &data, &flights_csv, &mut report)?;
    build_indexes(&base, &mut report)?;

    let months = base.flights.select().distinct().pick(base.flights.column::<u8>("month")?)?;
    let known = Known::of_months(&months);
    questions::ask(&base, known, &mut report)?;
    what_if(&base, known, &mut report)?;
    report.end(match known {
        Some(_) => "all known answers agree",
        None => "no known answers for these months",
    });
    Ok(())
}

impl Flights {
    fn create() -> Result<Flights> {
        let db = Database::in_memory();
        let airlines = db.create_table(
            Schema::builder("airlines")
                .column(Column::string("carrier").primary_key())
                .column(Column::string("name"))
                .build()?,
        )?;
        let airports = db.create_table(
            Schema::builder("airports")
                .column(Column::string("faa").primary_key())
                .column(Column::string("name"))
                .column(Column::f64("lat").check("a latitude", |lat| (-90.0..=90.0).contains(lat)))
                .column(Column::f64("lon").check("a longitude", |lon| (-180.0..=180.0).contains(lon)))
                .column(Column::i32("alt"))
                .column(Column::i8("tz"))
                .column(Column::string("dst"))
                .column(Column::string("tzone").nullable())
                .build()?,
        )?;
        let planes = db.create_table(
            Schema::builder("planes")
                .column(Column::string("tailnum").primary_key())
                .column(Column::u16("year").nullable())
                .column(Column::string("type"))
                .column(Column::string("manufacturer"))
                .column(Column::string("model"))
                .column(Column::u8("engines"))
                .column(Column::u16("seats"))
                .column(Column::u16("speed").nullable())
                .column(Column::string("engine"))
                .build()?,
        )?;
        // The file's columns, behind a number for each flight. Times of day are hours and minutes local to the
        // airport, as in 1745; delays are minutes, negative if early; `time_hour` is the scheduled hour in UTC.
        let flights = db.create_table(
            Schema::builder("flights")
                .column(Column::u64("id").primary_key().auto_increment())
                .column(Column::u16("year"))
                .column(Column::u8("month").check("1 to 12", |month| (1..=12).contains(month)))
                .column(Column::u8("day").check("1 to 31", |day| (1..=31).contains(day)))
                .column(Column::u16("dep_time").nullable())
                .column(Column::u16("sched_dep_time"))
                .column(Column::i16("dep_delay").nullable())
                .column(Column::u16("arr_time").nullable())
                .column(Column::u16("sched_arr_time"))
                .column(Column::i16("arr_delay").nullable())
                .column(Column::string("carrier"))
                .column(Column::u16("flight"))
                .column(Column::string("tailnum").nullable())
                .column(Column::string("origin"))
                .column(Column::string("dest"))
                .column(Column::u16("air_time").nullable())
                .column(Column::u16("distance"))
                .column(Column::u8("hour"))
                .column(Column::u8("minute"))
                .column(Column::timestamp("time_hour"))
                .build()?,
        )?;
        Ok(Flights { db, airlines, airports, planes, flights })
    }
}

fn load_all(base: &Flights, data: &Path, flights_csv: &Path, report: &mut Report) -> Result<()> {
    report.title("Loading");
    let rows = report.step("airlines", || load::airlines(base, data))?;
    report.result(format!("{} rows", thousands(rows)));
    let rows = report.step("airports", || load::airports(base, data))?;
    report.result(format!("{} rows", thousands(rows)));
    let rows = report.step("planes", || load::planes(base, data))?;
    report.result(format!("{} rows", thousands(rows)));
    let rows = report.step("flights", || load::flights(base, flights_csv))?;
    report.result(format!("{} rows", thousands(rows)));

    let memory = base.db.stats().memory;
    report.line(format!("{:.1} MB in use", memory.used_bytes as f64 / 1e6));
    Ok(())
}

/// Indexes can come later: each is built in one pass, and handles and queries that are there use it from then on.
fn build_indexes(base: &Flights, report: &mut Report) -> Result<()> {
    report.title("Indexes");
    let indexes = [
        ("one flight of a number and carrier an hour", Index::hash(["carrier", "flight", "time_hour"]).unique()),
        ("flights by plane", Index::hash(["tailnum"])),
        ("flights by route", Index::hash(["origin", "dest"])),
        ("flights by scheduled hour", Index::ordered(["time_hour"])),
        ("flights by time in the air", Index::ordered(["air_time"])),
    ];
    for (what, index) in indexes {
        // The first is unique: that it can be built proves that the file has no flight twice.
        report.step(what, || base.db.create_index("flights", index))?;
        report.result("built".into());
    }
    Ok(())
}

/// What if the flights that never departed had not been planned? A fork is a database of its own, made in O(1); what it
/// changed, its diff tells.
fn what_if(base: &Flights, known: Option<&Known>, report: &mut Report) -> Result<()> {
    report.title("What if the flights that never departed had never been planned?");
    let dep_time = base.flights.column::<Option<u16>>("dep_time")?;
    let before = base.db.snapshot();

    let fork = report.step("fork the database", || base.db.fork());
    report.result("a writable copy".into());
    let deleted = report.step("delete in the fork", || fork.table("flights")?.delete_where(dep_time.is_null()))?;
    report.result(format!("{} rows", thousands(deleted)));
    let after = fork.snapshot();
    let changed = report.step("diff with the original", || before.diff(&after).map(|diff| diff.len()))?;
    report.result(format!("{} rows differ", thousands(changed as u64)));

    assert_eq!(changed as u64, deleted);
    assert_eq!(fork.table("flights")?.len()? + deleted, base.flights.len()?, "the original has all its rows");
    if let Some(known) = known {
        assert_eq!(deleted, known.never_departed);
    }
    Ok(())
}
