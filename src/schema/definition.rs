//! A schema that is valid, and what it does to rows.

use std::fmt;
use std::panic::RefUnwindSafe;
use std::sync::Arc;

use super::builder::SchemaBuilder;
use super::check::{CheckRow, RowCheck};
use super::column::{ColumnDef, DefaultValue};
use super::index::{Index, IndexDef};
use super::validate::Valid;
use crate::value::{Columns, RowBuf, RowError, RowErrorKind, Scalar, Shape, ShapeColumn, Type, excerpt_of};

/// What a table is: its columns, keys, indexes and checks. Cheap to clone.
///
/// Prints as a readable definition. Its JSON form, through serde, is stable; closures of defaults and checks are named in
/// it but cannot be restored from it, see [`Schema::missing_closures`]. It is this, of which all but names, types, kinds and
/// an index's columns may be left out, and nothing else may stand in it:
///
/// ```json
/// { "name": "students",
///   "columns": [{ "name": "id", "type": "u64", "auto_increment": true },
///               { "name": "email", "type": "string", "nullable": true, "unique": true },
///               { "name": "gpa", "type": "f64", "default": 0.0, "checks": ["between 0 and 4"] },
///               { "name": "since", "type": "timestamp", "default_closure": true }],
///   "primary_key": ["id"],
///   "indexes": [{ "name": "students_by_gpa", "kind": "ordered", "columns": ["gpa"], "unique": false }],
///   "checks": ["a check of the whole row"] }
/// ```
///
/// Unique columns have their indexes by that, and they are not listed.
#[derive(Clone)]
pub struct Schema(Arc<Parts>);

struct Parts {
    name: Box<str>,
    columns: Box<[ColumnDef]>,
    primary_key: Box<[usize]>,
    indexes: Box<[IndexDef]>,
    checks: Box<[RowCheck]>,
    shape: Shape,
    /// The column that rows are numbered by.
    auto_increment: Option<usize>,
    /// What a column that is not set becomes.
    fills: Box<[Fill]>,
    /// Float columns of keys and indexes, where NaN is refused.
    ordered_floats: Box<[usize]>,
    /// Columns with checks that can run.
    checked: Box<[usize]>,
    /// Whether a check has lost its closure.
    lacks_checks: bool,
    /// Whether a check can look at the column that rows are numbered by.
    checks_number: bool,
}

/// What a column that is not set becomes.
enum Fill {
    /// The table's next number: left not set.
    Number,
    Null,
    Packed(Box<[u8]>),
    /// The answer of the column's closure.
    Closure,
    /// An error.
    Missing,
}

// Of the closures within, what a panic leaves in one is its own affair.
impl RefUnwindSafe for Parts {}

impl Schema {
    /// Starts a schema for a table of this name.
    pub fn builder(name: impl Into<String>) -> SchemaBuilder {
        SchemaBuilder::new(name.into())
    }

    pub(super) fn assemble(builder: SchemaBuilder, valid: Valid) -> Schema {
        let SchemaBuilder { name, mut columns, checks, .. } = builder;
        let Valid { primary_key, indexes, defaults } = valid;
        // As it would be read from the schema's JSON form: 0 for a time, or for a float, is not kept as the integer. So
        // two schemas with one default have one JSON form, in whatever words it was given.
        for (column, packed) in columns.iter_mut().zip(&defaults) {
            if let Some(packed) = packed {
                column.default = DefaultValue::Value(column.ty.unpack(packed).to_owned());
            }
        }
        let auto_increment = columns.iter().position(|column| column.auto_increment);
        let shape_column =
            |column: &ColumnDef| ShapeColumn { name: column.name.clone(), ty: column.ty, nullable: column.nullable };
        let shape = Shape::new(columns.iter().map(shape_column).collect()).generating(auto_increment);
        let fills = columns.iter().zip(defaults).map(|(column, packed)| Fill::of(column, packed)).collect();
        let in_key =
            |place: &usize| primary_key.contains(place) || indexes.iter().any(|index| index.columns.contains(place));
        let places = |wanted: &dyn Fn(&ColumnDef) -> bool| -> Vec<usize> {
            columns.iter().enumerate().filter(|(_, column)| wanted(column)).map(|(place, _)| place).collect()
        };
        let ordered_floats = places(&|column| float_width(column.ty).is_some()).into_iter().filter(in_key).collect();
        let checked: Box<[usize]> = places(&|column| column.checks.iter().any(|check| check.test.is_some())).into();
        let lacks_checks = columns.iter().flat_map(|column| &column.checks).any(|check| check.test.is_none())
            || checks.iter().any(|check| check.test.is_none());
        let checks_number = auto_increment.is_some_and(|key| !checks.is_empty() || checked.contains(&key));
        let parts = Parts {
            name,
            columns: columns.into(),
            primary_key,
            indexes: indexes.into(),
            checks: checks.into(),
            shape,
            auto_increment,
            fills,
            ordered_floats,
            checked,
            lacks_checks,
            checks_number,
        };
        Schema(Arc::new(parts))
    }

    /// A builder of the same schema, without the index named `without`.
    pub(super) fn to_builder(&self, without: Option<&str>) -> SchemaBuilder {
        let names = |places: &[usize]| -> Vec<Box<str>> {
            places.iter().filter_map(|place| self.0.columns.get(*place)).map(|column| column.name.clone()).collect()
        };
        let mut builder = SchemaBuilder::new(&*self.0.name);
        builder.columns = self.0.columns.to_vec();
        builder.checks = self.0.checks.to_vec();
        if !self.0.primary_key.is_empty() && !self.0.columns.iter().any(|column| column.primary_key) {
            builder.primary_keys.push(names(&self.0.primary_key));
        }
        // Indexes of `unique` columns follow from the columns.
        let own = self.0.columns.iter().filter(|column| column.unique).count();
        for index in self.0.indexes.iter().skip(own).filter(|index| Some(&*index.name) != without) {
            builder.indexes.push(Index {
                name: Some(index.name.clone()),
                kind: index.kind,
                columns: names(&index.columns),
                unique: index.unique,
            });
        }
        builder
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The columns in order.
    pub fn columns(&self) -> &[ColumnDef] {
        &self.0.columns
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&ColumnDef> {
        self.0.columns.get(self.0.shape.column_index(name)?)
    }

    /// The places of the primary key's columns, in the key's order. Empty if there is none.
    pub fn primary_key(&self) -> &[usize] {
        &self.0.primary_key
    }

    /// Whether rows are numbered by their primary key.
    pub fn auto_increment(&self) -> bool {
        self.0.auto_increment.is_some()
    }

    /// Whether the primary key is one auto-increment integer. It then is the row id: it takes no room in the row, needs no
    /// index, and finds its row in the fewest steps.
    pub fn row_id_key(&self) -> bool {
        self.auto_increment()
    }

    /// The indexes, those of unique columns first. The primary key is not among them.
    pub fn indexes(&self) -> &[IndexDef] {
        &self.0.indexes
    }

    /// The names of the checks on whole rows, in the order in which they run.
    pub fn checks(&self) -> impl Iterator<Item = &str> {
        self.0.checks.iter().map(|check| &*check.name)
    }

    /// Packed bytes of a row, without what its strings, bytes and JSON hold: those of the fixed-width columns, and a
    /// length of 4 bytes for each other.
    pub fn record_size(&self) -> usize {
        self.0.shape.fixed_bytes() + 4 * self.0.shape.var_count()
    }

    /// The closures that were lost on the way through the JSON form. Without a check, no row of the table is stored or
    /// changed ([`Error::MissingClosures`](crate::Error::MissingClosures)); rows can be read and deleted all the same.
    /// Rows have to mention a column whose default is lost.
    pub fn missing_closures(&self) -> Vec<String> {
        let of_columns = self.0.columns.iter().flat_map(|column| {
            let default = matches!(column.default, DefaultValue::MissingClosure)
                .then(|| format!("default of column `{}`", column.name));
            let lost = column.checks.iter().filter(|check| check.test.is_none());
            let checks = lost.map(|check| format!("check \"{}\" of column `{}`", check.name, column.name));
            default.into_iter().chain(checks)
        });
        let lost = self.0.checks.iter().filter(|check| check.test.is_none());
        of_columns.chain(lost.map(|check| format!("check \"{}\"", check.name))).collect()
    }

    /// Where `other` is another schema, by their JSON forms: the first place that differs, as it is here and there.
    pub(crate) fn difference(&self, other: &Schema) -> Option<Box<str>> {
        let (Ok(here), Ok(there)) = (serde_json::to_string(self), serde_json::to_string(other)) else {
            return Some("one of them has no JSON form".into());
        };
        if here == there {
            return None;
        }
        let form = |text: String| serde_json::from_str::<serde_json::Value>(&text);
        let (Ok(here), Ok(there)) = (form(here), form(there)) else {
            return Some("one of them has no JSON form".into());
        };
        if here == there {
            return None;
        }
        first_difference(Some(&here), Some(&there), "schema".into()).map(Into::into)
    }

    /// Whether a check has lost its closure, so that rows cannot be checked.
    #[inline]
    pub(crate) fn lacks_checks(&self) -> bool {
        self.0.lacks_checks
    }

    /// Whether a row has to be numbered before it is checked.
    #[inline]
    pub(crate) fn checks_number(&self) -> bool {
        self.0.checks_number
    }

    /// The columns as the encoding sees them.
    pub(crate) fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// Gives every column of the row that is not set its default. The auto-increment key stays not set, and becomes so if
    /// it is null.
    ///
    /// # Errors
    /// `MissingField`; for what a default's closure answers, those of `Type::pack` and `NullNotAllowed`.
    #[inline]
    pub(crate) fn complete(&self, row: &mut RowBuf) -> Result<(), RowError> {
        // Nothing is missing, or only the number.
        if row.is_whole(self.0.shape.len(), self.0.auto_increment) { Ok(()) } else { self.fill_in(row) }
    }

    fn fill_in(&self, row: &mut RowBuf) -> Result<(), RowError> {
        let shape = &self.0.shape;
        if let Some(key) = self.0.auto_increment
            && row.is_null(key)
        {
            row.unset(shape, key);
        }
        let mut from = 0;
        while let Some(index) = row.first_unset(from, shape.len()) {
            from = index + 1;
            let (Some(fill), Some(column)) = (self.0.fills.get(index), self.0.columns.get(index)) else { break };
            match (fill, &column.default) {
                (Fill::Number, _) => {}
                (Fill::Null, _) => row.set_null(shape, index),
                (Fill::Packed(packed), _) => row.set(shape, index, packed)?,
                (Fill::Closure, DefaultValue::Closure(default)) => row.set_value(shape, index, default().as_ref())?,
                _ => return Err(RowError::at(&column.name, RowErrorKind::MissingField)),
            }
        }
        Ok(())
    }

    /// Runs every check on a row that is complete, and refuses NaN in the columns of keys and indexes.
    ///
    /// # Errors
    /// `NanInKey`, `Check`; of a check that asks for what is not there `NoSuchColumn`, `WrongHandle`.
    #[inline(always)]
    pub(crate) fn check(&self, row: &dyn Columns) -> Result<(), RowError> {
        let parts = &*self.0;
        let has_none = parts.ordered_floats.is_empty() && parts.checked.is_empty() && parts.checks.is_empty();
        if has_none { Ok(()) } else { self.run_checks(row) }
    }

    fn run_checks(&self, row: &dyn Columns) -> Result<(), RowError> {
        let parts = &*self.0;
        self.check_columns(row)?;
        let row = CheckRow::new(&parts.shape, row);
        for check in &parts.checks {
            let Some(test) = &check.test else { continue };
            let holds = test(&row);
            if let Some(wrong) = row.take_wrong() {
                return Err(wrong);
            }
            if !holds {
                let value = excerpt_of(&row).into();
                return Err(RowErrorKind::Check { check: check.name.clone(), value }.into());
            }
        }
        Ok(())
    }

    fn check_columns(&self, row: &dyn Columns) -> Result<(), RowError> {
        for index in &self.0.ordered_floats {
            let Some((column, bytes)) = self.0.columns.get(*index).zip(row.column_bytes(*index)) else { continue };
            if holds_nan(column.ty, bytes) {
                return Err(RowError::at(&column.name, RowErrorKind::NanInKey));
            }
        }
        for index in &self.0.checked {
            let Some((column, bytes)) = self.0.columns.get(*index).zip(row.column_bytes(*index)) else { continue };
            for check in &column.checks {
                if check.test.as_ref().is_some_and(|test| !test(bytes)) {
                    let value = excerpt_of(column.ty.unpack(bytes)).into();
                    let kind = RowErrorKind::Check { check: check.name.clone(), value };
                    return Err(RowError::at(&column.name, kind));
                }
            }
        }
        Ok(())
    }
}

/// The first place in which two values differ, and how; none if they do not. `None` is a value that is not there.
fn first_difference(
    here: Option<&serde_json::Value>,
    there: Option<&serde_json::Value>,
    place: String,
) -> Option<String> {
    use serde_json::Value;
    match (here, there) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            keys.find_map(|key| first_difference(a.get(key), b.get(key), format!("{place}.{key}")))
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => (0..a.len().max(b.len())).find_map(|at| {
            let (a, b) = (a.get(at), b.get(at));
            let name = |value: Option<&Value>| Some(value?.get("name")?.as_str()?.to_owned());
            // Columns are known by their names.
            let place = match name(a).filter(|known| name(b).as_ref() == Some(known)) {
                Some(name) => format!("{place}[{at}] (`{name}`)"),
                None => format!("{place}[{at}]"),
            };
            first_difference(a, b, place)
        }),
        (a, b) if a == b => None,
        (a, b) => {
            let text = |value: Option<&Value>| value.map_or("absent".into(), excerpt_of);
            Some(format!("{place} is {}, asked for {}", text(a), text(b)))
        }
    }
}

impl Fill {
    fn of(column: &ColumnDef, packed: Option<Box<[u8]>>) -> Fill {
        match (&column.default, packed) {
            _ if column.auto_increment => Fill::Number,
            (_, Some(packed)) => Fill::Packed(packed),
            (DefaultValue::Closure(_), _) => Fill::Closure,
            (DefaultValue::MissingClosure, _) => Fill::Missing,
            _ if column.nullable => Fill::Null,
            _ => Fill::Missing,
        }
    }
}

/// The width of the floats that a column's values are, or are made of.
fn float_width(ty: Type) -> Option<usize> {
    match ty {
        Type::Array(array) => float_width(array.element().into()),
        Type::F32 => Some(Scalar::F32.width()),
        Type::F64 => Some(Scalar::F64.width()),
        _ => None,
    }
}

/// Whether a packed float, or an array of floats, is or has NaN.
pub(crate) fn holds_nan(ty: Type, bytes: &[u8]) -> bool {
    float_width(ty).is_some_and(|width| {
        bytes.chunks_exact(width).any(|bytes| match (<[u8; 4]>::try_from(bytes), <[u8; 8]>::try_from(bytes)) {
            (Ok(bytes), _) => f32::from_le_bytes(bytes).is_nan(),
            (_, Ok(bytes)) => f64::from_le_bytes(bytes).is_nan(),
            _ => false,
        })
    })
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |places: &[usize]| -> String {
            let columns = places.iter().filter_map(|place| self.0.columns.get(*place));
            columns.map(ColumnDef::name).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "table {} (", self.0.name)?;
        for column in &self.0.columns {
            writeln!(f, "    {column},")?;
        }
        if !self.0.primary_key.is_empty() {
            writeln!(f, "    primary key ({}),", names(&self.0.primary_key))?;
        }
        for index in &self.0.indexes {
            let unique = if index.unique { "unique " } else { "" };
            writeln!(f, "    {unique}{} index {} ({}),", index.kind, index.name, names(&index.columns))?;
        }
        for check in &self.0.checks {
            writeln!(f, "    check {:?},", check.name)?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Column, Index};
    use super::*;

    fn students() -> Schema {
        Schema::builder("students")
            .column(Column::u64("id").primary_key().auto_increment())
            .column(Column::string("name").check("not blank", |name| !name.trim().is_empty()))
            .column(Column::string("email").unique().nullable())
            .column(Column::f64("gpa").default(0.0).check("between 0 and 4", |gpa| (0.0..=4.0).contains(gpa)))
            .column(Column::u32("credits").default_with(|| 30u32))
            .index(Index::ordered(["gpa"]))
            .check("credits earned", |row| row.get::<u32>("credits") >= Some(10) || row.get::<f64>("gpa") == Some(0.0))
            .build()
            .unwrap()
    }

    fn stage(row: serde_json::Value) -> Result<RowBuf, RowError> {
        let (schema, mut buf) = (students(), RowBuf::new());
        buf.encode(schema.shape(), &row)?;
        schema.complete(&mut buf)?;
        schema.check(&buf)?;
        Ok(buf)
    }

    #[test]
    fn rows_are_completed() {
        let row = stage(json!({ "name": "Alice", "id": null })).unwrap();
        assert!(!row.is_set(0) && row.is_null(2));
        assert_eq!(row.column_bytes(3), Some(&0f64.to_le_bytes()[..]));
        assert_eq!(row.column_bytes(4), Some(&30u32.to_le_bytes()[..]));
        assert_eq!(*stage(json!({ "gpa": 1 })).unwrap_err().kind(), RowErrorKind::MissingField);
    }

    #[test]
    fn checks_are_run_with_the_value_in_the_error() {
        let message = |row| stage(row).unwrap_err().to_string();
        assert_eq!(message(json!({ "name": "A", "gpa": 5 })), "column `gpa`: 5.0 fails the check `between 0 and 4`");
        assert_eq!(message(json!({ "name": " " })), "column `name`: \" \" fails the check `not blank`");
        assert!(message(json!({ "name": "A", "gpa": 1, "credits": 3 })).contains("credits: 3 } fails the check"));
    }

    #[test]
    fn nan_is_refused_in_an_index() {
        #[derive(serde::Serialize)]
        struct Row {
            name: &'static str,
            gpa: f64,
        }
        let (schema, mut buf) = (students(), RowBuf::new());
        buf.encode(schema.shape(), &Row { name: "A", gpa: f64::NAN }).unwrap();
        schema.complete(&mut buf).unwrap();
        assert_eq!(*schema.check(&buf).unwrap_err().kind(), RowErrorKind::NanInKey);
    }

    #[test]
    fn a_schema_prints_as_a_definition() {
        let expected = "\
table students (
    id u64 auto_increment,
    name string check \"not blank\",
    email string nullable unique,
    gpa f64 default 0.0 check \"between 0 and 4\",
    credits u32 default <closure>,
    primary key (id),
    unique hash index students_by_email (email),
    ordered index students_by_gpa (gpa),
    check \"credits earned\",
)";
        assert_eq!(students().to_string(), expected);
        assert_eq!(students().record_size(), 8 + 4 + 4 + 8 + 4);
        assert!(students().row_id_key());
    }
}
