//! What a transaction did, as the payload of a log batch, and its replay.
//!
//! [`encode`] compares the version that a write began with and the one that it made, so nothing is noted while the write
//! runs, but for which row a single operation was of; [`apply`] does to another database what the first became. Both sides agree on names, slots and row ids. What
//! belongs to a process (ids of definitions, hash seeds, closures of defaults and checks) is not in a payload.
//!
//! The records of a payload, in the order in which they stand:
//!
//! 1. tables dropped, then tables created: a new table may have the name or the slot of an old one;
//! 2. per table that changed: its definition without the indexes that were dropped; its rows; its definition with the
//!    indexes that were added. In between rows meet only those indexes that were there before and after, since others
//!    may refuse what the rows are on one side of them;
//! 3. within its rows: that all were removed; rows deleted, put and updated, in the order of their ids; the lowest id
//!    never given, where the rows do not say it.
//!
//! A row that changed is told whole: so what the log has is a row that was committed, whatever became of the checkpoint
//! before it. But a large value that it still has is not told again, and only what changed of the row is ("update"). Its
//! unique values are not among that, so that rows which swap such values can all be taken out before the first is stored.
//!
//! A payload is read as hostile: what would make a table that is none is refused, and no length in it is believed.

mod binary;
mod lines;
mod replay;
#[cfg(test)]
mod tests;

use super::catalog::Catalog;
use crate::error::Result;
use crate::page::BlockRef;
use crate::schema::{IndexDef, Schema};
use crate::storage::Format;
use crate::table::definition::TableDef;
use crate::table::diff::{diff_rows, is_same_value};
use crate::table::image::PartError;
use crate::table::layout::{INLINE_MAX, PAGE_SHIFT};
use crate::table::row_page::{PageRef, RowRef};
use crate::table::version::Entry;
use crate::table::view::TableView;
use crate::value::{Columns, RowBuf};

pub(crate) use replay::{Bases, apply};

/// What is wrong with a payload: told as of an image of a table.
pub(crate) type RedoError = PartError;

/// A version of a database.
#[derive(Clone, Copy)]
pub(crate) struct Version<'a> {
    pub(crate) root: BlockRef<'a>,
    pub(crate) catalog: &'a Catalog,
}

/// Where records go.
trait Sink {
    fn drop_table(&mut self, name: &str);
    fn create_table(&mut self, slot: usize, schema: &Schema) -> Result<()>;
    fn alter_table(&mut self, schema: &Schema) -> Result<()>;
    /// The records up to [`Sink::end_rows`] are of this table. Without any between them, nothing is written.
    fn begin_rows(&mut self, slot: usize, def: &TableDef);
    fn clear(&mut self);
    fn delete(&mut self, id: u64);
    fn put(&mut self, def: &TableDef, row: &RowRef<'_>) -> Result<()>;
    /// What of a row changed.
    fn update(&mut self, def: &TableDef, old: &RowRef<'_>, new: &RowRef<'_>) -> Result<()>;
    fn next_id(&mut self, next_id: u64);
    fn end_rows(&mut self);
}

/// Appends what makes `new`, the private version of the running write, of `old`, the version that it began with. Nothing
/// if they are the same. Cost: O(tables), and O(log n) per page that changed.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory); `out` then ends in a part of a payload.
pub(crate) fn encode(old: Version<'_>, new: Version<'_>, format: Format, out: &mut Vec<u8>) -> Result<()> {
    match format {
        Format::Binary => write(old, new, &mut binary::Writer::new(out)),
        Format::JsonLines => write(old, new, &mut lines::Writer::new(out)),
    }
}

/// The same for two roots that are known to differ in the rows of one table alone, by its slot and definition; and in
/// one row at most, where `row` names it, whose page is the same one if the row is. Cost: O(log n) per page that changed.
pub(crate) fn encode_table(
    roots: (BlockRef<'_>, BlockRef<'_>),
    table: (usize, &TableDef),
    row: Option<u64>,
    format: Format,
    out: &mut Vec<u8>,
) -> Result<()> {
    match format {
        Format::Binary => write_table(roots, table, row, &mut binary::Writer::new(out)),
        Format::JsonLines => write_table(roots, table, row, &mut lines::Writer::new(out)),
    }
}

/// The same for the insertion of the row `id`, which is no lower than any id given before, in [`Format::Binary`]: without a
/// look at the versions. Cost: O(row).
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory); `out` then ends in a part of a payload.
#[inline]
pub(crate) fn encode_insert(table: (usize, &TableDef), id: u64, row: &RowBuf, out: &mut Vec<u8>) -> Result<()> {
    let (slot, def) = table;
    let mut writer = binary::Writer::new(out);
    writer.begin_rows(slot, def);
    writer.put_new(def, id, row)
}

fn write_table(
    (old, new): (BlockRef<'_>, BlockRef<'_>),
    (slot, def): (usize, &TableDef),
    row: Option<u64>,
    sink: &mut impl Sink,
) -> Result<()> {
    let began = old.birth();
    let (old, new) = (TableView::new(old, slot, def), TableView::new(new, slot, def));
    match row {
        Some(id) if !is_cleared(old, new) => write_row(old, new, slot, (id, began), sink),
        _ => write_rows(old, new, slot, sink),
    }
}

/// The one row `id`, between versions of which the older was made under the stamp `began`.
fn write_row(
    old: TableView<'_>,
    new: TableView<'_>,
    slot: usize,
    (id, began): (u64, u64),
    sink: &mut impl Sink,
) -> Result<()> {
    let def = new.def;
    let mut next_id = old.next_id();
    sink.begin_rows(slot, def);
    match new.row(id) {
        // A page that the older version has too.
        Some(row) if row.page().block().birth() <= began => {}
        Some(row) => {
            next_id = next_id.max(id.saturating_add(1));
            put_row(def, || old.row(id), &row, sink)?;
        }
        None if old.row(id).is_some() => sink.delete(id),
        None => {}
    }
    if next_id != new.next_id() {
        sink.next_id(new.next_id());
    }
    sink.end_rows();
    Ok(())
}

fn write(old: Version<'_>, new: Version<'_>, sink: &mut impl Sink) -> Result<()> {
    // Most writes change no definition: they have the same catalogue, not one like it.
    if !std::ptr::eq(old.catalog, new.catalog) {
        write_tables(old.catalog, new.catalog, sink)?;
    }
    for (before, now) in old.catalog.beside(new.catalog) {
        let Some(listed) = now else { continue };
        let Some(before) = before else {
            write_rows(empty(&listed.def), TableView::new(new.root, listed.slot, &listed.def), listed.slot, sink)?;
            continue;
        };
        let reduced =
            (before.def.id != listed.def.id).then(|| reduce(&before.def.schema, &listed.def.schema)).transpose()?;
        if let Some(reduced) = &reduced
            && reduced.indexes().len() < before.def.schema.indexes().len()
        {
            sink.alter_table(reduced)?;
        }
        let old_rows = TableView::new(old.root, listed.slot, &before.def);
        write_rows(old_rows, TableView::new(new.root, listed.slot, &listed.def), listed.slot, sink)?;
        if let Some(reduced) = &reduced
            && reduced.indexes().len() < listed.def.schema.indexes().len()
        {
            sink.alter_table(&listed.def.schema)?;
        }
    }
    Ok(())
}

fn write_tables(old: &Catalog, new: &Catalog, sink: &mut impl Sink) -> Result<()> {
    for (before, now) in old.beside(new) {
        if let (Some(dropped), None) = (before, now) {
            sink.drop_table(dropped.def.name());
        }
    }
    for (before, now) in old.beside(new) {
        if let (None, Some(created)) = (before, now) {
            sink.create_table(created.slot, &created.def.schema)?;
        }
    }
    Ok(())
}

/// The table as it is made.
fn empty(def: &TableDef) -> TableView<'_> {
    TableView::from_parts(def, Entry { def: def.id, next_id: def.first_id(), ..Entry::default() }, None, None)
}

fn write_rows<'a>(old: TableView<'a>, new: TableView<'a>, slot: usize, sink: &mut impl Sink) -> Result<()> {
    let mut next_id = old.next_id();
    if next_id == new.next_id() && old.len() == new.len() && old.rows().is_same(new.rows()) {
        return Ok(());
    }
    let def = new.def;
    sink.begin_rows(slot, def);
    let is_cleared = is_cleared(old, new);
    if is_cleared {
        sink.clear();
    }
    let mut result = Ok(());
    diff_rows(if is_cleared { empty(old.def) } else { old }, new, &mut |old, new| match (old, new) {
        (old, Some(row)) if result.is_ok() => {
            next_id = next_id.max(row.id().saturating_add(1));
            result = put_row(def, || old, &row, sink);
        }
        (Some(row), None) => sink.delete(row.id()),
        _ => {}
    });
    result?;
    if next_id != new.next_id() {
        sink.next_id(new.next_id());
    }
    sink.end_rows();
    Ok(())
}

/// Tells a row that changed; `old` is what it was, and asked for only where that may matter.
#[inline]
fn put_row<'a>(
    def: &TableDef,
    old: impl FnOnce() -> Option<RowRef<'a>>,
    row: &RowRef<'_>,
    sink: &mut impl Sink,
) -> Result<()> {
    if row.page().has_large()
        && let Some(old) = old()
        && is_update(def, &old, row)
    {
        return sink.update(def, &old, row);
    }
    sink.put(def, row)
}

/// Whether the row still has a large value, and all of its unique ones.
#[cold]
fn is_update(def: &TableDef, old: &RowRef<'_>, new: &RowRef<'_>) -> bool {
    let is_same = |column: usize| is_same_value(old.column_bytes(column), new.column_bytes(column));
    let is_large = |column: usize| new.column_bytes(column).is_some_and(|value| value.len() > INLINE_MAX);
    let mut unique = def.indexes.iter().filter(|plan| plan.unique).flat_map(|plan| &*plan.columns);
    (0..def.layout.columns().len()).any(|column| is_large(column) && is_same(column))
        && unique.all(|column| is_same(*column))
}

/// Whether all old rows are gone and all rows there are have new ids. Said in one record, and found without a look at
/// the old rows: a million of them may be gone by a `clear` that cost nothing. No other write has as many rows as it has
/// given ids, so that most are done with after a comparison.
fn is_cleared(old: TableView<'_>, new: TableView<'_>) -> bool {
    if old.len() == 0 || new.len() > new.next_id().saturating_sub(old.next_id()) {
        return false;
    }
    let first_id = |(number, block)| number << PAGE_SHIFT | u64::from(PageRef::new(block).live().trailing_zeros());
    new.rows().at_or_after(0).map(first_id).is_none_or(|first| first >= old.next_id())
}

/// Which indexes of `old` became others of `new`: those of unique columns, which come first and whose names may change with
/// those of others; then as many of `new`'s as stand in `old` in the same order. Indexes that are made anew come behind,
/// whatever they are called.
fn kept_indexes<'a>(old: &'a Schema, new: &Schema) -> Vec<&'a IndexDef> {
    let is_same = |a: &IndexDef, b: &IndexDef| {
        (a.name(), a.kind(), a.columns(), a.is_unique()) == (b.name(), b.kind(), b.columns(), b.is_unique())
    };
    let own = new.columns().iter().filter(|column| column.is_unique()).count();
    let (owned, others) = old.indexes().split_at_checked(own).unwrap_or_default();
    let mut candidates = others.iter();
    let kept = new.indexes().iter().skip(own).map_while(|index| candidates.find(|old| is_same(old, index)));
    owned.iter().chain(kept).collect()
}

/// `old` without the indexes that `new` has not kept. None of the user's closures is run for it: what they answer here, on
/// the thread that writes the log, is nobody's business, and where they ask the database it would wait for itself.
fn reduce(old: &Schema, new: &Schema) -> Result<Schema> {
    let kept = kept_indexes(old, new);
    let dropped = old.indexes().iter().filter(|index| !kept.iter().any(|kept| kept.name() == index.name()));
    dropped.map(IndexDef::name).try_fold(old.without_closures()?, |schema, name| schema.without_index(name))
}
