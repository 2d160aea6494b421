//! Values: their types, their packed bytes, their order and hash, and the way between them and users' rows through
//! serde.
//!
//! The lowest layer: it knows columns by position and name ([`shape`]), and nothing of tables, constraints or pages.

mod columns;
mod decode;
mod decode_column;
mod document;
mod encode;
mod encode_column;
mod form;
mod hash;
mod json_row;
mod json_text;
mod key;
mod order;
mod owned;
mod pack;
mod readable;
mod row_buf;
mod row_error;
mod shape;
mod similar;
mod sorted_map;
mod timestamp;
mod typed;
mod types;
mod uuid;
mod value_ref;

pub(crate) use columns::{Columns, Slot};
pub(crate) use decode::{decode, decode_columns};
pub(crate) use document::{Tree, canonical, tree};
pub(crate) use form::{FieldName, read_form, read_once, write_form};
pub(crate) use hash::{HashSeed, hash_packed, hash_word};
pub(crate) use json_row::JsonRows;
pub(crate) use json_text::{check_json, read_from_outside, read_json, write_text};
#[cfg(feature = "csv")]
pub(crate) use json_text::{read_text, write_json};
pub use key::ToKey;
pub(crate) use order::{compare_packed, encode_key, key_u64, partial_compare_packed, prefix_range, successor};
pub use owned::Value;
pub(crate) use pack::{JSON_DEPTH_MAX, json_depth};
pub use readable::Readable;
pub(crate) use readable::spelling;
pub(crate) use row_buf::RowBuf;
pub(crate) use row_error::{RowError, RowErrorKind, excerpt, excerpt_of};
pub(crate) use shape::{Shape, ShapeColumn};
pub(crate) use similar::similar;
pub(crate) use sorted_map::SortedMap;
pub use timestamp::{ParseTimestampError, Timestamp};
pub(crate) use typed::Typed;
pub(crate) use types::Beyond;
pub use types::{Array, ParseTypeError, Scalar, Type};
pub use uuid::{ParseUuidError, Uuid};
pub use value_ref::{ArrayRef, ValueRef};
