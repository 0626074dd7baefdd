//! `maintenance.disable`.

use clap::Args;

use crate::error::CliError;
use crate::session::Session;

/// Open the site to visitors again, at once
///
/// Without maintenance it does nothing.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus maintenance.disable")]
pub struct Disable {}

impl Disable {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        super::set(session, false).await
    }
}
