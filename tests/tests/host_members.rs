//! Members come, go and are cut, under load.

use std::time::{Duration, Instant};

use stratus_tests::load::{Check, Load, Mix, Plan, Request, Target};
use stratus_tests::stage::{Place, Running};

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
        .rate(150)
        .limit(Duration::from_mins(5))
}

#[tokio::test(flavor = "multi_thread")]
async fn growing_and_shrinking_under_load_loses_nothing() {
    let stage = Running::open("members", 1, "").await.unwrap();
    let load = Load::start(plan(&stage.place)).unwrap();
    let handle = load.handle();
    handle.mark(1);
    let mut now = 1;
    for (generation, members) in [(2_u32, 3_u64), (3, 1), (4, 2), (5, 3), (6, 1)] {
        let (from, to) = (format!("replicas: {now}"), format!("replicas: {members}"));
        stage.place.reconfigure(&from, &to).unwrap();
        stage.place.done(&["environments.apply"]).await.unwrap();
        now = members;
        stage.shop.release(generation).unwrap();
        stage.place.done(&["zerodowntime.init"]).await.unwrap();
        let sent = handle.snapshot().counts.requests;
        handle.allow(generation);
        let switch = stage.place.done(&["zerodowntime.switch"]).await.unwrap();
        handle.mark(generation);
        assert!(
            matches!(switch["lost"].as_u64(), Some(0) | None),
            "{switch}"
        );
        assert!(handle.wait_for(|counts| counts.requests >= sent + 50).await);
        let status = stage.place.done(&["status"]).await.unwrap();
        let live = &status["environments"][0]["live"];
        assert_eq!(
            (&live["members"], &live["ready"]),
            (&members.into(), &members.into())
        );
        let table = handle.snapshot().table();
        assert_eq!(handle.snapshot().counts.failed, 0, "to {members}\n{table}");
    }
    let report = load.stop().await;
    assert_eq!(report.counts.failed, 0, "{}", report.table());
    assert!(report.counts.requests > 500, "{}", report.table());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_beyond_the_drain_limit_is_cut_and_no_other() {
    let stage = Running::open("cut", 1, "").await.unwrap();
    stage.place.reconfigure("drain: 30s", "drain: 2s").unwrap();
    stage.place.done(&["environments.apply"]).await.unwrap();
    let load = Load::start(plan(&stage.place)).unwrap();
    let handle = load.handle();
    handle.mark(1);
    assert!(handle.wait_for(|counts| counts.requests >= 20).await);
    // A switch cuts when it has drained; a deployment when nothing can go back any more.
    for (generation, command) in [(2, "zerodowntime.switch"), (3, "deploy")] {
        stage.shop.release(generation - 1).unwrap();
        if command == "zerodowntime.switch" {
            stage.place.done(&["zerodowntime.init"]).await.unwrap();
        }
        let place = stage.place.clone();
        let long = tokio::spawn(async move {
            let began = Instant::now();
            let answer = place.visit("/slow.php?ms=20000").await;
            (answer, began.elapsed())
        });
        // Time for the request to reach a worker: nothing tells that it did.
        tokio::time::sleep(Duration::from_millis(500)).await;
        handle.allow(generation);
        let moved = stage.place.done(&[command]).await.unwrap();
        handle.mark(generation);
        let (answer, took) = long.await.unwrap();
        let drained = moved["drained_ms"].as_u64().unwrap();
        assert!((2_000..6_000).contains(&drained), "{moved}");
        assert!(took < Duration::from_secs(17), "{took:?}: it was not cut");
        let whole = answer.as_ref().is_ok_and(|answer| answer.status == 200);
        assert!(!whole, "{answer:?}");
        // Null where records may be missing; never a guess.
        if let (Some(cut), Some(lost)) = (moved["cut"].as_u64(), moved["lost"].as_u64()) {
            assert_eq!(cut + lost, 1, "{moved}");
        }
    }
    let load = load.stop().await;
    assert_eq!(load.counts.failed, 0, "{}", load.table());
    stage.serves(Some(3)).await.unwrap();
}
