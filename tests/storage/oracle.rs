//! What may be there after a crash, by the journal.

use super::workload::{Journal, open};
use folio::Error;
use folio::storage::{Appended, Batch, FileEngine, FileOptions, OpenReport, StorageEngine};
use folio::testing::SimFiles;

/// What a crash after a number of operations may leave.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) struct Bounds {
    /// The log's last version, at least and at most.
    pub(crate) last: (u64, u64),
    /// The checkpoint's number, at least and at most; none at least where the storage's begin may be lost.
    pub(crate) checkpoint: (Option<usize>, usize),
}

impl Journal {
    /// For a crash after the first `operations` of the device.
    pub(crate) fn bounds(&self, operations: usize) -> Bounds {
        let durable = self.durable.iter().take_while(|(at, _)| *at <= operations);
        let durable = durable.map(|(_, version)| *version).max().unwrap_or(0);
        let begun = self.batches.iter().take_while(|batch| batch.began <= operations).last();
        let begun = begun.map_or(0, |batch| batch.first + u64::from(batch.count) - 1);
        let acknowledged =
            self.checkpoints.iter().rposition(|named| named.acknowledged.is_some_and(|at| at <= operations));
        let begun_checkpoint = self.checkpoints.iter().rposition(|named| named.began <= operations).unwrap_or(0);
        Bounds { last: (durable, begun.max(durable)), checkpoint: (acknowledged, begun_checkpoint) }
    }

    /// For the end of this process alone: all that was accepted.
    pub(crate) fn all(&self) -> Bounds {
        let mut bounds = self.bounds(usize::MAX);
        let is_certain = !self.poisoned;
        if is_certain {
            bounds.last.0 = bounds.last.1;
        }
        bounds
    }

    /// Compares everything that a claimed or unclaimed engine has with the journal.
    fn compare(&self, engine: &FileEngine, bounds: Bounds) -> Result<(), String> {
        let recovery = engine.recovery();
        let Some(manifest) = &recovery.manifest else {
            return match bounds.checkpoint.0 {
                None if recovery.last == 0 && bounds.last.0 == 0 => Ok(()),
                _ => Err("the storage is empty".into()),
            };
        };
        let number =
            manifest.checkpoint.content.get("number").and_then(serde_json::Value::as_u64).unwrap_or(0) as usize;
        let least = bounds.checkpoint.0.unwrap_or(0);
        if number < least || number > bounds.checkpoint.1 {
            return Err(format!("checkpoint {number} is not between {least} and {}", bounds.checkpoint.1));
        }
        let named = &self.checkpoints[number];
        let version = manifest.checkpoint.version;
        if version != named.version || manifest.checkpoint.objects.len() != named.objects.len() {
            return Err(format!("checkpoint {number} is another one"));
        }
        for (object, (expected, content)) in manifest.checkpoint.objects.iter().zip(&named.objects) {
            let found = engine.open_object(object).and_then(|mut reader| reader.read_to_end());
            match found {
                Ok(found) if object == expected && found == *content => {}
                Ok(_) => return Err(format!("an object of checkpoint {number} has changed")),
                Err(error) => return Err(format!("an object of checkpoint {number}: {error}")),
            }
        }
        let last = recovery.last;
        if last < bounds.last.0 || last > bounds.last.1 {
            return Err(format!("the log ends at {last}, not in {:?}", bounds.last));
        }
        let mut at = self.batches.partition_point(|batch| batch.first + u64::from(batch.count) - 1 <= version);
        let mut end = version;
        let mut wrong = None;
        let read = engine.read_from(version + 1, &mut |found| {
            let same = self.batches.get(at).is_some_and(|expected| {
                (expected.first, expected.count, &*expected.payload) == (found.first, found.count, found.payload)
            });
            if !same {
                wrong.get_or_insert(found.first);
            }
            at += 1;
            end = found.last().unwrap_or(u64::MAX);
            Ok(())
        });
        match (read, wrong) {
            (Err(error), _) => Err(error.to_string()),
            (_, Some(first)) => Err(format!("the batch at {first} is not the one that was appended")),
            _ if end != last => Err(format!("the batches end at {end}, the log at {last}")),
            _ => Ok(()),
        }
    }

    /// Opens what a crash left, compares it, claims it, compares again; `goes_on` then writes, opens again, and compares.
    pub(crate) fn check(
        &self,
        files: &SimFiles,
        options: FileOptions,
        bounds: Bounds,
        goes_on: bool,
    ) -> Result<OpenReport, String> {
        let message = |error: Error| error.to_string();
        let engine = open(files, options).map_err(message)?;
        self.compare(&engine, bounds)?;
        if files.operations() != 0 {
            return Err("opening has changed something".into());
        }
        // What a crash leaves is not damage, whether it is needed or not.
        let damage = std::cell::Cell::new(0);
        let verify = |engine: &FileEngine| engine.verify(&mut |_| damage.set(damage.get() + 1)).map_err(message);
        if goes_on {
            verify(&engine)?;
            if damage.get() > 0 {
                return Err("damage before claiming".into());
            }
        }
        engine.claim().map_err(message)?;
        let (report, last) = (engine.recovery().report, engine.recovery().last);
        if engine.durable() != last || engine.appended() != last {
            return Err("claimed, and not all durable".into());
        }
        if !goes_on {
            return Ok(report);
        }
        self.compare(&engine, bounds)?;
        verify(&engine)?;
        if damage.get() > 0 {
            return Err("damage after claiming".into());
        }
        let batch = Batch { first: last + 1, count: 1, payload: b"{\"new\":1}\n" };
        match engine.append(batch) {
            Ok(Appended::At(_)) => {}
            other => return Err(format!("cannot append: {other:?}")),
        }
        engine.sync(last + 1).map_err(message)?;
        drop(engine);
        let again = open(files, options).map_err(message)?;
        if again.recovery().last != last + 1 || again.recovery().report != OpenReport::Clean {
            return Err(format!("after going on from {last}: {:?}", again.recovery()));
        }
        Ok(report)
    }
}
