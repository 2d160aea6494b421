//! Changing the ordered index: insert and remove.
//!
//! A change copies the nodes on its way down as it finds it, and changes their counts: a caller changes only what it
//! knows to be absent, or there, and a node that is copied need not be fetched from memory to be searched. The way is
//! noted, so that whatever a leaf's change means for the nodes above it needs no search. Whatever a step needs is
//! allocated before links move.
//!
//! Leaves are small, for a change makes its leaf anew; inner nodes are larger, for most changes only touch a count.

use super::load::{Load, Put};
use super::node::{Edge, Item, Node, add_count, prefetch, separator, set_count};
use super::run::Run;
use super::words::{Words, child_index, leaf_bytes};
use super::{HEIGHT_MAX, KeyKind, KeyRef, OrderedMeta};
use crate::page::{Link, OutOfMemory, Pages};

/// Above these sizes a node is split. With a block's header of 16 bytes they make 1 KiB.
const LEAF_BYTES: usize = 1008;
const INNER_BYTES: usize = 1520;
/// An inner node keeps at least so many children on either side of a cut, however long its separators are: otherwise
/// long keys would make the tree deep.
pub(super) const CHILDREN_LEAST: usize = 4;
/// An index per inner node of a way down; a block has at most `u16::MAX` links.
type Path = [u16; HEIGHT_MAX];

/// One index of the running write.
pub(crate) struct OrderedIndex<'l> {
    root: &'l mut Option<Link>,
    meta: &'l mut OrderedMeta,
}

/// The right part of a node that was split, for the parent to link.
struct Split {
    right: Link,
    /// How many bytes of the right node's first key make the separator.
    key_len: usize,
    id: u64,
}

impl Split {
    /// What `build` makes with the item of this; without memory for it the right node is discarded.
    fn beside<T>(
        self,
        pages: &mut Pages,
        build: impl FnOnce(&mut Pages, Item<'_>) -> Result<T, OutOfMemory>,
    ) -> Result<(Self, T), OutOfMemory> {
        let Self { right, key_len, id } = self;
        let (right, built) = pages.beside(right, |pages, right| {
            let node = Node::new(right.block());
            build(pages, Item { key: node.key(0).cut(key_len), id, count: node.total() })
        })?;
        Ok((Self { right, key_len, id }, built))
    }
}

pub(super) fn size_max(is_leaf: bool) -> usize {
    if is_leaf { LEAF_BYTES } else { INNER_BYTES }
}

/// How many entries each side of a cut has at least.
fn least(is_leaf: bool) -> usize {
    if is_leaf { 1 } else { CHILDREN_LEAST }
}

/// Whether the run may be one node of at most `size_max` bytes, or must be, having too few entries for two.
fn fits(run: &Run<'_>, is_leaf: bool, size_max: usize) -> bool {
    run.len() < 2 * least(is_leaf) || run.size() <= size_max
}

/// Whether a neighbour should take the node in, or share with it.
fn is_underfull(link: &Link) -> bool {
    let (links, bytes) = (link.block().links().len(), link.block().bytes().len());
    let is_leaf = links == 0;
    bytes + links * size_of::<Option<Link>>() < size_max(is_leaf) / 4 || !is_leaf && links < CHILDREN_LEAST
}

impl<'l> OrderedIndex<'l> {
    pub(crate) fn new(root: &'l mut Option<Link>, meta: &'l mut OrderedMeta) -> Self {
        Self { root, meta }
    }

    /// Adds an entry; answers whether it was absent. Cost: O(log n) nodes copied.
    pub(crate) fn insert(&mut self, pages: &mut Pages, key: KeyRef<'_>, id: u64) -> Result<bool, OutOfMemory> {
        let kind = self.meta.kind;
        if key.kind() != kind {
            return Ok(false);
        }
        let edge = Edge { key, id, after: false };
        let mut path = [0; HEIGHT_MAX];
        match self.descend(pages, &edge, 1, &mut path)? {
            Some(leaf) => match insert_in_leaf(pages, kind, leaf, &edge)? {
                Inserted::Whole => {}
                Inserted::Split(split) => self.link_split(pages, &path, split)?,
                Inserted::Present => {
                    self.descend(pages, &edge, -1, &mut path)?;
                    return Ok(false);
                }
            },
            None => self.plant(pages, Item { key, id, count: 0 })?,
        }
        self.meta.entry_count += 1;
        Ok(true)
    }

    /// Takes an entry out; answers whether it was there. Cost: O(log n) nodes copied.
    pub(crate) fn remove(&mut self, pages: &mut Pages, key: KeyRef<'_>, id: u64) -> Result<bool, OutOfMemory> {
        let kind = self.meta.kind;
        if key.kind() != kind {
            return Ok(false);
        }
        let edge = Edge { key, id, after: false };
        let mut path = [0; HEIGHT_MAX];
        let Some(leaf) = self.descend(pages, &edge, -1, &mut path)? else { return Ok(false) };
        match remove_in_leaf(pages, kind, leaf, &edge)? {
            Left::Enough => {}
            Left::Absent => {
                self.descend(pages, &edge, 1, &mut path)?;
                return Ok(false);
            }
            left => {
                let path = path.get(..usize::from(self.meta.height)).unwrap_or_default();
                repair_below(pages, kind, self.root, path, left)?;
                self.lower(pages);
            }
        }
        self.meta.entry_count = self.meta.entry_count.saturating_sub(1);
        Ok(true)
    }

    /// Takes all entries out. Cost: O(1) now; the blocks are freed in slices later.
    pub(crate) fn clear(&mut self, pages: &mut Pages) {
        if let Some(root) = self.root.take() {
            pages.discard(root);
        }
        *self.meta = OrderedMeta::new(self.meta.kind);
    }

    /// Puts the entries that `feed` hands over one by one, rising by (key, id), in the place of all that the index held,
    /// in full nodes. Entries out of order, or of another kind of key, are left out. Cost: O(n).
    pub(crate) fn build_sorted(
        &mut self,
        pages: &mut Pages,
        feed: impl FnOnce(&mut Put<'_>) -> Result<(), OutOfMemory>,
    ) -> Result<(), OutOfMemory> {
        self.clear(pages);
        let mut load = Load::new(self.meta.kind);
        let built = load.run(pages, feed);
        match built {
            Ok(root) => {
                if let Some((root, height)) = root {
                    self.meta.entry_count = Node::new(root.block()).total();
                    self.meta.height = height;
                    *self.root = Some(root);
                }
                Ok(())
            }
            Err(error) => {
                load.discard(pages);
                Err(error)
            }
        }
    }

    /// Gives an empty index its first entry.
    #[cold]
    fn plant(&mut self, pages: &mut Pages, item: Item<'_>) -> Result<(), OutOfMemory> {
        *self.root = Some(Run::of_items(self.meta.kind, true, &[item]).build(pages)?);
        self.meta.height = 0;
        Ok(())
    }

    /// Copies the inner nodes on the way down to where the entry is or would be, adds `delta` to the counts on it, and
    /// notes it in `path`: an index per node. Answers the leaf, unless the index is empty.
    #[inline]
    fn descend<'s>(
        &'s mut self,
        pages: &mut Pages,
        edge: &Edge<'_>,
        delta: i64,
        path: &mut Path,
    ) -> Result<Option<&'s mut Link>, OutOfMemory> {
        let Some(mut link) = self.root.as_mut() else { return Ok(None) };
        let height = usize::from(self.meta.height);
        for (level, step) in path.iter_mut().take(height).enumerate() {
            let (links, bytes) = pages.make_mut(link)?.into_parts();
            let index = child_index(links, bytes, edge);
            *step = index as u16;
            add_count(bytes, links.len() - index, delta);
            let Some(Some(child)) = links.get_mut(index) else { return Ok(None) };
            if level + 1 == height {
                // A leaf is searched before it is copied.
                prefetch(child.block());
            }
            link = child;
        }
        Ok(Some(link))
    }

    /// Links the right part of a leaf that was split, at the end of `path`.
    #[cold]
    fn link_split(&mut self, pages: &mut Pages, path: &Path, split: Split) -> Result<(), OutOfMemory> {
        let Some(root) = self.root else { return Ok(()) };
        let path = path.get(..usize::from(self.meta.height)).unwrap_or_default();
        if let Some(split) = link_below(pages, self.meta.kind, root, path, split)? {
            grow(pages, self.meta.kind, root, split)?;
            self.meta.height += 1;
            debug_assert!(usize::from(self.meta.height) <= HEIGHT_MAX);
        }
        Ok(())
    }

    /// Takes away roots that have only one child.
    fn lower(&mut self, pages: &mut Pages) {
        while self.meta.height > 0
            && let Some(root) = self.root.take_if(|root| root.block().links().len() == 1)
        {
            let mut donor = pages.donate(root);
            *self.root = pages.take(&mut donor, 0);
            pages.finish(donor);
            self.meta.height -= 1;
        }
        if self.root.is_none() {
            self.meta.height = 0;
        }
    }
}

/// Puts `new` in the place of the node's block, whose children are elsewhere or which has none.
fn replace_leaf(pages: &mut Pages, link: &mut Link, new: Link) {
    let old = std::mem::replace(link, new);
    pages.discard(old);
}

/// Fills the absent links of a new inner node, in order.
pub(super) fn fill_links(pages: &mut Pages, link: &mut Link, mut next: impl FnMut(&mut Pages) -> Option<Link>) {
    if let Some(mut block) = pages.fresh(link) {
        for place in block.links() {
            *place = next(pages);
        }
    }
}

/// Puts a root above the root and the node that was split from it.
fn grow(pages: &mut Pages, kind: KeyKind, root: &mut Link, split: Split) -> Result<(), OutOfMemory> {
    let left = Item { key: KeyRef::least(kind), id: 0, count: Node::new(root.block()).total() };
    let (split, new) = split.beside(pages, |pages, item| Run::of_items(kind, false, &[left, item]).build(pages))?;
    let mut children = [Some(std::mem::replace(root, new)), Some(split.right)].into_iter();
    fill_links(pages, root, |_| children.next().flatten());
    Ok(())
}

/// Where to cut a run that grew at `position`. Entries that come in order, rising or falling, leave full nodes behind.
fn cut_after_insert(run: &Run<'_>, position: usize, is_leaf: bool) -> usize {
    let (len, least) = (run.len(), least(is_leaf));
    let few = (len / 16).max(least).min(len / 2);
    if position + 1 == len {
        len - few
    } else if position == 0 {
        few
    } else {
        run.cut(run.size() / 2, least)
    }
}

/// Links the right part of the node at the end of `path`; answers the right part of this one, if it is split in turn.
fn link_below(
    pages: &mut Pages,
    kind: KeyKind,
    link: &mut Link,
    path: &[u16],
    split: Split,
) -> Result<Option<Split>, OutOfMemory> {
    let Some((&step, path)) = path.split_first() else { return Ok(Some(split)) };
    let step = usize::from(step);
    let mut node = pages.make_mut(link)?;
    let (links, bytes) = node.parts();
    let behind = links.len().saturating_sub(step);
    let Some(Some(child)) = links.get_mut(step) else { return Ok(None) };
    match link_below(pages, kind, child, path, split)? {
        None => Ok(None),
        Some(split) => {
            set_count(bytes, behind, Node::new(child.block()).total());
            insert_child(pages, kind, link, step + 1, split)
        }
    }
}

/// What became of a leaf and an entry for it.
enum Inserted {
    Whole,
    /// The leaf was split; its right part is to be linked.
    Split(Split),
    /// The entry was there.
    Present,
}

/// Puts the edge's entry into a leaf.
#[inline]
fn insert_in_leaf(pages: &mut Pages, kind: KeyKind, link: &mut Link, edge: &Edge<'_>) -> Result<Inserted, OutOfMemory> {
    if let KeyRef::U64(key) = edge.key
        && let Ok(id) = u32::try_from(edge.id)
        && let Some(words) = Words::new(link.block().bytes())
        && leaf_bytes(words.len() + 1) <= LEAF_BYTES
    {
        let position = words.position(0, key, edge.id);
        if words.is_at(position, key, edge.id) {
            return Ok(Inserted::Present);
        }
        let new = words.build_with(pages, position, key, id)?;
        replace_leaf(pages, link, new);
        return Ok(Inserted::Whole);
    }
    insert_in_any_leaf(pages, kind, link, edge)
}

/// Out of line, to keep the usual way short.
#[inline(never)]
fn insert_in_any_leaf(
    pages: &mut Pages,
    kind: KeyKind,
    link: &mut Link,
    edge: &Edge<'_>,
) -> Result<Inserted, OutOfMemory> {
    let items = [Item { key: edge.key, id: edge.id, count: 0 }];
    let node = Node::new(link.block());
    let position = node.position(edge);
    if is_at(node, position, edge) {
        return Ok(Inserted::Present);
    }
    let run = Run::spliced(kind, node, position, position, &items);
    if fits(&run, true, LEAF_BYTES) {
        let new = run.build(pages)?;
        replace_leaf(pages, link, new);
        return Ok(Inserted::Whole);
    }
    let cut = cut_after_insert(&run, position, true);
    let (left, split) = cut_run(pages, &run, cut, true)?;
    replace_leaf(pages, link, left);
    Ok(Inserted::Split(split))
}

/// Whether the entry at `position` of a leaf is the edge's.
fn is_at(leaf: Node<'_>, position: usize, edge: &Edge<'_>) -> bool {
    position < leaf.len() && leaf.key(position) == edge.key && leaf.id(position) == edge.id
}

/// Two new nodes of a run.
fn cut_run(pages: &mut Pages, run: &Run<'_>, cut: usize, is_leaf: bool) -> Result<(Link, Split), OutOfMemory> {
    let (key_len, id) = match (run.item(cut.saturating_sub(1)), run.item(cut)) {
        (Some(left), Some(right)) if is_leaf => separator(left.key, right.key, right.id),
        // The items of an inner node are separators already.
        (_, Some(right)) => (right.key.bytes_len(), right.id),
        _ => (0, 0),
    };
    let left = run.slice(0, cut).build(pages)?;
    let (left, right) = pages.beside(left, |pages, _| run.slice(cut, run.len()).build(pages))?;
    Ok((left, Split { right, key_len, id }))
}

/// Puts the right part of a split child at `position`.
fn insert_child(
    pages: &mut Pages,
    kind: KeyKind,
    link: &mut Link,
    position: usize,
    split: Split,
) -> Result<Option<Split>, OutOfMemory> {
    let (split, (left, mut right)) = split.beside(pages, |pages, item| {
        let items = [item];
        let run = Run::spliced(kind, Node::new(link.block()), position, position, &items);
        if fits(&run, false, INNER_BYTES) {
            return Ok((run.build(pages)?, None));
        }
        let cut = cut_after_insert(&run, position, false);
        let (left, split) = cut_run(pages, &run, cut, false)?;
        Ok((left, Some(split)))
    })?;
    let old = std::mem::replace(link, left);
    let mut donor = pages.donate(old);
    let mut new_child = Some(split.right);
    let mut at = 0;
    let mut next = |pages: &mut Pages| {
        at += 1;
        let index = at - 1;
        if index == position { new_child.take() } else { pages.take(&mut donor, index - usize::from(index > position)) }
    };
    fill_links(pages, link, &mut next);
    if let Some(right) = &mut right {
        fill_links(pages, &mut right.right, &mut next);
    }
    pages.finish(donor);
    Ok(right)
}

/// What an entry that goes leaves of its leaf.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Enough,
    /// So little that the leaf's parent should see to it.
    Few,
    /// The leaf still holds the entry, its only one: its parent is to take it away.
    Nothing,
    /// The entry was not there.
    Absent,
}

/// Takes the edge's entry out of a leaf, unless it is the last one.
#[inline]
fn remove_in_leaf(pages: &mut Pages, kind: KeyKind, link: &mut Link, edge: &Edge<'_>) -> Result<Left, OutOfMemory> {
    if let KeyRef::U64(key) = edge.key
        && let Some(words) = Words::new(link.block().bytes())
        && words.len() > 1
    {
        let position = words.position(0, key, edge.id);
        if !words.is_at(position, key, edge.id) {
            return Ok(Left::Absent);
        }
        let new = words.build_without(pages, position)?;
        replace_leaf(pages, link, new);
    } else {
        let node = Node::new(link.block());
        let position = node.position(edge);
        if !is_at(node, position, edge) {
            return Ok(Left::Absent);
        }
        if node.len() == 1 {
            return Ok(Left::Nothing);
        }
        let new = build_without(pages, kind, node, position)?;
        replace_leaf(pages, link, new);
    }
    Ok(if is_underfull(link) { Left::Few } else { Left::Enough })
}

#[inline(never)]
fn build_without(pages: &mut Pages, kind: KeyKind, node: Node<'_>, position: usize) -> Result<Link, OutOfMemory> {
    Run::spliced(kind, node, position, position + 1, &[]).build(pages)
}

/// Sees to the leaf at the end of `path`, of which too little is left, and to the nodes above that become too small by
/// it. Answers whether this node now is, or is gone.
fn repair_below(
    pages: &mut Pages,
    kind: KeyKind,
    slot: &mut Option<Link>,
    path: &[u16],
    left: Left,
) -> Result<bool, OutOfMemory> {
    let Some(link) = slot.as_mut() else { return Ok(true) };
    let Some((&step, path)) = path.split_first() else {
        if left == Left::Nothing
            && let Some(leaf) = slot.take()
        {
            pages.discard(leaf);
        }
        return Ok(true);
    };
    let step = usize::from(step);
    let mut node = pages.make_mut(link)?;
    let (links, _) = node.parts();
    let Some(child) = links.get_mut(step) else { return Ok(false) };
    if !repair_below(pages, kind, child, path, left)? {
        return Ok(false);
    }
    if child.is_none() {
        remove_child(pages, kind, slot, step)?;
    } else {
        join_child(pages, kind, link, step)?;
    }
    Ok(slot.as_ref().is_none_or(is_underfull))
}

/// Rebuilds an inner node without the child at `position`, which is gone already.
fn remove_child(pages: &mut Pages, kind: KeyKind, slot: &mut Option<Link>, position: usize) -> Result<(), OutOfMemory> {
    let Some(link) = slot else { return Ok(()) };
    let node = Node::new(link.block());
    if node.len() == 1 {
        if let Some(node) = slot.take() {
            pages.discard(node);
        }
        return Ok(());
    }
    let new = Run::spliced(kind, node, position, position + 1, &[]).build(pages)?;
    let mut donor = pages.donate(std::mem::replace(link, new));
    let mut from = 0;
    fill_links(pages, link, |pages| {
        from += 1 + usize::from(from == position);
        pages.take(&mut donor, from - 1)
    });
    pages.finish(donor);
    Ok(())
}

/// Makes one node of the child at `position` and a neighbour, or two of equal size if one would be too large. The
/// parent is the running write's own.
fn join_child(pages: &mut Pages, kind: KeyKind, link: &mut Link, position: usize) -> Result<(), OutOfMemory> {
    let (first, mut children, parent) = {
        let node = Node::new(link.block());
        if node.len() < 2 {
            return Ok(());
        }
        let first = position.min(node.len() - 2);
        let (Some(a), Some(b)) = (node.child(first), node.child(first + 1)) else { return Ok(()) };
        let (a, b) = (Node::new(a), Node::new(b));
        let is_leaf = a.is_leaf();
        let between = [Item { count: b.count(0), ..node.item(first + 1) }];
        let run = if is_leaf { Run::of_leaves(kind, a, b) } else { Run::of_inner(kind, a, &between, b) };
        // Not filled to the brim, lest the next insert splits it again.
        if fits(&run, is_leaf, size_max(is_leaf) / 8 * 7) {
            let joined = run.build(pages)?;
            let items = [Item { count: node.count(first) + node.count(first + 1), ..node.item(first) }];
            let parent = |pages: &mut Pages, _: &Link| Run::spliced(kind, node, first, first + 2, &items).build(pages);
            let (joined, parent) = pages.beside(joined, parent)?;
            (first, [Some(joined), None], parent)
        } else {
            let (left, split) = cut_run(pages, &run, run.cut(run.size() / 2, least(is_leaf)), is_leaf)?;
            let (left, (split, parent)) = pages.beside(left, |pages, left| {
                let count = Node::new(left.block()).total();
                split.beside(pages, |pages, item| {
                    let items = [Item { count, ..node.item(first) }, item];
                    Run::spliced(kind, node, first, first + 2, &items).build(pages)
                })
            })?;
            (first, [Some(left), Some(split.right)], parent)
        }
    };
    let kept = children.iter().flatten().count();
    let mut donor = pages.donate(std::mem::replace(link, parent));
    let mut at = 0;
    fill_links(pages, link, |pages| {
        let index = at;
        at += 1;
        if index < first {
            return pages.take(&mut donor, index);
        }
        if index >= first + kept {
            return pages.take(&mut donor, index + 2 - kept);
        }
        if index == first
            && let (Some(a), Some(b)) = (pages.take(&mut donor, first), pages.take(&mut donor, first + 1))
        {
            move_children(pages, a, b, &mut children);
        }
        children.get_mut(index - first).and_then(Option::take)
    });
    pages.finish(donor);
    Ok(())
}

/// Moves what hangs below two neighbours to the nodes made in their place.
fn move_children(pages: &mut Pages, a: Link, b: Link, to: &mut [Option<Link>; 2]) {
    let a_count = a.block().links().len();
    let (mut a, mut b) = (pages.donate(a), pages.donate(b));
    let mut at = 0;
    for link in to.iter_mut().flatten() {
        fill_links(pages, link, |pages| {
            at += 1;
            if at <= a_count { pages.take(&mut a, at - 1) } else { pages.take(&mut b, at - 1 - a_count) }
        });
    }
    pages.finish(a);
    pages.finish(b);
}
