//! Shared folders of the working tree: there before members mount them, and nowhere else.
//!
//! The tree belongs to people who may put a link anywhere, so it is walked by descriptors, and no link is followed.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use stratus_core::environment::User;

/// Why a shared folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// The path is not plain.
    #[error("shared folder {0:?} must be a plain path below the code")]
    NotBelow(PathBuf),
    /// Something on the way is a link or no folder.
    #[error(
        "shared folder {0:?} is a link or no folder; make it a folder of the code directory itself"
    )]
    NotFolder(PathBuf),
    /// It is missing, and the server may not write there.
    #[error(
        "shared folder {path:?} is missing, and the server may not make it there; make it, or let the server: \
         write [Service] and ReadWritePaths={} with `systemctl edit stratusd`, and restart it", code.display()
    )]
    ReadOnly {
        /// The path.
        path: PathBuf,
        /// The working tree.
        code: PathBuf,
    },
    /// It cannot be opened or created.
    #[error("shared folder {path:?} cannot be opened or created")]
    Io {
        /// The path.
        path: PathBuf,
        /// What came back.
        #[source]
        source: std::io::Error,
    },
}

/// Makes sure that `folder` below `code` is a folder; where it is missing it is created, owned by `user`, as a first
/// upload would.
///
/// # Errors
/// When it, or anything between it and `code`, is a link or no folder.
pub fn ensure(code: &Path, folder: &Path, user: User) -> Result<(), SharedError> {
    let failed = |path: &Path, errno| failed(code, path, errno);
    let open = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = rustix::fs::openat(CWD, code, open, Mode::empty()).map_err(|e| failed(code, e))?;
    let mut path = code.to_owned();
    let mut parts = 0;
    for part in folder.components() {
        let Component::Normal(part) = part else {
            return Err(SharedError::NotBelow(folder.to_owned()));
        };
        path.push(part);
        at = enter(&at, part, user).map_err(|e| failed(&path, e))?;
        parts += 1;
    }
    if parts == 0 {
        return Err(SharedError::NotBelow(folder.to_owned()));
    }
    Ok(())
}

fn failed(code: &Path, path: &Path, errno: Errno) -> SharedError {
    let path = path.to_owned();
    match errno {
        Errno::LOOP | Errno::NOTDIR => SharedError::NotFolder(path),
        Errno::ROFS => SharedError::ReadOnly {
            path,
            code: code.to_owned(),
        },
        other => SharedError::Io {
            path,
            source: other.into(),
        },
    }
}

fn enter(at: &OwnedFd, part: &OsStr, user: User) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(at, part, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    match rustix::fs::mkdirat(at, part, Mode::from_raw_mode(0o755)) {
        Ok(()) => {
            let uid = rustix::fs::Uid::from_raw(user.uid);
            let gid = rustix::fs::Gid::from_raw(user.gid);
            rustix::fs::chownat(at, part, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Err(Errno::EXIST) => {}
        Err(other) => return Err(other),
    }
    rustix::fs::openat(at, part, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn me() -> User {
        User {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    #[test]
    fn a_missing_shared_folder_is_created_with_its_parents() {
        let code = tempfile::tempdir().unwrap();
        ensure(code.path(), Path::new("pub/media"), me()).unwrap();
        assert!(code.path().join("pub/media").is_dir());
        ensure(code.path(), Path::new("pub/media"), me()).unwrap();
    }

    #[test]
    fn a_link_on_the_way_or_at_the_end_is_refused_by_its_path() {
        let code = tempfile::tempdir().unwrap();
        symlink("/etc", code.path().join("var")).unwrap();
        for folder in ["var", "var/new"] {
            let error = ensure(code.path(), Path::new(folder), me()).unwrap_err();
            assert!(
                matches!(&error, SharedError::NotFolder(p) if p.ends_with("var")),
                "{error}"
            );
        }
        assert!(!Path::new("/etc/new").exists());
    }

    #[test]
    fn where_the_server_may_not_write_it_is_said_what_to_do() {
        let error = failed(
            Path::new("/var/www/shop"),
            Path::new("/var/www/shop/media"),
            Errno::ROFS,
        );
        let said = error.to_string();
        assert!(said.contains("ReadWritePaths=/var/www/shop"), "{said}");
    }

    #[test]
    fn a_file_and_a_path_that_climbs_are_refused() {
        let code = tempfile::tempdir().unwrap();
        std::fs::write(code.path().join("file"), "").unwrap();
        let file = ensure(code.path(), Path::new("file"), me());
        assert!(matches!(file, Err(SharedError::NotFolder(_))), "{file:?}");
        for folder in ["../x", "/etc", "a/../../x", ""] {
            let climbed = ensure(code.path(), Path::new(folder), me());
            assert!(matches!(climbed, Err(SharedError::NotBelow(_))), "{folder}");
        }
    }
}
