//! Puts a walked tree into a release: links what the previous release has, copies the rest.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod,
    fchown, fgetxattr_query, futimens, linkat, mkdirat, openat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::copy::{self, Copy, Stop, Written};
use super::error::TreeError;
use super::halt::{CancelFlag, Progress};
use super::manifest::{File, Folder, FolderKind, Link, Tree, Way};
use super::merge::Gone;
use super::name::{depth, join, path_buf};
use super::stat::{Stat, Time, file_type};
use super::sys::{self, Anchor};

/// Files of one folder that one thread places before another may help.
const BATCH: usize = 128;

/// Where from, where to, and what to link.
pub(crate) struct Site<'a> {
    pub source: &'a Anchor,
    pub source_path: &'a Path,
    /// The release under construction.
    pub target: &'a Anchor,
    pub target_path: &'a Path,
    pub base: Option<&'a Base>,
    pub owner: (u32, u32),
    /// Whether the filesystem may share blocks between files.
    pub clones: AtomicBool,
    pub progress: &'a Progress,
    pub cancel: &'a CancelFlag,
}

/// The previous release.
pub(crate) struct Base {
    pub anchor: Anchor,
    pub tree: Tree,
}

/// Whether the release may already hold an older copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    First,
    Again,
}

/// One folder's descriptors.
struct Desk<'a> {
    path: &'a [u8],
    target: BorrowedFd<'a>,
    base: Option<(&'a Folder, OwnedFd)>,
    round: Round,
}

impl Base {
    /// The previous release's file, if the source's may be linked to it: nothing about it has changed, nor the owner.
    pub(crate) fn same(&self, owner: (u32, u32), folder: Option<&Folder>, file: &File) -> bool {
        self.tree.owner == owner
            && folder
                .and_then(|f| f.file(&file.name))
                .is_some_and(|b| b.stat == file.stat)
    }
}

impl Site<'_> {
    /// Brings the release to what `tree` says; afterwards its entries are sure, or changed meanwhile.
    pub(crate) fn settle(
        &self,
        tree: &mut Tree,
        gone: &[Gone],
        round: Round,
    ) -> Result<(), TreeError> {
        for gone in gone {
            self.take_out(gone)?;
        }
        self.make_folders(tree)?;
        tree.folders
            .par_iter_mut()
            .try_for_each(|folder| self.folder(folder, round))
    }

    /// Makes what folders are missing, level by level.
    fn make_folders(&self, tree: &Tree) -> Result<(), TreeError> {
        let is_new = |f: &&Folder| !f.settled && !f.path.is_empty();
        let new = tree.folders.iter().filter(is_new);
        let mut new: Vec<_> = new.map(|f| (depth(&f.path), &f.path)).collect();
        new.sort_by_key(|(depth, _)| *depth);
        for level in new.chunk_by(|a, b| a.0 == b.0) {
            level
                .par_iter()
                .with_min_len(BATCH)
                .try_for_each(
                    |(_, path)| match mkdirat(self.target, &***path, Mode::RWXU) {
                        Ok(()) | Err(Errno::EXIST) => Ok(()),
                        Err(error) => Err(self.target_error("make the folder", path, error)),
                    },
                )?;
        }
        Ok(())
    }

    fn take_out(&self, gone: &Gone) -> Result<(), TreeError> {
        let (path, flags) = match gone {
            Gone::Entry { folder, name } => (join(folder, name), AtFlags::empty()),
            Gone::Folder(path) => (path.to_vec(), AtFlags::REMOVEDIR),
        };
        match unlinkat(self.target, path.as_slice(), flags) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(self.target_error("remove", &path, error)),
        }
    }

    fn folder(&self, folder: &mut Folder, round: Round) -> Result<(), TreeError> {
        self.cancel.check()?;
        let open = folder.files.iter().any(|f| !f.sure) || folder.links.iter().any(|l| !l.sure);
        if folder.settled && !open {
            return Ok(());
        }
        let path = folder.path.clone();
        let target = self
            .target
            .folder(&path)
            .map_err(|e| self.target_error("open the folder", &path, e))?;
        if open && folder.kind == FolderKind::Source {
            let base = self.base.and_then(|base| {
                let folder = base.tree.folder(&path)?;
                Some((folder, base.anchor.folder(&path).ok()?))
            });
            let desk = Desk {
                path: &path,
                target: target.as_fd(),
                base,
                round,
            };
            let files = folder.files.par_iter_mut().with_min_len(BATCH);
            files
                .filter(|f| !f.sure)
                .try_for_each(|file| self.file(&desk, file))?;
            for link in folder.links.iter_mut().filter(|l| !l.sure) {
                self.link(&desk, link)?;
            }
        }
        self.dress_folder(&target, folder)
            .map_err(|e| self.target_error("set the mode and times of", &path, e))?;
        folder.settled = true;
        Ok(())
    }

    fn dress_folder(&self, fd: &OwnedFd, folder: &Folder) -> Result<(), Errno> {
        let (user, group) = self.owner();
        fchown(fd, user, group)?;
        fchmod(fd, Mode::from_raw_mode(folder.release_mode()))?;
        futimens(fd, &times(folder.release_mtime()))
    }

    fn file(&self, desk: &Desk<'_>, file: &mut File) -> Result<(), TreeError> {
        self.cancel.check()?;
        if desk.round == Round::Again {
            self.clear(desk, &file.name)?;
        }
        let before = desk
            .base
            .as_ref()
            .and_then(|(folder, _)| folder.file(&file.name));
        if let Some(before) = before
            && before.stat == file.stat
            && file.way != Way::Doubted
            && self.link_to_base(desk, before)?
        {
            self.adopt(file, before);
            file.sure = true; // the base's stamp was sure, and it is still the same
            return Ok(());
        }
        self.copy(desk, file, before)
    }

    fn adopt(&self, file: &mut File, before: &File) {
        file.hash = before.hash;
        file.mtime = before.mtime;
        file.capabilities = before.capabilities;
        file.way = Way::Linked;
        self.progress.linked(1);
    }

    /// Links the base's file into the release; false if it cannot be, or is not what its manifest says.
    fn link_to_base(&self, desk: &Desk<'_>, before: &File) -> Result<bool, TreeError> {
        let Some((_, base)) = &desk.base else {
            return Ok(false);
        };
        if self.base.is_none_or(|b| b.tree.owner != self.owner) {
            return Ok(false);
        }
        let name = &*before.name;
        match linkat(base, name, desk.target, name, AtFlags::empty()) {
            Ok(()) => {}
            Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::IO)) => {
                return Err(self.target_error("link", &join(desk.path, name), error));
            }
            Err(_) => return Ok(false), // gone, too many links, immutable: a copy does it
        }
        let seen = sys::look(desk.target, name)
            .map_err(|e| self.target_error("look at", &join(desk.path, name), e))?;
        let stat = Stat::from(&seen);
        let intact = file_type(&seen) == FileType::RegularFile
            && stat.size == before.stat.size
            && stat.mtime == before.mtime
            && stat.mode == before.stat.release_mode()
            && (seen.stx_uid, seen.stx_gid) == self.owner;
        if !intact {
            self.clear(desk, name)?;
        }
        Ok(intact)
    }

    fn copy(
        &self,
        desk: &Desk<'_>,
        file: &mut File,
        before: Option<&File>,
    ) -> Result<(), TreeError> {
        let path = join(desk.path, &file.name);
        let from = match self.source.file(self.source.as_fd(), &path) {
            Ok(fd) => fd,
            Err(error) if sys::is_gone(error) => return Ok(()),
            Err(error) => return Err(self.source_error("open", &path, error)),
        };
        let look =
            || sys::look_fd(from.as_fd()).map_err(|e| self.source_error("look at", &path, e));
        self.cancel.pause(file.stat.ctime.settles_in(Time::now()))?;
        let seen = look()?;
        if file_type(&seen) != FileType::RegularFile || Stat::from(&seen) != file.stat {
            return Ok(()); // not sure: the second walk finds it changed
        }
        let settled = file.stat.ctime.settles_in(Time::now()).is_zero();
        if let Some(before) = before
            && file.way != Way::Doubted
            && is_likely_same(before, &file.stat)
            && self.hash(from.as_fd(), file.stat.size, &path)?.hash == before.hash
            && self.link_to_base(desk, before)?
        {
            self.adopt(file, before);
            file.capabilities = has_capabilities(&from, &file.stat);
            file.sure = settled;
            return Ok(());
        }
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = openat(desk.target, &*file.name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|e| self.target_error("create", &path, e))?;
        let job = Copy {
            from: from.as_fd(),
            to: to.as_fd(),
            size: file.stat.size,
            allocated: file.allocated,
            clones: &self.clones,
            progress: self.progress,
            cancel: self.cancel,
        };
        let written = job.run().map_err(|stop| self.stopped(&stop, &path))?;
        file.hash = written.hash;
        file.mtime = release_mtime(&file.stat, &file.hash, before);
        file.way = Way::Copied;
        file.capabilities = has_capabilities(&from, &file.stat);
        self.dress(&to, file)
            .map_err(|e| self.target_error("set the mode and times of", &path, e))?;
        let unchanged = Stat::from(&look()?) == file.stat;
        file.sure = settled && unchanged && written.bytes == file.stat.size;
        self.progress.copied();
        Ok(())
    }

    fn dress(&self, fd: &OwnedFd, file: &File) -> Result<(), Errno> {
        let (user, group) = self.owner();
        fchown(fd, user, group)?;
        fchmod(fd, Mode::from_raw_mode(file.stat.release_mode()))?;
        futimens(fd, &times(file.mtime))
    }

    fn link(&self, desk: &Desk<'_>, link: &mut Link) -> Result<(), TreeError> {
        if desk.round == Round::Again {
            self.clear(desk, &link.name)?;
        }
        let make = || {
            let (user, group) = self.owner();
            symlinkat(link.release_target(), desk.target, &*link.name)?;
            chownat(
                desk.target,
                &*link.name,
                user,
                group,
                AtFlags::SYMLINK_NOFOLLOW,
            )?;
            let times = times(link.stat.mtime);
            utimensat(desk.target, &*link.name, &times, AtFlags::SYMLINK_NOFOLLOW)
        };
        make().map_err(|e| self.target_error("make the link", &join(desk.path, &link.name), e))?;
        link.sure = true;
        Ok(())
    }

    fn clear(&self, desk: &Desk<'_>, name: &[u8]) -> Result<(), TreeError> {
        match unlinkat(desk.target, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.target_error("remove", &join(desk.path, name), error)),
        }
    }

    fn hash(&self, fd: BorrowedFd<'_>, size: u64, path: &[u8]) -> Result<Written, TreeError> {
        copy::hash(fd, size, self.cancel).map_err(|stop| self.stopped(&stop, path))
    }

    fn owner(&self) -> (Option<Uid>, Option<Gid>) {
        (
            Some(Uid::from_raw(self.owner.0)),
            Some(Gid::from_raw(self.owner.1)),
        )
    }

    fn stopped(&self, stop: &Stop, path: &[u8]) -> TreeError {
        match *stop {
            Stop::Cancelled => TreeError::Cancelled,
            Stop::Read(error) => self.source_error("read", path, error),
            Stop::Write(error) => self.target_error("write", path, error),
        }
    }

    fn source_error(&self, action: &'static str, path: &[u8], error: Errno) -> TreeError {
        TreeError::io(action, &self.source_path.join(path_buf(path)), error)
    }

    fn target_error(&self, action: &'static str, path: &[u8], error: Errno) -> TreeError {
        TreeError::io(action, &self.target_path.join(path_buf(path)), error)
    }
}

/// Whether it pays to hash the source before copying it: only its inode or ctime moved, as after `chown -R` or a restore.
fn is_likely_same(before: &File, now: &Stat) -> bool {
    before.stat.size == now.size
        && before.stat.mtime == now.mtime
        && before.stat.release_mode() == now.release_mode()
}

/// Only on what can be executed do they mean anything, so only there they are looked for.
fn has_capabilities(fd: &OwnedFd, stat: &Stat) -> bool {
    stat.mode & 0o111 != 0 && fgetxattr_query(fd, c"security.capability").is_ok()
}

/// The time stamp a release gives a file.
///
/// nginx's `ETag` is the whole second of `mtime` and the size: other content under the same two would be answered 304. So
/// a file whose content differs from the previous release's gets the next second; while it stays as it is, it keeps that.
fn release_mtime(now: &Stat, hash: &[u8; 32], before: Option<&File>) -> Time {
    let Some(before) = before else {
        return now.mtime;
    };
    let given = before.stat.mtime.secs..=before.mtime.secs;
    if before.stat.size != now.size || !given.contains(&now.mtime.secs) {
        return now.mtime;
    }
    let was_moved = before.mtime != before.stat.mtime;
    match (before.hash == *hash, was_moved) {
        (true, false) => now.mtime,
        (true, true) => before.mtime,
        (false, _) => Time {
            secs: before.mtime.secs + 1,
            ..before.mtime
        },
    }
}

fn times(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: mtime.secs,
            tv_nsec: mtime.nanos.into(),
        },
    }
}
