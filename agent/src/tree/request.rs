//! What a caller asks for, and the same brought into a form the walk can use.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::TreeError;
use super::name::{RelPath, components, join, normal};

/// How large a tree may be. A tree at the limit passes, one beyond it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files, folders and links together.
    pub entries: u64,
    /// Logical size of all files, holes included.
    pub bytes: u64,
    /// Logical size of one file.
    pub file_bytes: u64,
    /// Length of a path relative to the source.
    pub path_bytes: usize,
    /// Levels below the source; an entry of the source itself is at level 1.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 2_000_000,
            bytes: 50_000_000_000,
            file_bytes: 10_000_000_000,
            path_bytes: 4_000,
            depth: 128,
        }
    }
}

/// Whether to hash everything instead of trusting size and time stamps.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Unchanged size, times and inode count as unchanged content.
    #[default]
    No,
    /// Source and release are read again and hashed before the release counts as made.
    Yes,
}

/// One snapshot to make.
#[derive(Debug, Clone)]
pub struct Request {
    /// The working tree.
    pub source: PathBuf,
    /// Where releases lie: `<data>/env/shop/releases`. Made if missing.
    pub releases: PathBuf,
    /// Folders that are not copied, relative to the source: empty folders stand in their place.
    pub shared: Vec<PathBuf>,
    /// What is left out: a path (`pub/tmp`), or a bare name that counts at any depth (`.git`).
    pub exclude: Vec<PathBuf>,
    /// Absolute folders that symlinks may lead into.
    pub links: Vec<PathBuf>,
    /// User and group that own the release's files.
    pub owner: (u32, u32),
    /// The digest of the release to link unchanged files from.
    pub base: Option<String>,
    /// Who makes it: `[A-Za-z0-9._-]`, at most 128 bytes, not beginning with a dot.
    pub operation: String,
    /// How large the tree may be.
    pub limits: Limits,
    /// Whether to hash everything.
    pub verify: Verify,
    /// Where members see the release (`/var/www/html`): absolute links to there lead into the tree.
    pub mount: PathBuf,
}

impl Request {
    /// A request with nothing shared, excluded or linked, and the usual limits.
    pub fn new(
        source: impl Into<PathBuf>,
        releases: impl Into<PathBuf>,
        operation: impl Into<String>,
    ) -> Self {
        Self {
            source: source.into(),
            releases: releases.into(),
            shared: Vec::new(),
            exclude: Vec::new(),
            links: Vec::new(),
            owner: (0, 0),
            base: None,
            operation: operation.into(),
            limits: Limits::default(),
            verify: Verify::No,
            mount: PathBuf::from("/var/www/html"),
        }
    }
}

/// The parts of a request that say what belongs to the tree.
#[derive(Debug)]
pub(crate) struct Rules {
    pub shared: HashSet<RelPath>,
    exclude_names: HashSet<RelPath>,
    exclude_paths: HashSet<RelPath>,
    /// Absolute places that are the tree itself.
    pub here: Vec<Vec<u8>>,
    /// Absolute places that links may lead into.
    pub roots: Vec<Vec<u8>>,
    pub limits: Limits,
}

impl Rules {
    pub(crate) fn new(request: &Request) -> Result<Self, TreeError> {
        check_operation(&request.operation)?;
        if let Some(base) = &request.base {
            check_digest(base)?;
        }
        let source = real_source(request)?;
        let mut here = Vec::new();
        for place in [
            request.source.as_path(),
            source.as_path(),
            request.mount.as_path(),
        ] {
            if place.is_absolute() && components(place.as_os_str().as_bytes()).next().is_some() {
                here.push(place.as_os_str().as_bytes().to_vec());
            }
        }
        let (mut exclude_names, mut exclude_paths) = (HashSet::new(), HashSet::new());
        for path in &request.exclude {
            let anchored = path.strip_prefix("/").unwrap_or(path);
            let form = normal(anchored).ok_or_else(|| bad("exclude", path))?;
            let bare = anchored == path && !path.as_os_str().as_bytes().contains(&b'/');
            if bare {
                &mut exclude_names
            } else {
                &mut exclude_paths
            }
            .insert(form);
        }
        let shared = request
            .shared
            .iter()
            .map(|path| normal(path).ok_or_else(|| bad("shared", path)))
            .collect::<Result<_, _>>()?;
        let roots = request
            .links
            .iter()
            .map(|path| {
                let bytes = path.as_os_str().as_bytes();
                let climbs = components(bytes).any(|c| c == b"..");
                let fine = path.is_absolute() && !climbs && components(bytes).next().is_some();
                fine.then(|| bytes.to_vec()).ok_or_else(|| {
                    TreeError::Request(format!(
                        "links: {} is not an absolute folder",
                        path.display()
                    ))
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            shared,
            exclude_names,
            exclude_paths,
            here,
            roots,
            limits: request.limits,
        })
    }

    /// Whether an entry of a folder is left out.
    pub(crate) fn is_excluded(&self, folder: &[u8], name: &[u8]) -> bool {
        self.exclude_names.contains(name)
            || (!self.exclude_paths.is_empty()
                && self.exclude_paths.contains(join(folder, name).as_slice()))
    }
}

/// Where the source really lies; releases may not lie inside it, nor it inside them.
fn real_source(request: &Request) -> Result<PathBuf, TreeError> {
    let source = fs::canonicalize(&request.source)
        .map_err(|e| TreeError::io("open the code directory", &request.source, e))?;
    if source.parent().is_none() {
        return Err(TreeError::Request("the code directory cannot be /".into()));
    }
    if let Ok(releases) = real_parent(&request.releases)
        && (releases.starts_with(&source) || source.starts_with(&releases))
    {
        return Err(TreeError::Request(format!(
            "the code directory {} and the releases in {} must not lie inside each other",
            source.display(),
            request.releases.display()
        )));
    }
    Ok(source)
}

/// The real path of something that may not exist yet: that of its nearest existing ancestor, and the rest.
fn real_parent(path: &Path) -> std::io::Result<PathBuf> {
    let mut rest = Vec::new();
    let mut at = path;
    loop {
        match fs::canonicalize(at) {
            Ok(real) => return Ok(rest.into_iter().rev().fold(real, |p, part| p.join(part))),
            Err(error) => match (at.parent(), at.file_name()) {
                (Some(up), Some(name)) => {
                    rest.push(name);
                    at = if up.as_os_str().is_empty() {
                        Path::new(".")
                    } else {
                        up
                    };
                }
                _ => return Err(error),
            },
        }
    }
}

pub(crate) fn check_operation(operation: &str) -> Result<(), TreeError> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if (1..=128).contains(&operation.len())
        && !operation.starts_with('.')
        && operation.bytes().all(fine)
    {
        return Ok(());
    }
    Err(TreeError::Request(format!(
        "{operation:?} is no name of an operation"
    )))
}

pub(crate) fn check_digest(digest: &str) -> Result<(), TreeError> {
    if is_digest(digest.as_bytes()) {
        return Ok(());
    }
    Err(TreeError::Request(format!(
        "{digest:?} is no digest of a release"
    )))
}

pub(crate) fn is_digest(name: &[u8]) -> bool {
    name.len() == 64
        && name
            .iter()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
}

fn bad(key: &str, path: &Path) -> TreeError {
    TreeError::Request(format!(
        "{key}: {:?} is not a path inside the code directory",
        path.display()
    ))
}
