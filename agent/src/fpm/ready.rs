//! Finds out whether members are ready: FPM answers its ping, and the application's own script answers as expected.

use std::fmt;
use std::time::Duration;

use futures_util::future::try_join_all;
use stratus_core::Pool;
use stratus_core::environment::Ready;
use stratus_core::runtime::RuntimeError;
use tokio::time::{Instant, sleep};

use super::answer::{Answer, tail_lines};
use super::carrier::{Member, State};
use super::fastcgi::{self, FastCgiError};
use super::request::{self, Params};

/// Log lines that an error shows.
const LOG_LINES: usize = 50;
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one page may take when it is fetched to warm a member.
const WARM_LIMIT: Duration = Duration::from_mins(2);

/// Waits until every member is ready.
///
/// One request at a time is under way on each member, for as long as the limit allows: a script that hangs is not asked
/// again beside itself.
///
/// # Errors
/// [`RuntimeError::NotReady`] at the limit, and at once when a container ended or a process was killed for memory; it shows
/// the last answer and the last log lines.
pub async fn ready(
    pool: &Pool,
    members: &[Member],
    host: &str,
    ready: &Ready,
) -> Result<(), RuntimeError> {
    let script = page(pool, host, &ready.path)?;
    let deadline = Instant::now() + ready.within;
    let probes = members.iter().map(|member| {
        let probe = Probe {
            pool,
            member,
            ready,
            script: &script,
        };
        async move { probe.until(deadline).await }
    });
    try_join_all(probes).await.map(drop)
}

/// Fetches one page on every member. An answer below 500 is a success: what is warm is warm.
///
/// # Errors
/// [`RuntimeError::NotReady`] with the answer, or what came instead of it.
pub async fn warm(
    pool: &Pool,
    members: &[Member],
    host: &str,
    path: &str,
) -> Result<(), RuntimeError> {
    let params = page(pool, host, path)?;
    let fetched = members.iter().map(|member| async {
        let failure = match fastcgi::call(&member.socket, &params, b"", WARM_LIMIT).await {
            Ok(answer) if answer.status < 500 => return Ok(()),
            Ok(answer) => answer.excerpt(),
            Err(error) => stratus_core::fault::chain(&error),
        };
        let detail = format!("member {}, warming {path}: {failure}", member.index);
        Err(not_ready(pool, member, &detail).await)
    });
    try_join_all(fetched).await.map(drop)
}

fn page(pool: &Pool, host: &str, path: &str) -> Result<Params, RuntimeError> {
    request::page(pool, host, path).map_err(|e| RuntimeError::Refused {
        detail: e.to_string(),
    })
}

/// The error of a member, with the end of its log.
async fn not_ready(pool: &Pool, member: &Member, detail: &str) -> RuntimeError {
    let log = member.carrier.log().await;
    let log = if log.trim().is_empty() {
        "  (empty)".to_owned()
    } else {
        tail_lines(&log, LOG_LINES)
    };
    RuntimeError::NotReady {
        pool: pool.id.clone(),
        detail: format!("{detail}\nlast log lines:\n{log}"),
    }
}

struct Probe<'a> {
    pool: &'a Pool,
    member: &'a Member,
    ready: &'a Ready,
    script: &'a Params,
}

impl Probe<'_> {
    async fn until(&self, deadline: Instant) -> Result<(), RuntimeError> {
        let mut successes = 0;
        let mut seen = Seen::default();
        loop {
            match self.attempt(deadline).await {
                Ok(()) => successes += 1,
                Err(failure) => {
                    successes = 0;
                    let cut = failure.is_cut();
                    seen.note(failure);
                    self.give_up(&seen, cut, deadline).await?;
                }
            }
            if successes >= self.ready.successes.max(1) {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }

    /// One ping and one run of the script.
    async fn attempt(&self, deadline: Instant) -> Result<(), Failure> {
        let left = || deadline.saturating_duration_since(Instant::now());
        let socket = &self.member.socket;
        let pong = fastcgi::call(socket, &request::ping(), b"", left()).await?;
        let generation = self.pool.id.generation.to_string();
        if pong.status != 200 || pong.body != generation.as_bytes() {
            return Err(Failure::Wrong("the ping", generation, Box::new(pong)));
        }
        let answer = fastcgi::call(socket, self.script, b"", left()).await?;
        if answer.status != self.ready.status {
            let expected = format!("status {}", self.ready.status);
            return Err(Failure::Wrong("the script", expected, Box::new(answer)));
        }
        Ok(())
    }

    /// Ends the wait when it is over, or when waiting is pointless.
    async fn give_up(&self, seen: &Seen, cut: bool, deadline: Instant) -> Result<(), RuntimeError> {
        let (index, path) = (self.member.index, &self.ready.path);
        let state = self.member.carrier.state().await?;
        let why = match state {
            State::Ended(code) => format!("its container ended with code {code}"),
            State::Created => "its container was not started".to_owned(),
            State::Missing => "its container is gone".to_owned(),
            State::Running if cut && self.member.carrier.out_of_memory().await => {
                let megabytes = self.pool.php.memory >> 20;
                format!(
                    "a process was killed for memory (limit {megabytes} MiB); raise php.memory or lower php.workers"
                )
            }
            State::Running if Instant::now() >= deadline => {
                format!("not ready within {:?}", self.ready.within)
            }
            State::Running => return Ok(()),
        };
        let detail = format!("member {index}, {path}: {why}; last answer: {seen}");
        Err(not_ready(self.pool, self.member, &detail).await)
    }
}

/// What there is to show of the attempts: the last answer, and what came instead of one after it.
#[derive(Default)]
struct Seen {
    answer: Option<Failure>,
    none: Option<Failure>,
}

impl Seen {
    fn note(&mut self, failure: Failure) {
        match failure {
            Failure::Wrong(..) => {
                self.answer = Some(failure);
                self.none = None;
            }
            Failure::None(_) => self.none = Some(failure),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.answer, &self.none) {
            (Some(answer), None) => answer.fmt(f),
            (Some(answer), Some(none)) => write!(f, "{answer}\nand then {none}"),
            (None, Some(none)) => none.fmt(f),
            (None, None) => f.write_str("none"),
        }
    }
}

/// Why one attempt did not count.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("none ({})", stratus_core::fault::chain(.0))]
    None(#[from] FastCgiError),
    #[error("{0} should have answered {1}, but: {excerpt}", excerpt = .2.excerpt())]
    Wrong(&'static str, String, Box<Answer>),
}

impl Failure {
    fn is_cut(&self) -> bool {
        matches!(self, Self::None(FastCgiError::Cut | FastCgiError::Io(_)))
    }
}
