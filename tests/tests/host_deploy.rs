//! Whole deployments in one command, and maintenance, on a real host under load.

use std::path::Path;
use std::time::Duration;

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
async fn deploying_in_one_command_loses_nothing_in_any_mode() {
    let more = "    check: {path: /index.php, status: 200, body: release}\n";
    let stage = Running::open("deploy", 2, more).await.unwrap();
    let load = Load::start(plan(&stage.place)).unwrap();
    let handle = load.handle();
    handle.mark(1);
    let commands: [&[&str]; 5] = [
        &["deploy"],
        &["deploy", "--mode", "rolling"],
        &["deploy", "--mode", "consistent"],
        &["autoscaling.reinit"],
        &["deploy", "--mode", "consistent"],
    ];
    for (number, command) in (2_u32..).zip(commands) {
        stage.shop.release(number).unwrap();
        let sent = handle.snapshot().counts.requests;
        handle.allow(number);
        let deployed = stage.place.done(command).await.unwrap();
        handle.mark(number);
        assert_eq!(
            (&deployed["to"], &deployed["lost"]),
            (&number.into(), &0.into()),
            "{deployed}"
        );
        assert!(handle.wait_for(|counts| counts.requests >= sent + 50).await);
        let table = handle.snapshot().table();
        assert_eq!(handle.snapshot().counts.failed, 0, "{command:?}\n{table}");
    }
    let report = load.stop().await;
    assert_eq!(report.counts.failed, 0, "{}", report.table());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_fails_its_check_goes_back_by_itself() {
    let more = "    check: {path: /index.php, body: 'release 1', within: 2s}\n";
    let stage = Running::open("check", 2, more).await.unwrap();
    stage.place.done(&["zerodowntime.status"]).await.unwrap();
    let before = stage.containers().await.unwrap();
    let load = Load::start(plan(&stage.place)).unwrap();
    for (number, mode) in [(2, "blue-green"), (3, "consistent")] {
        stage.shop.release(number).unwrap();
        let (code, failed) = stage
            .place
            .stratus(&["deploy", "--mode", mode])
            .await
            .unwrap();
        assert_eq!(code, 1, "{failed}");
        let error = failed["error"].as_str().unwrap_or_default();
        assert!(
            error.contains("\"release 1\" is not in the body") && error.contains("was undone"),
            "{failed}"
        );
        assert_eq!(
            stage.containers().await.unwrap(),
            before,
            "nothing is left over"
        );
        let page = stage.place.visit("/index.php").await.unwrap();
        assert_eq!(page.generation(), Some(1), "{}", page.head);
        let status = stage.place.done(&["status"]).await.unwrap();
        let shop = &status["environments"][0];
        assert_eq!(shop["live"]["generation"], 1, "{shop}");
        assert_eq!(shop["drift"], serde_json::json!([]), "{shop}");
    }
    let report = load.stop().await;
    assert_eq!(report.counts.failed, 0, "{}", report.table());
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_closes_the_site_at_once_and_disturbs_nothing() {
    let more =
        "    maintenance: {page: closed.html, retry_after: 90s}\n    ready: {path: /health.php}\n";
    let mut stage = Running::make("closed", 1, "").unwrap();
    stage
        .place
        .reconfigure("    ready: {path: /index.php, within: 60s}\n", more)
        .unwrap();
    stage
        .shop
        .write("pub/closed.html", "<h1>Back soon</h1>\n")
        .unwrap();
    stage
        .shop
        .write("pub/health.php", "<?php echo 'well';\n")
        .unwrap();
    stage.go_live(&[]).await.unwrap();
    let enabled = stage.place.done(&["maintenance.enable"]).await.unwrap();
    assert_eq!(enabled["changed"], true, "{enabled}");
    for path in ["/", "/index.php", "/any/page?x=1"] {
        let closed = stage.place.visit(path).await.unwrap();
        assert_eq!(
            (closed.status, closed.body.as_str()),
            (503, "<h1>Back soon</h1>\n"),
            "{path}"
        );
        assert!(closed.head.contains("Retry-After: 90"), "{}", closed.head);
        assert!(closed.head.contains("no-store"), "{}", closed.head);
    }
    for (path, body) in [("/app.css", "/* release 0 */\n"), ("/health.php", "well")] {
        let open = stage.place.visit(path).await.unwrap();
        assert_eq!((open.status, open.body.as_str()), (200, body), "{path}");
    }
    assert_eq!(
        stage
            .place
            .visit("/.stratus/maintenance")
            .await
            .unwrap()
            .status,
        404
    );
    let again = stage.place.done(&["maintenance.enable"]).await.unwrap();
    assert_eq!(again["changed"], false, "{again}");
    let status = stage.place.done(&["status"]).await.unwrap();
    assert_eq!(status["environments"][0]["maintenance"], true, "{status}");

    deployments_are_looked_at_where_that_is_answered(&stage).await;
    stage.place.done(&["maintenance.disable"]).await.unwrap();
    let open = stage.place.visit("/index.php").await.unwrap();
    assert_eq!(
        (open.status, open.generation()),
        (200, Some(3)),
        "{}",
        open.head
    );
}

/// Of a site in maintenance: its health is answered all the same, and nothing else of it.
async fn deployments_are_looked_at_where_that_is_answered(stage: &Running) {
    // Nobody sees the site, so the deployment does not say that it was well.
    stage.shop.release(2).unwrap();
    let deployed = stage.place.done(&["deploy"]).await.unwrap();
    assert_eq!(deployed["unchecked"], "in maintenance", "{deployed}");
    assert_eq!(stage.place.visit("/index.php").await.unwrap().status, 503);
    // What is answered all the same is looked at, and counts.
    let kept = "    ready: {path: /health.php}\n";
    let checked = format!("{kept}    check: {{path: /health.php, body: well, within: 1s}}\n");
    stage.place.reconfigure(kept, &checked).unwrap();
    stage.place.done(&["environments.apply"]).await.unwrap();
    let looked_at = stage.place.done(&["deploy"]).await.unwrap();
    assert_eq!(
        looked_at["unchecked"],
        serde_json::Value::Null,
        "{looked_at}"
    );
    stage
        .shop
        .write("pub/health.php", "<?php echo 'ill';\n")
        .unwrap();
    let (code, undone) = stage.place.stratus(&["deploy"]).await.unwrap();
    assert_eq!(
        (code, &undone["outcome"]),
        (1, &"undone".into()),
        "{undone}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_php_are_applied_by_a_new_pool_and_dropped_when_it_does_not_come_up() {
    let mut stage = Running::make("options", 1, "").unwrap();
    stage
        .place
        .reconfigure("within: 60s", "within: 5s")
        .unwrap();
    stage.go_live(&[]).await.unwrap();
    stage
        .shop
        .write("pub/limit.php", "<?php echo ini_get('memory_limit');\n")
        .unwrap();
    let limit = async || stage.place.visit("/limit.php").await.unwrap().body;
    let set = stage
        .place
        .done(&["php.options.add", "memory_limit=123M"])
        .await
        .unwrap();
    assert_eq!(
        (&set["kind"], &set["to"]),
        (&"reinit".into(), &2.into()),
        "{set}"
    );
    assert_eq!(limit().await, "123M");
    let again = stage
        .place
        .done(&["php.options.add", "memory_limit", "123M"])
        .await
        .unwrap();
    assert_eq!(again["changed"], false, "{again}");

    let (code, refused) = stage
        .place
        .stratus(&["php.options.add", "a;b=1"])
        .await
        .unwrap();
    assert_eq!(code, 1, "{refused}");
    // A pool that may open no file cannot answer.
    let (code, undone) = stage
        .place
        .stratus(&["php.options.add", "open_basedir=/nowhere"])
        .await
        .unwrap();
    assert_eq!(
        (code, &undone["outcome"]),
        (1, &"undone".into()),
        "{undone}"
    );
    let listed = stage.place.done(&["php.options.list"]).await.unwrap();
    let option = serde_json::json!({"name": "memory_limit", "value": "123M", "by_command": true});
    assert!(
        listed["options"].as_array().unwrap().contains(&option),
        "{listed}"
    );

    stage.place.done(&["deploy"]).await.unwrap();
    assert_eq!(limit().await, "123M", "a deployment keeps it");
    stage
        .place
        .done(&["php.options.remove", "memory_limit"])
        .await
        .unwrap();
    assert_ne!(limit().await, "123M");
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_once_around_the_switch_and_a_failing_one_leaves_the_live_site() {
    let more = "    hooks:\n      before_init: [[sh, -c, 'echo built > built.txt; id -u']]\n      before_switch: [[php, -r, 'echo php_sapi_name(), PHP_EOL, (require \"release.php\");']]\n";
    let stage = Running::open("hooks", 1, more).await.unwrap();
    let load = Load::start(plan(&stage.place)).unwrap();
    stage.shop.release(2).unwrap();
    let deployed = stage
        .place
        .done(&["deploy", "--mode", "consistent"])
        .await
        .unwrap();
    let hooks = deployed["hooks"].as_array().unwrap();
    let output = |index: usize| {
        hooks[index]["output"]
            .as_str()
            .unwrap_or_default()
            .trim_end()
    };
    assert_eq!((output(0), output(1)), ("1000", "cli\n2"), "{deployed}");
    let built = stage.shop.code().join("built.txt");
    assert_eq!(
        std::fs::read_to_string(&built).unwrap(),
        "built\n",
        "the working tree is written to"
    );

    stage
        .place
        .reconfigure("echo php_sapi_name()", "exit(7); echo php_sapi_name()")
        .unwrap();
    stage.place.done(&["environments.apply"]).await.unwrap();
    stage.shop.release(3).unwrap();
    for mode in ["blue-green", "consistent"] {
        let (code, failed) = stage
            .place
            .stratus(&["deploy", "--mode", mode])
            .await
            .unwrap();
        assert_eq!(code, 1, "{failed}");
        let error = failed["error"].as_str().unwrap_or_default();
        assert!(error.contains("ended with 7"), "{failed}");
        let page = stage.place.visit("/index.php").await.unwrap();
        assert!(page.body.starts_with("release 2\n"), "{}", page.body);
    }
    let left = stage.containers().await.unwrap();
    assert!(left.iter().all(|name| !name.contains("hook")), "{left:?}");
    let report = load.stop().await;
    assert_eq!(report.counts.failed, 0, "{}", report.table());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_for_a_consistent_deployment_and_beyond_its_limit_visitors_get_the_page() {
    let more = "    hooks:\n      before_switch: [[php, -r, 'sleep(3);']]\n    hold: 20s\n";
    let stage = Running::open("held", 2, more).await.unwrap();
    let load = Load::start(plan(&stage.place)).unwrap();
    let handle = load.handle();
    handle.mark(1);
    stage.shop.release(2).unwrap();
    handle.allow(2);
    let deployed = stage
        .place
        .done(&["deploy", "--mode", "consistent"])
        .await
        .unwrap();
    handle.mark(2);
    let figure = |name: &str| deployed[name].as_u64().unwrap_or_default();
    assert!((3_000..20_000).contains(&figure("hold_ms")), "{deployed}");
    assert!(figure("held") >= 8, "{deployed}");
    assert!(
        (2_000..=figure("hold_ms")).contains(&figure("longest_hold_ms")),
        "{deployed}"
    );
    assert_eq!(deployed["lost"], 0, "{deployed}");
    let report = load.stop().await;
    assert_eq!(report.counts.failed, 0, "{}", report.table());

    stage.place.reconfigure("hold: 20s", "hold: 1s").unwrap();
    stage.place.done(&["environments.apply"]).await.unwrap();
    stage.shop.release(3).unwrap();
    let deploying = stage.place.done(&["deploy", "--mode", "consistent"]);
    let turned_away = async {
        // Asked with what a visitor that waits would not: it must not wait itself.
        let asked = || async {
            let visit = stage.place.visit("/index.php");
            tokio::time::timeout(Duration::from_millis(300), visit).await
        };
        loop {
            if let Ok(visit) = asked().await
                && visit.as_ref().is_ok_and(|visit| visit.status == 503)
            {
                break;
            }
        }
        // That is no maintenance, and nothing that maintenance.disable ends.
        let disabled = stage.place.done(&["maintenance.disable"]).await.unwrap();
        let status = stage.place.done(&["status"]).await.unwrap();
        (disabled, status["environments"][0].clone())
    };
    let turned_away = tokio::time::timeout(Duration::from_mins(1), turned_away);
    let (deployed, turned_away) = tokio::join!(deploying, turned_away);
    let (disabled, meanwhile) = turned_away.expect("a visitor gets the page");
    let deployed = deployed.unwrap();
    assert_eq!(deployed["to"], 3);
    assert_eq!(disabled["changed"], false, "{disabled}");
    for told in [&disabled, &meanwhile] {
        assert_eq!(told["overdue"], deployed["operation"], "{told}");
    }
    assert_eq!(meanwhile["maintenance"], false, "{meanwhile}");
    assert_eq!(stage.place.visit("/index.php").await.unwrap().status, 200);

    // What an operation that is over has left there is opened by hand.
    let left = stage.place.data().join("env/shop/overdue");
    std::fs::write(&left, "").unwrap();
    assert_eq!(stage.place.visit("/index.php").await.unwrap().status, 503);
    let status = stage.place.done(&["status"]).await.unwrap();
    assert_eq!(status["environments"][0]["overdue"], "", "{status}");
    let opened = stage.place.done(&["maintenance.disable"]).await.unwrap();
    assert_eq!(opened["changed"], true, "{opened}");
    assert!(!left.exists());
    assert_eq!(stage.place.visit("/index.php").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_is_not_live_is_told() {
    let stage = Running::open("diff", 1, "").await.unwrap();
    let same = stage.place.done(&["environments.diff"]).await.unwrap();
    assert_eq!(same["total"], 0, "{same}");
    stage.shop.write("pub/new.php", "<?php\n").unwrap();
    stage
        .shop
        .write("release.php", "<?php return 'edited';\n")
        .unwrap();
    std::fs::remove_file(stage.shop.code().join("pub/slow.php")).unwrap();
    let differs = stage.place.done(&["environments.diff"]).await.unwrap();
    let expected = serde_json::json!([
        {"path": "pub/new.php", "change": "added"},
        {"path": "pub/slow.php", "change": "removed"},
        {"path": "release.php", "change": "changed"},
    ]);
    assert_eq!(differs["files"], expected, "{differs}");
    // The status looks by itself; it had no reason to before.
    let status = stage.place.done(&["status"]).await.unwrap();
    let edits = &status["environments"][0]["edits"];
    assert_eq!(edits["total"], 3, "{status}");
    assert_eq!(edits["files"][0], "pub/new.php", "{status}");
    stage.place.done(&["deploy"]).await.unwrap();
    let status = stage.place.done(&["status"]).await.unwrap();
    assert!(status["environments"][0]["edits"].is_null(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undone_deployment_goes_back_to_a_pool_that_answers_though_it_was_not_drained_in_time() {
    let more = "    hooks: {before_switch: [[/bin/true]], after_switch: [[/bin/false]]}\n";
    let mut stage = Running::make("goback", 1, more).unwrap();
    stage.place.reconfigure("drain: 30s", "drain: 1s").unwrap();
    stage.go_live(&[]).await.unwrap();
    let load = Load::start(plan(&stage.place)).unwrap();
    // As long as a pool may need to be prepared on a busy machine, and the drain comes after that.
    for (mode, ms, status) in [("blue-green", 10_000, 200), ("consistent", 20_000, 502)] {
        let slow = format!("/slow.php?ms={ms}");
        let slow = stage.place.visit(&slow);
        let deploy = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            stage.place.stratus(&["deploy", "--mode", mode]).await
        };
        let (slow, deployed) = tokio::join!(slow, deploy);
        let (code, failed) = deployed.unwrap();
        let error = failed["error"].as_str().unwrap_or_default();
        assert!(code == 1 && error.contains("ended with 1"), "{failed}");
        // Traffic goes back to the old pool, so nothing of it is cut, unless a hook had to be alone.
        assert_eq!(slow.unwrap().status, status, "{mode}");
        let page = stage.place.visit("/index.php").await.unwrap();
        assert_eq!((page.status, page.generation()), (200, Some(1)), "{mode}");
    }
    let report = load.stop().await;
    assert_eq!(report.counts.failed, 0, "{}", report.table());
}

/// Requests that `generation` answered, of `sent` on connections of their own.
async fn answered_by(place: &Place, generation: u32, sent: usize) -> usize {
    let mut answered = 0;
    for _ in 0..sent {
        let page = place.visit("/index.php").await.unwrap();
        answered += usize::from(page.generation() == Some(generation));
    }
    answered
}

/// Waits until `wanted` members of `release` were asked whether they are ready, and names them.
async fn asked(var: &Path, release: u32, wanted: usize) -> Vec<String> {
    let prefix = format!("asked-{release}-");
    let limit = tokio::time::Instant::now() + Duration::from_mins(1);
    loop {
        let found = std::fs::read_dir(var).unwrap();
        let names: Vec<String> = found
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with(&prefix))
            .collect();
        if names.len() >= wanted {
            return names;
        }
        assert!(tokio::time::Instant::now() < limit, "{names:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_deployment_moves_member_by_member_and_goes_back_from_the_middle() {
    let stage = Running::open("rolling", 3, "").await.unwrap();
    // Ready is a member whose ticket lies there, so that each waits for the test.
    let ready = "<?php
$release = include __DIR__ . '/../release.php';
// A member is told apart by what lies in its own /tmp.
$own = '/tmp/member';
if (!file_exists($own)) { file_put_contents($own, bin2hex(random_bytes(8)), LOCK_EX); }
$member = $release . '-' . file_get_contents($own);
$ticket = __DIR__ . '/../var/ticket-' . $member;
if ($release > 1 && !file_exists($ticket)) { http_response_code(503); }
file_put_contents(__DIR__ . '/../var/asked-' . $member, '');
echo 'release ', $release;
";
    stage.shop.write("pub/ready.php", ready).unwrap();
    stage
        .place
        .reconfigure(
            "ready: {path: /index.php, within: 60s}",
            "ready: {path: /ready.php, within: 15s}",
        )
        .unwrap();
    stage.place.done(&["environments.apply"]).await.unwrap();
    let load = Load::start(plan(&stage.place)).unwrap();
    let handle = load.handle();
    handle.mark(1);
    let var = stage.shop.code().join("var");
    let admit = async |release: u32, wanted: usize| {
        for name in asked(&var, release, wanted).await {
            let ticket = name.replacen("asked", "ticket", 1);
            std::fs::write(var.join(ticket), "").unwrap();
        }
    };
    // The third member never becomes ready: everything goes back.
    stage.shop.release(2).unwrap();
    handle.allow(2);
    let words = ["deploy", "--mode", "rolling"];
    let deploying = stage.place.stratus(&words);
    let shared = async {
        admit(2, 1).await;
        admit(2, 2).await;
        asked(&var, 2, 3).await;
        // Two of three have moved when the third one is asked; whose turn it is depends on the others who ask.
        let moved = answered_by(&stage.place, 2, 60).await;
        assert!((25..55).contains(&moved), "{moved} of 60");
    };
    let (deployed, ()) = tokio::join!(deploying, shared);
    let (code, failed) = deployed.unwrap();
    assert_eq!(code, 1, "{failed}");
    let error = failed["error"].as_str().unwrap_or_default();
    assert!(error.contains("did not become ready"), "{failed}");
    assert_eq!(answered_by(&stage.place, 1, 12).await, 12);
    assert_eq!(stage.containers().await.unwrap().len(), 3);

    stage.shop.release(3).unwrap();
    handle.allow(3);
    let admitted = async {
        for members in 1..=3 {
            admit(3, members).await;
        }
    };
    let (deployed, ()) = tokio::join!(stage.place.done(&words), admitted);
    let deployed = deployed.unwrap();
    handle.mark(3);
    assert_eq!(deployed["lost"], 0, "{deployed}");
    assert!(deployed["served_new"].as_u64() > Some(0), "{deployed}");
    assert_eq!(answered_by(&stage.place, 3, 12).await, 12);
    let report = load.stop().await;
    assert_eq!(report.counts.failed, 0, "{}", report.table());
}
