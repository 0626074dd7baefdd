//! Gives the files of a tree that was made anew the times of a release's, where they are the same byte by byte.
//!
//! A checkout or a build gives every file the time of today, and what has another time is never linked: this is what makes
//! such a tree share its unchanged files with the release before it, and keeps their `ETag`.

use std::os::fd::AsFd;

use rayon::prelude::*;
use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_OMIT, utimensat};

use super::copy::{self, Stop};
use super::error::TreeError;
use super::forecast::{open_base, open_source};
use super::halt::CancelFlag;
use super::manifest::{File, Folder};
use super::name::{join, path_buf};
use super::pool;
use super::request::{Request, Rules};
use super::sys::{self, Anchor};
use super::walk::Walk;

/// Changes the times of files in the request's source; says of how many.
///
/// # Errors
/// Those of a walk.
pub fn restamp(request: &Request, cancel: &CancelFlag) -> Result<u64, TreeError> {
    let rules = Rules::new(request)?;
    let source = open_source(request)?;
    pool::run(|| {
        let Some(base) = open_base(request) else {
            return Ok(0);
        };
        let walk = Walk {
            source: &source,
            path: &request.source,
            rules: &rules,
            cancel,
        };
        let tree = walk.run()?;
        let stamped = tree.folders.par_iter().map(|folder| {
            let before = base.tree.folder(&folder.path);
            before.map_or(Ok(0), |before| {
                restamp_folder(&source, folder, before, cancel)
            })
        });
        stamped.try_reduce(|| 0, |a, b| Ok(a + b))
    })
}

fn restamp_folder(
    source: &Anchor,
    now: &Folder,
    before: &Folder,
    cancel: &CancelFlag,
) -> Result<u64, TreeError> {
    let mut stamped = 0;
    for file in &now.files {
        cancel.check()?;
        if let Some(before) = before.file(&file.name)
            && is_candidate(file, before)
            && restamp_file(source, now, file, before, cancel)?
        {
            stamped += 1;
        }
    }
    Ok(stamped)
}

fn is_candidate(now: &File, before: &File) -> bool {
    now.stat.size == before.stat.size
        && now.stat.release_mode() == before.stat.release_mode()
        && now.stat.mtime != before.stat.mtime
}

fn restamp_file(
    source: &Anchor,
    folder: &Folder,
    file: &File,
    before: &File,
    cancel: &CancelFlag,
) -> Result<bool, TreeError> {
    let path = join(&folder.path, &file.name);
    let error = |e| TreeError::io("set the time of", &path_buf(&path), e);
    let fd = match source.file(source.as_fd(), &path) {
        Ok(fd) => fd,
        Err(gone) if sys::is_gone(gone) => return Ok(false),
        Err(e) => return Err(error(e)),
    };
    match copy::hash(fd.as_fd(), file.stat.size, cancel) {
        Ok(read) if read.hash == before.hash => {}
        Ok(_) => return Ok(false),
        Err(Stop::Cancelled) => return Err(TreeError::Cancelled),
        Err(Stop::Read(e) | Stop::Write(e)) => return Err(error(e)),
    }
    let above = source.folder(&folder.path).map_err(error)?;
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: before.stat.mtime.secs,
            tv_nsec: before.stat.mtime.nanos.into(),
        },
    };
    let set = utimensat(&above, &*file.name, &times, AtFlags::SYMLINK_NOFOLLOW);
    set.map(|()| true).map_err(error)
}
