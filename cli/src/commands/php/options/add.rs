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
    #[arg(
        required = true,
        value_name = "NAME=VALUE",
        allow_negative_numbers = true
    )]
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
        let pair = not_empty(name, value)?;
        return Ok([pair].into());
    }
    let pair = |word: &String| {
        let (name, value) = word.split_once('=').ok_or_else(|| {
            CliError::usage(format!("{word:?} has no value"))
                .hint("write NAME=VALUE, such as memory_limit=1G")
        })?;
        not_empty(name, value)
    };
    words.iter().map(pair).collect()
}

/// A value that is lost on the way, in a script or to a shell, shows as none.
fn not_empty(name: &str, value: &str) -> Result<(String, String), CliError> {
    if value.is_empty() {
        return Err(CliError::usage(format!("{name:?} has an empty value"))
            .hint("write a value; php.options.remove takes an option back"));
    }
    Ok((name.to_owned(), value.to_owned()))
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
        for empty in ["memory_limit=", "memory_limit ", "a=1 b="] {
            let error = read(&words(empty)).unwrap_err();
            let error = format!("{error:?}");
            assert!(error.contains("empty value"), "{empty}: {error}");
        }
    }

    #[test]
    fn a_value_may_be_negative() {
        let words = ["stratus", "php.options.add", "memory_limit", "-1"];
        let found = crate::args::command().try_get_matches_from(words);
        assert!(found.is_ok(), "{found:?}");
    }
}
