//! Bad input of an operator, on a whole stack: exit code 1, a message that says what to do, and nothing changes for
//! visitors. What is wrong with the host itself is in `host_bad_host.rs`.

use std::os::unix::fs::symlink;

use stratus_tests::stage::{Output, Running, binary, command};

const CODE: &str = "    code: ";
const IMAGE: &str = "image: 'stratus/php-fpm:8.2'";

/// `stratusd check` on the configuration as it is.
async fn check(stage: &Running) -> Output {
    let config = stage.place.config();
    let arguments = ["check", "--config", &config.to_string_lossy()];
    let stratusd = binary("stratusd").unwrap();
    command(&stratusd.to_string_lossy(), &arguments)
        .run()
        .await
        .unwrap()
}

/// A configuration in which `from` became `to` is refused by the check and by the running server; then it is as before.
async fn misconfigured(stage: &Running, from: &str, to: &str, words: &[&str]) {
    let good = std::fs::read_to_string(stage.place.config()).unwrap();
    stage.place.reconfigure(from, to).unwrap();
    check(stage).await.refuses(words).unwrap();
    let apply = ["environments.apply"];
    let words = [words, &["nothing was changed"]].concat();
    stage.refused(&apply, &words).await.unwrap();
    std::fs::write(stage.place.config(), good).unwrap();
    stage.place.done(&apply).await.unwrap();
}

/// An init of a configuration in which `from` became `to` fails; then it is as before.
async fn fails_to_init(stage: &Running, from: &str, to: &str, words: &[&str]) -> Output {
    let good = std::fs::read_to_string(stage.place.config()).unwrap();
    stage.place.reconfigure(from, to).unwrap();
    stage.place.done(&["environments.apply"]).await.unwrap();
    let output = stage.refused(&["zerodowntime.init"], words).await.unwrap();
    stage
        .refused(&["zerodowntime.switch"], &["zerodowntime.init"])
        .await
        .unwrap();
    std::fs::write(stage.place.config(), good).unwrap();
    stage.place.done(&["environments.apply"]).await.unwrap();
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_refused_with_its_place_and_what_to_write() {
    let stage = Running::open("config", 1, "").await.unwrap();
    a_misspelt_key(&stage).await;
    a_code_directory_that_is_not_there(&stage).await;
    a_docroot_outside_the_code(&stage).await;
    two_environments_with_one_host_name(&stage).await;
    check(&stage).await.success().unwrap();
    let (_, switch) = stage.deploy(1).await.unwrap();
    assert_eq!(switch["to"], 2, "{switch}");
}

async fn a_misspelt_key(stage: &Running) {
    let file = stage.place.config();
    let text = std::fs::read_to_string(&file).unwrap();
    let line = 1 + text.lines().position(|l| l.contains("drain:")).unwrap();
    let at = format!("{}:{line}:5: ", file.display());
    let words = [at.as_str(), "drian", "unknown key", "did you mean `drain`?"];
    misconfigured(stage, "    drain: ", "    drian: ", &words).await;
    let words = ["environments.shop.everything", "unknown key", "replicas"];
    misconfigured(stage, "    drain: ", "    everything: ", &words).await;
}

async fn a_code_directory_that_is_not_there(stage: &Running) {
    let code = stage.shop.code().display().to_string();
    let words = ["there is no folder", "nowhere", "name the working tree"];
    misconfigured(
        stage,
        &format!("{CODE}{code}\n"),
        &format!("{CODE}{code}-nowhere\n"),
        &words,
    )
    .await;
}

async fn a_docroot_outside_the_code(stage: &Running) {
    let (from, to) = ("docroot: pub", "docroot: ../");
    misconfigured(
        stage,
        from,
        to,
        &[
            "environments.shop.docroot",
            "holds `..`; write the path without it",
        ],
    )
    .await;
    let out = stage.place.code().join("elsewhere");
    std::fs::create_dir(&out).unwrap();
    symlink(&out, stage.shop.code().join("away")).unwrap();
    let words = ["leads outside the code folder", "name a folder in it"];
    misconfigured(stage, from, "docroot: away", &words).await;
    std::fs::remove_file(stage.shop.code().join("away")).unwrap();
}

async fn two_environments_with_one_host_name(stage: &Running) {
    let second = stage.shop.yaml("second", "");
    let second = second.replace("second.example.test", "SHOP.example.test");
    let both = format!("environments:\n{second}");
    let words = ["shop.example.test", "second"];
    misconfigured(stage, "environments:\n", &both, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_cannot_work_is_never_offered_and_its_error_says_why() {
    let stage = Running::open("pool", 1, "").await.unwrap();
    let image = [
        "stratus/none:1",
        "is not on this engine",
        "build or pull it",
    ];
    fails_to_init(&stage, IMAGE, "image: 'stratus/none:1'", &image).await;
    let fpm = [
        "stratus/test-nofpm:latest",
        "has no program",
        "php-fpm8.2",
        "php.fpm",
    ];
    fails_to_init(&stage, IMAGE, "image: 'stratus/test-nofpm:latest'", &fpm).await;
    an_fpm_that_exits_at_once(&stage).await;
    a_script_that_fatals(&stage).await;
    let (_, switch) = stage.deploy(2).await.unwrap();
    assert_eq!(switch["from"], 1, "{switch}");
}

async fn an_fpm_that_exits_at_once(stage: &Running) {
    let ini = "ini: {opcache.preload: /nowhere.php}, image: 'stratus/php-fpm:8.2'";
    let words = ["did not become ready", "/nowhere.php"];
    fails_to_init(stage, IMAGE, ini, &words).await;
}

async fn a_script_that_fatals(stage: &Running) {
    let index = std::fs::read_to_string(stage.shop.code().join("pub/index.php")).unwrap();
    let fatal = "<?php header('X-Seen: yes'); echo 'half a page'; no_such_function();";
    stage.shop.write("pub/index.php", fatal).unwrap();
    let words = ["did not become ready", "status 500", "no_such_function"];
    fails_to_init(stage, "within: 60s", "within: 2s", &words).await;
    stage.shop.write("pub/index.php", &index).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_in_a_release_is_refused_all_at_once() {
    let stage = Running::open("tree", 1, "").await.unwrap();
    let code = stage.shop.code();
    let node = |name: &str| code.join(name).to_string_lossy().into_owned();
    let fifo = ["-m", "644", &node("pub/a.fifo"), "p"];
    let device = ["-m", "600", &node("b.device"), "c", "1", "3"];
    for arguments in [fifo.as_slice(), &device] {
        command("mknod", arguments)
            .run()
            .await
            .unwrap()
            .success()
            .unwrap();
    }
    symlink("/etc/passwd", code.join("pub/c.link")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(code.join("d.socket")).unwrap();
    let words = [
        "4 entries cannot be part of a release",
        "pub/a.fifo: is a FIFO; remove or exclude it",
        "b.device: is a device; remove or exclude it",
        "pub/c.link: symlink leads out of the tree to /etc/passwd; declare its target under links, or remove it",
        "d.socket: is a socket; put it into a shared directory, or exclude it",
    ];
    stage.refused(&["zerodowntime.init"], &words).await.unwrap();
    drop(socket);
    for name in ["pub/a.fifo", "b.device", "pub/c.link", "d.socket"] {
        std::fs::remove_file(code.join(name)).unwrap();
    }
    let (_, switch) = stage.deploy(1).await.unwrap();
    assert_eq!(switch["from"], 1, "{switch}");
}
