//! Tests of the page tree: random changes against a plain map, walks, differences.

use super::super::store::{Guard, Pinned, Store};
use super::super::tests::Random;
use super::super::writer::Transaction;
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Pages by number: the mask of live entries, and a number that tells versions of a page apart.
type Model = BTreeMap<u64, (u32, u64)>;

fn tree_of<'g>(guard: &'g Guard<'_>) -> TreeRef<'g> {
    let root = guard.root();
    TreeRef::new(root.links()[0].as_ref(), root.bytes()[0])
}

fn new_store() -> Arc<Store> {
    Store::new(1, &[0; 8]).expect("memory for one block")
}

fn content(block: BlockRef<'_>) -> (u32, u64) {
    let bytes = block.bytes();
    (mask_of(bytes), u64::from_le_bytes(*bytes[8..].first_chunk().expect("eight bytes")))
}

/// Applies changes in one transaction: a page's new content, or that it goes. A part of them at first in a savepoint
/// that is undone.
fn apply(store: &Arc<Store>, model: &mut Model, changes: &[(u64, Option<(u32, u64)>)]) {
    let transaction = store.begin().expect("no other write");
    let (first, rest) = changes.split_at(changes.len() / 2);
    write(&transaction, model, first);
    let point = transaction.savepoint().expect("not busy");
    write(&transaction, &mut model.clone(), rest);
    transaction.rollback_to(&point).expect("not busy");
    write(&transaction, model, rest);
    transaction.commit();
}

fn roll_back(store: &Arc<Store>, model: &Model, changes: &[(u64, Option<(u32, u64)>)]) {
    write(&store.begin().expect("no other write"), &mut model.clone(), changes);
}

fn write(transaction: &Transaction<'_>, model: &mut Model, changes: &[(u64, Option<(u32, u64)>)]) {
    let written = transaction.write(|writer| {
        for &(number, change) in changes {
            let mut root = writer.pages.make_mut(&mut writer.root).expect("memory");
            let (links, bytes) = root.parts();
            let mut tree = Tree::new(&mut links[0], &mut bytes[0]);
            let changed = tree.change(&mut writer.pages, number, |pages, slot| change_page(pages, slot, change));
            assert_eq!(changed.expect("memory"), model.get(&number).copied(), "what was there before");
            match change {
                Some(new) => model.insert(number, new),
                None => model.remove(&number),
            };
        }
    });
    written.expect("not busy");
}

fn change_page(pages: &mut Pages, slot: &mut Option<Link>, change: Option<(u32, u64)>) -> Changed<Option<(u32, u64)>> {
    let before = slot.as_ref().map(|link| content(link.block()));
    match (change, slot.take()) {
        (Some((mask, number)), taken) => {
            let mut link = match taken {
                Some(link) => link,
                None => pages.alloc(0, 16)?,
            };
            let mut page = pages.make_mut(&mut link)?;
            page.bytes()[..4].copy_from_slice(&mask.to_le_bytes());
            page.bytes()[8..].copy_from_slice(&number.to_le_bytes());
            *slot = Some(link);
        }
        (None, Some(link)) => pages.discard(link),
        (None, None) => {}
    }
    let entries = |page: Option<(u32, u64)>| page.map_or(0, |(mask, _)| i64::from(mask.count_ones()));
    Ok((entries(change) - entries(before), before))
}

/// Numbers near and far, so that trees of all heights and shapes come up.
fn random_number(random: &mut Random) -> u64 {
    let bits = [3, 5, 6, 10, 11, 20, 35, 55, 59][random.below(9)];
    let number = random.next() & ((1 << bits) - 1);
    if random.chance(30) { (1 << bits) - 1 - number % 3 } else { number }
}

fn check(tree: TreeRef<'_>, model: &Model, random: &mut Random) {
    check_nodes(tree);
    let all = collect(tree, 0, u64::MAX);
    assert!(all.iter().map(|&(number, block)| (number, content(block))).eq(model.iter().map(|(&n, &page)| (n, page))));
    let entries = entries_of(model.values());
    assert_eq!(tree.rank(u64::MAX), entries);
    assert!(tree.nth(entries).is_none() && tree.nth(u64::MAX).is_none());
    for _ in 0..20 {
        let number = if random.chance(50) { random_number(random) } else { random_key(model, random) };
        check_at(tree, model, number);
        let last = number.saturating_add(random_number(random));
        let part = collect(tree, number, last).into_iter().map(|(number, _)| number);
        assert!(part.eq(model.range(number..=last).map(|(&number, _)| number)));
        assert_eq!(collect(tree, last, number).is_empty(), last > number || !model.contains_key(&number));
    }
    let mut before = 0;
    for (&number, &(mask, _)) in model {
        let count = u64::from(mask.count_ones());
        assert_eq!(tree.rank(number), before);
        for (rank, within) in [(before, 0), (before + count.saturating_sub(1), count.saturating_sub(1))] {
            if count > 0 {
                let (at, block, rest) = tree.nth(rank).expect("the entry is there");
                assert_eq!((at, content(block), rest), (number, model[&number], within));
            }
        }
        before += count;
    }
}

fn entries_of<'a>(pages: impl Iterator<Item = &'a (u32, u64)>) -> u64 {
    pages.map(|(mask, _)| u64::from(mask.count_ones())).sum()
}

fn random_key(model: &Model, random: &mut Random) -> u64 {
    let start = random_number(random);
    let near = model.range(start..).next().or_else(|| model.iter().next()).map_or(0, |(&number, _)| number);
    (near + random.below(3) as u64).saturating_sub(1)
}

fn check_at(tree: TreeRef<'_>, model: &Model, number: u64) {
    let page = |(number, block)| (number, content(block));
    let own = |(&number, &content): (&u64, &(u32, u64))| (number, content);
    assert_eq!(tree.get(number).map(content), model.get(&number).copied());
    assert_eq!(tree.at_or_after(number).map(page), model.range(number..).next().map(own));
    assert_eq!(tree.at_or_before(number).map(page), model.range(..=number).next_back().map(own));
    assert_eq!(tree.rank(number), entries_of(model.range(..number).map(|(_, page)| page)));
}

fn collect(tree: TreeRef<'_>, first: u64, last: u64) -> Vec<(u64, BlockRef<'_>)> {
    let mut found = Vec::new();
    let whole: ControlFlow<()> = tree.scan(first, last, |number, block| {
        found.push((number, block));
        ControlFlow::Continue(())
    });
    assert!(whole.is_continue());
    found
}

/// T2, and that a node's shape is what its mask says.
fn check_nodes(tree: TreeRef<'_>) {
    fn check_node(block: BlockRef<'_>, level: u32) -> u64 {
        if level == 0 {
            return page_count(block);
        }
        let count = mask_of(block.bytes()).count_ones() as usize;
        assert!(count > 0 && block.links().len() == count && block.bytes().len() == COUNTS_AT + 4 * count);
        let below = block.links().iter().enumerate().map(|(position, link)| {
            let below = check_node(link.as_ref().expect("a present child").block(), level - 1);
            assert_eq!(count_at(block.bytes(), position), below);
            below
        });
        below.sum()
    }
    if let Some(root) = tree.root {
        check_node(root, tree.height);
    }
}

fn check_diff(older: &(Pinned, Model), newer: &(Pinned, Model)) {
    let (from, to) = (older.0.guard(), newer.0.guard());
    let mut seen = BTreeSet::new();
    tree_of(&from).diff(tree_of(&to), &mut |number, here, there| {
        assert!(seen.last().is_none_or(|&last| last < number), "in rising order, each once");
        seen.insert(number);
        assert_eq!(here.map(content), older.1.get(&number).copied());
        assert_eq!(there.map(content), newer.1.get(&number).copied());
    });
    let both = older.1.keys().chain(newer.1.keys());
    assert!(both.filter(|number| older.1.get(number) != newer.1.get(number)).all(|number| seen.contains(number)));
}

/// What changed since the older version turns its pages into the newer one's, and names no more than that.
fn check_since(older: Option<&(u64, Model)>, newer: &(Pinned, Model)) {
    let guard = newer.0.guard();
    let (stamp, before) = older.map_or((0, Model::new()), |(stamp, model)| (*stamp, model.clone()));
    let mut model = before.clone();
    let mut next = Some(0);
    let whole: ControlFlow<()> = tree_of(&guard).since(stamp, &mut |since| {
        let (first, last) = match since {
            Since::Page(number, block) => {
                assert!(block.birth() > stamp);
                model.insert(number, content(block));
                (number, number)
            }
            Since::Absent(first, last) => {
                model.retain(|number, _| !(first..=last).contains(number));
                (first, last)
            }
        };
        assert!(next.is_some_and(|next| next <= first) && first <= last, "in rising order");
        next = last.checked_add(1);
        ControlFlow::Continue(())
    });
    assert!(whole.is_continue());
    assert_eq!(model, newer.1);
}

#[test]
fn a_change_is_told_at_the_cost_of_its_path() {
    let store = new_store();
    let mut model = Model::new();
    let changes: Vec<_> = (0..40_000).map(|number| (number, Some((1, number)))).collect();
    apply(&store, &mut model, &changes);
    let stamp = store.pin().root().birth();
    apply(&store, &mut model, &[(33_000, Some((1, 7))), (39_999, None)]);
    let pinned = store.pin();
    let (mut told, mut ranges) = (Vec::new(), 0);
    let _ = tree_of(&pinned).since(stamp, &mut |since| {
        match since {
            Since::Page(number, _) => told.push(number),
            Since::Absent(..) => ranges += 1,
        }
        ControlFlow::<()>::Continue(())
    });
    assert_eq!((told, ranges), (vec![33_000], 1));
    let _ = tree_of(&pinned).since(pinned.root().birth(), &mut |_| -> ControlFlow<()> { panic!("nothing changed") });
}

#[test]
fn trees_agree_with_maps() {
    for seed in 0..60 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let store = new_store();
        let mut model = Model::new();
        let mut versions: Vec<(Pinned, Model)> = vec![(store.snapshot(), model.clone())];
        for round in 0..40 {
            // Some rounds mostly remove, down to the empty tree.
            let removing = if round % 10 > 6 { 90 } else { 20 };
            let changes: Vec<_> = (0..random.below(30))
                .map(|_| {
                    if random.chance(removing) {
                        (random_key(&model, &mut random), None)
                    } else {
                        (random_number(&mut random), Some((random.next() as u32, random.next())))
                    }
                })
                .collect();
            if random.chance(20) {
                roll_back(&store, &model, &changes);
            }
            apply(&store, &mut model, &changes);
            if random.chance(5) {
                let all: Vec<_> = model.keys().map(|&number| (number, None)).collect();
                apply(&store, &mut model, &all);
            }
            let pinned = store.pin();
            check(tree_of(&pinned), &model, &mut random);
            let now = (store.snapshot(), model.clone());
            check_diff(&versions[random.below(versions.len())], &now);
            check_diff(&now, &versions[random.below(versions.len())]);
            let since = &versions[random.below(versions.len())];
            check_since(Some(&(since.0.guard().root().birth(), since.1.clone())), &now);
            check_since(None, &now);
            versions.push(now);
        }
        for (snapshot, model) in &versions {
            check(tree_of(&snapshot.guard()), model, &mut random);
        }
    }
}

#[test]
fn a_full_tree_is_indexed_without_gaps() {
    let store = new_store();
    let mut model = Model::new();
    let changes: Vec<_> = (0..5000).map(|number| (number, Some((u32::MAX, number)))).collect();
    apply(&store, &mut model, &changes);
    let pinned = store.pin();
    check(tree_of(&pinned), &model, &mut Random::new(1));
    let (number, _, within) = tree_of(&pinned).nth(32 * 4321 + 7).expect("the entry is there");
    assert_eq!((number, within), (4321, 7));
    assert!(tree_of(&pinned).get(5000).is_none());
}

#[test]
fn a_lone_page_has_ranks_too() {
    let store = new_store();
    let mut model = Model::new();
    apply(&store, &mut model, &[(0, Some((0b1011, 5)))]);
    let pinned = store.pin();
    assert_eq!(pinned.root().bytes()[0], 0, "height 0");
    check(tree_of(&pinned), &model, &mut Random::new(1));
    assert_eq!((tree_of(&pinned).rank(0), tree_of(&pinned).rank(1)), (0, 3));
    assert!(tree_of(&pinned).nth(2).is_some() && tree_of(&pinned).nth(3).is_none());
}

#[test]
fn an_emptied_tree_has_no_root_and_no_height() {
    let store = new_store();
    let mut model = Model::new();
    let far = (1 << 59) - 1;
    apply(&store, &mut model, &[(3, Some((1, 1))), (far, Some((1, 2)))]);
    assert_eq!(u32::from(store.pin().root().bytes()[0]), HEIGHT_MAX);
    apply(&store, &mut model, &[(3, None), (far, None)]);
    let pinned = store.pin();
    assert!(pinned.root().links()[0].is_none() && pinned.root().bytes()[0] == 0);
    check(tree_of(&pinned), &model, &mut Random::new(1));
}
