//! The calls to the kernel that this module rests on: opening beneath a folder, looking, listing.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, Mode, OFlags, RawDir, ResolveFlags, Statx, StatxFlags, open, openat, openat2, statx,
};
use rustix::io::Errno;

use super::name::components;

/// A folder nothing below which is reached by a symlink, a mount or `..`.
#[derive(Debug)]
pub(crate) struct Anchor {
    fd: OwnedFd,
    way: Way,
}

/// How paths are resolved: by one call, or step by step on kernels (or seccomp profiles) without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    OpenAt2,
    Steps,
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW);
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
/// `openat2` may ask to be called again; a rename storm must not make that endless.
const AGAIN: usize = 16;

impl Anchor {
    /// Opens a folder by an ordinary path; only here symlinks are followed.
    pub(crate) fn open(path: &Path) -> Result<Self, Errno> {
        let fd = open(
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self::of(fd))
    }

    pub(crate) fn of(fd: OwnedFd) -> Self {
        let probe = openat2(&fd, c".", FOLDER | OFlags::CLOEXEC, Mode::empty(), BENEATH);
        let way = match probe {
            Err(Errno::NOSYS | Errno::PERM) => Way::Steps,
            _ => Way::OpenAt2,
        };
        Self { fd, way }
    }

    /// Opens a folder below; empty for the anchor itself.
    pub(crate) fn folder(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.beneath(
            self.fd.as_fd(),
            if path.is_empty() { b"." } else { path },
            FOLDER,
        )
    }

    /// Opens a folder of a folder below.
    pub(crate) fn folder_in(&self, folder: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
        self.beneath(folder, name, FOLDER)
    }

    /// Opens a file by its path from a folder below, or from the anchor, never blocking. What it is must still be asked of the descriptor.
    pub(crate) fn file(&self, folder: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.beneath(folder, path, FILE)
    }

    fn beneath(&self, at: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC;
        if self.way == Way::Steps {
            return in_steps(at, path, flags);
        }
        let mut result = Err(Errno::AGAIN);
        for _ in 0..AGAIN {
            result = openat2(at, path, flags, Mode::empty(), BENEATH);
            if result.as_ref().err() != Some(&Errno::AGAIN) {
                break;
            }
        }
        result
    }
}

impl AsFd for Anchor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What `openat2` does, one component at a time: no symlinks, no other device. Bind mounts of the same device are seen by
/// the attribute of their root only.
fn in_steps(at: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let device = |fd: BorrowedFd<'_>| look_fd(fd).map(|s| (s.stx_dev_major, s.stx_dev_minor));
    let home = device(at)?;
    let parts: Vec<&[u8]> = components(path).collect();
    let Some((last, folders)) = parts.split_last() else {
        return openat(at, c".", flags, Mode::empty());
    };
    let mut held: Option<OwnedFd> = None;
    let step = |held: &Option<OwnedFd>, part: &[u8], flags: OFlags| {
        if part == b".." {
            return Err(Errno::XDEV);
        }
        let from = held.as_ref().map_or(at, AsFd::as_fd);
        let fd = openat(from, part, flags, Mode::empty())?;
        let seen = look_fd(fd.as_fd())?;
        if (seen.stx_dev_major, seen.stx_dev_minor) != home || is_mount(&seen) {
            return Err(Errno::XDEV);
        }
        Ok(fd)
    };
    for part in folders {
        held = Some(step(&held, part, FOLDER | OFlags::CLOEXEC)?);
    }
    step(&held, last, flags)
}

/// Looks at an entry of a folder without following or opening it.
pub(crate) fn look(folder: BorrowedFd<'_>, name: &[u8]) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    statx(folder, name, flags, StatxFlags::BASIC_STATS)
}

/// Looks at what is open.
pub(crate) fn look_fd(fd: BorrowedFd<'_>) -> Result<Statx, Errno> {
    statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
}

/// Whether another filesystem, or a bind mount, begins at this entry.
pub(crate) fn is_mount(seen: &Statx) -> bool {
    use rustix::fs::StatxAttributes as A;
    seen.stx_attributes_mask.contains(A::MOUNT_ROOT) && seen.stx_attributes.contains(A::MOUNT_ROOT)
}

/// The names in a folder, without `.` and `..`, in no order.
pub(crate) fn names(folder: BorrowedFd<'_>) -> Result<Vec<Box<[u8]>>, Errno> {
    let mut names = Vec::new();
    let mut buffer = vec![MaybeUninit::uninit(); 32 * 1024];
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_bytes().into());
        }
    }
    Ok(names)
}

/// Errors that mean: what was here a moment ago is gone or is something else now.
pub(crate) fn is_gone(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT
            | Errno::NOTDIR
            | Errno::LOOP
            | Errno::XDEV
            | Errno::NXIO
            | Errno::NODEV
            | Errno::AGAIN
            | Errno::ISDIR
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn anchors(path: &Path) -> [Anchor; 2] {
        let one = Anchor::open(path).unwrap();
        let two = Anchor {
            fd: open(path, FOLDER, Mode::empty()).unwrap(),
            way: Way::Steps,
        };
        [one, two]
    }

    #[test]
    fn neither_way_follows_a_symlink_or_climbs() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("tree/a/b")).unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        std::fs::write(dir.path().join("outside/x"), "x").unwrap();
        symlink("../outside", dir.path().join("tree/out")).unwrap();
        symlink("a", dir.path().join("tree/in")).unwrap();
        for anchor in anchors(&dir.path().join("tree")) {
            assert!(anchor.folder(b"a/b").is_ok());
            assert!(anchor.folder(b"").is_ok());
            assert!(
                is_gone(anchor.folder(b"in/b").unwrap_err()),
                "{:?}",
                anchor.way
            );
            assert!(is_gone(anchor.folder(b"out").unwrap_err()));
            assert!(is_gone(anchor.folder(b"../outside").unwrap_err()));
            let root = anchor.folder(b"").unwrap();
            assert!(is_gone(anchor.file(root.as_fd(), b"out").unwrap_err()));
        }
    }

    #[test]
    fn neither_way_enters_a_mount() {
        for anchor in anchors(Path::new("/")) {
            assert!(
                is_gone(anchor.folder(b"proc").unwrap_err()),
                "{:?}",
                anchor.way
            );
        }
    }

    #[test]
    fn names_leaves_out_the_folder_and_its_parent() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".hidden"), "").unwrap();
        let fd = Anchor::open(dir.path()).unwrap();
        let fd = fd.folder(b"").unwrap();
        assert_eq!(names(fd.as_fd()).unwrap(), vec![Box::from(&b".hidden"[..])]);
    }
}
