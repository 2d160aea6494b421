//! The process that is killed, or whose disk fails: commits on several threads and tells of each commit that has returned.

use crate::model::step;
use crate::random::Random;
use crate::settings;
use crate::word::Word;
use folio::storage::Format;
use folio::{Database, Durability, Error, ErrorKind, Result};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// What may go wrong before the victim is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// From some moment on the file system refuses everything.
    Cut,
    /// A sync fails, or all from one on.
    Sync,
}

impl Trouble {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Trouble::None => "none",
            Trouble::Cut => "cut",
            Trouble::Sync => "sync",
        }
    }

    pub(crate) fn by(name: &str) -> Self {
        let all = [Trouble::None, Trouble::Cut, Trouble::Sync];
        all.into_iter().find(|trouble| trouble.name() == name).expect("a trouble's name")
    }
}

/// Openings of a victim that nobody kills.
const OPENINGS_MAX: u32 = 4;

/// Does not return: opens, works and closes until it is killed, or until trouble.
pub(crate) fn run(path: &Path, format: Format, seed: u64, trouble: Trouble) -> ! {
    let mut random = Random(seed);
    let mut last = 0;
    for opening in 0.. {
        if trouble == Trouble::Sync && opening == OPENINGS_MAX {
            break;
        }
        Word::Opening.tell();
        let (durability, builder) = settings(&mut random);
        let db = match builder.format(format).open(path) {
            Ok(db) => db,
            Err(error) if trouble != Trouble::None && is_of_the_disk(&error) => {
                Word::Refused(last).tell();
                break;
            }
            Err(error) => fail(path, &error),
        };
        let version = db.opening().unwrap().version;
        assert!(version >= last, "{version} was opened, where {last} had returned for good");
        Word::Opened(version).tell();
        let session = Session { db, seed, trouble, durability, last: version.into(), told: version.into() };
        let end = session.work(&mut random).and_then(|()| session.close(&mut random));
        // What has returned from a log that is written in the background may not have come to it before a failure.
        let is_behind = matches!(session.durability, Durability::Interval(_));
        last = if is_behind { &session.told } else { &session.last }.load(Ordering::Relaxed);
        match end {
            Ok(()) => {}
            Err(error) if trouble != Trouble::None && is_of_the_disk(&error) => session.stand(&error),
            Err(error) => fail(path, &error),
        }
    }
    // Without the destructors of anything.
    std::process::abort()
}

fn is_of_the_disk(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Environment | ErrorKind::Reopen)
}

fn fail(path: &Path, error: &Error) -> ! {
    eprintln!("the victim at {} failed: {error}", path.display());
    std::process::exit(1);
}

/// From one opening to its end.
struct Session {
    db: Database,
    seed: u64,
    trouble: Trouble,
    durability: Durability,
    /// The last version that has returned.
    last: AtomicU64,
    /// The last version that was told to be durable.
    told: AtomicU64,
}

impl Session {
    /// Some hundred commits, or only a few, and a checkpoint meanwhile.
    fn work(&self, random: &mut Random) -> Result<()> {
        let quota = &AtomicU64::new(1 + random.below(300));
        let (threads, sync_share) = (1 + random.below(3), random.below(3) * 25);
        let (is_over, side) = (&AtomicBool::new(false), random.below(4));
        thread::scope(|scope| {
            let commits = move |mut random: Random| -> Result<()> {
                while quota.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    self.commit(random.below(100) < sync_share)?;
                }
                Ok(())
            };
            let writers: Vec<_> = (0..threads)
                .map(|_| Random(random.below(u64::MAX)))
                .map(|random| scope.spawn(move || commits(random)))
                .collect();
            let saver = scope.spawn(move || -> Result<()> {
                while side < 3 && !is_over.load(Ordering::Relaxed) {
                    match self.save(side) {
                        // What it was for goes on as before; a writer or the end is to see whether anything else does.
                        Err(error) if self.trouble != Trouble::None && is_of_the_disk(&error) => break,
                        saved => saved?,
                    }
                }
                Ok(())
            });
            let ends: Vec<Result<()>> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
            is_over.store(true, Ordering::Relaxed);
            saver.join().unwrap()?;
            ends.into_iter().collect()
        })
    }

    fn commit(&self, is_synced: bool) -> Result<()> {
        let version = self.db.transaction(|tx| {
            if is_synced {
                tx.require_sync()?;
            }
            step(tx, self.seed)
        })?;
        self.last.fetch_max(version, Ordering::Relaxed);
        if is_synced || self.durability == Durability::Sync {
            self.tell_durable(version);
        } else {
            let is_handed = self.durability == Durability::Buffered;
            if is_handed { Word::Handed(version) } else { Word::Returned(version) }.tell();
            self.tell_durable(self.db.durable_version());
        }
        Ok(())
    }

    fn save(&self, side: u64) -> Result<()> {
        match side {
            0 => self.tell_durable(self.db.checkpoint()?),
            1 => self.tell_durable(self.db.compact()?),
            _ => {
                let version = self.db.snapshot().version();
                self.db.sync()?;
                self.tell_durable(version);
            }
        }
        Ok(())
    }

    fn tell_durable(&self, version: u64) {
        if self.told.fetch_max(version, Ordering::Relaxed) < version {
            Word::Durable(version).tell();
        }
    }

    /// Half of the times the database is dropped instead.
    fn close(&self, random: &mut Random) -> Result<()> {
        if random.below(2) == 0 {
            self.db.close()?;
            self.tell_durable(self.db.snapshot().version());
        }
        Ok(())
    }

    /// After an error: reads are of what has returned, and nothing can be written.
    fn stand(&self, error: &Error) {
        self.read();
        // A failed write did not happen, and the next one may be spared.
        if self.trouble == Trouble::Cut || error.kind() == ErrorKind::Reopen {
            for _ in 0..3 {
                // Where the log is written in the background, others learn of it a moment later.
                let is_synced = matches!(self.durability, Durability::Interval(_));
                let refusal = self.commit(is_synced).expect_err("nothing can be written");
                assert!(is_of_the_disk(&refusal) || matches!(refusal, Error::Closed), "{refusal} after {error}");
                let is_known = error.kind() != ErrorKind::Reopen || refusal.kind() != ErrorKind::Environment;
                assert!(is_known, "{refusal} after {error}");
                // These may succeed where there was nothing to do. What they promise is held to.
                let _ = self.save(2);
                let _ = self.save(0);
                self.read();
            }
        }
        Word::Refused(self.last.load(Ordering::Relaxed)).tell();
    }

    /// Reads everything, which is of the last version that has returned.
    fn read(&self) {
        let snapshot = self.db.snapshot();
        let last = self.last.load(Ordering::Relaxed);
        assert_eq!(snapshot.version(), last, "readers see what has not returned, or too little");
        if last > 0 {
            for name in snapshot.table_names() {
                let table = snapshot.table(&name).unwrap();
                assert_eq!(table.iter().unwrap().count() as u64, table.len().unwrap(), "{name}");
            }
            let events: Vec<(u64, u64)> = snapshot.table("events").unwrap().select().fetch().unwrap();
            assert_eq!(events.last().map_or(1, |event| event.1), last);
        }
    }
}
