//! The database beside the disk it is on, in one run: `cargo bench --bench durability -- [--quick] [directory]`.
//! `--commits`, `--opening` and `--checkpoints` run only these.
//!
//! The disk's own figures are taken between Folio's, round by round, so that a slow minute hits both; medians are shown.

#[path = "../common/mod.rs"]
mod common;

mod checkpoints;
mod commits;
mod disk;
mod opening;

use std::error::Error;
use std::path::{Path, PathBuf};

type Outcome<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// How much is done.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    /// How often each figure is taken.
    rounds: usize,
    /// Commits that wait for the disk, in a round.
    syncs: usize,
    /// Commits that do not, in a round.
    commits: usize,
    /// Rows of a large table.
    rows: u64,
    /// Commits in a log that is replayed.
    replayed: u64,
}

const FULL: Scale = Scale { rounds: 7, syncs: 200, commits: 100_000, rows: 1_000_000, replayed: 500_000 };
const QUICK: Scale = Scale { rounds: 3, syncs: 50, commits: 5_000, rows: 50_000, replayed: 20_000 };

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, what, directory, count] = &arguments[..]
        && flag == opening::CHILD
    {
        return opening::child(what, Path::new(directory), count.parse()?);
    }
    let is_chosen = |part: &str| arguments.iter().any(|argument| argument == part);
    let scale = if is_chosen("--quick") { QUICK } else { FULL };
    const PARTS: [&str; 3] = ["--commits", "--opening", "--checkpoints"];
    let wants = |part: &str| is_chosen(part) || !PARTS.into_iter().any(is_chosen);
    let base = arguments.iter().find(|argument| !argument.starts_with('-'));
    let directory = Directory::create(base.map_or_else(std::env::temp_dir, PathBuf::from))?;
    println!("{}, {}\n", directory.0.display(), disk::file_system(&directory.0));
    if wants("--commits") {
        commits::synced(&directory, scale)?;
        commits::unsynced(&directory, scale)?;
        commits::beside_text(&directory, scale)?;
    }
    if wants("--opening") {
        opening::run(&directory, scale)?;
    }
    if wants("--checkpoints") {
        checkpoints::run(&directory, scale)?;
    }
    Ok(())
}

/// A folder of this run's own, gone at its end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    fn create(base: PathBuf) -> Outcome<Self> {
        let path = base.join(format!("folio-bench-durability-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What stays takes space and harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One line of the table.
fn line(what: &str, figure: &str) {
    println!("  {what:<66} {figure:>14}");
}

fn micros(seconds: f64) -> String {
    format!("{:.2} µs", seconds * 1e6)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
