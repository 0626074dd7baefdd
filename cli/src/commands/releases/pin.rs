//! `releases.pin`: keeps a release on disk.

use clap::Args;
use stratus_proto::v1::PinRequest;

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::units::short;
use crate::session::Session;

/// Keep a release on disk whatever its age
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus releases.pin 1f0c9a")]
pub struct Pin {
    /// The release: at least its first six digits
    release: String,
}

impl Pin {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = PinRequest {
            environment: session.environment(),
            release: self.release,
        };
        let client = session.connect().await?;
        let release = answer(ANSWER_LIMIT, client.releases().pin(request)).await?;
        if session.globals.json {
            session.out.json(&release);
        } else {
            session.out.line(&format!(
                "release {} is pinned and stays on disk",
                short(&release.release)
            ));
        }
        Ok(())
    }
}
