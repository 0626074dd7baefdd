//! The rate that a provider publishes, as a bucket of tokens: bursts up to its size, then one token at a time. A try takes
//! as many as the provider counts.

use std::time::Duration;

use stratus_core::cache::{Scope, Target};
use tokio::time::Instant;

/// Parts in one request to Cloudflare, as `stratus_agent::cache` sends them.
const CLOUDFLARE_AT_ONCE: usize = 30;

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
        // 1000 requests an hour that change something, purges of a whole service among them, of parts not.
        // Source: <https://www.fastly.com/documentation/reference/api/#rate-limiting>
        Target::Fastly => rate(100, Duration::from_secs(4)),
        // 5 a minute, 25 at once, in the smallest plan.
        // Source: <https://developers.cloudflare.com/cache/how-to/purge-cache/#availability-and-limits>
        Target::Cloudflare => rate(25, Duration::from_secs(12)),
    }
}

/// What one try for `scope` counts as.
fn tokens(target: &Target, scope: &Scope) -> u32 {
    let Scope::Parts(parts) = scope else {
        return 1;
    };
    let requests = |count: usize, at_once: usize| count.div_ceil(at_once);
    let count = match target {
        Target::Opcache | Target::Redis(_) | Target::Varnish => 0,
        // Paths without a wildcard have a limit of their own, of thousands.
        Target::CloudFront => parts.wildcards(),
        // So have purges of keys and addresses, of 100 000 an hour.
        Target::Fastly => 1,
        Target::Cloudflare => {
            requests(parts.urls.len(), CLOUDFLARE_AT_ONCE)
                + requests(parts.tags.len(), CLOUDFLARE_AT_ONCE)
        }
    };
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

/// Tokens of one cache.
#[derive(Debug)]
pub(super) struct Bucket {
    target: Target,
    rate: Rate,
    /// When it will be full again: what is missing until then are its tokens that were taken.
    full_at: Instant,
}

impl Bucket {
    /// A full bucket for `target`; none where nothing limits it.
    pub(super) fn of(target: &Target) -> Option<Self> {
        published(target).map(|rate| Self {
            target: target.clone(),
            rate,
            full_at: Instant::now(),
        })
    }

    /// How long until there are the tokens of a try for `scope`.
    pub(super) fn wait(&self, scope: &Scope, now: Instant) -> Duration {
        let tokens = self.tokens(scope);
        let room = self.rate.period * (self.rate.burst - tokens);
        self.full_at
            .saturating_duration_since(now)
            .saturating_sub(room)
    }

    /// Takes them, also those that are not there yet.
    pub(super) fn take(&mut self, scope: &Scope, now: Instant) {
        self.full_at = self.full_at.max(now) + self.rate.period * self.tokens(scope);
    }

    /// No more than there can ever be.
    fn tokens(&self, scope: &Scope) -> u32 {
        tokens(&self.target, scope).min(self.rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use stratus_core::cache::Parts;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_one_in_each_period() {
        let mut bucket = Bucket::of(&Target::Cloudflare).expect("it is limited");
        let start = Instant::now();
        for _ in 0..25 {
            assert_eq!(bucket.wait(&Scope::ALL, start), Duration::ZERO);
            bucket.take(&Scope::ALL, start);
        }
        assert_eq!(bucket.wait(&Scope::ALL, start), Duration::from_secs(12));
        let later = start + Duration::from_secs(12);
        assert_eq!(bucket.wait(&Scope::ALL, later), Duration::ZERO);
        bucket.take(&Scope::ALL, later);
        assert_eq!(bucket.wait(&Scope::ALL, later), Duration::from_secs(12));
        let rested = start + Duration::from_hours(1);
        for _ in 0..25 {
            assert_eq!(bucket.wait(&Scope::ALL, rested), Duration::ZERO);
            bucket.take(&Scope::ALL, rested);
        }
        assert_ne!(bucket.wait(&Scope::ALL, rested), Duration::ZERO);
    }

    /// Takes the tokens of tries for `scope` until one has to wait; answers how many there were, and the wait.
    fn burst(target: &Target, scope: &Scope) -> (u32, Duration) {
        let mut bucket = Bucket::of(target).expect("it is limited");
        let now = Instant::now();
        let mut tries = 0;
        while bucket.wait(scope, now).is_zero() {
            bucket.take(scope, now);
            tries += 1;
        }
        (tries, bucket.wait(scope, now))
    }

    fn parts(urls: usize, tags: usize, paths: usize) -> Scope {
        let texts = |count: usize| (0..count).map(|n| format!("/{n}*")).collect();
        Scope::Parts(Parts {
            urls: texts(urls),
            tags: texts(tags),
            paths: texts(paths),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn each_provider_is_asked_as_often_as_it_publishes_and_a_try_counts_as_what_it_sends() {
        let minute = Duration::from_mins(1);
        let seconds = Duration::from_secs;
        for (target, scope, expected) in [
            (Target::CloudFront, Scope::ALL, (15, minute)),
            (Target::CloudFront, parts(900, 0, 0), (15, minute)),
            (Target::CloudFront, parts(0, 0, 5), (3, 5 * minute)),
            (Target::Fastly, Scope::ALL, (100, seconds(4))),
            (Target::Fastly, parts(100, 900, 0), (100, seconds(4))),
            (Target::Cloudflare, parts(31, 31, 0), (6, seconds(36))),
            (Target::Cloudflare, parts(300, 0, 0), (2, seconds(60))),
        ] {
            assert_eq!(burst(&target, &scope), expected, "{target} {scope:?}");
        }
    }

    #[test]
    fn what_runs_beside_us_is_not_limited() {
        assert!(published(&Target::Varnish).is_none());
    }
}
