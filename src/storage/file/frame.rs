//! The bytes of the log: segments that begin with a header, and batches in frames behind it.
//!
//! A header says which log it is of, where in the log it is, and how far the log was durable when it was written, all
//! under a checksum; a frame's header also holds the checksum of its payload. So a whole frame from elsewhere (another
//! log, another place in this one) is refused as a damaged one is. The log's number is random, which no content can
//! imitate by accident.
//!
//! Both formats have the same fields. In binary they stand at fixed places; in JSON Lines they are one line of JSON whose
//! form leaves no choice, so that it is read without a JSON parser and a line of any other form is damage. Magic, format
//! version and the header's checksum keep their places in all versions to come: a version that is unknown is told from
//! a damaged one.
//!
//! Behind the last frame a segment may hold filler: space that was written ahead.

use crate::storage::engine::{Batch, Format};
use std::fmt;
use std::io::Write;
use std::ops::Range;

/// Of segments and frames.
pub(super) const FORMAT_VERSION: u16 = 1;

/// The binary header of a segment.
pub(super) mod segment {
    use super::Range;
    pub(crate) const MAGIC_BYTES: [u8; 8] = *b"FOLIOLOG";
    pub(crate) const MAGIC: Range<usize> = 0..8;
    pub(crate) const VERSION: Range<usize> = 8..10;
    pub(crate) const RECORDS: Range<usize> = 10..12;
    pub(crate) const FEATURES: Range<usize> = 12..16;
    pub(crate) const LOG: Range<usize> = 16..24;
    pub(crate) const FIRST: Range<usize> = 24..32;
    pub(crate) const SYNCED: Range<usize> = 32..40;
    pub(crate) const NUMBER: Range<usize> = 40..48;
    pub(crate) const RESERVED: Range<usize> = 48..60;
    pub(crate) const CHECKSUM: Range<usize> = 60..64;
    pub(crate) const BYTES: usize = CHECKSUM.end;
}

/// The binary header of a frame.
pub(super) mod batch {
    use super::Range;
    pub(crate) const MAGIC_BYTES: [u8; 4] = *b"\xf0BAT";
    pub(crate) const MAGIC: Range<usize> = 0..4;
    pub(crate) const VERSION: Range<usize> = 4..6;
    pub(crate) const KIND: Range<usize> = 6..8;
    pub(crate) const LOG: Range<usize> = 8..16;
    pub(crate) const FIRST: Range<usize> = 16..24;
    pub(crate) const COUNT: Range<usize> = 24..28;
    pub(crate) const BODY: Range<usize> = 28..32;
    pub(crate) const LENGTH: Range<usize> = 32..40;
    pub(crate) const SYNCED: Range<usize> = 40..48;
    pub(crate) const CHECKSUM: Range<usize> = 48..52;
    pub(crate) const BYTES: usize = CHECKSUM.end;
}

/// No header line of JSON is longer.
const LINE_BYTES_MAX: usize = 256;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) log: u64,
    /// The version its first batch begins with.
    pub(super) first: u64,
    pub(super) synced: u64,
    /// A random number of this one file, by which the manifest knows it.
    pub(super) number: u64,
}

/// What a frame says of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) log: u64,
    pub(super) first: u64,
    pub(super) count: u32,
    /// Checksum of the payload.
    pub(super) body: u32,
    pub(super) length: u64,
    /// The log was durable up to here when this was written.
    pub(super) synced: u64,
}

impl FrameHeader {
    pub(super) fn of(batch: Batch<'_>, log: u64, synced: u64) -> Self {
        let length = batch.payload.len() as u64;
        let body = crc32fast::hash(batch.payload);
        Self { log, first: batch.first, count: batch.count, body, length, synced }
    }

    /// The last version of the batch.
    pub(super) fn last(&self) -> Option<u64> {
        Batch { first: self.first, count: self.count, payload: b"" }.last()
    }
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// What is wrong with them.
    Damaged(&'static str),
    /// Whole, and of a version or kind that is not known.
    Unsupported { what: &'static str, found: u64, supported: u64 },
}

/// What fills space that is written ahead: zeros, or empty lines, which tools for JSON Lines skip.
pub(super) fn filler(format: Format) -> u8 {
    match format {
        Format::Binary => 0,
        Format::JsonLines => b'\n',
    }
}

/// Nothing but filler, or the zeros that a file system may leave where bytes never arrived.
pub(super) fn is_blank(bytes: &[u8], format: Format) -> bool {
    let filler = filler(format);
    bytes.iter().all(|byte| *byte == 0 || *byte == filler)
}

fn number(bytes: &[u8], field: Range<usize>) -> u64 {
    bytes[field].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

pub(super) fn write_segment_header(format: Format, header: SegmentHeader, into: &mut Vec<u8>) {
    let SegmentHeader { log, first, synced, number } = header;
    match format {
        Format::Binary => {
            let mut bytes = [0; segment::BYTES];
            bytes[segment::MAGIC].copy_from_slice(&segment::MAGIC_BYTES);
            bytes[segment::VERSION].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
            bytes[segment::LOG].copy_from_slice(&log.to_le_bytes());
            bytes[segment::FIRST].copy_from_slice(&first.to_le_bytes());
            bytes[segment::SYNCED].copy_from_slice(&synced.to_le_bytes());
            bytes[segment::NUMBER].copy_from_slice(&number.to_le_bytes());
            let checksum = crc32fast::hash(&bytes[..segment::CHECKSUM.start]);
            bytes[segment::CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
            into.extend_from_slice(&bytes);
        }
        Format::JsonLines => {
            end_line(
                format_args!(
                    r#"{{"folio":"log","format":{FORMAT_VERSION},"log":"{log:016x}","first":{first},"synced":{synced},"segment":"{number:016x}""#
                ),
                into,
            );
        }
    }
}

pub(super) fn write_frame_header(format: Format, header: &FrameHeader, into: &mut Vec<u8>) {
    let FrameHeader { log, first, count, body, length, synced } = *header;
    match format {
        Format::Binary => {
            let mut bytes = [0; batch::BYTES];
            bytes[batch::MAGIC].copy_from_slice(&batch::MAGIC_BYTES);
            bytes[batch::VERSION].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
            bytes[batch::LOG].copy_from_slice(&log.to_le_bytes());
            bytes[batch::FIRST].copy_from_slice(&first.to_le_bytes());
            bytes[batch::COUNT].copy_from_slice(&count.to_le_bytes());
            bytes[batch::BODY].copy_from_slice(&body.to_le_bytes());
            bytes[batch::LENGTH].copy_from_slice(&length.to_le_bytes());
            bytes[batch::SYNCED].copy_from_slice(&synced.to_le_bytes());
            let checksum = crc32fast::hash(&bytes[..batch::CHECKSUM.start]);
            bytes[batch::CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
            into.extend_from_slice(&bytes);
        }
        Format::JsonLines => {
            end_line(
                format_args!(
                    r#"{{"folio":"batch","format":{FORMAT_VERSION},"log":"{log:016x}","first":{first},"count":{count},"synced":{synced},"bytes":{length},"body":"{body:08x}""#
                ),
                into,
            );
        }
    }
}

/// Adds the line, and the checksum of all that stands before it.
fn end_line(line: fmt::Arguments<'_>, into: &mut Vec<u8>) {
    let start = into.len();
    // A vector takes whatever is written to it.
    let _ = into.write_fmt(line);
    let head = crc32fast::hash(&into[start..]);
    let _ = writeln!(into, r#","head":"{head:08x}"}}"#);
    debug_assert!(into.len() - start <= LINE_BYTES_MAX);
}

/// The header that begins a segment, and its length.
pub(super) fn read_segment_header(format: Format, bytes: &[u8]) -> Result<(SegmentHeader, usize), NoHeader> {
    match format {
        Format::Binary => {
            let bytes = bytes.get(..segment::BYTES).ok_or(NoHeader::Damaged("the file ends within it"))?;
            if bytes[segment::MAGIC] != segment::MAGIC_BYTES {
                return Err(NoHeader::Damaged("other bytes"));
            }
            if number(bytes, segment::CHECKSUM) != u64::from(crc32fast::hash(&bytes[..segment::CHECKSUM.start])) {
                return Err(NoHeader::Damaged("a checksum that does not match"));
            }
            supported("format version", number(bytes, segment::VERSION), u64::from(FORMAT_VERSION))?;
            supported("record format", number(bytes, segment::RECORDS), 0)?;
            supported("feature bits", number(bytes, segment::FEATURES), 0)?;
            supported("feature bits", number(bytes, segment::RESERVED), 0)?;
            let (log, first) = (number(bytes, segment::LOG), number(bytes, segment::FIRST));
            let (synced, number) = (number(bytes, segment::SYNCED), number(bytes, segment::NUMBER));
            Ok((SegmentHeader { log, first, synced, number }, segment::BYTES))
        }
        Format::JsonLines => {
            let (mut line, length) = Line::begin(bytes, "log")?;
            let log = line.hex(r#","log":""#, 16)?;
            line.literal("\"")?;
            let first = line.decimal(r#","first":"#)?;
            let synced = line.decimal(r#","synced":"#)?;
            let number = line.hex(r#","segment":""#, 16)?;
            line.literal("\"")?;
            line.end()?;
            Ok((SegmentHeader { log, first, synced, number }, length))
        }
    }
}

/// The header that begins a frame, and its length. The frame's place and payload are for the caller to check.
pub(super) fn read_frame_header(format: Format, bytes: &[u8]) -> Result<(FrameHeader, usize), NoHeader> {
    match format {
        Format::Binary => {
            let bytes = bytes.get(..batch::BYTES).ok_or(NoHeader::Damaged("the file ends within it"))?;
            if bytes[batch::MAGIC] != batch::MAGIC_BYTES {
                return Err(NoHeader::Damaged("other bytes"));
            }
            if number(bytes, batch::CHECKSUM) != u64::from(crc32fast::hash(&bytes[..batch::CHECKSUM.start])) {
                return Err(NoHeader::Damaged("a checksum that does not match"));
            }
            supported("format version", number(bytes, batch::VERSION), u64::from(FORMAT_VERSION))?;
            supported("frame kind", number(bytes, batch::KIND), 0)?;
            let header = FrameHeader {
                log: number(bytes, batch::LOG),
                first: number(bytes, batch::FIRST),
                count: number(bytes, batch::COUNT) as u32,
                body: number(bytes, batch::BODY) as u32,
                length: number(bytes, batch::LENGTH),
                synced: number(bytes, batch::SYNCED),
            };
            Ok((header, batch::BYTES))
        }
        Format::JsonLines => {
            let (mut line, line_bytes) = Line::begin(bytes, "batch")?;
            let log = line.hex(r#","log":""#, 16)?;
            line.literal("\"")?;
            let first = line.decimal(r#","first":"#)?;
            let count = line.decimal(r#","count":"#)?;
            let synced = line.decimal(r#","synced":"#)?;
            let length = line.decimal(r#","bytes":"#)?;
            let body = line.hex(r#","body":""#, 8)? as u32;
            line.literal("\"")?;
            line.end()?;
            let count = u32::try_from(count).map_err(|_| NoHeader::Damaged("a count that is too large"))?;
            Ok((FrameHeader { log, first, count, body, length, synced }, line_bytes))
        }
    }
}

/// Where the next thing that could be a frame's header begins, from `from` on.
pub(super) fn find_frame(format: Format, bytes: &[u8], from: usize) -> Option<usize> {
    let magic: &[u8] = match format {
        Format::Binary => &batch::MAGIC_BYTES,
        Format::JsonLines => br#"{"folio":"batch""#,
    };
    let rest = bytes.get(from..)?;
    rest.windows(magic.len()).position(|window| window == magic).map(|found| from + found)
}

fn supported(what: &'static str, found: u64, supported: u64) -> Result<(), NoHeader> {
    if found == supported { Ok(()) } else { Err(NoHeader::Unsupported { what, found, supported }) }
}

/// A header line whose checksum has been checked, being read.
struct Line<'a> {
    rest: &'a [u8],
}

impl<'a> Line<'a> {
    /// The line that begins `bytes`, of this kind and a known format, and its length with the line feed.
    fn begin(bytes: &'a [u8], kind: &str) -> Result<(Self, usize), NoHeader> {
        let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
        let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
            return Err(NoHeader::Damaged("no line of a header's length"));
        };
        let line = &bytes[..end];
        let Some(split) = end.checked_sub(r#","head":"00000000"}"#.len()) else {
            return Err(NoHeader::Damaged("a line that is too short"));
        };
        let mut tail = Line { rest: &line[split..] };
        let head = tail.hex(r#","head":""#, 8)?;
        tail.literal("\"}")?;
        if head != u64::from(crc32fast::hash(&line[..split])) {
            return Err(NoHeader::Damaged("a checksum that does not match"));
        }
        let mut line = Line { rest: &line[..split] };
        line.literal(r#"{"folio":""#)?;
        line.literal(kind)?;
        let format = line.decimal(r#"","format":"#)?;
        supported("format version", format, u64::from(FORMAT_VERSION))?;
        Ok((line, end + 1))
    }

    fn literal(&mut self, text: &str) -> Result<(), NoHeader> {
        self.rest = self.rest.strip_prefix(text.as_bytes()).ok_or(NoHeader::Damaged("a line of another form"))?;
        Ok(())
    }

    /// Digits without leading zeros, behind `key`.
    fn decimal(&mut self, key: &str) -> Result<u64, NoHeader> {
        self.literal(key)?;
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let plain = digits == b"0" || digits.first().is_some_and(|first| *first != b'0');
        let text = std::str::from_utf8(digits).ok().filter(|_| plain);
        text.and_then(|text| text.parse().ok()).ok_or(NoHeader::Damaged("a number of another form"))
    }

    /// Exactly `count` lower-case hexadecimal digits, behind `key`.
    fn hex(&mut self, key: &str, count: usize) -> Result<u64, NoHeader> {
        self.literal(key)?;
        let (digits, rest) = self.rest.split_at_checked(count).ok_or(NoHeader::Damaged("a line of another form"))?;
        self.rest = rest;
        let is_plain = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let text = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(is_plain));
        text.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or(NoHeader::Damaged("a number of another form"))
    }

    fn end(self) -> Result<(), NoHeader> {
        if self.rest.is_empty() { Ok(()) } else { Err(NoHeader::Damaged("a line of another form")) }
    }
}
