//! What visitors get from a real nginx: files, scripts, shared folders, and what they never get.

use anyhow::Result;
use bytes::Bytes;
use stratus_core::route::RouteTable;
use stratus_core::{Generation, Router as _};
use stratus_tests::fastcgi::{Echo, digest};
use stratus_tests::nginx::{Bench, Reply};

fn echo(reply: &Reply) -> Echo {
    serde_json::from_slice(&reply.body).unwrap_or_else(|e| panic!("{e}: {reply:?}"))
}

#[tokio::test]
async fn a_site_answers_503_before_its_first_switch_and_its_pool_after() -> Result<()> {
    let mut bench = Bench::new().await?;
    let none = bench.table(0);
    bench.router.prepare(&none).await?;
    bench.start().await?;
    let before = bench.get("/index.php").await?;
    assert_eq!(
        (before.status, before.headers["retry-after"].as_bytes()),
        (503, &b"5"[..])
    );

    let _members = bench.pool(1, 2)?;
    bench.go_live(1, None).await?;
    assert!(bench.router.load(&bench.table(2)).await?.reloaded);
    bench
        .router
        .confirm(&Bench::shop(), Generation(1), 2)
        .await?;
    let after = bench.get("/index.php").await?;
    assert_eq!((after.status, after.generation()), (200, Some(1)));
    Ok(())
}
