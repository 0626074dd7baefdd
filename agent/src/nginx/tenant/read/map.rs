//! `map`: a variable that is looked up in a table.

use super::{Given, shown};
use crate::nginx::config::parse::Node;
use crate::nginx::tenant::pattern::{Case, Pattern};
use crate::nginx::tenant::rules::{Entry, Key, Map};
use crate::nginx::tenant::text::{Text, definition};

/// Longest key, in bytes: nginx's table has room for no longer one.
const KEY_MAX: usize = 256;
/// Entries of one map, for the same reason.
const ENTRIES_MAX: usize = 2000;
/// Keys of one map that are patterns: each is tried until one matches.
const PATTERNS_MAX: usize = 100;

pub fn read(given: &Given<'_>, block: &[Node]) -> Result<Map, String> {
    let [source, variable] = given.words else {
        return Err("takes a source and a variable; write `map $uri $name { … }`".to_owned());
    };
    if block.len() > ENTRIES_MAX {
        return Err(format!("has more than {ENTRIES_MAX} entries; write fewer"));
    }
    let mut map = Map {
        variable: definition(variable)?,
        source: Text::parse(source, given.names)?,
        hostnames: false,
        entries: Vec::new(),
    };
    let mut keys = std::collections::BTreeSet::new();
    for node in block {
        let refuse = |why: String| format!("line {}: {why}", node.line);
        if node.block.is_some() {
            return Err(refuse("an entry has no block; end it with `;`".to_owned()));
        }
        let words: Vec<&str> = node.words.iter().map(String::as_str).collect();
        match words[..] {
            ["hostnames"] => map.hostnames = true,
            ["include", ..] => {
                return Err(refuse(
                    "`include` is not allowed; write the entries here".to_owned(),
                ));
            }
            [word, value] => {
                // nginx compares texts without regard to case.
                let same = if word.starts_with('~') {
                    word.to_owned()
                } else {
                    word.to_ascii_lowercase()
                };
                if !keys.insert(same) {
                    return Err(refuse(format!(
                        "{} is there twice; take one out",
                        shown(word)
                    )));
                }
                let key = key(word).map_err(refuse)?;
                let value = Text::parse(value, given.names).map_err(refuse)?;
                map.entries.push(Entry { key, value });
            }
            _ => {
                return Err(refuse(
                    "an entry is a key and a value; quote what has spaces".to_owned(),
                ));
            }
        }
    }
    let patterns = map
        .entries
        .iter()
        .filter(|entry| matches!(entry.key, Key::Pattern(..)));
    if patterns.count() > PATTERNS_MAX {
        return Err(format!(
            "has more than {PATTERNS_MAX} patterns; write fewer"
        ));
    }
    Ok(map)
}

fn key(word: &str) -> Result<Key, String> {
    if let Some(expression) = word.strip_prefix("~*") {
        return Ok(Key::Pattern(Pattern::parse(expression)?, Case::Ignored));
    }
    if let Some(expression) = word.strip_prefix('~') {
        return Ok(Key::Pattern(Pattern::parse(expression)?, Case::Sensitive));
    }
    if word == "default" {
        return Ok(Key::Default);
    }
    let text = word.strip_prefix('\\').unwrap_or(word);
    if text.len() > KEY_MAX || text.contains('$') || text.chars().any(char::is_control) {
        return Err(format!(
            "the key {} is longer than {KEY_MAX} bytes or holds a `$`; write another",
            shown(word)
        ));
    }
    Ok(Key::Text(text.to_owned()))
}
