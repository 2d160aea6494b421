//! How a closure of a test ends: well, with an error, or with a panic.

use folio::{Error, Result};
use std::panic::resume_unwind;

/// The payload of a panic that a test planned.
pub(crate) struct Planned;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    Error,
    Panic,
}

/// Ends so; a planned panic leaves no message behind.
pub(crate) fn end(ending: Ending) -> Result<()> {
    match ending {
        Ending::Success => Ok(()),
        Ending::Error => Err(Error::abort("planned")),
        Ending::Panic => resume_unwind(Box::new(Planned)),
    }
}
