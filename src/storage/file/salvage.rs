//! Reading what is left of a damaged storage.
//!
//! Opening refuses what is not whole. This takes what is, and reports the rest: the manifest, or the one that was being
//! written; every object that matches its checksum; and the batches behind a version up to the first that is missing,
//! from whatever file of the log has them, by what stands in the files and not by their names. A segment without its
//! header still has its batches: each names its log and its place.
//!
//! Nothing is written, but for the lock's empty file where there is none. What cannot be read, by damage or by the disk, is
//! damage here; memory that runs out is an error. Time and memory are bounded by the files: each is read a few times, and
//! of the log one file is held at a time.

use super::files::{FileLock, Files, failed, lock_directory, read_file, read_full, uninterrupted};
use super::frame::{self, NoHeader};
use super::layout::{
    FOLDERS, LIVE, MANIFEST, MANIFEST_NEW, NEXT, REWRITTEN, is_log_path, object_path, parse_object_path,
};
use super::manifest;
use super::objects;
use super::recover::{list, refuse_folders_of_others};
use super::scan::{Frames, Step, no_header};
use crate::error::{Error, Result};
use crate::storage::engine::{Batch, Damage, Format, Manifest, Object, ObjectKind, ObjectReader};
use std::sync::Arc;

/// What is left of a storage; see the module.
pub(crate) struct Remains {
    files: Arc<dyn Files>,
    /// That of the log and of the objects, as manifest and log say it.
    format: Option<Format>,
    manifest: Option<Manifest>,
    /// By rising first version.
    segments: Vec<Segment>,
    /// The log's number; none if nothing of the log is left.
    log: Option<u64>,
    /// The files of objects, whether a manifest names them or not.
    objects: Vec<(ObjectKind, String, u64)>,
    _lock: Box<dyn FileLock>,
}

/// A file of the log, as far as its begin can be read.
struct Segment {
    path: String,
    format: Format,
    log: u64,
    first: u64,
    /// How far its header says that the log is durable.
    synced: u64,
    /// Where its first batch is.
    start: usize,
}

/// How far the log could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// The last version that was visited.
    pub(crate) reached: u64,
    /// The last version that can be made out anywhere.
    pub(crate) known: u64,
}

/// What an error of reading says is damaged.
///
/// # Errors
/// The error, if it is not about what is stored.
pub(crate) fn as_damage(error: Error) -> Result<Damage> {
    Ok(match error {
        Error::Corrupt { file, offset, expected, found } => Damage { file, offset, expected, found },
        Error::UnsupportedFormat { file, what, found, supported } => {
            let (expected, found) = (format!("{what} {supported}").into(), found.to_string().into());
            Damage { file, offset: 0, expected, found }
        }
        Error::Io { file, source, .. } => {
            Damage { file, offset: 0, expected: "what can be read".into(), found: source.to_string().into() }
        }
        other => return Err(other),
    })
}

fn damage(file: &str, offset: usize, expected: impl Into<Box<str>>, found: impl Into<Box<str>>) -> Damage {
    Damage { file: file.into(), offset: offset as u64, expected: expected.into(), found: found.into() }
}

impl Remains {
    /// Locks the directory and looks at what is there.
    ///
    /// # Errors
    /// [`Error::Locked`]; [`Error::NotADatabase`] where nothing of one is left; [`Error::UnsupportedFormat`] for a manifest
    /// of another version; [`Error::Io`] if the directory cannot be read; [`Error::OutOfMemory`].
    pub(crate) fn open(files: Arc<dyn Files>, report: &mut dyn FnMut(Damage)) -> Result<Self> {
        refuse_nothing(&*files)?;
        let lock = lock_directory(&*files)?;
        let mut listings = Vec::new();
        for folder in FOLDERS {
            match list(&*files, folder) {
                Ok(listing) => listings.push((folder, listing.unwrap_or_default())),
                Err(error) => report(as_damage(error)?),
            }
        }
        let in_folder = |(folder, listing): (&'static str, Vec<(String, _)>)| {
            listing.into_iter().map(move |(name, _)| format!("{folder}/{name}"))
        };
        let mut paths: Vec<String> = listings.into_iter().flat_map(in_folder).collect();
        paths.sort_unstable();
        let objects = paths.iter().filter_map(|path| parse_object_path(path)).collect();

        let stored = read_manifest(&*files, report)?;
        // What was put together anew is as good as what it was made of; an archive is never torn.
        let rank = |path: &str| [LIVE, NEXT, REWRITTEN].iter().position(|known| *known == path).map_or(0, |at| at + 1);
        let order = |segment: &Segment| (segment.first, rank(&segment.path));
        let mut segments = Vec::new();
        for path in paths.iter().filter(|path| is_log_path(path)) {
            let known = stored.as_ref().map(|stored| (stored.records, stored.log));
            match read_begin(&*files, path, known, report) {
                Ok(Some(segment)) => {
                    let behind = segments.partition_point(|other| order(other) <= order(&segment));
                    segments.insert(behind, segment);
                }
                Ok(None) => {}
                Err(error) => report(as_damage(error)?),
            }
        }
        let newest = segments.last().map(|segment| (segment.format, segment.log));
        if let Some(newest) = newest.filter(|_| stored.is_none()) {
            segments.retain(|segment| {
                let is_same = (segment.format, segment.log) == newest;
                if !is_same {
                    report(damage(&segment.path, 0, "a segment of the newest log", "one of another log"));
                }
                is_same
            });
        }
        let (format, log) = match (&stored, newest) {
            (Some(stored), _) => (Some(stored.records), Some(stored.log)),
            (None, Some((format, log))) => (Some(format), Some(log)),
            (None, None) => (None, None),
        };
        let manifest = stored.map(|stored| stored.manifest);
        Ok(Self { files, format, manifest, segments, log, objects, _lock: lock })
    }

    /// How payloads and objects are encoded; none if neither manifest nor log is left.
    pub(crate) fn format(&self) -> Option<Format> {
        self.format
    }

    /// The manifest, if it is whole.
    pub(crate) fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Whether the log has its first version.
    pub(crate) fn has_first_version(&self) -> bool {
        self.segments.first().is_some_and(|segment| segment.first == 1)
    }

    /// The files of objects: kind, table and generation.
    pub(crate) fn objects(&self) -> &[(ObjectKind, String, u64)] {
        &self.objects
    }

    /// So many bytes of a file of objects, or all from `offset` on, as an object. Its checksum is that of what is there.
    pub(crate) fn object_at(
        &self,
        (kind, table, generation): &(ObjectKind, String, u64),
        offset: u64,
        length: Option<u64>,
    ) -> Result<Object> {
        let path = object_path(*kind, table, *generation);
        let file = uninterrupted(|| self.files.open(&path)).map_err(|error| failed("open", &path, error))?;
        let end = uninterrupted(|| file.length()).map_err(|error| failed("read the length of", &path, error))?;
        let rest = end.saturating_sub(offset);
        let length = length.map_or(rest, |length| length.min(rest));
        let (mut hasher, mut at, mut chunk) = (crc32fast::Hasher::new(), 0, vec![0; 1 << 16]);
        while at < length {
            let step = usize::try_from(length - at).unwrap_or(usize::MAX).min(chunk.len());
            let read = read_full(&*file, &mut chunk[..step], offset + at);
            match read.map_err(|error| failed("read", &path, error))? {
                0 => break,
                read => {
                    hasher.update(&chunk[..read]);
                    at += read as u64;
                }
            }
        }
        let (table, checksum) = (Arc::from(&**table), hasher.finalize());
        Ok(Object { kind: *kind, table, generation: *generation, offset, length: at, checksum })
    }

    /// See [`StorageEngine::open_object`](crate::storage::StorageEngine::open_object).
    pub(crate) fn open_object(&self, object: &Object) -> Result<Box<dyn ObjectReader>> {
        Ok(Box::new(objects::open(&*self.files, object)?))
    }

    /// Gives `visit` the batches behind version `after`, in order and each checked, up to the first that is missing or that
    /// `visit` refuses with an error about what is stored.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`]; those of `visit` that are not about what is stored.
    pub(crate) fn read_log(
        &self,
        after: u64,
        visit: &mut dyn FnMut(Batch<'_>) -> Result<()>,
        report: &mut dyn FnMut(Damage),
    ) -> Result<LogEnd> {
        let durable = self.manifest.as_ref().map_or(0, |manifest| manifest.durable);
        let mut end = LogEnd { reached: after, known: durable.max(after) };
        let mut is_refused = false;
        for segment in &self.segments {
            end.known = end.known.max(segment.synced);
            let bytes = match read_file(&*self.files, &segment.path) {
                Ok(bytes) => bytes,
                Err(error) => {
                    report(as_damage(error)?);
                    continue;
                }
            };
            let start = segment.start.min(bytes.len());
            let mut frames = Frames::new(segment.format, segment.log, &bytes, start, segment.first);
            let flaw = loop {
                match frames.step() {
                    Step::Batch(batch, header) => {
                        let last = batch.last().unwrap_or(u64::MAX);
                        end.known = end.known.max(last).max(header.synced);
                        if is_refused || batch.first != end.reached.saturating_add(1) {
                            continue;
                        }
                        match visit(batch) {
                            Ok(()) => end.reached = last,
                            Err(error) => {
                                report(as_damage(error)?);
                                is_refused = true;
                            }
                        }
                    }
                    Step::End => break None,
                    Step::Flaw(flaw) => break Some(flaw.in_file(&segment.path)),
                    Step::Unsupported(reason) => break Some(no_header(&segment.path, frames.at, "a batch", reason)),
                }
            };
            if let Some(flaw) = flaw {
                report(as_damage(flaw)?);
                end.known = end.known.max(self.last_known(segment.format, &bytes, frames.at));
            }
        }
        Ok(end)
    }

    /// The highest version that a header from `from` on speaks of.
    fn last_known(&self, format: Format, bytes: &[u8], mut from: usize) -> u64 {
        let mut known = 0;
        while let Some(found) = frame::find_frame(format, bytes, from) {
            from = found + 1;
            if let Ok((header, _)) = frame::read_frame_header(format, &bytes[found..])
                && Some(header.log) == self.log
            {
                known = known.max(header.last().unwrap_or(0)).max(header.synced);
            }
        }
        known
    }
}

/// Looks whether there is anything of a storage, before so much as a lock is put there.
///
/// # Errors
/// [`Error::NotADatabase`] if not; [`Error::Io`].
pub(crate) fn refuse_nothing(files: &dyn Files) -> Result<()> {
    let root = list(files, "")?.unwrap_or_default();
    let ours = |name: &str| [MANIFEST, MANIFEST_NEW].contains(&name) || FOLDERS.contains(&name);
    match root.iter().any(|(name, _)| ours(name)) {
        true => refuse_folders_of_others(files, &root),
        false => {
            let found = "nothing of one is there".into();
            Err(Error::NotADatabase { path: files.describe().into(), found })
        }
    }
}

/// The manifest; if that is not whole, the one that was being written, whose objects are whole before it is.
fn read_manifest(files: &dyn Files, report: &mut dyn FnMut(Damage)) -> Result<Option<manifest::Stored>> {
    match manifest::read(files) {
        Ok(stored) => return Ok(Some(stored)),
        Err(error @ Error::UnsupportedFormat { .. }) => return Err(error),
        Err(error) => report(as_damage(error)?),
    }
    Ok(read_file(files, MANIFEST_NEW).and_then(|bytes| manifest::decode(&bytes)).ok())
}

/// What a file of the log says of itself: its header, or its first batch. `known` is what the manifest says of the log.
fn read_begin(
    files: &dyn Files,
    path: &str,
    known: Option<(Format, u64)>,
    report: &mut dyn FnMut(Damage),
) -> Result<Option<Segment>> {
    let bytes = read_file(files, path)?;
    let formats = [Format::Binary, Format::JsonLines].into_iter();
    let formats = formats.filter(|format| known.is_none_or(|(known, _)| known == *format));
    // One that was made for the log to go on in, and has not begun.
    if path == NEXT && formats.clone().any(|format| frame::is_blank(&bytes, format)) {
        return Ok(None);
    }
    let is_ours = |log: u64| known.is_none_or(|(_, known)| known == log);
    let path = path.to_string();
    let mut reason = NoHeader::Damaged("other bytes");
    for format in formats.clone() {
        match frame::read_segment_header(format, &bytes) {
            Ok((header, _)) if !is_ours(header.log) => {
                report(damage(&path, 0, "a segment of this log", "one of another log"));
                return Ok(None);
            }
            Ok((header, start)) => {
                let frame::SegmentHeader { log, first, synced, .. } = header;
                return Ok(Some(Segment { path, format, log, first, synced, start }));
            }
            Err(unsupported @ NoHeader::Unsupported { .. }) => reason = unsupported,
            Err(_) => {}
        }
    }
    report(as_damage(no_header(&path, 0, "the header of a log segment", reason))?);
    for format in formats {
        let mut from = 0;
        while let Some(start) = frame::find_frame(format, &bytes, from) {
            from = start + 1;
            if let Ok((header, _)) = frame::read_frame_header(format, &bytes[start..])
                && is_ours(header.log)
            {
                let frame::FrameHeader { log, first, synced, .. } = header;
                return Ok(Some(Segment { path, format, log, first, synced, start }));
            }
        }
    }
    Ok(None)
}
