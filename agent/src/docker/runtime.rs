//! The engine as the domain's `Runtime`: pools made of PHP-FPM containers, changed one call at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use stratus_core::environment::Ready;
use stratus_core::runtime::{Drained, Observed, Restart, RuntimeError};
use stratus_core::{OperationId, Pool, PoolId, Runtime};
use tokio::sync::Mutex;

use super::engine::Engine;
use super::pools::{Options, Pools};
use super::tasks::DockerTasks;
use crate::fpm::{drain, ready};
use crate::layout::Layout;

/// Pools on one engine.
///
/// Whatever changes a pool runs in a task of its own and takes turns with what else changes it: a call that nobody awaits
/// any more is carried out whole before the next one begins.
pub struct DockerRuntime {
    pools: Arc<Pools>,
    turns: Mutex<HashMap<PoolId, Arc<Mutex<()>>>>,
}

impl DockerRuntime {
    /// The pools of `layout`'s installation on `engine`.
    pub fn new(engine: Engine, layout: Layout, options: Options) -> Self {
        Self {
            pools: Arc::new(Pools::new(engine, layout, options)),
            turns: Mutex::default(),
        }
    }

    /// Tasks beside these pools.
    pub fn tasks(&self) -> DockerTasks {
        DockerTasks::new(self.pools.clone())
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.pools.engine
    }

    /// Carries out a change of a pool, when it is its turn, to its end.
    async fn change<F>(
        &self,
        pool: &PoolId,
        change: impl FnOnce(Arc<Pools>) -> F,
    ) -> Result<(), RuntimeError>
    where
        F: Future<Output = Result<(), RuntimeError>> + Send + 'static,
    {
        let turn = self
            .turns
            .lock()
            .await
            .entry(pool.clone())
            .or_default()
            .clone();
        // Taken here, so that turns are in the order of the calls; kept there, so that nothing begins before the end.
        let turn = turn.lock_owned().await;
        let change = change(self.pools.clone());
        let carried_out = tokio::spawn(async move {
            let _turn = turn;
            change.await
        });
        carried_out.await.unwrap_or_else(|ended| {
            Err(RuntimeError::Refused {
                detail: format!("the change ended early: {ended}"),
            })
        })
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    async fn image(&self, reference: &str, fpm: &str) -> Result<String, RuntimeError> {
        self.pools.image(reference, fpm).await
    }

    async fn create(&self, pool: &Pool, operation: &OperationId) -> Result<(), RuntimeError> {
        let (owned, operation) = (pool.clone(), operation.clone());
        let create = |pools: Arc<Pools>| async move { pools.create(&owned, &operation).await };
        self.change(&pool.id, create).await
    }

    async fn start(&self, pool: &Pool) -> Result<(), RuntimeError> {
        let owned = pool.clone();
        let start = |pools: Arc<Pools>| async move { pools.start(&owned).await };
        self.change(&pool.id, start).await
    }

    async fn ready(&self, pool: &Pool, host: &str, ready: &Ready) -> Result<(), RuntimeError> {
        ready::ready(pool, &self.pools.members(pool), host, ready).await
    }

    async fn warm(&self, pool: &Pool, host: &str, path: &str) -> Result<(), RuntimeError> {
        ready::warm(pool, &self.pools.members(pool), host, path).await
    }

    async fn set_restart(&self, pool: &Pool, restart: Restart) -> Result<(), RuntimeError> {
        let owned = pool.clone();
        let set = |pools: Arc<Pools>| async move { pools.set_restart(&owned, restart).await };
        self.change(&pool.id, set).await
    }

    async fn drain(&self, pool: &Pool, limit: Duration) -> Result<Drained, RuntimeError> {
        drain::drain(&self.pools.members(pool), pool.php.workers, limit).await
    }

    async fn freeze(&self, pool: &PoolId) -> Result<(), RuntimeError> {
        let owned = pool.clone();
        let freeze = |pools: Arc<Pools>| async move { pools.freeze(&owned).await };
        self.change(pool, freeze).await
    }

    async fn thaw(&self, pool: &PoolId) -> Result<(), RuntimeError> {
        let owned = pool.clone();
        let thaw = |pools: Arc<Pools>| async move { pools.thaw(&owned).await };
        self.change(pool, thaw).await
    }

    async fn stop(&self, pool: &PoolId, grace: Duration) -> Result<(), RuntimeError> {
        let owned = pool.clone();
        let stop = |pools: Arc<Pools>| async move { pools.stop_all(&owned, grace).await.map(drop) };
        self.change(pool, stop).await
    }

    async fn remove(&self, pool: &PoolId) -> Result<(), RuntimeError> {
        let owned = pool.clone();
        let remove = |pools: Arc<Pools>| async move { pools.remove(&owned).await };
        self.change(pool, remove).await?;
        // Nobody waits for a turn of a pool that is gone, or takes a new one.
        self.turns
            .lock()
            .await
            .retain(|_, turn| Arc::strong_count(turn) > 1);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Observed>, RuntimeError> {
        let pools = &self.pools;
        Ok(pools.engine.observe(pools.layout.installation()).await?)
    }
}
