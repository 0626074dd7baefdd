//! `operations.cancel`: asks an operation to stop and be undone.

use clap::Args;
use stratus_proto::v1::CancelRequest;

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::session::Session;

/// Ask an operation to stop and be undone; refused after the point of no return
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  stratus operations.cancel 0190a6d2-7c00-7000-8000-000000000001"
)]
pub struct Cancel {
    /// The operation's id
    #[arg(value_name = "ID")]
    operation: String,
}

impl Cancel {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = CancelRequest {
            operation: self.operation,
        };
        let client = session.connect().await?;
        let operation = answer(ANSWER_LIMIT, client.operations().cancel(request)).await?;
        if session.globals.json {
            session.out.json(&operation);
            return Ok(());
        }
        let id = &operation.operation;
        session.out.line(&format!("operation {id} was asked to stop and be undone; follow it with: stratus operations.watch {id}"));
        Ok(())
    }
}
