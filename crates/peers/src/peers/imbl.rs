//! imbl: persistent maps. The state is one value of maps that share structure; readers load it, a writer replaces it.

use super::codec::{Averages, Top, sortable};
use crate::peer::{Answer, Held, Kind, Peer, Refusal, Store};
use crate::workload::{AgeUpdate, GROUP, MANY, Operation, RANGE_ROWS, Row, ScoreUpdate, Shape};
use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{GenericHashMap, GenericHashSet, OrdSet};
use parking_lot::Mutex;
use std::hint::black_box;
use std::sync::Arc;

type Map<K, V> = GenericHashMap<K, V, RandomState, DefaultSharedPtr>;
type Set<K> = GenericHashSet<K, RandomState, DefaultSharedPtr>;

pub(super) struct ImblPeer;

impl Peer for ImblPeer {
    fn name(&self) -> &'static str {
        "imbl"
    }

    fn setup(&self) -> &'static str {
        "`imbl` hash maps (foldhash) of `Arc<Row>` and an `OrdSet` for the order, all in one `ArcSwap`; writers take a \
         mutex, change a clone and store it"
    }

    fn kind(&self) -> Kind {
        Kind::Database
    }

    fn create(&self, shape: Shape, _rows_max: usize) -> Answer<Box<dyn Store>> {
        let store = ImblStore { shape, writer: Mutex::new(()), state: ArcSwap::default() };
        Ok(Box::new(store))
    }
}

struct ImblStore {
    shape: Shape,
    writer: Mutex<()>,
    state: ArcSwap<State>,
}

#[derive(Clone, Default)]
struct State {
    last_id: u64,
    rows: Map<u64, Arc<Row>>,
    by_email: Map<String, u64>,
    by_country: Map<u16, Set<u64>>,
    by_score: OrdSet<(u64, u64)>,
}

impl State {
    fn insert(&mut self, shape: Shape, row: &Row) -> Answer<()> {
        let mut row = row.clone();
        if shape != Shape::HashKey {
            self.last_id += 1;
            row.id = self.last_id;
        }
        if shape.has_email() && self.by_email.insert(row.email.clone(), row.id).is_some() {
            return Err(Refusal::Failed("the email exists".into()));
        }
        if shape.has_country_and_score() {
            self.by_country.entry(row.country).or_default().insert(row.id);
            self.by_score.insert((sortable(row.score), row.id));
        }
        self.rows.insert(row.id, Arc::new(row));
        Ok(())
    }

    fn delete(&mut self, shape: Shape, id: u64) {
        let Some(row) = self.rows.remove(&id) else { return };
        if shape.has_email() {
            self.by_email.remove(&row.email);
        }
        if shape.has_country_and_score() {
            if let Some(ids) = self.by_country.get_mut(&row.country) {
                ids.remove(&id);
            }
            self.by_score.remove(&(sortable(row.score), id));
        }
    }

    fn update_age(&mut self, update: &AgeUpdate) {
        if let Some(row) = self.rows.get_mut(&update.id) {
            *row = Arc::new(Row { age: update.age, ..Row::clone(row) });
        }
    }

    fn update_score(&mut self, update: &ScoreUpdate) {
        if let Some(row) = self.rows.get_mut(&update.id) {
            self.by_score.remove(&(sortable(row.score), row.id));
            self.by_score.insert((sortable(update.score), row.id));
            *row = Arc::new(Row { score: update.score, ..Row::clone(row) });
        }
    }

    #[inline]
    fn checksum_of(&self, id: u64) -> f64 {
        self.rows.get(&id).map_or(0.0, |row| row.checksum())
    }
}

impl ImblStore {
    fn commit<T>(&self, change: impl FnOnce(&mut State) -> Answer<T>) -> Answer<T> {
        let _writer = self.writer.lock();
        let mut state = State::clone(&self.state.load());
        let result = change(&mut state)?;
        self.state.store(Arc::new(state));
        Ok(result)
    }
}

impl Store for ImblStore {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        Ok(ids.iter().map(|id| self.state.load().checksum_of(*id)).sum())
    }

    fn get_by_email(&self, emails: &[&str]) -> Answer {
        let mut sum = 0.0;
        for email in emails {
            let state = self.state.load();
            if let Some(row) = state.by_email.get(*email).and_then(|id| state.rows.get(id)) {
                sum += row.checksum();
                black_box(row.name.as_bytes());
            }
        }
        Ok(sum)
    }

    fn get_many(&self, ids: &[u64]) -> Answer {
        let mut sum = 0.0;
        for group in ids.chunks(MANY) {
            let state = self.state.load();
            sum += group.iter().map(|id| state.checksum_of(*id)).sum::<f64>();
        }
        Ok(sum)
    }

    fn fetch_country(&self, countries: &[u16]) -> Answer {
        let mut sum = 0.0;
        for country in countries {
            let state = self.state.load();
            if let Some(ids) = state.by_country.get(country) {
                sum += ids.iter().map(|id| state.checksum_of(*id)).sum::<f64>();
            }
        }
        Ok(sum)
    }

    fn fetch_score_range(&self, starts: &[f64]) -> Answer {
        let mut sum = 0.0;
        for start in starts {
            let state = self.state.load();
            let range = state.by_score.range((sortable(*start), 0)..).take(RANGE_ROWS);
            sum += range.map(|(_, id)| state.checksum_of(*id)).sum::<f64>();
        }
        Ok(sum)
    }

    fn scan(&self) -> Answer {
        Ok(self.state.load_full().rows.values().map(|row| row.checksum()).sum())
    }

    fn filter_by_closure(&self) -> Answer {
        let state = self.state.load_full();
        Ok(state.rows.values().filter(|row| row.passes_filter()).map(|row| row.score).sum())
    }

    fn average_by_country(&self) -> Answer {
        let mut averages = Averages::new();
        self.state.load_full().rows.values().for_each(|row| averages.add(row.country, row.score));
        Ok(averages.checksum())
    }

    fn top_by_score(&self) -> Answer {
        let mut top = Top::new();
        self.state.load_full().rows.values().for_each(|row| top.add(row.score));
        Ok(top.checksum())
    }

    fn insert_each(&self, rows: &[Row]) -> Answer<()> {
        rows.iter().try_for_each(|row| self.commit(|state| state.insert(self.shape, row)))
    }

    fn insert_bulk(&self, rows: &[Row]) -> Answer<()> {
        self.commit(|state| rows.iter().try_for_each(|row| state.insert(self.shape, row)))
    }

    fn update_each(&self, updates: &[AgeUpdate]) -> Answer<()> {
        for update in updates {
            self.commit(|state| {
                state.update_age(update);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn update_grouped(&self, updates: &[AgeUpdate]) -> Answer<()> {
        for group in updates.chunks(GROUP) {
            self.commit(|state| {
                group.iter().for_each(|update| state.update_age(update));
                Ok(())
            })?;
        }
        Ok(())
    }

    fn update_score_each(&self, updates: &[ScoreUpdate]) -> Answer<()> {
        for update in updates {
            self.commit(|state| {
                state.update_score(update);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn delete_each(&self, ids: &[u64]) -> Answer<()> {
        for id in ids {
            self.commit(|state| {
                state.delete(self.shape, *id);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn run_mixed(&self, operations: &[Operation]) -> Answer {
        let mut sum = 0.0;
        for operation in operations {
            match operation {
                Operation::Read(id) => sum += self.state.load().checksum_of(*id),
                Operation::Update(update) => self.update_each(std::slice::from_ref(update))?,
            }
        }
        Ok(sum)
    }

    fn snapshot_and_drop(&self, count: usize) -> Answer<()> {
        (0..count).for_each(|_| drop(black_box(self.state.load_full())));
        Ok(())
    }

    fn fork_and_drop(&self, count: usize) -> Answer<()> {
        for _ in 0..count {
            let state = ArcSwap::from_pointee(State::clone(&self.state.load()));
            drop(black_box(ImblStore { shape: self.shape, writer: Mutex::new(()), state }));
        }
        Ok(())
    }

    fn hold(&self) -> Answer<Box<dyn Held + '_>> {
        Ok(Box::new(HeldState(self.state.load_full())))
    }
}

struct HeldState(Arc<State>);

impl Held for HeldState {
    fn get_by_id(&self, ids: &[u64]) -> Answer {
        Ok(ids.iter().map(|id| self.0.checksum_of(*id)).sum())
    }
}
