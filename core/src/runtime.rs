//! The engine that runs pools, as the domain needs it.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::environment::Ready;
use crate::fault::{Fault, Faulty};
use crate::{OperationId, Pool, PoolId};

/// Creates, starts, asks, drains and stops the members of pools.
///
/// Every call reads "ensure": twice is the same as once, and what is already gone is not an error. A call that is
/// dropped before it answered may still take effect in the engine: callers await it, always.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// The digest of `reference`, after a check that the engine has it and that `fpm` can be run in it.
    async fn image(&self, reference: &str, fpm: &str) -> Result<String, RuntimeError>;

    /// Creates the generation's folder and the members' containers, not started. A container of the same name and
    /// pool is adopted, whichever operation made it.
    async fn create(&self, pool: &Pool, operation: &OperationId) -> Result<(), RuntimeError>;

    /// Starts every member; one that somebody removed is created again.
    async fn start(&self, pool: &Pool) -> Result<(), RuntimeError>;

    /// Waits until every member answers the FPM ping and `ready.path` with `ready.status`, `ready.successes` times in a
    /// row, within `ready.within`.
    async fn ready(&self, pool: &Pool, host: &str, ready: &Ready) -> Result<(), RuntimeError>;

    /// Fetches `path` on every member, once.
    async fn warm(&self, pool: &Pool, host: &str, path: &str) -> Result<(), RuntimeError>;

    /// Sets whether the engine restarts the members by itself: the live pool's only.
    async fn set_restart(&self, pool: &Pool, restart: Restart) -> Result<(), RuntimeError>;

    /// Waits until no member holds a request, queued or running, at most `limit`. Members that no longer run hold none.
    async fn drain(&self, pool: &Pool, limit: Duration) -> Result<Drained, RuntimeError>;

    /// Stops every process of the members in its tracks: what connects to them waits.
    async fn freeze(&self, pool: &PoolId) -> Result<(), RuntimeError>;

    /// Lets them go on.
    async fn thaw(&self, pool: &PoolId) -> Result<(), RuntimeError>;

    /// Stops every member: SIGQUIT, and SIGKILL only after `grace`. The containers stay.
    async fn stop(&self, pool: &PoolId, grace: Duration) -> Result<(), RuntimeError>;

    /// Stops and removes every container of the pool and its folder.
    async fn remove(&self, pool: &PoolId) -> Result<(), RuntimeError>;

    /// All members of this installation that the engine knows.
    async fn list(&self) -> Result<Vec<Observed>, RuntimeError>;
}

/// Whether the engine restarts a container by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// After a crash, an engine restart and a reboot.
    Always,
    /// Never.
    Never,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Requests still running at the limit: they will be cut.
    pub remaining: u64,
}

/// A member as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Its pool.
    pub pool: PoolId,
    /// Counted from 0.
    pub index: u16,
    /// Whether it runs.
    pub running: bool,
    /// The operation that created it.
    pub operation: Option<OperationId>,
}

/// Why the engine did not do it.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The engine does not answer, or answered with a failure of its own that may pass.
    #[error("the container engine does not answer: {detail}")]
    Unavailable {
        /// What was tried and what came back.
        detail: String,
    },
    /// The engine does not have the image.
    #[error("image {image:?} is not on this engine; build or pull it there first")]
    NoImage {
        /// As configured.
        image: String,
    },
    /// The image has no such program.
    #[error("image {image:?} has no program {fpm:?}; name its FPM in php.fpm")]
    NoFpm {
        /// As configured.
        image: String,
        /// As configured.
        fpm: String,
    },
    /// A pool did not become ready.
    #[error("{pool} did not become ready: {detail}")]
    NotReady {
        /// Which pool.
        pool: PoolId,
        /// The last answer, and the container's last log lines.
        detail: String,
    },
    /// The request was refused.
    #[error("{detail}")]
    Refused {
        /// What was refused and why.
        detail: String,
    },
    /// A file of the generation could not be written or read.
    #[error("{detail}")]
    Io {
        /// What was tried.
        detail: String,
        /// What came back.
        #[source]
        source: std::io::Error,
    },
}

impl Faulty for RuntimeError {
    fn fault(&self) -> Fault {
        match self {
            Self::Unavailable { .. } => Fault::Transient,
            _ => Fault::Permanent,
        }
    }
}
