//! `zerodowntime.rollback`: moves all traffic back to the previous generation.

use clap::Args;
use stratus_proto::v1;
use stratus_proto::v1::submit_request::Action;

use crate::Ended;
use crate::error::CliError;
use crate::operate::{self, Run};
use crate::session::Session;

/// Move all traffic back to the previous generation
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus zerodowntime.rollback --env shop")]
pub struct Rollback {
    #[command(flatten)]
    run: Run,
}

impl Rollback {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<Ended, CliError> {
        operate::begin(session, &self.run, Action::Rollback(v1::Rollback {})).await
    }
}
