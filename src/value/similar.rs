//! "Did you mean": the known name nearest to one that is unknown.

/// Names longer than this are not compared: the work is the product of both lengths, and names come from outside.
const COMPARED_BYTES_MAX: usize = 64;

/// The candidate that differs least from `name`, if it is near enough to be what was meant.
///
/// Near enough is a third of the name's length in edits (insert, remove, replace one byte, ASCII case ignored).
pub(crate) fn similar<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.is_empty() || name.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let most = |candidate: &str| name.len().max(candidate.len()).div_ceil(3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= COMPARED_BYTES_MAX)
        // As many edits as one is longer there are at least.
        .filter(|candidate| name.len().abs_diff(candidate.len()) <= most(candidate))
        .map(|candidate| (edits(name.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(edits, candidate)| *edits <= most(candidate))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, one row of the matrix at a time, of texts of at most [`COMPARED_BYTES_MAX`].
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut cells: [usize; COMPARED_BYTES_MAX + 1] = std::array::from_fn(|at| at);
    let row = cells.get_mut(..=b.len()).unwrap_or_default();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b) {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(y));
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let names = ["name", "email", "gpa"];
        assert_eq!(similar("emial", names), Some("email"));
        assert_eq!(similar("Name", names), Some("name"));
        assert_eq!(similar("country", names), None);
        assert_eq!(similar("", names), None);
        assert_eq!(edits(b"kitten", b"sitting"), 3);
    }
}
