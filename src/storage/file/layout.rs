//! Which file is where, and the names of files.
//!
//! A table's name may hold anything; a file's name holds lower-case letters, digits, `_`, `-`, and `%` with two
//! hexadecimal digits for each byte that is none of those. So two names never meet on a file system that folds case, no
//! name is a path, and none is reserved by Windows (whose `con` and the like get their first letter encoded). A name
//! that would grow too long is `=` and its bytes in base 32. Each table name has exactly one file name: what is not
//! written in that form is not ours.

use crate::storage::engine::ObjectKind;

/// Held for the engine's life; never renamed, never removed.
pub(super) const LOCK: &str = "lock";
/// Which checkpoint counts. Replaced by [`MANIFEST_NEW`].
pub(super) const MANIFEST: &str = "manifest";
/// A manifest being written.
pub(super) const MANIFEST_NEW: &str = "manifest.new";
/// The folder of the log.
pub(super) const WAL: &str = "wal";
/// The segment being written.
pub(super) const LIVE: &str = "wal/transaction.log";
/// The segment that will be written next, while the one before is being archived.
pub(super) const NEXT: &str = "wal/transaction.next.log";
/// What survived of a log, being written anew by an opening.
pub(super) const REWRITTEN: &str = "wal/transaction.rewritten.log";
/// The folders within the directory.
pub(super) const FOLDERS: [&str; 3] = [WAL, "data", "schema"];

/// Above this, names are written in base 32. With suffixes a file's name has then at most 239 of the 255 bytes allowed.
const STEM_BYTES_MAX: usize = 206;
/// The longest name of a table that can be asked for here, in bytes.
pub(super) const TABLE_NAME_BYTES_MAX: usize = 128;
const _: () = assert!((TABLE_NAME_BYTES_MAX * 8).div_ceil(5) < STEM_BYTES_MAX);

const BASE_32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The folder of objects of a kind.
pub(super) fn folder(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Schema => "schema",
        ObjectKind::Records => "data",
    }
}

fn suffix(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Schema => ".schema.json",
        ObjectKind::Records => ".records",
    }
}

/// The file of the objects of a kind, table and generation: `data/<table>.records`, then `data/<table>.1.records`.
pub(in crate::storage) fn object_path(kind: ObjectKind, table: &str, generation: u64) -> String {
    let (folder, stem, suffix) = (folder(kind), encode_name(table), suffix(kind));
    match generation {
        0 => format!("{folder}/{stem}{suffix}"),
        _ => format!("{folder}/{stem}.{generation}{suffix}"),
    }
}

/// What [`object_path`] was given; none for a path that it does not make.
pub(super) fn parse_object_path(path: &str) -> Option<(ObjectKind, String, u64)> {
    let (kind, rest) = [ObjectKind::Schema, ObjectKind::Records].into_iter().find_map(|kind| {
        let rest = path.strip_prefix(folder(kind))?.strip_prefix('/')?.strip_suffix(suffix(kind))?;
        Some((kind, rest))
    })?;
    let (stem, generation) = match rest.split_once('.') {
        None => (rest, 0),
        Some((stem, number)) => (stem, parse_number(number).filter(|generation| *generation > 0)?),
    };
    let table = decode_name(stem)?;
    Some((kind, table, generation))
}

/// The file of an archived segment, by its first version.
pub(super) fn archive_path(first: u64) -> String {
    format!("wal/transaction.{first:020}.log")
}

/// What [`archive_path`] was given, from a name within the folder.
pub(super) fn parse_archive_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("transaction.")?.strip_suffix(".log")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Whether it is a file of the log that may have batches.
pub(super) fn is_log_path(path: &str) -> bool {
    let is_archived = |name: &str| parse_archive_name(name).is_some();
    [LIVE, NEXT, REWRITTEN].contains(&path) || path.strip_prefix("wal/").is_some_and(is_archived)
}

/// Digits without leading zeros.
fn parse_number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| plain)
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')
}

fn is_reserved(name: &str) -> bool {
    let numbered =
        |prefix| name.strip_prefix(prefix).is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit());
    matches!(name, "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt")
}

pub(in crate::storage) fn encode_name(table: &str) -> String {
    let mut stem = String::with_capacity(table.len());
    for (index, byte) in table.bytes().enumerate() {
        if is_plain(byte) && !(index == 0 && is_reserved(table)) {
            stem.push(char::from(byte));
        } else {
            stem.push('%');
            stem.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])));
        }
    }
    if (1..=STEM_BYTES_MAX).contains(&stem.len()) { stem } else { encode_base_32(table.as_bytes()) }
}

fn encode_base_32(bytes: &[u8]) -> String {
    let mut stem = String::from("=");
    let (mut bits, mut bit_count) = (0_u32, 0);
    for byte in bytes {
        (bits, bit_count) = (bits << 8 | u32::from(*byte), bit_count + 8);
        while bit_count >= 5 {
            bit_count -= 5;
            stem.push(char::from(BASE_32[(bits >> bit_count) as usize & 31]));
        }
        bits &= (1 << bit_count) - 1;
    }
    if bit_count > 0 {
        stem.push(char::from(BASE_32[(bits << (5 - bit_count)) as usize & 31]));
    }
    stem
}

/// The name that [`encode_name`] was given; none for what it does not make.
fn decode_name(stem: &str) -> Option<String> {
    let bytes = match stem.strip_prefix('=') {
        Some(digits) => decode_base_32(digits)?,
        None => decode_percent(stem)?,
    };
    let table = String::from_utf8(bytes).ok()?;
    (table.len() <= TABLE_NAME_BYTES_MAX && encode_name(&table) == stem).then_some(table)
}

fn decode_percent(stem: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), stem.as_bytes());
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let (digits, tail) = tail.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Some(bytes)
}

fn decode_base_32(digits: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut bit_count) = (Vec::new(), 0_u32, 0);
    for digit in digits.bytes() {
        let value = BASE_32.iter().position(|known| *known == digit)?;
        (bits, bit_count) = (bits << 5 | value as u32, bit_count + 5);
        if bit_count >= 8 {
            bit_count -= 8;
            bytes.push((bits >> bit_count) as u8);
        }
        bits &= (1 << bit_count) - 1;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_as_documented() {
        for (table, stem) in [
            ("students", "students"),
            ("Students", "%53tudents"),
            ("a.b/c", "a%2eb%2fc"),
            ("..", "%2e%2e"),
            ("con", "%63on"),
            ("lpt9", "%6cpt9"),
            ("lpt10", "lpt10"),
            ("é", "%c3%a9"),
            ("", "="),
        ] {
            assert_eq!(encode_name(table), stem);
            assert_eq!(decode_name(stem).as_deref(), Some(table));
        }
        assert_eq!(object_path(ObjectKind::Records, "students", 0), "data/students.records");
        assert_eq!(object_path(ObjectKind::Schema, "students", 2), "schema/students.2.schema.json");
        assert_eq!(archive_path(17), "wal/transaction.00000000000000000017.log");
        assert_eq!(parse_archive_name("transaction.00000000000000000017.log"), Some(17));
    }

    #[test]
    fn what_is_not_written_in_our_form_is_not_ours() {
        for path in [
            "data/students.0.records",
            "data/students.01.records",
            "data/students.+1.records",
            "data/Students.records",
            "data/%61.records",
            "data/%2E.records",
            "data/con.records",
            "data/../x.records",
            "data/.records",
            "data/=a.records",
            "data/students.1.2.records",
            "data/students.18446744073709551616.records",
            "schema/students.records",
            "schema/students.json",
        ] {
            assert_eq!(parse_object_path(path), None, "{path}");
        }
        for name in
            ["transaction.log", "transaction.next.log", "transaction.17.log", "transaction.+0000000000000000017.log"]
        {
            assert_eq!(parse_archive_name(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn names_return_and_stay_short(table in "\\PC{0,40}", generation in any::<u64>()) {
            prop_assume!(table.len() <= TABLE_NAME_BYTES_MAX);
            for kind in [ObjectKind::Schema, ObjectKind::Records] {
                let path = object_path(kind, &table, generation);
                let name = path.split_once('/').unwrap().1;
                prop_assert!(name.len() <= 239 && !name.contains('/') && name == name.to_ascii_lowercase());
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(parse_object_path(&path), Some((kind, table.clone(), generation)));
            }
        }

        #[test]
        fn long_names_return_too(table in "[A-Z]{100,128}", generation in any::<u64>()) {
            let path = object_path(ObjectKind::Schema, &table, generation);
            prop_assert!(path.len() <= "schema/".len() + 239);
            prop_assert_eq!(parse_object_path(&path), Some((ObjectKind::Schema, table, generation)));
        }
    }
}
