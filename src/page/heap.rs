//! The memory of one store: blocks by size class, cut from spans, cut from chunks.
//!
//! Spans of 64 KiB (see `chunks`) are zeroed step by step as they are used: a database of a few rows, or a fork, touches
//! little of them. A span serves one size class and keeps its own free list and count of live blocks, so that a span
//! without a live block can serve another class, or its memory go back to the system. The blocks freed last do not go to
//! their spans: a list per class hands them out again first. They are still in the cache, while a span's head and its free
//! blocks are not: spans are as far apart as memory is wide. Not so while little of the memory is used: then blocks come
//! from the spans in use, one after the other, and as rows change the others become empty. Blocks above [`SMALL_MAX`]
//! come from the process's allocator one by one and hang in a list.
//!
//! Not shared: a heap belongs to the writer of one store. Readers only look into blocks.
//!
//! - H1: every byte that is handed out has been initialised once (zeroed, an earlier block's bytes, or a copy's).
//! - H2: a block is on one free list, its class's or its span's, or handed out, never both.
//! - H3: dropping the heap gives all its memory back, live blocks included.

use super::block::{BLOCK_BYTES_MAX, Header, Link, block_size};
use super::chunks::{CHUNK_BYTES, Chunks, SPAN_BYTES};
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ptr::{self, NonNull};

/// A span is zeroed in steps of so many bytes: a page of the system.
const STEP_BYTES: usize = 4 << 10;
/// The largest block, header included, that a span serves. Above, a span's tail would waste more than 1/16.
const SMALL_MAX: usize = 4096;
const CLASS_COUNT: usize = class_of(SMALL_MAX) + 1;
/// Marks a block that did not come from a span.
const CLASS_LARGE: u16 = u16::MAX;
/// Beyond so many bytes of a class, its recent blocks go to their spans: some commits' worth, and little to the caches.
const RECENT_BYTES: u32 = 32 << 10;
/// Under a limit, a sixteenth of it is kept for who frees memory, and so many spans; at most these, or an eighth. Who deletes
/// a row of a table with some indexes copies blocks of as many sizes.
const RESERVE_SPANS_MIN: usize = 8;
const RESERVE_SPANS_MAX: usize = 64;
/// Free spans are kept up to this many bytes, or an eighth of the heap if that is more.
const MARGIN_BYTES: usize = 4 << 20;
/// A heap of more than this is sparse when less than a quarter of it is used.
const SPARSE_BYTES_MIN: usize = 16 << 20;

/// The process's allocator had no memory for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfMemory {
    /// How many bytes were asked for.
    pub(crate) bytes: usize,
}

/// Steps of 16 bytes up to 512, of 32 up to 2,048, of 64 up to 4,096: a page of about 2 KiB wastes under 2 %.
const fn class_of(size: usize) -> usize {
    if size <= 512 {
        size.div_ceil(16)
    } else if size <= 2048 {
        32 + (size - 512).div_ceil(32)
    } else {
        80 + (size - 2048).div_ceil(64)
    }
}

const fn class_bytes(class: usize) -> usize {
    if class <= 32 {
        class * 16
    } else if class <= 80 {
        512 + (class - 32) * 32
    } else {
        2048 + (class - 80) * 64
    }
}

/// The classes of the sizes that are multiples of 16, as those of all classes are.
const CLASSES: [u8; SMALL_MAX / 16 + 1] = {
    let mut classes = [0; SMALL_MAX / 16 + 1];
    let mut sixteens = 0;
    while sixteens < classes.len() {
        classes[sixteens] = class_of(16 * sixteens) as u8;
        sixteens += 1;
    }
    classes
};

const _: () = assert!(class_bytes(CLASS_COUNT - 1) == SMALL_MAX && class_bytes(class_of(513)) == 544);

/// The head of a span; blocks follow.
#[repr(C, align(64))]
struct Span {
    /// Free blocks that were handed out before, linked through their first word.
    free: *mut FreeBlock,
    /// Offset of the first byte never handed out.
    fresh: u32,
    /// Bytes before this one are initialised (H1).
    clean: u32,
    live: u32,
    class: u32,
    /// What a block of the class takes.
    block_bytes: u32,
    /// Whether the span is in its class's list of spans with room.
    listed: bool,
    previous: *mut Span,
    next: *mut Span,
}

const _: () = assert!(size_of::<Span>() == 64);

impl Span {
    /// A span for blocks of `class`, of which so many bytes are initialised.
    fn new(class: usize, clean: u32) -> Self {
        Self {
            free: ptr::null_mut(),
            fresh: size_of::<Span>() as u32,
            clean,
            live: 0,
            class: class as u32,
            block_bytes: class_bytes(class) as u32,
            listed: false,
            previous: ptr::null_mut(),
            next: ptr::null_mut(),
        }
    }

    /// Initialises the span for one more fresh block. Answers whether it has room for one.
    ///
    /// # Safety
    /// `span` is a span of 64 KiB of which nobody uses what is not initialised.
    #[cold]
    #[inline(never)]
    unsafe fn extend(span: *mut Span) -> bool {
        // SAFETY: the head is initialised; the bytes from `clean` to `end` lie inside the span, and nobody uses them.
        unsafe {
            let (clean, needed) = ((*span).clean as usize, ((*span).fresh + (*span).block_bytes) as usize);
            if needed > SPAN_BYTES {
                return false;
            }
            if needed > clean {
                let end = needed.next_multiple_of(STEP_BYTES).min(SPAN_BYTES);
                span.cast::<u8>().add(clean).write_bytes(0, end - clean);
                (*span).clean = end as u32;
            }
            true
        }
    }
}

struct FreeBlock {
    next: *mut FreeBlock,
}

/// Blocks of one class that were freed lately, the last one first. For their spans they are still live.
#[derive(Clone, Copy)]
struct Recent {
    first: *mut FreeBlock,
    count: u32,
    block_bytes: u32,
}

/// What stands before a block that did not come from a span.
#[repr(C, align(16))]
struct Large {
    previous: *mut Large,
    next: *mut Large,
    bytes: usize,
}

const LARGE_HEAD: usize = size_of::<Large>().next_multiple_of(16);

/// See the module.
pub(super) struct Heap {
    recent: [Recent; CLASS_COUNT],
    /// When less than this is used, recent blocks go to their spans. Else they could hold back as many spans as there are
    /// of them in a heap that has shrunk; so they hold back few beside those that have live blocks.
    settle_below: usize,
    /// Beyond so many bytes of a class, its recent blocks go to their spans: at once while the heap is sparse.
    recent_bytes_max: u32,
    /// Per class, the spans with room; the first one serves.
    rooms: [*mut Span; CLASS_COUNT],
    chunks: Chunks,
    large: *mut Large,
    large_bytes: usize,
    used_bytes: usize,
    /// Bytes of all blocks made so far, by their own lengths and copies aside, less what the writer says was retired;
    /// see `Pages::net_bytes`.
    pub(super) net_bytes: u64,
    /// More than this is not taken from the process's allocator.
    limit_bytes: usize,
    /// Of that, so many free spans are kept for who frees memory: to delete a row is to copy the pages that it is in.
    reserve_spans: usize,
    /// Whether the running operation may use them.
    pub(super) may_use_reserve: bool,
    /// Whether the last span that was wanted was refused.
    is_tight: bool,
    used_blocks: usize,
    /// Blocks that are still given before there is "no memory" for the next ones.
    #[cfg(test)]
    pub(super) blocks_until_full: Option<usize>,
}

// SAFETY: the heap owns all the memory its pointers point to; nothing in it is tied to a thread.
unsafe impl Send for Heap {}

impl Heap {
    pub(super) fn new() -> Self {
        let mut recent = [Recent { first: ptr::null_mut(), count: 0, block_bytes: 0 }; CLASS_COUNT];
        for (class, recent) in recent.iter_mut().enumerate() {
            recent.block_bytes = class_bytes(class) as u32;
        }
        Self {
            recent,
            settle_below: 0,
            recent_bytes_max: RECENT_BYTES,
            rooms: [ptr::null_mut(); CLASS_COUNT],
            chunks: Chunks::new(),
            large: ptr::null_mut(),
            large_bytes: 0,
            used_bytes: 0,
            net_bytes: 0,
            limit_bytes: usize::MAX,
            reserve_spans: 0,
            may_use_reserve: false,
            is_tight: false,
            used_blocks: 0,
            #[cfg(test)]
            blocks_until_full: None,
        }
    }

    pub(super) fn limit(&mut self, bytes: usize) {
        self.limit_bytes = bytes;
        let spans = bytes / SPAN_BYTES;
        self.reserve_spans = (spans / 16).clamp(RESERVE_SPANS_MIN, RESERVE_SPANS_MAX).min(spans / 8);
    }

    /// The same, unless what is kept for who frees memory would not be whole then.
    pub(super) fn lower_limit(&mut self, bytes: usize) {
        let before = self.limit_bytes;
        self.limit(bytes);
        if self.reserved_bytes() > bytes || self.chunks.spans_free() < self.reserve() {
            self.limit(before);
        }
    }

    /// Whether what is kept for who frees memory has been used in part. Then nothing is to be added before it is whole again,
    /// also where there is room: rows that come and go leave room in ever more sizes, and in the end none in that of a page.
    #[inline]
    pub(super) fn is_short(&mut self) -> bool {
        self.is_tight && self.chunks.spans_free() < self.reserve() && self.is_short_of_empty_spans()
    }

    /// The same when classes have given up the empty spans that they have kept: while nothing is added, nobody else asks
    /// them to.
    #[cold]
    #[inline(never)]
    fn is_short_of_empty_spans(&mut self) -> bool {
        self.give_empty_spans();
        self.is_tight = self.chunks.spans_free() < self.reserve();
        self.is_tight
    }

    /// How many free spans are to be left for who frees memory: none as long as as many more may be taken.
    fn reserve(&self) -> usize {
        let room = self.limit_bytes.saturating_sub(self.reserved_bytes());
        if room >= (self.reserve_spans * SPAN_BYTES).next_multiple_of(CHUNK_BYTES) { 0 } else { self.reserve_spans }
    }

    pub(super) fn reserve_bytes(&self) -> usize {
        self.reserve_spans * SPAN_BYTES
    }

    /// The same for the running operation.
    fn kept_spans(&self) -> usize {
        if self.may_use_reserve { 0 } else { self.reserve() }
    }

    /// The most bytes to take.
    pub(super) fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    fn check_limit(&self, bytes: usize) -> Result<(), OutOfMemory> {
        let is_within = self.reserved_bytes().checked_add(bytes).is_some_and(|sum| sum <= self.limit_bytes);
        if is_within { Ok(()) } else { Err(OutOfMemory { bytes }) }
    }

    /// The same for a large block, which is not to take what is kept for who frees memory. Of that there may be only pieces
    /// too small for it, so who frees memory may go beyond the limit by as much: else no row of a page this large could be
    /// deleted any more.
    fn check_room(&self, bytes: usize) -> Result<(), OutOfMemory> {
        if self.may_use_reserve {
            let beyond = self.reserved_bytes().saturating_sub(self.reserve_bytes()).checked_add(bytes);
            return if beyond.is_some_and(|sum| sum <= self.limit_bytes) { Ok(()) } else { Err(OutOfMemory { bytes }) };
        }
        let reserve = self.reserve_spans.saturating_sub(self.chunks.spans_free());
        let wanted = bytes.saturating_add(reserve * SPAN_BYTES);
        self.check_limit(wanted).map_err(|_| OutOfMemory { bytes })
    }

    /// Whether there is no memory for more: what is dead is then worth the most.
    #[inline]
    pub(super) fn is_tight(&self) -> bool {
        self.is_tight
    }

    /// Bytes of the blocks handed out, rounded up to their classes.
    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Bytes taken from the process's allocator, without what has gone back to the system.
    #[inline]
    pub(super) fn reserved_bytes(&self) -> usize {
        self.chunks.bytes() + self.large_bytes
    }

    /// Bytes of address space whose memory has gone back to the system, to be used again before there is more.
    pub(super) fn vacant_bytes(&self) -> usize {
        self.chunks.vacant_bytes()
    }

    /// How many blocks are handed out.
    pub(super) fn used_blocks(&self) -> usize {
        self.used_blocks
    }

    /// A block with absent links and bytes of unspecified content. Cost: O(1).
    #[inline]
    pub(super) fn alloc(
        &mut self,
        birth: u64,
        link_count: usize,
        bytes_len: usize,
    ) -> Result<NonNull<Header>, OutOfMemory> {
        let block = self.alloc_bare::<false>(birth, link_count, bytes_len)?;
        // Most blocks have no links, and a call for nothing would cost them as much as the rest.
        if link_count > 0 {
            // SAFETY: `link_count` words follow the header; an absent link is a null word.
            unsafe { block.as_ptr().add(1).cast::<Option<Link>>().write_bytes(0, link_count) };
        }
        Ok(block)
    }

    /// A block with the links and bytes of another. Cost: O(block).
    ///
    /// # Safety
    /// `block` is live. Of the two, one alone may be used as the owner of the links.
    #[inline]
    pub(super) unsafe fn alloc_copy(
        &mut self,
        birth: u64,
        block: NonNull<Header>,
    ) -> Result<NonNull<Header>, OutOfMemory> {
        // SAFETY: the caller's promise.
        let Header { bytes_len, link_count, .. } = *unsafe { block.as_ref() };
        let (link_count, bytes_len) = (link_count as usize, bytes_len as usize);
        let copy = self.alloc_bare::<true>(birth, link_count, bytes_len)?;
        // SAFETY: both blocks have this shape, and the copy is ours alone.
        unsafe {
            let (from, to) = (block.as_ptr().add(1).cast::<u8>(), copy.as_ptr().add(1).cast::<u8>());
            to.copy_from_nonoverlapping(from, block_size(link_count, bytes_len) - size_of::<Header>());
        }
        Ok(copy)
    }

    /// A block whose links are of unspecified content as well, and of one that is to be a copy all else but the header: to
    /// be written before anyone looks at them.
    #[inline(always)]
    fn alloc_bare<const IS_COPY: bool>(
        &mut self,
        birth: u64,
        link_count: usize,
        bytes_len: usize,
    ) -> Result<NonNull<Header>, OutOfMemory> {
        #[cfg(test)]
        if let Some(left) = &mut self.blocks_until_full {
            *left = left.checked_sub(1).ok_or(OutOfMemory { bytes: bytes_len })?;
        }
        if link_count.max(bytes_len) > SMALL_MAX {
            return self.alloc_rare(birth, link_count, bytes_len, IS_COPY);
        }
        let size = block_size(link_count, bytes_len);
        if size > SMALL_MAX || cfg!(folio_block_per_page) {
            return self.alloc_rare(birth, link_count, bytes_len, IS_COPY);
        }
        let class = usize::from(CLASSES[size.div_ceil(16)]);
        let (recent, span) = (&mut self.recent[class], self.rooms[class]);
        if recent.first.is_null() && span.is_null() {
            return self.alloc_rare(birth, link_count, bytes_len, IS_COPY);
        }
        // SAFETY: a recent block is free, and begins with the next one; a listed span has room for a block of its class.
        // Both are at least of `size`.
        unsafe {
            let block = match NonNull::new(recent.first) {
                Some(block) => {
                    recent.first = block.as_ref().next;
                    recent.count -= 1;
                    self.used_blocks += 1;
                    self.used_bytes += recent.block_bytes as usize;
                    block.cast::<Header>()
                }
                None => self.alloc_in(span).cast::<Header>(),
            };
            if !IS_COPY {
                self.net_bytes = self.net_bytes.wrapping_add(size as u64);
            }
            block.write(Header {
                birth,
                bytes_len: bytes_len as u32,
                link_count: link_count as u16,
                class: class as u16,
            });
            Ok(block)
        }
    }

    /// A block that is large, or the first of a span. A call at the end of its caller, which so has nothing to save.
    #[cold]
    #[inline(never)]
    fn alloc_rare(
        &mut self,
        birth: u64,
        link_count: usize,
        bytes_len: usize,
        is_copy: bool,
    ) -> Result<NonNull<Header>, OutOfMemory> {
        if bytes_len > BLOCK_BYTES_MAX || link_count > u16::MAX as usize {
            return Err(OutOfMemory { bytes: bytes_len });
        }
        let size = block_size(link_count, bytes_len);
        let (block, class) = if size <= SMALL_MAX && !cfg!(folio_block_per_page) {
            let class = self.make_room(class_of(size))?;
            // SAFETY: the class has a span with room, for blocks of at least `size`.
            (unsafe { self.alloc_in(self.rooms[class]) }, class as u16)
        } else {
            (self.alloc_large(size, is_copy)?, CLASS_LARGE)
        };
        if !is_copy {
            self.net_bytes = self.net_bytes.wrapping_add(size as u64);
        }
        let block = block.cast::<Header>();
        // SAFETY: `block` is `size` bytes, 16-aligned, and ours alone.
        unsafe { block.write(Header { birth, bytes_len: bytes_len as u32, link_count: link_count as u16, class }) };
        Ok(block)
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// `block` came from this heap's [`Heap::alloc`], was not freed since, and nobody will look at it again.
    #[inline]
    pub(super) unsafe fn free(&mut self, block: NonNull<Header>) {
        // SAFETY: the caller's promise: the block is live.
        let Header { bytes_len, link_count, class, .. } = *unsafe { block.as_ref() };
        self.used_blocks -= 1;
        if class == CLASS_LARGE {
            // SAFETY: the class says that the block came from `alloc_large`.
            return unsafe { self.free_large(block.cast(), block_size(link_count as usize, bytes_len as usize)) };
        }
        #[cfg(debug_assertions)]
        // SAFETY: the block's own bytes; a reader that still looks shall see that it is wrong.
        unsafe {
            block.cast::<u8>().as_ptr().write_bytes(0xDD, block_size(link_count as usize, bytes_len as usize));
        }
        let recent = &mut self.recent[usize::from(class)];
        let free = block.cast::<FreeBlock>();
        // SAFETY: the block is ours to reuse, and long enough.
        unsafe { free.write(FreeBlock { next: recent.first }) };
        recent.first = free.as_ptr();
        recent.count += 1;
        self.used_bytes -= recent.block_bytes as usize;
        if self.used_bytes < self.settle_below {
            self.settle_all();
        } else if recent.count * recent.block_bytes > self.recent_bytes_max {
            self.settle(class.into());
        }
    }

    /// Gives all recent blocks to their spans.
    #[cold]
    #[inline(never)]
    fn settle_all(&mut self) {
        for class in 0..CLASS_COUNT {
            self.settle(class);
        }
        self.settle_below = settle_below(self.used_bytes);
    }

    /// Gives the recent blocks of a class to their spans.
    #[cold]
    #[inline(never)]
    fn settle(&mut self, class: usize) {
        let recent = &mut self.recent[class];
        let mut next = std::mem::replace(&mut recent.first, ptr::null_mut());
        recent.count = 0;
        while let Some(block) = NonNull::new(next) {
            // SAFETY: a recent block is free and begins with the next one, which is read before the block is handed on;
            // its class has it come from a span.
            unsafe {
                next = block.as_ref().next;
                self.free_small(block.cast());
            }
        }
    }

    /// # Safety
    /// `span` is a live span of this heap that is listed.
    #[inline(always)]
    unsafe fn alloc_in(&mut self, span: *mut Span) -> NonNull<u8> {
        self.used_blocks += 1;
        // SAFETY: a listed span has a free block or initialised room for a fresh one; both lie inside the span.
        unsafe {
            let bytes = (*span).block_bytes as usize;
            self.used_bytes += bytes;
            (*span).live += 1;
            let block = if (*span).free.is_null() {
                let block = span.cast::<u8>().add((*span).fresh as usize);
                (*span).fresh += bytes as u32;
                block
            } else {
                let block = (*span).free;
                (*span).free = (*block).next;
                block.cast::<u8>()
            };
            let is_out = (*span).free.is_null() && (*span).fresh as usize + bytes > (*span).clean as usize;
            if is_out && !Span::extend(span) {
                self.unlist(span);
            }
            NonNull::new_unchecked(block)
        }
    }

    /// Sees to it that a class has a span with room, and answers which: this one, or where there is no memory for it the
    /// next with larger blocks. So the smaller pages that are left when rows go find room where larger ones were, and a
    /// heap with a limit is not full while half of it is room for blocks of other sizes.
    fn make_room(&mut self, class: usize) -> Result<usize, OutOfMemory> {
        let added = self.add_span(class);
        let Err(error) = added else {
            self.is_tight = self.chunks.spans_free() < self.reserve();
            return Ok(class);
        };
        self.give_empty_spans();
        self.is_tight = self.chunks.spans_free() <= self.reserve();
        if self.chunks.spans_free() > self.kept_spans() {
            return self.add_span(class).map(|()| class);
        }
        // Where the reserve is at work, its larger blocks are for who goes on freeing.
        if self.chunks.spans_free() < self.kept_spans() {
            return Err(error);
        }
        (class..CLASS_COUNT).find(|&class| !self.rooms[class].is_null()).ok_or(error)
    }

    /// Takes the spans without a live block from their classes, each of which may have kept some.
    fn give_empty_spans(&mut self) {
        self.settle_all();
        for class in 0..CLASS_COUNT {
            let mut span = self.rooms[class];
            while !span.is_null() {
                // SAFETY: what is listed is a live span; without live blocks it is nobody's, once it is not listed.
                unsafe {
                    let next = (*span).next;
                    if (*span).live == 0 {
                        self.unlist(span);
                        self.give_span(NonNull::new_unchecked(span));
                    }
                    span = next;
                }
            }
        }
    }

    /// Gives the class an empty span.
    #[cold]
    fn add_span(&mut self, class: usize) -> Result<(), OutOfMemory> {
        self.settle_below = self.settle_below.max(settle_below(self.used_bytes));
        let (span, is_written) = self.take_span()?;
        // SAFETY: a free span is 64 KiB that nobody uses, with the head that its last user left, if it had one.
        unsafe {
            // H1: at first the head alone is initialised.
            let clean = if is_written { (*span).clean } else { size_of::<Span>() as u32 };
            span.write(Span::new(class, clean));
            Span::extend(span);
            self.list(span);
        }
        Ok(())
    }

    /// Takes back a block that is not in use any more.
    ///
    /// # Safety
    /// As [`Heap::free`], for a block that a span served.
    #[inline]
    unsafe fn free_small(&mut self, block: NonNull<u8>) {
        let span = block.as_ptr().map_addr(|address| address & !(SPAN_BYTES - 1)).cast::<Span>();
        // SAFETY: spans are aligned to their size, so masking finds the span's head; the block is ours to reuse.
        unsafe {
            let free = block.as_ptr().cast::<FreeBlock>();
            free.write(FreeBlock { next: (*span).free });
            (*span).free = free;
            (*span).live -= 1;
            if !(*span).listed || (*span).live == 0 {
                self.relist(span);
            }
        }
    }

    /// Sees to a span that has room again, or no live block any more. Not part of its callers, which run often.
    ///
    /// # Safety
    /// `span` is a live span of this heap, with a free block.
    #[cold]
    #[inline(never)]
    unsafe fn relist(&mut self, span: *mut Span) {
        // SAFETY: the caller's promise; a span that is not listed is listed, and one that is, is taken from the list.
        unsafe {
            if !(*span).listed {
                self.list(span);
            } else if !((*span).previous.is_null() && (*span).next.is_null()) {
                // The last span of a class stays, lest a block that comes and goes moves a span each time.
                self.unlist(span);
                self.give_span(NonNull::new_unchecked(span));
            }
        }
    }

    /// # Safety
    /// `span` is a live span of this heap that is not listed.
    unsafe fn list(&mut self, span: *mut Span) {
        // SAFETY: the caller's promise; list neighbours are live spans.
        unsafe {
            let first = &mut self.rooms[(*span).class as usize];
            (*span).listed = true;
            (*span).previous = ptr::null_mut();
            (*span).next = *first;
            if !first.is_null() {
                (**first).previous = span;
            }
            *first = span;
        }
    }

    /// # Safety
    /// `span` is a live span of this heap that is listed.
    unsafe fn unlist(&mut self, span: *mut Span) {
        // SAFETY: the caller's promise; list neighbours are live spans.
        unsafe {
            let (previous, next) = ((*span).previous, (*span).next);
            if previous.is_null() {
                self.rooms[(*span).class as usize] = next;
            } else {
                (*previous).next = next;
            }
            if !next.is_null() {
                (*next).previous = previous;
            }
            (*span).listed = false;
        }
    }

    /// A span, and whether it has the head that its last user left.
    fn take_span(&mut self) -> Result<(*mut Span, bool), OutOfMemory> {
        if self.chunks.spans_free() <= self.kept_spans() {
            self.check_limit(self.chunks.growth())?;
            self.chunks.grow()?;
        }
        let (span, is_written) = self.chunks.take().ok_or(OutOfMemory { bytes: SPAN_BYTES })?;
        Ok((span.as_ptr().cast(), is_written))
    }

    /// Takes back a span without live blocks.
    fn give_span(&mut self, span: NonNull<Span>) {
        self.chunks.give(span.cast());
    }

    /// What is kept of free spans.
    fn margin(&self) -> usize {
        MARGIN_BYTES.max(self.reserved_bytes() / 8)
    }

    /// Whether [`Heap::give_back`] has something to do.
    #[inline]
    pub(super) fn has_surplus(&self) -> bool {
        // Asked by each commit, and the least margin is usually not reached.
        self.chunks.spans_free() >= (MARGIN_BYTES + CHUNK_BYTES) / SPAN_BYTES && self.chunks.has_surplus(self.margin())
    }

    /// Gives the system up to so many pieces, of 2 MiB or what is free of them, of what is free beyond the margin, if that
    /// is 2 MiB. Answers whether there may be more. Also sees whether the heap is sparse by now: recent blocks would be
    /// handed out again where they lie, scattered.
    pub(super) fn give_back(&mut self, pieces: usize) -> bool {
        let is_sparse = self.reserved_bytes() > SPARSE_BYTES_MIN && self.used_bytes < self.reserved_bytes() / 4;
        let recent_bytes_max = if is_sparse { 0 } else { RECENT_BYTES };
        if recent_bytes_max < std::mem::replace(&mut self.recent_bytes_max, recent_bytes_max) {
            self.settle_all();
        }
        (0..pieces).all(|_| self.chunks.give_back(self.margin(), CHUNK_BYTES))
    }

    #[cold]
    fn alloc_large(&mut self, size: usize, is_copy: bool) -> Result<NonNull<u8>, OutOfMemory> {
        let bytes = size + LARGE_HEAD;
        if self.check_room(bytes).is_err() {
            // What is kept for small blocks, but for those that free memory, is as good for this one.
            self.give_empty_spans();
            while self.chunks.give_back(self.kept_spans() * SPAN_BYTES, SPAN_BYTES) {}
            let room = self.check_room(bytes);
            self.is_tight = room.is_err();
            room?;
        }
        let layout = Layout::from_size_align(bytes, 16).map_err(|_| OutOfMemory { bytes })?;
        // SAFETY: the layout's size is not zero. What is not zeroed is written over by whoever makes a copy (H1).
        let memory = unsafe { if is_copy { alloc(layout) } else { alloc_zeroed(layout) } };
        let memory = NonNull::new(memory).ok_or(OutOfMemory { bytes })?;
        let large = memory.as_ptr().cast::<Large>();
        // SAFETY: the memory begins with room for the head; `self.large` is a live head or null.
        unsafe {
            large.write(Large { previous: ptr::null_mut(), next: self.large, bytes });
            if !self.large.is_null() {
                (*self.large).previous = large;
            }
            self.large = large;
            self.used_blocks += 1;
            self.used_bytes += bytes;
            self.large_bytes += bytes;
            Ok(memory.add(LARGE_HEAD))
        }
    }

    /// # Safety
    /// As [`Heap::free`], for a block that `alloc_large` served with `size`.
    #[cold]
    #[inline(never)]
    unsafe fn free_large(&mut self, block: NonNull<u8>, size: usize) {
        // SAFETY: the head stands right before the block; its neighbours are live heads; the layout is the one that
        // `alloc_large` used for `size`.
        unsafe {
            let large = block.as_ptr().sub(LARGE_HEAD).cast::<Large>();
            let Large { previous, next, bytes } = large.read();
            debug_assert_eq!(bytes, size + LARGE_HEAD, "a block's size does not change");
            if previous.is_null() {
                self.large = next;
            } else {
                (*previous).next = next;
            }
            if !next.is_null() {
                (*next).previous = previous;
            }
            self.used_bytes -= bytes;
            self.large_bytes -= bytes;
            dealloc(large.cast(), Layout::from_size_align_unchecked(bytes, 16));
        }
    }
}

/// See [`Heap::settle_below`]. At the least when nothing is used any more.
const fn settle_below(used_bytes: usize) -> usize {
    used_bytes / 8 * 7 + 1
}

impl Drop for Heap {
    fn drop(&mut self) {
        let mut large = self.large;
        while !large.is_null() {
            // SAFETY: heads in the list are live; each is read before its memory goes.
            unsafe {
                let Large { next, bytes, .. } = large.read();
                dealloc(large.cast(), Layout::from_size_align_unchecked(bytes, 16));
                large = next;
            }
        }
    }
}

#[cfg(test)]
mod tests;
