//! Every call fails once in every way, or from then on: what was answered with an error did not happen, what was accepted
//! is there, and the engine goes on when it can.

use super::crash::crash_everywhere;
use super::workload::{open, options, run, seeds};
use folio::storage::{Appended, Batch, FileOptions, Format, StorageEngine};
use folio::testing::{Fault, FaultKind, SimFiles, each_crash_image};
use std::ops::ControlFlow;

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

#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) runs: u64,
    pub(crate) images: u64,
    pub(crate) went_on: u64,
    pub(crate) poisoned: u64,
    pub(crate) wrong: Option<(Fault, String)>,
}

/// Of runs in which no sync failed, every so-many-th ends in a power cut.
const POWER_EVERY: u64 = 8;

/// One run for each call and fault; then the process ends, and after some also the power goes.
pub(crate) fn fail_everywhere(
    format: Format,
    seed: u64,
    steps: u64,
    every: u64,
    plant: Option<folio::testing::DevicePlant>,
) -> Outcome {
    let dry = SimFiles::new();
    run(&dry, options(format), seed, steps);
    let mut outcome = Outcome::default();
    for call in (0..dry.calls()).step_by(every as usize) {
        for (kind, count) in FAULTS {
            let fault = Fault { call, count, kind };
            if let Err(error) = one_fault(format, seed, steps, fault, plant, &mut outcome) {
                outcome.wrong = Some((fault, error));
                return outcome;
            }
        }
    }
    outcome
}

fn one_fault(
    format: Format,
    seed: u64,
    steps: u64,
    fault: Fault,
    plant: Option<folio::testing::DevicePlant>,
    outcome: &mut Outcome,
) -> Result<(), String> {
    let files = SimFiles::new();
    files.set_plant(plant);
    files.set_fault(Some(fault));
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&files, options(format), seed, steps)));
    let Ok(journal) = run else { return Err("the run panicked".into()) };
    files.set_fault(None);
    outcome.runs += 1;
    outcome.went_on += u64::from(journal.went_on);
    outcome.poisoned += u64::from(journal.poisoned);
    // After a failed sync the cache shows what the device does not hold: then it always matters. Else each run is like its
    // neighbours.
    let is_powerless = journal.poisoned || outcome.runs.is_multiple_of(POWER_EVERY);
    if is_powerless {
        // The power goes now.
        let tried = crash_everywhere(&files, &journal, format, files.operations(), 0, 5);
        outcome.images += tried.images;
        if let Some((point, error)) = tried.wrong {
            return Err(format!("power cut at {point:?}: {error}"));
        }
    }
    // Only the process ends: the next one finds the cache as it is, and goes on. Then the power goes.
    let mut journal = journal;
    let bounds = journal.all();
    let before = files.operations();
    let engine = open(&files, options(format)).map_err(|error| error.to_string())?;
    if engine.recovery().last < bounds.last.0 || engine.recovery().last > bounds.last.1 {
        return Err(format!(
            "the process ended, and the log ends at {}, not in {:?}",
            engine.recovery().last,
            bounds.last
        ));
    }
    engine.claim().map_err(|error| error.to_string())?;
    let last = engine.recovery().last;
    journal.batches.retain(|batch| batch.first <= last);
    let payload = b"{\"after\":1}\n".to_vec();
    let batch = Batch { first: last + 1, count: 1, payload: &payload };
    if !matches!(engine.append(batch), Ok(Appended::At(_))) {
        return Err("cannot append after reopening".into());
    }
    engine.seal().map_err(|error| error.to_string())?;
    let checkpoint = engine
        .recovery()
        .manifest
        .as_ref()
        .and_then(|manifest| manifest.checkpoint.content.get("number").and_then(serde_json::Value::as_u64));
    journal.checkpoints.truncate(checkpoint.unwrap_or(0) as usize + 1);
    journal.checkpoints.last_mut().unwrap().acknowledged = Some(before);
    journal.batches.push(super::workload::Written { first: last + 1, count: 1, payload, began: before });
    journal.durable.push((files.operations(), last + 1));
    drop(engine);
    if !is_powerless {
        return Ok(());
    }
    let trace = files.trace();
    let bounds = journal.bounds(trace.len());
    let mut wrong = None;
    outcome.images += each_crash_image(&trace, trace.len(), 5, &mut |point, image| match journal.check(
        &SimFiles::mount(&image),
        options(format),
        bounds,
        false,
    ) {
        Ok(_) => ControlFlow::Continue(()),
        Err(error) => {
            wrong = Some(format!("power cut after reopening at {point:?}: {error}"));
            ControlFlow::Break(())
        }
    });
    wrong.map_or(Ok(()), Err)
}

fn every_fault(format: Format, first_seed: u64) {
    for seed in first_seed..first_seed + seeds() {
        let outcome = fail_everywhere(format, seed, 120, 1, None);
        println!("faults, {format:?}, seed {seed}: {outcome:?}");
        assert_eq!(outcome.wrong, None, "format {format:?}, seed {seed}");
        assert!(outcome.runs >= 3_000, "the trace has shrunk");
        assert!(outcome.went_on * 4 > outcome.runs && outcome.poisoned > 0);
    }
}

#[test]
fn every_fault_binary() {
    every_fault(Format::Binary, 3);
}

#[test]
fn every_fault_json_lines() {
    every_fault(Format::JsonLines, 4);
}

#[test]
fn when_space_returns_writes_go_on() {
    let files = SimFiles::new();
    let engine = open(&files, options(Format::Binary)).unwrap();
    engine.claim().unwrap();
    let append = |first| engine.append(Batch { first, count: 1, payload: &[7; 100] });
    for first in 1..=20 {
        assert_eq!(append(first).unwrap(), Appended::At(first));
    }
    // Space for half of a batch, again and again; and for the next segment's names and headers neither.
    files.set_fault(Some(Fault { call: files.calls(), count: 1_000, kind: FaultKind::FullHalfway }));
    let mut refused = 0;
    while files.calls() < 1_000 {
        match append(21) {
            Err(folio::Error::StorageFull { .. }) => refused += 1,
            Ok(Appended::Conflict(_)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 50);
    files.set_fault(None);
    for first in 21..=40 {
        assert_eq!(append(first).unwrap(), Appended::At(first));
    }
    engine.sync(40).unwrap();
    let mut versions = 0;
    engine
        .read_from(1, &mut |batch| {
            versions += 1;
            assert_eq!((batch.first, batch.payload), (versions, &[7; 100][..]));
            Ok(())
        })
        .unwrap();
    assert_eq!(versions, 40);
}

/// The log writes filler ahead where it can, and never in the way of a batch.
#[test]
fn what_has_room_is_stored_up_to_the_end_of_the_disk() {
    for format in [Format::Binary, Format::JsonLines] {
        let files = SimFiles::new();
        let engine = open(&files, FileOptions { format, ..FileOptions::default() }).unwrap();
        engine.claim().unwrap();
        files.set_space(Some(3 << 20));
        let payload = [&[b'7'; 20_000][..], b"\n"].concat();
        let mut stored = 0;
        let refused = loop {
            let batch = Batch { first: stored + 1, count: 1, payload: &payload };
            match engine.append(batch).and_then(|_| engine.sync(stored + 1)) {
                Ok(()) => stored += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, folio::Error::StorageFull { .. }), "{refused}");
        let used = files.image().files().iter().map(|path| files.image().get(path).unwrap().len()).sum::<usize>();
        let free = (3 << 20) - used;
        assert!(free < 48 << 10, "{stored} batches, and {free} bytes are free");
        // What is smaller still has room, and so has a large one when space returns.
        let small = Batch { first: stored + 1, count: 1, payload: b"\n" };
        assert_eq!(engine.append(small).unwrap(), Appended::At(stored + 1));
        files.set_space(None);
        let large = Batch { first: stored + 2, count: 1, payload: &payload };
        assert_eq!(engine.append(large).unwrap(), Appended::At(stored + 2));
        engine.sync(stored + 2).unwrap();
        drop(engine);
        let engine = open(&files.next_process(), FileOptions { format, ..FileOptions::default() }).unwrap();
        assert_eq!(engine.recovery().last, stored + 2);
    }
}

#[test]
fn a_failed_sync_is_told_to_all_who_wait_and_stops_writes_alone() {
    let files = SimFiles::new();
    let engine = open(&files, options(Format::Binary)).unwrap();
    engine.claim().unwrap();
    for first in 1..=3 {
        assert_eq!(engine.append(Batch { first, count: 1, payload: &[7; 20] }).unwrap(), Appended::At(first));
    }
    engine.sync(2).unwrap();
    assert_eq!(engine.append(Batch { first: 4, count: 1, payload: &[7; 20] }).unwrap(), Appended::At(4));
    files.set_fault(Some(Fault { call: files.calls(), count: 1, kind: FaultKind::Error }));
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| engine.sync(4))).collect();
        for waiting in waiting {
            assert!(matches!(waiting.join().unwrap(), Err(folio::Error::SyncFailed { .. })));
        }
    });
    let operations = files.operations();
    assert_eq!((engine.durable(), engine.appended()), (3, 4));
    engine.sync(3).unwrap();
    let refused = |answer: folio::Result<()>| assert!(matches!(answer, Err(folio::Error::Poisoned { .. })));
    refused(engine.append(Batch { first: 5, count: 1, payload: b"" }).map(drop));
    refused(engine.seal());
    refused(engine.release_log(3));
    refused(engine.replace_manifest(0, folio::storage::Checkpoint::default()).map(drop));
    refused(
        engine.create_object(folio::storage::ObjectKind::Records, "t", folio::storage::Placement::Append).map(drop),
    );
    let mut read = 0;
    engine
        .read_from(1, &mut |_| {
            read += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(read, 4);
    refused(engine.close());
    assert_eq!(files.operations(), operations, "nothing is written, and no sync tried again");
}
