//! What a manifest says of the tables: which of its objects are whose.

use crate::error::{Error, Result};
use crate::storage::{Format, Manifest, Object, ObjectKind};
use crate::table::image;
use crate::table::version::TABLES_MAX;
use crate::value::{SortedMap, read_form};
use serde_json::json;

/// The newest form that this version reads.
const FORM: u64 = 1;
const FILE: &str = "manifest";

/// The content of a manifest: the tables in the order of their objects, which are for each its schema, then its parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) tables: Vec<TableContents>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct TableContents {
    pub(super) name: String,
    pub(super) slot: usize,
    pub(super) parts: usize,
}

read_form!(impl<'de> for TableContents, { name: "name", slot: "slot", parts: "parts" }, {});

/// A table as a manifest names it.
#[derive(Debug)]
pub(super) struct NamedTable<'m> {
    pub(super) name: &'m str,
    pub(super) slot: usize,
    pub(super) schema: &'m Object,
    pub(super) parts: &'m [Object],
}

impl Contents {
    pub(super) fn to_json(&self) -> serde_json::Value {
        let table =
            |TableContents { name, slot, parts }: &TableContents| json!({ "name": name, "slot": slot, "parts": parts });
        json!({ "form": FORM, "tables": self.tables.iter().map(table).collect::<Vec<_>>() })
    }

    /// What the manifest's content says. A new storage's has nothing.
    pub(super) fn read(manifest: &Manifest) -> Result<Self> {
        let content = &manifest.checkpoint.content;
        if content.is_null() && manifest.checkpoint.objects.is_empty() {
            return Ok(Self::default());
        }
        let form = content.get("form").and_then(serde_json::Value::as_u64);
        match form {
            Some(FORM) => {}
            Some(found) => {
                return Err(Error::UnsupportedFormat { file: FILE.into(), what: "form", found, supported: FORM });
            }
            None => return Err(damaged("a form", format!("{content}"))),
        }
        let tables = content.get("tables").unwrap_or(&serde_json::Value::Null);
        let tables = serde_json::from_str(&tables.to_string()).map_err(|error| damaged("tables", error.to_string()))?;
        Ok(Self { tables })
    }

    /// The tables with their objects, in the order of their slots.
    pub(super) fn tables<'m>(&'m self, manifest: &'m Manifest) -> Result<Vec<NamedTable<'m>>> {
        let mut objects = &manifest.checkpoint.objects[..];
        let mut tables = SortedMap::default();
        for table in &self.tables {
            let too_few = || damaged("objects for each table", format!("too few for `{}`", table.name));
            let (schema, rest) = objects.split_first().ok_or_else(too_few)?;
            let (parts, rest) = rest.split_at_checked(table.parts).ok_or_else(too_few)?;
            objects = rest;
            let is_own = |object: &Object, kind| object.kind() == kind && object.table() == table.name;
            if !is_own(schema, ObjectKind::Schema) || !parts.iter().all(|part| is_own(part, ObjectKind::Records)) {
                return Err(damaged(format!("the objects of `{}`", table.name), "others"));
            }
            if table.slot >= TABLES_MAX {
                return Err(damaged(format!("slots below {TABLES_MAX}"), table.slot.to_string()));
            }
            let named = NamedTable { name: &table.name, slot: table.slot, schema, parts };
            if tables.insert(table.slot, named).is_some() {
                return Err(damaged("a slot for each table", "one for two"));
            }
        }
        if !objects.is_empty() {
            return Err(damaged("objects of tables", format!("{} more", objects.len())));
        }
        Ok(tables.into_values())
    }
}

pub(super) fn image_format(format: Format) -> image::Format {
    match format {
        Format::Binary => image::Format::Binary,
        Format::JsonLines => image::Format::JsonLines,
    }
}

pub(super) fn storage_format(format: image::Format) -> Format {
    match format {
        image::Format::Binary => Format::Binary,
        image::Format::JsonLines => Format::JsonLines,
    }
}

#[cold]
pub(super) fn damaged(expected: impl Into<Box<str>>, found: impl Into<Box<str>>) -> Error {
    Error::Corrupt { file: FILE.into(), offset: 0, expected: expected.into(), found: found.into() }
}
