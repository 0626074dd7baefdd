//! A tenant's own files of nginx's language: `.nginx/http_level/*.conf` and `.nginx/server_level/*.conf` of his working
//! tree.
//!
//! ```text
//! files ──peek──► text ──parse──► words ──read──► Rules ──store──► rendered with every text (`render/tenant.rs`)
//!                   └ refused        └ refused      └ typed: nothing else of the files ever reaches nginx
//! ```
//!
//! The files are the tenant's, and he may be anybody: they are read by directory descriptors, with a limit on
//! everything, and what is not in the list of allowed directives is refused. What was accepted stays in force until
//! something else is.

pub mod allowed;
mod passwords;
mod pattern;
mod read;
mod rules;
mod text;

use std::path::Path;

use stratus_core::route::Site;
use stratus_core::tenant::{Refusal, TenantError, TenantRules};

pub(super) use pattern::{Case, Pattern, limited};
pub(super) use rules::{
    Becomes, Candidate, Condition, Key, Location, Map, Place, Rule, Rules, Target, Test, Truth,
};
pub(super) use text::{Text, own};

use self::read::{Desk, Level, Source};
use super::place::Places;
use crate::tree::{Peek, PeekError, Shown};

/// Files of one of the two folders.
const FILES_MAX: usize = 64;
/// Entries of one of the two folders, whatever they are.
const ENTRIES_MAX: usize = 1000;
/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// Bytes of a password file.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;
/// Where the tenant sees his working tree.
const HOME: &str = "/srv/";

/// Reads the files of `site`'s working tree. Touches nothing. Blocks; call it where blocking is allowed.
///
/// # Errors
/// Everything that is not allowed, by file, line and directive.
pub fn read(site: &Site) -> Result<TenantRules, TenantError> {
    let tree = Peek::open(&site.code).map_err(|source| TenantError::Unreadable {
        detail: format!("look into the working tree {}", site.code.display()),
        source,
    })?;
    let places = Places::of(site).map_err(|why| TenantError::Refused(vec![whole("", why)]))?;
    let mut sources = Vec::new();
    let mut refused = Vec::new();
    for (level, folder) in [(Level::Http, "http_level"), (Level::Server, "server_level")] {
        collect(
            &tree,
            level,
            &format!(".nginx/{folder}"),
            &mut sources,
            &mut refused,
        );
    }
    if !refused.is_empty() {
        return Err(TenantError::Refused(refused));
    }
    if sources.is_empty() {
        return Ok(TenantRules::default());
    }
    let passwords = |path: &str| password_file(&tree, &site.code, path);
    let desk = Desk {
        places: &places,
        health: site.health.as_deref(),
        upload_limit: site.upload_limit,
        passwords: &passwords,
    };
    let (rules, directives) = read::read(&sources, &desk).map_err(TenantError::Refused)?;
    Ok(TenantRules {
        files: sources.into_iter().map(|source| source.name).collect(),
        directives,
        accepted: store(&rules),
    })
}

/// The rules in the form in which they are stored.
fn store(rules: &Rules) -> serde_json::Value {
    serde_json::to_value(rules).expect("maps with text keys and plain values are JSON")
}

/// The rules that were stored.
///
/// # Errors
/// When another version wrote what this one cannot read.
pub(super) fn stored(rules: &TenantRules) -> Result<Rules, String> {
    serde_json::from_value(rules.accepted.clone()).map_err(|error| {
        format!(
            "its accepted nginx files were written by another version ({error}); run nginx.update"
        )
    })
}

fn collect(
    tree: &Peek,
    level: Level,
    folder: &str,
    sources: &mut Vec<Source>,
    refused: &mut Vec<Refusal>,
) {
    let names = match tree.names(folder, ENTRIES_MAX) {
        Ok(names) => names,
        Err(PeekError::Missing) => return,
        Err(error) => return refused.push(whole(folder, error.to_string())),
    };
    let is_ours = |name: &Vec<u8>| name.ends_with(b".conf") && !name.starts_with(b".");
    for (index, name) in names.into_iter().filter(is_ours).enumerate() {
        if index == FILES_MAX {
            let why = format!("more than {FILES_MAX} files; put them together");
            return refused.push(whole(folder, why));
        }
        let shown = format!("{folder}/{}", Shown(&name));
        let path = [folder.as_bytes(), b"/", &name].concat();
        match text(tree, &path, FILE_BYTES_MAX) {
            Ok(text) => sources.push(Source {
                name: shown,
                level,
                text,
            }),
            // Gone since the folder was listed.
            Err(None) => {}
            Err(Some(refusal)) => refused.push(Refusal {
                file: shown,
                ..refusal
            }),
        }
    }
}

/// A file's text; no refusal where there is no file.
fn text(tree: &Peek, path: &[u8], most: u64) -> Result<String, Option<Refusal>> {
    let bytes = match tree.read(path, most) {
        Ok(bytes) => bytes,
        Err(PeekError::Missing) => return Err(None),
        Err(PeekError::TooLarge(most)) => {
            let why =
                format!("the file is larger than the {most} bytes that are read; make it smaller");
            return Err(Some(whole("", why)));
        }
        Err(error) => return Err(Some(whole("", error.to_string()))),
    };
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        Some(Refusal {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            ..whole(
                "",
                "the text is not UTF-8 here; save it as UTF-8".to_owned(),
            )
        })
    })
}

/// A password file's text, by its path as the tenant writes it: from the top of his tree, or as he or the operator sees it.
fn password_file(tree: &Peek, code: &Path, path: &str) -> Result<String, String> {
    let inside = match Path::new(path).strip_prefix(code) {
        Ok(inside) => inside,
        Err(_) => Path::new(path.strip_prefix(HOME).unwrap_or(path)),
    };
    let inside = inside.to_str().filter(|inside| !inside.starts_with('/'));
    let inside = inside
        .ok_or("it is not in the working tree; name a file in it, such as .nginx/passwords")?;
    match text(tree, inside.as_bytes(), PASSWORD_BYTES_MAX) {
        Ok(text) => Ok(text),
        Err(Some(refusal)) => Err(refusal.why),
        Err(None) => {
            Err("there is no such file in the working tree; make it with htpasswd".to_owned())
        }
    }
}

fn whole(file: &str, why: String) -> Refusal {
    Refusal {
        file: file.to_owned(),
        line: 0,
        directive: String::new(),
        why,
    }
}

#[cfg(test)]
mod tests;
