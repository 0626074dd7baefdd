//! The log of visitors' requests, of a real nginx: what is in it, who may read it, and how it stays bounded.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use stratus_agent::nginx::AccessLog;
use stratus_core::Router as _;
use stratus_tests::fastcgi::Member;
use stratus_tests::nginx::{Bench, Cache, docker};

/// More than nginx holds back.
const LIMIT: Duration = Duration::from_secs(10);

fn log(bench: &Bench) -> PathBuf {
    bench.layout.access_log(&Bench::shop())
}

/// The log's lines, once there are so many.
async fn lines(bench: &Bench, count: usize) -> Result<Vec<String>> {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let text = fs::read_to_string(log(bench)).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count {
            return Ok(lines);
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "not {count}: {text}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn plain() -> Result<(Bench, Vec<Member>)> {
    let mut bench = Bench::new().await?;
    bench.settings.access_log = AccessLog::Written;
    bench.router = bench.another_router(&bench.settings).await?;
    bench.router.prepare(&bench.table(1)).await?;
    let members = bench.pool(1, 1)?;
    bench.go_live(1, None).await?;
    bench.start().await?;
    Ok((bench, members))
}

async fn behind() -> Result<(Bench, Cache, Vec<Member>)> {
    Bench::behind(1, |settings| settings.access_log = AccessLog::Written).await
}

/// Whether a line is in nginx's format `combined`, of a visitor and this request.
fn is_of(line: &str, request: &str, status: u16) -> bool {
    let mut words = line.split(' ');
    let is_visitor = words.next().is_some_and(|ip| {
        ip.parse::<std::net::IpAddr>()
            .is_ok_and(|ip| !ip.is_loopback())
    });
    is_visitor && line.contains(&format!("] \"{request} HTTP/1.1\" {status} "))
}

/// How many lines are of this request. Each worker writes its own at a time, so they are in no order.
fn count(lines: &[String], request: &str, status: u16) -> usize {
    let lines = lines.iter();
    lines.filter(|line| is_of(line, request, status)).count()
}

#[tokio::test]
async fn each_request_of_a_visitor_is_a_line_and_no_question_of_the_servers() -> Result<()> {
    let (bench, _members) = plain().await?;
    bench.file(1, "pub/app.css", "css")?;
    bench.get("/app.css").await?;
    bench.get("/index.php?a=1").await?;
    bench.get("/a/page").await?;
    // Asked by the server, on the private socket.
    bench.control("/.stratus/revision").await?;
    bench.control("/.stratus/ping/shop").await?;
    let mut table = bench.table(1);
    table.sites[0].hosts.push("new.example.test".to_owned());
    bench.router.load(&table).await?;
    bench.get("/none.css").await?;
    let lines = lines(&bench, 4).await?;
    assert_eq!(lines.len(), 4, "{lines:?}");
    let said = [
        ("GET /app.css", 200),
        ("GET /index.php?a=1", 200),
        ("GET /a/page", 200),
        ("GET /none.css", 404),
    ];
    for (request, status) in said {
        assert_eq!(count(&lines, request, status), 1, "{request}: {lines:?}");
    }
    Ok(())
}

#[tokio::test]
async fn with_varnish_too_a_request_is_one_line_with_the_visitors_address() -> Result<()> {
    let (bench, _cache, _members) = behind().await?;
    for _ in 0..2 {
        bench.get("/index.php?keep=600").await?;
    }
    bench.kept().await?.post("/index.php", "x".into()).await?;
    lines(&bench, 3).await?;
    // What the other side of Varnish would write comes later.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let lines = lines(&bench, 3).await?;
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(
        count(&lines, "GET /index.php?keep=600", 200),
        2,
        "{lines:?}"
    );
    assert_eq!(count(&lines, "POST /index.php", 200), 1, "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn a_log_that_is_too_large_makes_way_and_no_line_is_lost() -> Result<()> {
    let (bench, _members) = plain().await?;
    bench.get("/index.php?n=1").await?;
    lines(&bench, 1).await?;
    let file = fs::File::options().write(true).open(log(&bench))?;
    file.set_len(33 << 20)?;
    bench.get("/index.php?n=2").await?;
    bench.router.tend_logs().await?;
    let after = async {
        for number in 3.. {
            bench.get(&format!("/index.php?n={number}")).await?;
            if log(&bench).exists() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bench.get("/index.php?n=last").await
    };
    tokio::time::timeout(LIMIT, after).await??;
    let last = async {
        while !fs::read_to_string(log(&bench)).is_ok_and(|text| text.contains("n=last")) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, last).await?;
    let old = fs::read(log(&bench).with_extension("log.1"))?;
    let old = String::from_utf8_lossy(&old);
    for number in 1..=2 {
        assert!(old.contains(&format!("n={number} ")), "{number}");
    }
    bench.router.tend_logs().await?;
    assert_eq!(
        fs::read(log(&bench).with_extension("log.1"))?.len(),
        old.len()
    );
    Ok(())
}

#[tokio::test]
async fn the_owner_of_the_code_reads_and_a_site_that_is_gone_takes_its_log_with_it() -> Result<()> {
    let (bench, _members) = plain().await?;
    std::os::unix::fs::chown(bench.code(), Some(1234), Some(1234))?;
    let mut table = bench.table(1);
    let mut blog = table.sites[0].clone();
    blog.environment = "blog".parse()?;
    blog.hosts = vec!["blog.example.test".to_owned()];
    blog.members = 0;
    table.sites.push(blog);
    bench.router.load(&table).await?;
    bench.get("/index.php").await?;
    lines(&bench, 1).await?;
    let folder = log(&bench).parent().map(PathBuf::from).unwrap_or_default();
    let found = fs::metadata(&folder)?;
    assert_eq!(
        (found.uid(), found.gid(), found.mode() & 0o777),
        (33, 1234, 0o750)
    );
    let mount = format!("{}:/log:ro", folder.display());
    let read = |user: &str| {
        let mut argv = vec!["run", "--rm", "--user", user, "--network", "none"];
        argv.extend([
            "-v",
            &mount,
            &bench.settings.image,
            "cat",
            "/log/access.log",
        ]);
        docker(&argv)
    };
    assert!(read("1234:1234")?.contains("GET /index.php"));
    assert!(read("1235:1235").is_err(), "a stranger reads it");

    let gone = bench.layout.access_log(&"blog".parse()?);
    assert!(gone.exists());
    bench.router.tend_logs().await?;
    assert!(gone.exists());
    table.sites.pop();
    bench.router.load(&table).await?;
    bench.router.tend_logs().await?;
    assert!(!gone.exists() && log(&bench).exists());
    Ok(())
}

/// Removes all folders of logs, as a restore without them does.
fn lose_the_folders(bench: &Bench) -> Result<()> {
    for folder in fs::read_dir(bench.layout.nginx_log())? {
        fs::remove_dir_all(folder?.path())?;
    }
    Ok(())
}

#[tokio::test]
async fn nginx_starts_and_writes_though_the_folders_of_its_logs_were_lost() -> Result<()> {
    let (mut bench, _members) = plain().await?;
    let table = bench.table(1);
    let folder = log(&bench).parent().map(PathBuf::from).unwrap_or_default();
    std::os::unix::fs::chown(bench.code(), Some(1234), Some(1234))?;
    bench.router.load(&table).await?;
    let whose = || fs::metadata(&folder).map(|found| (found.uid(), found.gid(), found.mode()));

    // While it runs: the next look, or the next load of the same text.
    lose_the_folders(&bench)?;
    bench.router.tend_logs().await?;
    assert_eq!(whose()?, (33, 1234, 0o40750));
    bench.get("/index.php?n=1").await?;
    assert!(lines(&bench, 1).await?[0].contains("n=1"));
    lose_the_folders(&bench)?;
    assert!(!bench.router.load(&table).await?.reloaded);
    assert_eq!(whose()?, (33, 1234, 0o40750));

    // While it is stopped.
    let name = bench.settings.container.clone();
    docker(&["stop", &name])?;
    lose_the_folders(&bench)?;
    let before = fs::read(bench.layout.nginx_configuration())?;
    bench.router.prepare(&table).await?;
    assert_eq!(fs::read(bench.layout.nginx_configuration())?, before);
    docker(&["start", &name])?;
    bench.find_port().await?;
    bench.get("/index.php?n=2").await?;
    assert!(lines(&bench, 1).await?[0].contains("n=2"));
    Ok(())
}

#[tokio::test]
async fn logs_go_with_the_key_and_stay_while_there_is_no_text() -> Result<()> {
    let (mut bench, _members) = plain().await?;
    bench.get("/index.php").await?;
    lines(&bench, 1).await?;
    let text = bench.layout.nginx_configuration();
    let aside = text.with_extension("aside");
    fs::rename(&text, &aside)?;
    bench.router.tend_logs().await?;
    assert!(log(&bench).exists());
    fs::rename(&aside, &text)?;

    bench.settings.access_log = AccessLog::Absent;
    bench.router = bench.another_router(&bench.settings).await?;
    bench.router.tend_logs().await?;
    assert!(log(&bench).exists());
    bench.router.load(&bench.table(1)).await?;
    bench.router.tend_logs().await?;
    assert!(!log(&bench).exists());
    Ok(())
}
