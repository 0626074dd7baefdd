//! From files to rules: which directives stand where, and everything that is wrong with them at once.
//!
//! What one directive's words mean is read in `read/values.rs`, `read/flow.rs`, `read/paths.rs` and `read/map.rs`; what
//! all of them may do together in `read/origin.rs` and `read/groups.rs`.

mod flow;
mod groups;
mod map;
mod origin;
mod paths;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use stratus_core::tenant::Refusal;

use self::origin::{Origins, Sum};
use super::allowed::{Allowed, Context, Times, find, refusal};
use super::passwords;
use super::rules::{Location, Map, Place, Rule, Rules, Target};
use super::text::{Names, Text, definition};
use crate::nginx::config::parse::{Limits, Node, parse};
use crate::nginx::place::Places;

/// Directives of all files of an environment.
pub const DIRECTIVES_MAX: usize = 5000;
/// Locations of an environment.
pub const LOCATIONS_MAX: usize = 200;
/// Locations with patterns: each is tried for each request.
pub const PATTERNS_MAX: usize = 50;
/// Refusals that are kept: nobody mends more at once.
const REFUSALS_MAX: usize = 100;
const LIMITS: Limits = Limits {
    directives: DIRECTIVES_MAX,
    depth: 3,
    words: 100,
    word_bytes: 3072,
};

/// Which of the two folders a file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `http_level`.
    Http,
    /// `server_level`.
    Server,
}

/// A file of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path in the working tree. Shape: `.nginx/server_level/shop.conf`.
    pub name: String,
    /// Its folder.
    pub level: Level,
    /// What it holds.
    pub text: String,
}

/// What the rules are read against.
pub struct Desk<'a> {
    /// Where things of the site are.
    pub places: &'a Places,
    /// The path of the readiness check, which the site answers itself.
    pub health: Option<&'a str>,
    /// Largest request body of the site, in bytes.
    pub upload_limit: u64,
    /// Reads a password file, by its path as the tenant writes it.
    pub passwords: &'a dyn Fn(&str) -> Result<String, String>,
}

/// Reads all files of an environment; answers the rules and how many directives there were.
pub fn read(sources: &[Source], desk: &Desk<'_>) -> Result<(Rules, u32), Vec<Refusal>> {
    let mut reader = Reader::new(desk);
    let mut parsed = Vec::new();
    for source in sources {
        reader.file = &source.name;
        match parse(source.text.trim_start_matches('\u{feff}'), LIMITS) {
            Ok(nodes) => parsed.push((source, nodes)),
            Err(error) => reader.refuse(error.line, "", error.rule),
        }
    }
    let directives: usize = parsed.iter().map(|(_, nodes)| count(nodes)).sum();
    if directives > DIRECTIVES_MAX {
        let all =
            format!("all files together hold more than {DIRECTIVES_MAX} directives; write fewer");
        reader.refuse(0, "", all);
    }
    for (_, nodes) in &parsed {
        reader.define(nodes);
    }
    for (level, context) in [
        (Level::Http, Context::Http),
        (Level::Server, Context::Server),
    ] {
        let mut seen = Seen::default();
        let mut rules = Vec::new();
        for (source, nodes) in parsed.iter().filter(|(source, _)| source.level == level) {
            reader.file = &source.name;
            rules.extend(reader.rules(nodes, context, context, &mut seen));
        }
        if let Err(why) = origin::check_place(&rules) {
            reader.refuse(0, "", why);
        }
        reader.site(rules);
    }
    reader.check_names();
    reader.check_texts();
    reader.done(u32::try_from(directives).unwrap_or(u32::MAX))
}

fn count(nodes: &[Node]) -> usize {
    let inside = nodes.iter().filter_map(|node| node.block.as_deref());
    nodes.len() + inside.map(count).sum::<usize>()
}

/// Directives that may stand once, and where they stood.
type Seen = BTreeMap<&'static str, String>;

/// A directive that is read.
struct Given<'a> {
    /// Its words, without its name.
    words: &'a [String],
    /// Where it stands, an `if` left out.
    scope: Context,
    names: &'a Names,
    desk: &'a Desk<'a>,
}

/// What is looked at again when all variables are known.
enum Told {
    /// A rule, and what the groups in it are parts of, where that is known.
    Rule(Rule, Option<Text>),
    /// A map, by its place among all.
    Map(usize),
}

struct Reader<'a> {
    desk: &'a Desk<'a>,
    /// The file that is read.
    file: &'a str,
    names: Names,
    rules: Rules,
    /// Locations by what makes them the same to nginx.
    places: BTreeSet<Place>,
    /// Named locations that rules lead to, and where they do.
    wanted: Vec<(String, Refusal)>,
    /// What the pattern of the `if` around was matched against, as long as its groups are in force.
    matched: Option<Text>,
    /// Rules and where they stand, and the names of maps.
    told: Vec<(Told, Refusal)>,
    refusals: Vec<Refusal>,
}

impl<'a> Reader<'a> {
    fn new(desk: &'a Desk<'a>) -> Self {
        Self {
            desk,
            file: "",
            names: Names::default(),
            rules: Rules::default(),
            places: BTreeSet::new(),
            wanted: Vec::new(),
            matched: None,
            told: Vec::new(),
            refusals: Vec::new(),
        }
    }

    fn refuse(&mut self, line: u32, directive: &str, why: impl Into<String>) {
        if self.refusals.len() < REFUSALS_MAX {
            let refusal = self.refusal(line, directive, why);
            self.refusals.push(refusal);
        }
    }

    fn refusal(&self, line: u32, directive: &str, why: impl Into<String>) -> Refusal {
        Refusal {
            file: self.file.to_owned(),
            line,
            directive: directive.to_owned(),
            why: why.into(),
        }
    }

    /// Learns the names that `set` and `map` define: they may be used before.
    fn define(&mut self, nodes: &[Node]) {
        for node in nodes {
            let defined = match node.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["set", name, _] | ["map", _, name] => definition(name).ok(),
                _ => None,
            };
            self.names.0.extend(defined);
            self.define(node.block.as_deref().unwrap_or_default());
        }
    }

    /// Reads what stands in one place. Maps and locations go where they belong; the rest is returned.
    fn rules(
        &mut self,
        nodes: &[Node],
        context: Context,
        scope: Context,
        seen: &mut Seen,
    ) -> Vec<Rule> {
        let mut rules = Vec::new();
        for node in nodes {
            let name = node.words[0].as_str();
            let Some(allowed) = self.allowed(node, context) else {
                continue;
            };
            if allowed.times == Times::Once {
                let here = format!("{}:{}", self.file, node.line);
                if let Some(first) = seen.get(allowed.name) {
                    let why = format!("stands in {first} already; take one of the two out");
                    self.refuse(node.line, name, why);
                    continue;
                }
                seen.insert(allowed.name, here);
            }
            match self.directive(node, scope) {
                Ok(rule) => rules.extend(rule),
                Err(why) => self.refuse(node.line, name, why),
            }
        }
        rules
    }

    /// The entry of a directive that may stand here; a refusal where there is none.
    fn allowed(&mut self, node: &Node, context: Context) -> Option<&'static Allowed> {
        let name = node.words[0].as_str();
        let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        let Some(allowed) = find(name) else {
            self.refuse(
                node.line,
                &shown,
                format!("is not allowed: {}", refusal(name)),
            );
            return None;
        };
        if allowed.contexts.contains(&context) {
            return Some(allowed);
        }
        let places: Vec<String> = allowed.contexts.iter().map(Context::to_string).collect();
        let why = format!(
            "is not allowed in {context}; it may stand in {}",
            places.join(", ")
        );
        self.refuse(node.line, &shown, why);
        None
    }

    fn directive(&mut self, node: &Node, scope: Context) -> Result<Option<Rule>, String> {
        let name = node.words[0].as_str();
        let words = &node.words[1..];
        let takes_block = matches!(name, "location" | "map" | "if" | "limit_except");
        let given = Given {
            words,
            scope,
            names: &self.names,
            desk: self.desk,
        };
        let rule = match (&node.block, takes_block) {
            (Some(_), false) => return Err("takes no block; end it with `;`".to_owned()),
            (None, true) => return Err("needs a block; write `{ … }` behind it".to_owned()),
            (Some(block), true) => return self.block(node, block, scope),
            (None, false) => match name {
                "set" => flow::set(&given)?,
                "return" => flow::answer(&given)?,
                "rewrite" => flow::rewrite(&given)?,
                "error_page" => paths::error_page(&given)?,
                "try_files" => paths::try_files(&given)?,
                "auth_basic_user_file" => self.passwords(words)?,
                _ => values::line(name, &given)?,
            },
        };
        if let Rule::ErrorPage {
            target: Target::Named(to),
            ..
        }
        | Rule::TryFiles {
            otherwise: Target::Named(to),
            ..
        } = &rule
        {
            let why = format!("leads to `@{to}`, which is no location in these files; add it");
            self.wanted
                .push((to.clone(), self.refusal(node.line, name, why)));
        }
        if groups::are_replaced(&rule, &self.rules.maps) {
            self.matched = None;
        }
        self.tell(Told::Rule(rule.clone(), self.matched.clone()), node);
        Ok(Some(rule))
    }

    fn block(
        &mut self,
        node: &Node,
        block: &[Node],
        scope: Context,
    ) -> Result<Option<Rule>, String> {
        let given = Given {
            words: &node.words[1..],
            scope,
            names: &self.names,
            desk: self.desk,
        };
        let mut seen = Seen::default();
        match node.words[0].as_str() {
            "if" => {
                let condition = flow::condition(&given)?;
                let bare = Rule::If {
                    condition: condition.clone(),
                    then: Vec::new(),
                };
                self.tell(Told::Rule(bare, None), node);
                self.matched = groups::matched(&condition).cloned();
                let then = self.rules(block, Context::If, scope, &mut seen);
                self.matched = None;
                Ok(Some(Rule::If { condition, then }))
            }
            "limit_except" => {
                let methods = values::methods(&given)?;
                let rules = self.rules(block, Context::LimitExcept, scope, &mut seen);
                if !values::is_deny_all(&rules) {
                    return Err("takes `deny all;` and nothing else: whom it let in would come past the rest of the location".to_owned());
                }
                Ok(Some(Rule::LimitExcept { methods, rules }))
            }
            "map" => {
                let map = map::read(&given, block)?;
                self.map(map)?;
                self.tell(Told::Map(self.rules.maps.len() - 1), node);
                Ok(None)
            }
            _ => {
                let place = paths::place(&given)?;
                self.location(place, block)?;
                Ok(None)
            }
        }
    }

    fn map(&mut self, map: Map) -> Result<(), String> {
        if self
            .rules
            .maps
            .iter()
            .any(|other| other.variable == map.variable)
        {
            return Err(format!(
                "maps `${}` a second time; choose another name",
                map.variable
            ));
        }
        self.rules.maps.push(map);
        Ok(())
    }

    fn location(&mut self, place: Place, block: &[Node]) -> Result<(), String> {
        // To nginx, a prefix is the same with and without `^~`.
        let key = match &place {
            Place::First(path) => Place::Prefix(path.clone()),
            place => place.clone(),
        };
        if !self.places.insert(key) {
            return Err(
                "this location is there already; put the rules into the other one".to_owned(),
            );
        }
        if self.places.len() > LOCATIONS_MAX {
            return Err(format!("more than {LOCATIONS_MAX} locations; write fewer"));
        }
        let patterns = self
            .places
            .iter()
            .filter(|place| matches!(place, Place::Pattern(..)));
        if patterns.count() > PATTERNS_MAX {
            return Err(format!(
                "more than {PATTERNS_MAX} locations with patterns; write fewer"
            ));
        }
        let context = match place {
            Place::Named(_) => Context::Named,
            _ => Context::Location,
        };
        let rules = self.rules(block, context, context, &mut Seen::default());
        paths::check_location(&place, &rules)?;
        origin::check_place(&rules)?;
        self.rules.locations.push(Location { place, rules });
        Ok(())
    }

    fn passwords(&mut self, words: &[String]) -> Result<Rule, String> {
        let [path] = words else {
            return Err("takes one file; write `auth_basic_user_file FILE;`".to_owned());
        };
        let text = (self.desk.passwords)(path).map_err(|why| format!("{path:?}: {why}"))?;
        passwords::check(&text).map_err(|why| format!("{path:?}: {why}"))?;
        let name = passwords::name(&text);
        self.rules.passwords.insert(name.clone(), text);
        Ok(Rule::Passwords(name))
    }

    /// Adds what one level says of the whole site. The server level is inside the http level: what it says of
    /// something hides what that says of it, as nginx does it.
    fn site(&mut self, inner: Vec<Rule>) {
        let hidden = |outer: &Rule| inner.iter().any(|rule| rule.family() == outer.family());
        self.rules.server.retain(|outer| !hidden(outer));
        self.rules.server.extend(inner);
    }

    fn check_names(&mut self) {
        for (name, refusal) in std::mem::take(&mut self.wanted) {
            let there =
                |location: &Location| matches!(&location.place, Place::Named(n) if *n == name);
            if !self.rules.locations.iter().any(there) {
                self.refusals.push(refusal);
            }
        }
    }

    fn tell(&mut self, told: Told, node: &Node) {
        let here = self.refusal(node.line, &node.words[0], "");
        self.told.push((told, here));
    }

    /// Looks at all texts again: a variable may be defined behind its use.
    fn check_texts(&mut self) {
        let told = std::mem::take(&mut self.told);
        let rules = told.iter().filter_map(|(told, _)| match told {
            Told::Rule(rule, matched) => Some((rule, matched.as_ref())),
            Told::Map(_) => None,
        });
        let origins = match Origins::of(&rules, &self.rules.maps) {
            Ok(origins) => origins,
            Err(why) => return self.refuse(0, "", why),
        };
        let mut sum = Sum::default();
        let mut found = Vec::new();
        for (told, here) in &told {
            let checked = match told {
                Told::Rule(rule, matched) => origins
                    .check_header(rule, matched.as_ref())
                    .and_then(|()| groups::check_alone(rule, &self.rules.maps))
                    .and_then(|()| origins.check_growth(rule))
                    .and_then(|()| sum.add(origins.cost(rule)))
                    .and_then(|()| match rule {
                        Rule::Set { variable, value } if origins.is_growing(variable, value) => {
                            sum.grow()
                        }
                        _ => Ok(()),
                    }),
                Told::Map(index) => {
                    let map = &self.rules.maps[*index];
                    origins
                        .check_map(map)
                        .and_then(|()| groups::check_map_alone(map, &self.rules.maps))
                        .and_then(|()| sum.add(origins.cost_of_map(map)))
                }
            };
            if let Err(why) = checked {
                found.push(Refusal {
                    why,
                    ..here.clone()
                });
            }
        }
        let room = REFUSALS_MAX.saturating_sub(self.refusals.len());
        self.refusals.extend(found.into_iter().take(room));
    }

    fn done(self, directives: u32) -> Result<(Rules, u32), Vec<Refusal>> {
        if self.refusals.is_empty() {
            Ok((self.rules, directives))
        } else {
            Err(self.refusals)
        }
    }
}

/// A word as a refusal shows it.
fn shown(word: &str) -> String {
    let short: String = word.chars().take(80).flat_map(char::escape_debug).collect();
    format!("\"{short}\"")
}

#[cfg(test)]
mod tests;
