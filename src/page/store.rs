//! A store: one line of versions, its readers, its one writer, its snapshots; and forks, which are stores that begin at
//! a version of another.
//!
//! Owns the published head, the registry of named snapshots, and the memory. What a version contains is the business of
//! the layers above: to the store it is a root block.
//!
//! - S1: published stamps rise. A store's stamps begin above the version that it was forked from, so `birth > base` says
//!   whether a block that this store reaches is its own.
//! - S2: a fork holds its origin's version as a snapshot does, for as long as it lives: the origin's writer frees none of
//!   the shared blocks, and the fork's writer frees none that is not its own.
//! - S3: a guard's root, and all it reaches, stays readable until the guard is dropped.
//! - S4: the published version is the newest committed one or, in a store that defers, an older one: what died later than
//!   the published stamp is kept.

use super::block::{BlockRef, Header, Link};
use super::epoch::{Epochs, Slot, ThreadSlot};
use super::heap::{Heap, OutOfMemory};
use super::reclaim::{Named, PIECE_BLOCKS, Reclaimer, SLICE_BLOCKS, SLICE_PIECES};
use super::writer::{Committed, Pages, Transaction, Writer};
use parking_lot::Mutex;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Why a write could not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BeginError {
    /// The calling thread is inside a write of this store already.
    Reentrant,
}

/// What the memory of a store is used for, in bytes unless said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MemoryUse {
    pub(crate) used_bytes: usize,
    pub(crate) reserved_bytes: usize,
    pub(crate) vacant_bytes: usize,
    pub(crate) waiting_bytes: usize,
    pub(crate) blocks: usize,
    pub(crate) snapshots: usize,
    pub(crate) reader_slots: usize,
}

/// See the module.
pub(crate) struct Store {
    id: u64,
    pub(super) epochs: Epochs<Header>,
    snapshots: Mutex<Snapshots>,
    pub(super) writer: Mutex<RefCell<Writer>>,
    /// Held while a version is published, in a store that defers: there not only the writer publishes.
    publishing: Option<Mutex<()>>,
    /// Whether nobody can open the newest version any more, but snapshots or forks hold older ones.
    closed: AtomicBool,
    /// The thread inside a write, by the address of its token; 0 for none.
    pub(super) owner: AtomicUsize,
    memory: MemoryFigures,
    /// Kept for S2.
    origin: Option<Pinned>,
}

/// The versions that snapshots and forks hold.
#[derive(Default)]
struct Snapshots {
    /// Sorted by their stamps.
    named: Vec<Named>,
    /// Stamps of those that are held no more, until the reclaimer has seen to what they held: at most one for each of the
    /// versions that there were since.
    gone: Vec<u64>,
}

/// What the memory was used for when the running write, or slice of reclamation, began: for whoever asks beside it.
#[derive(Default)]
struct MemoryFigures {
    used_bytes: AtomicUsize,
    reserved_bytes: AtomicUsize,
    vacant_bytes: AtomicUsize,
    waiting_bytes: AtomicUsize,
    blocks: AtomicUsize,
}

static NEXT_STORE: AtomicU64 = AtomicU64::new(1);

// SAFETY: all that is behind raw pointers is reached under the reader protocol or the writer's lock.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

// A write that a panic ends is rolled back by its destructor, and readers see published roots alone.
impl std::panic::RefUnwindSafe for Store {}

impl Store {
    /// A store whose first version is a root block with so many links and these bytes.
    pub(crate) fn new(link_count: usize, bytes: &[u8]) -> Result<Arc<Self>, OutOfMemory> {
        Self::first(link_count, bytes, None)
    }

    /// The same for a store whose versions may be published later than they are committed.
    pub(crate) fn deferring(link_count: usize, bytes: &[u8]) -> Result<Arc<Self>, OutOfMemory> {
        Self::first(link_count, bytes, Some(Mutex::new(())))
    }

    fn first(link_count: usize, bytes: &[u8], publishing: Option<Mutex<()>>) -> Result<Arc<Self>, OutOfMemory> {
        let mut heap = Heap::new();
        let root = heap.alloc(1, link_count, bytes.len())?;
        // SAFETY: the block is fresh and ours alone.
        unsafe { super::block::BlockMut::new(root) }.bytes().copy_from_slice(bytes);
        Ok(Self::with_root(root, 1, 0, heap, None, publishing))
    }

    fn with_root(
        root: NonNull<Header>,
        stamp: u64,
        base: u64,
        heap: Heap,
        origin: Option<Pinned>,
        publishing: Option<Mutex<()>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_STORE.fetch_add(1, Ordering::Relaxed),
            epochs: Epochs::new(stamp, root.as_ptr()),
            snapshots: Mutex::default(),
            writer: Mutex::new(RefCell::new(Writer {
                root: Link(root),
                pages: Pages::new(heap, Reclaimer::new(base), stamp, base),
            })),
            publishing,
            closed: AtomicBool::new(false),
            owner: AtomicUsize::new(0),
            memory: MemoryFigures::default(),
            origin,
        })
    }

    /// The published version, kept readable while the guard lives. Takes no lock and waits for nobody; the first read of
    /// a thread registers it. Cost: O(1).
    #[inline]
    pub(crate) fn pin(&self) -> Guard<'_> {
        let slot = self.slot();
        let root = self.epochs.enter(slot);
        // SAFETY: a published root is never null.
        Guard { root: unsafe { NonNull::new_unchecked(root) }, hold: Hold(Some(slot)) }
    }

    #[inline(always)]
    fn slot(&self) -> &Slot {
        let (id, slot) = LAST_SLOT.get();
        if id == self.id {
            // SAFETY: the pair was stored by `slot_slow` for this very store, by this thread. The store keeps all its
            // slots while it lives, and it lives, being borrowed; ids are never used again.
            return unsafe { &*slot };
        }
        self.slot_slow()
    }

    #[cold]
    fn slot_slow(&self) -> &Slot {
        let slot = match OWN_SLOTS.try_with(|own| Arc::as_ptr(own.borrow_mut().of(self))) {
            Ok(slot) => {
                LAST_SLOT.set((self.id, slot));
                slot
            }
            // The thread is ending, and nobody would hand back what a destructor that reads had taken: so each of its reads
            // takes a slot of its own.
            Err(_) => {
                let slot = self.epochs.register();
                slot.release_behind_read();
                Arc::as_ptr(&slot)
            }
        };
        // SAFETY: `register` answers slots that the store keeps while it lives.
        unsafe { &*slot }
    }

    /// A named snapshot of the published version. Cost: O(1).
    pub(crate) fn snapshot(self: &Arc<Self>) -> Pinned {
        let guard = self.pin();
        Pinned::of(Arc::clone(self), guard.root)
    }

    /// A store that begins at the version of `origin` and shares its blocks. Cost: O(1).
    pub(crate) fn fork(origin: Pinned) -> Arc<Self> {
        let (root, stamp) = (origin.root, origin.stamp());
        Self::with_root(root, stamp, stamp, Heap::new(), Some(origin), None)
    }

    /// Takes the writer's lock, waiting for the write that holds it. Cost: O(1).
    pub(crate) fn begin(&self) -> Result<Transaction<'_>, BeginError> {
        let me = thread_token();
        if self.owner.load(Ordering::Relaxed) == me {
            return Err(BeginError::Reentrant);
        }
        let writer = self.writer.lock();
        self.owner.store(me, Ordering::Relaxed);
        Ok(Transaction::new(self, writer))
    }

    /// Whether the calling thread is inside a write of this store.
    pub(crate) fn is_writing_here(&self) -> bool {
        self.owner.load(Ordering::Relaxed) == thread_token()
    }

    /// Makes a committed version what readers see, unless they see a newer one already. Cost: O(1).
    pub(crate) fn publish(&self, version: &Committed) {
        let _one = self.publishing.as_ref().map(Mutex::lock);
        if version.store == self.id && version.stamp > self.epochs.published() {
            // Still there: what replaced the root died later than the published stamp (S4).
            self.epochs.publish(version.stamp, version.root.as_ptr());
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Whether versions may be published later than they are committed.
    pub(super) fn defers(&self) -> bool {
        self.publishing.is_some()
    }

    /// One slice of reclamation, behind a write that has added so many blocks: a constant and twice as many are looked at.
    /// In pieces, between which others get at the list of snapshots. Answers how many were; none means that nothing can be
    /// freed now.
    pub(super) fn reclaim(&self, work: &mut Pages, added: usize) -> usize {
        let (most, mut looked_at) = (SLICE_BLOCKS + 2 * added, 0);
        loop {
            let piece = (most - looked_at).min(PIECE_BLOCKS);
            let done = self.reclaim_piece(work, piece);
            looked_at += done;
            if done < piece || looked_at == most {
                return looked_at;
            }
        }
    }

    #[inline]
    fn reclaim_piece(&self, work: &mut Pages, most: usize) -> usize {
        // What the writer has replaced may be reachable still from a published version that lags behind it (S4).
        let published = if self.closed.load(Ordering::Relaxed) { u64::MAX } else { self.epochs.published() };
        let horizon = self.epochs.horizon().min(published);
        let mut snapshots = self.snapshots.lock();
        let Snapshots { named, gone } = &mut *snapshots;
        work.reclaimer.slice(&mut work.heap, horizon, named, gone, most)
    }

    /// Lets everyone know what the memory is used for now.
    #[inline]
    pub(super) fn note_memory(&self, work: &Pages) {
        let memory = &self.memory;
        memory.used_bytes.store(work.heap.used_bytes(), Ordering::Relaxed);
        memory.reserved_bytes.store(work.heap.reserved_bytes(), Ordering::Relaxed);
        memory.vacant_bytes.store(work.heap.vacant_bytes(), Ordering::Relaxed);
        memory.waiting_bytes.store(work.reclaimer.queue_bytes(), Ordering::Relaxed);
        memory.blocks.store(work.heap.used_blocks(), Ordering::Relaxed);
    }

    /// The same at the end of a write that has added so much. Where memory is used up, nothing that can be freed is left.
    pub(super) fn reclaim_behind(&self, work: &mut Pages, added: usize) {
        while self.reclaim(work, added) > 0 && work.heap.is_tight() && !work.reclaimer.is_idle() {}
        work.heap.give_back(SLICE_PIECES);
    }

    /// A slice for its own sake. Answers whether nothing more can be freed or given back now.
    fn reclaim_slice(&self, work: &mut Pages) -> bool {
        let is_free = self.reclaim(work, 0) == 0 || work.reclaimer.is_idle() && self.snapshots.lock().gone.is_empty();
        let has_more = work.heap.give_back(SLICE_PIECES);
        self.note_memory(work);
        is_free && !has_more
    }

    /// Frees all that no reader and no snapshot holds, in slices, letting other writers in between them. Answers when
    /// nothing more can be freed. Does nothing inside a write of this thread.
    pub(crate) fn reclaim_all(&self) {
        if self.is_writing_here() {
            return;
        }
        loop {
            let mut writer = self.writer.lock();
            if self.reclaim_slice(&mut writer.get_mut().pages) {
                return;
            }
        }
    }

    /// The same while no writer is at work and `goes_on` answers so. Answers whether nothing more can be freed.
    pub(crate) fn reclaim_beside(&self, goes_on: impl Fn() -> bool) -> bool {
        while goes_on() {
            let Some(mut writer) = self.writer.try_lock() else { return false };
            if self.reclaim_slice(&mut writer.get_mut().pages) {
                return true;
            }
        }
        false
    }

    /// Says that the newest version will not be opened again: from here on snapshots hold what they can see, and it holds
    /// nothing. Cost: O(blocks that no snapshot holds); O(1) without snapshots, for then the memory goes as a whole.
    pub(crate) fn close(&self) {
        if self.snapshots.lock().named.is_empty() {
            return;
        }
        self.closed.store(true, Ordering::Relaxed);
        {
            let mut writer = self.writer.lock();
            let Writer { root, pages } = writer.get_mut();
            let (block, birth) = (root.0, root.block().birth());
            if birth <= pages.base() {
                return;
            }
            // One past its birth: a snapshot of this very version lies within its life.
            pages.reclaimer.bury_deep(block, birth + 1);
        }
        self.reclaim_all();
    }

    /// From here on the store takes no more than so many bytes from the process's allocator.
    pub(crate) fn limit_memory(&self, bytes: usize) {
        self.writer.lock().get_mut().pages.heap.limit(bytes);
    }

    /// The same, unless that left too little to who frees memory: then the limit stays.
    pub(crate) fn lower_memory_limit(&self, bytes: usize) {
        self.writer.lock().get_mut().pages.heap.lower_limit(bytes);
    }

    /// As the last write to end has left it: a running one is neither waited for nor counted. Cost: O(named versions).
    pub(crate) fn memory_use(&self) -> MemoryUse {
        if let Some(mut writer) = self.writer.try_lock() {
            self.note_memory(&writer.get_mut().pages);
        }
        MemoryUse {
            used_bytes: self.memory.used_bytes.load(Ordering::Relaxed),
            reserved_bytes: self.memory.reserved_bytes.load(Ordering::Relaxed),
            vacant_bytes: self.memory.vacant_bytes.load(Ordering::Relaxed),
            waiting_bytes: self.memory.waiting_bytes.load(Ordering::Relaxed),
            blocks: self.memory.blocks.load(Ordering::Relaxed),
            snapshots: self.snapshots.lock().named.iter().map(|named| named.count).sum(),
            reader_slots: self.epochs.slot_count(),
        }
    }

    /// All named versions, the oldest first, each once. Cost: O(named versions).
    pub(crate) fn named(self: &Arc<Self>) -> Vec<Pinned> {
        let hold = |named: &mut Named| {
            // It is held already, so that its blocks stay.
            named.count += 1;
            Pinned { root: named.root, store: Arc::clone(self) }
        };
        self.snapshots.lock().named.iter_mut().map(hold).collect()
    }

    /// Versions that this store's own are younger than: those of the store that it was forked from.
    pub(crate) fn base(&self) -> u64 {
        self.origin.as_ref().map_or(0, Pinned::stamp)
    }

    fn register_snapshot(&self, stamp: u64, root: NonNull<Header>) {
        let named = &mut self.snapshots.lock().named;
        match named.binary_search_by_key(&stamp, |named| named.stamp) {
            Ok(found) => named[found].count += 1,
            Err(place) => named.insert(place, Named { stamp, root, count: 1 }),
        }
    }

    fn forget_snapshot(&self, stamp: u64) {
        let mut snapshots = self.snapshots.lock();
        let Snapshots { named, gone } = &mut *snapshots;
        if let Ok(found) = named.binary_search_by_key(&stamp, |named| named.stamp) {
            named[found].count -= 1;
            if named[found].count == 0 {
                named.remove(found);
                // Who takes and drops the same version for ever is told of once.
                if gone.last() != Some(&stamp) {
                    gone.push(stamp);
                }
            }
        }
        let holds_others = !named.is_empty();
        drop(snapshots);
        // Nobody commits to a closed store, so nobody else would give back what the snapshot held.
        if self.closed.load(Ordering::Relaxed) && holds_others {
            self.reclaim_all();
        }
    }
}

impl Drop for Store {
    /// Forks of forks, each held by the next one alone, make a chain as long as its user likes: it goes link by link
    /// here, not by recursion.
    fn drop(&mut self) {
        let mut origin = self.origin.take();
        while let Some(pinned) = origin {
            let store = Arc::clone(&pinned.store);
            drop(pinned);
            origin = Arc::into_inner(store).and_then(|mut store| store.origin.take());
        }
    }
}

thread_local! {
    /// The store read last and this thread's slot in it: most programs have one.
    static LAST_SLOT: Cell<(u64, *const ThreadSlot)> = const { Cell::new((0, std::ptr::null())) };
    static OWN_SLOTS: RefCell<OwnSlots> = RefCell::new(OwnSlots { by_store: HashMap::new(), sweep_at: 64 });
    static TOKEN: u8 = const { 0 };
}

/// A number that no other living thread has.
#[inline(always)]
fn thread_token() -> usize {
    TOKEN.with(|token| std::ptr::from_ref(token).addr())
}

/// This thread's slots by store.
struct OwnSlots {
    by_store: HashMap<u64, Arc<ThreadSlot>>,
    /// At this many slots those of stores that are gone are looked for; doubles with the stores that live.
    sweep_at: usize,
}

impl OwnSlots {
    fn of(&mut self, store: &Store) -> &Arc<ThreadSlot> {
        if self.by_store.len() >= self.sweep_at && !self.by_store.contains_key(&store.id) {
            // Slots of stores that are gone are held by nobody else.
            self.by_store.retain(|_, slot| Arc::strong_count(slot) > 1);
            self.sweep_at = 64.max(2 * self.by_store.len());
        }
        self.by_store.entry(store.id).or_insert_with(|| store.epochs.register())
    }
}

impl Drop for OwnSlots {
    fn drop(&mut self) {
        LAST_SLOT.set((0, std::ptr::null()));
        for slot in self.by_store.values() {
            slot.release();
        }
    }
}

/// What keeps a version readable for `'a`: a slot in which a read is counted, or nothing but the borrow of a snapshot.
///
/// The slot is the calling thread's, which announces the version, or a running write's own, which only counts: while it
/// is not idle, the write overwrites nothing. One word, so that what holds it is moved about in registers.
struct Hold<'a>(Option<&'a Slot>);

impl Clone for Hold<'_> {
    #[inline(always)]
    fn clone(&self) -> Self {
        if let Some(slot) = self.0 {
            slot.nest();
        }
        Self(self.0)
    }
}

impl Drop for Hold<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.leave();
        }
    }
}

/// One version, readable while the guard lives. Tied to its thread.
#[derive(Clone)]
pub(crate) struct Guard<'a> {
    root: NonNull<Header>,
    hold: Hold<'a>,
}

/// Says that `'g` ends before `'a` does, where a closure must be told.
pub(crate) struct Within<'g, 'a>(PhantomData<&'g &'a ()>);

impl<'a> Guard<'a> {
    pub(super) fn of_write(root: NonNull<Header>, views: &'a Slot) -> Self {
        views.nest();
        Self { root, hold: Hold(Some(views)) }
    }

    /// The root of the version.
    #[inline(always)]
    pub(crate) fn root(&self) -> BlockRef<'_> {
        // SAFETY: S3: the root and what it reaches stay while the guard is borrowed.
        unsafe { BlockRef::new(self.root) }
    }

    /// Keeps the block that `find` answers readable for as long as the result lives. `find` works for any lifetime of the
    /// root within the guard's own, so that it can answer a block of this version only.
    #[inline(always)]
    pub(crate) fn hold<T>(
        self,
        find: impl for<'g> FnOnce(BlockRef<'g>, Within<'g, 'a>) -> Option<(BlockRef<'g>, T)>,
    ) -> Option<(Held<'a>, T)> {
        let (block, extra) = find(self.root(), Within(PhantomData)).map(|(block, extra)| (block.header, extra))?;
        Some((Held { block, _hold: self.hold }, extra))
    }
}

/// A block together with what keeps it readable.
#[derive(Clone)]
pub(crate) struct Held<'a> {
    block: NonNull<Header>,
    /// Kept for its drop.
    _hold: Hold<'a>,
}

impl<'a> Held<'a> {
    #[inline(always)]
    pub(crate) fn block(&self) -> BlockRef<'_> {
        // SAFETY: `Guard::hold` found the block in the guard's version, which stays while the guard's hold does; or
        // `borrowed` was given it for `'a`.
        unsafe { BlockRef::new(self.block) }
    }

    /// A block that stays readable for `'a` by other means.
    #[inline(always)]
    pub(crate) fn borrowed(block: BlockRef<'a>) -> Self {
        Self { block: block.header, _hold: Hold(None) }
    }
}

/// A named version, readable from any thread for as long as it is kept. Cheap to clone.
pub(crate) struct Pinned {
    root: NonNull<Header>,
    store: Arc<Store>,
}

// SAFETY: the version's blocks are immutable and stay while the registry counts this snapshot.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// The caller keeps `root`'s version readable during the call.
    fn of(store: Arc<Store>, root: NonNull<Header>) -> Self {
        // SAFETY: the root is readable, see above.
        let stamp = unsafe { root.as_ref() }.birth;
        store.register_snapshot(stamp, root);
        Self { root, store }
    }

    /// The stamp of the version.
    pub(crate) fn stamp(&self) -> u64 {
        self.root().birth()
    }

    pub(crate) fn root(&self) -> BlockRef<'_> {
        // SAFETY: the registry holds the version while `self` lives.
        unsafe { BlockRef::new(self.root) }
    }

    #[inline]
    pub(crate) fn guard(&self) -> Guard<'_> {
        Guard { root: self.root, hold: Hold(None) }
    }
}

impl Clone for Pinned {
    fn clone(&self) -> Self {
        self.store.register_snapshot(self.stamp(), self.root);
        Self { root: self.root, store: Arc::clone(&self.store) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.store.forget_snapshot(self.stamp());
    }
}
