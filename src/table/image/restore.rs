//! A table made again from its parts.

use super::stream::Input;
use super::{Format, Mismatch, PartError, binary, lines, mismatch};
use crate::error::{Error, Result};
use crate::page::{Link, OutOfMemory, Tree};
use crate::table::change::{ROWS_MAX, TableMut};
use crate::table::definition::TableDef;
use crate::table::layout::PAGE_SHIFT;
use crate::table::page_edit::{Splice, splice};
use crate::table::row_page::PageRef;
use crate::value::RowBuf;

/// A table on its way back: parts are applied, oldest first, then it is finished. Until then it has no indexes; after
/// an error it is no table, and the write that it is in must be rolled back.
pub(crate) struct Restore<'l, 'p> {
    table: TableMut<'l, 'p>,
    /// The lowest row id that no part knows of.
    next_id: u64,
    /// [`Pages::net_bytes`](crate::page::Pages::net_bytes) before the first page.
    net_bytes: u64,
}

impl<'l, 'p> Restore<'l, 'p> {
    /// Begins with an empty table.
    pub(crate) fn new(table: TableMut<'l, 'p>) -> Self {
        debug_assert!(table.rows.is_none() && table.entry.rows == 0);
        let net_bytes = table.pages.net_bytes();
        Self { table, next_id: 0, net_bytes }
    }

    /// Applies a part: its pages take the place of those before, what it says is absent goes. `read` fills the bytes
    /// that it is given from their start, and answers how many it gave, 0 at the end.
    ///
    /// # Errors
    /// The part does not fit the table; those of `read`; [`Error::OutOfMemory`].
    pub(crate) fn apply(
        &mut self,
        format: Format,
        read: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
    ) -> Result<(), PartError> {
        let mut input = Input::new(read);
        match format {
            Format::Binary => binary::read(&mut input, self),
            Format::JsonLines => lines::read(&mut input, self),
        }
    }

    /// Builds the indexes, and sees to it that no id is given again. Cost: O(rows · log rows) per index.
    ///
    /// # Errors
    /// More rows than a table can have. Rows that do not fit the indexes: equal where they must differ, with NaN in a key,
    /// with keys that are too long; [`Error::OutOfMemory`].
    pub(crate) fn finish(mut self) -> Result<(), PartError> {
        if self.table.entry.rows > ROWS_MAX {
            return Err(PartError::Mismatch(Box::new(Mismatch {
                at: None,
                expected: format!("at most {ROWS_MAX} rows").into(),
                found: self.table.entry.rows.to_string().into(),
            })));
        }
        let last = self.table.view().rows().at_or_before(u64::MAX);
        let last_id = last.map(|(number, block)| number << PAGE_SHIFT | u64::from(PageRef::new(block).live().ilog2()));
        let next_id = last_id.map_or(0, |id| id.saturating_add(1)).max(self.next_id);
        self.table.raise_next_id(next_id);
        // All that was made and not given back since is the rows'.
        self.table.entry.row_bytes = self.table.pages.net_bytes().wrapping_sub(self.net_bytes);
        for index in 0..self.table.def.indexes.len() {
            self.table.build_index(index).map_err(|error| match error {
                error @ Error::OutOfMemory { .. } => PartError::Other(error),
                error => PartError::Mismatch(Box::new(Mismatch {
                    at: None,
                    expected: format!("rows for the index `{}`", self.table.def.indexes[index].name).into(),
                    found: error.to_string().into(),
                })),
            })?;
        }
        Ok(())
    }

    /// As if there were so many rows.
    #[cfg(test)]
    pub(super) fn pretend_rows(&mut self, rows: u64) {
        self.table.entry.rows = rows;
    }

    pub(super) fn def(&self) -> &'l TableDef {
        self.table.def
    }

    pub(super) fn raise_next_id(&mut self, next_id: u64) {
        self.next_id = self.next_id.max(next_id);
    }

    /// Whether rows of these ids can be in the table. How many there are is looked at in the end: the pages of a part come
    /// in the order of their numbers, so the first may be fuller than before while the last, which made room, are still to
    /// come. Till then the counts in the nodes may wrap; what they are in the end is right all the same.
    pub(super) fn check_ids(&self, at: u64, number: u64, live: u32) -> Result<(), PartError> {
        let last = number << PAGE_SHIFT | u64::from(live.checked_ilog2().unwrap_or(0));
        let last_max = self.table.last_id_stored();
        if last > last_max {
            return Err(mismatch(at, format!("row ids up to {last_max}"), format!("page {number}, row {last}")));
        }
        Ok(())
    }

    /// A page of these bytes, whose links are to be put.
    pub(super) fn copy_page(&mut self, links: usize, bytes: &[u8]) -> Result<Link, OutOfMemory> {
        let pages = &mut *self.table.pages;
        let mut link = pages.alloc(links, bytes.len())?;
        if let Some(mut block) = pages.fresh(&mut link) {
            block.bytes().copy_from_slice(bytes);
        }
        Ok(link)
    }

    pub(super) fn put_large(&mut self, page: &mut Link, index: usize, value: &[u8]) -> Result<(), PartError> {
        let made = self.copy_page(0, value)?;
        if let Some(mut block) = self.table.pages.fresh(page)
            && let Some(place) = block.links().get_mut(index)
        {
            *place = Some(made);
        }
        Ok(())
    }

    /// Puts the page, which has been checked, in the place of the one before.
    pub(super) fn put_page(&mut self, number: u64, page: Link, live: u32) -> Result<(), PartError> {
        let mut page = Some(page);
        let delta = self.change(number, |_, slot| Ok(std::mem::replace(slot, page.take())), live);
        if let Some(page) = page {
            self.release(page);
        }
        Ok(delta?)
    }

    /// Adds rows with the ids that `added` names behind those that the page has.
    pub(super) fn append(&mut self, number: u64, added: u32, rows: &[RowBuf]) -> Result<(), PartError> {
        let def = self.table.def;
        let view = self.table.view();
        let (live, old_rows) = match view.page_of(number << PAGE_SHIFT).map(PageRef::new) {
            Some(page) => (page.live(), page.rows()),
            None => (0, 0),
        };
        let live = live | added;
        let make = |pages: &mut crate::page::Pages, slot: &mut Option<Link>| {
            *slot = Some(splice(pages, &def.layout, slot.take(), live, Splice { at: old_rows, removed: 0, rows })?);
            Ok(None)
        };
        Ok(self.change(number, make, live)?)
    }

    /// Changes a page, which then has the rows of `live`, and counts them. What `change` answers is released.
    fn change(
        &mut self,
        number: u64,
        change: impl FnOnce(&mut crate::page::Pages, &mut Option<Link>) -> Result<Option<Link>, OutOfMemory>,
        live: u32,
    ) -> Result<(), OutOfMemory> {
        let TableMut { pages, rows, entry, .. } = &mut self.table;
        let delta = Tree::new(rows, &mut entry.height).change(pages, number, |pages, slot| {
            let before = slot.as_ref().map_or(0, |old| PageRef::new(old.block()).rows());
            let old = change(pages, slot)?;
            let delta = i64::from(live.count_ones()) - before as i64;
            Ok((delta, (delta, old)))
        })?;
        let (delta, old) = delta;
        entry.rows = entry.rows.saturating_add_signed(delta);
        if let Some(old) = old {
            self.release(old);
        }
        Ok(())
    }

    /// Removes the pages from `first` to `last`. Cost: O(log n) per page that is there.
    pub(super) fn remove_pages(&mut self, first: u64, last: u64) -> Result<(), PartError> {
        while let Some((number, _)) = self.table.view().rows().at_or_after(first).filter(|(found, _)| *found <= last) {
            self.change(number, |_, slot| Ok(slot.take()), 0)?;
        }
        Ok(())
    }

    /// Gives back a page with its large values at once: all was made by this write, and a table may be replaced several
    /// times over by its parts.
    pub(super) fn release(&mut self, page: Link) {
        self.table.pages.discard_flat(page);
    }
}
