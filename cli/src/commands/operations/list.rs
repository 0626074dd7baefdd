//! `operations.list`: the operations, newest first.

use clap::Args;
use stratus_proto::v1::ListOperationsRequest;

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::operations;
use crate::session::Session;

/// List operations, newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus operations.list --unfinished")]
pub struct List {
    /// How many at most
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
    /// Only those under way or stuck
    #[arg(long)]
    unfinished: bool,
}

impl List {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = ListOperationsRequest {
            environment: session.environment(),
            limit: self.limit,
            unfinished_only: self.unfinished,
        };
        let client = session.connect().await?;
        let reply = answer(ANSWER_LIMIT, client.operations().list(request)).await?;
        if session.globals.json {
            session.out.json(&reply);
        } else {
            operations::list(session.out, &reply.operations);
        }
        Ok(())
    }
}
