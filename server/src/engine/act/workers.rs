//! Workers: commands that run all the time, of the live release and of no other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use stratus_core::environment::Worker;
use stratus_core::fault::{Fault, Faulty, chain};
use stratus_core::operation::Plan;
use stratus_core::tasks::{ObservedTask, Task, TaskCode, TaskId, TaskName, TaskRestart};
use stratus_core::{Environment, EnvironmentName, Pool, PoolId};
use tokio::sync::OwnedMutexGuard;

use crate::engine::act::{ActError, Machine, target};

/// What the tasks of workers are for.
const PURPOSE: &str = "worker";
/// How long a worker has for SIGTERM that is configured no more.
const GRACE: Duration = Duration::from_mins(1);
/// How often a start that is refused is tried within a round.
const TRIES: u32 = 3;
/// How many environments' workers are looked at at once.
const AT_ONCE: usize = 8;

/// Serialises changes of the workers of one environment.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<Mutex<HashMap<EnvironmentName, Arc<Turn>>>>);

type Turn = tokio::sync::Mutex<()>;

impl Turns {
    /// Waits for the turn of whoever asks; it ends when the guard is dropped.
    async fn turn(&self, environment: &EnvironmentName) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody waits for a turn that only this map knows.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(environment.clone()).or_default().clone()
        };
        turn.lock_owned().await
    }
}

impl Machine {
    /// Moves the workers to the pool that traffic was moved to: the old ones end first.
    pub(super) async fn move_workers(&self, plan: &Plan) -> Result<(), ActError> {
        let pool = self.known_pool(&target(plan)?).await?;
        let _turn = self.workers.turn(&plan.environment.name).await;
        self.settle_workers(&plan.environment, Some(&pool)).await
    }

    /// Stops the workers.
    pub(super) async fn halt_workers(&self, plan: &Plan) -> Result<(), ActError> {
        let _turn = self.workers.turn(&plan.environment.name).await;
        self.settle_workers(&plan.environment, None).await
    }

    /// Makes the workers again those of the pool that served when the operation was planned.
    pub(super) async fn restore_workers(&self, plan: &Plan) -> Result<(), ActError> {
        let pool = match plan.origin_pool() {
            Some(id) => Some(self.known_pool(&id).await?),
            None => None,
        };
        let _turn = self.workers.turn(&plan.environment.name).await;
        self.settle_workers(&plan.environment, pool.as_ref()).await
    }

    /// Makes the workers of every environment that no operation holds those of its live pool; stops all others.
    pub async fn restore_all_workers(&self) -> Result<(), ActError> {
        let environments = self.store.environments().await?;
        // One environment's failure, or a worker of it that takes its time to end, does not keep the others' down.
        let settled = environments.iter().map(|e| self.try_live_workers(e));
        let settled: Vec<_> = settled.collect();
        futures_util::stream::iter(settled)
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
        self.end_strange_workers().await
    }

    async fn try_live_workers(&self, environment: &Environment) {
        if let Err(error) = self.settle_live_workers(environment).await {
            let environment = &environment.name;
            tracing::warn!(%environment, error = %chain(&error), "its workers are not as they should be");
        }
    }

    /// Ends the workers of environments that are configured no more.
    async fn end_strange_workers(&self) -> Result<(), ActError> {
        let seen = self.tasks.list().await?;
        let environments = self.store.environments().await?;
        let is_known = |name: &EnvironmentName| environments.iter().any(|e| &e.name == name);
        let strange = seen
            .iter()
            .filter(|seen| seen.id.name.purpose() == PURPOSE && !is_known(&seen.id.environment));
        let ended = strange.map(|seen| async {
            let _turn = self.workers.turn(&seen.id.environment).await;
            self.end_worker(&[], seen).await
        });
        try_join_all(ended).await?;
        Ok(())
    }

    async fn settle_live_workers(&self, environment: &Environment) -> Result<(), ActError> {
        let _turn = self.workers.turn(&environment.name).await;
        let unfinished = self.store.unfinished().await?;
        let name = &environment.name;
        if unfinished
            .iter()
            .any(|held| &held.plan.environment.name == name)
        {
            return Ok(());
        }
        let pool = match self.store.state(&environment.name).await?.live {
            Some(live) => {
                let id = PoolId::new(&environment.name, live.generation);
                Some(self.known_pool(&id).await?)
            }
            None => None,
        };
        self.settle_workers(environment, pool.as_ref()).await
    }

    /// Makes the workers of `environment` those of `pool`, or none.
    async fn settle_workers(
        &self,
        environment: &Environment,
        pool: Option<&Pool>,
    ) -> Result<(), ActError> {
        let workers = &environment.workers;
        let wanted = pool.map(|pool| workers.iter().map(|worker| task(pool, worker)));
        let wanted: Vec<Task> = wanted.into_iter().flatten().collect::<Result<_, _>>()?;
        let seen = self.tasks.list().await?;
        let old = seen.iter().filter(|seen| {
            seen.id.environment == environment.name
                && seen.id.name.purpose() == PURPOSE
                && !wanted.iter().any(|task| task.id == seen.id)
        });
        try_join_all(old.map(|seen| self.end_worker(workers, seen))).await?;
        for task in &wanted {
            self.begin_worker(task).await?;
        }
        Ok(())
    }

    /// Starts a worker. One that an engine refuses which answers otherwise is told of and no failure: the site works
    /// without it, and the next round tries again.
    async fn begin_worker(&self, task: &Task) -> Result<(), ActError> {
        for _ in 0..TRIES {
            let Err(error) = self.tasks.start(task).await else {
                return Ok(());
            };
            if error.fault() == Fault::Transient {
                self.tasks.list().await?;
            }
            tracing::error!(worker = %task.id, error = %chain(&error), "a worker does not start");
        }
        // Nothing of it is left behind that runs later, when nobody looks.
        if let Err(error) = self.tasks.remove(&task.id).await {
            tracing::warn!(worker = %task.id, error = %chain(&error), "a worker is not removed");
        }
        Ok(())
    }

    async fn end_worker(&self, workers: &[Worker], seen: &ObservedTask) -> Result<(), ActError> {
        let known = workers
            .iter()
            .find(|worker| seen.id.name.as_str().split('.').nth(1) == Some(&worker.name));
        let grace = known.map_or(GRACE, |worker| worker.grace);
        tracing::info!(worker = %seen.id, "a worker ends");
        self.tasks.stop(&seen.id, grace).await?;
        for _ in 0..2 {
            match self.tasks.remove(&seen.id).await {
                // It does not run: what is left of it is in nobody's way, and the next round removes it.
                Err(error) if error.fault() == Fault::Permanent => {
                    tracing::warn!(worker = %seen.id, error = %chain(&error), "a worker is not removed");
                }
                removed => return Ok(removed?),
            }
        }
        Ok(())
    }
}

/// The task of a worker in the release of `pool`. Shape of its name: `worker.queue.g42`.
fn task(pool: &Pool, worker: &Worker) -> Result<Task, ActError> {
    let name = format!("{PURPOSE}.{}.g{}", worker.name, pool.id.generation.0);
    let name: TaskName = name
        .parse()
        .map_err(|error| ActError::Inconsistent(format!("{error}")))?;
    Ok(Task {
        id: TaskId::new(&pool.id.environment, name),
        pool: pool.clone(),
        code: TaskCode::Release,
        argv: worker.run.clone(),
        restart: TaskRestart::Always,
        grace: worker.grace,
    })
}
