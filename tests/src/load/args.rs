//! The command line of `stratus-load`, turned into a plan.

use std::time::Duration;

use super::mix::{Check, Mix, MixError, Request, RequestKind};
use super::plan::{Plan, PlanError};
use super::target::Target;

/// How long a run may last that ends with its standard input, where no `--duration` says otherwise.
const UNTIL_STDIN_CLOSES: Duration = Duration::from_hours(1);

/// Sends HTTP/1.1 requests to a server on this machine and counts each one that is lost.
///
/// Exit status: 0 where every request was answered as expected, 1 where one was not or none was
/// sent, 2 where the command line or a line of control is wrong.
///
/// Lines on the standard input steer the run. `allow 43`: a switch to generation 43 is about to begin. `mark 43`: it
/// has returned, and a request sent from now on must not be answered by another generation. Both are
/// acknowledged by a line of JSON. `snapshot` prints the report so far as a line of JSON. `stop` ends the run.
#[derive(Debug, clap::Parser)]
#[command(name = "stratus-load", version)]
pub struct Args {
    /// The server, on a loopback address
    #[arg(long, value_name = "URL")]
    url: Target,
    /// The Host header [default: the address]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// GET this; `3:/path` asks three times as often as `/path`
    #[arg(long, value_name = "[WEIGHT:]PATH", value_parser = |text: &str| Request::parse(RequestKind::Get, text))]
    get: Vec<Request>,
    /// POST a small form to this; encoded fields of your own go behind a space
    #[arg(long, value_name = "[WEIGHT:]PATH[ FIELDS]", value_parser = |text: &str| Request::parse(RequestKind::Post, text))]
    post: Vec<Request>,
    /// GET this, which takes long, and report its latency apart
    #[arg(long, value_name = "[WEIGHT:]PATH", value_parser = |text: &str| Request::parse(RequestKind::Slow, text))]
    slow: Vec<Request>,
    /// POST so many bytes to this, as in /upload.php=5MB
    #[arg(long, value_name = "[WEIGHT:]PATH=SIZE", value_parser = |text: &str| Request::parse(RequestKind::Upload, text))]
    upload: Vec<Request>,
    /// Expect this status of a path, or 200-299 [default: 200-399]
    #[arg(long, value_name = "PATH=STATUS")]
    expect: Vec<String>,
    /// Look into the answers, too
    #[arg(long, value_name = "WHAT", value_enum)]
    check: Vec<Checked>,
    /// Clients that keep their connection
    #[arg(long, value_name = "N", default_value_t = 8)]
    keepalive: usize,
    /// Clients that open a connection for each request
    #[arg(long, value_name = "N", default_value_t = 0)]
    oneshot: usize,
    /// Begin no request after this time [default: 30s, or 1h with --until-stdin-closes]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Stop when the standard input ends
    #[arg(long)]
    until_stdin_closes: bool,
    /// Begin no more requests than this
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// Begin at most so many requests a second, all clients together
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// The time for one request
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "30s")]
    timeout: Duration,
    /// Print the report as one line of JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// What `--check` looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Checked {
    /// The answer to a POST holds the nonce of its header `X-Stratus-Load` and field `stratus_load`
    Echo,
    /// The answer to an upload holds the SHA-256 of what was sent, in hexadecimal
    Upload,
}

/// A command line that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// Of the requests.
    #[error(transparent)]
    Mix(#[from] MixError),
    /// Of the figures.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// What ends a run, beside its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdinEnd {
    /// The end of the standard input does.
    Stops,
    /// It means nothing.
    Ignored,
}

/// How to print the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Tables.
    Table,
    /// One line of JSON.
    Json,
}

impl Args {
    /// How to print the report.
    pub fn format(&self) -> Format {
        if self.json {
            Format::Json
        } else {
            Format::Table
        }
    }

    /// What the end of the standard input means.
    pub fn stdin_end(&self) -> StdinEnd {
        if self.until_stdin_closes {
            StdinEnd::Stops
        } else {
            StdinEnd::Ignored
        }
    }

    /// Makes the plan.
    pub fn plan(self) -> Result<Plan, ArgsError> {
        let limit = self.duration.unwrap_or(match self.stdin_end() {
            StdinEnd::Stops => UNTIL_STDIN_CLOSES,
            StdinEnd::Ignored => Duration::from_secs(30),
        });
        let checked = |requests: Vec<Request>, asked, check| {
            let check = if self.check.contains(&asked) {
                check
            } else {
                Check::Nothing
            };
            requests
                .into_iter()
                .map(move |request| request.check(check))
        };
        let mut requests: Vec<Request> = self.get.into_iter().chain(self.slow).collect();
        requests.extend(checked(self.post, Checked::Echo, Check::Echo));
        requests.extend(checked(self.upload, Checked::Upload, Check::Digest));
        for expected in &self.expect {
            Mix::expect(&mut requests, expected)?;
        }
        let plan = Plan::new(self.url, Mix::new(requests)?)
            .keepalive(self.keepalive)
            .oneshot(self.oneshot)
            .limit(limit)
            .timeout(self.timeout);
        let plan = self.host.into_iter().fold(plan, Plan::host);
        let plan = self.requests.into_iter().fold(plan, Plan::requests);
        Ok(self.rate.into_iter().fold(plan, Plan::rate).validate()?)
    }
}
