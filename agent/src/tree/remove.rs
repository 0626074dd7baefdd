//! Takes releases away: one by name, those of an operation that is undone, and whatever was left lying.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::Path;

use super::error::TreeError;
use super::halt::CancelFlag;
use super::list::header;
use super::pool;
use super::publish::{PREFIX, Shelf};
use super::request::{check_digest, check_operation, is_digest};
use super::sys;

/// What a sweep took away.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Releases under construction whose operation is over.
    pub partials: u64,
    /// Manifests without a release.
    pub manifests: u64,
    /// Files, links and folders deleted.
    pub entries: u64,
}

/// Removes a release. The caller knows that nothing uses it.
///
/// # Idempotence
/// A release that is not there is removed already; a call that was interrupted is continued by the next, or by [`sweep`].
///
/// # Errors
/// `Io` names what could not be deleted; the rest is gone. `Cancelled`: the release is no longer listed, its files are in
/// the trash.
pub fn remove(releases: &Path, digest: &str, cancel: &CancelFlag) -> Result<(), TreeError> {
    check_digest(digest)?;
    let Some(shelf) = Shelf::open(releases)? else {
        return Ok(());
    };
    let manifest = format!("{digest}.manifest");
    pool::run(|| {
        shelf
            .delete(&[digest.as_bytes(), manifest.as_bytes()], cancel)
            .map(drop)
    })
}

/// Undoes a snapshot: removes what the operation has under construction, and the release it made; never one made by
/// another, even if the operation adopted it.
///
/// # Errors
/// As [`remove`].
pub fn discard(releases: &Path, operation: &str, cancel: &CancelFlag) -> Result<(), TreeError> {
    check_operation(operation)?;
    let Some(shelf) = Shelf::open(releases)? else {
        return Ok(());
    };
    let mut names = Vec::new();
    for digest in manifests(&shelf)? {
        // One that cannot be read tells no creator, so it is not ours to remove.
        if header(releases, &digest).is_ok_and(|h| h.creator == operation) {
            // The release first: a manifest alone is swept away, a release alone would be adopted.
            names.push(digest.clone());
            names.push(format!("{digest}.manifest"));
        }
    }
    let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    pool::run(|| {
        shelf.delete_partial(format!("{PREFIX}{operation}").as_bytes(), cancel)?;
        shelf.delete(&names, cancel).map(drop)
    })
}

/// Deletes what is left of removals, and what is under construction for any operation but those named.
///
/// # Errors
/// As [`remove`].
pub fn sweep(
    releases: &Path,
    running: &BTreeSet<String>,
    cancel: &CancelFlag,
) -> Result<Swept, TreeError> {
    let Some(shelf) = Shelf::open(releases)? else {
        return Ok(Swept::default());
    };
    let mut swept = Swept::default();
    let (mut names, mut partials) = (Vec::new(), Vec::new());
    for name in names_in(&shelf)? {
        let Ok(name) = String::from_utf8(name.into()) else {
            continue;
        };
        if name
            .strip_prefix(PREFIX)
            .is_some_and(|operation| !running.contains(operation))
        {
            swept.partials += 1;
            partials.push(name);
        }
    }
    // While anybody builds a release, its manifest may stand there a moment before it does.
    if running.is_empty() {
        for digest in manifests(&shelf)? {
            if !shelf.has(digest.as_bytes())? {
                swept.manifests += 1;
                names.push(format!("{digest}.manifest"));
            }
        }
    }
    let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    swept.entries = pool::run(|| {
        let mut entries = 0;
        for partial in &partials {
            entries += shelf.delete_partial(partial.as_bytes(), cancel)?;
        }
        Ok(entries + shelf.delete(&names, cancel)?)
    })?;
    Ok(swept)
}

/// The digests for which there is a manifest.
fn manifests(shelf: &Shelf) -> Result<Vec<String>, TreeError> {
    let digest = |name: Box<[u8]>| {
        let stem = name.strip_suffix(b".manifest")?;
        is_digest(stem).then(|| String::from_utf8_lossy(stem).into_owned())
    };
    Ok(names_in(shelf)?.into_iter().filter_map(digest).collect())
}

fn names_in(shelf: &Shelf) -> Result<Vec<Box<[u8]>>, TreeError> {
    let list = || {
        let fd = shelf.anchor.folder(b"")?;
        sys::names(fd.as_fd())
    };
    list().map_err(|e| TreeError::io("list", &shelf.path, e))
}
