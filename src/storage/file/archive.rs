//! Sealed segments: which there are, and their release.

use super::files::{Files, failed, uninterrupted};
use super::layout::archive_path;
use crate::error::Result;
use std::collections::VecDeque;
use std::io;

/// A segment that is no longer written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) first: u64,
    /// None for segments that a checkpoint covered already when the storage was opened: they are not read then.
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

    pub(super) fn len(&self) -> usize {
        self.segments.len()
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

    /// Removes those that hold nothing above `through`, oldest first.
    pub(super) fn release(&mut self, files: &dyn Files, through: u64, live: u64) -> Result<()> {
        let covered = self.ranges(live).take_while(|(_, next)| *next <= through.saturating_add(1));
        for (first, _) in covered.collect::<Vec<_>>() {
            let path = archive_path(first);
            match uninterrupted(|| files.remove(&path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &path, error)),
                _ => drop(self.segments.pop_front()),
            }
        }
        Ok(())
    }
}
