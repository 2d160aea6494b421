//! The builder of a schema.

use std::sync::Arc;

use super::check::{Check, CheckRow, RowCheck};
use super::column::ColumnDef;
use super::definition::Schema;
use super::index::Index;
use super::validate::validate;
use crate::error::Error;
use crate::value::excerpt;

/// Collects what a table is to be; [`SchemaBuilder::build`] judges it.
#[derive(Debug, Clone)]
#[must_use = "nothing is declared before `build`"]
pub struct SchemaBuilder {
    pub(super) name: Box<str>,
    pub(super) columns: Vec<ColumnDef>,
    /// One entry for each call of `primary_key`.
    pub(super) primary_keys: Vec<Vec<Box<str>>>,
    pub(super) indexes: Vec<Index>,
    pub(super) checks: Vec<RowCheck>,
}

impl SchemaBuilder {
    pub(super) fn new(name: impl Into<Box<str>>) -> SchemaBuilder {
        SchemaBuilder {
            name: name.into(),
            columns: Vec::new(),
            primary_keys: Vec::new(),
            indexes: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// Adds a column behind the others.
    pub fn column(mut self, column: impl Into<ColumnDef>) -> SchemaBuilder {
        self.columns.push(column.into());
        self
    }

    /// Makes these columns together the primary key, in this order. It is found by a hash: if it is to be gone through in
    /// order, or by ranges of its first columns, add an [`Index::ordered`] of the same columns.
    pub fn primary_key<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> SchemaBuilder {
        self.primary_keys.push(columns.into_iter().map(|column| column.into().into()).collect());
        self
    }

    /// Adds an index.
    pub fn index(mut self, index: Index) -> SchemaBuilder {
        self.indexes.push(index);
        self
    }

    /// Refuses rows for which `check` is false. `name` stands in the error.
    ///
    /// It is called for each row that is inserted or updated, after the columns' own checks, while the write runs; it cannot
    /// itself write to the database. It is not part of the schema's JSON form.
    ///
    /// ```
    /// # use folio::{Column, Schema};
    /// Schema::builder("meetings")
    ///     .column(Column::timestamp("start"))
    ///     .column(Column::timestamp("end"))
    ///     .check("ends after it starts", |row| row.get::<folio::Timestamp>("start") <= row.get::<folio::Timestamp>("end"))
    ///     .build()?;
    /// # Ok::<(), folio::Error>(())
    /// ```
    pub fn check(
        mut self,
        name: impl Into<String>,
        check: impl Fn(&CheckRow<'_>) -> bool + Send + Sync + 'static,
    ) -> SchemaBuilder {
        self.checks.push(Check { name: name.into().into(), test: Some(Arc::new(check)) });
        self
    }

    /// The schema, if nothing is wrong with it.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`] with all problems found; beyond a thousand, with how many more there are.
    pub fn build(self) -> Result<Schema, Error> {
        match validate(&self) {
            Ok(valid) => Ok(Schema::assemble(self, valid)),
            Err(problems) => Err(Error::InvalidSchema { table: excerpt(&self.name).into(), problems }),
        }
    }
}
