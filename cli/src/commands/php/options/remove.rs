//! `php.options.remove`.

use std::collections::HashMap;

use clap::Args;
use stratus_proto::v1::submit_request::Action;
use stratus_proto::v1::{PhpOption, PhpOptionsChange};

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
        changeable(&self.names, &known)?;
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

/// Refuses options that no command has set.
fn changeable(names: &[String], known: &[PhpOption]) -> Result<(), CliError> {
    let is_configured = |name: &&String| known.iter().any(|k| !k.by_command && &&k.name == name);
    match names.iter().find(is_configured) {
        None => Ok(()),
        Some(name) => Err(
            CliError::usage(format!("{name} is set in the configuration"))
                .hint("change it there, in `php.ini`, and run environments.apply"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_sets_is_changed_there() {
        let option = |name: &str, by_command| PhpOption {
            name: name.to_owned(),
            value: "1".to_owned(),
            by_command,
        };
        let known = [option("a", false), option("b", true)];
        let error = changeable(&["b".to_owned(), "a".to_owned()], &known).unwrap_err();
        assert!(format!("{error:?}").contains("a is set in the configuration"));
        changeable(&["b".to_owned(), "c".to_owned()], &known).unwrap();
    }
}
