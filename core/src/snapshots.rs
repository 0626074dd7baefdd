//! Releases on disk, as the domain needs them.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::environment::Environment;
use crate::fault::{Fault, Faulty};
use crate::release::{Counts, OnDisk, Snapshot};
use crate::source::Source;
use crate::{EnvironmentName, OperationId, ReleaseId};

/// Called with how far a snapshot is, a few times a second.
pub type Progress = Arc<dyn Fn(Counts) + Send + Sync>;

/// Makes, lists and removes releases. Every call reads "ensure".
#[async_trait]
pub trait Snapshots: Send + Sync {
    /// Brings what `source` names into a folder of the operation, unpacked. What an earlier try left is removed first.
    async fn fetch(&self, fetch: Fetch<'_>) -> Result<Fetched, SnapshotError>;

    /// Removes that folder, whatever is in it.
    async fn forget_fetched(
        &self,
        environment: &EnvironmentName,
        operation: &OperationId,
    ) -> Result<(), SnapshotError>;

    /// Walks the tree and predicts what a snapshot would need, before anything is written.
    async fn preflight(
        &self,
        environment: &Environment,
        tree: CodeTree<'_>,
        base: Option<&ReleaseId>,
    ) -> Result<Forecast, SnapshotError>;

    /// Copies the tree into an immutable release. A partial one of the same operation is removed first; a release that
    /// is already there is adopted.
    async fn take(&self, request: Take<'_>) -> Result<Snapshot, SnapshotError>;

    /// Removes what `operation` made: its partial copy, and a release it created itself.
    async fn discard(
        &self,
        environment: &EnvironmentName,
        operation: &OperationId,
    ) -> Result<(), SnapshotError>;

    /// Removes a release.
    async fn remove(
        &self,
        environment: &EnvironmentName,
        release: &ReleaseId,
    ) -> Result<(), SnapshotError>;

    /// Deletes what interrupted removals, copies and fetches left, except for those of `running` operations.
    async fn sweep(
        &self,
        environment: &EnvironmentName,
        running: &[OperationId],
    ) -> Result<(), SnapshotError>;

    /// How the working tree differs from a release, by path. Shared and left out folders are not looked at.
    async fn compare(
        &self,
        environment: &Environment,
        release: &ReleaseId,
    ) -> Result<Vec<(PathBuf, Difference)>, SnapshotError>;

    /// The releases of `environment`.
    async fn list(&self, environment: &EnvironmentName) -> Result<Vec<OnDisk>, SnapshotError>;
}

/// How a path of the working tree differs from a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// The working tree has it, the release does not.
    Added,
    /// Both have it, and content, mode or link target are not the same.
    Changed,
    /// The release has it, the working tree does not.
    Removed,
}

/// Which tree becomes a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeTree<'a> {
    /// The environment's own.
    Working,
    /// What this operation fetched.
    Fetched(&'a OperationId),
}

/// What to fetch.
#[derive(Clone)]
pub struct Fetch<'a> {
    /// For whom.
    pub environment: &'a Environment,
    /// Who asks.
    pub operation: &'a OperationId,
    /// What.
    pub source: &'a Source,
    /// Ends it within a second when set.
    pub cancel: Arc<std::sync::atomic::AtomicBool>,
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fetched {
    /// Where it is: what hooks before the copy see as the working tree.
    pub tree: PathBuf,
    /// Files in it.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// Of a git repository: the commit.
    pub commit: Option<String>,
}

/// What to copy and how.
#[derive(Clone)]
pub struct Take<'a> {
    /// Whose tree.
    pub environment: &'a Environment,
    /// Which tree.
    pub tree: CodeTree<'a>,
    /// Who asks.
    pub operation: &'a OperationId,
    /// The release whose unchanged files are linked.
    pub base: Option<&'a ReleaseId>,
    /// Whether everything is read again and hashed.
    pub verify: Verify,
    /// Told how far it is.
    pub progress: Progress,
    /// Ends the copy within a second when set.
    pub cancel: Arc<std::sync::atomic::AtomicBool>,
}

/// Whether a snapshot is compared with its source byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// Every file is read again and hashed.
    Contents,
    /// A second walk compares size, times and inode.
    Metadata,
}

/// What a snapshot will need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Forecast {
    /// Regular files of the tree.
    pub files: u64,
    /// Bytes that will be written.
    pub bytes: u64,
    /// Inodes that will be made.
    pub inodes: u64,
}

/// Why there is no release.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The tree cannot be copied as it is: every offender with its reason.
    #[error("{detail}")]
    Refused {
        /// Lines of `path: reason`.
        detail: String,
    },
    /// The tree kept changing.
    #[error("the tree kept changing while it was copied: {detail}")]
    Changing {
        /// The paths.
        detail: String,
    },
    /// Too little room.
    #[error("{detail}")]
    NoSpace {
        /// What is needed and what is free.
        detail: String,
    },
    /// What is not the working tree cannot be had, or is not fit to be unpacked.
    #[error("{detail}")]
    Source {
        /// Why.
        detail: String,
    },
    /// The caller gave up.
    #[error("the copy was cancelled")]
    Cancelled,
    /// A system call failed.
    #[error("{detail}")]
    Io {
        /// What was tried.
        detail: String,
        /// What came back.
        #[source]
        source: std::io::Error,
    },
}

impl Faulty for SnapshotError {
    fn fault(&self) -> Fault {
        Fault::Permanent
    }
}
