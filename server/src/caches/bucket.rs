//! The rate that a provider publishes, as a bucket of tokens: bursts up to its size, then one token at a time.

use std::time::Duration;

use stratus_core::cache::Target;
use tokio::time::Instant;

/// So many at once, and one more in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    burst: u32,
    period: Duration,
}

/// What the provider allows; none where it allows everything.
fn published(target: &Target) -> Option<Rate> {
    let rate = |burst, period| Some(Rate { burst, period });
    match target {
        Target::Opcache | Target::Redis(_) | Target::Varnish => None,
        // 15 invalidations with a wildcard in progress at a time; one takes some minutes at most.
        // Source: <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/InvalidationLimits.html>
        Target::CloudFront => rate(15, Duration::from_mins(1)),
        // 1000 requests an hour that change something, purges of a whole service among them.
        // Source: <https://www.fastly.com/documentation/reference/api/#rate-limiting>
        Target::Fastly => rate(100, Duration::from_secs(4)),
        // 5 a minute, 25 at once, in the smallest plan.
        // Source: <https://developers.cloudflare.com/cache/how-to/purge-cache/#availability-and-limits>
        Target::Cloudflare => rate(25, Duration::from_secs(12)),
    }
}

/// Tokens of one cache.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// When it will be full again: what is missing until then are its tokens that were taken.
    full_at: Instant,
}

impl Bucket {
    /// A full bucket for `target`; none where nothing limits it.
    pub(super) fn of(target: &Target) -> Option<Self> {
        published(target).map(|rate| Self {
            rate,
            full_at: Instant::now(),
        })
    }

    /// How long until there is a token.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let room = self.rate.period * (self.rate.burst - 1);
        self.full_at
            .saturating_duration_since(now)
            .saturating_sub(room)
    }

    /// Takes a token, also one that is not there yet.
    pub(super) fn take(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.rate.period;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_one_in_each_period() {
        let mut bucket = Bucket::of(&Target::Cloudflare).expect("it is limited");
        let start = Instant::now();
        for _ in 0..25 {
            assert_eq!(bucket.wait(start), Duration::ZERO);
            bucket.take(start);
        }
        assert_eq!(bucket.wait(start), Duration::from_secs(12));
        let later = start + Duration::from_secs(12);
        assert_eq!(bucket.wait(later), Duration::ZERO);
        bucket.take(later);
        assert_eq!(bucket.wait(later), Duration::from_secs(12));
        let rested = start + Duration::from_hours(1);
        for _ in 0..25 {
            assert_eq!(bucket.wait(rested), Duration::ZERO);
            bucket.take(rested);
        }
        assert_ne!(bucket.wait(rested), Duration::ZERO);
    }

    #[test]
    fn what_runs_beside_us_is_not_limited() {
        assert!(published(&Target::Varnish).is_none());
    }
}
