//! Reading the log again: its batches, in order, for replay; and every byte, for damage.

use super::files::{Files, RandomAccessFile, failed, read_file, read_range, uninterrupted};
use super::frame;
use super::layout::{LIVE, MANIFEST, archive_path};
use super::log::Log;
use super::manifest::{self, Stored};
use super::objects;
use super::recover::check_sealed;
use super::salvage::as_damage;
use super::scan::{Flaw, Frames, Step, no_header, scan};
use crate::error::{Error, Result};
use crate::storage::engine::{Batch, Damage, Format, ObjectReader};
use std::io;
use std::sync::Arc;

/// The log at one moment, read without its lock. A segment that is sealed meanwhile is still the same open file.
pub(super) struct LogView {
    format: Format,
    id: u64,
    /// First version of each sealed segment, and that of the one behind it.
    sealed: Vec<(u64, u64)>,
    live: Option<Arc<dyn RandomAccessFile>>,
    first: u64,
    end: u64,
    last: u64,
}

impl LogView {
    pub(super) fn of(log: &Log) -> Self {
        Self {
            format: log.format,
            id: log.id,
            sealed: log.archive.ranges(log.first).collect(),
            live: log.live(),
            first: log.first,
            end: log.end,
            last: log.last,
        }
    }

    fn read_live(&self) -> Result<Option<Vec<u8>>> {
        self.live.as_ref().map(|live| read_range(&**live, LIVE, 0, self.end)).transpose()
    }

    /// See [`StorageEngine::read_from`](crate::storage::StorageEngine::read_from).
    pub(super) fn read_from(
        &self,
        files: &dyn Files,
        version: u64,
        visit: &mut dyn FnMut(Batch<'_>) -> Result<()>,
    ) -> Result<()> {
        if version > self.last {
            return Ok(());
        }
        let mut needed = self.sealed.iter().filter(|(_, next)| *next > version).peekable();
        let first = needed.peek().map_or(self.first, |(first, _)| *first);
        if version < first {
            return Err(Error::NotInLog { version, first });
        }
        for (first, next) in needed {
            let path = archive_path(*first);
            let bytes = match read_file(files, &path) {
                // Released meanwhile, as those behind it may be, one after the other.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    return Err(Error::NotInLog { version: version.max(*first), first: *next });
                }
                bytes => bytes?,
            };
            self.visit(&path, &bytes, (*first, *next), version, visit)?;
        }
        match self.read_live()? {
            Some(bytes) => self.visit(LIVE, &bytes, (self.first, self.last.saturating_add(1)), version, visit),
            None => Ok(()),
        }
    }

    /// Visits the batches of a segment that begins with version `first`, before one that begins with `next`.
    fn visit(
        &self,
        path: &str,
        bytes: &[u8],
        (first, next): (u64, u64),
        version: u64,
        visit: &mut dyn FnMut(Batch<'_>) -> Result<()>,
    ) -> Result<()> {
        let (_, start) = frame::read_segment_header(self.format, bytes)
            .map_err(|reason| no_header(path, 0, "the header of a log segment", reason))?;
        let mut frames = Frames::new(self.format, self.id, bytes, start, first);
        loop {
            match frames.step() {
                Step::Batch(batch, _) if batch.last() < Some(version) => {}
                Step::Batch(batch, _) => visit(batch)?,
                // All versions there can be end with the highest number.
                Step::End if frames.next.unwrap_or(u64::MAX) == next => return Ok(()),
                Step::End => {
                    let (expected, found) = ("the batch of the next version", "the segment's end");
                    return Err(Flaw { offset: frames.at, expected, found }.in_file(path));
                }
                Step::Flaw(flaw) => return Err(flaw.in_file(path)),
                Step::Unsupported(reason) => return Err(no_header(path, frames.at, "a batch", reason)),
            }
        }
    }
}

/// See [`StorageEngine::verify`](crate::storage::StorageEngine::verify).
pub(super) fn verify(files: &dyn Files, stored: &Stored, view: &LogView, report: &mut dyn FnMut(Damage)) -> Result<()> {
    // Also what cannot be read is damage: what stands behind it is still looked at.
    let mut check = |checked: Result<()>| match checked {
        Err(error) => as_damage(error).map(&mut *report),
        Ok(()) => Ok(()),
    };
    check(manifest::read(files).and_then(|found| match found == *stored {
        true => Ok(()),
        false => Err(corrupt(MANIFEST, "the manifest that is in use", "another one")),
    }))?;
    for (first, next) in &view.sealed {
        check(verify_sealed(files, view, *first, *next))?;
    }
    check(verify_live(view))?;
    for object in &stored.manifest.checkpoint.objects {
        let mut chunk = vec![0; usize::try_from(object.length).unwrap_or(usize::MAX).clamp(1, 1 << 16)];
        check(objects::open(files, object).and_then(|mut reader| {
            while reader.read(&mut chunk)? > 0 {}
            Ok(())
        }))?;
    }
    Ok(())
}

fn corrupt(file: &str, expected: &str, found: &str) -> Error {
    Error::Corrupt { file: file.into(), offset: 0, expected: expected.into(), found: found.into() }
}

fn verify_sealed(files: &dyn Files, view: &LogView, first: u64, next: u64) -> Result<()> {
    let path = archive_path(first);
    let file = match uninterrupted(|| files.open(&path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(corrupt(&path, "a segment of the log", "no file"));
        }
        file => file.map_err(|error| failed("open", &path, error))?,
    };
    let length = uninterrupted(|| file.length()).map_err(|error| failed("read the length of", &path, error))?;
    let bytes = read_range(&*file, &path, 0, length)?;
    let (_, extent) = scan(&path, view.format, view.id, Some(first), &bytes)?;
    check_sealed(&path, &extent, next)
}

fn verify_live(view: &LogView) -> Result<()> {
    let Some(bytes) = view.read_live()? else { return Ok(()) };
    let (_, extent) = scan(LIVE, view.format, view.id, Some(view.first), &bytes)?;
    match extent.tail {
        Some(tail) => Err(tail.flaw.in_file(LIVE)),
        None if extent.last != view.last => Err(corrupt(LIVE, "all batches that were appended", "fewer")),
        None => Ok(()),
    }
}
