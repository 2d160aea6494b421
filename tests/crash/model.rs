//! What the database is to be: tables of rows in plain maps, and the edits that both go through.

use folio::{Column, Error, Index, Result, Schema, Transaction, TransactionTable, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Values of the columns that all tables have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) score: i64,
    pub(crate) note: Option<String>,
}

/// The tables that there may be. They have the same columns and differ in their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The key is the row id, given by the table.
    Numbered,
    /// By a text.
    Named,
    /// By two columns.
    Paired,
    /// No key.
    Bare,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::Numbered, Kind::Named, Kind::Paired, Kind::Bare];

impl Kind {
    /// The names are no names of files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Numbered => "Numbered",
            Kind::Named => "by/name",
            Kind::Paired => "two",
            Kind::Bare => "CON",
        }
    }

    pub(crate) fn schema(self) -> Schema {
        let builder = Schema::builder(self.name());
        let (id, name) = (Column::u64("id"), Column::string("name"));
        let (score, note) = (Column::i64("score"), Column::string("note").nullable());
        let builder = match self {
            Kind::Numbered => builder
                .column(id.primary_key().auto_increment())
                .column(name.unique())
                .column(score)
                .column(note)
                .index(Index::ordered(["score"])),
            Kind::Named => {
                builder.column(id).column(name.primary_key()).column(score).column(note).index(Index::hash(["score"]))
            }
            Kind::Paired => builder.column(id).column(name).column(score).column(note).primary_key(["score", "name"]),
            Kind::Bare => {
                builder.column(id).column(name).column(score).column(note).index(Index::ordered(["note", "score"]))
            }
        };
        builder.build().unwrap()
    }
}

/// Indexes that come and go, whatever the table is.
pub(crate) fn extra_index(number: u64) -> (&'static str, Index) {
    match number % 3 {
        0 => ("extra words", Index::ordered(["name", "score"]).named("extra words")),
        1 => ("extra hash", Index::hash(["note"]).named("extra hash")),
        _ => ("extra only", Index::ordered(["name", "id", "score"]).unique().named("extra only")),
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) kind: Kind,
    pub(crate) schema: Schema,
    /// The schema as it is stored.
    pub(crate) stored: Arc<str>,
    /// By row id.
    pub(crate) rows: BTreeMap<u64, Record>,
    /// Row ids below this were given.
    pub(crate) next: u64,
}

/// One version.
pub(crate) type State = BTreeMap<&'static str, Arc<Table>>;

#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// With an id for the column; none lets the table give one.
    Insert(Kind, Option<u64>, Record),
    /// Many at once, from this number on.
    Fill(Kind, u64, u64),
    /// By row id: what to set.
    Update(Kind, u64, Option<String>, i64, Option<String>),
    Replace(Kind, u64, i64),
    Delete(Kind, u64),
    DeleteBelow(Kind, i64),
    /// Two rows of [`Kind::Numbered`] exchange their unique names.
    Swap(u64, u64),
    Clear(Kind),
    Create(Kind),
    Drop(Kind),
    CreateIndex(Kind, u64),
    DropIndex(Kind, u64),
}

impl Table {
    pub(crate) fn new(kind: Kind) -> Self {
        let next = u64::from(kind == Kind::Numbered);
        Self { kind, rows: BTreeMap::new(), next, stored: "".into(), schema: kind.schema() }.with(kind.schema())
    }

    fn with(mut self, schema: Schema) -> Self {
        self.stored = serde_json::to_string(&schema).unwrap().into();
        self.schema = schema;
        self
    }

    pub(crate) fn key(&self, row_id: u64) -> Vec<Value> {
        let row = self.rows.get(&row_id);
        match (self.kind, row) {
            (Kind::Named, Some(row)) => vec![row.name.as_str().into()],
            (Kind::Paired, Some(row)) => vec![row.score.into(), row.name.as_str().into()],
            _ => vec![row_id.into()],
        }
    }

    fn is_taken(&self, but: Option<u64>, record: &Record) -> bool {
        let mut others = self.rows.iter().filter(|(id, _)| Some(**id) != but).map(|(_, row)| row);
        match self.kind {
            Kind::Numbered | Kind::Named => others.any(|row| row.name == record.name),
            Kind::Paired => others.any(|row| (row.score, &row.name) == (record.score, &record.name)),
            Kind::Bare => false,
        }
    }

    fn index_name(&self, number: u64) -> Option<&'static str> {
        let (name, _) = extra_index(number);
        self.schema.indexes().iter().any(|index| index.name() == name).then_some(name)
    }
}

fn tuple(record: &Record, id: Option<u64>) -> (Option<u64>, &str, i64, Option<&str>) {
    (id, &record.name, record.score, record.note.as_deref())
}

/// Does `edit` to both. An error has changed neither; those of the model's own making are expected.
pub(crate) fn apply(edit: &Edit, tx: &Transaction<'_>, state: &mut State) -> Result<()> {
    match edit {
        Edit::Create(kind) => {
            let made = tx.create_table(kind.schema());
            if state.contains_key(kind.name()) {
                return expect(made.map(drop), "exists already", |error| matches!(error, Error::TableExists { .. }));
            }
            made?;
            state.insert(kind.name(), Arc::new(Table::new(*kind)));
            Ok(())
        }
        Edit::Drop(kind) => {
            let dropped = tx.drop_table(kind.name());
            if !state.contains_key(kind.name()) {
                return expect(dropped, "is not there", |error| matches!(error, Error::NoSuchTable { .. }));
            }
            dropped?;
            state.remove(kind.name());
            Ok(())
        }
        Edit::CreateIndex(kind, number) => index(tx, state, *kind, |table| {
            let (name, index) = extra_index(*number);
            if table.index_name(*number).is_some() {
                let made = tx.create_index(kind.name(), index);
                expect(made, name, |error| matches!(error, Error::IndexExists { .. }))?;
                return Ok(None);
            }
            let schema = table.schema.with_index(index.clone())?;
            tx.create_index(kind.name(), index)?;
            Ok(Some(schema))
        }),
        Edit::DropIndex(kind, number) => index(tx, state, *kind, |table| {
            let Some(name) = table.index_name(*number) else { return Ok(None) };
            tx.drop_index(kind.name(), name)?;
            Ok(Some(table.schema.without_index(name)?))
        }),
        Edit::Insert(kind, ..)
        | Edit::Fill(kind, ..)
        | Edit::Update(kind, ..)
        | Edit::Replace(kind, ..)
        | Edit::Delete(kind, ..)
        | Edit::DeleteBelow(kind, ..)
        | Edit::Clear(kind) => rows(edit, tx, state, *kind),
        Edit::Swap(..) => rows(edit, tx, state, Kind::Numbered),
    }
}

/// An error that was to come is one of nothing done.
fn expect(answer: Result<()>, what: &str, is_expected: impl Fn(&Error) -> bool) -> Result<()> {
    match answer {
        Err(error) if is_expected(&error) => Err(Error::abort(what)),
        Err(error) => Err(error),
        Ok(()) => panic!("{what}, and it was done"),
    }
}

fn index(
    tx: &Transaction<'_>,
    state: &mut State,
    kind: Kind,
    change: impl FnOnce(&Table) -> Result<Option<Schema>>,
) -> Result<()> {
    let Some(table) = state.get_mut(kind.name()) else {
        return expect(tx.table(kind.name()).map(drop), "is not there", |error| {
            matches!(error, Error::NoSuchTable { .. })
        });
    };
    match change(table)? {
        Some(schema) => {
            *table = Arc::new(Table::clone(table).with(schema));
            Ok(())
        }
        None => Err(Error::abort("nothing to do")),
    }
}

fn rows(edit: &Edit, tx: &Transaction<'_>, state: &mut State, kind: Kind) -> Result<()> {
    let Some(model) = state.get_mut(kind.name()) else {
        return expect(tx.table(kind.name()).map(drop), "is not there", |error| {
            matches!(error, Error::NoSuchTable { .. })
        });
    };
    let table = tx.table(kind.name())?;
    let model = Arc::make_mut(model);
    let is_unique = |error: &Error| matches!(error, Error::Unique { .. });
    match edit {
        Edit::Insert(_, id, record) => insert(&table, model, *id, record),
        Edit::Fill(_, from, count) => {
            let records: Vec<Record> = (*from..from + count)
                .map(|number| Record { id: number, name: format!("f{number}"), score: number as i64, note: None })
                .collect();
            if records.iter().any(|record| model.is_taken(None, record)) {
                return Err(Error::abort("names are taken"));
            }
            let given = |record: &Record| (kind != Kind::Numbered).then_some(record.id);
            let first = table.len()? as usize;
            table.insert_many(records.iter().map(|record| tuple(record, given(record))))?;
            // The ids are those that follow.
            let ids: Vec<u64> = ids_of(&table)?.into_iter().filter(|id| !model.rows.contains_key(id)).collect();
            assert_eq!((ids.len(), first), (records.len(), model.rows.len()));
            for (row_id, mut record) in ids.into_iter().zip(records) {
                if kind == Kind::Numbered {
                    record.id = row_id;
                }
                model.next = model.next.max(row_id + 1);
                model.rows.insert(row_id, record);
            }
            Ok(())
        }
        Edit::Update(_, row_id, name, score, note) => {
            let Some(old) = model.rows.get(row_id) else { return Err(Error::abort("no such row")) };
            let new = Record {
                id: old.id,
                name: name.clone().unwrap_or_else(|| old.name.clone()),
                score: *score,
                note: note.clone().or_else(|| old.note.clone()),
            };
            let mut patch = serde_json::Map::new();
            patch.insert("score".into(), new.score.into());
            if name.is_some() {
                patch.insert("name".into(), new.name.clone().into());
            }
            if note.is_some() {
                patch.insert("note".into(), new.note.clone().into());
            }
            let updated = table.update(model.key(*row_id), &patch);
            if model.is_taken(Some(*row_id), &new) {
                return expect(updated, "name is taken", is_unique);
            }
            updated?;
            model.rows.insert(*row_id, new);
            Ok(())
        }
        Edit::Replace(_, row_id, id) => {
            let Some(old) = model.rows.get(row_id) else { return Err(Error::abort("no such row")) };
            let mut new = Record { note: None, ..old.clone() };
            match kind {
                Kind::Bare => return Err(Error::abort("no key")),
                Kind::Numbered => new.score = *id,
                _ => new.id = *id as u64,
            }
            table.upsert(&tuple(&new, Some(new.id)))?;
            model.rows.insert(*row_id, new);
            Ok(())
        }
        Edit::Delete(_, row_id) => {
            let is_there = model.rows.contains_key(row_id);
            if !is_there {
                return Err(Error::abort("no such row"));
            }
            assert!(table.delete(model.key(*row_id))?);
            model.rows.remove(row_id);
            Ok(())
        }
        Edit::DeleteBelow(_, score) => {
            let column = table.column::<i64>("score")?;
            let count = table.delete_where(column.lt(*score))?;
            let before = model.rows.len();
            model.rows.retain(|_, row| row.score >= *score);
            assert_eq!(count, (before - model.rows.len()) as u64);
            if count == 0 { Err(Error::abort("nothing to do")) } else { Ok(()) }
        }
        Edit::Swap(one, other) => {
            let (Some(first), Some(second)) = (model.rows.get(one).cloned(), model.rows.get(other).cloned()) else {
                return Err(Error::abort("no such rows"));
            };
            if one == other {
                return Err(Error::abort("no other row"));
            }
            let set = |id: u64, name: &str| table.update(id, &serde_json::json!({ "name": name }));
            set(*one, "aside")?;
            set(*other, &first.name)?;
            set(*one, &second.name)?;
            model.rows.insert(*one, Record { name: second.name, ..first.clone() });
            model.rows.insert(*other, Record { name: first.name, ..second });
            Ok(())
        }
        Edit::Clear(_) => {
            table.clear()?;
            model.rows.clear();
            Ok(())
        }
        Edit::Create(_) | Edit::Drop(_) | Edit::CreateIndex(..) | Edit::DropIndex(..) => Ok(()),
    }
}

fn insert(table: &TransactionTable<'_>, model: &mut Table, id: Option<u64>, record: &Record) -> Result<()> {
    let is_taken = model.is_taken(None, record) || id.is_some_and(|id| model.rows.contains_key(&id));
    let own = if model.kind == Kind::Numbered { id } else { Some(record.id) };
    let inserted = table.insert(&tuple(record, own));
    if is_taken {
        return expect(inserted.map(drop), "taken", |error| matches!(error, Error::Unique { .. }));
    }
    let row_id = inserted?;
    assert!(own.is_some() && model.kind == Kind::Numbered || row_id >= model.next, "{row_id} was given before");
    let mut record = record.clone();
    if model.kind == Kind::Numbered {
        record.id = row_id;
    }
    model.next = model.next.max(row_id + 1);
    model.rows.insert(row_id, record);
    Ok(())
}

fn ids_of(table: &TransactionTable<'_>) -> Result<Vec<u64>> {
    let mut ids: Vec<u64> = table.iter()?.map(|row| row.id()).collect();
    ids.sort_unstable();
    Ok(ids)
}
