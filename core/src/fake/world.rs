//! What the fake machine holds, and the invariants that must be true of it at every instant.

use std::collections::{BTreeMap, BTreeSet};

use crate::environment::Argv;
use crate::route::{Closed, Links, RouteTable, Share};
use crate::runtime::Restart;
use crate::tasks::{TaskId, TaskRestart, TaskState};
use crate::{EnvironmentName, Generation, OperationId, PoolId, ReleaseId};

/// Everything outside the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// The pools that exist.
    pub pools: BTreeMap<PoolId, FakePool>,
    /// Where the symlinks of each environment point.
    pub links: BTreeMap<EnvironmentName, Links>,
    /// What nginx serves.
    pub table: RouteTable,
    /// Releases on disk, and who made them.
    pub releases: BTreeMap<(EnvironmentName, ReleaseId), OperationId>,
    /// Copies that are not complete.
    pub partials: BTreeSet<OperationId>,
    /// Operations whose fetched code lies about.
    pub fetched: BTreeSet<OperationId>,
    /// Pools whose processes stand still.
    pub frozen: BTreeSet<PoolId>,
    /// Sites that visitors do not reach.
    pub closed: BTreeSet<(EnvironmentName, Closed)>,
    /// What every page of every site answers.
    pub status: u16,
    /// The tasks that exist.
    pub tasks: BTreeMap<TaskId, FakeTask>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            pools: BTreeMap::new(),
            links: BTreeMap::new(),
            table: RouteTable::default(),
            releases: BTreeMap::new(),
            partials: BTreeSet::new(),
            fetched: BTreeSet::new(),
            frozen: BTreeSet::new(),
            closed: BTreeSet::new(),
            status: 200,
            tasks: BTreeMap::new(),
        }
    }
}

/// A pool of the fake machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakePool {
    /// Its members.
    pub members: u16,
    /// Whether they run.
    pub running: bool,
    /// Whether the engine restarts them by itself.
    pub restarts: bool,
    /// Whether requests may be queued or running in it: it was live and has not been drained since.
    pub busy: bool,
}

/// A task of the fake machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeTask {
    /// What it runs on; none for the working tree.
    pub release: Option<ReleaseId>,
    /// What it runs.
    pub argv: Argv,
    /// Whether it is meant to run all the time.
    pub restart: TaskRestart,
    /// How it stands.
    pub state: TaskState,
    /// What it wrote.
    pub output: String,
}

impl FakePool {
    /// A pool that was created and not started.
    pub fn created(members: u16) -> Self {
        Self {
            members,
            running: false,
            restarts: false,
            busy: false,
        }
    }

    /// Sets the restart policy.
    pub fn set(&mut self, restart: Restart) {
        self.restarts = restart == Restart::Always;
    }
}

impl World {
    /// What is wrong at this instant: one sentence each.
    pub fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (environment, links) in &self.links {
            let Some(live) = links.live else { continue };
            let id = PoolId::new(environment, live);
            if let Some(other) = shared(environment, *links)
                && !self.answers(&other)
            {
                found.push(format!(
                    "traffic is shared with {other}, which does not answer"
                ));
            }
            match self.pools.get(&id) {
                None => found.push(format!("traffic points at {id}, which does not exist")),
                Some(pool) if !pool.running => {
                    found.push(format!("traffic points at {id}, which does not run"));
                }
                Some(pool) => {
                    let listed = self.table.site(environment).map_or(0, |site| site.members);
                    let there = match links.share {
                        Share::All => pool.members,
                        Share::First { of, .. } => of,
                    };
                    if listed > there {
                        found.push(format!(
                            "nginx lists {listed} members of {id}, more than it has"
                        ));
                    }
                }
            }
        }
        for (id, task) in &self.tasks {
            let release = task.release.as_ref();
            let key = release.map(|release| (id.environment.clone(), release.clone()));
            let on_disk = key.is_none_or(|key| self.releases.contains_key(&key));
            if task.state == TaskState::Running && !on_disk {
                found.push(format!("{id} runs from a release that was removed"));
            }
        }
        found
    }

    /// Whether the pool answers.
    pub fn answers(&self, id: &PoolId) -> bool {
        !self.frozen.contains(id) && self.pools.get(id).is_some_and(|pool| pool.running)
    }

    /// How a task stands.
    pub fn task(&self, id: &TaskId) -> TaskState {
        self.tasks
            .get(id)
            .map_or(TaskState::Absent, |task| task.state)
    }

    /// Why the pool must not be signalled now, if it must not.
    pub fn why_not_stop(&self, id: &PoolId) -> Option<String> {
        if self.has_traffic(id) {
            return Some(format!("{id} was signalled while traffic points at it"));
        }
        let busy = self
            .pools
            .get(id)
            .is_some_and(|pool| pool.busy && pool.running);
        busy.then(|| format!("{id} was signalled while it holds requests"))
    }

    /// Whether traffic points at a pool, or is shared with it.
    pub fn has_traffic(&self, id: &PoolId) -> bool {
        let links = self.links.get(&id.environment).copied();
        let links = links.unwrap_or_default();
        links.live == Some(id.generation) || shared(&id.environment, links).as_ref() == Some(id)
    }

    /// Why caches must not be cleared now, if they must not: what still holds requests fills them again.
    pub fn why_not_clear(&self, environment: &EnvironmentName) -> Option<String> {
        let live = self.links.get(environment).and_then(|links| links.live);
        let (busy, _) = self.pools.iter().find(|(id, pool)| {
            &id.environment == environment
                && Some(id.generation) != live
                && pool.busy
                && pool.running
        })?;
        Some(format!("caches were cleared while {busy} holds requests"))
    }

    /// Points the links; a pool that traffic leaves may still hold requests.
    pub fn flip(&mut self, environment: &EnvironmentName, links: Links) {
        let before = self.links.get(environment).copied().unwrap_or_default();
        if (before.live, before.share) != (links.live, links.share) {
            let shares = |links: Links| shared(environment, links).map(|id| id.generation);
            let had = [before.live, shares(before), links.live, shares(links)];
            for generation in had.into_iter().flatten() {
                self.mark_busy(environment, generation);
            }
        }
        if links == Links::default() {
            self.links.remove(environment);
        } else {
            self.links.insert(environment.clone(), links);
        }
    }

    fn mark_busy(&mut self, environment: &EnvironmentName, generation: Generation) {
        if let Some(pool) = self.pools.get_mut(&PoolId::new(environment, generation)) {
            pool.busy = true;
        }
    }
}

/// The pool that shares the traffic with the live one.
fn shared(environment: &EnvironmentName, links: Links) -> Option<PoolId> {
    match links.share {
        Share::All => None,
        Share::First { .. } => Some(PoolId::new(environment, links.previous?)),
    }
}
