//! The doctor and the agent's probe on the real engine: what they say is what is there.

use serde_json::Value;
use stratus_tests::stage::{Running, binary, command};

async fn docker(arguments: &[&str]) -> String {
    let output = command("docker", arguments).run().await.unwrap();
    output.success().unwrap().stdout.trim().to_owned()
}

/// Health and message of every finding about `subject`.
fn about<'a>(report: &'a Value, subject: &str) -> Vec<(&'a str, &'a str)> {
    let findings = report["findings"].as_array().expect("findings");
    let text = |finding: &'a Value, key: &str| finding[key].as_str().unwrap_or_default();
    findings
        .iter()
        .filter(|finding| finding["subject"] == subject)
        .map(|finding| (text(finding, "health"), text(finding, "message")))
        .collect()
}

#[track_caller]
fn says(report: &Value, subject: &str, health: &str, words: &str) {
    let found = about(report, subject);
    let fits = |(h, message): &(&str, &str)| *h == health && message.contains(words);
    assert!(
        found.iter().any(fits),
        "no {health} {words:?} in {found:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_of_engine_nginx_and_image_what_is_there() {
    let stage = Running::open("doctor", 1, "").await.unwrap();
    let nginx = stage.place.nginx();
    let well = stage.place.done(&["doctor"]).await.unwrap();
    let version = docker(&["version", "-f", "{{.Server.Version}}"]).await;
    says(
        &well,
        "engine",
        "good",
        &format!("Docker Engine {version}, API"),
    );
    let driver = docker(&["info", "-f", "{{.Driver}}"]).await;
    let storage = format!("its storage driver is {driver}");
    assert!(
        about(&well, "engine")
            .iter()
            .any(|(_, message)| message.starts_with(&storage)),
        "{well:#}"
    );
    let digest = docker(&["image", "inspect", "-f", "{{.Id}}", "stratus/php-fpm:8.2"]).await;
    says(
        &well,
        "image",
        "good",
        &format!("stratus/php-fpm:8.2 is {digest}"),
    );
    for words in [
        "version 1.",
        "it answers on its control socket",
        "it runs as 33:33",
        &format!("{} leads to it", stage.place.http),
        "it sees every folder",
    ] {
        says(&well, "nginx", "good", words);
    }
    assert_eq!(about(&well, "nginx").len(), 5, "{well:#}");

    docker(&["update", "--cpus", "1", &nginx]).await;
    let slow = stage.place.done(&["doctor"]).await.unwrap();
    says(&slow, "nginx", "warning", "its CPU time is limited");

    docker(&["stop", "-t", "5", &nginx]).await;
    let (code, stopped) = stage.place.stratus(&["doctor"]).await.unwrap();
    assert_eq!(code, 1, "{stopped:#}");
    says(
        &stopped,
        "nginx",
        "bad",
        &format!("container {nginx} does not run"),
    );

    docker(&["rm", "-f", &nginx]).await;
    let (code, gone) = stage.place.stratus(&["doctor"]).await.unwrap();
    assert_eq!(code, 1, "{gone:#}");
    says(
        &gone,
        "nginx",
        "bad",
        &format!("there is no container {nginx}"),
    );
    let installation = std::fs::read_to_string(stage.place.data().join("installation")).unwrap();
    let filter = format!("label=org.stratus.once={}", installation.trim());
    assert_eq!(docker(&["ps", "-aq", "--filter", &filter]).await, "");
}

async fn agent(arguments: &[&str]) -> (i32, String) {
    let program = binary("stratus-agent").unwrap();
    let output = command(&program.to_string_lossy(), arguments)
        .run()
        .await
        .unwrap();
    (output.code, output.stdout)
}

#[tokio::test]
async fn the_agent_prints_what_the_host_offers() {
    let (code, text) = agent(&["probe", "--data", "/var/tmp/not/there/yet"]).await;
    let offer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 0, "{text}");
    let version = docker(&[
        "version",
        "-f",
        "{{.Server.Version}} {{.Server.APIVersion}}",
    ])
    .await;
    let engine = &offer["engine"];
    let shown = format!(
        "{} {}",
        engine["version"].as_str().unwrap(),
        engine["api"].as_str().unwrap()
    );
    assert_eq!(shown, version);
    assert_eq!(
        engine["storage_driver"],
        docker(&["info", "-f", "{{.Driver}}"]).await
    );
    assert_eq!(offer["disk"]["folder"], "/var/tmp");
    assert!(offer["disk"]["free_bytes"].as_u64().unwrap() > 0, "{text}");
    assert!(offer["kernel"]["openat2"].is_boolean(), "{text}");
}

#[tokio::test]
async fn the_agent_says_that_the_engine_is_away_and_that_it_serves_nobody_yet() {
    let (code, text) = agent(&["probe", "--docker", "/nonexistent/docker.sock"]).await;
    let offer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 1, "{text}");
    let error = offer["engine"]["error"].as_str().unwrap();
    assert!(error.contains("/nonexistent/docker.sock"), "{error}");
    let (code, help) = agent(&["--help"]).await;
    assert!(
        code == 0 && help.contains("comes with several hosts"),
        "{help}"
    );
}
