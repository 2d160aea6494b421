//! What can be wrong with one row or one value, before a table's name is known.
//!
//! The layers above add the table: `RowError::in_table` (in `error`) makes the public error of it. A `RowError` is one
//! pointer, so that the `Result`s of the encoding path stay in registers.

use serde_core::de::{Expected, Unexpected};
use std::fmt::{self, Write};

/// One problem with a row, with the column it concerns if it concerns one.
#[derive(Debug, Clone)]
pub(crate) struct RowError(Box<Located>);

#[derive(Debug, Clone)]
struct Located {
    column: Option<Box<str>>,
    kind: RowErrorKind,
}

/// What is wrong. Texts named `expected` finish the sentence "expected ...".
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RowErrorKind {
    /// The row is not a struct, map, tuple or sequence.
    NotARow { expected: &'static str, found: Box<str> },
    /// A field that no column has.
    UnknownField { field: Box<str>, similar: Option<Box<str>> },
    /// A field given twice.
    DuplicateField,
    /// A column without a value and without a default.
    MissingField,
    /// Null for a column that is not nullable.
    NullNotAllowed,
    /// A value of a type that does not fit the column.
    WrongType { expected: Box<str>, found: Box<str> },
    /// A value of the right type that the column cannot hold.
    OutOfRange { value: Box<str>, expected: Box<str> },
    /// A tuple, sequence or key with the wrong number of values.
    WrongArity { expected: usize, found: usize },
    /// NaN in a column of a key or an index.
    NanInKey,
    /// Text that does not parse as what the column holds.
    InvalidValue { value: Box<str>, expected: Box<str> },
    /// A check asks for a column that the table does not have.
    NoSuchColumn { similar: Option<Box<str>> },
    /// A check asks for a column as another type than it has.
    WrongHandle { requested: Box<str>, expected: Box<str> },
    /// A check that refused the value. The row's own checks have no column.
    Check { check: Box<str>, value: Box<str> },
    /// The allocator refused.
    OutOfMemory { bytes: usize },
    /// A message of the user's own `Serialize`.
    Encode { message: Box<str> },
    /// A message of the user's own `Deserialize`, or of serde on its behalf.
    Decode { message: Box<str> },
}

impl RowError {
    /// An error that concerns no single column.
    #[cold]
    pub(crate) fn new(kind: RowErrorKind) -> RowError {
        RowError(Box::new(Located { column: None, kind }))
    }

    /// An error in the value of `column`.
    #[cold]
    pub(crate) fn at(column: &str, kind: RowErrorKind) -> RowError {
        RowError(Box::new(Located { column: Some(column.into()), kind }))
    }

    /// Adds the column, unless the error already names one.
    #[cold]
    pub(crate) fn in_column(mut self, column: &str) -> RowError {
        self.0.column.get_or_insert_with(|| column.into());
        self
    }

    /// Adds which element of an array, or of a sequence of bytes, the error is about.
    #[cold]
    pub(crate) fn in_element(mut self, index: usize) -> RowError {
        self.0.kind = self.0.kind.in_element(index);
        self
    }

    #[cfg(test)]
    pub(crate) fn kind(&self) -> &RowErrorKind {
        &self.0.kind
    }

    /// The column and what is wrong.
    pub(crate) fn into_parts(self) -> (Option<Box<str>>, RowErrorKind) {
        let Located { column, kind } = *self.0;
        (column, kind)
    }
}

impl RowErrorKind {
    pub(crate) fn wrong_type(expected: impl fmt::Display, found: impl fmt::Display) -> RowErrorKind {
        RowErrorKind::WrongType { expected: expected.to_string().into(), found: found.to_string().into() }
    }

    pub(crate) fn out_of_range(value: impl fmt::Display, expected: impl fmt::Display) -> RowErrorKind {
        RowErrorKind::OutOfRange { value: value.to_string().into(), expected: expected.to_string().into() }
    }

    /// See [`RowError::in_element`].
    #[cold]
    pub(crate) fn in_element(mut self, index: usize) -> RowErrorKind {
        if let RowErrorKind::WrongType { expected, .. }
        | RowErrorKind::OutOfRange { expected, .. }
        | RowErrorKind::InvalidValue { expected, .. } = &mut self
        {
            *expected = format!("{expected} as element {index}").into();
        }
        self
    }

    pub(crate) fn invalid(value: &str, expected: impl fmt::Display) -> RowErrorKind {
        RowErrorKind::InvalidValue { value: excerpt(value).into(), expected: expected.to_string().into() }
    }
}

/// So many characters of a value are shown, so that an error about a huge one is not huge itself.
const SHOWN_CHARS_MAX: usize = 100;

/// The start of a text from outside.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX).and_then(|(end, _)| text.get(..end)) {
        Some(start) => format!("{start}... ({} bytes)", text.len()),
        None => text.to_owned(),
    }
}

/// The start of how a value is shown. The rest is not even made: it may be many times as long as the value, for which there
/// need not be memory.
pub(crate) fn excerpt_of(value: impl fmt::Display) -> String {
    struct Start {
        text: String,
        chars_left: usize,
    }

    impl fmt::Write for Start {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            match part.char_indices().nth(self.chars_left).and_then(|(end, _)| part.get(..end)) {
                Some(start) => {
                    self.text.push_str(start);
                    Err(fmt::Error)
                }
                None => {
                    self.text.push_str(part);
                    self.chars_left -= part.chars().count();
                    Ok(())
                }
            }
        }
    }

    let mut start = Start { text: String::new(), chars_left: SHOWN_CHARS_MAX };
    let written = write!(start, "{value}");
    start.text + if written.is_ok() { "" } else { "..." }
}

impl fmt::Display for RowErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use RowErrorKind::*;
        match self {
            NotARow { expected, found } => write!(f, "expected {expected}, found {found}"),
            UnknownField { field, similar: None } => write!(f, "no column `{field}`"),
            UnknownField { field, similar: Some(similar) } => {
                write!(f, "no column `{field}`; did you mean `{similar}`?")
            }
            DuplicateField => write!(f, "given twice"),
            MissingField => write!(f, "missing, and the column has no default"),
            NullNotAllowed => write!(f, "null, and the column is not nullable"),
            WrongType { expected, found } => write!(f, "expected {expected}, found {found}"),
            OutOfRange { value, expected } => write!(f, "{value} is out of range: expected {expected}"),
            WrongArity { expected, found } => write!(f, "expected {expected} values, found {found}"),
            NoSuchColumn { similar: None } => write!(f, "no such column"),
            NoSuchColumn { similar: Some(similar) } => write!(f, "no such column; did you mean `{similar}`?"),
            WrongHandle { requested, expected } => write!(f, "cannot be read as {requested}: ask for `{expected}`"),
            NanInKey => write!(f, "NaN cannot be in a key or an index"),
            InvalidValue { value, expected } => write!(f, "`{value}` is not {expected}"),
            Check { check, value } => write!(f, "{value} fails the check `{check}`"),
            OutOfMemory { bytes } => write!(f, "cannot allocate {bytes} bytes"),
            Encode { message } | Decode { message } => write!(f, "{message}"),
        }
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.column {
            Some(column) => write!(f, "column `{column}`: {}", self.0.kind),
            None => write!(f, "{}", self.0.kind),
        }
    }
}

impl std::error::Error for RowError {}

impl From<RowErrorKind> for RowError {
    #[cold]
    fn from(kind: RowErrorKind) -> RowError {
        RowError::new(kind)
    }
}

impl serde_core::ser::Error for RowError {
    fn custom<T: fmt::Display>(message: T) -> RowError {
        RowError::new(RowErrorKind::Encode { message: message.to_string().into() })
    }
}

impl serde_core::de::Error for RowError {
    fn custom<T: fmt::Display>(message: T) -> RowError {
        RowError::new(RowErrorKind::Decode { message: message.to_string().into() })
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> RowError {
        match found {
            // What serde calls so is null in a column.
            Unexpected::Unit | Unexpected::Option => {
                Self::custom(format_args!("expected {expected}, found null; an `Option` takes both"))
            }
            found => Self::custom(format_args!("expected {expected}, found {found}")),
        }
    }
}
