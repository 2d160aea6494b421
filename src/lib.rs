//! Folio: an embeddable in-memory database whose every version is a value.

#![deny(unsafe_code)]

mod database;
mod error;
mod page;
mod query;
mod schema;
mod table;
mod transaction;
mod value;

pub use database::{Change, Database, Diff, MemoryStats, Snapshot, SnapshotTable, Stats, Table, TableStats};
pub use error::{Error, ErrorKind, Result, SchemaProblem};
pub use query::{
    Aggregate, Avg, Count, Filter, Groups, IntoBounds, IntoOrder, Max, Min, Number, OrderTerm, Pick, Predicate,
    ReadOwned, Select, Sum, count,
};
pub use schema::{COLUMN_COUNT_MAX, CheckType, FIXED_BYTES_MAX, INDEX_COUNT_MAX, NAME_BYTES_MAX};
pub use schema::{CheckRow, Column, ColumnDef, DefaultValue, Index, IndexDef, IndexKind, Schema, SchemaBuilder};
pub use table::reader::{ColumnName, Reader};
pub use table::row::{Field, Row};
pub use table::rows::Rows;
pub use transaction::row_mut::RowMut;
pub use transaction::tables::TransactionTable;
pub use transaction::tx::Transaction;
pub use value::{Array, Readable, Scalar, Timestamp, ToKey, Type, Uuid, Value, ValueRef};
pub use value::{ArrayRef, ParseTimestampError, ParseTypeError, ParseUuidError};
