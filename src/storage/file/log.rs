//! The write-ahead log: one segment that is being written, and sealed ones before it.
//!
//! - L1: a sealed segment is durable whole before the next one's first byte, and every name is durable before a batch in
//!   the new segment is acknowledged. So only the last segment can have a torn tail, and a gap elsewhere is damage.
//! - L2: at every moment one of [`LIVE`] and [`NEXT`] is there, so that a missing log is damage and not a new one.
//! - L3: what a failed append may have written is gone, durably, before the next is written.
//!
//! **Changing segments**: make [`NEXT`] with filler, sync the folder, sync [`NEXT`]; sync the live one. From here appends
//! wait: sync what of the live one is not durable; write the header of [`NEXT`], sync it; rename the live one to its archive
//! name. From here appends go on, in [`NEXT`], and whoever wants them durable waits: sync the folder; rename [`NEXT`] to
//! [`LIVE`], sync the folder. The middle sync of the folder is needed: were both renames lost to each other's order, the new
//! segment could replace the old one, and with it all that it holds. The header is synced before the first rename is done,
//! since from then on the log may be found under [`NEXT`].
//!
//! **Writing ahead.** A file that grows has its length and its blocks synced with each batch. So filler is written in
//! steps ahead of the batches, which then only overwrite: a sync has only data to write. The step grows with the segment,
//! so that a small log stays small. Each step is for the syncs to come, of which there has been one since the last step:
//! where nobody syncs, every byte is written once. It is written behind the batch that leaves the space of the last step,
//! and given back where the disk has no room for all of it.

use super::archive::Archive;
use super::engine::FileOptions;
use super::files::{Files, RandomAccessFile, failed, set_length, uninterrupted, write_all};
use super::frame::{self, FrameHeader, SegmentHeader};
use super::layout::{LIVE, NEXT, WAL, archive_path};
use super::manifest::{create_anew, rename};
use super::syncs::{Syncs, Turn};
use crate::error::{Error, Result};
use crate::storage::engine::{Appended, Batch, Format};
#[cfg(feature = "testing")]
use crate::storage::plant::{Plant, is_planted};
use parking_lot::Mutex;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Payloads up to here are copied behind their header, so that one call writes both.
const COPIED_BYTES_MAX: usize = 1 << 16;
/// The first step of filler.
const STEP_BYTES_MIN: u64 = 1 << 16;
/// What a segment begins with, so that its header is written into a block that the file has; little, since nothing may
/// ever follow.
const FIRST_BYTES: u64 = 1 << 12;
/// Filler is written in pieces of this size.
const FILLER_BYTES: usize = 1 << 16;
static ZEROS: [u8; FILLER_BYTES] = [0; FILLER_BYTES];
static LINE_FEEDS: [u8; FILLER_BYTES] = [b'\n'; FILLER_BYTES];

/// See the module. Guarded by the engine's lock of the log.
pub(super) struct Log {
    files: Arc<dyn Files>,
    pub(super) format: Format,
    options: FileOptions,
    pub(super) id: u64,
    /// The segment being written; none before a new storage is claimed.
    live: Option<Arc<dyn RandomAccessFile>>,
    /// Sealed segments.
    pub(super) archive: Archive,
    /// The first version of the live segment.
    pub(super) first: u64,
    /// The live segment's number.
    pub(super) number: u64,
    /// Where its batches begin.
    pub(super) start: u64,
    /// Where they end.
    pub(super) end: u64,
    /// How far its space has been written ahead.
    filled: u64,
    /// How far the log was durable by then. The highest number where there is no room for filler.
    filled_durable: u64,
    /// The last version.
    pub(super) last: u64,
    /// Where a frame is put together.
    buffer: Vec<u8>,
    pub(super) batch_bytes: u64,
}

/// The live segment as it was found or made.
pub(super) struct Live {
    pub(super) file: Arc<dyn RandomAccessFile>,
    pub(super) first: u64,
    /// The live segment's number.
    pub(super) number: u64,
    /// Where its batches begin.
    pub(super) start: u64,
    /// Where they end, and with which version.
    pub(super) end: u64,
    pub(super) last: u64,
}

impl Log {
    pub(super) fn new(
        files: Arc<dyn Files>,
        format: Format,
        options: FileOptions,
        id: u64,
        archive: Archive,
        live: Option<Live>,
    ) -> Self {
        let mut log = Self {
            files,
            format,
            options,
            id,
            live: None,
            archive,
            first: 1,
            number: 0,
            start: 0,
            end: 0,
            filled: 0,
            filled_durable: 0,
            last: 0,
            buffer: Vec::new(),
            batch_bytes: 0,
        };
        if let Some(live) = live {
            log.install(live);
        }
        log
    }

    /// Goes on with this segment.
    pub(super) fn install(&mut self, live: Live) {
        (self.first, self.number, self.start) = (live.first, live.number, live.start);
        (self.end, self.last) = (live.end, live.last);
        self.filled = live.end;
        self.filled_durable = live.last;
        self.live = Some(live.file);
    }

    pub(super) fn live(&self) -> Option<Arc<dyn RandomAccessFile>> {
        self.live.clone()
    }

    /// The header of a new segment that begins with version `first`, and its number.
    pub(super) fn header(&self, first: u64, synced: u64) -> (Vec<u8>, u64) {
        let (mut header, number) = (Vec::new(), random_number());
        frame::write_segment_header(self.format, SegmentHeader { log: self.id, first, synced, number }, &mut header);
        (header, number)
    }

    /// Appends behind the last batch. `sealing` is held by who seals the live segment.
    pub(super) fn append(&mut self, batch: Batch<'_>, syncs: &Syncs, sealing: &Mutex<()>) -> Result<Appended> {
        let Some(next) = self.last.checked_add(1) else {
            return Err(Error::Limit { what: "versions".into(), limit: u64::MAX, found: u64::MAX });
        };
        if batch.first != next {
            return Ok(Appended::Conflict(self.last));
        }
        let Some(last) = batch.last() else {
            return Err(Error::InvalidStorageCall {
                message: "a batch makes at least one version, and none above 2^64",
            });
        };
        if self.format == Format::JsonLines && batch.payload.last().is_some_and(|byte| *byte != b'\n') {
            return Err(Error::InvalidStorageCall { message: "a payload of JSON Lines ends in a line feed" });
        }
        let is_full = self.end.saturating_add(batch.payload.len() as u64) > self.options.segment_bytes;
        // One that is being sealed grows beyond its bound, so that nobody waits for it.
        if is_full
            && !self.is_empty()
            && let Some(_sealing) = sealing.try_lock()
        {
            self.rotate(syncs)?;
        }
        let header = FrameHeader::of(batch, self.id, syncs.durable());
        #[cfg(feature = "testing")]
        let header = match is_planted(Plant::WrapLength) {
            true => FrameHeader { length: header.length & 0x7f, ..header },
            false => header,
        };
        self.buffer.clear();
        frame::write_frame_header(self.format, &header, &mut self.buffer);
        let copied = if batch.payload.len() <= COPIED_BYTES_MAX { batch.payload } else { b"" };
        self.buffer.extend_from_slice(copied);
        let rest = &batch.payload[copied.len()..];
        let rest_at = self.end + self.buffer.len() as u64;
        let end = rest_at + rest.len() as u64;
        let live = self.live.as_ref().ok_or_else(not_claimed)?;
        let written = write_all(&**live, &self.buffer, self.end).and_then(|()| write_all(&**live, rest, rest_at));
        if let Err(error) = written {
            self.cut_back(end, syncs)?;
            return Err(failed("append to", LIVE, error));
        }
        self.batch_bytes += end - self.end;
        (self.end, self.last) = (end, last);
        if end > self.filled {
            self.filled = end;
            if header.synced > self.filled_durable {
                self.filled_durable = header.synced;
                self.write_ahead();
            }
        }
        syncs.note_append(last);
        Ok(Appended::At(last))
    }

    /// Writes filler behind the last batch. After the batch, which must not find the disk filled by it. What fails here
    /// fails nothing: the log goes on without, and what room there is is left to others.
    #[cold]
    fn write_ahead(&mut self) {
        let Some(live) = &self.live else { return };
        let step = self.end.next_power_of_two().max(STEP_BYTES_MIN).min(self.options.preallocate_bytes);
        let to = self.end.saturating_add(step).min(self.options.segment_bytes).max(self.end);
        self.filled = fill(&**live, self.format, self.end, to);
        if self.filled < to {
            if set_length(&**live, self.end).is_ok() {
                self.filled = self.end;
            }
            // Not tried again in this segment, where it would be written and cut at each batch.
            self.filled_durable = u64::MAX;
        }
    }

    /// L3, after an append that failed. Where that fails too, nobody knows what is there, and nothing more is written.
    #[cold]
    fn cut_back(&mut self, end: u64, syncs: &Syncs) -> Result<()> {
        #[cfg(feature = "testing")]
        if is_planted(Plant::AppendBehindGarbage) {
            self.end = end;
            return Ok(());
        }
        let _ = end;
        let live = self.live.as_ref().ok_or_else(not_claimed)?;
        let turn = syncs.turn();
        set_length(&**live, self.end).map_err(|error| syncs.poison("cut", LIVE, error))?;
        self.filled = self.end;
        turn.sync()
    }

    /// Whether the live segment has no batch yet.
    pub(super) fn is_empty(&self) -> bool {
        self.end == self.start
    }

    /// Seals the live segment, which is full, and begins the next.
    fn rotate(&mut self, syncs: &Syncs) -> Result<()> {
        let prepared = prepare(&*self.files, self.format, &self.options, syncs)?;
        let turn = syncs.turn();
        let sealed = self.switch_to(prepared, &turn, syncs)?;
        sealed.name_next(&*self.files, syncs, turn)
    }

    /// Ends the live segment, which has a batch, and lets appends go to the one that was prepared. Whoever has called this
    /// keeps the turn until [`Sealed::name_next`] has returned: until then nothing in the new segment is said to be durable.
    pub(super) fn switch_to(&mut self, prepared: Prepared, turn: &Turn<'_>, syncs: &Syncs) -> Result<Sealed> {
        let live = self.live.clone().ok_or_else(not_claimed)?;
        syncs.check()?;
        if syncs.durable() < self.last && !is_unsynced() {
            turn.sync()?;
        }
        let first = self.last.checked_add(1).ok_or(Error::Limit {
            what: "versions".into(),
            limit: u64::MAX,
            found: u64::MAX,
        })?;
        let (header, number) = self.header(first, self.last);
        let Prepared { file, filled } = prepared;
        if let Err(error) = write_all(&*file, &header, 0) {
            // If it stays, the next attempt or the next opening removes it.
            let _ = uninterrupted(|| self.files.remove(NEXT));
            return Err(failed("write", NEXT, error));
        }
        syncs.sync_file(&*file, NEXT)?;
        rename(&*self.files, syncs, WAL, LIVE, &archive_path(self.first))?;
        self.archive.add(self.first, self.end);
        let sealed = Sealed { file: live, end: self.end };
        let start = header.len() as u64;
        self.switch(turn, Live { file, first, number, start, end: start, last: self.last });
        self.filled = filled.max(start);
        Ok(sealed)
    }

    pub(super) fn switch(&mut self, turn: &Turn<'_>, live: Live) {
        turn.switch(Arc::clone(&live.file));
        self.install(live);
    }

    /// Cuts filler and syncs: the log as it is left.
    pub(super) fn close(&mut self, syncs: &Syncs) -> Result<()> {
        let live = self.live.clone().ok_or_else(not_claimed)?;
        let turn = syncs.turn();
        syncs.check()?;
        set_length(&*live, self.end).map_err(|error| failed("cut", LIVE, error))?;
        self.filled = self.end;
        turn.sync()
    }
}

/// A segment to be: under the name [`NEXT`], durably, with filler written ahead and no header yet.
pub(super) struct Prepared {
    file: Arc<dyn RandomAccessFile>,
    filled: u64,
}

impl Prepared {
    /// Syncs what there is of it, so that little is left to sync with the header, for which appends wait.
    pub(super) fn sync(&self, syncs: &Syncs) -> Result<()> {
        syncs.sync_file(&*self.file, NEXT)
    }
}

/// Makes it.
pub(super) fn prepare(files: &dyn Files, format: Format, options: &FileOptions, syncs: &Syncs) -> Result<Prepared> {
    let file = create_anew(files, NEXT)?;
    let to = FIRST_BYTES.min(options.preallocate_bytes).min(options.segment_bytes);
    let filled = fill(&*file, format, 0, to);
    syncs.sync_folder(files, WAL)?;
    Ok(Prepared { file, filled })
}

/// A segment that was ended, under its archive name.
pub(super) struct Sealed {
    file: Arc<dyn RandomAccessFile>,
    /// Where its batches end.
    end: u64,
}

impl Sealed {
    /// Gives the segment behind it its name, durably, and the turn to others. Appends go on meanwhile.
    pub(super) fn name_next(self, files: &dyn Files, syncs: &Syncs, turn: Turn<'_>) -> Result<()> {
        #[cfg(feature = "testing")]
        if is_planted(Plant::TurnBeforeName) {
            drop(turn);
            return self.rename_next(files, syncs);
        }
        self.rename_next(files, syncs)?;
        turn.end();
        Ok(())
    }

    fn rename_next(self, files: &dyn Files, syncs: &Syncs) -> Result<()> {
        syncs.sync_folder(files, WAL)?;
        // There is no way back that could not fail as well.
        uninterrupted(|| files.rename(NEXT, LIVE)).map_err(|error| syncs.poison("rename", NEXT, error))?;
        syncs.sync_folder(files, WAL)?;
        // For the sake of space alone: filler may stand at the end of every segment.
        let _ = set_length(&*self.file, self.end);
        Ok(())
    }
}

/// Writes filler from `at` to `to`, and answers how far it came.
fn fill(file: &dyn RandomAccessFile, format: Format, mut at: u64, to: u64) -> u64 {
    let filler = match format {
        Format::Binary => &ZEROS,
        Format::JsonLines => &LINE_FEEDS,
    };
    while at < to {
        let piece = &filler[..usize::try_from(to - at).unwrap_or(FILLER_BYTES).min(FILLER_BYTES)];
        if write_all(file, piece, at).is_err() {
            return at;
        }
        at += piece.len() as u64;
    }
    at
}

/// Whether segments are to be ended without a sync.
pub(super) fn is_unsynced() -> bool {
    #[cfg(feature = "testing")]
    return is_planted(Plant::RotateUnsynced);
    #[cfg(not(feature = "testing"))]
    return false;
}

/// A number that no other log or segment has: what the system gives to seed hashing, hashed.
pub(super) fn random_number() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cold]
pub(super) fn not_claimed() -> Error {
    Error::InvalidStorageCall { message: "the storage is not claimed, or closed" }
}
