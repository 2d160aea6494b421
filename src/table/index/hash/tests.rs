//! Tests of the hash index: random entries against a plain map, splits, merges, bulk building.

use super::*;
use crate::page::{Pinned, Store, Writer};
use proptest::prelude::*;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Row id to hash: what the rows would answer.
type Model = HashMap<u64, u64>;

fn read(root: BlockRef<'_>) -> HashRef<'_> {
    HashRef::new(root.links()[0].as_ref(), HashMeta::from_bytes(root.bytes().first_chunk().unwrap()))
}

fn change<R>(writer: &mut Writer, change: impl FnOnce(&mut HashIndex<'_>, &mut Pages) -> Result<R, OutOfMemory>) -> R {
    let mut meta = HashMeta::from_bytes(writer.root.block().bytes().first_chunk().unwrap());
    let mut root = writer.pages.make_mut(&mut writer.root).unwrap();
    let (links, bytes) = root.parts();
    let answer = change(&mut HashIndex::new(&mut links[0], &mut meta), &mut writer.pages).unwrap();
    bytes.copy_from_slice(&meta.to_bytes());
    answer
}

fn new_store() -> Arc<Store> {
    Store::new(1, &HashMeta::default().to_bytes()).unwrap()
}

fn reachable(block: BlockRef<'_>) -> usize {
    1 + block.links().iter().flatten().map(|link| reachable(link.block())).sum::<usize>()
}

fn assert_no_leak(store: &Arc<Store>) {
    store.reclaim_all();
    assert_eq!(store.memory_use().blocks, reachable(store.pin().root()));
}

fn found(index: HashRef<'_>, hash: u64, id: u64) -> bool {
    index.candidates(hash).any(|other| other == id)
}

/// The index holds the model and nothing else, each entry in its bucket (H1), under a valid base (H2).
fn check(root: BlockRef<'_>, model: &Model) {
    let index = read(root);
    assert_eq!(index.len(), model.len() as u64);
    let mut total = 0;
    let _ = index.tree.scan(0, u64::MAX, |number, block| {
        let bucket = Bucket::new(block.bytes());
        let bits = index.meta.bits_of(number);
        assert!(number < index.meta.bucket_count && bucket.base <= bits && bits <= bucket.base + 8);
        let mut ids = Vec::new();
        for (tag, id) in bucket.entries() {
            let hash = model[&id];
            assert_eq!((index.meta.address(hash), (hash >> bucket.base) as u16), (number, tag));
            ids.push(id);
            total += 1;
        }
        assert_eq!(matches!(bucket.ids, Ids::Wide(_)), ids.iter().any(|&id| id > u64::from(u32::MAX)));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), bucket.tags.len());
        ControlFlow::<()>::Continue(())
    });
    assert_eq!(total, model.len());
    for (&id, &hash) in model {
        assert!(found(index, hash, id));
    }
}

fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 += 1;
        mix(self.0) % bound
    }
}

/// Undoes the model's changes from the last one down to number `until`.
fn go_back(model: &mut Model, ids: &mut Vec<u64>, undo: &mut Vec<(u64, u64, bool)>, until: usize) {
    for (id, hash, was_inserted) in undo.drain(until..).rev() {
        if was_inserted {
            model.remove(&id);
            let place = ids.iter().rposition(|&other| other == id).unwrap();
            ids.swap_remove(place);
        } else {
            model.insert(id, hash);
            ids.push(id);
        }
    }
}

/// Random operations in transactions that commit or roll back, with savepoints and snapshots. `hash_of` may be bad.
fn run(seed: u64, operations: usize, target: usize, hash_of: fn(u64) -> u64) {
    let mut random = Random(mix(seed));
    let store = new_store();
    let mut model = Model::new();
    let mut ids: Vec<u64> = Vec::new();
    let mut snapshots: Vec<(Pinned, Model)> = Vec::new();
    // What to do backwards to undo the running transaction: id, hash, and whether it was inserted.
    let mut undo: Vec<(u64, u64, bool)> = Vec::new();
    let mut is_growing = true;
    let mut done = 0;
    while done < operations {
        undo.clear();
        let tx = store.begin().unwrap();
        let mut savepoint = None;
        for _ in 0..1 + random.below(60) {
            done += 1;
            is_growing = if ids.len() > target { false } else { is_growing || ids.len() < target / 20 };
            match random.below(50) {
                0 => savepoint = Some((tx.savepoint().unwrap(), undo.len())),
                1 => {
                    if let Some((point, old)) = &savepoint {
                        tx.rollback_to(point).unwrap();
                        go_back(&mut model, &mut ids, &mut undo, *old);
                    }
                }
                2 => {
                    let id = random.below(1 << 40);
                    let gone =
                        tx.write(|writer| change(writer, |index, pages| index.remove(pages, hash_of(id), id))).unwrap();
                    assert_eq!(gone, model.contains_key(&id));
                    if let Some(hash) = model.remove(&id) {
                        ids.retain(|&other| other != id);
                        undo.push((id, hash, false));
                    }
                }
                choice if !ids.is_empty() && choice % 10 < if is_growing { 2 } else { 8 } => {
                    let id = ids.swap_remove(random.below(ids.len() as u64) as usize);
                    let hash = model.remove(&id).unwrap();
                    undo.push((id, hash, false));
                    assert!(tx.write(|writer| change(writer, |index, pages| index.remove(pages, hash, id))).unwrap());
                }
                _ => {
                    let bound = if random.below(100) == 0 { u64::MAX } else { 1 << 31 };
                    let id = random.below(bound);
                    if model.contains_key(&id) {
                        continue;
                    }
                    tx.write(|writer| {
                        change(writer, |index, pages| index.insert(pages, hash_of(id), id, &mut |id| model[&id]))
                    })
                    .unwrap();
                    model.insert(id, hash_of(id));
                    ids.push(id);
                    undo.push((id, hash_of(id), true));
                }
            }
        }
        if random.below(5) == 0 {
            drop(tx);
            go_back(&mut model, &mut ids, &mut undo, 0);
        } else {
            tx.commit();
        }
        if random.below(if target > 5000 { 600 } else { 40 }) == 0 {
            snapshots.push((store.snapshot(), model.clone()));
        }
        if snapshots.len() > 6 {
            let (snapshot, model) = snapshots.swap_remove(random.below(6) as usize);
            check(snapshot.root(), &model);
        }
    }
    for (snapshot, model) in &snapshots {
        check(snapshot.root(), model);
    }
    drop(snapshots);
    check(store.pin().root(), &model);
    assert_no_leak(&store);
    for (id, hash) in model {
        let tx = store.begin().unwrap();
        assert!(tx.write(|writer| change(writer, |index, pages| index.remove(pages, hash, id))).unwrap());
        tx.commit();
    }
    check(store.pin().root(), &Model::new());
    assert_no_leak(&store);
    assert_eq!(store.memory_use().blocks, 1);
}

#[test]
fn matches_the_model() {
    for seed in 0..4 {
        run(seed, 4000, 40, mix);
        run(seed, 8000, 3000, mix);
    }
    run(9, 200_000, 70_000, mix);
}

#[test]
fn equal_and_poor_hashes_stay_right() {
    run(1, 4000, 1000, |_| 0x1234_5678_9ABC_DEF0);
    run(2, 4000, 1000, |id| mix(id) & 0xFFFF_0000_0000_0000);
    run(3, 4000, 1000, |id| mix(id) % 7);
    run(4, 4000, 1000, |id| id);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_seed_matches_the_model(seed: u64, target in 1..2000usize) {
        run(seed, 2500, target, mix);
    }
}

/// Growing far needs new tags; memory is about 8 bytes an entry, and follows the entries down again.
#[test]
fn memory_follows_the_entries() {
    const COUNT: u64 = 300_000;
    let store = new_store();
    let (mut rehashed, mut before) = (0u64, 0);
    let tx = store.begin().unwrap();
    for id in 0..COUNT {
        let rehash = &mut |other: u64| {
            assert!(other < id);
            rehashed += 1;
            mix(other)
        };
        tx.write(|writer| change(writer, |index, pages| index.insert(pages, mix(id), id, rehash))).unwrap();
    }
    tx.commit();
    assert!(rehashed > 0 && rehashed < COUNT, "{rehashed}");
    for left in [COUNT, COUNT / 10, COUNT / 100, 0] {
        let tx = store.begin().unwrap();
        for id in left..before {
            tx.write(|writer| change(writer, |index, pages| index.remove(pages, mix(id), id))).unwrap();
        }
        tx.commit();
        before = left;
        store.reclaim_all();
        check(store.pin().root(), &(0..left).map(|id| (id, mix(id))).collect());
        let used = store.memory_use().used_bytes as u64;
        assert!(used <= left * 11 + 256, "{used} bytes for {left} entries");
        assert!(left < COUNT || used <= left * 17 / 2, "{used} bytes for {left} entries");
    }
    assert_no_leak(&store);
}
