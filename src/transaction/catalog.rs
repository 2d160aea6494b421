//! The catalogue: which tables a version has, by name.
//!
//! A value like the versions: a schema change makes a new one. The newest stands in [`Core`](super::core::Core) and is
//! replaced together with the root; a snapshot keeps the one of its version.

use crate::error::{Error, Result};
use crate::table::definition::TableDef;
use crate::value::similar;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A table's place in the root, and what it is.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) slot: usize,
    pub(crate) def: Arc<TableDef>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    pub(crate) tables: BTreeMap<Box<str>, Listed>,
}

impl Catalog {
    /// The table of this name.
    pub(crate) fn find(&self, name: &str) -> Result<&Listed> {
        self.tables.get(name).ok_or_else(|| Error::NoSuchTable {
            table: name.into(),
            similar: similar(name, self.tables.keys().map(|name| &**name)).map(Into::into),
        })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.tables.keys().map(|name| name.to_string()).collect()
    }

    /// The same tables for a fork; their number sequences part here.
    pub(crate) fn for_fork(&self) -> Self {
        let fork = |listed: &Listed| Listed { slot: listed.slot, def: Arc::new(listed.def.for_fork()) };
        Self { tables: self.tables.iter().map(|(name, listed)| (name.clone(), fork(listed))).collect() }
    }
}
