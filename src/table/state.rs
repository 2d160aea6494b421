//! What a table is in one database.
//!
//! A definition is a value: versions, snapshots and forks share it, as they share pages. What is of one database alone
//! stands beside it: the numbers that rows were given, and which definition replaced this one. A handle that was made
//! before a schema change finds the present definition by following `next`, without a lock.

use super::definition::TableDef;
use super::sequence::Sequence;
use crate::schema::Schema;
use std::sync::{Arc, OnceLock};

/// See the module.
#[derive(Debug)]
pub(crate) struct TableState {
    pub(crate) def: Arc<TableDef>,
    /// The same for all definitions of the table in this database.
    pub(crate) sequence: Sequence,
    next: OnceLock<Arc<TableState>>,
}

impl TableState {
    /// That of a table which this database has given no numbers yet beyond those that its versions know of.
    pub(crate) fn new(def: Arc<TableDef>) -> Self {
        Self { def, sequence: Sequence::default(), next: OnceLock::new() }
    }

    /// The same table with another schema of the same columns.
    pub(crate) fn with_schema(&self, schema: Schema) -> Self {
        let def = Arc::new(self.def.with_schema(schema));
        Self { def, sequence: self.sequence.clone(), next: OnceLock::new() }
    }

    /// Records what replaced this. The first call counts.
    pub(crate) fn succeed(&self, next: Arc<TableState>) {
        // A definition is replaced once: only the present one can be, by the one writer.
        let _ = self.next.set(next);
    }

    /// The state whose definition has this id, among this one and those that replaced it.
    #[inline(always)]
    pub(crate) fn find(&self, id: u64) -> Option<&TableState> {
        if self.def.id == id { Some(self) } else { self.find_next(id) }
    }

    #[cold]
    fn find_next(&self, id: u64) -> Option<&TableState> {
        let mut state = self;
        while state.def.id != id {
            state = state.next.get()?;
        }
        Some(state)
    }
}

/// A chain of successors is dropped one by one: a long history of schema changes must not use up the stack.
impl Drop for TableState {
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(state) = next {
            next = Arc::into_inner(state).and_then(|mut state| state.next.take());
        }
    }
}
