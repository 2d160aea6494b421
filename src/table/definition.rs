//! What a table is, ready for work: its schema, the layout of its pages, and a plan for each of its indexes.
//!
//! A definition never changes: a schema change makes a new one. It is the same in all databases that have the table; what
//! differs there is in [`TableState`](super::state::TableState).

use super::layout::Layout;
use super::sequence::last_key;
use crate::error::Error;
use crate::schema::{IndexKind as Declared, Schema};
use crate::value::{HashSeed, Type};
use std::sync::atomic::{AtomicU64, Ordering};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// How an index finds rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexKind {
    /// Unique: hash to one row id, the key compared in the row. Rows with a null in the key are not in it.
    Hash,
    /// Not unique, equality only: ordered by (hash, row id).
    HashMany,
    /// One column whose order is that of a `u64`.
    OrderedWord,
    /// Any columns, as order-preserving bytes.
    OrderedBytes,
}

/// One index of a table.
#[derive(Debug, Clone)]
pub(crate) struct IndexPlan {
    pub(crate) name: Box<str>,
    pub(crate) columns: Box<[usize]>,
    pub(crate) unique: bool,
    pub(crate) kind: IndexKind,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct TableDef {
    /// Given once in the life of the process; a version's entry names it.
    pub(crate) id: u64,
    /// Given when the table is created; column handles name it. The same in forks and after schema changes.
    pub(crate) table: u64,
    pub(crate) schema: Schema,
    pub(crate) layout: Layout,
    /// The column that is the row id.
    pub(crate) row_id: Option<usize>,
    /// Whether the primary key has an index of its own, which then is the first.
    pub(crate) has_key_index: bool,
    /// The key's own index first, if the key is not the row id; then those of the schema.
    pub(crate) indexes: Box<[IndexPlan]>,
    pub(crate) seed: HashSeed,
    /// The highest row id that is given by itself.
    pub(crate) last_id: u64,
}

impl TableDef {
    /// The definition of a new table.
    pub(crate) fn new(schema: Schema, seed: HashSeed) -> Self {
        Self::build(NEXT_ID.fetch_add(1, Ordering::Relaxed), schema, seed)
    }

    /// The same table with another schema of the same columns.
    pub(crate) fn with_schema(&self, schema: Schema) -> Self {
        Self::build(self.table, schema, self.seed.clone())
    }

    fn build(table: u64, schema: Schema, seed: HashSeed) -> Self {
        let row_id = schema.row_id_key().then(|| schema.primary_key().first().copied()).flatten();
        let layout = Layout::new(schema.shape(), row_id);
        let last_id =
            row_id.and_then(|column| layout.column(column)).map_or(u64::MAX - 1, |column| last_key(column.ty));
        let schema_key_is_empty = schema.primary_key().is_empty();
        let mut indexes = Vec::new();
        if row_id.is_none() && !schema.primary_key().is_empty() {
            indexes.push(IndexPlan {
                name: "primary key".into(),
                columns: schema.primary_key().into(),
                unique: true,
                kind: IndexKind::Hash,
            });
        }
        for index in schema.indexes() {
            let kind = match (index.kind(), index.is_unique()) {
                (Declared::Hash, true) => IndexKind::Hash,
                (Declared::Hash, false) => IndexKind::HashMany,
                (Declared::Ordered, _) => ordered_kind(&schema, index.columns()),
            };
            indexes.push(IndexPlan {
                name: index.name().into(),
                columns: index.columns().into(),
                unique: index.is_unique(),
                kind,
            });
        }
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            table,
            schema,
            layout,
            row_id,
            has_key_index: row_id.is_none() && !schema_key_is_empty,
            indexes: indexes.into(),
            seed,
            last_id,
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.schema.name()
    }

    /// The column's name, for messages.
    pub(crate) fn column_name(&self, index: usize) -> &str {
        self.schema.shape().column(index).map_or("?", |column| &column.name)
    }

    /// The row id that a new table gives first. As a key it is the number that people count from.
    pub(crate) fn first_id(&self) -> u64 {
        u64::from(self.row_id.is_some())
    }

    #[cold]
    pub(crate) fn exhausted(&self) -> Error {
        let column = self.row_id.map_or("row id", |column| self.column_name(column));
        Error::AutoIncrementExhausted { table: self.name().into(), column: column.into() }
    }
}

/// A lone column without nulls whose order fits a `u64`, or a narrower one with nulls below all values.
fn ordered_kind(schema: &Schema, columns: &[usize]) -> IndexKind {
    let [column] = columns else { return IndexKind::OrderedBytes };
    let Some(column) = schema.shape().column(*column) else { return IndexKind::OrderedBytes };
    match column.ty {
        Type::Uuid | Type::Array(_) => IndexKind::OrderedBytes,
        ty => match ty.fixed_width() {
            Some(width) if width <= 4 || width <= 8 && !column.nullable => IndexKind::OrderedWord,
            _ => IndexKind::OrderedBytes,
        },
    }
}
