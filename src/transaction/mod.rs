//! Transactions: private roots, savepoints, the commit path. Single operations are transactions of one.

pub(crate) mod catalog;
pub(crate) mod clock;
pub(crate) mod core;
mod ddl;
pub(crate) mod durable;
pub(crate) mod load;
mod redo;
pub(crate) mod row_mut;
pub(crate) mod states;
pub(crate) mod tables;
pub(crate) mod tx;
