//! A row as a JSON object, a field for each column in order: how rows stand in files of JSON.

use super::columns::Columns;
use super::json_text::{write_json, write_text};
use super::shape::{Shape, ShapeColumn};
use super::types::Type;
use std::convert::Infallible;

/// Writes rows of one shape.
pub(crate) struct JsonRows {
    /// Of each column what stands before its value, a comma and the name, quoted, made once; and its type.
    columns: Vec<(Vec<u8>, Type)>,
}

impl JsonRows {
    pub(crate) fn new(shape: &Shape) -> Self {
        let column = |column: &ShapeColumn| {
            let mut text = b",".to_vec();
            let Ok(()) = write_text(column.name.as_bytes(), &mut |part| {
                text.extend_from_slice(part);
                Ok::<(), Infallible>(())
            });
            text.push(b':');
            (text, column.ty)
        };
        Self { columns: shape.columns().iter().map(column).collect() }
    }

    /// Values are as [`write_json`] says; null is `null`.
    pub(crate) fn write<E>(&self, row: &impl Columns, put: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.write_some(row, |_| true, put)
    }

    /// The same for the columns that are `wanted`, by number.
    pub(crate) fn write_some<E>(
        &self,
        row: &impl Columns,
        wanted: impl Fn(usize) -> bool,
        put: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        put(b"{")?;
        let mut columns = self.columns.iter().enumerate().filter(|(index, _)| wanted(*index));
        let mut without_comma = 1;
        columns.try_for_each(|(index, (name, ty))| {
            put(name.get(std::mem::take(&mut without_comma)..).unwrap_or_default())?;
            match row.column_bytes(index) {
                Some(bytes) => write_json(*ty, bytes, put),
                None => put(b"null"),
            }
        })?;
        put(b"}")
    }
}
