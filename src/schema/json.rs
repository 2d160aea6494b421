//! The JSON form of a schema, as [`Schema`] documents it. It is stable: names and meanings do not change, what is new is
//! optional.

use serde_core::{Deserialize, Deserializer, Serialize, Serializer};

use super::builder::SchemaBuilder;
use super::check::Check;
use super::column::{ColumnDef, DefaultValue};
use super::definition::Schema;
use super::index::{Index, IndexKind};
use super::limits::NAME_BYTES_MAX;
use crate::value::{Columns, RowBuf, RowError, Shape, ShapeColumn, Tree, Type, Value, read_form, write_form};

struct SchemaForm {
    name: String,
    columns: Vec<ColumnForm>,
    primary_key: Vec<String>,
    indexes: Vec<IndexForm>,
    checks: Vec<String>,
}

struct ColumnForm {
    name: String,
    ty: Type,
    nullable: bool,
    unique: bool,
    auto_increment: bool,
    default: Option<Tree>,
    default_closure: bool,
    checks: Vec<String>,
}

struct IndexForm {
    name: String,
    kind: IndexKind,
    columns: Vec<String>,
    unique: bool,
}

read_form!(impl<'de> for SchemaForm, { name: "name", columns: "columns" }, {
    primary_key: "primary_key",
    indexes: "indexes",
    checks: "checks",
});

write_form!(SchemaForm, { name: "name", columns: "columns" }, {
    primary_key: "primary_key" unless Vec::is_empty,
    indexes: "indexes" unless Vec::is_empty,
    checks: "checks" unless Vec::is_empty,
});

read_form!(impl<'de> for ColumnForm, { name: "name", ty: "type" }, {
    nullable: "nullable",
    unique: "unique",
    auto_increment: "auto_increment",
    default: "default",
    default_closure: "default_closure",
    checks: "checks",
});

write_form!(ColumnForm, { name: "name", ty: "type" }, {
    nullable: "nullable" unless is_false,
    unique: "unique" unless is_false,
    auto_increment: "auto_increment" unless is_false,
    default: "default" unless Option::is_none,
    default_closure: "default_closure" unless is_false,
    checks: "checks" unless Vec::is_empty,
});

read_form!(impl<'de> for IndexForm, { name: "name", kind: "kind", columns: "columns" }, { unique: "unique" });
write_form!(IndexForm, { name: "name", kind: "kind", columns: "columns", unique: "unique" }, {});

fn is_false(value: &bool) -> bool {
    !value
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SchemaForm::of(self).map_err(serde_core::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Schema, D::Error> {
        SchemaForm::deserialize(deserializer)?.into_schema().map_err(serde_core::de::Error::custom)
    }
}

// Apart from the traits' methods, which are compiled for each format.
impl SchemaForm {
    fn of(schema: &Schema) -> serde_json::Result<SchemaForm> {
        let names = |places: &[usize]| -> Vec<String> {
            places
                .iter()
                .filter_map(|place| schema.columns().get(*place))
                .map(|column| column.name().to_owned())
                .collect()
        };
        let unique_count = schema.columns().iter().filter(|column| column.is_unique()).count();
        let listed = schema.indexes().iter().skip(unique_count);
        Ok(SchemaForm {
            name: schema.name().to_owned(),
            columns: schema.columns().iter().map(ColumnForm::of).collect::<Result<_, _>>()?,
            primary_key: names(schema.primary_key()),
            indexes: listed
                .map(|index| IndexForm {
                    name: index.name().to_owned(),
                    kind: index.kind(),
                    columns: names(index.columns()),
                    unique: index.is_unique(),
                })
                .collect(),
            checks: schema.checks().map(str::to_owned).collect(),
        })
    }

    /// The schema, or what is wrong with it.
    fn into_schema(self) -> Result<Schema, String> {
        let mut builder = SchemaBuilder::new(self.name);
        for column in self.columns {
            builder = builder.column(column.into_def().map_err(|error| error.to_string())?);
        }
        if !self.primary_key.is_empty() {
            builder = builder.primary_key(self.primary_key);
        }
        for IndexForm { name, kind, columns, unique } in self.indexes {
            let index = Index::new(kind, columns);
            // Derived names had no limit once. Such a one is derived again, as it is for who declares the index.
            let is_derived = name.len() > NAME_BYTES_MAX && name.starts_with(&index.stem(&builder.name));
            let index = if is_derived { index } else { index.named(name) };
            builder = builder.index(if unique { index.unique() } else { index });
        }
        builder.checks = self.checks.into_iter().map(|name| Check { name: name.into(), test: None }).collect();
        builder.build().map_err(|error| error.to_string())
    }
}

impl ColumnForm {
    fn of(column: &ColumnDef) -> serde_json::Result<ColumnForm> {
        let default = match &column.default {
            DefaultValue::Value(value) if !value.is_null() => Some(Tree(serde_json::to_value(value)?)),
            _ => None,
        };
        Ok(ColumnForm {
            name: column.name.to_string(),
            ty: column.ty,
            nullable: column.nullable,
            unique: column.unique,
            auto_increment: column.auto_increment,
            default,
            default_closure: matches!(column.default, DefaultValue::Closure(_) | DefaultValue::MissingClosure),
            checks: column.checks().map(str::to_owned).collect(),
        })
    }

    fn into_def(self) -> Result<ColumnDef, RowError> {
        let default = match self.default {
            Some(Tree(default)) => DefaultValue::Value(read_default(&self.name, self.ty, &default)?),
            None if self.default_closure => DefaultValue::MissingClosure,
            None => DefaultValue::None,
        };
        Ok(ColumnDef {
            nullable: self.nullable,
            unique: self.unique,
            auto_increment: self.auto_increment,
            default,
            checks: self.checks.into_iter().map(|name| Check { name: name.into(), test: None }).collect(),
            ..ColumnDef::new(self.name, self.ty)
        })
    }
}

/// JSON says less than a column's type: the way through a row of this one column gives the value back as it was.
fn read_default(name: &str, ty: Type, default: &serde_json::Value) -> Result<Value, RowError> {
    let shape = Shape::new(vec![ShapeColumn { name: name.into(), ty, nullable: true }]);
    let mut row = RowBuf::new();
    row.encode(&shape, &[default])?;
    Ok(row.column_bytes(0).map_or(Value::Null, |bytes| ty.unpack(bytes).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::Column;
    use super::*;
    use crate::value::{Timestamp, Uuid};

    #[test]
    fn a_schema_comes_back_from_json() {
        let schema = Schema::builder("t")
            .column(Column::u64("id").primary_key().auto_increment())
            .column(Column::u64("big").default(u64::MAX))
            .column(Column::bytes("bytes").default(&[1u8, 2][..]))
            .column(Column::uuid("uuid").default(Uuid::from_bytes([7; 16])).unique())
            .column(Column::timestamp("time").default(Timestamp::from_micros(-1)))
            .column(Column::array("v", "2xf32".parse().unwrap()).default([1.5, 2.0]))
            .column(Column::json("doc").default(serde_json::json!({ "a": [1, null] })))
            .column(Column::string("note").nullable().check("short", |note| note.len() < 9))
            .column(Column::bool("flag").default_with(|| true))
            .index(Index::ordered(["big", "time"]).unique())
            .check("whole", |_| true)
            .build()
            .unwrap();
        let json = serde_json::to_string(&schema).unwrap();
        let back: Schema = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), json);
        assert_eq!(back.to_string(), schema.to_string().replace("<closure>", "<missing closure>"));
        assert_eq!(
            back.missing_closures(),
            ["check \"short\" of column `note`", "default of column `flag`", "check \"whole\""]
        );
        assert!(schema.missing_closures().is_empty());
    }

    #[test]
    fn json_that_is_no_schema_is_refused() {
        for json in [
            r#"{"name":"t","columns":[]}"#,
            r#"{"name":"t","columns":[{"name":"a","type":"i128"}]}"#,
            r#"{"name":"t","columns":[{"name":"a","type":"u8","default":300}]}"#,
            r#"{"name":"t","columns":[{"name":"a","type":"u8"}],"indexes":[{"name":"i","kind":"tree","columns":["a"]}]}"#,
            r#"{"name":"t","columns":[{"name":"a","type":"u8"}],"primary_key":["b"]}"#,
        ] {
            assert!(serde_json::from_str::<Schema>(json).is_err(), "{json}");
        }
    }
}
