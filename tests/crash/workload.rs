//! What is done to the database, and the journal of what it answered.

use super::model::{Edit, KINDS, Kind, Record, State, apply, extra_index};
use super::random::Random;
use folio::storage::{FileEngine, FileOptions, Files, Format, StorageEngine};
use folio::testing::{Fault, FaultKind, SimFiles, without_threads, write_log};
use folio::{Database, Durability, Error, Result, Transaction};
use std::sync::Arc;

/// How a database of the test is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) format: Format,
    pub(crate) durability: Durability,
    pub(crate) seed: u64,
    pub(crate) steps: u64,
}

impl Setting {
    /// Small segments and steps, so that a short trace has many rotations.
    pub(crate) fn options(self) -> FileOptions {
        let (segment_bytes, preallocate_bytes) = match self.format {
            Format::Binary => (700, 300),
            Format::JsonLines => (1_400, 600),
        };
        FileOptions { format: self.format, segment_bytes, preallocate_bytes, keep_archived: false }
    }

    pub(crate) fn engine(self, files: impl Files + 'static) -> Result<FileEngine> {
        FileEngine::open_on(Arc::new(files), self.options())
    }

    /// Without threads, so that a seed makes the same trace again.
    pub(crate) fn database(self, engine: Arc<dyn StorageEngine>) -> Result<Database> {
        without_threads(Database::builder().durability(self.durability)).open_on(engine)
    }

    /// Whether the log follows what is committed.
    pub(crate) fn is_behind(self) -> bool {
        matches!(self.durability, Durability::Interval(_))
    }

    pub(crate) fn open(self, files: &SimFiles) -> Result<Database> {
        self.database(Arc::new(self.engine(files.clone())?))
    }
}

/// How many seeds each proof takes: one, or as many as `FOLIO_SEEDS` says, for a soak.
pub(crate) fn seeds() -> u64 {
    std::env::var("FOLIO_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1)
}

/// Ends the process that has the database: nothing that dropping it does reaches the files any more.
pub(crate) fn abandon(files: &SimFiles, db: Database) {
    files.set_fault(Some(Fault { call: 0, count: u64::MAX, kind: FaultKind::Error }));
    drop(db);
}

/// A version that is in the log, or may be.
pub(crate) struct Version {
    pub(crate) state: State,
    /// The device's operations when it was begun.
    pub(crate) began: usize,
}

/// What the database has answered.
pub(crate) struct Journal {
    /// By number.
    pub(crate) versions: Vec<Version>,
    /// Versions acknowledged as durable, and the device's operations then.
    pub(crate) durable: Vec<(usize, u64)>,
    /// The last version that the end of the process alone cannot lose.
    pub(crate) handed: u64,
    /// What readers see.
    pub(crate) seen: u64,
    pub(crate) checkpoints: u64,
    pub(crate) failures: u64,
    /// Writes went on after a failure.
    pub(crate) went_on: bool,
    pub(crate) poisoned: bool,
}

impl Journal {
    fn new() -> Self {
        Self {
            versions: vec![Version { state: State::new(), began: 0 }],
            durable: Vec::new(),
            handed: 0,
            seen: 0,
            checkpoints: 0,
            failures: 0,
            went_on: false,
            poisoned: false,
        }
    }

    pub(crate) fn last(&self) -> u64 {
        self.versions.len() as u64 - 1
    }

    pub(crate) fn state(&self, version: u64) -> &State {
        &self.versions[version as usize].state
    }

    /// Everything up to `version`, or what the database says if that is more, is durable.
    fn note_durable(&mut self, files: &SimFiles, db: &Database, version: u64) {
        assert!(db.durable_version() >= version, "version {version} was acknowledged, not {}", db.durable_version());
        self.durable.push((files.operations(), db.durable_version()));
        self.handed = self.handed.max(version);
    }

    fn note_failure(&mut self, error: &Error) {
        self.failures += 1;
        self.poisoned |= matches!(error, Error::SyncFailed { .. } | Error::Poisoned { .. });
        let is_expected = matches!(
            error,
            Error::Io { .. } | Error::StorageFull { .. } | Error::SyncFailed { .. } | Error::Poisoned { .. }
        );
        assert!(is_expected, "{error}");
    }
}

/// A life of the database in so many steps. Goes on after errors as long as that makes sense. Answers the files as they
/// were when the last process was killed.
pub(crate) fn run(setting: Setting, fault: Option<Fault>, files: SimFiles) -> (Journal, SimFiles) {
    files.set_fault(fault);
    let mut life = Life { setting, files, journal: Journal::new(), random: Random(setting.seed), db: None };
    life.db = life.open();
    for step in 0..setting.steps {
        let failures = life.journal.failures;
        life.step(step);
        if life.db.is_none() || life.journal.poisoned {
            break;
        }
        life.journal.went_on |= failures > 0 && failures == life.journal.failures;
        if life.journal.failures > failures || step % 16 == 0 {
            life.check_reads();
        }
    }
    life.end()
}

struct Life {
    setting: Setting,
    files: SimFiles,
    journal: Journal,
    random: Random,
    db: Option<Database>,
}

impl Life {
    fn open(&mut self) -> Option<Database> {
        // A fault of a moment is gone at the next opening.
        for _ in 0..3 {
            match self.setting.open(&self.files) {
                Ok(db) => {
                    let (found, last) = (db.snapshot().version(), self.journal.last());
                    let least = if self.setting.is_behind() { self.journal.handed } else { last };
                    assert!((least..=last).contains(&found), "{found} survives the process, of {least} to {last}");
                    self.journal.versions.truncate(found as usize + 1);
                    self.journal.note_durable(&self.files, &db, found);
                    self.journal.seen = found;
                    return Some(db);
                }
                Err(error) => {
                    assert!(!matches!(error, Error::Corrupt { .. } | Error::NotADatabase { .. }), "{error}");
                    self.journal.failures += 1;
                }
            }
        }
        None
    }

    fn step(&mut self, step: u64) {
        let Some(db) = self.db.clone() else { return };
        match self.random.below(100) {
            _ if step == 0 => self.transact(&db, &[Edit::Create(Kind::Numbered)], Ending::Commit),
            _ if step == 1 => self.transact(&db, &[Edit::Fill(Kind::Numbered, 0, 34)], Ending::Commit),
            0..56 => {
                let edit = self.edit();
                self.transact(&db, &[edit], Ending::Commit);
            }
            56..74 => {
                let edits: Vec<Edit> = (0..2 + self.random.below(4)).map(|_| self.edit()).collect();
                let ending = match self.random.below(8) {
                    0 => Ending::Abort,
                    1 | 2 => Ending::UndoHalf,
                    3 | 4 => Ending::Sync,
                    _ => Ending::Commit,
                };
                self.transact(&db, &edits, ending);
            }
            74..88 => self.checkpoint(&db),
            88..90 if self.setting.is_behind() => match write_log(&db) {
                Ok(()) => self.journal.handed = self.journal.last(),
                Err(error) => self.journal.note_failure(&error),
            },
            88..92 => match db.sync() {
                Ok(()) => self.journal.note_durable(&self.files, &db, self.journal.last()),
                Err(error) => self.journal.note_failure(&error),
            },
            92..95 => {
                if let Err(error) = db.close() {
                    self.journal.note_failure(&error);
                } else {
                    self.journal.note_durable(&self.files, &db, self.journal.last());
                }
                if self.journal.poisoned {
                    return;
                }
                drop((self.db.take(), db));
                self.db = self.open();
            }
            _ => {
                drop(db);
                self.kill();
                self.db = self.open();
            }
        }
    }

    fn kill(&mut self) {
        let next = self.files.next_process();
        if let Some(db) = self.db.take() {
            abandon(&self.files, db);
        }
        self.files = next;
    }

    fn end(mut self) -> (Journal, SimFiles) {
        if let Some(db) = self.db.clone() {
            self.check_reads();
            if self.journal.poisoned {
                self.check_poisoned(&db);
            }
        }
        self.kill();
        (self.journal, self.files)
    }

    fn checkpoint(&mut self, db: &Database) {
        let answer = if self.random.below(8) == 0 { db.compact() } else { db.checkpoint() };
        match answer {
            Ok(version) => {
                assert_eq!(version, self.journal.last());
                self.journal.note_durable(&self.files, db, version);
                self.journal.checkpoints += 1;
            }
            Err(error) => self.journal.note_failure(&error),
        }
    }

    fn transact(&mut self, db: &Database, edits: &[Edit], ending: Ending) {
        let began = self.files.operations();
        let mut state = self.journal.state(self.journal.last()).clone();
        let mut changed = false;
        let answer = db.transaction(|tx| {
            let mut edits = edits;
            if ending == Ending::UndoHalf {
                let (undone, done) = edits.split_at(edits.len() / 2);
                let savepoint = tx.savepoint(|tx| {
                    apply_all(undone, tx, &mut state.clone())?;
                    Err::<(), _>(Error::abort("undone"))
                });
                match savepoint {
                    Err(Error::Aborted { .. }) => edits = done,
                    other => return other,
                }
            }
            changed = apply_all(edits, tx, &mut state)?;
            match ending {
                Ending::Abort => Err(Error::abort("not wanted")),
                Ending::Sync => tx.require_sync(),
                Ending::Commit | Ending::UndoHalf => Ok(()),
            }
        });
        let is_durable = ending == Ending::Sync || self.setting.durability == Durability::Sync;
        let found = db.snapshot().version();
        match answer {
            Ok(()) => {
                let last = self.journal.last();
                assert!(found == last + 1 || found == last && !changed, "version {found} after {last}");
                if found > last {
                    self.journal.versions.push(Version { state, began });
                }
                self.journal.seen = found;
                if !self.setting.is_behind() {
                    self.journal.handed = found;
                }
                if is_durable {
                    self.journal.note_durable(&self.files, db, found);
                }
            }
            Err(Error::Aborted { .. }) if ending == Ending::Abort => {}
            Err(error) => {
                self.journal.note_failure(&error);
                // It may be there when the database is opened again.
                if changed && matches!(error, Error::SyncFailed { .. }) {
                    self.journal.versions.push(Version { state, began });
                }
            }
        }
    }

    /// Whatever failed, reads show the last version that was accepted.
    fn check_reads(&mut self) {
        let Some(db) = &self.db else { return };
        let found = super::check::compare(db, self.journal.seen, self.journal.state(self.journal.seen));
        assert_eq!(found, Ok(()));
    }

    /// After a failure of unknown outcome nothing is written.
    fn check_poisoned(&mut self, db: &Database) {
        let seen = db.snapshot().version();
        let write = db.transaction(|tx| tx.drop_table(Kind::Numbered.name()));
        for refused in [write, db.sync(), db.checkpoint().map(drop), db.compact().map(drop)] {
            assert!(matches!(refused, Err(Error::Poisoned { .. } | Error::Closed)), "{refused:?}");
        }
        assert_eq!(db.snapshot().version(), seen);
        self.check_reads();
    }

    fn edit(&mut self) -> Edit {
        let kind = KINDS[self.random.below(4) as usize];
        let state = self.journal.state(self.journal.last());
        let Some(table) = state.get(kind.name()) else {
            return Edit::Create(kind);
        };
        let (rows, random) = (table.rows.len() as u64, &mut self.random);
        let pick = |random: &mut Random| {
            let place = random.below(rows.max(1)) as usize;
            table.rows.keys().nth(place).copied().unwrap_or(1)
        };
        let most = if kind == Kind::Numbered { 60 } else { 20 };
        let choice = random.below(if rows > most { 60 } else { 100 });
        match choice {
            0..14 => Edit::Delete(kind, pick(random)),
            14..17 => Edit::DeleteBelow(kind, random.below(20) as i64),
            17..34 => {
                let name = (random.below(3) == 0).then(|| name(random));
                Edit::Update(kind, pick(random), name, random.below(100) as i64, note(random))
            }
            34..40 => Edit::Replace(kind, pick(random), random.below(100) as i64),
            40..46 => Edit::Swap(pick(random), pick(random)),
            46..51 => Edit::CreateIndex(kind, random.below(3)),
            51..55 => {
                let number = random.below(3);
                let (wanted, _) = extra_index(number);
                let is_there = table.schema.indexes().iter().any(|index| index.name() == wanted);
                if is_there { Edit::DropIndex(kind, number) } else { Edit::CreateIndex(kind, number) }
            }
            55..57 => Edit::Clear(kind),
            57..58 if kind != Kind::Numbered => Edit::Drop(kind),
            57..60 => Edit::Create(kind),
            60..63 => Edit::Fill(kind, 1_000 * random.below(50), 1 + random.below(6)),
            63..66 if kind == Kind::Numbered => Edit::Insert(kind, Some(table.next + random.below(40)), record(random)),
            _ => Edit::Insert(kind, None, record(random)),
        }
    }
}

/// Whether any of them did something; those that cannot be done are left out.
fn apply_all(edits: &[Edit], tx: &Transaction<'_>, state: &mut State) -> Result<bool> {
    let mut changed = false;
    for edit in edits {
        match apply(edit, tx, state) {
            Ok(()) => changed = true,
            Err(Error::Aborted { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(changed)
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Commit,
    /// Durable on return.
    Sync,
    Abort,
    /// The first half is undone to a savepoint.
    UndoHalf,
}

fn name(random: &mut Random) -> String {
    format!("n{}", random.below(60))
}

fn note(random: &mut Random) -> Option<String> {
    match random.below(40) {
        // A block of its own.
        0..2 => Some("large ".repeat(180 + random.below(100) as usize)),
        2..7 => Some(format!("\"note\"\n{}", random.below(1_000))),
        _ => None,
    }
}

fn record(random: &mut Random) -> Record {
    Record { id: random.below(1_000), name: name(random), score: random.below(100) as i64 - 10, note: note(random) }
}
