//! Bulk loads: a fresh table, all rows in one transaction.

use super::{Results, Suite, progress};
use crate::measure::{Outcome, timed};
use crate::peer::{Answer, Peer};
use crate::workload::Shape;

/// Loads are long, and vary little.
const ROUNDS_MAX: usize = 3;

pub(super) fn run(suite: &Suite<'_>, results: &mut Results) {
    for (id, shape) in [("bulk_key_only", Shape::KeyOnly), ("bulk_indexed", Shape::Full)] {
        if suite.settings.wants(id) {
            progress(id);
            run_one(suite, id, shape, results);
        }
    }
}

fn run_one(suite: &Suite<'_>, id: &'static str, shape: Shape, results: &mut Results) {
    let expected: f64 = suite.rows.iter().map(crate::workload::Row::checksum).sum();
    let mut samples: Vec<Vec<f64>> = suite.peers.iter().map(|_| Vec::new()).collect();
    for round in 0..suite.settings.rounds.min(ROUNDS_MAX) {
        for (position, peer) in suite.peers.iter().enumerate() {
            // Refused in an earlier round.
            if samples[position].len() != round {
                continue;
            }
            match load(suite, peer.as_ref(), shape) {
                Ok((nanos, checksum)) => {
                    samples[position].push(nanos);
                    if checksum != expected {
                        results.disagree(id, format!("{} holds {checksum}, not {expected}", peer.name()));
                    }
                }
                Err(refusal) => results.record(id, peer.name(), Outcome::Refused(refusal)),
            }
        }
    }
    for (peer, samples) in suite.peers.iter().zip(samples) {
        if !samples.is_empty() {
            results.record(id, peer.name(), Outcome::of(samples));
        }
    }
}

fn load(suite: &Suite<'_>, peer: &dyn Peer, shape: Shape) -> Answer<(f64, f64)> {
    let store = peer.create(shape, suite.rows.len())?;
    let (nanos, ()) = timed(suite.rows.len(), || store.insert_bulk(&suite.rows))?;
    Ok((nanos, store.scan()?))
}
