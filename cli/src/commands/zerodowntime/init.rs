//! `zerodowntime.init`: copies the code and starts a pool for it beside the live one.

use clap::Args;
use stratus_proto::v1;
use stratus_proto::v1::submit_request::Action;

use crate::Ended;
use crate::error::CliError;
use crate::operate::{self, Run};
use crate::session::Session;

/// Copy the code as it is now and start a pool for it beside the live one
///
/// Blocks until the new pool is ready. What is live stays live until zerodowntime.switch. A pool that was prepared
/// earlier and never switched to is dropped.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus zerodowntime.init && stratus zerodowntime.switch")]
pub struct Init {
    /// Read everything again and compare hashes after the copy
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    run: Run,
}

impl Init {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<Ended, CliError> {
        let action = Action::Init(v1::Init {
            verify: self.verify,
        });
        operate::begin(session, &self.run, action).await
    }
}
