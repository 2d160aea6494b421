//! Reads of many rows: scans, filters, groups, ranges.

use super::{Results, Suite};
use crate::measure::{Contestant, timed_read, timed_repeatedly};
use crate::peer::{Answer, Store};
use crate::workload::COUNTRY_COUNT;

pub(super) const KEY_ONLY: [&str; 5] =
    ["scan", "filter_predicate", "filter_closure", "average_by_country", "top_by_score"];
pub(super) const FULL: [&str; 2] = ["fetch_country", "fetch_range"];

type Query = fn(&dyn Store) -> Answer;

pub(super) fn run_key_only(suite: &Suite<'_>, contestants: &[Contestant], results: &mut Results) {
    let queries: [(&'static str, Query); 5] = [
        ("scan", |store| store.scan()),
        ("filter_predicate", |store| store.filter_by_predicate()),
        ("filter_closure", |store| store.filter_by_closure()),
        ("average_by_country", |store| store.average_by_country()),
        ("top_by_score", |store| store.top_by_score()),
    ];
    for (id, query) in queries {
        suite.measure(id, contestants, results, |contestant, _| {
            timed_repeatedly(suite.settings.batch_duration(), || query(contestant.store.as_ref()))
        });
    }
}

pub(super) fn run_full(suite: &Suite<'_>, contestants: &[Contestant], results: &mut Results) {
    let mut random = suite.generator.random(400);
    let fetches = 100;
    let countries: Vec<Vec<u16>> = (0..suite.all_rounds())
        .map(|_| (0..fetches).map(|_| random.below(u64::from(COUNTRY_COUNT)) as u16).collect())
        .collect();
    suite.measure("fetch_country", contestants, results, |contestant, round| {
        timed_read(fetches, || contestant.store.fetch_country(&countries[round]))
    });
    let ranges = suite.settings.reads() / 100;
    let starts: Vec<Vec<f64>> = (0..suite.all_rounds())
        .map(|_| (0..ranges).map(|_| suite.rows[random.below(suite.rows.len() as u64) as usize].score).collect())
        .collect();
    suite.measure("fetch_range", contestants, results, |contestant, round| {
        timed_read(ranges, || contestant.store.fetch_score_range(&starts[round]))
    });
}
