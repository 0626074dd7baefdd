//! The directives that name paths: `location`, `try_files` and `error_page`.

use super::flow::leads_somewhere;
use super::{Given, shown};
use crate::nginx::guard;
use crate::nginx::tenant::pattern::{Case, Pattern};
use crate::nginx::tenant::rules::{Becomes, Candidate, Place, Rule, Target};
use crate::nginx::tenant::text::Text;

/// Longest path that is written out, in bytes.
const PATH_MAX: usize = 512;
/// Extensions that `try_files` may append.
const EXTENSIONS: [&str; 5] = ["htm", "html", "json", "txt", "xml"];

/// The paths of a `location`.
pub fn place(given: &Given<'_>) -> Result<Place, String> {
    let words: Vec<&str> = given.words.iter().map(String::as_str).collect();
    let (kind, path) = match words[..] {
        [kind @ ("=" | "^~" | "~" | "~*"), path] => (kind, path),
        [word] => split_kind(word),
        _ => return Err("takes one path, perhaps with =, ^~, ~ or ~* before it".to_owned()),
    };
    let place = match kind {
        "~" => Place::Pattern(pattern(path)?, Case::Sensitive),
        "~*" => Place::Pattern(pattern(path)?, Case::Ignored),
        _ if path.starts_with('@') && kind.is_empty() => return Ok(Place::Named(named(path)?)),
        "=" => Place::Exact(path.to_owned()),
        "^~" => Place::First(path.to_owned()),
        _ => Place::Prefix(path.to_owned()),
    };
    let Some(path) = place.path() else {
        return Ok(place);
    };
    check_path(path, given)?;
    match &place {
        Place::First(path) if path == "/" => {
            Err("would switch off every pattern of the site; write `location /`".to_owned())
        }
        Place::Exact(path) if given.desk.health == Some(path) => {
            Err("the site answers its readiness check itself; take it out".to_owned())
        }
        Place::Exact(path) if guard::is_source(path) && !is_script(path, given) => {
            Err("the source of PHP is never handed out; take it out".to_owned())
        }
        _ => Ok(place),
    }
}

/// nginx also takes the kind and the path as one word.
fn split_kind(word: &str) -> (&str, &str) {
    for kind in ["=", "^~", "~*", "~"] {
        if let Some(path) = word.strip_prefix(kind) {
            return (kind, path);
        }
    }
    ("", word)
}

fn pattern(expression: &str) -> Result<String, String> {
    Pattern::parse(expression).map(|pattern| pattern.as_str().to_owned())
}

/// Whether a path is run as a script: shared folders hold none.
fn is_script(path: &str, given: &Given<'_>) -> bool {
    guard::is_php(path) && !given.desk.places.is_shared(path)
}

fn named(word: &str) -> Result<String, String> {
    let name = word.strip_prefix('@').unwrap_or_default();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
        return Err(format!(
            "{} is no name; write `@` and letters, digits, `_` or `-`",
            shown(word)
        ));
    }
    Ok(name.to_owned())
}

/// A path that is written out, in the form in which nginx compares it, of what visitors may have.
fn check_path(path: &str, given: &Given<'_>) -> Result<(), String> {
    if !path.starts_with('/') || path.len() > PATH_MAX {
        return Err(format!("{} is no path; begin it with `/`", shown(path)));
    }
    if path.contains("//")
        || path.contains(['$', '?', '%', '#'])
        || path.chars().any(char::is_control)
    {
        return Err(format!(
            "{} is not in its plain form; write it without //, $, ?, %, #",
            shown(path)
        ));
    }
    if guard::is_hidden(path) {
        return Err(format!(
            "{} is hidden, and hidden files are never handed out; take it out",
            shown(path)
        ));
    }
    if given.desk.places.is_denied(path) {
        return Err(format!(
            "{} is denied by the environment's `deny`; take it out",
            shown(path)
        ));
    }
    Ok(())
}

/// What the rules of a location may not be together with its place.
pub fn check_location(place: &Place, rules: &[Rule]) -> Result<(), String> {
    let protects = |rule: &&Rule| {
        [
            "allow",
            "deny",
            "auth_basic",
            "auth_basic_user_file",
            "limit_except",
        ]
        .contains(&rule.name())
    };
    match place {
        Place::Prefix(path) if path == "/" => match rules.iter().find(protects) {
            Some(rule) => Err(format!(
                "`{}` in it would not hold for scripts and assets, which patterns catch first; write it outside, for the whole site",
                rule.name()
            )),
            None => Ok(()),
        },
        Place::Prefix(path) => match rules.iter().find(protects) {
            Some(rule) => Err(format!(
                "`{}` in it would not hold for scripts and assets below it, which patterns catch first; write `location ^~ {path}`",
                rule.name()
            )),
            None => Ok(()),
        },
        Place::Exact(path) if guard::is_php(path) => {
            match rules
                .iter()
                .find(|rule| matches!(rule, Rule::TryFiles { .. }))
            {
                Some(_) => Err("a script answers this path; take try_files out".to_owned()),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

pub fn try_files(given: &Given<'_>) -> Result<Rule, String> {
    let Some((last, files)) = given
        .words
        .split_last()
        .filter(|(_, files)| !files.is_empty())
    else {
        return Err(
            "takes files and what to do without them; write `try_files $uri =404;`".to_owned(),
        );
    };
    let candidates = files.iter().map(|word| candidate(word, given));
    Ok(Rule::TryFiles {
        candidates: candidates.collect::<Result<_, _>>()?,
        otherwise: target(last, given)?,
    })
}

fn candidate(word: &str, given: &Given<'_>) -> Result<Candidate, String> {
    let uri = word
        .strip_prefix("$uri")
        .or_else(|| word.strip_prefix("${uri}"));
    match uri {
        Some("") => return Ok(Candidate::File),
        Some("/") => return Ok(Candidate::Folder),
        Some(rest) => {
            let extension = rest
                .strip_prefix('.')
                .filter(|rest| EXTENSIONS.contains(rest));
            if extension.is_some_and(|extension| given.desk.places.denies(extension)) {
                return Err(format!(
                    "{} would find what the environment's `deny` names; take it out",
                    shown(word)
                ));
            }
            return extension
                .map(|rest| Candidate::Extended(rest.to_owned()))
                .ok_or_else(|| {
                    let all = EXTENSIONS
                        .map(|extension| format!("$uri.{extension}"))
                        .join(", ");
                    format!(
                        "{} is not a file that may be looked for; write $uri, $uri/ or {all}",
                        shown(word)
                    )
                });
        }
        None => {}
    }
    if word.contains('$') {
        return Err(format!(
            "{} is made of variables; write $uri, $uri/ or a path without them",
            shown(word)
        ));
    }
    check_path(word, given)?;
    if guard::is_source(word) {
        return Err(format!(
            "{} would be sent as text; put it last, so that it is run",
            shown(word)
        ));
    }
    Ok(Candidate::Path(word.to_owned()))
}

/// Where a request goes on. A path may hold variables: it is looked up anew.
fn target(word: &str, given: &Given<'_>) -> Result<Target, String> {
    if word.starts_with('@') {
        return named(word).map(Target::Named);
    }
    if let Some(status) = word.strip_prefix('=') {
        return self::status(status).map(Target::Status);
    }
    let text = Text::parse(word, given.names)?;
    if !text.beginning().starts_with('/') {
        return Err(format!(
            "{} is no way on; write a path that begins with `/`, =404 or @name",
            shown(word)
        ));
    }
    Ok(Target::Path(text))
}

fn status(word: &str) -> Result<u16, String> {
    let status = word
        .parse()
        .ok()
        .filter(|status| (200..=599).contains(status));
    status.ok_or_else(|| {
        format!(
            "{} is no status; write a number from 200 to 599",
            shown(word)
        )
    })
}

pub fn error_page(given: &Given<'_>) -> Result<Rule, String> {
    let form = || "takes statuses and a path; write `error_page 404 /404.html;`".to_owned();
    let (last, before) = given.words.split_last().ok_or_else(form)?;
    let (becomes, codes) = match before.split_last() {
        Some((word, codes)) if word == "=" => (Becomes::Found, codes),
        Some((word, codes)) if word.starts_with('=') => {
            (Becomes::Status(status(&word[1..])?), codes)
        }
        _ => (Becomes::Same, before),
    };
    let code = |word: &String| {
        let code = word
            .parse()
            .ok()
            .filter(|code| (300..=599).contains(code) && *code != 499);
        code.ok_or_else(|| {
            format!(
                "{} is no status of an answer; write one from 300 to 599",
                shown(word)
            )
        })
    };
    let codes: Vec<u16> = codes.iter().map(code).collect::<Result<_, _>>()?;
    if codes.is_empty() {
        return Err(form());
    }
    let target = if last.starts_with('@') {
        Target::Named(named(last)?)
    } else {
        let text = Text::parse(last, given.names)?;
        if !leads_somewhere(&text) || text.is_own() {
            return Err(format!(
                "{} is no way on; write a path that begins with `/`, an address or @name",
                shown(last)
            ));
        }
        Target::Path(text)
    };
    Ok(Rule::ErrorPage {
        codes,
        becomes,
        target,
    })
}
