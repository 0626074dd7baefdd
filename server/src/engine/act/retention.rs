//! What is kept of the past: the previous pool warm for a while, older pools not at all, a number of releases.

use std::collections::BTreeSet;

use stratus_core::operation::{Kind, Output, Plan, journal};
use stratus_core::state::PoolRecord;
use stratus_core::{EnvironmentName, EnvironmentState, PoolId, ReleaseId};

use crate::engine::act::{ActError, Machine, Situation, init, target};

impl Machine {
    /// Keeps the previous pool warm, unless requests of it were cut or nothing is to be kept; removes older ones. Tells what
    /// the drain could not tell yet.
    pub(super) async fn park(&self, situation: &Situation<'_>) -> Result<Output, ActError> {
        let plan = situation.plan;
        self.remove_hooks(plan).await?;
        let environment = &plan.environment.name;
        let mut state = self.store.state(environment).await?;
        let warm_ms = u64::try_from(plan.environment.keep.warm.as_millis()).unwrap_or(u64::MAX);
        let was_cut = journal::output(situation.entries, |output| match output {
            Output::Drained { remaining, .. } => Some(*remaining > 0),
            _ => None,
        });
        if warm_ms > 0 && was_cut != Some(true) {
            state.keep_warm(self.clock.now_ms().saturating_add(warm_ms));
            self.store.put_state(environment, &state).await?;
        } else if let Some(previous) = &state.previous {
            let id = PoolId::new(environment, previous.generation);
            self.runtime.stop(&id, init::STOP_GRACE).await?;
        }
        let cuts_late = was_cut == Some(true) && plan.is_undone_after_drain() && !plan.freezes();
        if cuts_late {
            // They went on beside the clear, and may have filled the caches after it. Now they are over.
            self.clear_late(plan).await?;
        }
        self.remove_pools_without_role(plan, &state).await?;
        if plan.freezes() {
            self.open_again(plan).await?;
            return Ok(self.hold(situation).await);
        }
        if cuts_late {
            return Ok(Output::Counted(self.close_tally(plan).await));
        }
        Ok(Output::None)
    }

    async fn remove_pools_without_role(
        &self,
        plan: &Plan,
        state: &EnvironmentState,
    ) -> Result<(), ActError> {
        let environment = &plan.environment.name;
        let keep: BTreeSet<_> = state.generations().collect();
        let mut found: BTreeSet<PoolId> = self
            .store
            .pools(environment)
            .await?
            .into_iter()
            .map(|p| p.id)
            .collect();
        let seen = self.runtime.list().await?;
        found.extend(
            seen.into_iter()
                .map(|m| m.pool)
                .filter(|p| &p.environment == environment),
        );
        for id in found
            .into_iter()
            .filter(|id| !keep.contains(&id.generation))
        {
            self.remove_pool(&id).await?;
        }
        Ok(())
    }

    /// Stops the previous pool if its warm time is still over; removes a standby whose time is, and a pool that still has no
    /// role.
    pub(super) async fn retire(&self, plan: &Plan) -> Result<(), ActError> {
        let environment = &plan.environment.name;
        let id = target(plan)?;
        let mut state = self.store.state(environment).await?;
        let now_ms = self.clock.now_ms();
        let is = |record: &Option<PoolRecord>| {
            record
                .as_ref()
                .is_some_and(|record| record.generation == id.generation)
        };
        if is(&state.previous) {
            if state.warm_until_ms.is_some_and(|until| until > now_ms) {
                return Ok(());
            }
            self.runtime.stop(&id, init::STOP_GRACE).await?;
            state.cool(id.generation);
            return Ok(self.store.put_state(environment, &state).await?);
        }
        if is(&state.standby) {
            if !state.standby_is_over(plan.environment.keep.standby, now_ms) {
                return Ok(());
            }
            state.unstage(id.generation);
            self.store.put_state(environment, &state).await?;
        }
        if is(&state.live) {
            return Ok(());
        }
        self.remove_pool(&id).await
    }

    /// Removes a release if nothing uses it, no task included, and it is not pinned.
    pub(super) async fn reap(&self, plan: &Plan) -> Result<(), ActError> {
        let Kind::Reap { release } = &plan.kind else {
            return Err(ActError::Inconsistent(format!(
                "{} does not reap",
                plan.kind
            )));
        };
        let environment = &plan.environment.name;
        let state = self.store.state(environment).await?;
        let mut kept = self.store.pinned(environment).await?;
        kept.extend(self.releases_of_tasks(environment).await?);
        if state.releases().any(|used| used == release) || kept.contains(release) {
            return Ok(());
        }
        Ok(self.snapshots.remove(environment, release).await?)
    }

    /// The releases that crons, workers and hooks run: a cron that spans a switch finishes on its own.
    pub async fn releases_of_tasks(
        &self,
        environment: &EnvironmentName,
    ) -> Result<Vec<ReleaseId>, ActError> {
        let seen = self.tasks.list().await?;
        let of_environment = seen
            .into_iter()
            .filter(|seen| &seen.id.environment == environment);
        Ok(of_environment.filter_map(|seen| seen.release).collect())
    }
}
