//! What differs between two versions, found by walking both page trees side by side and skipping what they share.

use super::snapshot::Snapshot;
use crate::page::BlockRef;
use crate::table::definition::TableDef;
use crate::table::layout::page_ids;
use crate::table::reader::view_of;
use crate::table::row::Row;
use crate::table::row_page::{PageRef, RowRef};
use crate::table::spot::Spot;
use crate::table::view::TableView;
use crate::value::Columns;
use std::ops::ControlFlow;

/// One row that differs between two versions.
#[derive(Debug, Clone)]
pub enum Change<'a> {
    /// The row is in the later version only.
    Inserted {
        /// As it is there.
        new: Row<'a>,
    },
    /// The row is in both, with different values.
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
pub struct Diff<'a> {
    tables: Vec<(&'a str, Vec<Change<'a>>)>,
}

impl<'a> Diff<'a> {
    pub(super) fn between(earlier: &'a Snapshot, later: &'a Snapshot) -> Self {
        let mut tables = Vec::new();
        for (name, old) in &earlier.catalog.tables {
            // A table that was dropped and made again under its name is another table.
            let new = later.catalog.tables.get(name).filter(|new| new.def.table == old.def.table);
            let mut changes = Vec::new();
            let a = view_of(earlier.pinned.root(), old.slot, &old.def);
            match new {
                Some(new) => diff_rows(a, view_of(later.pinned.root(), new.slot, &new.def), &mut changes),
                None => all_rows(a, &mut |old| changes.push(Change::Deleted { old })),
            }
            if !changes.is_empty() {
                tables.push((&**name, changes));
            }
        }
        for (name, new) in &later.catalog.tables {
            if earlier.catalog.tables.get(name).is_none_or(|old| old.def.table != new.def.table) {
                let mut changes = Vec::new();
                let view = view_of(later.pinned.root(), new.slot, &new.def);
                all_rows(view, &mut |new| changes.push(Change::Inserted { new }));
                tables.push((&**name, changes));
            }
        }
        Self { tables }
    }

    /// How many rows differ.
    pub fn len(&self) -> usize {
        self.tables.iter().map(|(_, changes)| changes.len()).sum()
    }

    /// Whether both versions have the same rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The changes of one table, in the order of row ids.
    pub fn table(&self, name: &str) -> impl Iterator<Item = &Change<'a>> {
        self.tables.iter().filter(move |(table, _)| *table == name).flat_map(|(_, changes)| changes)
    }

    /// All changes, each with its table's name.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &Change<'a>)> {
        self.tables.iter().flat_map(|(name, changes)| changes.iter().map(move |change| (*name, change)))
    }
}

fn row<'a>(block: BlockRef<'a>, def: &'a TableDef, id: u64) -> Option<(RowRef<'a>, Row<'a>)> {
    let found = RowRef::find(block, &def.layout, id)?;
    Some((found, Row::borrowed(block, def, Spot::of(&found), id)))
}

fn diff_rows<'a>(a: TableView<'a>, b: TableView<'a>, changes: &mut Vec<Change<'a>>) {
    let mut visit = |number: u64, old: Option<BlockRef<'a>>, new: Option<BlockRef<'a>>| {
        let differing = match (old.map(PageRef::new), new.map(PageRef::new)) {
            // The same rows in both: whole columns are compared, and only those that differ value by value.
            (Some(old), Some(new)) if old.live() == new.live() => old.differing_rows(new, &a.def.layout),
            _ => u32::MAX,
        };
        for (_, id) in page_ids(number).enumerate().filter(|(index, _)| differing >> index & 1 == 1) {
            let old = old.and_then(|block| row(block, a.def, id));
            let new = new.and_then(|block| row(block, b.def, id));
            changes.extend(match (old, new) {
                (Some((x, old)), Some((y, new))) => {
                    let mut columns = 0..a.def.layout.columns().len();
                    let same = columns.all(|column| x.column_bytes(column) == y.column_bytes(column));
                    (!same).then_some(Change::Updated { old, new })
                }
                (Some((_, old)), None) => Some(Change::Deleted { old }),
                (None, Some((_, new))) => Some(Change::Inserted { new }),
                (None, None) => None,
            });
        }
        ControlFlow::<()>::Continue(())
    };
    let _ = a.rows().diff(b.rows(), &mut visit);
}

fn all_rows<'a>(view: TableView<'a>, visit: &mut dyn FnMut(Row<'a>)) {
    let _ = view.rows().scan(0, u64::MAX, |number, block| {
        for id in page_ids(number) {
            if let Some((_, row)) = row(block, view.def, id) {
                visit(row);
            }
        }
        ControlFlow::<()>::Continue(())
    });
}
