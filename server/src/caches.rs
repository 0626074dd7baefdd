//! Clears caches: one worker a cache, which tries until the cache is clear, and never in anybody's way.
//!
//! ```text
//! ask ──► stored, joined with what waits ──► worker: rate ► try (10 s) ──► cleared: forgotten
//!                                              ▲               │
//!                                              └── backoff ◄── failed: stored with its reason
//! ```
//!
//! What waits for a cache is one set, however often it is asked for, so nothing here grows. It is stored before anybody is
//! told that it was taken, and goes on after a restart.

mod bucket;
mod pace;
mod slot;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use stratus_core::cache::{
    Cleaner, ClearError, ClearReport, ClearState, Outer, PendingClear, Scope, Target,
};
use stratus_core::store::StoreError;
use stratus_core::{Environment, EnvironmentName, Store};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::caches::slot::Slot;
use crate::clock::Clock;

/// Which cache of which environment.
type Key = (EnvironmentName, Target);

/// Clears caches, in order, in the background.
#[derive(Clone)]
pub struct Clearing {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    cleaner: Arc<dyn Cleaner>,
    clock: Arc<dyn Clock>,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// A cache that is not clear yet, and when it is tried next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What waits.
    pub pending: PendingClear,
    /// How long until the next try; zero while one is under way.
    pub next: Duration,
}

impl Clearing {
    /// Workers that speak through `cleaner`, keep what waits in `store`, and stop at `shutdown`.
    pub fn new(
        store: Arc<dyn Store>,
        cleaner: Arc<dyn Cleaner>,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                cleaner,
                clock,
                slots: Mutex::default(),
                tasks: TaskTracker::new(),
                shutdown,
            }),
        }
    }

    /// Goes on with what an earlier process left.
    pub async fn recover(&self) -> Result<(), StoreError> {
        for pending in self.inner.store.pending_clears().await? {
            tracing::info!(environment = %pending.environment, cache = %pending.target, "going on to clear");
            let slot = self.slot(&(pending.environment.clone(), pending.target.clone()));
            slot.restore(pending).await;
            self.work(&slot).await;
        }
        Ok(())
    }

    /// Clears `targets`, inner before outer, and tells how each fared; what is not clear after its first try, or at the
    /// limit, goes on in the background.
    ///
    /// # Errors
    /// When it cannot be stored what is to be cleared. A cache that fails is no error.
    pub async fn clear(
        &self,
        environment: &Environment,
        mut targets: Vec<Target>,
        scope: &Scope,
        limit: Duration,
    ) -> Result<Vec<ClearReport>, StoreError> {
        let deadline = Instant::now() + limit;
        targets.sort();
        targets.dedup();
        let outermost = targets.last().map(Target::place);
        let mut reports = Vec::new();
        for place in targets.chunk_by(|a, b| a.place() == b.place()) {
            let began = Instant::now();
            let is_outermost = place.first().map(Target::place) == outermost;
            let outer = if is_outermost {
                Outer::Leave
            } else {
                Outer::IfLate
            };
            let mut asked = Vec::new();
            for target in place {
                let key = (environment.name.clone(), target.clone());
                asked.push(self.ask(key, scope, outer).await?);
            }
            let waits = asked
                .iter()
                .map(|(slot, ticket)| self.outcome(slot, *ticket, began, deadline));
            reports.extend(join_all(waits).await);
        }
        Ok(reports)
    }

    /// Clears all caches that a change of generation concerns, inner before outer, in the background.
    ///
    /// # Errors
    /// When it cannot be stored what is to be cleared.
    pub async fn clear_later(
        &self,
        environment: &Environment,
        scope: &Scope,
    ) -> Result<(), StoreError> {
        let targets = Target::after_a_switch(&environment.caches);
        let innermost = targets.chunk_by(|a, b| a.place() == b.place()).next();
        for target in innermost.unwrap_or_default() {
            let key = (environment.name.clone(), target.clone());
            self.ask(key, scope, Outer::Always).await?;
        }
        Ok(())
    }

    /// What of `environment` is not clear yet, in the order of clearing.
    pub async fn waiting(&self, environment: &EnvironmentName) -> Vec<Waiting> {
        let slots: Vec<_> = self.slots().values().cloned().collect();
        let mut waiting = Vec::new();
        for slot in slots
            .iter()
            .filter(|slot| slot.environment() == environment)
        {
            waiting.extend(slot.waiting().await);
        }
        waiting.sort_by(|a, b| a.pending.target.cmp(&b.pending.target));
        waiting
    }

    /// Whether a provider has done what it gave `receipt` for.
    pub async fn is_done(
        &self,
        environment: &Environment,
        target: &Target,
        receipt: &str,
    ) -> Result<bool, ClearError> {
        self.inner
            .cleaner
            .is_done(environment, target, receipt)
            .await
    }

    /// Waits until every worker has stopped, after a shutdown.
    pub async fn stopped(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Stores that a cache is to be cleared, and sees to it that somebody does. Answers the ticket of this wish.
    async fn ask(
        &self,
        key: Key,
        scope: &Scope,
        outer: Outer,
    ) -> Result<(Arc<Slot>, u64), StoreError> {
        let pending = PendingClear {
            environment: key.0.clone(),
            target: key.1.clone(),
            scope: scope.clone().within(&key.1),
            reference: uuid::Uuid::now_v7().to_string(),
            since_ms: self.inner.clock.now_ms(),
            tries: 0,
            error: String::new(),
            outer,
        };
        let slot = self.slot(&key);
        let ticket = slot.add(pending, self.inner.store.as_ref()).await?;
        self.work(&slot).await;
        Ok((slot, ticket))
    }

    async fn outcome(
        &self,
        slot: &Slot,
        ticket: u64,
        began: Instant,
        deadline: Instant,
    ) -> ClearReport {
        let tried = tokio::select! {
            tried = timeout_at(deadline, slot.tried(ticket)) => tried.ok(),
            () = self.inner.shutdown.cancelled() => None,
        };
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (state, error, receipt) = match tried {
            Some(Ok(cleared)) => (ClearState::Cleared, String::new(), cleared.receipt),
            Some(Err(error)) => (ClearState::Pending, error, None),
            None => {
                let waits = "it waits for its turn".to_owned();
                (ClearState::Pending, waits, None)
            }
        };
        ClearReport {
            target: slot.target().clone(),
            state,
            ms,
            error,
            receipt,
        }
    }

    fn slot(&self, key: &Key) -> Arc<Slot> {
        let fresh = || Arc::new(Slot::new(key.clone()));
        self.slots()
            .entry(key.clone())
            .or_insert_with(fresh)
            .clone()
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.inner
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the worker of `slot` if it has none. The task owns the slot's tries until nothing waits any more.
    async fn work(&self, slot: &Arc<Slot>) {
        if slot.employ().await {
            let worker = self.clone().worker(slot.clone());
            self.inner.tasks.spawn(worker);
        }
    }

    /// Boxed: a worker asks for other caches to be cleared, which starts workers.
    fn worker(self, slot: Arc<Slot>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.attend(&slot).await })
    }
}

#[cfg(test)]
mod tests;
