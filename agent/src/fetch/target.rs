//! The folder that a source is unpacked into. Whatever an entry is called, it lands here or is refused: every path is
//! opened beneath the folder's descriptor, through no link and no mount, and everything is counted before it is written.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod, fchown,
    fstatvfs, futimens, linkat, mkdirat, openat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::error::FetchError;
use super::{Bounds, LOOK_EVERY};
use crate::tree::name::{Shown, components, join, parent, path_buf};
use crate::tree::sys::Anchor;
use crate::tree::{CancelFlag, stat};

/// Bytes moved by one call.
const PIECE: usize = 256 * 1024;
/// Most that the names of all folders have, in bytes.
const NAMES_MAX: u64 = 256 << 20;
/// The longest target of a link, in bytes.
const LINK_MAX: usize = 4000;

/// What an entry of a source says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looks {
    /// Permission bits; setuid and its kin are left out.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: i64,
}

/// A folder that is being filled.
pub(super) struct Target<'a> {
    anchor: Anchor,
    path: PathBuf,
    owner: (u32, u32),
    bounds: &'a Bounds,
    pub cancel: &'a CancelFlag,
    /// Size of what it is unpacked from; none for a copy, which cannot be larger than its source.
    packed: Option<u64>,
    entries: u64,
    /// Bytes of names that are kept until the end.
    names: u64,
    files: u64,
    bytes: u64,
    /// Room was looked at when so much was written.
    looked: u64,
    /// What folders shall look like in the end.
    folders: BTreeMap<Vec<u8>, Looks>,
    newest: i64,
    buffer: Vec<u8>,
}

impl<'a> Target<'a> {
    /// Makes the folder; what is in it will belong to `owner`.
    pub(super) fn make(
        path: &Path,
        owner: (u32, u32),
        bounds: &'a Bounds,
        cancel: &'a CancelFlag,
    ) -> Result<Self, FetchError> {
        let error = |e: std::io::Error| FetchError::io("make the folder", path, e);
        DirBuilder::new().mode(0o700).create(path).map_err(error)?;
        let anchor = Anchor::open(path).map_err(|e| error(e.into()))?;
        Ok(Self {
            anchor,
            path: path.to_owned(),
            owner,
            bounds,
            cancel,
            packed: None,
            entries: 0,
            names: 0,
            files: 0,
            bytes: 0,
            looked: 0,
            folders: BTreeMap::new(),
            newest: 0,
            buffer: vec![0; PIECE],
        })
    }

    /// Says how large the archive is, which bounds what comes out of it.
    pub(super) fn unpacks(&mut self, packed: u64) {
        self.packed = Some(packed);
    }

    /// How much may come out of what packed an archive, in bytes: what a library skips counts as well.
    pub(super) fn outpour(&self) -> u64 {
        let packed = self.packed.unwrap_or(u64::MAX);
        packed
            .saturating_mul(self.bounds.ratio)
            .max(self.bounds.ratio_from)
            .saturating_add(self.bounds.directory)
    }

    /// How much an archive may say of its entries, in bytes.
    pub(super) fn directory(&self) -> u64 {
        self.bounds.directory
    }

    /// A folder; made already or not.
    pub(super) fn folder(&mut self, name: &[u8], looks: Looks) -> Result<(), FetchError> {
        let path = self.enter(name)?;
        if !path.is_empty() {
            self.make_folders(&path)?;
        }
        self.note(looks);
        self.keep(path, looks)
    }

    /// Keeps the looks of a folder until the end, in memory.
    fn keep(&mut self, path: Vec<u8>, looks: Looks) -> Result<(), FetchError> {
        let named = path.len() as u64;
        if self.folders.insert(path, looks).is_none() {
            self.names += named;
        }
        if self.names > NAMES_MAX {
            return Err(FetchError::Refused(
                "its folders have names of more than 256 MiB".into(),
            ));
        }
        Ok(())
    }

    /// A file of `size` bytes, if that is known; fewer or more are refused.
    pub(super) fn file(
        &mut self,
        name: &[u8],
        looks: Looks,
        size: Option<u64>,
        content: &mut dyn Read,
    ) -> Result<(), FetchError> {
        let (folder, path) = self.place(name)?;
        if let Some(size) = size {
            self.check_bytes(&path, size)?;
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&folder, last(&path), flags, Mode::RUSR | Mode::WUSR)
            .map_err(|e| self.error("create", &path, e))?;
        let mut file = File::from(fd);
        let written = self.fill(&mut file, &path, content)?;
        if size.is_some_and(|size| size != written) {
            return Err(refused(&path, "has another size than the archive says"));
        }
        self.files += 1;
        let dressed = || {
            let (user, group) = ids(self.owner);
            fchown(&file, user, group)?;
            fchmod(&file, Mode::from_raw_mode(looks.mode & 0o777 | 0o400))?;
            futimens(&file, &times(looks.mtime))
        };
        dressed().map_err(|e| self.error("set the mode of", &path, e))?;
        self.note(looks);
        Ok(())
    }

    /// A symlink, whatever it says: nothing is written through it, and the copy refuses one that leads out.
    pub(super) fn link(&mut self, name: &[u8], to: &[u8], looks: Looks) -> Result<(), FetchError> {
        let (folder, path) = self.place(name)?;
        if to.is_empty() || to.len() > LINK_MAX || to.contains(&0) {
            return Err(refused(&path, "is a link to no path"));
        }
        let made = || {
            symlinkat(to, &folder, last(&path))?;
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let (user, group) = ids(self.owner);
            chownat(&folder, last(&path), user, group, flags)?;
            utimensat(&folder, last(&path), &times(looks.mtime), flags)
        };
        made().map_err(|e| self.error("make the link", &path, e))
    }

    /// A second name of a file that is here already.
    pub(super) fn hard_link(&mut self, name: &[u8], to: &[u8]) -> Result<(), FetchError> {
        let (folder, path) = self.place(name)?;
        let to = plain(to).filter(|to| !to.is_empty());
        let to = to.ok_or_else(|| refused(&path, "is a hard link out of the archive"))?;
        let from = self.anchor.file(self.anchor.as_fd(), &to);
        let from =
            from.map_err(|_| refused(&path, "is a hard link to what is not in the archive"))?;
        let seen = crate::tree::sys::look_fd(from.as_fd());
        let seen = seen.map_err(|e| self.error("look at", &to, e))?;
        if stat::file_type(&seen) != rustix::fs::FileType::RegularFile {
            return Err(refused(&path, "is a hard link to what is no file"));
        }
        // In a release it is a file of its own.
        self.check_bytes(&path, seen.stx_size)?;
        let above = self.anchor.folder(parent(&to).unwrap_or_default());
        let above = above.map_err(|e| self.error("open", &to, e))?;
        linkat(&above, last(&to), &folder, last(&path), AtFlags::empty())
            .map_err(|e| self.error("link", &path, e))?;
        self.bytes += seen.stx_size;
        self.files += 1;
        Ok(())
    }

    /// Gives all folders their looks; says how many files there are, and their size.
    pub(super) fn finish(self) -> Result<(u64, u64), FetchError> {
        let plain = Looks {
            mode: 0o755,
            mtime: self.newest,
        };
        // The deepest first: an entry that is made moves the time of its folder.
        for (path, looks) in self.folders.iter().rev() {
            self.dress_folder(path, *looks)?;
        }
        if !self.folders.contains_key(&Vec::new()) {
            self.dress_folder(b"", plain)?;
        }
        Ok((self.files, self.bytes))
    }

    fn dress_folder(&self, path: &[u8], looks: Looks) -> Result<(), FetchError> {
        let mtime = if looks.mtime == 0 {
            self.newest
        } else {
            looks.mtime
        };
        let dressed = || {
            let folder = self.anchor.folder(path)?;
            let (user, group) = ids(self.owner);
            fchown(&folder, user, group)?;
            fchmod(&folder, Mode::from_raw_mode(looks.mode & 0o777 | 0o500))?;
            futimens(&folder, &times(mtime))
        };
        dressed().map_err(|e| self.error("set the mode of", path, e))
    }

    fn note(&mut self, looks: Looks) {
        self.newest = self.newest.max(looks.mtime);
    }

    /// Counts an entry, and brings its name into the one form that is used here.
    fn enter(&mut self, name: &[u8]) -> Result<Vec<u8>, FetchError> {
        if self.cancel.is_cancelled() {
            return Err(FetchError::Cancelled);
        }
        self.entries += 1;
        let limits = &self.bounds.limits;
        if self.entries > limits.entries {
            let most = limits.entries;
            return Err(FetchError::Refused(format!(
                "it has more than {most} entries"
            )));
        }
        let path = plain(name);
        let path = path.ok_or_else(|| refused(name, "leads out of the archive"))?;
        if path.len() > limits.path_bytes || components(&path).count() > limits.depth {
            return Err(refused(&path, "is too long a path"));
        }
        Ok(path)
    }

    /// The folder that holds an entry which is no folder, and its whole path; what was there of the same name is gone.
    fn place(&mut self, name: &[u8]) -> Result<(OwnedFd, Vec<u8>), FetchError> {
        let path = self.enter(name)?;
        let Some(above) = parent(&path) else {
            return Err(refused(name, "has no name"));
        };
        let above = above.to_vec();
        self.make_folders(&above)?;
        let folder = self.anchor.folder(&above);
        let folder = folder.map_err(|e| self.error("open", &above, e))?;
        match unlinkat(&folder, last(&path), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok((folder, path)),
            Err(Errno::ISDIR) => Err(refused(
                &path,
                "is there twice, once as a folder and once not",
            )),
            Err(error) => Err(self.error("remove", &path, error)),
        }
    }

    /// Makes a folder and what is missing above it.
    fn make_folders(&mut self, path: &[u8]) -> Result<(), FetchError> {
        if self.folders.contains_key(path) {
            return Ok(());
        }
        let mut above = Vec::new();
        for part in components(path) {
            let at = join(&above, part);
            if !self.folders.contains_key(&at) {
                let folder = self.anchor.folder(&above);
                let folder = folder.map_err(|e| self.error("open", &above, e))?;
                match mkdirat(&folder, part, Mode::RWXU) {
                    Ok(()) => {}
                    Err(Errno::EXIST) => {
                        let seen = self.anchor.folder(&at);
                        seen.map_err(|_| {
                            refused(&at, "is there twice, once as a folder and once not")
                        })?;
                    }
                    Err(error) => return Err(self.error("make the folder", &at, error)),
                }
                let looks = Looks {
                    mode: 0o755,
                    mtime: 0,
                };
                self.keep(at.clone(), looks)?;
                if self.folders.len() as u64 > self.bounds.limits.entries {
                    return Err(refused(&at, "is one folder too many"));
                }
            }
            above = at;
        }
        Ok(())
    }

    fn fill(
        &mut self,
        file: &mut File,
        path: &[u8],
        content: &mut dyn Read,
    ) -> Result<u64, FetchError> {
        let mut written = 0;
        loop {
            if self.cancel.is_cancelled() {
                return Err(FetchError::Cancelled);
            }
            let got = match content.read(&mut self.buffer) {
                Ok(0) => return Ok(written),
                Ok(got) => got,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(refused(path, &format!("cannot be unpacked: {error}"))),
            };
            written += got as u64;
            self.check_bytes_of(path, written, got as u64)?;
            self.check_room()?;
            let put = file.write_all(&self.buffer[..got]);
            put.map_err(|e| FetchError::io("write", &self.path.join(path_buf(path)), e))?;
            self.bytes += got as u64;
        }
    }

    fn check_bytes(&mut self, path: &[u8], size: u64) -> Result<(), FetchError> {
        self.check_bytes_of(path, size, size)?;
        if self.room()? < size.saturating_add(self.bounds.spare) {
            return Err(FetchError::Full(self.path.clone()));
        }
        Ok(())
    }

    /// `more` bytes are about to be written to a file that has `of_file` then.
    fn check_bytes_of(&self, path: &[u8], of_file: u64, more: u64) -> Result<(), FetchError> {
        let (limits, total) = (&self.bounds.limits, self.bytes.saturating_add(more));
        if of_file > limits.file_bytes {
            let most = limits.file_bytes;
            return Err(refused(path, &format!("has more than {most} bytes")));
        }
        if total > limits.bytes {
            let most = limits.bytes;
            return Err(FetchError::Refused(format!(
                "it has more than {most} bytes, unpacked"
            )));
        }
        let Some(packed) = self.packed else {
            return Ok(());
        };
        let most = packed
            .saturating_mul(self.bounds.ratio)
            .max(self.bounds.ratio_from);
        if total > most {
            return Err(FetchError::Refused(format!(
                "its {packed} bytes unpack to more than {most}, which no code does"
            )));
        }
        Ok(())
    }

    fn check_room(&mut self) -> Result<(), FetchError> {
        if self.bytes < self.looked + LOOK_EVERY {
            return Ok(());
        }
        self.looked = self.bytes;
        if self.room()? < self.bounds.spare {
            return Err(FetchError::Full(self.path.clone()));
        }
        Ok(())
    }

    fn room(&self) -> Result<u64, FetchError> {
        let room = fstatvfs(&self.anchor);
        let room = room.map_err(|e| FetchError::io("measure the filesystem of", &self.path, e))?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    fn error(&self, action: &'static str, path: &[u8], error: Errno) -> FetchError {
        match error {
            Errno::LOOP | Errno::XDEV | Errno::NOTDIR => {
                refused(path, "leads through what is no folder of the archive")
            }
            error => FetchError::io(action, &self.path.join(path_buf(path)), error),
        }
    }
}

fn refused(path: &[u8], why: &str) -> FetchError {
    FetchError::Refused(format!("{} {why}", Shown(path)))
}

/// A name without `.` and empty parts; none where it is absolute, climbs, or is no name.
fn plain(name: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<&[u8]> = components(name).collect();
    let out = name.starts_with(b"/") || name.contains(&0) || parts.contains(&&b".."[..]);
    (!out).then(|| parts.join(&b'/'))
}

/// The last part of a path.
fn last(path: &[u8]) -> &[u8] {
    let cut = path.iter().rposition(|b| *b == b'/');
    cut.map_or(path, |cut| &path[cut + 1..])
}

fn ids(owner: (u32, u32)) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))
}

fn times(mtime: i64) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: mtime,
            tv_nsec: 0,
        },
    }
}
