//! A database in memory from what is left of one on disk.
//!
//! - With a manifest: its tables, each from as many leading parts as are whole, then the log behind it, batch by batch to
//!   the first that is missing or does not apply.
//! - Without, but with a log from its first version: all of that.
//! - Without both: the tables of the files, as they parse. Nothing says then which version they are, and where the log is
//!   gone altogether, not even how they are written: their first bytes do.
//!
//! Whatever is missing is reported. A table without its last parts is older than the others, and the log is applied to it
//! all the same, but for updates of rows that it has not told whole: each of its rows is one that was committed, but they
//! may be of different versions.

use super::open::{read_schema, read_through, restore_table, set_number};
use super::parts::{Contents, NamedTable, image_format, storage_format};
use super::replay::Replay;
use crate::error::{Error, Result};
use crate::schema::Schema;
use crate::storage::{Damage, Format, Object, ObjectKind, Remains, as_damage};
use crate::table::definition::TableDef;
use crate::table::image;
use crate::table::version::TABLES_MAX;
use crate::transaction::catalog::{Catalog, Listed};
use crate::transaction::core::Core;
use crate::transaction::redo::Bases;
use crate::value::SortedMap;
use std::sync::Arc;

/// See the module. Answers a database in memory.
///
/// # Errors
/// [`Error::UnsupportedFormat`] for a manifest of another version, [`Error::OutOfMemory`].
pub(crate) fn salvage(remains: &Remains, report: &mut dyn FnMut(Damage)) -> Result<Core> {
    let core = Core::new()?;
    let checkpoint = match remains.manifest() {
        Some(manifest) => match Contents::read(manifest) {
            Ok(contents) => Some((manifest, contents)),
            Err(error @ Error::UnsupportedFormat { .. }) => return Err(error),
            Err(error) => {
                report(as_damage(error)?);
                None
            }
        },
        None => None,
    };
    let format = remains.format().unwrap_or_else(|| format_of_files(remains));
    let mut salvage =
        Salvage { core: &core, remains, format, catalog: Catalog::default(), bases: Bases::default(), report };
    match checkpoint {
        Some((manifest, contents)) => match contents.tables(manifest) {
            Ok(tables) => {
                tables.iter().try_for_each(|table| salvage.restore(table, manifest.checkpoint.version))?;
                salvage.publish(manifest.checkpoint.version)?;
                salvage.replay(manifest.checkpoint.version)?;
            }
            Err(error) => {
                (salvage.report)(as_damage(error)?);
                salvage.restore_without_checkpoint()?;
            }
        },
        None => salvage.restore_without_checkpoint()?,
    }
    Ok(core)
}

struct Salvage<'s> {
    core: &'s Core,
    remains: &'s Remains,
    format: Format,
    /// Of the tables restored so far.
    catalog: Catalog,
    /// Which of these the log cannot be applied to as it stands.
    bases: Bases,
    report: &'s mut dyn FnMut(Damage),
}

impl Salvage<'_> {
    fn lost(&mut self, object: &Object, expected: String, found: String) {
        let (expected, found) = (expected.into(), found.into());
        (self.report)(Damage { file: object.place().into(), offset: object.offset, expected, found });
    }

    /// Restores a table of the checkpoint of `version` as far as it is whole.
    fn restore(&mut self, table: &NamedTable<'_>, version: u64) -> Result<()> {
        let name = table.name;
        let read =
            self.remains.open_object(table.schema).and_then(|mut reader| read_schema(&mut *reader, name, table.schema));
        let schema = match read {
            Ok(schema) if !self.catalog.tables.contains_key(name) => schema,
            Ok(_) => {
                self.lost(table.schema, "a name for each table".into(), format!("`{name}` twice"));
                return Ok(());
            }
            Err(error) => {
                (self.report)(as_damage(error)?);
                self.lost(table.schema, format!("table `{name}`"), "no schema: all of the table is lost".into());
                return Ok(());
            }
        };
        let whole = self.count_whole(table.parts)?;
        let kept = self.restore_parts(table, &schema, whole)?;
        if let Some(first_lost) = table.parts.get(kept) {
            self.bases.note_older(table.slot);
            let found = match kept {
                0 => "none of its parts: its rows up to there are lost".into(),
                _ => format!(
                    "{kept} of {} parts: it is as an earlier checkpoint had it; what changed from then on is lost",
                    table.parts.len()
                ),
            };
            self.lost(first_lost, format!("table `{name}` of version {version}"), found);
        }
        Ok(())
    }

    /// How many of the first parts match their checksums.
    fn count_whole(&mut self, parts: &[Object]) -> Result<usize> {
        for (place, part) in parts.iter().enumerate() {
            let read =
                self.remains.open_object(part).and_then(|mut reader| read_through(&mut |into| reader.read(into)));
            if let Err(error) = read {
                (self.report)(as_damage(error)?);
                return Ok(place);
            }
        }
        Ok(parts.len())
    }

    /// Restores a table from its first `count` parts, or fewer where they do not fit, and answers from how many.
    fn restore_parts(&mut self, table: &NamedTable<'_>, schema: &Schema, mut count: usize) -> Result<usize> {
        loop {
            let def = Arc::new(TableDef::new(schema.clone(), self.core.lineage.seed.clone()));
            let parts = table.parts.get(..count).unwrap_or(table.parts);
            let fewer = NamedTable { name: table.name, slot: table.slot, schema: table.schema, parts };
            let write = self.core.store.begin()?;
            let read = |object: &Object| self.remains.open_object(object);
            let restored = write.write(|writer| restore_table(writer, &fewer, &def, self.format, &read))?;
            match restored {
                Ok(()) => {
                    write.commit();
                    self.catalog.tables.insert(table.name.into(), Listed { slot: table.slot, def });
                    return Ok(count);
                }
                // Without parts there is nothing that could not fit.
                Err((_, error)) if count == 0 => return Err(error),
                Err((place, error)) => {
                    drop(write);
                    (self.report)(as_damage(error)?);
                    // Those before it have been applied: at the next failure it is all of them together, and half of
                    // them are tried. So the parts are read a number of times that is logarithmic in theirs.
                    count = if place < count { place } else { count / 2 };
                }
            }
        }
    }

    /// Makes the tables restored so far visible as `version`.
    fn publish(&mut self, version: u64) -> Result<()> {
        let write = self.core.store.begin()?;
        write.write(|writer| set_number(writer, version))??;
        write.commit();
        *self.core.catalog.write() = Arc::new(std::mem::take(&mut self.catalog));
        Ok(())
    }

    /// Applies the log behind version `after` as far as it goes, and says what is lost behind.
    fn replay(&mut self, after: u64) -> Result<()> {
        let (remains, bases) = (self.remains, &mut self.bases);
        let mut replay = Replay::new(self.core, self.format, after);
        let end = remains.read_log(after, &mut |batch| replay.apply(&batch, bases, true), self.report)?;
        replay.finish()?;
        if end.known > end.reached {
            let first = end.reached.saturating_add(1);
            self.lost_versions(format!("the log's versions {first} to {}", end.known), "nothing that can be applied");
        }
        Ok(())
    }

    fn lost_versions(&mut self, expected: String, found: &str) {
        (self.report)(Damage { file: "wal".into(), offset: 0, expected: expected.into(), found: found.into() });
    }

    /// Restores what there is without a manifest that says what the tables are.
    fn restore_without_checkpoint(&mut self) -> Result<()> {
        if self.remains.has_first_version() { self.replay(0) } else { self.restore_files() }
    }

    /// Restores what the files of objects hold, of which no manifest says what it is.
    fn restore_files(&mut self) -> Result<()> {
        let mut names = SortedMap::default();
        for (_, table, _) in self.remains.objects() {
            names.insert(&**table, ());
        }
        for (slot, name) in names.keys().take(TABLES_MAX).enumerate() {
            self.restore_file(slot, name)?;
        }
        // Of the log nothing can be applied. But the numbers of versions are not to be used again.
        let known = self.remains.read_log(0, &mut |_| Ok(()), self.report)?.known;
        self.publish(known.max(1))?;
        let found =
            "no manifest: the tables are as their files have them, unchecked and of versions that are not known";
        let expected = format!("the tables of version {known}");
        (self.report)(Damage { file: "manifest".into(), offset: 0, expected: expected.into(), found: found.into() });
        Ok(())
    }

    /// Restores a table from the newest of its files that have one.
    fn restore_file(&mut self, slot: usize, name: &str) -> Result<()> {
        let Some((schema_object, schema)) = self.find_schema(name)? else {
            let (expected, found) = (format!("table `{name}`").into(), "no schema: all of the table is lost".into());
            (self.report)(Damage { file: "schema".into(), offset: 0, expected, found });
            return Ok(());
        };
        let remains = self.remains;
        let mut parts = Vec::new();
        for file in newest_first(remains, ObjectKind::Records, name) {
            parts = match self.parts_of(file) {
                Ok(parts) => parts,
                Err(error) => {
                    (self.report)(as_damage(error)?);
                    continue;
                }
            };
            let table = NamedTable { name, slot, schema: &schema_object, parts: &parts };
            if !parts.is_empty() && self.restore_parts(&table, &schema, parts.len())? > 0 {
                return Ok(());
            }
            self.catalog.tables.remove(name);
        }
        self.restore_parts(&NamedTable { name, slot, schema: &schema_object, parts: &[] }, &schema, 0)?;
        let expected = format!("rows of table `{name}`");
        self.lost(parts.first().unwrap_or(&schema_object), expected, "none that can be read".into());
        Ok(())
    }

    /// The newest schema that can be read.
    fn find_schema(&mut self, name: &str) -> Result<Option<(Object, Schema)>> {
        let remains = self.remains;
        for file in newest_first(remains, ObjectKind::Schema, name) {
            let read = || {
                let object = remains.object_at(file, 0, None)?;
                let schema = read_schema(&mut *remains.open_object(&object)?, name, &object)?;
                Ok((object, schema))
            };
            match read() {
                Ok(found) => return Ok(Some(found)),
                Err(error) => (self.report)(as_damage(error)?),
            }
        }
        Ok(None)
    }

    /// The parts that a file has one behind the other. What stands behind the last of them is reported: it may have been one.
    fn parts_of(&mut self, file: &(ObjectKind, String, u64)) -> Result<Vec<Object>> {
        let whole = self.remains.object_at(file, 0, None)?;
        let mut reader = self.remains.open_object(&whole)?;
        let lengths = image::part_lengths(image_format(self.format), &mut |into| reader.read(into))?;
        let mut at = 0;
        let place = |length: u64| {
            at += length;
            self.remains.object_at(file, at - length, Some(length))
        };
        let parts = lengths.into_iter().map(place).collect();
        let left = whole.length().saturating_sub(at);
        if left > 0 {
            let (expected, found) =
                (format!("a part of table `{}`", file.1), format!("{left} bytes that are no whole one"));
            let file = whole.place().into();
            (self.report)(Damage { file, offset: at, expected: expected.into(), found: found.into() });
        }
        parts
    }
}

/// How the files of rows are written, by the first of them that says it. What cannot be read is reported when its rows are.
fn format_of_files(remains: &Remains) -> Format {
    let begin = |file| {
        let mut begin = [0; image::BEGIN_BYTES];
        let object = remains.object_at(file, 0, Some(begin.len() as u64))?;
        remains.open_object(&object)?.read(&mut begin).map(|_| begin)
    };
    let records = remains.objects().iter().filter(|file| file.0 == ObjectKind::Records);
    records.filter_map(|file| image::format_of(&begin(file).ok()?)).map(storage_format).next().unwrap_or_default()
}

/// A table's files of a kind, the newest first.
fn newest_first<'r>(
    remains: &'r Remains,
    kind: ObjectKind,
    name: &str,
) -> impl Iterator<Item = &'r (ObjectKind, String, u64)> {
    let mut files: Vec<_> = remains.objects().iter().filter(|file| file.0 == kind && file.1 == name).collect();
    files.sort_unstable_by_key(|file| std::cmp::Reverse(file.2));
    files.into_iter()
}
