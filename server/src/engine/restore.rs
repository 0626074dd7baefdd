//! Makes what should be live live again: at start-up, and whenever the container engine came back.

use stratus_core::fault::chain;
use stratus_core::runtime::Restart;
use stratus_core::store::{Operation, StoreError};
use stratus_core::{EnvironmentName, PoolId};

use crate::engine::Engine;
use crate::engine::act::{ActError, Machine, has_moved};

impl Machine {
    /// Starts the live pool of every environment where it does not run, and sets its restart policy. One environment's
    /// failure does not keep the others down.
    pub async fn restore_live(&self) -> Result<(), StoreError> {
        let unfinished = self.store.unfinished().await?;
        for environment in self.store.environments().await? {
            let holder = unfinished
                .iter()
                .find(|operation| operation.plan.environment.name == environment.name);
            if let Some(holder) = holder
                && self.has_moved(holder).await?
            {
                continue;
            }
            if let Err(error) = self.restore_environment(&environment.name).await {
                tracing::error!(
                    environment = %environment.name, error = %chain(&error), "the live pool cannot be restored"
                );
            }
        }
        Ok(())
    }

    /// Whether a consistent deployment has moved traffic away from the live pool: it goes on, or back, by itself, and no old
    /// code may run beside its hooks.
    async fn has_moved(&self, holder: &Operation) -> Result<bool, StoreError> {
        let entries = self.store.journal(&holder.id, 0).await?;
        Ok(has_moved(&holder.plan, &entries) && self.points_at_target(&holder.plan).await)
    }

    async fn restore_environment(&self, name: &EnvironmentName) -> Result<(), ActError> {
        let Some(live) = self.store.state(name).await?.live else {
            return Ok(());
        };
        let id = PoolId::new(name, live.generation);
        let running = self.runtime.list().await?;
        let ready = running.iter().filter(|m| m.pool == id && m.running).count();
        if ready >= usize::from(live.members) {
            return Ok(());
        }
        tracing::warn!(pool = %id, running = ready, members = live.members, "restoring the live pool");
        let pool = self.known_pool(&id).await?;
        self.runtime.start(&pool).await?;
        Ok(self.runtime.set_restart(&pool, Restart::Always).await?)
    }

    /// Deletes what interrupted copies and removals of releases left. What cannot be deleted now is tried at the next
    /// start.
    pub async fn sweep_releases(&self) -> Result<(), StoreError> {
        let unfinished = self.store.unfinished().await?;
        let running: Vec<_> = unfinished.into_iter().map(|o| o.id).collect();
        for environment in self.store.environments().await? {
            if let Err(error) = self.snapshots.sweep(&environment.name, &running).await {
                tracing::warn!(environment = %environment.name, error = %chain(&error), "releases are not swept");
            }
        }
        Ok(())
    }

    /// Makes nginx serve what is stored, leaving alone the sites of environments that an operation holds.
    pub async fn restore_routes(&self) -> Result<(), ActError> {
        let environments = self.store.environments().await?;
        let unfinished = self.store.unfinished().await?;
        let held: Vec<_> = unfinished
            .into_iter()
            .map(|o| o.plan.environment.name)
            .collect();
        self.load_environments(&environments, &held).await
    }
}

impl Engine {
    /// The environments that an operation holds.
    pub async fn held(&self) -> Result<Vec<EnvironmentName>, StoreError> {
        let unfinished = self.store().unfinished().await?;
        Ok(unfinished
            .into_iter()
            .map(|o| o.plan.environment.name)
            .collect())
    }
}
