//! Crons and workers on a real host: in containers of the live release, once, one at a time, whatever happens to the server.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use stratus_tests::load::{Load, Mix, Plan, Request, Target};
use stratus_tests::stage::{Place, Running, Server};

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(90);

/// Says which release it is of, in the shared folder and on standard output.
const NOTE: &str = "<?php
$line = ($argv[1] ?? 'tidy') . ' of release ' . (include __DIR__ . '/release.php') . \"\\n\";
file_put_contents(__DIR__ . '/var/noted', $line, FILE_APPEND);
echo $line;
";

/// The same, and then waits until it may end: for a file, or in vain.
const WAIT: &str = "<?php
$argv[1] = 'slow';
include __DIR__ . '/note.php';
while (!file_exists(__DIR__ . '/var/go')) { usleep(20000); clearstatcache(); }
exit(5);
";

/// Writes without end and leaves children behind.
const WILD: &str = "<?php
for ($i = 0; $i < 20; $i++) {
    proc_open(['sleep', '600'], [], $pipes);
}
$line = str_repeat('x', 1023) . \"\\n\";
for ($i = 0; $i < (1 << 20); $i++) { echo $line; }
echo 'the end';
";

/// Ends well when it is told to, and counts who runs beside it.
const WORKER: &str = "<?php
pcntl_async_signals(true);
$release = include __DIR__ . '/release.php';
$note = fn ($what) => file_put_contents(__DIR__ . '/var/worked', \"$what $release\\n\", FILE_APPEND);
pcntl_signal(SIGTERM, function () use ($note) { usleep(300000); $note('ends'); exit(0); });
$note('begins');
while (true) { usleep(10000); }
";

fn crons(more: &str) -> String {
    format!(
        "    crons:\n      - {{name: tidy, at: '* * * * *', zone: Europe/Berlin, run: [php, note.php]}}\n      - {{name: slow, at: '0 0 1 1 *', run: [php, wait.php]}}\n{more}"
    )
}

async fn open(name: &str, more: &str) -> Running {
    let mut stage = Running::make(name, 1, more).unwrap();
    for (file, text) in [
        ("note.php", NOTE),
        ("wait.php", WAIT),
        ("wild.php", WILD),
        ("worker.php", WORKER),
    ] {
        stage.shop.write(file, text).unwrap();
    }
    stage.go_live(&[]).await.unwrap();
    stage
}

/// A file of the shared folder; empty where there is none.
fn noted(stage: &Running, file: &str) -> String {
    std::fs::read_to_string(shared(stage).join(file)).unwrap_or_default()
}

/// Where members, crons and workers see `var`.
fn shared(stage: &Running) -> PathBuf {
    stage.shop.code().join("var")
}

async fn until(what: &str, done: impl AsyncFn() -> bool) {
    let waited = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(LIMIT, waited).await;
    waited.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn newest(place: &Place, cron: &str) -> Value {
    let logs = place.done(&["crons.logs", cron]).await.unwrap();
    logs["runs"][0].clone()
}

fn plan(place: &Place) -> Plan {
    let mix = Mix::new(vec![Request::get("/index.php")]).unwrap();
    Plan::new(Target::new(place.http).unwrap(), mix)
        .host("shop.example.test")
        .keepalive(4)
        .rate(100)
        .limit(Duration::from_mins(5))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_runs_when_it_is_due_and_never_beside_another_and_outlives_its_server() {
    let mut stage = open("crons", &crons("")).await;
    stage
        .place
        .done(&["crons.run", "slow", "--detach"])
        .await
        .unwrap();
    until("slow runs", async || {
        noted(&stage, "noted").contains("slow of release 0")
    })
    .await;

    // The server is killed beside it: it goes on, and what it comes to is known afterwards.
    stage.server.take().unwrap().kill().await.unwrap();
    stage.server = Some(Server::start(&stage.place).await.unwrap());
    assert_eq!(newest(&stage.place, "slow").await["state"], "running");

    // It spans a deployment, which does not lose a request for it; the other cron's slot waits for it.
    let load = Load::start(plan(&stage.place)).unwrap();
    stage.deploy(2).await.unwrap();
    let listed = async || stage.place.done(&["crons.list"]).await.unwrap();
    let waits = async || listed().await["crons"][0]["last"]["state"] == "waiting";
    until("tidy waits", waits).await;
    assert!(!noted(&stage, "noted").contains("tidy"));

    std::fs::write(shared(&stage).join("go"), "").unwrap();
    until("tidy ran", async || noted(&stage, "noted").contains("tidy")).await;
    let slow = newest(&stage.place, "slow").await;
    assert_eq!(
        (&slow["state"], &slow["exit"]),
        (&"over".into(), &5.into()),
        "{slow}"
    );
    assert_eq!(slow["output"], "slow of release 0\n");
    // Once, and of the release that is live when it begins.
    let lines = noted(&stage, "noted");
    assert_eq!(lines.matches("slow").count(), 1, "{lines}");
    assert!(lines.contains("tidy of release 2"), "{lines}");
    let tidy = newest(&stage.place, "tidy").await;
    assert_eq!(tidy["slot"].as_u64().unwrap_or(1) % 60_000, 0, "{tidy}");
    let report = load.stop().await;
    assert_eq!(report.counts.failed, 0, "{}", report.table());
    until("nothing is left of them", async || {
        let left = stage.containers().await.unwrap();
        !left.iter().any(|name| name.contains("cron."))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_what_runs_and_ends_by_itself() {
    let stage = open("cronstop", &crons("")).await;
    stage
        .place
        .done(&["crons.run", "slow", "--detach"])
        .await
        .unwrap();
    until("slow runs", async || {
        noted(&stage, "noted").contains("slow")
    })
    .await;
    let stopped = stage
        .place
        .done(&["crons.stop", "--for", "20s", "--wait", "1s"]);
    let stopped = stopped.await.unwrap();
    assert_eq!(stopped["running"][0]["cron"], "slow", "{stopped}");
    let (code, refused) = stage.place.stratus(&["crons.run", "tidy"]).await.unwrap();
    assert_eq!(code, 1, "{refused}");
    let error = refused["error"].as_str().unwrap_or_default();
    assert!(error.contains("crons are stopped until"), "{error}");
    std::fs::write(shared(&stage).join("go"), "").unwrap();
    let stopped = stage
        .place
        .done(&["crons.stop", "--for", "20s"])
        .await
        .unwrap();
    assert_eq!(stopped["running"], serde_json::json!([]), "{stopped}");
    let status = stage.place.done(&["status"]).await.unwrap();
    let lease = &status["environments"][0]["crons_stopped"];
    assert_eq!(lease["owner"], "crons.stop", "{status}");
    // Nobody starts them.
    until("the lease ends", async || {
        let (code, _) = stage.place.stratus(&["crons.run", "tidy"]).await.unwrap();
        code == 0
    })
    .await;
    for _ in 0..2 {
        let started = stage.place.done(&["crons.start"]).await.unwrap();
        assert_eq!(started["stopped"], Value::Null, "{started}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_that_never_ends_forks_or_writes_a_gigabyte_is_bounded() {
    let more = crons(
        "      - {name: endless, at: '0 0 1 1 *', run: [sleep, '600'], timeout: 2s}\n      - {name: wild, at: '0 0 1 1 *', run: [php, wild.php]}\n      - {name: missing, at: '0 0 1 1 *', run: [no-such-program]}\n",
    );
    let stage = open("cronwild", &more).await;
    let (code, endless) = stage
        .place
        .stratus(&["crons.run", "endless"])
        .await
        .unwrap();
    assert_eq!(
        (code, &endless["end"]),
        (1, &"timed_out".into()),
        "{endless}"
    );
    let wild = stage.place.done(&["crons.run", "wild"]).await.unwrap();
    let output = wild["output"].as_str().unwrap_or_default();
    assert!(
        output.ends_with("the end"),
        "{}",
        &output[output.len() - 40..]
    );
    assert_eq!(wild["cut"], true);
    assert!(output.len() <= 32 * 1024);
    let (code, missing) = stage
        .place
        .stratus(&["crons.run", "missing"])
        .await
        .unwrap();
    assert_eq!((code, &missing["exit"]), (1, &127.into()), "{missing}");
    let left = stage.containers().await.unwrap();
    assert!(!left.iter().any(|name| name.contains("cron.")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_move_with_every_switch_and_never_run_two_releases_at_once() {
    let more = "    workers: [{name: queue, run: [php, worker.php], grace: 5s}]\n";
    let mut stage = open("workers", more).await;
    until("it works", async || noted(&stage, "worked") == "begins 0\n").await;
    let load = Load::start(plan(&stage.place)).unwrap();
    stage.deploy(2).await.unwrap();
    stage
        .place
        .done(&["deploy", "--mode", "consistent"])
        .await
        .unwrap();
    stage.place.done(&["zerodowntime.rollback"]).await.unwrap();
    let report = load.stop().await;
    assert_eq!(report.counts.failed, 0, "{}", report.table());
    let moved = "begins 0\nends 0\nbegins 2\nends 2\nbegins 2\nends 2\nbegins 2\n";
    until("it moved", async || noted(&stage, "worked") == moved).await;
    let listed = stage.place.done(&["crons.list"]).await.unwrap();
    assert_eq!(listed["workers"][0]["running"], true, "{listed}");

    // A server that is away leaves it running, and finds it again.
    stage.server.take().unwrap().kill().await.unwrap();
    stage.server = Some(Server::start(&stage.place).await.unwrap());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(noted(&stage, "worked"), moved);
    // One that is configured no more ends.
    stage.place.reconfigure(more, "").unwrap();
    stage.place.done(&["environments.apply"]).await.unwrap();
    until("it ended", async || {
        noted(&stage, "worked") == format!("{moved}ends 2\n")
    })
    .await;
}
