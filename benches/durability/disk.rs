//! What the disk can do: the floor under everything else.

use crate::Outcome;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

const BLOCK: [u8; 4096] = [1; 4096];

/// The file system at `path` with its kind, as far as the system tells.
pub(crate) fn file_system(path: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let holding = fields.filter(|fields| fields.len() > 2 && path.starts_with(fields[1]));
    let longest = holding.max_by_key(|fields| fields[1].len());
    longest.map_or_else(|| "file system unknown".into(), |fields| format!("{} on {}", fields[2], fields[0]))
}

/// Seconds for one `fdatasync` after 4 KiB written at the end of a file, which then also has its length to sync.
pub(crate) fn appended(directory: &Path, count: usize) -> Outcome<f64> {
    let path = directory.join("appended");
    let took = write_synced(&mut File::create(&path)?, count)?;
    std::fs::remove_file(path)?;
    Ok(took)
}

/// The same into space that has been written before: only data to sync.
pub(crate) fn preallocated(directory: &Path, count: usize) -> Outcome<f64> {
    let path = directory.join("preallocated");
    let mut file = File::create(&path)?;
    (0..count).try_for_each(|_| file.write_all(&[0; 4096]))?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let took = write_synced(&mut file, count)?;
    std::fs::remove_file(path)?;
    Ok(took)
}

fn write_synced(file: &mut File, count: usize) -> Outcome<f64> {
    let start = Instant::now();
    for _ in 0..count {
        file.write_all(&BLOCK)?;
        file.sync_data()?;
    }
    Ok(start.elapsed().as_secs_f64() / count as f64)
}

/// Seconds for one turn of `before` and a `write` of `bytes` that nobody syncs.
pub(crate) fn written(
    directory: &Path,
    bytes: usize,
    count: usize,
    mut before: impl FnMut(usize) -> Outcome,
) -> Outcome<f64> {
    let path = directory.join("written");
    let (mut file, block) = (File::create(&path)?, vec![1; bytes]);
    let start = Instant::now();
    for turn in 0..count {
        before(turn)?;
        file.write_all(&block)?;
    }
    let took = start.elapsed().as_secs_f64() / count as f64;
    std::fs::remove_file(path)?;
    Ok(took)
}

/// Reads all files below `directory` from beginning to end: their bytes, and the seconds that it took.
pub(crate) fn read_all(directory: &Path) -> Outcome<(u64, f64)> {
    let start = Instant::now();
    let mut buffer = vec![0; 1 << 20];
    let bytes = read_folder(directory, &mut buffer)?;
    Ok((bytes, start.elapsed().as_secs_f64()))
}

fn read_folder(directory: &Path, buffer: &mut [u8]) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            bytes += read_folder(&entry.path(), buffer)?;
            continue;
        }
        let mut file = File::open(entry.path())?;
        loop {
            match file.read(buffer)? {
                0 => break,
                read => bytes += read as u64,
            }
        }
    }
    Ok(bytes)
}
