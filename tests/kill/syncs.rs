//! Syncs of real files fail, by `strace`, which answers the n-th `fdatasync` or `fsync` of a thread (or all from then on)
//! with an error and does not make it.
//!
//! The victim then has to answer errors, serve reads and refuse writes until it has opened the directory again, which it
//! does itself. `FOLIO_STRACE` is the command to use.

use crate::oracle::{Loss, Oracle, Verdicts};
use crate::random::Random;
use crate::victim::Trouble;
use crate::word::Word;
use crate::{LIFE, formats, victim_by};
use std::process::Command;

/// What the rounds came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    runs: u64,
    /// Errors after which the victims served reads and refused writes.
    stood: u64,
    words: u64,
    verdicts: Verdicts,
}

pub(crate) fn run(rounds: u64) -> Tally {
    let life = |number| {
        let path = std::env::temp_dir().join(format!("folio-syncs-{}-{number}", std::process::id()));
        Oracle::new(path, formats(number), Loss::OfProcess)
    };
    let mut tally = Tally::default();
    let mut random = Random(13);
    let mut oracle = life(0);
    for round in 0..rounds {
        if round % LIFE == LIFE - 1 {
            oracle = life(1 + round / LIFE);
        }
        // The first syncs of a thread are those of opening.
        let first = 1 + random.below(2) * random.below(12) + random.below(2) * random.below(60);
        fail_one(&mut oracle, round, first, random.below(2) == 0, &mut tally);
        oracle.judge(&mut random, &mut tally.verdicts);
    }
    assert!(rounds < 50 || tally.stood > rounds / 4, "{tally:?}");
    tally
}

/// Runs a victim to its end, with this sync and perhaps all after it failing.
fn fail_one(oracle: &mut Oracle, seed: u64, first: u64, is_for_good: bool, tally: &mut Tally) {
    let strace = std::env::var("FOLIO_STRACE").unwrap_or_else(|_| "strace".into());
    let onwards = if is_for_good { "+" } else { "" };
    let inject = format!("inject=fdatasync,fsync:error=EIO:when={first}{onwards}");
    let mut command = Command::new(strace);
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", &inject]);
    command.arg(std::env::current_exe().unwrap());
    let mut child = victim_by(command, oracle, Trouble::Sync, seed).spawn().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let mut last = None;
    while let Some(word) = Word::hear(&mut pipe) {
        oracle.hear(word, seed);
        tally.words += 1;
        tally.stood += u64::from(matches!(word, Word::Refused(_)));
        last = Some(word);
    }
    // strace ends as the victim did, which is by `abort`.
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "victim {seed}, {status}, sync {first}{onwards} after {last:?}: {oracle}");
    tally.runs += 1;
}
