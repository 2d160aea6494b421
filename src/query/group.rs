//! Grouping: the rows of a query, taken together by the values of some columns.

use super::aggregate::{Aggregate, Avg, Max, Min, Sum, accumulator, count};
use super::condition::column_of;
use super::execute::Execution;
use super::number::Number;
use super::page::PageRows;
use super::pick::{Pick, ReadOwned};
use super::select::Select;
use crate::error::Result;
use crate::table::definition::TableDef;
use crate::table::row::{Field, Row};
use crate::value::compare_packed;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// The rows of a query in groups, from [`Select::group_by`].
///
/// Every method answers the groups with what was computed for each, in the order of their keys: ascending, nulls last.
#[must_use = "groups do nothing until something is asked of them"]
pub struct Groups<'a, K> {
    select: Select<'a>,
    key: K,
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
    pub fn sum<T: Number>(&self, field: Field<T>) -> Result<Vec<(K::Output, <Sum<T> as Aggregate>::Output)>> {
        self.aggregate(field.sum())
    }

    /// The mean of a column in each group; see [`Field::avg`].
    ///
    /// # Errors
    /// Of the query.
    pub fn avg<T: Number>(&self, field: Field<T>) -> Result<Vec<(K::Output, <Avg<T> as Aggregate>::Output)>> {
        self.aggregate(field.avg())
    }

    /// The least value of a column in each group.
    ///
    /// # Errors
    /// Of the query.
    pub fn min<T: ReadOwned + ?Sized>(
        &self,
        field: Field<T>,
    ) -> Result<Vec<(K::Output, <Min<T> as Aggregate>::Output)>> {
        self.aggregate(field.min())
    }

    /// The greatest value of a column in each group.
    ///
    /// # Errors
    /// Of the query.
    pub fn max<T: ReadOwned + ?Sized>(
        &self,
        field: Field<T>,
    ) -> Result<Vec<(K::Output, <Max<T> as Aggregate>::Output)>> {
        self.aggregate(field.max())
    }

    /// Several aggregates at once, in one pass: `aggregate((count(), score.avg(), age.max()))`.
    ///
    /// # Errors
    /// As [`sum`](Groups::sum).
    pub fn aggregate<A: Aggregate>(&self, aggregates: A) -> Result<Vec<(K::Output, A::Output)>> {
        let opened = self.select.open()?;
        let def = opened.def;
        let mut accumulators = Vec::new();
        for (what, handle) in aggregates.wants() {
            accumulators.push(accumulator(def, what, handle)?);
        }
        let mut grouper = Grouper::new(def, &self.key)?;
        let mut slots = [0; 32];
        Execution::new(&self.select, &opened, None)?.run(&mut |rows: &PageRows<'_>, mask| {
            grouper.slots(rows, mask, &mut slots);
            for accumulator in &mut accumulators {
                accumulator.grow(grouper.keys.len());
                accumulator.add(rows, mask, &slots);
            }
            ControlFlow::Continue(())
        })?;
        let order = grouper.sorted();
        let mut answers = Vec::with_capacity(order.len());
        for group in order {
            let mut gather = accumulators.iter_mut();
            let mut gathered = || match gather.next() {
                Some(accumulator) => accumulator.gathered(group),
                None => super::aggregate::Gathered::Count(0),
            };
            let answer = aggregates.answer(&mut gathered)?;
            answers.push((grouper.key_of(&self.key, group), answer));
        }
        Ok(answers)
    }

    /// Folds each group's rows by a closure, from `first` on, in the order of the query's rows.
    ///
    /// # Errors
    /// Of the query.
    pub fn fold<A: Clone>(&self, first: A, mut fold: impl FnMut(&mut A, &Row<'_>)) -> Result<Vec<(K::Output, A)>> {
        let opened = self.select.open()?;
        let mut grouper = Grouper::new(opened.def, &self.key)?;
        let mut slots = [0; 32];
        let mut states: Vec<Option<A>> = Vec::new();
        Execution::new(&self.select, &opened, None)?.run(&mut |rows: &PageRows<'_>, mask| {
            grouper.slots(rows, mask, &mut slots);
            states.resize_with(grouper.keys.len(), || Some(first.clone()));
            rows.for_each(mask, |position, row| {
                if let Some(Some(state)) = states.get_mut(slots[position] as usize) {
                    fold(state, row);
                }
            });
            ControlFlow::Continue(())
        })?;
        let order = grouper.sorted().into_iter();
        Ok(order.filter_map(|group| Some((grouper.key_of(&self.key, group), states.get_mut(group)?.take()?))).collect())
    }
}

/// Gives each key a number.
struct Grouper<'d> {
    def: &'d TableDef,
    columns: Vec<usize>,
    numbers: HashMap<Vec<u8>, u32>,
    keys: Vec<Vec<Option<Vec<u8>>>>,
}

impl<'d> Grouper<'d> {
    fn new(def: &'d TableDef, key: &impl Pick) -> Result<Self> {
        let columns = key.handles().into_iter().map(|handle| Ok(column_of(def, handle)?.0)).collect::<Result<_>>()?;
        Ok(Self { def, columns, numbers: HashMap::new(), keys: Vec::new() })
    }

    fn slots(&mut self, rows: &PageRows<'_>, mask: u32, slots: &mut [u32; 32]) {
        rows.for_each(mask, |position, _| {
            let mut key = Vec::new();
            super::sort::distinct_key(rows, &self.columns, position, &mut key);
            let keys = &mut self.keys;
            slots[position] = *self.numbers.entry(key).or_insert_with(|| {
                let id = rows.id(position).to_le_bytes();
                keys.push(
                    self.columns
                        .iter()
                        .map(|&column| {
                            let column = rows.def.layout.column(column)?;
                            rows.value(column, position, &id).map(<[u8]>::to_vec)
                        })
                        .collect(),
                );
                keys.len() as u32 - 1
            });
        });
    }

    fn sorted(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.keys.len()).collect();
        order.sort_by(|&a, &b| {
            for (index, &column) in self.columns.iter().enumerate() {
                let ty = crate::table::key::type_of(self.def, column);
                let order = match (&self.keys[a][index], &self.keys[b][index]) {
                    (Some(a), Some(b)) => compare_packed(ty, a, b),
                    (a, b) => b.is_some().cmp(&a.is_some()),
                };
                if order.is_ne() {
                    return order;
                }
            }
            Ordering::Equal
        });
        order
    }

    fn key_of<K: Pick>(&mut self, key: &K, group: usize) -> K::Output {
        let mut parts = std::mem::take(&mut self.keys[group]).into_iter();
        key.of_parts(&mut || parts.next().flatten())
    }
}
