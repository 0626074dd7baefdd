//! `help`: all commands in groups, or one command in full.

use std::fmt::Write as _;

use clap::Args;

use crate::args;
use crate::error::CliError;
use crate::session::Session;

/// The groups of the overview. Every command that is not hidden is in exactly one.
pub const GROUPS: [(&str, &[&str]); 7] = [
    (
        "Deploy",
        &[
            "deploy",
            "zerodowntime.init",
            "zerodowntime.switch",
            "zerodowntime.rollback",
            "zerodowntime.abort",
            "zerodowntime.status",
            "autoscaling.reinit",
        ],
    ),
    (
        "Operations",
        &[
            "operations.list",
            "operations.show",
            "operations.watch",
            "operations.cancel",
            "operations.resume",
            "operations.resolve",
        ],
    ),
    (
        "Releases",
        &[
            "releases.list",
            "releases.pin",
            "releases.unpin",
            "releases.remove",
        ],
    ),
    (
        "Environments",
        &[
            "status",
            "maintenance.enable",
            "maintenance.disable",
            "database.config",
            "php.options.list",
            "php.options.add",
            "php.options.remove",
            "environments.list",
            "environments.show",
            "environments.diff",
            "environments.apply",
            "nginx.update",
        ],
    ),
    (
        "Caches",
        &[
            "cache.all.clear",
            "cache.opcache.flush",
            "cache.redis.clear",
            "cache.varnish.clear",
            "cache.cloudfront.invalidate",
            "cache.cdn.purge",
        ],
    ),
    (
        "Crons",
        &[
            "crons.list",
            "crons.run",
            "crons.logs",
            "crons.stop",
            "crons.start",
        ],
    ),
    ("This program", &["doctor", "help", "completions", "man"]),
];

/// List the commands, or explain one
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus help zerodowntime.init")]
pub struct Help {
    /// The command to explain
    command: Option<String>,
}

impl Help {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let mut command = args::command();
        let Some(name) = self.command else {
            session.out.raw(&overview(&command));
            return Ok(());
        };
        args::known(&name, &command)?;
        command.build();
        let text = command
            .find_subcommand_mut(&name)
            .map(clap::Command::render_long_help);
        session.out.raw(&text.unwrap_or_default().to_string());
        Ok(())
    }
}

/// The commands in groups, a line each.
pub fn overview(command: &clap::Command) -> String {
    let mut text = String::from(
        "Deploys PHP applications without losing a request.\n\n\
         Usage: stratus [--env NAME] [--server ADDRESS] [--json] [--quiet] COMMAND\n",
    );
    for (title, names) in GROUPS {
        let _ = write!(text, "\n{title}\n");
        for name in names {
            let about = command
                .find_subcommand(name)
                .and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {name:<27} {about}");
        }
    }
    text.push_str(
        "\nOptions of every command\n\
         \x20 --env NAME             The environment; may be left out where there is one [STRATUS_ENV]\n\
         \x20 --server ADDRESS       The server's socket: a path or unix:PATH [STRATUS_SERVER]\n\
         \x20 --reconnect DURATION   How long to wait for a server that went away [STRATUS_RECONNECT]\n\
         \x20 --json                 Print one JSON object instead of text\n\
         \x20 --quiet                Print the result only, no progress\n\
         \x20 --help, --version\n\
         \nExit codes: 0 done, 1 failed, 2 wrong usage, 130 detached by a signal.\n\
         Example: stratus zerodowntime.init && stratus zerodowntime.switch\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_is_in_exactly_one_group() {
        let grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| names.iter().copied())
            .collect();
        let command = args::command();
        let built: BTreeSet<&str> = command
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(grouped.iter().copied().collect::<BTreeSet<_>>(), built);
        assert_eq!(grouped.len(), built.len());
    }
}
