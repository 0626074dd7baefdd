//! `operations.watch`: follows an operation to its end.

use clap::Args;
use stratus_proto::v1::ListOperationsRequest;

use crate::Ended;
use crate::client::{ANSWER_LIMIT, Client, answer};
use crate::error::CliError;
use crate::operate::{self, Form};
use crate::session::Session;
use crate::signals::Interrupts;

/// Follow an operation to its end and exit as it ends; with --json one event a line
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus operations.watch --env shop")]
pub struct Watch {
    /// The operation's id; without one, the operation that is under way
    #[arg(value_name = "ID")]
    operation: Option<String>,
}

impl Watch {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<Ended, CliError> {
        // A server that is not there in the first place is a failure at once.
        let client = session.connect().await?;
        let operation = match self.operation {
            Some(operation) => operation,
            None => under_way(&client, session.environment()).await?,
        };
        let interrupts = Interrupts::listen()?;
        operate::follow(session, &interrupts, &operation, Form::Events).await
    }
}

async fn under_way(client: &Client, environment: String) -> Result<String, CliError> {
    let request = ListOperationsRequest {
        environment,
        limit: 2,
        unfinished_only: true,
    };
    let reply = answer(ANSWER_LIMIT, client.operations().list(request)).await?;
    match reply.operations.as_slice() {
        [operation] => Ok(operation.operation.clone()),
        [] => Err(CliError::failed("no operation is under way")
            .hint("name a finished one, see stratus operations.list")),
        _ => Err(
            CliError::failed("operations of several environments are under way")
                .hint("choose one with --env, or name its id"),
        ),
    }
}
