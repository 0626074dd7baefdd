//! `crons.start`.

use clap::Args;
use stratus_proto::v1::StartCronsRequest;

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::crons;
use crate::session::Session;

/// Let crons run again that crons.stop holds back
///
/// A deployment that is under way holds them back until it ends, whoever calls this.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus crons.start")]
pub struct Start {}

impl Start {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = StartCronsRequest {
            environment: session.environment(),
        };
        let client = session.connect().await?;
        let reply = answer(ANSWER_LIMIT, client.crons().start(request)).await?;
        if session.globals.json {
            session.out.json(&reply);
            return Ok(());
        }
        let name = &reply.environment;
        match &reply.stopped {
            Some(lease) => session
                .out
                .line(&format!("{name}: {}", crons::stopped(lease))),
            None => session.out.line(&format!("{name}: crons run")),
        }
        Ok(())
    }
}
