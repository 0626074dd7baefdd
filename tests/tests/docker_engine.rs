//! The engine's door, against a real engine: throw-away containers, questions, and what happens when it is gone.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use stratus_agent::docker::{Bind, Engine, EngineError, Once, Tmpfs};
use stratus_core::InstallationId;

const SOCKET: &str = "/var/run/docker.sock";
const IMAGE: &str = "stratus/php-fpm:8.2";

async fn engine() -> Engine {
    Engine::connect(Path::new(SOCKET))
        .await
        .expect("these tests need a Docker engine; `make test` installs one")
}

fn once(installation: &str, argv: &[&str]) -> Once {
    Once {
        installation: installation.parse().expect("six hexadecimal digits"),
        purpose: "test".to_owned(),
        image: IMAGE.to_owned(),
        argv: argv.iter().map(|a| (*a).to_owned()).collect(),
        user: "65534:65534".to_owned(),
        binds: Vec::new(),
        tmpfs: Vec::new(),
        memory: 64 << 20,
        timeout: Duration::from_secs(20),
        labels: HashMap::new(),
    }
}

/// Throw-away containers of an installation, as the docker client sees them.
fn left_over(installation: &str) -> String {
    let filter = format!("label=org.stratus.once={installation}");
    let found = std::process::Command::new("docker")
        .args(["ps", "-aq", "--filter", &filter])
        .output()
        .expect("the docker client runs");
    String::from_utf8_lossy(&found.stdout).trim().to_owned()
}

#[tokio::test]
async fn the_engine_accepts_the_client_and_says_what_it_is() {
    let engine = engine().await;
    engine.ping().await.unwrap();
    let version = engine.version().await.unwrap();
    assert!(version.platform.starts_with("linux/"), "{version:?}");
    let setup = engine.setup().await.unwrap();
    assert!(!setup.storage_driver.is_empty(), "{setup:?}");
}

#[tokio::test]
async fn a_throw_away_container_answers_with_its_exit_and_output_and_is_gone() {
    let run = once("aaaa01", &["ls", "/nowhere"]);
    let finished = engine().await.run_once(run).await.unwrap();
    assert_eq!(finished.exit, 2, "{finished:?}");
    assert!(finished.output.contains("/nowhere"), "{finished:?}");
    assert_eq!(left_over("aaaa01"), "");
}

#[tokio::test]
async fn a_throw_away_container_has_no_network_no_capability_and_a_read_only_root() {
    let argv = [
        "cat",
        "/proc/self/status",
        "/proc/net/dev",
        "/proc/self/mounts",
    ];
    let run = once("aaaa02", &argv);
    let finished = engine().await.run_once(run).await.unwrap();
    let said = |line: &str| finished.output.lines().any(|l| l.trim() == line);
    assert!(said("CapBnd:\t0000000000000000"), "{}", finished.output);
    assert!(said("NoNewPrivs:\t1"), "{}", finished.output);
    assert!(!finished.output.contains("eth0"), "{}", finished.output);
    let mut mounts = finished.output.lines();
    let root = mounts.find(|l| l.split(' ').nth(1) == Some("/"));
    assert!(root.is_some_and(|l| l.contains(" ro,")), "{root:?}");
}

#[tokio::test]
async fn binds_are_seen_read_only_and_a_tmpfs_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a:b.txt"), "hello").unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut run = once("aaaa03", &["cp", "/in/a:b.txt", "/out/x"]);
    run.binds.push(Bind {
        source: folder.path().to_owned(),
        target: "/in".into(),
        read_only: true,
    });
    run.tmpfs.push(Tmpfs {
        target: "/out".into(),
        bytes: 1 << 20,
    });
    let engine = engine().await;
    assert_eq!(engine.run_once(run.clone()).await.unwrap().exit, 0);
    run.argv = vec!["cp".into(), "/in/a:b.txt".into(), "/in/y".into()];
    run.user = "0:0".to_owned();
    let refused = engine.run_once(run).await.unwrap();
    assert_eq!(refused.exit, 1);
    assert!(refused.output.contains("Read-only"), "{refused:?}");
}

#[tokio::test]
async fn a_throw_away_container_past_its_limit_is_removed_and_the_error_says_so() {
    let mut run = once("aaaa04", &["sleep", "60"]);
    run.timeout = Duration::from_millis(300);
    let error = engine().await.run_once(run).await.unwrap_err();
    assert!(matches!(error, EngineError::TimedOut { .. }), "{error}");
    assert_eq!(left_over("aaaa04"), "");
}

#[tokio::test]
async fn a_throw_away_container_nobody_awaits_is_removed_all_the_same() {
    let engine = engine().await;
    let run = engine.run_once(once("aaaa05", &["sleep", "1"]));
    let soon = Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, run).await.is_err());
    let mut seen = false;
    for _ in 0..200 {
        let found = left_over("aaaa05");
        if seen && found.is_empty() {
            return;
        }
        seen |= !found.is_empty();
        tokio::time::sleep(soon).await;
    }
    panic!("left over (seen: {seen}): {}", left_over("aaaa05"));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_refused_by_name_and_leaves_nothing() {
    let run = once("aaaa06", &["no-such-program"]);
    let error = engine().await.run_once(run).await.unwrap_err();
    assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("no-such-program"), "{error}");
    assert_eq!(left_over("aaaa06"), "");
}

#[tokio::test]
async fn an_image_that_is_not_there_is_not_found() {
    let mut run = once("aaaa07", &["true"]);
    run.image = "stratus/no-such-image:1".to_owned();
    let error = engine().await.run_once(run).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn what_an_earlier_process_left_is_swept() {
    let name = format!("stratus-once-test-{}", std::process::id());
    let label = "org.stratus.once=aaaa08";
    let made = std::process::Command::new("docker")
        .args(["create", "--name", &name, "--label", label, IMAGE, "true"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    assert_ne!(left_over("aaaa08"), "");
    let installation: InstallationId = "aaaa08".parse().unwrap();
    engine().await.sweep_once(&installation).await.unwrap();
    assert_eq!(left_over("aaaa08"), "");
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_unavailable() {
    let nowhere = Path::new("/nowhere/docker.sock");
    let error = Engine::connect(nowhere).await.unwrap_err();
    assert!(
        matches!(error, EngineError::Unavailable { .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("/nowhere/docker.sock"),
        "{error}"
    );
}
