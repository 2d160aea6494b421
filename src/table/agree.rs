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
    for count in [view.len(), view.rows().rank(u64::MAX)] {
        if rows != count {
            report(format!("{rows} rows, and a count of {count}"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Store;
    use crate::schema::{Column, Index, Schema};
    use crate::table::change::{TableMut, new_index_block};
    use crate::table::definition::TableDef;
    use crate::table::sequence::Sequence;
    use crate::table::version::Entry;
    use crate::value::{HashSeed, RowBuf};

    #[test]
    fn what_does_not_agree_is_told() {
        let schema = Schema::builder("t")
            .column(Column::u64("u").unique())
            .column(Column::u64("o"))
            .index(Index::ordered(["o"]).named("by o"));
        let def = TableDef::new(schema.build().unwrap(), HashSeed::fixed(1));
        let names: Vec<String> = def.indexes.iter().map(|plan| plan.name.to_string()).collect();
        let store = Store::new(2, &[]).unwrap();
        let transaction = store.begin().unwrap();
        let told = |table: &TableMut<'_, '_>| {
            let mut told = Vec::new();
            disagreements(table.view(), &mut |found| told.push(found));
            told
        };
        transaction
            .write(|writer| {
                let mut root = writer.pages.make_mut(&mut writer.root).unwrap();
                let (links, _) = root.parts();
                let [rows, indexes] = links else { panic!("two links") };
                let (sequence, mut entry) = (Sequence::default(), Entry::default());
                *indexes = new_index_block(&mut writer.pages, &def).unwrap();
                let pages = &mut writer.pages;
                let mut table = TableMut { def: &def, sequence: &sequence, pages, rows, indexes, entry: &mut entry };
                let mut row = RowBuf::new();
                for n in 0..40_u64 {
                    row.reset(def.schema.shape());
                    row.set(def.schema.shape(), 0, &n.to_le_bytes()).unwrap();
                    row.set(def.schema.shape(), 1, &n.to_le_bytes()).unwrap();
                    table.insert(&mut row).unwrap();
                }
                assert_eq!(told(&table), Vec::<String>::new());
                // A row more is counted than there is.
                table.entry.rows += 1;
                assert_eq!(told(&table), ["40 rows, and a count of 41"]);
                table.entry.rows -= 1;
                // Indexes that are empty, beside rows that are not.
                let whole = std::mem::replace(table.indexes, new_index_block(table.pages, &def).unwrap());
                let empty = told(&table);
                assert_eq!(empty.len(), 82);
                assert_eq!(empty[..2], [0, 1].map(|index| format!("the row 0 is not in the index `{}`", names[index])));
                let counts =
                    [0, 1].map(|index| format!("40 rows for the index `{}`, and 0 entries in it", names[index]));
                assert_eq!(empty[80..], counts);
                *table.indexes = whole;
                // And the other way round.
                let (kept, height) = (table.rows.take(), std::mem::take(&mut table.entry.height));
                let gone = [0, 1].map(|index| format!("0 rows for the index `{}`, and 40 entries in it", names[index]));
                assert_eq!(told(&table)[..2], ["0 rows, and a count of 40".to_string(), gone[0].clone()]);
                (*table.rows, table.entry.height) = (kept, height);
                assert_eq!(told(&table), Vec::<String>::new());
            })
            .unwrap();
    }
}
