//! A shared folder: visitors write to it through PHP, so it is trusted with nothing.
//!
//! ```text
//! hidden, source of PHP       404
//! his patterns                as everywhere
//! his locations below it      as everywhere
//! what looks static           a file of the working tree, else 404
//! everything else             a file of the working tree, else the front controller
//! ```
//!
//! nginx takes the folder's location before that of the tenant that is around it, and patterns inside before the folder's
//! own rules. So what he says of the folder, or of one around it, is put into it; and where he says it with `^~`, which
//! means whatever patterns there are, also into those inside.

use super::parts::{self, hidden, matching, source};
use super::tenant::{Printed, Tenant, has, location};
use crate::nginx::config::{Arg, Directive};
use crate::nginx::guard;
use crate::nginx::tenant::{Location, Place, Rule};

/// What a tenant says of a shared folder as a whole.
struct Whole<'a> {
    rules: &'a [Rule],
    /// Whether it holds whatever patterns there are.
    first: bool,
}

impl Whole<'_> {
    /// What nginx does not hand down to patterns inside, where it must hold there.
    fn repeated(&self) -> Vec<Rule> {
        let rules = self.rules.iter().filter(|rule| !rule.is_inherited());
        let rules = rules.filter(|_| self.first);
        rules.cloned().collect()
    }
}

impl Tenant<'_> {
    /// The location of the shared folder at `path`.
    pub(super) fn shared(&self, path: &str) -> Printed<Directive> {
        let root = Arg::path(&self.places.working_root)?;
        let mut block = vec![
            Directive::line("root", [root.clone()]),
            // A link that PHP made is followed to what its maker owns, and nowhere else. Only here: the links of a
            // release were checked when it was made.
            Directive::line(
                "disable_symlinks",
                ["if_not_owner".into(), Arg::word("from=").then(root)],
            ),
        ];
        let whole = self.whole(path);
        block.extend(hidden());
        block.push(source());
        block.extend(self.inside(path, &whole)?);
        let file_only = vec![Arg::var("uri"), "=404".into()];
        let mut assets = self.private(whole.rules);
        assets.extend(self.looked_for(&whole.repeated(), file_only)?);
        block.push(matching("~*", guard::STATIC, assets));
        let file_or_front = vec![Arg::var("uri"), parts::front(self.places)?];
        block.extend(self.looked_for(whole.rules, file_or_front)?);
        let below = Arg::text(path)?.then("/".into());
        Ok(Directive::block("location", ["^~".into(), below], block))
    }

    /// The shared folder whose block a path of the tenant stands in. The folder itself, without a `/` behind it, is not
    /// in it: its location begins with that.
    pub(super) fn home(&self, path: &str) -> Option<&str> {
        let is_below = |folder: &&String| {
            let rest = path.strip_prefix(folder.as_str());
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        let folders = self.places.shared.iter().filter(is_below);
        folders
            .max_by_key(|folder| folder.len())
            .map(String::as_str)
    }

    /// What would hold for the folder if it were not shared: of the paths that it begins with, nginx takes the longest.
    fn whole(&self, shared: &str) -> Whole<'_> {
        let inside = format!("{shared}/");
        let around = |place: &Location| match &place.place {
            Place::Prefix(path) | Place::First(path) if path != "/" && inside.starts_with(path) => {
                Some(path.len())
            }
            _ => None,
        };
        let locations = self.rules.locations.iter();
        let found = locations
            .filter_map(|place| Some((around(place)?, place)))
            .max_by_key(|(length, _)| *length);
        match found {
            Some((_, Location { place, rules })) => Whole {
                rules,
                first: matches!(place, Place::First(_)),
            },
            None => Whole {
                rules: &[],
                first: false,
            },
        }
    }

    /// His patterns, and his locations inside a shared folder. Hidden files and source are refused before them.
    fn inside(&self, shared: &str, whole: &Whole<'_>) -> Printed<Vec<Directive>> {
        let private = self.private(whole.rules);
        let mut all = self.each_pattern(|rules| {
            let both = both(whole.repeated(), rules);
            Ok([private.clone(), self.directives(&both)?].concat())
        })?;
        for Location { place, rules } in &self.rules.locations {
            let is_here =
                |path: &&str| self.home(path) == Some(shared) && !self.places.is_denied(path);
            let Some(path) = place.path().filter(is_here) else {
                continue;
            };
            let is_folder = path.strip_suffix('/') == Some(shared);
            let mut block = [private.clone(), self.directives(rules)?].concat();
            let kind = match place {
                Place::Exact(_) if guard::is_source(path) => continue,
                Place::Exact(_) => Some("="),
                // It is what is said of the folder as a whole.
                _ if is_folder => continue,
                Place::First(_) => {
                    block.extend(hidden());
                    block.push(source());
                    Some("^~")
                }
                _ => None,
            };
            all.push(location(kind, Arg::text(path)?, block));
        }
        Ok(all)
    }

    /// `rules`, with `own` files looked for where they name none.
    fn looked_for(&self, rules: &[Rule], own: Vec<Arg>) -> Printed<Vec<Directive>> {
        let mut block = Vec::new();
        if !has(rules, "try_files") {
            block.push(Directive::line("try_files", own));
        }
        block.extend(self.directives(rules)?);
        Ok(block)
    }
}

/// The rules of a folder and of a pattern inside. Of what may stand once, the pattern's is taken; of methods, those that
/// both let through.
fn both(mut outer: Vec<Rule>, inner: &[Rule]) -> Vec<Rule> {
    outer.retain(|rule| rule.name() != "try_files" || !has(inner, "try_files"));
    let limits = |rules: &[Rule]| {
        rules.iter().find_map(|rule| match rule {
            Rule::LimitExcept { methods, .. } => Some(methods.clone()),
            _ => None,
        })
    };
    let mut inner = inner.to_vec();
    if let (Some(one), Some(two)) = (limits(&outer), limits(&inner)) {
        let is_limit = |rule: &Rule| matches!(rule, Rule::LimitExcept { .. });
        outer.retain(|rule| !is_limit(rule));
        inner.retain(|rule| !is_limit(rule));
        let methods = one.into_iter().filter(|method| two.contains(method));
        outer.push(Rule::LimitExcept {
            methods: methods.collect(),
            rules: Vec::new(),
        });
    }
    outer.extend(inner);
    outer
}
