//! Runs: what new nodes of the ordered index are made from.
//!
//! A node that changes is made anew. A [`Run`] is the sequence of entries that it will hold, pieced together from parts
//! of old nodes and new items. Inserting, removing, splitting, merging, and moving entries between neighbours are then
//! all the same: a run, built whole or cut in one place and built twice.

use super::node::{BYTE_KEYS, COUNT_BYTES, HEAD_BYTES, Ids, Item, KEY_BYTES, Keys, Node, WIDE_ENDS, WIDE_IDS};
use super::{KeyKind, KeyRef};
use crate::page::{Link, OutOfMemory, Pages};

/// A part of a run.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Part { node: Node<'a>, from: usize, to: usize },
    Items(&'a [Item<'a>]),
}

impl<'a> Piece<'a> {
    const NONE: Self = Self::Items(&[]);

    fn of(node: Node<'a>, from: usize, to: usize) -> Self {
        Self::Part { node, from, to }
    }

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
        Self::new(kind, true, [Piece::of(left, 0, left.len), Piece::of(right, 0, right.len), Piece::NONE])
    }

    /// What two inner nodes hold; `between` stands for the first item of the right one (N2).
    pub(super) fn of_inner(kind: KeyKind, left: Node<'a>, between: &'a [Item<'a>], right: Node<'a>) -> Self {
        let behind = Piece::of(right, 1.min(right.len), right.len);
        Self::new(kind, false, [Piece::of(left, 0, left.len), Piece::Items(between), behind])
    }

    /// The node's entries, with `items` in the place of `from..to`.
    pub(super) fn spliced(kind: KeyKind, node: Node<'a>, from: usize, to: usize, items: &'a [Item<'a>]) -> Self {
        Self::new(kind, node.is_leaf(), [Piece::of(node, 0, from), Piece::Items(items), Piece::of(node, to, node.len)])
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
    pub(super) fn build(&self, pages: &mut Pages) -> Result<Link, OutOfMemory> {
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
                self.fill_key_bytes(front(&mut rest, key_bytes));
            }
            if !self.is_leaf {
                self.fill_counts(rest.as_chunks_mut().0);
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
