//! The route table: which site an environment has, and how a change of it reaches nginx.

use stratus_core::environment::Environment;
use stratus_core::route::{RouteTable, Site};
use stratus_core::{EnvironmentName, Pool};

use crate::engine::act::{ActError, Machine};

/// The site of `environment` as `pool` serves it: paths are the pool's, names are the environment's.
pub fn site(environment: &Environment, pool: &Pool) -> Site {
    Site {
        code: pool.code.clone(),
        docroot: pool.docroot.clone(),
        mount: pool.php.mount.clone(),
        shared: pool.shared.clone(),
        upload_limit: pool.upload_limit,
        ..Site::of(environment, pool.members)
    }
}

impl Machine {
    /// Puts `site` into the stored table and makes nginx serve the table.
    pub async fn load_site(&self, site: Site) -> Result<(), ActError> {
        let _one_at_a_time = self.routes.lock().await;
        let before = self.store.routes().await?;
        let mut table = before.clone();
        table.put(site);
        self.load_table(&before, table).await
    }

    /// Makes nginx serve exactly `environments`, in this order: each as its live pool serves it. The site of an
    /// environment in `held` stays as it is, for an operation is changing it.
    pub async fn load_environments(
        &self,
        environments: &[Environment],
        held: &[EnvironmentName],
    ) -> Result<(), ActError> {
        let _one_at_a_time = self.routes.lock().await;
        let before = self.store.routes().await?;
        let mut table = RouteTable::default();
        for environment in environments {
            let kept = before
                .site(&environment.name)
                .filter(|_| held.contains(&environment.name));
            table.put(match kept {
                Some(site) => site.clone(),
                None => self.live_site(environment).await?,
            });
        }
        self.load_table(&before, table).await
    }

    async fn live_site(&self, environment: &Environment) -> Result<Site, ActError> {
        let state = self.store.state(&environment.name).await?;
        let Some(live) = state.live else {
            return Ok(Site::of(environment, 0));
        };
        let id = stratus_core::PoolId::new(&environment.name, live.generation);
        Ok(site(environment, &self.known_pool(&id).await?))
    }

    async fn load_table(&self, before: &RouteTable, table: RouteTable) -> Result<(), ActError> {
        self.store.put_routes(&table).await?;
        if let Err(error) = self.router.load(&table).await {
            // nginx serves the old text: what is stored must say so.
            self.store.put_routes(before).await?;
            return Err(error.into());
        }
        Ok(())
    }
}
