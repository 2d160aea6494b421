//! The query as users write it: [`Select`].

use super::execute::Execution;
use super::order::{IntoOrder, OrderTerm};
use super::page::PageRows;
use super::pick::{Pick, ReadOwned};
use super::plan::Limits;
use super::predicate::{Filter, Predicate};
use crate::error::Result;
use crate::table::reader::{ColumnName, Opened, Reader, Source, open_source};
use crate::table::row::{Field, Row};
use crate::table::rows::Rows;
use serde_core::de::DeserializeOwned;
use std::ops::ControlFlow;

/// A query on one table, from [`Reader::select`].
///
/// Filters, an order, a range and a projection are added in any order; a method such as [`fetch`](Select::fetch) or
/// [`count`](Select::count) then runs it on one version: the newest, the snapshot's, or what the transaction has done so
/// far. A `Select` can be run more than once.
///
/// Rows come in the order of [`order_by`](Select::order_by), rows that are equal in it, and rows of a query without
/// it, in the order of their row ids. That holds whether or not an index is used, which
/// [`explain`](Select::explain) tells.
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let students = db.create_table(Schema::builder("students")
/// #     .column(Column::string("name")).column(Column::f64("gpa")).build()?)?;
/// # students.insert_many([("Ann", 3.9), ("Bob", 3.6), ("Abel", 3.7), ("Al", 2.0)])?;
/// let (name, gpa) = (students.column::<str>("name")?, students.column::<f64>("gpa")?);
/// let top: Vec<(String, f64)> = students
///     .select()
///     .filter(|row: &Row| row.get(name).starts_with('A'))
///     .filter(gpa.gt(3.5))
///     .order_by(gpa.desc())
///     .limit(3)
///     .fetch()?;
/// assert_eq!(top, [("Ann".to_owned(), 3.9), ("Abel".to_owned(), 3.7)]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Whatever is wrong with a query is found when it runs, by every method that runs it:
/// - [`Error::ForeignHandle`](crate::Error::ForeignHandle): a handle of another table, also inside a closure.
/// - [`Error::WrongType`](crate::Error::WrongType), [`Error::OutOfRange`](crate::Error::OutOfRange),
///   [`Error::InvalidValue`](crate::Error::InvalidValue): an operand that does not fit its column.
/// - [`Error::InvalidQuery`](crate::Error::InvalidQuery): a comparison with null; what cannot be combined.
/// - [`Error::NoSuchTable`](crate::Error::NoSuchTable) if the table was dropped.
#[must_use = "a query does nothing until it is run"]
pub struct Select<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) filters: Vec<Predicate<'a>>,
    pub(super) order: Vec<OrderTerm>,
    pub(super) limits: Limits,
    pub(super) columns: Option<Vec<Box<dyn ColumnName + 'a>>>,
    pub(super) distinct: bool,
}

impl std::fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Select").finish_non_exhaustive()
    }
}

#[allow(private_bounds)]
impl<S: Source> Reader<S> {
    /// A query on the table; see [`Select`].
    pub fn select(&self) -> Select<'_> {
        Select {
            source: &self.source,
            filters: Vec::new(),
            order: Vec::new(),
            limits: Limits::default(),
            columns: None,
            distinct: false,
        }
    }
}

impl<'a> Select<'a> {
    /// Keeps the rows for which `filter` holds: a [`Predicate`] such as `gpa.gt(3.5)`, or a closure
    /// `|row: &Row| ..`. Several filters all have to hold.
    ///
    /// A closure is called at most once for each row that the predicates leave, on the calling thread, under no lock;
    /// it may read from the database. In which order rows come to it, and for how many a query with a limit calls it, is
    /// not promised. If it panics, the panic goes on and nothing is left behind.
    pub fn filter(mut self, filter: impl Filter<'a>) -> Self {
        self.filters.push(filter.into_predicate());
        self
    }

    /// Orders the rows: by `gpa.desc()`, by several terms in a tuple. Called again, it adds terms that decide among
    /// rows which are equal in those before. A `json` column has no order:
    /// [`Error::InvalidQuery`](crate::Error::InvalidQuery).
    ///
    /// Cost: where few rows are wanted and an ordered index has the order, that of following it; with another
    /// [`limit`](Select::limit) one pass that keeps the best; else a sort of what the filters leave.
    /// [`explain`](Select::explain) says which.
    pub fn order_by(mut self, terms: impl IntoOrder) -> Self {
        self.order.extend(terms.into_order());
        self
    }

    /// At most so many rows. Called again, the last call counts.
    pub fn limit(mut self, count: u64) -> Self {
        self.limits.limit = Some(count);
        self
    }

    /// Passes over the first `count` rows. Cost: O(log n) in a query without filters and order, else that of a
    /// [`limit`](Select::limit) which is as much higher.
    pub fn offset(mut self, count: u64) -> Self {
        self.limits.offset = count;
        self
    }

    /// Reads these columns only, given by name or handle, in this order, in [`fetch`](Select::fetch) and
    /// [`first`](Select::first): into a struct or map, a tuple, or, for one column, into any other type the value itself,
    /// where null is `None`. What may be a map too, such as a `serde_json::Value`, gets a map, and an array of one
    /// element is a tuple: such values [`pick`](Select::pick) answers.
    pub fn columns<C: ColumnName + 'a>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.columns = Some(columns.into_iter().map(|column| Box::new(column) as Box<dyn ColumnName + 'a>).collect());
        self
    }

    /// Of rows that are equal in the columns of [`columns`](Select::columns) or [`pick`](Select::pick), or else in all
    /// columns, keeps the first. Offset and limit count what is kept, and what is kept is what is grouped and aggregated:
    /// `select().columns(["country"]).distinct().sum(score)` adds one score of each country. Cost: memory for what is
    /// kept.
    pub fn distinct(mut self) -> Self {
        self.distinct = true;
        self
    }

    pub(super) fn open(&self) -> Result<Opened<'a>> {
        open_source(self.source)
    }

    /// The places of the projected columns; `None` for all.
    pub(super) fn projection(&self, opened: &Opened<'_>) -> Result<Option<Vec<usize>>> {
        match &self.columns {
            None => Ok(None),
            Some(columns) => columns.iter().map(|column| column.resolve(opened.def)).collect::<Result<_>>().map(Some),
        }
    }

    /// Runs the query, page by page, with the places of the projected columns. Compiled once, and not again for each type
    /// that rows are read into.
    fn each_page(&self, visit: VisitPage<'_>) -> Result<()> {
        let opened = self.open()?;
        let columns = self.projection(&opened)?;
        let execution = Execution::new(self, &opened, columns.as_deref())?;
        execution.run(&mut |rows: &PageRows<'_>, mask| visit(columns.as_deref(), rows, mask))
    }

    /// The rows as any type that serde can deserialize: structs, maps, tuples in column order.
    ///
    /// # Errors
    /// Of the query, see [`Select`]; [`Error::Decode`](crate::Error::Decode) if a row does not fit `T`.
    pub fn fetch<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let (mut all, mut failure) = (Vec::new(), None);
        self.each_page(&mut |columns, rows, mask| {
            rows.for_each(mask, |_, row| {
                if failure.is_none() {
                    match decode(row, columns) {
                        Ok(row) => all.push(row),
                        Err(error) => failure = Some(error),
                    }
                }
            });
            if failure.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        failure.map_or(Ok(all), Err)
    }

    /// The first row, if there is one, as any type that serde can deserialize.
    ///
    /// # Errors
    /// As [`fetch`](Select::fetch).
    pub fn first<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let mut found = None;
        self.first_row(&mut |columns, row| found = Some(decode(row, columns)))?;
        found.transpose()
    }

    /// Runs `visit` on the first row, with the places of the projected columns.
    fn first_row(&self, visit: &mut dyn FnMut(Option<&[usize]>, &Row<'_>)) -> Result<()> {
        let opened = self.open()?;
        let columns = self.projection(&opened)?;
        let execution = Execution::first(self, &opened, columns.as_deref())?;
        execution.run(&mut |rows: &PageRows<'_>, mask| {
            rows.for_each(mask, |_, row| visit(columns.as_deref(), row));
            ControlFlow::Break(())
        })
    }

    /// The rows where they lie, not copied. Which rows they are is settled now; they are read one by one.
    ///
    /// Each [`Row`] keeps the version that it belongs to; see there what holding one costs.
    ///
    /// # Errors
    /// Of the query, see [`Select`].
    pub fn rows(&self) -> Result<Rows<'a>> {
        let opened = self.open()?;
        let columns = self.projection(&opened)?;
        let ids = self.ids_in(&opened, columns.as_deref())?;
        Ok(Rows::listed(opened, ids))
    }

    fn ids_in(&self, opened: &Opened<'a>, columns: Option<&[usize]>) -> Result<Vec<u64>> {
        let mut ids = Vec::new();
        Execution::new(self, opened, columns)?.run(&mut |rows: &PageRows<'_>, mask| {
            let mut left = mask;
            while left != 0 {
                ids.push(rows.id(left.trailing_zeros() as usize));
                left &= left - 1;
            }
            ControlFlow::Continue(())
        })?;
        Ok(ids)
    }

    /// The row ids, in the order of the rows.
    ///
    /// # Errors
    /// Of the query, see [`Select`].
    pub fn ids(&self) -> Result<Vec<u64>> {
        let opened = self.open()?;
        let columns = self.projection(&opened)?;
        self.ids_in(&opened, columns.as_deref())
    }

    /// Calls `visit` with each row, in order, once, on the calling thread; it may read from the database.
    ///
    /// # Errors
    /// Of the query, see [`Select`].
    pub fn for_each(&self, mut visit: impl FnMut(&Row<'_>)) -> Result<()> {
        self.each_page(&mut |_, rows, mask| {
            rows.for_each(mask, |_, row| visit(row));
            ControlFlow::Continue(())
        })
    }

    /// What `project` makes of each row, in order. It is called once for each, as in [`for_each`](Select::for_each).
    ///
    /// # Errors
    /// Of the query, see [`Select`].
    pub fn map<U>(&self, mut project: impl FnMut(&Row<'_>) -> U) -> Result<Vec<U>> {
        let mut all = Vec::new();
        self.for_each(|row| all.push(project(row)))?;
        Ok(all)
    }

    /// The values of a column, or tuples of the values of several, given by handles: `pick((name, gpa))` is a
    /// `Vec<(String, f64)>`. Faster than [`fetch`](Select::fetch).
    ///
    /// # Errors
    /// Of the query, see [`Select`].
    pub fn pick<P: Pick>(&self, columns: P) -> Result<Vec<P::Output>> {
        let opened = self.open()?;
        let places = columns.handles().into_iter().map(|handle| Ok(super::condition::column_of(opened.def, handle)?.0));
        let places = places.collect::<Result<Vec<_>>>()?;
        let mut all = Vec::new();
        Execution::new(self, &opened, Some(&places))?.run(&mut |rows: &PageRows<'_>, mask| {
            rows.for_each(mask, |_, row| all.push(columns.of_row(row)));
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    /// How many rows there are. Cost: O(1) without filters, O(log n) where an ordered index answers alone, O(rows found)
    /// where a hash index or the key does.
    ///
    /// # Errors
    /// Of the query, see [`Select`].
    pub fn count(&self) -> Result<u64> {
        let opened = self.open()?;
        let columns = self.projection(&opened)?;
        Execution::new(self, &opened, columns.as_deref())?.count()
    }

    /// Whether there is any row.
    ///
    /// # Errors
    /// Of the query, see [`Select`].
    pub fn exists(&self) -> Result<bool> {
        let opened = self.open()?;
        let columns = self.projection(&opened)?;
        Ok(Execution::first(self, &opened, columns.as_deref())?.count()? > 0)
    }

    /// The least value of a column; `None` if no row has one. NaN is above all, and a zero has no sign. Cost: O(log n)
    /// without filters where an ordered index begins with the column, or it is an auto-increment key. A `json` column has no order:
    /// [`Error::InvalidQuery`](crate::Error::InvalidQuery).
    ///
    /// # Errors
    /// Of the query, see [`Select`].
    pub fn min<T: ReadOwned + ?Sized>(&self, field: Field<T>) -> Result<Option<T::Bare>> {
        self.extreme(field, false)
    }

    /// The greatest value of a column; as [`min`](Select::min).
    ///
    /// # Errors
    /// Of the query, see [`Select`].
    pub fn max<T: ReadOwned + ?Sized>(&self, field: Field<T>) -> Result<Option<T::Bare>> {
        self.extreme(field, true)
    }
}

/// Takes the places of the projected columns, a page, and the mask of the rows of it that were found.
type VisitPage<'v> = &'v mut dyn FnMut(Option<&[usize]>, &PageRows<'_>, u32) -> ControlFlow<()>;

/// A row, or the columns at these places of it.
fn decode<T: DeserializeOwned>(row: &Row<'_>, columns: Option<&[usize]>) -> Result<T> {
    match columns {
        Some(columns) => row.decode_columns(columns),
        None => row.decode(),
    }
}
