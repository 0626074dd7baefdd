//! What a run is asked to do. Every figure has a limit.

use std::time::Duration;

use super::mix::Mix;
use super::target::Target;

/// The most clients of one run.
pub(crate) const MAX_CLIENTS: usize = 4096;
/// The longest run: a day.
pub(crate) const MAX_LIMIT: Duration = Duration::from_hours(24);
/// The longest time for one request: an hour.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_hours(1);
const DEFAULT_LIMIT: Duration = Duration::from_secs(30);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a plan cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nobody to send anything.
    #[error("no clients: give --keepalive or --oneshot a number above 0")]
    NoClients,
    /// More than the limit.
    #[error("{0} clients are too many: {MAX_CLIENTS} at most")]
    TooManyClients(usize),
    /// Longer than the limit.
    #[error("a run of {} s is too long: a day at most", .0.as_secs())]
    TooLong(Duration),
    /// Zero, or longer than the limit.
    #[error("{} ms is no time for one request: 1 ms to 1 h", .0.as_millis())]
    Timeout(Duration),
    /// Requests a second out of range.
    #[error("a rate of {0} requests a second is out of range: 1 to 1000000")]
    Rate(u32),
    /// A host name that cannot stand in a header.
    #[error("`{0}` is not a host name")]
    Host(String),
}

/// Where to send what, from how many clients, for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) target: Target,
    pub(crate) mix: Mix,
    pub(crate) host: String,
    pub(crate) keepalive: usize,
    pub(crate) oneshot: usize,
    pub(crate) limit: Duration,
    pub(crate) requests: Option<u64>,
    pub(crate) rate: Option<u32>,
    pub(crate) timeout: Duration,
}

impl Plan {
    /// Plans one keep-alive client for 30 s, with 30 s for each request.
    pub fn new(target: Target, mix: Mix) -> Self {
        Self {
            target,
            mix,
            host: target.address().to_string(),
            keepalive: 1,
            oneshot: 0,
            limit: DEFAULT_LIMIT,
            requests: None,
            rate: None,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Sends this `Host` header instead of the target's address.
    #[must_use]
    pub fn host(self, host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            ..self
        }
    }

    /// Runs so many clients that keep their connection.
    #[must_use]
    pub fn keepalive(self, keepalive: usize) -> Self {
        Self { keepalive, ..self }
    }

    /// Runs so many clients that open a connection for each request.
    #[must_use]
    pub fn oneshot(self, oneshot: usize) -> Self {
        Self { oneshot, ..self }
    }

    /// Begins no request after this time; the run ends one request's time later at the latest.
    #[must_use]
    pub fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Begins no more requests than this.
    #[must_use]
    pub fn requests(self, requests: u64) -> Self {
        Self {
            requests: Some(requests),
            ..self
        }
    }

    /// Begins at most so many requests a second, evenly spaced, all clients together.
    #[must_use]
    pub fn rate(self, per_second: u32) -> Self {
        Self {
            rate: Some(per_second),
            ..self
        }
    }

    /// Gives each request this long, from the connect to the last byte.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub(crate) fn validate(self) -> Result<Self, PlanError> {
        let clients = self.keepalive.saturating_add(self.oneshot);
        let visible = self.host.bytes().all(|byte| byte.is_ascii_graphic());
        match () {
            () if clients == 0 => Err(PlanError::NoClients),
            () if clients > MAX_CLIENTS => Err(PlanError::TooManyClients(clients)),
            () if self.limit > MAX_LIMIT => Err(PlanError::TooLong(self.limit)),
            () if self.timeout < Duration::from_millis(1) || self.timeout > MAX_TIMEOUT => {
                Err(PlanError::Timeout(self.timeout))
            }
            () if self
                .rate
                .is_some_and(|rate| !(1..=1_000_000).contains(&rate)) =>
            {
                Err(PlanError::Rate(self.rate.unwrap_or_default()))
            }
            () if self.host.is_empty() || !visible => Err(PlanError::Host(self.host)),
            () => Ok(self),
        }
    }
}
