//! What the types forbid does not compile, and what is one line different from it does.
//!
//! The error code after `compile_fail` is looked at by nightly's `cargo test --doc` alone; on stable the example beside
//! each tells that it fails for the right reason.

#![allow(dead_code)]

/// A row does not outlive the table handle it was read by.
///
/// ```compile_fail,E0505
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let row = table.get(0u64)?;
/// drop(table);
/// drop(row);
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let row = table.get(0u64)?;
/// drop(row);
/// drop(table);
/// # Ok(())
/// # }
/// ```
struct ARow;

/// Nor that of a snapshot.
///
/// ```compile_fail,E0505
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let then = db.snapshot().table("t")?;
/// let row = then.get(0u64)?;
/// drop(then);
/// drop(row);
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let then = db.snapshot().table("t")?;
/// let row = then.get(0u64)?;
/// drop(row);
/// drop(then);
/// # Ok(())
/// # }
/// ```
struct ARowOfASnapshot;

/// Nor that of a transaction.
///
/// ```compile_fail,E0515
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let row = db.transaction(|tx| tx.table("t")?.get(0u64));
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let row = db.transaction(|tx| tx.table("t")?.get(0u64).map(|row| row.is_some()));
/// # Ok(())
/// # }
/// ```
struct ARowOfATransaction;

/// A row does not leave a transaction by a variable around it.
///
/// ```compile_fail,E0521
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let mut kept = None;
/// db.transaction(|tx| {
///     let within = tx.table("t")?;
///     kept = within.get(0u64)?;
///     Ok(())
/// })?;
/// drop(kept);
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// db.transaction(|tx| {
///     let within = tx.table("t")?;
///     let kept = within.get(0u64)?;
///     drop(kept);
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
struct ARowKept;

/// The table of a transaction does not leave it.
///
/// ```compile_fail,E0521
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let mut kept = None;
/// db.transaction(|tx| {
///     kept = Some(tx.table("t")?);
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// db.transaction(|tx| {
///     let kept = Some(tx.table("t")?);
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
struct ATableOfATransaction;

/// Nor that of a savepoint.
///
/// ```compile_fail,E0521
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// db.transaction(|tx| {
///     let mut kept = None;
///     tx.savepoint(|inner| {
///         kept = Some(inner.table("t")?);
///         Ok(())
///     })
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// db.transaction(|tx| {
///     let mut kept = None;
///     tx.savepoint(|inner| {
///         kept = Some(inner.table("t")?.len()?);
///         Ok(())
///     })
/// })?;
/// # Ok(())
/// # }
/// ```
struct ATableOfASavepoint;

/// A transaction does not leave its closure.
///
/// ```compile_fail,E0521
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let mut kept = None;
/// db.transaction(|tx| {
///     kept = Some(tx);
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let mut kept = None;
/// db.transaction(|tx| {
///     kept = Some(tx.base_version()?);
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
struct ATransaction;

/// A transaction stays on its thread.
///
/// ```compile_fail,E0277
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// db.transaction(|tx| {
///     std::thread::scope(|scope| drop(scope.spawn(|| tx.table_names())));
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// db.transaction(|tx| {
///     std::thread::scope(|scope| drop(scope.spawn(|| db.table_names())));
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
struct ATransactionOfAnotherThread;

/// A row stays on its thread.
///
/// ```compile_fail,E0277
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let row = table.get(0u64)?;
/// std::thread::scope(|scope| drop(scope.spawn(|| row)));
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// std::thread::scope(|scope| drop(scope.spawn(|| table.get(0u64).is_ok())));
/// # Ok(())
/// # }
/// ```
struct ARowOfAnotherThread;

/// And in its task, where a task may move between threads.
///
/// ```compile_fail
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// fn moves<T: Send>(_: T) {}
/// moves(async {
///     let row = table.get(0u64);
///     std::future::ready(()).await;
///     drop(row);
/// });
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// fn moves<T: Send>(_: T) {}
/// moves(async {
///     let row = table.get(0u64);
///     drop(row);
///     std::future::ready(()).await;
/// });
/// # Ok(())
/// # }
/// ```
struct ARowInATask;

/// An iterator does not outlive its table handle.
///
/// ```compile_fail,E0505
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let rows = table.iter()?;
/// drop(table);
/// drop(rows);
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let rows = table.iter()?;
/// drop(rows);
/// drop(table);
/// # Ok(())
/// # }
/// ```
struct RowsOfATable;

/// And stays on its thread.
///
/// ```compile_fail,E0277
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let rows = table.iter()?;
/// std::thread::scope(|scope| drop(scope.spawn(|| rows.count())));
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// std::thread::scope(|scope| drop(scope.spawn(|| table.iter().map(Iterator::count).is_ok())));
/// # Ok(())
/// # }
/// ```
struct RowsOfAnotherThread;

/// Text that is read in place does not outlive its row.
///
/// ```compile_fail,E0505
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let row = table.get(0u64)?.ok_or(Error::abort("none"))?;
/// let text: &str = row.get(s);
/// drop(row);
/// assert_eq!(text, "a");
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let row = table.get(0u64)?.ok_or(Error::abort("none"))?;
/// let text: &str = row.get(s);
/// assert_eq!(text, "a");
/// drop(row);
/// # Ok(())
/// # }
/// ```
struct Text;

/// Nor the closure that it was given to.
///
/// ```compile_fail
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let text = table.get_with(0u64, |row| row.get(s))?;
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let text = table.get_with(0u64, |row| row.get(s).to_owned())?;
/// # Ok(())
/// # }
/// ```
struct TextOfGetWith;

/// A row that a query shows is the closure's for one call.
///
/// ```compile_fail,E0521
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let mut kept = Vec::new();
/// table.select().for_each(|row| kept.push(row))?;
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let mut kept = Vec::new();
/// table.select().for_each(|row| kept.push(row.id()))?;
/// # Ok(())
/// # }
/// ```
struct RowOfForEach;

/// As is one that is changed.
///
/// ```compile_fail,E0521
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let mut kept = None;
/// table.modify(0u64, |row| {
///     kept = Some(row);
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let mut kept = None;
/// table.modify(0u64, |row| {
///     kept = Some(row.id());
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
struct RowOfModify;

/// What was read of a row that is changed is let go before it is.
///
/// ```compile_fail,E0502
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// table.modify(0u64, |row| {
///     let text: &str = row.get(s);
///     row.set(s, "b")?;
///     assert_eq!(text, "a");
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// table.modify(0u64, |row| {
///     let text: &str = row.get(s);
///     assert_eq!(text, "a");
///     row.set(s, "b")
/// })?;
/// # Ok(())
/// # }
/// ```
struct TextOfModify;

/// A query does not outlive its table handle.
///
/// ```compile_fail,E0505
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let query = table.select();
/// drop(table);
/// query.count()?;
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let query = table.select();
/// query.count()?;
/// drop(query);
/// drop(table);
/// # Ok(())
/// # }
/// ```
struct AQuery;

/// Nor what its closures borrow.
///
/// ```compile_fail,E0505
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let wanted = String::from("a");
/// let query = table.select().filter(|row: &Row| row.get(s) == wanted);
/// drop(wanted);
/// query.count()?;
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let wanted = String::from("a");
/// let query = table.select().filter(|row: &Row| row.get(s) == wanted);
/// query.count()?;
/// drop(query);
/// drop(wanted);
/// # Ok(())
/// # }
/// ```
struct AFilter;

/// A difference does not outlive its snapshots.
///
/// ```compile_fail,E0505
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let (before, after) = (db.snapshot(), db.snapshot());
/// let diff = before.diff(&after)?;
/// drop(before);
/// assert!(diff.is_empty());
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let (before, after) = (db.snapshot(), db.snapshot());
/// let diff = before.diff(&after)?;
/// assert!(diff.is_empty());
/// drop(diff);
/// drop(before);
/// # Ok(())
/// # }
/// ```
struct ADifference;

/// A handle reads as the type that it was asked for as.
///
/// ```compile_fail,E0308
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let row = table.get(0u64)?.ok_or(Error::abort("none"))?;
/// let number: u64 = row.get(s);
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let row = table.get(0u64)?.ok_or(Error::abort("none"))?;
/// let number: u64 = row.get(n);
/// # Ok(())
/// # }
/// ```
struct AHandleOfAnotherType;

/// Only numbers have a sum and a mean.
///
/// ```compile_fail,E0277
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// table.select().sum(s)?;
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// table.select().sum(n)?;
/// # Ok(())
/// # }
/// ```
struct ASumOfText;

/// Checks run on any thread.
///
/// ```compile_fail,E0277
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let counted = std::rc::Rc::new(1);
/// Column::u64("n").check("counted", move |n| *n > *counted);
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// let counted = std::sync::Arc::new(1);
/// Column::u64("n").check("counted", move |n| *n > *counted);
/// # Ok(())
/// # }
/// ```
struct ACheckOfOneThread;

/// A check is given what its column holds.
///
/// ```compile_fail,E0631
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// Column::u64("n").check("short", |text: &str| text.len() < 3);
/// # Ok(())
/// # }
/// ```
///
/// This does:
///
/// ```
/// # use folio::*;
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// # let schema = Schema::builder("t").column(Column::u64("n")).column(Column::string("s")).build()?;
/// # let table = db.create_table(schema)?;
/// # table.insert(&(1, "a"))?;
/// # let (n, s) = (table.column::<u64>("n")?, table.column::<str>("s")?);
/// Column::string("s").check("short", |text: &str| text.len() < 3);
/// # Ok(())
/// # }
/// ```
struct ACheckOfAnotherType;
