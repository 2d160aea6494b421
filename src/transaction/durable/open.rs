//! Opening: the newest checkpoint, then the log behind it. Changes nothing that is stored before all of it has been read.

use super::Durability;
use super::ahead::{Read, read_ahead};
use super::checkpoint::{Saved, SavedTable};
use super::log::{Log, bytes_of};
use super::parts::{Contents, NamedTable, damaged, image_format};
use super::replay::Replay;
use crate::error::{Error, Result};
use crate::page::Writer;
use crate::schema::Schema;
#[cfg(feature = "testing")]
use crate::storage::Batch;
#[cfg(feature = "testing")]
use crate::storage::plant::{Plant, is_planted};
use crate::storage::{Format, Manifest, Object, ObjectReader, OpenReport, StorageEngine};
use crate::table::change::TableMut;
use crate::table::definition::TableDef;
use crate::table::image::PartError;
use crate::table::image::restore::Restore;
use crate::table::sequence::Sequence;
use crate::table::version::{Entry, set_version_number};
use crate::transaction::catalog::{Catalog, Listed};
use crate::transaction::clock::Clock;
use crate::transaction::core::Core;
use crate::transaction::ddl;
use crate::transaction::redo;
use crate::value::SortedMap;
use std::sync::Arc;

/// Pages lie in memory otherwise than when they were made one after the other, and what is made of them stood within the
/// limit: to load it may take a sixteenth and so many bytes more.
const LOADING_BYTES: usize = 2 << 20;

/// How a database works that was built.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) clock: Clock,
    /// The most memory that pages may take.
    pub(crate) memory_bytes: Option<usize>,
    pub(crate) durability: Durability,
    /// A checkpoint is made in the background when the log has grown by so many bytes; none: never.
    pub(crate) checkpoint_bytes: Option<u64>,
    /// Whether threads write the log, sync and make checkpoints, as the durability asks.
    pub(crate) has_threads: bool,
}

/// What opening a database found, from [`Database::opening`](crate::Database::opening).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opening {
    /// How the log ended.
    pub log: OpenReport,
    /// The version of the checkpoint; 0 without one.
    pub checkpoint: u64,
    /// The version that the database has been opened at.
    pub version: u64,
    /// Batches of the log that were replayed.
    pub replayed: u64,
    /// Tables whose schemas had closures, which are code and not stored: give them back with
    /// [`Database::ensure_table`](crate::Database::ensure_table) before writing.
    pub missing_closures: Vec<(String, Vec<String>)>,
}

/// Opens what `engine` has stored, and claims it.
pub(crate) fn open(engine: Arc<dyn StorageEngine>, options: &Options) -> Result<(Arc<Core>, Opening)> {
    let mut core = Core::deferring()?;
    options.apply(&mut core);
    let limit = options.memory_bytes;
    if let Some(bytes) = limit {
        core.store.limit_memory(bytes.saturating_add(bytes / 16 + bytes.min(LOADING_BYTES)));
    }
    let (saved, mut opening, unsaved_bytes) = load(&core, &*engine)?;
    if let Some(bytes) = limit {
        core.store.lower_memory_limit(bytes);
    }
    engine.claim()?;
    let generation = engine.manifest().map_or(0, |manifest| manifest.generation);
    opening.missing_closures = missing_closures(&core.catalog.read());
    let saved = Saved { generation, ..saved };
    let log = Arc::new(Log::new(engine, options.durability, options.checkpoint_bytes, saved, unsaved_bytes));
    core.log = Some(Arc::clone(&log));
    if options.has_threads {
        let failed = |source| Error::Io { operation: "start", file: "a background thread".into(), source };
        log.start_background(|| core.newest()).map_err(failed)?;
    }
    Ok((Arc::new(core), opening))
}

impl Options {
    pub(crate) fn apply(&self, core: &mut Core) {
        core.clock = self.clock.clone();
        if let Some(bytes) = self.memory_bytes {
            core.store.limit_memory(bytes);
        }
    }
}

/// Makes `core`, which is empty, what `engine` has stored. The engine is only read. Answers also how many bytes of batches
/// are behind the checkpoint.
pub(crate) fn load(core: &Core, engine: &dyn StorageEngine) -> Result<(Saved, Opening, u64)> {
    let recovery = engine.recovery().clone();
    let checkpoint = recovery.manifest.as_ref().map_or(0, |manifest| manifest.checkpoint.version);
    let mut saved = match &recovery.manifest {
        Some(manifest) => restore(core, engine, manifest)?,
        None => Saved { generation: 0, version: 0, stamp: 0, tables: SortedMap::default() },
    };
    saved.stamp = core.store.snapshot().stamp();
    let (replayed, unsaved_bytes) = replay(core, engine, checkpoint, recovery.last)?;
    let opening =
        Opening { log: recovery.report, checkpoint, version: recovery.last, replayed, missing_closures: Vec::new() };
    Ok((saved, opening, unsaved_bytes))
}

fn missing_closures(catalog: &Catalog) -> Vec<(String, Vec<String>)> {
    let missing = catalog.tables.iter().map(|(name, listed)| (name.to_string(), listed.def.schema.missing_closures()));
    missing.filter(|(_, closures)| !closures.is_empty()).collect()
}

/// Makes the tables of the checkpoint.
fn restore(core: &Core, engine: &dyn StorageEngine, manifest: &Manifest) -> Result<Saved> {
    let contents = Contents::read(manifest)?;
    let version = manifest.checkpoint.version;
    let (mut tables, mut catalog) = (SortedMap::default(), Catalog::default());
    let write = core.store.begin()?;
    for named in contents.tables(manifest)? {
        let schema = read_schema(&mut *engine.open_object(named.schema)?, named.name, named.schema)?;
        let def = Arc::new(TableDef::new(schema, core.lineage.seed.clone()));
        let read = |object: &Object| engine.open_object(object);
        write
            .write(|writer| restore_table(writer, &named, &def, engine.format(), &read))?
            .map_err(|(_, error)| error)?;
        let listed = Listed { slot: named.slot, def: Arc::clone(&def) };
        if catalog.tables.insert(named.name.into(), listed).is_some() {
            return Err(damaged("a name for each table", format!("`{}` twice", named.name)));
        }
        let entry = Entry::read(write.view()?.root().bytes(), named.slot);
        let saved = SavedTable {
            slot: named.slot,
            table: def.table,
            entry,
            schema: named.schema.clone(),
            parts: named.parts.to_vec(),
        };
        tables.insert(named.name.into(), saved);
    }
    write.write(|writer| set_number(writer, version))??;
    write.commit();
    *core.catalog.write() = Arc::new(catalog);
    Ok(Saved { generation: manifest.generation, version, stamp: 0, tables })
}

pub(super) fn set_number(writer: &mut Writer, version: u64) -> Result<()> {
    let mut root = writer.pages.make_mut(&mut writer.root)?;
    set_version_number(root.bytes(), version);
    Ok(())
}

pub(super) fn read_schema(reader: &mut dyn ObjectReader, name: &str, object: &Object) -> Result<Schema> {
    let text = reader.read_to_end()?;
    let corrupt = |found: String| Error::Corrupt {
        file: object.place().into(),
        offset: object.offset,
        expected: format!("the schema of `{name}`").into(),
        found: found.into(),
    };
    let text = std::str::from_utf8(&text).map_err(|error| corrupt(error.to_string()))?;
    let schema: Schema = serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))?;
    if schema.name() != name {
        return Err(corrupt(format!("that of `{}`", schema.name())));
    }
    Ok(schema)
}

/// Makes a table of its parts, which `read` opens. Answers with an error the place of the part that is at fault; their
/// number where it is all of them together. The write can then only be rolled back.
pub(super) fn restore_table(
    writer: &mut Writer,
    named: &NamedTable<'_>,
    def: &TableDef,
    format: Format,
    read: &dyn Fn(&Object) -> Result<Box<dyn ObjectReader>>,
) -> Result<(), (usize, Error)> {
    let all = |error| (named.parts.len(), error);
    ddl::create_table_at(writer, def, named.slot).map_err(all)?;
    let Writer { root, pages, .. } = writer;
    let mut root = pages.make_mut(root).map_err(|error| all(error.into()))?;
    let (links, bytes) = root.parts();
    let Some([rows, indexes]) = links.get_mut(2 * named.slot..2 * named.slot + 2) else { return Ok(()) };
    let mut entry = Entry::read(bytes, named.slot);
    // Stored rows bring their numbers: none is given here.
    let sequence = Sequence::default();
    let mut restore = Restore::new(TableMut { def, sequence: &sequence, pages, rows, indexes, entry: &mut entry });
    for (place, object) in named.parts.iter().enumerate() {
        apply_part(&mut restore, object, format, read).map_err(|error| (place, error))?;
    }
    let finished = restore.finish();
    finished.map_err(|error| all(in_object(named.parts.last().unwrap_or(named.schema), error)))?;
    entry.write(bytes, named.slot);
    Ok(())
}

fn apply_part(
    restore: &mut Restore<'_, '_>,
    object: &Object,
    format: Format,
    read: &dyn Fn(&Object) -> Result<Box<dyn ObjectReader>>,
) -> Result<()> {
    read_ahead(read(object)?, object.length(), |read| {
        let applied = restore.apply(image_format(format), read);
        let Err(error) = applied.map_err(|error| in_object(object, error)) else { return read_out(read, object) };
        if matches!(error, Error::UnsupportedFormat { .. }) {
            // Only of bytes that are whole: others are damaged, not of another version.
            read_through(read)?;
        }
        Err(error)
    })
}

/// Reads to the end, and so checks the checksum.
pub(super) fn read_through(read: &mut Read<'_>) -> Result<()> {
    let mut chunk = [0; 1 << 12];
    while read(&mut chunk)? > 0 {}
    Ok(())
}

/// An object is whole when its end has been read.
fn read_out(read: &mut Read<'_>, object: &Object) -> Result<()> {
    if read(&mut [0; 1])? == 0 {
        return Ok(());
    }
    Err(Error::Corrupt {
        file: object.place().into(),
        offset: object.offset,
        expected: "the end of the part".into(),
        found: "more".into(),
    })
}

fn in_object(object: &Object, error: PartError) -> Error {
    match error {
        PartError::Other(Error::UnsupportedFormat { what, found, supported, .. }) => {
            Error::UnsupportedFormat { file: object.place().into(), what, found, supported }
        }
        PartError::Other(error) => error,
        PartError::Mismatch(mismatch) => Error::Corrupt {
            file: object.place().into(),
            offset: object.offset.saturating_add(mismatch.at.unwrap_or(0)),
            expected: mismatch.expected,
            found: mismatch.found,
        },
    }
}

/// Applies the batches behind version `checkpoint` up to `last`, and answers how many they were, and of how many bytes.
fn replay(core: &Core, engine: &dyn StorageEngine, checkpoint: u64, last: u64) -> Result<(u64, u64)> {
    let (mut replayed, mut bytes) = (0, 0);
    if last == checkpoint {
        return Ok((0, 0));
    }
    let mut replay = Replay::new(core, engine.format(), checkpoint);
    engine.read_from(checkpoint.saturating_add(1), &mut |batch| {
        #[cfg(feature = "testing")]
        let batch = match is_planted(Plant::SkipLastBatch) && batch.last() == Some(last) {
            true => Batch { payload: b"", ..batch },
            false => batch,
        };
        replayed += 1;
        bytes += bytes_of(&batch);
        replay.apply(&batch, &mut redo::Bases::default(), false)
    })?;
    let version = replay.finish()?;
    if version != last {
        return Err(Error::Corrupt {
            file: "the log".into(),
            offset: 0,
            expected: format!("versions up to {last}").into(),
            found: format!("an end at {version}").into(),
        });
    }
    Ok((replayed, bytes))
}
