//! Indexes: how they are declared, and what a schema keeps of them.

use std::fmt;

use serde_core::de::{Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, VariantAccess, Visitor};
use serde_core::ser::{Serialize, Serializer};

/// What an index can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IndexKind {
    /// Rows with these values. About 7 bytes an entry if it is unique, else 13.
    Hash,
    /// Rows with these values, ranges, prefixes, and rows in order.
    Ordered,
}

impl fmt::Display for IndexKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IndexKind::Hash => "hash",
            IndexKind::Ordered => "ordered",
        })
    }
}

const KIND_NAMES: [&str; 2] = ["hash", "ordered"];

impl Serialize for IndexKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = match self {
            IndexKind::Hash => 0,
            IndexKind::Ordered => 1,
        };
        serializer.serialize_unit_variant("IndexKind", number, KIND_NAMES[number as usize])
    }
}

impl<'de> Deserialize<'de> for IndexKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<IndexKind, D::Error> {
        deserializer.deserialize_enum("IndexKind", &KIND_NAMES, KindVisitor)
    }
}

/// Reads a kind by name, or by number from formats without names.
struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = IndexKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a kind of index")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<IndexKind, A::Error> {
        let (kind, variant) = access.variant_seed(KindVisitor)?;
        variant.unit_variant().map(|()| kind)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<IndexKind, E> {
        match name {
            "hash" => Ok(IndexKind::Hash),
            "ordered" => Ok(IndexKind::Ordered),
            _ => Err(E::unknown_variant(name, &KIND_NAMES)),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<IndexKind, E> {
        match number {
            0 => Ok(IndexKind::Hash),
            1 => Ok(IndexKind::Ordered),
            _ => Err(E::custom("expected the number of a kind of index")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for KindVisitor {
    type Value = IndexKind;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<IndexKind, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

/// An index on its way into a schema.
///
/// ```
/// use folio::Index;
///
/// Index::ordered(["country", "gpa"]).named("best_of_country");
/// ```
#[derive(Debug, Clone)]
#[must_use = "an index is of no table before a schema, or `create_index`, has it"]
pub struct Index {
    pub(super) name: Option<Box<str>>,
    pub(super) kind: IndexKind,
    pub(super) columns: Vec<Box<str>>,
    pub(super) unique: bool,
}

impl Index {
    /// A hash index over these columns.
    pub fn hash<C: Into<String>>(columns: impl IntoIterator<Item = C>) -> Index {
        Index::new(IndexKind::Hash, columns)
    }

    /// An ordered index over these columns, the first being compared first.
    pub fn ordered<C: Into<String>>(columns: impl IntoIterator<Item = C>) -> Index {
        Index::new(IndexKind::Ordered, columns)
    }

    pub(crate) fn new<C: Into<String>>(kind: IndexKind, columns: impl IntoIterator<Item = C>) -> Index {
        let columns = columns.into_iter().map(|column| column.into().into()).collect();
        Index { name: None, kind, columns, unique: false }
    }

    /// Refuses rows with the values of another. Rows with a null among them are not compared.
    pub fn unique(mut self) -> Index {
        self.unique = true;
        self
    }

    /// Names the index. Without a name it is `<table>_by_<column>_<column>`, with the kind behind it, and then a number,
    /// where that is taken; what goes before these is cut where the name would be longer than
    /// [`NAME_BYTES_MAX`](crate::NAME_BYTES_MAX).
    pub fn named(mut self, name: impl Into<String>) -> Index {
        self.name = Some(name.into().into());
        self
    }

    /// What the name of an index without one is derived from.
    pub(super) fn stem(&self, table: &str) -> String {
        format!("{table}_by_{}", self.columns.join("_"))
    }
}

/// An index of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDef {
    pub(super) name: Box<str>,
    pub(super) kind: IndexKind,
    pub(super) columns: Box<[usize]>,
    pub(super) unique: bool,
}

impl IndexDef {
    /// Its name, unique in the table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its kind.
    pub fn kind(&self) -> IndexKind {
        self.kind
    }

    /// The places of its columns in the schema, in the index's order.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Whether no two rows have the same values.
    pub fn is_unique(&self) -> bool {
        self.unique
    }
}
