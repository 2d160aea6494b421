//! Appends while a segment is being sealed: what the end of the process, and a crash, leave of them.

use super::crash::crash_everywhere;
use super::device::{Call, Device};
use super::workload::{Journal, Named, Written, open, options, payload};
use folio::Error;
use folio::storage::{
    Appended, Batch, Checkpoint, FileEngine, FileOptions, Format, ObjectKind, Placement, StorageEngine,
};
use folio::testing::{Plant, SimFiles, plant};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

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

    fn step(&self, call: Call, path: &str) -> io::Result<()> {
        let is_named = matches!(
            (call, path),
            (Call::Rename, "wal/transaction.next.log") | (Call::SyncFolder, _) | (Call::SyncedFolder, _)
        );
        if is_named && self.is_sealing.load(Ordering::Relaxed) {
            self.append();
        }
        Ok(())
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
        let hooked = Device::watched(&device.files, {
            let device = Arc::clone(&device);
            move |call, path| device.step(call, path)
        });
        let engine = Arc::new(FileEngine::open_on(hooked, options(format)).unwrap());
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

/// What a segment holds that has not got its name yet may be lost with it, and so is not durable, whoever waits for it.
pub(crate) fn nothing_is_durable_before_its_segment_has_a_name(bug: Option<Plant>) -> Result<(), String> {
    plant(bug);
    let found = [Format::Binary, Format::JsonLines].into_iter().try_for_each(|format| {
        let engine: Arc<OnceLock<Weak<FileEngine>>> = Arc::default();
        let (waiting, too_early) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
        let hooked = Device::watched(&SimFiles::new(), {
            let (engine, waiting, too_early) = (Arc::clone(&engine), Arc::clone(&waiting), Arc::clone(&too_early));
            move |call, path| {
                let Some(engine) = engine.get().and_then(Weak::upgrade) else { return Ok(()) };
                // What is done here comes back with other calls.
                if !matches!(call, Call::Rename | Call::SyncFolder) {
                    return Ok(());
                }
                let waiting = &mut *waiting.lock().unwrap();
                match (call, path, &waiting) {
                    // The first sync of the folder behind the change of the archive's name.
                    (Call::Rename, "wal/transaction.next.log", None) => {
                        let payload = payload(format, 2, 40);
                        let batch = Batch { first: 2, count: 1, payload: &payload };
                        assert_eq!(engine.append(batch).unwrap(), Appended::At(2));
                        let waiter = std::thread::spawn({
                            let engine = Arc::clone(&engine);
                            move || engine.sync(2).unwrap()
                        });
                        // As long as it takes it where nobody keeps it from it.
                        let end = Instant::now() + Duration::from_millis(if bug.is_some() { 10_000 } else { 20 });
                        while !waiter.is_finished() && Instant::now() < end {
                            std::thread::yield_now();
                        }
                        *waiting = Some(waiter);
                    }
                    (Call::SyncFolder, "wal", Some(_)) => {
                        too_early.fetch_or(engine.durable() >= 2, Ordering::Relaxed);
                    }
                    _ => {}
                }
                Ok(())
            }
        });
        let opened = Arc::new(FileEngine::open_on(hooked, options(format)).unwrap());
        opened.claim().unwrap();
        let payload = payload(format, 1, 40);
        assert_eq!(opened.append(Batch { first: 1, count: 1, payload: &payload }).unwrap(), Appended::At(1));
        engine.set(Arc::downgrade(&opened)).unwrap();
        opened.seal().unwrap();
        waiting.lock().unwrap().take().expect("the new segment got its name").join().unwrap();
        assert_eq!(opened.durable(), 2);
        match too_early.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(format!("{format:?}: durable before the segment's name is")),
        }
    });
    plant(None);
    found
}

#[test]
fn who_waits_for_a_sync_waits_for_the_new_segments_name() {
    nothing_is_durable_before_its_segment_has_a_name(None).unwrap();
}

/// A device on which a checkpoint waits, its objects not durable yet, until the log's folder could not be synced once more.
struct Failing {
    files: SimFiles,
    /// Passed by the checkpoint when it waits, and again when it goes on.
    gate: Barrier,
    is_armed: AtomicBool,
    /// The syncs of the log's folder that succeed before one fails.
    syncs_left: AtomicU64,
}

impl Failing {
    fn step(&self, call: Call, path: &str) -> io::Result<()> {
        match (call, path) {
            _ if !self.is_armed.load(Ordering::Relaxed) => {}
            (Call::SyncFolder, "data") => {
                self.gate.wait();
                self.gate.wait();
            }
            (Call::SyncFolder, "wal") if self.syncs_left.fetch_sub(1, Ordering::Relaxed) == 0 => {
                return Err(io::Error::other("a bad block"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// A manifest that names the new segment as the one in which the log ends would keep the next opening from making its name
/// durable.
#[test]
fn a_manifest_does_not_vouch_for_a_segment_whose_name_may_be_lost() {
    for format in [Format::Binary, Format::JsonLines] {
        let device = Arc::new(Failing {
            files: SimFiles::new(),
            gate: Barrier::new(2),
            is_armed: AtomicBool::new(false),
            // The new segment's first name, and the old one's archive name; then the new one's second name.
            syncs_left: AtomicU64::new(2),
        });
        let hooked = Device::watched(&device.files, {
            let device = Arc::clone(&device);
            move |call, path| device.step(call, path)
        });
        let engine = FileEngine::open_on(hooked, options(format)).unwrap();
        engine.claim().unwrap();
        let segments = || engine.stats().log_segments;
        let append =
            |version: u64| engine.append(Batch { first: version, count: 1, payload: &payload(format, version, 60) });
        // How many fit is learnt from the first segment.
        let full = (1..).find(|version| append(*version).is_ok() && segments() == 2).unwrap() - 1;
        (full + 2..=2 * full).for_each(|version| assert_eq!(append(version).unwrap(), Appended::At(version)));
        assert_eq!(segments(), 2);
        engine.sync(2 * full).unwrap();
        let mut writer = engine.create_object(ObjectKind::Records, "a", Placement::Append).unwrap();
        writer.write(b"rows").unwrap();
        let checkpoint =
            Checkpoint { version: full, objects: vec![writer.finish().unwrap()], content: serde_json::Value::Null };
        let generation = engine.manifest().unwrap().generation;
        device.is_armed.store(true, Ordering::Relaxed);
        std::thread::scope(|scope| {
            let checkpointing = scope.spawn(|| engine.replace_manifest(generation, checkpoint));
            device.gate.wait();
            assert!(matches!(append(2 * full + 1), Err(Error::SyncFailed { .. })));
            device.gate.wait();
            assert!(matches!(checkpointing.join().unwrap(), Err(Error::Poisoned { .. })));
        });
        device.is_armed.store(false, Ordering::Relaxed);
        drop(engine);
        // The next process makes the name anew.
        let files = SimFiles::mount(&device.files.image());
        let engine = open(&files, options(format)).unwrap();
        assert_eq!(engine.appended(), 2 * full);
        let before = files.image().get("wal/transaction.log").unwrap().to_vec();
        engine.claim().unwrap();
        assert_ne!(files.image().get("wal/transaction.log").unwrap(), before);
    }
}

/// What a crash leaves if the old segment's change of names was lost, and the next process, which had seen it, made the
/// archived segment anew.
#[test]
fn a_segment_beside_its_archived_copy_opens() {
    for format in [Format::Binary, Format::JsonLines] {
        let files = SimFiles::new();
        let engine = open(&files, options(format)).unwrap();
        engine.claim().unwrap();
        let append = |engine: &FileEngine, version: u64| {
            let batch = Batch { first: version, count: 1, payload: &payload(format, version, 20) };
            assert_eq!(engine.append(batch).unwrap(), Appended::At(version));
        };
        (1..=3).for_each(|version| append(&engine, version));
        engine.seal().unwrap();
        let image = files.image();
        let archived = (0..=3u64).map(|version| format!("wal/transaction.{version:020}.log"));
        let archived = archived.into_iter().find_map(|path| image.get(&path)).unwrap().to_vec();
        let next = image.get("wal/transaction.log").unwrap().to_vec();
        let image = image.with("wal/transaction.next.log", Some(next)).with("wal/transaction.log", Some(archived));
        let files = SimFiles::mount(&image);
        let engine = open(&files, options(format)).unwrap();
        assert_eq!(engine.appended(), 3);
        engine.claim().unwrap();
        append(&engine, 4);
        engine.seal().unwrap();
        append(&engine, 5);
        engine.verify(&mut |damage| panic!("{damage}")).unwrap();
        drop(engine);
        let engine = open(&SimFiles::mount(&files.image()), options(format)).unwrap();
        let mut versions = Vec::new();
        engine
            .read_from(1, &mut |batch| {
                versions.push(batch.first);
                Ok(())
            })
            .unwrap();
        assert_eq!(versions, [1, 2, 3, 4, 5]);
    }
}

/// Whoever waits for a sync waits for a change of segments as well, so that it counts in the longest.
#[test]
fn a_change_of_segments_counts_in_the_longest_sync() {
    const SLOW: Duration = Duration::from_millis(20);
    let is_slow = Arc::new(AtomicBool::new(false));
    let hooked = Device::watched(&SimFiles::new(), {
        let is_slow = Arc::clone(&is_slow);
        move |call, path| {
            if matches!((call, path), (Call::SyncFolder, "wal")) && is_slow.load(Ordering::Relaxed) {
                std::thread::sleep(SLOW);
            }
            Ok(())
        }
    });
    let engine = FileEngine::open_on(hooked, options(Format::Binary)).unwrap();
    engine.claim().unwrap();
    assert_eq!(engine.append(Batch { first: 1, count: 1, payload: b"one" }).unwrap(), Appended::At(1));
    is_slow.store(true, Ordering::Relaxed);
    engine.seal().unwrap();
    // Both syncs of the folder while others wait.
    assert!(engine.stats().longest_sync >= 2 * SLOW);
}

/// On some file systems a full one refuses to remove as well.
#[test]
fn a_full_disk_that_removes_nothing_can_be_opened() {
    let files = SimFiles::new();
    let engine = open(&files, options(Format::Binary)).unwrap();
    engine.claim().unwrap();
    assert_eq!(engine.append(Batch { first: 1, count: 1, payload: b"one" }).unwrap(), Appended::At(1));
    engine.seal().unwrap();
    let checkpoint = Checkpoint { version: 1, ..Checkpoint::default() };
    engine.replace_manifest(engine.manifest().unwrap().generation, checkpoint).unwrap();
    drop(engine);
    let files = SimFiles::mount(&files.image());
    let refused = Arc::new(AtomicU64::new(0));
    let hooked = Device::watched(&files, {
        let refused = Arc::clone(&refused);
        move |call, path| match (call, path) {
            (Call::Remove, path) if path.starts_with("wal/") => {
                refused.fetch_add(1, Ordering::Relaxed);
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    });
    let engine = FileEngine::open_on(hooked, options(Format::Binary)).unwrap();
    engine.claim().unwrap();
    assert!(refused.load(Ordering::Relaxed) > 0);
    assert_eq!(engine.append(Batch { first: 2, count: 1, payload: b"two" }).unwrap(), Appended::At(2));
}
