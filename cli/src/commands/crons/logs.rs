//! `crons.logs`.

use clap::Args;
use stratus_proto::v1::CronLogsRequest;

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::crons;
use crate::session::Session;

/// Show what a cron or a worker wrote
///
/// The newest 50 runs of a cron are kept, each with the last 32 KiB of what it wrote, skipped ones with their reason.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus crons.logs reindex --runs 5")]
pub struct Logs {
    /// The cron or worker
    name: String,
    /// How many runs, the newest last
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=50))]
    runs: u32,
}

impl Logs {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = CronLogsRequest {
            environment: session.environment(),
            name: self.name.clone(),
            runs: self.runs,
        };
        let client = session.connect().await?;
        let reply = answer(ANSWER_LIMIT, client.crons().logs(request)).await?;
        if session.globals.json {
            session.out.json(&reply);
            return Ok(());
        }
        for run in &reply.runs {
            session.out.line(&crons::run(run));
            session.out.text(&run.output);
        }
        session.out.text(&reply.output);
        if reply.runs.is_empty() && reply.output.is_empty() {
            session
                .out
                .line(&format!("{} wrote nothing yet", self.name));
        }
        Ok(())
    }
}
