//! How far a log says that it is durable, and how far it can be read: PERSISTENCE.md's rule, written a second time.

use folio::storage::Format;
use folio::testing::Image;

pub(crate) const LIVE: &str = "wal/transaction.log";

/// What there is to read in the segment that was being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The last version of the whole batches that follow one another.
    pub(crate) last: u64,
    /// The last version that it, or the manifest, calls durable.
    pub(crate) durable: u64,
    /// Nothing but filler is behind those batches.
    pub(crate) is_clean: bool,
}

struct Header {
    log: u64,
    first: u64,
    synced: u64,
    /// Of a batch: versions, and the payload's length and checksum.
    count: u64,
    length: usize,
    body: u64,
    bytes: usize,
}

impl Reading {
    /// None if the segment's header cannot be read, or the manifest.
    pub(crate) fn of(image: &Image, format: Format) -> Option<Reading> {
        let (manifest, bytes) = (image.get("manifest")?, image.get(LIVE)?);
        let manifest: serde_json::Value = serde_json::from_slice(manifest.get(51..)?).ok()?;
        let segment = header(format, "log", bytes)?;
        let mut durable = manifest["durable"].as_u64()?.max(segment.synced);
        let (mut last, mut end) = (segment.first - 1, segment.bytes);
        while let Some(batch) = header(format, "batch", &bytes[end..]) {
            let payload = bytes.get(end + batch.bytes..).and_then(|rest| rest.get(..batch.length));
            let is_next = batch.log == segment.log && batch.first == last + 1;
            if !is_next || payload.is_none_or(|payload| u64::from(crc32fast::hash(payload)) != batch.body) {
                break;
            }
            (last, end) = (last + batch.count, end + batch.bytes + batch.length);
        }
        // Of any batch that still can be read, wherever it stands.
        let anywhere = (segment.bytes..bytes.len()).filter_map(|at| header(format, "batch", &bytes[at..]));
        durable = anywhere.filter(|batch| batch.log == segment.log).map(|batch| batch.synced).fold(durable, u64::max);
        let filler = if format == Format::Binary { 0 } else { b'\n' };
        Some(Reading { last, durable, is_clean: bytes[end..].iter().all(|byte| *byte == filler) })
    }
}

fn header(format: Format, kind: &str, bytes: &[u8]) -> Option<Header> {
    match format {
        Format::Binary => {
            let number = |from: usize, to: usize| {
                bytes[from..to].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
            };
            let (magic, length) = if kind == "log" { (&b"FOLIOLOG"[..], 64) } else { (&b"\xf0BAT"[..], 52) };
            let sum = u64::from(crc32fast::hash(
                bytes.get(..length).filter(|_| bytes.starts_with(magic))?.get(..length - 4)?,
            ));
            if number(length - 4, length) != sum {
                return None;
            }
            Some(match kind {
                "log" => {
                    let (log, first, synced) = (number(16, 24), number(24, 32), number(32, 40));
                    Header { log, first, synced, count: 0, length: 0, body: 0, bytes: length }
                }
                _ => Header {
                    log: number(8, 16),
                    first: number(16, 24),
                    synced: number(40, 48),
                    count: number(24, 28),
                    length: number(32, 40) as usize,
                    body: number(28, 32),
                    bytes: length,
                },
            })
        }
        Format::JsonLines => {
            if !bytes.starts_with(format!("{{\"folio\":\"{kind}\"").as_bytes()) {
                return None;
            }
            let line = std::str::from_utf8(&bytes[..bytes.iter().position(|byte| *byte == b'\n')?]).ok()?;
            let (covered, head) = line.split_once(r#","head":""#)?;
            if head != format!("{:08x}\"}}", crc32fast::hash(covered.as_bytes())) {
                return None;
            }
            let fields: serde_json::Value = serde_json::from_str(line).ok()?;
            let number = |name: &str| fields[name].as_u64().unwrap_or(0);
            let hex = |name: &str| u64::from_str_radix(fields[name].as_str().unwrap_or("0"), 16).unwrap_or(0);
            Some(Header {
                log: hex("log"),
                first: number("first"),
                synced: number("synced"),
                count: number("count"),
                length: number("bytes") as usize,
                body: hex("body"),
                bytes: line.len() + 1,
            })
        }
    }
}
