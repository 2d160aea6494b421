//! The clock, and the order in which peers take turns.
//!
//! Peers run round-robin: one round of a workload is one batch per peer, the first peer of a round moves on by one each
//! time, and the figure is the median over the rounds. So a slow minute of the machine hits everyone alike.

use crate::peer::{Answer, Refusal, Store};
use crate::workload::Shape;
use std::time::{Duration, Instant};

/// One batch: how long an operation took, and the checksum of the work where there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub value: f64,
    pub checksum: Option<f64>,
}

/// What a peer achieved in a workload.
#[derive(Debug)]
pub(crate) enum Outcome {
    Measured { median: f64, samples: Vec<f64> },
    Refused(Refusal),
}

impl Outcome {
    pub(crate) fn of(mut samples: Vec<f64>) -> Self {
        if samples.is_empty() {
            return Outcome::Refused(Refusal::Failed("no sample".into()));
        }
        let in_order = samples.clone();
        samples.sort_by(f64::total_cmp);
        let middle = samples.len() / 2;
        let median =
            if samples.len() % 2 == 1 { samples[middle] } else { (samples[middle - 1] + samples[middle]) / 2.0 };
        Outcome::Measured { median, samples: in_order }
    }

    pub(crate) fn median(&self) -> Option<f64> {
        match self {
            Outcome::Measured { median, .. } => Some(*median),
            Outcome::Refused(_) => None,
        }
    }
}

/// A peer with a loaded store.
pub(crate) struct Contestant {
    pub name: &'static str,
    pub shape: Shape,
    pub store: Box<dyn Store>,
}

/// Results of one workload: per contestant by name, and what did not agree.
pub(crate) struct Rounds {
    pub outcomes: Vec<(&'static str, Outcome)>,
    pub disagreements: Vec<String>,
}

/// Runs `batch` for every contestant, `warm_ups` times without and `rounds` times with a record. `batch` gets the
/// number of the round, counted over both, so that it can pick fresh keys. A contestant that refuses is out of later
/// rounds.
pub(crate) fn run_rounds(
    contestants: &[Contestant],
    warm_ups: usize,
    rounds: usize,
    mut batch: impl FnMut(&Contestant, usize) -> Answer<Batch>,
) -> Rounds {
    let mut samples: Vec<Vec<f64>> = contestants.iter().map(|_| Vec::new()).collect();
    let mut refusals: Vec<Option<Refusal>> = contestants.iter().map(|_| None).collect();
    let mut disagreements = Vec::new();
    for round in 0..warm_ups + rounds {
        let mut reference: Option<(&str, f64)> = None;
        for turn in 0..contestants.len() {
            let position = (turn + round) % contestants.len();
            if refusals[position].is_some() {
                continue;
            }
            let contestant = &contestants[position];
            let result = match batch(contestant, round) {
                Ok(result) => result,
                Err(refusal) => {
                    refusals[position] = Some(refusal);
                    continue;
                }
            };
            if round >= warm_ups {
                samples[position].push(result.value);
            }
            match (reference, result.checksum) {
                (None, Some(checksum)) => reference = Some((contestant.name, checksum)),
                (Some((name, expected)), Some(checksum)) if expected != checksum => disagreements
                    .push(format!("round {round}: {} got {checksum}, {name} got {expected}", contestant.name)),
                _ => {}
            }
        }
    }
    let outcomes = contestants.iter().zip(samples).zip(refusals).map(|((contestant, samples), refusal)| {
        (contestant.name, refusal.map_or_else(|| Outcome::of(samples), Outcome::Refused))
    });
    Rounds { outcomes: outcomes.collect(), disagreements }
}

/// Times `work`, which does `operations`, and returns nanoseconds for one with what it answered.
pub(crate) fn timed<T>(operations: usize, work: impl FnOnce() -> Answer<T>) -> Answer<(f64, T)> {
    let start = Instant::now();
    let answer = work()?;
    let nanos = start.elapsed().as_nanos() as f64;
    Ok((nanos / operations.max(1) as f64, answer))
}

/// Times a batch of reads.
pub(crate) fn timed_read(operations: usize, work: impl FnOnce() -> Answer) -> Answer<Batch> {
    let (value, checksum) = timed(operations, work)?;
    Ok(Batch { value, checksum: Some(checksum) })
}

/// Times one long operation as often as fits in `least`, but at least once.
pub(crate) fn timed_repeatedly(least: Duration, work: impl Fn() -> Answer) -> Answer<Batch> {
    let start = Instant::now();
    let mut count = 0u32;
    loop {
        let checksum = work()?;
        count += 1;
        let elapsed = start.elapsed();
        if elapsed >= least {
            return Ok(Batch { value: elapsed.as_nanos() as f64 / f64::from(count), checksum: Some(checksum) });
        }
    }
}

/// Times an operation that takes a count, doubling it until a batch lasts `least`.
pub(crate) fn timed_doubling(least: Duration, work: impl Fn(usize) -> Answer<()>) -> Answer<Batch> {
    let mut count = 1;
    loop {
        let (value, ()) = timed(count, || work(count))?;
        if value * count as f64 >= least.as_nanos() as f64 || count >= 1 << 24 {
            return Ok(Batch { value, checksum: None });
        }
        count *= 2;
    }
}

/// Counts of durations in buckets that are at most 1/32 wide.
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    total_nanos: u64,
}

impl Histogram {
    const SUB_BITS: u32 = 5;

    pub(crate) fn new() -> Self {
        Histogram { buckets: vec![0; 64 << Self::SUB_BITS], count: 0, total_nanos: 0 }
    }

    #[inline]
    pub(crate) fn record(&mut self, nanos: u64) {
        self.buckets[Self::bucket(nanos)] += 1;
        self.count += 1;
        self.total_nanos += nanos;
    }

    #[inline]
    fn bucket(nanos: u64) -> usize {
        let nanos = nanos.max(1);
        let exponent = 63 - nanos.leading_zeros();
        if exponent < Self::SUB_BITS {
            return nanos as usize;
        }
        let shift = exponent - Self::SUB_BITS;
        let within = (nanos >> shift) & ((1 << Self::SUB_BITS) - 1);
        (((shift + 1) << Self::SUB_BITS) as u64 + within) as usize
    }

    fn lower_bound(bucket: usize) -> f64 {
        let sub = 1usize << Self::SUB_BITS;
        if bucket < sub {
            return bucket as f64;
        }
        let shift = (bucket / sub - 1) as i32;
        ((sub + bucket % sub) as f64) * 2f64.powi(shift)
    }

    /// The duration that `share` of all records do not exceed, to a bucket's width.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Self::lower_bound(bucket);
            }
        }
        0.0
    }

    pub(crate) fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.total_nanos as f64 / self.count as f64 }
    }
}

/// What reading the clock once adds to a duration, in nanoseconds.
pub(crate) fn clock_cost() -> f64 {
    const READINGS: u32 = 100_000;
    let start = Instant::now();
    let mut last = start;
    for _ in 0..READINGS {
        last = std::hint::black_box(Instant::now());
    }
    (last - start).as_nanos() as f64 / f64::from(READINGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_finds_quantiles_to_a_bucket() {
        let mut histogram = Histogram::new();
        (1..=100_000u64).for_each(|nanos| histogram.record(nanos));
        for (share, expected) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.999, 99_900.0)] {
            let quantile = histogram.quantile(share);
            assert!((quantile - expected).abs() / expected < 0.04, "{share}: {quantile}");
        }
    }

    #[test]
    fn buckets_keep_order_and_bounds() {
        for nanos in (1..10_000u64).chain([1 << 40, u64::MAX]) {
            let bucket = Histogram::bucket(nanos);
            assert!(Histogram::lower_bound(bucket) <= nanos as f64);
            assert!(Histogram::bucket(nanos.saturating_add(nanos / 16 + 1)) >= bucket);
        }
    }

    #[test]
    fn median_of_an_even_number_lies_between() {
        assert_eq!(Outcome::of(vec![4.0, 1.0, 2.0, 3.0]).median(), Some(2.5));
    }
}
