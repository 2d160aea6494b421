//! Writes into loaded tables. After the last round of each, every table is scanned and the sums compared.

use super::{Results, Suite};
use crate::measure::{Batch, Contestant, timed, timed_read};
use crate::peer::{Answer, Refusal};
use crate::workload::{GROUP, Shape, Zipfian};

pub(super) const KEY_ONLY: [&str; 4] = ["update_each", "update_grouped", "mixed", "insert_key_only"];
pub(super) const FULL: [&str; 3] = ["update_score", "insert_indexed", "delete_indexed"];

/// First ordinal of the scores that updates write: past those of any row, and below 2^27, where scores repeat.
const FRESH_SCORES: u64 = 100_000_000;

pub(super) fn run_key_only(suite: &Suite<'_>, contestants: &[Contestant], results: &mut Results) {
    let (rows, count) = (suite.rows.len(), suite.settings.writes() / GROUP * GROUP);
    let updates = |round: usize| suite.generator.age_updates(500 + round as u64, rows, count);
    let updates: Vec<_> = (0..suite.all_rounds()).map(updates).collect();
    suite.measure("update_each", contestants, results, |contestant, round| {
        let work = || contestant.store.update_each(&updates[round]);
        timed_write(suite, contestant, round, count, work)
    });
    suite.measure("update_grouped", contestants, results, |contestant, round| {
        let work = || contestant.store.update_grouped(&updates[round]);
        timed_write(suite, contestant, round, count, work)
    });
    if suite.settings.wants("mixed") {
        let zipfian = Zipfian::new(rows);
        let count = suite.settings.reads();
        let operations = |round: usize| suite.generator.mixed_operations(600 + round as u64, &zipfian, count);
        let operations: Vec<_> = (0..suite.all_rounds()).map(operations).collect();
        suite.measure("mixed", contestants, results, |contestant, round| {
            timed_read(count, || contestant.store.run_mixed(&operations[round]))
        });
    }
    insert(suite, "insert_key_only", contestants, results);
}

pub(super) fn run_full(suite: &Suite<'_>, contestants: &[Contestant], results: &mut Results) {
    let (rows, count) = (suite.rows.len(), suite.settings.writes());
    let updates = |round: usize| {
        let first = FRESH_SCORES + (round * count) as u64;
        suite.generator.score_updates(700 + round as u64, rows, first, count)
    };
    let updates: Vec<_> = (0..suite.all_rounds()).map(updates).collect();
    suite.measure("update_score", contestants, results, |contestant, round| {
        let work = || with_all_indexes(contestant)?.store.update_score_each(&updates[round]);
        timed_write(suite, contestant, round, count, work)
    });
    insert(suite, "insert_indexed", contestants, results);
    let count = suite.settings.deletes();
    let ids = suite.generator.distinct_ids(800, rows, count * suite.all_rounds());
    suite.measure("delete_indexed", contestants, results, |contestant, round| {
        let ids = ids.chunks(count).nth(round).unwrap_or_default();
        let work = || with_all_indexes(contestant)?.store.delete_each(ids);
        timed_write(suite, contestant, round, ids.len(), work)
    });
}

/// Inserts rows behind those that are there, in the table's order of keys.
fn insert(suite: &Suite<'_>, id: &'static str, contestants: &[Contestant], results: &mut Results) {
    if !suite.settings.wants(id) {
        return;
    }
    let count = suite.settings.writes();
    let fresh = suite.generator.rows(suite.rows.len() as u64 + 1, count * suite.all_rounds());
    suite.measure(id, contestants, results, |contestant, round| {
        let rows = fresh.chunks(count).nth(round).unwrap_or_default();
        let work = || match id {
            "insert_indexed" => with_all_indexes(contestant)?.store.insert_each(rows),
            _ => contestant.store.insert_each(rows),
        };
        timed_write(suite, contestant, round, rows.len(), work)
    });
}

fn with_all_indexes(contestant: &Contestant) -> Answer<&Contestant> {
    if contestant.shape == Shape::Full { Ok(contestant) } else { Err(Refusal::Unsupported) }
}

fn timed_write(
    suite: &Suite<'_>,
    contestant: &Contestant,
    round: usize,
    operations: usize,
    work: impl FnOnce() -> Answer<()>,
) -> Answer<Batch> {
    let (value, ()) = timed(operations, work)?;
    let last = round + 1 == suite.all_rounds();
    let checksum = if last { Some(contestant.store.scan()?) } else { None };
    Ok(Batch { value, checksum })
}
