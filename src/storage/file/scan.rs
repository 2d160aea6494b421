//! Reading a segment: batch by batch to the first that is not whole, and then the verdict about that.
//!
//! A torn tail and a damaged batch look alike. What tells them apart is D, the last version that anything whole says is
//! durable: the manifest, the segment's header, and every header of a batch that still can be read, those *behind* the
//! damage included. What D covers was acknowledged, and its loss is corruption; what lies above it nobody was promised.
//!
//! Nothing here allocates by what a file says, and each byte is looked at a bounded number of times.

use super::frame::{self, FrameHeader, NoHeader, SegmentHeader};
use crate::error::Error;
use crate::storage::engine::{Batch, Format};
#[cfg(feature = "testing")]
use crate::storage::plant::{Plant, is_planted};

/// Where a segment stops being what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) offset: usize,
    pub(super) expected: &'static str,
    pub(super) found: &'static str,
}

impl Flaw {
    pub(super) fn in_file(self, file: &str) -> Error {
        let Flaw { offset, expected, found } = self;
        Error::Corrupt { file: file.into(), offset: offset as u64, expected: expected.into(), found: found.into() }
    }
}

/// The public error of a header that cannot be read at `offset`.
pub(super) fn no_header(file: &str, offset: usize, expected: &'static str, reason: NoHeader) -> Error {
    match reason {
        NoHeader::Damaged(found) => Flaw { offset, expected, found }.in_file(file),
        NoHeader::Unsupported { what, found, supported } => {
            Error::UnsupportedFormat { file: file.into(), what, found, supported }
        }
    }
}

/// What comes next in a segment.
pub(super) enum Step<'a> {
    /// A whole batch, in its place.
    Batch(Batch<'a>, FrameHeader),
    /// Nothing more but filler.
    End,
    Flaw(Flaw),
    Unsupported(NoHeader),
}

/// The batches of a segment in order.
pub(super) struct Frames<'a> {
    format: Format,
    log: u64,
    bytes: &'a [u8],
    /// Where the next frame begins.
    pub(super) at: usize,
    /// The version that the next batch must begin with; none behind the last there can be.
    pub(super) next: Option<u64>,
}

impl<'a> Frames<'a> {
    /// The frames of `bytes` from `at` on, the first of which must begin with version `next`.
    pub(super) fn new(format: Format, log: u64, bytes: &'a [u8], at: usize, next: u64) -> Self {
        Self { format, log, bytes, at, next: Some(next) }
    }

    /// Stands still at the end and at a flaw.
    pub(super) fn step(&mut self) -> Step<'a> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return Step::End;
        }
        let flaw = |expected, found| Step::Flaw(Flaw { offset: self.at, expected, found });
        let (header, header_bytes) = match frame::read_frame_header(self.format, rest) {
            Ok(read) => read,
            Err(NoHeader::Damaged(_)) if frame::is_blank(rest, self.format) => return Step::End,
            Err(NoHeader::Damaged(found)) => return flaw("the header of a batch", found),
            Err(unsupported) => return Step::Unsupported(unsupported),
        };
        if header.log != self.log {
            return flaw("a batch of this log", "one of another log");
        }
        if Some(header.first) != self.next {
            return flaw("the batch of the next version", "one of another version");
        }
        let Some(last) = header.last() else { return flaw("a batch of at least one version", "another count") };
        let body = &rest[header_bytes..];
        let Some(payload) = usize::try_from(header.length).ok().and_then(|length| body.get(..length)) else {
            return flaw("a batch within the file", "one that is longer");
        };
        if crc32fast::hash(payload) != header.body && !is_blessed() {
            return flaw("a batch that matches its checksum", "other bytes");
        }
        self.at += header_bytes + payload.len();
        self.next = last.checked_add(1);
        Step::Batch(Batch { first: header.first, count: header.count, payload }, header)
    }
}

fn is_blessed() -> bool {
    #[cfg(feature = "testing")]
    return is_planted(Plant::BlessTornBatch);
    #[cfg(not(feature = "testing"))]
    return false;
}

/// What a segment holds.
pub(super) struct Extent {
    /// Where its last whole batch ends.
    pub(super) end: usize,
    /// The last version of that; the one before the segment's first if it has none.
    pub(super) last: u64,
    /// How far anything in it says that the log is durable.
    pub(super) synced: u64,
    pub(super) tail: Option<Tail>,
}

/// What is behind the last whole batch and no filler.
pub(super) struct Tail {
    pub(super) flaw: Flaw,
    /// The highest version that can be made out in it.
    pub(super) last_seen: u64,
    pub(super) bytes: u64,
}

/// Reads a whole segment of the log `log`, named `file`, that must begin with version `first` if that is given.
pub(super) fn scan(
    file: &str,
    format: Format,
    log: u64,
    first: Option<u64>,
    bytes: &[u8],
) -> Result<(SegmentHeader, Extent), Error> {
    let (segment, start) = frame::read_segment_header(format, bytes)
        .map_err(|reason| no_header(file, 0, "the header of a log segment", reason))?;
    let flaw = |expected, found| Flaw { offset: 0, expected, found }.in_file(file);
    if segment.log != log {
        return Err(flaw("a segment of this log", "one of another log"));
    }
    if first.is_some_and(|first| first != segment.first) {
        return Err(flaw("the segment that belongs here", "another one"));
    }
    let Some(before) = segment.first.checked_sub(1) else { return Err(flaw("a first version", "zero")) };
    let mut extent = Extent { end: start, last: before, synced: segment.synced, tail: None };
    let mut frames = Frames::new(format, log, bytes, start, segment.first);
    let flaw = loop {
        match frames.step() {
            Step::Batch(batch, header) => {
                // It has one: that was checked.
                extent.last = batch.last().unwrap_or(u64::MAX);
                extent.synced = extent.synced.max(header.synced);
                extent.end = frames.at;
            }
            Step::End => return Ok((segment, extent)),
            Step::Flaw(flaw) => break flaw,
            Step::Unsupported(reason) => return Err(no_header(file, frames.at, "a batch", reason)),
        }
    };
    let tail = &bytes[flaw.offset..];
    let blank = tail.iter().rev().take_while(|byte| frame::is_blank(&[**byte], format)).count();
    let (mut last_seen, mut from) = (extent.last, flaw.offset);
    while let Some(found) = frame::find_frame(format, bytes, from) {
        from = found + 1;
        let Ok((header, _)) = frame::read_frame_header(format, &bytes[found..]) else { continue };
        if header.log == log {
            last_seen = last_seen.max(header.last().unwrap_or(0));
            extent.synced = extent.synced.max(header.synced);
        }
    }
    extent.tail = Some(Tail { flaw, last_seen, bytes: (tail.len() - blank) as u64 });
    Ok((segment, extent))
}
