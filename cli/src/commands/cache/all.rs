//! `cache.all.clear`: every cache, inner before outer, with one report.

use clap::Args;
use stratus_proto::v1::CacheKind;

use crate::error::CliError;
use crate::session::Session;

/// Clear every cache, inner before outer; never sessions
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus cache.all.clear")]
pub struct Clear {}

impl Clear {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        super::whole(session, CacheKind::All, "cache").await
    }
}
