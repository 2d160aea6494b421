//! A part as bytes: pages nearly as they are in memory, so that loading checks and copies columns, not rows.
//!
//! All numbers are little endian. A part is a head, entries in the order of page numbers, and an end:
//!
//! | bytes | head |
//! |---|---|
//! | 8 | `folio.pg` |
//! | 4 | the version of this format and of the layout of pages within it: 1 |
//! | 4 | bytes of the columns' names |
//! | 8 | the lowest row id never given |
//! | | the types of the columns, as in `u64 key,string?,f64` |
//!
//! | bytes | page | absent | end |
//! |---|---|---|---|
//! | 4 | 1 | 2 | 3 |
//! | 4 | number of large values | 0 | 0 |
//! | 8 | number of the page | first page number | pages in the part |
//! | 8 | bytes of the page | last page number | rows in the part |
//! | | for each large value, its length (4) | | |
//! | | the page (`layout`), padding zero | | |
//! | | the large values, one behind the other | | |

use super::check::{check_page, check_value};
use super::restore::Restore;
use super::stream::{Input, Output};
use super::{PartError, Tally, each_change, mismatch, unsupported};
use crate::error::Result;
use crate::page::{BLOCK_BYTES_MAX, BlockRef, Link, Since};
use crate::table::definition::TableDef;
use crate::table::layout::{INLINE_MAX, Layout, PAGE_ROWS};
use crate::table::row_page::PageRef;
use crate::table::view::TableView;

pub(super) const MAGIC: &[u8; 8] = b"folio.pg";
const VERSION: u32 = 1;
const PAGE: u32 = 1;
const ABSENT: u32 = 2;
const END: u32 = 3;

/// What the columns of the pages are.
fn columns_of(def: &TableDef) -> String {
    let describe = |(index, column): (usize, &crate::value::ShapeColumn)| {
        let key = if def.row_id == Some(index) { " key" } else { "" };
        format!("{}{}{key}", column.ty, if column.nullable { "?" } else { "" })
    };
    let columns: Vec<String> = def.schema.shape().columns().iter().enumerate().map(describe).collect();
    columns.join(",")
}

fn entry(kind: u32, links: usize, first: u64, second: u64) -> [u8; 24] {
    let mut entry = [0; 24];
    entry[..4].copy_from_slice(&kind.to_le_bytes());
    entry[4..8].copy_from_slice(&(links as u32).to_le_bytes());
    entry[8..16].copy_from_slice(&first.to_le_bytes());
    entry[16..].copy_from_slice(&second.to_le_bytes());
    entry
}

pub(super) fn write(view: TableView<'_>, since: u64, out: &mut Output<'_>) -> Result<()> {
    let columns = columns_of(view.def);
    out.put(MAGIC)?;
    out.put(&VERSION.to_le_bytes())?;
    out.put(&(columns.len() as u32).to_le_bytes())?;
    out.put(&view.next_id().to_le_bytes())?;
    out.put(columns.as_bytes())?;
    let mut tally = Tally::new();
    each_change(view, since, |change| match change {
        Since::Page(number, block) => {
            tally.pages += 1;
            tally.rows += PageRef::new(block).rows() as u64;
            write_page(&view.def.layout, number, block, out)
        }
        Since::Absent(first, last) => out.put(&entry(ABSENT, 0, first, last)),
    })?;
    out.put(&entry(END, 0, tally.pages, tally.rows))
}

fn write_page(layout: &Layout, number: u64, block: BlockRef<'_>, out: &mut Output<'_>) -> Result<()> {
    let bytes = block.bytes();
    out.put(&entry(PAGE, block.links().len(), number, bytes.len() as u64))?;
    let values = || block.links().iter().map(|link| link.as_ref().map(Link::block).map_or(&[][..], BlockRef::bytes));
    for value in values() {
        out.put(&(value.len() as u32).to_le_bytes())?;
    }
    // Between columns and ends stands what was in the memory before.
    let page = PageRef::new(block);
    let padding = layout.padding(page.has_large(), page.rows());
    out.put(bytes.get(..padding.start).unwrap_or_default())?;
    out.put([0; 8].get(..padding.len()).unwrap_or_default())?;
    out.put(bytes.get(padding.end..).unwrap_or_default())?;
    values().try_for_each(|value| out.put(value))
}

pub(super) fn read(input: &mut Input<'_>, restore: &mut Restore<'_, '_>) -> Result<(), PartError> {
    read_head(input, restore)?;
    let mut tally = Tally::new();
    loop {
        let at = input.at();
        let [kind, first, second] = bytemuck::must_cast::<[u8; 24], [[u8; 8]; 3]>(input.array("an entry")?);
        let [kind, links] = bytemuck::must_cast::<[u8; 8], [[u8; 4]; 2]>(kind).map(u32::from_le_bytes);
        let [first, second] = [first, second].map(u64::from_le_bytes);
        match (kind, links) {
            (PAGE, links) => {
                tally.pass(at, first, first)?;
                tally.pages += 1;
                tally.rows += read_page(input, restore, first, links, second)?;
            }
            (ABSENT, 0) => {
                tally.pass(at, first, second)?;
                restore.remove_pages(first, second)?;
            }
            (END, 0) if (first, second) != (tally.pages, tally.rows) => {
                let found = format!("the end of {first} pages and {second} rows");
                return Err(mismatch(at, format!("{} pages and {} rows", tally.pages, tally.rows), found));
            }
            (END, 0) => break,
            _ => return Err(mismatch(at, "an entry of kind 1, 2 or 3", format!("kind {kind}, {links} values"))),
        }
    }
    match input.is_at_end()? {
        true => Ok(()),
        false => Err(mismatch(input.at(), "the end of the part", "more bytes")),
    }
}

/// Passes over a part, going by its lengths.
pub(super) fn pass(input: &mut Input<'_>) -> Result<(), PartError> {
    let at = input.at();
    if input.array("a head")? != *MAGIC {
        return Err(mismatch(at, "a part in the binary format", "other bytes"));
    }
    let [_, columns] = [input.array("a head")?, input.array("a head")?].map(u32::from_le_bytes);
    input.take(size_of::<u64>(), "a head")?;
    input.take(columns as usize, "columns")?;
    loop {
        let at = input.at();
        let [kind, _, len] = bytemuck::must_cast::<[u8; 24], [[u8; 8]; 3]>(input.array("an entry")?);
        let [kind, links] = bytemuck::must_cast::<[u8; 8], [[u8; 4]; 2]>(kind).map(u32::from_le_bytes);
        match kind {
            PAGE => {
                let mut len = u64::from_le_bytes(len);
                for _ in 0..links {
                    len = len.saturating_add(u32::from_le_bytes(input.array("a page")?).into());
                }
                input.pass(len, "a page")?;
            }
            ABSENT => {}
            END => return Ok(()),
            _ => return Err(mismatch(at, "an entry of kind 1, 2 or 3", format!("kind {kind}"))),
        }
    }
}

fn read_head(input: &mut Input<'_>, restore: &mut Restore<'_, '_>) -> Result<(), PartError> {
    let magic = input.array("a head")?;
    if magic != *MAGIC {
        let found = String::from_utf8_lossy(&magic).into_owned();
        return Err(mismatch(0, "a part in the binary format", format!("bytes that begin with {found:?}")));
    }
    let version = u32::from_le_bytes(input.array("a head")?);
    if version != VERSION {
        return Err(unsupported(version.into(), VERSION.into()));
    }
    let len = u32::from_le_bytes(input.array("a head")?) as usize;
    let next_id = u64::from_le_bytes(input.array("a head")?);
    let expected = columns_of(restore.def());
    let at = input.at();
    let found = input.take(len.min(expected.len()), "columns")?;
    if len != expected.len() || found != expected.as_bytes() {
        let found = String::from_utf8_lossy(found);
        let [expected, found] = [&expected, &*found].map(crate::value::excerpt);
        return Err(mismatch(at, format!("columns `{expected}`"), format!("`{found}`, {len} bytes of them")));
    }
    restore.raise_next_id(next_id);
    Ok(())
}

/// Reads what is behind the entry of a page, and answers how many rows it has.
fn read_page(
    input: &mut Input<'_>,
    restore: &mut Restore<'_, '_>,
    number: u64,
    links: u32,
    len: u64,
) -> Result<u64, PartError> {
    let def = restore.def();
    let layout = &def.layout;
    let at = input.at();
    let variable = layout.variable_columns().len();
    let links_max = PAGE_ROWS * variable;
    let links = usize::try_from(links)
        .ok()
        .filter(|links| *links <= links_max)
        .ok_or_else(|| mismatch(at, format!("at most {links_max} large values"), format!("{links}")))?;
    let len_max = layout.values_at(true, PAGE_ROWS) + PAGE_ROWS * variable * INLINE_MAX;
    let len = usize::try_from(len)
        .ok()
        .filter(|len| *len <= len_max)
        .ok_or_else(|| mismatch(at, format!("a page of at most {len_max} bytes"), format!("{len}")))?;
    let found = input.take(4 * links + len, "a page")?;
    let (lengths, bytes) = found.split_at(4 * links);
    let page_at = at + 4 * links as u64;
    let shape = check_page(def, number, bytes, links)
        .map_err(|fault| mismatch(page_at + fault.at as u64, fault.expected, fault.found))?;
    let lengths: Vec<u32> = lengths.as_chunks().0.iter().map(|length| u32::from_le_bytes(*length)).collect();
    restore.check_ids(at, number, shape.live)?;
    let link = restore.copy_page(links, bytes)?;
    let mut filled = Filled { restore, link: Some(link) };
    for (index, (length, column)) in lengths.into_iter().zip(&shape.large).enumerate() {
        let at = at + 4 * index as u64;
        let length = length as usize;
        if length <= INLINE_MAX || length > BLOCK_BYTES_MAX || column.fixed_width().is_some_and(|width| width != length)
        {
            let expected = match column.fixed_width() {
                Some(width) => format!("a value of {width} bytes"),
                None => format!("a large value of {} to {BLOCK_BYTES_MAX} bytes", INLINE_MAX + 1),
            };
            return Err(mismatch(at, expected, format!("{length}")));
        }
        let at = input.at();
        let value = input.take(length, "a large value")?;
        check_value(*column, value).map_err(|(expected, found)| mismatch(at, expected, found))?;
        filled.put(index, value)?;
    }
    filled.finish(number, shape.live)?;
    Ok(shape.live.count_ones().into())
}

/// A page that waits for its large values; it goes if they do not come.
struct Filled<'r, 'l, 'p> {
    restore: &'r mut Restore<'l, 'p>,
    link: Option<Link>,
}

impl Filled<'_, '_, '_> {
    fn put(&mut self, index: usize, value: &[u8]) -> Result<(), PartError> {
        let Some(link) = self.link.as_mut() else { return Ok(()) };
        self.restore.put_large(link, index, value)
    }

    fn finish(mut self, number: u64, live: u32) -> Result<(), PartError> {
        let Some(link) = self.link.take() else { return Ok(()) };
        self.restore.put_page(number, link, live)
    }
}

impl Drop for Filled<'_, '_, '_> {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            self.restore.release(link);
        }
    }
}
