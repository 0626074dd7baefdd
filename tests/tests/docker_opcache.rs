//! `OPcache` is reset on every live member, by a script that no visitor reaches and that leaves nothing in the docroot.

use std::sync::Arc;

use stratus_agent::cache::{CacheClients, HostNames};
use stratus_agent::fpm::{fastcgi, request};
use stratus_core::Pool;
use stratus_core::cache::{Cleaner, Clear, ClearError, Scope, Target};
use stratus_tests::laws::sample;
use stratus_tests::pools::{HOST, Pools};

/// Says how often its member was reset.
const COUNTER: &str =
    "<?php echo opcache_get_status(false)['opcache_statistics']['manual_restarts'];";

async fn reset(pools: &Pools, live: Option<&Pool>) -> Result<(), ClearError> {
    let shop = sample::environment("shop");
    let clients = CacheClients::new(pools.layout.clone(), Arc::new(HostNames));
    let clear = Clear {
        environment: &shop,
        live,
        target: &Target::Opcache,
        scope: &Scope::ALL,
        reference: "reference-1",
        sessions: &[],
    };
    clients.clear(clear).await.map(drop)
}

/// What member `index` counts.
async fn resets(pools: &Pools, pool: &Pool, index: u16) -> u32 {
    let params = request::page(pool, HOST, "/index.php").unwrap();
    let socket = pools.layout.socket(&pool.id, index);
    let limit = std::time::Duration::from_secs(10);
    let answer = fastcgi::call(&socket, &params, b"", limit).await.unwrap();
    String::from_utf8_lossy(&answer.body).parse().unwrap()
}

#[tokio::test]
async fn every_member_forgets_its_scripts_and_the_docroot_stays_as_it_is() {
    let pools = Pools::new().await;
    let release = pools.release(&[
        ("index.php", COUNTER),
        ("own.php", "<?php echo 'the operator prepends'; exit;"),
    ]);
    let mut pool = pools.pool(1, &release);
    pool.members = 2;
    let pool = pools.serve(pool).await;
    for _ in 0..2 {
        reset(&pools, Some(&pool)).await.unwrap();
    }
    for index in 0..2 {
        assert!(resets(&pools, &pool, index).await >= 1, "member {index}");
    }
    let release = pools
        .layout
        .releases(&pool.id.environment)
        .join(release.as_str());
    let files = std::fs::read_dir(release).unwrap().count();
    assert_eq!(files, 2, "nothing was put beside the two scripts");
}

#[tokio::test]
async fn a_script_that_the_operator_prepends_does_not_stand_in_the_way() {
    let pools = Pools::new().await;
    let release = pools.release(&[
        ("index.php", COUNTER),
        (
            "own.php",
            "<?php if (isset($_GET['stop'])) { exit; } echo '';",
        ),
    ]);
    let mut pool = pools.pool(1, &release);
    let own = "/var/www/html/own.php";
    pool.php.ini.insert("auto_prepend_file".into(), own.into());
    let pool = pools.serve(pool).await;
    reset(&pools, Some(&pool)).await.unwrap();
    assert_eq!(resets(&pools, &pool, 0).await, 1);
}

#[tokio::test]
async fn a_pool_without_opcache_has_nothing_to_reset_and_one_that_forbids_it_says_so() {
    let pools = Pools::new().await;
    let release = pools.release(&[("index.php", "<?php echo 'ok';")]);
    for (generation, setting, value, fine) in [
        (1, "opcache.enable", "0", true),
        (2, "opcache.restrict_api", "/elsewhere", false),
        (3, "disable_functions", "opcache_reset", false),
    ] {
        let mut pool = pools.pool(generation, &release);
        pool.php.ini.insert(setting.into(), value.into());
        let pool = pools.serve(pool).await;
        let said = reset(&pools, Some(&pool)).await;
        assert_eq!(said.is_ok(), fine, "{setting}: {said:?}");
        if let Err(error) = said {
            assert!(matches!(error, ClearError::Refused { .. }), "{error:?}");
            assert!(error.to_string().contains("restrict_api"), "{error}");
        }
    }
    reset(&pools, None).await.unwrap();
}

#[tokio::test]
async fn a_member_that_does_not_run_has_nothing_to_forget() {
    let pools = Pools::new().await;
    let release = pools.release(&[("index.php", "<?php echo 'ok';")]);
    let pool = pools.serve(pools.pool(1, &release)).await;
    stratus_core::Runtime::stop(&pools.runtime, &pool.id, std::time::Duration::from_secs(2))
        .await
        .unwrap();
    reset(&pools, Some(&pool)).await.unwrap();
}
