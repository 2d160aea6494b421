//! A process that is killed at random moments, under load, loses nothing that it had acknowledged; with a log that is
//! written in the background, a suffix of what it had not yet written.
//!
//! The victim is this program again. Several of its threads commit, each transaction being a function of the victim and of
//! the version that it makes, and tell every version that has returned through a pipe. The parent kills it, opens the
//! directory itself, and compares with a model of its own at the version found. Options are drawn anew at every opening.
//!
//! Three directories of four are on a memory file system where there is one: the end of a process is the same there, and
//! a sync costs nothing. Half of the time it is a copy that is opened, so that the next victim finds what the last one left.
//!
//! A program of its own (`harness = false`), since it starts itself. `FOLIO_KILL_ROUNDS` makes a soak of it. With
//! `FOLIO_KILL_BY` the disk fails instead: see `kill/power.rs` and `kill/syncs.rs`, which `scripts/soak-power.sh` runs.

#[path = "common/directory.rs"]
mod directory;
#[path = "kill/model.rs"]
mod model;
#[path = "kill/oracle.rs"]
mod oracle;
#[path = "kill/power.rs"]
mod power;
#[path = "common/random.rs"]
mod random;
#[path = "kill/syncs.rs"]
mod syncs;
#[path = "kill/victim.rs"]
mod victim;
#[path = "kill/word.rs"]
mod word;

use folio::storage::Format;
use folio::{Database, DatabaseBuilder, Durability};
use oracle::{Loss, Oracle, Verdicts};
use random::Random;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use victim::Trouble;
use word::Word;

/// Set for the victim: format, trouble, its seed, then the directory.
const VICTIM: &str = "FOLIO_KILL_VICTIM";
/// What ends the victims: `shutdown` or `copy` for the power, `syncs`. The signal if it is not set.
const BY: &str = "FOLIO_KILL_BY";
/// Kills in a normal run, at least.
const ROUNDS_MIN: u64 = 500;
/// Ends of one directory, before the next one begins.
const LIFE: u64 = 25;

/// Random settings of an opening.
fn settings(random: &mut Random) -> (Durability, DatabaseBuilder) {
    let durability = match random.below(4) {
        0 => Durability::Buffered,
        1 => Durability::Interval(Duration::from_millis(1 + random.below(5))),
        _ => Durability::Sync,
    };
    let checkpoint_bytes = [None, Some(1), Some(2_000), Some(30_000)][random.below(4) as usize];
    let builder = Database::builder()
        .durability(durability)
        .checkpoint_bytes(checkpoint_bytes)
        .segment_bytes([1, 4_000, 1 << 20][random.below(3) as usize])
        .keep_archived(random.below(8) == 0);
    (durability, builder)
}

fn formats(number: u64) -> Format {
    [Format::Binary, Format::JsonLines][(number % 2) as usize]
}

/// Makes of a command one that runs this program as the victim of this seed.
fn victim_by(mut command: Command, oracle: &Oracle, trouble: Trouble, seed: u64) -> Command {
    let words = format!("{} {} {seed} {}", oracle.format.name(), trouble.name(), oracle.path.display());
    command.env(VICTIM, words).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn victim(oracle: &Oracle, trouble: Trouble, seed: u64) -> Command {
    victim_by(Command::new(std::env::current_exe().unwrap()), oracle, trouble, seed)
}

/// What the rounds came to.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    words: u64,
    verdicts: Verdicts,
}

fn life(number: u64) -> Oracle {
    let memory = Path::new("/dev/shm");
    let base = if number.is_multiple_of(4) || !memory.is_dir() { std::env::temp_dir() } else { memory.to_owned() };
    let path = base.join(format!("folio-kill-{}-{number}", std::process::id()));
    Oracle::new(path, formats(number), Loss::OfProcess)
}

/// Lets a victim run until it has told so many words and a moment longer, and kills it.
fn kill_one(oracle: &mut Oracle, seed: u64, words: u64, moment: Duration) -> u64 {
    let mut child = victim(oracle, Trouble::None, seed).spawn().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let mut told = 0;
    while told < words {
        let word = Word::hear(&mut pipe).unwrap_or_else(|| panic!("victim {seed} ended by itself: {oracle}"));
        oracle.hear(word, seed);
        told += 1;
    }
    std::thread::sleep(moment);
    child.kill().unwrap();
    while let Some(word) = Word::hear(&mut pipe) {
        oracle.hear(word, seed);
        told += 1;
    }
    let status = child.wait().unwrap();
    assert_eq!(status.code().filter(|_| cfg!(unix)), None, "victim {seed}, {status}: {oracle}");
    told
}

fn run(rounds: u64) -> Tally {
    let mut tally = Tally::default();
    let mut random = Random(7);
    let mut oracle = life(0);
    for round in 0..rounds {
        if round % LIFE == LIFE - 1 {
            oracle = life(1 + round / LIFE);
        }
        // Half of them while they still open, or soon after.
        let words = random.below(2) * random.below(60);
        let moment = Duration::from_micros(random.below(8_000));
        tally.words += kill_one(&mut oracle, round, words, moment);
        tally.kills += 1;
        // Now and then the next victim of the directory finds what the last one left, unseen.
        let is_last = round + 1 == rounds || round % LIFE == LIFE - 2;
        if random.below(4) > 0 || is_last {
            oracle.judge(&mut random, &mut tally.verdicts);
        }
    }
    tally
}

fn main() {
    if let Ok(words) = std::env::var(VICTIM) {
        let mut words = words.splitn(4, ' ');
        let mut next = || words.next().unwrap_or_default();
        let (format, trouble, seed) = (next().parse().unwrap(), Trouble::by(next()), next().parse().unwrap());
        victim::run(&PathBuf::from(next()), format, seed, trouble);
    }
    let start = Instant::now();
    let rounds = std::env::var("FOLIO_KILL_ROUNDS").map_or(ROUNDS_MIN, |rounds| rounds.parse().unwrap());
    match std::env::var(BY).as_deref() {
        Ok("syncs") => println!("{:?} in {:?}", syncs::run(rounds), start.elapsed()),
        Ok(by) => println!("{:?} in {:?}", power::run(power::Cut::by(by), rounds), start.elapsed()),
        Err(_) => {
            let tally = run(rounds);
            println!("{tally:?} in {:?}", start.elapsed());
            let verdicts = &tally.verdicts;
            assert!(tally.kills >= ROUNDS_MIN.min(rounds) && verdicts.openings > rounds / 2 && verdicts.clean > 0);
            // Not all of it was killed before it had done anything.
            assert!(tally.words > 5 * rounds);
        }
    }
}
