//! A row that a closure changes.

use crate::error::Result;
use crate::table::definition::TableDef;
use crate::table::row::{Field, Row, foreign_handle};
use crate::value::{Columns, Readable, RowBuf, Value};

/// One row in the hands of the closure of [`Table::modify`](crate::Table::modify): reads give what the row has now, sets
/// change it when the closure has ended.
pub struct RowMut<'r> {
    pub(crate) def: &'r TableDef,
    pub(crate) row: &'r mut RowBuf,
    /// As stored.
    pub(crate) old: &'r Row<'r>,
}

impl std::fmt::Debug for RowMut<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowMut").field("table", &self.def.name()).finish_non_exhaustive()
    }
}

impl RowMut<'_> {
    /// The value of a column, with what has been set already. A handle of another table reads as zero, empty or `None`,
    /// and the change then fails with [`Error::ForeignHandle`](crate::Error::ForeignHandle).
    #[inline]
    pub fn get<T: Readable + ?Sized>(&self, field: Field<T>) -> T::Ref<'_> {
        let index = field.index as usize;
        if field.table == self.def.table && self.row.is_set(index) {
            return T::read(field.ty, self.row.column_bytes(index));
        }
        self.old.get(field)
    }

    /// Gives a column a value; [`Value::Null`] makes a nullable one null.
    ///
    /// # Errors
    /// [`Error::WrongType`](crate::Error::WrongType) and [`Error::OutOfRange`](crate::Error::OutOfRange) if the value
    /// does not fit, [`Error::NullNotAllowed`](crate::Error::NullNotAllowed),
    /// [`Error::ForeignHandle`](crate::Error::ForeignHandle). The row is as it was before the call.
    pub fn set<T: ?Sized>(&mut self, field: Field<T>, value: impl Into<Value>) -> Result<()> {
        if field.table != self.def.table {
            return Err(foreign_handle(self.def, field.index as usize));
        }
        let shape = self.def.schema.shape();
        let value: Value = value.into();
        self.row.set_value(shape, field.index as usize, value.as_ref()).map_err(|error| error.in_table(self.def.name()))
    }

    /// The row id.
    pub fn id(&self) -> u64 {
        self.old.id()
    }
}
