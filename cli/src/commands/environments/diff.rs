//! `environments.diff`: what of the working tree is not live.

use std::time::Duration;

use clap::Args;
use stratus_proto::v1::DiffRequest;

use crate::client::answer;
use crate::error::CliError;
use crate::render::units::{count, short};
use crate::session::Session;

/// How long a large tree may take to be walked.
const WALK_LIMIT: Duration = Duration::from_mins(10);

/// Show which files of the working tree differ from the live release
///
/// An edit by SSH or SFTP is not live before the next deployment; this says which there are. Shared folders are live at
/// once and not shown.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus environments.diff")]
pub struct Diff {}

impl Diff {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = DiffRequest {
            environment: session.environment(),
        };
        let client = session.connect().await?;
        let reply = answer(WALK_LIMIT, client.environments().diff(request)).await?;
        if session.globals.json {
            session.out.json(&reply);
            return Ok(());
        }
        for file in &reply.files {
            session
                .out
                .line(&format!("{:<8} {}", file.change, file.path));
        }
        if !reply.source.is_empty() {
            session.out.line(&format!(
                "release {} was made from {}, not from the working tree: what differs need not be an edit",
                short(&reply.release),
                reply.source
            ));
        }
        let named = reply.files.len() as u64;
        let line = match reply.total {
            0 => format!(
                "the working tree is release {}, which is live",
                short(&reply.release)
            ),
            total if total > named => {
                format!("and {} more that are not live", count(total - named))
            }
            total => format!(
                "{} of the working tree not live; deploy makes them so",
                count(total)
            ),
        };
        session.out.line(&line);
        Ok(())
    }
}
