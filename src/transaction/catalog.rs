//! The catalogue: which tables a version has, by name.
//!
//! A value like the versions: a schema change makes a new one. The newest stands in [`Core`](super::core::Core) and is
//! replaced together with the root; a snapshot keeps the one of its version, and a fork begins with it.

use crate::error::{Error, Result};
use crate::table::definition::TableDef;
use crate::value::{SortedMap, similar};
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
    pub(crate) tables: SortedMap<Box<str>, Listed>,
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

    /// The table that `def` describes, by whatever definition it has here.
    pub(crate) fn same_table(&self, def: &TableDef) -> Option<&Listed> {
        // A table that was dropped and made again under its name is another table.
        self.tables.get(def.name()).filter(|listed| listed.def.table == def.table)
    }

    /// Each table of either catalogue, as it is in this one and as it is in the newer one, by name; of two under one name
    /// the older first. Cost: O(tables of both); names are compared of those alone whose definitions differ.
    pub(crate) fn beside<'a>(
        &'a self,
        newer: &'a Catalog,
    ) -> impl Iterator<Item = (Option<&'a Listed>, Option<&'a Listed>)> {
        let (mut old, mut new) = (self.tables.values().peekable(), newer.tables.values().peekable());
        std::iter::from_fn(move || {
            let (before, now) = (old.peek(), new.peek());
            let side = match (before, now) {
                (None, None) => return None,
                (Some(_), None) => (true, false),
                (None, Some(_)) => (false, true),
                (Some(before), Some(now)) if is_same_table(&before.def, &now.def) => (true, true),
                (Some(before), Some(now)) => {
                    let is_older = before.def.name() <= now.def.name();
                    (is_older, !is_older)
                }
            };
            Some((old.next_if(|_| side.0), new.next_if(|_| side.1)))
        })
    }
}

fn is_same_table(a: &Arc<TableDef>, b: &Arc<TableDef>) -> bool {
    // Most are one definition, which then need not be looked at.
    Arc::ptr_eq(a, b) || a.table == b.table
}
