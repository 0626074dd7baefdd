//! `environments.list`: the configured environments.

use clap::Args;
use stratus_proto::v1::{EnvironmentSummary, ListEnvironmentsRequest};

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::table;
use crate::session::Session;

/// List the configured environments
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus environments.list")]
pub struct List {}

impl List {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let client = session.connect().await?;
        let request = ListEnvironmentsRequest {};
        let reply = answer(ANSWER_LIMIT, client.environments().list(request)).await?;
        if session.globals.json {
            session.out.json(&reply);
        } else if reply.environments.is_empty() {
            session
                .out
                .line("no environments; name one in /etc/stratus/stratus.yaml");
        } else {
            let rows = reply.environments.iter().map(row).collect();
            table::print(session.out, ["ENVIRONMENT", "LIVE", "CODE", "HOSTS"], rows);
        }
        Ok(())
    }
}

fn row(environment: &EnvironmentSummary) -> [String; 4] {
    let live = match environment.live {
        0 => "-".into(),
        live => live.to_string(),
    };
    let hosts = environment.hosts.join(",");
    [
        environment.name.clone(),
        live,
        environment.code.clone(),
        hosts,
    ]
}
