//! Copies of a version that are databases of their own on disk, and the check of what is there.

use super::db::Database;
use super::snapshot::Snapshot;
use crate::error::{Error, Result};
use crate::storage::{Batch, Damage, Format, OpenReport, StorageEngine, as_damage};
use crate::table::agree::disagreements;
use crate::table::reader::view_of;
use crate::transaction::core::Core;
use crate::transaction::durable::checkpoint::save_whole;
use crate::transaction::durable::open::load;
use std::sync::Arc;
#[cfg(any(unix, windows))]
use {
    super::salvage::files_to_read,
    crate::storage::{FileEngine, FileOptions, refuse_nothing},
    std::path::Path,
};

/// Stands in the log of a copy from before the first of its rows until it is whole. A copy that was not finished cannot be
/// opened for it; one that was has a checkpoint behind it.
const UNFINISHED: [(Format, &[u8]); 2] =
    [(Format::Binary, b"an unfinished copy"), (Format::JsonLines, b"\"an unfinished copy\"\n")];

/// The log of a copy gets to its version in steps of 2^32, which this many versions take a second or two for. A million
/// commits a second come to so many in 142 years; a forged file may say more.
const VERSION_MAX: u64 = 1 << 52;

impl Snapshot {
    /// Copies this version into the directory `path`, which is made and must not hold a database yet. The copy can be
    /// opened as a database; it holds no log, only a checkpoint. Writers and readers of the origin go on meanwhile. It
    /// also brings a database in memory to disk. Cost: O(rows).
    ///
    /// # Errors
    /// [`Error::NotADatabase`] where there is something already, [`Error::Locked`], [`Error::Io`],
    /// [`Error::StorageFull`], [`Error::Limit`] for a version above 2^52. What is there of the copy then, as after a crash,
    /// can be removed. It cannot be opened; but where nothing was copied yet it may be an empty database, and where all was
    /// it may be whole.
    #[cfg(any(unix, windows))]
    pub fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        self.backup_in(path, Format::Binary)
    }

    /// The same in a chosen format.
    ///
    /// # Errors
    /// As [`backup_to`](Snapshot::backup_to).
    #[cfg(any(unix, windows))]
    pub fn backup_in(&self, path: impl AsRef<Path>, format: Format) -> Result<()> {
        let engine = FileEngine::open(&path, FileOptions { format, ..FileOptions::default() })?;
        let path = path.as_ref().display().to_string();
        self.backup_on(&engine).map_err(|error| match error {
            Error::NotADatabase { found, .. } => Error::NotADatabase { path: path.into(), found },
            error => error,
        })
    }

    /// The same on an engine whose storage is yet to begin: it is claimed, filled, and closed.
    ///
    /// # Errors
    /// As [`backup_to`](Snapshot::backup_to), and those of the engine.
    pub fn backup_on(&self, engine: &dyn StorageEngine) -> Result<()> {
        if engine.recovery().report != OpenReport::Empty {
            let (path, found) = ("the engine's storage".into(), "a database is there already".into());
            return Err(Error::NotADatabase { path, found });
        }
        if self.version() > VERSION_MAX {
            return Err(Error::Limit { what: "versions of a copy".into(), limit: VERSION_MAX, found: self.version() });
        }
        engine.claim()?;
        let payload =
            UNFINISHED.iter().find(|(format, _)| *format == engine.format()).map_or(&b""[..], |found| found.1);
        let (version, mut last) = (self.version(), 0_u64);
        while last < version {
            let count = u32::try_from(version - last).unwrap_or(u32::MAX);
            let _ = engine.append(Batch { first: last + 1, count, payload })?;
            last += u64::from(count);
        }
        // Before the rows are written, of which a loss of power may leave any part.
        engine.sync(version)?;
        let generation = engine.manifest().map_or(0, |manifest| manifest.generation);
        save_whole(engine, &self.pinned, &self.catalog, generation)?;
        engine.seal()?;
        engine.release_log(version)?;
        engine.close()
    }
}

impl Database {
    /// Copies the newest version into the directory `path`; see [`Snapshot::backup_to`].
    ///
    /// # Errors
    /// As [`Snapshot::backup_to`].
    #[cfg(any(unix, windows))]
    pub fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        self.snapshot().backup_to(path)
    }

    /// Reads every byte that is stored and checks every checksum, and that in the newest version rows, counts and indexes
    /// agree. Answers the damage, of each segment of the log and each object the first, nothing if all is well. Readers and
    /// writers go on meanwhile; checkpoints, `close` and `stats` wait for it. Of a database that was closed what is in memory
    /// alone is looked at. Cost: O(stored bytes + rows · log rows).
    ///
    /// # Errors
    /// [`Error::Io`] where reading was not possible at all.
    pub fn verify(&self) -> Result<Vec<Damage>> {
        let mut damages = Vec::new();
        // What a closed database has left may be another's by now.
        if let Some(log) = self.core.log.as_ref().filter(|log| !matches!(log.check(), Err(Error::Closed))) {
            log.engine.verify(&mut |damage| damages.push(damage))?;
        }
        self.snapshot().verify_into(&mut damages);
        Ok(damages)
    }

    /// The same for the database in the directory `path`, which nobody has open: it is read, not changed. What
    /// [`open`](Database::open) would answer as an error is among the damage.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::NotADatabase`] also where nothing of one is left, [`Error::UnsupportedFormat`], [`Error::Io`],
    /// [`Error::OutOfMemory`].
    #[cfg(any(unix, windows))]
    pub fn verify_at(path: impl AsRef<Path>) -> Result<Vec<Damage>> {
        let path = path.as_ref();
        let files = files_to_read(path)?;
        refuse_nothing(&files)?;
        match FileEngine::open_on(Arc::new(files), FileOptions::default()) {
            Ok(engine) => Self::verify_on(Arc::new(engine)),
            Err(error @ (Error::Corrupt { .. } | Error::Io { .. })) => {
                // Opening stops at the first; whoever saves what is left looks at all of it.
                let lost = match Self::salvage(path) {
                    Ok(salvaged) => salvaged.lost,
                    // What keeps all of it from being read is no damage to a part.
                    Err(_) if matches!(error, Error::Io { .. }) => return Err(error),
                    Err(_) => Vec::new(),
                };
                let first = as_damage(error)?;
                let others = lost.into_iter().filter(|lost| *lost != first).collect::<Vec<_>>();
                Ok(std::iter::once(first).chain(others).collect())
            }
            Err(error) => Err(error),
        }
    }

    /// The same for what an opened engine, which is not claimed, has stored.
    ///
    /// # Errors
    /// As [`verify_at`](Database::verify_at).
    pub fn verify_on(engine: Arc<dyn StorageEngine>) -> Result<Vec<Damage>> {
        let mut damages = Vec::new();
        engine.verify(&mut |damage| damages.push(damage))?;
        let core = Core::deferring()?;
        match load(&core, &*engine) {
            Ok(_) => Database::of(core).snapshot().verify_into(&mut damages),
            Err(error @ Error::UnsupportedFormat { .. }) => return Err(error),
            Err(error) => {
                let damage = as_damage(error)?;
                // Most of what cannot be loaded has been told by the engine.
                if !damages.iter().any(|known| known.file == damage.file) {
                    damages.push(damage);
                }
            }
        }
        Ok(damages)
    }
}

impl Snapshot {
    fn verify_into(&self, damages: &mut Vec<Damage>) {
        for (name, listed) in &self.catalog.tables {
            disagreements(view_of(self.pinned.root(), listed.slot, &listed.def), &mut |found| {
                damages.push(Damage {
                    file: format!("table `{name}` in memory").into(),
                    offset: 0,
                    expected: "rows, counts and indexes that agree".into(),
                    found: found.into(),
                });
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, Schema};
    use crate::table::version::Entry;

    #[test]
    fn a_table_that_does_not_agree_with_itself_is_told() {
        let db = Database::in_memory();
        db.create_table(Schema::builder("t").column(Column::u64("n")).build().unwrap()).unwrap().insert(&(1,)).unwrap();
        let tx = db.core.begin().unwrap();
        tx.write(|writer| {
            let mut root = writer.pages.make_mut(&mut writer.root)?;
            let mut entry = Entry::read(root.bytes(), 0);
            entry.rows += 1;
            entry.write(root.bytes(), 0);
            Ok(())
        })
        .unwrap();
        tx.commit().unwrap();
        let damages = db.verify().unwrap();
        assert!(
            !damages.is_empty() && damages.iter().all(|damage| &*damage.file == "table `t` in memory"),
            "{damages:?}"
        );
    }
}
