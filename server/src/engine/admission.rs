//! Admits operations: one per environment, the same request once, a user before the background.

use std::time::Duration;

use stratus_core::operation::plan::{Context, PlanError, Warmth};
use stratus_core::operation::{Event, Kind, Plan};
use stratus_core::store::{Begun, Operation, StoreError};
use stratus_core::{Environment, EnvironmentState, Generation, OperationId, PoolId};

use crate::engine::{ControlError, Engine};

/// How long a user's operation waits for a background one to end: these have one short step.
const YIELD: Duration = Duration::from_mins(1);

/// What is asked.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Chosen by the caller: the same request is the same operation.
    pub request: String,
    /// Of which environment.
    pub environment: Environment,
    /// What.
    pub kind: Kind,
    /// Who asks.
    pub actor: String,
}

/// Why an operation was not admitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Another one holds the environment.
    #[error(
        "{environment} is held by operation {holder} ({kind}, step {step}, for {age_s} s); wait for it, or stop it with operations.cancel {holder}"
    )]
    Held {
        /// The environment.
        environment: String,
        /// The operation that holds it.
        holder: OperationId,
        /// What it does.
        kind: &'static str,
        /// Where it is.
        step: String,
        /// Since when, in seconds.
        age_s: u64,
    },
    /// It is stuck and holds the environment.
    #[error(
        "{environment} is held by operation {holder} ({kind}), which is stuck at step {step}; see operations.show {holder}, then operations.resume or operations.resolve"
    )]
    HeldByStuck {
        /// The environment.
        environment: String,
        /// The operation that holds it.
        holder: OperationId,
        /// What it does.
        kind: &'static str,
        /// Where it is stuck.
        step: String,
    },
    /// The state does not allow it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The server is shutting down.
    #[error("the server is shutting down; try again when it is back")]
    ShuttingDown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    /// Plans, without beginning anything.
    pub async fn plan(&self, submission: &Submission) -> Result<Plan, SubmitError> {
        let environment = &submission.environment.name;
        let state = self.store().state(environment).await?;
        let known = self.store().pools(environment).await?;
        let last = known
            .iter()
            .map(|p| p.id.generation)
            .max()
            .unwrap_or_default();
        self.plan_with(submission, &state, last.next(), new_id())
            .await
    }

    /// Begins an operation and returns it; its executor runs on in the server.
    ///
    /// # Errors
    /// When another operation holds the environment, or the state does not allow it. Then nothing has changed.
    ///
    /// # Idempotence
    /// An equal `request` answers the operation that the first one began.
    pub async fn submit(&self, submission: Submission) -> Result<Operation, SubmitError> {
        if self.inner.shutdown.is_cancelled() {
            return Err(SubmitError::ShuttingDown);
        }
        let environment = &submission.environment.name;
        let deadline = tokio::time::Instant::now() + YIELD;
        let _one_at_a_time = loop {
            self.await_background(&submission, deadline).await?;
            let one_at_a_time = self.inner.admission.lock().await;
            if let Some(known) = self.store().requested(&submission.request).await? {
                return Ok(known);
            }
            match self.holder(environment).await? {
                None => break one_at_a_time,
                // It was admitted while this one waited for its turn.
                Some(holder) if yields(&holder, &submission, deadline) => {}
                Some(holder) => return Err(self.refusal(&holder).await?),
            }
        };
        let state = self.store().state(environment).await?;
        // A plan that cannot be made must not use up a generation number.
        self.plan_with(&submission, &state, Generation::default(), new_id())
            .await?;
        let generation = if submission.kind.makes_generation() {
            self.store().next_generation(environment).await?
        } else {
            Generation::default()
        };
        let plan = self
            .plan_with(&submission, &state, generation, new_id())
            .await?;
        let operation = Operation {
            id: plan.operation.clone(),
            request: submission.request.clone(),
            actor: submission.actor.clone(),
            created_ms: self.inner.clock.now_ms(),
            finished_ms: None,
            outcome: None,
            plan,
        };
        match self.store().begin(&operation).await? {
            Begun::New => {}
            Begun::Known(id) => return self.stored(&id).await,
        }
        tracing::info!(
            operation = %operation.id, kind = %operation.plan.kind, environment = %environment,
            actor = %operation.actor, "admitted"
        );
        self.spawn(operation.clone());
        Ok(operation)
    }

    async fn plan_with(
        &self,
        submission: &Submission,
        state: &EnvironmentState,
        generation: Generation,
        id: OperationId,
    ) -> Result<Plan, SubmitError> {
        let warmth = self.warmth(submission, state).await;
        let options = match &submission.kind {
            Kind::Reinit {
                php_options: Some(options),
                ..
            } => options,
            _ => &state.php_options,
        };
        let environment = submission.environment.clone().with_php_options(options);
        let context = Context {
            environment: &environment,
            state,
            generation,
            warmth,
        };
        Ok(Plan::new(id, submission.kind.clone(), context)?)
    }

    /// Warm means: every member of the previous pool runs. What cannot be told is cold: starting twice is the same as
    /// once.
    async fn warmth(&self, submission: &Submission, state: &EnvironmentState) -> Warmth {
        let (Kind::Rollback, Some(previous)) = (&submission.kind, &state.previous) else {
            return Warmth::Warm;
        };
        let id = PoolId::new(&submission.environment.name, previous.generation);
        let seen = self.inner.runtime.list().await.unwrap_or_default();
        let running = seen.iter().filter(|m| m.pool == id && m.running).count();
        if state.warm_until_ms.is_some() && running >= usize::from(previous.members) {
            Warmth::Warm
        } else {
            Warmth::Cold
        }
    }

    async fn stored(&self, id: &OperationId) -> Result<Operation, SubmitError> {
        let found = self.store().operation(id).await?;
        let missing = || StoreError::Unreadable {
            detail: format!("operation {id} vanished"),
        };
        Ok(found.ok_or_else(missing)?)
    }

    async fn refusal(&self, holder: &Operation) -> Result<SubmitError, StoreError> {
        let entries = self.store().journal(&holder.id, 0).await?;
        let at = entries.iter().rev().find_map(|e| match e.event {
            Event::Started { step, .. } => Some(holder.plan.steps[step].name()),
            _ => None,
        });
        let step = at.unwrap_or("not begun").to_owned();
        let environment = holder.plan.environment.name.to_string();
        let (id, kind) = (holder.id.clone(), holder.plan.kind.name());
        if holder.outcome.is_some() {
            return Ok(SubmitError::HeldByStuck {
                environment,
                holder: id,
                kind,
                step,
            });
        }
        let age_s = self.inner.clock.now_ms().saturating_sub(holder.created_ms) / 1000;
        Ok(SubmitError::Held {
            environment,
            holder: id,
            kind,
            step,
            age_s,
        })
    }

    /// A background operation has one step: a user's waits for it instead of being refused. A stuck one is given up: it
    /// is asked for again when it is due, and must not keep anyone from deploying.
    async fn await_background(
        &self,
        submission: &Submission,
        deadline: tokio::time::Instant,
    ) -> Result<(), SubmitError> {
        if submission.kind.is_background() {
            return Ok(());
        }
        let mut notices = self.feed().watch();
        while let Some(holder) = self.holder(&submission.environment.name).await? {
            if !holder.plan.kind.is_background() {
                break;
            }
            if holder.outcome.is_some() {
                self.give_up(&holder).await?;
            }
            let next = tokio::time::timeout(Duration::from_millis(200), notices.recv());
            // Woken by a notice or by time: either way the store is asked again.
            let _ = tokio::time::timeout_at(deadline, next).await;
            if tokio::time::Instant::now() >= deadline {
                break;
            }
        }
        Ok(())
    }

    async fn give_up(&self, stuck: &Operation) -> Result<(), SubmitError> {
        let (id, kind) = (&stuck.id, &stuck.plan.kind);
        tracing::warn!(operation = %id, %kind, "a stuck background operation yields to a user's");
        match self.resolve(id).await {
            Err(ControlError::Store(error)) => Err(error.into()),
            // Somebody else may have helped it on meanwhile: the store is asked again.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Whether what was asked waits for `holder`, which is in the background, and still has time to.
fn yields(holder: &Operation, asked: &Submission, deadline: tokio::time::Instant) -> bool {
    holder.plan.kind.is_background()
        && !asked.kind.is_background()
        && tokio::time::Instant::now() < deadline
}

fn new_id() -> OperationId {
    let id = uuid::Uuid::now_v7().to_string();
    id.parse().expect("a UUID is a valid operation id")
}
