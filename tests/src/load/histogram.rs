//! Latencies in a fixed amount of memory: buckets a sixteenth of a power of two wide.

use std::time::Duration;

use serde::Serialize;

/// Buckets a power of two; a quantile is at most 1/16 above the true value.
const STEPS: u64 = 16;
/// Up to 2^36 µs, which is 19 hours; anything above falls into the last bucket.
const BUCKETS: usize = 33 * 16;

/// Counts of latencies; only the largest is exact.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max_us: u64,
}

/// What a histogram says, in microseconds. All zero where nothing was answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half of the answers were at least this fast.
    pub p50_us: u64,
    /// 99 of 100 answers were at least this fast.
    pub p99_us: u64,
    /// The slowest answer.
    pub max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
            max_us: 0,
        }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(us)] += 1;
        self.count += 1;
        self.max_us = self.max_us.max(us);
    }

    pub(crate) fn latency(&self) -> Latency {
        Latency {
            p50_us: self.percentile(50),
            p99_us: self.percentile(99),
            max_us: self.max_us,
        }
    }

    fn percentile(&self, percent: u64) -> u64 {
        let rank = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                return last_of(index).min(self.max_us);
            }
        }
        self.max_us
    }
}

/// The bucket of a latency: exact below 16 µs, then 16 buckets a power of two.
fn bucket(us: u64) -> usize {
    if us < STEPS {
        return usize::try_from(us).expect("below 16");
    }
    let power = u64::from(us.ilog2());
    let step = (us >> (power - 4)) - STEPS;
    let index = (power - 3) * STEPS + step;
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The largest latency that falls into a bucket.
fn last_of(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let power = index / STEPS + 3;
    let step = index % STEPS + STEPS;
    ((step + 1) << (power - 4)) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_histogram_says_zero() {
        assert_eq!(Histogram::default().latency(), Latency::default());
    }

    #[test]
    fn the_slowest_of_a_hundred_is_the_maximum_and_not_the_99th() {
        let mut histogram = Histogram::default();
        for _ in 0..99 {
            histogram.record(Duration::from_micros(10));
        }
        histogram.record(Duration::from_secs(3));
        let latency = histogram.latency();
        assert_eq!(
            latency,
            Latency {
                p50_us: 10,
                p99_us: 10,
                max_us: 3_000_000
            }
        );
        histogram.record(Duration::from_secs(3));
        assert!(
            histogram.latency().p99_us > 2_900_000,
            "{:?}",
            histogram.latency()
        );
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_latency_within_a_sixteenth(us in 0_u64..1 << 36) {
            let last = last_of(bucket(us));
            prop_assert!(last >= us);
            prop_assert!(last - us <= us / 16);
            prop_assert!(bucket(us) == 0 || last_of(bucket(us) - 1) < us);
        }
    }

    #[test]
    fn a_latency_beyond_the_last_bucket_is_still_counted() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.latency().max_us, u64::MAX);
    }
}
