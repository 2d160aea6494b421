//! What can be saved of a database that cannot be opened.

use super::db::Database;
use crate::error::{Error, Result};
use crate::storage::{Damage, Files, OsFiles, Remains};
use crate::transaction::durable::salvage::salvage;
use std::path::Path;
use std::sync::Arc;

/// What [`Database::salvage`] answers.
#[derive(Debug)]
#[non_exhaustive]
pub struct Salvaged {
    /// All that is whole, in memory and nowhere else: [`backup_to`](Database::backup_to) a new place brings it to disk.
    pub database: Database,
    /// What is damaged, and what is lost by it; nothing if all was whole.
    pub lost: Vec<Damage>,
}

/// The files of a directory that is to be looked at and not changed.
///
/// # Errors
/// [`Error::NotADatabase`] if no directory is there, [`Error::Io`].
pub(super) fn files_to_read(path: &Path) -> Result<OsFiles> {
    let describe = || path.display().to_string().into();
    if !path.is_dir() {
        return Err(Error::NotADatabase { path: describe(), found: "no directory is there".into() });
    }
    OsFiles::open_to_read(path).map_err(|source| Error::Io { operation: "open", file: describe(), source })
}

impl Database {
    /// Saves what is whole of the damaged database in the directory `path`, which [`open`](Database::open) refuses, as a
    /// database in memory. The directory is locked meanwhile, and not changed.
    ///
    /// Tables come back as the checkpoint has them, and the log behind it is applied up to the first batch that is missing,
    /// damaged or does not fit. A table whose last parts are damaged comes back as an older checkpoint had it, one whose
    /// schema is damaged not at all. Without a manifest the log is applied from its beginning, if it is there; else the
    /// tables are what their files hold. [PERSISTENCE.md](crate::persistence) has the rules. Every row that comes back was
    /// committed once; with something lost, rows that belong together may be of different versions. Read what
    /// [`lost`](Salvaged::lost) says before relying on them.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("folio-doc-salvage-{}", std::process::id()));
    /// # let repaired = directory.with_extension("repaired");
    /// use folio::{Column, Database, Schema};
    ///
    /// let cities = Schema::builder("cities").column(Column::string("name").primary_key()).column(Column::u32("people"));
    /// let db = Database::open(&directory)?;
    /// db.create_table(cities.build()?)?.insert(&("Reykjavík", 140_000))?;
    /// drop(db);
    /// std::fs::remove_dir_all(directory.join("wal")).unwrap(); // what no program should do
    ///
    /// assert!(Database::open(&directory).is_err());
    /// let salvaged = Database::salvage(&directory)?;
    /// assert!(salvaged.lost.iter().all(|damage| damage.file.starts_with("wal")));
    /// assert_eq!(salvaged.database.table("cities")?.len()?, 1);
    /// salvaged.database.backup_to(&repaired)?;
    /// assert_eq!(Database::open(&repaired)?.table("cities")?.len()?, 1);
    /// # std::fs::remove_dir_all(&directory).unwrap(); std::fs::remove_dir_all(&repaired).unwrap();
    /// # Ok::<(), folio::Error>(())
    /// ```
    ///
    /// Cost: that of opening it, and its files read a few times more.
    ///
    /// # Errors
    /// [`Error::NotADatabase`] where nothing of one is left, [`Error::Locked`], [`Error::UnsupportedFormat`] for a manifest
    /// of another version, [`Error::Io`] if the directory cannot be read at all, [`Error::OutOfMemory`]. All other damage is
    /// in [`lost`](Salvaged::lost).
    pub fn salvage(path: impl AsRef<Path>) -> Result<Salvaged> {
        Self::salvage_on(Arc::new(files_to_read(path.as_ref())?))
    }

    /// The same for what is on a device of another kind.
    ///
    /// # Errors
    /// As [`salvage`](Database::salvage).
    pub fn salvage_on(files: Arc<dyn Files>) -> Result<Salvaged> {
        let mut lost = Vec::new();
        let remains = Remains::open(files, &mut |damage| lost.push(damage))?;
        let core = salvage(&remains, &mut |damage| lost.push(damage))?;
        Ok(Salvaged { database: Database::of(core), lost })
    }
}
