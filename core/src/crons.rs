//! Crons: when they ran, why they did not, and who holds them back.
//!
//! ```text
//!  a slot is due ──► waiting ──► running ──► over
//!                │       └─────► skipped     (ended, stopped at its limit, not started, interrupted)
//!                └─────────────► skipped: stopped, nothing live, the one before still runs, missed
//! ```
//!
//! A slot is a time at which a cron was due, or was asked for. It is stored as running before its command starts, and
//! never leaves `over`: that is why it runs at most once, and why what an interruption left is known.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::id::InvalidId;
use crate::store::StoreError;
use crate::tasks::{TaskId, TaskName};
use crate::{EnvironmentName, OperationId, ReleaseId};

/// Runs that are kept for each cron, those that were recorded last.
pub const RUNS_KEPT: u32 = 50;
/// How much of a run's output is kept, in bytes.
pub const OUTPUT_KEPT: usize = 32 * 1024;
/// What the tasks of crons are for.
pub const PURPOSE: &str = "cron";

/// One slot of one cron.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    /// Whose cron.
    pub environment: EnvironmentName,
    /// Its name there.
    pub cron: String,
    /// When it was due, or asked for: milliseconds since 1970.
    pub at_ms: u64,
}

impl Slot {
    /// The task that runs it. Shape: `cron.reindex.1790000000000`.
    ///
    /// # Errors
    /// When the cron's name is none: it was stored by other hands.
    pub fn task(&self) -> Result<TaskId, InvalidId> {
        let name: TaskName = format!("{PURPOSE}.{}.{}", self.cron, self.at_ms).parse()?;
        Ok(TaskId::new(&self.environment, name))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}@{}", self.environment, self.cron, self.at_ms)
    }
}

/// What became of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CronRun {
    /// Which slot.
    pub slot: Slot,
    /// Why it was due.
    pub cause: Cause,
    /// How far it is.
    pub state: RunState,
}

/// Why a cron is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its time came.
    Schedule,
    /// Somebody asked for it.
    Asked {
        /// Who.
        actor: String,
    },
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// For the environment's other runs to end.
    Waiting,
    /// Its command may run.
    Running(Began),
    /// It will not run.
    Skipped(Skipped),
    /// It has ended.
    Over(Over),
}

impl RunState {
    /// Its name for people, scripts and the store.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running(_) => "running",
            Self::Skipped(_) => "skipped",
            Self::Over(_) => "over",
        }
    }
}

/// How a run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// The code that it runs.
    pub release: ReleaseId,
    /// How long it may take, milliseconds.
    pub limit_ms: u64,
}

/// Slots that did not run, one after the other and for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Why, in words.
    pub reason: String,
    /// How many, at least one.
    pub slots: u32,
    /// The last of them: milliseconds since 1970.
    pub last_ms: u64,
}

/// How a run went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// How it began.
    pub began: Began,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: u64,
    /// How it ended.
    pub end: RunEnd,
    /// The end of what it wrote, [`OUTPUT_KEPT`] bytes at most.
    pub output: String,
    /// Whether it wrote more than that.
    pub cut: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// By itself.
    Exit {
        /// Its exit code; 128 and the signal where one ended it.
        code: i64,
        /// Whether the kernel killed a process of it for memory.
        out_of_memory: bool,
    },
    /// It was stopped at its time limit.
    TimedOut,
    /// Its command did not begin.
    NotStarted {
        /// Why, in words.
        reason: String,
    },
    /// The server or the engine stopped while it began; whether its command ran is not known.
    Interrupted,
}

impl RunEnd {
    /// Whether the command did what it should.
    pub fn is_well(&self) -> bool {
        matches!(self, Self::Exit { code: 0, .. })
    }
}

/// Up to where a cron's times were looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The times themselves: a change of them begins anew. Shape: `*/5 * * * * UTC`.
    pub times: String,
    /// Up to when, milliseconds since 1970.
    pub at_ms: u64,
}

/// Holds the crons of an environment back until it ends: a script that dies leaves no shop without crons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Whose.
    pub owner: Owner,
    /// Who asked for it.
    pub actor: String,
    /// From when, milliseconds since 1970.
    pub since_ms: u64,
    /// Until when, milliseconds since 1970.
    pub until_ms: u64,
}

/// Who holds crons back. Each has one lease of an environment at most.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Owner {
    /// `crons.stop`, whoever calls it.
    User,
    /// A deployment, while it is under way.
    Operation(OperationId),
}

const USER: &str = "user";

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str(USER),
            Self::Operation(id) => f.write_str(id.as_str()),
        }
    }
}

impl FromStr for Owner {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            USER => Ok(Self::User),
            id => id.parse().map(Self::Operation),
        }
    }
}

impl TryFrom<String> for Owner {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.to_string()
    }
}

/// Whether a run may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It is stored as running.
    Begun,
    /// Another one of the environment runs.
    Taken,
    /// Crons are held back.
    Held(Lease),
    /// It waits no more.
    Gone,
}

/// Where runs and leases are kept. What a method wrote is on disk when it returns.
#[async_trait]
pub trait CronStore: Send + Sync {
    /// Up to where a cron's times were looked at; none for one that is new.
    async fn cron_cursor(
        &self,
        environment: &EnvironmentName,
        cron: &str,
    ) -> Result<Option<Cursor>, StoreError>;

    /// Moves the cursor, and records what became of the slots that it passed, in one transaction. A slot that is there is
    /// left as it is, but for a skipped one, which may grow.
    async fn pass_slots(
        &self,
        environment: &EnvironmentName,
        cron: &str,
        cursor: &Cursor,
        runs: &[CronRun],
    ) -> Result<(), StoreError>;

    /// Forgets the cursors of all crons but `known`: one that comes back later begins anew.
    async fn keep_cursors(&self, known: &[(EnvironmentName, String)]) -> Result<(), StoreError>;

    /// Records a run that somebody asked for. One that is there is left as it is.
    async fn ask_run(&self, run: &CronRun) -> Result<(), StoreError>;

    /// Stores that a waiting run runs, unless the environment is taken or held back at `began.at_ms`: one transaction.
    async fn begin_run(&self, slot: &Slot, began: &Began) -> Result<Turn, StoreError>;

    /// Stores how a run ended, or why it will not run, and forgets what was recorded before the newest [`RUNS_KEPT`] of
    /// its cron.
    async fn end_run(&self, run: &CronRun) -> Result<(), StoreError>;

    /// One run.
    async fn cron_run(&self, slot: &Slot) -> Result<Option<CronRun>, StoreError>;

    /// The runs that were recorded last first, `limit` at most, of one cron or of all of an environment. It is not their
    /// slots that order them: a clock that was ahead would keep all later ones behind it.
    async fn cron_runs(
        &self,
        environment: &EnvironmentName,
        cron: Option<&str>,
        limit: u32,
    ) -> Result<Vec<CronRun>, StoreError>;

    /// Runs that wait or run, the oldest slot first, of all environments.
    async fn open_runs(&self) -> Result<Vec<CronRun>, StoreError>;

    /// The leases of an environment, those that have ended included.
    async fn leases(&self, environment: &EnvironmentName) -> Result<Vec<Lease>, StoreError>;

    /// Stores a lease in place of its owner's other one, but never ends that sooner where it holds when the new one
    /// begins.
    async fn put_lease(
        &self,
        environment: &EnvironmentName,
        lease: &Lease,
    ) -> Result<(), StoreError>;

    /// Ends an owner's lease.
    async fn drop_lease(
        &self,
        environment: &EnvironmentName,
        owner: &Owner,
    ) -> Result<(), StoreError>;
}

/// How far the clock may go back for a lease to hold on, milliseconds.
const BACK_MS: u64 = 3_600_000;

/// The lease that holds longest, of those that hold at `now_ms`. One that begins in the future was made by a clock that was
/// wrong, and would hold for no one knows how long.
pub fn holding(leases: Vec<Lease>, now_ms: u64) -> Option<Lease> {
    let holding = leases.into_iter().filter(|lease| {
        lease.until_ms > now_ms && lease.since_ms <= now_ms.saturating_add(BACK_MS)
    });
    holding.max_by_key(|lease| lease.until_ms)
}
