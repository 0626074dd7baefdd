//! The command line: the options of every command, and how its words become a command or a usage failure.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser};

use crate::address::{self, Address};
use crate::commands::{Command, help};
use crate::error::CliError;
use crate::output::Out;
use crate::{argv, names};

/// Deploys PHP applications without losing a request.
#[derive(Debug, Parser)]
#[command(
    name = "stratus",
    bin_name = "stratus",
    version,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

// A doc comment here would replace that of `Cli`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Globals {
    /// The environment; may be left out where there is one
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "STRATUS_ENV",
        default_value = ""
    )]
    #[arg(hide_default_value = true, hide_env_values = true)]
    pub env: String,
    /// The server's socket: a path or unix:PATH
    #[arg(long, global = true, value_name = "ADDRESS", env = "STRATUS_SERVER")]
    #[arg(default_value = address::DEFAULT, hide_env_values = true)]
    pub server: Address,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Print the result only, no progress
    #[arg(long, global = true)]
    pub quiet: bool,
    /// How long to wait for a server that went away during an operation
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "STRATUS_RECONNECT"
    )]
    #[arg(default_value = "5m", value_parser = humantime::parse_duration, hide_env_values = true)]
    pub reconnect: Duration,
}

/// The whole command line as clap sees it, with its grouped help.
pub fn command() -> clap::Command {
    let plain = Cli::command();
    let text = help::overview(&plain);
    plain.override_help(text)
}

/// Takes a variable that is set and empty, as scripts leave it behind, for one that is not set.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| match arg.get_env() {
            Some(name) if is_empty(name) => arg.env(Resettable::Reset),
            _ => arg,
        })
        .mut_subcommands(without_empty_variables)
}

/// Parses normalised words; `None` where they asked for a help text or the version, which has been printed.
pub fn parse(words: &[OsString], out: &mut Out) -> Result<Option<Cli>, CliError> {
    let command = without_empty_variables(command());
    if let Some(name) = argv::command(words) {
        known(name, &command)?;
    }
    let words = std::iter::once(&OsString::from("stratus"))
        .chain(words)
        .cloned()
        .collect::<Vec<_>>();
    match command
        .try_get_matches_from(words)
        .and_then(|matches| Cli::from_arg_matches(&matches))
    {
        Ok(cli) => Ok(Some(cli)),
        Err(shown)
            if matches!(
                shown.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            out.raw(&shown.render().to_string());
            Ok(None)
        }
        Err(refused) => Err(usage(&refused)),
    }
}

/// Refuses a command that does not exist, or not yet.
pub fn known(name: &str, command: &clap::Command) -> Result<(), CliError> {
    if names::NOT_BUILT.contains(&name) {
        return Err(CliError::not_built(name));
    }
    let mut all = command.get_subcommands().map(clap::Command::get_name);
    if all.any(|known| known == name) {
        return Ok(());
    }
    let offered = command.get_subcommands().filter(|c| !c.is_hide_set());
    let offered = offered.map(clap::Command::get_name);
    Err(CliError::unknown_command(
        name,
        names::nearest(name, offered.chain(names::NOT_BUILT)),
    ))
}

/// clap's refusal as one line: what is wrong, without its tips and its usage.
fn usage(refused: &clap::Error) -> CliError {
    if matches!(
        refused.kind(),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        return CliError::usage("no command was given").hint("run stratus help");
    }
    let text = refused.render().to_string();
    let lines = text.lines().map(str::trim);
    let message = lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty() && !line.starts_with("tip:"))
        .collect::<Vec<_>>()
        .join(" ");
    let message = message
        .strip_prefix("error: ")
        .unwrap_or(&message)
        .to_owned();
    let error = CliError::usage(message);
    let suggestion = refused
        .context()
        .find_map(|(kind, value)| match (kind, value) {
            (ContextKind::SuggestedArg, ContextValue::String(name)) => Some(name.clone()),
            _ => None,
        });
    match suggestion {
        Some(name) => error.hint(format!("did you mean {name}?")),
        None => error.hint("add --help to see how it is used"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn a_command_is_either_built_or_not() {
        for built in command().get_subcommands() {
            assert!(
                !names::NOT_BUILT.contains(&built.get_name()),
                "{}",
                built.get_name()
            );
        }
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_an_example() {
        for built in command().get_subcommands() {
            assert!(built.get_about().is_some(), "{}", built.get_name());
            let after = built
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let example = format!("stratus {}", built.get_name());
            assert!(
                after.starts_with("Example") && after.contains(&example),
                "{}",
                built.get_name()
            );
        }
    }
}
