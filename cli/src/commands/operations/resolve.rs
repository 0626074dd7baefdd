//! `operations.resolve`: declares a stuck step to be as it should be.

use clap::Args;
use stratus_proto::v1::ResolveRequest;

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::session::Session;

/// Say that the effect of a stuck step is as it should be, and go on
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  stratus operations.resolve 0190a6d2-7c00-7000-8000-000000000001"
)]
pub struct Resolve {
    /// The operation's id
    #[arg(value_name = "ID")]
    operation: String,
}

impl Resolve {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = ResolveRequest {
            operation: self.operation,
        };
        let client = session.connect().await?;
        let operation = answer(ANSWER_LIMIT, client.operations().resolve(request)).await?;
        if session.globals.json {
            session.out.json(&operation);
            return Ok(());
        }
        let id = &operation.operation;
        session.out.line(&format!(
            "operation {id} goes on after its step; follow it with: stratus operations.watch {id}"
        ));
        Ok(())
    }
}
