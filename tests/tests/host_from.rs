//! `deploy --from` on a whole stack: what is served is what was named, the working tree is left alone, and what fails or
//! is killed leaves nothing behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use stratus_tests::stage::{Running, Server, Shop, SmallDisk, binary, command};

const HOOK: &str =
    "    hooks: {before_init: [[php, -r, \"file_put_contents('pub/built.css', 'built');\"]]}\n";

/// Makes release `number` of the shop in a folder of its own beside the working tree.
fn build(stage: &Running, name: &str, number: u32) -> PathBuf {
    let folder = stage.place.root.join("builds").join(name);
    Shop::make(&folder).unwrap().release(number).unwrap();
    folder
}

fn tar(folder: &Path) -> PathBuf {
    let archive = folder.with_extension("tar.gz");
    let (above, name) = (folder.parent().unwrap(), folder.file_name().unwrap());
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(&archive).arg("-C").arg(above).arg(name);
    assert!(tar.status().unwrap().success());
    archive
}

async fn page(stage: &Running, path: &str) -> String {
    let visit = stage.place.visit(path).await.unwrap();
    assert_eq!(visit.status, 200, "{path}");
    visit.body
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_very_first_release_may_come_from_elsewhere() {
    let mut stage = Running::make("fromfirst", 1, "").unwrap();
    stage.server = Some(Server::start(&stage.place).await.unwrap());
    stage.place.compose_up().await.unwrap();
    let folder = build(&stage, "one", 1);
    let words = ["deploy", "--from", &text(&folder)];
    stage.place.done(&words).await.unwrap();
    assert!(page(&stage, "/index.php").await.contains("release 1"));
    assert!(page(&stage, "/app.css").await.contains("release 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_is_deployed_and_the_working_tree_is_left_alone() {
    let stage = Running::open("from", 1, HOOK).await.unwrap();
    let folder = build(&stage, "two", 2);
    let deployed = stage
        .place
        .done(&["deploy", "--from", &text(&folder)])
        .await
        .unwrap();
    assert_eq!(deployed["source"], text(&folder), "{deployed}");
    assert!(
        deployed["linked"].as_u64() > Some(0),
        "what is the same is linked: {deployed}"
    );
    assert!(page(&stage, "/index.php").await.contains("release 2"));
    assert_eq!(page(&stage, "/built.css").await, "built");
    // Hooks wrote to what was fetched; the folder and the working tree are as they were.
    assert!(!folder.join("pub/built.css").exists());
    assert!(!stage.shop.code().join("pub/built.css").exists());
    let own = fs::read_to_string(stage.shop.code().join("release.php")).unwrap();
    assert_eq!(own, "<?php return 0;\n");
    assert_eq!(stage.traces().await.unwrap().fetched, Vec::<String>::new());

    let archive = tar(&build(&stage, "three", 3));
    let deployed = stage
        .place
        .cli(&["deploy", "--from", &text(&archive)])
        .await
        .unwrap();
    let said = deployed.success().unwrap().stdout;
    assert!(
        said.contains(&format!(" of {}", archive.display())),
        "{said}"
    );
    assert!(page(&stage, "/index.php").await.contains("release 3"));
    let diff = stage
        .place
        .cli(&["environments.diff"])
        .await
        .unwrap()
        .success()
        .unwrap();
    assert!(diff.stdout.contains("not from the working tree"), "{diff}");

    // The working tree again, which shares what it has with the release of the archive.
    let deployed = stage.place.done(&["deploy"]).await.unwrap();
    assert_eq!(deployed["source"], "", "{deployed}");
    assert!(page(&stage, "/index.php").await.contains("release 0"));
    let diff = stage
        .place
        .cli(&["environments.diff"])
        .await
        .unwrap()
        .success()
        .unwrap();
    assert!(!diff.stdout.contains("not from the working tree"), "{diff}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_deployed_leaves_nothing_and_an_environment_names_less() {
    let stage = Running::open("fromnot", 1, "").await.unwrap();
    let nothing = stage.place.root.join("nothing.zip");
    fs::write(&nothing, "no zip").unwrap();
    let no_docroot = stage.place.root.join("builds");
    fs::create_dir_all(&no_docroot).unwrap();
    for (source, words) in [
        (text(&nothing), "no archive that is known"),
        (text(&no_docroot), "no folder pub in it, the docroot"),
        ("/var/none".to_owned(), "there is no /var/none"),
        ("http://127.0.0.1:9/x.zip".to_owned(), "cannot be read"),
        ("file:///var/none#main".to_owned(), "cannot be fetched"),
        ("builds".to_owned(), "from / on"),
        (text(&stage.place.root), "the server's own data folder"),
    ] {
        stage
            .refused(&["deploy", "--from", &source], &[words])
            .await
            .unwrap();
    }

    let socket = stage.place.root.join("env/shop/stratus.sock");
    let server = format!("unix:{}", socket.display());
    let program = binary("stratus").unwrap();
    let bound = async |source: &str| {
        let all = ["--server", &server, "deploy", "--from", source];
        command(&program.to_string_lossy(), &all)
            .run()
            .await
            .unwrap()
    };
    fs::write(stage.place.root.join("secret"), "a secret").unwrap();
    std::os::unix::fs::symlink(
        stage.place.root.join("secret"),
        stage.shop.code().join("link"),
    )
    .unwrap();
    for (source, words) in [
        ("/etc/shadow", "relative to it"),
        ("../secret", "relative to it"),
        ("link", "leads through a link"),
        ("file:///srv/x.git", "is for the operator"),
        ("git@example.test:x", "is for the operator"),
        (
            "http://127.0.0.1:9/x.zip",
            "not reached from an environment",
        ),
        ("https://127.0.0.1/x.git", "not reached from an environment"),
    ] {
        let refused = bound(source).await.refuses(&[words]).unwrap();
        assert!(!refused.stdout.contains("a secret"), "{refused}");
    }
    fs::remove_file(stage.shop.code().join("link")).unwrap();
    Shop::make(&stage.shop.code().join("build"))
        .unwrap()
        .release(5)
        .unwrap();
    bound("build").await.success().unwrap();
    assert!(page(&stage, "/index.php").await.contains("release 5"));
    assert_eq!(stage.traces().await.unwrap().fetched, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_around_a_fetch_goes_on_and_leaves_nothing() {
    let mut stage = Running::open("fromkill", 1, "").await.unwrap();
    let points = [
        "fetch.after_started",
        "fetch.after_effect",
        "snapshot.after_effect",
        "tidy.after_effect",
    ];
    for (number, point) in (1..).zip(points) {
        let archive = tar(&build(&stage, &format!("b{number}"), number));
        if let Some(server) = stage.server.take() {
            server.stop().await.unwrap();
        }
        let mut doomed = Server::spawn(&stage.place, Some(&format!("deploy.{point}"))).unwrap();
        doomed.answers(&stage.place).await.unwrap();
        let place = stage.place.clone();
        let source = text(&archive);
        let deploy = tokio::spawn(async move { place.done(&["deploy", "--from", &source]).await });
        doomed.dies().await.unwrap();
        stage.server = Some(Server::start(&stage.place).await.unwrap());
        let deployed: Value = deploy
            .await
            .unwrap()
            .unwrap_or_else(|e| panic!("{point}: {e:#}"));
        assert_eq!(deployed["outcome"], "completed", "{point}: {deployed}");
        assert!(
            page(&stage, "/index.php")
                .await
                .contains(&format!("release {number}"))
        );
        assert_eq!(
            stage.traces().await.unwrap().fetched,
            Vec::<String>::new(),
            "{point}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_too_small_for_what_is_fetched_undoes_it() {
    let mut stage = Running::make("fromdisk", 1, "").unwrap();
    stage.disk = Some(SmallDisk::mount(&stage.place.data(), 128).unwrap());
    stage.go_live(&[]).await.unwrap();
    let folder = build(&stage, "large", 1);
    fs::write(folder.join("large.bin"), vec![7; 100 << 20]).unwrap();
    let large = tar(&folder);
    let words = ["too little room for what is fetched"];
    stage
        .refused(&["deploy", "--from", &text(&large)], &words)
        .await
        .unwrap();
    fs::remove_file(folder.join("large.bin")).unwrap();
    let archive = tar(&folder);
    stage
        .place
        .done(&["deploy", "--from", &text(&archive)])
        .await
        .unwrap();
    assert!(page(&stage, "/index.php").await.contains("release 1"));
}
