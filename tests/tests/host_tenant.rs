//! `nginx.update` on a whole stack, as scripts call it: every minute, by two callers, while deployments run.

use std::time::{Duration, Instant};

use stratus_tests::load::{Check, Load, Mix, Plan, Request, Target};
use stratus_tests::stage::{Place, Running, Server};

const UPDATE: [&str; 1] = ["nginx.update"];

fn plan(place: &Place) -> Plan {
    let mix = Mix::new(vec![
        Request::get("/index.php").weight(4),
        Request::post("/post.php").check(Check::Echo).weight(4),
        Request::get("/app.css"),
        Request::slow("/slow.php?ms=100"),
    ])
    .unwrap();
    Plan::new(Target::new(place.http).unwrap(), mix)
        .host("shop.example.test")
        .keepalive(8)
        .oneshot(2)
        .rate(100)
        .limit(Duration::from_mins(5))
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_by_two_callers_during_deployments_are_never_refused_and_lose_nothing() {
    let stage = Running::open("tenant", 1, "").await.unwrap();
    let load = Load::start(plan(&stage.place)).unwrap();
    let handle = load.handle();
    handle.mark(1);
    let deployed = tokio_util::sync::CancellationToken::new();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..2 {
        let (place, code, deployed) = (
            stage.place.clone(),
            stage.shop.code().to_owned(),
            deployed.clone(),
        );
        callers.spawn(async move {
            let mut calls = 0;
            while !deployed.is_cancelled() {
                let file = code
                    .join(".nginx/server_level")
                    .join(format!("{caller}.conf"));
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                let text = format!("location = /caller{caller} {{ return 200 {calls}; }}");
                // As an editor does it: whole or not at all.
                std::fs::write(file.with_extension("new"), text).unwrap();
                std::fs::rename(file.with_extension("new"), file).unwrap();
                let reply = place.done(&UPDATE).await.unwrap();
                assert_eq!(reply["environment"], "shop", "{reply}");
                calls += 1;
                tokio::time::sleep(Duration::from_millis(1500)).await;
            }
            calls
        });
    }
    for generation in 2..=4 {
        stage.shop.release(generation).unwrap();
        stage.place.done(&["zerodowntime.init"]).await.unwrap();
        handle.allow(generation);
        let switch = stage.place.done(&["zerodowntime.switch"]).await.unwrap();
        handle.mark(generation);
        assert!(
            matches!(switch["lost"].as_u64(), Some(0) | None),
            "{switch}"
        );
    }
    deployed.cancel();
    while let Some(calls) = callers.join_next().await {
        assert!(calls.unwrap() >= 2);
    }
    for caller in 0..2 {
        let answer = stage
            .place
            .visit(&format!("/caller{caller}"))
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
    }
    let report = load.stop().await;
    assert_eq!(report.counts.failed, 0, "{}", report.table());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_file_changes_nothing_over_a_restart_and_a_switch() {
    let mut stage = Running::open("refused", 1, "").await.unwrap();
    let file = ".nginx/server_level/a.conf";
    std::fs::create_dir_all(stage.shop.code().join(".nginx/server_level")).unwrap();
    stage
        .shop
        .write(file, "location = /hello { return 200 good; }")
        .unwrap();
    let reply = stage.place.done(&UPDATE).await.unwrap();
    assert_eq!(
        (&reply["changed"], &reply["reloaded"]),
        (&true.into(), &true.into()),
        "{reply}"
    );
    let began = Instant::now();
    let reply = stage.place.done(&UPDATE).await.unwrap();
    println!(
        "an unchanged call of the program takes {:?}",
        began.elapsed()
    );
    assert_eq!(reply["changed"], false, "{reply}");

    stage
        .shop
        .write(
            file,
            "location = /hello { return 200 bad; }\nproxy_pass http://169.254.169.254;",
        )
        .unwrap();
    let words = [
        ".nginx/server_level/a.conf:2: `proxy_pass`: is not allowed",
        "take it out",
        "stay in force",
    ];
    stage.refused(&UPDATE, &words).await.unwrap();

    assert_eq!(stage.place.visit("/hello").await.unwrap().body, "good");
    stage.deploy(2).await.unwrap();
    assert_eq!(stage.place.visit("/hello").await.unwrap().body, "good");
    drop(stage.server.take());
    let mut server = Server::spawn_with(&stage.place, &[]).unwrap();
    server.answers(&stage.place).await.unwrap();
    stage.server = Some(server);
    assert_eq!(stage.place.visit("/hello").await.unwrap().body, "good");
}
