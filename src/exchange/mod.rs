//! Tables out to and in from files of other programs: JSON, JSON Lines and, with the feature `csv`, CSV.
//!
//! Both ways are streams. An export reads one snapshot and writes a row at a time; an import is one transaction that holds
//! a page of rows. What an export writes comes back equal, by the texts of [`JsonRows`](crate::value::JsonRows).
//!
//! Going in, [`input`] cuts the bytes into records and knows where each begins; [`row`] and [`delimited`] make rows of
//! them; [`session`] judges what is refused. A record that is bad in itself can be skipped. What cannot be told to be a
//! record, because the file around it is broken, stops the import.

#[cfg(feature = "csv")]
mod delimited;
mod document;
mod export;
mod import;
mod input;
mod lines;
mod options;
mod row;
mod session;

pub use options::{Exported, ImportOptions, Imported, OnError};

/// What the head of an export of a whole database says.
const EXPORT: &str = "export";
/// The version of that form.
const FORMAT: u64 = 1;
