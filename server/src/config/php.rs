//! The key `php` of an environment: how its members run PHP-FPM.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use stratus_core::environment::{Php, Setting, User};

use super::section::{Section, shown};
use super::{Variables, path, scalar, secret};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// The keys of `php`.
pub(super) const KEYS: &[&str] = &[
    "image", "fpm", "mount", "user", "workers", "ini", "env", "memory", "cpus",
];

/// Reads `php`. Members run as the owner of `code` where nothing else is said.
pub(super) fn read(
    environment: &Section<'_>,
    code: Option<&Path>,
    variables: Variables<'_>,
) -> Option<Php> {
    let value = environment.need("php", "{image: …}")?;
    let section = value.section(KEYS, &[])?;
    let image = section
        .need("image", "NAME:TAG")
        .and_then(|value| value.parse(image));
    let user = match section.get("user") {
        Some(value) => value.parse(scalar::user),
        None => owner(&section, code),
    };
    let fpm = section.or("fpm", "php-fpm".to_owned(), program);
    let mount = section.or("mount", "/var/www/html".into(), path::mountable);
    let workers = section.or("workers", 8, scalar::whole(1..=4096));
    let memory = section.or("memory", GIB, scalar::size(16 * MIB..=1024 * GIB));
    let cpus_milli = section.or("cpus", 1000, scalar::cpus);
    let (ini, env) = (ini(&section), env(&section, variables));
    Some(Php {
        image: image?,
        fpm,
        mount,
        user: user?,
        workers,
        ini,
        env,
        memory,
        cpus_milli,
    })
}

fn owner(section: &Section<'_>, code: Option<&Path>) -> Option<User> {
    let code = code?;
    let metadata = fs::metadata(code).ok()?;
    if metadata.uid() == 0 {
        section.fault(format!(
            "`{}` belongs to root, and nothing here runs as root; name another user, such as `user: 1000:1000`",
            code.display()
        ));
        return None;
    }
    Some(User {
        uid: metadata.uid(),
        gid: metadata.gid(),
    })
}

/// Shape: `stratus/php-fpm:8.2`, `registry.example.test:5000/php@sha256:…`.
fn image(text: &str) -> Result<String, String> {
    let good = text.len() <= 255
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b));
    good.then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "`{}` is not the name of an image; write it as NAME:TAG",
            shown(text)
        )
    })
}

/// Shape: `php-fpm8.2`, `/usr/local/sbin/php-fpm`.
fn program(text: &str) -> Result<String, String> {
    let good = !text.starts_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-+/".contains(&b))
        && (!text.contains('/') || text.starts_with('/'));
    good.then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "`{}` is not a program; write its name, such as php-fpm8.2, or its absolute path",
            shown(text)
        )
    })
}

fn ini(section: &Section<'_>) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let entries = section.get("ini").and_then(|value| value.entries());
    for (name, value) in entries.unwrap_or_default() {
        if !is_option(name) {
            value.fault("is not the name of a php.ini setting; write one such as memory_limit");
        } else if let Some(text) = value.scalar() {
            if text.contains("${") {
                value.fault("`${…}` is read for secrets only; write the value itself");
            } else {
                settings.insert(name.to_owned(), text.to_owned());
            }
        }
    }
    settings
}

/// Whether `name` can name an option of `php.ini`. Shape: `memory_limit`, `opcache.enable`.
pub fn is_option(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn env(section: &Section<'_>, variables: Variables<'_>) -> BTreeMap<String, Setting> {
    let mut env = BTreeMap::new();
    let entries = section.get("env").and_then(|value| value.entries());
    for (name, value) in entries.unwrap_or_default() {
        if !secret::is_name(name) {
            value.fault("is not the name of a variable; use letters, digits and `_`");
        } else if let Some(text) = value.scalar() {
            match secret::resolve(text, variables) {
                Ok(found) => {
                    env.insert(name.to_owned(), found);
                }
                Err(message) => value.fault(message),
            }
        }
    }
    env
}
