//! The route table: which site an environment has, and how a change of it reaches nginx.

use stratus_core::environment::Environment;
use stratus_core::route::{RouteTable, Site};
use stratus_core::router::RouterError;
use stratus_core::store::StoreError;
use stratus_core::tenant::{TenantError, TenantRules};
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

/// What came of reading a tenant's files.
#[derive(Debug)]
pub struct Updated {
    /// The rules that are in force now.
    pub rules: TenantRules,
    /// Whether they are others than before.
    pub changed: bool,
    /// Whether nginx was reloaded.
    pub reloaded: bool,
}

/// Why a tenant's files do not take effect. The rules of before stay in force.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// They are refused, or cannot be read.
    #[error("the nginx files are refused, the ones accepted last stay in force")]
    Rules(#[from] TenantError),
    /// nginx does not take them, or something else is in the way.
    #[error("the nginx files accepted last stay in force")]
    Act(#[from] ActError),
}

impl From<StoreError> for UpdateError {
    fn from(error: StoreError) -> Self {
        Self::Act(error.into())
    }
}

impl From<RouterError> for UpdateError {
    fn from(error: RouterError) -> Self {
        Self::Act(error.into())
    }
}

impl Machine {
    /// Makes nginx serve by the files that the owner of `environment`'s working tree wrote, as they are now.
    ///
    /// Safe at any time, during an operation too: changes of the route table are made one at a time, and no operation
    /// changes these rules.
    ///
    /// # Idempotence
    /// Files that say nothing else than before change nothing, and nginx is not asked.
    ///
    /// # Errors
    /// When they are refused: then nothing has changed.
    pub async fn update_rules(&self, environment: &Environment) -> Result<Updated, UpdateError> {
        let name = &environment.name;
        let described = Site::of(environment, 1);
        let rules = self.router.read_rules(&described).await?;
        if self.store.routes().await?.rules(name) == rules {
            return Ok(unchanged(rules));
        }
        let _one_at_a_time = self.routes.lock().await;
        // Read again: while this call waited another one may have, and the files may have changed.
        let rules = self.router.read_rules(&described).await?;
        let mut table = self.store.routes().await?;
        if table.rules(name) == rules {
            return Ok(unchanged(rules));
        }
        table.put_rules(name, rules.clone());
        if table.site(name).is_none_or(|site| site.members == 0) {
            // Nothing of them is served yet, so loading would not test them, and the first switch would fail.
            let mut live = table.clone();
            live.put(described);
            self.router.test(&live).await?;
        }
        let loaded = self.router.load(&table).await?;
        // Stored only now: a start after a crash in between serves by the rules of before, which are known to be good.
        self.store.put_routes(&table).await?;
        Ok(Updated {
            rules,
            changed: true,
            reloaded: loaded.reloaded,
        })
    }

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
        let mut table = RouteTable {
            tenants: before.tenants.clone(),
            ..RouteTable::default()
        };
        let configured = |name: &EnvironmentName| environments.iter().any(|e| &e.name == name);
        table.tenants.retain(|name, _| configured(name));
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

fn unchanged(rules: TenantRules) -> Updated {
    Updated {
        rules,
        changed: false,
        reloaded: false,
    }
}
