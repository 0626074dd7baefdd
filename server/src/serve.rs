//! Start-up, in order, and shutdown. Start-up is recovery: there is no other recovery code.
//!
//! ```text
//! take the data folder ► open the store ► connect ► restore the live pools ► restore nginx
//!   ► go on with unfinished operations ► serve ► (shutdown) stop between steps
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use stratus_core::fault::chain;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::control::{Control, refuse_removal_of_live};
use crate::data_dir::DataDir;
use crate::edits::Looks;
use crate::engine::Engine;
use crate::grpc;
use crate::store::SqliteStore;
use crate::{tasks, wiring};

/// Serves `config` until `shutdown`.
///
/// # Errors
/// When the data folder, the state or the socket cannot be used. An engine or nginx that does not answer is no reason
/// not to start: what is live is restored when they are back.
pub async fn serve(
    config: Config,
    file: Option<PathBuf>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let data_dir = DataDir::take(&config.server.data_dir)?;
    let database = config.server.data_dir.join("state.db");
    let store = Arc::new(SqliteStore::open(&database)?);
    let wired = wiring::host(&config, data_dir.installation(), store, &shutdown).await?;
    run(config, file, wired, shutdown).await
}

/// Serves what is wired.
async fn run(
    config: Config,
    file: Option<PathBuf>,
    wired: wiring::Wired,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let machine = wired.machine;
    refuse_removal_of_live(machine.store.as_ref(), &config.environments).await?;
    machine.store.put_environments(&config.environments).await?;
    machine.restore_live().await?;
    if let Err(error) = machine.restore_routes().await {
        tracing::error!(error = %chain(&error), "nginx does not serve what it should yet");
    }
    let engine = Engine::new(
        machine.store.clone(),
        machine.runtime.clone(),
        Arc::new(machine.clone()),
        Arc::new(SystemClock),
        shutdown.clone(),
    );
    engine.recover().await?;
    let (caches, crons) = (machine.caches.clone(), machine.crons.clone());
    caches.recover().await?;
    crons.recover().await?;
    // Only now: requests may be waiting for what goes on, and a deployment for a cron.
    machine.sweep_releases().await?;
    let socket = config.server.socket.clone();
    let control = Arc::new(Control {
        engine: engine.clone(),
        edits: Looks::new(machine.snapshots.clone(), machine.clock.clone()),
        machine,
        examined: wired.examined,
        file,
        config: Mutex::new(config),
    });
    let watchdog = tokio::spawn(tasks::watchdog(control.clone(), shutdown.clone()));
    let retention = tokio::spawn(tasks::retention(control.clone(), shutdown.clone()));
    let workers = tokio::spawn(tasks::workers(control.clone(), shutdown.clone()));
    let attending = tokio::spawn(crons.clone().attend());
    announce(&socket);
    let served = grpc::serve(control, shutdown.clone()).await;
    shutdown.cancel();
    engine.stopped().await;
    caches.stopped().await;
    crons.stopped().await;
    let _ = tokio::join!(watchdog, retention, workers, attending);
    served.with_context(|| format!("serving on {}", socket.display()))
}

/// Tells systemd, where it asked to be told, and the log.
fn announce(socket: &Path) {
    tracing::info!(socket = %socket.display(), "ready");
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// Serves fakes: a shop that exists in memory only. Its socket is printed; its folder goes with the process.
///
/// # Errors
/// When the folder or the socket cannot be made.
pub async fn demo(shutdown: CancellationToken) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let code = folder.path().join("shop");
    std::fs::create_dir_all(code.join("pub"))?;
    let file = folder.path().join("stratus.yaml");
    let socket = folder.path().join("stratus.sock");
    let text = format!(
        "server: {{data_dir: {root}/data, socket: {socket}}}\nenvironments:\n  shop: {{hosts: [shop.example.test], \
         code: {code}, docroot: pub, php: {{image: 'example/php-fpm:8.2'}}, warm: [/]}}\n",
        root = folder.path().display(),
        socket = socket.display(),
        code = code.display(),
    );
    std::fs::write(&file, text)?;
    let config = crate::config::load(&file)?;
    eprintln!(
        "on fakes; try: stratus --server unix:{} zerodowntime.init",
        socket.display()
    );
    let wired = wiring::fakes(shutdown.clone());
    run(config, Some(file), wired, shutdown).await
}
