//! Walks the nodes of a document: asks for keys by name, and notes what is wrong instead of stopping at it.

use std::cell::RefCell;
use std::collections::HashMap;

use stratus_core::environment::Setting;

use super::document::{Entry, Kind, Node};
use super::error::Problem;
use super::{Variables, secret};

/// Longest piece of the operator's text that a message repeats, in characters.
const SHOWN_MAX: usize = 80;

/// Everything found so far.
#[derive(Default)]
pub(super) struct Report(RefCell<Vec<Problem>>);

impl Report {
    /// Notes one more.
    pub(super) fn add(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    /// All of them, in the order of the file.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.0.into_inner();
        problems.sort_by_key(|p| (p.line, p.column));
        problems.dedup();
        problems
    }
}

/// A node, the path that leads to it, and where to report.
#[derive(Clone)]
pub(super) struct Value<'a> {
    node: &'a Node,
    key: String,
    place: (u64, u64),
    report: &'a Report,
}

impl<'a> Value<'a> {
    /// The document.
    pub(super) fn root(node: &'a Node, report: &'a Report) -> Self {
        Self {
            node,
            key: String::new(),
            place: (node.line, node.column),
            report,
        }
    }

    /// Notes that something is wrong here.
    pub(super) fn fault(&self, message: impl Into<String>) {
        self.report.add(Problem {
            line: self.place.0,
            column: self.place.1,
            key: self.key.clone(),
            message: message.into(),
        });
    }

    /// The line it stands on.
    pub(super) fn line(&self) -> u64 {
        self.place.0
    }

    /// Whether nothing was written.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.node.kind, Kind::Null)
    }

    /// Whether it is a group of keys.
    pub(super) fn is_group(&self) -> bool {
        matches!(self.node.kind, Kind::Map(_))
    }

    /// Whether it is a list.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.kind, Kind::List(_))
    }

    /// Any single value, empty text included.
    pub(super) fn scalar(&self) -> Option<&'a str> {
        let text = match &self.node.kind {
            Kind::Scalar(text) => text,
            Kind::Null => {
                self.fault("has no value; write one, or remove the key");
                return None;
            }
            Kind::List(_) | Kind::Map(_) => {
                self.fault("is a list or a group of keys; write a single value");
                return None;
            }
        };
        if text.chars().any(char::is_control) {
            self.fault("holds a control character or a line break; write it on one line");
            return None;
        }
        Some(text)
    }

    /// A single value that is not empty and asks for no secret.
    pub(super) fn text(&self) -> Option<&'a str> {
        let text = self.scalar()?;
        if text.is_empty() {
            self.fault("is empty; write a value, or remove the key");
            return None;
        }
        if text.contains("${") {
            self.fault("`${…}` is read for secrets only; write the value itself");
            return None;
        }
        Some(text)
    }

    /// A single value that may name a secret.
    pub(super) fn secret(&self, variables: Variables<'_>) -> Option<Setting> {
        let text = self.scalar()?;
        if text.is_empty() {
            self.fault("is empty; write a value, or remove the key");
            return None;
        }
        let resolved = secret::resolve(text, variables);
        resolved.map_err(|message| self.fault(message)).ok()
    }

    /// A value that `parse` understands.
    pub(super) fn parse<T>(&self, parse: impl FnOnce(&'a str) -> Result<T, String>) -> Option<T> {
        let text = self.text()?;
        parse(text).map_err(|message| self.fault(message)).ok()
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Option<Vec<Value<'a>>> {
        let Kind::List(items) = &self.node.kind else {
            self.fault("is not a list; write it as [one, two]");
            return None;
        };
        let items = items.iter().enumerate().map(|(index, node)| Value {
            node,
            key: format!("{}[{index}]", self.key),
            place: (node.line, node.column),
            report: self.report,
        });
        Some(items.collect())
    }

    /// A group of keys that the operator chooses, each once. The place of a value is its key's.
    pub(super) fn entries(&self) -> Option<Vec<(&'a str, Value<'a>)>> {
        let Kind::Map(entries) = &self.node.kind else {
            self.fault("is not a group of keys; write `key: value` lines under it");
            return None;
        };
        let mut seen: HashMap<&str, u64> = HashMap::new();
        let mut values = Vec::with_capacity(entries.len());
        for entry in entries {
            let value = self.below(entry, (entry.line, entry.column));
            if let Some(line) = seen.get(entry.key.as_str()) {
                value.fault(format!(
                    "is already given in line {line}; keep one of the two"
                ));
                continue;
            }
            seen.insert(&entry.key, entry.line);
            values.push((entry.key.as_str(), value));
        }
        Some(values)
    }

    /// A group of the `known` keys. Those `planned` are errors that say so.
    pub(super) fn section(
        &self,
        known: &[&'static str],
        planned: &[&'static str],
    ) -> Option<Section<'a>> {
        let entries = self.entries()?;
        let (mut values, mut early) = (HashMap::new(), Vec::new());
        for (key, value) in entries {
            if known.contains(&key) {
                values.insert(key, value.at_value());
            } else if planned.contains(&key) {
                value.fault("is not built yet; remove it");
                early.push(key);
            } else {
                value.fault(unknown(key, known));
            }
        }
        Some(Section {
            value: self.clone(),
            values,
            early,
        })
    }

    fn below(&self, entry: &'a Entry, place: (u64, u64)) -> Self {
        let name = shown(&entry.key);
        let key = if self.key.is_empty() {
            name
        } else {
            format!("{}.{name}", self.key)
        };
        Self {
            node: &entry.value,
            key,
            place,
            report: self.report,
        }
    }

    fn at_value(self) -> Self {
        Self {
            place: (self.node.line, self.node.column),
            ..self
        }
    }
}

/// A group of known keys.
pub(super) struct Section<'a> {
    value: Value<'a>,
    values: HashMap<&'a str, Value<'a>>,
    early: Vec<&'a str>,
}

impl<'a> Section<'a> {
    /// The value of `key`, where it was given.
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        self.values.get(key).cloned()
    }

    /// Whether `key`, which is not built yet, was given.
    pub(super) fn is_early(&self, key: &str) -> bool {
        self.early.contains(&key)
    }

    /// The value of `key`; its absence is a problem that `advice` solves.
    pub(super) fn need(&self, key: &str, advice: &str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            self.value
                .fault(format!("`{key}` is missing; add `{key}: {advice}`"));
        }
        value
    }

    /// The parsed value of `key`, or `default` where it was not given (or is wrong, which is noted).
    pub(super) fn or<T>(
        &self,
        key: &str,
        default: T,
        parse: impl FnOnce(&'a str) -> Result<T, String>,
    ) -> T {
        self.get(key)
            .and_then(|value| value.parse(parse))
            .unwrap_or(default)
    }

    /// Notes that something is wrong with the group as a whole.
    pub(super) fn fault(&self, message: impl Into<String>) {
        self.value.fault(message);
    }
}

fn unknown(key: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(key, name), name))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((distance, name)) if distance <= 1 + key.chars().count() / 3 => {
            format!("unknown key; did you mean `{name}`?")
        }
        _ => format!("unknown key; the keys here are {}", known.join(", ")),
    }
}

/// The operator's text, safe and short enough for a message.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.escape_debug().to_string()
}
