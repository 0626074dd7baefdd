//! Holding crons back for a while.

use std::time::Duration;

use stratus_core::EnvironmentName;
use stratus_core::crons::{CronRun, Lease, Owner, RunState, holding};
use stratus_core::store::{Operation, StoreError};
use tokio::time::{Instant, timeout_at};

use crate::crons::{Crons, millis};

/// What a stop came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Until when crons are held back.
    pub lease: Lease,
    /// What still runs.
    pub running: Vec<CronRun>,
}

impl Crons {
    /// Holds the crons of `environment` back for `time`, and waits until nothing runs, at most `wait`. What runs is left
    /// to end.
    pub async fn stop(
        &self,
        environment: &EnvironmentName,
        owner: &Owner,
        actor: &str,
        time: Duration,
        wait: Duration,
    ) -> Result<Stopped, StoreError> {
        let now_ms = self.inner.clock.now_ms();
        let asked = Lease {
            owner: owner.clone(),
            actor: actor.to_owned(),
            since_ms: now_ms,
            until_ms: now_ms.saturating_add(millis(time)),
        };
        self.inner.store.put_lease(environment, &asked).await?;
        tracing::info!(%environment, %owner, actor, until_ms = asked.until_ms, "crons are stopped");
        let running = self.idle(environment, wait).await?;
        let leases = self.inner.store.leases(environment).await?;
        let stored = leases.into_iter().find(|lease| &lease.owner == owner);
        Ok(Stopped {
            lease: stored.unwrap_or(asked),
            running,
        })
    }

    /// Ends the lease of `owner`. Answers the one that still holds, if one does.
    pub async fn start(
        &self,
        environment: &EnvironmentName,
        owner: &Owner,
    ) -> Result<Option<Lease>, StoreError> {
        self.inner.store.drop_lease(environment, owner).await?;
        tracing::info!(%environment, %owner, "crons are started");
        self.wake();
        self.lease(environment).await
    }

    /// Ends the leases of operations that have ended, or are stuck.
    pub async fn release(&self, environment: &EnvironmentName) -> Result<(), StoreError> {
        self.drop_leases(environment, |operation| operation.outcome.is_none())
            .await
    }

    /// Ends the leases of operations that have ended without: what a user declared done is one of them.
    pub(super) async fn drop_ended(&self, environment: &EnvironmentName) -> Result<(), StoreError> {
        self.drop_leases(environment, |_| true).await
    }

    /// Ends the leases of operations, but for those that are unfinished and that `keeps` accepts.
    async fn drop_leases(
        &self,
        environment: &EnvironmentName,
        keeps: impl Fn(&Operation) -> bool,
    ) -> Result<(), StoreError> {
        // In this order: an operation that begins in between has no lease here yet.
        let leases = self.inner.store.leases(environment).await?;
        let unfinished = self.inner.store.unfinished().await?;
        for lease in leases {
            let Owner::Operation(id) = &lease.owner else {
                continue;
            };
            if !unfinished.iter().any(|o| &o.id == id && keeps(o)) {
                tracing::info!(%environment, operation = %id, "its crons run again");
                self.inner
                    .store
                    .drop_lease(environment, &lease.owner)
                    .await?;
            }
        }
        Ok(())
    }

    /// The lease that holds the crons of `environment` back, the one that ends last.
    pub async fn lease(&self, environment: &EnvironmentName) -> Result<Option<Lease>, StoreError> {
        let leases = self.inner.store.leases(environment).await?;
        Ok(holding(leases, self.inner.clock.now_ms()))
    }

    /// Waits until no run of `environment` runs, at most `wait`; answers what still does.
    pub async fn idle(
        &self,
        environment: &EnvironmentName,
        wait: Duration,
    ) -> Result<Vec<CronRun>, StoreError> {
        let deadline = Instant::now() + wait;
        let mut changed = self.inner.changed.subscribe();
        loop {
            let mut running = self.inner.store.open_runs().await?;
            running.retain(|run| {
                &run.slot.environment == environment && matches!(run.state, RunState::Running(_))
            });
            if running.is_empty() || self.inner.shutdown.is_cancelled() {
                return Ok(running);
            }
            tokio::select! {
                changed = timeout_at(deadline, changed.changed()) => {
                    if changed.is_err() {
                        return Ok(running);
                    }
                }
                () = self.inner.shutdown.cancelled() => return Ok(running),
            }
        }
    }
}

/// Why nothing runs. Shape: `crons are stopped until 2026-11-22T15:04:05Z by crons.stop; run crons.start`.
pub(super) fn reason(lease: &Lease) -> String {
    let until = i64::try_from(lease.until_ms / 1000)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(String::new, |until| format!(" until {until} at the latest"));
    match &lease.owner {
        Owner::User => format!("crons are stopped{until}; crons.start lets them run again"),
        Owner::Operation(id) => {
            format!("crons are stopped{until} by operation {id}, which lets them run again")
        }
    }
}
