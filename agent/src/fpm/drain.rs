//! Waits until a pool holds no request, by barriers.
//!
//! FPM accepts in order, so when a status request sent through a member's own socket is answered, all that queued before
//! it has been accepted; and the answer lists who still works. One such barrier is not enough: nginx connects and writes
//! in two calls, and a connection accepted before its data came looks idle. Hence two, at least [`GAP`] apart.
//!
//! ```text
//! ask all members ──► somebody busy or silent ──► pause ──► ask again … until the limit
//!        │
//!        └► all clear ──► GAP ──► ask all again ──► clear: drained │ else from the start
//! ```

use std::time::Duration;

use futures_util::future::try_join_all;
use stratus_core::runtime::{Drained, RuntimeError};
use tokio::time::{Instant, sleep};

use super::carrier::{Member, State};
use super::fastcgi::{self, FastCgiError};
use super::request;
use super::status::Status;

#[cfg(test)]
mod tests;

/// Least time between the two barriers.
pub const GAP: Duration = Duration::from_millis(250);
/// Pause after a barrier that found somebody at work.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the second barrier may take where the limit is over: the first one was clear.
const CONFIRM_LIMIT: Duration = Duration::from_secs(1);

/// What a member holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// This many requests; none, if its container does not run.
    Known(u64),
    /// It did not answer: every worker of it is at work.
    Silent,
}

/// Waits until no member holds a request, at most `limit`; what remains then is said.
///
/// A silent member counts as what it said last, or as `workers` requests: they must all be busy, or one would have
/// answered.
///
/// # Errors
/// When a member does not listen and the engine cannot say whether it runs.
pub async fn drain(
    members: &[Member],
    workers: u16,
    limit: Duration,
) -> Result<Drained, RuntimeError> {
    let deadline = Instant::now() + limit;
    let mut was_clear = false;
    let mut last = vec![u64::from(workers.max(1)); members.len()];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let allowed = if was_clear {
            left.max(CONFIRM_LIMIT)
        } else {
            left
        };
        let remaining = barrier(members, &mut last, workers, allowed).await?;
        let clear = remaining == 0;
        if clear && was_clear {
            return Ok(Drained { remaining: 0 });
        }
        if !clear && Instant::now() >= deadline {
            return Ok(Drained { remaining });
        }
        was_clear = clear;
        sleep(if clear { GAP } else { PAUSE }).await;
    }
}

/// Asks every member at once, and adds up.
async fn barrier(
    members: &[Member],
    last: &mut [u64],
    workers: u16,
    limit: Duration,
) -> Result<u64, RuntimeError> {
    let held = try_join_all(members.iter().map(|member| ask(member, limit))).await?;
    for (last, held) in last.iter_mut().zip(held) {
        *last = match held {
            Held::Known(requests) => requests,
            Held::Silent if *last == 0 => u64::from(workers.max(1)),
            Held::Silent => *last,
        };
    }
    Ok(last.iter().sum())
}

async fn ask(member: &Member, limit: Duration) -> Result<Held, RuntimeError> {
    let params = request::status();
    match fastcgi::call(&member.socket, &params, b"", limit).await {
        Ok(answer) => {
            Ok(Status::parse(&answer.body)
                .map_or(Held::Silent, |status| Held::Known(status.busy())))
        }
        // A master that was told to quit stops listening while its workers still serve, so the engine is asked.
        Err(FastCgiError::NotListening(_)) => match member.carrier.state().await? {
            State::Running => Ok(Held::Silent),
            State::Created | State::Ended(_) | State::Missing => Ok(Held::Known(0)),
        },
        Err(_) => Ok(Held::Silent),
    }
}
