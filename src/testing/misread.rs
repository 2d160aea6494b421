//! Reads that answer other bytes than those that are there, as of a device that looks in the wrong place, answers from an
//! old copy, or does not fill the buffer.

use super::sim::Image;
use std::sync::Arc;

/// What a read answered instead of the bytes that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misread {
    /// Bytes of another place, of this file or another one.
    Misdirected,
    /// The buffer as it was.
    Lost,
    /// The bytes of an earlier time.
    Stale,
}

/// Makes a share of all reads go wrong, whole or in one block.
#[derive(Debug, Clone)]
pub struct Misreads {
    random: u64,
    per_mille: u64,
    earlier: Vec<Image>,
    told: Vec<(Box<str>, Misread)>,
}

/// What a device reads at once.
const BLOCK_BYTES: usize = 512;

impl Misreads {
    /// Of a thousand reads so many go wrong, drawn by `seed`; those that are stale are of one of the `earlier` images.
    pub fn new(seed: u64, per_mille: u64, earlier: Vec<Image>) -> Self {
        Self { random: seed, per_mille, earlier, told: Vec::new() }
    }

    /// The reads that went wrong so far: of which file, and how. Some answered the right bytes by chance.
    pub fn told(&self) -> &[(Box<str>, Misread)] {
        &self.told
    }

    /// Answers a read of the file `path` at `offset` wrongly, if it is its turn, and how many bytes were read. `into` has
    /// what was there before the call.
    pub(super) fn read(
        &mut self,
        (path, file): (&str, usize),
        contents: &[Arc<Vec<u8>>],
        into: &mut [u8],
        offset: usize,
    ) -> Option<usize> {
        if self.below(1_000) >= self.per_mille {
            return None;
        }
        let mut truth = tail(&contents[file], offset).to_vec();
        truth.truncate(into.len());
        let misread = [Misread::Misdirected, Misread::Lost, Misread::Stale][self.below(3) as usize];
        let lie = match misread {
            Misread::Misdirected => {
                let other = if self.below(2) == 0 { file } else { self.below(contents.len() as u64) as usize };
                let blocks = contents[other].len() / BLOCK_BYTES + 1;
                tail(&contents[other], self.below(blocks as u64) as usize * BLOCK_BYTES).to_vec()
            }
            Misread::Lost => into[..truth.len()].to_vec(),
            Misread::Stale => {
                let image = self.below(self.earlier.len().max(1) as u64) as usize;
                let earlier = self.earlier.get(image).and_then(|image| image.get(path));
                earlier.map_or_else(Vec::new, |earlier| tail(earlier, offset).to_vec())
            }
        };
        self.told.push((path.into(), misread));
        let answer = if self.below(2) == 0 {
            lie
        } else {
            let at = self.below((truth.len() / BLOCK_BYTES + 1) as u64) as usize * BLOCK_BYTES;
            let block = truth.iter_mut().skip(at).zip(lie.into_iter().skip(at));
            block.take(BLOCK_BYTES).for_each(|(byte, other)| *byte = other);
            truth
        };
        let read = answer.len().min(into.len());
        into[..read].copy_from_slice(&answer[..read]);
        Some(read)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random = super::crash::mix(self.random);
        self.random % limit
    }
}

fn tail(content: &[u8], offset: usize) -> &[u8] {
    content.get(offset..).unwrap_or_default()
}
