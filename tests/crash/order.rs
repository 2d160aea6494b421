//! What readers may see, and when: nothing that the log has not, in the order of the log, and only what is as durable as the
//! commit was to be.

use super::device::{Call, Device};
use super::model::Kind;
use super::workload::Setting;
use folio::storage::{FileEngine, Format, StorageEngine};
use folio::testing::{Fault, FaultKind, Plant, SimFiles, plant};
use folio::{Database, Durability, Error, Row};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A device that asks somebody before each write and each sync of a file.
struct Watched {
    files: SimFiles,
    watch: Arc<Mutex<Option<Watch>>>,
}

/// Told whether it is a sync.
type Watch = Box<dyn FnMut(bool) + Send>;

fn ask(watch: &Mutex<Option<Watch>>, is_sync: bool) {
    // Taken meanwhile: what it does may come back to the device.
    let taken = watch.lock().take();
    if let Some(mut taken) = taken {
        taken(is_sync);
        watch.lock().get_or_insert(taken);
    }
}

fn setting(durability: Durability) -> Setting {
    Setting { format: Format::Binary, durability, seed: 0, steps: 0 }
}

/// A database with a table, its engine, and the device that it is on.
fn database(durability: Durability) -> (Database, Arc<dyn StorageEngine>, Watched) {
    let device = Watched { files: SimFiles::new(), watch: Arc::default() };
    let watch = Arc::clone(&device.watch);
    let files = Device::watched(&device.files, move |call, _| {
        if matches!(call, Call::Write | Call::Sync) {
            ask(&watch, call == Call::Sync);
        }
        Ok(())
    });
    let engine: Arc<dyn StorageEngine> = Arc::new(FileEngine::open_on(files, setting(durability).options()).unwrap());
    let db = setting(durability).database(Arc::clone(&engine)).unwrap();
    db.create_table(Kind::Bare.schema()).unwrap();
    (db, engine, device)
}

fn row(number: u64) -> (u64, &'static str, i64, Option<&'static str>) {
    (number, "row", 0, None)
}

/// Commits in every way, rotations and checkpoints among them, while at each write and sync of a file somebody reads.
/// Answers the first version that was seen too early.
pub(crate) fn seen_too_early(durability: Durability) -> Option<String> {
    let (db, engine, device) = database(durability);
    let table = db.table(Kind::Bare.name()).unwrap();
    let found = Arc::new(Mutex::new(None));
    let (reader, noted) = (db.clone(), Arc::clone(&found));
    *device.watch.lock() = Some(Box::new(move |_| {
        let seen = reader.snapshot().version();
        let most = if durability == Durability::Sync { engine.durable() } else { engine.appended() };
        if seen > most {
            noted.lock().get_or_insert(format!("readers see {seen}, and the log is at {most}"));
        }
    }));
    for number in 0..60 {
        table.insert(&row(number)).unwrap();
        if number % 7 == 0 {
            db.transaction(|tx| tx.table(Kind::Bare.name())?.insert(&row(number)).and_then(|_| tx.require_sync()))
                .unwrap();
        }
        if number % 13 == 0 {
            db.create_table(Kind::Named.schema()).unwrap();
            db.checkpoint().unwrap();
            db.drop_table(Kind::Named.name()).unwrap();
        }
    }
    // The watch holds the database.
    *device.watch.lock() = None;
    found.lock().take()
}

/// While a commit that is to be durable waits for its sync, another that need not be is made. Answers what readers saw of
/// it before the sync, which then succeeds or fails.
pub(crate) fn overtaken(fails: bool, bug: Option<Plant>) -> Option<String> {
    let (db, engine, device) = database(Durability::Buffered);
    // And with it a new segment: an append that has to change it would wait for the sync itself.
    db.checkpoint().unwrap();
    let before = db.snapshot().version();
    let found = Arc::new(Mutex::new(None));
    let (other, noted, files) = (db.clone(), Arc::clone(&found), device.files.clone());
    let second = Arc::new(Mutex::new(None));
    let thread = Arc::clone(&second);
    let (log, has_begun) = (Arc::clone(&engine), AtomicBool::new(false));
    *device.watch.lock() = Some(Box::new(move |is_sync| {
        // Once: the other's own sync comes by here too.
        if !is_sync || log.appended() == before || has_begun.swap(true, Ordering::AcqRel) {
            return;
        }
        let (db, is_done) = (other.clone(), Arc::new(AtomicBool::new(false)));
        let done = Arc::clone(&is_done);
        *thread.lock() = Some(std::thread::spawn(move || {
            plant(bug);
            let answer = db.table(Kind::Bare.name()).and_then(|table| table.insert(&row(2)));
            done.store(true, Ordering::Release);
            answer
        }));
        // Until it waits too, or has not waited.
        let waits = || other.stats().storage.is_some_and(|storage| storage.waiting_commits == 2);
        while !is_done.load(Ordering::Acquire) && !waits() {
            std::thread::yield_now();
        }
        let seen = other.snapshot().version();
        if seen > log.durable() {
            *noted.lock() = Some(format!("readers see {seen}, and {} waits", before + 1));
        }
        if fails {
            files.set_fault(Some(Fault { call: files.calls(), count: 1, kind: FaultKind::Error }));
        }
    }));
    let first = db.transaction(|tx| tx.table(Kind::Bare.name())?.insert(&row(1)).and_then(|_| tx.require_sync()));
    let second = second.lock().take();
    let second = second.map(std::thread::JoinHandle::join);
    *device.watch.lock() = None;
    let Some(Ok(second)) = second else { return Some("nobody synced".into()) };
    let (seen, expected) = (db.snapshot().version(), if fails { before } else { before + 2 });
    if found.lock().is_none() && (seen != expected || first.is_ok() == fails || second.is_ok() == fails) {
        return Some(format!("{first:?} and {second:?}, and readers see {seen}, not {expected}"));
    }
    found.lock().take()
}

#[test]
fn nobody_sees_what_the_log_has_not() {
    for durability in [Durability::Sync, Durability::Buffered] {
        assert_eq!(seen_too_early(durability), None, "{durability:?}");
    }
}

#[test]
fn nobody_overtakes_a_commit_that_waits() {
    for fails in [false, true] {
        assert_eq!(overtaken(fails, None), None);
    }
}

/// One thread's commit waits for its sync while `act` runs on another. Answers what that has answered, and the newest
/// version when it did; the one before both commits; and what came of the first, whose sync may fail.
fn beside_what_waits<T: Send + 'static>(
    fails: bool,
    act: impl Fn(&Database, &AtomicBool) -> T + Send + Sync + 'static,
) -> (T, u64, u64, folio::Result<u64>) {
    let (db, engine, device) = database(Durability::Sync);
    // And with it a new segment, as above.
    db.checkpoint().unwrap();
    let before = db.snapshot().version();
    let others = Arc::new(Mutex::new(Vec::new()));
    let (other, started, files) = (db.clone(), Arc::clone(&others), device.files.clone());
    let (act, has_read) = (Arc::new(act), Arc::new(AtomicBool::new(false)));
    *device.watch.lock() = Some(Box::new(move |is_sync| {
        if !is_sync || engine.appended() == before || !started.lock().is_empty() {
            return;
        }
        let (db, act, reads) = (other.clone(), Arc::clone(&act), Arc::clone(&has_read));
        started.lock().push(std::thread::spawn(move || (act(&db, &reads), db.snapshot().version())));
        while !has_read.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        // Time to answer too early.
        for _ in 0..1_000 {
            std::thread::yield_now();
        }
        if fails {
            files.set_fault(Some(Fault { call: files.calls(), count: 1, kind: FaultKind::Error }));
        }
    }));
    let first = db.table(Kind::Bare.name()).unwrap().insert(&row(1));
    *device.watch.lock() = None;
    let other = others.lock().pop().expect("a sync");
    let (answer, seen) = other.join().unwrap();
    (answer, seen, before, first)
}

/// It begins with the commit that waits for its sync, finds what that has stored, and changes nothing, or is refused
/// because of that.
#[test]
fn who_has_read_what_waits_answers_when_all_may_see_it() {
    let len = |db: &Database, reads: &AtomicBool| {
        db.transaction(|tx| {
            let found = tx.table(Kind::Bare.name())?.len();
            reads.store(true, Ordering::Release);
            found
        })
    };
    let (found, seen, before, first) = beside_what_waits(false, len);
    assert_eq!((found.unwrap(), seen, first.is_ok()), (1, before + 1, true));

    let refused = |db: &Database, reads: &AtomicBool| {
        db.transaction(|tx| -> folio::Result<()> {
            let found = tx.table(Kind::Bare.name())?.len()?;
            reads.store(true, Ordering::Release);
            Err(Error::abort(format!("{found} rows")))
        })
    };
    let (answer, seen, before, _) = beside_what_waits(false, refused);
    assert_eq!((answer.unwrap_err().to_string().as_str(), seen), ("1 rows", before + 1));

    let single = |db: &Database, reads: &AtomicBool| {
        let table = db.table(Kind::Bare.name())?;
        let score = table.column::<i64>("score")?;
        table.modify_where(
            |_: &Row<'_>| true,
            |row| {
                reads.store(true, Ordering::Release);
                row.set(score, "no number")
            },
        )
    };
    let (answer, seen, before, _) = beside_what_waits(false, single);
    assert_eq!((answer.unwrap_err().code(), seen), ("wrong-type", before + 1));
}

/// Nobody is told of a commit whose sync fails: the failure is answered instead.
#[test]
fn who_has_read_what_waits_is_told_when_it_fails() {
    let (answer, seen, before, first) = beside_what_waits(true, |db, reads| {
        db.transaction(|tx| -> folio::Result<()> {
            let found = tx.table(Kind::Bare.name())?.len()?;
            reads.store(true, Ordering::Release);
            Err(Error::abort(format!("{found} rows")))
        })
    });
    assert_eq!(first.unwrap_err().code(), "sync-failed");
    let answer = answer.unwrap_err();
    assert!(matches!(answer.code(), "sync-failed" | "poisoned"), "{answer}");
    assert_eq!(seen, before);
}
