//! The plan of a query: where its rows are found, what is tested then, and how they come in order.
//!
//! Counted trees tell exactly how many rows a path finds, so nothing is kept as statistics. What is compared is about
//! the time per row in nanoseconds: one that is reached alone costs [`REACH`], one that is passed in a page scan [`PASS`].

use super::access::{Access, Conditions, KeyRange, Path, by_order, paths, split_nulls};
use super::condition::{Condition, Expr, Is, merge_ranges, resolve};
use super::order::{self, Term};
use super::select::Select;
use super::test::Test;
use crate::error::Result;
use crate::table::definition::{IndexKind, TableDef};
use crate::table::view::TableView;

/// Cost of a row that is reached through an index.
const REACH: u64 = 12;
// Tables of tests are small: they say themselves what makes an index worth while.
#[cfg(test)]
thread_local!(pub(super) static REACH_IN_TESTS: std::cell::Cell<u64> = const { std::cell::Cell::new(REACH) });

fn reach() -> u64 {
    #[cfg(test)]
    return REACH_IN_TESTS.get();
    #[cfg(not(test))]
    REACH
}

/// Cost of a row that a page scan passes.
const PASS: u64 = 1;
/// Of a condition that no index counts, how many rows in one that passes: a guess.
const GUESS: u64 = 4;

/// Which of the rows found are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    pub(super) offset: u64,
    pub(super) limit: Option<u64>,
}

impl Limits {
    /// How many rows are looked at from the first on.
    pub(super) fn end(self) -> Option<u64> {
        Some(self.offset.saturating_add(self.limit?))
    }
}

/// How rows come in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ordering {
    /// By row id, as they are found.
    RowId { descending: bool },
    /// As the index has them.
    Index { descending: bool },
    /// By these terms: all are gathered first, or the best as many as are wanted.
    Sort(Vec<Term>),
}

/// See the module.
pub(super) struct Plan<'q> {
    pub(super) access: Access,
    /// How many rows the access finds at most.
    pub(super) rows: u64,
    /// Whether every row that the access finds is one of the query's.
    pub(super) is_exact: bool,
    pub(super) test: Test<'q>,
    /// The columns that the test looks at; `None` if a closure may look at any.
    pub(super) tested: Option<Vec<usize>>,
    pub(super) order: Ordering,
    /// What is tested, all of which has to hold.
    pub(super) residual: Vec<Expr<'q>>,
}

impl<'q> Plan<'q> {
    pub(super) fn new(select: &'q Select<'_>, view: &TableView<'q>, limits: Limits) -> Result<Self> {
        let def = view.def;
        let filters = select.filters.iter().map(|filter| resolve(def, &filter.node)).collect::<Result<Vec<_>>>()?;
        let terms = order::resolve(def, &select.order)?;
        let parts = match super::condition::and(filters) {
            Expr::And(parts) => parts,
            Expr::Const(true) => Vec::new(),
            Expr::Const(false) => return Ok(Self::nothing()),
            part => vec![part],
        };
        let Some(parts) = merge_ranges(def, parts) else { return Ok(Self::nothing()) };
        let (access, rows, answers, order) = choose(view, &parts, terms, limits, select.distinct);
        let mut residual = Vec::new();
        for (place, part) in parts.into_iter().enumerate() {
            if !answers.contains(&place) {
                residual.push(part);
            }
        }
        let mut tested = Some(Vec::new());
        residual.iter().for_each(|part| part.columns(&mut tested));
        let test = Test::all(def, &residual);
        let is_exact = matches!(test, Test::Const(true));
        Ok(Self { access, rows, is_exact, test, tested, order, residual })
    }

    fn nothing() -> Self {
        Self {
            access: Access::Nothing,
            rows: 0,
            is_exact: true,
            test: Test::Const(false),
            tested: Some(Vec::new()),
            order: Ordering::RowId { descending: false },
            residual: Vec::new(),
        }
    }
}

/// How many rows pass the filters, where an index, or the absence of filters, tells without a look at rows. Cost: O(log n).
pub(super) fn counted(select: &Select<'_>, view: &TableView<'_>) -> Result<Option<u64>> {
    let def = view.def;
    let filters = select.filters.iter().map(|filter| resolve(def, &filter.node)).collect::<Result<Vec<_>>>()?;
    let parts = match super::condition::and(filters) {
        Expr::And(parts) => parts,
        Expr::Const(true) => return Ok(Some(view.len())),
        Expr::Const(false) => return Ok(Some(0)),
        part => vec![part],
    };
    let Some(parts) = merge_ranges(def, parts) else { return Ok(Some(0)) };
    let conditions = Conditions::of(&parts);
    if conditions.len() < parts.len() {
        return Ok(None);
    }
    let exact = paths(view, &conditions).into_iter().find(|path| path.answers.len() == parts.len());
    Ok(exact.and_then(|path| match path.access {
        Access::Nothing => Some(0),
        Access::Tree { .. } => Some(path.rows),
        _ => None,
    }))
}

type Choice = (Access, u64, Vec<usize>, Ordering);

/// Chooses access and order together: the one may give the other.
fn choose(view: &TableView<'_>, parts: &[Expr<'_>], terms: Vec<Term>, limits: Limits, is_distinct: bool) -> Choice {
    let len = view.len();
    let conditions = Conditions::of(parts);
    // A column that is held to one value puts rows in no order.
    let terms: Vec<Term> = terms.into_iter().filter(|term| !conditions.fixes(term.column)).collect();
    let by_id = match terms.as_slice() {
        [] => Some(false),
        // The id is unique: further terms decide nothing.
        [first, ..] if view.def.row_id == Some(first.column) => Some(first.descending),
        _ => None,
    };
    let order = match by_id {
        Some(descending) => Ordering::RowId { descending },
        None => Ordering::Sort(terms.clone()),
    };
    let all = paths(view, &conditions);
    // The fewest rows; of equal paths the one that leaves less to test.
    let best =
        all.into_iter().min_by_key(|path| (cost_of_path(path), parts.len() - path.answers.len().min(parts.len())));
    let wanted = limits.end().filter(|_| !is_distinct);
    let guessed = parts.iter().fold(len, |rows, _| rows / GUESS).max(1);
    let matching = best.as_ref().map_or(guessed, |path| path.rows).clamp(1, len.max(1));
    // A scan in order of ids can stop at the limit.
    let scan_cost = match (&order, wanted) {
        (Ordering::RowId { .. }, Some(wanted)) if wanted < matching => wanted.saturating_mul(len / matching).max(PASS),
        _ => len.saturating_mul(PASS),
    };
    let (mut cost, mut choice) = (scan_cost, (Access::ALL, len, Vec::new(), order.clone()));
    if let Some(path) = best {
        let path_cost = cost_of_path(&path);
        if path_cost < cost {
            (cost, choice) = (path_cost, (path.access, path.rows, path.answers, order));
        }
    }
    if by_id.is_none() && !terms.is_empty() {
        for (index, plan) in view.def.indexes.iter().enumerate() {
            if !matches!(plan.kind, IndexKind::OrderedWord | IndexKind::OrderedBytes) {
                continue;
            }
            let path = by_order(view, index, plan, &conditions);
            let Some((descending, ranges)) = ordered_ranges(view.def, index, path.fixed, &path, &terms, &conditions)
            else {
                continue;
            };
            let untested = path.answers.len() == parts.len();
            let visited = match wanted {
                Some(wanted) if untested => wanted.min(path.rows),
                // Rows that match are taken to be spread evenly over the range.
                Some(wanted) => wanted.saturating_mul(path.rows / matching.min(path.rows).max(1)).min(path.rows),
                None => path.rows,
            };
            let path_cost = visited.saturating_mul(reach());
            // Sorting costs too, so that of two paths through the same rows the ordered one is better.
            if path_cost < cost || path_cost == cost && matches!(choice.3, Ordering::Sort(_)) {
                cost = path_cost;
                let access = Access::Tree { index, ranges };
                choice = (access, path.rows, path.answers, Ordering::Index { descending });
            }
        }
    }
    choice
}

fn cost_of_path(path: &Path) -> u64 {
    match &path.access {
        Access::Nothing => 0,
        Access::Pages { .. } => path.rows.saturating_mul(PASS),
        Access::Ids(ids) => (ids.len() as u64).saturating_mul(reach()),
        Access::Hashes { hashes, .. } => (hashes.len() as u64).saturating_mul(reach()),
        Access::Tree { ranges, .. } => path.rows.saturating_add(ranges.len() as u64).saturating_mul(reach()),
    }
}

/// The ranges of an ordered index in which its entries come in the order of `terms`, ties by row id; `None` if they do
/// not.
fn ordered_ranges(
    def: &TableDef,
    index: usize,
    fixed: usize,
    path: &Path,
    terms: &[Term],
    conditions: &Conditions<'_>,
) -> Option<(bool, Vec<KeyRange>)> {
    let plan = def.indexes.get(index)?;
    let Access::Tree { ranges, .. } = &path.access else { return None };
    let descending = terms.first()?.descending;
    // Every further column of the index would put rows that are equal in the terms in an order of its own.
    let mut columns = plan.columns.iter().enumerate().skip(fixed).filter(|(_, column)| !conditions.fixes(**column));
    let mut split = false;
    for (place, term) in terms.iter().enumerate() {
        let (at, column) = columns.next()?;
        if *column != term.column || term.descending != descending {
            return None;
        }
        // The index has nulls below all values.
        if term.nullable && term.nulls_first == descending && !(at == fixed && path.ranged) {
            if place > 0 || at != fixed || ranges.len() != 1 {
                return None;
            }
            split = true;
        }
    }
    if columns.next().is_some() {
        return None;
    }
    if !split {
        return Some((descending, ranges.clone()));
    }
    let (nulls, values) = split_nulls(plan, ranges.first()?)?;
    // A descending scan takes the ranges from the last to the first.
    Some((descending, vec![values, nulls]))
}

impl Expr<'_> {
    /// Adds the columns that are looked at; a closure may look at any.
    fn columns(&self, all: &mut Option<Vec<usize>>) {
        match self {
            Expr::Const(_) => {}
            Expr::Condition(Condition { is: Is::Null | Is::NotNull, .. }) => {}
            Expr::Condition(condition) => {
                if let Some(all) = all.as_mut().filter(|all| !all.contains(&condition.column)) {
                    all.push(condition.column);
                }
            }
            Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| part.columns(all)),
            Expr::Not(inner) => inner.columns(all),
            Expr::Closure(_) => *all = None,
        }
    }
}
