//! What the tests of whole stores share: a world of stores with their models, random transactions on them, and the checks
//! that hold a version against its model.
//!
//! A test's root block has two trees. A page begins with its mask of live entries, as a row page does, then comes a
//! number, and it links to up to three chains of blocks (as large values hang on a row page).

use crate::page::block::{BlockRef, Link};
use crate::page::heap::OutOfMemory;
use crate::page::store::{Guard, Pinned, Store};
use crate::page::tree::{Tree, TreeRef};
use crate::page::writer::{Pages, Savepoint, Writer};
use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// SplitMix64: small, and the same numbers for a seed on every machine.
pub(in crate::page) struct Random(u64);

impl Random {
    pub(in crate::page) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(in crate::page) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub(in crate::page) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(in crate::page) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// A chain of blocks as its page's model sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Chain {
    pub(super) seed: u64,
    pub(super) bytes_len: usize,
    pub(super) blocks: usize,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Page {
    pub(super) mask: u32,
    pub(super) number: u64,
    pub(super) chains: Vec<Option<Chain>>,
}

/// What the two trees of a root hold.
pub(super) type Model = [BTreeMap<u64, Page>; 2];

pub(super) const PAGE_BYTES: usize = 16;

pub(super) fn new_store() -> Arc<Store> {
    Store::new(2, &[0; 8]).expect("memory for one block")
}

fn tree_of(root: BlockRef<'_>, index: usize) -> TreeRef<'_> {
    TreeRef::new(root.links()[index].as_ref(), root.bytes()[index])
}

fn fill(bytes: &mut [u8], seed: u64) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = (seed as usize).wrapping_add(index * 7) as u8;
    }
}

pub(super) fn new_chain(pages: &mut Pages, chain: Chain) -> Option<Link> {
    let mut next = None;
    for depth in (0..chain.blocks).rev() {
        let mut link = pages.alloc(1, chain.bytes_len).expect("memory");
        let mut block = pages.fresh(&mut link).expect("a new block is the write's own");
        fill(block.bytes(), chain.seed + depth as u64);
        block.links()[0] = next;
        next = Some(link);
    }
    next
}

fn check_chain(link: Option<&Link>, chain: Option<Chain>) {
    let Some(chain) = chain else { return assert!(link.is_none()) };
    let mut at = link.map(Link::block);
    let mut expected = vec![0; chain.bytes_len];
    for depth in 0..chain.blocks {
        let block = at.expect("the chain is long enough");
        fill(&mut expected, chain.seed + depth as u64);
        assert!(block.bytes() == expected, "bytes of chain {chain:?} at depth {depth}");
        at = block.child(0);
    }
    assert!(at.is_none(), "the chain ends");
}

fn write_page(bytes: &mut [u8], page: &Page) {
    bytes[..4].copy_from_slice(&page.mask.to_le_bytes());
    bytes[4..8].fill(0);
    bytes[8..16].copy_from_slice(&page.number.to_le_bytes());
}

fn check_page(block: BlockRef<'_>, page: &Page) {
    let bytes = block.bytes();
    assert_eq!(bytes[..4], page.mask.to_le_bytes());
    assert_eq!(bytes[8..16], page.number.to_le_bytes());
    assert_eq!(block.links().len(), page.chains.len());
    for (link, chain) in block.links().iter().zip(&page.chains) {
        check_chain(link.as_ref(), *chain);
    }
}

/// Everything that a version holds, held against its model: pages, chains, counts.
pub(super) fn check(root: BlockRef<'_>, model: &Model) {
    for (index, pages) in model.iter().enumerate() {
        let tree = tree_of(root, index);
        let mut expected = pages.iter();
        let seen: ControlFlow<()> = tree.scan(0, u64::MAX, |number, block| {
            let (&at, page) = expected.next().expect("no more pages than in the model");
            assert_eq!(number, at);
            check_page(block, page);
            ControlFlow::Continue(())
        });
        assert!(seen.is_continue() && expected.next().is_none(), "no fewer pages than in the model");
        let entries = pages.values().map(|page| u64::from(page.mask.count_ones())).sum::<u64>();
        assert_eq!(tree.rank(u64::MAX), entries);
    }
    check_births(root);
}

/// B2: a child is no younger than its parent.
fn check_births(block: BlockRef<'_>) {
    for child in block.links().iter().flatten().map(Link::block) {
        assert!(child.birth() <= block.birth());
        check_births(child);
    }
}

fn check_diff(older: BlockRef<'_>, newer: BlockRef<'_>, models: (&Model, &Model)) {
    for index in 0..2 {
        let (from, to) = (&models.0[index], &models.1[index]);
        let mut seen = HashSet::new();
        tree_of(older, index).diff(tree_of(newer, index), &mut |number, here, there| {
            assert!(seen.insert(number), "page {number} once");
            assert_eq!(here.is_some(), from.contains_key(&number));
            assert_eq!(there.is_some(), to.contains_key(&number));
            if let Some(here) = here {
                check_page(here, &from[&number]);
            }
            if let Some(there) = there {
                check_page(there, &to[&number]);
            }
        });
        for number in from.keys().chain(to.keys()).filter(|number| from.get(number) != to.get(number)) {
            assert!(seen.contains(number), "page {number} differs and was not told");
        }
    }
}

/// Blocks of the store's own (born after its base) that its published version reaches.
pub(super) fn reachable(store: &Store) -> usize {
    fn count(block: BlockRef<'_>, base: u64) -> usize {
        let below: usize = block.links().iter().flatten().map(|link| count(link.block(), base)).sum();
        usize::from(block.birth() > base) + below
    }
    let base = store.writer.lock().get_mut().pages.base();
    count(store.pin().root(), base)
}

/// With every snapshot, fork and reader gone, what is left is what the head reaches.
pub(super) fn check_no_leak(store: &Store) {
    store.reclaim_all();
    let memory = store.memory_use();
    assert_eq!(memory.blocks, reachable(store), "blocks in use and blocks reachable");
    assert_eq!((memory.waiting_bytes, memory.snapshots), (0, 0));
}

pub(super) fn random_number(random: &mut Random) -> u64 {
    match random.below(10) {
        0..6 => random.next() % 48,
        6 | 7 => 1000 + random.next() % 40,
        8 => (1 << 30) + random.next() % 5,
        _ => (1 << 59) - 1 - random.next() % 3,
    }
}

fn random_chain(random: &mut Random) -> Option<Chain> {
    let bytes_len = if random.chance(4) { 5000 } else { [0, 8, 40, 300][random.below(4)] };
    random.chance(70).then(|| Chain { seed: random.next() >> 8, bytes_len, blocks: 1 + random.below(3) })
}

fn random_page(random: &mut Random) -> Page {
    let chains = (0..random.below(4)).map(|_| random_chain(random)).collect();
    Page { mask: random.next() as u32 | 1, number: random.next(), chains }
}

fn new_page(pages: &mut Pages, page: &Page) -> Link {
    let mut link = pages.alloc(page.chains.len(), PAGE_BYTES).expect("memory");
    for (index, chain) in page.chains.iter().enumerate() {
        let made = chain.and_then(|chain| new_chain(pages, chain));
        pages.fresh(&mut link).expect("own").links()[index] = made;
    }
    write_page(pages.fresh(&mut link).expect("own").bytes(), page);
    link
}

/// One random change to the page in `slot`, and to its model.
fn change_page(random: &mut Random, pages: &mut Pages, slot: &mut Option<Link>, model: &mut Option<Page>) {
    let (Some(mut link), Some(page)) = (slot.take(), model.as_mut()) else {
        let page = random_page(random);
        *slot = Some(new_page(pages, &page));
        *model = Some(page);
        return;
    };
    match random.below(6) {
        0 => {
            pages.discard(link);
            *model = None;
            return;
        }
        1 => {
            pages.discard(link);
            *page = random_page(random);
            link = new_page(pages, page);
        }
        2 if !page.chains.is_empty() => {
            // One chain is exchanged, the others stay.
            let index = random.below(page.chains.len());
            page.chains[index] = random_chain(random);
            let made = page.chains[index].and_then(|chain| new_chain(pages, chain));
            let old = std::mem::replace(&mut pages.make_mut(&mut link).expect("memory").links()[index], made);
            if let Some(old) = old {
                pages.discard(old);
            }
        }
        3 if !page.chains.is_empty() => {
            // The page is built anew, and some chains are passed over.
            let mut made = pages.alloc(page.chains.len(), PAGE_BYTES).expect("memory");
            let mut donor = pages.donate(link);
            for index in 0..page.chains.len() {
                if random.chance(60) {
                    let moved = pages.take(&mut donor, index);
                    pages.fresh(&mut made).expect("own").links()[index] = moved;
                } else {
                    page.chains[index] = None;
                }
            }
            pages.finish(donor);
            write_page(pages.fresh(&mut made).expect("own").bytes(), page);
            link = made;
        }
        _ => {
            page.mask = random.next() as u32 | 1;
            page.number = random.next();
            write_page(pages.make_mut(&mut link).expect("memory").bytes(), page);
        }
    }
    *slot = Some(link);
}

/// One random operation on the private root.
pub(super) fn operate(random: &mut Random, writer: &mut Writer, model: &mut Model) {
    let Writer { root, pages } = writer;
    let index = random.below(2);
    match random.below(60) {
        0 => {
            // A whole tree goes.
            let mut block = pages.make_mut(root).expect("memory");
            let (links, bytes) = block.parts();
            bytes[index] = 0;
            if let Some(tree) = links[index].take() {
                pages.discard(tree);
            }
            model[index].clear();
        }
        1 => {
            let mut block = pages.make_mut(root).expect("memory");
            let (links, bytes) = block.parts();
            links.swap(0, 1);
            bytes.swap(0, 1);
            model.swap(0, 1);
        }
        2 => {
            // Something is made and thrown away, and the root not touched.
            let page = random_page(random);
            let link = new_page(pages, &page);
            pages.discard(link);
        }
        _ => {
            let number = random_number(random);
            let mut page = model[index].remove(&number);
            let mut block = pages.make_mut(root).expect("memory");
            let (links, bytes) = block.parts();
            let mut tree = Tree::new(&mut links[index], &mut bytes[index]);
            let before = page.as_ref().map_or(0, |page| i64::from(page.mask.count_ones()));
            let changed = tree.change(pages, number, |pages, slot| {
                change_page(random, pages, slot, &mut page);
                let after = page.as_ref().map_or(0, |page| i64::from(page.mask.count_ones()));
                Ok((after - before, ()))
            });
            changed.expect("memory");
            model[index].extend(page.map(|page| (number, page)));
        }
    }
}

/// How a random transaction ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Commit,
    Rollback,
}

/// One random transaction with nested savepoints and open views. Answers the model of the version after it.
fn transact(random: &mut Random, store: &Arc<Store>, before: &Model, end: End) -> Model {
    let transaction = store.begin().expect("no other write of this thread");
    let mut model = before.clone();
    let mut savepoints: Vec<(Savepoint, Model)> = Vec::new();
    let mut views: Vec<(Guard<'_>, Model)> = Vec::new();
    for _ in 0..random.below(40) {
        match random.below(20) {
            0 | 1 => savepoints.push((transaction.savepoint().expect("not busy"), model.clone())),
            2 | 3 if !savepoints.is_empty() => {
                savepoints.truncate(1 + random.below(savepoints.len()));
                let (point, at) = savepoints.last().expect("one is left");
                transaction.rollback_to(point).expect("not busy");
                model.clone_from(at);
                if random.chance(50) {
                    let (point, _) = savepoints.pop().expect("as above");
                    transaction.release(point).expect("not busy");
                }
            }
            7 if !savepoints.is_empty() => {
                savepoints.truncate(1 + random.below(savepoints.len()));
                let (point, _) = savepoints.pop().expect("one is left");
                transaction.release(point).expect("not busy");
            }
            4 | 5 => views.push((transaction.view().expect("not busy"), model.clone())),
            6 if !views.is_empty() => {
                let clone = views[random.below(views.len())].0.clone();
                let (view, at) = views.swap_remove(random.below(views.len()));
                check(view.root(), &at);
                drop((view, clone));
            }
            _ => {
                let many = 1 + random.below(4);
                let wrote = transaction.write(|writer| (0..many).for_each(|_| operate(random, writer, &mut model)));
                wrote.expect("not busy");
            }
        }
    }
    for (view, at) in &views {
        check(view.root(), at);
    }
    check(transaction.view().expect("not busy").root(), &model);
    check(store.pin().root(), before);
    drop(views);
    match end {
        End::Commit => {
            transaction.commit();
            model
        }
        End::Rollback => {
            drop(transaction);
            before.clone()
        }
    }
}

/// Stores of one family with their models, and the snapshots that are held.
pub(super) struct World {
    random: Random,
    stores: Vec<(Arc<Store>, Model)>,
    snapshots: Vec<(Pinned, Model)>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), stores: vec![(new_store(), Model::default())], snapshots: Vec::new() }
    }

    pub(super) fn step(&mut self) {
        let random = &mut self.random;
        let chosen = random.below(self.stores.len());
        match random.below(20) {
            0 | 1 if self.snapshots.len() < 12 => {
                let (store, model) = &self.stores[chosen];
                self.snapshots.push((store.snapshot(), model.clone()));
            }
            2 if !self.snapshots.is_empty() => {
                let (snapshot, model) = self.snapshots.swap_remove(random.below(self.snapshots.len()));
                check(snapshot.root(), &model);
            }
            3 if !self.snapshots.is_empty() => {
                let (snapshot, model) = &self.snapshots[random.below(self.snapshots.len())];
                let copy = (snapshot.clone(), model.clone());
                self.snapshots.push(copy);
            }
            4 if self.stores.len() < 5 => {
                let (store, model) = &self.stores[chosen];
                self.stores.push((Store::fork(store.snapshot()), model.clone()));
            }
            5 if self.stores.len() < 5 && !self.snapshots.is_empty() => {
                // A fork from an old snapshot, maybe of a store whose handle is gone.
                let (snapshot, model) = &self.snapshots[random.below(self.snapshots.len())];
                self.stores.push((Store::fork(snapshot.clone()), model.clone()));
            }
            6 if self.stores.len() > 1 => drop(self.stores.swap_remove(chosen)),
            7 => self.stores[chosen].0.reclaim_all(),
            8 => {
                // A reader stays on its version while transactions come and go.
                let (store, model) = &mut self.stores[chosen];
                let store = Arc::clone(store);
                let pinned = store.pin();
                let at = model.clone();
                for _ in 0..3 {
                    *model = transact(random, &store, model, End::Commit);
                    store.reclaim_all();
                }
                check(pinned.root(), &at);
                let again = pinned.clone();
                drop(pinned);
                check_diff(again.root(), store.pin().root(), (&at, model));
                check(again.root(), &at);
            }
            9 | 10 => {
                let (store, model) = &mut self.stores[chosen];
                *model = transact(random, store, model, End::Rollback);
            }
            _ => {
                let (store, model) = &mut self.stores[chosen];
                *model = transact(random, store, model, End::Commit);
            }
        }
    }

    pub(super) fn check(&self) {
        for (store, model) in &self.stores {
            check(store.pin().root(), model);
        }
        for (snapshot, model) in &self.snapshots {
            check(snapshot.root(), model);
        }
        if let [(older, from), .., (newer, to)] = self.snapshots.as_slice() {
            check_diff(older.root(), newer.root(), (from, to));
        }
    }

    /// Drops everything in a random order, and looks for leaks in the stores that are left alone.
    pub(super) fn end(mut self) {
        while !self.snapshots.is_empty() {
            self.snapshots.swap_remove(self.random.below(self.snapshots.len()));
            self.check();
        }
        while !self.stores.is_empty() {
            let (store, model) = self.stores.swap_remove(self.random.below(self.stores.len()));
            self.check();
            // No other store began at this one: then nobody but the head holds its blocks.
            if Arc::strong_count(&store) == 1 {
                check_no_leak(&store);
                check(store.pin().root(), &model);
            }
        }
    }
}

/// Puts a page with this mask and number, without chains.
pub(super) fn put(writer: &mut Writer, number: u64, value: u64) -> Result<(), OutOfMemory> {
    let Writer { root, pages } = writer;
    let mut block = pages.make_mut(root)?;
    let (links, bytes) = block.parts();
    Tree::new(&mut links[0], &mut bytes[0]).change(pages, number, |pages, slot| {
        let page = Page { mask: 1, number: value, chains: Vec::new() };
        let new = match slot {
            Some(link) => {
                write_page(pages.make_mut(link)?.bytes(), &page);
                0
            }
            None => {
                let mut link = pages.alloc(0, PAGE_BYTES)?;
                write_page(pages.fresh(&mut link).expect("own").bytes(), &page);
                *slot = Some(link);
                1
            }
        };
        Ok((new, ()))
    })
}

pub(super) fn value_at(root: BlockRef<'_>, number: u64) -> u64 {
    let page = tree_of(root, 0).get(number).expect("the page is there");
    u64::from_le_bytes(*page.bytes()[8..].first_chunk().expect("eight bytes"))
}

pub(super) fn commit(store: &Arc<Store>, mut write: impl FnMut(&mut Writer) -> Result<(), OutOfMemory>) {
    let transaction = store.begin().expect("no other write");
    transaction.write(|writer| write(writer)).expect("not busy").expect("memory");
    transaction.commit();
}

pub(super) fn clear(writer: &mut Writer) -> Result<(), OutOfMemory> {
    let mut block = writer.pages.make_mut(&mut writer.root)?;
    let (links, bytes) = block.parts();
    bytes[0] = 0;
    if let Some(tree) = links[0].take() {
        writer.pages.discard(tree);
    }
    Ok(())
}

pub(super) fn put_or_remove(writer: &mut Writer, number: u64, value: Option<u64>) -> Result<(), OutOfMemory> {
    let Some(value) = value else {
        let Writer { root, pages } = writer;
        let mut block = pages.make_mut(root)?;
        let (links, bytes) = block.parts();
        return Tree::new(&mut links[0], &mut bytes[0]).change(pages, number, |pages, slot| {
            let Some(link) = slot.take() else { return Ok((0, ())) };
            pages.discard(link);
            Ok((-1, ()))
        });
    };
    put(writer, number, value)
}
