//! `autoscaling.reinit`: a new pool with the code as it is now, in one command.

use clap::Args;
use stratus_proto::v1;
use stratus_proto::v1::submit_request::Action;

use crate::Ended;
use crate::error::CliError;
use crate::operate::{self, Run};
use crate::session::Session;

/// Copy the code as it is now and switch to it, in one operation
///
/// The same as zerodowntime.init and zerodowntime.switch, whatever the autoscaling toggle says. Blocks until the new pool
/// serves and the old one is drained; old and new code are never mixed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus autoscaling.reinit")]
pub struct Reinit {
    /// Read everything again and compare hashes after the copy
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    run: Run,
}

impl Reinit {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<Ended, CliError> {
        let action = Action::Reinit(v1::Reinit {
            verify: self.verify,
        });
        operate::begin(session, &self.run, action).await
    }
}
