//! Pages in the real Varnish: what is removed of them by the server's own client, and what becomes of those that are too old.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use stratus_agent::cache::{CacheClients, HostNames};
use stratus_core::Environment;
use stratus_core::cache::{Cleaner as _, Clear, Parts, Scope, Target};
use stratus_core::environment::Caches;
use stratus_core::environment::caches::Varnish;
use stratus_tests::laws::sample;
use stratus_tests::nginx::{Bench, Cache, Reply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Three pages that Varnish may keep: two with tags, one without.
const PAGES: [&str; 3] = [
    "/index.php?keep=600&tags=p1,p2",
    "/index.php?keep=600&tags=p11",
    "/index.php?keep=600&page=3",
];

fn cache(reply: &Reply) -> &str {
    let header = reply.headers.get("x-cache");
    header.map_or("", |value| value.to_str().unwrap_or_default())
}

/// What Varnish says to nginx of a page of `environment`: HIT where it had it.
async fn asked_for(bench: &Bench, environment: &str, page: &str) -> Result<String> {
    let mut stream = UnixStream::connect(bench.layout.visitors_socket()).await?;
    let request = format!(
        "GET {page} HTTP/1.1\r\nHost: shop.example.test\r\nConnection: close\r\n\
         X-Stratus-Environment: {environment}\r\nX-Real-IP: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let line = answer
        .lines()
        .find_map(|line| line.strip_prefix("X-Cache: "));
    line.map(str::to_owned)
        .with_context(|| format!("no X-Cache: {answer}"))
}

/// Which pages Varnish had, of both environments; it has all of them afterwards.
async fn had(bench: &Bench) -> Result<[String; 2]> {
    let mut had = [String::new(), String::new()];
    for (environment, had) in ["shop", "blog"].iter().zip(&mut had) {
        for page in PAGES {
            *had += match asked_for(bench, environment, page).await?.as_str() {
                "HIT" => "+",
                _ => "-",
            };
        }
    }
    Ok(had)
}

async fn clear(bench: &Bench, varnish: &Cache, scope: &Scope) -> Result<()> {
    let varnish = Varnish {
        url: varnish.network_url(bench)?.as_str().into(),
        tags_header: "X-Magento-Tags-Pattern".to_owned(),
    };
    let shop = Environment {
        caches: Caches {
            varnish: Some(varnish),
            ..Caches::default()
        },
        ..sample::environment("shop")
    };
    let clear = Clear {
        environment: &shop,
        live: None,
        target: &Target::Varnish,
        scope,
        reference: "reference-1",
        sessions: &[],
    };
    let clients = CacheClients::new(bench.layout.clone(), Arc::new(HostNames));
    clients.clear(clear).await?;
    Ok(())
}

#[tokio::test]
async fn a_clear_removes_what_it_names_of_its_environment_and_nothing_else() -> Result<()> {
    let (bench, varnish, _members) = Bench::behind_varnish(1).await?;
    let url = format!("https://shop.example.test{}", PAGES[2]);
    let urls = Parts {
        urls: [url].into(),
        ..Parts::default()
    };
    let tags = Parts {
        tags: ["p1".to_owned(), "none".to_owned()].into(),
        ..Parts::default()
    };
    assert_eq!(had(&bench).await?, ["---", "---"]);
    assert_eq!(had(&bench).await?, ["+++", "+++"]);
    for (scope, left) in [
        (Scope::Parts(urls), "++-"),
        (Scope::Parts(tags), "-++"),
        (Scope::ALL, "---"),
    ] {
        clear(&bench, &varnish, &scope).await?;
        assert_eq!(had(&bench).await?, [left, "+++"], "{scope:?}");
    }
    Ok(())
}

/// How long a visitor waits for `page`, and where it came from.
async fn visit(bench: &Bench, page: &str) -> Result<(Duration, String)> {
    let began = Instant::now();
    let reply = bench.get(page).await?;
    anyhow::ensure!(reply.status == 200, "{reply:?}");
    Ok((began.elapsed(), cache(&reply).to_owned()))
}

#[tokio::test]
async fn while_the_origin_hangs_one_visitor_waits_for_a_page_that_is_too_old_and_the_others_get_it_at_once()
-> Result<()> {
    let (bench, _varnish, members) = Bench::behind_varnish(1).await?;
    let member = &members[0];
    let (well, page) = ("/index.php?keep=1&well", "/index.php?keep=1");
    for page in [well, page] {
        assert_eq!(visit(&bench, page).await?.1, "MISS");
    }
    // Its time to live is 1 s, and 10 s more are for a page that is being asked for anew.
    tokio::time::sleep(Duration::from_secs(13)).await;
    // Where the origin answers, a visitor gets what it says now.
    assert_eq!(visit(&bench, well).await?.1, "MISS");

    member.hang();
    let before = member.requests();
    let first = join_all((0..8).map(|_| visit(&bench, page))).await;
    let first = first.into_iter().collect::<Result<Vec<_>>>()?;
    let slow = |visits: &[(Duration, String)]| {
        let slow = visits.iter();
        slow.filter(|visit| visit.0 > Duration::from_secs(2))
            .count()
    };
    assert_eq!(slow(&first), 1, "{first:?}");
    assert!(first.iter().all(|visit| visit.1 == "HIT"), "{first:?}");
    // That nobody answered it is remembered for a while.
    let mut later = Vec::new();
    for _ in 0..8 {
        later.push(visit(&bench, page).await?);
    }
    assert_eq!(slow(&later), 0, "{later:?}");
    let asked = member.requests() - before;
    assert!((1..=3).contains(&asked), "{asked} requests reached PHP");
    Ok(())
}
