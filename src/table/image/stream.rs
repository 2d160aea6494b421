//! Bytes out in chunks, bytes in as they are asked for.

use super::{PartError, mismatch};
use crate::error::{Error, Result};

/// Bytes are handed on in chunks of this size; only the last is smaller.
const CHUNK_BYTES: usize = 64 << 10;

/// Collects what is written into chunks.
pub(crate) struct Output<'o> {
    chunk: Vec<u8>,
    out: &'o mut dyn FnMut(&[u8]) -> Result<()>,
}

fn reserve(buffer: &mut Vec<u8>, bytes: usize) -> Result<()> {
    buffer.try_reserve_exact(bytes).map_err(|_| Error::OutOfMemory { bytes })
}

impl<'o> Output<'o> {
    pub(crate) fn new(out: &'o mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Self> {
        let mut chunk = Vec::new();
        reserve(&mut chunk, CHUNK_BYTES)?;
        Ok(Self { chunk, out })
    }

    pub(crate) fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while self.chunk.len() + bytes.len() >= CHUNK_BYTES {
            let (first, rest) = bytes.split_at(CHUNK_BYTES - self.chunk.len());
            if self.chunk.is_empty() {
                (self.out)(first)?;
            } else {
                self.chunk.extend_from_slice(first);
                (self.out)(&self.chunk)?;
                self.chunk.clear();
            }
            bytes = rest;
        }
        self.chunk.extend_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<()> {
        if self.chunk.is_empty() { Ok(()) } else { (self.out)(&self.chunk) }
    }
}

/// The bytes of a part. Holds no more than twice what was asked for at once and has come: a length that is read says
/// what is to come, not that it will.
pub(super) struct Input<'i> {
    read: &'i mut dyn FnMut(&mut [u8]) -> Result<usize>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the part before `start`.
    taken: u64,
}

impl<'i> Input<'i> {
    pub(super) fn new(read: &'i mut dyn FnMut(&mut [u8]) -> Result<usize>) -> Self {
        Self { read, buffer: Vec::new(), start: 0, end: 0, taken: 0 }
    }

    /// How many bytes of the part were taken.
    pub(super) fn at(&self) -> u64 {
        self.taken
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: usize, what: &str) -> Result<&[u8], PartError> {
        while self.end - self.start < len {
            if !self.more()? {
                let left = self.end - self.start;
                return Err(mismatch(self.taken, format!("{len} bytes of {what}"), format!("the end after {left}")));
            }
        }
        let start = self.start;
        self.start += len;
        self.taken += len as u64;
        Ok(self.buffer.get(start..start + len).unwrap_or_default())
    }

    /// Passes over `len` bytes, which are never held together.
    pub(super) fn pass(&mut self, mut len: u64, what: &str) -> Result<(), PartError> {
        while len > 0 {
            let step = usize::try_from(len).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            self.take(step, what)?;
            len -= step as u64;
        }
        Ok(())
    }

    /// The next bytes as an array.
    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], PartError> {
        Ok(self.take(N, what)?.first_chunk().copied().unwrap_or([0; N]))
    }

    /// The next line without its end, and where in the part it begins; none at the end of the part.
    pub(super) fn line(&mut self) -> Result<Option<(u64, &[u8])>, PartError> {
        let mut looked_at = 0;
        let len = loop {
            let waiting = self.buffer.get(self.start + looked_at..self.end).unwrap_or_default();
            if let Some(len) = waiting.iter().position(|byte| *byte == b'\n') {
                break looked_at + len;
            }
            looked_at = self.end - self.start;
            if !self.more()? {
                if looked_at == 0 {
                    return Ok(None);
                }
                return Err(mismatch(self.taken, "a line", "one without its end"));
            }
        };
        let (start, at) = (self.start, self.taken);
        self.start += len + 1;
        self.taken += len as u64 + 1;
        Ok(Some((at, self.buffer.get(start..start + len).unwrap_or_default())))
    }

    /// Whether there is nothing behind what was taken.
    pub(super) fn is_at_end(&mut self) -> Result<bool, PartError> {
        Ok(self.start == self.end && !self.more()?)
    }

    /// Asks for more bytes; no if there are none.
    fn more(&mut self) -> Result<bool, PartError> {
        if self.end == self.buffer.len() {
            // What waits moves to the front, and the buffer grows where that is not half of it.
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let len = (2 * self.end).max(CHUNK_BYTES);
            if len > self.buffer.len() {
                reserve(&mut self.buffer, len - self.end)?;
                self.buffer.resize(len, 0);
            } else if len < self.buffer.len() / 4 {
                self.buffer.truncate(len);
                self.buffer.shrink_to_fit();
            }
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let (room_bytes, count) = (room.len(), (self.read)(room)?);
        self.end += count.min(room_bytes);
        Ok(count > 0)
    }
}
