//! A schema made from another: with an index more or less.

use super::column::DefaultValue;
use super::{Index, Schema};
use crate::error::{Error, Result};
use crate::value::similar;

impl Schema {
    /// This schema with one more index. Indexes that are there keep their order and come first.
    ///
    /// # Errors
    /// [`Error::IndexExists`] if the name is taken; [`Error::InvalidSchema`] if the index does not fit otherwise.
    pub fn with_index(&self, index: Index) -> Result<Schema> {
        if let Some(name) = &index.name
            && self.indexes().iter().any(|known| *known.name == **name)
        {
            return Err(Error::IndexExists { table: self.name().into(), index: name.clone() });
        }
        self.to_builder(None).index(index).build()
    }

    /// This schema as it comes back from its JSON form: without the closures of its defaults and checks.
    pub(crate) fn without_closures(&self) -> Result<Schema> {
        let mut builder = self.to_builder(None);
        for column in &mut builder.columns {
            column.checks.iter_mut().for_each(|check| check.test = None);
            if matches!(column.default, DefaultValue::Closure(_)) {
                column.default = DefaultValue::MissingClosure;
            }
        }
        builder.checks.iter_mut().for_each(|check| check.test = None);
        builder.build()
    }

    /// This schema without the index `name`.
    ///
    /// # Errors
    /// [`Error::NoSuchIndex`]; [`Error::IndexInUse`] if the index keeps a `unique` column unique.
    pub fn without_index(&self, name: &str) -> Result<Schema> {
        let Some(index) = self.indexes().iter().find(|index| index.name() == name) else {
            return Err(Error::NoSuchIndex {
                table: self.name().into(),
                index: name.into(),
                similar: similar(name, self.indexes().iter().map(|index| index.name())).map(Into::into),
            });
        };
        // The indexes of `unique` columns come first, one each, and go with the column's word only.
        let own = self.columns().iter().filter(|column| column.is_unique()).count();
        if self.indexes().iter().take(own).any(|own| own.name() == index.name()) {
            return Err(Error::IndexInUse { table: self.name().into(), index: name.into() });
        }
        self.to_builder(Some(name)).build()
    }
}
