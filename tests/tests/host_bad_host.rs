//! A host that fails an operator: no nginx, a full disk, no permission, a server that is not there, a state that cannot
//! be read. Exit code 1, a message that says what to do, and nothing is left over.

use std::net::TcpListener;
use std::time::Duration;

use stratus_tests::stage::{Output, Running, Server, SmallDisk, binary, command};

const INIT: [&str; 1] = ["zerodowntime.init"];
const SWITCH: [&str; 1] = ["zerodowntime.switch"];
const FINE: [&str; 1] = ["status"];

async fn docker(arguments: &[&str]) -> Output {
    let output = command("docker", arguments).run().await.unwrap();
    output.success().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_nginx_that_can_be_used_nothing_moves() {
    let stage = Running::open("proxy", 1, "").await.unwrap();
    an_nginx_that_is_gone(&stage).await;
    a_port_that_is_taken(&stage).await;
    an_nginx_that_is_too_old(&stage).await;
}

/// A switch that must be undone while nobody serves.
async fn undone(stage: &Running, words: &[&str]) {
    let before = stage.traces().await.unwrap();
    let nginx = stage.place.nginx();
    let words = [words, &["was undone", &nginx]].concat();
    let output = stage.place.cli(&SWITCH).await.unwrap();
    output.refuses(&words).unwrap();
    stage.left_only(&before).await.unwrap();
}

async fn an_nginx_that_is_gone(stage: &Running) {
    docker(&["rm", "-f", &stage.place.nginx()]).await;
    stage.shop.release(1).unwrap();
    stage.place.done(&INIT).await.unwrap();
    undone(
        stage,
        &["there is no container", "start it with the compose stack"],
    )
    .await;
    stage.place.compose_up().await.unwrap();
    comes_to_serve(stage, 1).await;
    let switch = stage.place.done(&SWITCH).await.unwrap();
    assert_eq!((&switch["from"], &switch["to"]), (&1.into(), &2.into()));
    stage.serves(Some(2)).await.unwrap();
}

async fn a_port_that_is_taken(stage: &Running) {
    docker(&["rm", "-f", &stage.place.nginx()]).await;
    let taken = TcpListener::bind(stage.place.http).unwrap();
    let refused = stage.place.compose_up().await.unwrap_err().to_string();
    assert!(
        refused.contains("already in use") || refused.contains("already allocated"),
        "{refused}"
    );
    stage.shop.release(2).unwrap();
    stage.place.done(&INIT).await.unwrap();
    let start = format!("docker start {}", stage.place.nginx());
    undone(stage, &["is stopped", &start]).await;
    drop(taken);
    stage.place.compose_up().await.unwrap();
    comes_to_serve(stage, 2).await;
    stage.place.done(&SWITCH).await.unwrap();
    stage.serves(Some(3)).await.unwrap();
}

/// nginx was just started: it may take a moment until it listens.
async fn comes_to_serve(stage: &Running, generation: u32) {
    let serving = async {
        while stage.serves(Some(generation)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), serving)
        .await
        .unwrap_or_else(|_| panic!("generation {generation} is not served"));
}

/// An image whose nginx says that it is of Debian 12; removed when dropped.
struct OldImage(String);

impl OldImage {
    async fn make(stage: &Running) -> Self {
        let image = format!("stratus/test-old-nginx:{}", std::process::id());
        let container = format!("{}-old", stage.place.project);
        let file = stage.place.root.join("nginx");
        let path = file.to_string_lossy().into_owned();
        docker(&["create", "--name", &container, "stratus/nginx:stable"]).await;
        let made = Self(image);
        docker(&["cp", "-L", &format!("{container}:/usr/sbin/nginx"), &path]).await;
        docker(&["cp", &path, &format!("{container}:/usr/sbin/nginx-new")]).await;
        let old = "#!/bin/sh\n[ \"$1\" = -v ] || exec /usr/sbin/nginx-new \"$@\"\n\
                   echo 'nginx version: nginx/1.22.1' >&2\n";
        std::fs::write(&file, old).unwrap();
        docker(&["cp", &path, &format!("{container}:/usr/sbin/nginx")]).await;
        // Without the label by which compose/images/build would take it for its own.
        let label = "LABEL org.stratus.recipe=none";
        docker(&["commit", "--change", label, &container, &made.0]).await;
        docker(&["rm", "-f", &container]).await;
        made
    }
}

impl Drop for OldImage {
    fn drop(&mut self) {
        // Fails while a container of it is left: the stage removes that one, and the image has no other name.
        let _ = std::process::Command::new("docker")
            .args(["rmi", "-f", &self.0])
            .output();
    }
}

async fn an_nginx_that_is_too_old(stage: &Running) {
    let old = OldImage::make(stage).await;
    // Stopped first: a killed nginx leaves its socket, and the next one cannot listen.
    docker(&["stop", &stage.place.nginx()]).await;
    docker(&["rm", &stage.place.nginx()]).await;
    stage.place.compose_up_image(&old.0).await.unwrap();
    comes_to_serve(stage, 3).await;
    let hosts = "hosts: [shop.example.test";
    stage
        .place
        .reconfigure(hosts, &format!("{hosts}, new.example.test"))
        .unwrap();
    let apply = ["environments.apply"];
    let words = ["nginx 1.22.1", "too old", "1.27.4", "keepalive_min_timeout"];
    stage.refused(&apply, &words).await.unwrap();
    // Stopped first: a killed nginx leaves its socket, and the next one cannot listen.
    docker(&["stop", &stage.place.nginx()]).await;
    docker(&["rm", &stage.place.nginx()]).await;
    stage.place.compose_up().await.unwrap();
    comes_to_serve(stage, 3).await;
    stage.place.done(&apply).await.unwrap();
    let new = stage.place.visit_host("new.example.test", "/index.php");
    assert_eq!(new.await.unwrap().generation(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_undoes_an_init_and_nothing_else() {
    let mut stage = Running::make("disk", 1, "").unwrap();
    stage.disk = Some(SmallDisk::mount(&stage.place.data(), 96).unwrap());
    stage.go_live(&[]).await.unwrap();
    a_tree_that_does_not_fit(&stage).await;
    a_disk_that_fills_up_in_the_middle(&stage).await;
    let (init, _) = stage.deploy(3).await.unwrap();
    assert!(init["files"].as_u64() > Some(5_000), "{init}");
}

async fn a_tree_that_does_not_fit(stage: &Running) {
    let large = stage.shop.code().join("large.bin");
    std::fs::write(&large, vec![1; 120 << 20]).unwrap();
    let words = [
        "not enough space",
        "are needed",
        "are free",
        "remove old releases",
    ];
    stage.refused(&INIT, &words).await.unwrap();
    std::fs::remove_file(large).unwrap();
}

async fn a_disk_that_fills_up_in_the_middle(stage: &Running) {
    let many = stage.shop.code().join("many");
    std::fs::create_dir(&many).unwrap();
    for number in 0..6_000 {
        std::fs::write(many.join(format!("{number}.bin")), [7; 5_000]).unwrap();
    }
    let before = stage.traces().await.unwrap();
    let releases = stage.place.data().join("env/shop/releases");
    let copying = || {
        let entries = std::fs::read_dir(&releases).unwrap().flatten();
        let partial = |name: &str| name.starts_with(".new-");
        let mut found = entries.filter(|e| partial(&e.file_name().to_string_lossy()));
        found.any(|e| std::fs::read_dir(e.path()).is_ok_and(|mut inside| inside.next().is_some()))
    };
    let init = stage.place.cli(&INIT);
    let filled = async {
        while !copying() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stage.disk.as_ref().unwrap().fill().unwrap()
    };
    let filled = tokio::time::timeout(Duration::from_secs(30), filled);
    let (output, ballast) = tokio::join!(init, filled);
    let words = ["is full", "remove old releases or enlarge it", "was undone"];
    output.unwrap().refuses(&words).unwrap();
    stage.serves(Some(1)).await.unwrap();
    std::fs::remove_file(ballast.unwrap()).unwrap();
    stage.left_only(&before).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_or_cannot_start_says_why() {
    let mut stage = Running::open("server", 1, "").await.unwrap();
    nobody_without_permission_is_heard(&stage).await;
    a_second_server_is_refused(&stage).await;
    stage.server.take().unwrap().stop().await.unwrap();
    a_server_that_is_not_running(&stage).await;
    a_state_that_cannot_be_read(&stage).await;
    stage.server = Some(Server::start(&stage.place).await.unwrap());
    let (_, switch) = stage.deploy(1).await.unwrap();
    assert_eq!(switch["from"], 1, "{switch}");
}

async fn nobody_without_permission_is_heard(stage: &Running) {
    let server = format!("unix:{}", stage.place.socket().display());
    let stratus = binary("stratus").unwrap();
    let nobody = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        &stratus.to_string_lossy(),
        "--server",
        &server,
        "status",
    ];
    let output = command("setpriv", &nobody).run().await.unwrap();
    let words = [
        "permission denied",
        "as root or as a member of the socket's group",
    ];
    output.refuses(&words).unwrap();
}

/// What a server of this place's configuration says when it does not start.
async fn does_not_start(stage: &Running, words: &[&str]) {
    let stratusd = binary("stratusd").unwrap();
    let config = stage.place.config();
    let arguments = ["--config", &config.to_string_lossy()];
    let running = command(&stratusd.to_string_lossy(), &arguments).run();
    let output = tokio::time::timeout(Duration::from_secs(20), running);
    let output = output.await.expect("it started").unwrap();
    output.refuses(words).unwrap();
    stage.serves(Some(1)).await.unwrap();
}

async fn a_second_server_is_refused(stage: &Running) {
    let data = stage.place.data().display().to_string();
    let words = [
        "another stratusd already serves",
        &data,
        "a data_dir of its own",
    ];
    does_not_start(stage, &words).await;
    stage.place.done(&FINE).await.unwrap();
}

async fn a_server_that_is_not_running(stage: &Running) {
    for command in [FINE, INIT, SWITCH] {
        let asked = stage.place.cli(&command);
        let answer = tokio::time::timeout(Duration::from_secs(20), asked).await;
        let words = ["the server is not running", "systemctl start stratusd"];
        let answer = answer.expect("it waits for a server").unwrap();
        answer.refuses(&words).unwrap();
    }
    stage.serves(Some(1)).await.unwrap();
}

async fn a_state_that_cannot_be_read(stage: &Running) {
    let file = stage.place.data().join("state.db");
    let log = stage.place.data().join("state.db-wal");
    let left = std::fs::metadata(&log).map_or(0, |log| log.len());
    assert_eq!(left, 0, "the server stopped and left pages in its log");
    let good = std::fs::read(&file).unwrap();
    // Offset 60 of an SQLite file: the user version, big-endian.
    let mut newer = good.clone();
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    let mut damaged = good.clone();
    damaged[8192..].fill(0xa5);
    let states = [
        (newer, ["written by a newer version", "upgrade stratusd"]),
        (damaged, ["is damaged", "restore it from a backup"]),
        (vec![0; 4096], ["is damaged", "restore it from a backup"]),
        (Vec::new(), ["is damaged", "it is empty"]),
        (
            b"no database".to_vec(),
            ["is damaged", "restore it from a backup"],
        ),
    ];
    for (bytes, words) in states {
        std::fs::write(&file, &bytes).unwrap();
        does_not_start(stage, &words).await;
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "it was written to");
    }
    std::fs::remove_file(&file).unwrap();
    let id = stage.place.data().join("installation");
    let text = std::fs::read(&id).unwrap();
    std::fs::write(&id, "not an id").unwrap();
    std::fs::write(&file, &good).unwrap();
    does_not_start(stage, &["does not hold an installation id", "restore it"]).await;
    std::fs::write(&id, text).unwrap();
}
