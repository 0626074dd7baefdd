//! The keys of an environment that say what its working tree is made of.

use std::fs;
use std::path::{Path, PathBuf};

use super::path;
use super::section::{Section, Value, shown};

/// What the members get to see.
pub(super) struct Tree {
    /// Absolute, an existing folder.
    pub(super) code: Option<PathBuf>,
    /// Relative to the code; empty for the tree itself.
    pub(super) docroot: Option<PathBuf>,
    /// Relative to the docroot.
    pub(super) front: String,
    /// Relative to the code.
    pub(super) shared: Vec<PathBuf>,
    /// Absolute.
    pub(super) links: Vec<PathBuf>,
    /// Relative to the code, or a bare name.
    pub(super) exclude: Vec<PathBuf>,
    /// Relative to the docroot.
    pub(super) deny: Vec<PathBuf>,
}

/// Reads them; `data_dir` and the code must stay apart.
pub(super) fn read(section: &Section<'_>, data_dir: &Path) -> Tree {
    let code = code(section, data_dir);
    let docroot = docroot(section, code.as_deref());
    let shared = path::list(section.get("shared"), path::relative("the code folder"));
    let exclude = path::list(section.get("exclude"), path::relative("the code folder"));
    check_shared(&shared, docroot.as_deref());
    check_exclude(&exclude, &shared, docroot.as_deref());
    let deny = path::list(section.get("deny"), path::relative("the docroot"));
    Tree {
        front: section.or("front", "index.php".to_owned(), front),
        links: links(section, data_dir),
        code,
        docroot,
        shared: paths(shared),
        exclude: paths(exclude),
        deny: paths(deny),
    }
}

fn paths(values: Vec<(PathBuf, Value<'_>)>) -> Vec<PathBuf> {
    values.into_iter().map(|(path, _)| path).collect()
}

fn code(section: &Section<'_>, data_dir: &Path) -> Option<PathBuf> {
    let value = section.need("code", "/srv/shop")?;
    let code = value.parse(path::absolute)?;
    if let Err(message) = folder(&code) {
        value.fault(format!("{message}; name the working tree"));
        return None;
    }
    let (real_code, real_data) = (real(&code), real(data_dir));
    if real_code.starts_with(&real_data) || real_data.starts_with(&real_code) {
        value.fault(format!(
            "`{}` and server.data_dir ({}) lie one in the other; keep them apart",
            code.display(),
            data_dir.display()
        ));
        return None;
    }
    Some(code)
}

fn docroot(section: &Section<'_>, code: Option<&Path>) -> Option<PathBuf> {
    let value = section.need("docroot", "pub")?;
    let docroot = value.parse(|text| path::below(text, "the code folder"))?;
    let code = code?;
    let full = code.join(&docroot);
    if let Err(message) = folder(&full) {
        value.fault(format!("{message}; name the served folder inside the code"));
        return None;
    }
    if !real(&full).starts_with(real(code)) {
        value.fault(format!(
            "`{}` leads outside the code folder; name a folder in it",
            docroot.display()
        ));
        return None;
    }
    Some(docroot)
}

fn front(text: &str) -> Result<String, String> {
    let path = path::relative("the docroot")(text)?;
    let path = path.to_str().expect("made from text");
    if Path::new(path).extension().is_none_or(|e| e != "php") {
        return Err(format!(
            "`{}` does not end in .php, and FPM runs nothing else; name the front controller",
            shown(text)
        ));
    }
    Ok(path.to_owned())
}

fn check_shared(shared: &[(PathBuf, Value<'_>)], docroot: Option<&Path>) {
    for (index, (path, value)) in shared.iter().enumerate() {
        for (other, _) in &shared[..index] {
            if path.starts_with(other) || other.starts_with(path) {
                value.fault(format!(
                    "`{}` and `{}` lie one in the other; keep the outer one",
                    path.display(),
                    other.display()
                ));
            }
        }
        if docroot.is_some_and(|docroot| docroot.starts_with(path)) {
            value.fault(format!(
                "`{}` holds the docroot, whose code would change without a release; share folders in it",
                path.display()
            ));
        }
    }
}

fn check_exclude(
    exclude: &[(PathBuf, Value<'_>)],
    shared: &[(PathBuf, Value<'_>)],
    docroot: Option<&Path>,
) {
    let wanted = shared
        .iter()
        .map(|(path, _)| (path.as_path(), "a shared folder"));
    let wanted = wanted.chain(docroot.map(|docroot| (docroot, "the docroot")));
    let wanted: Vec<_> = wanted.collect();
    for (path, value) in exclude {
        let bare = path.components().count() == 1;
        let hit = wanted.iter().find(|(wanted, _)| {
            wanted.starts_with(path) || bare && wanted.iter().any(|part| part == path.as_os_str())
        });
        if let Some((wanted, what)) = hit {
            value.fault(format!(
                "`{}` leaves out {what}, `{}`; remove one of the two",
                path.display(),
                wanted.display()
            ));
        }
    }
}

fn links(section: &Section<'_>, data_dir: &Path) -> Vec<PathBuf> {
    let links = path::list(section.get("links"), path::mountable);
    for (path, value) in &links {
        if let Err(message) = folder(path) {
            value.fault(format!("{message}; create it, or remove it from the list"));
        } else if real(path).starts_with(real(data_dir)) || real(data_dir).starts_with(real(path)) {
            value.fault(format!(
                "`{}` and server.data_dir ({}) lie one in the other; members must not see the data folder",
                path.display(),
                data_dir.display()
            ));
        }
    }
    paths(links)
}

/// The path behind symlinks, or the path itself where it does not exist.
fn real(path: &Path) -> PathBuf {
    path.ancestors()
        .find_map(|above| {
            let real = fs::canonicalize(above).ok()?;
            Some(real.join(path.strip_prefix(above).ok()?))
        })
        .unwrap_or_else(|| path.to_owned())
}

fn folder(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(format!("`{}` is not a folder", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("there is no folder `{}`", path.display()))
        }
        Err(error) => Err(format!(
            "`{}` cannot be looked at ({error})",
            path.display()
        )),
    }
}
