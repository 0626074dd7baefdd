//! Rules 3 to 7 of the contract: clients that die, pipes that close, words that are stray, callers at the same time, leases.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use stratus_tests::stage::Server;

use crate::scene::{Scene, is_clean, none_lost};

/// A cron that is due in a year.
const CRONS: &str =
    "    crons: [{name: tidy, at: '0 0 1 1 *', run: [php, -r, 'echo \"tidied\";']}]\n";

/// Runs while a deployment waits for it: until the file `go` is there.
const WAIT: &str = "<?php
while (!file_exists(__DIR__ . '/../var/go')) { usleep(20000); clearstatcache(); }
echo 'answered by release ', require __DIR__ . '/../release.php';
";

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// Rule 3: "`grep -q` closes the pipe at the first match", "a closed stdout is no error": the init goes on, blocks, and ends
/// with 0 behind the closed pipe, so that the next line may switch.
#[tokio::test(flavor = "multi_thread")]
async fn a_grep_that_closes_the_pipe_leaves_the_init_running_and_blocking() {
    let scene = Scene::open("grepq", "").await;
    scene.stage.shop.release(1).unwrap();
    let script = "set -o pipefail
        $CLI zerodowntime.init 2>&1 | { grep -q . && $CLI --json status >when-closed; }
        echo \"${PIPESTATUS[*]}\"
        $CLI --json status >after
        $CLI zerodowntime.switch 2>&1 | grep -q traffic
        echo \"${PIPESTATUS[0]}\"";
    let output = scene.bash(script).await.success().unwrap();
    assert_eq!(output.stdout, "0 0\n0\n", "{output}");
    let noted = |name: &str| -> Value {
        let text = std::fs::read_to_string(scene.notes(name)).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["environments"][0].clone()
    };
    let when_closed = noted("when-closed");
    assert_eq!(when_closed["operation"]["kind"], "init", "{when_closed}");
    assert_eq!(when_closed["standby"], Value::Null, "{when_closed}");
    let after = noted("after");
    assert_eq!(after["standby"]["generation"], 2, "it blocked: {after}");
    assert_eq!(scene.release().await, "release 1");
}

/// Rule 3: "`init` and `switch` … survive the death of their client", "CI jobs are killed": with SIGKILL, in the middle.
/// "The operation lives in the server."
#[tokio::test(flavor = "multi_thread")]
async fn an_init_and_a_switch_go_on_when_their_job_is_killed() {
    let scene = Scene::open("killed", "").await;
    scene.stage.shop.write("pub/wait.php", WAIT).unwrap();
    scene.stage.deploy(1).await.unwrap();
    scene.stage.shop.release(2).unwrap();
    let kill = |command: &str, kind: &str| {
        format!(
            "$CLI {command} >said 2>&1 & job=$!
            for try in $(seq 200); do $CLI --json status | grep -q '\"kind\":\"{kind}\"' && break; sleep 0.02; done
            kill -KILL $job; wait $job; echo $?"
        )
    };
    let killed = scene.bash(&kill("zerodowntime.init", "init")).await;
    assert_eq!(killed.stdout, "137\n", "{killed}");
    let after = scene
        .becomes("prepared", |shop| shop["standby"]["generation"] == 3)
        .await;
    assert_eq!(after["live"]["generation"], 2, "{after}");

    // A request keeps the switch waiting for its drain, and the switch is killed there.
    let waits = scene.stage.place.visit("/wait.php");
    let switch = async {
        let worker = Duration::from_millis(300);
        tokio::time::sleep(worker).await;
        let killed = scene.bash(&kill("zerodowntime.switch", "switch")).await;
        std::fs::write(scene.stage.shop.code().join("var/go"), "").unwrap();
        killed
    };
    let (waited, killed) = tokio::join!(waits, switch);
    assert_eq!(killed.stdout, "137\n", "{killed}");
    assert_eq!(waited.unwrap().body, "answered by release 1");
    let done = |shop: &Value| shop["live"]["generation"] == 3 && shop["operation"].is_null();
    scene.becomes("switched", done).await;
    assert_eq!(scene.release().await, "release 2");
}

/// Rule 4: "no terminal and no login shell needed; arguments split on spaces; a trailing `;` or space is harmless;
/// `time stratus …` works".
#[tokio::test(flavor = "multi_thread")]
async fn stray_words_an_empty_environment_and_no_terminal_are_harmless() {
    let scene = Scene::open("stray", "").await;
    for (number, (init, switch)) in (1_u32..).zip([
        // As the variable of a tool is expanded: the semicolon is a word of its own.
        (
            "command='zerodowntime.init ; '; $CLI $command",
            "command=\"$CLI zerodowntime.switch ;\"; $command",
        ),
        // As one word, the way a tool quotes it.
        (
            "\"$CLI\" 'zerodowntime.init --verify '",
            "\"$CLI\" 'zerodowntime.switch;'",
        ),
        // cron, ssh, a container: nothing in the environment, no terminal, no stdin, no folder.
        (
            "cd /; env -i setsid -w \"$CLI\" --server \"$STRATUS_SERVER\" zerodowntime.init <&-",
            "env -i sh -c \"$CLI --server $STRATUS_SERVER zerodowntime.switch;\" </dev/null",
        ),
        // Options with a stray end, options in one word, and variables that are set and say nothing.
        (
            "command='zerodowntime.init --env shop;'; $CLI $command",
            "STRATUS_ENV= STRATUS_RECONNECT= STRATUS_CRONS_FOR= \"$CLI\" zerodowntime.switch \"--quiet --env shop ;\"",
        ),
        // Nobody listens at all.
        (
            "$CLI zerodowntime.init >&- 2>&- <&-",
            "time stratus zerodowntime.switch",
        ),
    ]) {
        scene.stage.shop.release(number).unwrap();
        for script in [init, switch] {
            let output = scene.bash(script).await;
            assert_eq!(output.code, 0, "{script}: {output}");
            let said = format!("{}{}", output.stdout, output.stderr);
            assert!(is_clean(&said), "{script}: {output}");
            // `time` is bash's own word: what it adds is on stderr.
            assert_eq!(
                output.stderr.contains("real"),
                script.starts_with("time"),
                "{output}"
            );
        }
        assert_eq!(scene.release().await, format!("release {number}"));
    }
}

/// Rule 5: "`cache.*` succeed as no-ops where the service is off": also before anything is live, as in the script that sets
/// a shop up.
#[tokio::test(flavor = "multi_thread")]
async fn caches_are_cleared_as_no_ops_before_anything_is_live() {
    let scene = Scene::before_all("nolive").await;
    for cache in [
        "all.clear",
        "opcache.flush",
        "redis.clear",
        "varnish.clear",
        "cloudfront.invalidate",
        "cdn.purge",
    ] {
        let (said, code) = scene.merged(&format!("cache.{cache}")).await;
        assert_eq!(code, 0, "{cache}: {said}");
        assert!(is_clean(&said), "{cache}: {said}");
    }
}

/// Rule 6: "`crons.*` and `nginx.update` are idempotent and safe under concurrency: they queue behind a running operation
/// where they must, and are never refused for it". Row nginx.update: "called as often as once a minute".
/// Row crons.stop, crons.start: "effective on return", "idempotent".
#[tokio::test(flavor = "multi_thread")]
async fn several_callers_of_crons_and_nginx_are_never_refused_during_any_deployment() {
    let scene = Scene::open("callers", CRONS).await;
    let file = scene
        .stage
        .shop
        .code()
        .join(".nginx/server_level/hello.conf");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, "location = /hello { return 200 hello; }").unwrap();
    let load = scene.load();
    scene.stage.shop.release(1).unwrap();
    let script = r#"
        call() {
            local name=$1 calls=0
            shift
            while [ ! -e over ]; do
                "$CLI" "$@" >>"$name.said" 2>&1 || echo "$* ended with $?" >>bad
                calls=$((calls + 1))
            done
            echo "$calls" >"$name.calls"
        }
        for caller in 1 2; do
            call "stop$caller" crons.stop &
            call "start$caller" crons.start &
            call "update$caller" nginx.update &
            call "list$caller" crons.list &
        done
        $CLI zerodowntime.init || echo "init ended with $?" >>bad
        $CLI zerodowntime.switch || echo "switch ended with $?" >>bad
        $CLI deploy || echo "deploy ended with $?" >>bad
        $CLI deploy --mode consistent || echo "consistent ended with $?" >>bad
        touch over
        wait"#;
    scene.bash(script).await.success().unwrap();
    let read = |name: &str| std::fs::read_to_string(scene.notes(name)).unwrap_or_default();
    assert_eq!(read("bad"), "");
    for name in ["stop", "start", "update", "list"] {
        for caller in 1..=2 {
            let said = read(&format!("{name}{caller}.said"));
            assert!(is_clean(&said), "{name}: {said}");
            let calls = read(&format!("{name}{caller}.calls"));
            assert!(calls.trim().parse::<u32>().unwrap() >= 5, "{name}: {calls}");
        }
    }
    none_lost(load).await;
    let hello = scene.stage.place.visit("/hello").await.unwrap();
    assert_eq!(hello.body, "hello");
    let twice = "$CLI crons.stop && $CLI crons.stop && $CLI crons.start && $CLI crons.start && $CLI crons.run tidy";
    let output = scene.bash(twice).await.success().unwrap();
    assert!(output.stdout.contains("tidied"), "{output}");
}

/// Rule 7: "`crons.stop` is a lease (default 60 minutes, `--for`): a script that dies after it does not leave a shop without
/// crons; `crons.start` ends it".
#[tokio::test(flavor = "multi_thread")]
async fn crons_come_back_by_themselves_after_a_script_that_died_and_a_server_that_was_killed() {
    let mut scene = Scene::open("lease", CRONS).await;
    let script = "\n$CLI crons.stop\nkill -KILL $$\n$CLI crons.start";
    let began = now_ms();
    let killed = scene.bash(script).await;
    assert_eq!(killed.code, -1, "{killed}");
    let lease = scene.status().await["crons_stopped"].clone();
    let left = lease["until"].as_u64().unwrap() - began;
    let hour = 3_600_000;
    assert!((hour..hour + 30_000).contains(&left), "{left} ms: {lease}");
    let held = scene.bash("$CLI crons.run tidy").await;
    assert_eq!(held.code, 1, "{held}");
    // A second stop, such as that of a script within a script, makes it later and never sooner.
    let until = async || scene.status().await["crons_stopped"]["until"].as_u64();
    let first = until().await;
    let sooner = scene.bash("$CLI crons.stop --for 1m").await;
    assert_eq!((sooner.code, until().await), (0, first), "{sooner}");
    let later = scene.bash("$CLI crons.stop --for 2h").await;
    assert!(later.code == 0 && until().await > first, "{later}");
    let started = scene
        .bash("$CLI crons.start && $CLI crons.run tidy")
        .await
        .success()
        .unwrap();
    assert!(started.stdout.contains("tidied"), "{started}");

    // The same script with a lease that ends while the test looks: its own words stay as they are.
    let short = format!("export STRATUS_CRONS_FOR=8s{script}");
    assert_eq!(scene.bash(&short).await.code, -1);
    scene.stage.server.take().unwrap().kill().await.unwrap();
    scene.stage.server = Some(Server::start(&scene.stage.place).await.unwrap());
    let held = scene.bash("$CLI crons.run tidy").await;
    assert_eq!(held.code, 1, "it is known after a restart: {held}");
    scene
        .becomes("at an end", |shop| shop["crons_stopped"].is_null())
        .await;
    let back = scene.bash("$CLI crons.run tidy").await.success().unwrap();
    assert!(back.stdout.contains("tidied"), "{back}");
}
