//! Puts the parts together. The only place that knows which machine is behind the traits.

mod examined;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use stratus_agent::cache::CacheClients;
use stratus_agent::docker::{ContainerNames, DockerRuntime, Engine, Network, Options};
use stratus_agent::layout::Layout;
use stratus_agent::nginx::{
    AccessLog, AccessRecords, DebugHeader, NginxRouter, Settings, Tls, Varnish,
};
use stratus_agent::snapshots::Releases;
use stratus_core::fake::{FakeMachine, MemoryStore};
use stratus_core::{InstallationId, Store, Tasks};
use tokio_util::sync::CancellationToken;

use crate::caches::Clearing;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::crons::Crons;
use crate::doctor::Machine as Examined;
use crate::engine::act::{Machine, Turns};

/// Where the container engine listens, unless `DOCKER_HOST` names another unix socket.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// How often an engine that is away is asked again at start-up.
const ENGINE_RETRY: Duration = Duration::from_secs(1);
/// nginx's image, where there is no container to take it from.
const NGINX_IMAGE: &str = "stratus/nginx:stable";
/// An old nginx worker may outlive the longest drain limit by so much.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(30);

/// A machine and what the doctor looks at.
pub struct Wired {
    /// Acts.
    pub machine: Machine,
    /// Is looked at.
    pub examined: Arc<dyn Examined>,
}

/// Fakes: everything is in memory, nothing is started.
pub fn fakes(shutdown: CancellationToken) -> Wired {
    let fake = Arc::new(FakeMachine::default());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let machine = Machine {
        runtime: fake.clone(),
        tasks: fake.clone(),
        router: fake.clone(),
        snapshots: fake.clone(),
        traffic: fake.clone(),
        crons: Crons::new(store.clone(), fake.clone(), clock.clone(), shutdown.clone()),
        caches: Clearing::new(store.clone(), fake, clock.clone(), shutdown),
        store,
        clock,
        routes: Arc::default(),
        workers: Turns::default(),
    };
    Wired {
        machine,
        examined: Arc::new(examined::Demonstration),
    }
}

/// This host: its Docker, its nginx, its disk. Waits for the engine, for nothing can be restored without it.
///
/// # Errors
/// When `shutdown` comes first, or the access records cannot be received.
pub async fn host(
    config: &Config,
    installation: &InstallationId,
    store: Arc<dyn Store>,
    shutdown: &CancellationToken,
) -> anyhow::Result<Wired> {
    let layout = Layout::new(&config.server.data_dir, installation.clone());
    let engine = engine(shutdown).await?;
    if let Err(error) = engine.sweep_once(installation).await {
        tracing::warn!(%error, "throw-away containers of an earlier process are still there");
    }
    let network = match &config.server.network {
        Some(name) => Network::Named(name.clone()),
        None => Network::Installation,
    };
    let options = Options {
        network: network.clone(),
        nginx_gid: config.nginx.user.gid,
    };
    let router = NginxRouter::new(layout.clone(), nginx_settings(config), engine.clone());
    let records = AccessRecords::listen(&layout, config.nginx.user)
        .context("nginx's access records cannot be received")?;
    let examined = examined::Host::new(engine.clone(), &config.nginx.container, &layout);
    let names = ContainerNames::new(engine.clone(), network.name(installation));
    let cleaner = CacheClients::new(layout.clone(), Arc::new(names));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let runtime = DockerRuntime::new(engine, layout.clone(), options);
    let tasks: Arc<dyn Tasks> = Arc::new(runtime.tasks());
    let machine = Machine {
        crons: Crons::new(
            store.clone(),
            tasks.clone(),
            clock.clone(),
            shutdown.clone(),
        ),
        tasks,
        runtime: Arc::new(runtime),
        router: Arc::new(router),
        snapshots: Arc::new(Releases::new(layout)),
        traffic: Arc::new(records),
        caches: Clearing::new(
            store.clone(),
            Arc::new(cleaner),
            clock.clone(),
            shutdown.clone(),
        ),
        store,
        clock,
        routes: Arc::default(),
        workers: Turns::default(),
    };
    Ok(Wired {
        machine,
        examined: Arc::new(examined),
    })
}

async fn engine(shutdown: &CancellationToken) -> anyhow::Result<Engine> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = host.strip_prefix("unix://").unwrap_or(DOCKER_SOCKET);
    let mut told = false;
    loop {
        match Engine::connect(Path::new(socket)).await {
            Ok(engine) => return Ok(engine),
            Err(error) if !told => {
                told = true;
                tracing::error!(%error, "waiting for the container engine; nginx and PHP are not touched");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(ENGINE_RETRY) => {}
            () = shutdown.cancelled() => anyhow::bail!("stopped while waiting for the container engine"),
        }
    }
}

/// How nginx runs, by the configuration.
pub fn nginx_settings(config: &Config) -> Settings {
    // Old workers finish what they have: downloads, and requests that wait for a pool that stands still.
    let longest = config
        .environments
        .iter()
        .map(|e| e.drain.max(e.hold))
        .max()
        .unwrap_or_default();
    Settings {
        container: config.nginx.container.clone(),
        image: NGINX_IMAGE.to_owned(),
        user: config.nginx.user,
        http: config.nginx.http,
        ports: vec![80, 8080],
        workers: std::thread::available_parallelism()
            .map_or(1, |n| u16::try_from(n.get()).unwrap_or(u16::MAX)),
        shutdown_timeout: longest + SHUTDOWN_MARGIN,
        confirm_within: Duration::from_secs(10),
        debug_header: if config.nginx.debug_header {
            DebugHeader::Shown
        } else {
            DebugHeader::Hidden
        },
        tls: match config.nginx.https {
            Some(_) => Tls::Offered,
            None => Tls::Absent,
        },
        varnish: if config.nginx.varnish {
            Varnish::Beside
        } else {
            Varnish::Absent
        },
        access_log: if config.nginx.access_log {
            AccessLog::Written
        } else {
            AccessLog::Absent
        },
    }
}
