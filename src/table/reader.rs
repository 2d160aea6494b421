//! Reading a table: the one set of read methods, for the newest version, for snapshots, and for a running transaction.
//!
//! Where the rows come from is a [`Source`]; [`Reader`] has the methods. A read opens the source's version, does its
//! work, and the rows that it answers keep the version.

use super::definition::{IndexKind, IndexPlan, TableDef};
use super::key::KeyBuf;
use super::layout::{ColumnPlace, PAGE_ROWS, PAGE_SHIFT};
use super::row::{Field, Row, column_index};
use super::row_page::PageRef;
use super::rows::{KeySpan, Rows};
use super::size::{TableSize, size_of};
use super::spot::Spot;
use super::version::Entry;
use super::view::{TableView, Wanted};
use crate::error::{Error, Result};
use crate::page::{BlockRef, Guard, Held};
use crate::schema::Schema;
use crate::value::{Readable, RowErrorKind, ToKey, ValueRef, excerpt_of};
use std::ops::{Bound, RangeBounds};

/// Where a table's rows are read from: the newest version, a snapshot, or a running transaction. For functions that take
/// a table of any of them; nobody else implements it.
///
/// ```
/// use folio::{Column, Database, Reader, Result, Schema, Source};
///
/// fn adults<S: Source>(people: &Reader<S>) -> Result<u64> {
///     people.select().filter(people.column::<u32>("age")?.ge(18)).count()
/// }
///
/// # fn main() -> Result<()> {
/// # let db = Database::in_memory();
/// let people = db.create_table(Schema::builder("people").column(Column::u32("age")).build()?)?;
/// people.insert_many([[7], [18], [77]])?;
/// assert_eq!(adults(&people)?, 2);
/// assert_eq!(adults(&db.snapshot().table("people")?)?, 2);
/// let found = db.transaction(|tx| {
///     let people = tx.table("people")?;
///     adults(&people)
/// })?;
/// assert_eq!(found, 2);
/// # Ok(())
/// # }
/// ```
#[allow(private_interfaces)] // sealed: what it speaks of is nobody's business outside
pub trait Source: sealed::Sealed {
    /// The version, kept readable.
    #[doc(hidden)]
    fn guard(&self) -> Result<Guard<'_>>;
    /// The table's slot in the root.
    #[doc(hidden)]
    fn slot(&self) -> usize;
    /// The table as the handle knows it.
    #[doc(hidden)]
    fn def(&self) -> &TableDef;
    /// The table as a version describes it that names the definition `id`; none if it has another table there, or none.
    #[doc(hidden)]
    fn def_in_version(&self, id: u64) -> Option<&TableDef>;
}

pub(crate) mod sealed {
    /// Keeps [`Source`](super::Source) ours.
    pub trait Sealed {}
}

/// The read side of a table, shared by [`Table`](crate::Table), the tables of a [`Snapshot`](crate::Snapshot) and those
/// of a [`Transaction`](crate::Transaction).
///
/// Every call sees one version whole: the newest for a `Table`, the snapshot's, or what the transaction has done so far.
/// No read takes a lock or waits.
#[derive(Clone)]
pub struct Reader<S> {
    pub(crate) source: S,
}

impl<S: Source> std::fmt::Debug for Reader<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("table", &self.source.def().name()).finish_non_exhaustive()
    }
}

/// A column given by name or by handle.
pub trait ColumnName {
    /// Its place in the schema of `def`.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn resolve(&self, def: &TableDef) -> Result<usize>;
}

impl ColumnName for &str {
    #[allow(private_interfaces)]
    fn resolve(&self, def: &TableDef) -> Result<usize> {
        column_index(def, self)
    }
}

/// So that a list of columns may be lent.
impl<C: ColumnName> ColumnName for &C {
    #[inline(always)]
    #[allow(private_interfaces)]
    fn resolve(&self, def: &TableDef) -> Result<usize> {
        C::resolve(self, def)
    }
}

impl ColumnName for String {
    #[allow(private_interfaces)]
    fn resolve(&self, def: &TableDef) -> Result<usize> {
        column_index(def, self)
    }
}

impl<T: ?Sized> ColumnName for Field<T> {
    #[inline(always)]
    #[allow(private_interfaces)]
    fn resolve(&self, def: &TableDef) -> Result<usize> {
        if self.table == def.table {
            Ok(self.index as usize)
        } else {
            Err(super::row::foreign_handle(def, self.index as usize))
        }
    }
}

/// A version with one of its tables, opened for one call.
#[derive(Clone)]
pub(crate) struct Opened<'a> {
    pub(crate) guard: Guard<'a>,
    pub(crate) slot: usize,
    pub(crate) def: &'a TableDef,
}

impl<'a> Opened<'a> {
    #[inline(always)]
    pub(crate) fn view(&self) -> TableView<'_> {
        view_of(self.guard.root(), self.slot, self.def)
    }
}

/// The table in a root that is known to have it.
#[inline(always)]
pub(crate) fn view_of<'g>(root: BlockRef<'g>, slot: usize, def: &'g TableDef) -> TableView<'g> {
    TableView::new(root, slot, def)
}

/// Opens the version that a source has at present.
#[inline(always)]
pub(crate) fn open_source<S: Source + ?Sized>(source: &S) -> Result<Opened<'_>> {
    let guard = source.guard()?;
    let slot = source.slot();
    match source.def_in_version(Entry::read(guard.root().bytes(), slot).def) {
        Some(def) => Ok(Opened { guard, slot, def }),
        None => Err(no_table(source.def())),
    }
}

#[allow(private_bounds)]
impl<S: Source> Reader<S> {
    /// Opens the version; the definition is the one that the version's table has.
    #[inline(always)]
    pub(crate) fn open(&self) -> Result<Opened<'_>> {
        open_source(&self.source)
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        self.source.def().name()
    }

    /// The table's schema as of the version that this reads.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`] if the table was dropped.
    pub fn schema(&self) -> Result<&Schema> {
        Ok(&self.open()?.def.schema)
    }

    /// A handle for the column `name`, read as `T`: `f64`, `str`, `Option<i32>` if it is nullable. Checked here once;
    /// see [`Field`].
    ///
    /// # Errors
    /// [`Error::NoSuchColumn`], [`Error::WrongHandle`] if the column is not read as `T`, [`Error::NoSuchTable`].
    pub fn column<T: Readable + ?Sized>(&self, name: &str) -> Result<Field<T>> {
        Field::of(self.open()?.def, name)
    }

    /// How many rows there are. Cost: O(1).
    ///
    /// # Errors
    /// [`Error::NoSuchTable`] if the table was dropped.
    pub fn len(&self) -> Result<u64> {
        Ok(self.open()?.view().len())
    }

    /// What the table takes of memory, rows and indexes apart. Cost: O(pages).
    ///
    /// # Errors
    /// [`Error::NoSuchTable`] if the table was dropped.
    pub fn size(&self) -> Result<TableSize> {
        let opened = self.open()?;
        Ok(size_of(opened.view()))
    }

    /// Whether there is no row.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`] if the table was dropped.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The row with this primary key; for a table without one, the row with this id. An integer that a column of the key
    /// cannot hold is a key that no row has. Cost: O(log n) with base 32, or a hash look-up.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if `key` is of another type or number of columns than the table's key,
    /// [`Error::NoSuchTable`].
    #[inline(always)]
    pub fn get(&self, key: impl ToKey) -> Result<Option<Row<'_>>> {
        let (slot, def) = (self.source.slot(), self.source.def());
        if let Some(id) = key.as_u64()
            && !def.has_key_index
        {
            let found = self.source.guard()?.hold(|root, _| TableView::present(root, slot, def)?.locate(id));
            if let Some((held, spot)) = found {
                return Ok(Some(Row::new(held, def, spot, id)));
            }
        }
        Ok(self.get_slow(&key)?.map(Found::into_row))
    }

    /// The way of keys that are no row ids, of rows that are not there, and of handles made before a schema change.
    #[inline(never)]
    fn get_slow(&self, key: &dyn ToKey) -> Result<Option<Found<'_>>> {
        let opened = self.open()?;
        if !opened.def.has_key_index {
            return Ok(row_id_of(opened.def, key)?.and_then(|id| find_id(opened, id)));
        }
        if let [column] = *opened.def.schema.primary_key()
            && let Some(column) = opened.def.layout.column(column)
        {
            if let Some(word) = key.word_as(column.ty) {
                return Ok(find_value(opened, 0, column, word));
            }
            if let Some(value) = key.packed_as(column.ty, &mut [0; 8]) {
                return Ok(find_value(opened, 0, column, value));
            }
        }
        let key = pack_key(opened.def, key)?;
        Ok(find_key(opened, 0, &key))
    }

    /// The row with this row id.
    pub(crate) fn row_by_id(&self, id: u64) -> Result<Option<Row<'_>>> {
        Ok(find_id(self.open()?, id).map(Found::into_row))
    }

    /// Runs `read` on the row with this key, if there is one. Once, on the calling thread, under no lock; it may call
    /// back into the database. Nothing is handed out that would hold the version.
    ///
    /// ```
    /// # use folio::{Column, Database, Schema};
    /// # let db = Database::in_memory();
    /// # let cities = db.create_table(Schema::builder("cities")
    /// #     .column(Column::u64("id").primary_key().auto_increment()).column(Column::u32("people")).build()?)?;
    /// let id = cities.insert(&serde_json::json!({ "people": 140_000 }))?;
    /// let people = cities.column::<u32>("people")?;
    /// assert_eq!(cities.get_with(id, |city| city.get(people))?, Some(140_000));
    /// # Ok::<(), folio::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`get`](Reader::get).
    #[inline]
    pub fn get_with<R>(&self, key: impl ToKey, read: impl FnOnce(&Row<'_>) -> R) -> Result<Option<R>> {
        let (slot, def) = (self.source.slot(), self.source.def());
        if let Some(id) = key.as_u64()
            && !def.has_key_index
        {
            let guard = self.source.guard()?;
            if let Some(view) = TableView::present(guard.root(), slot, def)
                && let Some((block, spot)) = view.locate(id)
            {
                return Ok(Some(read(&Row::borrowed(block, def, spot, id))));
            }
        }
        Ok(self.get_slow(&key)?.map(|found| read(&found.into_row())))
    }

    /// The rows with these keys, in their order, all from one version. Their look-ups are interleaved, so that the
    /// processor waits for many rows at once: faster than as many calls of [`get`](Reader::get).
    ///
    /// # Errors
    /// As [`get`](Reader::get).
    pub fn get_many<K: ToKey>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Option<Row<'_>>>> {
        let opened = self.open()?;
        let keys = keys.into_iter();
        let mut rows = Vec::with_capacity(keys.size_hint().0.min(1 << 16));
        if opened.def.has_key_index {
            let keys = keys.map(|key| pack_key(opened.def, &key)).collect::<Result<Vec<_>>>()?;
            get_many_hashed(&opened, &keys, &mut rows);
        } else {
            let mut keys = keys.peekable();
            while keys.peek().is_some() {
                let mut batch = [None; BATCH];
                let mut len = 0;
                for (place, key) in batch.iter_mut().zip(keys.by_ref()) {
                    *place = row_id_of(opened.def, &key)?;
                    len += 1;
                }
                get_many_by_id(&opened, &batch[..len], &mut rows);
            }
        }
        Ok(rows)
    }

    /// Whether there is a row with this key.
    ///
    /// # Errors
    /// As [`get`](Reader::get).
    pub fn contains(&self, key: impl ToKey) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// The row whose unique column (given by name or handle) has this value. Cost: one index look-up.
    ///
    /// # Errors
    /// [`Error::NoSuchColumn`], [`Error::ForeignHandle`], [`Error::InvalidQuery`] if the column is not unique,
    /// [`Error::InvalidKey`] if the value is of another type, [`Error::NoSuchTable`].
    #[inline(always)]
    pub fn find(&self, column: impl ColumnName, value: impl ToKey) -> Result<Option<Row<'_>>> {
        Ok(self.find_slow(&column, &value)?.map(Found::into_row))
    }

    #[inline(never)]
    fn find_slow(&self, column: &dyn ColumnName, value: &dyn ToKey) -> Result<Option<Found<'_>>> {
        let opened = self.open()?;
        let (def, index) = (opened.def, column.resolve(opened.def)?);
        if def.row_id == Some(index) {
            return Ok(row_id_of(def, value)?.and_then(|id| find_id(opened, id)));
        }
        let is_unique = |plan: &IndexPlan| plan.unique && *plan.columns == [index];
        // Of two such indexes the one that hashes is the faster.
        let hashed = def.indexes.iter().position(|plan| plan.kind == IndexKind::Hash && is_unique(plan));
        if let Some(number) = hashed
            && let Some(column) = def.layout.column(index)
        {
            if let Some(word) = value.word_as(column.ty) {
                return Ok(find_value(opened, number, column, word));
            }
            if let Some(value) = value.packed_as(column.ty, &mut [0; 8]) {
                return Ok(find_value(opened, number, column, value));
            }
        }
        let Some(number) = hashed.or_else(|| def.indexes.iter().position(is_unique)) else {
            return Err(not_unique(def, index));
        };
        let key = KeyBuf::pack(def, &[index], value).map_err(|kind| invalid_key(def, &[index], &kind))?;
        if key.len() != 1 {
            return Err(invalid_key(def, &[index], &RowErrorKind::WrongArity { expected: 1, found: key.len() }));
        }
        Ok(find_key(opened, number, &key))
    }

    /// All rows in the order of the primary key; of a table without one, in the order of insertion.
    ///
    /// Rows come one by one from one version, from both ends if wanted. Where the key is the row id this streams; a
    /// key with an ordered index has its ids gathered first (8 bytes a row), any other key is sorted first, O(n log n).
    ///
    /// # Errors
    /// [`Error::NoSuchTable`].
    pub fn iter(&self) -> Result<Rows<'_>> {
        self.range::<u64>(..)
    }

    /// The rows whose primary key lies in `keys`, in its order; see [`iter`](Reader::iter). A bound may be an integer that
    /// the key cannot hold, such as -1 where it has no sign. NaN lies behind all numbers. Of a key of several columns a
    /// bound may be the first ones alone, which stands for all keys that begin so.
    ///
    /// ```
    /// # use folio::{Column, Database, Schema};
    /// # let db = Database::in_memory();
    /// let schema = Schema::builder("points")
    ///     .column(Column::string("series"))
    ///     .column(Column::u32("at"))
    ///     .primary_key(["series", "at"]);
    /// let points = db.create_table(schema.build()?)?;
    /// points.insert_many([("cpu", 1), ("cpu", 7), ("disk", 3)])?;
    /// assert_eq!(points.range("cpu"..="cpu")?.count(), 2);
    /// assert_eq!(points.range(("cpu", 5)..("disk", 4))?.count(), 2);
    /// # Ok::<(), folio::Error>(())
    /// ```
    ///
    /// Cost: with an ordered index over the key's columns O(log n + rows found); else all keys are looked at, and those
    /// found sorted.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if a bound is of another type than the key, or has a null; [`Error::NoSuchTable`].
    pub fn range<K: ToKey>(&self, keys: impl RangeBounds<K>) -> Result<Rows<'_>> {
        fn erased<K: ToKey>(key: &K) -> &dyn ToKey {
            key
        }
        self.range_of(keys.start_bound().map(erased), keys.end_bound().map(erased))
    }

    fn range_of(&self, lower: Bound<&dyn ToKey>, upper: Bound<&dyn ToKey>) -> Result<Rows<'_>> {
        let opened = self.open()?;
        let span = KeySpan::new(opened.def, lower, upper)?;
        Ok(Rows::in_key_order(opened, span))
    }

    /// The row at place `rank` (from 0) in the order of row ids, which is the order of the key where that is an
    /// auto-increment integer, else of insertion. Cost: O(log n), from counts.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`].
    pub fn nth(&self, rank: u64) -> Result<Option<Row<'_>>> {
        let Opened { guard, slot, def } = self.open()?;
        let found = guard.hold(|root, _| {
            let (number, block, within) = view_of(root, slot, def).rows().nth(rank)?;
            let page = PageRef::new(block);
            let position = within as usize;
            let id = number << PAGE_SHIFT | page.index_of(position) as u64;
            Some((block, (Spot::at(page, position), id)))
        });
        Ok(found.map(|(held, (spot, id))| Row::new(held, def, spot, id)))
    }
}

/// How many look-ups of [`Reader::get_many`] are under way at once: about what a core's miss buffers hold.
const BATCH: usize = 16;

/// Walks the tree for a batch of ids, asks for each row's lines, and only then reads them.
fn get_many_by_id<'a>(opened: &Opened<'a>, ids: &[Option<u64>], rows: &mut Vec<Option<Row<'a>>>) {
    let def = opened.def;
    {
        let view = opened.view();
        for id in ids.iter().flatten() {
            if let Some(page) = view.page_of(*id) {
                page.prefetch(0);
                // Fixed-width columns begin a few lines in, by the row's place.
                page.prefetch(64 + def.layout.fixed_bytes().min(8) * (*id as usize % PAGE_ROWS));
            }
        }
    }
    rows.extend(ids.iter().map(|id| Some(find_id(opened.clone(), (*id)?)?.into_row())));
}

/// The same through the key's hash index: buckets first, then the rows that they name.
fn get_many_hashed<'a>(opened: &Opened<'a>, keys: &[KeyBuf], rows: &mut Vec<Option<Row<'a>>>) {
    let def = opened.def;
    let columns = &def.indexes[0].columns;
    for batch in keys.chunks(BATCH) {
        let view = opened.view();
        let Some(index) = view.hash_index(0) else { return rows.extend(batch.iter().map(|_| None)) };
        let mut hashes = [0; BATCH];
        for (hash, key) in hashes.iter_mut().zip(batch) {
            *hash = key.hash(def, columns);
            if let Some(bucket) = index.locate(*hash) {
                bucket.prefetch(0);
                bucket.prefetch(64);
            }
        }
        for hash in &hashes[..batch.len()] {
            for id in index.candidates(*hash) {
                if let Some(page) = view.page_of(id) {
                    page.prefetch(0);
                    page.prefetch(64 + def.layout.fixed_bytes().min(8) * (id as usize % PAGE_ROWS));
                }
            }
        }
        for key in batch {
            rows.push(find_key(opened.clone(), 0, key).map(Found::into_row));
        }
    }
}

/// A row on its way out of a call that is not inlined. Not a [`Row`], so that the caller takes it apart into registers
/// and does not share its place in memory with the callee: what `get` answers then never is in memory where it need not.
struct Found<'a> {
    id: u64,
    spot: Spot,
    def: &'a TableDef,
    held: Held<'a>,
}

impl<'a> Found<'a> {
    #[inline(always)]
    fn into_row(self) -> Row<'a> {
        Row::new(self.held, self.def, self.spot, self.id)
    }
}

#[inline(always)]
fn find_id(opened: Opened<'_>, id: u64) -> Option<Found<'_>> {
    let Opened { guard, slot, def } = opened;
    let (held, spot) = guard.hold(|root, _| view_of(root, slot, def).locate(id))?;
    Some(Found { id, spot, def, held })
}

/// The row with this key in unique index `index`, together with what keeps it.
fn find_key<'a>(opened: Opened<'a>, index: usize, key: &KeyBuf) -> Option<Found<'a>> {
    if key.beyond().is_some() {
        return None;
    }
    let Opened { guard, slot, def } = opened;
    let (held, (spot, id)) = guard.hold(|root, _| {
        let row = view_of(root, slot, def).find_unique(index, key)?;
        Some((row.page().block(), (Spot::of(&row), row.id())))
    })?;
    Some(Found { id, spot, def, held })
}

/// The same for an index of the one column `column`, by its value.
#[inline(always)]
fn find_value<'a>(opened: Opened<'a>, index: usize, column: &ColumnPlace, wanted: impl Wanted) -> Option<Found<'a>> {
    let Opened { guard, slot, def } = opened;
    let (held, (spot, id)) = guard.hold(|root, _| view_of(root, slot, def).find_value(index, column, wanted))?;
    Some(Found { id, spot, def, held })
}

/// The row id that `key` names, if any can: negative integers name none.
#[inline(always)]
pub(crate) fn row_id_of(def: &TableDef, key: &dyn ToKey) -> Result<Option<u64>> {
    match key.as_u64() {
        Some(id) => Ok(Some(id)),
        None => row_id_slow(def, key),
    }
}

#[cold]
fn row_id_slow(def: &TableDef, key: &dyn ToKey) -> Result<Option<u64>> {
    let mut is_integer = key.key_len() == 1;
    let mut found = String::new();
    key.visit_parts(&mut |part| {
        is_integer &= matches!(part, ValueRef::Int(_) | ValueRef::UInt(_));
        found = excerpt_of(part);
    });
    if is_integer {
        return Ok(None);
    }
    let found = if key.key_len() == 1 { found } else { format!("{} values", key.key_len()) };
    Err(Error::InvalidKey {
        table: def.name().into(),
        expected: match def.row_id {
            Some(column) => format!("one integer (`{}`)", def.column_name(column)),
            None => "one integer (the row id)".into(),
        }
        .into(),
        found: found.into(),
    })
}

/// The packed primary key of a table whose key is no row id: whole, without nulls.
#[inline]
pub(crate) fn pack_key(def: &TableDef, key: &dyn ToKey) -> Result<KeyBuf> {
    pack_key_of(def, key, def.schema.primary_key().len())
}

/// The same for a bound of keys, which may be of the key's first columns alone.
pub(crate) fn pack_bound(def: &TableDef, key: &dyn ToKey) -> Result<KeyBuf> {
    pack_key_of(def, key, 1)
}

/// With values for at least so many columns.
#[inline]
fn pack_key_of(def: &TableDef, key: &dyn ToKey, least: usize) -> Result<KeyBuf> {
    let columns = def.schema.primary_key();
    let packed = KeyBuf::pack(def, columns, key).map_err(|kind| invalid_key(def, columns, &kind))?;
    if packed.len() < least {
        let kind = RowErrorKind::WrongArity { expected: columns.len(), found: packed.len() };
        return Err(invalid_key(def, columns, &kind));
    }
    if packed.has_null() {
        return Err(invalid_key(def, columns, &RowErrorKind::NullNotAllowed));
    }
    Ok(packed)
}

#[cold]
fn invalid_key(def: &TableDef, columns: &[usize], kind: &RowErrorKind) -> Error {
    let expected: Vec<String> = columns
        .iter()
        .map(|&column| format!("{} (`{}`)", super::key::type_of(def, column), def.column_name(column)))
        .collect();
    let found = match kind {
        RowErrorKind::WrongArity { found: 1, .. } => "1 value".into(),
        RowErrorKind::WrongArity { found, .. } => format!("{found} values"),
        RowErrorKind::WrongType { found, .. } => found.to_string(),
        RowErrorKind::OutOfRange { value, .. } | RowErrorKind::InvalidValue { value, .. } => value.to_string(),
        RowErrorKind::NullNotAllowed => "null".into(),
        _ => "a value that does not fit".into(),
    };
    Error::InvalidKey { table: def.name().into(), expected: expected.join(", ").into(), found: found.into() }
}

#[cold]
fn not_unique(def: &TableDef, column: usize) -> Error {
    Error::InvalidQuery {
        message: format!(
            "`{}.{}` is not unique: `find` wants a unique column, `select` serves the others",
            def.name(),
            def.column_name(column)
        )
        .into(),
    }
}

#[cold]
pub(crate) fn no_table(def: &TableDef) -> Error {
    Error::NoSuchTable { table: def.name().into(), similar: None }
}
