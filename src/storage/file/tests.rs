//! The bytes on disk: PERSISTENCE.md against the constants, and hostile numbers in every field.

use super::frame::{self, FrameHeader, NoHeader, SegmentHeader};
use super::manifest;
use super::scan::{Frames, Step};
use crate::storage::engine::{Batch, Format};
use std::ops::Range;

/// The rows of the table below a heading, as (from, to, text).
fn rows(heading: &str) -> Vec<(usize, usize, String)> {
    let text = include_str!("../../../PERSISTENCE.md");
    let section = text.split_once(heading).expect("the heading is there").1;
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').splitn(3, '|').map(str::trim).collect();
            (cells[0].parse().unwrap(), cells[1].parse().unwrap_or(usize::MAX), cells[2].to_string())
        })
        .collect()
}

fn assert_table(heading: &str, fields: &[Range<usize>]) {
    let found: Vec<Range<usize>> = rows(heading).into_iter().map(|(from, to, _)| from..to).collect();
    assert_eq!(found, fields, "{heading}");
}

#[test]
fn the_tables_of_the_document_are_the_constants() {
    use super::frame::{batch as f, segment as s};
    let segment = [s::MAGIC, s::VERSION, s::RECORDS, s::FEATURES, s::LOG, s::FIRST, s::SYNCED, s::NUMBER, s::RESERVED];
    assert_table("### Header of a segment, binary", &[&segment[..], &[s::CHECKSUM]].concat());
    let batch = [f::MAGIC, f::VERSION, f::KIND, f::LOG, f::FIRST, f::COUNT, f::BODY, f::LENGTH, f::SYNCED, f::CHECKSUM];
    assert_table("### Header of a batch, binary", &batch);
    let body = manifest::LINE_BYTES..usize::MAX;
    assert_table("### Manifest", &[manifest::MAGIC, manifest::VERSION, manifest::LENGTH, manifest::CHECKSUM, body]);
    let magic = |heading: &str| rows(heading)[0].2.clone();
    assert!(magic("### Header of a segment, binary").contains(std::str::from_utf8(&s::MAGIC_BYTES).unwrap()));
    let hex: Vec<String> = f::MAGIC_BYTES.iter().map(|byte| format!("{byte:02X}")).collect();
    assert!(magic("### Header of a batch, binary").contains(&hex.join(" ")));
    assert_eq!((s::BYTES, f::BYTES), (64, 52));
}

#[test]
fn the_lines_of_the_document_are_ours_but_for_numbers() {
    let text = include_str!("../../../PERSISTENCE.md");
    let shape = |line: &str| line.replace(|c: char| c.is_ascii_hexdigit(), "");
    let mut bytes = Vec::new();
    let segment = SegmentHeader { log: 7, first: 1, synced: 0, number: 9 };
    frame::write_segment_header(Format::JsonLines, segment, &mut bytes);
    let batch = Batch { first: 1, count: 1, payload: b"{}\n" };
    frame::write_frame_header(Format::JsonLines, &FrameHeader::of(batch, 7, 0), &mut bytes);
    for line in std::str::from_utf8(&bytes).unwrap().lines() {
        assert!(text.lines().any(|documented| shape(documented) == shape(line)), "{line}");
    }
}

const FORMATS: [Format; 2] = [Format::Binary, Format::JsonLines];

#[test]
fn headers_return() {
    for format in FORMATS {
        for extreme in [0, 1, 1 << 31, 1 << 32, 1 << 63, u64::MAX] {
            let mut bytes = Vec::new();
            let header = SegmentHeader { log: extreme, first: extreme, synced: extreme, number: extreme };
            frame::write_segment_header(format, header, &mut bytes);
            assert_eq!(frame::read_segment_header(format, &bytes), Ok((header, bytes.len())));
            bytes.clear();
            let count = extreme as u32;
            let header =
                FrameHeader { log: extreme, first: extreme, count, body: count, length: extreme, synced: extreme };
            frame::write_frame_header(format, &header, &mut bytes);
            assert_eq!(frame::read_frame_header(format, &bytes), Ok((header, bytes.len())));
        }
    }
}

#[test]
fn every_other_version_and_kind_is_named() {
    let mut whole = Vec::new();
    frame::write_frame_header(
        Format::Binary,
        &FrameHeader::of(Batch { first: 1, count: 1, payload: b"" }, 7, 0),
        &mut whole,
    );
    for field in [frame::batch::VERSION, frame::batch::KIND] {
        for value in 0..=u16::MAX {
            let mut bytes = whole.clone();
            bytes[field.clone()].copy_from_slice(&value.to_le_bytes());
            let sum = crc32fast::hash(&bytes[..frame::batch::CHECKSUM.start]);
            bytes[frame::batch::CHECKSUM].copy_from_slice(&sum.to_le_bytes());
            match frame::read_frame_header(Format::Binary, &bytes) {
                Ok(_) => assert_eq!(bytes, whole),
                Err(NoHeader::Unsupported { found, .. }) => assert_eq!(found, u64::from(value)),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A header that is whole and lies: sizes at all borders are refused, and nothing is allocated for them.
#[test]
fn lengths_and_counts_at_their_borders_are_flaws() {
    for format in FORMATS {
        for power in [8, 16, 31, 32, 63] {
            for length in [(1_u64 << power) - 1, 1 << power, (1 << power) + 1, u64::MAX - 1, u64::MAX] {
                let mut bytes = Vec::new();
                let header = FrameHeader { log: 7, first: 1, count: 1, body: 0, length, synced: 0 };
                frame::write_frame_header(format, &header, &mut bytes);
                bytes.extend_from_slice(b"payload\n");
                assert!(matches!(Frames::new(format, 7, &bytes, 0, 1).step(), Step::Flaw(_)));
            }
        }
        for (first, count) in [(1, 0), (u64::MAX, 2), (u64::MAX - 1, u32::MAX)] {
            let mut bytes = Vec::new();
            let header = FrameHeader { log: 7, first, count, body: 0, length: 0, synced: 0 };
            frame::write_frame_header(format, &header, &mut bytes);
            assert!(matches!(Frames::new(format, 7, &bytes, 0, first).step(), Step::Flaw(_)));
        }
    }
}
