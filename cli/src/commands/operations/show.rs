//! `operations.show`: one operation with its steps.

use clap::Args;
use stratus_proto::v1::GetOperationRequest;

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::operations;
use crate::session::Session;

/// Show an operation with its steps
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus operations.show 0190a6d2-7c00-7000-8000-000000000001")]
pub struct Show {
    /// The operation's id
    #[arg(value_name = "ID")]
    operation: String,
}

impl Show {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = GetOperationRequest {
            operation: self.operation,
        };
        let client = session.connect().await?;
        let operation = answer(ANSWER_LIMIT, client.operations().get(request)).await?;
        if session.globals.json {
            session.out.json(&operation);
        } else {
            operations::show(session.out, &operation);
        }
        Ok(())
    }
}
