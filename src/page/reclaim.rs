//! Reclamation: which blocks that the newest version no longer reaches may be used again.
//!
//! A block lives in the versions from its birth up to, not including, the stamp at which it died. It is free when no
//! reader announces a stamp before its death (the horizon, see `epoch`), and no named snapshot lies within its life.
//! Snapshots are exact: a block that one of them holds waits in that snapshot's own list, so that an old snapshot holds
//! what it can see and nothing else.
//!
//! Work is done by the writer, a bounded slice at each commit, so that dropping an old snapshot or a large table never
//! stalls anyone. `deep` deaths are whole subtrees: they unfold into their children as they are freed.
//!
//! - R1: a block enters a queue once, and leaves it to be freed or to be held.
//! - R2: horizon first, snapshots second: a snapshot is registered while its maker still announces an older stamp.
//! - R3: a subtree is walked before any block is freed that it links to without owning it: abandoned subtrees go before
//!   the queue, and of one write those that were rolled back first go first. (A link's target tells by its birth whether
//!   it is owned, so the target must still be there.)

use super::block::{BlockRef, Header};
use super::heap::Heap;
use std::collections::{BTreeMap, VecDeque};
use std::ptr::NonNull;

/// Blocks looked at by one commit beside twice what it added.
pub(super) const SLICE_BLOCKS: usize = 256;
/// Of these, so many are looked at before whoever waits to take a snapshot may.
pub(super) const PIECE_BLOCKS: usize = 2048;
/// Pieces of up to 2 MiB that a slice gives back to the system: the system takes a tenth of a millisecond for one.
pub(super) const SLICE_PIECES: usize = 2;
/// The memory of lists longer than this is given back when they are short again.
pub(super) const LIST_KEPT: usize = 1 << 16;
/// Garbage below both figures is left to a later commit: a look at the readers costs a fence.
const PATIENCE_BLOCKS: usize = 48;
const PATIENCE_BYTES: usize = 64 << 10;

/// A version that snapshots and forks hold.
pub(super) struct Named {
    pub(super) stamp: u64,
    pub(super) root: NonNull<Header>,
    /// How often it is held.
    pub(super) count: usize,
}

/// The end of a block: from `died` on, no version reaches it.
#[derive(Clone, Copy)]
pub(super) struct Death {
    pub(super) block: NonNull<Header>,
    pub(super) died: u64,
    /// Whether the whole subtree died, and its links have to be followed.
    pub(super) deep: bool,
}

/// So many blocks, of so many bytes together, each of which died alone at one stamp.
struct Deaths {
    died: u64,
    count: usize,
    bytes: usize,
}

/// Blocks that only one ended write saw: those of the subtree that were born after `floor`.
#[derive(Clone, Copy)]
pub(super) struct Abandoned {
    pub(super) block: NonNull<Header>,
    pub(super) floor: u64,
}

impl Abandoned {
    /// The block alone. Its links belong to the block that replaced it, and what they lead to may be freed already: they
    /// are not even looked at.
    pub(super) fn alone(block: NonNull<Header>) -> Self {
        Self { block, floor: u64::MAX }
    }
}

/// See the module.
pub(super) struct Reclaimer {
    /// Blocks that died alone, as nearly all do, in the order of their deaths.
    queue: VecDeque<NonNull<Header>>,
    /// When the blocks of `queue` died, in runs.
    deaths: VecDeque<Deaths>,
    /// Subtrees that died whole.
    deep: VecDeque<Death>,
    /// Of both.
    queue_bytes: usize,
    /// By snapshot stamp: the blocks that this snapshot is the newest to hold.
    held: BTreeMap<u64, Vec<Death>>,
    /// Blocks of snapshots that are gone, to be held by an older one or freed.
    unsettled: Vec<Vec<Death>>,
    /// A stack, emptied before anything else is freed (R3).
    abandoned: Vec<Abandoned>,
    /// Blocks born at or before belong to the store that this one was forked from.
    base: u64,
}

// SAFETY: deaths are addresses of blocks of the one heap that the same writer owns.
unsafe impl Send for Reclaimer {}

impl Reclaimer {
    pub(super) fn new(base: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            deaths: VecDeque::new(),
            deep: VecDeque::new(),
            queue_bytes: 0,
            held: BTreeMap::new(),
            unsettled: Vec::new(),
            abandoned: Vec::new(),
            base,
        }
    }

    /// Bytes of dead blocks that wait for readers to move on.
    pub(super) fn queue_bytes(&self) -> usize {
        self.queue_bytes
    }

    /// Takes the blocks that died at `died`, each alone. Stamps rise from call to call.
    #[inline]
    pub(super) fn bury(&mut self, blocks: &[NonNull<Header>], died: u64) {
        if !blocks.is_empty() {
            let bytes = blocks.iter().map(|&block| bytes_of(block)).sum();
            self.queue_bytes += bytes;
            self.queue.extend(blocks);
            self.deaths.push_back(Deaths { died, count: blocks.len(), bytes });
        }
    }

    /// Takes a subtree that died at `died`.
    pub(super) fn bury_deep(&mut self, block: NonNull<Header>, died: u64) {
        self.queue_bytes += bytes_of(block);
        self.deep.push_back(Death { block, died, deep: true });
    }

    pub(super) fn abandon(&mut self, abandoned: Abandoned) {
        self.abandoned.push(abandoned);
    }

    /// Whether enough has gathered for a slice to be worth its fence.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.queue.len() + self.abandoned.len() >= PATIENCE_BLOCKS
            || self.queue_bytes >= PATIENCE_BYTES
            // How much they are is known when they are walked.
            || !self.deep.is_empty()
            || !self.unsettled.is_empty()
    }

    /// Whether nothing waits that a slice could free now, were there no readers.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.deep.is_empty() && self.unsettled.is_empty() && self.abandoned.is_empty()
    }

    /// Looks at `most` blocks, or as many as there are. `horizon` was taken before `snapshots` (sorted by stamps) was read
    /// (R2), and `gone` has the stamps of those that were dropped since. Answers how many they were; none means that nothing can be freed now. Cost: O(`most`).
    pub(super) fn slice(
        &mut self,
        heap: &mut Heap,
        horizon: u64,
        snapshots: &[Named],
        gone: &mut Vec<u64>,
        most: usize,
    ) -> usize {
        let mut budget = most;
        self.unsettle(snapshots, gone, &mut budget);
        self.free_abandoned(heap, &mut budget);
        self.settle_queue(heap, horizon, snapshots, &mut budget);
        while budget > 0 {
            let Some(&death) = self.deep.front() else { break };
            if death.died > horizon {
                break;
            }
            self.deep.pop_front();
            self.queue_bytes -= bytes_of(death.block);
            budget -= 1;
            self.settle(heap, snapshots, death);
        }
        while budget > 0 {
            let Some(list) = self.unsettled.last_mut() else { break };
            match list.pop() {
                Some(death) => {
                    budget -= 1;
                    self.settle(heap, snapshots, death);
                }
                None => drop(self.unsettled.pop()),
            }
        }
        self.give_lists();
        most - budget
    }

    /// Gives the memory of long lists back, once they are short again: readers that overlap may never leave them empty.
    fn give_lists(&mut self) {
        fn give<T>(list: &mut VecDeque<T>) {
            if list.capacity() > LIST_KEPT && list.len() <= LIST_KEPT / 4 {
                list.shrink_to(LIST_KEPT / 2);
            }
        }
        give(&mut self.queue);
        give(&mut self.deaths);
        give(&mut self.deep);
        if self.abandoned.capacity() > LIST_KEPT && self.abandoned.len() <= LIST_KEPT / 4 {
            self.abandoned.shrink_to(LIST_KEPT / 2);
        }
    }

    /// Settles the blocks that died alone. Without snapshots, which is the usual case, they are freed in one go.
    fn settle_queue(&mut self, heap: &mut Heap, horizon: u64, snapshots: &[Named], budget: &mut usize) {
        let mut free = 0;
        while *budget > 0
            && let Some(deaths) = self.deaths.front_mut()
            && deaths.died <= horizon
        {
            let (died, count) = (deaths.died, deaths.count.min(*budget));
            let bytes = if count == deaths.count {
                deaths.bytes
            } else {
                self.queue.range(free..free + count).map(|&block| bytes_of(block)).sum()
            };
            deaths.count -= count;
            deaths.bytes -= bytes;
            self.queue_bytes -= bytes;
            *budget -= count;
            if deaths.count == 0 {
                self.deaths.pop_front();
            }
            if snapshots.is_empty() {
                free += count;
                continue;
            }
            for _ in 0..count {
                let Some(block) = self.queue.pop_front() else { break };
                self.settle(heap, snapshots, Death { block, died, deep: false });
            }
        }
        // Not as they are drained: going around the end of the queue's memory would cost each of them a look.
        let (front, back) = self.queue.as_slices();
        let (front, back) = (&front[..free.min(front.len())], &back[..free.saturating_sub(front.len())]);
        for &block in front {
            // SAFETY: `free` blocks died behind the horizon, there are no snapshots, and all leave the queue below.
            unsafe { free_settled(heap, block) };
        }
        for &block in back {
            // SAFETY: as above.
            unsafe { free_settled(heap, block) };
        }
        self.queue.drain(..free);
    }

    /// Moves the lists of snapshots that are gone to the unsettled ones.
    fn unsettle(&mut self, snapshots: &[Named], gone: &mut Vec<u64>, budget: &mut usize) {
        while *budget > 0
            && let Some(stamp) = gone.pop()
        {
            *budget -= 1;
            // The same version may have been taken again meanwhile.
            if snapshots.binary_search_by_key(&stamp, |named| named.stamp).is_err() {
                self.unsettled.extend(self.held.remove(&stamp));
            }
        }
    }

    /// Frees a block that no reader can reach, or gives it to the newest snapshot that holds it.
    fn settle(&mut self, heap: &mut Heap, snapshots: &[Named], death: Death) {
        // SAFETY: a buried block stays allocated until it is freed below.
        let block = unsafe { BlockRef::new(death.block) };
        let older = if snapshots.is_empty() { 0 } else { snapshots.partition_point(|named| named.stamp < death.died) };
        let holder = older.checked_sub(1).map(|last| snapshots[last].stamp).filter(|&stamp| stamp >= block.birth());
        if let Some(stamp) = holder {
            self.held.entry(stamp).or_default().push(death);
            return;
        }
        if death.deep {
            for child in block.links().iter().flatten() {
                if child.block().birth() > self.base {
                    // At the front: what is freed next lies near, and the queue stays as short as the tree is deep.
                    self.queue_bytes += bytes_of(child.0);
                    self.deep.push_front(Death { block: child.0, ..death });
                }
            }
        }
        // SAFETY: the caller took the block from a queue of deaths behind the horizon; no snapshot holds it, see above.
        unsafe { free_settled(heap, death.block) };
    }

    /// Frees the abandoned blocks, all at once: so that of a write which goes on, those that it abandons later come behind
    /// them (R3).
    pub(super) fn free_all_abandoned(&mut self, heap: &mut Heap) {
        let mut budget = usize::MAX;
        self.free_abandoned(heap, &mut budget);
    }

    fn free_abandoned(&mut self, heap: &mut Heap, budget: &mut usize) {
        while *budget > 0 {
            let Some(Abandoned { block, floor }) = self.abandoned.pop() else { break };
            *budget -= 1;
            if floor < u64::MAX {
                // SAFETY: a rolled-back block stays allocated until it is freed here, and what it links to until it
                // has been walked (R3).
                let links = unsafe { BlockRef::new(block) }.links();
                for child in links.iter().flatten() {
                    if child.block().birth() > floor {
                        self.abandoned.push(Abandoned { block: child.0, floor });
                    }
                }
            }
            // SAFETY: born in a write that has ended, or in a part of it that nothing goes back to, and replaced or rolled
            // back in it: it was never published, and no view of the write is left.
            unsafe { heap.free(block) }
        }
    }
}

/// Frees a block.
///
/// # Safety
/// The block is of this heap (born after `base`), dead for the newest version, behind the horizon for readers, and
/// within no snapshot's reach; the caller has taken it from its queue, or does so before anyone looks there (R1).
#[inline(always)]
unsafe fn free_settled(heap: &mut Heap, block: NonNull<Header>) {
    // SAFETY: the caller's promise.
    unsafe { heap.free(block) }
    #[cfg(folio_plant = "double_free")]
    // SAFETY: none: this is the planted bug.
    unsafe {
        heap.free(block)
    }
}

#[inline]
fn bytes_of(block: NonNull<Header>) -> usize {
    // SAFETY: called for blocks in a queue, which stay allocated while they are there.
    let header = unsafe { block.as_ref() };
    super::block::block_size(header.link_count as usize, header.bytes_len as usize)
}
