//! Everything that can be wrong with a schema.
//!
//! Each rule adds its problems and goes on, so that one attempt shows them all. A rule that cannot judge, because what
//! it concerns is wrong already (an unknown column), stays silent. And of more than there may be, which is a problem by
//! itself, no more is judged: the time is bounded by the schema's size, whoever wrote it.

use std::collections::{HashMap, HashSet};
use std::fmt::Arguments;

use super::builder::SchemaBuilder;
use super::column::{ColumnDef, DefaultValue};
use super::index::{Index, IndexDef, IndexKind};
use super::limits::{COLUMN_COUNT_MAX, FIXED_BYTES_MAX, INDEX_COUNT_MAX, NAME_BYTES_MAX};
use crate::error::SchemaProblem;
use crate::value::{JSON_DEPTH_MAX, Type, Value, excerpt, json_depth, similar, tree};

/// What validation works out of a builder.
pub(super) struct Valid {
    pub(super) primary_key: Box<[usize]>,
    pub(super) indexes: Vec<IndexDef>,
    /// The packed default of each column that has a value for one.
    pub(super) defaults: Vec<Option<Box<[u8]>>>,
}

/// Judges a builder's schema.
pub(super) fn validate(builder: &SchemaBuilder) -> Result<Valid, Vec<SchemaProblem>> {
    let mut rules = Rules { builder, places: HashMap::new(), problems: Vec::new(), untold: 0 };
    rules.name("table", &builder.name);
    rules.columns();
    rules.row_checks();
    let primary_key = rules.primary_key();
    rules.auto_increment(&primary_key);
    let indexes = rules.indexes(&primary_key);
    let defaults = builder.columns.iter().map(|column| rules.default(column)).collect();
    if rules.untold > 0 {
        let message = format!("{} more problems, which are not told", rules.untold);
        rules.problems.push(SchemaProblem::new("more-problems", message));
    }
    match rules.problems.is_empty() {
        true => Ok(Valid { primary_key: primary_key.into(), indexes, defaults }),
        false => Err(rules.problems),
    }
}

/// So many problems are told, and how many more there are.
const TOLD_MAX: usize = 1_000;

/// A message is cut here: names come from outside, and stand in several.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// Behind so many problems none gets a hint any more: each is a look at all names.
const HINTED_MAX: usize = 32;

struct Rules<'a> {
    builder: &'a SchemaBuilder,
    /// Each column's name and its first place.
    places: HashMap<&'a str, usize>,
    problems: Vec<SchemaProblem>,
    /// How many problems there are beside these.
    untold: usize,
}

impl<'a> Rules<'a> {
    fn problem(&mut self, code: &'static str, mut message: String) {
        if let Some((end, _)) = message.char_indices().nth(MESSAGE_CHARS_MAX) {
            message.truncate(end);
            message.push_str("...");
        }
        match self.problems.len() < TOLD_MAX {
            true => self.problems.push(SchemaProblem::new(code, message)),
            false => self.untold += 1,
        }
    }

    fn name(&mut self, what: &str, name: &str) {
        let start = || name.escape_debug().take(32).collect::<String>();
        if name.is_empty() {
            self.problem("empty-name", format!("an empty {what} name: give it 1 to {NAME_BYTES_MAX} bytes"));
        } else if name.len() > NAME_BYTES_MAX {
            let found = name.len();
            self.problem(
                "name-too-long",
                format!("the {what} name `{}...` has {found} bytes: at most {NAME_BYTES_MAX} are allowed", start()),
            );
        }
        if name.chars().any(char::is_control) {
            let message = format!("the {what} name `{}` has a control character: use printable ones", start());
            self.problem("control-character", message);
        }
    }

    fn columns(&mut self) {
        let columns = &self.builder.columns;
        if columns.is_empty() {
            self.problem("no-columns", "the table has no columns: give it at least one".to_owned());
        }
        if columns.len() > COLUMN_COUNT_MAX {
            let found = columns.len();
            let message = format!("the table has {found} columns: at most {COLUMN_COUNT_MAX} are allowed");
            self.problem("too-many-columns", message);
        }
        for (place, column) in columns.iter().enumerate() {
            self.name("column", &column.name);
            if self.places.contains_key(&*column.name) {
                let message = format!("there are two columns `{}`: names are unique in a table", excerpt(&column.name));
                self.problem("duplicate-column", message);
            } else {
                self.places.insert(&column.name, place);
            }
            self.checks(format_args!("column `{}`", excerpt(&column.name)), column.checks().collect());
        }
        let fixed_bytes: usize = columns.iter().filter_map(|column| column.ty.fixed_width()).sum();
        if fixed_bytes > FIXED_BYTES_MAX {
            let message = format!(
                "the fixed-width columns take {fixed_bytes} bytes a row: at most {FIXED_BYTES_MAX} are allowed; `bytes` \
                 or `json` columns have no such limit"
            );
            self.problem("row-too-wide", message);
        }
    }

    fn row_checks(&mut self) {
        self.checks(format_args!("the table"), self.builder.checks.iter().map(|check| &*check.name).collect());
    }

    fn checks(&mut self, whose: Arguments<'_>, names: Vec<&str>) {
        let mut known = HashSet::new();
        for name in names {
            self.name("check", name);
            if !known.insert(name) {
                self.problem(
                    "duplicate-check",
                    format!("{whose} has two checks `{}`: errors could not tell which", excerpt(name)),
                );
            }
        }
    }

    /// The places of these columns, if all are known and different.
    fn places(&mut self, whose: &str, names: &[Box<str>]) -> Option<Vec<usize>> {
        if names.is_empty() {
            self.problem("no-key-columns", format!("{whose} has no columns: name at least one"));
            return None;
        }
        let mut places = Vec::new();
        let mut sound = true;
        // One more than there can be columns is one that is not there, or there twice.
        for name in names.iter().take(COLUMN_COUNT_MAX + 1) {
            match self.places.get(&**name) {
                Some(place) if places.contains(place) => {
                    self.problem("duplicate-key-column", format!("{whose} names the column `{name}` twice"));
                    sound = false;
                }
                Some(place) => places.push(*place),
                None => {
                    let known = self.places.keys().copied();
                    let hint = if self.problems.len() < HINTED_MAX { similar(name, known) } else { None };
                    let hint = hint.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
                    self.problem(
                        "unknown-column",
                        format!("{whose} names the column `{name}`, which is not there{hint}"),
                    );
                    sound = false;
                }
            }
        }
        sound.then_some(places)
    }

    fn primary_key(&mut self) -> Vec<usize> {
        let builder = self.builder;
        let own = builder.columns.iter().filter(|column| column.primary_key).map(|column| vec![column.name.clone()]);
        let keys: Vec<_> = own.chain(builder.primary_keys.iter().cloned()).collect();
        if keys.len() > 1 {
            let listed: Vec<_> = keys.iter().map(|key| format!("({})", key.join(", "))).collect();
            let message = format!(
                "there are {} primary keys, {}: a table has one, of several columns if given to the builder's `primary_key`",
                keys.len(),
                listed.join(" and ")
            );
            self.problem("several-primary-keys", message);
        }
        let mut first = None;
        for key in &keys {
            let places = self.places("the primary key", key);
            self.indexable("the primary key", places.as_deref().unwrap_or_default());
            for column in places.iter().flatten().filter_map(|place| builder.columns.get(*place)) {
                if column.nullable {
                    let message =
                        format!("the primary key's column `{}` is nullable: a key is never null", column.name);
                    self.problem("nullable-primary-key", message);
                }
            }
            first = first.or(places);
        }
        first.unwrap_or_default()
    }

    /// Complains of columns that can be in no key and no index.
    fn indexable(&mut self, whose: &str, places: &[usize]) {
        for column in places.iter().filter_map(|place| self.builder.columns.get(*place)) {
            if column.ty == Type::Json {
                let message = format!(
                    "{whose} has the json column `{}`: documents have no order, and one may be written in many ways; index \
                     a column of its own for what you look for",
                    column.name
                );
                self.problem("json-in-key", message);
            }
        }
    }

    fn auto_increment(&mut self, primary_key: &[usize]) {
        for (place, column) in self.builder.columns.iter().enumerate().filter(|(_, column)| column.auto_increment) {
            let name = &column.name;
            if !column.ty.is_integer() {
                let message = format!("column `{name}` is auto-increment and {}: it must be an integer", column.ty);
                self.problem("auto-increment-type", message);
            }
            if primary_key != [place] {
                let message = format!("column `{name}` is auto-increment: it must be the primary key by itself");
                self.problem("auto-increment-key", message);
            }
            if !matches!(column.default, DefaultValue::None) {
                let message =
                    format!("column `{name}` is auto-increment and has a default: it can have only one of them");
                self.problem("auto-increment-default", message);
            }
        }
    }

    fn indexes(&mut self, primary_key: &[usize]) -> Vec<IndexDef> {
        let builder = self.builder;
        let own = builder.columns.iter().filter(|column| column.unique);
        let own: Vec<_> = own.map(|column| Index::hash([&*column.name]).unique()).collect();
        if own.len() + builder.indexes.len() > INDEX_COUNT_MAX {
            let found = own.len() + builder.indexes.len();
            let message = format!(
                "the table has {found} indexes, unique columns included: at most {INDEX_COUNT_MAX} are allowed"
            );
            self.problem("too-many-indexes", message);
        }
        let mut indexes = Vec::new();
        for (at, index) in own.iter().chain(&builder.indexes).take(INDEX_COUNT_MAX).enumerate() {
            let whose = match &index.name {
                Some(name) => format!("the index `{name}`"),
                None if at < own.len() => format!("the unique column `{}`", index.columns.join(", ")),
                None => format!("the {} index on ({})", index.kind, index.columns.join(", ")),
            };
            let Some(places) = self.places(&whose, &index.columns) else { continue };
            self.indexable(&whose, &places);
            self.redundant(&whose, index.kind, &places, primary_key, &indexes);
            let name = self.index_name(index, &indexes);
            indexes.push(IndexDef { name, kind: index.kind, columns: places.into(), unique: index.unique });
        }
        indexes
    }

    fn redundant(
        &mut self,
        whose: &str,
        kind: IndexKind,
        places: &[usize],
        primary_key: &[usize],
        indexes: &[IndexDef],
    ) {
        if kind == IndexKind::Hash && places == primary_key {
            let message = format!("{whose} is of the columns of the primary key, which finds rows by them already");
            self.problem("index-of-primary-key", message);
        }
        if let Some(earlier) = indexes.iter().find(|index| index.kind == kind && *index.columns == *places) {
            let message = format!("{whose} is the same as the index `{}`: drop one", earlier.name);
            self.problem("duplicate-index", message);
        }
    }

    fn index_name(&mut self, index: &Index, indexes: &[IndexDef]) -> Box<str> {
        // A derived name gives way to one that was chosen, wherever that one stands.
        let chosen = self.builder.indexes.iter().filter_map(|index| index.name.as_deref());
        let taken = |name: &str| indexes.iter().any(|index| *index.name == *name);
        if let Some(name) = &index.name {
            self.name("index", name);
            if taken(name) {
                self.problem(
                    "duplicate-index-name",
                    format!("there are two indexes `{name}`: names are unique in a table"),
                );
            }
            return name.clone();
        }
        let stem = index.stem(&self.builder.name);
        let with_kind = format!("_{}", index.kind);
        let chosen: Vec<_> = chosen.collect();
        let numbered = (2usize..).map(|number| format!("{with_kind}_{number}"));
        let suffixes = [String::new(), with_kind.clone()].into_iter().chain(numbered);
        let mut names = suffixes.map(|suffix| fitted(&stem, &suffix));
        names.find(|name| !taken(name) && !chosen.contains(&&**name)).unwrap_or_default()
    }

    /// The column's default in packed bytes.
    fn default(&mut self, column: &ColumnDef) -> Option<Box<[u8]>> {
        let DefaultValue::Value(value) = &column.default else { return None };
        if value.is_null() && column.nullable {
            return None; // what it would be anyway
        }
        let name = &column.name;
        if !is_finite(value) {
            let message = format!(
                "the default {value} of column `{name}` is not finite and has no JSON form: give it by `default_with`"
            );
            self.problem("default-not-finite", message);
            return None;
        }
        let mut packed = Vec::new();
        if let Err(problem) = column.ty.pack(value.as_ref(), &mut packed) {
            self.problem("invalid-default", format!("the default of column `{name}` does not fit it: {problem}"));
            return None;
        }
        if column.ty == Type::Json
            && let Some(problem) = unreadable(&packed)
        {
            let message = format!("the default of column `{name}` cannot be read back from the schema: {problem}");
            self.problem("invalid-default", message);
            return None;
        }
        for check in &column.checks {
            if check.test.as_ref().is_some_and(|test| !test(&packed)) {
                let message = format!("the default {value} of column `{name}` fails its check \"{}\"", check.name);
                self.problem("default-fails-check", message);
            }
        }
        Some(packed.into())
    }
}

/// The stem, cut where the name would be too long, and the suffix: every reader of a schema refuses longer names.
fn fitted(stem: &str, suffix: &str) -> Box<str> {
    let room = NAME_BYTES_MAX.saturating_sub(suffix.len()).min(stem.len());
    let end = (0..=room).rev().find(|end| stem.is_char_boundary(*end)).unwrap_or(0);
    format!("{}{suffix}", stem.get(..end).unwrap_or_default()).into()
}

/// How deep a default may nest: its schema's JSON form is read with it, around which there are three levels, and in a line
/// of an export two more.
const DEFAULT_DEPTH_MAX: usize = JSON_DEPTH_MAX - 5;

/// What keeps a document from being read back as part of a schema.
fn unreadable(document: &[u8]) -> Option<String> {
    match std::str::from_utf8(document).map(tree) {
        Ok(Ok(_)) if json_depth(document) <= DEFAULT_DEPTH_MAX => None,
        Ok(Ok(_)) => Some(format!("it nests deeper than {DEFAULT_DEPTH_MAX} levels")),
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

fn is_finite(value: &Value) -> bool {
    match value {
        Value::Float(value) => value.is_finite(),
        Value::Array(values) => values.iter().all(is_finite),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Schema};
    use super::*;
    use crate::error::Error;

    fn codes(builder: SchemaBuilder) -> Vec<&'static str> {
        match builder.build() {
            Ok(schema) => panic!("valid: {schema}"),
            Err(Error::InvalidSchema { problems, .. }) => problems.iter().map(SchemaProblem::code).collect(),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn every_problem_is_found_at_once() {
        let builder = Schema::builder("")
            .column(Column::u64("id").primary_key().nullable())
            .column(Column::string("id"))
            .column(Column::f64("x").primary_key().auto_increment().default(1.0))
            .column(Column::u8("small").default(256))
            .column(Column::f64("gpa").default(5.0).check("up to 4", |gpa| *gpa <= 4.0))
            .column(Column::json("doc").unique())
            .index(Index::ordered(["gap", "x", "x"]))
            .index(Index::hash([] as [&str; 0]));
        let expected = [
            "empty-name",
            "duplicate-column",
            "several-primary-keys",
            "nullable-primary-key",
            "auto-increment-type",
            "auto-increment-key",
            "auto-increment-default",
            "json-in-key",
            "unknown-column",
            "duplicate-key-column",
            "no-key-columns",
            "invalid-default",
            "default-fails-check",
        ];
        assert_eq!(codes(builder), expected);
    }

    #[test]
    fn sizes_have_limits() {
        assert_eq!(codes(Schema::builder("t")), ["no-columns"]);
        let names = (0..1_025).map(|at| Column::bool(format!("c{at}")));
        assert_eq!(codes(names.fold(Schema::builder("t"), SchemaBuilder::column)), ["too-many-columns"]);
        let wide = Schema::builder("t").column(Column::array("v", Array::new(Scalar::Uuid, 65_536).unwrap()));
        assert!(wide.clone().build().is_ok());
        assert_eq!(codes(wide.column(Column::bool("b"))), ["row-too-wide"]);
        assert_eq!(
            codes(Schema::builder("t\n").column(Column::bool("x".repeat(129)))),
            ["control-character", "name-too-long"]
        );
        let many = (0..65).map(|at| Column::bool(format!("c{at}")).unique());
        assert_eq!(codes(many.fold(Schema::builder("t"), SchemaBuilder::column)), ["too-many-indexes"]);
    }

    #[test]
    fn indexes_are_named_and_not_repeated() {
        let builder = Schema::builder("t")
            .column(Column::u64("id").primary_key())
            .column(Column::string("email").unique())
            .index(Index::ordered(["email"]))
            .index(Index::ordered(["id", "email"]).named("both"));
        let schema = builder.clone().build().unwrap();
        let names: Vec<_> = schema.indexes().iter().map(IndexDef::name).collect();
        assert_eq!(names, ["t_by_email", "t_by_email_ordered", "both"]);
        let builder = builder
            .index(Index::hash(["email"]))
            .index(Index::hash(["id"]))
            .index(Index::hash(["id", "email"]).named("both"));
        assert_eq!(codes(builder), ["duplicate-index", "index-of-primary-key", "duplicate-index-name"]);
    }

    use crate::value::{Array, Scalar};
}
