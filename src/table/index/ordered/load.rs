//! Bulk load of the ordered index: from sorted entries to full nodes, level by level, in one pass.

use super::node::{Item, Node, separator};
use super::run::Run;
use super::write::{CHILDREN_LEAST, fill_links, size_max};
use super::{KeyKind, KeyRef};
use crate::page::{Link, OutOfMemory, Pages};
use std::cmp::Ordering;

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

/// A bulk load: per level of inner nodes, the children that wait for their parent.
pub(super) struct Load {
    kind: KeyKind,
    levels: Vec<Level>,
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
        Self { kind, levels: Vec::new() }
    }

    /// The new root, if there are entries, and how many levels of inner nodes it stands on top of.
    pub(super) fn run<'k>(
        &mut self,
        pages: &mut Pages,
        entries: impl IntoIterator<Item = (KeyRef<'k>, u64)>,
    ) -> Result<Option<(Link, u8)>, OutOfMemory> {
        let mut leaf: Vec<Item<'k>> = Vec::new();
        let mut size = 0;
        let mut before = None;
        for (key, id) in entries {
            let item = Item { key, id, count: 0 };
            let is_next = leaf.last().is_none_or(|last| last.key.order(key).then(last.id.cmp(&id)) == Ordering::Less);
            if key.kind() != self.kind || !is_next {
                continue;
            }
            let bytes = Run::of_items(self.kind, true, &[item]).body_size();
            if size + bytes > load_max(true) && !leaf.is_empty() {
                self.add_leaf(pages, before, &leaf)?;
                before = leaf.last().copied();
                leaf.clear();
                size = 0;
            }
            size += bytes;
            leaf.push(item);
        }
        if !leaf.is_empty() {
            self.add_leaf(pages, before, &leaf)?;
        }
        self.finish(pages)
    }

    fn add_leaf(
        &mut self,
        pages: &mut Pages,
        before: Option<Item<'_>>,
        entries: &[Item<'_>],
    ) -> Result<(), OutOfMemory> {
        let (key_len, id) = match (before, entries.first()) {
            (Some(before), Some(first)) => separator(before.key, first.key, first.id),
            _ => (0, 0),
        };
        let link = Run::of_items(self.kind, true, entries).build(pages)?;
        self.add(pages, 0, Child { link, key_len, id, count: entries.len() as u64 })
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
