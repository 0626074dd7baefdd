//! What the groups in the block of an `if` are parts of.
//!
//! nginx keeps the groups of the last pattern that matched, whatever it was for: of the `if`, then of a `rewrite` in its
//! block, or of a `map` that is asked for there.

use std::collections::BTreeSet;

use super::origin::own;
use crate::nginx::tenant::rules::{Condition, Key, Map, Rule, Test, Truth};
use crate::nginx::tenant::text::Text;

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
