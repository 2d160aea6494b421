//! Nodes of the ordered index: how they are read, and how new ones are made from runs of entries.
//!
//! A leaf holds entries, an inner node one item per child: a *separator*, the number of entries below, and the link. A
//! separator is an entry too, so both kinds of node share one layout:
//!
//! | part | bytes |
//! |---|---|
//! | head | flags (`u8`), 3 unused, number of entries (`u32`) |
//! | counts, inner nodes only | 8 n |
//! | keys: of a `u64` index | 8 n |
//! | keys: of a byte string index | the end of each key, 2 n or 4 n |
//! | ids | 4 n, or 8 n if one needs them |
//! | key bytes, byte string index only | all keys, one behind the other |
//!
//! No node has spare room: memory follows the entries, however full the nodes are. A node that changes is made anew from
//! a [`Run`], which is a sequence pieced together from old nodes and new items; splitting, merging and moving entries
//! between neighbours are all the same: a run, cut in one place or in none.
//!
//! - N1: entries rise strictly by (key, id).
//! - N2: separator i is at most the first entry below child i, and above the last one below child i - 1. Separators of
//!   byte strings are cut as short as that allows, their id is 0 where the key alone tells the sides apart. The first
//!   separator of a node is never looked at: what counts is the one that its parent has for it.
//! - N3: an inner node has at least one child.

use super::{KeyKind, KeyRef};
use crate::page::{BlockRef, Link, OutOfMemory, Pages};
use std::cmp::Ordering;

const HEAD_BYTES: usize = 8;
const COUNT_BYTES: usize = 8;
const KEY_BYTES: usize = 8;
const WIDE_IDS: u8 = 1;
const BYTE_KEYS: u8 = 2;
const WIDE_ENDS: u8 = 4;

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
enum Keys<'a> {
    Numbers(&'a [[u8; KEY_BYTES]]),
    Strings(Ends<'a>, &'a [u8]),
}

#[derive(Clone, Copy)]
enum Ends<'a> {
    Narrow(&'a [[u8; 2]]),
    Wide(&'a [[u8; 4]]),
}

#[derive(Clone, Copy)]
enum Ids<'a> {
    Narrow(&'a [[u8; 4]]),
    Wide(&'a [[u8; 8]]),
}

/// A node's columns.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    len: usize,
    counts: &'a [[u8; COUNT_BYTES]],
    keys: Keys<'a>,
    ids: Ids<'a>,
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
    fn get(self, index: usize) -> usize {
        match self {
            Self::Narrow(ends) => ends.get(index).map_or(0, |&end| usize::from(u16::from_le_bytes(end))),
            Self::Wide(ends) => ends.get(index).map_or(0, |&end| u32::from_le_bytes(end) as usize),
        }
    }

    /// Where key `index` starts.
    #[inline(always)]
    fn start(self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |previous| self.get(previous))
    }
}

impl<'a> Node<'a> {
    #[inline(always)]
    pub(super) fn new(block: BlockRef<'a>) -> Self {
        let (links, bytes) = (block.links(), block.bytes());
        let (flags, len) = match bytes.first_chunk::<HEAD_BYTES>() {
            Some(&[flags, _, _, _, a, b, c, d]) => (flags, u32::from_le_bytes([a, b, c, d]) as usize),
            None => (0, 0),
        };
        let mut rest = bytes.get(HEAD_BYTES..).unwrap_or_default();
        let counts = lanes(&mut rest, if links.is_empty() { 0 } else { len });
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

    fn part(self, from: usize, to: usize) -> Piece<'a> {
        Piece::Part { node: self, from, to }
    }

    /// How many of the node's entries from `from` on lie before the edge, plus `from`. Cost: O(log n).
    #[inline(always)]
    fn position_from(self, from: usize, edge: &Edge<'_>) -> usize {
        let first_equal = match (self.keys, edge.key) {
            (Keys::Numbers(keys), KeyRef::U64(key)) => lower_bound(keys, from, key),
            (Keys::Strings(..), KeyRef::Bytes(key)) => {
                partition(from, self.len, |index| matches!(self.key(index), KeyRef::Bytes(other) if other < key))
            }
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

/// A part of a run.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Part { node: Node<'a>, from: usize, to: usize },
    Items(&'a [Item<'a>]),
}

impl<'a> Piece<'a> {
    const NONE: Self = Self::Items(&[]);

    fn len(self) -> usize {
        match self {
            Self::Part { from, to, .. } => to - from,
            Self::Items(items) => items.len(),
        }
    }

    fn slice(self, first: usize, last: usize) -> Self {
        match self {
            Self::Part { node, from, .. } => Self::Part { node, from: from + first, to: from + last },
            Self::Items(items) => Self::Items(&items[first..last]),
        }
    }

    fn item(self, index: usize) -> Item<'a> {
        match self {
            Self::Part { node, from, .. } => node.item(from + index),
            Self::Items(items) => items[index],
        }
    }

    fn key_bytes(self) -> usize {
        match self {
            Self::Part { node: Node { keys: Keys::Strings(ends, _), .. }, from, to } => {
                ends.start(to) - ends.start(from)
            }
            Self::Part { .. } => 0,
            Self::Items(items) => items.iter().map(|item| item.key.bytes_len()).sum(),
        }
    }

    fn has_wide_ids(self) -> bool {
        match self {
            Self::Part { node: Node { ids: Ids::Narrow(_), .. }, .. } => false,
            Self::Part { node: Node { ids: Ids::Wide(ids), .. }, from, to } => {
                ids[from..to].iter().any(|&id| u64::from_le_bytes(id) > u64::from(u32::MAX))
            }
            Self::Items(items) => items.iter().any(|item| item.id > u64::from(u32::MAX)),
        }
    }
}

/// A sequence of entries, or of an inner node's items, pieced together from old nodes and new items.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pieces: [Piece<'a>; 3],
    kind: KeyKind,
    is_leaf: bool,
}

impl<'a> Run<'a> {
    fn new(kind: KeyKind, is_leaf: bool, pieces: [Piece<'a>; 3]) -> Self {
        Self { pieces, kind, is_leaf }
    }

    pub(super) fn of_items(kind: KeyKind, is_leaf: bool, items: &'a [Item<'a>]) -> Self {
        Self::new(kind, is_leaf, [Piece::Items(items), Piece::NONE, Piece::NONE])
    }

    /// What two leaves hold.
    pub(super) fn of_leaves(kind: KeyKind, left: Node<'a>, right: Node<'a>) -> Self {
        Self::new(kind, true, [left.part(0, left.len), right.part(0, right.len), Piece::NONE])
    }

    /// What two inner nodes hold; `between` stands for the first item of the right one (N2).
    pub(super) fn of_inner(kind: KeyKind, left: Node<'a>, between: &'a [Item<'a>], right: Node<'a>) -> Self {
        let behind = right.part(1.min(right.len), right.len);
        Self::new(kind, false, [left.part(0, left.len), Piece::Items(between), behind])
    }

    /// The node's entries, with `items` in the place of `from..to`.
    pub(super) fn spliced(kind: KeyKind, node: Node<'a>, from: usize, to: usize, items: &'a [Item<'a>]) -> Self {
        Self::new(kind, node.is_leaf(), [node.part(0, from), Piece::Items(items), node.part(to, node.len)])
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }

    pub(super) fn slice(&self, first: usize, last: usize) -> Self {
        let mut at = 0;
        let pieces = self.pieces.map(|piece| {
            let len = piece.len();
            let (from, to) = (first.saturating_sub(at).min(len), last.saturating_sub(at).min(len));
            at += len;
            piece.slice(from, to.max(from))
        });
        Self { pieces, ..*self }
    }

    pub(super) fn item(&self, mut index: usize) -> Option<Item<'a>> {
        for piece in self.pieces {
            if index < piece.len() {
                return Some(piece.item(index));
            }
            index -= piece.len();
        }
        None
    }

    fn key_bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.key_bytes()).sum()
    }

    fn has_wide_ids(&self) -> bool {
        self.pieces.iter().any(|piece| piece.has_wide_ids())
    }

    /// What one entry takes beside the bytes of its key; a link included.
    fn fixed_bytes(&self, wide_ids: bool, wide_ends: bool) -> usize {
        let key = match self.kind {
            KeyKind::U64 => KEY_BYTES,
            KeyKind::Bytes => {
                if wide_ends {
                    4
                } else {
                    2
                }
            }
        };
        let child = if self.is_leaf { 0 } else { COUNT_BYTES + size_of::<Option<Link>>() };
        key + child + if wide_ids { 8 } else { 4 }
    }

    /// The size of a node of this run, links included.
    pub(super) fn size(&self) -> usize {
        let key_bytes = self.key_bytes();
        let fixed = self.fixed_bytes(self.has_wide_ids(), key_bytes > usize::from(u16::MAX));
        HEAD_BYTES + self.len() * fixed + key_bytes
    }

    /// The size without the head, which a sum over parts of a node leaves out.
    pub(super) fn body_size(&self) -> usize {
        self.size() - HEAD_BYTES
    }

    /// Where to cut so that the left part has about `left_bytes` bytes and both have at least `least` entries.
    pub(super) fn cut(&self, left_bytes: usize, least: usize) -> usize {
        let len = self.len();
        let fixed = self.fixed_bytes(self.has_wide_ids(), false);
        let at = match self.kind {
            KeyKind::U64 => left_bytes / fixed,
            KeyKind::Bytes => {
                let mut used = 0;
                let mut at = 0;
                while used < left_bytes && at < len {
                    used += fixed + self.item(at).map_or(0, |item| item.key.bytes_len());
                    at += 1;
                }
                at
            }
        };
        let least = least.min(len / 2);
        at.clamp(least, len - least)
    }

    /// A new node of this run; an inner one's links are absent still.
    pub(super) fn build(&self, pages: &mut Pages<'_>) -> Result<Link, OutOfMemory> {
        let (len, key_bytes) = (self.len(), self.key_bytes());
        let (wide_ids, wide_ends) = (self.has_wide_ids(), key_bytes > usize::from(u16::MAX));
        let link_count = if self.is_leaf { 0 } else { len };
        let links_bytes = link_count * size_of::<Option<Link>>();
        let bytes_len = HEAD_BYTES + len * self.fixed_bytes(wide_ids, wide_ends) + key_bytes - links_bytes;
        let mut link = pages.alloc(link_count, bytes_len)?;
        if let Some(mut block) = pages.fresh(&mut link) {
            let (head, mut rest) = block.bytes().split_at_mut(HEAD_BYTES);
            let byte_keys = self.kind == KeyKind::Bytes;
            let flags =
                u8::from(wide_ids) * WIDE_IDS + u8::from(byte_keys) * BYTE_KEYS + u8::from(wide_ends) * WIDE_ENDS;
            head[..4].copy_from_slice(&[flags, 0, 0, 0]);
            head[4..].copy_from_slice(&(len as u32).to_le_bytes());
            if !self.is_leaf {
                self.fill_counts(lanes_mut(&mut rest, len));
            }
            match (self.kind, wide_ends) {
                (KeyKind::U64, _) => self.fill_numbers(lanes_mut(&mut rest, len)),
                (_, false) => self.fill_ends(lanes_mut(&mut rest, len), |end| (end as u16).to_le_bytes()),
                (_, true) => self.fill_ends(lanes_mut(&mut rest, len), |end| (end as u32).to_le_bytes()),
            }
            if wide_ids {
                self.fill_wide_ids(lanes_mut(&mut rest, len));
            } else {
                self.fill_narrow_ids(lanes_mut(&mut rest, len));
            }
            if byte_keys {
                self.fill_key_bytes(rest);
            }
        }
        Ok(link)
    }

    fn fill_counts(&self, mut to: &mut [[u8; COUNT_BYTES]]) {
        for piece in self.pieces {
            let place = front(&mut to, piece.len());
            match piece {
                Piece::Part { node, from, to } => place.copy_from_slice(&node.counts[from..to]),
                Piece::Items(items) => each(place, items, |item| item.count.to_le_bytes()),
            }
        }
    }

    fn fill_numbers(&self, mut to: &mut [[u8; KEY_BYTES]]) {
        for piece in self.pieces {
            let place = front(&mut to, piece.len());
            match piece {
                Piece::Part { node: Node { keys: Keys::Numbers(keys), .. }, from, to } => {
                    place.copy_from_slice(&keys[from..to]);
                }
                Piece::Part { .. } => debug_assert!(false, "all nodes of an index have keys of one kind"),
                Piece::Items(items) => each(place, items, |item| match item.key {
                    KeyRef::U64(key) => key.to_le_bytes(),
                    KeyRef::Bytes(_) => [0; 8],
                }),
            }
        }
    }

    fn fill_ends<const BYTES: usize>(&self, mut to: &mut [[u8; BYTES]], encode: impl Fn(usize) -> [u8; BYTES]) {
        let mut end = 0;
        for piece in self.pieces {
            let place = front(&mut to, piece.len());
            match piece {
                Piece::Part { node: Node { keys: Keys::Strings(ends, _), .. }, from, .. } => {
                    let start = ends.start(from);
                    for (index, place) in place.iter_mut().enumerate() {
                        *place = encode(end + ends.get(from + index) - start);
                    }
                }
                Piece::Part { .. } => debug_assert!(false, "all nodes of an index have keys of one kind"),
                Piece::Items(items) => {
                    let mut end = end;
                    for (place, item) in place.iter_mut().zip(items) {
                        end += item.key.bytes_len();
                        *place = encode(end);
                    }
                }
            }
            end += piece.key_bytes();
        }
    }

    fn fill_key_bytes(&self, mut to: &mut [u8]) {
        for piece in self.pieces {
            let place = front(&mut to, piece.key_bytes());
            match piece {
                Piece::Part { node: Node { keys: Keys::Strings(ends, bytes), .. }, from, to } => {
                    place.copy_from_slice(&bytes[ends.start(from)..ends.start(to)]);
                }
                Piece::Part { .. } => {}
                Piece::Items(items) => {
                    let mut place = place;
                    for item in items {
                        if let KeyRef::Bytes(key) = item.key {
                            front(&mut place, key.len()).copy_from_slice(key);
                        }
                    }
                }
            }
        }
    }

    fn fill_narrow_ids(&self, mut to: &mut [[u8; 4]]) {
        for piece in self.pieces {
            let place = front(&mut to, piece.len());
            match piece {
                Piece::Part { node: Node { ids: Ids::Narrow(ids), .. }, from, to } => {
                    place.copy_from_slice(&ids[from..to]);
                }
                Piece::Part { node: Node { ids: Ids::Wide(ids), .. }, from, to } => {
                    each(place, &ids[from..to], |&id| (u64::from_le_bytes(id) as u32).to_le_bytes());
                }
                Piece::Items(items) => each(place, items, |item| (item.id as u32).to_le_bytes()),
            }
        }
    }

    fn fill_wide_ids(&self, mut to: &mut [[u8; 8]]) {
        for piece in self.pieces {
            let place = front(&mut to, piece.len());
            match piece {
                Piece::Part { node: Node { ids: Ids::Narrow(ids), .. }, from, to } => {
                    each(place, &ids[from..to], |&id| u64::from(u32::from_le_bytes(id)).to_le_bytes());
                }
                Piece::Part { node: Node { ids: Ids::Wide(ids), .. }, from, to } => {
                    place.copy_from_slice(&ids[from..to]);
                }
                Piece::Items(items) => each(place, items, |item| item.id.to_le_bytes()),
            }
        }
    }
}

/// Cuts `len` lanes off the front.
fn lanes_mut<'a, const BYTES: usize>(rest: &mut &'a mut [u8], len: usize) -> &'a mut [[u8; BYTES]] {
    front(rest, len * BYTES).as_chunks_mut().0
}

/// Cuts `len` places off the front.
fn front<'a, T>(rest: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let (front, behind) = std::mem::take(rest).split_at_mut(len);
    *rest = behind;
    front
}

fn each<T, S>(places: &mut [T], sources: &[S], value: impl Fn(&S) -> T) {
    for (place, source) in places.iter_mut().zip(sources) {
        *place = value(source);
    }
}

/// Changes the count of a child in place.
pub(super) fn set_count(bytes: &mut [u8], index: usize, count: u64) {
    let at = HEAD_BYTES + COUNT_BYTES * index;
    if let Some(place) = bytes.get_mut(at..at + COUNT_BYTES) {
        place.copy_from_slice(&count.to_le_bytes());
    }
}

/// Adds to the count of a child in place.
pub(super) fn add_count(bytes: &mut [u8], index: usize, delta: i64) {
    let at = HEAD_BYTES + COUNT_BYTES * index;
    let count = bytes.get(at..).and_then(|count| count.first_chunk()).map_or(0, |count| u64::from_le_bytes(*count));
    set_count(bytes, index, count.wrapping_add_signed(delta));
}
