//! Folio is an embeddable in-memory database, durable where wanted. **The database is a value**: tables and indexes are persistent
//! (copy-on-write) pages under one root, and a commit swaps the root. So reads take no lock and see one version whole;
//! a snapshot, a fork and a rollback cost O(1); and two versions are compared in time proportional to what changed.
//!
//! # A tour
//!
//! ```
//! use folio::{Column, Database, Index, Row, Schema};
//! use serde::{Deserialize, Serialize};
//! use serde_json::json;
//!
//! #[derive(Serialize)]
//! struct NewStudent<'a> {
//!     name: &'a str,
//!     email: &'a str,
//!     gpa: f64,
//! }
//!
//! #[derive(Deserialize)]
//! struct Student {
//!     id: u64,
//!     name: String,
//! }
//!
//! # fn main() -> folio::Result<()> {
//! let db = Database::in_memory();
//! let students = db.create_table(
//!     Schema::builder("students")
//!         .column(Column::u64("id").primary_key().auto_increment())
//!         .column(Column::string("name"))
//!         .column(Column::string("email").unique())
//!         .column(Column::f64("gpa").default(0.0).check("between 0 and 4", |gpa| (0.0..=4.0).contains(gpa)))
//!         .index(Index::ordered(["gpa"]))
//!         .build()?,
//! )?;
//!
//! // Rows are anything serde can serialize; the key comes back.
//! let alice = students.insert(&NewStudent { name: "Alice", email: "alice@university.edu", gpa: 3.8 })?;
//! students.insert(&json!({ "name": "Bob", "email": "bob@university.edu" }))?;
//! students.update(alice, &json!({ "gpa": 3.9 }))?;
//!
//! // Handles are checked once against the schema, then cost a load.
//! let (name, gpa) = (students.column::<str>("name")?, students.column::<f64>("gpa")?);
//! let row = students.get(alice)?.expect("just inserted");
//! assert_eq!((row.get(name), row.get(gpa)), ("Alice", 3.9));
//!
//! let top: Vec<Student> = students
//!     .select()
//!     .filter(|row: &Row| row.get(name).starts_with('A')) // any closure
//!     .filter(gpa.gt(3.5)) // a predicate, which may use an index
//!     .order_by(gpa.desc())
//!     .limit(3)
//!     .fetch()?;
//! assert_eq!((top[0].id, top[0].name.as_str()), (alice, "Alice"));
//!
//! // All or nothing: an error or a panic rolls back.
//! db.transaction(|tx| {
//!     let students = tx.table("students")?;
//!     students.delete_where(gpa.lt(2.0))?;
//!     students.insert(&json!({ "name": "Carol", "email": "carol@university.edu", "gpa": 3.1 }))
//! })?;
//!
//! let before = db.snapshot(); // O(1), never changes
//! let what_if = db.fork(); // O(1), writable, independent
//! what_if.table("students")?.clear()?;
//! assert_eq!(before.diff(&what_if.snapshot())?.len(), 2);
//! assert_eq!(students.len()?, 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Model of use
//!
//! - A [`Database`] owns tables. [`Table`] is a handle with reads (those of [`Reader`]) and writes; the tables of a
//!   [`Snapshot`] and of a [`Transaction`] have the same reads, so that one function can serve all three:
//!   `fn total<S: Source>(orders: &Reader<S>)` (see [`Source`]). Databases, tables and snapshots are cheap to clone,
//!   `Send` and `Sync`; a transaction and its tables ([`TransactionTable`]) are none of that, and stay in its closure.
//! - A [`Schema`] is made by a builder at run time. Wrong schemas are refused with all that is wrong with them.
//! - Rows go in and out through serde, or are read in place through [`Field`] handles: [`Row::get`].
//! - [`Reader::select`] builds queries from closures and from [`Predicate`]s over handles, which use indexes.
//!
//! # Consistency
//!
//! Every read sees one version. Single operations are transactions of one; [`Database::transaction`] makes one of many,
//! over any tables and over schema changes. Writers take turns, so that transactions are serializable in the order of
//! their commits, and one that begins after another returned sees it. Readers never wait, and nobody waits for them. A
//! write from inside another write of the same database, on the same thread, is [`Error::Reentrant`] and not a
//! deadlock.
//!
//! What a reader holds: a [`Row`] or [`Rows`] read from a [`Table`] keeps its version, and with it the memory that later
//! commits replace, until it is dropped; it belongs to its thread and cannot be held across an `await` that may move: there
//! take out what is needed, as by `table.get_with(id, |row| row.decode::<City>())?.transpose()?`, which holds nothing.
//! A [`Snapshot`] may be kept for as long as wanted: it holds what it can see and nothing else.
//! [`Database::stats`] says how much that is.
//!
//! # Durability
//!
//! [`Database::in_memory`] ends with its process. [`Database::open`] keeps the database in a directory as well: each commit
//! goes to a log before readers see it, on stable storage when it returns unless [`Durability`] says otherwise, and
//! checkpoints write what changed. [Persistence](persistence) says what survives what. Reads are the same, and as fast.
//! Another [`StorageEngine`](storage::StorageEngine) can take the directory's place.
//!
//! # Export and import
//!
//! [`Snapshot::export_json`] and [`Snapshot::export_json_lines`] write a database, the same methods of a table one table;
//! [`Database::import_json`], [`Table::import_json`] and their like read it, from other programs' files too. With the
//! feature `csv` a table is also written and read as CSV. What is exported comes back equal, and what is wrong on the way
//! in is told by file, line and column ([`Error::Import`]).
//!
//! # Changing a schema
//!
//! Indexes come and go with [`Database::create_index`] and [`Database::drop_index`]. Nothing adds, renames or drops a
//! column: in one transaction the rows are read, and the table is dropped, created anew, and given them back.
//!
//! ```
//! # use folio::{Column, Database, Schema};
//! # use serde_json::json;
//! # fn main() -> folio::Result<()> {
//! # let db = Database::in_memory();
//! # let id = || Column::u64("id").primary_key().auto_increment();
//! # let old = db.create_table(Schema::builder("people").column(id()).column(Column::string("name")).build()?)?;
//! # old.insert_many([(1, "Ann"), (7, "Ben"), (9, "Cleo")])?;
//! # old.delete(9)?;
//! // `people` has the columns `id` and `name`. The name becomes `full_name`, and `city` is new.
//! let schema = Schema::builder("people")
//!     .column(Column::u64("id").primary_key().auto_increment())
//!     .column(Column::string("full_name"))
//!     .column(Column::string("city").nullable())
//!     .build()?;
//! db.transaction(|tx| {
//!     let rows: Vec<(u64, String)> = tx.table("people")?.select().fetch()?;
//!     tx.drop_table("people")?;
//!     tx.create_table(schema)?.insert_many(rows.into_iter().map(|(id, name)| (id, name, None::<String>)))
//! })?;
//!
//! assert!(old.len().is_err()); // a handle made before is of the dropped table
//! let people = db.table("people")?;
//! assert_eq!(people.len()?, 2);
//! assert_eq!(people.insert(&json!({ "full_name": "Dora" }))?, 8); // behind the highest key stored
//! # Ok(())
//! # }
//! ```
//!
//! - Others see the old table until the commit, and then the new one. Both and the rows read are in memory until then.
//! - Handles of the old table and of its columns are not of the new one: ask for them again. Snapshots and forks keep
//!   theirs.
//! - Numbers of an auto-increment key go on behind the highest key that is stored: those of rows that were deleted
//!   behind it are given again. Without such a key rows get new row ids.
//! - Checks and defaults are those of the new schema: closures are given anew. The rows are checked as any others.
//!
//! # Errors and panics
//!
//! One enum, [`Error`], whose variants name table, column and value and what would have been right, with a stable
//! [`code`](Error::code). An operation that answers an error has changed nothing, with one exception: after
//! [`Error::SyncFailed`] it is known only when the database is opened again whether the write is kept. No input makes
//! Folio panic; a panic in a closure of yours rolls its transaction back, goes on to you, and leaves the database usable:
//! so handles are `UnwindSafe`.
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | tables of a database | 4,096 |
//! | columns of a table, indexes of a table | 1,024, 64 |
//! | rows of a table | 4,294,967,295 |
//! | a value of variable width | 1 GiB |
//! | the fixed-width columns of a row together | 1 MiB |
//! | an encoded key of an ordered index | 4 KiB |
//! | depth of a JSON document; of one that is a column's default | 127; 122 |
//! | a name | 128 bytes |
//! | row ids | 64 bits, never used again; then an error |
//!
//! Memory that runs out is [`Error::OutOfMemory`] for pages; for small allocations elsewhere Rust aborts the process.

#![deny(unsafe_code)]

#[cfg(doctest)]
mod compile_fail;
mod database;
mod error;
mod exchange;
mod page;
mod query;
mod schema;
pub mod storage;
mod table;
#[cfg(all(feature = "testing", any(unix, windows)))]
pub mod testing;
mod transaction;
mod value;

#[cfg(any(unix, windows))]
pub use database::Salvaged;
pub use database::{
    Change, Database, DatabaseBuilder, Diff, DurableStats, MemoryStats, Snapshot, SnapshotTable, Stats, Table,
    TableStats,
};
pub use error::{Error, ErrorKind, Result, SchemaProblem};
pub use exchange::{Exported, ImportOptions, Imported, OnError};
pub use query::{
    Aggregate, Avg, Count, Filter, Groups, IntoBounds, IntoOrder, Max, Min, Number, OrderTerm, Pick, Predicate,
    ReadOwned, Select, Sum, count,
};
pub use schema::{COLUMN_COUNT_MAX, CheckType, FIXED_BYTES_MAX, INDEX_COUNT_MAX, NAME_BYTES_MAX};
pub use schema::{CheckRow, Column, ColumnDef, DefaultValue, Index, IndexDef, IndexKind, Schema, SchemaBuilder};
pub use table::reader::{ColumnName, Reader, Source};
pub use table::row::{Field, Row};
pub use table::rows::Rows;
pub use table::size::TableSize;
pub use transaction::durable::Durability;
pub use transaction::durable::open::Opening;
pub use transaction::row_mut::RowMut;
pub use transaction::tables::TransactionTable;
pub use transaction::tx::Transaction;
pub use value::{Array, Readable, Scalar, Timestamp, ToKey, Type, Uuid, Value, ValueRef};
pub use value::{ArrayRef, ParseTimestampError, ParseTypeError, ParseUuidError};

#[cfg(any(doc, doctest))]
#[doc = include_str!("../PERSISTENCE.md")]
pub mod persistence {}

/// Its code is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
