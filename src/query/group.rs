//! Grouping: the rows of a query, taken together by the values of some columns.

use super::accumulate::{Accumulator, What};
use super::aggregate::{Aggregate, Gathered, accumulator, count};
use super::execute::Execution;
use super::grouper::Grouper;
use super::number::Number;
use super::page::PageRows;
use super::pick::{Pick, ReadOwned};
use super::predicate::Handle;
use super::select::Select;
use crate::error::Result;
use crate::table::row::{Field, Row};
use std::ops::ControlFlow;

/// The rows of a query in groups, from [`Select::group_by`].
///
/// Every method answers the groups with what was computed for each, in the order of their keys: ascending, nulls last.
#[must_use = "groups do nothing until something is asked of them"]
pub struct Groups<'a, K> {
    select: Select<'a>,
    key: K,
}

impl<K> std::fmt::Debug for Groups<'_, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

impl<'a> Select<'a> {
    /// Groups the rows by a column, or by several in a tuple. Rows whose column is null are a group of their own.
    ///
    /// An order, offset or limit of the query says which rows are grouped, not the order of the groups.
    ///
    /// ```
    /// # use folio::*;
    /// # fn main() -> Result<()> {
    /// # let db = Database::in_memory();
    /// # let people = db.create_table(Schema::builder("people")
    /// #     .column(Column::string("city")).column(Column::f64("score")).build()?)?;
    /// # people.insert_many([("Rome", 2.0), ("Oslo", 5.0), ("Rome", 4.0)])?;
    /// let (city, score) = (people.column::<str>("city")?, people.column::<f64>("score")?);
    /// let means = people.select().group_by(city).avg(score)?;
    /// assert_eq!(means, [("Oslo".to_owned(), 5.0), ("Rome".to_owned(), 3.0)]);
    /// let several = people.select().group_by(city).aggregate((count(), score.max()))?;
    /// assert_eq!(several[1], ("Rome".to_owned(), (2, 4.0)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn group_by<K: Pick>(self, key: K) -> Groups<'a, K> {
        Groups { select: self, key }
    }
}

impl<K: Pick> Groups<'_, K> {
    /// How many rows each group has.
    ///
    /// # Errors
    /// Of the query, see [`Select`]. This holds for the methods below too.
    pub fn count(&self) -> Result<Vec<(K::Output, u64)>> {
        self.aggregate(count())
    }

    /// The sum of a column in each group; see [`Field::sum`].
    ///
    /// # Errors
    /// Also [`Error::InvalidQuery`](crate::Error::InvalidQuery) if a sum of integers does not fit 64 bits.
    pub fn sum<T: Number>(&self, field: Field<T>) -> Result<Vec<(K::Output, T::Sum)>> {
        self.aggregate(field.sum())
    }

    /// The mean of a column in each group; see [`Field::avg`].
    ///
    /// # Errors
    /// Of the query.
    pub fn avg<T: Number>(&self, field: Field<T>) -> Result<Vec<(K::Output, T::Mean)>> {
        self.aggregate(field.avg())
    }

    /// The least value of a column in each group.
    ///
    /// # Errors
    /// Of the query.
    pub fn min<T: ReadOwned + ?Sized>(&self, field: Field<T>) -> Result<Vec<(K::Output, T::Owned)>> {
        self.aggregate(field.min())
    }

    /// The greatest value of a column in each group.
    ///
    /// # Errors
    /// Of the query.
    pub fn max<T: ReadOwned + ?Sized>(&self, field: Field<T>) -> Result<Vec<(K::Output, T::Owned)>> {
        self.aggregate(field.max())
    }

    /// Several aggregates at once, in one pass: `aggregate((count(), score.avg(), age.max()))`.
    ///
    /// # Errors
    /// As [`sum`](Groups::sum).
    pub fn aggregate<A: Aggregate>(&self, aggregates: A) -> Result<Vec<(K::Output, A::Output)>> {
        let (mut grouper, mut accumulators) = gather(&self.select, &self.key.handles(), &aggregates.wants())?;
        let order = grouper.sorted();
        let mut answers = Vec::with_capacity(order.len());
        for group in order {
            let mut next = accumulators.iter_mut();
            let answer = aggregates.answer(&mut || gathered(next.next(), group))?;
            answers.push((grouper.key_of(&self.key, group), answer));
        }
        Ok(answers)
    }

    /// Folds each group's rows by a closure, from `first` on, in the order of the query's rows.
    ///
    /// # Errors
    /// Of the query.
    pub fn fold<A: Clone>(&self, first: A, mut fold: impl FnMut(&mut A, &Row<'_>)) -> Result<Vec<(K::Output, A)>> {
        let mut states: Vec<Option<A>> = Vec::new();
        let mut grouper = each_grouped(&self.select, &self.key.handles(), &mut |group, row| {
            if group >= states.len() {
                states.resize_with(group + 1, || Some(first.clone()));
            }
            if let Some(Some(state)) = states.get_mut(group) {
                fold(state, row);
            }
        })?;
        let order = grouper.sorted().into_iter();
        Ok(order.filter_map(|group| Some((grouper.key_of(&self.key, group), states.get_mut(group)?.take()?))).collect())
    }
}

// Not generic: compiled once, and not again for each key that a program groups by.

/// Numbers the rows' groups by the columns `key`, and gathers what is wanted of each.
fn gather(
    select: &Select<'_>,
    key: &[Handle],
    wants: &[(What, Option<Handle>)],
) -> Result<(Grouper, Vec<Accumulator>)> {
    let opened = select.open()?;
    let def = opened.def;
    let mut accumulators = Vec::with_capacity(wants.len());
    for &(what, handle) in wants {
        accumulators.push(accumulator(def, what, handle)?);
    }
    let mut grouper = Grouper::new(def, key)?;
    let chosen = select.projection(&opened)?;
    let mut slots = [0; 32];
    Execution::new(select, &opened, chosen.as_deref())?.reading(None).in_any_order().run(
        &mut |rows: &PageRows<'_>, mask| {
            grouper.slots(rows, mask, &mut slots);
            for accumulator in &mut accumulators {
                accumulator.grow(grouper.len());
                accumulator.add(rows, mask, &slots);
            }
            ControlFlow::Continue(())
        },
    )?;
    Ok((grouper, accumulators))
}

fn gathered(accumulator: Option<&mut Accumulator>, group: usize) -> Gathered {
    accumulator.map_or(Gathered::Count(0), |accumulator| accumulator.gathered(group))
}

/// Runs `visit` on the rows, each with the number of its group.
fn each_grouped(select: &Select<'_>, key: &[Handle], visit: &mut dyn FnMut(usize, &Row<'_>)) -> Result<Grouper> {
    let opened = select.open()?;
    let mut grouper = Grouper::new(opened.def, key)?;
    let chosen = select.projection(&opened)?;
    let mut slots = [0; 32];
    Execution::new(select, &opened, chosen.as_deref())?.reading(None).run(&mut |rows: &PageRows<'_>, mask| {
        grouper.slots(rows, mask, &mut slots);
        rows.for_each(mask, |position, row| visit(slots[position] as usize, row));
        ControlFlow::Continue(())
    })?;
    Ok(grouper)
}
