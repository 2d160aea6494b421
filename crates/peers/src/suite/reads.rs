//! Point reads: by key, by unique string, in groups, from two threads.

use super::{Results, Suite};
use crate::measure::{Batch, Contestant, timed, timed_read};
use crate::peer::{Answer, Refusal, Store};
use crate::workload::MANY;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

pub(super) const KEY_ONLY: [&str; 3] = ["get_by_id", "get_many", "two_readers"];
pub(super) const FULL: [&str; 1] = ["get_by_email"];

pub(super) fn run_key_only(suite: &Suite<'_>, contestants: &[Contestant], results: &mut Results) {
    let count = suite.settings.reads() / MANY * MANY;
    let ids = |round: usize| suite.generator.uniform_ids(100 + round as u64, suite.rows.len(), count);
    let rounds: Vec<Vec<u64>> = (0..suite.all_rounds()).map(ids).collect();
    suite.measure("get_by_id", contestants, results, |contestant, round| {
        timed_read(count, || contestant.store.get_by_id(&rounds[round]))
    });
    suite.measure("get_many", contestants, results, |contestant, round| {
        timed_read(count, || contestant.store.get_many(&rounds[round]))
    });
    suite.measure("two_readers", contestants, results, |contestant, round| {
        let next = &rounds[(round + 1) % rounds.len()];
        two_readers(contestant.store.as_ref(), &rounds[round], next, suite.settings.batch_duration())
    });
}

pub(super) fn run_hash_key(suite: &Suite<'_>, contestants: &[Contestant], results: &mut Results) {
    let count = suite.settings.reads();
    let keys = |round: usize| {
        let ids = suite.generator.uniform_ids(200 + round as u64, suite.rows.len(), count);
        ids.into_iter().map(|id| suite.generator.hash_key(id)).collect::<Vec<u64>>()
    };
    let rounds: Vec<Vec<u64>> = (0..suite.all_rounds()).map(keys).collect();
    suite.measure("get_by_hash_key", contestants, results, |contestant, round| {
        timed_read(count, || contestant.store.get_by_hash_key(&rounds[round]))
    });
}

pub(super) fn run_full(suite: &Suite<'_>, contestants: &[Contestant], results: &mut Results) {
    let count = suite.settings.reads();
    // The emails are copied out of the rows, so that looking them up does not warm up what the caller holds.
    let emails = |round: usize| {
        let ids = suite.generator.uniform_ids(300 + round as u64, suite.rows.len(), count);
        ids.into_iter().map(|id| suite.rows[id as usize - 1].email.clone()).collect::<Vec<String>>()
    };
    let owned: Vec<Vec<String>> = (0..suite.all_rounds()).map(emails).collect();
    let rounds: Vec<Vec<&str>> = owned.iter().map(|emails| emails.iter().map(String::as_str).collect()).collect();
    suite.measure("get_by_email", contestants, results, |contestant, round| {
        timed_read(count, || contestant.store.get_by_email(&rounds[round]))
    });
}

/// Total throughput of two threads over that of one, measured one after the other. Each thread goes over its keys until
/// the work is long beside the start of a thread.
fn two_readers(store: &dyn Store, first: &[u64], second: &[u64], least: Duration) -> Answer<Batch> {
    // The first pass also warms up, so that one thread does not pay for what two then find in the caches.
    let (pass_nanos, expected) = timed(1, || Ok(store.get_by_id(first)? + store.get_by_id(second)?))?;
    let passes = (least.as_nanos() as f64 / pass_nanos).ceil().max(1.0) as usize;
    let read = |ids: &[u64]| {
        let mut checksum = 0.0;
        for _ in 0..passes {
            checksum = store.get_by_id(ids)?;
        }
        Ok::<f64, Refusal>(checksum)
    };
    let (alone, _) = timed(1, || Ok(read(first)? + read(second)?))?;
    let barrier = Barrier::new(2);
    let read_when_both_are_ready = |ids: &[u64]| {
        barrier.wait();
        let start = Instant::now();
        read(ids).map(|checksum| (start, Instant::now(), checksum))
    };
    let (here, there) = thread::scope(|scope| {
        let there = scope.spawn(|| read_when_both_are_ready(second));
        (read_when_both_are_ready(first), there.join())
    });
    let (start, end, checksum) = here?;
    let (other_start, other_end, other_checksum) =
        there.unwrap_or_else(|_| Err(Refusal::Failed("the second reader panicked".into())))?;
    if checksum + other_checksum != expected {
        return Err(Refusal::Failed("two readers read something else than one".into()));
    }
    let together = (end.max(other_end) - start.min(other_start)).as_nanos() as f64;
    Ok(Batch { value: alone / together, checksum: Some(expected) })
}
