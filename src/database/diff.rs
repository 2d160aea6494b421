//! What differs between two versions, found by walking both page trees side by side and skipping what they share.

use super::snapshot::Snapshot;
use crate::error::{Error, Result};
use crate::table::definition::TableDef;
use crate::table::diff::diff_rows;
use crate::table::layout::page_ids;
use crate::table::reader::view_of;
use crate::table::row::Row;
use crate::table::row_page::RowRef;
use crate::table::spot::Spot;
use crate::table::view::TableView;
use std::ops::ControlFlow;

/// One row that differs between two versions.
#[derive(Debug, Clone)]
pub enum Change<'a> {
    /// The row is in the later version only.
    Inserted {
        /// As it is there.
        new: Row<'a>,
    },
    /// The row is in both, with different bytes: a zero of another sign or a document written in another way is a change.
    Updated {
        /// As it was.
        old: Row<'a>,
        /// As it is.
        new: Row<'a>,
    },
    /// The row is in the earlier version only.
    Deleted {
        /// As it was.
        old: Row<'a>,
    },
}

/// The rows that differ between two snapshots; see [`Snapshot::diff`].
///
/// Rows are told apart by their ids, which stay while a key that is not the id changes. So a key or a unique value may have
/// gone from one row to another, and what brings a copy up to date is first to delete every old row, and then to insert
/// every new one:
///
/// ```
/// use folio::{Change, Column, Database, Schema};
///
/// let schema = Schema::builder("cities").column(Column::string("name").primary_key()).column(Column::u32("people")).build()?;
/// let (db, copy) = (Database::in_memory(), Database::in_memory());
/// let (cities, copied) = (db.create_table(schema.clone())?, copy.create_table(schema)?);
/// for table in [&cities, &copied] {
///     table.insert_many([("Aachen", 250_000), ("Bonn", 330_000)])?;
/// }
/// let before = db.snapshot();
/// // Both get the key of the other.
/// let name = cities.column::<str>("name")?;
/// cities.modify_where(name.ge(""), |row| {
///     let other = if row.get(name) == "Bonn" { "Aachen" } else { "Bonn" };
///     row.set(name, other)
/// })?;
/// let after = db.snapshot();
///
/// let diff = before.diff(&after)?;
/// copy.transaction(|tx| {
///     let copied = tx.table("cities")?;
///     for change in diff.table("cities")? {
///         if let Change::Deleted { old } | Change::Updated { old, .. } = change {
///             copied.delete(old.get(name))?;
///         }
///     }
///     for change in diff.table("cities")? {
///         if let Change::Inserted { new } | Change::Updated { new, .. } = change {
///             copied.insert(new)?;
///         }
///     }
///     Ok(())
/// })?;
/// assert_eq!(copied.get("Aachen")?.unwrap().decode::<(String, u32)>()?, ("Aachen".to_owned(), 330_000));
/// assert_eq!(copied.len()?, 2);
/// # Ok::<(), folio::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a difference is for reading"]
pub struct Diff<'a> {
    earlier: &'a Snapshot,
    later: &'a Snapshot,
    tables: Vec<(&'a str, Vec<Change<'a>>)>,
}

impl<'a> Diff<'a> {
    pub(super) fn between(earlier: &'a Snapshot, later: &'a Snapshot) -> Self {
        let mut tables = Vec::new();
        for (old, new) in earlier.catalog.beside(&later.catalog) {
            let Some(old) = old else { continue };
            let mut changes = Vec::new();
            let a = view_of(earlier.pinned.root(), old.slot, &old.def);
            match new {
                Some(new) => changed_rows(a, view_of(later.pinned.root(), new.slot, &new.def), &mut changes),
                None => all_rows(a, &mut |old| changes.push(Change::Deleted { old })),
            }
            if !changes.is_empty() {
                tables.push((old.def.name(), changes));
            }
        }
        for (old, new) in earlier.catalog.beside(&later.catalog) {
            if let (None, Some(new)) = (old, new) {
                let mut changes = Vec::new();
                let view = view_of(later.pinned.root(), new.slot, &new.def);
                all_rows(view, &mut |new| changes.push(Change::Inserted { new }));
                tables.push((new.def.name(), changes));
            }
        }
        Self { earlier, later, tables }
    }

    /// How many rows differ.
    pub fn len(&self) -> usize {
        self.tables.iter().map(|(_, changes)| changes.len()).sum()
    }

    /// Whether both versions have the same rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The changes of one table, in the order of row ids; of one that was dropped and made anew under its name first all
    /// deletions, then all insertions.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`](crate::Error::NoSuchTable) if neither version has it.
    pub fn table(&self, name: &str) -> Result<impl Iterator<Item = &Change<'a>>> {
        let (earlier, later) = (self.earlier.catalog.find(name), self.later.catalog.find(name));
        if let (Err(unlike), Err(error)) = (earlier, later) {
            // What was probably meant may be a table that only the earlier version has.
            let has_similar = matches!(&error, Error::NoSuchTable { similar: Some(_), .. });
            return Err(if has_similar { error } else { unlike });
        }
        Ok(self.tables.iter().filter(move |(table, _)| *table == name).flat_map(|(_, changes)| changes))
    }

    /// All changes, each with its table's name.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &Change<'a>)> {
        self.tables.iter().flat_map(|(name, changes)| changes.iter().map(move |change| (*name, change)))
    }
}

fn row<'a>(def: &'a TableDef, found: &RowRef<'a>) -> Row<'a> {
    Row::borrowed(found.page().block(), def, Spot::of(found), found.id())
}

fn changed_rows<'a>(a: TableView<'a>, b: TableView<'a>, changes: &mut Vec<Change<'a>>) {
    diff_rows(a, b, &mut |old, new| {
        changes.extend(match (old, new) {
            (Some(old), Some(new)) => Some(Change::Updated { old: row(a.def, &old), new: row(b.def, &new) }),
            (Some(old), None) => Some(Change::Deleted { old: row(a.def, &old) }),
            (None, Some(new)) => Some(Change::Inserted { new: row(b.def, &new) }),
            (None, None) => None,
        });
    });
}

fn all_rows<'a>(view: TableView<'a>, visit: &mut dyn FnMut(Row<'a>)) {
    let _ = view.rows().scan(0, u64::MAX, |number, block| {
        for id in page_ids(number) {
            if let Some(found) = RowRef::find(block, &view.def.layout, id) {
                visit(row(view.def, &found));
            }
        }
        ControlFlow::<()>::Continue(())
    });
}
