//! Getting at rows by an access path: pages and masks, by row id or in the order of an index.
//!
//! Every way works ahead: the lines of rows to come are asked for before those at hand are looked at.

use super::access::{Access, KeyRange};
use super::execute::Visit;
use super::page::PageRows;
use super::prefetch::Prefetch;
use crate::page::BlockRef;
use crate::table::index::ordered::KeyRef;
use crate::table::layout::{PAGE_ROWS, PAGE_SHIFT};
use crate::table::view::TableView;
use std::ops::ControlFlow;

/// Rows that are asked for at once: about what a core's miss buffers hold.
const BATCH: usize = 16;
/// How many pages ahead a scan asks for.
const PAGES_AHEAD: usize = 6;

/// Where rows come from.
pub(super) struct Source<'v, 'g> {
    pub(super) view: TableView<'g>,
    pub(super) access: &'v Access,
    pub(super) prefetch: &'v Prefetch,
}

impl Source<'_, '_> {
    /// All rows by rising id.
    pub(super) fn by_id(&self, visit: &mut Visit<'_>) -> ControlFlow<()> {
        match self.access {
            Access::Nothing => ControlFlow::Continue(()),
            Access::Pages { first, last } => self.pages(*first, *last, visit),
            Access::Ids(ids) => each_sorted_id(&self.view, self.prefetch, ids, visit),
            _ => each_sorted_id(&self.view, self.prefetch, &self.sorted_ids(), visit),
        }
    }

    /// All rows by falling id; a mask's rows are to be taken from the last.
    pub(super) fn by_id_descending(&self, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let ids = match self.access {
            Access::Nothing => return ControlFlow::Continue(()),
            Access::Pages { first, last } => return self.pages_descending(*first, *last, visit),
            Access::Ids(ids) => ids.clone(),
            _ => self.sorted_ids(),
        };
        each_id(&self.view, self.prefetch, ids.into_iter().rev(), visit)
    }

    /// The rows of an ordered index as it has them, those of equal keys by rising id. With `wanted`, no more are looked
    /// at than so many.
    pub(super) fn by_index(&self, descending: bool, wanted: Option<u64>, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let Access::Tree { index, ranges } = self.access else { return self.by_id(visit) };
        let Some(tree) = self.view.ordered_index(*index) else { return ControlFlow::Continue(()) };
        let mut left = wanted.unwrap_or(u64::MAX);
        let mut batch = Batch { view: &self.view, prefetch: self.prefetch, ids: [0; BATCH], len: 0 };
        let mut take = |id: u64| {
            left -= 1;
            batch.push(id, visit)?;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut scan = |range: &KeyRange| {
            let (lower, upper) = range.bounds();
            if !descending {
                return tree.scan(lower, upper, false, |_, id| take(id));
            }
            // Entries of one key come by falling id; a run of them is turned around.
            let mut run: (Option<KeyRef<'_>>, Vec<u64>) = (None, Vec::new());
            tree.scan(lower, upper, true, |key, id| {
                if run.0 != Some(key) {
                    run.1.drain(..).rev().try_for_each(&mut take)?;
                    run.0 = Some(key);
                }
                run.1.push(id);
                ControlFlow::Continue(())
            })?;
            run.1.into_iter().rev().try_for_each(&mut take)
        };
        let flow = if descending {
            ranges.iter().rev().try_for_each(&mut scan)
        } else {
            ranges.iter().try_for_each(&mut scan)
        };
        // What stopped at the number wanted still has a batch to hand over.
        if flow.is_break() && left > 0 {
            return flow;
        }
        batch.flush(visit)
    }

    /// The ids that an index names, rising, each once.
    fn sorted_ids(&self) -> Vec<u64> {
        let mut ids = Vec::new();
        match self.access {
            Access::Hashes { index, hashes } => {
                let Some(hashed) = self.view.hash_index(*index) else { return ids };
                for batch in hashes.chunks(BATCH) {
                    let mut buckets: [Option<BlockRef<'_>>; BATCH] = [None; BATCH];
                    for (bucket, hash) in buckets.iter_mut().zip(batch) {
                        *bucket = hashed.locate(*hash);
                        if let Some(bucket) = bucket {
                            bucket.prefetch(0);
                            bucket.prefetch(64);
                        }
                    }
                    for hash in batch {
                        ids.extend(hashed.candidates(*hash));
                    }
                }
            }
            Access::Tree { index, ranges } => {
                let Some(tree) = self.view.ordered_index(*index) else { return ids };
                for (lower, upper) in ranges.iter().map(KeyRange::bounds) {
                    let _ = tree.scan(lower, upper, false, |_, id| {
                        ids.push(id);
                        ControlFlow::<()>::Continue(())
                    });
                }
            }
            _ => {}
        }
        // Those of one key are in order already, which a look finds out faster than a sort.
        if !ids.is_sorted_by(|a, b| a < b) {
            ids.sort_unstable();
            ids.dedup();
        }
        ids
    }

    fn pages(&self, first: u64, last: u64, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let mut ahead: [Option<(u64, BlockRef<'_>)>; PAGES_AHEAD] = [None; PAGES_AHEAD];
        let mut at = 0;
        let mut handle = |number: u64, block| {
            let rows = PageRows::new(self.view.def, number, block);
            visit(&rows, within_ids(&rows, first, last))
        };
        self.view.rows().scan(first >> PAGE_SHIFT, last >> PAGE_SHIFT, |number, block| {
            self.prefetch.page(block);
            let next = ahead[at].replace((number, block));
            at = (at + 1) % PAGES_AHEAD;
            match next {
                Some((number, block)) => handle(number, block),
                None => ControlFlow::Continue(()),
            }
        })?;
        for step in 0..PAGES_AHEAD {
            if let Some((number, block)) = ahead[(at + step) % PAGES_AHEAD] {
                handle(number, block)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn pages_descending(&self, first: u64, last: u64, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let tree = self.view.rows();
        let mut bound = Some(last >> PAGE_SHIFT);
        while let Some((number, block)) = bound.and_then(|bound| tree.at_or_before(bound)) {
            if number < first >> PAGE_SHIFT {
                break;
            }
            let rows = PageRows::new(self.view.def, number, block);
            visit(&rows, within_ids(&rows, first, last))?;
            bound = number.checked_sub(1);
        }
        ControlFlow::Continue(())
    }
}

/// The rows of a page whose ids lie within the span.
#[inline]
fn within_ids(rows: &PageRows<'_>, first: u64, last: u64) -> u32 {
    let start = rows.number << PAGE_SHIFT;
    let end = start | (PAGE_ROWS as u64 - 1);
    if first <= start && end <= last {
        return rows.all();
    }
    super::mask::each_bit(rows.all(), |position| (first..=last).contains(&rows.id(position)))
}

/// Visits the rows with these ids, rising, a page's together: just as a scan does, whatever batches they come in.
fn each_sorted_id(view: &TableView<'_>, prefetch: &Prefetch, ids: &[u64], visit: &mut Visit<'_>) -> ControlFlow<()> {
    // The last page of a batch waits for the next batch, which may have more of its rows.
    let mut waiting: Option<(PageRows<'_>, u32)> = None;
    for batch in ids.chunks(BATCH) {
        let mut pages: [Option<BlockRef<'_>>; BATCH] = [None; BATCH];
        let mut last: Option<(u64, Option<BlockRef<'_>>)> = None;
        for (page, &id) in pages.iter_mut().zip(batch) {
            *page = match last {
                Some((number, block)) if number == id >> PAGE_SHIFT => block,
                _ => view.page_of(id),
            };
            last = Some((id >> PAGE_SHIFT, *page));
            if let Some(block) = page {
                prefetch.row(*block, id);
            }
        }
        let mut found = 0;
        if let Some((rows, mask)) = waiting.take() {
            if batch.first().is_some_and(|id| id >> PAGE_SHIFT == rows.number) {
                found = mask;
            } else {
                visit(&rows, mask)?;
            }
        }
        let mut at = 0;
        while let Some(&id) = batch.get(at) {
            let number = id >> PAGE_SHIFT;
            let together = batch.iter().skip(at).take_while(|id| **id >> PAGE_SHIFT == number).count();
            if let Some(Some(block)) = pages.get(at) {
                let rows = PageRows::new(view.def, number, *block);
                let positions = batch.iter().skip(at).take(together).filter_map(|&id| rows.page.position(id));
                let mask = positions.fold(std::mem::take(&mut found), |mask, position| mask | 1 << position);
                if mask != 0 && at + together == BATCH {
                    waiting = Some((rows, mask));
                } else if mask != 0 {
                    visit(&rows, mask)?;
                }
            }
            at += together;
        }
    }
    waiting.map_or(ControlFlow::Continue(()), |(rows, mask)| visit(&rows, mask))
}

/// Visits the rows with these ids, in this order, one by one.
pub(super) fn each_id(
    view: &TableView<'_>,
    prefetch: &Prefetch,
    mut ids: impl Iterator<Item = u64>,
    visit: &mut Visit<'_>,
) -> ControlFlow<()> {
    let mut batch = Batch { view, prefetch, ids: [0; BATCH], len: 0 };
    ids.try_for_each(|id| batch.push(id, visit))?;
    batch.flush(visit)
}

/// Ids that wait until there are enough to look for their rows at once.
struct Batch<'v, 'g> {
    view: &'v TableView<'g>,
    prefetch: &'v Prefetch,
    ids: [u64; BATCH],
    len: usize,
}

impl Batch<'_, '_> {
    #[inline]
    fn push(&mut self, id: u64, visit: &mut Visit<'_>) -> ControlFlow<()> {
        if let Some(place) = self.ids.get_mut(self.len) {
            *place = id;
            self.len += 1;
        }
        if self.len == BATCH { self.flush(visit) } else { ControlFlow::Continue(()) }
    }

    fn flush(&mut self, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let mut pages: [Option<BlockRef<'_>>; BATCH] = [None; BATCH];
        let len = std::mem::take(&mut self.len);
        for (page, &id) in pages.iter_mut().zip(&self.ids).take(len) {
            *page = self.view.page_of(id);
            if let Some(block) = page {
                self.prefetch.row(*block, id);
            }
        }
        for (page, &id) in pages.iter().zip(&self.ids).take(len) {
            let Some(block) = page else { continue };
            let rows = PageRows::new(self.view.def, id >> PAGE_SHIFT, *block);
            if let Some(position) = rows.page.position(id) {
                visit(&rows, 1 << position)?;
            }
        }
        ControlFlow::Continue(())
    }
}
