//! What a table is in one database.
//!
//! A definition is a value: versions, snapshots and forks share it, as they share pages. What is of one database alone
//! stands beside it: the numbers that rows were given, and which definition replaced this one. A handle that was made
//! before a schema change finds the present definition by going on from its own, without a lock: a server may keep one
//! handle while indexes come and go for ever, so that each state knows not only the next but those some powers of two
//! ahead.
//!
//! - N1: of two definitions of a table, the later one has the higher id.

use super::definition::TableDef;
use super::sequence::Sequence;
use crate::schema::Schema;
use std::sync::{Arc, OnceLock, Weak};

/// A state knows the one that is 2^n ahead for all n below this.
const LEVELS: usize = 12;

/// See the module.
#[derive(Debug)]
pub(crate) struct TableState {
    pub(crate) def: Arc<TableDef>,
    /// The same for all definitions of the table in this database.
    pub(crate) sequence: Sequence,
    /// What replaced this, and what came 2, 4, .. definitions later. As those far ahead are held from here too, a history
    /// of n changes is dropped n / 2^11 deep at most and some, and not n: it does not use up the stack.
    ahead: [OnceLock<Arc<TableState>>; LEVELS],
    /// What this replaced, and what came 2, 4, .. before, as far as anybody has it.
    behind: OnceLock<Box<[Weak<TableState>]>>,
}

impl TableState {
    /// That of a table which this database has given no numbers yet beyond those that its versions know of.
    pub(crate) fn new(def: Arc<TableDef>) -> Self {
        Self { def, sequence: Sequence::default(), ahead: Default::default(), behind: OnceLock::new() }
    }

    /// The same table with another schema of the same columns.
    pub(crate) fn with_schema(&self, schema: Schema) -> Self {
        let def = Arc::new(self.def.with_schema(schema));
        Self { def, sequence: self.sequence.clone(), ahead: Default::default(), behind: OnceLock::new() }
    }

    /// Records what replaced this. The first call counts: a definition is replaced once, as only the present one can be, by
    /// the one writer. Cost: O(1).
    pub(crate) fn succeed(self: &Arc<Self>, next: &Arc<Self>) {
        let (mut behind, mut older) = (Vec::new(), Arc::clone(self));
        for level in 0..LEVELS {
            let _ = older.ahead[level].set(Arc::clone(next));
            behind.push(Arc::downgrade(&older));
            // Who is gone has nobody behind: whoever is kept keeps those that replaced it.
            let further = older.behind.get().and_then(|behind| behind.get(level)?.upgrade());
            let Some(further) = further else { break };
            older = further;
        }
        let _ = next.behind.set(behind.into());
    }

    /// The state whose definition has this id, among this one and those that replaced it.
    #[inline(always)]
    pub(crate) fn find(&self, id: u64) -> Option<&TableState> {
        if self.def.id == id { Some(self) } else { self.find_next(id) }
    }

    /// Cost: O(log n) where n schema changes came between, up to 2^12 of them at a time.
    #[cold]
    fn find_next(&self, id: u64) -> Option<&TableState> {
        let mut state = self;
        while state.def.id != id {
            let ahead = state.ahead.iter().rev().filter_map(OnceLock::get);
            state = ahead.map(Arc::as_ref).find(|ahead| ahead.def.id <= id)?;
        }
        Some(state)
    }
}
