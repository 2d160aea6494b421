//! The contract of a storage engine: a log with checkpoints.
//!
//! Shaped so that an engine over local files, a replicated log or an object store fits alike: batches are appended at an
//! expected position, read from a position, and made durable up to a position; checkpoints are immutable objects and one
//! manifest that is replaced by compare-and-swap. Positions are versions: a batch that makes the versions 7, 8 and 9 is at
//! 7, and the log's end is then 9. So position and version cannot disagree, and a batch names its own position.
//!
//! An engine value *is* an opened storage: opening reads and checks, and changes nothing that is there. What only a
//! writer may do (cut a torn tail, make the surviving log durable, remove what a crash left) waits for
//! [`StorageEngine::claim`], so that a caller who finds a checkpoint unusable has not changed the disk.

use crate::error::Result;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// How the layer above shall encode payloads and objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Any bytes.
    #[default]
    Binary,
    /// UTF-8 lines, each ending in a line feed.
    JsonLines,
}

/// Consecutive versions that become durable together or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch<'a> {
    /// The first version that the batch makes: one above the log's end, or [`StorageEngine::append`] answers a conflict.
    pub first: u64,
    /// How many versions it makes, at least one.
    pub count: u32,
    /// What it does. In [`Format::JsonLines`] it is empty or ends in a line feed.
    pub payload: &'a [u8],
}

impl Batch<'_> {
    /// The last version that the batch makes; none where there is no such number.
    pub fn last(&self) -> Option<u64> {
        self.first.checked_add(u64::from(self.count).checked_sub(1)?)
    }
}

/// What [`StorageEngine::append`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a conflict means that nothing was appended"]
pub enum Appended {
    /// The log now ends at this version, the batch's last.
    At(u64),
    /// Nothing was appended: the log ends at this version, and the batch does not begin behind it.
    Conflict(u64),
}

/// What an object is, which decides where a file engine keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// The description of a table.
    Schema,
    /// Rows of a table.
    Records,
}

/// Where a new object goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placement {
    /// Beside the other objects of this kind and table, sharing their space where the engine has such a thing.
    Append,
    /// In space of its own, so that all older objects of this kind and table can be given back.
    Replace,
}

/// An immutable object, as a manifest names it. The engine that wrote it makes it; others keep it as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Object {
    pub(crate) kind: ObjectKind,
    pub(crate) table: Arc<str>,
    pub(crate) generation: u64,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) checksum: u32,
}

impl Object {
    /// For engines: what [`ObjectWriter::finish`] answers, and what is read back from a manifest. The caller hands it
    /// back equal, and looks at `kind`, `table`, `generation` and `length` alone: `offset` and `checksum` are for the
    /// engine to find its content and to know it again.
    ///
    /// ```
    /// use folio::storage::{Object, ObjectKind};
    ///
    /// let object = Object::new(ObjectKind::Records, "cities", 7, 0, 1_200, 0);
    /// assert_eq!((object.table(), object.generation(), object.length()), ("cities", 7, 1_200));
    /// ```
    pub fn new(
        kind: ObjectKind,
        table: impl Into<Arc<str>>,
        generation: u64,
        offset: u64,
        length: u64,
        checksum: u32,
    ) -> Self {
        Self { kind, table: table.into(), generation, offset, length, checksum }
    }

    /// What it is.
    pub fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// The name of the table it belongs to.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Where it is, for messages: the file engine's path within its directory.
    pub(crate) fn place(&self) -> String {
        #[cfg(any(unix, windows))]
        return super::file::object_path(self.kind, &self.table, self.generation);
        #[cfg(not(any(unix, windows)))]
        return format!("{:?} of `{}`, generation {}", self.kind, self.table, self.generation);
    }

    /// Bytes of its content.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where in its space it begins, as the engine has said; also for messages about damage.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Of its content, as the engine has said.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Which space it is in: objects of one kind and table with the same generation share theirs, which is given back
    /// when a manifest names none of them.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// A checkpoint to be: all that the next manifest shall name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checkpoint {
    /// The version that the objects together are; the log behind it completes them.
    pub version: u64,
    /// In the caller's order, which is kept.
    pub objects: Vec<Object>,
    /// What else the layer above wants to find there. Small: large things are objects.
    pub content: serde_json::Value,
}

/// The durable checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Rises with each manifest. [`StorageEngine::replace_manifest`] names the one it replaces.
    pub generation: u64,
    /// The log was durable up to here when the manifest was written, at least up to the checkpoint's version.
    pub durable: u64,
    /// What it names.
    pub checkpoint: Checkpoint,
}

/// How reading the log ended. Damage that is no torn tail is an error of opening instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenReport {
    /// There was nothing; a new storage begins with [`StorageEngine::claim`].
    Empty,
    /// The log ends with a whole batch. That says nothing of how the process ended before: one that was killed between two
    /// commits leaves it so, too.
    Clean,
    /// The log ends in something unfinished that nobody was told is durable. It is left out, and gone from disk after
    /// [`StorageEngine::claim`].
    TornTail {
        /// Versions that can be made out in what is cut; there may have been more.
        versions: u64,
        /// Bytes that are cut.
        bytes: u64,
    },
}

/// What opening found.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovery {
    /// The checkpoint, if there was one.
    pub manifest: Option<Manifest>,
    /// The log's last version, at least that of the checkpoint; 0 if there never was one.
    pub last: u64,
    /// How the log ended.
    pub report: OpenReport,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where, in the engine's terms: a path within the directory.
    pub file: Box<str>,
    /// At which byte, or in what begins there.
    pub offset: u64,
    /// What should be there.
    pub expected: Box<str>,
    /// What is.
    pub found: Box<str>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: expected {}, found {}", self.file, self.offset, self.expected, self.found)
    }
}

/// Figures of an engine since it was opened, and of its space now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StorageStats {
    /// The log's last version.
    pub appended: u64,
    /// The last version that is durable.
    pub durable: u64,
    /// Batches appended.
    pub batches: u64,
    /// Bytes of those batches, headers included.
    pub batch_bytes: u64,
    /// Bytes of the log as it is kept, without space that is only reserved.
    pub log_bytes: u64,
    /// Segments of the log, the one being written included.
    pub log_segments: u64,
    /// Times that the log was made durable.
    pub syncs: u64,
    /// Versions made durable by those; by [`syncs`](StorageStats::syncs) it is the number of commits that shared one.
    pub synced_versions: u64,
    /// The longest of those syncs.
    pub longest_sync: Duration,
    /// Bytes of files that hold objects, dead space included.
    pub object_bytes: u64,
    /// Bytes of the objects that the manifest names.
    pub live_object_bytes: u64,
}

impl StorageStats {
    /// How many commits shared a sync, on average; 0 without one.
    pub fn commits_per_sync(&self) -> f64 {
        if self.syncs == 0 { 0.0 } else { self.synced_versions as f64 / self.syncs as f64 }
    }
}

/// Takes an object's content. Dropped before [`finish`](ObjectWriter::finish), it leaves nothing.
pub trait ObjectWriter: Send {
    /// Adds bytes.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), [`Error::StorageFull`](crate::Error::StorageFull); the object can then only be
    /// dropped. [`Error::Poisoned`](crate::Error::Poisoned).
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Ends the object, which a manifest can then name. Not durable before that.
    ///
    /// # Errors
    /// As [`write`](ObjectWriter::write), and [`Error::SyncFailed`](crate::Error::SyncFailed) where the engine makes objects
    /// durable meanwhile.
    fn finish(self: Box<Self>) -> Result<Object>;
}

/// Gives an object's content.
pub trait ObjectReader: Send {
    /// Fills the beginning of `into` and answers how many bytes; 0 at the end, or for an empty `into`. **The content is
    /// as it was written once 0 has been answered at the end**; before, it may be damaged in any way.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), at the latest instead of the last 0; [`Error::Io`](crate::Error::Io).
    /// After an error every further call answers an error.
    fn read(&mut self, into: &mut [u8]) -> Result<usize>;

    /// The whole content, checked.
    ///
    /// # Errors
    /// As [`read`](ObjectReader::read).
    fn read_to_end(&mut self) -> Result<Vec<u8>> {
        let (mut content, mut end) = (Vec::new(), 0);
        loop {
            // Twice what there is each time, so that a small object costs little.
            content.resize((end * 2).max(1 << 10), 0);
            match self.read(&mut content[end..])? {
                0 => break,
                read => end += read,
            }
        }
        content.truncate(end);
        Ok(content)
    }
}

/// A log of batches with checkpoints; see the [module](crate::storage) for those there are.
///
/// # A life
///
/// An engine's constructor opens the storage and answers [`recovery`](Self::recovery). The caller loads the checkpoint
/// with [`open_object`](Self::open_object), replays [`read_from`](Self::read_from) its version + 1, and, finding all
/// whole, calls [`claim`](Self::claim). From then on it appends, syncs, and now and then writes objects, replaces the
/// manifest and releases the log behind it; at the end it calls [`close`](Self::close). Dropping an engine without that
/// is what a crash of the process is: nothing appended is lost, but the next opening has to look closer.
///
/// # Versions
///
/// The log is a gapless run of versions from 1. After any crash it is the versions up to some *v*, with *v* at least the
/// last one that was acknowledged as durable. A batch is there whole or not at all, with exactly the bytes appended.
///
/// # At once
///
/// All methods may be called from any thread. Appends are serialized by the engine, and the caller keeps them in
/// version order; `sync` never waits for an append, and an append waits for a sync only when the log changes segments.
/// One checkpoint is made at a time: `replace_manifest` drops every finished object that it is not given.
///
/// # Errors
///
/// - `Io`, `StorageFull`: what was asked for did not happen, and the engine goes on. When there is space again, so do
///   writes.
/// - `SyncFailed`: the outcome is unknown until reopened: whole or not at all. Nothing is tried again, since an operating
///   system may after a failed sync show bytes that the device does not hold. From then on whatever writes answers
///   `Poisoned` and did not happen. `durable` stays where it was. Reading goes on.
/// - `Corrupt`, `UnsupportedFormat`: what is stored cannot be used, and was not changed.
/// - `InvalidStorageCall`: before `claim`, after `close`, or with arguments that cannot be.
///
/// # Fencing
///
/// At most one claimed engine writes. Local engines refuse a second opening with `Locked`. One over shared storage that
/// cannot refuse must see to it that a claim makes every `append` and `replace_manifest` of an older claim answer a
/// conflict, with nothing changed; a caller who meets one stops writing and opens anew.
pub trait StorageEngine: Send + Sync + 'static {
    /// How payloads and objects are to be encoded: chosen when the storage was created.
    fn format(&self) -> Format;

    /// What opening found. Does not change afterwards.
    fn recovery(&self) -> &Recovery;

    /// Makes the storage this engine's to write. On return the log up to [`Recovery::last`] is durable, what was torn is
    /// gone, and objects that the manifest does not name are removed as far as possible. It may be stopped anywhere, any
    /// number of times: the next opening finds the same.
    ///
    /// # Errors
    /// As the trait; after any, only dropping the engine makes sense.
    fn claim(&self) -> Result<()>;

    /// Appends `batch` behind the log's end. On `Ok(Appended::At)` it has been handed to the operating system (or what
    /// stands for it): it survives the end of this process, and is durable after a [`sync`](Self::sync). It never waits
    /// for stable storage, except when a segment of the log is full: that is made durable before the next is begun.
    ///
    /// # Errors
    /// As the trait. On `Io` and `StorageFull` the batch is not in the log and never will be, and the same version can be
    /// appended again. [`Error::Limit`](crate::Error::Limit): version numbers have come to their end.
    fn append(&self, batch: Batch<'_>) -> Result<Appended>;

    /// Waits until the log is durable up to version `through`, which must have been appended. Callers that wait together
    /// share one sync of all that was appended when it began.
    ///
    /// # Errors
    /// `SyncFailed` or `Poisoned`: it is unknown whether the batches between [`durable`](Self::durable) and `through`
    /// will be there after reopening (a prefix of them will). `Conflict`: nothing was appended there.
    fn sync(&self, through: u64) -> Result<()>;

    /// The last version appended. Cost: a load.
    fn appended(&self) -> u64;

    /// The last version known to be durable. Cost: a load.
    fn durable(&self) -> u64;

    /// Gives `visit` the batches from the one that makes `version` to the log's end at the time of the call, in order,
    /// each checked. Appends go on meanwhile. An error of `visit` ends it and is answered.
    ///
    /// # Errors
    /// [`Error::NotInLog`](crate::Error::NotInLog): a checkpoint covers `version`, and its segment was released, maybe
    /// while this was reading. `Corrupt`, `Io`.
    fn read_from(&self, version: u64, visit: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()>;

    /// Ends the segment being written, so that a checkpoint of its last version can release it. On return the log is
    /// durable up to the version that was last when it was called. Nothing happens if the segment is empty.
    ///
    /// # Errors
    /// As the trait.
    fn seal(&self) -> Result<()>;

    /// Gives back, or archives where the engine is so told, sealed segments that end at or before `through`; never past
    /// the version of the durable manifest. Idempotent.
    ///
    /// # Errors
    /// As the trait; some segments may have been released by then.
    fn release_log(&self, through: u64) -> Result<()>;

    /// Begins an object of `table`.
    ///
    /// # Errors
    /// As the trait.
    fn create_object(&self, kind: ObjectKind, table: &str, placement: Placement) -> Result<Box<dyn ObjectWriter>>;

    /// Reads an object that a manifest names or named. It may be gone if the manifest no longer does; a reader that is
    /// open goes on.
    ///
    /// # Errors
    /// `Corrupt` if it is missing or too short, `Io`.
    fn open_object(&self, object: &Object) -> Result<Box<dyn ObjectReader>>;

    /// The durable manifest; none before `claim` of a new storage.
    fn manifest(&self) -> Option<Manifest>;

    /// Replaces the manifest of generation `expected` by one that names `checkpoint`, and answers its generation. On
    /// return the log up to the checkpoint's version, all its objects, and the manifest are durable; after a crash the
    /// storage has the old one whole or the new one whole. Then the space of objects that are no longer named is given
    /// back, as far as possible.
    ///
    /// # Errors
    /// As the trait; the manifest before stays in use. `Conflict`: the manifest's generation is another.
    /// `InvalidStorageCall` also for what could not be read again: an engine may refuse objects that share bytes, and a
    /// content nested more than a hundred levels deep, or with keys that `serde_json` keeps for itself.
    fn replace_manifest(&self, expected: u64, checkpoint: Checkpoint) -> Result<u64>;

    /// Figures. Cost: O(segments + objects).
    fn stats(&self) -> StorageStats;

    /// Reads every byte of everything that is stored and reports each damage, not only the first. Writing may go on.
    ///
    /// # Errors
    /// `Io` where reading was not possible at all.
    fn verify(&self, report: &mut dyn FnMut(Damage)) -> Result<()>;

    /// Makes everything durable, notes that the log ends here, and lets others open the storage. Later calls that write
    /// answer `InvalidStorageCall`. Closing twice, or an engine that was never claimed, only unlocks.
    ///
    /// # Errors
    /// As the trait; the storage is unlocked all the same.
    fn close(&self) -> Result<()>;
}

impl Format {
    /// A stable name: `binary`, `json-lines`.
    pub fn name(self) -> &'static str {
        match self {
            Format::Binary => "binary",
            Format::JsonLines => "json-lines",
        }
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [Format::Binary, Format::JsonLines].into_iter().find(|format| format.name() == name).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_knows_its_last_version_if_it_has_one() {
        let batch = |first, count| Batch { first, count, payload: b"" }.last();
        assert_eq!(batch(7, 3), Some(9));
        assert_eq!(batch(7, 0), None);
        assert_eq!(batch(u64::MAX, 1), Some(u64::MAX));
        assert_eq!(batch(u64::MAX, 2), None);
    }
}
