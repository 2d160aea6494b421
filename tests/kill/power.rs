//! The power of a real file system is cut under a victim, again and again, and while its successors recover.
//!
//! The oracle is not on that file system. A cut either shuts the file system down, so that nothing more reaches the device
//! and every later write and sync is an error; the victim then has to answer errors, serve reads and refuse writes. Or it
//! is a copy of the device, taken at one moment, that takes its place: then the victim notices nothing.
//!
//! What is called durable before the cut begins has to be there. What is said while the file system is being shut down is
//! not held to: ext4 (in Linux 6.18) may then answer success to an `fdatasync` whose bytes it has dropped, as a
//! program of ten lines that writes and syncs shows.
//!
//! - `FOLIO_POWER_PLACE`: a directory on the file system.
//! - `FOLIO_POWER_CUT`: a command that reads a line `shutdown` and cuts.
//! - `FOLIO_POWER_RESTORE`: a command that mounts what is on the device anew.

use crate::oracle::{Loss, Oracle, Verdicts};
use crate::random::Random;
use crate::victim::Trouble;
use crate::word::Word;
use crate::{LIFE, formats, victim};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// A victim that says nothing for so long hangs, which no failure of a disk may make it do.
const SILENCE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Shutdown,
    Copy,
}

impl Cut {
    pub(crate) fn by(name: &str) -> Self {
        match name {
            "shutdown" => Cut::Shutdown,
            "copy" => Cut::Copy,
            _ => panic!("no cut `{name}`"),
        }
    }
}

/// What the rounds came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    cuts: u64,
    /// Of these before the victim had opened.
    in_recovery: u64,
    /// Victims that answered errors, served reads and refused writes.
    stood: u64,
    words: u64,
    verdicts: Verdicts,
}

pub(crate) fn run(cut: Cut, rounds: u64) -> Tally {
    let place = variable("FOLIO_POWER_PLACE");
    let life = |number| {
        let path = Path::new(&place).join(format!("folio-power-{number}"));
        Oracle::new(path, formats(number), Loss::OfPower)
    };
    let mut tally = Tally::default();
    let seed = std::env::var("FOLIO_KILL_SEED").map_or(11, |seed| seed.parse().unwrap());
    let mut random = Random(seed);
    let mut oracle = life(0);
    for round in 0..rounds {
        if round % LIFE == LIFE - 1 {
            oracle = life(1 + round / LIFE);
        }
        cut_one(cut, &mut oracle, seed * 1_000_000 + round, &mut random, &mut tally);
        restore();
        let is_last = round + 1 == rounds || round % LIFE == LIFE - 2;
        if random.below(4) > 0 || is_last {
            oracle.judge(&mut random, &mut tally.verdicts);
        }
    }
    assert!(tally.verdicts.openings > rounds / 2);
    if rounds >= 100 {
        // Cuts that took nothing with them would prove nothing.
        assert!(tally.in_recovery > rounds / 20 && tally.verdicts.lost > 0 && tally.words > 5 * rounds, "{tally:?}");
        assert!(cut == Cut::Copy || tally.stood > rounds / 4, "{tally:?}");
    }
    tally
}

/// Lets a victim run for a while, cuts, and ends it.
fn cut_one(cut: Cut, oracle: &mut Oracle, seed: u64, random: &mut Random, tally: &mut Tally) {
    let trouble = if cut == Cut::Shutdown { Trouble::Cut } else { Trouble::None };
    let mut switch =
        Command::new("sh").args(["-c", &variable("FOLIO_POWER_CUT")]).stdin(Stdio::piped()).spawn().unwrap();
    let mut child = victim(oracle, trouble, seed).spawn().unwrap();
    let words = listen(&mut child);
    // A third of the cuts is while it opens, or soon after; the others are under load.
    let (words_min, micros) = if random.below(3) == 0 { (1, 4_000) } else { (1 + random.below(120), 12_000) };
    let mut told = Vec::new();
    while told.len() < words_min as usize {
        told.push(next(&words, oracle).unwrap_or_else(|| panic!("victim {seed} ended by itself: {oracle}")));
    }
    thread::sleep(Duration::from_micros(random.below(micros)));
    // What has been told up to here was told before the cut.
    told.extend(words.try_iter());
    tally.in_recovery += u64::from(!told.iter().any(|word| matches!(word, Word::Opened(_))));
    switch.stdin.take().unwrap().write_all(b"shutdown\n").unwrap();
    assert!(switch.wait().unwrap().success(), "the power cannot be cut");
    let mut late = Vec::new();
    if cut == Cut::Shutdown && random.below(3) > 0 {
        while !matches!(late.last(), Some(Word::Refused(_))) {
            late.push(next(&words, oracle).unwrap_or_else(|| panic!("victim {seed} has ended: {oracle}")));
        }
        tally.stood += 1;
    }
    child.kill().unwrap();
    late.extend(words.iter());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "victim {seed}, {status}: {oracle}");
    tally.cuts += 1;
    tally.words += told.len() as u64;
    told.into_iter().for_each(|word| oracle.hear(word, seed));
    late.into_iter().for_each(|word| oracle.hear_late(word, seed));
}

/// Hears the victim on a thread, so that its silence can be told from its end.
fn listen(child: &mut Child) -> Receiver<Word> {
    let mut pipe = child.stdout.take().unwrap();
    let (sender, words) = channel();
    thread::spawn(move || {
        while let Some(word) = Word::hear(&mut pipe) {
            if sender.send(word).is_err() {
                break;
            }
        }
    });
    words
}

/// None when the victim has ended.
fn next(words: &Receiver<Word>, oracle: &Oracle) -> Option<Word> {
    match words.recv_timeout(SILENCE_MAX) {
        Ok(word) => Some(word),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("the victim hangs: {oracle}"),
    }
}

fn restore() {
    let status = Command::new("sh").args(["-c", &variable("FOLIO_POWER_RESTORE")]).status().unwrap();
    assert!(status.success(), "the file system cannot be mounted anew");
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/soak-power.sh"))
}
