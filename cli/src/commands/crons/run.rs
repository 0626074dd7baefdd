//! `crons.run`: runs a cron now, and waits for its end.

use clap::Args;
use stratus_proto::v1::{AwaitCronRequest, CronRun, RunCronRequest};

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::follow::Follower;
use crate::render::crons;
use crate::render::events::Quiet;
use crate::session::Session;

/// How long one question stays open, milliseconds.
const WAIT_MS: u64 = 15_000;

/// Run a cron now and show what it writes
///
/// It runs in a container of the live release, after what runs already. It goes on when this command is stopped:
/// crons.logs shows how it went. While crons are stopped it is refused.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus crons.run reindex")]
pub struct Run {
    /// The cron
    name: String,
    /// Do not wait for its end
    #[arg(long)]
    detach: bool,
}

impl Run {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = RunCronRequest {
            environment: session.environment(),
            cron: self.name.clone(),
        };
        let client = session.connect().await?;
        let mut run = answer(ANSWER_LIMIT, client.crons().run(request)).await?;
        let mut told = String::new();
        while !self.detach && is_open(&run) {
            if told != run.state && !session.globals.quiet {
                told.clone_from(&run.state);
                session.out.note(&crons::run(&run));
            }
            let request = AwaitCronRequest {
                environment: run.environment.clone(),
                cron: run.cron.clone(),
                slot: run.slot,
                wait_ms: WAIT_MS,
            };
            let globals = &session.globals;
            let mut view = Quiet(session.out);
            let mut follower = Follower::new(&globals.server, globals.reconnect, &mut view);
            follower = follower.of("the cron");
            run = follower
                .ask(async |client| client.crons().r#await(request.clone()).await)
                .await?;
        }
        conclude(session, &run)
    }
}

fn is_open(run: &CronRun) -> bool {
    matches!(run.state.as_str(), "waiting" | "running")
}

fn conclude(session: &mut Session<'_>, run: &CronRun) -> Result<(), CliError> {
    let is_well = is_open(run) || run.exit == Some(0);
    if session.globals.json && is_well {
        session.out.json(run);
        return Ok(());
    }
    if !session.globals.json {
        session.out.text(&run.output);
    }
    if is_well {
        if !session.globals.quiet {
            session.out.line(&crons::run(run));
        }
        return Ok(());
    }
    let report = serde_json::to_value(run).unwrap_or_default();
    Err(CliError::failed(crons::run(run))
        .hint(format!(
            "see its last runs with: stratus crons.logs {}",
            run.cron
        ))
        .report(report))
}
