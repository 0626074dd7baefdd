//! The demonstration: deploys DokuWiki under load, ten times and back once, and counts what was lost.

mod load;
mod rows;
mod wiki;

use std::time::Duration;

use anyhow::{Context, bail};

use crate::load::Load;
use crate::stage::{Place, Server, stop_pid};

pub use rows::Row;

/// Deployments under load.
const SWITCHES: u32 = 10;
/// Fewest requests of a run that counts.
const REQUESTS: u64 = 20_000;
/// Longest run.
const LIMIT: Duration = Duration::from_mins(12);

/// Where the demonstration stands.
///
/// # Errors
/// When `STRATUS_DEMO_HTTP` is no address.
pub fn place() -> anyhow::Result<Place> {
    let root =
        std::env::var_os("STRATUS_DEMO_DIR").unwrap_or_else(|| "/var/lib/stratus-demo".into());
    let http = std::env::var("STRATUS_DEMO_HTTP").unwrap_or_else(|_| "127.0.0.1:8000".to_owned());
    let http = http
        .parse()
        .context("STRATUS_DEMO_HTTP is no address like 127.0.0.1:8000")?;
    Ok(Place {
        root: root.into(),
        http,
        project: "stratus-demo".to_owned(),
    })
}

/// Runs the whole demonstration and leaves it running.
///
/// # Errors
/// When anything fails, or a request was lost, or too few were sent.
pub async fn run(place: &Place) -> anyhow::Result<()> {
    down(place).await?;
    println!("assembling DokuWiki in {}", place.code().display());
    wiki::assemble(place).await?;
    place.configure(&wiki::yaml(place))?;
    println!("starting stratusd and nginx");
    let server = Server::start(place).await?;
    std::fs::write(
        place.root.join("stratusd.pid"),
        server.pid().unwrap_or(0).to_string(),
    )?;
    let ran = deploy_under_load(place).await;
    match &ran {
        Ok(_) => server.leave(),
        Err(_) => eprintln!("the end of stratusd's log:\n{}", server.log_tail()),
    }
    let (report, lost) = ran?;
    next_commands(place);
    println!(
        "demo: {SWITCHES} switches, {} requests, {lost} lost",
        report.counts.requests
    );
    verdict(&report, lost)
}

async fn deploy_under_load(place: &Place) -> anyhow::Result<(crate::load::Report, u64)> {
    place.compose_up().await?;
    let first = place.done(&["zerodowntime.init"]).await?;
    place.done(&["zerodowntime.switch"]).await?;
    println!("release 0 is live: {} files", first["files"]);
    let load = Load::start(load::plan(place)?)?;
    let handle = load.handle();
    handle.mark(1);
    println!("{}", Row::header());
    let mut counted_lost = 0;
    for number in 1..=SWITCHES {
        wait_for_traffic(&handle, number).await?;
        wiki::release(place, number).await?;
        let row = Row::deploy(place, &handle).await?;
        counted_lost += row.lost()?;
        println!("{row}");
    }
    wait_for_traffic(&handle, SWITCHES + 1).await?;
    let row = Row::rollback(place, &handle).await?;
    counted_lost += row.lost()?;
    println!("{row}");
    handle.wait_for(|counts| counts.requests > REQUESTS).await;
    let report = load.stop().await;
    println!("\n{}", report.table());
    let lost = report.counts.failed.max(counted_lost);
    Ok((report, lost))
}

/// Lets requests pass between two deployments, so that each happens under full load.
async fn wait_for_traffic(handle: &crate::load::Handle, part: u32) -> anyhow::Result<()> {
    let wanted = u64::from(part) * REQUESTS / u64::from(SWITCHES + 2);
    if !handle.wait_for(|counts| counts.requests >= wanted).await {
        bail!("the load ended before the demonstration did, after {LIMIT:?}");
    }
    Ok(())
}

fn verdict(report: &crate::load::Report, lost: u64) -> anyhow::Result<()> {
    if lost > 0 {
        bail!("{lost} requests were lost");
    }
    if report.counts.requests <= REQUESTS {
        bail!(
            "only {} requests were sent, {REQUESTS} are needed",
            report.counts.requests
        );
    }
    let by_wiki = load::answered_by_wiki(report);
    if by_wiki * 2 < report.counts.requests {
        bail!(
            "only {by_wiki} of {} requests were answered by DokuWiki",
            report.counts.requests
        );
    }
    Ok(())
}

fn next_commands(place: &Place) {
    let server = format!("unix:{}", place.socket().display());
    println!(
        "\nIt keeps running: http://{}/doku.php?id=start",
        place.http
    );
    println!("  stratus --server {server} status");
    println!("  compose/demo/release {}/wiki 11", place.code().display());
    println!("  stratus --server {server} zerodowntime.init");
    println!("  stratus --server {server} zerodowntime.switch");
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
    place.compose_down().await?;
    place.remove_containers().await?;
    std::fs::remove_dir_all(&place.root)
        .with_context(|| format!("{} cannot be removed", place.root.display()))
}
