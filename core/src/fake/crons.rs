//! The crons of a store in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::EnvironmentName;
use crate::crons::{
    Began, CronRun, CronStore, Cursor, Lease, Owner, RUNS_KEPT, RunState, Slot, Turn, holding,
};
use crate::fake::store::MemoryStore;
use crate::store::StoreError;

/// What a store keeps of crons.
#[derive(Debug, Default)]
pub(super) struct CronRows {
    cursors: BTreeMap<(EnvironmentName, String), Cursor>,
    runs: BTreeMap<Slot, CronRun>,
    /// Every slot once, in the order in which they were recorded.
    recorded: Vec<Slot>,
    leases: BTreeMap<(EnvironmentName, Owner), Lease>,
}

impl CronRows {
    fn record(&mut self, run: &CronRun) {
        if self.runs.insert(run.slot.clone(), run.clone()).is_none() {
            self.recorded.push(run.slot.clone());
        }
    }

    fn forget_old(&mut self, environment: &EnvironmentName, cron: &str) {
        let of_cron = |slot: &&Slot| &slot.environment == environment && slot.cron == cron;
        let slots = self.recorded.iter().rev().filter(of_cron);
        let old: Vec<Slot> = slots.skip(RUNS_KEPT as usize).cloned().collect();
        for slot in old {
            if is_closed(&self.runs[&slot]) {
                self.runs.remove(&slot);
                self.recorded.retain(|kept| kept != &slot);
            }
        }
    }
}

#[async_trait]
impl CronStore for MemoryStore {
    async fn cron_cursor(
        &self,
        environment: &EnvironmentName,
        cron: &str,
    ) -> Result<Option<Cursor>, StoreError> {
        let key = (environment.clone(), cron.to_owned());
        Ok(self.rows().crons.cursors.get(&key).cloned())
    }

    async fn pass_slots(
        &self,
        environment: &EnvironmentName,
        cron: &str,
        cursor: &Cursor,
        runs: &[CronRun],
    ) -> Result<(), StoreError> {
        let rows = &mut self.rows().crons;
        let key = (environment.clone(), cron.to_owned());
        rows.cursors.insert(key, cursor.clone());
        for run in runs {
            let known = rows.runs.get(&run.slot);
            if known.is_none_or(|known| matches!(known.state, RunState::Skipped(_))) {
                rows.record(run);
            }
        }
        rows.forget_old(environment, cron);
        Ok(())
    }

    async fn keep_cursors(&self, known: &[(EnvironmentName, String)]) -> Result<(), StoreError> {
        let rows = &mut self.rows().crons;
        rows.cursors.retain(|cron, _| known.contains(cron));
        Ok(())
    }

    async fn ask_run(&self, run: &CronRun) -> Result<(), StoreError> {
        let rows = &mut self.rows().crons;
        if !rows.runs.contains_key(&run.slot) {
            rows.record(run);
        }
        Ok(())
    }

    async fn begin_run(&self, slot: &Slot, began: &Began) -> Result<Turn, StoreError> {
        let rows = &mut self.rows().crons;
        let mut of_environment = rows
            .runs
            .values()
            .filter(|r| r.slot.environment == slot.environment);
        if of_environment.any(|run| matches!(run.state, RunState::Running(_))) {
            return Ok(Turn::Taken);
        }
        let leases = rows.leases.iter();
        let leases = leases.filter(|((e, _), _)| e == &slot.environment);
        let leases = leases.map(|(_, lease)| lease.clone()).collect();
        if let Some(lease) = holding(leases, began.at_ms) {
            return Ok(Turn::Held(lease));
        }
        match rows.runs.get_mut(slot) {
            Some(run) if run.state == RunState::Waiting => {
                run.state = RunState::Running(began.clone());
                Ok(Turn::Begun)
            }
            _ => Ok(Turn::Gone),
        }
    }

    async fn end_run(&self, run: &CronRun) -> Result<(), StoreError> {
        let rows = &mut self.rows().crons;
        rows.record(run);
        rows.forget_old(&run.slot.environment, &run.slot.cron);
        Ok(())
    }

    async fn cron_run(&self, slot: &Slot) -> Result<Option<CronRun>, StoreError> {
        Ok(self.rows().crons.runs.get(slot).cloned())
    }

    async fn cron_runs(
        &self,
        environment: &EnvironmentName,
        cron: Option<&str>,
        limit: u32,
    ) -> Result<Vec<CronRun>, StoreError> {
        let rows = self.rows();
        let is_meant = |slot: &&Slot| {
            &slot.environment == environment && cron.is_none_or(|cron| slot.cron == cron)
        };
        let newest = rows.crons.recorded.iter().rev().filter(is_meant);
        let newest = newest.take(limit as usize);
        Ok(newest.map(|slot| rows.crons.runs[slot].clone()).collect())
    }

    async fn open_runs(&self) -> Result<Vec<CronRun>, StoreError> {
        let rows = self.rows();
        let open = rows.crons.runs.values().filter(|run| !is_closed(run));
        let mut open: Vec<_> = open.cloned().collect();
        open.sort_by(|a, b| (a.slot.at_ms, &a.slot).cmp(&(b.slot.at_ms, &b.slot)));
        Ok(open)
    }

    async fn leases(&self, environment: &EnvironmentName) -> Result<Vec<Lease>, StoreError> {
        let rows = self.rows();
        let of_environment = rows
            .crons
            .leases
            .iter()
            .filter(|((e, _), _)| e == environment);
        Ok(of_environment.map(|(_, lease)| lease.clone()).collect())
    }

    async fn put_lease(
        &self,
        environment: &EnvironmentName,
        lease: &Lease,
    ) -> Result<(), StoreError> {
        let rows = &mut self.rows().crons;
        let key = (environment.clone(), lease.owner.clone());
        let known = rows.leases.get(&key).cloned().into_iter().collect();
        let known_until = holding(known, lease.since_ms).map_or(0, |known| known.until_ms);
        let mut lease = lease.clone();
        lease.until_ms = lease.until_ms.max(known_until);
        rows.leases.insert(key, lease);
        Ok(())
    }

    async fn drop_lease(
        &self,
        environment: &EnvironmentName,
        owner: &Owner,
    ) -> Result<(), StoreError> {
        let key = (environment.clone(), owner.clone());
        self.rows().crons.leases.remove(&key);
        Ok(())
    }
}

fn is_closed(run: &CronRun) -> bool {
    matches!(run.state, RunState::Skipped(_) | RunState::Over(_))
}
