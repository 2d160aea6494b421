//! The states of a database's tables: of each that was asked for, what is of this database alone.
//!
//! The catalogue is a value, which snapshots keep and forks begin with. A state is made when its table is first asked
//! for: so a fork costs the same however many tables there are. From then on it stays while the table does, since it
//! knows of numbers that no version does.
//!
//! - T1: the state that stands here has the definition that the newest catalogue has.

use super::catalog::Catalog;
use crate::table::definition::TableDef;
use crate::table::state::TableState;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// States by the number of their table.
pub(super) type StateMap = BTreeMap<u64, Arc<TableState>>;

/// See the module.
#[derive(Default)]
pub(crate) struct States(Mutex<StateMap>);

impl States {
    /// The state of the table that `def` describes in the newest catalogue, which does not change meanwhile: the caller
    /// holds its lock, or is the writer.
    pub(super) fn of(&self, def: &Arc<TableDef>) -> Arc<TableState> {
        let mut states = self.0.lock();
        let state = states.entry(def.table).or_insert_with(|| Arc::new(TableState::new(Arc::clone(def))));
        debug_assert_eq!(state.def.id, def.id);
        Arc::clone(state)
    }

    /// Goes from one catalogue to the next, in which the tables of `changed` have new definitions: handles made before find
    /// those behind their own. Answers what is here no more, to be dropped under no lock: with it may go closures, and what
    /// the user's code keeps in them.
    pub(super) fn replace(&self, old: &Catalog, new: &Catalog, changed: StateMap) -> Vec<Arc<TableState>> {
        let mut states = self.0.lock();
        let dropped = old.beside(new).filter_map(|(before, now)| before.filter(|_| now.is_none()));
        let mut gone: Vec<_> = dropped.filter_map(|listed| states.remove(&listed.def.table)).collect();
        for (table, state) in changed {
            if let Some(before) = states.insert(table, Arc::clone(&state)) {
                before.succeed(&state);
                gone.push(before);
            }
        }
        gone
    }
}
