//! Schema changes on the private root: tables made and dropped, indexes added and removed.

use crate::error::{Error, Result};
use crate::page::{Link, OutOfMemory, Writer};
use crate::table::change::{TableMut, empty_record, new_index_block};
use crate::table::definition::{IndexPlan, TableDef};
use crate::table::state::TableState;
use crate::table::version::{Entry, INDEX_RECORD, TABLES_MAX, root_bytes, table_slots};

/// Puts an empty table into a free slot of the root and answers the slot.
pub(crate) fn create_table(writer: &mut Writer, def: &TableDef) -> Result<usize> {
    let root = writer.root.block();
    let slots = table_slots(root);
    let free = (0..slots).find(|&slot| Entry::read(root.bytes(), slot).def == 0);
    let slot = free.unwrap_or(slots);
    create_table_at(writer, def, slot)?;
    Ok(slot)
}

/// Puts an empty table into this slot of the root, which has none.
pub(crate) fn create_table_at(writer: &mut Writer, def: &TableDef, slot: usize) -> Result<()> {
    if slot >= TABLES_MAX {
        return Err(Error::Limit { what: "tables".into(), limit: TABLES_MAX as u64, found: slot as u64 + 1 });
    }
    if slot >= table_slots(writer.root.block()) {
        resize(writer, slot + 1)?;
    }
    let block = new_index_block(&mut writer.pages, def)?;
    let mut root = writer.pages.make_mut(&mut writer.root)?;
    let (links, bytes) = root.parts();
    if let Some(link) = links.get_mut(2 * slot + 1) {
        *link = block;
    }
    Entry { def: def.id, next_id: def.first_id(), ..Entry::default() }.write(bytes, slot);
    Ok(())
}

/// Makes the root anew with so many slots; what had a higher one is gone already.
fn resize(writer: &mut Writer, slots: usize) -> Result<(), OutOfMemory> {
    let Writer { root, pages, .. } = writer;
    let kept = slots.min(table_slots(root.block()));
    let placeholder = pages.alloc(0, 0)?;
    let (placeholder, mut new) = pages.beside(placeholder, |pages, _| pages.alloc(2 * slots, root_bytes(slots)))?;
    let mut donor = pages.donate(std::mem::replace(root, placeholder));
    for index in 0..2 * kept {
        let moved = pages.take(&mut donor, index);
        if let Some(mut block) = pages.fresh(&mut new) {
            block.links()[index] = moved;
        }
    }
    if let Some(mut block) = pages.fresh(&mut new) {
        let (kept, new) = block.bytes().split_at_mut(root_bytes(kept));
        kept.copy_from_slice(&donor.block().bytes()[..kept.len()]);
        new.fill(0);
    }
    pages.finish(donor);
    let placeholder = std::mem::replace(root, new);
    pages.discard(placeholder);
    Ok(())
}

/// Empties a slot of the root.
pub(crate) fn drop_table(writer: &mut Writer, slot: usize) -> Result<()> {
    let Writer { root, pages, .. } = writer;
    let mut root = pages.make_root_mut(root)?;
    let (links, bytes) = root.parts();
    for link in links.iter_mut().skip(2 * slot).take(2) {
        if let Some(link) = link.take() {
            pages.discard(link);
        }
    }
    Entry::default().write(bytes, slot);
    // Each commit copies the root, so it is not to stay what it was with the most tables.
    let slots = table_slots(writer.root.block());
    let used = |slot: &usize| Entry::read(writer.root.block().bytes(), *slot).def != 0;
    let needed = (0..slots).rev().find(used).map_or(0, |last| last + 1);
    if needed < slots / 2 {
        // Without memory for a smaller one, this one serves as well.
        let _ = resize(writer, needed);
    }
    Ok(())
}

/// Lets the table in this slot be described by `new`, which has the same columns and indexes.
pub(crate) fn redefine(writer: &mut Writer, slot: usize, new: &TableDef) -> Result<()> {
    let mut root = writer.pages.make_mut(&mut writer.root)?;
    let bytes = root.bytes();
    Entry { def: new.id, ..Entry::read(bytes, slot) }.write(bytes, slot);
    Ok(())
}

/// Gives the table the indexes of `new`: those that `old` has too are kept, others are built.
pub(crate) fn reindex(writer: &mut Writer, slot: usize, old: &TableDef, new: &TableState) -> Result<()> {
    let TableState { def: new, sequence, .. } = new;
    let Writer { root, pages, .. } = writer;
    let mut root = pages.make_mut(root)?;
    let (links, bytes) = root.parts();
    let mut entry = Entry::read(bytes, slot);
    entry.def = new.id;
    let Some([rows, indexes]) = links.get_mut(2 * slot..2 * slot + 2) else { return Ok(()) };
    let mut block = new_index_block(pages, new)?;
    let (mut built, mut next) = (Vec::new(), 0);
    let mut donor = indexes.take().map(|old| pages.donate(old));
    for (index, plan) in new.indexes.iter().enumerate() {
        // Kept indexes stand in the same order in both, so that their links can be moved one after the other.
        // What is in it depends on these alone. Names say nothing: those of unique columns' indexes change with those of
        // others, and the key's own has one that another may have as well.
        let is_same = |old: &IndexPlan| (&old.columns, old.unique, old.kind) == (&plan.columns, plan.unique, plan.kind);
        let found = old.indexes.iter().enumerate().skip(next).find(|(_, old)| is_same(old));
        let kept = found.map(|(place, _)| place);
        let Some((from, donor)) = kept.zip(donor.as_mut()) else {
            built.push(index);
            continue;
        };
        next = from + 1;
        let moved: Option<Link> = pages.take(donor, from);
        let mut record = empty_record(plan.kind);
        if let Some(old) = donor.block().bytes().get(from * INDEX_RECORD..(from + 1) * INDEX_RECORD) {
            record.copy_from_slice(old);
        }
        if let Some(mut block) = block.as_mut().and_then(|block| pages.fresh(block)) {
            let (links, bytes) = block.parts();
            links[index] = moved;
            bytes[index * INDEX_RECORD..(index + 1) * INDEX_RECORD].copy_from_slice(&record);
        }
    }
    if let Some(donor) = donor {
        pages.finish(donor);
    }
    *indexes = block;
    let mut table = TableMut { def: new, sequence, pages, rows, indexes, entry: &mut entry };
    let result = built.into_iter().try_for_each(|index| table.build_index(index));
    entry.write(bytes, slot);
    result
}
