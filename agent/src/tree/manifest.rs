//! What a release holds and what its source looked like then: the value, its file, its digest.
//!
//! ```text
//! magic  format  header length   header (JSON)   checksum of all before     fixed-size, then small: enough for a list
//! content: owner, folders, files, links          its BLAKE3 is the release's digest
//! source:  modes, times, inodes, old targets     what the next snapshot compares with; its BLAKE3 is in the header
//! ```
//!
//! Folders are sorted by path, files and links by name, so equal trees give equal bytes. A reader refuses a newer format
//! and anything whose checksums do not fit; it never guesses.

mod decode;
mod encode;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::error::TreeError;
use super::name::{RelPath, join, path_buf};
use super::stat::{Stat, Time};

pub(crate) use decode::{HEADER_BYTES, read, read_header};
pub(crate) use encode::encode;

/// The format written, and the only one read.
const FORMAT: u32 = 1;
const MAGIC: &[u8; 16] = b"stratus release\n";

/// The small part of a manifest, readable alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The digest of the release.
    pub release: String,
    /// The operation that made it; empty if unknown.
    pub creator: String,
    /// When it was made, in seconds since 1970.
    pub created_unix_s: u64,
    /// Regular files.
    pub files: u64,
    /// Folders, the release itself included.
    pub folders: u64,
    /// Symlinks.
    pub links: u64,
    /// Logical size of all files.
    pub bytes: u64,
    content_bytes: u64,
    source_bytes: u64,
    source_digest: String,
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// Written by a newer program.
    #[error(
        "manifest has format {found}, this program knows up to {FORMAT}; use the newer program"
    )]
    Newer {
        /// The format found.
        found: u32,
    },
    /// Not what was written.
    #[error("manifest is damaged ({0})")]
    Damaged(&'static str),
}

/// A tree in memory: a source that was walked, or what a manifest says of a release.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tree {
    pub owner: (u32, u32),
    /// Sorted by path; the first is the root.
    pub folders: Vec<Folder>,
}

#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub path: RelPath,
    pub stat: Stat,
    pub kind: FolderKind,
    /// Whether nothing can have changed unseen since it was listed.
    pub sure: bool,
    /// Whether the release has it, with its mode and times.
    pub settled: bool,
    /// Sorted by name.
    pub files: Vec<File>,
    /// Sorted by name.
    pub links: Vec<Link>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FolderKind {
    Source,
    /// Empty, in place of a shared folder, or a parent made for one.
    Stub,
}

#[derive(Debug, Clone)]
pub(crate) struct File {
    pub name: RelPath,
    pub stat: Stat,
    /// Blocks the source uses, in bytes; only known after a walk.
    pub allocated: u64,
    /// Of the release's file.
    pub hash: [u8; 32],
    /// The release's time stamp; the source's, except where nginx would mistake it for an older file.
    pub mtime: Time,
    /// Whether the source carries file capabilities.
    pub capabilities: bool,
    /// Whether the release has it and nothing can have changed unseen since it was read.
    pub sure: bool,
    pub way: Way,
}

/// How a file comes into a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Not yet known.
    Open,
    Copied,
    /// The release shares it with the previous one.
    Linked,
    /// Hashes disagreed: it must be copied.
    Doubted,
}

#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub name: RelPath,
    pub stat: Stat,
    /// What the source says.
    pub target: Box<[u8]>,
    /// What the release says, where it differs.
    pub rewritten: Option<Box<[u8]>>,
    pub sure: bool,
}

/// An absolute link that was made relative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// Relative to the tree.
    pub path: PathBuf,
    /// The target in the source.
    pub from: PathBuf,
    /// The target in the release.
    pub to: PathBuf,
}

/// An entry that lost privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stripped {
    /// Relative to the tree.
    pub path: PathBuf,
    /// Had the setuid bit.
    pub setuid: bool,
    /// Had the setgid bit.
    pub setgid: bool,
    /// Had file capabilities.
    pub capabilities: bool,
}

impl Folder {
    pub(crate) fn release_mode(&self) -> u32 {
        match self.kind {
            FolderKind::Source => self.stat.release_mode(),
            FolderKind::Stub => 0o755,
        }
    }

    pub(crate) fn release_mtime(&self) -> Time {
        match self.kind {
            FolderKind::Source => self.stat.mtime,
            FolderKind::Stub => Time::default(),
        }
    }

    pub(crate) fn file(&self, name: &[u8]) -> Option<&File> {
        self.files
            .binary_search_by(|f| (*f.name).cmp(name))
            .ok()
            .map(|at| &self.files[at])
    }

    pub(crate) fn link(&self, name: &[u8]) -> Option<&Link> {
        self.links
            .binary_search_by(|l| (*l.name).cmp(name))
            .ok()
            .map(|at| &self.links[at])
    }
}

impl Link {
    pub(crate) fn release_target(&self) -> &[u8] {
        self.rewritten.as_deref().unwrap_or(&self.target)
    }
}

impl Tree {
    pub(crate) fn folder(&self, path: &[u8]) -> Option<&Folder> {
        self.folders
            .binary_search_by(|f| (*f.path).cmp(path))
            .ok()
            .map(|at| &self.folders[at])
    }

    pub(crate) fn files(&self) -> u64 {
        self.folders.iter().map(|f| f.files.len() as u64).sum()
    }

    pub(crate) fn links(&self) -> u64 {
        self.folders.iter().map(|f| f.links.len() as u64).sum()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.folders
            .iter()
            .flat_map(|f| &f.files)
            .map(|f| f.stat.size)
            .sum()
    }

    pub(crate) fn rewritten(&self) -> Vec<Rewritten> {
        let links = self
            .folders
            .iter()
            .flat_map(|d| d.links.iter().map(move |l| (d, l)));
        links
            .filter_map(|(folder, link)| {
                let to = link.rewritten.as_deref()?;
                Some(Rewritten {
                    path: path_buf(&join(&folder.path, &link.name)),
                    from: path_buf(&link.target),
                    to: path_buf(to),
                })
            })
            .collect()
    }

    pub(crate) fn stripped(&self) -> Vec<Stripped> {
        let mut found = Vec::new();
        let mut note = |path: Vec<u8>, stat: &Stat, capabilities: bool| {
            let (setuid, setgid) = (stat.is_setuid(), stat.is_setgid());
            if setuid || setgid || capabilities {
                found.push(Stripped {
                    path: path_buf(&path),
                    setuid,
                    setgid,
                    capabilities,
                });
            }
        };
        for folder in &self.folders {
            if folder.kind == FolderKind::Source {
                note(folder.path.to_vec(), &folder.stat, false);
            }
            for file in &folder.files {
                note(
                    join(&folder.path, &file.name),
                    &file.stat,
                    file.capabilities,
                );
            }
        }
        found
    }
}

/// Where the manifest of a release lies.
pub(crate) fn path_of(releases: &Path, digest: &str) -> PathBuf {
    releases.join(format!("{digest}.manifest"))
}

/// Reads the manifest of a release.
pub(crate) fn load(releases: &Path, digest: &str) -> Result<(Header, Tree), TreeError> {
    let path = path_of(releases, digest);
    let bytes = fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => TreeError::NoRelease(digest.to_owned()),
        _ => TreeError::io("read", &path, error),
    })?;
    let (header, tree) = read(&bytes).map_err(|error| TreeError::Manifest {
        path: path.clone(),
        error,
    })?;
    if header.release != digest {
        let error = ManifestError::Damaged("it belongs to another release");
        return Err(TreeError::Manifest { path, error });
    }
    Ok((header, tree))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stat() -> impl Strategy<Value = Stat> {
        let time = || (any::<i64>(), any::<u32>()).prop_map(|(secs, nanos)| Time { secs, nanos });
        (0..0o10000_u32, any::<u64>(), time(), time(), any::<u64>()).prop_map(
            |(mode, size, mtime, ctime, ino)| Stat {
                mode,
                size: size >> 20,
                mtime,
                ctime,
                ino,
            },
        )
    }

    fn name() -> impl Strategy<Value = RelPath> {
        prop::collection::vec(
            any::<u8>().prop_filter("", |b| *b != b'/' && *b != b'.'),
            1..9,
        )
        .prop_map(Vec::into_boxed_slice)
    }

    fn folder() -> impl Strategy<Value = Folder> {
        let file = (stat(), any::<[u8; 32]>(), any::<bool>());
        let link = (stat(), name(), prop::option::of(name()));
        let entry = prop_oneof![file.prop_map(Ok), link.prop_map(Err)];
        let entries = prop::collection::btree_map(name(), entry, 0..6);
        (stat(), any::<bool>(), entries).prop_map(|(stat, is_stub, entries)| {
            let kind = if is_stub {
                FolderKind::Stub
            } else {
                FolderKind::Source
            };
            let (mut files, mut links) = (Vec::new(), Vec::new());
            for (name, entry) in entries {
                match entry {
                    Ok((stat, hash, capabilities)) => files.push(File {
                        mtime: stat.ctime,
                        name,
                        stat,
                        hash,
                        capabilities,
                        allocated: 0,
                        sure: true,
                        way: Way::Open,
                    }),
                    Err((stat, target, rewritten)) => {
                        links.push(Link {
                            name,
                            stat,
                            target,
                            rewritten,
                            sure: true,
                        });
                    }
                }
            }
            Folder {
                path: RelPath::default(),
                stat,
                kind,
                sure: true,
                settled: true,
                files,
                links,
            }
        })
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let folders = prop::collection::btree_map(name(), folder(), 0..4);
        (any::<(u32, u32)>(), folder(), folders).prop_map(|(owner, root, folders)| {
            let below = folders
                .into_iter()
                .map(|(path, folder)| Folder { path, ..folder });
            Tree {
                owner,
                folders: std::iter::once(root).chain(below).collect(),
            }
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(tree in tree()) {
            let written = encode(&tree, "op", 7);
            let (header, read_back) = read(&written.bytes).unwrap();
            prop_assert_eq!(&header, &written.header);
            prop_assert_eq!(format!("{:?}", read_back), format!("{:?}", tree));
            prop_assert_eq!(read_header(&written.bytes).unwrap(), header);
        }

        #[test]
        fn any_flipped_bit_and_any_cut_is_noticed(tree in tree(), at in any::<prop::sample::Index>(), bit in 0..8) {
            let good = encode(&tree, "op", 7).bytes;
            let at = at.index(good.len());
            let mut flipped = good.clone();
            flipped[at] ^= 1_u8 << bit;
            prop_assert!(read(&flipped).is_err(), "bit {} of byte {}", bit, at);
            prop_assert!(read(&good[..at]).is_err(), "cut at {}", at);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(&bytes).is_err());
            let mut begun = MAGIC.to_vec();
            begun.extend(FORMAT.to_le_bytes());
            begun.extend(bytes);
            prop_assert!(read(&begun).is_err());
        }

        #[test]
        fn the_digest_tells_content_apart_and_ignores_where_it_came_from(tree in tree()) {
            let digest = |tree: &Tree| encode(tree, "op", 7).header.release;
            let mut moved = tree.clone();
            for folder in &mut moved.folders {
                folder.stat.ino ^= 1;
                folder.files.iter_mut().for_each(|f| f.stat.ctime.secs ^= 1);
            }
            prop_assert_eq!(digest(&tree), digest(&moved));
            let mut other = tree.clone();
            other.owner.0 ^= 1;
            prop_assert_ne!(digest(&tree), digest(&other));
            if let Some(file) = tree.folders.iter().position(|f| !f.files.is_empty()) {
                let mut other = tree.clone();
                other.folders[file].files[0].hash[0] ^= 1;
                prop_assert_ne!(digest(&tree), digest(&other));
            }
        }
    }

    #[test]
    fn a_newer_format_is_named_not_guessed_at() {
        let tree = Tree {
            owner: (0, 0),
            folders: Vec::new(),
        };
        let mut bytes = encode(&tree, "op", 7).bytes;
        bytes[MAGIC.len()] = 9;
        let error = read(&bytes).unwrap_err();
        assert_eq!(error, ManifestError::Newer { found: 9 });
        assert!(error.to_string().contains("format 9"), "{error}");
    }
}
