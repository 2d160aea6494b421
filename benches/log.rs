//! The log against the disk it is on, in one run: `cargo bench --bench log [directory]`.

use folio::storage::{Batch, FileEngine, FileOptions, StorageEngine};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const SYNCS: u32 = 2_000;
const APPENDS: u32 = 1_000_000;
const THREADS: u32 = 8;

fn each(took: Duration, count: u32) -> String {
    format!("{:9.2} us", took.as_secs_f64() * 1e6 / f64::from(count))
}

/// `fdatasync` after each 4 KiB written into space that is there already, and syncs only data.
fn disk(directory: &Path, bytes: usize) -> Duration {
    let path = directory.join("plain");
    let mut file = File::create(&path).unwrap();
    file.write_all(&vec![0; bytes * SYNCS as usize]).unwrap();
    file.sync_all().unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let block = vec![1; bytes];
    let start = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
    }
    let took = start.elapsed();
    std::fs::remove_file(path).unwrap();
    took
}

fn engine(directory: &Path, name: &str) -> FileEngine {
    let engine = FileEngine::open(directory.join(name), FileOptions::default()).unwrap();
    engine.claim().unwrap();
    engine
}

fn append(engine: &FileEngine) -> u64 {
    let first = engine.appended() + 1;
    let appended = engine.append(Batch { first, count: 1, payload: &[7; 100] });
    assert!(appended.is_ok());
    first
}

fn main() {
    let base = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let base = base.map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = base.join(format!("folio-bench-log-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();

    println!("disk, write and fdatasync of 152 bytes, preallocated {}", each(disk(&directory, 152), SYNCS));
    let one = engine(&directory, "one");
    let start = Instant::now();
    for _ in 0..SYNCS {
        one.sync(append(&one)).unwrap();
    }
    println!("append and sync of 100 bytes, one thread             {}", each(start.elapsed(), SYNCS));
    println!("disk again                                           {}", each(disk(&directory, 152), SYNCS));

    let many = engine(&directory, "many");
    let writer = Mutex::new(());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..SYNCS {
                    let version = {
                        let _writer = writer.lock().unwrap();
                        append(&many)
                    };
                    many.sync(version).unwrap();
                }
            });
        }
    });
    let (took, stats) = (start.elapsed(), many.stats());
    println!("the same, {THREADS} threads, per commit                       {}", each(took, SYNCS * THREADS));
    println!("commits per sync {:.1}", stats.synced_versions as f64 / stats.syncs as f64);

    let mut file = File::create(directory.join("plain")).unwrap();
    let start = Instant::now();
    for _ in 0..APPENDS {
        file.write_all(&[7; 152]).unwrap();
    }
    println!("a plain write of 152 bytes                           {}", each(start.elapsed(), APPENDS));
    let buffered = engine(&directory, "buffered");
    let start = Instant::now();
    for _ in 0..APPENDS {
        append(&buffered);
    }
    println!("append of 100 bytes, not synced                      {}", each(start.elapsed(), APPENDS));
    drop((one, many, buffered));
    std::fs::remove_dir_all(directory).unwrap();
}
