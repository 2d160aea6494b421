//! The usual node, with numbers for keys and ids of four bytes: found in, and made anew with one entry more or less,
//! without the generality of `node` and `run`. Whatever else a node may be is left to them.

use super::KeyRef;
use super::node::{Edge, HEAD_BYTES, KEY_BYTES, Node};
use crate::page::{Link, OutOfMemory, Pages};

pub(super) const ID_BYTES: usize = 4;

/// Keys and ids of a node that has no flag set.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    keys: &'a [[u8; KEY_BYTES]],
    ids: &'a [[u8; ID_BYTES]],
    /// Head, keys and ids as they lie.
    bytes: &'a [u8],
}

impl<'a> Words<'a> {
    /// The node of these bytes, unless it is of another form.
    #[inline(always)]
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (&[flags, _, _, _, a, b, c, d], columns) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        if flags != 0 {
            return None;
        }
        let (keys, rest) = columns.split_at_checked(KEY_BYTES * len)?;
        let (keys, ids) = (keys.as_chunks().0, rest.as_chunks().0);
        // As long as the keys, so that one look at the bounds does for both.
        Some(Self { keys, ids: ids.get(..keys.len())?, bytes })
    }

    #[inline(always)]
    pub(super) fn len(self) -> usize {
        self.keys.len()
    }

    /// How many entries from `from` on lie before (key, id), plus `from`; without a branch that depends on the entries.
    #[inline(always)]
    pub(super) fn position(self, from: usize, key: u64, id: u64) -> usize {
        let mut low = from;
        let mut size = self.len().saturating_sub(from);
        if size == 0 {
            return from;
        }
        while size > 1 {
            let half = size / 2;
            let Some(is_before) = self.is_before(low + half, key, id) else { break };
            low = std::hint::select_unpredictable(is_before, low + half, low);
            size -= half;
        }
        low + usize::from(self.is_before(low, key, id).unwrap_or(false))
    }

    /// Whether entry `index` lies before (key, id). Compared without a jump, as one number of 128 bits would not be.
    #[inline(always)]
    fn is_before(self, index: usize, key: u64, id: u64) -> Option<bool> {
        let (other, other_id) = self.entry(index)?;
        Some((other < key) | ((other == key) & (other_id < id)))
    }

    /// The child of an inner node in which (key, id) lies.
    #[inline(always)]
    pub(super) fn child_index(self, key: u64, id: u64) -> usize {
        // One past: a separator that equals the entry lies before it. The first one is never looked at (N2 of `node`).
        self.position(1, key, id.saturating_add(1)).min(self.len()).saturating_sub(1)
    }

    /// Whether entry `position` is (key, id).
    #[inline(always)]
    pub(super) fn is_at(self, position: usize, key: u64, id: u64) -> bool {
        self.entry(position) == Some((key, id))
    }

    #[inline(always)]
    fn entry(self, index: usize) -> Option<(u64, u64)> {
        let (key, id) = self.keys.get(index).zip(self.ids.get(index))?;
        Some((u64::from_le_bytes(*key), u64::from(u32::from_le_bytes(*id))))
    }

    /// A leaf with one entry more. The entries lie in three stretches that stay together: keys before it; keys behind it
    /// and ids before it; ids behind it.
    #[inline]
    pub(super) fn build_with(self, pages: &mut Pages, position: usize, key: u64, id: u32) -> Result<Link, OutOfMemory> {
        let len = self.len();
        let mut link = pages.alloc(0, leaf_bytes(len + 1))?;
        let (first, second) = (key_at(position), id_at(len, position));
        if let Some(mut block) = pages.fresh(&mut link) {
            let bytes = block.bytes();
            bytes[..first].copy_from_slice(&self.bytes[..first]);
            bytes[first..first + KEY_BYTES].copy_from_slice(&key.to_le_bytes());
            bytes[first + KEY_BYTES..second + KEY_BYTES].copy_from_slice(&self.bytes[first..second]);
            bytes[second + KEY_BYTES..second + KEY_BYTES + ID_BYTES].copy_from_slice(&id.to_le_bytes());
            bytes[second + KEY_BYTES + ID_BYTES..].copy_from_slice(&self.bytes[second..leaf_bytes(len)]);
            write_len(bytes, len + 1);
        }
        Ok(link)
    }

    /// A leaf without the entry at `position`, which there is.
    #[inline]
    pub(super) fn build_without(self, pages: &mut Pages, position: usize) -> Result<Link, OutOfMemory> {
        let len = self.len();
        let mut link = pages.alloc(0, leaf_bytes(len - 1))?;
        let (first, second) = (key_at(position), id_at(len, position));
        if let Some(mut block) = pages.fresh(&mut link) {
            let bytes = block.bytes();
            bytes[..first].copy_from_slice(&self.bytes[..first]);
            bytes[first..second - KEY_BYTES].copy_from_slice(&self.bytes[first + KEY_BYTES..second]);
            bytes[second - KEY_BYTES..].copy_from_slice(&self.bytes[second + ID_BYTES..leaf_bytes(len)]);
            write_len(bytes, len - 1);
        }
        Ok(link)
    }
}

/// The child of an inner node in which the edge lies, which is not an `after` one.
#[inline(always)]
pub(super) fn child_index(links: &[Option<Link>], bytes: &[u8], edge: &Edge<'_>) -> usize {
    match (edge.key, Words::new(bytes)) {
        (KeyRef::U64(key), Some(words)) => words.child_index(key, edge.id),
        _ => child_index_of_any(links, bytes, edge),
    }
}

/// Out of line, to keep the usual way short.
#[inline(never)]
fn child_index_of_any(links: &[Option<Link>], bytes: &[u8], edge: &Edge<'_>) -> usize {
    Node::from_parts(links, bytes).child_index(edge)
}

/// Bytes of a leaf of so many entries.
#[inline(always)]
pub(super) fn leaf_bytes(len: usize) -> usize {
    HEAD_BYTES + len * (KEY_BYTES + ID_BYTES)
}

#[inline(always)]
fn key_at(position: usize) -> usize {
    HEAD_BYTES + KEY_BYTES * position
}

#[inline(always)]
fn id_at(len: usize, position: usize) -> usize {
    key_at(len) + ID_BYTES * position
}

/// Writes the number of entries into a node's head.
#[inline(always)]
fn write_len(bytes: &mut [u8], len: usize) {
    bytes[4..HEAD_BYTES].copy_from_slice(&(len as u32).to_le_bytes());
}
