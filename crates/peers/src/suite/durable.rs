//! Stores in directories: commits that wait for the disk and commits that do not, opening again, and space.

use super::{Results, Suite, progress};
use crate::measure::{Batch, Contestant, timed};
use crate::peer::{Answer, Durability, Peer, Refusal, Store};
use crate::workload::{Row, Shape};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

const THREADS: usize = 8;
/// Rows in a commit of many.
const BATCH: usize = 1_000;

pub(super) fn run(suite: &Suite<'_>, results: &mut Results) {
    let directory = match Directory::create(&suite.settings.directory) {
        Ok(directory) => directory,
        Err(error) => return eprintln!("{}: {error}", suite.settings.directory.display()),
    };
    run_synced(suite, &directory, results);
    run_unsynced(suite, &directory, results);
    run_reopen(suite, &directory, results);
}

/// A folder of this run's own, gone at its end.
struct Directory(PathBuf);

impl Directory {
    fn create(parent: &Path) -> io::Result<Self> {
        let path = parent.join(format!("folio-peers-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Directory(path))
    }

    /// A folder in it, made if it is not there.
    fn of(&self, peer: &dyn Peer, purpose: &str) -> io::Result<PathBuf> {
        let path = self.0.join(format!("{purpose}-{}", peer.name()));
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A leftover directory costs space but no correctness; there is nobody to report it to.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An empty store of each peer.
fn open(suite: &Suite<'_>, directory: &Directory, purpose: &str, durability: Durability) -> Vec<Contestant> {
    let mut contestants = Vec::new();
    for peer in suite.peers {
        let opened = directory.of(peer.as_ref(), purpose).map_err(Refusal::from);
        let opened = opened.and_then(|path| peer.open(Shape::KeyOnly, &path, durability));
        match opened {
            Ok(store) => contestants.push(Contestant { name: peer.name(), shape: Shape::KeyOnly, store }),
            Err(Refusal::Unsupported) => {}
            Err(Refusal::Failed(why)) => eprintln!("{} left out: {why}", peer.name()),
        }
    }
    contestants
}

fn run_synced(suite: &Suite<'_>, directory: &Directory, results: &mut Results) {
    let count = suite.settings.synced_writes();
    let rows = suite.generator.rows(1, count * THREADS * suite.all_rounds());
    let contestants = open(suite, directory, "synced", Durability::Synced);
    suite.measure("synced_insert", &contestants, results, |contestant, round| {
        let rows = rows.chunks(count).nth(round).unwrap_or_default();
        timed_only(rows.len(), || contestant.store.insert_each(rows))
    });
    let contestants = open(suite, directory, "synced-8", Durability::Synced);
    suite.measure("synced_insert_8", &contestants, results, |contestant, round| {
        let rows = rows.chunks(count * THREADS).nth(round).unwrap_or_default();
        timed_only(rows.len(), || insert_together(contestant.store.as_ref(), rows, count))
    });
}

fn run_unsynced(suite: &Suite<'_>, directory: &Directory, results: &mut Results) {
    let count = suite.settings.writes();
    let rows = suite.generator.rows(1, count * suite.all_rounds());
    let contestants = open(suite, directory, "unsynced", Durability::Unsynced);
    suite.measure("unsynced_insert", &contestants, results, |contestant, round| {
        let rows = rows.chunks(count).nth(round).unwrap_or_default();
        timed_only(rows.len(), || contestant.store.insert_each(rows))
    });
    let contestants = open(suite, directory, "batches", Durability::Unsynced);
    suite.measure("unsynced_batches", &contestants, results, |contestant, round| {
        let rows = rows.chunks(count).nth(round).unwrap_or_default();
        let insert = || rows.chunks(BATCH).try_for_each(|batch| contestant.store.insert_bulk(batch));
        let (nanos, ()) = timed(rows.len(), insert)?;
        Ok(Batch { value: 1e9 / nanos, checksum: None })
    });
}

fn timed_only(operations: usize, work: impl FnOnce() -> Answer<()>) -> Answer<Batch> {
    let (value, ()) = timed(operations, work)?;
    Ok(Batch { value, checksum: None })
}

/// Each thread inserts `count` of the rows, each in a commit of its own.
fn insert_together(store: &dyn Store, rows: &[Row], count: usize) -> Answer<()> {
    std::thread::scope(|scope| {
        let threads = rows.chunks(count).map(|rows| scope.spawn(|| store.insert_each(rows)));
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(Refusal::Failed("a thread panicked".into()))))
    })
}

fn run_reopen(suite: &Suite<'_>, directory: &Directory, results: &mut Results) {
    if !suite.settings.wants_any(&["reopen", "reopen_scan", "disk_bytes"]) {
        return;
    }
    let mut stored = Vec::new();
    for peer in suite.peers {
        progress(&format!("storing {} rows in {}", suite.rows.len(), peer.name()));
        match store_rows(suite, directory, peer.as_ref()) {
            Ok(path) => {
                let bytes = bytes_of(&path).map(|bytes| bytes as f64 / suite.rows.len() as f64);
                results.record_one("disk_bytes", peer.name(), bytes.map_err(Refusal::from));
                // The peer itself is opened again in each round.
                stored.push((peer.as_ref(), path));
            }
            Err(refusal) => results.record_one("disk_bytes", peer.name(), Err(refusal)),
        }
    }
    let expected: f64 = suite.rows.iter().map(Row::checksum).sum();
    let (mut opened, mut scanned) = (vec![Vec::new(); stored.len()], vec![Vec::new(); stored.len()]);
    for round in 0..suite.settings.rounds.min(5) {
        for turn in 0..stored.len() {
            let position = (turn + round) % stored.len();
            let (peer, path) = &stored[position];
            progress(&format!("opening {}", peer.name()));
            match reopen(*peer, path) {
                Ok((first, all, checksum)) => {
                    opened[position].push(first);
                    scanned[position].push(all);
                    if checksum != expected {
                        results.disagree("reopen_scan", format!("{} got {checksum}, not {expected}", peer.name()));
                    }
                }
                Err(refusal) => results.disagree("reopen", format!("{}: {refusal}", peer.name())),
            }
        }
    }
    for (((peer, _), opened), scanned) in stored.iter().zip(opened).zip(scanned) {
        results.record("reopen", peer.name(), crate::measure::Outcome::of(opened));
        results.record("reopen_scan", peer.name(), crate::measure::Outcome::of(scanned));
    }
}

/// Stores all rows and closes the store.
fn store_rows(suite: &Suite<'_>, directory: &Directory, peer: &dyn Peer) -> Answer<PathBuf> {
    let path = directory.of(peer, "stored")?;
    let store = peer.open(Shape::Full, &path, Durability::Synced)?;
    // The disk alone stores nothing that could be found again.
    store.get_by_id(&[1])?;
    store.insert_bulk(&suite.rows)?;
    store.save()?;
    Ok(path)
}

/// Nanoseconds until the first row is read, until all are, and their checksum.
fn reopen(peer: &dyn Peer, path: &Path) -> Answer<(f64, f64, f64)> {
    let start = Instant::now();
    let store = peer.open(Shape::Full, path, Durability::Synced)?;
    store.get_by_id(&[1])?;
    let first = start.elapsed().as_nanos() as f64;
    let checksum = store.scan()?;
    Ok((first, start.elapsed().as_nanos() as f64, checksum))
}

/// Bytes that the files take: blocks, not lengths, since some are sparse.
fn bytes_of(directory: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let data = entry.metadata()?;
        bytes += if data.is_dir() { bytes_of(&entry.path())? } else { data.blocks() * 512 };
    }
    Ok(bytes)
}
