//! Tests of the heap: random allocation against a model, what is given back, what is handed out again.

use super::super::block::{BlockMut, BlockRef};
use super::super::tests::Random;
use super::*;

/// A block that is handed out, as the test remembers it.
#[derive(Clone, Copy)]
struct Live {
    block: NonNull<Header>,
    birth: u64,
    link_count: usize,
    bytes_len: usize,
}

impl Live {
    /// A block whose bytes are all told by its birth.
    fn new(heap: &mut Heap, birth: u64, link_count: usize, bytes_len: usize) -> Self {
        let block = heap.alloc(birth, link_count, bytes_len).expect("memory");
        // SAFETY: the block is fresh and ours alone.
        let mut own = unsafe { BlockMut::new(block) };
        own.bytes().fill(birth as u8);
        Self { block, birth, link_count, bytes_len }
    }

    fn check(&self) {
        // SAFETY: the block is handed out, and not written meanwhile.
        let block = unsafe { BlockRef::new(self.block) };
        assert_eq!(block.birth(), self.birth);
        assert!(block.links().len() == self.link_count && block.links().iter().all(Option::is_none));
        assert!(block.bytes().len() == self.bytes_len && block.bytes().iter().all(|&byte| byte == self.birth as u8));
    }

    fn free(self, heap: &mut Heap) {
        self.check();
        // SAFETY: handed out once, and forgotten here.
        unsafe { heap.free(self.block) }
    }

    fn range(&self) -> (usize, usize) {
        let start = self.block.as_ptr().addr();
        (start, start + block_size(self.link_count, self.bytes_len))
    }

    /// What the heap accounts for the block.
    fn used_bytes(&self) -> usize {
        let size = block_size(self.link_count, self.bytes_len);
        if size > SMALL_MAX || cfg!(folio_block_per_page) { size + LARGE_HEAD } else { class_bytes(class_of(size)) }
    }
}

fn check_no_overlap(live: &[Live]) {
    let mut ranges: Vec<_> = live.iter().map(Live::range).collect();
    ranges.sort_unstable();
    assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    assert!(ranges.iter().all(|range| range.0 % 16 == 0));
}

fn check_accounts(heap: &Heap, live: &[Live]) {
    assert_eq!(heap.used_blocks(), live.len());
    assert_eq!(heap.used_bytes(), live.iter().map(Live::used_bytes).sum::<usize>());
    heap.chunks.check();
    let large = live.iter().filter(|live| live.used_bytes() > SMALL_MAX || cfg!(folio_block_per_page));
    assert_eq!(heap.large_bytes, large.map(Live::used_bytes).sum::<usize>());
}

/// The most that a heap without blocks keeps: the margin, less than one chunk beyond it, and an empty span of each
/// class with the chunk that this holds back.
const KEPT_BYTES_MAX: usize = MARGIN_BYTES + CHUNK_BYTES + CLASS_COUNT * SPAN_BYTES;

#[test]
fn blocks_are_apart_and_keep_their_content() {
    for seed in 0..4 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut heap = Heap::new();
        let mut live = Vec::new();
        for step in 0..60_000_u64 {
            // Grows and shrinks in turns, to nearly nothing at the end of each.
            let grow = if step / 10_000 % 2 == 0 { 70 } else { 25 };
            if live.is_empty() || random.chance(grow) {
                let bytes_len = match random.below(20) {
                    0 => random.below(40_000),
                    1..4 => random.below(4200),
                    _ => random.below(300),
                };
                let link_count = if random.chance(50) { 0 } else { random.below(33) };
                live.push(Live::new(&mut heap, step, link_count, bytes_len));
            } else {
                live.swap_remove(random.below(live.len())).free(&mut heap);
            }
            if step % 5000 == 0 {
                live.iter().for_each(Live::check);
                check_no_overlap(&live);
                check_accounts(&heap, &live);
            }
        }
        live.drain(..).for_each(|live| live.free(&mut heap));
        while heap.give_back(1) {}
        check_accounts(&heap, &live);
        assert_eq!((heap.used_blocks(), heap.used_bytes()), (0, 0));
        assert!(heap.reserved_bytes() <= KEPT_BYTES_MAX);
    }
}

#[test]
fn every_size_fits_its_class_and_wastes_little() {
    for size in size_of::<Header>()..=SMALL_MAX {
        let class = class_of(size);
        assert!(class < CLASS_COUNT && class_bytes(class) >= size && class_bytes(class).is_multiple_of(16));
        assert!(class_bytes(class - 1) < size, "the smallest class that fits");
        assert!(class_bytes(class) - size < 16.max(size / 16));
    }
}

#[test]
fn an_empty_span_serves_another_class() {
    let mut heap = Heap::new();
    let many: Vec<_> = (0..100_000).map(|birth| Live::new(&mut heap, birth, 0, 32)).collect();
    let peak = heap.reserved_bytes();
    many.into_iter().for_each(|live| live.free(&mut heap));
    let other: Vec<_> = (0..40_000).map(|birth| Live::new(&mut heap, birth, 0, 80)).collect();
    check_no_overlap(&other);
    check_accounts(&heap, &other);
    assert!(heap.reserved_bytes() <= peak);
}

#[test]
#[cfg_attr(folio_block_per_page, ignore = "each block is an allocation of its own there")]
fn a_heap_that_shrinks_gives_its_chunks_back() {
    let mut heap = Heap::new();
    // The margin of this heap, an eighth, is above that of a small one: chunks kept early must go later.
    let many: Vec<_> = (0..50_000).map(|birth| Live::new(&mut heap, birth, 0, 2000)).collect();
    assert!(heap.reserved_bytes() > 96 << 20);
    many.into_iter().for_each(|live| live.free(&mut heap));
    // In pieces.
    let reserved = heap.reserved_bytes();
    assert!(heap.give_back(3));
    assert!((1..=3 * CHUNK_BYTES).contains(&(reserved - heap.reserved_bytes())));
    while heap.give_back(1) {}
    check_accounts(&heap, &[]);
    assert!(heap.reserved_bytes() <= MARGIN_BYTES + 2 * CHUNK_BYTES, "{}", heap.reserved_bytes());
}

#[test]
#[cfg_attr(folio_block_per_page, ignore = "each block is an allocation of its own there")]
fn a_heap_of_which_little_is_left_gives_back_what_lies_between() {
    let mut heap = Heap::new();
    let mut many: Vec<_> = (0..60_000).map(|birth| Live::new(&mut heap, birth, 0, 2000)).collect();
    let mut left: Vec<_> = (0..many.len()).rev().step_by(100).map(|index| many.swap_remove(index)).collect();
    many.into_iter().for_each(|live| live.free(&mut heap));
    while heap.give_back(1) {}
    check_accounts(&heap, &left);
    left.iter().for_each(Live::check);
    if cfg!(target_os = "linux") {
        // Each of them holds its span.
        let (spans, reserved) = (left.len() * SPAN_BYTES, heap.reserved_bytes());
        assert!(reserved <= (spans + 2 * CHUNK_BYTES) / 7 * 8, "{reserved}");
    }
    // As rows change, their pages come to stand together.
    for round in 0..3 {
        for (index, live) in left.iter_mut().enumerate() {
            let new = Live::new(&mut heap, 1000 * round + index as u64, 0, 2000);
            std::mem::replace(live, new).free(&mut heap);
            heap.give_back(1);
        }
        check_accounts(&heap, &left);
        check_no_overlap(&left);
        left.iter().for_each(Live::check);
    }
    assert!(heap.reserved_bytes() <= SPARSE_BYTES_MIN + CHUNK_BYTES, "{}", heap.reserved_bytes());
    // What has no memory behind it is used again before there is more.
    let (vacant, all) = (heap.vacant_bytes(), heap.reserved_bytes() + heap.vacant_bytes());
    assert!(vacant > 64 * SPAN_BYTES || !cfg!(target_os = "linux"), "{vacant}");
    let again: Vec<_> = (0..12_000).map(|birth| Live::new(&mut heap, birth, 7, 1900)).collect();
    check_accounts(&heap, &again.iter().chain(&left).copied().collect::<Vec<_>>());
    check_no_overlap(&again);
    again.iter().chain(&left).for_each(Live::check);
    if cfg!(target_os = "linux") {
        assert!(heap.vacant_bytes() < vacant && heap.reserved_bytes() + heap.vacant_bytes() == all);
    }
}

#[test]
fn blocks_kept_for_their_classes_hold_back_no_heap_that_shrinks() {
    let mut heap = Heap::new();
    let mut random = Random::new(5);
    let sizes = [400, 800, 1200, 1600];
    let mut many: Vec<_> =
        (0..60_000).map(|birth| Live::new(&mut heap, birth, 0, sizes[random.below(sizes.len())])).collect();
    // In no order, so that each class's recent blocks are of as many spans as there are of them.
    while !many.is_empty() {
        many.swap_remove(random.below(many.len())).free(&mut heap);
    }
    while heap.give_back(1) {}
    check_accounts(&heap, &[]);
    assert!(heap.recent.iter().all(|recent| recent.first.is_null() && recent.count == 0));
    // Each class's last span stays, and its chunk with it.
    let kept_max = MARGIN_BYTES + (1 + sizes.len()) * CHUNK_BYTES;
    assert!(heap.reserved_bytes() <= kept_max, "{}", heap.reserved_bytes());
}

#[test]
#[cfg_attr(folio_block_per_page, ignore = "each block is an allocation of its own there")]
fn what_was_freed_last_is_handed_out_first() {
    let mut heap = Heap::new();
    let many: Vec<_> = (0..1000).map(|birth| Live::new(&mut heap, birth, 0, 400)).collect();
    let freed: Vec<_> = many.iter().step_by(100).map(|live| live.block).collect();
    for live in many.into_iter().step_by(100) {
        live.free(&mut heap);
    }
    let again: Vec<_> = (0..10).map(|birth| Live::new(&mut heap, birth, 0, 400).block).collect();
    assert!(again.iter().eq(freed.iter().rev()));
}

#[test]
fn a_block_that_comes_and_goes_takes_no_new_memory() {
    let mut heap = Heap::new();
    let first = Live::new(&mut heap, 0, 0, 100);
    let reserved = heap.reserved_bytes();
    for birth in 1..100_000 {
        Live::new(&mut heap, birth, 0, 1000).free(&mut heap);
    }
    assert!(heap.reserved_bytes() <= reserved);
    first.free(&mut heap);
}

#[test]
fn large_blocks_come_and_go_one_by_one() {
    let mut heap = Heap::new();
    let mut live: Vec<_> =
        (0..32).map(|birth| Live::new(&mut heap, birth, birth as usize, SMALL_MAX << (birth % 8))).collect();
    check_no_overlap(&live);
    check_accounts(&heap, &live);
    let mut random = Random::new(1);
    while !live.is_empty() {
        live.swap_remove(random.below(live.len())).free(&mut heap);
        live.iter().for_each(Live::check);
        check_accounts(&heap, &live);
    }
    assert_eq!(heap.reserved_bytes(), 0);
}

#[test]
fn a_block_above_the_limits_is_an_error() {
    let mut heap = Heap::new();
    assert!(heap.alloc(1, 0, BLOCK_BYTES_MAX + 1).is_err());
    assert!(heap.alloc(1, usize::from(u16::MAX) + 1, 0).is_err());
    assert!(heap.alloc(1, 0, usize::MAX).is_err());
    assert_eq!((heap.used_blocks(), heap.used_bytes(), heap.reserved_bytes()), (0, 0, 0));
    Live::new(&mut heap, 1, usize::from(u16::MAX), 5).free(&mut heap);
}

#[test]
fn dropping_the_heap_gives_back_what_is_live() {
    // What it would leave behind, the leak checks of AddressSanitizer and valgrind report (scripts/check-memory.sh).
    let mut heap = Heap::new();
    for birth in 0..3000 {
        Live::new(&mut heap, birth, 3, if birth % 100 == 0 { 10_000 } else { birth as usize % 2000 });
    }
    drop(heap);
}
