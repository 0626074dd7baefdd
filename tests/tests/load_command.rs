//! `stratus-load` as a script sees it: exit status, standard output, and control through standard input.

use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use stratus_tests::load::plant::{Reply, Server};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stratus-load"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn run(server: &Server, arguments: &[&str]) -> Result<Output> {
    let url = format!("http://{}", server.address());
    Ok(command(&["--url", &url]).args(arguments).output().await?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_clean_run_exits_with_0_and_says_so() -> Result<()> {
    let server = Server::start(|seen| {
        assert_eq!(seen.host, "shop.test");
        Reply::page(
            (seen.line != "GET /app.css").then_some(42),
            seen.nonce.as_bytes(),
        )
    })
    .await?;
    let asked = [
        "--get=3:/doku.php?id=start",
        "--get=/app.css",
        "--post=/post.php",
        "--slow=/slow.php?ms=200",
        "--keepalive=2",
        "--oneshot=1",
        "--host=shop.test",
        "--check=echo",
        "--requests=60",
    ];
    let output = run(&server, &asked).await?;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stdout).contains("60 requests in "),
        "{output:?}"
    );
    assert!(
        text(&output.stdout).trim_end().ends_with(": 0 failed"),
        "{output:?}"
    );

    let output = run(&server, &[&asked[..], &["--json"]].concat()).await?;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["verdict"], "passed");
    assert_eq!(
        (&report["requests"], &report["failed"]),
        (&json!(60), &json!(0))
    );
    assert_eq!(report["answered_php"], report["generations"]["42"]);
    assert_eq!(report["by_request"].as_array().map(Vec::len), Some(3));
    Ok(())
}

#[tokio::test]
async fn one_failure_exits_with_1_and_shows_it() -> Result<()> {
    let server = Server::start(|seen| match seen.number {
        30 => Reply::status(502, None, b"bad gateway"),
        _ => Reply::page(Some(42), b"page"),
    })
    .await?;
    let output = run(&server, &["--get=/", "--requests=60", "--json"]).await?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let failure = &report["failures"][0];
    assert_eq!(failure["class"], "server_error");
    assert_eq!(
        (&failure["status"], &failure["count"]),
        (&json!(502), &json!(1))
    );
    assert_eq!(failure["examples"][0]["path"], "/");
    Ok(())
}

#[tokio::test]
async fn a_run_that_sent_nothing_exits_with_1_and_says_so() -> Result<()> {
    let server = Server::start(|_| Reply::page(None, b"")).await?;
    let output = run(&server, &["--get=/", "--duration=0s"]).await?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stderr).contains("nothing was sent"),
        "{output:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_wrong_command_line_exits_with_2_and_sends_nothing() -> Result<()> {
    for (arguments, message) in [
        (
            &["--url=http://10.0.0.1:80", "--get=/"][..],
            "not a loopback address",
        ),
        (
            &["--url=http://example.org", "--get=/"],
            "not a loopback address",
        ),
        (&["--url=http://127.0.0.1:1"], "nothing to ask for"),
        (
            &["--url=http://127.0.0.1:1", "--get=doku.php"],
            "not a path",
        ),
        (
            &["--url=http://127.0.0.1:1", "--get=/", "--keepalive=0"],
            "no clients",
        ),
        (
            &["--url=http://127.0.0.1:1", "--get=/", "--expect=/a=404"],
            "no request asks for it",
        ),
        (
            &["--url=http://127.0.0.1:1", "--get=/", "--duration=9weeks"],
            "too long",
        ),
        (&["--url=http://127.0.0.1:1", "--get=/", "--jsno"], "--json"),
        (&["--get=/"], "--url"),
    ] {
        let output = command(arguments).output().await?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(
            text(&output.stderr).contains(message),
            "{arguments:?}: {output:?}"
        );
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
    }
    Ok(())
}

/// A run that is steered by lines.
struct Steered {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Steered {
    fn start(server: &Server, more: &[&str]) -> Result<Self> {
        let url = format!("--url=http://{}", server.address());
        let mut child = command(&[&url, "--get=/", "--json", "--duration=1m"])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().context("no stdin")?;
        let stdout = child.stdout.take().context("no stdout")?;
        Ok(Self {
            child,
            stdin,
            stdout: BufReader::new(stdout).lines(),
        })
    }

    async fn say(&mut self, line: &str) -> Result<()> {
        Ok(self.stdin.write_all(format!("{line}\n").as_bytes()).await?)
    }

    async fn hear(&mut self) -> Result<Value> {
        let line = self.stdout.next_line().await?.context("the output ended")?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Asks for snapshots until one is as wanted; the run's own limit bounds this.
    async fn snapshot(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            self.say("snapshot").await?;
            let snapshot = self.hear().await?;
            ensure!(snapshot["finished"] == false, "the run is over: {snapshot}");
            if wanted(&snapshot) {
                return Ok(snapshot);
            }
        }
    }
}

#[tokio::test]
async fn a_mark_that_the_server_does_not_keep_is_found() -> Result<()> {
    let server = Server::start(|_| Reply::page(Some(42), b"page")).await?;
    let mut run = Steered::start(&server, &[])?;
    run.say("mark 42").await?;
    assert_eq!(run.hear().await?, json!({ "marked": 42 }));
    run.snapshot(|so_far| so_far["requests"].as_u64() > Some(100))
        .await?;
    run.say("allow 43").await?;
    assert_eq!(run.hear().await?, json!({ "allowed": 43 }));
    let before = run.snapshot(|_| true).await?;
    assert_eq!(before["failed"], 0, "{before}");
    run.say("mark 43").await?;
    assert_eq!(run.hear().await?, json!({ "marked": 43 }));
    run.snapshot(|so_far| so_far["failed"].as_u64() > Some(0))
        .await?;
    run.say("stop").await?;
    let report = run.hear().await?;
    assert_eq!(
        (&report["finished"], &report["in_flight"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(report["failures"][0]["class"], "wrong_generation");
    assert_eq!(run.child.wait().await?.code(), Some(1));
    Ok(())
}

#[tokio::test]
async fn the_end_of_stdin_ends_a_run_only_where_that_was_asked() -> Result<()> {
    let server = Server::start(|_| Reply::page(Some(42), b"page")).await?;
    let mut steered = Steered::start(&server, &["--until-stdin-closes"])?;
    steered
        .snapshot(|so_far| so_far["requests"].as_u64() > Some(0))
        .await?;
    drop(steered.stdin);
    assert_eq!(steered.child.wait().await?.code(), Some(0));

    let output = run(&server, &["--get=/", "--requests=500", "--json"]).await?; // stdin is empty
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["requests"], 500, "{report}");
    Ok(())
}

#[tokio::test]
async fn a_misspelt_line_of_control_ends_the_run_with_2() -> Result<()> {
    let server = Server::start(|_| Reply::page(Some(42), b"page")).await?;
    let mut run = Steered::start(&server, &[])?;
    run.say("mrak 43").await?;
    let output = run.child.wait_with_output().await?;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        text(&output.stderr).contains("`mrak 43` is not"),
        "{output:?}"
    );
    Ok(())
}
