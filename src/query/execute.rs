//! Running a query: pages and masks of the rows that it finds, in order, handed to whoever wants them.

use super::fetch;
use super::mask::each_bit;
use super::order::Term;
use super::page::PageRows;
use super::plan::{Limits, Ordering, Plan, counted};
use super::prefetch::Prefetch;
use super::select::Select;
use super::sort::{Sorter, distinct_key};
use crate::error::Result;
use crate::table::reader::Opened;
use crate::table::row::ForeignReads;
use crate::table::view::TableView;
use foldhash::fast::FixedState;
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Takes rows, those of a mask at a time, in order.
pub(super) type Visit<'v> = dyn FnMut(&PageRows<'_>, u32) -> ControlFlow<()> + 'v;

/// A query that fits its table, on one version.
pub(super) struct Execution<'q> {
    select: &'q Select<'q>,
    view: TableView<'q>,
    plan: Plan<'q>,
    limits: Limits,
    /// The columns in which rows are to differ.
    distinct: Option<Vec<usize>>,
    /// The columns that whoever takes the rows looks at; `None` for any.
    read: Option<Vec<usize>>,
}

impl<'q> Execution<'q> {
    /// `chosen` are the columns that the query answers, in which rows are to differ if they are to be distinct; `None`
    /// for all.
    pub(super) fn new(select: &'q Select<'q>, opened: &'q Opened<'_>, chosen: Option<&[usize]>) -> Result<Self> {
        Self::limited(select, opened, chosen, select.limits)
    }

    fn limited(
        select: &'q Select<'q>,
        opened: &'q Opened<'_>,
        chosen: Option<&[usize]>,
        limits: Limits,
    ) -> Result<Self> {
        let view = opened.view();
        let plan = Plan::new(select, &view, limits)?;
        let read = chosen.map(<[usize]>::to_vec);
        let distinct = select.distinct.then(|| match &read {
            Some(columns) => columns.clone(),
            None => (0..opened.def.layout.columns().len()).collect(),
        });
        Ok(Self { select, view, plan, limits, distinct, read })
    }

    /// The same for the first row alone.
    pub(super) fn first(select: &'q Select<'q>, opened: &'q Opened<'_>, chosen: Option<&[usize]>) -> Result<Self> {
        let limit = Some(select.limits.limit.map_or(1, |limit| limit.min(1)));
        Self::limited(select, opened, chosen, Limits { limit, ..select.limits })
    }

    /// Whoever takes the rows looks at these columns, which need not be the chosen ones; `None` for any.
    pub(super) fn reading(mut self, columns: Option<&[usize]>) -> Self {
        let compared = self.distinct.iter().flatten().copied();
        self.read = columns.map(|columns| columns.iter().copied().chain(compared).collect());
        self
    }

    /// For answers to which the order of rows does not matter, unless it decides which rows they are of.
    pub(super) fn in_any_order(mut self) -> Self {
        if self.distinct.is_none() && self.limits.offset == 0 && self.limits.limit.is_none() {
            self.plan.order = Ordering::RowId { descending: false };
        }
        self
    }

    pub(super) fn plan(&self) -> &Plan<'q> {
        &self.plan
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// How many rows there are.
    pub(super) fn count(mut self) -> Result<u64> {
        if self.distinct.is_none() {
            let cut = |count: u64| count.saturating_sub(self.limits.offset).min(self.limits.limit.unwrap_or(u64::MAX));
            if let Some(count) = counted(self.select, &self.view)? {
                return Ok(cut(count));
            }
            // In which order they would come does not matter.
            if matches!(self.plan.order, Ordering::Sort(_)) {
                self.plan.order = Ordering::RowId { descending: false };
            }
        }
        let mut count = 0;
        self.run(&mut |_: &PageRows<'_>, mask| {
            count += u64::from(mask.count_ones());
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// Runs `visit` on the rows found, until it breaks.
    pub(super) fn run(mut self, visit: &mut Visit<'_>) -> Result<()> {
        if self.limits.limit == Some(0) {
            return Ok(());
        }
        let foreign_reads = ForeignReads::watch();
        self.skip_to_offset();
        let plain = self.distinct.is_none() && self.limits.offset == 0 && self.limits.limit.is_none();
        if plain {
            self.in_order(visit);
        } else {
            let mut cut = Cut::new(self.limits, self.distinct.take());
            self.in_order(&mut |rows: &PageRows<'_>, mask| cut.pass(rows, mask, visit));
        }
        foreign_reads.check(self.view.def)
    }

    /// Without filters and order, counts lead to the first page that is wanted.
    fn skip_to_offset(&mut self) {
        let is_all = self.plan.access == super::access::Access::ALL && self.plan.is_exact && self.distinct.is_none();
        if self.limits.offset == 0 || !is_all || self.plan.order != (Ordering::RowId { descending: false }) {
            return;
        }
        match self.view.rows().nth(self.limits.offset) {
            Some((number, _, within)) => {
                let first = number << crate::table::layout::PAGE_SHIFT;
                self.plan.access = super::access::Access::Pages { first, last: u64::MAX };
                self.limits.offset = within;
            }
            None => self.plan.access = super::access::Access::Nothing,
        }
    }

    fn in_order(&self, visit: &mut Visit<'_>) {
        let prefetch = Prefetch::new(self.view.def, [self.plan.tested.as_deref(), self.read.as_deref()]);
        let source = fetch::Source { view: self.view, access: &self.plan.access, prefetch: &prefetch };
        let mut test = |rows: &PageRows<'_>, mask: u32, visit: &mut Visit<'_>| {
            let mask = self.plan.test.mask(rows, mask);
            if mask == 0 { ControlFlow::Continue(()) } else { visit(rows, mask) }
        };
        let _ = match &self.plan.order {
            Ordering::RowId { descending: false } => source.by_id(&mut |rows, mask| test(rows, mask, visit)),
            Ordering::RowId { descending: true } => source.by_id_descending(&mut |rows, mask| {
                // From the last row on, each on its own.
                let mut left = self.plan.test.mask(rows, mask);
                while left != 0 {
                    let last = 31 - left.leading_zeros();
                    left &= !(1 << last);
                    visit(rows, 1 << last)?;
                }
                ControlFlow::Continue(())
            }),
            Ordering::Index { descending } => {
                // Ids that are passed over need no look at their rows.
                let wanted = self.limits.end().filter(|_| self.plan.is_exact && !self.select.distinct);
                source.by_index(*descending, wanted, &mut |rows, mask| test(rows, mask, visit))
            }
            Ordering::Sort(terms) => {
                let ids = self.sorted(&source, terms, &mut test);
                fetch::each_id(&self.view, &prefetch, ids.into_iter(), visit)
            }
        };
    }

    fn sorted(
        &self,
        source: &fetch::Source<'_, '_>,
        terms: &[Term],
        test: &mut dyn FnMut(&PageRows<'_>, u32, &mut Visit<'_>) -> ControlFlow<()>,
    ) -> Vec<u64> {
        let keep = self.limits.end().filter(|_| !self.select.distinct);
        let mut sorter = Sorter::new(self.view.def, terms, keep);
        let mut add = |rows: &PageRows<'_>, mask: u32| {
            sorter.add(rows, mask);
            ControlFlow::Continue(())
        };
        let _ = source.by_id(&mut |rows, mask| test(rows, mask, &mut add));
        sorter.into_ids()
    }
}

/// Packed rows that have come.
type Seen = HashSet<Box<[u8]>, FixedState>;

/// Lets pass the rows that are wanted: those that differ, behind the offset, up to the limit.
struct Cut {
    skip: u64,
    left: u64,
    distinct: Option<(Vec<usize>, Seen)>,
    key: Vec<u8>,
}

impl Cut {
    fn new(limits: Limits, distinct: Option<Vec<usize>>) -> Self {
        let seed = super::seed();
        let distinct = distinct.map(|columns| (columns, HashSet::with_hasher(FixedState::with_seed(seed))));
        Self { skip: limits.offset, left: limits.limit.unwrap_or(u64::MAX), distinct, key: Vec::new() }
    }

    fn pass(&mut self, rows: &PageRows<'_>, mut mask: u32, visit: &mut Visit<'_>) -> ControlFlow<()> {
        if let Some((columns, seen)) = &mut self.distinct {
            mask = each_bit(mask, |position| {
                self.key.clear();
                distinct_key(rows, columns, position, &mut self.key);
                !seen.contains(self.key.as_slice()) && seen.insert(self.key.as_slice().into())
            });
        }
        // Rows by an index come one by one; not every processor that this is built for counts bits in one step.
        let mut found = if mask.is_power_of_two() { 1 } else { u64::from(mask.count_ones()) };
        if found <= self.skip {
            self.skip -= found;
            return ControlFlow::Continue(());
        }
        found -= self.skip;
        for _ in 0..std::mem::take(&mut self.skip) {
            mask &= mask - 1;
        }
        while found > self.left {
            mask &= !(1 << mask.ilog2());
            found -= 1;
        }
        self.left -= found;
        visit(rows, mask)?;
        if self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
