//! A global allocator that can count live bytes.
//!
//! Counting is off while time is measured, so that no workload pays for it; only differences between two readings in
//! one counting period mean anything.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

static COUNTING: AtomicBool = AtomicBool::new(false);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

/// The system's allocator with a counter in front.
pub(crate) struct Counting;

impl Counting {
    #[inline]
    fn count(bytes: i64) {
        if COUNTING.load(Ordering::Relaxed) {
            LIVE_BYTES.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

// SAFETY: Every method hands its arguments to `System` unchanged and returns what it returns.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as i64);
        // SAFETY: The caller's promises are those of `System::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as i64);
        // SAFETY: The caller's promises are those of `System::alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::count(-(layout.size() as i64));
        // SAFETY: The caller's promises are those of `System::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size as i64 - layout.size() as i64);
        // SAFETY: The caller's promises are those of `System::realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// A period in which live bytes are counted; it ends when this is dropped.
pub(crate) struct CountingPeriod {
    bytes_at_start: i64,
}

impl CountingPeriod {
    pub(crate) fn start() -> Self {
        COUNTING.store(true, Ordering::SeqCst);
        CountingPeriod { bytes_at_start: LIVE_BYTES.load(Ordering::SeqCst) }
    }

    /// Bytes allocated and not freed since the start.
    pub(crate) fn live_bytes(&self) -> i64 {
        LIVE_BYTES.load(Ordering::SeqCst) - self.bytes_at_start
    }
}

impl Drop for CountingPeriod {
    fn drop(&mut self) {
        COUNTING.store(false, Ordering::SeqCst);
    }
}

/// Memory that the process has resident, if the system tells.
pub(crate) fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = status.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * page_bytes())
}

#[cfg(unix)]
fn page_bytes() -> i64 {
    // SAFETY: `sysconf` takes a number and touches no memory of ours.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }
}

#[cfg(not(unix))]
fn page_bytes() -> i64 {
    4096
}

/// Gives free memory back to the system, so that resident memory before and after can be compared.
pub(crate) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` may be called at any time and frees only what nobody holds.
    unsafe {
        libc::malloc_trim(0);
    }
}
