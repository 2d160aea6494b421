//! Whether bytes contain other bytes, in time that grows with the length of both together.
//!
//! Looking for the first byte of the part and comparing from there is the fastest way through usual text, but compares the
//! whole part at each place where a text repeats itself. So that is done until it has compared some times the text's
//! length; the rest is searched by the two-way algorithm, which is linear and needs no memory: M. Crochemore and
//! D. Perrin, "Two-way string-matching", Journal of the ACM 38 (1991).

/// How many times the length of the text is compared before the search is another.
const COMPARED_TIMES_MAX: usize = 8;

/// Whether `part` is somewhere in `text`.
pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    match part {
        [] => true,
        [byte] => text.contains(byte),
        [first, ..] => {
            let (mut rest, mut compared) = (text, 0);
            while rest.len() >= part.len() {
                let Some(at) = rest.iter().position(|byte| byte == first) else { return false };
                rest = &rest[at..];
                if rest.starts_with(part) {
                    return true;
                }
                rest = &rest[1..];
                compared += part.len();
                if compared / COMPARED_TIMES_MAX > text.len() {
                    return contains_two_way(rest, part);
                }
            }
            false
        }
    }
}

/// The part is cut in two where the period of what is around the cut is that of all of it. At each place the right half is
/// compared forwards, and moves the place by as much as was equal; then the left half backwards, which moves it by the
/// period. If the part repeats itself with that period, what has been found equal before is not compared again.
fn contains_two_way(text: &[u8], part: &[u8]) -> bool {
    let (rising, falling) = (last_suffix(part, |a, b| a < b), last_suffix(part, |a, b| a > b));
    let (cut, period) = if rising.0 > falling.0 { rising } else { falling };
    let is_periodic = part.get(period..).is_some_and(|behind| behind.starts_with(&part[..cut]));
    let (period, overlap) = match is_periodic {
        true => (period, part.len() - period),
        // A lower bound of it, which is all that is known then.
        false => (cut.max(part.len() - cut) + 1, 0),
    };
    let (mut at, mut known) = (0, 0);
    while let Some(here) = text.get(at..at + part.len()) {
        let differs = |index: &usize| here[*index] != part[*index];
        if let Some(index) = (cut.max(known)..part.len()).find(differs) {
            at += index - cut + 1;
            known = 0;
        } else if (known..cut).rev().any(|index| differs(&index)) {
            at += period;
            known = overlap;
        } else {
            return true;
        }
    }
    false
}

/// Where the last of all suffixes begins, in the order in which `is_before` has bytes, and its period.
fn last_suffix(part: &[u8], is_before: impl Fn(u8, u8) -> bool) -> (usize, usize) {
    let (mut start, mut other, mut equal, mut period) = (0, 1, 0, 1);
    while let Some(&byte) = part.get(other + equal) {
        let best = part[start + equal];
        if byte == best {
            equal += 1;
            if equal == period {
                other += period;
                equal = 0;
            }
        } else if is_before(byte, best) {
            other += equal + 1;
            equal = 0;
            period = other - start;
        } else {
            start = other;
            (other, equal, period) = (start + 1, 0, 1);
        }
    }
    (start, period)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn assert_found(text: &[u8], part: &[u8]) {
        let expected = part.is_empty() || text.windows(part.len()).any(|window| window == part);
        assert_eq!(contains(text, part), expected, "{part:?} in {text:?}");
        if part.len() > 1 {
            assert_eq!(contains_two_way(text, part), expected, "{part:?} in {text:?}");
        }
    }

    #[test]
    fn every_short_part_is_found_where_it_is() {
        let texts = |len: u32| (0..1_u32 << len).map(move |bits| (0..len).map(|at| (bits >> at & 1) as u8).collect());
        let all: Vec<Vec<u8>> = (0..=9).flat_map(texts).collect();
        for text in &all {
            all.iter().filter(|part| part.len() <= 6).for_each(|part| assert_found(text, part));
        }
    }

    proptest! {
        #[test]
        fn parts_of_text_that_repeats_itself_are_found(
            unit in proptest::collection::vec(0u8..3, 1..6),
            times in 0..40usize,
            other in proptest::collection::vec(0u8..3, 0..8),
            (start, len) in (0..200usize, 0..60usize),
            change in 0..400usize,
        ) {
            let text = [unit.repeat(times), other.clone(), unit.repeat(times / 2)].concat();
            let part = text.iter().copied().skip(start % (text.len() + 1)).take(len);
            let mut part: Vec<u8> = part.collect();
            assert_found(&text, &part);
            if let Some(byte) = part.get_mut(change) {
                *byte = (*byte + 1) % 3;
                assert_found(&text, &part);
            }
            assert_found(&text, &other);
        }
    }
}
