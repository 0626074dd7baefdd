//! A site behind the real Varnish, and TLS: what visitors get, what PHP is told, and what is counted.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use hyper::Request;
use stratus_agent::nginx::{AccessRecords, DebugHeader, Varnish};
use stratus_core::environment::Maintenance;
use stratus_core::route::{Closed, PageCache, RouteTable, Site};
use stratus_core::traffic::{Tally, Traffic as _};
use stratus_core::{Generation, OperationId, Router as _};
use stratus_tests::crowd::Crowd;
use stratus_tests::fastcgi::{Echo, Member, digest};
use stratus_tests::nginx::{Bench, Cache, Reply, docker};

/// A page that Varnish may keep.
const KEPT: &str = "/index.php?keep=600";

fn echo(reply: &Reply) -> Echo {
    serde_json::from_slice(&reply.body).unwrap_or_else(|e| panic!("{e}: {reply:?}"))
}

fn cache(reply: &Reply) -> &str {
    let header = reply.headers.get("x-cache");
    header.map_or("", |value| value.to_str().unwrap_or_default())
}

fn operation() -> OperationId {
    "op-1".parse().unwrap()
}

fn count(records: &AccessRecords) -> Option<Tally> {
    records.close(&operation(), Generation(1), Generation(2))
}

/// nginx sends a record after the visitor has the answer.
async fn after_the_last_record() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}

async fn send(bench: &Bench, request: hyper::http::request::Builder) -> Result<Reply> {
    bench.kept().await?.send(request, Bytes::new()).await
}

async fn requests(
    member: &Member,
    visit: impl Future<Output = Result<Reply>>,
) -> Result<(Reply, u64)> {
    let before = member.requests();
    let reply = visit.await?;
    Ok((reply, member.requests() - before))
}

#[tokio::test]
async fn pages_come_from_varnish_and_everything_else_past_it() -> Result<()> {
    let (bench, _cache, members) = Bench::behind_varnish(1).await?;
    bench.file(1, "pub/app.css", "css")?;
    let member = &members[0];
    let (first, asked) = requests(member, bench.get(KEPT)).await?;
    assert_eq!((cache(&first), asked), ("MISS", 1));
    let (second, asked) = requests(member, bench.get(KEPT)).await?;
    assert_eq!(
        (cache(&second), asked, &second.body),
        ("HIT", 0, &first.body)
    );
    let head = send(&bench, Request::head(KEPT)).await?;
    assert_eq!((head.status, cache(&head)), (200, "HIT"));

    let upload: Bytes = (0..3 << 20)
        .map(|n: u32| n.to_le_bytes()[n as usize % 3])
        .collect();
    let posted = bench.kept().await?.post(KEPT, upload.clone()).await?;
    assert_eq!(
        (cache(&posted), echo(&posted).digest),
        ("", digest(&upload))
    );
    let style = bench.get("/app.css").await?;
    assert_eq!((cache(&style), style.text().as_str()), ("", "css"));
    let session = send(&bench, Request::get(KEPT).header("cookie", "PHPSESSID=1")).await?;
    assert_eq!((session.status, cache(&session)), (200, "PASS"));
    Ok(())
}

// The docker client waits for what the stand-in for PHP answers meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_told_who_asked_and_how_and_not_by_way_of_what() -> Result<()> {
    let (bench, _cache, _members) = Bench::behind_varnish(1).await?;
    let plain = send(
        &bench,
        Request::get("/index.php?a=1")
            .header("x-real-ip", "192.0.2.1")
            .header("x-forwarded-for", "192.0.2.1")
            .header("x-forwarded-proto", "https")
            .header("x-stratus-environment", "blog"),
    )
    .await?;
    let plain = echo(&plain).params;
    let visitor = &plain["REMOTE_ADDR"];
    assert!(
        !["", "192.0.2.1"].contains(&visitor.as_str()) && !visitor.starts_with("unix"),
        "{plain:?}"
    );
    assert_eq!(&plain["HTTP_X_FORWARDED_FOR"], visitor);
    for (name, value) in [
        ("SERVER_PORT", "80"),
        ("REQUEST_SCHEME", "http"),
        ("SERVER_ADDR", "127.0.0.1"),
        ("SERVER_NAME", "shop.example.test"),
        ("HTTP_HOST", "shop.example.test"),
        ("REQUEST_URI", "/index.php?a=1"),
        ("HTTP_X_FORWARDED_PROTO", "http"),
        ("HTTP_X_STRATUS_ENVIRONMENT", "shop"),
    ] {
        assert_eq!(plain[name], value, "{name}");
    }
    assert_eq!(plain.get("HTTPS"), None);
    // Not by a POST either, which Varnish does not see.
    let mut kept = bench.kept().await?;
    let posted = Request::post("/index.php").header("x-real-ip", "192.0.2.1");
    assert_eq!(
        &echo(&kept.send(posted, "x".into()).await?).params["REMOTE_ADDR"],
        visitor
    );
    // Whoever asks nginx on the network's port is believed nothing.
    let script = "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /index.php HTTP/1.0\\r\\nHost: shop.example.test\\r\\n\
                  X-Real-IP: 192.0.2.1\\r\\nX-Forwarded-Proto: https\\r\\n\\r\\n' >&3; cat <&3";
    let said = docker(&["exec", &bench.settings.container, "bash", "-c", script])?;
    assert!(
        said.contains(r#""REMOTE_ADDR":"127.0.0.1""#) && !said.contains(r#""HTTPS""#),
        "{said}"
    );
    assert!(said.contains(r#""SERVER_PORT":"8080""#), "{said}");
    assert_eq!(said.matches("X-Stratus-Generation: 1").count(), 1, "{said}");
    Ok(())
}

#[tokio::test]
async fn a_host_name_in_the_request_line_goes_before_the_header_and_none_is_needed() -> Result<()> {
    let (bench, _cache, _members) = Bench::behind_varnish(1).await?;
    let ask = async |head: &str| -> Result<String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", bench.port)).await?;
        stream.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (_, body) = answer.split_once("\r\n\r\n").context(answer.clone())?;
        Ok(serde_json::from_str::<Echo>(body)
            .context(answer.clone())?
            .params["HTTP_HOST"]
            .clone())
    };
    let ask_by = |line: &str, header: &str| format!("GET {line} HTTP/1.0\r\n{header}\r\n");
    for (head, host) in [
        (ask_by("/index.php", ""), "shop.example.test"),
        // Varnish, and not nginx, makes them small letters.
        (
            ask_by("/index.php", "Host: Shop.example.test:8000\r\n"),
            "shop.example.test:8000",
        ),
        (
            ask_by("/index.php", "Host: other.test:8000\r\n"),
            "other.test:8000",
        ),
        (
            ask_by("http://shop.example.test/index.php", "Host: evil.test\r\n"),
            "shop.example.test",
        ),
    ] {
        assert_eq!(ask(&head).await?, host, "{head}");
    }
    Ok(())
}

#[tokio::test]
async fn visitors_come_by_tls_with_a_certificate_that_is_there_from_the_first_start() -> Result<()>
{
    let (bench, _cache, _members) = Bench::behind_varnish(1).await?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .tls_info(true)
        .no_proxy()
        .pool_max_idle_per_host(0)
        .resolve(
            "shop.example.test",
            ([127, 0, 0, 1], bench.tls_port()?).into(),
        )
        .build()?;
    let url = format!(
        "https://shop.example.test:{}/index.php?keep=600",
        bench.tls_port()?
    );
    let shown = |reply: &reqwest::Response| -> Option<Vec<u8>> {
        reply
            .extensions()
            .get::<reqwest::tls::TlsInfo>()?
            .peer_certificate()
            .map(<[u8]>::to_vec)
    };
    let reply = client.get(&url).send().await?;
    let made = shown(&reply).context("no certificate")?;
    let params = serde_json::from_slice::<Echo>(&reply.bytes().await?)?.params;
    for (name, value) in [
        ("HTTPS", "on"),
        ("SERVER_PORT", "443"),
        ("REQUEST_SCHEME", "https"),
    ] {
        assert_eq!(params.get(name).map(String::as_str), Some(value), "{name}");
    }
    // A page for TLS is not one for those without it.
    assert_eq!(echo(&bench.get(KEPT).await?).params.get("HTTPS"), None);
    // Another in its place is shown: within a minute, or by workers that have not read the first.
    let own = rcgen::generate_simple_self_signed(["shop.example.test".to_owned()])?;
    std::fs::write(bench.layout.nginx_tls().join("cert.pem"), own.cert.pem())?;
    std::fs::write(
        bench.layout.nginx_tls().join("key.pem"),
        own.signing_key.serialize_pem(),
    )?;
    bench
        .router
        .load(&RouteTable {
            sites: vec![Site {
                upload_limit: 1 << 20,
                ..bench.site(1)
            }],
            ..bench.table(1)
        })
        .await?;
    let reply = client.post(&url).send().await;
    let own_shown = shown(&reply?).context("no certificate")?;
    assert_ne!(own_shown, made);
    assert_eq!(own_shown, own.cert.der().to_vec());
    Ok(())
}

#[tokio::test]
async fn visitors_see_no_header_of_ours_unless_the_operator_wants_it() -> Result<()> {
    let hidden = Bench::behind(1, |settings| settings.debug_header = DebugHeader::Hidden).await?;
    for (request, cached) in [
        (Request::get(KEPT), "MISS"),
        (Request::get(KEPT), "HIT"),
        (Request::post("/index.php"), ""),
    ] {
        let reply = send(&hidden.0, request).await?;
        assert_eq!(cache(&reply), cached);
        let ours = reply
            .headers
            .keys()
            .filter(|name| name.as_str().starts_with("x-stratus"));
        assert_eq!(ours.count(), 0, "{reply:?}");
    }
    // Hidden from visitors, and not from Varnish: it removes what is not of the generation.
    let purge = ["X-Stratus-Environment: shop", "X-Stratus-Generation: 1"];
    assert_eq!(hidden.1.purge(&hidden.0, &purge)?, 200);
    assert_eq!(cache(&hidden.0.get(KEPT).await?), "HIT");
    let purge = ["X-Stratus-Environment: shop", "X-Stratus-Generation: 2"];
    assert_eq!(hidden.1.purge(&hidden.0, &purge)?, 200);
    assert_ne!(cache(&hidden.0.get(KEPT).await?), "HIT");
    drop(hidden);

    let (bench, _cache, _members) = Bench::behind_varnish(1).await?;
    for _ in 0..2 {
        assert_eq!(bench.get(KEPT).await?.generation(), Some(1));
    }
    Ok(())
}

#[tokio::test]
async fn while_a_site_is_closed_nothing_of_it_comes_from_varnish() -> Result<()> {
    let (bench, _cache, members) = Bench::behind_varnish(1).await?;
    let exempt = Maintenance {
        allow: vec!["0.0.0.0/0".parse()?],
        ..Maintenance::default()
    };
    bench.file(1, "pub/app.css", "css")?;
    bench.file(1, "pub/health.php", "<?php")?;
    let table = |maintenance| RouteTable {
        sites: vec![Site {
            maintenance,
            health: Some("/health.php".to_owned()),
            ..bench.site(1)
        }],
        ..RouteTable::default()
    };
    bench.router.load(&table(Maintenance::default())).await?;
    bench.get(KEPT).await?;
    assert_eq!(cache(&bench.get(KEPT).await?), "HIT");
    for why in [Closed::Maintenance, Closed::Overdue] {
        bench.router.set_closed(&Bench::shop(), why, true).await?;
        let closed = bench.get(KEPT).await?;
        assert_eq!((closed.status, cache(&closed)), (503, ""), "{why:?}");
        assert!(closed.headers.contains_key("retry-after"));
        let posted = bench.kept().await?.post("/index.php", "x".into()).await?;
        assert_eq!(posted.status, 503);
        for path in ["/app.css", "/health.php"] {
            assert_eq!(bench.get(path).await?.status, 200, "{path}");
        }
        bench.router.set_closed(&Bench::shop(), why, false).await?;
        assert_eq!(cache(&bench.get(KEPT).await?), "HIT");
    }
    // Who is exempt sees the site as it is made now, and it is kept for nobody.
    bench.router.load(&table(exempt)).await?;
    bench
        .router
        .set_closed(&Bench::shop(), Closed::Maintenance, true)
        .await?;
    let (reply, asked) = requests(&members[0], bench.get(KEPT)).await?;
    assert_eq!((reply.status, cache(&reply), asked), (200, "", 1));
    Ok(())
}

#[tokio::test]
async fn what_a_rule_shows_to_some_visitors_only_is_kept_for_nobody() -> Result<()> {
    let (bench, _cache, _members) = Bench::behind_varnish(1).await?;
    bench.working_file(
        ".nginx/server_level/a.conf",
        "location ^~ /private { allow all; try_files $uri /index.php?keep=600; }\n\
         location ^~ /admin { allow all; }\n\
         location /open { add_header X-Mine yes; try_files $uri /index.php?keep=600; }\n",
    )?;
    bench.file(1, "pub/admin/index.php", "<?php")?;
    let rules = bench.router.read_rules(&bench.site(1)).await?;
    let mut table = bench.table(1);
    table.put_rules(&Bench::shop(), rules);
    bench.router.load(&table).await?;
    for path in ["/private", "/private/x", "/admin/index.php?keep=600"] {
        for _ in 0..2 {
            let reply = bench.get(path).await?;
            assert_eq!((reply.status, cache(&reply)), (200, "PASS"), "{path}");
            assert!(
                !reply.headers.contains_key("x-stratus-private"),
                "{reply:?}"
            );
        }
    }
    bench.get("/open").await?;
    assert_eq!(cache(&bench.get("/open").await?), "HIT");
    Ok(())
}

/// Visits pages until told to stop; answers how many there were, and what was wrong with them.
async fn browse(bench: &Bench, stop: &tokio_util::sync::CancellationToken) -> (u64, Vec<String>) {
    let (mut pages, mut wrong) = (0, Vec::new());
    while !stop.is_cancelled() {
        pages += 1;
        // Some that are kept, and some that are new to Varnish.
        let path = format!("/index.php?keep=600&page={}", pages % 7 * (pages / 50));
        match bench.get(&path).await {
            Ok(reply) if reply.status == 200 => {}
            Ok(reply) => wrong.push(format!("{path}: {}", reply.status)),
            Err(error) => wrong.push(format!("{path}: {error:#}")),
        }
    }
    (pages, wrong)
}

#[tokio::test]
async fn varnish_may_die_under_load_and_costs_no_request() -> Result<()> {
    let (bench, cache_, _members) = Bench::behind_varnish(2).await?;
    let crowd = Crowd::enter(&bench, 8);
    let stop = tokio_util::sync::CancellationToken::new();
    let kill = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            cache_.kill()?;
            crowd.wait_for(300).await;
            let without = bench.get(KEPT).await?;
            assert_eq!((without.status, cache(&without)), (200, ""));
            cache_.revive(&bench).await?;
        }
        stop.cancel();
        anyhow::Ok(())
    };
    let (killed, one, two, three) = tokio::join!(
        kill,
        browse(&bench, &stop),
        browse(&bench, &stop),
        browse(&bench, &stop)
    );
    killed?;
    let (_, wrong) = crowd.leave().await;
    assert_eq!(wrong, Vec::<String>::new());
    for (pages, wrong) in [one, two, three] {
        assert!(pages > 100, "{pages}");
        assert_eq!(wrong, Vec::<String>::new());
    }
    bench.get(KEPT).await?;
    assert_eq!(cache(&bench.get(KEPT).await?), "HIT");
    Ok(())
}

#[tokio::test]
async fn varnish_is_asked_again_as_soon_as_it_is_back() -> Result<()> {
    let (bench, cache_, _members) = Bench::behind_varnish(1).await?;
    cache_.kill()?;
    // Both workers meet a Varnish that is gone.
    for _ in 0..20 {
        let reply = bench.get(KEPT).await?;
        assert_eq!((reply.status, cache(&reply)), (200, ""));
    }
    cache_.revive(&bench).await?;
    for _ in 0..20 {
        assert_ne!(cache(&bench.get(KEPT).await?), "");
    }
    Ok(())
}

#[tokio::test]
async fn a_switch_under_load_is_counted_by_what_reached_php() -> Result<()> {
    let (bench, cache_, old) = Bench::behind_varnish(2).await?;
    let records = AccessRecords::listen(&bench.layout, bench.settings.user)?;
    let reached = |members: &[Member]| members.iter().map(Member::requests).sum::<u64>();
    records.open(&operation(), &Bench::shop());
    let before = reached(&old);
    let crowd = Crowd::enter(&bench, 8);
    let stop = tokio_util::sync::CancellationToken::new();
    let new = bench.pool(2, 2)?;
    let switch = async {
        crowd.wait_for(300).await;
        bench.go_live(2, Some(1)).await?;
        bench
            .router
            .confirm(&Bench::shop(), Generation(2), 2)
            .await?;
        crowd.expect_from(2);
        let purge = ["X-Stratus-Environment: shop", "X-Stratus-Generation: 2"];
        assert_eq!(cache_.purge(&bench, &purge)?, 200);
        for _ in 0..20 {
            assert_eq!(bench.get(KEPT).await?.generation(), Some(2));
        }
        crowd.wait_for(300).await;
        stop.cancel();
        anyhow::Ok(())
    };
    let (switched, (pages, wrong)) = tokio::join!(switch, browse(&bench, &stop));
    switched?;
    assert!(pages > 50 && wrong.is_empty(), "{pages} {wrong:?}");
    let (_, wrong) = crowd.leave().await;
    assert_eq!(wrong, Vec::<String>::new());
    after_the_last_record().await;
    // Each member was pinged once when it was confirmed, and nobody else asks it but through nginx.
    let tally = count(&records).context("the records are complete")?;
    assert_eq!(
        (tally.lost, tally.cut, tally.unattributed),
        (0, 0, 0),
        "{tally:?}"
    );
    assert_eq!(tally.served_old, reached(&old) - before, "{tally:?}");
    let pings = reached(&new) - tally.served_new;
    assert!((2..=20).contains(&pings), "{pings} {tally:?}");
    Ok(())
}

#[tokio::test]
async fn a_page_from_varnish_is_no_request_of_php_and_a_lost_one_is_counted_once() -> Result<()> {
    let (bench, cache_, members) = Bench::behind_varnish(1).await?;
    let records = AccessRecords::listen(&bench.layout, bench.settings.user)?;
    records.open(&operation(), &Bench::shop());
    for _ in 0..5 {
        bench.get(KEPT).await?;
    }
    bench.kept().await?.post("/index.php", "x".into()).await?;
    // The member hangs up: before its answer, which is nginx's 502, and in the middle of one, by either way.
    assert_eq!(bench.get("/index.php?cut=head").await?.status, 502);
    // Varnish passes on half of it, or has noticed already.
    let half = bench.get("/index.php?cut=length").await;
    assert!(half.is_err() || cache(&half?) == "FAIL");
    assert!(
        bench
            .kept()
            .await?
            .post("/index.php?cut=length", "x".into())
            .await
            .is_err()
    );
    after_the_last_record().await;
    let tally = count(&records).context("the records are complete")?;
    // Two pages, and the one that Varnish was told half of.
    assert_eq!(
        (tally.served_old, tally.lost, tally.cut),
        (3, 3, 0),
        "{tally:?}"
    );

    // Nobody at all answers.
    records.open(&operation(), &Bench::shop());
    cache_.kill()?;
    drop(members);
    assert_eq!(bench.get("/index.php").await?.status, 502);
    after_the_last_record().await;
    assert_eq!(count(&records).context("complete")?.lost, 1);
    Ok(())
}

#[tokio::test]
async fn a_text_is_tried_beside_a_running_nginx_and_a_killed_one_comes_back() -> Result<()> {
    let (mut bench, _cache, _members) = Bench::behind_varnish(1).await?;
    let socket = bench.layout.origin_socket();
    assert!(socket.exists());
    let mut other = bench.table(1);
    other.sites[0].hosts.push("more.example.test".to_owned());
    bench.router.test(&other).await?;
    bench.router.load(&other).await?;
    assert!(socket.exists(), "a trial binds a socket of its own");
    assert_eq!(bench.get(KEPT).await?.status, 200);
    // Past nginx-start, which would remove what it left.
    docker(&["kill", &bench.settings.container])?;
    assert!(socket.exists());
    bench.router.prepare(&other).await?;
    assert!(!socket.exists() && !bench.layout.control_socket().exists());
    docker(&["start", &bench.settings.container])?;
    bench.find_port().await?;
    assert_eq!(bench.get("/index.php").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_host_that_says_varnish_and_gives_nginx_no_folder_for_it_is_left_as_it_was() -> Result<()>
{
    let (bench, _members) = Bench::with_shop(1).await?;
    let mut settings = bench.settings.clone();
    settings.varnish = Varnish::Beside;
    let mut table = bench.table(1);
    table.sites[0].page_cache = PageCache::Varnish;
    let refused = bench.another_router(&settings).await?.load(&table).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(said.contains("the old configuration is back"), "{said}");
    assert_eq!(bench.get("/index.php").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_reload_under_load_loses_nothing_on_either_side() -> Result<()> {
    let (bench, cache_, _members): (Bench, Cache, Vec<Member>) = Bench::behind_varnish(2).await?;
    let crowd = Crowd::enter(&bench, 8);
    let stop = tokio_util::sync::CancellationToken::new();
    let reload = async {
        for number in 0..4 {
            crowd.wait_for(100).await;
            let mut table = bench.table(2);
            table.sites[0]
                .hosts
                .push(format!("host{number}.example.test"));
            assert!(bench.router.load(&table).await?.reloaded);
            assert_eq!(cache_.purge(&bench, &["X-Magento-Tags-Pattern: .*"])?, 200);
        }
        stop.cancel();
        anyhow::Ok(())
    };
    let (reloaded, one, two) = tokio::join!(reload, browse(&bench, &stop), browse(&bench, &stop));
    reloaded?;
    let (_, wrong) = crowd.leave().await;
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!([one.1, two.1].concat(), Vec::<String>::new());
    Ok(())
}
