//! Compares a tree as it was copied with the same source walked again.

use std::path::PathBuf;

use rayon::prelude::*;

use super::manifest::{File, Folder, FolderKind, Link, Tree};
use super::name::{RelPath, join, path_buf};

/// Changed paths kept for an error's text; the rest is only counted.
const KEPT: usize = 1000;

/// What the second walk found different.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// At most a thousand.
    pub paths: Vec<PathBuf>,
    pub total: usize,
    /// What the release has and the source has no more; folders after what they held.
    pub gone: Vec<Gone>,
}

/// Something to take out of a release under construction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Entry { folder: RelPath, name: RelPath },
    Folder(RelPath),
}

impl Changes {
    fn note(&mut self, path: &[u8]) {
        self.total += 1;
        if self.paths.len() < KEPT {
            self.paths
                .push(path_buf(if path.is_empty() { b"." } else { path }));
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.total += other.total;
        self.paths.extend(other.paths);
        self.paths.truncate(KEPT);
        self.gone.extend(other.gone);
        self
    }
}

/// Carries over what is unchanged and sure from `done` to `fresh`, and says what is not.
pub(crate) fn carry(done: &Tree, fresh: &mut Tree) -> Changes {
    let changed = fresh
        .folders
        .par_iter_mut()
        .map(|folder| carry_folder(done.folder(&folder.path), folder))
        .reduce(Changes::default, Changes::and);
    let gone = done
        .folders
        .par_iter()
        .rev()
        .map(|folder| gone_from(folder, fresh.folder(&folder.path)))
        .reduce(Changes::default, Changes::and);
    changed.and(gone)
}

fn carry_folder(before: Option<&Folder>, now: &mut Folder) -> Changes {
    let mut changes = Changes::default();
    now.settled = before.is_some_and(|b| is_same_folder(b, now));
    if !now.settled {
        changes.note(&now.path);
    }
    for file in &mut now.files {
        let before = before.and_then(|b| b.file(&file.name));
        if !before.is_some_and(|b| carry_file(b, file)) {
            changes.note(&join(&now.path, &file.name));
        }
    }
    for link in &mut now.links {
        let before = before.and_then(|b| b.link(&link.name));
        link.sure = before.is_some_and(|b| is_same_link(b, link));
        if !link.sure {
            changes.note(&join(&now.path, &link.name));
        }
    }
    changes
}

fn gone_from(folder: &Folder, now: Option<&Folder>) -> Changes {
    let mut changes = Changes::default();
    let files = folder.files.iter().map(|f| &f.name);
    let files = files.filter(|name| now.and_then(|n| n.file(name)).is_none());
    let links = folder.links.iter().map(|l| &l.name);
    let links = links.filter(|name| now.and_then(|n| n.link(name)).is_none());
    for name in files.chain(links) {
        changes.note(&join(&folder.path, name));
        changes.gone.push(Gone::Entry {
            folder: folder.path.clone(),
            name: name.clone(),
        });
    }
    if now.is_none() {
        changes.note(&folder.path);
        changes.gone.push(Gone::Folder(folder.path.clone()));
    }
    changes
}

fn is_same_folder(before: &Folder, now: &Folder) -> bool {
    before.settled
        && before.sure
        && before.kind == now.kind
        && (now.kind == FolderKind::Stub || before.stat == now.stat)
}

fn carry_file(before: &File, now: &mut File) -> bool {
    now.way = before.way;
    if !before.sure || before.stat != now.stat {
        return false;
    }
    now.hash = before.hash;
    now.mtime = before.mtime;
    now.capabilities = before.capabilities;
    now.sure = true;
    true
}

fn is_same_link(before: &Link, now: &Link) -> bool {
    before.sure
        && before.stat == now.stat
        && before.target == now.target
        && before.rewritten == now.rewritten
}
