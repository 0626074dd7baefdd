//! `releases.unpin`: lets a release age again.

use clap::Args;
use stratus_proto::v1::PinRequest;

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::units::short;
use crate::session::Session;

/// Let a pinned release be removed when it is old
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus releases.unpin 1f0c9a")]
pub struct Unpin {
    /// The release: at least its first six digits
    release: String,
}

impl Unpin {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = PinRequest {
            environment: session.environment(),
            release: self.release,
        };
        let client = session.connect().await?;
        let release = answer(ANSWER_LIMIT, client.releases().unpin(request)).await?;
        if session.globals.json {
            session.out.json(&release);
        } else {
            session.out.line(&format!(
                "release {} is no longer pinned",
                short(&release.release)
            ));
        }
        Ok(())
    }
}
