//! One table of one version, for reading: rows by id, by key, through indexes.

use super::definition::{IndexKind, IndexPlan, TableDef};
use super::index::hash::{HashMeta, HashRef};
use super::index::ordered::{KeyRef, OrderedMeta, OrderedRef};
use super::key::{IndexKey, KeyBuf, same_value, type_of};
use super::layout::PAGE_SHIFT;
use super::row_page::RowRef;
use super::version::{Entry, INDEX_RECORD, table_links};
use crate::page::{BlockRef, Link, TreeRef};
use crate::value::Columns;
use std::ops::{Bound, ControlFlow};

/// See the module.
#[derive(Clone, Copy)]
pub(crate) struct TableView<'g> {
    pub(crate) def: &'g TableDef,
    entry: Entry,
    rows: TreeRef<'g>,
    indexes: Option<&'g Link>,
}

impl<'g> TableView<'g> {
    /// The table in slot `slot` of a version, which `def` describes.
    #[inline(always)]
    pub(crate) fn new(root: BlockRef<'g>, slot: usize, def: &'g TableDef) -> Self {
        let entry = Entry::read(root.bytes(), slot);
        debug_assert_eq!(entry.def, def.id);
        let (rows, indexes) = table_links(root.links(), slot);
        Self { def, entry, rows: TreeRef::new(rows, entry.height), indexes }
    }

    /// The same, if `def` itself describes the table in this version: nothing is looked up twice.
    #[inline(always)]
    pub(crate) fn present(root: BlockRef<'g>, slot: usize, def: &'g TableDef) -> Option<Self> {
        let entry = Entry::read(root.bytes(), slot);
        if entry.def != def.id {
            return None;
        }
        let (rows, indexes) = table_links(root.links(), slot);
        Some(Self { def, entry, rows: TreeRef::new(rows, entry.height), indexes })
    }

    /// The same from a write's parts.
    pub(crate) fn from_parts(
        def: &'g TableDef,
        entry: Entry,
        rows: Option<&'g Link>,
        indexes: Option<&'g Link>,
    ) -> Self {
        Self { def, entry, rows: TreeRef::new(rows, entry.height), indexes }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> u64 {
        self.entry.rows
    }

    #[inline(always)]
    pub(crate) fn rows(&self) -> TreeRef<'g> {
        self.rows
    }

    /// The page that holds `id`, if there is one.
    #[inline(always)]
    pub(crate) fn page_of(&self, id: u64) -> Option<BlockRef<'g>> {
        self.rows.get(id >> PAGE_SHIFT)
    }

    #[inline(always)]
    pub(crate) fn row(&self, id: u64) -> Option<RowRef<'g>> {
        RowRef::find(self.page_of(id)?, &self.def.layout, id)
    }

    fn record(&self, index: usize) -> Option<(&'g [u8; INDEX_RECORD], Option<&'g Link>)> {
        let block = self.indexes?.block();
        let record = block.bytes().get(index * INDEX_RECORD..)?.first_chunk()?;
        Some((record, block.links().get(index)?.as_ref()))
    }

    /// Index `index` as a hash index.
    #[inline]
    pub(crate) fn hash_index(&self, index: usize) -> Option<HashRef<'g>> {
        let (record, root) = self.record(index)?;
        Some(HashRef::new(root, HashMeta::from_bytes(record)))
    }

    /// Index `index` as an ordered one, which also serves hash indexes that are not unique.
    #[inline]
    pub(crate) fn ordered_index(&self, index: usize) -> Option<OrderedRef<'g>> {
        let (record, root) = self.record(index)?;
        Some(OrderedRef::new(root, OrderedMeta::from_bytes(record)))
    }

    /// The row with this key in a unique index.
    #[inline]
    pub(crate) fn find_unique(&self, index: usize, key: &KeyBuf) -> Option<RowRef<'g>> {
        let plan = self.def.indexes.get(index)?;
        self.find_hashed(index, plan, key.hash(self.def, &plan.columns), |row| {
            key.is_key_of(self.def, &plan.columns, row)
        })
    }

    /// The row under `hash` in a unique hash index that `is_it` accepts.
    #[inline]
    pub(crate) fn find_hashed(
        &self,
        index: usize,
        plan: &IndexPlan,
        hash: u64,
        is_it: impl Fn(&RowRef<'g>) -> bool,
    ) -> Option<RowRef<'g>> {
        debug_assert_eq!(plan.kind, IndexKind::Hash);
        let found = self.hash_index(index)?.candidates(hash, |id| match self.row(id) {
            Some(row) if is_it(&row) => ControlFlow::Break(row),
            _ => ControlFlow::Continue(()),
        });
        match found {
            ControlFlow::Break(row) => Some(row),
            ControlFlow::Continue(()) => None,
        }
    }

    /// The row, other than `except`, that holds the place of `row` in the unique index.
    /// `key` is the row's key in that index.
    pub(crate) fn conflict(
        &self,
        index: usize,
        key: &IndexKey,
        row: &impl Columns,
        except: Option<u64>,
    ) -> Option<RowRef<'g>> {
        let plan = self.def.indexes.get(index)?;
        // Nulls are no values: any number of rows may have them. A hash index does not hold them.
        let may_be_null = !matches!(key, IndexKey::Absent | IndexKey::Hash(_));
        if may_be_null && plan.columns.iter().any(|&column| row.column_bytes(column).is_none()) {
            return None;
        }
        let same = |other: &RowRef<'g>| {
            Some(other.id()) != except
                && plan.columns.iter().all(|&column| {
                    same_value(type_of(self.def, column), row.column_bytes(column), other.column_bytes(column))
                })
        };
        match key {
            IndexKey::Absent => None,
            IndexKey::Hash(hash) => self.find_hashed(index, plan, *hash, same),
            IndexKey::Word(word) => self.find_ordered(index, KeyRef::U64(*word), same),
            IndexKey::Bytes(bytes) => self.find_ordered(index, KeyRef::Bytes(bytes), same),
        }
    }

    fn find_ordered(&self, index: usize, key: KeyRef<'_>, is_it: impl Fn(&RowRef<'g>) -> bool) -> Option<RowRef<'g>> {
        let found = self.ordered_index(index)?.scan(Bound::Included(key), Bound::Included(key), false, |_, id| {
            match self.row(id) {
                Some(row) if is_it(&row) => ControlFlow::Break(row),
                _ => ControlFlow::Continue(()),
            }
        });
        match found {
            ControlFlow::Break(row) => Some(row),
            ControlFlow::Continue(()) => None,
        }
    }
}
