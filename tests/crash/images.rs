//! A crash after every operation, in every variant, and again in every operation of the recovery, and of the recovery from
//! that.

use super::check::{Bounds, Depth};
use super::workload::{Journal, Setting, abandon, run, seeds};
use foldhash::quality::FixedState;
use folio::Durability;
use folio::storage::{Format, OpenReport};
use folio::testing::{CrashPoint, Image, SimFiles, each_crash_image};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::ControlFlow;
use std::time::Instant;

/// How thoroughly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// From which operation on.
    pub(crate) from: usize,
    /// How far apart the last write is cut: 1 for every byte.
    pub(crate) cut_step: usize,
    /// Of so many images, the recovery of one is stopped at each of its operations; 0: none.
    pub(crate) second_every: u64,
}

/// What was tried, and the first thing that was wrong.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    pub(crate) images: u64,
    /// Of those, the ones with bytes that none before had. Of the others it is known what they open as, and judged
    /// whether that may be.
    pub(crate) distinct: u64,
    /// Of the recovery, and of the recovery from that.
    pub(crate) second_images: u64,
    pub(crate) third_images: u64,
    /// Those that were compared by their indexes and schemas too.
    pub(crate) indexed: u64,
    pub(crate) torn: u64,
    pub(crate) wrong: Option<(CrashPoint, String)>,
}

/// Of so many images of a recovery, the recovery from one is stopped again.
const THIRD_EVERY: u64 = 600;
/// Of so many images, one is verified, written to, and opened again.
const GO_ON_EVERY: u64 = 32;
/// Of so many images, one is compared by its indexes too. No multiple of the six ways to cut a write that follow one
/// another.
const INDEXES_EVERY: u64 = 5;

fn depth_of(number: u64) -> Depth {
    match number {
        _ if number.is_multiple_of(GO_ON_EVERY) => Depth::GoesOn,
        _ if number.is_multiple_of(INDEXES_EVERY) => Depth::Indexes,
        _ => Depth::Rows,
    }
}

/// Opens the images of a run, and of recoveries.
pub(crate) fn crash_everywhere(files: &SimFiles, journal: &Journal, setting: Setting, extent: Extent) -> Tried {
    let trace = files.trace();
    let mut tried = Tried::default();
    let (mut bounds, mut seen) = ((usize::MAX, (0, 0)), HashMap::new());
    each_crash_image(&trace, extent.from, extent.cut_step, &mut |point, image| {
        if bounds.0 != point.operations {
            bounds = (point.operations, journal.bounds(point.operations));
        }
        let number = tried.images;
        tried.images += 1;
        let depth = depth_of(number);
        let bytes = FixedState::default().hash_one(&image);
        let answer = match seen.get(&bytes) {
            Some(found) if depth != Depth::GoesOn => journal.judge(*found, bounds.1).map(|()| *found),
            _ => {
                tried.indexed += u64::from(depth != Depth::Rows);
                journal.check(&SimFiles::mount(&image), setting, bounds.1, depth)
            }
        };
        let answer = answer.and_then(|found| {
            tried.distinct += u64::from(seen.insert(bytes, found).is_none());
            tried.torn += u64::from(matches!(found.log, OpenReport::TornTail { .. }));
            if extent.second_every > 0 && number % extent.second_every == 0 {
                crash_in_recovery(&image, journal, setting, found.version, &mut tried)?;
            }
            Ok(())
        });
        match answer {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                tried.wrong = Some((point, error));
                ControlFlow::Break(())
            }
        }
    });
    tried
}

/// Stops the recovery of `image`, which is all durable, everywhere: always the same version is found.
fn crash_in_recovery(
    image: &Image,
    journal: &Journal,
    setting: Setting,
    version: u64,
    tried: &mut Tried,
) -> Result<(), String> {
    each_of_recovery(image, setting, &mut |point, image| {
        let number = tried.second_images;
        tried.second_images += 1;
        let wrong = |error| format!("then in recovery at {point:?}: {error}");
        let depth = depth_of(number).min(Depth::Indexes);
        tried.indexed += u64::from(depth != Depth::Rows);
        journal.check(&SimFiles::mount(image), setting, (version, version), depth).map_err(wrong)?;
        if !number.is_multiple_of(THIRD_EVERY) {
            return Ok(());
        }
        each_of_recovery(image, setting, &mut |second, image| {
            tried.third_images += 1;
            let bounds: Bounds = (version, version);
            let depth = depth_of(tried.third_images).min(Depth::Indexes);
            tried.indexed += u64::from(depth != Depth::Rows);
            let found = journal.check(&SimFiles::mount(image), setting, bounds, depth).map(drop);
            found.map_err(|error| wrong(format!("then again at {second:?}: {error}")))
        })
    })
}

fn each_of_recovery(
    image: &Image,
    setting: Setting,
    visit: &mut dyn FnMut(CrashPoint, &Image) -> Result<(), String>,
) -> Result<(), String> {
    let files = SimFiles::mount(image);
    let db = setting.open(&files).map_err(|error| error.to_string())?;
    let trace = files.trace();
    abandon(&files, db);
    let mut answer = Ok(());
    each_crash_image(&trace, 0, 60, &mut |point, image| {
        answer = visit(point, &image);
        if answer.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    answer
}

/// A life of so many steps is a trace of some 250 operations.
const STEPS: u64 = 32;

/// From this seed on, two and for each more `FOLIO_SEEDS` two more, each with the default durability and another.
fn every_crash(format: Format, first_seed: u64) {
    let start = Instant::now();
    let (mut images, mut distinct, mut second, mut third, mut indexed) = (0, 0, 0, 0, 0);
    let (mut torn, mut operations) = (0, 0);
    for seed in first_seed..first_seed + 2 * seeds() {
        let lesser = [Durability::Buffered, Durability::EVERY_SECOND][(seed % 2) as usize];
        for durability in [Durability::Sync, lesser] {
            let setting = Setting { format, durability, seed, steps: STEPS };
            let (journal, files) = run(setting, None, SimFiles::new());
            assert_eq!(journal.failures, 0);
            operations += files.operations();
            let extent = Extent { from: 0, cut_step: 1, second_every: 2_000 };
            let tried = crash_everywhere(&files, &journal, setting, extent);
            println!("{setting:?}: {} operations, {} checkpoints, {tried:?}", files.operations(), journal.checkpoints);
            assert_eq!(tried.wrong, None, "{setting:?}");
            images += tried.images;
            distinct += tried.distinct;
            second += tried.second_images;
            third += tried.third_images;
            indexed += tried.indexed;
            torn += tried.torn;
        }
    }
    let rate = (images + second + third) as f64 / start.elapsed().as_secs_f64();
    println!(
        "crash images, {format:?}: {images} of {operations} operations, {distinct} of them distinct, {torn} with a torn tail; \
         {second} in recovery, {third} in the recovery from that; {indexed} compared by their indexes"
    );
    println!("{rate:.0} images/s");
    assert!(operations >= 600 && images >= 500_000 && second + third >= 50_000, "the trace has shrunk");
    assert!(indexed * 10 >= distinct + second + third, "too few were compared whole");
}

#[test]
fn every_crash_binary() {
    every_crash(Format::Binary, 1);
}

#[test]
fn every_crash_json_lines() {
    every_crash(Format::JsonLines, 3);
}

#[test]
fn a_seed_makes_the_same_trace_again() {
    let trace = |seed| {
        let durability = [Durability::Buffered, Durability::EVERY_SECOND][(seed % 2) as usize];
        let setting = Setting { format: Format::Binary, durability, seed, steps: 60 };
        let (journal, files) = run(setting, None, SimFiles::new());
        (files.operations(), files.calls(), journal.last(), journal.checkpoints)
    };
    for seed in 0..20 {
        assert_eq!(trace(seed), trace(seed));
    }
}
