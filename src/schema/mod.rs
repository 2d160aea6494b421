//! Schemas: what a table's columns, keys, indexes and checks are, and what they say of one row.
//!
//! A schema is built whole or not at all: `build` finds everything that is wrong with it. What it then needs per row
//! (defaults, checks, NaN in keys) is worked out once, so that a table without any pays nothing.

mod builder;
mod check;
mod column;
mod definition;
mod evolve;
mod index;
mod json;
mod limits;
mod validate;

pub use builder::SchemaBuilder;
pub use check::{CheckRow, CheckType};
pub use column::{Column, ColumnDef, DefaultValue};
pub use definition::Schema;
pub(crate) use definition::holds_nan;
pub use index::{Index, IndexDef, IndexKind};
pub use limits::{COLUMN_COUNT_MAX, FIXED_BYTES_MAX, INDEX_COUNT_MAX, NAME_BYTES_MAX};
