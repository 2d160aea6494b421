//! A stream of bytes cut into records, with the line and column of each.
//!
//! Where a record ends is found without knowing what it says, so that one that is wrong can be passed over. One record is
//! held at a time, and none that is longer than is allowed.

use super::options::ImportOptions;
use crate::error::{Error, Result};
use std::io::{ErrorKind, Read};

pub(super) const BUFFER_BYTES: usize = 64 << 10;
/// So much of a record that is too long is kept: its beginning tells what it is.
const START_BYTES_KEPT: usize = 64;

/// A place in the file. Both count from 1, columns in characters. A line ends with a line feed, or a carriage return, or
/// both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
    /// A carriage return stands before it: a line feed here ends no line of its own.
    is_behind_return: bool,
}

impl Place {
    const START: Place = Place { line: 1, column: 1, is_behind_return: false };

    /// The place behind this text, which begins here. Bytes that are not UTF-8 count as they may.
    fn behind(self, text: &[u8]) -> Place {
        let Some(last_byte) = text.last() else { return self };
        let count = |wanted: u8| text.iter().filter(|byte| **byte == wanted).count();
        let (feeds, returns) = (count(b'\n'), count(b'\r'));
        let (mut lines, mut last) = (feeds + returns, text);
        if lines > 0 {
            if feeds > 0 && (returns > 0 || self.is_behind_return) {
                lines -= text.windows(2).filter(|pair| *pair == b"\r\n").count();
                lines -= usize::from(self.is_behind_return && text.starts_with(b"\n"));
            }
            last = text.rsplit(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
        }
        let chars = last.iter().filter(|byte| **byte & 0xC0 != 0x80).count() as u64;
        Place {
            line: self.line + lines as u64,
            column: if feeds + returns > 0 { 1 } else { self.column } + chars,
            is_behind_return: *last_byte == b'\r',
        }
    }
}

/// A record as it stands in the file.
#[derive(Debug)]
pub(super) struct Record {
    /// If the record is too long, how it begins.
    pub(super) text: Vec<u8>,
    pub(super) place: Place,
    /// How long it is.
    bytes: u64,
    /// The last place that was marked in it, if the file ended within it.
    pub(super) mark: Place,
}

impl Record {
    pub(super) fn new() -> Self {
        Self { text: Vec::new(), place: Place::START, bytes: 0, mark: Place::START }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The place of one of its bytes.
    pub(super) fn at(&self, offset: usize) -> Place {
        self.place.behind(self.text.get(..offset).unwrap_or(&self.text))
    }
}

/// Whether a record goes on at a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    On,
    /// It does, and this byte's place is marked.
    #[cfg_attr(not(feature = "csv"), expect(dead_code, reason = "the fields of CSV alone may be left open"))]
    Mark,
    /// It ended before this byte.
    Before,
    /// It ends with this byte.
    Behind,
}

/// See the module.
pub(super) struct Input<R> {
    reader: R,
    file: Box<str>,
    record_bytes_max: u64,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    is_ended: bool,
    place: Place,
}

impl<R: Read> Input<R> {
    /// A mark of the byte order at the beginning is passed over.
    pub(super) fn new(reader: R, options: &ImportOptions) -> Result<Self> {
        let ImportOptions { source, record_bytes_max, .. } = options;
        let mut input = Self {
            reader,
            file: source.clone(),
            record_bytes_max: *record_bytes_max,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            is_ended: false,
            place: Place::START,
        };
        while input.end < 3 && input.more()? {}
        if input.waiting().starts_with("\u{FEFF}".as_bytes()) {
            input.start = 3;
        }
        Ok(input)
    }

    /// Where the next byte is.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    fn waiting(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads more into what is left of the buffer; no if the file has ended.
    fn more(&mut self) -> Result<bool> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        while !self.is_ended && !room.is_empty() {
            match self.reader.read(room) {
                Ok(count) => {
                    self.is_ended = count == 0;
                    self.end += count.min(room.len());
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Io { operation: "read", file: self.file.clone(), source }),
            }
        }
        Ok(!self.is_ended)
    }

    /// The next byte; none at the end.
    pub(super) fn peek(&mut self) -> Result<Option<u8>> {
        while self.start == self.end {
            if !self.more()? {
                return Ok(None);
            }
        }
        Ok(self.waiting().first().copied())
    }

    /// Passes over so many of the bytes that wait.
    fn pass(&mut self, count: usize) {
        self.place = self.place.behind(self.waiting().get(..count).unwrap_or_default());
        self.start = self.end.min(self.start + count);
    }

    /// Passes over the next byte.
    pub(super) fn skip(&mut self) {
        self.pass(1);
    }

    /// Passes over what JSON calls white space.
    pub(super) fn skip_space(&mut self) -> Result<()> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek()? {
            let space = |byte: &&u8| matches!(**byte, b' ' | b'\t' | b'\r' | b'\n');
            let count = self.waiting().iter().take_while(space).count();
            self.pass(count);
        }
        Ok(())
    }

    /// Takes bytes into `record` for as long as `step` says. Answers whether it said that they end, and not the file.
    pub(super) fn gather(&mut self, record: &mut Record, mut step: impl FnMut(u8) -> Step) -> Result<bool> {
        record.text.clear();
        // What a huge record took is not kept.
        record.text.shrink_to(BUFFER_BYTES);
        record.place = self.place;
        record.bytes = 0;
        record.mark = self.place;
        while self.peek()?.is_some() {
            let waiting = self.waiting();
            let (mut ended, mut marked) = (None, None);
            for (at, byte) in waiting.iter().enumerate() {
                match step(*byte) {
                    Step::On => continue,
                    Step::Mark => {
                        marked = Some(at);
                        continue;
                    }
                    Step::Before => ended = Some(at),
                    Step::Behind => ended = Some(at + 1),
                }
                break;
            }
            // Found here alone, since of a record that is too long nothing else tells it, and nobody asks for those of others.
            if let (None, Some(marked)) = (ended, marked) {
                record.mark = self.place.behind(waiting.get(..marked).unwrap_or_default());
            }
            let count = ended.unwrap_or(waiting.len());
            record.bytes += count as u64;
            let kept = if record.bytes > self.record_bytes_max { START_BYTES_KEPT } else { usize::MAX };
            record.text.truncate(kept);
            if let Some(taken) = waiting.get(..count.min(kept - record.text.len())) {
                record.text.try_reserve(taken.len()).map_err(|_| Error::OutOfMemory { bytes: taken.len() })?;
                record.text.extend_from_slice(taken);
            }
            self.pass(count);
            if ended.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Refuses a record that was not kept whole.
    pub(super) fn check_length(&self, record: &Record) -> Result<()> {
        match record.bytes > self.record_bytes_max {
            true => Err(Error::Limit {
                what: "bytes of a record".into(),
                limit: self.record_bytes_max,
                found: record.bytes,
            }),
            false => Ok(()),
        }
    }

    /// Takes the next line, without its end; no if there is none.
    pub(super) fn line(&mut self, record: &mut Record) -> Result<bool> {
        if self.peek()?.is_none() {
            return Ok(false);
        }
        if self.gather(record, |byte| if byte == b'\n' { Step::Before } else { Step::On })? {
            self.skip();
        }
        if record.text.last() == Some(&b'\r') {
            record.text.pop();
        }
        Ok(true)
    }

    /// Takes the JSON value that begins here, sound or not: as far as its brackets or quotes go, else up to what may
    /// stand behind a value. No if the file ends within it.
    pub(super) fn value(&mut self, record: &mut Record) -> Result<bool> {
        let (mut depth, mut in_string, mut is_escaped) = (0u64, false, false);
        let mut is_first = true;
        let mut is_bare = false;
        let whole = self.gather(record, |byte| {
            let was_first = std::mem::take(&mut is_first);
            if in_string {
                match byte {
                    _ if is_escaped => is_escaped = false,
                    b'\\' => is_escaped = true,
                    b'"' => {
                        in_string = false;
                        return if depth == 0 { Step::Behind } else { Step::On };
                    }
                    _ => {}
                }
                return Step::On;
            }
            match byte {
                b',' | b':' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => Step::Before,
                b'"' if depth > 0 || was_first => {
                    in_string = true;
                    Step::On
                }
                b'{' | b'[' if depth > 0 || was_first => {
                    depth += 1;
                    Step::On
                }
                b']' | b'}' => {
                    depth -= 1;
                    if depth == 0 { Step::Behind } else { Step::On }
                }
                _ => {
                    is_bare |= was_first;
                    Step::On
                }
            }
        })?;
        // A number or a word ends where the file does.
        Ok(whole || is_bare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(room.len()).min(self.0.len());
            room[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn records_are_cut_alike_however_the_bytes_come() {
        let text = "\u{FEFF} {\"a\":\"}\\\"]\",\"b\":[1,{}]} , \"x,y\"\n7 nul[ [\"é\"]1";
        for count in [1, 2, 3, 1000] {
            let mut input = Input::new(Slow(text.as_bytes(), count), &ImportOptions::new()).unwrap();
            let (mut record, mut found) = (Record::new(), Vec::new());
            loop {
                input.skip_space().unwrap();
                match input.peek().unwrap() {
                    None => break,
                    Some(b',') => input.skip(),
                    Some(_) => {
                        assert!(input.value(&mut record).unwrap());
                        let Place { line, column, .. } = record.place;
                        found.push((String::from_utf8(record.text.clone()).unwrap(), line, column));
                    }
                }
            }
            let found: Vec<_> = found.iter().map(|(text, line, column)| (&**text, *line, *column)).collect();
            let expected = [
                ("{\"a\":\"}\\\"]\",\"b\":[1,{}]}", 1, 2),
                ("\"x,y\"", 1, 28),
                ("7", 2, 1),
                ("nul[", 2, 3),
                ("[\"é\"]", 2, 8),
                ("1", 2, 13),
            ];
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn lines_are_counted_alike_however_they_end_and_the_bytes_come() {
        for (text, line, column) in [
            ("a\nb\nc", 3, 2),
            ("a\rb\rc", 3, 2),
            ("a\r\nb\r\nc", 3, 2),
            ("\n\r\r\n\n\r\n", 6, 1),
            ("\r\n\r", 3, 1),
            ("é\rüß", 2, 3),
        ] {
            for count in [1, 2, 3, 1000] {
                let mut input = Input::new(Slow(text.as_bytes(), count), &ImportOptions::new()).unwrap();
                input.gather(&mut Record::new(), |_| Step::On).unwrap();
                assert_eq!((input.place.line, input.place.column), (line, column), "{text:?} by {count}");
            }
        }
    }

    #[test]
    fn of_a_record_above_the_limit_the_beginning_is_kept() {
        let options = ImportOptions::new().record_bytes_max(4);
        let mut input = Input::new(&b"12345\n1234\r\n\n"[..], &options).unwrap();
        let mut record = Record::new();
        assert!(input.line(&mut record).unwrap());
        assert!(matches!(input.check_length(&record), Err(Error::Limit { found: 5, .. })));
        assert!(input.line(&mut record).unwrap() && input.check_length(&record).is_err(), "with its carriage return");
        assert!(input.line(&mut record).unwrap() && input.check_length(&record).is_ok());
        assert!(!input.line(&mut record).unwrap());
        assert_eq!(input.place(), Place { line: 4, ..Place::START });
        let long = "x".repeat(1000);
        for (count, limit) in [(1, 10), (7, 100), (1000, 10), (1000, 999)] {
            let options = ImportOptions::new().record_bytes_max(limit);
            let mut input = Input::new(Slow(long.as_bytes(), count), &options).unwrap();
            assert!(input.line(&mut record).unwrap() && input.check_length(&record).is_err());
            assert!(record.text == long.as_bytes()[..START_BYTES_KEPT] && record.bytes == 1000);
        }
    }
}
