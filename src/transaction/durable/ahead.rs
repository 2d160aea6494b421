//! An object read ahead of its use: one thread reads and checks, the caller's makes pages of what has come.

use crate::error::{Error, Result};
use crate::storage::ObjectReader;
use parking_lot::Mutex;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

/// What is read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that wait to be used, at most.
const CHUNKS_MAX: usize = 4;
/// Shorter objects are read before a thread has begun.
const LENGTH_MIN: u64 = 1 << 20;

/// Fills the beginning of what it is given and answers how many bytes, 0 at the end.
pub(super) type Read<'r> = dyn FnMut(&mut [u8]) -> Result<usize> + 'r;

/// Gives `body` what `reader` reads, `length` bytes. What it says of the end is the reader's word: 0 is answered when the
/// object was found whole. Where there is no second core or no thread to be had, `body` reads for itself.
pub(super) fn read_ahead<T>(
    reader: Box<dyn ObjectReader>,
    length: u64,
    body: impl FnOnce(&mut Read<'_>) -> Result<T>,
) -> Result<T> {
    let reader = Mutex::new(reader);
    let has_cores = || thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    if length < LENGTH_MIN || !has_cores() {
        return body(&mut |into| reader.lock().read(into));
    }
    thread::scope(|scope| {
        let (full, chunks) = sync_channel(CHUNKS_MAX);
        let (spent, empty) = channel();
        let builder = thread::Builder::new().name("folio reader".into());
        match builder.spawn_scoped(scope, || read_chunks(&mut **reader.lock(), full, empty)) {
            // Dropped at the end of this, whatever `body` answers: then the thread finds nobody to read for and ends.
            Ok(_) => {
                let mut ahead = Ahead { chunks, spent, chunk: Vec::new(), at: 0, is_ended: false };
                body(&mut |into| ahead.read(into))
            }
            Err(_) => body(&mut |into| reader.lock().read(into)),
        }
    })
}

/// Reads up to the end, an error, or the end of `full`'s receiver. The last chunk is empty.
fn read_chunks(reader: &mut dyn ObjectReader, full: SyncSender<Result<Vec<u8>>>, empty: Receiver<Vec<u8>>) {
    loop {
        let chunk = read_chunk(reader, empty.try_recv().unwrap_or_default());
        let is_last = chunk.as_ref().map_or(true, Vec::is_empty);
        if full.send(chunk).is_err() || is_last {
            return;
        }
    }
}

fn read_chunk(reader: &mut dyn ObjectReader, mut chunk: Vec<u8>) -> Result<Vec<u8>> {
    let missing = CHUNK_BYTES.saturating_sub(chunk.len());
    chunk.try_reserve_exact(missing).map_err(|_| Error::OutOfMemory { bytes: missing })?;
    chunk.resize(CHUNK_BYTES, 0);
    let read = reader.read(&mut chunk)?;
    chunk.truncate(read);
    Ok(chunk)
}

/// What has been read, for the one who uses it.
struct Ahead {
    chunks: Receiver<Result<Vec<u8>>>,
    /// Used chunks go back, to be filled again.
    spent: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    /// What of the chunk was given.
    at: usize,
    is_ended: bool,
}

impl Ahead {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if self.at == self.chunk.len() && !self.is_ended {
            let ended = Error::InvalidStorageCall { message: "an object is not read on after an error" };
            let chunk = self.chunks.recv().unwrap_or(Err(ended))?;
            self.is_ended = chunk.is_empty();
            self.at = 0;
            // The thread may have read the last one by now, and be gone.
            let _ = self.spent.send(std::mem::replace(&mut self.chunk, chunk));
        }
        let rest = self.chunk.get(self.at..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives so many bytes, in pieces, then fails or ends.
    struct Source {
        left: usize,
        fails: bool,
    }

    impl ObjectReader for Source {
        fn read(&mut self, into: &mut [u8]) -> Result<usize> {
            if self.left == 0 && self.fails {
                return Err(Error::Closed);
            }
            let count = into.len().min(self.left).min(100_003);
            into[..count].iter_mut().zip(0..).for_each(|(byte, at)| *byte = (self.left - at) as u8);
            self.left -= count;
            Ok(count)
        }
    }

    const BYTES: usize = 5 << 20;

    fn read_all(length: u64, fails: bool) -> Result<Vec<u8>> {
        read_ahead(Box::new(Source { left: BYTES, fails }), length, |read| {
            let (mut all, mut piece) = (Vec::new(), vec![0; 70_001]);
            loop {
                match read(&mut piece)? {
                    0 => return Ok(all),
                    count => all.extend_from_slice(&piece[..count]),
                }
            }
        })
    }

    #[test]
    fn what_comes_ahead_is_what_comes_directly() {
        let direct = read_all(0, false).unwrap();
        assert_eq!(direct.len(), BYTES);
        assert!(read_all(BYTES as u64, false).unwrap() == direct);
    }

    #[test]
    fn an_error_is_answered_instead_of_the_end() {
        for length in [0, BYTES as u64] {
            assert!(matches!(read_all(length, true), Err(Error::Closed)));
        }
    }

    #[test]
    fn who_stops_early_is_not_waited_for() {
        let reader = Box::new(Source { left: usize::MAX, fails: false });
        let first = read_ahead(reader, u64::MAX, |read| {
            let mut first = [0];
            read(&mut first)?;
            Ok(first)
        });
        assert_eq!(first.unwrap(), [255]);
    }
}
