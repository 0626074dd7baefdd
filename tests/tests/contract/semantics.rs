//! Semantics of init and switch, 1 to 4: what serves what, and when. The fifth stands in `rows.rs`.

use std::time::Duration;

use crate::scene::Scene;

/// Reads a file of its release when it has been asked long ago.
const LATE: &str = "<?php usleep(2500000); echo 'release ', require __DIR__ . '/../release.php';";

/// Semantics 1: "the SSH tree is a working copy, not what is served, except Shared directories"; semantics 2: "Shared
/// directories are live at once, before the switch; PHP in A runs its own copy"; semantics 3: "`init` makes B from the tree
/// at this moment; later edits are in neither"; semantics 4: "`switch` moves A→B; A's requests finish on A. One switch per
/// init".
#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_a_deployment_changes_what_it_says_and_nothing_else() {
    let scene = Scene::open("semantics", "").await;
    let shop = &scene.stage.shop;
    shop.write("pub/late.php", LATE).unwrap();
    scene.stage.deploy(1).await.unwrap();

    shop.release(2).unwrap();
    shop.write("pub/media/new.txt", "new").unwrap();
    serves(&scene, "release 1", "an edit").await;
    let shared = scene.stage.place.visit("/media/new.txt").await.unwrap();
    assert_eq!((shared.status, shared.body.as_str()), (200, "new"));

    scene
        .bash("$CLI zerodowntime.init")
        .await
        .success()
        .unwrap();
    shop.release(3).unwrap();
    shop.write("pub/media/new.txt", "newer").unwrap();
    serves(&scene, "release 1", "an init").await;
    let shared = scene.stage.place.visit("/media/new.txt").await.unwrap();
    assert_eq!(shared.body, "newer");

    // Asked before the switch, it reads its release's file after it.
    let late = scene.stage.place.visit("/late.php");
    let switch = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let output = scene.bash("$CLI --json zerodowntime.switch").await;
        let output = output.success().unwrap();
        let report: serde_json::Value = serde_json::from_str(output.stdout.trim()).unwrap();
        serves(&scene, "release 2", "a switch").await;
        report
    };
    let (late, report) = tokio::join!(late, switch);
    assert_eq!(late.unwrap().body, "release 1");
    assert_eq!(
        (&report["lost"], &report["cut"]),
        (&0.into(), &0.into()),
        "{report}"
    );

    let again = scene.bash("$CLI zerodowntime.switch").await;
    assert_eq!(again.code, 1, "{again}");
    assert!(
        again.stdout.contains("run zerodowntime.init first"),
        "{again}"
    );
    serves(&scene, "release 2", "a second switch").await;
}

/// Code and static files of the release, which answers as a whole.
async fn serves(scene: &Scene, release: &str, after: &str) {
    assert_eq!(scene.release().await, release, "after {after}");
    let css = scene.stage.place.visit("/app.css").await.unwrap();
    assert_eq!(css.body, format!("/* {release} */\n"), "after {after}");
}
