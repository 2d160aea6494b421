//! The plan of a query as text, for [`Select::explain`].

use super::access::Access;
use super::condition::{Condition, Expr, Is, Packed};
use super::execute::Execution;
use super::order::Term;
use super::plan::{Ordering, Plan};
use super::select::Select;
use crate::error::Result;
use crate::table::definition::TableDef;
use crate::table::key::type_of;
use crate::value::excerpt_of;
use std::fmt::Write;
use std::ops::Bound;

impl Select<'_> {
    /// How the query would run now, as text: a line each for how rows are found and how many that may be, what is
    /// tested then, how they are ordered, and which of them are wanted.
    ///
    /// A column by which rows are sorted has `nulls first` behind it where that was asked for and it is nullable;
    /// nothing means last. Where an index has the order, nothing is said of nulls: they come where they were asked for.
    ///
    /// The form is stable enough to read and to compare in a test; the plan may change with the data. Cost: that of
    /// planning, which looks at no row.
    ///
    /// ```
    /// # use folio::*;
    /// # fn main() -> Result<()> {
    /// # let db = Database::in_memory();
    /// # let people = db.create_table(Schema::builder("people").column(Column::u32("age"))
    /// #     .column(Column::bool("active")).index(Index::ordered(["age"])).build()?)?;
    /// # for age in 0..90 { people.insert(&(age, age % 2 == 0))?; }
    /// let (age, active) = (people.column::<u32>("age")?, people.column::<bool>("active")?);
    /// let query = people.select().filter(age.ge(88) & active.eq(true)).order_by(age.desc()).limit(10);
    /// assert_eq!(query.explain()?, "\
    /// table people, 90 rows
    /// access: index people_by_age, 1 range, at most 2 rows
    /// filter: active = true
    /// order: age desc, as the index has it
    /// limit: 10");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Of the query, see [`Select`].
    pub fn explain(&self) -> Result<String> {
        let opened = self.open()?;
        let columns = self.projection(&opened)?;
        let execution = Execution::new(self, &opened, columns.as_deref())?;
        let (plan, def, len) = (execution.plan(), opened.def, opened.view().len());
        let mut text = format!("table {}, {}", def.name(), rows(len));
        let _ = write!(text, "\naccess: {}", access(def, plan));
        if !plan.residual.is_empty() {
            let parts: Vec<String> = plan.residual.iter().map(|part| expression(def, part)).collect();
            let _ = write!(text, "\nfilter: {}", parts.join(" and "));
        }
        let _ = write!(text, "\norder: {}", order(def, plan, execution.limits().end().filter(|_| !self.distinct)));
        if self.distinct {
            text.push_str("\ndistinct: the first of equal rows");
        }
        if self.limits.offset > 0 {
            let _ = write!(text, "\noffset: {}", self.limits.offset);
        }
        if let Some(limit) = self.limits.limit {
            let _ = write!(text, "\nlimit: {limit}");
        }
        Ok(text)
    }
}

fn rows(count: u64) -> String {
    if count == 1 { "1 row".into() } else { format!("{count} rows") }
}

fn access(def: &TableDef, plan: &Plan<'_>) -> String {
    let name = |index: usize| def.indexes.get(index).map_or("?", |plan| &plan.name);
    let many = |count: usize, what: &str| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
    match &plan.access {
        Access::Nothing => "nothing can match".into(),
        access if *access == Access::ALL => format!("all pages, {}", rows(plan.rows)),
        Access::Pages { first, last } if *last == u64::MAX => {
            format!("pages from row id {first} on, at most {}", rows(plan.rows))
        }
        Access::Pages { first, last } => format!("pages of row ids {first} to {last}, at most {}", rows(plan.rows)),
        Access::Ids(ids) => many(ids.len(), "row id"),
        Access::Hashes { index, hashes } => format!("index {}, {}", name(*index), many(hashes.len(), "look-up")),
        Access::Tree { index, ranges } => {
            format!("index {}, {}, at most {}", name(*index), many(ranges.len(), "range"), rows(plan.rows))
        }
    }
}

fn order(def: &TableDef, plan: &Plan<'_>, wanted: Option<u64>) -> String {
    match &plan.order {
        Ordering::RowId { descending: false } => "row id".into(),
        Ordering::RowId { descending: true } => "row id desc".into(),
        Ordering::Index { descending } => {
            let Access::Tree { index, .. } = &plan.access else { return "as the index has it".into() };
            let columns = def.indexes.get(*index).map(|plan| &*plan.columns).unwrap_or_default();
            let direction = if *descending { " desc" } else { "" };
            let names: Vec<String> =
                columns.iter().map(|&column| format!("{}{direction}", def.column_name(column))).collect();
            format!("{}, as the index has it", names.join(", "))
        }
        Ordering::Sort(terms) => {
            let terms: Vec<String> = terms.iter().map(|term| order_term(def, term)).collect();
            match wanted {
                Some(count) => format!("{}, the first {count} kept in one pass", terms.join(", ")),
                None => format!("{}, sorted", terms.join(", ")),
            }
        }
    }
}

fn order_term(def: &TableDef, term: &Term) -> String {
    let direction = if term.descending { " desc" } else { "" };
    let nulls = if term.nullable && term.nulls_first { " nulls first" } else { "" };
    format!("{}{direction}{nulls}", def.column_name(term.column))
}

/// A predicate as it is tested.
fn expression(def: &TableDef, expr: &Expr<'_>) -> String {
    let joined = |parts: &[Expr<'_>], by: &str| {
        let parts: Vec<String> = parts.iter().map(|part| expression(def, part)).collect();
        format!("({})", parts.join(by))
    };
    match expr {
        Expr::Const(is_all) => is_all.to_string(),
        Expr::Condition(condition) => self::condition(def, condition),
        Expr::And(parts) => joined(parts, " and "),
        Expr::Or(parts) => joined(parts, " or "),
        Expr::Not(inner) => format!("not {}", expression(def, inner)),
        Expr::Closure(_) => "closure".into(),
    }
}

fn condition(def: &TableDef, Condition { column, is }: &Condition) -> String {
    let (name, ty) = (def.column_name(*column), type_of(def, *column));
    let value = |packed: &Packed| excerpt_of(ty.unpack(packed));
    match is {
        Is::Null => format!("{name} is null"),
        Is::NotNull => format!("{name} is not null"),
        Is::Within(Bound::Included(low), Bound::Included(high)) if low == high => format!("{name} = {}", value(low)),
        Is::Within(lower, upper) => {
            let mut text = String::new();
            match lower {
                Bound::Included(low) => text = format!("{} <= ", value(low)),
                Bound::Excluded(low) => text = format!("{} < ", value(low)),
                Bound::Unbounded => {}
            }
            text.push_str(name);
            match upper {
                Bound::Included(high) => text.push_str(&format!(" <= {}", value(high))),
                Bound::Excluded(high) => text.push_str(&format!(" < {}", value(high))),
                Bound::Unbounded => {}
            }
            text
        }
        Is::NotEqual(other) => format!("{name} != {}", value(other)),
        Is::OneOf(values) => {
            let shown: Vec<String> = values.iter().take(5).map(value).collect();
            let more = if values.len() > 5 { format!(", … {} in all", values.len()) } else { String::new() };
            format!("{name} in ({}{more})", shown.join(", "))
        }
        Is::StartsWith(prefix) => format!("{name} starts with {}", value(prefix)),
        Is::Contains(part) => format!("{name} contains {}", value(part)),
    }
}
