//! Makes the words of the command line harmless: scripts leave `;` and spaces behind a command, or pass a command and
//! its options as one word.

use std::ffi::OsString;

/// Options that are followed by a value.
const WITH_VALUE: [&str; 3] = ["--env", "--server", "--reconnect"];
/// The one of them whose value is left as it is: a path may end in anything.
const PATH: &str = "--server";
/// Commands with an argument NAME=VALUE, or NAME and VALUE: a value may be empty, or end in `;`.
const WITH_VALUES: [&str; 1] = ["php.options.add"];

/// Splits what a tool passed as one word, and drops `;` and spaces at the end of each word; of NAME=VALUE only those that are
/// certainly stray.
///
/// Shape: `["zerodowntime.init --verify ;"]` becomes `["zerodowntime.init", "--verify"]`.
pub fn normalise(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut reader = Reader::default();
    for word in words {
        match word.to_str() {
            Some(text) => reader.word(text),
            None => reader.push(word),
        }
    }
    reader.words
}

/// Where in the command line we are.
#[derive(Default)]
struct Reader {
    words: Vec<OsString>,
    /// The option whose value comes next.
    awaits: Option<&'static str>,
    command: Option<String>,
}

impl Reader {
    fn word(&mut self, text: &str) {
        let word = trimmed(text.trim_start());
        let is_assigned = word.starts_with("--") && word.contains('=');
        let is_group = match self.command {
            None => !is_assigned,
            Some(_) => word.starts_with("--") && word.contains(char::is_whitespace) && !is_assigned,
        };
        if self.awaits.is_some() {
            self.part(text);
        } else if is_group {
            word.split_whitespace().for_each(|part| self.part(part));
        } else if self.takes_values() && word.contains('=') && !word.starts_with('-') {
            self.push(assignment(text.trim_start()).into());
        } else if self.takes_values() && text.is_empty() {
            self.push(OsString::new());
        } else {
            self.part(word);
        }
    }

    /// A word that is not split any more.
    fn part(&mut self, text: &str) {
        if let Some(option) = self.awaits {
            let value = if option == PATH { text } else { trimmed(text) };
            return self.push(value.into());
        }
        let part = trimmed(text);
        if part.is_empty() {
            return;
        }
        self.push(part.into());
        self.awaits = WITH_VALUE.into_iter().find(|option| *option == part);
        if self.command.is_none() && !part.starts_with('-') {
            self.command = Some(part.to_owned());
        }
    }

    fn push(&mut self, word: OsString) {
        self.awaits = None;
        self.words.push(word);
    }

    fn takes_values(&self) -> bool {
        let command = self.command.as_deref();
        command.is_some_and(|command| WITH_VALUES.contains(&command))
    }
}

/// Without `;` and spaces at its end.
fn trimmed(text: &str) -> &str {
    text.trim_end_matches(|c: char| c == ';' || c.is_whitespace())
}

/// NAME=VALUE: `;` behind a letter, a digit or a space is stray, as spaces are; another may be the value.
fn assignment(text: &str) -> &str {
    let word = trimmed(text);
    let text = text.trim_end();
    let is_stray = word.ends_with(char::is_alphanumeric)
        || text[word.len()..].starts_with(char::is_whitespace);
    if is_stray { word } else { text }
}

/// The command among normalised words, if there is one.
pub fn command(words: &[OsString]) -> Option<&str> {
    let mut value_follows = false;
    for word in words {
        let word = word.to_str()?;
        if value_follows {
            value_follows = false;
        } else if WITH_VALUE.contains(&word) {
            value_follows = true;
        } else if !word.starts_with('-') {
            return Some(word);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: &[&str]) {
        let result = normalise(words.iter().map(OsString::from));
        assert_eq!(
            result,
            expected.iter().map(OsString::from).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_trailing_semicolon_or_space_is_harmless() {
        check(&["zerodowntime.switch;"], &["zerodowntime.switch"]);
        check(&["zerodowntime.switch", ";"], &["zerodowntime.switch"]);
        check(&["zerodowntime.switch "], &["zerodowntime.switch"]);
        check(
            &["zerodowntime.init", "--verify; "],
            &["zerodowntime.init", "--verify"],
        );
        check(&["status", ""], &["status"]);
    }

    #[test]
    fn a_command_with_its_options_in_one_word_is_split() {
        check(
            &["zerodowntime.init  --verify ;"],
            &["zerodowntime.init", "--verify"],
        );
        check(&["--env shop status"], &["--env", "shop", "status"]);
    }

    #[test]
    fn a_group_of_options_behind_the_command_is_split() {
        check(
            &["zerodowntime.init", "--verify --quiet ;"],
            &["zerodowntime.init", "--verify", "--quiet"],
        );
        check(&["crons.stop", "--for 2h"], &["crons.stop", "--for", "2h"]);
        check(
            &["status", "--env shop; --json"],
            &["status", "--env", "shop", "--json"],
        );
        check(
            &["cache.varnish.clear", "--url=/a b"],
            &["cache.varnish.clear", "--url=/a b"],
        );
        check(&["crons.run", "two words"], &["crons.run", "two words"]);
    }

    #[test]
    fn the_path_of_the_server_is_left_as_it_is_and_a_stray_end_of_other_values_is_dropped() {
        check(
            &["--server", "/run/my dir/s;", "status"],
            &["--server", "/run/my dir/s;", "status"],
        );
        check(
            &["--server=/run/my dir/s", "status"],
            &["--server=/run/my dir/s", "status"],
        );
        check(&["status", "--env", ""], &["status", "--env", ""]);
        check(&["status", "--env", "shop;"], &["status", "--env", "shop"]);
        check(
            &["--reconnect", "5m; ", "status"],
            &["--reconnect", "5m", "status"],
        );
        check(&["--env shop; status"], &["--env", "shop", "status"]);
    }

    #[test]
    fn what_an_argument_says_is_left_as_it_is() {
        let add = "php.options.add";
        for option in [
            "arg_separator.input=;",
            "arg_separator.input=&;",
            "auto_prepend_file=",
            "error_prepend_string=--",
        ] {
            check(&[add, option], &[add, option]);
        }
        check(&[add, "memory_limit=1G; "], &[add, "memory_limit=1G"]);
        check(&[add, "memory_limit=1G", ";"], &[add, "memory_limit=1G"]);
        check(
            &[add, "auto_prepend_file", ""],
            &[add, "auto_prepend_file", ""],
        );
        check(&[add, "save_path=/x/ ;"], &[add, "save_path=/x/"]);
        check(&["status", "--json", ""], &["status", "--json"]);
        // Elsewhere an address may hold a `=`: it is no assignment.
        for (command, word) in [
            ("deploy", "https://h.test/x.tgz?sig=ab=="),
            ("cache.varnish.clear", "https://a.test/?p=/x/"),
        ] {
            check(&[command, &format!("{word};")], &[command, word]);
        }
    }

    #[test]
    fn the_command_is_found_behind_options() {
        let words = normalise(
            ["--env", "shop", "--json", "status"]
                .iter()
                .map(OsString::from),
        );
        assert_eq!(command(&words), Some("status"));
        assert_eq!(command(&[]), None);
    }
}
