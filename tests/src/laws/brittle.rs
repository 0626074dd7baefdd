//! The fake machine behind a tap: every one of its effects is a place to die at, or to fail at.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use stratus_core::cache::{Clear, ClearError, Cleared, Target};
use stratus_core::environment::Ready;
use stratus_core::fake::FakeMachine;
use stratus_core::release::{OnDisk, Snapshot};
use stratus_core::route::{Closed, Links, RouteTable, Site};
use stratus_core::router::{Loaded, RouterError, Visit};
use stratus_core::runtime::{Drained, Observed, Restart, RuntimeError};
use stratus_core::snapshots::{
    CodeTree, Difference, Fetch, Fetched, Forecast, SnapshotError, Take,
};
use stratus_core::tasks::{Begun, ObservedTask, Task, TaskError, TaskId, TaskOutput, TaskState};
use stratus_core::tenant::{TenantError, TenantRules};
use stratus_core::{
    Cleaner, Environment, EnvironmentName, Generation, OperationId, Pool, PoolId, ReleaseId,
    Router, Runtime, Snapshots, Tasks,
};

use crate::laws::tap::{Tap, Tripped};

/// A machine whose effects go through a tap.
pub(crate) struct Brittle {
    pub machine: FakeMachine,
    pub tap: Arc<Tap>,
}

impl From<Tripped> for RuntimeError {
    fn from(Tripped: Tripped) -> Self {
        Self::Refused {
            detail: "the engine failed on purpose".to_owned(),
        }
    }
}

impl From<Tripped> for RouterError {
    fn from(Tripped: Tripped) -> Self {
        Self::Refused {
            detail: "the router failed on purpose".to_owned(),
        }
    }
}

impl From<Tripped> for SnapshotError {
    fn from(Tripped: Tripped) -> Self {
        Self::NoSpace {
            detail: "the disk failed on purpose".to_owned(),
        }
    }
}

impl From<Tripped> for ClearError {
    fn from(Tripped: Tripped) -> Self {
        Self::Unavailable {
            detail: "the cache failed on purpose".to_owned(),
        }
    }
}

#[async_trait]
impl Cleaner for Brittle {
    async fn clear(&self, clear: Clear<'_>) -> Result<Cleared, ClearError> {
        self.tap.effect(self.machine.clear(clear)).await
    }

    async fn is_done(&self, _: &Environment, _: &Target, _: &str) -> Result<bool, ClearError> {
        Ok(true)
    }
}

#[async_trait]
impl Runtime for Brittle {
    async fn image(&self, reference: &str, fpm: &str) -> Result<String, RuntimeError> {
        self.machine.image(reference, fpm).await
    }

    async fn create(&self, pool: &Pool, operation: &OperationId) -> Result<(), RuntimeError> {
        self.tap.effect(self.machine.create(pool, operation)).await
    }

    async fn start(&self, pool: &Pool) -> Result<(), RuntimeError> {
        self.tap.effect(Runtime::start(&self.machine, pool)).await
    }

    async fn ready(&self, pool: &Pool, host: &str, ready: &Ready) -> Result<(), RuntimeError> {
        self.machine.ready(pool, host, ready).await
    }

    async fn warm(&self, pool: &Pool, host: &str, path: &str) -> Result<(), RuntimeError> {
        self.tap.effect(self.machine.warm(pool, host, path)).await
    }

    async fn set_restart(&self, pool: &Pool, restart: Restart) -> Result<(), RuntimeError> {
        self.tap
            .effect(self.machine.set_restart(pool, restart))
            .await
    }

    async fn drain(&self, pool: &Pool, limit: Duration) -> Result<Drained, RuntimeError> {
        self.tap.effect(self.machine.drain(pool, limit)).await
    }

    async fn freeze(&self, pool: &PoolId) -> Result<(), RuntimeError> {
        self.tap.effect(self.machine.freeze(pool)).await
    }

    async fn thaw(&self, pool: &PoolId) -> Result<(), RuntimeError> {
        self.tap.effect(self.machine.thaw(pool)).await
    }

    async fn stop(&self, pool: &PoolId, grace: Duration) -> Result<(), RuntimeError> {
        self.tap
            .effect(Runtime::stop(&self.machine, pool, grace))
            .await
    }

    async fn remove(&self, pool: &PoolId) -> Result<(), RuntimeError> {
        self.tap.effect(Runtime::remove(&self.machine, pool)).await
    }

    async fn list(&self) -> Result<Vec<Observed>, RuntimeError> {
        Runtime::list(&self.machine).await
    }
}

impl From<Tripped> for TaskError {
    fn from(Tripped: Tripped) -> Self {
        Self::Refused {
            detail: "the engine failed on purpose".to_owned(),
        }
    }
}

#[async_trait]
impl Tasks for Brittle {
    async fn start(&self, task: &Task) -> Result<Begun, TaskError> {
        self.tap.effect(Tasks::start(&self.machine, task)).await
    }

    async fn look(&self, id: &TaskId) -> Result<TaskState, TaskError> {
        self.machine.look(id).await
    }

    async fn wait(&self, id: &TaskId) -> Result<TaskState, TaskError> {
        self.machine.wait(id).await
    }

    async fn stop(&self, id: &TaskId, grace: Duration) -> Result<(), TaskError> {
        self.tap.effect(Tasks::stop(&self.machine, id, grace)).await
    }

    async fn output(&self, id: &TaskId, bytes: usize) -> Result<TaskOutput, TaskError> {
        self.machine.output(id, bytes).await
    }

    async fn remove(&self, id: &TaskId) -> Result<(), TaskError> {
        self.tap.effect(Tasks::remove(&self.machine, id)).await
    }

    async fn list(&self) -> Result<Vec<ObservedTask>, TaskError> {
        Tasks::list(&self.machine).await
    }
}

#[async_trait]
impl Router for Brittle {
    async fn load(&self, table: &RouteTable) -> Result<Loaded, RouterError> {
        self.tap.effect(self.machine.load(table)).await
    }

    async fn test(&self, table: &RouteTable) -> Result<(), RouterError> {
        self.machine.test(table).await
    }

    async fn read_rules(&self, site: &Site) -> Result<TenantRules, TenantError> {
        self.machine.read_rules(site).await
    }

    async fn settle(&self) -> Result<(), RouterError> {
        self.tap.effect(self.machine.settle()).await
    }

    async fn flip(&self, environment: &EnvironmentName, links: Links) -> Result<(), RouterError> {
        self.tap.effect(self.machine.flip(environment, links)).await
    }

    async fn links(&self, environment: &EnvironmentName) -> Result<Links, RouterError> {
        self.machine.links(environment).await
    }

    async fn set_closed(
        &self,
        environment: &EnvironmentName,
        why: Closed,
        closed: bool,
    ) -> Result<(), RouterError> {
        let set = self.machine.set_closed(environment, why, closed);
        self.tap.effect(set).await
    }

    async fn is_closed(
        &self,
        environment: &EnvironmentName,
        why: Closed,
    ) -> Result<bool, RouterError> {
        self.machine.is_closed(environment, why).await
    }

    async fn visit(&self, host: &str, path: &str) -> Result<Visit, RouterError> {
        self.machine.visit(host, path).await
    }

    async fn confirm(
        &self,
        environment: &EnvironmentName,
        generation: Generation,
        members: u16,
    ) -> Result<(), RouterError> {
        let confirmed = self.machine.confirm(environment, generation, members);
        self.tap.effect(confirmed).await
    }
}

#[async_trait]
impl Snapshots for Brittle {
    async fn fetch(&self, fetch: Fetch<'_>) -> Result<Fetched, SnapshotError> {
        self.tap.effect(self.machine.fetch(fetch)).await
    }

    async fn forget_fetched(
        &self,
        environment: &EnvironmentName,
        operation: &OperationId,
    ) -> Result<(), SnapshotError> {
        let forgotten = self.machine.forget_fetched(environment, operation);
        self.tap.effect(forgotten).await
    }

    async fn preflight(
        &self,
        environment: &Environment,
        tree: CodeTree<'_>,
        base: Option<&ReleaseId>,
    ) -> Result<Forecast, SnapshotError> {
        self.machine.preflight(environment, tree, base).await
    }

    async fn take(&self, request: Take<'_>) -> Result<Snapshot, SnapshotError> {
        self.tap.effect(self.machine.take(request)).await
    }

    async fn discard(
        &self,
        environment: &EnvironmentName,
        operation: &OperationId,
    ) -> Result<(), SnapshotError> {
        let discarded = self.machine.discard(environment, operation);
        self.tap.effect(discarded).await
    }

    async fn remove(
        &self,
        environment: &EnvironmentName,
        release: &ReleaseId,
    ) -> Result<(), SnapshotError> {
        let removed = Snapshots::remove(&self.machine, environment, release);
        self.tap.effect(removed).await
    }

    async fn compare(
        &self,
        environment: &Environment,
        release: &ReleaseId,
    ) -> Result<Vec<(PathBuf, Difference)>, SnapshotError> {
        self.machine.compare(environment, release).await
    }

    async fn list(&self, environment: &EnvironmentName) -> Result<Vec<OnDisk>, SnapshotError> {
        Snapshots::list(&self.machine, environment).await
    }

    async fn sweep(
        &self,
        environment: &EnvironmentName,
        running: &[OperationId],
    ) -> Result<(), SnapshotError> {
        self.machine.sweep(environment, running).await
    }
}
