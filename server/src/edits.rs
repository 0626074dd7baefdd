//! How many files of the working trees differ from what is live: "my edit over SSH is not live". Looked at when somebody
//! asks for the status, in the background, so that a large tree holds nobody up and is not walked all the time.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stratus_core::fault::chain;
use stratus_core::{Environment, EnvironmentName, ReleaseId, Snapshots};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::clock::Clock;

/// How long a status waits for a look; after it, it tells what the last one saw.
const WAIT: Duration = Duration::from_secs(1);
/// How long a look counts at least, and how many times as long as it took.
const FRESH: Duration = Duration::from_secs(10);
const FRESH_TIMES: u32 = 20;
/// Files that are named.
const NAMED: usize = 3;

/// What a look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edits {
    /// Files that differ.
    pub total: u64,
    /// The first of them, by path.
    pub files: Vec<PathBuf>,
    /// When that was, milliseconds since 1970.
    pub seen_ms: u64,
}

/// Looks at working trees.
#[derive(Clone)]
pub struct Looks {
    snapshots: Arc<dyn Snapshots>,
    clock: Arc<dyn Clock>,
    known: Arc<Mutex<HashMap<EnvironmentName, Look>>>,
}

/// The last look at one tree, or the one that is under way.
#[derive(Debug, Clone)]
struct Look {
    release: ReleaseId,
    /// Until when it need not be repeated; none while it is under way.
    fresh_until: Option<Instant>,
    seen: watch::Receiver<Seen>,
}

/// What a look saw so far: while it is under way, what the one before saw of the same release.
#[derive(Debug, Clone)]
struct Seen {
    edits: Option<Edits>,
    is_over: bool,
}

impl Looks {
    /// Looks at the trees of releases that `snapshots` knows.
    pub fn new(snapshots: Arc<dyn Snapshots>, clock: Arc<dyn Clock>) -> Self {
        Self {
            snapshots,
            clock,
            known: Arc::default(),
        }
    }

    /// How the working tree of `environment` differs from `release`; none while that is not known, or cannot be.
    pub async fn at(&self, environment: &Environment, release: &ReleaseId) -> Option<Edits> {
        let mut seen = self.look(environment, release);
        let over = async { seen.wait_for(|seen| seen.is_over).await.is_ok() };
        let _ = timeout(WAIT, over).await;
        seen.borrow().edits.clone()
    }

    /// The look that is under way or fresh, or a new one.
    fn look(&self, environment: &Environment, release: &ReleaseId) -> watch::Receiver<Seen> {
        let mut known = self.known();
        let last = known.get(&environment.name);
        let last = last.filter(|look| look.release == *release);
        if let Some(look) = last
            && look.fresh_until.is_none_or(|until| until > Instant::now())
        {
            return look.seen.clone();
        }
        let (tell, seen) = watch::channel(Seen {
            edits: last.and_then(|look| look.seen.borrow().edits.clone()),
            is_over: false,
        });
        let look = Look {
            release: release.clone(),
            fresh_until: None,
            seen: seen.clone(),
        };
        known.insert(environment.name.clone(), look);
        let (looks, environment, release) = (self.clone(), environment.clone(), release.clone());
        tokio::spawn(async move {
            let began = Instant::now();
            let edits = match looks.snapshots.compare(&environment, &release).await {
                Ok(found) => Some(Edits {
                    total: found.len() as u64,
                    files: found.iter().take(NAMED).map(|f| f.0.clone()).collect(),
                    seen_ms: looks.clock.now_ms(),
                }),
                Err(error) => {
                    tracing::debug!(environment = %environment.name, error = %chain(&error), "the working tree cannot be compared");
                    None
                }
            };
            let fresh = (began.elapsed() * FRESH_TIMES).max(FRESH);
            if let Some(look) = looks.known().get_mut(&environment.name)
                && look.release == release
            {
                look.fresh_until = Some(Instant::now() + fresh);
            }
            tell.send_replace(Seen {
                edits,
                is_over: true,
            });
        });
        seen
    }

    fn known(&self) -> MutexGuard<'_, HashMap<EnvironmentName, Look>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use stratus_core::fake::FakeMachine;

    use super::*;
    use crate::clock::SystemClock;

    fn shop() -> Environment {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("code")).unwrap();
        let file = folder.path().join("stratus.yaml");
        let text = format!(
            "environments:\n  shop: {{hosts: [a.test], code: {}/code, docroot: ., php: {{image: a, user: '7:8'}}}}\n",
            folder.path().display()
        );
        std::fs::write(&file, text).unwrap();
        crate::config::load(&file).unwrap().environments.remove(0)
    }

    #[tokio::test(start_paused = true)]
    async fn an_edit_is_seen_and_a_tree_is_not_walked_at_every_question() {
        let machine = FakeMachine::default();
        let looks = Looks::new(Arc::new(machine.clone()), Arc::new(SystemClock));
        let (shop, zero) = (shop(), "0".repeat(64).parse().unwrap());
        let total = async || looks.at(&shop, &zero).await.map(|edits| edits.total);
        assert_eq!(total().await, Some(0));
        machine.edit();
        assert_eq!(total().await, Some(0), "it is fresh");
        tokio::time::advance(FRESH * 2).await;
        assert_eq!(total().await, Some(1));
        let other = format!("{:064x}", 1).parse().unwrap();
        let edits = looks.at(&shop, &other).await;
        assert_eq!(edits.map(|edits| edits.total), Some(0), "another release");
    }
}
