//! `php.options.add`.

use std::collections::HashMap;

use clap::Args;
use stratus_proto::v1::PhpOptionsChange;
use stratus_proto::v1::submit_request::Action;

use crate::Ended;
use crate::error::CliError;
use crate::operate::{self, Run};
use crate::session::Session;

/// Set options of php.ini and apply them by init and switch
///
/// They win over those of the configuration. When the new pool does not come up, they stay as they were.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  stratus php.options.add memory_limit=1G\n  stratus php.options.add memory_limit 1G"
)]
pub struct Add {
    /// NAME=VALUE, as often as you like, or one NAME and its VALUE
    #[arg(required = true, value_name = "NAME=VALUE")]
    options: Vec<String>,
    #[command(flatten)]
    run: Run,
}

impl Add {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<Ended, CliError> {
        let add = read(&self.options)?;
        let known = super::known(session).await?;
        let is_set = |(name, value): (&String, &String)| {
            known
                .iter()
                .any(|k| k.by_command && &k.name == name && &k.value == value)
        };
        if add.iter().all(is_set) {
            super::unchanged(session);
            return Ok(Ended::Done);
        }
        let change = PhpOptionsChange {
            add,
            remove: Vec::new(),
        };
        operate::begin(session, &self.run, Action::PhpOptions(change)).await
    }
}

fn read(words: &[String]) -> Result<HashMap<String, String>, CliError> {
    if let [name, value] = words
        && !name.contains('=')
    {
        return Ok([(name.clone(), value.clone())].into());
    }
    let pair = |word: &String| {
        let (name, value) = word.split_once('=').ok_or_else(|| {
            CliError::usage(format!("{word:?} has no value"))
                .hint("write NAME=VALUE, such as memory_limit=1G")
        })?;
        Ok((name.to_owned(), value.to_owned()))
    };
    words.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn one_pair_or_many_are_read() {
        let pairs = |text| read(&words(text)).unwrap();
        assert_eq!(pairs("memory_limit 1G"), pairs("memory_limit=1G"));
        assert_eq!(pairs("a=1 b=c=d").len(), 2);
        assert_eq!(pairs("a=1 b=c=d")["b"], "c=d");
        assert!(read(&words("a=1 b")).is_err());
        assert!(read(&words("memory_limit")).is_err());
    }
}
