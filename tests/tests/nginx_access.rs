//! What a switch's visitors saw, counted from the records of a real nginx.

use std::time::Duration;

use anyhow::Result;
use stratus_agent::nginx::AccessRecords;
use stratus_core::traffic::{Tally, Traffic as _};
use stratus_core::{Generation, OperationId, Router as _};
use stratus_tests::crowd::Crowd;
use stratus_tests::nginx::Bench;
use tokio::io::AsyncWriteExt as _;

fn operation(number: u32) -> OperationId {
    format!("op-{number}").parse().unwrap()
}

const OLD_AND_NEW: (Generation, Generation) = (Generation(1), Generation(2));

fn close(records: &AccessRecords, number: u32) -> Option<Tally> {
    records.close(&operation(number), OLD_AND_NEW.0, OLD_AND_NEW.1)
}

/// nginx sends a record after the visitor has the answer; a close comes after a drain, so it has arrived by then.
async fn after_the_last_record() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn each_kind_of_answer_is_counted_as_what_it_is() -> Result<()> {
    let (bench, mut members) = Bench::with_shop(2).await?;
    let records = AccessRecords::listen(&bench.layout, bench.settings.user)?;
    records.open(&operation(1), &Bench::shop());
    records.open(&operation(1), &Bench::shop());
    bench.file(1, "pub/app.css", "css")?;
    for path in [
        "/index.php",
        "/about",
        "/index.php?status=502",
        "/app.css",
        "/none.css",
        "/index.php?silent=1",
    ] {
        bench.get(path).await?;
    }
    // Lost: nobody answers, and an announced body is cut.
    bench
        .kept()
        .await?
        .post("/index.php?cut=head", "x".into())
        .await?;
    let cut = tokio::time::timeout(
        Duration::from_millis(300),
        bench.get("/index.php?cut=length"),
    );
    assert!(
        cut.await.is_err(),
        "nginx keeps the visitor waiting for the rest"
    );
    // Not lost: the visitor goes away first.
    let mut impatient = tokio::net::TcpStream::connect(("127.0.0.1", bench.port)).await?;
    let request = "GET /index.php?slow=400 HTTP/1.1\r\nhost: shop.example.test\r\n\r\n";
    impatient.write_all(request.as_bytes()).await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(impatient);
    // Repeated: one member is gone, the other one answers.
    members.pop();
    for _ in 0..4 {
        bench.get("/index.php").await?;
    }
    let _new = bench.pool(2, 2)?;
    bench.go_live(2, Some(1)).await?;
    bench
        .router
        .confirm(&Bench::shop(), Generation(2), 2)
        .await?;
    bench.get("/index.php").await?;
    after_the_last_record().await;
    let tally = close(&records, 1).expect("nothing was lost");
    // Each worker takes turns on its own, so how often the dead member's turn came is not known.
    assert!((1..=4).contains(&tally.cut), "{tally:?}");
    let expected = Tally {
        served_old: 3 + 4,
        served_new: 1,
        lost: 2,
        cut: tally.cut,
        unattributed: 1,
        ..Tally::default()
    };
    assert_eq!(tally, expected);
    assert_eq!(close(&records, 1), None, "it is closed");
    Ok(())
}

#[tokio::test]
async fn every_request_of_a_switch_under_load_is_counted() -> Result<()> {
    let (bench, _old) = Bench::with_shop(2).await?;
    let records = AccessRecords::listen(&bench.layout, bench.settings.user)?;
    let _new = bench.pool(2, 2)?;
    records.open(&operation(1), &Bench::shop());
    let crowd = Crowd::enter(&bench, 32);
    crowd.wait_for(1000).await;
    // A second count begins and ends in full traffic.
    records.open(&operation(2), &Bench::shop());
    crowd.wait_for(1000).await;
    bench.go_live(2, Some(1)).await?;
    crowd.wait_for(2000).await;
    let middle = close(&records, 2).expect("the count of a busy switch is known");
    let (answers, wrong) = crowd.leave().await;
    assert_eq!(wrong, Vec::<String>::new());
    after_the_last_record().await;
    let tally = close(&records, 1).expect("nothing was lost");
    assert_eq!((tally.lost, tally.cut, tally.unattributed), (0, 0, 0));
    assert_eq!(tally.served_old + tally.served_new, answers);
    assert!(
        middle.served_old > 500 && middle.served_new > 1000,
        "{middle:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_count_that_missed_a_record_is_none() -> Result<()> {
    let (bench, _members) = Bench::with_shop(1).await?;
    let records = AccessRecords::listen(&bench.layout, bench.settings.user)?;
    records.open(&operation(1), &Bench::shop());
    // A request whose record goes astray; one connection, one request, so no gap in a connection tells.
    let (socket, astray) = (
        bench.layout.access_socket(),
        bench.layout.nginx_run().join("astray"),
    );
    let restart = || std::fs::rename(&socket, &astray);
    bench.get("/index.php").await?;
    restart()?;
    bench
        .router
        .load(&{
            let mut table = bench.table(1);
            table.sites[0].hosts.push("new.example.test".to_owned());
            table
        })
        .await?;
    // The new workers cannot find the socket.
    bench.get("/index.php").await?;
    std::fs::rename(&astray, &socket)?;
    assert_eq!(close(&records, 1), None);

    records.open(&operation(2), &Bench::shop());
    bench.get("/index.php").await?;
    after_the_last_record().await;
    assert_eq!(
        close(&records, 2).map(|tally| tally.served_old),
        Some(1),
        "the next one counts again"
    );
    Ok(())
}

#[tokio::test]
async fn without_nginx_and_after_its_restart_nothing_is_guessed() -> Result<()> {
    let (mut bench, _members) = Bench::with_shop(1).await?;
    let records = AccessRecords::listen(&bench.layout, bench.settings.user)?;
    assert_eq!(close(&records, 9), None, "it was never begun");
    records.open(&operation(1), &Bench::shop());
    stratus_tests::nginx::docker(&["restart", "-t", "2", &bench.settings.container])?;
    bench.find_port().await?;
    bench.get("/index.php").await?;
    assert_eq!(close(&records, 1), None, "nginx counts anew");
    stratus_tests::nginx::docker(&["stop", "-t", "2", &bench.settings.container])?;
    records.open(&operation(2), &Bench::shop());
    assert_eq!(close(&records, 2), None);
    Ok(())
}
