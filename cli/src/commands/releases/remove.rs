//! `releases.remove`: removes a release that nothing uses.

use clap::Args;
use stratus_proto::v1::RemoveRelease;
use stratus_proto::v1::submit_request::Action;

use crate::Ended;
use crate::error::CliError;
use crate::operate::{self, Run};
use crate::session::Session;

/// Remove a release that no pool uses and that is not pinned
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus releases.remove 1f0c9a")]
pub struct Remove {
    /// The release: at least its first six digits
    release: String,
    #[command(flatten)]
    run: Run,
}

impl Remove {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<Ended, CliError> {
        let action = Action::RemoveRelease(RemoveRelease {
            release: self.release,
        });
        operate::begin(session, &self.run, action).await
    }
}
