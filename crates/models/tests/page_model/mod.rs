//! The model that loom and shuttle share: the shipped `src/page/epoch.rs` over the checker's own atomics, and beside it
//! the smallest store that can go wrong: blocks, one to a version, that a writer replaces, publishes and frees.
//!
//! Version `v` is block `v`, born at stamp `v`, dead at `v + 1`. A freed block reads [`DEAD`] until it is used again,
//! and a read beside the write that frees it is a race, which the checker's [`Cell`] reports (loom) or which shows as
//! [`DEAD`] (shuttle).
//!
//! `--cfg folio_plant="..."` plants a bug that the checkers must find: `no_fence` and `early_root` in `epoch.rs`,
//! `double_free` here.

use crate::checker::{Cell, spawn};
use crate::epoch::{Epochs, IDLE, Slot};
use crate::sync::{Arc, Mutex, lock};

const DEAD: u64 = u64::MAX;

pub(crate) struct Block {
    birth: u64,
    content: Cell,
}

pub(crate) struct Store {
    epochs: Epochs<Block>,
    /// Stamps of the named snapshots. Locked after the horizon was taken, never before (R2 of `reclaim`).
    snapshots: Mutex<Vec<u64>>,
    /// By stamp. The checkers want to see a use after free, so the memory itself stays.
    blocks: Vec<Block>,
}

// SAFETY: blocks are shared as the pages of the real store are: what a reader may look at nobody writes. Whether that
// holds is what the checkers look for.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Store {
    /// A store at version 0 that can have as many more versions.
    pub(crate) fn new(versions: u64) -> Arc<Self> {
        let blocks: Vec<Block> = (0..=versions)
            .map(|birth| Block { birth, content: Cell::new(if birth == 0 { 0 } else { DEAD }) })
            .collect();
        let root = std::ptr::from_ref(&blocks[0]).cast_mut();
        Arc::new(Self { epochs: Epochs::new(0, root), snapshots: Mutex::new(Vec::new()), blocks })
    }

    fn enter(&self, slot: &Slot) -> &Block {
        // SAFETY: roots are addresses of `self.blocks`, which stay as long as `self`.
        unsafe { &*self.epochs.enter(slot) }
    }

    /// The writer: publishes the versions one by one, and after each frees what nobody can reach.
    pub(crate) fn write(&self, versions: u64) {
        let mut waiting = Vec::new();
        for stamp in 1..=versions {
            let block = &self.blocks[stamp as usize];
            block.content.set(stamp);
            self.epochs.publish(stamp, std::ptr::from_ref(block).cast_mut());
            waiting.push(stamp - 1);
            self.reclaim(&mut waiting);
        }
    }

    /// As `Store::reclaim` and `Reclaimer::settle` do it: horizon first, snapshots second.
    fn reclaim(&self, waiting: &mut Vec<u64>) {
        let horizon = self.epochs.horizon();
        let snapshots = lock(&self.snapshots);
        waiting.retain(|&birth| {
            let died = birth + 1;
            let held = died > horizon || snapshots.iter().any(|&stamp| (birth..died).contains(&stamp));
            if !held {
                self.free(birth);
                #[cfg(folio_plant = "double_free")]
                self.free(birth);
            }
            held
        });
    }

    fn free(&self, birth: u64) {
        let content = &self.blocks[birth as usize].content;
        assert_ne!(content.get(), DEAD, "block {birth} is freed twice");
        content.set(DEAD);
    }
}

/// What a reader may do with the root that it got.
fn look(block: &Block) {
    assert_eq!(block.content.get(), block.birth, "the block was freed while it could be reached");
}

/// One read, and a second: the later one must not let the writer overtake the earlier.
pub(crate) fn read_twice(store: &Store) {
    let slot = store.epochs.register();
    for _ in 0..2 {
        look(store.enter(&slot));
        slot.leave();
    }
    slot.release();
}

/// A read inside a read: the root of the outer one stays until both have ended, whichever ends first.
pub(crate) fn read_nested(store: &Store) {
    let slot = store.epochs.register();
    let outer = store.enter(&slot);
    look(store.enter(&slot));
    slot.nest();
    slot.leave();
    slot.leave();
    look(outer);
    slot.leave();
    slot.release();
}

/// A snapshot is registered under a pin, looked at without it, and forgotten.
pub(crate) fn read_snapshot(store: &Store) {
    let slot = store.epochs.register();
    let root = store.enter(&slot);
    lock(&store.snapshots).push(root.birth);
    slot.leave();
    look(root);
    lock(&store.snapshots).retain(|&stamp| stamp != root.birth);
    slot.release();
}

/// One writer beside these readers; then, all being still, the writer can free everything but the last version.
pub(crate) fn run(versions: u64, readers: &[fn(&Store)]) {
    let store = Store::new(versions);
    let threads: Vec<_> = readers
        .iter()
        .map(|&read| {
            let store = Arc::clone(&store);
            spawn(move || read(&store))
        })
        .collect();
    store.write(versions);
    for thread in threads {
        thread.join().expect("the reader ends");
    }
    assert_eq!(store.epochs.horizon(), IDLE, "no slot is left announced");
    look(&store.blocks[versions as usize]);
}

/// A slot goes from a thread that ends to one that begins, beside the writer.
pub(crate) fn run_handover(versions: u64) {
    let store = Store::new(versions);
    let readers = {
        let store = Arc::clone(&store);
        spawn(move || {
            let first = Arc::clone(&store);
            let first = spawn(move || read_twice(&first));
            read_twice(&store);
            first.join().expect("the reader ends");
        })
    };
    store.write(versions);
    readers.join().expect("the readers end");
    assert!(store.epochs.slot_count() <= 2, "slots are taken again");
}
