//! Blocks: the unit of everything that a version is made of, and the links between them.
//!
//! A block is a header, then `link_count` links to other blocks, then `bytes_len` bytes. Links are typed and opaque, so
//! that the code above (trees, row pages, indexes) builds its structures without `unsafe`, and so that reclamation can
//! walk any structure without knowing it.
//!
//! Within one version the blocks form a tree: each block but the root is held by exactly one link. A [`Link`] is
//! therefore owned, like a `Box`, and is neither `Clone` nor `Copy`. Different versions share blocks; that is this
//! layer's business and invisible above it.
//!
//! - B1: a block reachable from a published root is never written.
//! - B2: a child was born no later than its parent: changing a child changes the path above it.
//! - B3: a link lives inside a block, or on the stack of the one write that took it out; it is never kept elsewhere.

use std::marker::PhantomData;
use std::ptr::NonNull;

/// Bytes of a block beside its links and its own bytes.
pub(crate) const BLOCK_HEAD_BYTES: usize = size_of::<Header>();

/// The most bytes one block may carry.
pub(crate) const BLOCK_BYTES_MAX: usize = 1 << 30;

/// The fixed head of every block.
#[repr(C, align(16))]
pub(super) struct Header {
    /// The write stamp under which the block was made.
    pub(super) birth: u64,
    pub(super) bytes_len: u32,
    pub(super) link_count: u16,
    /// The heap's size class.
    pub(super) class: u16,
}

const _: () = assert!(size_of::<Header>() == 16, "links and bytes start 8-aligned right behind the header");

/// Size of a block with so many links and bytes, header included.
pub(super) const fn block_size(link_count: usize, bytes_len: usize) -> usize {
    size_of::<Header>() + link_count * size_of::<Option<Link>>() + bytes_len
}

/// An owned reference to a block, unique within its version.
#[repr(transparent)]
pub(crate) struct Link(pub(super) NonNull<Header>);

const _: () = assert!(size_of::<Option<Link>>() == 8, "an absent link is a null word");

// SAFETY: a link is an address of memory owned by a store, which any thread may read while it is protected; writing
// through one takes `&mut` and the store's writer lock.
unsafe impl Send for Link {}
// SAFETY: as above; `&Link` only reads.
unsafe impl Sync for Link {}

impl Link {
    /// The block, for as long as the link itself may be looked at.
    #[inline(always)]
    pub(crate) fn block(&self) -> BlockRef<'_> {
        BlockRef { header: self.0, version: PhantomData }
    }
}

/// A block of a version that stays readable for `'g`.
#[derive(Clone, Copy)]
pub(crate) struct BlockRef<'g> {
    pub(super) header: NonNull<Header>,
    version: PhantomData<&'g Link>,
}

impl<'g> BlockRef<'g> {
    /// # Safety
    /// The block must stay allocated and unwritten for all of `'g`.
    #[inline(always)]
    pub(super) unsafe fn new(header: NonNull<Header>) -> Self {
        Self { header, version: PhantomData }
    }

    #[inline(always)]
    fn header(self) -> &'g Header {
        // SAFETY: a `BlockRef<'g>` is made from a link that may be looked at for `'g`, or by `new`, whose caller
        // promises the same; the header of a live block is initialised.
        unsafe { self.header.as_ref() }
    }

    /// The stamp under which the block was made; never above the stamp of a version that reaches it.
    pub(crate) fn birth(self) -> u64 {
        self.header().birth
    }

    /// Bytes of the block, header and links included.
    pub(crate) fn size(self) -> usize {
        let &Header { link_count, bytes_len, .. } = self.header();
        block_size(link_count.into(), bytes_len as usize)
    }

    /// The links of the block, in order.
    #[inline(always)]
    pub(crate) fn links(self) -> &'g [Option<Link>] {
        let count = self.header().link_count as usize;
        // SAFETY: `link_count` initialised links follow the header within the block's allocation (`Heap::alloc`), and
        // nobody writes them during `'g`.
        unsafe { std::slice::from_raw_parts(self.header.as_ptr().add(1).cast::<Option<Link>>(), count) }
    }

    /// The bytes of the block; 8-aligned at the first.
    #[inline(always)]
    pub(crate) fn bytes(self) -> &'g [u8] {
        let header = self.header();
        // SAFETY: `bytes_len` bytes follow the links within the block's allocation; the heap hands out memory that has
        // been initialised once, and nobody writes it during `'g`.
        unsafe {
            let start = self.header.as_ptr().add(1).cast::<Option<Link>>().add(header.link_count as usize);
            std::slice::from_raw_parts(start.cast::<u8>(), header.bytes_len as usize)
        }
    }

    /// The same as [`bytes`](BlockRef::bytes), for blocks that mostly have no links: where the bytes begin then does not
    /// wait for the header to arrive from memory. The processor goes ahead on the guess that there are none.
    #[inline(always)]
    pub(crate) fn leaf_bytes(self) -> &'g [u8] {
        let header = self.header();
        if header.link_count != 0 {
            return self.bytes_behind_links();
        }
        // SAFETY: as in `bytes`, with no links between header and bytes.
        unsafe { std::slice::from_raw_parts(self.header.as_ptr().add(1).cast::<u8>(), header.bytes_len as usize) }
    }

    /// Out of line, so that the choice above stays a branch, which is predicted, and does not become a select, which
    /// waits.
    #[cold]
    #[inline(never)]
    fn bytes_behind_links(self) -> &'g [u8] {
        self.bytes()
    }

    /// The block behind link `index`, if there is one.
    #[inline(always)]
    pub(crate) fn child(self, index: usize) -> Option<BlockRef<'g>> {
        self.links().get(index)?.as_ref().map(Link::block)
    }

    /// Whether both are the very same block, and so the same content.
    #[inline(always)]
    pub(crate) fn same(self, other: BlockRef<'_>) -> bool {
        self.header == other.header
    }

    /// Asks for the whole block, or as much as a row page usually has, before it is copied: a copy begins with what has
    /// to be worked out from the block's head, and goes on column by column.
    #[inline]
    pub(crate) fn prefetch_all(self) {
        const BYTES_MAX: usize = 4096;
        for offset in (0..self.size().min(BYTES_MAX)).step_by(64) {
            self.prefetch(offset);
        }
    }

    /// Asks the processor to load the block's first line; costs one instruction and changes nothing.
    #[inline(always)]
    pub(crate) fn prefetch(self, offset: usize) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch is a hint; it may be given any address and never faults.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(self.header.as_ptr().cast::<i8>().wrapping_add(offset));
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = offset;
    }
}

/// A block of the running write, which nobody else can see yet.
pub(crate) struct BlockMut<'l> {
    header: NonNull<Header>,
    link: PhantomData<&'l mut Link>,
}

impl<'l> BlockMut<'l> {
    /// # Safety
    /// The block must have been born under the running write's stamp, be reached by the one link that `'l` borrows
    /// mutably, and stay allocated for `'l`.
    #[inline(always)]
    pub(super) unsafe fn new(header: NonNull<Header>) -> Self {
        Self { header, link: PhantomData }
    }

    /// Links and bytes, both writable.
    #[inline(always)]
    pub(crate) fn parts(&mut self) -> (&mut [Option<Link>], &mut [u8]) {
        // SAFETY: the block is this write's own (see `new`), so these are the only references into it; links and bytes
        // lie one behind the other within the allocation and are initialised.
        unsafe {
            let header = self.header.as_ref();
            let links = self.header.as_ptr().add(1).cast::<Option<Link>>();
            let bytes = links.add(header.link_count as usize).cast::<u8>();
            (
                std::slice::from_raw_parts_mut(links, header.link_count as usize),
                std::slice::from_raw_parts_mut(bytes, header.bytes_len as usize),
            )
        }
    }

    /// The same for as long as the link is borrowed.
    #[inline(always)]
    pub(crate) fn into_parts(mut self) -> (&'l mut [Option<Link>], &'l mut [u8]) {
        let (links, bytes) = self.parts();
        let (links, bytes): (*mut [Option<Link>], *mut [u8]) = (links, bytes);
        // SAFETY: `self` is consumed, so the slices are unique for the rest of `'l`, for which the block stays.
        unsafe { (&mut *links, &mut *bytes) }
    }

    #[inline(always)]
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.parts().1
    }

    #[inline(always)]
    pub(crate) fn links(&mut self) -> &mut [Option<Link>] {
        self.parts().0
    }
}
