//! What a live site outlives: a server that is down, containers that are removed, a failed init, a rollback, a command
//! that is killed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stratus_tests::stage::{Running, Server, binary, command};

const INIT: [&str; 1] = ["zerodowntime.init"];
const SWITCH: [&str; 1] = ["zerodowntime.switch"];
const ROLLBACK: [&str; 1] = ["zerodowntime.rollback"];
const LIMIT: Duration = Duration::from_secs(20);

async fn shop(stage: &Running) -> Value {
    let status = stage.place.done(&["status"]).await.unwrap();
    status["environments"][0].clone()
}

/// Waits until the status of the shop is as wanted.
async fn becomes(stage: &Running, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let found = shop(stage).await;
        if wanted(&found) {
            return Ok(found);
        }
        ensure!(tokio::time::Instant::now() < deadline, "still {found}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until visitors are answered by `generation`.
async fn serves_again(stage: &Running, generation: u32) -> Result<()> {
    let serving = async {
        while stage.serves(Some(generation)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, serving)
        .await
        .with_context(|| format!("generation {generation} does not serve again"))
}

async fn remove(names: &[String]) {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let all = [&["rm", "-f"], names.as_slice()].concat();
    command("docker", &all)
        .run()
        .await
        .unwrap()
        .success()
        .unwrap();
}

/// Generations that have containers, each once.
async fn generations(stage: &Running) -> Vec<String> {
    let names = stage.containers().await.unwrap();
    let part = |name: &String| name.split('-').nth(1).unwrap_or_default().to_owned();
    let mut found: Vec<String> = names.iter().map(part).collect();
    found.dedup();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_site_outlives_its_server_and_its_containers_come_back() {
    let mut stage = Running::open("outlives", 2, "").await.unwrap();
    stage.server.take().unwrap().stop().await.unwrap();
    for _ in 0..50 {
        stage.serves(Some(1)).await.unwrap();
    }
    let members = stage.containers().await.unwrap();
    assert_eq!(members.len(), 2, "{members:?}");
    remove(&members).await;
    assert!(stage.serves(Some(1)).await.is_err(), "who answers?");
    let left = leave_a_throw_away(&stage).await.unwrap();
    stage.server = Some(Server::start(&stage.place).await.unwrap());
    let found = command("docker", &["inspect", &left]).run().await.unwrap();
    assert_ne!(found.code, 0, "what a killed server left is still there");
    serves_again(&stage, 1).await.unwrap();
    assert_eq!(stage.containers().await.unwrap(), members);
    removed_while_the_server_runs(&stage, &members).await;
    let (_, switch) = stage.deploy(1).await.unwrap();
    assert_eq!(switch["from"], 1, "{switch}");
}

async fn removed_while_the_server_runs(stage: &Running, members: &[String]) {
    remove(members).await;
    serves_again(stage, 1).await.unwrap();
    let whole = |shop: &Value| shop["live"]["ready"] == 2 && shop["drift"] == serde_json::json!([]);
    becomes(stage, whole).await.unwrap();
    // One of two: visitors are served by the other one meanwhile.
    remove(&members[..1]).await;
    for _ in 0..20 {
        stage.serves(Some(1)).await.unwrap();
    }
    becomes(stage, whole).await.unwrap();
}

/// A throw-away container, such as a server leaves that is killed while it tests a configuration.
async fn leave_a_throw_away(stage: &Running) -> Result<String> {
    let installation = std::fs::read_to_string(stage.place.data().join("installation"))?;
    let label = format!("org.stratus.once={}", installation.trim());
    let name = format!("{}-once", stage.place.project);
    let create = [
        "create",
        "--name",
        &name,
        "--label",
        &label,
        "stratus/nginx:stable",
    ];
    command("docker", &create).run().await?.success()?;
    Ok(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_prepared_and_confirmed_ever_serves() {
    let mut stage = Running::make("standby", 1, "").unwrap();
    let server = Server::start(&stage.place).await.unwrap();
    stage.server = Some(server);
    stage.place.compose_up().await.unwrap();
    nothing_serves_before_the_first_switch(&stage).await;
    a_second_init_replaces_the_standby(&stage).await;
    an_aborted_standby_is_gone(&stage).await;
    a_failed_init_leaves_no_standby(&stage).await;
    an_asset_of_the_page_before_still_arrives(&stage).await;
    an_init_goes_on_without_its_command(&stage).await;
}

async fn nothing_serves_before_the_first_switch(stage: &Running) {
    let place = &stage.place;
    let refused = async || {
        let output = place.cli(&SWITCH).await.unwrap();
        let words = ["there is no standby", "run zerodowntime.init first"];
        output.refuses(&words).unwrap();
        assert_eq!(place.visit("/index.php").await.unwrap().status, 503);
    };
    refused().await;
    let before = stage.traces().await.unwrap();
    let plan = place
        .done(&["zerodowntime.init", "--dry-run"])
        .await
        .unwrap();
    assert!(plan.to_string().contains("snapshot"), "{plan}");
    assert_eq!(stage.traces().await.unwrap(), before);
    refused().await;
    place.done(&INIT).await.unwrap();
    assert_eq!(place.visit("/index.php").await.unwrap().status, 503);
    place
        .done(&["zerodowntime.switch", "--dry-run"])
        .await
        .unwrap();
    assert_eq!(place.visit("/index.php").await.unwrap().status, 503);
    place.done(&SWITCH).await.unwrap();
    stage.serves(Some(1)).await.unwrap();
}

async fn a_second_init_replaces_the_standby(stage: &Running) {
    stage.place.done(&INIT).await.unwrap();
    assert_eq!(generations(stage).await, ["g1", "g2"]);
    stage.shop.release(2).unwrap();
    let verify = ["zerodowntime.init", "--verify"];
    let init = stage.place.done(&verify).await.unwrap();
    assert_eq!(init["generation"], 3, "{init}");
    assert_eq!(generations(stage).await, ["g1", "g3"]);
    stage.serves(Some(1)).await.unwrap();
}

async fn an_aborted_standby_is_gone(stage: &Running) {
    stage.place.done(&["zerodowntime.abort"]).await.unwrap();
    assert_eq!(generations(stage).await, ["g1"]);
    stage
        .refused(&SWITCH, &["zerodowntime.init"])
        .await
        .unwrap();
    let words = ["there is no standby"];
    stage
        .refused(&["zerodowntime.abort"], &words)
        .await
        .unwrap();
}

async fn a_failed_init_leaves_no_standby(stage: &Running) {
    stage.place.done(&INIT).await.unwrap();
    assert_eq!(generations(stage).await, ["g1", "g4"]);
    std::os::unix::fs::symlink("/etc", stage.shop.code().join("away")).unwrap();
    let output = stage.place.cli(&INIT).await.unwrap();
    output.refuses(&["away", "leads out of the tree"]).unwrap();
    assert_eq!(generations(stage).await, ["g1"]);
    stage
        .refused(&SWITCH, &["zerodowntime.init"])
        .await
        .unwrap();
    std::fs::remove_file(stage.shop.code().join("away")).unwrap();
}

async fn an_asset_of_the_page_before_still_arrives(stage: &Running) {
    assert_eq!(stage.place.visit("/app.2.css").await.unwrap().status, 404);
    stage.deploy(5).await.unwrap();
    let code = stage.shop.code();
    for asset in ["pub/app.0.css", "pub/app.5.css"] {
        std::fs::remove_file(code.join(asset)).unwrap();
    }
    let (_, switch) = stage.deploy(6).await.unwrap();
    let before = stage.place.visit("/app.5.css").await.unwrap();
    assert_eq!(before.status, 200, "{switch} {before:?}");
    assert_eq!(before.body, "/* asset of release 5 */\n");
    let never = stage.place.visit("/app.77.css").await.unwrap();
    assert_eq!(never.status, 404, "{never:?}");
}

async fn an_init_goes_on_without_its_command(stage: &Running) {
    stage.shop.release(7).unwrap();
    let server = format!("unix:{}", stage.place.socket().display());
    let mut init = tokio::process::Command::new(binary("stratus").unwrap())
        .args(["--server", &server, "zerodowntime.init"])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let running = |shop: &Value| shop["operation"]["kind"] == "init";
    becomes(stage, running).await.unwrap();
    init.kill().await.unwrap();
    let done = |shop: &Value| shop["operation"].is_null();
    let after = becomes(stage, done).await.unwrap();
    assert!(after["standby"]["generation"].is_u64(), "{after}");
    let switch = stage.place.done(&SWITCH).await.unwrap();
    assert_eq!(switch["to"], after["standby"]["generation"], "{switch}");
    let visit = stage.place.visit("/index.php").await.unwrap();
    assert!(visit.body.starts_with("release 7\n"), "{visit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_previous_release_answers_after_a_rollback_warm_or_cold() {
    let keep = "    keep: {releases: 2, warm: 10m}\n";
    let stage = Running::open("rollback", 2, keep).await.unwrap();
    stage
        .refused(&ROLLBACK, &["no previous generation"])
        .await
        .unwrap();
    a_warm_one(&stage).await;
    a_cold_one(&stage).await;
    only_so_many_releases_are_kept(&stage).await;
}

async fn release(stage: &Running, number: u32) {
    let visit = stage.place.visit("/index.php").await.unwrap();
    let line = format!("release {number}\n");
    assert!(visit.body.starts_with(&line), "{number}: {visit:?}");
    let css = stage.place.visit("/app.css").await.unwrap();
    assert_eq!(css.body, format!("/* release {number} */\n"));
}

fn steps(operation: &Value) -> Vec<&str> {
    let steps = operation["steps"].as_array().unwrap().iter();
    steps.filter_map(|step| step["name"].as_str()).collect()
}

async fn a_warm_one(stage: &Running) {
    stage.deploy(1).await.unwrap();
    release(stage, 1).await;
    let back = stage.place.done(&ROLLBACK).await.unwrap();
    assert_eq!((&back["from"], &back["to"]), (&2.into(), &1.into()));
    assert!(!steps(&back).contains(&"start"), "{back}");
    release(stage, 0).await;
}

async fn a_cold_one(stage: &Running) {
    stage.place.reconfigure("warm: 10m", "warm: 0s").unwrap();
    stage.place.done(&["environments.apply"]).await.unwrap();
    stage.deploy(2).await.unwrap();
    release(stage, 2).await;
    let stopped = |shop: &Value| shop["previous"]["ready"] == 0;
    becomes(stage, stopped).await.unwrap();
    let back = stage.place.done(&ROLLBACK).await.unwrap();
    assert!(steps(&back).contains(&"start"), "{back}");
    release(stage, 0).await;
    stage.serves(Some(1)).await.unwrap();
}

async fn releases(stage: &Running) -> Vec<Value> {
    let listed = stage.place.done(&["releases.list"]).await.unwrap();
    listed["releases"].as_array().unwrap().clone()
}

fn named<'a>(releases: &'a [Value], state: &str) -> &'a str {
    let mut of = releases.iter().filter(|release| release["state"] == state);
    of.next().unwrap()["release"].as_str().unwrap()
}

async fn only_so_many_releases_are_kept(stage: &Running) {
    let first = releases(stage).await;
    let pinned = named(&first, "live").to_owned();
    stage.place.done(&["releases.pin", &pinned]).await.unwrap();
    for number in 3..=5 {
        stage.deploy(number).await.unwrap();
    }
    // Of five more: the newest two, which are live and previous, and the pinned one.
    let deadline = tokio::time::Instant::now() + LIMIT;
    let left = loop {
        let found = releases(stage).await;
        if found.len() == 3 {
            break found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{found:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(named(&left, "kept"), pinned);
    let why = [
        (
            named(&left, "live"),
            "is live; only a release that no pool uses",
        ),
        (named(&left, "previous"), "is previous; only a release"),
        (&pinned, "is pinned; unpin it first"),
    ];
    for (used, why) in why {
        let remove = ["releases.remove", used];
        stage.refused(&remove, &[why]).await.unwrap();
    }
    stage
        .place
        .done(&["releases.unpin", &pinned])
        .await
        .unwrap();
    let gone = async {
        while releases(stage).await.len() > 2 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone)
        .await
        .expect("it is reaped");
    release(stage, 5).await;
}
