//! Masks from columns: one bit for each row of a page whose value passes a test.
//!
//! The kernels under every predicate. A full page's column is an array of 32 values, for which the compiler makes
//! vector code; where few rows are asked for, only their values are looked at.

/// Rows asked for up to which they are looked at one by one, which touches only their cache lines.
const SPARSE_MAX: u32 = 4;

/// The rows of `within` whose values, `W` bytes each and contiguous in `column`, pass `test`.
#[inline(always)]
pub(super) fn mask_of<const W: usize>(column: &[u8], within: u32, test: impl Fn([u8; W]) -> bool) -> u32 {
    let (values, _) = column.as_chunks::<W>();
    if within.count_ones() <= SPARSE_MAX {
        return each_bit(within, |position| values.get(position).is_some_and(|value| test(*value)));
    }
    let mask = match <&[[u8; W]; 32]>::try_from(values) {
        Ok(full) => dense(full, test),
        Err(_) => values.iter().take(32).enumerate().fold(0, |mask, (at, value)| mask | u32::from(test(*value)) << at),
    };
    mask & within
}

/// All 32 at once: bytes of 0 and 1 first, which vectorizes for every width, then eight of them to a byte by one
/// multiplication.
#[inline(always)]
fn dense<const W: usize>(values: &[[u8; W]; 32], test: impl Fn([u8; W]) -> bool) -> u32 {
    let mut flags = [0u8; 32];
    for (flag, value) in flags.iter_mut().zip(values) {
        *flag = u8::from(test(*value));
    }
    pack(&flags)
}

/// Bit `n` of the answer is byte `n`, each 0 or 1.
#[inline(always)]
fn pack(flags: &[u8; 32]) -> u32 {
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (quads, _) = flags.as_chunks::<8>();
    let mut mask = 0;
    for (index, quad) in quads.iter().enumerate() {
        let byte = u64::from_le_bytes(*quad).wrapping_mul(GATHER) >> 56;
        mask |= (byte as u32) << (8 * index);
    }
    mask
}

/// Runs `visit` on the positions of `mask` and the values there, `W` bytes each and contiguous in `column`.
#[inline(always)]
pub(super) fn each_value<const W: usize>(column: &[u8], mask: u32, mut visit: impl FnMut(usize, [u8; W])) {
    let (values, _) = column.as_chunks::<W>();
    if mask == u32::MAX
        && let Ok(full) = <&[[u8; W]; 32]>::try_from(values)
    {
        full.iter().enumerate().for_each(|(position, value)| visit(position, *value));
        return;
    }
    let mut left = mask;
    while left != 0 {
        let position = left.trailing_zeros() as usize;
        left &= left - 1;
        if let Some(value) = values.get(position) {
            visit(position, *value);
        }
    }
}

/// The positions of `within` for which `test` holds.
#[inline(always)]
pub(super) fn each_bit(within: u32, mut test: impl FnMut(usize) -> bool) -> u32 {
    let (mut left, mut kept) = (within, 0);
    while left != 0 {
        let position = left.trailing_zeros();
        left &= left - 1;
        kept |= u32::from(test(position as usize)) << position;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_length_and_selection_gives_the_plain_answer(
            values in proptest::collection::vec(any::<u16>(), 0..=32), within: u32, bound: u16,
        ) {
            let column: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let mask = mask_of(&column, within, |bytes| u16::from_le_bytes(bytes) < bound);
            for position in 0..32 {
                let expected = within >> position & 1 == 1 && values.get(position).is_some_and(|value| *value < bound);
                prop_assert_eq!(mask >> position & 1 == 1, expected);
            }
        }
    }
}
