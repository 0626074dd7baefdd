//! Steps that fail, run twice, or are wrong on purpose: wrappers around the real ones.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use stratus_core::Store;
use stratus_core::fault::Fault;
use stratus_core::operation::{Direction, Output, Step};
use stratus_core::state::PoolRecord;
use stratus_server::engine::act::{Act, ActError, Actor, Situation};
use tokio::sync::Semaphore;

use crate::laws::tap::Side;

/// Enough failures to use up any number of tries.
pub const FOR_EVER: u32 = u32::MAX;

/// Which step fails, when and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fail {
    /// Which step.
    pub step: Step,
    /// Its apply or its undo.
    pub direction: Direction,
    /// Before or after its effect.
    pub side: Side,
    /// Whether it may pass.
    pub fault: Fault,
    /// How often, then it succeeds.
    pub times: u32,
}

/// Fails as told.
pub struct Failing {
    inner: Actor,
    fail: Fail,
    left: AtomicU32,
}

impl Failing {
    /// `inner`, failing as `fail` says.
    pub fn new(inner: Actor, fail: Fail) -> Self {
        Self {
            inner,
            fail,
            left: AtomicU32::new(fail.times),
        }
    }

    /// It does not fail any more.
    pub fn heal(&self) {
        self.left.store(0, Ordering::Relaxed);
    }

    fn strikes(&self, step: Step, direction: Direction, side: Side) -> Result<(), ActError> {
        let fail = self.fail;
        if (fail.step, fail.direction, fail.side) != (step, direction, side) {
            return Ok(());
        }
        let less = |left: u32| left.checked_sub(1);
        let spent = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        match spent {
            Err(_) => Ok(()),
            Ok(_) => Err(ActError::Injected {
                message: "failed on purpose",
                fault: fail.fault,
            }),
        }
    }
}

#[async_trait]
impl Act for Failing {
    async fn apply(&self, step: Step, situation: &Situation<'_>) -> Result<Output, ActError> {
        self.strikes(step, Direction::Forward, Side::Before)?;
        let output = self.inner.apply(step, situation).await?;
        self.strikes(step, Direction::Forward, Side::After)?;
        Ok(output)
    }

    async fn undo(&self, step: Step, situation: &Situation<'_>) -> Result<(), ActError> {
        self.strikes(step, Direction::Back, Side::Before)?;
        self.inner.undo(step, situation).await?;
        self.strikes(step, Direction::Back, Side::After)
    }

    async fn gave_up(&self, situation: &Situation<'_>) {
        self.inner.gave_up(situation).await;
    }
}

/// Does everything twice.
pub struct Twice(pub Actor);

#[async_trait]
impl Act for Twice {
    async fn apply(&self, step: Step, situation: &Situation<'_>) -> Result<Output, ActError> {
        self.0.apply(step, situation).await?;
        self.0.apply(step, situation).await
    }

    async fn undo(&self, step: Step, situation: &Situation<'_>) -> Result<(), ActError> {
        self.0.undo(step, situation).await?;
        self.0.undo(step, situation).await
    }

    async fn gave_up(&self, situation: &Situation<'_>) {
        self.0.gave_up(situation).await;
    }
}

/// Holds every application of a step until it is opened.
pub struct Gate {
    inner: Actor,
    step: Step,
    waiting: Semaphore,
    open: Semaphore,
}

impl Gate {
    /// `inner`, held at `step`.
    pub fn at(step: Step, inner: Actor) -> Arc<Self> {
        Arc::new(Self {
            inner,
            step,
            waiting: Semaphore::new(0),
            open: Semaphore::new(0),
        })
    }

    /// Waits until `count` operations are held at once.
    ///
    /// # Panics
    /// When that does not happen.
    pub async fn reached(&self, count: u32) {
        let all = self.waiting.acquire_many(count);
        let held = tokio::time::timeout(Duration::from_mins(10), all).await;
        let held = held.expect("the step is reached");
        held.expect("a gate is never closed for good").forget();
    }

    /// Lets `count` of them pass.
    pub fn open(&self, count: usize) {
        self.open.add_permits(count);
    }
}

#[async_trait]
impl Act for Gate {
    async fn apply(&self, step: Step, situation: &Situation<'_>) -> Result<Output, ActError> {
        if step == self.step {
            self.waiting.add_permits(1);
            tokio::select! {
                passed = self.open.acquire() => passed.expect("a gate is never closed for good").forget(),
                () = situation.cancel.cancelled() => return Err(ActError::Cancelled),
            }
        }
        self.inner.apply(step, situation).await
    }

    async fn undo(&self, step: Step, situation: &Situation<'_>) -> Result<(), ActError> {
        self.inner.undo(step, situation).await
    }

    async fn gave_up(&self, situation: &Situation<'_>) {
        self.inner.gave_up(situation).await;
    }
}

/// Seeded: takes a step that failed for one without effect.
pub struct TrustsFailures {
    inner: Actor,
    failed: Mutex<Option<Step>>,
}

impl TrustsFailures {
    /// `inner`, whose failed steps are not undone.
    pub fn new(inner: Actor) -> Self {
        Self {
            inner,
            failed: Mutex::default(),
        }
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Option<Step>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Act for TrustsFailures {
    async fn apply(&self, step: Step, situation: &Situation<'_>) -> Result<Output, ActError> {
        let applied = self.inner.apply(step, situation).await;
        *self.failed() = applied.is_err().then_some(step);
        applied
    }

    async fn undo(&self, step: Step, situation: &Situation<'_>) -> Result<(), ActError> {
        let failed = *self.failed();
        if failed == Some(step) {
            return Ok(());
        }
        self.inner.undo(step, situation).await
    }

    async fn gave_up(&self, situation: &Situation<'_>) {
        self.inner.gave_up(situation).await;
    }
}

/// Seeded: a second promotion makes the live pool its own predecessor.
pub struct NaivePromote {
    /// The real steps.
    pub inner: Actor,
    /// Where the roles are.
    pub store: Arc<dyn Store>,
}

#[async_trait]
impl Act for NaivePromote {
    async fn apply(&self, step: Step, situation: &Situation<'_>) -> Result<Output, ActError> {
        let plan = situation.plan;
        let (Step::Promote, Some(id)) = (step, plan.pool()) else {
            return self.inner.apply(step, situation).await;
        };
        let name = &plan.environment.name;
        let before = self.store.state(name).await?;
        let output = self.inner.apply(step, situation).await?;
        let mut after = self.store.state(name).await?;
        after.previous = before.live;
        after.live = after.live.map(|live| PoolRecord {
            generation: id.generation,
            ..live
        });
        self.store.put_state(name, &after).await?;
        Ok(output)
    }

    async fn undo(&self, step: Step, situation: &Situation<'_>) -> Result<(), ActError> {
        self.inner.undo(step, situation).await
    }

    async fn gave_up(&self, situation: &Situation<'_>) {
        self.inner.gave_up(situation).await;
    }
}
