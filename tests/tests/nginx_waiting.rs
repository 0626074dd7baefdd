//! More requests for PHP than its queues take: the page of a closed site, at once, and nobody else notices.

use std::time::Duration;

use anyhow::Result;
use stratus_core::route::Site;
use stratus_tests::nginx::Bench;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// What one nginx worker allows one site: half of its connections, two a request.
const MOST: u64 = 8192 / 2 / 2;

#[tokio::test]
async fn beyond_what_may_wait_visitors_get_the_page_and_other_sites_are_served() -> Result<()> {
    let mut bench = Bench::new().await?;
    bench.settings.workers = 1;
    bench.router = bench.another_router(&bench.settings).await?;
    let mut table = bench.table(1);
    table.sites.push(Site {
        environment: "other".parse()?,
        hosts: vec!["other.example.test".to_owned()],
        ..bench.site(1)
    });
    bench.router.prepare(&table).await?;
    let members = bench.pool(1, 1)?;
    bench.go_live(1, None).await?;
    bench.start().await?;
    members[0].hang();
    let mut waiting = Vec::new();
    for _ in 0..MOST {
        let mut visitor = TcpStream::connect(("127.0.0.1", bench.port)).await?;
        visitor
            .write_all(b"GET / HTTP/1.1\r\nHost: shop.example.test\r\n\r\n")
            .await?;
        waiting.push(visitor);
    }
    let all_wait = async {
        while members[0].requests() < MOST {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), all_wait).await?;

    let one_more = timeout(Duration::from_secs(2), bench.get("/")).await??;
    assert_eq!(one_more.status, 503);
    assert!(one_more.headers.contains_key("retry-after"));
    assert!(one_more.text().contains("being maintained"));
    bench.file(1, "pub/app.css", "still there")?;
    assert_eq!(bench.get("/app.css").await?.text(), "still there");
    // It has no release: what matters is that nginx has a connection for it, and looks.
    let other = hyper::Request::get("/").header("host", "other.example.test");
    let other = bench.kept().await?.send(other, bytes::Bytes::new()).await?;
    assert_eq!(other.status, 404);

    drop(waiting);
    Ok(())
}
