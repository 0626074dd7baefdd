//! The engine as the domain's `Tasks`: one container a task, found again by its name and its labels.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum};
use jiff::Timestamp;
use stratus_core::fault::chain;
use stratus_core::runtime::RuntimeError;
use stratus_core::tasks::{
    Begun, OUTPUT_MAX, ObservedTask, Task, TaskEnd, TaskError, TaskId, TaskOutput, TaskRestart,
    TaskState, Tasks,
};
use stratus_core::{Fault, Faulty};
use tokio::time::{Instant, sleep, timeout};

use super::engine::Engine;
use super::error::EngineError;
use super::labels::{self, Labels};
use super::members::has_label;
use super::pools::Pools;
use super::task::TaskContainer;
use crate::fpm::task as folder;

/// How long a name may be taken by a request that is still being carried out.
const TAKEN_LIMIT: Duration = Duration::from_secs(10);
const TAKEN_PAUSE: Duration = Duration::from_millis(50);
/// How long one question for a task's end may stay open.
const WAIT_SLICE: Duration = Duration::from_mins(4);
/// How often an engine that is away is asked again.
const WAIT_RETRY: Duration = Duration::from_secs(1);
/// Lines of output that are read.
const OUTPUT_LINES: u32 = 10_000;

/// Tasks on one engine. Cheap to clone.
#[derive(Clone)]
pub struct DockerTasks {
    pools: Arc<Pools>,
}

/// What stands under a task's name.
enum Standing {
    Nothing,
    /// The task.
    Known {
        running: bool,
        /// Made of the same values.
        same: bool,
    },
}

impl DockerTasks {
    /// Tasks beside these pools: the same engine, data folder and network.
    pub(crate) fn new(pools: Arc<Pools>) -> Self {
        Self { pools }
    }

    fn engine(&self) -> &Engine {
        &self.pools.engine
    }

    fn container(&self, id: &TaskId) -> String {
        id.container(self.pools.layout.installation())
    }

    /// Creates and starts, or adopts.
    async fn ensure(&self, task: &Task) -> Result<Begun, TaskError> {
        let specification = specification(task)?;
        let deadline = Instant::now() + TAKEN_LIMIT;
        loop {
            match self.standing(&task.id, &specification).await? {
                Standing::Known { .. } if task.restart == TaskRestart::Never => {
                    return Ok(Begun::Known);
                }
                Standing::Known {
                    running,
                    same: true,
                } => {
                    if !running {
                        self.begin(task).await?;
                    }
                    return Ok(Begun::Known);
                }
                Standing::Known { same: false, .. } => {
                    self.end(&task.id, task.grace).await?;
                    self.discard(&task.id).await?;
                }
                Standing::Nothing => {}
            }
            match self.create(task, &specification).await {
                // Somebody else's start of the same task is under way: the engine gives a name away before it shows
                // the container.
                Err(CreateError::Engine(EngineError::Conflict { .. }))
                    if Instant::now() < deadline =>
                {
                    sleep(TAKEN_PAUSE).await;
                }
                Err(CreateError::Engine(error)) => return Err(error.into()),
                Err(CreateError::Task(error)) => return Err(error),
                Ok(()) => {
                    self.begin(task).await?;
                    return Ok(Begun::New);
                }
            }
        }
    }

    async fn create(&self, task: &Task, specification: &str) -> Result<(), CreateError> {
        let image = self.engine().image(&task.pool.image).await;
        let image = image.map_err(|error| CreateError::Task(sorted(&error)))?;
        let network = self.pools.ensure_network().await?;
        let (layout, written) = (self.pools.layout.clone(), task.clone());
        let written = tokio::task::spawn_blocking(move || folder::ensure(&layout, &written)).await;
        let refused = |detail| CreateError::Task(TaskError::Refused { detail });
        written
            .map_err(|ended| refused(ended.to_string()))?
            .map_err(|error| refused(chain(&error)))?;
        let container = TaskContainer {
            layout: &self.pools.layout,
            task,
            network: &network,
            image_scan_dir: image.scan_dir.as_deref(),
        };
        if let Some(volume) = container.volume() {
            let lower = crate::fpm::generation::release(&self.pools.layout, &task.pool);
            let overlay = folder::overlay(&self.pools.layout, &task.id);
            let labels = labels::of_task(self.pools.layout.installation(), &task.id);
            self.engine()
                .create_overlay(&volume, &lower, &overlay, labels)
                .await?;
        }
        let body = container.body(specification)?;
        let expected = container.expected();
        self.engine()
            .create_checked(&container.name(), body, &expected)
            .await?;
        Ok(())
    }

    async fn begin(&self, task: &Task) -> Result<(), TaskError> {
        Ok(self.engine().start(&self.container(&task.id)).await?)
    }

    /// What stands under the task's name.
    async fn standing(&self, id: &TaskId, specification: &str) -> Result<Standing, TaskError> {
        let Some(found) = self.found(id).await? else {
            return Ok(Standing::Nothing);
        };
        Ok(Standing::Known {
            same: has_label(&found, labels::SPECIFICATION, specification),
            running: found.state.is_some_and(|s| s.running == Some(true)),
        })
    }

    /// The task's container, if there is one and it is ours.
    async fn found(&self, id: &TaskId) -> Result<Option<ContainerInspectResponse>, TaskError> {
        let name = self.container(id);
        let found = match self.engine().inspect(&name).await {
            Err(EngineError::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        let asked = labels::of_task(self.pools.layout.installation(), id);
        if asked.iter().all(|(k, v)| has_label(&found, k, v)) {
            return Ok(Some(found));
        }
        let detail = format!("a container named {name} is not ours; rename or remove it");
        Err(TaskError::Refused { detail })
    }

    async fn end(&self, id: &TaskId, grace: Duration) -> Result<(), TaskError> {
        if self.found(id).await?.is_some() {
            self.engine().stop(&self.container(id), grace).await?;
        }
        Ok(())
    }

    /// Removes container, volume and folder, in this order: a crash between leaves what the next try finds.
    async fn discard(&self, id: &TaskId) -> Result<(), TaskError> {
        if self.found(id).await?.is_some() {
            self.engine().discard(&self.container(id)).await?;
        }
        let labels = labels::of_task(self.pools.layout.installation(), id);
        for volume in self.engine().volumes(&labels).await? {
            self.engine().remove_volume(&volume).await?;
        }
        let (layout, id) = (self.pools.layout.clone(), id.clone());
        let removed = tokio::task::spawn_blocking(move || folder::remove(&layout, &id)).await;
        let refused = |detail| TaskError::Refused { detail };
        removed
            .map_err(|ended| refused(ended.to_string()))?
            .map_err(|error| refused(chain(&error)))
    }

    /// Carries out a change of a task when it is its turn, to its end, whether or not anybody awaits it.
    async fn change<T, F>(&self, id: &TaskId, act: impl FnOnce(Self) -> F) -> Result<T, TaskError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, TaskError>> + Send + 'static,
    {
        let mut turns = self.pools.tasks.lock().await;
        // Nobody waits for a turn that only this map knows.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        let turn = turns.entry(id.clone()).or_default().clone();
        drop(turns);
        let turn = turn.lock_owned().await;
        let act = act(self.clone());
        let carried_out = tokio::spawn(async move {
            let _turn = turn;
            act.await
        });
        carried_out.await.unwrap_or_else(|ended| {
            Err(TaskError::Refused {
                detail: format!("the act ended early: {ended}"),
            })
        })
    }
}

#[async_trait]
impl Tasks for DockerTasks {
    async fn start(&self, task: &Task) -> Result<Begun, TaskError> {
        let owned = task.clone();
        self.change(&task.id, |tasks| async move { tasks.ensure(&owned).await })
            .await
    }

    async fn look(&self, id: &TaskId) -> Result<TaskState, TaskError> {
        let found = self.found(id).await?;
        Ok(found.map_or(TaskState::Absent, |found| {
            state(&found.state.unwrap_or_default())
        }))
    }

    async fn wait(&self, id: &TaskId) -> Result<TaskState, TaskError> {
        let name = self.container(id);
        loop {
            match self.look(id).await {
                Ok(TaskState::Running) => {}
                Err(error) if error.fault() == Fault::Transient => {
                    sleep(WAIT_RETRY).await;
                    continue;
                }
                over => return over,
            }
            // Whatever is answered, the task is looked at again: only that tells how it stands.
            if let Ok(Err(_)) = timeout(WAIT_SLICE, self.engine().ended(&name)).await {
                sleep(WAIT_RETRY).await;
            }
        }
    }

    async fn stop(&self, id: &TaskId, grace: Duration) -> Result<(), TaskError> {
        let owned = id.clone();
        self.change(id, |tasks| async move { tasks.end(&owned, grace).await })
            .await
    }

    async fn output(&self, id: &TaskId, bytes: usize) -> Result<TaskOutput, TaskError> {
        let name = self.container(id);
        match self.engine().logs_tail(&name, OUTPUT_LINES).await {
            Err(EngineError::NotFound { .. }) => Ok(TaskOutput::default()),
            Err(error) => Err(error.into()),
            Ok(text) => {
                let read_all =
                    text.len() < OUTPUT_MAX && text.lines().count() < OUTPUT_LINES as usize;
                let last = TaskOutput::last(&text, bytes);
                Ok(TaskOutput {
                    cut: last.cut || !read_all,
                    ..last
                })
            }
        }
    }

    async fn remove(&self, id: &TaskId) -> Result<(), TaskError> {
        let owned = id.clone();
        self.change(id, |tasks| async move { tasks.discard(&owned).await })
            .await
    }

    async fn list(&self) -> Result<Vec<ObservedTask>, TaskError> {
        let installation = self.pools.layout.installation().to_string();
        let label = Labels::from([(labels::INSTALLATION.to_owned(), installation)]);
        let found = self.engine().labelled(&label).await?;
        let tasks = found.into_iter().filter_map(|container| {
            labels::observed_task(&container.labels.unwrap_or_default(), container.state)
        });
        let mut tasks: Vec<_> = tasks.collect();
        tasks.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(tasks)
    }
}

/// Why a container was not created.
enum CreateError {
    Engine(EngineError),
    Task(TaskError),
}

impl From<EngineError> for CreateError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

fn sorted(error: &RuntimeError) -> TaskError {
    let detail = chain(error);
    match error.fault() {
        Fault::Transient => TaskError::Unavailable { detail },
        Fault::Permanent => TaskError::Refused { detail },
    }
}

/// Says whether two tasks are the same to the last setting.
fn specification(task: &Task) -> Result<String, TaskError> {
    let text = serde_json::to_vec(task).map_err(|error| TaskError::Refused {
        detail: format!(
            "a path of {} is no UTF-8 text ({error}); rename it",
            task.id
        ),
    })?;
    Ok(blake3::hash(&text).to_hex().to_string())
}

fn state(state: &ContainerState) -> TaskState {
    let never = state.status == Some(ContainerStateStatusEnum::CREATED);
    match (state.running, never) {
        (Some(true), _) => TaskState::Running,
        (_, true) => TaskState::NeverStarted,
        _ => TaskState::Ended(TaskEnd {
            exit: state.exit_code.unwrap_or(0),
            out_of_memory: state.oom_killed.unwrap_or(false),
            ended_ms: milliseconds(state.finished_at.as_deref().unwrap_or_default()),
        }),
    }
}

/// Of an RFC 3339 time; 0 where it is none, or before 1970.
fn milliseconds(time: &str) -> u64 {
    let parsed = time.parse::<Timestamp>().ok();
    parsed.map_or(0, |t| u64::try_from(t.as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands(text: &str) -> TaskState {
        state(&serde_json::from_str(text).expect("the engine's JSON"))
    }

    #[test]
    fn what_was_created_and_not_started_never_ran() {
        let created = r#"{"Status": "created", "Running": false, "ExitCode": 0}"#;
        assert_eq!(stands(created), TaskState::NeverStarted);
        // A program that is not there leaves an exit code all the same.
        let refused = r#"{"Status": "created", "Running": false, "ExitCode": 127}"#;
        assert_eq!(stands(refused), TaskState::NeverStarted);
    }

    #[test]
    fn an_end_has_its_code_and_its_time() {
        let ended = r#"{"Status": "exited", "Running": false, "ExitCode": 137, "OOMKilled": true,
            "FinishedAt": "1970-01-01T00:00:01.5Z"}"#;
        let expected = TaskEnd {
            exit: 137,
            out_of_memory: true,
            ended_ms: 1500,
        };
        assert_eq!(stands(ended), TaskState::Ended(expected));
    }

    #[test]
    fn what_the_engine_starts_again_counts_as_running() {
        let again = r#"{"Status": "restarting", "Running": true, "Restarting": true}"#;
        assert_eq!(stands(again), TaskState::Running);
    }
}
