//! Where the values of a tenant's variables come from, over all of his files: so that none carries a line break into a
//! header, and no request makes nginx build texts without end.
//!
//! nginx decodes a path: `%0d%0a` in it is a line break in `$uri`, in groups, in a user's name, in variables made of
//! them, and in the query where a rule leads a path into that. And it builds a text anew for each `set`, over and over
//! where a path is looked up again, up to ten times a request.

use std::collections::{BTreeMap, BTreeSet};

use crate::nginx::tenant::pattern::Pattern;
use crate::nginx::tenant::rules::{Entry, Key, Map, Rule, Target, Test};
use crate::nginx::tenant::text::{Piece, Text};

/// nginx's own variables that may hold a line break.
const DECODED: [&str; 3] = ["uri", "document_uri", "remote_user"];
/// nginx's own variables that hold the path.
const PATH: [&str; 2] = ["uri", "document_uri"];
/// nginx's own variables that hold the query.
const QUERY: [&str; 2] = ["args", "query_string"];
/// Variables in one text, those counted that its own variables are made of.
const SIZE_MAX: u32 = 16;
/// The same in all texts that are built before a request is answered. Each can be as long as a header, 16 KiB.
const SIZES_MAX: u32 = 200;
/// Variables that are made of each other, one behind the other.
const DEPTH_MAX: usize = 32;
/// Values of variables that are made of themselves.
const GROWING_MAX: usize = 20;
/// Bytes that such a value may add.
const GROWTH_MAX: usize = 64;
/// Characters of a group that may stand in a path more than once.
const SHORT_MAX: u32 = 64;
/// Rewrites without a flag that lead a path on, in one place.
const ONWARD_MAX: usize = 8;
/// Headers with variables in one place.
const HEADERS_MAX: usize = 50;

/// What a variable of the tenant's can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Value {
    /// Whether it can hold a line break.
    breaks: bool,
    /// How many of nginx's variables and groups it is made of.
    size: u32,
    /// How many times the path or the query is in it.
    asked: u32,
}

/// All variables of a tenant.
pub struct Origins<'a> {
    values: BTreeMap<&'a str, Value>,
    /// For each variable, those it is made of, and what these are made of.
    made_of: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// Whether the query can hold a line break.
    query_breaks: bool,
}

/// What the groups in a text are parts of.
#[derive(Debug, Clone, Copy)]
enum Groups<'a> {
    /// A path, or something that is not known.
    Path,
    /// What is escaped, or can hold no line break.
    Clean,
    /// This text.
    Of(&'a Text),
}

impl<'a> Groups<'a> {
    /// Those of a rule that the pattern of an `if` around it was matched for.
    fn matched(text: Option<&'a Text>) -> Self {
        text.map_or(Self::Path, Self::Of)
    }
}

/// A text that a variable is given, and what groups in it are parts of.
type Given<'a> = (&'a str, &'a Text, Groups<'a>);

impl<'a> Origins<'a> {
    /// Follows all values of `rules` and `maps`. With each rule stands what its groups are parts of, where that is known.
    ///
    /// # Errors
    /// When variables are made of each other too many times.
    pub fn of(
        rules: &(impl Iterator<Item = (&'a Rule, Option<&'a Text>)> + Clone),
        maps: &'a [Map],
    ) -> Result<Self, String> {
        let mut given = Vec::new();
        for (rule, matched) in rules.clone() {
            if let Rule::Set { variable, value } = rule {
                given.push((variable.as_str(), value, Groups::matched(matched)));
            }
        }
        for map in maps {
            given.extend(map.entries.iter().map(|entry| {
                let groups = if has_clean_groups(map, entry) {
                    Groups::Clean
                } else {
                    Groups::Path
                };
                (map.variable.as_str(), &entry.value, groups)
            }));
        }
        let mut origins = Self {
            values: BTreeMap::new(),
            made_of: BTreeMap::new(),
            query_breaks: false,
        };
        origins.follow(&given)?;
        // A line break in a variable reaches the query, and by that other variables.
        if rules
            .clone()
            .any(|(rule, _)| origins.leads_into_query(rule))
        {
            origins.query_breaks = true;
            origins.follow(&given)?;
        }
        Ok(origins)
    }

    fn follow(&mut self, given: &[Given<'a>]) -> Result<(), String> {
        for _ in 0..DEPTH_MAX {
            let mut changed = false;
            for (name, text, groups) in given {
                let made_of = self.names(text);
                let mut value = self.value(text, *groups);
                if made_of.contains(name) {
                    // Its own growth is counted by itself.
                    value.size = value.size.saturating_sub(1);
                }
                let known = self.made_of.entry(name).or_default();
                let before = known.len();
                known.extend(made_of);
                changed |= known.len() != before;
                let known = self.values.entry(name).or_default();
                let before = *known;
                known.breaks |= value.breaks;
                known.size = known.size.max(value.size);
                known.asked = known.asked.max(value.asked);
                changed |= *known != before;
            }
            if !changed {
                return Ok(());
            }
        }
        Err(format!(
            "the variables of these files are made of each other more than {DEPTH_MAX} times; write fewer"
        ))
    }

    /// The variables that a text is made of.
    fn names(&self, text: &'a Text) -> BTreeSet<&'a str> {
        let mut names = BTreeSet::new();
        for name in own(text) {
            names.insert(name);
            names.extend(self.made_of.get(name).into_iter().flatten());
        }
        names
    }

    fn value(&self, text: &Text, groups: Groups<'_>) -> Value {
        let mut value = Value::default();
        let mut holds = false;
        for piece in &text.0 {
            let found = match piece {
                Piece::Text(_) => continue,
                Piece::Own(name) => self.values.get(name.as_str()).copied().unwrap_or_default(),
                Piece::Group(_) => Value {
                    breaks: match groups {
                        Groups::Path => true,
                        Groups::Clean => false,
                        Groups::Of(text) => self.value(text, Groups::Path).breaks,
                    },
                    size: 1,
                    asked: 1,
                },
                Piece::Variable(name) => Value {
                    breaks: DECODED.contains(&name.as_str()) || self.query_breaks && is_query(name),
                    size: 1,
                    asked: u32::from(PATH.contains(&name.as_str()) || is_query(name)),
                },
            };
            holds = true;
            value.breaks |= found.breaks;
            value.size = value.size.saturating_add(found.size).min(2 * SIZE_MAX);
            value.asked = value.asked.saturating_add(found.asked).min(2 * SIZE_MAX);
        }
        value.size += u32::from(holds);
        value
    }

    /// Whether a rule leads what may hold a line break into the query: behind its `?`, or as a path that is parted anew.
    fn leads_into_query(&self, rule: &Rule) -> bool {
        match rule {
            Rule::Rewrite { replacement, .. } => {
                let query = behind_question_mark(replacement);
                // Groups are escaped there.
                self.value(&query, Groups::Clean).breaks
            }
            Rule::TryFiles {
                otherwise: Target::Path(text),
                ..
            }
            | Rule::ErrorPage {
                target: Target::Path(text),
                ..
            } => self.value(text, Groups::Path).breaks,
            _ => false,
        }
    }

    /// Refuses a rule that could put a line break into a header. `matched` is what its groups are parts of, where that
    /// is known.
    pub fn check_header(&self, rule: &Rule, matched: Option<&Text>) -> Result<(), String> {
        let groups = Groups::matched(matched);
        match rule {
            Rule::Line { name, words } if name == "add_header" => words
                .iter()
                .try_for_each(|word| self.no_break(word, groups)),
            Rule::Return {
                status: None | Some(301 | 302 | 303 | 307 | 308),
                text: Some(text),
            } => self.no_break(text, groups),
            Rule::ErrorPage {
                target: Target::Path(text),
                ..
            } if !text.beginning().starts_with('/') => self.no_break(text, groups),
            Rule::Rewrite {
                replacement, flag, ..
            } => {
                let redirects = matches!(flag.as_deref(), Some("redirect" | "permanent"))
                    || !replacement.beginning().starts_with('/');
                // nginx escapes the groups of a rewrite that redirects.
                if redirects {
                    self.no_break(replacement, Groups::Clean)
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    fn no_break(&self, text: &Text, groups: Groups<'_>) -> Result<(), String> {
        for piece in &text.0 {
            if !self.value(&Text(vec![piece.clone()]), groups).breaks {
                continue;
            }
            return Err(match piece {
                Piece::Group(number) => format!(
                    "`${number}` can hold a line break, which would begin another header; write `rewrite PATTERN ADDRESS permanent;`, which escapes it"
                ),
                Piece::Own(name) => format!(
                    "`${name}` can hold a line break, for it is made of a path; make it of `$request_uri`, or look it up as in `map $host ${name} {{ ~^www\\.(.+)$ $1; }}`"
                ),
                Piece::Variable(name) if is_query(name) => format!(
                    "`${name}` can hold a line break, for another rule here leads a path into the query; use `$request_uri`"
                ),
                Piece::Variable(name) if name == "remote_user" => format!(
                    "`${name}` can hold a line break, which would begin another header; take it out"
                ),
                Piece::Variable(name) => format!(
                    "`${name}` can hold a line break, which would begin another header; use `$request_uri`"
                ),
                Piece::Text(_) => continue,
            });
        }
        Ok(())
    }

    /// Refuses a rule by which a path, a query or a variable could grow without end.
    pub fn check_growth(&self, rule: &Rule) -> Result<(), String> {
        match rule {
            Rule::Set { variable, value } => {
                if self.is_growing(variable, value) && adds_much(value) {
                    return Err(format!(
                        "adds to `${variable}` what it holds already, which could grow without end; add {GROWTH_MAX} bytes of text at most"
                    ));
                }
                self.bounded(value)
            }
            Rule::Rewrite {
                pattern,
                replacement,
                flag,
            } => {
                if matches!(flag.as_deref(), Some("redirect" | "permanent")) {
                    return Ok(());
                }
                self.looked_up_again(replacement, 1, Some(pattern))?;
                let path = before_question_mark(replacement);
                if flag.is_none()
                    && self.value(&path, Groups::Path).asked > 0
                    && self.foreign(&path)
                {
                    return Err(
                        "goes on with the path and adds a variable to it; add `last`".to_owned(),
                    );
                }
                self.bounded(replacement)
            }
            Rule::TryFiles {
                otherwise: Target::Path(text),
                ..
            }
            | Rule::ErrorPage {
                target: Target::Path(text),
                ..
            } => {
                self.looked_up_again(text, 2, None)?;
                self.bounded(text)
            }
            Rule::Line { words, .. } => words.iter().try_for_each(|word| self.bounded(word)),
            Rule::Return {
                text: Some(text), ..
            } => self.bounded(text),
            _ => Ok(()),
        }
    }

    fn bounded(&self, text: &Text) -> Result<(), String> {
        if self.value(text, Groups::Path).size > SIZE_MAX {
            return Err(format!(
                "it is made of more than {SIZE_MAX} variables, those counted that yours are made of; write fewer"
            ));
        }
        Ok(())
    }

    /// A path that holds the old one twice doubles each time it is looked up. Of the groups of `pattern`, those that
    /// are always short double nothing.
    fn looked_up_again(
        &self,
        text: &Text,
        most: u32,
        pattern: Option<&Pattern>,
    ) -> Result<(), String> {
        let longest = |group| pattern.map_or(u32::MAX, |pattern| pattern.longest(group));
        let mut groups: BTreeMap<u8, u32> = BTreeMap::new();
        let mut names: BTreeMap<&str, u32> = BTreeMap::new();
        let (mut path, mut query) = (0, 0);
        for piece in &text.0 {
            match piece {
                Piece::Group(number) if longest(*number) > SHORT_MAX => {
                    *groups.entry(*number).or_default() += 1;
                }
                Piece::Variable(name) if PATH.contains(&name.as_str()) => path += 1,
                Piece::Variable(name) if QUERY.contains(&name.as_str()) => query += 1,
                Piece::Variable(name) if is_query(name) => {
                    *names.entry(name.as_str()).or_default() += 1;
                }
                Piece::Own(name) => {
                    path += self
                        .values
                        .get(name.as_str())
                        .map_or(0, |value| value.asked);
                }
                Piece::Group(_) | Piece::Variable(_) | Piece::Text(_) => {}
            }
        }
        path += if pattern.is_some_and(|pattern| !pattern.overlaps()) {
            groups.values().copied().max().unwrap_or_default()
        } else {
            groups.values().sum()
        };
        query += names.values().copied().max().unwrap_or_default();
        if path > most || query > 1 {
            return Err(
                "holds the path or the query more than once, which doubles it each time it is looked up; write it once"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Whether a text holds a variable that neither path nor query is in, and that a request can make long.
    fn foreign(&self, text: &Text) -> bool {
        text.0.iter().any(|piece| {
            let value = self.value(&Text(vec![piece.clone()]), Groups::Path);
            value.size > 1 && value.asked == 0
        })
    }

    /// Whether a variable's value is made of that variable.
    pub fn is_growing(&self, variable: &str, value: &Text) -> bool {
        own(value).any(|name| {
            let made_of = self.made_of.get(name);
            name == variable || made_of.is_some_and(|names| names.contains(variable))
        })
    }

    /// How much nginx may have to build for a rule before it knows the answer.
    pub fn cost(&self, rule: &Rule) -> u32 {
        match rule {
            Rule::Set { value, .. } => self.value(value, Groups::Path).size,
            Rule::If { condition, .. } => match &condition.test {
                Test::Equals(text, _) => self.value(text, Groups::Path).size,
                Test::Holds | Test::Matches(..) => 0,
            },
            _ => 0,
        }
    }

    /// The same for a map.
    pub fn cost_of_map(&self, map: &Map) -> u32 {
        let values = map.entries.iter();
        let most = values
            .map(|entry| self.value(&entry.value, Groups::Path).size)
            .max();
        self.value(&map.source, Groups::Path).size + most.unwrap_or_default()
    }

    /// Refuses a map one of whose values is made of too much, or of the map.
    pub fn check_map(&self, map: &Map) -> Result<(), String> {
        for Entry { value, .. } in &map.entries {
            if self.is_growing(&map.variable, value) {
                return Err(format!(
                    "`${}` is made of itself; take it out",
                    map.variable
                ));
            }
            self.bounded(value)?;
        }
        self.bounded(&map.source)
    }
}

/// Keeps count over all rules of an environment.
#[derive(Debug, Default)]
pub struct Sum {
    cost: u32,
    growing: usize,
}

impl Sum {
    /// Adds a cost; refuses the first that is too much.
    pub fn add(&mut self, cost: u32) -> Result<(), String> {
        let before = self.cost;
        self.cost = self.cost.saturating_add(cost);
        if before <= SIZES_MAX && self.cost > SIZES_MAX {
            return Err(format!(
                "is one too many: the texts that nginx builds for a request hold more than {SIZES_MAX} variables in all; write fewer"
            ));
        }
        Ok(())
    }

    /// Adds a value that is made of itself; refuses the first that is too much.
    pub fn grow(&mut self) -> Result<(), String> {
        self.growing += 1;
        if self.growing == GROWING_MAX + 1 {
            return Err(format!(
                "is one too many: more than {GROWING_MAX} values are made of the variable that they are for; write fewer"
            ));
        }
        Ok(())
    }
}

/// Refuses too many rules of a place that each build a text for one request.
pub fn check_place(rules: &[Rule]) -> Result<(), String> {
    let holds = |text: &Text| text.0.iter().any(|piece| !matches!(piece, Piece::Text(_)));
    let is_header = |rule: &&Rule| matches!(rule, Rule::Line { name, words } if name == "add_header" && words.iter().any(holds));
    if rules.iter().filter(is_header).count() > HEADERS_MAX {
        return Err(format!(
            "more than {HEADERS_MAX} `add_header` with variables stand together here; write fewer"
        ));
    }
    if onward(rules) > ONWARD_MAX {
        return Err(format!(
            "more than {ONWARD_MAX} `rewrite` with variables and without a flag stand together here; add `last`"
        ));
    }
    Ok(())
}

fn onward(rules: &[Rule]) -> usize {
    let count = |rule: &Rule| match rule {
        Rule::Rewrite {
            replacement,
            flag: None,
            ..
        } => {
            let holds = |piece: &Piece| !matches!(piece, Piece::Text(_));
            usize::from(replacement.0.iter().any(holds))
        }
        Rule::If { then, .. } => onward(then),
        _ => 0,
    };
    rules.iter().map(count).sum()
}

/// Groups of a pattern of a map are parts of what is looked up, where no other variable is asked for between.
fn has_clean_groups(map: &Map, entry: &Entry) -> bool {
    let is_raw = |text: &Text| {
        text.0.iter().all(|piece| match piece {
            Piece::Text(_) => true,
            Piece::Variable(name) => !DECODED.contains(&name.as_str()) && !is_query(name),
            Piece::Own(_) | Piece::Group(_) => false,
        })
    };
    matches!(entry.key, Key::Pattern(..))
        && is_raw(&map.source)
        && own(&entry.value).next().is_none()
}

/// The variables of the tenant in a text.
pub fn own(text: &Text) -> impl Iterator<Item = &str> {
    text.0.iter().filter_map(|piece| match piece {
        Piece::Own(name) => Some(name.as_str()),
        _ => None,
    })
}

/// Whether a text adds more to the one variable in it than a few characters.
fn adds_much(text: &Text) -> bool {
    let bytes = |piece: &Piece| match piece {
        Piece::Text(text) => text.len(),
        _ => 0,
    };
    let is_variable = |piece: &&Piece| !matches!(piece, Piece::Text(_));
    text.0.iter().map(bytes).sum::<usize>() > GROWTH_MAX
        || text.0.iter().filter(is_variable).count() > 1
}

fn is_query(name: &str) -> bool {
    QUERY.contains(&name) || name.starts_with("arg_")
}

/// What of a text stands before its first `?` that is written out.
fn before_question_mark(text: &Text) -> Text {
    parted(text).0
}

/// What stands behind it.
fn behind_question_mark(text: &Text) -> Text {
    parted(text).1
}

fn parted(text: &Text) -> (Text, Text) {
    let asks = |piece: &Piece| matches!(piece, Piece::Text(text) if text.contains('?'));
    let at = text.0.iter().position(asks).unwrap_or(text.0.len());
    let (before, behind) = text.0.split_at(at);
    (Text(before.to_vec()), Text(behind.to_vec()))
}
