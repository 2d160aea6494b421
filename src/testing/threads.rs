//! Databases that do nothing by themselves, so that what a test does makes the same calls of the storage each time.

use crate::database::{Database, DatabaseBuilder};
use crate::error::Result;

/// Lets the database that `builder` opens start no threads: it makes no checkpoint and no sync by itself, and with
/// [`Durability::Interval`](crate::Durability::Interval) its log is written by [`write_log`], a sync, a checkpoint, a
/// transaction that requires a sync, and closing.
pub fn without_threads(builder: DatabaseBuilder) -> DatabaseBuilder {
    builder.without_threads()
}

/// Hands all that was committed to the operating system, as the thread of
/// [`Durability::Interval`](crate::Durability::Interval) does. In other modes nothing is left to do.
///
/// # Errors
/// [`Error::StorageFull`](crate::Error::StorageFull), [`Error::Io`](crate::Error::Io): no write begins before it has
/// succeeded. [`Error::Poisoned`](crate::Error::Poisoned), [`Error::Closed`](crate::Error::Closed).
pub fn write_log(db: &Database) -> Result<()> {
    db.write_log()
}
