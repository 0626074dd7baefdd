//! The worker of an environment: runs what waits, one command after the other, and sees each through to its end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use stratus_core::crons::{Began, CronRun, OUTPUT_KEPT, Over, RunEnd, RunState, Turn};
use stratus_core::fault::{Fault, Faulty, chain};
use stratus_core::store::StoreError;
use stratus_core::tasks::{
    Task, TaskCode, TaskEnd, TaskError, TaskId, TaskOutput, TaskRestart, TaskState,
};
use stratus_core::{EnvironmentName, Pool, PoolId};
use tokio::time::{Instant, sleep, timeout};

use crate::crons::{Crons, lease, millis};

/// How long a command has for SIGTERM before SIGKILL, at its time limit.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait before what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long an engine that is away is waited for with what a run that is over wrote.
const OUTPUT_WITHIN: Duration = Duration::from_mins(1);
/// How long its container is tried to be removed before the next run begins; it is swept later.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);

/// The server stops: what is open stays so.
struct ShuttingDown;

impl Crons {
    /// Runs what waits until nothing does.
    pub(super) async fn work(&self, environment: &EnvironmentName) {
        loop {
            match self.next(environment).await {
                Ok(Worked::Something) => {}
                Ok(Worked::Nothing) => {
                    if self.dismiss(environment) {
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
        Ok(match self.clear_away(&id).await {
            Ok(()) => Worked::Something,
            Err(ShuttingDown) => Worked::ShuttingDown,
        })
    }

    async fn end(
        &self,
        id: &TaskId,
        began: &Began,
        task: Option<&Task>,
    ) -> Result<(RunEnd, TaskOutput), ShuttingDown> {
        let mut unanswered = None;
        if let Some(task) = task {
            match self.inner.tasks.start(task).await {
                Ok(_) => {}
                Err(error) if error.fault() == Fault::Permanent => {
                    let reason = chain(&error);
                    return Ok((RunEnd::NotStarted { reason }, TaskOutput::default()));
                }
                // It may have begun all the same: the engine is asked once it answers again.
                Err(error) => {
                    tracing::warn!(task = %id, error = %chain(&error), "a cron's start");
                    unanswered = Some(chain(&error));
                }
            }
        }
        let look = || self.inner.tasks.look(id);
        let end = match self.tried(Duration::MAX, look).await? {
            Ok(TaskState::Running) => self.awaited(id, began).await?,
            Ok(TaskState::Ended(end)) => exit(end),
            Ok(TaskState::Absent | TaskState::NeverStarted) => match unanswered {
                Some(reason) => RunEnd::NotStarted { reason },
                None => RunEnd::Interrupted,
            },
            Err(_) => RunEnd::Interrupted,
        };
        Ok((end, self.written(id).await?))
    }

    /// Waits until a command that runs has ended, or its time is over: then it is stopped.
    async fn awaited(&self, id: &TaskId, began: &Began) -> Result<RunEnd, ShuttingDown> {
        let tasks = &self.inner.tasks;
        let spent = self.inner.clock.now_ms().saturating_sub(began.at_ms);
        let left = Duration::from_millis(began.limit_ms.saturating_sub(spent));
        let state = tokio::select! {
            state = self.tried(Duration::MAX, || tasks.wait(id)) => Some(state?),
            () = sleep(left) => None,
        };
        match state {
            Some(Ok(TaskState::Ended(end))) => return Ok(exit(end)),
            Some(_) => return Ok(RunEnd::Interrupted),
            None => {}
        }
        self.tried(Duration::MAX, || tasks.stop(id, GRACE))
            .await?
            .ok();
        // An engine that was away may tell only now that it had ended by itself.
        let limit_ms = began.at_ms.saturating_add(began.limit_ms);
        Ok(match self.tried(Duration::MAX, || tasks.look(id)).await? {
            Ok(TaskState::Ended(end)) if end.ended_ms < limit_ms => exit(end),
            _ => RunEnd::TimedOut,
        })
    }

    /// What a run that is over wrote; nothing where the engine does not tell it in time.
    async fn written(&self, id: &TaskId) -> Result<TaskOutput, ShuttingDown> {
        let output = || self.inner.tasks.output(id, OUTPUT_KEPT);
        let output = self.tried(OUTPUT_WITHIN, output).await?;
        Ok(output.unwrap_or_else(|error| {
            tracing::warn!(task = %id, error = %chain(&error), "what a cron wrote is lost");
            TaskOutput::default()
        }))
    }

    /// Removes the container of a run that is over, or leaves it to be swept: the next run does not wait for that.
    async fn clear_away(&self, id: &TaskId) -> Result<(), ShuttingDown> {
        let remove = || self.inner.tasks.remove(id);
        let removed = timeout(REMOVED_WITHIN, self.tried(REMOVED_WITHIN, remove)).await;
        let why = match removed {
            Ok(Err(ShuttingDown)) => return Err(ShuttingDown),
            Ok(Ok(Ok(()))) => return Ok(()),
            Ok(Ok(Err(error))) => chain(&error),
            Err(_) => format!("not within {} s", REMOVED_WITHIN.as_secs()),
        };
        tracing::warn!(task = %id, why, "a cron's container is not removed");
        self.inner.leftovers.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Calls until the engine answers, or has not for `limit`.
    async fn tried<T, F>(
        &self,
        limit: Duration,
        call: impl Fn() -> F,
    ) -> Result<Result<T, TaskError>, ShuttingDown>
    where
        F: Future<Output = Result<T, TaskError>>,
    {
        let since = Instant::now();
        let mut tries: u32 = 0;
        loop {
            let answer = tokio::select! {
                answer = call() => answer,
                () = self.inner.shutdown.cancelled() => return Err(ShuttingDown),
            };
            match answer {
                Err(error) if error.fault() == Fault::Transient && since.elapsed() < limit => {
                    tries = tries.saturating_add(1);
                    // Now and then: it may be so for hours, and nobody else tells of it.
                    if tries.is_power_of_two() {
                        tracing::warn!(tries, error = %chain(&error), "crons wait for the engine");
                    }
                    self.pause().await?;
                }
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

fn exit(end: TaskEnd) -> RunEnd {
    RunEnd::Exit {
        code: end.exit,
        out_of_memory: end.out_of_memory,
    }
}

/// What a look at the runs of an environment came to.
enum Worked {
    Something,
    Nothing,
    ShuttingDown,
}
