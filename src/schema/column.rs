//! Columns: how they are declared, and what a schema keeps of them.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::check::{Check, CheckType, ColumnCheck};
use crate::value::{Array, Timestamp, Type, Uuid, Value};

/// A column on its way into a schema. `T` is what its checks see.
///
/// Columns are not nullable unless said so. What values go into a column of each type, [`Type`] says. Whether
/// everything said of a column can be is found by [`SchemaBuilder::build`](super::SchemaBuilder::build).
///
/// ```
/// use folio::Column;
///
/// Column::u64("id").primary_key().auto_increment();
/// Column::f64("gpa").default(0.0).check("between 0 and 4", |gpa| (0.0..=4.0).contains(gpa));
/// Column::string("name").check("not blank", |name| !name.trim().is_empty());
/// ```
#[derive(Debug)]
#[must_use = "a column is of no table before a schema has it"]
pub struct Column<T: ?Sized> {
    def: ColumnDef,
    checked: PhantomData<fn(&T)>,
}

/// A column of a schema.
#[derive(Debug, Clone)]
pub struct ColumnDef {
    pub(super) name: Box<str>,
    pub(super) ty: Type,
    pub(super) nullable: bool,
    pub(super) unique: bool,
    /// Declared as the primary key by itself.
    pub(super) primary_key: bool,
    pub(super) auto_increment: bool,
    pub(super) default: DefaultValue,
    pub(super) checks: Vec<ColumnCheck>,
}

/// What a column holds when a row does not mention it.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum DefaultValue {
    /// Null if the column is nullable, else the row is refused.
    #[default]
    None,
    /// This value, in a schema as the column's type has it.
    Value(Value),
    /// What this closure answers, called once for each such row.
    Closure(Arc<dyn Fn() -> Value + Send + Sync>),
    /// A closure that was lost, because the schema was read from its JSON form. Rows have to mention the column.
    MissingClosure,
}

impl fmt::Debug for DefaultValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DefaultValue::None => f.write_str("None"),
            DefaultValue::Value(value) => write!(f, "Value({value})"),
            DefaultValue::Closure(_) => f.write_str("Closure"),
            DefaultValue::MissingClosure => f.write_str("MissingClosure"),
        }
    }
}

macro_rules! constructors {
    ($($method:ident: $ty:ty, $variant:ident, $doc:literal;)*) => {$(
        impl Column<$ty> {
            #[doc = $doc]
            pub fn $method(name: impl Into<String>) -> Column<$ty> {
                Column::typed(name.into(), Type::$variant)
            }
        }
    )*};
}

constructors!(
    i8: i8, I8, "An `i8` column, 1 byte.";
    i16: i16, I16, "An `i16` column, 2 bytes.";
    i32: i32, I32, "An `i32` column, 4 bytes.";
    i64: i64, I64, "An `i64` column, 8 bytes.";
    u8: u8, U8, "A `u8` column, 1 byte.";
    u16: u16, U16, "A `u16` column, 2 bytes.";
    u32: u32, U32, "A `u32` column, 4 bytes.";
    u64: u64, U64, "A `u64` column, 8 bytes.";
    f32: f32, F32, "An `f32` column, 4 bytes.";
    f64: f64, F64, "An `f64` column, 8 bytes.";
    bool: bool, Bool, "A `bool` column, 1 byte.";
    string: str, String, "A `string` column: UTF-8 text. Checks see `&str`.";
    bytes: [u8], Bytes, "A `bytes` column. Checks see `&[u8]`.";
    uuid: Uuid, Uuid, "A `uuid` column, 16 bytes.";
    timestamp: Timestamp, Timestamp, "A `timestamp` column, 8 bytes.";
    json: serde_json::Value, Json,
        "A `json` column, kept as compact text. A float that is not finite is null in it. Checks see it parsed.";
);

impl Column<Value> {
    /// A column of a type known at run time. Checks see `&Value`.
    pub fn new(name: impl Into<String>, ty: Type) -> Column<Value> {
        Column::typed(name.into(), ty)
    }

    /// A column of fixed arrays. Checks see `&Value`.
    ///
    /// ```
    /// use folio::{Array, Column, Error, Scalar};
    ///
    /// Column::array("position", Array::new(Scalar::F32, 3).expect("1 to 65,536 elements"));
    /// Column::array("position", "3xf32".parse().map_err(Error::abort)?);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn array(name: impl Into<String>, array: Array) -> Column<Value> {
        Column::typed(name.into(), Type::Array(array))
    }
}

impl<T: ?Sized> Column<T> {
    fn typed(name: String, ty: Type) -> Column<T> {
        Column { def: ColumnDef::new(name, ty), checked: PhantomData }
    }

    /// Makes this column the primary key. A key of several columns is
    /// [`SchemaBuilder::primary_key`](super::SchemaBuilder::primary_key).
    ///
    /// An [`auto_increment`](Column::auto_increment) key is in order by itself. Any other is found by a hash: if it is to
    /// be gone through in order, or by ranges, give the schema an [`Index::ordered`](crate::Index::ordered) of it too.
    pub fn primary_key(mut self) -> Self {
        self.def.primary_key = true;
        self
    }

    /// Numbers the rows that do not mention the column, or have null there, from 1 on. For an integer that is the primary
    /// key by itself. A row may come with a number of its own, from 0 on; a negative one is
    /// [`Error::OutOfRange`](crate::Error::OutOfRange).
    ///
    /// A number is never given twice, be its row deleted or the write that had it rolled back, and each is above all keys
    /// that rows came with. Those that were rolled back are passed over as well, unless no higher number is left: a refused
    /// row with the highest key of its type does not use up the others. When a database on disk is opened again, it knows of
    /// the numbers in committed writes: one that only a write had which was rolled back may be given again.
    pub fn auto_increment(mut self) -> Self {
        self.def.auto_increment = true;
        self
    }

    /// Refuses a value that another row has. Adds a unique hash index. Nulls are not compared.
    pub fn unique(mut self) -> Self {
        self.def.unique = true;
        self
    }

    /// Allows null.
    pub fn nullable(mut self) -> Self {
        self.def.nullable = true;
        self
    }

    /// The value in rows that do not mention the column. It is checked when the schema is built; a document may nest at
    /// most 122 deep, so that the schema's JSON form can be read.
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.def.default = DefaultValue::Value(value.into());
        self
    }

    /// A closure for the value in rows that do not mention the column.
    ///
    /// It is called once for each such row, while the write runs, and cannot itself write to the database. Its values
    /// are checked as a row's own are. It is not part of the schema's JSON form.
    pub fn default_with<V: Into<Value>>(mut self, default: impl Fn() -> V + Send + Sync + 'static) -> Self {
        self.def.default = DefaultValue::Closure(Arc::new(move || default().into()));
        self
    }

    /// Refuses values for which `check` is false. `name` stands in the error.
    ///
    /// It is called for each row that is inserted or updated, while the write runs, unless the value is null, and sees the
    /// number that an [`auto_increment`](Column::auto_increment) key is given; it cannot itself write to the database. It is
    /// not part of the schema's JSON form.
    pub fn check(mut self, name: impl Into<String>, check: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self
    where
        T: CheckType,
    {
        let ty = self.def.ty;
        let test = Arc::new(move |bytes: &[u8]| T::test(ty, bytes, &check));
        self.def.checks.push(Check { name: name.into().into(), test: Some(test) });
        self
    }
}

impl<T: ?Sized> From<Column<T>> for ColumnDef {
    fn from(column: Column<T>) -> ColumnDef {
        column.def
    }
}

impl ColumnDef {
    pub(super) fn new(name: impl Into<Box<str>>, ty: Type) -> ColumnDef {
        ColumnDef {
            name: name.into(),
            ty,
            nullable: false,
            unique: false,
            primary_key: false,
            auto_increment: false,
            default: DefaultValue::None,
            checks: Vec::new(),
        }
    }

    /// Its name, unique in the table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// Whether null is allowed.
    pub fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// Whether no two rows have the same value.
    pub fn is_unique(&self) -> bool {
        self.unique
    }

    /// Whether rows that do not mention it are numbered.
    pub fn is_auto_increment(&self) -> bool {
        self.auto_increment
    }

    /// What rows that do not mention it get.
    pub fn default_value(&self) -> &DefaultValue {
        &self.default
    }

    /// The names of its checks, in the order in which they run.
    pub fn checks(&self) -> impl Iterator<Item = &str> {
        self.checks.iter().map(|check| &*check.name)
    }
}

impl fmt::Display for ColumnDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.ty)?;
        for (said, word) in
            [(self.nullable, "nullable"), (self.unique, "unique"), (self.auto_increment, "auto_increment")]
        {
            if said {
                write!(f, " {word}")?;
            }
        }
        match &self.default {
            DefaultValue::None => {}
            DefaultValue::Value(value) => write!(f, " default {value}")?,
            DefaultValue::Closure(_) => f.write_str(" default <closure>")?,
            DefaultValue::MissingClosure => f.write_str(" default <missing closure>")?,
        }
        self.checks.iter().try_for_each(|check| write!(f, " check {:?}", check.name))
    }
}
