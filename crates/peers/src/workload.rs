//! The rows and keys that every peer is given.
//!
//! Rows come from a seeded generator, so that a run can be repeated and two peers can be compared by checksum. Keys,
//! updates and operations are drawn before the clock starts: a workload hands a peer a slice and times nothing else.
//!
//! - Checksums are exact. A score is a whole number of 2^-20 below 128, so sums of ten million of them lose no bit and
//!   do not depend on the order in which a peer visits its rows.
//! - Scores, emails and hash keys are bijections of an ordinal: unique without a set, and in no order that an index
//!   could exploit.

/// Countries in the data; rows are spread over them evenly at random.
pub(crate) const COUNTRY_COUNT: u16 = 200;
/// Keys in one `get_many` call.
pub(crate) const MANY: usize = 16;
/// Updates in one grouped commit.
pub(crate) const GROUP: usize = 64;
/// Rows that a range read takes.
pub(crate) const RANGE_ROWS: usize = 100;
/// Rows that the ranking takes.
pub(crate) const TOP_ROWS: usize = 10;
/// The filter's first column: `age` from (inclusive) to (exclusive).
pub(crate) const FILTER_AGES: std::ops::Range<u32> = 30..35;
/// The filter's second column: `score` at least.
pub(crate) const FILTER_SCORE: f64 = 112.0;

const SCORE_BITS: u32 = 27;
const SCORE_UNIT: f64 = 1.0 / (1 << 20) as f64;
const HASH_KEY_BITS: u32 = 62;
const EMAIL_BITS: u32 = 41;

/// One row as a program would hold it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Primary key: 1, 2, 3, … where the table counts by itself, a scattered integer where it does not.
    pub id: u64,
    /// 8 to 20 bytes.
    pub name: String,
    /// 24 bytes, unique.
    pub email: String,
    pub age: u32,
    pub score: f64,
    pub active: bool,
    pub country: u16,
}

impl Row {
    /// What every read adds up, so that it has to touch the row.
    #[inline]
    pub(crate) fn checksum(&self) -> f64 {
        self.score + f64::from(self.age)
    }

    /// Whether the two-column filter keeps the row.
    #[inline]
    pub(crate) fn passes_filter(&self) -> bool {
        passes_filter(self.age, self.score)
    }
}

/// The two-column filter, on the columns that it reads.
#[inline]
pub(crate) fn passes_filter(age: u32, score: f64) -> bool {
    FILTER_AGES.contains(&age) && score >= FILTER_SCORE
}

/// Which keys and indexes a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Key by auto-increment, no other index.
    KeyOnly,
    /// Key by integers in no order, given with the row; no other index.
    HashKey,
    /// Key by auto-increment, and `email` unique.
    Email,
    /// Key by auto-increment, `email` unique, `country` by equality, `score` ordered.
    Full,
}

impl Shape {
    /// Whether `email` is indexed.
    pub(crate) fn has_email(self) -> bool {
        matches!(self, Shape::Email | Shape::Full)
    }

    /// Whether `country` and `score` are indexed.
    pub(crate) fn has_country_and_score(self) -> bool {
        self == Shape::Full
    }
}

/// A new value of the column that no index covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AgeUpdate {
    pub id: u64,
    pub age: u32,
}

/// A new value of the column that the ordered index covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScoreUpdate {
    pub id: u64,
    pub score: f64,
}

/// One operation of the mixed workload.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Read(u64),
    Update(AgeUpdate),
}

/// SplitMix64: small, seedable, good enough to scatter keys.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn age(&mut self) -> u32 {
        18 + self.below(63) as u32
    }
}

/// Makes rows and key streams from one seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generator {
    seed: u64,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Generator { seed }
    }

    /// A stream of random numbers for one purpose; equal purposes get equal streams.
    pub(crate) fn random(&self, purpose: u64) -> Random {
        let mut random = Random::new(self.seed ^ purpose.wrapping_mul(0xa076_1d64_78bd_642f));
        random.next();
        random
    }

    /// The row with key `id`, counted from 1.
    pub(crate) fn row(&self, id: u64) -> Row {
        let mut random = self.random(id.wrapping_add(1 << 40));
        let name_bytes = 8 + random.below(13) as usize;
        let name = letters(&mut random, name_bytes);
        let email = self.email(id, &mut random);
        Row {
            id,
            name,
            email,
            age: random.age(),
            score: self.score(id),
            active: random.below(2) == 1,
            country: random.below(u64::from(COUNTRY_COUNT)) as u16,
        }
    }

    /// Rows with the keys `first`, `first + 1`, ….
    pub(crate) fn rows(&self, first: u64, count: usize) -> Vec<Row> {
        (first..first + count as u64).map(|id| self.row(id)).collect()
    }

    /// The same rows under scattered keys.
    pub(crate) fn hash_keyed(&self, rows: &[Row]) -> Vec<Row> {
        rows.iter().map(|row| Row { id: self.hash_key(row.id), ..row.clone() }).collect()
    }

    /// A score that no other ordinal below 2^27 has.
    pub(crate) fn score(&self, ordinal: u64) -> f64 {
        scatter(ordinal, SCORE_BITS, self.seed) as f64 * SCORE_UNIT
    }

    /// The scattered key of the row that would have key `id`.
    pub(crate) fn hash_key(&self, id: u64) -> u64 {
        scatter(id, HASH_KEY_BITS, self.seed)
    }

    fn email(&self, id: u64, random: &mut Random) -> String {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut rest = scatter(id, EMAIL_BITS, self.seed);
        let mut email = String::with_capacity(24);
        for _ in 0..8 {
            email.push(char::from(DIGITS[(rest % 36) as usize]));
            rest /= 36;
        }
        email.push_str(&letters(random, 5));
        email.push_str("@post.email");
        email
    }

    /// `count` keys, uniform over `1..=rows`.
    pub(crate) fn uniform_ids(&self, purpose: u64, rows: usize, count: usize) -> Vec<u64> {
        let mut random = self.random(purpose);
        (0..count).map(|_| 1 + random.below(rows as u64)).collect()
    }

    /// `count` different keys of `1..=rows` in random order; fewer when there are fewer rows.
    pub(crate) fn distinct_ids(&self, purpose: u64, rows: usize, count: usize) -> Vec<u64> {
        let mut random = self.random(purpose);
        let mut ids: Vec<u64> = (1..=rows as u64).collect();
        let count = count.min(rows);
        for position in 0..count {
            let other = position + random.below((rows - position) as u64) as usize;
            ids.swap(position, other);
        }
        ids.truncate(count);
        ids
    }

    /// `count` updates of the unindexed column, keys uniform over `1..=rows`.
    pub(crate) fn age_updates(&self, purpose: u64, rows: usize, count: usize) -> Vec<AgeUpdate> {
        let mut random = self.random(purpose);
        (0..count).map(|_| AgeUpdate { id: 1 + random.below(rows as u64), age: random.age() }).collect()
    }

    /// `count` updates of the ordered column. `first_ordinal` lies past every ordinal in use, so scores stay unique.
    pub(crate) fn score_updates(
        &self,
        purpose: u64,
        rows: usize,
        first_ordinal: u64,
        count: usize,
    ) -> Vec<ScoreUpdate> {
        let mut random = self.random(purpose);
        (0..count as u64)
            .map(|offset| ScoreUpdate { id: 1 + random.below(rows as u64), score: self.score(first_ordinal + offset) })
            .collect()
    }

    /// YCSB's workload B: 95 % reads, 5 % updates, keys by a scrambled zipfian distribution.
    pub(crate) fn mixed_operations(&self, purpose: u64, zipfian: &Zipfian, count: usize) -> Vec<Operation> {
        let mut random = self.random(purpose);
        (0..count)
            .map(|_| {
                let id = zipfian.id(&mut random);
                if random.below(100) < 95 {
                    Operation::Read(id)
                } else {
                    Operation::Update(AgeUpdate { id, age: random.age() })
                }
            })
            .collect()
    }
}

/// The zipfian distribution of Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD 1994), with
/// YCSB's skew. Ranks are scrambled, so that the hot rows do not lie side by side.
#[derive(Clone, Debug)]
pub(crate) struct Zipfian {
    rows: u64,
    alpha: f64,
    zeta: f64,
    eta: f64,
}

impl Zipfian {
    const THETA: f64 = 0.99;

    pub(crate) fn new(rows: usize) -> Self {
        let zeta = |count: u64| (1..=count).map(|rank| (rank as f64).powf(-Self::THETA)).sum::<f64>();
        let rows = rows as u64;
        let zeta_rows = zeta(rows);
        let eta = (1.0 - (2.0 / rows as f64).powf(1.0 - Self::THETA)) / (1.0 - zeta(2) / zeta_rows);
        Zipfian { rows, alpha: 1.0 / (1.0 - Self::THETA), zeta: zeta_rows, eta }
    }

    fn id(&self, random: &mut Random) -> u64 {
        let unit = random.unit();
        let scaled = unit * self.zeta;
        let rank = if scaled < 1.0 {
            0
        } else if scaled < 1.0 + 0.5f64.powf(Self::THETA) {
            1
        } else {
            (self.rows as f64 * (self.eta * unit - self.eta + 1.0).powf(self.alpha)) as u64
        };
        1 + Random::new(rank).next() % self.rows
    }
}

/// A bijection of the numbers below 2^`bits`.
fn scatter(number: u64, bits: u32, salt: u64) -> u64 {
    let mask = (1u64 << bits) - 1;
    let mut x = number & mask;
    for multiplier in [0xd6e8_feb8_6659_fd93, 0xa0b4_28db_7c15_9e37] {
        x = (x ^ salt) & mask;
        x = x.wrapping_mul(multiplier) & mask;
        x ^= x >> (bits / 2);
    }
    x
}

fn letters(random: &mut Random, count: usize) -> String {
    (0..count).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn what_has_to_be_unique_is() {
        let generator = Generator::new(7);
        let rows = generator.rows(1, 20_000);
        assert_eq!(rows.iter().map(|row| &row.email).collect::<HashSet<_>>().len(), rows.len());
        assert_eq!(rows.iter().map(|row| row.score.to_bits()).collect::<HashSet<_>>().len(), rows.len());
        let keyed = generator.hash_keyed(&rows);
        assert_eq!(keyed.iter().map(|row| row.id).collect::<HashSet<_>>().len(), rows.len());
    }

    #[test]
    fn rows_have_the_stated_sizes() {
        for row in Generator::new(7).rows(1, 5_000) {
            assert!((8..=20).contains(&row.name.len()));
            assert_eq!(row.email.len(), 24);
            assert!((0.0..128.0).contains(&row.score));
            assert!(row.country < COUNTRY_COUNT);
        }
    }

    #[test]
    fn zipfian_prefers_few_keys_and_stays_in_range() {
        let generator = Generator::new(7);
        let zipfian = Zipfian::new(10_000);
        let mut random = generator.random(1);
        let mut hits = std::collections::HashMap::new();
        for _ in 0..100_000 {
            let id = zipfian.id(&mut random);
            assert!((1..=10_000).contains(&id));
            *hits.entry(id).or_insert(0u32) += 1;
        }
        let most = hits.values().max().copied().unwrap_or_default();
        assert!(most > 5_000, "the hottest key was drawn {most} times");
    }

    #[test]
    fn distinct_ids_are_distinct() {
        let ids = Generator::new(7).distinct_ids(3, 1_000, 600);
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 600);
    }
}
