//! `maintenance.enable`.

use clap::Args;

use crate::error::CliError;
use crate::session::Session;

/// Answer visitors with 503 and the maintenance page, at once
///
/// Static files, the readiness check and the exempt addresses of the configuration are served all the same. Nothing is
/// reloaded, and nothing that is under way is disturbed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus maintenance.enable")]
pub struct Enable {}

impl Enable {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        super::set(session, true).await
    }
}
