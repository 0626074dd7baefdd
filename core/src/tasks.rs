//! Commands in containers beside a pool's members: hooks of a deploy, crons, workers.
//!
//! ```text
//!              start                      it ends, or stop
//!  (absent) ─────────► started: running ───────────────────► ended ──remove──► (absent)
//!              └─────► never started: the engine refused, or the server died in between
//! ```
//!
//! A task is named by who asks for it, from what it is for: the same asking is the same container. That, and nothing in
//! memory, is why a command runs at most once, whatever dies meanwhile.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::environment::Argv;
use crate::fault::{Fault, Faulty};
use crate::id::InvalidId;
use crate::runtime::Restart;
use crate::{EnvironmentName, InstallationId, Pool, ReleaseId};

/// Longest name of a task, in bytes.
pub const NAME_MAX: usize = 120;
/// Most of a task's output that can be asked for, in bytes.
pub const OUTPUT_MAX: usize = 64 * 1024;

/// Name of a task within its environment: what it is for, then what makes it the only one of its kind, separated by
/// dots. Shape: `cron.reindex.20261122T1500Z`.
///
/// The first word has no hyphen, so that the name of a container tells where the environment's name ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskName(String);

impl TaskName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is for: the part before the first dot. Shape: `cron`.
    pub fn purpose(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }
}

impl FromStr for TaskName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let word = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let (purpose, rest) = text.split_once('.').unwrap_or_default();
        let is_plain = !purpose.is_empty() && purpose.bytes().all(|b| b.is_ascii_lowercase());
        if text.len() <= NAME_MAX && is_plain && rest.split('.').all(word) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidId {
            kind: "task name",
            text: text.to_owned(),
            rule: "a word of lower case letters, then words of letters, digits and hyphens, joined with dots, 120 at most",
        })
    }
}

impl TryFrom<String> for TaskName {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<TaskName> for String {
    fn from(name: TaskName) -> Self {
        name.0
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies a task: `shop-cron.reindex.20261122T1500Z`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId {
    /// The environment it belongs to.
    pub environment: EnvironmentName,
    /// Its name there.
    pub name: TaskName,
}

impl TaskId {
    /// The task `name` of `environment`.
    pub fn new(environment: &EnvironmentName, name: TaskName) -> Self {
        Self {
            environment: environment.clone(),
            name,
        }
    }

    /// Name of its container. Shape: `shop-cron.reindex.20261122T1500Z-5f3a9c`. No two tasks share one.
    pub fn container(&self, installation: &InstallationId) -> String {
        format!("{self}-{installation}")
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.environment, self.name)
    }
}

/// Everything that is needed to run a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Which task.
    pub id: TaskId,
    /// Whose image, settings, variables, user, limits, network and shared folders it has: a member's of this pool. The
    /// pool itself need not be there, only its release.
    pub pool: Pool,
    /// The code that it sees.
    pub code: TaskCode,
    /// What runs: the image's own entry point is not used. Not empty.
    pub argv: Argv,
    /// Whether the engine starts it again when it ends: a worker, not a hook or a cron.
    pub restart: TaskRestart,
    /// How long it has after SIGTERM when the engine itself stops it, at its own shutdown.
    pub grace: Duration,
}

/// The code that a task sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskCode {
    /// The pool's release, as its members see it: read-only, or under an overlay of its own.
    Release,
    /// The working tree, to be written to; the pool's release is not looked at.
    WorkingTree,
}

/// Whether the engine starts a task again when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskRestart {
    /// It runs at most once.
    Never,
    /// It is meant to run all the time: after an end, an engine restart and a reboot.
    Always,
}

impl From<TaskRestart> for Restart {
    fn from(restart: TaskRestart) -> Self {
        match restart {
            TaskRestart::Never => Self::Never,
            TaskRestart::Always => Self::Always,
        }
    }
}

/// Runs tasks.
///
/// Every call reads "ensure". A call that is dropped before it answered may still take effect, except [`Tasks::wait`].
#[async_trait]
pub trait Tasks: Send + Sync {
    /// Creates and starts the task's container.
    ///
    /// # Errors
    /// [`TaskError::Refused`] when it cannot be made as it is described, or when a container of that name is somebody
    /// else's. A program that the image does not have is no such failure: the task ends at once with code 127.
    ///
    /// # Idempotence
    /// A container that is there is adopted, whoever made it. One that shall never be restarted is then left as it
    /// is, even where it was never started: nobody can tell whether an earlier start is still under way. One that
    /// runs all the time is made to run, anew where it was made of another [`Task`].
    async fn start(&self, task: &Task) -> Result<Begun, TaskError>;

    /// How the task stands.
    async fn look(&self, id: &TaskId) -> Result<TaskState, TaskError>;

    /// Waits until the task does not run. An engine that is away meanwhile is waited for.
    ///
    /// # Cancel safety
    /// The caller bounds the wait by dropping it; the task goes on.
    async fn wait(&self, id: &TaskId) -> Result<TaskState, TaskError>;

    /// Stops the task: SIGTERM, and SIGKILL only after `grace`. What its command started ends with it.
    async fn stop(&self, id: &TaskId, grace: Duration) -> Result<(), TaskError>;

    /// The last `bytes` of what it wrote, standard output and error together, [`OUTPUT_MAX`] at most; empty where
    /// there is no such task.
    async fn output(&self, id: &TaskId, bytes: usize) -> Result<TaskOutput, TaskError>;

    /// Kills the task if it runs, and removes everything of it.
    async fn remove(&self, id: &TaskId) -> Result<(), TaskError>;

    /// All tasks of this installation that the engine knows.
    async fn list(&self) -> Result<Vec<ObservedTask>, TaskError>;
}

/// What a start found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// Nothing: it is started now.
    New,
    /// The task itself, from an earlier start.
    Known,
}

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// There is none.
    Absent,
    /// Its container is there and its command never ran.
    NeverStarted,
    /// Its command runs.
    Running,
    /// Its command ran and has ended.
    Ended(TaskEnd),
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEnd {
    /// Exit code of the command; 128 and the signal where one ended it.
    pub exit: i64,
    /// Whether the kernel killed a process of it for memory.
    pub out_of_memory: bool,
    /// When it ended, milliseconds since 1970, by the engine's clock.
    pub ended_ms: u64,
}

/// What a task wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskOutput {
    /// Its end.
    pub text: String,
    /// Whether it wrote more than that.
    pub cut: bool,
}

impl TaskOutput {
    /// The last `bytes` of `text`, from the beginning of a character on.
    pub fn last(text: &str, bytes: usize) -> Self {
        let from = text.ceil_char_boundary(text.len().saturating_sub(bytes));
        Self {
            text: text[from..].to_owned(),
            cut: from > 0,
        }
    }
}

/// A task as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedTask {
    /// Which task.
    pub id: TaskId,
    /// Its release; none where it works on the working tree.
    pub release: Option<ReleaseId>,
    /// Whether its command runs, or ended and is started again.
    pub running: bool,
    /// Whether it ended, and the engine waits for a moment before it starts it again.
    pub restarting: bool,
}

/// Why a task was not run.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The engine does not answer, or answered with a failure of its own that may pass.
    #[error("the container engine does not answer: {detail}")]
    Unavailable {
        /// What was tried and what came back.
        detail: String,
    },
    /// The task cannot be run.
    #[error("{detail}")]
    Refused {
        /// What was refused and why.
        detail: String,
    },
}

impl Faulty for TaskError {
    fn fault(&self) -> Fault {
        match self {
            Self::Unavailable { .. } => Fault::Transient,
            Self::Refused { .. } => Fault::Permanent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_name_is_two_words_or_more() {
        for good in ["cron.reindex.20261122T1500Z", "worker.a-b.g42"] {
            assert!(good.parse::<TaskName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "cron",
            "cron.",
            ".x",
            "cron..x",
            "cron.a b",
            "cron.a/b",
            "cron-a.b",
            "Cron.a",
            &format!("cron.{}", "a".repeat(NAME_MAX)),
        ] {
            assert!(bad.parse::<TaskName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_end_of_an_output_begins_with_a_whole_character() {
        let whole = TaskOutput::last("ab", 2);
        assert_eq!((whole.text.as_str(), whole.cut), ("ab", false));
        let cut = TaskOutput::last("aäb", 2);
        assert_eq!((cut.text.as_str(), cut.cut), ("b", true));
    }

    #[test]
    fn no_two_tasks_share_a_container() {
        let installation = "5f3a9c".parse().expect("six digits");
        let container = |environment: &str, name: &str| {
            let environment = environment.parse().expect("a name");
            let name = name.parse().expect("a task name");
            TaskId::new(&environment, name).container(&installation)
        };
        assert_eq!(container("shop", "cron.a.1"), "shop-cron.a.1-5f3a9c");
        assert_eq!(
            container("shop-cron", "cron.a.1"),
            "shop-cron-cron.a.1-5f3a9c"
        );
        // The environment is what stands before the last hyphen before the first dot: nothing else reads the same.
        assert!("cron-cron.a.1".parse::<TaskName>().is_err());
    }
}
