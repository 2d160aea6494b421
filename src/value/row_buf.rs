//! A packed row that is being made.
//!
//! Staged here, a row is completed, checked, and copied into its page. One buffer serves many rows: after the first few
//! it no longer allocates.
//!
//! - A column is not set, null, or a value. A column without a value has zeros for its bytes, or none if its width
//!   varies: so what writes a page need not ask.
//! - Values of variable width lie in one vector in the order in which they were set; a value set again leaves its first
//!   bytes behind, unreferenced, until the next reset.

use std::sync::Arc;

use super::columns::{Columns, Slot};
use super::row_error::{RowError, RowErrorKind};
use super::shape::Shape;
use super::value_ref::ValueRef;

/// A reusable row in packed form.
#[derive(Debug, Default)]
pub(crate) struct RowBuf {
    slots: Option<Arc<[Slot]>>,
    fixed: Vec<u8>,
    var: Vec<u8>,
    /// Where in `var` each value of variable width lies.
    spans: Vec<(usize, usize)>,
    /// For each 64 columns.
    marks: Vec<Marks>,
    /// The fields of the struct encoded last, in their order, with their columns.
    fields: Vec<(&'static str, usize)>,
    /// The first value that was refused. What gave it may go on as if nothing had been.
    refused: Option<RowError>,
}

impl Clone for RowBuf {
    fn clone(&self) -> RowBuf {
        let mut clone = RowBuf::new();
        clone.clone_from(self);
        clone
    }

    /// Keeps capacity, as the derived one would not.
    fn clone_from(&mut self, other: &RowBuf) {
        let RowBuf { slots, fixed, var, spans, marks, fields, refused } = self;
        slots.clone_from(&other.slots);
        fixed.clone_from(&other.fixed);
        var.clone_from(&other.var);
        spans.clone_from(&other.spans);
        marks.clone_from(&other.marks);
        fields.clone_from(&other.fields);
        refused.clone_from(&other.refused);
    }
}

/// What is known of 64 columns, one bit each.
#[derive(Debug, Default, Clone, Copy)]
struct Marks {
    set: u64,
    null: u64,
}

impl RowBuf {
    /// An empty buffer of no shape.
    pub(crate) fn new() -> RowBuf {
        RowBuf::default()
    }

    /// Appends the values that there are, in the order of the columns, but for that of the column `without`. Before one of
    /// variable width, `put_len` says how many bytes it has.
    ///
    /// # Errors
    /// How many bytes there was no memory for; nothing is appended then.
    #[inline]
    pub(crate) fn append_values(
        &self,
        without: Option<usize>,
        out: &mut Vec<u8>,
        put_len: impl Fn(&mut Vec<u8>, usize),
    ) -> Result<(), usize> {
        let bytes = self.fixed.len() + self.var.len();
        out.try_reserve(bytes).map_err(|_| bytes)?;
        // Values of fixed width lie one behind the other: those of neighbours are copied at once.
        let mut run = 0..0;
        for (index, slot) in self.slots.as_deref().unwrap_or_default().iter().enumerate() {
            if !self.has_value(index) || Some(index) == without {
                continue;
            }
            match *slot {
                Slot::Fixed { offset, width } => {
                    let (offset, width) = (offset as usize, width as usize);
                    if offset != run.end {
                        out.extend_from_slice(self.fixed.get(run).unwrap_or_default());
                        run = offset..offset;
                    }
                    run.end += width;
                }
                Slot::Var { index } => {
                    let end = run.end;
                    out.extend_from_slice(self.fixed.get(run).unwrap_or_default());
                    run = end..end;
                    let value = self.var_bytes(index as usize);
                    put_len(out, value.len());
                    out.extend_from_slice(value);
                }
            }
        }
        out.extend_from_slice(self.fixed.get(run).unwrap_or_default());
        Ok(())
    }

    /// Memory that is held for values.
    #[inline]
    pub(crate) fn held_bytes(&self) -> usize {
        self.fixed.capacity() + self.var.capacity()
    }

    /// Makes every column of `shape` not set. Keeps capacity.
    #[inline]
    pub(crate) fn reset(&mut self, shape: &Shape) {
        if !self.slots.as_ref().is_some_and(|slots| Arc::ptr_eq(slots, shape.slots())) {
            self.reshape(shape);
        }
        self.fixed.fill(0);
        self.spans.fill((0, 0));
        self.marks.fill(Marks::default());
        self.var.clear();
        self.refused = None;
    }

    /// Notes that a value was refused, and why.
    #[cold]
    pub(super) fn refuse(&mut self, error: RowError) -> RowError {
        self.refused.get_or_insert_with(|| error.clone());
        error
    }

    /// The first refusal since the last reset.
    #[inline]
    pub(super) fn take_refused(&mut self) -> Result<(), RowError> {
        self.refused.take().map_or(Ok(()), Err)
    }

    #[cold]
    fn reshape(&mut self, shape: &Shape) {
        self.slots = Some(Arc::clone(shape.slots()));
        self.fixed.resize(shape.fixed_bytes(), 0);
        self.spans.resize(shape.var_count(), (0, 0));
        self.marks.resize(shape.len().div_ceil(64), Marks::default());
        self.fields.clear();
    }

    /// The column of the struct's `nth` field if it is this very one that was so the last time. Not the texts are
    /// compared, but where they lie: the field of a type has its name at one place.
    #[inline(always)]
    pub(super) fn known_field(&self, nth: usize, name: &'static str) -> Option<usize> {
        self.fields.get(nth).filter(|(known, _)| std::ptr::eq(*known, name)).map(|(_, index)| *index)
    }

    /// Notes that the struct's `nth` field is the column at `index` of the present shape.
    pub(super) fn know_field(&mut self, nth: usize, name: &'static str, index: usize) {
        match self.fields.get_mut(nth) {
            Some(field) => *field = (name, index),
            None => self.fields.push((name, index)),
        }
    }

    /// Sets an integer column to the low bytes of a row id.
    #[inline]
    pub(crate) fn set_id(&mut self, index: usize, id: u64) {
        let id = id.to_le_bytes();
        let slot = self.slots.as_ref().and_then(|slots| slots.get(index).copied());
        let place = slot.map(|slot| self.fixed_mut(slot)).unwrap_or_default();
        match <&mut [u8; 8]>::try_from(&mut *place) {
            Ok(place) => *place = id,
            Err(_) => place.iter_mut().zip(id).for_each(|(place, byte)| *place = byte),
        }
        self.mark(index, false);
    }

    /// Sets a column to packed bytes of its type.
    ///
    /// # Errors
    /// `WrongType` if the width is not the column's, `OutOfMemory`.
    #[inline]
    pub(crate) fn set(&mut self, shape: &Shape, index: usize, packed: &[u8]) -> Result<(), RowError> {
        let written = match shape.slots().get(index) {
            Some(slot) => self.write(*slot, packed),
            None => Err(RowErrorKind::WrongArity { expected: shape.len(), found: index.saturating_add(1) }),
        };
        written.map_err(|kind| locate(shape, index, kind))?;
        self.mark(index, false);
        Ok(())
    }

    /// Packs a value into a column; null sets it to null, or a generated column to not set.
    ///
    /// # Errors
    /// Those of `Type::pack`, and `NullNotAllowed`.
    pub(crate) fn set_value(&mut self, shape: &Shape, index: usize, value: ValueRef<'_>) -> Result<(), RowError> {
        let Some(column) = shape.column(index) else {
            let found = index.saturating_add(1);
            return Err(RowErrorKind::WrongArity { expected: shape.len(), found }.into());
        };
        let is_null = column.ty.is_null(value);
        if is_null && column.nullable {
            self.set_null(shape, index);
            return Ok(());
        }
        if is_null && shape.is_generated(index) {
            self.unset(shape, index);
            return Ok(());
        }
        let start = self.var.len();
        let packed = column.ty.pack(value, &mut self.var).and_then(|()| match shape.slots().get(index) {
            Some(Slot::Var { index }) => {
                self.end_var(*index as usize, start);
                Ok(())
            }
            slot => {
                let place = slot.and_then(|slot| self.fixed.get_mut(slot.fixed_range()?));
                let copied = place.zip(self.var.get(start..)).is_some_and(|(place, packed)| copy(place, packed));
                self.var.truncate(start);
                copied.then_some(()).ok_or_else(|| RowErrorKind::wrong_type(column.ty, "another width"))
            }
        });
        packed.map_err(|kind| RowError::at(&column.name, kind))?;
        self.mark(index, false);
        Ok(())
    }

    /// Sets a column to null, whether or not the shape says that it may be.
    #[inline]
    pub(crate) fn set_null(&mut self, shape: &Shape, index: usize) {
        match shape.slots().get(index) {
            Some(Slot::Var { index }) => {
                if let Some(span) = self.spans.get_mut(*index as usize) {
                    *span = (0, 0);
                }
            }
            Some(slot) => self.fixed_mut(*slot).fill(0),
            None => {}
        }
        self.mark(index, true);
    }

    /// Makes one column not set again.
    #[inline]
    pub(crate) fn unset(&mut self, shape: &Shape, index: usize) {
        self.set_null(shape, index);
        if let Some(marks) = self.marks.get_mut(index / 64) {
            marks.set &= !(1 << (index % 64));
            marks.null &= !(1 << (index % 64));
        }
    }

    /// Whether the column has a value or is null.
    #[inline]
    pub(crate) fn is_set(&self, index: usize) -> bool {
        self.marks.get(index / 64).is_some_and(|marks| marks.set >> (index % 64) & 1 != 0)
    }

    /// Whether the column is set and not null.
    #[inline]
    pub(crate) fn has_value(&self, index: usize) -> bool {
        self.marks.get(index / 64).is_some_and(|marks| (marks.set & !marks.null) >> (index % 64) & 1 != 0)
    }

    /// Bytes of all values of variable width together, those set over included.
    #[inline]
    pub(crate) fn variable_bytes(&self) -> usize {
        self.var.len()
    }

    /// The columns that have a value or are null, in order.
    #[inline]
    pub(crate) fn set_columns(&self) -> impl Iterator<Item = usize> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let index = self.set_at_or_after(from)?;
            from = index + 1;
            Some(index)
        })
    }

    /// The first column at or behind `from` that has a value or is null.
    #[inline]
    pub(crate) fn set_at_or_after(&self, from: usize) -> Option<usize> {
        let mut word_index = from / 64;
        let mut set = self.marks.get(word_index)?.set & u64::MAX << (from % 64);
        while set == 0 {
            word_index += 1;
            set = self.marks.get(word_index)?.set;
        }
        Some(word_index * 64 + set.trailing_zeros() as usize)
    }

    /// Whether the column was set to null.
    #[inline]
    pub(crate) fn is_null(&self, index: usize) -> bool {
        self.marks.get(index / 64).is_some_and(|marks| marks.null >> (index % 64) & 1 != 0)
    }

    /// Whether all of `len` columns are set, but perhaps for one that then is not null. May answer no for many columns.
    #[inline(always)]
    pub(crate) fn is_whole(&self, len: usize, but: Option<usize>) -> bool {
        let [marks] = &*self.marks else { return false };
        let but = but.map_or(0, |index| 1 << (index % 64));
        marks.set | but == u64::MAX >> (64 - len.clamp(1, 64)) && marks.null & but == 0
    }

    /// The first column at or behind `from`, and before `len`, that is not set.
    #[inline]
    pub(crate) fn first_unset(&self, from: usize, len: usize) -> Option<usize> {
        let mut word_index = from / 64;
        let mut unset = !self.marks.get(word_index)?.set & u64::MAX << (from % 64);
        while unset == 0 {
            word_index += 1;
            unset = !self.marks.get(word_index)?.set;
        }
        Some(word_index * 64 + unset.trailing_zeros() as usize).filter(|index| *index < len)
    }

    /// The packed bytes of all columns of fixed width, each where its [`Slot`] says.
    #[inline(always)]
    pub(crate) fn fixed_bytes(&self) -> &[u8] {
        &self.fixed
    }

    /// The lengths of the values of variable width, by number.
    #[inline(always)]
    pub(crate) fn var_lengths(&self) -> impl Iterator<Item = usize> {
        self.spans.iter().map(|(start, end)| end - start)
    }

    /// The bytes of the value with this number among those of variable width; empty if it has none.
    #[inline]
    pub(crate) fn var_bytes(&self, var_index: usize) -> &[u8] {
        match self.spans.get(var_index) {
            Some((start, end)) => self.var.get(*start..*end).unwrap_or_default(),
            None => &[],
        }
    }

    /// Writes a column's bytes without marking it.
    #[inline]
    pub(super) fn write(&mut self, slot: Slot, packed: &[u8]) -> Result<(), RowErrorKind> {
        match slot {
            Slot::Fixed { width, .. } => {
                let place = slot.fixed_range().and_then(|range| self.fixed.get_mut(range));
                match place.is_some_and(|place| copy(place, packed)) {
                    true => Ok(()),
                    false => Err(RowErrorKind::wrong_type(
                        format_args!("{width} packed bytes"),
                        format_args!("{}", packed.len()),
                    )),
                }
            }
            Slot::Var { index } => {
                let start = self.var.len();
                super::pack::append(&mut self.var, packed)?;
                self.end_var(index as usize, start);
                Ok(())
            }
        }
    }

    /// The bytes of a fixed-width column, to be written.
    #[inline]
    pub(super) fn fixed_mut(&mut self, slot: Slot) -> &mut [u8] {
        // Written as a branch, since what follows would wait for a select.
        match slot.fixed_range().and_then(|range| self.fixed.get_mut(range)) {
            Some(place) => place,
            None => nowhere(),
        }
    }

    /// Where a value of variable width is appended; [`RowBuf::end_var`] ends it.
    #[inline]
    pub(super) fn var_mut(&mut self) -> &mut Vec<u8> {
        &mut self.var
    }

    /// Makes what was appended from `start` on the value with this number.
    #[inline]
    pub(super) fn end_var(&mut self, var_index: usize, start: usize) {
        if let Some(span) = self.spans.get_mut(var_index) {
            *span = (start, self.var.len());
        }
    }

    /// Marks a column as set, unless it is. Answers whether it was not.
    #[inline(always)]
    pub(super) fn claim(&mut self, index: usize) -> bool {
        let Some(marks) = self.marks.get_mut(index / 64) else { return false };
        let is_set = marks.set >> (index % 64) & 1 != 0;
        marks.set |= 1 << (index % 64);
        !is_set
    }

    /// Marks a column as set.
    #[inline]
    pub(super) fn mark(&mut self, index: usize, null: bool) {
        if let Some(marks) = self.marks.get_mut(index / 64) {
            marks.set |= 1 << (index % 64);
            marks.null = marks.null & !(1 << (index % 64)) | u64::from(null) << (index % 64);
        }
    }
}

impl Columns for RowBuf {
    #[inline]
    fn column_bytes(&self, index: usize) -> Option<&[u8]> {
        if !self.has_value(index) {
            return None;
        }
        match *self.slots.as_ref()?.get(index)? {
            Slot::Var { index } => Some(self.var_bytes(index as usize)),
            slot => self.fixed.get(slot.fixed_range()?),
        }
    }
}

#[cold]
#[inline(never)]
fn nowhere<'a>() -> &'a mut [u8] {
    &mut []
}

/// Copies if the widths agree.
#[inline]
fn copy(place: &mut [u8], packed: &[u8]) -> bool {
    let fits = place.len() == packed.len();
    if fits {
        place.copy_from_slice(packed);
    }
    fits
}

#[cold]
fn locate(shape: &Shape, index: usize, kind: RowErrorKind) -> RowError {
    match shape.column(index) {
        Some(column) => RowError::at(&column.name, kind),
        None => RowError::new(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::ShapeColumn;
    use super::*;

    fn shape(column_count: usize) -> Shape {
        let column = |index: usize| ShapeColumn {
            name: format!("c{index}").into(),
            ty: if index.is_multiple_of(2) { "u16" } else { "string" }.parse().unwrap(),
            nullable: true,
        };
        Shape::new((0..column_count).map(column).collect())
    }

    #[test]
    fn columns_are_unset_then_null_or_a_value() {
        let (shape, mut row) = (shape(130), RowBuf::new());
        row.reset(&shape);
        assert!((0..130).all(|index| row.column_bytes(index).is_none() && !row.is_set(index)));
        row.set(&shape, 128, &[1, 2]).unwrap();
        row.set(&shape, 129, b"first").unwrap();
        row.set(&shape, 129, b"second").unwrap();
        row.set_null(&shape, 0);
        assert_eq!((row.column_bytes(128), row.column_bytes(129)), (Some(&[1, 2][..]), Some(&b"second"[..])));
        assert!(row.is_null(0) && row.is_set(0) && row.column_bytes(0).is_none());
        row.set_value(&shape, 0, ValueRef::Int(3)).unwrap();
        assert_eq!(row.column_bytes(0), Some(&[3, 0][..]));
        row.unset(&shape, 0);
        assert!(!row.is_set(0));
    }

    #[test]
    fn a_column_without_a_value_has_no_bytes_of_the_one_it_had() {
        let (shape, mut row) = (shape(2), RowBuf::new());
        row.reset(&shape);
        for forget in [RowBuf::set_null, RowBuf::unset] {
            row.set(&shape, 0, &[1, 2]).unwrap();
            row.set(&shape, 1, b"text").unwrap();
            assert!(row.is_whole(2, None) && row.var_lengths().eq([4]));
            forget(&mut row, &shape, 0);
            forget(&mut row, &shape, 1);
            assert_eq!((row.fixed_bytes(), row.var_bytes(0)), (&[0, 0][..], &[][..]));
            assert!(!row.has_value(0) && !row.has_value(1));
        }
        row.set(&shape, 1, b"text").unwrap();
        assert!(row.is_whole(2, Some(0)) && !row.is_whole(2, Some(1)) && row.set_columns().eq([1]));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let (shape, mut row) = (shape(2), RowBuf::new());
        row.reset(&shape);
        assert!(row.set(&shape, 0, &[1]).is_err());
        assert!(row.set(&shape, 2, &[1]).is_err());
        assert!(row.set_value(&shape, 1, ValueRef::Int(1)).is_err());
        assert!(!row.is_set(1) && row.column_bytes(9).is_none());
    }
}
