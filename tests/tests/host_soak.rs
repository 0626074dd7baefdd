//! Many switches in one run, each after its own init of changed code, under 32 keep-alive POST clients: nothing is lost
//! and no request sent after a switch returned is answered by old code.
//!
//! `STRATUS_SOAK_SWITCHES` and `STRATUS_SOAK_BURNT` set how many; a few are part of every test run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stratus_tests::load::{Check, Load, Mix, Plan, Report, Request, Target};
use stratus_tests::stage::{Place, Running};

fn count(variable: &str, default: u32) -> u32 {
    std::env::var(variable)
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(default)
}

fn plan(place: &Place) -> Plan {
    let mix = Mix::new(vec![Request::post("/post.php").check(Check::Echo)]).unwrap();
    Plan::new(Target::new(place.http).unwrap(), mix)
        .host("shop.example.test")
        .keepalive(32)
        .limit(Duration::from_hours(1))
}

async fn soak(stage: &Running, switches: u32) -> Report {
    let load = Load::start(plan(&stage.place)).unwrap();
    let handle = load.handle();
    handle.mark(1);
    for number in 1..=switches {
        let sent = handle.snapshot().counts.requests;
        stage.shop.release(number).unwrap();
        stage.place.done(&["zerodowntime.init"]).await.unwrap();
        handle.allow(number + 1);
        let switch = stage.place.done(&["zerodowntime.switch"]).await.unwrap();
        handle.mark(number + 1);
        assert_eq!(switch["to"], number + 1, "{switch}");
        assert!(
            matches!(switch["lost"].as_u64(), Some(0) | None),
            "{switch}"
        );
        assert!(handle.wait_for(|counts| counts.requests >= sent + 64).await);
        assert_eq!(
            handle.snapshot().counts.failed,
            0,
            "{}",
            handle.snapshot().table()
        );
    }
    load.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn switches_in_a_row_lose_nothing_and_answer_nothing_old() {
    let switches = count("STRATUS_SOAK_SWITCHES", 8);
    let stage = Running::open("soak", 2, "").await.unwrap();
    let report = soak(&stage, switches).await;
    println!("{switches} switches\n{}", report.table());
    assert_eq!(report.counts.failed, 0, "{}", report.table());
    assert!(
        report.counts.requests >= u64::from(switches) * 64,
        "{}",
        report.table()
    );
}

/// Burns every CPU until dropped.
struct Burner(Arc<AtomicBool>);

impl Burner {
    fn light() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cpus = std::thread::available_parallelism().map_or(2, usize::from);
        for _ in 0..cpus {
            let stop = stop.clone();
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(stop)
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn switches_with_every_cpu_burnt_lose_nothing_and_answer_nothing_old() {
    let switches = count("STRATUS_SOAK_BURNT", 3);
    let stage = Running::open("burnt", 2, "").await.unwrap();
    let burner = Burner::light();
    let report = soak(&stage, switches).await;
    drop(burner);
    println!(
        "{switches} switches with every CPU burnt\n{}",
        report.table()
    );
    assert_eq!(report.counts.failed, 0, "{}", report.table());
}
