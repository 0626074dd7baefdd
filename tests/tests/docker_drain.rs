//! Drains of real pools: no request is left behind, running or queued, and a limit is a limit.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stratus_core::{Pool, Runtime};
use stratus_tests::pools::{Pools, docker};

/// Burns CPU, since a signal would cut a sleep short; leaves a mark when it begins.
const BUSY: &str = "<?php touch('/stratus/tmp/began-' . $_GET['n']); set_time_limit(0);
    $end = microtime(true) + $_GET['s']; while (microtime(true) < $end); echo 'whole';";

async fn pool(pools: &Pools, workers: u16) -> Pool {
    let release = pools.release(&[("index.php", "<?php"), ("busy.php", BUSY)]);
    let mut pool = pools.pool(1, &release);
    pool.php.workers = workers;
    pools.serve(pool).await
}

/// Waits until request `n` runs.
async fn began(pools: &Pools, pool: &Pool, n: u32) {
    let path = pools
        .layout
        .generation(&pool.id)
        .join("tmp/0")
        .join(format!("began-{n}"));
    let patience = Instant::now() + Duration::from_secs(10);
    while !Path::exists(&path) {
        assert!(Instant::now() < patience, "request {n} never began");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_drain_waits_for_the_running_and_for_the_queued_request() {
    let pools = Pools::new().await;
    let pool = pool(&pools, 1).await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut requests = Vec::new();
    for n in 0..2 {
        let (asking, done) = (
            pools.asking(&pool, &format!("/busy.php?n={n}&s=0.7")),
            done.clone(),
        );
        requests.push(tokio::spawn(async move {
            let answer = asking.await;
            done.fetch_add(1, Ordering::SeqCst);
            answer
        }));
        // The second has only one worker to wait for: it is in the backlog when it was sent.
        began(&pools, &pool, 0).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let drained = pools
        .runtime
        .drain(&pool, Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!(drained.remaining, 0);
    assert_eq!(done.load(Ordering::SeqCst), 2, "a request was still there");
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap().body, b"whole");
    }
}

#[tokio::test]
async fn a_drain_of_an_idle_pool_takes_its_gap_and_not_much_more() {
    let pools = Pools::new().await;
    let pool = pool(&pools, 2).await;
    let before = Instant::now();
    let drained = pools
        .runtime
        .drain(&pool, Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!(drained.remaining, 0);
    let took = before.elapsed();
    assert!(
        took >= Duration::from_millis(250),
        "one barrier is not enough: {took:?}"
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn what_runs_past_the_limit_is_said() {
    let pools = Pools::new().await;
    let pool = pool(&pools, 2).await;
    let request = tokio::spawn(pools.asking(&pool, "/busy.php?n=0&s=30"));
    began(&pools, &pool, 0).await;
    let before = Instant::now();
    let drained = pools
        .runtime
        .drain(&pool, Duration::from_millis(1500))
        .await
        .unwrap();
    assert_eq!(drained.remaining, 1);
    assert!(
        before.elapsed() < Duration::from_secs(5),
        "{:?}",
        before.elapsed()
    );
    request.abort();
}

#[tokio::test]
async fn a_saturated_member_counts_its_workers_at_the_limit() {
    let pools = Pools::new().await;
    let pool = pool(&pools, 1).await;
    let request = tokio::spawn(pools.asking(&pool, "/busy.php?n=0&s=30"));
    began(&pools, &pool, 0).await;
    let drained = pools
        .runtime
        .drain(&pool, Duration::from_millis(1500))
        .await
        .unwrap();
    assert_eq!(drained.remaining, 1);
    request.abort();
}

#[tokio::test]
async fn a_killed_member_holds_nothing() {
    let pools = Pools::new().await;
    let pool = pool(&pools, 1).await;
    let request = tokio::spawn(pools.asking(&pool, "/busy.php?n=0&s=30"));
    began(&pools, &pool, 0).await;
    docker(&["kill", &pools.container(&pool, 0)]);
    let drained = pools
        .runtime
        .drain(&pool, Duration::from_secs(5))
        .await
        .unwrap();
    assert_eq!(drained.remaining, 0);
    assert!(request.await.unwrap().is_err());
}

#[tokio::test]
async fn a_member_that_was_told_to_quit_is_not_drained_while_it_serves() {
    let pools = Pools::new().await;
    let pool = pool(&pools, 1).await;
    let request = tokio::spawn(pools.asking(&pool, "/busy.php?n=0&s=1"));
    began(&pools, &pool, 0).await;
    docker(&["kill", "--signal", "QUIT", &pools.container(&pool, 0)]);
    let drained = pools
        .runtime
        .drain(&pool, Duration::from_secs(10))
        .await
        .unwrap();
    assert_eq!(drained.remaining, 0);
    assert!(request.is_finished(), "the request was still there");
    assert_eq!(request.await.unwrap().unwrap().body, b"whole");
}
