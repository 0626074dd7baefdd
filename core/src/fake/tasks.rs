//! The fake machine's tasks. What a command does is in its words: `exit 3` ends at once with that code, `print text`
//! writes it and ends well, `missing` is in no image, `panic` takes along who asks for it, everything else runs until it is stopped or the test ends it.
//!
//! There is no clock here: what is stopped ends when time does, all else when it began.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;

use crate::fake::machine::FakeMachine;
use crate::fake::world::FakeTask;
use crate::tasks::{
    Begun, OUTPUT_MAX, ObservedTask, Task, TaskCode, TaskEnd, TaskError, TaskId, TaskOutput,
    TaskRestart, TaskState, Tasks,
};

/// Exit code of what SIGTERM ended.
const TERMINATED: i64 = 143;
/// When it ended.
const LAST: u64 = u64::MAX;

impl FakeMachine {
    /// Ends a command that runs.
    pub fn end_task(&self, id: &TaskId, exit: i64) {
        self.change("end_task", |state| {
            if let Some(task) = state.world.tasks.get_mut(id) {
                task.state = ended(exit);
            }
        });
    }

    /// The engine does not answer the next `times` of `call`: `start_task`, `look_task`, `stop_task`, `task_output`,
    /// `remove_task`.
    pub fn unanswer(&self, call: &'static str, times: u32) {
        self.state().unanswered.insert(call, times);
    }

    /// The times that tasks were given to end, the first stop first.
    pub fn graces(&self) -> Vec<(TaskId, Duration)> {
        self.state().graces.clone()
    }

    fn answers(&self, call: &'static str) -> Result<(), TaskError> {
        let mut state = self.state();
        match state.unanswered.get_mut(call) {
            Some(left) if *left > 0 => {
                *left -= 1;
                let detail = format!("no answer to {call}");
                Err(TaskError::Unavailable { detail })
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Tasks for FakeMachine {
    async fn start(&self, task: &Task) -> Result<Begun, TaskError> {
        self.answers("start_task")?;
        let words: Vec<&str> = task.argv.iter().map(String::as_str).collect();
        let (state, output) = match words.as_slice() {
            [] => {
                let detail = format!("{} has no command to run", task.id);
                return Err(TaskError::Refused { detail });
            }
            ["missing", ..] => (ended(127), "missing is not there".to_owned()),
            ["exit", code] => (ended(code.parse().unwrap_or(1)), String::new()),
            ["panic"] => panic!("as asked"),
            ["print", text] => (ended(0), (*text).to_owned()),
            _ => (TaskState::Running, String::new()),
        };
        Ok(self.change("start_task", |world| {
            let tasks = &mut world.world.tasks;
            let fresh = FakeTask {
                release: (task.code == TaskCode::Release).then(|| task.pool.release.clone()),
                argv: task.argv.clone(),
                restart: task.restart,
                state,
                output,
            };
            match tasks.get_mut(&task.id) {
                None => {
                    tasks.insert(task.id.clone(), fresh);
                    Begun::New
                }
                Some(known) => {
                    if task.restart == TaskRestart::Always {
                        *known = fresh;
                    }
                    Begun::Known
                }
            }
        }))
    }

    async fn look(&self, id: &TaskId) -> Result<TaskState, TaskError> {
        self.answers("look_task")?;
        Ok(self.state().world.task(id))
    }

    async fn wait(&self, id: &TaskId) -> Result<TaskState, TaskError> {
        poll_fn(|context| {
            let mut state = self.state();
            match state.world.task(id) {
                TaskState::Running => {
                    state.waiting.push(context.waker().clone());
                    Poll::Pending
                }
                over => Poll::Ready(Ok(over)),
            }
        })
        .await
    }

    async fn stop(&self, id: &TaskId, grace: Duration) -> Result<(), TaskError> {
        self.answers("stop_task")?;
        self.change("stop_task", |state| {
            if let Some(task) = state.world.tasks.get_mut(id)
                && task.state == TaskState::Running
            {
                task.state = TaskState::Ended(TaskEnd {
                    exit: TERMINATED,
                    out_of_memory: false,
                    ended_ms: LAST,
                });
                state.graces.push((id.clone(), grace));
            }
        });
        Ok(())
    }

    async fn output(&self, id: &TaskId, bytes: usize) -> Result<TaskOutput, TaskError> {
        self.answers("task_output")?;
        let state = self.state();
        let text = state.world.tasks.get(id).map(|task| task.output.as_str());
        Ok(TaskOutput::last(
            text.unwrap_or_default(),
            bytes.min(OUTPUT_MAX),
        ))
    }

    async fn remove(&self, id: &TaskId) -> Result<(), TaskError> {
        self.answers("remove_task")?;
        self.change("remove_task", |state| state.world.tasks.remove(id));
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ObservedTask>, TaskError> {
        let state = self.state();
        let observed = state.world.tasks.iter().map(|(id, task)| ObservedTask {
            id: id.clone(),
            release: task.release.clone(),
            running: task.state == TaskState::Running,
            restarting: false,
        });
        Ok(observed.collect())
    }
}

fn ended(exit: i64) -> TaskState {
    TaskState::Ended(TaskEnd {
        exit,
        out_of_memory: false,
        ended_ms: 0,
    })
}
