//! Nodes of the ordered index: their layout and their invariants, and searching one.
//!
//! A leaf holds entries, an inner node one item per child: a *separator*, the number of entries below, and the link. A
//! separator is an entry too, so both kinds of node share one layout:
//!
//! | part | bytes |
//! |---|---|
//! | head | flags (`u8`), 3 unused, number of entries (`u32`) |
//! | keys: of a `u64` index | 8 n |
//! | keys: of a byte string index | the end of each key, 2 n or 4 n |
//! | ids | 4 n, or 8 n if one needs them |
//! | key bytes, byte string index only | all keys, one behind the other |
//! | counts, inner nodes only | 8 n |
//!
//! The counts stand last, for a search passes them over.
//!
//! No node has spare room: memory follows the entries, however full the nodes are. Making nodes is `run`'s.
//!
//! - N1: entries rise strictly by (key, id).
//! - N2: separator i is at most the first entry below child i, and above the last one below child i - 1. Separators of
//!   byte strings are cut as short as that allows, their id is 0 where the key alone tells the sides apart. The first
//!   separator of a node is never looked at: what counts is the one that its parent has for it.
//! - N3: an inner node has at least one child.

use super::KeyRef;
use crate::page::{BlockRef, Link};
use std::cmp::Ordering;

pub(super) const HEAD_BYTES: usize = 8;
pub(super) const COUNT_BYTES: usize = 8;
pub(super) const KEY_BYTES: usize = 8;
/// As many lines of a node as a search may look at: all of a leaf, links and keys of an inner node.
const SEARCH_LINES: usize = 16;
pub(super) const WIDE_IDS: u8 = 1;
pub(super) const BYTE_KEYS: u8 = 2;
pub(super) const WIDE_ENDS: u8 = 4;

/// An entry, or what an inner node has for a child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) key: KeyRef<'a>,
    pub(super) id: u64,
    /// The entries below a child; unused in leaves.
    pub(super) count: u64,
}

/// A point between entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge<'a> {
    pub(super) key: KeyRef<'a>,
    pub(super) id: u64,
    /// Whether the entry (key, id) lies before the edge.
    pub(super) after: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Keys<'a> {
    Numbers(&'a [[u8; KEY_BYTES]]),
    Strings(Ends<'a>, &'a [u8]),
}

#[derive(Clone, Copy)]
pub(super) enum Ends<'a> {
    Narrow(&'a [[u8; 2]]),
    Wide(&'a [[u8; 4]]),
}

#[derive(Clone, Copy)]
pub(super) enum Ids<'a> {
    Narrow(&'a [[u8; 4]]),
    Wide(&'a [[u8; 8]]),
}

/// A node's columns.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) len: usize,
    pub(super) counts: &'a [[u8; COUNT_BYTES]],
    pub(super) keys: Keys<'a>,
    pub(super) ids: Ids<'a>,
    links: &'a [Option<Link>],
}

/// Cuts `len` lanes off the front.
#[inline(always)]
fn lanes<'a, const BYTES: usize>(rest: &mut &'a [u8], len: usize) -> &'a [[u8; BYTES]] {
    let Some((lanes, behind)) = len.checked_mul(BYTES).and_then(|bytes| rest.split_at_checked(bytes)) else {
        return &[];
    };
    *rest = behind;
    lanes.as_chunks().0
}

impl Ends<'_> {
    #[inline(always)]
    pub(super) fn get(self, index: usize) -> usize {
        match self {
            Self::Narrow(ends) => ends.get(index).map_or(0, |&end| usize::from(u16::from_le_bytes(end))),
            Self::Wide(ends) => ends.get(index).map_or(0, |&end| u32::from_le_bytes(end) as usize),
        }
    }

    /// Where key `index` starts.
    #[inline(always)]
    pub(super) fn start(self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |previous| self.get(previous))
    }
}

impl<'a> Node<'a> {
    #[inline(always)]
    pub(super) fn new(block: BlockRef<'a>) -> Self {
        Self::from_parts(block.links(), block.bytes())
    }

    /// The same of a block's links and bytes.
    #[inline(always)]
    pub(super) fn from_parts(links: &'a [Option<Link>], bytes: &'a [u8]) -> Self {
        let (flags, len) = match bytes.first_chunk::<HEAD_BYTES>() {
            Some(&[flags, _, _, _, a, b, c, d]) => (flags, u32::from_le_bytes([a, b, c, d]) as usize),
            None => (0, 0),
        };
        let mut rest = bytes.get(HEAD_BYTES..).unwrap_or_default();
        let counts = match rest.len().checked_sub(COUNT_BYTES.saturating_mul(len)) {
            Some(at) if !links.is_empty() => {
                let (columns, counts) = rest.split_at(at);
                rest = columns;
                counts.as_chunks().0
            }
            _ => &[],
        };
        let (keys, ids) = if flags & BYTE_KEYS == 0 {
            let keys = Keys::Numbers(lanes(&mut rest, len));
            (keys, Self::ids(flags, &mut rest, len))
        } else {
            let ends = if flags & WIDE_ENDS == 0 {
                Ends::Narrow(lanes(&mut rest, len))
            } else {
                Ends::Wide(lanes(&mut rest, len))
            };
            let ids = Self::ids(flags, &mut rest, len);
            (Keys::Strings(ends, rest), ids)
        };
        Self { len, counts, keys, ids, links }
    }

    #[inline(always)]
    fn ids(flags: u8, rest: &mut &'a [u8], len: usize) -> Ids<'a> {
        if flags & WIDE_IDS == 0 { Ids::Narrow(lanes(rest, len)) } else { Ids::Wide(lanes(rest, len)) }
    }

    #[inline(always)]
    pub(super) fn len(self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(super) fn is_leaf(self) -> bool {
        self.links.is_empty()
    }

    #[inline(always)]
    pub(super) fn child(self, index: usize) -> Option<BlockRef<'a>> {
        self.links.get(index)?.as_ref().map(Link::block)
    }

    #[inline(always)]
    pub(super) fn count(self, index: usize) -> u64 {
        self.counts.get(index).map_or(0, |&count| u64::from_le_bytes(count))
    }

    /// The entries below the first `index` children.
    pub(super) fn count_before(self, index: usize) -> u64 {
        self.counts.iter().take(index).map(|&count| u64::from_le_bytes(count)).sum()
    }

    /// The entries of the node's subtree.
    pub(super) fn total(self) -> u64 {
        if self.is_leaf() { self.len as u64 } else { self.count_before(self.len) }
    }

    #[inline(always)]
    pub(super) fn key(self, index: usize) -> KeyRef<'a> {
        match self.keys {
            Keys::Numbers(keys) => KeyRef::U64(keys.get(index).map_or(0, |&key| u64::from_le_bytes(key))),
            Keys::Strings(ends, bytes) => {
                KeyRef::Bytes(bytes.get(ends.start(index)..ends.get(index)).unwrap_or_default())
            }
        }
    }

    #[inline(always)]
    pub(super) fn id(self, index: usize) -> u64 {
        match self.ids {
            Ids::Narrow(ids) => ids.get(index).map_or(0, |&id| u64::from(u32::from_le_bytes(id))),
            Ids::Wide(ids) => ids.get(index).map_or(0, |&id| u64::from_le_bytes(id)),
        }
    }

    #[inline(always)]
    pub(super) fn item(self, index: usize) -> Item<'a> {
        Item { key: self.key(index), id: self.id(index), count: self.count(index) }
    }

    /// How many of the node's entries from `from` on lie before the edge, plus `from`. Cost: O(log n).
    #[inline(always)]
    fn position_from(self, from: usize, edge: &Edge<'_>) -> usize {
        let first_equal = match (self.keys, edge.key) {
            (Keys::Numbers(keys), KeyRef::U64(key)) => lower_bound(keys, from, key),
            (Keys::Strings(..), KeyRef::Bytes(key)) => partition(
                from,
                self.len,
                |index| matches!(self.key(index), KeyRef::Bytes(other) if is_below(other, key)),
            ),
            // A key of the other kind; see `KeyRef::kind`.
            _ => return from,
        };
        if first_equal == self.len || self.key(first_equal).order(edge.key) != Ordering::Equal {
            return first_equal;
        }
        partition(first_equal, self.len, |index| {
            let before = self.id(index) < edge.id || edge.after && self.id(index) == edge.id;
            before && self.key(index).order(edge.key) == Ordering::Equal
        })
    }

    /// How many of a leaf's entries lie before the edge.
    #[inline(always)]
    pub(super) fn position(self, edge: &Edge<'_>) -> usize {
        self.position_from(0, edge)
    }

    /// The child of an inner node in which the edge lies: all entries of children before it are before the edge, all
    /// entries of children behind it are behind.
    #[inline(always)]
    pub(super) fn child_index(self, edge: &Edge<'_>) -> usize {
        self.position_from(1.min(self.len), &Edge { after: true, ..*edge }).saturating_sub(1)
    }
}

/// Asks for a node before it is searched: a binary search would otherwise wait for one line after the other.
#[inline(always)]
pub(super) fn prefetch(block: BlockRef<'_>) {
    for line in 0..SEARCH_LINES {
        block.prefetch(64 * line);
    }
}

/// How many of `from..to` satisfy `before`, which holds for a prefix of them, plus `from`.
#[inline(always)]
fn partition(from: usize, to: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (from, to);
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// `a < b`, for keys that mostly differ within eight bytes.
#[inline(always)]
fn is_below(a: &[u8], b: &[u8]) -> bool {
    match (a.first_chunk::<8>(), b.first_chunk::<8>()) {
        (Some(a), Some(b)) if a != b => u64::from_be_bytes(*a) < u64::from_be_bytes(*b),
        _ => a < b,
    }
}

/// As [`partition`] by `keys[index] < key`, without a branch that depends on the keys.
#[inline(always)]
fn lower_bound(keys: &[[u8; KEY_BYTES]], from: usize, key: u64) -> usize {
    let mut low = from;
    let mut size = keys.len().saturating_sub(from);
    while size > 0 {
        let half = size.div_ceil(2);
        let probe = keys.get(low + half - 1).map_or(0, |&probe| u64::from_le_bytes(probe));
        low = std::hint::select_unpredictable(probe < key, low + half, low);
        size -= half;
    }
    low
}

/// The separator between two entries that follow each other: how many bytes of the right key, and the id (N2).
pub(super) fn separator(left: KeyRef<'_>, right: KeyRef<'_>, right_id: u64) -> (usize, u64) {
    match (left, right) {
        (KeyRef::Bytes(left), KeyRef::Bytes(right)) => {
            let common = left.iter().zip(right).take_while(|(a, b)| a == b).count();
            if left == right { (common, right_id) } else { (common + 1, 0) }
        }
        _ => (KEY_BYTES, if left.order(right) == Ordering::Equal { right_id } else { 0 }),
    }
}

/// The place of the count of the child that is the last but `behind - 1` of an inner node: counts stand last.
#[inline(always)]
fn count_place(bytes: &mut [u8], behind: usize) -> Option<&mut [u8; COUNT_BYTES]> {
    let at = bytes.len().checked_sub(behind * COUNT_BYTES)?;
    bytes.get_mut(at..)?.first_chunk_mut()
}

/// Changes the count of a child in place; see [`count_place`].
pub(super) fn set_count(bytes: &mut [u8], behind: usize, count: u64) {
    if let Some(place) = count_place(bytes, behind) {
        *place = count.to_le_bytes();
    }
}

/// Adds to the count of a child in place; see [`count_place`].
#[inline(always)]
pub(super) fn add_count(bytes: &mut [u8], behind: usize, delta: i64) {
    if let Some(place) = count_place(bytes, behind) {
        *place = u64::from_le_bytes(*place).wrapping_add_signed(delta).to_le_bytes();
    }
}
