//! JSON Lines: the rows of one table, or a whole database.
//!
//! ```json
//! {"folio":"export","format":1}
//! {"table":{"schema":{"name":"cities","columns":[{"name":"name","type":"string"}]}}}
//! {"row":{"name":"Oslo"}}
//! {"end":{"tables":1,"rows":1}}
//! ```
//!
//! Of one table the rows stand alone, as they do in other programs' files. Of a database each line says what it is: a line
//! that is wrong can be skipped only if it begins as a row, since behind a lost table rows would go astray; and the end
//! shows that none are missing. Empty lines are passed over.

use super::row::{Fault, text_of};
use super::session::{Rows, Session};
use crate::error::{Error, Result};
use crate::schema::Schema;
use crate::transaction::tx::Transaction;
use crate::value::{FieldName, read_form};
use serde_core::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::io::Read;
use std::ops::Range;

struct Head {
    folio: String,
    format: u64,
}

/// A line of a database, behind the head.
enum Line<'a> {
    Row(&'a RawValue),
    Table(Box<TableHead>),
    End(End),
}

struct TableHead {
    schema: Schema,
    next_id: Option<u64>,
}

struct End {
    tables: u64,
    rows: u64,
}

read_form!(impl<'de> for Head, { folio: "folio", format: "format" }, {});
read_form!(impl<'de> for TableHead, { schema: "schema" }, { next_id: "next_id" });
read_form!(impl<'de> for End, { tables: "tables", rows: "rows" }, {});

impl<'de> Deserialize<'de> for Line<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneField;

        impl<'de> Visitor<'de> for OneField {
            type Value = Line<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with one field")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line<'de>, A::Error> {
                let line = match map.next_key_seed(FieldName(&["row", "table", "end"]))? {
                    Some("row") => Line::Row(map.next_value()?),
                    Some("table") => Line::Table(map.next_value()?),
                    Some(_) => Line::End(map.next_value()?),
                    None => return Err(A::Error::invalid_length(0, &self)),
                };
                match map.next_key_seed(FieldName(&[]))? {
                    None => Ok(line),
                    Some(_) => Err(A::Error::invalid_length(2, &self)),
                }
            }
        }

        deserializer.deserialize_map(OneField)
    }
}

/// What follows the rows of a table.
enum Next {
    Table(Box<TableHead>),
    End(End),
}

impl<R: Read> Session<R> {
    /// Takes the next line that is not empty, and answers where in it the text is.
    fn line(&mut self) -> Result<Option<Range<usize>>> {
        while self.input.line(&mut self.record)? {
            let text = &self.record.text;
            // Of one that is too long only the beginning is there.
            if self.input.check_length(&self.record).is_err() {
                return Ok(Some(0..text.len()));
            }
            let part = text.len() - text.trim_ascii_start().len()..text.trim_ascii_end().len();
            if !part.is_empty() {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    /// Takes rows, if there is a table for them, up to what is none.
    fn rows_of_lines(&mut self, mut rows: Option<Rows<'_, '_>>) -> Result<Next> {
        let next = loop {
            let Some(part) = self.line()? else {
                return Err(self.unexpected("a line with a row, a table or the end"));
            };
            let line = self.input.check_length(&self.record).map_err(|error| Fault::new(0, error));
            let line = line.and_then(|()| parse(&self.record.text));
            let fault = match (line, &mut rows) {
                (Ok(Parsed::Row(part)), Some(rows)) => {
                    self.take_object(rows, part)?;
                    continue;
                }
                (Ok(Parsed::Row(_)), None) => {
                    Fault::new(part.start, Error::Syntax { message: "expected a table before its rows".into() })
                }
                (Ok(Parsed::Next(next)), _) => break next,
                (Err(fault), Some(rows)) if self.record.text.trim_ascii_start().starts_with(b"{\"row\"") => {
                    let place = self.record.at(fault.offset);
                    self.tally.take(rows, self.record.place, Err((place, fault.error)))?;
                    continue;
                }
                (Err(fault), _) => fault,
            };
            return Err(self.tally.at(self.record.at(fault.offset), fault.error));
        };
        if let Some(rows) = &mut rows {
            self.tally.store(rows)?;
        }
        Ok(next)
    }
}

enum Parsed {
    /// Where the row is.
    Row(Range<usize>),
    Next(Next),
}

fn parse(line: &[u8]) -> Result<Parsed, Fault> {
    let text = text_of(line)?;
    Ok(match serde_json::from_str(text).map_err(|error| Fault::syntax(text, &error))? {
        Line::Row(row) => {
            let start = row.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
            Parsed::Row(start..start + row.get().len())
        }
        Line::Table(head) => Parsed::Next(Next::Table(head)),
        Line::End(end) => Parsed::Next(Next::End(end)),
    })
}

/// The rows of one table.
pub(super) fn import_rows<R: Read>(mut session: Session<R>, mut rows: Rows<'_, '_>) -> Result<Session<R>> {
    while let Some(part) = session.line()? {
        session.take_object(&mut rows, part)?;
    }
    session.tally.store(&mut rows)?;
    Ok(session)
}

/// A whole database.
pub(super) fn import_all<R: Read>(mut session: Session<R>, transaction: &Transaction<'_>) -> Result<Session<R>> {
    if session.line()?.is_none() {
        return Err(session.unexpected("the head of an export"));
    }
    let Head { folio, format } = session.parsed()?;
    session.check_head(&folio, format)?;
    let mut tables = 0;
    let mut next = session.rows_of_lines(None)?;
    loop {
        match next {
            Next::Table(head) => {
                let TableHead { schema, next_id } = *head;
                let (target, place) = (session.target(transaction, schema)?, session.record.place);
                tables += 1;
                next = session.rows_of_lines(Some(Rows::new(&target.table)))?;
                if let Some(next_id) = next_id {
                    session.raise_next(&target, place, next_id)?;
                }
            }
            Next::End(end) => {
                let found = (tables, session.tally.records);
                if (end.tables, end.rows) != found {
                    let message = format!(
                        "expected the end of {} tables with {} rows, as many as came; found that of {} with {}",
                        found.0, found.1, end.tables, end.rows
                    );
                    return Err(session.tally.at(session.record.place, Error::Syntax { message: message.into() }));
                }
                return match session.line()? {
                    None => Ok(session),
                    Some(_) => {
                        let message = "expected nothing behind the end".into();
                        Err(session.tally.at(session.record.place, Error::Syntax { message }))
                    }
                };
            }
        }
    }
}
