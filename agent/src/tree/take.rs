//! Takes a snapshot: walks, copies, walks again until nothing changed, publishes.
//!
//! ```text
//! walk ─► room? ─► place ─► (hash) ─► walk, sync ──nothing changed──► publish
//!                    ▲                     │
//!                    └────what changed─────┘   three times at most
//! ```

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::TreeError;
use super::forecast::{forecast, open_base, open_source};
use super::halt::{CancelFlag, Phase, Progress};
use super::manifest::{Rewritten, Stripped, Tree, Way};
use super::merge::{Changes, carry};
use super::place::{Base, Round, Site};
use super::pool;
use super::publish::{Partial, Published, Shelf};
use super::request::{Request, Rules, Verify};
use super::sys::Anchor;
use super::verify;
use super::walk::Walk;

/// How often what changed is copied again.
const REPEATS: usize = 3;

/// A release that was made, or found to be there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its digest.
    pub release: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Regular files in it.
    pub files: u64,
    /// Their logical size.
    pub bytes: u64,
    /// Files copied.
    pub copied: u64,
    /// Files linked from the previous release.
    pub linked: u64,
    /// Whether an equal release was there already and is used.
    pub adopted: bool,
    /// How often something had changed meanwhile and was copied again.
    pub repeats: u32,
    /// Links that were made relative.
    pub rewritten: Vec<Rewritten>,
    /// Entries that lost setuid, setgid or file capabilities.
    pub stripped: Vec<Stripped>,
}

/// Copies the source into a release.
///
/// # Errors
/// All of [`TreeError`]; whatever it is, nothing of the release is left behind.
///
/// # Idempotence
/// Called again for the same operation, it deletes what an interrupted call left and starts over; a release that is
/// finished is adopted.
pub fn take(
    request: &Request,
    progress: &Progress,
    cancel: &CancelFlag,
) -> Result<Snapshot, TreeError> {
    let rules = Rules::new(request)?;
    let source = open_source(request)?;
    pool::run(|| {
        let job = Job {
            request,
            rules: &rules,
            source: &source,
            progress,
            cancel,
        };
        progress.enter(Phase::Walking);
        let (tree, base) = rayon::join(|| job.walk(), || open_base(request));
        let tree = tree?;
        let shelf = Shelf::make(&request.releases)?;
        let partial = Partial::begin(&shelf, &request.operation, cancel)?;
        match job.build(tree, base.as_ref(), &partial) {
            Ok((snapshot, published)) => partial.end(published).map(|()| snapshot),
            Err(error) => {
                if let Err(left) = partial.abandon() {
                    tracing::error!(error = %left, "a failed snapshot could not be removed");
                }
                Err(error)
            }
        }
    })
}

struct Job<'a> {
    request: &'a Request,
    rules: &'a Rules,
    source: &'a Anchor,
    progress: &'a Progress,
    cancel: &'a CancelFlag,
}

impl Job<'_> {
    fn walk(&self) -> Result<Tree, TreeError> {
        let path = &self.request.source;
        Walk {
            source: self.source,
            path,
            rules: self.rules,
            cancel: self.cancel,
        }
        .run()
    }

    fn build(
        &self,
        mut tree: Tree,
        base: Option<&Base>,
        partial: &Partial<'_>,
    ) -> Result<(Snapshot, Published), TreeError> {
        let forecast = forecast(&tree, self.request, base)?;
        forecast.check(&self.request.releases)?;
        self.progress.expect(forecast.files, forecast.needed_bytes);
        let site = Site {
            source: self.source,
            source_path: &self.request.source,
            target: &partial.tree,
            target_path: &partial.tree_path,
            base,
            owner: self.request.owner,
            clones: AtomicBool::new(true),
            progress: self.progress,
            cancel: self.cancel,
        };
        let repeats = self.until_still(&mut tree, &site, partial)?;
        tree.owner = self.request.owner;
        self.progress.enter(Phase::Publishing);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let (header, published) = partial.publish(&tree, &self.request.operation, now)?;
        let linked = tree
            .folders
            .iter()
            .flat_map(|f| &f.files)
            .filter(|f| f.way == Way::Linked)
            .count() as u64;
        let snapshot = Snapshot {
            path: self.request.releases.join(&header.release),
            release: header.release,
            files: header.files,
            bytes: header.bytes,
            copied: header.files - linked,
            linked,
            adopted: published == Published::Adopted,
            repeats,
            rewritten: tree.rewritten(),
            stripped: tree.stripped(),
        };
        Ok((snapshot, published))
    }

    /// Places the tree, and again what changed, until a walk finds nothing changed; leaves what that walk found, and all
    /// of it on disk.
    fn until_still(
        &self,
        tree: &mut Tree,
        site: &Site<'_>,
        partial: &Partial<'_>,
    ) -> Result<u32, TreeError> {
        let (mut gone, mut round) = (Vec::new(), Round::First);
        for repeats in 0.. {
            self.progress.enter(Phase::Copying);
            site.settle(tree, &gone, round)?;
            if self.request.verify == Verify::Yes {
                self.progress.enter(Phase::Verifying);
                verify::doubt(site, tree)?;
            }
            self.progress.enter(Phase::Checking);
            let mut fresh = self.walk_while_syncing(partial)?;
            let changes = carry(tree, &mut fresh);
            *tree = fresh;
            if changes.total == 0 {
                return Ok(repeats);
            }
            if repeats as usize == REPEATS {
                let Changes { paths, total, .. } = changes;
                return Err(TreeError::Changing { paths, total });
            }
            (gone, round) = (changes.gone, Round::Again);
        }
        unreachable!("the loop has no end of its own")
    }

    /// Nothing is placed during the second walk, so the disk can work meanwhile.
    fn walk_while_syncing(&self, partial: &Partial<'_>) -> Result<Tree, TreeError> {
        thread::scope(|scope| {
            let sync = scope.spawn(|| partial.sync());
            let tree = self.walk()?;
            sync.join().expect("a call to the kernel does not panic")?;
            Ok(tree)
        })
    }
}
