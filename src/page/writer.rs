//! The one write that a store has at a time: a private root, blocks of its own, savepoints, commit and rollback.
//!
//! A write changes blocks through [`Pages::make_mut`]: a block that it made itself under the current stamp is changed in
//! place, any other is copied first and the old one noted as dead. Raising the stamp therefore freezes everything made
//! so far, which is all that a savepoint, or a view of the unfinished write, needs.
//!
//! Where a replaced block goes depends on its birth, compared with the stamp at which this write started:
//!
//! | born | who may see it | goes to |
//! |---|---|---|
//! | under the current stamp | nobody | straight back to the heap |
//! | earlier in this write | a savepoint, a view of this write | `limbo`, freed when the write ends |
//! | before this write | readers, snapshots | `dead`, buried when it commits |
//! | before the fork that made this store | the origin | nowhere: it is the origin's |
//!
//! - W1: nothing of a write is visible before [`Transaction::commit`]; dropping the transaction instead costs O(1).
//! - W2: while a view of the write is open, no block that it can reach is changed or freed.

use super::block::{BlockMut, BlockRef, Header, Link};
use super::epoch::Slot;
use super::heap::{Heap, OutOfMemory};
use super::reclaim::{Abandoned, LIST_KEPT, Reclaimer};
use super::store::{Guard, Store};
use parking_lot::MutexGuard;
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

/// Makes, changes and retires blocks for one write. With the private root, what the writer's lock protects.
pub(crate) struct Pages {
    pub(super) heap: Heap,
    pub(super) reclaimer: Reclaimer,
    /// The stamp of blocks made now. Rises only.
    stamp: u64,
    /// The stamp when the running write began; its own blocks are younger.
    start: u64,
    /// The blocks in use when it began.
    start_blocks: usize,
    /// Replaced blocks from before this write.
    dead: Vec<NonNull<Header>>,
    /// Replaced blocks that an earlier part of this write made.
    limbo: Vec<NonNull<Header>>,
    /// Subtrees taken out whole.
    deep: Vec<NonNull<Header>>,
    /// Roots of rolled-back parts of this write.
    abandoned: Vec<Abandoned>,
    /// How many savepoints there are to go back to.
    savepoints: usize,
    /// Blocks born at or before belong to the store that this one was forked from.
    base: u64,
}

// SAFETY: the pointers are to blocks of `heap`, which moves along.
unsafe impl Send for Pages {}

impl Pages {
    pub(super) fn new(heap: Heap, reclaimer: Reclaimer, stamp: u64, base: u64) -> Self {
        Self {
            heap,
            reclaimer,
            stamp,
            start: stamp,
            start_blocks: 0,
            dead: Vec::new(),
            limbo: Vec::new(),
            deep: Vec::new(),
            abandoned: Vec::new(),
            savepoints: 0,
            base,
        }
    }
}

/// A write in progress. Holds the writer's lock; dropping it rolls back.
pub(crate) struct Transaction<'s> {
    store: &'s Store,
    /// Open views of the unfinished write (W2).
    views: Slot,
    writer: MutexGuard<'s, RefCell<Writer>>,
    /// The root that the write began with, to go back to.
    base: NonNull<Header>,
    ended: bool,
}

/// A committed version of a store, to be published by its [`Store::publish`].
pub(crate) struct Committed {
    pub(super) store: u64,
    pub(super) stamp: u64,
    pub(super) root: NonNull<Header>,
}

// SAFETY: an address and a number; `Store::publish`, which alone looks at the address, orders itself.
unsafe impl Send for Committed {}

/// Access to the write is taken already: a closure called from inside an operation wanted to use the same transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

/// The private root and the means to change it. Between writes, the root is the newest committed one.
pub(crate) struct Writer {
    pub(crate) root: Link,
    pub(crate) pages: Pages,
}

/// A point of a write to go back to.
#[derive(Clone, Copy)]
pub(crate) struct Savepoint {
    /// How many there were before.
    number: usize,
    root: NonNull<Header>,
    stamp: u64,
    dead: usize,
    limbo: usize,
    deep: usize,
}

impl<'s> Transaction<'s> {
    pub(super) fn new(store: &'s Store, mut writer: MutexGuard<'s, RefCell<Writer>>) -> Self {
        let Writer { root, pages } = writer.get_mut();
        let base = root.0;
        pages.start = pages.stamp;
        pages.start_blocks = pages.heap.used_blocks();
        pages.savepoints = 0;
        pages.stamp += 1;
        store.note_memory(pages);
        Self { store, views: Slot::new(), writer, base, ended: false }
    }

    /// Runs one operation on the private root. The operation must leave the root whole, also when it answers an error.
    #[inline]
    pub(crate) fn write<R>(&self, operation: impl FnOnce(&mut Writer) -> R) -> Result<R, Busy> {
        let mut writer = self.writer.try_borrow_mut().map_err(|_| Busy)?;
        if self.views.is_open() {
            writer.pages.stamp += 1;
        }
        Ok(operation(&mut writer))
    }

    /// The unfinished write as its own reads see it: a version that later operations do not change.
    #[inline]
    pub(crate) fn view(&self) -> Result<Guard<'_>, Busy> {
        let writer = self.writer.try_borrow().map_err(|_| Busy)?;
        Ok(Guard::of_write(writer.root.0, &self.views))
    }

    /// The root that the write began with. What it reaches is freed no sooner than the write ends, whatever the write
    /// replaces.
    pub(crate) fn base(&self) -> BlockRef<'_> {
        // SAFETY: the base is the newest committed version, which nobody but this write can replace, and what a write
        // replaces is handed on by `commit`, which takes the transaction that the answer borrows (B1 for not written).
        unsafe { BlockRef::new(self.base) }
    }

    /// Bytes of all blocks of the store, and how many more there may be. Nothing of either is known inside an operation.
    #[inline]
    pub(crate) fn memory(&self) -> (usize, usize) {
        self.writer.try_borrow().map_or((0, 0), |writer| {
            let used = writer.pages.heap.used_bytes();
            (used, writer.pages.heap.limit_bytes().saturating_sub(used))
        })
    }

    /// A point to go back to. Cost: O(1).
    pub(crate) fn savepoint(&self) -> Result<Savepoint, Busy> {
        let mut writer = self.writer.try_borrow_mut().map_err(|_| Busy)?;
        let root = writer.root.0;
        let work = &mut writer.pages;
        let (number, stamp) = (work.savepoints, work.stamp);
        work.stamp += 1;
        work.savepoints += 1;
        Ok(Savepoint { number, root, stamp, dead: work.dead.len(), limbo: work.limbo.len(), deep: work.deep.len() })
    }

    /// This savepoint, and those after it, are gone back to no more. With the first one goes what the write has replaced of
    /// its own, unless a view may show it still. Cost: O(blocks that are freed).
    pub(crate) fn release(&self, point: Savepoint) -> Result<(), Busy> {
        let mut writer = self.writer.try_borrow_mut().map_err(|_| Busy)?;
        let Pages { heap, reclaimer, limbo, abandoned, savepoints, .. } = &mut writer.pages;
        *savepoints = point.number;
        if point.number == 0 && !self.views.is_open() {
            abandon_own(reclaimer, limbo, abandoned);
            reclaimer.free_all_abandoned(heap);
        }
        Ok(())
    }

    /// Goes back to a savepoint of this transaction, to which no earlier savepoint has been gone back since, and which is
    /// there still. Cost: O(blocks replaced since).
    pub(crate) fn rollback_to(&self, point: &Savepoint) -> Result<(), Busy> {
        let mut writer = self.writer.try_borrow_mut().map_err(|_| Busy)?;
        let left = std::mem::replace(&mut writer.root, Link(point.root));
        let work = &mut writer.pages;
        debug_assert!(point.number < work.savepoints, "a savepoint that was released");
        work.savepoints = point.number + 1;
        if left.block().birth() > point.stamp {
            work.abandoned.push(Abandoned { block: left.0, floor: point.stamp });
        }
        work.dead.truncate(point.dead);
        let mut place = point.limbo;
        for index in point.limbo..work.limbo.len() {
            let block = work.limbo[index];
            // Blocks from before the savepoint are in use again; the others stay in limbo.
            if birth_of(block) > point.stamp {
                work.limbo[place] = block;
                place += 1;
            }
        }
        work.limbo.truncate(place);
        for block in work.deep.drain(point.deep..) {
            if birth_of(block) > point.stamp {
                work.abandoned.push(Abandoned { block, floor: point.stamp });
            }
        }
        work.stamp += 1;
        Ok(())
    }

    /// Publishes the private root as the newest version, or does nothing if the write changed nothing. Answers the
    /// stamp of the published version. Cost: O(blocks replaced), and one slice of reclamation.
    #[inline]
    pub(crate) fn commit(mut self) -> u64 {
        let committed = self.end();
        if birth_of(self.base) == self.store.epochs.published() {
            // Nothing waits to be published between the two, so that nobody else publishes, in a store that defers either:
            // what others may still hold is no newer than the base.
            if committed.stamp > birth_of(self.base) {
                self.store.epochs.publish(committed.stamp, committed.root.as_ptr());
            }
        } else {
            self.store.publish(&committed);
        }
        self.tidy();
        committed.stamp
    }

    /// Makes the private root the one that the next write begins with, in a store that defers. Readers go on with what
    /// they see until it is published. `note` gets the version while nobody else can write: so versions are noted in
    /// their order.
    pub(crate) fn commit_unpublished(mut self, note: impl FnOnce(Committed)) {
        let committed = self.end();
        if !self.store.defers() {
            self.store.publish(&committed);
        }
        self.tidy();
        note(committed);
    }

    fn end(&mut self) -> Committed {
        self.ended = true;
        let root = self.writer.get_mut().root.0;
        Committed { store: self.store.id(), stamp: birth_of(root), root }
    }

    /// Hands on what the committed write replaced.
    fn tidy(&mut self) {
        let Writer { root, pages: work } = self.writer.get_mut();
        let stamp = birth_of(root.0);
        if stamp > work.start {
            bury_lists(work, stamp);
        } else {
            abandon_deep(work);
        }
        let added = end_lists(work);
        if work.reclaimer.is_due() || work.heap.is_tight() || work.heap.has_surplus() {
            self.store.reclaim_behind(work, added);
        }
    }

    fn rollback(&mut self) {
        let writer = self.writer.get_mut();
        let root = std::mem::replace(&mut writer.root, Link(self.base)).0;
        let work = &mut writer.pages;
        let floor = work.start;
        work.dead.clear();
        if birth_of(root) > floor {
            work.reclaimer.abandon(Abandoned { block: root, floor });
        }
        abandon_deep(work);
        let added = end_lists(work);
        self.store.reclaim_behind(work, added);
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.rollback();
        }
        // Before the guard inside `writer` unlocks.
        self.store.owner.store(0, Ordering::Relaxed);
    }
}

/// Hands what the commit replaced to the reclaimer.
fn bury_lists(work: &mut Pages, died: u64) {
    work.reclaimer.bury(&work.dead, died);
    for &block in &work.deep {
        work.reclaimer.bury_deep(block, died);
    }
}

/// Of the subtrees taken out by a write that publishes nothing, those that it made itself are free.
fn abandon_deep(work: &mut Pages) {
    let floor = work.start;
    for index in 0..work.deep.len() {
        let block = work.deep[index];
        if birth_of(block) > floor {
            work.reclaimer.abandon(Abandoned { block, floor });
        }
    }
    work.deep.clear();
}

/// Empties the lists of an ended write. No view is open any more, so that what only this write saw is free. Answers how much
/// it has added to what is to be reclaimed: what it took out, and the blocks it has made, of which it may have left any
/// number behind. Each write pays for its own, or garbage would gather behind a stream of them.
fn end_lists(work: &mut Pages) -> usize {
    let made = work.heap.used_blocks().saturating_sub(work.start_blocks);
    let added = work.dead.len() + work.deep.len() + made;
    work.dead.clear();
    work.deep.clear();
    abandon_own(&mut work.reclaimer, &mut work.limbo, &mut work.abandoned);
    let own = work.limbo.capacity().max(work.abandoned.capacity());
    if own.max(work.dead.capacity()).max(work.deep.capacity()) > LIST_KEPT {
        (work.dead, work.deep, work.limbo, work.abandoned) = Default::default();
    }
    added
}

/// Hands what only this write saw, and what nothing of it can see any more, to the reclaimer.
fn abandon_own(reclaimer: &mut Reclaimer, limbo: &mut Vec<NonNull<Header>>, abandoned: &mut Vec<Abandoned>) {
    for block in limbo.drain(..) {
        reclaimer.abandon(Abandoned::alone(block));
    }
    // Backwards onto a stack: what was rolled back first is freed first. What is rolled back later may own blocks that an
    // earlier part only linked to (R3 of `reclaim`).
    for part in abandoned.drain(..).rev() {
        reclaimer.abandon(part);
    }
}

#[inline(always)]
fn birth_of(block: NonNull<Header>) -> u64 {
    // SAFETY: called for blocks that the running write reaches or has replaced; none of them is freed before it ends.
    unsafe { block.as_ref() }.birth
}

impl Writer {
    /// Whether the private root is another than the one that the write began with.
    pub(crate) fn is_changed(&self) -> bool {
        birth_of(self.root.0) > self.pages.start
    }
}

impl Pages {
    /// Lets `free` use the memory that is kept for those who free some, where there is a limit. What it is given is to make
    /// less of what there is.
    #[inline]
    pub(crate) fn freeing(&mut self, frees: bool) {
        self.heap.may_use_reserve = frees;
    }

    /// Refuses to add anything while what is kept for those who free some is not whole.
    #[inline]
    pub(crate) fn check_reserve(&mut self) -> Result<(), OutOfMemory> {
        if self.heap.is_short() { Err(OutOfMemory { bytes: self.heap.reserve_bytes() }) } else { Ok(()) }
    }

    /// What `build` makes, beside a block that was made before; discarded after an error, as nothing leads to it yet.
    pub(crate) fn beside<T>(
        &mut self,
        made: Link,
        build: impl FnOnce(&mut Self, &Link) -> Result<T, OutOfMemory>,
    ) -> Result<(Link, T), OutOfMemory> {
        match build(self, &made) {
            Ok(built) => Ok((made, built)),
            Err(error) => {
                self.discard(made);
                Err(error)
            }
        }
    }

    /// A new block with absent links; its bytes have unspecified content. Cost: O(1).
    #[inline]
    pub(crate) fn alloc(&mut self, link_count: usize, bytes_len: usize) -> Result<Link, OutOfMemory> {
        let stamp = self.stamp;
        self.heap.alloc(stamp, link_count, bytes_len).map(Link)
    }

    /// The bytes of all blocks made so far less those of all taken out one by one, modulo 2^64: by as much as this differs
    /// before and after, what was changed in between has grown. A copy takes the place of as many bytes. A subtree that
    /// is [discarded](Pages::discard) whole is not counted, for that would be a walk: who does that to a structure whose
    /// bytes are kept says itself that it has none left.
    #[inline(always)]
    pub(crate) fn net_bytes(&self) -> u64 {
        self.heap.net_bytes
    }

    /// The block behind `link` for writing: in place if the running write made it, else a copy that takes its place.
    /// Cost: O(1) or O(block).
    #[inline]
    pub(crate) fn make_mut<'l>(&mut self, link: &'l mut Link) -> Result<BlockMut<'l>, OutOfMemory> {
        if !self.owns(link) {
            self.replace_by_copy(link)?;
        }
        // SAFETY: born under the current stamp, so reached by this write alone, through this link.
        Ok(unsafe { BlockMut::new(link.0) })
    }

    /// The same for the root, which every change copies, also one that frees memory: from what is kept for those, where
    /// there is a limit.
    #[inline]
    pub(crate) fn make_root_mut<'l>(&mut self, root: &'l mut Link) -> Result<BlockMut<'l>, OutOfMemory> {
        self.freeing(true);
        let made = self.make_mut(root);
        self.freeing(false);
        made
    }

    #[inline(never)]
    fn replace_by_copy(&mut self, link: &mut Link) -> Result<(), OutOfMemory> {
        // SAFETY: the block is live. The links move to the copy; the old block is retired without them.
        let copy = unsafe { self.heap.alloc_copy(self.stamp, link.0)? };
        self.retire_older(link.0);
        link.0 = copy;
        Ok(())
    }

    /// Lets so many more blocks be made before memory is said to be out.
    #[cfg(test)]
    pub(super) fn limit_memory(&mut self, blocks: Option<usize>) {
        self.heap.blocks_until_full = blocks;
    }

    /// Blocks born later are this store's own.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Whether the running write could change the block in place.
    #[inline(always)]
    pub(crate) fn owns(&self, link: &Link) -> bool {
        birth_of(link.0) == self.stamp
    }

    /// The block of a new link, for writing.
    #[inline(always)]
    pub(crate) fn fresh<'l>(&self, link: &'l mut Link) -> Option<BlockMut<'l>> {
        // SAFETY: as in `make_mut`.
        self.owns(link).then(|| unsafe { BlockMut::new(link.0) })
    }

    /// Takes the whole subtree out of the version. Cost: O(1) now; its blocks are freed in slices later.
    pub(crate) fn discard(&mut self, link: Link) {
        if link.block().links().iter().all(Option::is_none) {
            self.retire(link.0);
        } else if birth_of(link.0) > self.base {
            self.deep.push(link.0);
        }
    }

    /// The same for a block whose links lead to blocks without links, each of which is taken out by itself: so that all of
    /// their bytes are counted. Cost: O(links).
    pub(crate) fn discard_flat(&mut self, link: Link) {
        let donor = self.donate(link);
        self.finish(donor);
    }

    /// A block that others will take the place of: its links can be moved on, then it is retired by [`Pages::finish`].
    pub(crate) fn donate(&mut self, link: Link) -> Donor {
        Donor { link, next: 0 }
    }

    /// Moves link `index` out of a donor. Links are taken in rising order; those passed over are discarded with their
    /// subtrees. A link that was passed already answers `None`.
    pub(crate) fn take(&mut self, donor: &mut Donor, index: usize) -> Option<Link> {
        if index < donor.next {
            return None;
        }
        self.discard_links(donor, index);
        donor.next = index + 1;
        if let Some(block) = self.fresh(&mut donor.link) {
            // Else the donor could still show a block that is changed in place, or freed, through the link answered.
            return block.into_parts().0.get_mut(index)?.take();
        }
        // The old block keeps its copy of the address for readers of older versions; within this version the link is
        // the one answered here (`next` only rises).
        donor.link.block().links().get(index)?.as_ref().map(|link| Link(link.0))
    }

    /// Retires a donor; links that were not taken are discarded with their subtrees.
    pub(crate) fn finish(&mut self, mut donor: Donor) {
        self.discard_links(&mut donor, usize::MAX);
        self.retire(donor.link.0);
    }

    fn discard_links(&mut self, donor: &mut Donor, until: usize) {
        let links = donor.link.block().links();
        for link in links.iter().take(until).skip(donor.next).flatten() {
            self.discard(Link(link.0));
        }
    }

    /// Puts a replaced block where its birth says (see the module); its links are not its own any more.
    #[inline]
    fn retire(&mut self, block: NonNull<Header>) {
        // SAFETY: the block is one that the running write reached until now: it is freed below at the earliest.
        let size = unsafe { BlockRef::new(block) }.size();
        self.heap.net_bytes = self.heap.net_bytes.wrapping_sub(size as u64);
        if birth_of(block) == self.stamp {
            // SAFETY: made under the current stamp, so seen by nobody else, and just replaced.
            unsafe { self.heap.free(block) }
        } else {
            self.retire_older(block);
        }
    }

    /// The same for a block that was not made under the current stamp.
    #[inline(always)]
    fn retire_older(&mut self, block: NonNull<Header>) {
        let birth = birth_of(block);
        if birth > self.start {
            self.limbo.push(block);
        } else if birth > self.base {
            self.dead.push(block);
        }
    }
}

/// See [`Pages::donate`]. Dropped without [`Pages::finish`], it only leaks its block until the store goes.
pub(crate) struct Donor {
    link: Link,
    next: usize,
}

impl Donor {
    pub(crate) fn block(&self) -> BlockRef<'_> {
        self.link.block()
    }
}
