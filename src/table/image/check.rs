//! Whether bytes are a row page of a table: all that the code which reads and changes pages relies on.

use crate::table::definition::TableDef;
use crate::table::layout::{INLINE_MAX, Layout, PAGE_ROWS, PAGE_SHIFT, Place};
use crate::table::row_page::{flags, word};
use crate::value::{Scalar, Type, check_json, excerpt};

/// What is wrong with a page, and at which of its bytes.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(super) at: usize,
    pub(super) expected: String,
    pub(super) found: String,
}

#[cold]
fn fault(at: usize, expected: impl Into<String>, found: impl Into<String>) -> Fault {
    Fault { at, expected: expected.into(), found: found.into() }
}

/// What a page that is sound says of itself.
pub(crate) struct PageShape {
    pub(super) live: u32,
    /// The types of the large values, in the order of their links.
    pub(super) large: Vec<Type>,
}

/// Checks the page `number` with so many large values, whose own bytes are for the caller to check.
/// Cost: O(bytes).
pub(crate) fn check_page(def: &TableDef, number: u64, bytes: &[u8], links: usize) -> Result<PageShape, Fault> {
    let layout = &def.layout;
    let has_large = links > 0;
    let live = word(bytes, 0);
    let rows = live.count_ones() as usize;
    if rows == 0 || number > u64::MAX >> PAGE_SHIFT {
        return Err(fault(0, "a page with rows", format!("page {number} with {rows} rows")));
    }
    let (expected, found) = (flags(rows, has_large), word(bytes, 4));
    if expected != found {
        return Err(fault(4, format!("the flags {expected:#x}"), format!("{found:#x}")));
    }
    let page = Page { layout, bytes, rows, has_large, all: u32::MAX >> (PAGE_ROWS - rows) };
    let least = layout.values_at(has_large, rows);
    if bytes.len() < least {
        return Err(fault(0, format!("at least {least} bytes for {rows} rows"), format!("{} bytes", bytes.len())));
    }
    page.check_head()?;
    page.check_fixed()?;
    let large = page.check_variable(links)?;
    Ok(PageShape { live, large })
}

/// Whether the bytes, which have the type's width if it has one, are a value of this type, or several of them.
pub(crate) fn check_value(ty: Type, bytes: &[u8]) -> Result<(), (String, String)> {
    match ty {
        Type::String => match std::str::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) => Err(("UTF-8".into(), format!("bytes that are not, from byte {} on", error.valid_up_to()))),
        },
        Type::Json => check_json(bytes).map_err(|error| ("a JSON document".into(), excerpt(&error.to_string()))),
        Type::Array(array) => check_bools(array.element() == Scalar::Bool, bytes),
        ty => check_bools(ty == Type::Bool, bytes),
    }
}

fn check_bools(are_bools: bool, bytes: &[u8]) -> Result<(), (String, String)> {
    match are_bools && bytes.iter().any(|byte| *byte > 1) {
        true => Err(("bools of 0 or 1".into(), "another byte".into())),
        false => Ok(()),
    }
}

struct Page<'a> {
    layout: &'a Layout,
    bytes: &'a [u8],
    rows: usize,
    has_large: bool,
    /// One bit per row.
    all: u32,
}

impl<'a> Page<'a> {
    /// Masks have no bit beyond the rows; what is null is not true; padding is zero.
    fn check_head(&self) -> Result<(), Fault> {
        let layout = self.layout;
        for mask in 0..layout.masks().len() {
            self.check_mask(layout.mask_at(mask), self.all)?;
        }
        for column in layout.columns() {
            if let (Place::Bool { mask }, Some(nulls)) = (column.place, column.nulls) {
                self.check_mask(layout.mask_at(mask), !word(self.bytes, layout.mask_at(nulls)))?;
            }
        }
        let masks_end = layout.mask_at(layout.masks().len());
        self.check_zero(masks_end, layout.columns_at(false))?;
        if self.has_large {
            self.check_zero(layout.large_mask_at(layout.variable_columns().len()), layout.columns_at(true))?;
        }
        let padding = layout.padding(self.has_large, self.rows);
        self.check_zero(padding.start, padding.end)
    }

    fn check_mask(&self, at: usize, allowed: u32) -> Result<(), Fault> {
        match word(self.bytes, at) & !allowed {
            0 => Ok(()),
            wrong => Err(fault(at, "a mask of rows that may be in it", format!("the bits {wrong:#x}"))),
        }
    }

    fn check_zero(&self, from: usize, to: usize) -> Result<(), Fault> {
        match self.bytes.get(from..to).unwrap_or_default().iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(at) => Err(fault(from + at, "zero", "another byte")),
        }
    }

    /// The rows in which the column is null.
    fn nulls(&self, mask: Option<usize>) -> u32 {
        mask.map_or(0, |mask| word(self.bytes, self.layout.mask_at(mask)))
    }

    /// Nulls are zero; bools in arrays are bools.
    fn check_fixed(&self) -> Result<(), Fault> {
        for column in self.layout.columns() {
            let Place::Fixed { before, width } = column.place else { continue };
            let at = self.layout.columns_at(self.has_large) + before * self.rows;
            for position in bits(self.nulls(column.nulls)) {
                self.check_zero(at + width * position, at + width * (position + 1))?;
            }
            let values = self.bytes.get(at..at + width * self.rows).unwrap_or_default();
            check_value(column.ty, values).map_err(|(expected, found)| fault(at, expected, found))?;
        }
        Ok(())
    }

    /// Ends rise from column to column up to the end of the page; each value is one of its type; those that are null
    /// or large take no bytes. Answers the types of the large values.
    fn check_variable(&self, links: usize) -> Result<Vec<Type>, Fault> {
        let layout = self.layout;
        let ends_at = layout.ends_at(self.has_large, self.rows);
        let values_at = layout.values_at(self.has_large, self.rows);
        let values = self.bytes.get(values_at..).unwrap_or_default();
        let mut large_types = Vec::new();
        let mut start = 0;
        for (index, variable) in layout.variable_columns().iter().enumerate() {
            let Some(column) = layout.column(variable.column) else { continue };
            let nulls = self.nulls(column.nulls);
            let large = if self.has_large { word(self.bytes, layout.large_mask_at(index)) } else { 0 };
            // A wide array is never in the page, and the only one that has a width.
            let must = if variable.packed.is_none() { self.all & !nulls } else { 0 };
            let allowed = self.all & !nulls;
            if large & !allowed != 0 || must & !large != 0 {
                let at = layout.large_mask_at(index);
                return Err(fault(at, "a mask of rows that may be in it", format!("the bits {large:#x}")));
            }
            large_types.extend(bits(large).map(|_| column.ty));
            let first = start;
            for position in 0..self.rows {
                let at = ends_at + layout.offset_bytes() * (index * self.rows + position);
                let end = self.end(at);
                let len_max = if (nulls | large) >> position & 1 == 1 { 0 } else { INLINE_MAX };
                if end < start || end - start > len_max || end > values.len() {
                    let last = (start + len_max).min(values.len());
                    return Err(fault(at, format!("an end of {start} to {last}"), format!("{end}")));
                }
                if column.ty == Type::Json && allowed & !large & 1 << position != 0 {
                    let value = values.get(start..end).unwrap_or_default();
                    check_value(column.ty, value)
                        .map_err(|(expected, found)| fault(values_at + start, expected, found))?;
                }
                start = end;
            }
            if column.ty == Type::String {
                self.check_texts(index, values_at, values.get(first..start).unwrap_or_default(), first)?;
            }
        }
        if start != values.len() {
            let found = format!("{} bytes", values.len() - start);
            return Err(fault(values_at + start, "the end of the page behind its last value", found));
        }
        if large_types.len() != links {
            let found = format!("{links} of them");
            return Err(fault(0, format!("{} large values", large_types.len()), found));
        }
        Ok(large_types)
    }

    fn end(&self, at: usize) -> usize {
        match self.layout.offset_bytes() {
            2 => self.bytes.get(at..at + 2).and_then(|end| end.try_into().ok()).map_or(0, u16::from_le_bytes).into(),
            _ => word(self.bytes, at) as usize,
        }
    }

    /// The column's texts are UTF-8: all of them at once, and then where each ends.
    fn check_texts(&self, index: usize, values_at: usize, texts: &[u8], first: usize) -> Result<(), Fault> {
        let at = values_at + first;
        let text = std::str::from_utf8(texts)
            .map_err(|error| fault(at + error.valid_up_to(), "UTF-8", "bytes that are not"))?;
        if text.is_ascii() {
            return Ok(());
        }
        let ends_at = self.layout.ends_at(self.has_large, self.rows);
        for position in 0..self.rows {
            let at = ends_at + self.layout.offset_bytes() * (index * self.rows + position);
            if !text.is_char_boundary(self.end(at) - first) {
                return Err(fault(at, "the end of a text", "an end within a character"));
            }
        }
        Ok(())
    }
}

/// The numbers of the bits that are set.
fn bits(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros() as usize);
        mask &= mask.wrapping_sub(1);
        bit
    })
}
