//! The entries of an index that is to be built, gathered from the rows and sorted, on several cores.
//!
//! Threads only read rows: blocks are made by the writer alone, and the entries that it makes them of are the same however
//! many threads there were. So is the error, where rows do not fit: the one of the first row that does not.

use super::row_page::{PageRef, RowRef};
use super::view::TableView;
use crate::error::{Error, Result};
use parking_lot::Mutex;
use std::ops::ControlFlow;
use std::thread;

/// What a row's key comes to in a word (a number, a hash, or a part of it), and the row's id. No more than 16 bytes:
/// tables are loaded that nearly fill the memory.
pub(super) type Entry = (u64, u64);

/// A thread for fewer rows takes longer to start than they do.
const ROWS_PER_THREAD: u64 = 1 << 15;
const THREADS_MAX: usize = 16;

/// How many threads an index over so many rows is worth.
pub(super) fn threads_for(rows: u64) -> usize {
    let most = usize::try_from(rows / ROWS_PER_THREAD).map_or(THREADS_MAX, |threads| threads.min(THREADS_MAX));
    // Asked only where it matters: the answer costs a look into files.
    if most < 2 { 1 } else { thread::available_parallelism().map_or(1, |cores| cores.get().min(most)) }
}

/// A stretch of the table's pages, and the place of their entries.
struct Stretch<'e> {
    /// The numbers of the first page and of the last.
    pages: (u64, u64),
    place: &'e mut [Entry],
    /// How many entries were put there.
    found: &'e mut Result<usize>,
}

/// The entries of all rows for which `word_of` finds a word, unsorted. `view` answers the same table in each thread.
pub(super) fn gather<'g>(
    view: impl Fn() -> TableView<'g> + Sync,
    threads: usize,
    word_of: impl Fn(&RowRef<'_>) -> Result<Option<u64>> + Sync,
) -> Result<Vec<Entry>> {
    let (len, rows) = (view().len(), view().rows());
    let count = usize::try_from(len).unwrap_or(usize::MAX);
    let mut entries = Vec::new();
    let reserved = entries.try_reserve_exact(count);
    reserved.map_err(|_| Error::OutOfMemory { bytes: count.saturating_mul(size_of::<Entry>()) })?;
    entries.resize(count, (0, 0));
    let mut found: Vec<Result<usize>> = (0..threads.max(1)).map(|_| Ok(0)).collect();
    let (mut stretches, mut places) = (Vec::new(), Vec::new());
    let (mut rest, mut first, mut before) = (&mut entries[..], 0, 0);
    for (ordinal, found) in (1..).zip(&mut found) {
        // The page with the first row of the next stretch; none behind the last.
        let next = rows.nth(share(len, ordinal, threads)).map(|(page, ..)| page).filter(|_| ordinal < threads);
        let until = next.map_or(len, |page| rows.rank(page));
        let (place, others) = rest.split_at_mut(rest.len().min((until - before) as usize));
        places.push((before as usize, place.len()));
        if !place.is_empty() {
            let last = next.map_or(u64::MAX, |page| page.saturating_sub(1));
            stretches.push(Stretch { pages: (first, last), place, found });
        }
        (rest, first, before) = (others, next.unwrap_or(u64::MAX), until);
    }
    run(threads, stretches, &|stretch: Stretch<'_>| {
        *stretch.found = fill(view(), stretch.pages, stretch.place, &word_of)
    });
    // Rows without an entry leave gaps.
    let mut end = 0;
    for ((at, _), found) in places.into_iter().zip(found) {
        let found = found?;
        entries.copy_within(at..at + found, end);
        end += found;
    }
    entries.truncate(end);
    Ok(entries)
}

/// Where the part number `ordinal` of `parts` ends.
fn share(len: u64, ordinal: usize, parts: usize) -> u64 {
    (u128::from(len) * ordinal as u128 / parts.max(1) as u128) as u64
}

fn fill(
    view: TableView<'_>,
    (first, last): (u64, u64),
    place: &mut [Entry],
    word_of: &impl Fn(&RowRef<'_>) -> Result<Option<u64>>,
) -> Result<usize> {
    let mut free = place.iter_mut();
    let walked = view.rows().scan(first, last, |number, block| {
        let page = PageRef::new(block);
        for position in 0..page.rows() {
            let row = page.row(&view.def.layout, number, position);
            match word_of(&row) {
                Ok(Some(word)) => {
                    if let Some(free) = free.next() {
                        *free = (word, row.id());
                    }
                }
                Ok(None) => {}
                Err(error) => return ControlFlow::Break(error),
            }
        }
        ControlFlow::Continue(())
    });
    let left = free.len();
    match walked {
        ControlFlow::Continue(()) => Ok(place.len() - left),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Sorts: halves that are parted by the entry in the middle, each for itself.
pub(super) fn sort(entries: &mut [Entry], threads: usize) {
    let middle = entries.len() / 2;
    if threads < 2 || middle == 0 {
        return entries.sort_unstable();
    }
    entries.select_nth_unstable(middle);
    let (low, high) = entries.split_at_mut(middle);
    run(2, vec![(low, threads / 2), (high, threads - threads / 2)], &|(half, threads)| sort(half, threads));
}

/// Does the jobs in so many threads, this one among them. Where a thread is not to be had, the others do its jobs. A panic
/// in one of them is one here.
fn run<J: Send>(threads: usize, mut jobs: Vec<J>, work: &(impl Fn(J) + Sync)) {
    if threads < 2 || jobs.len() < 2 {
        return jobs.into_iter().for_each(work);
    }
    // From the end: the first ones first.
    jobs.reverse();
    let more = threads.min(jobs.len()) - 1;
    let jobs = Mutex::new(jobs);
    let follow = || {
        let next = || jobs.lock().pop();
        while let Some(job) = next() {
            work(job);
        }
    };
    thread::scope(|scope| {
        for _ in 0..more {
            if thread::Builder::new().name("folio index".into()).spawn_scoped(scope, follow).is_err() {
                break;
            }
        }
        follow();
    });
}
