//! Where spans come from: chunks of memory, cut into spans of 64 KiB.
//!
//! A chunk (2 MiB, the first ones smaller) comes from the process's allocator. A span that is wanted is taken from the
//! chunk with the lowest address among those that are in use in part: so what is used gathers, and other chunks become
//! free as a whole. What is free beyond a margin goes back to the system in pieces, so that no commit waits for much of
//! it: chunks that are free as a whole, and of the others, on Linux, the memory behind their free spans. Such a span is
//! *bare*: its address stays ours, and the system gives it memory again when it is written.
//!
//! - K1: a bare span is free. A chunk that is free as a whole has a span that is not bare.

use super::heap::OutOfMemory;
use std::alloc::{Layout, alloc, dealloc};
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;

/// Spans are aligned to their size.
pub(super) const SPAN_BYTES: usize = 64 << 10;
pub(super) const CHUNK_BYTES: usize = 2 << 20;
const FIRST_CHUNK_BYTES: usize = 4 * SPAN_BYTES;

struct Chunk {
    memory: NonNull<u8>,
    bytes: usize,
    /// A bit for each span that nobody uses.
    free: u32,
    /// Of these, a bit for each that has no memory behind it (K1).
    bare: u32,
    /// A bit for each that was taken once, and is not bare since.
    written: u32,
}

impl Chunk {
    fn spans(&self) -> usize {
        self.bytes / SPAN_BYTES
    }

    fn is_whole(&self) -> bool {
        self.free.count_ones() as usize == self.spans()
    }

    fn backed(&self) -> u32 {
        self.free & !self.bare
    }

    /// Bytes that have memory behind them, as far as this is known.
    fn backed_bytes(&self) -> usize {
        self.bytes - self.bare.count_ones() as usize * SPAN_BYTES
    }

    fn span(&self, index: u32) -> NonNull<u8> {
        // SAFETY: the chunk has a span of this number.
        unsafe { self.memory.add(index as usize * SPAN_BYTES) }
    }
}

/// See the module.
pub(super) struct Chunks {
    by_start: BTreeMap<usize, Chunk>,
    /// Starts of the chunks of which every span is free.
    whole: BTreeSet<usize>,
    /// Of the others, starts of those with free spans that are not bare.
    backed: BTreeSet<usize>,
    /// Starts of those with bare spans.
    bare: BTreeSet<usize>,
    /// Free spans that are not bare.
    spans_free: usize,
    bytes: usize,
    vacant_bytes: usize,
}

impl Chunks {
    pub(super) const fn new() -> Self {
        Self {
            by_start: BTreeMap::new(),
            whole: BTreeSet::new(),
            backed: BTreeSet::new(),
            bare: BTreeSet::new(),
            spans_free: 0,
            bytes: 0,
            vacant_bytes: 0,
        }
    }

    /// Bytes of memory, without what has gone back to the system.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of address space whose memory has gone back to the system, to be used again before there is more.
    pub(super) fn vacant_bytes(&self) -> usize {
        self.vacant_bytes
    }

    /// How many spans can be taken without more memory.
    pub(super) fn spans_free(&self) -> usize {
        self.spans_free
    }

    /// What the next span takes of the system when none is free: a chunk, or itself where it is bare.
    pub(super) fn growth(&self) -> usize {
        if !self.bare.is_empty() {
            SPAN_BYTES
        } else if self.bytes < CHUNK_BYTES {
            FIRST_CHUNK_BYTES
        } else {
            CHUNK_BYTES
        }
    }

    /// Takes so many bytes more of the system, which [`Chunks::growth`] has named. Cost: O(log chunks).
    pub(super) fn grow(&mut self) -> Result<(), OutOfMemory> {
        let bytes = self.growth();
        if let Some(&start) = self.bare.first() {
            if let Some(chunk) = self.by_start.get_mut(&start) {
                chunk.bare &= chunk.bare - 1;
                self.spans_free += 1;
                self.bytes += SPAN_BYTES;
                self.vacant_bytes -= SPAN_BYTES;
            }
            self.list(start);
            return Ok(());
        }
        let layout = Layout::from_size_align(bytes, chunk_align(bytes)).map_err(|_| OutOfMemory { bytes })?;
        // SAFETY: the layout's size is not zero.
        let memory = NonNull::new(unsafe { alloc(layout) }).ok_or(OutOfMemory { bytes })?;
        // SAFETY: the whole of an allocation of ours, in steps of 64 KiB.
        unsafe { advise(memory, bytes, Advice::HugePage) };
        let free = u32::MAX >> (u32::BITS as usize - bytes / SPAN_BYTES);
        let start = memory.as_ptr().addr();
        self.by_start.insert(start, Chunk { memory, bytes, free, bare: 0, written: 0 });
        self.spans_free += bytes / SPAN_BYTES;
        self.bytes += bytes;
        self.list(start);
        Ok(())
    }

    /// A span that nobody uses, and whether its bytes are those that its last user left; else they are not initialised.
    /// Cost: O(log chunks).
    pub(super) fn take(&mut self) -> Option<(NonNull<u8>, bool)> {
        let &start = self.backed.first().or(self.whole.first())?;
        let chunk = self.by_start.get_mut(&start)?;
        let index = chunk.backed().trailing_zeros();
        let span = chunk.span(index);
        let is_written = chunk.written >> index & 1 == 1;
        chunk.free &= !(1 << index);
        chunk.written |= 1 << index;
        self.spans_free -= 1;
        self.list(start);
        Some((span, is_written))
    }

    /// Takes a span back that nobody uses any more. Cost: O(log chunks).
    pub(super) fn give(&mut self, span: NonNull<u8>) {
        let Some((&start, chunk)) = self.by_start.range_mut(..=span.as_ptr().addr()).next_back() else { return };
        chunk.free |= 1 << ((span.as_ptr().addr() - start) / SPAN_BYTES);
        self.spans_free += 1;
        self.list(start);
    }

    /// Bytes of free spans beyond a margin.
    fn surplus(&self, margin: usize) -> usize {
        (self.spans_free * SPAN_BYTES).saturating_sub(margin)
    }

    /// Whether [`Chunks::give_back`] would give a whole chunk's worth.
    pub(super) fn has_surplus(&self, margin: usize) -> bool {
        let can_give = !self.whole.is_empty() || CAN_BARE && !self.backed.is_empty();
        can_give && self.surplus(margin) >= CHUNK_BYTES
    }

    /// Gives the system one chunk, or what lies behind the free spans of one, if so many bytes of free spans stay. Answers
    /// whether it did; not for less than `least` bytes. Cost: what the system takes to have 2 MiB back.
    pub(super) fn give_back(&mut self, margin: usize, least: usize) -> bool {
        let surplus = self.surplus(margin);
        if surplus < least.max(SPAN_BYTES) {
            return false;
        }
        if let Some(&start) = self.whole.last()
            && self.by_start.get(&start).is_some_and(|chunk| chunk.backed_bytes() <= surplus)
            && let Some(chunk) = self.by_start.remove(&start)
        {
            self.whole.remove(&start);
            self.bare.remove(&start);
            self.spans_free -= chunk.backed().count_ones() as usize;
            self.bytes -= chunk.backed_bytes();
            self.vacant_bytes -= chunk.bytes - chunk.backed_bytes();
            // SAFETY: none of the chunk's spans is in use.
            unsafe { free(&chunk) }
            return true;
        }
        let Some(start) = self.backed.last().copied().filter(|_| CAN_BARE) else { return false };
        if let Some(chunk) = self.by_start.get_mut(&start) {
            let mut left = chunk.backed();
            while left.count_ones() as usize > surplus / SPAN_BYTES {
                left &= left - 1;
            }
            let spans = left.count_ones() as usize;
            self.spans_free -= spans;
            self.bytes -= spans * SPAN_BYTES;
            self.vacant_bytes += spans * SPAN_BYTES;
            chunk.bare |= left;
            chunk.written &= !left;
            while left != 0 {
                let first = left.trailing_zeros();
                let count = (left >> first).trailing_ones();
                // SAFETY: spans of one chunk, which nobody uses.
                unsafe { advise(chunk.span(first), count as usize * SPAN_BYTES, Advice::TakeBack) };
                left &= !((u32::MAX >> (u32::BITS - count)) << first);
            }
        }
        self.list(start);
        true
    }

    /// Lists a chunk where its spans say.
    fn list(&mut self, start: usize) {
        let Some(chunk) = self.by_start.get(&start) else { return };
        let is_whole = chunk.is_whole();
        for (set, is_in) in [
            (&mut self.whole, is_whole),
            (&mut self.backed, !is_whole && chunk.backed() != 0),
            (&mut self.bare, chunk.bare != 0),
        ] {
            if is_in {
                set.insert(start);
            } else {
                set.remove(&start);
            }
        }
    }

    /// The figures that the lists and counts are to agree with: bytes, free spans, starts of whole chunks.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let chunks = || self.by_start.values();
        assert_eq!(self.bytes, chunks().map(Chunk::backed_bytes).sum::<usize>());
        assert_eq!(self.bytes + self.vacant_bytes, chunks().map(|chunk| chunk.bytes).sum::<usize>());
        assert_eq!(self.spans_free, chunks().map(|chunk| chunk.backed().count_ones() as usize).sum::<usize>());
        assert!(
            chunks().all(|chunk| chunk.bare & !chunk.free == 0 && (!chunk.is_whole() || chunk.backed() != 0)),
            "K1"
        );
        let starts = |is_in: fn(&Chunk) -> bool| {
            let listed = self.by_start.iter().filter(move |(_, chunk)| is_in(chunk));
            listed.map(|(start, _)| *start).collect::<BTreeSet<_>>()
        };
        assert_eq!(self.whole, starts(Chunk::is_whole));
        assert_eq!(self.backed, starts(|chunk| !chunk.is_whole() && chunk.backed() != 0));
        assert_eq!(self.bare, starts(|chunk| chunk.bare != 0));
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        for chunk in self.by_start.values() {
            // SAFETY: whoever drops this uses none of its spans any more.
            unsafe { free(chunk) }
        }
    }
}

/// Gives a chunk back. The system has its memory at once, be the process's allocator one that keeps what it is given.
///
/// # Safety
/// The chunk is given back once, and none of its spans is in use.
unsafe fn free(chunk: &Chunk) {
    // SAFETY: allocated with this layout in `Chunks::grow`; nobody uses any of it, which is the caller's promise.
    unsafe {
        advise(chunk.memory, chunk.bytes, Advice::TakeBack);
        dealloc(chunk.memory.as_ptr(), Layout::from_size_align_unchecked(chunk.bytes, chunk_align(chunk.bytes)));
    }
}

const fn chunk_align(bytes: usize) -> usize {
    if bytes >= CHUNK_BYTES { CHUNK_BYTES } else { SPAN_BYTES }
}

/// Whether the memory behind a span can be given back while its address stays.
const CAN_BARE: bool = cfg!(target_os = "linux");

/// What the system is told of a chunk, or of free spans of one.
enum Advice {
    /// Serve it by one huge page: reads at random then miss the address cache far less. Measured on a million rows, see
    /// ARCHITECTURE.md.
    HugePage,
    /// Take the memory back. What is read there then is not known.
    TakeBack,
}

/// A system that does not heed it changes nothing.
///
/// # Safety
/// The range is of one allocation of ours, in steps of 64 KiB, which are whole pages of the system. What is to be taken back
/// is in nobody's use.
unsafe fn advise(start: NonNull<u8>, bytes: usize, advice: Advice) {
    #[cfg(target_os = "linux")]
    {
        let advice = match advice {
            Advice::HugePage if bytes == CHUNK_BYTES => libc::MADV_HUGEPAGE,
            Advice::HugePage => return,
            Advice::TakeBack => libc::MADV_DONTNEED,
        };
        // SAFETY: the caller's promise: what changes its content is in nobody's use.
        unsafe { libc::madvise(start.as_ptr().cast(), bytes, advice) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, bytes, advice);
}
