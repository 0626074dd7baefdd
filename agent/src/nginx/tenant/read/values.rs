//! Directives whose words are values: headers, addresses, sizes, times and switches.

use std::net::IpAddr;

use super::{Given, shown};
use crate::nginx::guard;
use crate::nginx::tenant::pattern::Pattern;
use crate::nginx::tenant::rules::Rule;
use crate::nginx::tenant::text::{Piece, Text};

/// Headers that frame the message, or that others than the tenant rely on.
const FRAMING: [&str; 12] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What `gzip_proxied` knows.
const PROXIED: [&str; 9] = [
    "any",
    "auth",
    "expired",
    "no-cache",
    "no-store",
    "no_etag",
    "no_last_modified",
    "off",
    "private",
];
const METHODS: [&str; 14] = [
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LOCK",
    "MKCOL",
    "MOVE",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "UNLOCK",
];

/// Reads a directive that is what its words say.
pub fn line(name: &str, given: &Given<'_>) -> Result<Rule, String> {
    let words = match name {
        "add_header" => return add_header(given),
        "client_max_body_size" => return body_size(given),
        "gzip_disable" => return gzip_disable(given),
        "expires" => return expires(given),
        "allow" | "deny" => one(given, "ADDRESS", address)?,
        "auth_basic" => return Ok(rule(name, vec![Text::plain(only(given, "REALM")?)?])),
        "gzip_static" => one(given, "on or off", |word| gzip_static(word, given))?,
        "gzip" | "gzip_vary" => one(given, "on or off", |word| is_one_of(word, &["on", "off"]))?,
        "gzip_comp_level" => one(given, "a number", |word| {
            is_one_of(word, &["1", "2", "3", "4", "5", "6"])
        })?,
        "gzip_http_version" => one(given, "a version", |word| is_one_of(word, &["1.0", "1.1"]))?,
        "gzip_min_length" => one(given, "BYTES", |word| size(word).map(drop))?,
        "gzip_proxied" => each(given, "KIND", |word| is_one_of(word, &PROXIED))?,
        "gzip_types" => each(given, "TYPE", mime)?,
        "index" => each(given, "NAME", file_name)?,
        _ => return Err("is not read yet; take it out".to_owned()),
    };
    Ok(rule(name, words))
}

fn rule(name: &str, words: Vec<Text>) -> Rule {
    let name = name.to_owned();
    Rule::Line { name, words }
}

/// The only word.
fn only<'a>(given: &Given<'a>, what: &str) -> Result<&'a str, String> {
    match given.words {
        [word] => Ok(word),
        _ => Err(format!("takes one word; write {what}")),
    }
}

fn one(
    given: &Given<'_>,
    what: &str,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<Vec<Text>, String> {
    only(given, what)?;
    each(given, what, check)
}

fn each(
    given: &Given<'_>,
    what: &str,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<Vec<Text>, String> {
    if given.words.is_empty() {
        return Err(format!("is empty; write {what}"));
    }
    let read = |word: &String| check(word).and_then(|()| Text::plain(word));
    given.words.iter().map(read).collect()
}

fn is_one_of(word: &str, known: &[&str]) -> Result<(), String> {
    if known.contains(&word) {
        return Ok(());
    }
    Err(format!(
        "does not know {}; write one of {}",
        shown(word),
        known.join(", ")
    ))
}

/// The methods of `limit_except`.
pub fn methods(given: &Given<'_>) -> Result<Vec<String>, String> {
    each(given, "METHOD", |word| is_one_of(word, &METHODS))?;
    Ok(given.words.to_vec())
}

/// Whether the rules of a `limit_except` let nobody through.
pub fn is_deny_all(rules: &[Rule]) -> bool {
    let all = [Text(vec![Piece::Text("all".to_owned())])];
    matches!(rules, [Rule::Line { name, words }] if name == "deny" && *words == all)
}

fn add_header(given: &Given<'_>) -> Result<Rule, String> {
    let (name, value, always) = match given.words {
        [name, value] => (name, value, None),
        [name, value, always] if always == "always" => (name, value, Some(always)),
        _ => {
            return Err(
                "takes a name, a value and perhaps `always`; quote a value that has spaces"
                    .to_owned(),
            );
        }
    };
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#%&'*+.^_`|~-".contains(&b);
    let lower = name.to_ascii_lowercase();
    if name.is_empty() || name.len() > 128 || !name.bytes().all(token) {
        return Err(format!(
            "{} is no name of a header; use letters, digits and hyphens",
            shown(name)
        ));
    }
    let reserved = lower.starts_with("x-stratus-") || lower.starts_with("x-accel-");
    if FRAMING.contains(&lower.as_str()) || reserved {
        return Err(format!(
            "the header {name} is nginx's own business; take it out"
        ));
    }
    let value = Text::parse(value, given.names)?;
    let mut words = vec![Text::plain(name)?, value];
    words.extend(always.map(|word| Text::plain(word)).transpose()?);
    Ok(rule("add_header", words))
}

fn address(word: &str) -> Result<(), String> {
    let (address, bits) = match word.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (word, None),
    };
    let is_number = |bits: &str| {
        !bits.is_empty() && bits.len() <= 3 && bits.bytes().all(|b| b.is_ascii_digit())
    };
    let valid = match address.parse::<IpAddr>() {
        Ok(address) => {
            let most = if address.is_ipv4() { 32 } else { 128 };
            bits.is_none_or(|bits| {
                is_number(bits) && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
            })
        }
        Err(_) => word == "all",
    };
    if valid {
        return Ok(());
    }
    Err(format!(
        "{} is no address; write one such as 192.0.2.1, 192.0.2.0/24, 2001:db8::/32, or all",
        shown(word)
    ))
}

/// A size in bytes, as nginx writes it.
fn size(word: &str) -> Result<u64, String> {
    let refuse = || {
        format!(
            "{} is no size; write a number of bytes, or one with k, m or g",
            shown(word)
        )
    };
    let (digits, unit) = match word.as_bytes().last() {
        Some(b'k' | b'K') => (&word[..word.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&word[..word.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&word[..word.len() - 1], 1 << 30),
        _ => (word, 1),
    };
    if digits.is_empty() || digits.len() > 12 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refuse());
    }
    let number: u64 = digits.parse().map_err(|_| refuse())?;
    number.checked_mul(unit).ok_or_else(refuse)
}

fn body_size(given: &Given<'_>) -> Result<Rule, String> {
    let bytes = size(only(given, "SIZE")?)?;
    let most = given.desk.upload_limit;
    if bytes == 0 || bytes > most {
        return Err(format!(
            "allows more than the environment's upload_limit of {most} bytes; write at most that, or raise upload_limit"
        ));
    }
    Ok(Rule::BodySize(bytes))
}

fn gzip_disable(given: &Given<'_>) -> Result<Rule, String> {
    if given.words.is_empty() {
        return Err("is empty; write a PATTERN".to_owned());
    }
    let patterns = given.words.iter().map(|word| Pattern::parse(word));
    Ok(Rule::GzipDisable(patterns.collect::<Result<_, _>>()?))
}

/// It finds files by another name than the one that was asked for.
fn gzip_static(word: &str, given: &Given<'_>) -> Result<(), String> {
    if word == "on" && given.desk.places.denies("gz") {
        return Err(
            "would hand out a `.gz` that the environment's `deny` names; take it out".to_owned(),
        );
    }
    is_one_of(word, &["on", "off"])
}

fn mime(word: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/.+-_".contains(&b);
    let shaped = word.len() <= 128
        && word.bytes().all(allowed)
        && word.split('/').filter(|p| !p.is_empty()).count() == 2;
    if shaped || word == "*" {
        return Ok(());
    }
    Err(format!(
        "{} is no type; write one such as text/css",
        shown(word)
    ))
}

fn file_name(word: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let shaped = !word.is_empty()
        && word.len() <= 128
        && word.bytes().all(allowed)
        && !word.starts_with('.');
    if shaped && (guard::is_php(word) || !guard::is_source(word)) {
        return Ok(());
    }
    Err(format!(
        "{} is not allowed; write plain names such as index.html",
        shown(word)
    ))
}

fn expires(given: &Given<'_>) -> Result<Rule, String> {
    let refuse = "takes a time such as 30d or -1, epoch, max, off, or a variable of a map";
    let words = match given.words {
        [word] if matches!(word.as_str(), "epoch" | "max" | "off" | "unset") || is_time(word) => {
            vec![Text::plain(word)?]
        }
        [word] => {
            let text = Text::parse(word, given.names)?;
            if !matches!(text.0.as_slice(), [Piece::Own(_)]) {
                return Err(refuse.to_owned());
            }
            vec![text]
        }
        [modified, time] if modified == "modified" && is_time(time) => {
            vec![Text::plain(modified)?, Text::plain(time)?]
        }
        _ => return Err(refuse.to_owned()),
    };
    Ok(rule("expires", words))
}

/// A time as nginx writes it: `30d`, `-1`, `+1h30m`, `@15h30m`.
fn is_time(word: &str) -> bool {
    let rest = word.strip_prefix(['-', '+', '@']).unwrap_or(word);
    let starts = rest.starts_with(|c: char| c.is_ascii_digit());
    let allowed = |b: u8| b.is_ascii_digit() || b"smhdwMy".contains(&b);
    starts && rest.len() <= 16 && rest.bytes().all(allowed)
}
