//! Appends while a segment is being sealed: what the end of the process, and a crash, leave of them.

use super::crash::crash_everywhere;
use super::workload::{Journal, Named, Written, options, payload};
use folio::storage::{
    Appended, Batch, DirEntry, FileEngine, FileLock, FileOptions, Files, Format, RandomAccessFile, StorageEngine,
};
use folio::testing::SimFiles;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// A device on which others append whenever names are made durable, or the new segment gets its own.
struct Beside {
    files: SimFiles,
    options: FileOptions,
    engine: OnceLock<Weak<FileEngine>>,
    journal: Mutex<Journal>,
    is_sealing: AtomicBool,
    /// Appends to a segment that has not got its name.
    unnamed: AtomicU64,
}

impl Beside {
    /// Appends, and looks what the next process would find.
    fn append(&self) {
        let Some(engine) = self.engine.get().and_then(Weak::upgrade) else { return };
        let journal = &mut *self.journal.lock().unwrap();
        journal.attempts += 1;
        let payload = payload(self.options.format, journal.attempts, 40);
        let (first, began) = (journal.last() + 1, self.files.operations());
        assert_eq!(engine.append(Batch { first, count: 1, payload: &payload }).unwrap(), Appended::At(first));
        journal.batches.push(Written { first, count: 1, payload, began });
        journal.durable.push((self.files.operations(), engine.durable()));
        let image = self.files.image();
        self.unnamed.fetch_add(u64::from(image.get("wal/transaction.log").is_none()), Ordering::Relaxed);
        journal.check(&SimFiles::mount(&image), self.options, journal.all(), true).unwrap();
    }

    fn while_sealing(&self) {
        if self.is_sealing.load(Ordering::Relaxed) {
            self.append();
        }
    }
}

impl Files for Beside {
    fn describe(&self) -> String {
        self.files.describe()
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        self.files.create_folder(path)
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        self.files.remove_folder(path)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<DirEntry>> {
        self.files.list(folder)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn RandomAccessFile>> {
        self.files.open(path)
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn RandomAccessFile>> {
        self.files.create(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if from == "wal/transaction.next.log" {
            self.while_sealing();
        }
        self.files.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.files.remove(path)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.while_sealing();
        self.files.sync_folder(folder)?;
        self.while_sealing();
        Ok(())
    }

    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn FileLock>>> {
        self.files.lock(path)
    }
}

#[test]
fn appends_go_on_while_a_segment_is_sealed() {
    for format in [Format::Binary, Format::JsonLines] {
        let mut journal = Journal::default();
        journal.checkpoints.push(Named { version: 0, objects: Vec::new(), began: 0, acknowledged: None });
        let device = Arc::new(Beside {
            files: SimFiles::new(),
            options: options(format),
            engine: OnceLock::new(),
            journal: Mutex::new(journal),
            is_sealing: AtomicBool::new(false),
            unnamed: AtomicU64::new(0),
        });
        let engine = Arc::new(FileEngine::open_on(Arc::clone(&device) as Arc<dyn Files>, options(format)).unwrap());
        engine.claim().unwrap();
        device.journal.lock().unwrap().checkpoints[0].acknowledged = Some(device.files.operations());
        device.engine.set(Arc::downgrade(&engine)).unwrap();
        for _ in 0..3 {
            device.append();
            device.is_sealing.store(true, Ordering::Relaxed);
            engine.seal().unwrap();
            device.is_sealing.store(false, Ordering::Relaxed);
            let mut journal = device.journal.lock().unwrap();
            journal.durable.push((device.files.operations(), engine.durable()));
        }
        assert!(device.unnamed.load(Ordering::Relaxed) >= 9, "nothing was appended to a segment without its name");
        let journal = device.journal.lock().unwrap();
        let tried = crash_everywhere(&device.files, &journal, format, 0, 100, 1);
        assert_eq!(tried.wrong, None, "format {format:?}");
        println!("appends beside sealing, {format:?}: {} images, {} in recovery", tried.images, tried.second_images);
        assert!(tried.images >= 10_000);
    }
}
