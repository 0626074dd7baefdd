//! `crons.stop`: holds crons back for a while, and returns when none runs.

use std::time::Duration;

use clap::Args;
use stratus_proto::v1::{CronRun, IdleCronsRequest, StopCronsRequest};
use tokio::time::Instant;

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::follow::Follower;
use crate::render::crons;
use crate::render::events::Quiet;
use crate::session::Session;

/// How long one question stays open.
const QUESTION: Duration = Duration::from_secs(15);

/// Hold crons back for a while, and wait until none runs
///
/// They run again after crons.start, or when the time is over: a script that dies leaves no shop without crons. A second
/// stop may make that later, never sooner. What still runs after the wait is named, and ends by itself. Workers are not
/// crons: they go on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus crons.stop --for 2h")]
pub struct Stop {
    /// For how long, a day at most
    #[arg(long = "for", value_name = "DURATION", default_value = "60m")]
    #[arg(value_parser = humantime::parse_duration, env = "STRATUS_CRONS_FOR", hide_env_values = true)]
    time: Duration,
    /// How long to wait for crons that run
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    #[arg(value_parser = humantime::parse_duration)]
    wait: Duration,
}

impl Stop {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = StopCronsRequest {
            environment: session.environment(),
            for_ms: u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX),
        };
        let client = session.connect().await?;
        let mut reply = answer(ANSWER_LIMIT, client.crons().stop(request)).await?;
        reply.running = self
            .idle(session, &reply.environment, reply.running)
            .await?;
        if session.globals.json {
            session.out.json(&reply);
            return Ok(());
        }
        let name = &reply.environment;
        if let Some(lease) = &reply.lease {
            session
                .out
                .line(&format!("{name}: {}", crons::stopped(lease)));
        }
        for run in &reply.running {
            session.out.line(&format!(
                "{name}: {}; it ends by itself, nothing new begins",
                crons::run(run)
            ));
        }
        Ok(())
    }

    /// Waits until nothing runs; answers what still does.
    async fn idle(
        &self,
        session: &mut Session<'_>,
        environment: &str,
        mut running: Vec<CronRun>,
    ) -> Result<Vec<CronRun>, CliError> {
        let deadline = Instant::now() + self.wait;
        if !running.is_empty() && !session.globals.quiet {
            let names: Vec<&str> = running.iter().map(|run| run.cron.as_str()).collect();
            session
                .out
                .note(&format!("waiting for {}", names.join(", ")));
        }
        while !running.is_empty() && Instant::now() < deadline {
            let wait = deadline
                .saturating_duration_since(Instant::now())
                .min(QUESTION);
            let request = IdleCronsRequest {
                environment: environment.to_owned(),
                wait_ms: u64::try_from(wait.as_millis()).unwrap_or_default(),
            };
            let globals = &session.globals;
            let mut view = Quiet(session.out);
            let mut follower = Follower::new(&globals.server, globals.reconnect, &mut view);
            follower = follower.of("what runs");
            let idle = follower
                .ask(async |client| client.crons().idle(request.clone()).await)
                .await?;
            running = idle.running;
        }
        Ok(running)
    }
}
