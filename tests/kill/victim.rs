//! The process that is killed: commits on several threads and tells of each commit that has returned.

use crate::model::step;
use crate::random::Random;
use folio::storage::Format;
use folio::{Database, Result};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Does not return: opens, works and closes until it is killed.
pub(crate) fn run(path: &Path, format: Format, data: u64, mut random: Random) -> ! {
    loop {
        let db = crate::builder(&mut random).format(format).open(path);
        if let Err(error) = db.and_then(|db| work(&db, data, &mut random)) {
            eprintln!("the victim at {} failed: {error}", path.display());
            std::process::exit(1);
        }
    }
}

/// One opening's work: some hundred commits, or only a few, and a checkpoint meanwhile.
fn work(db: &Database, data: u64, random: &mut Random) -> Result<()> {
    let quota = AtomicU64::new(1 + random.below(300));
    let (threads, sync_share) = (1 + random.below(3), random.below(3) * 25);
    let (is_over, side) = (AtomicBool::new(false), random.below(4));
    let (quota, is_over) = (&quota, &is_over);
    thread::scope(|scope| {
        let commit = move |mut random: Random| -> Result<()> {
            while quota.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                let version = db.transaction(|tx| {
                    if random.below(100) < sync_share {
                        tx.require_sync()?;
                    }
                    step(tx, data)
                })?;
                tell(version);
            }
            Ok(())
        };
        let writers: Vec<_> = (0..threads)
            .map(|_| Random(random.below(u64::MAX)))
            .map(|random| scope.spawn(move || commit(random)))
            .collect();
        let saver = scope.spawn(|| -> Result<()> {
            while !is_over.load(Ordering::Relaxed) {
                match side {
                    0 => drop(db.checkpoint()?),
                    1 => drop(db.compact()?),
                    2 => db.sync()?,
                    _ => return Ok(()),
                }
            }
            Ok(())
        });
        let ends: Vec<Result<()>> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        is_over.store(true, Ordering::Relaxed);
        ends.into_iter().collect::<Result<()>>()?;
        saver.join().unwrap()
    })?;
    if random.below(2) == 0 { db.close() } else { Ok(()) }
}

/// One write to the pipe, so that none is cut in two but by the end. If nobody listens, the parent is gone.
fn tell(version: u64) {
    let mut pipe = std::io::stdout().lock();
    if pipe.write_all(&version.to_le_bytes()).and_then(|()| pipe.flush()).is_err() {
        std::process::exit(2);
    }
}
