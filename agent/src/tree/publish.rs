//! The folder a release is built in, and the moment it becomes one.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Mode, OFlags, fchmod, fsync, mkdirat, openat, renameat, syncfs, unlinkat,
};
use rustix::io::{Errno, write};

use super::error::TreeError;
use super::halt::CancelFlag;
use super::manifest::{self, Header, Tree};
use super::sys::{self, Anchor};
use super::trash::{self, Trash};
use super::verify;

const TREE: &[u8] = b"tree";
const MANIFEST: &[u8] = b"manifest";
pub(crate) const PREFIX: &str = ".new-";

/// A folder of releases, open.
pub(crate) struct Shelf {
    pub anchor: Anchor,
    pub path: PathBuf,
}

/// A release under construction.
pub(crate) struct Partial<'a> {
    shelf: &'a Shelf,
    name: String,
    folder: OwnedFd,
    pub tree: Anchor,
    pub tree_path: PathBuf,
}

/// How a release came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    New,
    /// It was there already.
    Adopted,
}

impl Shelf {
    /// Opens a folder of releases; nothing if there is none.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, TreeError> {
        match Anchor::open(path) {
            Ok(anchor) => Ok(Some(Self {
                anchor,
                path: path.to_owned(),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(TreeError::io("open the releases in", path, error)),
        }
    }

    /// Opens a folder of releases, making it if need be.
    pub(crate) fn make(path: &Path) -> Result<Self, TreeError> {
        std::fs::create_dir_all(path).map_err(|e| TreeError::io("make the folder", path, e))?;
        Self::open(path)?
            .ok_or_else(|| TreeError::io("open", path, io::Error::from(io::ErrorKind::NotFound)))
    }

    pub(crate) fn has(&self, name: &[u8]) -> Result<bool, TreeError> {
        match sys::look(self.anchor.as_fd(), name) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(self.error("look at", name, error)),
        }
    }

    /// Moves releases and manifests into the trash and empties it. A second call goes on where the first was stopped.
    pub(crate) fn delete(&self, names: &[&[u8]], cancel: &CancelFlag) -> Result<u64, TreeError> {
        let trash = Trash::open(&self.anchor, &self.path)?;
        for name in names {
            let thrown = trash.throw(&self.anchor, name);
            if !thrown.map_err(|e| self.error("remove", name, e))? && self.has(name)? {
                return Err(self.error("remove", name, Errno::AGAIN)); // two at once
            }
        }
        fsync(&self.anchor).map_err(|e| self.error("sync", b"", e))?;
        let deleted = trash.empty(cancel)?;
        trash::remove_empty(&self.anchor);
        Ok(deleted)
    }

    /// Deletes a release under construction where it is: a full disk has no room even for a trash.
    pub(crate) fn delete_partial(
        &self,
        name: &[u8],
        cancel: &CancelFlag,
    ) -> Result<u64, TreeError> {
        let folder = match self.anchor.folder(name) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(0),
            Err(error) => return Err(self.error("open", name, error)),
        };
        let path = self.path.join(super::name::path_buf(name));
        let deleted = Trash::of(Anchor::of(folder), path).empty(cancel)?;
        unlinkat(&self.anchor, name, AtFlags::REMOVEDIR)
            .map_err(|e| self.error("remove", name, e))?;
        Ok(deleted + 1)
    }

    fn error(&self, action: &'static str, name: &[u8], error: Errno) -> TreeError {
        TreeError::io(action, &self.path.join(super::name::path_buf(name)), error)
    }
}

impl<'a> Partial<'a> {
    /// Begins a release; what an earlier try of the same operation left is deleted first.
    pub(crate) fn begin(
        shelf: &'a Shelf,
        operation: &str,
        cancel: &CancelFlag,
    ) -> Result<Self, TreeError> {
        let name = format!("{PREFIX}{operation}");
        shelf.delete_partial(name.as_bytes(), cancel)?;
        let error = |e| shelf.error("make the folder", name.as_bytes(), e);
        mkdirat(&shelf.anchor, name.as_str(), Mode::RWXU).map_err(error)?;
        let folder = shelf.anchor.folder(name.as_bytes()).map_err(error)?;
        fchmod(&folder, Mode::RWXU).map_err(error)?;
        mkdirat(&folder, TREE, Mode::RWXU).map_err(error)?;
        let anchor = Anchor::of(folder);
        let tree = anchor.folder(TREE).map_err(error)?;
        let folder = anchor.folder(b"").map_err(error)?;
        let tree_path = shelf.path.join(&name).join("tree");
        Ok(Self {
            shelf,
            name,
            folder,
            tree: Anchor::of(tree),
            tree_path,
        })
    }

    /// Deletes it.
    pub(crate) fn abandon(self) -> Result<(), TreeError> {
        // Whoever cancelled wants this to happen, so the caller's flag does not count here.
        self.shelf
            .delete_partial(self.name.as_bytes(), &CancelFlag::default())
            .map(drop)
    }

    /// Brings what was placed so far to disk: all at once, which costs less than file by file.
    pub(crate) fn sync(&self) -> Result<(), TreeError> {
        syncfs(&self.folder).map_err(|e| self.error("sync", e))
    }

    /// Makes it a release under its digest, what it holds being on disk already; or adopts the one that is there already.
    pub(crate) fn publish(
        &self,
        tree: &Tree,
        creator: &str,
        created_unix_s: u64,
    ) -> Result<(Header, Published), TreeError> {
        let encoded = manifest::encode(tree, creator, created_unix_s);
        let digest = encoded.header.release.clone();
        if self.shelf.has(digest.as_bytes())? {
            return self.adopt(tree, &digest);
        }
        self.write_manifest(&encoded.bytes)?;
        self.move_manifest(&digest)?;
        renameat(&self.folder, TREE, &self.shelf.anchor, digest.as_str())
            .map_err(|e| self.error("publish", e))?;
        fsync(&self.shelf.anchor).map_err(|e| self.error("sync", e))?;
        Ok((encoded.header, Published::New))
    }

    /// Keeps the release that is there, whoever made it, and notes what the source looks like now.
    fn adopt(&self, tree: &Tree, digest: &str) -> Result<(Header, Published), TreeError> {
        let path = self.shelf.path.join(digest);
        let anchor = Anchor::open(&path).map_err(|e| TreeError::io("open", &path, e))?;
        verify::intact(&anchor, tree).map_err(|altered| TreeError::Altered {
            release: digest.to_owned(),
            path: altered,
        })?;
        // Without a readable manifest nobody knows who made it, so no operation may undo it.
        let (creator, created) = manifest::load(&self.shelf.path, digest)
            .map(|(header, _)| (header.creator, header.created_unix_s))
            .unwrap_or_default();
        let encoded = manifest::encode(tree, &creator, created);
        self.write_manifest(&encoded.bytes)?;
        self.move_manifest(digest)?;
        fsync(&self.shelf.anchor).map_err(|e| self.error("sync", e))?;
        Ok((encoded.header, Published::Adopted))
    }

    fn write_manifest(&self, mut bytes: &[u8]) -> Result<(), TreeError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = openat(&self.folder, MANIFEST, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|e| self.error("write the manifest of", e))?;
        while !bytes.is_empty() {
            match write(&fd, bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.error("write the manifest of", error)),
            }
        }
        fsync(&fd).map_err(|e| self.error("sync the manifest of", e))
    }

    fn move_manifest(&self, digest: &str) -> Result<(), TreeError> {
        let name = format!("{digest}.manifest");
        renameat(&self.folder, MANIFEST, &self.shelf.anchor, name.as_str())
            .map_err(|e| self.error("publish the manifest of", e))
    }

    /// Removes the folder of a release that was published.
    pub(crate) fn end(self, published: Published) -> Result<(), TreeError> {
        if published == Published::New {
            return unlinkat(&self.shelf.anchor, self.name.as_str(), AtFlags::REMOVEDIR)
                .map_err(|e| self.error("remove", e));
        }
        self.abandon()
    }

    fn error(&self, action: &'static str, error: Errno) -> TreeError {
        TreeError::io(action, &self.tree_path, error)
    }
}
