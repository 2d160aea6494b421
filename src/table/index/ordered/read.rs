//! Reading the ordered index: membership, scans, counts, ranks.

use super::node::{Edge, Node, prefetch};
use super::words::child_index;
use super::{KeyRef, OrderedMeta};
use crate::page::{BlockRef, Link};
use std::ops::{Bound, ControlFlow, Range};

/// The index of one version.
#[derive(Clone, Copy)]
pub(crate) struct OrderedRef<'g> {
    root: Option<BlockRef<'g>>,
    meta: OrderedMeta,
}

/// Which way a scan runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl<'g> OrderedRef<'g> {
    pub(crate) fn new(root: Option<&'g Link>, meta: OrderedMeta) -> Self {
        Self { root: root.map(Link::block), meta }
    }

    /// How many entries the index has.
    pub(crate) fn len(self) -> u64 {
        self.meta.entry_count
    }

    /// Asks for the leaf in which the entry is or would be, not looked at yet.
    #[inline]
    pub(crate) fn prefetch_leaf(self, key: KeyRef<'_>, id: u64) {
        let edge = Edge { key, id, after: false };
        let Some(mut block) = self.root.filter(|_| self.meta.height > 0 && key.kind() == self.meta.kind) else {
            return;
        };
        for _ in 0..self.meta.height {
            let Some(child) = block.child(child_index(block.links(), block.bytes(), &edge)) else { return };
            block = child;
        }
        prefetch(block);
    }

    /// Whether the index has this entry. Cost: O(log n).
    pub(crate) fn contains(self, key: KeyRef<'_>, id: u64) -> bool {
        let edge = Edge { key, id, after: false };
        let Some(mut block) = self.root.filter(|_| key.kind() == self.meta.kind) else { return false };
        for _ in 0..self.meta.height {
            let node = Node::new(block);
            let Some(child) = node.child(node.child_index(&edge)) else { return false };
            prefetch(child);
            block = child;
        }
        let leaf = Node::new(block);
        let position = leaf.position(&edge);
        position < leaf.len() && leaf.key(position) == key && leaf.id(position) == id
    }

    /// Runs `visit` on the entries whose keys lie within the bounds, by rising (key, id), or falling if `reverse`, until
    /// it breaks. A bound concerns all entries of its key alike. Cost: O(log n + entries visited).
    #[inline]
    pub(crate) fn scan<B>(
        self,
        lower: Bound<KeyRef<'_>>,
        upper: Bound<KeyRef<'_>>,
        reverse: bool,
        visit: impl FnMut(KeyRef<'g>, u64) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.scan_between(lower_edge(lower).as_ref(), upper_edge(upper).as_ref(), reverse, visit)
    }

    /// As [`OrderedRef::scan`], from the first entry behind `last` (in the direction of the scan) up to `end`: to go on
    /// where an earlier scan broke.
    #[cfg(test)]
    #[inline]
    pub(crate) fn scan_after<B>(
        self,
        last: (KeyRef<'_>, u64),
        end: Bound<KeyRef<'_>>,
        reverse: bool,
        visit: impl FnMut(KeyRef<'g>, u64) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let start = Edge { key: last.0, id: last.1, after: !reverse };
        if reverse {
            self.scan_between(lower_edge(end).as_ref(), Some(&start), reverse, visit)
        } else {
            self.scan_between(Some(&start), upper_edge(end).as_ref(), reverse, visit)
        }
    }

    /// The next entry behind `last`, which need not be there; before it, if `reverse`. Cost: O(log n).
    #[cfg(test)]
    pub(crate) fn first_after(self, last: (KeyRef<'_>, u64), reverse: bool) -> Option<(KeyRef<'g>, u64)> {
        self.scan_after(last, Bound::Unbounded, reverse, |key, id| ControlFlow::Break((key, id))).break_value()
    }

    /// How many entries have keys within the bounds. Cost: O(log n).
    pub(crate) fn count(self, lower: Bound<KeyRef<'_>>, upper: Bound<KeyRef<'_>>) -> u64 {
        let before = lower_edge(lower).map_or(0, |edge| self.rank(&edge));
        let until = upper_edge(upper).map_or(self.len(), |edge| self.rank(&edge));
        until.saturating_sub(before)
    }

    /// Entry number `rank`, from 0, of all in order; counted from the last if `reverse`. Cost: O(log n).
    #[cfg(test)]
    pub(crate) fn nth(self, rank: u64, reverse: bool) -> Option<(KeyRef<'g>, u64)> {
        let mut rank = if reverse { self.len().checked_sub(1)?.checked_sub(rank)? } else { rank };
        let mut block = self.root?;
        for _ in 0..self.meta.height {
            let node = Node::new(block);
            let mut index = 0;
            while rank >= node.count(index) {
                rank -= node.count(index);
                index += 1;
                if index >= node.len() {
                    return None;
                }
            }
            block = node.child(index)?;
        }
        let leaf = Node::new(block);
        let index = usize::try_from(rank).ok().filter(|&index| index < leaf.len())?;
        Some((leaf.key(index), leaf.id(index)))
    }

    /// How many entries lie before the edge.
    fn rank(self, edge: &Edge<'_>) -> u64 {
        let Some(mut block) = self.root.filter(|_| edge.key.kind() == self.meta.kind) else { return 0 };
        let mut before = 0;
        for _ in 0..self.meta.height {
            let node = Node::new(block);
            let index = node.child_index(edge);
            before += node.count_before(index);
            let Some(child) = node.child(index) else { return before };
            prefetch(child);
            block = child;
        }
        before + Node::new(block).position(edge) as u64
    }

    #[inline]
    fn scan_between<B>(
        self,
        lower: Option<&Edge<'_>>,
        upper: Option<&Edge<'_>>,
        reverse: bool,
        mut visit: impl FnMut(KeyRef<'g>, u64) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let foreign = |edge: Option<&Edge<'_>>| edge.is_some_and(|edge| edge.key.kind() != self.meta.kind);
        match self.root {
            Some(root) if !foreign(lower) && !foreign(upper) => {
                let way = if reverse { Way::Down } else { Way::Up };
                let mut found = ControlFlow::Continue(());
                let _ = scan_leaves(root, self.meta.height, lower, upper, way, &mut |leaf, mut entries| {
                    let mut visit = |index| visit(leaf.key(index), leaf.id(index));
                    found = match way {
                        Way::Up => entries.try_for_each(&mut visit),
                        Way::Down => entries.rev().try_for_each(&mut visit),
                    };
                    if found.is_break() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                found
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The edge before the first entry within a lower bound.
fn lower_edge(bound: Bound<KeyRef<'_>>) -> Option<Edge<'_>> {
    match bound {
        Bound::Included(key) => Some(Edge { key, id: 0, after: false }),
        Bound::Excluded(key) => Some(Edge { key, id: u64::MAX, after: true }),
        Bound::Unbounded => None,
    }
}

/// The edge behind the last entry within an upper bound.
fn upper_edge(bound: Bound<KeyRef<'_>>) -> Option<Edge<'_>> {
    match bound {
        Bound::Included(key) => Some(Edge { key, id: u64::MAX, after: true }),
        Bound::Excluded(key) => Some(Edge { key, id: 0, after: false }),
        Bound::Unbounded => None,
    }
}

/// Runs `visit` on the leaves and which of their entries lie between the edges. One function for all scans: what differs
/// is called once a leaf.
fn scan_leaves<'g>(
    block: BlockRef<'g>,
    level: u8,
    lower: Option<&Edge<'_>>,
    upper: Option<&Edge<'_>>,
    way: Way,
    visit: &mut dyn FnMut(Node<'g>, Range<usize>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let node = Node::new(block);
    if level == 0 {
        let from = lower.map_or(0, |edge| node.position(edge));
        let to = upper.map_or(node.len(), |edge| node.position(edge));
        return visit(node, from..to);
    }
    let first = lower.map_or(0, |edge| node.child_index(edge));
    let last = upper.map_or(node.len().saturating_sub(1), |edge| node.child_index(edge));
    let start = if way == Way::Up { first } else { last };
    let mut visit_child = |index: usize, next: Option<usize>| {
        // Only the outermost children are cut by a bound.
        let lower = lower.filter(|_| index == first);
        let upper = upper.filter(|_| index == last);
        match node.child(index) {
            Some(child) => {
                if index == start {
                    prefetch(child);
                }
                if let Some(next) = next.and_then(|next| node.child(next)) {
                    prefetch(next);
                }
                scan_leaves(child, level - 1, lower, upper, way, visit)
            }
            None => ControlFlow::Continue(()),
        }
    };
    match way {
        Way::Up => (first..=last).try_for_each(|index| visit_child(index, (index < last).then_some(index + 1))),
        Way::Down => (first..=last).rev().try_for_each(|index| visit_child(index, index.checked_sub(1))),
    }
}
