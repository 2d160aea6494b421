//! The numbers of a table's rows: which comes next, and which is the last.

use crate::value::Type;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What has been numbered so far in one database, beside the `next_id` of each version. Outside the versions on purpose:
/// a rollback does not give numbers back. A fork begins with none: what its origin took back was never there.
///
/// - N1: a number that was given is never given again.
/// - N2: nor is one that a row came with, unless it was rolled back and no other is left: else one write that is refused,
///   of a row with the last key of its type, would leave the table without numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sequence(Arc<Marks>);

#[derive(Debug, Default)]
struct Marks {
    /// The lowest never given.
    given: AtomicU64,
    /// Above every one that a row came with.
    claimed: AtomicU64,
}

impl Sequence {
    /// The number that comes next in a version of this `next_id`: the lowest never given. Above `last` if there is none.
    #[inline]
    pub(crate) fn next(&self, next_id: u64, last: u64) -> u64 {
        let given = self.0.given.load(Ordering::Relaxed).max(next_id);
        let free = self.0.claimed.load(Ordering::Relaxed).max(given);
        if free <= last { free } else { given }
    }

    /// The number that is given, in a version of this `next_id`, when `ahead` more are given before; none beyond `last`.
    #[inline]
    pub(crate) fn number(&self, next_id: u64, ahead: u64, last: u64) -> Option<u64> {
        self.next(next_id, last).checked_add(ahead).filter(|number| *number <= last)
    }

    /// Notes that all below `next` are given.
    #[inline]
    pub(super) fn give(&self, next: u64) {
        self.0.given.fetch_max(next, Ordering::Relaxed);
    }

    /// Notes that a row came with a number below `next`.
    #[inline]
    pub(super) fn claim(&self, next: u64) {
        self.0.claimed.fetch_max(next, Ordering::Relaxed);
    }
}

/// The largest key that an auto-increment column of this type can be given, one below what `next_id` must express.
pub(super) fn last_key(ty: Type) -> u64 {
    match ty {
        Type::I8 => i8::MAX as u64,
        Type::U8 => u8::MAX.into(),
        Type::I16 => i16::MAX as u64,
        Type::U16 => u16::MAX.into(),
        Type::I32 => i32::MAX as u64,
        Type::U32 => u32::MAX.into(),
        Type::I64 => i64::MAX as u64,
        _ => u64::MAX - 1,
    }
}
