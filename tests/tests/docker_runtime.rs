//! Pools of real PHP-FPM containers: created, adopted, checked, started, stopped and removed.

use std::path::Path;
use std::time::{Duration, Instant};

use stratus_core::runtime::{Restart, RuntimeError};
use stratus_core::{Faulty, Runtime};
use stratus_tests::contracts;
use stratus_tests::pools::{HOST, IMAGE, Pools, check, docker, inspect, operation};

const HELLO: &[(&str, &str)] = &[("index.php", "<?php echo 'hello';")];

#[tokio::test]
async fn docker_keeps_the_contract_of_a_runtime() {
    let pools = Pools::new().await;
    let release = pools.release(HELLO);
    let mut pool = pools.pool(1, &release);
    pool.members = 2;
    pool.image = pools.runtime.image(IMAGE, "php-fpm8.2").await.unwrap();
    contracts::runtime::holds(&contracts::runtime::Given {
        runtime: &pools.runtime,
        pool,
        ready: check("/index.php"),
        missing_image: "stratus/no-such-image:1",
    })
    .await;
    let left = pools.data().join("env/shop/generations");
    assert_eq!(std::fs::read_dir(left).unwrap().count(), 0);
}

#[tokio::test]
async fn the_official_layout_works_through_its_entry_point_and_configuration() {
    let pools = Pools::new().await;
    let release = pools.release(&[(
        "index.php",
        "<?php echo ini_get('memory_limit'), php_sapi_name();",
    )]);
    let mut pool = pools.pool(1, &release);
    pool.php.image = "stratus/test-php-official:8.2".to_owned();
    pool.php.fpm = "php-fpm".to_owned();
    pool.php.ini.insert("memory_limit".into(), "77M".into());
    let pool = pools.serve(pool).await;
    let answer = pools.get(&pool, "/index.php").await;
    assert_eq!(answer.body, b"77Mfpm-fcgi");
    assert_eq!(answer.header("X-Stratus-Generation"), Some("1"));
    let first = docker(&["top", &pools.container(&pool, 0), "-eo", "pid,args"]);
    assert!(first.contains("php-fpm: master process"), "{first}");
}

#[tokio::test]
async fn a_member_may_do_nothing_that_it_need_not() {
    let pools = Pools::new().await;
    let script = "<?php echo file_get_contents('/proc/self/status');
        echo json_encode([@file_put_contents('/etc/x', 'x'), @file_put_contents('index.php', 'x'), posix_getuid()]);";
    let release = pools.release(&[("index.php", script)]);
    let pool = pools.serve(pools.pool(1, &release)).await;
    let container = pools.container(&pool, 0);
    for (path, expected) in [
        (".HostConfig.CapDrop", r#"["ALL"]"#),
        (".HostConfig.CapAdd", "null"),
        (".HostConfig.SecurityOpt", r#"["no-new-privileges"]"#),
        (".HostConfig.ReadonlyRootfs", "true"),
        (".HostConfig.Privileged", "false"),
        (".HostConfig.Memory", "134217728"),
        (".HostConfig.MemorySwap", "134217728"),
        (".HostConfig.NanoCpus", "1000000000"),
        (".HostConfig.PidsLimit", "72"),
        (".HostConfig.NetworkMode", r#""none""#),
        (".HostConfig.RestartPolicy.Name", r#""no""#),
        (".Config.User", r#""1000:1000""#),
        (".Config.StopSignal", r#""SIGQUIT""#),
    ] {
        assert_eq!(inspect(&container, path), expected, "{path}");
    }
    assert_eq!(inspect(&container, ".Image"), format!("{:?}", pool.image));
    let answer = pools.get(&pool, "/index.php").await;
    let said = String::from_utf8(answer.body).unwrap();
    for line in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert!(said.ends_with("[false,false,1000]"), "{said}");
}

#[tokio::test]
async fn only_a_pool_that_was_told_so_is_restarted_by_the_engine() {
    let pools = Pools::new().await;
    let release = pools.release(HELLO);
    let pool = pools.serve(pools.pool(1, &release)).await;
    let policy = || inspect(&pools.container(&pool, 0), ".HostConfig.RestartPolicy.Name");
    assert_eq!(policy(), r#""no""#);
    pools
        .runtime
        .set_restart(&pool, Restart::Always)
        .await
        .unwrap();
    assert_eq!(policy(), r#""unless-stopped""#);
    pools
        .runtime
        .set_restart(&pool, Restart::Never)
        .await
        .unwrap();
    assert_eq!(policy(), r#""no""#);
}

#[tokio::test]
async fn what_an_operation_created_before_a_crash_is_adopted_by_the_next_try() {
    let pools = Pools::new().await;
    let release = pools.release(HELLO);
    let mut pool = pools.pool(1, &release);
    pool.image = pools.runtime.image(IMAGE, "php-fpm8.2").await.unwrap();
    pools.runtime.create(&pool, &operation()).await.unwrap();
    let id = inspect(&pools.container(&pool, 0), ".Id");
    let restarted = pools.restarted().await;
    restarted
        .create(&pool, &"operation-2".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(inspect(&pools.container(&pool, 0), ".Id"), id);
    let seen = restarted.list().await.unwrap();
    assert_eq!(seen[0].operation, Some(operation()));
    restarted.start(&pool).await.unwrap();
    restarted
        .ready(&pool, HOST, &check("/index.php"))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_outdated_container_of_the_same_pool_is_replaced_unless_it_runs() {
    let pools = Pools::new().await;
    let release = pools.release(HELLO);
    let mut pool = pools.pool(1, &release);
    pool.image = pools.runtime.image(IMAGE, "php-fpm8.2").await.unwrap();
    pools.runtime.create(&pool, &operation()).await.unwrap();
    let id = inspect(&pools.container(&pool, 0), ".Id");
    pool.php.workers = 3;
    pools.runtime.create(&pool, &operation()).await.unwrap();
    assert_ne!(inspect(&pools.container(&pool, 0), ".Id"), id);
    pools.runtime.start(&pool).await.unwrap();
    pool.php.workers = 4;
    let error = pools.runtime.create(&pool, &operation()).await.unwrap_err();
    assert!(
        error.to_string().contains("another specification"),
        "{error}"
    );
}

#[tokio::test]
async fn a_foreign_container_of_the_same_name_is_named_and_left_alone() {
    let pools = Pools::new().await;
    let release = pools.release(HELLO);
    let mut pool = pools.pool(1, &release);
    pool.image = pools.runtime.image(IMAGE, "php-fpm8.2").await.unwrap();
    let name = pools.container(&pool, 0);
    let id = docker(&["create", "--name", &name, IMAGE, "true"]);
    let error = pools.runtime.create(&pool, &operation()).await.unwrap_err();
    pools.runtime.remove(&pool.id).await.unwrap();
    let there = inspect(&name, ".Id");
    docker(&["rm", "-f", &id]);
    assert!(error.to_string().contains(&name), "{error}");
    assert!(error.to_string().contains("not ours"), "{error}");
    assert_eq!(there, format!("{id:?}"));
}

#[tokio::test]
async fn a_member_that_somebody_removed_is_created_again_by_a_start() {
    let pools = Pools::new().await;
    let release = pools.release(HELLO);
    let pool = pools.serve(pools.pool(1, &release)).await;
    docker(&["rm", "-f", &pools.container(&pool, 0)]);
    pools.runtime.start(&pool).await.unwrap();
    pools
        .runtime
        .ready(&pool, HOST, &check("/index.php"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_killed_members_socket_does_not_keep_it_from_starting() {
    let pools = Pools::new().await;
    let release = pools.release(HELLO);
    let pool = pools.serve(pools.pool(1, &release)).await;
    docker(&["kill", &pools.container(&pool, 0)]);
    let socket = pools.layout.socket(&pool.id, 0);
    assert!(socket.exists(), "the kill left the socket");
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "no socket at all").unwrap();
    pools.runtime.start(&pool).await.unwrap();
    pools
        .runtime
        .ready(&pool, HOST, &check("/index.php"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_stop_lets_a_running_request_end_and_exits_cleanly() {
    let pools = Pools::new().await;
    let busy = "<?php touch('/stratus/tmp/began'); $end = microtime(true) + 1; while (microtime(true) < $end); echo 'whole';";
    let release = pools.release(&[HELLO[0], ("busy.php", busy)]);
    let pool = pools.serve(pools.pool(1, &release)).await;
    let request = tokio::spawn(pools.asking(&pool, "/busy.php"));
    appears(&pools.layout.generation(&pool.id).join("tmp/0/began")).await;
    pools
        .runtime
        .stop(&pool.id, Duration::from_secs(10))
        .await
        .unwrap();
    assert_eq!(request.await.unwrap().unwrap().body, b"whole");
    assert_eq!(inspect(&pools.container(&pool, 0), ".State.ExitCode"), "0");
}

#[tokio::test]
async fn a_pool_that_is_stopped_in_its_first_moment_hears_it() {
    let pools = Pools::new().await;
    let release = pools.release(HELLO);
    let mut pool = pools.pool(1, &release);
    pool.image = pools.runtime.image(IMAGE, "php-fpm8.2").await.unwrap();
    pools.runtime.create(&pool, &operation()).await.unwrap();
    pools.runtime.start(&pool).await.unwrap();
    let before = Instant::now();
    let grace = Duration::from_secs(20);
    pools.runtime.stop(&pool.id, grace).await.unwrap();
    assert!(before.elapsed() < grace / 2, "{:?}", before.elapsed());
}

#[tokio::test]
async fn a_create_that_nobody_awaits_is_over_before_the_next_call_or_not_at_all() {
    let pools = Pools::new().await;
    let release = pools.release(HELLO);
    let mut pool = pools.pool(1, &release);
    pool.image = pools.runtime.image(IMAGE, "php-fpm8.2").await.unwrap();
    for wait_ms in [0, 5, 20, 60] {
        let first = operation();
        let create = pools.runtime.create(&pool, &first);
        let _ = tokio::time::timeout(Duration::from_millis(wait_ms), create).await;
        // A later try meets whatever the abandoned one did, and ends with one whole pool.
        pools.runtime.create(&pool, &operation()).await.unwrap();
        assert_eq!(pools.runtime.list().await.unwrap().len(), 1);
        pools.runtime.remove(&pool.id).await.unwrap();
        assert!(
            pools.runtime.list().await.unwrap().is_empty(),
            "after {wait_ms} ms"
        );
    }
}

#[tokio::test]
async fn a_member_that_does_not_end_is_killed_after_the_grace_period_and_not_before() {
    let pools = Pools::new().await;
    let busy = "<?php touch('/stratus/tmp/began'); set_time_limit(0); while (true);";
    let release = pools.release(&[HELLO[0], ("busy.php", busy)]);
    let pool = pools.serve(pools.pool(1, &release)).await;
    let request = tokio::spawn(pools.asking(&pool, "/busy.php"));
    appears(&pools.layout.generation(&pool.id).join("tmp/0/began")).await;
    let before = Instant::now();
    pools
        .runtime
        .stop(&pool.id, Duration::from_secs(1))
        .await
        .unwrap();
    assert!(
        before.elapsed() >= Duration::from_secs(1),
        "{:?}",
        before.elapsed()
    );
    assert_eq!(
        inspect(&pools.container(&pool, 0), ".State.ExitCode"),
        "137"
    );
    assert!(request.await.unwrap().is_err());
}

#[tokio::test]
async fn members_of_the_installations_network_are_in_it_and_it_is_made_once() {
    let pools = Pools::on(stratus_agent::docker::Network::Installation).await;
    let release = pools.release(HELLO);
    let mut pool = pools.pool(1, &release);
    pool.members = 2;
    pools.serve(pool).await;
    let name = format!("stratus-{}", pools.layout.installation());
    let found = docker(&["network", "ls", "-q", "--filter", &format!("name={name}")]);
    assert_eq!(found.lines().count(), 1, "{found}");
}

#[tokio::test]
async fn an_image_of_another_program_has_no_fpm() {
    let pools = Pools::new().await;
    for (image, fpm) in [
        ("stratus/test-nofpm:latest", "php-fpm8.2"),
        (IMAGE, "true"),
        (IMAGE, "/etc"),
        (IMAGE, "php8.2"),
    ] {
        let error = pools.runtime.image(image, fpm).await.unwrap_err();
        assert!(
            matches!(error, RuntimeError::NoFpm { .. }),
            "{image} {fpm}: {error}"
        );
        assert!(error.to_string().contains(fpm), "{error}");
    }
}

#[tokio::test]
async fn a_failed_create_says_what_is_missing() {
    let pools = Pools::new().await;
    let release = pools.release(HELLO);
    let mut pool = pools.pool(1, &release);
    pool.shared.push("var".into());
    let error = pools.runtime.create(&pool, &operation()).await.unwrap_err();
    assert!(error.to_string().contains("\"var\""), "{error}");
    assert_eq!(error.fault(), stratus_core::Fault::Permanent);
    std::fs::remove_dir_all(pools.layout.releases(&pool.id.environment)).unwrap();
    pool.shared.clear();
    let error = pools.runtime.create(&pool, &operation()).await.unwrap_err();
    assert!(error.to_string().contains("release"), "{error}");
}

/// Waits for a file that a script makes.
async fn appears(path: &Path) {
    let patience = Instant::now() + Duration::from_secs(10);
    while !path.exists() {
        assert!(
            Instant::now() < patience,
            "{} never appeared",
            path.display()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
