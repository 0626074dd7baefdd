//! Text with variables, as a tenant writes it: nginx's own that are allowed, his own, and groups of patterns.
//!
//! A tenant's own variable is called another name in nginx, so that two environments never mean the same one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stratus_core::EnvironmentName;

use crate::nginx::config::{Arg, Unprintable};

/// nginx's own variables that a tenant may read. None of them leads to a path on this host, a socket or another
/// environment.
pub const VARIABLES: [&str; 23] = [
    "args",
    "content_length",
    "content_type",
    "document_uri",
    "host",
    "https",
    "is_args",
    "query_string",
    "remote_addr",
    "remote_user",
    "request_id",
    "request_method",
    "request_uri",
    "scheme",
    "server_name",
    "server_port",
    "server_protocol",
    "status",
    "time_iso8601",
    "time_local",
    "uri",
    "msec",
    "body_bytes_sent",
];
/// Beginnings of nginx's own variables that a tenant may read: of the request and of the answer.
pub const FAMILIES: [&str; 4] = ["arg_", "cookie_", "http_", "sent_http_"];
/// Most variables of the tenant's own in one text.
const OWN_MAX: usize = 1;
/// Most variables in one text.
const READ_MAX: usize = 8;
/// Longest name of a variable, in bytes.
const NAME_MAX: usize = 64;

/// A text with variables.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Text(pub Vec<Piece>);

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// Characters that mean themselves.
    Text(String),
    /// A variable of nginx's.
    Variable(String),
    /// A variable that the tenant sets or maps.
    Own(String),
    /// What a group of the last pattern matched.
    Group(u8),
}

/// The variables that a tenant sets or maps.
#[derive(Debug, Default)]
pub struct Names(pub BTreeSet<String>);

impl Text {
    /// Reads a word of one line.
    pub fn parse(word: &str, names: &Names) -> Result<Self, String> {
        if word.chars().any(char::is_control) {
            return Err(
                "it holds a line break or another control character; take it out".to_owned(),
            );
        }
        Self::body(word, names)
    }

    /// Reads a word that may have several lines.
    pub fn body(word: &str, names: &Names) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = word;
        while let Some(at) = rest.find('$') {
            push_text(&mut pieces, &rest[..at])?;
            rest = &rest[at + 1..];
            if let Some(digit) = rest.bytes().next().filter(u8::is_ascii_digit) {
                if digit == b'0' {
                    return Err("groups are numbered from `$1`; write another number".to_owned());
                }
                pieces.push(Piece::Group(digit - b'0'));
                rest = &rest[1..];
                continue;
            }
            let (name, after) = split_name(rest)?;
            pieces.push(names.resolve(name)?);
            rest = after;
        }
        push_text(&mut pieces, rest)?;
        bounded(&pieces)?;
        Ok(Self(pieces))
    }

    /// Reads a word that may not hold variables.
    pub fn plain(word: &str) -> Result<Self, String> {
        if word.contains('$') {
            return Err("it may hold no variable; write it out".to_owned());
        }
        Self::parse(word, &Names::default())
    }

    /// The characters that it begins with.
    pub fn beginning(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether it holds nginx's own variable `name`.
    pub fn reads(&self, name: &str) -> bool {
        let read = |piece: &Piece| matches!(piece, Piece::Variable(found) if found == name);
        self.0.iter().any(read)
    }

    /// Whether it is one variable of the tenant's and nothing else.
    pub fn is_own(&self) -> bool {
        matches!(self.0.as_slice(), [Piece::Own(_)])
    }

    /// The same with those of nginx's variables under other names that have one.
    #[must_use]
    pub fn renamed(&self, name: impl Fn(&str) -> Option<&'static str>) -> Self {
        let renamed = |piece: &Piece| match piece {
            Piece::Variable(old) => match name(old) {
                Some(new) => Piece::Variable(new.to_owned()),
                None => piece.clone(),
            },
            piece => piece.clone(),
        };
        Self(self.0.iter().map(renamed).collect())
    }

    /// As nginx is given it.
    pub fn arg(&self, environment: &EnvironmentName) -> Result<Arg, Unprintable> {
        let mut whole: Option<Arg> = None;
        for piece in &self.0 {
            let next = match piece {
                Piece::Text(text) => Arg::lines(text)?,
                Piece::Variable(name) => Arg::variable(name)?,
                Piece::Own(name) => own(environment, name)?,
                Piece::Group(number) => Arg::capture(*number)?,
            };
            whole = Some(match whole {
                Some(before) => before.then(next),
                None => next,
            });
        }
        Ok(whole.unwrap_or_else(|| Arg::word("")))
    }
}

/// A variable that stands twice in the next one doubles with each line: ten lines would fill the host's memory.
fn bounded(pieces: &[Piece]) -> Result<(), String> {
    let own = pieces.iter().filter(|piece| matches!(piece, Piece::Own(_)));
    if own.count() > OWN_MAX {
        return Err("it holds more than one variable of yours, which could grow without end; write one of them only".to_owned());
    }
    let read = pieces
        .iter()
        .filter(|piece| !matches!(piece, Piece::Text(_)));
    if read.count() > READ_MAX {
        return Err(format!(
            "it holds more than {READ_MAX} variables; write fewer"
        ));
    }
    Ok(())
}

impl Names {
    fn resolve(&self, name: &str) -> Result<Piece, String> {
        let lower = name.to_ascii_lowercase();
        if self.0.contains(&lower) {
            return Ok(Piece::Own(lower));
        }
        if is_nginx(&lower) {
            return Ok(Piece::Variable(lower));
        }
        Err(format!(
            "there is no variable `${name}` here; set it or map it in these files, or take it out"
        ))
    }
}

/// Whether a tenant may read nginx's variable `name`.
pub fn is_nginx(name: &str) -> bool {
    let of_family = FAMILIES
        .iter()
        .any(|family| name.len() > family.len() && name.starts_with(family));
    VARIABLES.contains(&name) || of_family
}

/// The name of a variable that a tenant defines, from `$name`.
pub fn definition(word: &str) -> Result<String, String> {
    let name = word.strip_prefix('$').unwrap_or_default();
    let name = name
        .strip_prefix('{')
        .and_then(|name| name.strip_suffix('}'))
        .unwrap_or(name);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || name.len() > NAME_MAX || !name.bytes().all(allowed) {
        return Err(format!(
            "{word:?} is no variable; write `$` and a name of letters, digits and underscores, {NAME_MAX} at most"
        ));
    }
    let name = name.to_ascii_lowercase();
    if is_nginx(&name) || is_reserved(&name) {
        return Err(format!(
            "`${name}` is nginx's own variable; choose another name"
        ));
    }
    Ok(name)
}

/// Variables of nginx's that would change how a request is served.
fn is_reserved(name: &str) -> bool {
    let families = [
        "upstream_",
        "fastcgi_",
        "ssl_",
        "proxy_",
        "stratus",
        "nginx_",
        "tcpinfo_",
        "sent_trailer_",
    ];
    let names = [
        "limit_rate",
        "document_root",
        "realpath_root",
        "request_filename",
        "request_body",
        "request_body_file",
        "hostname",
        "pid",
        "connection",
        "binary_remote_addr",
        "server_addr",
        "remote_port",
        "http",
        "request",
    ];
    names.contains(&name) || families.iter().any(|family| name.starts_with(family))
}

/// A tenant's variable as nginx knows it. Shape: `tenant4_shop_lang`; the length tells where the environment's name
/// ends, so that no two names of two environments are one.
pub fn own(environment: &EnvironmentName, name: &str) -> Result<Arg, Unprintable> {
    let environment = environment.as_str();
    let length = environment.len();
    let environment = environment.replace('-', "_");
    Arg::variable(&format!("tenant{length}_{environment}_{name}"))
}

fn split_name(rest: &str) -> Result<(&str, &str), String> {
    let (name, after) = if let Some(inner) = rest.strip_prefix('{') {
        inner.split_once('}').ok_or("`${` is not closed; add `}`")?
    } else {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        rest.split_at(rest.find(|c| !allowed(c)).unwrap_or(rest.len()))
    };
    if name.is_empty() || name.len() > NAME_MAX {
        return Err("a `$` begins a variable and has no name behind it; take it out".to_owned());
    }
    Ok((name, after))
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) -> Result<(), String> {
    let is_break = |c: char| matches!(c, '\n' | '\r' | '\t');
    if text.chars().any(|c| c.is_control() && !is_break(c)) {
        return Err("it holds a control character; take it out".to_owned());
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names(BTreeSet::from(["lang".to_owned()]))
    }

    #[test]
    fn own_variables_are_renamed_and_nginx_s_are_not() {
        let text = Text::parse("a$lang-${URI}b$1/$arg_x", &names()).unwrap();
        let shop: EnvironmentName = "shop-eu".parse().unwrap();
        assert_eq!(
            text.arg(&shop).unwrap().to_string(),
            "\"a${tenant7_shop_eu_lang}-${uri}b$1/${arg_x}\""
        );
        assert!(text.reads("uri") && !text.reads("lang"));
    }

    #[test]
    fn no_two_environments_share_a_variable() {
        let arg = |environment: &str, name: &str| own(&environment.parse().unwrap(), name).unwrap();
        assert_ne!(arg("a", "b_c"), arg("a-b", "c"));
    }

    #[test]
    fn variables_that_leak_or_are_not_defined_are_refused() {
        for bad in [
            "$document_root",
            "$realpath_root",
            "$upstream_addr",
            "$stratus_environment",
            "$nginx_version",
            "$tenant4_shop_x",
            "$",
            "a$",
            "${uri",
            "$0",
            "$http_",
            "$-",
            "a\nb",
        ] {
            assert!(Text::parse(bad, &names()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_definition_is_a_name_that_nginx_does_not_have() {
        assert_eq!(definition("$Lang").unwrap(), "lang");
        for bad in [
            "lang",
            "$",
            "$1",
            "$a-b",
            "$args",
            "$uri",
            "$http_x",
            "$limit_rate",
            "$fastcgi_script_name",
        ] {
            assert!(definition(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_text_that_could_double_with_each_line_is_refused() {
        let names = Names(["a".to_owned()].into());
        assert!(Text::body("x $a y $uri", &names).is_ok());
        let doubled = Text::body("$a$a", &names).unwrap_err();
        assert!(
            doubled.contains("more than one variable of yours"),
            "{doubled}"
        );
        assert!(Text::body(&"$uri".repeat(8), &names).is_ok());
        assert!(Text::body(&"$uri".repeat(9), &names).is_err());
    }
}
