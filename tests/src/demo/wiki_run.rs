//! `DokuWiki`: init and switch ten times, and back once.

use anyhow::bail;

use super::rows::{Row, Watch};
use super::{DEPLOYMENTS, LIMIT, load, next_commands, settle, start, wiki};
use crate::load::{Handle, Load, Report};
use crate::stage::Place;

/// Fewest requests of a run that counts.
const REQUESTS: u64 = 20_000;

/// Runs it, and leaves it running.
pub(super) async fn run(place: &Place) -> anyhow::Result<()> {
    println!("assembling DokuWiki in {}", place.code().display());
    wiki::assemble(place).await?;
    place.configure(&wiki::yaml(place))?;
    println!("starting stratusd and nginx");
    let server = start(place).await?;
    let ran = deploy_under_load(place).await;
    let (report, lost) = settle(server, ran)?;
    let page = format!("http://{}/doku.php?id=start", place.http);
    next_commands(place, &page, "wiki");
    println!(
        "demo: {DEPLOYMENTS} switches, {} requests, {lost} lost",
        report.counts.requests
    );
    verdict(&report, lost)
}

async fn deploy_under_load(place: &Place) -> anyhow::Result<(Report, u64)> {
    place.compose_up().await?;
    let first = place.done(&["zerodowntime.init"]).await?;
    place.done(&["zerodowntime.switch"]).await?;
    println!("release 0 is live: {} files", first["files"]);
    let load = Load::start(load::of_wiki(place)?)?;
    let handle = load.handle();
    handle.mark(1);
    println!("{}", Row::header());
    let watch = Watch::load(&handle);
    let mut counted_lost = 0;
    for number in 1..=DEPLOYMENTS {
        wait_for_traffic(&handle, number).await?;
        wiki::release(place, number).await?;
        let row = Row::init_and_switch(place, &watch).await?;
        counted_lost += row.lost()?;
        println!("{row}");
    }
    wait_for_traffic(&handle, DEPLOYMENTS + 1).await?;
    let row = Row::rollback(place, &watch).await?;
    counted_lost += row.lost()?;
    println!("{row}");
    handle.wait_for(|counts| counts.requests > REQUESTS).await;
    let report = load.stop().await;
    println!("\n{}", report.table());
    let lost = report.counts.failed.max(counted_lost);
    Ok((report, lost))
}

/// Lets requests pass between two deployments, so that each happens under full load.
async fn wait_for_traffic(handle: &Handle, part: u32) -> anyhow::Result<()> {
    let wanted = u64::from(part) * REQUESTS / u64::from(DEPLOYMENTS + 2);
    if !handle.wait_for(|counts| counts.requests >= wanted).await {
        bail!("the load ended before the demonstration did, after {LIMIT:?}");
    }
    Ok(())
}

fn verdict(report: &Report, lost: u64) -> anyhow::Result<()> {
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
