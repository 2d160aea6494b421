//! A process that is killed at random moments, under load, loses nothing that it had acknowledged.
//!
//! The victim is this program again. Several of its threads commit, each transaction being a function of the version that
//! it makes, and tell every version that has returned through a pipe. The parent kills it, opens the directory itself, and
//! compares with a model of its own at the version found. Options are drawn anew at every opening.
//!
//! Three directories of four are on a memory file system where there is one: the end of a process is the same there, and
//! a sync costs nothing. Half of the time it is a copy that is opened, so that the next victim finds what the last one left.
//!
//! A program of its own (`harness = false`), since it starts itself. `FOLIO_KILL_ROUNDS` makes a soak of it.

#[path = "common/directory.rs"]
mod directory;
#[path = "kill/model.rs"]
mod model;
#[path = "common/random.rs"]
mod random;
#[path = "kill/victim.rs"]
mod victim;

use directory::{Directory, copy_folder};
use folio::storage::{Format, OpenReport};
use folio::{Database, DatabaseBuilder, Durability};
use model::State;
use random::Random;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Set for the victim: directory, then seed of the data, then seed of the run.
const VICTIM: &str = "FOLIO_KILL_VICTIM";
/// Kills in a normal run, at least.
const ROUNDS_MIN: u64 = 500;
/// Kills of one directory, before the next one begins.
const LIFE: u64 = 25;

/// Random settings of an opening.
fn builder(random: &mut Random) -> DatabaseBuilder {
    let durability = match random.below(4) {
        0 => Durability::Buffered,
        1 => Durability::Interval(Duration::from_millis(1 + random.below(5))),
        _ => Durability::Sync,
    };
    let checkpoint_bytes = [None, Some(1), Some(2_000), Some(30_000)][random.below(4) as usize];
    Database::builder()
        .durability(durability)
        .checkpoint_bytes(checkpoint_bytes)
        .segment_bytes([1, 4_000, 1 << 20][random.below(3) as usize])
        .keep_archived(random.below(8) == 0)
}

/// What the rounds came to.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    openings: u64,
    clean: u64,
    acknowledged: u64,
    versions: u64,
    unacknowledged: u64,
}

/// One directory and what must be in it.
struct Life {
    path: PathBuf,
    seed: u64,
    format: Format,
    state: State,
    /// The last version that a victim told of.
    acknowledged: u64,
}

impl Drop for Life {
    fn drop(&mut self) {
        // Of a failure the directory stays, to be looked at.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

impl Life {
    fn new(number: u64) -> Self {
        let memory = Path::new("/dev/shm");
        let base = if number.is_multiple_of(4) || !memory.is_dir() { std::env::temp_dir() } else { memory.to_owned() };
        let path = base.join(format!("folio-kill-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let format = [Format::Binary, Format::JsonLines][(number % 2) as usize];
        Self { path, seed: number, format, state: State::default(), acknowledged: 0 }
    }

    fn start(&self, seed: u64) -> Child {
        let me = std::env::current_exe().unwrap();
        let words = format!("{} {} {seed} {}", self.format.name(), self.seed, self.path.display());
        Command::new(me).env(VICTIM, words).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Lets a victim run until it has told of `acknowledgements` and a moment longer, and kills it.
    fn kill_one(&mut self, seed: u64, acknowledgements: u64, moment: Duration) -> u64 {
        let mut child = self.start(seed);
        let mut pipe = child.stdout.take().unwrap();
        let mut told = 0;
        while told < acknowledgements {
            assert!(self.hear(&mut pipe), "the victim of life {} and seed {seed} ended by itself", self.seed);
            told += 1;
        }
        std::thread::sleep(moment);
        child.kill().unwrap();
        while self.hear(&mut pipe) {
            told += 1;
        }
        let status = child.wait().unwrap();
        assert_eq!(status.code().filter(|_| cfg!(unix)), None, "life {}, seed {seed}: {status}", self.seed);
        told
    }

    /// Reads one acknowledgement; none at the end of the pipe.
    fn hear(&mut self, pipe: &mut impl Read) -> bool {
        let mut version = [0; 8];
        match pipe.read_exact(&mut version) {
            Ok(()) => self.acknowledged = self.acknowledged.max(u64::from_le_bytes(version)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return false,
            Err(error) => panic!("{error}"),
        }
        true
    }

    /// Judges what the victims have left.
    fn judge(&mut self, random: &mut Random, tally: &mut Tally) {
        if random.below(2) == 0 {
            return self.judge_at(&self.path.clone(), random, tally);
        }
        let copy = Directory(self.path.with_extension("copy"));
        // A victim may have been killed before it made anything.
        if self.path.exists() {
            copy_folder(&self.path, &copy.0);
        }
        self.judge_at(&copy.0, random, tally);
    }

    /// Opens, and compares.
    fn judge_at(&mut self, path: &Path, random: &mut Random, tally: &mut Tally) {
        let place = format!("life {} at {}", self.seed, path.display());
        let db = builder(random).format(self.format).open(path).unwrap_or_else(|error| panic!("{place}: {error}"));
        let opening = db.opening().unwrap();
        assert!(opening.version >= self.acknowledged, "{place}: {opening:?} after {}", self.acknowledged);
        assert!(opening.version >= self.state.version, "{place}: {opening:?} after {}", self.state.version);
        tally.openings += 1;
        tally.clean += u64::from(opening.log == OpenReport::Clean);
        tally.versions += opening.version - self.state.version;
        tally.unacknowledged += opening.version - self.acknowledged;
        self.state.go_to(opening.version, self.seed);
        self.state.compare(&db.snapshot(), &place);
        assert_eq!(db.verify().unwrap(), [], "{place}");
        self.acknowledged = opening.version;
        match random.below(3) {
            0 => db.close().unwrap(),
            1 => drop(db.checkpoint().unwrap()),
            _ => {}
        }
    }
}

fn run(rounds: u64) -> Tally {
    let mut tally = Tally::default();
    let mut random = Random(7);
    let mut life = Life::new(0);
    for round in 0..rounds {
        if round % LIFE == LIFE - 1 {
            life = Life::new(1 + round / LIFE);
        }
        // Half of them while they still open, or soon after.
        let acknowledgements = random.below(2) * random.below(60);
        let moment = Duration::from_micros(random.below(8_000));
        tally.acknowledged += life.kill_one(round, acknowledgements, moment);
        tally.kills += 1;
        // Now and then the next victim of the directory finds what the last one left, unseen.
        let is_last = round + 1 == rounds || round % LIFE == LIFE - 2;
        if random.below(4) > 0 || is_last {
            life.judge(&mut random, &mut tally);
        }
    }
    tally
}

fn main() {
    if let Ok(words) = std::env::var(VICTIM) {
        let mut words = words.splitn(4, ' ');
        let mut next = || words.next().unwrap_or_default();
        let (format, data, seed) = (next().parse().unwrap(), next().parse().unwrap(), next().parse().unwrap());
        victim::run(Path::new(next()), format, data, Random(seed));
    }
    let start = Instant::now();
    let rounds = std::env::var("FOLIO_KILL_ROUNDS").map_or(ROUNDS_MIN, |rounds| rounds.parse().unwrap());
    let tally = run(rounds);
    println!("{tally:?} in {:?}", start.elapsed());
    assert!(tally.kills >= ROUNDS_MIN.min(rounds) && tally.openings > rounds / 2 && tally.clean > 0);
    // Not all of it was killed before it had done anything.
    assert!(tally.acknowledged > 5 * rounds);
}
