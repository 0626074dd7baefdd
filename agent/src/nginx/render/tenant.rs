//! A tenant's rules, put into the text so that they cannot undo what the site's own rules protect.
//!
//! ```text
//! http_level, server_level     the head of the site's server; maps before it, under names of the environment's own
//! location /                   into the site's own
//! location /media              into the shared folder's own, and by itself for what only begins so (`render/shared.rs`)
//! location ^~, ~, ~*           with scripts, source and hidden files treated inside as they are outside
//! location = /x.php            runs the script, behind the gate that closes a site
//! location below `deny`        left out
//! location @name               @tenant_name, ends with 404
//! ```
//!
//! What was accepted may meet a site that has changed since: a smaller `upload_limit`, another `deny`. So nothing here
//! relies on what was checked when the rules were read.

use stratus_core::route::Site;

use super::{DebugHeader, closed, front, generation_header, is_behind, parts};
use crate::layout::Layout;
use crate::nginx::config::{Arg, Directive, Unprintable};
use crate::nginx::guard;
use crate::nginx::place::Places;
use crate::nginx::tenant::{
    Becomes, Candidate, Case, Condition, Key, Location, Map, Pattern, Place, Rule, Rules, Target,
    Test, Text, Truth, limited, own,
};

/// Words that mean something as a key of `map`.
const MAP_WORDS: [&str; 4] = ["default", "hostnames", "include", "volatile"];
/// What an extension is put behind: the path, or what no file is called where that would make a hidden name.
const STEM: &str = "stratus_stem";
/// A path that no file has.
const NO_FILE: &str = "/.stratus/none";

/// A site and the rules of its tenant.
pub(super) struct Tenant<'a> {
    pub(super) site: &'a Site,
    pub(super) places: &'a Places,
    pub(super) layout: &'a Layout,
    pub(super) rules: &'a Rules,
    /// How many requests may run PHP, or wait for it, at once.
    pub(super) waiting: u32,
    pub(super) debug_header: DebugHeader,
}

pub(super) type Printed<T> = Result<T, Unprintable>;

impl Tenant<'_> {
    /// The tables of his variables.
    pub(super) fn maps(&self) -> Printed<Vec<Directive>> {
        let maps = self.rules.maps.iter().map(|map| self.map(map));
        let mut all = maps.collect::<Printed<Vec<_>>>()?;
        if self
            .rules
            .locations
            .iter()
            .any(|place| extends(&place.rules))
        {
            all.push(self.stem());
        }
        Ok(all)
    }

    /// `/x/` with an extension behind it would be `/x/.json`, which is hidden.
    fn stem(&self) -> Directive {
        let folder = Arg::word("~").then(Arg::pattern("/$"));
        let table = vec![
            // It is asked again when the path has changed.
            Directive::words("volatile", &[]),
            Directive::line("default", [Arg::var("uri")]),
            Directive::line(folder, [NO_FILE.into()]),
        ];
        let names = [Arg::var("uri"), self.stem_variable()];
        Directive::block("map", names, table)
    }

    fn stem_variable(&self) -> Arg {
        Arg::var_of(STEM, &self.site.environment)
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
                        || self.home(path).is_some()
                        || self.places.is_denied(path) => {}
                Place::Exact(path) if guard::is_php(path) => {
                    let block = self.script(rules)?;
                    all.push(location(Some("="), Arg::text(path)?, block));
                }
                Place::Exact(path) if guard::is_source(path) => {}
                Place::Exact(path) => {
                    all.push(location(Some("="), Arg::text(path)?, self.open(rules)?));
                }
                Place::Prefix(path) if self.places.is_shared(path) => {
                    all.push(location(None, Arg::text(path)?, self.or_front(rules)?));
                }
                Place::Prefix(path) => {
                    all.push(location(None, Arg::text(path)?, self.open(rules)?));
                }
                Place::First(path) => {
                    let mut block = if self.places.is_shared(path) {
                        self.or_front(rules)?
                    } else {
                        self.open(rules)?
                    };
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

    /// The rest of a site.
    pub(super) fn rest(&self) -> Printed<Vec<Directive>> {
        let root =
            |location: &&Location| matches!(&location.place, Place::Prefix(path) if path == "/");
        let found = self.rules.locations.iter().find(root);
        self.or_front(found.map_or(&[], |location| &location.rules))
    }

    /// A file or folder of the release, else the front controller, unless `rules` name what is looked for.
    fn or_front(&self, rules: &[Rule]) -> Printed<Vec<Directive>> {
        let mut block = Vec::new();
        if !has(rules, "try_files") {
            let uri = || Arg::var("uri");
            let files = [uri(), uri().then("/".into()), parts::front(self.places)?];
            block.push(Directive::line("try_files", files));
        }
        block.extend(self.open(rules)?);
        Ok(block)
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

    pub(super) fn each_pattern(
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
                let pattern = Arg::expression(&limited(pattern))?;
                all.push(location(Some(kind), pattern, block(rules)?));
            }
        }
        Ok(all)
    }

    /// Rules of a location of the release: what is missing in it may be in `previous`, unless they say themselves that
    /// something is not there.
    fn open(&self, rules: &[Rule]) -> Printed<Vec<Directive>> {
        let mut block = self.directives(rules)?;
        if rules.iter().any(says_missing) {
            return Ok(block);
        }
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
        if has(rules, "add_header") {
            if is_behind(self.site) {
                block.push(front::private_header());
            } else if self.debug_header == DebugHeader::Hidden {
                block.push(generation_header());
            }
        }
        Ok(block)
    }

    /// What a location says whose answers are not for everybody, or one inside such a location.
    pub(super) fn private(&self, rules: &[Rule]) -> Vec<Directive> {
        let is_private = is_behind(self.site) && rules.iter().any(Rule::narrows_readers);
        is_private.then(front::private).into_iter().collect()
    }

    fn each(&self, rules: &[Rule]) -> Printed<Vec<Directive>> {
        rules.iter().map(|rule| self.directive(rule)).collect()
    }

    fn directive(&self, rule: &Rule) -> Printed<Directive> {
        let name = Arg::text(rule.name())?;
        Ok(match rule {
            // It would find what is denied by that name.
            Rule::Line { name: kind, .. } if kind == "gzip_static" && self.places.denies("gz") => {
                Directive::line(name, ["off".into()])
            }
            Rule::Line { words, .. } => {
                let words = words.iter().map(|word| self.text(word));
                Directive::line(name, words.collect::<Printed<Vec<_>>>()?)
            }
            Rule::BodySize(bytes) => {
                Directive::line(name, [Arg::number((*bytes).min(self.site.upload_limit))])
            }
            Rule::GzipDisable(patterns) => {
                // A word that nginx knows, and no pattern.
                let word = |pattern: &Pattern| match pattern.as_str() {
                    "msie6" => Ok("msie6".into()),
                    _ => expression(pattern),
                };
                let patterns = patterns.iter().map(word);
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
                // Without one nginx takes texts only that begin with an address as they are written.
                let status = Arg::number(status.unwrap_or(302));
                let text = text.as_ref().map(|text| self.text(text)).transpose()?;
                Directive::line(name, [status].into_iter().chain(text))
            }
            Rule::Rewrite {
                pattern,
                replacement,
                flag,
            } => {
                let flag = match flag.as_deref() {
                    // nginx sees by itself only `http://`, `https://` and `$scheme` that lead elsewhere.
                    None | Some("last" | "break") if !replacement.beginning().starts_with('/') => {
                        Some("redirect".into())
                    }
                    flag => flag.map(Arg::text).transpose()?,
                };
                let words = [expression(pattern)?, self.text(replacement)?];
                Directive::line(name, words.into_iter().chain(flag))
            }
            Rule::If { condition, then } => {
                Directive::block("if", self.condition(condition)?, self.each(then)?)
            }
            // Whom it let in would come past the gate that closes a site, and all else that the location says.
            Rule::LimitExcept { methods, .. } if methods.is_empty() => deny_all(),
            Rule::LimitExcept { methods, .. } => {
                let methods = methods.iter().map(|method| Arg::text(method));
                let methods = methods.collect::<Printed<Vec<_>>>()?;
                Directive::block("limit_except", methods, vec![deny_all()])
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
                Candidate::Extended(extension) if self.places.denies(extension) => {}
                Candidate::Extended(extension) => {
                    let extension = Arg::word(".").then(Arg::text(extension)?);
                    words.push(self.stem_variable().then(extension));
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

/// Whether rules look for a path with an extension behind it.
fn extends(rules: &[Rule]) -> bool {
    let is_extended = |candidate: &Candidate| matches!(candidate, Candidate::Extended(_));
    rules.iter().any(|rule| {
        matches!(rule, Rule::TryFiles { candidates, .. } if candidates.iter().any(is_extended))
    })
}

/// Whether a rule answers by itself that something is not there, and not with a text, which is sent as it is.
fn says_missing(rule: &Rule) -> bool {
    match rule {
        Rule::Return { status, text } => *status == Some(404) && text.is_none(),
        Rule::If { then, .. } => then.iter().any(says_missing),
        _ => false,
    }
}

fn deny_all() -> Directive {
    Directive::words("deny", &["all"])
}

pub(super) fn has(rules: &[Rule], name: &str) -> bool {
    rules.iter().any(|rule| rule.name() == name)
}

fn expression(pattern: &Pattern) -> Printed<Arg> {
    Arg::expression(&limited(pattern.as_str()))
}

fn named(name: &str) -> Printed<Arg> {
    Ok(Arg::word("@tenant_").then(Arg::text(name)?))
}

pub(super) fn location(kind: Option<&'static str>, path: Arg, block: Vec<Directive>) -> Directive {
    let words = kind.map(Arg::word).into_iter().chain([path]);
    Directive::block("location", words, block)
}
