//! Processes that append and read through every handle there is, write down what they saw, and on demand misuse the
//! database so that the history is wrong.

use crate::ending::{Ending, Planned, end};
use crate::history::{Element, Key, Outcome, Recorded, Step};
use crate::lists::{self, FORMS};
use crate::random::Random;
use folio::{Database, Result, Snapshot, Transaction};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// Appends after which a list is left alone: what must be compared stays short, and fights are over new lists, too.
const APPENDS_MAX: u64 = 32;

/// Something wrong that a process does, and writes down as if it had been one transaction that went right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    None,
    /// Reads one list in one version and another list in a later one.
    TwoVersions,
    /// Reads a list, then appends to it in a later transaction.
    LostUpdate,
    /// Reads two lists, then appends to one of them in a later transaction.
    WriteSkew,
    /// Commits its first append before its second one.
    Halves,
    /// Says that a transaction was rolled back that was not.
    Resurrected,
    /// Says that a transaction took place that was rolled back.
    Forgotten,
    /// Reads an old version.
    Stale,
}

/// What the processes of one history have in common.
pub(crate) struct World {
    db: Database,
    plant: Plant,
    clock: AtomicU64,
    elements: AtomicU64,
    /// Appends to each hot list and those that had its place before it.
    appended: Vec<AtomicU64>,
}

impl World {
    pub(crate) fn new(list_count: u64, plant: Plant) -> World {
        World {
            db: lists::database(),
            plant,
            clock: AtomicU64::new(0),
            elements: AtomicU64::new(1),
            appended: (0..list_count).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn key(&self, place: u64, appended: u64) -> Key {
        (appended / APPENDS_MAX * self.appended.len() as u64 + place) * FORMS + place % FORMS
    }

    /// Every list that there is, in one version at the end.
    pub(crate) fn read_all(&self) -> Recorded {
        let start = self.now();
        let snapshot = self.db.snapshot();
        let stop = self.now();
        let mut steps = Vec::new();
        for (place, appended) in self.appended.iter().enumerate() {
            for of in (0..=appended.load(Ordering::SeqCst)).step_by(APPENDS_MAX as usize) {
                let key = self.key(place as u64, of);
                steps.push(Step::Read(key, lists::read_snapshot(&snapshot, key, of)));
            }
        }
        Recorded { start, stop, outcome: Outcome::Committed, steps }
    }
}

fn random_ending(random: &mut Random) -> Ending {
    match random.below(8) {
        0 => Ending::Error,
        1 => Ending::Panic,
        _ => Ending::Success,
    }
}

/// Runs a transaction or savepoint whose closure ends as planned; true if it took place.
fn took_place(body: impl FnOnce() -> Result<()>) -> bool {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            assert_eq!(error.code(), "aborted", "{error}");
            false
        }
        Err(panic) if panic.is::<Planned>() => false,
        Err(panic) => resume_unwind(panic),
    }
}

/// What of these steps others may know of: reads, without what was appended here and is taken back.
fn without_own(steps: &[Step]) -> Vec<Step> {
    let mut own: Vec<(Key, Element)> = Vec::new();
    let mut kept = Vec::new();
    for step in steps {
        match step {
            Step::Append(key, element) => own.push((*key, *element)),
            Step::Read(key, list) => {
                let mine: Vec<Element> = own.iter().filter(|(of, _)| of == key).map(|(_, element)| *element).collect();
                // What does not end so stays as it is, for the judge to find.
                let of_others = list.strip_suffix(mine.as_slice()).unwrap_or(list);
                kept.push(Step::Read(*key, of_others.to_vec()));
            }
        }
    }
    kept
}

fn appends(steps: &[Step]) -> Vec<Step> {
    steps.iter().filter(|step| matches!(step, Step::Append(..))).cloned().collect()
}

pub(crate) struct Process<'w> {
    world: &'w World,
    random: Random,
    /// What others may have seen of this process, and must not have seen.
    pub(crate) log: Vec<Recorded>,
    /// Snapshots that are kept, with what was read in them so far.
    held: Vec<(Snapshot, Recorded)>,
}

impl<'w> Process<'w> {
    pub(crate) fn new(world: &'w World, seed: u64) -> Process<'w> {
        Process { world, random: Random(seed), log: Vec::new(), held: Vec::new() }
    }

    /// Runs this many transactions.
    pub(crate) fn run(mut self, transactions: u64) -> Vec<Recorded> {
        for _ in 0..transactions {
            match self.random.below(20) {
                0..12 if self.world.plant != Plant::None && self.random.below(4) == 0 => self.misuse(),
                0..12 => self.transaction(),
                12..15 => self.snapshot(),
                15 => self.fork(),
                16..18 => self.read_live(),
                _ => self.read_held(),
            }
        }
        self.log.extend(self.held.into_iter().map(|(_, recorded)| recorded));
        self.log
    }

    fn random_key(&mut self) -> Key {
        let place = self.random.below(self.world.appended.len() as u64);
        self.world.key(place, self.world.appended[place as usize].load(Ordering::SeqCst))
    }

    /// An element for a list of one of the places, and the list.
    fn next_append(&mut self) -> (Key, Element) {
        let place = self.random.below(self.world.appended.len() as u64);
        let appended = self.world.appended[place as usize].fetch_add(1, Ordering::SeqCst);
        (self.world.key(place, appended), self.world.elements.fetch_add(1, Ordering::SeqCst))
    }

    fn record(&mut self, start: u64, outcome: Outcome, steps: Vec<Step>) {
        let stop = self.world.now();
        self.log.push(Recorded { start, stop, outcome, steps });
    }

    /// Appends and reads, savepoints among them, with any ending.
    fn transaction(&mut self) {
        let ending = random_ending(&mut self.random);
        let steps = RefCell::new(Vec::new());
        let start = self.world.now();
        let db = &self.world.db;
        let committed = took_place(|| {
            db.transaction(|tx| {
                self.steps(tx, &steps, 0)?;
                end(ending)
            })
        });
        let steps = steps.into_inner();
        assert_eq!(committed, ending == Ending::Success);
        if committed {
            self.record(start, Outcome::Committed, steps);
        } else {
            // It was rolled back, yet what it had read was one version.
            self.record(start, Outcome::Aborted, appends(&steps));
            self.record(start, Outcome::Committed, without_own(&steps));
        }
    }

    fn steps(&mut self, tx: &Transaction<'_>, steps: &RefCell<Vec<Step>>, depth: u64) -> Result<()> {
        for _ in 0..1 + self.random.below(6 - 2 * depth) {
            let way = self.random.below(64);
            match self.random.below(10) {
                0..4 => {
                    let (key, element) = self.next_append();
                    lists::append(tx, key, element, way)?;
                    steps.borrow_mut().push(Step::Append(key, element));
                }
                4 if depth < 2 => self.savepoint(tx, steps, depth)?,
                // From outside, in the middle of the write: what was committed before.
                5 if depth == 0 => self.read_live(),
                _ => {
                    let key = self.random_key();
                    steps.borrow_mut().push(Step::Read(key, lists::read(tx, key, way)));
                }
            }
        }
        Ok(())
    }

    fn savepoint(&mut self, tx: &Transaction<'_>, steps: &RefCell<Vec<Step>>, depth: u64) -> Result<()> {
        let ending = random_ending(&mut self.random);
        let within = RefCell::new(Vec::new());
        let start = self.world.now();
        let kept = took_place(|| {
            tx.savepoint(|tx| {
                self.steps(tx, &within, depth + 1)?;
                end(ending)
            })
        });
        let within = within.into_inner();
        assert_eq!(kept, ending == Ending::Success);
        if kept {
            steps.borrow_mut().extend(within);
        } else {
            self.record(start, Outcome::Aborted, appends(&within));
            steps.borrow_mut().extend(without_own(&within));
        }
        Ok(())
    }

    /// One read on its own, of the newest version.
    fn read_live(&mut self) {
        let (key, way) = (self.random_key(), self.random.below(64));
        let start = self.world.now();
        let list = lists::read_live(&self.world.db, key, way);
        self.record(start, Outcome::Committed, vec![Step::Read(key, list)]);
    }

    /// Its moment is that at which it was taken, whenever it is read.
    fn take_snapshot(&mut self) -> (Snapshot, Recorded) {
        let start = self.world.now();
        let snapshot = self.world.db.snapshot();
        let stop = self.world.now();
        (snapshot, Recorded { start, stop, outcome: Outcome::Committed, steps: Vec::new() })
    }

    fn read_some(&mut self, snapshot: &Snapshot, recorded: &mut Recorded) {
        for _ in 0..1 + self.random.below(4) {
            let (key, way) = (self.random_key(), self.random.below(64));
            recorded.steps.push(Step::Read(key, lists::read_snapshot(snapshot, key, way)));
        }
    }

    fn snapshot(&mut self) {
        let (snapshot, mut recorded) = self.take_snapshot();
        self.read_some(&snapshot, &mut recorded);
        if self.random.below(2) == 0 {
            self.held.push((snapshot, recorded));
        } else {
            self.log.push(recorded);
        }
        if self.held.len() > 4 {
            let place = self.random.below(4) as usize;
            let (_, recorded) = self.held.swap_remove(place);
            self.log.push(recorded);
        }
    }

    fn read_held(&mut self) {
        if self.held.is_empty() {
            return self.snapshot();
        }
        let place = self.random.below(self.held.len() as u64) as usize;
        let (snapshot, mut recorded) = self.held.swap_remove(place);
        self.read_some(&snapshot, &mut recorded);
        self.held.push((snapshot, recorded));
    }

    /// A fork reads its origin as of when it was made; what is appended in it must not be seen by anybody else.
    fn fork(&mut self) {
        let start = self.world.now();
        let fork = self.world.db.fork();
        let stop = self.world.now();
        let mut recorded = Recorded { start, stop, outcome: Outcome::Committed, steps: Vec::new() };
        let origin = fork.snapshot();
        let mut own = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let ((key, element), way) = (self.next_append(), self.random.below(64));
            fork.transaction(|tx| lists::append(tx, key, element, way)).unwrap();
            own.push(Step::Append(key, element));
            let list = lists::read_live(&fork, key, way);
            assert_eq!(list.last(), Some(&element), "a fork sees its own appends");
            own.push(Step::Read(key, list));
            self.read_some(&origin, &mut recorded);
        }
        recorded.steps.extend(without_own(&own));
        self.log.push(recorded);
        self.record(start, Outcome::Aborted, appends(&own));
    }

    fn read_now(&mut self, key: Key) -> Step {
        let way = self.random.below(64);
        Step::Read(key, lists::read_live(&self.world.db, key, way))
    }

    /// Appends in a transaction that succeeds.
    fn append_now(&mut self, key: Key, element: Element) -> Step {
        let way = self.random.below(64);
        self.world.db.transaction(|tx| lists::append(tx, key, element, way)).unwrap();
        Step::Append(key, element)
    }

    /// Others, in the middle of what should have been one transaction: one that reads lists and appends to them.
    fn meanwhile(&mut self, keys: &[Key]) {
        let start = self.world.now();
        let mut steps = Vec::new();
        let db = &self.world.db;
        db.transaction(|tx| {
            for &key in keys {
                let element = self.world.elements.fetch_add(1, Ordering::SeqCst);
                steps.push(Step::Read(key, lists::read(tx, key, element)));
                lists::append(tx, key, element, element)?;
                steps.push(Step::Append(key, element));
            }
            Ok(())
        })
        .unwrap();
        self.record(start, Outcome::Committed, steps);
    }

    fn misuse(&mut self) {
        let start = self.world.now();
        let ((key, element), (other, second)) = (self.next_append(), self.next_append());
        match self.world.plant {
            Plant::None => {}
            Plant::TwoVersions | Plant::WriteSkew if key == other => {}
            Plant::TwoVersions => {
                let first = self.read_now(key);
                self.meanwhile(&[key, other]);
                let steps = vec![first, self.read_now(other)];
                self.record(start, Outcome::Committed, steps);
            }
            Plant::LostUpdate => {
                let read = self.read_now(key);
                self.meanwhile(&[key]);
                let steps = vec![read, self.append_now(key, element)];
                self.record(start, Outcome::Committed, steps);
            }
            Plant::WriteSkew => {
                let reads = [self.read_now(key), self.read_now(other)];
                let begun = self.world.now();
                let their_reads = [self.read_now(key), self.read_now(other)];
                let appended = self.append_now(key, element);
                self.record(start, Outcome::Committed, reads.into_iter().chain([appended]).collect());
                let appended = self.append_now(other, second);
                self.record(begun, Outcome::Committed, their_reads.into_iter().chain([appended]).collect());
            }
            Plant::Halves => {
                let first = self.append_now(key, element);
                self.meanwhile(&[key, other]);
                let steps = vec![first, self.append_now(key, second)];
                self.record(start, Outcome::Committed, steps);
            }
            Plant::Resurrected => {
                let step = self.append_now(key, element);
                self.record(start, Outcome::Aborted, vec![step]);
            }
            Plant::Forgotten => self.record(start, Outcome::Committed, vec![Step::Append(key, element)]),
            Plant::Stale => {
                let (snapshot, _) = self.take_snapshot();
                self.meanwhile(&[key]);
                let start = self.world.now();
                let list = lists::read_snapshot(&snapshot, key, 0);
                self.record(start, Outcome::Committed, vec![Step::Read(key, list)]);
            }
        }
    }
}
