//! What the groups in the block of an `if` are parts of.
//!
//! nginx keeps the groups of the last pattern that matched, whatever it was for: of the `if`, then of a `rewrite` in its
//! block, or of a `map` that is asked for there.

use std::collections::BTreeSet;

use super::origin::own;
use crate::nginx::tenant::rules::{Condition, Key, Map, Rule, Target, Test, Truth};
use crate::nginx::tenant::text::{Piece, Text};

/// What a condition's pattern is matched against, where it must match.
pub fn matched(condition: &Condition) -> Option<&Text> {
    match condition.test {
        Test::Matches(_, _, Truth::Is) => Some(&condition.variable),
        Test::Matches(_, _, Truth::IsNot) | Test::Holds | Test::Equals(..) => None,
    }
}

/// Whether other groups may be in force in a rule, and behind it, than before.
pub fn are_replaced(rule: &Rule, maps: &[Map]) -> bool {
    match rule {
        Rule::Set { value: text, .. }
        | Rule::Return {
            text: Some(text), ..
        } => asks_patterns(text, maps),
        Rule::Return { text: None, .. } => false,
        _ => true,
    }
}

/// Refuses a group beside a variable that replaces the groups while the text is built: nginx measures the pieces first and
/// writes them then, and one that has grown in between is written past the end.
pub fn check_alone(rule: &Rule, maps: &[Map]) -> Result<(), String> {
    let words = match rule {
        Rule::Set { value: text, .. }
        | Rule::Rewrite {
            replacement: text, ..
        }
        | Rule::Return {
            text: Some(text), ..
        }
        | Rule::TryFiles {
            otherwise: Target::Path(text),
            ..
        }
        | Rule::ErrorPage {
            target: Target::Path(text),
            ..
        } => return check_text(text, maps),
        Rule::Line { words, .. } => words,
        Rule::If { condition, .. } => match &condition.test {
            Test::Equals(text, _) => return check_text(text, maps),
            Test::Holds | Test::Matches(..) => return Ok(()),
        },
        _ => return Ok(()),
    };
    words.iter().try_for_each(|word| check_text(word, maps))
}

/// The same for the values of a map.
pub fn check_map_alone(map: &Map, maps: &[Map]) -> Result<(), String> {
    let mut values = map.entries.iter().map(|entry| &entry.value);
    values.try_for_each(|value| check_text(value, maps))
}

fn check_text(text: &Text, maps: &[Map]) -> Result<(), String> {
    let has_group = text.0.iter().any(|piece| matches!(piece, Piece::Group(_)));
    if has_group && asks_patterns(text, maps) {
        return Err(
            "holds a group beside a variable whose `map` has patterns, which replaces the groups; `set` a variable to the group first, or use `$request_uri`"
                .to_owned(),
        );
    }
    Ok(())
}

/// Whether a text leads to a map with patterns, be it by other maps.
fn asks_patterns(text: &Text, maps: &[Map]) -> bool {
    let mut asked: BTreeSet<&str> = BTreeSet::new();
    let mut next: Vec<&str> = own(text).collect();
    while let Some(name) = next.pop() {
        if !asked.insert(name) {
            continue;
        }
        for map in maps.iter().filter(|map| map.variable == name) {
            let is_pattern = |key: &Key| matches!(key, Key::Pattern(..));
            if map.entries.iter().any(|entry| is_pattern(&entry.key)) {
                return true;
            }
            next.extend(own(&map.source));
            next.extend(map.entries.iter().flat_map(|entry| own(&entry.value)));
        }
    }
    false
}
