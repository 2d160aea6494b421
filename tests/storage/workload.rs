//! What is done to the engine, and the journal of what it answered.

use folio::storage::{
    Appended, Batch, Checkpoint, FileEngine, FileOptions, Format, Object, ObjectKind, Placement, StorageEngine,
};
use folio::testing::SimFiles;
use folio::{Error, Result};
use std::sync::Arc;

/// Small segments and steps, so that a short trace has many rotations.
pub(crate) fn options(format: Format) -> FileOptions {
    let (segment_bytes, preallocate_bytes) = match format {
        Format::Binary => (700, 300),
        Format::JsonLines => (1_400, 600),
    };
    FileOptions { format, segment_bytes, preallocate_bytes, keep_archived: false }
}

pub(crate) fn open(files: &SimFiles, options: FileOptions) -> Result<FileEngine> {
    FileEngine::open_on(Arc::new(files.clone()), options)
}

/// A batch that is in the log, or may be.
pub(crate) struct Written {
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) payload: Vec<u8>,
    /// The device's operations when it was begun.
    pub(crate) began: usize,
}

/// A checkpoint that was written, or may be.
pub(crate) struct Named {
    pub(crate) version: u64,
    pub(crate) objects: Vec<(Object, Vec<u8>)>,
    pub(crate) began: usize,
    pub(crate) acknowledged: Option<usize>,
}

/// What the engine has answered, each with the device's operations at that moment.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) batches: Vec<Written>,
    /// Versions acknowledged as durable.
    pub(crate) durable: Vec<(usize, u64)>,
    /// By number; 0 is what a new storage begins with.
    pub(crate) checkpoints: Vec<Named>,
    pub(crate) attempts: u64,
    /// Writes went on after a failure.
    pub(crate) went_on: bool,
    pub(crate) failures: u64,
    pub(crate) poisoned: bool,
}

impl Journal {
    pub(crate) fn last(&self) -> u64 {
        self.batches.last().map_or(0, |batch| batch.first + u64::from(batch.count) - 1)
    }
}

/// How many seeds each proof takes: one, or as many as `FOLIO_SEEDS` says, for a soak.
pub(crate) fn seeds() -> u64 {
    std::env::var("FOLIO_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1)
}

/// A stream of numbers from a seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

pub(crate) fn payload(format: Format, attempt: u64, length: u64) -> Vec<u8> {
    let mut random = Random(attempt);
    match format {
        Format::Binary => {
            let mut bytes = attempt.to_le_bytes().to_vec();
            bytes.extend((0..length).map(|_| random.below(256) as u8));
            bytes
        }
        Format::JsonLines => format!("{{\"attempt\":{attempt},\"text\":\"{}\"}}\n", "y".repeat(length as usize)).into(),
    }
}

/// A life of the storage in `steps`. Goes on after errors as long as that makes sense. The engine is not closed at the end.
pub(crate) fn run(files: &SimFiles, options: FileOptions, seed: u64, steps: u64) -> Journal {
    let mut journal = Journal::default();
    let mut random = Random(seed);
    journal.checkpoints.push(Named { version: 0, objects: Vec::new(), began: 0, acknowledged: None });
    let mut engine = begin(files, options, &mut journal);
    for _ in 0..steps {
        let Some(open) = &engine else { break };
        let failures = journal.failures;
        match random.below(100) {
            0..62 => append(open, files, &mut journal, &mut random),
            62..82 => {
                let through = open.appended();
                let synced = open.sync(through);
                note(&mut journal, files, open, synced);
            }
            82..87 => {
                let sealed = open.seal();
                note(&mut journal, files, open, sealed);
            }
            87..96 => checkpoint(open, files, &mut journal, &mut random),
            96..98 => {
                let closed = open.close();
                note(&mut journal, files, open, closed);
                drop(engine.take());
                engine = begin(files, options, &mut journal);
            }
            _ => {
                drop(engine.take());
                engine = begin(files, options, &mut journal);
            }
        }
        if journal.poisoned {
            break;
        }
        journal.went_on |= failures > 0 && failures == journal.failures;
    }
    journal
}

fn begin(files: &SimFiles, options: FileOptions, journal: &mut Journal) -> Option<FileEngine> {
    // A fault of a moment is gone at the next opening.
    for _ in 0..3 {
        let opened = open(files, options).and_then(|engine| {
            assert_eq!(engine.recovery().last, journal.last(), "what was appended survives the process");
            engine.claim()?;
            Ok(engine)
        });
        match opened {
            Ok(engine) => {
                journal.durable.push((files.operations(), engine.durable()));
                let newest = journal.checkpoints.last_mut()?;
                newest.acknowledged.get_or_insert(files.operations());
                return Some(engine);
            }
            Err(error) => {
                assert!(!matches!(error, Error::Corrupt { .. } | Error::NotADatabase { .. }), "{error}");
                journal.failures += 1;
            }
        }
    }
    None
}

/// Whatever was done, `durable` may have moved.
fn note(journal: &mut Journal, files: &SimFiles, engine: &FileEngine, answer: Result<()>) {
    journal.durable.push((files.operations(), engine.durable()));
    if let Err(error) = answer {
        failed(journal, &error);
    }
}

fn failed(journal: &mut Journal, error: &Error) {
    journal.failures += 1;
    journal.poisoned |= matches!(error, Error::SyncFailed { .. } | Error::Poisoned { .. });
    let is_expected = matches!(
        error,
        Error::Io { .. } | Error::StorageFull { .. } | Error::SyncFailed { .. } | Error::Poisoned { .. }
    );
    assert!(is_expected, "{error}");
}

fn append(engine: &FileEngine, files: &SimFiles, journal: &mut Journal, random: &mut Random) {
    journal.attempts += 1;
    let length = if random.below(20) == 0 { 300 } else { random.below(60) };
    let payload = payload(engine.format(), journal.attempts, length);
    let (first, count, began) = (engine.appended() + 1, 1 + random.below(3) as u32, files.operations());
    assert_eq!(first, journal.last() + 1);
    let answer = engine.append(Batch { first, count, payload: &payload });
    match answer {
        Ok(Appended::At(_)) | Err(Error::SyncFailed { .. }) => {
            journal.batches.push(Written { first, count, payload, began });
        }
        Ok(Appended::Conflict(last)) => panic!("nobody else appends, but the log ends at {last}"),
        Err(_) => {}
    }
    note(journal, files, engine, answer.map(drop));
}

fn checkpoint(engine: &FileEngine, files: &SimFiles, journal: &mut Journal, random: &mut Random) {
    let began = files.operations();
    let Some(manifest) = engine.manifest() else { return };
    let number = journal.checkpoints.len();
    // After one of unknown outcome no other is written.
    let mut kept = journal.checkpoints[number - 1].objects.clone();
    let written = (0..1 + random.below(3)).try_for_each(|part| {
        let table = ["a", "B"][random.below(2) as usize];
        let (kind, placement) = match random.below(4) {
            0 => (ObjectKind::Schema, Placement::Replace),
            1 => (ObjectKind::Records, Placement::Replace),
            _ => (ObjectKind::Records, Placement::Append),
        };
        let content = payload(engine.format(), number as u64 * 10 + part, random.below(80));
        let mut writer = engine.create_object(kind, table, placement)?;
        writer.write(&content[..content.len() / 2])?;
        writer.write(&content[content.len() / 2..])?;
        if random.below(8) > 0 {
            let object = writer.finish()?;
            if placement == Placement::Replace {
                kept.retain(|(other, _)| other.kind() != kind || other.table() != table);
            }
            kept.push((object, content));
            if kept.len() > 5 {
                kept.remove(0);
            }
        }
        Ok(())
    });
    let version = manifest.checkpoint.version.max(engine.appended() - random.below(3).min(engine.appended()));
    let objects = kept.iter().map(|(object, _)| object.clone()).collect();
    let next = Checkpoint { version, objects, content: serde_json::json!({ "number": number }) };
    let answer = written.and_then(|()| engine.replace_manifest(manifest.generation, next));
    let acknowledged = answer.is_ok().then(|| files.operations());
    if matches!(answer, Ok(_) | Err(Error::SyncFailed { .. })) {
        journal.checkpoints.push(Named { version, objects: kept, began, acknowledged });
    }
    let released = answer.and_then(|_| engine.release_log(version));
    note(journal, files, engine, released);
}
