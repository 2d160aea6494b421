//! The sizes a schema may have.

/// The longest name of a table, column, index or check, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// The most columns of a table.
pub const COLUMN_COUNT_MAX: usize = 1_024;

/// The most indexes of a table, those of unique columns included.
pub const INDEX_COUNT_MAX: usize = 64;

/// The most bytes that the fixed-width columns of a table take together, packed.
pub const FIXED_BYTES_MAX: usize = 1 << 20;
