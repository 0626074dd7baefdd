//! `WordPress`: ten times `stratus deploy` under visitors who are logged in, and others whose pages Varnish keeps.

use std::time::Duration;

use anyhow::{bail, ensure};
use hyper::Request;

use super::logins::Logins;
use super::rows::{Row, Watch};
use super::{DEPLOYMENTS, load, next_commands, settle, shop, start};
use crate::load::Load;
use crate::nginx::{Door, Reply};
use crate::stage::Place;

/// Visitors who are logged in, each on a connection of its own.
const LOGINS: u32 = 32;
/// Answers of theirs between two deployments: ten of each.
const ANSWERS: u64 = 10 * LOGINS as u64;
/// How long these may take.
const PART: Duration = Duration::from_mins(1);

/// What was counted.
struct Counted {
    requests: u64,
    logged_in: u64,
    lost: u64,
    wrong: Vec<String>,
}

/// Runs it, and leaves it running.
pub(super) async fn run(place: &Place) -> anyhow::Result<()> {
    let stack = shop::stack(place)?;
    println!("assembling WordPress in {}", place.code().display());
    shop::assemble(place).await?;
    place.prepare_stack("shop").await?;
    std::fs::write(place.config(), shop::yaml(place, &stack))?;
    println!("starting stratusd, nginx, Varnish, MariaDB and three Redis");
    let server = start(place).await?;
    let ran = async {
        place.stack_up(&stack).await?;
        shop::install(place).await?;
        deploy_under_load(place).await
    };
    let counted = settle(server, ran.await)?;
    let page = format!(
        "http://{}/ and https://{}/ (admin, {})",
        place.http,
        stack.https,
        shop::PASSWORD
    );
    next_commands(place, &page, "shop");
    println!(
        "demo: {DEPLOYMENTS} deployments and one consistent, {} requests of which {} logged in, {} lost, {} wrong",
        counted.requests,
        counted.logged_in,
        counted.lost,
        counted.wrong.len()
    );
    verdict(&counted)
}

async fn deploy_under_load(place: &Place) -> anyhow::Result<Counted> {
    let first = place.done(&["deploy"]).await?;
    println!("release 0 is live: {} files", first["files"]);
    let door = Door::at(place.http.port());
    let logins = Logins::enter(door, LOGINS, shop::PASSWORD).await?;
    let load = Load::start(load::of_shop(place)?)?;
    let handle = load.handle();
    handle.mark(1);
    println!("{}", Row::header());
    let watch = Watch::both(&handle, &logins);
    let mut counted_lost = 0;
    for number in 1..=DEPLOYMENTS {
        wait_for_traffic(&logins).await?;
        shop::release(place, number).await?;
        let row = Row::deploy(place, &watch, "blue-green").await?;
        logins.expect_from(number, row.target());
        new_pages_only(door, number, row.target()).await?;
        counted_lost += row.lost()?;
        println!("{row}");
    }
    counted_lost += deploy_consistently(place, &logins, &watch).await?;
    wait_for_traffic(&logins).await?;
    let report = load.stop().await;
    let (logged_in, wrong) = logins.leave().await;
    println!("\n{}", report.table());
    Ok(Counted {
        requests: report.counts.requests + logged_in,
        logged_in,
        lost: report.counts.failed.max(counted_lost),
        wrong,
    })
}

/// One more, with a hook of five seconds beside which no old code runs: visitors wait for it, and nobody is turned away.
/// Answers what was lost.
async fn deploy_consistently(
    place: &Place,
    logins: &Logins,
    watch: &Watch<'_>,
) -> anyhow::Result<u64> {
    wait_for_traffic(logins).await?;
    let number = DEPLOYMENTS + 1;
    place.reconfigure(
        "    keep: {",
        "    hooks: {before_switch: [[php, -r, 'sleep(5);']]}\n    keep: {",
    )?;
    place.done(&["environments.apply"]).await?;
    shop::release(place, number).await?;
    let row = Row::deploy(place, watch, "consistent").await?;
    logins.expect_from(number, row.target());
    let (hold_ms, held, longest_ms) = row.held()?;
    println!("{row}");
    println!(
        "consistently: held {held} requests for {hold_ms} ms, the longest for {longest_ms} ms"
    );
    ensure!(held > 0 && longest_ms > 1000, "nobody waited for the hook");
    place.reconfigure("    hooks: {before_switch: [[php, -r, 'sleep(5);']]}\n", "")?;
    place.done(&["environments.apply"]).await?;
    row.lost()
}

/// Lets requests pass between two deployments, so that each happens under full load.
async fn wait_for_traffic(logins: &Logins) -> anyhow::Result<()> {
    let goal = logins.answers() + ANSWERS;
    let passed = async {
        while logins.answers() < goal {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(PART, passed).await.is_err() {
        bail!("the visitors who are logged in had no {ANSWERS} answers in {PART:?}");
    }
    Ok(())
}

/// A page that Varnish keeps is the new release's, from the first on, and Varnish does keep it.
async fn new_pages_only(door: Door, release: u32, generation: u32) -> anyhow::Result<()> {
    let mark = format!("generation={generation} release={release}");
    let mut kept = 0;
    for _ in 0..5 {
        let page = page(door).await?;
        ensure!(
            page.status == 200 && page.text().contains(&mark),
            "after the deployment of release {release} a visitor got {} without {mark:?}",
            page.status
        );
        kept += u32::from(
            page.headers
                .get("x-cache")
                .is_some_and(|cache| cache == "HIT"),
        );
    }
    ensure!(kept > 0, "Varnish keeps no page of release {release}");
    Ok(())
}

async fn page(door: Door) -> anyhow::Result<Reply> {
    door.open().await?.send(Request::get("/"), "".into()).await
}

fn verdict(counted: &Counted) -> anyhow::Result<()> {
    if counted.lost > 0 {
        bail!("{} requests were lost", counted.lost);
    }
    if let Some(first) = counted.wrong.first() {
        bail!(
            "{} answers to visitors who are logged in were wrong, the first: {first}",
            counted.wrong.len()
        );
    }
    Ok(())
}
