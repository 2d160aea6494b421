//! What must be in a directory, known outside of the processes that write it and of the disk that it is on.

use crate::directory::{Directory, copy_folder};
use crate::model::State;
use crate::random::Random;
use crate::settings;
use crate::word::Word;
use folio::Database;
use folio::storage::{Format, OpenReport};
use std::path::{Path, PathBuf};

/// What the end of a victim may take with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// What was not told to be handed to the operating system: a suffix of the versions.
    OfProcess,
    /// What was not told to be durable: a suffix of the versions.
    OfPower,
}

/// What the judgements of any number of directories came to.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) openings: u64,
    pub(crate) clean: u64,
    pub(crate) versions: u64,
    /// Versions that were there without having been promised.
    pub(crate) unpromised: u64,
    /// Versions that had returned and were not there, as is allowed.
    pub(crate) lost: u64,
}

/// One directory and what must be in it.
pub(crate) struct Oracle {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    loss: Loss,
    /// At the version last judged.
    state: State,
    /// Who wrote the versions above which ones, by seed. What two victims write as the same version differs, so that a
    /// version that one of them has lost and another has written anew is not taken for the other.
    writers: Vec<(u64, u64)>,
    /// The version that must be there, with all before it.
    promised: u64,
    /// The last version that has returned to the last writer.
    returned: u64,
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // Of a failure the directory stays, to be looked at; its file system may not.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.path);
        } else if self.loss == Loss::OfPower && self.path.exists() {
            let kept = std::env::temp_dir().join(format!("folio-failed-{}", std::process::id()));
            copy_folder(&self.path, &kept);
            eprintln!("kept in {}", kept.display());
        }
    }
}

impl Oracle {
    /// Of a directory that is not there yet.
    pub(crate) fn new(path: PathBuf, format: Format, loss: Loss) -> Self {
        let _ = std::fs::remove_dir_all(&path);
        let state = State::default();
        Self { path, format, loss, state, writers: Vec::new(), promised: 0, returned: 0 }
    }

    /// Takes a word of the victim of this seed.
    pub(crate) fn hear(&mut self, word: Word, seed: u64) {
        match word {
            Word::Opening | Word::Refused(_) => {}
            Word::Opened(version) => {
                assert!(version >= self.promised, "victim {seed} opened {version} after {self}");
                self.writers.retain(|writer| writer.0 < version);
                self.writers.push((version, seed));
                (self.promised, self.returned) = (version, version);
            }
            Word::Returned(version) => self.returned = self.returned.max(version),
            Word::Handed(version) => {
                self.returned = self.returned.max(version);
                if self.loss == Loss::OfProcess {
                    self.promised = self.promised.max(version);
                }
            }
            Word::Durable(version) => {
                self.returned = self.returned.max(version);
                self.promised = self.promised.max(version);
            }
        }
    }

    /// Takes a word that came when the power was being cut, or later: what it tells of may be there or not.
    pub(crate) fn hear_late(&mut self, word: Word, seed: u64) {
        if let Word::Opened(version) = word {
            self.writers.retain(|writer| writer.0 < version);
            self.writers.push((version, seed));
        }
    }

    /// Judges what the victims have left: there, or in a copy of it, so that the next victim finds what the last one left.
    pub(crate) fn judge(&mut self, random: &mut Random, verdicts: &mut Verdicts) {
        if random.below(2) == 0 {
            return self.judge_at(&self.path.clone(), random, verdicts);
        }
        let copy = Directory(std::env::temp_dir().join(format!("folio-copy-{}", std::process::id())));
        // A victim may have ended before it made anything.
        if self.path.exists() {
            copy_folder(&self.path, &copy.0);
        }
        self.judge_at(&copy.0, random, verdicts);
    }

    /// Opens, and compares.
    fn judge_at(&mut self, path: &Path, random: &mut Random, verdicts: &mut Verdicts) {
        let place = path.display();
        // What an end leaves is not damage, whether opening needs it or not.
        if path.join("manifest").exists() {
            assert_eq!(Database::verify_at(path).unwrap(), [], "{place} before opening");
        }
        let db = settings(random).1.format(self.format).open(path).unwrap_or_else(|error| panic!("{place}: {error}"));
        let opening = db.opening().unwrap();
        assert!(opening.version >= self.promised, "{place}: {opening:?} after {self}");
        verdicts.openings += 1;
        verdicts.clean += u64::from(opening.log == OpenReport::Clean);
        verdicts.versions += opening.version - self.state.version;
        verdicts.unpromised += opening.version - self.promised;
        verdicts.lost += self.returned.saturating_sub(opening.version);
        for version in self.state.version + 1..=opening.version {
            let writer = self.writers.iter().rev().find(|writer| writer.0 < version);
            self.state.go_to(version, writer.expect("somebody has opened").1);
        }
        self.state.compare(&db.snapshot(), &format!("{place} after {self}"));
        assert_eq!(db.verify().unwrap(), [], "{place}");
        (self.promised, self.returned) = (opening.version, opening.version);
        match random.below(3) {
            0 => db.close().unwrap(),
            1 => drop(db.checkpoint().unwrap()),
            _ => {}
        }
    }
}

impl std::fmt::Display for Oracle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Oracle { path, promised, returned, writers, .. } = self;
        write!(f, "{}: {promised} promised, {returned} returned, writers {writers:?}", path.display())
    }
}
