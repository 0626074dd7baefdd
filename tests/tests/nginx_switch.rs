//! Switches of a real nginx between pools, with visitors: nobody is lost, and nobody meets the old code afterwards.
//!
//! Each test fails without its line of the configuration or of the code.

use std::fs::File;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use stratus_core::route::{Links, Move, moves};
use stratus_core::{Generation, Router as _};
use stratus_tests::crowd::Crowd;
use stratus_tests::fastcgi::Member;
use stratus_tests::nginx::Bench;

/// Moves traffic as the server does.
async fn switch(bench: &Bench, from: (u32, u16), to: (u32, u16)) -> Result<()> {
    for step in moves(from.1, to.1) {
        match step {
            Move::Load => drop(bench.router.load(&bench.table(to.1)).await?),
            Move::Settle => bench.router.settle().await?,
            Move::Flip => bench.go_live(to.0, Some(from.0)).await?,
        }
    }
    Ok(bench
        .router
        .confirm(&Bench::shop(), Generation(to.0), to.1)
        .await?)
}

#[tokio::test]
async fn an_asset_of_a_page_loaded_before_the_switch_still_arrives_after_it() -> Result<()> {
    let (bench, _old) = Bench::with_shop(1).await?;
    bench.file(1, "pub/app.1.css", "first")?;
    let _new = bench.pool(2, 1)?;
    bench.file(2, "pub/app.2.css", "second")?;
    bench.go_live(2, Some(1)).await?;
    assert_eq!(bench.get("/app.2.css").await?.text(), "second");
    let earlier = bench.get("/app.1.css").await?;
    assert_eq!((earlier.status, earlier.text().as_str()), (200, "first"));
    assert_eq!(
        bench.get("/app.1.css/x").await?.generation(),
        Some(2),
        "it is no file: the front controller"
    );
    assert_eq!(bench.get("/app.3.css").await?.status, 404);
    // Only what looks static: a page that is gone is gone.
    bench.file(1, "pub/page.html", "gone")?;
    assert_eq!(bench.get("/page.html").await?.generation(), Some(2));
    Ok(())
}

#[tokio::test]
async fn after_a_pool_of_dead_members_a_healthy_one_serves_at_once() -> Result<()> {
    let (bench, dead) = Bench::with_shop(2).await?;
    drop(dead);
    for _ in 0..20 {
        assert_eq!(bench.get("/index.php").await?.status, 502);
    }
    let _new = bench.pool(2, 2)?;
    bench.go_live(2, Some(1)).await?;
    for _ in 0..20 {
        let reply = bench.get("/index.php").await?;
        assert_eq!((reply.status, reply.generation()), (200, Some(2)));
    }
    Ok(())
}

#[tokio::test]
async fn a_changed_file_of_the_same_size_is_sent_and_an_unchanged_one_is_not() -> Result<()> {
    let (bench, _old) = Bench::with_shop(1).await?;
    let _new = bench.pool(2, 1)?;
    let built = SystemTime::now() - Duration::from_hours(1);
    let write = |generation, name: &str, text: &str, mtime| -> Result<()> {
        let file = bench.file(generation, &format!("pub/{name}"), text)?;
        Ok(File::options()
            .write(true)
            .open(file)?
            .set_modified(mtime)?)
    };
    write(1, "changed.css", "one", built)?;
    // As the snapshot does with a file that changed in secret.
    write(2, "changed.css", "two", built + Duration::from_secs(1))?;
    write(1, "same.css", "same", built)?;
    write(2, "same.css", "same", built)?;
    // All on one connection, so by one worker of nginx: nothing that it remembers may be old.
    let mut kept = bench.kept().await?;
    let mut tags = Vec::new();
    for path in ["/changed.css", "/same.css"] {
        tags.push(kept.get(path).await?.headers["etag"].clone());
    }
    bench.go_live(2, Some(1)).await?;
    let mut again = async |path: &str, tag| {
        let request = hyper::Request::get(path).header("if-none-match", tag);
        kept.send(request, bytes::Bytes::new()).await
    };
    let same = again("/same.css", tags.pop().expect("two")).await?;
    assert_eq!(same.status, 304);
    let fresh = again("/changed.css", tags.pop().expect("two")).await?;
    assert_eq!((fresh.status, fresh.text().as_str()), (200, "two"));
    Ok(())
}

#[tokio::test]
async fn a_request_that_may_change_something_is_never_sent_twice() -> Result<()> {
    let (bench, members) = Bench::with_shop(2).await?;
    let reached = || members.iter().map(Member::requests).sum::<u64>();
    let posted = bench
        .kept()
        .await?
        .post("/index.php?cut=head", "order".into())
        .await?;
    assert_eq!((posted.status, reached()), (502, 1));
    let got = bench.get("/index.php?cut=head").await?;
    assert_eq!((got.status, reached()), (502, 3), "a GET is tried on both");
    Ok(())
}

#[tokio::test]
async fn a_burst_of_600_new_connections_meets_no_error() -> Result<()> {
    let (bench, _members) = Bench::with_shop(2).await?;
    let mut burst = tokio::task::JoinSet::new();
    for _ in 0..600 {
        let door = bench.door();
        burst.spawn(async move { door.open().await?.get("/index.php?slow=200").await });
    }
    while let Some(reply) = burst.join_next().await {
        assert_eq!(reply??.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn flips_under_load_lose_nobody_and_after_one_nobody_meets_the_old_code() -> Result<()> {
    let (bench, first) = Bench::with_shop(2).await?;
    let crowd = Crowd::enter(&bench, 16);
    crowd.wait_for(200).await;
    let mut pools = vec![first];
    for number in 2..12 {
        pools.push(bench.pool(number, 2)?);
        switch(&bench, (number - 1, 2), (number, 2)).await?;
        crowd.expect_from(number);
        crowd.wait_for(50).await;
    }
    let (answers, wrong) = crowd.leave().await;
    assert_eq!(wrong, Vec::<String>::new(), "of {answers}");
    Ok(())
}

#[tokio::test]
async fn reloads_under_load_lose_nobody() -> Result<()> {
    let (bench, _members) = Bench::with_shop(2).await?;
    let crowd = Crowd::enter(&bench, 16);
    crowd.wait_for(200).await;
    for round in 0..6 {
        let mut table = bench.table(2);
        table.sites[0]
            .hosts
            .push(format!("host{round}.example.test"));
        assert!(bench.router.load(&table).await?.reloaded);
        crowd.wait_for(100).await;
    }
    let (answers, wrong) = crowd.leave().await;
    assert_eq!(wrong, Vec::<String>::new(), "of {answers}");
    bench.router.settle().await?;
    Ok(())
}

#[tokio::test]
async fn pools_that_grow_and_shrink_under_load_lose_nobody() -> Result<()> {
    let (bench, first) = Bench::with_shop(2).await?;
    let crowd = Crowd::enter(&bench, 16);
    crowd.wait_for(200).await;
    let mut pools = vec![first];
    let mut before = (1, 2);
    for (number, members) in [(2, 4), (3, 1), (4, 3), (5, 2)] {
        pools.push(bench.pool(number, members)?);
        switch(&bench, before, (number, members)).await?;
        crowd.expect_from(number);
        before = (number, members);
        crowd.wait_for(100).await;
    }
    let (answers, wrong) = crowd.leave().await;
    assert_eq!(wrong, Vec::<String>::new(), "of {answers}");
    let log = bench.log();
    assert!(
        !log.contains("while connecting to upstream"),
        "a socket was listed that is not there: {log}"
    );
    Ok(())
}

#[tokio::test]
async fn a_pool_is_not_confirmed_while_a_member_is_missing_or_another_generation_answers()
-> Result<()> {
    let (mut bench, mut members) = Bench::with_shop(2).await?;
    bench.settings.confirm_within = Duration::from_millis(300);
    let router = bench.another_router(&bench.settings).await?;
    let shop = Bench::shop();
    let other = router
        .confirm(&shop, Generation(2), 2)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        other.contains("generation 2 of shop") && other.contains("is generation 1"),
        "{other}"
    );
    members.pop();
    let missing = router
        .confirm(&shop, Generation(1), 2)
        .await
        .unwrap_err()
        .to_string();
    assert!(missing.contains("no such answer of member 1"), "{missing}");
    router.flip(&shop, Links::default()).await?;
    router.confirm(&shop, Generation(1), 1).await.unwrap_err();
    Ok(())
}
