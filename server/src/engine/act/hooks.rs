//! The hooks of a deployment: commands in containers of their own, each at most once.
//!
//! What a command did cannot be known once the server died beside it, and it cannot be undone: one that was interrupted
//! has failed. Its container has the operation in its name, so that nothing ever starts it a second time.

use std::time::Duration;

use stratus_core::environment::Argv;
use stratus_core::fault::{Fault, chain};
use stratus_core::operation::{Direction, Entry, Event, Output, Plan, Ran, Step, journal};
use stratus_core::tasks::{Task, TaskCode, TaskId, TaskName, TaskRestart, TaskState};
use stratus_core::{Pool, ReleaseId};

use crate::engine::act::{ActError, Machine, Situation, init, target};

/// What a hook's task is for.
const PURPOSE: &str = "hook";
/// How long a command has for SIGTERM before SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
/// How much of a command's output is kept, in bytes.
const KEPT: usize = 4096;

impl Machine {
    /// Runs the commands of `step`, one after the other.
    pub(super) async fn hooks(
        &self,
        step: Step,
        situation: &Situation<'_>,
    ) -> Result<Output, ActError> {
        let plan = situation.plan;
        if was_begun(plan, situation.entries, step) {
            return Err(ActError::Hook(format!(
                "the server stopped while the {step} hooks ran; what they did is not known, so they have failed"
            )));
        }
        let pool = match step {
            Step::BeforeInit => self.working_tree(situation).await?,
            _ => self.target_pool(plan).await?,
        };
        let mut ran = Vec::new();
        for (index, command) in commands(plan, step).iter().enumerate() {
            let task = Task {
                id: TaskId::new(&plan.environment.name, name(plan, step, index)?),
                pool: pool.clone(),
                code: match step {
                    Step::BeforeInit => TaskCode::WorkingTree,
                    _ => TaskCode::Release,
                },
                argv: command.clone(),
                restart: TaskRestart::Never,
                grace: GRACE,
            };
            ran.push(self.run_hook(situation, &task).await?);
        }
        Ok(Output::Ran(ran))
    }

    /// Every failure of it is for good: the command may have run.
    async fn run_hook(&self, situation: &Situation<'_>, task: &Task) -> Result<Ran, ActError> {
        let began = self.clock.now_ms();
        let limit = situation.plan.environment.hooks.timeout;
        let words = task.argv.join(" ");
        let failed = |error| {
            ActError::Hook(format!(
                "the hook {words:?} could not be run: {}",
                chain(&error)
            ))
        };
        self.tasks.start(task).await.map_err(failed)?;
        let state = tokio::select! {
            state = self.tasks.wait(&task.id) => state.map_err(failed)?,
            () = tokio::time::sleep(limit) => {
                self.tasks.stop(&task.id, GRACE).await.map_err(failed)?;
                let within = humantime::format_duration(limit);
                return Err(self.hook_failed(task, &format!("was stopped after {within}")).await);
            }
            () = situation.cancel.cancelled() => {
                self.tasks.stop(&task.id, GRACE).await.map_err(failed)?;
                return Err(ActError::Cancelled);
            }
        };
        let why = match state {
            TaskState::Ended(end) if end.exit == 0 => {
                let output = self.tasks.output(&task.id, KEPT).await.unwrap_or_default();
                return Ok(Ran {
                    command: task.argv.clone(),
                    ms: self.clock.now_ms().saturating_sub(began),
                    output: output.text,
                });
            }
            TaskState::Ended(end) if end.out_of_memory => {
                format!("ended with {}, out of memory", end.exit)
            }
            TaskState::Ended(end) => format!("ended with {}", end.exit),
            TaskState::Absent | TaskState::NeverStarted | TaskState::Running => {
                "did not run to its end".to_owned()
            }
        };
        Err(self.hook_failed(task, &why).await)
    }

    async fn hook_failed(&self, task: &Task, why: &str) -> ActError {
        let output = self.tasks.output(&task.id, KEPT).await.unwrap_or_default();
        let words = task.argv.join(" ");
        ActError::Hook(format!(
            "the hook {words:?} {why}\n{}",
            output.text.trim_end()
        ))
    }

    /// The pool that is to be, before there is a release for it: its settings are a member's. Where the release is not made
    /// from the working tree, what was fetched stands in its place.
    async fn working_tree(&self, situation: &Situation<'_>) -> Result<Pool, ActError> {
        let plan = situation.plan;
        let php = &plan.environment.php;
        let image = self.runtime.image(&php.image, &php.fpm).await?;
        let none = "0".repeat(64);
        let none: ReleaseId = none.parse().expect("64 digits are a release id");
        let mut pool = init::pool(plan, target(plan)?, &image, &none);
        if plan.kind.source().is_some() {
            let fetched = journal::fetched(situation.entries);
            let missing = || ActError::Inconsistent("the journal has no fetched tree".to_owned());
            pool.code.clone_from(&fetched.ok_or_else(missing)?.tree);
        }
        Ok(pool)
    }

    /// Stops and removes whatever the operation's hooks left.
    pub(super) async fn remove_hooks(&self, plan: &Plan) -> Result<(), ActError> {
        let mut steps = plan.steps.iter().copied();
        if !steps.any(|step| !commands(plan, step).is_empty()) {
            return Ok(());
        }
        let ours = format!("{PURPOSE}.{}.", plan.operation);
        for seen in self.tasks.list().await? {
            if seen.id.environment == plan.environment.name
                && seen.id.name.as_str().starts_with(&ours)
            {
                self.tasks.stop(&seen.id, GRACE).await?;
                self.tasks.remove(&seen.id).await?;
            }
        }
        Ok(())
    }
}

/// Whether the journal knows of an earlier try in which a command may have run. The present one's `Started` is not in it
/// yet. A try that failed in a way that may pass ran none: whatever goes wrong with a command is for good.
fn was_begun(plan: &Plan, entries: &[Entry], step: Step) -> bool {
    let index = plan.steps.iter().position(|s| *s == step);
    let begun = |begun, entry: &Entry| match &entry.event {
        Event::Started {
            step,
            direction: Direction::Forward,
        } if Some(*step) == index => true,
        Event::Failed {
            step,
            direction: Direction::Forward,
            fault: Fault::Transient,
            ..
        } if Some(*step) == index => false,
        _ => begun,
    };
    entries.iter().fold(false, begun)
}

fn commands(plan: &Plan, step: Step) -> &[Argv] {
    let hooks = &plan.environment.hooks;
    match step {
        Step::BeforeInit => &hooks.before_init,
        Step::BeforeSwitch => &hooks.before_switch,
        Step::AfterSwitch => &hooks.after_switch,
        _ => &[],
    }
}

/// Shape: `hook.0190a6d2-7c00-7000-8000-000000000001.before-switch-0`.
fn name(plan: &Plan, step: Step, index: usize) -> Result<TaskName, ActError> {
    let step = step.name().replace('_', "-");
    let name = format!("{PURPOSE}.{}.{step}-{index}", plan.operation);
    name.parse()
        .map_err(|error| ActError::Inconsistent(format!("{error}")))
}
