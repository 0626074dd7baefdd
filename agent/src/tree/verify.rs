//! Compares trees with manifests: by looking, or by reading and hashing everything.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rayon::prelude::*;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::copy::{self, Stop};
use super::error::TreeError;
use super::forecast::open_source;
use super::halt::CancelFlag;
use super::manifest::{self, File, Folder, FolderKind, Tree, Way};
use super::name::{join, path_buf};
use super::place::Site;
use super::pool;
use super::request::{Request, Rules, check_digest};
use super::stat::{Stat, file_type};
use super::sys::{self, Anchor};
use super::walk::Walk;

/// How a path of the working tree, or of a release, differs from the release's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The working tree has it, the release does not.
    Added,
    /// The release has it, the working tree does not.
    Removed,
    /// The working tree has something else there: content, mode or link target.
    Changed,
    /// The release's own file is no longer what was put there.
    Altered,
}

/// What differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// By path, relative to the tree.
    pub paths: Vec<(PathBuf, Difference)>,
}

/// Says how the working tree differs from a release; only files whose times or inode moved are read.
///
/// # Errors
/// `NoRelease`, `Manifest`, and those of a walk.
pub fn compare(request: &Request, digest: &str, cancel: &CancelFlag) -> Result<Drift, TreeError> {
    examine(request, digest, cancel, Depth::Looks)
}

/// Reads and hashes every file of the working tree and of a release, and says how either differs from the manifest.
///
/// # Errors
/// `NoRelease`, `Manifest`, and those of a walk.
pub fn verify(request: &Request, digest: &str, cancel: &CancelFlag) -> Result<Drift, TreeError> {
    examine(request, digest, cancel, Depth::Hashes)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Looks,
    Hashes,
}

fn examine(
    request: &Request,
    digest: &str,
    cancel: &CancelFlag,
    depth: Depth,
) -> Result<Drift, TreeError> {
    check_digest(digest)?;
    let rules = Rules::new(request)?;
    let source = open_source(request)?;
    pool::run(|| {
        let (_, kept) = manifest::load(&request.releases, digest)?;
        let walk = Walk {
            source: &source,
            path: &request.source,
            rules: &rules,
            cancel,
        };
        let now = walk.run()?;
        let mut paths = removed(&kept, &now);
        let changed: Vec<Vec<_>> = now
            .folders
            .par_iter()
            .map(|folder| differences(&source, folder, kept.folder(&folder.path), cancel, depth))
            .collect::<Result<_, _>>()?;
        paths.extend(changed.into_iter().flatten());
        if depth == Depth::Hashes {
            let path = request.releases.join(digest);
            let release = Anchor::open(&path).map_err(|e| TreeError::io("open", &path, e))?;
            let altered: Vec<Vec<_>> = kept
                .folders
                .par_iter()
                .map(|folder| altered(&release, &kept, folder, cancel))
                .collect::<Result<_, _>>()?;
            paths.extend(altered.into_iter().flatten());
        }
        paths.sort_unstable();
        paths.dedup();
        Ok(Drift { paths })
    })
}

fn removed(kept: &Tree, now: &Tree) -> Vec<(PathBuf, Difference)> {
    let mut paths = Vec::new();
    for folder in &kept.folders {
        let now = now.folder(&folder.path);
        if now.is_none() {
            paths.push((path_buf(&folder.path), Difference::Removed));
        }
        let is_there =
            |name: &[u8]| now.is_some_and(|n| n.file(name).is_some() || n.link(name).is_some());
        let names = folder
            .files
            .iter()
            .map(|f| &f.name)
            .chain(folder.links.iter().map(|l| &l.name));
        for name in names.filter(|name| !is_there(name)) {
            paths.push((path_buf(&join(&folder.path, name)), Difference::Removed));
        }
    }
    paths
}

fn differences(
    source: &Anchor,
    now: &Folder,
    kept: Option<&Folder>,
    cancel: &CancelFlag,
    depth: Depth,
) -> Result<Vec<(PathBuf, Difference)>, TreeError> {
    let mut paths = Vec::new();
    let mut note = |name: &[u8], how| {
        let path = if name.is_empty() {
            now.path.to_vec()
        } else {
            join(&now.path, name)
        };
        paths.push((path_buf(&path), how));
    };
    let Some(kept) = kept else {
        note(b"", Difference::Added);
        let names = now
            .files
            .iter()
            .map(|f| &f.name)
            .chain(now.links.iter().map(|l| &l.name));
        names.for_each(|name| note(name, Difference::Added));
        return Ok(paths);
    };
    if kept.release_mode() != now.release_mode() {
        note(b"", Difference::Changed);
    }
    let fd = match source.folder(&now.path) {
        Ok(fd) => fd,
        Err(_) if now.kind == FolderKind::Stub => return Ok(paths),
        Err(error) => return Err(TreeError::io("open", &path_buf(&now.path), error)),
    };
    for file in &now.files {
        cancel.check()?;
        let Some(before) = kept.file(&file.name) else {
            let is_link = kept.link(&file.name).is_some();
            note(
                &file.name,
                if is_link {
                    Difference::Changed
                } else {
                    Difference::Added
                },
            );
            continue;
        };
        let looks_same = before.stat == file.stat;
        let is_same = (looks_same && depth == Depth::Looks)
            || (before.stat.release_mode() == file.stat.release_mode()
                && before.stat.size == file.stat.size
                && hash_at(source, fd.as_fd(), file, cancel)? == Some(before.hash));
        if !is_same {
            note(&file.name, Difference::Changed);
        }
    }
    for link in &now.links {
        match kept.link(&link.name) {
            Some(before) if before.release_target() == link.release_target() => {}
            None if kept.file(&link.name).is_none() => note(&link.name, Difference::Added),
            _ => note(&link.name, Difference::Changed),
        }
    }
    Ok(paths)
}

fn altered(
    release: &Anchor,
    tree: &Tree,
    folder: &Folder,
    cancel: &CancelFlag,
) -> Result<Vec<(PathBuf, Difference)>, TreeError> {
    let mut found: Vec<Vec<u8>> = odd_entries(release, tree, folder);
    if let Ok(fd) = release.folder(&folder.path) {
        for file in &folder.files {
            cancel.check()?;
            if hash_at(release, fd.as_fd(), file, cancel)? != Some(file.hash) {
                found.push(join(&folder.path, &file.name));
            }
        }
    }
    Ok(found
        .into_iter()
        .map(|path| (path_buf(&path), Difference::Altered))
        .collect())
}

/// Hashes a file of a folder; nothing if it is gone or is no file.
fn hash_at(
    anchor: &Anchor,
    folder: BorrowedFd<'_>,
    file: &File,
    cancel: &CancelFlag,
) -> Result<Option<[u8; 32]>, TreeError> {
    let error = |e: Errno| TreeError::io("read", &path_buf(&file.name), e);
    let fd = match anchor.file(folder, &file.name) {
        Ok(fd) => fd,
        Err(gone) if sys::is_gone(gone) => return Ok(None),
        Err(e) => return Err(error(e)),
    };
    let seen = sys::look_fd(fd.as_fd()).map_err(error)?;
    if file_type(&seen) != FileType::RegularFile || seen.stx_size != file.stat.size {
        return Ok(None);
    }
    match copy::hash(fd.as_fd(), file.stat.size, cancel) {
        Ok(written) => Ok(Some(written.hash)),
        Err(Stop::Cancelled) => Err(TreeError::Cancelled),
        Err(Stop::Read(e) | Stop::Write(e)) => Err(error(e)),
    }
}

/// Hashes source and release; where either is not what was noted, the file must be copied again.
pub(crate) fn doubt(site: &Site<'_>, tree: &mut Tree) -> Result<(), TreeError> {
    tree.folders
        .par_iter_mut()
        .filter(|f| f.settled)
        .try_for_each(|folder| {
            let source = site.source.folder(&folder.path);
            let target = site.target.folder(&folder.path);
            let (Ok(source), Ok(target)) = (source, target) else {
                return Ok(()); // the walk that follows tells
            };
            folder
                .files
                .par_iter_mut()
                .filter(|f| f.sure)
                .try_for_each(|file| {
                    site.cancel.check()?;
                    let at_source = hash_at(site.source, source.as_fd(), file, site.cancel)?;
                    let at_target = hash_at(site.target, target.as_fd(), file, site.cancel)?;
                    if at_source != Some(file.hash) || at_target != Some(file.hash) {
                        file.sure = false;
                        file.way = Way::Doubted;
                    }
                    Ok(())
                })
        })
}

/// Looks at a release: whether everything the tree says is there, as it says; else the first path that is not.
pub(crate) fn intact(release: &Anchor, tree: &Tree) -> Result<(), PathBuf> {
    tree.folders.par_iter().try_for_each(|folder| {
        odd_entries(release, tree, folder)
            .first()
            .map_or(Ok(()), |path| Err(path_buf(path)))
    })
}

/// The entries of a release's folder that are not what the tree says.
fn odd_entries(release: &Anchor, tree: &Tree, folder: &Folder) -> Vec<Vec<u8>> {
    let Ok(fd) = release.folder(&folder.path) else {
        return vec![folder.path.to_vec()];
    };
    let mut odd = Vec::new();
    match sys::look_fd(fd.as_fd()) {
        Ok(seen) if Stat::from(&seen).mode == folder.release_mode() => {}
        _ => odd.push(folder.path.to_vec()),
    }
    for file in &folder.files {
        let same = sys::look(fd.as_fd(), &file.name).is_ok_and(|seen| {
            let stat = Stat::from(&seen);
            file_type(&seen) == FileType::RegularFile
                && stat.size == file.stat.size
                && stat.mtime == file.mtime
                && stat.mode == file.stat.release_mode()
                && (seen.stx_uid, seen.stx_gid) == tree.owner
        });
        if !same {
            odd.push(join(&folder.path, &file.name));
        }
    }
    for link in &folder.links {
        let target = rustix::fs::readlinkat(&fd, &*link.name, Vec::new());
        if target.is_ok_and(|t| t.as_bytes() == link.release_target()) {
            continue;
        }
        odd.push(join(&folder.path, &link.name));
    }
    let known = |name: &[u8]| {
        folder.file(name).is_some()
            || folder.link(name).is_some()
            || tree.folder(&join(&folder.path, name)).is_some()
    };
    let names = sys::names(fd.as_fd()).unwrap_or_default();
    odd.extend(
        names
            .iter()
            .filter(|n| !known(n))
            .map(|n| join(&folder.path, n)),
    );
    odd
}
