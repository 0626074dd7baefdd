//! The worker of an environment: runs what waits, one command after the other, and sees each through to its end.

use std::time::Duration;

use stratus_core::crons::{Began, CronRun, OUTPUT_KEPT, Over, RunEnd, RunState, Turn};
use stratus_core::fault::{Fault, Faulty, chain};
use stratus_core::store::StoreError;
use stratus_core::tasks::{Task, TaskCode, TaskError, TaskId, TaskOutput, TaskRestart, TaskState};
use stratus_core::{EnvironmentName, Pool, PoolId};
use tokio::time::sleep;

use crate::crons::{Crons, lease, millis};

/// How long a command has for SIGTERM before SIGKILL, at its time limit.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait before what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The server stops: what is open stays so.
struct ShuttingDown;

impl Crons {
    /// Runs what waits until nothing does.
    pub(super) async fn work(self, environment: EnvironmentName) {
        loop {
            match self.next(&environment).await {
                Ok(Worked::Something) => {}
                Ok(Worked::Nothing) => {
                    if self.dismiss(&environment) {
                        return;
                    }
                }
                Ok(Worked::ShuttingDown) => return,
                Err(error) => {
                    tracing::error!(%environment, error = %chain(&error), "crons do not go on");
                    if self.pause().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn next(&self, environment: &EnvironmentName) -> Result<Worked, StoreError> {
        if self.inner.shutdown.is_cancelled() {
            return Ok(Worked::ShuttingDown);
        }
        let mut open = self.inner.store.open_runs().await?;
        open.retain(|run| &run.slot.environment == environment);
        let running = open.iter().find_map(|run| match &run.state {
            RunState::Running(began) => Some((run, began)),
            _ => None,
        });
        if let Some((run, began)) = running {
            tracing::info!(slot = %run.slot, "going on with a cron");
            return self.see_through(run, began, None).await;
        }
        match open.first() {
            Some(waiting) => self.begin(waiting).await,
            None => Ok(Worked::Nothing),
        }
    }

    async fn begin(&self, run: &CronRun) -> Result<Worked, StoreError> {
        let (task, limit) = match self.task(run).await? {
            Ok(task) => task,
            Err(why) => {
                self.skip(run, why).await?;
                return Ok(Worked::Something);
            }
        };
        let began = Began {
            at_ms: self.inner.clock.now_ms(),
            release: task.pool.release.clone(),
            limit_ms: millis(limit),
        };
        match self.inner.store.begin_run(&run.slot, &began).await? {
            Turn::Begun => {
                self.inner.changed.send_replace(());
                self.see_through(run, &began, Some(&task)).await
            }
            Turn::Held(lease) => {
                self.skip(run, &lease::reason(&lease)).await?;
                Ok(Worked::Something)
            }
            Turn::Taken | Turn::Gone => Ok(Worked::Something),
        }
    }

    /// What runs, and how long it may; why nothing does.
    async fn task(
        &self,
        run: &CronRun,
    ) -> Result<Result<(Task, Duration), &'static str>, StoreError> {
        let environments = self.inner.store.environments().await?;
        let environment = environments
            .iter()
            .find(|environment| environment.name == run.slot.environment);
        let cron = environment
            .and_then(|environment| environment.crons.iter().find(|c| c.name == run.slot.cron));
        let Some(cron) = cron else {
            return Ok(Err("it is no longer configured"));
        };
        let Some(pool) = self.live(&run.slot.environment).await? else {
            return Ok(Err("nothing is live"));
        };
        let Ok(id) = run.slot.task() else {
            return Ok(Err("its name is none"));
        };
        let task = Task {
            id,
            pool,
            code: TaskCode::Release,
            argv: cron.run.clone(),
            restart: TaskRestart::Never,
            grace: GRACE,
        };
        Ok(Ok((task, cron.timeout)))
    }

    async fn live(&self, environment: &EnvironmentName) -> Result<Option<Pool>, StoreError> {
        let store = &self.inner.store;
        match store.state(environment).await?.live {
            Some(live) => store.pool(&PoolId::new(environment, live.generation)).await,
            None => Ok(None),
        }
    }

    /// Waits for the end of a run that is stored as running, and stores it. A `task` is started first.
    async fn see_through(
        &self,
        run: &CronRun,
        began: &Began,
        task: Option<&Task>,
    ) -> Result<Worked, StoreError> {
        let Ok(id) = run.slot.task() else {
            self.skip(run, "its name is none").await?;
            return Ok(Worked::Something);
        };
        let Ok((end, output)) = self.end(&id, began, task).await else {
            return Ok(Worked::ShuttingDown);
        };
        tracing::info!(slot = %run.slot, ?end, "cron ended");
        let over = CronRun {
            state: RunState::Over(Over {
                began: began.clone(),
                ended_ms: self.inner.clock.now_ms(),
                end,
                output: output.text,
                cut: output.cut,
            }),
            ..run.clone()
        };
        self.inner.store.end_run(&over).await?;
        self.inner.changed.send_replace(());
        let removed = self.tried(|| self.inner.tasks.remove(&id)).await;
        Ok(match removed {
            Ok(_) => Worked::Something,
            Err(ShuttingDown) => Worked::ShuttingDown,
        })
    }

    async fn end(
        &self,
        id: &TaskId,
        began: &Began,
        task: Option<&Task>,
    ) -> Result<(RunEnd, TaskOutput), ShuttingDown> {
        if let Some(task) = task {
            match self.inner.tasks.start(task).await {
                Ok(_) => {}
                Err(error) if error.fault() == Fault::Permanent => {
                    self.tried(|| self.inner.tasks.remove(id)).await?.ok();
                    let reason = chain(&error);
                    return Ok((RunEnd::NotStarted { reason }, TaskOutput::default()));
                }
                // It may have begun all the same: the engine is asked once it answers again.
                Err(error) => tracing::warn!(task = %id, error = %chain(&error), "a cron's start"),
            }
        }
        let looked = self.tried(|| self.inner.tasks.look(id)).await?;
        if !matches!(looked, Ok(TaskState::Running)) {
            return self.ended(id, looked).await;
        }
        let spent = self.inner.clock.now_ms().saturating_sub(began.at_ms);
        let left = Duration::from_millis(began.limit_ms.saturating_sub(spent));
        let state = tokio::select! {
            state = self.tried(|| self.inner.tasks.wait(id)) => Some(state?),
            () = sleep(left) => None,
        };
        if let Some(state) = state {
            return self.ended(id, state).await;
        }
        self.tried(|| self.inner.tasks.stop(id, GRACE)).await?.ok();
        Ok((RunEnd::TimedOut, self.written(id).await?))
    }

    async fn ended(
        &self,
        id: &TaskId,
        state: Result<TaskState, TaskError>,
    ) -> Result<(RunEnd, TaskOutput), ShuttingDown> {
        let end = match state {
            Ok(TaskState::Ended(end)) => RunEnd::Exit {
                code: end.exit,
                out_of_memory: end.out_of_memory,
            },
            _ => RunEnd::Interrupted,
        };
        Ok((end, self.written(id).await?))
    }

    async fn written(&self, id: &TaskId) -> Result<TaskOutput, ShuttingDown> {
        let output = self
            .tried(|| self.inner.tasks.output(id, OUTPUT_KEPT))
            .await?;
        Ok(output.unwrap_or_default())
    }

    /// Calls until the engine answers.
    async fn tried<T, F>(&self, call: impl Fn() -> F) -> Result<Result<T, TaskError>, ShuttingDown>
    where
        F: Future<Output = Result<T, TaskError>>,
    {
        loop {
            let answer = tokio::select! {
                answer = call() => answer,
                () = self.inner.shutdown.cancelled() => return Err(ShuttingDown),
            };
            match answer {
                Err(error) if error.fault() == Fault::Transient => self.pause().await?,
                answer => return Ok(answer),
            }
        }
    }

    async fn pause(&self) -> Result<(), ShuttingDown> {
        tokio::select! {
            () = sleep(RETRY) => Ok(()),
            () = self.inner.shutdown.cancelled() => Err(ShuttingDown),
        }
    }
}

/// What a look at the runs of an environment came to.
enum Worked {
    Something,
    Nothing,
    ShuttingDown,
}
