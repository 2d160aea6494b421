//! Checkpoints: what a version's tables are, as parts in objects, found by the difference to the checkpoint before.
//!
//! - P1: a manifest names, for each table, a schema and parts that make the table of the manifest's version when applied
//!   in order.
//! - P2: the log behind a manifest's version is not released.
//!
//! A table that did not change keeps its parts. One that did gets a part with the pages that changed since, found by
//! their birth; and when those parts together have grown to the size of the first, it is written anew, so that at least
//! half of what is read at opening, and of what is on disk, is alive.

use super::parts::{Contents, TableContents, image_format};
use crate::error::{Error, Result};
use crate::page::Pinned;
#[cfg(feature = "testing")]
use crate::storage::plant::{Plant, is_planted};
use crate::storage::{Checkpoint, Format, Object, ObjectKind, Placement, StorageEngine};
use crate::table::definition::TableDef;
use crate::table::image;
use crate::table::reader::view_of;
use crate::table::size::row_bytes_since;
use crate::table::version::{Entry, table_links, version_number};
use crate::transaction::catalog::{Catalog, Listed};
use crate::transaction::core::Newest;
use crate::transaction::durable::behind::Version;
use crate::transaction::durable::log::{DoneWith, Log};
use crate::value::{SortedMap, Timestamp};

/// A table is written anew when it has so many parts, however small they are.
const PARTS_MAX: usize = 64;
/// Parts below this size are not worth joining.
const SMALL_BYTES: u64 = 1 << 16;

/// What the manifest in use holds.
pub(crate) struct Saved {
    pub(super) generation: u64,
    pub(super) version: u64,
    /// Pages born later are not in it.
    pub(super) stamp: u64,
    pub(super) tables: SortedMap<Box<str>, SavedTable>,
}

/// A table as it was saved.
#[derive(Clone)]
pub(super) struct SavedTable {
    pub(super) slot: usize,
    /// The table, which another of the same name is not.
    pub(super) table: u64,
    pub(super) entry: Entry,
    pub(super) schema: Object,
    /// Oldest first, at least one.
    pub(super) parts: Vec<Object>,
}

/// How a checkpoint is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What changed.
    Changes,
    /// Everything, each table in space of its own.
    Whole,
}

impl Log {
    /// Makes a checkpoint of the newest version that readers see, and answers its number. Neither readers nor writers
    /// wait for it, but for the change of the log's segment.
    pub(crate) fn checkpoint(&self, newest: &Newest, extent: Extent) -> Result<u64> {
        let now = newest.time();
        // Dropped behind all locks.
        let mut done_with = DoneWith::default();
        let mut saved = self.saved.lock();
        // Asked when it is this one's turn: it may have been closed meanwhile.
        self.check()?;
        self.save(newest, now, &mut saved, extent, &mut done_with)
    }

    /// The same on the last checkpoint, which is `saved` and becomes this one, made at the time `now`.
    pub(super) fn save(
        &self,
        newest: &Newest,
        now: Option<Timestamp>,
        saved: &mut Saved,
        extent: Extent,
        done_with: &mut DoneWith,
    ) -> Result<u64> {
        let (version, unsaved) = self.seal(newest, done_with)?;
        let answer = self.save_version(&version, (now, unsaved), saved, extent);
        done_with.take([version]);
        answer
    }

    /// Saves this version, sealed at this time and covering so many bytes of batches.
    fn save_version(
        &self,
        (pinned, catalog): &Version,
        (now, unsaved): (Option<Timestamp>, u64),
        saved: &mut Saved,
        extent: Extent,
    ) -> Result<u64> {
        let version = version_number(pinned.root());
        if version == saved.version && extent == Extent::Changes {
            return Ok(version);
        }
        let tables = match self.save_tables(pinned, catalog, saved, extent) {
            Ok(tables) => tables,
            Err(error) => {
                self.forget_unsaved(saved);
                return Err(error);
            }
        };
        let checkpoint = describe(version, &tables);
        #[cfg(feature = "testing")]
        if is_planted(Plant::ReleaseBeforeManifest) {
            self.engine.release_log(version)?;
        }
        let generation = match self.engine.replace_manifest(saved.generation, checkpoint) {
            Ok(generation) => generation,
            Err(error) => {
                let error = self.note(error);
                self.forget_unsaved(saved);
                return Err(error);
            }
        };
        self.note_checkpoint(now, unsaved);
        let stamp = pinned.stamp();
        #[cfg(feature = "testing")]
        let stamp = if is_planted(Plant::SaveTooLate) { stamp + 8 } else { stamp };
        *saved = Saved { generation, version, stamp, tables };
        self.engine.release_log(version).map_err(|error| self.note(error))?;
        Ok(version)
    }

    /// Ends the log's segment, and answers a version that covers all of it and that the log has, and the count of bytes
    /// that it covers.
    fn seal(&self, newest: &Newest, done_with: &mut DoneWith) -> Result<(Version, u64)> {
        let unsaved = self.start_counting();
        // Sealed first: then what is sealed is covered, and can go (P2).
        self.engine.seal().map_err(|error| self.note(error))?;
        self.publish_durable(&newest.store);
        let follows = self.is_asynchronous();
        #[cfg(feature = "testing")]
        let follows = follows && !is_planted(Plant::SaveUnwritten);
        if !follows {
            return Ok((newest.snapshot(), unsaved));
        }
        // Not the newest that readers see, but one that the log has come to.
        let mut appending = self.appending.lock();
        self.catch_up_in(&mut appending, || newest.snapshot(), done_with)?;
        Ok((self.logged(&appending, newest), self.start_counting()))
    }

    fn save_tables(
        &self,
        pinned: &Pinned,
        catalog: &Catalog,
        saved: &Saved,
        extent: Extent,
    ) -> Result<SortedMap<Box<str>, SavedTable>> {
        let mut tables = SortedMap::default();
        for (name, listed) in &catalog.tables {
            let before = saved.tables.get(name).filter(|before| before.table == listed.def.table);
            let table = save_table(&*self.engine, pinned, listed, before, saved.stamp, extent)?;
            tables.insert(name.clone(), table);
        }
        Ok(tables)
    }

    /// After a failure, gives back what was written for a checkpoint that is not to be: with each attempt it would grow.
    /// The manifest in use, written anew, names none of it, and what it does not name goes before it is written.
    fn forget_unsaved(&self, saved: &mut Saved) {
        if self.check().is_ok()
            && let Ok(generation) = self
                .engine
                .replace_manifest(saved.generation, describe(saved.version, &saved.tables))
                .map_err(|error| self.note(error))
        {
            saved.generation = generation;
        }
    }
}

/// Writes all tables of a version to an engine that has nothing yet.
pub(crate) fn save_whole(
    engine: &dyn StorageEngine,
    pinned: &Pinned,
    catalog: &Catalog,
    generation: u64,
) -> Result<()> {
    let mut tables = SortedMap::default();
    for (name, listed) in &catalog.tables {
        tables.insert(name.clone(), save_table(engine, pinned, listed, None, 0, Extent::Whole)?);
    }
    let checkpoint = describe(version_number(pinned.root()), &tables);
    engine.replace_manifest(generation, checkpoint).map(drop)
}

fn save_table(
    engine: &dyn StorageEngine,
    pinned: &Pinned,
    listed: &Listed,
    before: Option<&SavedTable>,
    since: u64,
    extent: Extent,
) -> Result<SavedTable> {
    let Listed { slot, def } = listed;
    let root = pinned.root();
    let entry = Entry::read(root.bytes(), *slot);
    let schema = match before {
        Some(before) if before.entry.def == entry.def && extent == Extent::Changes => before.schema.clone(),
        _ => write_schema(engine, def)?,
    };
    let mut table = SavedTable { slot: *slot, table: def.table, entry, schema, parts: Vec::new() };
    match before.filter(|_| extent == Extent::Changes) {
        Some(before) => {
            let born = table_links(root.links(), *slot).0.map_or(0, |rows| rows.block().birth());
            let is_same = Entry { def: 0, ..before.entry } == Entry { def: 0, ..entry } && born <= since;
            table.parts.clone_from(&before.parts);
            if is_same {
                return Ok(table);
            }
            let most = table.parts.first().map_or(0, Object::length).max(SMALL_BYTES);
            let later = table.parts.iter().skip(1).map(Object::length).sum::<u64>();
            // No part is much smaller: a binary one takes about what its pages do, a row of JSON Lines may leave out nulls.
            let least = || {
                let bytes = row_bytes_since(view_of(root, *slot, def), since) as u64;
                if engine.format() == Format::Binary { bytes } else { bytes / 4 }
            };
            if table.parts.len() < PARTS_MAX && later + least() <= most {
                let part = write_rows(engine, pinned, listed, since, Placement::Append)?;
                if later + part.length() <= most {
                    table.parts.push(part);
                    return Ok(table);
                }
                // The part just written is dropped by the manifest that does not name it.
            }
            table.parts = vec![write_rows(engine, pinned, listed, 0, Placement::Replace)?];
        }
        None => table.parts = vec![write_rows(engine, pinned, listed, 0, Placement::Replace)?],
    }
    Ok(table)
}

fn write_schema(engine: &dyn StorageEngine, def: &TableDef) -> Result<Object> {
    let mut text = serde_json::to_vec_pretty(&def.schema).map_err(|error| Error::of_schema(def.name(), &error))?;
    text.push(b'\n');
    let mut object = engine.create_object(ObjectKind::Schema, def.name(), Placement::Replace)?;
    object.write(&text)?;
    object.finish()
}

fn write_rows(
    engine: &dyn StorageEngine,
    pinned: &Pinned,
    listed: &Listed,
    since: u64,
    placement: Placement,
) -> Result<Object> {
    let mut object = engine.create_object(ObjectKind::Records, listed.def.name(), placement)?;
    let view = view_of(pinned.root(), listed.slot, &listed.def);
    image::write_part(view, since, image_format(engine.format()), &mut |bytes| object.write(bytes))?;
    object.finish()
}

/// What the manifest shall say.
fn describe(version: u64, tables: &SortedMap<Box<str>, SavedTable>) -> Checkpoint {
    let mut objects = Vec::new();
    let mut contents = Contents::default();
    for (name, table) in tables {
        contents.tables.push(TableContents { name: name.to_string(), slot: table.slot, parts: table.parts.len() });
        objects.push(table.schema.clone());
        objects.extend(table.parts.iter().cloned());
    }
    Checkpoint { version, objects, content: contents.to_json() }
}
