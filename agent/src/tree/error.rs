//! What can go wrong with a file tree, said for the one who must repair it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

use super::manifest::ManifestError;
use super::name::Shown;

/// How many paths an error's text names; the value holds more.
const NAMED: usize = 100;

/// Everything a function of this module can fail with.
#[derive(Debug, Error)]
pub enum TreeError {
    /// The request itself makes no sense; nothing was looked at.
    #[error("{0}")]
    Request(String),
    /// The tree holds what a release may not hold; all of it is listed.
    #[error("{0}")]
    Refused(Refusals),
    /// The filesystem has too little room; nothing was written.
    #[error(
        "{}: not enough space: {needed_bytes} bytes and {needed_inodes} inodes are needed, \
         {free_bytes} bytes and {free_inodes} inodes are free; remove old releases or enlarge the filesystem",
        path.display()
    )]
    Space {
        /// The folder of releases.
        path: PathBuf,
        /// Predicted need, in bytes.
        needed_bytes: u64,
        /// What the filesystem offers, in bytes.
        free_bytes: u64,
        /// Predicted need, in inodes.
        needed_inodes: u64,
        /// What the filesystem offers, in inodes; the largest number where it has no limit.
        free_inodes: u64,
    },
    /// The filesystem became full while writing; what was written is removed.
    #[error("{}: the filesystem is full ({action}); remove old releases or enlarge it", path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
    },
    /// The source would not stand still.
    #[error("the tree kept changing while it was copied: {}", named(paths, *total))]
    Changing {
        /// What changed in the last round, escaped; at most a thousand.
        paths: Vec<PathBuf>,
        /// How many changed in the last round.
        total: usize,
    },
    /// The caller raised its cancel flag; what was written is removed.
    #[error("cancelled")]
    Cancelled,
    /// A release's files are no longer what its manifest says.
    #[error("release {release} was altered after it was made ({}); remove it, or change a file of the tree", path.display())]
    Altered {
        /// The release's digest.
        release: String,
        /// The first path found different.
        path: PathBuf,
    },
    /// There is no such release.
    #[error("there is no release {0}")]
    NoRelease(String),
    /// A manifest cannot be used.
    #[error("{}: {error}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: ManifestError,
    },
    /// The system refused a call.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl TreeError {
    /// Sorts a failed call: a full filesystem is its own case.
    pub(crate) fn io(action: &'static str, path: &Path, error: impl Into<io::Error>) -> Self {
        let source = error.into();
        let full = [Errno::NOSPC, Errno::DQUOT].map(Errno::raw_os_error);
        if source
            .raw_os_error()
            .is_some_and(|code| full.contains(&code))
        {
            return Self::Full {
                path: path.to_owned(),
                action,
            };
        }
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// Every entry that may not be in a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals {
    /// The entries, by path; at most ten thousand.
    pub entries: Vec<Refused>,
    /// How many there were.
    pub total: usize,
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.total == 1 { "entry" } else { "entries" };
        write!(f, "{} {noun} cannot be part of a release:", self.total)?;
        for entry in self.entries.iter().take(NAMED) {
            write!(f, "\n  {entry}")?;
        }
        match self.total.saturating_sub(NAMED.min(self.entries.len())) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// One entry that may not be in a release, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// Relative to the source.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", shown(&self.path), self.reason)
    }
}

/// Why an entry may not be in a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Reason {
    /// A link that leads out of the tree and not into a declared root.
    #[error("symlink leads out of the tree to {}; declare its target under links, or remove it", shown(.0))]
    LeadsOut(PathBuf),
    /// A FIFO.
    #[error("is a FIFO; remove or exclude it")]
    Fifo,
    /// A socket outside a shared folder.
    #[error("is a socket; put it into a shared directory, or exclude it")]
    Socket,
    /// A character or block device.
    #[error("is a device; remove or exclude it")]
    Device,
    /// Another filesystem begins here.
    #[error("is a mount point; declare it under shared, or exclude it")]
    Mount,
    /// A path declared as shared that is no folder.
    #[error("is declared as a shared directory and is none")]
    SharedNoFolder,
    /// More entries than allowed.
    #[error("the tree has more than {0} entries, the limit; exclude what need not be copied")]
    TooManyEntries(u64),
    /// More bytes than allowed.
    #[error("the tree has more than {0} bytes, the limit; exclude what need not be copied")]
    TooManyBytes(u64),
    /// One file larger than allowed.
    #[error("has {bytes} bytes, more than the limit of {limit} for one file; exclude it")]
    FileTooLarge {
        /// Logical size.
        bytes: u64,
        /// The configured limit.
        limit: u64,
    },
    /// A path longer than allowed.
    #[error("its path is longer than the limit of {0} bytes")]
    PathTooLong(usize),
    /// A folder nested deeper than allowed.
    #[error("lies deeper than the limit of {0} levels")]
    TooDeep(usize),
}

fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    Shown(path.as_os_str().as_bytes()).to_string()
}

fn named(paths: &[PathBuf], total: usize) -> String {
    let mut text = paths
        .iter()
        .take(NAMED)
        .map(|p| shown(p))
        .collect::<Vec<_>>()
        .join(", ");
    if total > NAMED.min(paths.len()) {
        text.push_str(" and more");
    }
    text
}
