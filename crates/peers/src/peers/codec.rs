//! The rows and keys of stores that hold bytes, and the two aggregates that such stores leave to their user.
//!
//! A row without its key: `score` 8 bytes, `age` 4, `country` 2, `active` 1, length of `name` 1, then `name` and
//! `email`. Numbers are little-endian in rows and big-endian in keys, where bytes have to sort as the numbers do.

use crate::workload::{COUNTRY_COUNT, Row, TOP_ROWS, passes_filter};

const AGE: usize = 8;
const COUNTRY: usize = 12;
const NAME_LENGTH: usize = 15;
const NAME: usize = 16;

/// Replaces the content of `buffer` by the row's bytes.
pub(super) fn encode(row: &Row, buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.extend_from_slice(&row.score.to_le_bytes());
    buffer.extend_from_slice(&row.age.to_le_bytes());
    buffer.extend_from_slice(&row.country.to_le_bytes());
    buffer.push(u8::from(row.active));
    buffer.push(row.name.len() as u8);
    buffer.extend_from_slice(row.name.as_bytes());
    buffer.extend_from_slice(row.email.as_bytes());
}

/// Reads `N` bytes from `position`; zeros when the row is too short, which no encoded row is.
#[inline]
fn field<const N: usize>(bytes: &[u8], position: usize) -> [u8; N] {
    bytes.get(position..position + N).and_then(|slice| slice.try_into().ok()).unwrap_or([0; N])
}

#[inline]
pub(super) fn score(bytes: &[u8]) -> f64 {
    f64::from_le_bytes(field(bytes, 0))
}

#[inline]
pub(super) fn age(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(field(bytes, AGE))
}

#[inline]
pub(super) fn country(bytes: &[u8]) -> u16 {
    u16::from_le_bytes(field(bytes, COUNTRY))
}

#[inline]
pub(super) fn checksum(bytes: &[u8]) -> f64 {
    score(bytes) + f64::from(age(bytes))
}

#[inline]
pub(super) fn name(bytes: &[u8]) -> &[u8] {
    let length = usize::from(bytes.get(NAME_LENGTH).copied().unwrap_or_default());
    bytes.get(NAME..NAME + length).unwrap_or_default()
}

#[inline]
pub(super) fn email(bytes: &[u8]) -> &[u8] {
    let length = usize::from(bytes.get(NAME_LENGTH).copied().unwrap_or_default());
    bytes.get(NAME + length..).unwrap_or_default()
}

/// The score to add when the row passes the filter, else zero.
#[inline]
pub(super) fn filtered_score(bytes: &[u8]) -> f64 {
    let score = score(bytes);
    if passes_filter(age(bytes), score) { score } else { 0.0 }
}

pub(super) fn set_age(bytes: &mut [u8], age: u32) {
    bytes[AGE..COUNTRY].copy_from_slice(&age.to_le_bytes());
}

pub(super) fn set_score(bytes: &mut [u8], score: f64) {
    bytes[..AGE].copy_from_slice(&score.to_le_bytes());
}

/// Maps a float to an integer that sorts as the float does.
#[inline]
pub(super) fn sortable(score: f64) -> u64 {
    let bits = score.to_bits();
    if bits >> 63 == 0 { bits | (1 << 63) } else { !bits }
}

/// A pair of index key and row key, as bytes that sort by both.
pub(super) fn country_key(country: u16, id: u64) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&country.to_be_bytes());
    key[2..].copy_from_slice(&id.to_be_bytes());
    key
}

pub(super) fn score_key(score: f64, id: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&sortable(score).to_be_bytes());
    key[8..].copy_from_slice(&id.to_be_bytes());
    key
}

/// The row key at the end of an index key.
#[inline]
pub(super) fn id_at_end(key: &[u8]) -> u64 {
    u64::from_be_bytes(field(key, key.len().saturating_sub(8)))
}

/// Average score by country, a counter per country.
pub(super) struct Averages(Vec<(f64, u64)>);

impl Averages {
    pub(super) fn new() -> Self {
        Averages(vec![(0.0, 0); usize::from(COUNTRY_COUNT)])
    }

    #[inline]
    pub(super) fn add(&mut self, country: u16, score: f64) {
        if let Some((sum, count)) = self.0.get_mut(usize::from(country)) {
            *sum += score;
            *count += 1;
        }
    }

    /// The sum, in order of country, of average times country.
    pub(super) fn checksum(&self) -> f64 {
        let mut sum = 0.0;
        for (country, (score, count)) in self.0.iter().enumerate() {
            if *count > 0 {
                sum += *score / *count as f64 * country as f64;
            }
        }
        sum
    }
}

/// The highest scores seen, highest first.
pub(super) struct Top([f64; TOP_ROWS]);

impl Top {
    pub(super) fn new() -> Self {
        Top([f64::NEG_INFINITY; TOP_ROWS])
    }

    #[inline]
    pub(super) fn add(&mut self, score: f64) {
        if score > self.0[TOP_ROWS - 1] {
            self.insert(score);
        }
    }

    fn insert(&mut self, score: f64) {
        let position = self.0.partition_point(|higher| *higher >= score);
        self.0.copy_within(position..TOP_ROWS - 1, position + 1);
        self.0[position] = score;
    }

    /// The sum of score times position, counted from 1.
    pub(super) fn checksum(&self) -> f64 {
        let filled = self.0.iter().filter(|score| score.is_finite());
        filled.enumerate().map(|(position, score)| score * (position + 1) as f64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Generator;

    #[test]
    fn rows_come_back() {
        let mut bytes = Vec::new();
        for mut row in Generator::new(3).rows(1, 100) {
            encode(&row, &mut bytes);
            assert_eq!((score(&bytes), age(&bytes), country(&bytes)), (row.score, row.age, row.country));
            assert_eq!((name(&bytes), email(&bytes)), (row.name.as_bytes(), row.email.as_bytes()));
            assert_eq!(bytes[NAME_LENGTH - 1] == 1, row.active);
            set_age(&mut bytes, 99);
            set_score(&mut bytes, 1.5);
            (row.age, row.score) = (99, 1.5);
            let mut expected = Vec::new();
            encode(&row, &mut expected);
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn keys_sort_as_numbers() {
        let scores = [-2.0, -1.0, -0.0, 0.0, 1.0, 1.5, 127.0];
        assert!(scores.windows(2).all(|pair| score_key(pair[0], 9) < score_key(pair[1], 1)));
        assert_eq!(id_at_end(&country_key(5, 77)), 77);
    }

    #[test]
    fn top_keeps_the_highest() {
        let mut top = Top::new();
        (0..1_000u32).for_each(|number| top.add(f64::from(number * 7_919 % 1_000)));
        assert_eq!(top.0[0], 999.0);
        assert_eq!(top.0[TOP_ROWS - 1], 990.0);
    }
}
