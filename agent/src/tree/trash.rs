//! Deletes trees by descriptor: no symlink is followed, two descriptors a thread are held, however deep the tree.
//!
//! What is to go is renamed into a root-only folder. A folder in there is emptied by unlinking what can be unlinked and by
//! moving each subfolder up, next to it; so nothing is ever nested, and stopping anywhere leaves something that the next
//! call goes on with.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use rustix::fs::{AtFlags, Mode, fchmod, mkdirat, renameat, unlinkat};
use rustix::io::Errno;

use super::error::TreeError;
use super::halt::CancelFlag;
use super::name::{join, path_buf};
use super::sys::{self, Anchor};

const NAME: &[u8] = b".trash";
/// Somebody who keeps adding to what is deleted must not keep us here.
const PASSES: usize = 10_000;

/// A root-only folder of things to delete.
pub(crate) struct Trash {
    anchor: Anchor,
    path: PathBuf,
    names: AtomicU64,
}

impl Trash {
    /// Opens the trash of a folder of releases, making it if need be.
    pub(crate) fn open(releases: &Anchor, path: &Path) -> Result<Self, TreeError> {
        let path = path.join(path_buf(NAME));
        let open = || {
            match mkdirat(releases, NAME, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            let fd = releases.folder(NAME)?;
            fchmod(&fd, Mode::RWXU)?;
            Ok(fd)
        };
        let fd = open().map_err(|e| TreeError::io("open", &path, e))?;
        Ok(Self::of(Anchor::of(fd), path))
    }

    /// Makes a folder that only root can enter its own trash: all that is in it is to go.
    pub(crate) fn of(anchor: Anchor, path: PathBuf) -> Self {
        let start = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let seed = u64::try_from(start.as_nanos()).unwrap_or_default();
        Self {
            anchor,
            path,
            names: AtomicU64::new(seed),
        }
    }

    /// Moves an entry here; false if there was none.
    pub(crate) fn throw(&self, from: impl AsFd, name: &[u8]) -> Result<bool, Errno> {
        loop {
            let new = format!("{:x}", self.names.fetch_add(1, Ordering::Relaxed));
            match renameat(&from, name, &self.anchor, new.as_str()) {
                Ok(()) => return Ok(true),
                Err(Errno::NOENT) => return Ok(false),
                // A left-over of that name: the next one is free.
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR | Errno::ISDIR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Deletes everything in here; says how many entries that were.
    ///
    /// # Errors
    /// What cannot be deleted does not keep the rest; the first error is returned at the end. `Cancelled`.
    pub(crate) fn empty(&self, cancel: &CancelFlag) -> Result<u64, TreeError> {
        let mut deleted = 0;
        for _ in 0..PASSES {
            let list = || sys::names(self.anchor.folder(b"")?.as_fd());
            let names = list().map_err(|e| self.error("list", b"", e))?;
            if names.is_empty() {
                return Ok(deleted);
            }
            let root = self.anchor.as_fd();
            let done = names
                .par_iter()
                .map(|name| self.delete(root, name, name, cancel))
                .reduce(Done::default, Done::and);
            deleted += done.deleted;
            cancel.check()?;
            match done.error {
                Some(error) if done.deleted + done.moved == 0 => return Err(error),
                _ => {}
            }
        }
        Err(self.error("empty", b"", Errno::NOTEMPTY))
    }

    /// Deletes one entry of a folder; `path` is for messages.
    fn delete(
        &self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        cancel: &CancelFlag,
    ) -> Done {
        if cancel.is_cancelled() {
            return Done::default();
        }
        match unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) => return Done::deleted(),
            Err(Errno::NOENT) => return Done::default(),
            Err(Errno::ISDIR) => {}
            Err(error) => return Done::failed(self.error("delete", path, error)),
        }
        let fd = match self.anchor.folder_in(folder, name) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Done::default(),
            Err(error) => return Done::failed(self.error("delete", path, error)),
        };
        let names = match sys::names(fd.as_fd()) {
            Ok(names) => names,
            Err(error) => return Done::failed(self.error("list", path, error)),
        };
        let mut done = names
            .iter()
            .map(|entry| self.delete_in(fd.as_fd(), entry, &join(path, entry), cancel))
            .fold(Done::default(), Done::and);
        match unlinkat(folder, name, AtFlags::REMOVEDIR) {
            Ok(()) => done.deleted += 1,
            // Somebody was adding to it, or something in it cannot be deleted.
            Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => return done.and(Done::failed(self.error("delete", path, error))),
        }
        done
    }

    /// Deletes what a folder holds; a subfolder moves up, to be deleted by the next pass.
    fn delete_in(
        &self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        cancel: &CancelFlag,
    ) -> Done {
        if cancel.is_cancelled() {
            return Done::default();
        }
        match unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) => return Done::deleted(),
            Err(Errno::NOENT) => return Done::default(),
            Err(Errno::ISDIR) => {}
            Err(error) => return Done::failed(self.error("delete", path, error)),
        }
        match self.throw(folder, name) {
            Ok(_) => Done {
                moved: 1,
                ..Done::default()
            },
            // No room even for a name: then in place, as deep as it goes.
            Err(Errno::NOSPC | Errno::DQUOT) => self.delete(folder, name, path, cancel),
            Err(error) => Done::failed(self.error("delete", path, error)),
        }
    }

    fn error(&self, action: &'static str, path: &[u8], error: Errno) -> TreeError {
        TreeError::io(action, &self.path.join(path_buf(path)), error)
    }
}

/// What a piece of work came to.
#[derive(Default)]
struct Done {
    deleted: u64,
    moved: u64,
    /// The first.
    error: Option<TreeError>,
}

impl Done {
    fn deleted() -> Self {
        Self {
            deleted: 1,
            ..Self::default()
        }
    }

    fn failed(error: TreeError) -> Self {
        Self {
            error: Some(error),
            ..Self::default()
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            deleted: self.deleted + other.deleted,
            moved: self.moved + other.moved,
            error: self.error.or(other.error),
        }
    }
}

/// Deletes everything in a folder that only root can enter.
///
/// # Errors
/// As [`Trash::empty`].
pub(crate) fn clear(folder: &Path, cancel: &CancelFlag) -> Result<u64, TreeError> {
    let anchor = Anchor::open(folder).map_err(|e| TreeError::io("open", folder, e))?;
    Trash::of(anchor, folder.to_owned()).empty(cancel)
}

/// Removes the trash of a folder of releases if it is empty.
pub(crate) fn remove_empty(releases: &Anchor) {
    // Not empty, or gone: both are fine, the next sweep comes by.
    let _ = unlinkat(releases, NAME, AtFlags::REMOVEDIR);
}
