//! The crons of a store that can die.

use async_trait::async_trait;
use stratus_core::EnvironmentName;
use stratus_core::crons::{Began, CronRun, CronStore, Cursor, Lease, Owner, Slot, Turn};
use stratus_core::store::StoreError;

use crate::laws::tap::{Scope, Tap};

#[async_trait]
impl CronStore for Tap {
    async fn cron_cursor(
        &self,
        environment: &EnvironmentName,
        cron: &str,
    ) -> Result<Option<Cursor>, StoreError> {
        self.living()?.cron_cursor(environment, cron).await
    }

    async fn pass_slots(
        &self,
        environment: &EnvironmentName,
        cron: &str,
        cursor: &Cursor,
        runs: &[CronRun],
    ) -> Result<(), StoreError> {
        let passed = self.inner.pass_slots(environment, cron, cursor, runs);
        self.write(Scope::Every, passed).await
    }

    async fn keep_cursors(&self, known: &[(EnvironmentName, String)]) -> Result<(), StoreError> {
        self.write(Scope::Every, self.inner.keep_cursors(known))
            .await
    }

    async fn ask_run(&self, run: &CronRun) -> Result<(), StoreError> {
        self.write(Scope::Every, self.inner.ask_run(run)).await
    }

    async fn begin_run(&self, slot: &Slot, began: &Began) -> Result<Turn, StoreError> {
        self.write(Scope::Every, self.inner.begin_run(slot, began))
            .await
    }

    async fn end_run(&self, run: &CronRun) -> Result<(), StoreError> {
        self.write(Scope::Every, self.inner.end_run(run)).await
    }

    async fn cron_run(&self, slot: &Slot) -> Result<Option<CronRun>, StoreError> {
        self.living()?.cron_run(slot).await
    }

    async fn cron_runs(
        &self,
        environment: &EnvironmentName,
        cron: Option<&str>,
        limit: u32,
    ) -> Result<Vec<CronRun>, StoreError> {
        self.living()?.cron_runs(environment, cron, limit).await
    }

    async fn open_runs(&self) -> Result<Vec<CronRun>, StoreError> {
        self.living()?.open_runs().await
    }

    async fn leases(&self, environment: &EnvironmentName) -> Result<Vec<Lease>, StoreError> {
        self.living()?.leases(environment).await
    }

    async fn put_lease(
        &self,
        environment: &EnvironmentName,
        lease: &Lease,
    ) -> Result<(), StoreError> {
        self.write(Scope::Every, self.inner.put_lease(environment, lease))
            .await
    }

    async fn drop_lease(
        &self,
        environment: &EnvironmentName,
        owner: &Owner,
    ) -> Result<(), StoreError> {
        self.write(Scope::Every, self.inner.drop_lease(environment, owner))
            .await
    }
}
