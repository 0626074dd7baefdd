//! How long to wait before the next try: longer each time, not at the same moment as everybody else, and no shorter than the
//! provider asks for.

use std::time::Duration;

use stratus_core::cache::ClearError;
use stratus_core::fault::{Fault, Faulty as _};

/// First wait after a failure that may pass, and the longest.
const PASSING: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));
/// First wait after a refusal, which lasts until somebody changes something, and the longest.
const REFUSED: (Duration, Duration) = (Duration::from_secs(15), Duration::from_mins(10));
/// The longest that a provider can make us wait.
const LATER_MAX: Duration = Duration::from_hours(1);

/// The wait after `error`, which was the last of `tries` failures in a row.
pub(super) fn after(error: &ClearError, tries: u32) -> Duration {
    let (first, longest) = match error.fault() {
        Fault::Transient => PASSING,
        Fault::Permanent => REFUSED,
    };
    let doubled = first.saturating_mul(1 << tries.saturating_sub(1).min(16));
    let backoff = jitter(doubled.min(longest), random());
    // A time that is over, or none at all, is no leave to ask without a pause.
    match error {
        ClearError::Throttled {
            after: Some(after), ..
        } => backoff.max((*after).min(LATER_MAX)),
        _ => backoff,
    }
}

/// Between half of `wait` and all of it.
fn jitter(wait: Duration, random: u8) -> Duration {
    wait / 2 + wait / 2 * u32::from(random) / 255
}

/// Without it everybody waits equally long, which is no failure.
fn random() -> u8 {
    getrandom::u32().map_or(255, |number| number.to_le_bytes()[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable() -> ClearError {
        ClearError::Unavailable {
            detail: String::new(),
        }
    }

    #[test]
    fn the_wait_is_doubled_to_a_minute_and_scattered_over_its_upper_half() {
        for (tries, longest_ms) in [
            (1, 500),
            (2, 1000),
            (5, 8000),
            (20, 60_000),
            (u32::MAX, 60_000),
        ] {
            let longest = Duration::from_millis(longest_ms);
            for _ in 0..50 {
                let wait = after(&unavailable(), tries);
                assert!((longest / 2..=longest).contains(&wait), "{tries}: {wait:?}");
            }
        }
        assert_eq!(jitter(PASSING.1, 0), Duration::from_secs(30));
        assert_eq!(jitter(PASSING.1, 255), Duration::from_mins(1));
    }

    #[test]
    fn a_refusal_is_tried_again_seldom() {
        let refused = ClearError::Refused {
            detail: String::new(),
        };
        assert!(after(&refused, 1) >= REFUSED.0 / 2);
        assert!(after(&refused, 20) >= REFUSED.1 / 2);
    }

    #[test]
    fn a_provider_is_left_alone_as_long_as_it_asks_and_an_hour_at_most() {
        let throttled = |seconds| ClearError::Throttled {
            detail: String::new(),
            after: Some(Duration::from_secs(seconds)),
        };
        assert_eq!(after(&throttled(7), 1), Duration::from_secs(7));
        assert_eq!(after(&throttled(1_000_000), 1), LATER_MAX);
        for (tries, least) in [(1, PASSING.0), (20, PASSING.1)] {
            assert!(after(&throttled(0), tries) >= least / 2, "{tries}");
        }
    }
}
