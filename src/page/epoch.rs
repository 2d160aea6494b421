//! The reader protocol: how a reader says which version it may be looking at, and how the writer learns what no reader
//! can look at any more.
//!
//! Owns the published head (stamp and root) and the readers' slots. It frees nothing itself: [`Epochs::horizon`] tells
//! the reclaimer how far it may go.
//!
//! A reader loads the published stamp, announces it in its slot, fences, and only then loads the root. The writer
//! stores the new root, then its stamp, fences, and scans the slots. The two fences are ordered one way or the other:
//! either the scan sees the announcement, or the reader's load of the root sees the new one.
//!
//! - E1: a block that died at stamp `d` is reachable from no root published at `d` or later.
//! - E2: a reader whose slot announces `s` may reach any block that died after `s`, and no block that died at or
//!   before the horizon. The announced stamp may be older than the root then read, never newer: that only keeps more.
//! - E3: an outermost announcement lasts until the last nested read of its slot ends.

use super::sync::{Arc, AtomicBool, AtomicPtr, AtomicU64, Mutex, Ordering, fence, lock};
use std::cell::Cell;

/// What a slot announces while its thread reads nothing.
pub(super) const IDLE: u64 = u64::MAX;

/// Where one thread announces the version that it reads.
pub(super) struct Slot {
    announced: AtomicU64,
    /// Reads that are open on this slot. Touched by the owning thread alone.
    ///
    /// As wide as the counter of a leak must be: guards that are forgotten never count it back to zero.
    depth: Cell<u64>,
    /// Whether its thread is ending, so that it goes back with the last read. Touched by the owning thread alone.
    is_last: Cell<bool>,
    taken: AtomicBool,
}

// SAFETY: `depth` and `is_last` are the only fields that are no atomics, and only the thread that owns the slot touches
// them: a slot is handed to one thread by `Epochs::register` (which takes `taken`), and back by `Slot::hand_back`, whose
// release store is read by the acquiring swap of the next owner.
unsafe impl Sync for Slot {}
// SAFETY: as above; a slot has no tie to the thread that made it.
unsafe impl Send for Slot {}

/// A slot on a cache line pair of its own: readers never share one.
#[repr(align(128))]
pub(super) struct ThreadSlot(Slot);

impl std::ops::Deref for ThreadSlot {
    type Target = Slot;

    #[inline(always)]
    fn deref(&self) -> &Slot {
        &self.0
    }
}

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            announced: AtomicU64::new(IDLE),
            depth: Cell::new(0),
            is_last: Cell::new(false),
            taken: AtomicBool::new(true),
        }
    }

    /// Whether a read is open on it.
    pub(super) fn is_open(&self) -> bool {
        self.depth.get() > 0
    }

    /// One more read on a slot that already has one open.
    #[inline(always)]
    pub(super) fn nest(&self) {
        self.depth.set(self.depth.get() + 1);
    }

    /// Says what the thread is about to read, before it reads it: nothing behind this is done ahead of it.
    #[inline(always)]
    fn announce(&self, stamp: u64) {
        // On x86-64 a locked exchange is a full barrier at half the price of the fence that the compiler would emit.
        #[cfg(all(target_arch = "x86_64", not(any(loom, shuttle, folio_plant = "no_fence"))))]
        self.announced.swap(stamp, Ordering::SeqCst);
        // Elsewhere, and before the model checkers, what the proof asks for. Release: a writer that sees this
        // announcement, and not the idle word before it, shall have all earlier reads of this thread behind it when it
        // frees what they read.
        #[cfg(not(all(target_arch = "x86_64", not(any(loom, shuttle, folio_plant = "no_fence")))))]
        {
            self.announced.store(stamp, Ordering::Release);
            #[cfg(not(folio_plant = "no_fence"))]
            fence(Ordering::SeqCst);
        }
    }

    /// The end of one read; the last one withdraws the announcement.
    #[inline(always)]
    pub(super) fn leave(&self) {
        let depth = self.depth.get() - 1;
        self.depth.set(depth);
        if depth == 0 {
            // Release: what this thread read happens before the writer that sees the slot idle and frees it.
            self.announced.store(IDLE, Ordering::Release);
            if self.is_last.get() {
                self.hand_back();
            }
        }
    }

    /// Says that its thread is ending: the slot goes back now, or with the last read that is open on it (of a row that is
    /// kept in a thread-local). One that is never closed keeps it, and memory, for the life of the store, which is safe.
    pub(super) fn release(&self) {
        match self.depth.get() {
            0 => self.hand_back(),
            _ => self.is_last.set(true),
        }
    }

    /// Lets the slot, which was taken for a thread that is ending already, go back with the first read on it.
    pub(super) fn release_behind_read(&self) {
        self.is_last.set(true);
    }

    #[cold]
    #[inline(never)]
    fn hand_back(&self) {
        self.is_last.set(false);
        self.taken.store(false, Ordering::Release);
    }
}

/// The published version. Stamp and root share one cache line, the only one that every commit makes readers load anew.
#[repr(align(128))]
struct Head<T> {
    stamp: AtomicU64,
    root: AtomicPtr<T>,
}

/// One store's head and the slots of the threads that read it.
pub(super) struct Epochs<T> {
    head: Head<T>,
    /// Grows to the largest number of threads that ever read at once; slots of ended threads are taken again.
    slots: Mutex<Vec<Arc<ThreadSlot>>>,
}

impl<T> Epochs<T> {
    pub(super) fn new(stamp: u64, root: *mut T) -> Self {
        Self { head: Head { stamp: AtomicU64::new(stamp), root: AtomicPtr::new(root) }, slots: Mutex::new(Vec::new()) }
    }

    /// A slot for the calling thread: one that an ended thread left, or a new one. Cost: O(threads), once a thread.
    pub(super) fn register(&self) -> Arc<ThreadSlot> {
        let mut slots = lock(&self.slots);
        for slot in slots.iter() {
            if !slot.taken.swap(true, Ordering::AcqRel) {
                return Arc::clone(slot);
            }
        }
        let slot = Arc::new(ThreadSlot(Slot::new()));
        slots.push(Arc::clone(&slot));
        slot
    }

    /// Opens a read on the calling thread's own `slot` and gives the root to read from. Every call is matched by one
    /// [`Slot::leave`].
    #[inline(always)]
    pub(super) fn enter(&self, slot: &Slot) -> *mut T {
        let depth = slot.depth.get();
        slot.depth.set(depth + 1);
        #[cfg(folio_plant = "early_root")]
        let early = self.head.root.load(Ordering::Acquire);
        if depth == 0 {
            let stamp = self.head.stamp.load(Ordering::Acquire);
            slot.announce(stamp);
        }
        #[cfg(folio_plant = "early_root")]
        return early;
        // A root that was loaded before the fence could be freed already; this load cannot be moved before it.
        #[cfg(not(folio_plant = "early_root"))]
        self.head.root.load(Ordering::Acquire)
    }

    /// Makes `root` what readers see from now on. One caller at a time, with rising stamps.
    pub(super) fn publish(&self, stamp: u64, root: *mut T) {
        self.head.root.store(root, Ordering::Release);
        // After the root: an announced stamp is never newer than the root read behind it (E2).
        self.head.stamp.store(stamp, Ordering::Release);
    }

    /// The stamp of the published version. Whoever goes on to ask for the [`horizon`](Epochs::horizon) has it ordered
    /// before the horizon's fence: every reader that the scan misses sees that version's root, or a newer one.
    pub(super) fn published(&self) -> u64 {
        self.head.stamp.load(Ordering::Acquire)
    }

    /// Blocks that died at or before this stamp can be reached by no reader, now or later. Cost: O(threads).
    pub(super) fn horizon(&self) -> u64 {
        #[cfg(not(folio_plant = "no_fence"))]
        fence(Ordering::SeqCst);
        let slots = lock(&self.slots);
        slots.iter().map(|slot| slot.announced.load(Ordering::Acquire)).min().unwrap_or(IDLE)
    }

    /// How many slots there are, idle ones included.
    pub(super) fn slot_count(&self) -> usize {
        lock(&self.slots).len()
    }
}
