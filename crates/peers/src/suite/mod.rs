//! The workloads, by what they need: a loaded table, a fresh one, a second thread, an old snapshot.

mod bulk;
mod concurrency;
mod durable;
mod growth;
mod memory;
mod queries;
mod reads;
mod versions;
mod writes;

use crate::measure::{Contestant, Outcome, Rounds, run_rounds};
use crate::peer::{Answer, Peer, Refusal};
use crate::settings::Settings;
use crate::workload::{Generator, Row, Shape};
use std::collections::HashMap;

pub(crate) use growth::GrowthPoint;

/// Everything that a run found out.
#[derive(Default)]
pub(crate) struct Results {
    outcomes: HashMap<(&'static str, &'static str), Outcome>,
    /// Checksums that differ between peers: the figures beside them are worth nothing.
    pub disagreements: Vec<String>,
    pub growth: Vec<GrowthPoint>,
}

impl Results {
    pub(crate) fn get<'r>(&'r self, workload: &'r str, peer: &'r str) -> Option<&'r Outcome> {
        self.outcomes.get(&(workload, peer))
    }

    fn record(&mut self, workload: &'static str, peer: &'static str, outcome: Outcome) {
        self.outcomes.insert((workload, peer), outcome);
    }

    fn record_one(&mut self, workload: &'static str, peer: &'static str, answer: Answer) {
        let outcome = answer.map_or_else(Outcome::Refused, |value| Outcome::of(vec![value]));
        self.record(workload, peer, outcome);
    }

    fn record_rounds(&mut self, workload: &'static str, rounds: Rounds) {
        for (peer, outcome) in rounds.outcomes {
            self.record(workload, peer, outcome);
        }
        self.disagreements.extend(rounds.disagreements.into_iter().map(|text| format!("{workload}: {text}")));
    }

    fn disagree(&mut self, workload: &'static str, text: String) {
        self.disagreements.push(format!("{workload}: {text}"));
    }
}

/// What every part of the suite works with.
pub(crate) struct Suite<'a> {
    pub settings: &'a Settings,
    pub peers: &'a [Box<dyn Peer>],
    pub generator: Generator,
    /// The rows that tables start with, in order of key.
    pub rows: Vec<Row>,
}

impl Suite<'_> {
    /// Runs what the settings ask for.
    pub(crate) fn run(&self) -> Results {
        let mut results = Results::default();
        self.run_key_only(&mut results);
        self.run_hash_key(&mut results);
        self.run_full(&mut results);
        bulk::run(self, &mut results);
        memory::run(self, &mut results);
        growth::run(self, &mut results);
        results
    }

    /// Runs the suite on disk.
    pub(crate) fn run_on_disk(&self) -> Results {
        let mut results = Results::default();
        durable::run(self, &mut results);
        results
    }

    fn run_key_only(&self, results: &mut Results) {
        let ids = [&reads::KEY_ONLY[..], &queries::KEY_ONLY, &concurrency::ALL, &versions::ALL, &writes::KEY_ONLY];
        if !self.settings.wants_any(&ids.concat()) {
            return;
        }
        let contestants = self.load(&[Shape::KeyOnly], &self.rows);
        reads::run_key_only(self, &contestants, results);
        queries::run_key_only(self, &contestants, results);
        versions::run_cheap(self, &contestants, results);
        concurrency::run(self, &contestants, results);
        writes::run_key_only(self, &contestants, results);
        versions::run_held(self, &contestants, results);
    }

    fn run_hash_key(&self, results: &mut Results) {
        if self.settings.wants("get_by_hash_key") {
            let contestants = self.load(&[Shape::HashKey], &self.generator.hash_keyed(&self.rows));
            reads::run_hash_key(self, &contestants, results);
        }
    }

    fn run_full(&self, results: &mut Results) {
        let ids = [&reads::FULL[..], &queries::FULL, &writes::FULL];
        if self.settings.wants_any(&ids.concat()) {
            // A peer that has no ordered index can still show its unique one.
            let contestants = self.load(&[Shape::Full, Shape::Email], &self.rows);
            reads::run_full(self, &contestants, results);
            queries::run_full(self, &contestants, results);
            writes::run_full(self, &contestants, results);
        }
    }

    /// A loaded store of each wanted peer, in the first of the shapes that it can do.
    fn load(&self, shapes: &[Shape], rows: &[Row]) -> Vec<Contestant> {
        let mut contestants = Vec::new();
        for peer in self.peers {
            for shape in shapes {
                match self.load_one(peer.as_ref(), *shape, rows) {
                    Ok(contestant) => {
                        contestants.push(contestant);
                        break;
                    }
                    Err(Refusal::Unsupported) => {}
                    Err(Refusal::Failed(why)) => eprintln!("{} left out of {shape:?}: {why}", peer.name()),
                }
            }
        }
        contestants
    }

    fn load_one(&self, peer: &dyn Peer, shape: Shape, rows: &[Row]) -> Answer<Contestant> {
        progress(&format!("loading {} rows into {} ({shape:?})", rows.len(), peer.name()));
        let store = peer.create(shape, rows.len() * 2)?;
        store.insert_bulk(rows)?;
        Ok(Contestant { name: peer.name(), shape, store })
    }

    /// Runs one workload in rounds, if it is wanted.
    fn measure(
        &self,
        id: &'static str,
        contestants: &[Contestant],
        results: &mut Results,
        batch: impl FnMut(&Contestant, usize) -> Answer<crate::measure::Batch>,
    ) {
        if self.settings.wants(id) {
            progress(id);
            let rounds = run_rounds(contestants, self.settings.warm_ups(), self.settings.rounds, batch);
            results.record_rounds(id, rounds);
        }
    }

    /// All rounds of a workload, warm-ups included.
    fn all_rounds(&self) -> usize {
        self.settings.warm_ups() + self.settings.rounds
    }
}

fn progress(text: &str) {
    eprintln!("{text}");
}
