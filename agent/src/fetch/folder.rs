//! Copies a folder: as it stood at one moment, or not at all.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, readlinkat};
use rustix::io::Errno;

use super::error::FetchError;
use super::target::{Looks, Target};
use crate::tree::name::{RelPath, Shown, join, normal, path_buf};
use crate::tree::stat::{Stat, file_type};
use crate::tree::sys::{self, Anchor};

/// Copies all that is beneath `source` but the `shared` folders, which no release holds.
///
/// # Errors
/// `Refused` where something in it is no file, folder or link, is a mount, or changed meanwhile.
pub(super) fn copy(
    source: &Anchor,
    path: &Path,
    shared: &[PathBuf],
    target: &mut Target<'_>,
) -> Result<(), FetchError> {
    let shared: Vec<RelPath> = shared.iter().filter_map(|path| normal(path)).collect();
    let mut seen: Vec<(Vec<u8>, Stat)> = Vec::new();
    let mut ahead: Vec<Vec<u8>> = vec![Vec::new()];
    let error = |at: &[u8], e: Errno| failed(path, at, e);
    while let Some(folder) = ahead.pop() {
        let fd = source.folder(&folder).map_err(|e| error(&folder, e))?;
        let look = sys::look_fd(fd.as_fd()).map_err(|e| error(&folder, e))?;
        let stat = Stat::from(&look);
        target.folder(&folder, looks(&stat))?;
        seen.push((folder.clone(), stat));
        for name in sys::names(fd.as_fd()).map_err(|e| error(&folder, e))? {
            let at = join(&folder, &name);
            let look = sys::look(fd.as_fd(), &name).map_err(|e| error(&at, e))?;
            let stat = Stat::from(&look);
            match file_type(&look) {
                FileType::Directory if shared.iter().any(|s| **s == *at) => continue,
                FileType::Directory => {
                    ahead.push(at);
                    continue;
                }
                FileType::RegularFile => {
                    let file = source.file(fd.as_fd(), &name).map_err(|e| error(&at, e))?;
                    let mut file = File::from(file);
                    target.file(&at, looks(&stat), Some(stat.size), &mut file)?;
                }
                FileType::Symlink => {
                    let to = readlinkat(&fd, &*name, Vec::new()).map_err(|e| error(&at, e))?;
                    target.link(&at, to.as_bytes(), looks(&stat))?;
                }
                _ => {
                    return Err(FetchError::Refused(format!(
                        "{} is neither a file, a folder nor a link",
                        Shown(&at)
                    )));
                }
            }
            seen.push((at, stat));
        }
    }
    stands_still(source, &seen)
}

/// Nothing changed from before it was read until all was read: at the moment between, the copy equalled the source.
fn stands_still(source: &Anchor, seen: &[(Vec<u8>, Stat)]) -> Result<(), FetchError> {
    for (path, before) in seen {
        let now = match crate::tree::name::parent(path) {
            None => source.folder(b"").and_then(|fd| sys::look_fd(fd.as_fd())),
            Some(above) => {
                let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
                source
                    .folder(above)
                    .and_then(|fd| sys::look(fd.as_fd(), name))
            }
        };
        if now.map(|now| Stat::from(&now)) != Ok(*before) {
            return Err(FetchError::Refused(format!(
                "{} changed while it was copied",
                Shown(path)
            )));
        }
    }
    Ok(())
}

fn looks(stat: &Stat) -> Looks {
    Looks {
        mode: stat.mode,
        mtime: stat.mtime.secs,
    }
}

fn failed(path: &Path, at: &[u8], error: Errno) -> FetchError {
    match error {
        error if sys::is_gone(error) => FetchError::Refused(format!(
            "{} is a mount, or changed while it was copied",
            Shown(at)
        )),
        error => FetchError::io("read", &path.join(path_buf(at)), error),
    }
}
