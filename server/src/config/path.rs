//! Paths as text: absolute or relative, without `..`, without repeated slashes.

use std::path::{Component, Path, PathBuf};

use super::section::{Value, shown};

/// Folders of every container that nothing may be mounted over.
const SYSTEM: [&str; 16] = [
    "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/run",
    "/sbin", "/sys", "/tmp", "/usr", "/var",
];
/// Folders that nothing may be mounted into.
const KERNEL: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];

/// An absolute path that is not `/`.
pub(super) fn absolute(text: &str) -> Result<PathBuf, String> {
    if !text.starts_with('/') {
        return Err(format!(
            "`{}` is not absolute; begin it with /",
            shown(text)
        ));
    }
    let path = normal(text)?;
    if path == Path::new("/") {
        return Err("is the root folder itself; name a folder in it".into());
    }
    Ok(path)
}

/// A path below `base`, which is named in messages; `.` is refused.
pub(super) fn relative(base: &'static str) -> impl Fn(&str) -> Result<PathBuf, String> {
    move |text| {
        let path = below(text, base)?;
        if path.as_os_str().is_empty() {
            return Err(format!("is {base} itself; name something in it"));
        }
        if text.contains(['*', '?']) {
            return Err(format!(
                "`{}` is a pattern; names are taken as they stand",
                shown(text)
            ));
        }
        Ok(path)
    }
}

/// A path below `base`, or `.` (which becomes empty) for `base` itself.
pub(super) fn below(text: &str, base: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        return Err(format!(
            "`{}` is absolute; write it relative to {base}",
            shown(text)
        ));
    }
    normal(text)
}

/// A folder in members at which something of the host appears.
pub(super) fn mountable(text: &str) -> Result<PathBuf, String> {
    let path = absolute(text)?;
    let system = SYSTEM.iter().any(|folder| path == Path::new(folder));
    if system || KERNEL.iter().any(|folder| path.starts_with(folder)) {
        return Err(format!(
            "`{}` belongs to the container's system; use another folder, such as /var/www/html or one under /srv",
            path.display()
        ));
    }
    Ok(path)
}

/// A list of paths, each parsed by `parse`, none twice. What is wrong is reported and left out.
pub(super) fn list<'a>(
    value: Option<Value<'a>>,
    parse: impl Fn(&str) -> Result<PathBuf, String>,
) -> Vec<(PathBuf, Value<'a>)> {
    let mut paths: Vec<(PathBuf, Value<'a>)> = Vec::new();
    for item in value.and_then(|value| value.items()).unwrap_or_default() {
        let Some(path) = item.parse(&parse) else {
            continue;
        };
        if paths.iter().any(|(other, _)| *other == path) {
            item.fault(format!(
                "`{}` stands here twice; remove one",
                path.display()
            ));
        } else {
            paths.push((path, item));
        }
    }
    paths
}

fn normal(text: &str) -> Result<PathBuf, String> {
    let mut path = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::ParentDir => {
                return Err(format!(
                    "`{}` holds `..`; write the path without it",
                    shown(text)
                ));
            }
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    Ok(path)
}
