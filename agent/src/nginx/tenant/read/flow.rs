//! The directives that lead a request elsewhere: `set`, `return`, `rewrite` and `if`.

use super::{Given, shown};
use crate::nginx::tenant::allowed::Context;
use crate::nginx::tenant::pattern::{Case, Pattern};
use crate::nginx::tenant::rules::{Condition, Rule, Test, Truth};
use crate::nginx::tenant::text::{Piece, Text, definition};

pub fn set(given: &Given<'_>) -> Result<Rule, String> {
    let [name, value] = given.words else {
        return Err("takes a variable and a value; write `set $name value;`".to_owned());
    };
    Ok(Rule::Set {
        variable: definition(name)?,
        value: Text::parse(value, given.names)?,
    })
}

/// `return`.
pub fn answer(given: &Given<'_>) -> Result<Rule, String> {
    let (status, text) = match given.words {
        [only] => match only.parse::<u16>() {
            Ok(status) => (Some(status), None),
            Err(_) => (None, Some(only)),
        },
        [status, text] => {
            let status = status.parse::<u16>();
            let status = status
                .map_err(|_| "takes a status first; write a number such as 301".to_owned())?;
            (Some(status), Some(text))
        }
        _ => return Err("takes a status and a text; quote a text that has spaces".to_owned()),
    };
    if status.is_some_and(|status| !(200..=599).contains(&status)) {
        return Err("takes a status from 200 to 599; write one of those".to_owned());
    }
    let redirects = matches!(status, None | Some(301 | 302 | 303 | 307 | 308));
    let text = match text {
        Some(word) if redirects => {
            let text = Text::parse(word, given.names)?;
            if !leads_somewhere(&text) || (status.is_none() && text.beginning().starts_with('/')) {
                return Err(format!(
                    "{} is no address; begin it with `/`, `http://`, `https://` or `$scheme`",
                    shown(word)
                ));
            }
            Some(text)
        }
        Some(word) => Some(Text::body(word, given.names)?),
        None => None,
    };
    Ok(Rule::Return { status, text })
}

/// Whether a text is a path of this site or an address of another.
pub fn leads_somewhere(text: &Text) -> bool {
    let begins = |start: &str| text.beginning().starts_with(start);
    begins("/")
        || begins("http://")
        || begins("https://")
        || text.is_own()
        || begins_with_scheme(text)
}

fn begins_with_scheme(text: &Text) -> bool {
    matches!(text.0.first(), Some(Piece::Variable(name)) if name == "scheme")
}

pub fn rewrite(given: &Given<'_>) -> Result<Rule, String> {
    let (pattern, replacement, flag) = match given.words {
        [pattern, replacement] => (pattern, replacement, None),
        [pattern, replacement, flag] => (pattern, replacement, Some(flag.as_str())),
        _ => {
            return Err(
                "takes a pattern, a replacement and perhaps a flag; quote what has spaces"
                    .to_owned(),
            );
        }
    };
    match flag {
        None | Some("last" | "redirect" | "permanent") => {}
        // The path would be opened as it is, past the patterns that refuse hidden files and source.
        Some("break") if given.scope == Context::Server => {}
        Some("break") => return Err("may not `break` in a location; write `last`".to_owned()),
        Some(other) => {
            return Err(format!(
                "does not know the flag {}; write last, redirect or permanent",
                shown(other)
            ));
        }
    }
    if flag.is_none() && given.scope == Context::Named {
        return Err("goes on to the end of its location, which answers 404; add `last`".to_owned());
    }
    let pattern = Pattern::parse(pattern)?;
    let text = Text::parse(replacement, given.names)?;
    let asks = text
        .0
        .iter()
        .any(|piece| matches!(piece, Piece::Text(text) if text.contains('?')));
    if asks && flag.is_none() {
        // CVE-2026-42945: what nginx does behind such a rewrite overflows a buffer.
        return Err(
            "has a `?` in its replacement and no flag; add `last`, `redirect` or `permanent`"
                .to_owned(),
        );
    }
    let redirects = matches!(flag, Some("redirect" | "permanent"));
    if !(text.beginning().starts_with('/') || redirects || leads_somewhere(&text) && !text.is_own())
    {
        return Err(format!(
            "the replacement {} does not begin with `/`; begin it so",
            shown(replacement)
        ));
    }
    Ok(Rule::Rewrite {
        pattern,
        replacement: text,
        flag: flag.map(str::to_owned),
    })
}

/// The condition of an `if`.
pub fn condition(given: &Given<'_>) -> Result<Condition, String> {
    const FORM: &str = "takes ($variable), ($variable = value) or ($variable ~ pattern), with spaces between the words";
    let mut words: Vec<&str> = given.words.iter().map(String::as_str).collect();
    match words.first_mut() {
        Some(first) => *first = first.strip_prefix('(').ok_or(FORM)?,
        None => return Err(FORM.to_owned()),
    }
    if words.first() == Some(&"") {
        words.remove(0);
    }
    let last = words.pop().ok_or(FORM)?;
    match last.strip_suffix(')').ok_or(FORM)? {
        "" => {}
        last => words.push(last),
    }
    let variable = match words.first() {
        Some(word) if word.starts_with('$') => Text::parse(word, given.names)?,
        Some(word) if word.trim_start_matches('!').starts_with('-') => {
            return Err(
                "may not test files, which would tell what is on the host; use try_files"
                    .to_owned(),
            );
        }
        _ => return Err(FORM.to_owned()),
    };
    if !matches!(variable.0.as_slice(), [Piece::Variable(_) | Piece::Own(_)]) {
        return Err(FORM.to_owned());
    }
    let test = match words[1..] {
        [] => Test::Holds,
        ["=", value] => Test::Equals(Text::parse(value, given.names)?, Truth::Is),
        ["!=", value] => Test::Equals(Text::parse(value, given.names)?, Truth::IsNot),
        ["~", pattern] => Test::Matches(Pattern::parse(pattern)?, Case::Sensitive, Truth::Is),
        ["~*", pattern] => Test::Matches(Pattern::parse(pattern)?, Case::Ignored, Truth::Is),
        ["!~", pattern] => Test::Matches(Pattern::parse(pattern)?, Case::Sensitive, Truth::IsNot),
        ["!~*", pattern] => Test::Matches(Pattern::parse(pattern)?, Case::Ignored, Truth::IsNot),
        _ => return Err(FORM.to_owned()),
    };
    Ok(Condition { variable, test })
}
