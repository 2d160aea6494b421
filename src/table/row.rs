//! What users read rows with: [`Row`], one row of a version, and [`Field`], a column as a handle.

use super::definition::TableDef;
use super::layout::Place;
use super::row_page::{PageRef, inside};
use super::spot::Spot;
use crate::error::{Error, Result};
use crate::page::{BlockRef, Held};
use crate::value::{Columns, Readable, Type, Typed, Value, ValueRef, decode, decode_columns, spelling};
use serde_core::de::DeserializeOwned;
use serde_core::ser::SerializeMap;
use serde_core::{Serialize, Serializer};
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

/// A column of a table as a handle: checked once against the schema, then reading it costs a load.
///
/// Made by [`Reader::column`](crate::Reader::column). `Copy`; good for the table itself, for the same table in
/// snapshots, transactions and forks, and for building predicates such as `gpa.gt(3.5)`. `T` is the type that it reads
/// as: `f64`, `str`, `Option<i32>` for a nullable column, and so on; see [`Readable`].
pub struct Field<T: ?Sized> {
    pub(crate) table: u64,
    pub(crate) index: u32,
    /// Where the column begins in a full page, or [`NOT_PLAIN`]: what most reads need and all that they need.
    plain_at: u32,
    width: u32,
    pub(crate) ty: Type,
    reads: PhantomData<fn() -> Box<T>>,
}

/// The column is nullable, or its values are not of one width.
const NOT_PLAIN: u32 = u32::MAX;

impl<T: ?Sized> Clone for Field<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Field<T> {}

impl<T: ?Sized> fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field(column {} as {})", self.index, self.ty)
    }
}

impl<T: Readable + ?Sized> Field<T> {
    /// The handle of the table's column `name`.
    pub(crate) fn of(def: &TableDef, name: &str) -> Result<Self> {
        find_field(def, name, T::accepts, T::expected).map(Field::retyped)
    }
}

impl<T: ?Sized> Field<T> {
    /// The same column, for a reader of its bytes who knows what they are.
    #[inline(always)]
    pub(crate) fn retyped<U: ?Sized>(self) -> Field<U> {
        let Self { table, index, plain_at, width, ty, .. } = self;
        Field { table, index, plain_at, width, ty, reads: PhantomData }
    }
}

/// The column `name`, if it can be read as the type that `accepts` and `expected` speak for.
fn find_field(
    def: &TableDef,
    name: &str,
    accepts: fn(Type, bool) -> bool,
    expected: fn() -> String,
) -> Result<Field<()>> {
    let index = column_index(def, name)?;
    let column = def.layout.columns()[index];
    let nullable = column.nulls.is_some();
    if !accepts(column.ty, nullable) {
        return Err(Error::WrongHandle {
            table: def.name().into(),
            column: name.into(),
            requested: expected().into(),
            expected: spelling(column.ty, nullable).into(),
        });
    }
    let (plain_at, width) = match column.place {
        Place::Fixed { width, .. } if !nullable => (column.full_at as u32, width as u32),
        _ => (NOT_PLAIN, 0),
    };
    Ok(Field { table: def.table, index: index as u32, plain_at, width, ty: column.ty, reads: PhantomData })
}

/// The place of the column `name` in the schema.
pub(crate) fn column_index(def: &TableDef, name: &str) -> Result<usize> {
    def.schema.shape().column_index(name).ok_or_else(|| Error::NoSuchColumn {
        table: def.name().into(),
        column: name.into(),
        similar: def.schema.shape().similar_column(name).map(Into::into),
    })
}

thread_local! {
    /// The column of another table's handle with which a row was read, so that the query or the write around it can say
    /// so.
    static FOREIGN_FIELD: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Watches for reads of rows with a foreign handle, on this thread, as long as it lives.
///
/// Queries nest, for a closure may run another. What was noted before is not the inner one's error, and is there again
/// when the inner one ends, also by a panic; what the inner one notes is its own.
pub(crate) struct ForeignReads {
    before: Option<u32>,
}

impl ForeignReads {
    pub(crate) fn watch() -> Self {
        Self { before: FOREIGN_FIELD.take() }
    }

    /// # Errors
    /// [`Error::ForeignHandle`] if there was any, of rows of the table `def` or of those that are read beside it.
    pub(crate) fn check(&self, def: &TableDef) -> Result<()> {
        FOREIGN_FIELD.get().map_or(Ok(()), |column| Err(foreign_handle(def, column as usize)))
    }
}

impl Drop for ForeignReads {
    fn drop(&mut self) {
        FOREIGN_FIELD.set(self.before);
    }
}

/// One row of one version of a table.
///
/// The row is not copied: it is read where it lies, and the version that it belongs to stays in memory for as long as
/// the `Row` lives. One that was read from a [`Table`](crate::Table) belongs to its thread (it is not `Send`, so it
/// cannot be held across an `await` of a task that moves between threads); while it is held, memory that commits free
/// is not used again. To keep a row, [`decode`](Row::decode) it. One from a [`Snapshot`](crate::Snapshot) costs nothing
/// to hold: the snapshot keeps the version anyway.
///
/// A row does not go to another thread, and does not outlive the handle it was read by:
///
/// ```compile_fail,E0277
/// # use folio::*;
/// # let db = Database::in_memory();
/// # let table = db.create_table(Schema::builder("t").column(Column::u64("n")).build().unwrap()).unwrap();
/// # table.insert(&(1,)).unwrap();
/// let row = table.get(0u64).unwrap();
/// std::thread::scope(|scope| drop(scope.spawn(move || drop(row))));
/// ```
///
/// ```compile_fail,E0505
/// # use folio::*;
/// # let db = Database::in_memory();
/// # let table = db.create_table(Schema::builder("t").column(Column::u64("n")).build().unwrap()).unwrap();
/// # table.insert(&(1,)).unwrap();
/// let row = table.get(0u64).unwrap();
/// drop(table);
/// drop(row);
/// ```
#[derive(Clone)]
pub struct Row<'a> {
    held: Held<'a>,
    pub(crate) def: &'a TableDef,
    spot: Spot,
    id: [u8; 8],
}

impl<'a> Row<'a> {
    #[inline(always)]
    pub(crate) fn new(held: Held<'a>, def: &'a TableDef, spot: Spot, id: u64) -> Self {
        Self { held, def, spot, id: id.to_le_bytes() }
    }

    /// A row of a page that stays readable for `'a` without a guard of the row's own.
    #[inline(always)]
    pub(crate) fn borrowed(block: BlockRef<'a>, def: &'a TableDef, spot: Spot, id: u64) -> Self {
        Self::new(Held::borrowed(block), def, spot, id)
    }

    /// Makes this the row at another position of the same page.
    #[inline(always)]
    pub(crate) fn move_to(&mut self, position: usize, id: u64) {
        self.spot = self.spot.moved_to(position);
        self.id = id.to_le_bytes();
    }

    #[inline(always)]
    fn page(&self) -> PageRef<'_> {
        PageRef::of_shape(self.held.block(), self.spot.shape())
    }

    /// The value of a column. Cost: a load.
    ///
    /// A string comes as `&str` borrowed from the row, a nullable column as `Option`. A handle of another table reads as
    /// zero, empty or `None`; inside a query that is an error of the query, and [`try_get`](Row::try_get) says it at once.
    #[inline(always)]
    pub fn get<T: Readable + ?Sized>(&self, field: Field<T>) -> T::Ref<'_> {
        if field.plain_at != NOT_PLAIN && self.spot.is_full() && field.table == self.def.table {
            let (at, width) = (field.plain_at as usize, field.width as usize);
            return T::read(
                field.ty,
                Some(inside(self.held.block().leaf_bytes(), at + width * self.spot.position(), width)),
            );
        }
        self.get_any(field)
    }

    /// Columns of variable width, nullable ones, pages with gaps.
    #[inline]
    fn get_any<T: Readable + ?Sized>(&self, field: Field<T>) -> T::Ref<'_> {
        if field.table != self.def.table {
            return Self::foreign::<T>(&field);
        }
        T::read(field.ty, self.column_bytes(field.index as usize))
    }

    #[cold]
    fn foreign<'x, T: Readable + ?Sized>(field: &Field<T>) -> T::Ref<'x> {
        FOREIGN_FIELD.set(Some(field.index));
        T::read(field.ty, None)
    }

    /// The packed value of a column; `None` if it is null, or the handle another table's, which is noted as by `get`.
    #[inline(always)]
    pub(crate) fn packed<T: ?Sized>(&self, field: Field<T>) -> Option<&[u8]> {
        if field.table != self.def.table {
            FOREIGN_FIELD.set(Some(field.index));
            return None;
        }
        self.column_bytes(field.index as usize)
    }

    /// The value of a column.
    ///
    /// # Errors
    /// [`Error::ForeignHandle`] if the handle is another table's.
    pub fn try_get<T: Readable + ?Sized>(&self, field: Field<T>) -> Result<T::Ref<'_>> {
        if field.table != self.def.table {
            return Err(foreign_handle(self.def, field.index as usize));
        }
        Ok(self.get(field))
    }

    /// The value of the column `name`. Slower than a handle: the name is looked up each time.
    ///
    /// # Errors
    /// [`Error::NoSuchColumn`].
    pub fn value(&self, name: &str) -> Result<Value> {
        let index = column_index(self.def, name)?;
        let ty = self.def.layout.columns()[index].ty;
        Ok(self.column_bytes(index).map_or(ValueRef::Null, |bytes| ty.unpack(bytes)).to_owned())
    }

    /// The row id: the order of insertion, and the key where that is an auto-increment integer.
    #[inline(always)]
    pub fn id(&self) -> u64 {
        u64::from_le_bytes(self.id)
    }

    /// The whole row as any type that serde can deserialize: a struct, a map, a tuple in column order.
    ///
    /// # Errors
    /// [`Error::Decode`] and the other errors of kind [`Row`](crate::ErrorKind::Row) if the type does not fit.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        decode(self.def.schema.shape(), self).map_err(|error| error.in_table(self.def.name()))
    }

    /// The whole row as a type that may borrow strings and bytes from it.
    ///
    /// # Errors
    /// As [`decode`](Row::decode).
    pub fn view<'r, T: serde_core::Deserialize<'r>>(&'r self) -> Result<T> {
        decode(self.def.schema.shape(), self).map_err(|error| error.in_table(self.def.name()))
    }

    /// Some columns, in the order of `columns`, as any type that serde can deserialize.
    pub(crate) fn decode_columns<T: DeserializeOwned>(&self, columns: &[usize]) -> Result<T> {
        decode_columns(self.def.schema.shape(), columns, self).map_err(|error| error.in_table(self.def.name()))
    }
}

/// A row is a map from its columns' names to their values, in the schema's order: what a web service answers with, and what
/// [`insert`](crate::Table::insert) of a table of the same columns takes. That keeps the text of a `json` column as it is; to
/// other serializers a document is what `serde_json::Value` holds of it, so that JSON has its numbers as the nearest `f64`
/// where they are no 64-bit integers. JSON has no NaN and no infinities: it writes null for them.
///
/// ```
/// # use folio::{Column, Database, Schema};
/// # let db = Database::in_memory();
/// # let cities = db.create_table(Schema::builder("cities").column(Column::u64("id").primary_key().auto_increment())
/// #     .column(Column::string("name")).column(Column::f32("height").nullable()).build()?)?;
/// cities.insert(&serde_json::json!({ "name": "Quito", "height": 2850.3 }))?;
/// let row = cities.get(1)?.expect("just inserted");
/// assert_eq!(serde_json::to_string(&row).unwrap(), r#"{"id":1,"name":"Quito","height":2850.3}"#);
/// # Ok::<(), folio::Error>(())
/// ```
///
/// # Errors
/// Those of the serializer.
impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let columns = self.def.schema.shape().columns();
        let mut map = serializer.serialize_map(Some(columns.len()))?;
        for (index, column) in columns.iter().enumerate() {
            let value = self.column_bytes(index).map_or(ValueRef::Null, |bytes| column.ty.unpack(bytes));
            map.serialize_entry(&*column.name, &Typed { ty: column.ty, nullable: column.nullable, value })?;
        }
        map.end()
    }
}

pub(crate) fn foreign_handle(def: &TableDef, column: usize) -> Error {
    Error::ForeignHandle {
        table: def.name().into(),
        column: format!("number {column}").into(),
        handle_table: "another".into(),
    }
}

impl Columns for Row<'_> {
    #[inline(always)]
    fn column_bytes(&self, index: usize) -> Option<&[u8]> {
        let layout = &self.def.layout;
        self.page().value(layout, layout.column(index)?, self.spot.position(), &self.id)
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_struct(self.def.name());
        for (index, column) in self.def.schema.shape().columns().iter().enumerate() {
            let value = self.column_bytes(index).map_or(ValueRef::Null, |bytes| column.ty.unpack(bytes)).to_owned();
            map.field(&column.name, &format_args!("{value}"));
        }
        map.finish()
    }
}
