//! Lists one folder of a source and sorts what is in it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use rayon::prelude::*;
use rustix::fs::{FileType, Statx, readlinkat};
use rustix::io::Errno;

use super::{Crew, Visit, refusal};
use crate::tree::error::{Reason, Refused, TreeError};
use crate::tree::manifest::{File, Folder, FolderKind, Link, Way};
use crate::tree::name::{RelPath, depth, join, path_buf};
use crate::tree::stat::{Stat, Time, file_type};
use crate::tree::sys;

/// Entries of one folder that one thread looks at before another may help.
const BATCH: usize = 1024;

/// One entry of a folder, sorted.
enum Found {
    Nothing,
    Folder(Vec<u8>),
    /// A shared folder: an empty one takes its place.
    Stub(Vec<u8>),
    File(File),
    Link(Link),
    Refused(Refused),
}

/// A folder being listed.
struct Here<'a> {
    fd: OwnedFd,
    path: &'a [u8],
    /// The level of its entries.
    depth: usize,
    /// Whether one of its entries is a shared folder.
    has_shared: bool,
}

impl Crew<'_> {
    /// Lists a folder. One that is no longer there is left out: its parent's times will tell.
    pub(super) fn visit(&self, path: &[u8]) -> Result<Visit, TreeError> {
        self.walk.cancel.check()?;
        let mut visit = Visit::default();
        if self.is_beyond() {
            return Ok(visit);
        }
        let fd = match self.walk.source.folder(path) {
            Ok(fd) => fd,
            Err(Errno::XDEV) => {
                visit.refused.push(refusal(path, Reason::Mount));
                return Ok(visit);
            }
            Err(error) if sys::is_gone(error) && !path.is_empty() => return Ok(visit),
            Err(error) => return Err(self.error("open the folder", path, error)),
        };
        let (statx, sure) = self.look_when_settled(&fd, path)?;
        if (statx.stx_dev_major, statx.stx_dev_minor) != self.device {
            visit.refused.push(refusal(path, Reason::Mount));
            return Ok(visit);
        }
        let mut names = sys::names(fd.as_fd()).map_err(|e| self.error("list", path, e))?;
        names.retain(|name| !self.walk.rules.is_excluded(path, name));
        self.entries
            .fetch_add(names.len() as u64, Ordering::Relaxed);
        if self.is_beyond() {
            return Ok(visit);
        }
        let has_shared = self.above_shared.contains(path);
        let here = Here {
            fd,
            path,
            depth: depth(path) + 1,
            has_shared,
        };
        let found: Vec<Found> = names
            .into_par_iter()
            .with_min_len(BATCH)
            .map(|name| self.entry(&here, name))
            .collect::<Result<_, _>>()?;
        let mut folder = Folder {
            path: path.into(),
            stat: Stat::from(&statx),
            kind: FolderKind::Source,
            sure,
            settled: false,
            files: Vec::new(),
            links: Vec::new(),
        };
        for entry in found {
            match entry {
                Found::Nothing => {}
                Found::Folder(path) => visit.below.push(path),
                Found::Stub(path) => visit.stubs.push(path),
                Found::File(file) => folder.files.push(file),
                Found::Link(link) => folder.links.push(link),
                Found::Refused(refused) => visit.refused.push(refused),
            }
        }
        folder.files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        folder.links.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        visit.folder = Some(folder);
        Ok(visit)
    }

    /// Looks at a folder once its times are old enough to tell of any later change; whether they are.
    fn look_when_settled(&self, fd: &OwnedFd, path: &[u8]) -> Result<(Statx, bool), TreeError> {
        let look = || sys::look_fd(fd.as_fd()).map_err(|e| self.error("look at", path, e));
        let settles_in = |s: &Statx| Time::from(s.stx_ctime).settles_in(Time::now());
        let statx = look()?;
        let wait = settles_in(&statx);
        if wait.is_zero() {
            return Ok((statx, true));
        }
        self.walk.cancel.pause(wait)?;
        let statx = look()?;
        Ok((statx, settles_in(&statx).is_zero()))
    }

    /// Whether there are more entries than allowed; then there is no point in going on.
    fn is_beyond(&self) -> bool {
        self.entries.load(Ordering::Relaxed) > self.walk.rules.limits.entries
    }

    fn entry(&self, here: &Here<'_>, name: RelPath) -> Result<Found, TreeError> {
        self.walk.cancel.check()?;
        let rules = self.walk.rules;
        let path = || join(here.path, &name);
        let statx = match sys::look(here.fd.as_fd(), &name) {
            Ok(statx) => statx,
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(error) => return Err(self.error("look at", &path(), error)),
        };
        let kind = file_type(&statx);
        let refused = |reason| Ok(Found::Refused(refusal(&path(), reason)));
        if here.has_shared && rules.shared.contains(path().as_slice()) {
            return match kind {
                FileType::Directory | FileType::Symlink => Ok(Found::Stub(path())),
                _ => refused(Reason::SharedNoFolder),
            };
        }
        if here.path.len() + usize::from(!here.path.is_empty()) + name.len()
            > rules.limits.path_bytes
        {
            return refused(Reason::PathTooLong(rules.limits.path_bytes));
        }
        if here.depth > rules.limits.depth {
            return refused(Reason::TooDeep(rules.limits.depth));
        }
        if sys::is_mount(&statx) {
            return refused(Reason::Mount);
        }
        match kind {
            FileType::Directory => Ok(Found::Folder(path())),
            FileType::RegularFile => {
                let (bytes, limit) = (statx.stx_size, rules.limits.file_bytes);
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
                if bytes > limit {
                    return refused(Reason::FileTooLarge { bytes, limit });
                }
                Ok(Found::File(file(name, &statx)))
            }
            FileType::Symlink => match target(here.fd.as_fd(), &name) {
                Ok(Some(target)) => Ok(Found::Link(link(name, &statx, target))),
                Ok(None) => Ok(Found::Nothing),
                Err(error) => Err(self.error("read the link", &path(), error)),
            },
            FileType::Fifo => refused(Reason::Fifo),
            FileType::Socket => refused(Reason::Socket),
            _ => refused(Reason::Device),
        }
    }

    fn error(&self, action: &'static str, path: &[u8], error: Errno) -> TreeError {
        TreeError::io(action, &self.walk.path.join(path_buf(path)), error)
    }
}

/// Reads a link; nothing if it is none any more.
fn target(folder: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Box<[u8]>>, Errno> {
    match readlinkat(folder, name, Vec::new()) {
        Ok(target) => Ok(Some(target.into_bytes().into())),
        Err(Errno::NOENT | Errno::INVAL) => Ok(None),
        Err(error) => Err(error),
    }
}

fn link(name: RelPath, statx: &Statx, target: Box<[u8]>) -> Link {
    Link {
        name,
        stat: Stat::from(statx),
        target,
        rewritten: None,
        sure: false,
    }
}

fn file(name: RelPath, statx: &Statx) -> File {
    let stat = Stat::from(statx);
    File {
        name,
        stat,
        allocated: statx.stx_size.min(statx.stx_blocks.saturating_mul(512)),
        hash: [0; 32],
        mtime: stat.mtime,
        capabilities: false,
        sure: false,
        way: Way::Open,
    }
}
