//! `environments.apply`: makes the server read its configuration again.

use clap::Args;
use stratus_proto::v1::ApplyRequest;

use crate::client::{SLOW_ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::session::Session;

/// Read the configuration again, check it and make what changed take effect
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus environments.apply --dry-run")]
pub struct Apply {
    /// Only check, and say what would change
    #[arg(long)]
    dry_run: bool,
}

impl Apply {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let client = session.connect().await?;
        let request = ApplyRequest {
            dry_run: self.dry_run,
        };
        let reply = answer(SLOW_ANSWER_LIMIT, client.environments().apply(request)).await?;
        if session.globals.json {
            session.out.json(&reply);
            return Ok(());
        }
        for change in &reply.changes {
            let (name, what) = (&change.environment, &change.change);
            let effect = match change.effect.as_str() {
                "" => String::new(),
                effect if self.dry_run => format!(", would take effect {effect}"),
                effect => format!(", takes effect {effect}"),
            };
            session.out.line(&format!("{name}: {what}{effect}"));
        }
        if reply.changes.is_empty() {
            session.out.line("nothing changed");
        } else if self.dry_run {
            session.out.line("nothing has been done");
        }
        Ok(())
    }
}
