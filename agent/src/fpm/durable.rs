//! Folders, files and links that are there, whole and owned as asked, when a call returns.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// Who owns something, and who may do what with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    /// User and group; as created when `None`.
    pub owner: Option<(u32, u32)>,
    /// Permission bits.
    pub mode: u32,
}

/// What could not be done, and where.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} {path:?}")]
pub struct DurableError {
    act: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl DurableError {
    pub(crate) fn io(self) -> (String, io::Error) {
        (self.to_string(), self.source)
    }
}

pub(crate) fn at<'a>(act: &'static str, path: &'a Path) -> impl Fn(io::Error) -> DurableError + 'a {
    move |source| DurableError {
        act,
        path: path.to_owned(),
        source,
    }
}

/// A folder, with the access asked for whether or not it was there.
pub(crate) fn folder(path: &Path, access: Access) -> Result<(), DurableError> {
    match fs::create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.map_err(at("create the folder", path))?,
    }
    let found = fs::symlink_metadata(path).map_err(at("look at", path))?;
    if !found.is_dir() {
        let source = io::Error::from(io::ErrorKind::NotADirectory);
        return Err(at("use", path)(source));
    }
    permit(path, &found, access)
}

/// A file with this text, put in place by a rename, unless it is there already.
pub(crate) fn file(path: &Path, text: &str, access: Access) -> Result<(), DurableError> {
    if fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        let found = fs::symlink_metadata(path).map_err(at("look at", path))?;
        return permit(path, &found, access);
    }
    let new = beside(path);
    fs::write(&new, text).map_err(at("write", &new))?;
    let found = fs::symlink_metadata(&new).map_err(at("look at", &new))?;
    permit(&new, &found, access)?;
    let opened = File::open(&new).map_err(at("open", &new))?;
    opened.sync_all().map_err(at("sync", &new))?;
    fs::rename(&new, path).map_err(at("rename to", path))
}

/// A symlink, put in place by a rename, unless it is there already.
pub(crate) fn link(path: &Path, target: &Path) -> Result<(), DurableError> {
    if fs::read_link(path).is_ok_and(|found| found == target) {
        return Ok(());
    }
    let new = beside(path);
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at("remove", &new)(e)),
        _ => {}
    }
    symlink(target, &new).map_err(at("link", &new))?;
    fs::rename(&new, path).map_err(at("rename to", path))
}

/// Makes the entries of a folder durable.
pub(crate) fn sync(folder: &Path) -> Result<(), DurableError> {
    let opened = File::open(folder).map_err(at("open", folder))?;
    opened.sync_all().map_err(at("sync", folder))
}

/// Removes a tree; one that is gone is no error. Symlinks are not followed.
pub(crate) fn remove(path: &Path) -> Result<(), DurableError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at("remove", path)(e)),
        _ => Ok(()),
    }
}

fn permit(path: &Path, found: &fs::Metadata, access: Access) -> Result<(), DurableError> {
    if let Some((uid, gid)) = access.owner
        && (found.uid(), found.gid()) != (uid, gid)
    {
        chown(path, Some(uid), Some(gid)).map_err(at("change the owner of", path))?;
    }
    if found.mode() & 0o7777 != access.mode {
        let mode = Permissions::from_mode(access.mode);
        fs::set_permissions(path, mode).map_err(at("change the mode of", path))?;
    }
    Ok(())
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}
