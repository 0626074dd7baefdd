//! Where things of a site are: on disk as nginx sees them, in a container as members see them, and as visitors ask.

use std::path::{Component, Path, PathBuf};

use stratus_core::route::Site;

/// The places of one site.
pub(super) struct Places {
    /// The served folder, relative to the tree; empty for the tree itself.
    docroot: PathBuf,
    /// The served folder as members see it.
    pub(super) script_root: PathBuf,
    /// The served folder in the working tree, where shared folders are.
    pub(super) working_root: PathBuf,
    /// The front controller as visitors would ask for it. Shape: `/index.php`.
    pub(super) front: String,
    /// Paths that are never served, as visitors would ask for them.
    pub(super) denied: Vec<String>,
    /// Shared folders under the served folder, as visitors ask for them, less the denied ones.
    pub(super) shared: Vec<String>,
}

impl Places {
    /// The places of `site`, or what is wrong with its description.
    pub(super) fn of(site: &Site) -> Result<Self, String> {
        let docroot = inner(&site.docroot, "docroot")?;
        let front = uri(&inner(Path::new(&site.front), "front")?)?;
        let is_php = Path::new(&front).extension().is_some_and(|e| e == "php");
        if !is_php || front.contains(['?', '%', '#']) {
            return Err(format!(
                "front {:?} is not a path of a .php script",
                site.front
            ));
        }
        let mut denied = Vec::new();
        for path in &site.deny {
            let path = inner(path, "deny")?;
            if path.as_os_str().is_empty() {
                return Err("deny names everything; name what is below the docroot".to_owned());
            }
            denied.push(uri(&path)?);
        }
        tidy(&mut denied);
        let mut shared = Vec::new();
        for path in &site.shared {
            let path = inner(path, "shared")?;
            if docroot.starts_with(&path) {
                return Err(format!(
                    "the docroot is inside the shared folder {}; share folders below it",
                    path.display()
                ));
            }
            if let Ok(below) = path.strip_prefix(&docroot) {
                shared.push(uri(below)?);
            }
        }
        shared.retain(|path| !denied.iter().any(|no| Path::new(path).starts_with(no)));
        tidy(&mut shared);
        Ok(Self {
            script_root: below(&site.mount, &docroot),
            working_root: below(&site.code, &docroot),
            docroot,
            front,
            denied,
            shared,
        })
    }

    /// Whether a path, as visitors ask for it, is refused to all.
    pub(super) fn is_denied(&self, path: &str) -> bool {
        self.denied.iter().any(|no| Path::new(path).starts_with(no))
    }

    /// Whether a path that is refused to all has this extension.
    pub(super) fn denies(&self, extension: &str) -> bool {
        let ends = |path: &String| Path::new(path).extension().is_some_and(|e| e == extension);
        self.denied.iter().any(ends)
    }

    /// The shared folder that a path, as visitors ask for it, is in.
    pub(super) fn sharing(&self, path: &str) -> Option<&str> {
        let holds = |shared: &&String| Path::new(path).starts_with(shared);
        self.shared
            .iter()
            .filter(holds)
            .max_by_key(|shared| shared.len())
            .map(String::as_str)
    }

    /// Whether a path, as visitors ask for it, is in a shared folder.
    pub(super) fn is_shared(&self, path: &str) -> bool {
        self.sharing(path).is_some()
    }

    /// The served folder below `link`, one of the two symlinks of an environment.
    pub(super) fn served(&self, link: &Path) -> PathBuf {
        below(&link.join("code"), &self.docroot)
    }
}

/// Joined, without the `/` that joining nothing would append.
fn below(root: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        root.to_owned()
    } else {
        root.join(path)
    }
}

/// A relative path that stays inside, without `.` parts.
fn inner(path: &Path, what: &str) -> Result<PathBuf, String> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            _ => return Err(format!("{what} {} leads out of the tree", path.display())),
        }
    }
    Ok(clean)
}

/// How visitors ask for a path under the served folder. Shape: `/pub/media`.
fn uri(path: &Path) -> Result<String, String> {
    match path.to_str() {
        Some(text) => Ok(format!("/{text}")),
        None => Err(format!("{} is not UTF-8", path.display())),
    }
}

fn tidy(paths: &mut Vec<String>) {
    paths.sort();
    paths.dedup();
}
