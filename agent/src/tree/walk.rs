//! Walks a source, in parallel, and says what is there: a tree, and everything that may not be in one.
//!
//! Folders are opened by their whole path beneath the source's descriptor, so only as many descriptors are held as threads
//! work, however wide or deep the tree.

mod visit;

use std::collections::{BTreeSet, HashSet};
use std::mem;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::Scope;
use rayon::prelude::*;

use super::error::{Reason, Refusals, Refused, TreeError};
use super::halt::CancelFlag;
use super::links;
use super::manifest::{Folder, FolderKind, Tree};
use super::name::{RelPath, is_under, parent, path_buf};
use super::request::Rules;
use super::stat::Stat;
use super::sys::{self, Anchor};

/// Refusals kept; the rest is only counted.
const KEPT: usize = 10_000;

/// A source to walk.
pub(crate) struct Walk<'a> {
    pub source: &'a Anchor,
    pub path: &'a Path,
    pub rules: &'a Rules,
    pub cancel: &'a CancelFlag,
}

/// What all threads need, and what they found so far.
struct Crew<'a> {
    walk: &'a Walk<'a>,
    /// The source's device; another one is another filesystem.
    device: (u32, u32),
    /// The folders that hold a shared one.
    above_shared: HashSet<&'a [u8]>,
    entries: AtomicU64,
    bytes: AtomicU64,
    haul: Mutex<Haul>,
}

#[derive(Default)]
struct Haul {
    folders: Vec<Folder>,
    refused: Vec<Refused>,
    /// The first; it ends the walk.
    error: Option<TreeError>,
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
        let device = sys::look_fd(self.source.as_fd())
            .map_err(|e| TreeError::io("look at", self.path, e))
            .map(|s| (s.stx_dev_major, s.stx_dev_minor))?;
        let crew = Crew {
            walk: self,
            device,
            above_shared: self
                .rules
                .shared
                .iter()
                .filter_map(|path| parent(path))
                .collect(),
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            haul: Mutex::default(),
        };
        rayon::scope(|scope| crew.send(scope, Vec::new()));
        let haul = mem::take(&mut *crew.haul.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(error) = haul.error {
            return Err(error);
        }
        let (mut folders, mut refused) = (haul.folders, haul.refused);
        crew.check_totals(&mut refused);
        folders.par_sort_unstable_by(|a, b| a.path.cmp(&b.path));
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

    /// Adds what the source lacks of the shared folders, and of the folders above them.
    fn add_missing_stubs(&self, tree: &mut Tree, refused: &mut Vec<Refused>) {
        let mut missing = BTreeSet::new();
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
}

impl<'a> Crew<'a> {
    /// Has a folder visited, and then those below it.
    fn send<'s>(&'s self, scope: &Scope<'s>, path: Vec<u8>)
    where
        'a: 's,
    {
        scope.spawn(move |scope| {
            let visit = self.visit(&path);
            let mut haul = self.haul.lock().unwrap_or_else(PoisonError::into_inner);
            match visit {
                Ok(_) if haul.error.is_some() => {}
                Ok(visit) => {
                    haul.folders.extend(visit.folder);
                    haul.folders
                        .extend(visit.stubs.into_iter().map(|path| stub(path.into())));
                    haul.refused.extend(visit.refused);
                    drop(haul);
                    visit
                        .below
                        .into_iter()
                        .for_each(|path| self.send(scope, path));
                }
                Err(error) => haul.error = haul.error.take().or(Some(error)),
            }
        });
    }

    /// Refuses a tree that is beyond its limits as a whole.
    fn check_totals(&self, refused: &mut Vec<Refused>) {
        let limits = &self.walk.rules.limits;
        if self.bytes.load(Ordering::Relaxed) > limits.bytes {
            refused.push(refusal(b"", Reason::TooManyBytes(limits.bytes)));
        }
        if self.entries.load(Ordering::Relaxed) > limits.entries {
            refused.push(refusal(b"", Reason::TooManyEntries(limits.entries)));
        }
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
