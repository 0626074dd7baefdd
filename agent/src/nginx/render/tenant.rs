//! A tenant's rules, put into the text so that they cannot undo what the site's own rules protect.
//!
//! ```text
//! http_level, server_level     the head of the site's server; maps before it, under names of the environment's own
//! location /                   into the site's own
//! location /media              into the shared folder's own; locations below it, and patterns too, inside that
//! location ^~, ~, ~*           with scripts, source and hidden files treated inside as they are outside
//! location = /x.php            runs the script, behind the gate that closes a site
//! location below `deny`        left out
//! location @name               @tenant_name, ends with 404
//! ```
//!
//! What was accepted may meet a site that has changed since: a smaller `upload_limit`, another `deny`. So nothing here
//! relies on what was checked when the rules were read.

use stratus_core::route::Site;

use super::{closed, front, is_behind, parts};
use crate::layout::Layout;
use crate::nginx::config::{Arg, Directive, Unprintable};
use crate::nginx::guard;
use crate::nginx::place::Places;
use crate::nginx::tenant::{
    Becomes, Candidate, Case, Condition, Key, Location, Map, Pattern, Place, Rule, Rules, Target,
    Test, Text, Truth, own,
};

/// Words that mean something as a key of `map`.
const MAP_WORDS: [&str; 4] = ["default", "hostnames", "include", "volatile"];

/// A site and the rules of its tenant.
pub(super) struct Tenant<'a> {
    pub(super) site: &'a Site,
    pub(super) places: &'a Places,
    pub(super) layout: &'a Layout,
    pub(super) rules: &'a Rules,
    /// How many requests may run PHP, or wait for it, at once.
    pub(super) waiting: u32,
}

type Printed<T> = Result<T, Unprintable>;

impl Tenant<'_> {
    /// The tables of his variables.
    pub(super) fn maps(&self) -> Printed<Vec<Directive>> {
        self.rules.maps.iter().map(|map| self.map(map)).collect()
    }

    /// What holds for the whole site.
    pub(super) fn server(&self) -> Printed<Vec<Directive>> {
        let rules = &self.rules.server;
        let mut block = Vec::new();
        if !has(rules, "index") {
            block.push(Directive::words("index", &["index.php", "index.html"]));
        }
        if !has(rules, "client_max_body_size") {
            let limit = Arg::number(self.site.upload_limit);
            block.push(Directive::line("client_max_body_size", [limit]));
        }
        block.extend(self.directives(rules)?);
        Ok(block)
    }

    /// His locations of the release that have a path or a name, less `/`.
    pub(super) fn locations(&self) -> Printed<Vec<Directive>> {
        let mut all = Vec::new();
        for Location { place, rules } in &self.rules.locations {
            match place {
                Place::Named(name) => {
                    let mut block = self.directives(rules)?;
                    // What no rule led elsewhere would be opened as a file, past all patterns.
                    block.extend(parts::not_found());
                    all.push(location(None, named(name)?, block));
                }
                Place::Pattern(..) => {}
                Place::Exact(path) | Place::Prefix(path) | Place::First(path)
                    if path == "/" && !matches!(place, Place::Exact(_))
                        || self.site.health.as_ref() == Some(path)
                        || self.places.is_shared(path)
                        || self.places.is_denied(path) => {}
                Place::Exact(path) if guard::is_php(path) => {
                    let block = self.script(rules)?;
                    all.push(location(Some("="), Arg::text(path)?, block));
                }
                Place::Exact(path) if guard::is_source(path) => {}
                Place::Exact(path) => {
                    all.push(location(Some("="), Arg::text(path)?, self.open(rules)?));
                }
                Place::Prefix(path) => {
                    all.push(location(None, Arg::text(path)?, self.open(rules)?));
                }
                Place::First(path) => {
                    let mut block = self.open(rules)?;
                    block.extend(parts::hidden());
                    block.extend(self.scripts(rules)?);
                    all.push(location(Some("^~"), Arg::text(path)?, block));
                }
            }
        }
        Ok(all)
    }

    /// His locations of the release that are patterns. Hidden files are refused before them.
    pub(super) fn patterns(&self) -> Printed<Vec<Directive>> {
        self.each_pattern(|rules| {
            let mut block = self.open(rules)?;
            block.extend(self.scripts(rules)?);
            Ok(block)
        })
    }

    /// The rest of a site: `own`, unless he says something else of `/`.
    pub(super) fn rest(&self, own: Directive) -> Printed<Vec<Directive>> {
        let rules = self.rules_of(|place| matches!(place, Place::Prefix(path) if path == "/"));
        let mut block = Vec::new();
        if !has(rules, "try_files") {
            block.push(own);
        }
        block.extend(self.open(rules)?);
        Ok(block)
    }

    /// What he says of a shared folder as a whole; `own`, unless he says what is looked for.
    pub(super) fn of_shared(&self, shared: &str, own: Directive) -> Printed<Vec<Directive>> {
        let rules = self.rules_of_shared(shared);
        let mut block = Vec::new();
        if !has(rules, "try_files") {
            block.push(own);
        }
        block.extend(self.directives(rules)?);
        Ok(block)
    }

    fn rules_of_shared(&self, shared: &str) -> &[Rule] {
        self.rules_of(|place| {
            let (Place::Prefix(path) | Place::First(path)) = place else {
                return false;
            };
            path.strip_suffix('/').unwrap_or(path) == shared
        })
    }

    /// His locations inside a shared folder. Hidden files and source are refused before them.
    pub(super) fn in_shared(&self, shared: &str) -> Printed<Vec<Directive>> {
        let private = self.private(self.rules_of_shared(shared));
        let inside = |rules: &[Rule]| Ok([private.clone(), self.directives(rules)?].concat());
        let mut all = self.each_pattern(inside)?;
        for Location { place, rules } in &self.rules.locations {
            let Some(path) = place.path().filter(|path| self.is_in(path, shared)) else {
                continue;
            };
            let mut block = inside(rules)?;
            let kind = match place {
                Place::Exact(_) if guard::is_source(path) => continue,
                Place::Exact(_) => Some("="),
                Place::First(_) => {
                    block.extend(parts::hidden());
                    block.push(parts::source());
                    Some("^~")
                }
                _ => None,
            };
            all.push(location(kind, Arg::text(path)?, block));
        }
        Ok(all)
    }

    /// The pages for failures that he gave the whole site, less that for what is missing: `previous` comes first there.
    pub(super) fn failures(&self) -> Printed<Vec<Directive>> {
        self.error_pages(&self.rules.server, 404)
    }

    /// The pages for failures of `rules`, less those for `but`.
    fn error_pages(&self, rules: &[Rule], but: u16) -> Printed<Vec<Directive>> {
        let mut pages = Vec::new();
        for rule in rules {
            if let Rule::ErrorPage {
                codes,
                becomes,
                target,
            } = rule
            {
                let codes: Vec<u16> = codes.iter().copied().filter(|code| *code != but).collect();
                if !codes.is_empty() {
                    pages.push(self.error_page(&codes, *becomes, target)?);
                }
            }
        }
        Ok(pages)
    }

    fn is_in(&self, path: &str, shared: &str) -> bool {
        let itself = path.strip_suffix('/').unwrap_or(path) == shared;
        !itself && self.places.sharing(path) == Some(shared) && !self.places.is_denied(path)
    }

    fn rules_of(&self, wanted: impl Fn(&Place) -> bool) -> &[Rule] {
        let mut locations = self.rules.locations.iter();
        let found = locations.find(|location| wanted(&location.place));
        found.map_or(&[], |location| &location.rules)
    }

    fn each_pattern(
        &self,
        block: impl Fn(&[Rule]) -> Printed<Vec<Directive>>,
    ) -> Printed<Vec<Directive>> {
        let mut all = Vec::new();
        for Location { place, rules } in &self.rules.locations {
            if let Place::Pattern(pattern, case) = place {
                let kind = match case {
                    Case::Sensitive => "~",
                    Case::Ignored => "~*",
                };
                all.push(location(
                    Some(kind),
                    Arg::expression(pattern)?,
                    block(rules)?,
                ));
            }
        }
        Ok(all)
    }

    /// Rules of a location of the release: what is missing in it may be in `previous`.
    fn open(&self, rules: &[Rule]) -> Printed<Vec<Directive>> {
        let mut block = self.directives(rules)?;
        let handles =
            |rule: &Rule| matches!(rule, Rule::ErrorPage { codes, .. } if codes.contains(&404));
        if !has(rules, "error_page") {
            block.extend(self.failures()?);
        }
        if !rules.iter().any(handles) {
            block.push(parts::previous_instead());
        }
        Ok(block)
    }

    /// Runs a script by `rules`, where the site is not closed. The gate's page comes first: of two for one status nginx
    /// takes the first.
    pub(super) fn script(&self, rules: &[Rule]) -> Printed<Vec<Directive>> {
        let mut block = closed::gate().to_vec();
        block.push(closed::bound(self.waiting));
        block.extend(self.directives(rules)?);
        if !has(rules, "error_page") {
            block.extend(self.error_pages(&self.rules.server, 503)?);
        }
        block.extend(parts::script(self.site, self.places)?);
        Ok(block)
    }

    /// Scripts and source inside a location that is found before the site's own patterns.
    fn scripts(&self, rules: &[Rule]) -> Printed<[Directive; 2]> {
        let mut repeated = rules.to_vec();
        // What nginx hands down needs no repetition; but the gate's page hides all others of outside.
        repeated.retain(|rule| match rule {
            Rule::TryFiles { .. } => false,
            Rule::ErrorPage { .. } => true,
            rule => !rule.is_inherited(),
        });
        // nginx hands down who is let in, but not that it was asked.
        let mut block = if repeated.iter().any(Rule::narrows_readers) {
            Vec::new()
        } else {
            self.private(rules)
        };
        block.extend(self.script(&repeated)?);
        Ok([parts::scripts(block), parts::source()])
    }

    /// The rules of a server or a location. Behind Varnish it is told which answers are not for everybody.
    pub(super) fn directives(&self, rules: &[Rule]) -> Printed<Vec<Directive>> {
        let mut block = self.private(rules);
        block.extend(self.each(rules)?);
        if is_behind(self.site) && has(rules, "add_header") {
            block.push(front::private_header());
        }
        Ok(block)
    }

    /// What a location says whose answers are not for everybody, or one inside such a location.
    fn private(&self, rules: &[Rule]) -> Vec<Directive> {
        let is_private = is_behind(self.site) && rules.iter().any(Rule::narrows_readers);
        is_private.then(front::private).into_iter().collect()
    }

    fn each(&self, rules: &[Rule]) -> Printed<Vec<Directive>> {
        rules.iter().map(|rule| self.directive(rule)).collect()
    }

    fn directive(&self, rule: &Rule) -> Printed<Directive> {
        let name = Arg::text(rule.name())?;
        Ok(match rule {
            Rule::Line { words, .. } => {
                let words = words.iter().map(|word| self.text(word));
                Directive::line(name, words.collect::<Printed<Vec<_>>>()?)
            }
            Rule::BodySize(bytes) => {
                Directive::line(name, [Arg::number((*bytes).min(self.site.upload_limit))])
            }
            Rule::GzipDisable(patterns) => {
                let patterns = patterns.iter().map(expression);
                Directive::line(name, patterns.collect::<Printed<Vec<_>>>()?)
            }
            Rule::Passwords(file) => Directive::line(
                name,
                [Arg::path(&self.layout.nginx_passwords().join(file))?],
            ),
            Rule::ErrorPage {
                codes,
                becomes,
                target,
            } => self.error_page(codes, *becomes, target)?,
            Rule::TryFiles {
                candidates,
                otherwise,
            } => Directive::line(name, self.try_files(candidates, otherwise)?),
            Rule::Set { variable, value } => Directive::line(
                name,
                [own(&self.site.environment, variable)?, self.text(value)?],
            ),
            Rule::Return { status, text } => {
                let status = status.map(Arg::number);
                let text = text.as_ref().map(|text| self.text(text)).transpose()?;
                Directive::line(name, status.into_iter().chain(text))
            }
            Rule::Rewrite {
                pattern,
                replacement,
                flag,
            } => {
                let flag = flag.as_deref().map(Arg::text).transpose()?;
                let words = [expression(pattern)?, self.text(replacement)?];
                Directive::line(name, words.into_iter().chain(flag))
            }
            Rule::If { condition, then } => {
                Directive::block("if", self.condition(condition)?, self.each(then)?)
            }
            Rule::LimitExcept { methods, rules } => {
                let methods = methods.iter().map(|method| Arg::text(method));
                let methods = methods.collect::<Printed<Vec<_>>>()?;
                Directive::block("limit_except", methods, self.each(rules)?)
            }
        })
    }

    fn error_page(&self, codes: &[u16], becomes: Becomes, target: &Target) -> Printed<Directive> {
        let mut words: Vec<Arg> = codes.iter().map(|code| Arg::number(*code)).collect();
        match becomes {
            Becomes::Same => {}
            Becomes::Found => words.push("=".into()),
            Becomes::Status(status) => words.push(Arg::word("=").then(Arg::number(status))),
        }
        words.push(self.target(target)?);
        Ok(Directive::line("error_page", words))
    }

    fn try_files(&self, candidates: &[Candidate], otherwise: &Target) -> Printed<Vec<Arg>> {
        let mut words = Vec::new();
        for candidate in candidates {
            match candidate {
                Candidate::Path(path) if self.places.is_denied(path) => {}
                Candidate::Path(path) => words.push(Arg::text(path)?),
                Candidate::File => words.push(Arg::var("uri")),
                Candidate::Folder => words.push(Arg::var("uri").then("/".into())),
                Candidate::Extended(extension) => {
                    let extension = Arg::word(".").then(Arg::text(extension)?);
                    words.push(Arg::var("uri").then(extension));
                }
            }
        }
        if words.is_empty() {
            words.push(Arg::var("uri"));
        }
        words.push(self.target(otherwise)?);
        Ok(words)
    }

    fn target(&self, target: &Target) -> Printed<Arg> {
        match target {
            Target::Path(text) => self.text(text),
            Target::Named(name) => named(name),
            Target::Status(status) => Ok(Arg::word("=").then(Arg::number(*status))),
        }
    }

    fn condition(&self, condition: &Condition) -> Printed<Vec<Arg>> {
        let mut words = vec!["(".into(), self.text(&condition.variable)?];
        match &condition.test {
            Test::Holds => {}
            Test::Equals(text, truth) => {
                words.push(match truth {
                    Truth::Is => "=".into(),
                    Truth::IsNot => "!=".into(),
                });
                words.push(self.text(text)?);
            }
            Test::Matches(pattern, case, truth) => {
                words.push(match (truth, case) {
                    (Truth::Is, Case::Sensitive) => "~".into(),
                    (Truth::Is, Case::Ignored) => "~*".into(),
                    (Truth::IsNot, Case::Sensitive) => "!~".into(),
                    (Truth::IsNot, Case::Ignored) => "!~*".into(),
                });
                words.push(expression(pattern)?);
            }
        }
        words.push(")".into());
        Ok(words)
    }

    fn map(&self, map: &Map) -> Printed<Directive> {
        let mut block = Vec::new();
        if map.hostnames {
            block.push(Directive::words("hostnames", &[]));
        }
        for entry in &map.entries {
            block.push(Directive::line(
                key(&entry.key)?,
                [self.text(&entry.value)?],
            ));
        }
        let variable = own(&self.site.environment, &map.variable)?;
        Ok(Directive::block(
            "map",
            [self.text(&map.source)?, variable],
            block,
        ))
    }

    fn text(&self, text: &Text) -> Printed<Arg> {
        if is_behind(self.site) {
            let seen = text.renamed(front::as_visitors_see);
            return seen.arg(&self.site.environment);
        }
        text.arg(&self.site.environment)
    }
}

fn key(key: &Key) -> Printed<Arg> {
    match key {
        Key::Default => Ok("default".into()),
        Key::Pattern(pattern, Case::Sensitive) => Ok(Arg::word("~").then(expression(pattern)?)),
        Key::Pattern(pattern, Case::Ignored) => Ok(Arg::word("~*").then(expression(pattern)?)),
        Key::Text(text) if MAP_WORDS.contains(&text.as_str()) || text.starts_with(['~', '\\']) => {
            Ok(Arg::word("\\").then(Arg::text(text)?))
        }
        Key::Text(text) => Arg::text(text),
    }
}

fn has(rules: &[Rule], name: &str) -> bool {
    rules.iter().any(|rule| rule.name() == name)
}

fn expression(pattern: &Pattern) -> Printed<Arg> {
    Arg::expression(pattern.as_str())
}

fn named(name: &str) -> Printed<Arg> {
    Ok(Arg::word("@tenant_").then(Arg::text(name)?))
}

fn location(kind: Option<&'static str>, path: Arg, block: Vec<Directive>) -> Directive {
    let words = kind.map(Arg::word).into_iter().chain([path]);
    Directive::block("location", words, block)
}
