//! A crash after every operation, in every variant, and again in every operation of the recovery.

use super::workload::{Journal, options, run, seeds};
use foldhash::quality::FixedState;
use folio::storage::{Format, OpenReport};
use folio::testing::{CrashPoint, Cut, SimFiles, each_crash_image};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::ControlFlow;
use std::time::Instant;

/// What was tried, and the first thing that was wrong.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    pub(crate) images: u64,
    /// Of those, the ones that were opened: the others have the bytes of one before them, of which as much was expected.
    pub(crate) distinct: u64,
    pub(crate) second_images: u64,
    pub(crate) torn: u64,
    pub(crate) wrong: Option<(CrashPoint, String)>,
}

/// Opens the images of a run from operation `from` on, and of the recovery of one in `second_every`.
pub(crate) fn crash_everywhere(
    files: &SimFiles,
    journal: &Journal,
    format: Format,
    from: usize,
    second_every: u64,
    cut_step: usize,
) -> Tried {
    let (trace, options) = (files.trace(), options(format));
    let mut tried = Tried::default();
    let (mut bounds, mut seen) = ((usize::MAX, journal.bounds(0)), HashMap::new());
    tried.images =
        each_crash_image(&trace, from, cut_step, &mut |point, image| {
            if bounds.0 != point.operations {
                bounds = (point.operations, journal.bounds(point.operations));
            }
            let number = tried.images;
            tried.images += 1;
            let (goes_on, bytes) = (number % 16 == 0, FixedState::default().hash_one((&image, bounds.1)));
            let checked = match seen.get(&bytes) {
                Some(report) if !goes_on => Ok(*report),
                _ => journal.check(&SimFiles::mount(&image), options, bounds.1, goes_on),
            };
            match checked {
                Ok(report) => {
                    tried.distinct += u64::from(seen.insert(bytes, report).is_none());
                    tried.torn += u64::from(matches!(report, OpenReport::TornTail { .. }));
                }
                Err(error) => {
                    tried.wrong = Some((point, error));
                    return ControlFlow::Break(());
                }
            }
            if second_every > 0 && number % second_every == 0 {
                let mounted = SimFiles::mount(&image);
                let engine = super::workload::open(&mounted, options).unwrap();
                folio::storage::StorageEngine::claim(&engine).unwrap();
                drop(engine);
                tried.second_images += each_crash_image(&mounted.trace(), 0, 16, &mut |second, image| match journal
                    .check(&SimFiles::mount(&image), options, bounds.1, false)
                {
                    Ok(_) => ControlFlow::Continue(()),
                    Err(error) => {
                        tried.wrong = Some((point, format!("then in recovery at {second:?}: {error}")));
                        ControlFlow::Break(())
                    }
                });
            }
            if tried.wrong.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    tried
}

fn every_crash(format: Format, steps: u64) {
    let start = Instant::now();
    let (mut images, mut distinct, mut second, mut torn, mut operations) = (0, 0, 0, 0, 0);
    for seed in 1..=seeds() {
        let files = SimFiles::new();
        let journal = run(&files, options(format), seed, steps);
        assert_eq!(journal.failures, 0);
        operations += files.operations();
        let tried = crash_everywhere(&files, &journal, format, 0, 2_400, 1);
        assert_eq!(tried.wrong, None, "format {format:?}, seed {seed}, {steps} steps");
        images += tried.images;
        distinct += tried.distinct;
        second += tried.second_images;
        torn += tried.torn;
    }
    let rate = (images + second) as f64 / start.elapsed().as_secs_f64();
    println!(
        "crash images, {format:?}: {images} of {operations} operations, {distinct} of them distinct, {torn} with a torn tail; \
         {second} in recovery"
    );
    println!("{rate:.0} images/s");
    assert!(operations >= 600 && images >= 250_000 && second >= 50_000, "the trace has shrunk");
}

#[test]
fn every_crash_binary() {
    every_crash(Format::Binary, 250);
}

#[test]
fn every_crash_json_lines() {
    every_crash(Format::JsonLines, 200);
}

#[test]
fn a_seed_makes_the_same_trace_again() {
    let trace = |seed| {
        let files = SimFiles::new();
        let journal = run(&files, options(Format::Binary), seed, 100);
        (files.operations(), files.calls(), journal.last(), journal.checkpoints.len())
    };
    for seed in 0..100 {
        assert_eq!(trace(seed), trace(seed));
    }
}

#[test]
fn a_cut_is_named_by_its_bytes() {
    // The names in a report of failure.
    let point = CrashPoint { operations: 7, there: 5, cut: Cut::Before(3) };
    assert_eq!(format!("{point:?}"), "CrashPoint { operations: 7, there: 5, cut: Before(3) }");
}
