//! State in SQLite: one writer thread, every commit on disk before its caller goes on.
//!
//! A unique partial index makes "one unfinished operation per environment" the database's business. When the disk is
//! full a reserve file is given up, so that an undo can always be written down.

mod clears;
mod crons;
mod database;
mod operations;
mod reserve;
mod schema;
mod state;

use std::path::Path;

use async_trait::async_trait;
use stratus_core::cache::{PendingClear, Target};
use stratus_core::operation::{Entry, Event, Outcome};
use stratus_core::route::RouteTable;
use stratus_core::store::{Begun, Operation, Pin, StoreError};
use stratus_core::{
    Environment, EnvironmentName, EnvironmentState, Generation, OperationId, Pool, PoolId,
    ReleaseId, Store,
};

use crate::store::database::Database;

/// The state database of one data folder.
pub struct SqliteStore {
    database: Database,
}

impl SqliteStore {
    /// Opens the database at `path`, or makes it.
    ///
    /// # Errors
    /// When it is damaged or was written by a newer version: it is refused, never taken for a new one.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            database: Database::open(path)?,
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn begin(&self, operation: &Operation) -> Result<Begun, StoreError> {
        let operation = operation.clone();
        self.database
            .write(move |c| operations::begin(c, &operation))
            .await
    }

    async fn append(
        &self,
        operation: &OperationId,
        at_ms: u64,
        event: &Event,
    ) -> Result<u64, StoreError> {
        let (operation, event) = (operation.clone(), event.clone());
        self.database
            .write(move |c| operations::append(c, &operation, at_ms, &event))
            .await
    }

    async fn finish(
        &self,
        operation: &OperationId,
        at_ms: u64,
        outcome: Outcome,
    ) -> Result<u64, StoreError> {
        let operation = operation.clone();
        self.database
            .write(move |c| operations::finish(c, &operation, at_ms, outcome))
            .await
    }

    async fn journal(&self, operation: &OperationId, after: u64) -> Result<Vec<Entry>, StoreError> {
        let operation = operation.clone();
        self.database
            .read(move |c| operations::journal(c, &operation, after))
            .await
    }

    async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        let id = id.clone();
        self.database.read(move |c| operations::find(c, &id)).await
    }

    async fn requested(&self, request: &str) -> Result<Option<Operation>, StoreError> {
        let request = request.to_owned();
        self.database
            .read(move |c| operations::requested(c, &request))
            .await
    }

    async fn operations(
        &self,
        environment: Option<&EnvironmentName>,
        limit: u32,
    ) -> Result<Vec<Operation>, StoreError> {
        let environment = environment.cloned();
        self.database
            .read(move |c| operations::list(c, environment.as_ref(), limit))
            .await
    }

    async fn unfinished(&self) -> Result<Vec<Operation>, StoreError> {
        self.database.read(operations::unfinished).await
    }

    async fn next_generation(
        &self,
        environment: &EnvironmentName,
    ) -> Result<Generation, StoreError> {
        let environment = environment.clone();
        self.database
            .write(move |c| state::next_generation(c, &environment))
            .await
    }

    async fn state(&self, environment: &EnvironmentName) -> Result<EnvironmentState, StoreError> {
        let environment = environment.clone();
        self.database
            .read(move |c| state::state(c, &environment))
            .await
    }

    async fn put_state(
        &self,
        environment: &EnvironmentName,
        state: &EnvironmentState,
    ) -> Result<(), StoreError> {
        let (environment, value) = (environment.clone(), state.clone());
        self.database
            .write(move |c| state::put_state(c, &environment, &value))
            .await
    }

    async fn pool(&self, id: &PoolId) -> Result<Option<Pool>, StoreError> {
        let id = id.clone();
        self.database.read(move |c| state::pool(c, &id)).await
    }

    async fn pools(&self, environment: &EnvironmentName) -> Result<Vec<Pool>, StoreError> {
        let environment = environment.clone();
        self.database
            .read(move |c| state::pools(c, &environment))
            .await
    }

    async fn put_pool(&self, pool: &Pool) -> Result<(), StoreError> {
        let pool = pool.clone();
        self.database
            .write(move |c| state::put_pool(c, &pool))
            .await
    }

    async fn forget_pool(&self, id: &PoolId) -> Result<(), StoreError> {
        let id = id.clone();
        self.database
            .write(move |c| state::forget_pool(c, &id))
            .await
    }

    async fn environments(&self) -> Result<Vec<Environment>, StoreError> {
        self.database.read(state::environments).await
    }

    async fn put_environments(&self, environments: &[Environment]) -> Result<(), StoreError> {
        let environments = environments.to_vec();
        self.database
            .write(move |c| state::put_environments(c, &environments))
            .await
    }

    async fn routes(&self) -> Result<RouteTable, StoreError> {
        self.database.read(state::routes).await
    }

    async fn put_routes(&self, table: &RouteTable) -> Result<(), StoreError> {
        let table = table.clone();
        self.database
            .write(move |c| state::put_routes(c, &table))
            .await
    }

    async fn pinned(&self, environment: &EnvironmentName) -> Result<Vec<ReleaseId>, StoreError> {
        let environment = environment.clone();
        self.database
            .read(move |c| state::pinned(c, &environment))
            .await
    }

    async fn pin(
        &self,
        environment: &EnvironmentName,
        release: &ReleaseId,
        pin: Pin,
    ) -> Result<(), StoreError> {
        let (environment, release) = (environment.clone(), release.clone());
        self.database
            .write(move |c| state::pin(c, &environment, &release, pin))
            .await
    }

    async fn pending_clears(&self) -> Result<Vec<PendingClear>, StoreError> {
        self.database.read(clears::pending).await
    }

    async fn put_pending_clear(&self, pending: &PendingClear) -> Result<(), StoreError> {
        let pending = pending.clone();
        self.database.write(move |c| clears::put(c, &pending)).await
    }

    async fn forget_pending_clear(
        &self,
        environment: &EnvironmentName,
        target: &Target,
    ) -> Result<(), StoreError> {
        let (environment, target) = (environment.clone(), target.clone());
        self.database
            .write(move |c| clears::forget(c, &environment, &target))
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[tokio::test]
    async fn nobody_but_its_owner_reads_the_database_and_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let store = SqliteStore::open(&path).unwrap();
        store.put_environments(&[]).await.unwrap();
        for name in ["state.db", "state.db-wal", "state.db-shm"] {
            assert_eq!(mode(&folder.path().join(name)), 0o600, "{name}");
        }
    }

    #[tokio::test]
    async fn a_database_that_others_could_read_is_closed_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        drop(SqliteStore::open(&path).unwrap());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let _store = SqliteStore::open(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
    }
}
