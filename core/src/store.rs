//! Where state and journals are kept, as the domain needs it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::cache::{PendingClear, Target};
use crate::environment::Environment;
use crate::fault::{Fault, Faulty};
use crate::operation::{Entry, Event, Outcome, Plan};
use crate::route::RouteTable;
use crate::{
    CronStore, EnvironmentName, EnvironmentState, Generation, OperationId, Pool, PoolId, ReleaseId,
};

/// Durable state. What a method wrote is on disk when it returns.
#[async_trait]
pub trait Store: CronStore {
    /// Records a new operation. The environment is locked by it until [`Store::finish`] with another outcome than stuck.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while another operation of the environment is unfinished. An equal request id of an
    /// operation that is already there answers that operation instead of making a second one.
    async fn begin(&self, operation: &Operation) -> Result<Begun, StoreError>;

    /// Appends an event; returns its number.
    async fn append(
        &self,
        operation: &OperationId,
        at_ms: u64,
        event: &Event,
    ) -> Result<u64, StoreError>;

    /// Appends [`Event::Finished`] and, unless stuck, gives the environment free, in one transaction.
    async fn finish(
        &self,
        operation: &OperationId,
        at_ms: u64,
        outcome: Outcome,
    ) -> Result<u64, StoreError>;

    /// The events after number `after`, in order.
    async fn journal(&self, operation: &OperationId, after: u64) -> Result<Vec<Entry>, StoreError>;

    /// One operation.
    async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError>;

    /// The operation that a request began.
    async fn requested(&self, request: &str) -> Result<Option<Operation>, StoreError>;

    /// The newest operations first, `limit` at most, of one environment or of all.
    async fn operations(
        &self,
        environment: Option<&EnvironmentName>,
        limit: u32,
    ) -> Result<Vec<Operation>, StoreError>;

    /// Operations that are neither completed nor undone, stuck ones included.
    async fn unfinished(&self) -> Result<Vec<Operation>, StoreError>;

    /// The next generation number of an environment. Never the same twice.
    async fn next_generation(
        &self,
        environment: &EnvironmentName,
    ) -> Result<Generation, StoreError>;

    /// The roles of an environment's pools; the default where nothing is stored.
    async fn state(&self, environment: &EnvironmentName) -> Result<EnvironmentState, StoreError>;

    /// Replaces them.
    async fn put_state(
        &self,
        environment: &EnvironmentName,
        state: &EnvironmentState,
    ) -> Result<(), StoreError>;

    /// What a pool was made of.
    async fn pool(&self, id: &PoolId) -> Result<Option<Pool>, StoreError>;

    /// All pools of an environment that were ever made and not forgotten, oldest first.
    async fn pools(&self, environment: &EnvironmentName) -> Result<Vec<Pool>, StoreError>;

    /// Stores what a pool is made of.
    async fn put_pool(&self, pool: &Pool) -> Result<(), StoreError>;

    /// Forgets a pool.
    async fn forget_pool(&self, id: &PoolId) -> Result<(), StoreError>;

    /// The specs, in the order of the configuration.
    async fn environments(&self) -> Result<Vec<Environment>, StoreError>;

    /// Replaces all specs. State of an environment that is no longer named stays.
    async fn put_environments(&self, environments: &[Environment]) -> Result<(), StoreError>;

    /// What nginx was last asked to serve.
    async fn routes(&self) -> Result<RouteTable, StoreError>;

    /// Replaces it.
    async fn put_routes(&self, table: &RouteTable) -> Result<(), StoreError>;

    /// The releases of an environment that are never removed.
    async fn pinned(&self, environment: &EnvironmentName) -> Result<Vec<ReleaseId>, StoreError>;

    /// Pins or unpins a release.
    async fn pin(
        &self,
        environment: &EnvironmentName,
        release: &ReleaseId,
        pin: Pin,
    ) -> Result<(), StoreError>;

    /// What waits to be cleared, of all environments.
    async fn pending_clears(&self) -> Result<Vec<PendingClear>, StoreError>;

    /// Stores what waits for a cache, in the place of what waited before.
    async fn put_pending_clear(&self, pending: &PendingClear) -> Result<(), StoreError>;

    /// Forgets what waits for a cache.
    async fn forget_pending_clear(
        &self,
        environment: &EnvironmentName,
        target: &Target,
    ) -> Result<(), StoreError>;
}

/// Whether a release may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// Never.
    Keep,
    /// When it is old enough.
    Release,
}

/// An operation as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// Chosen by the caller: the same request is the same operation.
    pub request: String,
    /// Who asked. Shape: `uid 0`, `stratusd`.
    pub actor: String,
    /// When, milliseconds since 1970.
    pub created_ms: u64,
    /// When it ended, milliseconds since 1970.
    pub finished_ms: Option<u64>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What it does.
    pub plan: Plan,
}

/// What `begin` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It was recorded.
    New,
    /// The request had been recorded before, as this operation.
    Known(OperationId),
}

/// Why the store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another operation holds the environment.
    #[error("operation {holder} is under way")]
    Busy {
        /// Which one.
        holder: OperationId,
    },
    /// The disk is full.
    #[error("the state folder's disk is full; free some space, then run operations.resume")]
    Full,
    /// What is stored cannot be understood; never guessed at.
    #[error("{detail}")]
    Unreadable {
        /// What and where.
        detail: String,
    },
    /// The database failed.
    #[error("the state database failed: {detail}")]
    Failed {
        /// Its own words.
        detail: String,
    },
}

impl Faulty for StoreError {
    fn fault(&self) -> Fault {
        match self {
            Self::Busy { .. } | Self::Full => Fault::Transient,
            _ => Fault::Permanent,
        }
    }
}
