//! Pools that do not become ready: each says why, soon, with the last answer and the last log lines.

use std::time::{Duration, Instant};

use stratus_core::environment::Ready;
use stratus_core::runtime::RuntimeError;
use stratus_core::{Pool, Runtime};
use stratus_tests::pools::{HOST, IMAGE, Pools, check, docker, operation};

/// Starts a pool of this script and answers why it is not ready.
async fn failure(pools: &Pools, pool: &mut Pool, ready: &Ready) -> String {
    pool.image = pools
        .runtime
        .image(IMAGE, "php-fpm8.2")
        .await
        .expect("the pool starts");
    pools
        .runtime
        .create(pool, &operation())
        .await
        .expect("the pool starts");
    pools.runtime.start(pool).await.expect("the pool starts");
    let error = pools
        .runtime
        .ready(pool, HOST, ready)
        .await
        .expect_err("it is not ready");
    assert!(matches!(error, RuntimeError::NotReady { .. }), "{error}");
    error.to_string()
}

fn script(pools: &Pools, text: &str) -> Pool {
    let release = pools.release(&[("index.php", text)]);
    pools.pool(1, &release)
}

fn soon(path: &str) -> Ready {
    Ready {
        within: Duration::from_secs(3),
        ..check(path)
    }
}

#[tokio::test]
async fn a_script_that_fatals_is_shown_with_its_answer_and_its_error() {
    let pools = Pools::new().await;
    let mut pool = script(
        &pools,
        "<?php header('X-Seen: yes'); echo 'half a page'; no_such_function();",
    );
    pool.php.ini.insert("display_errors".into(), "0".into());
    let error = failure(&pools, &mut pool, &soon("/index.php")).await;
    for words in [
        "shop-g1",
        "/index.php",
        "status 500",
        "X-Seen: yes",
        "no_such_function",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[tokio::test]
async fn an_unexpected_status_is_shown_with_the_first_lines_of_the_body() {
    let pools = Pools::new().await;
    let text = "<?php http_response_code(503); echo \"down for\\n\\x1b[31mmaintenance\\n\", str_repeat(\"x\\n\", 5000);";
    let mut pool = script(&pools, text);
    let error = failure(&pools, &mut pool, &soon("/index.php")).await;
    for words in [
        "status 503",
        "should have answered status 200",
        "down for",
        "\\u{1b}[31mmaintenance",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
    assert!(
        error.lines().count() < 100 && !error.contains('\x1b'),
        "{error}"
    );
}

#[tokio::test]
async fn a_script_that_is_not_there_is_said() {
    let pools = Pools::new().await;
    let mut pool = script(&pools, "<?php");
    let error = failure(&pools, &mut pool, &soon("/nothing.php")).await;
    assert!(error.contains("status 404"), "{error}");
}

#[tokio::test]
async fn an_fpm_that_exits_at_once_fails_at_once_with_its_last_words() {
    let pools = Pools::new().await;
    let mut pool = script(&pools, "<?php");
    // A name of a preloaded file that is not there ends the master.
    pool.php
        .ini
        .insert("opcache.preload".into(), "/nowhere.php".into());
    let before = Instant::now();
    let error = failure(&pools, &mut pool, &check("/index.php")).await;
    assert!(
        before.elapsed() < Duration::from_secs(9),
        "{:?}",
        before.elapsed()
    );
    for words in ["ended with code", "/nowhere.php"] {
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[tokio::test]
async fn a_script_that_hangs_is_asked_once_and_ends_at_the_limit() {
    let pools = Pools::new().await;
    let mut pool = script(
        &pools,
        "<?php file_put_contents('/stratus/tmp/log', '.', FILE_APPEND); while (true);",
    );
    let before = Instant::now();
    let error = failure(&pools, &mut pool, &soon("/index.php")).await;
    assert!(
        before.elapsed() < Duration::from_secs(10),
        "{:?}",
        before.elapsed()
    );
    assert!(error.contains("not ready within 3s"), "{error}");
    let log = pools.layout.generation(&pool.id).join("tmp/0/log");
    assert_eq!(std::fs::read_to_string(log).unwrap(), ".");
}

#[tokio::test]
async fn a_script_that_needs_more_memory_than_there_is_is_said_at_once() {
    let pools = Pools::new().await;
    let mut pool = script(
        &pools,
        "<?php $a = str_repeat('x', 300 << 20); echo strlen($a);",
    );
    pool.php.memory = 64 << 20;
    pool.php.ini.insert("memory_limit".into(), "-1".into());
    let before = Instant::now();
    let error = failure(&pools, &mut pool, &check("/index.php")).await;
    assert!(
        before.elapsed() < Duration::from_secs(9),
        "{:?}",
        before.elapsed()
    );
    assert!(
        error.contains("killed for memory (limit 64 MiB)"),
        "{error}"
    );
}

#[tokio::test]
async fn successes_must_come_in_a_row() {
    let pools = Pools::new().await;
    let text = "<?php $n = (int)@file_get_contents('/stratus/tmp/n') + 1; file_put_contents('/stratus/tmp/n', $n);
        if ($n % 3 == 0) http_response_code(500);";
    let mut flapping = script(&pools, text);
    let three = Ready {
        successes: 3,
        within: Duration::from_secs(3),
        ..check("/index.php")
    };
    failure(&pools, &mut flapping, &three).await;
    let two = Ready {
        successes: 2,
        ..check("/index.php")
    };
    pools.runtime.ready(&flapping, HOST, &two).await.unwrap();
}

#[tokio::test]
async fn one_member_that_is_not_ready_keeps_the_pool_back() {
    let pools = Pools::new().await;
    let mut pool = script(&pools, "<?php");
    pool.members = 2;
    pool.image = pools.runtime.image(IMAGE, "php-fpm8.2").await.unwrap();
    pools.runtime.create(&pool, &operation()).await.unwrap();
    pools.runtime.start(&pool).await.unwrap();
    docker(&["kill", &pools.container(&pool, 1)]);
    let error = pools
        .runtime
        .ready(&pool, HOST, &check("/index.php"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("member 1"), "{error}");
}

#[tokio::test]
async fn warm_paths_reach_the_front_controller_on_every_member_and_a_500_is_an_error() {
    let pools = Pools::new().await;
    let text = "<?php file_put_contents('/stratus/tmp/log', $_SERVER['REQUEST_URI'] . ' ' . $_SERVER['HTTP_HOST']);
        if ($_SERVER['REQUEST_URI'] == '/broken') { http_response_code(500); echo 'broken page'; }";
    let mut pool = script(&pools, text);
    pool.members = 2;
    let pool = pools.serve(pool).await;
    pools.runtime.warm(&pool, HOST, "/about?a=b").await.unwrap();
    for index in ["0", "1"] {
        let log = pools
            .layout
            .generation(&pool.id)
            .join("tmp")
            .join(index)
            .join("log");
        assert_eq!(
            std::fs::read_to_string(log).unwrap(),
            "/about?a=b shop.test"
        );
    }
    let error = pools
        .runtime
        .warm(&pool, HOST, "/broken")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("broken page"), "{error}");
}
