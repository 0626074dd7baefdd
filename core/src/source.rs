//! Where the code of a release comes from when it is not the working tree: `deploy --from`.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Longest text that names a source, in bytes.
const TEXT_MAX: usize = 2000;
/// How the name of an archive ends.
const ARCHIVES: [&str; 6] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".zip"];

/// What to make a release from, and on whose behalf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Where it is.
    pub place: Place,
    /// Who asked for it.
    pub asked_by: AskedBy,
}

/// Where a source is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A folder or an archive on the server's host. The operator's is absolute, an environment's relative to its tree.
    Path(PathBuf),
    /// An archive behind an address. Shape: `https://builds.example.test/shop-42.tar.gz`.
    Download(String),
    /// A reference of a git repository.
    Git {
        /// Shape: `https://git.example.test/shop.git`.
        url: String,
        /// A branch, a tag or a whole commit id; none for what the repository calls HEAD.
        reference: Option<String>,
    },
}

/// On whose behalf a source is read: what the server could reach is more than what an environment may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskedBy {
    /// Who may use the server's own socket: any path and address, and the server's keys for ssh.
    Operator,
    /// Who may use the socket of an environment: paths inside its tree, and what http and https reach outside this host.
    Environment,
}

/// Why a text names no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadSource(String);

impl Source {
    /// Reads what a user wrote.
    ///
    /// A text with `://`, or like `git@host:path`, is an address: of an archive where its path ends as one does, of a git
    /// repository otherwise; `#` begins the reference. Everything else is a path.
    ///
    /// # Errors
    /// When it is none of them, or not one for who asks: one sentence that says what to write.
    pub fn parse(text: &str, asked_by: AskedBy) -> Result<Self, BadSource> {
        if text.is_empty() || text.len() > TEXT_MAX || text.chars().any(char::is_control) {
            return bad(
                "--from takes a folder, an archive or the address of one, or a git repository",
            );
        }
        let place = match text.split_once("://") {
            Some((scheme, rest)) => address(text, scheme, rest, asked_by)?,
            None if is_like_scp(text) => git(text, asked_by == AskedBy::Operator)?,
            None => Place::Path(path(text, asked_by)?),
        };
        Ok(Self { place, asked_by })
    }
}

impl fmt::Display for Source {
    /// As people may see it: without a query, which may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Path(path) => write!(f, "{}", path.display()),
            Place::Download(url) => f.write_str(without_query(url)),
            Place::Git { url, reference } => {
                f.write_str(without_query(url))?;
                match reference {
                    Some(reference) => write!(f, "#{reference}"),
                    None => Ok(()),
                }
            }
        }
    }
}

fn bad<T>(message: impl Into<String>) -> Result<T, BadSource> {
    Err(BadSource(message.into()))
}

/// Whether an address is one of an archive, by the end of its path.
fn is_archive(address: &str) -> bool {
    ARCHIVES
        .iter()
        .any(|end| without_query(address).ends_with(end))
}

fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(address, _)| address)
}

fn address(text: &str, scheme: &str, rest: &str, asked_by: AskedBy) -> Result<Place, BadSource> {
    let is_web = matches!(scheme, "https" | "http");
    let known = is_web || matches!(scheme, "ssh" | "git" | "file");
    if !known {
        return bad(format!(
            "{scheme}:// cannot be read from; write https://, http://, ssh://, git:// or file://"
        ));
    }
    if !is_web && asked_by == AskedBy::Environment {
        return bad(format!(
            "{scheme}:// is for the operator; on the socket of an environment write https:// or http://"
        ));
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() && scheme != "file" || rest.starts_with('-') {
        return bad(format!("{:?} names no host", without_query(text)));
    }
    if text.contains('?') && !is_archive(text) {
        return bad(
            "a repository's address has no ? in it; a key there would be seen by all, let the build fetch the code and name its folder",
        );
    }
    // The plan keeps the address, and shows it.
    if is_web && host.contains('@')
        || host
            .rsplit_once('@')
            .is_some_and(|(user, _)| user.contains(':'))
    {
        return bad(
            "an address with a password in it would be kept in the operation's plan; let the build fetch the code and name its folder, or use ssh",
        );
    }
    let (address, reference) = match text.split_once('#') {
        Some((address, reference)) => (address, Some(reference)),
        None => (text, None),
    };
    match (is_web && is_archive(address), reference) {
        (true, None) => Ok(Place::Download(address.to_owned())),
        (true, Some(_)) => bad("an archive has no references; leave out the # and what follows"),
        (false, _) => git(text, true),
    }
}

fn git(text: &str, allowed: bool) -> Result<Place, BadSource> {
    if !allowed {
        return bad(
            "ssh is for the operator; on the socket of an environment write https:// or http://",
        );
    }
    let (url, reference) = match text.split_once('#') {
        Some((url, reference)) => (url, Some(reference)),
        None => (text, None),
    };
    if let Some(reference) = reference
        && !is_reference(reference)
    {
        return bad(format!(
            "{reference:?} is not the name of a branch or a tag, nor a commit id"
        ));
    }
    Ok(Place::Git {
        url: url.to_owned(),
        reference: reference.map(str::to_owned),
    })
}

/// What git takes for the name of a reference, and nothing that it takes for something else. Source: git-check-ref-format(1).
fn is_reference(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/+@=,%!".contains(&b);
    !text.is_empty()
        && text.bytes().all(plain)
        && !text.starts_with(['-', '/', '.', '+'])
        && !text.ends_with(['/', '.'])
        && !["..", "//", "/.", "@{"]
            .iter()
            .any(|part| text.contains(part))
        && text != "@"
        && !text
            .split('/')
            .any(|part| part.strip_suffix(".lock").is_some())
}

/// `git@host:path`, git's other way to write an ssh address.
fn is_like_scp(text: &str) -> bool {
    let Some((host, path)) = text.split_once(':') else {
        return false;
    };
    let word = |b: u8| b.is_ascii_alphanumeric() || b"._-@".contains(&b);
    host.contains('@') && !host.starts_with('-') && host.bytes().all(word) && !path.starts_with('-')
}

fn path(text: &str, asked_by: AskedBy) -> Result<PathBuf, BadSource> {
    let path = Path::new(text);
    match asked_by {
        AskedBy::Operator if !path.is_absolute() => bad(format!(
            "{text:?} is a path on the server's host; write all of it, from / on"
        )),
        AskedBy::Operator => Ok(path.to_owned()),
        AskedBy::Environment => {
            let inside: PathBuf = path
                .components()
                .filter(|part| *part != Component::CurDir)
                .collect();
            let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
            if inside.as_os_str().is_empty() || !inside.components().all(plain) {
                return bad(format!(
                    "on the socket of an environment {text:?} must be a path inside its tree, relative to it"
                ));
            }
            Ok(inside)
        }
    }
}

#[cfg(test)]
mod tests;
