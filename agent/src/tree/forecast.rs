//! Says before anything is written what a snapshot will need, and whether there is room.

use std::path::Path;

use rayon::prelude::*;
use rustix::fs::statvfs;

use super::error::TreeError;
use super::halt::CancelFlag;
use super::manifest::{self, Folder, Rewritten, Stripped, Tree};
use super::place::Base;
use super::pool;
use super::request::{Request, Rules};
use super::sys::Anchor;
use super::walk::Walk;

/// What a snapshot taken now would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Regular files in the source.
    pub files: u64,
    /// Their logical size.
    pub bytes: u64,
    /// Files that would be copied.
    pub copied: u64,
    /// Files that would be linked from the base.
    pub linked: u64,
    /// Bytes the copies would use on disk. Blocks that the filesystem shares between files are counted all the same.
    pub needed_bytes: u64,
    /// Inodes the release would use.
    pub needed_inodes: u64,
    /// Bytes free on the filesystem of the releases.
    pub free_bytes: u64,
    /// Inodes free there; the largest number where the filesystem has no limit.
    pub free_inodes: u64,
    /// Links that would be made relative.
    pub rewritten: Vec<Rewritten>,
    /// Entries that would lose setuid or setgid; capabilities are found by the snapshot.
    pub stripped: Vec<Stripped>,
}

/// Walks the source and predicts; writes nothing.
///
/// # Errors
/// `Refused` with every entry that may not be in a release; `Space` if there is too little room.
pub fn preflight(request: &Request, cancel: &CancelFlag) -> Result<Forecast, TreeError> {
    let rules = Rules::new(request)?;
    let source = open_source(request)?;
    let base = open_base(request);
    pool::run(|| {
        let walk = Walk {
            source: &source,
            path: &request.source,
            rules: &rules,
            cancel,
        };
        let tree = walk.run()?;
        let forecast = forecast(&tree, request, base.as_ref())?;
        forecast.check(&request.releases)?;
        Ok(forecast)
    })
}

pub(crate) fn open_source(request: &Request) -> Result<Anchor, TreeError> {
    Anchor::open(&request.source)
        .map_err(|e| TreeError::io("open the code directory", &request.source, e))
}

/// Opens the release to link from. One that cannot be used only costs copies, so why is logged, not returned.
pub(crate) fn open_base(request: &Request) -> Option<Base> {
    let digest = request.base.as_deref()?;
    let opened = manifest::load(&request.releases, digest).and_then(|(_, tree)| {
        let path = request.releases.join(digest);
        let anchor = Anchor::open(&path).map_err(|e| TreeError::io("open", &path, e))?;
        Ok(Base { anchor, tree })
    });
    opened
        .inspect_err(|error| {
            tracing::warn!(release = digest, %error, "previous release is not used, all is copied");
        })
        .ok()
}

pub(crate) fn forecast(
    tree: &Tree,
    request: &Request,
    base: Option<&Base>,
) -> Result<Forecast, TreeError> {
    let place = existing(&request.releases);
    let room = statvfs(place).map_err(|e| TreeError::io("measure the filesystem of", place, e))?;
    let block = room.f_frsize.max(512);
    let need = tree
        .folders
        .par_iter()
        .map(|folder| Need::of(folder, request.owner, base, block))
        .reduce(Need::default, Need::and);
    let bytes = need.bytes + need.manifest_bytes.next_multiple_of(block);
    Ok(Forecast {
        files: tree.files(),
        bytes: tree.bytes(),
        copied: need.copied,
        linked: need.linked,
        needed_bytes: bytes + bytes / 256, // what the filesystem keeps about large files
        needed_inodes: need.inodes + 4,    // the partial's folder, the trash, two manifests
        free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
        free_inodes: if room.f_files == 0 {
            u64::MAX
        } else {
            room.f_favail
        },
        rewritten: tree.rewritten(),
        stripped: tree.stripped(),
    })
}

/// What a part of the tree will use.
#[derive(Default, Clone, Copy)]
struct Need {
    copied: u64,
    linked: u64,
    inodes: u64,
    bytes: u64,
    manifest_bytes: u64,
}

impl Need {
    fn of(folder: &Folder, owner: (u32, u32), base: Option<&Base>, block: u64) -> Self {
        let before = base.and_then(|b| b.tree.folder(&folder.path));
        let mut need = Self {
            inodes: 1,
            ..Self::default()
        };
        let mut list_bytes = 64;
        for file in &folder.files {
            list_bytes += 16 + file.name.len() as u64;
            if base.is_some_and(|b| b.same(owner, before, file)) {
                need.linked += 1;
            } else {
                need.copied += 1;
                need.inodes += 1;
                need.bytes += file.allocated.next_multiple_of(block);
            }
        }
        for link in &folder.links {
            list_bytes += 16 + link.name.len() as u64;
            need.inodes += 1;
            need.bytes += if link.release_target().len() < 60 {
                0
            } else {
                block
            };
        }
        need.bytes += (list_bytes + list_bytes / 2).next_multiple_of(block);
        let entries = folder.files.len() + folder.links.len() + 1;
        need.manifest_bytes = 128 * entries as u64 + list_bytes;
        need
    }

    fn and(mut self, other: Self) -> Self {
        let Self {
            copied,
            linked,
            inodes,
            bytes,
            manifest_bytes,
        } = other;
        self.copied += copied;
        self.linked += linked;
        self.inodes += inodes;
        self.bytes += bytes;
        self.manifest_bytes += manifest_bytes;
        self
    }
}

impl Forecast {
    pub(crate) fn check(&self, releases: &Path) -> Result<(), TreeError> {
        if self.needed_bytes <= self.free_bytes && self.needed_inodes <= self.free_inodes {
            return Ok(());
        }
        Err(TreeError::Space {
            path: releases.to_owned(),
            needed_bytes: self.needed_bytes,
            free_bytes: self.free_bytes,
            needed_inodes: self.needed_inodes,
            free_inodes: self.free_inodes,
        })
    }
}

/// The nearest ancestor that is there.
fn existing(path: &Path) -> &Path {
    path.ancestors()
        .find(|p| p.exists())
        .unwrap_or(Path::new("."))
}
