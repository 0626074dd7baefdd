//! Makes the words of the command line harmless: scripts leave `;` and spaces behind a command, or pass a command and
//! its options as one word.

use std::ffi::OsString;

/// Options that are followed by a value, which is left as it is.
const WITH_VALUE: [&str; 3] = ["--env", "--server", "--reconnect"];

/// Splits the words up to the command at spaces and drops `;` and spaces at the end of each word.
///
/// Shape: `["zerodowntime.init --verify ;"]` becomes `["zerodowntime.init", "--verify"]`.
pub fn normalise(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut result = Vec::new();
    let mut value_follows = false;
    let mut command_seen = false;
    for word in words {
        let Some(text) = word.to_str().filter(|_| !value_follows) else {
            value_follows = false;
            result.push(word);
            continue;
        };
        let text = text
            .trim_start()
            .trim_end_matches(|c: char| c == ';' || c.is_whitespace());
        let whole = command_seen || (text.starts_with("--") && text.contains('='));
        let parts: Vec<&str> = if whole {
            vec![text]
        } else {
            text.split_whitespace().collect()
        };
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            if value_follows {
                value_follows = false;
            } else if WITH_VALUE.contains(&part) {
                value_follows = true;
            } else if !part.starts_with('-') {
                command_seen = true;
            }
            result.push(part.into());
        }
    }
    result
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
    fn the_value_of_an_option_is_left_as_it_is() {
        check(
            &["--server", "/run/my dir/s;", "status"],
            &["--server", "/run/my dir/s;", "status"],
        );
        check(
            &["--server=/run/my dir/s", "status"],
            &["--server=/run/my dir/s", "status"],
        );
        check(&["status", "--env", ""], &["status", "--env", ""]);
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
