//! The command line.

use crate::catalogue::WORKLOADS;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const USAGE: &str = "\
Runs Folio's workloads against other stores, in one process.

  --rows N            rows in a table (default 1000000)
  --only A,B          only workloads whose id is A or B, or begins with them
  --peers A,B         only these peers
  --rounds N          recorded rounds per workload (default 7)
  --quick             few rounds and small batches: shows that all work, measures little
  --held-updates N    updates beside a held snapshot (default: as many as rows)
  --growth A,B        also measure growth over tables of A, B, ... rows
  --growth-peers A,B  the peers to measure growth for (default: folio, or hashmap without it)
  --durable           the suite on disk instead: commits, opening and space of the stores that have files
  --directory PATH    where the suite on disk puts files (default: the system's folder for temporary ones)
  --seed N            seed of rows and keys (default 1)
  --out DIRECTORY     where reports go (default: results, beside the crate's manifest)
  --list              list workloads and peers, and stop
";

/// What a run does, and how thoroughly.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub rows: usize,
    pub only: Vec<String>,
    pub peers: Vec<String>,
    pub rounds: usize,
    pub quick: bool,
    pub held_updates: Option<usize>,
    pub growth: Vec<usize>,
    pub growth_peers: Vec<String>,
    pub durable: bool,
    pub directory: PathBuf,
    pub seed: u64,
    pub out: PathBuf,
    pub list: bool,
}

impl Settings {
    /// Reads the arguments behind the program's name.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut settings = Settings {
            rows: 1_000_000,
            only: Vec::new(),
            peers: Vec::new(),
            rounds: 7,
            quick: false,
            held_updates: None,
            growth: Vec::new(),
            growth_peers: Vec::new(),
            durable: false,
            directory: std::env::temp_dir(),
            seed: 1,
            out: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("results"),
            list: false,
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--rows" => settings.rows = number(&value()?)?,
                "--only" => settings.only = names(&value()?),
                "--peers" => settings.peers = names(&value()?),
                "--rounds" => settings.rounds = number(&value()?)?.max(1),
                "--quick" => {
                    settings.quick = true;
                    settings.rounds = 3;
                }
                "--held-updates" => settings.held_updates = Some(number(&value()?)?),
                "--growth" => {
                    settings.growth = names(&value()?).iter().map(|size| number(size)).collect::<Result<_, _>>()?;
                }
                "--growth-peers" => settings.growth_peers = names(&value()?),
                "--durable" => settings.durable = true,
                "--directory" => settings.directory = PathBuf::from(value()?),
                "--seed" => settings.seed = number(&value()?)? as u64,
                "--out" => settings.out = PathBuf::from(value()?),
                "--list" => settings.list = true,
                other => return Err(format!("unknown argument {other}")),
            }
        }
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), String> {
        if self.rows < 1_000 {
            return Err("--rows must be at least 1000".into());
        }
        for wanted in &self.only {
            if !WORKLOADS.iter().any(|workload| workload.id.starts_with(wanted.as_str())) {
                return Err(format!("no workload begins with {wanted}; --list shows them"));
            }
        }
        Ok(())
    }

    pub(crate) fn wants(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| id.starts_with(wanted.as_str()))
    }

    pub(crate) fn wants_any(&self, ids: &[&str]) -> bool {
        ids.iter().any(|id| self.wants(id))
    }

    pub(crate) fn wants_peer(&self, name: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|peer| peer == name)
    }

    pub(crate) fn warm_ups(&self) -> usize {
        1
    }

    /// Point reads in a batch.
    pub(crate) fn reads(&self) -> usize {
        let reads = self.rows.clamp(20_000, 200_000);
        if self.quick { reads / 4 } else { reads }
    }

    /// Commits in a batch.
    pub(crate) fn writes(&self) -> usize {
        let writes = (self.rows / 10).clamp(1_000, 50_000);
        if self.quick { writes.min(5_000) } else { writes }
    }

    /// Deletes in a batch: together they take at most half of the rows.
    pub(crate) fn deletes(&self) -> usize {
        self.writes().min(self.rows / 2 / (self.rounds + self.warm_ups()))
    }

    /// Commits in a batch that wait for the disk, by each thread.
    pub(crate) fn synced_writes(&self) -> usize {
        if self.quick { 20 } else { 100 }
    }

    /// How long a repeated operation runs in one batch.
    pub(crate) fn batch_duration(&self) -> Duration {
        Duration::from_millis(if self.quick { 5 } else { 40 })
    }

    /// How long one phase of a concurrent workload runs.
    pub(crate) fn phase_duration(&self) -> Duration {
        Duration::from_millis(if self.quick { 100 } else { 500 })
    }

    pub(crate) fn held_updates(&self) -> usize {
        self.held_updates.unwrap_or(self.rows)
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.replace('_', "").parse().map_err(|error| format!("{text}: {error}"))
}

fn names(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Settings, String> {
        Settings::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_are_read() -> Result<(), String> {
        let settings = parse("--rows 10_000 --only get,fork --peers sqlite --quick")?;
        assert_eq!((settings.rows, settings.rounds), (10_000, 3));
        assert!(settings.wants("get_by_id") && settings.wants("fork") && !settings.wants("scan"));
        assert!(settings.wants_peer("sqlite") && !settings.wants_peer("redb"));
        Ok(())
    }

    #[test]
    fn mistakes_are_told() {
        for line in ["--rows", "--rows many", "--only nothing", "--fast", "--rows 10"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn deletes_leave_half() -> Result<(), String> {
        let settings = parse("--rows 10000")?;
        assert!(settings.deletes() * (settings.rounds + settings.warm_ups()) <= 5_000);
        Ok(())
    }
}
