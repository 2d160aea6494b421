//! Whether a table's rows, counts and indexes say the same.

use super::definition::IndexKind;
use super::key::{IndexKey, index_key};
use super::layout::PAGE_SHIFT;
use super::row_page::{PageRef, RowRef};
use super::view::TableView;

/// Reports every way in which the table's indexes and counts do not agree with its rows. Cost: O(rows · log rows) per
/// index.
pub(crate) fn disagreements(view: TableView<'_>, report: &mut dyn FnMut(String)) {
    let def = view.def;
    let mut expected = vec![0_u64; def.indexes.len()];
    let (mut rows, mut from) = (0_u64, Some(0));
    while let Some((number, block)) = from.and_then(|from| view.rows().at_or_after(from)) {
        let mut live = PageRef::new(block).live();
        while live != 0 {
            let id = number << PAGE_SHIFT | u64::from(live.trailing_zeros());
            live &= live - 1;
            let Some(row) = RowRef::find(block, &def.layout, id) else {
                report(format!("the row {id} is counted and cannot be read"));
                continue;
            };
            rows += 1;
            for (index, plan) in def.indexes.iter().enumerate() {
                let is_there = match index_key(def, plan, &row) {
                    IndexKey::Absent => continue,
                    IndexKey::Hash(hash) if plan.kind == IndexKind::Hash => {
                        view.hash_index(index).is_some_and(|index| index.candidates(hash).any(|found| found == id))
                    }
                    key => view.ordered_index(index).is_some_and(|index| index.contains(key.as_ref(), id)),
                };
                expected[index] += 1;
                if !is_there {
                    report(format!("the row {id} is not in the index `{}`", plan.name));
                }
            }
        }
        from = number.checked_add(1);
    }
    if rows != view.len() {
        report(format!("{rows} rows, and a count of {}", view.len()));
    }
    for (index, (plan, expected)) in def.indexes.iter().zip(expected).enumerate() {
        let found = match plan.kind {
            IndexKind::Hash => view.hash_index(index).map_or(0, |index| index.len()),
            _ => view.ordered_index(index).map_or(0, |index| index.len()),
        };
        if found != expected {
            report(format!("{expected} rows for the index `{}`, and {found} entries in it", plan.name));
        }
    }
}
