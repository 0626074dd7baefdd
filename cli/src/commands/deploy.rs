//! `deploy`: a whole deployment in one command.

use clap::{Args, ValueEnum};
use stratus_proto::v1;
use stratus_proto::v1::submit_request::Action;

use crate::Ended;
use crate::error::CliError;
use crate::operate::{self, Run};
use crate::session::Session;

/// Deploy the code as it is now: hooks, a new pool, the switch, and a look at the site
///
/// Runs the hooks of the configuration, prepares a pool as zerodowntime.init does, moves traffic to it as
/// zerodowntime.switch does, and then looks at the site through nginx. Until that look succeeds everything is undone when
/// something fails, traffic included.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus deploy\n  stratus deploy --mode consistent")]
pub struct Deploy {
    /// How traffic moves
    #[arg(long, value_enum, default_value_t = Mode::BlueGreen)]
    mode: Mode,
    /// Read everything again and compare hashes after the copy
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// At one instant, while the old pool finishes what it has
    BlueGreen,
    /// The same, and no old code runs beside the hooks: requests wait meanwhile
    Consistent,
    /// Member by member, each ready before it takes an old one's place: both releases serve meanwhile
    Rolling,
}

impl Deploy {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<Ended, CliError> {
        let mode = match self.mode {
            Mode::BlueGreen => v1::Mode::BlueGreen,
            Mode::Consistent => v1::Mode::Consistent,
            Mode::Rolling => v1::Mode::Rolling,
        };
        let action = Action::Deploy(v1::Deploy {
            verify: self.verify,
            mode: mode.into(),
        });
        operate::begin(session, &self.run, action).await
    }
}
