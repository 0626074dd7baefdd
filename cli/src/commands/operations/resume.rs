//! `operations.resume`: tries a stuck step again.

use clap::Args;
use stratus_proto::v1::ResumeRequest;

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::session::Session;

/// Try the step of a stuck operation again
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  stratus operations.resume 0190a6d2-7c00-7000-8000-000000000001"
)]
pub struct Resume {
    /// The operation's id
    #[arg(value_name = "ID")]
    operation: String,
}

impl Resume {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = ResumeRequest {
            operation: self.operation,
        };
        let client = session.connect().await?;
        let operation = answer(ANSWER_LIMIT, client.operations().resume(request)).await?;
        if session.globals.json {
            session.out.json(&operation);
            return Ok(());
        }
        let id = &operation.operation;
        session.out.line(&format!(
            "operation {id} tries its step again; follow it with: stratus operations.watch {id}"
        ));
        Ok(())
    }
}
