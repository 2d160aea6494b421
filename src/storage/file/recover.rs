//! Opening: what is there, whether it is whole, and then making it ours.
//!
//! [`inspect`] reads and judges, and changes nothing. [`Found::claim`] changes the disk, in steps each of which leaves what
//! the next inspection finds as good as before. Nothing is written that was not checked first.
//!
//! **Why the surviving log is written anew.** The page cache may hold bytes, and names, that the device does not: those of
//! a process that was killed, or those that a failed sync has left marked as clean, which no later sync would write. So
//! unless the manifest says that this very file ended exactly so, durably, the live segment's batches go to a new file,
//! which is synced and takes the old one's name. For the same reason the manifest is always written anew: things are removed
//! on its word. Files are told apart by a random number in their header, since a name says nothing about durability.

use super::archive::Archive;
use super::files::{EntryKind, Files, RandomAccessFile, failed, read_file, uninterrupted, write_all};
use super::frame;
use super::layout::{
    FOLDERS, LIVE, LOCK, MANIFEST, MANIFEST_NEW, NEXT, REWRITTEN, WAL, archive_path, is_log_path, parse_archive_name,
    parse_object_path,
};
use super::log::{Live, Log, random_number};
use super::manifest::{self, Stored, create_anew};
use super::scan::{Extent, scan};
use super::syncs::Syncs;
use crate::error::{Error, Result};
use crate::storage::engine::{Checkpoint, Format, Manifest, OpenReport, Recovery};
#[cfg(feature = "testing")]
use crate::storage::plant::{Plant, is_planted};
use std::io;
use std::sync::Arc;

/// What is in the directory.
pub(super) struct Found {
    /// None where a storage is yet to begin.
    pub(super) stored: Option<Stored>,
    pub(super) recovery: Recovery,
    pub(super) archive: Archive,
    pub(super) live: Option<Live>,
    /// Paths in the folders of objects.
    pub(super) listed: Vec<String>,
    pub(super) survivor: Survivor,
}

/// What [`Found::claim`] needs to know.
pub(super) struct Survivor {
    /// The live segment's header and whole batches, as they were checked.
    bytes: Vec<u8>,
    /// The segment that was being sealed when the log was left, if no checkpoint covers it, and its path: its new name may
    /// be in the cache alone.
    sealing: Option<(String, Vec<u8>)>,
    /// Nothing to write anew.
    is_clean: bool,
    /// Left by a crash.
    leftovers: Vec<&'static str>,
    missing_folders: Vec<&'static str>,
}

/// The names in a folder of ours; none if it is not there.
pub(super) fn list(files: &dyn Files, folder: &str) -> Result<Option<Vec<(String, EntryKind)>>> {
    match uninterrupted(|| files.list(folder)) {
        Ok(entries) => Ok(Some(entries.into_iter().map(|entry| (entry.name, entry.kind)).collect())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if folder.is_empty() => Err(failed("list", &files.describe(), error)),
        Err(error) => Err(failed("list", folder, error)),
    }
}

fn corrupt(file: &str, expected: &str, found: &str) -> Error {
    Error::Corrupt { file: file.into(), offset: 0, expected: expected.into(), found: found.into() }
}

/// Reads what is there.
pub(super) fn inspect(files: &dyn Files) -> Result<Found> {
    let root = list(files, "")?.unwrap_or_default();
    let has = |name: &str| root.iter().any(|(entry, _)| entry == name);
    let mut missing_folders = Vec::new();
    let mut listings = Vec::new();
    for folder in FOLDERS {
        let listing = if has(folder) { list(files, folder)? } else { None };
        if listing.is_none() {
            missing_folders.push(folder);
        }
        listings.push(listing.unwrap_or_default());
    }
    let [wal, objects @ ..] = &listings[..] else { return Err(corrupt(".", "the folders of a database", "none")) };
    let listed = FOLDERS[1..].iter().zip(objects);
    let listed: Vec<String> =
        listed.flat_map(|(folder, names)| names.iter().map(move |(name, _)| format!("{folder}/{name}"))).collect();
    let in_wal = |path: &str| wal.iter().any(|(name, _)| path.strip_prefix("wal/") == Some(name));
    let mut leftovers: Vec<_> = [NEXT, REWRITTEN].into_iter().filter(|path| in_wal(path)).collect();
    leftovers.extend(has(MANIFEST_NEW).then_some(MANIFEST_NEW));
    let archived = wal.iter().filter_map(|(name, _)| parse_archive_name(name)).collect();
    let mut survivor = Survivor { bytes: Vec::new(), sealing: None, is_clean: false, leftovers, missing_folders };

    if !has(MANIFEST) {
        check_unbegun(files, &root, wal, &listed, in_wal(LIVE))?;
        survivor.leftovers.extend(in_wal(LIVE).then_some(LIVE));
        let recovery = Recovery { manifest: None, last: 0, report: OpenReport::Empty };
        return Ok(Found { stored: None, recovery, archive: Archive::default(), live: None, listed, survivor });
    }
    let stored = manifest::read(files)?;
    let live_path = [LIVE, NEXT].into_iter().find(|path| in_wal(path));
    let live_path = live_path.ok_or_else(|| corrupt(LIVE, "the log", "no file"))?;
    let mut archive = Archive::of(archived);
    let (live, extent) = read_log(files, &stored, live_path, &mut archive, &mut survivor)?;
    let report = judge(&stored, live_path, &extent)?;
    survivor.is_clean = live_path == LIVE
        && extent.tail.is_none()
        && extent.last == stored.manifest.durable
        && live.number == stored.segment;
    #[cfg(feature = "testing")]
    if is_planted(Plant::TrustPageCache) && live_path == LIVE && extent.tail.is_none() {
        survivor.is_clean = true;
    }
    let recovery = Recovery { manifest: Some(stored.manifest.clone()), last: extent.last, report };
    Ok(Found { stored: Some(stored), recovery, archive, live: Some(live), listed, survivor })
}

/// Looks whether the directory is somebody else's, before so much as a lock is put there.
pub(super) fn refuse_others(files: &dyn Files) -> Result<()> {
    let root = list(files, "")?.unwrap_or_default();
    if root.iter().any(|(name, _)| name == MANIFEST) {
        return Ok(());
    }
    refuse_foreign(files, &root)?;
    refuse_folders_of_others(files, &root)
}

/// Without a manifest, folders that have the names of ours are somebody else's where they hold files and none of ours.
pub(super) fn refuse_folders_of_others(files: &dyn Files, root: &[(String, EntryKind)]) -> Result<()> {
    let has = |name: &str| root.iter().any(|(entry, _)| entry == name);
    if has(MANIFEST) || has(MANIFEST_NEW) {
        return Ok(());
    }
    let mut foreign = None;
    for folder in FOLDERS.into_iter().filter(|folder| has(folder)) {
        for (name, _) in list(files, folder)?.unwrap_or_default() {
            let path = format!("{folder}/{name}");
            if is_log_path(&path) || parse_object_path(&path).is_some() {
                return Ok(());
            }
            foreign.get_or_insert(path);
        }
    }
    foreign.map_or(Ok(()), |path| Err(not_a_database(files, &path)))
}

fn not_a_database(files: &dyn Files, foreign: &str) -> Error {
    let found = format!("it has no manifest, and holds `{foreign}`");
    Error::NotADatabase { path: files.describe().into(), found: found.into() }
}

/// Without a manifest nothing may be there but what is ours.
fn refuse_foreign(files: &dyn Files, root: &[(String, EntryKind)]) -> Result<()> {
    let ours =
        |(name, _): &&(String, EntryKind)| FOLDERS.contains(&name.as_str()) || name == LOCK || name == MANIFEST_NEW;
    match root.iter().find(|entry| !ours(entry)) {
        Some((foreign, _)) => Err(not_a_database(files, foreign)),
        None => Ok(()),
    }
}

/// A directory without a manifest can become a storage only if nothing of one is there: at most what a crash leaves of a
/// beginning, which is empty.
fn check_unbegun(
    files: &dyn Files,
    root: &[(String, EntryKind)],
    wal: &[(String, EntryKind)],
    listed: &[String],
    has_live: bool,
) -> Result<()> {
    refuse_foreign(files, root)?;
    let expected = "the manifest of what is here";
    if let Some(path) = listed.first() {
        return Err(corrupt(MANIFEST, expected, &format!("none, beside `{path}`")));
    }
    let ours = |name: &str| [LIVE, NEXT, REWRITTEN].iter().any(|path| path.strip_prefix("wal/") == Some(name));
    if let Some((name, _)) = wal.iter().find(|(name, _)| !ours(name)) {
        return Err(corrupt(MANIFEST, expected, &format!("none, beside `wal/{name}`")));
    }
    if has_live {
        let bytes = read_file(files, LIVE)?;
        let is_header = [Format::Binary, Format::JsonLines].into_iter().any(|format| {
            let header = frame::read_segment_header(format, &bytes);
            header.is_ok_and(|(_, length)| frame::is_blank(&bytes[length..], format))
        });
        if !is_header && !bytes.is_empty() {
            return Err(corrupt(MANIFEST, expected, "none, beside a log that is not empty"));
        }
    }
    Ok(())
}

/// Reads the segments that the checkpoint does not cover, and the live one.
fn read_log(
    files: &dyn Files,
    stored: &Stored,
    live_path: &str,
    archive: &mut Archive,
    survivor: &mut Survivor,
) -> Result<(Live, Extent)> {
    let (format, log, covered) = (stored.records, stored.log, stored.manifest.checkpoint.version);
    let mut bytes = read_file(files, live_path)?;
    let (segment, extent) = scan(live_path, format, log, None, &bytes)?;
    let first = segment.first;
    // Its change of names to an archived segment was not durable yet, and claiming by the next one made the archived one
    // anew: a copy, which the next change of segments replaces.
    if live_path == LIVE && survivor.leftovers.contains(&NEXT) && archive.newest() == Some(first) {
        archive.forget_newest();
    }
    // Whole, and of this log, but not the one that belongs here: an older segment, read in its place.
    if let Some(sealed) = archive.newest().filter(|sealed| *sealed >= first) {
        let expected = format!("a segment behind the sealed one from version {sealed}");
        return Err(corrupt(live_path, &expected, &format!("one from version {first}")));
    }
    let needed = archive.needed(covered, first);
    let oldest = needed.first().map_or(first, |(first, _)| *first);
    if oldest > covered.saturating_add(1) {
        let expected = format!("the log from version {}", covered + 1);
        return Err(corrupt(live_path, &expected, &format!("its begin at version {oldest}")));
    }
    for (first, next) in needed {
        let path = archive_path(first);
        let bytes = read_file(files, &path)?;
        let (_, sealed) = scan(&path, format, log, Some(first), &bytes)?;
        check_sealed(&path, &sealed, next)?;
        archive.note_bytes(first, sealed.end as u64);
        if live_path == NEXT && next == segment.first {
            survivor.sealing = Some((path, bytes));
        }
    }
    let start = frame::read_segment_header(format, &bytes).map_or(0, |(_, length)| length as u64);
    bytes.truncate(extent.end);
    survivor.bytes = bytes;
    let file = uninterrupted(|| files.open(live_path)).map_err(|error| failed("open", live_path, error))?;
    Ok((Live { file, first, number: segment.number, start, end: extent.end as u64, last: extent.last }, extent))
}

/// A sealed segment ends with a whole batch, before the one with which the next begins.
pub(super) fn check_sealed(path: &str, sealed: &Extent, next: u64) -> Result<()> {
    if let Some(tail) = &sealed.tail {
        return Err(tail.flaw.in_file(path));
    }
    if sealed.last.checked_add(1) != Some(next) {
        let (expected, found) = (format!("batches up to version {}", next - 1), format!("the last at {}", sealed.last));
        let offset = sealed.end as u64;
        return Err(Error::Corrupt { file: path.into(), offset, expected: expected.into(), found: found.into() });
    }
    Ok(())
}

/// The verdict: what D covers must be there.
fn judge(stored: &Stored, live_path: &str, extent: &Extent) -> Result<OpenReport> {
    let durable = stored.manifest.durable.max(extent.synced);
    #[cfg(feature = "testing")]
    let durable = if is_planted(Plant::CutDurableBatch) { 0 } else { durable };
    if extent.last < durable {
        return Err(match &extent.tail {
            Some(tail) => tail.flaw.in_file(live_path),
            None => Error::Corrupt {
                file: live_path.into(),
                offset: extent.end as u64,
                expected: format!("batches up to version {durable}, which were durable").into(),
                found: format!("the last at {}", extent.last).into(),
            },
        });
    }
    Ok(match &extent.tail {
        None => OpenReport::Clean,
        Some(tail) => OpenReport::TornTail { versions: tail.last_seen.saturating_sub(extent.last), bytes: tail.bytes },
    })
}

impl Survivor {
    /// Makes the storage `log`'s to write; see the module. Answers the manifest as it then is.
    pub(super) fn claim(
        &mut self,
        files: &dyn Files,
        log: &mut Log,
        syncs: &Syncs,
        stored: Option<Stored>,
    ) -> Result<Stored> {
        if stored.is_none() {
            self.remove_begun(files);
        }
        for folder in &self.missing_folders {
            match uninterrupted(|| files.create_folder(folder)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(failed("create", folder, error));
                }
                _ => {}
            }
        }
        if !self.missing_folders.is_empty() {
            syncs.sync_folder(files, "")?;
        }
        let turn = syncs.turn();
        if let Some((path, bytes)) = self.sealing.take() {
            put_in_place(files, syncs, &bytes, &path)?;
        }
        match log.live() {
            Some(live) if self.is_clean => {
                turn.switch(live);
                turn.note_durable(log.last);
            }
            _ => self.rewrite(files, log, syncs, &turn)?,
        }
        // On this manifest's word things are removed, and its own name may be in the cache alone.
        let mut stored = stored.unwrap_or_else(|| {
            let manifest = Manifest { generation: 0, durable: 0, checkpoint: Checkpoint::default() };
            Stored { records: log.format, log: log.id, segment: log.number, manifest }
        });
        stored.manifest.durable = log.last;
        stored.segment = log.number;
        manifest::replace(files, syncs, &stored)?;
        // The manifest took its leftover's name, and the live log may have come from its own.
        for leftover in self.leftovers.iter().filter(|path| ![MANIFEST_NEW, REWRITTEN, LIVE].contains(path)) {
            let _ = uninterrupted(|| files.remove(leftover));
        }
        if self.leftovers.contains(&REWRITTEN) && self.is_clean {
            let _ = uninterrupted(|| files.remove(REWRITTEN));
        }
        Ok(stored)
    }

    /// What an earlier attempt to begin has left goes first. If its sync failed, the names of its folders may be in the
    /// cache alone, and no later sync would write them.
    fn remove_begun(&mut self, files: &dyn Files) {
        for leftover in self.leftovers.drain(..) {
            let _ = uninterrupted(|| files.remove(leftover));
        }
        for folder in FOLDERS {
            let _ = uninterrupted(|| files.remove_folder(folder));
        }
        self.missing_folders = FOLDERS.to_vec();
    }

    /// The log's batches in a new file under the live one's name.
    fn rewrite(
        &mut self,
        files: &dyn Files,
        log: &mut Log,
        syncs: &Syncs,
        turn: &super::syncs::Turn<'_>,
    ) -> Result<()> {
        // All that is in the file is durable when it gets its name, and so may say so.
        let (first, last) = (log.first, log.last);
        let (mut bytes, number) = log.header(first, last);
        let (start, batches) = (bytes.len() as u64, self.bytes.get(log.start as usize..).unwrap_or(&[]));
        bytes.extend_from_slice(batches);
        self.bytes = Vec::new();
        let file = put_in_place(files, syncs, &bytes, LIVE)?;
        log.switch(turn, Live { file: Arc::clone(&file), first, number, start, end: bytes.len() as u64, last });
        turn.note_durable(last);
        Ok(())
    }
}

/// A file of the log with this content, durable under its name, which another may have had.
fn put_in_place(files: &dyn Files, syncs: &Syncs, bytes: &[u8], path: &str) -> Result<Arc<dyn RandomAccessFile>> {
    let file = create_anew(files, REWRITTEN)?;
    write_all(&*file, bytes, 0).map_err(|error| failed("write", REWRITTEN, error))?;
    syncs.sync_file(&*file, REWRITTEN)?;
    manifest::rename(files, syncs, WAL, REWRITTEN, path)?;
    syncs.sync_folder(files, WAL)?;
    Ok(file)
}

/// A new log's number.
pub(super) fn log_number(stored: Option<&Stored>) -> u64 {
    stored.map_or_else(random_number, |stored| stored.log)
}
