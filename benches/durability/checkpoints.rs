//! Checkpoints: how much they write, and what others notice of them.

use crate::common::{Indexes, NewAge, People, Random};
use crate::{Directory, Outcome, Scale, line, median};
use folio::{Database, Durability};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Rows that change between two checkpoints.
const UPDATES: usize = 1_000;
/// How long throughput is measured, alone and beside.
const PHASE: Duration = Duration::from_millis(400);

pub(crate) fn run(directory: &Directory, scale: Scale) -> Outcome {
    let builder = Database::builder().durability(Durability::Buffered).checkpoint_bytes(None);
    let people = People::within(builder.open(directory.path("checkpoints"))?, Indexes::EmailAndScore, scale.rows)?;
    let start = Instant::now();
    people.db.checkpoint()?;
    let (full, whole_took) = (object_bytes(&people), start.elapsed());
    update_some(&people, scale)?;
    let start = Instant::now();
    people.db.checkpoint()?;
    let (written, took) = (object_bytes(&people) - full, start.elapsed());
    println!("\nCheckpoints of {} rows", scale.rows);
    let size = |bytes: u64, took: Duration| format!("{:.1} MB, {:.0} ms", bytes as f64 / 1e6, took.as_secs_f64() * 1e3);
    line("all of it", &size(full, whole_took));
    line(&format!("after {UPDATES} random updates"), &size(written, took));
    line("  of the bytes of all, to be below 10 %", &format!("{:.1} %", written as f64 / full as f64 * 100.0));
    type Beside<'b> = &'b (dyn Fn() -> Outcome + Sync);
    let checkpoints: Beside<'_> = &|| {
        update_some(&people, scale)?;
        Ok(people.db.checkpoint().map(drop)?)
    };
    let compaction: Beside<'_> = &|| Ok(people.db.compact().map(drop)?);
    // What a second thread takes from the first by itself, where cores share something or have others to serve.
    let counting: Beside<'_> = &|| {
        black_box((0..10_000u64).map(black_box).sum::<u64>());
        Ok(())
    };
    for (name, beside) in [("mere counting", counting), ("checkpoints", checkpoints), ("compaction", compaction)] {
        let commits = kept(scale, beside, |number| {
            let mut random = Random(number);
            let id = 1 + random.below(scale.rows);
            Ok(people.table.update(id, &NewAge { age: number as u32 })?)
        })?;
        let reads = kept(scale, beside, |number| {
            let id = 1 + Random(number).below(scale.rows);
            black_box(people.table.get(id)?.map(|row| row.get(people.age)));
            Ok(())
        })?;
        line(&format!("commits beside {name}, of their rate alone, to be 80 %"), &format!("{commits:.0} %"));
        line(&format!("point reads beside {name}, of their rate alone, to be 80 %"), &format!("{reads:.0} %"));
    }
    Ok(())
}

fn object_bytes(people: &People) -> u64 {
    people.db.stats().storage.map_or(0, |storage| storage.engine.object_bytes)
}

fn update_some(people: &People, scale: Scale) -> Outcome {
    static CALLS: AtomicU32 = AtomicU32::new(1_000);
    let age = CALLS.fetch_add(1, Ordering::Relaxed);
    let mut random = Random(u64::from(age) << 32);
    people.db.transaction(|tx| {
        let table = tx.table("people")?;
        (0..UPDATES).try_for_each(|_| table.update(1 + random.below(scale.rows), &NewAge { age }))
    })?;
    Ok(())
}

/// The rate of `work` while another thread does `beside` again and again, in percent of its rate alone.
fn kept(scale: Scale, beside: &(dyn Fn() -> Outcome + Sync), work: impl Fn(u64) -> Outcome) -> Outcome<f64> {
    let mut shares = Vec::new();
    for _ in 0..scale.rounds.min(5) {
        let alone = rate(&work)?;
        let stop = AtomicBool::new(false);
        let both = std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    beside().map_err(|error| error.to_string())?;
                }
                Ok::<(), String>(())
            });
            let both = rate(&work);
            stop.store(true, Ordering::Relaxed);
            other.join().unwrap_or_else(|_| Err("it panicked".into()))?;
            both
        })?;
        shares.push(both / alone * 100.0);
    }
    Ok(median(shares))
}

/// How often a second `work` could be done.
fn rate(work: &impl Fn(u64) -> Outcome) -> Outcome<f64> {
    /// Between two looks at the clock.
    const STRETCH: u64 = 256;
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < PHASE {
        (done..done + STRETCH).try_for_each(work)?;
        done += STRETCH;
    }
    Ok(done as f64 / start.elapsed().as_secs_f64())
}
