//! Says before anything is written what a snapshot will need, and whether there is room.

use std::path::Path;

use rustix::fs::statvfs;

use super::error::TreeError;
use super::halt::CancelFlag;
use super::manifest::{self, Rewritten, Stripped, Tree};
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
    let blocks = |bytes: u64| bytes.div_ceil(block) * block;
    let (mut copied, mut linked, mut bytes, mut inodes) = (0, 0, 0, 0);
    let mut manifest_bytes = 4096;
    for folder in &tree.folders {
        let before = base.and_then(|b| b.tree.folder(&folder.path));
        let mut list_bytes = 64;
        for file in &folder.files {
            list_bytes += 16 + file.name.len() as u64;
            if base.is_some_and(|b| b.same(request.owner, before, file)) {
                linked += 1;
            } else {
                copied += 1;
                inodes += 1;
                bytes += blocks(file.allocated);
            }
        }
        for link in &folder.links {
            list_bytes += 16 + link.name.len() as u64;
            inodes += 1;
            bytes += if link.release_target().len() < 60 {
                0
            } else {
                block
            };
        }
        inodes += 1;
        bytes += blocks(list_bytes + list_bytes / 2);
        manifest_bytes += 128 * (folder.files.len() + folder.links.len() + 1) as u64 + list_bytes;
    }
    bytes += blocks(manifest_bytes);
    Ok(Forecast {
        files: tree.files(),
        bytes: tree.bytes(),
        copied,
        linked,
        needed_bytes: bytes + bytes / 256, // what the filesystem keeps about large files
        needed_inodes: inodes + 4,         // the partial's folder, the trash, two manifests
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
