//! A window on a file: a part of it as memory, so that what is stored there is in the system's cache, and outlives the
//! process, without a call for each store.
//!
//! A store that cannot be carried out ends the process with SIGBUS, where a call would have answered an error. So:
//!
//! - W1: a window is on bytes that were written before, in a file system that overwrites bytes where they are and lets no
//!   two files share them: a store needs no room on the device. These are ext2 to ext4 and tmpfs; measured with ext4, a
//!   store goes through even when the device has failed and the file system refuses every write. In btrfs, or in XFS once
//!   a file was cloned, a store may need room that is not there.
//! - W2: all its pages were made writable, by a call that answers an error where one cannot be.
//! - W3: whoever has the window does not cut the file within it.
//!
//! What is left is a file that somebody else cuts, and a page that the device cannot read again. SQLite maps the index of
//! its write-ahead log under the same conditions (`unixShmMap` in os_unix.c, which writes a byte to each page first).

use std::fs::File;
use std::mem::MaybeUninit;
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// See the module.
#[derive(Debug)]
pub(crate) struct FileWindow {
    /// What is mapped: whole pages.
    memory: NonNull<u8>,
    mapped: usize,
    /// Where the window begins in it, and in the file.
    lead: usize,
    offset: u64,
    bytes: usize,
}

// SAFETY: the memory belongs to the window alone, and is only written, by who has it exclusively.
unsafe impl Send for FileWindow {}

impl FileWindow {
    /// A window on `length` bytes of `file` from `offset`, which were written before (W1). None where the system, the
    /// file's system or the file does not allow it. Cost: O(pages), and three calls.
    pub(crate) fn open(file: &File, offset: u64, length: u64) -> Option<Self> {
        if !overwrites_in_place(file) {
            return None;
        }
        let end = offset.checked_add(length)?;
        if length == 0 || file.metadata().ok()?.len() < end {
            return None;
        }
        let lead = offset % page_bytes()?;
        let mapped = usize::try_from(lead.checked_add(length)?).ok()?;
        let start = libc::off_t::try_from(offset - lead).ok()?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: memory that the system chooses, which nothing else lies in.
        let memory =
            unsafe { libc::mmap(std::ptr::null_mut(), mapped, access, libc::MAP_SHARED, file.as_raw_fd(), start) };
        if memory == libc::MAP_FAILED {
            return None;
        }
        let lead = lead as usize;
        let window = Self { memory: NonNull::new(memory.cast())?, mapped, lead, offset, bytes: mapped - lead };
        // SAFETY: the mapping that was just made, whose bytes this leaves as they are.
        let populated = unsafe { libc::madvise(memory, mapped, libc::MADV_POPULATE_WRITE) };
        (populated == 0).then_some(window)
    }

    /// Stores `bytes` at `offset` of the file. Answers no, and stores nothing, if they do not lie in the window as a whole.
    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) -> bool {
        let Some(at) = offset.checked_sub(self.offset).and_then(|at| usize::try_from(at).ok()) else { return false };
        if at > self.bytes || bytes.len() > self.bytes - at {
            return false;
        }
        // SAFETY: within the window, and so within the mapping, of which nothing is ever lent: there is no reference to it,
        // and the bytes to copy are elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.memory.as_ptr().add(self.lead + at), bytes.len()) };
        true
    }
}

impl Drop for FileWindow {
    fn drop(&mut self) {
        // SAFETY: the mapping is this window's, and nobody has a pointer into it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.mapped) };
    }
}

/// Asks the system to begin writing these bytes of a file to its device, for a sync to come to have less to wait for. Waits
/// for nothing, promises nothing, and leaves a failure for the sync to tell.
pub(crate) fn begin_write_back(file: &File, offset: u64, length: u64) {
    if let (Ok(offset), Ok(length)) = (libc::off64_t::try_from(offset), libc::off64_t::try_from(length)) {
        // SAFETY: a call that takes three numbers, and a descriptor that is open.
        unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
    }
}

fn page_bytes() -> Option<NonZeroU64> {
    // SAFETY: a call that reads a number of the system's.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).ok().and_then(NonZeroU64::new)
}

/// Whether the file is in a file system of W1.
fn overwrites_in_place(file: &File) -> bool {
    let mut found = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: writes into the place that it is given, all of it where it answers 0.
    let kind = unsafe {
        if libc::fstatfs(file.as_raw_fd(), found.as_mut_ptr()) != 0 {
            return false;
        }
        found.assume_init().f_type
    };
    // The constants are of another type than the field on some systems.
    [libc::EXT4_SUPER_MAGIC as i128, libc::TMPFS_MAGIC as i128].contains(&(kind as i128))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    const BYTES: u64 = 5 * 4096 + 100;

    /// A file of so many bytes `b'.'`, and a name that is gone already.
    fn file_in(folder: std::path::PathBuf, name: &str) -> File {
        let path = folder.join(format!("folio-window-{name}-{}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.write_all_at(&vec![b'.'; BYTES as usize], 0).unwrap();
        file
    }

    fn content(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// Wherever it may be had: the memory of the machine, and the usual place.
    fn files(name: &str) -> Vec<File> {
        let folders = ["/dev/shm".into(), std::env::temp_dir()];
        folders.into_iter().filter(|folder| folder.is_dir()).map(|folder| file_in(folder, name)).collect()
    }

    #[test]
    fn what_is_stored_is_in_the_file_and_nothing_beside() {
        let mut opened = 0;
        for file in files("stored") {
            let Some(mut window) = FileWindow::open(&file, 4096 + 10, 2 * 4096) else { continue };
            opened += 1;
            let mut expected = content(&file);
            for (offset, length) in [(4096 + 10, 1), (4096 + 11, 4096), (3 * 4096 + 4, 6), (3 * 4096 + 10, 0)] {
                let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
                assert!(window.write(&bytes, offset as u64));
                expected[offset..offset + length].copy_from_slice(&bytes);
                assert!(content(&file) == expected);
            }
            // A byte too far, one too early, and numbers that would wrap.
            for (length, offset) in
                [(7, 3 * 4096 + 4), (1, 3 * 4096 + 10), (1, 4096 + 9), (1, u64::MAX), (9, u64::MAX - 4)]
            {
                assert!(!window.write(&vec![b'x'; length], offset), "{length} bytes at {offset}");
            }
            drop(window);
            assert!(content(&file) == expected);
        }
        println!("windows: {opened}");
    }

    #[test]
    fn bytes_that_the_file_does_not_have_get_no_window() {
        for file in files("short") {
            for (offset, length) in
                [(0, BYTES + 1), (BYTES, 1), (0, 0), (u64::MAX, 1), (1, u64::MAX), (u64::MAX - 1, u64::MAX)]
            {
                assert!(FileWindow::open(&file, offset, length).is_none(), "{length} bytes at {offset}");
            }
        }
        let unreadable = File::open("/proc/self/stat").unwrap();
        assert!(FileWindow::open(&unreadable, 0, 1).is_none());
    }

    /// What is not open for writing has no window, and answers so.
    #[test]
    fn what_may_not_be_written_gets_no_window() {
        let path = std::env::temp_dir().join(format!("folio-window-read-{}", std::process::id()));
        std::fs::write(&path, b"some bytes").unwrap();
        assert!(FileWindow::open(&File::open(&path).unwrap(), 0, 10).is_none());
        std::fs::remove_file(path).unwrap();
    }
}
