//! Reads that answer other bytes than those that are there: of another place, of an earlier time, or none at all. What opens
//! is a version that may be there, whole, and goes on from it; what does not is a named error, and has changed nothing.
//!
//! Of a log that was not closed, what nobody was promised can go unnoticed: its end as it was at an earlier time, or
//! missing. No read of it alone makes an opening forget what the manifest says is durable. Only an older manifest beside an
//! older log can, both read in one piece: together they are an older database, whole, and nothing tells them from it.

use super::check::compare;
use super::workload::{Journal, Setting, abandon, run, seeds};
use folio::storage::{FileEngine, Format, StorageEngine};
use folio::testing::{Image, Misread, Misreads, Plant, SimFiles, plant};
use folio::{Durability, Error, ErrorKind};

const SEEDS: u64 = 2_000;
/// With other reads that go wrong.
const OPENINGS: u64 = 6;

#[derive(Debug, Default)]
struct Tally {
    openings: u64,
    misreads: u64,
    refused: u64,
    /// As if nothing had gone wrong, though it had.
    right: u64,
    older: u64,
    older_by_manifest: u64,
}

/// A directory as a process left it, and how far its manifest says that it is durable.
struct Left {
    setting: Setting,
    journal: Journal,
    image: Image,
    earlier: Vec<Image>,
    durable: u64,
}

fn left(seed: u64) -> Left {
    let format = [Format::Binary, Format::JsonLines][seed as usize % 2];
    let durability = [Durability::Sync, Durability::Buffered][seed as usize / 2 % 2];
    let setting = Setting { format, durability, seed: 1_000 + seed, steps: 20 };
    let (journal, files) = run(setting, None, SimFiles::new());
    if seed.is_multiple_of(3) {
        // Closed, and not all of it in a checkpoint.
        let engine = setting.engine(files.clone()).unwrap();
        engine.claim().unwrap();
        engine.close().unwrap();
    }
    let (trace, last) = (files.trace(), files.operations());
    let earlier = (1..6).map(|part| trace.image_after(last * part / 6)).collect();
    let durable = manifest_of(&setting.engine(SimFiles::mount(&files.image())).unwrap());
    Left { setting, journal, image: files.image(), earlier, durable }
}

fn manifest_of(engine: &FileEngine) -> u64 {
    engine.manifest().map_or(0, |manifest| manifest.durable)
}

impl Left {
    /// Opens it on a device of which so many of a thousand reads go wrong.
    fn open(&self, seed: u64, per_mille: u64, tally: &mut Tally) -> Result<(), String> {
        let files = SimFiles::mount(&self.image);
        files.set_misreads(Some(Misreads::new(seed, per_mille, self.earlier.clone())));
        let opened = self.setting.open(&files);
        let misreads = files.set_misreads(None);
        let told = misreads.as_ref().map_or(&[][..], Misreads::told);
        tally.openings += 1;
        tally.misreads += told.len() as u64;
        let db = match opened {
            Ok(db) => db,
            Err(error) if error.kind() != ErrorKind::Corrupt && !matches!(error, Error::NotADatabase { .. }) => {
                return Err(format!("{told:?}: {error}"));
            }
            Err(error) if files.operations() > 0 => return Err(format!("{told:?}: changed something, then {error}")),
            Err(error) if told.is_empty() => return Err(error.to_string()),
            Err(_) => {
                tally.refused += 1;
                return Ok(());
            }
        };
        let (found, last) = (db.snapshot().version(), self.journal.last());
        let is_told = |of: &dyn Fn(&str, Misread) -> bool| told.iter().any(|(path, misread)| of(path, *misread));
        let may_be_older = is_told(&|path, _| path.starts_with("wal/"));
        let is_manifest_older = is_told(&|path, misread| path == "manifest" && misread == Misread::Stale);
        let is_allowed = found == last || may_be_older && (found >= self.durable || is_manifest_older);
        if found > last || !is_allowed {
            return Err(format!("{told:?}: version {found} of {last}, {} being durable", self.durable));
        }
        compare(&db, found, self.journal.state(found)).map_err(|error| format!("{told:?}: {error}"))?;
        tally.right += u64::from(found == last && !told.is_empty());
        tally.older += u64::from(found < last);
        tally.older_by_manifest += u64::from(found < self.durable);
        if seed.is_multiple_of(2) {
            return self.journal.go_on(&files, self.setting, db).map_err(|error| format!("{told:?}: then {error}"));
        }
        // What was read wrongly has not been made true: it is the same without such reads.
        let next = files.next_process();
        abandon(&files, db);
        let db = self.setting.open(&next).map_err(|error| format!("{told:?}: again: {error}"))?;
        let again = db.snapshot().version();
        let compared = match again == found || again == last {
            true => compare(&db, again, self.journal.state(again)),
            false => Err(format!("version {again} after {found}")),
        };
        abandon(&next, db);
        compared.map_err(|error| format!("{told:?}: again: {error}"))
    }
}

/// Opens what so many seeds have left, and answers the first opening that was wrong.
fn misread_everywhere(count: u64, tally: &mut Tally) -> Option<String> {
    (0..count).find_map(|seed| {
        let left = left(seed);
        (0..OPENINGS).find_map(|opening| {
            // From none to one in ten.
            let answer = left.open(seed * OPENINGS + opening, seed % 101, tally);
            answer.err().map(|error| format!("{:?}, seed {seed}, opening {opening}: {error}", left.setting))
        })
    })
}

/// Whether such reads show the bug.
pub(crate) fn misreads_find(bug: Plant) -> Option<String> {
    plant(Some(bug));
    let found = std::panic::catch_unwind(|| misread_everywhere(SEEDS, &mut Tally::default()));
    plant(None);
    found.unwrap_or_else(|_| Some("panicked".into()))
}

#[test]
fn reads_that_go_wrong_are_noticed() {
    let mut tally = Tally::default();
    let count = SEEDS * seeds();
    assert_eq!(misread_everywhere(count, &mut tally), None);
    println!("misreads, {count} seeds: {tally:?}");
    assert!(count >= 2_000 && tally.misreads > count, "reads have gone right");
    assert!(tally.refused > 0 && tally.right > 0 && tally.older > 0);
}
