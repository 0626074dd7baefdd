//! The steps of `init` and `abort`: make a pool ready beside the live one, or drop it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stratus_core::operation::{Output, Plan, journal};
use stratus_core::snapshots::{Take, Verify};
use stratus_core::{Pool, PoolId, ReleaseId};

use crate::engine::act::fetch::code_tree;
use crate::engine::act::{ActError, Machine, Situation, host, target};
use crate::engine::feed::Notice;

/// How long members of a pool that never served have for SIGQUIT.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

impl Machine {
    /// An older standby is stale from now on: a script that ignores a failed init must not switch to it.
    pub(super) async fn reserve(&self, plan: &Plan) -> Result<(), ActError> {
        let Some(generation) = plan.stale else {
            return Ok(());
        };
        let environment = &plan.environment.name;
        let mut state = self.store.state(environment).await?;
        state.unstage(generation);
        self.store.put_state(environment, &state).await?;
        self.remove_pool(&PoolId::new(environment, generation))
            .await
    }

    pub(super) async fn preflight(&self, plan: &Plan) -> Result<Output, ActError> {
        let php = &plan.environment.php;
        let image = self.runtime.image(&php.image, &php.fpm).await?;
        let forecast = self
            .snapshots
            .preflight(&plan.environment, code_tree(plan), plan.base.as_ref())
            .await?;
        Ok(Output::Checked { image, forecast })
    }

    pub(super) async fn snapshot(&self, situation: &Situation<'_>) -> Result<Output, ActError> {
        let plan = situation.plan;
        let cancel = Arc::new(AtomicBool::new(false));
        let feed = situation.feed.clone();
        let operation = plan.operation.clone();
        let take = Take {
            environment: &plan.environment,
            tree: code_tree(plan),
            operation: &plan.operation,
            base: plan.base.as_ref(),
            verify: plan.kind.verify().unwrap_or(Verify::Metadata),
            progress: Arc::new(move |counts| {
                feed.announce(Notice::Progress(operation.clone(), counts));
            }),
            cancel: cancel.clone(),
        };
        let taking = self.snapshots.take(take);
        tokio::pin!(taking);
        let snapshot = tokio::select! {
            taken = &mut taking => taken?,
            () = situation.cancel.cancelled() => {
                cancel.store(true, Ordering::Relaxed);
                taking.await?
            }
        };
        Ok(Output::Copied(snapshot))
    }

    pub(super) async fn create(&self, situation: &Situation<'_>) -> Result<(), ActError> {
        let plan = situation.plan;
        let missing = |what| ActError::Inconsistent(format!("the journal has no {what}"));
        let image = journal::image(situation.entries).ok_or_else(|| missing("image"))?;
        let snapshot = journal::snapshot(situation.entries).ok_or_else(|| missing("release"))?;
        let pool = pool(plan, target(plan)?, image, &snapshot.release);
        self.store.put_pool(&pool).await?;
        Ok(self.runtime.create(&pool, &plan.operation).await?)
    }

    pub(super) async fn start(&self, plan: &Plan) -> Result<(), ActError> {
        Ok(self.runtime.start(&self.target_pool(plan).await?).await?)
    }

    pub(super) async fn await_ready(&self, situation: &Situation<'_>) -> Result<(), ActError> {
        let plan = situation.plan;
        let pool = self.target_pool(plan).await?;
        tokio::select! {
            ready = self.runtime.ready(&pool, host(plan), &plan.environment.ready) => Ok(ready?),
            () = situation.cancel.cancelled() => Err(ActError::Cancelled),
        }
    }

    pub(super) async fn warm(&self, situation: &Situation<'_>) -> Result<(), ActError> {
        let plan = situation.plan;
        let pool = self.target_pool(plan).await?;
        for path in &plan.environment.warm {
            tokio::select! {
                warmed = self.runtime.warm(&pool, host(plan), path) => warmed?,
                () = situation.cancel.cancelled() => return Err(ActError::Cancelled),
            }
        }
        Ok(())
    }

    pub(super) async fn stage(&self, plan: &Plan) -> Result<(), ActError> {
        let record = self.record(&self.target_pool(plan).await?);
        let mut state = self.store.state(&plan.environment.name).await?;
        state.stage(record);
        Ok(self.store.put_state(&plan.environment.name, &state).await?)
    }

    pub(super) async fn unstage(&self, plan: &Plan) -> Result<(), ActError> {
        let mut state = self.store.state(&plan.environment.name).await?;
        state.unstage(target(plan)?.generation);
        Ok(self.store.put_state(&plan.environment.name, &state).await?)
    }

    pub(super) async fn discard(&self, plan: &Plan) -> Result<(), ActError> {
        self.remove_pool(&target(plan)?).await
    }

    /// Removes a pool's members and folder, then forgets it: in this order, so that a crash between leaves it known.
    pub(super) async fn remove_pool(&self, id: &PoolId) -> Result<(), ActError> {
        self.runtime.remove(id).await?;
        Ok(self.store.forget_pool(id).await?)
    }
}

/// The pool that `plan` makes, under `id`.
pub(super) fn pool(plan: &Plan, id: PoolId, image: &str, release: &ReleaseId) -> Pool {
    let environment = &plan.environment;
    Pool {
        id,
        release: release.clone(),
        image: image.to_owned(),
        members: plan
            .target
            .as_ref()
            .map_or(environment.replicas.min, |t| t.members),
        php: environment.php.clone(),
        code_access: environment.code_access,
        code: environment.code.clone(),
        shared: environment.shared.clone(),
        links: environment.links.clone(),
        docroot: environment.docroot.clone(),
        front: environment.front.clone(),
        upload_limit: environment.upload_limit,
        sessions: environment.sessions.clone(),
    }
}
