//! `commands-doc`: the text of `docs/commands.md`, made from the command line itself so that it cannot be wrong.

use std::fmt::Write as _;

use clap::{Arg, Args};

use super::help::GROUPS;
use crate::args;
use crate::session::Session;

/// Print docs/commands.md
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus commands-doc > docs/commands.md")]
pub struct CommandsDoc {}

/// Runs the command.
pub fn run(session: &mut Session<'_>) {
    session.out.raw(&text());
}

/// The whole page.
fn text() -> String {
    let mut command = args::command();
    command.build();
    let mut text = String::from(
        "# Commands\n\n\
         Made by `stratus commands-doc > docs/commands.md`; change the program, not this file.\n\n\
         ## Options of every command\n\n",
    );
    for option in command.get_arguments().filter(|o| o.is_global_set()) {
        entry(&mut text, option);
    }
    text.push_str("\nExit codes: 0 done, 1 failed, 2 wrong usage, 130 detached by a signal.\n");
    for (title, names) in GROUPS {
        let _ = write!(text, "\n## {title}\n");
        for name in names {
            if let Some(found) = command.find_subcommand(name) {
                section(&mut text, found);
            }
        }
    }
    text
}

fn section(text: &mut String, command: &clap::Command) {
    let shown = |styled: Option<&clap::builder::StyledStr>| {
        styled.map(ToString::to_string).unwrap_or_default()
    };
    let about = shown(command.get_long_about().or(command.get_about()));
    let _ = write!(
        text,
        "\n### {}\n\n{}\n\n",
        command.get_name(),
        sentence(&about)
    );
    let mut any = false;
    let own = |option: &&Arg| !option.is_global_set() && !option.is_hide_set();
    for option in command.get_arguments().filter(own) {
        if option.get_id() != "help" {
            entry(text, option);
            any = true;
        }
    }
    if any {
        text.push('\n');
    }
    for line in shown(command.get_after_help()).lines() {
        match line.strip_prefix("  ") {
            Some(example) => {
                let _ = writeln!(text, "    {example}");
            }
            None => {
                let _ = write!(text, "{line}\n\n");
            }
        }
    }
}

fn entry(text: &mut String, option: &Arg) {
    let takes_value = option.get_action().takes_values();
    let values = option.get_value_names().unwrap_or_default();
    let value = values
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ");
    let name = match option.get_long() {
        Some(long) if takes_value => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
        None => value,
    };
    let help = option.get_long_help().or(option.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "- `{name}`: {}", help.replace('\n', " "));
    text.push_str(&possible(option));
    let defaults = option.get_default_values().iter();
    let default = defaults
        .filter_map(|value| value.to_str())
        .collect::<Vec<_>>()
        .join(" ");
    if takes_value && !default.is_empty() && !option.is_hide_default_value_set() {
        let _ = write!(text, " [default: `{default}`]");
    }
    if let Some(variable) = option.get_env().and_then(|name| name.to_str()) {
        let _ = write!(text, " [`{variable}`]");
    }
    text.push('\n');
}

/// The words that an option takes, where only some are known, each with what it means.
fn possible(option: &Arg) -> String {
    let values = option.get_possible_values();
    let shown = values.iter().filter(|value| !value.is_hide_set());
    let words: Vec<String> = shown
        .map(|value| match value.get_help() {
            Some(help) => format!("`{}` ({help})", value.get_name()),
            None => format!("`{}`", value.get_name()),
        })
        .collect();
    if words.is_empty() || !option.get_action().takes_values() {
        return String::new();
    }
    format!("; one of {}", words.join(", "))
}

/// clap's convention leaves the full stop out.
fn sentence(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with('.') {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_in_docs_is_current() {
        let page = include_str!("../../../docs/commands.md");
        assert!(
            page == super::text(),
            "docs/commands.md is not current; run stratus commands-doc > docs/commands.md"
        );
    }
}
