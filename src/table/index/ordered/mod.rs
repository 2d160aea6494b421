//! The ordered index: a copy-on-write B+tree over (key, row id).
//!
//! Keys are `u64`s or byte strings, whose order is the order of the values they stand for; making them so is the
//! caller's. Equal keys are told apart by their ids, so that any number of rows may share one. Inner nodes count what is
//! below them: `count`, `nth` and ranks cost O(log n).
//!
//! - `node`: the layout of a node. `run`: making new ones.
//! - `read`: scans, counts, ranks.
//! - `words`: the usual node, numbers under short ids, found in and made anew the short way.
//! - `write`: insert, remove. `load`: bulk load.
//!
//! - O1: all leaves are equally deep: `height` levels of inner nodes are above them.
//! - O2: no node is empty; an empty index has no root.

mod load;
mod node;
mod read;
mod run;
#[cfg(test)]
mod tests;
mod words;
mod write;

pub(crate) use load::Put;
pub(crate) use read::OrderedRef;
pub(crate) use write::OrderedIndex;

use super::META_BYTES;
use std::cmp::Ordering;

/// The most levels of inner nodes. Inner nodes but the root split into halves of at least four children, so that no
/// number of entries needs more.
const HEIGHT_MAX: usize = 40;

/// A key, or one borrowed from a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyRef<'a> {
    /// A number, or a value mapped to one of the same order.
    U64(u64),
    /// A byte string, or a value mapped to one of the same order; usually at most 4 KiB.
    Bytes(&'a [u8]),
}

/// What the keys of an index are; all are of one kind. A key of the other kind is in no index: it is not found, and
/// not inserted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum KeyKind {
    #[default]
    U64,
    Bytes,
}

impl KeyRef<'_> {
    pub(crate) fn kind(self) -> KeyKind {
        match self {
            Self::U64(_) => KeyKind::U64,
            Self::Bytes(_) => KeyKind::Bytes,
        }
    }

    #[inline(always)]
    fn bytes_len(self) -> usize {
        match self {
            Self::U64(_) => 0,
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// The first `len` bytes of a byte string; a number stays whole.
    fn cut(self, len: usize) -> Self {
        match self {
            Self::U64(_) => self,
            Self::Bytes(bytes) => Self::Bytes(bytes.get(..len).unwrap_or(bytes)),
        }
    }

    /// A key that is above no other of its kind.
    fn least(kind: KeyKind) -> Self {
        match kind {
            KeyKind::U64 => Self::U64(0),
            KeyKind::Bytes => Self::Bytes(&[]),
        }
    }

    #[inline(always)]
    fn order(self, other: KeyRef<'_>) -> Ordering {
        match (self, other) {
            (Self::U64(a), KeyRef::U64(b)) => a.cmp(&b),
            (Self::Bytes(a), KeyRef::Bytes(b)) => a.cmp(b),
            (Self::U64(_), KeyRef::Bytes(_)) => Ordering::Less,
            (Self::Bytes(_), KeyRef::U64(_)) => Ordering::Greater,
        }
    }
}

/// What the index is, beside its root link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OrderedMeta {
    entry_count: u64,
    /// Levels of inner nodes.
    height: u8,
    kind: KeyKind,
}

impl OrderedMeta {
    /// Of an empty index.
    pub(crate) fn new(kind: KeyKind) -> Self {
        Self { entry_count: 0, height: 0, kind }
    }

    /// The bytes for the caller to keep.
    pub(crate) fn to_bytes(self) -> [u8; META_BYTES] {
        let mut bytes = [0; META_BYTES];
        bytes[..8].copy_from_slice(&self.entry_count.to_le_bytes());
        bytes[8] = self.height;
        bytes[9] = match self.kind {
            KeyKind::U64 => 0,
            KeyKind::Bytes => 1,
        };
        bytes
    }

    /// What [`OrderedMeta::to_bytes`] wrote; all zeros are an empty index of `u64` keys.
    pub(crate) fn from_bytes(bytes: &[u8; META_BYTES]) -> Self {
        Self {
            entry_count: bytes.first_chunk().map_or(0, |count| u64::from_le_bytes(*count)),
            height: bytes[8].min(HEIGHT_MAX as u8),
            kind: if bytes[9] == 0 { KeyKind::U64 } else { KeyKind::Bytes },
        }
    }
}
