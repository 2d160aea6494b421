//! Running a query: pages and masks of the rows that it finds, in order, handed to whoever wants them.

use super::condition::{and, resolve};
use super::order::{self, Term};
use super::page::PageRows;
use super::select::Select;
use super::sort::Sorter;
use super::test::Test;
use crate::error::Result;
use crate::table::reader::Opened;
use crate::table::row::{foreign_handle, take_foreign_field};
use crate::table::view::TableView;
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Which of the rows found are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    pub(super) offset: u64,
    pub(super) limit: Option<u64>,
}

/// Takes rows, a page's at a time; of an ordered query the bits of one mask are in order.
pub(super) type Visit<'v> = dyn FnMut(&PageRows<'_>, u32) -> ControlFlow<()> + 'v;

/// A query that fits its table, on one version.
pub(super) struct Execution<'q> {
    opened: &'q Opened<'q>,
    test: Test<'q>,
    order: Vec<Term>,
    limits: Limits,
    distinct: Option<Vec<usize>>,
}

impl<'q> Execution<'q> {
    pub(super) fn new(select: &'q Select<'_>, opened: &'q Opened<'_>, columns: Option<&[usize]>) -> Result<Self> {
        let def = opened.def;
        let filters = select.filters.iter().map(|filter| resolve(def, &filter.node)).collect::<Result<Vec<_>>>()?;
        let distinct = select.distinct.then(|| match columns {
            Some(columns) => columns.to_vec(),
            None => (0..def.layout.columns().len()).collect(),
        });
        Ok(Self {
            opened,
            test: Test::new(def, and(filters)),
            order: order::resolve(def, &select.order)?,
            limits: select.limits,
            distinct,
        })
    }

    /// The same with a limit of at most so many.
    pub(super) fn at_most(mut self, count: u64) -> Self {
        self.limits.limit = Some(self.limits.limit.map_or(count, |limit| limit.min(count)));
        self
    }

    pub(super) fn count(self) -> Result<u64> {
        let mut count = 0;
        self.run(&mut |_: &PageRows<'_>, mask| {
            count += u64::from(mask.count_ones());
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// Runs `visit` on the rows found, until it breaks.
    pub(super) fn run(self, visit: &mut Visit<'_>) -> Result<()> {
        let view = self.opened.view();
        // A foreign handle used before this query is not its error.
        let _ = take_foreign_field();
        let (mut skip, mut left) = (self.limits.offset, self.limits.limit.unwrap_or(u64::MAX));
        if left == 0 {
            return Ok(());
        }
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let mut cut = |rows: &PageRows<'_>, mut mask: u32| {
            if let Some(columns) = &self.distinct {
                mask = super::mask::each_bit(mask, |position| {
                    let mut key = Vec::new();
                    super::sort::distinct_key(rows, columns, position, &mut key);
                    seen.insert(key)
                });
            }
            while skip > 0 && mask != 0 {
                mask &= mask - 1;
                skip -= 1;
            }
            while u64::from(mask.count_ones()) > left {
                mask &= !(1 << (31 - mask.leading_zeros()));
            }
            if mask == 0 {
                return ControlFlow::Continue(());
            }
            left -= u64::from(mask.count_ones());
            visit(rows, mask)?;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        if self.order.is_empty() {
            let _ = self.scan(view, &mut cut);
        } else {
            let mut sorter = Sorter::new(&self.order, None);
            let _ = self.scan(view, &mut |rows, mask| {
                sorter.add(rows, mask);
                ControlFlow::Continue(())
            });
            for id in sorter.into_ids() {
                let Some(block) = view.page_of(id) else { continue };
                let rows = PageRows::new(self.opened.def, id >> crate::table::layout::PAGE_SHIFT, block);
                let Some(position) = rows.page.position(id) else { continue };
                if cut(&rows, 1 << position).is_break() {
                    break;
                }
            }
        }
        if take_foreign_field() {
            return Err(foreign_handle(self.opened.def, 0));
        }
        Ok(())
    }

    fn scan(
        &self,
        view: TableView<'_>,
        visit: &mut dyn FnMut(&PageRows<'_>, u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        view.rows().scan(0, u64::MAX, |number, block| {
            let rows = PageRows::new(self.opened.def, number, block);
            let mask = self.test.mask(&rows, rows.all());
            if mask == 0 { ControlFlow::Continue(()) } else { visit(&rows, mask) }
        })
    }
}
