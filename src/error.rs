//! The error of every operation: one enum, with a stable code and a coarse kind.
//!
//! Each variant names what it concerns (table, column, value) and says what would be right. Errors of rows come from the
//! value layer without a table's name, which is added here ([`RowError::in_table`]). Texts named `expected` finish the
//! sentence "expected ...".

use std::fmt;

use crate::value::{RowError, RowErrorKind};

/// What an operation answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. Match on the variants, or on [`Error::kind`] for what to do and [`Error::code`] for a stable name.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A schema that cannot be: all that is wrong with it.
    #[allow(missing_docs)] // here and below the fields' names say it
    InvalidSchema { table: Box<str>, problems: Vec<SchemaProblem> },
    /// No table has this name.
    #[allow(missing_docs)]
    NoSuchTable { table: Box<str>, similar: Option<Box<str>> },
    /// A table of this name is there already.
    #[allow(missing_docs)]
    TableExists { table: Box<str> },
    /// A table that is there with another schema than the one asked for.
    #[allow(missing_docs)]
    SchemaDiffers { table: Box<str>, difference: Box<str> },
    /// A row to be stored or changed in a table whose schema came back from storage without the closures of its checks.
    /// Rows can be deleted.
    #[allow(missing_docs)]
    MissingClosures { table: Box<str>, closures: Box<str> },
    /// No column of the table has this name.
    #[allow(missing_docs)]
    NoSuchColumn { table: Box<str>, column: Box<str>, similar: Option<Box<str>> },
    /// No index of the table has this name.
    #[allow(missing_docs)]
    NoSuchIndex { table: Box<str>, index: Box<str>, similar: Option<Box<str>> },
    /// An index of this name is there already.
    #[allow(missing_docs)]
    IndexExists { table: Box<str>, index: Box<str> },
    /// An index that cannot be dropped, because a unique column needs it.
    #[allow(missing_docs)]
    IndexInUse { table: Box<str>, index: Box<str> },
    /// A column handle of the wrong type.
    #[allow(missing_docs)]
    WrongHandle { table: Box<str>, column: Box<str>, requested: Box<str>, expected: Box<str> },
    /// A column handle of another table.
    #[allow(missing_docs)]
    ForeignHandle { table: Box<str>, column: Box<str>, handle_table: Box<str> },

    /// A value that is no row at all.
    #[allow(missing_docs)]
    NotARow { table: Box<str>, expected: &'static str, found: Box<str> },
    /// A row with a field that the table has no column for.
    #[allow(missing_docs)]
    UnknownField { table: Box<str>, field: Box<str>, similar: Option<Box<str>> },
    /// A row with the same field twice.
    #[allow(missing_docs)]
    DuplicateField { table: Box<str>, column: Box<str> },
    /// A row without a field that has no default.
    #[allow(missing_docs)]
    MissingField { table: Box<str>, column: Box<str> },
    /// Null in a column that is not nullable.
    #[allow(missing_docs)]
    NullNotAllowed { table: Box<str>, column: Box<str> },
    /// A value of a type that does not fit the column.
    #[allow(missing_docs)]
    WrongType { table: Box<str>, column: Box<str>, expected: Box<str>, found: Box<str> },
    /// A number that the column cannot hold.
    #[allow(missing_docs)]
    OutOfRange { table: Box<str>, column: Box<str>, value: Box<str>, expected: Box<str> },
    /// A tuple or sequence of the wrong length, for a whole row (no column) or for an array.
    #[allow(missing_docs)]
    WrongArity { table: Box<str>, column: Option<Box<str>>, expected: usize, found: usize },
    /// NaN in a column of a key or an index, where it would have no place.
    #[allow(missing_docs)]
    NanInKey { table: Box<str>, column: Box<str> },
    /// Text that does not parse as what the column holds.
    #[allow(missing_docs)]
    InvalidValue { table: Box<str>, column: Box<str>, value: Box<str>, expected: Box<str> },
    /// A message of the row's own `Serialize`.
    #[allow(missing_docs)]
    Encode { table: Box<str>, column: Option<Box<str>>, message: Box<str> },
    /// A row that does not fit the type it was to be read into.
    #[allow(missing_docs)]
    Decode { table: Box<str>, column: Option<Box<str>>, message: Box<str> },

    /// Another row has the same key, or the same value in a unique index.
    #[allow(missing_docs)]
    Unique { table: Box<str>, columns: Box<str>, value: Box<str> },
    /// A check that refused a value, or (without a column) a row.
    #[allow(missing_docs)]
    Check { table: Box<str>, column: Option<Box<str>>, check: Box<str>, value: Box<str> },

    /// No row has this key.
    #[allow(missing_docs)]
    NoSuchRow { table: Box<str>, key: Box<str> },
    /// A key of the wrong type or with the wrong number of values.
    #[allow(missing_docs)]
    InvalidKey { table: Box<str>, expected: Box<str>, found: Box<str> },
    /// A query that cannot be answered as it stands.
    #[allow(missing_docs)]
    InvalidQuery { message: Box<str> },
    /// Two snapshots, of which neither comes from the other or from a common origin.
    UnrelatedSnapshots,

    /// The last number of an auto-increment column has been given. Numbers are never given twice.
    #[allow(missing_docs)]
    AutoIncrementExhausted { table: Box<str>, column: Box<str> },
    /// A size beyond a stated limit.
    #[allow(missing_docs)]
    Limit { what: Box<str>, limit: u64, found: u64 },
    /// The allocator refused.
    #[allow(missing_docs)]
    OutOfMemory { bytes: usize },

    /// A write started inside another write of the same database on the same thread, where it would wait for ever.
    Reentrant,
    /// A row of a batch is at fault; none of the batch was stored.
    #[allow(missing_docs)]
    InBatch { row: u64, source: Box<Error> },
    /// Something that was to be imported is wrong, at this place of the file. Lines and columns count from 1, columns in
    /// characters. Of the import nothing was stored, unless it was asked to skip what is wrong.
    #[allow(missing_docs)]
    Import { file: Box<str>, line: u64, column: u64, source: Box<Error> },
    /// Text that is not of the format that it was read as.
    #[allow(missing_docs)]
    Syntax { message: Box<str> },
    /// An operation of the transaction failed half-way or its closure's error was swallowed: it can only roll back.
    TransactionFailed,
    /// A file operation failed, and what it was for did not happen.
    #[allow(missing_docs)]
    Io { operation: &'static str, file: Box<str>, source: std::io::Error },
    /// The disk, or what this user may have of it, is full: what was to be written is not there. Writing can go on when
    /// there is space again.
    #[allow(missing_docs)]
    StorageFull { operation: &'static str, file: Box<str>, source: std::io::Error },
    /// The operating system could not say that a file is on stable storage. What was being written is, once reopened,
    /// there whole or not at all. Until then every write is [`Error::Poisoned`].
    #[allow(missing_docs)]
    SyncFailed { operation: &'static str, file: Box<str>, source: std::io::Error },
    /// A write after one whose outcome is unknown. It did not happen; reopen first.
    #[allow(missing_docs)]
    Poisoned { reason: Box<str> },
    /// A write to a database that was closed.
    Closed,
    /// Somebody else has the storage open: another process, or another handle in this one.
    #[allow(missing_docs)]
    Locked { path: Box<str> },
    /// A file is not what was written. Nothing on disk was changed.
    #[allow(missing_docs)]
    Corrupt { file: Box<str>, offset: u64, expected: Box<str>, found: Box<str> },
    /// A file of a format that this version does not know, probably of a newer version. Nothing on disk was changed.
    #[allow(missing_docs)]
    UnsupportedFormat { file: Box<str>, what: &'static str, found: u64, supported: u64 },
    /// A place that is no database and cannot become one.
    #[allow(missing_docs)]
    NotADatabase { path: Box<str>, found: Box<str> },
    /// Somebody else changed the storage in between.
    #[allow(missing_docs)]
    Conflict { what: &'static str, expected: u64, found: u64 },
    /// The log no longer holds this version: a checkpoint covers it.
    #[allow(missing_docs)]
    NotInLog { version: u64, first: u64 },
    /// A call that the storage cannot take as it is, such as a write after it was closed.
    #[allow(missing_docs)]
    InvalidStorageCall { message: &'static str },
    /// The user's own reason to roll a transaction back, as it was given; see [`Error::abort`].
    #[allow(missing_docs)]
    Aborted { source: Box<dyn std::error::Error + Send + Sync> },
}

/// What to do about an error, coarsely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A table or an index that cannot be as it is declared, or that is there already, perhaps otherwise: fix the program.
    Schema,
    /// A row does not fit its table, a type its row, or text its format: fix the row.
    Row,
    /// A row is refused by a unique key or a check.
    Constraint,
    /// What was asked for is not there.
    NotFound,
    /// An operation that is not possible here: fix the call.
    Usage,
    /// A size, a number range or memory has come to its end.
    Limit,
    /// A transaction was rolled back, and nothing happened.
    Aborted,
    /// The environment failed (a disk, its space, another process), and nothing happened: try again when it is mended.
    Environment,
    /// Somebody else was first: look again, then decide.
    Conflict,
    /// What happened is known after reopening, and nothing can be written before.
    Reopen,
    /// Files are damaged, or of a version to come: restore them, or use the version that wrote them.
    Corrupt,
}

/// One thing that is wrong with a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaProblem {
    code: &'static str,
    message: Box<str>,
}

impl SchemaProblem {
    pub(crate) fn new(code: &'static str, message: impl Into<Box<str>>) -> SchemaProblem {
        SchemaProblem { code, message: message.into() }
    }

    /// A stable name in kebab case, such as `duplicate-column`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What is wrong, and what would be right.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for SchemaProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// An error travels in every `Result`: what is larger is boxed.
const _: () = assert!(size_of::<Error>() <= 96);

impl Error {
    /// A schema without a JSON form. None is built that has none.
    #[cold]
    pub(crate) fn of_schema(table: &str, error: &serde_json::Error) -> Self {
        Error::Encode { table: table.into(), column: None, message: error.to_string().into() }
    }

    /// The user's own reason to roll back, from a message or an error. It comes out of the transaction as it went in:
    ///
    /// ```
    /// # let db = folio::Database::in_memory();
    /// use folio::Error;
    ///
    /// let answer = db.transaction(|_| match "42x".parse::<u32>() {
    ///     Ok(number) => Ok(number),
    ///     Err(error) => Err(Error::abort(error)),
    /// });
    /// match answer {
    ///     Err(Error::Aborted { source }) => assert!(source.is::<std::num::ParseIntError>()), // or `downcast`
    ///     other => panic!("{other:?}"),
    /// }
    /// ```
    pub fn abort(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Aborted { source: reason.into() }
    }

    /// A stable name in kebab case, such as `unique-violation`. It does not change between versions.
    pub fn code(&self) -> &'static str {
        match self {
            Error::InvalidSchema { .. } => "invalid-schema",
            Error::NoSuchTable { .. } => "no-such-table",
            Error::TableExists { .. } => "table-exists",
            Error::SchemaDiffers { .. } => "schema-differs",
            Error::MissingClosures { .. } => "missing-closures",
            Error::NoSuchColumn { .. } => "no-such-column",
            Error::NoSuchIndex { .. } => "no-such-index",
            Error::IndexExists { .. } => "index-exists",
            Error::IndexInUse { .. } => "index-in-use",
            Error::WrongHandle { .. } => "wrong-handle",
            Error::ForeignHandle { .. } => "foreign-handle",
            Error::NotARow { .. } => "not-a-row",
            Error::UnknownField { .. } => "unknown-field",
            Error::DuplicateField { .. } => "duplicate-field",
            Error::MissingField { .. } => "missing-field",
            Error::NullNotAllowed { .. } => "null-not-allowed",
            Error::WrongType { .. } => "wrong-type",
            Error::OutOfRange { .. } => "out-of-range",
            Error::WrongArity { .. } => "wrong-arity",
            Error::NanInKey { .. } => "nan-in-key",
            Error::InvalidValue { .. } => "invalid-value",
            Error::Encode { .. } => "encode",
            Error::Decode { .. } => "decode",
            Error::Unique { .. } => "unique-violation",
            Error::Check { .. } => "check-violation",
            Error::NoSuchRow { .. } => "no-such-row",
            Error::InvalidKey { .. } => "invalid-key",
            Error::InvalidQuery { .. } => "invalid-query",
            Error::UnrelatedSnapshots => "unrelated-snapshots",
            Error::AutoIncrementExhausted { .. } => "auto-increment-exhausted",
            Error::Limit { .. } => "limit",
            Error::OutOfMemory { .. } => "out-of-memory",
            Error::Reentrant => "reentrant-write",
            Error::InBatch { source, .. } | Error::Import { source, .. } => source.code(),
            Error::Syntax { .. } => "syntax",
            Error::TransactionFailed => "transaction-failed",
            Error::Io { .. } => "io",
            Error::StorageFull { .. } => "storage-full",
            Error::SyncFailed { .. } => "sync-failed",
            Error::Poisoned { .. } => "poisoned",
            Error::Closed => "closed",
            Error::Locked { .. } => "locked",
            Error::Corrupt { .. } => "corrupt",
            Error::UnsupportedFormat { .. } => "unsupported-format",
            Error::NotADatabase { .. } => "not-a-database",
            Error::Conflict { .. } => "conflict",
            Error::NotInLog { .. } => "not-in-log",
            Error::InvalidStorageCall { .. } => "invalid-storage-call",
            Error::Aborted { .. } => "aborted",
        }
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::InvalidSchema { .. }
            | Error::TableExists { .. }
            | Error::SchemaDiffers { .. }
            | Error::MissingClosures { .. }
            | Error::IndexExists { .. }
            | Error::IndexInUse { .. } => ErrorKind::Schema,
            Error::NotARow { .. }
            | Error::UnknownField { .. }
            | Error::DuplicateField { .. }
            | Error::MissingField { .. }
            | Error::NullNotAllowed { .. }
            | Error::WrongType { .. }
            | Error::OutOfRange { .. }
            | Error::WrongArity { .. }
            | Error::NanInKey { .. }
            | Error::InvalidValue { .. }
            | Error::Encode { .. }
            | Error::Decode { .. }
            | Error::Syntax { .. } => ErrorKind::Row,
            Error::Unique { .. } | Error::Check { .. } => ErrorKind::Constraint,
            Error::NoSuchTable { .. }
            | Error::NoSuchColumn { .. }
            | Error::NoSuchIndex { .. }
            | Error::NoSuchRow { .. }
            | Error::NotInLog { .. } => ErrorKind::NotFound,
            Error::WrongHandle { .. }
            | Error::ForeignHandle { .. }
            | Error::InvalidKey { .. }
            | Error::InvalidQuery { .. }
            | Error::UnrelatedSnapshots
            | Error::Reentrant
            | Error::Closed
            | Error::NotADatabase { .. }
            | Error::InvalidStorageCall { .. } => ErrorKind::Usage,
            Error::AutoIncrementExhausted { .. } | Error::Limit { .. } | Error::OutOfMemory { .. } => ErrorKind::Limit,
            Error::Io { .. } | Error::StorageFull { .. } | Error::Locked { .. } => ErrorKind::Environment,
            Error::Conflict { .. } => ErrorKind::Conflict,
            Error::SyncFailed { .. } | Error::Poisoned { .. } => ErrorKind::Reopen,
            Error::Corrupt { .. } | Error::UnsupportedFormat { .. } => ErrorKind::Corrupt,
            Error::InBatch { source, .. } | Error::Import { source, .. } => source.kind(),
            Error::TransactionFailed | Error::Aborted { .. } => ErrorKind::Aborted,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidSchema { table, problems } => {
                write!(f, "the schema of table `{table}` is invalid:{}", Lines(problems))
            }
            Error::NoSuchTable { table, similar } => write!(f, "no table `{table}`{}", Similar(similar)),
            Error::TableExists { table } => write!(f, "table `{table}` exists already"),
            Error::SchemaDiffers { table, difference } => {
                write!(f, "table `{table}` is there with another schema: {difference}")
            }
            Error::MissingClosures { table, closures } => write!(
                f,
                "table `{table}` came back from storage without its {closures}: give them with `ensure_table` before writing"
            ),
            Error::NoSuchColumn { table, column, similar } => {
                write!(f, "table `{table}` has no column `{column}`{}", Similar(similar))
            }
            Error::NoSuchIndex { table, index, similar } => {
                write!(f, "table `{table}` has no index `{index}`{}", Similar(similar))
            }
            Error::IndexExists { table, index } => write!(f, "table `{table}` has an index `{index}` already"),
            Error::IndexInUse { table, index } => {
                write!(f, "index `{index}` of table `{table}` keeps a column unique and cannot be dropped")
            }
            Error::WrongHandle { table, column, requested, expected } => {
                write!(f, "column `{table}.{column}` cannot be read as {requested}: ask for `{expected}`")
            }
            Error::ForeignHandle { table, column, handle_table } => {
                write!(f, "a handle of {handle_table} table, for its column {column}, was used on table `{table}`")
            }
            Error::NotARow { table, expected, found } => {
                write!(f, "no row of table `{table}`: expected {expected}, found {found}")
            }
            Error::UnknownField { table, field, similar } => {
                write!(f, "table `{table}` has no column for the field `{field}`{}", Similar(similar))
            }
            Error::DuplicateField { table, column } => write!(f, "the row gives `{table}.{column}` twice"),
            Error::MissingField { table, column } => {
                write!(f, "the row has no `{table}.{column}`, which is not nullable and has no default")
            }
            Error::NullNotAllowed { table, column } => {
                write!(f, "`{table}.{column}` cannot be null: the column is not nullable")
            }
            Error::WrongType { table, column, expected, found } => {
                write!(f, "wrong type for `{table}.{column}`: expected {expected}, found {found}")
            }
            Error::OutOfRange { table, column, value, expected } => {
                write!(f, "{value} is out of range for `{table}.{column}`: expected {expected}")
            }
            Error::WrongArity { table, column, expected, found } => {
                let values = if *expected == 1 { "value" } else { "values" };
                write!(f, "{}: expected {expected} {values}, found {found}", Place(table, column))
            }
            Error::NanInKey { table, column } => {
                write!(f, "`{table}.{column}` cannot be NaN: the column is part of a key or an index")
            }
            Error::InvalidValue { table, column, value, expected } => {
                write!(f, "`{value}` is no value for `{table}.{column}`: expected {expected}")
            }
            Error::Encode { table, column, message } => write!(f, "{}: {message}", Place(table, column)),
            Error::Decode { table, column, message } => write!(f, "{}: {message}", Place(table, column)),
            Error::Unique { table, columns, value } => {
                write!(f, "{value} is taken: `{table}` has another row with that {columns}")
            }
            Error::Check { table, column, check, value } => {
                write!(f, "{}: {value} fails the check \"{check}\"", Place(table, column))
            }
            Error::NoSuchRow { table, key } => write!(f, "table `{table}` has no row with the key {key}"),
            Error::InvalidKey { table, expected, found } => {
                write!(f, "wrong key for table `{table}`: expected {expected}, found {found}")
            }
            Error::InvalidQuery { message } => write!(f, "invalid query: {message}"),
            Error::UnrelatedSnapshots => {
                f.write_str("the two snapshots are of unrelated databases and cannot be compared")
            }
            Error::AutoIncrementExhausted { table, column } => {
                write!(f, "`{table}.{column}` has given its last number: there is none above those that it gave")
            }
            Error::Limit { what, limit, found } => write!(f, "{what}: {found} is above the limit of {limit}"),
            Error::OutOfMemory { bytes } => {
                write!(f, "cannot allocate {bytes} bytes: memory, or the database's limit of it, is used up")
            }
            Error::Reentrant => f.write_str(
                "a write was started inside a write of the same database: inside `transaction` use the transaction that is \
                 given; the closure of any other write only reads",
            ),
            Error::InBatch { row, source } => write!(f, "row {row} of the batch: {source}"),
            Error::Import { file, line, column, source } => write!(f, "{file}:{line}:{column}: {source}"),
            Error::Syntax { message } => write!(f, "{message}"),
            Error::TransactionFailed => f.write_str("the transaction has failed and can only be rolled back"),
            Error::Io { operation, file, source } => write!(f, "cannot {operation} `{file}`: {source}"),
            Error::StorageFull { operation, file, .. } => write!(f, "cannot {operation} `{file}`: no space left"),
            Error::SyncFailed { operation, file, source } => {
                write!(f, "cannot {operation} `{file}`: {source}; whether the write is kept is known after reopening")
            }
            Error::Poisoned { reason } => {
                write!(f, "writes are refused until reopened, because of an earlier failure: {reason}")
            }
            Error::Closed => f.write_str("the database is closed"),
            Error::Locked { path } => write!(f, "`{path}` is open already, here or in another process"),
            Error::Corrupt { file, offset, expected, found } => {
                write!(f, "`{file}` is damaged at byte {offset}: expected {expected}, found {found}")
            }
            Error::UnsupportedFormat { file, what, found, supported } => {
                write!(f, "`{file}` has {what} {found}; this version reads up to {supported}")
            }
            Error::NotADatabase { path, found } => write!(f, "`{path}` cannot be used as a database: {found}"),
            Error::Conflict { what, expected, found } => {
                write!(f, "{what} has moved: expected {expected}, found {found}")
            }
            Error::NotInLog { version, first } => {
                write!(f, "version {version} is no longer in the log, which begins at {first}")
            }
            Error::InvalidStorageCall { message } => write!(f, "{message}"),
            Error::Aborted { source } => write!(f, "{source}"),
        }
    }
}

impl std::error::Error for Error {
    /// What is behind the error and not in its text: most texts end with that of their cause, which the variant's field
    /// `source` has, and then this is the cause's own. So a report of the whole chain says each thing once.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::InBatch { source, .. } | Error::Import { source, .. } => source.source(),
            Error::Io { source, .. } | Error::SyncFailed { source, .. } => source.source(),
            Error::StorageFull { source, .. } => Some(source),
            Error::Aborted { source } => source.source(),
            _ => None,
        }
    }
}

impl RowError {
    /// The public error: the same, in this table.
    #[cold]
    pub(crate) fn in_table(self, table: &str) -> Error {
        let (located, kind) = self.into_parts();
        let table = Box::from(table);
        // Errors of one value have a column wherever a row is written; a key's values, which have none, say so.
        let column = located.clone().unwrap_or_else(|| "(key)".into());
        match kind {
            RowErrorKind::NotARow { expected, found } => Error::NotARow { table, expected, found },
            RowErrorKind::UnknownField { field, similar } => Error::UnknownField { table, field, similar },
            RowErrorKind::DuplicateField => Error::DuplicateField { table, column },
            RowErrorKind::MissingField => Error::MissingField { table, column },
            RowErrorKind::NullNotAllowed => Error::NullNotAllowed { table, column },
            RowErrorKind::WrongType { expected, found } => Error::WrongType { table, column, expected, found },
            RowErrorKind::OutOfRange { value, expected } => Error::OutOfRange { table, column, value, expected },
            RowErrorKind::WrongArity { expected, found } => {
                Error::WrongArity { table, column: located, expected, found }
            }
            RowErrorKind::NanInKey => Error::NanInKey { table, column },
            RowErrorKind::InvalidValue { value, expected } => Error::InvalidValue { table, column, value, expected },
            RowErrorKind::NoSuchColumn { similar } => Error::NoSuchColumn { table, column, similar },
            RowErrorKind::WrongHandle { requested, expected } => {
                Error::WrongHandle { table, column, requested, expected }
            }
            RowErrorKind::Check { check, value } => Error::Check { table, column: located, check, value },
            RowErrorKind::OutOfMemory { bytes } => Error::OutOfMemory { bytes },
            RowErrorKind::Encode { message } => Error::Encode { table, column: located, message },
            RowErrorKind::Decode { message } => Error::Decode { table, column: located, message },
        }
    }
}

/// Each problem on a line of its own.
struct Lines<'a>(&'a [SchemaProblem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|problem| write!(f, "\n- {problem}"))
    }
}

/// The question behind an unknown name, if a known one is near.
struct Similar<'a>(&'a Option<Box<str>>);

impl fmt::Display for Similar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |name| write!(f, "; did you mean `{name}`?"))
    }
}

/// A table, or a column of it.
struct Place<'a>(&'a str, &'a Option<Box<str>>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(column) => write!(f, "`{}.{column}`", self.0),
            None => write!(f, "table `{}`", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_would_be_right() {
        let problems = vec![SchemaProblem::new("a", "first"), SchemaProblem::new("b", "second")];
        let error = Error::InvalidSchema { table: "t".into(), problems };
        assert_eq!(error.to_string(), "the schema of table `t` is invalid:\n- first\n- second");
        let error = Error::NoSuchTable { table: "t".into(), similar: Some("tt".into()) };
        assert_eq!(error.to_string(), "no table `t`; did you mean `tt`?");
        assert_eq!((error.code(), error.kind()), ("no-such-table", ErrorKind::NotFound));
    }

    #[test]
    fn an_aborted_transaction_keeps_its_reason() {
        let error = Error::abort("not enough money");
        assert_eq!(error.to_string(), "not enough money");
        assert!(matches!(error, Error::Aborted { source } if source.to_string() == "not enough money"));
    }

    #[test]
    fn a_row_error_becomes_the_tables() {
        let error = RowError::at("age", RowErrorKind::NullNotAllowed).in_table("people");
        assert_eq!(error.to_string(), "`people.age` cannot be null: the column is not nullable");
    }
}
