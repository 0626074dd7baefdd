//! YAML to a tree of nodes that know where they stand. The only file that reads YAML with a library.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, NonFiniteFloatPolicy, Spanned};

use super::error::Problem;

/// Deepest nesting.
const DEPTH_MAX: usize = 32;
/// Most values, counted after aliases are followed.
const NODES_MAX: usize = 10_000;

/// A value and its place.
pub(super) struct Node {
    /// Counted from 1.
    pub(super) line: u64,
    /// Counted from 1.
    pub(super) column: u64,
    /// What is there.
    pub(super) kind: Kind,
}

/// What a node is.
pub(super) enum Kind {
    /// Nothing, or `~`.
    Null,
    /// A plain or quoted value, as it was written: `1.10` stays `1.10`.
    Scalar(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in order, keys not checked for duplicates.
    Map(Vec<Entry>),
}

/// A key and its value.
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// Of the key.
    pub(super) line: u64,
    /// Of the key.
    pub(super) column: u64,
    /// The value.
    pub(super) value: Node,
}

/// Reads one document.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let options = serde_saphyr::options! {
        // Duplicates are found in `Section`, where their keys have a path.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        reject_unsupported_tags: true,
        emit_comments: false,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, max_nodes: NODES_MAX },
    };
    serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options)
        .map(|raw| node(raw, text))
        .map_err(|error| problem(&error))
}

fn problem(error: &serde_saphyr::Error) -> Problem {
    use serde_saphyr::Error;
    let place = error.without_snippet().location();
    let message = match below_aliases(error) {
        Error::Budget { .. } => format!(
            "is nested deeper than {DEPTH_MAX} levels or holds more than {NODES_MAX} values; make it smaller, and see what its aliases repeat"
        ),
        Error::MultipleDocuments { .. } => {
            "a second document begins here; put everything into one".to_owned()
        }
        Error::NullIntoString { .. } => "a key has no name; give it one".to_owned(),
        other => {
            let text = other.to_string();
            // The library repeats the place at the end of its sentence.
            let text = text.split(" at line ").next().unwrap_or_default();
            format!("is not valid YAML: {text}")
        }
    };
    Problem {
        line: place.map_or(1, |p| p.line()),
        column: place.map_or(1, |p| p.column()),
        key: String::new(),
        message,
    }
}

/// The error itself, without the aliases that led to it.
fn below_aliases(error: &serde_saphyr::Error) -> &serde_saphyr::Error {
    match error.without_snippet() {
        serde_saphyr::Error::AliasError { error, .. } => below_aliases(error),
        other => other,
    }
}

fn node(raw: Spanned<Raw>, text: &str) -> Node {
    let kind = match raw.value {
        Raw::Null => Kind::Null,
        Raw::Text(value) => Kind::Scalar(value),
        Raw::Typed(value) => Kind::Scalar(written(&raw.defined, text).unwrap_or(value)),
        Raw::List(items) => Kind::List(items.into_iter().map(|item| node(item, text)).collect()),
        Raw::Map(entries) => Kind::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    line: key.referenced.line(),
                    column: key.referenced.column(),
                    key: key.value,
                    value: node(value, text),
                })
                .collect(),
        ),
    };
    Node {
        line: raw.referenced.line(),
        column: raw.referenced.column(),
        kind,
    }
}

/// The source text of a plain scalar that looks like a number or a truth value.
fn written(place: &serde_saphyr::Location, text: &str) -> Option<String> {
    let start = usize::try_from(place.span().byte_offset()?).ok()?;
    let length = usize::try_from(place.span().byte_len()?).ok()?;
    text.get(start..start.checked_add(length)?)
        .filter(|slice| !slice.is_empty())
        .map(str::to_owned)
}

enum Raw {
    Null,
    Text(String),
    Typed(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}
