//! One table of one version, for reading: rows by id, by key, through indexes.

use super::definition::{IndexKind, IndexPlan, TableDef};
use super::index::META_BYTES;
use super::index::hash::{HashMeta, HashRef};
use super::index::ordered::{KeyRef, OrderedMeta, OrderedRef};
use super::key::{IndexKey, KeyBuf, same_value, type_of};
use super::layout::{ColumnPlace, Layout, PAGE_SHIFT, Place};
use super::row_page::{PageRef, RowRef, inside};
use super::spot::Spot;
use super::version::{Entry, INDEX_RECORD, table_links};
use crate::page::{BlockRef, Link, TreeRef};
use crate::value::{Columns, HashSeed, hash_packed, hash_word};
use std::ops::{Bound, ControlFlow};

/// From so many rows on a row that was found through its index is asked from memory whole. In smaller tables it is near.
const FAR_ROWS: u64 = 1 << 14;

/// A value that the unique index of one column is searched for.
pub(crate) trait Wanted: Copy {
    fn hash(self, seed: &HashSeed, column: &ColumnPlace) -> u64;

    /// Whether the row at `spot` of the page `block`, whose id is `id`, has it in `column`.
    fn is_in(self, block: BlockRef<'_>, spot: Spot, layout: &Layout, column: &ColumnPlace, id: u64) -> bool;
}

/// An integer of eight bytes, in a column of such integers. All in line: the fewer instructions, the further ahead the
/// processor sees, up to the next look-up of a loop.
impl Wanted for u64 {
    #[inline(always)]
    fn hash(self, seed: &HashSeed, _: &ColumnPlace) -> u64 {
        hash_word(seed, self)
    }

    #[inline(always)]
    fn is_in(self, block: BlockRef<'_>, spot: Spot, layout: &Layout, column: &ColumnPlace, id: u64) -> bool {
        // Where most rows have it.
        if let Place::Fixed { width: WORD, .. } = column.place
            && column.nulls.is_none()
            && spot.is_full()
        {
            let found = inside(block.leaf_bytes(), column.full_at + WORD * spot.position(), WORD);
            return found == self.to_le_bytes();
        }
        self.to_le_bytes().as_slice().is_in(block, spot, layout, column, id)
    }
}

/// Packed bytes of the column's type.
impl Wanted for &[u8] {
    #[inline(always)]
    fn hash(self, seed: &HashSeed, column: &ColumnPlace) -> u64 {
        hash_packed(seed, [(column.ty, Some(self))])
    }

    /// Out of line: nothing of it is worth doing ahead of the loop over candidates, which mostly runs once.
    #[inline(never)]
    fn is_in(self, block: BlockRef<'_>, spot: Spot, layout: &Layout, column: &ColumnPlace, id: u64) -> bool {
        let id = id.to_le_bytes();
        let found = PageRef::of_shape(block, spot.shape()).value(layout, column, spot.position(), &id);
        found.is_some() && same_value(column.ty, Some(self), found)
    }
}

/// Bytes of the integers that are compared as words.
const WORD: usize = size_of::<u64>();

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

    /// The lowest row id that was never given in this version.
    pub(crate) fn next_id(&self) -> u64 {
        self.entry.next_id
    }

    /// The roots of the rows' pages and of the indexes.
    pub(crate) fn roots(&self) -> [Option<BlockRef<'g>>; 2] {
        [self.rows.root(), self.indexes.map(Link::block)]
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

    /// The page that holds the row `id`, and where in it the row is.
    #[inline(always)]
    pub(crate) fn locate(&self, id: u64) -> Option<(BlockRef<'g>, Spot)> {
        let block = self.page_of(id)?;
        Some((block, Spot::find(block, id)?))
    }

    #[inline(always)]
    pub(crate) fn row(&self, id: u64) -> Option<RowRef<'g>> {
        RowRef::find(self.page_of(id)?, &self.def.layout, id)
    }

    /// What index `index` is beside its root link, and that link.
    fn record(&self, index: usize) -> Option<(&'g [u8; META_BYTES], Option<&'g Link>)> {
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

    /// Asks for the leaf or bucket that a change of the entry (`key`, `id`) of index `index` will copy. Whoever moves or
    /// removes a row asks for all of them before the first is looked at, so as to wait for memory once and not for each.
    /// An insert does not: it has little to do until it reaches them, and measured no faster for the second way down.
    #[inline]
    pub(crate) fn prefetch_entry(&self, index: usize, plan: &IndexPlan, key: &IndexKey, id: u64) {
        match key {
            IndexKey::Absent => {}
            IndexKey::Hash(hash) if plan.kind == IndexKind::Hash => {
                if let Some(index) = self.hash_index(index) {
                    index.prefetch_bucket(*hash);
                }
            }
            key => {
                if let Some(index) = self.ordered_index(index) {
                    index.prefetch_leaf(key.as_ref(), id);
                }
            }
        }
    }

    /// The row with this value in the unique hash index of one column: its page, where in it, and its id, in registers.
    #[inline(always)]
    pub(crate) fn find_value<W: Wanted>(
        &self,
        index: usize,
        column: &ColumnPlace,
        wanted: W,
    ) -> Option<(BlockRef<'g>, (Spot, u64))> {
        let hash = wanted.hash(&self.def.seed, column);
        let (first, has_others) = self.hash_index(index)?.first_candidate(hash);
        match first.and_then(|id| self.row_with(id, column, wanted)) {
            None if has_others => self.find_among(index, column, wanted, hash),
            found => found,
        }
    }

    /// The same among all rows whose hash may be this one.
    #[cold]
    #[inline(never)]
    fn find_among<W: Wanted>(
        self,
        index: usize,
        column: &ColumnPlace,
        wanted: W,
        hash: u64,
    ) -> Option<(BlockRef<'g>, (Spot, u64))> {
        let mut candidates = self.hash_index(index)?.candidates(hash);
        candidates.find_map(|id| self.row_with(id, column, wanted))
    }

    /// The row `id`, if it has this value.
    #[inline(always)]
    fn row_with<W: Wanted>(&self, id: u64, column: &ColumnPlace, wanted: W) -> Option<(BlockRef<'g>, (Spot, u64))> {
        let block = self.page_of(id)?;
        if self.entry.rows >= FAR_ROWS {
            self.def.layout.prefetch_row(block, id);
        }
        let spot = Spot::find(block, id)?;
        wanted.is_in(block, spot, &self.def.layout, column, id).then_some((block, (spot, id)))
    }

    /// The row with this key in a unique index.
    #[inline]
    pub(crate) fn find_unique(&self, index: usize, key: &KeyBuf) -> Option<RowRef<'g>> {
        let plan = self.def.indexes.get(index)?;
        let is_it = |row: &RowRef<'g>| key.is_key_of(self.def, &plan.columns, row);
        match plan.kind {
            IndexKind::Hash => self.find_hashed(index, plan, key.hash(self.def, &plan.columns), is_it),
            // It holds any number of rows with a null, of which none is the one.
            _ if key.has_null() => None,
            _ => self.find_ordered(index, key.in_order(self.def, plan).as_ref(), is_it),
        }
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
        self.hash_index(index)?.candidates(hash).filter_map(|id| self.row(id)).find(is_it)
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
            key => self.find_ordered(index, key.as_ref(), same),
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
