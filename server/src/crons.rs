//! Crons: a round records what is due, a worker per environment runs it, one command at a time.
//!
//! ```text
//! round (at each slot) ──► waiting ──► worker ──► stored as running ──► its task ends ──► over
//!                     └──► skipped, with the reason       (a restart finds the task and waits on)
//! ```
//!
//! **Rule:** the newest slot runs if the server is there within a minute of it; older ones are recorded as missed, and
//! nothing runs twice. Runs of one environment wait for each other; a cron whose last run has not ended skips its slot.

mod lease;
mod round;
mod run;
pub mod schedule;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stratus_core::crons::{Cause, CronRun, PURPOSE, RunState, Skipped, Slot};
use stratus_core::fault::chain;
use stratus_core::store::StoreError;
use stratus_core::{Environment, EnvironmentName, Store, Tasks};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
pub use crate::crons::lease::Stopped;

/// How late a slot may be to run at all.
const LATEST: Duration = Duration::from_mins(1);
/// How long the start waits for what is left of runs to be removed.
const SWEPT_WITHIN: Duration = Duration::from_secs(10);
/// How many runs are looked at for one that has just ended.
const NEWEST: u32 = 100;

/// Runs crons.
#[derive(Clone)]
pub struct Crons {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    tasks: Arc<dyn Tasks>,
    clock: Arc<dyn Clock>,
    /// The environments whose runs somebody sees to.
    workers: Mutex<HashMap<EnvironmentName, Again>>,
    /// Changes whenever a run begins or ends.
    changed: watch::Sender<()>,
    /// Whether containers of runs that are over may be left.
    leftovers: AtomicBool,
    /// Begins a round early.
    wake: Notify,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

/// Whether a worker has to look once more before it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Yes,
    No,
}

/// Why a cron is not run when somebody asks.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is none of that name.
    #[error("{environment} has no cron {cron:?}; {known}")]
    Unknown {
        /// Where.
        environment: EnvironmentName,
        /// What was asked for.
        cron: String,
        /// Those there are, in words.
        known: String,
    },
    /// They are held back.
    #[error("{0}")]
    Held(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Crons {
    /// Crons that run as `tasks`, are kept in `store`, and stop at `shutdown`: a command that runs then goes on.
    pub fn new(
        store: Arc<dyn Store>,
        tasks: Arc<dyn Tasks>,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                tasks,
                clock,
                workers: Mutex::default(),
                changed: watch::Sender::new(()),
                leftovers: AtomicBool::new(false),
                wake: Notify::new(),
                tracker: TaskTracker::new(),
                shutdown,
            }),
        }
    }

    /// Goes on with what an earlier process left, and removes what is left of runs that are over.
    pub async fn recover(&self) -> Result<(), StoreError> {
        let now_ms = self.inner.clock.now_ms();
        let open = self.inner.store.open_runs().await?;
        for run in &open {
            let waits = run.state == RunState::Waiting;
            if waits && is_late(run.slot.at_ms, now_ms) && !self.had_to_wait(run, &open).await? {
                self.skip(run, "the server was not running").await?;
                continue;
            }
            self.employ(&run.slot.environment);
        }
        // The rest of it is for later: crons that are due do not wait for it.
        if timeout(SWEPT_WITHIN, self.sweep()).await.is_err() {
            self.inner.leftovers.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether a run waits for one that still runs, or that ended a moment ago: it would wait without a restart as well.
    async fn had_to_wait(&self, run: &CronRun, open: &[CronRun]) -> Result<bool, StoreError> {
        let environment = &run.slot.environment;
        let runs = |other: &CronRun| {
            &other.slot.environment == environment && matches!(other.state, RunState::Running(_))
        };
        if open.iter().any(runs) {
            return Ok(true);
        }
        let now_ms = self.inner.clock.now_ms();
        let newest = self
            .inner
            .store
            .cron_runs(environment, None, NEWEST)
            .await?;
        let has_just_ended =
            |run: &CronRun| matches!(&run.state, RunState::Over(o) if !is_late(o.ended_ms, now_ms));
        Ok(newest.iter().any(has_just_ended))
    }

    /// Removes the containers of runs that are over; what cannot be removed now is tried again later.
    async fn sweep(&self) {
        let left = match self.remove_leftovers().await {
            Ok(left) => left,
            Err(error) => {
                tracing::warn!(error = %chain(error.as_ref()), "what is left of crons is not swept");
                true
            }
        };
        self.inner.leftovers.store(left, Ordering::Relaxed);
    }

    /// Answers whether something is still left.
    async fn remove_leftovers(&self) -> anyhow::Result<bool> {
        // In this order: what begins in between is not seen here, and what is seen here had been stored as running before.
        let seen = self.inner.tasks.list().await?;
        let open = self.inner.store.open_runs().await?;
        let open: Vec<_> = open.iter().filter_map(|run| run.slot.task().ok()).collect();
        let mut left = false;
        for seen in seen {
            if seen.id.name.purpose() != PURPOSE || open.contains(&seen.id) {
                continue;
            }
            if let Err(error) = self.inner.tasks.remove(&seen.id).await {
                tracing::warn!(task = %seen.id, error = %chain(&error), "a cron's container is not removed");
                left = true;
            }
        }
        Ok(left)
    }

    /// Runs a cron now, or as soon as nothing else of its environment runs.
    ///
    /// # Errors
    /// When there is no such cron, or crons are held back.
    pub async fn ask(
        &self,
        environment: &Environment,
        cron: &str,
        actor: &str,
    ) -> Result<CronRun, AskError> {
        if !environment.crons.iter().any(|known| known.name == cron) {
            let names: Vec<&str> = environment.crons.iter().map(|c| c.name.as_str()).collect();
            let known = match names.as_slice() {
                [] => "it has none".to_owned(),
                names => format!("it has {}", names.join(", ")),
            };
            return Err(AskError::Unknown {
                environment: environment.name.clone(),
                cron: cron.to_owned(),
                known,
            });
        }
        if let Some(lease) = self.lease(&environment.name).await? {
            return Err(AskError::Held(lease::reason(&lease)));
        }
        let open = self.inner.store.open_runs().await?;
        let waits = |run: &CronRun| {
            (&run.slot.environment, run.slot.cron.as_str()) == (&environment.name, cron)
                && run.state == RunState::Waiting
        };
        // Once is enough, however often it is asked for meanwhile.
        if let Some(waiting) = open.into_iter().find(waits) {
            // Whoever recorded it may be gone, and have told nobody.
            self.employ(&environment.name);
            return Ok(waiting);
        }
        let run = CronRun {
            slot: Slot {
                environment: environment.name.clone(),
                cron: cron.to_owned(),
                at_ms: self.inner.clock.now_ms(),
            },
            cause: Cause::Asked {
                actor: actor.to_owned(),
            },
            state: RunState::Waiting,
        };
        self.inner.store.ask_run(&run).await?;
        self.employ(&environment.name);
        Ok(run)
    }

    /// A run once it is over or skipped, or as it stands after `limit`.
    pub async fn settled(
        &self,
        slot: &Slot,
        limit: Duration,
    ) -> Result<Option<CronRun>, StoreError> {
        let deadline = Instant::now() + limit;
        let mut changed = self.inner.changed.subscribe();
        loop {
            let run = self.inner.store.cron_run(slot).await?;
            let is_open = run
                .as_ref()
                .is_some_and(|run| matches!(run.state, RunState::Waiting | RunState::Running(_)));
            if !is_open || self.inner.shutdown.is_cancelled() {
                return Ok(run);
            }
            tokio::select! {
                changed = timeout_at(deadline, changed.changed()) => {
                    if changed.is_err() {
                        return Ok(run);
                    }
                }
                () = self.inner.shutdown.cancelled() => return Ok(run),
            }
        }
    }

    /// The end of what a run wrote so far.
    pub async fn output(&self, slot: &Slot) -> String {
        let Ok(id) = slot.task() else {
            return String::new();
        };
        let bytes = stratus_core::crons::OUTPUT_KEPT;
        let output = self.inner.tasks.output(&id, bytes).await;
        output.unwrap_or_default().text
    }

    /// Looks at all times anew: the configuration changed.
    pub fn wake(&self) {
        self.inner.wake.notify_one();
    }

    /// Waits until every worker has stopped, after a shutdown.
    pub async fn stopped(&self) {
        self.inner.tracker.close();
        self.inner.tracker.wait().await;
    }

    /// Records that a run will not run.
    async fn skip(&self, run: &CronRun, reason: &str) -> Result<(), StoreError> {
        tracing::info!(slot = %run.slot, reason, "cron skipped");
        let skipped = CronRun {
            state: RunState::Skipped(Skipped {
                reason: reason.to_owned(),
                slots: 1,
                last_ms: run.slot.at_ms,
            }),
            ..run.clone()
        };
        self.inner.store.end_run(&skipped).await?;
        self.inner.changed.send_replace(());
        Ok(())
    }

    /// Sees to it that somebody looks at the runs of `environment` from now on.
    fn employ(&self, environment: &EnvironmentName) {
        let known = self
            .workers()
            .insert(environment.clone(), Again::Yes)
            .is_some();
        if !known {
            let (crons, environment) = (self.clone(), environment.clone());
            self.inner.tracker.spawn(async move {
                let _employed = Employed {
                    crons: &crons,
                    environment: &environment,
                };
                crons.work(&environment).await;
            });
        }
    }

    /// Whether the worker of `environment` may go: nobody employed it since it last looked.
    fn dismiss(&self, environment: &EnvironmentName) -> bool {
        let mut workers = self.workers();
        if workers.get(environment) == Some(&Again::Yes) {
            workers.insert(environment.clone(), Again::No);
            return false;
        }
        workers.remove(environment);
        true
    }

    fn workers(&self) -> MutexGuard<'_, HashMap<EnvironmentName, Again>> {
        self.inner
            .workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker at work: one that panics can be employed anew.
struct Employed<'a> {
    crons: &'a Crons,
    environment: &'a EnvironmentName,
}

impl Drop for Employed<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.crons.workers().remove(self.environment);
        }
    }
}

fn is_late(slot_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(slot_ms) > millis(LATEST)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
