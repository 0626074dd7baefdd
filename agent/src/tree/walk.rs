//! Walks a source, in parallel, and says what is there: a tree, and everything that may not be in one.
//!
//! Folders are opened by their whole path beneath the source's descriptor, so only as many descriptors are held as threads
//! work. Level by level: the folders of one level in parallel, then those below them.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use rustix::fs::{FileType, Statx, readlinkat};
use rustix::io::Errno;

use super::error::{Reason, Refusals, Refused, TreeError};
use super::halt::CancelFlag;
use super::links;
use super::manifest::{File, Folder, FolderKind, Link, Tree};
use super::name::{RelPath, depth, is_under, join, parent, path_buf};
use super::request::Rules;
use super::stat::{Stat, Time, file_type};
use super::sys::{self, Anchor};

/// Entries of one folder that one thread looks at before another may help.
const BATCH: usize = 1024;
/// Refusals kept; the rest is only counted.
const KEPT: usize = 10_000;

/// A source to walk.
pub(crate) struct Walk<'a> {
    pub source: &'a Anchor,
    pub path: &'a Path,
    pub rules: &'a Rules,
    pub cancel: &'a CancelFlag,
}

/// What was found so far, over all threads.
#[derive(Default)]
struct Seen {
    entries: AtomicU64,
    bytes: AtomicU64,
}

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

/// One folder, and what it leads to.
#[derive(Default)]
struct Visit {
    folder: Option<Folder>,
    below: Vec<Vec<u8>>,
    stubs: Vec<Vec<u8>>,
    refused: Vec<Refused>,
}

impl Walk<'_> {
    /// Walks the whole source.
    ///
    /// # Errors
    /// `Refused` with every entry that may not be there; `Io` when a folder cannot be read; `Cancelled`.
    pub(crate) fn run(&self) -> Result<Tree, TreeError> {
        let seen = Seen::default();
        let device = sys::look_fd(self.source.as_fd())
            .map_err(|e| TreeError::io("look at", self.path, e))
            .map(|s| (s.stx_dev_major, s.stx_dev_minor))?;
        let (mut folders, mut refused, mut stubs) = (Vec::new(), Vec::new(), Vec::new());
        let mut level = vec![Vec::new()];
        while !level.is_empty() {
            let visits: Vec<Visit> = level
                .par_iter()
                .map(|path| self.visit(path, device, &seen))
                .collect::<Result<_, _>>()?;
            level = Vec::new();
            for visit in visits {
                folders.extend(visit.folder);
                level.extend(visit.below);
                stubs.extend(visit.stubs);
                refused.extend(visit.refused);
            }
            if self.is_over(&seen, &mut refused) {
                break;
            }
        }
        folders.extend(stubs.into_iter().map(|path| stub(path.into())));
        folders.par_sort_unstable_by(|a: &Folder, b| a.path.cmp(&b.path));
        let mut tree = Tree {
            owner: (0, 0),
            folders,
        };
        self.add_missing_stubs(&mut tree, &mut refused);
        links::judge_all(&mut tree, self.rules, &mut refused);
        if refused.is_empty() {
            return Ok(tree);
        }
        refused.sort_unstable();
        refused.dedup();
        let total = refused.len();
        refused.truncate(KEPT);
        Err(TreeError::Refused(Refusals {
            entries: refused,
            total,
        }))
    }

    /// Whether the tree as a whole is beyond its limits; then there is no point in going on.
    fn is_over(&self, seen: &Seen, refused: &mut Vec<Refused>) -> bool {
        let limits = &self.rules.limits;
        let mut over = |reason| {
            refused.push(Refused {
                path: ".".into(),
                reason,
            })
        };
        if seen.bytes.load(Ordering::Relaxed) > limits.bytes {
            over(Reason::TooManyBytes(limits.bytes));
        }
        let is_over = seen.entries.load(Ordering::Relaxed) > limits.entries;
        if is_over {
            over(Reason::TooManyEntries(limits.entries));
        }
        is_over
    }

    fn visit(&self, path: &[u8], device: (u32, u32), seen: &Seen) -> Result<Visit, TreeError> {
        self.cancel.check()?;
        let mut visit = Visit::default();
        let fd = match self.source.folder(path) {
            Ok(fd) => fd,
            Err(Errno::XDEV) => {
                visit.refused.push(refusal(path, Reason::Mount));
                return Ok(visit);
            }
            // Replaced since its parent was listed: the parent's times will tell.
            Err(error) if sys::is_gone(error) && !path.is_empty() => return Ok(visit),
            Err(error) => return Err(self.error("open the folder", path, error)),
        };
        let look = || sys::look_fd(fd.as_fd()).map_err(|e| self.error("look at", path, e));
        let mut statx = look()?;
        let wait = Time::from(statx.stx_ctime).settles_in(Time::now());
        if !wait.is_zero() {
            self.cancel.pause(wait)?;
            statx = look()?;
        }
        if (statx.stx_dev_major, statx.stx_dev_minor) != device {
            visit.refused.push(refusal(path, Reason::Mount));
            return Ok(visit);
        }
        let sure = Time::from(statx.stx_ctime)
            .settles_in(Time::now())
            .is_zero();
        let mut names = sys::names(fd.as_fd()).map_err(|e| self.error("list", path, e))?;
        names.retain(|name| !self.rules.is_excluded(path, name));
        let before = seen
            .entries
            .fetch_add(names.len() as u64, Ordering::Relaxed);
        if before > self.rules.limits.entries {
            return Ok(visit); // beyond the limit already: the level's end refuses the tree
        }
        let found: Vec<Found> = names
            .into_par_iter()
            .with_min_len(BATCH)
            .map(|name| self.entry(fd.as_fd(), path, name, seen))
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

    fn entry(
        &self,
        fd: BorrowedFd<'_>,
        folder: &[u8],
        name: RelPath,
        seen: &Seen,
    ) -> Result<Found, TreeError> {
        let rules = self.rules;
        let path = join(folder, &name);
        self.cancel.check()?;
        let statx = match sys::look(fd, &name) {
            Ok(statx) => statx,
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(error) => return Err(self.error("look at", &path, error)),
        };
        let refused = |reason| Ok(Found::Refused(refusal(&path, reason)));
        let kind = file_type(&statx);
        if rules.shared.contains(path.as_slice()) {
            return match kind {
                FileType::Directory | FileType::Symlink => Ok(Found::Stub(path)),
                _ => refused(Reason::SharedNoFolder),
            };
        }
        if path.len() > rules.limits.path_bytes {
            return refused(Reason::PathTooLong(rules.limits.path_bytes));
        }
        if depth(&path) > rules.limits.depth {
            return refused(Reason::TooDeep(rules.limits.depth));
        }
        if sys::is_mount(&statx) {
            return refused(Reason::Mount);
        }
        match kind {
            FileType::Directory => Ok(Found::Folder(path)),
            FileType::RegularFile => {
                seen.bytes.fetch_add(statx.stx_size, Ordering::Relaxed);
                let (bytes, limit) = (statx.stx_size, rules.limits.file_bytes);
                if bytes > limit {
                    return refused(Reason::FileTooLarge { bytes, limit });
                }
                Ok(Found::File(file(name, &statx)))
            }
            FileType::Symlink => match readlinkat(fd, &*name, Vec::new()) {
                Ok(target) => Ok(Found::Link(Link {
                    name,
                    stat: Stat::from(&statx),
                    target: target.into_bytes().into(),
                    rewritten: None,
                    sure: false,
                })),
                Err(Errno::NOENT | Errno::INVAL) => Ok(Found::Nothing),
                Err(error) => Err(self.error("read the link", &path, error)),
            },
            FileType::Fifo => refused(Reason::Fifo),
            FileType::Socket => refused(Reason::Socket),
            _ => refused(Reason::Device),
        }
    }

    /// Adds what the source lacks of the shared folders, and of the folders above them.
    fn add_missing_stubs(&self, tree: &mut Tree, refused: &mut Vec<Refused>) {
        let mut missing = std::collections::BTreeSet::new();
        for shared in &self.rules.shared {
            let inside = |other: &&RelPath| *other != shared && is_under(shared, other);
            if self.rules.shared.iter().any(|other| inside(&other)) {
                continue;
            }
            let mut at: &[u8] = shared;
            while tree.folder(at).is_none() {
                let up = parent(at).unwrap_or_default();
                let name = &at[if up.is_empty() { 0 } else { up.len() + 1 }..];
                let blocked = tree
                    .folder(up)
                    .is_some_and(|f| f.file(name).is_some() || f.link(name).is_some());
                if blocked {
                    refused.push(refusal(at, Reason::SharedNoFolder));
                    break;
                }
                missing.insert(at.to_vec());
                at = up;
            }
        }
        if !missing.is_empty() && !tree.folders.is_empty() {
            tree.folders
                .extend(missing.into_iter().map(|path| stub(path.into())));
            tree.folders.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        }
    }

    fn error(&self, action: &'static str, path: &[u8], error: Errno) -> TreeError {
        TreeError::io(action, &self.path.join(path_buf(path)), error)
    }
}

fn refusal(path: &[u8], reason: Reason) -> Refused {
    Refused {
        path: path_buf(if path.is_empty() { b"." } else { path }),
        reason,
    }
}

fn stub(path: RelPath) -> Folder {
    Folder {
        path,
        stat: Stat::default(),
        kind: FolderKind::Stub,
        sure: true,
        settled: false,
        files: Vec::new(),
        links: Vec::new(),
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
        must_copy: false,
        linked: false,
    }
}
