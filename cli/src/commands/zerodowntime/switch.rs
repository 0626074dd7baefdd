//! `zerodowntime.switch`: moves all traffic to the prepared pool.

use clap::Args;
use stratus_proto::v1;
use stratus_proto::v1::submit_request::Action;

use crate::Ended;
use crate::error::CliError;
use crate::operate::{self, Run};
use crate::session::Session;

/// Move all traffic to the prepared pool at one instant
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus zerodowntime.switch")]
pub struct Switch {
    #[command(flatten)]
    run: Run,
}

impl Switch {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<Ended, CliError> {
        operate::begin(session, &self.run, Action::Switch(v1::Switch {})).await
    }
}
