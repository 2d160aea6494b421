//! Tests of whole stores: random transactions over trees of blocks with savepoints, views, snapshots and forks, all of
//! whose contents are held against plain maps; and the count of blocks that are left when all but a head is gone.

mod world;

use super::block::{BlockRef, block_size};
use super::heap::OutOfMemory;
use super::store::Store;
use super::writer::Transaction;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
pub(super) use world::Random;
use world::{
    Chain, Model, PAGE_BYTES, Page, World, check, check_no_leak, clear, commit, new_chain, new_store, operate, put,
    put_or_remove, random_number, reachable, value_at,
};

#[test]
fn every_version_keeps_its_content_and_nothing_leaks() {
    // More with FOLIO_SEEDS=10000.
    let seeds = std::env::var("FOLIO_SEEDS").map_or(60, |seeds| seeds.parse().expect("a number"));
    for seed in 0..seeds {
        println!("seed {seed}");
        let mut world = World::new(seed);
        for step in 0..200 {
            world.step();
            if step % 8 == 0 {
                world.check();
            }
        }
        world.end();
    }
}

#[test]
fn a_big_subtree_is_discarded_in_slices_and_kept_for_its_snapshots() {
    const PAGES: u64 = 20_000;
    let store = new_store();
    commit(&store, |writer| (0..PAGES).try_for_each(|number| put(writer, number, number)));
    let first = store.snapshot();
    commit(&store, |writer| (0..PAGES).step_by(2).try_for_each(|number| put(writer, number, number + 1)));
    let second = store.snapshot();
    let full = store.memory_use();
    commit(&store, clear);
    store.reclaim_all();
    let cleared = store.memory_use();
    assert!(cleared.blocks >= full.blocks, "both snapshots hold their trees");
    for number in 0..PAGES {
        assert_eq!(value_at(first.root(), number), number);
        assert_eq!(value_at(second.root(), number), number + u64::from(number % 2 == 0));
    }
    // The newer goes first: what only it saw is freed, the rest is the older one's.
    drop(second);
    store.reclaim_all();
    let one = store.memory_use().blocks;
    assert!((PAGES as usize..cleared.blocks - PAGES as usize / 2 + 1).contains(&one), "{one}");
    for number in 0..PAGES {
        assert_eq!(value_at(first.root(), number), number);
    }
    drop(first);
    // Small commits reclaim on the way, without anybody asking for it.
    for round in 0..4000 {
        commit(&store, |writer| put(writer, 5, round));
    }
    assert!(store.memory_use().blocks < 1000);
    check_no_leak(&store);
}

#[test]
fn an_old_snapshot_holds_no_more_than_it_sees() {
    let store = new_store();
    commit(&store, |writer| (0..500).try_for_each(|number| put(writer, number, number)));
    let old = store.snapshot();
    let blocks = store.memory_use().blocks;
    for round in 0..20_000 {
        commit(&store, |writer| put(writer, round % 500, round));
    }
    store.reclaim_all();
    let after = store.memory_use().blocks;
    assert!(after <= 2 * blocks, "{after} blocks for two versions of {blocks}");
    assert_eq!(value_at(old.root(), 3), 3);
    drop(old);
    check_no_leak(&store);
}

#[test]
fn a_closed_store_holds_what_its_snapshots_see_and_no_more() {
    let store = new_store();
    for number in 0..1000 {
        commit(&store, |writer| put(writer, number * 40, number));
    }
    let (early, blocks) = (store.snapshot(), reachable(&store));
    for number in 0..1000 {
        commit(&store, |writer| put(writer, number * 40, number + 1));
    }
    let late = store.snapshot();
    for number in 1000..3000 {
        commit(&store, |writer| put(writer, number * 40, number));
    }
    let full = store.memory_use().blocks;
    store.close();
    let closed = store.memory_use().blocks;
    assert!(closed < full / 2, "{closed} of {full} blocks are left");
    drop(late);
    assert_eq!(store.memory_use().blocks, blocks, "the early snapshot alone holds the store");
    assert_eq!(value_at(early.root(), 40), 1);
}

#[test]
fn what_was_rolled_back_first_is_freed_before_what_it_links_to() {
    // The part rolled back first links to blocks that were made before it in the same write; those are themselves
    // rolled back later. Freed the other way round, the walk of the first would look into freed blocks.
    let store = new_store();
    for round in 0..20 {
        let transaction = store.begin().expect("no other write");
        let write = |from: u64, to: u64| {
            transaction
                .write(|writer| (from..to).try_for_each(|number| put(writer, number, round)))
                .expect("not busy")
                .expect("memory");
        };
        let outer = transaction.savepoint().expect("not busy");
        write(0, 200);
        let inner = transaction.savepoint().expect("not busy");
        write(100, 101);
        transaction.rollback_to(&inner).expect("not busy");
        write(50, 51);
        transaction.rollback_to(&outer).expect("not busy");
        write(0, 10);
        transaction.commit();
        check_no_leak(&store);
        assert_eq!(value_at(store.pin().root(), 9), round);
    }
}

#[test]
fn blocks_that_only_the_write_saw_are_reclaimed_by_the_next_commit() {
    let store = new_store();
    let transaction = store.begin().expect("no other write");
    for round in 0..5 {
        let wrote = transaction.write(|writer| (0..30).try_for_each(|number| put(writer, number, round)));
        wrote.expect("not busy").expect("memory");
        transaction.savepoint().expect("not busy");
    }
    transaction.commit();
    // The little that died in the published versions would not be worth a slice.
    commit(&store, |writer| put(writer, 1, 1));
    assert!(store.memory_use().blocks < 2 * reachable(&store));
    check_no_leak(&store);
}

#[test]
fn a_write_that_publishes_nothing_leaks_nothing() {
    let store = new_store();
    let transaction = store.begin().expect("no other write");
    let made = transaction.write(|writer| {
        let chain = new_chain(&mut writer.pages, Chain { seed: 1, bytes_len: 10, blocks: 5 }).expect("blocks");
        writer.pages.discard(chain);
    });
    made.expect("not busy");
    let stamp = transaction.commit();
    assert_eq!(stamp, 1, "nothing was published");
    check_no_leak(&store);
}

#[test]
fn a_donor_does_not_show_what_was_taken_from_it() {
    let store = new_store();
    let transaction = store.begin().expect("no other write");
    let done = transaction.write(|writer| {
        let pages = &mut writer.pages;
        let chain = new_chain(pages, Chain { seed: 1, bytes_len: 10, blocks: 2 }).expect("blocks");
        let mut donor = pages.donate(chain);
        let taken = pages.take(&mut donor, 0).expect("the second block");
        assert!(donor.block().child(0).is_none(), "the taken block may be freed or changed in place");
        pages.discard(taken);
        pages.finish(donor);
    });
    done.expect("not busy");
    drop(transaction);
    check_no_leak(&store);
}

#[test]
fn a_panic_in_a_write_leaves_the_last_version_and_an_open_store() {
    let store = new_store();
    commit(&store, |writer| (0..100).try_for_each(|number| put(writer, number, number)));
    let unwound = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let transaction = store.begin().expect("no other write");
        let _ = transaction.write(|writer| {
            (0..100).try_for_each(|number| put(writer, number, 7)).expect("memory");
            std::panic::resume_unwind(Box::new("from inside a write"))
        });
    }));
    assert!(unwound.is_err() && !store.is_writing_here());
    assert_eq!(value_at(store.pin().root(), 9), 9);
    commit(&store, |writer| put(writer, 9, 10));
    check_no_leak(&store);
}

#[test]
fn without_memory_a_change_is_an_error_and_changes_nothing() {
    let store = new_store();
    let mut random = Random::new(7);
    let mut model = Model::default();
    for round in 0..3000 {
        let number = random_number(&mut random);
        let remove = random.chance(40);
        let transaction = store.begin().expect("no other write");
        let outcome = transaction.write(|writer| {
            // Blocks that a failed attempt copied are the write's own in the next one, so that few at a time reach each
            // place that may fail.
            for attempt in 0.. {
                writer.pages.limit_memory(Some(attempt / 16));
                let done = put_or_remove(writer, number, (!remove).then_some(round));
                writer.pages.limit_memory(None);
                match done {
                    Ok(()) => return,
                    Err(OutOfMemory { .. }) => check(writer.root.block(), &model),
                }
            }
        });
        outcome.expect("not busy");
        let page = Page { mask: 1, number: round, chains: Vec::new() };
        if remove {
            model[0].remove(&number);
        } else {
            model[0].insert(number, page);
        }
        transaction.commit();
        check(store.pin().root(), &model);
    }
    check_no_leak(&store);
}

#[test]
fn a_long_chain_of_forks_is_dropped_without_deep_recursion() {
    const STACK_BYTES: usize = 128 << 10;
    let chain = || {
        let mut store = new_store();
        for round in 0..20_000 {
            store = Store::fork(store.snapshot());
            if round % 5000 == 0 {
                commit(&store, |writer| put(writer, round, round));
            }
        }
        assert_eq!(value_at(store.pin().root(), 15_000), 15_000);
        drop(store);
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(chain).expect("a thread");
    thread.join().expect("the stack is deep enough");
}

#[test]
fn readers_on_other_threads_see_whole_versions() {
    const PAGES: u64 = 64;
    const TOTAL: u64 = 1000 * PAGES;
    let commits = if cfg!(folio_block_per_page) { 20_000 } else { 60_000 };
    let store = new_store();
    commit(&store, |writer| (0..PAGES).try_for_each(|number| put(writer, number, 1000)));
    let ended = Arc::new(AtomicBool::new(false));
    let sum = |root: BlockRef<'_>| (0..PAGES).map(|number| value_at(root, number)).sum::<u64>();
    let readers = (0..3).map(|kind| {
        let (store, ended) = (Arc::clone(&store), Arc::clone(&ended));
        std::thread::spawn(move || {
            let mut reads = 0_u64;
            while !ended.load(Ordering::Acquire) || reads < 100 {
                let pinned = store.pin();
                assert_eq!(sum(pinned.root()), TOTAL);
                match kind {
                    0 => assert_eq!(sum(store.pin().root()), TOTAL, "a nested read"),
                    1 => {
                        let snapshot = store.snapshot();
                        drop(pinned);
                        assert_eq!(sum(snapshot.guard().root()), TOTAL, "a snapshot");
                    }
                    _ if reads.is_multiple_of(64) => {
                        let fork = Store::fork(store.snapshot());
                        commit(&fork, |writer| put(writer, reads % PAGES, 0));
                        assert_eq!(sum(pinned.root()), TOTAL, "a fork's write is its own");
                    }
                    _ => {}
                }
                reads += 1;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    let mut random = Random::new(3);
    for _ in 0..commits {
        let (from, to) = (random.next() % PAGES, random.next() % PAGES);
        let transaction: Transaction<'_> = store.begin().expect("no other write");
        let moved = transaction.write(|writer| {
            let amount = value_at(writer.root.block(), from).min(7);
            let less = value_at(writer.root.block(), from) - amount;
            put(writer, from, less)?;
            let more = value_at(writer.root.block(), to) + amount;
            put(writer, to, more)
        });
        moved.expect("not busy").expect("memory");
        transaction.commit();
    }
    ended.store(true, Ordering::Release);
    for reader in readers {
        reader.join().expect("no reader failed");
    }
    check_no_leak(&store);
}

#[test]
fn a_version_committed_is_seen_when_published_and_not_before() {
    for seed in 0..40 {
        let random = &mut Random::new(seed);
        let store = Store::deferring(2, &[0; 8]).expect("memory for one block");
        let (mut newest, mut published) = (Model::default(), Model::default());
        let mut waiting = std::collections::VecDeque::new();
        let mut snapshots = Vec::new();
        for _ in 0..200 {
            match random.below(10) {
                0..5 => {
                    let transaction = store.begin().expect("nobody writes");
                    check(transaction.view().expect("not busy").root(), &newest);
                    let kept = newest.clone();
                    let wrote = transaction.write(|writer| operate(random, writer, &mut newest));
                    wrote.expect("not busy");
                    if random.chance(20) {
                        newest = kept;
                    } else {
                        transaction.commit_unpublished(|version| waiting.push_back((version, newest.clone())));
                    }
                }
                5..8 if !waiting.is_empty() => {
                    // Some are passed over; some come too late, and change nothing.
                    let (version, model) = waiting.remove(random.below(waiting.len())).expect("within the length");
                    waiting.retain(|(other, _)| other.stamp > version.stamp || random.chance(30));
                    if version.stamp > store.pin().root().birth() {
                        published = model;
                    }
                    store.publish(&version);
                }
                8 => snapshots.push((store.snapshot(), published.clone())),
                _ => store.reclaim_all(),
            }
            check(store.pin().root(), &published);
            if snapshots.len() > 5 {
                snapshots.swap_remove(random.below(5));
            }
            for (snapshot, model) in &snapshots {
                check(snapshot.root(), model);
            }
        }
        drop(snapshots);
        let transaction = store.begin().expect("nobody writes");
        transaction.write(|writer| put(writer, 1, 2)).expect("not busy").expect("memory");
        transaction.commit();
        check_no_leak(&store);
    }
}

#[test]
fn begin_inside_a_write_is_refused() {
    let store = new_store();
    let transaction = store.begin().expect("no other write");
    assert!(store.begin().is_err() && store.is_writing_here());
    let inside = transaction.write(|_| (transaction.write(|_| ()).is_err(), transaction.view().is_err()));
    assert_eq!(inside, Ok((true, true)));
    drop(transaction);
    assert!(store.begin().is_ok());
    assert!(block_size(0, PAGE_BYTES) > PAGE_BYTES);
}
