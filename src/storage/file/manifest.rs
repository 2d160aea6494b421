//! The manifest: which checkpoint counts, in a file that is replaced whole.
//!
//! A line with magic, format version, length and checksum, then readable JSON. The checksum covers the line before it
//! and everything behind it; the line has one form only.

use super::files::{Files, failed, read_file, uninterrupted, write_all};
use super::layout::{MANIFEST, MANIFEST_NEW, object_path, parse_object_path};
use super::syncs::Syncs;
use crate::error::{Error, Result};
use crate::storage::engine::{Checkpoint, Format, Manifest, Object};
use crate::value::{Tree, read_form, write_form};
use std::io;
use std::ops::Range;
use std::sync::Arc;

pub(super) const FORMAT_VERSION: u64 = 1;

pub(super) const MAGIC_BYTES: &[u8; 15] = b"folio manifest ";
pub(super) const MAGIC: Range<usize> = 0..15;
pub(super) const VERSION: Range<usize> = 15..20;
#[cfg(test)]
pub(super) const LENGTH: Range<usize> = 21..41;
pub(super) const CHECKSUM: Range<usize> = 42..50;
/// Of the first line, with its line feed.
pub(super) const LINE_BYTES: usize = 51;

/// All that the manifest holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    pub(super) records: Format,
    /// The number of the log that belongs to it.
    pub(super) log: u64,
    /// The number of the segment that was being written.
    pub(super) segment: u64,
    pub(super) manifest: Manifest,
}

struct Body {
    generation: u64,
    records: String,
    log: String,
    segment: String,
    durable: u64,
    version: u64,
    objects: Vec<ObjectBody>,
    content: Tree,
}

struct ObjectBody {
    file: String,
    offset: u64,
    length: u64,
    checksum: String,
}

read_form!(impl<'de> for Body, {
    generation: "generation",
    records: "records",
    log: "log",
    segment: "segment",
    durable: "durable",
    version: "version",
    objects: "objects",
    content: "content",
}, {});
write_form!(Body, {
    generation: "generation",
    records: "records",
    log: "log",
    segment: "segment",
    durable: "durable",
    version: "version",
    objects: "objects",
    content: "content",
}, {});

read_form!(impl<'de> for ObjectBody, { file: "file", offset: "offset", length: "length", checksum: "checksum" }, {});
write_form!(ObjectBody, { file: "file", offset: "offset", length: "length", checksum: "checksum" }, {});

fn checksum(line: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(line);
    hasher.update(body);
    hasher.finalize()
}

/// The bytes of a manifest.
///
/// # Errors
/// [`Error::InvalidStorageCall`] for one that no opening could read again.
pub(super) fn encode(stored: &Stored) -> Result<Vec<u8>> {
    let bytes = write(stored)?;
    match decode(&bytes) {
        Ok(read) if read == *stored => Ok(bytes),
        _ => Err(Error::InvalidStorageCall {
            message: "a manifest's content that could not be read again, or objects that share bytes",
        }),
    }
}

fn write(stored: &Stored) -> Result<Vec<u8>> {
    let Manifest { generation, durable, checkpoint } = &stored.manifest;
    let objects = checkpoint.objects.iter().map(|object| ObjectBody {
        file: object_path(object.kind, &object.table, object.generation),
        offset: object.offset,
        length: object.length,
        checksum: format!("{:08x}", object.checksum),
    });
    let body = Body {
        generation: *generation,
        records: stored.records.name().into(),
        log: format!("{:016x}", stored.log),
        segment: format!("{:016x}", stored.segment),
        durable: *durable,
        version: checkpoint.version,
        objects: objects.collect(),
        content: Tree(checkpoint.content.clone()),
    };
    let mut body = serde_json::to_vec_pretty(&body)
        .map_err(|error| failed("write", MANIFEST_NEW, io::Error::new(io::ErrorKind::InvalidData, error)))?;
    body.push(b'\n');
    let mut bytes = format!("folio manifest {FORMAT_VERSION:05} {:020} ", body.len()).into_bytes();
    let checksum = checksum(&bytes, &body);
    bytes.extend_from_slice(format!("{checksum:08x}\n").as_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Stored> {
    let corrupt = |offset: usize, expected: &str, found: &str| Error::Corrupt {
        file: MANIFEST.into(),
        offset: offset as u64,
        expected: expected.into(),
        found: found.into(),
    };
    let (line, body) = bytes
        .split_at_checked(LINE_BYTES)
        .ok_or_else(|| corrupt(0, "a line of 51 bytes and a body", "a shorter file"))?;
    if line[MAGIC] != *MAGIC_BYTES {
        return Err(corrupt(0, "the first line of a manifest", "other bytes"));
    }
    let text = |field: Range<usize>| std::str::from_utf8(&line[field]).unwrap_or("");
    let version = text(VERSION).parse().unwrap_or(0);
    let expected = format!("folio manifest {version:05} {:020} ", body.len());
    let sum = checksum(expected.as_bytes(), body);
    if line[..CHECKSUM.start] != *expected.as_bytes() || line[CHECKSUM.start..] != *format!("{sum:08x}\n").as_bytes() {
        return Err(corrupt(0, "a manifest that matches its length and checksum", "other bytes"));
    }
    if version != FORMAT_VERSION {
        return Err(Error::UnsupportedFormat {
            file: MANIFEST.into(),
            what: "format version",
            found: version,
            supported: FORMAT_VERSION,
        });
    }
    let unread = |reason: String| corrupt(LINE_BYTES, "the fields of a manifest", &reason);
    let body = std::str::from_utf8(body).map_err(|error| unread(error.to_string()))?;
    let body: Body = serde_json::from_str(body).map_err(|error| unread(error.to_string()))?;
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let mut objects = Vec::new();
    for object in &body.objects {
        let (kind, table, generation) = parse_object_path(&object.file)
            .ok_or_else(|| corrupt(LINE_BYTES, "the file of an object", &object.file))?;
        let checksum = hex(&object.checksum).and_then(|sum| u32::try_from(sum).ok());
        let (Some(checksum), Some(_)) = (checksum, object.offset.checked_add(object.length)) else {
            return Err(corrupt(LINE_BYTES, "an object with a checksum, within a file", &object.file));
        };
        let (offset, length) = (object.offset, object.length);
        objects.push(Object { kind, table: Arc::from(table), generation, offset, length, checksum });
    }
    refuse_shared(&objects)?;
    let records = body.records.parse::<Format>().map_err(|()| corrupt(LINE_BYTES, "a record format", &body.records))?;
    let log = hex(&body.log).ok_or_else(|| corrupt(LINE_BYTES, "the number of a log", &body.log))?;
    let segment = hex(&body.segment).ok_or_else(|| corrupt(LINE_BYTES, "the number of a segment", &body.segment))?;
    if body.durable < body.version {
        return Err(corrupt(LINE_BYTES, "a log that is durable up to the checkpoint", "less"));
    }
    let checkpoint = Checkpoint { version: body.version, objects, content: body.content.0 };
    let manifest = Manifest { generation: body.generation, durable: body.durable, checkpoint };
    Ok(Stored { records, log, segment, manifest })
}

/// Refuses objects that have bytes in common. Else a few bytes of a manifest could have any number of bytes read: those of
/// one large object, named again and again.
fn refuse_shared(objects: &[Object]) -> Result<()> {
    let mut places: Vec<_> = objects
        .iter()
        .map(|object| ((object.kind, &object.table, object.generation), object.offset, object.length))
        .collect();
    places.sort_unstable();
    for ((file, offset, length), (next_file, next, _)) in places.iter().zip(places.iter().skip(1)) {
        if file == next_file && next - offset < *length {
            return Err(Error::Corrupt {
                file: MANIFEST.into(),
                offset: LINE_BYTES as u64,
                expected: "objects that share no bytes".into(),
                found: format!("two at byte {next} of `{}`", object_path(file.0, file.1, file.2)).into(),
            });
        }
    }
    Ok(())
}

pub(super) fn read(files: &dyn Files) -> Result<Stored> {
    decode(&read_file(files, MANIFEST)?)
}

/// Replaces the manifest on disk: the new one is whole and durable under another name before it takes this one, and has
/// it durably on return. An error leaves the one before; where that cannot be known, writes are refused from then on.
pub(super) fn replace(files: &dyn Files, syncs: &Syncs, stored: &Stored) -> Result<()> {
    let bytes = encode(stored)?;
    let file = create_anew(files, MANIFEST_NEW)?;
    let written = write_all(&*file, &bytes, 0);
    if let Err(error) = written {
        let _ = uninterrupted(|| files.remove(MANIFEST_NEW));
        return Err(failed("write", MANIFEST_NEW, error));
    }
    syncs.sync_file(&*file, MANIFEST_NEW)?;
    rename(files, syncs, "", MANIFEST_NEW, MANIFEST)?;
    syncs.sync_folder(files, "")
}

/// Makes a file whose name only a crash can have left behind.
pub(super) fn create_anew(files: &dyn Files, path: &str) -> Result<Arc<dyn super::files::RandomAccessFile>> {
    let created = match uninterrupted(|| files.create(path)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            uninterrupted(|| files.remove(path)).map_err(|error| failed("remove", path, error))?;
            uninterrupted(|| files.create(path))
        }
        answer => answer,
    };
    created.map_err(|error| failed("create", path, error))
}

/// Renames within a folder. Should it fail and not be seen to have changed nothing, writes are refused from then on.
pub(super) fn rename(files: &dyn Files, syncs: &Syncs, folder: &str, from: &str, to: &str) -> Result<()> {
    let Err(error) = uninterrupted(|| files.rename(from, to)) else { return Ok(()) };
    let name = from.rsplit('/').next().unwrap_or(from);
    match uninterrupted(|| files.list(folder)) {
        Ok(entries) if entries.iter().any(|entry| entry.name == name) => Err(failed("rename", from, error)),
        _ => Err(syncs.poison("rename", from, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::engine::ObjectKind;

    fn example() -> Stored {
        let object = Object {
            kind: ObjectKind::Records,
            table: "A table".into(),
            generation: 3,
            offset: 17,
            length: u64::MAX - 17,
            checksum: 7,
        };
        let content = serde_json::json!({ "tables": ["A table"], "rows": u64::MAX });
        let checkpoint = Checkpoint { version: 9, objects: vec![object], content };
        let manifest = Manifest { generation: 4, durable: 12, checkpoint };
        Stored { records: Format::JsonLines, log: u64::MAX, segment: 8, manifest }
    }

    #[test]
    fn a_manifest_returns() {
        assert_eq!(decode(&encode(&example()).unwrap()).unwrap(), example());
    }

    #[test]
    fn objects_that_share_bytes_are_refused() {
        let objects = |places: &[(u64, u64, u64)]| {
            let mut stored = example();
            let object = stored.manifest.checkpoint.objects.remove(0);
            let at = |&(generation, offset, length): &_| Object { generation, offset, length, ..object.clone() };
            stored.manifest.checkpoint.objects = places.iter().map(at).collect();
            stored
        };
        for apart in [&[(0, 5, 10), (0, 0, 5), (1, 0, 9), (0, 15, 1)][..], &[(0, 5, 0), (0, 5, 10), (0, 5, 0)]] {
            let stored = objects(apart);
            assert_eq!(decode(&encode(&stored).unwrap()).unwrap(), stored);
        }
        for shared in [&[(0, 5, 10), (0, 5, 10)][..], &[(0, 14, 1), (1, 0, 1), (0, 5, 10)], &[(0, 0, 9), (0, 3, 1)]] {
            let stored = objects(shared);
            assert!(matches!(decode(&write(&stored).unwrap()), Err(Error::Corrupt { .. })), "{shared:?}");
            assert!(matches!(encode(&stored), Err(Error::InvalidStorageCall { .. })), "{shared:?}");
        }
    }

    #[test]
    fn no_other_bytes_are_a_manifest() {
        let bytes = encode(&example()).unwrap();
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_other_version_is_named() {
        let bytes = encode(&example()).unwrap();
        for version in (0..=65_535_u64).filter(|version| *version != FORMAT_VERSION) {
            let body = &bytes[LINE_BYTES..];
            let mut other = format!("folio manifest {version:05} {:020} ", body.len()).into_bytes();
            let sum = checksum(&other, body);
            other.extend_from_slice(format!("{sum:08x}\n").as_bytes());
            other.extend_from_slice(body);
            assert!(matches!(decode(&other), Err(Error::UnsupportedFormat { found, .. }) if found == version));
        }
    }
}
