//! Histograms of durations, with fixed buckets.

use std::time::Duration;

use super::count::Count;

/// Upper bounds of the buckets, in microseconds: three per decade.
pub(super) const BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// A histogram with one writer.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// Each counts the values that fit no smaller one; the last counts values beyond all bounds.
    buckets: [Count; BOUNDS_US.len() + 1],
    sum_us: Count,
}

/// The sum of several histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) buckets: [u64; BOUNDS_US.len() + 1],
    pub(super) sum_us: u64,
}

impl Histogram {
    pub(crate) fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BOUNDS_US.len());
        self.buckets[bucket].add(1);
        self.sum_us.add(us);
    }
}

impl Totals {
    pub(super) fn add(&mut self, histogram: &Histogram) {
        for (total, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *total += bucket.get();
        }
        self.sum_us += histogram.sum_us.get();
    }

    /// The number of observations.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The buckets with their upper bounds in seconds.
    pub(super) fn in_seconds(&self) -> [(f64, u64); BOUNDS_US.len() + 1] {
        std::array::from_fn(|place| {
            let bound = BOUNDS_US.get(place).map_or(f64::INFINITY, |us| seconds(*us));
            (bound, self.buckets[place])
        })
    }
}

pub(super) fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_long_as_a_bound_is_below_it_and_the_longest_is_counted_too() {
        let histogram = Histogram::default();
        for us in [0, 100, 101, 10_000_000, 10_000_001] {
            histogram.observe(Duration::from_micros(us));
        }
        let mut totals = Totals::default();
        totals.add(&histogram);
        totals.add(&histogram);
        assert_eq!(totals.buckets[..2], [4, 2]);
        assert_eq!(totals.buckets[BOUNDS_US.len() - 1..], [2, 2]);
        assert_eq!((totals.count(), totals.sum_us), (10, 2 * 20_000_202));
        assert_eq!(totals.in_seconds()[0], (0.0001, 4));
        assert_eq!(totals.in_seconds()[BOUNDS_US.len()], (f64::INFINITY, 2));
        assert!(BOUNDS_US.is_sorted());
    }
}
