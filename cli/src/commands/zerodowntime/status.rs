//! `zerodowntime.status`: the pools of an environment and the command that comes next.

use clap::Args;
use stratus_proto::v1::{EnvironmentStatus, StatusRequest};

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::pools;
use crate::session::Session;

/// Show the live, prepared and previous pool, and what to do next
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus zerodowntime.status --env shop")]
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
            return Ok(());
        }
        pools::print(session.out, &reply.environments);
        if !session.globals.quiet {
            for environment in &reply.environments {
                session
                    .out
                    .line(&format!("{}: {}", environment.name, next(environment)));
            }
        }
        Ok(())
    }
}

fn next(environment: &EnvironmentStatus) -> String {
    match (&environment.operation, &environment.standby) {
        (Some(operation), _) => {
            format!("next: stratus operations.watch {}", operation.operation)
        }
        (None, Some(standby)) => {
            format!(
                "next: zerodowntime.switch makes generation {} live",
                standby.generation
            )
        }
        (None, None) => "next: zerodowntime.init prepares the code as it is now".into(),
    }
}
