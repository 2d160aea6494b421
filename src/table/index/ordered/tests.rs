//! The ordered index against a `BTreeSet`, with snapshots, savepoints and rollbacks, and its blocks counted.

use super::node::Node;
use super::*;
use crate::page::{BlockRef, OutOfMemory, Pages, Pinned, Store};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

type Entry = (Vec<u8>, u64);
type Model = BTreeSet<Entry>;

/// A table of one index: its root block has one link, and the index's meta as bytes. Keys of the model are byte strings;
/// an index of numbers holds them as big-endian numbers.
struct Table {
    store: Arc<Store>,
    kind: KeyKind,
}

fn key_ref(kind: KeyKind, key: &[u8]) -> KeyRef<'_> {
    match kind {
        KeyKind::U64 => KeyRef::U64(u64::from_be_bytes(*key.first_chunk().unwrap())),
        KeyKind::Bytes => KeyRef::Bytes(key),
    }
}

fn owned(key: KeyRef<'_>) -> Vec<u8> {
    match key {
        KeyRef::U64(key) => key.to_be_bytes().to_vec(),
        KeyRef::Bytes(key) => key.to_vec(),
    }
}

fn read(root: BlockRef<'_>) -> OrderedRef<'_> {
    OrderedRef::new(root.links()[0].as_ref(), OrderedMeta::from_bytes(root.bytes().first_chunk().unwrap()))
}

fn change<R>(
    writer: &mut crate::page::Writer,
    change: impl FnOnce(&mut OrderedIndex<'_>, &mut Pages) -> Result<R, OutOfMemory>,
) -> R {
    let mut meta = OrderedMeta::from_bytes(writer.root.block().bytes().first_chunk().unwrap());
    let mut root = writer.pages.make_mut(&mut writer.root).unwrap();
    let (links, bytes) = root.parts();
    let answer = change(&mut OrderedIndex::new(&mut links[0], &mut meta), &mut writer.pages).unwrap();
    bytes.copy_from_slice(&meta.to_bytes());
    answer
}

impl Table {
    fn new(kind: KeyKind) -> Self {
        Self { store: Store::new(1, &OrderedMeta::new(kind).to_bytes()).unwrap(), kind }
    }

    fn write<R>(&self, run: impl FnOnce(&mut OrderedIndex<'_>, &mut Pages) -> Result<R, OutOfMemory>) -> R {
        let tx = self.store.begin().unwrap();
        let answer = tx.write(|writer| change(writer, run)).unwrap();
        tx.commit();
        answer
    }

    fn insert(&self, key: &[u8], id: u64) -> bool {
        self.write(|index, pages| index.insert(pages, key_ref(self.kind, key), id))
    }

    fn remove(&self, key: &[u8], id: u64) -> bool {
        self.write(|index, pages| index.remove(pages, key_ref(self.kind, key), id))
    }

    /// Every block that the store has is reachable from the root.
    fn assert_no_leak(&self) {
        self.store.reclaim_all();
        let guard = self.store.pin();
        assert_eq!(self.store.memory_use().blocks, reachable(guard.root()));
    }
}

fn reachable(block: BlockRef<'_>) -> usize {
    1 + block.links().iter().flatten().map(|link| reachable(link.block())).sum::<usize>()
}

fn height_of(root: BlockRef<'_>) -> usize {
    usize::from(OrderedMeta::from_bytes(root.bytes().first_chunk().unwrap()).height)
}

/// N1 to N3, O1, O2.
fn check_nodes(root: BlockRef<'_>) {
    let Some(top) = root.child(0) else { return assert_eq!(read(root).len(), 0) };
    let total = check_node(top, height_of(root), None, None);
    assert_eq!(total, read(root).len());
}

fn check_node(block: BlockRef<'_>, level: usize, lower: Option<Entry>, upper: Option<Entry>) -> u64 {
    let node = Node::new(block);
    assert!(node.len() > 0);
    assert_eq!(node.is_leaf(), level == 0);
    if level > 0 {
        assert_eq!(node.len(), block.links().len());
    }
    let entries: Vec<Entry> = (0..node.len()).map(|index| (owned(node.key(index)), node.id(index))).collect();
    let looked_at = if level == 0 { &entries[..] } else { &entries[1..] };
    assert!(looked_at.is_sorted_by(|a, b| a < b));
    assert!(looked_at.first().is_none_or(|first| lower.as_ref().is_none_or(|lower| lower <= first)));
    assert!(looked_at.last().is_none_or(|last| upper.as_ref().is_none_or(|upper| last < upper)));
    if level == 0 {
        return node.len() as u64;
    }
    for index in 0..node.len() {
        let from = if index == 0 { lower.clone() } else { Some(entries[index].clone()) };
        let to = entries.get(index + 1).cloned().or(upper.clone());
        assert_eq!(check_node(node.child(index).unwrap(), level - 1, from, to), node.count(index));
    }
    node.total()
}

fn collect(
    index: OrderedRef<'_>,
    lower: Bound<KeyRef<'_>>,
    upper: Bound<KeyRef<'_>>,
    reverse: bool,
    limit: usize,
) -> Vec<Entry> {
    let mut found = Vec::new();
    let _ = index.scan(lower, upper, reverse, |key, id| {
        found.push((owned(key), id));
        if found.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    found
}

fn check_content(index: OrderedRef<'_>, model: &Model) {
    assert_eq!(index.len(), model.len() as u64);
    let all: Vec<Entry> = model.iter().cloned().collect();
    assert_eq!(collect(index, Bound::Unbounded, Bound::Unbounded, false, usize::MAX), all);
    let reversed: Vec<Entry> = all.into_iter().rev().collect();
    assert_eq!(collect(index, Bound::Unbounded, Bound::Unbounded, true, usize::MAX), reversed);
}

/// Reads around `a` and `b` answer what the model answers.
fn check_reads(kind: KeyKind, index: OrderedRef<'_>, model: &Model, a: &[u8], b: &[u8], id: u64) {
    let (ka, kb) = (key_ref(kind, a), key_ref(kind, b));
    let lowers = [Bound::Unbounded, Bound::Included(ka), Bound::Excluded(ka)];
    let uppers = [Bound::Unbounded, Bound::Included(kb), Bound::Excluded(kb)];
    for lower in lowers {
        for upper in uppers {
            let within = |entry: &&Entry| {
                (match lower {
                    Bound::Unbounded => true,
                    Bound::Included(_) => entry.0.as_slice() >= a,
                    Bound::Excluded(_) => entry.0.as_slice() > a,
                }) && match upper {
                    Bound::Unbounded => true,
                    Bound::Included(_) => entry.0.as_slice() <= b,
                    Bound::Excluded(_) => entry.0.as_slice() < b,
                }
            };
            let expected: Vec<Entry> = model.iter().filter(within).cloned().collect();
            assert_eq!(index.count(lower, upper), expected.len() as u64);
            let limit = 1 + id as usize % 150;
            let found = collect(index, lower, upper, false, limit);
            assert_eq!(found, expected[..limit.min(expected.len())]);
            let backwards = collect(index, lower, upper, true, limit);
            let reversed: Vec<Entry> = expected.iter().rev().take(limit).cloned().collect();
            assert_eq!(backwards, reversed);
        }
    }
    let entry = (a.to_vec(), id);
    assert_eq!(index.contains(ka, id), model.contains(&entry));
    let after = index.first_after((ka, id), false).map(|(key, id)| (owned(key), id));
    assert_eq!(after, model.range((Bound::Excluded(&entry), Bound::Unbounded)).next().cloned());
    let before = index.first_after((ka, id), true).map(|(key, id)| (owned(key), id));
    assert_eq!(before, model.range(..&entry).next_back().cloned());
    for rank in [0, id % (model.len() as u64 + 2), model.len() as u64] {
        let nth = |reverse| index.nth(rank, reverse).map(|(key, id)| (owned(key), id));
        assert_eq!(nth(false), model.iter().nth(rank as usize).cloned());
        assert_eq!(nth(true), model.iter().rev().nth(rank as usize).cloned());
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// How keys look.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Number { distinct: u64 },
    Spread,
    Short,
    LongPrefix,
    Huge,
}

impl Shape {
    fn kind(self) -> KeyKind {
        match self {
            Self::Number { .. } | Self::Spread => KeyKind::U64,
            _ => KeyKind::Bytes,
        }
    }

    fn key(self, random: &mut Random) -> Vec<u8> {
        match self {
            Self::Number { distinct } => random.below(distinct).to_be_bytes().to_vec(),
            Self::Spread => match random.below(50) {
                0 => vec![0; 8],
                1 => vec![255; 8],
                _ => random.next().to_be_bytes().to_vec(),
            },
            Self::Short => (0..random.below(5)).map(|_| [0, 1, 7, 255][random.below(4) as usize]).collect(),
            Self::LongPrefix => {
                let mut key = b"https://example.org/a/rather/long/prefix/that/all/keys/share/".repeat(2);
                key.extend_from_slice(&random.below(3000).to_be_bytes()[5..]);
                key.truncate(key.len() - random.below(4) as usize);
                key
            }
            Self::Huge => {
                let len = [0, 1, 10, 300, 1500, 4096][random.below(6) as usize];
                let mut key = vec![random.below(3) as u8; len];
                if let Some(last) = key.last_mut() {
                    *last = random.below(256) as u8;
                }
                key
            }
        }
    }

    fn id(self, random: &mut Random) -> u64 {
        match random.below(20) {
            0 => u64::MAX - random.below(3),
            1 => (1 << 32) - 2 + random.below(4),
            _ => random.below(2000),
        }
    }
}

/// Undoes the model's changes from the last one down to number `until`.
fn go_back(model: &mut Model, undo: &mut Vec<(Entry, bool)>, until: usize) {
    for (entry, was_inserted) in undo.drain(until..).rev() {
        if was_inserted {
            model.remove(&entry);
        } else {
            model.insert(entry);
        }
    }
}

/// Random operations, grouped into transactions that commit or roll back, with savepoints and snapshots.
fn run(shape: Shape, seed: u64, operations: usize, target: u64) {
    let mut random = Random(seed);
    let table = Table::new(shape.kind());
    let kind = shape.kind();
    let mut model = Model::new();
    let mut snapshots: Vec<(Pinned, Model)> = Vec::new();
    // What to do backwards to undo the running transaction: the entry, and whether it was inserted.
    let mut undo: Vec<(Entry, bool)> = Vec::new();
    let mut done = 0;
    let mut is_growing = true;
    while done < operations {
        undo.clear();
        let tx = table.store.begin().unwrap();
        let mut savepoint = None;
        for _ in 0..1 + random.below(30) {
            done += 1;
            match random.below(40) {
                0 => savepoint = Some((tx.savepoint().unwrap(), undo.len())),
                1 => {
                    if let Some((point, old)) = &savepoint {
                        tx.rollback_to(point).unwrap();
                        go_back(&mut model, &mut undo, *old);
                    }
                }
                2 if model.len() < 4000 || random.below(50) == 0 => {
                    let view = tx.view().unwrap();
                    let (a, b) = (shape.key(&mut random), shape.key(&mut random));
                    check_reads(kind, read(view.root()), &model, &a, &b, random.below(3000));
                }
                _ => {
                    if model.len() as u64 > target {
                        is_growing = false;
                    } else if model.len() as u64 <= target / 20 {
                        is_growing = true;
                    }
                    let removes = if is_growing { 2 } else { 8 };
                    if random.below(10) < removes {
                        let (key, id) = match random.below(10) {
                            0 => (shape.key(&mut random), shape.id(&mut random)),
                            _ => {
                                let near = (shape.key(&mut random), 0);
                                model.range(near..).next().cloned().unwrap_or_default()
                            }
                        };
                        let key = if key.is_empty() && kind == KeyKind::U64 { vec![0; 8] } else { key };
                        let was = tx
                            .write(|writer| change(writer, |index, pages| index.remove(pages, key_ref(kind, &key), id)))
                            .unwrap();
                        let entry = (key, id);
                        assert_eq!(was, model.remove(&entry));
                        if was {
                            undo.push((entry, false));
                        }
                    } else {
                        let (key, id) = (shape.key(&mut random), shape.id(&mut random));
                        let was = tx
                            .write(|writer| change(writer, |index, pages| index.insert(pages, key_ref(kind, &key), id)))
                            .unwrap();
                        let entry = (key, id);
                        assert_eq!(was, model.insert(entry.clone()));
                        if was {
                            undo.push((entry, true));
                        }
                    }
                }
            }
        }
        if random.below(5) == 0 {
            drop(tx);
            go_back(&mut model, &mut undo, 0);
        } else {
            tx.commit();
        }
        if random.below(if target > 5000 { 600 } else { 30 }) == 0 {
            check_nodes(table.store.pin().root());
            snapshots.push((table.store.snapshot(), model.clone()));
        }
        if snapshots.len() > 8 {
            let (snapshot, model) = snapshots.swap_remove(random.below(8) as usize);
            check_content(read(snapshot.root()), &model);
        }
    }
    for (snapshot, model) in &snapshots {
        check_content(read(snapshot.root()), model);
        check_nodes(snapshot.root());
    }
    drop(snapshots);
    check_content(read(table.store.pin().root()), &model);
    check_nodes(table.store.pin().root());
    table.assert_no_leak();
    for (key, id) in &model {
        assert!(table.remove(key, *id));
    }
    assert!(table.store.pin().root().child(0).is_none());
    table.assert_no_leak();
}

#[test]
fn numbers_match_the_model() {
    for seed in 0..4 {
        run(Shape::Spread, seed, 6000, 3000);
        run(Shape::Spread, 100 + seed, 2000, 60);
    }
}

#[test]
fn equal_numbers_match_the_model() {
    for seed in 0..3 {
        run(Shape::Number { distinct: 4 }, seed, 6000, 3000);
        run(Shape::Number { distinct: 300 }, seed, 6000, 3000);
        run(Shape::Number { distinct: 1 }, seed, 4000, 1500);
    }
}

#[test]
fn byte_strings_match_the_model() {
    for seed in 0..3 {
        run(Shape::Short, seed, 6000, 3000);
        run(Shape::LongPrefix, seed, 6000, 3000);
        run(Shape::Huge, seed, 4000, 600);
        run(Shape::Huge, 10 + seed, 3000, 20);
    }
}

#[test]
fn large_trees_grow_and_shrink() {
    run(Shape::Spread, 7, 150_000, 60_000);
    run(Shape::LongPrefix, 8, 80_000, 30_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_seed_matches_the_model(seed: u64, shape in 0..6usize, target in 1..2000u64) {
        let shapes = [
            Shape::Spread, Shape::Number { distinct: 20 }, Shape::Number { distinct: 1 << 40 }, Shape::Short,
            Shape::LongPrefix, Shape::Huge,
        ];
        run(shapes[shape], seed, 1500, target);
    }
}

#[test]
fn bulk_load_equals_inserts() {
    for (shape, count) in
        [(Shape::Spread, 0), (Shape::Spread, 1), (Shape::Spread, 30_000), (Shape::LongPrefix, 9000), (Shape::Huge, 700)]
    {
        let mut random = Random(count);
        let model: Model = (0..count).map(|_| (shape.key(&mut random), shape.id(&mut random))).collect();
        let table = Table::new(shape.kind());
        table.insert(&[9; 8], 9);
        let entries: Vec<_> = model.iter().map(|(key, id)| (key_ref(shape.kind(), key), *id)).collect();
        table.write(|index, pages| {
            index.build_sorted(pages, |put| entries.iter().try_for_each(|&(key, id)| put(key, id)))
        });
        check_nodes(table.store.pin().root());
        check_content(read(table.store.pin().root()), &model);
        table.assert_no_leak();
        let mut rest = model.clone();
        for (key, id) in model.iter().step_by(3) {
            assert!(table.remove(key, *id) && rest.remove(&(key.clone(), *id)));
        }
        check_nodes(table.store.pin().root());
        check_content(read(table.store.pin().root()), &rest);
        table.write(|index, pages| {
            index.clear(pages);
            Ok(())
        });
        table.assert_no_leak();
        assert_eq!(read(table.store.pin().root()).len(), 0);
    }
}

#[test]
fn a_broken_off_scan_goes_on_behind_its_last_entry() {
    let table = Table::new(KeyKind::U64);
    let model: Model = (0..5000u64).map(|n| ((n / 7).to_be_bytes().to_vec(), n)).collect();
    let entries: Vec<_> = model.iter().map(|(key, id)| (key_ref(KeyKind::U64, key), *id)).collect();
    table.write(|index, pages| index.build_sorted(pages, |put| entries.iter().try_for_each(|&(key, id)| put(key, id))));
    let guard = table.store.pin();
    let index = read(guard.root());
    for reverse in [false, true] {
        let mut found = Vec::new();
        let mut last = index.nth(0, reverse);
        while let Some(from) = last.take() {
            found.push((owned(from.0), from.1));
            let mut left = 13;
            let _ = index.scan_after(from, Bound::Unbounded, reverse, |key, id| {
                left -= 1;
                if left == 0 {
                    last = Some((key, id));
                    return ControlFlow::Break(());
                }
                found.push((owned(key), id));
                ControlFlow::Continue(())
            });
        }
        if reverse {
            found.reverse();
        }
        assert_eq!(found, model.iter().cloned().collect::<Vec<_>>());
    }
}

#[test]
fn entries_in_order_leave_full_nodes() {
    let table = Table::new(KeyKind::U64);
    let tx = table.store.begin().unwrap();
    for n in 0..20_000u64 {
        tx.write(|writer| change(writer, |index, pages| index.insert(pages, KeyRef::U64(n), n))).unwrap();
    }
    tx.commit();
    table.store.reclaim_all();
    let use_of = table.store.memory_use();
    assert!(use_of.used_bytes < 20_000 * 13 + 20_000 / 2, "{use_of:?}");
    table.assert_no_leak();
}

#[test]
fn keys_of_the_other_kind_are_in_no_index() {
    let table = Table::new(KeyKind::U64);
    assert!(table.insert(&[0; 8], 1));
    assert!(!table.write(|index, pages| index.insert(pages, KeyRef::Bytes(b"x"), 1)));
    assert!(!table.write(|index, pages| index.remove(pages, KeyRef::Bytes(b"x"), 1)));
    let guard = table.store.pin();
    let index = read(guard.root());
    assert!(!index.contains(KeyRef::Bytes(b"x"), 1));
    assert!(index.first_after((KeyRef::Bytes(b"x"), 1), false).is_none());
}
