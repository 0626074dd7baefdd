//! `php.options.remove`.

use std::collections::HashMap;

use clap::Args;
use stratus_proto::v1::PhpOptionsChange;
use stratus_proto::v1::submit_request::Action;

use crate::Ended;
use crate::error::CliError;
use crate::operate::{self, Run};
use crate::session::Session;

/// Take back options that php.options.add has set, and apply that by init and switch
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus php.options.remove memory_limit")]
pub struct Remove {
    /// The options
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    run: Run,
}

impl Remove {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<Ended, CliError> {
        let known = super::known(session).await?;
        let is_set = |name: &String| known.iter().any(|k| k.by_command && &k.name == name);
        if !self.names.iter().any(is_set) {
            super::unchanged(session);
            return Ok(Ended::Done);
        }
        let change = PhpOptionsChange {
            add: HashMap::new(),
            remove: self.names,
        };
        operate::begin(session, &self.run, Action::PhpOptions(change)).await
    }
}
