//! What a run found, as values.

use std::time::Duration;

use serde::Serialize;

use super::failure::{Class, Example};
use super::histogram::Latency;
use super::mix::RequestKind;
use super::tally::{ClientKind, Counts, Part, Tally};

/// Whether a run that is reported is still going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    Finished,
}

/// What a run proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every request was answered as it should be, and there was at least one.
    Passed,
    /// At least one request was not.
    Failed,
    /// No request ended at all, which proves nothing and is no success.
    NothingSent,
}

/// The figures of a run, or of a run so far.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// False for a snapshot.
    pub finished: bool,
    /// What the figures prove.
    pub verdict: Verdict,
    /// How long the run took, or has taken.
    pub elapsed_ms: u64,
    /// Requests that were begun and have not ended. Zero once finished.
    pub in_flight: u64,
    /// The figures.
    #[serde(flatten)]
    pub counts: Counts,
    /// Of all answered requests.
    pub latency: Latency,
    /// One line a kind of request that was sent.
    pub by_request: Vec<RequestLine>,
    /// One line a kind of client that sent.
    pub by_client: Vec<ClientLine>,
    /// One line a class of failure that was seen.
    pub failures: Vec<FailureLine>,
}

/// The figures of one kind of request.
#[derive(Debug, Clone, Serialize)]
pub struct RequestLine {
    /// The kind.
    pub kind: RequestKind,
    /// Requests that have ended.
    pub requests: u64,
    /// Answered by PHP.
    pub answered_php: u64,
    /// Answered without PHP.
    pub answered_static: u64,
    /// Not answered as expected.
    pub failed: u64,
    /// Of those answered.
    pub latency: Latency,
}

/// The figures of one kind of client.
#[derive(Debug, Clone, Serialize)]
pub struct ClientLine {
    /// `keep-alive` or `one-shot`.
    pub client: &'static str,
    /// Requests that have ended.
    pub requests: u64,
    /// Not answered as expected.
    pub failed: u64,
}

/// The failures of one class.
#[derive(Debug, Clone, Serialize)]
pub struct FailureLine {
    /// The class's name, without the status.
    #[serde(rename = "class", serialize_with = "class_name")]
    pub class: Class,
    /// The status, for the two classes that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How many.
    pub count: u64,
    /// The first twenty.
    pub examples: Vec<Example>,
}

impl Report {
    pub(crate) fn new(tally: &Tally, phase: Phase, elapsed: Duration, in_flight: u64) -> Self {
        let counts = tally.counts.clone();
        let verdict = match (counts.requests, counts.failed) {
            (0, _) => Verdict::NothingSent,
            (_, 0) => Verdict::Passed,
            _ => Verdict::Failed,
        };
        let sent = |part: &&Part| part.requests > 0;
        let requests = RequestKind::ALL.iter().zip(&tally.requests);
        let clients = ClientKind::ALL.iter().zip(&tally.clients);
        Self {
            finished: phase == Phase::Finished,
            verdict,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            in_flight,
            counts,
            latency: tally.latency.latency(),
            by_request: requests
                .filter(|(_, part)| sent(part))
                .map(|(&kind, part)| RequestLine {
                    kind,
                    requests: part.requests,
                    answered_php: part.answered_php,
                    answered_static: part.answered_static,
                    failed: part.failed,
                    latency: part.latency.latency(),
                })
                .collect(),
            by_client: clients
                .filter(|(_, part)| sent(part))
                .map(|(kind, part)| ClientLine {
                    client: kind.name(),
                    requests: part.requests,
                    failed: part.failed,
                })
                .collect(),
            failures: tally
                .failures
                .iter()
                .map(|(&class, (count, examples))| FailureLine {
                    class,
                    status: class.status(),
                    count: *count,
                    examples: examples.clone(),
                })
                .collect(),
        }
    }

    /// How many requests failed in this way.
    pub fn failed_as(&self, class: Class) -> u64 {
        self.failures
            .iter()
            .filter(|line| line.class == class)
            .map(|line| line.count)
            .sum()
    }

    /// The report as one line of JSON.
    ///
    /// # Panics
    ///
    /// Never: every key is a string or a number.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("every key is a string or a number")
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn class_name<S: serde::Serializer>(class: &Class, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(class.name())
}
