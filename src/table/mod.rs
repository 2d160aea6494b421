//! Tables: rows and indexes on pages. Does no I/O and knows nothing of transactions: it changes the private root that it
//! is given, and reads the version that it is given.

pub(crate) mod agree;
mod build;
pub(crate) mod change;
pub(crate) mod definition;
pub(crate) mod diff;
mod entries;
pub(crate) mod held;
pub(crate) mod image;
pub(crate) mod index;
pub(crate) mod key;
pub(crate) mod layout;
pub(crate) mod page_edit;
pub(crate) mod patch;
pub(crate) mod reader;
pub(crate) mod row;
pub(crate) mod row_page;
pub(crate) mod rows;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod sequence;
pub(crate) mod size;
pub(crate) mod spot;
pub(crate) mod state;
pub(crate) mod update_many;
pub(crate) mod version;
pub(crate) mod view;
