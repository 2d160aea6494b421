//! The hash index of unique keys: linear hashing, one block a bucket.
//!
//! Buckets hang in the page tree by number; an empty bucket is absent. The table grows by splitting one bucket, and
//! shrinks by merging one, so that no operation pauses for the whole. The low bits of the hash are a bucket's number.
//!
//! A *tag* is 16 bits of an entry's hash, taken from bit `base` of the bucket upwards. As long as `base` lies at most
//! eight bits below the bits that number the bucket, a tag tells entries apart by at least eight bits, and also holds the
//! bit by which the bucket splits: of nine splits, eight look at no row. The ninth hashes the rows again and moves `base`
//! up. Merging moves it down, which needs no row: the bits that come in are those of the bucket's number.
//!
//! A bucket's bytes, without spare room, as every change of length is a new block anyway:
//!
//! | at | what |
//! |---|---|
//! | 0 | `base` |
//! | 1 | bytes of an id: 4, or 8 if one of the bucket's ids needs them |
//! | 2 | the tags, 2 bytes each |
//! | 2 + 2n | the ids |
//!
//! Comparing keys, hashing them with a seed, and uniqueness are the caller's. Equal hashes all land in one bucket, which
//! stays right and becomes slow: a seeded hash makes that nobody's choice.
//!
//! - H1: an entry lies in the bucket that `HashMeta::address` answers for its hash.
//! - H2: a bucket's `base` is at most the number of hash bits that its number fixes, and at least eight less.

use super::META_BYTES;
use crate::page::{BlockRef, Link, OutOfMemory, Pages, Tree, TreeRef};

/// Entries per bucket on average, above which the table grows. At 24, the tags of most buckets share a cache line with
/// the block's header, and what a bucket costs beside its entries (about 40 bytes) is under two bytes an entry.
const LOAD: u64 = 24;
/// The table shrinks below this many entries per bucket; far enough from `LOAD` that it does not swing.
const LOAD_MIN: u64 = LOAD / 2;
/// Bits of a rank below the number of the bucket, for which 28 are left: the hash's above those that number it.
const RANK_BITS: u32 = 36;
/// Fewer tag bits than this that tell the entries of a bucket apart, and its tags are made anew.
const TAG_BITS_MIN: u32 = 8;
const TAGS_AT: usize = 2;
const TAG_BYTES: usize = 2;
/// Deeper trees than this do not exist; see the page tree.
const HEIGHT_MAX: u8 = 12;

/// What the index is, beside its root link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HashMeta {
    /// At least one.
    bucket_count: u64,
    entry_count: u64,
    height: u8,
}

impl Default for HashMeta {
    fn default() -> Self {
        Self { bucket_count: 1, entry_count: 0, height: 0 }
    }
}

impl HashMeta {
    /// The bytes for the caller to keep.
    pub(crate) fn to_bytes(self) -> [u8; META_BYTES] {
        let mut bytes = [0; META_BYTES];
        bytes[..8].copy_from_slice(&self.bucket_count.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.entry_count.to_le_bytes());
        bytes[16] = self.height;
        bytes
    }

    /// What [`HashMeta::to_bytes`] wrote; all zeros are an empty index.
    #[inline(always)]
    pub(crate) fn from_bytes(bytes: &[u8; META_BYTES]) -> Self {
        Self { bucket_count: word(bytes, 0).max(1), entry_count: word(bytes, 8), height: bytes[16].min(HEIGHT_MAX) }
    }

    /// Of an index of so many entries, at most 2^32, that [`HashIndex::build_sorted`] is to fill.
    pub(crate) fn of_entries(count: usize) -> Self {
        let count = count as u64;
        Self { bucket_count: count.div_ceil(LOAD).max(1), entry_count: count, height: 0 }
    }

    /// By this, entries stand bucket by bucket; hashes that are not equal rarely have the same.
    pub(crate) fn rank(self, hash: u64) -> u64 {
        let number = self.address(hash);
        number << RANK_BITS | hash >> self.bits_of(number) & ((1 << RANK_BITS) - 1)
    }

    /// The bucket of a hash.
    #[inline(always)]
    fn address(self, hash: u64) -> u64 {
        let mask = self.mask();
        let number = hash & mask;
        // Buckets from `bucket_count` on are still part of those that will split into them.
        if number < self.bucket_count { number } else { number & (mask >> 1) }
    }

    /// The low bits that number the buckets; of a single bucket one too many, which changes nothing.
    #[inline(always)]
    fn mask(self) -> u64 {
        u64::MAX >> ((self.bucket_count - 1) | 1).leading_zeros()
    }

    /// How many low bits all hashes in a bucket share.
    fn bits_of(self, number: u64) -> u32 {
        let mask = self.mask();
        let half = mask - (mask >> 1);
        let is_split = number >= half || number + half < self.bucket_count;
        mask.count_ones() - u32::from(!is_split)
    }
}

#[inline(always)]
fn word(bytes: &[u8; META_BYTES], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

/// The index of one version.
#[derive(Clone, Copy)]
pub(crate) struct HashRef<'g> {
    tree: TreeRef<'g>,
    meta: HashMeta,
}

impl<'g> HashRef<'g> {
    pub(crate) fn new(root: Option<&'g Link>, meta: HashMeta) -> Self {
        Self { tree: TreeRef::new(root, meta.height), meta }
    }

    /// How many entries the index has.
    pub(crate) fn len(self) -> u64 {
        self.meta.entry_count
    }

    /// The row ids whose keys may have this hash: all that have it, and rarely (at most one in 256 entries of a bucket,
    /// usually one in thousands) another, or one twice, for the caller compares the key anyway. Cost: O(log n) to the
    /// bucket, then its tags.
    #[inline(always)]
    pub(crate) fn candidates(self, hash: u64) -> impl Iterator<Item = u64> + use<'g> {
        let bucket = match self.locate(hash) {
            Some(block) => {
                prefetch(block);
                Bucket::new(block.leaf_bytes())
            }
            None => Bucket::empty(0),
        };
        bucket.matches(hash).map(move |position| bucket.id(position))
    }

    /// The first of [`HashRef::candidates`], and whether there may be others: mostly it is the only one. Whoever looks for
    /// one key tries it before it begins with the others, and has no loop to go round.
    #[inline(always)]
    pub(crate) fn first_candidate(self, hash: u64) -> (Option<u64>, bool) {
        let Some(block) = self.locate(hash) else { return (None, false) };
        prefetch(block);
        let bucket = Bucket::new(block.leaf_bytes());
        let mut matches = bucket.matches(hash);
        matches.compare_next();
        let first = matches.next_equal().map(|position| bucket.id(position));
        (first, matches.equal != 0 || matches.next < bucket.tags.len())
    }

    /// Asks for the bucket of a hash, not looked at yet.
    #[inline]
    pub(crate) fn prefetch_bucket(self, hash: u64) {
        if let Some(bucket) = self.locate(hash) {
            prefetch(bucket);
        }
    }

    /// The first step of [`HashRef::candidates`] alone: the bucket, not looked at yet. Whoever looks up several hashes
    /// locates all, prefetches each, then visits their candidates.
    #[inline]
    pub(crate) fn locate(self, hash: u64) -> Option<BlockRef<'g>> {
        self.tree.get(self.meta.address(hash))
    }
}

/// One index of the running write.
pub(crate) struct HashIndex<'l> {
    root: &'l mut Option<Link>,
    meta: &'l mut HashMeta,
}

impl<'l> HashIndex<'l> {
    pub(crate) fn new(root: &'l mut Option<Link>, meta: &'l mut HashMeta) -> Self {
        Self { root, meta }
    }

    /// The same index for reading.
    pub(crate) fn as_ref(&self) -> HashRef<'_> {
        HashRef::new(self.root.as_ref(), *self.meta)
    }

    /// Adds an entry. The caller has made sure that no other row has the key, and that this entry is not there.
    ///
    /// `rehash` answers the hash under which an id was inserted; it is called rarely, then for every entry of one
    /// bucket, and never for `id` itself. Cost: O(log n) blocks copied; one insert in `LOAD` also splits a bucket.
    pub(crate) fn insert(
        &mut self,
        pages: &mut Pages,
        hash: u64,
        id: u64,
        rehash: &mut dyn FnMut(u64) -> u64,
    ) -> Result<(), OutOfMemory> {
        // Before the entry goes in, so that `rehash` is not asked about a row that may not be there yet.
        if self.meta.entry_count >= self.meta.bucket_count * LOAD {
            self.split(pages, rehash)?;
        }
        let number = self.meta.address(hash);
        match self.tree().page_mut(pages, number)? {
            Some(link) => {
                if let Some(new) = with_entry(pages, link.block(), hash, id)? {
                    pages.discard(std::mem::replace(link, new));
                }
            }
            None => {
                let base = self.meta.bits_of(number);
                let tag = (hash >> base.min(u64::BITS - 1)) as u16;
                let bucket = new_bucket(pages, base, std::iter::once((tag, id)))?;
                self.put(pages, number, bucket)?;
            }
        }
        self.meta.entry_count += 1;
        Ok(())
    }

    /// Fills the index, which is empty and of [`HashMeta::of_entries`], with all its entries: rank and row id, sorted.
    /// Cost: O(n).
    pub(crate) fn build_sorted(&mut self, pages: &mut Pages, entries: &[(u64, u64)]) -> Result<(), OutOfMemory> {
        debug_assert!(self.root.is_none() && entries.is_sorted());
        for bucket in entries.chunk_by(|(a, _), (b, _)| a >> RANK_BITS == b >> RANK_BITS) {
            let number = bucket.first().map_or(0, |(rank, _)| rank >> RANK_BITS);
            // The low bits of a rank are the hash's from just above those that number the bucket.
            let entries = bucket.iter().map(|&(rank, id)| (rank as u16, id));
            let new = new_bucket(pages, self.meta.bits_of(number), entries)?;
            self.put(pages, number, new)?;
        }
        Ok(())
    }

    /// Takes an entry out; answers whether it was there. Cost: O(log n) blocks copied; may merge two buckets.
    pub(crate) fn remove(&mut self, pages: &mut Pages, hash: u64, id: u64) -> Result<bool, OutOfMemory> {
        // Looked up first: an absent entry copies nothing.
        let Some(position) = self.position(hash, id) else { return Ok(false) };
        let number = self.meta.address(hash);
        if let Some(link) = self.tree().page_mut(pages, number)? {
            match without_entry(pages, link.block(), position)? {
                Some(new) => pages.discard(std::mem::replace(link, new)),
                None => self.put(pages, number, None)?,
            }
        }
        self.meta.entry_count = self.meta.entry_count.saturating_sub(1);
        if self.meta.entry_count == 0 {
            self.clear(pages);
        } else if self.meta.bucket_count > 1 && self.meta.entry_count < self.meta.bucket_count * LOAD_MIN {
            self.merge(pages)?;
        }
        Ok(true)
    }

    /// Takes all entries out. Cost: O(1) now; the blocks are freed in slices later.
    pub(crate) fn clear(&mut self, pages: &mut Pages) {
        if let Some(root) = self.root.take() {
            pages.discard(root);
        }
        *self.meta = HashMeta::default();
    }

    fn position(&self, hash: u64, id: u64) -> Option<usize> {
        let block = self.as_ref().locate(hash)?;
        prefetch(block);
        let bucket = Bucket::new(block.leaf_bytes());
        bucket.matches(hash).find(|&position| bucket.id(position) == id)
    }

    fn tree(&mut self) -> Tree<'_> {
        Tree::uncounted(self.root, &mut self.meta.height)
    }

    fn change(
        &mut self,
        pages: &mut Pages,
        number: u64,
        change: impl FnOnce(&mut Pages, &mut Option<Link>) -> Result<(), OutOfMemory>,
    ) -> Result<(), OutOfMemory> {
        self.tree().change(pages, number, |pages, slot| {
            change(pages, slot)?;
            // Entries of buckets are not counted in the tree.
            Ok((0, ()))
        })
    }

    fn put(&mut self, pages: &mut Pages, number: u64, mut bucket: Option<Link>) -> Result<(), OutOfMemory> {
        let changed = self.change(pages, number, |pages, slot| {
            put(pages, slot, bucket.take());
            Ok(())
        });
        // Without memory for the path it was not asked for, and nothing leads to it.
        if let Some(bucket) = bucket {
            pages.discard(bucket);
        }
        changed
    }

    /// Adds the next bucket and moves there what belongs there. Until the count of buckets says that the new one exists,
    /// what it holds is out of reach, so that a failure in between loses nothing.
    fn split(&mut self, pages: &mut Pages, rehash: &mut dyn FnMut(u64) -> u64) -> Result<(), OutOfMemory> {
        let new = self.meta.bucket_count;
        let bit = new.ilog2();
        let old = new - (1 << bit);
        let Some(block) = TreeRef::new(self.root.as_ref(), self.meta.height).get(old) else {
            self.meta.bucket_count += 1;
            return Ok(());
        };
        let base = Bucket::new(block.bytes()).base;
        if (bit + 1).saturating_sub(base) + TAG_BITS_MIN > u16::BITS {
            self.change(pages, old, |pages, slot| refresh_tags(pages, slot, bit, rehash))?;
        }
        let Some(block) = TreeRef::new(self.root.as_ref(), self.meta.height).get(old) else { return Ok(()) };
        let bucket = Bucket::new(block.bytes());
        let side_of = move |tag: u16| tag >> bit.saturating_sub(bucket.base).min(15) & 1;
        let side = |pages: &mut Pages, side| {
            new_bucket(pages, bucket.base, bucket.entries().filter(move |&(tag, _)| side_of(tag) == side))
        };
        if let Some(high) = side(pages, 1)? {
            let (high, low) = pages.beside(high, |pages, _| side(pages, 0))?;
            let put_high = |pages: &mut Pages| self.put(pages, new, Some(high));
            let low = match low {
                Some(low) => Some(pages.beside(low, |pages, _| put_high(pages))?.0),
                None => put_high(pages).map(|()| None)?,
            };
            self.put(pages, old, low)?;
        }
        self.meta.bucket_count += 1;
        Ok(())
    }

    /// Moves the last bucket's entries back to where they were split from.
    fn merge(&mut self, pages: &mut Pages) -> Result<(), OutOfMemory> {
        let last = self.meta.bucket_count - 1;
        let bit = last.ilog2();
        let into = last - (1 << bit);
        let tree = TreeRef::new(self.root.as_ref(), self.meta.height);
        let (low, high) = (tree.get(into), tree.get(last));
        let (a, b) = (Bucket::of(low, bit), Bucket::of(high, bit));
        let base = a.base.min(b.base).min(bit);
        if high.is_some() || a.base != base {
            let entries = a.rebased(base, into).chain(b.rebased(base, last));
            let merged = new_bucket(pages, base, entries)?;
            let had_high = high.is_some();
            self.put(pages, into, merged)?;
            if had_high {
                self.put(pages, last, None)?;
            }
        }
        self.meta.bucket_count -= 1;
        Ok(())
    }
}

/// Asks for a bucket's usual lines at once; where the id lies is known only when the tags are there.
#[inline(always)]
fn prefetch(bucket: BlockRef<'_>) {
    for line in 0..3 {
        bucket.prefetch(64 * line);
    }
}

/// A bucket's columns.
#[derive(Clone, Copy)]
struct Bucket<'a> {
    base: u32,
    tags: &'a [[u8; TAG_BYTES]],
    ids: Ids<'a>,
}

#[derive(Clone, Copy)]
enum Ids<'a> {
    Narrow(&'a [[u8; 4]]),
    Wide(&'a [[u8; 8]]),
}

impl<'a> Bucket<'a> {
    #[inline(always)]
    fn new(bytes: &'a [u8]) -> Self {
        let Some((&[base, id_bytes], columns)) = bytes.split_first_chunk::<TAGS_AT>() else { return Self::empty(0) };
        let wide = id_bytes == 8;
        let len = if wide { columns.len() / (TAG_BYTES + 8) } else { columns.len() / (TAG_BYTES + 4) };
        let Some((tags, ids)) = columns.split_at_checked(TAG_BYTES * len) else { return Self::empty(0) };
        let ids = if wide { Ids::Wide(ids.as_chunks().0) } else { Ids::Narrow(ids.as_chunks().0) };
        Self { base: u32::from(base), tags: tags.as_chunks().0, ids }
    }

    fn empty(base: u32) -> Self {
        Self { base, tags: &[], ids: Ids::Narrow(&[]) }
    }

    /// The bucket of a block that may be absent.
    fn of(block: Option<BlockRef<'a>>, base: u32) -> Self {
        block.map_or(Self::empty(base), |block| Self::new(block.bytes()))
    }

    #[inline(always)]
    fn id(self, position: usize) -> u64 {
        match self.ids {
            Ids::Narrow(ids) => ids.get(position).map_or(u64::MAX, |&id| u64::from(u32::from_le_bytes(id))),
            Ids::Wide(ids) => ids.get(position).map_or(u64::MAX, |&id| u64::from_le_bytes(id)),
        }
    }

    fn entries(self) -> impl Iterator<Item = (u16, u64)> + Clone + use<'a> {
        self.tags.iter().enumerate().map(move |(position, &tag)| (u16::from_le_bytes(tag), self.id(position)))
    }

    /// The entries with tags from bit `base`, not above the bucket's own, on. The bits between the two are those of the
    /// bucket's number (H2).
    fn rebased(self, base: u32, number: u64) -> impl Iterator<Item = (u16, u64)> + Clone + use<'a> {
        let shift = self.base.saturating_sub(base).min(u64::BITS - 1);
        let known = (number >> base & ((1 << shift) - 1)) as u16;
        self.entries().map(move |(tag, id)| ((u64::from(tag) << shift) as u16 | known, id))
    }

    /// The positions of tags equal to that of `hash`; one of the last few may come twice.
    #[inline(always)]
    fn matches(self, hash: u64) -> Matches<'a> {
        Matches { tags: self.tags, tag: (hash >> self.base.min(u64::BITS - 1)) as u16, start: 0, next: 0, equal: 0 }
    }
}

/// Tags compared in one step of the processor, and such steps made before any answer is looked at. Nearly all buckets
/// have no more tags than that: so no branch depends on which tag is equal, and the processor goes ahead to the row, or
/// to the next look-up, while the bucket is still on its way.
const LANES: usize = 8;
const GROUPS: usize = 6;

/// See [`Bucket::matches`].
struct Matches<'a> {
    tags: &'a [[u8; TAG_BYTES]],
    tag: u16,
    /// The first of the tags that `equal` speaks of.
    start: usize,
    /// The first tag not looked at yet.
    next: usize,
    /// A bit is set where the tag is equal: 16 for each of the first four lanes, of these the low half for that lane's
    /// groups, the high half for those of the lane four further on.
    equal: u64,
}

impl Iterator for Matches<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.equal == 0 && self.next < self.tags.len() {
            self.compare_next();
        }
        self.next_equal()
    }
}

impl Matches<'_> {
    /// Compares the next tags.
    #[inline(always)]
    fn compare_next(&mut self) {
        self.start = self.next;
        self.next += LANES * GROUPS;
        let mut equal = [0; LANES];
        compare(self.tags, self.start, self.tag, &mut equal);
        // The groups' bits fill half a lane, and those of the last four lanes go where the others leave room.
        let [low, high] = bytemuck::must_cast::<[u16; LANES], [u64; 2]>(equal.map(u16::to_le)).map(u64::from_le);
        // Groups behind the last tag have compared the last ones again.
        let groups = (self.tags.len() - self.start).div_ceil(LANES).min(GROUPS);
        self.equal = (low | high << 8) & (0x0101_0101_0101_0101 * ((1 << groups) - 1));
    }

    /// The next of those found equal.
    #[inline(always)]
    fn next_equal(&mut self) -> Option<usize> {
        if self.equal == 0 {
            return None;
        }
        let bit = self.equal.trailing_zeros() as usize;
        self.equal &= self.equal - 1;
        Some(group_at(self.tags, self.start, bit % 8) + bit / 16 + bit % 16 / 8 * (LANES / 2))
    }
}

/// Sets bit `group` of lane `lane` where that tag of that group is equal. Out of line, with the answer in memory: so the
/// compiler makes lanes of it.
#[inline(never)]
fn compare(tags: &[[u8; TAG_BYTES]], start: usize, tag: u16, equal: &mut [u16; LANES]) {
    let mut lanes = [0; LANES];
    let padded;
    let tags = if tags.len() < LANES {
        padded = few_tags(tags, tag);
        &padded
    } else {
        tags
    };
    for group in 0..GROUPS {
        let at = group_at(tags, start, group);
        let Some(tags) = tags.get(at..).and_then(<[_]>::first_chunk::<LANES>) else { return };
        for (lane, other) in lanes.iter_mut().zip(tags) {
            *lane |= if u16::from_le_bytes(*other) == tag { 1 << group } else { 0 };
        }
    }
    *equal = lanes;
}

/// Where a group begins: the last ones reach back over tags that were looked at.
#[inline(always)]
fn group_at(tags: &[[u8; TAG_BYTES]], start: usize, group: usize) -> usize {
    (start + LANES * group).min(tags.len().saturating_sub(LANES))
}

/// Fewer tags than a group has, the others set to what is not looked for.
#[cold]
#[inline(never)]
fn few_tags(tags: &[[u8; TAG_BYTES]], not: u16) -> [[u8; TAG_BYTES]; LANES] {
    let mut few = [(!not).to_le_bytes(); LANES];
    few.iter_mut().zip(tags).for_each(|(place, tag)| *place = *tag);
    few
}

/// Puts `new` in the place of the slot's block, which is retired.
fn put(pages: &mut Pages, slot: &mut Option<Link>, new: Option<Link>) {
    if let Some(old) = std::mem::replace(slot, new) {
        pages.discard(old);
    }
}

/// A block for so many entries, its head written; its tags and ids, to be filled.
fn alloc_bucket(pages: &mut Pages, base: u32, len: usize, id_bytes: usize) -> Result<Link, OutOfMemory> {
    let mut link = pages.alloc(0, TAGS_AT + len * (TAG_BYTES + id_bytes))?;
    if let Some(mut block) = pages.fresh(&mut link) {
        block.bytes()[..TAGS_AT].copy_from_slice(&[base as u8, id_bytes as u8]);
    }
    Ok(link)
}

/// A bucket of these entries; absent if there are none.
fn new_bucket(
    pages: &mut Pages,
    base: u32,
    entries: impl Iterator<Item = (u16, u64)> + Clone,
) -> Result<Option<Link>, OutOfMemory> {
    let (len, id_max) = entries.clone().fold((0, 0), |(len, id_max), (_, id)| (len + 1, id.max(id_max)));
    if len == 0 {
        return Ok(None);
    }
    let id_bytes = if id_max > u64::from(u32::MAX) { 8 } else { 4 };
    let mut link = alloc_bucket(pages, base, len, id_bytes)?;
    if let Some(mut block) = pages.fresh(&mut link) {
        let (tags, ids) = block.bytes()[TAGS_AT..].split_at_mut(TAG_BYTES * len);
        for (((tag, id), tag_place), id_place) in
            entries.zip(tags.chunks_exact_mut(TAG_BYTES)).zip(ids.chunks_exact_mut(id_bytes))
        {
            tag_place.copy_from_slice(&tag.to_le_bytes());
            id_place.copy_from_slice(&id.to_le_bytes()[..id_bytes]);
        }
    }
    Ok(Some(link))
}

/// The bucket with one entry more. Its tags, and its ids, stay together.
fn with_entry(pages: &mut Pages, block: BlockRef<'_>, hash: u64, id: u64) -> Result<Option<Link>, OutOfMemory> {
    let old = block.bytes();
    let bucket = Bucket::new(old);
    let tag = (hash >> bucket.base.min(u64::BITS - 1)) as u16;
    match bucket.ids {
        Ids::Narrow(ids) if id <= u64::from(u32::MAX) => {
            let len = ids.len();
            let mut link = alloc_bucket(pages, bucket.base, len + 1, 4)?;
            let tags_end = TAGS_AT + TAG_BYTES * len;
            if let Some(mut block) = pages.fresh(&mut link) {
                let new = block.bytes();
                new[..tags_end].copy_from_slice(&old[..tags_end]);
                new[tags_end..tags_end + TAG_BYTES].copy_from_slice(&tag.to_le_bytes());
                let (new_ids, last) = new[tags_end + TAG_BYTES..].split_at_mut(4 * len);
                new_ids.copy_from_slice(ids.as_flattened());
                last.copy_from_slice(&(id as u32).to_le_bytes());
            }
            Ok(Some(link))
        }
        _ => new_bucket(pages, bucket.base, bucket.entries().chain([(tag, id)])),
    }
}

/// The bucket without the entry at `position`, which there is: absent, if it was the last one. What stays lies in three
/// stretches: tags before it; tags behind it and ids before it; ids behind it.
fn without_entry(pages: &mut Pages, block: BlockRef<'_>, position: usize) -> Result<Option<Link>, OutOfMemory> {
    let old = block.bytes();
    let bucket = Bucket::new(old);
    match bucket.ids {
        Ids::Narrow(ids) if ids.len() > 1 => {
            let len = ids.len();
            let mut link = alloc_bucket(pages, bucket.base, len - 1, 4)?;
            let (first, second) = (TAGS_AT + TAG_BYTES * position, TAGS_AT + TAG_BYTES * len + 4 * position);
            if let Some(mut block) = pages.fresh(&mut link) {
                let new = block.bytes();
                new[..first].copy_from_slice(&old[..first]);
                new[first..second - TAG_BYTES].copy_from_slice(&old[first + TAG_BYTES..second]);
                new[second - TAG_BYTES..].copy_from_slice(&old[second + 4..TAGS_AT + (TAG_BYTES + 4) * len]);
            }
            Ok(Some(link))
        }
        _ => {
            let others = bucket.entries().enumerate().filter(|&(at, _)| at != position).map(|(_, entry)| entry);
            new_bucket(pages, bucket.base, others)
        }
    }
}

/// Makes the bucket's tags anew from bit `base` of the hashes on.
fn refresh_tags(
    pages: &mut Pages,
    slot: &mut Option<Link>,
    base: u32,
    rehash: &mut dyn FnMut(u64) -> u64,
) -> Result<(), OutOfMemory> {
    let Some(link) = slot else { return Ok(()) };
    let new = {
        let bucket = Bucket::new(link.block().bytes());
        // The tags are written twice, so that `rehash` runs once for each id.
        let mut new = new_bucket(pages, base, bucket.entries())?;
        if let Some(mut block) = new.as_mut().and_then(|link| pages.fresh(link)) {
            let tags = block.bytes()[TAGS_AT..].chunks_exact_mut(TAG_BYTES);
            for ((_, id), place) in bucket.entries().zip(tags) {
                place.copy_from_slice(&((rehash(id) >> base) as u16).to_le_bytes());
            }
        }
        new
    };
    put(pages, slot, new);
    Ok(())
}

#[cfg(test)]
mod tests;
