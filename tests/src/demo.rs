//! The demonstration: deploys an application under load, again and again, and counts what was lost.

mod load;
mod logins;
mod rows;
pub mod shop;
mod shop_run;
mod wiki;
mod wiki_run;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;

use crate::stage::{Place, Server, stop_pid};

/// Deployments under load.
const DEPLOYMENTS: u32 = 10;
/// Longest run.
const LIMIT: Duration = Duration::from_mins(12);

/// What is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum App {
    /// `DokuWiki`, which needs nothing but PHP
    Dokuwiki,
    /// `WordPress`, with `MariaDB`, Varnish and three Redis
    Wordpress,
}

/// Where the demonstration stands.
///
/// # Errors
/// When `STRATUS_DEMO_HTTP` is no address.
pub fn place() -> anyhow::Result<Place> {
    let root = std::env::var_os("STRATUS_DEMO_DIR")
        .map_or_else(|| PathBuf::from("/var/lib/stratus-demo"), PathBuf::from);
    let http = std::env::var("STRATUS_DEMO_HTTP").unwrap_or_else(|_| "127.0.0.1:8000".to_owned());
    let http = http
        .parse()
        .context("STRATUS_DEMO_HTTP is no address like 127.0.0.1:8000")?;
    // Named after its folder, so that two demonstrations in two folders do not take each other's containers.
    let project = root.file_name().unwrap_or_default();
    let project = project.to_string_lossy().into_owned();
    Ok(Place {
        root,
        http,
        project,
    })
}

/// Runs the whole demonstration and leaves it running.
///
/// # Errors
/// When anything fails, or a request was lost, or too few were sent.
pub async fn run(place: &Place, app: App) -> anyhow::Result<()> {
    down(place).await?;
    match app {
        App::Dokuwiki => wiki_run::run(place).await,
        App::Wordpress => shop_run::run(place).await,
    }
}

/// Starts the server; what writes down where it is found again comes first.
async fn start(place: &Place) -> anyhow::Result<Server> {
    let server = Server::start(place).await?;
    let pid = server.pid().unwrap_or(0).to_string();
    std::fs::write(place.root.join("stratusd.pid"), pid)?;
    Ok(server)
}

/// Leaves the server running where all went well, else shows what it wrote.
fn settle<T>(server: Server, ran: anyhow::Result<T>) -> anyhow::Result<T> {
    match &ran {
        Ok(_) => server.leave(),
        Err(_) => eprintln!("the end of stratusd's log:\n{}", server.log_tail()),
    }
    ran
}

fn next_commands(place: &Place, page: &str, tree: &str) {
    let server = format!("unix:{}", place.socket().display());
    println!("\nIt keeps running: {page}");
    println!("  stratus --server {server} status");
    println!(
        "  compose/demo/release {}/{tree} {}",
        place.code().display(),
        DEPLOYMENTS + 2
    );
    println!("  stratus --server {server} deploy");
    println!("  make demo-down");
}

/// Removes everything that a demonstration made.
///
/// # Errors
/// When something of it cannot be removed.
pub async fn down(place: &Place) -> anyhow::Result<()> {
    if !place.root.exists() {
        return Ok(());
    }
    let pid = std::fs::read_to_string(place.root.join("stratusd.pid")).unwrap_or_default();
    if let Ok(pid) = pid.trim().parse() {
        stop_pid(pid).await?;
    }
    // Members first: a network that is in use stays.
    place.remove_containers().await?;
    place.stack_down().await?;
    std::fs::remove_dir_all(&place.root)
        .with_context(|| format!("{} cannot be removed", place.root.display()))
}
