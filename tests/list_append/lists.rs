//! Lists in a database: as the text of one row, short or too long for a page, and as a range of rows, one an element.

use crate::history::{Element, Key};
use folio::{
    Column, Database, Index, Result, Row, Schema, Snapshot, SnapshotTable, Table, Transaction, TransactionTable,
};
use serde_json::json;

/// How a list is kept, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// In a row found by its primary key.
    Short,
    /// In a row found by a unique column, in a value that is soon a block of its own.
    Long,
    /// As rows behind an ordered index, found by a predicate.
    Ordered,
    /// As rows behind a hash index.
    Hashed,
}

pub(crate) const FORMS: u64 = 4;

impl Form {
    pub(crate) fn of(key: Key) -> Form {
        [Form::Short, Form::Long, Form::Ordered, Form::Hashed][(key % FORMS) as usize]
    }

    pub(crate) fn table(self) -> &'static str {
        match self {
            Form::Short => "short",
            Form::Long => "long",
            Form::Ordered => "ordered",
            Form::Hashed => "hashed",
        }
    }

    /// Bytes of an element in a list of one row.
    fn width(self) -> usize {
        if self == Form::Long { 64 } else { 8 }
    }

    fn schema(self) -> Schema {
        let schema = Schema::builder(self.table());
        match self {
            Form::Short => schema.column(Column::u64("list").primary_key()).column(Column::string("elements")),
            Form::Long => schema.column(Column::u64("list").unique()).column(Column::string("elements")),
            Form::Ordered | Form::Hashed => {
                let index = if self == Form::Ordered { Index::ordered(["list"]) } else { Index::hash(["list"]) };
                schema.column(Column::u64("list")).column(Column::u64("element")).index(index)
            }
        }
        .build()
        .unwrap()
    }
}

/// A database with a table for each form.
pub(crate) fn database() -> Database {
    let db = Database::in_memory();
    for form in [Form::Short, Form::Long, Form::Ordered, Form::Hashed] {
        db.create_table(form.schema()).unwrap();
    }
    db
}

fn elements_of(text: &str) -> Vec<Element> {
    text.split_whitespace().map(|element| element.parse().unwrap()).collect()
}

/// Tables from which a list is read, in one of several ways.
trait Lists {
    fn list(&self, key: Key, way: u64) -> Result<Vec<Element>>;
}

macro_rules! lists {
    ($($table:ty),*) => {$(
        impl Lists for $table {
            fn list(&self, key: Key, way: u64) -> Result<Vec<Element>> {
                let list = self.column::<u64>("list")?;
                let form = Form::of(key);
                if form == Form::Short || form == Form::Long {
                    let elements = self.column::<str>("elements")?;
                    let text = match way % 4 {
                        0 if form == Form::Short => self.get_with(key, |row| row.get(elements).to_owned())?,
                        0 | 1 => self.find("list", key)?.map(|row| row.get(elements).to_owned()),
                        2 => self.select().filter(list.eq(key)).pick(elements)?.pop(),
                        _ => self.iter()?.find(|row| row.get(list) == key).map(|row| row.get(elements).to_owned()),
                    };
                    return Ok(text.as_deref().map(elements_of).unwrap_or_default());
                }
                let element = self.column::<u64>("element")?;
                let found = |row: &Row<'_>| (row.id(), row.get(element));
                let mut rows = match way % 4 {
                    0 => self.select().filter(list.eq(key)).map(found)?,
                    1 => self.select().filter(list.between(key..=key)).order_by(element.desc()).map(found)?,
                    2 => self.select().filter(move |row: &Row<'_>| row.get(list) == key).map(found)?,
                    _ => self.iter()?.filter(|row| row.get(list) == key).map(|row| found(&row)).collect(),
                };
                rows.sort_unstable();
                Ok(rows.into_iter().map(|(_, element)| element).collect())
            }
        }
    )*};
}

lists!(Table, SnapshotTable, TransactionTable<'_>);

pub(crate) fn read_live(db: &Database, key: Key, way: u64) -> Vec<Element> {
    db.table(Form::of(key).table()).unwrap().list(key, way).unwrap()
}

pub(crate) fn read_snapshot(snapshot: &Snapshot, key: Key, way: u64) -> Vec<Element> {
    snapshot.table(Form::of(key).table()).unwrap().list(key, way).unwrap()
}

pub(crate) fn read(tx: &Transaction<'_>, key: Key, way: u64) -> Vec<Element> {
    tx.table(Form::of(key).table()).unwrap().list(key, way).unwrap()
}

/// Appends to the list, in one of several ways.
pub(crate) fn append(tx: &Transaction<'_>, key: Key, element: Element, way: u64) -> Result<()> {
    let form = Form::of(key);
    let table = tx.table(form.table())?;
    if form == Form::Ordered || form == Form::Hashed {
        return match way % 2 {
            0 => table.insert(&(key, element)).map(drop),
            _ => table.insert_many([(key, element)]).map(drop),
        };
    }
    let more = format!("{element:>width$}", width = form.width());
    let elements = table.column::<str>("elements")?;
    let found = table.find("list", key)?.map(|row| (row.id(), row.get(elements).to_owned() + &more));
    let Some((id, text)) = found else { return table.insert(&(key, more)).map(drop) };
    match (way % 4, form) {
        (0, Form::Short) => table.modify(key, |row| {
            let text = row.get(elements).to_owned() + &more;
            row.set(elements, text)
        }),
        (1, Form::Short) => table.upsert(&(key, text)).map(drop),
        (2, Form::Short) => table.replace(&(key, text)),
        (0 | 1, Form::Long) => table.update(id, &json!({ "elements": text })),
        _ => {
            let list = table.column::<u64>("list")?;
            table.update_where(list.eq(key), &json!({ "elements": text })).map(drop)
        }
    }
}
