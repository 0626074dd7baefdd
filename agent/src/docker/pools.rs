//! Pools on one engine: what each call of the runtime does, to its end.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use stratus_core::runtime::{Restart, RuntimeError};
use stratus_core::tasks::TaskId;
use stratus_core::{OperationId, Pool, PoolId};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::carrier::Container;
use super::container::Member;
use super::engine::Engine;
use super::error::EngineError;
use super::labels;
use super::members::Standing;
use super::network::Network;
use crate::fpm::carrier;
use crate::fpm::generation::{self, GenerationError, Overlay};
use crate::layout::Layout;

/// How long a member that is removed may finish what it does.
const REMOVE_GRACE: Duration = Duration::from_secs(10);

/// How long a name may be taken by a request that is still being carried out.
const TAKEN_LIMIT: Duration = Duration::from_secs(10);
const TAKEN_PAUSE: Duration = Duration::from_millis(50);
/// Stands for the operation of members that were created again by a start.
const RESTORED: &str = "restored";

/// How members are run on this host.
#[derive(Debug, Clone)]
pub struct Options {
    /// What members can reach.
    pub network: Network,
    /// Group of nginx's workers, who alone enter the socket folders. Debian's and the official image's differ.
    pub nginx_gid: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            network: Network::Installation,
            nginx_gid: 33,
        }
    }
}

/// The engine, and where everything lies.
pub(crate) struct Pools {
    pub engine: Engine,
    pub layout: Layout,
    options: Options,
    /// Digest and program of what was found to be an FPM.
    checked: Mutex<HashSet<(String, String)>>,
    /// The engine allows two networks of one name.
    network: Mutex<()>,
    /// What changes one task takes turns.
    pub tasks: Mutex<HashMap<TaskId, Arc<Mutex<()>>>>,
}

impl Pools {
    /// The pools of `layout`'s installation on `engine`.
    pub fn new(engine: Engine, layout: Layout, options: Options) -> Self {
        Self {
            engine,
            layout,
            options,
            checked: Mutex::default(),
            network: Mutex::default(),
            tasks: Mutex::default(),
        }
    }

    fn name(&self, pool: &PoolId, index: u16) -> String {
        pool.member(index, self.layout.installation())
    }

    pub fn members(&self, pool: &Pool) -> Vec<carrier::Member> {
        let member = |index| carrier::Member {
            index,
            socket: self.layout.socket(&pool.id, index),
            carrier: Box::new(Container {
                engine: self.engine.clone(),
                name: self.name(&pool.id, index),
            }),
        };
        (0..pool.members).map(member).collect()
    }

    /// Makes sure that the members' network is there, and answers its name.
    pub async fn ensure_network(&self) -> Result<String, EngineError> {
        let (network, installation) = (&self.options.network, self.layout.installation());
        let _one_at_a_time = self.network.lock().await;
        self.engine.ensure_network(network, installation).await?;
        Ok(network.name(installation))
    }

    async fn create_or_adopt(
        &self,
        member: &Member<'_>,
        specification: &str,
    ) -> Result<(), RuntimeError> {
        let deadline = Instant::now() + TAKEN_LIMIT;
        loop {
            match self.engine.standing(member, specification).await? {
                Standing::Same => return Ok(()),
                Standing::Outdated => self.engine.discard(&member.name()).await?,
                Standing::Nothing => {}
            }
            match self.create_new(member, specification).await {
                // An earlier request, whose answer nobody awaited, is being carried out: the engine gives its name away
                // before it shows the container.
                Err(EngineError::Conflict { .. }) if Instant::now() < deadline => {
                    sleep(TAKEN_PAUSE).await;
                }
                other => return Ok(other?),
            }
        }
    }

    async fn create_new(
        &self,
        member: &Member<'_>,
        specification: &str,
    ) -> Result<(), EngineError> {
        if let Some(volume) = member.volume() {
            self.renew_overlay(member, &volume).await?;
        }
        self.engine.create_member(member, specification).await
    }

    /// An overlay goes with its container: a new container never sees what another wrote.
    async fn renew_overlay(&self, member: &Member<'_>, volume: &str) -> Result<(), EngineError> {
        self.engine.remove_volume(volume).await?;
        let (layout, pool, index) = (self.layout.clone(), member.pool.clone(), member.index);
        let renewed = blocking(move || generation::renew_overlay(&layout, &pool, index)).await;
        renewed.map_err(|error| EngineError::Refused {
            what: format!("renew the overlay of {}", member.name()),
            detail: stratus_core::fault::chain(&error),
        })?;
        let lower = generation::release(&self.layout, member.pool);
        let overlay = Overlay::of(&self.layout, &member.pool.id, index);
        let labels = labels::of_pool(self.layout.installation(), &member.pool.id);
        self.engine
            .create_overlay(volume, &lower, &overlay, labels)
            .await
    }

    async fn start_member(&self, pool: &Pool, index: u16) -> Result<(), RuntimeError> {
        let name = self.name(&pool.id, index);
        if !self.engine.facts(&name).await?.running {
            let (layout, id) = (self.layout.clone(), pool.id.clone());
            blocking(move || generation::remove_stale_socket(&layout, &id, index)).await?;
            self.engine.start(&name).await?;
        }
        Ok(())
    }

    /// Stops every member and answers which there are.
    pub async fn stop_all(
        &self,
        pool: &PoolId,
        grace: Duration,
    ) -> Result<Vec<String>, RuntimeError> {
        let installation = self.layout.installation();
        let ids = self.engine.containers_of(installation, pool).await?;
        let stops = ids.iter().map(|id| async move {
            // What stands still hears no signal.
            self.engine.thaw(id).await?;
            self.engine.stop(id, grace).await
        });
        all(join_all(stops).await)?;
        Ok(ids)
    }
}

impl Pools {
    pub async fn image(&self, reference: &str, fpm: &str) -> Result<String, RuntimeError> {
        let image = self.engine.image(reference).await?;
        let key = (image.digest.clone(), fpm.to_owned());
        // Held throughout, so that an image is checked once.
        let mut checked = self.checked.lock().await;
        if !checked.contains(&key) {
            let installation = self.layout.installation();
            self.engine
                .check_fpm(installation, reference, &image, fpm)
                .await?;
            checked.insert(key);
        }
        Ok(image.digest)
    }

    pub async fn create(&self, pool: &Pool, operation: &OperationId) -> Result<(), RuntimeError> {
        let image = self.engine.image(&pool.image).await?;
        let specification = specification(pool)?;
        let network = self.ensure_network().await?;
        let (layout, written) = (self.layout.clone(), pool.clone());
        let nginx_gid = self.options.nginx_gid;
        blocking(move || generation::ensure(&layout, &written, nginx_gid)).await?;
        for index in 0..pool.members {
            let member = Member {
                layout: &self.layout,
                pool,
                index,
                operation,
                network: &network,
                image_scan_dir: image.scan_dir.as_deref(),
            };
            self.create_or_adopt(&member, &specification).await?;
        }
        Ok(())
    }

    pub async fn start(&self, pool: &Pool) -> Result<(), RuntimeError> {
        // Somebody may have removed members of a live pool by hand; everything that made them is known.
        for index in 0..pool.members {
            let name = self.name(&pool.id, index);
            if let Err(EngineError::NotFound { .. }) = self.engine.facts(&name).await {
                tracing::warn!(container = name, "gone; creating it again");
                let restored = RESTORED.parse().expect("it is an operation id");
                self.create(pool, &restored).await?;
                break;
            }
        }
        let starts = (0..pool.members).map(|index| self.start_member(pool, index));
        all(join_all(starts).await)
    }

    pub async fn set_restart(&self, pool: &Pool, restart: Restart) -> Result<(), RuntimeError> {
        for index in 0..pool.members {
            let name = self.name(&pool.id, index);
            match self.engine.restart_policy(&name, restart).await {
                // What is gone will not come back.
                Err(EngineError::NotFound { .. }) if restart == Restart::Never => {}
                other => other?,
            }
        }
        Ok(())
    }

    pub async fn freeze(&self, pool: &PoolId) -> Result<(), RuntimeError> {
        let ids = self
            .engine
            .containers_of(self.layout.installation(), pool)
            .await?;
        all(join_all(ids.iter().map(|id| self.engine.freeze(id))).await)?;
        Ok(())
    }

    pub async fn thaw(&self, pool: &PoolId) -> Result<(), RuntimeError> {
        let ids = self
            .engine
            .containers_of(self.layout.installation(), pool)
            .await?;
        all(join_all(ids.iter().map(|id| self.engine.thaw(id))).await)?;
        Ok(())
    }

    pub async fn remove(&self, pool: &PoolId) -> Result<(), RuntimeError> {
        for id in self.stop_all(pool, REMOVE_GRACE).await? {
            self.engine.discard(&id).await?;
        }
        let labels = labels::of_pool(self.layout.installation(), pool);
        for volume in self.engine.volumes(&labels).await? {
            self.engine.remove_volume(&volume).await?;
        }
        let (layout, id) = (self.layout.clone(), pool.clone());
        blocking(move || generation::remove(&layout, &id)).await
    }
}

/// Says whether two pools are the same to the last setting.
fn specification(pool: &Pool) -> Result<String, RuntimeError> {
    let text = serde_json::to_vec(pool).map_err(|error| RuntimeError::Refused {
        detail: format!(
            "a path of {} is no UTF-8 text ({error}); rename it",
            pool.id
        ),
    })?;
    Ok(blake3::hash(&text).to_hex().to_string())
}

/// The first failure of acts that have all been awaited to their end: none is left under way when a step fails.
fn all<E>(ended: Vec<Result<(), E>>) -> Result<(), E> {
    ended.into_iter().collect()
}

/// Runs work on files where it does not hold up others.
async fn blocking(
    work: impl FnOnce() -> Result<(), GenerationError> + Send + 'static,
) -> Result<(), RuntimeError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| match error {
            GenerationError::Durable(error) => {
                let (detail, source) = error.io();
                RuntimeError::Io { detail, source }
            }
            other => RuntimeError::Refused {
                detail: stratus_core::fault::chain(&other),
            },
        }),
        Err(ended) => Err(RuntimeError::Refused {
            detail: ended.to_string(),
        }),
    }
}
