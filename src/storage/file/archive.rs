//! Sealed segments: which there are, and their release.

use super::files::{Files, failed, uninterrupted};
use super::layout::{WAL, archive_path};
use super::syncs::Syncs;
use crate::error::Result;
use std::collections::VecDeque;
use std::io;

/// A segment that is no longer written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) first: u64,
    /// None for segments that a checkpoint covered already when the storage was opened, unless they are to be kept: they are
    /// not read then.
    pub(super) bytes: Option<u64>,
}

/// The sealed segments, by rising first version.
#[derive(Debug, Clone, Default)]
pub(super) struct Archive {
    segments: VecDeque<Sealed>,
}

impl Archive {
    /// Of the segments with these first versions.
    pub(super) fn of(mut firsts: Vec<u64>) -> Self {
        firsts.sort_unstable();
        Self { segments: firsts.into_iter().map(|first| Sealed { first, bytes: None }).collect() }
    }

    pub(super) fn add(&mut self, first: u64, bytes: u64) {
        self.segments.push_back(Sealed { first, bytes: Some(bytes) });
    }

    pub(super) fn note_bytes(&mut self, first: u64, bytes: u64) {
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.first == first) {
            segment.bytes = Some(bytes);
        }
    }

    /// Asks for the lengths that are not known. What cannot be told stays out of a figure, and is no error.
    pub(super) fn measure(&mut self, files: &dyn Files) {
        for segment in self.segments.iter_mut().filter(|segment| segment.bytes.is_none()) {
            let length = || files.open(&archive_path(segment.first))?.length();
            segment.bytes = uninterrupted(length).ok();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    /// The first version of the newest.
    pub(super) fn newest(&self) -> Option<u64> {
        self.segments.back().map(|segment| segment.first)
    }

    /// Bytes of those whose length is known.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().filter_map(|segment| segment.bytes).sum()
    }

    /// The first version of each, and that of the segment behind it; `live` is the first version of the live one.
    pub(super) fn ranges(&self, live: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let next = self.segments.iter().skip(1).map(|segment| segment.first).chain([live]);
        self.segments.iter().map(|segment| segment.first).zip(next)
    }

    /// Those needed for the versions above `covered`, oldest first.
    pub(super) fn needed(&self, covered: u64, live: u64) -> Vec<(u64, u64)> {
        self.ranges(live).filter(|(_, next)| *next > covered.saturating_add(1)).collect()
    }

    /// The first version of the oldest, if it holds nothing above `through`.
    pub(super) fn oldest_within(&self, through: u64, live: u64) -> Option<u64> {
        let (first, next) = self.ranges(live).next()?;
        (next <= through.saturating_add(1)).then_some(first)
    }

    /// The newest is none of them.
    pub(super) fn forget_newest(&mut self) {
        self.segments.pop_back();
    }

    /// The oldest is gone.
    pub(super) fn forget_oldest(&mut self) {
        self.segments.pop_front();
    }
}

/// Removes the file of a segment, durably: names may reach the disk in any order, and if a later segment were gone before
/// this one, the gap would look like damage.
pub(super) fn remove(files: &dyn Files, syncs: &Syncs, first: u64) -> Result<()> {
    let path = archive_path(first);
    match uninterrupted(|| files.remove(&path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, error)),
        _ => syncs.sync_folder(files, WAL),
    }
}
