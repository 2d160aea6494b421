//! JSON as one document, read as a stream: an array of rows, or the export of a whole database.
//!
//! ```json
//! {"folio":"export","format":1,"tables":[
//! {"schema":{"name":"cities","columns":[{"name":"name","type":"string"}]},"rows":[
//! {"name":"Oslo"},
//! {"name":"Rome"}
//! ]}
//! ]}
//! ```
//!
//! A table whose rows are numbered by their key has `"next_id"` as well, the lowest number that was never given. The head
//! comes before the tables and a schema before its rows, so that nothing has to be kept.

use super::session::{Rows, Session};
use crate::error::{Error, Result};
use crate::schema::Schema;
use crate::transaction::tx::Transaction;
use std::io::Read;

impl<R: Read> Session<R> {
    /// Takes the byte that must come next.
    fn expect(&mut self, byte: u8, expected: &str) -> Result<()> {
        self.input.skip_space()?;
        if self.input.peek()? != Some(byte) {
            return Err(self.unexpected(expected));
        }
        self.input.skip();
        Ok(())
    }

    /// Takes the next value into the record.
    fn value(&mut self) -> Result<()> {
        self.input.skip_space()?;
        match self.input.value(&mut self.record)? {
            true if self.record.is_empty() => Err(self.unexpected("a value")),
            true => Ok(()),
            false => Err(self.unexpected("the rest of a value")),
        }
    }

    /// Whether another member comes, of an object or an array that ends with `end`.
    fn has_more(&mut self, is_first: bool, end: u8) -> Result<bool> {
        self.input.skip_space()?;
        let next = self.input.peek()?;
        if next == Some(end) {
            self.input.skip();
            return Ok(false);
        }
        match (is_first, next) {
            (true, Some(_)) => {}
            (false, Some(b',')) => {
                self.input.skip();
                self.input.skip_space()?;
            }
            (_, _) => return Err(self.unexpected(if end == b']' { "`,` or `]`" } else { "`,` or `}`" })),
        }
        Ok(true)
    }

    /// Runs `visit` for each key of an object, with the input before its value.
    fn each_key(&mut self, mut visit: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        self.expect(b'{', "an object")?;
        let mut is_first = true;
        while self.has_more(is_first, b'}')? {
            is_first = false;
            if self.input.peek()? != Some(b'"') {
                return Err(self.unexpected("a key"));
            }
            self.value()?;
            let key: String = self.parsed()?;
            self.expect(b':', "`:`")?;
            visit(self, &key)?;
        }
        Ok(())
    }

    /// Runs `visit` for each element of an array, with the input before it.
    fn each_element(&mut self, mut visit: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.expect(b'[', "an array")?;
        let mut is_first = true;
        while self.has_more(is_first, b']')? {
            is_first = false;
            visit(self)?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.input.skip_space()?;
        match self.input.peek()? {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the file")),
        }
    }

    fn misplaced(&self, message: impl Into<Box<str>>) -> Error {
        self.tally.at(self.record.place, Error::Syntax { message: message.into() })
    }

    fn rows(&mut self, rows: &mut Rows<'_, '_>) -> Result<()> {
        self.each_element(|session| {
            session.value()?;
            session.take_object(rows, 0..session.record.text.len())
        })?;
        self.tally.store(rows)
    }

    fn document_table(&mut self, transaction: &Transaction<'_>) -> Result<()> {
        let (mut target, mut next_id, mut has_rows) = (None, None, false);
        self.each_key(|session, key| {
            match key {
                "schema" if target.is_none() => {
                    session.value()?;
                    let schema: Schema = session.parsed()?;
                    target = Some(session.target(transaction, schema)?);
                }
                "next_id" if next_id.is_none() => {
                    session.value()?;
                    next_id = Some((session.record.place, session.parsed()?));
                }
                "rows" if !has_rows => {
                    has_rows = true;
                    let expected = "expected \"schema\" before \"rows\"";
                    let target = target.as_ref().ok_or_else(|| session.misplaced(expected))?;
                    session.rows(&mut Rows::new(&target.table))?;
                }
                key => {
                    return Err(session.misplaced(format!("a table has no second or other \"{}\"", key.escape_debug())));
                }
            }
            Ok(())
        })?;
        match (target, next_id) {
            (None, _) => Err(self.unexpected("a table with a schema before here")),
            (Some(target), Some((place, next_id))) => self.raise_next(&target, place, next_id),
            (Some(_), None) => Ok(()),
        }
    }
}

/// An array of rows of one table.
pub(super) fn import_rows<R: Read>(mut session: Session<R>, mut rows: Rows<'_, '_>) -> Result<Session<R>> {
    session.rows(&mut rows)?;
    session.end()?;
    Ok(session)
}

/// A whole database.
pub(super) fn import_all<R: Read>(mut session: Session<R>, transaction: &Transaction<'_>) -> Result<Session<R>> {
    let (mut folio, mut is_known, mut has_tables) = (None, false, false);
    session.each_key(|session, key| {
        match (key, &folio) {
            ("folio", None) => {
                session.value()?;
                folio = Some(session.parsed::<String>()?);
            }
            ("format", Some(folio)) if !is_known => {
                session.value()?;
                session.check_head(folio, session.parsed()?)?;
                is_known = true;
            }
            ("tables", _) if is_known && !has_tables => {
                has_tables = true;
                session.each_element(|session| session.document_table(transaction))?;
            }
            (key, _) => {
                let expected = "expected \"folio\", \"format\" and \"tables\" in this order";
                return Err(session.misplaced(format!("{expected}, found \"{}\"", key.escape_debug())));
            }
        }
        Ok(())
    })?;
    if !has_tables {
        return Err(session.unexpected("\"tables\" before here"));
    }
    session.end()?;
    Ok(session)
}
