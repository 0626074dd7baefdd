//! `crons.list`.

use clap::Args;
use stratus_proto::v1::ListCronsRequest;

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::crons;
use crate::session::Session;

/// Show crons and workers: when each runs next, and how it went last
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus crons.list --json")]
pub struct List {}

impl List {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = ListCronsRequest {
            environment: session.environment(),
        };
        let client = session.connect().await?;
        let reply = answer(ANSWER_LIMIT, client.crons().list(request)).await?;
        if session.globals.json {
            session.out.json(&reply);
        } else {
            crons::list(session.out, &reply);
        }
        Ok(())
    }
}
