//! Doing again what records say.

use super::{RedoError, binary, kept_indexes, lines};
use crate::error::{Error, Result};
use crate::schema::{Index, Schema};
use crate::storage::Format;
use crate::table::change::TableMut;
use crate::table::definition::TableDef;
use crate::table::image::{mismatch, read_changes, read_row};
use crate::table::state::TableState;
use crate::table::version::{Entry, TABLES_MAX};
use crate::transaction::tx::Transaction;
use crate::value::{RowBuf, excerpt};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How a record names the table whose rows it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TableKey {
    Slot(usize),
    Name(Box<str>),
}

/// See the module above.
pub(super) enum Record<'a> {
    Drop { name: Box<str> },
    Create { slot: usize, schema: &'a str },
    Alter { schema: &'a str },
    Change { table: TableKey, change: Change<'a> },
}

/// What became of a table's rows.
pub(super) enum Change<'a> {
    Clear,
    Delete(u64),
    Put(u64, StoredRow<'a>),
    Update(u64, StoredRow<'a>),
    NextId(u64),
}

/// A row, or what of it changed, as it stands in a record.
pub(super) enum StoredRow<'a> {
    Packed(&'a [u8]),
    Json(&'a RawValue),
}

/// Records one after the other, each with its place in the payload. A clone goes on from the same place.
pub(super) trait Records<'a>: Clone {
    fn next(&mut self) -> Result<Option<(u64, Record<'a>)>, RedoError>;
}

/// On what payloads are applied.
#[derive(Debug, Default)]
pub(crate) struct Bases {
    older: Vec<Older>,
}

/// A table that is older than what the first payload was made from. Of its rows those are changed that a payload has told
/// whole since; what changed of the others is passed over: it would make rows that nobody has ever committed.
#[derive(Debug)]
struct Older {
    slot: usize,
    told: BTreeSet<u64>,
}

impl Bases {
    /// Notes that the table in this slot is older.
    pub(crate) fn note_older(&mut self, slot: usize) {
        self.older.push(Older { slot, told: BTreeSet::new() });
    }

    fn older_at(&mut self, slot: usize) -> Option<&mut Older> {
        self.older.iter_mut().find(|older| older.slot == slot)
    }

    /// Notes that the table in this slot is what the payloads say.
    fn forget(&mut self, slot: usize) {
        self.older.retain(|older| older.slot != slot);
    }
}

/// Does what the payload says, in the running write. Payloads are applied once, in the order of their versions, to what
/// they were made from, but as `bases` says. After an error the write must be rolled back.
///
/// # Errors
/// The payload is none, or not of this database; [`Error::OutOfMemory`].
pub(crate) fn apply(tx: &Transaction<'_>, format: Format, payload: &[u8], bases: &mut Bases) -> Result<(), RedoError> {
    match format {
        Format::Binary => replay(tx, binary::Reader::new(payload), bases),
        Format::JsonLines => replay(tx, lines::Reader::new(payload), bases),
    }
}

fn replay<'a>(tx: &Transaction<'_>, mut records: impl Records<'a>, bases: &mut Bases) -> Result<(), RedoError> {
    loop {
        let start = records.clone();
        let Some((at, record)) = records.next()? else { return Ok(()) };
        match record {
            Record::Drop { name } => tx.drop_table(&name).map_err(|error| refuse(at, error))?,
            Record::Create { slot, schema } => {
                create(tx, at, slot, schema)?;
                bases.forget(slot);
            }
            Record::Alter { schema } => alter(tx, at, schema)?,
            Record::Change { table, change } => {
                let (slot, state) = find(tx, at, &table)?;
                if matches!(change, Change::Clear) {
                    bases.forget(slot);
                }
                let older = bases.older_at(slot);
                let changed = tx.change_table(slot, &state, |rows| {
                    // What the payload is to blame for does not fail the write by itself.
                    match change_rows(rows, start, &table, older) {
                        Err(RedoError::Other(error)) => Err(error),
                        answer => Ok(answer),
                    }
                });
                records = changed.map_err(RedoError::Other)??;
            }
        }
    }
}

/// What a change of a table refused: the payload's fault, unless it can have none.
#[cold]
fn refuse(at: u64, error: Error) -> RedoError {
    match error {
        Error::OutOfMemory { .. } | Error::TransactionFailed | Error::Reentrant => RedoError::Other(error),
        error => mismatch(at, "a change that the database takes", error.to_string()),
    }
}

fn find(tx: &Transaction<'_>, at: u64, table: &TableKey) -> Result<(usize, Arc<TableState>), RedoError> {
    let found = tx.with_catalog(|catalog| match table {
        TableKey::Slot(slot) => catalog.tables.values().find(|listed| listed.slot == *slot).cloned(),
        TableKey::Name(name) => catalog.tables.get(name).cloned(),
    });
    found.map(|listed| (listed.slot, tx.state_of(&listed.def))).ok_or_else(|| match table {
        TableKey::Slot(slot) => mismatch(at, "a slot with a table", slot.to_string()),
        TableKey::Name(name) => mismatch(at, "the name of a table", format!("`{}`", excerpt(name))),
    })
}

fn parse_schema(at: u64, text: &str) -> Result<Schema, RedoError> {
    serde_json::from_str(text).map_err(|error| mismatch(at, "a schema", excerpt(&error.to_string())))
}

fn create(tx: &Transaction<'_>, at: u64, slot: usize, schema: &str) -> Result<(), RedoError> {
    let schema = parse_schema(at, schema)?;
    let is_free = slot < TABLES_MAX && Entry::read(tx.view()?.root().bytes(), slot).def == 0;
    if !is_free {
        return Err(mismatch(at, format!("a free slot below {TABLES_MAX}"), slot.to_string()));
    }
    tx.create_table_at(schema, slot).map_err(|error| refuse(at, error))
}

/// Gives a table the indexes of a schema, which must be the table's in all else. Its own schema is changed step by step
/// and not replaced: that keeps the closures of its checks and defaults.
fn alter(tx: &Transaction<'_>, at: u64, schema: &str) -> Result<(), RedoError> {
    let schema = parse_schema(at, schema)?;
    let name = schema.name();
    let old = find(tx, at, &TableKey::Name(name.into()))?.1.def.schema.clone();
    let kept = kept_indexes(&old, &schema);
    let dropped = old.indexes().iter().filter(|index| !kept.iter().any(|kept| kept.name() == index.name()));
    let dropped = dropped.map(|index| index.name());
    dropped.into_iter().try_for_each(|index| tx.drop_index(name, index)).map_err(|error| refuse(at, error))?;
    for added in schema.indexes().iter().skip(kept.len()) {
        let columns = added.columns().iter().filter_map(|column| schema.columns().get(*column));
        let index = Index::new(added.kind(), columns.map(|column| column.name())).named(added.name());
        let index = if added.is_unique() { index.unique() } else { index };
        tx.create_index(name, index).map_err(|error| refuse(at, error))?;
    }
    let (_, made) = find(tx, at, &TableKey::Name(name.into()))?;
    if made.def.schema.difference(&schema).is_some() {
        return Err(mismatch(at, format!("a schema of the table `{name}` with other indexes"), "another"));
    }
    Ok(())
}

/// The next change of the same table, if that is what comes next.
fn next_change<'a, R: Records<'a>>(records: &mut R, table: &TableKey) -> Result<Option<(u64, Change<'a>)>, RedoError> {
    let mut ahead = records.clone();
    match ahead.next()? {
        Some((at, Record::Change { table: found, change })) if found == *table => {
            *records = ahead;
            Ok(Some((at, change)))
        }
        _ => Ok(None),
    }
}

/// Makes the changes of one table that follow one another, and answers what comes behind them.
///
/// Rows may have swapped unique values: if there are any, the old versions of all rows that are deleted or put are gone
/// before the first is stored. How many rows there are is looked at in the end: of a table that was full, a low id may be
/// put before the high one that made room for it is deleted.
fn change_rows<'a, R: Records<'a>>(
    table: &mut TableMut<'_, '_>,
    mut records: R,
    key: &TableKey,
    mut older: Option<&mut Older>,
) -> Result<R, RedoError> {
    let removes_first = table.def.indexes.iter().any(|plan| plan.unique) && is_several(records.clone(), key)?;
    if removes_first {
        remove_old(table, records.clone(), key)?;
    }
    let (mut row, mut packed) = (RowBuf::new(), Vec::new());
    let (mut order, mut end) = (Order::default(), 0);
    while let Some((at, change)) = next_change(&mut records, key)? {
        order.pass(at, &change)?;
        end = at;
        match change {
            Change::Clear | Change::Delete(_) if removes_first => {}
            Change::Clear => table.clear()?,
            Change::Delete(id) => remove(table, at, id)?,
            Change::Put(id, stored) => {
                stored.read(table.def, at, id, &mut row, &mut packed)?;
                table.put(id, &mut row).map_err(|error| refuse(at, error))?;
                if let Some(older) = &mut older {
                    older.told.insert(id);
                }
            }
            Change::Update(id, _) if older.as_ref().is_some_and(|older| !older.told.contains(&id)) => {}
            Change::Update(id, stored) => {
                stored.read_changes(table.def, at, &mut row, &mut packed)?;
                if !table.patch(id, &mut row).map_err(|error| refuse(at, error))? {
                    return Err(mismatch(at, "the id of a row", id.to_string()));
                }
            }
            Change::NextId(next_id) if next_id <= table.entry.next_id => {
                let found = next_id.to_string();
                return Err(mismatch(at, format!("a next id above {}", table.entry.next_id), found));
            }
            Change::NextId(next_id) => table.raise_next_id(next_id),
        }
    }
    table.check_room(0).map_err(|error| refuse(end, error))?;
    Ok(records)
}

/// Whether more than one row changes.
fn is_several<'a>(mut records: impl Records<'a>, key: &TableKey) -> Result<bool, RedoError> {
    next_change(&mut records, key)?;
    Ok(next_change(&mut records, key)?.is_some_and(|(_, change)| !matches!(change, Change::NextId(_))))
}

fn remove_old<'a>(
    table: &mut TableMut<'_, '_>,
    mut records: impl Records<'a>,
    key: &TableKey,
) -> Result<(), RedoError> {
    let mut order = Order::default();
    while let Some((at, change)) = next_change(&mut records, key)? {
        order.pass(at, &change)?;
        match change {
            Change::Clear => table.clear()?,
            Change::Delete(id) => remove(table, at, id)?,
            Change::Put(id, _) => drop(table.remove(id)?),
            // What is unique stays as it is.
            Change::Update(..) | Change::NextId(_) => {}
        }
    }
    Ok(())
}

fn remove(table: &mut TableMut<'_, '_>, at: u64, id: u64) -> Result<(), RedoError> {
    match table.remove(id)? {
        true => Ok(()),
        false => Err(mismatch(at, "the id of a row", id.to_string())),
    }
}

/// How far the changes of a table have come.
#[derive(Default)]
struct Order {
    is_begun: bool,
    is_ended: bool,
    last: Option<u64>,
}

impl Order {
    /// Refuses a change that does not come at this place.
    fn pass(&mut self, at: u64, change: &Change<'_>) -> Result<(), RedoError> {
        let fits = match change {
            Change::Clear => !self.is_begun,
            Change::Delete(id) | Change::Put(id, _) | Change::Update(id, _) => {
                let rises = self.last.is_none_or(|last| last < *id);
                self.last = Some(*id);
                rises && !self.is_ended
            }
            Change::NextId(_) => !std::mem::replace(&mut self.is_ended, true),
        };
        self.is_begun = true;
        match fits {
            true => Ok(()),
            false => Err(mismatch(at, "a clear, then rows in the order of their ids, then a next id", "another order")),
        }
    }
}

impl StoredRow<'_> {
    fn read(&self, def: &TableDef, at: u64, id: u64, row: &mut RowBuf, packed: &mut Vec<u8>) -> Result<(), RedoError> {
        match self {
            StoredRow::Packed(bytes) => binary::read_row(def, at, id, bytes, row),
            StoredRow::Json(fields) => read_row(def, id, fields, row, packed).map_err(|error| error.at(at)),
        }
    }

    fn read_changes(&self, def: &TableDef, at: u64, row: &mut RowBuf, packed: &mut Vec<u8>) -> Result<(), RedoError> {
        match self {
            StoredRow::Packed(bytes) => binary::read_changes(def, at, bytes, row),
            StoredRow::Json(fields) => read_changes(def, fields, row, packed).map_err(|error| error.at(at)),
        }
    }
}
