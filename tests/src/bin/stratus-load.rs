//! `stratus-load`: the load client as a program. Everything it knows is in `stratus_tests::load`.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use clap::Parser;
use stratus_tests::load::args::{Args, Format, StdinEnd};
use stratus_tests::load::control::{Control, ControlError};
use stratus_tests::load::{Handle, Load, Verdict};
use tokio::sync::mpsc;

const FAILED: u8 = 1;
const USAGE: u8 = 2;
/// Lines of control that may wait; a driver that writes more has to wait itself.
const LINES: usize = 64;

/// One thread: a server under test on the same machine needs the others.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let (format, stdin_end) = (args.format(), args.stdin_end());
    let load = match args.plan().map(Load::start) {
        Ok(Ok(load)) => load,
        Ok(Err(error)) => return usage(&error),
        Err(error) => return usage(&error),
    };
    let handle = load.handle();
    let finish = load.finish();
    tokio::pin!(finish);
    let report = tokio::select! {
        report = &mut finish => report,
        Err(error) = steer(&handle, stdin_end) => return usage(&error),
        _ = tokio::signal::ctrl_c() => {
            handle.stop();
            finish.await
        }
    };
    print(&match format {
        Format::Json => report.json(),
        Format::Table => report.table().trim_end().to_owned(),
    });
    match report.verdict {
        Verdict::Passed => ExitCode::SUCCESS,
        Verdict::Failed => ExitCode::from(FAILED),
        Verdict::NothingSent => {
            complain("nothing was sent, so nothing is proved");
            ExitCode::from(FAILED)
        }
    }
}

/// Follows the standard input; ends with an error only, since a run ends by itself.
async fn steer(handle: &Handle, stdin_end: StdinEnd) -> Result<(), ControlError> {
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        match line.parse()? {
            Control::Allow(generation) => {
                handle.allow(generation);
                print(&serde_json::json!({ "allowed": generation }).to_string());
            }
            Control::Mark(generation) => {
                handle.mark(generation);
                print(&serde_json::json!({ "marked": generation }).to_string());
            }
            Control::Snapshot => print(&handle.snapshot().json()),
            Control::Stop => handle.stop(),
        }
    }
    if stdin_end == StdinEnd::Stops {
        handle.stop();
    }
    Ok(())
}

/// Reads the standard input on a thread of its own, which ends with the process.
fn lines() -> mpsc::Receiver<String> {
    let (send, lines) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn usage(error: &dyn std::error::Error) -> ExitCode {
    complain(&error.to_string());
    ExitCode::from(USAGE)
}

/// A reader that went away does not change what the run has proved.
fn print(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "stratus-load: {line}");
}
