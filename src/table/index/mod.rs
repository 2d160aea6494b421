//! Indexes: persistent structures of blocks from a key to row ids, so that every version has its own.
//!
//! - [`hash`]: equality on *unique* keys. Holds a tag and the row id; the key itself is compared in the row.
//! - [`ordered`]: ranges, sorting, ranks. A B+tree over (key, row id), so that equal keys are no special case.
//!
//! A hash index that is *not* unique is an ordered tree over (hash as `u64`, row id): looking up is a scan of one key,
//! a key that a million rows share costs no more per change than any other, and counting its rows is O(log n). There is
//! nothing to write for it.
//!
//! Both store a root link and 24 bytes of plain data (`HashMeta`, `OrderedMeta`), which the caller keeps in a block of
//! its own. No index looks at rows, does I/O, or knows versions.
//!
//! - X1: an operation that answers `OutOfMemory` leaves a structure that is safe to read but may lack entries: the
//!   caller rolls the write back to where it stood before.

pub(crate) mod hash;
pub(crate) mod ordered;

/// Bytes of what an index is beside its root link.
pub(crate) const META_BYTES: usize = 24;
