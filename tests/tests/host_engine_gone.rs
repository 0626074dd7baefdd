//! The container engine goes away in the middle of an operation and comes back: visitors notice nothing, the operation
//! completes, is undone or waits for an operator, and nothing is left over. The machine's engine runs on: a wire to it
//! is cut.

use std::time::Duration;

use serde_json::Value;
use stratus_tests::stage::{Output, Running, Wire};
use tokio::task::JoinHandle;

const INIT: [&str; 1] = ["zerodowntime.init"];
const SWITCH: [&str; 1] = ["zerodowntime.switch"];

async fn wired(name: &str) -> (Running, Wire) {
    let mut stage = Running::make(name, 1, "").unwrap();
    let wire = Wire::lay(&stage.place.root.join("engine.sock")).unwrap();
    let host = wire.docker_host();
    stage.go_live(&[("DOCKER_HOST", &host)]).await.unwrap();
    (stage, wire)
}

/// Begins an init and cuts the wire when its first container is there.
async fn init_and_cut(stage: &Running, wire: &mut Wire, generation: u32) -> JoinHandle<Output> {
    let place = stage.place.clone();
    let init = tokio::spawn(async move { place.cli(&INIT).await.unwrap() });
    let prefix = format!("shop-g{generation}-");
    let created = async {
        while !stage
            .containers()
            .await
            .unwrap()
            .iter()
            .any(|name| name.starts_with(&prefix))
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let created = tokio::time::timeout(Duration::from_secs(30), created).await;
    created.expect("init creates a container");
    wire.cut().await.unwrap();
    init
}

async fn shop(stage: &Running) -> Value {
    let status = stage.place.done(&["status"]).await.unwrap();
    status["environments"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_comes_back_soon_costs_an_operation_at_most() {
    let (stage, mut wire) = wired("soon").await;
    an_engine_that_is_not_there_is_said(&stage, &mut wire).await;
    let before = stage.traces().await.unwrap();
    stage.shop.release(1).unwrap();
    let live = shop(&stage).await["live"]["generation"].clone();
    let init = init_and_cut(&stage, &mut wire, 3).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    stage.serves(Some(1)).await.unwrap();
    wire.mend().unwrap();
    let init = init.await.unwrap();
    assert_eq!(live, 1);
    if init.code == 0 {
        assert_eq!(shop(&stage).await["standby"]["generation"], 3);
    } else {
        init.refuses(&["was undone", "does not answer"]).unwrap();
        stage.left_only(&before).await.unwrap();
    }
    stage.serves(Some(1)).await.unwrap();
    let (_, switch) = stage.deploy(2).await.unwrap();
    assert_eq!(switch["from"], 1, "{switch}");
}

/// Before anything was done: refused soon, and what is known is still told.
async fn an_engine_that_is_not_there_is_said(stage: &Running, wire: &mut Wire) {
    wire.cut().await.unwrap();
    let words = ["the container engine", "does not answer", "engine.sock"];
    stage.refused(&INIT, &words).await.unwrap();
    let told = shop(stage).await;
    assert_eq!(told["live"]["generation"], 1, "{told}");
    let drift = told["drift"].to_string();
    assert!(drift.contains("does not answer"), "{told}");
    wire.mend().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_stays_away_leaves_a_stuck_operation_that_can_be_resumed() {
    let (stage, mut wire) = wired("long").await;
    let before = stage.traces().await.unwrap();
    stage.shop.release(1).unwrap();
    let init = init_and_cut(&stage, &mut wire, 2).await.await.unwrap();
    stage.serves(Some(1)).await.unwrap();
    wire.mend().unwrap();
    let words = ["is stuck", "does not answer", "operations.resume"];
    let init = init.refuses(&words).unwrap();
    let id = shop(&stage).await["operation"]["operation"].clone();
    let id = id
        .as_str()
        .unwrap_or_else(|| panic!("no operation: {init}"));
    let words = [id, "operations.resume"];
    stage
        .place
        .cli(&SWITCH)
        .await
        .unwrap()
        .refuses(&words)
        .unwrap();
    // An operation that is undone ends a command with 1, whoever asked for the undo.
    stage.place.cli(&["operations.resume", id]).await.unwrap();
    stage.left_only(&before).await.unwrap();
    stage.serves(Some(1)).await.unwrap();
    let (_, switch) = stage.deploy(2).await.unwrap();
    assert_eq!(switch["from"], 1, "{switch}");
}
