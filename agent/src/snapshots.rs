//! [`Snapshots`] over the file-tree functions: runs them where blocking is allowed, and passes progress and cancel on.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use stratus_core::environment::Environment;
use stratus_core::release::{Counts, OnDisk, Snapshot};
use stratus_core::snapshots::{
    CodeTree, Difference, Fetch, Fetched, Forecast, SnapshotError, Take, Verify,
};
use stratus_core::{EnvironmentName, OperationId, ReleaseId, Snapshots};

use crate::fetch::{self, Bounds, FetchError};
use crate::layout::Layout;
use crate::tree::{self, CancelFlag, Progress, Request, TreeError};

/// How often progress is told and a cancel is looked for.
const BEAT: Duration = Duration::from_millis(200);
/// Most entries of a list that goes into the journal.
const LISTED: usize = 100;

/// The releases of an installation.
#[derive(Debug, Clone)]
pub struct Releases {
    layout: Layout,
}

impl Releases {
    /// The releases under `layout`.
    pub fn new(layout: Layout) -> Self {
        Self { layout }
    }

    fn request(
        &self,
        environment: &Environment,
        tree: CodeTree<'_>,
        base: Option<&ReleaseId>,
    ) -> Request {
        let source = match tree {
            CodeTree::Working => environment.code.clone(),
            CodeTree::Fetched(operation) => self.layout.fetched_tree(&environment.name, operation),
        };
        let owner = environment.php.user;
        Request {
            shared: environment.shared.clone(),
            exclude: environment.exclude.clone(),
            links: environment.links.clone(),
            owner: (owner.uid, owner.gid),
            base: base.map(ToString::to_string),
            mount: environment.php.mount.clone(),
            ..Request::new(source, self.layout.releases(&environment.name), "preflight")
        }
    }
}

#[async_trait]
impl Snapshots for Releases {
    async fn fetch(&self, fetch: Fetch<'_>) -> Result<Fetched, SnapshotError> {
        let flag = Arc::new(CancelFlag::default());
        let job = fetch::Job {
            layout: &self.layout,
            environment: fetch.environment,
            operation: fetch.operation,
            source: fetch.source,
            bounds: Bounds::default(),
        };
        let fetching = fetch::fetch(job, flag.clone());
        tokio::pin!(fetching);
        loop {
            tokio::select! {
                fetched = &mut fetching => return fetched.map_err(of_fetch),
                () = tokio::time::sleep(BEAT) => {
                    if fetch.cancel.load(Ordering::Relaxed) {
                        flag.cancel();
                    }
                }
            }
        }
    }

    async fn forget_fetched(
        &self,
        environment: &EnvironmentName,
        operation: &OperationId,
    ) -> Result<(), SnapshotError> {
        let forgotten = fetch::forget(&self.layout, environment, operation).await;
        forgotten.map_err(of_fetch)
    }

    async fn preflight(
        &self,
        environment: &Environment,
        tree: CodeTree<'_>,
        base: Option<&ReleaseId>,
    ) -> Result<Forecast, SnapshotError> {
        let request = self.request(environment, tree, base);
        let forecast = blocking(move || tree::preflight(&request, &CancelFlag::default())).await?;
        Ok(Forecast {
            files: forecast.files,
            bytes: forecast.needed_bytes,
            inodes: forecast.needed_inodes,
        })
    }

    async fn take(&self, take: Take<'_>) -> Result<Snapshot, SnapshotError> {
        let mut request = self.request(take.environment, take.tree, take.base);
        let is_new = matches!(take.tree, CodeTree::Fetched(_));
        request.operation = take.operation.to_string();
        request.verify = match take.verify {
            Verify::Contents => tree::Verify::Yes,
            Verify::Metadata => tree::Verify::No,
        };
        let progress = Arc::new(Progress::default());
        let cancel = Arc::new(CancelFlag::default());
        let (moved, flag) = (progress.clone(), cancel.clone());
        let copying = blocking(move || {
            if is_new {
                let stamped = tree::restamp(&request, &flag)?;
                tracing::debug!(stamped, "files are as the release before has them");
            }
            tree::take(&request, &moved, &flag)
        });
        tokio::pin!(copying);
        loop {
            tokio::select! {
                taken = &mut copying => return to_snapshot(&taken?),
                () = tokio::time::sleep(BEAT) => {
                    (take.progress)(to_counts(progress.counts()));
                    if take.cancel.load(Ordering::Relaxed) {
                        cancel.cancel();
                    }
                }
            }
        }
    }

    async fn compare(
        &self,
        environment: &Environment,
        release: &ReleaseId,
    ) -> Result<Vec<(PathBuf, Difference)>, SnapshotError> {
        let request = self.request(environment, CodeTree::Working, None);
        let release = release.to_string();
        let drift = blocking(move || tree::compare(&request, &release, &CancelFlag::default()));
        let of_the_tree = |(path, how)| {
            let how = match how {
                tree::Difference::Added => Difference::Added,
                tree::Difference::Changed => Difference::Changed,
                tree::Difference::Removed => Difference::Removed,
                tree::Difference::Altered => return None,
            };
            Some((path, how))
        };
        Ok(drift
            .await?
            .paths
            .into_iter()
            .filter_map(of_the_tree)
            .collect())
    }

    async fn discard(
        &self,
        environment: &EnvironmentName,
        operation: &OperationId,
    ) -> Result<(), SnapshotError> {
        let releases = self.layout.releases(environment);
        let operation = operation.to_string();
        blocking(move || tree::discard(&releases, &operation, &CancelFlag::default())).await
    }

    async fn remove(
        &self,
        environment: &EnvironmentName,
        release: &ReleaseId,
    ) -> Result<(), SnapshotError> {
        let releases = self.layout.releases(environment);
        let release = release.to_string();
        blocking(move || tree::remove(&releases, &release, &CancelFlag::default())).await
    }

    async fn sweep(
        &self,
        environment: &EnvironmentName,
        of: &[OperationId],
    ) -> Result<(), SnapshotError> {
        let releases = self.layout.releases(environment);
        let running: BTreeSet<String> = of.iter().map(ToString::to_string).collect();
        blocking(move || tree::sweep(&releases, &running, &CancelFlag::default()).map(drop))
            .await?;
        fetch::sweep(&self.layout, environment, of).map_err(of_fetch)
    }

    async fn list(&self, environment: &EnvironmentName) -> Result<Vec<OnDisk>, SnapshotError> {
        let releases = self.layout.releases(environment);
        let found = blocking(move || tree::list(&releases)).await?;
        Ok(found.into_iter().filter_map(to_on_disk).collect())
    }
}

/// Runs a blocking function on a thread of its own; a panic in it is an error here.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, TreeError> + Send + 'static,
) -> Result<T, SnapshotError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => result.map_err(to_error),
        Err(error) => Err(SnapshotError::Io {
            detail: "the copy stopped".to_owned(),
            source: std::io::Error::other(error),
        }),
    }
}

fn to_error(error: TreeError) -> SnapshotError {
    let detail = error.to_string();
    match error {
        TreeError::Request(_)
        | TreeError::Refused(_)
        | TreeError::Altered { .. }
        | TreeError::NoRelease(_)
        | TreeError::Manifest { .. } => SnapshotError::Refused { detail },
        TreeError::Changing { .. } => SnapshotError::Changing { detail },
        TreeError::Space { .. } | TreeError::Full { .. } => SnapshotError::NoSpace { detail },
        TreeError::Cancelled => SnapshotError::Cancelled,
        TreeError::Io { source, .. } => SnapshotError::Io { detail, source },
    }
}

fn of_fetch(error: FetchError) -> SnapshotError {
    let detail = error.to_string();
    match error {
        FetchError::Refused(_) | FetchError::Unreachable(_) => SnapshotError::Source { detail },
        FetchError::Full(_) => SnapshotError::NoSpace { detail },
        FetchError::Cancelled => SnapshotError::Cancelled,
        FetchError::Tree(error) => to_error(*error),
        FetchError::Io { source, .. } => SnapshotError::Io { detail, source },
    }
}

fn to_counts(counts: tree::Counts) -> Counts {
    Counts {
        files: counts.total_files,
        bytes: counts.total_bytes,
        copied: counts.copied,
        linked: counts.linked,
        bytes_copied: counts.bytes,
    }
}

fn to_snapshot(taken: &tree::Snapshot) -> Result<Snapshot, SnapshotError> {
    let stripped = taken.stripped.iter().map(|s| s.path.display().to_string());
    let rewritten = taken.rewritten.iter().map(|r| {
        format!(
            "{}: {} -> {}",
            r.path.display(),
            r.from.display(),
            r.to.display()
        )
    });
    Ok(Snapshot {
        release: release_id(&taken.release)?,
        counts: Counts {
            files: taken.files,
            bytes: taken.bytes,
            copied: taken.copied,
            linked: taken.linked,
            bytes_copied: 0,
        },
        stripped: stripped.take(LISTED).collect(),
        rewritten: rewritten.take(LISTED).collect(),
    })
}

fn release_id(digest: &str) -> Result<ReleaseId, SnapshotError> {
    digest.parse().map_err(|error| SnapshotError::Refused {
        detail: format!("{error}"),
    })
}

/// A release whose manifest cannot be read is shown as older than all others, so that it goes first.
fn to_on_disk(info: tree::ReleaseInfo) -> Option<OnDisk> {
    let unknown = || "unknown".parse().expect("letters are an operation id");
    let release = info.release.parse().ok()?;
    Some(match info.header {
        Ok(header) => OnDisk {
            release,
            created_ms: header.created_unix_s.saturating_mul(1000),
            operation: header.creator.parse().unwrap_or_else(|_| unknown()),
            files: header.files,
            bytes: header.bytes,
        },
        Err(_) => OnDisk {
            release,
            created_ms: 0,
            operation: unknown(),
            files: 0,
            bytes: 0,
        },
    })
}
