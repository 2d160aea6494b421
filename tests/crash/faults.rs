//! Every call fails once in every way, or from then on: what was answered with an error did not happen, what was accepted is
//! there, reads go on, and writes do when they can.

use super::check::compare;
use super::images::{Extent, crash_everywhere};
use super::model::{Edit, Kind, apply};
use super::workload::{Journal, Setting, Version, abandon, run, seeds};
use folio::Durability;
use folio::storage::Format;
use folio::testing::{DevicePlant, Fault, FaultKind, SimFiles};

const FAULTS: [(FaultKind, u64); 9] = [
    (FaultKind::Error, 1),
    (FaultKind::Error, u64::MAX),
    (FaultKind::ErrorAfterEffect, 1),
    (FaultKind::Full, 1),
    (FaultKind::Full, 40),
    (FaultKind::FullHalfway, 1),
    (FaultKind::FullHalfway, u64::MAX),
    (FaultKind::Short, u64::MAX),
    (FaultKind::Interrupted, 3),
];
/// In each format, at least.
const RUNS_MIN: u64 = 10_000;
/// After so many runs one also loses power, in every variant; others lose what was not synced, or nothing.
const POWER_EVERY: u64 = 16;

#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) runs: u64,
    pub(crate) images: u64,
    pub(crate) went_on: u64,
    pub(crate) poisoned: u64,
    pub(crate) wrong: Option<(Fault, String)>,
}

/// One run for each call and fault; then the process ends, and then also the power goes.
pub(crate) fn fail_everywhere(setting: Setting, power_every: u64, plant: Option<DevicePlant>) -> Outcome {
    let dry = run(setting, None, SimFiles::new()).1;
    let mut outcome = Outcome::default();
    for call in 0..dry.calls() {
        for (kind, count) in FAULTS {
            let fault = Fault { call, count, kind };
            let is_powerless = outcome.runs % power_every == 0;
            let one = || one_fault(setting, fault, is_powerless, plant, &mut outcome);
            let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(one));
            if let Err(error) = answer.unwrap_or_else(|_| Err("panicked".into())) {
                outcome.wrong = Some((fault, error));
                return outcome;
            }
        }
    }
    outcome
}

fn one_fault(
    setting: Setting,
    fault: Fault,
    is_powerless: bool,
    plant: Option<DevicePlant>,
    outcome: &mut Outcome,
) -> Result<(), String> {
    let files = SimFiles::new();
    files.set_plant(plant);
    let (mut journal, files) = run(setting, Some(fault), files);
    files.set_fault(None);
    outcome.runs += 1;
    outcome.went_on += u64::from(journal.went_on);
    outcome.poisoned += u64::from(journal.poisoned);
    let power_goes = |files: &SimFiles, journal: &Journal, outcome: &mut Outcome| {
        let extent = Extent { from: files.operations(), cut_step: 24, second_every: 0 };
        let tried = crash_everywhere(files, journal, setting, extent);
        outcome.images += tried.images;
        tried.wrong.map_or(Ok(()), |(point, error)| Err(format!("power cut at {point:?}: {error}")))
    };
    if is_powerless {
        power_goes(&files, &journal, outcome)?;
    }
    // Only the process ends: the next one finds the cache as it is, and goes on. Then the power goes.
    go_on(&files, &mut journal, setting)?;
    if is_powerless {
        power_goes(&files.next_process(), &journal, outcome)?;
    }
    Ok(())
}

fn go_on(files: &SimFiles, journal: &mut Journal, setting: Setting) -> Result<(), String> {
    let (least, most) = journal.all();
    let db = setting.open(files).map_err(|error| format!("after the process ended: {error}"))?;
    let found = db.snapshot().version();
    if found < least || found > most {
        return Err(format!("the process ended, and version {found} is not in {least}..={most}"));
    }
    compare(&db, found, journal.state(found))?;
    journal.versions.truncate(found as usize + 1);
    let (mut state, began) = (journal.state(found).clone(), files.operations());
    let edit = if state.contains_key(Kind::Bare.name()) { Edit::Clear(Kind::Bare) } else { Edit::Create(Kind::Bare) };
    let written = db.transaction(|tx| {
        apply(&edit, tx, &mut state)?;
        tx.require_sync()
    });
    written.map_err(|error| format!("writing after reopening: {error}"))?;
    journal.versions.push(Version { state, began });
    journal.durable.push((files.operations(), found + 1));
    db.checkpoint().map_err(|error| format!("a checkpoint after reopening: {error}"))?;
    let next = files.next_process();
    abandon(files, db);
    let db = setting.open(&next).map_err(|error| format!("a second time: {error}"))?;
    compare(&db, found + 1, journal.state(found + 1))?;
    abandon(&next, db);
    Ok(())
}

/// A long life, in which all comes that a life has, and then short ones of all durabilities: the same calls elsewhere.
fn every_fault(format: Format, durability: Durability) {
    let long = (1..=seeds()).map(|seed| Setting { format, durability, seed: 100 + seed, steps: 45 });
    let short = (1..=4 * seeds()).map(|seed| {
        let durability = [Durability::Sync, Durability::Buffered, Durability::EVERY_SECOND][seed as usize % 3];
        Setting { format, durability, seed: 200 + seed, steps: 20 }
    });
    let (mut runs, mut images) = (0, 0);
    for (setting, power_every) in
        long.map(|long| (long, POWER_EVERY)).chain(short.map(|short| (short, 4 * POWER_EVERY)))
    {
        let outcome = fail_everywhere(setting, power_every, None);
        println!("faults, {setting:?}: {outcome:?}");
        assert_eq!(outcome.wrong, None, "{setting:?}");
        assert!(outcome.went_on * 8 > outcome.runs && outcome.poisoned > 0);
        runs += outcome.runs;
        images += outcome.images;
    }
    println!("faulted runs, {format:?}: {runs}; then {images} power cuts");
    assert!(runs >= RUNS_MIN, "the traces have shrunk");
}

#[test]
fn every_fault_binary() {
    every_fault(Format::Binary, Durability::Sync);
}

#[test]
fn every_fault_json_lines() {
    every_fault(Format::JsonLines, Durability::Buffered);
}
