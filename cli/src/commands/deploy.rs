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
#[command(
    after_help = "Example:\n  stratus deploy\n  stratus deploy --mode consistent\n  stratus deploy --from https://git.example.test/shop.git#v1.2"
)]
pub struct Deploy {
    /// How traffic moves
    #[arg(long, value_enum, default_value_t = Mode::BlueGreen)]
    mode: Mode,
    /// Make the release from there, not from the working tree, which is left alone
    ///
    /// A folder or an archive (tar, plain or packed with gzip or zstd, or zip) on the server's host, the http(s) address of an
    /// archive, or a git repository with #REFERENCE: a branch, a tag or a commit id. Shared folders stay those of the working
    /// tree. In an environment's shell a path is inside its tree and relative to it.
    #[arg(long, value_name = "SOURCE")]
    from: Option<String>,
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
        if mode == v1::Mode::Rolling && !session.globals.quiet && !session.globals.json {
            session
                .out
                .note("both releases serve while members are replaced one by one");
        }
        let action = Action::Deploy(v1::Deploy {
            verify: self.verify,
            mode: mode.into(),
            from: self.from.unwrap_or_default(),
        });
        operate::begin(session, &self.run, action).await
    }
}
