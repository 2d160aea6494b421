//! The page tree: a persistent radix tree from page numbers to blocks, with the number of live entries under each child.
//!
//! A node has up to 32 children, told apart by five bits of the page number; absent children take no space. Its bytes
//! are a mask of the children present (`u32`, then padding to 8), then, in a tree that counts, one `u32` count per child.
//! Height 0 means that the root itself is page 0. Counts make `nth` and `rank` O(log n).
//!
//! Used for row pages (entries are rows, and counted) and for hash buckets (not counted: a third less to copy).
//!
//! - T1: a full node is indexed directly, without a look at its mask.
//! - T2: a node has at least one child; a child's count is the sum of what is below it. All nodes of a tree have counts, or
//!   none has.

use super::block::{BlockRef, Link};
use super::heap::OutOfMemory;
use super::writer::Pages;
use std::ops::ControlFlow;

const BITS: u32 = 5;
const FAN_OUT: usize = 1 << BITS;
/// Twelve levels of five bits tell all page numbers of 59 bits apart.
const HEIGHT_MAX: u32 = 12;
const COUNTS_AT: usize = 8;

/// One tree of a version, for reading.
#[derive(Clone, Copy)]
pub(crate) struct TreeRef<'g> {
    root: Option<BlockRef<'g>>,
    height: u32,
}

/// What a node's bytes say.
#[derive(Clone, Copy)]
struct Node<'g> {
    block: BlockRef<'g>,
    links: &'g [Option<Link>],
}

impl<'g> Node<'g> {
    #[inline(always)]
    fn new(block: BlockRef<'g>) -> Self {
        Self { block, links: block.links() }
    }

    #[inline(always)]
    fn mask(self) -> u32 {
        mask_of(self.block.bytes())
    }

    #[inline(always)]
    fn child(self, index: usize) -> Option<BlockRef<'g>> {
        let position = if self.links.len() == FAN_OUT { index } else { position_of(self.mask(), index)? };
        self.links.get(position)?.as_ref().map(Link::block)
    }

    fn count(self, position: usize) -> u64 {
        count_at(self.block.bytes(), position)
    }
}

#[inline(always)]
fn mask_of(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |mask| u32::from_le_bytes(*mask))
}

/// Where child `index` stands among those present.
#[inline(always)]
fn position_of(mask: u32, index: usize) -> Option<usize> {
    if mask >> index & 1 == 0 {
        return None;
    }
    // Children without a gap before them, as in a table that only grows, stand where their index says; not every
    // processor that this is built for counts bits in one step.
    let smaller = (1 << index) - 1;
    Some(if mask & smaller == smaller { index } else { (mask & smaller).count_ones() as usize })
}

fn count_at(bytes: &[u8], position: usize) -> u64 {
    let at = COUNTS_AT + 4 * position;
    bytes
        .get(at..at + 4)
        .and_then(|count| count.try_into().ok())
        .map_or(0, |count| u64::from(u32::from_le_bytes(count)))
}

fn add_count(bytes: &mut [u8], position: usize, delta: i64) {
    let at = COUNTS_AT + 4 * position;
    let count = count_at(bytes, position).wrapping_add_signed(delta) as u32;
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&count.to_le_bytes());
    }
}

impl<'g> TreeRef<'g> {
    /// The block that all others are below.
    pub(crate) fn root(self) -> Option<BlockRef<'g>> {
        self.root
    }

    pub(crate) fn new(root: Option<&'g Link>, height: u8) -> Self {
        Self { root: root.map(Link::block), height: u32::from(height) }
    }

    /// The block of page `number`. Cost: O(log n), without a branch that depends on data in a tree without gaps.
    #[inline(always)]
    pub(crate) fn get(self, number: u64) -> Option<BlockRef<'g>> {
        let mut block = self.root?;
        if number >> (BITS * self.height) != 0 {
            return None;
        }
        let mut shift = BITS * self.height;
        while shift > 0 {
            shift -= BITS;
            block = Node::new(block).child((number >> shift) as usize % FAN_OUT)?;
        }
        Some(block)
    }

    /// Runs `visit` on the pages with numbers in `first..=last`, in rising order, until it breaks. The next page is
    /// asked from memory while one is visited. Cost: O(log n + pages visited).
    #[inline]
    pub(crate) fn scan<B>(
        self,
        first: u64,
        last: u64,
        mut visit: impl FnMut(u64, BlockRef<'g>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some(root) = self.root else { return ControlFlow::Continue(()) };
        let mut found = ControlFlow::Continue(());
        let _ = scan_node(root, self.height, 0, (first, last), &mut |number, block| {
            found = visit(number, block);
            if found.is_break() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        found
    }

    /// Whether both are the very same tree, and so the same pages.
    #[inline]
    pub(crate) fn is_same(self, other: TreeRef<'_>) -> bool {
        match (self.root, other.root) {
            (Some(a), Some(b)) => a.same(b) && self.height == other.height,
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    /// The first page at or after `number`.
    pub(crate) fn at_or_after(self, number: u64) -> Option<(u64, BlockRef<'g>)> {
        match self.scan(number, u64::MAX, |number, block| ControlFlow::Break((number, block))) {
            ControlFlow::Break(found) => Some(found),
            ControlFlow::Continue(()) => None,
        }
    }

    /// The last page at or before `number`.
    pub(crate) fn at_or_before(self, number: u64) -> Option<(u64, BlockRef<'g>)> {
        last_in_node(self.root?, self.height, 0, number)
    }

    /// The page that holds entry `rank` (from 0), and the entry's rank within that page. Cost: O(log n).
    pub(crate) fn nth(self, mut rank: u64) -> Option<(u64, BlockRef<'g>, u64)> {
        let mut block = self.root?;
        let mut number = 0;
        for _ in 0..self.height {
            let node = Node::new(block);
            let mut mask = node.mask();
            let mut position = 0;
            loop {
                if mask == 0 {
                    return None;
                }
                let count = node.count(position);
                if rank < count {
                    break;
                }
                rank -= count;
                position += 1;
                mask &= mask - 1;
            }
            number = number << BITS | u64::from(mask.trailing_zeros());
            block = block.child(position)?;
        }
        // Where nodes led here, their counts have bounded the rank.
        (self.height > 0 || rank < page_count(block)).then_some((number, block, rank))
    }

    /// How many entries lie on pages before `number`. Cost: O(log n).
    pub(crate) fn rank(self, number: u64) -> u64 {
        let Some(mut block) = self.root else { return 0 };
        let beyond = number >> (BITS * self.height) != 0;
        if self.height == 0 {
            return if beyond { page_count(block) } else { 0 };
        }
        let mut before = 0;
        for level in (0..self.height).rev() {
            let node = Node::new(block);
            let index = if beyond { FAN_OUT } else { (number >> (BITS * level)) as usize % FAN_OUT };
            let mask = node.mask();
            let smaller = (u64::from(mask) & ((1 << index) - 1)).count_ones() as usize;
            before += (0..smaller).map(|position| node.count(position)).sum::<u64>();
            match node.child(index % FAN_OUT).filter(|_| index < FAN_OUT) {
                Some(child) => block = child,
                None => break,
            }
        }
        before
    }

    /// Runs `visit` on the pages in which `self` (the older) and `other` differ: number, page here, page there. Subtrees
    /// that both share are skipped whole. Cost: O(log n) per differing page.
    pub(crate) fn diff(self, other: TreeRef<'g>, visit: &mut VisitDifference<'_, 'g>) {
        let height = self.height.max(other.height);
        diff_nodes(Raised::new(self, height), Raised::new(other, height), height, 0, visit);
    }

    /// Runs `visit` on what this tree has become since the version with this stamp, an older one of the same store or of
    /// the one that it was forked from, in rising order of page numbers: whoever has that version's pages and applies
    /// this has exactly the pages of this one. Stamp 0 is older than any: all is told. Cost: O(log n) per page changed.
    ///
    /// A child was born no later than its parent (B2), so a block born at or before the stamp stands for a subtree that
    /// is as it was; and it stands where it stood, as blocks never move to other numbers or levels.
    pub(crate) fn since<B>(self, stamp: u64, visit: &mut impl FnMut(Since<'g>) -> ControlFlow<B>) -> ControlFlow<B> {
        let mut walk = SinceWalk { stamp, absent: None, visit };
        match self.root {
            Some(root) => {
                walk.node(root, self.height, 0)?;
                let beyond = 1 << (BITS * self.height);
                if root.birth() > stamp && beyond <= NUMBER_MAX {
                    walk.add_absent(beyond, NUMBER_MAX);
                }
            }
            None => walk.add_absent(0, NUMBER_MAX),
        }
        walk.flush()
    }
}

/// What became of page numbers since an older version.
#[derive(Clone, Copy)]
pub(crate) enum Since<'g> {
    /// The page is new, or has changed.
    Page(u64, BlockRef<'g>),
    /// No page has a number from the first to the last of these now; some may have been there.
    Absent(u64, u64),
}

/// The highest page number of any tree: a page has 32 of the 2^64 row ids.
const NUMBER_MAX: u64 = u64::MAX >> 5;

/// A walk for [`TreeRef::since`].
struct SinceWalk<'v, V> {
    stamp: u64,
    /// The numbers that are absent so far, up to where the walk is.
    absent: Option<(u64, u64)>,
    visit: &'v mut V,
}

impl<'v, V> SinceWalk<'v, V> {
    fn node<'g, B>(&mut self, block: BlockRef<'g>, level: u32, number: u64) -> ControlFlow<B>
    where
        V: FnMut(Since<'g>) -> ControlFlow<B>,
    {
        if block.birth() <= self.stamp {
            return self.flush();
        }
        if level == 0 {
            self.flush()?;
            return (self.visit)(Since::Page(number, block));
        }
        let node = Node::new(block);
        for index in 0..FAN_OUT {
            let child_number = number << BITS | index as u64;
            match node.child(index) {
                Some(child) => self.node(child, level - 1, child_number)?,
                None => {
                    let below = BITS * (level - 1);
                    self.add_absent(child_number << below, ((child_number + 1) << below) - 1);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn add_absent(&mut self, first: u64, last: u64) {
        // The root of the highest tree has room for twice the page numbers that there are.
        if first <= NUMBER_MAX {
            self.absent = Some((self.absent.map_or(first, |(first, _)| first), last.min(NUMBER_MAX)));
        }
    }

    fn flush<'g, B>(&mut self) -> ControlFlow<B>
    where
        V: FnMut(Since<'g>) -> ControlFlow<B>,
    {
        match self.absent.take() {
            Some((first, last)) => (self.visit)(Since::Absent(first, last)),
            None => ControlFlow::Continue(()),
        }
    }
}

/// A subtree seen as if it hung `missing` levels deeper, always as the first child: so trees of different heights can
/// be walked side by side.
#[derive(Clone, Copy)]
struct Raised<'g> {
    block: Option<BlockRef<'g>>,
    missing: u32,
}

impl<'g> Raised<'g> {
    fn new(tree: TreeRef<'g>, height: u32) -> Self {
        Self { block: tree.root, missing: height - tree.height }
    }

    fn child(self, index: usize) -> Self {
        match (self.block, self.missing) {
            (None, _) => self,
            (Some(block), 0) => Self { block: Node::new(block).child(index), missing: 0 },
            (_, missing) if index == 0 => Self { block: self.block, missing: missing - 1 },
            _ => Self { block: None, missing: 0 },
        }
    }
}

/// Is called with a page's number, and the page in either tree.
pub(crate) type VisitDifference<'v, 'g> = dyn FnMut(u64, Option<BlockRef<'g>>, Option<BlockRef<'g>>) + 'v;

/// As [`scan_node`], one function for all.
fn diff_nodes<'g>(a: Raised<'g>, b: Raised<'g>, level: u32, number: u64, visit: &mut VisitDifference<'_, 'g>) {
    match (a.block, b.block) {
        (None, None) => return,
        // A block hangs at one level, whatever stands above it: as many levels are missing in both.
        (Some(x), Some(y)) if x.same(y) => return,
        _ if level == 0 => return visit(number, a.block, b.block),
        (Some(x), Some(y)) if a.missing == 0 && b.missing == 0 && mask_of(x.bytes()) == mask_of(y.bytes()) => {
            return diff_children(x, y, level, number, visit);
        }
        _ => {}
    }
    for index in 0..FAN_OUT {
        diff_nodes(a.child(index), b.child(index), level - 1, number << BITS | index as u64, visit);
    }
}

/// The same for nodes with the same children present, as those of most commits are: links are compared where they stand,
/// and only those that differ are followed or given their number.
fn diff_children<'g>(a: BlockRef<'g>, b: BlockRef<'g>, level: u32, number: u64, visit: &mut VisitDifference<'_, 'g>) {
    let mut mask = mask_of(a.bytes());
    let mut passed = 0;
    for (position, (a, b)) in a.links().iter().zip(b.links()).enumerate() {
        let (a, b) = (a.as_ref().map(Link::block), b.as_ref().map(Link::block));
        if a.zip(b).is_some_and(|(a, b)| a.same(b)) {
            continue;
        }
        (passed..position).for_each(|_| mask &= mask.wrapping_sub(1));
        passed = position;
        let child_number = number << BITS | u64::from(mask.trailing_zeros());
        diff_nodes(Raised { block: a, missing: 0 }, Raised { block: b, missing: 0 }, level - 1, child_number, visit);
    }
}

/// One function for all scans, whose `visit` is called once a page.
fn scan_node<'g>(
    block: BlockRef<'g>,
    level: u32,
    number: u64,
    range: (u64, u64),
    visit: &mut dyn FnMut(u64, BlockRef<'g>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    if level == 0 {
        return if (range.0..=range.1).contains(&number) { visit(number, block) } else { ControlFlow::Continue(()) };
    }
    let links = block.links();
    let mut mask = mask_of(block.bytes());
    let below = BITS * (level - 1);
    let mut position = 0;
    while mask != 0 {
        let child_number = number << BITS | u64::from(mask.trailing_zeros());
        let first = child_number << below;
        let last = first + ((1 << below) - 1);
        if first > range.1 {
            break;
        }
        if last >= range.0
            && let Some(Some(child)) = links.get(position)
        {
            if let Some(Some(next)) = links.get(position + 1) {
                next.block().prefetch(0);
            }
            scan_node(child.block(), level - 1, child_number, range, visit)?;
        }
        position += 1;
        mask &= mask - 1;
    }
    ControlFlow::Continue(())
}

fn last_in_node(block: BlockRef<'_>, level: u32, number: u64, bound: u64) -> Option<(u64, BlockRef<'_>)> {
    if level == 0 {
        return (number <= bound).then_some((number, block));
    }
    let node = Node::new(block);
    let mask = node.mask();
    let below = BITS * (level - 1);
    for index in (0..FAN_OUT).rev() {
        let Some(child) = position_of(mask, index).and_then(|position| block.child(position)) else { continue };
        let child_number = number << BITS | index as u64;
        if child_number << below > bound {
            continue;
        }
        if let found @ Some(_) = last_in_node(child, level - 1, child_number, bound) {
            return found;
        }
    }
    None
}

/// One tree of the running write.
pub(crate) struct Tree<'l> {
    root: &'l mut Option<Link>,
    height: &'l mut u8,
    counts: bool,
}

/// What became of a page: the change in its number of entries, and the caller's answer.
type Changed<R> = Result<(i64, R), OutOfMemory>;

impl<'l> Tree<'l> {
    pub(crate) fn new(root: &'l mut Option<Link>, height: &'l mut u8) -> Self {
        Self { root, height, counts: true }
    }

    /// A tree whose entries are not counted.
    pub(crate) fn uncounted(root: &'l mut Option<Link>, height: &'l mut u8) -> Self {
        Self { root, height, counts: false }
    }

    /// Lets `change` put, replace or take the block of page `number`, given as a slot that it may find empty or leave
    /// empty, and copies the path above it. `change` answers by how many entries the page grew.
    /// Cost: O(log n) blocks copied, fewer where the running write made them.
    pub(crate) fn change<R>(
        &mut self,
        pages: &mut Pages,
        number: u64,
        change: impl FnOnce(&mut Pages, &mut Option<Link>) -> Changed<R>,
    ) -> Result<R, OutOfMemory> {
        if self.root.is_none() {
            *self.height = 0;
            while number >> (BITS * u32::from(*self.height)) != 0 {
                *self.height += 1;
            }
        }
        while number >> (BITS * u32::from(*self.height)) != 0 {
            self.raise(pages)?;
        }
        debug_assert!(u32::from(*self.height) <= HEIGHT_MAX);
        let level = u32::from(*self.height);
        let (_, answer) = change_slot(pages, self.root, level, number, self.counts, change)?;
        if self.root.is_none() {
            *self.height = 0;
        }
        Ok(answer)
    }

    /// The block of page `number`, which the caller changes or replaces without a change in its number of entries, with
    /// the path above it copied; `None` if there is no such page. Cost: as [`Tree::change`], which it is the short way of.
    #[inline]
    pub(crate) fn page_mut(self, pages: &mut Pages, number: u64) -> Result<Option<&'l mut Link>, OutOfMemory> {
        let mut shift = BITS * u32::from(*self.height);
        if number >> shift != 0 {
            return Ok(None);
        }
        let Some(mut link) = self.root.as_mut() else { return Ok(None) };
        while shift > 0 {
            shift -= BITS;
            let (links, bytes) = pages.make_mut(link)?.into_parts();
            let index = (number >> shift) as usize % FAN_OUT;
            let position = if links.len() == FAN_OUT { Some(index) } else { position_of(mask_of(bytes), index) };
            let Some(Some(child)) = position.and_then(|position| links.get_mut(position)) else { return Ok(None) };
            link = child;
        }
        Ok(Some(link))
    }

    /// Puts a root above the root.
    fn raise(&mut self, pages: &mut Pages) -> Result<(), OutOfMemory> {
        let count = match &self.root {
            Some(root) if *self.height > 0 => {
                let root = root.block();
                (0..root.links().len()).map(|position| count_at(root.bytes(), position)).sum()
            }
            Some(page) => page_count(page.block()),
            None => 0,
        };
        // Takes the root only when there is memory for what stands above it.
        let node = new_node(pages, 1, self.counts.then_some(count), self.root)?;
        *self.root = Some(node);
        *self.height += 1;
        Ok(())
    }
}

/// A row page begins with its mask of live rows; a page of another kind counts for nothing that is asked.
fn page_count(page: BlockRef<'_>) -> u64 {
    u64::from(mask_of(page.bytes()).count_ones())
}

/// A node with one child, present in `mask`, which is taken out of `child`, unless there is no memory.
fn new_node(pages: &mut Pages, mask: u32, count: Option<u64>, child: &mut Option<Link>) -> Result<Link, OutOfMemory> {
    let mut link = pages.alloc(1, node_bytes(1, count.is_some()))?;
    if let Some(mut node) = pages.fresh(&mut link) {
        let (links, bytes) = node.parts();
        bytes.fill(0);
        bytes[..4].copy_from_slice(&mask.to_le_bytes());
        if let Some(count) = count {
            bytes[COUNTS_AT..].copy_from_slice(&(count as u32).to_le_bytes());
        }
        links[0] = child.take();
    }
    Ok(link)
}

/// How many bytes a node of so many children has.
fn node_bytes(children: usize, counts: bool) -> usize {
    if counts { COUNTS_AT + 4 * children } else { COUNTS_AT }
}

fn change_slot<R>(
    pages: &mut Pages,
    slot: &mut Option<Link>,
    level: u32,
    number: u64,
    counts: bool,
    change: impl FnOnce(&mut Pages, &mut Option<Link>) -> Changed<R>,
) -> Changed<R> {
    if level == 0 {
        return change(pages, slot);
    }
    let index = (number >> (BITS * (level - 1))) as usize % FAN_OUT;
    let Some(link) = slot else {
        let mut child = None;
        let (delta, answer) = change_slot(pages, &mut child, level - 1, number, counts, change)?;
        if child.is_some() {
            let count = counts.then_some(delta.unsigned_abs());
            let node = new_node(pages, 1 << index, count, &mut child);
            *slot = Some(node.inspect_err(|_| discard(pages, child.take()))?);
        }
        return Ok((delta, answer));
    };
    let Some(position) = position_of(mask_of(link.block().bytes()), index) else {
        let mut child = None;
        let (delta, answer) = change_slot(pages, &mut child, level - 1, number, counts, change)?;
        if child.is_some() {
            insert_child(pages, slot, index, &mut child, delta.unsigned_abs())
                .inspect_err(|_| discard(pages, child.take()))?;
        }
        return Ok((delta, answer));
    };
    let mut node = pages.make_mut(link)?;
    let (links, bytes) = node.parts();
    let (delta, answer) = change_slot(pages, &mut links[position], level - 1, number, counts, change)?;
    let emptied = links[position].is_none();
    if delta != 0 {
        add_count(bytes, position, delta);
    }
    if emptied {
        remove_child(pages, slot, index);
    }
    Ok((delta, answer))
}

/// Whether a node is of a tree that counts: it has a child, and so a count of it.
fn has_counts(node: BlockRef<'_>) -> bool {
    node.bytes().len() > COUNTS_AT
}

fn discard(pages: &mut Pages, link: Option<Link>) {
    if let Some(link) = link {
        pages.discard(link);
    }
}

/// Rebuilds a node with one more child, which is taken out of `child`, unless there is no memory: then nothing is
/// changed.
fn insert_child(
    pages: &mut Pages,
    slot: &mut Option<Link>,
    index: usize,
    child: &mut Option<Link>,
    count: u64,
) -> Result<(), OutOfMemory> {
    let (old_count, counts) =
        slot.as_ref().map_or((0, false), |old| (old.block().links().len(), has_counts(old.block())));
    let mut link = pages.alloc(old_count + 1, node_bytes(old_count + 1, counts))?;
    let Some(old) = slot.take() else { return Ok(()) };
    let mask = mask_of(old.block().bytes());
    let position = (mask & ((1 << index) - 1)).count_ones() as usize;
    let mut donor = pages.donate(old);
    for from in 0..old_count {
        let moved = pages.take(&mut donor, from);
        if let Some(mut node) = pages.fresh(&mut link) {
            node.links()[from + usize::from(from >= position)] = moved;
        }
    }
    if let Some(mut node) = pages.fresh(&mut link) {
        let (links, bytes) = node.parts();
        let old = donor.block().bytes();
        if counts {
            let split = COUNTS_AT + 4 * position;
            bytes[..split].copy_from_slice(&old[..split]);
            bytes[split..split + 4].copy_from_slice(&(count as u32).to_le_bytes());
            bytes[split + 4..].copy_from_slice(&old[split..]);
        } else {
            bytes.copy_from_slice(old);
        }
        bytes[..4].copy_from_slice(&(mask | 1 << index).to_le_bytes());
        links[position] = child.take();
    }
    pages.finish(donor);
    *slot = Some(link);
    Ok(())
}

/// Rebuilds a node without the child at `index`, whose slot is empty already; the last child takes the node with it.
/// Without memory for the new node the old one stays, with an absent link, which every walk here passes over.
fn remove_child(pages: &mut Pages, slot: &mut Option<Link>, index: usize) {
    let Some(old) = slot.take() else { return };
    let mask = mask_of(old.block().bytes());
    let position = (mask & ((1 << index) - 1)).count_ones() as usize;
    let old_count = old.block().links().len();
    if old.block().links().iter().all(Option::is_none) {
        pages.discard(old);
        return;
    }
    let counts = has_counts(old.block());
    let Ok(mut link) = pages.alloc(old_count - 1, node_bytes(old_count - 1, counts)) else {
        *slot = Some(old);
        return;
    };
    let mut donor = pages.donate(old);
    for from in (0..old_count).filter(|&from| from != position) {
        let moved = pages.take(&mut donor, from);
        if let Some(mut node) = pages.fresh(&mut link) {
            node.links()[from - usize::from(from > position)] = moved;
        }
    }
    if let Some(mut node) = pages.fresh(&mut link) {
        let bytes = node.bytes();
        let old = donor.block().bytes();
        if counts {
            let split = COUNTS_AT + 4 * position;
            bytes[..split].copy_from_slice(&old[..split]);
            bytes[split..].copy_from_slice(&old[split + 4..]);
        } else {
            bytes.copy_from_slice(old);
        }
        bytes[..4].copy_from_slice(&(mask & !(1 << index)).to_le_bytes());
    }
    pages.finish(donor);
    *slot = Some(link);
}

#[cfg(test)]
mod tests;
