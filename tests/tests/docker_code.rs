//! What members see: code, shared folders, links, sessions, settings and the environment.

use std::fs;

use stratus_core::Runtime;
use stratus_core::environment::CodeAccess;
use stratus_tests::pools::{HOST, Pools, check, docker, inspect, write};

const WRITE: &str = "<?php echo json_encode([@file_put_contents('index.php', 'changed'), @file_put_contents('new', 'new')]);";

#[tokio::test]
async fn immutable_code_cannot_be_written() {
    let pools = Pools::new().await;
    let release = pools.release(&[("index.php", WRITE)]);
    let pool = pools.serve(pools.pool(1, &release)).await;
    assert_eq!(pools.get(&pool, "/index.php").await.body, b"[false,false]");
}

#[tokio::test]
async fn writable_code_is_the_members_own_and_goes_with_it() {
    let pools = Pools::new().await;
    let release = pools.release(&[
        ("index.php", "<?php"),
        ("write.php", WRITE),
        ("read.php", "<?php echo @file_get_contents('new');"),
    ]);
    let mut pool = pools.pool(1, &release);
    pool.code_access = CodeAccess::Overlay;
    let pool = pools.serve(pool).await;
    assert_eq!(pools.get(&pool, "/write.php").await.body, b"[7,3]");
    assert_eq!(pools.get(&pool, "/read.php").await.body, b"new");
    let root = pools
        .layout
        .releases(&pool.id.environment)
        .join(release.as_str());
    assert_eq!(fs::read_to_string(root.join("index.php")).unwrap(), "<?php");
    assert!(!root.join("new").exists());

    // A new container of the same member sees nothing of it.
    docker(&["rm", "-f", &pools.container(&pool, 0)]);
    pools.runtime.start(&pool).await.unwrap();
    pools
        .runtime
        .ready(&pool, HOST, &check("/index.php"))
        .await
        .unwrap();
    assert_eq!(pools.get(&pool, "/read.php").await.body, b"");
    pools.runtime.remove(&pool.id).await.unwrap();
    let filter = format!(
        "label=org.stratus.installation={}",
        pools.layout.installation()
    );
    assert_eq!(docker(&["volume", "ls", "-q", "--filter", &filter]), "");
}

#[tokio::test]
async fn a_shared_folder_is_live_in_both_directions_also_over_an_overlay() {
    let pools = Pools::new().await;
    write(pools.code.path(), "var/old.txt", "old");
    let script =
        "<?php file_put_contents('var/new.txt', 'new'); echo file_get_contents('var/old.txt');";
    let release = pools.release(&[("index.php", "<?php"), ("go.php", script), ("var/", "")]);
    for (generation, access) in [(1, CodeAccess::Immutable), (2, CodeAccess::Overlay)] {
        let mut pool = pools.pool(generation, &release);
        pool.shared.push("var".into());
        pool.code_access = access;
        let pool = pools.serve(pool).await;
        assert_eq!(pools.get(&pool, "/go.php").await.body, b"old", "{access:?}");
        let new = pools.code.path().join("var/new.txt");
        assert_eq!(fs::read_to_string(&new).unwrap(), "new");
        fs::remove_file(new).unwrap();
    }
}

#[tokio::test]
async fn a_script_in_a_shared_folder_is_seen_when_it_changes() {
    let pools = Pools::new().await;
    let path = pools.code.path().join("var/settings.php");
    let long_ago = || {
        // OPcache does not keep a file that is younger than two seconds.
        let then = std::time::SystemTime::now() - std::time::Duration::from_mins(1);
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(then)
            .unwrap();
    };
    write(pools.code.path(), "var/settings.php", "<?php return 'one';");
    long_ago();
    let release = pools.release(&[
        ("index.php", "<?php echo include 'var/settings.php';"),
        ("var/", ""),
    ]);
    let mut pool = pools.pool(1, &release);
    pool.shared.push("var".into());
    let pool = pools.serve(pool).await;
    for _ in 0..3 {
        assert_eq!(pools.get(&pool, "/index.php").await.body, b"one");
    }
    write(pools.code.path(), "var/settings.php", "<?php return 'two';");
    assert_eq!(pools.get(&pool, "/index.php").await.body, b"two");
}

#[tokio::test]
async fn a_shared_folder_that_leads_elsewhere_is_refused() {
    let pools = Pools::new().await;
    std::os::unix::fs::symlink("/etc", pools.code.path().join("var")).unwrap();
    let release = pools.release(&[("index.php", "<?php"), ("var/", "")]);
    let mut pool = pools.pool(1, &release);
    pool.shared.push("var".into());
    let error = pools
        .runtime
        .create(&pool, &stratus_tests::pools::operation())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("var") && error.to_string().contains("link"),
        "{error}"
    );
    assert!(pools.runtime.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_link_into_another_root_works_and_cannot_be_written_through() {
    let pools = Pools::new().await;
    let assets = tempfile::tempdir().unwrap();
    write(assets.path(), "a.txt", "asset");
    let (root, script) = (
        assets.path().join(""),
        "<?php echo file_get_contents('a'), json_encode(@file_put_contents('a', ''));",
    );
    fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let release = pools.release(&[("index.php", script)]);
    let environment = "shop".parse().unwrap();
    let link = pools
        .layout
        .releases(&environment)
        .join(release.as_str())
        .join("a");
    std::os::unix::fs::symlink(assets.path().join("a.txt"), link).unwrap();
    let mut pool = pools.pool(1, &release);
    pool.links.push(assets.path().to_owned());
    let pool = pools.serve(pool).await;
    assert_eq!(pools.get(&pool, "/index.php").await.body, b"assetfalse");
}

#[tokio::test]
async fn a_session_of_one_generation_is_known_to_the_next() {
    let pools = Pools::new().await;
    let script = "<?php session_id('abc'); session_start(); echo $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;";
    let release = pools.release(&[("index.php", "<?php"), ("session.php", script)]);
    for generation in 1..=2 {
        let pool = pools.serve(pools.pool(generation, &release)).await;
        let answer = pools.get(&pool, "/session.php").await;
        assert_eq!(answer.body, generation.to_string().as_bytes());
        assert_eq!(
            answer.header("x-stratus-generation"),
            Some(generation.to_string().as_str())
        );
    }
}

#[tokio::test]
async fn settings_and_environment_arrive_as_written() {
    let pools = Pools::new().await;
    let script = "<?php echo json_encode([getenv('A'), getenv('EMPTY'), getenv('PATH'), ini_get('memory_limit'),
        (int)ini_get('error_reporting'), ini_get('post_max_size'), ini_get('date.timezone'), ini_get('cgi.fix_pathinfo'),
        opcache_get_status()['memory_usage']['free_memory'] > 150 << 20, $own ?? null, ini_get('session.save_path')],
        JSON_UNESCAPED_SLASHES);";
    let release = pools.release(&[("index.php", script), ("own.php", "<?php $own = 'own';")]);
    let mut pool = pools.pool(1, &release);
    for (key, value) in [
        ("memory_limit", "99M"),
        ("error_reporting", "E_ALL & ~E_NOTICE"),
        ("date.timezone", "Europe/Berlin"),
        ("opcache.memory_consumption", "200"),
        ("auto_prepend_file", "/var/www/html/own.php"),
        ("open_basedir", "/var/www/html"),
    ] {
        pool.php.ini.insert(key.into(), value.into());
    }
    pool.php
        .env
        .insert("A".into(), "$HOME 'x' \"y\"\n[z]; #".into());
    pool.php.env.insert("EMPTY".into(), "".into());
    let pool = pools.serve(pool).await;
    let answer = pools.get(&pool, "/index.php").await;
    let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let expected = serde_json::json!([
        "$HOME 'x' \"y\"\n[z]; #",
        "",
        false,
        "99M",
        32759,
        "8388608",
        "Europe/Berlin",
        "0",
        true,
        "own",
        "/stratus/sessions"
    ]);
    assert_eq!(said, expected);
    assert!(!inspect(&pools.container(&pool, 0), ".Args").contains("HOME"));
}

#[tokio::test]
async fn a_script_hidden_behind_another_files_name_is_not_run() {
    let pools = Pools::new().await;
    let release = pools.release(&[("index.php", "<?php"), ("upload.jpg", "<?php echo 'run';")]);
    let pool = pools.serve(pools.pool(1, &release)).await;
    for path in ["/upload.jpg/x.php", "/index.php/x.php"] {
        let answer = pools.get(&pool, path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
}
