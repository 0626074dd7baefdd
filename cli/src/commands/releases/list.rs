//! `releases.list`: the releases of an environment, newest first.

use clap::Args;
use stratus_proto::v1::{ListReleasesRequest, Release};

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::table;
use crate::render::units::{bytes, count, date, short};
use crate::session::Session;

/// List the releases on disk, newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus releases.list --env shop")]
pub struct List {}

impl List {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = ListReleasesRequest {
            environment: session.environment(),
        };
        let client = session.connect().await?;
        let reply = answer(ANSWER_LIMIT, client.releases().list(request)).await?;
        if session.globals.json {
            session.out.json(&reply);
        } else if reply.releases.is_empty() {
            session.out.line("no releases; zerodowntime.init makes one");
        } else {
            let rows = reply.releases.iter().map(row).collect();
            let heading = [
                "RELEASE",
                "CREATED",
                "GENERATION",
                "STATE",
                "PINNED",
                "FILES",
                "SIZE",
            ];
            table::print(session.out, heading, rows);
        }
        Ok(())
    }
}

fn row(release: &Release) -> [String; 7] {
    let generation = match release.generation {
        0 => "-".into(),
        generation => generation.to_string(),
    };
    [
        short(&release.release),
        date(release.created),
        generation,
        release.state.clone(),
        if release.pinned { "yes" } else { "no" }.into(),
        count(release.files),
        bytes(release.bytes),
    ]
}
