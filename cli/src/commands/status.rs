//! `status`: all environments at a glance.

use clap::Args;
use stratus_proto::v1::StatusRequest;

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::pools;
use crate::session::Session;

/// Show what is live, what stands by, what is under way and what drifted
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus status --json")]
pub struct Status {}

impl Status {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = StatusRequest {
            environment: session.environment(),
        };
        let client = session.connect().await?;
        let reply = answer(ANSWER_LIMIT, client.environments().status(request)).await?;
        if session.globals.json {
            session.out.json(&reply);
        } else {
            pools::print(session.out, &reply.environments);
        }
        Ok(())
    }
}
