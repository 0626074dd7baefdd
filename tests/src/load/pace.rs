//! Decides when the next request may begin, and whether there is one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The one gate that all clients of a run pass before each request.
#[derive(Debug)]
pub(crate) struct Pace {
    stop: CancellationToken,
    end: Instant,
    gap: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests that may still begin.
    left: u64,
    /// When the next one may, under a rate.
    next: Instant,
}

impl Pace {
    pub(crate) fn new(limit: Duration, requests: Option<u64>, rate: Option<u32>) -> Self {
        let now = Instant::now();
        Self {
            stop: CancellationToken::new(),
            end: now + limit,
            gap: rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1)),
            state: Mutex::new(State {
                left: requests.unwrap_or(u64::MAX),
                next: now,
            }),
        }
    }

    /// Lets no further request begin.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits for the next request's turn; false where the run is over.
    pub(crate) async fn admit(&self) -> bool {
        let now = Instant::now();
        if self.stop.is_cancelled() || now >= self.end {
            return false;
        }
        let turn = self
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .turn(now, self.gap);
        let Some(turn) = turn else { return false };
        if turn <= now {
            return true;
        }
        self.pause_until(turn).await
    }

    /// Waits for so long; false where the run is over before.
    pub(crate) async fn pause(&self, pause: Duration) -> bool {
        self.pause_until(Instant::now() + pause).await
    }

    async fn pause_until(&self, until: Instant) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep_until(until.min(self.end)) => until < self.end,
        }
    }
}

impl State {
    /// Takes the next turn; none where no request is left.
    fn turn(&mut self, now: Instant, gap: Duration) -> Option<Instant> {
        self.left = self.left.checked_sub(1)?;
        let turn = self.next.max(now); // time that nobody used is not caught up
        self.next = turn + gap;
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_spaces_requests_evenly_and_catches_nothing_up() {
        let (now, gap) = (Instant::now(), Duration::from_millis(100));
        let mut state = State {
            left: u64::MAX,
            next: now,
        };
        assert_eq!(state.turn(now, gap), Some(now));
        assert_eq!(state.turn(now, gap), Some(now + gap));
        assert_eq!(state.turn(now, gap), Some(now + 2 * gap));
        let later = now + Duration::from_secs(10);
        assert_eq!(state.turn(later, gap), Some(later));
        assert_eq!(state.turn(later, gap), Some(later + gap));
    }

    #[test]
    fn no_more_requests_begin_than_asked() {
        let now = Instant::now();
        let mut state = State { left: 2, next: now };
        assert!(state.turn(now, Duration::ZERO).is_some());
        assert!(state.turn(now, Duration::ZERO).is_some());
        assert_eq!(state.turn(now, Duration::ZERO), None);
    }

    #[tokio::test]
    async fn the_limit_ends_a_wait_for_a_later_turn() {
        let pace = Pace::new(Duration::from_millis(20), None, Some(1));
        assert!(pace.admit().await);
        let started = Instant::now();
        assert!(!pace.admit().await);
        assert!(started.elapsed() < Duration::from_millis(900));
    }

    #[tokio::test]
    async fn a_stop_ends_a_pause() {
        let pace = Pace::new(Duration::from_hours(1), None, None);
        let (going, ()) = tokio::join!(pace.pause(Duration::from_mins(30)), async { pace.stop() });
        assert!(!going && !pace.admit().await);
    }
}
