//! A reader beside a writer that never pauses: each alone, then both together.
//!
//! Every read is timed by itself, the clock read once between two of them; what that costs is measured and taken off.
//! The writer commits one update at a time.

use super::{Results, Suite};
use crate::measure::{Contestant, Histogram, Outcome, clock_cost, run_rounds, timed_read, timed_repeatedly};
use crate::peer::{Answer, Refusal, Store};
use crate::workload::AgeUpdate;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(super) const ALL: [&str; 11] = [
    "reader_alone_p50",
    "reader_alone_p999",
    "reader_beside_p50",
    "reader_beside_p99",
    "reader_beside_p999",
    "reader_slowdown",
    "writer_alone",
    "writer_beside",
    "scan_alone",
    "scan_beside",
    "writer_kept",
];

/// Phases are long; medians over more rounds would say no more.
const ROUNDS_MAX: usize = 3;
/// Commits between two looks at the stop sign.
const WRITER_STRIDE: usize = 16;

/// The figures of one round, in the order of [`ALL`].
type Figures = [f64; 11];

pub(super) fn run(suite: &Suite<'_>, contestants: &[Contestant], results: &mut Results) {
    if !suite.settings.wants_any(&ALL) {
        return;
    }
    let ids = suite.generator.uniform_ids(1_200, suite.rows.len(), suite.settings.reads());
    let updates = suite.generator.age_updates(1_201, suite.rows.len(), suite.settings.reads());
    let duration = suite.settings.phase_duration();
    let mut rounds: Vec<Vec<Figures>> = contestants.iter().map(|_| Vec::new()).collect();
    let mut refusals: Vec<Option<Refusal>> = contestants.iter().map(|_| None).collect();
    for _ in 0..suite.settings.rounds.min(ROUNDS_MAX) {
        for (position, contestant) in contestants.iter().enumerate() {
            super::progress(&format!("reader and writer: {}", contestant.name));
            match measure(contestant.store.as_ref(), &ids, &updates, duration) {
                Ok(figures) => rounds[position].push(figures),
                Err(refusal) => refusals[position] = Some(refusal),
            }
        }
    }
    settle(contestants, &updates, results);
    for ((contestant, rounds), refusal) in contestants.iter().zip(rounds).zip(refusals) {
        for (position, id) in ALL.into_iter().enumerate() {
            let outcome = match &refusal {
                Some(Refusal::Unsupported) => Outcome::Refused(Refusal::Unsupported),
                Some(Refusal::Failed(why)) => Outcome::Refused(Refusal::Failed(why.clone())),
                None => Outcome::of(rounds.iter().map(|figures| figures[position]).collect()),
            };
            results.record(id, contestant.name, outcome);
        }
    }
}

/// Applies all updates once more, in order. Each writer was stopped somewhere in them, so only this gives all tables
/// the same content again, for later workloads and to see that no commit was lost.
fn settle(contestants: &[Contestant], updates: &[AgeUpdate], results: &mut Results) {
    let rounds = run_rounds(contestants, 0, 1, |contestant, _| {
        contestant.store.update_each(updates)?;
        timed_read(1, || contestant.store.scan())
    });
    for text in rounds.disagreements {
        results.disagree("writer_beside", text);
    }
}

fn measure(store: &dyn Store, ids: &[u64], updates: &[AgeUpdate], duration: Duration) -> Answer<Figures> {
    let clock = clock_cost();
    let alone = read_for(store, ids, duration)?;
    let (writer_alone, ()) = beside_writer(store, updates, || {
        thread::sleep(duration);
        Ok(())
    })?;
    let (writer_beside, beside) = beside_writer(store, updates, || read_for(store, ids, duration))?;
    let scan_alone = timed_repeatedly(duration / 2, || store.scan())?.value;
    let (writer_scanned, scan_beside) = beside_writer(store, updates, || timed_repeatedly(duration, || store.scan()))?;
    let without_clock = |nanos: f64| (nanos - clock).max(0.0);
    Ok([
        without_clock(alone.quantile(0.5)),
        without_clock(alone.quantile(0.999)),
        without_clock(beside.quantile(0.5)),
        without_clock(beside.quantile(0.99)),
        without_clock(beside.quantile(0.999)),
        without_clock(beside.mean()) / without_clock(alone.mean()).max(1.0),
        writer_alone,
        writer_beside,
        scan_alone,
        scan_beside.value,
        100.0 * writer_scanned / writer_alone.max(1.0),
    ])
}

/// Reads one key after the other until the time is up.
fn read_for(store: &dyn Store, ids: &[u64], duration: Duration) -> Answer<Histogram> {
    let mut histogram = Histogram::new();
    let start = Instant::now();
    let mut last = start;
    for id in ids.iter().cycle() {
        std::hint::black_box(store.get_by_id(std::slice::from_ref(id))?);
        let now = Instant::now();
        histogram.record((now - last).as_nanos() as u64);
        last = now;
        if now - start >= duration {
            break;
        }
    }
    Ok(histogram)
}

/// Runs `work` while another thread commits at full speed; returns that thread's commits per second and the result.
fn beside_writer<T>(store: &dyn Store, updates: &[AgeUpdate], work: impl FnOnce() -> Answer<T>) -> Answer<(f64, T)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let start = Instant::now();
            let mut commits = 0usize;
            for batch in updates.chunks(WRITER_STRIDE).cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                store.update_each(batch)?;
                commits += batch.len();
            }
            Ok::<f64, Refusal>(commits as f64 / start.elapsed().as_secs_f64())
        });
        let result = work();
        stop.store(true, Ordering::Relaxed);
        let writer = writer.join().unwrap_or_else(|_| Err(Refusal::Failed("the writer panicked".into())));
        Ok((writer?, result?))
    })
}
