//! The engine: admits operations, one per environment, and carries them out step by step.
//!
//! ```text
//! submit ──► admission ──► store.begin ──► executor task ──► finish
//!                │                            │  ▲
//!             refused                  decide ┘  └ act (the only place that calls the traits)
//! ```
//!
//! Start-up and recovery are the same call, [`Engine::recover`]: it restores what is live and goes on with every
//! operation that is unfinished.

pub mod act;
pub mod admission;
pub mod executor;
pub mod failpoint;
pub mod feed;
pub mod journal;
pub mod restore;
pub mod route;

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stratus_core::operation::{Entry, Event, Outcome, decide};
use stratus_core::store::{Operation, StoreError};
use stratus_core::{EnvironmentName, OperationId, Runtime, Store};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::engine::act::Actor;
use crate::engine::executor::Executor;
use crate::engine::feed::Feed;
use crate::engine::journal::Journal;

/// How long an executor may take from writing down its end to being gone.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Carries out operations.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    runtime: Arc<dyn Runtime>,
    actor: Actor,
    journal: Journal,
    clock: Arc<dyn Clock>,
    /// Serialises admissions, and help for what is stuck: looking and recording are one act.
    admission: tokio::sync::Mutex<()>,
    /// The operations that have an executor.
    running: Mutex<HashMap<OperationId, Running>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// An executor at work.
#[derive(Debug, Clone, Default)]
struct Running {
    /// Asks it to unwind.
    cancel: CancellationToken,
    /// Set when it is gone.
    gone: CancellationToken,
}

/// Why an operation could not be followed, cancelled, resumed or resolved.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No such operation.
    #[error("there is no operation {0}; operations.list shows those there are")]
    Unknown(OperationId),
    /// It has ended.
    #[error("operation {0} has already ended")]
    Ended(OperationId),
    /// It is past the point of no return.
    #[error("operation {0} is past its point of no return; it will complete by itself")]
    Committed(OperationId),
    /// It is stuck: there is nothing that could stop.
    #[error(
        "operation {0} is stuck; see operations.show {0}, then operations.resume or operations.resolve"
    )]
    Stuck(OperationId),
    /// It is not stuck.
    #[error("operation {0} is not stuck")]
    NotStuck(OperationId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    /// An engine over `store` that acts through `actor`. It stops between steps when `shutdown` is cancelled.
    pub fn new(
        store: Arc<dyn Store>,
        runtime: Arc<dyn Runtime>,
        actor: Actor,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Self {
        let journal = Journal::new(store.clone(), clock.clone(), Feed::new());
        let inner = Inner {
            store,
            runtime,
            actor,
            journal,
            clock,
            admission: tokio::sync::Mutex::new(()),
            running: Mutex::default(),
            tasks: TaskTracker::new(),
            shutdown,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The store it works on.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// Where events and progress are announced.
    pub fn feed(&self) -> &Feed {
        self.inner.journal.feed()
    }

    /// The operation that holds `environment`, stuck ones included.
    pub async fn holder(
        &self,
        environment: &EnvironmentName,
    ) -> Result<Option<Operation>, StoreError> {
        let unfinished = self.inner.store.unfinished().await?;
        Ok(unfinished
            .into_iter()
            .find(|o| &o.plan.environment.name == environment))
    }

    /// Goes on with every unfinished operation that is not stuck. Called once, at start-up.
    pub async fn recover(&self) -> Result<(), StoreError> {
        for operation in self.inner.store.unfinished().await? {
            if operation.outcome.is_none() {
                tracing::info!(operation = %operation.id, kind = %operation.plan.kind, "going on");
                self.spawn(operation);
            }
        }
        Ok(())
    }

    /// Asks an operation to stop and be undone.
    ///
    /// # Errors
    /// When it has ended, or is past its point of no return.
    pub async fn cancel(&self, id: &OperationId) -> Result<(), ControlError> {
        let operation = self.find(id).await?;
        if operation.finished_ms.is_some() {
            return Err(ControlError::Ended(id.clone()));
        }
        let entries = self.inner.store.journal(id, 0).await?;
        if decide::is_committed(&operation.plan, &entries) {
            return Err(ControlError::Committed(id.clone()));
        }
        if operation.outcome.is_some() {
            return Err(ControlError::Stuck(id.clone()));
        }
        self.inner
            .journal
            .append(id, &Event::CancelRequested)
            .await?;
        let entries = self.inner.store.journal(id, 0).await?;
        let ended = |e: &Entry| matches!(e.event, Event::Finished { .. });
        if entries.iter().any(ended) {
            return Err(ControlError::Ended(id.clone()));
        }
        if !decide::is_cancelled(&operation.plan, &entries) {
            return Err(ControlError::Committed(id.clone()));
        }
        if let Some(running) = self.running().get(id) {
            running.cancel.cancel();
        }
        Ok(())
    }

    /// Tries a stuck operation's step again.
    pub async fn resume(&self, id: &OperationId) -> Result<(), ControlError> {
        let _one_at_a_time = self.inner.admission.lock().await;
        let (operation, _) = self.stuck(id).await?;
        self.inner.journal.append(id, &Event::Resumed).await?;
        self.spawn(operation);
        Ok(())
    }

    /// Takes a stuck operation's step as settled by hand, and goes on.
    pub async fn resolve(&self, id: &OperationId) -> Result<(), ControlError> {
        let _one_at_a_time = self.inner.admission.lock().await;
        let (operation, (step, direction)) = self.stuck(id).await?;
        self.inner
            .journal
            .append(id, &Event::Resolved { step, direction })
            .await?;
        self.spawn(operation);
        Ok(())
    }

    /// Waits until every executor has stopped: between two steps after a shutdown.
    pub async fn stopped(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    async fn find(&self, id: &OperationId) -> Result<Operation, ControlError> {
        let found = self.inner.store.operation(id).await?;
        found.ok_or_else(|| ControlError::Unknown(id.clone()))
    }

    async fn stuck(
        &self,
        id: &OperationId,
    ) -> Result<(Operation, (usize, stratus_core::operation::Direction)), ControlError> {
        let operation = self.find(id).await?;
        let Some(Outcome::Stuck { step, direction }) = operation.outcome else {
            return Err(ControlError::NotStuck(id.clone()));
        };
        // Its executor has only its own entry left to remove: who saw the end and answers at once is not told that it runs.
        let gone = self.running().get(id).map(|running| running.gone.clone());
        if let Some(gone) = gone {
            let waited = tokio::time::timeout(LAST_WORDS, gone.cancelled()).await;
            waited.map_err(|_| ControlError::NotStuck(id.clone()))?;
        }
        Ok((operation, (step, direction)))
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<OperationId, Running>> {
        self.inner
            .running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Starts the executor of `operation`. The task owns the operation until it ends or the server stops.
    fn spawn(&self, operation: Operation) {
        let running = Running::default();
        let Running { cancel, gone } = running.clone();
        match self.running().entry(operation.id.clone()) {
            // The executor that is there goes on, and keeps the token that a cancel reaches it by.
            hash_map::Entry::Occupied(_) => return,
            hash_map::Entry::Vacant(place) => place.insert(running),
        };
        let engine = self.clone();
        let executor = Executor {
            actor: self.inner.actor.clone(),
            journal: self.inner.journal.clone(),
            clock: self.inner.clock.clone(),
            cancel,
            shutdown: self.inner.shutdown.clone(),
        };
        self.inner.tasks.spawn(async move {
            let ended = executor.run(&operation).await;
            engine.running().remove(&operation.id);
            gone.cancel();
            match ended {
                Ok(Some(outcome)) => tracing::info!(
                    operation = %operation.id, kind = %operation.plan.kind, outcome = outcome.name(), "ended"
                ),
                Ok(None) => tracing::info!(operation = %operation.id, "paused for shutdown"),
                Err(error) => tracing::error!(
                    operation = %operation.id, error = %stratus_core::fault::chain(&error),
                    "the journal cannot be written; the operation waits for the next start"
                ),
            }
        });
    }
}
