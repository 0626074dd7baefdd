//! A round: what came due since the last one, for every cron of every environment.

use std::sync::atomic::Ordering;
use std::time::Duration;

use stratus_core::crons::{Cause, CronRun, Cursor, RunState, Skipped, Slot};
use stratus_core::environment::Cron;
use stratus_core::fault::chain;
use stratus_core::store::StoreError;
use stratus_core::{Environment, EnvironmentName};
use tokio::time::{Instant, sleep, sleep_until};

use crate::crons::schedule::Schedule;
use crate::crons::{Crons, is_late, lease, millis};

/// How long a round may wait for the next: the clock may be set meanwhile.
const ROUND_MAX: Duration = Duration::from_secs(20);
/// How far the clock may go back without what was due before being due again.
const BACK: Duration = Duration::from_hours(1);
/// How often what could not be removed is tried again.
const SWEEP: Duration = Duration::from_mins(5);

/// Why a slot is skipped that nobody was there for.
const MISSED: &str = "missed: the server was not running, or the clock was set";

impl Crons {
    /// Runs until the shutdown.
    pub async fn attend(self) {
        tokio::join!(self.rounds(), self.sweeps());
    }

    /// Tries again now and then what could not be removed. However long that takes, rounds go on.
    async fn sweeps(&self) {
        let sweeps = async {
            loop {
                sleep(SWEEP).await;
                if self.inner.leftovers.load(Ordering::Relaxed) {
                    self.sweep().await;
                }
            }
        };
        tokio::select! {
            () = sweeps => {}
            () = self.inner.shutdown.cancelled() => {}
        }
    }

    async fn rounds(&self) {
        let shutdown = self.inner.shutdown.clone();
        loop {
            let next = match self.round().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(error = %chain(&error), "crons cannot be looked at");
                    ROUND_MAX
                }
            };
            tokio::select! {
                () = sleep_until(Instant::now() + next.min(ROUND_MAX)) => {}
                () = self.inner.wake.notified() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Records what came due. Answers how long it is until something is due again.
    pub async fn round(&self) -> Result<Duration, StoreError> {
        let mut next = ROUND_MAX;
        let environments = self.inner.store.environments().await?;
        let of = |environment: &Environment| {
            let named = |cron: &Cron| (environment.name.clone(), cron.name.clone());
            environment.crons.iter().map(named).collect::<Vec<_>>()
        };
        let known: Vec<_> = environments.iter().flat_map(of).collect();
        self.inner.store.keep_cursors(&known).await?;
        for environment in environments {
            if environment.crons.is_empty() {
                continue;
            }
            self.drop_ended(&environment.name).await?;
            for cron in &environment.crons {
                match Schedule::parse(&cron.at, &cron.zone) {
                    Ok(schedule) => {
                        next = next.min(self.consider(&environment, cron, &schedule).await?);
                    }
                    Err(why) => {
                        tracing::error!(environment = %environment.name, cron = cron.name, why, "a cron has no times");
                    }
                }
            }
        }
        // Whoever recorded a run may be gone, and have told nobody.
        for run in self.inner.store.open_runs().await? {
            self.employ(&run.slot.environment);
        }
        Ok(next)
    }

    async fn consider(
        &self,
        environment: &Environment,
        cron: &Cron,
        schedule: &Schedule,
    ) -> Result<Duration, StoreError> {
        let now_ms = self.inner.clock.now_ms();
        let times = format!("{} {}", cron.at, cron.zone);
        let begun = |at_ms| Cursor {
            times: times.clone(),
            at_ms,
        };
        let name = &environment.name;
        let known = self.inner.store.cron_cursor(name, &cron.name).await?;
        let known = known.filter(|c| c.times == times && c.at_ms <= now_ms + millis(BACK));
        match known {
            None => {
                let cursor = begun(now_ms);
                self.inner
                    .store
                    .pass_slots(name, &cron.name, &cursor, &[])
                    .await?;
            }
            Some(cursor) => {
                if let Some(passed) = schedule.passed(cursor.at_ms, now_ms) {
                    let late = is_late(passed.newest_ms, now_ms);
                    let missed = passed.slots - u32::from(!late);
                    let mut runs = Vec::new();
                    if missed > 0 {
                        let last_ms = if late {
                            passed.newest_ms
                        } else {
                            passed.before_ms
                        };
                        runs.push(skipped(
                            name,
                            cron,
                            passed.first_ms,
                            missed,
                            last_ms,
                            MISSED,
                        ));
                    }
                    if !late {
                        runs.push(self.due(environment, cron, passed.newest_ms).await?);
                    }
                    self.record(name, cron, &begun(passed.newest_ms), runs)
                        .await?;
                }
            }
        }
        let wait = schedule
            .next(now_ms)
            .map(|next| next.saturating_sub(now_ms));
        Ok(wait.map_or(ROUND_MAX, Duration::from_millis))
    }

    /// What becomes of a slot that is due now.
    async fn due(
        &self,
        environment: &Environment,
        cron: &Cron,
        at_ms: u64,
    ) -> Result<CronRun, StoreError> {
        let name = &environment.name;
        let run = CronRun {
            slot: slot(name, cron, at_ms),
            cause: Cause::Schedule,
            state: RunState::Waiting,
        };
        let why = if let Some(lease) = self.lease(name).await? {
            lease::reason(&lease)
        } else if self.inner.store.state(name).await?.live.is_none() {
            "nothing is live yet; run zerodowntime.init and zerodowntime.switch".to_owned()
        } else if self.is_open(&run).await? {
            "the run before has not ended".to_owned()
        } else {
            return Ok(run);
        };
        Ok(skipped(name, cron, at_ms, 1, at_ms, &why))
    }

    /// Whether an earlier slot of the same cron waits or runs.
    async fn is_open(&self, run: &CronRun) -> Result<bool, StoreError> {
        let open = self.inner.store.open_runs().await?;
        let same = |open: &CronRun| {
            (&open.slot.environment, &open.slot.cron) == (&run.slot.environment, &run.slot.cron)
        };
        Ok(open.iter().any(same))
    }

    async fn record(
        &self,
        environment: &EnvironmentName,
        cron: &Cron,
        cursor: &Cursor,
        mut runs: Vec<CronRun>,
    ) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let newest = store.cron_runs(environment, Some(&cron.name), 1).await?;
        if let (Some(first), Some(newest)) = (runs.first_mut(), newest.first()) {
            join(newest, first);
        }
        store
            .pass_slots(environment, &cron.name, cursor, &runs)
            .await?;
        if runs.iter().any(|run| run.state == RunState::Waiting) {
            self.employ(environment);
        }
        self.inner.changed.send_replace(());
        Ok(())
    }
}

/// Makes one record of slots that are skipped one after the other for one reason.
fn join(before: &CronRun, run: &mut CronRun) {
    let (RunState::Skipped(before_skipped), RunState::Skipped(skipped)) =
        (&before.state, &mut run.state)
    else {
        return;
    };
    if before_skipped.reason == skipped.reason && before.cause == run.cause {
        run.slot = before.slot.clone();
        skipped.slots = skipped.slots.saturating_add(before_skipped.slots);
    }
}

fn slot(environment: &EnvironmentName, cron: &Cron, at_ms: u64) -> Slot {
    Slot {
        environment: environment.clone(),
        cron: cron.name.clone(),
        at_ms,
    }
}

fn skipped(
    environment: &EnvironmentName,
    cron: &Cron,
    at_ms: u64,
    slots: u32,
    last_ms: u64,
    reason: &str,
) -> CronRun {
    CronRun {
        slot: slot(environment, cron, at_ms),
        cause: Cause::Schedule,
        state: RunState::Skipped(Skipped {
            reason: reason.to_owned(),
            slots,
            last_ms,
        }),
    }
}
