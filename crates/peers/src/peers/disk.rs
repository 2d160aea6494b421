//! The disk itself: plain writes, and `fdatasync` of 4 KiB, where stores commit.

use super::codec;
use crate::peer::{Answer, Durability, Kind, Peer, Refusal, Store};
use crate::workload::{Row, Shape};
use parking_lot::Mutex;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

const BLOCK: [u8; 4096] = [1; 4096];
/// Of the file that is there before, which is written from its beginning again when it is full.
const BLOCKS: u64 = 16_384;

/// See the module.
pub(super) struct DiskPeer {
    name: &'static str,
    setup: &'static str,
    is_preallocated: bool,
}

impl DiskPeer {
    pub(super) const PREALLOCATED: DiskPeer = DiskPeer {
        name: "disk",
        setup: "no store: 4 KiB and `fdatasync` into space that has been written before; unsynced, a `write` of the row's \
                bytes",
        is_preallocated: true,
    };

    pub(super) const APPENDED: DiskPeer =
        DiskPeer { name: "disk, growing", setup: "the same at the end of a file that grows", is_preallocated: false };
}

impl Peer for DiskPeer {
    fn name(&self) -> &'static str {
        self.name
    }

    fn setup(&self) -> &'static str {
        self.setup
    }

    fn setup_on_disk(&self) -> &'static str {
        self.setup
    }

    fn kind(&self) -> Kind {
        Kind::Disk
    }

    fn create(&self, _shape: Shape, _rows_max: usize) -> Answer<Box<dyn Store>> {
        Err(Refusal::Unsupported)
    }

    fn open(&self, _shape: Shape, directory: &Path, durability: Durability) -> Answer<Box<dyn Store>> {
        let mut file = File::create(directory.join("plain"))?;
        if self.is_preallocated && durability == Durability::Synced {
            (0..BLOCKS).try_for_each(|_| file.write_all(&BLOCK))?;
            file.sync_all()?;
            file.seek(SeekFrom::Start(0))?;
        }
        Ok(Box::new(Disk { durability, is_preallocated: self.is_preallocated, file: Mutex::new((file, 0)) }))
    }
}

struct Disk {
    durability: Durability,
    is_preallocated: bool,
    /// With the number of blocks written.
    file: Mutex<(File, u64)>,
}

impl Store for Disk {
    fn insert_each(&self, rows: &[Row]) -> Answer<()> {
        let mut buffer = Vec::new();
        for row in rows {
            let (file, blocks) = &mut *self.file.lock();
            if self.durability == Durability::Unsynced {
                codec::encode(row, &mut buffer);
                file.write_all(&buffer)?;
                continue;
            }
            if self.is_preallocated && *blocks % BLOCKS == 0 {
                file.seek(SeekFrom::Start(0))?;
            }
            *blocks += 1;
            file.write_all(&BLOCK)?;
            file.sync_data()?;
        }
        Ok(())
    }

    fn insert_bulk(&self, rows: &[Row]) -> Answer<()> {
        let (mut buffer, mut all) = (Vec::new(), Vec::new());
        for row in rows {
            codec::encode(row, &mut buffer);
            all.extend_from_slice(&buffer);
        }
        Ok(self.file.lock().0.write_all(&all)?)
    }
}
