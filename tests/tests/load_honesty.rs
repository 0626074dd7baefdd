//! The load client sees every fault that is planted, as what it is, and nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use stratus_tests::load::plant::{Fault, Proxy, Reply, Seen, Server, Then};
use stratus_tests::load::{Check, Class, Load, Mix, Plan, Report, Request, Target, Verdict};

const ONE_CHUNK: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n";

/// One keep-alive client that GETs `/`, so many times.
fn plan(address: SocketAddr, requests: u64) -> Result<Plan> {
    asking(address, Request::get("/"), requests)
}

fn asking(address: SocketAddr, request: Request, requests: u64) -> Result<Plan> {
    let mix = Mix::new(vec![request])?;
    Ok(Plan::new(Target::new(address)?, mix)
        .requests(requests)
        .timeout(Duration::from_secs(10)))
}

async fn run(plan: Plan) -> Result<Report> {
    let report = Load::start(plan)?.finish().await;
    let counts = &report.counts;
    ensure!(
        report.finished && report.in_flight == 0,
        "something was left: {report:?}"
    );
    ensure!(
        counts.requests == counts.answered_php + counts.answered_static + counts.failed,
        "the figures do not add up: {counts:?}"
    );
    let listed: u64 = report.failures.iter().map(|line| line.count).sum();
    ensure!(
        listed == counts.failed,
        "{listed} failures are listed, {} counted",
        counts.failed
    );
    Ok(report)
}

/// Runs `requests` against a server whose reply to request number `at` is `reply`, and expects that one failure.
async fn planted(reply: Reply, at: u64, requests: u64, class: Class) -> Result<Report> {
    let server = Server::start(move |seen| {
        if seen.number == at {
            reply.clone()
        } else {
            Reply::page(Some(1), b"page")
        }
    })
    .await?;
    expect_one(
        run(plan(server.address(), requests)?).await?,
        class,
        requests,
    )
}

fn expect_one(report: Report, class: Class, requests: u64) -> Result<Report> {
    ensure!(
        report.counts.requests == requests,
        "sent something else: {report:?}"
    );
    ensure!(
        report.counts.failed == 1,
        "not exactly one failure: {report:?}"
    );
    ensure!(
        report.failed_as(class) == 1,
        "not a failure as {class}: {report:?}"
    );
    ensure!(report.verdict == Verdict::Failed, "passed: {report:?}");
    ensure!(
        report.failures[0].examples.len() == 1,
        "no example: {report:?}"
    );
    Ok(report)
}

#[tokio::test]
async fn one_connection_dropped_in_a_hundred_thousand_requests_is_reported() -> Result<()> {
    let server = Server::start(|_| Reply::page(Some(1), b"page")).await?;
    let proxy = Proxy::start(server.address(), 54_321, Fault::Drop).await?;
    let report = run(plan(proxy.address(), 100_000)?.keepalive(8)).await?;
    let report = expect_one(report, Class::EndBeforeResponse, 100_000)?;
    assert_eq!(proxy.requests(), 100_000);
    assert_eq!(report.counts.answered_php, 99_999);
    assert_eq!(report.counts.generations.get(&1), Some(&99_999));
    assert_eq!((report.counts.raced, report.counts.reconnects), (1, 0));
    assert_eq!(report.counts.connections, 9);
    Ok(())
}

#[tokio::test]
async fn where_nothing_is_planted_nothing_is_reported() -> Result<()> {
    let server = Server::start(|seen| match seen.line.as_str() {
        "GET /app.css" => Reply::page(None, b"body {}"),
        "GET /chunked" => Reply::raw(format!("{ONE_CHUNK}0\r\n\r\n"), Then::Keep),
        "GET /old" => Reply::raw("HTTP/1.0 200 OK\r\n\r\nuntil the end", Then::Close),
        "GET /empty" => Reply::raw("HTTP/1.1 304 Not Modified\r\n\r\n", Then::Keep),
        "GET /gone" => Reply::status(404, None, b"gone"),
        _ => Reply::page(Some(7), b"page"),
    })
    .await?;
    let proxy = Proxy::start(server.address(), u64::MAX, Fault::Drop).await?;
    let mix = Mix::new(vec![
        Request::get("/").weight(3),
        Request::get("/app.css"),
        Request::get("/chunked"),
        Request::get("/old"),
        Request::get("/empty"),
        Request::get("/gone").expect(404..=404),
        Request::post("/post").fields("do=search"),
        Request::upload("/upload", 300_000),
    ])?;
    let plan = Plan::new(Target::new(proxy.address())?, mix).requests(2_000);
    let report = run(plan.keepalive(4).oneshot(2)).await?;
    assert_eq!(report.verdict, Verdict::Passed, "{report:?}");
    assert_eq!(
        (report.counts.requests, report.counts.failed),
        (2_000, 0),
        "{report:?}"
    );
    assert_eq!(report.counts.answered_php, report.counts.generations[&7]);
    assert!(report.counts.answered_php >= 980 && report.counts.answered_static >= 980);
    assert_eq!(report.counts.reconnects, 0, "{report:?}");
    assert_eq!(
        (report.by_request.len(), report.by_client.len()),
        (3, 2),
        "{report:?}"
    );
    assert!(report.latency.p50_us > 0 && report.latency.p50_us <= report.latency.max_us);
    Ok(())
}

#[tokio::test]
async fn nobody_listening_is_refused() -> Result<()> {
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        listener.local_addr()?
    };
    expect_one(run(plan(closed, 1)?).await?, Class::Refused, 1)?;
    Ok(())
}

#[tokio::test]
async fn a_reset_is_a_reset_and_a_race_on_a_kept_connection_only() -> Result<()> {
    let report = planted(Reply::raw("", Then::Reset), 5, 9, Class::Reset).await?;
    assert_eq!(report.counts.raced, 1);
    let server = Server::start(|_| Reply::page(Some(1), b"page")).await?;
    let proxy = Proxy::start(server.address(), 5, Fault::Reset).await?;
    let report = run(plan(proxy.address(), 9)?.keepalive(0).oneshot(1)).await?;
    let report = expect_one(report, Class::Reset, 9)?;
    assert_eq!(report.counts.raced, 0, "a new connection cannot race");
    Ok(())
}

#[tokio::test]
async fn an_end_before_the_answer_is_a_failure_on_a_new_and_on_a_kept_connection() -> Result<()> {
    let nothing = || Reply::raw("", Then::Close);
    let report = planted(nothing(), 1, 5, Class::EndBeforeResponse).await?;
    assert_eq!((report.counts.raced, report.counts.reconnects), (0, 0));
    assert!(!report.failures[0].examples[0].reused);
    let report = planted(nothing(), 3, 5, Class::EndBeforeResponse).await?;
    assert_eq!((report.counts.raced, report.counts.reconnects), (1, 0));
    assert!(report.failures[0].examples[0].reused);
    Ok(())
}

#[tokio::test]
async fn an_end_inside_the_head_is_an_end_before_the_answer() -> Result<()> {
    let half = Reply::raw("HTTP/1.1 200 OK\r\nContent-", Then::Close);
    let report = planted(half, 3, 5, Class::EndBeforeResponse).await?;
    assert_eq!(report.counts.raced, 0, "something of an answer had come");
    Ok(())
}

#[tokio::test]
async fn a_body_shorter_than_its_length_is_short() -> Result<()> {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nnine here";
    let report = planted(Reply::raw(short, Then::Close), 3, 5, Class::ShortBody).await?;
    let example = &report.failures[0].examples[0];
    assert_eq!(example.detail, "1 of 10 announced bytes missing");
    assert_eq!(example.client, "keep-alive");
    Ok(())
}

#[tokio::test]
async fn a_chunked_body_without_its_last_chunk_is_short() -> Result<()> {
    let between = Reply::raw(ONE_CHUNK, Then::Close);
    planted(between, 3, 5, Class::ShortBody).await?;
    let inside = Reply::raw(format!("{ONE_CHUNK}ff\r\npart"), Then::Close);
    planted(inside, 3, 5, Class::ShortBody).await?;
    let before_trailers = Reply::raw(format!("{ONE_CHUNK}0\r\n"), Then::Close);
    planted(before_trailers, 3, 5, Class::ShortBody).await?;
    Ok(())
}

#[tokio::test]
async fn an_answer_cut_by_a_proxy_is_short() -> Result<()> {
    let body = vec![b'x'; 200_000];
    let server = Server::start(move |_| Reply::page(Some(1), &body)).await?;
    let proxy = Proxy::start(server.address(), 3, Fault::Cut(100_000)).await?;
    expect_one(run(plan(proxy.address(), 5)?).await?, Class::ShortBody, 5)?;
    Ok(())
}

#[tokio::test]
async fn an_unexpected_status_is_reported_with_its_code() -> Result<()> {
    let reply = |status| Reply::status(status, None, b"sorry");
    planted(reply(502), 3, 5, Class::ServerError(502)).await?;
    planted(reply(503), 3, 5, Class::ServerError(503)).await?;
    planted(reply(404), 3, 5, Class::UnexpectedStatus(404)).await?;
    let server = Server::start(|_| Reply::page(None, b"still there")).await?;
    let gone = asking(server.address(), Request::get("/gone").expect(404..=404), 1)?;
    expect_one(run(gone).await?, Class::UnexpectedStatus(200), 1)?;
    Ok(())
}

#[tokio::test]
async fn an_answer_that_does_not_come_or_does_not_end_is_a_timeout() -> Result<()> {
    for bytes in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
    ] {
        let server = Server::start(move |seen| match seen.number {
            2 => Reply::raw(bytes, Then::Hang),
            _ => Reply::page(Some(1), b"page"),
        })
        .await?;
        let plan = plan(server.address(), 3)?.timeout(Duration::from_millis(500));
        let report = expect_one(run(plan).await?, Class::Timeout, 3)?;
        assert_eq!(report.counts.raced, 0, "a timeout is no race");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_answer_is_malformed() -> Result<()> {
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    for bytes in [
        "SSH-2.0-OpenSSH\r\n\r\n".to_owned(),
        format!("{page}page and more"),
        format!("{ONE_CHUNK}4\r\nlonger\r\n0\r\n\r\n"),
        format!("{ONE_CHUNK}zz\r\n"),
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\npages".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX-Stratus-Generation: new\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX-Stratus-Generation: 1\r\nX-Stratus-Generation: 2\r\n\r\n".to_owned(),
    ] {
        planted(
            Reply::raw(bytes.clone(), Then::Close),
            3,
            5,
            Class::Malformed,
        )
        .await
        .with_context(|| bytes)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_a_reconnect_and_no_failure() -> Result<()> {
    // One thread: the server writes its answer and closes before the client runs again.
    let server = Server::start(move |seen| {
        let reply = Reply::page(Some(1), b"page");
        if seen.on_connection == 3 {
            reply.then(Then::Close)
        } else {
            reply
        }
    })
    .await?;
    let report = run(plan(server.address(), 8)?).await?;
    assert_eq!(report.verdict, Verdict::Passed, "{report:?}");
    assert_eq!(
        (report.counts.reconnects, report.counts.connections),
        (2, 3)
    );
    Ok(())
}

#[tokio::test]
async fn bytes_that_arrive_on_an_idle_connection_are_malformed() -> Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let load = Load::start(plan(server.local_addr()?, 2)?.rate(4))?;
    let handle = load.handle();
    let (mut stream, _) = server.accept().await?;
    ensure!(stream.read(&mut [0; 1024]).await? > 0, "no request came");
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .await?;
    assert!(handle.wait_for(|counts| counts.requests == 1).await);
    stream.write_all(b"surprise").await?;
    expect_one(load.finish().await, Class::Malformed, 2)?;
    Ok(())
}

#[tokio::test]
async fn a_connection_that_the_server_says_it_closes_is_no_reconnect() -> Result<()> {
    let said = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(move |_| Reply::raw(said, Then::Close)).await?;
    let report = run(plan(server.address(), 4)?).await?;
    assert_eq!(report.verdict, Verdict::Passed, "{report:?}");
    assert_eq!(
        (report.counts.reconnects, report.counts.connections),
        (0, 4)
    );
    Ok(())
}

#[tokio::test]
async fn a_one_shot_client_opens_a_connection_for_each_request() -> Result<()> {
    let server = Server::start(|seen| {
        let new = seen.last && seen.on_connection == 1;
        Reply::status(if new { 200 } else { 500 }, None, b"")
    })
    .await?;
    let report = run(plan(server.address(), 7)?.keepalive(0).oneshot(2)).await?;
    assert_eq!(report.verdict, Verdict::Passed, "{report:?}");
    assert_eq!(report.counts.connections, 7);
    Ok(())
}

#[tokio::test]
async fn a_run_that_sent_nothing_has_not_passed() -> Result<()> {
    let server = Server::start(|_| Reply::page(None, b"")).await?;
    let report = run(plan(server.address(), 0)?).await?;
    assert_eq!(
        (report.verdict, report.counts.requests),
        (Verdict::NothingSent, 0)
    );
    let report = run(plan(server.address(), 9)?.limit(Duration::ZERO)).await?;
    assert_eq!(
        (report.verdict, report.counts.requests),
        (Verdict::NothingSent, 0)
    );
    assert!(report.table().contains("nothing was sent"));
    Ok(())
}

#[tokio::test]
async fn a_post_that_is_answered_with_another_ones_nonce_is_wrong_content() -> Result<()> {
    let answer = |seen: Seen| {
        let body = String::from_utf8_lossy(&seen.body).into_owned();
        assert_eq!(body, format!("stratus_load={}&a=b", seen.nonce));
        Reply::page(
            Some(1),
            if seen.number == 3 {
                b"stratus_load=0"
            } else {
                body.as_bytes()
            },
        )
    };
    let server = Server::start(answer).await?;
    let request = Request::post("/echo").fields("a=b").check(Check::Echo);
    let report = run(asking(server.address(), request, 5)?).await?;
    expect_one(report, Class::WrongContent, 5)?;
    Ok(())
}

#[tokio::test]
async fn an_upload_that_arrived_differently_is_wrong_content() -> Result<()> {
    let server = Server::start(|mut seen| {
        if seen.number == 2 {
            seen.body[70_000] ^= 1;
        }
        let digest = Sha256::digest(&seen.body);
        let digest: Vec<_> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let head = format!("HTTP/1.1 200 OK\r\nX-Digest: {}\r\n", digest.concat());
        Reply::raw(head + "Content-Length: 0\r\n\r\n", Then::Keep)
    })
    .await?;
    let request = Request::upload("/upload", 1_000_000).check(Check::Digest);
    expect_one(
        run(asking(server.address(), request, 4)?).await?,
        Class::WrongContent,
        4,
    )?;
    Ok(())
}

#[tokio::test]
async fn an_upload_refused_before_it_is_sent_whole_is_seen_with_its_status() -> Result<()> {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let plan = asking(
        server.local_addr()?,
        Request::upload("/upload", 50_000_000),
        1,
    )?;
    let refuse = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = server.accept().await?;
        stream.read_u8().await?;
        stream
            .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            .await?;
        anyhow::Ok(())
    };
    let (report, refused) = tokio::join!(run(plan), refuse);
    refused?;
    expect_one(report?, Class::UnexpectedStatus(413), 1)?;
    Ok(())
}

#[tokio::test]
async fn no_more_than_twenty_examples_of_a_class_are_kept() -> Result<()> {
    let server = Server::start(|_| Reply::status(502, None, b"")).await?;
    let report = run(plan(server.address(), 50)?).await?;
    assert_eq!(report.failed_as(Class::ServerError(502)), 50);
    assert_eq!(report.failures[0].examples.len(), 20);
    Ok(())
}
