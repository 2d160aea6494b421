//! Snapshots and forks: what they cost to take, and what one costs while it is held.

use super::{Results, Suite, progress};
use crate::allocator::CountingPeriod;
use crate::catalogue::Unit;
use crate::measure::{Contestant, timed, timed_doubling};
use crate::peer::{Answer, Refusal, Store};
use crate::workload::AgeUpdate;

pub(super) const ALL: [&str; 8] =
    ["snapshot", "fork", "held_update_without", "held_update", "held_bytes", "held_read", "held_drop", "diff"];
const HELD: [&str; 5] = ["held_update_without", "held_update", "held_bytes", "held_read", "held_drop"];

/// Rows that differ when the diff is taken.
const DIFF_ROWS: usize = 1_000;
/// Rows read at the held snapshot: those updated last.
const HOT_ROWS: usize = 10_000;
/// Memory that a snapshot may hold before the run gives up on it.
const HELD_BYTES_MAX: f64 = 4.0 * (1u64 << 30) as f64;
/// Updates between two looks at the memory.
const SLICE: usize = 1_000;

pub(super) fn run_cheap(suite: &Suite<'_>, contestants: &[Contestant], results: &mut Results) {
    let least = suite.settings.batch_duration();
    suite.measure("snapshot", contestants, results, |contestant, _| {
        timed_doubling(least, |count| contestant.store.snapshot_and_drop(count))
    });
    suite.measure("fork", contestants, results, |contestant, _| {
        timed_doubling(least, |count| contestant.store.fork_and_drop(count))
    });
}

pub(super) fn run_held(suite: &Suite<'_>, contestants: &[Contestant], results: &mut Results) {
    if suite.settings.wants_any(&HELD) {
        let (rows, count) = (suite.rows.len(), suite.settings.held_updates());
        let before = suite.generator.age_updates(1_000, rows, count);
        let during = suite.generator.age_updates(1_001, rows, count);
        for contestant in contestants {
            progress(&format!("held snapshot: {}", contestant.name));
            let mut costs = HeldCosts::default();
            let end = hold_over(contestant.store.as_ref(), &before, &during, &mut costs);
            costs.record(contestant.name, &end, results);
        }
    }
    suite.measure("diff", contestants, results, |contestant, round| {
        let ids = suite.generator.distinct_ids(1_100 + round as u64, suite.rows.len(), DIFF_ROWS);
        // No generated age is as high, so each of the rows does change.
        let updates = ids.iter().enumerate();
        let updates: Vec<AgeUpdate> = updates
            .map(|(position, id)| AgeUpdate { id: *id, age: 1_000 + round as u32 * 1_000 + position as u32 })
            .collect();
        diff(contestant.store.as_ref(), &updates)
    });
}

/// What was found out before the end, or before something failed.
#[derive(Default)]
struct HeldCosts {
    update_without: Option<f64>,
    update: Option<f64>,
    bytes: Option<f64>,
    read: Option<f64>,
    drop: Option<f64>,
}

impl HeldCosts {
    fn record(self, peer: &'static str, end: &Answer<()>, results: &mut Results) {
        let figures = [self.update_without, self.update, self.bytes, self.read, self.drop];
        for (id, figure) in HELD.into_iter().zip(figures) {
            let refusal = match end {
                Err(Refusal::Failed(why)) => Refusal::Failed(why.clone()),
                _ => Refusal::Unsupported,
            };
            results.record_one(id, peer, figure.ok_or(refusal));
        }
    }
}

fn hold_over(store: &dyn Store, before: &[AgeUpdate], during: &[AgeUpdate], costs: &mut HeldCosts) -> Answer<()> {
    drop(store.hold()?);
    let hot: Vec<u64> = during.iter().rev().take(HOT_ROWS).map(|update| update.id).collect();
    costs.update_without = Some(timed_updates(store, before, || Ok(()))?);
    let period = CountingPeriod::start();
    let foreign_before = store.foreign_bytes();
    let held_bytes = || period.live_bytes() as f64 + store.foreign_bytes() as f64 - foreign_before as f64;
    let snapshot = store.hold()?;
    let expected = snapshot.get_by_id(&hot)?;
    costs.update = Some(timed_updates(store, during, || {
        let bytes = held_bytes();
        let within = bytes <= HELD_BYTES_MAX;
        within.then_some(()).ok_or_else(|| Refusal::Failed(format!("more than {} held", Unit::Bytes.show(bytes))))
    })?);
    let (read, found) = timed(hot.len(), || snapshot.get_by_id(&hot))?;
    if found != expected {
        return Err(Refusal::Failed("the snapshot changed while it was held".into()));
    }
    costs.read = Some(read);
    costs.bytes = Some(held_bytes());
    let (drop, ()) = timed(1, || {
        drop(snapshot);
        Ok(())
    })?;
    costs.drop = Some(drop);
    Ok(())
}

/// Updates in slices and asks `may_go_on` between them; nanoseconds for one update.
fn timed_updates(store: &dyn Store, updates: &[AgeUpdate], may_go_on: impl Fn() -> Answer<()>) -> Answer {
    let (nanos, ()) = timed(updates.len(), || {
        updates.chunks(SLICE).try_for_each(|slice| {
            store.update_each(slice)?;
            may_go_on()
        })
    })?;
    Ok(nanos)
}

fn diff(store: &dyn Store, updates: &[AgeUpdate]) -> Answer<crate::measure::Batch> {
    let snapshot = store.hold()?;
    // Asked before the updates, so that a store that cannot do it is not changed for nothing.
    snapshot.changed_rows()?;
    store.update_each(updates)?;
    let (value, changed) = timed(1, || snapshot.changed_rows())?;
    if changed != updates.len() as u64 {
        return Err(Refusal::Failed(format!("found {changed} of {} changed rows", updates.len())));
    }
    Ok(crate::measure::Batch { value, checksum: None })
}
