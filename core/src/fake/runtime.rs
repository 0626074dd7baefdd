//! The fake machine's container engine.

use std::time::Duration;

use async_trait::async_trait;

use crate::environment::Ready;
use crate::fake::machine::FakeMachine;
use crate::fake::world::FakePool;
use crate::route::Share;
use crate::runtime::{Drained, Observed, Restart, RuntimeError};
use crate::{OperationId, Pool, PoolId, Runtime};

/// The image that the fake engine does not have.
pub const MISSING_IMAGE: &str = "missing";

#[async_trait]
impl Runtime for FakeMachine {
    async fn image(&self, reference: &str, _: &str) -> Result<String, RuntimeError> {
        if reference == MISSING_IMAGE {
            return Err(RuntimeError::NoImage {
                image: reference.to_owned(),
            });
        }
        Ok(format!("sha256:{reference}"))
    }

    async fn create(&self, pool: &Pool, _: &OperationId) -> Result<(), RuntimeError> {
        self.change("create", |state| {
            let fresh = || FakePool::created(pool.members);
            state
                .world
                .pools
                .entry(pool.id.clone())
                .or_insert_with(fresh);
        });
        Ok(())
    }

    async fn start(&self, pool: &Pool) -> Result<(), RuntimeError> {
        self.change("start", |state| {
            let fresh = || FakePool::created(pool.members);
            let known = state
                .world
                .pools
                .entry(pool.id.clone())
                .or_insert_with(fresh);
            known.running = true;
        });
        Ok(())
    }

    async fn ready(&self, pool: &Pool, _: &str, _: &Ready) -> Result<(), RuntimeError> {
        if self.state().world.answers(&pool.id) {
            return Ok(());
        }
        let detail = "it does not run, or stands still".to_owned();
        Err(RuntimeError::NotReady {
            pool: pool.id.clone(),
            detail,
        })
    }

    async fn warm(&self, pool: &Pool, host: &str, path: &str) -> Result<(), RuntimeError> {
        self.change("warm", |state| {
            state.calls.push(format!("warm {} {host} {path}", pool.id));
        });
        Ok(())
    }

    async fn set_restart(&self, pool: &Pool, restart: Restart) -> Result<(), RuntimeError> {
        self.change("set_restart", |state| {
            if let Some(known) = state.world.pools.get_mut(&pool.id) {
                known.set(restart);
            }
        });
        Ok(())
    }

    async fn drain(&self, pool: &Pool, _: Duration) -> Result<Drained, RuntimeError> {
        let remaining = self.change("drain", |state| {
            let links = state.world.links.get(&pool.id.environment).copied();
            let links = links.unwrap_or_default();
            let is_shared = links.previous == Some(pool.id.generation);
            let has_traffic = match links.share {
                Share::First { members, .. } if is_shared => pool.members > members,
                _ => links.live == Some(pool.id.generation),
            };
            if has_traffic {
                let message = format!("{} was drained while traffic points at it", pool.id);
                state.violations.push(message);
            }
            if state.world.frozen.contains(&pool.id) {
                let message = format!("{} was drained while it stands still", pool.id);
                state.violations.push(message);
            }
            if state.endless {
                return 1;
            }
            if let Some(known) = state.world.pools.get_mut(&pool.id)
                && pool.members == known.members
            {
                known.busy = false;
            }
            0
        });
        Ok(Drained { remaining })
    }

    async fn freeze(&self, pool: &PoolId) -> Result<(), RuntimeError> {
        self.change("freeze", |state| state.world.frozen.insert(pool.clone()));
        Ok(())
    }

    async fn thaw(&self, pool: &PoolId) -> Result<(), RuntimeError> {
        self.change("thaw", |state| state.world.frozen.remove(pool));
        Ok(())
    }

    async fn stop(&self, pool: &PoolId, _: Duration) -> Result<(), RuntimeError> {
        self.change("stop", |state| {
            state.violations.extend(state.world.why_not_stop(pool));
            if let Some(known) = state.world.pools.get_mut(pool) {
                known.running = false;
            }
        });
        Ok(())
    }

    async fn remove(&self, pool: &PoolId) -> Result<(), RuntimeError> {
        self.change("remove", |state| {
            state.violations.extend(state.world.why_not_stop(pool));
            state.world.pools.remove(pool);
        });
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Observed>, RuntimeError> {
        let state = self.state();
        let members = state.world.pools.iter().flat_map(|(id, pool)| {
            (0..pool.members).map(|index| Observed {
                pool: id.clone(),
                index,
                running: pool.running,
                operation: None,
            })
        });
        Ok(members.collect())
    }
}
