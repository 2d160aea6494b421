//! Bulk load of the ordered index: from sorted entries to full nodes, level by level, in one pass.

use super::node::{Item, Node, separator};
use super::run::Run;
use super::write::{CHILDREN_LEAST, fill_links, size_max};
use super::{KeyKind, KeyRef};
use crate::page::{Link, OutOfMemory, Pages};
use std::cmp::Ordering;

/// Takes the next entry of a bulk load.
pub(crate) type Put<'p> = dyn FnMut(KeyRef<'_>, u64) -> Result<(), OutOfMemory> + 'p;

/// A child that a bulk load has made, with the separator before it.
struct Child {
    link: Link,
    key_len: usize,
    id: u64,
    count: u64,
}

impl Child {
    fn item(&self) -> Item<'_> {
        Item { key: Node::new(self.link.block()).key(0).cut(self.key_len), id: self.id, count: self.count }
    }
}

/// A bulk load: the leaf to come, the one before it, and per level of inner nodes, the children that wait for their
/// parent. Keys are copied, so that a load needs no more of them at once than a leaf's.
pub(super) struct Load {
    kind: KeyKind,
    leaf: Leaf,
    before: Leaf,
    levels: Vec<Level>,
}

/// The entries of a leaf.
#[derive(Default)]
struct Leaf {
    entries: Vec<LeafEntry>,
    /// The keys that are byte strings.
    keys: Vec<u8>,
    /// Bytes of a node of these entries.
    size: usize,
}

/// A key is a number, or where it ends among the bytes.
struct LeafEntry {
    word: u64,
    start: usize,
    end: usize,
    id: u64,
}

impl Leaf {
    fn push(&mut self, item: Item<'_>, size: usize) {
        let start = self.keys.len();
        let word = match item.key {
            KeyRef::U64(word) => word,
            KeyRef::Bytes(bytes) => {
                self.keys.extend_from_slice(bytes);
                0
            }
        };
        self.entries.push(LeafEntry { word, start, end: self.keys.len(), id: item.id });
        self.size += size;
    }

    fn item(&self, kind: KeyKind, entry: &LeafEntry) -> Item<'_> {
        let key = match kind {
            KeyKind::U64 => KeyRef::U64(entry.word),
            KeyKind::Bytes => KeyRef::Bytes(self.keys.get(entry.start..entry.end).unwrap_or_default()),
        };
        Item { key, id: entry.id, count: 0 }
    }

    fn last(&self, kind: KeyKind) -> Option<Item<'_>> {
        self.entries.last().map(|entry| self.item(kind, entry))
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.keys.clear();
        self.size = 0;
    }
}

#[derive(Default)]
struct Level {
    children: Vec<Child>,
    /// Bytes of a node of these children.
    size: usize,
}

/// What a bulk load puts into a node.
fn load_max(is_leaf: bool) -> usize {
    size_max(is_leaf) / 16 * 15
}

impl Load {
    pub(super) fn new(kind: KeyKind) -> Self {
        Self { kind, leaf: Leaf::default(), before: Leaf::default(), levels: Vec::new() }
    }

    /// The new root, if there are entries, and how many levels of inner nodes it stands on top of.
    pub(super) fn run(
        &mut self,
        pages: &mut Pages,
        feed: impl FnOnce(&mut Put<'_>) -> Result<(), OutOfMemory>,
    ) -> Result<Option<(Link, u8)>, OutOfMemory> {
        feed(&mut |key, id| self.push(pages, Item { key, id, count: 0 }))?;
        if !self.leaf.entries.is_empty() {
            self.add_leaf(pages)?;
        }
        self.finish(pages)
    }

    fn push(&mut self, pages: &mut Pages, item: Item<'_>) -> Result<(), OutOfMemory> {
        let is_next = |last: Item<'_>| last.key.order(item.key).then(last.id.cmp(&item.id)) == Ordering::Less;
        if item.key.kind() != self.kind || !self.leaf.last(self.kind).is_none_or(is_next) {
            return Ok(());
        }
        let size = Run::of_items(self.kind, true, &[item]).body_size();
        if self.leaf.size + size > load_max(true) && !self.leaf.entries.is_empty() {
            self.add_leaf(pages)?;
        }
        self.leaf.push(item, size);
        Ok(())
    }

    fn add_leaf(&mut self, pages: &mut Pages) -> Result<(), OutOfMemory> {
        std::mem::swap(&mut self.leaf, &mut self.before);
        let (before, leaf) = (&self.leaf, &self.before);
        let items: Vec<Item<'_>> = leaf.entries.iter().map(|entry| leaf.item(self.kind, entry)).collect();
        let (key_len, id) = match (before.last(self.kind), items.first()) {
            (Some(before), Some(first)) => separator(before.key, first.key, first.id),
            _ => (0, 0),
        };
        let link = Run::of_items(self.kind, true, &items).build(pages)?;
        let count = items.len() as u64;
        self.leaf.clear();
        self.add(pages, 0, Child { link, key_len, id, count })
    }

    fn add(&mut self, pages: &mut Pages, level: usize, child: Child) -> Result<(), OutOfMemory> {
        if level == self.levels.len() {
            self.levels.push(Level::default());
        }
        let bytes = Run::of_items(self.kind, false, &[child.item()]).body_size();
        let Some(waiting) = self.levels.get_mut(level) else { return Ok(()) };
        let is_full = waiting.size + bytes > load_max(false) && waiting.children.len() >= 2 * CHILDREN_LEAST;
        let full = is_full.then(|| std::mem::take(waiting));
        waiting.size += bytes;
        waiting.children.push(child);
        match full {
            Some(full) => self.add_node(pages, level, full),
            None => Ok(()),
        }
    }

    /// Makes a node of `level`'s children, which are not elsewhere any more.
    fn add_node(&mut self, pages: &mut Pages, level: usize, full: Level) -> Result<(), OutOfMemory> {
        let node = {
            let items: Vec<Item<'_>> = full.children.iter().map(Child::item).collect();
            Run::of_items(self.kind, false, &items).build(pages)
        };
        let mut link = match node {
            Ok(link) => link,
            Err(error) => {
                full.children.into_iter().for_each(|child| pages.discard(child.link));
                return Err(error);
            }
        };
        let count = full.children.iter().map(|child| child.count).sum();
        let id = full.children.first().map_or(0, |child| child.id);
        let mut children = full.children.into_iter();
        fill_links(pages, &mut link, |_| children.next().map(|child| child.link));
        self.add(pages, level + 1, Child { link, key_len: usize::MAX, id, count })
    }

    /// Makes nodes of what waits, from the lowest level up, until one is above all.
    fn finish(&mut self, pages: &mut Pages) -> Result<Option<(Link, u8)>, OutOfMemory> {
        let mut level = 0;
        while let Some(waiting) = self.levels.get_mut(level) {
            let waiting = std::mem::take(waiting);
            if level + 1 == self.levels.len() && waiting.children.len() == 1 {
                return Ok(waiting.children.into_iter().next().map(|child| (child.link, level as u8)));
            }
            self.add_node(pages, level, waiting)?;
            level += 1;
        }
        Ok(None)
    }

    /// Gives back what was made of a load that failed.
    pub(super) fn discard(self, pages: &mut Pages) {
        for child in self.levels.into_iter().flat_map(|level| level.children) {
            pages.discard(child.link);
        }
    }
}
