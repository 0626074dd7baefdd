//! `environments.show`: the settings of an environment with their defaults.

use clap::Args;
use stratus_proto::v1::ShowEnvironmentRequest;

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::session::Session;

/// Show the settings of an environment with their defaults, without its secrets, as YAML
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus environments.show shop")]
pub struct Show {
    /// The environment, instead of --env
    #[arg(value_name = "NAME", conflicts_with = "env")]
    name: Option<String>,
}

impl Show {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let environment = self.name.unwrap_or_else(|| session.environment());
        let client = session.connect().await?;
        let request = ShowEnvironmentRequest { environment };
        let reply = answer(ANSWER_LIMIT, client.environments().show(request)).await?;
        if session.globals.json {
            session.out.json(&reply);
        } else {
            session.out.text(&reply.yaml);
        }
        Ok(())
    }
}
