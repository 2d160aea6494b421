//! How loading, reading and committing grow with the table.

use super::{Results, Suite, progress};
use crate::measure::timed;
use crate::peer::{Answer, Peer};
use crate::workload::Shape;

/// One table's figures, in nanoseconds per row, read and commit.
pub(crate) struct GrowthPoint {
    pub peer: &'static str,
    pub rows: usize,
    pub bulk: f64,
    pub read: f64,
    pub commit: f64,
}

pub(super) fn run(suite: &Suite<'_>, results: &mut Results) {
    for rows in &suite.settings.growth {
        let data = suite.generator.rows(1, *rows);
        for peer in suite.peers.iter().filter(|peer| wanted(suite, peer.name())) {
            progress(&format!("growth: {} at {rows} rows", peer.name()));
            match measure(suite, peer.as_ref(), &data) {
                Ok(point) => results.growth.push(point),
                Err(refusal) => eprintln!("{} left out of growth at {rows} rows: {refusal}", peer.name()),
            }
        }
    }
}

fn wanted(suite: &Suite<'_>, name: &str) -> bool {
    if !suite.settings.growth_peers.is_empty() {
        return suite.settings.growth_peers.iter().any(|peer| peer == name);
    }
    let has_folio = suite.peers.iter().any(|peer| peer.name() == "folio");
    name == if has_folio { "folio" } else { "hashmap" }
}

fn measure(suite: &Suite<'_>, peer: &dyn Peer, data: &[crate::workload::Row]) -> Answer<GrowthPoint> {
    let rows = data.len();
    let store = peer.create(Shape::KeyOnly, rows)?;
    let (bulk, ()) = timed(rows, || store.insert_bulk(data))?;
    let (reads, writes) = (suite.settings.reads(), suite.settings.writes());
    let (mut read_samples, mut commit_samples) = (Vec::new(), Vec::new());
    for round in 0..suite.all_rounds() {
        let ids = suite.generator.uniform_ids(900 + round as u64, rows, reads);
        let updates = suite.generator.age_updates(950 + round as u64, rows, writes);
        read_samples.push(timed(reads, || store.get_by_id(&ids))?.0);
        commit_samples.push(timed(writes, || store.update_each(&updates))?.0);
    }
    let warm_ups = suite.settings.warm_ups();
    Ok(GrowthPoint {
        peer: peer.name(),
        rows,
        bulk,
        read: median(read_samples.split_off(warm_ups)),
        commit: median(commit_samples.split_off(warm_ups)),
    })
}

fn median(samples: Vec<f64>) -> f64 {
    crate::measure::Outcome::of(samples).median().unwrap_or_default()
}
