//! Memory per row: live bytes by the counting allocator, plus what a store holds elsewhere; resident memory beside it.

use super::{Results, Suite, progress};
use crate::allocator::{CountingPeriod, resident_bytes, trim};
use crate::peer::{Answer, Peer, Refusal};
use crate::workload::Shape;

const TABLES: [(Shape, &str, &str); 3] = [
    (Shape::KeyOnly, "memory_key_only", "resident_key_only"),
    (Shape::Email, "memory_email", "resident_email"),
    (Shape::Full, "memory_indexed", "resident_indexed"),
];

pub(super) fn run(suite: &Suite<'_>, results: &mut Results) {
    for (shape, live_id, resident_id) in TABLES {
        if !suite.settings.wants_any(&[live_id, resident_id]) {
            continue;
        }
        progress(live_id);
        for peer in suite.peers {
            match load(suite, peer.as_ref(), shape) {
                Ok((live, resident)) => {
                    results.record_one(live_id, peer.name(), Ok(live));
                    results.record_one(resident_id, peer.name(), resident.ok_or(Refusal::Unsupported));
                }
                Err(refusal) => results.record_one(live_id, peer.name(), Err(refusal)),
            }
        }
    }
}

fn load(suite: &Suite<'_>, peer: &dyn Peer, shape: Shape) -> Answer<(f64, Option<f64>)> {
    trim();
    let resident_before = resident_bytes();
    let period = CountingPeriod::start();
    let store = peer.create(shape, suite.rows.len())?;
    // A library's count may cover more than this store.
    let foreign_before = store.foreign_bytes();
    store.insert_bulk(&suite.rows)?;
    let foreign = store.foreign_bytes().saturating_sub(foreign_before);
    let rows = suite.rows.len() as f64;
    let live = (period.live_bytes() as f64 + foreign as f64) / rows;
    trim();
    let resident = resident_before.zip(resident_bytes()).map(|(before, after)| (after - before) as f64 / rows);
    Ok((live, resident))
}
