//! Opening: tables from a checkpoint, commits from a log, and the memory that it takes.
//!
//! Each is a process of its own, so that the peak of its memory is its own, and so that one can end without closing.

use crate::common::{Indexes, People, Person};
use crate::{Directory, Outcome, Scale, disk, line, median};
use folio::{Database, Durability};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// The first argument of a process that was started from here.
pub(crate) const CHILD: &str = "--child";

const WRITE_TABLE: &str = "write-table";
const WRITE_LOG: &str = "write-log";
const OPEN: &str = "open";

pub(crate) fn run(directory: &Directory, scale: Scale) -> Outcome {
    let (table, log) = (directory.path("table"), directory.path("log"));
    start(WRITE_TABLE, &table, scale.rows)?;
    start(WRITE_LOG, &log, scale.replayed)?;
    let [mut plain, mut loading, mut replaying, mut peaks] = [const { Vec::new() }; 4];
    let mut bytes = 0;
    for _ in 0..scale.rounds.min(5) {
        let (read, took) = disk::read_all(&table)?;
        (bytes, _) = (read, plain.push(read as f64 / took));
        let opened = start(OPEN, &table, scale.rows)?;
        loading.push(read as f64 / opened.seconds);
        peaks.push(opened.peak_bytes / opened.resident_bytes);
        let opened = start(OPEN, &log, scale.replayed)?;
        replaying.push(scale.replayed as f64 / opened.seconds);
    }
    let seconds = bytes as f64 / median(loading.clone());
    println!("\nOpening");
    let rate = |bytes_per_second: f64| format!("{:.0} MB/s", bytes_per_second / 1e6);
    line(&format!("plain read of the {:.0} MB that it reads", bytes as f64 / 1e6), &rate(median(plain)));
    line(&format!("{} rows with two indexes, from a checkpoint", scale.rows), &rate(median(loading)));
    line("  which is", &format!("{seconds:.2} s"));
    line("  peak of memory over what stays, to be 1.2x", &format!("{:.2}x", median(peaks)));
    line("replay of commits of one row", &format!("{:.2} M/s", median(replaying) / 1e6));
    Ok(())
}

/// What a process that opened a database tells.
struct Opened {
    seconds: f64,
    peak_bytes: f64,
    resident_bytes: f64,
}

fn start(what: &str, directory: &Path, count: u64) -> Outcome<Opened> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).args([CHILD, what]).arg(directory).arg(count.to_string()).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let figures: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let figure = |at: usize| figures.get(at).copied().unwrap_or(f64::NAN);
    Ok(Opened { seconds: figure(0), peak_bytes: figure(1), resident_bytes: figure(2) })
}

/// What such a process does.
pub(crate) fn child(what: &str, directory: &Path, count: u64) -> Outcome {
    match what {
        WRITE_TABLE => {
            let db = Database::builder().durability(Durability::Buffered).open(directory)?;
            Ok(People::within(db, Indexes::EmailAndScore, count)?.db.close()?)
        }
        WRITE_LOG => {
            let builder = Database::builder().durability(Durability::Buffered).checkpoint_bytes(None);
            let people = People::within(builder.open(directory)?, Indexes::EmailAndScore, 0)?;
            (1..=count).try_for_each(|ordinal| people.table.insert(&Person::new(ordinal)).map(drop))?;
            people.db.sync()?;
            // Not closed, or there would be nothing to replay.
            std::process::exit(0)
        }
        OPEN => {
            let begin = Instant::now();
            let db = Database::open(directory)?;
            let seconds = begin.elapsed().as_secs_f64();
            let rows = db.table("people")?.len()?;
            if rows != count {
                return Err(format!("{rows} rows instead of {count}").into());
            }
            println!("{seconds} {} {}", memory("VmHWM:")?, memory("VmRSS:")?);
            // Not closed, so that the next process finds the same.
            std::process::exit(0)
        }
        _ => Err(format!("nothing is called {what}").into()),
    }
}

/// A figure of this process's memory in bytes; not a number where the system does not tell.
fn memory(field: &str) -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = value.and_then(|value| value.split_whitespace().next());
    Ok(kibibytes.map_or(Ok(f64::NAN), str::parse)? * 1024.0)
}
