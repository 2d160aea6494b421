//! A process whose allocator fails loses nothing that it had acknowledged, whether it goes on or is aborted.
//!
//! The victim is this program again: it opens a directory, commits twenty times with checkpoints between, and closes, while
//! one allocation fails, or all from one on. Pages that cannot be had are an error, and the victim goes on; where a `Vec`
//! or a `Box` cannot, Rust aborts, which is a crash of the process. The parent then opens what is left, and compares it
//! with a model at the version found.
//!
//! A program of its own (`harness = false`), since it starts itself.

#[path = "common/directory.rs"]
mod directory;
#[path = "kill/model.rs"]
mod model;
#[path = "common/random.rs"]
mod random;

use directory::Directory;
use folio::storage::Format;
use folio::{Database, Error, Result};
use model::State;
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Set for the victim: format, the first allocation that fails, how many do, then the directory.
const VICTIM: &str = "FOLIO_ALLOCATIONS_VICTIM";
const COMMITS: u64 = 20;
const SEED: u64 = 3;
/// Of each format at most. If there come to be more, evenly spread ones are tried.
const POINTS_MAX: u64 = 4_000;

/// The system's allocator, whose allocations in a range fail.
struct Failing {
    count: AtomicU64,
    first: AtomicU64,
    end: AtomicU64,
}

#[global_allocator]
static ALLOCATOR: Failing =
    Failing { count: AtomicU64::new(0), first: AtomicU64::new(u64::MAX), end: AtomicU64::new(u64::MAX) };

impl Failing {
    fn fails(&self) -> bool {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        (self.first.load(Ordering::Relaxed)..self.end.load(Ordering::Relaxed)).contains(&number)
    }

    /// Counts from here on, and fails so many allocations from the `first` on.
    fn arm(&self, first: u64, count: u64) {
        self.end.store(first.saturating_add(count), Ordering::Relaxed);
        self.count.store(0, Ordering::Relaxed);
        self.first.store(first, Ordering::Relaxed);
    }
}

// SAFETY: what is answered is the system allocator's answer or null, which the trait allows; it keeps the rest of the
// contract, with the arguments that it was given.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the system allocator's.
        if self.fails() { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: every block came from the system allocator.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the system allocator's.
        if self.fails() { std::ptr::null_mut() } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: every block came from the system allocator.
        if self.fails() { std::ptr::null_mut() } else { unsafe { System.realloc(block, layout, size) } }
    }
}

/// Where the victim of `path` tells of what has returned.
fn told(path: &Path) -> PathBuf {
    path.with_extension("told")
}

/// Does not return.
fn victim(path: &Path, format: Format, first: u64, count: u64) -> ! {
    let mut acknowledged = File::create(told(path)).unwrap();
    ALLOCATOR.arm(first, count);
    let worked = work(path, format, &mut acknowledged);
    let allocations = ALLOCATOR.count.load(Ordering::Relaxed);
    ALLOCATOR.arm(u64::MAX, 0);
    if let Err(error) = worked {
        eprintln!("the victim failed: {error}");
        std::process::exit(3);
    }
    acknowledged.write_all(&allocations.to_le_bytes()).unwrap();
    std::process::exit(0);
}

/// Goes on after each failure of memory, and ends at any other.
fn work(path: &Path, format: Format, acknowledged: &mut File) -> Result<()> {
    let builder = || Database::builder().format(format).checkpoint_bytes(None).segment_bytes(4_000);
    let (mut db, mut version) = (None, 0);
    for number in 0..COMMITS {
        let worked = (|| {
            let db = match &mut db {
                Some(db) => db,
                none => none.insert(builder().open(path)?),
            };
            version = db.transaction(|tx| model::step(tx, SEED))?;
            // Straight to the file, which allocates nothing.
            acknowledged.write_all(&version.to_le_bytes()).unwrap();
            if number % 7 == 6 { db.checkpoint().map(drop) } else { Ok(()) }
        })();
        match worked {
            Ok(()) => {}
            Err(Error::OutOfMemory { .. }) => {
                // It did not happen, reads go on, and so does the handle. But a row id that was taken is not given again,
                // which the model does not know: the next opening gives it.
                if let Some(db) = db.take() {
                    assert_eq!(db.snapshot().version(), version);
                    unless_memory(db.transaction(|tx| tx.base_version().map(drop)))?;
                    unless_memory(db.close())?;
                }
            }
            Err(error) => return Err(error),
        }
    }
    db.map_or(Ok(()), |db| unless_memory(db.close()))
}

fn unless_memory(answer: Result<()>) -> Result<()> {
    match answer {
        Err(Error::OutOfMemory { .. }) => Ok(()),
        answer => answer,
    }
}

/// What a victim came to.
struct End {
    is_aborted: bool,
    acknowledged: u64,
    /// Of one that reached its end.
    allocations: u64,
}

fn run(path: &Path, format: Format, first: u64, count: u64) -> End {
    let words = format!("{} {first} {count} {}", format.name(), path.display());
    let me = std::env::current_exe().unwrap();
    let mut victim = Command::new(me);
    victim.env(VICTIM, words).env_remove("RUST_BACKTRACE").stdin(Stdio::null()).stdout(Stdio::null());
    let output = victim.stderr(Stdio::piped()).output().unwrap();
    let is_aborted = output.status.code().filter(|_| cfg!(unix)).is_none();
    let message = String::from_utf8_lossy(&output.stderr);
    let is_expected = output.status.success() || is_aborted && message.contains("memory allocation of");
    assert!(is_expected, "allocation {first}, {count} of them, {format:?}: {}: {message}", output.status);
    let told = std::fs::read(told(path)).unwrap_or_default();
    let mut numbers: Vec<u64> = told.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    let allocations = if is_aborted { 0 } else { numbers.pop().unwrap() };
    End { is_aborted, acknowledged: numbers.last().copied().unwrap_or(0), allocations }
}

/// Opens what is left, and compares.
fn judge(path: &Path, end: &End, place: &str) {
    let db = Database::builder().checkpoint_bytes(None).open(path).unwrap_or_else(|error| panic!("{place}: {error}"));
    let version = db.snapshot().version();
    // The commit that it was aborted in may be there, and one that returned an error is not.
    let most = end.acknowledged + u64::from(end.is_aborted);
    assert!((end.acknowledged..=most).contains(&version), "{place}: {version} after {}", end.acknowledged);
    let mut state = State::default();
    state.go_to(version, SEED);
    state.compare(&db.snapshot(), place);
    assert_eq!(db.verify().unwrap(), [], "{place}");
    let next = db.transaction(|tx| model::step(tx, SEED)).unwrap();
    assert_eq!(next, version + 1, "{place}");
}

fn directory(name: &str) -> Directory {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    Directory(base.join(format!("folio-allocations-{}-{name}", std::process::id())))
}

fn every_allocation(format: Format) {
    let (start, place) = (Instant::now(), directory(format.name()));
    std::fs::create_dir_all(&place.0).unwrap();
    let points = run(&place.0.join("dry"), format, u64::MAX, 0).allocations;
    let stride = points.div_ceil(POINTS_MAX);
    let (mut tried, mut aborted, mut went_on) = (0_u64, 0_u64, 0_u64);
    for first in (0..points).step_by(stride as usize) {
        let (path, count) = (place.0.join("victim"), [1, u64::MAX][tried as usize % 2]);
        let end = run(&path, format, first, count);
        judge(&path, &end, &format!("allocation {first}, {count} of them, {format:?}"));
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::remove_file(told(&path)).unwrap();
        tried += 1;
        aborted += u64::from(end.is_aborted);
        went_on += u64::from(!end.is_aborted);
    }
    let elapsed = start.elapsed();
    println!(
        "failed allocations, {format:?}: {tried} of {points} points; {aborted} aborts, {went_on} went on; {elapsed:?}"
    );
    assert!(stride == 1, "not every point: raise the bound, or make the life shorter");
    assert!(tried >= 1_000 && aborted > 0 && went_on > 0);
}

fn main() {
    if let Ok(words) = std::env::var(VICTIM) {
        let mut words = words.splitn(4, ' ');
        let mut next = || words.next().unwrap_or_default();
        let (format, first, count) = (next().parse().unwrap(), next().parse().unwrap(), next().parse().unwrap());
        victim(Path::new(next()), format, first, count);
    }
    std::thread::scope(|scope| {
        for format in [Format::Binary, Format::JsonLines] {
            scope.spawn(move || every_allocation(format));
        }
    });
}
