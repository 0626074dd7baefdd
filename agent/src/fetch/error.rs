//! Why nothing was fetched.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::tree::TreeError;

/// Everything that fetching can fail with.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is there and not fit: what is wrong with it.
    #[error("{0}")]
    Refused(String),
    /// It cannot be reached, or is not there.
    #[error("{0}")]
    Unreachable(String),
    /// The filesystem has too little room.
    #[error("{}: the filesystem has too little room for what is fetched; remove old releases or enlarge it", .0.display())]
    Full(PathBuf),
    /// A cancel was asked for.
    #[error("cancelled")]
    Cancelled,
    /// Removing failed.
    #[error(transparent)]
    Tree(Box<TreeError>),
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

impl FetchError {
    /// Sorts a failed call: a full filesystem is its own case.
    pub(super) fn io(action: &'static str, path: &Path, error: impl Into<io::Error>) -> Self {
        let source = error.into();
        let full = [Errno::NOSPC, Errno::DQUOT].map(Errno::raw_os_error);
        match source.raw_os_error() {
            Some(code) if full.contains(&code) => Self::Full(path.to_owned()),
            _ => Self::Io {
                action,
                path: path.to_owned(),
                source,
            },
        }
    }

    /// A source that cannot be opened.
    pub(super) fn open(path: &Path, error: Errno) -> Self {
        match error {
            Errno::NOENT => Self::Unreachable(format!("there is no {}", path.display())),
            Errno::XDEV | Errno::LOOP => Self::Refused(format!(
                "{} leads through a link or a mount; name the place itself",
                path.display()
            )),
            error => Self::io("open", path, error),
        }
    }
}
