//! What a run has counted so far.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::failure::{Class, Example, Failure};
use super::histogram::Histogram;
use super::mix::RequestKind;

/// Failures kept in full, of each class.
const EXAMPLES: usize = 20;

/// The two ways to use connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientKind {
    /// Keeps its connection as long as the server does.
    KeepAlive,
    /// Opens a connection for each request, and says so in it.
    OneShot,
}

impl ClientKind {
    /// Every kind, in the order of the report.
    pub const ALL: [Self; 2] = [Self::KeepAlive, Self::OneShot];

    /// The kind's name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::OneShot => "one-shot",
        }
    }
}

/// The figures of a run. Always `requests == answered_php + answered_static + failed`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests that have ended, in an answer or a failure.
    pub requests: u64,
    /// Answered as expected, with an `X-Stratus-Generation`: by PHP.
    pub answered_php: u64,
    /// Answered as expected, without it: by nginx alone.
    pub answered_static: u64,
    /// Not answered as expected.
    pub failed: u64,
    /// Those among `answered_php` by generation.
    pub generations: BTreeMap<u32, u64>,
    /// Connections opened.
    pub connections: u64,
    /// Kept-alive connections found closed *before* a request was written. No failure.
    pub reconnects: u64,
    /// Those among `failed` that ended without a byte of answer on a connection that had worked before.
    pub raced: u64,
}

/// A request that has ended.
pub(crate) struct Ended<'a> {
    pub(crate) client: ClientKind,
    pub(crate) kind: RequestKind,
    pub(crate) path: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) reused: bool,
    pub(crate) raced: bool,
    pub(crate) since_start: Duration,
    pub(crate) began: Instant,
    /// The generation of the answer, or none where it was static.
    pub(crate) outcome: Result<Option<u32>, Failure>,
}

/// Figures of one kind of request or client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    pub(crate) requests: u64,
    pub(crate) answered_php: u64,
    pub(crate) answered_static: u64,
    pub(crate) failed: u64,
    pub(crate) latency: Histogram,
}

/// Everything counted, whole and in parts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    pub(crate) latency: Histogram,
    pub(crate) requests: [Part; RequestKind::ALL.len()],
    pub(crate) clients: [Part; ClientKind::ALL.len()],
    pub(crate) failures: BTreeMap<Class, (u64, Vec<Example>)>,
}

impl Tally {
    pub(crate) fn record(&mut self, ended: Ended<'_>) {
        let latency = ended.began.elapsed();
        self.requests[ended.kind as usize].record(&ended.outcome, latency);
        self.clients[ended.client as usize].record(&ended.outcome, latency);
        self.counts.requests += 1;
        match ended.outcome {
            Ok(generation) => {
                self.latency.record(latency);
                match generation {
                    Some(generation) => {
                        self.counts.answered_php += 1;
                        *self.counts.generations.entry(generation).or_default() += 1;
                    }
                    None => self.counts.answered_static += 1,
                }
            }
            Err(failure) => {
                self.counts.failed += 1;
                self.counts.raced += u64::from(ended.raced);
                let (count, examples) = self.failures.entry(failure.class).or_default();
                *count += 1;
                if examples.len() < EXAMPLES {
                    examples.push(Example {
                        path: ended.path.to_owned(),
                        client: ended.client.name(),
                        reused: ended.reused,
                        since_start_ms: u64::try_from(ended.since_start.as_millis())
                            .unwrap_or(u64::MAX),
                        nonce: ended.nonce.to_owned(),
                        detail: failure.detail,
                    });
                }
            }
        }
    }
}

impl Part {
    fn record(&mut self, outcome: &Result<Option<u32>, Failure>, latency: Duration) {
        self.requests += 1;
        match outcome {
            Ok(Some(_)) => self.answered_php += 1,
            Ok(None) => self.answered_static += 1,
            Err(_) => self.failed += 1,
        }
        if outcome.is_ok() {
            self.latency.record(latency);
        }
    }
}
