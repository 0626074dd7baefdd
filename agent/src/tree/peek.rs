//! Reads small files of a tree that its owner may change at any moment: beneath the tree, regular files only, no
//! symlink followed, never more than a bound.

use std::fs::File;
use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FileType, RawDir, Statx};
use rustix::io::Errno;

use super::sys::{self, Anchor};

/// How often a file is read that changes meanwhile.
const TRIES: usize = 3;

/// A tree that can be looked into.
pub struct Peek {
    root: Anchor,
}

/// Why something was not read.
#[derive(Debug, thiserror::Error)]
pub enum PeekError {
    /// There is nothing of that name.
    #[error("it is not there")]
    Missing,
    /// A symlink, a mount, or no regular file.
    #[error("it is a symlink, a mount or no regular file; put the file itself there")]
    NotPlain,
    /// A folder of more entries, or a file of more bytes, than are read.
    #[error("it is larger than the {0} that are read; make it smaller")]
    TooLarge(u64),
    /// It never stood still.
    #[error("it is being written; try again")]
    Changing,
    /// The kernel refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Errno> for PeekError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT => Self::Missing,
            error if sys::is_gone(error) => Self::NotPlain,
            error => Self::Io(error.into()),
        }
    }
}

impl Peek {
    /// Opens the tree at `root`, an ordinary path.
    ///
    /// # Errors
    /// When there is no folder.
    pub fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: Anchor::open(root)?,
        })
    }

    /// The names in `folder`, a path below, in order.
    ///
    /// # Errors
    /// [`PeekError::TooLarge`] when there are more than `most`.
    pub fn names(&self, folder: &str, most: usize) -> Result<Vec<Vec<u8>>, PeekError> {
        let folder = self.root.folder(folder.as_bytes())?;
        let mut names = Vec::new();
        let mut buffer = vec![MaybeUninit::uninit(); 16 * 1024];
        let mut entries = RawDir::new(&folder, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            if names.len() == most {
                return Err(PeekError::TooLarge(most as u64));
            }
            names.push(name.to_vec());
        }
        names.sort();
        Ok(names)
    }

    /// The content of the file at `path`, a path below, as it stood at one moment.
    ///
    /// # Errors
    /// [`PeekError::TooLarge`] when it has more than `most` bytes.
    pub fn read(&self, path: &[u8], most: u64) -> Result<Vec<u8>, PeekError> {
        for _ in 0..TRIES {
            let fd = self.root.file(self.root.as_fd(), path)?;
            let before = sys::look_fd(fd.as_fd())?;
            if FileType::from_raw_mode(before.stx_mode.into()) != FileType::RegularFile {
                return Err(PeekError::NotPlain);
            }
            if before.stx_size > most {
                return Err(PeekError::TooLarge(most));
            }
            let mut bytes = Vec::new();
            let mut file = File::from(fd);
            file.by_ref().take(most + 1).read_to_end(&mut bytes)?;
            let after = sys::look_fd(file.as_fd())?;
            if stamp(&before) == stamp(&after) && bytes.len() as u64 == after.stx_size {
                return Ok(bytes);
            }
        }
        Err(PeekError::Changing)
    }
}

fn stamp(seen: &Statx) -> (u64, i64, u32, i64, u32) {
    let (modified, changed) = (&seen.stx_mtime, &seen.stx_ctime);
    (
        seen.stx_size,
        modified.tv_sec,
        modified.tv_nsec,
        changed.tv_sec,
        changed.tv_nsec,
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn plain_files_are_read_and_nothing_that_leads_out() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir_all(tree.join("a")).unwrap();
        std::fs::write(tree.join("a/b"), "text").unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        symlink("../../secret", tree.join("a/link")).unwrap();
        symlink("a", tree.join("c")).unwrap();
        let peek = Peek::open(&tree).unwrap();
        assert_eq!(peek.read(b"a/b", 4).unwrap(), b"text");
        assert_eq!(
            peek.names("a", 2).unwrap(),
            [b"b".to_vec(), b"link".to_vec()]
        );
        for not_plain in [&b"a/link"[..], b"c/b", b"a", b"../secret"] {
            let refused = peek.read(not_plain, 99).unwrap_err();
            assert!(matches!(refused, PeekError::NotPlain), "{refused}");
        }
        assert!(matches!(peek.names("c", 9), Err(PeekError::NotPlain)));
        assert!(matches!(peek.names("none", 9), Err(PeekError::Missing)));
    }

    #[test]
    fn no_more_is_read_than_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let large = File::create(folder.path().join("large")).unwrap();
        large.set_len(10 << 20).unwrap();
        let peek = Peek::open(folder.path()).unwrap();
        assert!(matches!(
            peek.read(b"large", 100),
            Err(PeekError::TooLarge(100))
        ));
        std::fs::write(folder.path().join("other"), "").unwrap();
        assert!(matches!(peek.names("", 1), Err(PeekError::TooLarge(1))));
    }

    #[test]
    fn a_pipe_does_not_hold_up_its_reader() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        let peek = Peek::open(folder.path()).unwrap();
        assert!(matches!(peek.read(b"pipe", 9), Err(PeekError::NotPlain)));
    }
}
