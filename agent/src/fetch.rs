//! Brings the code of a release from where it is not the working tree: a folder, an archive, the address of one, or a git
//! repository. What comes from there is a stranger's: it is unpacked by descriptor into a folder of the operation, and
//! nothing else is written.
//!
//! ```text
//! <data>/env/shop/fetched/<operation>/   root only; removed when the operation has its release, or is undone
//!        archive     what was downloaded, or what git made of the commit
//!        git/        the repository, that one commit of it
//!        unpacked/   being unpacked ──rename──► tree/   complete: the release is a copy of it
//! ```
//!
//! Shape of all: something becomes an archive, an archive becomes a tree. Only a folder is copied as it is.

mod archive;
mod download;
mod error;
mod folder;
mod frames;
mod git;
mod target;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use stratus_core::environment::Environment;
use stratus_core::snapshots::Fetched;
use stratus_core::source::{AskedBy, Place, Source};
use stratus_core::{EnvironmentName, OperationId};

pub use error::FetchError;

use crate::layout::Layout;
use crate::tree::sys::Anchor;
use crate::tree::{self, CancelFlag, Limits, trash};
use target::Target;

/// How often a cancel is looked for where nothing else wakes us.
const BEAT: Duration = Duration::from_millis(200);

/// Bytes that are written between two looks at the room that is left.
const LOOK_EVERY: u64 = 16 << 20;

/// What may be fetched.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How large it may be, unpacked.
    pub limits: Limits,
    /// How large what is downloaded may be, and a repository, in bytes.
    pub packed: u64,
    /// How many times larger than packed it may be, unpacked; looked at from `ratio_from` bytes on.
    pub ratio: u64,
    /// What every archive may unpack to, whatever its ratio, in bytes.
    pub ratio_from: u64,
    /// How large what an archive says of its entries may be, in bytes: it is held in memory. For a tar: of one entry.
    pub directory: u64,
    /// What is left free on the filesystem, in bytes: others write there.
    pub spare: u64,
    /// How long a server may say nothing.
    pub stall: Duration,
    /// How long it all may take to come.
    pub within: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            packed: 10_000_000_000,
            ratio: 200,
            ratio_from: 256 << 20,
            directory: 64 << 20,
            spare: 64 << 20,
            stall: Duration::from_secs(30),
            within: Duration::from_mins(30),
        }
    }
}

/// One thing to fetch.
pub struct Job<'a> {
    /// Where everything lies.
    pub layout: &'a Layout,
    /// For whom.
    pub environment: &'a Environment,
    /// Who asks.
    pub operation: &'a OperationId,
    /// What.
    pub source: &'a Source,
    /// What may be fetched.
    pub bounds: Bounds,
}

/// Fetches and unpacks.
///
/// # Idempotence
/// What an earlier try of the same operation left is removed first.
///
/// # Errors
/// All of [`FetchError`]; what was written is removed by [`forget`].
pub async fn fetch(job: Job<'_>, cancel: Arc<CancelFlag>) -> Result<Fetched, FetchError> {
    let name = &job.environment.name;
    let folder = job.layout.fetched(name, job.operation);
    let tree = job.layout.fetched_tree(name, job.operation);
    forget(job.layout, name, job.operation).await?;
    make_folder(job.layout, name, &folder)?;
    let archive = folder.join("archive");
    let mut commit = None;
    let from = match &job.source.place {
        Place::Path(path) => From::Path(path.clone()),
        Place::Download(url) => {
            let reach = job.source.asked_by;
            download::download(url, reach, &archive, &job.bounds, &cancel).await?;
            From::Archive(archive)
        }
        Place::Git { url, reference } => {
            let repository = git::Repository {
                url,
                reference: reference.as_deref(),
                asked_by: job.source.asked_by,
                folder: &folder.join("git"),
                bounds: &job.bounds,
            };
            commit = Some(repository.archive(&archive, &cancel).await?);
            From::Archive(archive)
        }
    };
    let unpacking = Unpacking {
        code: job.environment.code.clone(),
        docroot: job.environment.docroot.clone(),
        front: job.environment.front.clone(),
        shared: job.environment.shared.clone(),
        data: job.layout.data().to_owned(),
        asked_by: job.source.asked_by,
        folder,
        bounds: job.bounds,
    };
    let unpacked = tokio::task::spawn_blocking(move || unpacking.run(&from, &cancel)).await;
    let (files, bytes) =
        unpacked.map_err(|_| FetchError::Refused("unpacking stopped".into()))??;
    Ok(Fetched {
        tree,
        files,
        bytes,
        commit,
    })
}

/// Makes the folder of an operation, which nobody else enters. Those above may not be there yet, and nginx must come through
/// the environment's.
fn make_folder(
    layout: &Layout,
    environment: &EnvironmentName,
    folder: &Path,
) -> Result<(), FetchError> {
    let (own, all) = (
        layout.environment(environment),
        layout.all_fetched(environment),
    );
    for (path, mode) in [(own.as_path(), 0o755), (&all, 0o700), (folder, 0o700)] {
        let made = DirBuilder::new().recursive(true).mode(mode).create(path);
        made.map_err(|e| FetchError::io("make the folder", path, e))?;
    }
    Ok(())
}

/// Removes what `operation` fetched.
///
/// # Errors
/// `Io` names what could not be deleted; the rest is gone.
pub async fn forget(
    layout: &Layout,
    environment: &EnvironmentName,
    operation: &OperationId,
) -> Result<(), FetchError> {
    let folder = layout.fetched(environment, operation);
    let removed = tokio::task::spawn_blocking(move || remove(&folder)).await;
    removed.map_err(|_| FetchError::Refused("removing stopped".into()))?
}

/// Removes what is left of operations that are not `running`.
///
/// # Errors
/// As [`forget`].
pub fn sweep(
    layout: &Layout,
    environment: &EnvironmentName,
    running: &[OperationId],
) -> Result<(), FetchError> {
    let all = layout.all_fetched(environment);
    let folders = match fs::read_dir(&all) {
        Ok(folders) => folders,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(FetchError::io("list", &all, error)),
    };
    for folder in folders.flatten() {
        let name = folder.file_name();
        if !running.iter().any(|id| name == id.as_str()) {
            remove(&folder.path())?;
        }
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<(), FetchError> {
    if !fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    // Whoever cancelled wants this to happen, so their flag does not count here.
    trash::clear(folder, &CancelFlag::default())?;
    fs::remove_dir(folder).map_err(|e| FetchError::io("remove", folder, e))
}

/// What becomes a tree.
enum From {
    Path(PathBuf),
    Archive(PathBuf),
}

/// The part that blocks.
struct Unpacking {
    code: PathBuf,
    docroot: PathBuf,
    front: String,
    shared: Vec<PathBuf>,
    data: PathBuf,
    asked_by: AskedBy,
    folder: PathBuf,
    bounds: Bounds,
}

impl Unpacking {
    /// Makes the tree; says how many files it has, and their size.
    fn run(&self, from: &From, cancel: &CancelFlag) -> Result<(u64, u64), FetchError> {
        let unpacked = self.folder.join("unpacked");
        let owner =
            fs::metadata(&self.code).map_err(|e| FetchError::io("look at", &self.code, e))?;
        let owner = (owner.uid(), owner.gid());
        let mut target = Target::make(&unpacked, owner, &self.bounds, cancel)?;
        match from {
            From::Archive(path) => {
                let file = File::open(path).map_err(|e| FetchError::io("open", path, e))?;
                archive::unpack(file, &mut target)?;
                // It is not needed any more, and may be large.
                fs::remove_file(path).map_err(|e| FetchError::io("remove", path, e))?;
            }
            From::Path(path) => match self.asked_by {
                AskedBy::Operator => self.take(Anchor::open(path), b"", path, &mut target)?,
                AskedBy::Environment => {
                    let inside = path.as_os_str().as_bytes();
                    self.take(Anchor::open(&self.code), inside, path, &mut target)?;
                }
            },
        }
        let counted = target.finish()?;
        let top = self.top(&unpacked)?;
        let tree = self.folder.join("tree");
        fs::rename(&top, &tree).map_err(|e| FetchError::io("rename", &top, e))?;
        remove(&unpacked)?;
        remove(&self.folder.join("git"))?;
        Ok(counted)
    }

    /// Copies a folder or unpacks an archive, whichever is at `path`.
    fn take(
        &self,
        anchor: Result<Anchor, rustix::io::Errno>,
        inside: &[u8],
        path: &Path,
        target: &mut Target<'_>,
    ) -> Result<(), FetchError> {
        let missing = |e| FetchError::open(path, e);
        // A path that is a file, or a link to one, has no folder to be opened beneath.
        let (anchor, inside) = match anchor {
            Err(rustix::io::Errno::NOTDIR) if inside.is_empty() => {
                // A pipe is not waited for; that it is none is asked of the descriptor.
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                let file = rustix::fs::open(path, flags, Mode::empty()).map_err(missing)?;
                return archive::unpack(File::from(file), target);
            }
            anchor => (anchor.map_err(missing)?, inside),
        };
        match anchor.folder(inside) {
            Ok(folder) => {
                // On the socket of an environment it is relative to the code.
                self.check_apart(&self.code.join(path))?;
                folder::copy(&Anchor::of(folder), path, &self.shared, target)
            }
            Err(rustix::io::Errno::NOTDIR) => {
                use std::os::fd::AsFd;
                let file = anchor.file(anchor.as_fd(), inside).map_err(missing)?;
                archive::unpack(File::from(file), target)
            }
            Err(error) => Err(missing(error)),
        }
    }

    /// A folder around the data folder would be copied into itself.
    fn check_apart(&self, path: &Path) -> Result<(), FetchError> {
        let around = fs::canonicalize(path)
            .ok()
            .zip(fs::canonicalize(&self.data).ok());
        match around {
            Some((path, data)) if data.starts_with(&path) => Err(FetchError::Refused(format!(
                "{} holds the server's own data folder",
                path.display()
            ))),
            _ => Ok(()),
        }
    }

    /// The tree in what was unpacked: all of it, or the one folder that many archives have around everything.
    fn top(&self, unpacked: &Path) -> Result<PathBuf, FetchError> {
        let has_front = |root: &Path| {
            let front = root.join(&self.docroot).join(&self.front);
            fs::symlink_metadata(front).is_ok()
        };
        let list = fs::read_dir(unpacked).map_err(|e| FetchError::io("list", unpacked, e))?;
        let names: Vec<_> = list.flatten().take(2).collect();
        if let [only] = names.as_slice()
            && only.file_type().is_ok_and(|kind| kind.is_dir())
            && !has_front(unpacked)
            && has_front(&only.path())
        {
            return Ok(only.path());
        }
        let docroot = unpacked.join(&self.docroot);
        if fs::metadata(&docroot).is_ok_and(|found| found.is_dir()) {
            return Ok(unpacked.to_owned());
        }
        Err(FetchError::Refused(format!(
            "there is no folder {} in it, the docroot",
            self.docroot.display()
        )))
    }
}

/// Whether there is room for `bytes` more in the folder of `path`, beside what is left for others. Where that cannot be
/// told, writing will tell.
fn check_room(path: &Path, bytes: u64, bounds: &Bounds) -> Result<(), FetchError> {
    match rustix::fs::statvfs(path.parent().unwrap_or(path)) {
        Ok(room)
            if room.f_bavail.saturating_mul(room.f_frsize) < bytes.saturating_add(bounds.spare) =>
        {
            Err(FetchError::Full(path.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Ends when a cancel is asked for.
async fn cancelled(cancel: &CancelFlag) -> FetchError {
    while !cancel.is_cancelled() {
        tokio::time::sleep(BEAT).await;
    }
    FetchError::Cancelled
}

impl std::convert::From<tree::TreeError> for FetchError {
    fn from(error: tree::TreeError) -> Self {
        Self::Tree(Box::new(error))
    }
}
