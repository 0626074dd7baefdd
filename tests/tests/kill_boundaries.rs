//! `kill -9` of the server at every step boundary of init and of switch, on real Docker and nginx, under load: after the
//! restart the operation completes or is undone, nothing is left over, no request was lost.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use stratus_server::engine::failpoint::Point;
use stratus_tests::load::{Check, Handle, Load, Mix, Plan, Request, Target};
use stratus_tests::stage::{Place, Running, Server};

const INIT: [&str; 7] = [
    "reserve",
    "preflight",
    "snapshot",
    "create",
    "start",
    "await_ready",
    "stage",
];
const SWITCH: [&str; 5] = ["await_ready", "route", "promote", "drain", "park"];

/// Every boundary of `kind`, as the failpoint is called.
fn boundaries(kind: &str, steps: &[&str]) -> Vec<String> {
    let points = |step: &&str| {
        let step = (*step).to_owned();
        let kind = kind.to_owned();
        Point::ALL.map(move |point| format!("{kind}.{step}.{}", point.name()))
    };
    steps.iter().flat_map(points).collect()
}

fn rounds() -> u32 {
    std::env::var("STRATUS_KILL_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_boundary_loses_no_request_and_leaves_nothing_over() {
    let mut stage = Running::open("kill", 2, "").await.unwrap();
    let load = Load::start(plan(&stage.place).unwrap()).unwrap();
    let handle = load.handle();
    handle.mark(1);
    let inits = boundaries("init", &INIT);
    let switches = boundaries("switch", &SWITCH);
    let mut generation = 1;
    for round in 0..rounds() {
        for (number, init) in inits.iter().enumerate() {
            // Every boundary of init with one of switch: the shorter list goes round, shifted in each round.
            let switch = &switches[(number + round as usize) % switches.len()];
            generation += 1;
            cycle(&mut stage, &handle, generation, init, switch)
                .await
                .unwrap_or_else(|error| panic!("round {round}, {init} then {switch}: {error:#}"));
            let failed = handle.snapshot().counts.failed;
            assert_eq!(
                failed,
                0,
                "{init} then {switch}\n{}",
                handle.snapshot().table()
            );
        }
    }
    let report = load.stop().await;
    assert_eq!(report.counts.failed, 0, "{}", report.table());
    assert!(
        report.counts.requests > u64::from(rounds()) * 1_000,
        "{}",
        report.table()
    );
    println!(
        "{} boundaries, {} requests, 0 lost",
        inits.len(),
        report.counts.requests
    );
}

fn plan(place: &Place) -> anyhow::Result<Plan> {
    let mix = Mix::new(vec![
        Request::get("/index.php").weight(4),
        Request::post("/post.php").check(Check::Echo).weight(4),
        Request::get("/app.css"),
        Request::slow("/slow.php?ms=200"),
    ])?;
    Ok(Plan::new(Target::new(place.http)?, mix)
        .host("shop.example.test")
        .keepalive(8)
        .oneshot(2)
        .rate(150)
        .limit(Duration::from_hours(1)))
}

/// An init that is killed at `init` and a switch that is killed at `switch`; both must come to their end.
async fn cycle(
    stage: &mut Running,
    handle: &Handle,
    generation: u32,
    init: &str,
    switch: &str,
) -> anyhow::Result<()> {
    stage.shop.release(generation)?;
    let made = killed(stage, &["zerodowntime.init"], init).await?;
    ensure!(made["outcome"] == "completed", "init: {made}");
    ensure!(made["generation"] == generation, "init: {made}");
    handle.allow(generation);
    let moved = killed(stage, &["zerodowntime.switch"], switch).await?;
    handle.mark(generation);
    ensure!(moved["outcome"] == "completed", "switch: {moved}");
    nothing_is_left_over(stage, generation).await
}

/// Runs a command against a server that dies at `point` and is started again; what the command said in the end.
async fn killed(stage: &mut Running, arguments: &[&str], point: &str) -> anyhow::Result<Value> {
    if let Some(server) = stage.server.take() {
        server.stop().await?;
    }
    let mut doomed = Server::spawn(&stage.place, Some(point))?;
    doomed.answers(&stage.place).await?;
    let place = stage.place.clone();
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let command = tokio::spawn(async move {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        place.stratus(&arguments).await
    });
    doomed.dies().await?;
    stage.server = Some(Server::start(&stage.place).await?);
    let (code, value) = command
        .await?
        .with_context(|| format!("killed at {point}"))?;
    ensure!(code == 0, "{value}");
    Ok(value)
}

/// Only what belongs to live and previous exists.
async fn nothing_is_left_over(stage: &Running, generation: u32) -> anyhow::Result<()> {
    let status = stage.place.done(&["status"]).await?;
    let shop = &status["environments"][0];
    ensure!(shop["live"]["generation"] == generation, "{shop}");
    ensure!(shop["live"]["ready"] == 2, "{shop}");
    ensure!(shop["standby"].is_null(), "{shop}");
    ensure!(shop["operation"].is_null(), "{shop}");
    ensure!(shop["drift"] == serde_json::json!([]), "{shop}");
    let mut wanted = vec![generation, generation - 1];
    wanted.retain(|g| *g > 0);
    let containers = stage.containers().await?;
    let expected = wanted.len() * 2;
    ensure!(
        containers.len() == expected,
        "generation {generation}: {containers:?}"
    );
    for name in &containers {
        let ours = wanted
            .iter()
            .any(|g| name.starts_with(&format!("shop-g{g}-")));
        ensure!(ours, "generation {generation}: {containers:?}");
    }
    let folder = stage.place.data().join("env/shop");
    let generations = std::fs::read_dir(folder.join("generations"))?.count();
    ensure!(
        generations == wanted.len(),
        "{generations} generation folders"
    );
    let partial = std::fs::read_dir(folder.join("releases"))?
        .filter_map(Result::ok)
        .find(|entry| entry.file_name().to_string_lossy().starts_with(".new-"));
    ensure!(partial.is_none(), "{partial:?} is left over");
    Ok(())
}
