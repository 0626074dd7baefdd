//! `zerodowntime.abort`: drops a prepared pool.

use clap::Args;
use stratus_proto::v1;
use stratus_proto::v1::submit_request::Action;

use crate::Ended;
use crate::error::CliError;
use crate::operate::{self, Run};
use crate::session::Session;

/// Drop the prepared pool; what is live stays live
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus zerodowntime.abort")]
pub struct Abort {
    #[command(flatten)]
    run: Run,
}

impl Abort {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<Ended, CliError> {
        operate::begin(session, &self.run, Action::Abort(v1::Abort {})).await
    }
}
