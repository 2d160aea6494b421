//! Keys: the packed bytes of a few columns, given by a user or taken from a row, and what the indexes make of them.

use super::definition::{IndexKind, IndexPlan, TableDef};
use super::index::ordered::KeyRef;
use crate::value::{
    Beyond, Columns, RowErrorKind, ToKey, Type, ValueRef, compare_packed, encode_key, excerpt_of, hash_packed, key_u64,
};

/// The longest encoded key of an ordered index, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 4096;

/// Packed values of key columns. Short ones need no allocation.
pub(crate) struct KeyBuf {
    short: [u8; 32],
    long: Vec<u8>,
    /// Where each value ends, and whether it is null.
    ends: Parts,
    /// The first value that is an integer beyond its column, by its number, and on which side. It has no bytes here.
    beyond: Option<(usize, Beyond)>,
}

/// Up to four columns without allocation.
enum Parts {
    Few { ends: [(usize, bool); 4], len: usize },
    Many(Vec<(usize, bool)>),
}

impl Parts {
    fn push(&mut self, end: (usize, bool)) {
        match self {
            Parts::Few { ends, len } if *len < ends.len() => {
                ends[*len] = end;
                *len += 1;
            }
            Parts::Few { ends, .. } => {
                let mut many = ends.to_vec();
                many.push(end);
                *self = Parts::Many(many);
            }
            Parts::Many(many) => many.push(end),
        }
    }

    fn as_slice(&self) -> &[(usize, bool)] {
        match self {
            Parts::Few { ends, len } => &ends[..*len],
            Parts::Many(many) => many,
        }
    }
}

impl KeyBuf {
    /// Packs `key` as values of `columns` of the table. Fewer values than columns are a prefix, which is for the caller
    /// to allow; an integer beyond its column is one that no row has, of which the caller has to ask
    /// [`beyond`](KeyBuf::beyond).
    ///
    /// # Errors
    /// The number of the value that does not fit its column, and why.
    #[inline]
    pub(crate) fn pack(def: &TableDef, columns: &[usize], key: &dyn ToKey) -> Result<Self, RowErrorKind> {
        let ends = Parts::Few { ends: [(0, false); 4], len: 0 };
        let mut packed = Self { short: [0; 32], long: Vec::new(), ends, beyond: None };
        let (mut used, mut failure, mut next) = (0, None, 0);
        key.visit_parts(&mut |value| {
            let column = columns.get(next).and_then(|&column| def.layout.column(column));
            next += 1;
            let Some(column) = column else {
                failure = failure.take().or(Some(RowErrorKind::WrongArity { expected: columns.len(), found: next }));
                return;
            };
            if value.is_null() {
                packed.ends.push((used, true));
                return;
            }
            match packed.push(used, column.ty, value) {
                Ok(end) => {
                    used = end;
                    packed.ends.push((end, false));
                }
                Err(kind) => match column.ty.beyond(value) {
                    Some(side) => {
                        packed.beyond = packed.beyond.or(Some((next - 1, side)));
                        packed.ends.push((used, false));
                    }
                    None => failure = failure.take().or(Some(kind)),
                },
            }
        });
        match failure {
            Some(RowErrorKind::WrongArity { expected, .. }) => {
                Err(RowErrorKind::WrongArity { expected, found: key.key_len() })
            }
            Some(kind) => Err(kind),
            None => Ok(packed),
        }
    }

    fn push(&mut self, used: usize, ty: Type, value: ValueRef<'_>) -> Result<usize, RowErrorKind> {
        // Text and eight-byte integers, which most keys are, are copied as they stand.
        let raw: Option<&[u8]> = match (ty, &value) {
            (Type::String, ValueRef::Str(text)) => Some(text.as_bytes()),
            (Type::Bytes, ValueRef::Bytes(bytes)) => Some(bytes),
            _ => None,
        };
        let word = match (ty, &value) {
            (Type::U64, ValueRef::UInt(word)) => Some(word.to_le_bytes()),
            (Type::I64, ValueRef::Int(word)) => Some(word.to_le_bytes()),
            _ => None,
        };
        let raw = raw.or(word.as_ref().map(<[u8; 8]>::as_slice));
        if let Some(raw) = raw {
            if self.long.is_empty() && used + raw.len() <= self.short.len() {
                self.short[used..used + raw.len()].copy_from_slice(raw);
            } else {
                self.lengthen(used);
                self.long.extend_from_slice(raw);
            }
            return Ok(used + raw.len());
        }
        self.lengthen(used);
        ty.pack(value, &mut self.long)?;
        Ok(self.long.len())
    }

    /// Moves what is there to the vector.
    fn lengthen(&mut self, used: usize) {
        if self.long.is_empty() {
            self.long.extend_from_slice(&self.short[..used]);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.as_slice().len()
    }

    /// The packed bytes of value `index`; `None` if it is null.
    #[inline]
    pub(crate) fn part(&self, index: usize) -> Option<&[u8]> {
        let ends = self.ends.as_slice();
        let (end, null) = *ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |previous| ends[previous].0);
        let bytes: &[u8] = if self.long.is_empty() { &self.short } else { &self.long };
        if null { None } else { bytes.get(start..end) }
    }

    pub(crate) fn has_null(&self) -> bool {
        self.ends.as_slice().iter().any(|&(_, null)| null)
    }

    /// On which side of its column a value lies that the column cannot hold: no row has such a key.
    pub(crate) fn beyond(&self) -> Option<Beyond> {
        self.beyond.map(|(_, side)| side)
    }

    /// The key's bytes in an ordered index over `columns`, whose first ones it gives, up to a value beyond its column.
    pub(crate) fn encode(&self, def: &TableDef, columns: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        let whole = self.beyond.map_or(self.len(), |(number, _)| number);
        for (index, &column) in columns.iter().enumerate().take(whole) {
            if let Some(column) = def.layout.column(column) {
                encode_key(column.ty, column.nulls.is_some(), self.part(index), &mut out);
            }
        }
        out
    }

    /// The key under which an ordered index holds the rows that have these values in its columns.
    pub(crate) fn in_order(&self, def: &TableDef, plan: &IndexPlan) -> IndexKey {
        match (plan.kind, plan.columns.first().and_then(|&column| def.layout.column(column))) {
            (IndexKind::OrderedWord, Some(column)) => {
                IndexKey::Word(word_of(column.ty, column.nulls.is_some(), self.part(0)))
            }
            _ => IndexKey::Bytes(self.encode(def, &plan.columns)),
        }
    }

    pub(crate) fn hash(&self, def: &TableDef, columns: &[usize]) -> u64 {
        hash_packed(
            &def.seed,
            columns.iter().enumerate().map(|(index, &column)| (type_of(def, column), self.part(index))),
        )
    }

    /// Whether the row has this key.
    #[inline]
    pub(crate) fn is_key_of(&self, def: &TableDef, columns: &[usize], row: &impl Columns) -> bool {
        columns
            .iter()
            .enumerate()
            .all(|(index, &column)| same_value(type_of(def, column), self.part(index), row.column_bytes(column)))
    }
}

#[inline(always)]
pub(crate) fn type_of(def: &TableDef, column: usize) -> Type {
    def.layout.column(column).map_or(Type::Bool, |column| column.ty)
}

/// Whether two packed values are one key: the same bytes, but for floats, whose zeros are equal. Always in line: left to
/// itself the compiler calls it in one build and not in the next, which is a thirtieth of a look-up by a string.
#[inline(always)]
pub(crate) fn same_value(ty: Type, a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            same_bytes(a, b) || matches!(ty, Type::F32 | Type::F64 | Type::Array(_)) && compare_packed(ty, a, b).is_eq()
        }
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Eight bytes, which most keys are, are one word.
#[inline(always)]
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    match (<[u8; 8]>::try_from(a), <[u8; 8]>::try_from(b)) {
        (Ok(a), Ok(b)) => u64::from_ne_bytes(a) == u64::from_ne_bytes(b),
        _ => a == b,
    }
}

/// What an index holds a row under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum IndexKey {
    /// For both kinds of hash index.
    Hash(u64),
    Word(u64),
    Bytes(Vec<u8>),
    /// The row is not in the index.
    Absent,
}

impl IndexKey {
    /// The key as an ordered index has it, which has none for an absent one.
    #[inline]
    pub(crate) fn as_ref(&self) -> KeyRef<'_> {
        match self {
            IndexKey::Hash(word) | IndexKey::Word(word) => KeyRef::U64(*word),
            IndexKey::Bytes(bytes) => KeyRef::Bytes(bytes),
            IndexKey::Absent => KeyRef::U64(0),
        }
    }
}

/// A row's keys, one per index of its table. Up to four without allocation.
pub(crate) enum RowKeys {
    Few([IndexKey; 4], usize),
    Many(Vec<IndexKey>),
}

impl RowKeys {
    /// The keys that `key_of` makes for each of the plans.
    #[inline]
    pub(crate) fn new<E>(
        plans: &[IndexPlan],
        mut key_of: impl FnMut(&IndexPlan) -> Result<IndexKey, E>,
    ) -> Result<Self, E> {
        let mut few = [const { IndexKey::Absent }; 4];
        if plans.len() > few.len() {
            return Ok(Self::Many(plans.iter().map(key_of).collect::<Result<_, E>>()?));
        }
        for (place, plan) in few.iter_mut().zip(plans) {
            *place = key_of(plan)?;
        }
        Ok(Self::Few(few, plans.len()))
    }
}

impl std::ops::Deref for RowKeys {
    type Target = [IndexKey];

    #[inline]
    fn deref(&self) -> &[IndexKey] {
        match self {
            Self::Few(few, len) => few.get(..*len).unwrap_or_default(),
            Self::Many(many) => many,
        }
    }
}

/// The order of a nullable narrow column in a word: null first.
pub(crate) fn word_of(ty: Type, nullable: bool, bytes: Option<&[u8]>) -> u64 {
    match bytes {
        None => 0,
        Some(bytes) => {
            let word = key_u64(ty, bytes).unwrap_or(0);
            // Only columns of up to 32 bits are nullable here, and their words leave room for one more.
            if nullable { word + 1 } else { word }
        }
    }
}

/// The key under which `plan` holds `row`.
#[inline]
pub(crate) fn index_key(def: &TableDef, plan: &IndexPlan, row: &impl Columns) -> IndexKey {
    match plan.kind {
        IndexKind::Hash => {
            let mut has_null = false;
            let hash = hash_packed(
                &def.seed,
                plan.columns.iter().map(|&column| {
                    let bytes = row.column_bytes(column);
                    has_null |= bytes.is_none();
                    (type_of(def, column), bytes)
                }),
            );
            if has_null { IndexKey::Absent } else { IndexKey::Hash(hash) }
        }
        IndexKind::HashMany => IndexKey::Hash(row_hash(def, plan, row)),
        IndexKind::OrderedWord => {
            let column = plan.columns.first().and_then(|&index| Some((index, def.layout.column(index)?)));
            IndexKey::Word(
                column.map_or(0, |(index, column)| word_of(column.ty, column.nulls.is_some(), row.column_bytes(index))),
            )
        }
        IndexKind::OrderedBytes => {
            let mut key = Vec::new();
            encode_row_key(def, plan, row, &mut key);
            IndexKey::Bytes(key)
        }
    }
}

/// Appends the row's key in an index that is ordered by bytes.
#[inline]
pub(crate) fn encode_row_key(def: &TableDef, plan: &IndexPlan, row: &impl Columns, key: &mut Vec<u8>) {
    for &index in &plan.columns {
        if let Some(column) = def.layout.column(index) {
            encode_key(column.ty, column.nulls.is_some(), row.column_bytes(index), key);
        }
    }
}

/// The hash of a row's key columns.
#[inline]
pub(crate) fn row_hash(def: &TableDef, plan: &IndexPlan, row: &impl Columns) -> u64 {
    hash_packed(&def.seed, plan.columns.iter().map(|&column| (type_of(def, column), row.column_bytes(column))))
}

/// The values of a row's key columns as messages show them.
pub(crate) fn describe_key(def: &TableDef, columns: &[usize], row: &impl Columns) -> String {
    describe(def, columns, |_, column| row.column_bytes(column))
}

fn describe<'a>(def: &TableDef, columns: &[usize], part: impl Fn(usize, usize) -> Option<&'a [u8]>) -> String {
    let values: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, &column)| {
            excerpt_of(part(index, column).map_or(ValueRef::Null, |bytes| type_of(def, column).unpack(bytes)))
        })
        .collect();
    match values.as_slice() {
        [value] => value.clone(),
        values => format!("({})", values.join(", ")),
    }
}
